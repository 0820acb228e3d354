/* A directory that is to be uploaded as a snapshot: whether it is one, and the pieces it is sent
 * in.
 *
 * Before a call is made all that can be told here is: metadata.json is understood
 * (snapshot_metadata.h), every file has the size that it says, a chunk of the store has the hash
 * that is its name, the module begins like one. Other names are no part of it, and are reported.
 *
 * Pieces are numbered through all files. A piece that is a hole is not sent: what nobody writes is
 * zero.
 */
#ifndef CANISTERFS_FS_SNAPSHOT_PLAN_H
#define CANISTERFS_FS_SNAPSHOT_PLAN_H

#include "fs/log.h"
#include "fs/snapshot_metadata.h"

#include <time.h>

#define FS_SNAPSHOT_N_BLOBS 3

struct fs_snapshot_plan_file {
    int fd;
    uint64_t size;
    uint64_t first;          /* number of its first piece */
    struct timespec changed; /* st_ctim when it was looked at */
};

struct fs_snapshot_plan {
    struct ic_snapshot_metadata metadata;
    struct fs_snapshot_plan_file *files; /* the blobs, as enum ic_snapshot_blob, then the chunks */
    size_t n_files;
    uint64_t n_pieces;
    uint64_t n_bytes;               /* in pieces that are not holes */
    uint8_t content[IC_SHA256_LEN]; /* changes when a file does: hash of metadata.json, and of
                                       inode, size and time of the others */
};

struct fs_snapshot_piece {
    size_t file;
    uint64_t off;
    size_t len;
};

/* Look at a directory. Reads the chunks of the store, but not the blobs.
 *
 * name  for messages
 *
 * Returns 0; -EINVAL with err filled: what is wrong with it; -ENOMEM; the errno of the disk. */
int fs_snapshot_plan_open(struct fs_snapshot_plan *out, int dir_fd, const char *name,
                          struct fs_log *log, struct ic_error *err)
    __attribute__((warn_unused_result, nonnull));

/* A zeroed one is fine. */
void fs_snapshot_plan_close(struct fs_snapshot_plan *plan) __attribute__((nonnull));

/* The first piece from a number on that is not a hole. False: there is none. One thread at a time.
 */
bool fs_snapshot_plan_next(const struct fs_snapshot_plan *plan, uint64_t from, uint64_t *ret_number)
    __attribute__((warn_unused_result, nonnull));

struct fs_snapshot_piece fs_snapshot_plan_piece(const struct fs_snapshot_plan *plan,
                                                uint64_t number) __attribute__((nonnull));

/* Which file it is of, for people. Static. */
const char *fs_snapshot_plan_name(const struct fs_snapshot_piece *piece)
    __attribute__((nonnull, returns_nonnull));

/* Bytes of a piece, from one on. Returns 0, or -errno with err filled. */
int fs_snapshot_plan_read(const struct fs_snapshot_plan *plan,
                          const struct fs_snapshot_piece *piece, size_t off, uint8_t *buf,
                          size_t len, struct ic_error *err)
    __attribute__((warn_unused_result, nonnull));

/* Are the files still those that were looked at? Else what was read of them belongs to no one
 * moment. Returns 0; -EINVAL with err filled; the errno of the disk. */
int fs_snapshot_plan_check(const struct fs_snapshot_plan *plan, struct ic_error *err)
    __attribute__((warn_unused_result, nonnull));

#endif
