/* How many items there are: see items.h. */
#include "fs/argument.h"
#include "fs/items_impl.h"
#include "fs/size_search.h"

#include <errno.h>

/* More nobody could list, let alone copy, in any time: whatever tells it is no total. */
#define FILES_MAX (UINT64_C(1) << 24)

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

static int count_by_total(struct fs_items *items, const struct ic_io *io, uint64_t *out,
                          struct ic_error *err)
{
    struct ic_chunk_info info;
    int result = probe(items, 0, 0, io, &info, err);
    if (result == 0 && info.is_none)
        result = items_fail_null(items, err);
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
        return fs_query_fail_gone(result, err);
    if (ic_value_nat64(fs_answer_value(&answer, 0), out) < 0)
        result = ic_fail(err, IC_E_WRONG_TYPE, "%s: its reply is no number of at most 64 bits",
                         collection->count);
    fs_answer_fini(&answer);
    return result;
}

static int count_once(struct fs_items *items, const struct ic_io *io, uint64_t *out,
                      struct ic_error *err)
{
    return items->collection->end == FS_END_TOTAL ? count_by_total(items, io, out, err)
                                                  : count_by_method(items, io, out, err);
}

/* Is there an item where the total says that there is none? That the canister fails to give one is
 * fine: nothing is in range there. */
static int is_beyond(struct fs_items *items, uint64_t total, const struct ic_io *io, bool *out,
                     struct ic_error *err)
{
    struct ic_chunk_info info;
    struct ic_error failure = {0};
    int result = probe(items, total, 1, io, &info, &failure);
    *out = result == 0 && info.n_items > 0;
    if (result == 0 || items_is_own_failure(&failure))
        return 0;
    *err = failure;
    return result;
}

/* A total that is less than there is would hide items, and rsync --delete would delete the backup
 * of them. It may be something else, such as the number of items in the reply, or come from a node
 * that lags behind. So a total that was not told before is believed only when there is nothing
 * behind it, or when it grows. */
static int check_total(struct fs_items *items, const struct ic_io *io, uint64_t *total,
                       struct ic_error *err)
{
    bool has_more;
    uint64_t again = 0;
    int result = is_beyond(items, *total, io, &has_more, err);
    if (result == 0 && has_more)
        result = count_once(items, io, &again, err);
    if (result < 0 || !has_more)
        return result;
    if (again <= *total)
        return ic_fail(err, IC_E_WRONG_TYPE,
                       "%s: its total is %llu, yet it gives an item behind that: which field tells "
                       "the total? (a map can say)",
                       items->collection->method, (unsigned long long)*total);
    *total = again;
    return 0;
}

/* What tells the number of items tells that of no others. */
static int count_as_told(struct fs_items *items, const struct ic_io *io, uint64_t *out,
                         struct ic_error *err)
{
    uint64_t total = 0;
    int result = count_once(items, io, &total, err);
    pthread_mutex_lock(&items->lock);
    bool is_checked = items->is_total_checked && items->checked_total == total;
    pthread_mutex_unlock(&items->lock);
    if (result == 0 && !is_checked)
        result = check_total(items, io, &total, err);
    if (result < 0)
        return result;
    pthread_mutex_lock(&items->lock);
    items->is_total_checked = true;
    items->checked_total = total;
    pthread_mutex_unlock(&items->lock);
    *out = total;
    return 0;
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

static int count(struct fs_items *items, uint64_t hint, const struct ic_io *io, uint64_t *out,
                 struct ic_error *err)
{
    bool is_items = items->collection->style == FS_COLLECTION_ITEMS;
    switch (items->collection->end) {
    case FS_END_TOTAL:
    case FS_END_COUNT:
        return is_items ? count_as_told(items, io, out, err) : count_by_method(items, io, out, err);
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

int fs_items_count(struct fs_items *items, uint64_t hint, const struct ic_io *io, uint64_t *out,
                   struct ic_error *err)
{
    uint64_t total = 0;
    int result = count(items, hint, io, &total, err);
    if (result < 0)
        return result;
    uint64_t n_files = fs_items_files(items, total);
    if (n_files > FILES_MAX)
        return ic_fail(err, IC_E_TOO_LARGE,
                       "%s: a total of %llu makes %llu files, too many to list: if it is right, "
                       "take a larger chunk_items",
                       items->collection->method, (unsigned long long)total,
                       (unsigned long long)n_files);
    *out = total;
    return 0;
}
