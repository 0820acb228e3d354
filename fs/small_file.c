/* Whole small files: see small_file.h. */
#include "fs/small_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int read_all(int fd, char *text, size_t max, size_t *len)
{
    *len = 0;
    for (;;) {
        ssize_t n = read(fd, text + *len, max + 1 - *len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return 0;
        *len += (size_t)n;
        if (*len > max)
            return -EFBIG;
    }
}

int fs_small_file_read(const char *path, size_t max, char **text, size_t *len)
{
    struct stat st;
    size_t found = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return -errno;
    int result = fstat(fd, &st) < 0 ? -errno : S_ISREG(st.st_mode) ? 0 : -EINVAL;
    char *bytes = NULL;
    if (result == 0 && !(bytes = malloc(max + 1)))
        result = -ENOMEM;
    if (result == 0)
        result = read_all(fd, bytes, max, &found);
    close(fd);
    if (result != 0) {
        free(bytes);
        return result;
    }
    bytes[found] = '\0';
    *text = bytes;
    *len = found;
    return 0;
}

const char *fs_small_file_words(int result)
{
    return result == -EINVAL  ? "not a regular file"
           : result == -EFBIG ? "larger than such a file can be"
                              : strerror(-result);
}
