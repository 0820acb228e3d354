/* Bytes: a borrowed view, a growing buffer to encode into, a bounded cursor to decode from.
 *
 * All decoding of hostile bytes in this room goes through `struct ic_cursor` or through libcbor's
 * streaming decoder on top of a view; nothing else does pointer arithmetic on input.
 */
#ifndef CANISTERFS_IC_BUF_H
#define CANISTERFS_IC_BUF_H

#include "ic/attr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A borrowed range of bytes; valid as long as whatever it points into. bytes may be NULL when len
 * is 0. */
struct ic_view {
    const uint8_t *bytes;
    size_t len;
};

static inline struct ic_view ic_view(const void *bytes, size_t len)
{
    return (struct ic_view){bytes, len};
}

bool ic_view_equal(struct ic_view a, struct ic_view b);
bool ic_view_is_text(struct ic_view a, const char *text) IC_NONNULL(2);

/* Order of unsigned bytes, a shorter prefix first: <0, 0, >0. */
int ic_view_compare(struct ic_view a, struct ic_view b);

/* Length in bytes (1..4) of the UTF-8 character at the start of left bytes; 0 when there is no
 * valid one. Valid in the sense of RFC 3629: no overlong forms, no surrogates, at most 10ffff. */
size_t ic_utf8_char_len(const uint8_t *bytes, size_t left);

/* Nothing but valid UTF-8 characters; NUL is one. */
bool ic_view_is_utf8(struct ic_view a);

/* A buffer that grows. Zero-initialise it ({0}), append, check once with ic_buf_status, fini.
 *
 * Appending never fails visibly: the first failed allocation is remembered, later appends do
 * nothing, and ic_buf_status reports it. Owned by whoever declared it.
 */
struct ic_buf {
    uint8_t *bytes;
    size_t len;
    size_t cap;
    bool failed;
};

/* Make room for extra more bytes, so that appends up to there do not move the buffer. */
void ic_buf_reserve(struct ic_buf *b, size_t extra) IC_NONNULL(1);

/* bytes may be NULL when len is 0; must not point into the buffer. */
void ic_buf_append(struct ic_buf *b, const void *bytes, size_t len) IC_NONNULL(1);

/* 0, or -ENOMEM when any append failed; the content is then incomplete and must not be used. */
int ic_buf_status(const struct ic_buf *b) IC_NONNULL(1) IC_MUST_CHECK;

/* Release the memory and make the buffer empty and usable again. */
void ic_buf_fini(struct ic_buf *b) IC_NONNULL(1);

/* A position in borrowed bytes. Every fetch checks the length first; on false nothing was
 * consumed and nothing written. */
struct ic_cursor {
    const uint8_t *pos;
    const uint8_t *end;
};

static inline struct ic_cursor ic_cursor(const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    return (struct ic_cursor){p, len ? p + len : p};
}

static inline size_t ic_cursor_left(const struct ic_cursor *c)
{
    return (size_t)(c->end - c->pos);
}

static inline IC_MUST_CHECK bool ic_cursor_u8(struct ic_cursor *c, uint8_t *out)
{
    if (c->pos == c->end)
        return false;
    *out = *c->pos++;
    return true;
}

static inline IC_MUST_CHECK bool ic_cursor_take(struct ic_cursor *c, uint64_t len,
                                                struct ic_view *out)
{
    if (len > ic_cursor_left(c))
        return false;
    *out = ic_view(c->pos, (size_t)len);
    if (len)
        c->pos += len;
    return true;
}

/* Unsigned and signed LEB128 that fit 64 bits, at most 10 bytes. Overlong forms are accepted; what
 * does not fit is refused, never cut (Candid spec, Notation). */
bool ic_cursor_leb64(struct ic_cursor *c, uint64_t *out) IC_NONNULL(1, 2) IC_MUST_CHECK;
bool ic_cursor_sleb64(struct ic_cursor *c, int64_t *out) IC_NONNULL(1, 2) IC_MUST_CHECK;

/* Write the shortest LEB128 form; return its length. */
#define IC_LEB64_MAX 10
size_t ic_leb64_encode(uint64_t value, uint8_t out[IC_LEB64_MAX]);
size_t ic_sleb64_encode(int64_t value, uint8_t out[IC_LEB64_MAX]);

/* Append it. */
void ic_buf_append_leb64(struct ic_buf *b, uint64_t value) IC_NONNULL(1);
void ic_buf_append_sleb64(struct ic_buf *b, int64_t value) IC_NONNULL(1);

#endif
