/* A mount's life in the kernel: mount, serve, stop. */
#ifndef CANISTERFS_FS_SESSION_H
#define CANISTERFS_FS_SESSION_H

#include "fs/log.h"
#include "fs/ops.h"
#include "fs/option.h"
#include "fs/signals.h"

struct fs_session_config {
    const char *mountpoint;  /* absolute */
    const char *source_name; /* shown by mount(8) and df(1) */
    const struct fs_options *options;
    struct fs_ops *ops;
    struct fs_log *log;
    struct fs_signals *signals; /* open */

    /* Called once, when the kernel has answered and the mount serves. */
    void (*serving)(void *arg);
    /* Makes every blocked call return soon. Called when the session is asked to end, when the
     * kernel has let go of it and when it ends: any number of times, one after the other, from the
     * caller's thread or another. */
    void (*stopping)(void *arg);
    void *arg;
};

/* Can this directory be mounted on? FS_EXIT_OK, or FS_EXIT_MOUNT with a line in words. */
enum fs_exit fs_session_check_mountpoint(const char *path, char *message, size_t message_size)
    __attribute__((warn_unused_result, nonnull));

/* Mount, serve until unmounted or until a signal asks for the end, unmount.
 *
 * Returns FS_EXIT_OK after a clean end, FS_EXIT_MOUNT with a line in words when it could not be
 * mounted or the kernel could not be served. Blocks: for the life of the mount. */
enum fs_exit fs_session_run(const struct fs_session_config *config, char *message,
                            size_t message_size) __attribute__((warn_unused_result, nonnull));

/* From now on libfuse's own messages go to syslog, with the log opened by fs_log_set_sink. */
void fs_session_use_syslog(void);

#endif
