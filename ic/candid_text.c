/* Candid's text form into values: see candid_text.h.
 *
 * The text is copied first, so that texts and blobs without escapes can be views into it.
 */
#include "ic/candid_text.h"

#include "ic/candid_number.h"
#include "ic/candid_text_impl.h"

#include <stdlib.h>
#include <string.h>

/* ---- memory ---- */

/* What a value, its node or its type takes, for one character of text. A record may have many
 * fields left out, which the base leaves room for. */
#define MEMORY_BASE     ((size_t)16 * 1024 * 1024)
#define MEMORY_PER_BYTE 256

int text_alloc(struct text_parser *p, struct ic_arena *arena, size_t n, size_t size, void **out)
{
    int ret = ic_arena_alloc(arena, n, size, out);
    if (ret == -E2BIG)
        return text_fail(p, p->lex.pos, "needs more memory than its length justifies");
    return ret;
}

int text_new_node(struct text_parser *p, enum text_kind kind, size_t pos, struct text_node **out)
{
    void *memory;
    int ret = text_alloc(p, &p->nodes, 1, sizeof(**out), &memory);
    if (ret < 0)
        return ret;
    *out = memory;
    **out = (struct text_node){.kind = kind, .pos = pos};
    return 0;
}

/* ---- nodes into values ---- */

static int build(struct text_parser *p, const struct text_node *node, const struct ic_type *type,
                 unsigned depth, struct ic_value *out);

static int alloc_values(struct text_parser *p, size_t n, struct ic_value **out)
{
    void *memory;
    int ret = text_alloc(p, p->arena, n, sizeof(**out), &memory);
    if (ret < 0)
        return ret;
    *out = memory;
    return 0;
}

static int build_number(struct text_parser *p, const struct text_node *node, struct ic_value *out)
{
    bool is_float = node->kind == TEXT_FLOAT;
    int ret;

    if (is_float)
        ret = candid_float_parse(node->bytes, node->is_negative, out);
    else
        ret = candid_integer_parse(node->bytes, node->is_negative, p->arena, out);
    if (ret == -ERANGE)
        return text_fail(p, node->pos, "a number too large for its type");
    if (ret == -E2BIG)
        return text_fail(p, node->pos, "a number of too many digits");
    return ret;
}

static int build_func(struct text_parser *p, const struct text_node *node, struct ic_value *out)
{
    struct ic_func_value *func;
    void *memory;
    int ret = text_alloc(p, p->arena, 1, sizeof(*func), &memory);
    if (ret < 0)
        return ret;
    func = memory;
    *func = (struct ic_func_value){node->bytes, node->method};
    out->as.func = func;
    return 0;
}

static int build_opt(struct text_parser *p, const struct text_node *node, unsigned depth,
                     struct ic_value *out)
{
    struct ic_value *content = NULL;
    int ret;

    out->as.opt = NULL;
    if (node->kind == TEXT_NONE)
        return 0;
    ret = alloc_values(p, 1, &content);
    if (ret == 0)
        ret = build(p, node->first, out->type->as.elem, depth, content);
    out->as.opt = content;
    return ret;
}

/* Numbers and bools, as they are on the wire. */
static int build_packed(struct text_parser *p, const struct text_node *node, size_t width,
                        struct ic_value *out)
{
    uint8_t *bytes;
    void *memory;
    size_t n = 0;
    int ret;

    if (node->kind == TEXT_BLOB) {
        out->as.bytes = node->bytes;
        return 0;
    }
    ret = text_alloc(p, p->arena, node->n, width, &memory);
    if (ret < 0)
        return ret;
    bytes = memory;
    for (const struct text_node *e = node->first; ret == 0 && e; e = e->next) {
        struct ic_value item = {.type = out->type->as.elem};
        if (e->kind == TEXT_BOOL)
            item.as.boolean = e->boolean;
        else
            ret = build_number(p, e, &item);
        for (size_t i = 0; ret == 0 && i < width; i++)
            bytes[n++] = (uint8_t)(candid_fixed_bits(&item) >> (8 * i));
    }
    out->as.bytes = ic_view(bytes, n);
    return ret;
}

static int build_vec(struct text_parser *p, const struct text_node *node, unsigned depth,
                     struct ic_value *out)
{
    const struct ic_type *elem = out->type->as.elem;
    size_t width = candid_fixed_width(elem->kind), n;
    const struct text_node *e = node->first;
    struct ic_value *items = NULL;
    int ret;

    if (width)
        return build_packed(p, node, width, out);
    n = elem->is_zero_width && node->n > 0 ? 1 : node->n; /* one stands for all */
    ret = alloc_values(p, n, &items);
    for (size_t i = 0; ret == 0 && i < n; i++, e = e->next)
        ret = build(p, e, elem, depth, &items[i]);
    out->as.seq.items = items;
    out->as.seq.n = node->n;
    return ret;
}

static int build_record(struct text_parser *p, const struct text_node *node, unsigned depth,
                        struct ic_value *out)
{
    size_t n = out->type->as.fields.n;
    const struct text_node *f = node->first;
    struct ic_value *items = NULL;
    int ret = alloc_values(p, n, &items);

    for (size_t i = 0; ret == 0 && i < n; i++, f = f->next)
        ret = build(p, f, out->type->as.fields.fields[i].type, depth, &items[i]);
    out->as.seq.items = items;
    out->as.seq.n = n;
    return ret;
}

static int build_variant(struct text_parser *p, const struct text_node *node, unsigned depth,
                         struct ic_value *out)
{
    struct ic_value *payload = NULL;
    size_t position = 0;
    int ret;

    if (!candid_find_field(out->type, node->first->id, &position))
        return text_fail(p, node->pos, "no such case"); /* it fits, so this cannot be */
    ret = alloc_values(p, 1, &payload);
    if (ret == 0)
        ret = build(p, node->first, out->type->as.fields.fields[position].type, depth, payload);
    out->as.variant.payload = payload;
    out->as.variant.position = (uint32_t)position;
    return ret;
}

static int build_content(struct text_parser *p, const struct text_node *node, unsigned depth,
                         struct ic_value *out)
{
    switch ((int)out->type->kind) {
    case IC_TYPE_NULL:
    case IC_TYPE_RESERVED:
        return 0;
    case IC_TYPE_BOOL:
        out->as.boolean = node->boolean;
        return 0;
    case IC_TYPE_TEXT:
        out->as.text = node->bytes;
        return 0;
    case IC_TYPE_PRINCIPAL:
    case IC_TYPE_SERVICE:
        out->as.bytes = node->bytes;
        return 0;
    case IC_TYPE_FUNC:
        return build_func(p, node, out);
    case IC_TYPE_OPT:
        return build_opt(p, node, depth, out);
    case IC_TYPE_VEC:
        return build_vec(p, node, depth, out);
    case IC_TYPE_RECORD:
        return build_record(p, node, depth, out);
    case IC_TYPE_VARIANT:
        return build_variant(p, node, depth, out);
    default:
        return build_number(p, node, out);
    }
}

/* The value of a node that fits the type. */
static int build(struct text_parser *p, const struct text_node *node, const struct ic_type *type,
                 unsigned depth, struct ic_value *out)
{
    struct ic_value v = {.type = type};
    int ret;

    if (depth == 0)
        return text_fail(p, node->pos, "values nest deeper than %d", CANDID_MAX_DEPTH);
    ret = build_content(p, node, depth - 1, &v);
    if (ret == 0)
        *out = v;
    return ret;
}

/* ---- arguments ---- */

/* As many arguments as are expected. */
static int fit_args(struct text_parser *p, struct text_node *list,
                    const struct ic_type *const *types, size_t n)
{
    struct text_node **end = &list->first;
    int ret = 0;

    for (size_t i = 0; ret == 0 && i < n; i++) {
        if (*end)
            ret = text_fit(p, *end, types[i]);
        else
            ret = text_new_default(p, types[i], p->lex.token.pos, end);
        if (ret == -ENOENT)
            return text_fail(p, p->lex.token.pos, "%zu arguments are expected, here are %zu", n,
                             list->n);
        if (ret == 0)
            end = &(*end)->next;
    }
    if (ret == 0 && *end && (p->flags & IC_TEXT_REFUSE_UNKNOWN))
        return text_fail(p, (*end)->pos, "%zu arguments are expected, here are %zu", n, list->n);
    return ret;
}

/* Find the types of the arguments. */
static int infer_args(struct text_parser *p, struct text_node *list,
                      const struct ic_type *const **out)
{
    const struct ic_type **types;
    void *memory;
    size_t n = 0;
    int ret = text_alloc(p, &p->nodes, list->n, sizeof(const struct ic_type *), &memory);

    if (ret < 0)
        return ret;
    types = memory;
    for (const struct text_node *arg = list->first; ret == 0 && arg; arg = arg->next)
        ret = text_infer(p, arg, &types[n++]);
    *out = types;
    return ret;
}

static int finish(struct text_parser *p, struct text_node *list, const struct ic_type *const *types,
                  size_t n, struct ic_candid *msg)
{
    const struct text_node *arg;
    struct ic_value *args = NULL;
    int ret = 0;

    if (!types) {
        n = list->n;
        ret = infer_args(p, list, &types);
    }
    if (ret == 0)
        ret = fit_args(p, list, types, n);
    if (ret == 0)
        ret = alloc_values(p, n, &args);
    arg = list->first;
    for (size_t i = 0; ret == 0 && i < n; i++, arg = arg->next)
        ret = build(p, arg, types[i], CANDID_MAX_DEPTH, &args[i]);
    msg->args = args;
    msg->n = n;
    return ret;
}

/* ---- whole texts ---- */

/* A copy of the text that lives as long as the values. */
static int copy_text(struct text_parser *p, const char *text, size_t len)
{
    uint8_t *copy;
    void *memory;
    int ret = text_alloc(p, p->arena, len, 1, &memory);
    if (ret < 0)
        return ret;
    copy = memory;
    if (len)
        memcpy(copy, text, len);
    p->source.text = ic_view(copy, len);
    return did_check_utf8(p->err, &p->source);
}

/* How a text is read: as arguments, or as a value. */
typedef int parse_fn(struct text_parser *p, struct text_node *list);

static int read_text(struct text_parser *p, parse_fn *parse, const struct ic_type *const *types,
                     size_t n, struct ic_candid *msg)
{
    struct text_node list = {.kind = TEXT_VEC};
    int ret = parse(p, &list);
    return ret < 0 ? ret : finish(p, &list, types, n, msg);
}

static int parse_with(const char *text, size_t len, parse_fn *parse,
                      const struct ic_type *const *types, size_t n, unsigned flags,
                      struct ic_candid **out, struct ic_error *err)
{
    struct ic_candid *msg;
    struct text_parser p = {.err = err, .flags = flags, .source.prefix = "candid: "};
    int ret;

    if (len > IC_CANDID_MAX_TEXT)
        return ic_fail(err, IC_E_MALFORMED, "candid: the text is over %d bytes",
                       IC_CANDID_MAX_TEXT);
    msg = calloc(1, sizeof(*msg));
    if (!msg)
        return ic_fail(err, IC_E_NO_MEMORY, "candid: out of memory");
    ic_arena_init(&msg->arena, MEMORY_BASE + MEMORY_PER_BYTE * len);
    ic_arena_init(&p.nodes, MEMORY_BASE + MEMORY_PER_BYTE * len);
    p.arena = &msg->arena;
    p.fits_left = 65536 + 64 * len;
    p.lex = (struct did_lexer){.source = &p.source, .arena = &msg->arena, .err = err};
    p.types = (struct did_reader){.arena = &msg->arena, .err = err, .types_left = SIZE_MAX};
    ret = copy_text(&p, text, len);
    if (ret == 0)
        ret = read_text(&p, parse, types, n, msg);
    free(p.types.items);
    ic_arena_fini(&p.nodes);
    if (ret == -ENOMEM)
        ic_fail(err, IC_E_NO_MEMORY, "candid: out of memory");
    if (ret < 0)
        ic_candid_free(msg);
    else
        *out = msg;
    return ret;
}

int ic_candid_parse(const char *text, size_t len, const struct ic_type *const *types, size_t n,
                    unsigned flags, struct ic_candid **out, struct ic_error *err)
{
    return parse_with(text, len, text_parse_args, types, n, flags, out, err);
}

int ic_candid_parse_value(const char *text, size_t len, const struct ic_type *type, unsigned flags,
                          struct ic_candid **out, struct ic_error *err)
{
    return parse_with(text, len, text_parse_value, type ? &type : NULL, type ? 1 : 0, flags, out,
                      err);
}
