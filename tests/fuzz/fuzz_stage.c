/* Any bytes as the journal of a stage (the first byte is even), or as the records of one (odd:
 * kind, note, length of the payload, payload). A stage that is opened can be used, and opened
 * again. */
#include "cache/stage.h"
#include "cache/stage_journal.h"
#include "tests/fuzz/target.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define DATA_LEN 8192

static const struct source_io io = {.deadline_ns = INT64_MAX};

static void put_file(int dir_fd, const char *name, const void *bytes, size_t len, size_t size)
{
    int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    CLAIM(fd >= 0 && pwrite(fd, bytes, len, 0) == (ssize_t)len && ftruncate(fd, (off_t)size) == 0);
    close(fd);
}

static void put_records(int dir_fd, const uint8_t *data, size_t size)
{
    struct stage_journal journal;
    uint64_t off;
    CLAIM(stage_journal_create(&journal, dir_fd, "journal") == 0);
    while (size >= 3) {
        struct stage_record record = {
            .kind = data[0] % 4, .note = data[1], .len = data[2], .bytes = data + 3};
        if (record.len > size - 3)
            record.len = (uint32_t)(size - 3);
        CLAIM(stage_journal_append(&journal, &record, &off) == 0);
        data += 3 + record.len;
        size -= 3 + record.len;
    }
    stage_journal_close(&journal);
}

static int check_note(void *arg, const void *bytes, size_t len)
{
    unsigned *n = arg;
    (void)bytes;
    CLAIM(len <= STAGE_NOTE_MAX);
    ++*n;
    return 0;
}

static uint64_t walk(struct stage *stage)
{
    uint64_t staged = 0;
    uint64_t at = 0;
    struct stage_segment segment;
    while (stage_find(stage, at, &segment)) {
        uint8_t bytes[64];
        size_t len = segment.len < sizeof(bytes) ? (size_t)segment.len : sizeof(bytes);
        CLAIM(segment.off == at && segment.len > 0);
        CLAIM(stage_read(stage, NULL, 1, at, bytes, len, &io) ==
              (segment.kind == STAGE_BASE ? -EINVAL : 0));
        staged += segment.kind == STAGE_STAGED ? segment.len : 0;
        at += segment.len;
    }
    CLAIM(at == stage_size(stage) && staged == stage_staged(stage) && staged <= DATA_LEN);
    return at;
}

static void use(struct stage *stage, int dir_fd, const char *name)
{
    unsigned n = 0;
    uint64_t size = walk(stage);
    CLAIM(strlen(stage_get_purpose(stage)->target) < STAGE_TARGET_MAX);
    for (uint32_t kind = 1; kind < 256; kind++)
        CLAIM(stage_for_each_note(stage, kind, check_note, &n) == 0);
    CLAIM(stage_write(stage, 100, "abc", 3) == 0);
    CLAIM(stage_note(stage, 300, "def", 3) == 0);
    size = size < 103 ? 103 : size;
    CLAIM(walk(stage) == size);
    stage_close(stage);

    void *note;
    size_t len;
    CLAIM(stage_open(&stage, dir_fd, name) == 0);
    CLAIM(walk(stage) == size);
    CLAIM(stage_get_note(stage, 300, &note, &len) == 0 && len == 3 && !memcmp(note, "def", 3));
    free(note);
    CLAIM(stage_remove(stage) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[] = "/dev/shm/canisterfs-fuzz-stage-XXXXXX";
    struct stage *stage;
    if (size == 0)
        return 0;
    CLAIM(mkdtemp(path));
    int parent_fd = open("/dev/shm", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const char *name = path + strlen("/dev/shm/");
    put_file(dir_fd, "data", "", 0, DATA_LEN);
    if (data[0] % 2)
        put_records(dir_fd, data + 1, size - 1);
    else
        put_file(dir_fd, "journal", data + 1, size - 1, size - 1);
    int result = stage_open(&stage, parent_fd, name);
    CLAIM(result == 0 || result == -EPROTO);
    if (result == 0) {
        use(stage, parent_fd, name);
    } else {
        CLAIM(unlinkat(dir_fd, "data", 0) == 0 && unlinkat(dir_fd, "journal", 0) == 0);
        CLAIM(rmdir(path) == 0);
    }
    close(dir_fd);
    close(parent_fd);
    return 0;
}
