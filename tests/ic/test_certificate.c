/* Certificates: real ones behave as recorded. Forged ones are in test_forgery.c. */
#include "ic/response.h"
#include "tests/ic/forge.h"
#include "tests/ic/judge.h"
#include "tests/tap.h"

#include <errno.h>

TAP_STATE;

/* ---- real certificates ---- */

/* What each recorded certificate is good for. Canisters in text; NULL where there is nothing to
 * test. */
static const struct {
    const char *name;
    const char *good, *also_good;
    const char *bad, *also_bad;
} recorded[] = {
    {"agent-rs_ivg37_time", "ivg37-qiaaa-aaaab-aaaga-cai", NULL, "ryjl3-tyaaa-aaaaa-aaaba-cai",
     "rdmx6-jaaaa-aaaaa-aaadq-cai"},
    {"agent-rs_ivg37_time_pruned_ranges", NULL, NULL, "ivg37-qiaaa-aaaab-aaaga-cai", NULL},
    {"agent-rs_ivg37_delegated_v2", "ivg37-qiaaa-aaaab-aaaga-cai", NULL,
     "ryjl3-tyaaa-aaaaa-aaaba-cai", NULL},
    {"agent-rs_224od_subnet", "224od-giaaa-aaaao-ae5vq-cai", "v7pvf-xyaaa-aaaao-aaaaa-cai",
     "rdmx6-jaaaa-aaaaa-aaadq-cai", NULL},
    {"agent-rs_o3ow2_subnet_key", NULL, NULL, "224od-giaaa-aaaao-ae5vq-cai", NULL},
    {"agent-rs_old_subnet_keys", "224od-giaaa-aaaao-ae5vq-cai", "jujpo-eqaaa-aaaao-p777q-cai",
     "ivg37-qiaaa-aaaab-aaaga-cai", NULL},
    {"js_sample_cert", "jrlun-jiaaa-aaaab-aaaaa-cai", "v2nog-2aaaa-aaaab-p777q-cai",
     "ryjl3-tyaaa-aaaaa-aaaba-cai", "fa5k3-fiaaa-aaaab-qaada-cai"},
    {"js_with_subnet_key", "rdmx6-jaaaa-aaaaa-aaadq-cai", NULL, "ryjl3-tyaaa-aaaaa-aaaba-cai",
     NULL},
    /* Without a delegation the root key speaks for all canisters. */
    {"js_golden_localSystem", "ryjl3-tyaaa-aaaaa-aaaba-cai", NULL, NULL, NULL},
    {"js_golden_mainnetApplication", NULL, NULL, "ryjl3-tyaaa-aaaaa-aaaba-cai", NULL},
    {"js_golden_mainnetApplicationO3ow2", NULL, NULL, "ryjl3-tyaaa-aaaaa-aaaba-cai", NULL},
};

struct loaded {
    json_t *json;
    json_t *computed;
    struct ic_buf file;
    struct ic_view cert; /* into file */
    int64_t time_ns;
};

static struct loaded load(const char *data_dir, const char *name)
{
    struct loaded l = {0};
    char file[128];

    snprintf(file, sizeof(file), "cert/%s.json", name);
    l.json = vector_json(data_dir, file);
    l.computed = json_object_get(l.json, "computed");
    l.time_ns = (int64_t)strtoull(vector_text(l.computed, "time_ns"), NULL, 10);
    snprintf(file, sizeof(file), "cert/%s.bin", name);
    l.file = vector_file(data_dir, file);
    l.cert = ic_view(l.file.bytes, l.file.len);
    if (strcmp(vector_text(l.json, "encoding"), "CBOR certificate") != 0 &&
        ic_response_decode_read_state(l.file.bytes, l.file.len, &l.cert, NULL) < 0)
        vector_die("not a read_state answer", name);
    return l;
}

static void unload(struct loaded *l)
{
    ic_buf_fini(&l->file);
    json_decref(l->json);
}

static void test_authority(const struct loaded *l, const char *canister, int want, const char *what)
{
    struct ic_trust trust = judge_trust(ic_mainnet_root_key, l->time_ns);
    struct ic_principal p;
    if (!canister)
        return;
    p = judge_principal(canister);
    TAP_INT(judge(l->cert, &trust, &p), want, what);
}

/* The window is 5 minutes either way, to the nanosecond. */
static void test_window(const struct loaded *l, const struct ic_principal *subnet)
{
    struct ic_trust trust = judge_trust(ic_mainnet_root_key, l->time_ns + 300 * SECOND);
    TAP_INT(judge_subnet(l->cert, &trust, subnet), 0, "5 minutes later");
    trust.now_ns++;
    TAP_INT(judge_subnet(l->cert, &trust, subnet), -EBADMSG, "and a nanosecond");
    trust.now_ns = l->time_ns - 300 * SECOND;
    TAP_INT(judge_subnet(l->cert, &trust, subnet), 0, "5 minutes earlier");
    trust.now_ns--;
    TAP_INT(judge_subnet(l->cert, &trust, subnet), -EBADMSG, "and a nanosecond");
    trust.now_ns = INT64_MIN;
    TAP_OK(judge_subnet(l->cert, &trust, subnet) < 0, "an absurd clock");
}

static void test_recorded(const char *data_dir)
{
    for (size_t i = 0; i < sizeof(recorded) / sizeof(recorded[0]); i++) {
        struct loaded l = load(data_dir, recorded[i].name);
        json_t *delegation = json_object_get(l.computed, "delegation");
        struct ic_principal subnet = judge_principal(
            delegation ? vector_text(delegation, "subnet_id")
                       : "tdb26-jop6k-aogll-7ltgs-eruif-6kk7m-qpktf-gdiqx-mxtrf-vb5e6-eqe");
        struct ic_principal other = judge_principal("2vxsx-fae");
        struct ic_trust trust = judge_trust(ic_mainnet_root_key, l.time_ns);
        struct ic_certificate *cert = NULL;

        test_authority(&l, recorded[i].good, 0, recorded[i].name);
        test_authority(&l, recorded[i].also_good, 0, "another canister of the subnet");
        test_authority(&l, recorded[i].bad, -EBADMSG, "a canister it may not speak for");
        test_authority(&l, recorded[i].also_bad, -EBADMSG, "another such canister");
        TAP_INT(judge_subnet(l.cert, &trust, &other), -EBADMSG, "not for another subnet");
        test_window(&l, &subnet);
        TAP_INT(
            ic_certificate_verify_subnet(l.cert.bytes, l.cert.len, &trust, &subnet, &cert, NULL), 0,
            "good for its own subnet");
        TAP_OK(ic_principal_is_equal(ic_certificate_subnet(cert), &subnet), "which it names");
        TAP_INT(ic_certificate_time_ns(cert), l.time_ns, "and its time");
        ic_certificate_free(cert);
        unload(&l);
    }
}

/* js_sample_cert: ranges end at the byte. */
static void test_range_ends(const char *data_dir)
{
    static const struct {
        const char *hex;
        int want;
    } table[] = {
        {"00000000002000000101", 0},
        {"000000000020000c0101", 0},
        {"00000000002fffff0101", 0},
        {"00000000000000020101", -EBADMSG},
        {"00000000003000020101", -EBADMSG},
        {"000000000020000001", -EBADMSG},
        {"0000000000200000010100", 0},
        {"00000000002fffff010100", -EBADMSG},
        {"", -EBADMSG},
    };
    struct loaded l = load(data_dir, "js_sample_cert");
    struct ic_trust trust = judge_trust(ic_mainnet_root_key, l.time_ns);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct ic_buf bytes = vector_unhex(table[i].hex);
        struct ic_principal p;
        if (ic_principal_from_bytes(bytes.bytes, bytes.len, &p) < 0)
            vector_die("not a principal", table[i].hex);
        TAP_INT(judge(l.cert, &trust, &p), table[i].want, table[i].hex);
        ic_buf_fini(&bytes);
    }
    unload(&l);
}

/* Lookups and lists in a verified certificate: the node keys of a mainnet subnet. */
static void test_node_keys(const char *data_dir)
{
    struct loaded l = load(data_dir, "agent-rs_224od_subnet");
    struct ic_trust trust = judge_trust(ic_mainnet_root_key, l.time_ns);
    struct ic_principal canister = judge_principal("224od-giaaa-aaaao-ae5vq-cai"), node;
    const struct ic_principal *subnet;
    struct ic_certificate *cert = NULL;
    struct ic_label *labels = NULL;
    size_t n = 0, leaf_len = 0, n_keys = 0, n_ids = 0;
    const uint8_t *leaf = NULL;

    TAP_INT(
        ic_certificate_verify_canister(l.cert.bytes, l.cert.len, &trust, &canister, &cert, NULL), 0,
        "verifies");
    subnet = ic_certificate_subnet(cert);
    TAP_INT(ic_certificate_list(
                cert,
                IC_PATH(ic_label_text("subnet"), ic_label_principal(subnet), ic_label_text("node")),
                &labels, &n),
            0, "nodes of the subnet");
    TAP_OK(n >= 10 && n < 60, "a plausible number of them");
    for (size_t i = 0; i < n; i++) {
        bool found = ic_certificate_lookup(
                         cert,
                         IC_PATH(ic_label_text("subnet"), ic_label_principal(subnet),
                                 ic_label_text("node"), labels[i], ic_label_text("public_key")),
                         &leaf, &leaf_len) == IC_LOOKUP_FOUND;
        n_keys += found && leaf_len == 44;
        n_ids += found && ic_principal_self_authenticating(leaf, leaf_len, &node) == 0 &&
                 ic_view_equal(ic_principal_view(&node), ic_view(labels[i].bytes, labels[i].len));
    }
    TAP_INT((int64_t)n_keys, (int64_t)n, "each with a key");
    TAP_INT((int64_t)n_ids, (int64_t)n, "that its id is made of");
    TAP_INT(ic_certificate_lookup(cert, IC_PATH(ic_label_text("subnet")), &leaf, &leaf_len),
            IC_LOOKUP_ERROR, "a subtree is no leaf");
    TAP_INT(ic_certificate_lookup(cert, IC_PATH(ic_label_text("zzz")), &leaf, &leaf_len),
            IC_LOOKUP_ABSENT, "nothing after time");
    TAP_INT(ic_certificate_lookup(cert, IC_PATH(ic_label_text("canister")), &leaf, &leaf_len),
            IC_LOOKUP_UNKNOWN, "what is pruned is unknown");
    free(labels);
    labels = NULL;
    TAP_INT(ic_certificate_list(cert, IC_PATH(ic_label_text("time")), &labels, &n), -ENOENT,
            "a leaf has no labels");
    TAP_INT(ic_certificate_list(cert, IC_PATH(ic_label_text("zzz")), &labels, &n), -ENOENT,
            "nor has what is not there");
    TAP_OK(labels == NULL, "and nothing came out");
    TAP_INT(ic_certificate_check_range(cert, &canister, NULL), 0, "the canister is in its ranges");
    canister = judge_principal("ryjl3-tyaaa-aaaaa-aaaba-cai");
    TAP_INT(ic_certificate_check_range(cert, &canister, NULL), -EBADMSG, "another is not");
    ic_certificate_free(cert);
    unload(&l);
}

/* Every byte of a real certificate matters. */
static void test_every_byte(const char *data_dir)
{
    struct loaded l = load(data_dir, "agent-rs_ivg37_time");
    struct ic_trust trust = judge_trust(ic_mainnet_root_key, l.time_ns);
    struct ic_principal canister = judge_principal("ivg37-qiaaa-aaaab-aaaga-cai");
    uint8_t *bytes = malloc(l.cert.len);
    size_t n_taken = 0, n_other = 0, n_cut = 0;

    if (!bytes)
        vector_die("out of memory", "certificate");
    memcpy(bytes, l.cert.bytes, l.cert.len);
    /* The first three bytes are the optional tag: any other tag is refused as well. */
    for (size_t i = 0; i < l.cert.len; i++) {
        int ret;
        bytes[i] ^= (uint8_t)(1 << i % 8);
        ret = judge(ic_view(bytes, l.cert.len), &trust, &canister);
        n_taken += ret == 0;
        n_other += ret != -EPROTO && ret != -EBADMSG;
        bytes[i] ^= (uint8_t)(1 << i % 8);
    }
    for (size_t len = 0; len < l.cert.len; len++)
        n_cut += judge(ic_view(bytes, len), &trust, &canister) != -EPROTO;
    TAP_INT((int64_t)n_taken, 0, "with any bit flipped it is refused");
    TAP_INT((int64_t)n_other, 0, "as malformed or not verified");
    TAP_INT((int64_t)n_cut, 0, "cut anywhere it is malformed");
    TAP_INT(judge(ic_view(bytes, l.cert.len), &trust, &canister), 0, "unchanged it is good");
    free(bytes);
    unload(&l);
}

static void test_root_key(const char *data_dir)
{
    struct loaded l = load(data_dir, "agent-rs_ivg37_time");
    struct ic_principal canister = judge_principal("ivg37-qiaaa-aaaab-aaaga-cai");
    uint8_t key[IC_ROOT_KEY_LEN];
    struct ic_trust trust = judge_trust(key, l.time_ns);

    memcpy(key, ic_mainnet_root_key, sizeof(key));
    TAP_INT(judge(l.cert, &trust, &canister), 0, "the root key");
    forge_key_der(7, key);
    TAP_INT(judge(l.cert, &trust, &canister), -EBADMSG, "another root key");
    key[5] ^= 1;
    TAP_INT(judge(l.cert, &trust, &canister), -EINVAL, "not a BLS key");
    key[5] ^= 1;
    trust.root_key_len--;
    TAP_INT(judge(l.cert, &trust, &canister), -EINVAL, "a key cut short");
    unload(&l);
}

/* ---- certificates the real clients accepted ---- */

static void test_client(const char *data_dir, const char *name, bool is_call)
{
    char file[128];
    uint8_t root[IC_ROOT_KEY_LEN];
    struct ic_buf body;
    struct ic_view cert = {0};
    struct ic_call_response call;
    struct ic_principal canister = judge_principal("bkyz2-fmaaa-aaaaa-qaaaq-cai");
    struct ic_principal far = {.len = 9, .bytes = {255, 255, 255, 255, 255, 255, 255, 255, 255}};
    bool delegated = strncmp(name, "deleg", 5) == 0;
    struct ic_trust trust;
    json_t *json;

    snprintf(file, sizeof(file), "client/%s.json", name);
    json = vector_json(data_dir, file);
    snprintf(file, sizeof(file), "client/%s.resp.bin", name);
    body = vector_file(data_dir, file);
    forge_key_der(7, root);
    trust = judge_trust(
        root, (int64_t)strtoull(
                  vector_text(json_object_get(json, "response_certificate"), "time_ns"), NULL, 10));
    if (is_call) {
        TAP_INT(ic_response_decode_call(body.bytes, body.len, &call, NULL), 0, name);
        TAP_OK(call.certified, "came with a certificate");
        cert = call.certificate;
    } else {
        TAP_INT(ic_response_decode_read_state(body.bytes, body.len, &cert, NULL), 0, name);
    }
    TAP_INT(judge(cert, &trust, &canister), 0, "verifies");
    TAP_INT(judge(cert, &trust, &far), delegated ? -EBADMSG : 0,
            "a subnet is bound to its ranges, the root key is not");
    trust.root_key = ic_mainnet_root_key;
    TAP_INT(judge(cert, &trust, &canister), -EBADMSG, "not under mainnet's key");
    ic_buf_fini(&body);
    json_decref(json);
}

static void test_clients(const char *data_dir)
{
    static const char *const reads[] = {
        "deleg_000_read_state_canister", "deleg_002_read_state_canister",
        "deleg_004_read_state_subnet",   "deleg_007_read_state_subnet",
        "root_000_read_state_canister",  "root_004_read_state_subnet",
        "root_005_read_state_canister",  "root_010_read_state_canister",
        "root_015_read_state_canister",  "root_019_read_state_subnet",
    };
    static const char *const calls[] = {"deleg_001_call_greet", "deleg_008_call_greet",
                                        "root_001_call_greet",  "root_006_call_greet",
                                        "root_011_call_greet",  "root_016_call_greet"};
    for (size_t i = 0; i < sizeof(reads) / sizeof(reads[0]); i++)
        test_client(data_dir, reads[i], false);
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        test_client(data_dir, calls[i], true);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 1;
    test_recorded(argv[1]);
    test_range_ends(argv[1]);
    test_node_keys(argv[1]);
    test_every_byte(argv[1]);
    test_root_key(argv[1]);
    test_clients(argv[1]);
    return tap_done();
}
