/* The sockets of libcurl's connections, to end one that no longer answers.
 *
 * An HTTP/2 connection whose peer is gone looks well to libcurl: giving up on a request only resets
 * its stream, and the next request goes out on the same connection, for ever. libcurl has no call
 * to end a connection in use, so its sockets are noted here as it opens and closes them
 * (CURLOPT_OPENSOCKETFUNCTION, CURLOPT_CLOSESOCKETFUNCTION), and one that was waited on for long
 * without hearing anything is shut down: libcurl finds it closed by the peer.
 *
 * libcurl closes a socket that never got connected without telling (7.88), so an entry may be out
 * of date: it is dropped when its number comes back, and nothing is shut down unless it still has
 * the local port that it was noted with.
 *
 * Only time during which somebody waits for an answer counts, whoever that is: callers whose
 * deadlines are shorter than this patience must not keep a dead connection alive.
 *
 * Threads: the network thread alone; whoever opens and closes its multi handle before and after.
 */
#ifndef CANISTERFS_IC_SOCKETS_H
#define CANISTERFS_IC_SOCKETS_H

#include "ic/attr.h"

#include <curl/curl.h>
#include <stdint.h>

struct ic_socket;

/* Zero-initialised is empty. Embedded in its owner, which outlives the connections. */
struct ic_sockets {
    struct ic_socket *first;
    int64_t looked_ns; /* the last ic_sockets_end_silent */
};

void ic_sockets_fini(struct ic_sockets *sockets) IC_NONNULL(1);

/* curl_closesocket_callback; arg is the ic_sockets. */
int ic_sockets_close_cb(void *arg, curl_socket_t fd);

/* Open a socket as libcurl's default does and note it. CURL_SOCKET_BAD on failure, errno is set. */
curl_socket_t ic_sockets_open(struct ic_sockets *sockets, const struct curl_sockaddr *address)
    IC_NONNULL(1, 2);

/* A transfer on the socket with this local port waits for its answer. */
void ic_sockets_note_waiting(struct ic_sockets *sockets, long local_port) IC_NONNULL(1);

/* The peer of the socket with this local port showed a sign of life. */
void ic_sockets_note_heard(struct ic_sockets *sockets, long local_port) IC_NONNULL(1);

/* Shut down what was waited on for patience_ns without a sign of life. To be called again and again
 * with all that was seen noted in between; now_ns is CLOCK_MONOTONIC. */
void ic_sockets_end_silent(struct ic_sockets *sockets, int64_t now_ns, int64_t patience_ns)
    IC_NONNULL(1);

#endif
