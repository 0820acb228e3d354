#include "fs/reply.h"

#include <errno.h>
#include <time.h>

static void interrupt_cb(fuse_req_t req, void *data)
{
    (void)req;
    struct fs_request *r = data;
    atomic_store_explicit(&r->cancelled, true, memory_order_release);
    if (r->wake)
        r->wake(r->wake_arg);
}

void fs_request_begin(struct fs_request *r, fuse_req_t req, uint64_t timeout_ns,
                      void (*wake)(void *arg), void *wake_arg)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    r->req = req;
    atomic_init(&r->cancelled, false);
    r->wake = wake;
    r->wake_arg = wake_arg;
    r->io = (struct source_io){
        .deadline_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec + (int64_t)timeout_ns,
        .cancel = &r->cancelled,
    };
    fuse_req_interrupt_func(req, interrupt_cb, r);
}

void fs_request_end(struct fs_request *r)
{
    fuse_req_interrupt_func(r->req, NULL, NULL);
}

int fs_reply_errno(int result)
{
    int code = -result;
    if (code <= 0 || code >= 4096 || code == ENOSYS || code == EAGAIN)
        return EIO;
    return code;
}

void fs_reply_error(fuse_req_t req, int result)
{
    fuse_reply_err(req, fs_reply_errno(result));
}
