/* The network thread and its callers.
 *
 * A transfer goes IDLE (free list) -> QUEUED (submitted) -> RUNNING (in the multi handle) -> DONE,
 * and back to IDLE when its caller has taken the result. QUEUED and RUNNING ones are on the active
 * list. Only the network thread moves a transfer to RUNNING and DONE and touches the multi handle;
 * it wakes for sockets, for curl_multi_wakeup (submit, give-up, stop) and every poll_ms for stalls.
 *
 * A caller that gives up marks its transfer abandoned, wakes the network thread, and waits until
 * that thread has let go: the request's body is the caller's memory. Nothing the network thread
 * does blocks, so this wait is short.
 *
 * Locks: http->lock alone, never held across a libcurl call that could take time.
 */
#include "ic/http.h"

#include "ic/ca_file.h"
#include "ic/http_transfer.h"
#include "ic/wait.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define CONNECTIONS_KEPT   64L
#define DEFAULT_CONNECT_MS 10000
#define DEFAULT_STALL_MS   12000

struct ic_http {
    pthread_mutex_t lock;
    struct ic_transfer *active;         /* guarded by lock: QUEUED and RUNNING */
    struct ic_transfer *idle;           /* guarded by lock: free list */
    bool stopping;                      /* guarded by lock */
    CURLM *multi;                       /* network thread; curl_multi_wakeup from any */
    pthread_t thread;                   /* immutable after open */
    struct ic_sockets sockets;          /* network thread */
    int64_t stall_ns;                   /* immutable after open */
    int poll_ms;                        /* immutable after open */
    char *ca_file;                      /* immutable after open */
    char *proxy;                        /* immutable after open */
    struct ic_transfer_options options; /* immutable after open */
};

/* --- network thread --- */

static void finish(struct ic_http *http, struct ic_transfer *transfer)
{
    pthread_mutex_lock(&http->lock);
    if (transfer->prev != NULL)
        transfer->prev->next = transfer->next;
    else
        http->active = transfer->next;
    if (transfer->next != NULL)
        transfer->next->prev = transfer->prev;
    transfer->next = transfer->prev = NULL;
    transfer->state = IC_TRANSFER_DONE;
    pthread_cond_signal(&transfer->done);
    pthread_mutex_unlock(&http->lock);
}

/* Start what was submitted and let go of what was abandoned. Returns false when all is over. */
static bool take_orders(struct ic_http *http)
{
    struct ic_transfer *start = NULL;
    struct ic_transfer *drop = NULL;

    pthread_mutex_lock(&http->lock);
    for (struct ic_transfer *t = http->active; t != NULL; t = t->next) {
        if (t->abandoned != 0) {
            t->picked = drop;
            drop = t;
        } else if (t->state == IC_TRANSFER_QUEUED) {
            t->state = IC_TRANSFER_RUNNING;
            t->picked = start;
            start = t;
        }
    }
    bool over = http->stopping && http->active == NULL;
    pthread_mutex_unlock(&http->lock);

    while (drop != NULL) {
        struct ic_transfer *t = drop;
        drop = t->picked;
        /* One that is still QUEUED is not in the multi handle: removing it then does nothing. */
        (void)curl_multi_remove_handle(http->multi, t->easy);
        finish(http, t);
    }
    while (start != NULL) {
        struct ic_transfer *t = start;
        start = t->picked;
        if (curl_multi_add_handle(http->multi, t->easy) != CURLM_OK) {
            t->result = CURLE_FAILED_INIT;
            finish(http, t);
        }
    }
    return !over;
}

static void collect_finished(struct ic_http *http)
{
    int n_left;
    for (CURLMsg *msg; (msg = curl_multi_info_read(http->multi, &n_left)) != NULL;) {
        if (msg->msg != CURLMSG_DONE)
            continue;
        CURL *easy = msg->easy_handle;
        CURLcode result = msg->data.result; /* msg is gone once the handle is removed */
        char *private = NULL;
        (void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
        struct ic_transfer *transfer = (struct ic_transfer *)(void *)private;
        (void)curl_multi_remove_handle(http->multi, easy);
        transfer->result = result;
        if (result == CURLE_OK)
            ic_sockets_note_heard(&http->sockets, ic_transfer_port(transfer));
        finish(http, transfer);
    }
}

/* Every poll_ms: end what stalls; a client at rest keeps no buffers. */
static void look_after(struct ic_http *http)
{
    int64_t now = ic_wait_now_ns();
    struct ic_transfer *drop = NULL;

    pthread_mutex_lock(&http->lock);
    bool at_rest = http->active == NULL;
    for (struct ic_transfer *t = http->active; t != NULL; t = t->next) {
        if (t->state != IC_TRANSFER_RUNNING)
            continue;
        ic_transfer_look(t, now);
        if (now - t->moved_at_ns >= http->stall_ns) {
            t->is_stalled = true;
            t->picked = drop;
            drop = t;
        }
    }
    pthread_mutex_unlock(&http->lock);

    while (drop != NULL) {
        struct ic_transfer *t = drop;
        drop = t->picked;
        (void)curl_multi_remove_handle(http->multi, t->easy);
        finish(http, t);
    }
    ic_sockets_end_silent(&http->sockets, now, http->stall_ns);
    if (at_rest)
        ic_bodies_trim(http->options.bodies);
}

static void *network_thread(void *arg)
{
    struct ic_http *http = arg;
    int64_t looked_ns = 0;

    while (take_orders(http)) {
        int n_running;
        (void)curl_multi_perform(http->multi, &n_running);
        collect_finished(http);
        int64_t now = ic_wait_now_ns();
        if (now - looked_ns >= http->poll_ms * IC_NS_PER_MS) {
            looked_ns = now;
            look_after(http);
        }
        (void)curl_multi_poll(http->multi, NULL, 0, http->poll_ms, NULL);
    }
    return NULL;
}

/* --- callers --- */

static int take_idle(struct ic_http *http, struct ic_transfer **out, struct ic_error *err)
{
    pthread_mutex_lock(&http->lock);
    struct ic_transfer *transfer = http->idle;
    if (transfer != NULL)
        http->idle = transfer->next;
    pthread_mutex_unlock(&http->lock);
    if (transfer == NULL)
        return ic_transfer_new(out, &http->options, err);
    transfer->next = NULL;
    *out = transfer;
    return 0;
}

static void put_idle(struct ic_http *http, struct ic_transfer *transfer)
{
    if (ic_transfer_is_worn(transfer)) {
        ic_transfer_free(transfer);
        return;
    }
    pthread_mutex_lock(&http->lock);
    transfer->state = IC_TRANSFER_IDLE;
    transfer->next = http->idle;
    http->idle = transfer;
    pthread_mutex_unlock(&http->lock);
}

/* Submit and wait until the network thread has let go of the transfer. */
static void run(struct ic_http *http, struct ic_transfer *transfer, const struct ic_io *io)
{
    pthread_mutex_lock(&http->lock);
    if (http->stopping) { /* the network thread may be gone: nobody would finish it */
        transfer->abandoned = -EINTR;
        transfer->state = IC_TRANSFER_DONE;
        pthread_mutex_unlock(&http->lock);
        return;
    }
    transfer->state = IC_TRANSFER_QUEUED;
    transfer->prev = NULL;
    transfer->next = http->active;
    if (http->active != NULL)
        http->active->prev = transfer;
    http->active = transfer;
    (void)curl_multi_wakeup(http->multi);

    while (transfer->state != IC_TRANSFER_DONE) {
        bool patient = transfer->abandoned == 0;
        int rc = ic_wait_cond(&transfer->done, &http->lock, INT64_MAX, patient ? io : NULL);
        if (rc != 0 && transfer->state != IC_TRANSFER_DONE && transfer->abandoned == 0) {
            transfer->abandoned = rc;
            (void)curl_multi_wakeup(http->multi);
        }
    }
    pthread_mutex_unlock(&http->lock);
}

int ic_http_perform(struct ic_http *http, const struct ic_http_request *request,
                    const struct ic_io *io, struct ic_http_reply *reply, struct ic_error *err)
{
    *reply = (struct ic_http_reply){0};
    int rc = ic_wait_check(io);
    if (rc != 0)
        return ic_wait_fail(err, rc, request->url);

    struct ic_transfer *transfer;
    rc = take_idle(http, &transfer, err);
    if (rc != 0)
        return rc;
    rc = ic_transfer_prepare(transfer, request, err);
    if (rc == 0) {
        run(http, transfer, io);
        rc = ic_transfer_finish(transfer, request->url, reply, err);
    }
    put_idle(http, transfer);
    return rc;
}

void ic_http_reply_fini(struct ic_http_reply *reply)
{
    ic_body_free(reply->body);
    reply->body = NULL;
    reply->len = 0;
}

void ic_http_wake(struct ic_http *http)
{
    pthread_mutex_lock(&http->lock);
    for (struct ic_transfer *t = http->active; t != NULL; t = t->next)
        pthread_cond_signal(&t->done);
    pthread_mutex_unlock(&http->lock);
}

/* --- life --- */

static int set_up(struct ic_http *http, const struct ic_http_config *config, struct ic_error *err)
{
    unsigned stall_ms = config->stall_ms != 0 ? config->stall_ms : DEFAULT_STALL_MS;
    http->stall_ns = stall_ms * IC_NS_PER_MS;
    /* Often enough to see a stall within a quarter more than its time. */
    http->poll_ms = stall_ms < 4000 ? (int)(stall_ms / 4) + 1 : 1000;

    int rc = config->ca_file != NULL ? ic_ca_file_check(config->ca_file, err) : 0;
    if (rc != 0)
        return rc;
    if ((config->ca_file != NULL && (http->ca_file = strdup(config->ca_file)) == NULL) ||
        (config->proxy != NULL && (http->proxy = strdup(config->proxy)) == NULL))
        return ic_fail(err, IC_E_NO_MEMORY, "HTTP");
    if (ic_bodies_new(&http->options.bodies) < 0)
        return ic_fail(err, IC_E_NO_MEMORY, "HTTP");
    http->options.ca_file = http->ca_file;
    http->options.proxy = http->proxy;
    http->options.sockets = &http->sockets;
    http->options.connect_ms = config->connect_ms != 0 ? config->connect_ms : DEFAULT_CONNECT_MS;

    /* "Expect:" keeps libcurl from waiting a second for "100 Continue" before larger bodies. */
    static const char *const headers[] = {"Content-Type: application/cbor", "Expect:"};
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        struct curl_slist *list = curl_slist_append(http->options.headers, headers[i]);
        if (list == NULL)
            return ic_fail(err, IC_E_NO_MEMORY, "HTTP headers");
        http->options.headers = list;
    }

    http->multi = curl_multi_init();
    if (http->multi == NULL)
        return ic_fail(err, IC_E_NO_MEMORY, "curl_multi_init");
    CURLMcode result = curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, CONNECTIONS_KEPT);
    if (result == CURLM_OK)
        result = curl_multi_setopt(http->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
    if (result != CURLM_OK)
        return ic_fail(err, IC_E_CONFIG, "HTTP options: %s", curl_multi_strerror(result));
    return 0;
}

static void tear_down(struct ic_http *http)
{
    while (http->idle != NULL) {
        struct ic_transfer *transfer = http->idle;
        http->idle = transfer->next;
        ic_transfer_free(transfer);
    }
    (void)curl_multi_cleanup(http->multi);
    ic_sockets_fini(&http->sockets);
    curl_slist_free_all(http->options.headers);
    ic_bodies_free(http->options.bodies);
    free(http->ca_file);
    free(http->proxy);
    (void)pthread_mutex_destroy(&http->lock);
    free(http);
}

/* With every signal blocked: they are for the program's own threads, and a broken connection must
 * not raise SIGPIPE (with CURLOPT_NOSIGNAL libcurl leaves that to us). */
static int start_thread(struct ic_http *http)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&http->thread, NULL, network_thread, http);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

int ic_http_open(struct ic_http **out, const struct ic_http_config *config, struct ic_error *err)
{
    struct ic_http *http = calloc(1, sizeof *http);
    if (http == NULL)
        return ic_fail(err, IC_E_NO_MEMORY, "HTTP");
    (void)pthread_mutex_init(&http->lock, NULL); /* default attributes: cannot fail on Linux */
    int rc = set_up(http, config, err);
    if (rc == 0 && start_thread(http) != 0)
        rc = ic_fail(err, IC_E_NO_MEMORY, "cannot start the network thread");
    if (rc != 0) {
        tear_down(http);
        return rc;
    }
    *out = http;
    return 0;
}

void ic_http_stop(struct ic_http *http)
{
    pthread_mutex_lock(&http->lock);
    http->stopping = true;
    for (struct ic_transfer *t = http->active; t != NULL; t = t->next)
        if (t->abandoned == 0)
            t->abandoned = -EINTR;
    (void)curl_multi_wakeup(http->multi);
    pthread_mutex_unlock(&http->lock);
}

void ic_http_close(struct ic_http *http)
{
    if (http == NULL)
        return;
    ic_http_stop(http);
    (void)pthread_join(http->thread, NULL);
    tear_down(http);
}
