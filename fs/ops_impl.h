/* Inside the handlers: what ops.c, ops_dir.c, ops_local.c, ops_name.c, ops_refuse.c and ops_write.c
 * share. Not for anybody else. */
#ifndef CANISTERFS_FS_OPS_IMPL_H
#define CANISTERFS_FS_OPS_IMPL_H

#include "cache/window.h"
#include "fs/ops.h"
#include "fs/reply.h"

#include <fcntl.h>
#include <pthread.h>

/* One open file. The kernel sends no RELEASE for what is open when a signal ends the mount: all
 * handles are in a list, and what is left there is freed at the end. */
struct handle {
    struct handle *prev, *next; /* guarded by the lock of fs_ops */
    /* immutable */
    bool is_staged; /* its content is `staged`; else `opened` */
    bool is_local;  /* or `local` */
    bool has_lease; /* holds the canister's lease */
    bool has_place; /* it shows a file that can be restored */
    struct fs_place place;
    struct fs_opened opened;
    char *text; /* GENERATED: rendered at open */
    size_t text_len;

    struct window window; /* FILE */
    struct fs_staged_handle staged;
    struct fs_snapshot_file local;
};

struct fs_ops {
    struct fs_ops_config config; /* immutable */
    void (*serving)(void *arg);
    void *serving_arg;

    pthread_mutex_t lock;
    struct handle *handles; /* guarded by lock: what is open */
};

static inline struct fs_ops *ops_of(fuse_req_t req)
{
    return fuse_req_userdata(req);
}

static inline pid_t ops_caller(fuse_req_t req)
{
    return fuse_req_ctx(req)->pid;
}

static inline struct handle *ops_handle(const struct fuse_file_info *fi)
{
    return (struct handle *)(uintptr_t)fi->fh;
}

static inline bool ops_is_writing(const struct fs_stages_caller *caller)
{
    return (caller->flags & O_ACCMODE) != O_RDONLY || (caller->flags & O_TRUNC);
}

static inline void ops_begin(struct fs_request *r, fuse_req_t req)
{
    const struct fs_ops_config *config = &ops_of(req)->config;
    fs_request_begin(r, req, config->timeout_ns, config->wake, config->arg);
}

/* --- ops.c --- */

void ops_trace(fuse_req_t req, const char *what, fuse_ino_t ino);

/* What is open from now on. */
void ops_add_handle(struct fs_ops *ops, struct handle *handle);
void ops_free_handle(struct fs_ops *ops, struct handle *handle);

/* A name, also of a staged file, as this caller sees it. Counts a reference of the kernel. */
int ops_look_up(struct fs_ops *ops, fuse_ino_t parent, const char *name, pid_t caller,
                const struct source_io *io, struct fuse_entry_param *out);
void ops_forget_ino(struct fs_ops *ops, fuse_ino_t ino, uint64_t n_lookup);

/* Answer OPEN, or CREATE with an entry; an answer that comes too late closes the file again. */
void ops_reply_opened(fuse_req_t req, struct handle *handle, const struct fuse_entry_param *entry,
                      struct fuse_file_info *fi);

/* May the caller write to a generated file? Returns 0, -EROFS, -EACCES, -ESTALE. */
int ops_check_write(fuse_req_t req, fuse_ino_t ino);

void ops_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);

/* --- ops_local.c --- */

bool ops_is_local(const struct fs_ops *ops, fuse_ino_t ino);

/* Is it a directory in which people make theirs? Its number there. */
bool ops_find_local_dir(const struct fs_ops *ops, fuse_ino_t ino, fuse_ino_t *out);

void ops_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void ops_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);

/* Has the renaming to do with them? Then *ret_result is what it came to. */
bool ops_rename_local(const struct fs_ops *ops, fuse_ino_t parent, const char *name,
                      fuse_ino_t new_parent, const char *new_name, unsigned flags, int *ret_result);
int ops_open_local(struct fs_ops *ops, fuse_ino_t ino, int flags, struct handle **out);
void ops_create_local(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode,
                      struct fuse_file_info *fi);
void ops_read_local(fuse_req_t req, const struct handle *handle, size_t size, off_t off);
void ops_write_local(fuse_req_t req, const struct handle *handle, const char *buf, size_t size,
                     off_t off);

/* --- ops_dir.c --- */

void ops_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void ops_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void ops_statfs(fuse_req_t req, fuse_ino_t ino);

/* --- ops_write.c --- */

/* Open what is or becomes staged.
 *
 * Returns 1 and fills; 0 when the inode is to be opened as it is; or -errno. */
int ops_open_staged(struct fs_ops *ops, fuse_ino_t ino, const struct fs_stages_caller *caller,
                    const struct source_io *io, struct handle **out);

void ops_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
               struct fuse_file_info *fi);
void ops_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                 struct fuse_file_info *fi);
void ops_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void ops_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
                   struct fuse_file_info *fi);

/* --- ops_name.c --- */

void ops_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                struct fuse_file_info *fi);
void ops_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void ops_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                const char *new_name, unsigned flags);

/* --- ops_refuse.c --- */

void ops_refuse_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev);
void ops_refuse_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void ops_refuse_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void ops_refuse_symlink(fuse_req_t req, const char *link, fuse_ino_t parent, const char *name);
void ops_refuse_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t new_parent, const char *new_name);
void ops_refuse_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
                         size_t size, int flags);
void ops_refuse_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name);

#endif
