/* Certificates: parts of the network's state, signed by a subnet.
 *
 * A certificate becomes a `struct ic_certificate` only after everything was verified: form and
 * bounds, the BLS signature over the tree's root hash, the delegation from the root key where there
 * is one (itself without delegation), the delegation's right to speak for the canister or subnet
 * asked about, and the time. There is no way to look into an unverified one.
 *
 * Source: IC interface spec, Certification (Encoding, Delegation, Canister ranges).
 */
#ifndef CANISTERFS_IC_CERTIFICATE_H
#define CANISTERFS_IC_CERTIFICATE_H

#include "ic/attr.h"
#include "ic/delegation_cache.h"
#include "ic/error.h"
#include "ic/hash_tree.h"
#include "ic/path.h"
#include "ic/principal.h"
#include "ic/time_floor.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IC_ROOT_KEY_LEN 133 /* DER: a 37-byte prefix and the 96-byte BLS key */

/* The root key of the Internet Computer, DER. */
extern const uint8_t ic_mainnet_root_key[IC_ROOT_KEY_LEN];

/* Can these bytes be a network's root key: DER of a valid BLS key? */
bool ic_certificate_is_root_key(const uint8_t *der, size_t len) IC_NONNULL(1);

#define IC_CERTIFICATE_MAX_AGE_NS   (300LL * 1000000000) /* the spec's advice: 5 minutes */
#define IC_CERTIFICATE_MAX_AHEAD_NS (300LL * 1000000000)

/* What a certificate is judged by. Borrowed for the call. */
struct ic_trust {
    const uint8_t *root_key; /* DER */
    size_t root_key_len;
    int64_t now_ns;       /* wall clock, ns since 1970 */
    int64_t max_age_ns;   /* refuse when /time is older than now by more than this ... */
    int64_t max_ahead_ns; /* ... or further ahead. Neither applies to the delegation's time */
    struct ic_delegation_cache *delegations; /* may be NULL */
    struct ic_time_floor *floor; /* may be NULL: then a certificate may be older than one before */
};

/* A verified certificate. Owns its bytes; immutable, so any number of threads may look into it. */
struct ic_certificate;

/* Verify a certificate that came from a /canister/ endpoint.
 *
 * cbor,len  the certificate (the byte string's content, not the response around it); borrowed for
 *           the call, copied
 * canister  the effective canister id of the request: a delegation must cover it with its ranges,
 *           in the old form (/subnet/<id>/canister_ranges) or the sharded one
 *           (/canister_ranges/<id>/<first>). Without a delegation the root key speaks for all.
 *
 * Returns 0, -EPROTO (malformed), -EBADMSG (does not verify, does not cover, too old or too far
 * ahead: then err->skew_ns says how far; or behind trust->floor), -EINVAL (trust->root_key is not a
 * BLS key in DER), -ENOMEM.
 *
 * Bounds: memory for a copy of cbor and two trees (see hash_tree.h), time in proportion to len and
 * two BLS checks, whatever the bytes are.
 * Blocks: no, computes for 1 to 3 ms. Thread safety: any number of concurrent calls.
 */
int ic_certificate_verify_canister(const uint8_t *cbor, size_t len, const struct ic_trust *trust,
                                   const struct ic_principal *canister, struct ic_certificate **out,
                                   struct ic_error *err) IC_NONNULL(3, 4, 5) IC_MUST_CHECK;

/* Verify a certificate that came from a /subnet/ endpoint: the delegation's subnet (the root subnet
 * when there is none) must be this one; ranges play no part. Otherwise the same. */
int ic_certificate_verify_subnet(const uint8_t *cbor, size_t len, const struct ic_trust *trust,
                                 const struct ic_principal *subnet, struct ic_certificate **out,
                                 struct ic_error *err) IC_NONNULL(3, 4, 5) IC_MUST_CHECK;

void ic_certificate_free(struct ic_certificate *cert);

/* Look up a leaf. leaf and leaf_len are filled only on IC_LOOKUP_FOUND; they point into the
 * certificate. With an IC_PATH of text labels this is
 *
 *     ic_certificate_lookup(cert, IC_PATH(ic_label_text("time")), &leaf, &len)
 */
enum ic_lookup ic_certificate_lookup(const struct ic_certificate *cert, const struct ic_path *path,
                                     const uint8_t **leaf, size_t *leaf_len) IC_NONNULL(1, 2, 3, 4);

/* List the labels directly below a path, in order.
 *
 * labels  fills with an array the caller frees; the labels point into the certificate
 * n       fills; at least 1
 *
 * Labels that are pruned away are not listed. Returns 0, -ENOENT when the path is not in the tree
 * or has no labels below it (a leaf, or all of them pruned), -ENOMEM.
 */
int ic_certificate_list(const struct ic_certificate *cert, const struct ic_path *path,
                        struct ic_label **labels, size_t *n) IC_NONNULL(1, 2, 3, 4) IC_MUST_CHECK;

/* The subnet that signed: the delegation's, or the root subnet (the id made of the root key) when
 * there is no delegation. Borrowed. */
const struct ic_principal *ic_certificate_subnet(const struct ic_certificate *cert) IC_NONNULL(1);

/* Did the root subnet delegate, or did it sign itself? */
bool ic_certificate_is_delegated(const struct ic_certificate *cert) IC_NONNULL(1);

/* Does the signing subnet host this canister? The ranges are taken from the delegation, or from the
 * certificate itself when there is none: verify_canister makes no range check then, but the keys
 * that query signatures are checked with must be those of the canister's own subnet (IC interface
 * spec, Query call).
 *
 * Returns 0, -EBADMSG (not covered, or no ranges in the certificate), -EPROTO. */
int ic_certificate_check_range(const struct ic_certificate *cert,
                               const struct ic_principal *canister, struct ic_error *err)
    IC_NONNULL(1, 2) IC_MUST_CHECK;

/* The certified state. Borrowed. */
const struct ic_hash_tree *ic_certificate_tree(const struct ic_certificate *cert) IC_NONNULL(1);

/* The certified /time, ns since 1970. */
int64_t ic_certificate_time_ns(const struct ic_certificate *cert) IC_NONNULL(1);

#endif
