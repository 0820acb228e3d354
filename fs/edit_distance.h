/* How far apart two words are, for "did you mean". */
#ifndef CANISTERFS_FS_EDIT_DISTANCE_H
#define CANISTERFS_FS_EDIT_DISTANCE_H

#include <stddef.h>

/* Longer words are far from everything. */
#define FS_EDIT_MAX 31

/* Bytes to insert, delete or replace to make `word` of the first `len` bytes of `text`; SIZE_MAX
 * when either is longer than FS_EDIT_MAX. Source: the Levenshtein distance. */
size_t fs_edit_distance(const char *text, size_t len, const char *word)
    __attribute__((nonnull, pure));

#endif
