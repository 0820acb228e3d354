/* What a reply of a backup endpoint holds: see candid_chunk.h. */
#include "ic/candid_chunk.h"

#include "ic/candid_impl.h"

/* Memory for the types of a message, per byte of it. */
#define MEMORY_PER_BYTE 64

static int wrong_shape(const struct candid_reader *r, const char *what)
{
    return ic_fail(r->err, IC_E_WRONG_TYPE, "candid: not a chunk: %s", what);
}

static int read_items(struct candid_reader *r, const struct ic_type *type, unsigned depth,
                      struct ic_chunk_info *info)
{
    struct ic_cursor ahead = r->in;

    if (type->kind != IC_TYPE_VEC)
        return wrong_shape(r, "what should hold the items is no vec");
    if (!ic_cursor_leb64(&ahead, &info->n_items))
        return candid_fail(r, -EPROTO, "malformed length");
    if (type->as.elem->kind == IC_TYPE_NAT8 && info->n_items <= ic_cursor_left(&ahead))
        info->blob = ic_view(ahead.pos, (size_t)info->n_items);
    return candid_skip(r, type, depth);
}

static int read_total(struct candid_reader *r, const struct ic_type *type, unsigned depth,
                      struct ic_chunk_info *info)
{
    struct ic_value value;
    int ret = candid_read_value(r, type, depth, &value);
    if (ret == 0 && ic_value_nat64(&value, &info->total) < 0)
        return wrong_shape(r, "what should tell the total is no number of at most 64 bits");
    return ret;
}

static int read_record(struct candid_reader *r, const struct ic_type *type, unsigned depth,
                       const struct ic_chunk_fields *fields, struct ic_chunk_info *info)
{
    int ret = candid_enter(r, &depth);
    for (size_t i = 0; ret == 0 && i < type->as.fields.n; i++) {
        const struct ic_type_field *field = &type->as.fields.fields[i];
        if (field->id == fields->items)
            ret = read_items(r, field->type, depth, info);
        else if (fields->has_total && field->id == fields->total)
            ret = read_total(r, field->type, depth, info);
        else
            ret = candid_skip(r, field->type, depth);
    }
    return ret;
}

/* Are the fields there? Asked of the type, so that it holds of an opt without anything in it, too.
 */
static int check_shape(const struct candid_reader *r, const struct ic_type *type,
                       const struct ic_chunk_fields *fields)
{
    size_t place;

    for (unsigned n = 0; n < CANDID_MAX_DEPTH && type->kind == IC_TYPE_OPT; n++)
        type = type->as.elem;
    if (!fields->is_record)
        return type->kind == IC_TYPE_VEC ? 0 : wrong_shape(r, "no vec");
    if (type->kind != IC_TYPE_RECORD)
        return wrong_shape(r, "no record");
    if (!candid_find_field(type, fields->items, &place))
        return wrong_shape(r, "the field that should hold the items is not there");
    if (fields->has_total && !candid_find_field(type, fields->total, &place))
        return wrong_shape(r, "the field that should tell the total is not there");
    return 0;
}

static int read_content(struct candid_reader *r, const struct ic_chunk_fields *fields,
                        struct ic_chunk_info *info)
{
    const struct ic_type *type = r->arg_types[0];
    unsigned depth = r->max_depth;
    bool some = true;
    int ret = 0;

    while (ret == 0 && some && type->kind == IC_TYPE_OPT) {
        ret = candid_enter(r, &depth);
        if (ret == 0)
            ret = candid_read_opt_tag(r, &some);
        type = type->as.elem;
    }
    info->is_none = !some;
    if (ret < 0 || !some)
        return ret;
    if (!fields)
        return candid_skip(r, type, depth);
    return fields->is_record ? read_record(r, type, depth, fields, info)
                             : read_items(r, type, depth, info);
}

int ic_candid_chunk_info(const uint8_t *bytes, size_t len, const struct ic_chunk_fields *fields,
                         const struct ic_candid_limits *limits, struct ic_chunk_info *out,
                         struct ic_error *err)
{
    struct ic_chunk_info info = {0};
    struct candid_reader r;
    struct ic_candid *owner = NULL;
    int ret = candid_begin(&r, ic_view(bytes, len), limits, MEMORY_PER_BYTE, &owner, err);

    if (ret == 0 && r.n_args == 0)
        ret = wrong_shape(&r, "no argument");
    /* What is never anything fits every opt (Candid spec, coercion). */
    bool is_null = ret == 0 && (r.arg_types[0]->kind == IC_TYPE_NULL ||
                                r.arg_types[0]->kind == IC_TYPE_RESERVED);
    if (ret == 0 && is_null)
        info.is_none = true;
    else if (ret == 0 && fields)
        ret = check_shape(&r, r.arg_types[0], fields);
    if (ret == 0 && !is_null)
        ret = read_content(&r, fields, &info);
    for (size_t i = is_null ? 0 : 1; ret == 0 && i < r.n_args; i++)
        ret = candid_skip(&r, r.arg_types[i], r.max_depth);
    if (ret == 0 && ic_cursor_left(&r.in) != 0)
        ret = candid_fail(&r, -EPROTO, "trailing bytes");
    ic_candid_free(owner);
    if (ret == 0)
        *out = info;
    return ret;
}
