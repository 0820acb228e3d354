/* A listing whose answers a test sets. The index-th file is named by its index in ten digits. Its
 * content is a function of the offset, the index and the version. */
#ifndef CANISTERFS_TESTS_FS_SCRIPTED_LISTING_H
#define CANISTERFS_TESTS_FS_SCRIPTED_LISTING_H

#include "fs/tree.h"
#include "tests/fs/scripted.h"

#define LISTED_SIZE 70001 /* bytes of a file, more by its index */

struct scripted_listing {
    _Atomic uint64_t n; /* of names; a file beyond is -ENOENT */
    int count_result;
    int open_result;
    _Atomic int stat_result;    /* of every file */
    _Atomic uint64_t n_changes; /* added to the version of every file, 1 */
    bool is_live;               /* not versioned: every stat is a new version */
    int64_t stat_ns;            /* how long a stat takes ... */
    int64_t read_ns;            /* ... and a read */
    /* Called while a stat is under way, on the next one only; may be NULL. */
    void (*on_stat)(struct scripted_listing *listing, uint64_t index);
    /* The same for open. */
    void (*on_open)(struct scripted_listing *listing, uint64_t index);

    _Atomic unsigned n_counts;
    _Atomic unsigned n_stats;
    _Atomic unsigned n_opened;
    _Atomic unsigned n_closed;
    struct scripted_gauge asking;
    struct scripted_gauge *reading; /* where reads count, with those of others; may be NULL */
};

extern const struct fs_listing_ops scripted_listing_ops; /* arg is the struct scripted_listing */

/* Sources that are open. */
unsigned scripted_listing_n_open(const struct scripted_listing *listing);

/* The byte of a file at an offset. */
unsigned char scripted_listing_byte(uint64_t index, uint64_t version, uint64_t off);

#endif
