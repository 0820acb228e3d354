/* Key files and what their index says of each:
 *
 *   "PRINCIPAL"                  the key's
 *   "PRINCIPAL (password WORD)"  the same, under this password and no other
 *   "public key DER HEX"         the key's
 *   "must be rejected", and "PRINCIPAL (only when ...)": no key without being told more than the
 * file
 */
#ifndef CANISTERFS_TESTS_IC_PEM_VECTORS_H
#define CANISTERFS_TESTS_IC_PEM_VECTORS_H

#include <stdbool.h>

/* check is called with the outcome of each look at the file and what it was. */
void pem_vector_check(const char *path, const char *expected,
                      void (*check)(bool ok, const char *name, const char *what,
                                    const char *detail));

#endif
