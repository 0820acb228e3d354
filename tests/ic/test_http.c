/* ic/http against a loopback server that misbehaves in every way it can. */
#include "ic/http.h"
#include "tests/ic/http_net.h"
#include "tests/tap.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

TAP_STATE;

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
    struct fake_server *other = fake_server_open(answer, NULL);
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
    enum { N = 100000 };              /* 25 MB in 160 KB */
    static uint8_t bomb[2 * N + 100]; /* it may still be sent when nobody reads it any more */
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

int main(void)
{
    net_open();
    test_request_as_sent();
    test_headers_and_get();
    test_bodies();
    test_statuses();
    test_retry_after_date();
    test_redirects();
    test_compressed();
    test_faults();
    test_refused();
    test_urls();
    ic_http_close(http);
    net_close();
    return tap_done();
}
