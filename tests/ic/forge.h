/* Certificates made to measure: hash trees, signatures, delegations. What a network of our own
 * would issue, and what a forger would. Every function takes the buffers given to it and gives a
 * new one; anything that fails ends the program.
 */
#ifndef CANISTERFS_TESTS_IC_FORGE_H
#define CANISTERFS_TESTS_IC_FORGE_H

#include "ic/cbor.h"
#include "ic/hash_tree.h"
#include "ic/principal.h"
#include "tests/ic/vectors.h"

#include <blst.h>

/* ---- trees ---- */

static inline struct ic_buf forge_node(unsigned kind, struct ic_view bytes, struct ic_buf left,
                                       struct ic_buf right)
{
    static const size_t n_items[] = {1, 3, 3, 2, 2};
    struct ic_buf b = {0};
    ic_cbor_put_array(&b, n_items[kind]);
    ic_cbor_put_uint(&b, kind);
    if (kind >= 2)
        ic_cbor_put_bytes(&b, bytes);
    ic_buf_append(&b, left.bytes, left.len);
    ic_buf_append(&b, right.bytes, right.len);
    ic_buf_fini(&left);
    ic_buf_fini(&right);
    if (ic_buf_status(&b) < 0)
        vector_die("out of memory", "forge");
    return b;
}

static inline struct ic_buf forge_nothing(void)
{
    return (struct ic_buf){0};
}

static inline struct ic_buf forge_empty(void)
{
    return forge_node(0, ic_view(NULL, 0), forge_nothing(), forge_nothing());
}

static inline struct ic_buf forge_fork(struct ic_buf left, struct ic_buf right)
{
    return forge_node(1, ic_view(NULL, 0), left, right);
}

static inline struct ic_buf forge_labeled(struct ic_view label, struct ic_buf subtree)
{
    return forge_node(2, label, subtree, forge_nothing());
}

static inline struct ic_buf forge_text(const char *label, struct ic_buf subtree)
{
    return forge_labeled(ic_view(label, strlen(label)), subtree);
}

static inline struct ic_buf forge_leaf(struct ic_view value)
{
    return forge_node(3, value, forge_nothing(), forge_nothing());
}

static inline struct ic_buf forge_text_leaf(const char *value)
{
    return forge_leaf(ic_view(value, strlen(value)));
}

static inline struct ic_buf forge_nat_leaf(uint64_t n)
{
    struct ic_buf leb = {0}, leaf;
    ic_buf_append_leb64(&leb, n);
    leaf = forge_leaf(ic_view(leb.bytes, leb.len));
    ic_buf_fini(&leb);
    return leaf;
}

static inline void forge_digest(const struct ic_buf *tree, uint8_t out[32])
{
    struct ic_hash_tree *t;
    if (ic_hash_tree_decode(ic_view(tree->bytes, tree->len), &t) < 0 ||
        ic_hash_tree_digest(t, out) < 0)
        vector_die("not a tree", "forge");
    ic_hash_tree_free(t);
}

/* The subtree's hash in place of the subtree. */
static inline struct ic_buf forge_pruned(struct ic_buf subtree)
{
    uint8_t digest[32];
    forge_digest(&subtree, digest);
    ic_buf_fini(&subtree);
    return forge_node(4, ic_view(digest, sizeof(digest)), forge_nothing(), forge_nothing());
}

/* ---- keys: secret keys are 32 times the same byte, like those of vectors/client/mock_keys.json
 * ---- */

static const uint8_t forge_der_prefix[] = {
    0x30, 0x81, 0x82, 0x30, 0x1d, 0x06, 0x0d, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82,
    0xdc, 0x7c, 0x05, 0x03, 0x01, 0x02, 0x01, 0x06, 0x0c, 0x2b, 0x06, 0x01, 0x04,
    0x01, 0x82, 0xdc, 0x7c, 0x05, 0x03, 0x02, 0x01, 0x03, 0x61, 0x00};

static inline blst_scalar forge_secret(uint8_t byte)
{
    uint8_t bytes[32];
    blst_scalar secret;
    memset(bytes, byte, sizeof(bytes));
    blst_scalar_from_bendian(&secret, bytes);
    return secret;
}

static inline void forge_key_der(uint8_t secret_byte, uint8_t der[133])
{
    blst_scalar secret = forge_secret(secret_byte);
    blst_p2 key;
    blst_sk_to_pk_in_g2(&key, &secret);
    memcpy(der, forge_der_prefix, sizeof(forge_der_prefix));
    blst_p2_compress(der + sizeof(forge_der_prefix), &key);
}

static inline void forge_sign(uint8_t secret_byte, const uint8_t *msg, size_t len, uint8_t sig[48])
{
    static const char dst[] = "BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_";
    blst_scalar secret = forge_secret(secret_byte);
    blst_p1 point;
    blst_hash_to_g1(&point, msg, len, (const uint8_t *)dst, sizeof(dst) - 1, NULL, 0);
    blst_sign_pk_in_g2(&point, &point, &secret);
    blst_p1_compress(sig, &point);
}

/* ---- certificates ---- */

/* A certificate over a tree, signed under a domain of 14 bytes; delegation is the encoded
 * certificate of one, or empty. */
static inline struct ic_buf forge_certificate_under(const char domain[15], struct ic_buf tree,
                                                    uint8_t secret_byte,
                                                    const struct ic_principal *subnet,
                                                    struct ic_buf delegation)
{
    uint8_t msg[14 + 32], sig[48];
    bool is_delegated = subnet && delegation.len;
    struct ic_buf b = {0};

    memcpy(msg, domain, 14);
    forge_digest(&tree, msg + 14);
    forge_sign(secret_byte, msg, sizeof(msg), sig);
    ic_cbor_put_self_described(&b);
    ic_cbor_put_map(&b, is_delegated ? 3 : 2);
    ic_cbor_put_text(&b, "tree");
    ic_buf_append(&b, tree.bytes, tree.len);
    ic_cbor_put_text(&b, "signature");
    ic_cbor_put_bytes(&b, ic_view(sig, sizeof(sig)));
    if (is_delegated) {
        ic_cbor_put_text(&b, "delegation");
        ic_cbor_put_map(&b, 2);
        ic_cbor_put_text(&b, "subnet_id");
        ic_cbor_put_bytes(&b, ic_principal_view(subnet));
        ic_cbor_put_text(&b, "certificate");
        ic_cbor_put_bytes(&b, ic_view(delegation.bytes, delegation.len));
    }
    ic_buf_fini(&tree);
    ic_buf_fini(&delegation);
    if (ic_buf_status(&b) < 0)
        vector_die("out of memory", "forge");
    return b;
}

static inline struct ic_buf forge_certificate(struct ic_buf tree, uint8_t secret_byte,
                                              const struct ic_principal *subnet,
                                              struct ic_buf delegation)
{
    return forge_certificate_under("\x0Dic-state-root", tree, secret_byte, subnet, delegation);
}

/* Canister ranges, as the leaf holds them: [[lo, hi]]. */
static inline struct ic_buf forge_range_leaf(struct ic_view lo, struct ic_view hi)
{
    struct ic_buf list = {0}, leaf;
    ic_cbor_put_self_described(&list);
    ic_cbor_put_array(&list, 1);
    ic_cbor_put_array(&list, 2);
    ic_cbor_put_bytes(&list, lo);
    ic_cbor_put_bytes(&list, hi);
    leaf = forge_leaf(ic_view(list.bytes, list.len));
    ic_buf_fini(&list);
    return leaf;
}

#endif
