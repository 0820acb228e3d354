/* Reading types as collections. Private to fs/collection*.c. */
#ifndef CANISTERFS_FS_COLLECTION_IMPL_H
#define CANISTERFS_FS_COLLECTION_IMPL_H

#include "fs/collection.h"

/* A method that is looked at. What cannot be read is false, with a reason. */
struct collection_reading {
    const struct ic_did *did; /* NULL: not known */
    const char *method;
    char *reason;
    size_t reason_size;
};

#define COLLECTION_NEEDS_ID "a map must say which backup, id = N"

/* Fill the reason. Returns false. */
bool collection_fail(const struct collection_reading *reading, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Of an argument: numbers too small for a collection of any size do not count. */
static inline bool is_number(const struct ic_type *type)
{
    return type->kind == IC_TYPE_NAT || type->kind == IC_TYPE_NAT32 || type->kind == IC_TYPE_NAT64;
}

static inline bool is_natural(const struct ic_type *type)
{
    return is_number(type) || type->kind == IC_TYPE_NAT8 || type->kind == IC_TYPE_NAT16;
}

static inline bool is_blob(const struct ic_type *type)
{
    return type->kind == IC_TYPE_VEC && type->as.elem->kind == IC_TYPE_NAT8;
}

static inline bool is_list(const struct ic_type *type)
{
    return type->kind == IC_TYPE_VEC && !is_blob(type);
}

static inline bool is_query(const struct ic_type *func)
{
    return func->as.func.mode == IC_FUNC_QUERY || func->as.func.mode == IC_FUNC_COMPOSITE_QUERY;
}

static inline bool takes_two_numbers(const struct ic_type *func)
{
    return func->as.func.n_args == 2 && is_number(func->as.func.args[0]) &&
           is_number(func->as.func.args[1]);
}

/* Are the results (blob, bool): a chunk, and whether it is the last? */
bool collection_gives_last(const struct ic_type *func);

/* The type of a field of a record; NULL when there is none. */
const struct ic_type *collection_find_field(const struct ic_type *record, uint32_t id);

/* Where the items are in the results of a method of style ITEMS, and what ends them. */
bool collection_read_items(const struct collection_reading *reading,
                           const struct ic_type *const *results, size_t n_results, unsigned given,
                           struct fs_collection *c);

/* Where the style ITEMS is a guess: do the names of the arguments say that they are something else
 * than where to start and how many? Asked for the wrong ones, a canister gives fewer items, and
 * nobody would notice. False: they do. */
bool collection_check_names(const struct collection_reading *reading,
                            enum fs_collection_style style, const struct ic_type *func);

/* All of a description from the type of its method, whose style is known. */
bool collection_read_func(const struct collection_reading *reading, const struct ic_type *func,
                          unsigned given, struct fs_collection *c);

#endif
