/* Calls of the management canister: what is sent, to where, and what is made of the answer. */
#include "ic/candid_text.h"
#include "ic/management.h"
#include "tests/ic/agent_net.h"
#include "tests/tap.h"

#include <errno.h>
#include <stdlib.h>

TAP_STATE;

/* --- Candid by its text --- */

static struct ic_buf message(const char *text)
{
    struct ic_candid *values;
    struct ic_value args[2];
    struct ic_buf out = {0};
    struct ic_error err = {0};
    size_t n = 0;
    if (ic_candid_parse(text, strlen(text), NULL, 0, 0, &values, &err) == 0) {
        for (; n < ic_candid_count(values) && n < 2; n++)
            args[n] = *ic_candid_arg(values, n);
        if (ic_candid_encode(args, n, &out, &err) == 0) {
            ic_candid_free(values);
            return out;
        }
    }
    printf("Bail out! %s: %s\n", text, err.message);
    exit(1);
}

/* Is this what a message says? */
static bool says(const uint8_t *bytes, size_t len, const char *text)
{
    struct ic_buf expected = message(text);
    struct ic_candid *a = NULL;
    struct ic_candid *b = NULL;
    bool result =
        ic_candid_decode(bytes, len, NULL, &a, NULL) == 0 &&
        ic_candid_decode(expected.bytes, expected.len, NULL, &b, NULL) == 0 &&
        ic_candid_count(a) == ic_candid_count(b) &&
        (ic_candid_count(a) == 0 || ic_value_equal(ic_candid_arg(a, 0), ic_candid_arg(b, 0)));
    ic_candid_free(a);
    ic_candid_free(b);
    ic_buf_fini(&expected);
    return result;
}

/* --- values of named parts --- */

static void test_build(void)
{
    struct ic_arena arena;
    struct ic_buf bytes = {0};
    struct ic_value range;
    struct ic_value kind;
    struct ic_value none;
    struct ic_value some;
    struct ic_value arg;
    const struct ic_value text = ic_text("x");
    ic_arena_init(&arena, 1 << 20);
    const struct ic_part ends[] = {{"size", ic_nat64(7)}, {"offset", ic_nat64(5)}};
    TAP_INT(ic_build_record(&arena, ends, 2, &range), 0, "a record");
    TAP_INT(ic_build_variant(&arena, "stable_memory", &range, &kind), 0, "a variant");
    TAP_INT(ic_build_variant(&arena, "upgrade", NULL, &none), 0, "a variant with nothing");
    TAP_INT(ic_build_some(&arena, &text, &some), 0, "an opt");
    const struct ic_part parts[] = {
        {"snapshot_id", ic_blob("\1\2", 2)},
        {"kind", kind},
        {"canister_id", ic_build_principal(&canister)},
        {"mode", none},
        {"left_out", {0}},
        {"note", some},
    };
    TAP_INT(ic_build_record(&arena, parts, 6, &arg), 0, "a record of all of them");
    TAP_INT(ic_candid_encode(&arg, 1, &bytes, NULL), 0, "it can be encoded");
    TAP_OK(says(bytes.bytes, bytes.len,
                "(record { canister_id = principal \"" CANISTER
                "\"; snapshot_id = blob \"\\01\\02\";"
                " kind = variant { stable_memory = record { offset = 5 : nat64; size = 7 : nat64 } "
                "}; mode = variant { upgrade }; note = opt \"x\" })"),
           "and says what it was made of");
    ic_buf_fini(&bytes);
    TAP_INT(ic_build_record(&arena, NULL, 0, &arg), 0, "a record of nothing");
    TAP_INT(ic_candid_encode(&arg, 1, &bytes, NULL), 0, "can be encoded, too");
    TAP_OK(says(bytes.bytes, bytes.len, "(record {})"), "and is empty");
    ic_buf_fini(&bytes);
    ic_arena_fini(&arena);

    ic_arena_init(&arena, 16);
    TAP_INT(ic_build_record(&arena, ends, 2, &range), -E2BIG, "a full arena is an error");
    TAP_INT(ic_build_variant(&arena, "a", NULL, &none), -E2BIG, "of a variant, too");
    TAP_INT(ic_build_some(&arena, &text, &some), -E2BIG, "and of an opt");
    ic_arena_fini(&arena);
}

/* --- one call --- */

typedef int (*call_fn)(struct ic_agent *agent, const struct ic_principal *effective,
                       const char *method, const struct ic_value *arg, const struct ic_io *io,
                       struct ic_management_reply *out, struct ic_error *err);

/* Stop the canister, as far as it is told. */
static int call(call_fn fn, int64_t patience_ms, struct ic_management_reply *reply,
                struct ic_error *err)
{
    struct ic_agent *agent = open_agent();
    struct ic_io io = within_ms(patience_ms);
    struct ic_arena arena;
    struct ic_value arg;
    ic_arena_init(&arena, 4096);
    const struct ic_part parts[] = {{"canister_id", ic_build_principal(&canister)}};
    *err = (struct ic_error){0};
    *reply = (struct ic_management_reply){0};
    int result = ic_build_record(&arena, parts, 1, &arg);
    if (result == 0)
        result = fn(agent, &canister, "stop_canister", &arg, &io, reply, err);
    ic_arena_fini(&arena);
    ic_agent_close(agent);
    return result;
}

static void test_call(void)
{
    struct ic_buf answer = message("(record { a = 1 : nat64; b = \"new\" })");
    struct ic_management_reply reply;
    struct ic_error err;
    uint64_t number = 0;
    plan_calls(all_good);
    set_nature((struct nature){.call_reply = answer.bytes, .call_reply_len = answer.len});
    TAP_INT(call(ic_management_call, 20000, &reply, &err), 0, "a call");
    TAP_INT(ic_value_nat64(ic_value_field(ic_management_value(&reply), "a"), &number), 0,
            "its reply has the field");
    TAP_INT((int64_t)number, 1, "which is a number");
    ic_management_reply_fini(&reply);
    ic_buf_fini(&answer);

    struct sent_call sent = last_call();
    TAP_STR(sent.path, "/api/v4/canister/" CANISTER "/call", "it went to the canister's subnet");
    TAP_STR(sent.method, "stop_canister", "for that method");
    TAP_INT((int64_t)sent.canister_len, 0, "of the management canister");
    TAP_OK(says(sent.arg, sent.arg_len, "(record { canister_id = principal \"" CANISTER "\" })"),
           "with that argument");

    answer = message("()");
    set_nature((struct nature){.call_reply = answer.bytes, .call_reply_len = answer.len});
    TAP_INT(call(ic_management_call, 20000, &reply, &err), 0, "a reply of nothing");
    TAP_OK(ic_management_value(&reply) == NULL, "has no value");
    ic_management_reply_fini(&reply);
    ic_buf_fini(&answer);

    set_nature((struct nature){0});
    TAP_INT(call(ic_management_call, 20000, &reply, &err), -EPROTO, "a reply that is no Candid");
    TAP_INT(err.code, IC_E_WRONG_TYPE, "says so");
    TAP_OK(strstr(err.message, "stop_canister") != NULL, "and of which method");
}

/* A call and a read that meet the same. */
static void test_failures(void)
{
    static const struct {
        const char *what;
        struct plan plan;
        bool always;
        int call;
        unsigned n_calls;
        int read;
        unsigned n_read;
    } rows[] = {
        {"a snapshot that is not there",
         {.reject_code = 3, .error_code = "IC0305"},
         true,
         -ENOENT,
         1,
         -ENOENT,
         1},
        {"no right", {.reject_code = 5, .error_code = "IC0512"}, true, -EACCES, 1, -EACCES, 1},
        {"no right, before it ran",
         {.wrong = REFUSED, .reject_code = 5, .error_code = "IC0512"},
         true,
         -EACCES,
         1,
         -EACCES,
         1},
        {"too much read just now, once",
         {.reject_code = 2, .error_code = "IC0210"},
         false,
         -EIO,
         1,
         0,
         2},
        {"an outcome that is forgotten, once", {.wrong = FORGOTTEN}, false, -EIO, 1, 0, 2},
        {"a bad argument", {.reject_code = 4, .error_code = "IC0408"}, true, -EIO, 1, -EIO, 1},
    };
    struct ic_buf answer = message("(1 : nat64)");
    struct ic_management_reply reply;
    struct ic_error err;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct plan plan = rows[i].plan;
        plan.last_bad = rows[i].always ? UINT32_MAX : 0;
        const struct nature nature = {.call_reply = answer.bytes, .call_reply_len = answer.len};
        printf("# %s\n", rows[i].what);
        plan_calls(plan);
        set_nature(nature);
        TAP_INT(call(ic_management_call, 20000, &reply, &err), rows[i].call, "a call");
        TAP_INT(asked(&net.n_calls), rows[i].n_calls, "is made once");
        ic_management_reply_fini(&reply);
        plan_calls(plan);
        set_nature(nature);
        TAP_INT(call(ic_management_read, 20000, &reply, &err), rows[i].read, "a read");
        TAP_INT(asked(&net.n_calls), rows[i].n_read, "is made anew when that may help");
        ic_management_reply_fini(&reply);
    }
    ic_buf_fini(&answer);
}

/* A read whose outcome never comes says why, not that it may have run. */
static void test_patience(void)
{
    static const struct plan under_way = {.call_status = "processing"};
    struct ic_management_reply reply;
    struct ic_error err;
    plan_calls((struct plan){.status = 202, .last_bad = UINT32_MAX});
    set_nature((struct nature){.asks = &under_way, .n_asks = 1});
    TAP_INT(call(ic_management_call, 1500, &reply, &err), -EIO, "a call without end");
    TAP_INT(err.code, IC_E_UNKNOWN_OUTCOME, "may have run");
    TAP_INT(call(ic_management_read, 1500, &reply, &err), -ETIMEDOUT, "a read without end");
    TAP_INT(err.code, IC_E_TIMEOUT, "took too long");

    plan_calls((struct plan){.reject_code = 2, .last_bad = UINT32_MAX});
    TAP_INT(call(ic_management_read, 1000, &reply, &err), -EIO, "the subnet is busy for ever");
    TAP_INT(err.code, IC_E_OVERLOADED, "which is what is said");
    TAP_OK(asked(&net.n_calls) >= 2, "after some tries");
}

/* What kept the outcome from a reader is what he is told, however his patience ended. */
static void test_doubt(void)
{
    static const struct {
        const char *what;
        struct plan call;
        struct plan ask;
        int64_t patience_ms;
        int errnum;
        enum ic_errc cause;
    } rows[] = {
        {"every answer is forged, and time runs out",
         {.wrong = WRONG_SIGNATURE},
         {.wrong = WRONG_SIGNATURE},
         1000,
         -EBADMSG,
         IC_E_UNVERIFIED},
        {"every answer is forged, and it is given up",
         {.wrong = WRONG_SIGNATURE},
         {.wrong = WRONG_SIGNATURE},
         4500,
         -EBADMSG,
         IC_E_UNVERIFIED},
        {"every answer is garbage",
         {.wrong = NOT_CBOR},
         {.wrong = NOT_CBOR},
         1000,
         -EPROTO,
         IC_E_MALFORMED},
        {"nobody is reached",
         {.fault = FAKE_RESET},
         {.fault = FAKE_RESET},
         1000,
         -EHOSTUNREACH,
         IC_E_UNREACHABLE},
        {"all are busy", {.status = 503}, {.status = 503}, 1000, -EIO, IC_E_OVERLOADED},
        {"a forged answer, then true ones: still under way",
         {.wrong = WRONG_SIGNATURE},
         {.call_status = "processing"},
         1000,
         -ETIMEDOUT,
         IC_E_TIMEOUT},
        {"who is asked refuses to tell",
         {.fault = FAKE_RESET},
         {.status = 403},
         4500,
         -EIO,
         IC_E_DENIED},
        {"nobody knows any more", {.wrong = FORGOTTEN}, {0}, 1000, -EHOSTUNREACH, IC_OK},
    };
    struct ic_management_reply reply;
    struct ic_error err;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct plan plan = rows[i].call;
        plan.last_bad = UINT32_MAX;
        printf("# %s\n", rows[i].what);
        plan_calls(plan);
        set_nature((struct nature){.asks = &rows[i].ask, .n_asks = 1});
        TAP_INT(call(ic_management_call, rows[i].patience_ms, &reply, &err), -EIO, "a call");
        TAP_INT(err.code, IC_E_UNKNOWN_OUTCOME, "may have run");
        TAP_INT(err.cause, rows[i].cause, "and says what kept its outcome away");
        plan_calls(plan);
        set_nature((struct nature){.asks = &rows[i].ask, .n_asks = 1});
        TAP_INT(call(ic_management_read, rows[i].patience_ms, &reply, &err), rows[i].errnum,
                "a read has the errno of that");
        TAP_INT(err.cause, IC_OK, "which is no doubt");
    }
}

int main(void)
{
    net_open();
    test_build();
    test_call();
    test_failures();
    test_patience();
    test_doubt();
    net_close();
    return tap_done();
}
