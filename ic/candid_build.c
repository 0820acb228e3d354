/* See candid_build.h. */
#include "ic/candid_build.h"

#include <stdlib.h>
#include <string.h>

static int new_type(struct ic_arena *arena, enum ic_type_kind kind, struct ic_type **out)
{
    void *type;
    int ret = ic_arena_alloc(arena, 1, sizeof(**out), &type);
    if (ret < 0)
        return ret;
    *out = type;
    **out = (struct ic_type){.kind = kind};
    return 0;
}

static int copy_value(struct ic_arena *arena, const struct ic_value *value,
                      const struct ic_value **out)
{
    void *copy;
    int ret = ic_arena_alloc(arena, 1, sizeof(*value), &copy);
    if (ret < 0)
        return ret;
    memcpy(copy, value, sizeof(*value));
    *out = copy;
    return 0;
}

/* --- records --- */

struct field {
    uint32_t id;
    const struct ic_value *value;
};

static int compare_fields(const void *a, const void *b)
{
    uint32_t x = ((const struct field *)a)->id;
    uint32_t y = ((const struct field *)b)->id;
    return (x > y) - (x < y);
}

/* Candid spec: the fields of a record are in the order of their ids. */
static int sort_parts(struct ic_arena *arena, const struct ic_part *parts, size_t n,
                      struct field **out, size_t *ret_n)
{
    void *room;
    int ret = ic_arena_alloc(arena, n, sizeof(struct field), &room);
    if (ret < 0)
        return ret;
    struct field *fields = room;
    size_t n_said = 0;
    for (size_t i = 0; i < n; i++)
        if (parts[i].value.type)
            fields[n_said++] = (struct field){ic_candid_hash(parts[i].name, strlen(parts[i].name)),
                                              &parts[i].value};
    qsort(fields, n_said, sizeof(*fields), compare_fields);
    *out = fields;
    *ret_n = n_said;
    return 0;
}

int ic_build_record(struct ic_arena *arena, const struct ic_part *parts, size_t n,
                    struct ic_value *out)
{
    struct field *sorted;
    struct ic_type *type;
    void *fields;
    void *items;
    int ret = sort_parts(arena, parts, n, &sorted, &n);
    if (ret == 0)
        ret = new_type(arena, IC_TYPE_RECORD, &type);
    if (ret == 0)
        ret = ic_arena_alloc(arena, n, sizeof(struct ic_type_field), &fields);
    if (ret == 0)
        ret = ic_arena_alloc(arena, n, sizeof(struct ic_value), &items);
    if (ret != 0)
        return ret;
    type->as.fields.fields = fields;
    type->as.fields.n = n;
    type->is_zero_width = true;
    for (size_t i = 0; i < n; i++) {
        ((struct ic_type_field *)fields)[i] =
            (struct ic_type_field){sorted[i].id, sorted[i].value->type};
        ((struct ic_value *)items)[i] = *sorted[i].value;
        type->is_zero_width = type->is_zero_width && sorted[i].value->type->is_zero_width;
    }
    *out = (struct ic_value){.type = type, .as.seq = {items, n}};
    return 0;
}

/* --- the others --- */

int ic_build_variant(struct ic_arena *arena, const char *tag, const struct ic_value *payload,
                     struct ic_value *out)
{
    static const struct ic_value null = {.type = &ic_type_null};
    struct ic_type *type;
    void *fields = NULL;
    const struct ic_value *copy = NULL;
    if (!payload)
        payload = &null;
    int ret = new_type(arena, IC_TYPE_VARIANT, &type);
    if (ret == 0)
        ret = ic_arena_alloc(arena, 1, sizeof(struct ic_type_field), &fields);
    if (ret == 0)
        ret = copy_value(arena, payload, &copy);
    if (ret != 0)
        return ret;
    *(struct ic_type_field *)fields =
        (struct ic_type_field){ic_candid_hash(tag, strlen(tag)), payload->type};
    type->as.fields.fields = fields;
    type->as.fields.n = 1;
    *out = (struct ic_value){.type = type, .as.variant = {.payload = copy}};
    return 0;
}

int ic_build_some(struct ic_arena *arena, const struct ic_value *value, struct ic_value *out)
{
    struct ic_type *type;
    const struct ic_value *copy = NULL;
    int ret = new_type(arena, IC_TYPE_OPT, &type);
    if (ret == 0)
        ret = copy_value(arena, value, &copy);
    if (ret != 0)
        return ret;
    type->as.elem = value->type;
    *out = (struct ic_value){.type = type, .as.opt = copy};
    return 0;
}

struct ic_value ic_build_principal(const struct ic_principal *principal)
{
    return (struct ic_value){.type = &ic_type_principal, .as.bytes = ic_principal_view(principal)};
}
