/* ic/http over TLS: a trusted server is talked to, any other is not. */
#include "ic/http.h"
#include "ic/wait.h"
#include "tests/support/fake_tls.h"
#include "tests/tap.h"

#include <curl/curl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

TAP_STATE;

#define BODY_LEN 1000000

/* --- a server with one certificate --- */

enum manner { POLITE, HANGS_UP_IN_HANDSHAKE, TRUNCATES };

struct server {
    SSL_CTX *ctx;
    char ca_file[64];
    int listener;
    unsigned port;
    enum manner manner;
    pthread_t thread;
    atomic_uint n_requests;
};

static void serve(struct server *s, int fd)
{
    SSL *ssl = SSL_new(s->ctx);
    SSL_set_fd(ssl, fd);
    if (s->manner != HANGS_UP_IN_HANDSHAKE && SSL_accept(ssl) == 1) {
        char request[4096] = "";
        int n = SSL_read(ssl, request, sizeof request - 1);
        if (n > 0 && strstr(request, "\r\n\r\n") != NULL) {
            atomic_fetch_add(&s->n_requests, 1);
            char *body = calloc(1, BODY_LEN + 200);
            int head =
                snprintf(body, 200, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", BODY_LEN);
            memset(body + head, 'x', BODY_LEN);
            int len = s->manner == TRUNCATES ? BODY_LEN / 2 : head + BODY_LEN;
            (void)SSL_write(ssl, body, len);
            free(body);
            (void)SSL_shutdown(ssl);
        }
    }
    SSL_free(ssl);
    close(fd);
}

static void *server_thread(void *arg)
{
    struct server *s = arg;
    sigset_t pipe; /* in this thread only: the client has to look after itself */
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, NULL);
    for (int fd; (fd = accept(s->listener, NULL, NULL)) >= 0;)
        serve(s, fd);
    return NULL;
}

static void start(struct server *s, const char *names, long valid_seconds, enum manner manner)
{
    memset(s, 0, sizeof *s);
    s->manner = manner;
    s->ctx = fake_tls_context(names, valid_seconds, s->ca_file);
    s->listener = fake_tls_listen(&s->port);
    pthread_create(&s->thread, NULL, server_thread, s);
}

static void stop(struct server *s)
{
    shutdown(s->listener, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->listener);
    SSL_CTX_free(s->ctx);
    unlink(s->ca_file);
}

/* --- the client --- */

/* What the last failure of get was, in words. */
static char said[512];

static enum ic_errc get(const struct server *s, const char *host, const char *ca_file)
{
    char url[128];
    snprintf(url, sizeof url, "https://%s:%u/", host, s->port);
    struct ic_http *http;
    struct ic_error err = {0};
    struct ic_http_config config = {.ca_file = ca_file};
    if (ic_http_open(&http, &config, &err) != 0)
        return err.code;
    struct ic_http_request request = {.url = url, .reply_max = BODY_LEN};
    struct ic_io io = {.deadline_ns = ic_wait_now_ns() + 20 * IC_NS_PER_SEC};
    struct ic_http_reply reply;
    int rc = ic_http_perform(http, &request, &io, &reply, &err);
    if (rc != 0)
        printf("# %s\n", err.message);
    snprintf(said, sizeof said, "%s", err.message);
    if (rc == 0 &&
        (reply.status != 200 || reply.len != BODY_LEN || reply.body[BODY_LEN - 1] != 'x'))
        err.code = IC_E_MALFORMED;
    ic_http_reply_fini(&reply);
    ic_http_close(http);
    return err.code;
}

/* A bad CA file shows at the start, whatever the URL. */
static void check_ca_file(const char *content, size_t len, enum ic_errc code, const char *what)
{
    char path[] = "/tmp/canisterfs-test-XXXXXX";
    int fd = mkstemp(path);
    TAP_INT(write(fd, content, len), (int64_t)len, "write a CA file");
    close(fd);
    struct ic_http *http = NULL;
    struct ic_error err = {0};
    struct ic_http_config config = {.ca_file = path};
    if (ic_http_open(&http, &config, &err) != 0)
        printf("# %s\n", err.message);
    TAP_INT(err.code, code, what);
    ic_http_close(http);
    unlink(path);
}

static void test_ca_files(const char *good)
{
    char pem[8192];
    FILE *file = fopen(good, "r");
    size_t len = fread(pem, 1, sizeof pem / 2, file);
    fclose(file);
    check_ca_file(pem, len, IC_OK, "a CA file with a certificate");
    memcpy(pem + len, pem, len);
    check_ca_file(pem, 2 * len, IC_OK, "with two");
    check_ca_file("", 0, IC_E_CONFIG, "an empty one");
    check_ca_file("garbage\n", 8, IC_E_CONFIG, "one without certificates");
    check_ca_file(pem, len / 2, IC_E_CONFIG, "one that is cut off");
    check_ca_file(pem, len + len / 2, IC_E_CONFIG, "one whose second certificate is cut off");
    pem[len + 100] = '*';
    check_ca_file(pem, 2 * len, IC_E_CONFIG, "one whose second certificate is broken");

    static const char *const paths[] = {"/no/such/file", "/dev/null", "/dev/zero", "/tmp"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        struct ic_http *http = NULL;
        struct ic_error err = {0};
        struct ic_http_config config = {.ca_file = paths[i]};
        TAP_OK(ic_http_open(&http, &config, &err) != 0, paths[i]);
        TAP_INT(err.code, IC_E_CONFIG, "code");
        TAP_OK(strstr(err.message, paths[i]) != NULL, "the message names it");
    }
}

int main(void)
{
    struct server s;
    curl_global_init(CURL_GLOBAL_DEFAULT);

    start(&s, "IP:127.0.0.1", 7200, POLITE);
    TAP_INT(get(&s, "127.0.0.1", s.ca_file), IC_OK, "a trusted server: the whole body");
    TAP_INT(get(&s, "127.0.0.1", NULL), IC_E_TLS, "a server that the system does not trust");
    TAP_OK(strstr(said, "(a network with an authority of its own needs -o ca_file=FILE)") != NULL,
           "the message says what to do");
    char other_ca[sizeof s.ca_file];
    SSL_CTX_free(fake_tls_context("IP:127.0.0.1", 7200, other_ca));
    TAP_INT(get(&s, "127.0.0.1", other_ca), IC_E_TLS, "another authority");
    TAP_OK(strstr(said, "(its authority is not in the file of option ca_file)") != NULL,
           "the message says that it is another");
    unlink(other_ca);
    TAP_INT(get(&s, "localhost", s.ca_file), IC_E_TLS, "a certificate for another name");
    TAP_OK(strstr(said, "ca_file") == NULL, "is not a matter of authorities");
    TAP_INT(get(&s, "127.0.0.1", "/no/such/file"), IC_E_CONFIG, "a CA file that is not there");
    TAP_INT(get(&s, "127.0.0.1", "/dev/null"), IC_E_CONFIG, "a CA file without certificates");
    TAP_INT(atomic_load(&s.n_requests), 1, "only the first one sent its request");
    test_ca_files(s.ca_file);
    stop(&s);

    start(&s, "IP:127.0.0.1", -3600, POLITE);
    TAP_INT(get(&s, "127.0.0.1", s.ca_file), IC_E_TLS, "an expired certificate");
    TAP_OK(strstr(said, "ca_file") == NULL, "no matter of authorities either");
    TAP_INT(atomic_load(&s.n_requests), 0, "nothing was sent");
    stop(&s);

    start(&s, "IP:127.0.0.1", 7200, HANGS_UP_IN_HANDSHAKE);
    TAP_INT(get(&s, "127.0.0.1", s.ca_file), IC_E_TLS, "a server that hangs up in the handshake");
    stop(&s);

    start(&s, "IP:127.0.0.1", 7200, TRUNCATES);
    TAP_INT(get(&s, "127.0.0.1", s.ca_file), IC_E_MALFORMED, "half a body, orderly closed");
    stop(&s);

    curl_global_cleanup();
    return tap_done();
}
