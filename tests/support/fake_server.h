/* A loopback HTTP/1.1 server for tests that answers from a function and can misbehave.
 *
 * One thread accepts, one thread per connection serves requests in order (keep-alive). The test's
 * handler decides each reply; it runs on the connection's thread, so several may run at once.
 * Requests are recorded. The port is chosen by the kernel.
 */
#ifndef CANISTERFS_TESTS_FAKE_SERVER_H
#define CANISTERFS_TESTS_FAKE_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fake_server;

enum fake_fault {
    FAKE_NONE,
    FAKE_CLOSE,         /* orderly close instead of an answer */
    FAKE_RESET,         /* TCP reset instead of an answer */
    FAKE_RESET_IN_HEAD, /* reset in the middle of the headers */
    FAKE_RESET_IN_BODY, /* reset after fault_at bytes of the body */
    FAKE_TRUNCATE,      /* orderly close after fault_at bytes of the body */
    FAKE_STALL,         /* never answers; keeps the connection */
    FAKE_STALL_IN_BODY, /* silent after fault_at bytes of the body */
    FAKE_DRIP,          /* after fault_at bytes, one byte each drip_ms */
    FAKE_ENDLESS_HEAD,  /* a header line that never ends */
    FAKE_MANY_HEADERS,  /* header lines without end */
    FAKE_MANY_INTERIMS, /* 103 answers without end */
    FAKE_GARBAGE,       /* bytes that are not HTTP, then close */
};

struct fake_request {
    unsigned n;          /* 0 for the first request of the server's life */
    unsigned connection; /* 0 for the first connection */
    const char *method;
    const char *path;
    const char *head; /* all header lines */
    const uint8_t *body;
    size_t body_len;
};

struct fake_reply {
    int status;          /* default 200 */
    const char *headers; /* further lines, each ending \r\n; may be NULL */
    const uint8_t *body; /* must stay until the server is closed, unless owned */
    size_t len;
    uint8_t *owned;    /* freed after sending; may be the same memory as body */
    bool chunked;      /* no Content-Length */
    size_t announced;  /* Content-Length to claim instead of len; 0 = the truth */
    unsigned delay_ms; /* before the answer */
    enum fake_fault fault;
    size_t fault_at;
    unsigned drip_ms;
};

typedef void fake_handler(void *arg, const struct fake_request *request, struct fake_reply *reply);

/* Start on 127.0.0.1. Ends the program with a message when that is impossible. */
struct fake_server *fake_server_open(fake_handler *handler, void *arg);
/* The same on ::1, at `port`; 0 = one of the kernel's choice. */
struct fake_server *fake_server_open_ipv6(unsigned port, fake_handler *handler, void *arg);
void fake_server_close(struct fake_server *server);

/* "http://127.0.0.1:PORT"; valid until close. */
const char *fake_server_url(const struct fake_server *server);
unsigned fake_server_port(const struct fake_server *server);

/* true: close the listening socket and every connection, so that connects are refused;
 * false: listen again on the same port. */
void fake_server_refuse(struct fake_server *server, bool refuse);

unsigned fake_server_n_requests(struct fake_server *server);
unsigned fake_server_n_connections(struct fake_server *server);

/* Copy of the n-th request's path and body (malloc'ed, caller frees); false when there was none. */
bool fake_server_get_request(struct fake_server *server, unsigned n, char path[256], uint8_t **body,
                             size_t *body_len);

#endif
