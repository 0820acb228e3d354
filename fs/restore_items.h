/* Restoring collections: the restorer of their files (fs/restore.h).
 *
 * A file is one Candid message of what the backup method gives, or bytes. It goes to the
 * collection's restore partner (fs/restore_partner.h) in as few calls as the canister's limits
 * allow: halved when a call is too large or fails because of its items' number, which is
 * remembered for the other files (fs/item_limit.h). One call comes after the other, for a method
 * that appends would else have the items in another order; several are under way at once where a
 * map says that the order is free.
 *
 * Before the first call all of it is checked: it decodes to its last byte, its type is the backup
 * method's, the partner takes all of it, no item is larger than a call can be. Else -EINVAL or
 * -EFBIG, and nothing was sent.
 *
 * What the canister gives for the file already, byte for byte, asked for at that moment, is not
 * sent (unless the user insists: run->force), for rsync writes files that are the same, too.
 *
 * Nobody promises that a restore method may get the same items twice. So before each call its
 * request id and items are noted in the stage, after it what became of it, and a repeat leaves out
 * the items that the canister certainly has. When the outcome of a call is not known,
 * its certified status is asked for, then and at each repeat; it is made anew only when it is
 * certified that it did not run, or when the user says so (run->force). What was replied counts,
 * too: a variant err or Err and false are failures.
 *
 * Afterwards the collection holds something else, also when a commit fails half-way: whoever
 * commits calls fs_chunks_outdate.
 *
 * Thread safety: restorers of one collection may commit at once, each by itself one commit at a
 * time.
 */
#ifndef CANISTERFS_FS_RESTORE_ITEMS_H
#define CANISTERFS_FS_RESTORE_ITEMS_H

#include "fs/collection.h"
#include "fs/restore.h"
#include "fs/target.h"
#include "ic/sha.h"

/* A call's argument at most: an ingress message of 2 MiB (IC interface spec, limits) less what its
 * envelope may take, with delegations. */
#define FS_RESTORE_CALL_MAX ((size_t)31 << 16)

/* The longest file: as long as fs/chunks.c makes one. */
#define FS_RESTORE_FILE_MAX ((size_t)64 << 20)

/* What the restorers of one collection share: what a call can carry. */
struct fs_restore_items;

struct fs_restore_items_config {
    const struct fs_target *target;         /* borrowed, as all that follows */
    const struct fs_collection *collection; /* has a restore partner */
    unsigned n_inflight;                    /* calls at once where the order is free; >= 1 */
    /* SHA-256 of what the canister gives for a file now, as one node tells, or the whole subnet.
     * Returns 0 or -errno. Blocks. */
    int (*get_hash)(void *arg, uint64_t index, bool is_certified, const struct source_io *io,
                    uint8_t out[IC_SHA256_LEN]);
    void *arg;
};

/* Returns 0 or -errno. */
int fs_restore_items_new(struct fs_restore_items **out,
                         const struct fs_restore_items_config *config)
    __attribute__((warn_unused_result, nonnull));

/* Its restorers must have been closed. NULL is fine. */
void fs_restore_items_free(struct fs_restore_items *items);

/* The restorer of a file. No I/O. Returns 0 or -ENOMEM. */
int fs_restore_items_open_file(struct fs_restore_items *items, uint64_t index,
                               struct fs_restorer **out)
    __attribute__((warn_unused_result, nonnull));

#endif
