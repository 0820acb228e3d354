/* Candid messages at expected types: see candid_coerce.h.
 *
 * A value is read by two types at once: its own, which says what the bytes are, and the expected
 * one, which says what becomes of them. There are three outcomes, and all depends on keeping the
 * last two apart:
 *
 *     0               it fits
 *     MISMATCH        the bytes are good as far as they were read, but the types do not fit. The
 *                     nearest opt around goes back, skips the value and is none
 *     negative errno  malformed, or over a limit: nothing recovers from that
 *
 * Going back gives back the memory, but not what was charged. What lies in an opt is so read twice
 * at most for each opt around it, and all is charged.
 *
 * Source: Candid specification, Deserialisation; candid 0.10.32 where the text leaves a choice.
 */
#include "ic/candid_coerce.h"

#include "ic/candid_impl.h"

#include <errno.h>

#define MISMATCH 1

/* Twice as much as at own types: a byte that is an element may be expected as opt of its type. */
#define MEMORY_PER_BYTE 256

struct coercer {
    struct candid_reader r;
    struct candid_relater relater;
    struct candid_path path;
    struct { /* the last mismatch: only one that nothing recovers from gets reported */
        const struct ic_type *found; /* NULL: nothing */
        const struct ic_type *expected;
        const char *what; /* more about it */
        unsigned depth;
        size_t pos;
    } mismatch;
};

static int coerce(struct coercer *c, const struct ic_type *wire, const struct ic_type *type,
                  unsigned depth, struct ic_value *out);

/* ---- mismatches ---- */

/* wire: NULL when there is nothing; depth: what is left of it there. */
static int mismatch(struct coercer *c, const struct ic_type *wire, const struct ic_type *type,
                    unsigned depth, const char *what)
{
    c->mismatch.what = what;
    c->mismatch.found = wire;
    c->mismatch.expected = type;
    c->mismatch.depth = c->r.max_depth - depth;
    c->mismatch.pos = (size_t)(c->r.in.pos - c->r.start);
    return MISMATCH;
}

/* Remember the way into a part of a value; depth is what is left for the part. */
static void step_into(struct coercer *c, const struct ic_type *type, size_t index, unsigned depth)
{
    c->path.steps[c->r.max_depth - depth - 1] = (struct candid_step){type, index};
}

static int report(struct coercer *c)
{
    const struct ic_type *found = c->mismatch.found, *expected = c->mismatch.expected;
    char place[CANDID_PATH_TEXT];

    candid_path_format(&c->path, c->mismatch.depth, place);
    return ic_fail(c->r.err, IC_E_WRONG_TYPE, "candid: %s: %s where %s is expected%s (at byte %zu)",
                   place, found ? candid_kind_name(found->kind) : "nothing",
                   candid_kind_name(expected->kind), c->mismatch.what, c->mismatch.pos);
}

/* ---- without parts ---- */

static int coerce_leaf(struct coercer *c, const struct ic_type *wire, const struct ic_type *type,
                       unsigned depth, struct ic_value *out)
{
    int ret = candid_read_value(&c->r, wire, depth, out);
    out->type = type;
    if (ret < 0 || wire->kind == type->kind || type->kind != IC_TYPE_INT)
        return ret;
    ret = candid_nat_as_int(c->r.arena, out->as.leb, &out->as.leb);
    return ret < 0 ? candid_fail(&c->r, ret, "numbers") : 0;
}

/* A function or service: a value of another type may not be called as expected. */
static int coerce_reference(struct coercer *c, const struct ic_type *wire,
                            const struct ic_type *type, unsigned depth, struct ic_value *out)
{
    int ret = candid_is_subtype(&c->relater, wire, type);
    if (ret < 0)
        return candid_fail(&c->r, ret == -ENOMEM ? ret : -EPROTO, "types too large to be compared");
    if (ret == 0)
        return mismatch(c, wire, type, depth, ", but of another type");
    return coerce_leaf(c, wire, type, depth, out);
}

/* ---- of parts; depth is what is left for these ---- */

static int coerce_opt(struct coercer *c, const struct ic_type *wire, const struct ic_type *type,
                      unsigned depth, struct ic_value *out)
{
    struct ic_value content, *kept;
    struct ic_arena_mark mark;
    struct ic_cursor before;
    bool is_some = true;
    int ret = 0;

    out->as.opt = NULL;
    if (wire->kind == IC_TYPE_NULL || wire->kind == IC_TYPE_RESERVED)
        return 0;
    if (wire->kind == IC_TYPE_OPT) {
        ret = candid_read_opt_tag(&c->r, &is_some);
        wire = wire->as.elem;
    }
    if (ret < 0 || !is_some)
        return ret;
    step_into(c, type, 0, depth);
    before = c->r.in;
    mark = ic_arena_mark(c->r.arena);
    ret = coerce(c, wire, type->as.elem, depth, &content);
    if (ret == MISMATCH) {
        c->r.in = before;
        ic_arena_rewind(c->r.arena, mark);
        return candid_skip(&c->r, wire, depth);
    }
    if (ret != 0)
        return ret;
    ret = candid_alloc_values(&c->r, 1, &kept);
    if (ret < 0)
        return ret;
    *kept = content;
    out->as.opt = kept;
    return 0;
}

/* Elements one by one. Of those that are expected to have no width, and so are all alike, one is
 * kept; when they have none in the message either, one is read, and the others are charged. */
static int coerce_items(struct coercer *c, const struct ic_type *wire, size_t n, unsigned depth,
                        struct ic_value *out)
{
    const struct ic_type *elem = out->type->as.elem;
    size_t n_read = wire->is_zero_width && elem->is_zero_width ? 1 : n;
    size_t before = c->r.values_left, cost;
    struct ic_value *items = NULL;
    int ret = 0;

    if (n > c->r.values_left) /* before there is memory for them */
        return candid_charge(&c->r, n);
    ret = candid_alloc_values(&c->r, elem->is_zero_width ? 1 : n, &items);
    for (size_t i = 0; ret == 0 && i < n_read; i++) {
        step_into(c, out->type, i, depth);
        ret = coerce(c, wire, elem, depth, &items[elem->is_zero_width ? 0 : i]);
    }
    if (ret != 0)
        return ret;
    out->as.seq.items = items;
    out->as.seq.n = n;
    if (__builtin_mul_overflow(before - c->r.values_left, n - n_read, &cost))
        cost = SIZE_MAX;
    return candid_charge(&c->r, cost);
}

static int coerce_vec(struct coercer *c, const struct ic_type *wire, unsigned depth,
                      struct ic_value *out)
{
    const struct ic_type *from = wire->as.elem, *elem = out->type->as.elem;
    uint64_t n = 0;
    size_t count = 0;
    int ret = 0;

    if (candid_fixed_width(elem->kind) && from->kind == elem->kind)
        return candid_read_packed(&c->r, out);
    if (!from->is_zero_width)
        ret = candid_read_count(&c->r, 1, &count);
    else if (!ic_cursor_leb64(&c->r.in, &n))
        ret = candid_fail(&c->r, -EPROTO, "malformed length");
    else
        count = (size_t)n;
    if (ret < 0 || count == 0) /* no elements fit any type */
        return ret;
    if (candid_fixed_width(elem->kind)) {
        step_into(c, out->type, 0, depth);
        return mismatch(c, from, elem, depth, "");
    }
    return coerce_items(c, from, count, depth, out);
}

/* Both lists of fields are sorted by id. */
static int coerce_record(struct coercer *c, const struct ic_type *wire, unsigned depth,
                         struct ic_value *out)
{
    const struct ic_type_field *x = wire->as.fields.fields, *x_end = x + wire->as.fields.n;
    const struct ic_type_field *fields = out->type->as.fields.fields;
    size_t n = out->type->as.fields.n, i = 0;
    struct ic_value *items = NULL;
    int ret;

    if (n > c->r.values_left)
        return candid_charge(&c->r, n);
    ret = candid_alloc_values(&c->r, n, &items);
    while (ret == 0 && (x < x_end || i < n)) {
        if (i == n || (x < x_end && x->id < fields[i].id)) {
            ret = candid_skip(&c->r, x->type, depth);
            x++;
            continue;
        }
        step_into(c, out->type, i, depth);
        if (x < x_end && x->id == fields[i].id) {
            ret = coerce(c, x->type, fields[i].type, depth, &items[i]);
            x++;
        } else if (candid_default_value(fields[i].type, &items[i])) {
            ret = candid_charge(&c->r, 1);
        } else {
            ret = mismatch(c, NULL, fields[i].type, depth, "");
        }
        i++;
    }
    out->as.seq.items = items;
    out->as.seq.n = n;
    return ret;
}

static int coerce_variant(struct coercer *c, const struct ic_type *wire, unsigned depth,
                          struct ic_value *out)
{
    const struct ic_type *type = out->type;
    const struct ic_type_field *found;
    struct ic_value payload, *kept;
    uint64_t position;
    size_t i = 0;
    int ret;

    if (!ic_cursor_leb64(&c->r.in, &position) || position >= wire->as.fields.n)
        return candid_fail(&c->r, -EPROTO, "no such case of a variant");
    found = &wire->as.fields.fields[position];
    if (!candid_find_field(type, found->id, &i))
        return mismatch(c, wire, type, depth + 1, ", but of an unknown case");
    step_into(c, type, i, depth);
    ret = coerce(c, found->type, type->as.fields.fields[i].type, depth, &payload);
    if (ret != 0)
        return ret;
    ret = candid_alloc_values(&c->r, 1, &kept);
    if (ret < 0)
        return ret;
    *kept = payload;
    out->as.variant.position = (uint32_t)i;
    out->as.variant.payload = kept;
    return 0;
}

/* ---- any value ---- */

static int coerce_parts(struct coercer *c, const struct ic_type *wire, const struct ic_type *type,
                        unsigned depth, struct ic_value *out)
{
    int ret = candid_enter(&c->r, &depth);
    if (ret < 0)
        return ret;
    *out = (struct ic_value){.type = type};
    switch ((int)type->kind) {
    case IC_TYPE_OPT:
        return coerce_opt(c, wire, type, depth, out);
    case IC_TYPE_VEC:
        return coerce_vec(c, wire, depth, out);
    case IC_TYPE_RECORD:
        return coerce_record(c, wire, depth, out);
    default:
        return coerce_variant(c, wire, depth, out);
    }
}

static int coerce(struct coercer *c, const struct ic_type *wire, const struct ic_type *type,
                  unsigned depth, struct ic_value *out)
{
    if (type->kind == IC_TYPE_RESERVED) {
        *out = (struct ic_value){.type = type};
        return candid_skip(&c->r, wire, depth);
    }
    if (type->kind == IC_TYPE_OPT)
        return coerce_parts(c, wire, type, depth, out);
    if (wire->kind != type->kind) {
        if ((wire->kind == IC_TYPE_NAT && type->kind == IC_TYPE_INT) ||
            (wire->kind == IC_TYPE_SERVICE && type->kind == IC_TYPE_PRINCIPAL))
            return coerce_leaf(c, wire, type, depth, out);
        return mismatch(c, wire, type, depth, "");
    }
    switch ((int)type->kind) {
    case IC_TYPE_VEC:
    case IC_TYPE_RECORD:
    case IC_TYPE_VARIANT:
        return coerce_parts(c, wire, type, depth, out);
    case IC_TYPE_FUNC:
    case IC_TYPE_SERVICE:
        return coerce_reference(c, wire, type, depth, out);
    case IC_TYPE_FUTURE: /* nobody knows what it is, so it is nothing that is expected */
        return mismatch(c, wire, type, depth, "");
    default: /* also empty, which has no values: malformed */
        return coerce_leaf(c, wire, type, depth, out);
    }
}

/* ---- argument lists ---- */

static int coerce_args(struct coercer *c, const struct ic_type *const *types, size_t n,
                       struct ic_candid *msg)
{
    struct ic_value *args = NULL;
    size_t n_args = c->r.n_args;
    int ret = candid_alloc_values(&c->r, n, &args);

    for (size_t i = 0; ret == 0 && i < n; i++) {
        c->path.argument = i + 1;
        if (i < n_args)
            ret = coerce(c, c->r.arg_types[i], types[i], c->r.max_depth, &args[i]);
        else if (!candid_default_value(types[i], &args[i]))
            ret = mismatch(c, NULL, types[i], c->r.max_depth, "");
    }
    for (size_t i = n; ret == 0 && i < n_args; i++)
        ret = candid_skip(&c->r, c->r.arg_types[i], c->r.max_depth);
    msg->args = args;
    msg->n = n;
    return ret == MISMATCH ? report(c) : ret;
}

int ic_candid_decode_as(const uint8_t *bytes, size_t len, const struct ic_type *const *types,
                        size_t n, const struct ic_candid_limits *limits, struct ic_candid **out,
                        struct ic_error *err)
{
    struct coercer c = {0};
    struct ic_candid *msg = NULL;
    int ret = candid_begin(&c.r, ic_view(bytes, len), limits, MEMORY_PER_BYTE, &msg, err);
    if (!msg)
        return ret;
    candid_relater_init(&c.relater, &c.r.values_left);
    ret = coerce_args(&c, types, n, msg);
    candid_relater_fini(&c.relater);
    return candid_end(&c.r, ret, msg, out);
}
