/* Shared by the files of snapshot_stage. Private to fs/snapshot_stage*.c. */
#ifndef CANISTERFS_FS_SNAPSHOT_STAGE_IMPL_H
#define CANISTERFS_FS_SNAPSHOT_STAGE_IMPL_H

#include "fs/snapshot_stage.h"

#include <limits.h>
#include <pthread.h>

#define HASH_FUNCTION(key, len, out) ((out) = (unsigned)*(const uint64_t *)(key))
#define HASH_NONFATAL_OOM            1
#include <uthash.h>

/* A name. Those that were removed are kept for as long as somebody uses them. Guarded by the lock,
 * but for what is said to be immutable. */
struct fs_snapshot_node {
    UT_hash_handle hh;
    uint64_t ino;                         /* immutable */
    bool is_dir;                          /* immutable */
    struct fs_snapshot_node *parent;      /* NULL: of what was removed, and of the top */
    struct fs_snapshot_node *children;    /* by number */
    struct fs_snapshot_node *prev, *next; /* among them */
    char *name;
    uint64_t n_lookup;
    struct fs_snapshot_file *files; /* as which it is open */
    unsigned n_writers;             /* files that are open for writing, in all of it */
    bool is_held;                   /* in snapshots/: nothing in it may change */
    bool is_unread; /* a directory that could not be read: what is in it is not known */
};

struct fs_snapshot_stage {
    struct fs_log *log; /* immutable, as is dir_fd */
    int dir_fd;

    pthread_mutex_t lock;
    int lock_fd; /* guarded by lock, as all that follows; -1: another mount has it */
    int files_fd;
    struct fs_snapshot_node *nodes; /* by number */
    struct fs_snapshot_node top;
    uint64_t last_ino;
};

/* --- snapshot_stage.c --- */

/* Have the directory for this mount, if nobody else does. Returns 0 or -EBUSY. */
int snapshot_stage_take_locked(struct fs_snapshot_stage *stage);

/* The node of a number, or of snapshots/; NULL: there is none. */
struct fs_snapshot_node *snapshot_stage_at_locked(struct fs_snapshot_stage *stage, fuse_ino_t ino);
struct fs_snapshot_node *snapshot_stage_child_locked(const struct fs_snapshot_node *dir,
                                                     const char *name);

/* A new name, which is there on the disk. NULL: out of memory. */
struct fs_snapshot_node *snapshot_stage_add_locked(struct fs_snapshot_stage *stage,
                                                   struct fs_snapshot_node *dir, const char *name,
                                                   bool is_dir);

/* Free it, if it was removed and nobody uses it. */
void snapshot_stage_settle_locked(struct fs_snapshot_stage *stage, struct fs_snapshot_node *node);

/* The path below files/; "." for that itself. What was removed and is open has one that leads to
 * it, and that is absolute. Returns 0, -ENAMETOOLONG, -ENOENT (removed). */
int snapshot_stage_path_locked(const struct fs_snapshot_node *node, char path[PATH_MAX]);

/* The flag of openat(2) and the like that keeps them from following a symbolic link, where that is
 * not how the path leads to it. */
int snapshot_stage_nofollow(const char *path, int flag);

/* Names in its path. */
unsigned snapshot_stage_depth(const struct fs_snapshot_node *node);

/* What is in a directory is known from here on. Returns 0, or why it cannot be read. */
int snapshot_stage_learn_locked(struct fs_snapshot_stage *stage, struct fs_snapshot_node *dir);

/* May something in it be changed? Returns 0 or -EBUSY. */
int snapshot_stage_check_locked(const struct fs_snapshot_node *node);

/* What the kernel is told of a node. */
int snapshot_stage_stat_locked(struct fs_snapshot_stage *stage, const struct fs_snapshot_node *node,
                               struct stat *out);
int snapshot_stage_entry_locked(struct fs_snapshot_stage *stage, struct fs_snapshot_node *node,
                                struct fuse_entry_param *out);

/* Where a new name is to be: its directory, and its path. Returns 0 or -errno. */
int snapshot_stage_place_locked(struct fs_snapshot_stage *stage, fuse_ino_t parent,
                                const char *name, struct fs_snapshot_node **ret_dir,
                                char path[PATH_MAX]);

/* New files belong to who made them, as far as that is ours to say, and have the mode they want. */
void snapshot_stage_give(int fd, const char *path, const struct fs_snapshot_maker *maker);

#endif
