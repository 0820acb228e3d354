#include "tests/fs/scripted.h"

#include <errno.h>
#include <string.h>
#include <time.h>

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

unsigned char scripted_byte(uint64_t version, uint64_t off)
{
    return (unsigned char)(off * 131 + (off >> 16) + version);
}

static int scripted_stat(struct source *source, const struct source_io *io, struct source_stat *out)
{
    (void)io;
    struct scripted *self = (struct scripted *)source;
    self->n_stats++;
    if (self->on_stat)
        self->on_stat(self);
    if (self->stat_result < 0)
        return self->stat_result;
    *out = self->stat;
    out->version += self->n_changes;
    if (!self->stat.versioned)
        self->stat.version++;
    return 0;
}

int scripted_wait(int64_t ns, const struct source_io *io)
{
    int64_t until_ns = ns < INT64_MAX ? now_ns() + ns : INT64_MAX;
    while (now_ns() < until_ns) {
        if (atomic_load(io->cancel))
            return -EINTR;
        if (now_ns() > io->deadline_ns)
            return -ETIMEDOUT;
        const struct timespec slice = {.tv_nsec = 100000};
        nanosleep(&slice, NULL);
    }
    return 0;
}

void scripted_gauge_enter(struct scripted_gauge *gauge)
{
    unsigned now = ++gauge->now;
    unsigned most = gauge->most;
    while (now > most && !atomic_compare_exchange_weak(&gauge->most, &most, now))
        ;
}

void scripted_gauge_leave(struct scripted_gauge *gauge)
{
    gauge->now--;
}

static int scripted_readv(struct source *source, uint64_t version, uint64_t off,
                          const struct iovec *iov, int n_iov, const struct source_io *io)
{
    struct scripted *self = (struct scripted *)source;
    self->n_reads++;
    scripted_gauge_enter(&self->reading);
    int result = scripted_wait(self->waits ? INT64_MAX : self->read_ns, io);
    scripted_gauge_leave(&self->reading);
    if (result == 0)
        result = self->read_result;
    if (result < 0)
        return result;
    for (int i = 0; i < n_iov; i++) {
        unsigned char *to = iov[i].iov_base;
        for (size_t j = 0; j < iov[i].iov_len; j++)
            to[j] = scripted_byte(version, off++);
    }
    return 0;
}

static void scripted_close(struct source *source)
{
    struct scripted *self = (struct scripted *)source;
    self->n_closed++;
}

static const struct source_ops scripted_ops = {
    .stat = scripted_stat,
    .readv = scripted_readv,
    .close = scripted_close,
};

void scripted_init(struct scripted *scripted, uint64_t size, uint64_t version, bool versioned)
{
    memset(scripted, 0, sizeof(*scripted));
    source_init(&scripted->source, &scripted_ops);
    scripted->stat = (struct source_stat){
        .size = size,
        .version = version,
        .mtime_ns = 1600000000123456789,
        .preferred_io = 65536,
        .versioned = versioned,
    };
}
