/* Going through the items of a file: see restore_items_impl.h.
 *
 * A walker takes the items that come next, gives back what is more than a call may carry, and
 * restores the others, or a half of them when that was too much. There is one walker, and the calls
 * are in order, unless the collection's items may come in any.
 *
 * Locks: send.lock, never held across a call. */
#include "fs/query.h"
#include "fs/restore_items_impl.h"
#include "ic/wait.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Until another file's first call has told what a call can carry. */
#define PROBE_NS (INT64_C(10) * 60 * 1000000000)

#define WALKERS_MAX 160

struct send {
    struct items_commit *commit;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* there is more in rest, or n_busy sank */
    /* What nobody has taken; the next on top. Guarded by lock, as all that follows. */
    struct items_range *rest;
    size_t n_rest, size;
    unsigned n_busy;     /* walkers that have taken some */
    uint64_t n_underway; /* items of calls under way */
    bool is_checked;     /* one item alone can be restored */
    int result;          /* the failure that is told; 0: none, and more may be begun */
    struct ic_error err;
    struct items_range failed; /* what it is about */
    unsigned n_unknown;        /* calls whose outcome is not known */
};

struct walker {
    struct send *send;
    struct items_range taken; /* what is still to be restored of it */
    uint64_t cap;             /* items to send at most: halved after a failure, doubled after
                                 a success */
    uint64_t suspect;         /* so many failed without a word about a limit: 0, or one is tried
                                 alone */
    bool was_halved;          /* something of the file was too much */
    struct ic_error err;
};

/* A piece on its way. */
struct piece {
    struct items_range range;
    struct fs_item_call limited;
    struct ic_buf arg;
    bool is_alone; /* one item, to learn whether it was the number */
};

/* --- progress --- */

static void show_progress_locked(const struct send *send)
{
    const struct items_commit *commit = send->commit;
    const struct items_content *content = &commit->content;
    struct fs_restore_progress *progress = commit->run->progress;
    double len = (double)content->file_len;
    double count = (double)(content->count ? content->count : 1);
    uint64_t n = commit->done.count;
    bool is_complete = items_is_complete(commit);
    atomic_store(&progress->n_to_send, content->file_len);
    atomic_store(&progress->n_sent, is_complete
                                        ? content->file_len
                                        : (uint64_t)(len * (double)(n + send->n_underway) / count));
    atomic_store(&progress->n_acked,
                 is_complete ? content->file_len : (uint64_t)(len * (double)n / count));
}

/* --- failures --- */

static bool is_limit(const struct ic_error *err)
{
    return err->code == IC_E_TOO_LARGE || ic_error_is_limit(err);
}

static bool may_be_too_much(const struct ic_error *err)
{
    /* What never ran was refused for other reasons, and to ask again would take minutes. */
    bool is_own = (err->code == IC_E_REJECTED || err->code == IC_E_DENIED) &&
                  (err->reject_code == 4 || err->reject_code == 5) &&
                  !strstr(err->message, "certified that it never ran");
    return is_own || is_limit(err);
}

/* It is the number of items. */
static void shrink(struct walker *walker, const struct fs_item_call *limited)
{
    fs_item_limit_end(&walker->send->commit->items->limit, limited, FS_ITEM_TOO_MUCH,
                      walker->was_halved);
    walker->was_halved = true;
    walker->cap = limited->n > 1 ? limited->n / 2 : 1;
}

/* A call failed. Returns 0 when less should be tried, else the failure. */
static int judge(struct walker *walker, const struct fs_item_call *limited, int result)
{
    struct fs_item_limit *limit = &walker->send->commit->items->limit;
    const struct ic_error *err = &walker->err;
    if (limited->n <= 1 || !may_be_too_much(err)) {
        fs_item_limit_end(limit, limited, FS_ITEM_UNKNOWN, false);
        if (limited->n == 1 && is_limit(err))
            fs_item_limit_forget(limit);
        return result;
    }
    pthread_mutex_lock(&walker->send->lock);
    bool is_checked = walker->send->is_checked;
    pthread_mutex_unlock(&walker->send->lock);
    if (!is_limit(err) && !is_checked) {
        /* Others need not wait for this. */
        fs_item_limit_end(limit, limited, FS_ITEM_UNKNOWN, false);
        walker->suspect = limited->n;
        return 0;
    }
    shrink(walker, limited);
    return 0;
}

/* From here on nothing is begun. */
static void fail_locked(struct walker *walker, const struct items_range *range, int result)
{
    struct send *send = walker->send;
    bool is_unknown = walker->err.code == IC_E_UNKNOWN_OUTCOME;
    send->n_unknown += is_unknown;
    if (send->result < 0 && !(is_unknown && send->n_unknown == 1))
        return;
    send->result = result;
    send->err = walker->err;
    send->failed = *range;
}

/* --- a piece --- */

static int push_locked(struct send *send, const struct items_range *range)
{
    if (send->n_rest == send->size) {
        size_t size = send->size ? 2 * send->size : 8;
        struct items_range *rest = realloc(send->rest, size * sizeof(*rest));
        if (!rest)
            return -ENOMEM;
        send->rest = rest;
        send->size = size;
    }
    send->rest[send->n_rest++] = *range;
    return 0;
}

/* Take items to restore: those that come next, and as many as follow on each other. Waits while
 * others may give back some. False: there is nothing to do, any more or because of a failure. */
static bool take(struct walker *walker)
{
    struct send *send = walker->send;
    pthread_mutex_lock(&send->lock);
    while (send->n_rest == 0 && send->n_busy > 0 && send->result == 0)
        pthread_cond_wait(&send->changed, &send->lock);
    bool has_some = send->n_rest > 0 && send->result == 0;
    if (has_some) {
        walker->taken = send->rest[--send->n_rest];
        while (send->n_rest > 0 && send->rest[send->n_rest - 1].start == walker->taken.end)
            walker->taken.end = send->rest[--send->n_rest].end;
        send->n_busy++;
    }
    pthread_mutex_unlock(&send->lock);
    return has_some;
}

/* Others may restore what does not go into this piece. When there is no room to note that, the
 * walker does it itself. */
static void give_back_locked(struct walker *walker, uint64_t from)
{
    struct send *send = walker->send;
    if (from < walker->taken.end &&
        push_locked(send, &(struct items_range){from, walker->taken.end}) == 0) {
        walker->taken.end = from;
        pthread_cond_signal(&send->changed);
    }
}

/* Make the next piece of what was taken. Returns 0 or -errno with walker->err. */
static int cut_locked(struct walker *walker, struct piece *piece)
{
    struct send *send = walker->send;
    uint64_t start = walker->taken.start, n = walker->taken.end - start;
    if (n == 0 || n > piece->limited.n)
        n = piece->limited.n;
    int result = ic_pieces_write(send->commit->content.pieces, start, n, FS_RESTORE_CALL_MAX,
                                 &piece->arg, &n, &walker->err);
    if (result < 0)
        return result;
    piece->limited.n = n;
    piece->range = (struct items_range){start, start + n};
    if (!piece->is_alone)
        give_back_locked(walker, start + n);
    send->n_underway += n;
    show_progress_locked(send);
    return 0;
}

/* What came of it. Returns 0 or -ENOMEM with walker->err. */
static int end_piece(struct walker *walker, const struct piece *piece, int result)
{
    struct send *send = walker->send;
    const struct items_range *range = &piece->range;
    int added = 0;
    pthread_mutex_lock(&send->lock);
    send->n_underway -= range->end - range->start;
    if (piece->is_alone)
        send->is_checked = true;
    if (result == 0) {
        walker->taken.start = range->end;
        added = items_done_add(&send->commit->done, range->start, range->end);
    }
    show_progress_locked(send);
    pthread_mutex_unlock(&send->lock);
    return added < 0 ? ic_fail(&walker->err, IC_E_NO_MEMORY, "out of memory") : 0;
}

/* Learn from it how much a call can carry. Returns 0 or the failure. */
static int learn(struct walker *walker, const struct piece *piece, int result)
{
    if (piece->is_alone) {
        if (result == 0)
            shrink(walker, &(struct fs_item_call){.n = walker->suspect});
        walker->suspect = 0;
        return result;
    }
    if (result < 0)
        return judge(walker, &piece->limited, result);
    fs_item_limit_end(&walker->send->commit->items->limit, &piece->limited, FS_ITEM_GOOD, false);
    walker->cap = walker->cap > UINT64_MAX / 2 ? UINT64_MAX : 2 * walker->cap;
    return 0;
}

/* Make the next piece, as large as it may be. Returns 0 or -errno with walker->err. */
static int begin(struct walker *walker, struct piece *piece)
{
    struct send *send = walker->send;
    struct fs_item_limit *limit = &send->commit->items->limit;
    const struct ic_io io =
        fs_target_io_from(ic_wait_now_ns() + PROBE_NS, send->commit->run->cancel);
    uint64_t n = walker->taken.end - walker->taken.start;
    uint64_t wanted = n < walker->cap ? n : walker->cap;
    int result = 0;
    *piece = (struct piece){.is_alone = walker->suspect > 0, .limited.n = 1};
    if (!piece->is_alone)
        result = fs_item_limit_begin(limit, wanted ? wanted : 1, &io, &piece->limited);
    if (result < 0)
        return ic_wait_fail(&walker->err, result, "waiting for how much a call may carry");
    pthread_mutex_lock(&send->lock);
    result = cut_locked(walker, piece);
    pthread_mutex_unlock(&send->lock);
    if (result < 0) {
        ic_buf_fini(&piece->arg);
        if (!piece->is_alone)
            fs_item_limit_end(limit, &piece->limited, FS_ITEM_UNKNOWN, false);
    }
    return result;
}

/* Restore some of what was taken. Returns 0, also when less is to be tried, or the failure, which
 * is about the range. */
static int step(struct walker *walker, struct items_range *range)
{
    struct piece piece;
    *range = walker->taken;
    int result = begin(walker, &piece);
    if (result < 0)
        return result;
    *range = piece.range;
    result =
        items_call_make(walker->send->commit, range->start, range->end, &piece.arg, &walker->err);
    ic_buf_fini(&piece.arg);
    int added = end_piece(walker, &piece, result);
    result = learn(walker, &piece, result);
    return added < 0 ? added : result;
}

static void *walk(void *arg)
{
    struct send *send = arg;
    struct walker walker = {.send = send, .cap = UINT64_MAX};
    while (take(&walker)) {
        struct items_range range;
        int result;
        bool is_over;
        do {
            result = step(&walker, &range);
            pthread_mutex_lock(&send->lock);
            if (result < 0)
                fail_locked(&walker, &range, result);
            is_over = send->result < 0 || walker.taken.start == walker.taken.end;
            if (is_over) {
                send->n_busy--;
                pthread_cond_broadcast(&send->changed);
            }
            pthread_mutex_unlock(&send->lock);
        } while (!is_over);
    }
    return NULL;
}

/* --- all of them --- */

static unsigned count_walkers(const struct items_commit *commit)
{
    const struct fs_restore_items_config *config = &commit->items->config;
    if (!config->collection->restore.any_order)
        return 1;
    uint64_t left = commit->content.count - commit->done.count;
    uint64_t n = config->n_inflight < WALKERS_MAX ? config->n_inflight : WALKERS_MAX;
    if (n > left)
        n = left;
    return n > 1 ? (unsigned)n : 1;
}

static void run_walkers(struct send *send, unsigned n)
{
    pthread_t threads[WALKERS_MAX];
    unsigned n_started = 0;
    /* This thread is one. With fewer others it takes longer. */
    while (n_started + 1 < n && pthread_create(&threads[n_started], NULL, walk, send) == 0)
        n_started++;
    walk(send);
    for (unsigned i = 0; i < n_started; i++)
        pthread_join(threads[i], NULL);
}

int items_explain(const struct items_commit *commit, const struct items_range *range, int result,
                  struct ic_error *err)
{
    const struct fs_collection *collection = commit->items->config.collection;
    const struct items_done *done = &commit->done;
    char others[80] = "";
    if (err->code == IC_E_UNKNOWN_OUTCOME || err->code == IC_E_CONFIG || err->code == IC_E_BUSY) {
        ic_error_reword(err, "%s: %.400s", collection->name, err->message);
        return result;
    }
    result = fs_query_fail_gone(result, err);
    if (range->start > 0 && done->count == range->start && done->ranges[0].end == range->start)
        snprintf(others, sizeof(others), " (those before are restored)");
    else if (done->count > 0)
        snprintf(others, sizeof(others), " (%llu others are restored)",
                 (unsigned long long)done->count);
    if (collection->restore.can_split)
        ic_error_reword(err, "%s: items [%llu, %llu) of %llu: %.300s%s", collection->name,
                        (unsigned long long)range->start, (unsigned long long)range->end,
                        (unsigned long long)commit->content.count, err->message, others);
    else
        ic_error_reword(err, "%s: %.400s", collection->name, err->message);
    return result;
}

/* What is not restored yet, the first on top. What has no items takes a call, too. */
static int fill_rest(struct send *send)
{
    const struct items_commit *commit = send->commit;
    struct items_range gap = {0};
    int result = 0;
    if (commit->content.count == 0 && !commit->done.has_any)
        result = push_locked(send, &gap);
    for (; result == 0 && items_done_find_gap(&commit->done, gap.end, commit->content.count, &gap);)
        result = push_locked(send, &gap);
    for (size_t i = 0; i < send->n_rest / 2; i++) {
        struct items_range other = send->rest[i];
        send->rest[i] = send->rest[send->n_rest - 1 - i];
        send->rest[send->n_rest - 1 - i] = other;
    }
    return result;
}

int items_send(struct items_commit *commit, struct ic_error *err)
{
    struct send send = {.commit = commit, .changed = PTHREAD_COND_INITIALIZER};
    pthread_mutex_init(&send.lock, NULL);
    atomic_store(&commit->run->progress->phase, FS_RESTORE_SENDING);
    if (fill_rest(&send) < 0)
        send.result = ic_fail(&send.err, IC_E_NO_MEMORY, "out of memory");
    else
        run_walkers(&send, count_walkers(commit));
    free(send.rest);
    pthread_cond_destroy(&send.changed);
    pthread_mutex_destroy(&send.lock);
    if (send.result == 0)
        return 0;
    *err = send.err;
    if (send.n_unknown > 1)
        ic_error_reword(err, "%.400s (and %u other calls likewise)", send.err.message,
                        send.n_unknown - 1);
    return items_explain(commit, &send.failed, send.result, err);
}
