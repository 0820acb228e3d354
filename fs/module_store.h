/* Code that is too large for one message, put into the canister's chunk store first.
 *
 * Chunks that are there already are not sent again, and what is there that is not ours is never
 * removed: the store is cleared, as a whole, which is all that the network offers, only if it was
 * empty before, and holds nothing else when we are done.
 *
 * Source: IC interface spec, upload_chunk, stored_chunks, clear_chunk_store.
 */
#ifndef CANISTERFS_FS_MODULE_STORE_H
#define CANISTERFS_FS_MODULE_STORE_H

#include "fs/change.h"
#include "fs/job.h"
#include "ic/sha.h"

#define FS_MODULE_CHUNK_SIZE ((size_t)1 << 20) /* bytes; the last one is shorter */
#define FS_MODULE_CHUNKS_MAX 100

struct fs_module_chunks {
    uint8_t hashes[FS_MODULE_CHUNKS_MAX][IC_SHA256_LEN]; /* in order */
    size_t n;
    bool was_empty; /* the store was, before */
};

/* Upload what is missing of a module. The canister may run.
 *
 * len  at most FS_MODULE_CHUNKS_MAX chunks
 * out  fills
 *
 * Returns 0, or -errno with err filled: as fs_change_make. */
int fs_module_store(const struct fs_target *target, struct fs_job *job, const uint8_t *bytes,
                    size_t len, struct fs_module_chunks *out, struct ic_error *err)
    __attribute__((warn_unused_result, nonnull));

/* Remove it again, if nothing else is in the store, nor was before. What does not work is logged:
 * nothing depends on it. Says in words, "" for nothing, what is left there. */
void fs_module_store_clear(const struct fs_target *target, struct fs_job *job,
                           const struct fs_module_chunks *chunks, char *words, size_t words_size)
    __attribute__((nonnull));

#endif
