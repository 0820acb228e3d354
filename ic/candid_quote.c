/* Strings of Candid's text form: see candid_quote.h. The tables hold whole blocks rather than each
 * character: a character that falls on the wrong side is escaped though it need not be, or lets a
 * line break elsewhere; the text says the same. */
#include "ic/candid_quote.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct range {
    uint32_t first, last;
};

#define IN(c, ranges) is_in((c), (ranges), sizeof(ranges) / sizeof((ranges)[0]))

/* The ranges ascend: most characters come before all but the first. */
static bool is_in(uint32_t c, const struct range *ranges, size_t n)
{
    for (size_t i = 0; i < n && c >= ranges[i].first; i++)
        if (c <= ranges[i].last)
            return true;
    return false;
}

bool candid_is_hidden(uint32_t c)
{
    static const struct range hidden[] = {
        {0, 0x1f},          {0x7f, 0xa0},        {0xad, 0xad},     {0x1680, 0x1680},
        {0x2000, 0x200f},   {0x2028, 0x202f},    {0x205f, 0x206f}, {0x3000, 0x3000},
        {0xe000, 0xf8ff},   {0xfeff, 0xfeff},    {0xfff0, 0xfffb}, {0xfffe, 0xffff},
        {0xe0000, 0xe007f}, {0xf0000, 0x10ffff},
    };
    return IN(c, hidden);
}

/* Characters that join the one before them. */
static bool is_combining(uint32_t c)
{
    static const struct range combining[] = {
        {0x300, 0x36f},   {0x483, 0x489},   {0x591, 0x5bd},     {0x610, 0x61a},   {0x64b, 0x65f},
        {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff}, {0x20d0, 0x20f0},   {0x302a, 0x302f}, {0x3099, 0x309a},
        {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}, {0xe0100, 0xe01ef},
    };
    return IN(c, combining);
}

/* Characters of double width: East Asian scripts, emoji. */
static bool is_wide(uint32_t c)
{
    static const struct range wide[] = {
        {0x1100, 0x115f},   {0x2e80, 0x303e},   {0x3041, 0xa4cf},   {0xa960, 0xa97c},
        {0xac00, 0xd7a3},   {0xf900, 0xfaff},   {0xfe30, 0xfe6f},   {0xff01, 0xff60},
        {0xffe0, 0xffe6},   {0x1f300, 0x1f64f}, {0x1f680, 0x1f6ff}, {0x1f900, 0x1faff},
        {0x20000, 0x3fffd},
    };
    return IN(c, wide);
}

uint32_t candid_scalar(const uint8_t *bytes, size_t len)
{
    uint32_t c = len == 1 ? bytes[0] : bytes[0] & (0x7fu >> len);
    for (size_t i = 1; i < len; i++)
        c = c << 6 | (bytes[i] & 0x3f);
    return c;
}

struct candid_quoted candid_quote_at(struct ic_view text, size_t at, enum candid_quote style)
{
    static const char escaped[] = "\t\n\r\"\\'", letters[] = "tnr\"\\'";
    struct candid_quoted q = {.len = ic_utf8_char_len(text.bytes + at, text.len - at)};
    uint32_t c = q.len ? candid_scalar(text.bytes + at, q.len) : 0xfffd;
    const char *letter = c && c < 0x80 ? strchr(escaped, (int)c) : NULL;
    bool is_compact = style == CANDID_QUOTE_COMPACT;

    if (q.len == 0)
        q.len = 1;
    if (letter && !(is_compact && c == '\'')) {
        q.escape[0] = '\\';
        q.escape[1] = letters[letter - escaped];
    } else if (candid_is_hidden(c) || ((is_compact || at == 0) && is_combining(c))) {
        snprintf(q.escape, sizeof(q.escape), "\\u{%" PRIx32 "}", c);
    }
    if (q.escape[0])
        q.columns = (unsigned)strlen(q.escape);
    else
        q.columns = is_wide(c) ? 2 : !is_combining(c);
    return q;
}
