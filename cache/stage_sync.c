/* What makes a stage durable: see stage.h and stage_state.h. */
#include "cache/stage_state.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* A journal smaller than this is not worth writing anew. */
#define COMPACT_MIN ((uint64_t)1 << 20)

/* ---- a journal without what is of no use any more ---- */

/* Would a new one have less than half of the bytes? */
static bool must_compact(struct stage *stage) REQUIRES(stage->journal_lock)
{
    if (stage->journal.end < COMPACT_MIN || stage->journal.end < stage->compact_at)
        return false;
    lock_acquire(&stage->lock);
    size_t content_len = stage_content_cost(&stage->content);
    lock_release(&stage->lock);
    return stage->journal.end / 2 > stage->note_bytes + stage_journal_cost(content_len);
}

static int copy_note(struct stage *stage, struct stage_journal *to, struct stage_note_at *at)
{
    struct stage_record note;
    void *bytes;
    int result = stage_journal_read(&stage->journal, at->off, &note, &bytes);
    if (result < 0)
        return result;
    result = stage_journal_append(to, &note, &at->off);
    free(bytes);
    return result;
}

static int fill_journal(struct stage *stage, struct stage_journal *to, struct stage_note_at *notes,
                        const struct stage_record *content)
{
    uint64_t off;
    for (size_t i = 0; i < stage->n_notes; i++) {
        notes[i] = stage->notes[i];
        int result = copy_note(stage, to, &notes[i]);
        if (result < 0)
            return result;
    }
    int result = stage_journal_append(to, content, &off);
    return result < 0 ? result : stage_journal_sync(to);
}

/* Put a new journal in the place of the old one, with all its notes and this content. On failure
 * the old one goes on; unless its error is set, because nobody knows which one the disk has. */
static int compact(struct stage *stage, const struct stage_record *content)
    REQUIRES(stage->journal_lock)
{
    struct stage_journal journal;
    struct stage_note_at *notes = calloc(stage->n_notes + 1, sizeof(*notes));
    int result = notes ? stage_start_journal(stage, &journal) : -ENOMEM;
    if (result < 0) {
        free(notes);
        return result;
    }
    result = fill_journal(stage, &journal, notes, content);
    if (result < 0) {
        (void)unlinkat(stage->dir.fd, STAGE_DIR_JOURNAL_NEW, 0);
    } else {
        result = stage_dir_name_journal(&stage->dir);
        stage->journal.error = result;
    }
    if (result < 0) {
        stage_journal_close(&journal);
        free(notes);
        return result;
    }
    stage_journal_close(&stage->journal);
    stage->journal = journal;
    free(stage->notes);
    stage->notes = notes;
    stage->notes_capacity = stage->n_notes + 1;
    return 0;
}

/* ---- sync ---- */

/* What one sync has to do. */
struct sync {
    uint64_t number;
    bool has_data;
    bool has_record;
    bool was_cut;
    uint64_t needs; /* journal_needs, when it is done */
    struct stage_record record;
    void *bytes; /* of the record; owned */
};

/* Take what there is to make durable; what comes later is for the next one. */
static int begin(struct stage *stage, bool is_all, struct sync *out)
{
    struct stage_content *content = &stage->content;
    int result = 0;
    lock_acquire(&stage->lock);
    struct sync sync = {
        .number = stage->n_syncs + 1,
        .has_data = stage->is_data_dirty,
        .has_record = content->is_unsaved,
        .was_cut = content->is_all || content->cut != UINT64_MAX,
        .needs = stage_extents_end(&content->staged),
        .record = {.kind = STAGE_RECORD_CONTENT},
    };
    if (sync.has_record)
        result = stage_content_encode(content, is_all, &sync.bytes, &sync.record.len);
    if (result == 0) {
        stage->n_syncs++;
        stage->is_data_dirty = false;
        if (sync.has_record)
            stage_content_saved(content);
        if (sync.needs > stage->journal_needs)
            stage->journal_needs = sync.needs;
        sync.record.bytes = sync.bytes;
        *out = sync;
    }
    lock_release(&stage->lock);
    return result;
}

static int write_content(struct stage *stage, const struct stage_record *record, bool is_all)
    REQUIRES(stage->journal_lock)
{
    if (is_all) {
        if (compact(stage, record) == 0)
            return 0;
        stage->compact_at = 2 * stage->journal.end; /* not at every sync */
    }
    uint64_t off;
    int result = stage_journal_append(&stage->journal, record, &off);
    return result < 0 ? result : stage_journal_sync(&stage->journal);
}

static void finish(struct stage *stage, const struct sync *sync, int result)
    REQUIRES(stage->journal_lock)
{
    lock_acquire(&stage->lock);
    if (result == 0)
        stage->journal_needs = sync->needs;
    else if (sync->has_record)
        stage_content_unsaved(&stage->content);
    lock_release(&stage->lock);
    if (result < 0)
        return;
    stage->n_synced = sync->number;
    if (sync->has_record && sync->was_cut) {
        pthread_rwlock_wrlock(&stage->gate);
        stage_cut_data(stage);
        pthread_rwlock_unlock(&stage->gate);
    }
}

static int sync_files(struct stage *stage) REQUIRES(stage->journal_lock)
{
    bool is_all = must_compact(stage);
    struct sync sync = {0};
    int result = begin(stage, is_all, &sync);
    if (result < 0)
        return result;
    if (sync.has_data && fdatasync(stage->dir.data_fd) < 0)
        result = stage->journal.error = -errno;
    if (result == 0 && sync.has_record)
        result = write_content(stage, &sync.record, is_all);
    finish(stage, &sync, result);
    free(sync.bytes);
    return result;
}

/* Is there nothing to make durable? */
static bool is_clean(struct stage *stage)
{
    lock_acquire(&stage->lock);
    bool is_clean = !stage->is_data_dirty && !stage->content.is_unsaved;
    lock_release(&stage->lock);
    return is_clean;
}

int stage_sync_locked(struct stage *stage)
{
    if (stage->journal.error || is_clean(stage))
        return stage->journal.error;
    int result = stage_get_files(stage, false);
    if (result < 0)
        return result;
    result = sync_files(stage);
    stage_put_files(stage);
    return result;
}

int stage_sync(struct stage *stage)
{
    /* One that begins from now on covers all that was written before this call. */
    lock_acquire(&stage->lock);
    uint64_t wanted = stage->n_syncs + 1;
    lock_release(&stage->lock);
    lock_acquire(&stage->journal_lock);
    int result = stage->journal.error;
    if (result == 0 && stage->n_synced < wanted)
        result = stage_sync_locked(stage);
    lock_release(&stage->journal_lock);
    return result;
}
