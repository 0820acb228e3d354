#include "fs/unreadable.h"

#include <errno.h>
#include <stdlib.h>

/* --- stable_memory --- */

static int unreadable_stat(struct source *source, const struct source_io *io,
                           struct source_stat *out)
{
    (void)source, (void)io, (void)out;
    return -EIO;
}

static int unreadable_readv(struct source *source, uint64_t version, uint64_t off,
                            const struct iovec *iov, int n_iov, const struct source_io *io)
{
    (void)source, (void)version, (void)off, (void)iov, (void)n_iov, (void)io;
    return -EIO;
}

static void unreadable_close(struct source *source)
{
    free(source);
}

static const struct source_ops source_ops = {
    .stat = unreadable_stat,
    .readv = unreadable_readv,
    .close = unreadable_close,
};

/* --- backup/ --- */

static int unreadable_count(void *arg, const struct source_io *io, uint64_t *out)
{
    (void)arg, (void)io, (void)out;
    return -EIO;
}

static void unreadable_name(void *arg, uint64_t index, char *name)
{
    (void)arg, (void)index;
    *name = '\0';
}

static int unreadable_find(void *arg, const char *name, uint64_t *out)
{
    (void)arg, (void)name, (void)out;
    return -EIO;
}

static int unreadable_open(void *arg, uint64_t index, struct source **out)
{
    (void)arg, (void)index, (void)out;
    return -EIO;
}

static const struct fs_listing_ops listing_ops = {
    .count = unreadable_count,
    .name = unreadable_name,
    .find = unreadable_find,
    .open = unreadable_open,
};

int fs_unreadable_add(struct fs_tree *tree)
{
    struct source *source = calloc(1, sizeof(*source));
    if (!source)
        return -ENOMEM;
    source_init(source, &source_ops);
    int result = fs_tree_add_file(tree, NULL, "stable_memory", source, false);
    if (result == 0)
        result = fs_tree_add_listing(tree, NULL, "backup", &listing_ops, NULL);
    return result;
}
