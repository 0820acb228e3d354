/* The note of a downtime: what is written is read, whatever else is there is refused. */
#include "fs/downtime_note.h"
#include "tests/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TAP_STATE;

#define CHECK(cond) TAP_OK((cond), #cond)

static const struct fs_downtime_note sample = {
    .was_running = true,
    .since_ns = 1790000000123456789,
    .purpose = "snapshot load 0011 --running",
    .method = "load_canister_snapshot",
    .request_id = {1, 2, 0xfe, 0xff},
    .expiry_ns = UINT64_MAX,
};

static bool is_same(const struct fs_downtime_note *a, const struct fs_downtime_note *b)
{
    return a->was_running == b->was_running && a->since_ns == b->since_ns &&
           strcmp(a->purpose, b->purpose) == 0 && strcmp(a->method, b->method) == 0 &&
           memcmp(a->request_id, b->request_id, sizeof(a->request_id)) == 0 &&
           a->expiry_ns == b->expiry_ns;
}

static void test_text(void)
{
    char text[FS_DOWNTIME_NOTE_MAX];
    struct fs_downtime_note got;
    size_t len = fs_downtime_note_format(&sample, text);
    CHECK(fs_downtime_note_parse(text, len, &got) == 0 && is_same(&got, &sample));
    for (size_t cut = 0; cut < len; cut++)
        CHECK(fs_downtime_note_parse(text, cut, &got) == -EPROTO);
    for (size_t i = 0; i < len; i++) {
        char other[FS_DOWNTIME_NOTE_MAX];
        memcpy(other, text, len);
        other[i] = '\0';
        CHECK(fs_downtime_note_parse(other, len, &got) == -EPROTO);
    }

    struct fs_downtime_note none = {.purpose = "upgrade /a/b"};
    len = fs_downtime_note_format(&none, text);
    CHECK(fs_downtime_note_parse(text, len, &got) == 0 && is_same(&got, &none));

    struct fs_downtime_note longest = sample;
    memset(longest.purpose, 'x', sizeof(longest.purpose) - 1);
    longest.purpose[sizeof(longest.purpose) - 1] = '\0';
    memset(longest.method, 'y', sizeof(longest.method) - 1);
    len = fs_downtime_note_format(&longest, text);
    CHECK(len < FS_DOWNTIME_NOTE_MAX);
    CHECK(fs_downtime_note_parse(text, len, &got) == 0 && is_same(&got, &longest));
}

static void test_refused(void)
{
    static const char *const texts[] = {
        "",
        "canisterfs downtime 2\nrunning 1 x\nnone\n",
        "canisterfs downtime 1\nrunning 1 x\nnone",
        "canisterfs downtime 1\nrunning 1 x\nnone\n\n",
        "canisterfs downtime 1\nwalking 1 x\nnone\n",
        "canisterfs downtime 1\nrunning -1 x\nnone\n",
        "canisterfs downtime 1\nrunning 9223372036854775808 x\nnone\n",
        "canisterfs downtime 1\nrunning 1\nnone\n",
        "canisterfs downtime 1\nrunning 1 x\nnothing\n",
        "canisterfs downtime 1\nrunning 1 x\ncall m 00 1\n",
        "canisterfs downtime 1\nrunning 1 x\ncall  "
        "0000000000000000000000000000000000000000000000000000000000000000 1\n",
        "canisterfs downtime 1\nrunning 1 x\ncall m "
        "000000000000000000000000000000000000000000000000000000000000000G 1\n",
        "canisterfs downtime 1\nrunning 1 x\ncall m "
        "0000000000000000000000000000000000000000000000000000000000000000\n",
        "canisterfs downtime 1\nrunning 1 x\ncall m "
        "0000000000000000000000000000000000000000000000000000000000000000 1 2\n",
    };
    struct fs_downtime_note got;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        CHECK(fs_downtime_note_parse(texts[i], strlen(texts[i]), &got) == -EPROTO);
}

static void test_file(void)
{
    char path[] = "/tmp/test_downtime_note.XXXXXX";
    struct fs_downtime_note got;
    struct fs_downtime_note other = sample;
    CHECK(mkdtemp(path) != NULL);
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(fs_downtime_note_read(dir, &got) == -ENOENT);
    CHECK(fs_downtime_note_remove(dir) == 0);
    CHECK(fs_downtime_note_write(dir, &sample) == 0);
    CHECK(fs_downtime_note_read(dir, &got) == 0 && is_same(&got, &sample));
    other.method[0] = '\0';
    memset(other.request_id, 0, sizeof(other.request_id));
    other.expiry_ns = 0;
    CHECK(fs_downtime_note_write(dir, &other) == 0);
    CHECK(fs_downtime_note_read(dir, &got) == 0 && is_same(&got, &other));
    CHECK(fs_downtime_note_remove(dir) == 0);
    CHECK(fs_downtime_note_read(dir, &got) == -ENOENT);
    int fd = openat(dir, "downtime", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && write(fd, "x", 1) == 1 && close(fd) == 0);
    CHECK(fs_downtime_note_read(dir, &got) == -EPROTO);
    CHECK(fs_downtime_note_remove(dir) == 0);
    close(dir);
    CHECK(rmdir(path) == 0);
}

int main(void)
{
    test_text();
    test_refused();
    test_file();
    return tap_done();
}
