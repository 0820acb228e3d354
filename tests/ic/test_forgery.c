/* Certificates: forgeries of exactly one thing each are refused. Real ones are in
 * test_certificate.c.
 */
#include "tests/ic/forge.h"
#include "tests/ic/judge.h"
#include "tests/tap.h"

#include <errno.h>

TAP_STATE;

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
    *p = judge_principal(text);
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
    struct ic_trust trust = judge_trust(root_key, NOW);
    struct ic_principal canister = judge_principal(ID);
    TAP_INT(judge(ic_view(cert.bytes, cert.len), &trust, &canister), want, what);
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
    expect(forge_certificate_under("\x0Dic-state-r00t",
                                   with_time(forge_text("canister", forge_text_leaf("x")), NOW),
                                   ROOT, NULL, forge_nothing()),
           -EBADMSG, "signed under another domain");
    expect(outer(forge_certificate_under("\x0Dic-state-r00t", delegation_tree(good_ranges()), ROOT,
                                         NULL, forge_nothing())),
           -EBADMSG, "a delegation signed under another domain");
    half = outer(plain(delegation_tree(good_ranges()), ROOT));
    expect(outer(half), -EBADMSG, "a delegation that is itself delegated");
}

static void test_forged_delegations(void)
{
    struct ic_principal other = judge_principal("2vxsx-fae");
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
    expect_tree(with_time(forge_fork(forge_pruned(good_ranges()),
                                     subnet_tree(forge_range_leaf(bytes_of(LO), bytes_of(HI)),
                                                 key_leaf(subnet_key))),
                          NOW),
                0, "where the shards are pruned away as a whole, it does");
    expect_tree(with_time(forge_fork(forge_pruned(good_ranges()),
                                     subnet_tree(forge_range_leaf(bytes_of(HI), bytes_of(HI)),
                                                 key_leaf(subnet_key))),
                          NOW),
                -EBADMSG, "and is believed");
    expect_tree(delegation_tree(sharded(bytes_of(LO), forge_text_leaf("\x80"))), -EBADMSG,
                "a list of no ranges");
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

/* From a /subnet/ endpoint: ranges play no part, the subnet's id does. */
static void test_subnet_scope(void)
{
    struct ic_trust trust = judge_trust(root_key, NOW);
    struct ic_principal root_subnet, other = judge_principal("2vxsx-fae");
    struct ic_buf without = outer(plain(delegation_tree(forge_empty()), ROOT));
    struct ic_buf root = plain(with_time(forge_text("canister", forge_text_leaf("x")), NOW), ROOT);
    struct ic_view b = ic_view(without.bytes, without.len), r = ic_view(root.bytes, root.len);

    if (ic_principal_self_authenticating(root_key, sizeof(root_key), &root_subnet) < 0)
        vector_die("out of memory", "principal");
    TAP_INT(judge_subnet(b, &trust, &subnet_id), 0, "a delegation without ranges, for its subnet");
    TAP_INT(judge_subnet(b, &trust, &other), -EBADMSG, "for another subnet");
    TAP_INT(judge_subnet(b, &trust, &root_subnet), -EBADMSG, "nor for the root subnet");
    TAP_INT(judge_subnet(r, &trust, &root_subnet), 0, "the root's own, for the root subnet");
    TAP_INT(judge_subnet(r, &trust, &subnet_id), -EBADMSG, "but for no other");
    expect(without, -EBADMSG, "without ranges it speaks for no canister");
    ic_buf_fini(&root);
}

/* What was refused for whatever reason does not move the floor; what passed does. */
static void test_floor(void)
{
    struct ic_trust trust = judge_trust(root_key, NOW);
    struct ic_principal canister = judge_principal(ID),
                        elsewhere = judge_principal("w7x7r-cok77-xa");
    struct ic_buf old =
        plain(with_time(forge_text("canister", forge_text_leaf("x")), NOW - 200 * SECOND), ROOT);
    struct ic_buf ahead =
        plain(with_time(forge_text("canister", forge_text_leaf("x")), NOW + 200 * SECOND), THIEF);
    struct ic_buf good = outer(plain(delegation_tree(good_ranges()), ROOT));
    struct ic_buf now = plain(with_time(forge_text("canister", forge_text_leaf("x")), NOW), ROOT);

    if (ic_time_floor_new(&trust.floor) < 0)
        vector_die("out of memory", "floor");
    TAP_INT(judge(ic_view(ahead.bytes, ahead.len), &trust, &canister), -EBADMSG, "a forgery");
    TAP_INT(judge(ic_view(good.bytes, good.len), &trust, &elsewhere), -EBADMSG, "out of range");
    TAP_INT(judge(ic_view(good.bytes, good.len), &trust, &canister), 0, "of another subnet");
    TAP_INT(judge(ic_view(old.bytes, old.len), &trust, &canister), 0, "200 s old, the first seen");
    TAP_INT(judge(ic_view(now.bytes, now.len), &trust, &canister), 0, "a newer one");
    TAP_INT(judge(ic_view(old.bytes, old.len), &trust, &canister), -EBADMSG,
            "the old one again: a replay");
    ic_time_floor_free(trust.floor);
    trust.floor = NULL;
    TAP_INT(judge(ic_view(old.bytes, old.len), &trust, &canister), 0, "without a floor it is good");
    ic_buf_fini(&old);
    ic_buf_fini(&ahead);
    ic_buf_fini(&good);
    ic_buf_fini(&now);
}

/* The self-described tag may be missing, on the certificate and on the delegation's. */
static void test_tag(void)
{
    struct ic_trust trust = judge_trust(root_key, NOW);
    struct ic_principal canister = judge_principal(ID);
    struct ic_buf inner = plain(delegation_tree(good_ranges()), ROOT), untagged = {0};
    ic_buf_append(&untagged, inner.bytes + 3, inner.len - 3);
    ic_buf_fini(&inner);
    struct ic_buf b = outer(untagged);
    TAP_INT(judge(ic_view(b.bytes + 3, b.len - 3), &trust, &canister), 0, "without tags");
    ic_buf_fini(&b);
}

/* The root subnet's own certificate covers canisters only by ranges in its tree. */
static void test_own_ranges(void)
{
    struct ic_trust trust = judge_trust(root_key, NOW);
    struct ic_principal root_subnet, canister = judge_principal(ID);
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
    canister = judge_principal(HI);
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
    struct ic_trust trust = judge_trust(root_key, NOW);
    struct ic_principal canister = judge_principal(ID);

    TAP_INT(judge(ic_view(NULL, 0), &trust, &canister), -EPROTO, "nothing");
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
    struct ic_trust trust = judge_trust(root_key, NOW);
    struct ic_principal canister = judge_principal(ID),
                        elsewhere = judge_principal("w7x7r-cok77-xa");
    struct ic_buf good = outer(plain(delegation_tree(good_ranges()), ROOT));
    struct ic_buf bad = outer(plain(delegation_tree(good_ranges()), THIEF));

    if (ic_delegation_cache_new(&trust.delegations) < 0)
        vector_die("out of memory", "cache");
    for (int i = 0; i < 3; i++) {
        TAP_INT(judge(ic_view(good.bytes, good.len), &trust, &canister), 0, "good stays good");
        TAP_INT(judge(ic_view(bad.bytes, bad.len), &trust, &canister), -EBADMSG, "bad stays bad");
        TAP_INT(judge(ic_view(good.bytes, good.len), &trust, &elsewhere), -EBADMSG,
                "ranges are checked all the same");
    }
    forge_key_der(THIEF, root_key);
    TAP_INT(judge(ic_view(good.bytes, good.len), &trust, &canister), -EBADMSG,
            "and the root key too");
    forge_key_der(ROOT, root_key);
    ic_delegation_cache_free(trust.delegations);
    ic_buf_fini(&good);
    ic_buf_fini(&bad);
}

int main(void)
{
    forge_key_der(ROOT, root_key);
    forge_key_der(SUBNET, subnet_key);
    if (ic_principal_self_authenticating(subnet_key, sizeof(subnet_key), &subnet_id) < 0)
        return 1;
    test_forged_signatures();
    test_forged_delegations();
    test_forged_ranges();
    test_shards();
    test_forged_times();
    test_subnet_scope();
    test_floor();
    test_tag();
    test_own_ranges();
    test_malformed();
    test_cache();
    return tap_done();
}
