/* Random Candid types and values: see random_candid.h. */
#include "tests/support/random_candid.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 16   /* of values: enough to get into recursive types */
#define MAX_PARTS 2000 /* of a value */

static const struct ic_type *const primitives[] = {
    &ic_type_null,     &ic_type_bool,      &ic_type_nat,     &ic_type_int,     &ic_type_nat8,
    &ic_type_nat16,    &ic_type_nat32,     &ic_type_nat64,   &ic_type_int8,    &ic_type_int16,
    &ic_type_int32,    &ic_type_int64,     &ic_type_float32, &ic_type_float64, &ic_type_text,
    &ic_type_reserved, &ic_type_principal, &ic_type_empty,
};
#define N_PRIMITIVES (sizeof(primitives) / sizeof(primitives[0]))

void random_candid_init(struct random_candid *r, uint64_t seed)
{
    *r = (struct random_candid){.state = seed};
    ic_arena_init(&r->arena, (size_t)1 << 30);
}

void random_candid_fini(struct random_candid *r)
{
    ic_arena_fini(&r->arena);
}

/* SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators). */
static uint64_t next(struct random_candid *r)
{
    uint64_t z = r->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

uint64_t random_candid_below(struct random_candid *r, uint64_t n)
{
    return n ? next(r) % n : 0;
}

static bool one_in(struct random_candid *r, uint64_t n)
{
    return random_candid_below(r, n) == 0;
}

void *random_candid_alloc(struct random_candid *r, size_t n, size_t size)
{
    void *memory;
    if (ic_arena_alloc(&r->arena, n, size, &memory) < 0) {
        fprintf(stderr, "random_candid: out of memory\n");
        exit(1);
    }
    return memory;
}

static struct ic_view bytes(struct random_candid *r, size_t len)
{
    uint8_t *b = random_candid_alloc(r, len, 1);
    for (size_t i = 0; i < len; i++)
        b[i] = (uint8_t)next(r);
    return ic_view(b, len);
}

/* Characters of one to four bytes. */
static struct ic_view text(struct random_candid *r, size_t max_chars)
{
    static const char *const chars[] = {"a",  "\xc3\xa9", "\xe2\x98\x83", "\xf0\x9f\x90\xa2",
                                        "\"", "\\",       "\n",           ""};
    size_t n = random_candid_below(r, max_chars + 1), len = 0;
    char *b = random_candid_alloc(r, 4 * n, 1);
    for (size_t i = 0; i < n; i++) {
        const char *c = chars[random_candid_below(r, sizeof(chars) / sizeof(chars[0]))];
        memcpy(b + len, c, strlen(c) ? strlen(c) : 1); /* an empty one stands for NUL */
        len += strlen(c) ? strlen(c) : 1;
    }
    return ic_view(b, len);
}

/* ---- types ---- */

const struct ic_type *random_candid_primitive(struct random_candid *r)
{
    /* empty, the last, makes whatever holds it empty: seldom. */
    return primitives[random_candid_below(r, one_in(r, 10) ? N_PRIMITIVES : N_PRIMITIVES - 1)];
}

static int compare_ids(const void *a, const void *b)
{
    const struct ic_type_field *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

/* Ids of hashes and of positions; sorted, each once. Returns how many are left of n. */
static size_t make_ids(struct random_candid *r, struct ic_type_field *fields, size_t n)
{
    bool positions = one_in(r, 3);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        fields[i].id = positions ? (uint32_t)i : (uint32_t)next(r);
    qsort(fields, n, sizeof(*fields), compare_ids);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || fields[i].id != fields[kept - 1].id)
            fields[kept++] = fields[i];
    return kept;
}

/* A type under way: one of those of its graph, or a primitive one. */
static const struct ic_type *reference(struct random_candid *r, const struct ic_type *graph,
                                       size_t n)
{
    return one_in(r, 3) ? &graph[random_candid_below(r, n)] : random_candid_primitive(r);
}

static const struct ic_type *const *references(struct random_candid *r, const struct ic_type *graph,
                                               size_t n, uint32_t *n_out)
{
    uint32_t count = (uint32_t)random_candid_below(r, 4);
    const struct ic_type **list = random_candid_alloc(r, count, sizeof(const struct ic_type *));
    for (uint32_t i = 0; i < count; i++)
        list[i] = reference(r, graph, n);
    *n_out = count;
    return list;
}

static void make_fields(struct random_candid *r, const struct ic_type *graph, size_t n,
                        struct ic_type *type)
{
    size_t count = random_candid_below(r, 6);
    struct ic_type_field *fields = random_candid_alloc(r, count, sizeof(*fields));
    for (size_t i = 0; i < count; i++)
        fields[i].type = reference(r, graph, n);
    type->as.fields.n = make_ids(r, fields, count);
    type->as.fields.fields = fields;
}

static void make_func(struct random_candid *r, const struct ic_type *graph, size_t n,
                      struct ic_type *type)
{
    static const enum ic_func_mode modes[] = {IC_FUNC_UPDATE, IC_FUNC_QUERY,
                                              IC_FUNC_COMPOSITE_QUERY};
    type->as.func.args = references(r, graph, n, &type->as.func.n_args);
    type->as.func.results = references(r, graph, n, &type->as.func.n_results);
    type->as.func.mode = modes[random_candid_below(r, 3)];
}

/* Methods a, b, ... of the one function type. */
static void make_service(struct random_candid *r, const struct ic_type *func, struct ic_type *type)
{
    size_t count = random_candid_below(r, 4);
    struct ic_type_method *methods = random_candid_alloc(r, count, sizeof(*methods));
    for (size_t i = 0; i < count; i++)
        methods[i] = (struct ic_type_method){ic_view(&"abcd"[i], 1), func};
    type->as.service.methods = methods;
    type->as.service.n = count;
}

static void make_type(struct random_candid *r, const struct ic_type *graph, size_t n,
                      struct ic_type *type)
{
    static const enum ic_type_kind kinds[] = {IC_TYPE_OPT,     IC_TYPE_OPT,     IC_TYPE_VEC,
                                              IC_TYPE_VEC,     IC_TYPE_RECORD,  IC_TYPE_RECORD,
                                              IC_TYPE_RECORD,  IC_TYPE_VARIANT, IC_TYPE_VARIANT,
                                              IC_TYPE_SERVICE, IC_TYPE_FUTURE};
    size_t n_kinds = sizeof(kinds) / sizeof(kinds[0]) - !r->with_futures;

    *type = (struct ic_type){.kind = kinds[random_candid_below(r, n_kinds)]};
    switch ((int)type->kind) {
    case IC_TYPE_OPT:
    case IC_TYPE_VEC:
        type->as.elem = reference(r, graph, n);
        break;
    case IC_TYPE_RECORD:
    case IC_TYPE_VARIANT:
        make_fields(r, graph, n, type);
        break;
    case IC_TYPE_SERVICE:
        make_service(r, &graph[0], type); /* the first of each graph is a function */
        break;
    default:
        type->as.future.opcode = -25 - (int64_t)random_candid_below(r, 40);
        type->as.future.body = bytes(r, random_candid_below(r, 6));
        break;
    }
}

static bool is_nothing(const struct ic_type *record)
{
    for (size_t i = 0; i < record->as.fields.n; i++)
        if (!record->as.fields.fields[i].type->is_zero_width)
            return false;
    return true;
}

/* Records of nothing but what takes no bytes take none; until no more are found. */
static void mark_zero_width(struct ic_type *graph, size_t n)
{
    bool found = true;
    while (found) {
        found = false;
        for (size_t i = 0; i < n; i++) {
            struct ic_type *type = &graph[i];
            if (type->kind == IC_TYPE_RECORD && !type->is_zero_width && is_nothing(type))
                found = type->is_zero_width = true;
        }
    }
}

const struct ic_type *random_candid_type(struct random_candid *r, size_t n)
{
    struct ic_type *graph;

    n = 1 + random_candid_below(r, n);
    graph = random_candid_alloc(r, n, sizeof(*graph));
    memset(graph, 0, n * sizeof(*graph));
    graph[0].kind = IC_TYPE_FUNC;
    make_func(r, graph, n, &graph[0]);
    for (size_t i = 1; i < n; i++)
        make_type(r, graph, n, &graph[i]);
    mark_zero_width(graph, n);
    return one_in(r, 8) ? random_candid_primitive(r) : &graph[n - 1];
}

const struct ic_type *random_candid_record(struct random_candid *r,
                                           const struct ic_type *const *types, size_t n)
{
    struct ic_type *record = random_candid_alloc(r, 1, sizeof(*record));
    struct ic_type_field *fields = random_candid_alloc(r, n, sizeof(*fields));
    for (size_t i = 0; i < n; i++)
        fields[i].type = types[i];
    *record = (struct ic_type){.kind = IC_TYPE_RECORD};
    record->as.fields.n = make_ids(r, fields, n);
    record->as.fields.fields = fields;
    record->is_zero_width = is_nothing(record);
    return record;
}

/* ---- values ---- */

static bool make_value(struct random_candid *r, const struct ic_type *type, unsigned depth,
                       size_t max_n, struct ic_value *out);

/* A number of any length, in its shortest form: the last group carries something. */
static struct ic_view leb(struct random_candid *r, bool is_signed)
{
    size_t n = 1 + random_candid_below(r, one_in(r, 4) ? 30 : 3);
    struct ic_view view = bytes(r, n);
    uint8_t *b = random_candid_alloc(r, n, 1);
    memcpy(b, view.bytes, n);
    for (size_t i = 0; i + 1 < n; i++)
        b[i] |= 0x80;
    b[n - 1] &= 0x7f;
    if (n > 1 && is_signed) /* neither all zeros nor all ones, whatever the sign before it */
        b[n - 1] = (b[n - 1] & 0x40) | 0x11;
    else if (n > 1)
        b[n - 1] |= 1;
    return ic_view(b, n);
}

static void make_vec_of_numbers(struct random_candid *r, size_t width, size_t n,
                                struct ic_value *out)
{
    struct ic_view view = bytes(r, n * width);
    if (out->type->as.elem->kind == IC_TYPE_BOOL) {
        uint8_t *b = random_candid_alloc(r, n, 1);
        for (size_t i = 0; i < n; i++)
            b[i] = view.bytes[i] & 1;
        view = ic_view(b, n);
    }
    out->as.bytes = view;
}

static size_t fixed_width(enum ic_type_kind kind)
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

static void make_vec(struct random_candid *r, unsigned depth, size_t max_n, struct ic_value *out)
{
    const struct ic_type *elem = out->type->as.elem;
    size_t width = fixed_width(elem->kind), n = random_candid_below(r, max_n + 1), made = 0;
    struct ic_value *items;

    if (width) {
        make_vec_of_numbers(r, width, n, out);
        return;
    }
    items = random_candid_alloc(r, n, sizeof(*items));
    if (elem->is_zero_width) { /* one stands for all */
        made = n > 0 && make_value(r, elem, depth, max_n, items) ? n : 0;
    } else {
        while (made < n && make_value(r, elem, depth, max_n < 4 ? max_n : 4, &items[made]))
            made++;
    }
    out->as.seq.items = items;
    out->as.seq.n = made;
}

static bool make_record(struct random_candid *r, unsigned depth, size_t max_n, struct ic_value *out)
{
    size_t n = out->type->as.fields.n;
    struct ic_value *items = random_candid_alloc(r, n, sizeof(*items));
    for (size_t i = 0; i < n; i++)
        if (!make_value(r, out->type->as.fields.fields[i].type, depth, max_n, &items[i]))
            return false;
    out->as.seq.items = items;
    out->as.seq.n = n;
    return true;
}

/* Any case that has a value, from a random one on. */
static bool make_variant(struct random_candid *r, unsigned depth, size_t max_n,
                         struct ic_value *out)
{
    size_t n = out->type->as.fields.n, first = random_candid_below(r, n);
    struct ic_value *payload = random_candid_alloc(r, 1, sizeof(*payload));
    for (size_t i = 0; i < n; i++) {
        size_t position = (first + i) % n;
        if (make_value(r, out->type->as.fields.fields[position].type, depth, max_n, payload)) {
            out->as.variant.payload = payload;
            out->as.variant.position = (uint32_t)position;
            return true;
        }
    }
    return false;
}

static void make_opt(struct random_candid *r, unsigned depth, size_t max_n, struct ic_value *out)
{
    struct ic_value *content = random_candid_alloc(r, 1, sizeof(*content));
    bool some = !one_in(r, 4) && make_value(r, out->type->as.elem, depth, max_n, content);
    out->as.opt = some ? content : NULL;
}

static void make_scalar(struct random_candid *r, struct ic_value *out)
{
    struct ic_func_value *func;
    unsigned unused_bits;

    switch ((int)out->type->kind) {
    case IC_TYPE_BOOL:
        out->as.boolean = one_in(r, 2);
        break;
    case IC_TYPE_NAT:
    case IC_TYPE_INT:
        out->as.leb = leb(r, out->type->kind == IC_TYPE_INT);
        break;
    case IC_TYPE_NAT8:
    case IC_TYPE_NAT16:
    case IC_TYPE_NAT32:
    case IC_TYPE_NAT64:
        unused_bits = 64 - 8 * (unsigned)fixed_width(out->type->kind);
        out->as.nat = next(r) >> unused_bits;
        break;
    case IC_TYPE_INT8:
    case IC_TYPE_INT16:
    case IC_TYPE_INT32:
    case IC_TYPE_INT64:
        unused_bits = 64 - 8 * (unsigned)fixed_width(out->type->kind);
        out->as.integer = (int64_t)next(r) >> unused_bits;
        break;
    case IC_TYPE_FLOAT32:
        out->as.float32 = (uint32_t)next(r);
        break;
    case IC_TYPE_FLOAT64:
        out->as.float64 = next(r);
        break;
    case IC_TYPE_TEXT:
        out->as.text = text(r, 20);
        break;
    case IC_TYPE_PRINCIPAL:
    case IC_TYPE_SERVICE:
        out->as.bytes = bytes(r, random_candid_below(r, IC_PRINCIPAL_MAX + 1));
        break;
    case IC_TYPE_FUTURE:
        out->as.bytes = bytes(r, random_candid_below(r, 10));
        break;
    case IC_TYPE_FUNC:
        func = random_candid_alloc(r, 1, sizeof(*func));
        func->canister = bytes(r, random_candid_below(r, IC_PRINCIPAL_MAX + 1));
        func->method = text(r, 8);
        out->as.func = func;
        break;
    default: /* null, reserved */
        break;
    }
}

static bool make_value(struct random_candid *r, const struct ic_type *type, unsigned depth,
                       size_t max_n, struct ic_value *out)
{
    *out = (struct ic_value){.type = type};
    if (type->kind == IC_TYPE_EMPTY || depth == 0 || r->left == 0)
        return false;
    depth--;
    r->left--;
    switch ((int)type->kind) {
    case IC_TYPE_OPT:
        make_opt(r, depth, max_n, out);
        return true;
    case IC_TYPE_VEC:
        make_vec(r, depth, max_n, out);
        return true;
    case IC_TYPE_RECORD:
        return make_record(r, depth, max_n, out);
    case IC_TYPE_VARIANT:
        return make_variant(r, depth, max_n, out);
    default:
        make_scalar(r, out);
        return true;
    }
}

bool random_candid_value(struct random_candid *r, const struct ic_type *type, size_t max_n,
                         struct ic_value *out)
{
    r->left = MAX_PARTS;
    return make_value(r, type, MAX_DEPTH, max_n, out);
}

size_t random_candid_args(struct random_candid *r, struct ic_value *args, size_t max)
{
    size_t n = random_candid_below(r, max + 1), made = 0;
    for (size_t i = 0; i < n; i++)
        made += random_candid_value(r, random_candid_type(r, 10), 10, &args[made]);
    return made;
}
