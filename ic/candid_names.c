/* Names of fields by id: see candid_names.h. */
#include "ic/candid_names.h"

#include "ic/candid_impl.h"

#include <errno.h>
#include <stdlib.h>

struct entry {
    uint32_t id;
    struct ic_view name; /* bytes are NULL when two names have this id */
};

struct ic_candid_names {
    struct entry *entries; /* by id, each once */
    size_t n, cap;
};

/* ---- collecting ---- */

static int add(struct ic_candid_names *names, uint32_t id, struct ic_view name)
{
    if (names->n == names->cap) {
        size_t cap = names->cap ? 2 * names->cap : 64;
        struct entry *entries = realloc(names->entries, cap * sizeof(*entries));
        if (!entries)
            return -ENOMEM;
        names->entries = entries;
        names->cap = cap;
    }
    names->entries[names->n++] = (struct entry){id, name};
    return 0;
}

static int collect_content(struct ic_candid_names *names, const struct ic_type *type);

/* What a type refers to. Definitions are collected on their own, so that this ends. */
static int collect(struct ic_candid_names *names, const struct ic_type *type)
{
    if (type->names && type->names->self.name.bytes)
        return 0;
    return collect_content(names, type);
}

static int collect_fields(struct ic_candid_names *names, const struct ic_type *type)
{
    const struct ic_type_label *labels = type->names ? type->names->labels : NULL;
    int ret = 0;
    for (size_t i = 0; ret == 0 && i < type->as.fields.n; i++) {
        if (labels && labels[i].name.bytes)
            ret = add(names, type->as.fields.fields[i].id, labels[i].name);
        if (ret == 0)
            ret = collect(names, type->as.fields.fields[i].type);
    }
    return ret;
}

static int collect_func(struct ic_candid_names *names, const struct ic_type *type)
{
    int ret = 0;
    for (uint32_t i = 0; ret == 0 && i < type->as.func.n_args; i++)
        ret = collect(names, type->as.func.args[i]);
    for (uint32_t i = 0; ret == 0 && i < type->as.func.n_results; i++)
        ret = collect(names, type->as.func.results[i]);
    return ret;
}

static int collect_content(struct ic_candid_names *names, const struct ic_type *type)
{
    int ret = 0;
    switch ((int)type->kind) {
    case IC_TYPE_OPT:
    case IC_TYPE_VEC:
        return collect(names, type->as.elem);
    case IC_TYPE_RECORD:
    case IC_TYPE_VARIANT:
        return collect_fields(names, type);
    case IC_TYPE_FUNC:
        return collect_func(names, type);
    case IC_TYPE_SERVICE:
        for (size_t i = 0; ret == 0 && i < type->as.service.n; i++)
            ret = collect(names, type->as.service.methods[i].type);
        return ret;
    default:
        return 0;
    }
}

static int collect_all(struct ic_candid_names *names, const struct ic_did *did)
{
    int ret = 0;
    for (size_t i = 0; ret == 0 && i < did->n_types; i++)
        if (!did->types[i]->names->alias.bytes) /* another name for one that is collected */
            ret = collect_content(names, did->types[i]);
    if (ret == 0 && did->service)
        ret = collect(names, did->service);
    if (ret == 0 && did->init)
        ret = collect(names, did->init);
    return ret;
}

static int by_id(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* Leave one entry for each id. */
static void merge(struct ic_candid_names *names)
{
    size_t n = 0;
    if (names->n > 0)
        qsort(names->entries, names->n, sizeof(*names->entries), by_id);
    for (size_t i = 0; i < names->n; i++) {
        struct entry *last = n > 0 ? &names->entries[n - 1] : NULL;
        if (!last || last->id != names->entries[i].id)
            names->entries[n++] = names->entries[i];
        else if (!ic_view_equal(last->name, names->entries[i].name))
            last->name = (struct ic_view){0};
    }
    names->n = n;
}

int ic_candid_names_new(const struct ic_did *did, struct ic_candid_names **out,
                        struct ic_error *err)
{
    struct ic_candid_names *names = calloc(1, sizeof(*names));
    if (!names || collect_all(names, did) < 0) {
        ic_candid_names_free(names);
        return ic_fail(err, IC_E_NO_MEMORY, "candid: out of memory");
    }
    merge(names);
    *out = names;
    return 0;
}

void ic_candid_names_free(struct ic_candid_names *names)
{
    if (!names)
        return;
    free(names->entries);
    free(names);
}

/* ---- looking up ---- */

struct ic_view ic_candid_names_find(const struct ic_candid_names *names, uint32_t id)
{
    size_t low = 0, high = names ? names->n : 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (names->entries[middle].id == id)
            return names->entries[middle].name;
        if (names->entries[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return (struct ic_view){0};
}

/* What is declared for a value that was sent at a type of its own: a value of T fits opt T. */
static const struct ic_type *match(const struct ic_type *declared, const struct ic_type *type)
{
    for (int i = 0; declared && declared->kind == IC_TYPE_OPT && type->kind != IC_TYPE_OPT; i++)
        declared = i < CANDID_MAX_DEPTH ? declared->as.elem : NULL;
    return declared && declared->kind == type->kind ? declared : NULL;
}

const struct ic_type *candid_declared_part(const struct ic_type *declared,
                                           const struct ic_type *type, size_t i)
{
    const struct ic_type *same = match(declared, type);
    size_t position;

    if (type->kind == IC_TYPE_OPT)
        return same ? same->as.elem : declared;
    if (!same)
        return NULL;
    if (type->kind == IC_TYPE_VEC)
        return same->as.elem;
    if (!candid_find_field(same, type->as.fields.fields[i].id, &position))
        return NULL;
    return same->as.fields.fields[position].type;
}

const struct ic_type *candid_declared_arg(const struct ic_candid_naming *naming, size_t i)
{
    return naming && naming->types && i < naming->n ? naming->types[i] : NULL;
}

static struct ic_view own_name(const struct ic_type *type, size_t i)
{
    if (!type->names || !type->names->labels)
        return (struct ic_view){0};
    return type->names->labels[i].name;
}

struct ic_view candid_field_name(const struct ic_candid_names *all, const struct ic_type *declared,
                                 const struct ic_type *type, size_t i)
{
    struct ic_view name = own_name(type, i);
    uint32_t id = type->as.fields.fields[i].id;
    size_t position;

    declared = match(declared, type);
    if (!name.bytes && declared && candid_find_field(declared, id, &position))
        name = own_name(declared, position);
    return name.bytes ? name : ic_candid_names_find(all, id);
}
