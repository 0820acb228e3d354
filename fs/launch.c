/* Protocol on the pipe: one byte of exit status, then the message up to end of file. */
#include "fs/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

int fs_launch_open_standard_streams(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= 2);
    if (fd < 0)
        return -errno;
    close(fd);
    return 0;
}

void fs_launch_raise_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* Pass signals on to the child until the pipe can be read. Returns the last signal, or 0. */
static int forward_until_readable(int fd, int signal_fd, pid_t child)
{
    int forwarded = 0;
    struct pollfd fds[] = {{.fd = fd, .events = POLLIN}, {.fd = signal_fd, .events = POLLIN}};
    while (poll(fds, 2, -1) < 0 || fds[0].revents == 0) {
        struct signalfd_siginfo info;
        if (fds[1].revents == 0 || read(signal_fd, &info, sizeof(info)) != sizeof(info))
            continue;
        kill(child, (int)info.ssi_signo);
        if (info.ssi_signo != SIGUSR2)
            forwarded = (int)info.ssi_signo;
    }
    return forwarded;
}

static size_t read_all(int fd, char *buf, size_t size)
{
    size_t len = 0;
    while (len < size) {
        ssize_t n = read(fd, buf + len, size - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    return len;
}

/* The child ended without a report: as it died, so does the parent. */
static _Noreturn void follow(pid_t child)
{
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    if (WIFSIGNALED(status) &&
        (WTERMSIG(status) == SIGINT || WTERMSIG(status) == SIGTERM || WTERMSIG(status) == SIGHUP))
        fs_signals_die(WTERMSIG(status));
    fprintf(stderr, "canisterfs: the background process ended without a word%s%s\n",
            WIFSIGNALED(status) ? ", killed by SIG" : "",
            WIFSIGNALED(status) ? sigabbrev_np(WTERMSIG(status)) : "");
    _exit(FS_EXIT_MOUNT);
}

static _Noreturn void wait_for_child(int fd, int signal_fd, pid_t child)
{
    int forwarded = forward_until_readable(fd, signal_fd, child);
    char report[1 + 1024];
    size_t len = read_all(fd, report, sizeof(report));
    if (len == 0)
        follow(child);
    /* The mount came up just before the signal: it goes away again. */
    if (forwarded)
        fs_signals_die(forwarded);
    int status = (unsigned char)report[0];
    if (status != FS_EXIT_OK)
        fprintf(stderr, "canisterfs: %.*s\n", (int)(len - 1), report + 1);
    _exit(status);
}

static void close_if_open(int fd)
{
    if (fd >= 0)
        close(fd);
}

int fs_launch_begin(struct fs_launch *launch, bool foreground, const struct fs_signals *signals)
{
    launch->pipe_fd = -1;
    if (foreground)
        return 0;
    int fds[2] = {-1, -1};
    int signal_fd = signalfd(-1, &signals->set, SFD_CLOEXEC);
    pid_t child = signal_fd < 0 || pipe2(fds, O_CLOEXEC) < 0 ? -1 : fork();
    int result = child < 0 ? -errno : 0;
    if (child > 0) {
        close(fds[1]);
        wait_for_child(fds[0], signal_fd, child);
    }
    close_if_open(signal_fd);
    close_if_open(fds[0]);
    if (result < 0) {
        close_if_open(fds[1]);
        return result;
    }
    setsid();
    launch->pipe_fd = fds[1];
    return 0;
}

bool fs_launch_is_awaited(const struct fs_launch *launch)
{
    struct pollfd fd = {.fd = launch->pipe_fd};
    return launch->pipe_fd < 0 || poll(&fd, 1, 0) <= 0;
}

static void leave_terminal(void)
{
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0)
        return;
    for (int fd = 0; fd <= 2; fd++)
        dup2(null_fd, fd);
    close(null_fd); /* 0, 1 and 2 were open: it is another */
    /* File names that are used later were made absolute: do not keep the caller's directory busy.
     */
    if (chdir("/") != 0)
        return;
}

static int write_all(int fd, const char *buf, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, buf, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -EPIPE;
        buf += n;
        len -= (size_t)n;
    }
    return 0;
}

int fs_launch_report(struct fs_launch *launch, enum fs_exit status, const char *message)
{
    if (launch->pipe_fd < 0) {
        if (status != FS_EXIT_OK)
            fprintf(stderr, "canisterfs: %s\n", message);
        return 0;
    }
    char byte = (char)status;
    int result = write_all(launch->pipe_fd, &byte, 1);
    if (result == 0)
        result = write_all(launch->pipe_fd, message, strlen(message));
    close(launch->pipe_fd);
    launch->pipe_fd = -1;
    if (result == 0 && status == FS_EXIT_OK)
        leave_terminal();
    return result;
}
