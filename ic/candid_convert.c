/* Candid values brought to a declared type: see candid_convert.h. */
#include "ic/candid_convert.h"

#include "ic/candid_impl.h"

#include <errno.h>
#include <string.h>

#define MAX_MEMORY ((size_t)256 << 20) /* of converted values: a message is 2 MB */
#define MAX_STEPS  ((size_t)1 << 22)   /* for types of functions and services */

struct converter {
    struct ic_arena *arena;
    struct ic_error *err;
    struct candid_relater relater;
    struct candid_path path;
    size_t steps_left; /* of the relater */
};

/* depth: how many levels there may be from here on, this one included. */
static int convert(struct converter *c, const struct ic_value *v, const struct ic_type *type,
                   unsigned depth, struct ic_value *out);

/* ---- errors ---- */

/* found: what is there instead; NULL: nothing. */
static int refuse(struct converter *c, const struct ic_type *found, const struct ic_type *type,
                  unsigned depth, const char *what)
{
    char place[CANDID_PATH_TEXT];
    candid_path_format(&c->path, CANDID_MAX_DEPTH - depth, place);
    return ic_fail(c->err, IC_E_CONFIG, "candid: %s: %s where %s is expected%s", place,
                   found ? candid_kind_name(found->kind) : "nothing", candid_kind_name(type->kind),
                   what);
}

/* Remember the way into a part; depth is that of the part. */
static void step_into(struct converter *c, const struct ic_type *type, size_t index, unsigned depth)
{
    c->path.steps[CANDID_MAX_DEPTH - depth - 1] = (struct candid_step){type, index};
}

static int alloc_failed(struct converter *c, int ret)
{
    if (ret == -ENOMEM)
        return ic_fail(c->err, IC_E_NO_MEMORY, "candid: out of memory");
    return ic_fail(c->err, IC_E_CONFIG, "candid: values are too large");
}

static int alloc(struct converter *c, size_t n, size_t size, void **out)
{
    int ret = ic_arena_alloc(c->arena, n, size, out);
    return ret < 0 ? alloc_failed(c, ret) : 0;
}

/* ---- whole numbers ---- */

static bool is_whole(const struct ic_type *type)
{
    return type->kind >= IC_TYPE_NAT && type->kind <= IC_TYPE_INT64;
}

/* A number as groups of LEB128; of SLEB128 when it is negative. */
struct whole {
    struct ic_view groups;
    bool is_negative;
    uint8_t small[IC_LEB64_MAX]; /* where the groups are when the value holds none */
};

static void whole_init(struct whole *w, const struct ic_value *v)
{
    enum ic_type_kind kind = v->type->kind;
    struct ic_view leb = v->as.leb;

    if (kind == IC_TYPE_NAT || kind == IC_TYPE_INT) {
        w->groups = leb;
        w->is_negative = kind == IC_TYPE_INT && leb.len > 0 && (leb.bytes[leb.len - 1] & 0x40);
        return;
    }
    w->is_negative = kind >= IC_TYPE_INT8 && v->as.integer < 0;
    if (w->is_negative)
        w->groups = ic_view(w->small, ic_sleb64_encode(v->as.integer, w->small));
    else
        w->groups = ic_view(w->small, ic_leb64_encode(v->as.nat, w->small));
}

/* As a nat or int. */
static int convert_unbounded(struct converter *c, const struct whole *w, struct ic_value *out)
{
    struct ic_view groups = w->groups;
    void *memory;
    int ret;

    if (groups.bytes == w->small) {
        ret = alloc(c, groups.len, 1, &memory);
        if (ret < 0)
            return ret;
        memcpy(memory, w->small, groups.len);
        groups.bytes = memory;
    }
    out->as.leb = groups;
    if (w->is_negative || out->type->kind == IC_TYPE_NAT)
        return 0;
    ret = candid_nat_as_int(c->arena, groups, &out->as.leb);
    return ret < 0 ? alloc_failed(c, ret) : 0;
}

/* As nat8 ... int64; false when it is out of range. */
static bool convert_fixed(const struct whole *w, struct ic_value *out)
{
    const struct ic_value unbounded = {.type = w->is_negative ? &ic_type_int : &ic_type_nat,
                                       .as.leb = w->groups};
    bool is_signed = out->type->kind >= IC_TYPE_INT8;
    unsigned bits = 8 * (unsigned)candid_fixed_width(out->type->kind) - is_signed;
    uint64_t max = UINT64_MAX >> (64 - bits), n;

    if (w->is_negative) /* down to -max - 1 */
        return is_signed && ic_value_int64(&unbounded, &out->as.integer) == 0 &&
               out->as.integer >= -(int64_t)max - 1;
    if (ic_value_nat64(&unbounded, &n) < 0 || n > max)
        return false;
    if (is_signed)
        out->as.integer = (int64_t)n;
    else
        out->as.nat = n;
    return true;
}

static int convert_whole(struct converter *c, const struct ic_value *v, unsigned depth,
                         struct ic_value *out)
{
    struct whole w;
    bool fits;

    whole_init(&w, v);
    if (out->type->kind == IC_TYPE_NAT || out->type->kind == IC_TYPE_INT)
        fits = w.groups.len > 0 && !(w.is_negative && out->type->kind == IC_TYPE_NAT);
    else
        fits = w.groups.len > 0 && convert_fixed(&w, out);
    if (!fits)
        return refuse(c, v->type, out->type, depth, ", out of its range");
    return candid_fixed_width(out->type->kind) ? 0 : convert_unbounded(c, &w, out);
}

/* ---- of parts; depth is that of the parts ---- */

static int convert_kept(struct converter *c, const struct ic_value *v, const struct ic_type *type,
                        unsigned depth, const struct ic_value **out)
{
    struct ic_value converted, *kept;
    void *memory;
    int ret = convert(c, v, type, depth, &converted);
    if (ret < 0)
        return ret;
    ret = alloc(c, 1, sizeof(*kept), &memory);
    if (ret < 0)
        return ret;
    kept = memory;
    *kept = converted;
    *out = kept;
    return 0;
}

static int convert_opt(struct converter *c, const struct ic_value *v, unsigned depth,
                       struct ic_value *out)
{
    out->as.opt = NULL;
    if (v->type->kind == IC_TYPE_NULL || v->type->kind == IC_TYPE_RESERVED)
        return 0;
    if (v->type->kind == IC_TYPE_OPT)
        v = v->as.opt;
    if (!v)
        return 0;
    step_into(c, out->type, 0, depth);
    return convert_kept(c, v, out->type->as.elem, depth, &out->as.opt);
}

/* Elements that become numbers or bools: as they are on the wire. */
static int convert_packed(struct converter *c, const struct ic_value *v, size_t n, unsigned depth,
                          struct ic_value *out)
{
    const struct ic_type *elem = out->type->as.elem;
    size_t width = candid_fixed_width(elem->kind);
    uint8_t *bytes;
    void *memory;
    int ret = alloc(c, n, width, &memory);

    if (ret < 0)
        return ret;
    bytes = memory;
    for (size_t i = 0; i < n; i++) {
        struct ic_value item, converted;
        step_into(c, out->type, i, depth);
        ret = ic_value_at(v, i, &item);
        if (ret == 0)
            ret = convert(c, &item, elem, depth, &converted);
        if (ret < 0)
            return ret;
        candid_put_fixed(&converted, bytes + i * width);
    }
    out->as.bytes = ic_view(bytes, n * width);
    return 0;
}

/* Of elements without width one stands for all. */
static int convert_items(struct converter *c, const struct ic_value *v, size_t n, unsigned depth,
                         struct ic_value *out)
{
    const struct ic_type *from = v->type->as.elem, *elem = out->type->as.elem;
    size_t n_read = from->is_zero_width && elem->is_zero_width ? 1 : n;
    struct ic_value *items;
    void *memory;
    int ret = alloc(c, elem->is_zero_width ? 1 : n, sizeof(*items), &memory);

    if (ret < 0)
        return ret;
    items = memory;
    for (size_t i = 0; ret == 0 && i < n_read; i++) {
        struct ic_value item;
        step_into(c, out->type, i, depth);
        ret = ic_value_at(v, i, &item);
        if (ret == 0)
            ret = convert(c, &item, elem, depth, &items[elem->is_zero_width ? 0 : i]);
    }
    out->as.seq.items = items;
    out->as.seq.n = n;
    return ret;
}

static int convert_vec(struct converter *c, const struct ic_value *v, unsigned depth,
                       struct ic_value *out)
{
    const struct ic_type *from = v->type->as.elem, *elem = out->type->as.elem;
    size_t n = ic_value_count(v);

    if (n == 0)
        return 0;
    if (!candid_fixed_width(elem->kind))
        return convert_items(c, v, n, depth, out);
    if (from->kind != elem->kind)
        return convert_packed(c, v, n, depth, out);
    out->as.bytes = v->as.bytes;
    return 0;
}

static int convert_record(struct converter *c, const struct ic_value *v, unsigned depth,
                          struct ic_value *out)
{
    const struct ic_type_field *fields = out->type->as.fields.fields;
    size_t n = out->type->as.fields.n;
    struct ic_value *items;
    void *memory;
    int ret = alloc(c, n, sizeof(*items), &memory);

    if (ret < 0)
        return ret;
    items = memory;
    for (size_t i = 0; ret == 0 && i < n; i++) {
        const struct ic_value *found = ic_value_field_id(v, fields[i].id);
        step_into(c, out->type, i, depth);
        if (found)
            ret = convert(c, found, fields[i].type, depth, &items[i]);
        else if (!candid_default_value(fields[i].type, &items[i]))
            ret = refuse(c, NULL, fields[i].type, depth, "");
    }
    out->as.seq.items = items;
    out->as.seq.n = n;
    return ret;
}

static int convert_variant(struct converter *c, const struct ic_value *v, unsigned depth,
                           struct ic_value *out)
{
    const struct ic_type *type = out->type;
    const struct ic_value *payload;
    uint32_t tag;
    size_t i = 0;

    if (v->as.variant.position >= v->type->as.fields.n || ic_value_variant(v, &tag, &payload) < 0 ||
        !payload)
        return refuse(c, v->type, type, depth + 1, ", but of no case");
    if (!candid_find_field(type, tag, &i))
        return refuse(c, v->type, type, depth + 1, ", but of an unknown case");
    step_into(c, type, i, depth);
    out->as.variant.position = (uint32_t)i;
    return convert_kept(c, payload, type->as.fields.fields[i].type, depth,
                        &out->as.variant.payload);
}

/* ---- any value ---- */

static int convert_reference(struct converter *c, const struct ic_value *v, unsigned depth,
                             struct ic_value *out)
{
    int ret = candid_is_subtype(&c->relater, v->type, out->type);
    if (ret == -ENOMEM)
        return alloc_failed(c, ret);
    if (ret <= 0)
        return refuse(c, v->type, out->type, depth,
                      ret == 0 ? ", but of another type" : ", but too large to be compared");
    out->as = v->as;
    return 0;
}

static int convert(struct converter *c, const struct ic_value *v, const struct ic_type *type,
                   unsigned depth, struct ic_value *out)
{
    if (v->type == type) {
        *out = *v;
        return 0;
    }
    if (depth == 0)
        return refuse(c, v->type, type, depth, ", nested too deeply");
    *out = (struct ic_value){.type = type};
    if (type->kind == IC_TYPE_RESERVED)
        return 0;
    if (type->kind == IC_TYPE_OPT)
        return convert_opt(c, v, depth - 1, out);
    if (is_whole(type) && is_whole(v->type))
        return convert_whole(c, v, depth, out);
    if (v->type->kind != type->kind &&
        !(v->type->kind == IC_TYPE_SERVICE && type->kind == IC_TYPE_PRINCIPAL))
        return refuse(c, v->type, type, depth, "");
    switch ((int)type->kind) {
    case IC_TYPE_VEC:
        return convert_vec(c, v, depth - 1, out);
    case IC_TYPE_RECORD:
        return convert_record(c, v, depth - 1, out);
    case IC_TYPE_VARIANT:
        return convert_variant(c, v, depth - 1, out);
    case IC_TYPE_FUNC:
    case IC_TYPE_SERVICE:
        return convert_reference(c, v, depth, out);
    case IC_TYPE_EMPTY:
    case IC_TYPE_FUTURE:
        return refuse(c, v->type, type, depth, ", which has no values");
    default:
        out->as = v->as;
        return 0;
    }
}

/* ---- entry points ---- */

static void converter_init(struct converter *c, struct ic_arena *arena, struct ic_error *err)
{
    *c = (struct converter){.arena = arena, .err = err, .steps_left = MAX_STEPS};
    candid_relater_init(&c->relater, &c->steps_left);
}

static void converter_fini(struct converter *c)
{
    candid_relater_fini(&c->relater);
}

int ic_value_at_type(const struct ic_value *v, const struct ic_type *type, struct ic_arena *arena,
                     struct ic_value *out, struct ic_error *err)
{
    struct converter c;
    struct ic_value converted;
    int ret;

    converter_init(&c, arena, err);
    ret = convert(&c, v, type, CANDID_MAX_DEPTH, &converted);
    converter_fini(&c);
    if (ret == 0)
        *out = converted;
    return ret;
}

static int encode_args(struct converter *c, const struct ic_value *args, size_t n,
                       const struct ic_type *const *types, size_t n_types, struct ic_buf *out)
{
    struct ic_value *converted;
    void *memory;
    int ret;

    if (n > n_types)
        return ic_fail(c->err, IC_E_CONFIG, "candid: %zu arguments where %zu are expected", n,
                       n_types);
    ret = alloc(c, n_types, sizeof(*converted), &memory);
    if (ret < 0)
        return ret;
    converted = memory;
    for (size_t i = 0; ret == 0 && i < n_types; i++) {
        c->path.argument = i + 1;
        if (i < n)
            ret = convert(c, &args[i], types[i], CANDID_MAX_DEPTH, &converted[i]);
        else if (!candid_default_value(types[i], &converted[i]))
            ret = refuse(c, NULL, types[i], CANDID_MAX_DEPTH, "");
    }
    return ret < 0 ? ret : ic_candid_encode(converted, n_types, out, c->err);
}

int ic_candid_encode_as(const struct ic_value *args, size_t n, const struct ic_type *const *types,
                        size_t n_types, struct ic_buf *out, struct ic_error *err)
{
    struct ic_arena arena;
    struct converter c;
    int ret;

    ic_arena_init(&arena, MAX_MEMORY);
    converter_init(&c, &arena, err);
    ret = encode_args(&c, args, n, types, n_types, out);
    converter_fini(&c);
    ic_arena_fini(&arena);
    return ret;
}
