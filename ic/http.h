/* HTTP for ic/: blocking outside, multiplexed inside.
 *
 * One network thread owns a curl multi handle; any number of threads call ic_http_perform(), which
 * hands a transfer to that thread and sleeps until it is done. HTTP/2 is used where an https server
 * offers it (one connection carries many transfers), else a pool of HTTP/1.1 connections that stay
 * open. Nothing here knows the Internet Computer: every complete HTTP response, whatever its
 * status, is success. Not here: retries, limits on what is in flight, signatures.
 *
 * No redirects, no cookies, http and https only. No compression is asked for; a body that comes
 * compressed in transfer all the same counts as long as it is unpacked, against reply_max.
 *
 * Proxies as the curl command has them: http_proxy, https_proxy, all_proxy and no_proxy in the
 * environment, unless the configuration names one. No message holds a proxy's user or password.
 *
 * The process must call
 * curl_global_init() before it has threads (libcurl manual, curl_global_init); main does.
 */
#ifndef CANISTERFS_IC_HTTP_H
#define CANISTERFS_IC_HTTP_H

#include "ic/error.h"
#include "ic/io.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ic_http;

struct ic_http_config {
    const char *ca_file; /* PEM bundle used instead of the system's; may be NULL; copied */
    const char *proxy;   /* URL instead of the environment's; "" = none; may be NULL; copied */
    unsigned connect_ms; /* DNS, TCP and TLS together; 0 = 10 s */
    unsigned stall_ms;   /* a transfer that moves no byte for this long fails; 0 = 12 s */
};

struct ic_http_request {
    const char *url;
    const uint8_t *body; /* POST as application/cbor; NULL = GET. Borrowed for the call */
    size_t body_len;
    size_t reply_max; /* a longer reply body is refused while it arrives */
};

struct ic_http_reply {
    int status; /* 200, 503, ... */
    bool sent;  /* some of the request may have reached the server; set on failure too */
    /* So may an earlier copy, of which the status says nothing: libcurl sends a request anew when a
     * connection that was kept ends before an answer. Set on failure too. */
    bool resent;
    uint32_t retry_after_ms; /* Retry-After header, 0 when there was none */
    int64_t date_ns;         /* Date header, ns since 1970; 0 when there was none */
    uint8_t *body;           /* owned (an ic_body); NULL when empty */
    size_t len;
    int64_t receive_ns; /* from the answer's first byte to its last */
};

/* Start the network thread. Does no network I/O.
 *
 * Returns 0, -EINVAL (IC_E_CONFIG: ca_file is none, or libcurl lacks an option), -ENOMEM.
 */
int ic_http_open(struct ic_http **out, const struct ic_http_config *config, struct ic_error *err)
    IC_NONNULL(1, 2) IC_MUST_CHECK;

/* Cancel every transfer, now and later: their callers get IC_E_CANCELLED. Idempotent. */
void ic_http_stop(struct ic_http *http);

/* Stop, join the network thread, free. All callers of ic_http_perform must have returned, and every
 * reply must have been released. */
void ic_http_close(struct ic_http *http);

/* Make every waiting caller look at its cancel flag at once (else within 50 ms). */
void ic_http_wake(struct ic_http *http);

/* Send one request and receive the whole response.
 *
 * reply   fills; ic_http_reply_fini() releases it. On failure only `sent` and `resent` are set, and
 *         nothing is owned
 * io      deadline and cancel flag; borrowed for the call
 *
 * Returns 0 for a complete response of any status, else (code in err):
 *   IC_E_TIMEOUT, IC_E_CANCELLED   the caller's deadline or flag
 *   IC_E_UNREACHABLE               DNS, connect, reset, closed before an answer, stalled
 *   IC_E_TLS                       handshake or certificate
 *   IC_E_MALFORMED                 not HTTP, truncated, longer than reply_max, headers without end
 *   IC_E_CONFIG                    the URL is none, ca_file cannot be read any more
 *   IC_E_NO_MEMORY
 *
 * Thread safety: any number of concurrent calls. Blocks until io->deadline_ns at most. Call it with
 * no lock held.
 */
int ic_http_perform(struct ic_http *http, const struct ic_http_request *request,
                    const struct ic_io *io, struct ic_http_reply *reply, struct ic_error *err)
    IC_NONNULL(1, 2, 3, 4) IC_MUST_CHECK;

void ic_http_reply_fini(struct ic_http_reply *reply);

#endif
