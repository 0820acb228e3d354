#include "fs/option_value.h"

#include "fs/log.h"
#include "fs/url.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_NS UINT64_C(1000000000)
#define MEBIBYTE  (UINT64_C(1) << 20)

bool option_value_is_text(const struct option_row *row)
{
    return row->type == OPTION_TEXT || row->type == OPTION_NETWORK || row->type == OPTION_PROXY;
}

/* A decimal (modes: octal) number with one of the suffixes; false on anything else, overflow
 * included. */
static bool parse_number(const char *text, const struct option_row *row, uint64_t *out)
{
    static const struct {
        enum option_type type;
        const char *suffix;
        uint64_t factor;
    } suffixes[] = {
        {OPTION_COUNT, "", 1},
        {OPTION_MODE, "", 1},
        {OPTION_SIZE, "", 1},
        {OPTION_SIZE, "K", UINT64_C(1) << 10},
        {OPTION_SIZE, "M", UINT64_C(1) << 20},
        {OPTION_SIZE, "G", UINT64_C(1) << 30},
        {OPTION_SIZE, "T", UINT64_C(1) << 40},
        {OPTION_TIME, "", SECOND_NS},
        {OPTION_TIME, "ms", 1000000},
        {OPTION_TIME, "s", SECOND_NS},
        {OPTION_TIME, "m", 60 * SECOND_NS},
    };
    if (text[0] < '0' || text[0] > '9')
        return false;
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, row->type == OPTION_MODE ? 8 : 10);
    if (errno != 0)
        return false;
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        if (suffixes[i].type != row->type || strcmp(suffixes[i].suffix, end) != 0)
            continue;
        uint64_t value;
        if (__builtin_mul_overflow((uint64_t)number, suffixes[i].factor, &value))
            return false;
        if (value < row->min || value > row->max)
            return false;
        *out = value;
        return true;
    }
    return false;
}

/* Which of the words between the bars of value_name? */
static bool parse_choice(const char *text, const struct option_row *row, uint64_t *out)
{
    size_t len = strlen(text);
    uint64_t index = 0;
    for (const char *word = row->value_name;; index++) {
        size_t word_len = strcspn(word, "|");
        if (word_len == len && strncmp(word, text, len) == 0) {
            *out = index;
            return true;
        }
        if (word[word_len] == '\0')
            return false;
        word += word_len + 1;
    }
}

/* "auto or manual"; "off, manual or auto" */
static void describe_choice(const struct option_row *row, char *buf, size_t size)
{
    size_t used = 0;
    for (const char *at = row->value_name; *at && used + 4 < size; at++) {
        const char *between = strchr(at + 1, '|') ? ", " : " or ";
        if (*at == '|')
            used += (size_t)snprintf(buf + used, size - used, "%s", between);
        else
            buf[used++] = *at;
    }
    buf[used] = '\0';
}

#define BOUND_TEXT 24 /* 20 digits, a unit and the end */

/* A bound as it can be given. */
static void format_bound(const struct option_row *row, uint64_t value, char out[BOUND_TEXT])
{
    static const uint64_t gibibyte = 1024 * MEBIBYTE;
    if (row->type == OPTION_SIZE && value % gibibyte == 0)
        snprintf(out, BOUND_TEXT, "%lluG", (unsigned long long)(value / gibibyte));
    else if (row->type == OPTION_SIZE)
        snprintf(out, BOUND_TEXT, "%lluM", (unsigned long long)(value / MEBIBYTE));
    else if (row->type == OPTION_TIME && value % SECOND_NS == 0)
        snprintf(out, BOUND_TEXT, "%llus", (unsigned long long)(value / SECOND_NS));
    else if (row->type == OPTION_TIME)
        snprintf(out, BOUND_TEXT, "%llums", (unsigned long long)(value / 1000000));
    else
        snprintf(out, BOUND_TEXT, row->type == OPTION_MODE ? "%llo" : "%llu",
                 (unsigned long long)value);
}

void option_value_format_range(const struct option_row *row, char out[FS_RANGE_TEXT])
{
    char min[BOUND_TEXT], max[BOUND_TEXT];
    format_bound(row, row->min, min);
    format_bound(row, row->max, max);
    snprintf(out, FS_RANGE_TEXT, "%s to %s", min, max);
}

static void describe_range(const struct option_row *row, char *buf, size_t size)
{
    char range[FS_RANGE_TEXT];
    option_value_format_range(row, range);
    if (row->type == OPTION_LOG_LEVEL)
        snprintf(buf, size, "error, warning, info, debug or trace");
    else if (row->type == OPTION_CHOICE)
        describe_choice(row, buf, size);
    else if (row->type == OPTION_SIZE || row->type == OPTION_TIME)
        snprintf(buf, size, "a %s from %s, such as %s", row->type == OPTION_SIZE ? "size" : "time",
                 range, row->fallback);
    else if (row->type == OPTION_MODE)
        snprintf(buf, size, "an octal number from %s, such as 077", range);
    else
        snprintf(buf, size, "a number from %s", range);
}

static enum fs_exit set_text(char **slot, const char *value, char *message, size_t message_size)
{
    char *copy = strdup(value);
    if (!copy) {
        snprintf(message, message_size, "out of memory");
        return FS_EXIT_CONFIG;
    }
    free(*slot);
    *slot = copy;
    return FS_EXIT_OK;
}

enum fs_exit option_value_set(struct fs_options *options, const struct option_row *row,
                              const char *value, char *message, size_t message_size)
{
    char *base = (char *)options + row->offset;
    if (row->type == OPTION_FLAG) {
        if (value) {
            snprintf(message, message_size, "option '%s' takes no value", row->name);
            return FS_EXIT_USAGE;
        }
        *(bool *)(void *)base = true;
        return FS_EXIT_OK;
    }
    if (!value || !*value) {
        snprintf(message, message_size, "option '%s' needs a value: %s=%s", row->name, row->name,
                 row->value_name);
        return FS_EXIT_USAGE;
    }
    if (row->type == OPTION_NETWORK && !fs_url_is_network(value)) {
        /* Without the value: it may hold a password. */
        snprintf(message, message_size,
                 "option '%s': not ic, local, or a URL such as https://host:8000 (http or https, "
                 "no user, no password)",
                 row->name);
        return FS_EXIT_USAGE;
    }
    if (row->type == OPTION_PROXY && !fs_url_is_proxy(value)) {
        snprintf(
            message, message_size,
            "option '%s': not none, or a URL such as http://host:3128 (http or https, no user, "
            "no password: these go into the environment)",
            row->name);
        return FS_EXIT_USAGE;
    }
    if (option_value_is_text(row))
        return set_text((char **)(void *)base, value, message, message_size);
    uint64_t number;
    bool ok = row->type == OPTION_LOG_LEVEL ? fs_log_parse_level(value, &number)
              : row->type == OPTION_CHOICE  ? parse_choice(value, row, &number)
                                            : parse_number(value, row, &number);
    if (!ok) {
        char range[128];
        describe_range(row, range, sizeof(range));
        snprintf(message, message_size, "option '%s': '%s' is not %s", row->name, value, range);
        return FS_EXIT_USAGE;
    }
    *(uint64_t *)(void *)base = number;
    return FS_EXIT_OK;
}
