/* Passwords: see password.h. */
#include "fs/password.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

/* Cut a text after its first line. Returns the length, or -1 when there is none, or no end of one
 * in a full buffer. */
static int first_line(const char *buf, size_t len, size_t size)
{
    const char *end = memchr(buf, '\n', len);
    if (!end && len == size)
        return -1;
    size_t n = end ? (size_t)(end - buf) : len;
    if (n > 0 && buf[n - 1] == '\r')
        n--;
    return n > 0 && !memchr(buf, '\0', n) ? (int)n : -1;
}

/* ---- from a file ---- */

static int fail_file(const char *path, const char *why, struct ic_error *err)
{
    return ic_fail(err, IC_E_CONFIG, "password file %.250s: %s", path, why);
}

static int read_up_to(int fd, char *buf, size_t size, size_t *len)
{
    for (*len = 0; *len < size;) {
        ssize_t n = read(fd, buf + *len, size - *len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : 0;
        *len += (size_t)n;
    }
    return 0;
}

static int from_file(struct fs_password *password, char buf[IC_PASSWORD_MAX], struct ic_error *err)
{
    struct stat st;
    size_t len = 0;
    int fd = open(password->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return fail_file(password->file, strerror(errno), err);
    int result = fstat(fd, &st) < 0 ? -errno : 0;
    bool is_regular = result == 0 && S_ISREG(st.st_mode);
    if (is_regular)
        result = read_up_to(fd, buf, IC_PASSWORD_MAX, &len);
    close(fd);
    if (result < 0)
        return fail_file(password->file, strerror(-result), err);
    if (!is_regular)
        return fail_file(password->file, "not a regular file", err);
    password->is_exposed = (st.st_mode & 077) != 0;
    result = first_line(buf, len, IC_PASSWORD_MAX);
    return result >= 0 ? result : fail_file(password->file, "no password in its first line", err);
}

/* ---- from the terminal ---- */

/* Wait for a line or a signal. Returns the signal, 0 for a line. */
static int wait_for_line(int signal_fd)
{
    struct pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                           {.fd = signal_fd, .events = POLLIN}};
    struct signalfd_siginfo info;
    while (poll(fds, 2, -1) < 0 && errno == EINTR)
        continue;
    if (fds[1].revents && read(signal_fd, &info, sizeof(info)) == sizeof(info))
        return (int)info.ssi_signo;
    return 0;
}

/* A line without echo. Returns what the terminal gave, -1 for nothing; *number: the signal that
 * came instead. The prompt comes last: what is typed before it is thrown away. */
static ssize_t read_silently(const char *key_file, char *buf, size_t size, int signal_fd,
                             int *number)
{
    struct termios before, silent;
    ssize_t len = -1;
    if (tcgetattr(STDIN_FILENO, &before) < 0)
        return -1;
    silent = before;
    silent.c_lflag &= ~(tcflag_t)ECHO;
    silent.c_lflag |= ICANON | ISIG;
    if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent) < 0)
        return -1;
    fprintf(stderr, "Password for %s: ", key_file);
    *number = wait_for_line(signal_fd);
    if (*number == 0)
        len = read(STDIN_FILENO, buf, size);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    fputc('\n', stderr);
    return len;
}

/* As the signal does when it is not held back: nothing when it is ignored, or no shell is there to
 * go on from. */
static void suspend(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTSTP);
    (void)raise(SIGTSTP);
    sigprocmask(SIG_UNBLOCK, &set, NULL); /* stops here */
    sigprocmask(SIG_BLOCK, &set, NULL);
}

/* Asks again after the program was stopped: the shell has set the terminal as it likes it. */
static ssize_t ask(const char *key_file, char buf[IC_PASSWORD_MAX], int signal_fd, int *number)
{
    for (;;) {
        *number = 0;
        ssize_t len = read_silently(key_file, buf, IC_PASSWORD_MAX, signal_fd, number);
        if (*number != SIGTSTP)
            return len;
        suspend();
    }
}

static int from_terminal(const char *key_file, char buf[IC_PASSWORD_MAX], struct ic_error *err)
{
    static const int watched[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};
    sigset_t set, before;
    int number = 0;
    if (!isatty(STDIN_FILENO))
        return ic_fail(err, IC_E_CONFIG,
                       "identity file %.250s: holds a password-protected key, and there is no "
                       "terminal to ask for the password: -o password_file=FILE",
                       key_file);
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(watched) / sizeof(watched[0]); i++)
        sigaddset(&set, watched[i]);
    sigprocmask(SIG_BLOCK, &set, &before);
    int signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
    ssize_t len = signal_fd < 0 ? -1 : ask(key_file, buf, signal_fd, &number);
    if (signal_fd >= 0)
        close(signal_fd);
    if (number != 0)
        (void)raise(number); /* delivered by the next line */
    sigprocmask(SIG_SETMASK, &before, NULL);
    int result = len < 0 ? -1 : first_line(buf, (size_t)len, IC_PASSWORD_MAX);
    return result >= 0
               ? result
               : ic_fail(err, IC_E_CONFIG, "identity file %.250s: no password was typed", key_file);
}

int fs_password_get(void *arg, const char *key_file, char buf[IC_PASSWORD_MAX],
                    struct ic_error *err)
{
    struct fs_password *password = arg;
    return password->file ? from_file(password, buf, err) : from_terminal(key_file, buf, err);
}
