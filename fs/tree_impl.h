/* Inside the tree: what tree.c, tree_node.c, tree_answer.c and tree_listed.c share. Not for anybody
 * else.
 *
 * `_locked`: the caller holds the tree lock. Every other function takes it, and must be called
 * without: sources and listings are asked, opened and closed with no lock held.
 */
#ifndef CANISTERFS_FS_TREE_IMPL_H
#define CANISTERFS_FS_TREE_IMPL_H

#include "fs/tree.h"

#include <pthread.h>
#include <time.h>

/* Keys are inode numbers, which are spread evenly as they are, and the indices of files in one
 * directory. Running out of memory is an error to return, not to exit on. */
#define HASH_FUNCTION(key, len, out) ((out) = (unsigned)*(const uint64_t *)(key))
#define HASH_NONFATAL_OOM            1
#include <uthash.h>

/* As long as the block cache keeps the error of a block. */
#define FS_TREE_FAILURE_KEPT_NS INT64_C(2000000000)

/* Failures that are kept of listed files which nobody knows (any more). The kernel repeats a lookup
 * as soon as it has failed, for the next process that waits for the name, and no more are under way
 * at once than there are threads: by default as many as this. */
#define FS_TREE_N_FAILURES 128

struct fs_entry {
    /* immutable once it can be found */
    struct fs_entry *parent; /* the root is its own parent */
    const char *name;        /* NULL when listed: the listing tells */
    enum fs_entry_kind kind;
    struct source *source; /* FILE; of a listed DIR: tells whether it is there */
    bool optional;
    bool is_awaited;  /* optional: it is not there yet, and will be what the canister holds */
    bool has_places;  /* DIR: something in it can be restored */
    bool is_writable; /* DIR: others can make names in it */
    fs_render_fn render;
    fs_write_fn write; /* GENERATED: NULL when it cannot be written to */
    uint32_t owner;    /* who may, beside root */
    void *generated_arg;
    const struct fs_restorable *restorable; /* FILE, or DIR with a listing; NULL: read-only */
    struct fs_entry *first_child;
    struct fs_entry *next_sibling;
    const struct fs_listing_ops *listing; /* DIR: whose names change; NULL for any other */
    void *listing_arg;
    uint64_t listing_number; /* DIR with a listing: 1, 2, ...; when listed itself, a mix */
    bool is_listed;          /* it is in such a directory ... */
    uint64_t index;          /* ... and which */

    /* guarded by tree lock */
    UT_hash_handle hh;      /* is_listed: in `files` of the parent */
    struct fs_entry *files; /* listing: those that somebody knows, by index */
    uint64_t n_refs;        /* nodes, open handles, calls under way, and listed entries in it;
                               is_listed: 0 ends it */

    /* guarded by tree lock: the answer of the source to the youngest question */
    struct source_stat stat;
    bool is_absent;         /* the answer was -ENOENT (optional entries) */
    int64_t asked_at_ns;    /* when it was asked, monotonic; 0 for never */
    int64_t came_at_ns;     /* when the answer came */
    int64_t restored_at_ns; /* it may be there since: what was asked before is too old; 0: never */
    pid_t for_open_of;      /* the thread whose OPEN may use it; 0 for nobody's */
    int failure;            /* the last question's errno, 0 when it was answered */
    int64_t failed_at_ns;

    int64_t opened_at_ns;    /* guarded by tree lock: last open of a live file, wall clock; of a
                                directory with a listing: of any file in it */
    struct fs_node *current; /* guarded by tree lock: newest node, may be NULL */
};

struct fs_node {
    UT_hash_handle hh; /* guarded by tree lock, as is all that follows */
    uint64_t ino;
    struct fs_entry *entry;
    struct source_stat stat; /* FILE: the version this inode is (refreshed when not versioned) */
    uint64_t n_lookup;       /* of a listed file's: at least 1 */
};

/* The failure of a listed file that has no entry. */
struct fs_tree_failure {
    uint64_t listing_number;
    uint64_t index;
    int failure;
    int64_t failed_at_ns; /* monotonic; 0: the slot is free */
};

struct fs_tree {
    pthread_mutex_t lock;
    struct fs_tree_config config; /* immutable */
    struct fs_entry *root;        /* immutable */
    uint64_t n_listings;          /* immutable once the mount serves */
    int64_t mounted_at_ns;        /* immutable; wall clock */
    struct fs_node *nodes;        /* guarded by lock: by ino */
    uint64_t next_ino;            /* guarded by lock */
    int64_t outdated_at_ns;       /* guarded by lock: what was asked before is too old; monotonic */
    struct fs_tree_failure failures[FS_TREE_N_FAILURES]; /* guarded by lock */
};

static inline int64_t fs_tree_clock_ns(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* --- tree.c --- */

/* A directory with a reference, to be put. Returns 0, -ENOENT, -ENOTDIR. */
int fs_tree_get_dir(struct fs_tree *tree, fuse_ino_t ino, struct fs_entry **out);

/* The child of that name of a directory without a listing, or NULL. */
struct fs_entry *fs_tree_find_child(struct fs_entry *dir, const char *name);

/* --- tree_node.c: inodes --- */

/* The number that a version of a listed file gets, unless something else has it. */
uint64_t fs_tree_listed_ino(uint64_t listing_number, uint64_t index, uint64_t version);

/* That of the listing which the index-th name of another is. */
uint64_t fs_tree_listed_number(uint64_t listing_number, uint64_t index);

struct fs_node *fs_tree_find_node_locked(struct fs_tree *tree, fuse_ino_t ino);

/* The node for what the source said: the current one, or a new one when the version moved; NULL
 * when there is no memory for it. The caller holds a reference to the entry. */
struct fs_node *fs_tree_node_for_locked(struct fs_tree *tree, struct fs_entry *entry,
                                        const struct source_stat *stat);

/* The kernel does not know the node any more. Returns what fs_tree_unref_locked does. */
struct fs_entry *fs_tree_drop_node_locked(struct fs_tree *tree, struct fs_node *node);

void fs_tree_fill_attr_locked(const struct fs_tree *tree, const struct fs_node *node,
                              struct stat *out);

/* How long the kernel may keep a node's attributes, and how long it may know a name; seconds. */
double fs_tree_attr_timeout_s(const struct fs_tree *tree, const struct fs_node *node);
double fs_tree_entry_timeout_s(const struct fs_tree *tree, const struct fs_entry *entry);

/* Can the file be restored? */
bool fs_tree_is_restorable(const struct fs_entry *entry);

/* --- tree_answer.c: what the sources of FILE entries say --- */

/* Ask the source. Answers can overtake each other: that to the youngest question is the one that
 * stays, and the one that everybody gets.
 *
 * A file that is not optional is never missing: for rsync --delete, "no such file" is the order to
 * delete the backup.
 *
 * entry   the caller holds a reference, if it is a listed file's
 * caller  the thread whose OPEN may use the answer; 0: nobody's */
int fs_tree_ask(struct fs_tree *tree, struct fs_entry *entry, pid_t caller,
                const struct source_io *io, struct source_stat *out);

/* The same, unless an answer is remembered that is young enough. */
int fs_tree_refresh(struct fs_tree *tree, struct fs_entry *entry, pid_t caller,
                    const struct source_io *io, struct source_stat *out);

/* What the caller's LOOKUP learned a moment ago, for its OPEN. False: it must be asked. */
bool fs_tree_take_for_open(struct fs_tree *tree, struct fs_entry *entry, pid_t caller,
                           struct source_stat *out);

/* --- tree_listed.c: entries that come and go --- */

/* The listing of a name in a directory with one, as fs_listing_ops.dir tells. */
const struct fs_listing_ops *fs_tree_listing_of(const struct fs_entry *dir, uint64_t index,
                                                void **ret_arg);

/* The entry of an inode with a reference, to be put; NULL when there is no such inode. */
struct fs_entry *fs_tree_get_entry(struct fs_tree *tree, fuse_ino_t ino);

/* The entry of a file or directory in one with a listing, made unless somebody knows it, with
 * a reference, to be put. The caller has one to the directory. Returns 0, -ENOMEM or what opening
 * the source came to. */
int fs_tree_get_listed(struct fs_tree *tree, struct fs_entry *dir, uint64_t index,
                       struct fs_entry **out);

/* The same if somebody knows it, without a reference; or NULL. */
struct fs_entry *fs_tree_find_listed_locked(struct fs_entry *dir, uint64_t index);

/* Give a reference back. May block: the last one to what is listed closes its source. */
void fs_tree_put_entry(struct fs_tree *tree, struct fs_entry *entry);

/* The same in two steps: what this returns must be freed once the lock is given up. NULL: nothing.
 */
struct fs_entry *fs_tree_unref_locked(struct fs_tree *tree, struct fs_entry *entry);
void fs_tree_free_entries(struct fs_entry *unused);

#endif
