/* Requests about what people make in snapshots/: see snapshot_stage.h. */
#include "fs/ops_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool is_snapshots(const struct fs_ops *ops, fuse_ino_t ino)
{
    char path[FS_PLACE_PATH_MAX];
    return fs_tree_is_dir(ops->config.tree, ino) &&
           fs_tree_format_dir(ops->config.tree, ino, path) == 0 && strcmp(path, "snapshots") == 0;
}

bool ops_is_local(const struct fs_ops *ops, fuse_ino_t ino)
{
    return ops->config.local && fs_snapshot_stage_is_ino(ino);
}

bool ops_find_local_dir(const struct fs_ops *ops, fuse_ino_t ino, fuse_ino_t *out)
{
    if (!ops->config.local)
        return false;
    bool is_local = fs_snapshot_stage_is_ino(ino);
    *out = is_local ? ino : FS_SNAPSHOT_STAGE_TOP;
    return is_local || is_snapshots(ops, ino);
}

static struct fs_snapshot_maker maker_of(fuse_req_t req, mode_t mode)
{
    const struct fuse_ctx *ctx = fuse_req_ctx(req);
    return (struct fs_snapshot_maker){.mode = mode, .uid = ctx->uid, .gid = ctx->gid};
}

/* --- names --- */

void ops_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    struct fs_ops *ops = ops_of(req);
    const struct fs_snapshot_maker maker = maker_of(req, mode);
    struct fuse_entry_param entry;
    fuse_ino_t dir;
    ops_trace(req, "mkdir in", parent);
    if (!ops_find_local_dir(ops, parent, &dir)) {
        ops_refuse_mkdir(req, parent, name, mode);
        return;
    }
    int result = fs_snapshot_stage_mkdir(ops->config.local, dir, name, &maker, &entry);
    if (result < 0)
        fs_reply_error(req, result);
    else if (fuse_reply_entry(req, &entry) == -ENOENT)
        ops_forget_ino(ops, entry.ino, 1);
}

void ops_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fs_ops *ops = ops_of(req);
    fuse_ino_t dir;
    ops_trace(req, "rmdir in", parent);
    if (!ops_find_local_dir(ops, parent, &dir)) {
        ops_refuse_rmdir(req, parent, name);
        return;
    }
    int result = fs_snapshot_stage_remove(ops->config.local, dir, name, true);
    if (result == -ENOENT && dir == FS_SNAPSHOT_STAGE_TOP)
        result = -EPERM; /* a snapshot of the canister's: there is a command for that */
    fuse_reply_err(req, result < 0 ? fs_reply_errno(result) : 0);
}

bool ops_rename_local(const struct fs_ops *ops, fuse_ino_t parent, const char *name,
                      fuse_ino_t new_parent, const char *new_name, unsigned flags, int *ret_result)
{
    fuse_ino_t from, to;
    bool is_from = ops_find_local_dir(ops, parent, &from);
    bool is_to = ops_find_local_dir(ops, new_parent, &to);
    *ret_result = -EXDEV;
    if (is_from && is_to)
        *ret_result = fs_snapshot_stage_rename(ops->config.local, from, name, to, new_name, flags);
    return is_from || is_to;
}

/* --- files --- */

static struct handle *new_handle(void)
{
    struct handle *handle = calloc(1, sizeof(*handle));
    if (handle)
        handle->is_local = true;
    return handle;
}

int ops_open_local(struct fs_ops *ops, fuse_ino_t ino, int flags, struct handle **out)
{
    struct handle *handle = new_handle();
    if (!handle)
        return -ENOMEM;
    int result = fs_snapshot_stage_open_ino(ops->config.local, ino, flags, &handle->local);
    if (result < 0) {
        free(handle);
        return result;
    }
    ops_add_handle(ops, handle);
    *out = handle;
    return 0;
}

void ops_create_local(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode,
                      struct fuse_file_info *fi)
{
    struct fs_ops *ops = ops_of(req);
    const struct fs_snapshot_maker maker = maker_of(req, mode);
    struct fuse_entry_param entry;
    struct handle *handle = new_handle();
    int result = -ENOMEM;
    if (handle)
        result = fs_snapshot_stage_create(ops->config.local, dir, name, &maker, fi->flags, &entry,
                                          &handle->local);
    if (result < 0) {
        free(handle);
        fs_reply_error(req, result);
        return;
    }
    ops_add_handle(ops, handle);
    ops_reply_opened(req, handle, &entry, fi);
}

void ops_read_local(fuse_req_t req, const struct handle *handle, size_t size, off_t off)
{
    char *buf = malloc(size ? size : 1);
    ssize_t n = buf ? fs_snapshot_stage_read(&handle->local, buf, size, (uint64_t)off) : -ENOMEM;
    if (n < 0)
        fs_reply_error(req, (int)n);
    else
        fuse_reply_buf(req, buf, (size_t)n);
    free(buf);
}

void ops_write_local(fuse_req_t req, const struct handle *handle, const char *buf, size_t size,
                     off_t off)
{
    ssize_t n = fs_snapshot_stage_write(&handle->local, buf, size, (uint64_t)off);
    if (n < 0)
        fs_reply_error(req, (int)n);
    else
        fuse_reply_write(req, (size_t)n);
}
