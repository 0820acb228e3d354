#include "tests/fs/scripted_listing.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct listed {
    struct source source; /* first */
    struct scripted_listing *listing;
    uint64_t index;
    _Atomic uint64_t n_live; /* versions of a live file */
};

unsigned char scripted_listing_byte(uint64_t index, uint64_t version, uint64_t off)
{
    return scripted_byte(version + 17 * index, off);
}

unsigned scripted_listing_n_open(const struct scripted_listing *listing)
{
    unsigned n_closed = listing->n_closed; /* first: it only grows up to the other */
    return listing->n_opened - n_closed;
}

static int listed_stat(struct source *source, const struct source_io *io, struct source_stat *out)
{
    struct listed *self = (struct listed *)source;
    struct scripted_listing *listing = self->listing;
    listing->n_stats++;
    scripted_gauge_enter(&listing->asking);
    *out = (struct source_stat){
        .size = LISTED_SIZE + self->index % 1000,
        .version = 1 + listing->n_changes,
        .mtime_ns = 1700000000123456789,
        .versioned = !listing->is_live,
    };
    if (listing->is_live)
        out->version += ++self->n_live;
    void (*on_stat)(struct scripted_listing *, uint64_t) = listing->on_stat;
    if (on_stat) {
        listing->on_stat = NULL;
        on_stat(listing, self->index);
    }
    int result = listing->stat_ns > 0 ? scripted_wait(listing->stat_ns, io) : 0;
    if (result == 0)
        result = self->index < listing->n ? listing->stat_result : -ENOENT;
    scripted_gauge_leave(&listing->asking);
    return result;
}

static int listed_readv(struct source *source, uint64_t version, uint64_t off,
                        const struct iovec *iov, int n_iov, const struct source_io *io)
{
    const struct listed *self = (const struct listed *)source;
    const struct scripted_listing *listing = self->listing;
    if (listing->reading)
        scripted_gauge_enter(listing->reading);
    int result = listing->read_ns > 0 ? scripted_wait(listing->read_ns, io) : 0;
    if (listing->reading)
        scripted_gauge_leave(listing->reading);
    if (result < 0)
        return result;
    for (int i = 0; i < n_iov; i++) {
        unsigned char *to = iov[i].iov_base;
        for (size_t j = 0; j < iov[i].iov_len; j++)
            to[j] = scripted_listing_byte(self->index, version, off++);
    }
    return 0;
}

static void listed_close(struct source *source)
{
    struct listed *self = (struct listed *)source;
    self->listing->n_closed++;
    free(self);
}

static const struct source_ops listed_ops = {
    .stat = listed_stat,
    .readv = listed_readv,
    .close = listed_close,
};

static int listing_count(void *arg, const struct source_io *io, uint64_t *out)
{
    (void)io;
    struct scripted_listing *self = arg;
    self->n_counts++;
    if (self->count_result == 0)
        *out = self->n;
    return self->count_result;
}

static void listing_name(void *arg, uint64_t index, char *name)
{
    (void)arg;
    snprintf(name, FS_NAME_SIZE, "%010" PRIu64, index);
}

static int listing_find(void *arg, const char *name, uint64_t *out)
{
    char same[FS_NAME_SIZE];
    uint64_t index = strtoull(name, NULL, 10);
    listing_name(arg, index, same);
    if (strcmp(name, same) != 0)
        return -ENOENT;
    *out = index;
    return 0;
}

static int listing_open(void *arg, uint64_t index, struct source **out)
{
    struct scripted_listing *self = arg;
    void (*on_open)(struct scripted_listing *, uint64_t) = self->on_open;
    if (on_open) {
        self->on_open = NULL;
        on_open(self, index);
    }
    if (self->open_result < 0)
        return self->open_result;
    struct listed *listed = calloc(1, sizeof(*listed));
    if (!listed)
        return -ENOMEM;
    source_init(&listed->source, &listed_ops);
    listed->listing = self;
    listed->index = index;
    self->n_opened++;
    *out = &listed->source;
    return 0;
}

const struct fs_listing_ops scripted_listing_ops = {
    .count = listing_count,
    .name = listing_name,
    .find = listing_find,
    .open = listing_open,
};
