/* Directories that people make in snapshots/: local copies of snapshots, to be uploaded.
 *
 *     DIR/lock     held by the mount that shows them: one at a time (another has -EBUSY)
 *     DIR/files/   what they made, as they made it: plain directories and files
 *     DIR/uploads  what became of it (snapshot_note.h)
 *
 * Nothing is done with them but on command. Writing, renaming and removing is that of the disk, and
 * what fsync(2) promises holds. Holes stay holes. Names, and who owns them, are the user's;
 * symbolic links, devices and the like cannot be made. While a directory is uploaded nothing in it
 * can be changed (-EBUSY).
 *
 * Every name is known from the start, which is why there may be no more than
 * FS_SNAPSHOT_STAGE_NAMES; and no path has more than FS_SNAPSHOT_STAGE_DEPTH of them
 * (-ENAMETOOLONG), so that what was made can always be found again. A directory that cannot be read
 * is shown; until it can be, what is asked of it answers as the disk does (mode 000: -EACCES).
 *
 * Locks: one, a leaf; held across calls of the disk, not across reading and writing. Thread safety:
 * every function but open and close from any thread.
 */
#ifndef CANISTERFS_FS_SNAPSHOT_STAGE_H
#define CANISTERFS_FS_SNAPSHOT_STAGE_H

#include "fs/fuse.h"
#include "fs/log.h"
#include "fs/tree.h"

#define FS_SNAPSHOT_STAGE_NAMES 65536
#define FS_SNAPSHOT_STAGE_DEPTH 16 /* of the longest names: a path of PATH_MAX bytes */

struct fs_snapshot_stage;
struct fs_snapshot_node;
struct fs_snapshot_file;

struct fs_snapshot_stage_config {
    const char *dir;    /* of this canister's, as fs_stages has it; borrowed for the call */
    struct fs_log *log; /* borrowed */
};

/* Make the directory, and find what there is, unless another mount has it: then it is looked at
 * again later. Returns 0, or -errno with a line in words. */
int fs_snapshot_stage_open(struct fs_snapshot_stage **out,
                           const struct fs_snapshot_stage_config *config, char *message,
                           size_t message_size) __attribute__((warn_unused_result, nonnull));

/* No file may be open any more. NULL is fine. */
void fs_snapshot_stage_close(struct fs_snapshot_stage *stage);

/* DIR itself, borrowed. -EBUSY while another mount has it. */
int fs_snapshot_stage_dir(struct fs_snapshot_stage *stage, int *ret_fd)
    __attribute__((warn_unused_result, nonnull));

/* --- names --- */

#define FS_SNAPSHOT_STAGE_TOP 0 /* in place of an inode number: snapshots/ */

bool fs_snapshot_stage_is_ino(fuse_ino_t ino);

/* Counts a reference of the kernel. Returns 0 or -ENOENT. */
int fs_snapshot_stage_lookup(struct fs_snapshot_stage *stage, fuse_ino_t parent, const char *name,
                             struct fuse_entry_param *out)
    __attribute__((warn_unused_result, nonnull));
void fs_snapshot_stage_forget(struct fs_snapshot_stage *stage, fuse_ino_t ino, uint64_t n_lookup)
    __attribute__((nonnull));

/* May its names be listed? Returns 0, -ESTALE, or the errno of the disk. */
int fs_snapshot_stage_opendir(struct fs_snapshot_stage *stage, fuse_ino_t ino)
    __attribute__((warn_unused_result, nonnull));

/* The first name in a directory whose inode number is above `after`. 0: no more. */
fuse_ino_t fs_snapshot_stage_next(struct fs_snapshot_stage *stage, fuse_ino_t parent,
                                  fuse_ino_t after, char name[FS_NAME_SIZE], mode_t *ret_mode)
    __attribute__((nonnull));

struct fs_snapshot_maker {
    mode_t mode;
    uid_t uid;
    gid_t gid;
};

/* Make a directory. In snapshots/ -EEXIST for what looks like the id of a snapshot. Counts
 * a reference of the kernel. Returns 0, -EBUSY, or the errno of the disk. */
int fs_snapshot_stage_mkdir(struct fs_snapshot_stage *stage, fuse_ino_t parent, const char *name,
                            const struct fs_snapshot_maker *maker, struct fuse_entry_param *out)
    __attribute__((warn_unused_result, nonnull));

/* Remove a file, or a directory. */
int fs_snapshot_stage_remove(struct fs_snapshot_stage *stage, fuse_ino_t parent, const char *name,
                             bool is_dir) __attribute__((warn_unused_result, nonnull));

/* flags  RENAME_NOREPLACE or 0. A directory in snapshots/ is renamed there only. */
int fs_snapshot_stage_rename(struct fs_snapshot_stage *stage, fuse_ino_t parent, const char *name,
                             fuse_ino_t new_parent, const char *new_name, unsigned flags)
    __attribute__((warn_unused_result, nonnull));

int fs_snapshot_stage_getattr(struct fs_snapshot_stage *stage, fuse_ino_t ino, struct stat *out)
    __attribute__((warn_unused_result, nonnull));

/* to_set  FUSE_SET_ATTR_*
 * file    as which it is open, if that is known; or NULL */
int fs_snapshot_stage_setattr(struct fs_snapshot_stage *stage, fuse_ino_t ino,
                              const struct stat *attr, int to_set,
                              const struct fs_snapshot_file *file)
    __attribute__((warn_unused_result, nonnull(1, 3)));

/* --- files --- */

/* An open file: it stays where it is until it is released. As on any disk it is of use also after
 * it was renamed or removed. */
struct fs_snapshot_file {
    struct fs_snapshot_file *prev, *next; /* of one node; guarded by the stage's lock */
    struct fs_snapshot_stage *stage;      /* immutable, as all that follows */
    struct fs_snapshot_node *node;
    int fd;
    bool can_write;
};

/* flags  of open(2) */
int fs_snapshot_stage_open_ino(struct fs_snapshot_stage *stage, fuse_ino_t ino, int flags,
                               struct fs_snapshot_file *out)
    __attribute__((warn_unused_result, nonnull));
int fs_snapshot_stage_create(struct fs_snapshot_stage *stage, fuse_ino_t parent, const char *name,
                             const struct fs_snapshot_maker *maker, int flags,
                             struct fuse_entry_param *entry, struct fs_snapshot_file *out)
    __attribute__((warn_unused_result, nonnull));
void fs_snapshot_stage_release(struct fs_snapshot_file *file) __attribute__((nonnull));

/* As pread(2) and pwrite(2), whole but for the end of the file. Return the number of bytes, or
 * -errno: -EFBIG beyond what a snapshot can hold. */
ssize_t fs_snapshot_stage_read(const struct fs_snapshot_file *file, void *buf, size_t len,
                               uint64_t off) __attribute__((warn_unused_result, nonnull));
ssize_t fs_snapshot_stage_write(const struct fs_snapshot_file *file, const void *buf, size_t len,
                                uint64_t off) __attribute__((warn_unused_result, nonnull));
int fs_snapshot_stage_fallocate(const struct fs_snapshot_file *file, int mode, uint64_t off,
                                uint64_t len) __attribute__((warn_unused_result, nonnull));

/* On the disk, with its name; the names in a directory, and its own. */
int fs_snapshot_stage_sync_dir(struct fs_snapshot_stage *stage, fuse_ino_t ino)
    __attribute__((warn_unused_result, nonnull));
int fs_snapshot_stage_sync(const struct fs_snapshot_file *file)
    __attribute__((warn_unused_result, nonnull));

/* --- for an upload --- */

/* From here on nothing in a directory of snapshots/ changes.
 *
 * ret_fd  the directory; to be closed
 *
 * Returns 0; -ENOENT; -EBUSY (a file in it is open for writing, or it is held already, or another
 * mount has it). */
int fs_snapshot_stage_hold(struct fs_snapshot_stage *stage, const char *name, int *ret_fd)
    __attribute__((warn_unused_result, nonnull));
void fs_snapshot_stage_let_go(struct fs_snapshot_stage *stage, const char *name)
    __attribute__((nonnull));

#endif
