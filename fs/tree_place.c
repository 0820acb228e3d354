/* Files that can be restored: see tree.h. What can be restored is immutable once the mount serves,
 * so but for inodes and what was learned nothing here needs the lock. */
#include "fs/tree_impl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The entry at a path; the last name is left when it is one of a directory with a listing. */
static struct fs_entry *walk(struct fs_tree *tree, const char *path, char last[FS_NAME_SIZE])
{
    struct fs_entry *entry = tree->root;
    last[0] = '\0';
    while (entry && *path) {
        size_t len = strcspn(path, "/");
        if (len == 0 || len >= FS_NAME_SIZE || last[0])
            return NULL;
        memcpy(last, path, len);
        last[len] = '\0';
        path += len + (path[len] == '/');
        if (!entry->listing) {
            entry = fs_tree_find_child(entry, last);
            last[0] = '\0';
        }
    }
    return entry;
}

int fs_tree_set_restorable(struct fs_tree *tree, const char *path,
                           const struct fs_restorable *restorable)
{
    char last[FS_NAME_SIZE];
    struct fs_entry *entry = walk(tree, path, last);
    if (!entry || last[0] || (entry->kind != FS_ENTRY_FILE && !entry->listing))
        return -ENOENT;
    entry->restorable = restorable;
    struct fs_entry *dir = entry->listing ? entry : entry->parent;
    dir->has_places = true;
    return 0;
}

static int place_in(struct fs_entry *dir, const char *name, struct fs_place *out)
{
    if (dir->kind != FS_ENTRY_DIR)
        return -ENOTDIR;
    struct fs_place place = {.entry = dir};
    if (dir->listing) {
        int result = dir->listing->find(dir->listing_arg, name, &place.index);
        if (result < 0)
            return result;
    } else {
        place.entry = fs_tree_find_child(dir, name);
        if (!place.entry)
            return -ENOENT;
    }
    if (!place.entry->restorable)
        return -EROFS;
    *out = place;
    return 0;
}

int fs_tree_find_place_in(struct fs_tree *tree, fuse_ino_t parent, const char *name,
                          struct fs_place *out)
{
    struct fs_entry *dir;
    if (strlen(name) >= FS_NAME_SIZE)
        return -ENAMETOOLONG;
    int result = fs_tree_get_dir(tree, parent, &dir);
    if (result < 0)
        return result;
    result = place_in(dir, name, out);
    fs_tree_put_entry(tree, dir);
    return result;
}

int fs_tree_parse_place(struct fs_tree *tree, const char *path, struct fs_place *out)
{
    char last[FS_NAME_SIZE];
    struct fs_entry *entry = walk(tree, path, last);
    if (!entry)
        return -ENOENT;
    if (last[0])
        return place_in(entry, last, out);
    if (entry->kind != FS_ENTRY_FILE || !entry->restorable)
        return -EROFS;
    *out = (struct fs_place){.entry = entry};
    return 0;
}

bool fs_tree_find_place(struct fs_tree *tree, fuse_ino_t ino, struct fs_place *out)
{
    pthread_mutex_lock(&tree->lock);
    const struct fs_node *node = fs_tree_find_node_locked(tree, ino);
    bool found = node && fs_tree_is_restorable(node->entry);
    if (found)
        *out = (struct fs_place){
            .entry = node->entry->is_listed ? node->entry->parent : node->entry,
            .index = node->entry->is_listed ? node->entry->index : 0,
        };
    pthread_mutex_unlock(&tree->lock);
    return found;
}

/* Names are put before what is there, from the end of buf. */
static char *prepend(char *at, const char *buf, const char *name)
{
    size_t len = strlen(name);
    bool has_more = *at != '\0';
    if ((size_t)(at - buf) < len + has_more)
        return at; /* no path of ours is as long */
    if (has_more)
        *--at = '/';
    at -= len;
    memcpy(at, name, len);
    return at;
}

static void format(const struct fs_entry *entry, const char *last, char path[FS_PLACE_PATH_MAX])
{
    char buf[FS_PLACE_PATH_MAX];
    char *at = buf + sizeof(buf) - 1;
    *at = '\0';
    if (last)
        at = prepend(at, buf, last);
    for (; entry->parent != entry; entry = entry->parent) {
        const struct fs_entry *dir = entry->parent;
        char listed[FS_NAME_SIZE];
        if (entry->is_listed)
            dir->listing->name(dir->listing_arg, entry->index, listed);
        at = prepend(at, buf, entry->is_listed ? listed : entry->name);
    }
    snprintf(path, FS_PLACE_PATH_MAX, "%s", at);
}

void fs_tree_format_place(const struct fs_place *place, char path[FS_PLACE_PATH_MAX])
{
    const struct fs_entry *entry = place->entry;
    char last[FS_NAME_SIZE];
    if (entry->listing)
        entry->listing->name(entry->listing_arg, place->index, last);
    format(entry, entry->listing ? last : NULL, path);
}

int fs_tree_format_dir(struct fs_tree *tree, fuse_ino_t ino, char path[FS_PLACE_PATH_MAX])
{
    struct fs_entry *dir;
    int result = fs_tree_get_dir(tree, ino, &dir);
    if (result < 0)
        return result;
    format(dir, NULL, path);
    fs_tree_put_entry(tree, dir);
    return 0;
}

const struct fs_restorable *fs_tree_restorable_of(const struct fs_place *place)
{
    return place->entry->restorable;
}

int fs_tree_set_writable(struct fs_tree *tree, const char *path)
{
    char last[FS_NAME_SIZE];
    struct fs_entry *entry = walk(tree, path, last);
    if (!entry || last[0] || entry->kind != FS_ENTRY_DIR)
        return -ENOENT;
    entry->is_writable = true;
    return 0;
}

bool fs_tree_has_places(struct fs_tree *tree, fuse_ino_t dir)
{
    struct fs_entry *entry;
    if (fs_tree_get_dir(tree, dir, &entry) < 0)
        return false;
    bool has_places = entry->has_places;
    fs_tree_put_entry(tree, entry);
    return has_places;
}

bool fs_tree_is_dir(struct fs_tree *tree, fuse_ino_t ino)
{
    struct fs_entry *entry;
    if (fs_tree_get_dir(tree, ino, &entry) < 0)
        return false;
    fs_tree_put_entry(tree, entry);
    return true;
}

void fs_tree_outdate_place(struct fs_tree *tree, const struct fs_place *place)
{
    pthread_mutex_lock(&tree->lock);
    place->entry->restored_at_ns = fs_tree_clock_ns(CLOCK_MONOTONIC);
    pthread_mutex_unlock(&tree->lock);
}
