/* Node keys and clocks: whose signatures are believed, and when. */
#include "tests/ic/agent_net.h"
#include "tests/tap.h"

#include <errno.h>
#include <string.h>

TAP_STATE;

/* --- node keys --- */

static void test_new_node(void)
{
    plan_queries((struct plan){.last_bad = UINT32_MAX, .wrong = WRONG_NODE});
    set_nature((struct nature){.has_other_node = true});
    struct ic_agent *agent = open_agent();
    struct ic_io io = within_ms(5000);
    struct ic_reply reply = {0};
    TAP_INT(query(agent, &io, &reply, NULL), 0, "an unknown node: its key is fetched");
    ic_reply_fini(&reply);
    TAP_INT(asked(&net.n_queries), 1, "and the same answer verified");
    TAP_INT(asked(&net.n_states), 2, "with one more fetch");
    ic_agent_close(agent);
}

static void check_states(const char *what, struct plan plan, int want)
{
    plan_states(plan);
    struct ic_agent *agent = open_agent();
    struct ic_io io = within_ms(4000);
    struct ic_reply reply = {0};
    struct ic_error err = {0};
    int rc = query(agent, &io, &reply, &err);
    TAP_INT(rc, want, what);
    /* libcurl itself sends again when a kept connection turns out to be dead. */
    TAP_OK(asked(&net.n_states) <= 6, "asked for 5 times, 6 with a dead connection");
    if (rc != want)
        printf("# %s\n", err.message);
    ic_reply_fini(&reply);
    ic_agent_close(agent);
}

static void test_node_keys_fail(void)
{
    check_states("node keys: reset once", (struct plan){.fault = FAKE_RESET}, 0);
    check_states("node keys: wrong signature once", (struct plan){.wrong = WRONG_SIGNATURE}, 0);
    check_states("node keys: truncated once", (struct plan){.fault = FAKE_TRUNCATE, .fault_at = 99},
                 0);
    check_states("node keys: always reset",
                 (struct plan){.last_bad = UINT32_MAX, .fault = FAKE_RESET}, -EHOSTUNREACH);
    check_states("node keys: always a wrong signature",
                 (struct plan){.last_bad = UINT32_MAX, .wrong = WRONG_SIGNATURE}, -EBADMSG);
    check_states("node keys: always an old certificate",
                 (struct plan){.last_bad = UINT32_MAX, .wrong = TOO_OLD}, -EBADMSG);
    check_states("node keys: never CBOR", (struct plan){.last_bad = UINT32_MAX, .wrong = NOT_CBOR},
                 -EPROTO);
    check_states("node keys: HTTP 500", (struct plan){.last_bad = UINT32_MAX, .status = 500}, -EIO);
    /* refused on the canister's endpoint: the subnet's is asked, first for which subnet it is */
    check_states("node keys: refused, then through the subnet",
                 (struct plan){.status = 403, .text = "no /subnet here"}, 0);
}

/* The root subnet signs without a delegation: its nodes speak for the canisters of its own ranges
 * only, whichever way their keys were come by. */
static void test_node_keys_of_another_subnet(void)
{
    static const struct plan refused = {.status = 403, .text = "no /subnet here"};
    const struct {
        struct plan plan;
        const char *what;
    } cases[] = {{all_good, "the root subnet does not have this canister"},
                 {refused, "also when it was asked through the subnet"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        plan_states(cases[i].plan);
        set_nature((struct nature){.is_elsewhere = true});
        struct ic_agent *agent = open_agent();
        struct ic_io io = within_ms(4000);
        struct ic_reply reply = {0};
        TAP_INT(query(agent, &io, &reply, NULL), -EBADMSG, cases[i].what);
        ic_agent_close(agent);
    }
    set_nature((struct nature){0});
}

static void test_clock_is_wrong(void)
{
    plan_queries(all_good);
    set_nature((struct nature){.skew_ns = 310 * IC_NS_PER_SEC});
    struct ic_agent *agent = open_agent();
    struct ic_io io = within_ms(4000);
    struct ic_reply reply = {0};
    TAP_INT(query(agent, &io, &reply, NULL), -EBADMSG, "clocks that differ by more than 5 min");
    ic_agent_close(agent);
}

static void test_wrong_root_key(void)
{
    plan_queries(all_good);
    uint8_t key[FAKE_IC_ROOT_KEY_LEN];
    memcpy(key, root_key, sizeof key);
    memcpy(root_key, ic_mainnet_root_key, sizeof root_key);
    struct ic_agent *agent = open_agent();
    memcpy(root_key, key, sizeof key);
    struct ic_io io = within_ms(4000);
    struct ic_reply reply = {0};
    TAP_INT(query(agent, &io, &reply, NULL), -EBADMSG, "another network's root key");
    ic_agent_close(agent);
}

int main(void)
{
    net_open();
    test_new_node();
    test_node_keys_fail();
    test_node_keys_of_another_subnet();
    test_clock_is_wrong();
    test_wrong_root_key();
    net_close();
    return tap_done();
}
