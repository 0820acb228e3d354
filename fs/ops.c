/* FUSE low-level handlers.
 *
 * The kernel does not know that the mount is read-only, or it would refuse to open the generated
 * file that takes commands: every request that would change another file answers EROFS here.
 * Handlers run on libfuse's worker threads and may block on a source; each has a deadline and gives
 * up when the kernel interrupts it. getxattr and listxattr stay undefined: their presence costs a
 * request before every access (fuse-practice.md, M13).
 */
#include "fs/ops.h"

#include "cache/window.h"
#include "fs/reply.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <utlist.h>

/* Enough for our prefetch and the kernel's; the default of 12 throttles readahead. */
#define MAX_BACKGROUND 64

/* One open file. The kernel sends no RELEASE for what is open when a signal ends the mount: all
 * handles are in a list, and what is left there is freed at the end. */
struct handle {
    struct handle *prev, *next; /* guarded by the lock of fs_ops */
    struct fs_opened opened;
    struct window window; /* FILE */
    char *text;           /* GENERATED: rendered at open */
    size_t text_len;
};

struct fs_ops {
    struct fs_ops_config config; /* immutable */
    void (*serving)(void *arg);
    void *serving_arg;

    pthread_mutex_t lock;
    struct handle *handles; /* guarded by lock: what is open */
};

static struct fs_ops *ops_of(fuse_req_t req)
{
    return fuse_req_userdata(req);
}

static void begin(struct fs_request *r, fuse_req_t req)
{
    const struct fs_ops_config *config = &ops_of(req)->config;
    fs_request_begin(r, req, config->timeout_ns, config->wake, config->arg);
}

static pid_t caller_of(fuse_req_t req)
{
    return fuse_req_ctx(req)->pid;
}

static void trace(fuse_req_t req, const char *what, fuse_ino_t ino)
{
    struct fs_log *log = ops_of(req)->config.log;
    if (fs_log_is_on(log, FS_LOG_TRACE))
        fs_log_print(log, FS_LOG_TRACE, "%s inode %llu", what, (unsigned long long)ino);
}

static void ops_init(void *userdata, struct fuse_conn_info *conn)
{
    struct fs_ops *ops = userdata;
    conn->max_background = MAX_BACKGROUND;
    conn->congestion_threshold = MAX_BACKGROUND * 3 / 4;
    /* With it the kernel waits for a direct read where no signal reaches it, KILL included. */
    conn->want &= ~(unsigned)FUSE_CAP_ASYNC_DIO;
    /* Without it a lookup that waits for the network holds up all others in its directory. Not on
     * by itself from libfuse 3.17 on; before, libfuse does not pass it on to the kernel. */
    conn->want |= conn->capable & FUSE_CAP_PARALLEL_DIROPS;
    if (ops->serving)
        ops->serving(ops->serving_arg);
}

static void ops_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    trace(req, "lookup in", parent);
    struct fs_request r;
    begin(&r, req);
    struct fuse_entry_param entry;
    int result =
        fs_tree_lookup(ops_of(req)->config.tree, parent, name, caller_of(req), &r.io, &entry);
    fs_request_end(&r);
    if (result < 0)
        fs_reply_error(req, result);
    else if (fuse_reply_entry(req, &entry) == -ENOENT)
        /* Interrupted: the kernel never saw the entry and will not forget it. */
        fs_tree_forget(ops_of(req)->config.tree, entry.ino, 1);
}

static void ops_forget(fuse_req_t req, fuse_ino_t ino, uint64_t n_lookup)
{
    fs_tree_forget(ops_of(req)->config.tree, ino, n_lookup);
    fuse_reply_none(req);
}

static void ops_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    for (size_t i = 0; i < count; i++)
        fs_tree_forget(ops_of(req)->config.tree, forgets[i].ino, forgets[i].nlookup);
    fuse_reply_none(req);
}

static void ops_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)fi;
    trace(req, "getattr", ino);
    struct fs_request r;
    begin(&r, req);
    struct stat attr;
    double timeout_s;
    int result = fs_tree_getattr(ops_of(req)->config.tree, ino, &r.io, &attr, &timeout_s);
    fs_request_end(&r);
    if (result < 0)
        fs_reply_error(req, result);
    else
        fuse_reply_attr(req, &attr, timeout_s);
}

static void free_handle(struct fs_ops *ops, struct handle *handle)
{
    pthread_mutex_lock(&ops->lock);
    DL_DELETE(ops->handles, handle);
    pthread_mutex_unlock(&ops->lock);
    if (handle->opened.kind == FS_ENTRY_FILE)
        window_fini(&handle->window);
    fs_tree_close(ops->config.tree, &handle->opened);
    free(handle->text);
    free(handle);
}

/* Where reads of this handle end. The inode's size may be another: live memory grows, and a
 * generated text has none before it is opened. */
static uint64_t size_of(const struct handle *handle)
{
    return handle->opened.kind == FS_ENTRY_GENERATED ? handle->text_len : handle->opened.stat.size;
}

static int open_handle(struct fs_ops *ops, fuse_ino_t ino, pid_t caller, const struct source_io *io,
                       struct handle **out)
{
    struct handle *handle = calloc(1, sizeof(*handle));
    if (!handle)
        return -ENOMEM;
    int result = fs_tree_open(ops->config.tree, ino, caller, io, &handle->opened);
    if (result == 0 && handle->opened.kind == FS_ENTRY_GENERATED) {
        result = handle->opened.render(handle->opened.arg, &handle->text, &handle->text_len);
        if (result < 0)
            fs_tree_close(ops->config.tree, &handle->opened);
    }
    if (result < 0) {
        free(handle);
        return result;
    }
    if (handle->opened.kind == FS_ENTRY_FILE)
        window_init(&handle->window);
    pthread_mutex_lock(&ops->lock);
    DL_APPEND(ops->handles, handle);
    pthread_mutex_unlock(&ops->lock);
    *out = handle;
    return 0;
}

static int check_write(fuse_req_t req, fuse_ino_t ino)
{
    return fs_tree_check_write(ops_of(req)->config.tree, ino, fuse_req_ctx(req)->uid);
}

static void ops_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    trace(req, "open", ino);
    bool writes = (fi->flags & O_ACCMODE) != O_RDONLY || (fi->flags & O_TRUNC);
    int result = writes ? check_write(req, ino) : 0;
    if (result < 0) {
        fs_reply_error(req, result);
        return;
    }
    struct fs_request r;
    begin(&r, req);
    struct handle *handle = NULL;
    result = open_handle(ops_of(req), ino, caller_of(req), &r.io, &handle);
    fs_request_end(&r);
    if (result < 0) {
        fs_reply_error(req, result);
        return;
    }
    fi->fh = (uint64_t)(uintptr_t)handle;
    /* The kernel's pages and its idea of the size belong to the inode. All handles of live memory
     * share one although each has its own size and serial, so they must not share pages. */
    bool is_versioned = handle->opened.kind == FS_ENTRY_FILE && handle->opened.stat.versioned;
    fi->keep_cache = is_versioned;
    fi->direct_io = !is_versioned;
    fi->noflush = 1;
    if (fuse_reply_open(req, fi) == -ENOENT)
        free_handle(ops_of(req), handle); /* interrupted: there will be no RELEASE */
}

static void ops_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    free_handle(ops_of(req), (struct handle *)(uintptr_t)fi->fh);
    fuse_reply_err(req, 0);
}

static int read_file(fuse_req_t req, struct handle *handle, uint64_t off, void *buf, size_t len)
{
    const struct fs_ops_config *config = &ops_of(req)->config;
    const struct fs_opened *opened = &handle->opened;
    struct window_hint hint;
    /* One query is left for the read itself: it must not queue behind what is fetched ahead of it.
     */
    unsigned n_inflight = config->max_inflight(config->arg);
    const struct window_limits limits = {
        .max_io = source_max_io(opened->source),
        .n_inflight = n_inflight > 1 ? n_inflight - 1 : 1,
        .budget = config->cache_budget,
    };
    if (!source_has(opened->source, opened->stat.version, off))
        window_lost(&handle->window, off);
    if (window_advance(&handle->window, off, len, opened->stat.size, &limits, &hint))
        source_prefetch(opened->source, opened->stat.version, hint.off, hint.len, hint.load);
    struct fs_request r;
    begin(&r, req);
    int result = source_read(opened->source, opened->stat.version, off, buf, len, &r.io);
    fs_request_end(&r);
    return result;
}

static void ops_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                     struct fuse_file_info *fi)
{
    trace(req, "read", ino);
    struct handle *handle = (struct handle *)(uintptr_t)fi->fh;
    bool is_text = handle->opened.kind == FS_ENTRY_GENERATED;
    uint64_t file_size = size_of(handle);
    if ((uint64_t)off >= file_size) {
        fuse_reply_buf(req, NULL, 0);
        return;
    }
    size_t len = size < file_size - (uint64_t)off ? size : (size_t)(file_size - (uint64_t)off);
    /* A copy also of what the handle has: as soon as the reply is out the handle may be released.
     */
    char *buf = malloc(len);
    int result = buf ? 0 : -ENOMEM;
    if (buf && is_text)
        memcpy(buf, handle->text + off, len);
    else if (buf)
        result = read_file(req, handle, (uint64_t)off, buf, len);
    if (result < 0)
        fs_reply_error(req, result);
    else
        fuse_reply_buf(req, buf, len);
    free(buf);
}

/* SEEK_DATA and SEEK_HOLE; the kernel does the rest. All is data up to where reads end: without
 * this the kernel would go by the inode's size, and a copy would look for bytes that do not come.
 */
static void ops_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
                      struct fuse_file_info *fi)
{
    trace(req, "lseek", ino);
    uint64_t size = size_of((const struct handle *)(uintptr_t)fi->fh);
    if (whence != SEEK_DATA && whence != SEEK_HOLE)
        fs_reply_error(req, -EINVAL);
    else if (off < 0 || (uint64_t)off >= size)
        fs_reply_error(req, -ENXIO);
    else
        fuse_reply_lseek(req, whence == SEEK_DATA ? off : (off_t)size);
}

/* Wherever it is written to: the file has no content that could be at an offset. */
static void ops_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
                      struct fuse_file_info *fi)
{
    (void)off;
    trace(req, "write", ino);
    const struct handle *handle = (const struct handle *)(uintptr_t)fi->fh;
    int result =
        handle->opened.write ? handle->opened.write(handle->opened.arg, buf, size) : -EROFS;
    if (result < 0)
        fs_reply_error(req, result);
    else
        fuse_reply_write(req, size);
}

/* Of a file that can be written to: what the shell's > and touch do. It has no size and no times
 * that could be set, so there is nothing to be done. */
static bool is_harmless(const struct stat *attr, int to_set)
{
    bool truncates_to_more = (to_set & FUSE_SET_ATTR_SIZE) && attr->st_size != 0;
    bool sets_times = ((to_set & FUSE_SET_ATTR_ATIME) && !(to_set & FUSE_SET_ATTR_ATIME_NOW)) ||
                      ((to_set & FUSE_SET_ATTR_MTIME) && !(to_set & FUSE_SET_ATTR_MTIME_NOW));
    bool sets_owner = to_set & (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID);
    return !truncates_to_more && !sets_times && !sets_owner;
}

static void ops_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                        struct fuse_file_info *fi)
{
    int result = check_write(req, ino);
    if (result == 0 && !is_harmless(attr, to_set))
        result = -EPERM;
    if (result < 0)
        fs_reply_error(req, result);
    else
        ops_getattr(req, ino, fi);
}

/* The handle of a directory is how many names it listed when it was opened. A rewinddir(3) does not
 * ask again: the kernel tells nothing of it. */
static void ops_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    trace(req, "opendir", ino);
    struct fs_request r;
    begin(&r, req);
    int result = fs_tree_opendir(ops_of(req)->config.tree, ino, &r.io, &fi->fh);
    fs_request_end(&r);
    if (result < 0)
        fs_reply_error(req, result);
    else
        fuse_reply_open(req, fi);
}

/* Append the names from index `off` on, as many as fit. Returns 0 and the bytes used, or -errno. */
static int fill_names(fuse_req_t req, fuse_ino_t ino, uint64_t n_listed, uint64_t off,
                      const struct source_io *io, char *buf, size_t size, size_t *ret_used)
{
    size_t used = 0;
    for (uint64_t index = off;; index++) {
        struct fs_dirent dirent;
        int result = fs_tree_readdir(ops_of(req)->config.tree, ino, n_listed, index, io, &dirent);
        if (result < 0)
            return result;
        if (result == 0)
            break;
        if (dirent.skip)
            continue;
        size_t need = fuse_add_direntry(req, buf + used, size - used, dirent.name, &dirent.stat,
                                        (off_t)(index + 1));
        if (need > size - used)
            break;
        used += need;
    }
    *ret_used = used;
    return 0;
}

static void ops_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                        struct fuse_file_info *fi)
{
    trace(req, "readdir", ino);
    char *buf = malloc(size);
    if (!buf) {
        fs_reply_error(req, -ENOMEM);
        return;
    }
    struct fs_request r;
    begin(&r, req);
    size_t used = 0;
    int result = fill_names(req, ino, fi->fh, (uint64_t)off, &r.io, buf, size, &used);
    fs_request_end(&r);
    if (result < 0)
        fs_reply_error(req, result);
    else
        fuse_reply_buf(req, buf, used);
    free(buf);
}

static void ops_statfs(fuse_req_t req, fuse_ino_t ino)
{
    (void)ino;
    const struct statvfs st = {
        .f_bsize = 4096,
        .f_frsize = 4096,
        .f_blocks = (fsblkcnt_t)(fs_tree_total_size(ops_of(req)->config.tree) / 4096),
        .f_namemax = FS_NAME_SIZE - 1,
    };
    fuse_reply_statfs(req, &st);
}

/* --- what a read-only mount refuses --- */

static void refuse_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                          struct fuse_file_info *fi)
{
    (void)parent, (void)name, (void)mode, (void)fi;
    fs_reply_error(req, -EROFS);
}

static void refuse_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                         dev_t rdev)
{
    (void)parent, (void)name, (void)mode, (void)rdev;
    fs_reply_error(req, -EROFS);
}

static void refuse_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    (void)parent, (void)name, (void)mode;
    fs_reply_error(req, -EROFS);
}

/* unlink and rmdir */
static void refuse_remove(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    (void)parent, (void)name;
    fs_reply_error(req, -EROFS);
}

static void refuse_symlink(fuse_req_t req, const char *link, fuse_ino_t parent, const char *name)
{
    (void)link, (void)parent, (void)name;
    fs_reply_error(req, -EROFS);
}

static void refuse_rename(fuse_req_t req, fuse_ino_t parent, const char *name,
                          fuse_ino_t new_parent, const char *new_name, unsigned flags)
{
    (void)parent, (void)name, (void)new_parent, (void)new_name, (void)flags;
    fs_reply_error(req, -EROFS);
}

static void refuse_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t new_parent, const char *new_name)
{
    (void)ino, (void)new_parent, (void)new_name;
    fs_reply_error(req, -EROFS);
}

static void refuse_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
                            size_t size, int flags)
{
    (void)ino, (void)name, (void)value, (void)size, (void)flags;
    fs_reply_error(req, -EROFS);
}

static void refuse_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
    (void)ino, (void)name;
    fs_reply_error(req, -EROFS);
}

static const struct fuse_lowlevel_ops table = {
    .init = ops_init,
    .lookup = ops_lookup,
    .forget = ops_forget,
    .forget_multi = ops_forget_multi,
    .getattr = ops_getattr,
    .open = ops_open,
    .read = ops_read,
    .lseek = ops_lseek,
    .release = ops_release,
    .opendir = ops_opendir,
    .readdir = ops_readdir,
    .statfs = ops_statfs,
    .write = ops_write,
    .setattr = ops_setattr,
    .create = refuse_create,
    .mknod = refuse_mknod,
    .mkdir = refuse_mkdir,
    .unlink = refuse_remove,
    .rmdir = refuse_remove,
    .symlink = refuse_symlink,
    .rename = refuse_rename,
    .link = refuse_link,
    .setxattr = refuse_setxattr,
    .removexattr = refuse_removexattr,
};

const struct fuse_lowlevel_ops *fs_ops_table(void)
{
    return &table;
}

int fs_ops_new(struct fs_ops **out, const struct fs_ops_config *config)
{
    struct fs_ops *ops = calloc(1, sizeof(*ops));
    if (!ops)
        return -ENOMEM;
    ops->config = *config;
    pthread_mutex_init(&ops->lock, NULL);
    *out = ops;
    return 0;
}

void fs_ops_free(struct fs_ops *ops)
{
    if (!ops)
        return;
    while (ops->handles)
        free_handle(ops, ops->handles);
    pthread_mutex_destroy(&ops->lock);
    free(ops);
}

void fs_ops_set_serving(struct fs_ops *ops, void (*serving)(void *arg), void *arg)
{
    ops->serving = serving;
    ops->serving_arg = arg;
}
