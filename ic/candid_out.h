/* Text being written: of values, of types, and JSON. There is a limit to it, and the first failure
 * ends it. Private to ic/. */
#ifndef CANISTERFS_IC_CANDID_OUT_H
#define CANISTERFS_IC_CANDID_OUT_H

#include "ic/attr.h"
#include "ic/buf.h"
#include "ic/candid_quote.h"
#include "ic/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct candid_out {
    struct ic_buf *buf;
    size_t end;      /* buf->len may become this */
    size_t column;   /* of the line, in characters */
    size_t columns;  /* when only measuring: more of them are a failure, -ERANGE */
    bool is_measure; /* nothing is written */
    int ret;         /* the first failure; writing stops then */
};

/* Append to a buffer, at most max bytes. */
static inline struct candid_out candid_out_to(struct ic_buf *buf, size_t max)
{
    return (struct candid_out){
        .buf = buf,
        .end = max > SIZE_MAX - buf->len ? SIZE_MAX : buf->len + max,
    };
}

static inline void candid_out_fail(struct candid_out *o, int ret)
{
    if (o->ret == 0)
        o->ret = ret;
}

/* Bytes that take so many columns; text of ASCII. Over the limit it fails with -EFBIG. */
void candid_out_bytes(struct candid_out *o, const void *bytes, size_t len, size_t columns)
    IC_NONNULL(1);
void candid_out(struct candid_out *o, const char *text) IC_NONNULL(1, 2);

/* Digits in groups of three: 1_000_000. */
void candid_out_grouped(struct candid_out *o, const char *digits, size_t len) IC_NONNULL(1, 2);

/* A string in quotes, with escapes; the id of a field; the name of a field or method, in quotes
 * where didc gives them. Text that is not UTF-8 fails with -EINVAL. */
void candid_out_quoted(struct candid_out *o, struct ic_view text, enum candid_quote quote)
    IC_NONNULL(1);
void candid_out_id(struct candid_out *o, uint32_t id) IC_NONNULL(1);
void candid_out_name(struct candid_out *o, struct ic_view name) IC_NONNULL(1);

/* How it went, when values were written: fills err. Returns 0, -EFBIG (over the limit), -EPROTO (a
 * value of an unknown type), -EINVAL (a value is not of its type), -ENOMEM. */
int candid_out_status(const struct candid_out *o, struct ic_error *err) IC_NONNULL(1) IC_MUST_CHECK;

#endif
