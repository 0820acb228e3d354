/* Items in the replies of a method. See collection.h.
 *
 * What is not known for sure is left to the replies: a total is only what is named as one, for a
 * number that is something else would make a collection look shorter than it is. */
#include "fs/collection_impl.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* No more opts around a result are looked through; a type may hold itself. */
#define OPTS_MAX 32

/* What is in the opts; NULL when there is no end to them. */
static const struct ic_type *unwrap(const struct ic_type *type)
{
    for (int i = 0; i < OPTS_MAX; i++) {
        if (type->kind != IC_TYPE_OPT)
            return type;
        type = type->as.elem;
    }
    return NULL;
}

/* --- fields --- */

const struct ic_type *collection_find_field(const struct ic_type *record, uint32_t id)
{
    for (size_t i = 0; i < record->as.fields.n; i++)
        if (record->as.fields.fields[i].id == id)
            return record->as.fields.fields[i].type;
    return NULL;
}

/* The first of these names that a field has, if it fits. */
static bool find_named(const struct ic_type *record, const char *const *names,
                       bool (*fits)(const struct ic_type *type), uint32_t *out)
{
    for (; *names; names++) {
        uint32_t id = ic_candid_hash(*names, strlen(*names));
        const struct ic_type *type = collection_find_field(record, id);
        if (type && fits(type)) {
            *out = id;
            return true;
        }
    }
    return false;
}

/* How many fields fit; the first and the second of them. */
static size_t count_fields(const struct ic_type *record, bool (*fits)(const struct ic_type *type),
                           size_t out[2])
{
    size_t n = 0;
    for (size_t i = 0; i < record->as.fields.n; i++) {
        if (!fits(record->as.fields.fields[i].type))
            continue;
        if (n < 2)
            out[n] = i;
        n++;
    }
    return n;
}

/* The name that the interface gives to a field; empty when it has none. */
static struct ic_view field_name(const struct ic_type *record, size_t i)
{
    const struct ic_type_names *names = record->names;
    return names && names->labels ? names->labels[i].name : (struct ic_view){NULL, 0};
}

/* As a map would name it. */
static const char *field_words(const struct ic_type *record, size_t i, char out[64])
{
    struct ic_view name = field_name(record, i);
    if (name.len > 0)
        snprintf(out, 64, "%.*s", name.len < 63 ? (int)name.len : 60, (const char *)name.bytes);
    else
        snprintf(out, 64, "#%u", record->as.fields.fields[i].id);
    return out;
}

static bool has_word(struct ic_view name, const char *word)
{
    size_t len = strlen(word);
    for (size_t i = 0; i + len <= name.len; i++) {
        size_t n = 0;
        while (n < len && tolower(name.bytes[i + n]) == word[n])
            n++;
        if (n == len)
            return true;
    }
    return false;
}

/* Is it named as a number of items? A lone number may be a version, or where to go on. */
static bool is_named_as_total(struct ic_view name)
{
    static const char *const words[] = {"total", "count", "length", "num"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (has_word(name, words[i]))
            return true;
    return false;
}

static bool is_vec(const struct ic_type *type)
{
    return type->kind == IC_TYPE_VEC;
}

static bool fail_ambiguous(const struct collection_reading *reading, const struct ic_type *record,
                           const size_t at[2], size_t n)
{
    char first[64], second[64];
    return collection_fail(reading, "items may be in %s, %s%s: a map must say which, items = FIELD",
                           field_words(record, at[0], first), field_words(record, at[1], second),
                           n > 2 ? " or others" : "");
}

/* Which field holds the items? */
static bool find_items(const struct collection_reading *reading, const struct ic_type *record,
                       struct fs_collection *c)
{
    static const char *const chunk[] = {"chunk", NULL};
    static const char *const lists[] = {"items", "data", "entries", "list", NULL};
    size_t at[2] = {0, 0};
    if (find_named(record, chunk, is_vec, &c->items) ||
        find_named(record, lists, is_list, &c->items))
        return true;
    size_t n = count_fields(record, is_list, at);
    if (n == 0)
        n = count_fields(record, is_blob, at);
    if (n == 0)
        return collection_fail(reading, "its record has no list of items");
    if (n > 1)
        return fail_ambiguous(reading, record, at, n);
    c->items = record->as.fields.fields[at[0]].id;
    return true;
}

/* Which field tells the number of all items? */
static bool find_total(const struct ic_type *record, uint32_t *out)
{
    static const char *const totals[] = {"total_length", "total",      "total_count",
                                         "totalLength",  "totalCount", "total_items",
                                         "length",       "count",      NULL};
    size_t at[2] = {0, 0};
    if (find_named(record, totals, is_natural, out))
        return true;
    if (count_fields(record, is_natural, at) != 1 || !is_named_as_total(field_name(record, at[0])))
        return false;
    *out = record->as.fields.fields[at[0]].id;
    return true;
}

/* --- the styles --- */

/* The items and the end of them, in a record. */
static bool read_record(const struct collection_reading *reading, const struct ic_type *record,
                        unsigned given, struct fs_collection *c)
{
    c->is_record = true;
    if (!(given & FS_GIVEN_ITEMS) && !find_items(reading, record, c))
        return false;
    const struct ic_type *items = collection_find_field(record, c->items);
    if (!items || !is_vec(items))
        return collection_fail(reading, "'%s' names no list of its record",
                               c->is_bytes ? "bytes" : "items");
    if (c->is_bytes && !is_blob(items))
        return collection_fail(reading, "'bytes' names no blob of its record");
    for (size_t i = 0; i < c->n_latest; i++)
        if (!collection_find_field(record, c->latest[i]))
            return collection_fail(reading, "'latest' names a field that is not in its record");
    c->is_bytes = is_blob(items);
    if (c->count[0])
        return true;
    if (given & FS_GIVEN_TOTAL) {
        const struct ic_type *total = collection_find_field(record, c->total);
        if (!total || !is_natural(total))
            return collection_fail(reading, "'total' names no number of its record");
        c->end = FS_END_TOTAL;
    } else {
        c->end = find_total(record, &c->total) ? FS_END_TOTAL : FS_END_EMPTY;
    }
    return true;
}

bool collection_read_items(const struct collection_reading *reading,
                           const struct ic_type *const *results, size_t n_results, unsigned given,
                           struct fs_collection *c)
{
    if (n_results != 1)
        return collection_fail(reading, "it has %zu results: items come in one", n_results);
    const struct ic_type *type = unwrap(results[0]);
    c->end = c->count[0] ? FS_END_COUNT : FS_END_EMPTY;
    if (type && type->kind == IC_TYPE_RECORD)
        return read_record(reading, type, given, c);
    if (!type || type->kind != IC_TYPE_VEC)
        return collection_fail(reading, "its result is neither a list nor a record with one");
    if (given & (FS_GIVEN_ITEMS | FS_GIVEN_TOTAL) || c->n_latest > 0)
        return collection_fail(reading, "its result is a list and has no fields");
    if (is_blob(type))
        return collection_fail(reading, "it gives bytes: a map can name it as memory, read = %s",
                               reading->method);
    return true;
}
