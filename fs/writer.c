#include "fs/writer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* include/linux/sched.h */
#define PF_EXITING  0x4u
#define PF_SIGNALED 0x400u

/* Fields of /proc/PID/stat behind the name in parentheses (proc_pid_stat(5)), from 0. */
enum { FIELD_FLAGS = 6, FIELD_START = 19, FIELD_EXIT_CODE = 49 };

struct process_stat {
    char program[16];
    unsigned flags;
    uint64_t start;
    int exit_code; /* as wait(2) tells it */
};

/* A file of /proc as text, or its beginning. Returns 0, -errno (ENOENT, ESRCH: it is gone), or
 * -ENODATA (it is empty). */
static int read_file(const char *path, char *buf, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    buf[0] = '\0';
    if (fd < 0)
        return -errno;
    size_t used = 0;
    ssize_t n;
    while ((n = read(fd, buf + used, size - 1 - used)) > 0)
        used += (size_t)n;
    int result = n < 0 ? -errno : used == 0 ? -ENODATA : 0;
    close(fd);
    buf[used] = '\0';
    return result;
}

/* The number behind a name at the beginning of a line: "Tgid:\t17". */
static bool find_number(const char *text, const char *name, int base, uint64_t *out)
{
    size_t len = strlen(name);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, len) != 0)
            continue;
        char *end;
        const char *digits = line + len + strspn(line + len, " \t");
        *out = strtoull(digits, &end, base);
        return end > digits;
    }
    return false;
}

/* Is it in the middle of execve(2)? The kernel then closes its O_CLOEXEC descriptors, and waits for
 * our answer, with a lock held for which whoever reads its `stat` or `exe` waits: that must not be
 * us. Its new memory has no code yet; that of a process that ends, or of the kernel, has no size.
 */
static bool is_in_execve(pid_t tid)
{
    char path[64];
    char text[256];
    unsigned long n_pages;
    unsigned long n_code;
    snprintf(path, sizeof(path), "/proc/%ld/statm", (long)tid);
    if (read_file(path, text, sizeof(text)) < 0)
        return false;
    char *end;
    n_pages = strtoul(text, &end, 10);
    (void)strtoul(end, &end, 10); /* resident */
    (void)strtoul(end, &end, 10); /* shared */
    n_code = strtoul(end, &end, 10);
    return n_pages > 0 && n_code == 0;
}

/* False: it is not there, or cannot be asked. */
static bool read_stat(pid_t tid, struct process_stat *out)
{
    char path[64];
    char text[2048];
    if (is_in_execve(tid))
        return false;
    snprintf(path, sizeof(path), "/proc/%ld/stat", (long)tid);
    if (read_file(path, text, sizeof(text)) < 0)
        return false;
    /* The name may hold anything, also parentheses and spaces. */
    const char *name = strchr(text, '(');
    char *rest = strrchr(text, ')');
    if (!name || !rest)
        return false;
    *rest++ = '\0';
    snprintf(out->program, sizeof(out->program), "%s", name + 1);
    int n = 0;
    char *saved = NULL;
    for (char *word = strtok_r(rest, " \n", &saved); word; word = strtok_r(NULL, " \n", &saved)) {
        if (n == FIELD_FLAGS)
            out->flags = (unsigned)strtoul(word, NULL, 10);
        else if (n == FIELD_START)
            out->start = strtoull(word, NULL, 10);
        else if (n == FIELD_EXIT_CODE)
            out->exit_code = (int)strtol(word, NULL, 10);
        n++;
    }
    return n > FIELD_EXIT_CODE;
}

/* The process of a thread; 0: it cannot be told. */
static pid_t process_of(pid_t tid)
{
    char path[64];
    char text[8192];
    uint64_t tgid;
    if (tid <= 0)
        return 0;
    snprintf(path, sizeof(path), "/proc/%ld/status", (long)tid);
    return read_file(path, text, sizeof(text)) == 0 && find_number(text, "Tgid:", 10, &tgid)
               ? (pid_t)tgid
               : 0;
}

bool fs_writer_identify(pid_t tid, struct fs_writer *out)
{
    struct process_stat stat;
    pid_t tgid = process_of(tid);
    *out = (struct fs_writer){0};
    if (tgid == 0 || !read_stat(tgid, &stat))
        return false;
    *out = (struct fs_writer){.tgid = tgid, .start = stat.start};
    memcpy(out->program, stat.program, sizeof(out->program));
    return true;
}

bool fs_writer_is_same(const struct fs_writer *a, const struct fs_writer *b)
{
    return a->tgid != 0 && a->tgid == b->tgid && a->start == b->start;
}

/* --- who has it open --- */

/* Lines of a mount table (proc_pid_mountinfo(5)): id, parent, device, root, mount point. The device
 * of the last that fits, which is the one on top.
 *
 * id     of the mount, when path is NULL
 * path   of the mount point, else */
static dev_t find_device(const char *table, uint64_t id, const char *path)
{
    FILE *file = fopen(table, "re");
    if (!file)
        return 0;
    dev_t found = 0;
    char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, file) > 0) {
        char *saved = NULL;
        const char *mount = strtok_r(line, " ", &saved);
        (void)strtok_r(NULL, " ", &saved); /* the mount that it is on */
        const char *major_number = strtok_r(NULL, ":", &saved);
        const char *minor_number = strtok_r(NULL, " ", &saved);
        (void)strtok_r(NULL, " ", &saved); /* its root */
        const char *point = strtok_r(NULL, " ", &saved);
        if (point && (path ? strcmp(point, path) == 0 : strtoull(mount, NULL, 10) == id))
            found = makedev((unsigned)strtoul(major_number, NULL, 10),
                            (unsigned)strtoul(minor_number, NULL, 10));
    }
    free(line);
    fclose(file);
    return found;
}

dev_t fs_writer_device_of(const char *path)
{
    /* As the table shows it. */
    char escaped[4 * 4096];
    size_t used = 0;
    for (; *path && used < sizeof(escaped) - 5; path++) {
        if (strchr(" \t\n\\", *path))
            used += (size_t)sprintf(escaped + used, "\\%03o", (unsigned)(unsigned char)*path);
        else
            escaped[used++] = *path;
    }
    escaped[used] = '\0';
    return *path ? 0 : find_device("/proc/self/mountinfo", 0, escaped);
}

/* Is it a thing that only ever was inside of the kernel: a pipe, a memfd? No table shows its mount.
 */
static bool is_kernels_own(pid_t tid, const char *fd)
{
    char path[64];
    char target[16] = "";
    if (snprintf(path, sizeof(path), "/proc/%ld/fd/%.16s", (long)tid, fd) < 0 ||
        readlink(path, target, sizeof(target) - 1) < 0)
        return false;
    return target[0] != '/' || strncmp(target, "/memfd:", 7) == 0;
}

/* Is this descriptor one to write to the file by? Returns 1, 0, or -errno: it cannot be told. */
static int is_file(pid_t tid, const char *fd, const struct fs_writer_file *file)
{
    char path[64];
    char text[4096];
    uint64_t ino;
    uint64_t mount;
    uint64_t flags;
    if (snprintf(path, sizeof(path), "/proc/%ld/fdinfo/%.16s", (long)tid, fd) < 0)
        return -EINVAL;
    int result = read_file(path, text, sizeof(text));
    if (result < 0)
        return result == -ENOENT ? 0 : result; /* closed meanwhile */
    if (!find_number(text, "ino:", 10, &ino) || !find_number(text, "mnt_id:", 10, &mount) ||
        !find_number(text, "flags:", 8, &flags))
        return -EPROTO;
    if (ino != file->ino || (flags & O_ACCMODE) == O_RDONLY)
        return 0;
    snprintf(path, sizeof(path), "/proc/%ld/mountinfo", (long)tid);
    dev_t dev = find_device(path, mount, NULL);
    if (dev == 0) /* or of a mount that is out of its sight: chroot(2), a lazy unmount */
        return is_kernels_own(tid, fd) ? 0 : -EXDEV;
    return dev == file->dev;
}

/* The next entry but "." and ".."; NULL: there are no more, or *ret_result is why it cannot be
 * told. */
static const struct dirent *next_entry(DIR *dir, int *ret_result)
{
    const struct dirent *entry;
    do {
        errno = 0;
        entry = readdir(dir);
    } while (entry && entry->d_name[0] == '.');
    if (!entry && errno != 0)
        *ret_result = -errno;
    return entry;
}

/* Can this process still write to the file? The descriptor that is being closed is out of its table
 * already (filp_close in the kernel). Of a thread, because a process whose first thread has ended
 * shows none.
 *
 * ret_n  fills, if it can be told: how many it has of any file
 *
 * Returns 1, 0, or -errno: it cannot be told (EACCES: it is another user's, or protects itself). */
static int has_open(pid_t tid, const struct fs_writer_file *file, unsigned *ret_n)
{
    char path[64];
    if (file->dev == 0)
        return -ENODEV;
    snprintf(path, sizeof(path), "/proc/%ld/fdinfo", (long)tid);
    DIR *dir = opendir(path);
    if (!dir)
        return -errno;
    int result = 0;
    const struct dirent *entry;
    *ret_n = 0;
    while (result == 0 && (entry = next_entry(dir, &result))) {
        result = is_file(tid, entry->d_name, file);
        (*ret_n)++;
    }
    closedir(dir);
    return result;
}

bool fs_writer_is_visible(pid_t tid)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%ld/fdinfo", (long)tid);
    int fd = tid > 0 ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* Of the first thread that has descriptors at all: they share them. Returns as has_open. */
static int process_has_open(pid_t pid, const struct fs_writer_file *file)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%ld/task", (long)pid);
    DIR *dir = opendir(path);
    if (!dir)
        return -errno;
    int result = 0;
    const struct dirent *entry;
    unsigned n = 0;
    while (result == 0 && n == 0 && (entry = next_entry(dir, &result))) {
        long tid = strtol(entry->d_name, NULL, 10);
        result = has_open((pid_t)tid, file, &n);
        if (result == -ENOENT || result == -ESRCH) /* it has ended */
            result = 0;
    }
    closedir(dir);
    return result;
}

int fs_writer_any_has_open(const struct fs_writer_file *file)
{
    DIR *dir = opendir("/proc");
    if (!dir)
        return -errno;
    int result = 0;
    const struct dirent *entry;
    while (result == 0 && (entry = next_entry(dir, &result))) {
        long pid = strtol(entry->d_name, NULL, 10); /* 0: no process */
        result = pid > 0 ? process_has_open((pid_t)pid, file) : 0;
        if (result == -EACCES || result == -ENOENT || result == -ESRCH)
            result = 0;
    }
    closedir(dir);
    return result;
}

/* --- how it ends --- */

/* May we read how a process ends? Where we may not, field 52 is 0 as if it ended well. The link is
 * under the same rule (ptrace(2), "PTRACE_MODE_READ_FSCREDS"); of what ends it leads nowhere. */
static bool can_see_status(pid_t tid)
{
    char path[64];
    char target[8];
    snprintf(path, sizeof(path), "/proc/%ld/exe", (long)tid);
    return readlink(path, target, sizeof(target)) >= 0 || errno == ENOENT;
}

/* What ends well may have ended in the middle all the same: a server whose client is gone does.
 * What a shell gave it as its output is whole then; what it opened itself it would have closed. */
static enum fs_closing judge_end(pid_t tid, const struct process_stat *stat, bool is_same_program)
{
    enum fs_closing well = is_same_program ? FS_CLOSING_LEFT : FS_CLOSING_EXIT;
    if (!can_see_status(tid))
        return stat->flags & PF_SIGNALED ? FS_CLOSING_KILLED : FS_CLOSING_UNKNOWN;
    if (stat->exit_code == 0)
        return well;
    return stat->exit_code & 0x7f ? FS_CLOSING_KILLED : FS_CLOSING_FAILED;
}

enum fs_closing fs_writer_judge(const struct fs_writer *opener, pid_t tid,
                                const struct fs_writer_file *file)
{
    struct fs_writer closer;
    struct process_stat stat;
    pid_t tgid = process_of(tid);
    if (opener->tgid == 0 || tgid == 0)
        return FS_CLOSING_UNKNOWN;
    if (tgid == opener->tgid && is_in_execve(tgid))
        return FS_CLOSING_LEFT;
    if (tgid == opener->tgid && !fs_writer_identify(tid, &closer))
        return FS_CLOSING_UNKNOWN;
    if (tgid != opener->tgid || !fs_writer_is_same(opener, &closer))
        return FS_CLOSING_OTHER;
    if (!read_stat(tid, &stat))
        return FS_CLOSING_UNKNOWN;
    if (stat.flags & PF_EXITING)
        return judge_end(tid, &stat, strcmp(closer.program, opener->program) == 0);
    unsigned n;
    int is_open = has_open(tid, file, &n);
    return is_open < 0 ? FS_CLOSING_UNKNOWN : is_open ? FS_CLOSING_ONE : FS_CLOSING_LAST;
}
