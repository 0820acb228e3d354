/* staging_dir: made as a whole, for nobody else, durable; what others may change is refused. */
#include "fs/staging_dir.h"
#include "tests/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TAP_STATE;

#define CHECK(cond) TAP_OK((cond), #cond)

static ino_t synced[16]; /* whatever fsync(2) was called for; 0: the end */
static bool fails;

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
    struct stat st = {0};
    size_t n = 0;
    while (synced[n] != 0 && n < 14)
        n++;
    if (fstat(fd, &st) == 0)
        synced[n] = st.st_ino;
    if (!fails)
        return __real_fsync(fd);
    errno = EIO;
    return -1;
}

static bool was_synced(const char *path)
{
    struct stat st;
    bool result = false;
    for (size_t i = 0; stat(path, &st) == 0 && synced[i] != 0; i++)
        result = result || synced[i] == st.st_ino;
    return result;
}

static mode_t mode_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? st.st_mode & 07777 : 0;
}

int main(void)
{
    char root[] = "/tmp/test_staging_dir.XXXXXX";
    char path[PATH_MAX + 2];
    int fd = -1;
    CHECK(mkdtemp(root) != NULL && chdir(root) == 0);
    snprintf(path, sizeof(path), "%s/a/b/c", root);
    CHECK(fs_staging_dir_open(path, &fd) == 0 && close(fd) == 0);
    CHECK(mode_of("a") == 0700 && mode_of("a/b") == 0700 && mode_of("a/b/c") == 0700);
    CHECK(was_synced(".") && was_synced("a") && was_synced("a/b") && !was_synced("a/b/c"));
    memset(synced, 0, sizeof(synced));
    CHECK(fs_staging_dir_open(path, &fd) == 0 && close(fd) == 0);
    CHECK(synced[0] == 0);
    CHECK(fs_staging_dir_open("relative", &fd) == 0 && close(fd) == 0 && was_synced("."));

    CHECK(chmod("a/b/c", 0770) == 0 && fs_staging_dir_open(path, &fd) == -EPERM);
    CHECK(rmdir("a/b/c") == 0 && symlink("/", "a/b/c") == 0);
    CHECK(fs_staging_dir_open(path, &fd) == -ELOOP || fs_staging_dir_open(path, &fd) == -ENOTDIR);
    CHECK(unlink("a/b/c") == 0 && mknod("a/b/c", S_IFREG | 0600, 0) == 0);
    CHECK(fs_staging_dir_open(path, &fd) == -ENOTDIR);
    CHECK(unlink("a/b/c") == 0);
    fails = true;
    CHECK(fs_staging_dir_open(path, &fd) == -EIO);
    fails = false;
    CHECK(fs_staging_dir_open(path, &fd) == 0 && close(fd) == 0);
    memset(path, '/', PATH_MAX + 1);
    path[PATH_MAX + 1] = '\0';
    CHECK(fs_staging_dir_open(path, &fd) == -ENAMETOOLONG);
    CHECK(rmdir("a/b/c") == 0 && rmdir("a/b") == 0 && rmdir("a") == 0 && rmdir("relative") == 0);
    CHECK(rmdir(root) == 0);
    return tap_done();
}
