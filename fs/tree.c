/* See tree.h for entries and nodes.
 *
 * A directory and a generated file have one node for the life of the mount, and so has a file whose
 * source is not versioned: there every open pins a fresh version for the handle, and the kernel
 * drops the inode's pages (keep_cache = 0). A versioned file has one node per version that was
 * looked up.
 */
#include "fs/tree.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Inode numbers come from a counter, so they are spread evenly as they are. Running out of memory
 * while adding is an error to return, not to exit on. */
#define HASH_FUNCTION(key, len, out) ((out) = (unsigned)*(const uint64_t *)(key))
#define HASH_NONFATAL_OOM            1
#include <uthash.h>

/* open(2) sends LOOKUP and OPEN right after one another: what a thread's LOOKUP learned this
 * recently serves one OPEN of that thread, so that a cold open costs one query and does not lose a
 * race against a busy canister. Nobody else's, once and not for long, because an open must see
 * every change that was complete before it. */
#define FRESH_FOR_OPEN_NS 50000000

#define LASTING_S (30 * 86400.0)
#define SECOND_NS INT64_C(1000000000)

/* As long as the block cache keeps the error of a block. */
#define FAILURE_KEPT_NS (2 * SECOND_NS)

#define NAME_MAX_BYTES 255 /* statfs says so, too */

/* d_ino of a name that was not looked up yet; 0 would hide it from readers. */
#define UNKNOWN_INO 0xffffffff

#define BLOCK_SIZE_HINT (1 << 20) /* st_blksize: makes cp and dd ask in large pieces */

struct fs_entry {
    /* immutable after fs_tree_add_* */
    struct fs_entry *parent; /* the root is its own parent */
    const char *name;
    enum fs_entry_kind kind;
    struct source *source;
    bool optional;
    fs_render_fn render;
    fs_write_fn write; /* GENERATED: NULL when it cannot be written to */
    uint32_t owner;    /* who may, beside root */
    void *generated_arg;
    struct fs_entry *first_child;
    struct fs_entry *next_sibling;

    /* guarded by tree lock: the answer of the source to the youngest question */
    struct source_stat stat;
    bool is_absent;      /* the answer was -ENOENT (optional entries) */
    int64_t asked_at_ns; /* when it was asked, monotonic; 0 for never */
    int64_t came_at_ns;  /* when the answer came */
    pid_t for_open_of;   /* the thread whose OPEN may use it; 0 for nobody's */
    int failure;         /* the last question's errno, 0 when it was answered */
    int64_t failed_at_ns;

    int64_t opened_at_ns;    /* guarded by tree lock: last open of a live file, wall clock */
    struct fs_node *current; /* guarded by tree lock: newest node, may be NULL */
};

struct fs_node {
    UT_hash_handle hh;
    uint64_t ino;
    struct fs_entry *entry;
    struct source_stat stat; /* FILE: the version this inode is (refreshed when not versioned) */
    uint64_t n_lookup;       /* guarded by tree lock */
};

struct fs_tree {
    pthread_mutex_t lock;
    struct fs_tree_config config; /* immutable */
    struct fs_entry *root;        /* immutable */
    struct fs_node *nodes;        /* guarded by lock: by ino */
    uint64_t next_ino;            /* guarded by lock */
    int64_t mounted_at_ns;        /* immutable; wall clock */
    int64_t outdated_at_ns;       /* guarded by lock: what was asked before is too old; monotonic */
};

static int64_t clock_ns(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static struct fs_node *add_node_locked(struct fs_tree *tree, struct fs_entry *entry)
{
    struct fs_node *node = calloc(1, sizeof(*node));
    if (!node)
        return NULL;
    node->ino = tree->next_ino++;
    node->entry = entry;
    HASH_ADD(hh, tree->nodes, ino, sizeof(node->ino), node);
    if (!node->hh.tbl) {
        free(node);
        return NULL;
    }
    entry->current = node;
    return node;
}

static void drop_node_locked(struct fs_tree *tree, struct fs_node *node)
{
    HASH_DEL(tree->nodes, node);
    free(node);
}

static struct fs_node *find_node_locked(struct fs_tree *tree, fuse_ino_t ino)
{
    uint64_t key = ino;
    struct fs_node *node;
    HASH_FIND(hh, tree->nodes, &key, sizeof(key), node);
    return node;
}

static struct fs_entry *find_entry(struct fs_tree *tree, fuse_ino_t ino)
{
    pthread_mutex_lock(&tree->lock);
    struct fs_node *node = find_node_locked(tree, ino);
    struct fs_entry *entry = node ? node->entry : NULL;
    pthread_mutex_unlock(&tree->lock);
    return entry;
}

static struct fs_entry *new_entry(struct fs_entry *parent, const char *name,
                                  enum fs_entry_kind kind)
{
    struct fs_entry *entry = calloc(1, sizeof(*entry));
    if (!entry)
        return NULL;
    entry->name = name;
    entry->kind = kind;
    entry->parent = parent ? parent : entry;
    if (parent) {
        struct fs_entry **end = &parent->first_child;
        while (*end)
            end = &(*end)->next_sibling;
        *end = entry;
    }
    return entry;
}

int fs_tree_new(struct fs_tree **out, const struct fs_tree_config *config)
{
    struct fs_tree *tree = calloc(1, sizeof(*tree));
    if (!tree)
        return -ENOMEM;
    pthread_mutex_init(&tree->lock, NULL);
    tree->config = *config;
    tree->mounted_at_ns = clock_ns(CLOCK_REALTIME);
    tree->next_ino = FUSE_ROOT_ID;
    tree->root = new_entry(NULL, "", FS_ENTRY_DIR);
    if (!tree->root || !add_node_locked(tree, tree->root)) {
        fs_tree_free(tree);
        return -ENOMEM;
    }
    *out = tree;
    return 0;
}

static void free_entries(struct fs_entry *entry)
{
    while (entry) {
        struct fs_entry *next = entry->next_sibling;
        free_entries(entry->first_child);
        if (entry->source)
            source_close(entry->source);
        free(entry);
        entry = next;
    }
}

void fs_tree_free(struct fs_tree *tree)
{
    if (!tree)
        return;
    struct fs_node *node;
    struct fs_node *next;
    HASH_ITER(hh, tree->nodes, node, next)
    {
        HASH_DEL(tree->nodes, node);
        free(node);
    }
    free_entries(tree->root);
    pthread_mutex_destroy(&tree->lock);
    free(tree);
}

int fs_tree_add_dir(struct fs_tree *tree, struct fs_entry *parent, const char *name,
                    struct fs_entry **out)
{
    struct fs_entry *entry = new_entry(parent ? parent : tree->root, name, FS_ENTRY_DIR);
    if (!entry)
        return -ENOMEM;
    *out = entry;
    return 0;
}

int fs_tree_add_file(struct fs_tree *tree, struct fs_entry *parent, const char *name,
                     struct source *source, bool optional)
{
    struct fs_entry *entry = new_entry(parent ? parent : tree->root, name, FS_ENTRY_FILE);
    if (!entry) {
        source_close(source);
        return -ENOMEM;
    }
    entry->source = source;
    entry->optional = optional;
    return 0;
}

int fs_tree_add_generated(struct fs_tree *tree, struct fs_entry *parent, const char *name,
                          fs_render_fn render, void *arg)
{
    struct fs_entry *entry = new_entry(parent ? parent : tree->root, name, FS_ENTRY_GENERATED);
    if (!entry)
        return -ENOMEM;
    entry->render = render;
    entry->generated_arg = arg;
    return 0;
}

int fs_tree_add_writable(struct fs_tree *tree, struct fs_entry *parent, const char *name,
                         uint32_t owner, fs_render_fn render, fs_write_fn write, void *arg)
{
    struct fs_entry *entry = new_entry(parent ? parent : tree->root, name, FS_ENTRY_GENERATED);
    if (!entry)
        return -ENOMEM;
    entry->render = render;
    entry->write = write;
    entry->owner = owner;
    entry->generated_arg = arg;
    return 0;
}

/* A failure is kept for a moment: the kernel sends the lookups of one name one after the other, and
 * each would wait for its own deadline. */
static int fail(struct fs_tree *tree, struct fs_entry *entry, int result)
{
    pthread_mutex_lock(&tree->lock);
    if (result != -EINTR) {
        entry->failure = result;
        entry->failed_at_ns = clock_ns(CLOCK_MONOTONIC);
    }
    pthread_mutex_unlock(&tree->lock);
    return result;
}

static int kept_failure(struct fs_tree *tree, const struct fs_entry *entry)
{
    pthread_mutex_lock(&tree->lock);
    bool is_kept = entry->failed_at_ns > tree->outdated_at_ns &&
                   clock_ns(CLOCK_MONOTONIC) - entry->failed_at_ns < FAILURE_KEPT_NS;
    int result = is_kept ? entry->failure : 0;
    pthread_mutex_unlock(&tree->lock);
    return result;
}

/* Ask the source of a FILE entry. Answers can overtake each other: that to the youngest question is
 * the one that stays, and the one that everybody gets.
 *
 * A file that is not optional is never missing: for rsync --delete, "no such file" is the order to
 * delete the backup.
 *
 * caller  the thread whose OPEN may use the answer; 0: nobody's */
static int ask(struct fs_tree *tree, struct fs_entry *entry, pid_t caller,
               const struct source_io *io, struct source_stat *out)
{
    int kept = kept_failure(tree, entry);
    if (kept < 0)
        return kept;
    int64_t asked_at_ns = clock_ns(CLOCK_MONOTONIC);
    struct source_stat stat = {0};
    int result = source_stat(entry->source, io, &stat);
    if (result < 0 && !(result == -ENOENT && entry->optional))
        return fail(tree, entry, result == -ENOENT ? -EIO : result);
    pthread_mutex_lock(&tree->lock);
    entry->failure = 0;
    if (asked_at_ns > entry->asked_at_ns) {
        entry->stat = stat;
        entry->is_absent = result == -ENOENT;
        entry->asked_at_ns = asked_at_ns;
        entry->came_at_ns = clock_ns(CLOCK_MONOTONIC);
        entry->for_open_of = caller;
    }
    *out = entry->stat;
    result = entry->is_absent ? -ENOENT : 0;
    pthread_mutex_unlock(&tree->lock);
    return result;
}

/* The same, unless an answer is remembered that is young enough. */
static int refresh(struct fs_tree *tree, struct fs_entry *entry, pid_t caller,
                   const struct source_io *io, struct source_stat *out)
{
    pthread_mutex_lock(&tree->lock);
    bool is_fresh =
        entry->asked_at_ns > tree->outdated_at_ns &&
        (uint64_t)(clock_ns(CLOCK_MONOTONIC) - entry->came_at_ns) < tree->config.attr_timeout_ns;
    int result = entry->is_absent ? -ENOENT : 0;
    *out = entry->stat;
    pthread_mutex_unlock(&tree->lock);
    return is_fresh ? result : ask(tree, entry, caller, io, out);
}

/* What the caller's LOOKUP learned a moment ago, for its OPEN. False: it must be asked. */
static bool take_for_open(struct fs_tree *tree, struct fs_entry *entry, pid_t caller,
                          struct source_stat *out)
{
    pthread_mutex_lock(&tree->lock);
    /* Live memory gets a serial of its own at every open. */
    bool is_mine = caller != 0 && entry->for_open_of == caller && entry->stat.versioned &&
                   entry->asked_at_ns > tree->outdated_at_ns &&
                   clock_ns(CLOCK_MONOTONIC) - entry->came_at_ns < FRESH_FOR_OPEN_NS;
    if (is_mine) {
        *out = entry->stat;
        entry->for_open_of = 0;
    }
    pthread_mutex_unlock(&tree->lock);
    return is_mine;
}

static void fill_attr_locked(const struct fs_tree *tree, const struct fs_node *node,
                             struct stat *out)
{
    const struct fs_entry *entry = node->entry;
    memset(out, 0, sizeof(*out));
    out->st_ino = node->ino;
    out->st_uid = tree->config.uid;
    out->st_gid = tree->config.gid;
    out->st_blksize = BLOCK_SIZE_HINT;
    int64_t mtime_ns = tree->mounted_at_ns;
    if (entry->kind == FS_ENTRY_DIR) {
        out->st_mode = S_IFDIR | (0555 & ~tree->config.umask);
        out->st_nlink = 2;
    } else {
        out->st_mode = S_IFREG | (0444 & ~tree->config.umask);
        out->st_nlink = 1;
    }
    if (entry->write) {
        out->st_mode = S_IFREG | (0644 & ~tree->config.umask);
        out->st_uid = entry->owner;
    }
    if (entry->kind == FS_ENTRY_FILE) {
        out->st_size = (off_t)node->stat.size;
        out->st_blocks = (blkcnt_t)((node->stat.size + 511) / 512);
        mtime_ns = node->stat.mtime_ns;
        if (!node->stat.versioned && entry->opened_at_ns > mtime_ns)
            mtime_ns = entry->opened_at_ns;
    }
    out->st_mtim.tv_sec = mtime_ns / 1000000000;
    out->st_mtim.tv_nsec = mtime_ns % 1000000000;
    out->st_ctim = out->st_mtim;
    out->st_atim = out->st_mtim;
}

/* The node for what the source said: the current one, or a new one when the version moved. */
static struct fs_node *node_for_locked(struct fs_tree *tree, struct fs_entry *entry,
                                       const struct source_stat *stat)
{
    struct fs_node *node = entry->current;
    if (!node) {
        node = add_node_locked(tree, entry);
        if (node)
            node->stat = *stat;
        return node;
    }
    if (entry->kind != FS_ENTRY_FILE)
        return node;
    if (!stat->versioned) {
        node->stat = *stat;
        return node;
    }
    if (node->stat.version == stat->version)
        return node;
    struct fs_node *next = add_node_locked(tree, entry);
    if (!next)
        return NULL;
    next->stat = *stat;
    if (node->n_lookup == 0)
        drop_node_locked(tree, node);
    return next;
}

/* How long the kernel may keep a node's attributes: not at all where an open moves the mtime, for
 * rsync would skip a file whose mtime it knows. */
static double attr_timeout_s(const struct fs_tree *tree, const struct fs_node *node)
{
    bool is_live = node->entry->kind == FS_ENTRY_FILE && !node->stat.versioned;
    return is_live ? 0 : (double)tree->config.attr_timeout_ns / 1e9;
}

/* How long the kernel may know a name. Directories and generated files stay for ever: while the
 * lookup of a file waits for the network, others in its directory may wait behind it (ops_init),
 * and status and control must be there all the same. */
static double entry_timeout_s(const struct fs_tree *tree, const struct fs_entry *entry)
{
    bool is_lasting = entry->kind != FS_ENTRY_FILE;
    return is_lasting ? LASTING_S : (double)tree->config.attr_timeout_ns / 1e9;
}

int fs_tree_lookup(struct fs_tree *tree, fuse_ino_t parent, const char *name, pid_t caller,
                   const struct source_io *io, struct fuse_entry_param *out)
{
    struct fs_entry *dir = find_entry(tree, parent);
    if (!dir)
        return -ENOENT;
    if (dir->kind != FS_ENTRY_DIR)
        return -ENOTDIR;
    if (strlen(name) > NAME_MAX_BYTES)
        return -ENAMETOOLONG;
    struct fs_entry *entry = dir->first_child;
    while (entry && strcmp(entry->name, name) != 0)
        entry = entry->next_sibling;
    if (!entry)
        return -ENOENT;
    struct source_stat stat = {0};
    if (entry->kind == FS_ENTRY_FILE) {
        int result = refresh(tree, entry, caller, io, &stat);
        if (result < 0)
            return result;
    }
    int result = 0;
    pthread_mutex_lock(&tree->lock);
    struct fs_node *node = node_for_locked(tree, entry, &stat);
    if (node) {
        node->n_lookup++;
        memset(out, 0, sizeof(*out));
        out->ino = node->ino;
        out->attr_timeout = attr_timeout_s(tree, node);
        out->entry_timeout = entry_timeout_s(tree, entry);
        fill_attr_locked(tree, node, &out->attr);
    } else {
        result = -ENOMEM;
    }
    pthread_mutex_unlock(&tree->lock);
    return result;
}

void fs_tree_forget(struct fs_tree *tree, fuse_ino_t ino, uint64_t n_lookup)
{
    pthread_mutex_lock(&tree->lock);
    struct fs_node *node = find_node_locked(tree, ino);
    if (node) {
        node->n_lookup -= n_lookup < node->n_lookup ? n_lookup : node->n_lookup;
        /* Only a superseded version goes: the current one keeps its inode number. */
        if (node->n_lookup == 0 && node->entry->current != node)
            drop_node_locked(tree, node);
    }
    pthread_mutex_unlock(&tree->lock);
}

int fs_tree_getattr(struct fs_tree *tree, fuse_ino_t ino, const struct source_io *io,
                    struct stat *out, double *ret_timeout_s)
{
    struct fs_entry *entry = find_entry(tree, ino);
    if (!entry)
        return -ESTALE;
    if (entry->kind == FS_ENTRY_FILE) {
        pthread_mutex_lock(&tree->lock);
        bool live = !entry->stat.versioned;
        pthread_mutex_unlock(&tree->lock);
        struct source_stat stat;
        int result = live ? refresh(tree, entry, 0, io, &stat) : 0;
        if (result < 0)
            return result;
    }
    int result = -ESTALE;
    pthread_mutex_lock(&tree->lock);
    struct fs_node *node = find_node_locked(tree, ino);
    if (node) {
        if (entry->kind == FS_ENTRY_FILE && !entry->stat.versioned)
            node->stat = entry->stat;
        fill_attr_locked(tree, node, out);
        *ret_timeout_s = attr_timeout_s(tree, node);
        result = 0;
    }
    pthread_mutex_unlock(&tree->lock);
    return result;
}

/* An open of live memory moves its mtime, by a whole second at least: rsync looks at seconds, and
 * would take what it reads next time for what it has. */
static void move_mtime_locked(struct fs_entry *entry)
{
    int64_t shown =
        entry->stat.mtime_ns > entry->opened_at_ns ? entry->stat.mtime_ns : entry->opened_at_ns;
    int64_t now = clock_ns(CLOCK_REALTIME);
    entry->opened_at_ns = now > shown + SECOND_NS ? now : shown + SECOND_NS;
}

int fs_tree_check_write(struct fs_tree *tree, fuse_ino_t ino, uint32_t uid)
{
    const struct fs_entry *entry = find_entry(tree, ino);
    if (!entry)
        return -ESTALE;
    if (!entry->write)
        return -EROFS;
    return uid == 0 || uid == entry->owner ? 0 : -EACCES;
}

int fs_tree_open(struct fs_tree *tree, fuse_ino_t ino, pid_t caller, const struct source_io *io,
                 struct fs_opened *out)
{
    struct fs_entry *entry = find_entry(tree, ino);
    if (!entry)
        return -ESTALE;
    memset(out, 0, sizeof(*out));
    out->kind = entry->kind;
    if (entry->kind == FS_ENTRY_DIR)
        return -EISDIR;
    if (entry->kind == FS_ENTRY_GENERATED) {
        out->render = entry->render;
        out->write = entry->write;
        out->arg = entry->generated_arg;
        return 0;
    }
    /* The answer stays the caller's when it finds the inode outdated: the kernel then looks the
     * name up and opens again, and must not lose the race a second time. */
    int result = take_for_open(tree, entry, caller, &out->stat)
                     ? 0
                     : ask(tree, entry, caller, io, &out->stat);
    if (result < 0)
        return result;
    out->source = entry->source;
    pthread_mutex_lock(&tree->lock);
    struct fs_node *node = find_node_locked(tree, ino);
    if (!node || (out->stat.versioned && node->stat.version != out->stat.version)) {
        result = -ESTALE;
    } else {
        if (entry->for_open_of == caller)
            entry->for_open_of = 0;
        if (!out->stat.versioned) {
            node->stat = out->stat;
            move_mtime_locked(entry);
        }
    }
    pthread_mutex_unlock(&tree->lock);
    return result;
}

int fs_tree_readdir(struct fs_tree *tree, fuse_ino_t ino, uint64_t index,
                    const struct source_io *io, struct fs_dirent *out)
{
    struct fs_entry *dir = find_entry(tree, ino);
    if (!dir)
        return -ENOENT;
    if (dir->kind != FS_ENTRY_DIR)
        return -ENOTDIR;
    struct fs_entry *entry = dir;
    const char *name = ".";
    if (index == 1) {
        entry = dir->parent;
        name = "..";
    } else if (index >= 2) {
        entry = dir->first_child;
        for (uint64_t i = 2; entry && i < index; i++)
            entry = entry->next_sibling;
        if (!entry)
            return 0;
        name = entry->name;
    }
    memset(out, 0, sizeof(*out));
    out->name = name;
    out->stat.st_mode = entry->kind == FS_ENTRY_DIR ? S_IFDIR : S_IFREG;
    pthread_mutex_lock(&tree->lock);
    bool is_known = !entry->optional || entry->asked_at_ns != 0;
    pthread_mutex_unlock(&tree->lock);
    struct source_stat stat;
    int result = is_known ? 0 : ask(tree, entry, 0, io, &stat);
    if (result < 0 && result != -ENOENT)
        return result;
    pthread_mutex_lock(&tree->lock);
    out->skip = entry->is_absent;
    out->stat.st_ino = entry->current ? entry->current->ino : UNKNOWN_INO;
    pthread_mutex_unlock(&tree->lock);
    return 1;
}

void fs_tree_outdate(struct fs_tree *tree)
{
    pthread_mutex_lock(&tree->lock);
    tree->outdated_at_ns = clock_ns(CLOCK_MONOTONIC);
    pthread_mutex_unlock(&tree->lock);
}

static uint64_t entry_size_locked(const struct fs_entry *entry)
{
    uint64_t total = 0;
    for (; entry; entry = entry->next_sibling)
        total += entry->stat.size + entry_size_locked(entry->first_child);
    return total;
}

uint64_t fs_tree_total_size(struct fs_tree *tree)
{
    pthread_mutex_lock(&tree->lock);
    uint64_t total = entry_size_locked(tree->root);
    pthread_mutex_unlock(&tree->lock);
    return total;
}
