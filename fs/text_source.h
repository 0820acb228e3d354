/* A text that never changes, as a source. */
#ifndef CANISTERFS_FS_TEXT_SOURCE_H
#define CANISTERFS_FS_TEXT_SOURCE_H

#include "cache/source.h"

/* text  borrowed until the source is closed. Returns 0 or -ENOMEM. */
int fs_text_source_open(struct source **out, const char *text, size_t len, int64_t mtime_ns)
    __attribute__((warn_unused_result, nonnull));

#endif
