/* Updates that their answer did not settle: asked for, sent again, given up, and never run twice.
 */
#include "tests/ic/update_row.h"

#include <stdlib.h>

TAP_STATE;

/* Unknown, received, processing, and then whatever comes. */
static void test_polling(void)
{
    struct update_row rows[] = {
        {.what = "202, then all stages",
         .call = {.status = 202},
         ASKS({.wrong = ABSENT}, {.call_status = "received"}, {.call_status = "processing"},
              REPLIED),
         .code = IC_OK,
         .n_calls = 1,
         .n_asked = 4},
        {.what = "a lagging node does not take it back",
         .call = {.status = 202},
         ASKS({.call_status = "processing"}, {.wrong = ABSENT}, REPLIED),
         .code = IC_OK,
         .n_calls = 1,
         .n_asked = 3},
        {.what = "202, then done",
         .call = {.status = 202},
         ASKS({.wrong = FORGOTTEN}),
         .code = IC_E_UNKNOWN_OUTCOME,
         .n_calls = 1,
         .n_asked = 1,
         .words = "it ran, its outcome is forgotten"},
        {.what = "an outage while asking",
         .call = {.status = 202},
         ASKS({.fault = FAKE_RESET}, {.fault = FAKE_RESET}, {.fault = FAKE_RESET},
              {.fault = FAKE_RESET}, {.fault = FAKE_RESET}, {.fault = FAKE_RESET}, {.status = 503},
              REPLIED),
         .patience_ms = 8000,
         .code = IC_OK,
         .n_calls = 1,
         .n_asked = ANY},
        {.what = "202 and no more for ever",
         .call = {.status = 202},
         ASKS({.wrong = ABSENT}),
         .patience_ms = 2000,
         .code = IC_E_UNKNOWN_OUTCOME,
         .n_calls = 1,
         .n_asked = 2, /* after 0.5 and 1.2 s */
         .words = "may have run"},
        {.what = "processing for ever",
         .call = {.status = 202},
         ASKS({.call_status = "processing"}),
         .patience_ms = 2000,
         .code = IC_E_UNKNOWN_OUTCOME,
         .n_calls = 1,
         .n_asked = 2,
         .words = "may have run"},
        {.what = "503 for ever",
         .call = {.status = 503},
         .always = true,
         ASKS({.status = 503}),
         .patience_ms = 1000,
         .code = IC_E_UNKNOWN_OUTCOME,
         .n_calls = 4,
         .n_asked = ANY,
         .words = "HTTP status 503"},
        {.what = "lost, and then nothing but silence",
         .call = {.fault = FAKE_RESET},
         ASKS({.fault = FAKE_CLOSE}),
         .patience_ms = 1500,
         .code = IC_E_UNKNOWN_OUTCOME,
         .n_calls = 1,
         .n_asked = ANY,
         .words = "may have run"},
        /* three tries of read_state each, and three questions */
        {.what = "lost, and then nothing that verifies",
         .call = {.fault = FAKE_RESET},
         ASKS({.wrong = WRONG_SIGNATURE}),
         .patience_ms = 8000,
         .code = IC_E_UNKNOWN_OUTCOME,
         .n_calls = 1,
         .n_asked = 9,
         .words = "does not verify"},
        {.what = "lost, and then nothing that proves anything",
         .call = {.fault = FAKE_RESET},
         ASKS({.wrong = PRUNED}),
         .patience_ms = 8000,
         .code = IC_E_UNKNOWN_OUTCOME,
         .n_calls = 1,
         .n_asked = 3,
         .words = "may have run"},
        {.what = "lost, and asking is refused",
         .call = {.fault = FAKE_RESET},
         ASKS({.status = 403}),
         .patience_ms = 8000,
         .code = IC_E_UNKNOWN_OUTCOME,
         .n_calls = 1,
         .n_asked = 3,
         .words = "may have run"},
    };
    CHECK_ALL(rows);
}

/* Certified time is past the expiry. */
static void test_expired(void)
{
    struct update_row rows[] = {
        {.what = "not known after its expiry",
         .call = {.status = 202},
         ASKS({.wrong = ABSENT}),
         .is_expired = true,
         .code = IC_E_OVERLOADED,
         .n_calls = 1,
         .n_asked = 1,
         .words = "never ran"},
        {.what = "known before its expiry, and not after",
         .call = {.status = 202},
         ASKS({.call_status = "processing"}, {.wrong = ABSENT}),
         .is_expired = true,
         .code = IC_E_UNKNOWN_OUTCOME,
         .n_calls = 1,
         .n_asked = 2,
         .words = "it may have run, its outcome is forgotten"},
    };
    CHECK_ALL(rows);
}

/* The last two calls went out as the same bytes, to this path. */
static void check_same_call(const char *path_wanted)
{
    uint8_t *bodies[2] = {NULL, NULL};
    size_t lens[2] = {0, 0};
    unsigned n_found = 0;
    for (unsigned n = fake_server_n_requests(net.server); n-- > 0 && n_found < 2;) {
        char path[256];
        uint8_t *body;
        size_t len;
        if (!fake_server_get_request(net.server, n, path, &body, &len))
            continue;
        if (strcmp(path, path_wanted) == 0)
            bodies[n_found] = body, lens[n_found++] = len;
        else
            free(body);
    }
    TAP_OK(n_found == 2 && lens[0] == lens[1] && memcmp(bodies[0], bodies[1], lens[0]) == 0,
           "the same bytes, so the same request id");
    free(bodies[0]);
    free(bodies[1]);
}

/* Lost on the way: some seconds later a certificate still does not know it. */
static void test_sent_again(void)
{
    static const char call_path[] = "/api/v4/canister/" CANISTER "/call";
    update_check(&(struct update_row){.what = "lost on the way, and sent again",
                                      .call = {.fault = FAKE_RESET},
                                      ASKS({.wrong = ABSENT}),
                                      .patience_ms = 9000,
                                      .code = IC_OK,
                                      .n_calls = 2,
                                      .n_asked = ANY});
    check_same_call(call_path);
    update_check(
        &(struct update_row){.what = "503, and sent again", .call = {.status = 503}, .n_calls = 2});
    check_same_call(call_path);

    /* A refusal of the second copy says nothing about the first. */
    const struct plan calls[] = {{.fault = FAKE_RESET}, {.wrong = REFUSED, .reject_code = 4}};
    update_check(&(struct update_row){.what = "lost, sent again and refused, then a reply",
                                      .nature = {.calls = calls, .n_calls = 2},
                                      ASKS({.wrong = ABSENT}, {.wrong = ABSENT}, {.wrong = ABSENT},
                                           {.wrong = ABSENT}, {.wrong = ABSENT}, REPLIED),
                                      .patience_ms = 9000,
                                      .code = IC_OK,
                                      .n_calls = 2,
                                      .n_asked = 6});
}

int main(void)
{
    net_open();
    test_polling();
    test_expired();
    test_sent_again();
    net_close();
    return tap_done();
}
