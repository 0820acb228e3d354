/* Any bytes as the note of a downtime: what is taken for one is written again as it was read. */
#include "fs/downtime_note.h"
#include "tests/fuzz/target.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fs_downtime_note note;
    struct fs_downtime_note again;
    char text[FS_DOWNTIME_NOTE_MAX];
    if (size == 0 || fs_downtime_note_parse((const char *)data, size, &note) < 0)
        return 0;
    CLAIM(note.since_ns >= 0 && strlen(note.purpose) < sizeof(note.purpose));
    size_t len = fs_downtime_note_format(&note, text);
    CLAIM(len < sizeof(text));
    CLAIM(fs_downtime_note_parse(text, len, &again) == 0);
    CLAIM(note.was_running == again.was_running && note.since_ns == again.since_ns);
    CLAIM(strcmp(note.purpose, again.purpose) == 0 && strcmp(note.method, again.method) == 0);
    CLAIM(memcmp(note.request_id, again.request_id, sizeof(note.request_id)) == 0);
    CLAIM(note.expiry_ns == again.expiry_ns);
    return 0;
}
