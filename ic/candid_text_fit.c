/* Making what stands in a text fit a type, by the strict rules of candid_text.h.
 *
 * A node may be made to fit twice, first an annotation and then the type expected around it, so
 * what a first type decided (that a number is a nat8, that null is none) binds the second.
 */
#include "ic/candid_number.h"
#include "ic/candid_text_impl.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- messages ---- */

static const char *describe(enum text_kind kind)
{
    static const char *const words[] = {
        [TEXT_NULL] = "null",
        [TEXT_BOOL] = "a bool",
        [TEXT_INTEGER] = "a whole number",
        [TEXT_FLOAT] = "a number with a point",
        [TEXT_STRING] = "text",
        [TEXT_BLOB] = "a blob",
        [TEXT_PRINCIPAL] = "a principal",
        [TEXT_SERVICE] = "a service",
        [TEXT_FUNC] = "a func",
        [TEXT_OPT] = "an opt",
        [TEXT_VEC] = "a vec",
        [TEXT_RECORD] = "a record",
        [TEXT_VARIANT] = "a variant",
        [TEXT_NONE] = "none",
        [TEXT_RESERVED] = "a reserved value",
    };
    return words[kind];
}

/* What a node is, for a message: a number as it is written. */
#define WORDS_MAX 80
static void put_words(const struct text_node *node, char words[WORDS_MAX])
{
    size_t len = node->bytes.len;
    if (node->kind != TEXT_INTEGER && node->kind != TEXT_FLOAT)
        snprintf(words, WORDS_MAX, "%s", describe(node->kind));
    else
        snprintf(words, WORDS_MAX, "%s%.*s%s%s", node->is_negative ? "-" : "",
                 (int)(len > 40 ? 40 : len), (const char *)node->bytes.bytes, len > 40 ? "..." : "",
                 node->number != IC_TYPE_NULL ? ", annotated with another type," : "");
}

/* Fail because a node is not of a type. */
#define SHOWN_MAX 120
static int misfit(struct text_parser *p, const struct text_node *node, const struct ic_type *type)
{
    char words[WORDS_MAX];
    struct ic_buf shown = {0};
    int ret;

    put_words(node, words);
    ic_type_format(type, &shown);
    ret = ic_buf_status(&shown);
    if (ret == 0)
        ret = text_fail(p, node->pos, "%s does not fit the type %.*s%s", words,
                        (int)(shown.len > SHOWN_MAX ? SHOWN_MAX : shown.len),
                        (const char *)shown.bytes, shown.len > SHOWN_MAX ? "..." : "");
    ic_buf_fini(&shown);
    return ret;
}

/* ---- numbers ---- */

static bool integer_fits(const struct text_node *node, enum ic_type_kind kind)
{
    if (node->number != IC_TYPE_NULL)
        return node->number == kind || (node->number == IC_TYPE_NAT && kind == IC_TYPE_INT);
    return candid_integer_fits(node->bytes, node->is_negative, kind);
}

static int fit_number(struct text_parser *p, struct text_node *node, const struct ic_type *type)
{
    bool is_float = type->kind == IC_TYPE_FLOAT32 || type->kind == IC_TYPE_FLOAT64;
    bool fits = false;

    if (is_float && node->kind == TEXT_FLOAT)
        fits = node->number == IC_TYPE_NULL || node->number == type->kind;
    else if (!is_float && node->kind == TEXT_INTEGER)
        fits = integer_fits(node, type->kind);
    if (!fits)
        return misfit(p, node, type);
    node->number = type->kind;
    return 0;
}

/* ---- what holds values ---- */

static int fit_opt(struct text_parser *p, struct text_node *node, const struct ic_type *type)
{
    switch ((int)node->kind) {
    case TEXT_NULL:
    case TEXT_NONE:
    case TEXT_RESERVED:
        node->kind = TEXT_NONE;
        return 0;
    case TEXT_OPT:
        return text_fit(p, node->first, type->as.elem);
    default:
        return misfit(p, node, type);
    }
}

static int fit_vec(struct text_parser *p, struct text_node *node, const struct ic_type *type)
{
    int ret = 0;

    if (node->kind == TEXT_BLOB && type->as.elem->kind == IC_TYPE_NAT8)
        return 0;
    if (node->kind != TEXT_VEC)
        return misfit(p, node, type);
    for (struct text_node *e = node->first; ret == 0 && e; e = e->next)
        ret = text_fit(p, e, type->as.elem);
    return ret;
}

int text_new_default(struct text_parser *p, const struct ic_type *type, size_t pos,
                     struct text_node **out)
{
    switch ((int)type->kind) {
    case IC_TYPE_NULL:
        return text_new_node(p, TEXT_NULL, pos, out);
    case IC_TYPE_OPT:
        return text_new_node(p, TEXT_NONE, pos, out);
    case IC_TYPE_RESERVED:
        return text_new_node(p, TEXT_RESERVED, pos, out);
    default:
        return -ENOENT;
    }
}

/* Fail because of a field: by its name, where the type has one. */
static int missing_field(struct text_parser *p, const struct text_node *node,
                         const struct ic_type *type, size_t i)
{
    struct ic_view name = {0};
    if (type->names && type->names->labels)
        name = type->names->labels[i].name;
    if (name.bytes)
        return text_fail(p, node->pos, "the record has no field '%.*s'",
                         (int)(name.len > 64 ? 64 : name.len), (const char *)name.bytes);
    return text_fail(p, node->pos, "the record has no field %" PRIu32,
                     type->as.fields.fields[i].id);
}

/* Pass over the fields with ids below this one, which the type does not have. */
static int pass_unknown(struct text_parser *p, struct text_node **field, uint64_t id)
{
    for (; *field && (*field)->id < id; *field = (*field)->next)
        if (p->flags & IC_TEXT_REFUSE_UNKNOWN)
            return text_fail(p, (*field)->pos,
                             "the expected record has no field %" PRIu32 ", as this one",
                             (*field)->id);
    return 0;
}

/* Leave exactly the fields of the type; both lists are in the order of ids. */
static int fit_record(struct text_parser *p, struct text_node *node, const struct ic_type *type)
{
    struct text_node *field = node->first, **end = &node->first;
    int ret = 0;

    if (node->kind != TEXT_RECORD)
        return misfit(p, node, type);
    for (size_t i = 0; i < type->as.fields.n; i++) {
        const struct ic_type_field *wanted = &type->as.fields.fields[i];
        ret = pass_unknown(p, &field, wanted->id);
        if (ret < 0)
            return ret;
        if (field && field->id == wanted->id) {
            *end = field;
            field = field->next;
            ret = text_fit(p, *end, wanted->type);
        } else {
            ret = text_new_default(p, wanted->type, node->pos, end);
            if (ret == -ENOENT)
                return missing_field(p, node, type, i);
        }
        if (ret < 0)
            return ret;
        (*end)->id = wanted->id;
        end = &(*end)->next;
    }
    ret = pass_unknown(p, &field, (uint64_t)UINT32_MAX + 1);
    *end = NULL;
    node->n = type->as.fields.n;
    return ret;
}

static int fit_variant(struct text_parser *p, struct text_node *node, const struct ic_type *type)
{
    size_t position;
    if (node->kind != TEXT_VARIANT)
        return misfit(p, node, type);
    if (!candid_find_field(type, node->first->id, &position))
        return text_fail(p, node->first->pos, "the variant has no case %" PRIu32 ", as here",
                         node->first->id);
    return text_fit(p, node->first, type->as.fields.fields[position].type);
}

/* ---- all types ---- */

static int fit_kind(struct text_parser *p, const struct text_node *node, enum text_kind kind,
                    const struct ic_type *type)
{
    return node->kind == kind ? 0 : misfit(p, node, type);
}

int text_fit(struct text_parser *p, struct text_node *node, const struct ic_type *type)
{
    if (p->fits_left == 0)
        return text_fail(p, node->pos, "too many annotations around values");
    p->fits_left--;
    switch ((int)type->kind) {
    case IC_TYPE_NULL:
        return fit_kind(p, node, TEXT_NULL, type);
    case IC_TYPE_BOOL:
        return fit_kind(p, node, TEXT_BOOL, type);
    case IC_TYPE_TEXT:
        return fit_kind(p, node, TEXT_STRING, type);
    case IC_TYPE_PRINCIPAL:
        return fit_kind(p, node, TEXT_PRINCIPAL, type);
    case IC_TYPE_SERVICE:
        return fit_kind(p, node, TEXT_SERVICE, type);
    case IC_TYPE_FUNC:
        return fit_kind(p, node, TEXT_FUNC, type);
    case IC_TYPE_RESERVED:
        node->kind = TEXT_RESERVED;
        return 0;
    case IC_TYPE_OPT:
        return fit_opt(p, node, type);
    case IC_TYPE_VEC:
        return fit_vec(p, node, type);
    case IC_TYPE_RECORD:
        return fit_record(p, node, type);
    case IC_TYPE_VARIANT:
        return fit_variant(p, node, type);
    case IC_TYPE_EMPTY:
    case IC_TYPE_FUTURE: /* of a .did whose imports are missing */
        return misfit(p, node, type);
    default:
        return fit_number(p, node, type);
    }
}
