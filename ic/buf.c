/* Views, buffers and cursors: see buf.h. */
#include "ic/buf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- views ---- */

bool ic_view_equal(struct ic_view a, struct ic_view b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.bytes, b.bytes, a.len) == 0);
}

bool ic_view_is_text(struct ic_view a, const char *text)
{
    return ic_view_equal(a, ic_view(text, strlen(text)));
}

int ic_view_compare(struct ic_view a, struct ic_view b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n ? memcmp(a.bytes, b.bytes, n) : 0;
    if (order != 0)
        return order;
    return (a.len > b.len) - (a.len < b.len);
}

size_t ic_utf8_char_len(const uint8_t *p, size_t left)
{
    /* The bounds of the second byte exclude overlong forms, surrogates and what is above 10ffff
     * (RFC 3629, section 4). */
    uint8_t low = 0x80, high = 0xbf;
    size_t n;

    if (left == 0)
        return 0;
    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    n = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (p[0] == 0xe0)
        low = 0xa0;
    else if (p[0] == 0xed)
        high = 0x9f;
    else if (p[0] == 0xf0)
        low = 0x90;
    else if (p[0] == 0xf4)
        high = 0x8f;
    if (left < n || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

/* Eight ASCII characters? Most text is nothing else. */
static bool is_ascii8(const uint8_t *p)
{
    uint64_t bytes;
    memcpy(&bytes, p, 8);
    return (bytes & 0x8080808080808080u) == 0;
}

bool ic_view_is_utf8(struct ic_view a)
{
    size_t pos = 0;
    while (pos < a.len) {
        size_t n;
        if (a.len - pos >= 8 && is_ascii8(a.bytes + pos)) {
            pos += 8;
            continue;
        }
        n = ic_utf8_char_len(a.bytes + pos, a.len - pos);
        if (n == 0)
            return false;
        pos += n;
    }
    return true;
}

/* ---- buffers ---- */

void ic_buf_reserve(struct ic_buf *b, size_t extra)
{
    size_t cap;
    uint8_t *bytes;

    if (b->failed || extra <= b->cap - b->len)
        return;
    if (extra > SIZE_MAX / 2 - b->len) {
        b->failed = true;
        return;
    }
    cap = b->cap + b->cap / 2;
    if (cap < b->len + extra)
        cap = b->len + extra;
    if (cap < 64)
        cap = 64;
    bytes = realloc(b->bytes, cap);
    if (!bytes) {
        b->failed = true;
        return;
    }
    b->bytes = bytes;
    b->cap = cap;
}

void ic_buf_append(struct ic_buf *b, const void *bytes, size_t len)
{
    ic_buf_reserve(b, len);
    if (b->failed || len == 0)
        return;
    memcpy(b->bytes + b->len, bytes, len);
    b->len += len;
}

int ic_buf_status(const struct ic_buf *b)
{
    return b->failed ? -ENOMEM : 0;
}

void ic_buf_fini(struct ic_buf *b)
{
    free(b->bytes);
    *b = (struct ic_buf){0};
}

size_t ic_leb64_encode(uint64_t value, uint8_t out[IC_LEB64_MAX])
{
    size_t n = 0;
    do {
        out[n] = value & 0x7f;
        value >>= 7;
        if (value)
            out[n] |= 0x80;
        n++;
    } while (value);
    return n;
}

size_t ic_sleb64_encode(int64_t value, uint8_t out[IC_LEB64_MAX])
{
    size_t n = 0;
    bool more = true;
    while (more) {
        uint8_t group = value & 0x7f;
        value >>= 7; /* arithmetic in gcc and clang */
        more = !((value == 0 && !(group & 0x40)) || (value == -1 && (group & 0x40)));
        out[n++] = more ? group | 0x80 : group;
    }
    return n;
}

void ic_buf_append_leb64(struct ic_buf *b, uint64_t value)
{
    uint8_t bytes[IC_LEB64_MAX];
    size_t n = ic_leb64_encode(value, bytes);
    ic_buf_append(b, bytes, n);
}

void ic_buf_append_sleb64(struct ic_buf *b, int64_t value)
{
    uint8_t bytes[IC_LEB64_MAX];
    size_t n = ic_sleb64_encode(value, bytes);
    ic_buf_append(b, bytes, n);
}

/* ---- cursors ---- */

bool ic_cursor_leb64(struct ic_cursor *c, uint64_t *out)
{
    uint64_t value = 0;
    const uint8_t *p = c->pos;

    for (unsigned shift = 0; shift < 70; shift += 7) {
        uint8_t byte;
        if (p == c->end)
            return false;
        byte = *p++;
        if (shift == 63 && byte > 1) /* would set bits above 63, or go on */
            return false;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            c->pos = p;
            *out = value;
            return true;
        }
    }
    return false;
}

bool ic_cursor_sleb64(struct ic_cursor *c, int64_t *out)
{
    uint64_t value = 0;
    const uint8_t *p = c->pos;

    for (unsigned shift = 0; shift < 70; shift += 7) {
        uint8_t byte;
        if (p == c->end)
            return false;
        byte = *p++;
        if (shift == 63 && byte != 0 && byte != 0x7f) /* only the sign is left */
            return false;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            if (shift < 57 && (byte & 0x40))
                value |= UINT64_MAX << (shift + 7);
            c->pos = p;
            *out = (int64_t)value;
            return true;
        }
    }
    return false;
}
