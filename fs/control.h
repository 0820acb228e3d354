/* `.canisterfs/control`: from what is written to commands.
 *
 * A write(2) holds whole commands, one a line; the last line needs no newline. Words are separated
 * by spaces, empty lines are nothing. The lines are done in order, up to the first that is refused:
 * the write returns that one's errno. A write that is too long, or holds anything but printable
 * text, is refused before any line of it is done.
 *
 * A writer whose buffer is full sends a piece that may end within a line. Buffers hold 4096 bytes
 * or more, so a write of that many is refused: half a command is another command.
 *
 * A command does what takes no time itself, and starts a job (job.h) for what does.
 */
#ifndef CANISTERFS_FS_CONTROL_H
#define CANISTERFS_FS_CONTROL_H

#include "fs/log.h"

#include <stddef.h>

#define FS_CONTROL_WRITE_MAX 4095 /* bytes of one write */
#define FS_CONTROL_WORDS_MAX 16   /* of one line */

/* One line, taken apart. */
struct fs_control_line {
    const char *text; /* its words with one space between them */
    const char *const *args;
    size_t n_args; /* the words after the command's name */
};

/* A row of the table of commands: help and manual page come from it, too. */
struct fs_command {
    const char *name;      /* one or more words */
    const char *arguments; /* for people, "ID"; "" for none */
    const char *help;
    size_t n_args_min;
    size_t n_args_max;
    /* Do it. Must not wait for the network. Returns 0, or -errno with a line in words. */
    int (*run)(void *arg, const struct fs_control_line *line, char *message, size_t message_size);
};

struct fs_control {
    const struct fs_command
        *commands; /* a NULL name ends them; the longest name that fits counts */
    void *arg;     /* for their functions */
    struct fs_log *log;
};

/* Do what was written; a refusal is logged with the number of the line.
 *
 * Returns 0; -EINVAL (not of the form above, no such command, other arguments); or what a command
 * returned. Thread safety: any number of concurrent calls. Blocks: no. */
int fs_control_write(const struct fs_control *control, const char *text, size_t len)
    __attribute__((warn_unused_result, nonnull));

/* The commands in words, one a line: a malloc'ed text. Returns 0 or -ENOMEM. */
int fs_control_help(const struct fs_control *control, char **out, size_t *out_len)
    __attribute__((warn_unused_result, nonnull));

/* "cancel ID": a command as it is to be written. */
void fs_command_synopsis(const struct fs_command *command, char *buf, size_t size)
    __attribute__((nonnull));

#endif
