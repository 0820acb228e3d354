/* The notes of uploads: what is written is read, whatever else is there is refused. */
#include "fs/snapshot_note.h"
#include "tests/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TAP_STATE;

#define CHECK(cond) TAP_OK((cond), #cond)

static struct ic_snapshot_id id_of(uint8_t byte, size_t len)
{
    struct ic_snapshot_id id = {.len = (uint8_t)len};
    memset(id.bytes, byte, len);
    return id;
}

static struct fs_snapshot_note *add(struct fs_snapshot_notes *notes, const char *name,
                                    enum fs_snapshot_note_state state)
{
    struct fs_snapshot_note *note;
    if (fs_snapshot_notes_add(notes, &note) < 0)
        return NULL;
    snprintf(note->name, sizeof(note->name), "%s", name);
    note->state = state;
    memset(note->content, 0x5a, sizeof(note->content));
    note->n_sent = UINT64_MAX;
    if (state != FS_SNAPSHOT_DECLARING) {
        note->id = id_of(0xfe, 18);
        return note;
    }
    memset(note->request_id, 0xa5, sizeof(note->request_id));
    note->expiry_ns = 1790000000123456789;
    return note;
}

static bool is_same_note(const struct fs_snapshot_note *a, const struct fs_snapshot_note *b)
{
    bool result = strcmp(a->name, b->name) == 0 && a->state == b->state &&
                  memcmp(a->content, b->content, sizeof(a->content)) == 0 && a->n_sent == b->n_sent;
    if (a->state != FS_SNAPSHOT_DECLARING)
        return result && ic_snapshot_id_is_equal(&a->id, &b->id);
    for (size_t i = 0; result && i < a->n_before; i++)
        result = ic_snapshot_id_is_equal(&a->before[i], &b->before[i]);
    return result && a->n_before == b->n_before && a->expiry_ns == b->expiry_ns &&
           memcmp(a->request_id, b->request_id, sizeof(a->request_id)) == 0;
}

static bool is_same(const struct fs_snapshot_notes *a, const struct fs_snapshot_notes *b)
{
    bool result = a->n == b->n;
    for (size_t i = 0; result && i < a->n; i++)
        result = is_same_note(&a->items[i], &b->items[i]);
    return result;
}

/* One of each state, with names that JSON writes in another way. */
static struct fs_snapshot_notes some(void)
{
    struct fs_snapshot_notes notes = {0};
    struct fs_snapshot_note *note = add(&notes, "a \"b\" \\c\n\xc3\xa4", FS_SNAPSHOT_DECLARING);
    note->n_before = FS_SNAPSHOT_BEFORE_MAX;
    for (size_t i = 0; i < FS_SNAPSHOT_BEFORE_MAX; i++)
        note->before[i] = id_of((uint8_t)i, i + 1);
    (void)add(&notes, "none before", FS_SNAPSHOT_DECLARING);
    (void)add(&notes, "s", FS_SNAPSHOT_SENDING);
    note = add(&notes, "s", FS_SNAPSHOT_VERIFIED); /* of before */
    note->id = id_of(7, IC_SNAPSHOT_ID_MAX);
    (void)add(&notes, "s", FS_SNAPSHOT_VERIFIED);
    return notes;
}

static void test_text(void)
{
    struct fs_snapshot_notes notes = some();
    struct fs_snapshot_notes got = {0};
    char *text = fs_snapshot_notes_format(&notes);
    size_t len = strlen(text);
    size_t n_taken = 0;
    CHECK(fs_snapshot_notes_parse(&got, text, len) == 0 && is_same(&got, &notes));
    fs_snapshot_notes_fini(&got);
    for (size_t cut = 0; cut < len - 1; cut++) /* the last is a newline or ] */
        n_taken += fs_snapshot_notes_parse(&got, text, cut) != -EPROTO;
    TAP_INT((int64_t)n_taken, 0, "no part of it is taken for all of it");
    for (size_t i = 0; i < len; i++) {
        char was = text[i];
        text[i] = '\0';
        n_taken += fs_snapshot_notes_parse(&got, text, len) != -EPROTO;
        text[i] = was;
    }
    TAP_INT((int64_t)n_taken, 0, "nor with a byte that is zero");
    free(text);
    fs_snapshot_notes_fini(&notes);
    text = fs_snapshot_notes_format(&notes);
    CHECK(fs_snapshot_notes_parse(&got, text, strlen(text)) == 0 && got.n == 0);
    fs_snapshot_notes_fini(&got);
    free(text);
}

/* --- refused --- */

#define X32     "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define COMMON  "\"name\": \"n\", \"content\": \"" X32 "\", \"n_sent\": \"1\""
#define CALL    "\"request_id\": \"" X32 "\", \"expiry_ns\": \"5\""
#define SENDING "{" COMMON ", \"state\": \"sending\", \"id\": \"01\"}"

static int parse(const char *text)
{
    struct fs_snapshot_notes got = {0};
    int result = fs_snapshot_notes_parse(&got, text, strlen(text));
    fs_snapshot_notes_fini(&got);
    return result;
}

static void test_refused(void)
{
    static const char *const good[] = {
        "[]",
        "[" SENDING "]",
        "[{" COMMON ", " CALL ", \"state\": \"declaring\", \"before\": []}]",
        "[{" COMMON ", " CALL ", \"state\": \"declaring\", \"before\": [\"00\"]}]",
        "[" SENDING ", {" COMMON ", \"state\": \"verified\", \"id\": \"01\"}]",
    };
    static const char *const bad[] = {
        "",
        "{}",
        "1",
        "null",
        "[1]",
        "[[]]",
        "[{}]",
        "[] []",
        "[" SENDING,
        "[" SENDING "] x",
        /* another version's */
        "{\"version\": 2, \"uploads\": []}",
        "[{" COMMON ", \"state\": \"paused\", \"id\": \"01\"}]",
        /* what is missing */
        "[{" COMMON ", \"id\": \"01\"}]",
        "[{" COMMON ", \"state\": \"sending\"}]",
        "[{\"content\": \"" X32 "\", \"n_sent\": \"1\", \"state\": \"sending\", \"id\": \"01\"}]",
        "[{\"name\": \"n\", \"n_sent\": \"1\", \"state\": \"sending\", \"id\": \"01\"}]",
        "[{\"name\": \"n\", \"content\": \"" X32 "\", \"state\": \"sending\", \"id\": \"01\"}]",
        "[{" COMMON ", " CALL ", \"state\": \"declaring\"}]",
        "[{" COMMON ", \"expiry_ns\": \"5\", \"state\": \"declaring\", \"before\": []}]",
        "[{" COMMON ", \"request_id\": \"" X32 "\", \"state\": \"declaring\", \"before\": []}]",
        /* of another kind */
        "[{" COMMON ", " CALL ", \"state\": \"declaring\", \"before\": {}}]",
        "[{" COMMON ", " CALL ", \"state\": \"declaring\", \"before\": [\"\"]}]",
        "[{" COMMON ", " CALL ", \"state\": \"declaring\", \"before\": [1]}]",
        "[{" COMMON ", \"state\": \"sending\", \"id\": \"\"}]",
        "[{" COMMON ", \"state\": \"sending\", \"id\": \"0\"}]",
        "[{" COMMON ", \"state\": \"sending\", \"id\": \"0G\"}]",
        "[{" COMMON ", \"state\": \"sending\", \"id\": \"AA\"}]",
        "[{" COMMON ", \"state\": \"sending\", \"id\": 1}]",
        "[{" COMMON ", \"state\": \"sending\", \"id\": \"" X32 X32 "00\"}]",
        "[{\"name\": \"n\", \"content\": \"" X32 "\", \"n_sent\": 1, \"state\": \"sending\", "
        "\"id\": \"01\"}]",
        "[{\"name\": \"n\", \"content\": \"" X32 "\", \"n_sent\": \"-1\", \"state\": \"sending\", "
        "\"id\": \"01\"}]",
        "[{\"name\": \"n\", \"content\": \"" X32 "\", \"n_sent\": \"18446744073709551616\", "
        "\"state\": \"sending\", \"id\": \"01\"}]",
        "[{\"name\": \"n\", \"content\": \"00\", \"n_sent\": \"1\", \"state\": \"sending\", "
        "\"id\": "
        "\"01\"}]",
        "[{\"name\": \"a\\u0000b\", \"content\": \"" X32 "\", \"n_sent\": \"1\", \"state\": "
        "\"sending\", \"id\": \"01\"}]",
        /* what cannot be */
        "[{" COMMON ", \"name\": \"m\", \"state\": \"sending\", \"id\": \"01\"}]",
        "[" SENDING ", " SENDING "]",
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        TAP_INT(parse(good[i]), 0, good[i]);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        TAP_INT(parse(bad[i]), -EPROTO, bad[i]);

    char name[FS_NAME_SIZE + 1];
    char text[1000];
    for (size_t len = FS_NAME_SIZE - 1; len <= FS_NAME_SIZE; len++) {
        memset(name, 'x', len);
        name[len] = '\0';
        snprintf(text, sizeof(text),
                 "[{\"name\": \"%s\", \"content\": \"" X32 "\", \"n_sent\": \"1\", \"state\": "
                 "\"sending\", \"id\": \"01\"}]",
                 name);
        CHECK(parse(text) == (len < FS_NAME_SIZE ? 0 : -EPROTO));
    }
}

/* --- how many --- */

static void test_limits(void)
{
    struct fs_snapshot_notes notes = {0};
    struct fs_snapshot_note *note;
    char name[32];
    (void)add(&notes, "first", FS_SNAPSHOT_SENDING);
    for (int i = 1; i < FS_SNAPSHOT_NOTES_MAX; i++) {
        snprintf(name, sizeof(name), "v%d", i);
        (void)add(&notes, name, FS_SNAPSHOT_VERIFIED);
    }
    CHECK(notes.n == FS_SNAPSHOT_NOTES_MAX);
    CHECK(add(&notes, "more", FS_SNAPSHOT_SENDING) != NULL && notes.n == FS_SNAPSHOT_NOTES_MAX);
    TAP_STR(notes.items[0].name, "first", "what is not finished is kept");
    TAP_STR(notes.items[1].name, "v2", "of those that are the oldest makes room");
    CHECK(fs_snapshot_notes_find(&notes, "more") == &notes.items[FS_SNAPSHOT_NOTES_MAX - 1]);
    CHECK(fs_snapshot_notes_find(&notes, "v2") == NULL);
    for (size_t i = 0; i < notes.n; i++) {
        snprintf(notes.items[i].name, sizeof(notes.items[i].name), "n%zu", i);
        notes.items[i].state = FS_SNAPSHOT_DECLARING;
    }
    CHECK(fs_snapshot_notes_add(&notes, &note) == -ENOSPC && notes.n == FS_SNAPSHOT_NOTES_MAX);

    /* The largest that there can be is read again. */
    for (size_t i = 0; i < notes.n; i++) {
        note = &notes.items[i];
        memset(note->name, '\1', sizeof(note->name) - 1);
        snprintf(name, sizeof(name), "%02zu", i);
        memcpy(note->name, name, 2);
        note->expiry_ns = UINT64_MAX;
        note->n_before = FS_SNAPSHOT_BEFORE_MAX;
        for (size_t k = 0; k < FS_SNAPSHOT_BEFORE_MAX; k++)
            note->before[k] = id_of(0xff, IC_SNAPSHOT_ID_MAX);
    }
    char path[] = "/tmp/test_snapshot_note.XXXXXX";
    struct fs_snapshot_notes got;
    CHECK(mkdtemp(path) != NULL);
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(fs_snapshot_notes_write(&notes, dir) == 0);
    CHECK(fs_snapshot_notes_read(&got, dir) == 0 && is_same(&got, &notes));
    fs_snapshot_notes_fini(&got);
    fs_snapshot_notes_fini(&notes);
    CHECK(unlinkat(dir, "uploads", 0) == 0 && close(dir) == 0 && rmdir(path) == 0);

    char *many = malloc(100000);
    size_t len = 0;
    for (int i = 0; i <= FS_SNAPSHOT_NOTES_MAX; i++)
        len +=
            (size_t)sprintf(many + len, "%c{" COMMON ", \"state\": \"verified\", \"id\": \"01\"}",
                            i == 0 ? '[' : ',');
    memcpy(many + len, "]", 2);
    CHECK(parse(many) == -EPROTO);
    free(many);
}

static void test_list(void)
{
    struct fs_snapshot_notes notes = some();
    const struct ic_snapshot_id id = id_of(7, IC_SNAPSHOT_ID_MAX);
    const struct ic_snapshot_id other = id_of(7, IC_SNAPSHOT_ID_MAX - 1);
    CHECK(fs_snapshot_notes_find(&notes, "s") == &notes.items[2]);
    CHECK(fs_snapshot_notes_find(&notes, "S") == NULL);
    CHECK(fs_snapshot_notes_find_id(&notes, &id) == &notes.items[3]);
    CHECK(fs_snapshot_notes_find_id(&notes, &other) == NULL);
    fs_snapshot_notes_remove(&notes, &notes.items[2]);
    CHECK(notes.n == 4 && fs_snapshot_notes_find(&notes, "s") == NULL);
    CHECK(fs_snapshot_notes_find_id(&notes, &id) == &notes.items[2]);
    fs_snapshot_notes_remove(&notes, &notes.items[3]);
    CHECK(notes.n == 3);
    fs_snapshot_notes_fini(&notes);
}

/* --- the file --- */

static void put(int dir, const char *text, size_t len)
{
    int fd = openat(dir, "uploads", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && write(fd, text, len) == (ssize_t)len && close(fd) == 0);
}

static void test_file(void)
{
    char path[] = "/tmp/test_snapshot_note.XXXXXX";
    struct fs_snapshot_notes notes = some();
    struct fs_snapshot_notes got;
    CHECK(mkdtemp(path) != NULL);
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(fs_snapshot_notes_read(&got, dir) == 0 && got.n == 0);
    CHECK(fs_snapshot_notes_write(&notes, dir) == 0);
    CHECK(faccessat(dir, "uploads.new", F_OK, 0) < 0);
    CHECK(fs_snapshot_notes_read(&got, dir) == 0 && is_same(&got, &notes));
    fs_snapshot_notes_fini(&got);
    /* One that cannot be written leaves what was there. */
    CHECK(mkdirat(dir, "uploads.new", 0700) == 0);
    fs_snapshot_notes_remove(&notes, &notes.items[0]);
    CHECK(fs_snapshot_notes_write(&notes, dir) < 0);
    CHECK(fs_snapshot_notes_read(&got, dir) == 0 && got.n == notes.n + 1);
    fs_snapshot_notes_fini(&got);
    CHECK(unlinkat(dir, "uploads.new", AT_REMOVEDIR) == 0);

    put(dir, "", 0);
    CHECK(fs_snapshot_notes_read(&got, dir) == -EPROTO && got.n == 0 && !got.items);
    char *much = malloc(3 << 20);
    memset(much, ' ', 3 << 20);
    much[0] = '[';
    much[(3 << 20) - 1] = ']';
    put(dir, much, 3 << 20);
    CHECK(fs_snapshot_notes_read(&got, dir) == -EPROTO);
    memset(much, '[', 3 << 20);
    put(dir, much, 1 << 20);
    CHECK(fs_snapshot_notes_read(&got, dir) == -EPROTO);
    free(much);
    /* Nothing that is no file is waited for. */
    CHECK(unlinkat(dir, "uploads", 0) == 0 && mkfifoat(dir, "uploads", 0600) == 0);
    CHECK(fs_snapshot_notes_read(&got, dir) == -EPROTO);
    CHECK(unlinkat(dir, "uploads", 0) == 0 && symlinkat("x", dir, "uploads") == 0);
    CHECK(fs_snapshot_notes_read(&got, dir) == -ELOOP);
    CHECK(unlinkat(dir, "uploads", 0) == 0 && close(dir) == 0 && rmdir(path) == 0);
    fs_snapshot_notes_fini(&notes);
}

static void test_id(void)
{
    struct ic_snapshot_id id = id_of(9, 3);
    char text[FS_SNAPSHOT_ID_TEXT];
    fs_snapshot_id_format(&id, text);
    TAP_STR(text, "090909", "an id as text");
    CHECK(!fs_snapshot_id_parse("", &id) && !fs_snapshot_id_parse("0", &id));
    CHECK(!fs_snapshot_id_parse("0 ", &id) && !fs_snapshot_id_parse("AB", &id));
    CHECK(!fs_snapshot_id_parse("0x12", &id) && !fs_snapshot_id_parse("12 ", &id));
    CHECK(!fs_snapshot_id_parse(X32 X32 "00", &id) && id.len == 3);
    CHECK(fs_snapshot_id_parse(X32 X32, &id) && id.len == IC_SNAPSHOT_ID_MAX);
    fs_snapshot_id_format(&id, text);
    TAP_STR(text, X32 X32, "the longest");
    CHECK(fs_snapshot_id_parse("0aff", &id) && id.len == 2 && id.bytes[0] == 10);
}

int main(void)
{
    test_text();
    test_refused();
    test_limits();
    test_list();
    test_file();
    test_id();
    return tap_done();
}
