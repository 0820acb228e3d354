/* A short text in a directory that is replaced as a whole: a crash leaves the one before or the new
 * one. For one thread, and one process, at a time. */
#ifndef CANISTERFS_FS_NOTE_FILE_H
#define CANISTERFS_FS_NOTE_FILE_H

#include <stddef.h>
#include <sys/types.h>

/* Durable when it returns 0; else -errno. len: of what one write(2) takes. */
int fs_note_file_write(int dir_fd, const char *name, const char *text, size_t len)
    __attribute__((warn_unused_result, nonnull));

/* At most `size` bytes of it. Returns their number; -ENOENT (there is none) or another -errno. */
ssize_t fs_note_file_read(int dir_fd, const char *name, char *text, size_t size)
    __attribute__((warn_unused_result, nonnull));

/* Durable when it returns 0, also when there was none. */
int fs_note_file_remove(int dir_fd, const char *name) __attribute__((warn_unused_result, nonnull));

#endif
