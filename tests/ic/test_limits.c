/* No answer makes a call exceed its bounds (agent.h): hostile bodies against the stated memory,
 * time and number of requests. Linked with --wrap for malloc, calloc, realloc and free, to measure
 * what our own code holds, on the calling thread and on the network thread.
 */
#include "ic/cbor.h"
#include "tests/ic/agent_net.h"
#include "tests/tap.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TAP_STATE;

#define MIB         (1024 * 1024)
#define PATIENCE_MS 30000

/* --- what our code holds --- */

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void __real_free(void *p);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void __wrap_free(void *p);

static atomic_llong held, peak;
static _Thread_local bool is_caller;

/* The server's threads are none of ours. The network thread is the one that blocks all signals. */
static bool is_counted(void)
{
    if (is_caller)
        return true;
    sigset_t blocked;
    pthread_sigmask(SIG_BLOCK, NULL, &blocked);
    return sigismember(&blocked, SIGUSR1) == 1;
}

static void count(long long bytes)
{
    long long now = atomic_fetch_add(&held, bytes) + bytes;
    long long seen = atomic_load(&peak);
    while (now > seen && !atomic_compare_exchange_weak(&peak, &seen, now))
        ;
}

static void *counted(void *p)
{
    if (p != NULL && is_counted())
        count((long long)malloc_usable_size(p));
    return p;
}

static void uncount(void *p)
{
    if (p != NULL && is_counted())
        count(-(long long)malloc_usable_size(p));
}

void *__wrap_malloc(size_t size)
{
    return counted(__real_malloc(size));
}

void *__wrap_calloc(size_t n, size_t size)
{
    return counted(__real_calloc(n, size));
}

/* Both blocks count while the content moves: that is what it costs. */
void *__wrap_realloc(void *p, size_t size)
{
    long long old = p != NULL && is_counted() ? (long long)malloc_usable_size(p) : 0;
    void *q = counted(__real_realloc(p, size));
    if (q != NULL || size == 0)
        count(-old);
    return q;
}

void __wrap_free(void *p)
{
    uncount(p);
    __real_free(p);
}

/* --- hostile bodies --- */

static void repeat(struct ic_buf *b, const char *bytes, size_t len, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ic_buf_append(b, bytes, len);
}

/* {key: value}, the value still to come */
static struct ic_buf map_of(const char *key)
{
    struct ic_buf b = {0};
    ic_cbor_put_self_described(&b);
    ic_cbor_put_map(&b, 1);
    ic_cbor_put_text(&b, key);
    return b;
}

/* {"certificate": {"tree": ..., "signature": ...}}, and with "status": "replied" for a call */
static struct ic_buf certificate_of(struct ic_buf tree)
{
    uint8_t signature[48] = {0xc0};
    struct ic_buf cert = {0}, b = {0};
    ic_cbor_put_map(&cert, 2);
    ic_cbor_put_text(&cert, "tree");
    ic_buf_append(&cert, tree.bytes, tree.len);
    ic_cbor_put_text(&cert, "signature");
    ic_cbor_put_bytes(&cert, ic_view(signature, sizeof signature));
    ic_cbor_put_map(&b, 2);
    ic_cbor_put_text(&b, "status");
    ic_cbor_put_text(&b, "replied");
    ic_cbor_put_text(&b, "certificate");
    ic_cbor_put_bytes(&b, ic_view(cert.bytes, cert.len));
    ic_buf_fini(&cert);
    ic_buf_fini(&tree);
    return b;
}

/* A fork of forks ... of empty nodes: 2^levels of them. */
static void put_full_tree(struct ic_buf *b, unsigned levels)
{
    if (levels == 0) {
        ic_buf_append(b, "\x81\x00", 2);
        return;
    }
    ic_buf_append(b, "\x83\x01", 2);
    put_full_tree(b, levels - 1);
    put_full_tree(b, levels - 1);
}

static struct ic_buf full_tree(unsigned levels)
{
    struct ic_buf tree = {0};
    put_full_tree(&tree, levels);
    return certificate_of(tree);
}

static struct ic_buf largest_tree(void)
{
    return full_tree(15); /* 65,535 nodes: the most there may be */
}

static struct ic_buf too_large_tree(void)
{
    return full_tree(18); /* 1 MB of bytes, half a million nodes */
}

/* Forks or labels that go down to the left, n levels. */
static struct ic_buf deep(const char *node, size_t len, size_t n)
{
    struct ic_buf tree = {0};
    repeat(&tree, node, len, n);
    ic_buf_append(&tree, "\x81\x00", 2);
    if (node[1] == 1)
        repeat(&tree, "\x81\x00", 2, n);
    return certificate_of(tree);
}

static struct ic_buf deep_forks(void)
{
    return deep("\x83\x01", 2, 300000);
}

static struct ic_buf deep_labels(void)
{
    return deep("\x83\x02\x41x", 4, 300000);
}

static struct ic_buf large_leaf(void)
{
    struct ic_buf tree = {0};
    uint8_t *bytes = calloc(1, 3 * MIB - 300);
    ic_cbor_put_array(&tree, 2);
    ic_cbor_put_uint(&tree, 3);
    ic_cbor_put_bytes(&tree, ic_view(bytes, 3 * MIB - 300));
    free(bytes);
    return certificate_of(tree);
}

static struct ic_buf deep_arrays(void)
{
    struct ic_buf b = map_of("certificate");
    repeat(&b, "\x81", 1, 1000000);
    return b;
}

static struct ic_buf indefinite_arrays(void)
{
    struct ic_buf b = map_of("certificate");
    repeat(&b, "\x9f", 1, 1000000);
    return b;
}

static struct ic_buf countless_array(void)
{
    struct ic_buf b = map_of("certificate");
    ic_buf_append(&b, "\x9b\x7f\xff\xff\xff\xff\xff\xff\xff", 9);
    return b;
}

static struct ic_buf countless_map(void)
{
    struct ic_buf b = {0};
    ic_buf_append(&b, "\xbb\x7f\xff\xff\xff\xff\xff\xff\xff", 9);
    return b;
}

static struct ic_buf countless_bytes(void)
{
    struct ic_buf b = map_of("certificate");
    ic_buf_append(&b, "\x5b\x7f\xff\xff\xff\xff\xff\xff\xff", 9);
    return b;
}

static struct ic_buf many_keys(void)
{
    struct ic_buf b = {0};
    ic_cbor_put_map(&b, 100000);
    for (unsigned i = 0; i < 100000; i++) {
        char key[12];
        snprintf(key, sizeof key, "%u", i);
        ic_cbor_put_text(&b, key);
        ic_cbor_put_uint(&b, 0);
    }
    return b;
}

static struct ic_buf far_too_long(void)
{
    struct ic_buf b = {0};
    uint8_t *bytes = calloc(1, 20 * MIB);
    ic_buf_append(&b, bytes, 20 * MIB);
    free(bytes);
    return b;
}

/* An honest reply of a query in all but the number of its signatures. */
static struct ic_buf signatures(size_t n)
{
    uint8_t bytes[64] = {0};
    struct ic_buf b = {0};
    ic_cbor_put_map(&b, 3);
    ic_cbor_put_text(&b, "status");
    ic_cbor_put_text(&b, "replied");
    ic_cbor_put_text(&b, "reply");
    ic_cbor_put_map(&b, 1);
    ic_cbor_put_text(&b, "arg");
    ic_cbor_put_bytes(&b, ic_view(bytes, 4));
    ic_cbor_put_text(&b, "signatures");
    ic_cbor_put_array(&b, n);
    for (size_t i = 0; i < n; i++) {
        ic_cbor_put_map(&b, 3);
        ic_cbor_put_text(&b, "timestamp");
        ic_cbor_put_uint(&b, (uint64_t)wall_ns());
        ic_cbor_put_text(&b, "signature");
        ic_cbor_put_bytes(&b, ic_view(bytes, 64));
        ic_cbor_put_text(&b, "identity");
        ic_cbor_put_bytes(&b, ic_view(bytes, 29));
    }
    return b;
}

static struct ic_buf many_signatures(void)
{
    return signatures(12000);
}

static struct ic_buf most_signatures(void)
{
    return signatures(64);
}

/* --- the calls --- */

enum kind { QUERY, UPDATE, STATE };

#define QUERY_MAX (2 * MIB)

static int call(struct ic_agent *agent, enum kind kind, const struct ic_io *io,
                struct ic_error *err)
{
    struct ic_reply reply = {0};
    struct ic_certificate *cert = NULL;
    int rc;
    if (kind == QUERY)
        rc = ic_agent_query(agent, &canister, "method", (const uint8_t *)"hello", 5, QUERY_MAX, io,
                            &reply, err);
    else if (kind == UPDATE)
        rc = update(agent, io, &reply, err);
    else
        rc = ic_agent_read_state(agent, &canister, IC_PATH(ic_label_text("time")), 1, io, &cert,
                                 err);
    ic_reply_fini(&reply);
    ic_certificate_free(cert);
    return rc;
}

static const struct {
    const char *what;
    struct ic_buf (*make)(void);
    int want[3]; /* of a query, an update, a read_state */
} hostile[] = {
    {"the largest tree", largest_tree, {-EPROTO, -EIO, -EBADMSG}},
    {"a tree of half a million nodes", too_large_tree, {-EPROTO, -EIO, -EPROTO}},
    {"forks 300,000 deep", deep_forks, {-EPROTO, -EIO, -EPROTO}},
    {"labels 300,000 deep", deep_labels, {-EPROTO, -EIO, -EPROTO}},
    {"a leaf of 3 MiB", large_leaf, {-EPROTO, -EIO, -EBADMSG}},
    {"arrays a million deep", deep_arrays, {-EPROTO, -EIO, -EPROTO}},
    {"arrays a million deep, of no length", indefinite_arrays, {-EPROTO, -EIO, -EPROTO}},
    {"an array of 2^63 items", countless_array, {-EPROTO, -EIO, -EPROTO}},
    {"a map of 2^63 keys", countless_map, {-EPROTO, -EIO, -EPROTO}},
    {"2^63 bytes", countless_bytes, {-EPROTO, -EIO, -EPROTO}},
    {"a hundred thousand keys", many_keys, {-EPROTO, -EIO, -EPROTO}},
    {"20 MiB", far_too_long, {-EPROTO, -EIO, -EPROTO}},
    {"12,000 signatures", many_signatures, {-EPROTO, -EIO, -EPROTO}},
    {"64 signatures of a subnet of one", most_signatures, {-EBADMSG, -EIO, -EPROTO}},
};

/* Bodies stay until the server is gone: it may still be sending one that nobody waits for. */
static struct ic_buf bodies[sizeof hostile / sizeof hostile[0]];

static void check(size_t i, enum kind kind)
{
    static const char *const names[] = {"query", "update", "read_state"};
    /* twice the longest answer, and 6 MB; and a little for what an agent has anyway */
    static const long long longest[] = {QUERY_MAX + 64 * 1024, 4 * MIB, 4 * MIB};
    struct plan plan = {.last_bad = UINT32_MAX, .raw = bodies[i].bytes, .raw_len = bodies[i].len};
    char what[128];

    if (kind == QUERY)
        plan_queries(plan);
    else if (kind == UPDATE)
        plan_calls(plan);
    else
        plan_states(plan);
    if (kind == UPDATE)
        set_nature((struct nature){.asks = &plan, .n_asks = 1});
    struct ic_agent *agent = open_agent();
    struct ic_io io = within_ms(PATIENCE_MS);
    struct ic_error err = {0};
    unsigned n = fake_server_n_requests(net.server);
    int64_t start = ic_wait_now_ns();
    long long before = atomic_load(&held);
    atomic_store(&peak, before);
    is_caller = true;
    int rc = call(agent, kind, &io, &err);
    is_caller = false;
    long long most = atomic_load(&peak) - before;
    int64_t took = ms_since(start);
    n = fake_server_n_requests(net.server) - n;
    snprintf(what, sizeof what, "%s, in a %s: errno", hostile[i].what, names[kind]);
    TAP_INT(rc, hostile[i].want[kind], what);
    TAP_INT(ic_error_errno(&err), rc, "the same in err");
    TAP_OK(most <= 2 * longest[kind] + 6000000 + 100000, "memory");
    /* three tries, or for an update three questions of three tries each, with their pauses: 3 s and
     * 9 s at most where nothing else runs; a sanitizer on a busy machine takes longer */
    TAP_OK(took < PATIENCE_MS, "it ends by itself, not at its deadline");
    TAP_OK(n <= (kind == UPDATE ? 10 : 4), "requests");
    printf("# %s, %s: %lld KiB, %d ms, %u requests: %.60s\n", hostile[i].what, names[kind],
           most / 1024, (int)took, n, err.message);
    ic_agent_close(agent);
    set_nature((struct nature){0}); /* it points to our plan */
}

/* A rejection as long as it can be: signed, so that it is believed. */
static void test_long_message(void)
{
    static char text[64 * 1024 - 1000];
    memset(text, 'x', sizeof text - 1);
    plan_queries((struct plan){.last_bad = UINT32_MAX, .reject_code = 5, .reject_message = text});
    struct ic_agent *agent = open_agent();
    struct ic_io io = within_ms(20000);
    struct ic_error err = {0};
    TAP_INT(call(agent, QUERY, &io, &err), -EIO, "a reject message of 64 KiB");
    TAP_INT(err.code, IC_E_REJECTED, "code");
    TAP_INT((int64_t)strlen(err.message), sizeof err.message - 1, "is cut");
    ic_agent_close(agent);
}

int main(void)
{
    net_open();
    for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++) {
        bodies[i] = hostile[i].make();
        for (enum kind kind = QUERY; kind <= STATE; kind++)
            if (kind != UPDATE || i < 5) /* its pauses are long, and it decodes as the others */
                check(i, kind);
    }
    test_long_message();
    net_close();
    for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++)
        ic_buf_fini(&bodies[i]);
    return tap_done();
}
