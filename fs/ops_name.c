/* Making, removing and renaming files: see stages.h for which there can be. */
#include "fs/ops_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1u /* linux/fs.h */
#endif

/* --- making --- */

/* A name that is there, or was removed by this caller to be made anew. */
static int open_existing(struct fs_ops *ops, const struct fuse_entry_param *entry,
                         const struct fs_stages_caller *caller, const struct source_io *io,
                         struct handle **out)
{
    int result = ops_open_staged(ops, entry->ino, caller, io, out);
    return result == 1 ? 0 : result == 0 ? -EROFS : result;
}

static int create_new(struct fs_ops *ops, fuse_ino_t parent, const char *name, mode_t mode,
                      const struct fs_stages_caller *caller, struct fuse_entry_param *entry,
                      struct handle **out)
{
    struct handle *handle = calloc(1, sizeof(*handle));
    if (!handle)
        return -ENOMEM;
    int result =
        fs_stages_create(ops->config.stages, parent, name, mode, caller, entry, &handle->staged);
    if (result < 0) {
        free(handle);
        return result;
    }
    handle->is_staged = true;
    ops_add_handle(ops, handle);
    *out = handle;
    return 0;
}

/* Has this caller removed the file under a name? Then it is made anew from here on. */
static bool take_hidden(struct fs_ops *ops, fuse_ino_t parent, const char *name, pid_t caller)
{
    struct fs_place place;
    bool is_hidden = fs_tree_find_place_in(ops->config.tree, parent, name, &place) == 0 &&
                     fs_stages_is_hidden(ops->config.stages, &place, caller);
    if (is_hidden)
        fs_stages_unhide(ops->config.stages, &place, caller);
    return is_hidden;
}

static int create(struct fs_ops *ops, fuse_ino_t parent, const char *name, mode_t mode,
                  const struct fs_stages_caller *caller, const struct source_io *io,
                  struct fuse_entry_param *entry, struct handle **out)
{
    if (!ops->config.stages)
        return -EROFS;
    struct fs_stages_caller whole = *caller;
    if (take_hidden(ops, parent, name, caller->tid)) {
        whole.flags |= O_TRUNC;
        whole.flags &= ~(uint32_t)O_EXCL;
    }
    int result = ops_look_up(ops, parent, name, caller->tid, io, entry);
    if (result == -ENOENT)
        return create_new(ops, parent, name, mode, &whole, entry, out);
    if (result < 0)
        return result;
    result = whole.flags & O_EXCL ? -EEXIST : open_existing(ops, entry, &whole, io, out);
    if (result < 0)
        ops_forget_ino(ops, entry->ino, 1);
    return result;
}

void ops_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                struct fuse_file_info *fi)
{
    ops_trace(req, "create in", parent);
    const struct fs_stages_caller caller = {.tid = ops_caller(req), .flags = (uint32_t)fi->flags};
    struct fuse_entry_param entry;
    struct handle *handle = NULL;
    fuse_ino_t local;
    if (ops_find_local_dir(ops_of(req), parent, &local)) {
        ops_create_local(req, local, name, mode, fi);
        return;
    }
    struct fs_request r;
    ops_begin(&r, req);
    int result = create(ops_of(req), parent, name, mode, &caller, &r.io, &entry, &handle);
    fs_request_end(&r);
    if (result < 0)
        fs_reply_error(req, result);
    else
        ops_reply_opened(req, handle, &entry, fi);
}

/* --- removing --- */

/* Nothing of the canister's is ever removed: tools that put a file in another's place remove that
 * first (mv, tar), and to them it is gone until they have made the new one. */
static int unlink_name(struct fs_ops *ops, fuse_ino_t parent, const char *name, pid_t caller)
{
    struct fs_stages *stages = ops->config.stages;
    struct fs_place place;
    fuse_ino_t local;
    if (ops_find_local_dir(ops, parent, &local))
        return fs_snapshot_stage_remove(ops->config.local, local, name, false);
    if (!stages)
        return -EROFS;
    int result = fs_stages_unlink(stages, parent, name);
    if (result != -ENOENT)
        return result;
    result = fs_tree_find_place_in(ops->config.tree, parent, name, &place);
    if (result < 0)
        return -EROFS;
    fs_stages_hide(stages, &place, caller);
    fs_log_print(ops->config.log, FS_LOG_INFO,
                 "%s is not removed: only process %ld does not see it, until it makes it anew",
                 name, (long)caller);
    return 0;
}

void ops_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    ops_trace(req, "unlink in", parent);
    int result = unlink_name(ops_of(req), parent, name, ops_caller(req));
    fuse_reply_err(req, result < 0 ? fs_reply_errno(result) : 0);
}

/* --- renaming --- */

/* Is there a file of that name for this caller? Returns 1, 0, or -errno. */
static int is_there(struct fs_ops *ops, fuse_ino_t parent, const char *name, pid_t caller,
                    const struct source_io *io)
{
    struct fuse_entry_param entry;
    int result = ops_look_up(ops, parent, name, caller, io, &entry);
    if (result == 0)
        ops_forget_ino(ops, entry.ino, 1);
    return result == 0 ? 1 : result == -ENOENT ? 0 : result;
}

/* What can be restored is not renamed: EXDEV, on which tools copy it. */
static int rename_name(struct fs_ops *ops, fuse_ino_t parent, const char *name,
                       fuse_ino_t new_parent, const char *new_name, unsigned flags, pid_t caller,
                       struct fs_request *r)
{
    struct fs_place place;
    bool may_replace = !(flags & (unsigned)RENAME_NOREPLACE);
    int local;
    if (ops_rename_local(ops, parent, name, new_parent, new_name, flags, &local))
        return local;
    if (!ops->config.stages)
        return -EROFS;
    if (flags & ~(unsigned)RENAME_NOREPLACE)
        return -EINVAL;
    if (fs_tree_find_place_in(ops->config.tree, parent, name, &place) == -EROFS)
        return -EROFS;
    int result = may_replace ? 0 : is_there(ops, new_parent, new_name, caller, &r->io);
    if (result != 0)
        return result == 1 ? -EEXIST : result;
    (void)take_hidden(ops, new_parent, new_name, caller);
    return fs_stages_rename(ops->config.stages, parent, name, new_parent, new_name, may_replace,
                            &r->cancelled);
}

void ops_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                const char *new_name, unsigned flags)
{
    ops_trace(req, "rename in", parent);
    struct fs_request r;
    ops_begin(&r, req);
    int result =
        rename_name(ops_of(req), parent, name, new_parent, new_name, flags, ops_caller(req), &r);
    fs_request_end(&r);
    fuse_reply_err(req, result < 0 ? fs_reply_errno(result) : 0);
}
