/* The snapshots of the canister as directories, in the layout that `icp canister snapshot download`
 * writes:
 *
 *     snapshots/<id in hex>/metadata.json
 *                           wasm_module.bin   wasm_memory.bin      not there when they are empty
 *                           stable_memory.bin
 *                           wasm_chunk_store/<SHA-256 in hex>.bin
 *                           vmem/<number>
 *
 * vmem/ (vmem.h) is there when it is looked up, but not listed: a copy of the directory is what icp
 * makes.
 *
 * Listing and reading are update calls, which the canister pays for, so nothing is asked before
 * somebody looks: for the list when snapshots/ is opened or something in it looked up (good for
 * FS_SNAPSHOTS_LISTED_NS), for the metadata when a snapshot is opened, for bytes when they are
 * read. Of one that is looked up before there is a list the metadata are asked for beside it. What
 * was learned of a snapshot is kept for good, as snapshots do not change.
 *
 * Whoever read metadata.json and then begins with a part copies the directory: the next parts are
 * fetched meanwhile. So are the next files of a chunk store when they are asked for in order.
 *
 * A snapshot that was deleted is not there at the next listing. What is open of it is read on as
 * far as it is cached, beyond that -ESTALE.
 *
 * Where the identity may not list snapshots opening the directory is -EACCES: it never looks empty.
 *
 * Thread safety: every function but open and close may be called from any thread.
 */
#ifndef CANISTERFS_FS_SNAPSHOTS_H
#define CANISTERFS_FS_SNAPSHOTS_H

#include "cache/cache.h"
#include "fs/target.h"
#include "fs/tree.h"
#include "ic/snapshot.h"

struct fs_snapshots;

#define FS_SNAPSHOTS_LISTED_NS INT64_C(60000000000)

/* Blocks of the cache that one call brings: as many as fit the slice that the network allows. */
#define FS_SNAPSHOTS_SLICE                                                                         \
    (IC_SNAPSHOT_SLICE_MAX / CACHE_BLOCK_SIZE * CACHE_BLOCK_SIZE) /* bytes                         \
                                                                   */

/* Calls that read one file ahead at once, at most: as many as updates may run (agent.h). */
#define FS_SNAPSHOTS_INFLIGHT 64

/* Is there to be such a directory? Not with -o nosnapshots, nor for an anonymous caller, whom
 * hardly a canister lets list: a copy of the whole mount would always fail at it. */
bool fs_snapshots_is_wanted(const struct fs_target *target) __attribute__((nonnull));

struct fs_snapshots_config {
    const struct fs_target *target; /* borrowed */
    struct cache *cache;            /* borrowed */
};

/* Starts a thread. Returns 0 or -errno. No I/O. */
int fs_snapshots_open(struct fs_snapshots **out, const struct fs_snapshots_config *config)
    __attribute__((warn_unused_result, nonnull));

/* The tree must be gone, the cache must not be. NULL is fine. */
void fs_snapshots_close(struct fs_snapshots *snapshots);

/* Building: add the directory. It lasts as long as the tree. Returns 0 or -ENOMEM. */
int fs_snapshots_add(struct fs_snapshots *snapshots, struct fs_tree *tree)
    __attribute__((warn_unused_result, nonnull));

/* There may be others now: the list is asked for anew when somebody looks. NULL is fine. */
void fs_snapshots_outdate(struct fs_snapshots *snapshots);

/* For people. */
struct fs_snapshots_info {
    bool is_listed;    /* the list was had */
    size_t n;          /* snapshots in it */
    char problem[300]; /* why it was not, the last time; "" */
};

void fs_snapshots_describe(struct fs_snapshots *snapshots, struct fs_snapshots_info *out)
    __attribute__((nonnull));

#endif
