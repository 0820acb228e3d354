/* The names: see snapshot_stage.h. */
#include "fs/snapshot_stage_impl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utlist.h>

#define INO_BIT (UINT64_C(1) << 53)

bool fs_snapshot_stage_is_ino(fuse_ino_t ino)
{
    return ino & INO_BIT;
}

/* --- nodes --- */

struct fs_snapshot_node *snapshot_stage_at_locked(struct fs_snapshot_stage *stage, fuse_ino_t ino)
{
    struct fs_snapshot_node *node;
    uint64_t key = ino;
    if (ino == FS_SNAPSHOT_STAGE_TOP)
        return &stage->top;
    HASH_FIND(hh, stage->nodes, &key, sizeof(key), node);
    return node;
}

struct fs_snapshot_node *snapshot_stage_child_locked(const struct fs_snapshot_node *dir,
                                                     const char *name)
{
    struct fs_snapshot_node *node;
    DL_FOREACH(dir->children, node)
    if (strcmp(node->name, name) == 0)
        return node;
    return NULL;
}

struct fs_snapshot_node *snapshot_stage_add_locked(struct fs_snapshot_stage *stage,
                                                   struct fs_snapshot_node *dir, const char *name,
                                                   bool is_dir)
{
    struct fs_snapshot_node *node = calloc(1, sizeof(*node));
    if (!node)
        return NULL;
    node->ino = INO_BIT | ++stage->last_ino;
    node->is_dir = is_dir;
    node->name = strdup(name);
    if (node->name)
        HASH_ADD(hh, stage->nodes, ino, sizeof(node->ino), node);
    if (!node->name || !node->hh.tbl) {
        free(node->name);
        free(node);
        return NULL;
    }
    node->parent = dir;
    DL_APPEND(dir->children, node);
    return node;
}

void snapshot_stage_settle_locked(struct fs_snapshot_stage *stage, struct fs_snapshot_node *node)
{
    if (node->parent || node == &stage->top || node->n_lookup > 0 || node->files)
        return;
    HASH_DEL(stage->nodes, node);
    free(node->name);
    free(node);
}

int snapshot_stage_path_locked(const struct fs_snapshot_node *node, char path[PATH_MAX])
{
    char buf[PATH_MAX];
    char *at = buf + sizeof(buf) - 1;
    if (!node->parent && node->files) {
        snprintf(path, PATH_MAX, "/proc/self/fd/%d", node->files->fd);
        return 0;
    }
    *at = '\0';
    for (; node->parent; node = node->parent) {
        size_t len = strlen(node->name);
        bool has_more = *at != '\0';
        if ((size_t)(at - buf) < len + has_more)
            return -ENAMETOOLONG;
        if (has_more)
            *--at = '/';
        at -= len;
        memcpy(at, node->name, len);
    }
    if (node->ino != 0) /* where it was removed from */
        return -ENOENT;
    snprintf(path, PATH_MAX, "%s", *at ? at : ".");
    return 0;
}

int snapshot_stage_nofollow(const char *path, int flag)
{
    return *path == '/' ? 0 : flag;
}

unsigned snapshot_stage_depth(const struct fs_snapshot_node *node)
{
    unsigned depth = 0;
    for (; node->parent; node = node->parent)
        depth++;
    return depth;
}

int snapshot_stage_check_locked(const struct fs_snapshot_node *node)
{
    for (; node; node = node->parent)
        if (node->is_held)
            return -EBUSY;
    return 0;
}

/* --- what there is --- */

/* Of what is in a directory. */
static int add_found(struct fs_snapshot_stage *stage, struct fs_snapshot_node *dir, int dir_fd,
                     const char *name)
{
    struct stat st;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return 0;
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
        return 0; /* nobody could make it here */
    if (HASH_COUNT(stage->nodes) >= FS_SNAPSHOT_STAGE_NAMES)
        return -ENOSPC;
    if (snapshot_stage_depth(dir) >= FS_SNAPSHOT_STAGE_DEPTH)
        return -ENAMETOOLONG;
    return snapshot_stage_add_locked(stage, dir, name, S_ISDIR(st.st_mode)) ? 0 : -ENOMEM;
}

/* Reads a directory; those in it are read when it is their turn. */
static int find_in(struct fs_snapshot_stage *stage, struct fs_snapshot_node *dir)
{
    char path[PATH_MAX];
    const struct dirent *entry;
    int result = snapshot_stage_path_locked(dir, path);
    if (result < 0)
        return result;
    int fd = openat(stage->files_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
    if (!stream) {
        result = -errno;
        if (fd >= 0)
            close(fd);
        return result;
    }
    do {
        errno = 0;
        entry = readdir(stream);
        result = entry ? add_found(stage, dir, fd, entry->d_name) : -errno;
    } while (entry && result == 0);
    closedir(stream);
    return result;
}

static void forget_children(struct fs_snapshot_stage *stage, struct fs_snapshot_node *dir)
{
    while (dir->children) {
        struct fs_snapshot_node *node = dir->children;
        DL_DELETE(dir->children, node);
        node->parent = NULL;
        snapshot_stage_settle_locked(stage, node);
    }
}

/* Also what is in those in it. One of them that cannot be read is there all the same: it is tried
 * again when it is looked into. */
static int find_all(struct fs_snapshot_stage *stage, struct fs_snapshot_node *dir)
{
    int result = find_in(stage, dir);
    dir->is_unread = result < 0;
    if (result < 0)
        forget_children(stage, dir);
    for (struct fs_snapshot_node *node = dir->children; node; node = node->next) {
        int unread = node->is_dir ? find_all(stage, node) : 0;
        char path[PATH_MAX];
        if (unread < 0 && snapshot_stage_path_locked(node, path) == 0)
            fs_log_print_about(stage->log, FS_LOG_WARNING, "snapshot stage directory",
                               "snapshots/%s cannot be read: %s", path, strerror(-unread));
    }
    return result;
}

int snapshot_stage_learn_locked(struct fs_snapshot_stage *stage, struct fs_snapshot_node *dir)
{
    return dir->is_unread ? find_all(stage, dir) : 0;
}

static int open_files(struct fs_snapshot_stage *stage)
{
    if (mkdirat(stage->dir_fd, "files", 0700) < 0 && errno != EEXIST)
        return -errno;
    stage->files_fd =
        openat(stage->dir_fd, "files", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (stage->files_fd < 0)
        return -errno;
    if (fsync(stage->dir_fd) < 0)
        return -errno;
    return find_all(stage, &stage->top);
}

static void forget_all(struct fs_snapshot_stage *stage)
{
    struct fs_snapshot_node *node, *next;
    HASH_ITER(hh, stage->nodes, node, next)
    {
        HASH_DEL(stage->nodes, node);
        free(node->name);
        free(node);
    }
    stage->top.children = NULL;
    if (stage->files_fd >= 0)
        close(stage->files_fd);
    stage->files_fd = -1;
}

int snapshot_stage_take_locked(struct fs_snapshot_stage *stage)
{
    struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (stage->lock_fd >= 0)
        return 0;
    int fd = openat(stage->dir_fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int result = fcntl(fd, F_OFD_SETLK, &range) == 0  ? 0
                 : errno == EAGAIN || errno == EACCES ? -EBUSY
                                                      : -errno;
    if (result == 0)
        result = open_files(stage);
    if (result < 0) {
        forget_all(stage);
        close(fd); /* with the lock */
    } else {
        stage->lock_fd = fd;
    }
    if (result < 0 && result != -EBUSY)
        fs_log_print_about(stage->log, FS_LOG_ERROR, "snapshot stage",
                           "what was made in snapshots/ cannot be read: %s", strerror(-result));
    return result;
}

/* The directory of the stage, which is there for good. */
static int open_dir(struct fs_snapshot_stage *stage, const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int result = mkdirat(fd, "snapshots", 0700) < 0 && errno != EEXIST ? -errno : 0;
    if (result == 0 && fsync(fd) < 0)
        result = -errno;
    if (result == 0)
        stage->dir_fd = openat(fd, "snapshots", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (result == 0 && stage->dir_fd < 0)
        result = -errno;
    close(fd);
    return result;
}

int fs_snapshot_stage_open(struct fs_snapshot_stage **out,
                           const struct fs_snapshot_stage_config *config, char *message,
                           size_t message_size)
{
    struct fs_snapshot_stage *stage = calloc(1, sizeof(*stage));
    if (!stage)
        return -ENOMEM;
    stage->log = config->log;
    stage->lock_fd = stage->files_fd = stage->dir_fd = -1;
    stage->top.is_dir = true;
    pthread_mutex_init(&stage->lock, NULL);
    int result = open_dir(stage, config->dir);
    pthread_mutex_lock(&stage->lock);
    if (result == 0)
        result = snapshot_stage_take_locked(stage);
    pthread_mutex_unlock(&stage->lock);
    if (result < 0 && result != -EBUSY) {
        snprintf(message, message_size, "staging_dir: '%s/snapshots' cannot be used: %s",
                 config->dir, strerror(-result));
        fs_snapshot_stage_close(stage);
        return result;
    }
    *out = stage;
    return 0;
}

void fs_snapshot_stage_close(struct fs_snapshot_stage *stage)
{
    if (!stage)
        return;
    forget_all(stage);
    if (stage->lock_fd >= 0)
        close(stage->lock_fd);
    if (stage->dir_fd >= 0)
        close(stage->dir_fd);
    pthread_mutex_destroy(&stage->lock);
    free(stage);
}

int fs_snapshot_stage_dir(struct fs_snapshot_stage *stage, int *ret_fd)
{
    pthread_mutex_lock(&stage->lock);
    int result = snapshot_stage_take_locked(stage);
    pthread_mutex_unlock(&stage->lock);
    if (result == 0)
        *ret_fd = stage->dir_fd;
    return result;
}

/* --- what the kernel asks --- */

int snapshot_stage_stat_locked(struct fs_snapshot_stage *stage, const struct fs_snapshot_node *node,
                               struct stat *out)
{
    char path[PATH_MAX];
    int result = snapshot_stage_path_locked(node, path);
    if (result < 0)
        return result;
    if (fstatat(stage->files_fd, path, out, snapshot_stage_nofollow(path, AT_SYMLINK_NOFOLLOW)) < 0)
        return -errno;
    out->st_ino = node->ino;
    return 0;
}

int snapshot_stage_entry_locked(struct fs_snapshot_stage *stage, struct fs_snapshot_node *node,
                                struct fuse_entry_param *out)
{
    struct fuse_entry_param entry = {.ino = node->ino, .generation = 1};
    int result = snapshot_stage_stat_locked(stage, node, &entry.attr);
    if (result < 0)
        return result;
    node->n_lookup++;
    *out = entry;
    return 0;
}

int fs_snapshot_stage_lookup(struct fs_snapshot_stage *stage, fuse_ino_t parent, const char *name,
                             struct fuse_entry_param *out)
{
    pthread_mutex_lock(&stage->lock);
    int result = snapshot_stage_take_locked(stage) < 0 ? -ENOENT : 0;
    struct fs_snapshot_node *dir = result == 0 ? snapshot_stage_at_locked(stage, parent) : NULL;
    if (dir)
        result = snapshot_stage_learn_locked(stage, dir);
    struct fs_snapshot_node *node =
        dir && result == 0 ? snapshot_stage_child_locked(dir, name) : NULL;
    if (result == 0)
        result = node ? snapshot_stage_entry_locked(stage, node, out) : -ENOENT;
    pthread_mutex_unlock(&stage->lock);
    return result;
}

void fs_snapshot_stage_forget(struct fs_snapshot_stage *stage, fuse_ino_t ino, uint64_t n_lookup)
{
    pthread_mutex_lock(&stage->lock);
    struct fs_snapshot_node *node = snapshot_stage_at_locked(stage, ino);
    if (node) {
        node->n_lookup -= n_lookup < node->n_lookup ? n_lookup : node->n_lookup;
        snapshot_stage_settle_locked(stage, node);
    }
    pthread_mutex_unlock(&stage->lock);
}

int fs_snapshot_stage_opendir(struct fs_snapshot_stage *stage, fuse_ino_t ino)
{
    pthread_mutex_lock(&stage->lock);
    struct fs_snapshot_node *dir = snapshot_stage_at_locked(stage, ino);
    int result = dir ? snapshot_stage_learn_locked(stage, dir) : -ESTALE;
    pthread_mutex_unlock(&stage->lock);
    return result;
}

fuse_ino_t fs_snapshot_stage_next(struct fs_snapshot_stage *stage, fuse_ino_t parent,
                                  fuse_ino_t after, char name[FS_NAME_SIZE], mode_t *ret_mode)
{
    fuse_ino_t result = 0;
    pthread_mutex_lock(&stage->lock);
    bool is_ours = snapshot_stage_take_locked(stage) == 0;
    const struct fs_snapshot_node *dir = is_ours ? snapshot_stage_at_locked(stage, parent) : NULL;
    const struct fs_snapshot_node *last = dir ? snapshot_stage_at_locked(stage, after) : NULL;
    const struct fs_snapshot_node *node = dir ? dir->children : NULL;
    if (last && last->parent == dir)
        node = last; /* not all from the start for each */
    while (node && node->ino <= after)
        node = node->next;
    if (node) {
        result = node->ino;
        snprintf(name, FS_NAME_SIZE, "%s", node->name);
        *ret_mode = node->is_dir ? S_IFDIR : S_IFREG;
    }
    pthread_mutex_unlock(&stage->lock);
    return result;
}

int fs_snapshot_stage_getattr(struct fs_snapshot_stage *stage, fuse_ino_t ino, struct stat *out)
{
    pthread_mutex_lock(&stage->lock);
    const struct fs_snapshot_node *node = snapshot_stage_at_locked(stage, ino);
    int result = node ? snapshot_stage_stat_locked(stage, node, out) : -ESTALE;
    pthread_mutex_unlock(&stage->lock);
    return result;
}

/* --- for an upload --- */

int fs_snapshot_stage_hold(struct fs_snapshot_stage *stage, const char *name, int *ret_fd)
{
    pthread_mutex_lock(&stage->lock);
    int result = snapshot_stage_take_locked(stage);
    struct fs_snapshot_node *node =
        result == 0 ? snapshot_stage_child_locked(&stage->top, name) : NULL;
    if (result == 0 && (!node || !node->is_dir))
        result = -ENOENT;
    else if (result == 0 && (node->is_held || node->n_writers > 0))
        result = -EBUSY;
    if (result == 0) {
        *ret_fd = openat(stage->files_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        result = *ret_fd < 0 ? -errno : 0;
        node->is_held = result == 0;
    }
    pthread_mutex_unlock(&stage->lock);
    return result;
}

void fs_snapshot_stage_let_go(struct fs_snapshot_stage *stage, const char *name)
{
    pthread_mutex_lock(&stage->lock);
    struct fs_snapshot_node *node = snapshot_stage_child_locked(&stage->top, name);
    if (node)
        node->is_held = false;
    pthread_mutex_unlock(&stage->lock);
}
