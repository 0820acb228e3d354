/* Files of a chunk store as sources: see snapshots.h. Nothing tells how long one is but its bytes:
 * so whoever asks for its size fetches it, and it is kept in the store for who reads it then. */
#include "fs/snapshots_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PREFERRED_IO ((size_t)1 << 20)
#define ONLY_VERSION 1

/* Times that a chunk may be gone from the store right after it was put there. */
#define TRIES_MAX 3

struct chunk_file {
    struct source source; /* first */
    struct snapshot *snapshot;
    uint64_t index;
};

static int fetch(struct snapshot *snapshot, uint64_t index, const struct ic_io *io)
{
    struct fs_snapshots *owner = snapshot->owner;
    const struct fs_target *target = owner->config.target;
    struct ic_snapshot_data data = {0};
    struct ic_error err = {0};
    int result = ic_snapshot_read_chunk(target->agent, &target->canister, &snapshot->id,
                                        snapshot->metadata.chunks[index], io, &data, &err);
    if (result < 0) {
        snapshots_log(owner, snapshot->name, "wasm_chunk_store", &err);
        if (err.code == IC_E_NOT_FOUND)
            snapshot_note_gone(snapshot);
        return result;
    }
    size_t size = data.bytes.len;
    void *copy = size > 0 ? malloc(size) : NULL;
    if (copy)
        memcpy(copy, data.bytes.bytes, size);
    ic_snapshot_data_fini(&data);
    if (size > 0 && !copy)
        return -ENOMEM;
    uint64_t object = store_put(owner->store, copy, size);
    pthread_mutex_lock(&owner->lock);
    snapshot->chunks[index].object = object;
    snapshot->chunks[index].size = size;
    pthread_mutex_unlock(&owner->lock);
    return 0;
}

/* See to it that it was fetched, or again when it was `gone` from the store. */
static int ensure(struct snapshot *snapshot, uint64_t index, uint64_t gone,
                  const struct source_io *io, struct snapshot_chunk *out)
{
    struct fs_snapshots *owner = snapshot->owner;
    struct snapshot_chunk *chunk = &snapshot->chunks[index];
    struct ic_io ic_io = snapshots_io(io);
    int result = 0;
    pthread_mutex_lock(&owner->lock);
    while (result == 0 && chunk->object == gone) {
        if (!fs_flight_begin(&chunk->fetching, &owner->lock, &owner->settled, &ic_io, &result))
            continue;
        pthread_mutex_unlock(&owner->lock);
        result = fetch(snapshot, index, &ic_io);
        pthread_mutex_lock(&owner->lock);
        fs_flight_end(&chunk->fetching, &owner->settled, result);
    }
    *out = *chunk;
    pthread_mutex_unlock(&owner->lock);
    return result;
}

void snapshot_fetch_chunk(struct snapshot *snapshot, uint64_t index, const struct source_io *io)
{
    struct snapshot_chunk chunk;
    (void)!ensure(snapshot, index, 0, io, &chunk); /* whoever needs it asks then */
}

/* Who goes through the store in order, or copies the snapshot, asks for the next ones soon. */
static void fetch_next(struct snapshot *snapshot, uint64_t index)
{
    struct fs_snapshots *owner = snapshot->owner;
    uint64_t end = index + 1 + SNAPSHOT_AHEAD_THREADS;
    pthread_mutex_lock(&owner->lock);
    bool is_in_order =
        index > 0 ? snapshot->chunks[index - 1].object != 0 : atomic_load(&snapshot->is_copied);
    uint64_t next = snapshot->n_chunks_ahead > index ? snapshot->n_chunks_ahead : index + 1;
    if (end > snapshot->metadata.n_chunks)
        end = snapshot->metadata.n_chunks;
    while (is_in_order && next < end && fs_ahead_put(owner->ahead, snapshot, next))
        snapshot->n_chunks_ahead = ++next;
    pthread_mutex_unlock(&owner->lock);
}

static int chunk_stat(struct source *source, const struct source_io *io, struct source_stat *out)
{
    const struct chunk_file *self = (const struct chunk_file *)source;
    struct snapshot_chunk chunk;
    fetch_next(self->snapshot, self->index);
    int result = ensure(self->snapshot, self->index, 0, io, &chunk);
    if (result < 0)
        return result;
    *out = (struct source_stat){
        .size = chunk.size,
        .version = ONLY_VERSION,
        .mtime_ns = self->snapshot->taken_at_ns,
        .preferred_io = PREFERRED_IO,
        .versioned = true,
        .immutable = true,
    };
    return 0;
}

static int chunk_readv(struct source *source, uint64_t version, uint64_t off,
                       const struct iovec *iov, int n_iov, const struct source_io *io)
{
    const struct chunk_file *self = (const struct chunk_file *)source;
    uint64_t end = off + source_iov_size(iov, n_iov);
    uint64_t gone = 0;
    (void)version;
    for (int i = 0; i < TRIES_MAX; i++) {
        struct snapshot_chunk chunk;
        int result = ensure(self->snapshot, self->index, gone, io, &chunk);
        if (result < 0)
            return result == -ENOENT ? -ESTALE : result; /* an open file stays one */
        if (end > chunk.size)
            return -EIO; /* the dispatcher does not know sizes */
        if (store_read(self->snapshot->owner->store, chunk.object, off, iov, n_iov) == 0)
            return 0;
        gone = chunk.object;
    }
    return -EIO;
}

static void chunk_close(struct source *source)
{
    free(source);
}

static const struct source_ops ops = {
    .stat = chunk_stat,
    .readv = chunk_readv,
    .close = chunk_close,
};

int snapshot_open_chunk(struct snapshot *snapshot, uint64_t index, struct source **out)
{
    struct chunk_file *self = calloc(1, sizeof(*self));
    if (!self)
        return -ENOMEM;
    source_init(&self->source, &ops);
    self->snapshot = snapshot;
    self->index = index;
    *out = &self->source;
    return 0;
}
