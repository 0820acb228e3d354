/* Notes on the disk: in which order they are made durable; what fails leaves the one before. */
#include "fs/note_file.h"
#include "tests/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TAP_STATE;

#define CHECK(cond) TAP_OK((cond), #cond)

/* --- what is done, and fails --- */

static char course[200]; /* of the calls, a letter each */
static char failing;     /* the letter of the call that fails; 0: none */

static bool fails(char letter)
{
    size_t len = strlen(course);
    course[len] = letter;
    course[len + 1] = '\0';
    if (letter != failing)
        return false;
    errno = EIO;
    return true;
}

ssize_t __real_write(int fd, const void *buf, size_t len);
ssize_t __wrap_write(int fd, const void *buf, size_t len);
ssize_t __wrap_write(int fd, const void *buf, size_t len)
{
    return fails('w') ? -1 : __real_write(fd, buf, failing == 's' ? len / 2 : len);
}

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
    struct stat st;
    bool is_dir = fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
    return fails(is_dir ? 'd' : 'f') ? -1 : __real_fsync(fd);
}

int __real_renameat(int old_dir, const char *old_path, int dir, const char *path);
int __wrap_renameat(int old_dir, const char *old_path, int dir, const char *path);
int __wrap_renameat(int old_dir, const char *old_path, int dir, const char *path)
{
    return fails('r') ? -1 : __real_renameat(old_dir, old_path, dir, path);
}

static int put(int dir, const char *text, char letter)
{
    course[0] = '\0';
    failing = letter;
    int result = fs_note_file_write(dir, "note", text, strlen(text));
    failing = 0;
    return result;
}

static bool has(int dir, const char *text)
{
    char buf[100];
    ssize_t n = fs_note_file_read(dir, "note", buf, sizeof(buf));
    return n == (ssize_t)strlen(text) && memcmp(buf, text, (size_t)n) == 0;
}

int main(void)
{
    char path[] = "/tmp/test_note_file.XXXXXX";
    char name[300];
    char buf[4];
    CHECK(mkdtemp(path) != NULL);
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(fs_note_file_read(dir, "note", buf, sizeof(buf)) == -ENOENT);
    CHECK(put(dir, "first", 0) == 0 && has(dir, "first"));
    TAP_STR(course, "wfrd", "durable before it has its name, and its name before it returns");
    CHECK(put(dir, "another", 'w') == -EIO && has(dir, "first"));
    CHECK(put(dir, "another", 's') == -ENOSPC && has(dir, "first"));
    CHECK(put(dir, "another", 'f') == -EIO && has(dir, "first"));
    TAP_STR(course, "wf", "what is not durable does not get the name");
    CHECK(put(dir, "another", 'r') == -EIO && has(dir, "first"));
    CHECK(put(dir, "another", 'd') == -EIO && has(dir, "another"));
    CHECK(put(dir, "2", 0) == 0 && has(dir, "2"));
    CHECK(put(dir, "longer", 0) == 0 && fs_note_file_read(dir, "note", buf, 4) == 4);

    course[0] = '\0';
    CHECK(fs_note_file_remove(dir, "note") == 0 && fs_note_file_remove(dir, "note") == 0);
    TAP_STR(course, "dd", "removed for good");
    failing = 'd';
    CHECK(fs_note_file_remove(dir, "note") == -EIO);
    failing = 0;
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    CHECK(fs_note_file_write(dir, name, "x", 1) == -ENAMETOOLONG);
    CHECK(unlinkat(dir, "note.new", 0) < 0 && errno == ENOENT);
    CHECK(close(dir) == 0 && rmdir(path) == 0);
    return tap_done();
}
