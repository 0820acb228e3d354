/* Chunks of a backup, cut and put together on the wire: see candid_split.h.
 *
 * A message is read once to learn where its parts are (candid_rows.h). What comes out are copies of
 * those ranges with new lengths of the vecs in between. As a last step the output is read like an
 * input.
 */
#include "ic/candid_split.h"

#include "ic/candid_relation.h"
#include "ic/candid_rows.h"

#include <errno.h>
#include <stdlib.h>

/* ---- writing ---- */

static struct ic_view range(const struct candid_rows *c, size_t start, size_t end)
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
                           CANDID_ROWS_MEMORY, &owner, err);
    if (ret == 0)
        ret = candid_rows_read_args(&r, 0);
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
        ret = candid_rows_read_args(r, 1);
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
    int ret = candid_begin(&r, ic_view(bytes, len), limits, CANDID_ROWS_MEMORY, &owner, err);

    if (ret == 0)
        ret = unwrap(&r, out);
    ic_candid_free(owner);
    return ret < 0 ? ret : check_message(out, start, limits, err);
}

/* ---- items and split ---- */

int ic_candid_items(const uint8_t *bytes, size_t len, const struct ic_chunk_rule *rule,
                    const struct ic_candid_limits *limits, uint64_t *out, struct ic_error *err)
{
    struct candid_rows c;
    int ret = candid_rows_open(&c, ic_view(bytes, len), true, rule, limits, err);
    if (ret == 0)
        *out = c.n_items;
    candid_rows_close(&c);
    return ret;
}

static void write_elements(const struct candid_rows *c, size_t n, size_t start, size_t end,
                           struct ic_buf *out)
{
    ic_buf_append_leb64(out, n);
    append(out, range(c, start, end));
}

static int split(const struct candid_rows *c, uint64_t k, struct ic_buf *first,
                 struct ic_buf *second)
{
    append(first, range(c, 0, c->tags_end));
    append(second, range(c, 0, c->tags_end));
    for (size_t i = 0; i < c->n_parts; i++) {
        const struct candid_part *part = &c->parts[i];
        if (part->has_items) {
            size_t n = k < part->n ? (size_t)k : part->n, cut = 0;
            int ret = candid_rows_find(c, part, n, &cut);
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
    struct candid_rows c;
    size_t first_start = first->len, second_start = second->len;
    int ret = candid_rows_open(&c, ic_view(bytes, len), true, rule, limits, err);

    if (ret == 0)
        ret = split(&c, k, first, second);
    candid_rows_close(&c);
    if (ret == 0)
        ret = check_message(first, first_start, limits, err);
    return ret < 0 ? ret : check_message(second, second_start, limits, err);
}

/* ---- merge ---- */

static int changed(const struct candid_rows *c, size_t i, const char *what)
{
    return ic_fail(c->r.err, IC_E_CHANGED, "candid: chunk %zu of those to merge differs in %s", i,
                   what);
}

static int check_types(const struct candid_rows *first, const struct candid_rows *c, size_t i)
{
    bool same = ic_view_equal(range(first, 0, first->header_len), range(c, 0, c->header_len));
    int ret = 0;
    if (!same)
        ret = ic_type_lists_relate(first->r.arg_types, first->r.n_args, c->r.arg_types, c->r.n_args,
                                   IC_TYPE_EQUAL, &same, c->r.err);
    return ret < 0 || same ? ret : changed(c, i, "its types");
}

/* What a chunk shares with the first must be the same. */
static int check_shared(const struct candid_rows *first, const struct candid_rows *c, size_t i)
{
    if (!ic_view_equal(range(first, first->header_len, first->tags_end),
                       range(c, c->header_len, c->tags_end)))
        return changed(c, i, "whether there is anything");
    for (size_t k = 0; k < c->n_parts; k++) {
        const struct candid_part *a = &first->parts[k], *b = &c->parts[k];
        if (!a->has_items && !a->is_latest &&
            !ic_view_equal(range(first, a->start, a->end), range(c, b->start, b->end)))
            return changed(c, i, "a field that holds no items");
    }
    if (!ic_view_equal(range(first, first->rest, first->msg.len), range(c, c->rest, c->msg.len)))
        return changed(c, i, "its other arguments");
    return 0;
}

static void merge_items(const struct candid_rows *chunks, size_t n, size_t k, struct ic_buf *out)
{
    uint64_t total = 0;
    for (size_t i = 0; i < n; i++)
        total += chunks[i].parts[k].n;
    ic_buf_append_leb64(out, total);
    for (size_t i = 0; i < n; i++)
        append(out, range(&chunks[i], chunks[i].parts[k].body, chunks[i].parts[k].end));
}

static void write_merged(const struct candid_rows *chunks, size_t n, struct ic_buf *out)
{
    const struct candid_rows *first = &chunks[0];

    append(out, range(first, 0, first->tags_end));
    for (size_t k = 0; k < first->n_parts; k++) {
        const struct candid_rows *c = first->parts[k].is_latest ? &chunks[n - 1] : first;
        if (c->parts[k].has_items)
            merge_items(chunks, n, k, out);
        else
            append(out, range(c, c->parts[k].start, c->parts[k].end));
    }
    append(out, range(first, first->rest, first->msg.len));
}

static int open_all(const struct ic_view *msgs, size_t n, const struct ic_chunk_rule *rule,
                    const struct ic_candid_limits *limits, struct candid_rows *chunks,
                    struct ic_error *err)
{
    int ret = 0;
    for (size_t i = 0; ret == 0 && i < n; i++) {
        ret = candid_rows_open(&chunks[i], msgs[i], true, rule, limits, err);
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
    struct candid_rows *opened;
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
        candid_rows_close(&opened[i]);
    free(opened);
    return ret < 0 ? ret : check_message(out, start, limits, err);
}
