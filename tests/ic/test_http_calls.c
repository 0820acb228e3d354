/* Calls of ic/http that last: deadlines, cancelling, many at once, connections that end, a stop. */
#include "ic/http.h"
#include "ic/wait.h"
#include "tests/ic/http_net.h"
#include "tests/support/least.h"
#include "tests/tap.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

TAP_STATE;

/* Returns how many ms after its deadline a request is given up. */
static int64_t post_in_vain(void *patience_ms)
{
    struct ic_http_reply reply;
    struct ic_error err = {0};
    struct ic_io io = within_ms(*(int *)patience_ms);
    TAP_INT(post(NULL, 0, 4096, &io, &reply, &err), -ETIMEDOUT, "deadline");
    TAP_INT(err.code, IC_E_TIMEOUT, "code");
    TAP_OK(ic_wait_now_ns() >= io.deadline_ns, "not before it");
    return ms_since(io.deadline_ns);
}

static void test_too_slow(void)
{
    struct ic_http_reply reply;
    struct ic_error err = {0};
    struct ic_http *patient = http;
    open_http(1000);
    int patience_ms = 2000;
    answer_with((struct fake_reply){
        .status = 200, .body = pattern, .len = 1000, .fault = FAKE_DRIP, .drip_ms = 100});
    TAP_OK(least_of(100, post_in_vain, &patience_ms) < 100, "a drip that goes on: at the deadline");
    patience_ms = 300;
    answer_with((struct fake_reply){.status = 200, .fault = FAKE_STALL});
    TAP_OK(least_of(100, post_in_vain, &patience_ms) < 100, "silence: at the deadline");

    struct ic_io io = within_ms(-1);
    unsigned before = fake_server_n_requests(server);
    TAP_INT(post(NULL, 0, 100, &io, &reply, &err), -ETIMEDOUT, "a deadline that has passed");
    TAP_INT(fake_server_n_requests(server), before, "sends nothing");
    TAP_OK(!reply.sent, "and says so");

    answer_with((struct fake_reply){
        .status = 200, .body = pattern, .len = 30, .fault = FAKE_DRIP, .drip_ms = 50});
    TAP_INT(post_now(&reply, &err), 0, "slow but steady, longer than the stall time: succeeds");
    TAP_INT((int64_t)reply.len, 30, "whole");
    ic_http_reply_fini(&reply);
    ic_http_close(http);
    http = patient;
}

struct canceller {
    atomic_bool flag;
    bool wake;
    int64_t set_ns;
};

static void *cancel_soon(void *arg)
{
    struct canceller *c = arg;
    sleep_ms(110); /* a caller looks for itself after each 50 ms: some 40 ms from then */
    c->set_ns = ic_wait_now_ns();
    atomic_store(&c->flag, true);
    if (c->wake)
        ic_http_wake(http);
    return NULL;
}

/* Returns how many ms after it was cancelled a request ends. */
static int64_t post_and_cancel(void *wake)
{
    struct canceller c = {.wake = *(bool *)wake};
    struct ic_io io = within_ms(20000);
    io.cancel = &c.flag;
    pthread_t thread;
    pthread_create(&thread, NULL, cancel_soon, &c);
    struct ic_http_reply reply;
    struct ic_error err = {0};
    TAP_INT(post(NULL, 0, 100, &io, &reply, &err), -EINTR, "cancelled");
    int64_t end = ic_wait_now_ns();
    pthread_join(thread, NULL);
    TAP_INT(err.code, IC_E_CANCELLED, "code");
    TAP_INT(post(NULL, 0, 100, &io, &reply, &err), -EINTR, "a flag that was set before");
    return (end - c.set_ns) / IC_NS_PER_MS;
}

static void test_cancel(void)
{
    answer_with((struct fake_reply){.status = 200, .fault = FAKE_STALL});
    bool wake = true;
    TAP_OK(least_of(20, post_and_cancel, &wake) < 20, "at once when woken");
    wake = false;
    TAP_OK(least_of(80, post_and_cancel, &wake) < 80, "within 50 ms otherwise");
}

struct worker {
    unsigned n;
    unsigned n_right;
    unsigned n_failed;
};

/* Every third answer is bad in some way. */
static void answer_by_number(void *arg, const struct fake_request *request,
                             struct fake_reply *reply)
{
    (void)arg;
    static const enum fake_fault faults[] = {FAKE_RESET,         FAKE_TRUNCATE, FAKE_CLOSE,
                                             FAKE_RESET_IN_BODY, FAKE_STALL,    FAKE_GARBAGE};
    reply->owned = malloc(300000);
    memset(reply->owned, request->body[0], 300000);
    reply->body = reply->owned;
    reply->len = 300000;
    if (request->body[1] % 3 == 0) {
        reply->fault = faults[request->body[1] / 3 % 6];
        reply->fault_at = 1000;
    }
}

static void *work(void *arg)
{
    struct worker *w = arg;
    for (uint8_t i = 0; i < 30; i++) {
        uint8_t body[2] = {(uint8_t)w->n, i};
        struct ic_io io = within_ms(20000);
        struct ic_http_reply reply;
        if (post(body, 2, 300000, &io, &reply, NULL) != 0) {
            w->n_failed++;
            continue;
        }
        bool right = reply.len == 300000;
        for (size_t k = 0; right && k < reply.len; k++)
            right = reply.body[k] == (uint8_t)w->n;
        w->n_right += right;
        ic_http_reply_fini(&reply);
    }
    return NULL;
}

static void test_many_threads(void)
{
    struct fake_server *first = server;
    struct ic_http *patient = http;
    open_http(5000); /* each of them meets one stall */
    server = fake_server_open(answer_by_number, NULL);
    pthread_t threads[24];
    struct worker workers[24];
    for (unsigned i = 0; i < 24; i++) {
        workers[i] = (struct worker){.n = i};
        pthread_create(&threads[i], NULL, work, &workers[i]);
    }
    unsigned n_right = 0;
    unsigned n_failed = 0;
    for (unsigned i = 0; i < 24; i++) {
        pthread_join(threads[i], NULL);
        n_right += workers[i].n_right;
        n_failed += workers[i].n_failed;
    }
    TAP_INT(n_right, 24 * 20, "24 threads: every whole answer reached its caller, with its bytes");
    TAP_INT(n_failed, 24 * 10, "and every broken one failed");
    ic_http_close(http);
    http = patient;
    fake_server_close(server);
    server = first;
}

static void *post_some(void *arg)
{
    unsigned *n_right = arg;
    for (int i = 0; i < 50; i++) {
        struct ic_http_reply reply;
        *n_right += post_now(&reply, NULL) == 0 && reply.len == 5;
        ic_http_reply_fini(&reply);
    }
    return NULL;
}

static void test_pool(void)
{
    struct fake_server *first = server;
    server = fake_server_open(answer, NULL);
    answer_with_echo();
    pthread_t threads[8];
    unsigned n_right[8] = {0};
    unsigned n = 0;
    for (int i = 0; i < 8; i++)
        pthread_create(&threads[i], NULL, post_some, &n_right[i]);
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
        n += n_right[i];
    }
    TAP_INT(n, 8 * 50, "8 threads, 400 requests");
    unsigned n_connections = fake_server_n_connections(server);
    printf("# %u connections\n", n_connections);
    TAP_OK(n_connections <= 8, "never more connections than requests at once");
    fake_server_close(server);
    server = first;
}

/* The first request is answered, the second is read and its connection closed, the rest gets 400.
 */
static void answer_and_close(void *arg, const struct fake_request *request,
                             struct fake_reply *reply)
{
    (void)arg;
    reply->status = request->n < 2 ? 200 : 400;
    reply->fault = request->n == 1 ? FAKE_CLOSE : FAKE_NONE;
}

/* libcurl sends a request anew when a kept connection ends before the answer: the caller must know
 * that two copies may have arrived. */
static void check_resent(void)
{
    struct fake_server *first = server;
    server = fake_server_open(answer_and_close, NULL);
    static const struct {
        int status;
        bool resent;
    } posts[] = {{200, false}, {400, true}, {400, false}};
    for (size_t i = 0; i < sizeof posts / sizeof posts[0]; i++) {
        struct ic_http_reply reply;
        struct ic_error err = {0};
        if (!TAP_INT(post_now(&reply, &err), 0, "a request"))
            printf("# %s\n", err.message);
        TAP_INT(reply.status, posts[i].status, "its status");
        TAP_OK(reply.sent, "it was sent");
        TAP_INT(reply.resent, posts[i].resent, "and sent anew, or not");
        ic_http_reply_fini(&reply);
    }
    TAP_INT(fake_server_n_requests(server), 4, "so many reached the server");
    fake_server_close(server);
    server = first;
}

/* However often that has happened before: libcurl refuses the sixth time. */
static void test_resent(void)
{
    for (int i = 0; i < 8; i++)
        check_resent();
}

static void *stop_soon(void *arg)
{
    sleep_ms(100);
    *(int64_t *)arg = ic_wait_now_ns();
    ic_http_stop(http);
    return NULL;
}

static atomic_bool is_over;

static void *post_late(void *arg)
{
    int *rc = arg;
    struct ic_http_reply reply;
    *rc = post_now(&reply, NULL);
    atomic_store(&is_over, true);
    return NULL;
}

/* The network thread is gone by now: it wakes at least four times in a stall time. */
static void check_call_long_after_stop(void)
{
    sleep_ms(600);
    int rc = 0;
    pthread_t thread;
    pthread_create(&thread, NULL, post_late, &rc);
    for (int i = 0; i < 1500 && !atomic_load(&is_over); i++)
        sleep_ms(10);
    if (!TAP_OK(atomic_load(&is_over), "a call long after the stop returns"))
        exit(1); /* it hangs */
    pthread_join(thread, NULL);
    TAP_INT(rc, -EINTR, "as cancelled");
}

/* Returns how many ms after the stop a request ends. */
static int64_t post_and_stop(void *arg)
{
    (void)arg;
    int64_t stopped_ns;
    pthread_t thread;
    pthread_create(&thread, NULL, stop_soon, &stopped_ns);
    struct ic_http_reply reply;
    struct ic_error err = {0};
    struct ic_io io = within_ms(20000);
    TAP_INT(post(NULL, 0, 100, &io, &reply, &err), -EINTR, "stop cancels what is in flight");
    int64_t end = ic_wait_now_ns();
    pthread_join(thread, NULL);
    TAP_INT(post_now(&reply, &err), -EINTR, "and what comes later");
    return (end - stopped_ns) / IC_NS_PER_MS;
}

/* By itself the network thread would see it up to a second later. */
static int64_t open_and_stop(void *arg)
{
    open_http(60000);
    int64_t took = post_and_stop(arg);
    ic_http_close(http);
    return took;
}

static void test_stop(void)
{
    answer_with((struct fake_reply){.status = 200, .fault = FAKE_STALL});
    ic_http_close(http);
    open_http(1000);
    (void)post_and_stop(NULL);
    check_call_long_after_stop();
    ic_http_close(http);
    TAP_OK(least_of(200, open_and_stop, NULL) < 200, "a stop is seen at once");
}

int main(void)
{
    net_open();
    test_too_slow();
    test_cancel();
    test_many_threads();
    test_pool();
    test_resent();
    test_stop();
    net_close();
    return tap_done();
}
