/* canisterfs: mount an Internet Computer canister as a directory. */
#include "fs/identity.h"
#include "fs/launch.h"
#include "fs/mount.h"
#include "fs/session.h"
#include "fs/signals.h"
#include "fs/usage.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct run {
    const struct fs_options *options;
    struct fs_signals signals;
    struct fs_launch launch;
    struct fs_identity identity;
    struct fs_log *log;
    struct fs_mount mount;
    bool is_serving; /* written by a worker that the session joins before it is read */
};

static void serving(void *arg)
{
    struct run *run = arg;
    run->is_serving = true;
    if (run->mount.stages)
        fs_stages_set_mountpoint(run->mount.stages, run->options->mountpoint);
    if (fs_launch_report(&run->launch, FS_EXIT_OK, "") < 0) {
        kill(getpid(), SIGTERM); /* nobody would know of this mount */
        return;
    }
    if (!run->options->foreground) {
        fs_log_set_sink(run->log, FS_LOG_SYSLOG);
        fs_session_use_syslog();
    }
    fs_log_print(run->log, FS_LOG_INFO, "canister %s of %s mounted on %s",
                 run->mount.target.canister_text, run->mount.target.url, run->options->mountpoint);
    if (run->identity.story)
        fs_log_print(run->log, FS_LOG_INFO, "%s", run->identity.story);
}

static void stopping(void *arg)
{
    struct run *run = arg;
    fs_mount_stop(&run->mount);
}

static enum fs_exit run_session(struct run *run, char *message, size_t message_size)
{
    const struct fs_session_config config = {
        .mountpoint = run->options->mountpoint,
        .source_name = run->mount.target.canister_text,
        .options = run->options,
        .ops = run->mount.ops,
        .log = run->log,
        .signals = &run->signals,
        .serving = serving,
        .stopping = stopping,
        .arg = run,
    };
    if (fs_launch_is_awaited(&run->launch))
        return fs_session_run(&config, message, message_size);
    snprintf(message, message_size, "whoever started the mount is gone");
    return FS_EXIT_MOUNT;
}

/* Tell why it ended, whoever can still hear it: the caller at the start, the log later. */
static void tell(struct run *run, enum fs_exit result, const char *message)
{
    if (run->is_serving)
        fs_log_print(run->log, FS_LOG_ERROR, "%s", message);
    else
        (void)fs_launch_report(&run->launch, result, message); /* nobody there: nobody to tell */
}

/* Everything from the first call to the network to the end of the mount. */
static enum fs_exit run_mount(struct run *run)
{
    char message[1024] = "";
    struct ic_identity *id = run->identity.id;
    run->identity.id = NULL; /* the mount's now */
    enum fs_exit result = fs_mount_open(&run->mount, run->options, id, run->log,
                                        &run->signals.cancel, message, sizeof(message));
    if (result == FS_EXIT_OK) {
        result = run_session(run, message, sizeof(message));
        fs_mount_close(&run->mount);
    }
    bool was_interrupted = atomic_load_explicit(&run->signals.cancel, memory_order_acquire);
    if (result != FS_EXIT_OK && (run->is_serving || !was_interrupted))
        tell(run, result, message);
    return result;
}

/* Absolute, so that a file name does not depend on the working directory, which changes in the
 * background. */
static int make_absolute(char **path)
{
    char *absolute = realpath(*path, NULL);
    if (!absolute)
        return -errno;
    free(*path);
    *path = absolute;
    return 0;
}

/* The same for what need not be there. */
static int make_absolute_name(char **path)
{
    if (**path == '/')
        return 0;
    char *here = getcwd(NULL, 0);
    char *absolute;
    int len = here ? asprintf(&absolute, "%s/%s", here, *path) : -1;
    free(here);
    if (len < 0)
        return -ENOMEM;
    free(*path);
    *path = absolute;
    return 0;
}

static enum fs_exit resolve_paths(struct fs_options *options, char *message, size_t message_size)
{
    enum fs_exit result = fs_session_check_mountpoint(options->mountpoint, message, message_size);
    if (result != FS_EXIT_OK)
        return result;
    int failed = make_absolute(&options->mountpoint);
    if (failed < 0) {
        snprintf(message, message_size, "mount point '%s': %s", options->mountpoint,
                 strerror(-failed));
        return FS_EXIT_MOUNT;
    }
    failed = options->staging_dir ? make_absolute_name(&options->staging_dir) : 0;
    if (failed < 0) {
        snprintf(message, message_size, "staging_dir '%s': %s", options->staging_dir,
                 strerror(-failed));
        return FS_EXIT_CONFIG;
    }
    /* Read again at every new connection. */
    failed = options->ca_file ? make_absolute(&options->ca_file) : 0;
    if (failed < 0) {
        snprintf(message, message_size, "certificate file '%s': %s", options->ca_file,
                 strerror(-failed));
        return FS_EXIT_CONFIG;
    }
    return FS_EXIT_OK;
}

/* In the background process, or the only one. */
static enum fs_exit run_process(struct run *run)
{
    int started = ic_agent_init_process();
    if (started == 0)
        started = fs_log_open(&run->log, (enum fs_log_level)run->options->log_level);
    if (started == 0)
        started = fs_signals_open(&run->signals, run->log);
    if (started < 0) {
        (void)fs_launch_report(&run->launch, FS_EXIT_CONFIG, strerror(-started));
        fs_log_close(run->log);
        return FS_EXIT_CONFIG;
    }
    if (run->options->rw)
        fs_log_print(run->log, FS_LOG_INFO,
                     "rw: what is written there is restored (mount(8) asks for it unless 'ro' is "
                     "given)");
    fs_identity_warn(&run->identity, run->log);
    enum fs_exit result = run_mount(run);
    fs_signals_close(&run->signals);
    fs_log_close(run->log);
    int number = atomic_load_explicit(&run->signals.number, memory_order_relaxed);
    if (number != 0 && !run->is_serving)
        fs_signals_die(number); /* an interrupted start ends as any interrupted program */
    return result;
}

static enum fs_exit mount_and_serve(struct fs_options *options)
{
    char message[1024] = "";
    struct run run = {.options = options};
    enum fs_exit result = resolve_paths(options, message, sizeof(message));
    if (result == FS_EXIT_OK) /* while there is a terminal to ask for a password */
        result = fs_identity_open(&run.identity, options, message, sizeof(message));
    if (result != FS_EXIT_OK) {
        fprintf(stderr, "canisterfs: %s\n", message);
        return result;
    }
    fs_launch_raise_limit();
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a write beyond the limit on the size of files is EFBIG */
    fs_signals_block(&run.signals);
    int launched = fs_launch_begin(&run.launch, options->foreground, &run.signals);
    if (launched < 0) {
        fprintf(stderr, "canisterfs: cannot start a process: %s\n", strerror(-launched));
        fs_identity_close(&run.identity);
        return FS_EXIT_CONFIG;
    }
    result = run_process(&run);
    fs_identity_close(&run.identity);
    return result;
}

int main(int argc, char **argv)
{
    if (fs_launch_open_standard_streams() < 0)
        return FS_EXIT_CONFIG;
    /* Replies of some MiB come and go: give their memory back to the system instead of letting
     * freed pieces pile up in one arena per thread. */
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
    mallopt(M_ARENA_MAX, 4);

    char message[512];
    struct fs_options options;
    enum fs_exit result = fs_option_parse(argc, argv, &options, message, sizeof(message));
    if (result != FS_EXIT_OK) {
        fprintf(stderr, "canisterfs: %s\n", message);
        fs_option_fini(&options);
        return (int)result;
    }
    enum fs_exit status = FS_EXIT_OK;
    if (options.action == FS_ACTION_HELP)
        fs_usage_print_help(stdout);
    else if (options.action == FS_ACTION_MAN_PAGE)
        fs_usage_print_man_page(stdout);
    else if (options.action == FS_ACTION_VERSION)
        printf("canisterfs " CANISTERFS_VERSION "\n");
    else if (options.action == FS_ACTION_WHOAMI)
        status = fs_identity_whoami(&options);
    else
        status = mount_and_serve(&options);
    fs_option_fini(&options);
    return (int)status;
}
