/* A snapshot and its parts as sources: see snapshots.h.
 *
 * The bytes of a part that is large come through the shared cache. The cached source belongs to the
 * snapshot and stays, so that what is cached outlives the inode; what the tree gets only refers to
 * it.
 */
#include "fs/snapshots_impl.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define PREFERRED_IO ((size_t)1 << 20)
#define ONLY_VERSION 1 /* it never changes */

static struct source_stat stat_of(const struct snapshot *snapshot, uint64_t size)
{
    return (struct source_stat){
        .size = size,
        .version = ONLY_VERSION,
        .mtime_ns = snapshot->taken_at_ns,
        .max_io = FS_SNAPSHOTS_SLICE,
        .preferred_io = PREFERRED_IO,
        .max_inflight = FS_SNAPSHOTS_INFLIGHT,
        .versioned = true,
        .immutable = true,
    };
}

/* --- a blob, uncached --- */

struct blob {
    struct source source; /* first */
    struct snapshot *snapshot;
    enum snapshot_part part;
};

static const enum ic_snapshot_blob kinds[] = {
    [SNAPSHOT_WASM_MODULE] = IC_SNAPSHOT_WASM_MODULE,
    [SNAPSHOT_WASM_MEMORY] = IC_SNAPSHOT_WASM_MEMORY,
    [SNAPSHOT_STABLE_MEMORY] = IC_SNAPSHOT_STABLE_MEMORY,
};

/* Asked when the metadata are known. */
static int blob_stat(struct source *source, const struct source_io *io, struct source_stat *out)
{
    const struct blob *self = (const struct blob *)source;
    (void)io;
    *out = stat_of(self->snapshot, snapshot_size_of(self->snapshot, self->part));
    return 0;
}

static int blob_readv(struct source *source, uint64_t version, uint64_t off,
                      const struct iovec *iov, int n_iov, const struct source_io *io)
{
    const struct blob *self = (const struct blob *)source;
    const struct snapshot *snapshot = self->snapshot;
    const struct fs_target *target = snapshot->owner->config.target;
    struct ic_io ic_io = snapshots_io(io);
    struct ic_error err = {0};
    size_t total = source_iov_size(iov, n_iov);
    (void)version;
    for (size_t pos = 0; pos < total;) {
        struct ic_snapshot_data data = {0};
        size_t len = total - pos < FS_SNAPSHOTS_SLICE ? total - pos : FS_SNAPSHOTS_SLICE;
        ic_io.is_large = len >= IC_IO_LARGE;
        int result = ic_snapshot_read(target->agent, &target->canister, &snapshot->id,
                                      kinds[self->part], off + pos, len, &ic_io, &data, &err);
        if (result < 0) {
            snapshots_log(snapshot->owner, snapshot->name, "", &err);
            if (err.code != IC_E_NOT_FOUND)
                return result;
            /* An open file does not become "no such file". */
            snapshot_note_gone(self->snapshot);
            return -ESTALE;
        }
        source_iov_copy(iov, n_iov, pos, data.bytes.bytes, len);
        ic_snapshot_data_fini(&data);
        pos += len;
    }
    return 0;
}

static size_t blob_max_io(struct source *source)
{
    (void)source;
    return FS_SNAPSHOTS_SLICE;
}

static void blob_close(struct source *source)
{
    free(source);
}

static const struct source_ops blob_ops = {
    .stat = blob_stat,
    .readv = blob_readv,
    .max_io = blob_max_io,
    .close = blob_close,
};

static int open_blob(struct snapshot *snapshot, enum snapshot_part part, struct source **out)
{
    struct blob *blob = calloc(1, sizeof(*blob));
    if (!blob)
        return -ENOMEM;
    source_init(&blob->source, &blob_ops);
    blob->snapshot = snapshot;
    blob->part = part;
    int result = cached_open(out, snapshot->owner->config.cache, &blob->source);
    if (result < 0)
        free(blob);
    return result;
}

/* Keep a cached source unless there is one already. Takes it; NULL: only look. */
static struct source *keep_first(struct snapshot *snapshot, enum snapshot_part part,
                                 struct source *opened)
{
    struct source **slot = &snapshot->blobs[part - SNAPSHOT_WASM_MODULE];
    pthread_mutex_lock(&snapshot->owner->lock);
    if (!*slot) {
        *slot = opened;
        opened = NULL;
    }
    struct source *first = *slot;
    pthread_mutex_unlock(&snapshot->owner->lock);
    source_close(opened);
    return first;
}

static int find_blob(struct snapshot *snapshot, enum snapshot_part part, struct source **out)
{
    struct source *opened = NULL;
    struct source *known = keep_first(snapshot, part, NULL);
    int result = known ? 0 : open_blob(snapshot, part, &opened);
    if (result < 0)
        return result;
    *out = known ? known : keep_first(snapshot, part, opened);
    assert(*out);
    return 0;
}

/* --- a blob, as the tree sees it --- */

struct part {
    struct source source; /* first */
    struct snapshot *snapshot;
    enum snapshot_part part;
    struct source *_Atomic cached; /* of the snapshot; NULL before the first stat */
};

static struct part *part_of(struct source *source)
{
    return (struct part *)source;
}

static int part_stat(struct source *source, const struct source_io *io, struct source_stat *out)
{
    struct part *self = part_of(source);
    struct source *cached = NULL;
    int result = snapshot_learn(self->snapshot, io);
    if (result == 0 && !snapshot_dir_ops.has(self->snapshot, self->part))
        return -ENOENT;
    if (result == 0)
        result = find_blob(self->snapshot, self->part, &cached);
    if (result != 0)
        return result;
    atomic_store(&self->cached, cached);
    return source_stat(cached, io, out);
}

/* A call takes its time however little it brings: the whole slice around what is missing comes with
 * one. The read then finds it on its way. */
static void fetch_slice(struct source *cached, uint64_t version, uint64_t off)
{
    if (!source_has(cached, version, off))
        source_prefetch(cached, version, off / FS_SNAPSHOTS_SLICE * FS_SNAPSHOTS_SLICE,
                        FS_SNAPSHOTS_SLICE, FS_SNAPSHOTS_SLICE);
}

/* The start of a part is being fetched in any case. Have that of the next ones fetched, too, as far
 * as the calls go that may run at once: whoever copies the directory then waits for all of them
 * together, not for one after the other. */
static void fetch_next_parts(struct snapshot *snapshot, enum snapshot_part part,
                             const struct source_io *io)
{
    unsigned n_inflight = ic_agent_large_limit(snapshot->owner->config.target->agent, true);
    if (n_inflight > FS_SNAPSHOTS_INFLIGHT)
        n_inflight = FS_SNAPSHOTS_INFLIGHT;
    uint64_t room = (uint64_t)n_inflight * FS_SNAPSHOTS_SLICE;
    uint64_t size = snapshot_size_of(snapshot, part);
    for (int next = (int)part + 1; next <= SNAPSHOT_STABLE_MEMORY && size < room; next++) {
        struct source *cached = NULL;
        struct source_stat stat;
        room -= size;
        size = snapshot_size_of(snapshot, (enum snapshot_part)next);
        if (size == 0)
            continue;
        if (find_blob(snapshot, (enum snapshot_part)next, &cached) < 0 ||
            source_stat(cached, io, &stat) < 0)
            return;
        source_prefetch(cached, stat.version, 0, size < room ? size : room, FS_SNAPSHOTS_SLICE);
    }
}

static int part_readv(struct source *source, uint64_t version, uint64_t off,
                      const struct iovec *iov, int n_iov, const struct source_io *io)
{
    const struct part *self = part_of(source);
    struct source *cached = atomic_load(&self->cached);
    if (!cached)
        return -ESTALE; /* no version was ever told */
    if (off == 0 && atomic_load(&self->snapshot->is_copied))
        fetch_next_parts(self->snapshot, self->part, io);
    fetch_slice(cached, version, off);
    fetch_slice(cached, version, off + source_iov_size(iov, n_iov) - 1);
    return source_readv(cached, version, off, iov, n_iov, io);
}

static void part_prefetch(struct source *source, uint64_t version, uint64_t off, uint64_t len,
                          size_t load)
{
    struct source *cached = atomic_load(&part_of(source)->cached);
    if (cached)
        source_prefetch(cached, version, off, len, load);
}

static bool part_has(struct source *source, uint64_t version, uint64_t off)
{
    struct source *cached = atomic_load(&part_of(source)->cached);
    return cached && source_has(cached, version, off);
}

static size_t part_max_io(struct source *source)
{
    (void)source;
    return FS_SNAPSHOTS_SLICE;
}

static void part_close(struct source *source)
{
    free(part_of(source));
}

static const struct source_ops part_ops = {
    .stat = part_stat,
    .readv = part_readv,
    .prefetch = part_prefetch,
    .has = part_has,
    .max_io = part_max_io,
    .close = part_close,
};

/* --- what is known without another call --- */

static int text_stat(struct source *source, const struct source_io *io, struct source_stat *out)
{
    const struct part *self = part_of(source);
    int result = snapshot_learn(self->snapshot, io);
    if (result == 0)
        *out = stat_of(self->snapshot, snapshot_size_of(self->snapshot, self->part));
    return result;
}

static int text_readv(struct source *source, uint64_t version, uint64_t off,
                      const struct iovec *iov, int n_iov, const struct source_io *io)
{
    struct snapshot *snapshot = part_of(source)->snapshot;
    size_t len = source_iov_size(iov, n_iov);
    int result = snapshot_learn(snapshot, io);
    (void)version;
    if (result < 0)
        return result;
    if (off > snapshot->json.len || len > snapshot->json.len - off)
        return -EIO; /* the dispatcher does not know sizes */
    source_iov_copy(iov, n_iov, 0, snapshot->json.bytes + off, len);
    atomic_store(&snapshot->is_copied, true);
    return 0;
}

static const struct source_ops text_ops = {
    .stat = text_stat,
    .readv = text_readv,
    .close = part_close,
};

static int no_readv(struct source *source, uint64_t version, uint64_t off, const struct iovec *iov,
                    int n_iov, const struct source_io *io)
{
    (void)source, (void)version, (void)off, (void)iov, (void)n_iov, (void)io;
    return -EISDIR;
}

static int itself_stat(struct source *source, const struct source_io *io, struct source_stat *out)
{
    struct snapshot *snapshot = part_of(source)->snapshot;
    int result = snapshots_refresh(snapshot->owner, io);
    if (result < 0)
        return result;
    pthread_mutex_lock(&snapshot->owner->lock);
    bool is_there = snapshot->is_there;
    pthread_mutex_unlock(&snapshot->owner->lock);
    *out = stat_of(snapshot, snapshot->total_size);
    return is_there ? 0 : -ENOENT;
}

static const struct source_ops itself_ops = {
    .stat = itself_stat,
    .readv = no_readv,
    .close = part_close,
};

static const struct source_ops dir_ops = {
    .stat = text_stat,
    .readv = no_readv,
    .close = part_close,
};

/* --- making them --- */

static int open_part(struct snapshot *snapshot, enum snapshot_part part,
                     const struct source_ops *ops, struct source **out)
{
    struct part *self = calloc(1, sizeof(*self));
    if (!self)
        return -ENOMEM;
    source_init(&self->source, ops);
    self->snapshot = snapshot;
    self->part = part;
    atomic_init(&self->cached, NULL);
    *out = &self->source;
    return 0;
}

int snapshot_open_itself(struct snapshot *snapshot, struct source **out)
{
    return open_part(snapshot, SNAPSHOT_N_PARTS, &itself_ops, out);
}

int snapshot_open_part(struct snapshot *snapshot, enum snapshot_part part, struct source **out)
{
    bool is_dir = part == SNAPSHOT_CHUNK_STORE || part == SNAPSHOT_VMEM;
    const struct source_ops *ops = part == SNAPSHOT_METADATA ? &text_ops
                                   : is_dir                  ? &dir_ops
                                                             : &part_ops;
    return open_part(snapshot, part, ops, out);
}
