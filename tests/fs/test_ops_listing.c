/* A directory whose names change, as the kernel sees it: read piece by piece, its files looked up,
 * opened, released and forgotten in any order. */
#include "tests/fs/kernel.h"
#include "tests/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>

TAP_STATE;

#define DOTS 2 /* "." and ".." */

static uint64_t open_dir(struct kernel *k, uint64_t dir, struct reply *reply)
{
    const struct fuse_open_in in = {0};
    kernel_ask(k, FUSE_OPENDIR, dir, &in, sizeof(in), reply);
    const struct fuse_open_out *out = (const void *)reply->body;
    return reply->header.error == 0 ? out->fh : 0;
}

static void release_dir(struct kernel *k, uint64_t dir, uint64_t fh, struct reply *reply)
{
    const struct fuse_release_in in = {.fh = fh};
    kernel_ask(k, FUSE_RELEASEDIR, dir, &in, sizeof(in), reply);
}

/* What a reader of a directory has met, and where seekdir(3) would lead. */
struct met {
    unsigned n_seen[KERNEL_N_LISTED + DOTS];
    uint64_t cookie[KERNEL_N_LISTED + DOTS]; /* behind the name */
    unsigned n_names;
    unsigned n_wrong;
    unsigned n_pieces;
    uint64_t last; /* cookie */
};

static unsigned position_of(const struct fuse_dirent *d)
{
    if (d->namelen <= DOTS)
        return d->namelen - 1;
    char name[FS_NAME_SIZE] = {0};
    memcpy(name, d->name, d->namelen < FS_NAME_SIZE ? d->namelen : FS_NAME_SIZE - 1);
    uint64_t index;
    if (scripted_listing_ops.find(NULL, name, &index) < 0 || index >= KERNEL_N_LISTED)
        return UINT32_MAX;
    return (unsigned)index + DOTS;
}

/* One READDIR; false at the end. */
static bool read_piece(struct kernel *k, uint64_t dir, uint64_t fh, uint64_t off, uint32_t size,
                       struct met *met, struct reply *reply)
{
    const struct fuse_read_in in = {.fh = fh, .offset = off, .size = size};
    size_t n = kernel_ask(k, FUSE_READDIR, dir, &in, sizeof(in), reply);
    met->n_wrong += reply->header.error != 0 || n > size;
    met->n_pieces++;
    size_t pos = 0;
    while (pos + FUSE_NAME_OFFSET < n) {
        const struct fuse_dirent *d = (const void *)(reply->body + pos);
        unsigned at = position_of(d);
        met->n_wrong += at == UINT32_MAX || d->type != (at < DOTS ? 4 : 8) || d->ino == 0;
        if (at != UINT32_MAX) {
            met->n_seen[at]++;
            met->cookie[at] = d->off;
        }
        met->n_names++;
        met->last = d->off;
        pos += FUSE_DIRENT_SIZE(d);
    }
    met->n_wrong += pos != n;
    return n > 0;
}

static void read_from(struct kernel *k, uint64_t dir, uint64_t fh, uint64_t off, uint32_t size,
                      struct met *met, struct reply *reply)
{
    memset(met, 0, sizeof(*met));
    met->last = off;
    while (met->n_wrong == 0 && read_piece(k, dir, fh, met->last, size, met, reply))
        ;
}

/* Every name from position `first` on exactly once, nothing before it. */
static bool is_whole(const struct met *met, unsigned first)
{
    for (unsigned i = 0; i < KERNEL_N_LISTED + DOTS; i++)
        if (met->n_seen[i] != (i >= first))
            return false;
    return met->n_wrong == 0;
}

static void test_reading(struct kernel *k, uint64_t dir, struct reply *reply)
{
    struct met *met = malloc(sizeof(*met));
    struct met *rest = malloc(sizeof(*rest));
    uint64_t fh = open_dir(k, dir, reply);
    TAP_INT(reply->header.error, 0, "the directory is opened");
    TAP_INT(k->listing.n_counts, 1, "its names are counted");
    static const uint32_t sizes[] = {4096, 40, 1000, 131072};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        read_from(k, dir, fh, 0, sizes[i], met, reply);
        TAP_OK(is_whole(met, 0) && met->n_pieces > 2, "read in pieces: every name exactly once");
    }
    static const unsigned from[] = {0, 1, 2, 3, 4711, KERNEL_N_LISTED + DOTS - 1};
    for (size_t i = 0; i < sizeof(from) / sizeof(from[0]); i++) {
        read_from(k, dir, fh, met->cookie[from[i]], 4096, rest, reply);
        TAP_OK(is_whole(rest, from[i] + 1), "from where telldir(3) was: the rest, exactly once");
    }
    k->listing.n = 3;
    read_from(k, dir, fh, 0, 4096, met, reply);
    TAP_OK(is_whole(met, 0), "an open directory is read as it was");
    uint64_t fh2 = open_dir(k, dir, reply);
    read_from(k, dir, fh2, 0, 4096, met, reply);
    TAP_INT(met->n_names, 3 + DOTS, "opened anew, as it is");
    TAP_INT(k->listing.n_counts, 2, "counted once per open");
    TAP_OK(k->listing.n_stats == 0 && k->listing.n_opened == 0, "no file is asked for");
    release_dir(k, dir, fh, reply);
    TAP_INT(reply->header.error, 0, "closed");
    release_dir(k, dir, fh2, reply);
    k->listing.n = 0;
    fh = open_dir(k, dir, reply);
    read_from(k, dir, fh, 0, 4096, met, reply);
    TAP_INT(met->n_names, DOTS, "an empty directory");
    k->listing.n = KERNEL_N_LISTED;
    static const int errors[] = {-EACCES, -ETIMEDOUT, -EHOSTUNREACH, -ENOENT};
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        k->listing.count_result = errors[i];
        open_dir(k, dir, reply);
        TAP_INT(reply->header.error, errors[i], "why it cannot be listed is what opendir(3) says");
    }
    k->listing.count_result = 0;
    free(met);
    free(rest);
}

static bool is_content(const struct reply *reply, size_t len, uint64_t index, uint64_t version)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)reply->body[i] != scripted_listing_byte(index, version, i))
            return false;
    return true;
}

static void test_files(struct kernel *k, uint64_t dir, struct reply *reply)
{
    uint64_t node = kernel_lookup_in(k, dir, "0000000042", reply);
    const struct fuse_entry_out *entry = (const void *)reply->body;
    TAP_OK(node != 0 && entry->attr.size == LISTED_SIZE + 42 && entry->attr.ino == node,
           "a file is looked up");
    uint64_t fh = kernel_open(k, node, O_RDONLY, reply);
    const struct fuse_open_out *out = (const void *)reply->body;
    TAP_INT(out->open_flags & (FOPEN_KEEP_CACHE | FOPEN_DIRECT_IO), FOPEN_KEEP_CACHE,
            "the kernel keeps its pages");
    size_t n = kernel_read(k, node, fh, 0, 131072, reply);
    TAP_OK(n == LISTED_SIZE + 42 && is_content(reply, n, 42, 1), "it is read to its end");
    kernel_forget(k, node, 1);
    n = kernel_read(k, node, fh, 0, 1000, reply);
    TAP_OK(n == 1000 && is_content(reply, n, 42, 1), "also when the inode is forgotten before");
    TAP_INT(scripted_listing_n_open(&k->listing), 1, "its source is open");
    kernel_release(k, node, fh, reply);
    TAP_INT(reply->header.error, 0, "released");
    TAP_INT(scripted_listing_n_open(&k->listing), 0, "it is closed");
    TAP_OK(kernel_lookup_in(k, dir, "0000000042", reply) == node, "it has its number again");
    kernel_open(k, node, O_WRONLY, reply);
    TAP_INT(reply->header.error, -EROFS, "it cannot be written to");

    static const char *const names[] = {"0000010000", "42", "candid.did", "0000000042.candid"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        kernel_lookup_in(k, dir, names[i], reply);
        TAP_INT(reply->header.error, -ENOENT, "a name that is not there");
    }
    k->listing.stat_result = -EBADMSG;
    kernel_lookup_in(k, dir, "0000000043", reply);
    TAP_INT(reply->header.error, -EBADMSG, "what went wrong is what stat(2) says");
    k->listing.stat_result = 0;

    k->listing.n_changes = 1;
    const struct timespec pause = {.tv_nsec = 100000000};
    nanosleep(&pause, NULL);
    kernel_open(k, node, O_RDONLY, reply);
    TAP_INT(reply->header.error, -ESTALE, "a file that has changed is not opened");
    uint64_t now = kernel_lookup_in(k, dir, "0000000042", reply);
    TAP_OK(now != 0 && now != node, "but found anew");
    fh = kernel_open(k, now, O_RDONLY, reply);
    n = kernel_read(k, now, fh, 0, 131072, reply);
    TAP_OK(n == LISTED_SIZE + 42 && is_content(reply, n, 42, 2), "with its new content");
    TAP_INT(scripted_listing_n_open(&k->listing), 1, "by the same source");
    /* Left open: no RELEASE comes when a signal ends the mount. */
}

int main(void)
{
    struct kernel k;
    struct reply *reply = malloc(sizeof(*reply));
    kernel_start(&k, 1); /* one thread: a FORGET is done before what is asked next */
    uint64_t dir = kernel_lookup(&k, KERNEL_LISTING, reply);
    TAP_OK(dir != 0, "the directory is looked up");
    test_reading(&k, dir, reply);
    test_files(&k, dir, reply);
    kernel_stop(&k);
    TAP_INT(scripted_listing_n_open(&k.listing), 0, "the end closes what was left open");
    free(reply);
    return tap_done();
}
