/* One HTTP exchange as libcurl sees it: an easy handle, its options, where the body goes and what
 * its failure means. Private to http.c, which owns the threads: a transfer is touched by its caller
 * before it is submitted and after it is done, and by the network thread in between, never by both.
 */
#ifndef CANISTERFS_IC_HTTP_TRANSFER_H
#define CANISTERFS_IC_HTTP_TRANSFER_H

#include "ic/body.h"
#include "ic/http.h"
#include "ic/sockets.h"

#include <curl/curl.h>
#include <pthread.h>

struct ic_transfer {
    CURL *easy;                 /* immutable after new */
    struct ic_bodies *bodies;   /* immutable after new; borrowed */
    struct ic_sockets *sockets; /* immutable after new; borrowed; network thread */
    const char *ca_file;        /* immutable after new; borrowed; may be NULL */
    const char *proxy;          /* immutable after new; borrowed; as ic_http_config has it */
    char curl_message[CURL_ERROR_SIZE]; /* libcurl's words for the last failure */

    /* Reused from exchange to exchange: reset by ic_transfer_prepare. */
    uint8_t *body; /* an ic_body */
    size_t len;
    size_t capacity;
    size_t reply_max;
    size_t head_len; /* of all headers, the ones of 1xx answers and of a proxy included */
    bool is_too_long;
    bool is_out_of_memory;
    long begun_at_bytes; /* bytes out before the request's first; -1: not begun; network thread */
    unsigned n_begun;    /* how often the request was begun; network thread */
    bool is_resent;      /* a copy had left when another was begun; network thread */
    int64_t moved_bytes; /* in both directions, at the last look */
    int64_t moved_at_ns; /* when moved_bytes last changed */
    CURLcode result;

    /* Guarded by the lock of ic_http. */
    enum { IC_TRANSFER_IDLE, IC_TRANSFER_QUEUED, IC_TRANSFER_RUNNING, IC_TRANSFER_DONE } state;
    int abandoned;              /* 0, or why the caller gave up: -EINTR or -ETIMEDOUT */
    bool is_stalled;            /* the network thread gave up: no byte for stall_ms */
    pthread_cond_t done;        /* signalled when state becomes DONE, and by ic_http_wake */
    struct ic_transfer *next;   /* active list, or free list while IDLE */
    struct ic_transfer *prev;   /* active list */
    struct ic_transfer *picked; /* network thread: what it works on in this round */
};

/* What every transfer of one ic_http shares. */
struct ic_transfer_options {
    const char *ca_file; /* may be NULL; outlives the transfers */
    const char *proxy;   /* may be NULL, and empty; outlives the transfers */
    long connect_ms;
    struct curl_slist *headers;
    struct ic_bodies *bodies;   /* outlives the transfers */
    struct ic_sockets *sockets; /* outlives their connections */
};

int ic_transfer_new(struct ic_transfer **out, const struct ic_transfer_options *options,
                    struct ic_error *err) IC_NONNULL(1, 2) IC_MUST_CHECK;
void ic_transfer_free(struct ic_transfer *transfer);

/* Make ready for one exchange; the request's memory must stay until it is done. */
int ic_transfer_prepare(struct ic_transfer *transfer, const struct ic_http_request *request,
                        struct ic_error *err) IC_NONNULL(1, 2) IC_MUST_CHECK;

/* Note what moved since the last look, for its connection, too. Network thread only. */
void ic_transfer_look(struct ic_transfer *transfer, int64_t now_ns) IC_NONNULL(1);

/* The local port of the connection it runs on; 0 while it has none. Network thread only. */
long ic_transfer_port(const struct ic_transfer *transfer) IC_NONNULL(1);

/* Turn a finished transfer into a reply or an error; the body moves to the reply. */
int ic_transfer_finish(struct ic_transfer *transfer, const char *url, struct ic_http_reply *reply,
                       struct ic_error *err) IC_NONNULL(1, 2, 3) IC_MUST_CHECK;

/* After its exchange: must it be freed, and not be used for another one? libcurl counts over all
 * exchanges of a handle how often it sent one anew on another connection, and refuses the sixth.
 */
bool ic_transfer_is_worn(const struct ic_transfer *transfer) IC_NONNULL(1);

#endif
