/* Whole small files: configuration that others wrote. Not for secrets: the text is not wiped. */
#ifndef CANISTERFS_FS_SMALL_FILE_H
#define CANISTERFS_FS_SMALL_FILE_H

#include <stddef.h>

/* Read a regular file of at most max bytes.
 *
 * text  fills; a NUL follows the bytes; to be freed
 *
 * Returns 0, -errno of opening or reading, -EFBIG (longer), -EINVAL (no regular file), -ENOMEM.
 * Does not block on what is not a regular file.
 */
int fs_small_file_read(const char *path, size_t max, char **text, size_t *len)
    __attribute__((warn_unused_result, nonnull));

/* What a failure of fs_small_file_read means, in words. */
const char *fs_small_file_words(int result);

#endif
