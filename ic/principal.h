/* Principals: the identifiers of canisters, users, subnets and nodes.
 *
 * Source: IC interface spec, Principals and Textual representation of principals.
 */
#ifndef CANISTERFS_IC_PRINCIPAL_H
#define CANISTERFS_IC_PRINCIPAL_H

#include "ic/attr.h"
#include "ic/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IC_PRINCIPAL_MAX  29
#define IC_PRINCIPAL_TEXT 64 /* 63 characters and the NUL */

/* A plain value. The empty principal (len 0) is the management canister. Bytes past len are zero
 * in every principal made by this module. */
struct ic_principal {
    uint8_t len;
    uint8_t bytes[IC_PRINCIPAL_MAX];
};

/* Read the text form, in upper or lower case.
 *
 * Returns 0 or -EINVAL: not base 32, wrong check sum, misplaced dashes, stray bits, too long.
 */
int ic_principal_parse(const char *text, struct ic_principal *out) IC_NONNULL(1, 2) IC_MUST_CHECK;

/* Write the text form, ending in NUL. p->len must be at most IC_PRINCIPAL_MAX. */
void ic_principal_format(const struct ic_principal *p, char out[IC_PRINCIPAL_TEXT])
    IC_NONNULL(1, 2);

/* Take the binary form. Returns 0 or -EINVAL when longer than 29 bytes. */
int ic_principal_from_bytes(const uint8_t *bytes, size_t len, struct ic_principal *out)
    IC_NONNULL(3) IC_MUST_CHECK;

/* The principal of a public key: SHA-224 of its DER form, then 02. Subnets and nodes have such ids
 * too. Returns 0 or -ENOMEM. */
int ic_principal_self_authenticating(const uint8_t *der, size_t der_len, struct ic_principal *out)
    IC_NONNULL(1, 3) IC_MUST_CHECK;

struct ic_principal ic_principal_anonymous(void);
struct ic_principal ic_principal_management(void);

bool ic_principal_is_equal(const struct ic_principal *a, const struct ic_principal *b)
    IC_NONNULL(1, 2);

/* Order of raw bytes, as canister ranges use it: <0, 0, >0. */
int ic_principal_compare(const struct ic_principal *a, const struct ic_principal *b)
    IC_NONNULL(1, 2);

static inline struct ic_view ic_principal_view(const struct ic_principal *p)
{
    return (struct ic_view){p->bytes, p->len};
}

#endif
