/* The forms of a chunk as sources: see chunks.h. */
#include "fs/chunks_impl.h"

#include <errno.h>
#include <stdlib.h>

#define PREFERRED_IO ((size_t)1 << 20)

/* Times that content may be gone from the store right after it was put there. */
#define TRIES_MAX 3

struct chunk_source {
    struct source source; /* first */
    struct fs_chunks *chunks;
    uint64_t index;
    enum fs_form form;
};

static struct chunk_source *self_of(struct source *source)
{
    return (struct chunk_source *)source;
}

static int chunk_stat(struct source *source, const struct source_io *io, struct source_stat *out)
{
    const struct chunk_source *self = self_of(source);
    struct ic_io ic_io = fs_target_io_from(io->deadline_ns, io->cancel);
    struct chunk_state state;
    chunks_foresee(self->chunks, self->index);
    int result = chunk_refresh(self->chunks, self->index, self->form, false, 0, &ic_io, &state);
    if (result < 0)
        return result;
    *out = (struct source_stat){
        .size = state.size,
        .version = state.serial,
        .mtime_ns = state.mtime_ns,
        .preferred_io = PREFERRED_IO,
        .versioned = true,
    };
    return 0;
}

/* What the chunk is now, whether or not that is still good: an open file keeps its content for as
 * long as it is there. */
static struct chunk_state state_of(const struct chunk_source *self)
{
    struct chunk_state state = {0};
    struct chunk *chunk;
    pthread_mutex_lock(&self->chunks->lock);
    HASH_FIND(hh, self->chunks->table, &self->index, sizeof(self->index), chunk);
    if (chunk)
        state = (struct chunk_state){
            .serial = chunk->serial,
            .size = chunk->forms[self->form].size,
            .object = chunk->forms[self->form].object,
        };
    pthread_mutex_unlock(&self->chunks->lock);
    return state;
}

static void note_read(const struct chunk_source *self, uint64_t serial, uint64_t end)
{
    struct chunk *chunk;
    pthread_mutex_lock(&self->chunks->lock);
    HASH_FIND(hh, self->chunks->table, &self->index, sizeof(self->index), chunk);
    if (chunk && chunk->serial == serial && end >= chunk->forms[self->form].size)
        chunk->forms[self->form].was_read = true;
    pthread_mutex_unlock(&self->chunks->lock);
}

static int chunk_readv(struct source *source, uint64_t version, uint64_t off,
                       const struct iovec *iov, int n_iov, const struct source_io *io)
{
    const struct chunk_source *self = self_of(source);
    struct ic_io ic_io = fs_target_io_from(io->deadline_ns, io->cancel);
    struct chunk_state state = state_of(self);
    uint64_t end = off + source_iov_size(iov, n_iov);
    for (int i = 0; i < TRIES_MAX; i++) {
        if (state.serial != version)
            return -ESTALE;
        if (state.object != 0 && end > state.size)
            return -EIO; /* the dispatcher does not know sizes of versions */
        if (state.object != 0 &&
            store_read(self->chunks->shared->store, state.object, off, iov, n_iov) == 0) {
            note_read(self, version, end);
            return 0;
        }
        int result = chunk_refresh(self->chunks, self->index, self->form, true, 0, &ic_io, &state);
        if (result < 0)
            /* An open file does not become "no such file". */
            return result == -ENOENT ? -ESTALE : result;
    }
    return -EIO;
}

static void chunk_close(struct source *source)
{
    free(self_of(source));
}

static const struct source_ops ops = {
    .stat = chunk_stat,
    .readv = chunk_readv,
    .close = chunk_close,
};

int fs_chunks_open_source(struct fs_chunks *chunks, uint64_t index, enum fs_form form,
                          struct source **out)
{
    struct chunk_source *self = calloc(1, sizeof(*self));
    if (!self)
        return -ENOMEM;
    source_init(&self->source, &ops);
    self->chunks = chunks;
    self->index = index;
    self->form = form;
    *out = &self->source;
    return 0;
}
