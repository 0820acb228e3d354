/* Arguments of a restore: see candid_piece.h. */
#include "ic/candid_piece.h"

#include "ic/candid_rows.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* A vec whose elements belong to rows, and how far it was gone through. */
struct column {
    const struct candid_part *part;
    struct place {
        size_t index; /* of the next element */
        size_t at;    /* its offset in the message */
    } from, until;    /* of the last piece */
    struct place next;
};

/* A value of the argument: a part of the content, or all of it. */
struct member {
    size_t first, n; /* parts */
    unsigned n_opts; /* further ones around it */
};

struct ic_pieces {
    struct candid_rows rows;
    struct member *members;
    size_t n_members;
    unsigned n_opts;
    const struct ic_type *type;
    struct ic_buf header; /* up to the values */
    uint64_t n_items;
    size_t shared_len; /* of a piece, at most, but for elements */

    /* Those that are sent, the longest first: row i is made of the first that are longer than i. */
    struct column *columns;
    size_t n_columns;
    uint64_t start, end; /* the items of the last piece */
};

/* ---- types ---- */

static int alloc(struct ic_arena *arena, size_t n, size_t size, void **out, struct ic_error *err)
{
    int ret = ic_arena_alloc(arena, n, size, out);
    return ret == 0        ? 0
           : ret == -E2BIG ? ic_fail(err, IC_E_MALFORMED, "candid: too many types for its size")
                           : ic_fail(err, IC_E_NO_MEMORY, "candid: out of memory");
}

static int wrap(unsigned n_opts, struct ic_arena *arena, const struct ic_type **type,
                struct ic_error *err)
{
    struct ic_type *opts;
    void *memory;
    int ret = alloc(arena, n_opts, sizeof(*opts), &memory, err);
    if (ret < 0)
        return ret;
    opts = memory;
    for (unsigned i = 0; i < n_opts; i++) {
        opts[i] = (struct ic_type){.kind = IC_TYPE_OPT, .as.elem = *type};
        *type = &opts[i];
    }
    return 0;
}

static unsigned count_opts(const struct ic_type *type)
{
    unsigned n = 0;
    for (; n < CANDID_MAX_DEPTH && type->kind == IC_TYPE_OPT; n++)
        type = type->as.elem;
    return n;
}

/* The field of the content with this id. */
static bool find_part(const struct ic_type *content, uint32_t id, size_t *out)
{
    return content->kind == IC_TYPE_RECORD && candid_find_field(content, id, out);
}

/* What goes into a field of the argument, and further opts around it; NULL: there is none. */
static const struct ic_type *find_source(const struct ic_type *content,
                                         const struct ic_piece_field *field, unsigned *n_opts)
{
    size_t i = 0;
    if (!field->is_all && !find_part(content, field->part, &i))
        return NULL;
    const struct ic_type *type = field->is_all ? content : content->as.fields.fields[i].type;
    unsigned has = count_opts(type);
    *n_opts = field->n_opts > has ? field->n_opts - has : 0;
    return type;
}

static int make_record(const struct ic_piece_form *form, const struct ic_type *content,
                       struct ic_arena *arena, const struct ic_type **out, struct ic_error *err)
{
    struct ic_type *record;
    struct ic_type_field *fields;
    void *memory, *more;
    unsigned n_opts;
    int ret = alloc(arena, 1, sizeof(*record), &memory, err);
    if (ret == 0)
        ret = alloc(arena, form->n_fields, sizeof(*fields), &more, err);
    if (ret != 0)
        return ret;
    record = memory;
    fields = more;
    *record =
        (struct ic_type){.kind = IC_TYPE_RECORD, .as.fields.fields = fields, .is_zero_width = true};
    for (size_t i = 0; ret == 0 && i < form->n_fields; i++) {
        assert(i == 0 || form->fields[i - 1].id < form->fields[i].id);
        const struct ic_type *type = find_source(content, &form->fields[i], &n_opts);
        if (!type)
            continue;
        ret = wrap(n_opts, arena, &type, err);
        fields[record->as.fields.n++] = (struct ic_type_field){form->fields[i].id, type};
        record->is_zero_width = record->is_zero_width && type->is_zero_width;
    }
    *out = record;
    return ret;
}

int ic_piece_type(const struct ic_piece_form *form, const struct ic_type *content,
                  struct ic_arena *arena, const struct ic_type **out, struct ic_error *err)
{
    const struct ic_type *type = content;
    size_t i;
    int ret = 0;
    if (form->n_fields > 0)
        ret = make_record(form, content, arena, &type, err);
    else if (form->is_part && find_part(content, form->part, &i))
        type = content->as.fields.fields[i].type;
    else if (form->is_part)
        ret = ic_fail(err, IC_E_WRONG_TYPE, "candid: a field that should be there is not");
    if (ret == 0)
        ret = wrap(form->n_opts, arena, &type, err);
    if (ret == 0)
        *out = type;
    return ret;
}

/* ---- members ---- */

static void add_member(struct ic_pieces *p, size_t first, size_t n, unsigned n_opts)
{
    p->members[p->n_members++] = (struct member){first, n, n_opts};
}

static void add_fields(struct ic_pieces *p, const struct ic_piece_form *form)
{
    unsigned n_opts = 0;
    for (size_t i = 0; i < form->n_fields; i++) {
        const struct ic_piece_field *field = &form->fields[i];
        size_t part = 0;
        if (!find_source(p->rows.type, field, &n_opts))
            continue;
        if (!field->is_all)
            (void)find_part(p->rows.type, field->part, &part);
        add_member(p, part, field->is_all ? p->rows.n_parts : 1, n_opts);
    }
}

/* What the argument is made of. */
static int make_members(struct ic_pieces *p, const struct ic_piece_form *form, struct ic_error *err)
{
    size_t part = 0;
    void *memory;
    int ret = alloc(p->rows.r.arena, form->n_fields ? form->n_fields : 1, sizeof(*p->members),
                    &memory, err);
    if (ret < 0)
        return ret;
    p->members = memory;
    p->n_opts = form->n_opts;
    if (form->n_fields > 0)
        add_fields(p, form);
    else if (form->is_part && find_part(p->rows.type, form->part, &part))
        add_member(p, part, 1, 0);
    else
        add_member(p, 0, p->rows.n_parts, 0);
    return 0;
}

/* ---- opening ---- */

static int longest_first(const void *x, const void *y)
{
    const struct column *a = x, *b = y;
    if (a->part->n != b->part->n)
        return a->part->n > b->part->n ? -1 : 1;
    return a->part < b->part ? -1 : a->part > b->part;
}

static void add_columns(struct ic_pieces *p, const struct member *member)
{
    for (size_t i = member->first; i < member->first + member->n; i++) {
        const struct candid_part *part = &p->rows.parts[i];
        p->shared_len += part->has_items ? IC_LEB64_MAX : part->end - part->start;
        if (part->has_items)
            p->columns[p->n_columns++] = (struct column){.part = part};
    }
}

static void go_to_start(struct ic_pieces *p)
{
    p->start = p->end = 0;
    for (size_t i = 0; i < p->n_columns; i++)
        p->columns[i].from = p->columns[i].until = (struct place){0, p->columns[i].part->body};
}

static int make_columns(struct ic_pieces *p, bool has_items, struct ic_error *err)
{
    size_t n = 0;
    void *memory;
    for (size_t i = 0; i < p->n_members; i++)
        n += p->members[i].n;
    int ret = alloc(p->rows.r.arena, n, sizeof(*p->columns), &memory, err);
    if (ret < 0)
        return ret;
    p->columns = memory;
    p->shared_len = p->header.len + p->n_opts;
    for (size_t i = 0; i < p->n_members; i++) {
        p->shared_len += p->members[i].n_opts;
        add_columns(p, &p->members[i]);
    }
    qsort(p->columns, p->n_columns, sizeof(*p->columns), longest_first);
    go_to_start(p);
    p->n_items = !has_items ? 1 : p->n_columns ? p->columns[0].part->n : 0;
    return 0;
}

static int open_pieces(struct ic_pieces *p, const struct ic_piece_form *form, struct ic_error *err)
{
    if (p->rows.r.n_args != 1)
        return candid_rows_refuse(&p->rows.r, "more than one value");
    if (p->rows.is_none)
        return ic_fail(err, IC_E_NOT_FOUND, "candid: there is nothing in the opt");
    int ret = ic_piece_type(form, p->rows.type, p->rows.r.arena, &p->type, err);
    if (ret == 0)
        ret = make_members(p, form, err);
    if (ret == 0)
        ret = candid_encode_header(p->type, &p->header, err);
    return ret < 0 ? ret : make_columns(p, form->has_items, err);
}

int ic_pieces_open(struct ic_pieces **out, const uint8_t *bytes, size_t len,
                   const struct ic_piece_form *form, const struct ic_chunk_rule *rule,
                   const struct ic_candid_limits *limits, struct ic_error *err)
{
    struct ic_pieces *p = calloc(1, sizeof(*p));
    if (!p)
        return ic_fail(err, IC_E_NO_MEMORY, "candid: out of memory");
    int ret = candid_rows_open(&p->rows, ic_view(bytes, len), form->has_items, rule, limits, err);
    if (ret == 0)
        ret = open_pieces(p, form, err);
    if (ret < 0)
        ic_pieces_close(p);
    else
        *out = p;
    return ret;
}

void ic_pieces_close(struct ic_pieces *p)
{
    if (!p)
        return;
    ic_buf_fini(&p->header);
    candid_rows_close(&p->rows);
    free(p);
}

uint64_t ic_pieces_count(const struct ic_pieces *p)
{
    return p->n_items;
}

const struct ic_type *ic_pieces_content_type(const struct ic_pieces *p)
{
    return p->rows.type;
}

const struct ic_type *ic_pieces_type(const struct ic_pieces *p)
{
    return p->type;
}

/* ---- going through the items ---- */

/* Where the next element of a column ends. */
static int look(const struct ic_pieces *p, const struct column *column, const struct place *from,
                struct place *out)
{
    const struct candid_part *part = column->part;
    struct candid_reader r = p->rows.r;
    r.in = ic_cursor(p->rows.msg.bytes + from->at, part->end - from->at);
    r.values_left = SIZE_MAX; /* they were charged for before */
    int ret = candid_skip(&r, part->type->as.elem, r.max_depth);
    *out = (struct place){from->index + 1, candid_offset(&r)};
    return ret;
}

static bool is_in_row(const struct ic_pieces *p, size_t i, uint64_t row)
{
    return i < p->n_columns && p->columns[i].part->n > row;
}

/* The row behind the piece joins it, if the message does not get longer than max_len by it. */
static int take_row(struct ic_pieces *p, size_t max_len, size_t *len, bool *is_taken)
{
    size_t grown = *len;
    int ret = 0;
    for (size_t i = 0; ret == 0 && is_in_row(p, i, p->end); i++) {
        struct column *column = &p->columns[i];
        ret = look(p, column, &column->until, &column->next);
        grown += column->next.at - column->until.at;
    }
    *is_taken = ret == 0 && (grown <= max_len || p->end == p->start);
    if (!*is_taken)
        return ret;
    for (size_t i = 0; is_in_row(p, i, p->end); i++)
        p->columns[i].until = p->columns[i].next;
    p->end++;
    *len = grown;
    return 0;
}

/* An empty piece at start. */
static int seek(struct ic_pieces *p, uint64_t start)
{
    int ret = 0;
    if (start < p->start)
        go_to_start(p);
    if (start >= p->end) {
        p->start = p->end;
        for (size_t i = 0; i < p->n_columns; i++)
            p->columns[i].from = p->columns[i].until;
    }
    for (; ret == 0 && p->start < start; p->start++)
        for (size_t i = 0; ret == 0 && is_in_row(p, i, p->start); i++)
            ret = look(p, &p->columns[i], &p->columns[i].from, &p->columns[i].from);
    p->end = p->start;
    for (size_t i = 0; i < p->n_columns; i++)
        p->columns[i].until = p->columns[i].from;
    return ret;
}

/* ---- writing ---- */

static const struct column *find_column(const struct ic_pieces *p, const struct candid_part *part)
{
    const struct column key = {.part = part};
    return bsearch(&key, p->columns, p->n_columns, sizeof(key), longest_first);
}

static void write_part(const struct ic_pieces *p, const struct candid_part *part,
                       struct ic_buf *out)
{
    const uint8_t *bytes = p->rows.msg.bytes;
    if (!part->has_items) {
        ic_buf_append(out, bytes + part->start, part->end - part->start);
        return;
    }
    const struct column *column = find_column(p, part);
    assert(column);
    ic_buf_append_leb64(out, column->until.index - column->from.index);
    ic_buf_append(out, bytes + column->from.at, column->until.at - column->from.at);
}

static void write_tags(unsigned n, struct ic_buf *out)
{
    static const uint8_t some = 1;
    for (unsigned i = 0; i < n; i++)
        ic_buf_append(out, &some, 1);
}

static void write_piece(const struct ic_pieces *p, struct ic_buf *out)
{
    ic_buf_append(out, p->header.bytes, p->header.len);
    write_tags(p->n_opts, out);
    for (size_t i = 0; i < p->n_members; i++) {
        const struct member *member = &p->members[i];
        write_tags(member->n_opts, out);
        for (size_t k = member->first; k < member->first + member->n; k++)
            write_part(p, &p->rows.parts[k], out);
    }
}

int ic_pieces_write(struct ic_pieces *p, uint64_t start, uint64_t max_n, size_t max_len,
                    struct ic_buf *out, uint64_t *n, struct ic_error *err)
{
    size_t len = p->shared_len;
    bool is_taken = true;
    p->rows.r.err = err;
    int ret = seek(p, start);
    if (p->n_columns == 0)
        p->end = p->n_items; /* one at most, and all of it */
    while (ret == 0 && is_taken && p->end < p->n_items && p->end - p->start < max_n)
        ret = take_row(p, max_len, &len, &is_taken);
    if (ret < 0)
        return ret;
    *n = p->end - p->start;
    ic_buf_reserve(out, len);
    write_piece(p, out);
    return ic_buf_status(out) < 0 ? ic_fail(err, IC_E_NO_MEMORY, "candid: out of memory") : 0;
}
