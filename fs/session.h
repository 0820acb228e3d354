/* A mount's life in the kernel: mount, serve, stop. */
#ifndef CANISTERFS_FS_SESSION_H
#define CANISTERFS_FS_SESSION_H

#include "fs/log.h"
#include "fs/ops.h"
#include "fs/option.h"

struct fs_session_config {
    const char *mountpoint;  /* absolute */
    const char *source_name; /* shown by mount(8) and df(1) */
    const struct fs_options *options;
    struct fs_ops *ops;
    struct fs_log *log;

    /* Called once, when the kernel has answered and the mount serves. */
    void (*serving)(void *arg);
    /* Called once when the session is asked to end, from another thread than the caller's: makes
     * every blocked call return soon. */
    void (*stopping)(void *arg);
    void *arg;
};

/* Can this directory be mounted on? FS_EXIT_OK, or FS_EXIT_MOUNT with a line in words. */
enum fs_exit fs_session_check_mountpoint(const char *path, char *message, size_t message_size)
    __attribute__((warn_unused_result, nonnull));

/* Mount, serve until unmounted or SIGINT, SIGTERM or SIGHUP, unmount. SIGINT, SIGTERM and SIGHUP
 * must not be blocked by the caller before; threads that exist must have them blocked (see
 * fs_session_block_signals).
 *
 * Returns FS_EXIT_OK after a clean end, FS_EXIT_MOUNT with a line in words when it could not be
 * mounted. Blocks: for the life of the mount. */
enum fs_exit fs_session_run(const struct fs_session_config *config, char *message,
                            size_t message_size) __attribute__((warn_unused_result, nonnull));

/* Block the signals that end a mount in the calling thread, and so in every thread it makes. */
void fs_session_block_signals(void);

#endif
