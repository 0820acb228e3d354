/* Lists while they are read: fields, arguments, methods. All open lists share one stack, each
 * above the one around it; a list that is complete is sorted, checked for duplicates and copied
 * into its type.
 */
#include "ic/did_impl.h"

#include <stdlib.h>

int did_push(struct did_reader *r, struct did_item item)
{
    if (r->n_items == r->items_cap) {
        size_t cap = r->items_cap ? 2 * r->items_cap : 64;
        struct did_item *items = realloc(r->items, cap * sizeof(*items));
        if (!items)
            return did_fail_memory(r->err, -ENOMEM);
        r->items = items;
        r->items_cap = cap;
    }
    r->items[r->n_items++] = item;
    return 0;
}

int did_copy_doc(struct did_reader *r, struct ic_view raw, struct ic_view *out)
{
    uint8_t *text;
    void *memory;
    size_t n = 0;
    int ret;

    *out = (struct ic_view){0};
    if (raw.len == 0)
        return 0;
    ret = did_alloc(r, raw.len, 1, &memory);
    if (ret < 0)
        return ret;
    text = memory;
    for (size_t i = 0; i < raw.len; i++) {
        while (i < raw.len && raw.bytes[i] != '/') /* indentation */
            i++;
        i += 2;
        if (i < raw.len && raw.bytes[i] == ' ')
            i++;
        if (n > 0)
            text[n++] = '\n';
        for (; i < raw.len && raw.bytes[i] != '\n'; i++)
            text[n++] = raw.bytes[i];
        while (n > 0 && (text[n - 1] == '\r' || text[n - 1] == ' '))
            n--;
    }
    *out = ic_view(text, n);
    return 0;
}

/* Give labels to a type, when any of the items above base has something to say. */
static int set_labels(struct did_reader *r, size_t base, struct ic_type *type)
{
    size_t n = r->n_items - base;
    struct ic_type_label *labels;
    struct ic_type_names *names;
    bool any = false;
    void *memory;
    int ret;

    for (size_t i = base; i < r->n_items; i++)
        any = any || r->items[i].label.name.bytes || r->items[i].label.doc.len;
    if (!any)
        return 0;
    ret = did_alloc(r, 1, sizeof(*names), &memory);
    if (ret < 0)
        return ret;
    names = memory;
    ret = did_alloc(r, n, sizeof(*labels), &memory);
    if (ret < 0)
        return ret;
    labels = memory;
    for (size_t i = 0; i < n; i++)
        labels[i] = r->items[base + i].label;
    *names = (struct ic_type_names){.labels = labels};
    type->names = names;
    return 0;
}

/* ---- orders; what is equal stays in the order of the text ---- */

static int by_position(const void *a, const void *b)
{
    const struct did_item *x = a, *y = b;
    return x->pos < y->pos ? -1 : x->pos > y->pos;
}

static int by_id(const void *a, const void *b)
{
    const struct did_item *x = a, *y = b;
    if (x->id != y->id)
        return x->id < y->id ? -1 : 1;
    return by_position(a, b);
}

static int by_name(const void *a, const void *b)
{
    const struct did_item *x = a, *y = b;
    int order = (x->label.name.bytes != NULL) - (y->label.name.bytes != NULL);
    if (order == 0)
        order = ic_view_compare(x->label.name, y->label.name);
    return order ? order : by_position(a, b);
}

static void sort(struct did_reader *r, size_t base, int (*compare)(const void *, const void *))
{
    if (r->n_items > base)
        qsort(r->items + base, r->n_items - base, sizeof(*r->items), compare);
}

/* Refuse an item for its name. */
static int second(struct did_reader *r, const struct did_source *source,
                  const struct did_item *item, const char *what)
{
    struct ic_view name = item->label.name;
    return did_fail(r->err, source, item->pos, "a second %s '%.*s'", what,
                    (int)(name.len > 64 ? 64 : name.len), (const char *)name.bytes);
}

/* ---- records, variants ---- */

int did_finish_fields(struct did_reader *r, const struct did_source *source, size_t base,
                      struct ic_type *type)
{
    size_t n = r->n_items - base;
    struct ic_type_field *fields;
    void *memory;
    int ret;

    sort(r, base, by_id);
    for (size_t i = base + 1; i < r->n_items; i++)
        if (r->items[i].id == r->items[i - 1].id)
            return did_fail(r->err, source, r->items[i].pos, "a second field with the id %u",
                            r->items[i].id);
    ret = did_alloc(r, n, sizeof(*fields), &memory);
    if (ret < 0)
        return ret;
    fields = memory;
    for (size_t i = 0; i < n; i++)
        fields[i] = (struct ic_type_field){r->items[base + i].id, r->items[base + i].type};
    type->as.fields.fields = fields;
    type->as.fields.n = n;
    return set_labels(r, base, type);
}

/* ---- functions ---- */

int did_check_arguments(struct did_reader *r, const struct did_source *source, size_t base)
{
    sort(r, base, by_name);
    for (size_t i = base + 1; i < r->n_items; i++)
        if (r->items[i - 1].label.name.bytes && /* those without a name come first */
            ic_view_equal(r->items[i].label.name, r->items[i - 1].label.name))
            return second(r, source, &r->items[i], "argument");
    sort(r, base, by_position);
    return 0;
}

static int copy_types(struct did_reader *r, size_t first, size_t n,
                      const struct ic_type *const **out, uint32_t *n_out)
{
    const struct ic_type **types;
    void *memory;
    int ret = did_alloc(r, n, sizeof(const struct ic_type *), &memory);
    if (ret < 0)
        return ret;
    types = memory;
    for (size_t i = 0; i < n; i++)
        types[i] = r->items[first + i].type;
    *out = types;
    *n_out = (uint32_t)n; /* no text has more */
    return 0;
}

int did_finish_func(struct did_reader *r, size_t base, size_t n_args, struct ic_type *type)
{
    int ret = copy_types(r, base, n_args, &type->as.func.args, &type->as.func.n_args);
    if (ret == 0)
        ret = copy_types(r, base + n_args, r->n_items - base - n_args, &type->as.func.results,
                         &type->as.func.n_results);
    return ret < 0 ? ret : set_labels(r, base, type);
}

/* ---- services ---- */

int did_finish_service(struct did_reader *r, const struct did_source *source, size_t base,
                       struct ic_type *type)
{
    size_t n = r->n_items - base;
    struct ic_type_method *methods;
    void *memory;
    int ret;

    sort(r, base, by_name);
    for (size_t i = base + 1; i < r->n_items; i++)
        if (ic_view_equal(r->items[i].label.name, r->items[i - 1].label.name))
            return second(r, source, &r->items[i], "method");
    ret = did_alloc(r, n, sizeof(*methods), &memory);
    if (ret < 0)
        return ret;
    methods = memory;
    for (size_t i = 0; i < n; i++)
        methods[i] =
            (struct ic_type_method){r->items[base + i].label.name, r->items[base + i].type};
    type->as.service.methods = methods;
    type->as.service.n = n;
    return set_labels(r, base, type);
}
