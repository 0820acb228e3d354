/* Chunks of a backup, cut and put together on the wire: see candid_split.h.
 *
 * A message is read once, value by value and without keeping any, to learn where its parts are: the
 * header (types), the tags of opts, each field of the record, the other arguments. What comes out
 * are copies of those ranges with new lengths of the vecs in between. That works across type tables
 * because values of equal types have equal bytes: fields stand in the order of their ids, cases are
 * numbered by it, and no value refers to the table. As a last step the output is read like an
 * input.
 *
 *     | DIDL, types | 01 | len elements | field | len elements | ... | other arguments |
 *      header        tags  part          part    part                  rest
 */
#include "ic/candid_split.h"

#include "ic/candid_impl.h"
#include "ic/candid_relation.h"

#include <errno.h>
#include <stdlib.h>

/* Memory for the types and fields of a message, per byte of it. */
#define MEMORY_PER_BYTE 64

/* A field of the record, or the vec itself; offsets in the message. */
struct part {
    const struct ic_type *type;
    bool has_items;
    bool is_latest;
    size_t start;
    size_t body; /* of its elements, when it has items */
    size_t end;
    size_t n;
};

struct chunk {
    struct ic_candid *owner; /* of types and parts */
    struct candid_reader r;
    struct ic_view msg;
    size_t header_len;  /* bytes before the first value */
    struct part *parts; /* none when the opt is empty */
    size_t n_parts;
    size_t tags_end; /* where the parts start */
    size_t rest;     /* where the other arguments start */
    uint64_t n_items;
};

static int wrong_shape(const struct candid_reader *r, const char *what)
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
static int classify_fields(struct chunk *c, const struct ic_type *type,
                           const struct ic_chunk_rule *rule)
{
    size_t n_items = 0;

    for (size_t i = 0; i < type->as.fields.n; i++) {
        const struct ic_type_field *field = &type->as.fields.fields[i];
        struct part *part = &c->parts[i];
        part->type = field->type;
        part->is_latest = rule && contains(rule->latest, rule->n_latest, field->id);
        if (rule && rule->n_items)
            part->has_items = contains(rule->items, rule->n_items, field->id);
        else
            part->has_items =
                field->type->kind == IC_TYPE_VEC && !is_blob(field->type) && !part->is_latest;
        if (part->has_items && field->type->kind != IC_TYPE_VEC)
            return wrong_shape(&c->r, "a field that should hold items is no vec");
        n_items += part->has_items;
    }
    if (rule && rule->n_items && n_items != rule->n_items)
        return wrong_shape(&c->r, "a field that should hold items is not there");
    if (n_items == 0)
        return wrong_shape(&c->r, "a record without a vec");
    return 0;
}

static int make_parts(struct chunk *c, const struct ic_type *type, const struct ic_chunk_rule *rule)
{
    bool is_record = type->kind == IC_TYPE_RECORD;
    size_t n = is_record ? type->as.fields.n : 1;
    void *memory;
    int ret;

    if (!is_record && type->kind != IC_TYPE_VEC)
        return wrong_shape(&c->r, "neither a vec nor a record");
    ret = ic_arena_alloc(c->r.arena, n, sizeof(*c->parts), &memory);
    if (ret < 0)
        return candid_fail(&c->r, ret, "fields");
    c->parts = memory;
    c->n_parts = n;
    for (size_t i = 0; i < n; i++)
        c->parts[i] = (struct part){0};
    if (is_record)
        return classify_fields(c, type, rule);
    c->parts[0].type = type;
    c->parts[0].has_items = true;
    return 0;
}

/* ---- reading ---- */

/* Past the tags of opts. *some says whether there is something in the innermost. */
static int read_tags(struct chunk *c, const struct ic_type **type, unsigned *depth, bool *some)
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

static int read_part(struct chunk *c, struct part *part, unsigned depth)
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

static int read_content(struct chunk *c, bool is_record, unsigned depth)
{
    int ret = is_record ? candid_enter(&c->r, &depth) : 0;
    for (size_t i = 0; ret == 0 && i < c->n_parts; i++)
        ret = read_part(c, &c->parts[i], depth);
    return ret;
}

/* The arguments from the i-th on, and the end. */
static int read_args(struct candid_reader *r, size_t i)
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

/* Read a chunk. To be closed also when this fails. */
static int chunk_open(struct chunk *c, struct ic_view msg, const struct ic_chunk_rule *rule,
                      const struct ic_candid_limits *limits, struct ic_error *err)
{
    const struct ic_type *type;
    bool some = false;
    unsigned depth;
    int ret;

    *c = (struct chunk){.msg = msg};
    ret = candid_begin(&c->r, msg, limits, MEMORY_PER_BYTE, &c->owner, err);
    if (ret < 0)
        return ret;
    c->header_len = candid_offset(&c->r);
    if (c->r.n_args == 0)
        return wrong_shape(&c->r, "no argument");
    type = c->r.arg_types[0];
    ret = make_parts(c, type_in_opts(type), rule);
    if (ret < 0)
        return ret;
    depth = c->r.max_depth;
    ret = read_tags(c, &type, &depth, &some);
    if (!some)
        c->n_parts = 0;
    else if (ret == 0)
        ret = read_content(c, type->kind == IC_TYPE_RECORD, depth);
    c->rest = candid_offset(&c->r);
    return ret < 0 ? ret : read_args(&c->r, 1);
}

static void chunk_close(struct chunk *c)
{
    ic_candid_free(c->owner);
}

/* Where the k-th element of a part starts. */
static int find_element(const struct chunk *c, const struct part *part, size_t k, size_t *out)
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

/* ---- writing ---- */

static struct ic_view range(const struct chunk *c, size_t start, size_t end)
{
    return ic_view(c->msg.bytes + start, end - start);
}

static void append(struct ic_buf *out, struct ic_view view)
{
    ic_buf_append(out, view.bytes, view.len);
}

static int check_status(const struct ic_buf *out, struct ic_error *err)
{
    return ic_buf_status(out) < 0 ? ic_fail(err, IC_E_NO_MEMORY, "candid: out of memory") : 0;
}

/* Read what was written from start on: it may be over a limit, which follows the length. */
static int check_message(const struct ic_buf *out, size_t start,
                         const struct ic_candid_limits *limits, struct ic_error *err)
{
    struct candid_reader r;
    struct ic_candid *owner = NULL;
    int ret = check_status(out, err);

    if (ret == 0)
        ret = candid_begin(&r, ic_view(out->bytes + start, out->len - start), limits,
                           MEMORY_PER_BYTE, &owner, err);
    if (ret == 0)
        ret = read_args(&r, 0);
    ic_candid_free(owner);
    return ret;
}

/* ---- unwrap ---- */

/* The number by which the message refers to a type. */
static int64_t code_of(const struct candid_reader *r, const struct ic_type *type)
{
    return type->kind < IC_TYPE_OPT ? candid_primitive_code(type->kind) : type - r->types;
}

/* The header with the content's type in place of the opt's. */
static void write_unwrapped_header(const struct candid_reader *r, size_t header_len,
                                   const struct ic_type *content, struct ic_buf *out)
{
    struct ic_cursor in = ic_cursor(r->start + r->args_start, header_len - r->args_start);
    const uint8_t *code;
    uint64_t n;
    int64_t old;

    if (!ic_cursor_leb64(&in, &n)) /* all of it was read before */
        return;
    code = in.pos;
    if (!ic_cursor_sleb64(&in, &old))
        return;
    ic_buf_append(out, r->start, (size_t)(code - r->start));
    ic_buf_append_sleb64(out, code_of(r, content));
    ic_buf_append(out, in.pos, ic_cursor_left(&in));
}

static int unwrap(struct candid_reader *r, struct ic_buf *out)
{
    const struct ic_type *type = r->n_args > 0 ? r->arg_types[0] : &ic_type_empty;
    size_t header_len = candid_offset(r), content;
    unsigned depth = r->max_depth;
    bool some = false;
    int ret = 0;

    if (type->kind == IC_TYPE_OPT) {
        ret = candid_enter(r, &depth);
        if (ret == 0)
            ret = candid_read_opt_tag(r, &some);
    } else if (type->kind != IC_TYPE_NULL && type->kind != IC_TYPE_RESERVED) {
        return ic_fail(r->err, IC_E_WRONG_TYPE, "candid: the first argument is no opt");
    }
    content = candid_offset(r);
    if (ret == 0 && some)
        ret = candid_skip(r, type->as.elem, depth);
    if (ret == 0)
        ret = read_args(r, 1);
    if (ret == 0 && !some)
        ret = ic_fail(r->err, IC_E_NOT_FOUND, "candid: there is nothing in the opt");
    if (ret < 0)
        return ret;
    write_unwrapped_header(r, header_len, type->as.elem, out);
    ic_buf_append(out, r->start + content, candid_offset(r) - content);
    return 0;
}

int ic_candid_unwrap(const uint8_t *bytes, size_t len, const struct ic_candid_limits *limits,
                     struct ic_buf *out, struct ic_error *err)
{
    struct candid_reader r;
    struct ic_candid *owner = NULL;
    size_t start = out->len;
    int ret = candid_begin(&r, ic_view(bytes, len), limits, MEMORY_PER_BYTE, &owner, err);

    if (ret == 0)
        ret = unwrap(&r, out);
    ic_candid_free(owner);
    return ret < 0 ? ret : check_message(out, start, limits, err);
}

/* ---- items and split ---- */

int ic_candid_items(const uint8_t *bytes, size_t len, const struct ic_chunk_rule *rule,
                    const struct ic_candid_limits *limits, uint64_t *out, struct ic_error *err)
{
    struct chunk c;
    int ret = chunk_open(&c, ic_view(bytes, len), rule, limits, err);
    if (ret == 0)
        *out = c.n_items;
    chunk_close(&c);
    return ret;
}

static void write_elements(const struct chunk *c, size_t n, size_t start, size_t end,
                           struct ic_buf *out)
{
    ic_buf_append_leb64(out, n);
    append(out, range(c, start, end));
}

static int split(const struct chunk *c, uint64_t k, struct ic_buf *first, struct ic_buf *second)
{
    append(first, range(c, 0, c->tags_end));
    append(second, range(c, 0, c->tags_end));
    for (size_t i = 0; i < c->n_parts; i++) {
        const struct part *part = &c->parts[i];
        if (part->has_items) {
            size_t n = k < part->n ? (size_t)k : part->n, cut = 0;
            int ret = find_element(c, part, n, &cut);
            if (ret < 0)
                return ret;
            write_elements(c, n, part->body, cut, first);
            write_elements(c, part->n - n, cut, part->end, second);
        } else {
            append(first, range(c, part->start, part->end));
            append(second, range(c, part->start, part->end));
        }
    }
    append(first, range(c, c->rest, c->msg.len));
    append(second, range(c, c->rest, c->msg.len));
    return 0;
}

int ic_candid_split(const uint8_t *bytes, size_t len, uint64_t k, const struct ic_chunk_rule *rule,
                    const struct ic_candid_limits *limits, struct ic_buf *first,
                    struct ic_buf *second, struct ic_error *err)
{
    struct chunk c;
    size_t first_start = first->len, second_start = second->len;
    int ret = chunk_open(&c, ic_view(bytes, len), rule, limits, err);

    if (ret == 0)
        ret = split(&c, k, first, second);
    chunk_close(&c);
    if (ret == 0)
        ret = check_message(first, first_start, limits, err);
    return ret < 0 ? ret : check_message(second, second_start, limits, err);
}

/* ---- merge ---- */

static int changed(const struct chunk *c, size_t i, const char *what)
{
    return ic_fail(c->r.err, IC_E_CHANGED, "candid: chunk %zu of those to merge differs in %s", i,
                   what);
}

static int check_types(const struct chunk *first, const struct chunk *c, size_t i)
{
    bool same = ic_view_equal(range(first, 0, first->header_len), range(c, 0, c->header_len));
    int ret = 0;
    if (!same)
        ret = ic_type_lists_relate(first->r.arg_types, first->r.n_args, c->r.arg_types, c->r.n_args,
                                   IC_TYPE_EQUAL, &same, c->r.err);
    return ret < 0 || same ? ret : changed(c, i, "its types");
}

/* What a chunk shares with the first must be the same. */
static int check_shared(const struct chunk *first, const struct chunk *c, size_t i)
{
    if (!ic_view_equal(range(first, first->header_len, first->tags_end),
                       range(c, c->header_len, c->tags_end)))
        return changed(c, i, "whether there is anything");
    for (size_t k = 0; k < c->n_parts; k++) {
        const struct part *a = &first->parts[k], *b = &c->parts[k];
        if (!a->has_items && !a->is_latest &&
            !ic_view_equal(range(first, a->start, a->end), range(c, b->start, b->end)))
            return changed(c, i, "a field that holds no items");
    }
    if (!ic_view_equal(range(first, first->rest, first->msg.len), range(c, c->rest, c->msg.len)))
        return changed(c, i, "its other arguments");
    return 0;
}

static void merge_items(const struct chunk *chunks, size_t n, size_t k, struct ic_buf *out)
{
    uint64_t total = 0;
    for (size_t i = 0; i < n; i++)
        total += chunks[i].parts[k].n;
    ic_buf_append_leb64(out, total);
    for (size_t i = 0; i < n; i++)
        append(out, range(&chunks[i], chunks[i].parts[k].body, chunks[i].parts[k].end));
}

static void write_merged(const struct chunk *chunks, size_t n, struct ic_buf *out)
{
    const struct chunk *first = &chunks[0];

    append(out, range(first, 0, first->tags_end));
    for (size_t k = 0; k < first->n_parts; k++) {
        const struct chunk *c = first->parts[k].is_latest ? &chunks[n - 1] : first;
        if (c->parts[k].has_items)
            merge_items(chunks, n, k, out);
        else
            append(out, range(c, c->parts[k].start, c->parts[k].end));
    }
    append(out, range(first, first->rest, first->msg.len));
}

static int open_all(const struct ic_view *msgs, size_t n, const struct ic_chunk_rule *rule,
                    const struct ic_candid_limits *limits, struct chunk *chunks,
                    struct ic_error *err)
{
    int ret = 0;
    for (size_t i = 0; ret == 0 && i < n; i++) {
        ret = chunk_open(&chunks[i], msgs[i], rule, limits, err);
        if (ret == 0)
            ret = check_types(&chunks[0], &chunks[i], i);
        if (ret == 0)
            ret = check_shared(&chunks[0], &chunks[i], i);
    }
    return ret;
}

int ic_candid_merge(const struct ic_view *chunks, size_t n, const struct ic_chunk_rule *rule,
                    const struct ic_candid_limits *limits, struct ic_buf *out, struct ic_error *err)
{
    struct chunk *opened;
    size_t start = out->len, len = 0;
    int ret;

    if (n == 0)
        return ic_fail(err, IC_E_CONFIG, "candid: no chunks to merge");
    opened = calloc(n, sizeof(*opened));
    if (!opened)
        return ic_fail(err, IC_E_NO_MEMORY, "candid: out of memory");
    ret = open_all(chunks, n, rule, limits, opened, err);
    for (size_t i = 0; i < n; i++)
        len += chunks[i].len;
    if (ret == 0) {
        ic_buf_reserve(out, len);
        write_merged(opened, n, out);
    }
    for (size_t i = 0; i < n; i++)
        chunk_close(&opened[i]);
    free(opened);
    return ret < 0 ? ret : check_message(out, start, limits, err);
}
