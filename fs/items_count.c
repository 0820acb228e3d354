/* How many items there are: see items.h. */
#include "fs/argument.h"
#include "fs/items_impl.h"
#include "fs/size_search.h"

#include <errno.h>

/* Ask for `limit` items from `start` on, and look at the reply. */
static int probe(struct fs_items *items, uint64_t start, uint64_t limit, const struct ic_io *io,
                 struct ic_chunk_info *out, struct ic_error *err)
{
    struct ic_reply reply;
    int result = items_call(items, start, limit, io, &reply, err);
    if (result < 0)
        return result;
    result = items_look(items, &reply, out, err);
    out->blob = ic_view(NULL, 0); /* it was in the reply */
    ic_reply_fini(&reply);
    return result;
}

/* Does the canister give an item although it says that there are none? Then what was taken for the
 * total is something else, such as the number of items in the reply. That it fails to is fine:
 * there is nothing in range. */
static int check_empty(struct fs_items *items, const struct ic_io *io, struct ic_error *err)
{
    struct ic_chunk_info info;
    struct ic_error failure = {0};
    int result = probe(items, 0, 1, io, &info, &failure);
    if (result == 0 && info.n_items > 0)
        return ic_fail(err, IC_E_WRONG_TYPE,
                       "%s: its total is 0 in the reply for none, yet it gives items: which field "
                       "tells the total? (a map can say)",
                       items->collection->method);
    if (result == 0 || items_is_own_failure(&failure))
        return 0;
    *err = failure;
    return result;
}

static int count_by_total(struct fs_items *items, const struct ic_io *io, uint64_t *out,
                          struct ic_error *err)
{
    struct ic_chunk_info info;
    int result = probe(items, 0, 0, io, &info, err);
    if (result == 0 && info.is_none)
        result = items_fail_null(items, err);
    if (result == 0 && info.total == 0)
        result = check_empty(items, io, err);
    if (result == 0)
        *out = info.total;
    return result;
}

static int count_by_method(struct fs_items *items, const struct ic_io *io, uint64_t *out,
                           struct ic_error *err)
{
    const struct fs_collection *collection = items->collection;
    struct fs_arguments args = {0};
    if (collection->style == FS_COLLECTION_INDEX &&
        !fs_arguments_add(&args, collection->count_number, items->per_file))
        return ic_fail(err, IC_E_TOO_LARGE, "%s takes no size of %llu", collection->count,
                       (unsigned long long)items->per_file);
    struct fs_answer answer;
    int result = fs_query(items->target, collection->count, args.values, args.n, io, &answer, err);
    if (result < 0)
        return result;
    if (ic_value_nat64(fs_answer_value(&answer, 0), out) < 0)
        result = ic_fail(err, IC_E_WRONG_TYPE, "%s: its reply is no number of at most 64 bits",
                         collection->count);
    fs_answer_fini(&answer);
    return result;
}

struct prober {
    struct fs_items *items;
    const struct ic_io *io;
    struct ic_error *err;
};

/* An error is never taken for the end: items would be missing. Nor is null at the start. */
static int probe_items(void *arg, uint64_t off, uint64_t *out)
{
    const struct prober *prober = arg;
    struct ic_chunk_info info;
    int result = probe(prober->items, off, 1, prober->io, &info, prober->err);
    if (result == 0 && info.is_none && off == 0)
        result = items_fail_null(prober->items, prober->err);
    if (result == 0)
        *out = info.n_items > 0 ? 1 : 0;
    return result;
}

static int count_by_search(struct fs_items *items, uint64_t hint, const struct ic_io *io,
                           uint64_t *out, struct ic_error *err)
{
    struct prober prober = {items, io, err};
    err->code = IC_OK;
    int result = fs_size_search(probe_items, &prober, hint, out);
    if (result < 0 && err->code == IC_OK)
        return ic_fail(err, result == -ESTALE ? IC_E_CHANGED : IC_E_MALFORMED,
                       "%s: its items have no end that can be found", items->collection->method);
    return result;
}

/* Beyond the last chunk canisters trap. So that no other trap passes for the end, the chunk that
 * says to be the last has to be found. */
static int count_to_last(struct fs_items *items, uint64_t hint, const struct ic_io *io,
                         uint64_t *out, struct ic_error *err)
{
    uint64_t low = 0;
    uint64_t high = UINT64_MAX;
    uint64_t index = hint > 0 ? hint - 1 : 0;
    while (low < high && index < UINT64_MAX / 4) {
        struct fs_answer answer;
        struct ic_view blob;
        bool is_last = false;
        int result = items_call_last(items, index, io, &answer, &blob, &is_last, err);
        if (result == 0)
            fs_answer_fini(&answer);
        else if (!items_is_own_failure(err) || index == 0)
            return result;
        if (is_last) {
            *out = index + 1;
            return 0;
        }
        if (result == 0)
            low = index + 1;
        else
            high = index;
        index = high == UINT64_MAX ? 2 * low : low + (high - low) / 2;
    }
    return ic_fail(err, IC_E_CHANGED, "%s: no chunk says that it is the last",
                   items->collection->method);
}

int fs_items_count(struct fs_items *items, uint64_t hint, const struct ic_io *io, uint64_t *out,
                   struct ic_error *err)
{
    switch (items->collection->end) {
    case FS_END_TOTAL:
        return count_by_total(items, io, out, err);
    case FS_END_COUNT:
        return count_by_method(items, io, out, err);
    case FS_END_EMPTY:
        return count_by_search(items, hint, io, out, err);
    case FS_END_LAST:
        return count_to_last(items, hint, io, out, err);
    case FS_END_NONE:
        break;
    }
    *out = 1;
    return 0;
}
