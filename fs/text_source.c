#include "fs/text_source.h"

#include <errno.h>
#include <stdlib.h>

struct text_source {
    struct source source; /* first */
    const char *text;
    size_t len;
    int64_t mtime_ns;
};

static int text_stat(struct source *source, const struct source_io *io, struct source_stat *out)
{
    const struct text_source *self = (const struct text_source *)source;
    (void)io;
    *out = (struct source_stat){
        .size = self->len,
        .version = 1,
        .mtime_ns = self->mtime_ns,
        .preferred_io = 65536,
        .versioned = true,
        .immutable = true,
    };
    return 0;
}

static int text_readv(struct source *source, uint64_t version, uint64_t off,
                      const struct iovec *iov, int n_iov, const struct source_io *io)
{
    const struct text_source *self = (const struct text_source *)source;
    (void)version, (void)io;
    size_t len = source_iov_size(iov, n_iov);
    if (off > self->len || len > self->len - off)
        return -EIO;
    source_iov_copy(iov, n_iov, 0, self->text + off, len);
    return 0;
}

static void text_close(struct source *source)
{
    free(source);
}

static const struct source_ops ops = {
    .stat = text_stat,
    .readv = text_readv,
    .close = text_close,
};

int fs_text_source_open(struct source **out, const char *text, size_t len, int64_t mtime_ns)
{
    struct text_source *self = calloc(1, sizeof(*self));
    if (!self)
        return -ENOMEM;
    source_init(&self->source, &ops);
    self->text = text;
    self->len = len;
    self->mtime_ns = mtime_ns;
    *out = &self->source;
    return 0;
}
