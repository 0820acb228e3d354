/* See snapshot_note.h. The file is JSON: bytes are hex digits, 64-bit numbers decimal ones. */
#include "fs/snapshot_note.h"

#include "fs/note_file.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_NAME "uploads"
#define FILE_MAX  ((size_t)1 << 20) /* bytes: twice what as many notes as can be take */

static const char *const state_names[] = {
    [FS_SNAPSHOT_DECLARING] = "declaring",
    [FS_SNAPSHOT_SENDING] = "sending",
    [FS_SNAPSHOT_VERIFIED] = "verified",
};

/* --- hex --- */

static void format_hex(const uint8_t *bytes, size_t len, char *text)
{
    *text = '\0';
    for (size_t i = 0; i < len; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
}

void fs_snapshot_id_format(const struct ic_snapshot_id *id, char text[FS_SNAPSHOT_ID_TEXT])
{
    format_hex(id->bytes, id->len, text);
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Returns the number of bytes, or -1. */
static int parse_hex(const char *text, uint8_t *out, size_t max)
{
    size_t len = text ? strlen(text) : 1;
    if (len % 2 != 0 || len / 2 > max)
        return -1;
    for (size_t i = 0; i < len / 2; i++) {
        int high = digit(text[2 * i]);
        int low = digit(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return -1;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return (int)(len / 2);
}

bool fs_snapshot_id_parse(const char *text, struct ic_snapshot_id *out)
{
    struct ic_snapshot_id id = {0};
    int len = parse_hex(text, id.bytes, sizeof(id.bytes));
    if (len <= 0)
        return false;
    id.len = (uint8_t)len;
    *out = id;
    return true;
}

static bool take_hex(const json_t *object, const char *key, uint8_t *out, size_t len)
{
    return parse_hex(json_string_value(json_object_get(object, key)), out, len) == (int)len;
}

static bool take_id(const json_t *value, struct ic_snapshot_id *out)
{
    const char *text = json_string_value(value);
    return text && fs_snapshot_id_parse(text, out);
}

static json_t *hex(const uint8_t *bytes, size_t len)
{
    char text[2 * IC_SNAPSHOT_ID_MAX + 1];
    format_hex(bytes, len, text);
    return json_string(text);
}

/* --- reading --- */

static bool take_number(const json_t *object, const char *key, uint64_t *out)
{
    const char *text = json_string_value(json_object_get(object, key));
    char *end = NULL;
    errno = 0;
    *out = text ? strtoull(text, &end, 10) : 0;
    return text && *text >= '0' && *text <= '9' && *end == '\0' && errno == 0;
}

static bool take_declaring(const json_t *item, struct fs_snapshot_note *note)
{
    const json_t *before = json_object_get(item, "before");
    note->n_before = json_array_size(before);
    if (!json_is_array(before) || note->n_before > FS_SNAPSHOT_BEFORE_MAX)
        return false;
    for (size_t i = 0; i < note->n_before; i++)
        if (!take_id(json_array_get(before, i), &note->before[i]))
            return false;
    return take_hex(item, "request_id", note->request_id, IC_REQUEST_ID_LEN) &&
           take_number(item, "expiry_ns", &note->expiry_ns);
}

static bool take_note(const json_t *item, struct fs_snapshot_note *note)
{
    const char *name = json_string_value(json_object_get(item, "name"));
    const char *state = json_string_value(json_object_get(item, "state"));
    if (!name || !state || strlen(name) >= sizeof(note->name))
        return false;
    snprintf(note->name, sizeof(note->name), "%s", name);
    int n = 0;
    while (n <= FS_SNAPSHOT_VERIFIED && strcmp(state, state_names[n]) != 0)
        n++;
    if (n > FS_SNAPSHOT_VERIFIED)
        return false;
    note->state = (enum fs_snapshot_note_state)n;
    if (!take_hex(item, "content", note->content, IC_SHA256_LEN) ||
        !take_number(item, "n_sent", &note->n_sent))
        return false;
    return note->state == FS_SNAPSHOT_DECLARING ? take_declaring(item, note)
                                                : take_id(json_object_get(item, "id"), &note->id);
}

static int parse(const json_t *root, struct fs_snapshot_notes *notes)
{
    size_t n = json_array_size(root);
    if (!json_is_array(root) || n > FS_SNAPSHOT_NOTES_MAX)
        return -EPROTO;
    notes->items = calloc(FS_SNAPSHOT_NOTES_MAX, sizeof(*notes->items));
    if (!notes->items)
        return -ENOMEM;
    for (; notes->n < n; notes->n++) {
        struct fs_snapshot_note *note = &notes->items[notes->n];
        if (!take_note(json_array_get(root, notes->n), note))
            return -EPROTO;
        if (note->state != FS_SNAPSHOT_VERIFIED && fs_snapshot_notes_find(notes, note->name))
            return -EPROTO; /* one upload of a directory at a time */
    }
    return 0;
}

int fs_snapshot_notes_parse(struct fs_snapshot_notes *notes, const char *text, size_t len)
{
    struct fs_snapshot_notes found = {0};
    json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
    int result = root ? parse(root, &found) : -EPROTO;
    json_decref(root);
    if (result < 0)
        fs_snapshot_notes_fini(&found);
    else
        *notes = found;
    return result;
}

int fs_snapshot_notes_read(struct fs_snapshot_notes *notes, int dir_fd)
{
    *notes = (struct fs_snapshot_notes){0};
    char *text = malloc(FILE_MAX + 1);
    if (!text)
        return -ENOMEM;
    ssize_t len = fs_note_file_read(dir_fd, FILE_NAME, text, FILE_MAX + 1);
    int result = len == -ENOENT           ? 0
                 : len < 0                ? (int)len
                 : (size_t)len > FILE_MAX ? -EPROTO
                                          : fs_snapshot_notes_parse(notes, text, (size_t)len);
    free(text);
    return result;
}

void fs_snapshot_notes_fini(struct fs_snapshot_notes *notes)
{
    free(notes->items);
    *notes = (struct fs_snapshot_notes){0};
}

/* --- writing --- */

static json_t *number(uint64_t n)
{
    char text[24];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
    return json_string(text);
}

/* A failed allocation shows up as a value that is missing, which setting refuses. */
static bool fill(json_t *object, const struct fs_snapshot_note *note)
{
    bool ok = json_object_set_new(object, "name", json_string(note->name)) == 0 &&
              json_object_set_new(object, "state", json_string(state_names[note->state])) == 0 &&
              json_object_set_new(object, "content", hex(note->content, IC_SHA256_LEN)) == 0 &&
              json_object_set_new(object, "n_sent", number(note->n_sent)) == 0;
    if (!ok || note->state != FS_SNAPSHOT_DECLARING)
        return ok && json_object_set_new(object, "id", hex(note->id.bytes, note->id.len)) == 0;
    json_t *before = json_array();
    for (size_t i = 0; ok && i < note->n_before; i++)
        ok = json_array_append_new(before, hex(note->before[i].bytes, note->before[i].len)) == 0;
    ok = json_object_set_new(object, "before", before) == 0 && ok;
    return ok &&
           json_object_set_new(object, "request_id", hex(note->request_id, IC_REQUEST_ID_LEN)) ==
               0 &&
           json_object_set_new(object, "expiry_ns", number(note->expiry_ns)) == 0;
}

char *fs_snapshot_notes_format(const struct fs_snapshot_notes *notes)
{
    json_t *root = json_array();
    bool ok = root != NULL;
    for (size_t i = 0; ok && i < notes->n; i++) {
        json_t *object = json_object();
        ok = object && fill(object, &notes->items[i]);
        ok = json_array_append_new(root, object) == 0 && ok;
    }
    char *text = ok ? json_dumps(root, JSON_INDENT(1)) : NULL;
    json_decref(root);
    return text;
}

int fs_snapshot_notes_write(const struct fs_snapshot_notes *notes, int dir_fd)
{
    char *text = fs_snapshot_notes_format(notes);
    int result = text ? fs_note_file_write(dir_fd, FILE_NAME, text, strlen(text)) : -ENOMEM;
    free(text);
    return result;
}

/* --- the list --- */

static bool drop_oldest(struct fs_snapshot_notes *notes)
{
    for (size_t i = 0; i < notes->n; i++) {
        if (notes->items[i].state != FS_SNAPSHOT_VERIFIED)
            continue;
        fs_snapshot_notes_remove(notes, &notes->items[i]);
        return true;
    }
    return false;
}

int fs_snapshot_notes_add(struct fs_snapshot_notes *notes, struct fs_snapshot_note **out)
{
    if (!notes->items)
        notes->items = calloc(FS_SNAPSHOT_NOTES_MAX, sizeof(*notes->items));
    if (!notes->items)
        return -ENOMEM;
    if (notes->n == FS_SNAPSHOT_NOTES_MAX && !drop_oldest(notes))
        return -ENOSPC;
    *out = &notes->items[notes->n++];
    **out = (struct fs_snapshot_note){0};
    return 0;
}

void fs_snapshot_notes_remove(struct fs_snapshot_notes *notes, struct fs_snapshot_note *note)
{
    size_t behind = notes->n - (size_t)(note - notes->items) - 1;
    memmove(note, note + 1, behind * sizeof(*note));
    notes->n--;
}

struct fs_snapshot_note *fs_snapshot_notes_find(struct fs_snapshot_notes *notes, const char *name)
{
    for (size_t i = 0; i < notes->n; i++)
        if (notes->items[i].state != FS_SNAPSHOT_VERIFIED &&
            strcmp(notes->items[i].name, name) == 0)
            return &notes->items[i];
    return NULL;
}

struct fs_snapshot_note *fs_snapshot_notes_find_id(struct fs_snapshot_notes *notes,
                                                   const struct ic_snapshot_id *id)
{
    for (size_t i = 0; i < notes->n; i++)
        if (notes->items[i].state != FS_SNAPSHOT_DECLARING &&
            ic_snapshot_id_is_equal(&notes->items[i].id, id))
            return &notes->items[i];
    return NULL;
}
