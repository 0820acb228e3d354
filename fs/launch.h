/* Going to the background, and telling the caller's shell the truth about it.
 *
 * The parent waits until the child says that the mount serves, or why it does not, and exits with
 * that status. A fork after the mount (as fuse_daemonize does) could not report a later failure.
 */
#ifndef CANISTERFS_FS_LAUNCH_H
#define CANISTERFS_FS_LAUNCH_H

#include "fs/option.h"

struct fs_launch {
    int pipe_fd; /* write end in the child; -1 in the foreground or after the report */
};

/* Fork, unless `foreground`. Returns in the child, or in the foreground process, with 0 or -errno.
 * The parent never returns: it relays the child's message to standard error and exits. Must be
 * called before any thread exists. */
int fs_launch_begin(struct fs_launch *launch, bool foreground) __attribute__((warn_unused_result));

/* Report once: the mount serves (status FS_EXIT_OK; then the child gives up its terminal), or it
 * failed, with one line in words. In the foreground a failure is printed to standard error. Later
 * calls do nothing. */
void fs_launch_report(struct fs_launch *launch, enum fs_exit status, const char *message);

#endif
