/* What is not known for sure is left to the reply: a total is only what is named as one, for a
 * number that is something else would make a collection look shorter than it is. */
#include "fs/collection.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* No more opts around a result are looked through; a type may hold itself. */
#define OPTS_MAX 32

#define NEEDS_ID "a map must say which backup, id = N"

struct reading {
    const struct ic_did *did; /* NULL: not known */
    const char *method;
    char *reason;
    size_t reason_size;
};

static __attribute__((format(printf, 2, 3))) bool fail(const struct reading *reading,
                                                       const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(reading->reason, reading->reason_size, format, args);
    va_end(args);
    return false;
}

/* --- types --- */

/* Of an argument: numbers too small for a collection of any size do not count. */
static bool is_number(const struct ic_type *type)
{
    return type->kind == IC_TYPE_NAT || type->kind == IC_TYPE_NAT32 || type->kind == IC_TYPE_NAT64;
}

static bool is_natural(const struct ic_type *type)
{
    return is_number(type) || type->kind == IC_TYPE_NAT8 || type->kind == IC_TYPE_NAT16;
}

static bool is_blob(const struct ic_type *type)
{
    return type->kind == IC_TYPE_VEC && type->as.elem->kind == IC_TYPE_NAT8;
}

static bool is_list(const struct ic_type *type)
{
    return type->kind == IC_TYPE_VEC && !is_blob(type);
}

static bool is_query(const struct ic_type *func)
{
    return func->as.func.mode == IC_FUNC_QUERY || func->as.func.mode == IC_FUNC_COMPOSITE_QUERY;
}

static bool takes_two_numbers(const struct ic_type *func)
{
    return func->as.func.n_args == 2 && is_number(func->as.func.args[0]) &&
           is_number(func->as.func.args[1]);
}

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

static const struct ic_type *find_field(const struct ic_type *record, uint32_t id)
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
        const struct ic_type *type = find_field(record, id);
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

static bool fail_ambiguous(const struct reading *reading, const struct ic_type *record,
                           const size_t at[2], size_t n)
{
    char first[64], second[64];
    return fail(reading, "items may be in %s, %s%s: a map must say which, items = FIELD",
                field_words(record, at[0], first), field_words(record, at[1], second),
                n > 2 ? " or others" : "");
}

/* Which field holds the items? */
static bool find_items(const struct reading *reading, const struct ic_type *record,
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
        return fail(reading, "its record has no list of items");
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
static bool read_record(const struct reading *reading, const struct ic_type *record, unsigned given,
                        struct fs_collection *c)
{
    c->is_record = true;
    if (!(given & FS_GIVEN_ITEMS) && !find_items(reading, record, c))
        return false;
    const struct ic_type *items = find_field(record, c->items);
    if (!items || !is_vec(items))
        return fail(reading, "'%s' names no list of its record", c->is_bytes ? "bytes" : "items");
    if (c->is_bytes && !is_blob(items))
        return fail(reading, "'bytes' names no blob of its record");
    for (size_t i = 0; i < c->n_latest; i++)
        if (!find_field(record, c->latest[i]))
            return fail(reading, "'latest' names a field that is not in its record");
    c->is_bytes = is_blob(items);
    if (c->count[0])
        return true;
    if (given & FS_GIVEN_TOTAL) {
        const struct ic_type *total = find_field(record, c->total);
        if (!total || !is_natural(total))
            return fail(reading, "'total' names no number of its record");
        c->end = FS_END_TOTAL;
    } else {
        c->end = find_total(record, &c->total) ? FS_END_TOTAL : FS_END_EMPTY;
    }
    return true;
}

static bool read_items(const struct reading *reading, const struct ic_type *const *results,
                       size_t n_results, unsigned given, struct fs_collection *c)
{
    if (n_results != 1)
        return fail(reading, "it has %zu results: items come in one", n_results);
    const struct ic_type *type = unwrap(results[0]);
    c->end = c->count[0] ? FS_END_COUNT : FS_END_EMPTY;
    if (type && type->kind == IC_TYPE_RECORD)
        return read_record(reading, type, given, c);
    if (!type || type->kind != IC_TYPE_VEC)
        return fail(reading, "its result is neither a list nor a record with one");
    if (given & (FS_GIVEN_ITEMS | FS_GIVEN_TOTAL) || c->n_latest > 0)
        return fail(reading, "its result is a list and has no fields");
    if (is_blob(type))
        return fail(reading, "it gives bytes: a map can name it as memory, read = %s",
                    reading->method);
    return true;
}

/* A query of the interface. */
static const struct ic_type *find_query(const struct reading *reading, const char *name)
{
    const struct ic_type_method *found = ic_did_find_method(reading->did, name);
    if (!found)
        fail(reading, "%s is not in the Candid interface", name);
    else if (!is_query(found->type))
        fail(reading,
             strcmp(name, reading->method) == 0 ? "it is not a query" : "%s is not a query", name);
    else
        return found->type;
    return NULL;
}

/* The method that counts items or chunks. */
static bool read_count(const struct reading *reading, struct fs_collection *c)
{
    uint32_t n_args = c->style == FS_COLLECTION_INDEX ? 1 : 0;
    const struct ic_type *func = find_query(reading, c->count);
    if (!func)
        return false;
    if (func->as.func.n_args != n_args || (n_args == 1 && !is_number(func->as.func.args[0])) ||
        func->as.func.n_results != 1 || !is_natural(func->as.func.results[0]))
        return fail(reading, "%s is not a method %s -> (nat)", c->count,
                    n_args == 1 ? "(nat)" : "()");
    if (n_args == 1)
        c->count_number = func->as.func.args[0]->kind;
    return true;
}

static bool read_numbers(const struct reading *reading, const struct ic_type *func, unsigned given,
                         struct fs_collection *c)
{
    if (!takes_two_numbers(func))
        return fail(reading, "it does not take two numbers (nat, nat32 or nat64)");
    for (size_t i = 0; i < 2; i++) {
        enum ic_type_kind kind = func->as.func.args[i]->kind;
        if ((given & FS_GIVEN_NUMBERS) && c->numbers[i] != kind)
            return fail(reading, "the Candid interface gives it other numbers");
        c->numbers[i] = kind;
    }
    return true;
}

static bool gives_last(const struct ic_type *func)
{
    const struct ic_type *const *results = func->as.func.results;
    return func->as.func.n_results == 2 && is_blob(results[0]) && results[1]->kind == IC_TYPE_BOOL;
}

/* Fill the description from the type of its method, whose style is known. */
static bool read_func(const struct reading *reading, const struct ic_type *func, unsigned given,
                      struct fs_collection *c)
{
    c->results = func->as.func.results;
    c->n_results = func->as.func.n_results;
    if (c->n_results == 0)
        return fail(reading, "it gives nothing");
    if (c->style == FS_COLLECTION_WHOLE) {
        c->end = FS_END_NONE;
        return func->as.func.n_args == 0 || fail(reading, "it takes arguments");
    }
    if (!read_numbers(reading, func, given, c) || (c->count[0] && !read_count(reading, c)))
        return false;
    if (c->style == FS_COLLECTION_ITEMS)
        return read_items(reading, c->results, c->n_results, given, c);
    if (c->style == FS_COLLECTION_INDEX) {
        c->end = FS_END_COUNT;
        return c->count[0] || fail(reading, "a map must name the method that counts its chunks");
    }
    c->end = FS_END_LAST;
    return gives_last(func) || fail(reading, "it does not give (blob, bool)");
}

/* --- from a map --- */

/* The style that the type of a method speaks for. */
static enum fs_collection_style guess_style(const struct reading *reading,
                                            const struct fs_collection *c,
                                            const struct ic_type *func)
{
    const struct ic_type_method *count =
        c->count[0] ? ic_did_find_method(reading->did, c->count) : NULL;
    if (func->as.func.n_args == 0)
        return FS_COLLECTION_WHOLE;
    if (gives_last(func))
        return FS_COLLECTION_LAST;
    return count && count->type->as.func.n_args == 1 ? FS_COLLECTION_INDEX : FS_COLLECTION_ITEMS;
}

/* Without anything that tells types. */
static void assume_convention(struct fs_collection *c, unsigned given)
{
    static const enum fs_collection_end ends[] = {
        [FS_COLLECTION_ITEMS] = FS_END_TOTAL,
        [FS_COLLECTION_WHOLE] = FS_END_NONE,
        [FS_COLLECTION_INDEX] = FS_END_COUNT,
        [FS_COLLECTION_LAST] = FS_END_LAST,
    };
    c->end = c->count[0] ? FS_END_COUNT : ends[c->style];
    c->count_number = c->numbers[0];
    if (c->style != FS_COLLECTION_ITEMS)
        return;
    c->is_record = true;
    if (!(given & FS_GIVEN_ITEMS))
        c->items = ic_candid_hash("chunk", strlen("chunk"));
    if (!(given & FS_GIVEN_TOTAL))
        c->total = ic_candid_hash("total_length", strlen("total_length"));
}

bool fs_collection_complete(struct fs_collection *c, unsigned given, const struct ic_did *did,
                            char *reason, size_t reason_size)
{
    struct reading reading = {did, c->method, reason, reason_size};
    struct fs_collection complete = *c;
    if (!did) {
        assume_convention(c, given);
        return true;
    }
    const struct ic_type *func = find_query(&reading, c->method);
    if (!func)
        return false;
    if (!(given & FS_GIVEN_STYLE))
        complete.style = guess_style(&reading, c, func);
    if (complete.style == FS_COLLECTION_LAST && !(given & FS_GIVEN_STYLE))
        return fail(&reading, NEEDS_ID);
    if (!read_func(&reading, func, given, &complete))
        return false;
    *c = complete;
    return true;
}

bool fs_collection_learn(struct fs_collection *c, unsigned given, const struct ic_type *result,
                         char *reason, size_t reason_size)
{
    struct reading reading = {NULL, c->method, reason, reason_size};
    struct fs_collection learned = *c;
    learned.is_record = false;
    if (!read_items(&reading, &result, 1, given, &learned))
        return false;
    *c = learned;
    return true;
}

/* --- by name --- */

static bool ends_in(struct ic_view name, const char *suffix, size_t *ret_len)
{
    size_t n = strlen(suffix);
    if (name.len <= n || memcmp(name.bytes + name.len - n, suffix, n) != 0)
        return false;
    *ret_len = name.len - n;
    return true;
}

bool fs_collection_name_is_valid(const char *name, size_t len)
{
    static const char taken[] = "candid.did"; /* the interface, beside the collections */
    if (len == 0 || len >= FS_METHOD_NAME_MAX || (len <= 2 && memcmp(name, "..", len) == 0) ||
        (len == sizeof(taken) - 1 && memcmp(name, taken, len) == 0))
        return false;
    for (size_t i = 0; i < len; i++)
        if (name[i] == '/' || iscntrl((unsigned char)name[i]))
            return false;
    return true;
}

/* backup_NAME_chunks, backup_NAME_chunk and backup_NAME; "backup" alone is a collection of that
 * name. */
static bool match_backup(struct ic_view method, const struct ic_type *func,
                         struct fs_collection *out, struct ic_view *name)
{
    static const char prefix[] = "backup_";
    size_t n = sizeof(prefix) - 1;
    *name = method;
    if (method.len > n && memcmp(method.bytes, prefix, n) == 0)
        *name = ic_view(method.bytes + n, method.len - n);
    else if (!ic_view_is_text(method, "backup"))
        return false;
    out->style = func->as.func.n_args == 0 ? FS_COLLECTION_WHOLE : FS_COLLECTION_ITEMS;
    if (out->style == FS_COLLECTION_ITEMS && !ends_in(*name, "_chunks", &name->len))
        (void)ends_in(*name, "_chunk", &name->len);
    return true;
}

static bool match_chunks(struct ic_view method, const struct ic_type *func,
                         struct fs_collection *out, struct ic_view *name)
{
    static const char chunks[] = "chunks";
    *name = ic_view(chunks, sizeof(chunks) - 1);
    if (ic_view_is_text(method, "backupChunk")) {
        out->style = FS_COLLECTION_INDEX;
        snprintf(out->count, sizeof(out->count), "getChunkCount");
        return true;
    }
    /* Many a canister has a getChunk that is no backup. */
    out->style = FS_COLLECTION_LAST;
    return ic_view_is_text(method, "getChunk") && takes_two_numbers(func) && gives_last(func);
}

static bool read_method(const struct ic_did *did, const struct ic_type_method *method,
                        struct ic_view name, struct fs_collection *found, char *reason,
                        size_t reason_size)
{
    struct reading reading = {did, found->method, reason, reason_size};
    if (!is_query(method->type))
        return fail(&reading, "it is not a query");
    if (method->name.len >= FS_METHOD_NAME_MAX)
        return fail(&reading, "its name is too long");
    if (!fs_collection_name_is_valid((const char *)name.bytes, name.len))
        return fail(&reading, "its name cannot be a directory's");
    memcpy(found->method, method->name.bytes, method->name.len);
    memcpy(found->name, name.bytes, name.len);
    if (found->style == FS_COLLECTION_LAST)
        return fail(&reading, NEEDS_ID);
    return read_func(&reading, method->type, FS_GIVEN_STYLE, found);
}

enum fs_recognised fs_collection_recognise(const struct ic_did *did,
                                           const struct ic_type_method *method,
                                           struct fs_collection *out, char *reason,
                                           size_t reason_size)
{
    struct fs_collection found = {0};
    struct ic_view name;
    if (!match_backup(method->name, method->type, &found, &name) &&
        !match_chunks(method->name, method->type, &found, &name))
        return FS_NOT_A_COLLECTION;
    if (!read_method(did, method, name, &found, reason, reason_size))
        return FS_NOT_SHOWN;
    *out = found;
    return FS_A_COLLECTION;
}

bool fs_collection_tells_version(const struct ic_type *func)
{
    static const char *const fields[] = {"version", "mtime_ns"};
    const struct ic_type *const *results = func->as.func.results;
    if (!is_query(func) || func->as.func.n_args != 0 || func->as.func.n_results != 1 ||
        results[0]->kind != IC_TYPE_RECORD)
        return false;
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        const struct ic_type *type =
            find_field(results[0], ic_candid_hash(fields[i], strlen(fields[i])));
        if (!type || !is_natural(type))
            return false;
    }
    return true;
}

const char *fs_collection_words(enum fs_collection_style style)
{
    switch (style) {
    case FS_COLLECTION_ITEMS:
        return "items by start and limit";
    case FS_COLLECTION_WHOLE:
        return "everything in one reply";
    case FS_COLLECTION_INDEX:
        return "chunks by size and index, counted by another method";
    case FS_COLLECTION_LAST:
        break;
    }
    return "chunks by backup and index, up to the one marked last";
}
