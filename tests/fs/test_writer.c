/* Who closes a file, and how: with real processes. One that has ended and is not waited for yet
 * looks in /proc as one that is ending. */
#include "fs/writer.h"
#include "tests/tap.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

TAP_STATE;

/* Entries of directories that can be read; then there is an error. 0: all. */
static int n_readable;

struct dirent *readdir(DIR *dir)
{
    struct dirent *(*real)(DIR *) = (struct dirent * (*)(DIR *)) dlsym(RTLD_NEXT, "readdir64");
    if (n_readable == 0 || --n_readable > 0)
        return real(dir);
    n_readable = 1;
    errno = EIO;
    return NULL;
}

/* Of a device that is mounted nowhere. */
static const struct fs_writer_file no_file = {.dev = 0xfffff, .ino = 1};

/* A child that has ended in some way, still to be waited for; `opener` is what it was. */
static pid_t end_child(void (*end)(void), struct fs_writer *opener)
{
    int ready[2];
    int go[2];
    char byte = 0;
    if (pipe(ready) < 0 || pipe(go) < 0)
        abort();
    pid_t child = fork();
    if (child == 0) {
        (void)!write(ready[1], &byte, 1);
        (void)!read(go[0], &byte, 1);
        end();
        _exit(99);
    }
    (void)!read(ready[0], &byte, 1);
    TAP_OK(fs_writer_identify(child, opener), "a process is known");
    TAP_INT(fs_writer_judge(opener, child, &no_file), FS_CLOSING_LAST,
            "while it runs, what it closes it closes itself");
    (void)!write(go[1], &byte, 1);
    siginfo_t info;
    waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT);
    for (int i = 0; i < 2; i++) {
        close(ready[i]);
        close(go[i]);
    }
    return child;
}

static void *sleep_long(void *arg)
{
    pause();
    return arg;
}

static void end_well(void)
{
    _exit(0);
}

static void end_well_with_threads(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, sleep_long, NULL);
    exit(0);
}

static void fail_with_threads(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, sleep_long, NULL);
    exit(7);
}

static void run_another_program(void)
{
    (void)execlp("true", "true", (char *)NULL);
}

static void fail(void)
{
    _exit(1);
}

static void be_killed(void)
{
    raise(SIGKILL);
}

static void be_interrupted(void)
{
    signal(SIGINT, SIG_DFL);
    raise(SIGINT);
}

static void dump_core(void)
{
    signal(SIGQUIT, SIG_DFL);
    raise(SIGQUIT);
}

static void test_ends(void)
{
    static const struct {
        void (*end)(void);
        enum fs_closing want;
        const char *what;
    } rows[] = {
        {end_well, FS_CLOSING_LEFT, "exit status 0"},
        {end_well_with_threads, FS_CLOSING_LEFT, "exit status 0 of several threads"},
        {run_another_program, FS_CLOSING_EXIT, "exit status 0 of what it became"},
        {fail, FS_CLOSING_FAILED, "exit status 1"},
        {fail_with_threads, FS_CLOSING_FAILED, "exit status 7 of several threads"},
        {be_killed, FS_CLOSING_KILLED, "SIGKILL"},
        {be_interrupted, FS_CLOSING_KILLED, "SIGINT"},
        {dump_core, FS_CLOSING_KILLED, "SIGQUIT"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fs_writer opener;
        struct fs_writer self;
        pid_t child = end_child(rows[i].end, &opener);
        TAP_INT(fs_writer_judge(&opener, child, &no_file), rows[i].want, rows[i].what);
        TAP_OK(fs_writer_identify(getpid(), &self), "the test itself");
        TAP_INT(fs_writer_judge(&self, child, &no_file), FS_CLOSING_OTHER, "is another process");
        struct fs_writer later = opener;
        later.start++;
        TAP_INT(fs_writer_judge(&later, child, &no_file), FS_CLOSING_OTHER,
                "a later process of that number is another");
        waitpid(child, NULL, 0);
        TAP_INT(fs_writer_judge(&opener, child, &no_file), FS_CLOSING_UNKNOWN, "gone");
    }
}

static void test_unknown(void)
{
    const struct fs_writer nobody = {0};
    struct fs_writer writer = {.tgid = 4711};
    TAP_OK(!fs_writer_identify(0, &writer) && writer.tgid == 0, "0 is outside of our namespace");
    TAP_OK(!fs_writer_identify(-1, &writer), "no process has a negative number");
    TAP_OK(!fs_writer_is_same(&nobody, &nobody), "two unknown ones are not the same");
    TAP_INT(fs_writer_judge(&nobody, getpid(), &no_file), FS_CLOSING_UNKNOWN, "no opener");
}

static void *identify_self(void *arg)
{
    struct fs_writer *out = arg;
    (void)fs_writer_identify(gettid(), out);
    return NULL;
}

static void test_threads(void)
{
    struct fs_writer main_thread;
    struct fs_writer other = {0};
    pthread_t thread;
    TAP_OK(fs_writer_identify(gettid(), &main_thread), "the main thread");
    pthread_create(&thread, NULL, identify_self, &other);
    pthread_join(thread, NULL);
    TAP_OK(fs_writer_is_same(&main_thread, &other), "threads are of one process");
    TAP_OK(main_thread.tgid == getpid() && main_thread.start > 0, "which has a number and a start");
}

static void test_descriptors(const char *dir)
{
    char path[4200];
    struct stat st;
    struct fs_writer self;
    snprintf(path, sizeof(path), "%s/writer.XXXXXX", dir);
    int a = mkstemp(path);
    if (a < 0 || fstat(a, &st) < 0 || !fs_writer_identify(getpid(), &self))
        abort();
    /* The device of the mount table, which for some file systems is another than stat's. */
    const char *mount = "/proc";
    dev_t proc = fs_writer_device_of(mount);
    struct stat proc_st;
    TAP_OK(stat(mount, &proc_st) == 0 && proc == proc_st.st_dev, "the device of a mount");
    TAP_INT((int64_t)fs_writer_device_of("/proc/self"), 0, "nothing is mounted there");
    TAP_INT((int64_t)fs_writer_device_of("/no such\tplace\\"), 0, "nor there");

    const struct fs_writer_file file = {.dev = st.st_dev, .ino = st.st_ino};
    const struct fs_writer_file other = {.dev = st.st_dev, .ino = st.st_ino + 1};
    const struct fs_writer_file elsewhere = {.dev = st.st_dev + 1, .ino = st.st_ino};
    const struct fs_writer_file anywhere = {.dev = 0, .ino = st.st_ino};
    TAP_INT(fs_writer_judge(&self, getpid(), &file), FS_CLOSING_ONE, "it can still be written");
    TAP_INT(fs_writer_judge(&self, getpid(), &other), FS_CLOSING_LAST, "another file cannot");
    TAP_INT(fs_writer_judge(&self, getpid(), &elsewhere), FS_CLOSING_LAST,
            "nor one of that number elsewhere");
    TAP_INT(fs_writer_judge(&self, getpid(), &anywhere), FS_CLOSING_UNKNOWN,
            "of one of nowhere nobody can tell");
    int b = open(path, O_RDONLY);
    close(a);
    TAP_INT(fs_writer_judge(&self, getpid(), &file), FS_CLOSING_LAST,
            "a descriptor to read by does not count");
    a = open(path, O_WRONLY);
    TAP_INT(fs_writer_judge(&self, getpid(), &file), FS_CLOSING_ONE, "one to write by does");
    TAP_INT(fs_writer_any_has_open(&file), 1, "of some process");
    close(a);
    TAP_INT(fs_writer_any_has_open(&file), 0, "of none");
    TAP_INT(fs_writer_any_has_open(&anywhere), -ENODEV, "of a file of nowhere nobody can tell");
    close(b);
    unlink(path);
}

/* What is inside of the kernel has numbers of its own, which may be those of the file. */
static void test_pipes(void)
{
    struct stat st;
    struct fs_writer self;
    int ends[2];
    int memory = memfd_create("stable_memory", MFD_CLOEXEC);
    if (pipe(ends) < 0 || memory < 0 || !fs_writer_identify(getpid(), &self))
        abort();
    for (int i = 0; i < 2; i++) {
        fstat(i == 0 ? ends[1] : memory, &st);
        const struct fs_writer_file file = {.dev = 0xfffff, .ino = st.st_ino};
        TAP_INT(fs_writer_judge(&self, getpid(), &file), FS_CLOSING_LAST, "is no file of ours");
    }
    close(ends[0]);
    close(ends[1]);
    close(memory);
}

/* A file that its process has open, and that no table of mounts shows any more. */
static void test_out_of_sight(void)
{
    struct stat st;
    struct fs_writer self;
    char dir[] = "/dev/shm/writer.XXXXXX";
    if (getuid() != 0 || !mkdtemp(dir) || !fs_writer_identify(getpid(), &self))
        return;
    if (mount("tmpfs", dir, "tmpfs", 0, "size=64k") == 0) {
        char path[64];
        snprintf(path, sizeof(path), "%s/file", dir);
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        fstat(fd, &st);
        const struct fs_writer_file file = {.dev = st.st_dev, .ino = st.st_ino};
        TAP_INT(fs_writer_judge(&self, getpid(), &file), FS_CLOSING_ONE, "it can be written");
        umount2(dir, MNT_DETACH);
        TAP_INT(fs_writer_judge(&self, getpid(), &file), FS_CLOSING_UNKNOWN,
                "out of sight nobody can tell");
        close(fd);
    }
    rmdir(dir);
}

/* Descriptors run out here, at whichever of the files that are looked at. */
static void test_no_descriptors(void)
{
    struct rlimit limit;
    struct fs_writer self;
    int first = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(first);
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || !fs_writer_identify(getpid(), &self))
        abort();
    for (int n = 0; n < 2; n++) {
        const struct rlimit few = {.rlim_cur = (rlim_t)(first + n), .rlim_max = limit.rlim_max};
        setrlimit(RLIMIT_NOFILE, &few);
        enum fs_closing closing = fs_writer_judge(&self, getpid(), &no_file);
        int any = fs_writer_any_has_open(&no_file);
        bool is_visible = fs_writer_is_visible(getpid());
        setrlimit(RLIMIT_NOFILE, &limit);
        TAP_INT(closing, FS_CLOSING_UNKNOWN, "nobody can tell");
        TAP_INT(any, -EMFILE, "nor of others");
        TAP_OK(is_visible == (n > 0), "with one it can be looked at");
    }
}

/* A directory of /proc that cannot be read to its end. */
static void test_unreadable_directory(void)
{
    struct fs_writer self;
    if (!fs_writer_identify(getpid(), &self))
        abort();
    n_readable = 4;
    TAP_INT(fs_writer_judge(&self, getpid(), &no_file), FS_CLOSING_UNKNOWN, "nobody can tell");
    n_readable = 4;
    TAP_INT(fs_writer_any_has_open(&no_file), -EIO, "nor of others");
    n_readable = 0;
    TAP_INT(fs_writer_judge(&self, getpid(), &no_file), FS_CLOSING_LAST, "else it can be told");
}

/* The first thread has ended: its number shows no descriptors any more. */
static void *judge_without_main(void *arg)
{
    const struct fs_writer_file *file = arg;
    struct fs_writer self;
    char path[64];
    char state = 'R';
    snprintf(path, sizeof(path), "/proc/%d/stat", getpid());
    while (state != 'Z') {
        FILE *stat = fopen(path, "re");
        (void)!fscanf(stat, "%*d (%*[^)]) %c", &state);
        fclose(stat);
    }
    (void)fs_writer_identify(gettid(), &self);
    bool is_right = fs_writer_judge(&self, gettid(), file) == FS_CLOSING_ONE &&
                    fs_writer_any_has_open(file) == 1;
    _exit(is_right ? 0 : 1);
}

static void test_first_thread_ended(const char *dir)
{
    char path[4200];
    struct stat st;
    int status = -1;
    snprintf(path, sizeof(path), "%s/writer.XXXXXX", dir);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        int fd = mkstemp(path);
        pthread_t thread;
        unlink(path);
        fstat(fd, &st);
        static struct fs_writer_file file;
        file = (struct fs_writer_file){.dev = st.st_dev, .ino = st.st_ino};
        pthread_create(&thread, NULL, judge_without_main, &file);
        pthread_exit(NULL);
    }
    waitpid(child, &status, 0);
    TAP_INT(status, 0, "without its first thread it has the file open still");
}

/* Another user's process: only whether a signal ended it can be told. */
static void test_without_rights(void)
{
    if (getuid() != 0)
        return;
    static const struct {
        void (*end)(void);
        enum fs_closing want;
    } rows[] = {
        {end_well, FS_CLOSING_UNKNOWN},
        {run_another_program, FS_CLOSING_UNKNOWN},
        {fail, FS_CLOSING_UNKNOWN},
        {be_killed, FS_CLOSING_KILLED},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fs_writer opener;
        pid_t child = end_child(rows[i].end, &opener);
        fflush(stdout);
        pid_t judge = fork();
        if (judge == 0) {
            if (setgid(65534) < 0 || setuid(65534) < 0)
                _exit(99);
            _exit((int)fs_writer_judge(&opener, child, &no_file));
        }
        int status = 0;
        waitpid(judge, &status, 0);
        TAP_INT(WEXITSTATUS(status), rows[i].want, "as another user");
        waitpid(child, NULL, 0);
    }
    struct fs_writer self;
    (void)fs_writer_identify(getpid(), &self);
    fflush(stdout);
    pid_t judge = fork();
    if (judge == 0) {
        if (setgid(65534) < 0 || setuid(65534) < 0)
            _exit(99);
        _exit((int)fs_writer_judge(&self, self.tgid, &no_file) |
              (fs_writer_is_visible(self.tgid) ? 64 : 0));
    }
    int status = 0;
    waitpid(judge, &status, 0);
    TAP_INT(WEXITSTATUS(status), FS_CLOSING_UNKNOWN, "while it runs nothing can");
}

int main(int argc, char **argv)
{
    test_unknown();
    test_threads();
    test_descriptors(argc > 1 ? argv[1] : "/dev/shm");
    test_pipes();
    test_out_of_sight();
    test_no_descriptors();
    test_unreadable_directory();
    test_first_thread_ended(argc > 1 ? argv[1] : "/dev/shm");
    test_ends();
    test_without_rights();
    return tap_done();
}
