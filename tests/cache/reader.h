/* Reads in threads of their own, and the little that every cache test repeats. */
#ifndef CANISTERFS_TESTS_CACHE_READER_H
#define CANISTERFS_TESTS_CACHE_READER_H

#include "cache/cache.h"
#include "cache/lock.h"
#include "tests/cache/fake_source.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define BS  ((uint64_t)CACHE_BLOCK_SIZE)
#define KIB ((uint64_t)1024)
#define MIB (1024 * KIB)

struct reader {
    struct source *source;
    uint64_t version;
    uint64_t off;
    size_t len;
    int64_t timeout_ms;
    atomic_bool cancel;
    bool has_cancel;
    pthread_t thread;
    unsigned char *buf;
    int ret;
    int64_t took_ms;
};

static inline struct source_io io_in(int64_t ms)
{
    return (struct source_io){.deadline_ns = clock_now_ns() + ms * NS_PER_MS};
}

static inline void *reader_main(void *arg)
{
    struct reader *r = arg;
    int64_t start_ns = clock_now_ns();
    struct source_io io = io_in(r->timeout_ms);
    if (r->has_cancel)
        io.cancel = &r->cancel;
    r->ret = source_read(r->source, r->version, r->off, r->buf, r->len, &io);
    r->took_ms = (clock_now_ns() - start_ns) / NS_PER_MS;
    return NULL;
}

static inline void reader_start(struct reader *r, struct source *source, uint64_t version,
                                uint64_t off, size_t len, int64_t timeout_ms, bool has_cancel)
{
    *r = (struct reader){.source = source,
                         .version = version,
                         .off = off,
                         .len = len,
                         .timeout_ms = timeout_ms,
                         .has_cancel = has_cancel};
    r->buf = malloc(len);
    if (!r->buf || pthread_create(&r->thread, NULL, reader_main, r) != 0)
        abort();
}

/* Returns what the read returned; with a success, -EILSEQ when the bytes are not the right ones. */
static inline int reader_join(struct reader *r, uint64_t seed)
{
    pthread_join(r->thread, NULL);
    int ret = r->ret;
    if (ret == 0 && !fake_matches(seed, r->version, r->off, r->buf, r->len))
        ret = -EILSEQ;
    free(r->buf);
    r->buf = NULL;
    return ret;
}

/* Read here and now, and compare; as reader_join. */
static inline int read_checked(struct source *source, uint64_t seed, uint64_t version, uint64_t off,
                               size_t len, int64_t timeout_ms)
{
    unsigned char *buf = malloc(len + 1);
    if (!buf)
        abort();
    buf[len] = 0x5a;
    struct source_io io = io_in(timeout_ms);
    int ret = source_read(source, version, off, buf, len, &io);
    if (ret == 0 && (!fake_matches(seed, version, off, buf, len) || buf[len] != 0x5a))
        ret = -EILSEQ;
    free(buf);
    return ret;
}

static inline void sleep_ms(int64_t ms)
{
    struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * NS_PER_MS};
    nanosleep(&ts, NULL);
}

/* A cache over one fake source. */
struct bench {
    struct cache *cache;
    struct source *source;
    struct fake *fake;
    uint64_t seed;
    uint64_t version;
};

static inline bool bench_open(struct bench *b, const struct cache_config *cache,
                              const struct fake_config *fake)
{
    struct source *inner;
    b->seed = fake->seed;
    if (cache_open(&b->cache, cache) < 0 || fake_open(&inner, &b->fake, fake) < 0 ||
        cached_open(&b->source, b->cache, inner) < 0)
        return false;
    struct source_io io = io_in(5000);
    struct source_stat st;
    if (source_stat(b->source, &io, &st) < 0)
        return false;
    b->version = st.version;
    return true;
}

static inline void bench_close(struct bench *b)
{
    source_close(b->source);
    cache_close(b->cache);
}

/* Wait until nothing is queued or running, up to 5 s. */
static inline bool bench_settle(struct bench *b)
{
    int64_t until_ns = clock_now_ns() + 5 * NS_PER_S;
    struct cache_stats stats;
    do {
        cache_get_stats(b->cache, &stats);
        if (stats.queued == 0 && stats.in_flight == 0)
            return true;
        sleep_ms(2);
    } while (clock_now_ns() < until_ns);
    return false;
}

#endif
