/* Lines of contents that were seen: see seen_line.h. */
#include "fs/seen_line.h"

#include <string.h>

#define TIME_DIGITS  19
#define CHECK_DIGITS 16
#define CHECK_AT     (FS_SEEN_LINE - 1 - CHECK_DIGITS)

static uint64_t fnv_1a(const char *text, size_t len)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (uint8_t)text[i]) * UINT64_C(0x100000001b3);
    return hash;
}

/* Write a number with leading zeros. */
static char *put_number(char *to, uint64_t number, unsigned base, size_t n_digits)
{
    for (size_t i = n_digits; i-- > 0; number /= base)
        to[i] = "0123456789abcdef"[number % base];
    return to + n_digits;
}

static char *put_key(char *to, const uint8_t key[FS_SEEN_KEY])
{
    *to++ = ' ';
    for (size_t i = 0; i < FS_SEEN_KEY; i++)
        to = put_number(to, key[i], 16, 2);
    return to;
}

void fs_seen_line_format(const struct fs_seen_line *line, char out[FS_SEEN_LINE])
{
    char *to = put_number(out, (uint64_t)line->time_ns, 10, TIME_DIGITS);
    to = put_key(to, line->path);
    to = put_key(to, line->hash);
    *to++ = ' ';
    to = put_number(to, fnv_1a(out, CHECK_AT), 16, CHECK_DIGITS);
    *to = '\n';
}

static unsigned digit_of(char c)
{
    return c >= '0' && c <= '9'   ? (unsigned)(c - '0')
           : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                                  : 16;
}

static void get_key(const char *text, uint8_t key[FS_SEEN_KEY])
{
    for (size_t i = 0; i < FS_SEEN_KEY; i++)
        key[i] = (uint8_t)(digit_of(text[2 * i]) * 16 + digit_of(text[2 * i + 1]));
}

/* text: FS_SEEN_LINE bytes, the newline included */
static bool parse(const char *text, struct fs_seen_line *line)
{
    char again[FS_SEEN_LINE];
    uint64_t time_ns = 0;
    for (size_t i = 0; i < TIME_DIGITS; i++)
        time_ns = time_ns * 10 + digit_of(text[i]) % 10;
    if (time_ns == 0 || time_ns > (uint64_t)FS_SEEN_TIME_MAX)
        return false;
    line->time_ns = (int64_t)time_ns;
    get_key(text + TIME_DIGITS + 1, line->path);
    get_key(text + TIME_DIGITS + 1 + 2 * FS_SEEN_KEY + 1, line->hash);
    /* Digits were taken for granted: only what says the same again was a line. */
    fs_seen_line_format(line, again);
    return memcmp(text, again, FS_SEEN_LINE) == 0;
}

size_t fs_seen_line_for_each(const char *bytes, size_t len,
                             bool (*take)(void *arg, const struct fs_seen_line *line), void *arg)
{
    size_t done = 0;
    const char *end;
    while (done < len && (end = memchr(bytes + done, '\n', len - done))) {
        size_t next = (size_t)(end - bytes) + 1;
        struct fs_seen_line line;
        bool is_line = next - done >= FS_SEEN_LINE && parse(bytes + next - FS_SEEN_LINE, &line);
        done = next;
        if (is_line && !take(arg, &line))
            break;
    }
    return done;
}
