/* Inodes. See tree.h for entries and nodes.
 *
 * A directory and a generated file have one node for the life of the mount, and so has a file whose
 * source is not versioned: there every open pins a fresh version for the handle, and the kernel
 * drops the inode's pages (keep_cache = 0). A versioned file has one node per version that was
 * looked up. A listed node lives as long as the kernel knows it.
 */
#include "fs/tree_impl.h"

#include <stdlib.h>
#include <string.h>

#define LASTING_S (30 * 86400.0)

#define BLOCK_SIZE_HINT (1 << 20) /* st_blksize: makes cp and dd ask in large pieces */

/* Numbers of listed files have this bit and no higher one: no counter comes that far, and programs
 * that keep numbers as doubles have 53 bits. */
#define LISTED_INO_BIT (UINT64_C(1) << 51)

struct fs_node *fs_tree_find_node_locked(struct fs_tree *tree, fuse_ino_t ino)
{
    uint64_t key = ino;
    struct fs_node *node;
    HASH_FIND(hh, tree->nodes, &key, sizeof(key), node);
    return node;
}

static uint64_t mix(uint64_t state, uint64_t value)
{
    state = (state ^ value) * UINT64_C(0x9e3779b97f4a7c15); /* 2^64 over the golden ratio, odd */
    return state ^ state >> 32;
}

uint64_t fs_tree_listed_ino(uint64_t listing_number, uint64_t index, uint64_t version)
{
    uint64_t mixed = mix(mix(mix(0, listing_number), index), version);
    return LISTED_INO_BIT | (mixed & (LISTED_INO_BIT - 1));
}

uint64_t fs_tree_listed_number(uint64_t listing_number, uint64_t index)
{
    return mix(mix(0, listing_number), index);
}

/* Listed files are forgotten by the kernel all the time. What is the same file at the same version
 * has the same number each time, because backup programs (restic, borg) take another number for
 * another file; so the number is made of what the node is, and nothing need be remembered. Where
 * something else that the kernel knows has that number, the next free one is taken.
 *
 * Returns the number; fills the node that this version has already, or NULL. */
static uint64_t listed_ino_locked(struct fs_tree *tree, const struct fs_entry *entry,
                                  uint64_t version, struct fs_node **ret_node)
{
    uint64_t ino = fs_tree_listed_ino(entry->parent->listing_number, entry->index, version);
    for (;; ino = LISTED_INO_BIT | ((ino + 1) & (LISTED_INO_BIT - 1))) {
        struct fs_node *node = fs_tree_find_node_locked(tree, ino);
        if (!node || (node->entry == entry && node->stat.version == version)) {
            *ret_node = node;
            return ino;
        }
    }
}

static struct fs_node *add_node_locked(struct fs_tree *tree, struct fs_entry *entry, uint64_t ino)
{
    struct fs_node *node = calloc(1, sizeof(*node));
    if (!node)
        return NULL;
    node->ino = ino;
    node->entry = entry;
    HASH_ADD(hh, tree->nodes, ino, sizeof(node->ino), node);
    if (!node->hh.tbl) {
        free(node);
        return NULL;
    }
    entry->n_refs++;
    return node;
}

/* A node at that version of an entry that is not its current one. */
static struct fs_node *other_node_locked(struct fs_tree *tree, struct fs_entry *entry,
                                         const struct source_stat *stat)
{
    if (!entry->is_listed)
        return add_node_locked(tree, entry, tree->next_ino++);
    /* A version can come back while the kernel still knows its inode. */
    struct fs_node *known;
    uint64_t ino = listed_ino_locked(tree, entry, stat->versioned ? stat->version : 0, &known);
    return known ? known : add_node_locked(tree, entry, ino);
}

struct fs_node *fs_tree_node_for_locked(struct fs_tree *tree, struct fs_entry *entry,
                                        const struct source_stat *stat)
{
    struct fs_node *node = entry->current;
    if (node && entry->kind != FS_ENTRY_FILE)
        return node;
    if (node && !stat->versioned) {
        node->stat = *stat;
        return node;
    }
    if (node && node->stat.version == stat->version)
        return node;
    struct fs_node *next = other_node_locked(tree, entry, stat);
    if (!next)
        return NULL;
    next->stat = *stat;
    entry->current = next;
    if (node && node->n_lookup == 0)
        fs_tree_drop_node_locked(tree, node);
    return next;
}

struct fs_entry *fs_tree_drop_node_locked(struct fs_tree *tree, struct fs_node *node)
{
    struct fs_entry *entry = node->entry;
    if (entry->current == node)
        entry->current = NULL;
    HASH_DEL(tree->nodes, node);
    free(node);
    return fs_tree_unref_locked(tree, entry);
}

bool fs_tree_is_live(struct fs_tree *tree, fuse_ino_t ino)
{
    pthread_mutex_lock(&tree->lock);
    const struct fs_node *node = fs_tree_find_node_locked(tree, ino);
    bool is_live = node && node->entry->kind == FS_ENTRY_FILE &&
                   (!node->entry->optional || node->entry->is_awaited) && !node->stat.immutable;
    pthread_mutex_unlock(&tree->lock);
    return is_live;
}

bool fs_tree_is_restorable(const struct fs_entry *entry)
{
    const struct fs_entry *owner = entry->is_listed ? entry->parent : entry;
    return entry->kind == FS_ENTRY_FILE && owner->restorable;
}

void fs_tree_fill_attr_locked(const struct fs_tree *tree, const struct fs_node *node,
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
        mode_t mode = entry->has_places || entry->is_writable ? 0755 : 0555;
        out->st_mode = S_IFDIR | (mode & ~tree->config.umask);
        out->st_nlink = 2;
        if (entry->source) {
            out->st_size = (off_t)node->stat.size;
            mtime_ns = node->stat.mtime_ns;
        }
    } else {
        mode_t mode = fs_tree_is_restorable(entry) ? 0644 : 0444;
        out->st_mode = S_IFREG | (mode & ~tree->config.umask);
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

/* Not at all where an open moves the mtime, for rsync would skip a file whose mtime it knows. */
double fs_tree_attr_timeout_s(const struct fs_tree *tree, const struct fs_node *node)
{
    bool is_live = node->entry->kind == FS_ENTRY_FILE && !node->stat.versioned;
    return is_live ? 0 : (double)tree->config.attr_timeout_ns / 1e9;
}

/* Not at all where a restore changes what a name stands for: whoever looks after it must see it.
 *
 * Directories that do not come and go, and generated files stay for ever: while the lookup of a
 * file waits for the network, others in its directory may wait behind it (ops_init), and status and
 * control must be there all the same. */
double fs_tree_entry_timeout_s(const struct fs_tree *tree, const struct fs_entry *entry)
{
    if (fs_tree_is_restorable(entry))
        return 0;
    bool is_lasting = !entry->source;
    return is_lasting ? LASTING_S : (double)tree->config.attr_timeout_ns / 1e9;
}
