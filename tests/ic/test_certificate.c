/* Certificates: real ones behave as recorded, and forgeries of exactly one thing each are refused.
 */
#include "ic/certificate.h"
#include "ic/response.h"
#include "tests/ic/forge.h"
#include "tests/ic/vectors.h"
#include "tests/tap.h"

#include <errno.h>

TAP_STATE;

#define SECOND 1000000000LL
#define HOUR   (3600 * SECOND)

static struct ic_principal principal(const char *text)
{
    struct ic_principal p;
    if (ic_principal_parse(text, &p) < 0)
        vector_die("not a principal", text);
    return p;
}

static struct ic_trust trust_in(const uint8_t *root_key, int64_t now_ns)
{
    return (struct ic_trust){
        .root_key = root_key,
        .root_key_len = IC_ROOT_KEY_LEN,
        .now_ns = now_ns,
        .max_age_ns = IC_CERTIFICATE_MAX_AGE_NS,
        .max_ahead_ns = IC_CERTIFICATE_MAX_AHEAD_NS,
    };
}

/* Verify and forget. */
static int verify(struct ic_view cert, const struct ic_trust *trust,
                  const struct ic_principal *canister)
{
    struct ic_certificate *out = NULL;
    struct ic_error err = {0};
    int ret = ic_certificate_verify_canister(cert.bytes, cert.len, trust, canister, &out, &err);
    if (ret == 0)
        ic_certificate_free(out);
    else if (out || ic_error_errno(&err) != ret || !err.message[0])
        vector_die("error and result differ", err.message);
    return ret;
}

static int verify_subnet(struct ic_view cert, const struct ic_trust *trust,
                         const struct ic_principal *subnet)
{
    struct ic_certificate *out = NULL;
    int ret = ic_certificate_verify_subnet(cert.bytes, cert.len, trust, subnet, &out, NULL);
    ic_certificate_free(out);
    return ret;
}

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
    struct ic_trust trust = trust_in(ic_mainnet_root_key, l->time_ns);
    struct ic_principal p;
    if (!canister)
        return;
    p = principal(canister);
    TAP_INT(verify(l->cert, &trust, &p), want, what);
}

/* The window is 5 minutes either way, to the nanosecond. */
static void test_window(const struct loaded *l, const struct ic_principal *subnet)
{
    struct ic_trust trust = trust_in(ic_mainnet_root_key, l->time_ns + 300 * SECOND);
    TAP_INT(verify_subnet(l->cert, &trust, subnet), 0, "5 minutes later");
    trust.now_ns++;
    TAP_INT(verify_subnet(l->cert, &trust, subnet), -EBADMSG, "and a nanosecond");
    trust.now_ns = l->time_ns - 300 * SECOND;
    TAP_INT(verify_subnet(l->cert, &trust, subnet), 0, "5 minutes earlier");
    trust.now_ns--;
    TAP_INT(verify_subnet(l->cert, &trust, subnet), -EBADMSG, "and a nanosecond");
    trust.now_ns = INT64_MIN;
    TAP_OK(verify_subnet(l->cert, &trust, subnet) < 0, "an absurd clock");
}

static void test_recorded(const char *data_dir)
{
    for (size_t i = 0; i < sizeof(recorded) / sizeof(recorded[0]); i++) {
        struct loaded l = load(data_dir, recorded[i].name);
        json_t *delegation = json_object_get(l.computed, "delegation");
        struct ic_principal subnet = principal(
            delegation ? vector_text(delegation, "subnet_id")
                       : "tdb26-jop6k-aogll-7ltgs-eruif-6kk7m-qpktf-gdiqx-mxtrf-vb5e6-eqe");
        struct ic_principal other = principal("2vxsx-fae");
        struct ic_trust trust = trust_in(ic_mainnet_root_key, l.time_ns);
        struct ic_certificate *cert = NULL;

        test_authority(&l, recorded[i].good, 0, recorded[i].name);
        test_authority(&l, recorded[i].also_good, 0, "another canister of the subnet");
        test_authority(&l, recorded[i].bad, -EBADMSG, "a canister it may not speak for");
        test_authority(&l, recorded[i].also_bad, -EBADMSG, "another such canister");
        TAP_INT(verify_subnet(l.cert, &trust, &other), -EBADMSG, "not for another subnet");
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
    struct ic_trust trust = trust_in(ic_mainnet_root_key, l.time_ns);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct ic_buf bytes = vector_unhex(table[i].hex);
        struct ic_principal p;
        if (ic_principal_from_bytes(bytes.bytes, bytes.len, &p) < 0)
            vector_die("not a principal", table[i].hex);
        TAP_INT(verify(l.cert, &trust, &p), table[i].want, table[i].hex);
        ic_buf_fini(&bytes);
    }
    unload(&l);
}

/* Lookups and lists in a verified certificate: the node keys of a mainnet subnet. */
static void test_node_keys(const char *data_dir)
{
    struct loaded l = load(data_dir, "agent-rs_224od_subnet");
    struct ic_trust trust = trust_in(ic_mainnet_root_key, l.time_ns);
    struct ic_principal canister = principal("224od-giaaa-aaaao-ae5vq-cai"), node;
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
    canister = principal("ryjl3-tyaaa-aaaaa-aaaba-cai");
    TAP_INT(ic_certificate_check_range(cert, &canister, NULL), -EBADMSG, "another is not");
    ic_certificate_free(cert);
    unload(&l);
}

/* Every byte of a real certificate matters. */
static void test_every_byte(const char *data_dir)
{
    struct loaded l = load(data_dir, "agent-rs_ivg37_time");
    struct ic_trust trust = trust_in(ic_mainnet_root_key, l.time_ns);
    struct ic_principal canister = principal("ivg37-qiaaa-aaaab-aaaga-cai");
    uint8_t *bytes = malloc(l.cert.len);
    size_t n_taken = 0, n_other = 0, n_cut = 0;

    if (!bytes)
        vector_die("out of memory", "certificate");
    memcpy(bytes, l.cert.bytes, l.cert.len);
    /* The first three bytes are the optional tag: any other tag is refused as well. */
    for (size_t i = 0; i < l.cert.len; i++) {
        int ret;
        bytes[i] ^= (uint8_t)(1 << i % 8);
        ret = verify(ic_view(bytes, l.cert.len), &trust, &canister);
        n_taken += ret == 0;
        n_other += ret != -EPROTO && ret != -EBADMSG;
        bytes[i] ^= (uint8_t)(1 << i % 8);
    }
    for (size_t len = 0; len < l.cert.len; len++)
        n_cut += verify(ic_view(bytes, len), &trust, &canister) != -EPROTO;
    TAP_INT((int64_t)n_taken, 0, "with any bit flipped it is refused");
    TAP_INT((int64_t)n_other, 0, "as malformed or not verified");
    TAP_INT((int64_t)n_cut, 0, "cut anywhere it is malformed");
    TAP_INT(verify(ic_view(bytes, l.cert.len), &trust, &canister), 0, "unchanged it is good");
    free(bytes);
    unload(&l);
}

static void test_root_key(const char *data_dir)
{
    struct loaded l = load(data_dir, "agent-rs_ivg37_time");
    struct ic_principal canister = principal("ivg37-qiaaa-aaaab-aaaga-cai");
    uint8_t key[IC_ROOT_KEY_LEN];
    struct ic_trust trust = trust_in(key, l.time_ns);

    memcpy(key, ic_mainnet_root_key, sizeof(key));
    TAP_INT(verify(l.cert, &trust, &canister), 0, "the root key");
    forge_key_der(7, key);
    TAP_INT(verify(l.cert, &trust, &canister), -EBADMSG, "another root key");
    key[5] ^= 1;
    TAP_INT(verify(l.cert, &trust, &canister), -EINVAL, "not a BLS key");
    key[5] ^= 1;
    trust.root_key_len--;
    TAP_INT(verify(l.cert, &trust, &canister), -EINVAL, "a key cut short");
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
    struct ic_principal canister = principal("bkyz2-fmaaa-aaaaa-qaaaq-cai");
    struct ic_principal far = {.len = 9, .bytes = {255, 255, 255, 255, 255, 255, 255, 255, 255}};
    bool delegated = strncmp(name, "deleg", 5) == 0;
    struct ic_trust trust;
    json_t *json;

    snprintf(file, sizeof(file), "client/%s.json", name);
    json = vector_json(data_dir, file);
    snprintf(file, sizeof(file), "client/%s.resp.bin", name);
    body = vector_file(data_dir, file);
    forge_key_der(7, root);
    trust = trust_in(
        root, (int64_t)strtoull(
                  vector_text(json_object_get(json, "response_certificate"), "time_ns"), NULL, 10));
    if (is_call) {
        TAP_INT(ic_response_decode_call(body.bytes, body.len, &call, NULL), 0, name);
        TAP_OK(call.certified, "came with a certificate");
        cert = call.certificate;
    } else {
        TAP_INT(ic_response_decode_read_state(body.bytes, body.len, &cert, NULL), 0, name);
    }
    TAP_INT(verify(cert, &trust, &canister), 0, "verifies");
    TAP_INT(verify(cert, &trust, &far), delegated ? -EBADMSG : 0,
            "a subnet is bound to its ranges, the root key is not");
    trust.root_key = ic_mainnet_root_key;
    TAP_INT(verify(cert, &trust, &canister), -EBADMSG, "not under mainnet's key");
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

/* ---- forgeries: a network with two secret keys, ROOT and SUBNET, and one lie at a time ---- */

#define ROOT   7
#define SUBNET 9
#define THIEF  11
#define NOW    (1800000000 * SECOND)

static struct ic_principal subnet_id;
static uint8_t root_key[IC_ROOT_KEY_LEN], subnet_key[IC_ROOT_KEY_LEN];

static struct ic_view bytes_of(const char *text)
{
    static struct ic_principal slots[4];
    static size_t next;
    struct ic_principal *p = &slots[next++ % 4];
    *p = principal(text);
    return ic_principal_view(p);
}

#define LO "rwlgt-iiaaa-aaaaa-aaaaa-cai" /* 00000000000000000101 */
#define ID "ryjl3-tyaaa-aaaaa-aaaba-cai" /* 00000000000000020101 */
#define HI "bkyz2-fmaaa-aaaaa-qaaaq-cai" /* 80000000001000010101 */

static struct ic_buf key_leaf(const uint8_t *der)
{
    return forge_leaf(ic_view(der, IC_ROOT_KEY_LEN));
}

/* /canister_ranges/<subnet>/<shard> = [[lo, hi]] */
static struct ic_buf sharded(struct ic_view shard, struct ic_buf leaf)
{
    return forge_text("canister_ranges",
                      forge_labeled(ic_principal_view(&subnet_id), forge_labeled(shard, leaf)));
}

/* /subnet/<subnet>/public_key and, when given, canister_ranges before it. */
static struct ic_buf subnet_tree(struct ic_buf ranges, struct ic_buf key)
{
    struct ic_buf below = forge_text("public_key", key);
    if (ranges.len)
        below = forge_fork(forge_text("canister_ranges", ranges), below);
    return forge_text("subnet", forge_labeled(ic_principal_view(&subnet_id), below));
}

static struct ic_buf with_time(struct ic_buf tree, int64_t time_ns)
{
    return forge_fork(tree, forge_text("time", forge_nat_leaf((uint64_t)time_ns)));
}

static struct ic_buf good_ranges(void)
{
    return sharded(bytes_of(LO), forge_range_leaf(bytes_of(LO), bytes_of(HI)));
}

/* The delegation's tree: ranges as given, the subnet's key, a time a week ago. */
static struct ic_buf delegation_tree(struct ic_buf ranges)
{
    return with_time(forge_fork(ranges, subnet_tree(forge_nothing(), key_leaf(subnet_key))),
                     NOW - 7 * 24 * HOUR);
}

static struct ic_buf plain(struct ic_buf tree, uint8_t secret)
{
    return forge_certificate(tree, secret, NULL, forge_nothing());
}

static struct ic_buf outer(struct ic_buf delegation)
{
    return forge_certificate(with_time(forge_text("canister", forge_text_leaf("x")), NOW), SUBNET,
                             &subnet_id, delegation);
}

/* Verify for the canister ID at NOW and release. */
static void expect(struct ic_buf cert, int want, const char *what)
{
    struct ic_trust trust = trust_in(root_key, NOW);
    struct ic_principal canister = principal(ID);
    TAP_INT(verify(ic_view(cert.bytes, cert.len), &trust, &canister), want, what);
    ic_buf_fini(&cert);
}

/* A delegation whose tree is this, and everything else honest. */
static void expect_tree(struct ic_buf tree, int want, const char *what)
{
    expect(outer(plain(tree, ROOT)), want, what);
}

static void test_forged_signatures(void)
{
    struct ic_buf half;

    expect_tree(delegation_tree(good_ranges()), 0, "an honest certificate with a delegation");
    expect(plain(with_time(forge_text("canister", forge_text_leaf("x")), NOW), ROOT), 0,
           "an honest certificate of the root subnet");
    expect(plain(with_time(forge_text("canister", forge_text_leaf("x")), NOW), SUBNET), -EBADMSG,
           "a subnet without its delegation");
    expect(outer(plain(delegation_tree(good_ranges()), THIEF)), -EBADMSG,
           "a delegation signed by somebody else");
    expect(outer(plain(delegation_tree(good_ranges()), SUBNET)), -EBADMSG,
           "a delegation signed by the subnet itself");
    expect(forge_certificate(with_time(forge_text("canister", forge_text_leaf("x")), NOW), THIEF,
                             &subnet_id, plain(delegation_tree(good_ranges()), ROOT)),
           -EBADMSG, "signed by somebody else under an honest delegation");
    expect(forge_certificate(with_time(forge_text("canister", forge_text_leaf("x")), NOW), ROOT,
                             &subnet_id, plain(delegation_tree(good_ranges()), ROOT)),
           -EBADMSG, "signed by the root key although delegated");
    half = outer(plain(delegation_tree(good_ranges()), ROOT));
    expect(outer(half), -EBADMSG, "a delegation that is itself delegated");
}

static void test_forged_delegations(void)
{
    struct ic_principal other = principal("2vxsx-fae");
    uint8_t bad_der[IC_ROOT_KEY_LEN];
    memcpy(bad_der, subnet_key, sizeof(bad_der));
    bad_der[3] ^= 1;

    expect(forge_certificate(with_time(forge_text("canister", forge_text_leaf("x")), NOW), SUBNET,
                             &other, plain(delegation_tree(good_ranges()), ROOT)),
           -EBADMSG, "the delegation of another subnet");
    expect_tree(with_time(forge_fork(good_ranges(), forge_pruned(subnet_tree(
                                                        forge_nothing(), key_leaf(subnet_key)))),
                          NOW),
                -EBADMSG, "the subnet's key is pruned away");
    expect_tree(with_time(good_ranges(), NOW), -EBADMSG, "the subnet has no key");
    expect_tree(
        with_time(forge_fork(good_ranges(), subnet_tree(forge_nothing(), key_leaf(bad_der))), NOW),
        -EPROTO, "the subnet's key has another DER prefix");
    expect_tree(
        with_time(forge_fork(good_ranges(), subnet_tree(forge_nothing(), forge_text_leaf("short"))),
                  NOW),
        -EPROTO, "the subnet's key is too short");
    expect_tree(
        with_time(forge_fork(good_ranges(), subnet_tree(forge_nothing(), key_leaf(root_key))), NOW),
        -EBADMSG, "the subnet has another key");
    /* The delegation's own time does not matter: it is refreshed about weekly. */
    expect_tree(forge_fork(good_ranges(), subnet_tree(forge_nothing(), key_leaf(subnet_key))), 0,
                "a delegation without a time");
}

static void test_forged_ranges(void)
{
    struct ic_buf list = {0};

    expect_tree(
        delegation_tree(sharded(bytes_of(ID), forge_range_leaf(bytes_of(ID), bytes_of(ID)))), 0,
        "just this canister");
    expect_tree(
        delegation_tree(sharded(bytes_of(LO), forge_range_leaf(bytes_of(LO), bytes_of(LO)))),
        -EBADMSG, "a range that ends before");
    expect_tree(
        delegation_tree(sharded(bytes_of(HI), forge_range_leaf(bytes_of(HI), bytes_of(HI)))),
        -EBADMSG, "a shard that begins after");
    expect_tree(
        delegation_tree(sharded(bytes_of(HI), forge_range_leaf(bytes_of(LO), bytes_of(HI)))),
        -EBADMSG, "a shard that begins after, whatever is in it");
    expect_tree(
        delegation_tree(sharded(bytes_of(LO), forge_range_leaf(bytes_of(HI), bytes_of(LO)))),
        -EBADMSG, "a range upside down");
    expect_tree(delegation_tree(forge_pruned(good_ranges())), -EBADMSG, "ranges pruned away");
    expect_tree(delegation_tree(sharded(
                    bytes_of(LO), forge_pruned(forge_range_leaf(bytes_of(LO), bytes_of(HI))))),
                -EBADMSG, "the shard pruned away");
    expect_tree(delegation_tree(forge_text(
                    "canister_ranges",
                    forge_labeled(bytes_of("2vxsx-fae"),
                                  forge_labeled(bytes_of(LO),
                                                forge_range_leaf(bytes_of(LO), bytes_of(HI)))))),
                -EBADMSG, "the ranges of another subnet");
    expect_tree(
        with_time(subnet_tree(forge_range_leaf(bytes_of(LO), bytes_of(HI)), key_leaf(subnet_key)),
                  NOW),
        0, "the flat form");
    expect_tree(
        with_time(subnet_tree(forge_range_leaf(bytes_of(HI), bytes_of(HI)), key_leaf(subnet_key)),
                  NOW),
        -EBADMSG, "the flat form, another range");
    expect_tree(
        with_time(forge_fork(sharded(bytes_of(HI), forge_range_leaf(bytes_of(HI), bytes_of(HI))),
                             subnet_tree(forge_range_leaf(bytes_of(LO), bytes_of(HI)),
                                         key_leaf(subnet_key))),
                  NOW),
        -EBADMSG, "where there are shards, the flat form does not count");
    expect_tree(delegation_tree(sharded(bytes_of(LO), forge_text_leaf("x"))), -EPROTO,
                "ranges that are no CBOR");
    ic_cbor_put_array(&list, 1);
    ic_cbor_put_array(&list, 1);
    ic_cbor_put_bytes(&list, bytes_of(LO));
    expect_tree(delegation_tree(sharded(bytes_of(LO), forge_leaf(ic_view(list.bytes, list.len)))),
                -EPROTO, "a range with one end");
    ic_buf_fini(&list);
}

/* Two shards: the greatest first id that is not above the canister decides. */
static void test_shards(void)
{
    static const struct {
        const char *first_hi, *second_lo;
        int want;
        const char *what;
    } table[] = {
        {LO, ID, 0, "the second shard begins with the canister"},
        {HI, HI, 0, "the second shard begins after"},
        {LO, HI, -EBADMSG, "neither holds it"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct ic_buf first = forge_labeled(
            bytes_of(LO), forge_range_leaf(bytes_of(LO), bytes_of(table[i].first_hi)));
        struct ic_buf second =
            forge_labeled(bytes_of(table[i].second_lo),
                          forge_range_leaf(bytes_of(table[i].second_lo), bytes_of(HI)));
        struct ic_buf shards =
            forge_labeled(ic_principal_view(&subnet_id), forge_fork(first, second));
        expect_tree(delegation_tree(forge_text("canister_ranges", shards)), table[i].want,
                    table[i].what);
    }
}

static void test_forged_times(void)
{
    struct ic_buf tree = forge_text("time", forge_text_leaf("\x80"));

    expect(plain(forge_text("canister", forge_text_leaf("x")), ROOT), -EPROTO, "no time");
    expect(plain(tree, ROOT), -EPROTO, "a time cut off");
    expect(plain(forge_text("time", forge_leaf(ic_view("\x01\x00", 2))), ROOT), -EPROTO,
           "something after the time");
    expect(plain(forge_text("time", forge_nat_leaf(UINT64_MAX)), ROOT), -EPROTO,
           "a time too large");
    expect(plain(forge_text("time", forge_pruned(forge_nat_leaf((uint64_t)NOW))), ROOT), -EPROTO,
           "the time pruned away");
    expect(plain(forge_text("time", forge_nat_leaf((uint64_t)NOW - (uint64_t)HOUR)), ROOT),
           -EBADMSG, "an hour old");
    expect(plain(forge_text("time", forge_nat_leaf((uint64_t)(NOW + HOUR))), ROOT), -EBADMSG,
           "an hour ahead");
}

/* The root subnet's own certificate covers canisters only by ranges in its tree. */
static void test_own_ranges(void)
{
    struct ic_trust trust = trust_in(root_key, NOW);
    struct ic_principal root_subnet, canister = principal(ID);
    struct ic_certificate *cert = NULL;
    struct ic_buf b;

    if (ic_principal_self_authenticating(root_key, sizeof(root_key), &root_subnet) < 0)
        vector_die("out of memory", "principal");
    b = plain(with_time(forge_text("canister_ranges",
                                   forge_labeled(ic_principal_view(&root_subnet),
                                                 forge_labeled(bytes_of(LO),
                                                               forge_range_leaf(bytes_of(LO),
                                                                                bytes_of(ID))))),
                        NOW),
              ROOT);
    TAP_INT(ic_certificate_verify_canister(b.bytes, b.len, &trust, &canister, &cert, NULL), 0,
            "a root certificate with ranges");
    TAP_OK(ic_principal_is_equal(ic_certificate_subnet(cert), &root_subnet), "of the root subnet");
    TAP_INT(ic_certificate_check_range(cert, &canister, NULL), 0, "which hosts the canister");
    canister = principal(HI);
    TAP_INT(ic_certificate_check_range(cert, &canister, NULL), -EBADMSG, "but not that one");
    ic_certificate_free(cert);
    ic_buf_fini(&b);
}

static void put_rest(struct ic_buf *b, size_t n, size_t sig_len)
{
    uint8_t sig[64] = {0};
    ic_cbor_put_map(b, n);
    ic_cbor_put_text(b, "signature");
    ic_cbor_put_bytes(b, ic_view(sig, sig_len));
}

static void test_malformed(void)
{
    struct ic_buf b = {0};
    struct ic_trust trust = trust_in(root_key, NOW);
    struct ic_principal canister = principal(ID);

    TAP_INT(verify(ic_view(NULL, 0), &trust, &canister), -EPROTO, "nothing");
    put_rest(&b, 1, 48);
    expect(b, -EPROTO, "no tree");
    b = forge_nothing();
    put_rest(&b, 2, 47);
    ic_cbor_put_text(&b, "tree");
    ic_buf_append(&b, "\x81\x00", 2);
    expect(b, -EPROTO, "a signature too short");
    b = forge_nothing();
    put_rest(&b, 2, 49);
    ic_cbor_put_text(&b, "tree");
    ic_buf_append(&b, "\x81\x00", 2);
    expect(b, -EPROTO, "a signature too long");
    b = forge_nothing();
    put_rest(&b, 3, 48);
    ic_cbor_put_text(&b, "tree");
    ic_buf_append(&b, "\x81\x00", 2);
    ic_cbor_put_text(&b, "delegation");
    ic_cbor_put_uint(&b, 1);
    expect(b, -EPROTO, "a delegation that is a number");
    b = forge_nothing();
    put_rest(&b, 3, 48);
    ic_cbor_put_text(&b, "tree");
    ic_buf_append(&b, "\x81\x00", 2);
    ic_cbor_put_text(&b, "signature");
    ic_cbor_put_uint(&b, 1);
    expect(b, -EPROTO, "a field twice");
}

/* The cache changes the cost, never the answer. */
static void test_cache(void)
{
    struct ic_trust trust = trust_in(root_key, NOW);
    struct ic_principal canister = principal(ID), elsewhere = principal("w7x7r-cok77-xa");
    struct ic_buf good = outer(plain(delegation_tree(good_ranges()), ROOT));
    struct ic_buf bad = outer(plain(delegation_tree(good_ranges()), THIEF));

    if (ic_delegation_cache_new(&trust.delegations) < 0)
        vector_die("out of memory", "cache");
    for (int i = 0; i < 3; i++) {
        TAP_INT(verify(ic_view(good.bytes, good.len), &trust, &canister), 0, "good stays good");
        TAP_INT(verify(ic_view(bad.bytes, bad.len), &trust, &canister), -EBADMSG, "bad stays bad");
        TAP_INT(verify(ic_view(good.bytes, good.len), &trust, &elsewhere), -EBADMSG,
                "ranges are checked all the same");
    }
    forge_key_der(THIEF, root_key);
    TAP_INT(verify(ic_view(good.bytes, good.len), &trust, &canister), -EBADMSG,
            "and the root key too");
    forge_key_der(ROOT, root_key);
    ic_delegation_cache_free(trust.delegations);
    ic_buf_fini(&good);
    ic_buf_fini(&bad);
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

    forge_key_der(ROOT, root_key);
    forge_key_der(SUBNET, subnet_key);
    if (ic_principal_self_authenticating(subnet_key, sizeof(subnet_key), &subnet_id) < 0)
        return 1;
    test_forged_signatures();
    test_forged_delegations();
    test_forged_ranges();
    test_shards();
    test_forged_times();
    test_own_ranges();
    test_malformed();
    test_cache();
    return tap_done();
}
