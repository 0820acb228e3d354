/* ic/http against a loopback server that misbehaves in every way it can. */
#include "ic/http.h"
#include "ic/wait.h"
#include "tests/support/fake_server.h"
#include "tests/support/least.h"
#include "tests/tap.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

TAP_STATE;

#define MIB (1024 * 1024)

static uint8_t pattern[3 * MIB + 1000];

/* What the server answers next, to every request. */
struct script {
    pthread_mutex_t lock;
    struct fake_reply reply; /* guarded by lock */
    bool echo;               /* guarded by lock: reply with the request's body */
};

static void answer(void *arg, const struct fake_request *request, struct fake_reply *reply)
{
    struct script *script = arg;
    pthread_mutex_lock(&script->lock);
    *reply = script->reply;
    bool echo = script->echo;
    pthread_mutex_unlock(&script->lock);
    if (echo) {
        reply->owned = malloc(request->body_len + 1);
        memcpy(reply->owned, request->body, request->body_len);
        reply->body = reply->owned;
        reply->len = request->body_len;
    }
}

static struct script script = {.lock = PTHREAD_MUTEX_INITIALIZER};
static struct fake_server *server;
static struct ic_http *http;

static void answer_with(struct fake_reply reply)
{
    pthread_mutex_lock(&script.lock);
    script.reply = reply;
    script.echo = false;
    pthread_mutex_unlock(&script.lock);
}

static void open_http(unsigned stall_ms)
{
    struct ic_error err;
    struct ic_http_config config = {.stall_ms = stall_ms};
    if (!TAP_OK(ic_http_open(&http, &config, &err) == 0, "open"))
        exit(1);
}

static void answer_with_echo(void)
{
    pthread_mutex_lock(&script.lock);
    script.reply = (struct fake_reply){.status = 200};
    script.echo = true;
    pthread_mutex_unlock(&script.lock);
}

static struct ic_io within_ms(int64_t ms)
{
    return (struct ic_io){.deadline_ns = ic_wait_now_ns() + ms * IC_NS_PER_MS};
}

static int64_t ms_since(int64_t start_ns)
{
    return (ic_wait_now_ns() - start_ns) / IC_NS_PER_MS;
}

static void sleep_ms(long ms)
{
    struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&ts, NULL);
}

static int post(const uint8_t *body, size_t len, size_t reply_max, const struct ic_io *io,
                struct ic_http_reply *reply, struct ic_error *err)
{
    char url[128];
    snprintf(url, sizeof url, "%s/some/path", fake_server_url(server));
    struct ic_http_request request = {
        .url = url, .body = body, .body_len = len, .reply_max = reply_max};
    return ic_http_perform(http, &request, io, reply, err);
}

static int post_now(struct ic_http_reply *reply, struct ic_error *err)
{
    struct ic_io io = within_ms(20000);
    return post((const uint8_t *)"hello", 5, sizeof pattern, &io, reply, err);
}

static void test_request_as_sent(void)
{
    answer_with_echo();
    struct ic_http_reply reply;
    struct ic_error err;
    TAP_INT(post_now(&reply, &err), 0, "POST succeeds");
    TAP_INT(reply.status, 200, "status");
    TAP_OK(reply.len == 5 && memcmp(reply.body, "hello", 5) == 0, "the body came back");
    TAP_OK(reply.sent, "it was sent");
    ic_http_reply_fini(&reply);

    char path[256];
    uint8_t *body;
    size_t len;
    TAP_OK(fake_server_get_request(server, 0, path, &body, &len), "the server saw it");
    TAP_STR(path, "/some/path", "path");
    free(body);
}

static atomic_int saw_cbor;
static atomic_int saw_expect;
static void look_at_head(void *arg, const struct fake_request *request, struct fake_reply *reply)
{
    (void)arg;
    if (strcasestr(request->head, "\r\nContent-Type: application/cbor\r\n") != NULL)
        atomic_fetch_add(&saw_cbor, 1);
    if (strcasestr(request->head, "\r\nExpect:") != NULL)
        atomic_fetch_add(&saw_expect, 1);
    reply->status = strcmp(request->method, "POST") == 0 ? 200 : 201;
}

static void test_headers_and_get(void)
{
    struct fake_server *other = fake_server_open(look_at_head, NULL);
    struct ic_http_request request = {
        .url = fake_server_url(other), .body = pattern, .body_len = 2 * MIB, .reply_max = 100};
    struct ic_io io = within_ms(20000);
    struct ic_http_reply reply;
    TAP_INT(ic_http_perform(http, &request, &io, &reply, NULL), 0, "POST of 2 MiB");
    TAP_INT(reply.status, 200, "was a POST");
    TAP_INT((int64_t)reply.len, 0, "an empty body is fine");
    ic_http_reply_fini(&reply);
    TAP_INT(atomic_load(&saw_cbor), 1, "Content-Type: application/cbor");
    TAP_INT(atomic_load(&saw_expect), 0, "no Expect header");
    request.body = NULL;
    request.body_len = 0;
    TAP_INT(ic_http_perform(http, &request, &io, &reply, NULL), 0, "GET");
    TAP_INT(reply.status, 201, "was a GET, on a handle that posted before");
    ic_http_reply_fini(&reply);
    fake_server_close(other);
}

static void check_body(const char *what, bool chunked, size_t len)
{
    answer_with(
        (struct fake_reply){.status = 200, .body = pattern, .len = len, .chunked = chunked});
    struct ic_http_reply reply;
    struct ic_error err;
    TAP_INT(post_now(&reply, &err), 0, what);
    TAP_INT((int64_t)reply.len, (int64_t)len, "its length");
    if (reply.len == len)
        TAP_MEM(reply.body, pattern, len, "its bytes");
    ic_http_reply_fini(&reply);
}

static void test_bodies(void)
{
    unsigned before = fake_server_n_connections(server);
    check_body("3 MiB with Content-Length", false, 3 * MIB);
    check_body("3 MiB chunked", true, 3 * MIB);
    check_body("exactly as long as the cap", false, sizeof pattern);
    check_body("one byte, chunked", true, 1);
    TAP_INT(fake_server_n_connections(server) - before, 0, "the connection was used again");
}

static void test_statuses(void)
{
    static const struct {
        int status;
        const char *headers;
        uint32_t retry_after_ms;
    } rows[] = {
        {503, "Retry-After: 2\r\n", 2000},
        {429, NULL, 0},
        {429, "Retry-After: 86400\r\n", 3600000},
        {302, "Location: /else\r\n", 0},
        {404, NULL, 0},
        {500, NULL, 0},
        {429, "Retry-After: -5\r\n", 0},
        {429, "Retry-After: soon\r\n", 0},
        {429, "Retry-After: 4294967297\r\n", 3600000},
        {429, "Retry-After: Fri, 31 Dec 2155 23:59:59 GMT\r\n", 3600000},
        {429, "Retry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\n", 0},
        {503, "Retry-After: Fri, 99 Foo 2155 23:59:59 GMT\r\n", 0},
        {503, "Retry-After:\r\n", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        answer_with((struct fake_reply){.status = rows[i].status,
                                        .headers = rows[i].headers,
                                        .body = (const uint8_t *)"text",
                                        .len = 4});
        struct ic_http_reply reply;
        TAP_INT(post_now(&reply, NULL), 0, "a complete response of any status is success");
        TAP_INT(reply.status, rows[i].status, "status");
        TAP_INT(reply.retry_after_ms, rows[i].retry_after_ms, "Retry-After");
        ic_http_reply_fini(&reply);
    }
}

/* A date some seconds from now. */
static void test_retry_after_date(void)
{
    time_t then = time(NULL) + 20;
    struct tm tm;
    char header[80];
    strftime(header, sizeof header, "Retry-After: %a, %d %b %Y %H:%M:%S GMT\r\n",
             gmtime_r(&then, &tm));
    answer_with((struct fake_reply){.status = 429, .headers = header});
    struct ic_http_reply reply;
    TAP_INT(post_now(&reply, NULL), 0, "Retry-After as a date");
    TAP_OK(reply.retry_after_ms >= 15000 && reply.retry_after_ms <= 20000,
           "is the time until then");
    ic_http_reply_fini(&reply);

    answer_with(
        (struct fake_reply){.status = 429, .headers = "Retry-After: 99999999999999999999999\r\n"});
    TAP_INT(post_now(&reply, NULL), 0, "a number of seconds that no type holds");
    TAP_OK(reply.retry_after_ms <= 3600000, "is bounded, too (versions of libcurl differ in how)");
    ic_http_reply_fini(&reply);
}

static void test_redirects(void)
{
    static const int statuses[] = {301, 302, 303, 307, 308};
    struct fake_server *other = fake_server_open(answer, &script);
    char header[128];
    snprintf(header, sizeof header, "Location: %s/else\r\n", fake_server_url(other));
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        unsigned before = fake_server_n_requests(server);
        answer_with((struct fake_reply){.status = statuses[i], .headers = header});
        struct ic_http_reply reply;
        TAP_INT(post_now(&reply, NULL), 0, "a redirect is an answer");
        TAP_INT(reply.status, statuses[i], "status");
        ic_http_reply_fini(&reply);
        TAP_INT(fake_server_n_requests(server) - before, 1, "and is not followed");
    }
    TAP_INT(fake_server_n_requests(other), 0, "wherever it leads");
    fake_server_close(other);
}

/* --- compressed answers --- */

struct bits {
    uint8_t *bytes;
    size_t n;
};

static void put_bits(struct bits *b, unsigned value, unsigned n)
{
    for (unsigned i = 0; i < n; i++, b->n++)
        if (value >> i & 1)
            b->bytes[b->n / 8] |= (uint8_t)(1u << b->n % 8);
}

/* A gzip file (RFC 1952) of 1 + 258 n zeros in 1.6 bytes each 258: one block of fixed codes (RFC
 * 1951): a zero, then n times "258 bytes from 1 back". Without the trailer: nobody gets that far.
 */
static size_t make_bomb(uint8_t *out, size_t n)
{
    static const uint8_t header[10] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3};
    memcpy(out, header, sizeof header);
    struct bits b = {out + sizeof header, 0};
    put_bits(&b, 3, 3);    /* the last block; fixed codes */
    put_bits(&b, 0x0c, 8); /* the literal 0: 00110000, most significant bit first */
    for (size_t i = 0; i < n; i++)
        put_bits(&b, 0xa3, 8 + 5); /* length 258: 11000101; distance 1: 00000 */
    return sizeof header + (b.n + 7) / 8;
}

static void test_compressed(void)
{
    enum { N = 100000 }; /* 25 MB in 160 KB */
    uint8_t *bomb = calloc(1, 2 * N + 100);
    size_t len = make_bomb(bomb, N);
    struct ic_http_reply reply;
    struct ic_error err = {0};
    answer_with((struct fake_reply){
        .status = 200, .headers = "Content-Encoding: gzip\r\n", .body = bomb, .len = len});
    TAP_INT(post_now(&reply, NULL), 0, "compression that nobody asked for");
    TAP_OK(reply.len == len && memcmp(reply.body, bomb, len) == 0, "is not undone");
    ic_http_reply_fini(&reply);
    answer_with((struct fake_reply){.status = 200,
                                    .headers = "Transfer-Encoding: gzip\r\n",
                                    .body = bomb,
                                    .len = len,
                                    .chunked = true});
    TAP_INT(post_now(&reply, &err), -EPROTO, "a bomb by transfer encoding");
    TAP_OK(strstr(err.message, "longer than expected") != NULL, "ends at the cap");
    free(bomb);
}

static void check_fails(const char *what, struct fake_reply fault, size_t reply_max,
                        enum ic_errc code)
{
    bool stalls = fault.fault == FAKE_STALL || fault.fault == FAKE_STALL_IN_BODY;
    struct ic_http *patient = http;
    if (stalls)
        open_http(1000);
    answer_with(fault);
    struct ic_http_reply reply;
    struct ic_error err = {0};
    struct ic_io io = within_ms(20000); /* which is not waited for: that would be another code */
    int rc = post((const uint8_t *)"hello", 5, reply_max, &io, &reply, &err);
    TAP_INT(err.code, code, what);
    TAP_INT(rc, ic_error_errno(&err), "its errno");
    TAP_OK(reply.body == NULL, "nothing is owned after a failure");
    TAP_OK(reply.sent, "the request may have reached the server");
    if (err.code != code)
        printf("# %s\n", err.message);
    if (stalls) {
        ic_http_close(http);
        http = patient;
    }
}

static void test_faults(void)
{
    const struct fake_reply big = {.status = 200, .body = pattern, .len = MIB};
    struct fake_reply r = big;
    size_t cap = sizeof pattern;

    for (int chunked = 0; chunked < 2; chunked++) {
        r = big, r.chunked = chunked, r.fault = FAKE_CLOSE;
        check_fails("closed instead of an answer", r, cap, IC_E_UNREACHABLE);
        r.fault = FAKE_RESET;
        check_fails("reset instead of an answer", r, cap, IC_E_UNREACHABLE);
        r.fault = FAKE_RESET_IN_HEAD;
        check_fails("reset in the headers", r, cap, IC_E_UNREACHABLE);
        r.fault = FAKE_RESET_IN_BODY, r.fault_at = 100000;
        check_fails("reset in the body", r, cap, IC_E_UNREACHABLE);
        r.fault = FAKE_TRUNCATE;
        check_fails("truncated", r, cap, IC_E_MALFORMED);
        r.fault_at = MIB - 1;
        check_fails("truncated by one byte", r, cap, IC_E_MALFORMED);
        r.fault = FAKE_STALL;
        check_fails("silent", r, cap, IC_E_UNREACHABLE);
        r.fault = FAKE_STALL_IN_BODY, r.fault_at = 100000;
        check_fails("silent in the body", r, cap, IC_E_UNREACHABLE);
        r.fault = FAKE_NONE;
        check_fails("longer than the cap", r, MIB - 1, IC_E_MALFORMED);
        check_fails("anything when the cap is 0", r, 0, IC_E_MALFORMED);
    }
    r = big, r.fault = FAKE_GARBAGE;
    check_fails("not HTTP", r, cap, IC_E_MALFORMED);
    r = big, r.fault = FAKE_ENDLESS_HEAD;
    check_fails("a header line without end", r, cap, IC_E_MALFORMED);
    r.fault = FAKE_MANY_HEADERS;
    check_fails("header lines without end", r, cap, IC_E_MALFORMED);
    r.fault = FAKE_MANY_INTERIMS;
    check_fails("interim answers without end", r, cap, IC_E_MALFORMED);
    r = big, r.announced = (size_t)1 << 40;
    check_fails("a length of 1 TiB", r, cap, IC_E_MALFORMED);
    check_body("the next request is well", false, MIB);
}

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

static void test_refused(void)
{
    fake_server_refuse(server, true);
    struct ic_http_reply reply;
    struct ic_error err = {0};
    TAP_INT(post_now(&reply, &err), -EHOSTUNREACH, "connection refused");
    TAP_OK(!reply.sent, "nothing was sent");
    TAP_OK(strstr(err.message, "127.0.0.1") != NULL, "the message names the server");
    fake_server_refuse(server, false);
    check_body("the server is back", false, 1000);
}

static void check_url(const char *url, enum ic_errc code, const char *words, const char *what)
{
    struct ic_http_request request = {.url = url, .reply_max = 100};
    struct ic_io io = within_ms(20000);
    struct ic_http_reply reply;
    struct ic_error err = {0};
    TAP_OK(ic_http_perform(http, &request, &io, &reply, &err) != 0, what);
    TAP_INT(err.code, code, "code");
    if (!TAP_OK(strstr(err.message, words) != NULL, "words"))
        printf("# %s\n", err.message);
}

static void test_urls(void)
{
    check_url("http://", IC_E_CONFIG, "", "no host");
    check_url("http://127.0.0.1:99999/", IC_E_CONFIG, "", "no such port");
    check_url("http://no-such-host.invalid/", IC_E_UNREACHABLE, "no-such-host", "no such host");
    char url[128];
    snprintf(url, sizeof url, "https%s", fake_server_url(server) + 4);
    answer_with((struct fake_reply){.status = 200});
    check_url(url, IC_E_TLS, "(what answers there does not speak TLS: is it http, not https?)",
              "https to a server that does not speak TLS");
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
    server = fake_server_open(answer, &script);
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
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = (uint8_t)(i * 7 + i / 251);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    server = fake_server_open(answer, &script);
    open_http(60000); /* a busy machine is not taken for a stall */

    test_request_as_sent();
    test_headers_and_get();
    test_bodies();
    test_statuses();
    test_retry_after_date();
    test_redirects();
    test_compressed();
    test_faults();
    test_too_slow();
    test_cancel();
    test_refused();
    test_urls();
    test_many_threads();
    test_pool();
    test_resent();
    test_stop();

    fake_server_close(server);
    curl_global_cleanup();
    return tap_done();
}
