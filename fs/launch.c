/* Protocol on the pipe: one byte of exit status, then the message up to end of file. */
#include "fs/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Longer than every bounded wait of a mount (each call ends by its own deadline): reached only when
 * the child hangs. */
#define WAIT_MS 180000

static ssize_t read_within(int fd, char *buf, size_t size, int wait_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int n;
    do
        n = poll(&p, 1, wait_ms);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return -1;
    return read(fd, buf, size);
}

static _Noreturn void wait_for_child(int fd, pid_t child)
{
    char status;
    ssize_t n = read_within(fd, &status, 1, WAIT_MS);
    if (n < 0) {
        fprintf(stderr, "canisterfs: the mount did not come up in time\n");
        kill(child, SIGTERM);
        _exit(FS_EXIT_MOUNT);
    }
    if (n == 0) {
        fprintf(stderr, "canisterfs: the background process ended without a word\n");
        _exit(FS_EXIT_MOUNT);
    }
    if (status != FS_EXIT_OK) {
        char message[1024];
        size_t len = 0;
        while (len < sizeof(message) &&
               (n = read_within(fd, message + len, sizeof(message) - len, WAIT_MS)) > 0)
            len += (size_t)n;
        fprintf(stderr, "canisterfs: %.*s\n", (int)len, message);
    }
    _exit(status);
}

int fs_launch_begin(struct fs_launch *launch, bool foreground)
{
    launch->pipe_fd = -1;
    if (foreground)
        return 0;
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    pid_t child = fork();
    if (child < 0) {
        int result = -errno;
        close(fds[0]);
        close(fds[1]);
        return result;
    }
    if (child > 0) {
        close(fds[1]);
        wait_for_child(fds[0], child);
    }
    close(fds[0]);
    setsid();
    launch->pipe_fd = fds[1];
    return 0;
}

static void leave_terminal(void)
{
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0)
        return;
    for (int fd = 0; fd <= 2; fd++)
        dup2(null_fd, fd);
    if (null_fd > 2)
        close(null_fd);
    /* Relative names were made absolute before; do not keep the caller's directory busy. */
    if (chdir("/") != 0)
        return;
}

static void write_all(int fd, const char *buf, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, buf, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* the parent is gone: nobody is left to tell */
        buf += n;
        len -= (size_t)n;
    }
}

void fs_launch_report(struct fs_launch *launch, enum fs_exit status, const char *message)
{
    if (launch->pipe_fd < 0) {
        if (status != FS_EXIT_OK)
            fprintf(stderr, "canisterfs: %s\n", message);
        return;
    }
    char byte = (char)status;
    write_all(launch->pipe_fd, &byte, 1);
    write_all(launch->pipe_fd, message, strlen(message));
    close(launch->pipe_fd);
    launch->pipe_fd = -1;
    if (status == FS_EXIT_OK)
        leave_terminal();
}
