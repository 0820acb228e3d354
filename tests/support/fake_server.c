#include "tests/support/fake_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HEAD_MAX    (16 * 1024)
#define BODY_MAX    (16 * 1024 * 1024)
#define RECORDS_MAX 4096
#define SOCKETS_MAX 256

struct record {
    char path[256];
    uint8_t *body;
    size_t body_len;
};

struct fake_server {
    pthread_mutex_t lock;
    pthread_cond_t idle;                /* n_serving became 0 */
    int listener;                       /* guarded by lock; -1 while refusing */
    int sockets[SOCKETS_MAX];           /* guarded by lock; -1 = free slot */
    unsigned n_serving;                 /* guarded by lock: connection threads alive */
    unsigned n_connections;             /* guarded by lock */
    unsigned n_requests;                /* guarded by lock */
    struct record records[RECORDS_MAX]; /* guarded by lock */
    pthread_t acceptor;                 /* main thread */
    atomic_bool stopping;
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } address;             /* immutable after open */
    socklen_t address_len; /* immutable after open */
    char url[64];          /* immutable after open */
    fake_handler *handler; /* immutable after open */
    void *arg;             /* immutable after open */
};

struct connection {
    struct fake_server *server;
    int fd;
    unsigned slot;
    unsigned number;
    char head[HEAD_MAX + 1];
    size_t head_len; /* bytes in head, the start of the body included */
};

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "fake_server: %s: %s\n", what, strerror(errno));
    exit(99);
}

static void sleep_ms(unsigned ms)
{
    struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    while (nanosleep(&ts, &ts) != 0 && errno == EINTR)
        ;
}

static bool send_all(int fd, const void *data, size_t len)
{
    const char *p = data;
    while (len > 0) {
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        p += n;
        len -= (size_t)n;
    }
    return true;
}

/* Wait, answering nothing, until the peer goes away or the server stops. */
static void stall(struct connection *c)
{
    while (!atomic_load(&c->server->stopping)) {
        struct pollfd pfd = {.fd = c->fd, .events = POLLRDHUP};
        if (poll(&pfd, 1, 20) > 0)
            return;
    }
}

static void reset_on_close(int fd)
{
    struct linger hard = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
}

/* --- one request --- */

/* Read until the blank line; returns the length of the head, 0 at the end of the connection. */
static size_t read_head(struct connection *c)
{
    for (;;) {
        c->head[c->head_len] = '\0';
        char *end = strstr(c->head, "\r\n\r\n");
        if (end != NULL)
            return (size_t)(end - c->head) + 4;
        if (c->head_len == HEAD_MAX)
            return 0;
        ssize_t n = recv(c->fd, c->head + c->head_len, HEAD_MAX - c->head_len, 0);
        if (n <= 0)
            return 0;
        c->head_len += (size_t)n;
        if (c->head[0] == 0x16) { /* a TLS hello: answer as a server that has no TLS */
            (void)send_all(c->fd, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
            return 0;
        }
    }
}

static size_t content_length(const char *head)
{
    const char *line = strcasestr(head, "\r\ncontent-length:");
    return line != NULL ? (size_t)strtoull(line + 17, NULL, 10) : 0;
}

static bool read_body(struct connection *c, size_t head_len, uint8_t *body, size_t len)
{
    size_t have = c->head_len - head_len;
    size_t take = have < len ? have : len;
    memcpy(body, c->head + head_len, take);
    memmove(c->head, c->head + head_len + take, have - take);
    c->head_len = have - take;
    while (take < len) {
        ssize_t n = recv(c->fd, body + take, len - take, 0);
        if (n <= 0)
            return false;
        take += (size_t)n;
    }
    return true;
}

static unsigned record_request(struct fake_server *server, const char *path, const uint8_t *body,
                               size_t len)
{
    pthread_mutex_lock(&server->lock);
    unsigned n = server->n_requests++;
    if (n < RECORDS_MAX) {
        struct record *r = &server->records[n];
        snprintf(r->path, sizeof r->path, "%s", path);
        r->body = malloc(len + 1);
        if (r->body == NULL)
            die("record");
        memcpy(r->body, body, len);
        r->body_len = len;
    }
    pthread_mutex_unlock(&server->lock);
    return n;
}

static bool send_head(struct connection *c, const struct fake_reply *reply)
{
    char head[1024];
    int n =
        snprintf(head, sizeof head, "HTTP/1.1 %d Whatever\r\nContent-Type: application/cbor\r\n%s",
                 reply->status, reply->headers != NULL ? reply->headers : "");
    if (reply->chunked)
        n += snprintf(head + n, sizeof head - (size_t)n, "Transfer-Encoding: chunked\r\n\r\n");
    else
        n += snprintf(head + n, sizeof head - (size_t)n, "Content-Length: %zu\r\n\r\n",
                      reply->announced != 0 ? reply->announced : reply->len);
    if (reply->fault == FAKE_RESET_IN_HEAD)
        n /= 2;
    return send_all(c->fd, head, (size_t)n);
}

static bool send_body(struct connection *c, const uint8_t *body, size_t len, bool chunked)
{
    if (!chunked)
        return send_all(c->fd, body, len);
    char line[32];
    int n = snprintf(line, sizeof line, "%zx\r\n", len);
    return len == 0 || (send_all(c->fd, line, (size_t)n) && send_all(c->fd, body, len) &&
                        send_all(c->fd, "\r\n", 2));
}

static void drip(struct connection *c, const struct fake_reply *reply)
{
    for (size_t i = reply->fault_at; i < reply->len; i++) {
        if (atomic_load(&c->server->stopping) || !send_body(c, reply->body + i, 1, reply->chunked))
            return;
        sleep_ms(reply->drip_ms);
    }
}

static void send_endlessly(struct connection *c, const char *first, const char *then)
{
    bool sent = send_all(c->fd, first, strlen(first));
    while (sent && !atomic_load(&c->server->stopping))
        sent = send_all(c->fd, then, strlen(then));
}

/* True when the fault is one, and has been sent. */
static bool send_endless_head(struct connection *c, enum fake_fault fault)
{
    static const char ok[] = "HTTP/1.1 200 OK\r\n";
    if (fault == FAKE_ENDLESS_HEAD)
        send_endlessly(c, "HTTP/1.1 200 OK\r\nX-Line: ", "x x x x x x x x x x x x x x x x x x x x");
    else if (fault == FAKE_MANY_HEADERS)
        send_endlessly(c, ok, "X-Line: one more line of the header\r\n");
    else if (fault == FAKE_MANY_INTERIMS)
        send_endlessly(c, "", "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n");
    else
        return false;
    return true;
}

/* Returns true when the connection may carry another request. */
static bool send_reply(struct connection *c, const struct fake_reply *reply)
{
    if (reply->delay_ms > 0)
        sleep_ms(reply->delay_ms);

    if (reply->fault == FAKE_STALL)
        stall(c);
    if (reply->fault == FAKE_GARBAGE)
        (void)send_all(c->fd, "\x16\x03\x01 this is not HTTP at all\r\n\r\n", 29);
    if (send_endless_head(c, reply->fault))
        return false;
    if (reply->fault == FAKE_RESET)
        reset_on_close(c->fd);
    if (reply->fault == FAKE_STALL || reply->fault == FAKE_GARBAGE || reply->fault == FAKE_RESET ||
        reply->fault == FAKE_CLOSE)
        return false;

    if (!send_head(c, reply))
        return false;
    if (reply->fault == FAKE_RESET_IN_HEAD) {
        sleep_ms(20); /* a reset overtakes bytes that the peer has not read yet */
        reset_on_close(c->fd);
        return false;
    }
    size_t len =
        reply->fault != FAKE_NONE && reply->fault_at < reply->len ? reply->fault_at : reply->len;
    if (!send_body(c, reply->body, len, reply->chunked))
        return false;
    if (reply->fault == FAKE_RESET_IN_BODY) {
        sleep_ms(20);
        reset_on_close(c->fd);
    }
    if (reply->fault == FAKE_STALL_IN_BODY)
        stall(c);
    if (reply->fault == FAKE_DRIP)
        drip(c, reply);
    if (reply->fault != FAKE_NONE && reply->fault != FAKE_DRIP)
        return false;
    return !reply->chunked || send_all(c->fd, "0\r\n\r\n", 5);
}

static bool serve_one(struct connection *c)
{
    size_t head_len = read_head(c);
    if (head_len == 0)
        return false;
    char head[HEAD_MAX + 1];
    memcpy(head, c->head, head_len);
    head[head_len] = '\0';
    size_t body_len = content_length(head);
    if (body_len > BODY_MAX)
        return false;
    uint8_t *body = malloc(body_len + 1);
    if (body == NULL)
        die("request body");
    if (!read_body(c, head_len, body, body_len)) {
        free(body);
        return false;
    }
    char method[16] = "";
    char path[256] = "";
    (void)sscanf(head, "%15s %255s", method, path);

    struct fake_request request = {.n = record_request(c->server, path, body, body_len),
                                   .connection = c->number,
                                   .method = method,
                                   .path = path,
                                   .head = head,
                                   .body = body,
                                   .body_len = body_len};
    struct fake_reply reply = {.status = 200};
    c->server->handler(c->server->arg, &request, &reply);
    bool more = send_reply(c, &reply);
    free(reply.owned);
    free(body);
    return more;
}

/* --- connections --- */

static void *connection_thread(void *arg)
{
    struct connection *c = arg;
    struct fake_server *server = c->server;
    while (serve_one(c))
        ;
    pthread_mutex_lock(&server->lock);
    server->sockets[c->slot] = -1;
    close(c->fd);
    if (--server->n_serving == 0)
        pthread_cond_signal(&server->idle);
    pthread_mutex_unlock(&server->lock);
    free(c);
    return NULL;
}

static void start_connection(struct fake_server *server, int fd)
{
    int one = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct connection *c = calloc(1, sizeof *c);
    if (c == NULL)
        die("connection");
    c->server = server;
    c->fd = fd;

    pthread_mutex_lock(&server->lock);
    while (c->slot < SOCKETS_MAX && server->sockets[c->slot] >= 0)
        c->slot++;
    if (c->slot == SOCKETS_MAX)
        die("too many connections");
    server->sockets[c->slot] = fd;
    c->number = server->n_connections++;
    server->n_serving++;
    pthread_mutex_unlock(&server->lock);

    pthread_t thread;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&thread, &attr, connection_thread, c) != 0)
        die("thread");
    pthread_attr_destroy(&attr);
}

static void *accept_thread(void *arg)
{
    struct fake_server *server = arg;
    pthread_mutex_lock(&server->lock);
    int listener = server->listener;
    pthread_mutex_unlock(&server->lock);
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd >= 0)
            start_connection(server, fd);
        else if (errno != EINTR && errno != ECONNABORTED)
            return NULL;
    }
}

static void start_listening(struct fake_server *server)
{
    int fd = socket(server->address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0)
        die("socket");
    if (bind(fd, &server->address.any, server->address_len) != 0)
        die("bind");
    socklen_t len = server->address_len;
    if (getsockname(fd, &server->address.any, &len) != 0 || listen(fd, 128) != 0)
        die("listen");
    pthread_mutex_lock(&server->lock);
    server->listener = fd;
    pthread_mutex_unlock(&server->lock);
    if (pthread_create(&server->acceptor, NULL, accept_thread, server) != 0)
        die("thread");
}

static void stop_listening(struct fake_server *server)
{
    pthread_mutex_lock(&server->lock);
    int fd = server->listener;
    server->listener = -1;
    pthread_mutex_unlock(&server->lock);
    if (fd < 0)
        return;
    shutdown(fd, SHUT_RDWR); /* makes accept return */
    (void)pthread_join(server->acceptor, NULL);
    close(fd);
}

static void end_connections(struct fake_server *server)
{
    atomic_store(&server->stopping, true);
    pthread_mutex_lock(&server->lock);
    for (unsigned i = 0; i < SOCKETS_MAX; i++)
        if (server->sockets[i] >= 0)
            shutdown(server->sockets[i], SHUT_RDWR);
    while (server->n_serving > 0)
        pthread_cond_wait(&server->idle, &server->lock);
    pthread_mutex_unlock(&server->lock);
    atomic_store(&server->stopping, false);
}

/* --- public --- */

static struct fake_server *new_server(fake_handler *handler, void *arg)
{
    struct fake_server *server = calloc(1, sizeof *server);
    if (server == NULL)
        die("memory");
    pthread_mutex_init(&server->lock, NULL);
    pthread_cond_init(&server->idle, NULL);
    for (unsigned i = 0; i < SOCKETS_MAX; i++)
        server->sockets[i] = -1;
    server->handler = handler;
    server->arg = arg;
    return server;
}

struct fake_server *fake_server_open(fake_handler *handler, void *arg)
{
    struct fake_server *server = new_server(handler, arg);
    server->address.in =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    server->address_len = sizeof server->address.in;
    start_listening(server);
    snprintf(server->url, sizeof server->url, "http://127.0.0.1:%u", fake_server_port(server));
    return server;
}

struct fake_server *fake_server_open_ipv6(unsigned port, fake_handler *handler, void *arg)
{
    struct fake_server *server = new_server(handler, arg);
    server->address.in6 = (struct sockaddr_in6){.sin6_family = AF_INET6,
                                                .sin6_port = htons((uint16_t)port),
                                                .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    server->address_len = sizeof server->address.in6;
    start_listening(server);
    snprintf(server->url, sizeof server->url, "http://[::1]:%u", fake_server_port(server));
    return server;
}

unsigned fake_server_port(const struct fake_server *server)
{
    return ntohs(server->address.any.sa_family == AF_INET6 ? server->address.in6.sin6_port
                                                           : server->address.in.sin_port);
}

void fake_server_close(struct fake_server *server)
{
    stop_listening(server);
    end_connections(server);
    for (unsigned i = 0; i < RECORDS_MAX; i++)
        free(server->records[i].body);
    pthread_cond_destroy(&server->idle);
    pthread_mutex_destroy(&server->lock);
    free(server);
}

const char *fake_server_url(const struct fake_server *server)
{
    return server->url;
}

void fake_server_refuse(struct fake_server *server, bool refuse)
{
    if (refuse) {
        stop_listening(server);
        end_connections(server);
    } else {
        start_listening(server);
    }
}

unsigned fake_server_n_requests(struct fake_server *server)
{
    pthread_mutex_lock(&server->lock);
    unsigned n = server->n_requests;
    pthread_mutex_unlock(&server->lock);
    return n;
}

unsigned fake_server_n_connections(struct fake_server *server)
{
    pthread_mutex_lock(&server->lock);
    unsigned n = server->n_connections;
    pthread_mutex_unlock(&server->lock);
    return n;
}

bool fake_server_get_request(struct fake_server *server, unsigned n, char path[256], uint8_t **body,
                             size_t *body_len)
{
    bool found = false;
    pthread_mutex_lock(&server->lock);
    if (n < server->n_requests && n < RECORDS_MAX) {
        const struct record *r = &server->records[n];
        memcpy(path, r->path, sizeof r->path);
        *body = malloc(r->body_len + 1);
        if (*body == NULL)
            die("memory");
        memcpy(*body, r->body, r->body_len);
        *body_len = r->body_len;
        found = true;
    }
    pthread_mutex_unlock(&server->lock);
    return found;
}
