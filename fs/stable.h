/* The memory of a canister as a source.
 *
 * Versions: with a version method each (version, size) the canister ever gave keeps one serial, so
 * that an answer from a node that lags behind does not look like new content. Without it every stat
 * is a new serial: the memory is live, and nothing can tell whether two reads belong together.
 *
 * A memory that was empty when its id was found is no file (-ENOENT) until it holds something; then
 * it stays one.
 *
 * Consistency: with read_at every reply proves its version. With a version method alone it is
 * best effort: the version is asked for again during reading, at most once a second.
 */
#ifndef CANISTERFS_FS_STABLE_H
#define CANISTERFS_FS_STABLE_H

#include "cache/source.h"
#include "fs/memory.h"
#include "fs/target.h"

struct fs_stable;

enum fs_consistency {
    FS_CONSISTENCY_PROVEN,      /* each read proves its version */
    FS_CONSISTENCY_BEST_EFFORT, /* the version is checked now and then */
    FS_CONSISTENCY_LIVE,        /* no version at all */
};

/* Instructions that calls took, where the canister tells (its performance counter). */
struct fs_stable_cost {
    uint64_t n_calls; /* that told */
    uint64_t sum;
    uint64_t most; /* of one call */
};

struct fs_stable_info {
    enum fs_consistency consistency;
    bool is_there;      /* as a file */
    bool is_known;      /* size and version were told */
    uint64_t size;      /* bytes, as last told */
    uint64_t version;   /* the canister's own number; 0 when live */
    size_t reply_bytes; /* learned: bytes one reply carries now */
    uint64_t n_shrunk;  /* times it was halved */
    struct fs_stable_cost cost;
};

/* Make the source.
 *
 * out        fills: owned by the caller, closes ret_stable with it
 * ret_stable fills: the same object for fs_stable_describe
 * target     borrowed until the source is closed
 * memory     copied
 *
 * Returns 0 or -ENOMEM. No I/O. */
int fs_stable_open(struct source **out, struct fs_stable **ret_stable,
                   const struct fs_target *target, const struct fs_memory *memory)
    __attribute__((warn_unused_result, nonnull));

/* The canister's own number of a serial; 0: it has none, or the serial is too old. Any thread. */
uint64_t fs_stable_number(struct fs_stable *stable, uint64_t serial) __attribute__((nonnull));

/* Any thread, any time before the source is closed. */
void fs_stable_describe(struct fs_stable *stable, struct fs_stable_info *out);

#endif
