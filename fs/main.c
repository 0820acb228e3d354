/* canisterfs: mount an Internet Computer canister as a directory. */
#include "fs/launch.h"
#include "fs/mount.h"
#include "fs/session.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

struct run {
    struct fs_mount mount;
    struct fs_launch launch;
    struct fs_log *log;
    bool to_syslog;
};

static void serving(void *arg)
{
    struct run *run = arg;
    fs_launch_report(&run->launch, FS_EXIT_OK, "");
    if (run->to_syslog)
        fs_log_set_sink(run->log, FS_LOG_SYSLOG);
    fs_log_print(run->log, FS_LOG_INFO, "canister %s of %s mounted on %s",
                 run->mount.target.canister_text, run->mount.target.url,
                 run->mount.options->mountpoint);
}

static void stopping(void *arg)
{
    struct run *run = arg;
    fs_mount_stop(&run->mount);
}

static enum fs_exit run_mount(struct run *run, const struct fs_options *options, char *message,
                              size_t message_size)
{
    enum fs_exit result = fs_mount_open(&run->mount, options, run->log, message, message_size);
    if (result != FS_EXIT_OK)
        return result;
    const struct fs_session_config config = {
        .mountpoint = options->mountpoint,
        .source_name = run->mount.target.canister_text,
        .options = options,
        .ops = run->mount.ops,
        .log = run->log,
        .serving = serving,
        .stopping = stopping,
        .arg = run,
    };
    result = fs_session_run(&config, message, message_size);
    fs_mount_close(&run->mount);
    return result;
}

/* Absolute, so that the mount does not depend on the working directory. */
static enum fs_exit resolve_mountpoint(struct fs_options *options, char *message,
                                       size_t message_size)
{
    enum fs_exit result = fs_session_check_mountpoint(options->mountpoint, message, message_size);
    if (result != FS_EXIT_OK)
        return result;
    char *absolute = realpath(options->mountpoint, NULL);
    if (!absolute) {
        snprintf(message, message_size, "mount point '%s': %s", options->mountpoint,
                 strerror(errno));
        return FS_EXIT_MOUNT;
    }
    free(options->mountpoint);
    options->mountpoint = absolute;
    return FS_EXIT_OK;
}

static enum fs_exit mount_and_serve(struct fs_options *options)
{
    char message[1024] = "";
    struct run run = {.to_syslog = !options->foreground};
    enum fs_exit result = resolve_mountpoint(options, message, sizeof(message));
    if (result != FS_EXIT_OK) {
        fprintf(stderr, "canisterfs: %s\n", message);
        return result;
    }
    if (fs_launch_begin(&run.launch, options->foreground) < 0) {
        fprintf(stderr, "canisterfs: cannot start a process\n");
        return FS_EXIT_CONFIG;
    }
    if (ic_agent_init_process() < 0 ||
        fs_log_open(&run.log, (enum fs_log_level)options->log_level) < 0) {
        fs_launch_report(&run.launch, FS_EXIT_CONFIG, "out of memory");
        return FS_EXIT_CONFIG;
    }
    signal(SIGPIPE, SIG_IGN);
    fs_session_block_signals();
    result = run_mount(&run, options, message, sizeof(message));
    if (result != FS_EXIT_OK)
        fs_launch_report(&run.launch, result, message);
    fs_log_close(run.log);
    return result;
}

int main(int argc, char **argv)
{
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
        fs_option_print_help(stdout);
    else if (options.action == FS_ACTION_MAN_PAGE)
        fs_option_print_man_page(stdout);
    else if (options.action == FS_ACTION_VERSION)
        printf("canisterfs " CANISTERFS_VERSION "\n");
    else
        status = mount_and_serve(&options);
    fs_option_fini(&options);
    return (int)status;
}
