/* The collections of a canister in the tree: backup/ and inspect/.
 *
 *     backup/NAME/      the files of a collection (fs/chunks.h)
 *     backup/candid.did the interface that names their types, when it is known
 *     inspect/NAME/     each of these files, but raw bytes, as JSON and as Candid text
 */
#ifndef CANISTERFS_FS_BACKUP_H
#define CANISTERFS_FS_BACKUP_H

#include "fs/chunks.h"
#include "fs/discovery.h"
#include "fs/tree.h"

struct fs_backup;

struct fs_backup_config {
    const struct fs_target *target; /* borrowed, as all that follows */
    const struct fs_discovery *discovery;
    const struct fs_options *options;
    size_t memory; /* bytes of files to keep in memory */
    /* See struct fs_chunks_shared. */
    struct fs_lease *lease;
    unsigned (*max_inflight)(void *arg);
    void (*listed)(void *arg, const struct source_io *io);
    void *arg;
};

/* Set up what the collections share and start threads. Nothing is called.
 *
 * Returns 0, or -errno with a line in words: cache_dir cannot be used, out of memory. */
int fs_backup_open(struct fs_backup **out, const struct fs_backup_config *config, char *message,
                   size_t message_size) __attribute__((warn_unused_result, nonnull));

/* Add the directories. Returns 0 or -ENOMEM. The tree must be freed before fs_backup_close. */
int fs_backup_add(struct fs_backup *backup, struct fs_tree *tree)
    __attribute__((warn_unused_result, nonnull));

/* End what is fetched ahead. Idempotent. NULL is fine. */
void fs_backup_stop(struct fs_backup *backup);
void fs_backup_close(struct fs_backup *backup);

/* The canister may hold something else from now on: all is asked for anew. NULL is fine. */
void fs_backup_outdate(struct fs_backup *backup);

/* For reports: the i-th collection of the discovery. */
struct fs_chunks *fs_backup_find(struct fs_backup *backup, size_t i);
void fs_backup_store_stats(struct fs_backup *backup, struct store_stats *out);

#endif
