/* Responses: those of real clients, the hash vectors by signature, and malformed ones. */
#include "ic/call_status.h"
#include "ic/cbor.h"
#include "ic/identity.h"
#include "ic/map_hash.h"
#include "ic/response.h"
#include "tests/ic/forge.h"
#include "tests/ic/vectors.h"
#include "tests/tap.h"

#include <errno.h>

TAP_STATE;

#define SECOND  1000000000LL
#define MINUTES (60 * SECOND)
#define NOW     (1800000000LL * SECOND)

/* An errno and the code that goes with it: both, always. */
static void expect(int ret, const struct ic_error *err, int want, enum ic_errc code,
                   const char *what)
{
    char text[128];
    TAP_INT(ret, want, what);
    snprintf(text, sizeof(text), "%s: code", what);
    TAP_INT(err->code, code, text);
}

/* One known node. */
struct node {
    struct ic_principal id;
    uint8_t key[IC_NODE_KEY_LEN];
    int n_asked;
};

static const uint8_t *find_key(void *arg, const struct ic_principal *id)
{
    struct node *node = arg;
    node->n_asked++;
    return ic_principal_is_equal(id, &node->id) ? node->key : NULL;
}

/* The node whose secret seed is 32 times the byte, as in vectors/client/mock_keys.json. */
static struct ic_identity *node_identity(uint8_t byte, struct node *node)
{
    uint8_t seed[32];
    struct ic_identity *id;
    struct ic_view der;

    memset(seed, byte, sizeof(seed));
    if (ic_identity_new_ed25519(seed, &id) < 0)
        vector_die("out of memory", "identity");
    der = ic_identity_public_key_der(id);
    *node = (struct node){.id = *ic_identity_principal(id)};
    memcpy(node->key, der.bytes + der.len - IC_NODE_KEY_LEN, IC_NODE_KEY_LEN);
    return id;
}

/* ---- query answers that the real clients accepted ---- */

static void test_client_query(const char *data_dir, const char *name)
{
    char file[128], text[IC_PRINCIPAL_TEXT];
    struct ic_buf body, arg, id;
    struct ic_query_response r;
    struct ic_error err = {0};
    struct node node;
    int64_t now;
    json_t *json, *response;

    snprintf(file, sizeof(file), "client/%s.json", name);
    json = vector_json(data_dir, file);
    response = json_object_get(json, "response");
    snprintf(file, sizeof(file), "client/%s.resp.bin", name);
    body = vector_file(data_dir, file);
    arg = vector_unhex(vector_text(response, "reply"));
    id = vector_unhex(vector_text(json_object_get(json, "request"), "request_id"));
    now = (int64_t)strtoull(vector_text(response, "timestamp"), NULL, 10);
    ic_identity_free(node_identity(3, &node));

    TAP_INT(ic_response_decode_query(body.bytes, body.len, &r, &err), 0, name);
    TAP_OK(r.replied, "replied");
    TAP_OK(ic_view_equal(ic_view(r.arg, r.arg_len), ic_view(arg.bytes, arg.len)), "with its reply");
    TAP_OK(r.arg > body.bytes && r.arg < body.bytes + body.len, "that is a view");
    TAP_INT((int64_t)r.n_signatures, 1, "one signature");
    ic_principal_format(&r.signatures[0].identity, text);
    TAP_STR(text, vector_text(response, "node"), "of its node");
    TAP_INT(ic_response_verify_query(&r, id.bytes, find_key, &node, now, 5 * MINUTES, &err), 0,
            "verifies");
    TAP_INT(node.n_asked, 1, "the key was asked for once");
    id.bytes[7] ^= 4;
    TAP_INT(ic_response_verify_query(&r, id.bytes, find_key, &node, now, 5 * MINUTES, &err),
            -EBADMSG, "not for another request");
    ic_buf_fini(&body);
    ic_buf_fini(&arg);
    ic_buf_fini(&id);
    json_decref(json);
}

/* ---- answers of our own making ---- */

struct made {
    bool replied;
    struct ic_view arg;
    uint32_t reject_code;
    const char *message, *error_code;
    uint64_t timestamp;
};

static const uint8_t request_id[IC_REQUEST_ID_LEN] = "thirty-two bytes of a request id";

/* The 12 bytes before the hash. */
static const char *domain = "\x0Bic-response";

static void sign(const struct made *m, const struct ic_identity *id, uint8_t sig[IC_SIGNATURE_LEN])
{
    struct ic_map_hash h;
    uint8_t digest[32], msg[12 + 32];
    int ret = ic_map_hash_init(&h);

    if (ret == 0 && m->replied) {
        ic_map_hash_bytes(&h, "arg", m->arg);
        ret = ic_map_hash_fini(&h, digest);
        if (ret == 0)
            ret = ic_map_hash_init(&h);
    }
    if (ret < 0)
        vector_die("out of memory", "sign");
    ic_map_hash_text(&h, "status", m->replied ? "replied" : "rejected");
    if (m->replied) {
        ic_map_hash_digest(&h, "reply", digest);
    } else {
        ic_map_hash_nat(&h, "reject_code", m->reject_code);
        ic_map_hash_text(&h, "reject_message", m->message);
        if (m->error_code)
            ic_map_hash_text(&h, "error_code", m->error_code);
    }
    ic_map_hash_nat(&h, "timestamp", m->timestamp);
    ic_map_hash_bytes(&h, "request_id", ic_view(request_id, sizeof(request_id)));
    memcpy(msg, domain, 12);
    if (ic_map_hash_fini(&h, msg + 12) < 0 || ic_identity_sign(id, msg, sizeof(msg), sig) < 0)
        vector_die("out of memory", "sign");
}

static void put_signatures(struct ic_buf *b, const struct made *m, const struct ic_identity *id,
                           size_t n)
{
    uint8_t sig[IC_SIGNATURE_LEN];
    sign(m, id, sig);
    ic_cbor_put_text(b, "signatures");
    ic_cbor_put_array(b, n);
    for (size_t i = 0; i < n; i++) {
        ic_cbor_put_map(b, 3);
        ic_cbor_put_text(b, "timestamp");
        ic_cbor_put_uint(b, m->timestamp);
        ic_cbor_put_text(b, "signature");
        ic_cbor_put_bytes(b, ic_view(sig, sizeof(sig)));
        ic_cbor_put_text(b, "identity");
        ic_cbor_put_bytes(b, ic_principal_view(ic_identity_principal(id)));
    }
}

static struct ic_buf make(const struct made *m, const struct ic_identity *id, size_t n_signatures)
{
    struct ic_buf b = {0};
    ic_cbor_put_self_described(&b);
    ic_cbor_put_map(&b, m->replied ? 3 : m->error_code ? 5 : 4);
    ic_cbor_put_text(&b, "status");
    ic_cbor_put_text(&b, m->replied ? "replied" : "rejected");
    if (m->replied) {
        ic_cbor_put_text(&b, "reply");
        ic_cbor_put_map(&b, 1);
        ic_cbor_put_text(&b, "arg");
        ic_cbor_put_bytes(&b, m->arg);
    } else {
        ic_cbor_put_text(&b, "reject_code");
        ic_cbor_put_uint(&b, m->reject_code);
        ic_cbor_put_text(&b, "reject_message");
        ic_cbor_put_text(&b, m->message);
        if (m->error_code) {
            ic_cbor_put_text(&b, "error_code");
            ic_cbor_put_text(&b, m->error_code);
        }
    }
    put_signatures(&b, m, id, n_signatures);
    if (ic_buf_status(&b) < 0)
        vector_die("out of memory", "make");
    return b;
}

static int check(const struct ic_buf *body, struct node *node, int64_t now, struct ic_error *err)
{
    struct ic_query_response r;
    int ret;
    *err = (struct ic_error){0};
    ret = ic_response_decode_query(body->bytes, body->len, &r, err);
    if (ret == 0)
        ret = ic_response_verify_query(&r, request_id, find_key, node, now, 5 * MINUTES, err);
    return ret;
}

/* Decode and verify a body; and a decoded answer. */
static void expect_check(const struct ic_buf *body, struct node *node, int64_t now, int want,
                         enum ic_errc code, const char *what)
{
    struct ic_error err;
    int ret = check(body, node, now, &err);
    expect(ret, &err, want, code, what);
}

static void expect_verify(const struct ic_query_response *r, struct node *node, int want,
                          enum ic_errc code, const char *what)
{
    struct ic_error err = {0};
    int ret = ic_response_verify_query(r, request_id, find_key, node, NOW, 5 * MINUTES, &err);
    expect(ret, &err, want, code, what);
}

static void test_rejected(void)
{
    struct node node;
    struct ic_identity *id = node_identity(3, &node);
    struct made m = {.reject_code = 5, .message = "no", .error_code = "IC0503", .timestamp = NOW};
    struct ic_query_response r;
    struct ic_buf b = make(&m, id, 1);

    TAP_INT(ic_response_decode_query(b.bytes, b.len, &r, NULL), 0, "a rejection");
    TAP_OK(!r.replied, "is none of the replied");
    TAP_INT(r.reject_code, 5, "its code");
    TAP_OK(ic_view_is_text(r.reject_message, "no"), "its message");
    TAP_OK(r.has_error_code && ic_view_is_text(r.error_code, "IC0503"), "its error code");
    expect_check(&b, &node, NOW, 0, IC_OK, "verifies");
    r.reject_code = 4;
    expect_verify(&r, &node, -EBADMSG, IC_E_UNVERIFIED, "not with another code");
    r.reject_code = 5;
    r.has_error_code = false;
    expect_verify(&r, &node, -EBADMSG, IC_E_UNVERIFIED, "not without the error code");
    ic_buf_fini(&b);

    m.error_code = NULL;
    b = make(&m, id, 1);
    expect_check(&b, &node, NOW, 0, IC_OK, "a rejection without an error code");
    ic_buf_fini(&b);
    m.error_code = "";
    b = make(&m, id, 1);
    expect_check(&b, &node, NOW, 0, IC_OK, "an empty error code is not an absent one");
    ic_buf_fini(&b);
    ic_identity_free(id);
}

static void test_signatures(void)
{
    struct node node, other;
    struct ic_identity *id = node_identity(3, &node);
    struct made m = {.replied = true, .arg = ic_view("reply", 5), .timestamp = NOW};
    struct ic_buf b = make(&m, id, 1);
    struct ic_query_response r;
    struct ic_error err;
    size_t n_taken = 0;

    ic_identity_free(node_identity(4, &other));
    expect_check(&b, &node, NOW, 0, IC_OK, "a good answer");
    expect_check(&b, &node, NOW + 5 * MINUTES, 0, IC_OK, "5 minutes old");
    expect_check(&b, &node, NOW + 5 * MINUTES + 1, -EBADMSG, IC_E_UNVERIFIED, "and a nanosecond");
    expect_check(&b, &node, NOW - 5 * MINUTES, 0, IC_OK, "5 minutes ahead");
    expect_check(&b, &node, NOW - 5 * MINUTES - 1, -EBADMSG, IC_E_UNVERIFIED, "and a nanosecond");
    expect_check(&b, &node, -1, -EBADMSG, IC_E_UNVERIFIED, "a clock before 1970");
    expect_check(&b, &other, NOW, -EBADMSG, IC_E_UNVERIFIED, "an unknown node");
    TAP_INT(other.n_asked, 1, "which was asked for");
    other.id = node.id;
    expect_check(&b, &other, NOW, -EBADMSG, IC_E_UNVERIFIED, "the node with another key");
    memset(other.key, 0xff, sizeof(other.key));
    expect_check(&b, &other, NOW, -EBADMSG, IC_E_UNVERIFIED, "a key that is no point");

    TAP_INT(ic_response_decode_query(b.bytes, b.len, &r, NULL), 0, "decoded");
    r.signatures[0].signature.len = 63;
    expect_verify(&r, &node, -EBADMSG, IC_E_UNVERIFIED, "a signature too short");
    r.n_signatures = 0;
    expect_verify(&r, &node, -EBADMSG, IC_E_UNVERIFIED, "no signature at all");

    for (size_t i = 3; i < b.len; i++) {
        b.bytes[i] ^= (uint8_t)(1 << i % 8);
        n_taken += check(&b, &node, NOW, &err) == 0;
        b.bytes[i] ^= (uint8_t)(1 << i % 8);
    }
    TAP_INT((int64_t)n_taken, 0, "with any bit flipped it is refused");
    ic_buf_fini(&b);

    domain = "\x0Bic-request.";
    b = make(&m, id, 1);
    expect_check(&b, &node, NOW, -EBADMSG, IC_E_UNVERIFIED, "signed under another domain");
    ic_buf_fini(&b);
    domain = "\x0Bic-response";

    b = make(&m, id, 3);
    expect_check(&b, &node, NOW, 0, IC_OK, "three good signatures");
    b.bytes[b.len - 45] ^= 1; /* in the last signature */
    expect_check(&b, &node, NOW, -EBADMSG, IC_E_UNVERIFIED, "one of three is bad");
    ic_buf_fini(&b);
    b = make(&m, id, IC_RESPONSE_SIGNATURES);
    expect_check(&b, &node, NOW, 0, IC_OK, "as many signatures as there may be");
    ic_buf_fini(&b);
    b = make(&m, id, IC_RESPONSE_SIGNATURES + 1);
    expect_check(&b, &node, NOW, -EPROTO, IC_E_MALFORMED, "one more");
    ic_buf_fini(&b);
    b = make(&m, id, 0);
    expect_check(&b, &node, NOW, -EPROTO, IC_E_MALFORMED, "an empty list of signatures");
    ic_buf_fini(&b);
    ic_identity_free(id);
}

/* A reply as large as they come is decoded in place. */
static void test_large(void)
{
    size_t len = 3000000;
    uint8_t *arg = calloc(1, len);
    struct node node;
    struct ic_identity *id = node_identity(3, &node);
    struct made m = {.replied = true, .arg = ic_view(arg, len), .timestamp = NOW};
    struct ic_query_response r;
    struct ic_buf b;

    if (!arg)
        vector_die("out of memory", "large");
    b = make(&m, id, 1);
    TAP_INT(ic_response_decode_query(b.bytes, b.len, &r, NULL), 0, "three million bytes");
    TAP_INT((int64_t)r.arg_len, (int64_t)len, "all of them");
    TAP_OK(r.arg > b.bytes && r.arg + len < b.bytes + b.len, "in place");
    expect_check(&b, &node, NOW, 0, IC_OK, "verify");
    ic_buf_fini(&b);
    free(arg);
    ic_identity_free(id);
}

/* ---- malformed ones ---- */

/* Maps in hexadecimal: "status" and what follows it. */
#define STATUS     "66737461747573"
#define REPLIED    STATUS "677265706c696564"
#define REJECTED   STATUS "6872656a6563746564"
#define REPLY      "657265706c79"
#define ARG        "6361726740"
#define SIGNATURES "6a7369676e617475726573"
#define CODE       "6b72656a6563745f636f6465"
#define MESSAGE    "6e72656a6563745f6d657373616765"
#define ERROR_CODE "6a6572726f725f636f6465"
#define CERT       "6b6365727469666963617465"

enum kind { QUERY, CALL, READ_STATE, STATUS_ANSWER };

static int decode_as(enum kind kind, const struct ic_buf *b, struct ic_error *err)
{
    struct ic_query_response query;
    struct ic_call_response call;
    struct ic_view cert;
    struct ic_status_response status;
    switch (kind) {
    case QUERY:
        return ic_response_decode_query(b->bytes, b->len, &query, err);
    case CALL:
        return ic_response_decode_call(b->bytes, b->len, &call, err);
    case READ_STATE:
        return ic_response_decode_read_state(b->bytes, b->len, &cert, err);
    case STATUS_ANSWER:
        return ic_response_decode_status(b->bytes, b->len, &status, err);
    }
    return 0;
}

/* Each is malformed in one way, which the message must name: so that no row fails for another
 * reason than its own. */
static void test_malformed(void)
{
    static const struct {
        enum kind kind;
        const char *hex, *words;
    } table[] = {
        {QUERY, "", "not a CBOR map"},
        {QUERY, "80", "not a CBOR map"},
        {QUERY, "a1" REPLIED "00", "not a CBOR map"},
        {QUERY, "a2" REPLIED REPLIED, "not a CBOR map"},
        {QUERY, "a0", "no status"},
        {QUERY, "a1" STATUS "01", "no status"},
        {QUERY, "a1" STATUS "6161", "unknown status of a query"},
        {QUERY, "a1" REPLIED, "no reply"},
        {QUERY, "a2" REPLIED REPLY "01", "no reply"},
        {QUERY, "a2" REPLIED REPLY "a0", "no reply"},
        {QUERY, "a2" REPLIED REPLY "a16361726701", "no reply"},
        {QUERY, "a2" REPLIED REPLY "a1" ARG, "no signatures"},
        {QUERY, "a3" REPLIED REPLY "a1" ARG SIGNATURES "01", "no signatures"},
        {QUERY, "a3" REPLIED REPLY "a1" ARG SIGNATURES "80", "no signatures"},
        {QUERY, "a3" REPLIED REPLY "a1" ARG SIGNATURES "81a0", "a signature is malformed"},
        {QUERY, "a1" REJECTED, "no reject_code"},
        {QUERY, "a2" REJECTED CODE "1b0000000100000000", "no reject_code"},
        {QUERY, "a2" REJECTED CODE "20", "no reject_code"},
        {QUERY, "a2" REJECTED CODE "05", "no reject_message"},
        {QUERY, "a3" REJECTED CODE "05" MESSAGE "61ff", "no reject_message"}, /* not UTF-8 */
        {QUERY, "a3" REJECTED CODE "05" MESSAGE "4161", "no reject_message"},
        {QUERY, "a4" REJECTED CODE "05" MESSAGE "60" ERROR_CODE "01", "error_code is not text"},
        {QUERY, "a3" REJECTED CODE "05" MESSAGE "60", "no signatures"},
        {CALL, "", "not a CBOR map"},
        {CALL, "80", "not a CBOR map"},
        {CALL, "a0", "no reject_code"},
        {CALL, "a1" STATUS "01", "a status that is not text"},
        {CALL, "a1" STATUS "6161", "unknown status of a call"},
        {CALL, "a1" REJECTED, "unknown status of a call"},
        {CALL, "a1" REPLIED, "no certificate"},
        {CALL, "a2" REPLIED CERT "01", "no certificate"},
        {CALL, "a1" CODE "05", "no reject_message"},
        {READ_STATE, "", "not a CBOR map"},
        {READ_STATE, "a0", "no certificate"},
        {READ_STATE, "a1" CERT "6161", "no certificate"},
        {STATUS_ANSWER, "80", "not a CBOR map"},
        {STATUS_ANSWER, "a168726f6f745f6b657901", "root_key is not a byte string"},
        {STATUS_ANSWER, "a1757265706c6963615f6865616c74685f73746174757301",
         "replica_health_status is not text"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct ic_error err = {0};
        struct ic_buf b = vector_unhex(table[i].hex);
        char what[96];
        int ret = decode_as(table[i].kind, &b, &err);
        snprintf(what, sizeof(what), "malformed %zu, %s", i, table[i].words);
        expect(ret, &err, -EPROTO, IC_E_MALFORMED, what);
        if (!TAP_OK(strstr(err.message, table[i].words) != NULL, what))
            printf("# %s\n", err.message);
        ic_buf_fini(&b);
    }
}

/* ---- call, status, outcome ---- */

static void test_call(void)
{
    struct ic_buf b = {0};
    struct ic_call_response r;

    ic_cbor_put_map(&b, 4);
    ic_cbor_put_text(&b, "status");
    ic_cbor_put_text(&b, "non_replicated_rejection");
    ic_cbor_put_text(&b, "reject_code");
    ic_cbor_put_uint(&b, 4);
    ic_cbor_put_text(&b, "reject_message");
    ic_cbor_put_text(&b, "refused");
    ic_cbor_put_text(&b, "error_code");
    ic_cbor_put_text(&b, "IC0406");
    TAP_INT(ic_response_decode_call(b.bytes, b.len, &r, NULL), 0, "refused before it ran");
    TAP_OK(!r.certified && r.reject_code == 4 && ic_view_is_text(r.reject_message, "refused") &&
               ic_view_is_text(r.error_code, "IC0406"),
           "with code, message and error code");
    ic_buf_fini(&b);

    b = vector_unhex("a2" CODE "04" MESSAGE "626e6f");
    TAP_INT(ic_response_decode_call(b.bytes, b.len, &r, NULL), 0, "the same in v2: no status");
    TAP_OK(!r.certified && r.reject_code == 4 && ic_view_is_text(r.reject_message, "no") &&
               r.error_code.len == 0,
           "with code and message");
    ic_buf_fini(&b);
}

static void test_status(const char *data_dir)
{
    struct ic_buf b = vector_file(data_dir, "client/deleg_005_status.resp.bin");
    uint8_t root[IC_ROOT_KEY_LEN];
    struct ic_status_response r;

    forge_key_der(7, root);
    TAP_INT(ic_response_decode_status(b.bytes, b.len, &r, NULL), 0, "a status");
    TAP_OK(ic_view_equal(r.root_key, ic_view(root, sizeof(root))), "with the root key");
    TAP_OK(ic_view_is_text(r.health_status, "healthy"), "healthy");
    ic_buf_fini(&b);
    b = vector_unhex("a0");
    TAP_INT(ic_response_decode_status(b.bytes, b.len, &r, NULL), 0, "an empty status");
    TAP_INT((int64_t)r.root_key.len, 0, "without a root key");
    ic_buf_fini(&b);
}

static void test_client_call(const char *data_dir)
{
    struct ic_buf body = vector_file(data_dir, "client/deleg_001_call_greet.resp.bin"), id;
    json_t *json = vector_json(data_dir, "client/deleg_001_call_greet.json");
    uint8_t root[IC_ROOT_KEY_LEN];
    struct ic_trust trust = {.root_key = root,
                             .root_key_len = sizeof(root),
                             .max_age_ns = MINUTES,
                             .max_ahead_ns = MINUTES};
    struct ic_principal canister;
    struct ic_call_response r = {0};
    struct ic_call_outcome o = {0};
    struct ic_certificate *cert = NULL;

    forge_key_der(7, root);
    id = vector_unhex(vector_text(json_object_get(json, "request"), "request_id"));
    trust.now_ns = (int64_t)strtoull(
        vector_text(json_object_get(json, "response_certificate"), "time_ns"), NULL, 10);
    TAP_INT(ic_principal_parse("bkyz2-fmaaa-aaaaa-qaaaq-cai", &canister), 0, "a canister");
    TAP_INT(ic_response_decode_call(body.bytes, body.len, &r, NULL), 0, "a call icp made");
    TAP_INT(ic_certificate_verify_canister(r.certificate.bytes, r.certificate.len, &trust,
                                           &canister, &cert, NULL),
            0, "its certificate");
    TAP_INT(ic_call_status_read(ic_certificate_tree(cert), id.bytes, &o, NULL), 0, "its outcome");
    TAP_INT(o.status, IC_CALL_REPLIED, "replied");
    TAP_OK(o.reply.len > 4 && memcmp(o.reply.bytes, "DIDL", 4) == 0, "with Candid");
    ic_certificate_free(cert);
    ic_buf_fini(&body);
    ic_buf_fini(&id);
    json_decref(json);
}

int main(int argc, char **argv)
{
    static const char *const queries[] = {"deleg_003_query_greet", "deleg_006_query_greet",
                                          "root_003_query_greet",  "root_008_query_greet",
                                          "root_013_query_greet",  "root_018_query_greet"};
    if (argc != 2)
        return 1;
    for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++)
        test_client_query(argv[1], queries[i]);
    test_rejected();
    test_signatures();
    test_large();
    test_malformed();
    test_call();
    test_status(argv[1]);
    test_client_call(argv[1]);
    return tap_done();
}
