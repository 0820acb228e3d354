/* canister_status: what is asked, and what is made of the answer. */
#include "ic/candid_text.h"
#include "ic/lifecycle.h"
#include "tests/ic/agent_net.h"
#include "tests/tap.h"

#include <errno.h>
#include <stdlib.h>

TAP_STATE;

#define HASH                                                                                       \
    "blob \"\\00\\11\\22\\33\\44\\55\\66\\77\\88\\99\\aa\\bb\\cc\\dd\\ee\\ff\\00\\11\\22\\33"      \
    "\\44\\55\\66\\77\\88\\99\\aa\\bb\\cc\\dd\\ee\\ff\""

static struct ic_candid *parse(const char *text)
{
    struct ic_candid *values = NULL;
    struct ic_error err = {0};
    if (ic_candid_parse(text, strlen(text), NULL, 0, 0, &values, &err) < 0) {
        printf("Bail out! %s: %s\n", text, err.message);
        exit(1);
    }
    return values;
}

static int decode(const char *text, struct ic_canister_status *out, struct ic_error *err)
{
    struct ic_candid *values = parse(text);
    int result = ic_canister_status_decode(ic_candid_arg(values, 0), out, err);
    ic_candid_free(values);
    return result;
}

static void test_decode(void)
{
    static const struct {
        const char *text;
        enum ic_run_state state;
        bool has_module;
    } rows[] = {
        {"(record { status = variant { running }; module_hash = opt " HASH " })", IC_RUNNING, true},
        {"(record { status = variant { stopping }; module_hash = opt " HASH " })", IC_STOPPING,
         true},
        {"(record { status = variant { stopped }; module_hash = null })", IC_STOPPED, false},
        /* The network may come to say more, and less of what is optional. */
        {"(record { status = variant { stopped }; cycles = 5; settings = record { x = 1 } })",
         IC_STOPPED, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ic_canister_status status;
        struct ic_error err = {0};
        TAP_INT(decode(rows[i].text, &status, &err), 0, rows[i].text);
        TAP_OK(status.state == rows[i].state && status.has_module == rows[i].has_module,
               "its state and whether it has a module");
        for (size_t k = 0; status.has_module && k < sizeof(status.module_hash); k++)
            if (status.module_hash[k] != k % 16 * 0x11)
                status.has_module = false;
        TAP_OK(status.has_module == rows[i].has_module, "and its hash");
    }
}

static void test_refused(void)
{
    static const char *const texts[] = {
        "(5)",
        "(record {})",
        "(variant { running })",
        "(record { status = \"running\" })",
        "(record { status = variant { paused } })",
        "(record { status = 1; module_hash = null })",
        "(record { module_hash = opt " HASH " })",
        "(record { status = variant { running }; module_hash = " HASH " })",
        "(record { status = variant { running }; module_hash = opt \"text\" })",
        "(record { status = variant { running }; module_hash = opt blob \"\" })",
        "(record { status = variant { running }; module_hash = opt blob \"short\" })",
        "(record { status = variant { running }; module_hash = opt opt " HASH " })",
    };
    struct ic_canister_status status = {.state = IC_STOPPED, .has_module = true};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct ic_error err = {0};
        int result = decode(texts[i], &status, &err);
        TAP_OK(result == -EPROTO && err.code == IC_E_WRONG_TYPE, texts[i]);
    }
    TAP_INT(ic_canister_status_decode(NULL, &status, NULL), -EPROTO, "no value at all");
    TAP_OK(status.state == IC_STOPPED && status.has_module, "what fails says nothing");
}

static void test_call(void)
{
    struct ic_candid *values =
        parse("(record { status = variant { stopping }; module_hash = opt " HASH " })");
    struct ic_agent *agent = open_agent();
    struct ic_io io = within_ms(20000);
    struct ic_buf reply = {0};
    struct ic_canister_status status = {0};
    struct ic_error err = {0};
    TAP_INT(ic_candid_encode(ic_candid_arg(values, 0), 1, &reply, NULL), 0, "an answer");
    ic_candid_free(values);
    plan_calls(all_good);
    set_nature((struct nature){.call_reply = reply.bytes, .call_reply_len = reply.len});
    TAP_INT(ic_canister_status(agent, &canister, &io, &status, &err), 0, "asked for it");
    TAP_OK(status.state == IC_STOPPING && status.has_module, "it says what it says");
    struct sent_call call = last_call();
    TAP_STR(call.method, "canister_status", "the method");
    TAP_STR(call.path, "/api/v4/canister/" CANISTER "/call", "at the canister's subnet");
    TAP_INT((int64_t)call.canister_len, 0, "of the management canister");

    struct ic_principal asked;
    const struct ic_value *field;
    values = NULL;
    TAP_INT(ic_candid_decode(call.arg, call.arg_len, NULL, &values, NULL), 0, "the argument");
    field = ic_value_field(ic_candid_arg(values, 0), "canister_id");
    TAP_OK(ic_value_principal(field, &asked) == 0 && asked.len == canister.len, "is the canister");
    TAP_MEM(asked.bytes, canister.bytes, canister.len, "that was asked for");
    ic_candid_free(values);
    ic_buf_fini(&reply);

    /* An answer of another type. */
    values = parse("(record { status = 5 })");
    TAP_INT(ic_candid_encode(ic_candid_arg(values, 0), 1, &reply, NULL), 0, "another answer");
    ic_candid_free(values);
    plan_calls(all_good);
    set_nature((struct nature){.call_reply = reply.bytes, .call_reply_len = reply.len});
    TAP_INT(ic_canister_status(agent, &canister, &io, &status, &err), -EPROTO, "is refused");
    TAP_OK(err.code == IC_E_WRONG_TYPE && strstr(err.message, "canister_status"), "with its name");
    ic_buf_fini(&reply);
    ic_agent_close(agent);
}

int main(void)
{
    net_open();
    test_decode();
    test_refused();
    test_call();
    net_close();
    return tap_done();
}
