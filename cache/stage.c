/* Stages: see stage.h; here they come and go, and are read and written.
 *
 * Bytes are written to `data` first and belong to an extent afterwards, so a write that fails adds
 * nothing. What is in an extent but not in a record of the journal is lost in a crash, and that is
 * all that is: a record is written after the bytes that it names are durable, and `data` is cut no
 * further than the records on the disk go (journal_needs). Bytes of a durable extent that are
 * overwritten later are the old or the new ones after a crash, as in any file.
 */
#include "cache/stage.h"

#include "cache/stage_io.h"
#include "cache/stage_state.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- making and closing ---- */

static struct stage *alloc_stage(void)
{
    struct stage *stage = calloc(1, sizeof(*stage));
    if (!stage)
        return NULL;
    pthread_rwlockattr_t attr;
    int err = pthread_rwlockattr_init(&attr);
    assert(err == 0);
    /* Readers and writers without end must not keep a truncation waiting. */
    err = pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    assert(err == 0);
    err = pthread_rwlock_init(&stage->gate, &attr);
    assert(err == 0);
    (void)err;
    pthread_rwlockattr_destroy(&attr);
    lock_init(&stage->journal_lock);
    lock_init(&stage->files_lock);
    lock_init(&stage->lock);
    stage->dir = (struct stage_dir){.parent_fd = -1, .fd = -1, .data_fd = -1};
    stage->journal.fd = -1;
    return stage;
}

void stage_close(struct stage *stage)
{
    if (!stage)
        return;
    stage_journal_close(&stage->journal);
    stage_dir_close(&stage->dir); /* the last: it has the lock */
    stage_content_fini(&stage->content);
    free(stage->notes);
    lock_fini(&stage->lock);
    lock_fini(&stage->files_lock);
    lock_fini(&stage->journal_lock);
    pthread_rwlock_destroy(&stage->gate);
    free(stage);
}

int stage_remove(struct stage *stage)
{
    int result = stage_get_files(stage, true);
    if (result == 0)
        result = stage_dir_remove(&stage->dir);
    stage_close(stage);
    return result;
}

int stage_start_journal(const struct stage *stage, struct stage_journal *out)
{
    unsigned char bytes[STAGE_PURPOSE_LEN];
    struct stage_record record = {.kind = STAGE_RECORD_PURPOSE, .bytes = bytes};
    int result = stage_purpose_encode(&stage->purpose, bytes, &record.len);
    if (result < 0)
        return result;
    result = stage_journal_create(out, stage->dir.fd, STAGE_DIR_JOURNAL_NEW);
    if (result < 0)
        return result;
    uint64_t off;
    result = stage_journal_append(out, &record, &off);
    if (result < 0) {
        stage_journal_close(out);
        (void)unlinkat(stage->dir.fd, STAGE_DIR_JOURNAL_NEW, 0);
    }
    return result;
}

/* The journal of a new stage: with it, it is one. */
static int make_journal(struct stage *stage)
{
    int result = stage_start_journal(stage, &stage->journal);
    if (result < 0)
        return result;
    result = stage_journal_sync(&stage->journal);
    if (result == 0)
        result = stage_dir_name_journal(&stage->dir);
    return result < 0 ? result : stage_dir_sync_name(&stage->dir);
}

int stage_new(struct stage **out, int dir_fd, const char *name, const struct stage_purpose *purpose)
{
    unsigned char bytes[STAGE_PURPOSE_LEN];
    uint32_t len;
    int result = stage_purpose_encode(purpose, bytes, &len);
    if (result < 0)
        return result;
    struct stage *stage = alloc_stage();
    if (!stage)
        return -ENOMEM;
    stage->purpose = *purpose;
    stage_content_init(&stage->content, purpose->base_size);
    result = stage_dir_make(&stage->dir, dir_fd, name);
    if (result < 0) {
        stage_close(stage);
        return result;
    }
    result = make_journal(stage);
    if (result < 0) {
        /* Nobody knows of it yet. Without a journal it is the trace of a crash. */
        (void)unlinkat(stage->dir.fd, STAGE_DIR_JOURNAL, 0);
        (void)stage_dir_clear(&stage->dir);
        stage_close(stage);
        return result;
    }
    *out = stage;
    return 0;
}

/* ---- opening ---- */

static int take_record(void *arg, const struct stage_record *record, uint64_t off)
{
    struct stage *stage = arg;
    bool is_first = off == STAGE_JOURNAL_START;
    if (is_first != (record->kind == STAGE_RECORD_PURPOSE))
        return -EPROTO;
    switch (record->kind) {
    case STAGE_RECORD_PURPOSE: {
        int result = stage_purpose_decode(&stage->purpose, record->bytes, record->len);
        if (result == 0)
            stage_content_init(&stage->content, stage->purpose.base_size);
        return result;
    }
    case STAGE_RECORD_CONTENT:
        return stage_content_decode(&stage->content, record->bytes, record->len);
    case STAGE_RECORD_NOTE:
        if (record->note == 0 || record->len > STAGE_NOTE_MAX)
            return -EPROTO;
        return stage_add_note(stage, record->note, record->len, off);
    default:
        return -EPROTO;
    }
}

/* `data` must have all that the journal names; what it has beyond is of no use. */
static int check_data(struct stage *stage)
{
    struct stat st;
    uint64_t end = stage_extents_end(&stage->content.staged);
    if (fstat(stage->dir.data_fd, &st) < 0)
        return -errno;
    if ((uint64_t)st.st_size < end)
        return -EPROTO;
    if ((uint64_t)st.st_size > end && ftruncate(stage->dir.data_fd, (off_t)end) < 0)
        return -errno;
    stage->journal_needs = end;
    return 0;
}

int stage_open(struct stage **out, int dir_fd, const char *name)
{
    struct stage *stage = alloc_stage();
    if (!stage)
        return -ENOMEM;
    int result = stage_dir_open(&stage->dir, dir_fd, name);
    if (result == 0)
        result = stage_journal_open(&stage->journal, stage->dir.fd, STAGE_DIR_JOURNAL, take_record,
                                    stage);
    if (result == 0)
        result = check_data(stage);
    if (result < 0) {
        stage_close(stage);
        return result;
    }
    *out = stage;
    return 0;
}

/* ---- questions ---- */

const struct stage_purpose *stage_get_purpose(const struct stage *stage)
{
    return &stage->purpose;
}

uint64_t stage_size(struct stage *stage)
{
    lock_acquire(&stage->lock);
    uint64_t size = stage->content.size;
    lock_release(&stage->lock);
    return size;
}

uint64_t stage_staged(struct stage *stage)
{
    lock_acquire(&stage->lock);
    uint64_t bytes = stage->content.staged.bytes;
    lock_release(&stage->lock);
    return bytes;
}

bool stage_is_changed(struct stage *stage)
{
    lock_acquire(&stage->lock);
    bool is_changed = stage->content.is_changed;
    lock_release(&stage->lock);
    return is_changed;
}

bool stage_find(struct stage *stage, uint64_t off, struct stage_segment *out)
{
    lock_acquire(&stage->lock);
    bool is_found = stage_content_find(&stage->content, off, out);
    lock_release(&stage->lock);
    return is_found;
}

bool stage_is_complete(struct stage *stage)
{
    lock_acquire(&stage->lock);
    uint64_t base_end = stage->content.base_end;
    bool is_complete = base_end == 0 || stage_extents_has(&stage->content.staged, 0, base_end);
    lock_release(&stage->lock);
    return is_complete;
}

/* ---- writing ---- */

int stage_write(struct stage *stage, uint64_t off, const void *buf, size_t len)
{
    if (off > INT64_MAX || len > INT64_MAX - off)
        return -EFBIG;
    if (len == 0)
        return 0;
    int result = stage_get_files(stage, true);
    if (result < 0)
        return result;
    pthread_rwlock_rdlock(&stage->gate);
    result = stage_io_write(stage->dir.data_fd, off, buf, len);
    lock_acquire(&stage->lock);
    /* Also what a failed write left may be in an extent, that of bytes which it overwrote. */
    stage->is_data_dirty = true;
    if (result == 0)
        result = stage_content_add(&stage->content, off, off + len);
    lock_release(&stage->lock);
    pthread_rwlock_unlock(&stage->gate);
    stage_put_files(stage);
    return result;
}

void stage_cut_data(struct stage *stage)
{
    lock_acquire(&stage->lock);
    uint64_t end = stage_extents_end(&stage->content.staged);
    if (end < stage->journal_needs)
        end = stage->journal_needs;
    lock_release(&stage->lock);
    /* Bytes that stay behind are in no extent: they only take room. */
    if (stage_get_files(stage, false) < 0)
        return;
    int ignored = ftruncate(stage->dir.data_fd, (off_t)end);
    (void)ignored;
    stage_put_files(stage);
}

int stage_truncate(struct stage *stage, uint64_t size)
{
    if (size > INT64_MAX)
        return -EFBIG;
    pthread_rwlock_wrlock(&stage->gate);
    lock_acquire(&stage->lock);
    bool is_cut = size < stage->content.size;
    stage_content_resize(&stage->content, size);
    lock_release(&stage->lock);
    if (is_cut)
        stage_cut_data(stage);
    pthread_rwlock_unlock(&stage->gate);
    return 0;
}

/* ---- reading ---- */

static int read_data(struct stage *stage, uint64_t off, void *buf, size_t len)
{
    int result = stage_get_files(stage, true);
    if (result < 0)
        return result;
    result = stage_io_read(stage->dir.data_fd, off, buf, len);
    stage_put_files(stage);
    return result;
}

/* Read from the segment that holds off; staged bytes cannot be cut off meanwhile. *ret_len is how
 * many were read, or are the base's to read. */
static int read_segment(struct stage *stage, uint64_t off, void *buf, size_t len, size_t *ret_len,
                        enum stage_kind *ret_kind)
{
    struct stage_segment segment;
    int result = 0;
    pthread_rwlock_rdlock(&stage->gate);
    if (!stage_find(stage, off, &segment)) {
        result = -EINVAL;
    } else {
        *ret_kind = segment.kind;
        *ret_len = segment.len < len ? (size_t)segment.len : len;
        if (segment.kind == STAGE_STAGED)
            result = read_data(stage, off, buf, *ret_len);
        else if (segment.kind == STAGE_ZERO)
            memset(buf, 0, *ret_len);
    }
    pthread_rwlock_unlock(&stage->gate);
    return result == -ENODATA ? -EIO : result; /* somebody else cut the file */
}

int stage_read(struct stage *stage, struct source *base, uint64_t version, uint64_t off, void *buf,
               size_t len, const struct source_io *io)
{
    unsigned char *to = buf;
    uint64_t size = stage_size(stage);
    if (off > size || len > size - off)
        return -EINVAL;
    while (len > 0) {
        size_t n;
        enum stage_kind kind;
        int result = read_segment(stage, off, to, len, &n, &kind);
        if (result == 0 && kind == STAGE_BASE)
            result = base ? source_read(base, version, off, to, n, io) : -EINVAL;
        if (result < 0)
            return result;
        off += n;
        to += n;
        len -= n;
    }
    return 0;
}
