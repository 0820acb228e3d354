/* Items of a file in as few calls as it takes: see items.h. */
#include "fs/items_impl.h"
#include "ic/candid_split.h"
#include "ic/wait.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* What a reply should carry at most, by the size of items seen of late: a sixteenth less than it
 * may, for items are uneven. */
#define REPLY_GOAL (FS_QUERY_REPLY_MAX / 16 * 15)

/* Items of so many files tell how large the next ones will be. */
#define RECENT_FILES 8

/* From here on a fetch waits for its turn. */
#define LONG_BYTES ((size_t)4 << 20)

/* Times that replies may disagree. */
#define AGAIN_MAX 3

/* A fetch under way: the pieces so far. A piece is the message of a reply, or its bytes; a copy,
 * for what replies come in are few large buffers that the next ones want. */
struct fetch {
    struct fs_items *items;
    const struct ic_io *io;
    struct ic_error *err;
    struct ic_buf *pieces;
    size_t n_pieces;
    size_t size; /* of the array */
    size_t bytes;
    uint64_t item_size; /* bytes, in this file; 0: not known */
    uint64_t total;     /* what the first reply said, or what is assumed */
    uint64_t cap;    /* items to ask for at most: halved after a failure, doubled after a success */
    bool has_turn;   /* of the long ones */
    bool was_halved; /* something of it was too much */
    bool is_checked; /* that a single item does work */
    unsigned n_calls;
};

static void drop_pieces(struct fetch *fetch)
{
    for (size_t i = 0; i < fetch->n_pieces; i++)
        ic_buf_fini(&fetch->pieces[i]);
    fetch->n_pieces = 0;
    fetch->bytes = 0;
    if (fetch->has_turn)
        fs_turn_leave(fetch->items->turn);
    fetch->has_turn = false;
}

static int keep_piece(struct fetch *fetch, struct ic_view piece)
{
    struct fs_items *items = fetch->items;
    if (piece.len > items->max - fetch->bytes)
        return ic_fail(fetch->err, IC_E_TOO_LARGE,
                       "the items of one file are more than %zu bytes: take a larger "
                       "cache_size or a smaller chunk_items",
                       items->max);
    if (!fetch->has_turn && fetch->bytes + piece.len > LONG_BYTES) {
        int result = fs_turn_take(items->turn, fetch->io);
        if (result < 0)
            return ic_wait_fail(fetch->err, result, "waiting for another long fetch");
        fetch->has_turn = true;
    }
    if (fetch->n_pieces == fetch->size) {
        size_t size = fetch->size ? 2 * fetch->size : 8;
        struct ic_buf *grown = realloc(fetch->pieces, size * sizeof(*grown));
        if (!grown)
            return ic_fail(fetch->err, IC_E_NO_MEMORY, "out of memory");
        fetch->pieces = grown;
        fetch->size = size;
    }
    struct ic_buf *kept = &fetch->pieces[fetch->n_pieces++];
    *kept = (struct ic_buf){0};
    ic_buf_reserve(kept, piece.len);
    ic_buf_append(kept, piece.bytes, piece.len);
    fetch->bytes += piece.len;
    return ic_buf_status(kept) < 0 ? ic_fail(fetch->err, IC_E_NO_MEMORY, "out of memory") : 0;
}

/* How many of the items that are left one call should ask for: not more than fit by their size of
 * late, and all calls about the same number. */
static uint64_t choose(struct fetch *fetch, uint64_t left)
{
    struct fs_items *items = fetch->items;
    uint64_t n = fs_item_limit_get(&items->limit);
    pthread_mutex_lock(&items->lock);
    uint64_t item_size = fetch->item_size;
    if (!item_size && items->recent_items)
        item_size = items->recent_bytes / items->recent_items + 1;
    pthread_mutex_unlock(&items->lock);
    uint64_t fitting = item_size ? REPLY_GOAL / item_size : UINT64_MAX;
    if (n > fetch->cap)
        n = fetch->cap;
    if (n > fitting)
        n = fitting > 0 ? fitting : 1;
    if (n >= left)
        return left;
    uint64_t n_calls = left / n + (left % n != 0);
    return left / n_calls + (left % n_calls != 0);
}

static void learn(struct fetch *fetch, size_t len, uint64_t n)
{
    struct fs_items *items = fetch->items;
    fetch->item_size = len / n + 1;
    pthread_mutex_lock(&items->lock);
    items->stats.bytes += len;
    items->recent_items += n;
    items->recent_bytes += len;
    if (items->recent_items > RECENT_FILES * items->per_file) {
        items->recent_items /= 2;
        items->recent_bytes /= 2;
    }
    pthread_mutex_unlock(&items->lock);
}

/* A failure that does not speak of a limit: does the canister give the first of the items? */
static int check_one(struct fetch *fetch, uint64_t start)
{
    struct ic_reply reply;
    struct ic_error err = {0};
    fetch->is_checked = true;
    fetch->n_calls++;
    int result = items_call(fetch->items, start, 1, fetch->io, &reply, &err);
    items_note_call(fetch->items, false);
    if (result == 0)
        ic_reply_fini(&reply);
    return result;
}

/* A call for more than one item failed. Returns 0 when fewer should be tried, else the failure. */
static int judge(struct fetch *fetch, uint64_t start, const struct fs_item_call *limited,
                 int result)
{
    struct fs_items *items = fetch->items;
    const struct ic_error *err = fetch->err;
    bool is_limit = ic_error_is_limit(err);
    bool was_again = fetch->was_halved;
    const struct fs_item_call again = {.n = limited->n};
    if (!is_limit && !fetch->is_checked && items_is_own_failure(err) && limited->n > 1) {
        /* Others need not wait for this. */
        fs_item_limit_end(&items->limit, limited, FS_ITEM_UNKNOWN, false);
        items_note_call(items, true);
        if (check_one(fetch, start) < 0)
            return result;
        limited = &again;
    } else {
        items_note_call(items, is_limit || items_is_own_failure(err));
        if (limited->n == 1 || !(is_limit || items_is_own_failure(err))) {
            fs_item_limit_end(&items->limit, limited, FS_ITEM_UNKNOWN, false);
            return result;
        }
    }
    fs_item_limit_end(&items->limit, limited, FS_ITEM_TOO_MUCH, was_again);
    fetch->was_halved = true;
    fetch->cap = limited->n / 2;
    return 0;
}

/* Words for an item that fails alone. */
static void explain(struct fetch *fetch, uint64_t start, uint64_t n)
{
    struct ic_error *err = fetch->err;
    if (n != 1 || !ic_error_is_limit(err))
        return;
    fs_item_limit_forget(&fetch->items->limit);
    ic_error_reword(err, "%s: item %llu alone is more than a reply can carry: %.250s",
                    fetch->items->collection->method, (unsigned long long)start, err->message);
}

/* Does the total in a reply fit to what is known? The first reply's may be another than was told
 * before: items come and go. But it must be what is told for none now, or on the way there; else it
 * depends on what was asked for, and is no total. */
static int check_total(struct fetch *fetch, uint64_t start, uint64_t total)
{
    struct fs_items *items = fetch->items;
    uint64_t now = fetch->total;
    if (total == fetch->total)
        return 0;
    if (fetch->n_pieces > 0)
        return ic_fail(fetch->err, IC_E_CHANGED, "%s: the number of items changed meanwhile",
                       items->collection->method);
    int result = fs_items_count(items, fetch->total, fetch->io, &now, fetch->err);
    if (result < 0)
        return result;
    uint64_t least = now < fetch->total ? now : fetch->total;
    uint64_t most = now < fetch->total ? fetch->total : now;
    if (total < least || total > most)
        return ic_fail(fetch->err, IC_E_CHANGED,
                       "%s: its total is %llu in the reply for items from %llu on, %llu in the one "
                       "for none",
                       items->collection->method, (unsigned long long)total,
                       (unsigned long long)start, (unsigned long long)now);
    fetch->total = total;
    return 0;
}

/* Is it what was asked for? Fills how many items came: 0 when it is told that there are none; and
 * what is to be kept of it. */
static int check_reply(struct fetch *fetch, uint64_t start, uint64_t asked,
                       const struct ic_reply *reply, uint64_t *n, struct ic_view *piece)
{
    const struct fs_collection *collection = fetch->items->collection;
    struct ic_chunk_info info;
    int result = items_look(fetch->items, reply, &info, fetch->err);
    /* Where nothing tells the end null can be the end. */
    if (result == 0 && info.is_none && (collection->end != FS_END_EMPTY || start == 0))
        result = items_fail_null(fetch->items, fetch->err);
    if (result == 0 && collection->end == FS_END_TOTAL)
        result = check_total(fetch, start, info.total);
    if (result < 0)
        return result;
    uint64_t left = start < fetch->total ? fetch->total - start : 0;
    if (info.n_items > asked)
        return ic_fail(fetch->err, IC_E_MALFORMED, "%s gave %llu items when asked for %llu",
                       collection->method, (unsigned long long)info.n_items,
                       (unsigned long long)asked);
    if (info.n_items > left || (info.n_items == 0 && left > 0))
        return ic_fail(fetch->err, IC_E_CHANGED, "%s gave %llu of the %llu items from %llu on",
                       collection->method, (unsigned long long)info.n_items,
                       (unsigned long long)left, (unsigned long long)start);
    *n = info.n_items;
    *piece = collection->is_bytes ? info.blob : ic_view(reply->arg, reply->len);
    return 0;
}

/* One call for items [start, end) or the first of them. *n: how many came; 0: fewer have to be
 * asked for. */
static int fetch_some(struct fetch *fetch, uint64_t start, uint64_t end, uint64_t *n)
{
    struct fs_items *items = fetch->items;
    struct ic_reply reply;
    struct ic_view piece;
    struct fs_item_call limited;
    int result =
        fs_item_limit_begin(&items->limit, choose(fetch, end - start), fetch->io, &limited);
    if (result < 0)
        return ic_wait_fail(fetch->err, result, "waiting for how much a reply may carry");
    *n = 0;
    fetch->n_calls++;
    result = items_call(items, start, limited.n, fetch->io, &reply, fetch->err);
    if (result < 0) {
        uint64_t asked = limited.n;
        result = judge(fetch, start, &limited, result);
        if (result < 0)
            explain(fetch, start, asked);
        return result;
    }
    fs_item_limit_end(&items->limit, &limited, FS_ITEM_GOOD, false);
    items_note_call(items, false);
    fetch->cap = fetch->cap > UINT64_MAX / 2 ? UINT64_MAX : 2 * fetch->cap;
    result = check_reply(fetch, start, limited.n, &reply, n, &piece);
    if (result == 0 && *n > 0) {
        learn(fetch, reply.len, *n);
        result = keep_piece(fetch, piece);
    }
    ic_reply_fini(&reply);
    return result;
}

static uint64_t end_of(const struct fs_items *items, uint64_t start, uint64_t total)
{
    return total - start < items->per_file ? total : start + items->per_file;
}

static void join_bytes(const struct fetch *fetch, struct ic_buf *out)
{
    ic_buf_reserve(out, fetch->bytes);
    for (size_t i = 0; i < fetch->n_pieces; i++)
        ic_buf_append(out, fetch->pieces[i].bytes, fetch->pieces[i].len);
}

static int merge(const struct fetch *fetch, struct ic_buf *out)
{
    const struct fs_collection *collection = fetch->items->collection;
    assert(fetch->n_pieces > 0);
    struct ic_view *views = calloc(fetch->n_pieces, sizeof(*views));
    if (!views)
        return ic_fail(fetch->err, IC_E_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < fetch->n_pieces; i++)
        views[i] = ic_view(fetch->pieces[i].bytes, fetch->pieces[i].len);
    uint32_t latest[FS_LATEST_MAX + 1];
    size_t n = 0;
    for (; n < collection->n_latest; n++)
        latest[n] = collection->latest[n];
    if (collection->end == FS_END_TOTAL)
        latest[n++] = collection->total;
    const struct ic_chunk_rule rule = {.latest = latest, .n_latest = n};
    int result = ic_candid_merge(views, fetch->n_pieces, &rule, NULL, out, fetch->err);
    if (result == -ESTALE)
        ic_error_reword(
            fetch->err,
            "%s: the replies for one file disagree: %.200s (a map can allow it: latest = FIELD)",
            collection->method, fetch->err->message);
    free(views);
    return result;
}

/* The pieces as one. out is empty. */
static int put_together(struct fetch *fetch, struct ic_buf *out)
{
    int result = 0;
    if (fetch->n_pieces == 1) {
        *out = fetch->pieces[0];
        fetch->n_pieces = 0;
    } else if (fetch->items->collection->is_bytes) {
        join_bytes(fetch, out);
    } else {
        result = merge(fetch, out);
    }
    if (result == 0 && ic_buf_status(out) < 0)
        result = ic_fail(fetch->err, IC_E_NO_MEMORY, "out of memory");
    return result;
}

/* Fetch the items of a file once. -ESTALE: the replies do not agree. */
static int fetch_once(struct fetch *fetch, uint64_t start, struct ic_buf *out)
{
    struct fs_items *items = fetch->items;
    uint64_t pos = start;
    int result = 0;
    while (result == 0 && (pos == start || pos < end_of(items, start, fetch->total))) {
        uint64_t n = 0;
        if (start >= fetch->total)
            return ic_fail(fetch->err, IC_E_NOT_FOUND, "%s: there are no items from %llu on",
                           items->collection->method, (unsigned long long)start);
        result = fetch_some(fetch, pos, end_of(items, start, fetch->total), &n);
        pos += n;
    }
    return result < 0 ? result : put_together(fetch, out);
}

/* Did it fail because there are not so many items any more? Then the total is the new one. */
static bool has_changed(struct fetch *fetch, uint64_t was)
{
    struct ic_error err = {0};
    uint64_t now = 0;
    if (fs_items_count(fetch->items, was, fetch->io, &now, &err) < 0)
        return false;
    fetch->total = now;
    return now != was;
}

static int fetch_items(struct fetch *fetch, uint64_t start, struct ic_buf *out)
{
    for (unsigned n = 1;; n++) {
        uint64_t was = fetch->total;
        fetch->cap = UINT64_MAX;
        int result = fetch_once(fetch, start, out);
        drop_pieces(fetch);
        bool changed = result == -ESTALE || (result < 0 && items_is_own_failure(fetch->err));
        if (!changed || n >= AGAIN_MAX)
            return result;
        struct ic_error cause = *fetch->err;
        if (!has_changed(fetch, was) && result != -ESTALE) {
            *fetch->err = cause;
            return result;
        }
        ic_buf_fini(out);
        pthread_mutex_lock(&fetch->items->lock);
        fetch->items->stats.n_again++;
        pthread_mutex_unlock(&fetch->items->lock);
    }
}

int items_fetch(struct fs_items *items, uint64_t start, size_t size, uint64_t *total,
                const struct ic_io *io, struct ic_buf *out, unsigned *n_calls, struct ic_error *err)
{
    struct fetch fetch = {.items = items, .io = io, .err = err, .total = *total};
    if (size > 0)
        fetch.item_size = size / (end_of(items, start, *total) - start) + 1;
    int result = fetch_items(&fetch, start, out);
    free(fetch.pieces);
    *total = fetch.total;
    *n_calls = fetch.n_calls;
    return result;
}
