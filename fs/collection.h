/* Named backup endpoints: methods that give items instead of bytes, recognised by name and type in
 * the canister's Candid interface.
 *
 *   ITEMS  (start, limit) -> items with their total length      backup_NAME_chunk(s)
 *   WHOLE  () -> everything                                      backup_NAME, backup
 *   INDEX  (size, index) -> a chunk, beside a count method       backupChunk, getChunkCount
 *   LAST   (id, index) -> (blob, whether it is the last)         getChunk
 *
 * Source: the published interfaces of DSCVR, power-equalizer and ZenVoich's backup.
 */
#ifndef CANISTERFS_FS_COLLECTION_H
#define CANISTERFS_FS_COLLECTION_H

#include "fs/memory.h"
#include "ic/did.h"

enum fs_collection_style {
    FS_COLLECTION_ITEMS,
    FS_COLLECTION_WHOLE,
    FS_COLLECTION_INDEX,
    FS_COLLECTION_LAST,
};

#define FS_COLLECTIONS_MAX 64

struct fs_collection {
    char name[FS_METHOD_NAME_MAX]; /* "content" of backup_content_chunks */
    char method[FS_METHOD_NAME_MAX];
    enum fs_collection_style style;
};

/* Look through a description. Returns the number found, at most max. No I/O. */
size_t fs_collection_find(const struct ic_did *did, struct fs_collection *out, size_t max)
    __attribute__((nonnull));

/* One line about how it is read, for people. */
const char *fs_collection_words(enum fs_collection_style style);

#endif
