/* The grammar of types: tokens into types. Files of them: did_parse_file.c.
 *
 *     methods = '{' name ':' (functype | id), ... '}'
 *
 * A name that is used gets a symbol, whose type is filled when the definition is met, so a
 * reference is a pointer from the start. What can only be checked with all names known is left for
 * did_resolve: each use of a name is noted with its place.
 *
 * Lists are collected on a stack shared by all that are open (see did_list.c).
 *
 * Source: Candid specification, Core grammar.
 */
#include "ic/did_parse_impl.h"

#include <stdio.h>

/* ---- tokens ---- */

int did_parser_use_name(struct did_parser *p, enum ic_type_kind expects, struct did_symbol **out)
{
    const struct did_token *token = &p->lex.token;
    int ret;

    if (!p->file)
        return did_fail(p->lex.err, p->lex.source, token->pos, "no type is called '%.*s'",
                        (int)(token->text.len > 64 ? 64 : token->text.len),
                        (const char *)token->text.bytes);
    ret = did_use(p->reader, p->file, token, expects, out);
    return ret < 0 ? ret : did_parser_next(p);
}

int did_parser_use_type(struct did_parser *p, enum ic_type_kind expects, const struct ic_type **out)
{
    struct did_symbol *symbol = NULL;
    int ret = did_parser_use_name(p, expects, &symbol);
    if (ret < 0)
        return ret;
    *out = &symbol->node.type;
    return 0;
}

/* ---- labels ---- */

/* Is the current name followed by a colon? In a record, `nat : text` is a field and `nat; text`
 * are two. */
static int is_label(struct did_parser *p, bool *out)
{
    struct did_lexer ahead = p->lex;
    int ret = did_lex_next(&ahead);
    if (ret == 0)
        *out = ahead.token.kind == DID_COLON;
    return ret;
}

void did_parser_drop_items(struct did_parser *p, size_t base)
{
    p->reader->n_items = base;
}

/* ---- records and variants ---- */

/* The id of the field after the last one, which has none of its own. */
static int next_id(struct did_parser *p, size_t base, uint32_t *out)
{
    const struct did_reader *r = p->reader;
    uint32_t last;

    *out = 0;
    if (r->n_items == base)
        return 0;
    last = r->items[r->n_items - 1].id;
    if (last == UINT32_MAX)
        return did_fail(r->err, p->lex.source, p->lex.token.pos,
                        "no id is left for a field without one");
    *out = last + 1;
    return 0;
}

/* A field's id, if it has one: name or number, and in a record the colon behind it. */
static int parse_field_id(struct did_parser *p, bool is_variant, struct did_item *item, bool *found)
{
    const struct did_token *token = &p->lex.token;
    bool named = token->kind == DID_ID || token->kind == DID_STRING;
    int ret = 0;

    *found = named || token->kind == DID_NUMBER;
    if (token->kind == DID_ID && !is_variant)
        ret = is_label(p, found);
    if (ret < 0 || !*found)
        return ret;
    if (named) {
        item->label.name = token->text;
        item->id = ic_candid_hash((const char *)token->text.bytes, token->text.len);
    } else if (token->number > UINT32_MAX) {
        return did_fail(p->lex.err, p->lex.source, token->pos, "a field id over 4294967295");
    } else {
        item->id = (uint32_t)token->number;
    }
    return did_parser_next(p);
}

static int parse_field(struct did_parser *p, bool is_variant, size_t base)
{
    struct did_item item = {.type = &ic_type_null, .pos = p->lex.token.pos};
    bool has_id = false;
    int ret = did_copy_doc(p->reader, p->lex.token.doc, &item.label.doc);
    if (ret == 0)
        ret = parse_field_id(p, is_variant, &item, &has_id);
    if (ret < 0)
        return ret;
    if (!has_id && is_variant)
        return did_expected(&p->lex, "a case (a keyword needs quotes)");
    if (!has_id)
        ret = next_id(p, base, &item.id);
    else if (!is_variant || did_parser_kind(p) == DID_COLON)
        ret = did_expect(&p->lex, DID_COLON);
    else
        return did_push(p->reader, item); /* a case without a payload */
    if (ret == 0)
        ret = did_parser_read_type(p, &item.type);
    return ret < 0 ? ret : did_push(p->reader, item);
}

static int parse_fields(struct did_parser *p, struct ic_type *type)
{
    size_t base = p->reader->n_items;
    int ret = did_expect(&p->lex, DID_OPEN_BRACE);
    while (ret == 0 && did_parser_kind(p) != DID_CLOSE_BRACE) {
        ret = parse_field(p, type->kind == IC_TYPE_VARIANT, base);
        if (ret == 0)
            ret = did_expect_separator(&p->lex, DID_SEMICOLON, DID_CLOSE_BRACE);
    }
    if (ret == 0)
        ret = did_finish_fields(p->reader, p->lex.source, base, type);
    did_parser_drop_items(p, base);
    return ret < 0 ? ret : did_parser_next(p);
}

/* ---- functions ---- */

/* didc takes a quoted number for no name. */
static bool is_number(struct ic_view name)
{
    for (size_t i = 0; i < name.len; i++)
        if (name.bytes[i] < '0' || name.bytes[i] > '9')
            return false;
    return name.len > 0;
}

static int parse_argument(struct did_parser *p)
{
    struct did_item item = {.pos = p->lex.token.pos};
    bool named = false;
    int ret = 0;

    if (did_parser_kind(p) == DID_ID || did_parser_kind(p) == DID_STRING)
        ret = is_label(p, &named);
    if (ret < 0)
        return ret;
    if (named) {
        if (!is_number(p->lex.token.text))
            item.label.name = p->lex.token.text;
        ret = did_parser_next(p);
        if (ret == 0)
            ret = did_expect(&p->lex, DID_COLON);
    }
    if (ret == 0)
        ret = did_parser_read_type(p, &item.type);
    return ret < 0 ? ret : did_push(p->reader, item);
}

/* Push what stands in parentheses. */
int did_parser_read_tuple(struct did_parser *p)
{
    size_t base = p->reader->n_items;
    int ret = did_expect(&p->lex, DID_OPEN_PAREN);
    while (ret == 0 && did_parser_kind(p) != DID_CLOSE_PAREN) {
        ret = parse_argument(p);
        if (ret == 0)
            ret = did_expect_separator(&p->lex, DID_COMMA, DID_CLOSE_PAREN);
    }
    if (ret == 0)
        ret = did_check_arguments(p->reader, p->lex.source, base);
    return ret < 0 ? ret : did_parser_next(p);
}

/* The mode a keyword gives a function; update, which has no keyword, for none. */
static enum ic_func_mode mode_of(enum did_token_kind kind)
{
    static const uint8_t modes[DID_N_TOKENS] = {
        [DID_QUERY] = IC_FUNC_QUERY,
        [DID_ONEWAY] = IC_FUNC_ONEWAY,
        [DID_COMPOSITE_QUERY] = IC_FUNC_COMPOSITE_QUERY,
    };
    return (enum ic_func_mode)modes[kind];
}

static int parse_mode(struct did_parser *p, struct ic_type *type)
{
    int ret;

    type->as.func.mode = mode_of(did_parser_kind(p));
    if (type->as.func.mode == IC_FUNC_UPDATE)
        return 0;
    if (type->as.func.mode == IC_FUNC_ONEWAY && type->as.func.n_results > 0)
        return did_fail(p->lex.err, p->lex.source, p->lex.token.pos,
                        "a oneway function has no results");
    ret = did_parser_next(p);
    if (ret == 0 && mode_of(did_parser_kind(p)) != IC_FUNC_UPDATE)
        return did_fail(p->lex.err, p->lex.source, p->lex.token.pos, "a second mode");
    return ret;
}

static int parse_func(struct did_parser *p, struct ic_type *type)
{
    size_t base = p->reader->n_items, n_args;
    int ret = did_parser_read_tuple(p);

    n_args = p->reader->n_items - base;
    if (ret == 0)
        ret = did_expect(&p->lex, DID_ARROW);
    if (ret == 0)
        ret = did_parser_read_tuple(p);
    if (ret == 0)
        ret = did_finish_func(p->reader, base, n_args, type);
    did_parser_drop_items(p, base);
    return ret < 0 ? ret : parse_mode(p, type);
}

/* ---- services ---- */

int did_parser_new_type(struct did_parser *p, enum ic_type_kind kind, struct ic_type **out)
{
    struct did_node *node = NULL;
    int ret = did_new_node(p->reader, p->lex.source, p->lex.token.pos, &node);
    if (ret < 0)
        return ret;
    node->type.kind = kind;
    *out = &node->type;
    return 0;
}

static int parse_method(struct did_parser *p)
{
    struct did_item item = {.pos = p->lex.token.pos, .label.name = p->lex.token.text};
    struct ic_type *type = NULL;
    int ret;

    if (did_parser_kind(p) != DID_ID && did_parser_kind(p) != DID_STRING)
        return did_expected(&p->lex, "a method (a keyword needs quotes)");
    ret = did_copy_doc(p->reader, p->lex.token.doc, &item.label.doc);
    if (ret == 0)
        ret = did_parser_next(p);
    if (ret == 0)
        ret = did_expect(&p->lex, DID_COLON);
    if (ret < 0)
        return ret;
    if (did_parser_kind(p) == DID_ID) {
        ret = did_parser_use_type(p, IC_TYPE_FUNC, &item.type);
    } else if (did_parser_kind(p) == DID_OPEN_PAREN) {
        ret = did_parser_new_type(p, IC_TYPE_FUNC, &type);
        if (ret == 0)
            ret = parse_func(p, type);
        item.type = type;
    } else {
        return did_expected(&p->lex, "'(' or the name of a func");
    }
    return ret < 0 ? ret : did_push(p->reader, item);
}

int did_parser_read_methods(struct did_parser *p, struct ic_type *type)
{
    size_t base = p->reader->n_items;
    int ret = did_expect(&p->lex, DID_OPEN_BRACE);
    while (ret == 0 && did_parser_kind(p) != DID_CLOSE_BRACE) {
        ret = parse_method(p);
        if (ret == 0)
            ret = did_expect_separator(&p->lex, DID_SEMICOLON, DID_CLOSE_BRACE);
    }
    if (ret == 0)
        ret = did_finish_service(p->reader, p->lex.source, base, type);
    did_parser_drop_items(p, base);
    return ret < 0 ? ret : did_parser_next(p);
}

/* ---- types ---- */

/* The kind a keyword constructs; null, whose keyword is the whole type, for none. */
static enum ic_type_kind constructor(enum did_token_kind kind)
{
    static const uint8_t kinds[DID_N_TOKENS] = {
        [DID_OPT] = IC_TYPE_OPT,         [DID_VEC] = IC_TYPE_VEC,   [DID_RECORD] = IC_TYPE_RECORD,
        [DID_VARIANT] = IC_TYPE_VARIANT, [DID_FUNC] = IC_TYPE_FUNC, [DID_SERVICE] = IC_TYPE_SERVICE,
    };
    return (enum ic_type_kind)kinds[kind];
}

static int parse_constructor(struct did_parser *p, const struct ic_type **out)
{
    enum ic_type_kind kind = constructor(did_parser_kind(p));
    struct ic_type *type = NULL;
    int ret;

    if (kind == IC_TYPE_NULL)
        return did_expected(&p->lex, "a type");
    ret = did_parser_new_type(p, kind, &type);
    if (ret == 0)
        ret = did_parser_next(p);
    if (ret < 0)
        return ret;
    *out = type;
    switch ((int)kind) {
    case IC_TYPE_OPT:
    case IC_TYPE_VEC:
        return did_parser_read_type(p, &type->as.elem);
    case IC_TYPE_RECORD:
    case IC_TYPE_VARIANT:
        return parse_fields(p, type);
    case IC_TYPE_FUNC:
        return parse_func(p, type);
    default:
        return did_parser_read_methods(p, type);
    }
}

int did_parser_read_type(struct did_parser *p, const struct ic_type **out)
{
    int ret;

    switch ((int)did_parser_kind(p)) {
    case DID_ID: /* a primitive type's name cannot be given another meaning, as in didc */
        *out = did_primitive(p->lex.token.text);
        return *out ? did_parser_next(p) : did_parser_use_type(p, IC_TYPE_RESERVED, out);
    case DID_NULL:
        *out = &ic_type_null;
        return did_parser_next(p);
    case DID_PRINCIPAL:
        *out = &ic_type_principal;
        return did_parser_next(p);
    case DID_BLOB:
        *out = &ic_type_blob;
        return did_parser_next(p);
    default:
        if (p->depth == IC_DID_MAX_DEPTH)
            return did_fail(p->lex.err, p->lex.source, p->lex.token.pos,
                            "types nest deeper than %d", IC_DID_MAX_DEPTH);
        p->depth++;
        ret = parse_constructor(p, out);
        p->depth--;
        return ret;
    }
}

int did_parse_type(struct did_reader *r, struct did_lexer *lex, const struct ic_type **out)
{
    struct did_parser p = {.reader = r, .lex = *lex};
    int ret;

    r->nodes = NULL;
    ret = did_parser_read_type(&p, out);
    *lex = p.lex;
    did_mark_zero_width(r);
    return ret;
}
