/* The one table of options: their names, kinds, bounds, defaults and help. */
#ifndef CANISTERFS_FS_OPTION_TABLE_H
#define CANISTERFS_FS_OPTION_TABLE_H

#include "fs/option.h"

enum option_type {
    OPTION_TEXT,
    OPTION_FLAG,
    OPTION_COUNT,
    OPTION_SIZE, /* bytes; K, M, G, T are powers of 1024 */
    OPTION_TIME, /* nanoseconds; ms, s, m; a plain number is seconds */
    OPTION_MODE, /* permission bits, octal */
    OPTION_LOG_LEVEL,
    OPTION_CHOICE, /* the index of one of the words of value_name */
    OPTION_NETWORK,
    OPTION_PROXY,
};

struct option_row {
    const char *name;
    enum option_type type;
    size_t offset; /* in struct fs_options */
    const char *value_name;
    const char *fallback; /* the default, parsed like a given value; NULL: none */
    uint64_t min;
    uint64_t max;
    const char *help;
};

/* The i-th; NULL beyond the last. */
const struct option_row *option_table_at(size_t i);

/* That of a name, which need not end after name_len; NULL when there is none. */
const struct option_row *option_table_find(const char *name, size_t name_len)
    __attribute__((nonnull));

/* The one that a mistyped name was meant to be: at most two letters wrong, of short names one. NULL
 * when none is near. */
const struct option_row *option_table_find_near(const char *name, size_t name_len)
    __attribute__((nonnull));

#endif
