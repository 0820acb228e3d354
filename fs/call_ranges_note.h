/* How far `control call-ranges` has come, in DIR/ranges: text of four lines.
 *
 *     canisterfs ranges 1
 *     METHOD TOTAL
 *     DONE STEP                           [0, DONE) is done; STEP: how much is tried next
 *     call FROM TO REQUEST-ID EXPIRY      or "none"
 *
 * Thread safety: for one thread at a time.
 */
#ifndef CANISTERFS_FS_CALL_RANGES_NOTE_H
#define CANISTERFS_FS_CALL_RANGES_NOTE_H

#include "ic/request.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CALL_RANGES_METHOD_MAX 256 /* with the NUL */
#define CALL_RANGES_NOTE_MAX   1024

struct call_ranges_note {
    char method[CALL_RANGES_METHOD_MAX];
    uint64_t total;
    uint64_t done;
    uint64_t step; /* from 1 */
    bool has_call; /* then the call of [done, to) was about to be sent: */
    uint64_t to;
    uint8_t request_id[IC_REQUEST_ID_LEN];
    uint64_t expiry_ns;
};

size_t call_ranges_note_format(const struct call_ranges_note *note, char out[CALL_RANGES_NOTE_MAX])
    __attribute__((nonnull));

/* Returns 0, or -EPROTO: no such text, or numbers that do not fit together. */
int call_ranges_note_parse(const char *text, size_t len, struct call_ranges_note *out)
    __attribute__((warn_unused_result, nonnull));

#endif
