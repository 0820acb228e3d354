/* Every allocation fails once: each operation gives -ENOMEM, leaves its out-parameters alone, leaks
 * nothing (the sanitizer build watches), and works when nothing fails any more.
 *
 * The linker replaces malloc, calloc and realloc in our own objects (-Wl,--wrap).
 */
#include "ic/candid.h"
#include "ic/candid_coerce.h"
#include "ic/candid_convert.h"
#include "ic/candid_json.h"
#include "ic/candid_print.h"
#include "ic/candid_relation.h"
#include "ic/candid_split.h"
#include "ic/candid_text.h"
#include "ic/certificate.h"
#include "ic/did.h"
#include "ic/identity_delegation.h"
#include "ic/identity_pem.h"
#include "ic/request.h"
#include "ic/response.h"
#include "tests/ic/candid_hex.h"
#include "tests/ic/forge.h"
#include "tests/ic/vectors.h"
#include "tests/tap.h"

#include <errno.h>

TAP_STATE;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

static long until_failure = -1; /* allocations that still succeed; negative: all */

static bool fails(void)
{
    return until_failure >= 0 && until_failure-- == 0;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
    return fails() ? NULL : __real_realloc(p, size);
}

static const char *data_dir;

/* Run with the first, the second, ... allocation failing, until one run succeeds. */
static void test_all(int (*operation)(struct ic_error *err), const char *what)
{
    long n = 0;
    int ret = -ENOMEM;
    size_t n_other = 0, n_untold = 0;

    for (; n < 10000 && ret != 0; n++) {
        struct ic_error err = {0};
        until_failure = n;
        ret = operation(&err);
        n_other += ret != 0 && ret != -ENOMEM;
        n_untold += ret != 0 && err.code != IC_E_NO_MEMORY;
        if (ret != 0 && until_failure >= 0) /* it did not even get there */
            break;
    }
    until_failure = -1;
    TAP_INT(ret, 0, what);
    TAP_INT((int64_t)n_other, 0, "a failed allocation is -ENOMEM and nothing else");
    TAP_INT((int64_t)n_untold, 0, "and the error says so");
    TAP_OK(n > 1, "at least one allocation was made to fail");
}

/* ---- operations ---- */

static int no_error_struct(struct ic_error *err, int ret)
{
    if (ret == -ENOMEM)
        err->code = IC_E_NO_MEMORY;
    return ret;
}

static int decode_candid(struct ic_error *err)
{
    static const uint8_t msg[] = {
        'D',  'I',  'D',  'L',  7,              /* table of seven */
        0x6c, 3,    0,    1,    1, 3,   2,   5, /* 0: record { 0 : 1; 1 : 3; 2 : 5 } */
        0x6e, 2,                                /* 1: opt 2 */
        0x6d, 4,                                /* 2: vec 4 */
        0x6b, 1,    9,    6,                    /* 3: variant { 9 : 6 } */
        0x6c, 1,    0,    0x71,                 /* 4: record { text } */
        0x6d, 0x7f,                             /* 5: vec null */
        0x6a, 1,    0x7d, 0,    1, 1,           /* 6: func (nat) -> () query */
        2,    0,    0x7d,                       /* arguments: 0 and nat */
        1,    2,    1,    'a',  1, 'b',         /* opt: two records */
        0,    1,    1,    1,    4, 1,   'm',    /* variant: a func */
        100,                                    /* a hundred nulls */
        5,                                      /* nat */
    };
    struct ic_candid *out = NULL;
    int ret = ic_candid_decode(msg, sizeof(msg), NULL, &out, err);
    if (ret < 0 && out)
        return -EIO;
    ic_candid_free(out);
    return ret;
}

/* What is in an opt, cut, and put together again with a table in another order. */
static int split_candid(struct ic_error *err)
{
    static const uint8_t msg[] = {
        'D',  'I',  'D', 'L', 4,       /* table of four */
        0x6e, 1,                       /* 0: opt 1 */
        0x6c, 2,    1,   2,   2, 0x7d, /* 1: record { 1 : 2; 2 : nat } */
        0x6d, 3,                       /* 2: vec 3 */
        0x6d, 0x71,                    /* 3: vec text */
        1,    0,    1,                 /* one argument: some */
        2,    1,    1,   'a', 0,       /* two lists, of one text and of none */
        7,                             /* nat */
    };
    static const uint8_t other[] = {
        'D',  'I',  'D', 'L', 3,       /* table of three */
        0x6d, 0x71,                    /* 0: vec text */
        0x6d, 0,                       /* 1: vec 0 */
        0x6c, 2,    1,   1,   2, 0x7d, /* 2: record { 1 : 1; 2 : nat } */
        1,    2,    1,   0,            /* one argument: a list of no texts */
        7,                             /* nat */
    };
    struct ic_buf content = {0}, first = {0}, second = {0}, merged = {0};
    uint64_t n = 0;
    int ret = ic_candid_unwrap(msg, sizeof(msg), NULL, &content, err);
    if (ret == 0)
        ret = ic_candid_split(content.bytes, content.len, 1, NULL, NULL, &first, &second, err);
    if (ret == 0) {
        const struct ic_view chunks[] = {
            {first.bytes, first.len}, {second.bytes, second.len}, {other, sizeof(other)}};
        ret = ic_candid_merge(chunks, 3, NULL, NULL, &merged, err);
    }
    if (ret == 0)
        ret = ic_candid_items(merged.bytes, merged.len, NULL, NULL, &n, err);
    ic_buf_fini(&content);
    ic_buf_fini(&first);
    ic_buf_fini(&second);
    ic_buf_fini(&merged);
    return ret == 0 && n != 3 ? -EIO : ret;
}

static int encode_candid(struct ic_error *err)
{
    static const struct ic_type opt = {.kind = IC_TYPE_OPT, .as.elem = &ic_type_blob};
    static const struct ic_type_field fields[] = {{1, &opt}, {2, &ic_type_text}};
    static const struct ic_type record = {.kind = IC_TYPE_RECORD, .as.fields = {fields, 2}};
    static const uint8_t blob[500];
    struct ic_value content = ic_blob(blob, sizeof(blob));
    struct ic_value items[] = {{.type = &opt, .as.opt = &content}, ic_text("text")};
    struct ic_value args[] = {{.type = &record, .as.seq = {items, 2}}, ic_nat64(7)};
    struct ic_buf out = {0};
    int ret = ic_candid_encode(args, 2, &out, err);
    ic_buf_fini(&out);
    return ret;
}

static struct ic_did *expected_did;
static const struct ic_type *expected; /* a func of these arguments */
static struct ic_buf to_coerce;

static void load_expected(void)
{
    expected =
        did_func("", "(record { int; func () -> (int); opt nat; vec int; opt text }, opt nat)",
                 &expected_did);
    /* record { nat; func () -> (nat); opt bool; vec nat } */
    to_coerce = message_hex("04 6c04 007d 0101 0202 0303 6a00017d00 6e7e 6d7d 01 00"
                            "7f 01 0101ca 016d 01 01 02 7f01");
}

static int decode_as_expected(struct ic_error *err)
{
    struct ic_candid *msg = NULL;
    int ret = ic_candid_decode_as(to_coerce.bytes, to_coerce.len, expected->as.func.args, 2, NULL,
                                  &msg, err);
    if (ret < 0 && msg)
        return -EIO;
    ic_candid_free(msg);
    return ret;
}

static int encode_as_expected(struct ic_error *err)
{
    struct ic_type func = *expected->as.func.args[0]->as.fields.fields[1].type;
    const struct ic_type_field types[] = {{0, &ic_type_nat64}, {1, &func}, {3, &ic_type_blob}};
    const struct ic_type record = {.kind = IC_TYPE_RECORD, .as.fields = {types, 3}};
    const struct ic_func_value method = {ic_view("x", 1), ic_view("m", 1)};
    const struct ic_value fields[] = {
        ic_nat64(127), {.type = &func, .as.func = &method}, ic_blob("abc", 3)};
    const struct ic_value arg = {.type = &record, .as.seq = {fields, 3}};
    struct ic_buf out = {0};
    int ret = ic_candid_encode_as(&arg, 1, expected->as.func.args, 2, &out, err);
    ic_buf_fini(&out);
    return ret;
}

/* Any import is this text. */
static int load_did(void *arg, const char *path, size_t max, struct ic_buf *out)
{
    static const char text[] = "type b = record { x : nat; \"\\41\" : opt b }";
    (void)arg, (void)path, (void)max;
    ic_buf_append(out, text, sizeof(text) - 1);
    return ic_buf_status(out);
}

static int parse_did(struct ic_error *err)
{
    static const char before[] = "import \"b.did\"; // doc\n// doc\ntype a = variant {";
    static const char after[] = "}; service : (a) -> { m : (b) -> (a) }";
    static const struct ic_did_loader loader = {load_did, NULL};
    struct ic_buf text = {0}, printed = {0};
    struct ic_did *did = NULL;
    bool same = false;
    int ret;

    ic_buf_append(&text, before, strlen(before));
    for (int i = 0; i < 200; i++) { /* more than any list has room for at first */
        char item[64];
        int n = snprintf(item, sizeof(item), "case_%d : record { b; text };", i);
        ic_buf_append(&text, item, (size_t)n);
    }
    ic_buf_append(&text, after, strlen(after));
    ret = ic_buf_status(&text);
    if (ret == 0)
        ret = ic_did_parse((const char *)text.bytes, text.len, &loader, &did, err);
    else
        err->code = IC_E_NO_MEMORY;
    if (ret == 0) {
        ic_did_format(did, &printed);
        ret = no_error_struct(err, ic_buf_status(&printed));
    }
    if (ret == 0)
        ret = ic_type_relates(did->types[0], did->types[1], IC_TYPE_SUBTYPE, &same, err);
    ic_did_free(did);
    ic_buf_fini(&printed);
    ic_buf_fini(&text);
    return ret;
}

/* Texts that are longer than what an arena has room for at first, and buffers. */
static int candid_text(struct ic_error *err)
{
    static const char head[] =
        "(vec { record { a = 1 }; record { a = 2 } }, variant { \"\\41\" = func "
        "\"aaaaa-aa\".m }, opt (null : opt record { b : nat }), vec {";
    struct ic_buf text = {0}, printed = {0};
    struct ic_candid *msg = NULL;
    int ret;

    ic_buf_append(&text, head, strlen(head));
    for (int i = 0; i < 300; i++)
        ic_buf_append(&text, "record { b = 99999999999999999999; a = true };", 46);
    ic_buf_append(&text, "})", 2);
    ret = no_error_struct(err, ic_buf_status(&text));
    if (ret == 0)
        ret = ic_candid_parse((const char *)text.bytes, text.len, NULL, 0, 0, &msg, err);
    if (ret < 0 && msg)
        ret = -EIO;
    if (ret == 0)
        ret = ic_candid_print(ic_candid_arg(msg, 0), ic_candid_count(msg), NULL, 0, SIZE_MAX,
                              &printed, err);
    if (ret == 0)
        ret = ic_candid_json(ic_candid_arg(msg, 0), ic_candid_count(msg), NULL, 0, SIZE_MAX,
                             &printed, err);
    ic_candid_free(msg);
    ic_buf_fini(&printed);
    ic_buf_fini(&text);
    return ret;
}

/* What is said of a value that does not fit is made in memory, too. */
static int refuse_candid_text(struct ic_error *err)
{
    struct ic_candid *msg = NULL;
    int ret = ic_candid_parse_value("vec { 1; true }", 15, NULL, 0, &msg, err);
    if (ret == -EPROTO && strstr(err->message, "not alike: int and bool"))
        ret = ic_candid_parse_value("5", 1, &ic_type_text, 0, &msg, err);
    return ret == -EPROTO && strstr(err->message, "does not fit the type text") ? 0 : ret;
}

static int collect_names(struct ic_error *err)
{
    static const char text[] = "service : { m : (record { a : nat; b : variant { c; d } }) -> () }";
    struct ic_candid_names *names = NULL;
    struct ic_did *did = NULL;
    int ret = ic_did_parse(text, strlen(text), NULL, &did, err);
    if (ret == 0)
        ret = ic_candid_names_new(did, &names, err);
    ic_candid_names_free(names);
    ic_did_free(did);
    return ret;
}

static int parse_did_file(struct ic_error *err)
{
    char path[1024];
    struct ic_did *did = NULL;
    int ret;
    snprintf(path, sizeof(path), "%s/did/syntax/imports/example.did", data_dir);
    ret = ic_did_parse_file(path, &did, err);
    ic_did_free(did);
    return ret;
}

static int encode_request(struct ic_error *err)
{
    static const uint8_t seed[32] = {1}, arg[3000];
    struct ic_principal canister = ic_principal_management();
    struct ic_identity *id = NULL;
    struct ic_buf body = {0};
    uint8_t request_id[IC_REQUEST_ID_LEN];
    int ret = ic_identity_new_ed25519(seed, &id);
    if (ret == 0)
        ret = ic_request_call(id, &canister, "m", arg, sizeof(arg), 1, NULL, &body, request_id);
    ic_buf_fini(&body);
    if (ret == 0)
        ret = ic_request_read_state(id, IC_PATH(ic_label_text("time")), 1, 1, NULL, &body,
                                    request_id);
    ic_buf_fini(&body);
    ic_identity_free(id);
    return no_error_struct(err, ret);
}

static int open_identity(struct ic_error *err)
{
    char path[VECTOR_PATH];
    struct ic_identity *id = NULL;
    int ret;
    vector_path(data_dir, "pem/decrypted_pkcs8_ed25519.pem", path);
    ret = ic_identity_open_pem(path, NULL, &id, err);
    if (ret < 0 && id)
        return -EIO;
    ic_identity_free(id);
    return ret;
}

static int swordfish(void *arg, const char *file, char buf[IC_PASSWORD_MAX], struct ic_error *err)
{
    (void)arg;
    (void)file;
    (void)err;
    memcpy(buf, "swordfish", 9);
    return 9;
}

static int open_locked_identity(struct ic_error *err)
{
    const struct ic_password password = {.get = swordfish};
    char path[VECTOR_PATH];
    struct ic_identity *id = NULL;
    int ret;
    vector_path(data_dir, "pem/encrypted_pkcs8_k256.pem", path);
    ret = ic_identity_open_pem(path, &password, &id, err);
    if (ret < 0 && id)
        return -EIO;
    ic_identity_free(id);
    return ret;
}

/* Signed by a canister: nothing to verify here. */
static int delegate_identity(struct ic_error *err)
{
    static const uint8_t seed[32] = {1}, root[] = {0x30, 0x0c, 0x06, 0x0a, 0x2b, 0x06, 0x01,
                                                   0x04, 0x01, 0x83, 0xb8, 0x43, 0x01, 0x02};
    const struct ic_principal target = ic_principal_management();
    struct ic_identity *id = NULL;
    int ret = ic_identity_new_ed25519(seed, &id);
    if (ret < 0)
        return no_error_struct(err, ret);
    const struct ic_delegation link = {
        .pubkey = ic_identity_public_key_der(id),
        .expiration_ns = UINT64_MAX,
        .has_targets = true,
        .targets = &target,
        .n_targets = 1,
        .permissions = ic_view("all", 3),
        .signature = ic_view("x", 1),
    };
    const struct ic_delegation_chain chain = {ic_view(root, sizeof(root)), &link, 1};
    ret = ic_identity_delegate(id, &chain, 1, err);
    if ((ic_identity_delegations(id).len > 0) != (ret == 0))
        ret = -EIO;
    ic_identity_free(id);
    return ret;
}

static struct ic_buf certificate; /* a read_state answer with a delegation */
static struct ic_buf query;       /* a signed query answer */
static uint8_t root_key[IC_ROOT_KEY_LEN];
static int64_t certificate_time, query_time;
static struct ic_buf query_id;

static int verify_certificate(struct ic_error *err)
{
    struct ic_trust trust = {.root_key = root_key,
                             .root_key_len = sizeof(root_key),
                             .now_ns = certificate_time,
                             .max_age_ns = IC_CERTIFICATE_MAX_AGE_NS,
                             .max_ahead_ns = IC_CERTIFICATE_MAX_AHEAD_NS};
    struct ic_principal canister;
    struct ic_certificate *cert = NULL;
    struct ic_label *labels = NULL;
    struct ic_view view;
    size_t n;
    int ret = ic_delegation_cache_new(&trust.delegations);
    if (ret < 0)
        return no_error_struct(err, ret);
    if (ic_principal_parse("bkyz2-fmaaa-aaaaa-qaaaq-cai", &canister) < 0)
        ret = -EIO;
    if (ret == 0)
        ret = ic_response_decode_read_state(certificate.bytes, certificate.len, &view, err);
    if (ret == 0)
        ret = ic_certificate_verify_canister(view.bytes, view.len, &trust, &canister, &cert, err);
    if (ret == 0)
        ret = no_error_struct(
            err, ic_certificate_list(cert, IC_PATH(ic_label_text("canister")), &labels, &n));
    free(labels);
    ic_certificate_free(cert);
    ic_delegation_cache_free(trust.delegations);
    return ret;
}

static const uint8_t *find_key(void *arg, const struct ic_principal *node)
{
    const struct ic_buf *bytes = arg;
    (void)node;
    return bytes->bytes;
}

static struct ic_buf node_key;

static int verify_query(struct ic_error *err)
{
    struct ic_query_response r;
    int ret = ic_response_decode_query(query.bytes, query.len, &r, err);
    if (ret == 0)
        ret = ic_response_verify_query(&r, query_id.bytes, find_key, &node_key, query_time,
                                       1000000000, err);
    return ret;
}

static void load(void)
{
    json_t *json = vector_json(data_dir, "client/deleg_000_read_state_canister.json");
    certificate = vector_file(data_dir, "client/deleg_000_read_state_canister.resp.bin");
    certificate_time = (int64_t)strtoull(
        vector_text(json_object_get(json, "response_certificate"), "time_ns"), NULL, 10);
    json_decref(json);
    json = vector_json(data_dir, "client/deleg_003_query_greet.json");
    query = vector_file(data_dir, "client/deleg_003_query_greet.resp.bin");
    query_id = vector_unhex(vector_text(json_object_get(json, "request"), "request_id"));
    query_time =
        (int64_t)strtoull(vector_text(json_object_get(json, "response"), "timestamp"), NULL, 10);
    json_decref(json);
    json = vector_json(data_dir, "client/mock_keys.json");
    node_key = vector_unhex(vector_text(json, "node_pk"));
    json_decref(json);
    forge_key_der(7, root_key);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 1;
    data_dir = argv[1];
    load();
    load_expected();
    test_all(decode_candid, "decode Candid");
    test_all(encode_candid, "encode Candid");
    test_all(decode_as_expected, "decode Candid at expected types");
    test_all(encode_as_expected, "encode Candid at declared types");
    test_all(split_candid, "unwrap, split and merge Candid");
    test_all(parse_did, "parse, print and compare a description");
    test_all(candid_text, "parse and print values");
    test_all(refuse_candid_text, "refuse values");
    test_all(collect_names, "collect names");
    test_all(parse_did_file, "parse a description and its imports");
    test_all(encode_request, "encode and sign requests");
    test_all(open_identity, "open an identity file");
    test_all(open_locked_identity, "open an identity file under a password");
    test_all(delegate_identity, "take over a delegation chain");
    test_all(verify_certificate, "verify a certificate");
    test_all(verify_query, "verify a query answer");
    ic_did_free(expected_did);
    ic_buf_fini(&to_coerce);
    ic_buf_fini(&certificate);
    ic_buf_fini(&query);
    ic_buf_fini(&query_id);
    ic_buf_fini(&node_key);
    return tap_done();
}
