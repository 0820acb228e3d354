/* Which delegation signatures were found good, so that each costs its BLS check (about a
 * millisecond) once and not once per certificate.
 *
 * Only the arithmetic is remembered, as a hash of key, signature and message: form, keys, ranges
 * and subnet id of a delegation are checked every time. Bad signatures are not remembered.
 */
#ifndef CANISTERFS_IC_DELEGATION_CACHE_H
#define CANISTERFS_IC_DELEGATION_CACHE_H

#include "ic/attr.h"
#include "ic/bls.h"

#include <stddef.h>
#include <stdint.h>

#define IC_DELEGATION_CACHE_SIZE 16 /* an agent meets one or two; the oldest entry goes first */

/* Owned by whoever owns the connection; any number of threads may use it at once. */
struct ic_delegation_cache;

int ic_delegation_cache_new(struct ic_delegation_cache **out) IC_NONNULL(1) IC_MUST_CHECK;
void ic_delegation_cache_free(struct ic_delegation_cache *cache);

/* As ic_bls_verify, but look first; cache may be NULL. Returns 0, -EBADMSG, -ENOMEM. */
int ic_delegation_cache_verify(struct ic_delegation_cache *cache, const uint8_t key[IC_BLS_KEY_LEN],
                               const uint8_t sig[IC_BLS_SIGNATURE_LEN], const uint8_t *msg,
                               size_t len) IC_NONNULL(2, 3, 4) IC_MUST_CHECK;

#endif
