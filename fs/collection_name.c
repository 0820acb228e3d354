/* Collections by the names and types of methods. See collection.h. */
#include "fs/collection_impl.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

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
    return ic_view_is_text(method, "getChunk") && takes_two_numbers(func) &&
           collection_gives_last(func);
}

/* The name of the i-th argument is one of the list. */
static bool is_named(const struct ic_type *func, size_t i, const char *const *list)
{
    const struct ic_type_label *labels = func->names ? func->names->labels : NULL;
    for (; labels && *list; list++)
        if (ic_view_is_text(labels[i].name, *list))
            return true;
    return false;
}

bool collection_check_names(const struct collection_reading *reading,
                            enum fs_collection_style style, const struct ic_type *func)
{
    static const char *const no_start[] = {"limit",    "count", "size", "length",
                                           "len",      "n",     "page", "page_size",
                                           "pageSize", "end",   "take", NULL};
    static const char *const no_limit[] = {"end",   "to",   "until",  "stop",   "last", "page",
                                           "start", "from", "offset", "cursor", NULL};
    if (style == FS_COLLECTION_ITEMS && takes_two_numbers(func) &&
        (is_named(func, 0, no_start) || is_named(func, 1, no_limit)))
        return collection_fail(reading, "by their names its arguments are not where to start and "
                                        "how many items (a map with style = items says that they "
                                        "are)");
    return true;
}

static bool read_method(const struct ic_did *did, const struct ic_type_method *method,
                        struct ic_view name, struct fs_collection *found, char *reason,
                        size_t reason_size)
{
    struct collection_reading reading = {did, found->method, reason, reason_size};
    if (!is_query(method->type))
        return collection_fail(&reading, "it is not a query");
    if (method->name.len >= FS_METHOD_NAME_MAX)
        return collection_fail(&reading, "its name is too long");
    if (!fs_collection_name_is_valid((const char *)name.bytes, name.len))
        return collection_fail(&reading, "its name cannot be a directory's");
    memcpy(found->method, method->name.bytes, method->name.len);
    memcpy(found->name, name.bytes, name.len);
    if (found->style == FS_COLLECTION_LAST)
        return collection_fail(&reading, COLLECTION_NEEDS_ID);
    if (!collection_check_names(&reading, found->style, method->type))
        return false;
    return collection_read_func(&reading, method->type, FS_GIVEN_STYLE, found);
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
            collection_find_field(results[0], ic_candid_hash(fields[i], strlen(fields[i])));
        if (!type || !is_natural(type))
            return false;
    }
    return true;
}
