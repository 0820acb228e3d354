/* See downtime_note.h. */
#include "fs/downtime_note.h"

#include "fs/note_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char name[] = "downtime";
static const char title[] = "canisterfs downtime 1\n";

/* --- text --- */

/* A line of printable text: what comes from a command has no other. */
static void put_purpose(const char *purpose, char *out, size_t size)
{
    size_t len = 0;
    for (; purpose[len] != '\0' && len + 1 < size; len++) {
        out[len] = purpose[len];
        if (out[len] == '\n')
            out[len] = ' ';
    }
    out[len] = '\0';
}

size_t fs_downtime_note_format(const struct fs_downtime_note *note, char out[FS_DOWNTIME_NOTE_MAX])
{
    char purpose[sizeof(note->purpose)];
    put_purpose(note->purpose, purpose, sizeof(purpose));
    int len = snprintf(out, FS_DOWNTIME_NOTE_MAX, "%s%s %" PRId64 " %s\n", title,
                       note->was_running ? "running" : "stopped", note->since_ns, purpose);
    if (!note->method[0])
        return (size_t)len +
               (size_t)snprintf(out + len, FS_DOWNTIME_NOTE_MAX - (size_t)len, "none\n");
    char id[2 * IC_REQUEST_ID_LEN + 1];
    for (size_t i = 0; i < IC_REQUEST_ID_LEN; i++)
        snprintf(id + 2 * i, 3, "%02x", note->request_id[i]);
    return (size_t)len + (size_t)snprintf(out + len, FS_DOWNTIME_NOTE_MAX - (size_t)len,
                                          "call %s %s %" PRIu64 "\n", note->method, id,
                                          note->expiry_ns);
}

/* The next line of a text, without its end; NULL: there is none. */
static char *next_line(char **rest)
{
    char *line = *rest;
    char *end = strchr(line, '\n');
    if (!end)
        return NULL;
    *end = '\0';
    *rest = end + 1;
    return line;
}

static bool parse_decimal(const char *text, uint64_t most, uint64_t *out)
{
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0' && errno == 0 && *out <= most;
}

static bool parse_id(const char *text, uint8_t out[IC_REQUEST_ID_LEN])
{
    if (strlen(text) != (size_t)2 * IC_REQUEST_ID_LEN ||
        strspn(text, "0123456789abcdef") != (size_t)2 * IC_REQUEST_ID_LEN)
        return false;
    for (size_t i = 0; i < IC_REQUEST_ID_LEN; i++) {
        const char digits[] = {text[2 * i], text[2 * i + 1], '\0'};
        out[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return true;
}

static bool parse_state(char *line, struct fs_downtime_note *out)
{
    uint64_t since;
    const char *state = strsep(&line, " ");
    const char *when = strsep(&line, " ");
    if (!when || !line || strlen(line) >= sizeof(out->purpose) ||
        !parse_decimal(when, INT64_MAX, &since))
        return false;
    out->was_running = strcmp(state, "running") == 0;
    out->since_ns = (int64_t)since;
    memcpy(out->purpose, line, strlen(line) + 1);
    return out->was_running || strcmp(state, "stopped") == 0;
}

static bool parse_call(char *line, struct fs_downtime_note *out)
{
    if (strcmp(line, "none") == 0)
        return true;
    const char *word = strsep(&line, " ");
    const char *method = strsep(&line, " ");
    const char *id = strsep(&line, " ");
    if (!line || strcmp(word, "call") != 0 || !*method || strlen(method) >= sizeof(out->method) ||
        !parse_id(id, out->request_id) || !parse_decimal(line, UINT64_MAX, &out->expiry_ns))
        return false;
    memcpy(out->method, method, strlen(method) + 1);
    return true;
}

int fs_downtime_note_parse(const char *text, size_t len, struct fs_downtime_note *out)
{
    char copy[FS_DOWNTIME_NOTE_MAX + 1];
    struct fs_downtime_note note = {0};
    if (len > FS_DOWNTIME_NOTE_MAX || len < sizeof(title) - 1 || memchr(text, '\0', len) ||
        memcmp(text, title, sizeof(title) - 1) != 0)
        return -EPROTO;
    memcpy(copy, text, len);
    copy[len] = '\0';
    char *rest = copy + sizeof(title) - 1;
    char *state = next_line(&rest);
    char *call = state ? next_line(&rest) : NULL;
    if (!call || *rest != '\0' || !parse_state(state, &note) || !parse_call(call, &note))
        return -EPROTO;
    *out = note;
    return 0;
}

/* --- the file --- */

int fs_downtime_note_write(int dir_fd, const struct fs_downtime_note *note)
{
    char text[FS_DOWNTIME_NOTE_MAX];
    return fs_note_file_write(dir_fd, name, text, fs_downtime_note_format(note, text));
}

int fs_downtime_note_read(int dir_fd, struct fs_downtime_note *out)
{
    char text[FS_DOWNTIME_NOTE_MAX + 1];
    ssize_t n = fs_note_file_read(dir_fd, name, text, sizeof(text));
    return n < 0 ? (int)n : fs_downtime_note_parse(text, (size_t)n, out);
}

int fs_downtime_note_remove(int dir_fd)
{
    return fs_note_file_remove(dir_fd, name);
}
