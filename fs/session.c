/* One thread waits for signals, libfuse's workers answer the kernel, the caller's thread waits for
 * them.
 *
 * libfuse's loop ends when a worker sees the unmount, or when its waiting thread wakes up and finds
 * the exit flag set. For a signal we first make blocked handlers return (stopping), set the flag,
 * and then wake the waiting thread with SIGUSR1, whose handler does nothing; again every 50 ms
 * until the loop is over, because a wake-up between its look at the flag and its wait would be
 * lost.
 */
#include "fs/session.h"

#include "fs/fuse.h"

#include <errno.h>
#include <limits.h>
#include <linux/magic.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>

struct signal_watch {
    const struct fs_session_config *config;
    struct fuse_session *session;
    pthread_t loop_thread;
    atomic_bool loop_over;
};

static void fill_signal_set(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGHUP);
}

void fs_session_block_signals(void)
{
    sigset_t set;
    fill_signal_set(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void do_nothing(int signal_number)
{
    (void)signal_number;
}

static void *watch_signals(void *data)
{
    struct signal_watch *watch = data;
    sigset_t set;
    fill_signal_set(&set);
    const struct timespec tick = {.tv_nsec = 50000000};
    bool stopping = false;
    while (!atomic_load_explicit(&watch->loop_over, memory_order_acquire)) {
        int signal_number = sigtimedwait(&set, NULL, &tick);
        if (signal_number > 0 && !stopping) {
            stopping = true;
            fs_log_print(watch->config->log, FS_LOG_INFO, "ending on signal %d", signal_number);
            watch->config->stopping(watch->config->arg);
            fuse_session_exit(watch->session);
        }
        if (stopping)
            pthread_kill(watch->loop_thread, SIGUSR1);
    }
    return NULL;
}

static int serve(struct signal_watch *watch)
{
    struct fuse_loop_config *loop = fuse_loop_cfg_create();
    if (!loop)
        return -ENOMEM;
    /* libfuse's own default of 10 would cap concurrent readers (fuse-practice.md, M8). */
    fuse_loop_cfg_set_max_threads(loop, (unsigned)watch->config->options->max_threads);

    struct sigaction wake = {.sa_handler = do_nothing};
    struct sigaction before;
    sigaction(SIGUSR1, &wake, &before);
    pthread_t watcher;
    int result = -pthread_create(&watcher, NULL, watch_signals, watch);
    if (result == 0) {
        result = fuse_session_loop_mt(watch->session, loop);
        atomic_store_explicit(&watch->loop_over, true, memory_order_release);
        pthread_join(watcher, NULL);
    }
    sigaction(SIGUSR1, &before, NULL);
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
        add_option(args, "ro,nosuid,nodev,default_permissions,subtype=", "canisterfs") ||
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
    struct signal_watch watch = {.config = config, .loop_thread = pthread_self()};
    if (build_args(config, &args) < 0) {
        snprintf(message, message_size, "out of memory");
        goto out;
    }
    fs_ops_set_serving(config->ops, config->serving, config->arg);
    watch.session = fuse_session_new(&args, fs_ops_table(), sizeof(*fs_ops_table()), config->ops);
    if (!watch.session) {
        snprintf(message, message_size, "libfuse does not take the mount options");
        goto out;
    }
    if (fuse_session_mount(watch.session, config->mountpoint) != 0) {
        snprintf(message, message_size, "cannot mount on '%s': %s", config->mountpoint,
                 errno ? strerror(errno) : "see above");
        goto out;
    }
    int served = serve(&watch);
    config->stopping(config->arg);
    fuse_session_unmount(watch.session);
    if (served < 0) {
        snprintf(message, message_size, "serving ended: %s", strerror(-served));
        goto out;
    }
    result = FS_EXIT_OK;
out:
    if (watch.session)
        fuse_session_destroy(watch.session);
    fuse_opt_free_args(&args);
    return result;
}
