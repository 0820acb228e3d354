/* See call_ranges_note.h. */
#include "fs/call_ranges_note.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char title[] = "canisterfs ranges 1";

size_t call_ranges_note_format(const struct call_ranges_note *note, char out[CALL_RANGES_NOTE_MAX])
{
    int len = snprintf(out, CALL_RANGES_NOTE_MAX, "%s\n%s %" PRIu64 "\n%" PRIu64 " %" PRIu64 "\n",
                       title, note->method, note->total, note->done, note->step);
    char *end = out + len;
    size_t room = CALL_RANGES_NOTE_MAX - (size_t)len;
    if (!note->has_call)
        return (size_t)len + (size_t)snprintf(end, room, "none\n");
    char id[2 * IC_REQUEST_ID_LEN + 1];
    for (size_t i = 0; i < IC_REQUEST_ID_LEN; i++)
        snprintf(id + 2 * i, 3, "%02x", note->request_id[i]);
    return (size_t)len + (size_t)snprintf(end, room,
                                          "call %" PRIu64 " %" PRIu64 " %s %" PRIu64 "\n",
                                          note->done, note->to, id, note->expiry_ns);
}

static bool take_number(char **rest, uint64_t *out)
{
    const char *word = strsep(rest, " ");
    char *end;
    if (!word || *word < '0' || *word > '9')
        return false;
    errno = 0;
    *out = strtoull(word, &end, 10);
    return *end == '\0' && errno == 0;
}

static bool take_id(char **rest, uint8_t out[IC_REQUEST_ID_LEN])
{
    const char *word = strsep(rest, " ");
    if (!word || strlen(word) != (size_t)2 * IC_REQUEST_ID_LEN ||
        strspn(word, "0123456789abcdef") != (size_t)2 * IC_REQUEST_ID_LEN)
        return false;
    for (size_t i = 0; i < IC_REQUEST_ID_LEN; i++) {
        const char digits[] = {word[2 * i], word[2 * i + 1], '\0'};
        out[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return true;
}

static bool take_method(char **rest, struct call_ranges_note *out)
{
    const char *word = strsep(rest, " ");
    if (!word || !*word || strlen(word) >= sizeof(out->method))
        return false;
    memcpy(out->method, word, strlen(word) + 1);
    return take_number(rest, &out->total) && !*rest;
}

static bool take_call(char *line, struct call_ranges_note *out)
{
    uint64_t from;
    if (strcmp(line, "none") == 0)
        return true;
    const char *word = strsep(&line, " ");
    out->has_call = true;
    return strcmp(word, "call") == 0 && take_number(&line, &from) && take_number(&line, &out->to) &&
           take_id(&line, out->request_id) && take_number(&line, &out->expiry_ns) && !line &&
           from == out->done && out->to > from && out->to <= out->total;
}

int call_ranges_note_parse(const char *text, size_t len, struct call_ranges_note *out)
{
    char copy[CALL_RANGES_NOTE_MAX + 1];
    struct call_ranges_note note = {0};
    char *lines[4];
    char *rest = copy;
    if (len > CALL_RANGES_NOTE_MAX || memchr(text, '\0', len))
        return -EPROTO;
    memcpy(copy, text, len);
    copy[len] = '\0';
    for (size_t i = 0; i < 4; i++) {
        lines[i] = strsep(&rest, "\n");
        if (!rest)
            return -EPROTO;
    }
    char *method = lines[1];
    char *state = lines[2];
    bool fits = *rest == '\0' && strcmp(lines[0], title) == 0 && take_method(&method, &note) &&
                take_number(&state, &note.done) && take_number(&state, &note.step) && !state &&
                note.step > 0 && note.done <= note.total && take_call(lines[3], &note);
    if (!fits)
        return -EPROTO;
    *out = note;
    return 0;
}
