/* Replies of the restore and maintenance methods (restore.h, maintenance.h). All of them are of one
 * table of types; every variant in it has ok first, then err.
 */
#ifndef CANISTERS_CONVENTION_H
#define CANISTERS_CONVENTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Places in the table of types. */
enum reply_type {
    REPLY_NOTHING = 2,            /* variant { ok; err } */
    REPLY_BEGIN = 4,              /* variant { ok : record { ... }; err } */
    REPLY_COMMIT = 6,             /* variant { ok; err; more : record { ... } } */
    REPLY_STATUS = 11,            /* opt record { ... } */
    REPLY_PAUSE = 13,             /* variant { ok : record { ... }; err } */
    REPLY_MAINTENANCE_STATUS = 14 /* record { ... } */
};

/* In the order of the variant's tags. */
enum reply_err {
    ERR_OTHER,
    ERR_BUSY,
    ERR_CORRUPT,
    ERR_DENIED,
    ERR_STALE,
    ERR_RANGE,
};

/* A text put together; what does not fit is cut off. */
struct words {
    uint8_t bytes[200];
    size_t len;
};

void words_put(struct words *words, const char *text);
void words_put_utf8(struct words *words, const uint8_t *text,
                    size_t len); /* valid; whole characters */
void words_put_number(struct words *words, uint64_t n);

/* Append the header of a reply. */
void reply_open(enum reply_type type);

/* Append a header and the tag of ok; its fields follow, in the order of their names' hashes. */
void reply_ok(enum reply_type type);

/* Reply with an error, whole. */
void reply_err(enum reply_type type, enum reply_err err); /* of those without words */
void reply_words(enum reply_type type, enum reply_err err, const struct words *words);
void reply_text(enum reply_type type, enum reply_err err, const char *text);

/* Whether the caller is no controller; then the reply has been made. */
bool reply_denied(enum reply_type type);

#endif
