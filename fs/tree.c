/* The tree as others see it. See tree.h for entries and nodes. */
#include "fs/tree_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_NS INT64_C(1000000000)

/* d_ino of a name that was not looked up yet; 0 would hide it from readers. */
#define UNKNOWN_INO 0xffffffff

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
    tree->mounted_at_ns = fs_tree_clock_ns(CLOCK_REALTIME);
    tree->next_ino = FUSE_ROOT_ID;
    tree->root = new_entry(NULL, "", FS_ENTRY_DIR);
    const struct source_stat none = {0};
    if (!tree->root || !fs_tree_node_for_locked(tree, tree->root, &none)) {
        fs_tree_free(tree);
        return -ENOMEM;
    }
    *out = tree;
    return 0;
}

/* Take everything below an entry apart, and put it into a list with it. Entries nest as deep as the
 * program has directories in each other. */
static struct fs_entry *gather(struct fs_entry *entry, struct fs_entry *list)
{
    struct fs_entry *child = entry->first_child;
    while (child) {
        struct fs_entry *next = child->next_sibling;
        list = gather(child, list);
        child = next;
    }
    struct fs_entry *listed;
    struct fs_entry *next_listed;
    HASH_ITER(hh, entry->files, listed, next_listed)
    {
        HASH_DEL(entry->files, listed);
        list = gather(listed, list);
    }
    entry->next_sibling = list;
    return entry;
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
    fs_tree_free_entries(tree->root ? gather(tree->root, NULL) : NULL);
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

static struct fs_entry *add_file(struct fs_tree *tree, struct fs_entry *parent, const char *name,
                                 struct source *source, bool optional)
{
    struct fs_entry *entry = new_entry(parent ? parent : tree->root, name, FS_ENTRY_FILE);
    if (!entry) {
        source_close(source);
        return NULL;
    }
    entry->source = source;
    entry->optional = optional;
    return entry;
}

int fs_tree_add_file(struct fs_tree *tree, struct fs_entry *parent, const char *name,
                     struct source *source, bool optional)
{
    return add_file(tree, parent, name, source, optional) ? 0 : -ENOMEM;
}

int fs_tree_add_absent(struct fs_tree *tree, struct fs_entry *parent, const char *name,
                       struct source *source)
{
    struct fs_entry *entry = add_file(tree, parent, name, source, true);
    if (!entry)
        return -ENOMEM;
    entry->is_awaited = true;
    entry->is_absent = true;
    entry->asked_at_ns = fs_tree_clock_ns(CLOCK_MONOTONIC);
    entry->came_at_ns = entry->asked_at_ns;
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

int fs_tree_add_listing(struct fs_tree *tree, struct fs_entry *parent, const char *name,
                        const struct fs_listing_ops *ops, void *arg)
{
    struct fs_entry *entry = new_entry(parent ? parent : tree->root, name, FS_ENTRY_DIR);
    if (!entry)
        return -ENOMEM;
    entry->listing = ops;
    entry->listing_arg = arg;
    entry->listing_number = ++tree->n_listings;
    return 0;
}

int fs_tree_get_dir(struct fs_tree *tree, fuse_ino_t ino, struct fs_entry **out)
{
    struct fs_entry *entry = fs_tree_get_entry(tree, ino);
    if (!entry)
        return -ENOENT;
    if (entry->kind != FS_ENTRY_DIR) {
        fs_tree_put_entry(tree, entry);
        return -ENOTDIR;
    }
    *out = entry;
    return 0;
}

struct fs_entry *fs_tree_find_child(struct fs_entry *dir, const char *name)
{
    struct fs_entry *entry = dir->first_child;
    while (entry && strcmp(entry->name, name) != 0)
        entry = entry->next_sibling;
    return entry;
}

static int get_listed(struct fs_tree *tree, struct fs_entry *dir, const char *name,
                      const struct source_io *io, struct fs_entry **out)
{
    uint64_t index;
    int result = dir->listing->learn ? dir->listing->learn(dir->listing_arg, name, io) : 0;
    if (result == 0)
        result = dir->listing->find(dir->listing_arg, name, &index);
    return result != 0 ? result : fs_tree_get_listed(tree, dir, index, out);
}

/* An entry by name, with a reference. */
static int get_child(struct fs_tree *tree, struct fs_entry *dir, const char *name,
                     const struct source_io *io, struct fs_entry **out)
{
    if (strlen(name) >= FS_NAME_SIZE)
        return -ENAMETOOLONG;
    if (dir->listing)
        return get_listed(tree, dir, name, io, out);
    struct fs_entry *entry = fs_tree_find_child(dir, name);
    if (!entry)
        return -ENOENT;
    pthread_mutex_lock(&tree->lock);
    entry->n_refs++;
    pthread_mutex_unlock(&tree->lock);
    *out = entry;
    return 0;
}

/* What has no listing is there. */
static int check_dir(const struct fs_entry *dir, const struct source_io *io)
{
    bool is_asked = dir->listing && dir->listing->exists;
    return is_asked ? dir->listing->exists(dir->listing_arg, io) : 0;
}

static int look_up_entry(struct fs_tree *tree, struct fs_entry *entry, pid_t caller,
                         const struct source_io *io, struct fuse_entry_param *out)
{
    struct source_stat stat = {0};
    int result = entry->source ? fs_tree_refresh(tree, entry, caller, io, &stat) : 0;
    if (result == 0)
        result = check_dir(entry, io);
    if (result < 0)
        return result;
    pthread_mutex_lock(&tree->lock);
    struct fs_node *node = fs_tree_node_for_locked(tree, entry, &stat);
    if (node) {
        node->n_lookup++;
        memset(out, 0, sizeof(*out));
        out->ino = node->ino;
        out->attr_timeout = fs_tree_attr_timeout_s(tree, node);
        out->entry_timeout = fs_tree_entry_timeout_s(tree, entry);
        fs_tree_fill_attr_locked(tree, node, &out->attr);
    } else {
        result = -ENOMEM;
    }
    pthread_mutex_unlock(&tree->lock);
    return result;
}

int fs_tree_lookup(struct fs_tree *tree, fuse_ino_t parent, const char *name, pid_t caller,
                   const struct source_io *io, struct fuse_entry_param *out)
{
    struct fs_entry *dir;
    struct fs_entry *entry;
    int result = fs_tree_get_dir(tree, parent, &dir);
    if (result < 0)
        return result;
    result = get_child(tree, dir, name, io, &entry);
    if (result == 0) {
        result = look_up_entry(tree, entry, caller, io, out);
        fs_tree_put_entry(tree, entry);
    }
    fs_tree_put_entry(tree, dir);
    return result;
}

void fs_tree_forget(struct fs_tree *tree, fuse_ino_t ino, uint64_t n_lookup)
{
    struct fs_entry *unused = NULL;
    pthread_mutex_lock(&tree->lock);
    struct fs_node *node = fs_tree_find_node_locked(tree, ino);
    if (node) {
        node->n_lookup -= n_lookup < node->n_lookup ? n_lookup : node->n_lookup;
        /* Of a file that is always there only a superseded version goes: the current one keeps its
         * inode number. */
        if (node->n_lookup == 0 && (node->entry->is_listed || node->entry->current != node))
            unused = fs_tree_drop_node_locked(tree, node);
    }
    pthread_mutex_unlock(&tree->lock);
    fs_tree_free_entries(unused);
}

/* Is it an inode whose attributes move? */
static bool is_live(struct fs_tree *tree, fuse_ino_t ino)
{
    pthread_mutex_lock(&tree->lock);
    const struct fs_node *node = fs_tree_find_node_locked(tree, ino);
    bool result = node && node->entry->kind == FS_ENTRY_FILE && !node->stat.versioned;
    pthread_mutex_unlock(&tree->lock);
    return result;
}

int fs_tree_getattr(struct fs_tree *tree, fuse_ino_t ino, const struct source_io *io,
                    struct stat *out, double *ret_timeout_s)
{
    struct fs_entry *entry = fs_tree_get_entry(tree, ino);
    if (!entry)
        return -ESTALE;
    struct source_stat stat = {.versioned = true};
    int result = is_live(tree, ino) ? fs_tree_refresh(tree, entry, 0, io, &stat) : 0;
    fs_tree_put_entry(tree, entry);
    if (result < 0)
        return result;
    result = -ESTALE;
    pthread_mutex_lock(&tree->lock);
    struct fs_node *node = fs_tree_find_node_locked(tree, ino);
    if (node) {
        if (!stat.versioned)
            node->stat = stat;
        fs_tree_fill_attr_locked(tree, node, out);
        *ret_timeout_s = fs_tree_attr_timeout_s(tree, node);
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
    int64_t now = fs_tree_clock_ns(CLOCK_REALTIME);
    entry->opened_at_ns = now > shown + SECOND_NS ? now : shown + SECOND_NS;
    /* A listed entry ends when the kernel forgets it; its time must not go back when it is made
     * anew. */
    if (entry->is_listed && entry->parent->opened_at_ns < entry->opened_at_ns)
        entry->parent->opened_at_ns = entry->opened_at_ns;
}

int fs_tree_check_write(struct fs_tree *tree, fuse_ino_t ino, uint32_t uid)
{
    pthread_mutex_lock(&tree->lock);
    const struct fs_node *node = fs_tree_find_node_locked(tree, ino);
    int result = 0;
    if (!node)
        result = -ESTALE;
    else if (!node->entry->write)
        result = -EROFS;
    else if (uid != 0 && uid != node->entry->owner)
        result = -EACCES;
    pthread_mutex_unlock(&tree->lock);
    return result;
}

/* Pin the version that an inode is, if it is the present one. */
static int open_file(struct fs_tree *tree, struct fs_entry *entry, fuse_ino_t ino, pid_t caller,
                     const struct source_io *io, struct fs_opened *out)
{
    /* The answer stays the caller's when it finds the inode outdated: the kernel then looks the
     * name up and opens again, and must not lose the race a second time. */
    int result = fs_tree_take_for_open(tree, entry, caller, &out->stat)
                     ? 0
                     : fs_tree_ask(tree, entry, caller, io, &out->stat);
    if (result < 0)
        return result;
    pthread_mutex_lock(&tree->lock);
    struct fs_node *node = fs_tree_find_node_locked(tree, ino);
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

int fs_tree_open(struct fs_tree *tree, fuse_ino_t ino, pid_t caller, const struct source_io *io,
                 struct fs_opened *out)
{
    struct fs_entry *entry = fs_tree_get_entry(tree, ino);
    if (!entry)
        return -ESTALE;
    *out = (struct fs_opened){
        .entry = entry,
        .kind = entry->kind,
        .source = entry->source,
        .render = entry->render,
        .write = entry->write,
        .arg = entry->generated_arg,
    };
    int result = 0;
    if (entry->kind == FS_ENTRY_DIR)
        result = -EISDIR;
    else if (entry->kind == FS_ENTRY_FILE)
        result = open_file(tree, entry, ino, caller, io, out);
    if (result < 0)
        fs_tree_put_entry(tree, entry);
    return result;
}

void fs_tree_close(struct fs_tree *tree, const struct fs_opened *opened)
{
    fs_tree_put_entry(tree, opened->entry);
}

int fs_tree_opendir(struct fs_tree *tree, fuse_ino_t ino, const struct source_io *io,
                    uint64_t *ret_n_listed)
{
    struct fs_entry *dir;
    int result = fs_tree_get_dir(tree, ino, &dir);
    if (result < 0)
        return result;
    *ret_n_listed = 0;
    if (dir->listing)
        result = dir->listing->count(dir->listing_arg, io, ret_n_listed);
    fs_tree_put_entry(tree, dir);
    return result;
}

/* A name that was never looked up is listed like any other, and nobody is asked about it. */
static void list_file(struct fs_tree *tree, struct fs_entry *dir, uint64_t index,
                      struct fs_dirent *out)
{
    void *arg;
    dir->listing->name(dir->listing_arg, index, out->name);
    out->skip = dir->listing->has && !dir->listing->has(dir->listing_arg, index);
    out->stat.st_mode = fs_tree_listing_of(dir, index, &arg) ? S_IFDIR : S_IFREG;
    pthread_mutex_lock(&tree->lock);
    const struct fs_entry *entry = fs_tree_find_listed_locked(dir, index);
    out->stat.st_ino = entry && entry->current ? entry->current->ino : UNKNOWN_INO;
    pthread_mutex_unlock(&tree->lock);
}

static int list_entry(struct fs_tree *tree, struct fs_entry *entry, const char *name,
                      const struct source_io *io, struct fs_dirent *out)
{
    snprintf(out->name, sizeof(out->name), "%s", name);
    out->stat.st_mode = entry->kind == FS_ENTRY_DIR ? S_IFDIR : S_IFREG;
    pthread_mutex_lock(&tree->lock);
    bool is_known = !entry->optional || entry->asked_at_ns > entry->restored_at_ns;
    pthread_mutex_unlock(&tree->lock);
    struct source_stat stat;
    int result = is_known ? 0 : fs_tree_ask(tree, entry, 0, io, &stat);
    if (result < 0 && result != -ENOENT)
        return result;
    pthread_mutex_lock(&tree->lock);
    out->skip = entry->is_absent;
    out->stat.st_ino = entry->current ? entry->current->ino : UNKNOWN_INO;
    pthread_mutex_unlock(&tree->lock);
    return 1;
}

static int read_dir(struct fs_tree *tree, struct fs_entry *dir, uint64_t n_listed, uint64_t index,
                    const struct source_io *io, struct fs_dirent *out)
{
    memset(out, 0, sizeof(*out));
    if (index == 0)
        return list_entry(tree, dir, ".", io, out);
    if (index == 1)
        return list_entry(tree, dir->parent, "..", io, out);
    index -= 2;
    if (dir->listing) {
        if (index >= n_listed)
            return 0;
        list_file(tree, dir, index, out);
        return 1;
    }
    struct fs_entry *entry = dir->first_child;
    for (; entry && index > 0; index--)
        entry = entry->next_sibling;
    if (!entry)
        return 0;
    int result = list_entry(tree, entry, entry->name, io, out);
    if (entry->listing && entry->listing->exists)
        out->skip = true; /* to find out may need the network, which a listing never asks */
    return result;
}

int fs_tree_readdir(struct fs_tree *tree, fuse_ino_t ino, uint64_t n_listed, uint64_t index,
                    const struct source_io *io, struct fs_dirent *out)
{
    struct fs_entry *dir;
    int result = fs_tree_get_dir(tree, ino, &dir);
    if (result < 0)
        return result;
    result = read_dir(tree, dir, n_listed, index, io, out);
    fs_tree_put_entry(tree, dir);
    return result;
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
