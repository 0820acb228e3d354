/* Types for values that none is expected of: see candid_text.h.
 *
 * The elements of a vec may have types of their own; the vec's is their join, the smallest type all
 * of them fit.
 */
#include "ic/candid_relation.h"
#include "ic/candid_text_impl.h"

#include <stdlib.h>
#include <string.h>

/* Of values that do not say more. */
static const struct ic_type plain_func = {.kind = IC_TYPE_FUNC};
static const struct ic_type plain_service = {.kind = IC_TYPE_SERVICE};

/* ---- new types ---- */

static int new_type(struct text_parser *p, enum ic_type_kind kind, struct ic_type **out)
{
    void *memory;
    int ret = text_alloc(p, p->arena, 1, sizeof(**out), &memory);
    if (ret < 0)
        return ret;
    *out = memory;
    **out = (struct ic_type){.kind = kind};
    return 0;
}

/* opt or vec. */
static int new_holder(struct text_parser *p, enum ic_type_kind kind, const struct ic_type *elem,
                      const struct ic_type **out)
{
    struct ic_type *type = NULL;
    int ret = new_type(p, kind, &type);
    if (ret < 0)
        return ret;
    type->as.elem = elem;
    *out = type;
    return 0;
}

/* record or variant, with room for fields. */
static int new_fields(struct text_parser *p, enum ic_type_kind kind, size_t n,
                      struct ic_type_field **fields, struct ic_type **out)
{
    void *memory;
    int ret = new_type(p, kind, out);
    if (ret < 0)
        return ret;
    ret = text_alloc(p, p->arena, n, sizeof(**fields), &memory);
    if (ret < 0)
        return ret;
    *fields = memory;
    (*out)->as.fields.fields = *fields;
    (*out)->as.fields.n = n;
    return 0;
}

static void mark_zero_width(struct ic_type *record)
{
    record->is_zero_width = true;
    for (size_t i = 0; i < record->as.fields.n; i++)
        if (!record->as.fields.fields[i].type->is_zero_width)
            record->is_zero_width = false;
}

/* ---- joining ---- */

static int join(struct text_parser *p, size_t pos, const struct ic_type *a, const struct ic_type *b,
                const struct ic_type **out);

/* Fail because there is no join. */
static int unlike(struct text_parser *p, size_t pos, const struct ic_type *a,
                  const struct ic_type *b)
{
    enum { SHOWN = 100 };
    struct ic_buf of_a = {0}, of_b = {0};
    int ret;

    ic_type_format(a, &of_a);
    ic_type_format(b, &of_b);
    ret = ic_buf_status(&of_a) < 0 ? -ENOMEM : ic_buf_status(&of_b);
    if (ret == 0)
        ret = text_fail(p, pos, "the elements of a vec are not alike: %.*s and %.*s",
                        (int)(of_a.len > SHOWN ? SHOWN : of_a.len), (const char *)of_a.bytes,
                        (int)(of_b.len > SHOWN ? SHOWN : of_b.len), (const char *)of_b.bytes);
    ic_buf_fini(&of_a);
    ic_buf_fini(&of_b);
    return ret;
}

static int join_elems(struct text_parser *p, size_t pos, const struct ic_type *a,
                      const struct ic_type *b, const struct ic_type **out)
{
    const struct ic_type *elem = NULL;
    int ret = join(p, pos, a->as.elem, b->as.elem, &elem);
    if (ret < 0)
        return ret;
    *out = a;
    return elem == a->as.elem ? 0 : new_holder(p, a->kind, elem, out);
}

static int join_records(struct text_parser *p, size_t pos, const struct ic_type *a,
                        const struct ic_type *b, const struct ic_type **out)
{
    size_t n = a->as.fields.n;
    struct ic_type_field *fields = NULL;
    struct ic_type *type = NULL;
    int ret;

    if (n != b->as.fields.n)
        return unlike(p, pos, a, b);
    for (size_t i = 0; i < n; i++) {
        const struct ic_type_field *x = &a->as.fields.fields[i], *y = &b->as.fields.fields[i];
        const struct ic_type *joined = x->type;
        if (x->id != y->id)
            return unlike(p, pos, a, b);
        ret = join(p, pos, x->type, y->type, &joined);
        if (ret != 0)
            return ret;
        if (joined == x->type && !type)
            continue;
        if (!type) {
            ret = new_fields(p, IC_TYPE_RECORD, n, &fields, &type);
            if (ret < 0)
                return ret;
            memcpy(fields, a->as.fields.fields, n * sizeof(*fields));
        }
        fields[i].type = joined;
    }
    if (type)
        mark_zero_width(type);
    *out = type ? type : a;
    return 0;
}

/* Are the cases of b all cases of a, and no wider there? Vecs of variants come here once for each
 * element, so this must not look at every case of a. */
static int covers(struct text_parser *p, size_t pos, const struct ic_type *a,
                  const struct ic_type *b, bool *out)
{
    *out = false;
    for (size_t i = 0; i < b->as.fields.n; i++) {
        const struct ic_type *joined = NULL, *there;
        size_t position;
        int ret;
        if (!candid_find_field(a, b->as.fields.fields[i].id, &position))
            return 0;
        there = a->as.fields.fields[position].type;
        ret = join(p, pos, there, b->as.fields.fields[i].type, &joined);
        if (ret < 0 || joined != there)
            return ret;
    }
    *out = true;
    return 0;
}

static int join_variants(struct text_parser *p, size_t pos, const struct ic_type *a,
                         const struct ic_type *b, const struct ic_type **out)
{
    const struct ic_type_field *x = a->as.fields.fields, *x_end = x + a->as.fields.n;
    const struct ic_type_field *y = b->as.fields.fields, *y_end = y + b->as.fields.n;
    struct ic_type_field *fields = NULL;
    struct ic_type *type = NULL;
    bool all = false;
    size_t n = 0;
    int ret = covers(p, pos, a, b, &all);

    *out = a;
    if (ret < 0 || all)
        return ret;
    ret = new_fields(p, IC_TYPE_VARIANT, a->as.fields.n + b->as.fields.n, &fields, &type);
    while (ret == 0 && (x < x_end || y < y_end)) {
        if (y == y_end || (x < x_end && x->id < y->id)) {
            fields[n++] = *x++;
        } else if (x == x_end || y->id < x->id) {
            fields[n++] = *y++;
        } else {
            fields[n].id = x->id;
            ret = join(p, pos, x++->type, y++->type, &fields[n++].type);
        }
    }
    if (ret < 0)
        return ret;
    type->as.fields.n = n;
    *out = type;
    return 0;
}

static int join_references(struct text_parser *p, size_t pos, const struct ic_type *a,
                           const struct ic_type *b, const struct ic_type **out)
{
    bool equal = false;
    int ret = ic_type_relates(a, b, IC_TYPE_EQUAL, &equal, p->err);
    if (ret == 0 && !equal)
        return unlike(p, pos, a, b);
    *out = a;
    return ret;
}

static int join_same_kind(struct text_parser *p, size_t pos, const struct ic_type *a,
                          const struct ic_type *b, const struct ic_type **out)
{
    switch ((int)a->kind) {
    case IC_TYPE_OPT:
    case IC_TYPE_VEC:
        return join_elems(p, pos, a, b, out);
    case IC_TYPE_RECORD:
        return join_records(p, pos, a, b, out);
    case IC_TYPE_VARIANT:
        return join_variants(p, pos, a, b, out);
    case IC_TYPE_FUNC:
    case IC_TYPE_SERVICE:
        return join_references(p, pos, a, b, out);
    default:
        *out = a;
        return 0;
    }
}

/* Is a value of type a, as it stands in a text, also one of type b? Only where kinds differ. */
static bool is_wider(const struct ic_type *b, const struct ic_type *a)
{
    return a->kind == IC_TYPE_EMPTY || b->kind == IC_TYPE_RESERVED ||
           (a->kind == IC_TYPE_NULL && b->kind == IC_TYPE_OPT) ||
           (a->kind == IC_TYPE_NAT && b->kind == IC_TYPE_INT);
}

static int join(struct text_parser *p, size_t pos, const struct ic_type *a, const struct ic_type *b,
                const struct ic_type **out)
{
    if (a->kind == b->kind)
        return join_same_kind(p, pos, a, b, out);
    if (!is_wider(a, b) && !is_wider(b, a))
        return unlike(p, pos, a, b);
    *out = is_wider(a, b) ? a : b;
    return 0;
}

/* ---- what is there ---- */

static int infer_vec(struct text_parser *p, const struct text_node *node,
                     const struct ic_type **out)
{
    const struct ic_type *elem = &ic_type_empty;
    int ret = 0;

    for (const struct text_node *e = node->first; ret == 0 && e; e = e->next) {
        const struct ic_type *type = NULL;
        ret = text_infer(p, e, &type);
        if (ret == 0)
            ret = join(p, e->pos, elem, type, &elem);
    }
    return ret < 0 ? ret : new_holder(p, IC_TYPE_VEC, elem, out);
}

static int infer_fields(struct text_parser *p, const struct text_node *node, enum ic_type_kind kind,
                        const struct ic_type **out)
{
    struct ic_type_field *fields = NULL;
    struct ic_type *type = NULL;
    size_t n = 0;
    int ret = new_fields(p, kind, node->n, &fields, &type);

    for (const struct text_node *f = node->first; ret == 0 && f; f = f->next) {
        fields[n].id = f->id;
        ret = text_infer(p, f, &fields[n++].type);
    }
    if (ret < 0)
        return ret;
    if (kind == IC_TYPE_RECORD)
        mark_zero_width(type);
    *out = type;
    return 0;
}

int text_infer(struct text_parser *p, const struct text_node *node, const struct ic_type **out)
{
    static const struct ic_type *const types[] = {
        [TEXT_NULL] = &ic_type_null,
        [TEXT_BOOL] = &ic_type_bool,
        [TEXT_INTEGER] = &ic_type_int,
        [TEXT_FLOAT] = &ic_type_float64,
        [TEXT_STRING] = &ic_type_text,
        [TEXT_BLOB] = &ic_type_blob,
        [TEXT_PRINCIPAL] = &ic_type_principal,
        [TEXT_SERVICE] = &plain_service,
        [TEXT_FUNC] = &plain_func,
    };
    const struct ic_type *elem = NULL;
    int ret;

    if (node->type) {
        *out = node->type;
        return 0;
    }
    switch ((int)node->kind) {
    case TEXT_OPT:
        ret = text_infer(p, node->first, &elem);
        return ret < 0 ? ret : new_holder(p, IC_TYPE_OPT, elem, out);
    case TEXT_VEC:
        return infer_vec(p, node, out);
    case TEXT_RECORD:
        return infer_fields(p, node, IC_TYPE_RECORD, out);
    case TEXT_VARIANT:
        return infer_fields(p, node, IC_TYPE_VARIANT, out);
    default: /* none and reserved have an annotation, or are part of what has one */
        *out = types[node->kind];
        return 0;
    }
}
