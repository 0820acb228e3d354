/* Text being written: see candid_out.h. */
#include "ic/candid_out.h"

#include "ic/did_impl.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void candid_out_bytes(struct candid_out *o, const void *bytes, size_t len, size_t columns)
{
    if (o->ret < 0)
        return;
    o->column += columns;
    if (o->is_measure) {
        if (o->column > o->columns)
            candid_out_fail(o, -ERANGE);
    } else if (len > o->end - o->buf->len) {
        candid_out_fail(o, -EFBIG);
    } else {
        ic_buf_append(o->buf, bytes, len);
    }
}

void candid_out(struct candid_out *o, const char *text)
{
    size_t len = strlen(text);
    candid_out_bytes(o, text, len, len);
}

void candid_out_grouped(struct candid_out *o, const char *digits, size_t len)
{
    size_t first = (len - 1) % 3 + 1;
    candid_out_bytes(o, digits, first, first);
    for (size_t i = first; i < len && o->ret == 0; i += 3) {
        candid_out(o, "_");
        candid_out_bytes(o, digits + i, 3, 3);
    }
}

void candid_out_quoted(struct candid_out *o, struct ic_view text, enum candid_quote quote)
{
    if (!o->is_measure && !ic_view_is_utf8(text))
        candid_out_fail(o, -EINVAL);
    candid_out(o, "\"");
    for (size_t i = 0; i < text.len && o->ret == 0;) {
        struct candid_quoted q = candid_quote_at(text, i, quote);
        if (q.escape[0])
            candid_out(o, q.escape);
        else
            candid_out_bytes(o, text.bytes + i, q.len, q.columns);
        i += q.len;
    }
    candid_out(o, "\"");
}

void candid_out_id(struct candid_out *o, uint32_t id)
{
    char digits[16];
    int len = snprintf(digits, sizeof(digits), "%" PRIu32, id);
    candid_out_grouped(o, digits, (size_t)len);
}

/* Names of primitive types need no quotes, but didc gives them. */
void candid_out_name(struct candid_out *o, struct ic_view name)
{
    if (did_is_plain(name) && !did_primitive(name))
        candid_out_bytes(o, name.bytes, name.len, name.len);
    else
        candid_out_quoted(o, name, CANDID_QUOTE_PLAIN);
}

int candid_out_status(const struct candid_out *o, struct ic_error *err)
{
    switch (o->ret < 0 ? o->ret : ic_buf_status(o->buf)) {
    case 0:
        return 0;
    case -ENOMEM:
        return ic_fail(err, IC_E_NO_MEMORY, "candid: out of memory");
    case -EFBIG:
        return ic_fail(err, IC_E_TOO_LARGE, "candid: the text is longer than it may be");
    case -EPROTO:
        return ic_fail(err, IC_E_MALFORMED, "candid: a value of an unknown type has no text form");
    default:
        return ic_fail(err, IC_E_CONFIG, "candid: a value is not of its type");
    }
}
