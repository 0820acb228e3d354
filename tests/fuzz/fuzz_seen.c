/* Any bytes as the file of contents that were seen: what is taken for a line is one. */
#include "fs/seen_line.h"
#include "tests/fuzz/target.h"

#include <string.h>

struct found {
    const char *bytes;
    size_t len;
    size_t n;
    size_t n_max;
};

static bool take(void *arg, const struct fs_seen_line *line)
{
    struct found *found = arg;
    char text[FS_SEEN_LINE];
    CLAIM(line->time_ns > 0 && line->time_ns <= FS_SEEN_TIME_MAX);
    fs_seen_line_format(line, text);
    CLAIM(memmem(found->bytes, found->len, text, sizeof(text)));
    return ++found->n < found->n_max;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct found found = {.bytes = (const char *)data, .len = size, .n_max = SIZE_MAX};
    size_t done = fs_seen_line_for_each(found.bytes, size, take, &found);
    CLAIM(done <= size && (done == 0 || data[done - 1] == '\n'));
    CLAIM(!memchr(data + done, '\n', size - done));
    CLAIM(found.n <= done / FS_SEEN_LINE);

    /* What stops at a line goes on behind it. */
    struct found one = {.bytes = found.bytes, .len = size};
    for (size_t off = 0; off < done;) {
        one.n_max = one.n + 1;
        off += fs_seen_line_for_each(found.bytes + off, done - off, take, &one);
    }
    CLAIM(one.n == found.n);

    /* Whatever it holds becomes a line that is understood. */
    struct fs_seen_line line = {.time_ns = 1};
    char text[FS_SEEN_LINE];
    memcpy(line.path, data, size < FS_SEEN_KEY ? size : FS_SEEN_KEY);
    for (size_t i = 0; i < size && i < 7; i++)
        line.time_ns = line.time_ns * 256 + data[i];
    fs_seen_line_format(&line, text);
    found = (struct found){.bytes = text, .len = sizeof(text), .n_max = SIZE_MAX};
    CLAIM(fs_seen_line_for_each(text, sizeof(text), take, &found) == sizeof(text) && found.n == 1);
    return 0;
}
