/* Directories of stages: see stage_dir.h. */
#include "cache/stage_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define DATA    "data"
#define REMOVED "removed"

static bool is_name(const char *name)
{
    return *name && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && !strchr(name, '/');
}

void stage_dir_rest(struct stage_dir *dir)
{
    int *fds[] = {&dir->data_fd, &dir->fd};
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
}

void stage_dir_close(struct stage_dir *dir)
{
    stage_dir_rest(dir);
    free(dir->name);
    dir->name = NULL;
}

static int set_name(struct stage_dir *dir, int parent_fd, const char *name)
{
    *dir = (struct stage_dir){.parent_fd = parent_fd, .fd = -1, .data_fd = -1};
    if (!is_name(name))
        return -EINVAL;
    dir->name = strdup(name);
    return dir->name ? 0 : -ENOMEM;
}

/* Everything but `data`. */
static int open_dir(struct stage_dir *dir)
{
    dir->fd = openat(dir->parent_fd, dir->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir->fd < 0)
        return errno == ENOTDIR || errno == ELOOP ? -EPROTO : -errno;
    return 0;
}

/* Returns -EBUSY when somebody else has it, -ENOENT when somebody has deleted it meanwhile. */
static int lock_data(const struct stage_dir *dir)
{
    struct stat st;
    if (flock(dir->data_fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? -EBUSY : -errno;
    if (fstat(dir->data_fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EPROTO;
    return st.st_nlink > 0 ? 0 : -ENOENT;
}

/* Does the directory have this entry? Returns 1, 0, or the errno. */
static int has_file(const struct stage_dir *dir, const char *name)
{
    struct stat st;
    if (fstatat(dir->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return 1;
    return errno == ENOENT ? 0 : -errno;
}

static int unlink_file(const struct stage_dir *dir, const char *name)
{
    return unlinkat(dir->fd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

int stage_dir_clear(const struct stage_dir *dir)
{
    /* Only with its lock: without, somebody may be making the stage at this moment. */
    int result = dir->data_fd >= 0 ? unlink_file(dir, DATA) : 0;
    /* `removed` says why there is no journal, so it may not go before `data`. */
    if (result == 0 && fsync(dir->fd) < 0)
        result = -errno;
    if (result == 0)
        result = unlink_file(dir, STAGE_DIR_JOURNAL_NEW);
    if (result == 0)
        result = unlink_file(dir, REMOVED);
    if (result == 0 && unlinkat(dir->parent_fd, dir->name, AT_REMOVEDIR) < 0)
        result = -errno;
    return result;
}

/* ---- make ---- */

static int make_data(struct stage_dir *dir)
{
    dir->data_fd = openat(dir->fd, DATA, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (dir->data_fd < 0)
        return -errno;
    int result = lock_data(dir);
    if (result == 0 && fsync(dir->data_fd) < 0)
        result = -errno;
    return result;
}

int stage_dir_make(struct stage_dir *dir, int parent_fd, const char *name)
{
    int result = set_name(dir, parent_fd, name);
    if (result == 0 && mkdirat(parent_fd, name, 0700) < 0)
        result = -errno;
    if (result < 0) {
        stage_dir_close(dir);
        return result;
    }
    result = open_dir(dir);
    if (result < 0) {
        (void)unlinkat(parent_fd, name, AT_REMOVEDIR);
    } else if ((result = make_data(dir)) < 0 && result != -EBUSY) {
        /* EBUSY: somebody else has taken it for a trace of a crash and clears it away. */
        (void)stage_dir_clear(dir);
    }
    if (result < 0)
        stage_dir_close(dir);
    return result;
}

int stage_dir_name_journal(const struct stage_dir *dir)
{
    if (renameat(dir->fd, STAGE_DIR_JOURNAL_NEW, dir->fd, STAGE_DIR_JOURNAL) < 0)
        return -errno;
    return fsync(dir->fd) < 0 ? -errno : 0;
}

int stage_dir_sync_name(const struct stage_dir *dir)
{
    return fsync(dir->parent_fd) < 0 ? -errno : 0;
}

/* ---- open, remove ---- */

/* There is no journal: clear away what a crash left. Returns -ENOENT when that is done. */
static int clear_trace(const struct stage_dir *dir)
{
    struct stat st = {0};
    if (dir->data_fd >= 0 && fstat(dir->data_fd, &st) < 0)
        return -errno;
    int is_removed = has_file(dir, REMOVED);
    if (is_removed < 0)
        return is_removed;
    if (!is_removed && st.st_size > 0)
        return -EPROTO;
    int result = stage_dir_clear(dir);
    if (result == -ENOTEMPTY || result == -EEXIST)
        return -EPROTO; /* it has files that are not a stage's */
    return result < 0 ? result : -ENOENT;
}

static int open_data(struct stage_dir *dir)
{
    dir->data_fd = openat(dir->fd, DATA, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (dir->data_fd < 0 && errno != ENOENT)
        return errno == ELOOP ? -EPROTO : -errno;
    int result = dir->data_fd >= 0 ? lock_data(dir) : 0;
    if (result < 0)
        return result;
    int has_journal = has_file(dir, STAGE_DIR_JOURNAL);
    if (has_journal < 0)
        return has_journal;
    if (!has_journal)
        return clear_trace(dir);
    return dir->data_fd >= 0 ? unlink_file(dir, STAGE_DIR_JOURNAL_NEW) : -EPROTO;
}

int stage_dir_wake(struct stage_dir *dir)
{
    int result = open_dir(dir);
    if (result == 0)
        result = open_data(dir);
    if (result < 0)
        stage_dir_rest(dir);
    return result;
}

int stage_dir_open(struct stage_dir *dir, int parent_fd, const char *name)
{
    int result = set_name(dir, parent_fd, name);
    if (result == 0)
        result = stage_dir_wake(dir);
    if (result < 0)
        stage_dir_close(dir);
    return result;
}

int stage_dir_remove(const struct stage_dir *dir)
{
    if (renameat(dir->fd, STAGE_DIR_JOURNAL, dir->fd, REMOVED) < 0 || fsync(dir->fd) < 0)
        return -errno;
    return stage_dir_clear(dir);
}
