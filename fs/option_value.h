/* Values of options: from text into struct fs_options, and their bounds as text. */
#ifndef CANISTERFS_FS_OPTION_VALUE_H
#define CANISTERFS_FS_OPTION_VALUE_H

#include "fs/option_table.h"

/* Is its member of struct fs_options a text, which the struct owns? */
bool option_value_is_text(const struct option_row *row) __attribute__((nonnull));

/* Set an option. A value that was set before is replaced; after a failure it is still there.
 *
 * value     as given; NULL: without one
 * message   fills with one line in words on failure, which never holds what may be a password
 *
 * Returns FS_EXIT_OK, FS_EXIT_USAGE (not a value of its kind, out of its bounds, none, or one too
 * many) or FS_EXIT_CONFIG (out of memory).
 */
enum fs_exit option_value_set(struct fs_options *options, const struct option_row *row,
                              const char *value, char *message, size_t message_size)
    __attribute__((warn_unused_result, nonnull(1, 2, 4)));

/* Its bounds as they can be given: "1s to 3600s". */
void option_value_format_range(const struct option_row *row, char out[FS_RANGE_TEXT])
    __attribute__((nonnull));

#endif
