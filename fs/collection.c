#include "fs/collection.h"

#include <stdio.h>
#include <string.h>

static bool is_number(const struct ic_type *type)
{
    return type->kind == IC_TYPE_NAT || type->kind == IC_TYPE_NAT32 || type->kind == IC_TYPE_NAT64;
}

static bool is_blob(const struct ic_type *type)
{
    return type->kind == IC_TYPE_VEC && type->as.elem->kind == IC_TYPE_NAT8;
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

static bool ends_in(struct ic_view name, const char *suffix, size_t *ret_len)
{
    size_t n = strlen(suffix);
    if (name.len <= n || memcmp(name.bytes + name.len - n, suffix, n) != 0)
        return false;
    *ret_len = name.len - n;
    return true;
}

/* backup_NAME_chunks, backup_NAME_chunk and backup_NAME; "backup" alone is a collection of that
 * name. */
static bool match_backup(struct ic_view method, const struct ic_type *func,
                         struct fs_collection *out)
{
    static const char prefix[] = "backup_";
    size_t n = sizeof(prefix) - 1;
    struct ic_view name = method;
    if (method.len > n && memcmp(method.bytes, prefix, n) == 0)
        name = ic_view(method.bytes + n, method.len - n);
    else if (method.len != n - 1 || memcmp(method.bytes, prefix, n - 1) != 0)
        return false;
    if (func->as.func.n_args == 0) {
        out->style = FS_COLLECTION_WHOLE;
    } else if (takes_two_numbers(func) && func->as.func.n_results == 1 &&
               !is_blob(func->as.func.results[0])) { /* bytes are memory, not items */
        out->style = FS_COLLECTION_ITEMS;
        size_t len = name.len;
        if (ends_in(name, "_chunks", &len) || ends_in(name, "_chunk", &len))
            name.len = len;
    } else {
        return false;
    }
    snprintf(out->name, sizeof(out->name), "%.*s", (int)name.len, (const char *)name.bytes);
    return true;
}

static bool match_chunks(const struct ic_did *did, struct ic_view method,
                         const struct ic_type *func, struct fs_collection *out)
{
    static const char by_index[] = "backupChunk";
    static const char by_last[] = "getChunk";
    const struct ic_type_method *count = ic_did_find_method(did, "getChunkCount");
    const struct ic_type *const *results = func->as.func.results;
    if (!takes_two_numbers(func))
        return false;
    if (method.len == strlen(by_index) && memcmp(method.bytes, by_index, method.len) == 0 &&
        count && is_query(count->type))
        out->style = FS_COLLECTION_INDEX;
    else if (method.len == strlen(by_last) && memcmp(method.bytes, by_last, method.len) == 0 &&
             func->as.func.n_results == 2 && is_blob(results[0]) &&
             results[1]->kind == IC_TYPE_BOOL)
        out->style = FS_COLLECTION_LAST;
    else
        return false;
    snprintf(out->name, sizeof(out->name), "chunks");
    return true;
}

size_t fs_collection_find(const struct ic_did *did, struct fs_collection *out, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < did->service->as.service.n && n < max; i++) {
        const struct ic_type_method *method = &did->service->as.service.methods[i];
        if (!is_query(method->type) || method->name.len >= FS_METHOD_NAME_MAX)
            continue;
        if (!match_backup(method->name, method->type, &out[n]) &&
            !match_chunks(did, method->name, method->type, &out[n]))
            continue;
        snprintf(out[n].method, sizeof(out[n].method), "%.*s", (int)method->name.len,
                 (const char *)method->name.bytes);
        n++;
    }
    return n;
}

const char *fs_collection_words(enum fs_collection_style style)
{
    switch (style) {
    case FS_COLLECTION_ITEMS:
        return "items by start and limit";
    case FS_COLLECTION_WHOLE:
        return "everything in one reply";
    case FS_COLLECTION_INDEX:
        return "chunks by size and index, counted by getChunkCount";
    case FS_COLLECTION_LAST:
        break;
    }
    return "chunks by backup and index, up to the one marked last";
}
