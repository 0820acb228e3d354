#include "fs/argument.h"
#include "fs/items_impl.h"

#include <string.h>

int fs_items_init(struct fs_items *items, const struct fs_target *target,
                  const struct fs_collection *collection, uint64_t per_file, size_t max,
                  struct fs_turn *turn)
{
    *items = (struct fs_items){
        .target = target,
        .collection = collection,
        .per_file = per_file,
        .max = max,
        .turn = turn,
    };
    int result = fs_item_limit_init(&items->limit, per_file);
    if (result == 0)
        pthread_mutex_init(&items->lock, NULL);
    return result;
}

void fs_items_fini(struct fs_items *items)
{
    pthread_mutex_destroy(&items->lock);
    fs_item_limit_fini(&items->limit);
}

int items_call(const struct fs_items *items, uint64_t first, uint64_t second,
               const struct ic_io *io, struct ic_reply *out, struct ic_error *err)
{
    const struct fs_collection *collection = items->collection;
    struct fs_arguments args = {0};
    if (!fs_arguments_add(&args, collection->numbers[0], first) ||
        !fs_arguments_add(&args, collection->numbers[1], second))
        return ic_fail(err, IC_E_TOO_LARGE, "%s cannot be asked for %llu, %llu: they do not fit",
                       collection->method, (unsigned long long)first, (unsigned long long)second);
    int result = fs_query_raw(items->target, collection->method, args.values, args.n, io, out, err);
    return fs_query_fail_gone(result, err);
}

int items_look(const struct fs_items *items, const struct ic_reply *reply,
               struct ic_chunk_info *out, struct ic_error *err)
{
    const struct fs_collection *collection = items->collection;
    const struct ic_chunk_fields fields = {
        .is_record = collection->is_record,
        .items = collection->items,
        .has_total = collection->end == FS_END_TOTAL,
        .total = collection->total,
    };
    int result = ic_candid_chunk_info(reply->arg, reply->len, &fields, NULL, out, err);
    if (result == 0 && collection->is_bytes && !out->is_none && !out->blob.bytes && out->n_items)
        result = ic_fail(err, IC_E_WRONG_TYPE, "no blob");
    if (result < 0)
        ic_error_reword(err, "%s: its reply: %.300s", collection->method, err->message);
    return result;
}

int items_fail_null(const struct fs_items *items, struct ic_error *err)
{
    return ic_fail(err, IC_E_DENIED, "%s answers null: it gives nothing to this identity",
                   items->collection->method);
}

bool items_is_own_failure(const struct ic_error *err)
{
    /* Canisters refuse in words of their own, too: that may be because of who asks. */
    return (err->code == IC_E_REJECTED || err->code == IC_E_DENIED) &&
           (err->reject_code == 4 || err->reject_code == 5);
}

int items_call_last(const struct fs_items *items, uint64_t index, const struct ic_io *io,
                    struct fs_answer *out, struct ic_view *blob, bool *is_last,
                    struct ic_error *err)
{
    const struct fs_collection *collection = items->collection;
    struct fs_arguments args = {0};
    if (!fs_arguments_add(&args, collection->numbers[0], collection->id) ||
        !fs_arguments_add(&args, collection->numbers[1], index))
        return ic_fail(err, IC_E_TOO_LARGE, "%s: %llu does not fit", collection->method,
                       (unsigned long long)index);
    int result = fs_query(items->target, collection->method, args.values, args.n, io, out, err);
    if (result < 0)
        return fs_query_fail_gone(result, err);
    if (ic_value_blob(fs_answer_value(out, 0), blob) < 0 ||
        ic_value_bool(fs_answer_value(out, 1), is_last) < 0) {
        fs_answer_fini(out);
        return ic_fail(err, IC_E_WRONG_TYPE, "%s: its reply is no blob and bool",
                       collection->method);
    }
    return 0;
}

void items_note_call(struct fs_items *items, bool was_too_much)
{
    pthread_mutex_lock(&items->lock);
    items->stats.n_calls++;
    items->stats.n_too_much += was_too_much;
    pthread_mutex_unlock(&items->lock);
}

uint64_t fs_items_files(const struct fs_items *items, uint64_t total)
{
    if (items->collection->style != FS_COLLECTION_ITEMS)
        return total;
    return total / items->per_file + (total % items->per_file != 0);
}

/* A file holds one Candid message, and something in it. */
static int check_whole(const struct fs_items *items, const struct ic_reply *reply,
                       struct ic_error *err)
{
    struct ic_chunk_info info;
    int result = ic_candid_chunk_info(reply->arg, reply->len, NULL, NULL, &info, err);
    if (result < 0)
        ic_error_reword(err, "%s: its reply: %.300s", items->collection->method, err->message);
    return result == 0 && info.is_none ? items_fail_null(items, err) : result;
}

/* One call gives all of it. */
static int fetch_whole(struct fs_items *items, uint64_t index, const struct ic_io *io,
                       struct ic_buf *out, struct ic_error *err)
{
    const struct fs_collection *collection = items->collection;
    struct ic_reply reply = {0};
    int result = collection->style == FS_COLLECTION_WHOLE
                     ? fs_query_raw(items->target, collection->method, NULL, 0, io, &reply, err)
                     : items_call(items, items->per_file, index, io, &reply, err);
    if (result < 0)
        return fs_query_fail_gone(result, err);
    result = check_whole(items, &reply, err);
    if (result == 0)
        ic_buf_append(out, reply.arg, reply.len);
    ic_reply_fini(&reply);
    return result;
}

static int fetch_last(struct fs_items *items, uint64_t index, const struct ic_io *io,
                      struct ic_buf *out, struct ic_error *err)
{
    struct fs_answer answer = {0};
    struct ic_view blob = {0};
    bool is_last;
    int result = items_call_last(items, index, io, &answer, &blob, &is_last, err);
    if (result == 0) {
        ic_buf_append(out, blob.bytes, blob.len);
        fs_answer_fini(&answer);
    }
    return result;
}

/* What one call gives, or nothing. */
static int fetch_at_once(struct fs_items *items, uint64_t index, const struct ic_io *io,
                         struct ic_buf *out, struct ic_error *err)
{
    const struct fs_collection *collection = items->collection;
    int result = collection->style == FS_COLLECTION_LAST ? fetch_last(items, index, io, out, err)
                                                         : fetch_whole(items, index, io, out, err);
    bool is_too_much = result < 0 && ic_error_is_limit(err);
    items_note_call(items, is_too_much);
    if (is_too_much)
        ic_error_reword(err, "%s: it is more than a reply can carry%s: %.250s", collection->method,
                        collection->style == FS_COLLECTION_INDEX ? ", take a smaller chunk_items"
                                                                 : "",
                        err->message);
    return result;
}

int fs_items_fetch(struct fs_items *items, uint64_t index, uint64_t total, size_t size,
                   const struct ic_io *io, struct fs_piece *out, struct ic_error *err)
{
    struct ic_buf bytes = {0};
    unsigned n_calls = 1;
    bool is_items = items->collection->style == FS_COLLECTION_ITEMS;
    int result = is_items ? items_fetch(items, index * items->per_file, size, &total, io, &bytes,
                                        &n_calls, err)
                          : fetch_at_once(items, index, io, &bytes, err);
    if (result == 0 && ic_buf_status(&bytes) < 0)
        result = ic_fail(err, IC_E_NO_MEMORY, "out of memory");
    if (result < 0) {
        ic_buf_fini(&bytes);
        return result;
    }
    *out = (struct fs_piece){
        .bytes = bytes.bytes, .len = bytes.len, .total = total, .n_calls = n_calls};
    return 0;
}

void fs_items_describe(struct fs_items *items, struct fs_items_stats *out)
{
    pthread_mutex_lock(&items->lock);
    *out = items->stats;
    pthread_mutex_unlock(&items->lock);
    out->per_call = fs_item_limit_get(&items->limit);
}
