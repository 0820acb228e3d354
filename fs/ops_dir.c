/* Directories, and what df(1) asks for. */
#include "fs/ops_impl.h"

#include <stdlib.h>
#include <sys/statvfs.h>

#define BLOCK_SIZE 4096u

/* The handle of a directory is how many names it listed when it was opened. A rewinddir(3) does not
 * ask again: the kernel tells nothing of it. */
void ops_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    ops_trace(req, "opendir", ino);
    const struct fs_ops *ops = ops_of(req);
    struct fs_request r;
    ops_begin(&r, req);
    int result = ops_is_local(ops, ino) ? fs_snapshot_stage_opendir(ops->config.local, ino)
                                        : fs_tree_opendir(ops->config.tree, ino, &r.io, &fi->fh);
    fs_request_end(&r);
    if (result < 0)
        fs_reply_error(req, result);
    else
        fuse_reply_open(req, fi);
}

/* Names of staged files come behind all others: their offset is this and their number. */
#define STAGED_OFF (UINT64_C(1) << 62)

/* A listing under construction. */
struct listing {
    fuse_req_t req;
    char *buf;
    size_t size;
    size_t used;
};

/* next: the offset behind it. False: it does not fit. */
static bool add_name(struct listing *listing, const char *name, const struct stat *stat,
                     uint64_t next)
{
    size_t room = listing->size - listing->used;
    size_t need = fuse_add_direntry(listing->req, listing->buf + listing->used, room, name, stat,
                                    (off_t)next);
    if (need > room)
        return false;
    listing->used += need;
    return true;
}

static void add_staged(struct listing *listing, fuse_ino_t dir, uint64_t after)
{
    struct fs_stages *stages = ops_of(listing->req)->config.stages;
    char name[FS_NAME_SIZE];
    fuse_ino_t ino;
    uint64_t id;
    while (stages && (id = fs_stages_next_name(stages, dir, after, name, &ino)) != 0) {
        const struct stat stat = {.st_ino = ino, .st_mode = S_IFREG};
        if (!add_name(listing, name, &stat, STAGED_OFF | id))
            return;
        after = id;
    }
}

/* What people made there; their offset is their inode number. */
static void add_local(struct listing *listing, fuse_ino_t dir, uint64_t after)
{
    struct fs_snapshot_stage *local = ops_of(listing->req)->config.local;
    char name[FS_NAME_SIZE];
    mode_t mode;
    fuse_ino_t ino;
    while ((ino = fs_snapshot_stage_next(local, dir, after, name, &mode)) != 0) {
        const struct stat stat = {.st_ino = ino, .st_mode = mode};
        if (!add_name(listing, name, &stat, STAGED_OFF | ino))
            return;
        after = ino;
    }
}

/* Append the names from offset `off` on, as many as fit. Returns 0 or -errno. */
static int fill_names(struct listing *listing, fuse_ino_t ino, uint64_t n_listed, uint64_t off,
                      const struct source_io *io)
{
    const struct fs_ops *ops = ops_of(listing->req);
    struct fs_tree *tree = ops->config.tree;
    uint64_t after = off >= STAGED_OFF ? off - STAGED_OFF : 0;
    fuse_ino_t local;
    if (ops_is_local(ops, ino)) {
        add_local(listing, ino, after);
        return 0;
    }
    for (uint64_t index = off; index < STAGED_OFF; index++) {
        struct fs_dirent dirent;
        int result = fs_tree_readdir(tree, ino, n_listed, index, io, &dirent);
        if (result < 0)
            return result;
        if (result == 0)
            break;
        if (!dirent.skip && !add_name(listing, dirent.name, &dirent.stat, index + 1))
            return 0;
    }
    if (ops_find_local_dir(ops, ino, &local))
        add_local(listing, local, after);
    else
        add_staged(listing, ino, after);
    return 0;
}

void ops_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    ops_trace(req, "readdir", ino);
    char *buf = malloc(size);
    if (!buf) {
        fs_reply_error(req, -ENOMEM);
        return;
    }
    struct fs_request r;
    ops_begin(&r, req);
    struct listing listing = {.req = req, .buf = buf, .size = size};
    int result = fill_names(&listing, ino, fi->fh, (uint64_t)off, &r.io);
    fs_request_end(&r);
    if (result < 0)
        fs_reply_error(req, result);
    else
        fuse_reply_buf(req, buf, listing.used);
    free(buf);
}

/* Nothing of the canister's has to be made durable. */
void ops_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    (void)datasync, (void)fi;
    const struct fs_ops *ops = ops_of(req);
    fuse_ino_t local;
    ops_trace(req, "fsyncdir", ino);
    int result = ops_find_local_dir(ops, ino, &local)
                     ? fs_snapshot_stage_sync_dir(ops->config.local, local)
                     : 0;
    fuse_reply_err(req, result < 0 ? fs_reply_errno(result) : 0);
}

/* What is free is room for what is staged. */
void ops_statfs(fuse_req_t req, fuse_ino_t ino)
{
    (void)ino;
    const struct fs_ops_config *config = &ops_of(req)->config;
    struct statvfs staging = {0};
    int result = config->stages ? fs_stages_statvfs(config->stages, &staging) : 0;
    if (result < 0) {
        fs_reply_error(req, result);
        return;
    }
    fsblkcnt_t n_free = staging.f_bavail * (staging.f_frsize / 512) / (BLOCK_SIZE / 512);
    const struct statvfs st = {
        .f_bsize = BLOCK_SIZE,
        .f_frsize = BLOCK_SIZE,
        .f_blocks = (fsblkcnt_t)(fs_tree_total_size(config->tree) / BLOCK_SIZE) + n_free,
        .f_bfree = n_free,
        .f_bavail = n_free,
        .f_namemax = FS_NAME_SIZE - 1,
    };
    fuse_reply_statfs(req, &st);
}
