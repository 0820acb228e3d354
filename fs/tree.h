/* Names and inodes.
 *
 * An *entry* is a name in a directory. Entries are added before the mount serves and stay; only
 * what is in a directory with a *listing* comes and goes, files and further such directories: their
 * entries are made when they are looked up and end when nobody knows them any more. A *node* is an
 * inode: an entry at one version of its content. The kernel shares cached pages between all handles
 * of an inode, so a versioned file gets a new node whenever its version moves; the old one keeps
 * its attributes until the kernel forgets it, and opening it answers ESTALE, on which the kernel
 * looks the name up again (fuse-practice.md, M29).
 *
 * Thread safety: once the last entry is added every function may be called from any thread.
 * Locks: the tree lock guards nodes, listed entries and the remembered attributes; it is never held
 * across a call of a source or of a listing.
 */
#ifndef CANISTERFS_FS_TREE_H
#define CANISTERFS_FS_TREE_H

#include "cache/source.h"
#include "fs/fuse.h"
#include "fs/restore.h"

#include <stdbool.h>
#include <stdint.h>

enum fs_entry_kind {
    FS_ENTRY_DIR,
    FS_ENTRY_FILE,      /* bytes come from a source */
    FS_ENTRY_GENERATED, /* text rendered at open, direct I/O, size not known before */
};

struct fs_tree;
struct fs_entry;

/* Render a generated file: a malloc'ed text (the caller frees) and its length, or -errno. */
typedef int (*fs_render_fn)(void *arg, char **out, size_t *out_len);

/* Take what one write(2) brought to a generated file, wherever it was written to. Returns 0 or
 * -errno. */
typedef int (*fs_write_fn)(void *arg, const char *text, size_t len);

#define FS_NAME_SIZE 256 /* bytes of the longest name, with its NUL; statfs says so, too */

/* A directory whose names change: files, and directories, by index, 0 to count - 1. Every function
 * is called with no lock held and by any number of threads at once. */
struct fs_listing_ops {
    /* The number of names now: asked when the directory is opened for reading, before any name.
     * Returns 0 or -errno, which is what opendir(3) comes to. May block on the network. */
    int (*count)(void *arg, const struct source_io *io, uint64_t *out);

    /* The index-th name, with its NUL, into name[FS_NAME_SIZE]: always the same, also beyond what
     * is there now (a reader may go by an older count). Never blocks. */
    void (*name)(void *arg, uint64_t index, char *name);

    /* The index of a name. Returns 0, also when there may be no such file, or -ENOENT when there
     * never is a file of that name. Never blocks. */
    int (*find)(void *arg, const char *name, uint64_t *out);

    /* Make the source of the index-th file; of a directory it tells whether it is there, its mtime
     * and size, and is never read. It says by -ENOENT from source_stat that there is no such file.
     * It is closed when the kernel knows no inode of the file any more, no handle is
     * open and no call under way; several may be open for one index at a time. Inode numbers are
     * made of index and version: what one source of an index calls version 7 is what any other, now
     * or later, calls so. Returns 0 or -errno. Never blocks. */
    int (*open)(void *arg, uint64_t index, struct source **out);

    /* Those that follow may be NULL. */

    /* A name is looked up: learn what find must know. Returns 0 or -errno; never -ENOENT. May block
     * on the network. NULL: find knows without. */
    int (*learn)(void *arg, const char *name, const struct source_io *io);

    /* Is the index-th name there now? What is not is left out of the directory. NULL: all are.
     * Never blocks. */
    bool (*has)(void *arg, uint64_t index);

    /* The listing of the index-th name, if that is a directory; it and ret_arg must outlive the
     * tree. Returns NULL for a file. NULL: all are files. Never blocks. */
    const struct fs_listing_ops *(*dir)(void *arg, uint64_t index, void **ret_arg);

    /* Is there such a directory at all? Asked when its name is looked up; it is never listed. Once
     * it was there it stays. Returns 0, -ENOENT or another -errno. May block on the network. NULL:
     * it is there, and listed. */
    int (*exists)(void *arg, const struct source_io *io);
};

struct fs_tree_config {
    uint32_t uid;
    uint32_t gid;
    mode_t umask; /* bits taken away from the modes */
    uint64_t attr_timeout_ns;
};

int fs_tree_new(struct fs_tree **out, const struct fs_tree_config *config)
    __attribute__((warn_unused_result));

/* Closes every source that was added. No handle may be open any more. */
void fs_tree_free(struct fs_tree *tree);

/* Building, before the mount serves. parent NULL means the root. `name` is borrowed and must
 * outlive the tree. Return 0 or -ENOMEM. */
int fs_tree_add_dir(struct fs_tree *tree, struct fs_entry *parent, const char *name,
                    struct fs_entry **out) __attribute__((warn_unused_result));
/* Takes `source` (also on failure). optional: the name exists only while source_stat does not say
 * -ENOENT; listings go by its last answer. Any other file exists always, whatever its source says.
 */
int fs_tree_add_file(struct fs_tree *tree, struct fs_entry *parent, const char *name,
                     struct source *source, bool optional) __attribute__((warn_unused_result));
/* Likewise an optional file of what the canister holds, of which the caller has just learned that
 * it is not there: a listing does not ask about it before somebody looked the name up, or restored
 * the file. */
int fs_tree_add_absent(struct fs_tree *tree, struct fs_entry *parent, const char *name,
                       struct source *source) __attribute__((warn_unused_result));
int fs_tree_add_generated(struct fs_tree *tree, struct fs_entry *parent, const char *name,
                          fs_render_fn render, void *arg) __attribute__((warn_unused_result));
/* A generated file that can be written to, by its owner and by root: mode 0644, so that
 * a copy of the whole mount by somebody else does not fail. */
int fs_tree_add_writable(struct fs_tree *tree, struct fs_entry *parent, const char *name,
                         uint32_t owner, fs_render_fn render, fs_write_fn write, void *arg)
    __attribute__((warn_unused_result));

/* A directory of files that others list. ops and arg are borrowed and must outlive the tree. */
int fs_tree_add_listing(struct fs_tree *tree, struct fs_entry *parent, const char *name,
                        const struct fs_listing_ops *ops, void *arg)
    __attribute__((warn_unused_result));

/* --- what can be written to --- */

/* A file that can be restored, whether or not it is there: an entry, or a file by its index in a
 * directory whose names change. A plain value. */
struct fs_place {
    struct fs_entry *entry; /* the file, or the directory */
    uint64_t index;
};

#define FS_PLACE_PATH_MAX 512

/* Building: let the file at a path below the root be restored, or all files of a directory with a
 * listing. Files then are 0644, their directories 0755. Returns 0, or -ENOENT. */
int fs_tree_set_restorable(struct fs_tree *tree, const char *path,
                           const struct fs_restorable *restorable)
    __attribute__((warn_unused_result, nonnull));

/* Building: let names be made in a directory, by whoever answers for it: it is 0755. Returns 0, or
 * -ENOENT. */
int fs_tree_set_writable(struct fs_tree *tree, const char *path)
    __attribute__((warn_unused_result, nonnull));

/* Is this an inode of a file that can be restored? */
bool fs_tree_find_place(struct fs_tree *tree, fuse_ino_t ino, struct fs_place *out)
    __attribute__((nonnull));

/* What can be restored under a name. Returns 0, also when there is no such file now; -ENOENT:
 * nothing ever has this name; -EROFS: what has it cannot be restored; -ENOTDIR. */
int fs_tree_find_place_in(struct fs_tree *tree, fuse_ino_t parent, const char *name,
                          struct fs_place *out) __attribute__((warn_unused_result, nonnull));

/* The same for a path below the root. */
int fs_tree_parse_place(struct fs_tree *tree, const char *path, struct fs_place *out)
    __attribute__((warn_unused_result, nonnull));

/* The path below the root. */
void fs_tree_format_place(const struct fs_place *place, char path[FS_PLACE_PATH_MAX])
    __attribute__((nonnull));

static inline bool fs_place_is_same(const struct fs_place *a, const struct fs_place *b)
{
    return a->entry == b->entry && a->index == b->index;
}

const struct fs_restorable *fs_tree_restorable_of(const struct fs_place *place)
    __attribute__((nonnull));

/* Does a directory hold anything that can be restored? */
bool fs_tree_has_places(struct fs_tree *tree, fuse_ino_t dir) __attribute__((nonnull));

/* Is this a file of what the canister may change at any time? */
bool fs_tree_is_live(struct fs_tree *tree, fuse_ino_t ino) __attribute__((nonnull));

bool fs_tree_is_dir(struct fs_tree *tree, fuse_ino_t ino) __attribute__((nonnull));

/* The path of a directory below the root, "" for the root itself. Returns 0, -ENOENT or -ENOTDIR.
 */
int fs_tree_format_dir(struct fs_tree *tree, fuse_ino_t ino, char path[FS_PLACE_PATH_MAX])
    __attribute__((warn_unused_result, nonnull));

/* Look a name up and count one kernel reference to the node.
 *
 * caller  the thread that asks; its OPEN right after may use the same answer
 *
 * Returns 0, -ENOENT, -ENOTDIR, or the error of the source (-EIO for -ENOENT of a file that is not
 * optional). May block on the source. */
int fs_tree_lookup(struct fs_tree *tree, fuse_ino_t parent, const char *name, pid_t caller,
                   const struct source_io *io, struct fuse_entry_param *out)
    __attribute__((warn_unused_result));

/* The kernel gives references back. May block: the last one to a listed file closes its source. */
void fs_tree_forget(struct fs_tree *tree, fuse_ino_t ino, uint64_t n_lookup);

/* Attributes of an inode; a versioned node never asks its source. */
int fs_tree_getattr(struct fs_tree *tree, fuse_ino_t ino, const struct source_io *io,
                    struct stat *out, double *ret_timeout_s) __attribute__((warn_unused_result));

/* May this user write to an inode? Returns 0, -EROFS, -EACCES (somebody else may) or -ESTALE. */
int fs_tree_check_write(struct fs_tree *tree, fuse_ino_t ino, uint32_t uid)
    __attribute__((warn_unused_result));

/* What open(2) pins, until fs_tree_close; the kernel may have forgotten the inode before. */
struct fs_opened {
    struct fs_entry *entry;
    enum fs_entry_kind kind;
    struct source *source;   /* FILE: borrowed until fs_tree_close */
    struct source_stat stat; /* FILE: pinned version and size */
    fs_render_fn render;     /* GENERATED */
    fs_write_fn write;       /* GENERATED: NULL when it cannot be written to */
    void *arg;               /* of both */
};

/* Check that the node is the current version of its entry. Returns 0, -ESTALE (it is an older one),
 * -EISDIR, or the error of the source. */
int fs_tree_open(struct fs_tree *tree, fuse_ino_t ino, pid_t caller, const struct source_io *io,
                 struct fs_opened *out) __attribute__((warn_unused_result));

/* What was opened is not used any more, neither is a call on its source under way. Once for every
 * fs_tree_open that returned 0. May block: it may close the source. */
void fs_tree_close(struct fs_tree *tree, const struct fs_opened *opened);

/* Begin to list a directory: one with a listing is asked for the number of its names, for
 * fs_tree_readdir. Returns 0, -ENOENT, -ENOTDIR, or the error of the listing. May block on the
 * network. */
int fs_tree_opendir(struct fs_tree *tree, fuse_ino_t ino, const struct source_io *io,
                    uint64_t *ret_n_listed) __attribute__((warn_unused_result));

/* The index-th name of a directory ("." and ".." first). Returns 1 and fills, 0 at the end, or
 * -ENOTDIR and the like. `skip` tells a name that is not there now: go on with the next index.
 *
 * n_listed  what fs_tree_opendir said: a directory is read as it was then
 *
 * May block on the source of an optional file that was never asked; a listing is asked nothing. */
struct fs_dirent {
    char name[FS_NAME_SIZE];
    struct stat stat; /* st_ino and the type bits of st_mode only */
    bool skip;
};
int fs_tree_readdir(struct fs_tree *tree, fuse_ino_t ino, uint64_t n_listed, uint64_t index,
                    const struct source_io *io, struct fs_dirent *out)
    __attribute__((warn_unused_result));

/* The canister may hold something else from now on: what was learned by questions asked before is
 * not remembered. */
void fs_tree_outdate(struct fs_tree *tree);

/* Likewise there may be a file now where there was none: the next listing asks. */
void fs_tree_outdate_place(struct fs_tree *tree, const struct fs_place *place)
    __attribute__((nonnull));

/* Sum of the last known file sizes, bytes; without listed files. */
uint64_t fs_tree_total_size(struct fs_tree *tree);

#endif
