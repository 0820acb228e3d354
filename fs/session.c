/* libfuse's workers answer the kernel, the caller's thread waits for them.
 *
 * After an unmount libfuse waits for each worker's handler, and a handler may wait for the network
 * for as long as a read may take, although nobody is there any more. libfuse tells nobody before
 * that, and a worker that is busy cannot notice: so a thread of ours looks at the device now and
 * then, and makes blocked handlers return (stopping) once the kernel has let go of it. It does not
 * wait for the device with poll(2), because the kernel would wake it for each request.
 *
 * libfuse's loop ends when a worker sees the unmount, or when its waiting thread wakes up and finds
 * the exit flag set. To end it from outside we first make blocked handlers return (stopping), set
 * the flag, and then wake the waiting thread with SIGUSR1, whose handler does nothing; again every
 * 50 ms until the loop is over (fs_signals_on_end), because a wake-up between its look at the flag
 * and its wait would be lost.
 */
#include "fs/session.h"

#include "fs/fuse.h"
#include "ic/wait.h"

#include <errno.h>
#include <limits.h>
#include <linux/magic.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <syslog.h>

struct running {
    const struct fs_session_config *config;
    struct fuse_session *session;
    pthread_t loop_thread;
    pthread_t device_watch;
    pthread_mutex_t stopping_lock; /* held while config->stopping runs */
    pthread_mutex_t lock;
    pthread_cond_t ended; /* is_over */
    bool is_over;         /* guarded by lock: the loop has ended */
};

/* How often the device is looked at. */
#define LOOK_NS (500 * IC_NS_PER_MS)

static void do_nothing(int signal_number)
{
    (void)signal_number;
}

/* Let SIGUSR1 wake this thread: whoever started the program may have blocked it. */
static void accept_wake_up(void)
{
    const struct sigaction wake = {.sa_handler = do_nothing};
    sigaction(SIGUSR1, &wake, NULL);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* One at a time: the signals' thread, the watch's, the caller's. */
static void stop(struct running *running)
{
    pthread_mutex_lock(&running->stopping_lock);
    running->config->stopping(running->config->arg);
    pthread_mutex_unlock(&running->stopping_lock);
}

static void end_loop(void *arg)
{
    struct running *running = arg;
    stop(running);
    fuse_session_exit(running->session);
    pthread_kill(running->loop_thread, SIGUSR1);
}

/* An unmounted device has an error (fuse_dev_poll in the kernel). */
static bool is_unmounted(struct running *running)
{
    struct pollfd device = {.fd = fuse_session_fd(running->session)};
    return poll(&device, 1, 0) > 0 && (device.revents & (POLLERR | POLLHUP));
}

static void *watch_device(void *arg)
{
    struct running *running = arg;
    bool is_gone = false;
    pthread_mutex_lock(&running->lock);
    while (!running->is_over && !is_gone) {
        int64_t until = ic_wait_now_ns() + LOOK_NS;
        (void)!ic_wait_cond(&running->ended, &running->lock, until, NULL); /* without an io: 0 */
        is_gone = is_unmounted(running);
    }
    pthread_mutex_unlock(&running->lock);
    if (is_gone)
        stop(running);
    return NULL;
}

static int start_watch(struct running *running)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for others */
    int error = pthread_create(&running->device_watch, NULL, watch_device, running);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -error;
}

static void end_watch(struct running *running)
{
    pthread_mutex_lock(&running->lock);
    running->is_over = true;
    pthread_cond_signal(&running->ended);
    pthread_mutex_unlock(&running->lock);
    pthread_join(running->device_watch, NULL);
}

static int serve(struct running *running)
{
    struct fuse_loop_config *loop = fuse_loop_cfg_create();
    if (!loop)
        return -ENOMEM;
    /* libfuse's own default of 10 would cap concurrent readers (fuse-practice.md, M8). */
    fuse_loop_cfg_set_max_threads(loop, (unsigned)running->config->options->max_threads);
    accept_wake_up();
    fs_signals_on_end(running->config->signals, end_loop, running);
    int result = start_watch(running);
    if (result == 0) {
        result = fuse_session_loop_mt(running->session, loop);
        end_watch(running);
    }
    fs_signals_forget(running->config->signals);
    fuse_loop_cfg_destroy(loop);
    return result;
}

enum fs_exit fs_session_check_mountpoint(const char *path, char *message, size_t message_size)
{
    struct stat st;
    struct stat above;
    struct statfs fs;
    char parent[PATH_MAX];
    if (snprintf(parent, sizeof(parent), "%s/..", path) >= (int)sizeof(parent))
        snprintf(message, message_size, "mount point: the name is too long");
    else if (stat(path, &st) < 0)
        snprintf(message, message_size, "mount point '%s': %s", path,
                 errno == ENOTCONN ? "a dead mount is in the way (fusermount3 -uz removes it)"
                                   : strerror(errno));
    else if (!S_ISDIR(st.st_mode))
        snprintf(message, message_size, "mount point '%s' is not a directory", path);
    else if (stat(parent, &above) == 0 && above.st_dev != st.st_dev && statfs(path, &fs) == 0 &&
             fs.f_type == FUSE_SUPER_MAGIC)
        snprintf(message, message_size,
                 "mount point '%s' is busy: a FUSE file system is mounted there", path);
    else
        return FS_EXIT_OK;
    return FS_EXIT_MOUNT;
}

static int add_option(struct fuse_args *args, const char *name, const char *value)
{
    char text[512];
    if (snprintf(text, sizeof(text), "%s%s", name, value) >= (int)sizeof(text))
        return -1;
    return fuse_opt_add_arg(args, "-o") || fuse_opt_add_arg(args, text);
}

static int build_args(const struct fs_session_config *config, struct fuse_args *args)
{
    const struct fs_options *options = config->options;
    if (fuse_opt_add_arg(args, "canisterfs") ||
        add_option(args, "nosuid,nodev,default_permissions,subtype=", "canisterfs") ||
        add_option(args, "fsname=", config->source_name))
        return -ENOMEM;
    if (options->allow_other && add_option(args, "allow_other", ""))
        return -ENOMEM;
    if (*options->kernel_options && add_option(args, options->kernel_options, ""))
        return -ENOMEM;
    return 0;
}

enum fs_exit fs_session_run(const struct fs_session_config *config, char *message,
                            size_t message_size)
{
    enum fs_exit result = FS_EXIT_MOUNT;
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    struct running running = {.config = config, .loop_thread = pthread_self()};
    pthread_mutex_init(&running.stopping_lock, NULL);
    pthread_mutex_init(&running.lock, NULL);
    if (ic_wait_cond_init(&running.ended) < 0 || build_args(config, &args) < 0) {
        snprintf(message, message_size, "out of memory");
        goto out;
    }
    fs_ops_set_serving(config->ops, config->serving, config->arg);
    running.session = fuse_session_new(&args, fs_ops_table(), sizeof(*fs_ops_table()), config->ops);
    if (!running.session) {
        snprintf(message, message_size, "libfuse does not take the mount options");
        goto out;
    }
    if (fuse_session_mount(running.session, config->mountpoint) != 0) {
        /* libfuse leaves no errno; it and fusermount3 have printed the cause themselves. */
        snprintf(message, message_size, "cannot mount on '%s', for the reason above",
                 config->mountpoint);
        goto out;
    }
    int served = serve(&running);
    stop(&running);
    fuse_session_unmount(running.session);
    if (served < 0) {
        snprintf(message, message_size, "serving ended: %s", strerror(-served));
        goto out;
    }
    result = FS_EXIT_OK;
out:
    if (running.session)
        fuse_session_destroy(running.session);
    fuse_opt_free_args(&args);
    pthread_cond_destroy(&running.ended);
    pthread_mutex_destroy(&running.lock);
    pthread_mutex_destroy(&running.stopping_lock);
    return result;
}

static __attribute__((format(printf, 2, 0))) void print_to_syslog(enum fuse_log_level level,
                                                                  const char *format, va_list args)
{
    vsyslog((int)level, format, args); /* the same numbers as syslog's */
}

void fs_session_use_syslog(void)
{
    fuse_set_log_func(print_to_syslog);
}
