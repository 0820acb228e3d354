/* Entries that come and go: the files of directories with a listing, and directories in them.
 *
 * Such an entry is made when its name is looked up. It is counted who needs it: its nodes, the
 * handles that are open (the kernel may forget an inode before our RELEASE is done), the calls that
 * are under way, and the entries in it. With the last of them it is taken out of its directory, and
 * its source is closed once the tree lock is given up; whoever looks the name up meanwhile makes
 * another entry. References to other entries are counted alike but end nothing.
 *
 * A failed lookup leaves no entry, only its failure, in one of a fixed number of slots.
 */
#include "fs/tree_impl.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

struct fs_entry *fs_tree_find_listed_locked(struct fs_entry *dir, uint64_t index)
{
    struct fs_entry *entry;
    HASH_FIND(hh, dir->files, &index, sizeof(index), entry);
    return entry;
}

/* The entry goes while its failure is still to be kept: in the place of the oldest. */
static void leave_failure_locked(struct fs_tree *tree, const struct fs_entry *entry)
{
    if (entry->failure == 0)
        return;
    struct fs_tree_failure *oldest = &tree->failures[0];
    for (int i = 1; i < FS_TREE_N_FAILURES; i++)
        if (tree->failures[i].failed_at_ns < oldest->failed_at_ns)
            oldest = &tree->failures[i];
    *oldest = (struct fs_tree_failure){
        .listing_number = entry->parent->listing_number,
        .index = entry->index,
        .failure = entry->failure,
        .failed_at_ns = entry->failed_at_ns,
    };
}

/* ... and comes again. */
static void take_failure_locked(struct fs_tree *tree, struct fs_entry *entry)
{
    for (int i = 0; i < FS_TREE_N_FAILURES; i++) {
        struct fs_tree_failure *left = &tree->failures[i];
        if (left->failed_at_ns == 0 || left->index != entry->index ||
            left->listing_number != entry->parent->listing_number)
            continue;
        entry->failure = left->failure;
        entry->failed_at_ns = left->failed_at_ns;
        *left = (struct fs_tree_failure){0};
        return;
    }
}

const struct fs_listing_ops *fs_tree_listing_of(const struct fs_entry *dir, uint64_t index,
                                                void **ret_arg)
{
    return dir->listing->dir ? dir->listing->dir(dir->listing_arg, index, ret_arg) : NULL;
}

static int open_listed(struct fs_entry *dir, uint64_t index, struct fs_entry **out)
{
    struct fs_entry *entry = calloc(1, sizeof(*entry));
    if (!entry)
        return -ENOMEM;
    int result = dir->listing->open(dir->listing_arg, index, &entry->source);
    if (result < 0) {
        free(entry);
        return result;
    }
    entry->parent = dir;
    entry->optional = true;
    entry->is_listed = true;
    entry->index = index;
    entry->listing = fs_tree_listing_of(dir, index, &entry->listing_arg);
    entry->kind = entry->listing ? FS_ENTRY_DIR : FS_ENTRY_FILE;
    if (entry->listing)
        entry->listing_number = fs_tree_listed_number(dir->listing_number, index);
    *out = entry;
    return 0;
}

static bool add_listed_locked(struct fs_tree *tree, struct fs_entry *entry)
{
    HASH_ADD(hh, entry->parent->files, index, sizeof(entry->index), entry);
    if (!entry->hh.tbl)
        return false;
    entry->parent->n_refs++;
    entry->opened_at_ns = entry->parent->opened_at_ns;
    take_failure_locked(tree, entry);
    return true;
}

int fs_tree_get_listed(struct fs_tree *tree, struct fs_entry *dir, uint64_t index,
                       struct fs_entry **out)
{
    pthread_mutex_lock(&tree->lock);
    struct fs_entry *entry = fs_tree_find_listed_locked(dir, index);
    if (entry)
        entry->n_refs++;
    pthread_mutex_unlock(&tree->lock);
    if (entry) {
        *out = entry;
        return 0;
    }
    struct fs_entry *opened;
    int result = open_listed(dir, index, &opened);
    if (result < 0)
        return result;
    pthread_mutex_lock(&tree->lock);
    entry = fs_tree_find_listed_locked(dir, index); /* another lookup may have been faster */
    if (!entry && add_listed_locked(tree, opened))
        entry = opened;
    if (entry)
        entry->n_refs++;
    pthread_mutex_unlock(&tree->lock);
    if (entry != opened)
        fs_tree_free_entries(opened);
    if (!entry)
        return -ENOMEM;
    *out = entry;
    return 0;
}

struct fs_entry *fs_tree_get_entry(struct fs_tree *tree, fuse_ino_t ino)
{
    pthread_mutex_lock(&tree->lock);
    struct fs_node *node = fs_tree_find_node_locked(tree, ino);
    struct fs_entry *entry = node ? node->entry : NULL;
    if (entry)
        entry->n_refs++;
    pthread_mutex_unlock(&tree->lock);
    return entry;
}

struct fs_entry *fs_tree_unref_locked(struct fs_tree *tree, struct fs_entry *entry)
{
    struct fs_entry *unused = NULL;
    for (;;) {
        assert(entry->n_refs > 0);
        entry->n_refs--;
        if (entry->n_refs > 0 || !entry->is_listed)
            return unused;
        struct fs_entry *dir = entry->parent;
        HASH_DEL(dir->files, entry);
        leave_failure_locked(tree, entry);
        entry->next_sibling = unused;
        unused = entry;
        entry = dir;
    }
}

void fs_tree_free_entries(struct fs_entry *unused)
{
    while (unused) {
        struct fs_entry *next = unused->next_sibling;
        source_close(unused->source);
        free(unused);
        unused = next;
    }
}

void fs_tree_put_entry(struct fs_tree *tree, struct fs_entry *entry)
{
    pthread_mutex_lock(&tree->lock);
    struct fs_entry *unused = fs_tree_unref_locked(tree, entry);
    pthread_mutex_unlock(&tree->lock);
    fs_tree_free_entries(unused);
}
