/* One kernel request: its deadline, its interruption, its error.
 *
 * A handler that may wait for the network keeps a struct fs_request on its stack from
 * fs_request_begin to fs_request_end and passes `io` down. The kernel's INTERRUPT sets the cancel
 * flag and wakes whoever waits (fuse_lowlevel.h, fuse_req_interrupt_func).
 */
#ifndef CANISTERFS_FS_REPLY_H
#define CANISTERFS_FS_REPLY_H

#include "cache/source.h"
#include "fs/fuse.h"

#include <stdatomic.h>

struct fs_request {
    fuse_req_t req;
    struct source_io io; /* borrowed by the calls below */
    atomic_bool cancelled;
    void (*wake)(void *arg); /* called after cancelled is set */
    void *wake_arg;
};

void fs_request_begin(struct fs_request *r, fuse_req_t req, uint64_t timeout_ns,
                      void (*wake)(void *arg), void *wake_arg);

/* Must come before the reply: afterwards no callback can run, and the stack frame may go. */
void fs_request_end(struct fs_request *r);

/* The errno that may be told to the kernel for a result of ours (0 or -errno).
 *
 * ENOSYS is remembered by the kernel for the life of the mount, and EAGAIN is read as "not
 * blocking" (fuse_lowlevel.h): both, and everything that is no errno, become EIO.
 */
int fs_reply_errno(int result);

/* Answer a request with an error. result: -errno. */
void fs_reply_error(fuse_req_t req, int result);

#endif
