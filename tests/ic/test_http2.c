/* ic/http over HTTP/2: many requests share one connection, which must be left when it is dead. */
#include "ic/http.h"
#include "ic/wait.h"
#include "tests/support/fake_tls.h"
#include "tests/tap.h"

#include <curl/curl.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

TAP_STATE;

/* Longer than a busy machine takes for a handshake with a sanitizer. */
#define STALL_MS    1500
#define PATIENCE_MS 20000

/* --- a server that speaks as much HTTP/2 (RFC 9113) as this needs --- */

enum manner {
    ANSWERS,
    SILENT,     /* reads, and says nothing */
    SILENT_ONE, /* does not answer the first request that it gets in this manner */
    RESETS,     /* RST_STREAM instead of an answer */
    LEAVES,     /* GOAWAY instead of an answer, then it closes */
};

struct server {
    SSL_CTX *ctx;
    char ca_file[64];
    char url[64];
    int listener;
    unsigned port;
    pthread_t thread;
    _Atomic(enum manner) manner;
    atomic_bool stopping;
    atomic_uint n_connections;
    atomic_uint n_requests;
    atomic_uint n_serving;
};

static struct server server;

enum { DATA = 0, HEADERS = 1, RST_STREAM = 3, SETTINGS = 4, PING = 6, GOAWAY = 7 };
enum { ACK = 1, END_STREAM = 1, END_HEADERS = 4 };

static bool put_frame(SSL *ssl, uint8_t type, uint8_t flags, uint32_t stream, const void *data,
                      uint8_t len)
{
    uint8_t frame[9 + 255] = {
        0, 0, len, type, flags, 0, 0, (uint8_t)(stream >> 8), (uint8_t)stream};
    if (len > 0)
        memcpy(frame + 9, data, len);
    return SSL_write(ssl, frame, 9 + len) == 9 + len;
}

/* Waits for a byte, or until the server stops. */
static bool read_all(SSL *ssl, void *data, size_t len)
{
    uint8_t *p = data;
    while (len > 0 && !atomic_load(&server.stopping)) {
        struct pollfd pfd = {.fd = SSL_get_fd(ssl), .events = POLLIN};
        if (SSL_pending(ssl) == 0 && poll(&pfd, 1, 20) == 0)
            continue;
        int n = SSL_read(ssl, p, (int)len);
        if (n <= 0)
            return false;
        p += n;
        len -= (size_t)n;
    }
    return len == 0;
}

/* A whole request has come. Returns whether the connection goes on. */
static bool answer(SSL *ssl, uint32_t stream)
{
    static const uint8_t status_200[] = {0x88}; /* RFC 7541, appendix A: entry 8 */
    static const uint8_t cancel[] = {0, 0, 0, 8};
    static const uint8_t no_more[] = {0, 0, 0, 0, 0, 0, 0, 0};
    atomic_fetch_add(&server.n_requests, 1);
    enum manner one = SILENT_ONE;
    if (atomic_compare_exchange_strong(&server.manner, &one, ANSWERS))
        return true;
    switch (atomic_load(&server.manner)) {
    case ANSWERS:
        return put_frame(ssl, HEADERS, END_HEADERS, stream, status_200, 1) &&
               put_frame(ssl, DATA, END_STREAM, stream, "hello", 5);
    case RESETS:
        return put_frame(ssl, RST_STREAM, 0, stream, cancel, 4);
    case LEAVES:
        (void)put_frame(ssl, GOAWAY, 0, 0, no_more, 8);
        return false;
    case SILENT:
    case SILENT_ONE:
    default:
        return true;
    }
}

static bool serve_frame(SSL *ssl)
{
    uint8_t head[9];
    if (!read_all(ssl, head, sizeof head))
        return false;
    size_t len = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
    uint32_t stream = (uint32_t)head[7] << 8 | head[8];
    uint8_t *payload = malloc(len + 1);
    bool more = payload != NULL && read_all(ssl, payload, len);
    bool silent = atomic_load(&server.manner) == SILENT;
    if (more && head[3] == SETTINGS && !(head[4] & ACK))
        more = put_frame(ssl, SETTINGS, ACK, 0, NULL, 0);
    else if (more && head[3] == PING && !(head[4] & ACK) && !silent)
        more = put_frame(ssl, PING, ACK, 0, payload, 8);
    else if (more && (head[3] == HEADERS || head[3] == DATA) && (head[4] & END_STREAM))
        more = answer(ssl, stream);
    free(payload);
    return more;
}

static void *connection_thread(void *arg)
{
    SSL *ssl = arg;
    char preface[24];
    if (SSL_accept(ssl) == 1 && put_frame(ssl, SETTINGS, 0, 0, NULL, 0) &&
        read_all(ssl, preface, sizeof preface))
        while (serve_frame(ssl))
            ;
    int fd = SSL_get_fd(ssl);
    SSL_free(ssl);
    close(fd);
    atomic_fetch_sub(&server.n_serving, 1);
    return NULL;
}

static void *server_thread(void *arg)
{
    (void)arg;
    pthread_attr_t detached;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    for (int fd; (fd = accept(server.listener, NULL, NULL)) >= 0;) {
        atomic_fetch_add(&server.n_connections, 1);
        atomic_fetch_add(&server.n_serving, 1);
        SSL *ssl = SSL_new(server.ctx);
        SSL_set_fd(ssl, fd);
        pthread_t thread;
        if (pthread_create(&thread, &detached, connection_thread, ssl) != 0)
            exit(99);
    }
    pthread_attr_destroy(&detached);
    return NULL;
}

static int choose_h2(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                     const unsigned char *in, unsigned in_len, void *arg)
{
    static const unsigned char h2[] = "\2h2";
    (void)ssl;
    (void)arg;
    return SSL_select_next_proto((unsigned char **)(uintptr_t)out, out_len, h2, 3, in, in_len) ==
                   OPENSSL_NPN_NEGOTIATED
               ? SSL_TLSEXT_ERR_OK
               : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static void start_server(void)
{
    sigset_t pipe; /* for the server's threads; the client's blocks it itself */
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, NULL);
    server.ctx = fake_tls_context("IP:127.0.0.1", 7200, server.ca_file);
    SSL_CTX_set_alpn_select_cb(server.ctx, choose_h2, NULL);
    server.listener = fake_tls_listen(&server.port);
    snprintf(server.url, sizeof server.url, "https://127.0.0.1:%u/", server.port);
    if (pthread_create(&server.thread, NULL, server_thread, NULL) != 0)
        exit(99);
}

static void stop_server(void)
{
    atomic_store(&server.stopping, true);
    shutdown(server.listener, SHUT_RDWR);
    pthread_join(server.thread, NULL);
    close(server.listener);
    while (atomic_load(&server.n_serving) > 0)
        usleep(10000);
    SSL_CTX_free(server.ctx);
    unlink(server.ca_file);
}

/* --- the client --- */

static struct ic_http *open_client(void)
{
    struct ic_http *http = NULL;
    struct ic_error err = {0};
    struct ic_http_config config = {.ca_file = server.ca_file, .stall_ms = STALL_MS};
    if (ic_http_open(&http, &config, &err) != 0) {
        printf("Bail out! %s\n", err.message);
        exit(1);
    }
    atomic_store(&server.manner, ANSWERS);
    atomic_store(&server.n_connections, 0);
    atomic_store(&server.n_requests, 0);
    return http;
}

static int post(struct ic_http *http, int64_t within_ms)
{
    struct ic_http_request request = {
        .url = server.url, .body = (const uint8_t *)"abc", .body_len = 3, .reply_max = 100};
    struct ic_io io = {.deadline_ns = ic_wait_now_ns() + within_ms * IC_NS_PER_MS};
    struct ic_http_reply reply;
    struct ic_error err = {0};
    int rc = ic_http_perform(http, &request, &io, &reply, &err);
    if (rc != 0)
        printf("# %s\n", err.message);
    else if (reply.status != 200 || reply.len != 5 || memcmp(reply.body, "hello", 5) != 0)
        rc = -EPROTO;
    ic_http_reply_fini(&reply);
    return rc;
}

static void check_connections(unsigned n, const char *what)
{
    TAP_INT(atomic_load(&server.n_connections), n, what);
}

static void test_shared(void)
{
    struct ic_http *http = open_client();
    TAP_INT(post(http, PATIENCE_MS), 0, "HTTP/2: a request");
    TAP_INT(post(http, PATIENCE_MS), 0, "another");
    check_connections(1, "on the same connection");
    ic_http_close(http);
}

static void test_silent(void)
{
    struct ic_http *http = open_client();
    TAP_INT(post(http, PATIENCE_MS), 0, "a connection that is well");
    atomic_store(&server.manner, SILENT);
    TAP_INT(post(http, PATIENCE_MS), -EHOSTUNREACH, "and then silent: the request stalls");
    check_connections(1, "it went out on the old connection");
    atomic_store(&server.manner, ANSWERS);
    usleep(2 * STALL_MS * 1000);
    TAP_INT(post(http, PATIENCE_MS), 0, "the next one is answered");
    check_connections(2, "on a new connection");
    TAP_INT(post(http, PATIENCE_MS), 0, "and the one after it");
    check_connections(2, "on the same");
    ic_http_close(http);
}

/* Nobody waits as long as a stall takes; all of them together do. */
static void test_silent_for_the_impatient(void)
{
    struct ic_http *http = open_client();
    TAP_INT(post(http, PATIENCE_MS), 0, "a connection that is well");
    atomic_store(&server.manner, SILENT);
    unsigned n_failed = 0;
    for (int i = 0; i < 8 && atomic_load(&server.n_connections) == 1; i++)
        n_failed += post(http, STALL_MS / 2) == -ETIMEDOUT;
    TAP_OK(n_failed >= 2 && n_failed <= 6, "impatient callers give up a few times");
    check_connections(2, "and then the connection is given up, too");
    ic_http_close(http);
}

static void *post_patiently(void *arg)
{
    return post(arg, PATIENCE_MS) == -EHOSTUNREACH ? arg : NULL;
}

/* One answer that does not come proves nothing about a connection that brings others. */
static void test_one_is_silent(void)
{
    struct ic_http *http = open_client();
    TAP_INT(post(http, PATIENCE_MS), 0, "a connection that is well");
    atomic_store(&server.manner, SILENT_ONE);
    pthread_t thread;
    pthread_create(&thread, NULL, post_patiently, http);
    unsigned n_good = 0;
    for (int i = 0; i < 20; i++) {
        usleep(STALL_MS * 1000 / 10);
        n_good += post(http, PATIENCE_MS) == 0;
    }
    void *stalled;
    pthread_join(thread, &stalled);
    TAP_OK(stalled != NULL, "a request without an answer stalls");
    TAP_INT(n_good, 20, "while others are answered");
    check_connections(1, "on the same connection, which stays");
    ic_http_close(http);
}

static void test_ended(void)
{
    struct ic_http *http = open_client();
    TAP_INT(post(http, PATIENCE_MS), 0, "a connection that is well");
    atomic_store(&server.manner, RESETS);
    TAP_INT(post(http, PATIENCE_MS), -EHOSTUNREACH, "a stream that is reset");
    atomic_store(&server.manner, ANSWERS);
    TAP_INT(post(http, PATIENCE_MS), 0, "the next one is answered");
    check_connections(1, "on the same connection");
    atomic_store(&server.manner, LEAVES);
    TAP_INT(post(http, PATIENCE_MS), -EHOSTUNREACH, "a server that goes away");
    atomic_store(&server.manner, ANSWERS);
    TAP_INT(post(http, PATIENCE_MS), 0, "the next one is answered");
    ic_http_close(http);
}

int main(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
    start_server();
    test_shared();
    test_silent();
    test_silent_for_the_impatient();
    test_one_is_silent();
    test_ended();
    stop_server();
    curl_global_cleanup();
    return tap_done();
}
