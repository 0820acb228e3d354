/* Any bytes as the note of call-ranges: what is taken for one is written again as it was read. */
#include "fs/call_ranges_note.h"
#include "tests/fuzz/target.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct call_ranges_note note;
    struct call_ranges_note again;
    char text[CALL_RANGES_NOTE_MAX];
    if (size == 0 || call_ranges_note_parse((const char *)data, size, &note) < 0)
        return 0;
    CLAIM(note.step > 0 && note.done <= note.total);
    CLAIM(!note.has_call || (note.done < note.to && note.to <= note.total));
    size_t len = call_ranges_note_format(&note, text);
    CLAIM(len < sizeof(text));
    CLAIM(call_ranges_note_parse(text, len, &again) == 0);
    CLAIM(strcmp(note.method, again.method) == 0 && note.total == again.total);
    CLAIM(note.done == again.done && note.step == again.step && note.has_call == again.has_call);
    CLAIM(note.to == again.to && note.expiry_ns == again.expiry_ns);
    CLAIM(memcmp(note.request_id, again.request_id, sizeof(note.request_id)) == 0);
    return 0;
}
