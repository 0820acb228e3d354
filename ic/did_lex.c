/* Tokens of service descriptions and of values in text form, and errors that say where.
 *
 * The whole text was found to be UTF-8 before (did_check_utf8), so only what escapes make of a
 * string is checked here. White space is space, tab, CR and LF, as in didc.
 *
 * Source: Candid specification, Core grammar: lexical structure.
 */
#include "ic/did_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const spellings[DID_N_TOKENS] = {
    [DID_END] = "the end of the text",
    [DID_ID] = "a name",
    [DID_STRING] = "a string",
    [DID_NUMBER] = "a number",
    [DID_FLOAT] = "a number with a point",
    [DID_OPEN_PAREN] = "'('",
    [DID_CLOSE_PAREN] = "')'",
    [DID_OPEN_BRACE] = "'{'",
    [DID_CLOSE_BRACE] = "'}'",
    [DID_COLON] = "':'",
    [DID_SEMICOLON] = "';'",
    [DID_COMMA] = "','",
    [DID_EQUALS] = "'='",
    [DID_DOT] = "'.'",
    [DID_PLUS] = "'+'",
    [DID_MINUS] = "'-'",
    [DID_ARROW] = "'->'",
    [DID_NULL] = "null",
    [DID_OPT] = "opt",
    [DID_VEC] = "vec",
    [DID_RECORD] = "record",
    [DID_VARIANT] = "variant",
    [DID_FUNC] = "func",
    [DID_SERVICE] = "service",
    [DID_ONEWAY] = "oneway",
    [DID_QUERY] = "query",
    [DID_COMPOSITE_QUERY] = "composite_query",
    [DID_BLOB] = "blob",
    [DID_TYPE] = "type",
    [DID_IMPORT] = "import",
    [DID_PRINCIPAL] = "principal",
    [DID_TRUE] = "true",
    [DID_FALSE] = "false",
};

const char *did_spelling(enum did_token_kind kind)
{
    return spellings[kind];
}

/* ---- errors ---- */

void did_note(struct ic_error *err, const struct did_source *source, size_t pos, const char *fmt,
              ...)
{
    const uint8_t *text = source->text.bytes;
    char message[320];
    size_t line = 1, column = 1;
    va_list ap;

    for (size_t i = 0; i < pos; i++) {
        if (text[i] == '\n')
            line++, column = 1;
        else if ((text[i] & 0xc0) != 0x80) /* count characters, not bytes */
            column++;
    }
    va_start(ap, fmt);
    vsnprintf(message, sizeof(message), fmt, ap);
    va_end(ap);
    ic_fail(err, IC_E_MALFORMED, "%s%.*s%sline %zu, column %zu: %s", source->prefix,
            (int)(source->path.len > 128 ? 128 : source->path.len),
            source->path.len ? (const char *)source->path.bytes : "", source->path.len ? ", " : "",
            line, column, message);
}

void did_note_memory(struct ic_error *err, int ret)
{
    if (ret == -ENOMEM)
        ic_fail(err, IC_E_NO_MEMORY, "out of memory");
    else
        ic_fail(err, IC_E_MALFORMED, "needs more than %zu bytes of memory", IC_DID_MAX_MEMORY);
}

int did_check_utf8(struct ic_error *err, const struct did_source *source)
{
    struct ic_view text = source->text;
    size_t pos = 0;
    while (pos < text.len) {
        size_t n = ic_utf8_char_len(text.bytes + pos, text.len - pos);
        if (n == 0)
            return did_fail(err, source, pos, "the text is not UTF-8");
        pos += n;
    }
    return 0;
}

/* ---- words ---- */

static bool is_letter(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* Value of a hexadecimal digit, or -1. */
static int hex_digit(uint8_t c)
{
    if (is_digit(c))
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum did_token_kind keyword(struct ic_view word)
{
    for (int kind = DID_NULL; kind < DID_N_TOKENS; kind++)
        if (ic_view_is_text(word, spellings[kind]))
            return (enum did_token_kind)kind;
    return DID_ID;
}

bool did_is_plain(struct ic_view name)
{
    if (name.len == 0 || is_digit(name.bytes[0]))
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (!is_letter(name.bytes[i]) && !is_digit(name.bytes[i]))
            return false;
    return keyword(name) == DID_ID;
}

const struct ic_type *did_primitive(struct ic_view name)
{
    static const struct {
        const char *name;
        const struct ic_type *type;
    } primitives[] = {
        {"nat", &ic_type_nat},     {"int", &ic_type_int},         {"nat8", &ic_type_nat8},
        {"nat16", &ic_type_nat16}, {"nat32", &ic_type_nat32},     {"nat64", &ic_type_nat64},
        {"int8", &ic_type_int8},   {"int16", &ic_type_int16},     {"int32", &ic_type_int32},
        {"int64", &ic_type_int64}, {"float32", &ic_type_float32}, {"float64", &ic_type_float64},
        {"bool", &ic_type_bool},   {"text", &ic_type_text},       {"reserved", &ic_type_reserved},
        {"empty", &ic_type_empty},
    };
    for (size_t i = 0; i < sizeof(primitives) / sizeof(primitives[0]); i++)
        if (ic_view_is_text(name, primitives[i].name))
            return primitives[i].type;
    return NULL;
}

/* ---- space and comments ---- */

/* The byte at an offset from here; 0 behind the end (NUL is no part of any token but strings). */
static uint8_t peek(const struct did_lexer *lex, size_t ahead)
{
    struct ic_view text = lex->source->text;
    return ahead < text.len - lex->pos ? text.bytes[lex->pos + ahead] : 0;
}

static bool at_end(const struct did_lexer *lex)
{
    return lex->pos == lex->source->text.len;
}

static void skip_line(struct did_lexer *lex)
{
    while (!at_end(lex) && peek(lex, 0) != '\n')
        lex->pos++;
}

/* Comments in slashes and stars nest. */
static int skip_block(struct did_lexer *lex)
{
    size_t start = lex->pos, depth = 0;
    do {
        if (at_end(lex))
            return did_fail(lex->err, lex->source, start, "a comment without an end");
        if (peek(lex, 0) == '/' && peek(lex, 1) == '*') {
            depth++;
            lex->pos += 2;
        } else if (peek(lex, 0) == '*' && peek(lex, 1) == '/') {
            depth--;
            lex->pos += 2;
        } else {
            lex->pos++;
        }
    } while (depth > 0);
    return 0;
}

/* Pass over space and comments. *doc becomes the lines of comment that end directly above what
 * follows, not those behind another token. */
static int skip_space(struct did_lexer *lex, struct ic_view *doc)
{
    const uint8_t *text = lex->source->text.bytes;
    bool own_line = lex->pos == 0, commented = false;
    int ret;

    *doc = (struct ic_view){0};
    for (; !at_end(lex); lex->pos++) {
        uint8_t c = peek(lex, 0);
        if (c == '\n') {
            if (own_line && !commented)
                *doc = (struct ic_view){0}; /* an empty line ends it */
            own_line = true;
            commented = false;
        } else if (c == '/' && peek(lex, 1) == '/') {
            size_t start = lex->pos;
            skip_line(lex);
            if (own_line && !doc->bytes)
                doc->bytes = text + start;
            if (doc->bytes)
                doc->len = (size_t)(text + lex->pos - doc->bytes);
            commented = true;
            lex->pos--; /* the end of the line is looked at next */
        } else if (c == '/' && peek(lex, 1) == '*') {
            ret = skip_block(lex);
            if (ret < 0)
                return ret;
            *doc = (struct ic_view){0};
            own_line = false;
            lex->pos--;
        } else if (c != ' ' && c != '\t' && c != '\r') {
            break;
        }
    }
    return 0;
}

/* ---- numbers ---- */

/* Digits of a base with any number of underscores after the first, as didc takes them. */
static void lex_digits(struct did_lexer *lex, unsigned base)
{
    uint64_t n = 0;
    for (; !at_end(lex); lex->pos++) {
        int digit = hex_digit(peek(lex, 0));
        if (peek(lex, 0) == '_')
            continue;
        if (digit < 0 || (unsigned)digit >= base)
            break;
        if (n > (UINT64_MAX - (unsigned)digit) / base)
            n = UINT64_MAX;
        else
            n = n * base + (unsigned)digit;
    }
    lex->token.number = n;
}

/* Length of the number with a point, an exponent or both that starts here: "1.", ".5", "1.5e+3",
 * "1e5", without underscores; behind ".5" no exponent. 0 when there is none. */
static size_t float_len(const struct did_lexer *lex)
{
    size_t len = 0, digits, exponent;
    bool has_point;

    while (is_digit(peek(lex, len)))
        len++;
    digits = len;
    has_point = peek(lex, len) == '.';
    len += has_point;
    while (has_point && is_digit(peek(lex, len)))
        len++;
    if (digits == 0 && len < 2)
        return 0;
    exponent = len;
    if (digits > 0 && (peek(lex, exponent) | 0x20) == 'e') {
        exponent++;
        if (peek(lex, exponent) == '+' || peek(lex, exponent) == '-')
            exponent++;
        if (is_digit(peek(lex, exponent)))
            len = exponent;
        while (is_digit(peek(lex, len)))
            len++;
    }
    return len > digits ? len : 0;
}

static void lex_number(struct did_lexer *lex)
{
    unsigned base = 10;
    size_t len = float_len(lex);
    if (len) {
        lex->token.kind = DID_FLOAT;
        lex->pos += len;
        return;
    }
    if (peek(lex, 0) == '0' && peek(lex, 1) == 'x' && hex_digit(peek(lex, 2)) >= 0) {
        base = 16;
        lex->pos += 2;
    }
    lex->token.kind = DID_NUMBER;
    lex_digits(lex, base);
}

/* ---- strings ---- */

static size_t put_utf8(uint8_t *out, uint32_t c)
{
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    if (n == 1) {
        out[0] = (uint8_t)c;
        return 1;
    }
    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        out[i] = (uint8_t)(0x80 | (c & 0x3f));
    out[0] = (uint8_t)((0xf00 >> n) | c); /* n ones, then a zero: 110..., 1110..., 11110... */
    return n;
}

/* Behind "\u": {hex digits}, a Unicode scalar value. Returns the length of its UTF-8, 0 when it is
 * none. */
static size_t unescape_scalar(struct did_lexer *lex, uint8_t *out)
{
    uint32_t c = 0;
    if (peek(lex, 0) != '{' || hex_digit(peek(lex, 1)) < 0)
        return 0;
    for (lex->pos++; peek(lex, 0) != '}'; lex->pos++) {
        int digit = hex_digit(peek(lex, 0));
        if (peek(lex, 0) == '_')
            continue;
        if (digit < 0 || c > 0x10ffff)
            return 0;
        c = c * 16 + (unsigned)digit;
    }
    lex->pos++;
    if (c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return 0;
    return put_utf8(out, c);
}

/* Behind a backslash. Returns the number of bytes written, never more than were read; 0 when there
 * is no such escape. */
static size_t unescape(struct did_lexer *lex, uint8_t *out)
{
    static const char letters[] = "nrt\\\"'", meant[] = "\n\r\t\\\"'";
    uint8_t c = peek(lex, 0);
    const char *letter = c ? strchr(letters, c) : NULL;
    int high = hex_digit(c), low = high < 0 ? -1 : hex_digit(peek(lex, 1));

    if (letter) {
        lex->pos++;
        *out = (uint8_t)meant[letter - letters];
        return 1;
    }
    if (c == 'u') {
        lex->pos++;
        return unescape_scalar(lex, out);
    }
    if (high >= 0 && low >= 0) { /* a byte, not a character */
        *out = (uint8_t)(high << 4 | low);
        lex->pos += 2;
        return 1;
    }
    return 0;
}

/* The content of a string of len bytes, which has escapes and ends in a quote. It must be UTF-8,
 * unless it is a blob. */
static int decode_string(struct did_lexer *lex, size_t len, bool is_blob)
{
    size_t start = lex->pos, n = 0;
    uint8_t *out;
    void *memory;
    int ret = ic_arena_alloc(lex->arena, len, 1, &memory);
    if (ret < 0)
        return did_fail_memory(lex->err, ret);
    out = memory;
    while (lex->pos < start + len) {
        size_t at = lex->pos, written = 1;
        uint8_t c = peek(lex, 0);
        lex->pos++;
        if (c == '\\')
            written = unescape(lex, out + n);
        else
            out[n] = c;
        if (written == 0)
            return did_fail(lex->err, lex->source, at, "unknown escape in a string");
        n += written;
    }
    lex->token.text = ic_view(out, n);
    if (!is_blob && !ic_view_is_utf8(lex->token.text))
        return did_fail(lex->err, lex->source, lex->token.pos, "a string that is not UTF-8");
    return 0;
}

static int lex_string(struct did_lexer *lex, bool is_blob)
{
    size_t len = 0;
    bool has_escapes = false;
    int ret = 0;

    lex->token.kind = DID_STRING;
    lex->pos++;
    for (; peek(lex, len) != '"'; len++) {
        if (len + 1 < lex->source->text.len - lex->pos && peek(lex, len) == '\\') {
            has_escapes = true;
            len++;
        }
        if (len >= lex->source->text.len - lex->pos)
            return did_fail(lex->err, lex->source, lex->token.pos, "a string without an end");
    }
    lex->token.text = ic_view(lex->source->text.bytes + lex->pos, len);
    if (has_escapes)
        ret = decode_string(lex, len, is_blob);
    else
        lex->pos += len;
    lex->pos++; /* the quote */
    return ret;
}

/* ---- tokens ---- */

static void lex_word(struct did_lexer *lex)
{
    size_t len = 0;
    while (is_letter(peek(lex, len)) || is_digit(peek(lex, len)))
        len++;
    lex->token.text = ic_view(lex->source->text.bytes + lex->pos, len);
    lex->token.kind = keyword(lex->token.text);
    lex->pos += len;
}

static int lex_mark(struct did_lexer *lex)
{
    static const char marks[] = "(){}:;,=.+-";
    uint8_t c = peek(lex, 0);
    const char *mark = c ? strchr(marks, c) : NULL;

    if (c == '-' && peek(lex, 1) == '>') {
        lex->token.kind = DID_ARROW;
        lex->pos += 2;
    } else if (mark) {
        lex->token.kind = (enum did_token_kind)(DID_OPEN_PAREN + (mark - marks));
        lex->pos++;
    } else {
        struct ic_view text = lex->source->text;
        return did_fail(lex->err, lex->source, lex->pos, "a character of no meaning here: '%.*s'",
                        (int)ic_utf8_char_len(text.bytes + lex->pos, text.len - lex->pos),
                        (const char *)text.bytes + lex->pos);
    }
    return 0;
}

int did_lex_next(struct did_lexer *lex)
{
    bool is_blob = lex->token.kind == DID_BLOB;
    struct ic_view doc;
    int ret = skip_space(lex, &doc);
    if (ret < 0)
        return ret;
    lex->token = (struct did_token){.kind = DID_END, .pos = lex->pos, .doc = doc};
    if (at_end(lex))
        return 0;
    if (is_letter(peek(lex, 0)))
        lex_word(lex);
    else if (is_digit(peek(lex, 0)) || float_len(lex))
        lex_number(lex);
    else if (peek(lex, 0) == '"')
        ret = lex_string(lex, is_blob);
    else
        ret = lex_mark(lex);
    lex->token.len = lex->pos - lex->token.pos;
    return ret;
}
