#include "fs/collection_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool collection_fail(const struct collection_reading *reading, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(reading->reason, reading->reason_size, format, args);
    va_end(args);
    return false;
}

/* A query of the interface. */
static const struct ic_type *find_query(const struct collection_reading *reading, const char *name)
{
    const struct ic_type_method *found = ic_did_find_method(reading->did, name);
    if (!found)
        collection_fail(reading, "%s is not in the Candid interface", name);
    else if (!is_query(found->type))
        collection_fail(
            reading, strcmp(name, reading->method) == 0 ? "it is not a query" : "%s is not a query",
            name);
    else
        return found->type;
    return NULL;
}

/* The method that counts items or chunks. */
static bool read_count(const struct collection_reading *reading, struct fs_collection *c)
{
    uint32_t n_args = c->style == FS_COLLECTION_INDEX ? 1 : 0;
    const struct ic_type *func = find_query(reading, c->count);
    if (!func)
        return false;
    if (func->as.func.n_args != n_args || (n_args == 1 && !is_number(func->as.func.args[0])) ||
        func->as.func.n_results != 1 || !is_natural(func->as.func.results[0]))
        return collection_fail(reading, "%s is not a method %s -> (nat)", c->count,
                               n_args == 1 ? "(nat)" : "()");
    if (n_args == 1)
        c->count_number = func->as.func.args[0]->kind;
    return true;
}

static bool read_numbers(const struct collection_reading *reading, const struct ic_type *func,
                         unsigned given, struct fs_collection *c)
{
    if (!takes_two_numbers(func))
        return collection_fail(reading, "it does not take two numbers (nat, nat32 or nat64)");
    for (size_t i = 0; i < 2; i++) {
        enum ic_type_kind kind = func->as.func.args[i]->kind;
        if ((given & FS_GIVEN_NUMBERS) && c->numbers[i] != kind)
            return collection_fail(reading, "the Candid interface gives it other numbers");
        c->numbers[i] = kind;
    }
    return true;
}

bool collection_gives_last(const struct ic_type *func)
{
    const struct ic_type *const *results = func->as.func.results;
    return func->as.func.n_results == 2 && is_blob(results[0]) && results[1]->kind == IC_TYPE_BOOL;
}

bool collection_read_func(const struct collection_reading *reading, const struct ic_type *func,
                          unsigned given, struct fs_collection *c)
{
    c->results = func->as.func.results;
    c->n_results = func->as.func.n_results;
    if (c->n_results == 0)
        return collection_fail(reading, "it gives nothing");
    if (c->style == FS_COLLECTION_WHOLE) {
        c->end = FS_END_NONE;
        return func->as.func.n_args == 0 || collection_fail(reading, "it takes arguments");
    }
    if (!read_numbers(reading, func, given, c) || (c->count[0] && !read_count(reading, c)))
        return false;
    if (c->style == FS_COLLECTION_ITEMS)
        return collection_read_items(reading, c->results, c->n_results, given, c);
    if (c->style == FS_COLLECTION_INDEX) {
        c->end = FS_END_COUNT;
        return c->count[0] ||
               collection_fail(reading, "a map must name the method that counts its chunks");
    }
    c->end = FS_END_LAST;
    return collection_gives_last(func) || collection_fail(reading, "it does not give (blob, bool)");
}

/* --- from a map --- */

/* The style that the type of a method speaks for. */
static enum fs_collection_style guess_style(const struct collection_reading *reading,
                                            const struct fs_collection *c,
                                            const struct ic_type *func)
{
    const struct ic_type_method *count =
        c->count[0] ? ic_did_find_method(reading->did, c->count) : NULL;
    if (func->as.func.n_args == 0)
        return FS_COLLECTION_WHOLE;
    if (collection_gives_last(func))
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
    struct collection_reading reading = {did, c->method, reason, reason_size};
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
        return collection_fail(&reading, COLLECTION_NEEDS_ID);
    if (!(given & FS_GIVEN_STYLE) && !collection_check_names(&reading, complete.style, func))
        return false;
    if (!collection_read_func(&reading, func, given, &complete))
        return false;
    *c = complete;
    return true;
}

bool fs_collection_learn(struct fs_collection *c, unsigned given, const struct ic_type *result,
                         char *reason, size_t reason_size)
{
    struct collection_reading reading = {NULL, c->method, reason, reason_size};
    struct fs_collection learned = *c;
    learned.is_record = false;
    if (!collection_read_items(&reading, &result, 1, given, &learned))
        return false;
    *c = learned;
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
