/* The grammar of values: tokens into nodes.
 *
 *     args    = '(' annval ',' ... ')'
 *     annval  = value (':' type)?
 *     value   = 'true' | 'false' | 'null' | sign? number | string | 'blob' string | 'opt' value
 *             | 'vec' '{' annval ';' ... '}' | 'record' '{' field ';' ... '}'
 *             | 'variant' '{' id ('=' annval)? '}' | 'principal' string | 'service' string
 *             | 'func' string '.' name | '(' annval ')'
 *     field   = (id '=')? annval
 *
 * Source: Candid specification, Textual format; didc.
 */
#include "ic/candid_text_impl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Parentheses may stand around each of the values that nest, and around their annotations. */
#define MAX_PARSE_DEPTH (2 * CANDID_MAX_DEPTH)

static int parse_value(struct text_parser *p, struct text_node **out);

/* ---- tokens ---- */

static enum did_token_kind kind_of(const struct text_parser *p)
{
    return p->lex.token.kind;
}

static int next(struct text_parser *p)
{
    return did_lex_next(&p->lex);
}

/* Take a string. */
static int take_string(struct text_parser *p, struct ic_view *out)
{
    *out = p->lex.token.text;
    return did_expect(&p->lex, DID_STRING);
}

/* ---- values with an annotation ---- */

static int parse_annotated(struct text_parser *p, struct text_node **out)
{
    const struct ic_type *type = NULL;
    int ret = parse_value(p, out);
    if (ret < 0 || kind_of(p) != DID_COLON)
        return ret;
    ret = next(p);
    if (ret == 0)
        ret = did_parse_type(&p->types, &p->lex, &type);
    if (ret == 0)
        ret = text_fit(p, *out, type);
    (*out)->type = type;
    return ret;
}

/* ---- scalars ---- */

static int parse_number(struct text_parser *p, struct text_node *node)
{
    const struct did_token *token = &p->lex.token;
    int ret = 0;

    if (token->kind == DID_PLUS || token->kind == DID_MINUS) {
        node->is_negative = token->kind == DID_MINUS;
        ret = next(p);
    }
    if (ret < 0)
        return ret;
    if (token->kind != DID_NUMBER && token->kind != DID_FLOAT)
        return did_expected(&p->lex, did_spelling(DID_NUMBER));
    node->kind = token->kind == DID_FLOAT ? TEXT_FLOAT : TEXT_INTEGER;
    node->number = IC_TYPE_NULL;
    node->bytes = ic_view(p->source.text.bytes + token->pos, token->len);
    return next(p);
}

/* A principal in text form. */
static int parse_principal(struct text_parser *p, struct text_node *node)
{
    size_t pos = p->lex.token.pos;
    char text[IC_PRINCIPAL_TEXT] = "";
    struct ic_principal principal;
    struct ic_view string;
    uint8_t *bytes;
    void *memory;
    int ret = take_string(p, &string);

    if (ret < 0)
        return ret;
    if (string.len >= sizeof(text) || (string.len && memchr(string.bytes, '\0', string.len)))
        return text_fail(p, pos, "not a principal");
    if (string.len)
        memcpy(text, string.bytes, string.len);
    if (ic_principal_parse(text, &principal) < 0)
        return text_fail(p, pos, "not a principal");
    ret = text_alloc(p, p->arena, principal.len, 1, &memory);
    if (ret < 0)
        return ret;
    bytes = memory;
    memcpy(bytes, principal.bytes, principal.len);
    node->bytes = ic_view(bytes, principal.len);
    return 0;
}

static int parse_func(struct text_parser *p, struct text_node *node)
{
    int ret = parse_principal(p, node);
    if (ret == 0)
        ret = did_expect(&p->lex, DID_DOT);
    if (ret < 0)
        return ret;
    if (kind_of(p) != DID_ID && kind_of(p) != DID_STRING)
        return did_expected(&p->lex, "a method (a keyword needs quotes)");
    node->method = p->lex.token.text;
    return next(p);
}

/* ---- fields ---- */

/* Can the token be the id of a field or tag? */
static bool is_id(const struct text_parser *p)
{
    return kind_of(p) == DID_ID || kind_of(p) == DID_STRING || kind_of(p) == DID_NUMBER;
}

/* Take an id: a name, or a number. */
static int take_id(struct text_parser *p, uint32_t *out)
{
    const struct did_token *token = &p->lex.token;
    if (token->kind == DID_NUMBER && token->number > UINT32_MAX)
        return text_fail(p, token->pos, "a field id over 4294967295");
    if (token->kind == DID_NUMBER)
        *out = (uint32_t)token->number;
    else
        *out = ic_candid_hash((const char *)token->text.bytes, token->text.len);
    return next(p);
}

/* Is the token followed by '='? In a record, `a = 5` is a field with an id, `"a"` one without. */
static int is_label(struct text_parser *p, bool *out)
{
    struct did_lexer ahead = p->lex;
    int ret;

    *out = false;
    if (!is_id(p))
        return 0;
    ret = did_lex_next(&ahead);
    *out = ret == 0 && ahead.token.kind == DID_EQUALS;
    return ret;
}

/* A field without an id has the one after the last, in the order of the text. */
static int next_id(struct text_parser *p, const struct text_node *last, uint32_t *out)
{
    if (last && last->id == UINT32_MAX)
        return text_fail(p, p->lex.token.pos, "no id is left for a field without one");
    *out = last ? last->id + 1 : 0;
    return 0;
}

static int parse_field(struct text_parser *p, const struct text_node *last, struct text_node **out)
{
    bool labelled = false;
    uint32_t id = 0;
    int ret = is_label(p, &labelled);

    if (ret < 0)
        return ret;
    if (labelled) {
        ret = take_id(p, &id);
        if (ret == 0)
            ret = did_expect(&p->lex, DID_EQUALS);
    } else {
        ret = next_id(p, last, &id);
    }
    if (ret == 0)
        ret = parse_annotated(p, out);
    if (ret == 0)
        (*out)->id = id;
    return ret;
}

static int by_id(const void *a, const void *b)
{
    const struct text_node *x = *(struct text_node *const *)a, *y = *(struct text_node *const *)b;
    if (x->id != y->id)
        return x->id < y->id ? -1 : 1;
    return x->pos < y->pos ? -1 : x->pos > y->pos;
}

static bool is_sorted(const struct text_node *record)
{
    for (const struct text_node *f = record->first; f && f->next; f = f->next)
        if (f->id >= f->next->id)
            return false;
    return true;
}

/* Put the fields of a record in the order of their ids. */
static int sort_fields(struct text_parser *p, struct text_node *record)
{
    struct text_node **fields, **end = &record->first;
    void *memory;
    size_t n = 0;
    int ret;

    if (is_sorted(record))
        return 0;
    ret = text_alloc(p, &p->nodes, record->n, sizeof(struct text_node *), &memory);
    if (ret < 0)
        return ret;
    fields = memory;
    for (struct text_node *f = record->first; f; f = f->next)
        fields[n++] = f;
    qsort(fields, n, sizeof(struct text_node *), by_id);
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && fields[i - 1]->id == fields[i]->id)
            return text_fail(p, fields[i]->pos, "a second field with the id %" PRIu32,
                             fields[i]->id);
        *end = fields[i];
        end = &fields[i]->next;
    }
    *end = NULL;
    return 0;
}

/* ---- what holds values ---- */

/* A list, in its brackets. */
static int parse_list(struct text_parser *p, struct text_node *list, enum did_token_kind open,
                      enum did_token_kind separator, enum did_token_kind close)
{
    struct text_node **end = &list->first, *last = NULL;
    int ret = did_expect(&p->lex, open);

    while (ret == 0 && kind_of(p) != close) {
        ret = list->kind == TEXT_RECORD ? parse_field(p, last, end) : parse_annotated(p, end);
        if (ret < 0)
            return ret;
        last = *end;
        end = &last->next;
        list->n++;
        ret = did_expect_separator(&p->lex, separator, close);
    }
    return ret < 0 ? ret : next(p);
}

static int parse_variant(struct text_parser *p, struct text_node *node)
{
    size_t pos;
    uint32_t id = 0;
    int ret = did_expect(&p->lex, DID_OPEN_BRACE);

    if (ret < 0)
        return ret;
    if (!is_id(p))
        return did_expected(&p->lex, "a tag (a keyword needs quotes)");
    pos = p->lex.token.pos;
    ret = take_id(p, &id);
    if (ret < 0)
        return ret;
    if (kind_of(p) == DID_EQUALS) {
        ret = next(p);
        if (ret == 0)
            ret = parse_annotated(p, &node->first);
    } else {
        ret = text_new_node(p, TEXT_NULL, pos, &node->first);
    }
    if (ret < 0)
        return ret;
    node->first->id = id;
    node->n = 1;
    return did_expect(&p->lex, DID_CLOSE_BRACE);
}

/* ---- values ---- */

/* What follows a keyword. */
static int parse_rest(struct text_parser *p, enum did_token_kind keyword, struct text_node *node)
{
    int ret;

    switch ((int)keyword) {
    case DID_TRUE:
        node->boolean = true;
        return 0;
    case DID_BLOB:
        return take_string(p, &node->bytes);
    case DID_OPT:
        node->n = 1;
        return parse_value(p, &node->first);
    case DID_VEC:
        return parse_list(p, node, DID_OPEN_BRACE, DID_SEMICOLON, DID_CLOSE_BRACE);
    case DID_RECORD:
        ret = parse_list(p, node, DID_OPEN_BRACE, DID_SEMICOLON, DID_CLOSE_BRACE);
        return ret < 0 ? ret : sort_fields(p, node);
    case DID_VARIANT:
        return parse_variant(p, node);
    case DID_PRINCIPAL:
    case DID_SERVICE:
        return parse_principal(p, node);
    case DID_FUNC:
        return parse_func(p, node);
    default: /* null, false */
        return 0;
    }
}

/* What a keyword begins. */
static bool find_keyword(enum did_token_kind keyword, enum text_kind *out)
{
    static const struct {
        enum did_token_kind token;
        enum text_kind kind;
    } keywords[] = {
        {DID_NULL, TEXT_NULL},           {DID_TRUE, TEXT_BOOL},       {DID_FALSE, TEXT_BOOL},
        {DID_BLOB, TEXT_BLOB},           {DID_OPT, TEXT_OPT},         {DID_VEC, TEXT_VEC},
        {DID_RECORD, TEXT_RECORD},       {DID_VARIANT, TEXT_VARIANT}, {DID_FUNC, TEXT_FUNC},
        {DID_PRINCIPAL, TEXT_PRINCIPAL}, {DID_SERVICE, TEXT_SERVICE},
    };
    for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++)
        if (keywords[i].token == keyword) {
            *out = keywords[i].kind;
            return true;
        }
    return false;
}

static int parse_in_parens(struct text_parser *p, struct text_node **out)
{
    int ret = next(p);
    if (ret == 0)
        ret = parse_annotated(p, out);
    return ret < 0 ? ret : did_expect(&p->lex, DID_CLOSE_PAREN);
}

static int parse_nested(struct text_parser *p, struct text_node **out)
{
    enum did_token_kind token = kind_of(p);
    size_t pos = p->lex.token.pos;
    enum text_kind kind = TEXT_NULL;
    int ret;

    switch ((int)token) {
    case DID_OPEN_PAREN:
        return parse_in_parens(p, out);
    case DID_NUMBER:
    case DID_FLOAT:
    case DID_PLUS:
    case DID_MINUS:
        ret = text_new_node(p, TEXT_INTEGER, pos, out);
        return ret < 0 ? ret : parse_number(p, *out);
    case DID_STRING:
        ret = text_new_node(p, TEXT_STRING, pos, out);
        return ret < 0 ? ret : take_string(p, &(*out)->bytes);
    default:
        if (!find_keyword(token, &kind))
            return did_expected(&p->lex, "a value");
        ret = text_new_node(p, kind, pos, out);
        if (ret == 0)
            ret = next(p);
        return ret < 0 ? ret : parse_rest(p, token, *out);
    }
}

static int parse_value(struct text_parser *p, struct text_node **out)
{
    int ret;

    if (p->depth == MAX_PARSE_DEPTH)
        return text_fail(p, p->lex.token.pos, "nested too deeply");
    p->depth++;
    ret = parse_nested(p, out);
    p->depth--;
    return ret;
}

/* ---- whole texts ---- */

static int expect_end(struct text_parser *p)
{
    return kind_of(p) == DID_END ? 0 : did_expected(&p->lex, did_spelling(DID_END));
}

int text_parse_args(struct text_parser *p, struct text_node *list)
{
    int ret = next(p);
    if (ret == 0)
        ret = parse_list(p, list, DID_OPEN_PAREN, DID_COMMA, DID_CLOSE_PAREN);
    return ret < 0 ? ret : expect_end(p);
}

int text_parse_value(struct text_parser *p, struct text_node *list)
{
    int ret = next(p);
    if (ret == 0)
        ret = parse_annotated(p, &list->first);
    list->n = 1;
    return ret < 0 ? ret : expect_end(p);
}
