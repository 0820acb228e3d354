/* Notes of a stage's user: see stage.h. They stay in the journal; memory has where they are. */
#include "cache/stage_state.h"

#include <errno.h>
#include <stdlib.h>

int stage_add_note(struct stage *stage, uint16_t kind, size_t len, uint64_t off)
{
    if (stage->n_notes == stage->notes_capacity) {
        size_t capacity = stage->notes_capacity ? stage->notes_capacity * 2 : 16;
        struct stage_note_at *notes = realloc(stage->notes, capacity * sizeof(*notes));
        if (!notes)
            return -ENOMEM;
        stage->notes = notes;
        stage->notes_capacity = capacity;
    }
    stage->notes[stage->n_notes++] = (struct stage_note_at){.off = off, .kind = kind};
    stage->note_bytes += stage_journal_cost(len);
    return 0;
}

static int append_note(struct stage *stage, const struct stage_record *record)
    REQUIRES(stage->journal_lock)
{
    uint64_t off = stage->journal.end;
    int result = stage_add_note(stage, record->note, record->len, off);
    if (result < 0)
        return result;
    result = stage_journal_append(&stage->journal, record, &off);
    if (result == 0)
        result = stage_journal_sync(&stage->journal);
    if (result < 0) {
        stage->n_notes--;
        stage->note_bytes -= stage_journal_cost(record->len);
    }
    return result;
}

int stage_note(struct stage *stage, uint32_t kind, const void *bytes, size_t len)
{
    if (kind == 0 || kind > UINT16_MAX || len > STAGE_NOTE_MAX)
        return -EINVAL;
    struct stage_record record = {
        .kind = STAGE_RECORD_NOTE, .note = (uint16_t)kind, .len = (uint32_t)len, .bytes = bytes};
    lock_acquire(&stage->journal_lock);
    int result = stage_get_files(stage, false);
    if (result == 0) {
        /* The state that a note speaks of is durable before it is. */
        result = stage_sync_locked(stage);
        if (result == 0)
            result = append_note(stage, &record);
        stage_put_files(stage);
    }
    lock_release(&stage->journal_lock);
    return result;
}

static int read_note(struct stage *stage, uint64_t off, struct stage_record *record, void **out)
    REQUIRES(stage->journal_lock)
{
    int result = stage_get_files(stage, false);
    if (result < 0)
        return result;
    result = stage_journal_read(&stage->journal, off, record, out);
    stage_put_files(stage);
    return result;
}

static int get_note_locked(struct stage *stage, uint32_t kind, struct stage_record *record,
                           void **out) REQUIRES(stage->journal_lock)
{
    for (size_t i = stage->n_notes; i-- > 0;) {
        if (stage->notes[i].kind == kind)
            return read_note(stage, stage->notes[i].off, record, out);
    }
    return -ENOENT;
}

int stage_get_note(struct stage *stage, uint32_t kind, void **out, size_t *ret_len)
{
    struct stage_record record = {0};
    lock_acquire(&stage->journal_lock);
    int result = get_note_locked(stage, kind, &record, out);
    lock_release(&stage->journal_lock);
    if (result == 0)
        *ret_len = record.len;
    return result;
}

int stage_for_each_note(struct stage *stage, uint32_t kind,
                        int (*each)(void *arg, const void *bytes, size_t len), void *arg)
{
    int result = 0;
    lock_acquire(&stage->journal_lock);
    for (size_t i = 0; i < stage->n_notes && result == 0; i++) {
        struct stage_record record;
        void *bytes;
        if (stage->notes[i].kind != kind)
            continue;
        result = read_note(stage, stage->notes[i].off, &record, &bytes);
        if (result < 0)
            break;
        result = each(arg, bytes, record.len);
        free(bytes);
    }
    lock_release(&stage->journal_lock);
    return result;
}
