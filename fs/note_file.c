/* See note_file.h. */
#include "fs/note_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

static int write_all(int fd, const char *text, size_t len)
{
    ssize_t n = write(fd, text, len);
    if (n < 0)
        return -errno;
    return (size_t)n == len ? 0 : -ENOSPC; /* so few bytes are written at once or not */
}

static int close_synced(int fd, int result)
{
    if (result == 0 && fsync(fd) < 0)
        result = -errno;
    if (close(fd) < 0 && result == 0)
        result = -errno;
    return result;
}

int fs_note_file_write(int dir_fd, const char *name, const char *text, size_t len)
{
    char new_name[NAME_MAX + 1];
    if (snprintf(new_name, sizeof(new_name), "%s.new", name) >= (int)sizeof(new_name))
        return -ENAMETOOLONG;
    int fd = openat(dir_fd, new_name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int result = close_synced(fd, write_all(fd, text, len));
    if (result == 0 && (renameat(dir_fd, new_name, dir_fd, name) < 0 || fsync(dir_fd) < 0))
        result = -errno;
    return result;
}

ssize_t fs_note_file_read(int dir_fd, const char *name, char *text, size_t size)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n = read(fd, text, size);
    ssize_t result = n < 0 ? -errno : n;
    close(fd);
    return result;
}

int fs_note_file_remove(int dir_fd, const char *name)
{
    if (unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT)
        return -errno;
    return fsync(dir_fd) < 0 ? -errno : 0;
}
