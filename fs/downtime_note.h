/* What is noted of a downtime (downtime.h), in DIR/downtime: three lines of text.
 *
 *     canisterfs downtime 1
 *     running|stopped SINCE PURPOSE          SINCE: ns since 1970, PURPOSE: to the end of the line
 *     call METHOD REQUEST-ID EXPIRY          or "none": nothing was sent yet, or all is settled
 *
 * It is replaced as a whole: a crash leaves the note before or the new one.
 *
 * Thread safety: for one thread at a time.
 */
#ifndef CANISTERFS_FS_DOWNTIME_NOTE_H
#define CANISTERFS_FS_DOWNTIME_NOTE_H

#include "ic/request.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fs_downtime_note {
    bool was_running;
    int64_t since_ns; /* wall clock */
    char purpose[200];
    char method[64]; /* "": no call */
    uint8_t request_id[IC_REQUEST_ID_LEN];
    uint64_t expiry_ns;
};

#define FS_DOWNTIME_NOTE_MAX 1024 /* bytes of a note */

/* Text form. Returns its length. */
size_t fs_downtime_note_format(const struct fs_downtime_note *note, char out[FS_DOWNTIME_NOTE_MAX])
    __attribute__((nonnull));

/* Returns 0, or -EPROTO: no such text. */
int fs_downtime_note_parse(const char *text, size_t len, struct fs_downtime_note *out)
    __attribute__((warn_unused_result, nonnull));

/* The file, in the directory dir_fd. Durable when they return 0; read: -ENOENT (there is none),
 * -EPROTO; else -errno. */
int fs_downtime_note_write(int dir_fd, const struct fs_downtime_note *note)
    __attribute__((warn_unused_result, nonnull));
int fs_downtime_note_read(int dir_fd, struct fs_downtime_note *out)
    __attribute__((warn_unused_result, nonnull));
int fs_downtime_note_remove(int dir_fd) __attribute__((warn_unused_result));

#endif
