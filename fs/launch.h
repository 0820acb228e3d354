/* Going to the background, and telling the caller's shell the truth about it.
 *
 * The parent waits until the child says that the mount serves, or why it does not, and exits with
 * that status. A signal that the parent gets meanwhile is passed on; when the child dies of it, the
 * parent does too. There is no limit of time: every wait of the child has its own. A fork after the
 * mount (as fuse_daemonize does) could not report a later failure.
 */
#ifndef CANISTERFS_FS_LAUNCH_H
#define CANISTERFS_FS_LAUNCH_H

#include "fs/option.h"
#include "fs/signals.h"

struct fs_launch {
    int pipe_fd; /* write end in the child; -1 in the foreground or after the report */
};

/* Give the program descriptors 0, 1 and 2 when its caller closed them, so that nothing it opens
 * lands there. First of all in main. Returns 0 or -errno. */
int fs_launch_open_standard_streams(void) __attribute__((warn_unused_result));

/* As many descriptors as the system lets us have (getrlimit(2), RLIMIT_NOFILE), best effort: its
 * ordinary limit is for programs that use select(2). */
void fs_launch_raise_limit(void);

/* Fork, unless `foreground`. Returns in the child, or in the foreground process, with 0 or -errno.
 * The parent never returns: it relays the child's message to standard error and exits.
 *
 * signals  blocked (fs_signals_block), not yet open: no thread may exist */
int fs_launch_begin(struct fs_launch *launch, bool foreground, const struct fs_signals *signals)
    __attribute__((warn_unused_result));

/* Is anybody there to hear the report? True in the foreground. */
bool fs_launch_is_awaited(const struct fs_launch *launch);

/* Report, once and before anything else is told to the caller: the mount serves (FS_EXIT_OK; then
 * the child gives up its terminal and its working directory), or it failed, with one line in words.
 * In the foreground a failure is printed to standard error.
 *
 * Returns 0, or -EPIPE when the parent is gone. SIGPIPE must be ignored. */
int fs_launch_report(struct fs_launch *launch, enum fs_exit status, const char *message);

#endif
