/* Directories that people make in snapshots/: names, files, what is left of them when they were
 * removed or cannot be read. Not as root, who may read everything. */
#include "fs/snapshot_stage.h"
#include "tests/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

TAP_STATE;

#define CHECK(cond) TAP_OK((cond), #cond)
#define NOBODY      65534

static char root[] = "/tmp/test_snapshot_stage.XXXXXX";
static struct fs_log *fs_log;

/* --- the disk and the memory, as they are used --- */

static ino_t synced[64]; /* whatever fsync(2) was called for; 0: the end */
static bool no_copies;   /* strdup(3) fails */

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
    struct stat st = {0};
    size_t n = 0;
    while (synced[n] != 0 && n < 62)
        n++;
    if (fstat(fd, &st) == 0)
        synced[n] = st.st_ino;
    return __real_fsync(fd);
}

char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);
char *__wrap_strdup(const char *text)
{
    return no_copies ? NULL : __real_strdup(text);
}

static bool was_synced(const char *path)
{
    char whole[PATH_MAX];
    struct stat st;
    snprintf(whole, sizeof(whole), "%s/%s", root, path);
    if (lstat(whole, &st) < 0)
        return false;
    for (size_t i = 0; synced[i] != 0; i++)
        if (synced[i] == st.st_ino)
            return true;
    return false;
}

static struct fs_snapshot_stage *open_stage(void)
{
    const struct fs_snapshot_stage_config config = {.dir = root, .log = fs_log};
    struct fs_snapshot_stage *stage = NULL;
    char message[200] = "";
    if (fs_snapshot_stage_open(&stage, &config, message, sizeof(message)) < 0) {
        printf("Bail out! %s\n", message);
        exit(1);
    }
    return stage;
}

/* --- what the kernel would do --- */

static struct fs_snapshot_maker maker(mode_t mode)
{
    return (struct fs_snapshot_maker){.mode = mode, .uid = geteuid(), .gid = getegid()};
}

/* The number of a name; 0: with -errno in *ret_result. */
static fuse_ino_t find(struct fs_snapshot_stage *stage, fuse_ino_t dir, const char *name,
                       int *ret_result)
{
    struct fuse_entry_param entry = {0};
    *ret_result = fs_snapshot_stage_lookup(stage, dir, name, &entry);
    if (*ret_result == 0)
        fs_snapshot_stage_forget(stage, entry.ino, 1);
    return entry.ino;
}

static int errno_of(struct fs_snapshot_stage *stage, fuse_ino_t dir, const char *name)
{
    int result;
    (void)find(stage, dir, name, &result);
    return result;
}

static int make_dir(struct fs_snapshot_stage *stage, fuse_ino_t dir, const char *name,
                    fuse_ino_t *out)
{
    const struct fs_snapshot_maker who = maker(0700);
    struct fuse_entry_param entry = {0};
    int result = fs_snapshot_stage_mkdir(stage, dir, name, &who, &entry);
    if (result == 0)
        fs_snapshot_stage_forget(stage, entry.ino, 1);
    if (out)
        *out = entry.ino;
    return result;
}

/* Keeps the kernel's reference. */
static int create(struct fs_snapshot_stage *stage, fuse_ino_t dir, const char *name, mode_t mode,
                  struct fs_snapshot_file *file, fuse_ino_t *out)
{
    const struct fs_snapshot_maker who = maker(mode);
    struct fuse_entry_param entry = {0};
    int result = fs_snapshot_stage_create(stage, dir, name, &who, O_RDWR, &entry, file);
    *out = entry.ino;
    return result;
}

static int touch(struct fs_snapshot_stage *stage, fuse_ino_t dir, const char *name)
{
    struct fs_snapshot_file file;
    fuse_ino_t ino = 0;
    int result = create(stage, dir, name, 0600, &file, &ino);
    if (result == 0) {
        fs_snapshot_stage_release(&file);
        fs_snapshot_stage_forget(stage, ino, 1);
    }
    return result;
}

static int change_mode(struct fs_snapshot_stage *stage, fuse_ino_t ino, mode_t mode)
{
    const struct stat attr = {.st_mode = mode};
    return fs_snapshot_stage_setattr(stage, ino, &attr, FUSE_SET_ATTR_MODE, NULL);
}

static int resize(struct fs_snapshot_stage *stage, fuse_ino_t ino, off_t size,
                  const struct fs_snapshot_file *file)
{
    const struct stat attr = {.st_size = size};
    return fs_snapshot_stage_setattr(stage, ino, &attr, FUSE_SET_ATTR_SIZE, file);
}

static off_t size_of(struct fs_snapshot_stage *stage, fuse_ino_t ino)
{
    struct stat st;
    int result = fs_snapshot_stage_getattr(stage, ino, &st);
    return result < 0 ? result : st.st_size;
}

static unsigned count(struct fs_snapshot_stage *stage, fuse_ino_t dir)
{
    char name[FS_NAME_SIZE];
    mode_t mode;
    unsigned n = 0;
    for (fuse_ino_t ino = 0; (ino = fs_snapshot_stage_next(stage, dir, ino, name, &mode)) != 0;)
        n++;
    return n;
}

static int remove_name(struct fs_snapshot_stage *stage, fuse_ino_t dir, const char *name)
{
    int result = fs_snapshot_stage_remove(stage, dir, name, false);
    return result == -EISDIR || result == -EPERM ? fs_snapshot_stage_remove(stage, dir, name, true)
                                                 : result;
}

/* --- names --- */

static void test_names(void)
{
    struct fs_snapshot_stage *stage = open_stage();
    const fuse_ino_t top = FS_SNAPSHOT_STAGE_TOP;
    fuse_ino_t a = 0, b = 0, ino = 0;
    int result;
    CHECK(errno_of(stage, top, "a") == -ENOENT);
    CHECK(make_dir(stage, top, "a", &a) == 0 && fs_snapshot_stage_is_ino(a));
    CHECK(make_dir(stage, top, "a", NULL) == -EEXIST);
    CHECK(make_dir(stage, top, "b", &b) == 0 && count(stage, top) == 2);
    CHECK(make_dir(stage, top, "00112233445566778899", NULL) == -EEXIST);
    CHECK(make_dir(stage, a, "00112233445566778899", NULL) == 0);
    CHECK(remove_name(stage, a, "00112233445566778899") == 0);
    CHECK(touch(stage, top, "file") == -EPERM);
    CHECK(touch(stage, a, "file") == 0 && touch(stage, a, "file") == -EEXIST);
    CHECK(touch(stage, a + 100, "file") == -ESTALE);
    CHECK(fs_snapshot_stage_rename(stage, a, "file", top, "file", 0) == -EPERM);
    CHECK(fs_snapshot_stage_rename(stage, a, "none", b, "x", 0) == -ENOENT);
    CHECK(fs_snapshot_stage_rename(stage, a, "file", b, "x", 2) == -EINVAL);
    CHECK(fs_snapshot_stage_rename(stage, a, "file", a, "file", 0) == 0);
    ino = find(stage, a, "file", &result);
    CHECK(fs_snapshot_stage_rename(stage, a, "file", b, "x", 1) == 0);
    CHECK(find(stage, b, "x", &result) == ino && errno_of(stage, a, "file") == -ENOENT);
    CHECK(touch(stage, a, "y") == 0);
    CHECK(fs_snapshot_stage_rename(stage, a, "y", b, "x", 1) == -EEXIST);
    CHECK(fs_snapshot_stage_rename(stage, a, "y", b, "x", 0) == 0 && count(stage, b) == 1);
    CHECK(fs_snapshot_stage_rename(stage, top, "a", b, "deep", 0) == 0);
    CHECK(fs_snapshot_stage_rename(stage, top, "b", a, "b", 0) < 0);
    CHECK(remove_name(stage, top, "b") == -ENOTEMPTY);
    fs_snapshot_stage_close(stage);

    stage = open_stage();
    b = find(stage, top, "b", &result);
    CHECK(b != 0 && count(stage, top) == 1 && count(stage, b) == 2);
    CHECK(remove_name(stage, b, "x") == 0 && remove_name(stage, b, "deep") == 0);
    CHECK(remove_name(stage, top, "b") == 0 && remove_name(stage, top, "b") == -ENOENT);
    fs_snapshot_stage_close(stage);
}

static void test_depth(void)
{
    struct fs_snapshot_stage *stage = open_stage();
    fuse_ino_t dirs[FS_SNAPSHOT_STAGE_DEPTH + 1] = {FS_SNAPSHOT_STAGE_TOP};
    fuse_ino_t x = 0;
    char name[FS_NAME_SIZE];
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    const size_t depth = FS_SNAPSHOT_STAGE_DEPTH;
    for (size_t i = 0; i < depth; i++)
        CHECK(make_dir(stage, dirs[i], name, &dirs[i + 1]) == 0);
    CHECK(touch(stage, dirs[depth], "x") == -ENAMETOOLONG);
    CHECK(make_dir(stage, dirs[depth], "x", NULL) == -ENAMETOOLONG);
    CHECK(make_dir(stage, FS_SNAPSHOT_STAGE_TOP, "x", &x) == 0 && touch(stage, x, "y") == 0);
    CHECK(fs_snapshot_stage_rename(stage, FS_SNAPSHOT_STAGE_TOP, "x", dirs[depth - 1], "x", 0) ==
          -ENAMETOOLONG);
    CHECK(remove_name(stage, x, "y") == 0 && remove_name(stage, FS_SNAPSHOT_STAGE_TOP, "x") == 0);
    for (size_t i = depth; i > 0; i--)
        CHECK(remove_name(stage, dirs[i - 1], name) == 0);
    fs_snapshot_stage_close(stage);
}

/* --- what was renamed or removed while it was open --- */

static void test_removed(void)
{
    struct fs_snapshot_stage *stage = open_stage();
    struct fs_snapshot_file file, other;
    struct stat st;
    fuse_ino_t dir = 0, ino = 0;
    char buf[8] = "";
    CHECK(make_dir(stage, FS_SNAPSHOT_STAGE_TOP, "d", &dir) == 0);
    CHECK(create(stage, dir, "f", 0600, &file, &ino) == 0);
    CHECK(fs_snapshot_stage_write(&file, "content", 7, 0) == 7);
    CHECK(fs_snapshot_stage_rename(stage, dir, "f", dir, "g", 0) == 0);
    CHECK(size_of(stage, ino) == 7 && fs_snapshot_stage_sync(&file) == 0);
    CHECK(resize(stage, ino, 6, &file) == 0 && size_of(stage, ino) == 6);

    CHECK(remove_name(stage, dir, "g") == 0 && errno_of(stage, dir, "g") == -ENOENT);
    CHECK(fs_snapshot_stage_getattr(stage, ino, &st) == 0);
    CHECK(st.st_size == 6 && st.st_nlink == 0 && st.st_ino == ino && S_ISREG(st.st_mode));
    CHECK(resize(stage, ino, 5, &file) == 0 && size_of(stage, ino) == 5);
    CHECK(resize(stage, ino, 4, NULL) == 0 && size_of(stage, ino) == 4);
    CHECK(change_mode(stage, ino, 0640) == 0);
    CHECK(fs_snapshot_stage_getattr(stage, ino, &st) == 0 && (st.st_mode & 07777) == 0640);
    CHECK(fs_snapshot_stage_sync(&file) == 0);
    CHECK(fs_snapshot_stage_write(&file, "x", 1, 4) == 1);
    CHECK(fs_snapshot_stage_read(&file, buf, sizeof(buf), 0) == 5);
    CHECK(memcmp(buf, "contx", 5) == 0);
    CHECK(fs_snapshot_stage_open_ino(stage, ino, O_RDONLY, &other) == 0);
    fs_snapshot_stage_release(&file);
    CHECK(size_of(stage, ino) == 5);
    CHECK(fs_snapshot_stage_read(&other, buf, sizeof(buf), 0) == 5);
    fs_snapshot_stage_release(&other);
    CHECK(size_of(stage, ino) == -ENOENT);
    CHECK(fs_snapshot_stage_open_ino(stage, ino, O_RDONLY, &other) == -ENOENT);
    fs_snapshot_stage_forget(stage, ino, 1);
    CHECK(size_of(stage, ino) == -ESTALE);

    /* Replaced. */
    CHECK(create(stage, dir, "f", 0600, &file, &ino) == 0 && touch(stage, dir, "new") == 0);
    CHECK(fs_snapshot_stage_write(&file, "old", 3, 0) == 3);
    CHECK(fs_snapshot_stage_rename(stage, dir, "new", dir, "f", 0) == 0);
    CHECK(size_of(stage, ino) == 3 && fs_snapshot_stage_sync(&file) == 0);
    fs_snapshot_stage_forget(stage, ino, 1);
    CHECK(size_of(stage, ino) == 3);
    fs_snapshot_stage_release(&file);
    CHECK(size_of(stage, ino) == -ESTALE);

    /* What is open is open, whatever its mode has become. */
    CHECK(create(stage, dir, "r", 0400, &file, &ino) == 0);
    CHECK(resize(stage, ino, 9, &file) == 0 && size_of(stage, ino) == 9);
    CHECK(resize(stage, ino, 8, NULL) == -EACCES);
    CHECK(fs_snapshot_stage_write(&file, "x", 1, UINT64_MAX) == -EFBIG);
    CHECK(resize(stage, ino, INT64_MAX, &file) == -EFBIG &&
          resize(stage, ino, -1, &file) == -EFBIG);
    fs_snapshot_stage_release(&file);
    fs_snapshot_stage_forget(stage, ino, 1);

    CHECK(fs_snapshot_stage_sync_dir(stage, dir) == 0);
    CHECK(fs_snapshot_stage_sync_dir(stage, FS_SNAPSHOT_STAGE_TOP) == 0);
    CHECK(fs_snapshot_stage_sync_dir(stage, dir + 100) == -ESTALE);
    CHECK(remove_name(stage, dir, "r") == 0 && remove_name(stage, dir, "f") == 0);
    CHECK(remove_name(stage, FS_SNAPSHOT_STAGE_TOP, "d") == 0);
    fs_snapshot_stage_close(stage);
}

/* What fsync(2) promises: the file, and each name up to the directory that was there before. */
static void test_durable(void)
{
    struct fs_snapshot_stage *stage = open_stage();
    struct fs_snapshot_file file;
    fuse_ino_t dir = 0, sub = 0, ino = 0;
    CHECK(was_synced("") && was_synced("snapshots"));
    CHECK(make_dir(stage, FS_SNAPSHOT_STAGE_TOP, "d", &dir) == 0);
    CHECK(make_dir(stage, dir, "sub", &sub) == 0);
    CHECK(create(stage, sub, "f", 0600, &file, &ino) == 0);
    memset(synced, 0, sizeof(synced));
    CHECK(fs_snapshot_stage_sync(&file) == 0);
    CHECK(was_synced("snapshots/files/d/sub/f") && was_synced("snapshots/files/d/sub"));
    CHECK(was_synced("snapshots/files/d") && was_synced("snapshots/files"));
    memset(synced, 0, sizeof(synced));
    CHECK(fs_snapshot_stage_sync_dir(stage, dir) == 0);
    CHECK(was_synced("snapshots/files/d") && was_synced("snapshots/files"));
    CHECK(!was_synced("snapshots/files/d/sub"));
    CHECK(change_mode(stage, sub, 0300) == 0 && fs_snapshot_stage_sync(&file) == 0);
    fs_snapshot_stage_release(&file);
    fs_snapshot_stage_forget(stage, ino, 1);
    CHECK(remove_name(stage, sub, "f") == 0 && remove_name(stage, dir, "sub") == 0);
    CHECK(remove_name(stage, FS_SNAPSHOT_STAGE_TOP, "d") == 0);
    fs_snapshot_stage_close(stage);
}

/* Without memory nothing is half done. */
static void test_no_memory(void)
{
    struct fs_snapshot_stage *stage = open_stage();
    struct fs_snapshot_file file;
    fuse_ino_t dir = 0, old = 0, ino = 0;
    int result;
    CHECK(make_dir(stage, FS_SNAPSHOT_STAGE_TOP, "d", &dir) == 0);
    CHECK(create(stage, dir, "old", 0600, &file, &old) == 0);
    CHECK(fs_snapshot_stage_write(&file, "old", 3, 0) == 3);
    fs_snapshot_stage_release(&file);
    CHECK(touch(stage, dir, "new") == 0);
    no_copies = true;
    CHECK(fs_snapshot_stage_rename(stage, dir, "new", dir, "old", 0) == -ENOMEM);
    CHECK(touch(stage, dir, "f") == -ENOMEM && make_dir(stage, dir, "g", NULL) == -ENOMEM);
    no_copies = false;
    CHECK(find(stage, dir, "old", &result) == old && size_of(stage, old) == 3);
    CHECK((ino = find(stage, dir, "new", &result)) != 0 && size_of(stage, ino) == 0);
    CHECK(count(stage, dir) == 2);
    CHECK(touch(stage, dir, "f") == 0 && make_dir(stage, dir, "g", NULL) == 0);
    fs_snapshot_stage_forget(stage, old, 1);
    CHECK(remove_name(stage, dir, "old") == 0 && remove_name(stage, dir, "new") == 0);
    CHECK(remove_name(stage, dir, "f") == 0 && remove_name(stage, dir, "g") == 0);
    CHECK(remove_name(stage, FS_SNAPSHOT_STAGE_TOP, "d") == 0);
    fs_snapshot_stage_close(stage);
}

/* A listing goes on behind a name, also when that is gone. */
static void test_listing(void)
{
    struct fs_snapshot_stage *stage = open_stage();
    char name[FS_NAME_SIZE];
    fuse_ino_t dir = 0;
    fuse_ino_t inos[4] = {0};
    mode_t mode;
    int result;
    CHECK(make_dir(stage, FS_SNAPSHOT_STAGE_TOP, "d", &dir) == 0);
    for (size_t i = 0; i < 4; i++) {
        snprintf(name, sizeof(name), "%zu", i);
        CHECK(touch(stage, dir, name) == 0);
        inos[i] = find(stage, dir, name, &result);
    }
    CHECK(fs_snapshot_stage_next(stage, dir, 0, name, &mode) == inos[0]);
    CHECK(fs_snapshot_stage_next(stage, dir, inos[0], name, &mode) == inos[1]);
    CHECK(strcmp(name, "1") == 0 && mode == S_IFREG);
    CHECK(remove_name(stage, dir, "1") == 0);
    CHECK(fs_snapshot_stage_next(stage, dir, inos[1], name, &mode) == inos[2]);
    CHECK(fs_snapshot_stage_rename(stage, dir, "2", FS_SNAPSHOT_STAGE_TOP, "2", 0) == -EPERM);
    CHECK(make_dir(stage, dir, "e", NULL) == 0);
    CHECK(fs_snapshot_stage_rename(stage, dir, "2", find(stage, dir, "e", &result), "2", 0) == 0);
    CHECK(fs_snapshot_stage_next(stage, dir, inos[2], name, &mode) == inos[3]);
    CHECK(remove_name(stage, find(stage, dir, "e", &result), "2") == 0);
    CHECK(fs_snapshot_stage_next(stage, dir, inos[3], name, &mode) != 0 && mode == S_IFDIR);
    CHECK(remove_name(stage, dir, "0") == 0 && remove_name(stage, dir, "3") == 0);
    CHECK(remove_name(stage, dir, "e") == 0);
    CHECK(fs_snapshot_stage_next(stage, dir, 0, name, &mode) == 0);
    CHECK(remove_name(stage, FS_SNAPSHOT_STAGE_TOP, "d") == 0);
    fs_snapshot_stage_close(stage);
}

/* It is that of who makes it, whatever umask the mount was started with. */
static void test_mode(void)
{
    const struct fs_snapshot_maker who = maker(0757);
    struct fs_snapshot_stage *stage = open_stage();
    struct fuse_entry_param entry;
    struct fs_snapshot_file file;
    fuse_ino_t ino = 0;
    struct stat st;
    mode_t before = umask(077);
    CHECK(fs_snapshot_stage_mkdir(stage, FS_SNAPSHOT_STAGE_TOP, "d", &who, &entry) == 0);
    CHECK((entry.attr.st_mode & 07777) == 0757);
    CHECK(create(stage, entry.ino, "f", 0664, &file, &ino) == 0);
    umask(before);
    CHECK(fs_snapshot_stage_getattr(stage, ino, &st) == 0 && (st.st_mode & 07777) == 0664);
    fs_snapshot_stage_release(&file);
    fs_snapshot_stage_forget(stage, ino, 1);
    CHECK(remove_name(stage, entry.ino, "f") == 0);
    fs_snapshot_stage_forget(stage, entry.ino, 1);
    CHECK(remove_name(stage, FS_SNAPSHOT_STAGE_TOP, "d") == 0);
    fs_snapshot_stage_close(stage);
}

static void test_no_place(void)
{
    char dir[PATH_MAX + 10];
    char message[200] = "";
    struct fs_snapshot_stage *stage = NULL;
    const struct fs_snapshot_stage_config none = {.dir = "/nowhere/at/all", .log = fs_log};
    const struct fs_snapshot_stage_config longest = {.dir = dir, .log = fs_log};
    CHECK(fs_snapshot_stage_open(&stage, &none, message, sizeof(message)) == -ENOENT);
    TAP_STR(message,
            "staging_dir: '/nowhere/at/all/snapshots' cannot be used: No such file or directory",
            "it says where");
    memset(dir, '/', sizeof(dir) - 1);
    dir[sizeof(dir) - 1] = '\0';
    CHECK(fs_snapshot_stage_open(&stage, &longest, message, sizeof(message)) == -ENAMETOOLONG);
}

/* --- what cannot be read --- */

struct warnings {
    const char *what;
    unsigned n;
};

static void count_warning(void *arg, int64_t wall_ns, enum fs_log_level level, unsigned n,
                          const char *text)
{
    struct warnings *warnings = arg;
    (void)wall_ns;
    if (level == FS_LOG_WARNING && strstr(text, warnings->what))
        warnings->n += n;
}

static unsigned n_warnings(const char *what)
{
    struct warnings warnings = {.what = what};
    fs_log_for_recent(fs_log, count_warning, &warnings);
    return warnings.n;
}

static void test_unreadable(mode_t mode)
{
    struct fs_snapshot_stage *stage = open_stage();
    const fuse_ino_t top = FS_SNAPSHOT_STAGE_TOP;
    struct fs_snapshot_file file;
    fuse_ino_t a = 0, other = 0, ino = 0;
    int result, fd;
    unsigned n_before;
    CHECK(make_dir(stage, top, "a", &a) == 0 && make_dir(stage, a, "b", &ino) == 0);
    CHECK(touch(stage, ino, "deep") == 0 && touch(stage, a, "f") == 0);
    CHECK(make_dir(stage, top, "other", NULL) == 0);
    CHECK(change_mode(stage, a, mode) == 0);
    fs_snapshot_stage_close(stage);

    n_before = n_warnings("snapshots/a cannot be read: Permission denied");
    stage = open_stage();
    CHECK(n_warnings("snapshots/a cannot be read: Permission denied") == n_before + 1);
    a = find(stage, top, "a", &result);
    other = find(stage, top, "other", &result);
    CHECK(a != 0 && other != 0 && count(stage, top) == 2);
    CHECK(fs_snapshot_stage_opendir(stage, a) == -EACCES);
    CHECK(errno_of(stage, a, "b") == -EACCES && errno_of(stage, a, "none") == -EACCES);
    CHECK(create(stage, a, "g", 0600, &file, &ino) == -EACCES);
    CHECK(make_dir(stage, a, "g", NULL) == -EACCES);
    CHECK(remove_name(stage, a, "f") == -EACCES);
    CHECK(fs_snapshot_stage_rename(stage, a, "f", other, "f", 0) == -EACCES);
    CHECK(fs_snapshot_stage_rename(stage, other, "f", a, "f", 0) == -EACCES);
    CHECK(remove_name(stage, top, "a") == -ENOTEMPTY);
    CHECK(fs_snapshot_stage_rename(stage, top, "a", other, "a", 0) < 0);
    result = fs_snapshot_stage_hold(stage, "a", &fd);
    CHECK(result == (mode & 0400 ? 0 : -EACCES));
    if (result == 0) {
        fs_snapshot_stage_let_go(stage, "a");
        close(fd);
    }
    CHECK(touch(stage, other, "x") == 0 && remove_name(stage, other, "x") == 0);
    CHECK(fs_snapshot_stage_sync_dir(stage, a) == 0);

    /* It is not lost. */
    CHECK(change_mode(stage, a, 0700) == 0 && fs_snapshot_stage_opendir(stage, a) == 0);
    CHECK(count(stage, a) == 2);
    ino = find(stage, a, "b", &result);
    CHECK(remove_name(stage, ino, "deep") == 0 && remove_name(stage, a, "b") == 0);
    CHECK(remove_name(stage, a, "f") == 0 && remove_name(stage, top, "a") == 0);
    CHECK(remove_name(stage, top, "other") == 0);
    fs_snapshot_stage_close(stage);
}

/* --- while it is uploaded --- */

static void test_hold(void)
{
    struct fs_snapshot_stage *stage = open_stage();
    const fuse_ino_t top = FS_SNAPSHOT_STAGE_TOP;
    struct fs_snapshot_file file, second;
    fuse_ino_t a = 0, b = 0, sub = 0, ino = 0;
    int fd = -1;
    int again = -1;
    CHECK(make_dir(stage, top, "a", &a) == 0 && make_dir(stage, top, "b", &b) == 0);
    CHECK(make_dir(stage, a, "sub", &sub) == 0);
    CHECK(fs_snapshot_stage_hold(stage, "none", &fd) == -ENOENT);
    CHECK(create(stage, sub, "f", 0600, &file, &ino) == 0);
    CHECK(fs_snapshot_stage_hold(stage, "a", &fd) == -EBUSY);
    CHECK(fs_snapshot_stage_rename(stage, a, "sub", b, "sub", 0) == 0);
    CHECK(fs_snapshot_stage_hold(stage, "b", &fd) == -EBUSY);
    CHECK(fs_snapshot_stage_hold(stage, "a", &fd) == 0 && close(fd) == 0);
    fs_snapshot_stage_let_go(stage, "a");
    fs_snapshot_stage_release(&file);

    CHECK(fs_snapshot_stage_hold(stage, "b", &fd) == 0);
    CHECK(fs_snapshot_stage_hold(stage, "b", &again) == -EBUSY);
    CHECK(touch(stage, sub, "g") == -EBUSY && make_dir(stage, b, "g", NULL) == -EBUSY);
    CHECK(resize(stage, ino, 1, NULL) == -EBUSY && change_mode(stage, b, 0755) == -EBUSY);
    CHECK(remove_name(stage, sub, "f") == -EBUSY);
    CHECK(fs_snapshot_stage_rename(stage, sub, "f", a, "f", 0) == -EBUSY);
    CHECK(fs_snapshot_stage_rename(stage, top, "b", top, "c", 0) == -EBUSY);
    CHECK(fs_snapshot_stage_rename(stage, top, "a", top, "b", 0) == -EBUSY);
    CHECK(fs_snapshot_stage_open_ino(stage, ino, O_RDWR, &second) == -EBUSY);
    CHECK(fs_snapshot_stage_open_ino(stage, ino, O_RDONLY | O_TRUNC, &second) == -EBUSY);
    CHECK(fs_snapshot_stage_open_ino(stage, ino, O_RDONLY, &second) == 0);
    fs_snapshot_stage_release(&second);
    fs_snapshot_stage_let_go(stage, "b");
    close(fd);

    /* Who writes what was removed holds up nobody. */
    CHECK(fs_snapshot_stage_open_ino(stage, ino, O_WRONLY, &second) == 0);
    CHECK(remove_name(stage, sub, "f") == 0);
    CHECK(fs_snapshot_stage_hold(stage, "b", &fd) == 0);
    fs_snapshot_stage_release(&second);
    fs_snapshot_stage_forget(stage, ino, 1);
    fs_snapshot_stage_let_go(stage, "b");
    close(fd);
    CHECK(remove_name(stage, b, "sub") == 0 && remove_name(stage, top, "b") == 0);
    CHECK(remove_name(stage, top, "a") == 0);
    fs_snapshot_stage_close(stage);
}

static void test_two_mounts(void)
{
    struct fs_snapshot_stage *first = open_stage();
    struct fs_snapshot_stage *second = open_stage();
    const fuse_ino_t top = FS_SNAPSHOT_STAGE_TOP;
    int fd;
    CHECK(make_dir(first, top, "a", NULL) == 0);
    CHECK(errno_of(second, top, "a") == -ENOENT && count(second, top) == 0);
    CHECK(make_dir(second, top, "b", NULL) == -EBUSY);
    CHECK(fs_snapshot_stage_dir(second, &fd) == -EBUSY);
    CHECK(fs_snapshot_stage_hold(second, "a", &fd) == -EBUSY);
    CHECK(fs_snapshot_stage_sync_dir(second, top) == 0);
    fs_snapshot_stage_close(first);
    CHECK(errno_of(second, top, "a") == 0 && remove_name(second, top, "a") == 0);
    fs_snapshot_stage_close(second);
}

static int run(void)
{
    if (!mkdtemp(root) || fs_log_open(&fs_log, FS_LOG_WARNING) < 0)
        return 1;
    test_durable();
    test_names();
    test_listing();
    test_mode();
    test_depth();
    test_no_memory();
    test_no_place();
    test_removed();
    test_unreadable(0);
    test_unreadable(0300);
    test_unreadable(0400);
    test_hold();
    test_two_mounts();
    fs_log_close(fs_log);
    CHECK(chdir(root) == 0 && rmdir("snapshots/files") == 0 && unlink("snapshots/lock") == 0);
    CHECK(rmdir("snapshots") == 0 && rmdir(root) == 0);
    return tap_done();
}

int main(void)
{
    if (geteuid() == 0 && (setgid(NOBODY) < 0 || setuid(NOBODY) < 0)) {
        printf("Bail out! root stays root\n");
        return 1;
    }
    return run();
}
