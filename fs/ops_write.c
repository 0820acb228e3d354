/* What changes the content of files: see stages.h for what becomes of it. */
#include "fs/ops_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* --- opening --- */

/* A place: what is there now is what it lies over. */
static int open_place(struct fs_ops *ops, const struct fs_place *place, fuse_ino_t ino,
                      const struct fs_stages_caller *caller, const struct source_io *io,
                      struct fs_staged_handle *out)
{
    struct fs_opened opened;
    if ((caller->flags & O_ACCMODE) == O_RDONLY && (caller->flags & O_TRUNC))
        return -EINVAL; /* open(2): unspecified */
    int result = fs_tree_open(ops->config.tree, ino, caller->tid, io, &opened);
    if (result < 0)
        return result;
    result = fs_stages_open_place(ops->config.stages, place, ino, &opened, caller, out);
    if (result < 0)
        fs_tree_close(ops->config.tree, &opened);
    return result;
}

int ops_open_staged(struct fs_ops *ops, fuse_ino_t ino, const struct fs_stages_caller *caller,
                    const struct source_io *io, struct handle **out)
{
    struct fs_stages *stages = ops->config.stages;
    struct fs_place place;
    bool is_temporary = fs_stages_is_ino(ino);
    if (!is_temporary && !fs_tree_find_place(ops->config.tree, ino, &place))
        return 0;
    bool is_staged =
        is_temporary || ops_is_writing(caller) || fs_stages_is_writer(stages, &place, caller->tid);
    if (!is_staged)
        return fs_stages_check_reader(stages, &place, caller->tid);
    struct handle *handle = calloc(1, sizeof(*handle));
    if (!handle)
        return -ENOMEM;
    int result = is_temporary ? fs_stages_open_ino(stages, ino, caller, &handle->staged)
                              : open_place(ops, &place, ino, caller, io, &handle->staged);
    if (result < 0) {
        free(handle);
        return result;
    }
    handle->is_staged = true;
    ops_add_handle(ops, handle);
    *out = handle;
    return 1;
}

/* --- content --- */

/* A generated file takes what is written wherever it is written to: it has no content that could be
 * at an offset. */
void ops_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
               struct fuse_file_info *fi)
{
    ops_trace(req, "write", ino);
    struct handle *handle = ops_handle(fi);
    if (handle->is_local) {
        ops_write_local(req, handle, buf, size, off);
        return;
    }
    int result = -EROFS;
    if (handle->is_staged) {
        uint64_t at = fi->flags & O_APPEND ? UINT64_MAX : (uint64_t)off;
        result = fs_stages_write(&handle->staged, ops_caller(req), at, buf, size);
    } else if (handle->opened.write) {
        result = handle->opened.write(handle->opened.arg, buf, size);
    }
    if (result < 0)
        fs_reply_error(req, result);
    else
        fuse_reply_write(req, size);
}

void ops_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
                   struct fuse_file_info *fi)
{
    ops_trace(req, "fallocate", ino);
    struct handle *handle = ops_handle(fi);
    uint64_t end;
    int result = 0;
    if (handle->is_local)
        result = fs_snapshot_stage_fallocate(&handle->local, mode, (uint64_t)off, (uint64_t)len);
    else if (!handle->is_staged || mode != 0)
        result = -EOPNOTSUPP;
    else if (off < 0 || len <= 0 || __builtin_add_overflow((uint64_t)off, (uint64_t)len, &end))
        result = -EINVAL;
    else if (end > fs_stages_size(&handle->staged))
        result = fs_stages_truncate(&handle->staged, end);
    fuse_reply_err(req, result < 0 ? fs_reply_errno(result) : 0);
}

/* --- closing --- */

void ops_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    ops_trace(req, "flush", ino);
    struct handle *handle = ops_handle(fi);
    int result = 0;
    if (handle->is_staged) {
        struct fs_request r;
        ops_begin(&r, req);
        result = fs_stages_flush(&handle->staged, ops_caller(req), &r.cancelled);
        fs_request_end(&r);
    }
    fuse_reply_err(req, result < 0 ? fs_reply_errno(result) : 0);
}

/* Durable here; the canister is told of nothing. */
void ops_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    (void)datasync;
    ops_trace(req, "fsync", ino);
    const struct handle *handle = ops_handle(fi);
    int result = 0;
    if (handle->is_local)
        result = fs_snapshot_stage_sync(&handle->local);
    else if (handle->is_staged)
        result = fs_stages_sync(&handle->staged);
    fuse_reply_err(req, result < 0 ? fs_reply_errno(result) : 0);
}

/* --- attributes --- */

/* Of a generated file that can be written to: what the shell's > and touch do. It has no size and
 * no times that could be set, so there is nothing to be done. */
static bool is_harmless(const struct stat *attr, int to_set)
{
    bool truncates_to_more = (to_set & FUSE_SET_ATTR_SIZE) && attr->st_size != 0;
    bool sets_times = ((to_set & FUSE_SET_ATTR_ATIME) && !(to_set & FUSE_SET_ATTR_ATIME_NOW)) ||
                      ((to_set & FUSE_SET_ATTR_MTIME) && !(to_set & FUSE_SET_ATTR_MTIME_NOW));
    bool sets_owner = to_set & (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID);
    return !truncates_to_more && !sets_times && !sets_owner;
}

/* truncate(2) of a temporary file; ftruncate(2) has a handle. */
static int truncate_ino(fuse_req_t req, fuse_ino_t ino, uint64_t size)
{
    const struct fs_stages_caller caller = {.tid = ops_caller(req), .flags = O_WRONLY};
    struct fs_staged_handle handle;
    int result = fs_stages_open_ino(ops_of(req)->config.stages, ino, &caller, &handle);
    if (result < 0)
        return result;
    result = fs_stages_truncate(&handle, size);
    fs_stages_release(&handle);
    return result;
}

static int set_staged(fuse_req_t req, fuse_ino_t ino, const struct stat *attr, int to_set,
                      struct handle *handle)
{
    int result = 0;
    if ((to_set & FUSE_SET_ATTR_SIZE) && handle && handle->is_staged)
        result = fs_stages_truncate(&handle->staged, (uint64_t)attr->st_size);
    else if (to_set & FUSE_SET_ATTR_SIZE)
        result = truncate_ino(req, ino, (uint64_t)attr->st_size);
    return result < 0 ? result : fs_stages_setattr(ops_of(req)->config.stages, ino, attr, to_set);
}

/* What can be restored has the mode, the owner and the times that it has: tools that copy them need
 * not fail. Its size is set by who has it open; by name nobody would say that it is complete. */
static int set_place(const struct stat *attr, int to_set, struct handle *handle)
{
    if (!(to_set & FUSE_SET_ATTR_SIZE))
        return 0;
    return handle && handle->is_staged
               ? fs_stages_truncate(&handle->staged, (uint64_t)attr->st_size)
               : -EPERM;
}

void ops_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                 struct fuse_file_info *fi)
{
    ops_trace(req, "setattr", ino);
    const struct fs_ops *ops = ops_of(req);
    struct handle *handle = fi ? ops_handle(fi) : NULL;
    struct fs_place place;
    int result;
    if (ops_is_local(ops, ino)) {
        result = fs_snapshot_stage_setattr(ops->config.local, ino, attr, to_set,
                                           handle ? &handle->local : NULL);
    } else if (ops->config.stages && fs_tree_is_dir(ops->config.tree, ino)) {
        result = 0; /* as a file that can be restored: what copies directories sets them, too */
    } else if (ops->config.stages && fs_stages_is_ino(ino)) {
        result = set_staged(req, ino, attr, to_set, handle);
    } else if (ops->config.stages && fs_tree_find_place(ops->config.tree, ino, &place)) {
        result = set_place(attr, to_set, handle);
    } else {
        result = ops_check_write(req, ino);
        if (result == 0 && !is_harmless(attr, to_set))
            result = -EPERM;
    }
    if (result < 0)
        fs_reply_error(req, result);
    else
        ops_getattr(req, ino, fi);
}
