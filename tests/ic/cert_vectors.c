/* Vectors of the protocol: cert_vectors DIR, where DIR is laid out as tests/data/vectors (its
 * README tells the forms). Every certificate is judged at its stated time, and with one thing
 * wrong; every recorded request must get its id, every recorded answer verify, every key file give
 * its principal. Parts that DIR does not have are named. Prints each failure, and last "N passed, N
 * failed".
 */
#include "ic/certificate.h"
#include "ic/response.h"
#include "tests/ic/forge.h"
#include "tests/ic/pem_vectors.h"
#include "tests/ic/sent_request.h"
#include "tests/ic/vectors.h"

#include <dirent.h>
#include <errno.h>
#include <unistd.h>

#define SECOND   1000000000LL
#define N_PLACES 61 /* where a certificate is spoiled: so many, spread evenly, and the two ends */

static int n_passed, n_failed, n_parts;

static void check(bool ok, const char *name, const char *what, const char *detail)
{
    n_passed += ok;
    n_failed += !ok;
    if (!ok)
        printf("FAIL %s: %s%s%s\n", name, what, *detail ? ": " : "", detail);
}

static void join(char path[VECTOR_PATH], const char *dir, const char *name, const char *suffix)
{
    if (snprintf(path, VECTOR_PATH, "%s/%s%s", dir, name, suffix) >= VECTOR_PATH)
        vector_die("path too long", name);
}

static int64_t time_of(json_t *object, const char *key)
{
    const char *text = vector_text(object, key);
    return text ? (int64_t)strtoull(text, NULL, 10) : 0;
}

/* ---- certificates ---- */

/* A certificate, whose it is, and what it was issued for. */
struct vector {
    const char *name;
    struct ic_view cert;
    uint8_t root_key[IC_ROOT_KEY_LEN];
    uint8_t other_key[IC_ROOT_KEY_LEN]; /* of another network */
    int64_t time_ns;
    struct ic_principal subnet;   /* that signed */
    struct ic_principal canister; /* that it is known to cover ... */
    bool has_canister;            /* ... when one is known */
    bool is_delegated;
};

static int verify_for(const struct vector *v, struct ic_view cert, const uint8_t *root_key,
                      int64_t now_ns, const struct ic_principal *canister)
{
    struct ic_trust trust = {.root_key = root_key,
                             .root_key_len = IC_ROOT_KEY_LEN,
                             .now_ns = now_ns,
                             .max_age_ns = IC_CERTIFICATE_MAX_AGE_NS,
                             .max_ahead_ns = IC_CERTIFICATE_MAX_AHEAD_NS};
    struct ic_certificate *out = NULL;
    int ret;
    if (canister)
        ret = ic_certificate_verify_canister(cert.bytes, cert.len, &trust, canister, &out, NULL);
    else
        ret = ic_certificate_verify_subnet(cert.bytes, cert.len, &trust, &v->subnet, &out, NULL);
    ic_certificate_free(out);
    return ret;
}

/* As it was issued: for its canister, else for its subnet. */
static int verify(const struct vector *v, struct ic_view cert, const uint8_t *root_key,
                  int64_t now_ns)
{
    return verify_for(v, cert, root_key, now_ns, v->has_canister ? &v->canister : NULL);
}

static void check_content(const struct vector *v, json_t *computed)
{
    struct ic_trust trust = {.root_key = v->root_key,
                             .root_key_len = IC_ROOT_KEY_LEN,
                             .now_ns = v->time_ns,
                             .max_age_ns = IC_CERTIFICATE_MAX_AGE_NS,
                             .max_ahead_ns = IC_CERTIFICATE_MAX_AHEAD_NS};
    struct ic_certificate *cert = NULL;
    struct ic_error err = {0};
    uint8_t digest[IC_SHA256_LEN];
    struct ic_buf want = vector_unhex(vector_text(computed, "root_hash"));
    int ret =
        ic_certificate_verify_subnet(v->cert.bytes, v->cert.len, &trust, &v->subnet, &cert, &err);
    check(ret == 0, v->name, "verifies for its subnet at its time", err.message);
    if (cert) {
        check(ic_certificate_time_ns(cert) == v->time_ns, v->name, "has its time", "");
        check(ic_certificate_is_delegated(cert) == v->is_delegated, v->name, "delegation", "");
        check(ic_hash_tree_digest(ic_certificate_tree(cert), digest) == 0 &&
                  ic_view_equal(ic_view(digest, sizeof(digest)), ic_view(want.bytes, want.len)),
              v->name, "has its root hash", "");
    }
    ic_certificate_free(cert);
    ic_buf_fini(&want);
}

static void check_window(const struct vector *v)
{
    int64_t late = v->time_ns + IC_CERTIFICATE_MAX_AGE_NS;
    int64_t early = v->time_ns - IC_CERTIFICATE_MAX_AHEAD_NS;
    check(verify(v, v->cert, v->root_key, late) == 0, v->name, "good to the end", "");
    check(verify(v, v->cert, v->root_key, late + SECOND) == -EBADMSG, v->name, "a second late", "");
    check(verify(v, v->cert, v->root_key, early) == 0, v->name, "good from the beginning", "");
    check(verify(v, v->cert, v->root_key, early - SECOND) == -EBADMSG, v->name, "a second early",
          "");
    check(verify(v, v->cert, v->other_key, v->time_ns) == -EBADMSG, v->name, "another root key",
          "");
}

static void check_spoiled(const struct vector *v)
{
    uint8_t *bytes = malloc(v->cert.len);
    size_t last = SIZE_MAX;
    char where[32];

    if (!bytes)
        vector_die("out of memory", v->name);
    memcpy(bytes, v->cert.bytes, v->cert.len);
    for (size_t n = 0; n <= N_PLACES; n++) {
        size_t at = (v->cert.len - 1) * n / N_PLACES;
        int flipped, cut;
        if (at == last)
            continue;
        last = at;
        bytes[at] ^= (uint8_t)(1 << n % 8);
        flipped = verify(v, ic_view(bytes, v->cert.len), v->root_key, v->time_ns);
        bytes[at] ^= (uint8_t)(1 << n % 8);
        cut = verify(v, ic_view(bytes, at), v->root_key, v->time_ns);
        snprintf(where, sizeof(where), "byte %zu", at);
        check(flipped == -EPROTO || flipped == -EBADMSG, v->name, "one bit flipped", where);
        check(cut == -EPROTO, v->name, "cut off", where);
    }
    free(bytes);
}

static void check_others(const struct vector *v)
{
    struct vector other = *v;
    struct ic_principal far = {.len = 29}; /* above all others */

    memset(far.bytes, 0xff, 29);
    if (v->is_delegated)
        check(verify_for(v, v->cert, v->root_key, v->time_ns, &far) == -EBADMSG, v->name,
              "a canister far away", "");
    other.subnet.bytes[0] ^= 1;
    check(verify_for(&other, v->cert, v->root_key, v->time_ns, NULL) == -EBADMSG, v->name,
          "another subnet", "");
}

/* Canisters named by the vector: texts, or bytes in hexadecimal. */
static void check_canisters(const struct vector *v, json_t *list, bool is_hex, bool is_good)
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        const char *text = json_string_value(item);
        struct ic_principal p;
        int ret;
        if (is_hex) {
            struct ic_buf bytes = vector_unhex(text);
            if (ic_principal_from_bytes(bytes.bytes, bytes.len, &p) < 0)
                vector_die("not a principal", text);
            ic_buf_fini(&bytes);
        } else if (ic_principal_parse(text, &p) < 0) {
            vector_die("not a principal", text);
        }
        ret = verify_for(v, v->cert, v->root_key, v->time_ns, &p);
        check(is_good ? ret == 0 : ret == -EBADMSG, v->name,
              is_good ? "covers a canister" : "has no authority over a canister", text);
    }
}

/* Both ends of every range that the delegation is said to list. */
static void check_ranges(const struct vector *v, json_t *ranges)
{
    size_t i;
    json_t *range;
    json_array_foreach(ranges, i, range) check_canisters(v, range, false, true);
}

static void check_certificate(struct vector *v, json_t *computed, json_t *expected)
{
    static const struct {
        const char *key;
        bool is_hex, is_good;
    } lists[] = {{"ok_for", false, true},
                 {"ok_for_hex", true, true},
                 {"not_authorized_for", false, false},
                 {"not_authorized_for_hex", true, false},
                 {"must_fail_for", false, false}};
    json_t *delegation = json_object_get(computed, "delegation"), *shard;
    size_t i;

    v->time_ns = time_of(computed, "time_ns");
    v->is_delegated = delegation != NULL;
    if (delegation) {
        if (ic_principal_parse(vector_text(delegation, "subnet_id"), &v->subnet) < 0)
            vector_die("no subnet", v->name);
    } else if (ic_principal_self_authenticating(v->root_key, IC_ROOT_KEY_LEN, &v->subnet) < 0) {
        vector_die("out of memory", v->name);
    }
    check_content(v, computed);
    check_window(v);
    check_spoiled(v);
    check_others(v);
    for (i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        check_canisters(v, json_object_get(expected, lists[i].key), lists[i].is_hex,
                        lists[i].is_good);
    check_ranges(v, json_object_get(delegation, "ranges_flat"));
    json_array_foreach(json_object_get(delegation, "ranges_sharded"), i, shard)
        check_ranges(v, json_object_get(shard, "ranges"));
}

/* cert/NAME.json and .bin, of the mainnet */
static void check_cert_file(const char *dir, const char *name)
{
    char path[VECTOR_PATH];
    struct vector v = {.name = name};
    struct ic_buf file;
    json_t *json, *expected, *first;
    const char *encoding;

    join(path, dir, name, ".json");
    json = vector_load_json(path);
    join(path, dir, name, ".bin");
    file = vector_load(path);
    v.cert = ic_view(file.bytes, file.len);
    encoding = vector_text(json, "encoding");
    if ((!encoding || strcmp(encoding, "CBOR certificate") != 0) &&
        ic_response_decode_read_state(file.bytes, file.len, &v.cert, NULL) < 0)
        check(false, name, "holds a certificate", "");
    memcpy(v.root_key, ic_mainnet_root_key, IC_ROOT_KEY_LEN);
    forge_key_der(7, v.other_key);
    expected = json_object_get(json, "expected");
    first = json_array_get(json_object_get(expected, "ok_for"), 0);
    v.has_canister = first && ic_principal_parse(json_string_value(first), &v.canister) == 0;
    check_certificate(&v, json_object_get(json, "computed"), expected);
    ic_buf_fini(&file);
    json_decref(json);
}

/* ---- what real clients sent, and the answers they accepted ---- */

static void check_request(const char *name, const struct ic_buf *body, json_t *request)
{
    struct sent sent;
    uint8_t id[IC_REQUEST_ID_LEN] = {0};
    struct ic_view der, sig;
    struct ic_buf want;

    if (!sent_read(body, &sent) || !sent_id(&sent, id)) {
        check(false, name, "the request reads", "");
        return;
    }
    if (!vector_text(request, "request_id"))
        return; /* captured without it */
    want = vector_unhex(vector_text(request, "request_id"));
    check(want.len == sizeof(id) && memcmp(want.bytes, id, sizeof(id)) == 0, name, "the request id",
          vector_text(request, "request_id"));
    ic_buf_fini(&want);
    if (ic_cbor_map_bytes(&sent.envelope, "sender_pubkey", &der) < 0 || der.len != 44 ||
        ic_cbor_map_bytes(&sent.envelope, "sender_sig", &sig) < 0 ||
        json_integer_value(json_object_get(request, "delegations")) != 0)
        return; /* only Ed25519, and without delegations */
    check(sent_is_signed(der, sig, id), name, "the sender's signature", "");
    id[0] ^= 1;
    check(!sent_is_signed(der, sig, id), name, "not over another id", "");
}

/* The one node of the recording network. */
struct node {
    struct ic_principal id;
    struct ic_buf key;
};

static const uint8_t *find_key(void *arg, const struct ic_principal *id)
{
    const struct node *node = arg;
    return ic_principal_is_equal(id, &node->id) ? node->key.bytes : NULL;
}

static int verify_query(const struct ic_buf *body, const uint8_t *request_id, struct node *node,
                        int64_t now_ns)
{
    struct ic_query_response response;
    int ret = ic_response_decode_query(body->bytes, body->len, &response, NULL);
    return ret < 0 ? ret
                   : ic_response_verify_query(&response, request_id, find_key, node, now_ns,
                                              IC_CERTIFICATE_MAX_AGE_NS, NULL);
}

static void check_query(const char *name, struct ic_buf *body, json_t *json, json_t *keys)
{
    json_t *response = json_object_get(json, "response");
    struct ic_buf id = vector_unhex(vector_text(json_object_get(json, "request"), "request_id"));
    struct node node = {.key = vector_unhex(vector_text(keys, "node_pk"))};
    int64_t now = time_of(response, "timestamp");
    int n_taken = 0;

    if (node.key.len != IC_NODE_KEY_LEN || id.len != IC_REQUEST_ID_LEN ||
        ic_principal_parse(vector_text(response, "node"), &node.id) < 0)
        vector_die("no node or no request id", name);
    check(verify_query(body, id.bytes, &node, now) == 0, name, "the node's signature", "");
    check(verify_query(body, id.bytes, &node, now + 301 * SECOND) == -EBADMSG, name,
          "a second late", "");
    check(verify_query(body, id.bytes, &node, now - 301 * SECOND) == -EBADMSG, name,
          "a second early", "");
    /* the first three bytes are a tag that says nothing */
    for (size_t i = 3; i < body->len; i++) {
        body->bytes[i] ^= (uint8_t)(1 << i % 8);
        n_taken += verify_query(body, id.bytes, &node, now) == 0;
        body->bytes[i] ^= (uint8_t)(1 << i % 8);
    }
    check(n_taken == 0, name, "one bit flipped anywhere", "");
    id.bytes[0] ^= 1;
    check(verify_query(body, id.bytes, &node, now) == -EBADMSG, name, "another request", "");
    ic_buf_fini(&node.key);
    ic_buf_fini(&id);
}

/* "POST /api/v4/canister/ID/call as sent by ..." */
static bool canister_asked(const char *what, struct ic_principal *out)
{
    char text[IC_PRINCIPAL_TEXT];
    const char *id = what ? strstr(what, "/canister/") : NULL;
    size_t len = id ? strcspn(id + 10, "/") : 0;
    if (len == 0 || len >= sizeof(text))
        return false;
    memcpy(text, id + 10, len);
    text[len] = '\0';
    return ic_principal_parse(text, out) == 0;
}

static void check_client_certificate(const char *name, const struct ic_buf *body, json_t *json)
{
    struct vector v = {.name = name};
    struct ic_buf key = vector_unhex(vector_text(json, "mock_root_key_der"));
    const char *what = vector_text(json, "what");
    struct ic_call_response call = {0};
    int ret;

    if (key.len != IC_ROOT_KEY_LEN)
        vector_die("no root key", name);
    memcpy(v.root_key, key.bytes, IC_ROOT_KEY_LEN);
    memcpy(v.other_key, ic_mainnet_root_key, IC_ROOT_KEY_LEN);
    ic_buf_fini(&key);
    v.has_canister = canister_asked(what, &v.canister);
    if (strstr(what, "/call ")) {
        ret = ic_response_decode_call(body->bytes, body->len, &call, NULL);
        v.cert = call.certificate;
    } else {
        ret = ic_response_decode_read_state(body->bytes, body->len, &v.cert, NULL);
    }
    check(ret == 0 && v.cert.len > 0, name, "the answer holds a certificate", "");
    if (ret == 0 && v.cert.len > 0)
        check_certificate(&v, json_object_get(json, "response_certificate"), NULL);
}

static void check_client_file(const char *dir, const char *name)
{
    char path[VECTOR_PATH];
    struct ic_buf body;
    json_t *json, *keys;

    join(path, dir, name, ".json");
    json = vector_load_json(path);
    join(path, dir, name, ".req.bin");
    if (access(path, R_OK) == 0) {
        body = vector_load(path);
        check_request(name, &body, json_object_get(json, "request"));
        ic_buf_fini(&body);
    }
    join(path, dir, name, ".resp.bin");
    if (access(path, R_OK) == 0) {
        body = vector_load(path);
        if (json_object_get(json, "response_certificate"))
            check_client_certificate(name, &body, json);
        join(path, dir, "mock_keys", ".json");
        if (json_object_get(json, "response") && access(path, R_OK) == 0) {
            keys = vector_load_json(path);
            check_query(name, &body, json, keys);
            json_decref(keys);
        }
        ic_buf_fini(&body);
    }
    json_decref(json);
}

/* ---- single files ---- */

static void check_bls(json_t *file)
{
    size_t i;
    json_t *row;
    char name[32];
    json_array_foreach(json_object_get(file, "verify"), i, row)
    {
        struct ic_buf sig = vector_unhex(vector_text(row, "signature_g1_compressed"));
        struct ic_buf msg = vector_unhex(vector_text(row, "message"));
        struct ic_buf key = vector_unhex(vector_text(row, "public_key_g2_compressed"));
        bool is_formed = sig.len == IC_BLS_SIGNATURE_LEN && key.len == IC_BLS_KEY_LEN;
        bool ok = is_formed && ic_bls_verify(key.bytes, sig.bytes, msg.bytes, msg.len) == 0;
        snprintf(name, sizeof(name), "bls verify %zu", i);
        check(ok == json_is_true(json_object_get(row, "valid")), name, "valid or not", "");
        ic_buf_fini(&sig);
        ic_buf_fini(&msg);
        ic_buf_fini(&key);
    }
    json_array_foreach(json_object_get(file, "sign"), i, row)
    {
        struct ic_buf sig = vector_unhex(vector_text(row, "expected_signature"));
        struct ic_buf msg = vector_unhex(vector_text(row, "message"));
        struct ic_buf key = vector_unhex(vector_text(row, "public_key"));
        snprintf(name, sizeof(name), "bls sign %zu", i);
        check(sig.len == IC_BLS_SIGNATURE_LEN && key.len == IC_BLS_KEY_LEN &&
                  ic_bls_verify(key.bytes, sig.bytes, msg.bytes, msg.len) == 0,
              name, "the expected signature verifies", "");
        ic_buf_fini(&sig);
        ic_buf_fini(&msg);
        ic_buf_fini(&key);
    }
}

static void check_lookup(const struct ic_hash_tree *tree, json_t *row)
{
    static const char *const results[] = {[IC_LOOKUP_FOUND] = "Found",
                                          [IC_LOOKUP_ABSENT] = "Absent",
                                          [IC_LOOKUP_UNKNOWN] = "Unknown",
                                          [IC_LOOKUP_ERROR] = "Error"};
    struct ic_label labels[8];
    json_t *label, *list = json_array_get(row, 0);
    struct ic_path path = {labels, json_array_size(list)};
    const char *want = json_string_value(json_array_get(row, 1));
    const char *content = json_string_value(json_array_get(row, 2));
    struct ic_view value = {0};
    enum ic_lookup got;
    size_t i;

    if (path.n > 8 || !want)
        vector_die("not a lookup", "hash_tree.json");
    json_array_foreach(list, i, label) labels[i] = ic_label_text(json_string_value(label));
    got = ic_hash_tree_lookup(tree, &path, &value);
    check(strcmp(results[got], want) == 0, "hash_tree", "lookup", want);
    if (content)
        check(ic_view_is_text(value, content), "hash_tree", "value", content);
}

static void check_hash_tree(json_t *file)
{
    struct ic_buf want = vector_unhex(vector_text(file, "root_hash"));
    static const char *const forms[] = {"full_cbor", "pruned_cbor"};
    size_t i, k;
    json_t *row;
    for (i = 0; i < 2; i++) {
        struct ic_buf b = vector_unhex(vector_text(file, forms[i]));
        struct ic_hash_tree *tree = NULL;
        uint8_t digest[IC_SHA256_LEN] = {0};
        int ret = ic_hash_tree_decode(ic_view(b.bytes, b.len), &tree);
        check(ret == 0, "hash_tree", forms[i], "");
        if (ret == 0) {
            check(ic_hash_tree_digest(tree, digest) == 0 &&
                      ic_view_equal(ic_view(digest, 32), ic_view(want.bytes, want.len)),
                  "hash_tree", forms[i], "root hash");
            if (i == 1)
                json_array_foreach(json_object_get(file, "lookups_in_pruned"), k, row)
                    check_lookup(tree, row);
        }
        ic_hash_tree_free(tree);
        ic_buf_fini(&b);
    }
    ic_buf_fini(&want);
}

static void check_request_ids(json_t *file)
{
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(file, "vectors"), i, v)
    {
        struct ic_buf want = vector_unhex(vector_text(v, "expected"));
        uint8_t got[IC_SHA256_LEN] = {0};
        check(fields_hash(json_object_get(v, "fields"), got) &&
                  ic_view_equal(ic_view(got, sizeof(got)), ic_view(want.bytes, want.len)),
              "request_ids", vector_text(v, "note"), "");
        ic_buf_fini(&want);
    }
}

static void check_principals(json_t *file)
{
    size_t i;
    json_t *v;
    char text[IC_PRINCIPAL_TEXT];
    json_array_foreach(json_object_get(file, "valid"), i, v)
    {
        struct ic_buf bytes = vector_unhex(vector_text(v, "hex"));
        struct ic_principal p, q;
        bool ok = ic_principal_from_bytes(bytes.bytes, bytes.len, &p) == 0 &&
                  ic_principal_parse(vector_text(v, "text"), &q) == 0 &&
                  ic_principal_is_equal(&p, &q);
        if (ok)
            ic_principal_format(&p, text);
        check(ok && strcmp(text, vector_text(v, "text")) == 0, "principals", "valid",
              vector_text(v, "text"));
        ic_buf_fini(&bytes);
    }
    json_array_foreach(json_object_get(file, "invalid_text"), i, v)
    {
        struct ic_principal p;
        const char *bad = json_string_value(json_is_object(v) ? json_object_get(v, "text") : v);
        check(bad && ic_principal_parse(bad, &p) < 0, "principals", "invalid", bad ? bad : "");
    }
}

/* Is this link signed with the key before it? */
static bool is_link_signed(json_t *link, const struct ic_buf *signer)
{
    json_t *delegation = json_object_get(link, "delegation");
    struct ic_buf key = vector_unhex(vector_text(delegation, "pubkey"));
    struct ic_buf sig = vector_unhex(vector_text(link, "signature"));
    uint8_t msg[27 + IC_SHA256_LEN] = "\x1Aic-request-auth-delegation";
    struct ic_map_hash h;
    bool ok = ic_map_hash_init(&h) == 0;

    if (ok) {
        ic_map_hash_bytes(&h, "pubkey", ic_view(key.bytes, key.len));
        ic_map_hash_nat(&h, "expiration",
                        strtoull(vector_text(delegation, "expiration"), NULL, 16));
        ok = ic_map_hash_fini(&h, msg + 27) == 0 &&
             ic_identity_key_verify(ic_view(signer->bytes, signer->len), msg, sizeof(msg),
                                    ic_view(sig.bytes, sig.len)) == 0;
    }
    ic_buf_fini(&key);
    ic_buf_fini(&sig);
    return ok;
}

static void check_delegation_chain(json_t *file)
{
    json_t *chain = json_object_get(file, "chain"), *link;
    struct ic_buf signer = vector_unhex(vector_text(chain, "publicKey"));
    size_t i;
    json_array_foreach(json_object_get(chain, "delegations"), i, link)
    {
        json_t *key = json_object_get(json_object_get(link, "delegation"), "pubkey");
        check(is_link_signed(link, &signer), "delegation chain", "signed by the key before", "");
        ic_buf_fini(&signer);
        signer = vector_unhex(json_string_value(key));
        check(!is_link_signed(link, &signer), "delegation chain", "and by no other", "");
    }
    ic_buf_fini(&signer);
}

/* ---- key files ---- */

/* Each file of the index, and no other. */
static void check_key_files(const char *dir)
{
    char path[VECTOR_PATH];
    const char *name;
    json_t *index, *files, *expected;
    struct dirent *e;
    DIR *d = opendir(dir);

    if (!d)
        vector_die("cannot open", dir);
    join(path, dir, "index.json", "");
    index = vector_load_json(path);
    files = json_object_get(index, "files");
    json_object_foreach(files, name, expected)
    {
        join(path, dir, name, "");
        if (!json_is_string(expected))
            vector_die("not a text in the index", name);
        pem_vector_check(path, json_string_value(expected), check);
    }
    while ((e = readdir(d)))
        if (strstr(e->d_name, ".pem"))
            check(json_object_get(files, e->d_name) != NULL, e->d_name, "is in the index", "");
    closedir(d);
    json_decref(index);
}

/* ---- the directory ---- */

static void key_files(const char *top)
{
    char dir[VECTOR_PATH];

    join(dir, top, "pem", "");
    if (access(dir, R_OK) != 0) {
        printf("no pem\n");
        return;
    }
    n_parts++;
    check_key_files(dir);
}

static void each_json(const char *top, const char *sub, void (*fn)(const char *, const char *))
{
    char dir[VECTOR_PATH], name[256];
    struct dirent *e;
    DIR *d;

    join(dir, top, sub, "");
    d = opendir(dir);
    if (!d) {
        printf("no %s\n", sub);
        return;
    }
    n_parts++;
    while ((e = readdir(d))) {
        size_t len = strlen(e->d_name);
        if (len <= 5 || strcmp(e->d_name + len - 5, ".json") != 0 ||
            strcmp(e->d_name, "mock_keys.json") == 0)
            continue;
        memcpy(name, e->d_name, len - 5);
        name[len - 5] = '\0';
        fn(dir, name);
    }
    closedir(d);
}

static void one_json(const char *top, const char *name, void (*fn)(json_t *))
{
    char path[VECTOR_PATH];
    json_t *file;

    join(path, top, name, "");
    if (access(path, R_OK) != 0) {
        printf("no %s\n", name);
        return;
    }
    n_parts++;
    file = vector_load_json(path);
    fn(file);
    json_decref(file);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: cert_vectors DIR\n");
        return 2;
    }
    each_json(argv[1], "cert", check_cert_file);
    each_json(argv[1], "client", check_client_file);
    key_files(argv[1]);
    one_json(argv[1], "bls_signatures.json", check_bls);
    one_json(argv[1], "hash_tree.json", check_hash_tree);
    one_json(argv[1], "request_ids.json", check_request_ids);
    one_json(argv[1], "principals.json", check_principals);
    one_json(argv[1], "delegation_chain_ed25519.json", check_delegation_chain);
    check(n_parts > 0, argv[1], "holds vectors", "");
    printf("%d passed, %d failed\n", n_passed, n_failed);
    return n_failed > 0;
}
