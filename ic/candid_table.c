/* The type table of a message to be written: each compound type once, in the order in which they
 * are first met, a type before what it consists of.
 *
 * A description has a type of its own wherever one is written, and `opt blob` is written often. So
 * types of equal structure are one, as far as that is easily told: those that lead to no recursive
 * type, whose parts are known when they are. Others count by their address.
 *
 * Source: Candid specification, Binary format, Type: any table that says the same is as good; a
 * short one is, because receivers meter it.
 */
#include "ic/candid_impl.h"

#include <errno.h>
#include <search.h>
#include <stdint.h>
#include <string.h>

struct candid_table_entry {
    const struct ic_type *type;
    struct candid_table_entry *same; /* the first of its structure, which may be itself */
    int64_t serial;
    int64_t code; /* of the first of its structure: its index in the table; -1 while it has none */
    bool is_finite; /* leads to no recursive type; false until all its parts are known */
    size_t n_parts;
    int64_t *parts; /* what each is: its code when it is primitive, else the serial of its `same` */
};

/* There is no other limit to memory. */
static int table_failed(struct candid_table *t)
{
    return ic_fail(t->err, IC_E_NO_MEMORY, "candid: out of memory");
}

static int refuse(struct candid_table *t, const char *what)
{
    return ic_fail(t->err, IC_E_CONFIG, "candid: cannot encode: %s", what);
}

/* ---- parts ---- */

static bool is_compound(const struct ic_type *type)
{
    return type->kind >= IC_TYPE_OPT;
}

static int64_t primitive_code(const struct ic_type *type)
{
    return candid_primitive_code(type->kind);
}

static size_t count_parts(const struct ic_type *type)
{
    switch ((int)type->kind) {
    case IC_TYPE_OPT:
    case IC_TYPE_VEC:
        return 1;
    case IC_TYPE_RECORD:
    case IC_TYPE_VARIANT:
        return type->as.fields.n;
    case IC_TYPE_FUNC:
        return (size_t)type->as.func.n_args + type->as.func.n_results;
    case IC_TYPE_SERVICE:
        return type->as.service.n;
    default: /* future: opaque */
        return 0;
    }
}

static const struct ic_type *part(const struct ic_type *type, size_t i)
{
    switch ((int)type->kind) {
    case IC_TYPE_RECORD:
    case IC_TYPE_VARIANT:
        return type->as.fields.fields[i].type;
    case IC_TYPE_FUNC:
        return i < type->as.func.n_args ? type->as.func.args[i]
                                        : type->as.func.results[i - type->as.func.n_args];
    case IC_TYPE_SERVICE:
        return type->as.service.methods[i].type;
    default: /* opt, vec */
        return type->as.elem;
    }
}

/* ---- order ---- */

static int order(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

static int compare_addresses(const void *x, const void *y)
{
    const struct candid_table_entry *a = x, *b = y;
    return order((uintptr_t)a->type, (uintptr_t)b->type);
}

/* What two types of one kind and as many parts have beside these. */
static int compare_labels(const struct ic_type *a, const struct ic_type *b)
{
    int ret = 0;
    switch ((int)a->kind) {
    case IC_TYPE_RECORD:
    case IC_TYPE_VARIANT:
        for (size_t i = 0; ret == 0 && i < a->as.fields.n; i++)
            ret = order(a->as.fields.fields[i].id, b->as.fields.fields[i].id);
        return ret;
    case IC_TYPE_FUNC:
        ret = order(a->as.func.n_args, b->as.func.n_args);
        return ret ? ret : order(a->as.func.mode, b->as.func.mode);
    case IC_TYPE_SERVICE:
        for (size_t i = 0; ret == 0 && i < a->as.service.n; i++)
            ret = ic_view_compare(a->as.service.methods[i].name, b->as.service.methods[i].name);
        return ret;
    case IC_TYPE_FUTURE:
        ret = order((uint64_t)a->as.future.opcode, (uint64_t)b->as.future.opcode);
        return ret ? ret : ic_view_compare(a->as.future.body, b->as.future.body);
    default:
        return 0;
    }
}

static int compare_structures(const void *x, const void *y)
{
    const struct candid_table_entry *a = x, *b = y;
    int ret = order(a->type->kind, b->type->kind);
    if (ret == 0)
        ret = order(a->n_parts, b->n_parts);
    for (size_t i = 0; ret == 0 && i < a->n_parts; i++)
        ret = order((uint64_t)a->parts[i], (uint64_t)b->parts[i]);
    return ret ? ret : compare_labels(a->type, b->type);
}

/* ---- collecting ---- */

static struct candid_table_entry *find(const struct candid_table *t, const struct ic_type *type)
{
    const struct candid_table_entry key = {.type = type};
    void **found = tfind(&key, &t->by_address, compare_addresses);
    return found ? *found : NULL;
}

static int new_entry(struct candid_table *t, const struct ic_type *type,
                     struct candid_table_entry **out)
{
    struct candid_table_entry *entry;
    size_t n_parts = count_parts(type);
    void *memory, *parts;
    int ret = ic_arena_alloc(&t->arena, 1, sizeof(*entry), &memory);

    if (ret == 0)
        ret = ic_arena_alloc(&t->arena, n_parts, sizeof(int64_t), &parts);
    if (ret < 0)
        return table_failed(t);
    for (size_t i = 1; i < n_parts; i++)
        if ((type->kind == IC_TYPE_RECORD || type->kind == IC_TYPE_VARIANT) &&
            type->as.fields.fields[i - 1].id >= type->as.fields.fields[i].id)
            return refuse(t, "field ids do not increase");
    entry = memory;
    *entry = (struct candid_table_entry){.type = type,
                                         .same = entry,
                                         .serial = (int64_t)t->n_entries,
                                         .code = -1,
                                         .n_parts = n_parts,
                                         .parts = parts};
    if (!tsearch(entry, &t->by_address, compare_addresses))
        return table_failed(t);
    t->n_entries++;
    *out = entry;
    return 0;
}

/* Make entries for a type and all it refers to, from the inside out. */
static int collect(struct candid_table *t, const struct ic_type *type, unsigned depth,
                   struct candid_table_entry **out)
{
    struct candid_table_entry *entry = find(t, type);
    bool is_finite = true;
    void **first;
    int ret = 0;

    *out = entry;
    if (entry)
        return 0;
    if (depth == 0)
        return refuse(t, "types nest too deeply");
    ret = new_entry(t, type, &entry);
    if (!entry)
        return ret;
    for (size_t i = 0; i < entry->n_parts; i++) {
        const struct ic_type *inner = part(type, i);
        struct candid_table_entry *of_part = NULL;
        entry->parts[i] = primitive_code(inner);
        if (!is_compound(inner))
            continue;
        ret = collect(t, inner, depth - 1, &of_part);
        if (!of_part)
            return ret;
        entry->parts[i] = of_part->same->serial;
        is_finite = is_finite && of_part->is_finite;
    }
    if (is_finite) {
        first = tsearch(entry, &t->by_structure, compare_structures);
        if (!first)
            return table_failed(t);
        entry->same = *first;
        entry->is_finite = true;
    }
    *out = entry;
    return 0;
}

/* Give codes to a type and all it refers to, from the outside in. */
static void place(struct candid_table *t, const struct ic_type *type)
{
    struct candid_table_entry *entry = find(t, type);

    if (!entry || entry->same->code >= 0) /* primitive, or done */
        return;
    entry = entry->same;
    entry->code = (int64_t)t->n;
    t->types[t->n++] = entry->type;
    for (size_t i = 0; i < entry->n_parts; i++)
        place(t, part(entry->type, i));
}

int candid_table_init(struct candid_table *t, const struct ic_value *args, size_t n,
                      struct ic_error *err)
{
    struct candid_table_entry *entry;
    void *memory;
    int ret = 0;

    *t = (struct candid_table){.err = err};
    ic_arena_init(&t->arena, SIZE_MAX);
    for (size_t i = 0; ret == 0 && i < n; i++)
        if (is_compound(args[i].type))
            ret = collect(t, args[i].type, CANDID_MAX_DEPTH, &entry);
    if (ret < 0)
        return ret;
    if (ic_arena_alloc(&t->arena, t->n_entries, sizeof(const struct ic_type *), &memory) < 0)
        return table_failed(t);
    t->types = memory;
    for (size_t i = 0; i < n; i++)
        place(t, args[i].type);
    return 0;
}

static void keep_entry(void *entry)
{
    (void)entry; /* lives in the arena */
}

void candid_table_fini(struct candid_table *t)
{
    tdestroy(t->by_address, keep_entry);
    tdestroy(t->by_structure, keep_entry);
    ic_arena_fini(&t->arena);
}

int64_t candid_table_code(const struct candid_table *t, const struct ic_type *type)
{
    const struct candid_table_entry *entry = find(t, type);
    return entry ? entry->same->code : primitive_code(type);
}
