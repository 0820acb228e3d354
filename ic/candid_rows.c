/* Messages as rows of items: see candid_rows.h. */
#include "ic/candid_rows.h"

#include <errno.h>

int candid_rows_refuse(const struct candid_reader *r, const char *what)
{
    return ic_fail(r->err, IC_E_WRONG_TYPE, "candid: not a chunk: %s", what);
}

/* ---- shapes ---- */

static bool contains(const uint32_t *ids, size_t n, uint32_t id)
{
    for (size_t i = 0; i < n; i++)
        if (ids[i] == id)
            return true;
    return false;
}

static bool is_blob(const struct ic_type *type)
{
    return type->kind == IC_TYPE_VEC && type->as.elem->kind == IC_TYPE_NAT8;
}

/* Decide what each field is. */
static int classify_fields(struct candid_rows *c, const struct ic_type *type,
                           const struct ic_chunk_rule *rule)
{
    size_t n_items = 0;

    for (size_t i = 0; i < type->as.fields.n; i++) {
        const struct ic_type_field *field = &type->as.fields.fields[i];
        struct candid_part *part = &c->parts[i];
        part->is_latest = rule && contains(rule->latest, rule->n_latest, field->id);
        if (rule && rule->n_items)
            part->has_items = contains(rule->items, rule->n_items, field->id);
        else
            part->has_items =
                field->type->kind == IC_TYPE_VEC && !is_blob(field->type) && !part->is_latest;
        if (part->has_items && field->type->kind != IC_TYPE_VEC)
            return candid_rows_refuse(&c->r, "a field that should hold items is no vec");
        n_items += part->has_items;
    }
    if (rule && rule->n_items && n_items != rule->n_items)
        return candid_rows_refuse(&c->r, "a field that should hold items is not there");
    if (n_items == 0)
        return candid_rows_refuse(&c->r, "a record without a vec");
    return 0;
}

static int make_parts(struct candid_rows *c, const struct ic_type *type, bool has_rows,
                      const struct ic_chunk_rule *rule)
{
    bool is_record = type->kind == IC_TYPE_RECORD;
    size_t n = is_record ? type->as.fields.n : 1;
    void *memory;
    int ret;

    if (has_rows && !is_record && type->kind != IC_TYPE_VEC)
        return candid_rows_refuse(&c->r, "neither a vec nor a record");
    ret = ic_arena_alloc(c->r.arena, n, sizeof(*c->parts), &memory);
    if (ret < 0)
        return candid_fail(&c->r, ret, "fields");
    c->parts = memory;
    c->n_parts = n;
    for (size_t i = 0; i < n; i++)
        c->parts[i] =
            (struct candid_part){.type = is_record ? type->as.fields.fields[i].type : type};
    if (has_rows && is_record)
        return classify_fields(c, type, rule);
    if (!is_record)
        c->parts[0].has_items = has_rows;
    return 0;
}

/* ---- reading ---- */

/* Past the tags of opts. *some says whether there is something in the innermost. */
static int read_tags(struct candid_rows *c, const struct ic_type **type, unsigned *depth,
                     bool *some)
{
    int ret = 0;
    *some = true;
    while (ret == 0 && *some && (*type)->kind == IC_TYPE_OPT) {
        ret = candid_enter(&c->r, depth);
        if (ret == 0)
            ret = candid_read_opt_tag(&c->r, some);
        *type = (*type)->as.elem;
    }
    c->tags_end = candid_offset(&c->r);
    return ret;
}

static int read_part(struct candid_rows *c, struct candid_part *part, unsigned depth)
{
    struct candid_reader *r = &c->r;
    struct ic_cursor ahead = r->in;
    uint64_t n = 0;
    int ret;

    part->start = candid_offset(r);
    if (part->has_items && !ic_cursor_leb64(&ahead, &n))
        return candid_fail(r, -EPROTO, "malformed length");
    part->body = (size_t)(ahead.pos - r->start);
    part->n = (size_t)n;
    ret = candid_skip(r, part->type, depth);
    part->end = candid_offset(r);
    if (part->n > c->n_items)
        c->n_items = part->n;
    return ret;
}

static int read_content(struct candid_rows *c, bool is_record, unsigned depth)
{
    int ret = is_record ? candid_enter(&c->r, &depth) : 0;
    for (size_t i = 0; ret == 0 && i < c->n_parts; i++)
        ret = read_part(c, &c->parts[i], depth);
    return ret;
}

int candid_rows_read_args(struct candid_reader *r, size_t i)
{
    int ret = 0;
    for (; ret == 0 && i < r->n_args; i++)
        ret = candid_skip(r, r->arg_types[i], r->max_depth);
    if (ret == 0 && ic_cursor_left(&r->in) != 0)
        ret = candid_fail(r, -EPROTO, "trailing bytes");
    return ret;
}

/* What is in the opts; NULL when they never end. */
static const struct ic_type *type_in_opts(const struct ic_type *type)
{
    for (unsigned n = 0; n < CANDID_MAX_DEPTH && type->kind == IC_TYPE_OPT; n++)
        type = type->as.elem;
    return type;
}

int candid_rows_open(struct candid_rows *c, struct ic_view msg, bool has_rows,
                     const struct ic_chunk_rule *rule, const struct ic_candid_limits *limits,
                     struct ic_error *err)
{
    const struct ic_type *type;
    bool some = false;
    unsigned depth;
    int ret;

    *c = (struct candid_rows){.msg = msg};
    ret = candid_begin(&c->r, msg, limits, CANDID_ROWS_MEMORY, &c->owner, err);
    if (ret < 0)
        return ret;
    c->header_len = candid_offset(&c->r);
    if (c->r.n_args == 0)
        return candid_rows_refuse(&c->r, "no argument");
    type = c->r.arg_types[0];
    c->type = type_in_opts(type);
    ret = make_parts(c, c->type, has_rows, rule);
    if (ret < 0)
        return ret;
    depth = c->r.max_depth;
    ret = read_tags(c, &type, &depth, &some);
    c->is_none = !some;
    if (!some)
        c->n_parts = 0;
    else if (ret == 0)
        ret = read_content(c, type->kind == IC_TYPE_RECORD, depth);
    c->rest = candid_offset(&c->r);
    return ret < 0 ? ret : candid_rows_read_args(&c->r, 1);
}

void candid_rows_close(struct candid_rows *c)
{
    ic_candid_free(c->owner);
}

int candid_rows_find(const struct candid_rows *c, const struct candid_part *part, size_t k,
                     size_t *out)
{
    const struct ic_type *elem = part->type->as.elem;
    size_t width = candid_fixed_width(elem->kind);
    struct candid_reader r = c->r;
    int ret = 0;

    *out = part->end;
    if (k == part->n || elem->is_zero_width)
        return 0;
    if (width) {
        *out = part->body + k * width;
        return 0;
    }
    r.in = ic_cursor(c->msg.bytes + part->body, part->end - part->body);
    r.values_left = SIZE_MAX; /* they were charged for before */
    for (size_t i = 0; ret == 0 && i < k; i++)
        ret = candid_skip(&r, elem, r.max_depth);
    *out = candid_offset(&r);
    return ret;
}
