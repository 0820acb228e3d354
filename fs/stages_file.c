/* Staged files that are open: what is written and read, and what closing them means. */
#include "fs/stages_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* --- opening --- */

static void fill_handle(struct fs_staged_handle *handle, struct fs_staged *staged,
                        const struct fs_stages_caller *caller, const struct fs_writer *opener)
{
    *handle = (struct fs_staged_handle){
        .staged = staged,
        .opener = *opener,
        .own_tid = caller->tid,
        .can_write = (caller->flags & O_ACCMODE) != O_RDONLY,
    };
}

/* One more handle of what is there already. */
static void attach_locked(struct fs_staged *staged, const struct fs_stages_caller *caller,
                          const struct fs_writer *opener, struct fs_staged_handle *out)
{
    fill_handle(out, staged, caller, opener);
    out->n_before = staged->n_closings;
    staged->n_handles++;
    staged->n_writers += out->can_write;
    stages_use_locked(staged);
}

/* What attaching leaves to do without the lock. */
static int truncate_at_open(struct fs_staged_handle *handle, const struct fs_stages_caller *caller)
{
    int result = caller->flags & O_TRUNC ? stage_truncate(handle->staged->stage, 0) : 0;
    if (result < 0)
        fs_stages_release(handle);
    return result;
}

static void describe_purpose(const struct fs_place *place, const char *path,
                             const struct fs_opened *opened, uint32_t flags,
                             struct stage_purpose *out)
{
    *out = (struct stage_purpose){.created_ns = stages_clock_ns(CLOCK_REALTIME)};
    snprintf(out->target, sizeof(out->target), "%s", path);
    if (!opened || (flags & O_TRUNC))
        return;
    const struct fs_restorable *restorable = fs_tree_restorable_of(place);
    out->base_size = opened->stat.size;
    if (restorable->version)
        out->base_version =
            restorable->version(restorable->arg, place->index, opened->stat.version);
}

/* A staged file for a place, in the table; nobody else can open the place any more. */
static int begin_place(struct fs_stages *stages, const struct fs_place *place, fuse_ino_t ino,
                       const struct fs_stages_caller *caller, const struct fs_writer *opener,
                       struct fs_staged_handle *out)
{
    struct fs_staged *staged = NULL;
    int result = 0;
    pthread_mutex_lock(&stages->lock);
    struct fs_staged *active = stages_find_active_locked(stages, place);
    if (active) {
        bool is_ours = active->state == FS_STAGED_OPEN && active->stage && active->n_handles > 0 &&
                       fs_writer_is_same(&active->owner, opener);
        if (is_ours)
            attach_locked(active, caller, opener, out);
        result = is_ours ? 1 : -EBUSY;
    } else if (stages->is_stopped) {
        result = -EINTR;
    } else {
        staged = stages_add_locked(stages, ino);
        result = staged ? 0 : -ENOMEM;
    }
    if (staged) {
        staged->has_place = true;
        staged->place = *place;
        staged->owner = *opener;
        staged->is_truncated = caller->flags & O_TRUNC;
        fs_tree_format_place(place, staged->path);
        fill_handle(out, staged, caller, opener);
    }
    pthread_mutex_unlock(&stages->lock);
    return result;
}

static int make_place(struct fs_staged *staged, const struct fs_opened *opened,
                      const struct fs_stages_caller *caller)
{
    struct stage_purpose purpose;
    int result = stages_lock_place(staged->stages, staged->path);
    if (result < 0)
        return result;
    describe_purpose(&staged->place, staged->path, opened, caller->flags, &purpose);
    if (opened) {
        staged->base = *opened;
        staged->has_base = true;
    }
    result = stages_make(staged, &purpose);
    if (result < 0)
        stages_unlock_place(staged->stages, staged->path);
    return result;
}

int fs_stages_open_place(struct fs_stages *stages, const struct fs_place *place, fuse_ino_t ino,
                         const struct fs_opened *opened, const struct fs_stages_caller *caller,
                         struct fs_staged_handle *out)
{
    struct fs_writer opener;
    (void)fs_writer_identify(caller->tid, &opener); /* an unknown one commits nothing */
    int result = begin_place(stages, place, ino, caller, &opener, out);
    if (result < 0)
        return result;
    if (result == 1) { /* another handle of what the process has open */
        result = truncate_at_open(out, caller);
        if (result == 0 && opened)
            fs_tree_close(stages->config.tree, opened);
        return result;
    }
    struct fs_staged *staged = out->staged;
    result = make_place(staged, opened, caller);
    if (result < 0) {
        stages_drop(staged);
        return result;
    }
    pthread_mutex_lock(&stages->lock);
    staged->n_handles++;
    staged->n_writers += out->can_write;
    pthread_mutex_unlock(&stages->lock);
    return 0;
}

/* May a temporary file be opened? Another process must not write to what somebody is writing. */
static int check_open_locked(const struct fs_staged *staged, const struct fs_stages_caller *caller,
                             const struct fs_writer *opener)
{
    bool can_write = (caller->flags & O_ACCMODE) != O_RDONLY;
    if (!staged->stage || staged->state == FS_STAGED_GONE)
        return -ESTALE;
    if (staged->state == FS_STAGED_COMMITTING)
        return -EBUSY;
    if (!can_write)
        return 0;
    if (staged->n_writers > 0 && !fs_writer_is_same(&staged->owner, opener))
        return -EBUSY;
    return staged->state == FS_STAGED_TAINTED && !(caller->flags & O_TRUNC) ? -EIO : 0;
}

int fs_stages_open_ino(struct fs_stages *stages, fuse_ino_t ino,
                       const struct fs_stages_caller *caller, struct fs_staged_handle *out)
{
    struct fs_writer opener;
    (void)fs_writer_identify(caller->tid, &opener);
    pthread_mutex_lock(&stages->lock);
    struct fs_staged *staged = stages_find_ino_locked(stages, ino);
    int result = staged ? check_open_locked(staged, caller, &opener) : -ESTALE;
    bool is_reopened =
        result == 0 && (caller->flags & O_ACCMODE) != O_RDONLY && staged->state != FS_STAGED_OPEN;
    if (result == 0) {
        if (is_reopened) { /* it is being written again, for whatever it becomes */
            stages_set_state_locked(staged, FS_STAGED_OPEN, "");
            staged->has_place = staged->has_place && !staged->is_temporary;
        }
        if (staged->n_writers == 0)
            staged->owner = opener;
        attach_locked(staged, caller, &opener, out);
    }
    pthread_mutex_unlock(&stages->lock);
    if (result < 0)
        return result;
    if (is_reopened) {
        result = stages_note_expected(staged, NULL);
        stages_note_state(staged);
    }
    if (result < 0) {
        fs_stages_release(out);
        return result;
    }
    return truncate_at_open(out, caller);
}

/* --- content --- */

uint64_t fs_stages_size(const struct fs_staged_handle *handle)
{
    return stage_size(handle->staged->stage);
}

int fs_stages_read(const struct fs_staged_handle *handle, uint64_t off, void *buf, size_t len,
                   const struct source_io *io)
{
    struct fs_staged *staged = handle->staged;
    struct source *base = staged->has_base ? staged->base.source : NULL;
    uint64_t version = staged->has_base ? staged->base.stat.version : 0;
    return stage_read(staged->stage, base, version, off, buf, len, io);
}

/* May the content change now? Who has a temporary file open can use it also when its name was
 * removed. */
static int check_writable(const struct fs_staged_handle *handle)
{
    const struct fs_staged *staged = handle->staged;
    struct fs_stages *stages = staged->stages;
    pthread_mutex_lock(&stages->lock);
    enum fs_staged_state state = staged->state;
    bool is_nameless = state == FS_STAGED_GONE && staged->is_temporary && !staged->has_place;
    pthread_mutex_unlock(&stages->lock);
    if (state == FS_STAGED_OPEN || is_nameless)
        return 0;
    if (state == FS_STAGED_COMMITTING)
        return -EBUSY;
    return state == FS_STAGED_TAINTED ? -EIO : -ESTALE;
}

/* Is it the process that opened the file? */
static void note_writer(struct fs_staged_handle *handle, pid_t tid)
{
    struct fs_stages *stages = handle->staged->stages;
    pthread_mutex_lock(&stages->lock);
    bool is_known = tid == handle->own_tid || tid == handle->other_tid || handle->hidden_wrote;
    pthread_mutex_unlock(&stages->lock);
    if (is_known)
        return;
    struct fs_writer writer;
    (void)fs_writer_identify(tid, &writer); /* an unknown one is another */
    bool is_visible = fs_writer_is_visible(tid);
    pthread_mutex_lock(&stages->lock);
    if (fs_writer_is_same(&writer, &handle->opener)) {
        handle->own_tid = tid;
    } else {
        handle->others_wrote = true;
        handle->other_tid = tid;
        handle->hidden_wrote |= !is_visible;
    }
    pthread_mutex_unlock(&stages->lock);
}

static void note_change(struct fs_staged *staged)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    pthread_mutex_lock(&staged->stages->lock);
    staged->attr.st_mtim = now;
    pthread_mutex_unlock(&staged->stages->lock);
}

static int taint_by(struct fs_staged *staged, int result)
{
    char words[120];
    snprintf(words, sizeof(words), "a write failed: %s", strerror(-result));
    stages_taint(staged, words);
    return result;
}

int fs_stages_write(struct fs_staged_handle *handle, pid_t tid, uint64_t off, const void *buf,
                    size_t len)
{
    struct fs_staged *staged = handle->staged;
    int result = check_writable(handle);
    if (result < 0)
        return result;
    note_writer(handle, tid);
    /* The kernel sends the writes to one file one after the other, so the end is the end. */
    if (off == UINT64_MAX)
        off = stage_size(staged->stage);
    result = off > FS_STAGED_SIZE_MAX || len > FS_STAGED_SIZE_MAX - off
                 ? -EFBIG
                 : stage_write(staged->stage, off, buf, len);
    if (result < 0)
        return taint_by(staged, result);
    note_change(staged);
    return 0;
}

int fs_stages_truncate(struct fs_staged_handle *handle, uint64_t size)
{
    int result = check_writable(handle);
    if (result < 0)
        return result;
    if (size > FS_STAGED_SIZE_MAX)
        return -EFBIG;
    result = stage_truncate(handle->staged->stage, size);
    if (result < 0)
        return taint_by(handle->staged, result);
    note_change(handle->staged);
    return 0;
}

int fs_stages_sync(const struct fs_staged_handle *handle)
{
    return stage_sync(handle->staged->stage);
}

/* --- closing --- */

/* The opener has finished with it. */
static void close_locked(struct fs_staged_handle *handle)
{
    if (!handle->is_closed && handle->can_write && handle->n_before == handle->staged->n_closings)
        handle->staged->n_writers--;
    handle->is_closed = true;
}

/* ... and with every other handle of the file: the kernel tells of those later, by RELEASE. */
static void close_all_locked(struct fs_staged *staged)
{
    staged->n_writers = 0;
    staged->n_closings++;
}

/* What the state alone answers. 1: it is being written, look at who closes it. */
static int answer_locked(const struct fs_staged *staged)
{
    switch (staged->state) {
    case FS_STAGED_OPEN:
    case FS_STAGED_COMMITTING:
        return 1;
    case FS_STAGED_FAILED:
        return staged->error;
    case FS_STAGED_TAINTED:
        return -EIO;
    case FS_STAGED_WAITING:
    case FS_STAGED_PARKED:
    case FS_STAGED_FOUND:
    case FS_STAGED_GONE:
        break;
    }
    return 0;
}

/* Why what was written is not to be trusted; NULL: the opener says that it is whole. */
static const char *find_doubt(const struct fs_staged_handle *handle, enum fs_closing closing)
{
    switch (closing) {
    case FS_CLOSING_FAILED:
        return "its writer ended with an error";
    case FS_CLOSING_KILLED:
        return "its writer was killed";
    case FS_CLOSING_EXIT:
        return handle->others_wrote
                   ? "other processes wrote it, and the one that opened it did not close it"
                   : NULL;
    case FS_CLOSING_LEFT:
        return "its writer ended without closing it";
    case FS_CLOSING_UNKNOWN:
        return handle->staged->is_temporary
                   ? NULL
                   : "whether it is whole cannot be told (its writer is another user's, or of "
                     "another PID namespace?)";
    case FS_CLOSING_LAST:
    case FS_CLOSING_ONE:
    case FS_CLOSING_OTHER:
        break;
    }
    return NULL;
}

/* May another process still write to it? NULL: none. */
static const char *find_others(const struct fs_writer_file *file)
{
    int is_open = fs_writer_any_has_open(file);
    if (is_open == 0)
        return NULL;
    return is_open > 0 ? "another process has it still open for writing"
                       : "whether another process has it open for writing cannot be told";
}

/* The opener has closed it, or ended well. */
static int finish(struct fs_staged_handle *handle, enum fs_closing closing, atomic_bool *cancel)
{
    struct fs_staged *staged = handle->staged;
    struct fs_stages *stages = staged->stages;
    /* That an empty file is meant is said by closing it, not by ending. */
    bool is_meant =
        stage_is_changed(staged->stage) || (staged->is_truncated && closing == FS_CLOSING_LAST);
    int result = 0;
    pthread_mutex_lock(&stages->lock);
    close_locked(handle);
    if (closing == FS_CLOSING_EXIT || stages->dev != 0)
        close_all_locked(staged);
    bool commits = is_meant && staged->has_place && staged->n_writers == 0;
    if (commits)
        result = stages_begin_locked(staged, &staged->place, cancel);
    pthread_mutex_unlock(&stages->lock);
    if (!commits || result < 0)
        return result;
    return stages_complete(staged, cancel);
}

int fs_stages_flush(struct fs_staged_handle *handle, pid_t tid, atomic_bool *cancel)
{
    struct fs_staged *staged = handle->staged;
    struct fs_stages *stages = staged->stages;
    if (!handle->can_write)
        return 0;
    pthread_mutex_lock(&stages->lock);
    int result = answer_locked(staged);
    const struct fs_writer opener = handle->opener;
    pthread_mutex_unlock(&stages->lock);
    if (result <= 0)
        return result;
    const struct fs_writer_file file = {.dev = stages->dev, .ino = staged->ino};
    enum fs_closing closing = fs_writer_judge(&opener, tid, &file);
    if (closing == FS_CLOSING_ONE || closing == FS_CLOSING_OTHER)
        return 0;
    pthread_mutex_lock(&stages->lock);
    const char *doubt = find_doubt(handle, closing);
    bool is_shared = handle->others_wrote;
    if (!doubt && handle->hidden_wrote)
        doubt = "a process wrote it that cannot be looked at";
    pthread_mutex_unlock(&stages->lock);
    if (!doubt && is_shared)
        doubt = find_others(&file);
    if (!doubt)
        return finish(handle, closing, cancel);
    if (stage_is_changed(staged->stage))
        stages_taint(staged, doubt);
    else if (closing != FS_CLOSING_UNKNOWN || !staged->is_truncated)
        return 0;
    /* An empty file that is perhaps meant is neither restored nor kept: that must not look done. */
    return -EIO;
}

void fs_stages_release(struct fs_staged_handle *handle)
{
    struct fs_staged *staged = handle->staged;
    struct fs_stages *stages = staged->stages;
    bool is_changed = stage_is_changed(staged->stage);
    pthread_mutex_lock(&stages->lock);
    close_locked(handle);
    staged->n_handles--;
    bool is_last = staged->n_handles == 0 && !staged->is_temporary;
    bool is_open = staged->state == FS_STAGED_OPEN;
    bool is_stopped = stages->is_stopped;
    if (is_last && !is_changed && (is_open || staged->state == FS_STAGED_FAILED))
        stages_set_state_locked(staged, FS_STAGED_GONE, ""); /* there is nothing to keep */
    pthread_mutex_unlock(&stages->lock);
    if (is_last && is_changed && is_open)
        stages_taint(staged, is_stopped ? "the mount ended before it was closed"
                                        : "it was never closed by who opened it");
    stages_unuse(staged);
}

/* --- who else --- */

int fs_stages_check_reader(struct fs_stages *stages, const struct fs_place *place, pid_t tid)
{
    pthread_mutex_lock(&stages->lock);
    const struct fs_staged *active = stages_find_active_locked(stages, place);
    bool is_open = active && active->state == FS_STAGED_OPEN;
    const struct fs_writer owner = active ? active->owner : (struct fs_writer){0};
    pthread_mutex_unlock(&stages->lock);
    struct fs_writer reader;
    if (!active)
        return 0;
    return is_open && fs_writer_identify(tid, &reader) && fs_writer_is_same(&reader, &owner)
               ? 0
               : -EBUSY;
}

bool fs_stages_is_writer(struct fs_stages *stages, const struct fs_place *place, pid_t tid)
{
    pthread_mutex_lock(&stages->lock);
    bool is_active = stages_find_active_locked(stages, place) != NULL;
    pthread_mutex_unlock(&stages->lock);
    return is_active && fs_stages_check_reader(stages, place, tid) == 0;
}

bool fs_stages_size_of(struct fs_stages *stages, const struct fs_place *place, uint64_t *out)
{
    pthread_mutex_lock(&stages->lock);
    const struct fs_staged *active = stages_find_active_locked(stages, place);
    bool found = active && active->stage;
    if (found)
        *out = stage_size(active->stage);
    pthread_mutex_unlock(&stages->lock);
    return found;
}
