/* The grammar of service descriptions: definitions, and the main service.
 *
 *     file    = (definition (';' definition)* ';'?)? main?
 *     main    = 'service' id? ':' (tuple '->')? (methods | id) ';'?
 *
 * Source: Candid specification, Core grammar.
 */
#include "ic/did_parse_impl.h"

/* ---- definitions ---- */

/* What stands behind the equals sign: another name, or a type. */
static int parse_body(struct did_parser *p, struct did_symbol *symbol)
{
    const struct ic_type *type = NULL;
    int ret;

    if (did_parser_kind(p) == DID_ID && !did_primitive(p->lex.token.text))
        return did_parser_use_name(p, IC_TYPE_RESERVED, &symbol->alias);
    ret = did_parser_read_type(p, &type);
    if (ret < 0)
        return ret;
    if (type->names)
        symbol->names.labels = type->names->labels;
    symbol->node.type = *type;
    symbol->node.type.names = &symbol->names;
    symbol->node.next = p->reader->nodes;
    p->reader->nodes = &symbol->node;
    return 0;
}

static int parse_definition(struct did_parser *p)
{
    struct did_reader *r = p->reader;
    struct ic_view doc = p->lex.token.doc;
    struct did_symbol *symbol = NULL;
    int ret = did_parser_next(p); /* "type" */
    if (ret < 0)
        return ret;
    if (did_parser_kind(p) != DID_ID)
        return did_expected(&p->lex, "a name that is no keyword");
    ret = did_define(r, p->file, &p->lex.token, &symbol);
    if (ret < 0)
        return ret;
    ret = did_copy_doc(p->reader, doc, &symbol->names.self.doc);
    if (ret == 0)
        ret = did_parser_next(p);
    if (ret == 0)
        ret = did_expect(&p->lex, DID_EQUALS);
    return ret < 0 ? ret : parse_body(p, symbol);
}

static int parse_import(struct did_parser *p)
{
    struct did_token path;
    bool is_service;
    int ret = did_parser_next(p); /* "import" */
    is_service = did_parser_kind(p) == DID_SERVICE;
    if (ret == 0 && is_service)
        ret = did_parser_next(p);
    if (ret < 0)
        return ret;
    path = p->lex.token;
    ret = did_expect(&p->lex, DID_STRING);
    return ret < 0 ? ret : did_import(p->reader, p->file, path.pos, path.text, is_service);
}

static int parse_definitions(struct did_parser *p)
{
    int ret = 0;
    while (ret == 0 && (did_parser_kind(p) == DID_TYPE || did_parser_kind(p) == DID_IMPORT)) {
        ret = did_parser_kind(p) == DID_TYPE ? parse_definition(p) : parse_import(p);
        if (ret < 0 || did_parser_kind(p) == DID_END || did_parser_kind(p) == DID_SERVICE)
            break;
        ret = did_expect(&p->lex, DID_SEMICOLON);
    }
    return ret;
}

/* ---- the main service ---- */

/* The arguments of a service constructor, as a func without results. */
static int parse_init(struct did_parser *p)
{
    size_t base = p->reader->n_items;
    struct ic_type *type = NULL;
    int ret = did_parser_new_type(p, IC_TYPE_FUNC, &type);
    if (ret == 0)
        ret = did_parser_read_tuple(p);
    if (ret == 0)
        ret = did_finish_func(p->reader, base, p->reader->n_items - base, type);
    did_parser_drop_items(p, base);
    p->file->init = type;
    return ret < 0 ? ret : did_expect(&p->lex, DID_ARROW);
}

static int parse_main(struct did_parser *p)
{
    struct ic_type *type = NULL;
    int ret = did_copy_doc(p->reader, p->lex.token.doc, &p->file->doc);
    p->file->service_pos = p->lex.token.pos;
    if (ret == 0)
        ret = did_parser_next(p); /* "service" */
    if (ret == 0 && did_parser_kind(p) == DID_ID)
        ret = did_parser_next(p); /* a name of no meaning */
    if (ret == 0)
        ret = did_expect(&p->lex, DID_COLON);
    if (ret == 0 && did_parser_kind(p) == DID_OPEN_PAREN)
        ret = parse_init(p);
    if (ret < 0)
        return ret;
    if (did_parser_kind(p) == DID_ID) {
        ret = did_parser_use_type(p, IC_TYPE_SERVICE, &p->file->service);
    } else if (did_parser_kind(p) == DID_OPEN_BRACE) {
        ret = did_parser_new_type(p, IC_TYPE_SERVICE, &type);
        if (ret == 0)
            ret = did_parser_read_methods(p, type);
        p->file->service = type;
    } else {
        return did_expected(&p->lex, "'{' or the name of a service");
    }
    if (ret == 0 && did_parser_kind(p) == DID_SEMICOLON)
        ret = did_parser_next(p);
    return ret;
}

int did_parse_text(struct did_reader *r, struct did_file *file)
{
    struct did_parser p = {
        .reader = r,
        .file = file,
        .lex = {.source = &file->source, .arena = r->arena, .err = r->err},
    };
    int ret = did_parser_next(&p);
    if (ret == 0)
        ret = parse_definitions(&p);
    if (ret == 0 && did_parser_kind(&p) == DID_SERVICE)
        ret = parse_main(&p);
    if (ret == 0 && did_parser_kind(&p) != DID_END)
        return did_expected(&p.lex, file->service
                                        ? "the end of the text"
                                        : "'type', 'import', 'service' or the end of the text");
    return ret;
}
