/* Node keys and clocks: whose signatures are believed, and when. */
#include "tests/ic/agent_net.h"
#include "tests/tap.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

TAP_STATE;

/* --- node keys --- */

static void test_new_node(void)
{
    plan_queries((struct plan){.last_bad = UINT32_MAX, .wrong = WRONG_NODE});
    set_nature((struct nature){.has_other_node = true});
    struct ic_agent *agent = open_agent();
    struct ic_io io = within_ms(20000);
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
    struct ic_io io = within_ms(20000);
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
        struct ic_io io = within_ms(20000);
        struct ic_reply reply = {0};
        TAP_INT(query(agent, &io, &reply, NULL), -EBADMSG, cases[i].what);
        ic_agent_close(agent);
    }
    set_nature((struct nature){0});
}

/* So too what it certifies: of another subnet's canisters it knows nothing, which is no proof. */
static void test_state_of_another_subnet(void)
{
    struct ic_io io = within_ms(20000);
    struct ic_certificate *cert = NULL;
    struct ic_reply reply = {0};
    struct ic_error err = {0};
    plan_queries(all_good);
    set_nature((struct nature){.is_elsewhere = true});
    struct ic_agent *agent = open_agent();
    TAP_INT(
        ic_agent_read_state(agent, &canister, IC_PATH(ic_label_text("time")), 1, &io, &cert, &err),
        -EBADMSG, "state of a canister that the root subnet does not have");
    TAP_INT(err.code, IC_E_UNVERIFIED, "code");
    TAP_OK(cert == NULL, "nothing comes");
    io = within_ms(20000);
    TAP_INT(update(agent, &io, &reply, &err), -EIO, "an update, answered by the wrong subnet");
    TAP_INT(err.code, IC_E_UNKNOWN_OUTCOME, "may have run elsewhere");
    ic_agent_close(agent);
}

/* --- clocks --- */

struct clock_row {
    const char *what;
    int64_t skew_s; /* the network's clock is ahead of ours */
    bool has_date;
    int64_t date_s; /* and the server's */
    const char *words;
};

/* A query, an update and a read_state: each says whose clock is wrong. */
static void check_clock(const struct clock_row *row)
{
    char header[64];
    struct nature nature = {.skew_ns = row->skew_s * IC_NS_PER_SEC};
    if (row->has_date)
        nature.headers = date_header(row->date_s * IC_NS_PER_SEC, header);
    plan_queries(all_good);
    set_nature(nature);
    struct ic_agent *agent = open_agent();
    struct ic_io io = within_ms(20000);
    struct ic_reply reply = {0};
    struct ic_certificate *cert = NULL;
    struct ic_error errors[2] = {0};
    TAP_INT(query(agent, &io, &reply, &errors[0]), -EBADMSG, row->what);
    TAP_INT(ic_agent_read_state(agent, &canister, IC_PATH(ic_label_text("subnet")), 1, &io, &cert,
                                &errors[1]),
            -EBADMSG, row->what);
    for (int i = 0; i < 2; i++) {
        TAP_INT(errors[i].code, IC_E_UNVERIFIED, "code");
        if (!TAP_OK(strstr(errors[i].message, row->words) != NULL, "in words"))
            printf("# %s\n", errors[i].message);
    }
    ic_agent_close(agent);
}

static void test_clocks_differ(void)
{
    static const struct clock_row rows[] = {
        {"we are behind", 400, true, 398, "this computer's clock is 39"},
        {"we are behind: what to do", 400, true, 398, "s behind the server's: set it right"},
        {"we are ahead", -400, true, -398, "s ahead of the server's: set it right"},
        {"the node lags", -400, true, 0, "agrees with the server's: the node lags"},
        {"the node runs ahead", 400, true, 0, "agrees with the server's: the node runs ahead"},
        {"who knows", -400, false, 0, "either this computer's clock is 400 s ahead of the network"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        check_clock(&rows[i]);
}

static void test_refused_expiry(void)
{
    char header[64 + 64];
    date_header(-400 * IC_NS_PER_SEC, header);
    plan_queries((struct plan){.last_bad = UINT32_MAX,
                               .status = 400,
                               .headers = header,
                               .text = "Invalid request expiry: too late"});
    struct ic_agent *agent = open_agent();
    struct ic_io io = within_ms(20000);
    struct ic_reply reply = {0};
    struct ic_error err = {0};
    TAP_INT(query(agent, &io, &reply, &err), -EIO, "an expiry out of range");
    TAP_INT(err.code, IC_E_HTTP, "code");
    TAP_OK(strstr(err.message, "s ahead of the server's: set it right") != NULL, "in words");
    ic_agent_close(agent);
}

struct listener {
    unsigned n_warnings;
    char last[512];
};

static void listen_to(void *arg, int level, const char *fmt, ...) IC_PRINTF(3, 4);
static void listen_to(void *arg, int level, const char *fmt, ...)
{
    struct listener *l = arg;
    if (level != IC_TRACE_WARNING)
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(l->last, sizeof l->last, fmt, ap);
    va_end(ap);
    l->n_warnings++;
}

static int read_time(struct ic_agent *agent, struct ic_error *err)
{
    struct ic_io io = within_ms(20000);
    struct ic_certificate *cert = NULL;
    int rc =
        ic_agent_read_state(agent, &canister, IC_PATH(ic_label_text("time")), 1, &io, &cert, err);
    ic_certificate_free(cert);
    return rc;
}

/* Within the window all is well, but a clock that is behind what is certified is surely wrong. */
static void test_warning(void)
{
    struct listener l = {0};
    struct ic_agent *agent =
        open_agent_as(&(struct ic_agent_config){.trace = listen_to, .trace_arg = &l});
    plan_queries(all_good);
    set_nature((struct nature){.skew_ns = 25 * IC_NS_PER_SEC});
    TAP_INT(read_time(agent, NULL), 0, "25 s behind");
    TAP_INT(l.n_warnings, 0, "are not worth a word");
    set_nature((struct nature){.skew_ns = 90 * IC_NS_PER_SEC});
    TAP_INT(read_time(agent, NULL), 0, "90 s behind");
    TAP_INT(read_time(agent, NULL), 0, "and again");
    TAP_INT(l.n_warnings, 1, "are, once");
    TAP_OK(strstr(l.last, "s behind the network's: set it right") != NULL, "in words");
    ic_agent_close(agent);
}

/* Certified time goes on; a lagging node is believed for two minutes' worth, a replay is not. */
static void test_time_goes_on(void)
{
    struct ic_error err = {0};
    struct ic_agent *agent = open_agent();
    plan_queries(all_good);
    set_nature((struct nature){.skew_ns = 100 * IC_NS_PER_SEC});
    TAP_INT(read_time(agent, NULL), 0, "100 s ahead");
    set_nature((struct nature){.skew_ns = -15 * IC_NS_PER_SEC});
    TAP_INT(read_time(agent, NULL), 0, "115 s older than that");
    set_nature((struct nature){.skew_ns = -25 * IC_NS_PER_SEC});
    TAP_INT(read_time(agent, &err), -EBADMSG, "125 s older, though fresh enough for our clock");
    TAP_INT(err.code, IC_E_UNVERIFIED, "code");
    TAP_OK(strstr(err.message, "has certified before") != NULL, "in words");
    ic_agent_close(agent);
    agent = open_agent();
    TAP_INT(read_time(agent, NULL), 0, "each agent has its own memory");
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
    struct ic_io io = within_ms(20000);
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
    test_state_of_another_subnet();
    test_clocks_differ();
    test_refused_expiry();
    test_warning();
    test_time_goes_on();
    test_wrong_root_key();
    net_close();
    return tap_done();
}
