/* The dispatcher of the source interface: the only place that calls an ops table.
 *
 * The contract is checked here, both ways, so that no layer has to: what callers pass is asserted
 * (a violation is a bug of ours), what implementations return is put right, because it travels on
 * to the kernel. -ENOSYS would make the kernel never ask again for the life of the mount
 * (fuse_lowlevel.h), -EAGAIN makes readers think of non-blocking descriptors, and -EINTR without a
 * cancelled caller makes them repeat a read that nobody interrupted.
 */
#include "cache/source.h"

#include "cache/lock.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

/* Where a source has no wish of its own: what tools should read at a time. */
#define PREFERRED_IO_DEFAULT ((size_t)1 << 20)

#define MAX_IOV 1024

static bool is_cancelled(const struct source_io *io)
{
    return io->cancel && atomic_load_explicit(io->cancel, memory_order_relaxed);
}

/* A call whose time is over before it began must not reach the source. */
static int check_io(const struct source_io *io)
{
    if (is_cancelled(io))
        return -EINTR;
    if (clock_now_ns() >= io->deadline_ns)
        return -ETIMEDOUT;
    return 0;
}

/* What an implementation returned, made one of the allowed results. */
static int clamp_result(int ret, const struct source_io *io)
{
    if (ret == 0)
        return 0;
    if (ret > 0 || ret == -EAGAIN || ret == -ENOSYS || ret < -4095)
        return -EIO;
    if (ret == -EINTR && !is_cancelled(io))
        return -EIO;
    return ret;
}

static int count_result(struct source *source, int ret)
{
    if (ret < 0)
        atomic_fetch_add_explicit(&source->n_errors, 1, memory_order_relaxed);
    return ret;
}

void source_init(struct source *source, const struct source_ops *ops)
{
    assert(ops->stat && ops->readv && ops->close);
    source->ops = ops;
    atomic_init(&source->last_max_io, 0);
    atomic_init(&source->n_stats, 0);
    atomic_init(&source->n_reads, 0);
    atomic_init(&source->n_read_bytes, 0);
    atomic_init(&source->n_prefetches, 0);
    atomic_init(&source->n_errors, 0);
}

int source_stat(struct source *source, const struct source_io *io, struct source_stat *out)
{
    assert(io->deadline_ns > 0);
    atomic_fetch_add_explicit(&source->n_stats, 1, memory_order_relaxed);

    int ret = check_io(io);
    if (ret < 0)
        return count_result(source, ret);
    struct source_stat st = {0};
    ret = clamp_result(source->ops->stat(source, io, &st), io);
    if (ret == 0 && (st.version == 0 || st.size > INT64_MAX))
        ret = -EIO; /* the kernel's offsets are signed */
    if (ret < 0)
        return count_result(source, ret);

    if (st.preferred_io == 0)
        st.preferred_io = PREFERRED_IO_DEFAULT;
    atomic_store_explicit(&source->last_max_io, st.max_io, memory_order_relaxed);
    *out = st;
    return 0;
}

int source_readv(struct source *source, uint64_t version, uint64_t off, const struct iovec *iov,
                 int n_iov, const struct source_io *io)
{
    assert(io->deadline_ns > 0);
    assert(version >= 1);
    assert(n_iov >= 1 && n_iov <= MAX_IOV);
    size_t len = source_iov_size(iov, n_iov);
    assert(len >= 1 && off <= INT64_MAX && len <= INT64_MAX - off);
    atomic_fetch_add_explicit(&source->n_reads, 1, memory_order_relaxed);

    int ret = check_io(io);
    if (ret == 0)
        ret = clamp_result(source->ops->readv(source, version, off, iov, n_iov, io), io);
    if (ret == 0)
        atomic_fetch_add_explicit(&source->n_read_bytes, len, memory_order_relaxed);
    return count_result(source, ret);
}

int source_read(struct source *source, uint64_t version, uint64_t off, void *buf, size_t len,
                const struct source_io *io)
{
    struct iovec iov = {.iov_base = buf, .iov_len = len};
    return source_readv(source, version, off, &iov, 1, io);
}

void source_prefetch(struct source *source, uint64_t version, uint64_t off, uint64_t len,
                     size_t load)
{
    assert(version >= 1);
    assert(load >= 1);
    if (!source->ops->prefetch || len == 0 || off > INT64_MAX)
        return;
    if (len > INT64_MAX - off)
        len = INT64_MAX - off;
    atomic_fetch_add_explicit(&source->n_prefetches, 1, memory_order_relaxed);
    source->ops->prefetch(source, version, off, len, load);
}

bool source_has(struct source *source, uint64_t version, uint64_t off)
{
    return source->ops->has && source->ops->has(source, version, off);
}

size_t source_max_io(struct source *source)
{
    if (source->ops->max_io)
        return source->ops->max_io(source);
    return atomic_load_explicit(&source->last_max_io, memory_order_relaxed);
}

void source_close(struct source *source)
{
    if (source)
        source->ops->close(source);
}

void source_get_stats(struct source *source, struct source_stats *out)
{
    *out = (struct source_stats){
        .n_stats = atomic_load_explicit(&source->n_stats, memory_order_relaxed),
        .n_reads = atomic_load_explicit(&source->n_reads, memory_order_relaxed),
        .n_read_bytes = atomic_load_explicit(&source->n_read_bytes, memory_order_relaxed),
        .n_prefetches = atomic_load_explicit(&source->n_prefetches, memory_order_relaxed),
        .n_errors = atomic_load_explicit(&source->n_errors, memory_order_relaxed),
    };
}

size_t source_iov_size(const struct iovec *iov, int n_iov)
{
    size_t size = 0;
    for (int i = 0; i < n_iov; i++) {
        assert(iov[i].iov_len <= SIZE_MAX - size);
        size += iov[i].iov_len;
    }
    return size;
}

void source_iov_copy(const struct iovec *iov, int n_iov, size_t pos, const void *data, size_t len)
{
    const unsigned char *from = data;
    for (int i = 0; i < n_iov && len > 0; i++) {
        if (pos >= iov[i].iov_len) {
            pos -= iov[i].iov_len;
            continue;
        }
        size_t n = iov[i].iov_len - pos;
        if (n > len)
            n = len;
        memcpy((unsigned char *)iov[i].iov_base + pos, from, n);
        from += n;
        len -= n;
        pos = 0;
    }
    assert(len == 0);
}
