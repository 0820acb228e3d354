/* Every entry is checked, also those that no value uses: a table is either valid or refused. */
#include "ic/candid_table.h"

#include <errno.h>
#include <string.h>

static const struct {
    int code;
    enum ic_type_kind kind;
    const struct ic_type *primitive; /* NULL: a constructor, in the table only */
} codes[] = {
    {-1, IC_TYPE_NULL, &ic_type_null},
    {-2, IC_TYPE_BOOL, &ic_type_bool},
    {-3, IC_TYPE_NAT, &ic_type_nat},
    {-4, IC_TYPE_INT, &ic_type_int},
    {-5, IC_TYPE_NAT8, &ic_type_nat8},
    {-6, IC_TYPE_NAT16, &ic_type_nat16},
    {-7, IC_TYPE_NAT32, &ic_type_nat32},
    {-8, IC_TYPE_NAT64, &ic_type_nat64},
    {-9, IC_TYPE_INT8, &ic_type_int8},
    {-10, IC_TYPE_INT16, &ic_type_int16},
    {-11, IC_TYPE_INT32, &ic_type_int32},
    {-12, IC_TYPE_INT64, &ic_type_int64},
    {-13, IC_TYPE_FLOAT32, &ic_type_float32},
    {-14, IC_TYPE_FLOAT64, &ic_type_float64},
    {-15, IC_TYPE_TEXT, &ic_type_text},
    {-16, IC_TYPE_RESERVED, &ic_type_reserved},
    {-17, IC_TYPE_EMPTY, &ic_type_empty},
    {-18, IC_TYPE_OPT, NULL},
    {-19, IC_TYPE_VEC, NULL},
    {-20, IC_TYPE_RECORD, NULL},
    {-21, IC_TYPE_VARIANT, NULL},
    {-22, IC_TYPE_FUNC, NULL},
    {-23, IC_TYPE_SERVICE, NULL},
    {-24, IC_TYPE_PRINCIPAL, &ic_type_principal},
};

#define N_CODES (sizeof(codes) / sizeof(codes[0]))

int ic_candid_code(enum ic_type_kind kind)
{
    for (size_t i = 0; i < N_CODES; i++)
        if (codes[i].kind == kind)
            return codes[i].code;
    return 0;
}

size_t ic_candid_width(enum ic_type_kind kind)
{
    switch ((int)kind) {
    case IC_TYPE_BOOL:
    case IC_TYPE_NAT8:
    case IC_TYPE_INT8:
        return 1;
    case IC_TYPE_NAT16:
    case IC_TYPE_INT16:
        return 2;
    case IC_TYPE_NAT32:
    case IC_TYPE_INT32:
    case IC_TYPE_FLOAT32:
        return 4;
    case IC_TYPE_NAT64:
    case IC_TYPE_INT64:
    case IC_TYPE_FLOAT64:
        return 8;
    default:
        return 0;
    }
}

struct reader {
    struct ic_cursor *in;
    struct ic_arena *arena;
    struct ic_candid_table table;
    int result; /* why the last step failed: -EPROTO or -ENOMEM */
};

static bool fail(struct reader *r, int result)
{
    r->result = result;
    return false;
}

static bool read_ref(struct reader *r, const struct ic_type **out)
{
    return ic_candid_table_ref(&r->table, r->in, out) == 0 || fail(r, -EPROTO);
}

/* A count of things of at least `width` bytes each, which the input must still hold. */
static bool read_count(struct reader *r, size_t width, size_t *out)
{
    uint64_t n;
    if (!ic_cursor_leb64(r->in, &n) || n > ic_cursor_left(r->in) / width)
        return fail(r, -EPROTO);
    *out = (size_t)n;
    return true;
}

static void *reserve(struct reader *r, size_t n, size_t size)
{
    void *memory = ic_arena_alloc(r->arena, n, size);
    if (!memory)
        /* More than the message may claim, or more than there is. */
        fail(r, r->arena->left < n * size ? -EPROTO : -ENOMEM);
    return memory;
}

static bool read_fields(struct reader *r, struct ic_type *type)
{
    size_t n;
    if (!read_count(r, 2, &n))
        return false;
    struct ic_type_field *fields = reserve(r, n, sizeof(*fields));
    if (!fields)
        return false;
    for (size_t i = 0; i < n; i++) {
        uint64_t id;
        if (!ic_cursor_leb64(r->in, &id) || id > UINT32_MAX || (i > 0 && id <= fields[i - 1].id))
            return fail(r, -EPROTO);
        fields[i].id = (uint32_t)id;
        if (!read_ref(r, &fields[i].type))
            return false;
    }
    type->as.fields.fields = fields;
    type->as.fields.n = n;
    return true;
}

static bool read_refs(struct reader *r, const struct ic_type *const **out, uint32_t *ret_n)
{
    size_t n;
    if (!read_count(r, 1, &n))
        return false;
    if (n > UINT32_MAX)
        return fail(r, -EPROTO);
    const struct ic_type **refs = reserve(r, n, sizeof(const struct ic_type *));
    if (!refs)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!read_ref(r, &refs[i]))
            return false;
    *out = refs;
    *ret_n = (uint32_t)n;
    return true;
}

static bool read_func(struct reader *r, struct ic_type *type)
{
    size_t n_modes;
    uint8_t mode = 0;
    if (!read_refs(r, &type->as.func.args, &type->as.func.n_args) ||
        !read_refs(r, &type->as.func.results, &type->as.func.n_results) ||
        !read_count(r, 1, &n_modes))
        return false;
    if (n_modes > 1 || (n_modes == 1 && (!ic_cursor_u8(r->in, &mode) || mode < 1 || mode > 3)))
        return fail(r, -EPROTO);
    static const enum ic_func_mode modes[] = {IC_FUNC_UPDATE, IC_FUNC_QUERY, IC_FUNC_ONEWAY,
                                              IC_FUNC_COMPOSITE_QUERY};
    type->as.func.mode = modes[mode];
    return true;
}

static bool read_service(struct reader *r, struct ic_type *type)
{
    size_t n;
    if (!read_count(r, 2, &n))
        return false;
    struct ic_type_method *methods = reserve(r, n, sizeof(*methods));
    if (!methods)
        return false;
    for (size_t i = 0; i < n; i++) {
        uint64_t len;
        if (!ic_cursor_leb64(r->in, &len) || !ic_cursor_take(r->in, len, &methods[i].name) ||
            !ic_view_is_utf8(methods[i].name) ||
            (i > 0 && ic_view_compare(methods[i - 1].name, methods[i].name) >= 0))
            return fail(r, -EPROTO);
        if (!read_ref(r, &methods[i].type))
            return false;
    }
    type->as.service.methods = methods;
    type->as.service.n = n;
    return true;
}

static bool read_future(struct reader *r, int64_t code)
{
    uint64_t len;
    struct ic_view body;
    /* Codes down to -24 are known; those that are not constructors do not belong into a table. */
    if (code >= -24 || !ic_cursor_leb64(r->in, &len) || !ic_cursor_take(r->in, len, &body))
        return fail(r, -EPROTO);
    return true;
}

static bool read_entry(struct reader *r, struct ic_type *type)
{
    int64_t code;
    if (!ic_cursor_sleb64(r->in, &code))
        return fail(r, -EPROTO);
    type->kind = IC_TYPE_FUTURE;
    for (size_t i = 0; i < N_CODES; i++)
        if (codes[i].code == code && !codes[i].primitive)
            type->kind = codes[i].kind;
    switch ((int)type->kind) {
    case IC_TYPE_OPT:
    case IC_TYPE_VEC:
        return read_ref(r, &type->as.elem);
    case IC_TYPE_RECORD:
    case IC_TYPE_VARIANT:
        return read_fields(r, type);
    case IC_TYPE_FUNC:
        return read_func(r, type);
    case IC_TYPE_SERVICE:
        return read_service(r, type);
    default:
        return read_future(r, code);
    }
}

/* References may point forward, so that methods can be checked only now. */
static bool check_services(const struct ic_candid_table *table)
{
    for (size_t i = 0; i < table->n; i++) {
        const struct ic_type *type = &table->types[i];
        if (type->kind != IC_TYPE_SERVICE)
            continue;
        for (size_t j = 0; j < type->as.service.n; j++)
            if (type->as.service.methods[j].type->kind != IC_TYPE_FUNC)
                return false;
    }
    return true;
}

int ic_candid_table_ref(const struct ic_candid_table *table, struct ic_cursor *in,
                        const struct ic_type **out)
{
    int64_t ref;
    if (!ic_cursor_sleb64(in, &ref))
        return -EPROTO;
    if (ref >= 0) {
        if ((uint64_t)ref >= table->n)
            return -EPROTO;
        *out = &table->types[ref];
        return 0;
    }
    for (size_t i = 0; i < N_CODES; i++) {
        if (codes[i].code == ref && codes[i].primitive) {
            *out = codes[i].primitive;
            return 0;
        }
    }
    return -EPROTO;
}

int ic_candid_table_read(struct ic_cursor *in, size_t max_types, struct ic_arena *arena,
                         struct ic_candid_table *out, struct ic_error *err)
{
    struct ic_view magic;
    size_t n;
    struct reader r = {.in = in, .arena = arena};
    if (!ic_cursor_take(in, 4, &magic) || memcmp(magic.bytes, "DIDL", 4) != 0)
        return ic_fail(err, IC_E_MALFORMED, "not a Candid message: it does not begin with DIDL");
    if (!read_count(&r, 2, &n) || n > max_types)
        return ic_fail(err, IC_E_MALFORMED, "Candid: the type table claims too many entries");
    struct ic_type *types = reserve(&r, n, sizeof(*types));
    if (!types)
        return ic_fail(err, r.result == -ENOMEM ? IC_E_NO_MEMORY : IC_E_MALFORMED,
                       "Candid: the type table is too large");
    r.table = (struct ic_candid_table){types, n};
    for (size_t i = 0; i < n; i++)
        if (!read_entry(&r, &types[i]))
            return ic_fail(err, r.result == -ENOMEM ? IC_E_NO_MEMORY : IC_E_MALFORMED,
                           "Candid: type table entry %zu is malformed", i);
    if (!check_services(&r.table))
        return ic_fail(err, IC_E_MALFORMED, "Candid: a service method is not a function");
    *out = r.table;
    return 0;
}
