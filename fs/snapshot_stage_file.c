/* Files, and what changes names: see snapshot_stage.h. */
#include "fs/snapshot_stage_impl.h"
#include "fs/stages.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utlist.h>

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1u /* linux/fs.h */
#endif

/* The shortest id that a canister of any length of name has, in hex digits: 8 bytes, and one. */
#define ID_LEN_MIN 18

/* Could it be the id of a snapshot that is there, or will be? */
static bool looks_like_id(const char *name)
{
    size_t len = strspn(name, "0123456789abcdef");
    return name[len] == '\0' && len >= ID_LEN_MIN && len % 2 == 0;
}

/* Names in the longest path from it on, its own one counts. What cannot be read may be as deep as
 * its place allows. */
static unsigned height_of(const struct fs_snapshot_node *node)
{
    unsigned height = node->is_unread ? FS_SNAPSHOT_STAGE_DEPTH - snapshot_stage_depth(node) : 0;
    for (const struct fs_snapshot_node *child = node->children; child; child = child->next) {
        unsigned of_child = height_of(child);
        height = of_child > height ? of_child : height;
    }
    return height + 1;
}

int snapshot_stage_place_locked(struct fs_snapshot_stage *stage, fuse_ino_t parent,
                                const char *name, struct fs_snapshot_node **ret_dir,
                                char path[PATH_MAX])
{
    char dir_path[PATH_MAX];
    int result = snapshot_stage_take_locked(stage);
    if (result != 0)
        return result;
    struct fs_snapshot_node *dir = snapshot_stage_at_locked(stage, parent);
    if (!dir)
        return -ESTALE;
    if (strlen(name) >= FS_NAME_SIZE || snapshot_stage_depth(dir) >= FS_SNAPSHOT_STAGE_DEPTH)
        return -ENAMETOOLONG;
    result = snapshot_stage_check_locked(dir);
    if (result == 0)
        result = snapshot_stage_learn_locked(stage, dir);
    if (result == 0)
        result = snapshot_stage_path_locked(dir, dir_path);
    if (result == 0 && snprintf(path, PATH_MAX, "%s/%s", dir_path, name) >= PATH_MAX)
        result = -ENAMETOOLONG;
    *ret_dir = dir;
    return result;
}

void snapshot_stage_give(int fd, const char *path, const struct fs_snapshot_maker *maker)
{
    if (geteuid() == 0) /* else they are ours, and the mount is for us alone, or for all to see */
        (void)!fchownat(fd, path, maker->uid, maker->gid, AT_SYMLINK_NOFOLLOW);
    /* The kernel has taken away what the umask of who made it says; ours is no business of it. */
    (void)!fchmodat(fd, path, maker->mode & 07777, 0);
}

/* --- names --- */

static int check_room_locked(const struct fs_snapshot_stage *stage)
{
    return HASH_COUNT(stage->nodes) < FS_SNAPSHOT_STAGE_NAMES ? 0 : -ENOSPC;
}

int fs_snapshot_stage_mkdir(struct fs_snapshot_stage *stage, fuse_ino_t parent, const char *name,
                            const struct fs_snapshot_maker *maker, struct fuse_entry_param *out)
{
    struct fs_snapshot_node *dir = NULL;
    char path[PATH_MAX];
    if (parent == FS_SNAPSHOT_STAGE_TOP && looks_like_id(name))
        return -EEXIST;
    pthread_mutex_lock(&stage->lock);
    int result = snapshot_stage_place_locked(stage, parent, name, &dir, path);
    if (result == 0)
        result = check_room_locked(stage);
    if (result == 0)
        result = mkdirat(stage->files_fd, path, maker->mode & 07777) < 0 ? -errno : 0;
    if (result == 0) {
        struct fs_snapshot_node *node = snapshot_stage_add_locked(stage, dir, name, true);
        snapshot_stage_give(stage->files_fd, path, maker);
        result = node ? snapshot_stage_entry_locked(stage, node, out) : -ENOMEM;
        if (!node)
            (void)!unlinkat(stage->files_fd, path, AT_REMOVEDIR);
    }
    pthread_mutex_unlock(&stage->lock);
    return result;
}

/* It is not there on the disk any more. */
static void drop_locked(struct fs_snapshot_stage *stage, struct fs_snapshot_node *node)
{
    assert(node->parent);
    for (struct fs_snapshot_node *up = node->parent; up; up = up->parent)
        up->n_writers -= node->n_writers;
    DL_DELETE(node->parent->children, node);
    node->parent = NULL;
    snapshot_stage_settle_locked(stage, node);
}

int fs_snapshot_stage_remove(struct fs_snapshot_stage *stage, fuse_ino_t parent, const char *name,
                             bool is_dir)
{
    struct fs_snapshot_node *dir = NULL;
    char path[PATH_MAX];
    pthread_mutex_lock(&stage->lock);
    int result = snapshot_stage_place_locked(stage, parent, name, &dir, path);
    struct fs_snapshot_node *node = result == 0 ? snapshot_stage_child_locked(dir, name) : NULL;
    if (result == 0)
        result = node ? snapshot_stage_check_locked(node) : -ENOENT;
    if (result == 0 && unlinkat(stage->files_fd, path, is_dir ? AT_REMOVEDIR : 0) < 0)
        result = -errno;
    if (result == 0)
        drop_locked(stage, node);
    pthread_mutex_unlock(&stage->lock);
    return result;
}

/* Another name, which it takes, in the same or another directory. */
static void move_locked(struct fs_snapshot_node *node, struct fs_snapshot_node *dir, char *name)
{
    assert(node->parent);
    for (struct fs_snapshot_node *up = node->parent; up; up = up->parent)
        up->n_writers -= node->n_writers;
    DL_DELETE(node->parent->children, node);
    free(node->name);
    node->name = name;
    node->parent = dir;
    /* Where the numbers want it: a directory is listed by them. */
    struct fs_snapshot_node *after = dir->children;
    while (after && after->ino < node->ino)
        after = after->next;
    if (after)
        DL_PREPEND_ELEM(dir->children, after, node);
    else
        DL_APPEND(dir->children, node);
    for (struct fs_snapshot_node *up = dir; up; up = up->parent)
        up->n_writers += node->n_writers;
}

static int rename_locked(struct fs_snapshot_stage *stage, fuse_ino_t parent, const char *name,
                         fuse_ino_t new_parent, const char *new_name, unsigned flags)
{
    struct fs_snapshot_node *dir = NULL;
    struct fs_snapshot_node *new_dir = NULL;
    char path[PATH_MAX];
    char new_path[PATH_MAX];
    int result = snapshot_stage_place_locked(stage, parent, name, &dir, path);
    if (result == 0)
        result = snapshot_stage_place_locked(stage, new_parent, new_name, &new_dir, new_path);
    if (result != 0)
        return result;
    struct fs_snapshot_node *node = snapshot_stage_child_locked(dir, name);
    struct fs_snapshot_node *old = snapshot_stage_child_locked(new_dir, new_name);
    if (!node)
        return -ENOENT;
    bool is_top = new_parent == FS_SNAPSHOT_STAGE_TOP;
    if (is_top && !node->is_dir)
        return -EPERM; /* only directories are there */
    if (is_top && looks_like_id(new_name))
        return -EEXIST;
    if (old && (flags & (unsigned)RENAME_NOREPLACE))
        return -EEXIST;
    if (old == node)
        return 0;
    if (snapshot_stage_depth(new_dir) + height_of(node) > FS_SNAPSHOT_STAGE_DEPTH)
        return -ENAMETOOLONG;
    result = snapshot_stage_check_locked(node);
    if (result == 0 && old)
        result = snapshot_stage_check_locked(old);
    if (result < 0)
        return result;
    char *copy = strdup(new_name); /* before anything is replaced: that cannot be undone */
    if (!copy)
        return -ENOMEM;
    if (renameat(stage->files_fd, path, stage->files_fd, new_path) < 0) {
        result = -errno;
        free(copy);
        return result;
    }
    if (old)
        drop_locked(stage, old);
    move_locked(node, new_dir, copy);
    return 0;
}

int fs_snapshot_stage_rename(struct fs_snapshot_stage *stage, fuse_ino_t parent, const char *name,
                             fuse_ino_t new_parent, const char *new_name, unsigned flags)
{
    if (flags & ~(unsigned)RENAME_NOREPLACE)
        return -EINVAL;
    pthread_mutex_lock(&stage->lock);
    int result = rename_locked(stage, parent, name, new_parent, new_name, flags);
    pthread_mutex_unlock(&stage->lock);
    return result;
}

/* --- attributes --- */

static struct timespec time_to_set(int to_set, int flag, int now_flag, struct timespec time)
{
    if (to_set & now_flag)
        return (struct timespec){.tv_nsec = UTIME_NOW};
    return to_set & flag ? time : (struct timespec){.tv_nsec = UTIME_OMIT};
}

static int set_size(int dir_fd, const char *path, off_t size, const struct fs_snapshot_file *file)
{
    if (size < 0 || (uint64_t)size > FS_STAGED_SIZE_MAX)
        return -EFBIG;
    if (file && file->can_write)
        return ftruncate(file->fd, size) < 0 ? -errno : 0;
    int fd = openat(dir_fd, path, O_WRONLY | O_CLOEXEC | snapshot_stage_nofollow(path, O_NOFOLLOW));
    if (fd < 0)
        return -errno;
    int result = ftruncate(fd, size) < 0 ? -errno : 0;
    close(fd);
    return result;
}

static int set_attr(int dir_fd, const char *path, const struct stat *attr, int to_set,
                    const struct fs_snapshot_file *file)
{
    int nofollow = snapshot_stage_nofollow(path, AT_SYMLINK_NOFOLLOW);
    if ((to_set & FUSE_SET_ATTR_MODE) && fchmodat(dir_fd, path, attr->st_mode & 07777, 0) < 0)
        return -errno;
    if (to_set & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)) {
        uid_t uid = to_set & FUSE_SET_ATTR_UID ? attr->st_uid : (uid_t)-1;
        gid_t gid = to_set & FUSE_SET_ATTR_GID ? attr->st_gid : (gid_t)-1;
        if (fchownat(dir_fd, path, uid, gid, nofollow) < 0)
            return -errno;
    }
    if (to_set & FUSE_SET_ATTR_SIZE) {
        int result = set_size(dir_fd, path, attr->st_size, file);
        if (result < 0)
            return result;
    }
    const struct timespec times[] = {
        time_to_set(to_set, FUSE_SET_ATTR_ATIME, FUSE_SET_ATTR_ATIME_NOW, attr->st_atim),
        time_to_set(to_set, FUSE_SET_ATTR_MTIME, FUSE_SET_ATTR_MTIME_NOW, attr->st_mtim),
    };
    return utimensat(dir_fd, path, times, nofollow) < 0 ? -errno : 0;
}

int fs_snapshot_stage_setattr(struct fs_snapshot_stage *stage, fuse_ino_t ino,
                              const struct stat *attr, int to_set,
                              const struct fs_snapshot_file *file)
{
    char path[PATH_MAX];
    pthread_mutex_lock(&stage->lock);
    const struct fs_snapshot_node *node = snapshot_stage_at_locked(stage, ino);
    int result = node ? snapshot_stage_check_locked(node) : -ESTALE;
    if (result == 0)
        result = snapshot_stage_path_locked(node, path);
    if (result == 0)
        result = set_attr(stage->files_fd, path, attr, to_set, file);
    pthread_mutex_unlock(&stage->lock);
    return result;
}

/* --- files --- */

static void count_writer_locked(const struct fs_snapshot_file *file, int direction)
{
    struct fs_snapshot_node *node = file->node;
    for (; file->can_write && node; node = node->parent)
        node->n_writers += (unsigned)direction;
}

static void fill_file_locked(struct fs_snapshot_file *out, struct fs_snapshot_stage *stage,
                             struct fs_snapshot_node *node, int fd, bool can_write)
{
    *out =
        (struct fs_snapshot_file){.stage = stage, .node = node, .fd = fd, .can_write = can_write};
    DL_APPEND(node->files, out);
    count_writer_locked(out, 1);
}

int fs_snapshot_stage_open_ino(struct fs_snapshot_stage *stage, fuse_ino_t ino, int flags,
                               struct fs_snapshot_file *out)
{
    char path[PATH_MAX];
    int kept = flags & (O_ACCMODE | O_TRUNC | O_APPEND);
    bool can_write = (flags & O_ACCMODE) != O_RDONLY;
    pthread_mutex_lock(&stage->lock);
    struct fs_snapshot_node *node = snapshot_stage_at_locked(stage, ino);
    int result = node ? snapshot_stage_path_locked(node, path) : -ESTALE;
    if (result == 0 && (can_write || (flags & O_TRUNC)))
        result = snapshot_stage_check_locked(node);
    if (result == 0) {
        int fd = openat(stage->files_fd, path,
                        kept | O_CLOEXEC | snapshot_stage_nofollow(path, O_NOFOLLOW));
        result = fd < 0 ? -errno : 0;
        if (result == 0)
            fill_file_locked(out, stage, node, fd, can_write);
    }
    pthread_mutex_unlock(&stage->lock);
    return result;
}

int fs_snapshot_stage_create(struct fs_snapshot_stage *stage, fuse_ino_t parent, const char *name,
                             const struct fs_snapshot_maker *maker, int flags,
                             struct fuse_entry_param *entry, struct fs_snapshot_file *out)
{
    struct fs_snapshot_node *dir = NULL;
    struct fs_snapshot_node *node = NULL;
    char path[PATH_MAX];
    int kept = flags & (O_ACCMODE | O_APPEND);
    int fd = -1;
    if (parent == FS_SNAPSHOT_STAGE_TOP)
        return -EPERM; /* only directories are there */
    pthread_mutex_lock(&stage->lock);
    int result = snapshot_stage_place_locked(stage, parent, name, &dir, path);
    if (result == 0)
        result = check_room_locked(stage);
    if (result == 0) {
        fd = openat(stage->files_fd, path, kept | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                    maker->mode & 07777);
        result = fd < 0 ? -errno : 0;
    }
    if (result == 0) {
        node = snapshot_stage_add_locked(stage, dir, name, false);
        snapshot_stage_give(stage->files_fd, path, maker);
        result = node ? snapshot_stage_entry_locked(stage, node, entry) : -ENOMEM;
    }
    if (result == 0)
        fill_file_locked(out, stage, node, fd, (flags & O_ACCMODE) != O_RDONLY);
    else if (fd >= 0) {
        close(fd);
        (void)!unlinkat(stage->files_fd, path, 0);
        if (node)
            drop_locked(stage, node);
    }
    pthread_mutex_unlock(&stage->lock);
    return result;
}

void fs_snapshot_stage_release(struct fs_snapshot_file *file)
{
    struct fs_snapshot_stage *stage = file->stage;
    pthread_mutex_lock(&stage->lock);
    DL_DELETE(file->node->files, file);
    count_writer_locked(file, -1);
    snapshot_stage_settle_locked(stage, file->node);
    pthread_mutex_unlock(&stage->lock);
    close(file->fd);
}

ssize_t fs_snapshot_stage_read(const struct fs_snapshot_file *file, void *buf, size_t len,
                               uint64_t off)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = pread(file->fd, (char *)buf + done, len - done, (off_t)(off + done));
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

ssize_t fs_snapshot_stage_write(const struct fs_snapshot_file *file, const void *buf, size_t len,
                                uint64_t off)
{
    size_t done = 0;
    if (off > FS_STAGED_SIZE_MAX || len > FS_STAGED_SIZE_MAX - off)
        return -EFBIG;
    while (done < len) {
        ssize_t n = pwrite(file->fd, (const char *)buf + done, len - done, (off_t)(off + done));
        if (n < 0)
            return done > 0 ? (ssize_t)done : -errno;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

int fs_snapshot_stage_fallocate(const struct fs_snapshot_file *file, int mode, uint64_t off,
                                uint64_t len)
{
    if (off > FS_STAGED_SIZE_MAX || len > FS_STAGED_SIZE_MAX - off)
        return -EFBIG;
    return fallocate(file->fd, mode, (off_t)off, (off_t)len) < 0 ? -errno : 0;
}

/* Make a path that of the directory it is in. */
static void to_parent(char path[PATH_MAX])
{
    char *last = strrchr(path, '/');
    snprintf(last ? last : path, 2, "%s", last ? "" : ".");
}

/* A directory holds its names by itself: it and each one up to files/ is made durable. Where one
 * cannot be opened (it was renamed meanwhile, or may not be read), all that is on the disk is. */
static int sync_dirs(const struct fs_snapshot_stage *stage, char path[PATH_MAX])
{
    for (;;) {
        int fd = openat(stage->files_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
            return syncfs(stage->files_fd) < 0 ? -errno : 0;
        int result = fsync(fd) < 0 ? -errno : 0;
        close(fd);
        if (result < 0 || strcmp(path, ".") == 0)
            return result;
        to_parent(path);
    }
}

int fs_snapshot_stage_sync_dir(struct fs_snapshot_stage *stage, fuse_ino_t ino)
{
    char path[PATH_MAX];
    pthread_mutex_lock(&stage->lock);
    const struct fs_snapshot_node *dir = snapshot_stage_at_locked(stage, ino);
    int result = snapshot_stage_take_locked(stage);
    if (result == 0)
        result = dir ? snapshot_stage_path_locked(dir, path) : -ESTALE;
    pthread_mutex_unlock(&stage->lock);
    if (result == -EBUSY || result == -ENOENT)
        return 0; /* nothing of this mount's is there; it was removed */
    return result < 0 ? result : sync_dirs(stage, path);
}

int fs_snapshot_stage_sync(const struct fs_snapshot_file *file)
{
    struct fs_snapshot_stage *stage = file->stage;
    char path[PATH_MAX];
    if (fsync(file->fd) < 0)
        return -errno;
    pthread_mutex_lock(&stage->lock);
    bool is_removed = !file->node->parent;
    int result = snapshot_stage_path_locked(file->node, path);
    pthread_mutex_unlock(&stage->lock);
    if (result < 0 || is_removed)
        return result;
    to_parent(path);
    return sync_dirs(stage, path);
}
