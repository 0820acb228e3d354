/* The cache of node keys with a clock of our own: how old keys may get, when they are fetched
 * again, and that a membership that changed is noticed.
 */
#include "ic/node_keys.h"
#include "ic/response.h"
#include "ic/wait.h"
#include "tests/ic/forge.h"
#include "tests/ic/vectors.h"
#include "tests/tap.h"

#include <errno.h>

TAP_STATE;

#define SECOND IC_NS_PER_SEC
#define NOW    (1800000000 * SECOND) /* of the certificates */

/* The network: which nodes it shows, or how it fails. */
struct fetcher {
    int64_t now_ns;
    unsigned n_fetched;
    int rc;               /* not 0: the fetch fails */
    bool has_second_node; /* besides the first */
    struct ic_principal last_canister;
};

static int64_t clock_ns(void *arg)
{
    return ((struct fetcher *)arg)->now_ns;
}

static uint8_t root_key[IC_ROOT_KEY_LEN];

static struct ic_buf node_subtree(uint8_t byte, struct ic_principal *id)
{
    uint8_t der[44] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};
    memset(der + 12, byte, 32);
    *id = (struct ic_principal){.len = 2, .bytes = {byte, 2}};
    return forge_labeled(ic_principal_view(id),
                         forge_text("public_key", forge_leaf(ic_view(der, sizeof(der)))));
}

static int fetch(void *arg, const struct ic_principal *canister, const struct ic_io *io,
                 struct ic_node_set **out, struct ic_error *err)
{
    struct fetcher *f = arg;
    struct ic_trust trust = {.root_key = root_key,
                             .root_key_len = sizeof(root_key),
                             .now_ns = NOW,
                             .max_age_ns = 0,
                             .max_ahead_ns = 0};
    struct ic_principal subnet, id;
    struct ic_certificate *cert = NULL;
    int ret;

    (void)io;
    f->n_fetched++;
    f->last_canister = *canister;
    if (f->rc != 0)
        return ic_fail(err, f->rc == -EINTR ? IC_E_CANCELLED : IC_E_UNREACHABLE, "no network");
    if (ic_principal_self_authenticating(root_key, sizeof(root_key), &subnet) < 0)
        return ic_fail(err, IC_E_NO_MEMORY, "test");
    struct ic_buf nodes = node_subtree(1, &id);
    if (f->has_second_node)
        nodes = forge_fork(nodes, node_subtree(2, &id));
    struct ic_buf b =
        forge_certificate(forge_fork(forge_text("subnet", forge_labeled(ic_principal_view(&subnet),
                                                                        forge_text("node", nodes))),
                                     forge_text("time", forge_nat_leaf(NOW))),
                          7, NULL, forge_nothing());
    ret = ic_certificate_verify_subnet(b.bytes, b.len, &trust, &subnet, &cert, err);
    if (ret == 0)
        ret = ic_node_set_from_certificate(cert, out, err);
    ic_certificate_free(cert);
    ic_buf_fini(&b);
    return ret;
}

static const struct ic_principal canister = {.len = 1, .bytes = {9}};

struct fixture {
    struct fetcher net;
    struct ic_node_keys *keys;
};

static void open_keys(struct fixture *f)
{
    *f = (struct fixture){.net = {.now_ns = 7 * SECOND}};
    if (ic_node_keys_new(&f->keys, fetch, clock_ns, &f->net) != 0)
        vector_die("out of memory", "keys");
}

static int get(struct fixture *f, const struct ic_node_set *lacking, struct ic_node_set **out)
{
    struct ic_io io = {.deadline_ns = ic_wait_now_ns() + 5 * SECOND};
    struct ic_error err = {0};
    int rc = ic_node_keys_get(f->keys, &canister, lacking, &io, out, &err);
    if (rc != ic_error_errno(&err))
        vector_die("error and result differ", err.message);
    return rc;
}

/* Get and forget. */
static int look(struct fixture *f)
{
    struct ic_node_set *set = NULL;
    int rc = get(f, NULL, &set);
    ic_node_set_unref(set);
    return rc;
}

/* Fresh for 300 s; then fetched again. */
static void test_fresh(void)
{
    struct fixture f;
    open_keys(&f);
    TAP_INT(look(&f), 0, "keys");
    TAP_INT(f.net.n_fetched, 1, "are fetched");
    TAP_OK(ic_principal_is_equal(&f.net.last_canister, &canister), "for that canister");
    f.net.now_ns += 300 * SECOND - 1;
    TAP_INT(look(&f), 0, "a nanosecond before 300 s");
    TAP_INT(f.net.n_fetched, 1, "they are used");
    f.net.now_ns += 1;
    TAP_INT(look(&f), 0, "at 300 s");
    TAP_INT(f.net.n_fetched, 2, "they are fetched again");
    f.net.now_ns += 300 * SECOND - 1;
    TAP_INT(look(&f), 0, "and used for as long");
    TAP_INT(f.net.n_fetched, 2, "without a fetch");
    ic_node_keys_free(f.keys);
}

/* While the network fails they are used up to 600 s, and tried for every 10 s. */
static void test_old(void)
{
    struct fixture f;
    open_keys(&f);
    TAP_INT(look(&f), 0, "keys");
    f.net.rc = -EHOSTUNREACH;
    f.net.now_ns += 300 * SECOND;
    TAP_INT(look(&f), 0, "the refresh fails: still good");
    TAP_INT(f.net.n_fetched, 2, "it was tried");
    f.net.now_ns += 10 * SECOND - 1;
    TAP_INT(look(&f), 0, "good");
    TAP_INT(f.net.n_fetched, 2, "not tried within 10 s");
    f.net.now_ns += 1;
    TAP_INT(look(&f), 0, "good");
    TAP_INT(f.net.n_fetched, 3, "tried after 10 s");
    f.net.now_ns += 290 * SECOND - 1;
    TAP_INT(look(&f), 0, "a nanosecond before 600 s");
    f.net.now_ns += 1;
    TAP_INT(look(&f), -EHOSTUNREACH, "never used at 600 s");
    f.net.rc = 0;
    TAP_INT(look(&f), 0, "until the network is back");
    ic_node_keys_free(f.keys);
}

/* A failure without any keys is not remembered as success, nor held against the next. */
static void test_never_had(void)
{
    struct fixture f;
    open_keys(&f);
    f.net.rc = -EHOSTUNREACH;
    TAP_INT(look(&f), -EHOSTUNREACH, "no keys");
    TAP_INT(look(&f), -EHOSTUNREACH, "no keys");
    TAP_INT(f.net.n_fetched, 2, "each time it is tried");
    f.net.rc = 0;
    TAP_INT(look(&f), 0, "keys at last");
    ic_node_keys_free(f.keys);
}

/* Membership changed: a signature by a node that is not in the set. */
static void test_membership(void)
{
    struct fixture f;
    struct ic_node_set *first = NULL, *second = NULL, *third = NULL;
    struct ic_principal joined = {.len = 2, .bytes = {2, 2}}, old = {.len = 2, .bytes = {1, 2}};

    open_keys(&f);
    TAP_INT(get(&f, NULL, &first), 0, "keys of one node");
    TAP_OK(ic_node_set_count(first) == 1 && ic_node_set_find(first, &old) &&
               !ic_node_set_find(first, &joined),
           "that one");
    TAP_INT(get(&f, first, &second), 0, "another node signed: they are fetched again");
    TAP_INT(f.net.n_fetched, 2, "at once");
    TAP_OK(!ic_node_set_find(second, &joined), "it is not there yet");
    ic_node_set_unref(first);

    f.net.has_second_node = true;
    f.net.now_ns += 2 * SECOND - 1;
    TAP_INT(get(&f, second, &third), 0, "within 2 s");
    TAP_OK(third == second, "the same come back");
    TAP_INT(f.net.n_fetched, 2, "without a fetch: forged names cause no flood");
    ic_node_set_unref(third);
    third = NULL;
    f.net.now_ns += 1;
    TAP_INT(get(&f, second, &third), 0, "after 2 s");
    TAP_INT(f.net.n_fetched, 3, "fetched");
    TAP_OK(ic_node_set_find(third, &joined) != NULL, "the node that joined is there");
    ic_node_set_unref(second);
    second = NULL;

    f.net.has_second_node = false;
    f.net.now_ns += 300 * SECOND;
    TAP_INT(get(&f, NULL, &second), 0, "when they are 300 s old");
    TAP_OK(ic_node_set_find(second, &joined) == NULL, "the node that left is gone");
    ic_node_set_unref(second);
    ic_node_set_unref(third);
    ic_node_keys_free(f.keys);
}

/* Newer keys cannot be had: the caller gets no error but the set it had, as long as that is good.
 */
static void test_membership_unreachable(void)
{
    struct fixture f;
    struct ic_node_set *first = NULL, *again = NULL;

    open_keys(&f);
    TAP_INT(get(&f, NULL, &first), 0, "keys");
    f.net.rc = -EHOSTUNREACH;
    TAP_INT(get(&f, first, &again), 0, "asked for newer ones during an outage");
    TAP_OK(again == first, "the same come back: for the next 2 s they are all there is");
    ic_node_set_unref(again);
    f.net.rc = -EINTR;
    f.net.now_ns += 3 * SECOND;
    again = NULL;
    TAP_INT(get(&f, first, &again), -EINTR, "cancelled while fetching");
    TAP_OK(again == NULL, "nothing comes");
    f.net.rc = 0;
    TAP_INT(get(&f, first, &again), 0, "which keeps nobody else from fetching at once");
    TAP_INT(f.net.n_fetched, 4, "it was fetched");
    ic_node_set_unref(again);
    ic_node_set_unref(first);
    ic_node_keys_free(f.keys);
}

/* At most 16 canisters: the one added first goes. */
static void test_room(void)
{
    struct fixture f;
    struct ic_io io = {.deadline_ns = ic_wait_now_ns() + 5 * SECOND};
    int n_right = 0;

    open_keys(&f);
    for (uint8_t round = 0; round < 2; round++)
        for (uint8_t i = 0; i < 17; i++) {
            struct ic_principal id = {.len = 1, .bytes = {i}};
            struct ic_node_set *set = NULL;
            n_right += ic_node_keys_get(f.keys, &id, NULL, &io, &set, NULL) == 0;
            ic_node_set_unref(set);
        }
    TAP_INT(n_right, 34, "seventeen canisters in turn");
    TAP_INT(f.net.n_fetched, 34, "are more than are remembered");
    for (uint8_t i = 1; i < 17; i++) {
        struct ic_principal id = {.len = 1, .bytes = {i}};
        struct ic_node_set *set = NULL;
        n_right += ic_node_keys_get(f.keys, &id, NULL, &io, &set, NULL) == 0;
        ic_node_set_unref(set);
    }
    TAP_INT(f.net.n_fetched, 34, "sixteen are not");
    ic_node_keys_free(f.keys);
    ic_node_keys_free(NULL);
}

/* ---- sets ---- */

static const uint8_t ed25519_der[44] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
                                        0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};

/* Nodes of the ids from first on, in a balanced tree. */
static struct ic_buf node_range(unsigned first, unsigned n)
{
    uint8_t id[2] = {(uint8_t)(first >> 8), (uint8_t)first};
    if (n > 1) {
        struct ic_buf left = node_range(first, n / 2);
        return forge_fork(left, node_range(first + n / 2, n - n / 2));
    }
    return forge_labeled(ic_view(id, 2),
                         forge_text("public_key", forge_leaf(ic_view(ed25519_der, 44))));
}

/* /subnet/<root>/<below>, read as a set. */
static void expect_set(struct ic_buf below, int want, enum ic_errc code, const char *what)
{
    struct ic_trust trust = {.root_key = root_key, .root_key_len = sizeof(root_key), .now_ns = NOW};
    struct ic_principal subnet;
    struct ic_certificate *cert = NULL;
    struct ic_node_set *set = NULL;
    struct ic_error err = {0};
    if (ic_principal_self_authenticating(root_key, sizeof(root_key), &subnet) < 0)
        vector_die("out of memory", what);
    struct ic_buf b = forge_certificate(
        forge_fork(forge_text("subnet", forge_labeled(ic_principal_view(&subnet), below)),
                   forge_text("time", forge_nat_leaf(NOW))),
        7, NULL, forge_nothing());
    if (ic_certificate_verify_subnet(b.bytes, b.len, &trust, &subnet, &cert, NULL) < 0)
        vector_die("does not verify", what);
    TAP_INT(ic_node_set_from_certificate(cert, &set, &err), want, what);
    TAP_INT(err.code, code, "code");
    TAP_OK((set != NULL) == (want == 0), "a set, or none");
    ic_node_set_unref(set);
    ic_certificate_free(cert);
    ic_buf_fini(&b);
}

/* Nodes of another subnet that the certificate shows as well. */
static void test_other_subnet(void)
{
    struct ic_trust trust = {.root_key = root_key, .root_key_len = sizeof(root_key), .now_ns = NOW};
    struct ic_principal subnet, id;
    struct ic_certificate *cert = NULL;
    struct ic_node_set *set = NULL;
    struct ic_error err = {0};
    struct ic_view other = ic_view("other", 5);
    struct ic_buf nodes = forge_text("node", node_subtree(1, &id));
    struct ic_buf b =
        forge_certificate(forge_fork(forge_text("subnet", forge_labeled(other, nodes)),
                                     forge_text("time", forge_nat_leaf(NOW))),
                          7, NULL, forge_nothing());
    if (ic_principal_self_authenticating(root_key, sizeof(root_key), &subnet) < 0 ||
        ic_certificate_verify_subnet(b.bytes, b.len, &trust, &subnet, &cert, NULL) < 0)
        vector_die("does not verify", "other subnet");
    TAP_INT(ic_node_set_from_certificate(cert, &set, &err), -EBADMSG,
            "the nodes of another subnet are none of ours");
    TAP_INT(err.code, IC_E_UNVERIFIED, "code");
    TAP_OK(set == NULL, "and no set");
    ic_certificate_free(cert);
    ic_buf_fini(&b);
}

static struct ic_buf one_node(struct ic_view id, struct ic_buf below)
{
    return forge_text("node", forge_labeled(id, below));
}

static struct ic_buf one_key(const uint8_t *der, size_t len)
{
    return forge_text("public_key", forge_leaf(ic_view(der, len)));
}

static void test_sets(void)
{
    uint8_t id[30] = {1}, other_der[44];
    struct ic_view good_id = ic_view(id, 29);

    memcpy(other_der, ed25519_der, sizeof(other_der));
    other_der[8] = 0x71;
    expect_set(one_node(good_id, one_key(ed25519_der, 44)), 0, IC_OK, "a node");
    expect_set(forge_text("node", node_range(0, IC_NODE_SET_MAX)), 0, IC_OK,
               "as many nodes as there may be");
    expect_set(forge_text("node", node_range(0, IC_NODE_SET_MAX + 1)), -EPROTO, IC_E_MALFORMED,
               "one more");
    expect_set(forge_text("public_key", forge_text_leaf("x")), -EBADMSG, IC_E_UNVERIFIED,
               "no nodes");
    expect_set(forge_text("node", forge_empty()), -EBADMSG, IC_E_UNVERIFIED, "an empty list");
    expect_set(forge_pruned(one_node(good_id, one_key(ed25519_der, 44))), -EBADMSG, IC_E_UNVERIFIED,
               "all pruned away");
    expect_set(one_node(ic_view(id, 30), one_key(ed25519_der, 44)), -EPROTO, IC_E_MALFORMED,
               "an id that is too long");
    expect_set(one_node(good_id, forge_pruned(one_key(ed25519_der, 44))), -EPROTO, IC_E_MALFORMED,
               "a key pruned away");
    expect_set(one_node(good_id, forge_empty()), -EPROTO, IC_E_MALFORMED, "a node without a key");
    expect_set(one_node(good_id, one_key(ed25519_der, 43)), -EPROTO, IC_E_MALFORMED,
               "a key too short");
    expect_set(one_node(good_id, one_key(other_der, 44)), -EPROTO, IC_E_MALFORMED,
               "a key of another kind");
}

int main(void)
{
    forge_key_der(7, root_key);
    test_fresh();
    test_old();
    test_never_had();
    test_membership();
    test_membership_unreachable();
    test_room();
    test_sets();
    test_other_subnet();
    return tap_done();
}
