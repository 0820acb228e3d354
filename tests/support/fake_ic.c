#include "tests/support/fake_ic.h"

#include <blst.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "fake_ic: %s\n", what);
    exit(99);
}

/* --- bytes --- */

struct bytes {
    uint8_t *p;
    size_t len;
    size_t cap;
};

static void put(struct bytes *b, const void *data, size_t len)
{
    if (b->cap - b->len < len) {
        b->cap = (b->cap + len) * 2;
        b->p = realloc(b->p, b->cap);
        if (b->p == NULL)
            die("memory");
    }
    if (len > 0)
        memcpy(b->p + b->len, data, len);
    b->len += len;
}

/* RFC 8949, section 3: the head of an item. */
static void put_head(struct bytes *b, unsigned major, uint64_t n)
{
    unsigned n_bytes = n < 24 ? 0 : n < 256 ? 1 : n < 65536 ? 2 : n <= UINT32_MAX ? 4 : 8;
    unsigned info = n_bytes == 0   ? (unsigned)n
                    : n_bytes == 1 ? 24
                    : n_bytes == 2 ? 25
                    : n_bytes == 4 ? 26
                                   : 27;
    uint8_t first = (uint8_t)(major << 5 | info);
    put(b, &first, 1);
    for (unsigned i = n_bytes; i-- > 0;) {
        uint8_t octet = (uint8_t)(n >> (8 * i));
        put(b, &octet, 1);
    }
}

static void put_text(struct bytes *b, const char *text)
{
    put_head(b, 3, strlen(text));
    put(b, text, strlen(text));
}

static void put_blob(struct bytes *b, const void *data, size_t len)
{
    put_head(b, 2, len);
    put(b, data, len);
}

static void put_tag(struct bytes *b)
{
    put(b, "\xd9\xd9\xf7", 3);
}

static void sha256(const void *data, size_t len, uint8_t out[32])
{
    if (EVP_Digest(data, len, out, NULL, EVP_sha256(), NULL) != 1)
        die("sha256");
}

static size_t leb128(uint64_t n, uint8_t out[10])
{
    size_t len = 0;
    do {
        out[len] = (uint8_t)(n & 0x7f);
        n >>= 7;
        if (n != 0)
            out[len] |= 0x80;
        len++;
    } while (n != 0);
    return len;
}

/* --- keys --- */

static const uint8_t node_seed[32] = {3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3,
                                      3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3};
static const uint8_t other_seed[32] = {4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4,
                                       4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4};

static EVP_PKEY *node_key(bool other)
{
    EVP_PKEY *key =
        EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, other ? other_seed : node_seed, 32);
    if (key == NULL)
        die("node key");
    return key;
}

static void node_der(bool other, uint8_t der[44])
{
    static const uint8_t prefix[] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
                                     0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};
    EVP_PKEY *key = node_key(other);
    size_t len = 32;
    memcpy(der, prefix, sizeof prefix);
    if (EVP_PKEY_get_raw_public_key(key, der + sizeof prefix, &len) != 1)
        die("node key");
    EVP_PKEY_free(key);
}

/* SHA-224 of the DER key, then 02. */
static void self_authenticating(const uint8_t *der, size_t len, uint8_t id[29])
{
    if (EVP_Digest(der, len, id, NULL, EVP_sha224(), NULL) != 1)
        die("sha224");
    id[28] = 2;
}

static void root_secret(blst_scalar *out)
{
    uint8_t bytes[32];
    memset(bytes, 7, sizeof bytes);
    blst_scalar_from_bendian(out, bytes);
}

void fake_ic_root_key(uint8_t der[FAKE_IC_ROOT_KEY_LEN])
{
    static const uint8_t prefix[37] = {0x30, 0x81, 0x82, 0x30, 0x1d, 0x06, 0x0d, 0x2b, 0x06, 0x01,
                                       0x04, 0x01, 0x82, 0xdc, 0x7c, 0x05, 0x03, 0x01, 0x02, 0x01,
                                       0x06, 0x0c, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xdc, 0x7c,
                                       0x05, 0x03, 0x02, 0x01, 0x03, 0x61, 0x00};
    blst_scalar secret;
    blst_p2 public;
    root_secret(&secret);
    blst_sk_to_pk_in_g2(&public, &secret);
    memcpy(der, prefix, sizeof prefix);
    blst_p2_compress(der + sizeof prefix, &public);
}

/* --- query answers --- */

/* Representation-independent hash: sort H(key) · H(value), hash them all. */
struct hash_map {
    uint8_t pair[8][64];
    size_t n;
};

static void map_add_hash(struct hash_map *map, const char *key, const uint8_t hash[32])
{
    sha256(key, strlen(key), map->pair[map->n]);
    memcpy(map->pair[map->n] + 32, hash, 32);
    map->n++;
}

static void map_add(struct hash_map *map, const char *key, const void *value, size_t len)
{
    uint8_t hash[32];
    sha256(value, len, hash);
    map_add_hash(map, key, hash);
}

static void map_add_number(struct hash_map *map, const char *key, uint64_t value)
{
    uint8_t leb[10];
    map_add(map, key, leb, leb128(value, leb));
}

static int compare_pairs(const void *a, const void *b)
{
    return memcmp(a, b, 64);
}

static void map_hash(struct hash_map *map, uint8_t out[32])
{
    qsort(map->pair, map->n, 64, compare_pairs);
    sha256(map->pair, map->n * 64, out);
}

static void hash_answer(const struct fake_answer *a, const uint8_t request_id[32], uint8_t out[32])
{
    struct hash_map map = {0};
    map_add(&map, "request_id", request_id, 32);
    map_add_number(&map, "timestamp", (uint64_t)a->time_ns);
    if (a->reject_code == 0) {
        struct hash_map reply = {0};
        uint8_t hash[32];
        map_add(&reply, "arg", a->arg, a->arg_len);
        map_hash(&reply, hash);
        map_add(&map, "status", "replied", 7);
        map_add_hash(&map, "reply", hash);
    } else {
        map_add(&map, "status", "rejected", 8);
        map_add_number(&map, "reject_code", a->reject_code);
        map_add(&map, "reject_message", a->reject_message, strlen(a->reject_message));
        if (a->error_code != NULL)
            map_add(&map, "error_code", a->error_code, strlen(a->error_code));
    }
    map_hash(&map, out);
}

static void sign_answer(const struct fake_answer *a, const uint8_t request_id[32], uint8_t sig[64])
{
    uint8_t message[12 + 32] = "\x0Bic-response";
    hash_answer(a, request_id, message + 12);
    EVP_PKEY *key = node_key(a->unknown_node);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t len = 64;
    if (ctx == NULL || EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) != 1 ||
        EVP_DigestSign(ctx, sig, &len, message, sizeof message) != 1)
        die("sign");
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    if (a->wrong_signature)
        sig[7] ^= 1;
}

static void put_rejection(struct bytes *b, const struct fake_answer *a)
{
    put_text(b, "reject_code");
    put_head(b, 0, a->reject_code);
    put_text(b, "reject_message");
    put_text(b, a->reject_message);
    if (a->error_code != NULL) {
        put_text(b, "error_code");
        put_text(b, a->error_code);
    }
}

uint8_t *fake_ic_query_body(const struct fake_answer *a, const uint8_t request_id[32], size_t *len)
{
    uint8_t sig[64];
    uint8_t der[44];
    uint8_t id[29];
    sign_answer(a, request_id, sig);
    node_der(a->unknown_node, der);
    self_authenticating(der, sizeof der, id);

    struct bytes b = {0};
    put_tag(&b);
    if (a->reject_code == 0) {
        put_head(&b, 5, 3);
        put_text(&b, "status");
        put_text(&b, "replied");
        put_text(&b, "reply");
        put_head(&b, 5, 1);
        put_text(&b, "arg");
        put_blob(&b, a->arg, a->arg_len);
    } else {
        put_head(&b, 5, a->error_code != NULL ? 5 : 4);
        put_text(&b, "status");
        put_text(&b, "rejected");
        put_rejection(&b, a);
    }
    unsigned n = a->n_signatures != 0 ? a->n_signatures : 1;
    put_text(&b, "signatures");
    put_head(&b, 4, n);
    for (unsigned i = 0; i < n; i++) {
        put_head(&b, 5, 3);
        put_text(&b, "timestamp");
        put_head(&b, 0, (uint64_t)a->time_ns);
        put_text(&b, "signature");
        put_blob(&b, sig, sizeof sig);
        put_text(&b, "identity");
        put_blob(&b, id, sizeof id);
    }
    *len = b.len;
    return b.p;
}

/* --- hash trees --- */

/* A tree as encoded bytes and its root hash (IC interface spec, Certification). */
struct tree {
    struct bytes cbor;
    uint8_t hash[32];
};

static void hash_node(const char *domain, const void *a, size_t a_len, const void *b, size_t b_len,
                      uint8_t out[32])
{
    struct bytes m = {0};
    uint8_t domain_len = (uint8_t)strlen(domain);
    put(&m, &domain_len, 1);
    put(&m, domain, domain_len);
    put(&m, a, a_len);
    put(&m, b, b_len);
    sha256(m.p, m.len, out);
    free(m.p);
}

static struct tree leaf(const void *data, size_t len)
{
    struct tree t = {0};
    put_head(&t.cbor, 4, 2);
    put_head(&t.cbor, 0, 3);
    put_blob(&t.cbor, data, len);
    hash_node("ic-hashtree-leaf", data, len, NULL, 0, t.hash);
    return t;
}

static struct tree number_leaf(uint64_t n)
{
    uint8_t leb[10];
    return leaf(leb, leb128(n, leb));
}

static struct tree labeled(const void *label, size_t len, struct tree child)
{
    struct tree t = {0};
    put_head(&t.cbor, 4, 3);
    put_head(&t.cbor, 0, 2);
    put_blob(&t.cbor, label, len);
    put(&t.cbor, child.cbor.p, child.cbor.len);
    hash_node("ic-hashtree-labeled", label, len, child.hash, 32, t.hash);
    free(child.cbor.p);
    return t;
}

static struct tree named(const char *label, struct tree child)
{
    return labeled(label, strlen(label), child);
}

static struct tree both(struct tree left, struct tree right)
{
    struct tree t = {0};
    put_head(&t.cbor, 4, 3);
    put_head(&t.cbor, 0, 1);
    put(&t.cbor, left.cbor.p, left.cbor.len);
    put(&t.cbor, right.cbor.p, right.cbor.len);
    hash_node("ic-hashtree-fork", left.hash, 32, right.hash, 32, t.hash);
    free(left.cbor.p);
    free(right.cbor.p);
    return t;
}

static struct tree pruned(struct tree hidden)
{
    struct tree t = {0};
    put_head(&t.cbor, 4, 2);
    put_head(&t.cbor, 0, 4);
    put_blob(&t.cbor, hidden.hash, 32);
    memcpy(t.hash, hidden.hash, 32);
    free(hidden.cbor.p);
    return t;
}

/* {certificate of the tree, signed with the root key}, as the value of a blob. */
static void put_certificate(struct bytes *b, struct tree tree, bool wrong_signature)
{
    static const uint8_t dst[] = "BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_";
    uint8_t message[14 + 32] = "\x0Dic-state-root";
    memcpy(message + 14, tree.hash, 32);
    message[20] ^= wrong_signature;

    blst_scalar secret;
    blst_p1 hash;
    blst_p1 signature;
    uint8_t sig[48];
    root_secret(&secret);
    blst_hash_to_g1(&hash, message, sizeof message, dst, sizeof dst - 1, NULL, 0);
    blst_sign_pk_in_g2(&signature, &hash, &secret);
    blst_p1_compress(sig, &signature);

    struct bytes cert = {0};
    put_tag(&cert);
    put_head(&cert, 5, 2);
    put_text(&cert, "tree");
    put(&cert, tree.cbor.p, tree.cbor.len);
    put_text(&cert, "signature");
    put_blob(&cert, sig, sizeof sig);
    put_blob(b, cert.p, cert.len);
    free(cert.p);
    free(tree.cbor.p);
}

static struct tree time_leaf(int64_t time_ns)
{
    return named("time", number_leaf((uint64_t)time_ns));
}

/* --- certified answers --- */

static struct tree outcome(const struct fake_answer *a)
{
    if (a->status != NULL)
        return named("status", leaf(a->status, strlen(a->status)));
    if (a->is_forgotten)
        return named("status", leaf("done", 4));
    if (a->reject_code == 0)
        return both(named("reply", leaf(a->arg, a->arg_len)), named("status", leaf("replied", 7)));
    struct tree rest =
        both(named("reject_message", leaf(a->reject_message, strlen(a->reject_message))),
             named("status", leaf("rejected", 8)));
    rest = both(named("reject_code", number_leaf(a->reject_code)), rest);
    if (a->error_code != NULL)
        rest = both(named("error_code", leaf(a->error_code, strlen(a->error_code))), rest);
    return rest;
}

/* /request_status/<id> and /time. */
static struct tree status_tree(const struct fake_answer *a, const uint8_t request_id[32])
{
    if (a->is_absent) /* nothing can hide before a first label that comes after */
        return time_leaf(a->time_ns);
    struct tree status = named("request_status", labeled(request_id, 32, outcome(a)));
    return both(a->is_pruned ? pruned(status) : status, time_leaf(a->time_ns));
}

uint8_t *fake_ic_call_body(const struct fake_answer *a, const uint8_t request_id[32], size_t *len)
{
    struct bytes b = {0};
    put_tag(&b);
    put_head(&b, 5, 2);
    put_text(&b, "status");
    put_text(&b, "replied");
    put_text(&b, "certificate");
    put_certificate(&b, status_tree(a, request_id), a->wrong_signature);
    *len = b.len;
    return b.p;
}

static uint8_t *state_body(struct tree tree, bool wrong_signature, size_t *len)
{
    struct bytes b = {0};
    put_tag(&b);
    put_head(&b, 5, 1);
    put_text(&b, "certificate");
    put_certificate(&b, tree, wrong_signature);
    *len = b.len;
    return b.p;
}

uint8_t *fake_ic_status_body(const struct fake_answer *a, const uint8_t request_id[32], size_t *len)
{
    return state_body(status_tree(a, request_id), a->wrong_signature, len);
}

uint8_t *fake_ic_refusal_body(const struct fake_answer *a, bool is_v2, size_t *len)
{
    struct bytes b = {0};
    put_tag(&b);
    put_head(&b, 5, 2U + (a->error_code != NULL) + (is_v2 ? 0 : 1));
    if (!is_v2) {
        put_text(&b, "status");
        put_text(&b, "non_replicated_rejection");
    }
    put_rejection(&b, a);
    *len = b.len;
    return b.p;
}

static struct tree node_tree(bool other)
{
    uint8_t der[44];
    uint8_t id[29];
    node_der(other, der);
    self_authenticating(der, sizeof der, id);
    return labeled(id, sizeof id, named("public_key", leaf(der, sizeof der)));
}

static struct tree nodes(bool with_other)
{
    struct tree first = node_tree(false);
    if (!with_other)
        return first;
    struct tree second = node_tree(true);
    uint8_t der[2][44];
    uint8_t id[2][29];
    for (int i = 0; i < 2; i++) {
        node_der(i == 1, der[i]);
        self_authenticating(der[i], 44, id[i]);
    }
    return memcmp(id[0], id[1], 29) < 0 ? both(first, second) : both(second, first);
}

/* All principals, from the empty one to 29 bytes of ff; or the management canister alone. */
static struct tree ranges(bool all)
{
    uint8_t last[29];
    memset(last, 0xff, sizeof last);
    struct bytes b = {0};
    put_tag(&b);
    put_head(&b, 4, 1);
    put_head(&b, 4, 2);
    put_blob(&b, NULL, 0);
    put_blob(&b, last, all ? sizeof last : 0);
    struct tree t = leaf(b.p, b.len);
    free(b.p);
    return t;
}

uint8_t *fake_ic_subnet_body(int64_t time_ns, bool with_other_node, bool wrong_signature,
                             bool is_elsewhere, size_t *len)
{
    uint8_t root_key[FAKE_IC_ROOT_KEY_LEN];
    uint8_t id[29];
    fake_ic_root_key(root_key);
    self_authenticating(root_key, sizeof root_key, id);
    struct tree subnet = both(named("canister_ranges", ranges(!is_elsewhere)),
                              both(named("node", nodes(with_other_node)),
                                   named("public_key", leaf(root_key, sizeof root_key))));
    struct tree tree = both(named("subnet", labeled(id, sizeof id, subnet)), time_leaf(time_ns));
    return state_body(tree, wrong_signature, len);
}
