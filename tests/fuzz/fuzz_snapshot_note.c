/* Any bytes as the notes of uploads: what is taken for them is written again as it was read. */
#include "fs/snapshot_note.h"
#include "tests/fuzz/target.h"

#include <string.h>

static void check_same(const struct fs_snapshot_note *a, const struct fs_snapshot_note *b)
{
    CLAIM(strcmp(a->name, b->name) == 0 && a->state == b->state && a->n_sent == b->n_sent);
    CLAIM(memcmp(a->content, b->content, sizeof(a->content)) == 0);
    CLAIM(memcmp(a->request_id, b->request_id, sizeof(a->request_id)) == 0);
    CLAIM(a->expiry_ns == b->expiry_ns && a->n_before == b->n_before);
    for (size_t i = 0; i < a->n_before; i++)
        CLAIM(ic_snapshot_id_is_equal(&a->before[i], &b->before[i]));
    CLAIM(ic_snapshot_id_is_equal(&a->id, &b->id));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fs_snapshot_notes notes = {0};
    struct fs_snapshot_notes again = {0};
    if (size == 0 || fs_snapshot_notes_parse(&notes, (const char *)data, size) < 0)
        return 0;
    CLAIM(notes.n <= FS_SNAPSHOT_NOTES_MAX);
    for (size_t i = 0; i < notes.n; i++) {
        const struct fs_snapshot_note *note = &notes.items[i];
        CLAIM(note->n_before <= FS_SNAPSHOT_BEFORE_MAX && strlen(note->name) < sizeof(note->name));
        CLAIM(note->state == FS_SNAPSHOT_DECLARING || note->id.len > 0);
        if (note->state != FS_SNAPSHOT_VERIFIED)
            CLAIM(fs_snapshot_notes_find(&notes, note->name) == note);
    }
    char *text = fs_snapshot_notes_format(&notes);
    CLAIM(text && fs_snapshot_notes_parse(&again, text, strlen(text)) == 0);
    CLAIM(notes.n == again.n);
    for (size_t i = 0; i < notes.n; i++)
        check_same(&notes.items[i], &again.items[i]);
    free(text);
    fs_snapshot_notes_fini(&again);
    fs_snapshot_notes_fini(&notes);
    return 0;
}
