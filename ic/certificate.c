/* Certificates: decoding, verification, lookup. See certificate.h.
 *
 * A certificate is verified from the root key outwards: the delegation's certificate, if there is
 * one, with the root key; the certificate itself with the key found in there. Both are `struct
 * part`s; the outer one and the delegation stay together in `struct ic_certificate` over one copy
 * of the bytes.
 */
#include "ic/certificate.h"

#include "ic/bls.h"
#include "ic/canister_ranges.h"
#include "ic/cbor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* SubjectPublicKeyInfo of a BLS12-381 G2 key up to the key; compared literally (IC interface spec,
 * Certification, Signature scheme). */
static const uint8_t der_prefix[] = {0x30, 0x81, 0x82, 0x30, 0x1d, 0x06, 0x0d, 0x2b, 0x06, 0x01,
                                     0x04, 0x01, 0x82, 0xdc, 0x7c, 0x05, 0x03, 0x01, 0x02, 0x01,
                                     0x06, 0x0c, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xdc, 0x7c,
                                     0x05, 0x03, 0x02, 0x01, 0x03, 0x61, 0x00};
_Static_assert(sizeof(der_prefix) + IC_BLS_KEY_LEN == IC_ROOT_KEY_LEN, "DER of a BLS key");

const uint8_t ic_mainnet_root_key[IC_ROOT_KEY_LEN] = {
    0x30, 0x81, 0x82, 0x30, 0x1d, 0x06, 0x0d, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xdc, 0x7c,
    0x05, 0x03, 0x01, 0x02, 0x01, 0x06, 0x0c, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xdc, 0x7c,
    0x05, 0x03, 0x02, 0x01, 0x03, 0x61, 0x00, 0x81, 0x4c, 0x0e, 0x6e, 0xc7, 0x1f, 0xab, 0x58,
    0x3b, 0x08, 0xbd, 0x81, 0x37, 0x3c, 0x25, 0x5c, 0x3c, 0x37, 0x1b, 0x2e, 0x84, 0x86, 0x3c,
    0x98, 0xa4, 0xf1, 0xe0, 0x8b, 0x74, 0x23, 0x5d, 0x14, 0xfb, 0x5d, 0x9c, 0x0c, 0xd5, 0x46,
    0xd9, 0x68, 0x5f, 0x91, 0x3a, 0x0c, 0x0b, 0x2c, 0xc5, 0x34, 0x15, 0x83, 0xbf, 0x4b, 0x43,
    0x92, 0xe4, 0x67, 0xdb, 0x96, 0xd6, 0x5b, 0x9b, 0xb4, 0xcb, 0x71, 0x71, 0x12, 0xf8, 0x47,
    0x2e, 0x0d, 0x5a, 0x4d, 0x14, 0x50, 0x5f, 0xfd, 0x74, 0x84, 0xb0, 0x12, 0x91, 0x09, 0x1c,
    0x5f, 0x87, 0xb9, 0x88, 0x83, 0x46, 0x3f, 0x98, 0x09, 0x1a, 0x0b, 0xaa, 0xae,
};

static const char domain_state_root[] = "\x0Dic-state-root";
#define DOMAIN_LEN (sizeof(domain_state_root) - 1)

/* A certificate or the delegation's certificate: decoded, not yet verified. */
struct part {
    struct ic_hash_tree *tree;
    struct ic_view signature;
};

struct ic_certificate {
    uint8_t *bytes; /* everything below points in here */
    struct part outer;
    struct part inner; /* of the delegation; tree is NULL when there is none */
    struct ic_principal subnet;
    int64_t time_ns;
};

/* ---- decoding ---- */

static int no_memory(struct ic_error *err)
{
    ic_fail(err, IC_E_NO_MEMORY, "certificate: out of memory");
    return -ENOMEM;
}

static int malformed(struct ic_error *err, const char *what)
{
    ic_fail(err, IC_E_MALFORMED, "certificate: %s", what);
    return -EPROTO;
}

/* Decode tree and signature; delegation is filled with its encoded map, empty when there is none.
 */
static int decode_part(const uint8_t *bytes, size_t len, struct part *part,
                       struct ic_view *delegation, struct ic_error *err)
{
    struct ic_view root, tree;
    struct ic_cbor_map map;
    int ret;

    if (ic_cbor_open(bytes, len, &root) < 0 || ic_cbor_map(root, &map) < 0)
        return malformed(err, "not a CBOR map");
    if (ic_cbor_map_find(&map, "tree", &tree) < 0 ||
        ic_cbor_map_bytes(&map, "signature", &part->signature) < 0 ||
        part->signature.len != IC_BLS_SIGNATURE_LEN)
        return malformed(err, "no tree or no signature of 48 bytes");
    if (ic_cbor_map_find(&map, "delegation", delegation) < 0)
        *delegation = ic_view(NULL, 0);
    ret = ic_hash_tree_decode(tree, &part->tree);
    if (ret == -ENOMEM)
        return no_memory(err);
    return ret < 0 ? malformed(err, "the tree is not well-formed") : 0;
}

/* Decode the delegation into cert->inner and cert->subnet. */
static int decode_delegation(struct ic_view item, struct ic_certificate *cert, struct ic_error *err)
{
    struct ic_cbor_map map;
    struct ic_view subnet, inner, nested = {0};
    int ret;

    if (ic_cbor_map(item, &map) < 0 || ic_cbor_map_bytes(&map, "subnet_id", &subnet) < 0 ||
        ic_cbor_map_bytes(&map, "certificate", &inner) < 0 ||
        ic_principal_from_bytes(subnet.bytes, subnet.len, &cert->subnet) < 0)
        return malformed(err, "the delegation is malformed");
    ret = decode_part(inner.bytes, inner.len, &cert->inner, &nested, err);
    if (ret < 0)
        return ret;
    if (nested.len)
        return ic_fail(err, IC_E_UNVERIFIED, "certificate: the delegation is itself delegated");
    return 0;
}

/* Read /time, an unsigned LEB128 number. */
static int decode_time(struct ic_certificate *cert, struct ic_error *err)
{
    struct ic_view leaf;
    struct ic_cursor c;
    uint64_t time;

    if (ic_hash_tree_lookup(cert->outer.tree, IC_PATH(ic_label_text("time")), &leaf) !=
        IC_LOOKUP_FOUND)
        return malformed(err, "no time");
    c = ic_cursor(leaf.bytes, leaf.len);
    if (!ic_cursor_leb64(&c, &time) || ic_cursor_left(&c) != 0 || time > INT64_MAX)
        return malformed(err, "the time is malformed");
    cert->time_ns = (int64_t)time;
    return 0;
}

/* ---- verification ---- */

/* The BLS key inside a DER key, or NULL. */
static const uint8_t *bls_key(struct ic_view der)
{
    if (der.len != IC_ROOT_KEY_LEN || memcmp(der.bytes, der_prefix, sizeof(der_prefix)) != 0)
        return NULL;
    return der.bytes + sizeof(der_prefix);
}

/* Verify the signature over a part's root hash. cache may be NULL; hint is for people. */
static int verify_part(const struct part *part, const uint8_t *key,
                       struct ic_delegation_cache *cache, const char *what, const char *hint,
                       struct ic_error *err)
{
    uint8_t msg[DOMAIN_LEN + IC_SHA256_LEN];
    int ret;

    memcpy(msg, domain_state_root, DOMAIN_LEN);
    ret = ic_hash_tree_digest(part->tree, msg + DOMAIN_LEN);
    if (ret == 0)
        ret = ic_delegation_cache_verify(cache, key, part->signature.bytes, msg, sizeof(msg));
    if (ret == -ENOMEM)
        return no_memory(err);
    if (ret < 0)
        return ic_fail(err, IC_E_UNVERIFIED, "%s: the signature does not verify%s", what, hint);
    return 0;
}

/* The subnet's key, from the verified delegation. */
static int delegated_key(const struct ic_certificate *cert, const uint8_t **key,
                         struct ic_error *err)
{
    char text[IC_PRINCIPAL_TEXT];
    struct ic_view der;

    ic_principal_format(&cert->subnet, text);
    if (ic_hash_tree_lookup(cert->inner.tree,
                            IC_PATH(ic_label_text("subnet"), ic_label_principal(&cert->subnet),
                                    ic_label_text("public_key")),
                            &der) != IC_LOOKUP_FOUND)
        return ic_fail(err, IC_E_UNVERIFIED, "delegation: no key for subnet %s", text);
    const uint8_t *found = bls_key(der);
    if (!found)
        return ic_fail(err, IC_E_MALFORMED, "delegation: key of subnet %s is not BLS in DER", text);
    *key = found;
    return 0;
}

/* Verify every signature and find out which subnet speaks. */
static int verify_signatures(struct ic_certificate *cert, const struct ic_trust *trust,
                             struct ic_error *err)
{
    static const char root_hint[] = " (is this the root key of that network?)";
    const uint8_t *key = bls_key(ic_view(trust->root_key, trust->root_key_len));
    int ret;

    if (!key)
        return ic_fail(err, IC_E_CONFIG, "the root key is not a BLS key in DER form");
    if (cert->inner.tree) {
        ret = verify_part(&cert->inner, key, trust->delegations, "delegation", root_hint, err);
        if (ret == 0)
            ret = delegated_key(cert, &key, err);
    } else {
        ret = ic_principal_self_authenticating(trust->root_key, trust->root_key_len, &cert->subnet);
        if (ret < 0)
            ret = no_memory(err);
    }
    const char *hint = cert->inner.tree ? "" : root_hint;
    return ret < 0 ? ret : verify_part(&cert->outer, key, NULL, "certificate", hint, err);
}

/* The window applies to the certificate itself, never to its delegation, which is refreshed about
 * weekly. */
static int verify_time(struct ic_certificate *cert, const struct ic_trust *trust,
                       struct ic_error *err)
{
    int64_t age;
    int ret = decode_time(cert, err);
    if (ret < 0)
        return ret;
    if (__builtin_sub_overflow(trust->now_ns, cert->time_ns, &age) || age == INT64_MIN)
        return malformed(err, "the time is absurd");
    if (age <= trust->max_age_ns && age >= -trust->max_ahead_ns)
        return 0;
    ret = ic_fail(err, IC_E_UNVERIFIED, "certificate: %lld s %s",
                  (long long)(age < 0 ? -(age / 1000000000) : age / 1000000000),
                  age < 0 ? "in the future" : "old");
    if (err)
        err->skew_ns = -age;
    return ret;
}

/* Everything but the right to speak for a canister or subnet. */
static int open_verified(const uint8_t *cbor, size_t len, const struct ic_trust *trust,
                         struct ic_certificate **out, struct ic_error *err)
{
    struct ic_view delegation = {0};
    int ret;
    struct ic_certificate *cert = calloc(1, sizeof(*cert));
    if (!cert)
        return no_memory(err);

    cert->bytes = malloc(len + 1);
    if (!cert->bytes) {
        ret = no_memory(err);
        goto out;
    }
    if (len)
        memcpy(cert->bytes, cbor, len);
    ret = decode_part(cert->bytes, len, &cert->outer, &delegation, err);
    if (ret == 0 && delegation.len)
        ret = decode_delegation(delegation, cert, err);
    if (ret == 0)
        ret = verify_signatures(cert, trust, err);
    if (ret == 0)
        ret = verify_time(cert, trust, err);
    if (ret == 0) {
        *out = cert;
        cert = NULL;
    }
out:
    ic_certificate_free(cert);
    return ret;
}

/* The last step: only what passed all others may raise the floor. */
static int hand_out(struct ic_certificate *cert, int ret, const struct ic_trust *trust,
                    struct ic_certificate **out, struct ic_error *err)
{
    if (ret == 0 && trust->floor)
        ret = ic_time_floor_pass(trust->floor, &cert->subnet, cert->time_ns, err);
    if (ret < 0)
        ic_certificate_free(cert);
    else
        *out = cert;
    return ret;
}

int ic_certificate_verify_canister(const uint8_t *cbor, size_t len, const struct ic_trust *trust,
                                   const struct ic_principal *canister, struct ic_certificate **out,
                                   struct ic_error *err)
{
    struct ic_certificate *cert = NULL;
    int ret = open_verified(cbor, len, trust, &cert, err);
    if (!cert)
        return ret;
    if (cert->inner.tree)
        ret = ic_certificate_check_range(cert, canister, err);
    return hand_out(cert, ret, trust, out, err);
}

int ic_certificate_verify_subnet(const uint8_t *cbor, size_t len, const struct ic_trust *trust,
                                 const struct ic_principal *subnet, struct ic_certificate **out,
                                 struct ic_error *err)
{
    char text[IC_PRINCIPAL_TEXT];
    struct ic_certificate *cert = NULL;
    int ret = open_verified(cbor, len, trust, &cert, err);
    if (!cert)
        return ret;
    if (!ic_principal_is_equal(&cert->subnet, subnet)) {
        ic_principal_format(&cert->subnet, text);
        ret = ic_fail(err, IC_E_UNVERIFIED, "certificate: from another subnet, %s", text);
    }
    return hand_out(cert, ret, trust, out, err);
}

void ic_certificate_free(struct ic_certificate *cert)
{
    if (!cert)
        return;
    ic_hash_tree_free(cert->outer.tree);
    ic_hash_tree_free(cert->inner.tree);
    free(cert->bytes);
    free(cert);
}

/* ---- what is inside ---- */

enum ic_lookup ic_certificate_lookup(const struct ic_certificate *cert, const struct ic_path *path,
                                     const uint8_t **leaf, size_t *leaf_len)
{
    struct ic_view value;
    enum ic_lookup result = ic_hash_tree_lookup(cert->outer.tree, path, &value);
    if (result == IC_LOOKUP_FOUND) {
        *leaf = value.bytes;
        *leaf_len = value.len;
    }
    return result;
}

static int count_label(void *arg, struct ic_label label)
{
    (void)label;
    ++*(size_t *)arg;
    return 0;
}

static int put_label(void *arg, struct ic_label label)
{
    struct ic_label **next = arg;
    *(*next)++ = label;
    return 0;
}

int ic_certificate_list(const struct ic_certificate *cert, const struct ic_path *path,
                        struct ic_label **labels, size_t *n)
{
    const struct ic_hash_node *node;
    struct ic_label *list = NULL, *next;
    size_t count = 0;

    if (ic_hash_tree_find(cert->outer.tree, path, &node) != IC_LOOKUP_FOUND)
        return -ENOENT;
    ic_hash_tree_each_label(cert->outer.tree, node, count_label, &count);
    if (count == 0)
        return -ENOENT;
    list = calloc(count, sizeof(*list));
    if (!list)
        return -ENOMEM;
    next = list;
    ic_hash_tree_each_label(cert->outer.tree, node, put_label, &next);
    *labels = list;
    *n = count;
    return 0;
}

const struct ic_principal *ic_certificate_subnet(const struct ic_certificate *cert)
{
    return &cert->subnet;
}

const struct ic_hash_tree *ic_certificate_tree(const struct ic_certificate *cert)
{
    return cert->outer.tree;
}

int64_t ic_certificate_time_ns(const struct ic_certificate *cert)
{
    return cert->time_ns;
}

bool ic_certificate_is_delegated(const struct ic_certificate *cert)
{
    return cert->inner.tree != NULL;
}

int ic_certificate_check_range(const struct ic_certificate *cert,
                               const struct ic_principal *canister, struct ic_error *err)
{
    const struct ic_hash_tree *tree = cert->inner.tree ? cert->inner.tree : cert->outer.tree;
    return ic_canister_ranges_check(tree, &cert->subnet, canister, err);
}

bool ic_certificate_is_root_key(const uint8_t *der, size_t len)
{
    const uint8_t *key = bls_key(ic_view(der, len));
    return key && ic_bls_is_key(key);
}
