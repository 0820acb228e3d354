/* Candid types: the primitive ones, and the table at the start of a message.
 *
 * The table is one array of `struct ic_type`, so that a reference to a later entry is a pointer to
 * where it will stand. Every check of the header is made here, before any value is read, also for
 * entries that nothing refers to.
 *
 * Source: Candid specification, Binary format, Type.
 */
#include "ic/candid_impl.h"

#include <errno.h>
#include <string.h>

#define PRIMITIVE(name, kind_, ...)                                                                \
    const struct ic_type ic_type_##name = {.kind = IC_TYPE_##kind_, __VA_ARGS__}

PRIMITIVE(null, NULL, .is_zero_width = true);
PRIMITIVE(bool, BOOL);
PRIMITIVE(nat, NAT);
PRIMITIVE(int, INT);
PRIMITIVE(nat8, NAT8);
PRIMITIVE(nat16, NAT16);
PRIMITIVE(nat32, NAT32);
PRIMITIVE(nat64, NAT64);
PRIMITIVE(int8, INT8);
PRIMITIVE(int16, INT16);
PRIMITIVE(int32, INT32);
PRIMITIVE(int64, INT64);
PRIMITIVE(float32, FLOAT32);
PRIMITIVE(float64, FLOAT64);
PRIMITIVE(text, TEXT);
PRIMITIVE(reserved, RESERVED, .is_zero_width = true);
PRIMITIVE(empty, EMPTY);
PRIMITIVE(principal, PRINCIPAL);
PRIMITIVE(blob, VEC, .as.elem = &ic_type_nat8);

/* By code: entry i is the type -1 - i (Candid specification, Type: opcodes of primitive types). */
static const struct ic_type *const primitives[] = {
    &ic_type_null,     &ic_type_bool,  &ic_type_nat,     &ic_type_int,     &ic_type_nat8,
    &ic_type_nat16,    &ic_type_nat32, &ic_type_nat64,   &ic_type_int8,    &ic_type_int16,
    &ic_type_int32,    &ic_type_int64, &ic_type_float32, &ic_type_float64, &ic_type_text,
    &ic_type_reserved, &ic_type_empty,
};
#define N_PRIMITIVES ((int64_t)(sizeof(primitives) / sizeof(primitives[0])))

enum {
    OP_OPT = -18,
    OP_VEC = -19,
    OP_RECORD = -20,
    OP_VARIANT = -21,
    OP_FUNC = -22,
    OP_SERVICE = -23,
    OP_PRINCIPAL = -24, /* a primitive, although its code stands below the constructors */
};

uint32_t ic_candid_hash(const char *name, size_t len)
{
    uint32_t h = 0;
    for (size_t i = 0; i < len; i++)
        h = h * 223 + (uint8_t)name[i];
    return h;
}

void candid_note(struct candid_reader *r, int ret, const char *what)
{
    if (ret == -ENOMEM) {
        ic_fail(r->err, IC_E_NO_MEMORY, "candid: out of memory");
        return;
    }
    if (ret == -E2BIG)
        what = "needs more memory than its size justifies";
    ic_fail(r->err, IC_E_MALFORMED, "candid: %s (at byte %zu)", what,
            (size_t)(r->in.pos - r->start));
}

int candid_read_count(struct candid_reader *r, size_t width, size_t *out)
{
    uint64_t n;
    if (!ic_cursor_leb64(&r->in, &n))
        return candid_fail(r, -EPROTO, "malformed length");
    if (n > ic_cursor_left(&r->in) / width)
        return candid_fail(r, -EPROTO, "length exceeds the message");
    *out = (size_t)n;
    return 0;
}

int candid_read_bytes(struct candid_reader *r, struct ic_view *out)
{
    size_t len = 0;
    int ret = candid_read_count(r, 1, &len);
    if (ret == 0 && !ic_cursor_take(&r->in, len, out))
        return candid_fail(r, -EPROTO, "cut off");
    return ret;
}

int candid_read_text(struct candid_reader *r, struct ic_view *out)
{
    int ret = candid_read_bytes(r, out);
    if (ret == 0 && !ic_view_is_utf8(*out))
        return candid_fail(r, -EPROTO, "text is not UTF-8");
    return ret;
}

int candid_read_ref(struct candid_reader *r, const struct ic_type **out)
{
    int64_t ref;

    if (!ic_cursor_sleb64(&r->in, &ref))
        return candid_fail(r, -EPROTO, "malformed type reference");
    if (ref >= 0 && (uint64_t)ref < r->n_types)
        *out = &r->types[ref];
    else if (ref < 0 && ref >= -N_PRIMITIVES)
        *out = primitives[-1 - ref];
    else if (ref == OP_PRINCIPAL)
        *out = &ic_type_principal;
    else
        return candid_fail(r, -EPROTO, "no such type");
    return 0;
}

/* ---- entries of the table ---- */

static int read_fields(struct candid_reader *r, struct ic_type *type)
{
    struct ic_type_field *fields;
    void *memory;
    size_t n = 0;
    int ret = candid_read_count(r, 2, &n); /* an id and a reference */
    if (ret < 0)
        return ret;
    ret = ic_arena_alloc(r->arena, n, sizeof(*fields), &memory);
    if (ret < 0)
        return candid_fail(r, ret, "fields");
    fields = memory;
    for (size_t i = 0; i < n; i++) {
        uint64_t id;
        if (!ic_cursor_leb64(&r->in, &id) || id > UINT32_MAX)
            return candid_fail(r, -EPROTO, "malformed field id");
        if (i > 0 && id <= fields[i - 1].id)
            return candid_fail(r, -EPROTO, "field ids do not increase");
        fields[i].id = (uint32_t)id;
        ret = candid_read_ref(r, &fields[i].type);
        if (ret < 0)
            return ret;
    }
    type->as.fields.fields = fields;
    type->as.fields.n = n;
    return 0;
}

static int read_refs(struct candid_reader *r, const struct ic_type *const **out, uint32_t *n_out)
{
    const struct ic_type **refs;
    void *memory;
    size_t n = 0;
    int ret = candid_read_count(r, 1, &n);
    if (ret < 0)
        return ret;
    if (n > UINT32_MAX)
        return candid_fail(r, -EPROTO, "too many arguments");
    ret = ic_arena_alloc(r->arena, n, sizeof(const struct ic_type *), &memory);
    if (ret < 0)
        return candid_fail(r, ret, "arguments");
    refs = memory;
    for (size_t i = 0; i < n && ret == 0; i++)
        ret = candid_read_ref(r, &refs[i]);
    *out = refs;
    *n_out = (uint32_t)n;
    return ret;
}

static int read_func(struct candid_reader *r, struct ic_type *type)
{
    static const enum ic_func_mode modes[] = {IC_FUNC_QUERY, IC_FUNC_ONEWAY,
                                              IC_FUNC_COMPOSITE_QUERY};
    size_t n_modes = 0;
    uint8_t mode;
    int ret = read_refs(r, &type->as.func.args, &type->as.func.n_args);
    if (ret == 0)
        ret = read_refs(r, &type->as.func.results, &type->as.func.n_results);
    if (ret == 0)
        ret = candid_read_count(r, 1, &n_modes);
    if (ret < 0)
        return ret;
    type->as.func.mode = IC_FUNC_UPDATE;
    if (n_modes == 0)
        return 0;
    if (n_modes > 1 || !ic_cursor_u8(&r->in, &mode) || mode < 1 || mode > 3)
        return candid_fail(r, -EPROTO, "malformed function mode");
    type->as.func.mode = modes[mode - 1];
    return 0;
}

static int read_service(struct candid_reader *r, struct ic_type *type)
{
    struct ic_type_method *methods;
    void *memory;
    size_t n = 0;
    int ret = candid_read_count(r, 2, &n);
    if (ret < 0)
        return ret;
    ret = ic_arena_alloc(r->arena, n, sizeof(*methods), &memory);
    if (ret < 0)
        return candid_fail(r, ret, "methods");
    methods = memory;
    for (size_t i = 0; i < n; i++) {
        ret = candid_read_text(r, &methods[i].name);
        if (ret < 0)
            return ret;
        if (i > 0 && ic_view_compare(methods[i - 1].name, methods[i].name) >= 0)
            return candid_fail(r, -EPROTO, "method names do not increase");
        ret = candid_read_ref(r, &methods[i].type);
        if (ret < 0)
            return ret;
    }
    type->as.service.methods = methods;
    type->as.service.n = n;
    return 0;
}

static int read_future(struct candid_reader *r, int64_t opcode, struct ic_type *type)
{
    type->as.future.opcode = opcode;
    return candid_read_bytes(r, &type->as.future.body);
}

static int read_entry(struct candid_reader *r, struct ic_type *type)
{
    int64_t opcode;

    if (!ic_cursor_sleb64(&r->in, &opcode))
        return candid_fail(r, -EPROTO, "malformed type");
    switch (opcode) {
    case OP_OPT:
        type->kind = IC_TYPE_OPT;
        return candid_read_ref(r, &type->as.elem);
    case OP_VEC:
        type->kind = IC_TYPE_VEC;
        return candid_read_ref(r, &type->as.elem);
    case OP_RECORD:
        type->kind = IC_TYPE_RECORD;
        return read_fields(r, type);
    case OP_VARIANT:
        type->kind = IC_TYPE_VARIANT;
        return read_fields(r, type);
    case OP_FUNC:
        type->kind = IC_TYPE_FUNC;
        return read_func(r, type);
    case OP_SERVICE:
        type->kind = IC_TYPE_SERVICE;
        return read_service(r, type);
    default:
        if (opcode >= OP_PRINCIPAL) /* a primitive type or an index is no entry */
            return candid_fail(r, -EPROTO, "malformed type");
        type->kind = IC_TYPE_FUTURE;
        return read_future(r, opcode, type);
    }
}

/* ---- the whole table ---- */

/* Methods of a service must be functions; known only once all entries are read. */
static int check_services(struct candid_reader *r)
{
    for (size_t i = 0; i < r->n_types; i++) {
        const struct ic_type *type = &r->types[i];
        for (size_t k = 0; type->kind == IC_TYPE_SERVICE && k < type->as.service.n; k++)
            if (type->as.service.methods[k].type->kind != IC_TYPE_FUNC)
                return candid_fail(r, -EPROTO, "a method is not a function");
    }
    return 0;
}

enum mark { MARK_NEW, MARK_OPEN, MARK_DONE };

/* Find out whether values of a table entry take no bytes. Each entry is decided once; a cycle of
 * records has no values, and what nests deeper than values may is not worth knowing: both count as
 * having width. */
static bool mark_zero_width(struct candid_reader *r, struct ic_type *type, uint8_t *marks,
                            unsigned depth)
{
    uint8_t *mark = &marks[type - r->types];
    bool zero = true;

    if (*mark != MARK_NEW || depth == 0)
        return type->is_zero_width;
    *mark = MARK_OPEN;
    if (type->kind != IC_TYPE_RECORD)
        zero = false;
    for (size_t i = 0; zero && i < type->as.fields.n; i++) {
        const struct ic_type *field = type->as.fields.fields[i].type;
        bool in_table = field >= r->types && field < r->types + r->n_types;
        zero = in_table ? mark_zero_width(r, &r->types[field - r->types], marks, depth - 1)
                        : field->is_zero_width;
    }
    type->is_zero_width = zero;
    *mark = MARK_DONE;
    return zero;
}

static int mark_all_zero_width(struct candid_reader *r)
{
    void *marks;
    int ret = ic_arena_alloc(r->arena, r->n_types, 1, &marks);
    if (ret < 0)
        return candid_fail(r, ret, "types");
    memset(marks, MARK_NEW, r->n_types);
    for (size_t i = 0; i < r->n_types; i++)
        mark_zero_width(r, &r->types[i], marks, CANDID_MAX_DEPTH);
    return 0;
}

int candid_read_table(struct candid_reader *r, size_t max_types)
{
    size_t n = 0;
    void *memory;
    int ret = candid_read_count(r, 2, &n); /* an opcode and what it applies to */
    if (ret < 0)
        return ret;
    if (n > max_types)
        return candid_fail(r, -EPROTO, "too many types");
    ret = ic_arena_alloc(r->arena, n, sizeof(*r->types), &memory);
    if (ret < 0)
        return candid_fail(r, ret, "types");
    r->types = memory;
    r->n_types = n;
    for (size_t i = 0; i < n; i++)
        r->types[i] = (struct ic_type){.kind = IC_TYPE_EMPTY};
    for (size_t i = 0; i < n; i++) {
        ret = read_entry(r, &r->types[i]);
        if (ret < 0)
            return ret;
    }
    ret = check_services(r);
    return ret < 0 ? ret : mark_all_zero_width(r);
}
