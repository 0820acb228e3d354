/* See snapshot_note.h. The file is JSON: bytes are hex digits, 64-bit numbers decimal ones. */
#include "fs/snapshot_note.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_NAME "uploads"
#define TEMP_NAME "uploads.new"
#define FILE_MAX  ((size_t)4 << 20) /* bytes */

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
static int parse_hex(const json_t *value, uint8_t *out, size_t max)
{
    const char *text = json_string_value(value);
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

static bool parse_id(const json_t *value, struct ic_snapshot_id *out)
{
    int len = parse_hex(value, out->bytes, sizeof(out->bytes));
    out->len = len > 0 ? (uint8_t)len : 0;
    return len > 0;
}

static json_t *hex(const uint8_t *bytes, size_t len)
{
    char text[2 * IC_SNAPSHOT_ID_MAX + 1];
    format_hex(bytes, len, text);
    return json_string(text);
}

/* --- reading --- */

static bool parse_number(const json_t *value, uint64_t *out)
{
    const char *text = json_string_value(value);
    char *end = NULL;
    errno = 0;
    *out = text ? strtoull(text, &end, 10) : 0;
    return text && *text >= '0' && *text <= '9' && *end == '\0' && errno == 0;
}

static bool parse_declaring(const json_t *item, struct fs_snapshot_note *note)
{
    const json_t *before = json_object_get(item, "before");
    note->n_before = json_array_size(before);
    if (note->n_before > FS_SNAPSHOT_BEFORE_MAX)
        return false;
    for (size_t i = 0; i < note->n_before; i++)
        if (!parse_id(json_array_get(before, i), &note->before[i]))
            return false;
    return parse_hex(json_object_get(item, "request_id"), note->request_id, IC_REQUEST_ID_LEN) ==
               IC_REQUEST_ID_LEN &&
           parse_number(json_object_get(item, "expiry_ns"), &note->expiry_ns);
}

static bool parse_note(const json_t *item, struct fs_snapshot_note *note)
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
    if (parse_hex(json_object_get(item, "content"), note->content, IC_SHA256_LEN) !=
            IC_SHA256_LEN ||
        !parse_number(json_object_get(item, "n_sent"), &note->n_sent))
        return false;
    return note->state == FS_SNAPSHOT_DECLARING ? parse_declaring(item, note)
                                                : parse_id(json_object_get(item, "id"), &note->id);
}

static int parse(const json_t *root, struct fs_snapshot_notes *notes)
{
    size_t n = json_array_size(root);
    if (!json_is_array(root) || n > FS_SNAPSHOT_NOTES_MAX)
        return -EPROTO;
    notes->items = calloc(FS_SNAPSHOT_NOTES_MAX, sizeof(*notes->items));
    if (!notes->items)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++)
        if (!parse_note(json_array_get(root, i), &notes->items[i]))
            return -EPROTO;
    notes->n = n;
    return 0;
}

int fs_snapshot_notes_read(struct fs_snapshot_notes *notes, int dir_fd)
{
    struct stat st;
    *notes = (struct fs_snapshot_notes){0};
    int fd = openat(dir_fd, FILE_NAME, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    int result = fstat(fd, &st) < 0 ? -errno : 0;
    if (result == 0 && (uint64_t)st.st_size > FILE_MAX)
        result = -EPROTO;
    json_t *root = result == 0 ? json_loadfd(fd, 0, NULL) : NULL;
    close(fd);
    if (result == 0)
        result = root ? parse(root, notes) : -EPROTO;
    json_decref(root);
    if (result < 0)
        fs_snapshot_notes_fini(notes);
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

static int write_all(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, text, len);
        if (n < 0)
            return -errno;
        text += n;
        len -= (size_t)n;
    }
    return fsync(fd) < 0 ? -errno : 0;
}

static int put(int dir_fd, const char *text)
{
    int fd = openat(dir_fd, TEMP_NAME, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int result = write_all(fd, text, strlen(text));
    close(fd);
    if (result == 0 && renameat(dir_fd, TEMP_NAME, dir_fd, FILE_NAME) < 0)
        result = -errno;
    if (result == 0 && fsync(dir_fd) < 0)
        result = -errno;
    return result;
}

int fs_snapshot_notes_write(const struct fs_snapshot_notes *notes, int dir_fd)
{
    json_t *root = json_array();
    bool ok = root != NULL;
    for (size_t i = 0; ok && i < notes->n; i++) {
        json_t *object = json_object();
        ok = object && fill(object, &notes->items[i]);
        ok = json_array_append_new(root, object) == 0 && ok;
    }
    char *text = ok ? json_dumps(root, JSON_INDENT(1)) : NULL;
    int result = text ? put(dir_fd, text) : -ENOMEM;
    free(text);
    json_decref(root);
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
