#include "fs/restore_items.h"

#include "fs/lease.h"
#include "fs/query.h"
#include "fs/restore_items_impl.h"
#include "ic/wait.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* More items than any file has: a limit is learned for pieces of any size. */
#define LIMIT_MAX (UINT64_C(1) << 40)

/* Until another file's first call has told what a call can carry. */
#define PROBE_NS (INT64_C(10) * 60 * 1000000000)

struct file {
    struct fs_restorer base;
    struct fs_restore_items *items;
    uint64_t index;
};

/* Going through a file. */
struct walk {
    struct items_commit *commit;
    uint64_t cap;     /* items to send at most: halved after a failure, doubled after a success */
    uint64_t suspect; /* so many failed without a word about a limit: 0, or one is tried alone */
    bool is_checked;  /* that one alone can be restored */
    bool was_halved;  /* something of the file was too much */
};

/* --- progress and words --- */

static void show_progress(const struct items_commit *commit, uint64_t sent)
{
    const struct items_content *content = &commit->content;
    struct fs_restore_progress *progress = commit->run->progress;
    uint64_t count = content->count ? content->count : 1;
    atomic_store(&progress->n_to_send, content->file_len);
    atomic_store(&progress->n_sent,
                 (uint64_t)((double)content->file_len * (double)sent / (double)count));
    atomic_store(&progress->n_acked,
                 commit->is_complete
                     ? content->file_len
                     : (uint64_t)((double)content->file_len * (double)commit->at / (double)count));
}

static const char *plural(uint64_t n)
{
    return n == 1 ? "" : "s";
}

static void summarise(const struct items_commit *commit, uint64_t from, uint64_t n_calls)
{
    const struct fs_restore_run *run = commit->run;
    const struct fs_restore_partner *partner = &commit->items->config.collection->restore;
    uint64_t n = commit->content.count - from;
    char what[64] = "all of it";
    char before[96] = "";
    if (partner->can_split)
        snprintf(what, sizeof(what), "%llu item%s", (unsigned long long)n, plural(n));
    if (from > 0)
        snprintf(before, sizeof(before), ", the %llu before were restored earlier",
                 (unsigned long long)from);
    snprintf(run->summary, run->summary_size, "%s%s in %llu call%s of %s, %zu bytes in all%s",
             run->dry_run ? "would restore " : "", what, (unsigned long long)n_calls,
             plural(n_calls), partner->method, commit->content.file_len, before);
}

/* Which items, and how far it got. What is unknown says so itself. */
static int explain(struct items_commit *commit, uint64_t end, int result)
{
    struct ic_error *err = commit->err;
    const char *name = commit->items->config.collection->name;
    if (err->code == IC_E_UNKNOWN_OUTCOME || err->code == IC_E_CONFIG || err->code == IC_E_BUSY) {
        ic_error_reword(err, "%s: %.400s", name, err->message);
        return result;
    }
    result = fs_query_fail_gone(result, err);
    if (commit->items->config.collection->restore.can_split)
        ic_error_reword(err, "%s: items [%llu, %llu) of %llu: %.300s%s", name,
                        (unsigned long long)commit->at, (unsigned long long)end,
                        (unsigned long long)commit->content.count, err->message,
                        commit->at > 0 ? " (those before are restored)" : "");
    else
        ic_error_reword(err, "%s: %.400s", name, err->message);
    return result;
}

/* --- going through the items --- */

static bool may_be_too_much(const struct ic_error *err)
{
    /* What never ran was refused for other reasons, and to ask again would take minutes. */
    bool is_own = (err->code == IC_E_REJECTED || err->code == IC_E_DENIED) &&
                  (err->reject_code == 4 || err->reject_code == 5) &&
                  !strstr(err->message, "certified that it never ran");
    return is_own || err->code == IC_E_TOO_LARGE || ic_error_is_limit(err);
}

static bool is_limit(const struct ic_error *err)
{
    return err->code == IC_E_TOO_LARGE || ic_error_is_limit(err);
}

/* It is the number of items. */
static void shrink(struct walk *walk, const struct fs_item_call *limited)
{
    fs_item_limit_end(&walk->commit->items->limit, limited, FS_ITEM_TOO_MUCH, walk->was_halved);
    walk->was_halved = true;
    walk->cap = limited->n > 1 ? limited->n / 2 : 1;
}

/* A call failed. Returns 0 when less should be tried, else the failure. */
static int judge(struct walk *walk, const struct fs_item_call *limited, int result)
{
    struct fs_item_limit *limit = &walk->commit->items->limit;
    const struct ic_error *err = walk->commit->err;
    if (limited->n <= 1 || !may_be_too_much(err)) {
        fs_item_limit_end(limit, limited, FS_ITEM_UNKNOWN, false);
        if (limited->n == 1 && is_limit(err))
            fs_item_limit_forget(limit);
        return result;
    }
    if (!is_limit(err) && !walk->is_checked) {
        /* Others need not wait for this. */
        fs_item_limit_end(limit, limited, FS_ITEM_UNKNOWN, false);
        walk->suspect = limited->n;
        return 0;
    }
    shrink(walk, limited);
    return 0;
}

/* One more call: after it some more items are restored, or fewer will be tried. */
static int step(struct walk *walk)
{
    struct items_commit *commit = walk->commit;
    struct fs_item_limit *limit = &commit->items->limit;
    const struct ic_io io = fs_target_io_from(ic_wait_now_ns() + PROBE_NS, commit->run->cancel);
    uint64_t left = commit->content.count - commit->at, n = 0;
    uint64_t want = left < walk->cap ? left : walk->cap;
    bool is_alone = walk->suspect > 0;
    struct fs_item_call limited = {.n = 1};
    struct ic_buf arg = {0};
    int result = is_alone ? 0 : fs_item_limit_begin(limit, want ? want : 1, &io, &limited);
    if (result < 0)
        return ic_wait_fail(commit->err, result, "waiting for how much a call may carry");
    result = ic_pieces_write(commit->content.pieces, commit->at, limited.n, FS_RESTORE_CALL_MAX,
                             &arg, &n, commit->err);
    limited.n = n;
    if (result == 0) {
        show_progress(commit, commit->at + n);
        result = items_call_make(commit, commit->at + n, &arg);
    }
    ic_buf_fini(&arg);
    if (is_alone) {
        walk->is_checked = true;
        if (result == 0)
            shrink(walk, &(struct fs_item_call){.n = walk->suspect});
        walk->suspect = 0;
    } else if (result < 0) {
        result = judge(walk, &limited, result);
    } else {
        fs_item_limit_end(limit, &limited, FS_ITEM_GOOD, false);
        walk->cap = walk->cap > UINT64_MAX / 2 ? UINT64_MAX : 2 * walk->cap;
    }
    return result < 0 ? explain(commit, commit->at + n, result) : 0;
}

static int send(struct items_commit *commit)
{
    struct walk walk = {.commit = commit, .cap = UINT64_MAX};
    int result = 0;
    atomic_store(&commit->run->progress->phase, FS_RESTORE_SENDING);
    while (result == 0 && !commit->is_complete) {
        show_progress(commit, commit->at);
        if (items_is_cancelled(commit->run))
            return ic_fail(commit->err, IC_E_CANCELLED, "%s: cancelled before item %llu",
                           commit->items->config.collection->name, (unsigned long long)commit->at);
        if (commit->run->lease)
            result = fs_lease_check(commit->run->lease, commit->err);
        if (result == 0)
            result = step(&walk);
    }
    show_progress(commit, commit->at);
    return result;
}

/* How many calls there would be, as far as can be told now. */
static int count_calls(struct items_commit *commit, uint64_t *out)
{
    uint64_t at = commit->at, limit = fs_item_limit_get(&commit->items->limit), n;
    for (*out = 0; !commit->is_complete && (*out == 0 || at < commit->content.count); ++*out) {
        struct ic_buf arg = {0};
        int result = ic_pieces_write(commit->content.pieces, at, limit, FS_RESTORE_CALL_MAX, &arg,
                                     &n, commit->err);
        ic_buf_fini(&arg);
        if (result < 0)
            return result;
        at += n;
    }
    return 0;
}

/* --- the restorer --- */

/* What is noted of calls is of no use without the bytes that they were made of. */
static int sync_stage(struct items_commit *commit)
{
    int result = stage_sync(commit->run->stage);
    if (result < 0)
        ic_fail(commit->err, IC_E_CONFIG, "%s: the staging directory cannot be written: %s",
                commit->items->config.collection->name, strerror(-result));
    return result;
}

/* May a file be left out that is there already? Not when it could be the one that replaces all that
 * there is, before the others are added to it. */
static bool can_be_left_out(const struct fs_collection *collection)
{
    return collection->restore.can_split || collection->style == FS_COLLECTION_WHOLE;
}

/* Does the canister give this file already? When that cannot be told it is sent. */
static bool is_there(const struct items_commit *commit)
{
    const struct fs_restore_items_config *config = &commit->items->config;
    if (!can_be_left_out(config->collection))
        return false;
    const struct source_io io = {
        .deadline_ns = ic_wait_now_ns() + (int64_t)config->target->options->timeout_ns,
        .cancel = commit->run->cancel,
    };
    uint8_t hash[IC_SHA256_LEN];
    return config->get_hash(config->arg, commit->index, &io, hash) == 0 &&
           memcmp(hash, commit->content.hash, sizeof(hash)) == 0;
}

static int commit_opened(struct items_commit *commit)
{
    const struct fs_restore_run *run = commit->run;
    int result = items_call_resume(commit);
    if (result < 0)
        return explain(commit, commit->at, result);
    if (!commit->is_complete && !run->force && is_there(commit)) {
        atomic_store(&run->progress->was_same, true);
        snprintf(run->summary, run->summary_size, "already so, nothing %s",
                 run->dry_run ? "would be sent" : "sent");
        return 0;
    }
    uint64_t from = commit->at, n_calls = 0;
    if (commit->run->dry_run) {
        result = count_calls(commit, &n_calls);
    } else {
        result = sync_stage(commit);
        if (result == 0)
            result = send(commit);
    }
    if (result == 0)
        summarise(commit, from, commit->run->dry_run ? n_calls : commit->n_calls);
    return result;
}

static int items_commit(struct fs_restorer *restorer, const struct fs_restore_run *run,
                        struct ic_error *err)
{
    const struct file *file = (const struct file *)restorer;
    struct items_commit commit = {
        .items = file->items, .index = file->index, .run = run, .err = err};
    atomic_store(&run->progress->phase, FS_RESTORE_CHECKING);
    int result = items_content_open(&commit.content, commit.items, run, err);
    if (result < 0)
        ic_error_reword(err, "%s: %.400s", commit.items->config.collection->name, err->message);
    else
        result = commit_opened(&commit);
    items_content_close(&commit.content);
    return result;
}

static void items_close(struct fs_restorer *restorer)
{
    free(restorer);
}

static const struct fs_restorer_ops items_ops = {.commit = items_commit, .close = items_close};

int fs_restore_items_open_file(struct fs_restore_items *items, uint64_t index,
                               struct fs_restorer **out)
{
    struct file *file = calloc(1, sizeof(*file));
    if (!file)
        return -ENOMEM;
    file->base.ops = &items_ops;
    file->items = items;
    file->index = index;
    snprintf(file->base.words, sizeof(file->base.words), "calls of %s: not atomic",
             items->config.collection->restore.method);
    *out = &file->base;
    return 0;
}

int fs_restore_items_new(struct fs_restore_items **out,
                         const struct fs_restore_items_config *config)
{
    struct fs_restore_items *items = calloc(1, sizeof(*items));
    if (!items)
        return -ENOMEM;
    items->config = *config;
    int result = fs_item_limit_init(&items->limit, LIMIT_MAX);
    if (result < 0)
        free(items);
    else
        *out = items;
    return result;
}

void fs_restore_items_free(struct fs_restore_items *items)
{
    if (!items)
        return;
    fs_item_limit_fini(&items->limit);
    free(items);
}
