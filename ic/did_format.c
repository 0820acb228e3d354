/* Types and descriptions as text, in the style of didc: see did.h.
 *
 * Types of a description are trees once names stop the way. Types of a message have no names and
 * may be recursive, so depth and length are bounded.
 */
#include "ic/candid_impl.h"
#include "ic/candid_out.h"
#include "ic/did_impl.h"

struct printer {
    struct candid_out out; /* once that fails, what comes is cut */
    unsigned depth;
};

static void put_type(struct printer *p, const struct ic_type *type);

static void put(struct printer *p, const char *text)
{
    candid_out(&p->out, text);
}

static bool is_cut(const struct printer *p)
{
    return p->out.ret < 0;
}

/* A name of a definition, which is an identifier. */
static void put_plain(struct printer *p, struct ic_view name)
{
    candid_out_bytes(&p->out, name.bytes, name.len, name.len);
}

/* ---- types ---- */

/* Fields without names that are numbered from 0 are a tuple. */
static bool is_tuple(const struct ic_type *type, const struct ic_type_label *labels)
{
    for (size_t i = 0; labels && i < type->as.fields.n; i++)
        if (labels[i].name.bytes)
            return false;
    return type->kind == IC_TYPE_RECORD && candid_is_tuple(type);
}

static void put_fields(struct printer *p, const struct ic_type *type)
{
    const struct ic_type_label *labels = type->names ? type->names->labels : NULL;
    bool tuple = is_tuple(type, labels);

    put(p, type->kind == IC_TYPE_RECORD ? "record {" : "variant {");
    for (size_t i = 0; i < type->as.fields.n && !is_cut(p); i++) {
        const struct ic_type_field *field = &type->as.fields.fields[i];
        bool bare = type->kind == IC_TYPE_VARIANT && field->type->kind == IC_TYPE_NULL &&
                    !field->type->names;
        put(p, i > 0 ? "; " : " ");
        if (!tuple && labels && labels[i].name.bytes)
            candid_out_name(&p->out, labels[i].name);
        else if (!tuple)
            candid_out_id(&p->out, field->id);
        if (!tuple && !bare)
            put(p, " : ");
        if (!bare)
            put_type(p, field->type);
    }
    put(p, type->as.fields.n > 0 ? " }" : "}");
}

static void put_list(struct printer *p, const struct ic_type *const *types, size_t n)
{
    put(p, "(");
    for (size_t i = 0; i < n && !is_cut(p); i++) {
        if (i > 0)
            put(p, ", ");
        put_type(p, types[i]);
    }
    put(p, ")");
}

static void put_func(struct printer *p, const struct ic_type *type)
{
    put_list(p, type->as.func.args, type->as.func.n_args);
    put(p, " -> ");
    put_list(p, type->as.func.results, type->as.func.n_results);
    if (type->as.func.mode != IC_FUNC_UPDATE) {
        put(p, " ");
        put(p, ic_func_mode_name(type->as.func.mode));
    }
}

static bool is_named(const struct ic_type *type)
{
    return type->names && type->names->self.name.bytes;
}

static void put_method(struct printer *p, const struct ic_type_method *method)
{
    candid_out_name(&p->out, method->name);
    put(p, " : ");
    if (is_named(method->type))
        put_plain(p, method->type->names->self.name);
    else
        put_func(p, method->type);
}

static void put_methods(struct printer *p, const struct ic_type *type, const char *separator)
{
    size_t n = type->as.service.n;
    put(p, "{");
    for (size_t i = 0; i < n && !is_cut(p); i++) {
        put(p, i > 0 ? ";" : "");
        put(p, separator);
        put_method(p, &type->as.service.methods[i]);
    }
    put(p, n > 0 && *separator == '\n' ? ";\n}" : n > 0 ? " }" : "}");
}

/* What a type is, not what it is called. */
static void put_content(struct printer *p, const struct ic_type *type)
{
    switch ((int)type->kind) {
    case IC_TYPE_OPT:
        put(p, "opt ");
        put_type(p, type->as.elem);
        break;
    case IC_TYPE_VEC:
        if (type->as.elem->kind == IC_TYPE_NAT8 && !is_named(type->as.elem)) {
            put(p, "blob");
        } else {
            put(p, "vec ");
            put_type(p, type->as.elem);
        }
        break;
    case IC_TYPE_RECORD:
    case IC_TYPE_VARIANT:
        put_fields(p, type);
        break;
    case IC_TYPE_FUNC:
        put(p, "func ");
        put_func(p, type);
        break;
    case IC_TYPE_SERVICE:
        put(p, "service ");
        put_methods(p, type, " ");
        break;
    case IC_TYPE_FUTURE:
        put(p, "future");
        break;
    default:
        put(p, candid_kind_name(type->kind));
    }
}

static void put_type(struct printer *p, const struct ic_type *type)
{
    if (is_named(type)) {
        put_plain(p, type->names->self.name);
    } else if (p->depth > IC_DID_MAX_DEPTH) {
        candid_out_fail(&p->out, -EFBIG);
    } else {
        p->depth++;
        put_content(p, type);
        p->depth--;
    }
}

/* ---- types alone ---- */

static struct printer start(struct ic_buf *out)
{
    return (struct printer){.out = candid_out_to(out, IC_TYPE_MAX_TEXT)};
}

static void finish(struct printer *p)
{
    if (is_cut(p))
        ic_buf_append(p->out.buf, "...", 3);
}

void ic_type_format(const struct ic_type *type, struct ic_buf *out)
{
    struct printer p = start(out);
    put_type(&p, type);
    finish(&p);
}

void ic_type_format_list(const struct ic_type *const *types, size_t n, struct ic_buf *out)
{
    struct printer p = start(out);
    put_list(&p, types, n);
    finish(&p);
}

void ic_type_format_method(const struct ic_type_method *method, struct ic_buf *out)
{
    struct printer p = start(out);
    candid_out_name(&p.out, method->name);
    put(&p, " : ");
    put_func(&p, method->type);
    finish(&p);
}

const char *ic_func_mode_name(enum ic_func_mode mode)
{
    switch (mode) {
    case IC_FUNC_UPDATE:
        return "update";
    case IC_FUNC_QUERY:
        return "query";
    case IC_FUNC_ONEWAY:
        return "oneway";
    case IC_FUNC_COMPOSITE_QUERY:
        return "composite_query";
    }
    return "update";
}

/* ---- descriptions ---- */

static void put_main(struct printer *p, const struct ic_did *did)
{
    put(p, "service : ");
    if (did->init) {
        put_list(p, did->init->as.func.args, did->init->as.func.n_args);
        put(p, " -> ");
    }
    if (is_named(did->service))
        put_plain(p, did->service->names->self.name);
    else
        put_methods(p, did->service, "\n  ");
    put(p, "\n");
}

/* Another name is printed as such: its content may be long, and is printed where it stands. */
static void put_definition(struct printer *p, const struct ic_type *type)
{
    put_plain(p, type->names->self.name);
    put(p, " = ");
    if (type->names->alias.bytes)
        put_plain(p, type->names->alias);
    else
        put_content(p, type);
}

void ic_did_format(const struct ic_did *did, struct ic_buf *out)
{
    struct printer p = {.out = candid_out_to(out, SIZE_MAX)}; /* a parsed text bounds it */
    for (size_t i = 0; i < did->n_imports; i++) {
        put(&p, did->imports[i].is_service ? "import service " : "import ");
        candid_out_quoted(&p.out, did->imports[i].path, CANDID_QUOTE_PLAIN);
        put(&p, ";\n");
    }
    for (size_t i = 0; i < did->n_types; i++) {
        put(&p, "type ");
        put_definition(&p, did->types[i]);
        put(&p, ";\n");
    }
    if (did->service)
        put_main(&p, did);
}
