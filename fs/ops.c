/* FUSE low-level handlers: names, attributes, opening and reading. ops_dir.c has directories,
 * ops_write.c and ops_name.c what changes files.
 *
 * The kernel does not know that a mount is read-only, or it would refuse to open the generated
 * file that takes commands: every request that would change another file answers EROFS there.
 * Handlers run on libfuse's worker threads and may block on a source; each has a deadline and gives
 * up when the kernel interrupts it. getxattr and listxattr stay undefined: their presence costs a
 * request before every access (fuse-practice.md, M13).
 */
#include "fs/ops_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>

/* Enough for our prefetch and the kernel's; the default of 12 throttles readahead. */
#define MAX_BACKGROUND 64

void ops_trace(fuse_req_t req, const char *what, fuse_ino_t ino)
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

/* The size of what is being written to the file, instead of what the canister has. False: nothing
 * is. */
static bool show_staged_size(const struct fs_ops *ops, fuse_ino_t ino, struct stat *attr)
{
    struct fs_place place;
    uint64_t size;
    if (!ops->config.stages || !fs_tree_find_place(ops->config.tree, ino, &place) ||
        !fs_stages_size_of(ops->config.stages, &place, &size))
        return false;
    attr->st_size = (off_t)size;
    attr->st_blocks = (blkcnt_t)((size + 511) / 512);
    return true;
}

/* Is there no such file for this caller, who removed it to make it anew? */
static bool is_hidden(const struct fs_ops *ops, fuse_ino_t parent, const char *name, pid_t caller)
{
    struct fs_place place;
    return ops->config.stages &&
           fs_tree_find_place_in(ops->config.tree, parent, name, &place) == 0 &&
           fs_stages_is_hidden(ops->config.stages, &place, caller);
}

int ops_look_up(struct fs_ops *ops, fuse_ino_t parent, const char *name, pid_t caller,
                const struct source_io *io, struct fuse_entry_param *out)
{
    fuse_ino_t local;
    if (ops_find_local_dir(ops, parent, &local)) {
        int found = fs_snapshot_stage_lookup(ops->config.local, local, name, out);
        if (found != -ENOENT || local != FS_SNAPSHOT_STAGE_TOP)
            return found;
    }
    if (ops->config.stages && fs_stages_lookup(ops->config.stages, parent, name, out) == 0)
        return 0;
    if (is_hidden(ops, parent, name, caller))
        return -ENOENT;
    int result = fs_tree_lookup(ops->config.tree, parent, name, caller, io, out);
    if (result == 0 && show_staged_size(ops, out->ino, &out->attr))
        out->attr_timeout = 0;
    return result;
}

void ops_forget_ino(struct fs_ops *ops, fuse_ino_t ino, uint64_t n_lookup)
{
    if (ops_is_local(ops, ino))
        fs_snapshot_stage_forget(ops->config.local, ino, n_lookup);
    else if (!fs_stages_is_ino(ino))
        fs_tree_forget(ops->config.tree, ino, n_lookup);
    else if (ops->config.stages)
        fs_stages_forget(ops->config.stages, ino, n_lookup);
}

static void ops_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    ops_trace(req, "lookup in", parent);
    struct fs_request r;
    ops_begin(&r, req);
    struct fuse_entry_param entry;
    int result = ops_look_up(ops_of(req), parent, name, ops_caller(req), &r.io, &entry);
    fs_request_end(&r);
    if (result < 0)
        fs_reply_error(req, result);
    else if (fuse_reply_entry(req, &entry) == -ENOENT)
        /* Interrupted: the kernel never saw the entry and will not forget it. */
        ops_forget_ino(ops_of(req), entry.ino, 1);
}

static void ops_forget(fuse_req_t req, fuse_ino_t ino, uint64_t n_lookup)
{
    ops_forget_ino(ops_of(req), ino, n_lookup);
    fuse_reply_none(req);
}

static void ops_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    for (size_t i = 0; i < count; i++)
        ops_forget_ino(ops_of(req), forgets[i].ino, forgets[i].nlookup);
    fuse_reply_none(req);
}

static int get_attr(const struct fs_ops *ops, fuse_ino_t ino, const struct source_io *io,
                    struct stat *out, double *ret_timeout_s)
{
    *ret_timeout_s = 0;
    if (ops_is_local(ops, ino))
        return fs_snapshot_stage_getattr(ops->config.local, ino, out);
    if (fs_stages_is_ino(ino))
        return ops->config.stages ? fs_stages_getattr(ops->config.stages, ino, out) : -ESTALE;
    int result = fs_tree_getattr(ops->config.tree, ino, io, out, ret_timeout_s);
    if (result == 0 && show_staged_size(ops, ino, out))
        *ret_timeout_s = 0;
    return result;
}

/* Who reads a file and who writes it share an inode, and with it the kernel's idea of its size:
 * with O_TRUNC that is 0 at once. Reads that begin behind it never come here, but are preceded by
 * this look at the size; without an error they would be the end of the file. */
static bool is_cut_off(const struct fs_ops *ops, const struct handle *handle)
{
    uint64_t size;
    return !handle->is_staged && handle->has_place &&
           fs_stages_size_of(ops->config.stages, &handle->place, &size) &&
           size != handle->opened.stat.size;
}

void ops_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    ops_trace(req, "getattr", ino);
    if (fi && is_cut_off(ops_of(req), ops_handle(fi))) {
        fs_reply_error(req, -ESTALE);
        return;
    }
    struct fs_request r;
    ops_begin(&r, req);
    struct stat attr;
    double timeout_s;
    int result = get_attr(ops_of(req), ino, &r.io, &attr, &timeout_s);
    fs_request_end(&r);
    if (result < 0)
        fs_reply_error(req, result);
    else
        fuse_reply_attr(req, &attr, timeout_s);
}

void ops_add_handle(struct fs_ops *ops, struct handle *handle)
{
    pthread_mutex_lock(&ops->lock);
    DL_APPEND(ops->handles, handle);
    pthread_mutex_unlock(&ops->lock);
}

void ops_free_handle(struct fs_ops *ops, struct handle *handle)
{
    pthread_mutex_lock(&ops->lock);
    DL_DELETE(ops->handles, handle);
    pthread_mutex_unlock(&ops->lock);
    if (handle->has_lease)
        fs_lease_release(ops->config.lease);
    if (handle->is_staged) {
        fs_stages_release(&handle->staged);
    } else if (handle->is_local) {
        fs_snapshot_stage_release(&handle->local);
    } else {
        if (handle->opened.kind == FS_ENTRY_FILE)
            window_fini(&handle->window);
        fs_tree_close(ops->config.tree, &handle->opened);
        free(handle->text);
    }
    free(handle);
}

/* Where reads of this handle end. The inode's size may be another: live memory grows, and a
 * generated text has none before it is opened. */
static uint64_t size_of(const struct handle *handle)
{
    if (handle->is_staged)
        return fs_stages_size(&handle->staged);
    return handle->opened.kind == FS_ENTRY_GENERATED ? handle->text_len : handle->opened.stat.size;
}

/* A reader of what the canister may change holds its lease, where it is to be held at all. What was
 * learned before that is not relied on. */
static int hold_lease(struct fs_ops *ops, fuse_ino_t ino, const struct source_io *io,
                      bool *ret_holds)
{
    struct ic_error err = {0};
    const struct ic_io ic_io = {.deadline_ns = io->deadline_ns, .cancel = io->cancel};
    *ret_holds = false;
    if (!ops->config.lease || !fs_tree_is_live(ops->config.tree, ino))
        return 0;
    int result = fs_lease_hold(ops->config.lease, "canisterfs reads a backup", &ic_io, &err);
    if (result < 0) {
        fs_log_print_about(ops->config.log, FS_LOG_ERROR, "maintenance lease",
                           "maintenance=auto: %s", err.message);
        return result;
    }
    *ret_holds = true;
    fs_tree_outdate(ops->config.tree);
    return 0;
}

static int open_handle(struct fs_ops *ops, fuse_ino_t ino, pid_t caller, const struct source_io *io,
                       struct handle **out)
{
    struct handle *handle = calloc(1, sizeof(*handle));
    if (!handle)
        return -ENOMEM;
    int result = hold_lease(ops, ino, io, &handle->has_lease);
    if (result == 0)
        result = fs_tree_open(ops->config.tree, ino, caller, io, &handle->opened);
    if (result == 0 && handle->opened.kind == FS_ENTRY_GENERATED) {
        result = handle->opened.render(handle->opened.arg, &handle->text, &handle->text_len);
        if (result < 0)
            fs_tree_close(ops->config.tree, &handle->opened);
    }
    if (result < 0) {
        if (handle->has_lease)
            fs_lease_release(ops->config.lease);
        free(handle);
        return result;
    }
    if (handle->opened.kind == FS_ENTRY_FILE)
        window_init(&handle->window);
    handle->has_place =
        ops->config.stages && fs_tree_find_place(ops->config.tree, ino, &handle->place);
    ops_add_handle(ops, handle);
    *out = handle;
    return 0;
}

int ops_check_write(fuse_req_t req, fuse_ino_t ino)
{
    return fs_tree_check_write(ops_of(req)->config.tree, ino, fuse_req_ctx(req)->uid);
}

void ops_reply_opened(fuse_req_t req, struct handle *handle, const struct fuse_entry_param *entry,
                      struct fuse_file_info *fi)
{
    struct fs_ops *ops = ops_of(req);
    fi->fh = (uint64_t)(uintptr_t)handle;
    /* The kernel's pages and its idea of the size belong to the inode. All handles of live memory
     * share one although each has its own size and serial, so they must not share pages. What is
     * being written is not the inode's content yet, and must not be mapped: stores after the last
     * close would be lost (fuse-practice.md, M26). */
    bool is_versioned =
        !handle->is_staged && handle->opened.kind == FS_ENTRY_FILE && handle->opened.stat.versioned;
    fi->keep_cache = is_versioned;
    fi->direct_io = !is_versioned && !handle->is_local;
    fi->noflush = !handle->is_staged;
    int result = entry ? fuse_reply_create(req, entry, fi) : fuse_reply_open(req, fi);
    if (result != -ENOENT)
        return;
    ops_free_handle(ops, handle); /* interrupted: there will be no RELEASE, and no FORGET */
    if (entry)
        ops_forget_ino(ops, entry->ino, 1);
}

static void ops_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    ops_trace(req, "open", ino);
    struct fs_ops *ops = ops_of(req);
    const struct fs_stages_caller caller = {.tid = ops_caller(req), .flags = (uint32_t)fi->flags};
    struct handle *handle = NULL;
    struct fs_request r;
    ops_begin(&r, req);
    bool is_local = ops_is_local(ops, ino);
    int result = 0;
    if (is_local)
        result = ops_open_local(ops, ino, fi->flags, &handle);
    else if (ops->config.stages)
        result = ops_open_staged(ops, ino, &caller, &r.io, &handle);
    if (result == 0 && !is_local && ops_is_writing(&caller))
        result = ops_check_write(req, ino);
    if (result == 0 && !is_local)
        result = open_handle(ops, ino, caller.tid, &r.io, &handle);
    fs_request_end(&r);
    if (result < 0 || !handle)
        fs_reply_error(req, result);
    else
        ops_reply_opened(req, handle, NULL, fi);
}

static void ops_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    ops_free_handle(ops_of(req), ops_handle(fi));
    fuse_reply_err(req, 0);
}

/* What is staged: no query, but for what lies below it. */
static int read_staged(fuse_req_t req, const struct handle *handle, uint64_t off, void *buf,
                       size_t len)
{
    struct fs_request r;
    ops_begin(&r, req);
    int result = fs_stages_read(&handle->staged, off, buf, len, &r.io);
    fs_request_end(&r);
    return result;
}

static int read_file(fuse_req_t req, struct handle *handle, uint64_t off, void *buf, size_t len)
{
    const struct fs_ops_config *config = &ops_of(req)->config;
    const struct fs_opened *opened = &handle->opened;
    struct window_hint hint;
    if (handle->has_place &&
        fs_stages_check_reader(config->stages, &handle->place, ops_caller(req)) < 0)
        return -ESTALE; /* somebody writes it now: half of it may change under the reader */
    /* One query is left for the read itself: it must not queue behind what is fetched ahead of it.
     */
    bool is_slow = opened->stat.max_inflight > 0;
    unsigned n_inflight = config->max_inflight(config->arg, is_slow);
    if (is_slow && n_inflight > opened->stat.max_inflight)
        n_inflight = opened->stat.max_inflight;
    const struct window_limits limits = {
        .max_io = source_max_io(opened->source),
        .n_inflight = n_inflight > 1 ? n_inflight - 1 : 1,
        .budget = config->cache_budget,
        .is_slow = is_slow,
    };
    if (!source_has(opened->source, opened->stat.version, off))
        window_lost(&handle->window, off);
    if (window_advance(&handle->window, off, len, opened->stat.size, &limits, &hint))
        source_prefetch(opened->source, opened->stat.version, hint.off, hint.len, hint.load);
    struct fs_request r;
    ops_begin(&r, req);
    int result = source_read(opened->source, opened->stat.version, off, buf, len, &r.io);
    fs_request_end(&r);
    return result;
}

static void ops_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                     struct fuse_file_info *fi)
{
    ops_trace(req, "read", ino);
    struct handle *handle = ops_handle(fi);
    if (handle->is_local) {
        ops_read_local(req, handle, size, off);
        return;
    }
    bool is_text = !handle->is_staged && handle->opened.kind == FS_ENTRY_GENERATED;
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
    else if (buf && handle->is_staged)
        result = read_staged(req, handle, (uint64_t)off, buf, len);
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
    ops_trace(req, "lseek", ino);
    const struct handle *handle = ops_handle(fi);
    if (handle->is_local) {
        off_t found = lseek(handle->local.fd, off, whence);
        if (found < 0)
            fs_reply_error(req, -errno);
        else
            fuse_reply_lseek(req, found);
        return;
    }
    uint64_t size = size_of(handle);
    if (whence != SEEK_DATA && whence != SEEK_HOLE)
        fs_reply_error(req, -EINVAL);
    else if (off < 0 || (uint64_t)off >= size)
        fs_reply_error(req, -ENXIO);
    else
        fuse_reply_lseek(req, whence == SEEK_DATA ? off : (off_t)size);
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
    .flush = ops_flush,
    .fsync = ops_fsync,
    .fsyncdir = ops_fsyncdir,
    .fallocate = ops_fallocate,
    .create = ops_create,
    .unlink = ops_unlink,
    .rename = ops_rename,
    .mknod = ops_refuse_mknod,
    .mkdir = ops_mkdir,
    .rmdir = ops_rmdir,
    .symlink = ops_refuse_symlink,
    .link = ops_refuse_link,
    .setxattr = ops_refuse_setxattr,
    .removexattr = ops_refuse_removexattr,
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
        ops_free_handle(ops, ops->handles);
    pthread_mutex_destroy(&ops->lock);
    free(ops);
}

void fs_ops_set_serving(struct fs_ops *ops, void (*serving)(void *arg), void *arg)
{
    ops->serving = serving;
    ops->serving_arg = arg;
}
