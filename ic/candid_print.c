/* Candid values as text: see candid_print.h.
 *
 * Layout: what stands in brackets is a group. A group is written flat, on one line, if it fits into
 * what is left of the line together with the separator behind it; else each part gets a line of
 * its own. To find out, a group is first written flat to nowhere, which stops at the end of the
 * line, so that all groups around a value cost little more than the value.
 *
 * What is compact, long vecs and what nests deeply, is never broken, and looks a little different.
 */
#include "ic/candid_print.h"

#include "ic/candid_impl.h"
#include "ic/candid_number.h"
#include "ic/candid_out.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define COLUMNS      80
#define INDENT       2
#define PRETTY_DEPTH 10 /* of values below, all is compact */
#define PRETTY_ELEMS 10 /* vecs of more are compact */

enum style {
    STYLE_BROKEN, /* groups that do not fit are broken */
    STYLE_FLAT,
    STYLE_COMPACT,
};

struct printer {
    struct candid_out out;
    const struct ic_candid_names *all;
    size_t indent;
    bool has_lines; /* IC_PRINT_LINES */
};

/* Where a value stands. */
struct place {
    const struct ic_type *declared;
    enum style style;
    unsigned depth; /* of values around it */
    bool is_in_vec;
    size_t n_trailing; /* characters that follow it on its line */
};

static void put_value(struct printer *p, const struct ic_value *v, struct place at);

/* ---- output ---- */

static void put(struct printer *p, const char *text)
{
    candid_out(&p->out, text);
}

static void put_line(struct printer *p)
{
    put(p, "\n");
    p->out.column = 0;
    for (size_t i = 0; i < p->indent; i++)
        put(p, " ");
}

/* ---- scalars ---- */

/* A number too long for a line need not be made of its bytes to see that. */
static bool is_too_long(const struct printer *p, const struct ic_value *v)
{
    enum ic_type_kind kind = v->type->kind;
    if (!p->out.is_measure || (kind != IC_TYPE_NAT && kind != IC_TYPE_INT))
        return false;
    return candid_leb_len(v->as.leb, kind == IC_TYPE_INT) > COLUMNS;
}

static void put_number(struct printer *p, const struct ic_value *v)
{
    struct candid_digits d;
    int ret = is_too_long(p, v) ? -ERANGE : candid_digits(v, &d);
    if (ret < 0) {
        candid_out_fail(&p->out, ret);
        return;
    }
    if (d.is_negative)
        put(p, "-");
    if (d.is_integer)
        candid_out_grouped(&p->out, d.digits, d.len);
    else
        candid_out_bytes(&p->out, d.digits, d.len, d.len);
    put(p, " : ");
    put(p, candid_kind_name(v->type->kind));
    candid_digits_fini(&d);
}

static bool is_graphic(uint8_t c)
{
    return (c >= 0x20 && c <= 0x7e) || c == '\t' || c == '\n' || c == '\r';
}

/* As text where all of it is, else every byte in hexadecimal. */
static void put_blob(struct printer *p, struct ic_view blob)
{
    bool is_text = true;
    for (size_t i = 0; is_text && i < blob.len; i++)
        is_text = is_graphic(blob.bytes[i]);
    put(p, "blob \"");
    for (size_t i = 0; i < blob.len && p->out.ret == 0; i++) {
        uint8_t c = blob.bytes[i];
        char escape[4];
        if (is_text && c >= 0x20 && !strchr("\"'`\\", c)) {
            candid_out_bytes(&p->out, &blob.bytes[i], 1, 1);
        } else {
            snprintf(escape, sizeof(escape), "\\%02x", c);
            put(p, escape);
        }
    }
    put(p, "\"");
}

static void put_principal(struct printer *p, const char *keyword, struct ic_view bytes)
{
    struct ic_principal principal;
    char text[IC_PRINCIPAL_TEXT];
    if (ic_principal_from_bytes(bytes.bytes, bytes.len, &principal) < 0) {
        candid_out_fail(&p->out, -EINVAL);
        return;
    }
    ic_principal_format(&principal, text);
    put(p, keyword);
    put(p, " \"");
    put(p, text);
    put(p, "\"");
}

static void put_func(struct printer *p, const struct ic_func_value *func)
{
    put_principal(p, "func", func->canister);
    put(p, ".");
    candid_out_name(&p->out, func->method);
}

/* ---- groups ---- */

enum group_kind { GROUP_ARGS, GROUP_OPT, GROUP_VEC, GROUP_RECORD, GROUP_VARIANT };

/* Parts in brackets. */
struct group {
    enum group_kind kind;
    const struct ic_value *v; /* what holds the parts; of arguments the first */
    size_t n;
    bool has_labels;                       /* a record that is no tuple */
    const struct ic_candid_naming *naming; /* of arguments; may be NULL */
};

static void put_label(struct printer *p, const struct ic_value *v, size_t i,
                      const struct ic_type *declared)
{
    struct ic_view name = candid_field_name(p->all, declared, v->type, i);
    if (name.bytes)
        candid_out_name(&p->out, name);
    else
        candid_out_id(&p->out, v->type->as.fields.fields[i].id);
}

static void put_field(struct printer *p, const struct ic_value *v, size_t i, bool has_label,
                      struct place at)
{
    if (has_label) {
        put_label(p, v, i, at.declared);
        put(p, " = ");
    }
    at.declared = candid_declared_part(at.declared, v->type, i);
    put_value(p, &v->as.seq.items[i], at);
}

static void put_case(struct printer *p, const struct ic_value *v, struct place at)
{
    size_t i = v->as.variant.position;
    put_label(p, v, i, at.declared);
    if (v->as.variant.payload->type->kind == IC_TYPE_NULL)
        return;
    put(p, " = ");
    at.declared = candid_declared_part(at.declared, v->type, i);
    put_value(p, v->as.variant.payload, at);
}

static void put_elem(struct printer *p, const struct ic_value *v, size_t i, struct place at)
{
    struct ic_value elem;
    if (ic_value_at(v, i, &elem) < 0) {
        candid_out_fail(&p->out, -EINVAL);
        return;
    }
    at.declared = candid_declared_part(at.declared, v->type, i);
    at.is_in_vec = true;
    put_value(p, &elem, at);
}

static void put_part(struct printer *p, const struct group *g, size_t i, struct place at)
{
    switch (g->kind) {
    case GROUP_ARGS:
        at.declared = candid_declared_arg(g->naming, i);
        put_value(p, &g->v[i], at);
        break;
    case GROUP_OPT:
        at.declared = candid_declared_part(at.declared, g->v->type, 0);
        put_value(p, g->v->as.opt, at);
        break;
    case GROUP_VEC:
        put_elem(p, g->v, i, at);
        break;
    case GROUP_RECORD:
        put_field(p, g->v, i, g->has_labels, at);
        break;
    case GROUP_VARIANT:
        put_case(p, g->v, at);
        break;
    }
}

/* What stands around and between the parts of a group. */
struct brackets {
    const char *open, *close;
    const char *separator; /* "" when there is one part only */
    const char *space;     /* inside the brackets, when flat */
};

static struct brackets brackets_of(enum group_kind kind)
{
    static const struct brackets all[] = {
        [GROUP_ARGS] = {"(", ")", ",", ""},    [GROUP_OPT] = {"(", ")", "", ""},
        [GROUP_VEC] = {"{", "}", ";", " "},    [GROUP_RECORD] = {"{", "}", ";", " "},
        [GROUP_VARIANT] = {"{", "}", "", " "},
    };
    return all[kind];
}

static void put_flat(struct printer *p, const struct group *g, struct place at)
{
    struct brackets b = brackets_of(g->kind);
    at.style = STYLE_FLAT;
    put(p, b.open);
    put(p, b.space);
    for (size_t i = 0; i < g->n && p->out.ret == 0; i++) {
        if (i > 0) {
            put(p, b.separator);
            put(p, " ");
        }
        put_part(p, g, i, at);
    }
    put(p, b.space);
    put(p, b.close);
}

static void put_broken(struct printer *p, const struct group *g, struct place at)
{
    struct brackets b = brackets_of(g->kind);
    at.n_trailing = strlen(b.separator);
    p->indent += INDENT;
    put(p, b.open);
    for (size_t i = 0; i < g->n && p->out.ret == 0; i++) {
        put_line(p);
        put_part(p, g, i, at);
        put(p, b.separator);
    }
    p->indent -= INDENT;
    put_line(p);
    put(p, b.close);
}

static bool fits(const struct printer *p, const struct group *g, struct place at)
{
    struct printer measure = *p;
    measure.out.is_measure = true;
    measure.out.columns = COLUMNS;
    measure.out.column += at.n_trailing;
    put_flat(&measure, g, at);
    return measure.out.ret == 0;
}

static void put_group(struct printer *p, const struct group *g, struct place at)
{
    struct brackets b = brackets_of(g->kind);
    if (g->n == 0) {
        put(p, b.open);
        put(p, b.close);
    } else if (at.style == STYLE_FLAT || fits(p, g, at)) {
        put_flat(p, g, at);
    } else {
        put_broken(p, g, at);
    }
}

/* ---- what holds values ---- */

/* Is a value written with its type, so that it needs parentheses behind opt? */
static bool is_annotated(const struct ic_value *v)
{
    enum ic_type_kind kind = v->type->kind;
    return kind == IC_TYPE_NULL || kind == IC_TYPE_RESERVED ||
           (kind >= IC_TYPE_NAT && kind <= IC_TYPE_FLOAT64);
}

static void put_opt(struct printer *p, const struct ic_value *v, struct place at)
{
    struct group g = {.kind = GROUP_OPT, .v = v, .n = 1};
    if (!v->as.opt) {
        put(p, "null");
        return;
    }
    put(p, "opt ");
    if (!is_annotated(v->as.opt)) {
        put_part(p, &g, 0, at);
    } else if (at.style != STYLE_COMPACT) {
        put_group(p, &g, at);
    } else {
        put(p, "(");
        put_part(p, &g, 0, at);
        put(p, ")");
    }
}

static void put_compact_vec(struct printer *p, const struct group *g, bool has_lines,
                            struct place at)
{
    size_t indent = p->indent;
    put(p, "{");
    p->indent += INDENT;
    for (size_t i = 0; i < g->n && p->out.ret == 0; i++) {
        if (has_lines)
            put_line(p);
        else
            put(p, " ");
        put_elem(p, g->v, i, at);
        put(p, ";");
    }
    p->indent = indent;
    if (has_lines)
        put_line(p);
    put(p, "}");
}

static void put_vec(struct printer *p, const struct ic_value *v, struct place at)
{
    struct group g = {.kind = GROUP_VEC, .v = v, .n = ic_value_count(v)};
    struct ic_view blob;

    if (ic_value_blob(v, &blob) == 0) {
        put_blob(p, blob);
        return;
    }
    bool has_lines = p->has_lines && at.style == STYLE_BROKEN && !at.is_in_vec;
    if (g.n > PRETTY_ELEMS)
        at.style = STYLE_COMPACT;
    put(p, "vec ");
    if (at.style != STYLE_COMPACT)
        put_group(p, &g, at);
    else
        put_compact_vec(p, &g, has_lines, at);
}

static void put_record(struct printer *p, const struct ic_value *v, struct place at)
{
    struct group g = {.kind = GROUP_RECORD, .v = v, .n = v->as.seq.n};

    if (g.n != v->type->as.fields.n) {
        candid_out_fail(&p->out, -EINVAL);
        return;
    }
    put(p, "record ");
    if (at.style != STYLE_COMPACT) {
        g.has_labels = !candid_is_tuple(v->type);
        put_group(p, &g, at);
        return;
    }
    put(p, "{");
    for (size_t i = 0; i < g.n && p->out.ret == 0; i++) {
        put(p, " ");
        put_field(p, v, i, v->type->as.fields.fields[i].id != i, at);
        put(p, ";");
    }
    put(p, "}");
}

static void put_variant(struct printer *p, const struct ic_value *v, struct place at)
{
    struct group g = {.kind = GROUP_VARIANT, .v = v, .n = 1};
    if (v->as.variant.position >= v->type->as.fields.n || !v->as.variant.payload) {
        candid_out_fail(&p->out, -EINVAL);
        return;
    }
    put(p, "variant ");
    if (at.style != STYLE_COMPACT) {
        put_group(p, &g, at);
    } else {
        put(p, "{ ");
        put_case(p, v, at);
        put(p, " }");
    }
}

/* ---- values ---- */

static void put_content(struct printer *p, const struct ic_value *v, struct place at)
{
    switch ((int)v->type->kind) {
    case IC_TYPE_NULL:
        put(p, "null : null");
        break;
    case IC_TYPE_RESERVED:
        put(p, "null : reserved");
        break;
    case IC_TYPE_BOOL:
        put(p, v->as.boolean ? "true" : "false");
        break;
    case IC_TYPE_TEXT:
        candid_out_quoted(&p->out, v->as.text,
                          at.style == STYLE_COMPACT ? CANDID_QUOTE_COMPACT : CANDID_QUOTE_PLAIN);
        break;
    case IC_TYPE_PRINCIPAL:
        put_principal(p, "principal", v->as.bytes);
        break;
    case IC_TYPE_SERVICE:
        put_principal(p, "service", v->as.bytes);
        break;
    case IC_TYPE_FUNC:
        put_func(p, v->as.func);
        break;
    case IC_TYPE_OPT:
        put_opt(p, v, at);
        break;
    case IC_TYPE_VEC:
        put_vec(p, v, at);
        break;
    case IC_TYPE_RECORD:
        put_record(p, v, at);
        break;
    case IC_TYPE_VARIANT:
        put_variant(p, v, at);
        break;
    case IC_TYPE_EMPTY:
        candid_out_fail(&p->out, -EINVAL);
        break;
    case IC_TYPE_FUTURE:
        candid_out_fail(&p->out, -EPROTO);
        break;
    default:
        put_number(p, v);
    }
}

static void put_value(struct printer *p, const struct ic_value *v, struct place at)
{
    if (at.depth == PRETTY_DEPTH)
        at.style = STYLE_COMPACT;
    if (at.depth++ == CANDID_MAX_DEPTH)
        candid_out_fail(&p->out, -EINVAL);
    if (p->out.ret == 0)
        put_content(p, v, at);
}

int ic_candid_print(const struct ic_value *args, size_t n, const struct ic_candid_naming *naming,
                    unsigned flags, size_t max, struct ic_buf *out, struct ic_error *err)
{
    struct printer p = {.out = candid_out_to(out, max),
                        .all = naming ? naming->all : NULL,
                        .has_lines = flags & IC_PRINT_LINES};
    struct group g = {.kind = GROUP_ARGS, .v = args, .n = n, .naming = naming};
    put_group(&p, &g, (struct place){.style = STYLE_BROKEN});
    return candid_out_status(&p.out, err);
}

int ic_candid_print_value(const struct ic_value *value, const struct ic_type *declared,
                          const struct ic_candid_names *all, size_t max, struct ic_buf *out,
                          struct ic_error *err)
{
    struct printer p = {.out = candid_out_to(out, max), .all = all};
    put_value(&p, value, (struct place){.declared = declared});
    return candid_out_status(&p.out, err);
}
