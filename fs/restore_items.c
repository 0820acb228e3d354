#include "fs/restore_items.h"

#include "fs/restore_items_impl.h"
#include "ic/wait.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* More items than any file has: a limit is learned for pieces of any size. */
#define LIMIT_MAX (UINT64_C(1) << 40)

struct file {
    struct fs_restorer base;
    struct fs_restore_items *items;
    uint64_t index;
};

/* --- words --- */

static const char *plural(uint64_t n)
{
    return n == 1 ? "" : "s";
}

static void summarise(const struct items_commit *commit, uint64_t n_before, uint64_t n_calls)
{
    const struct fs_restore_run *run = commit->run;
    const struct fs_restore_partner *partner = &commit->items->config.collection->restore;
    uint64_t n = commit->content.count - n_before;
    char what[64] = "all of it";
    char before[96] = "";
    if (partner->can_split)
        snprintf(what, sizeof(what), "%llu item%s", (unsigned long long)n, plural(n));
    if (n_before > 0)
        snprintf(before, sizeof(before), ", %llu were restored earlier",
                 (unsigned long long)n_before);
    snprintf(run->summary, run->summary_size, "%s%s in %llu call%s of %s, %zu bytes in all%s",
             run->dry_run ? "would restore " : "", what, (unsigned long long)n_calls,
             plural(n_calls), partner->method, commit->content.file_len, before);
}

/* How many calls there would be, as far as can be told now. */
static int count_calls(const struct items_commit *commit, uint64_t *out, struct ic_error *err)
{
    uint64_t limit = fs_item_limit_get(&commit->items->limit), n;
    struct items_range gap = {0};
    *out = commit->content.count == 0 && !commit->done.has_any;
    while (items_done_find_gap(&commit->done, gap.start, commit->content.count, &gap)) {
        struct ic_buf arg = {0};
        uint64_t len = gap.end - gap.start;
        int result = ic_pieces_write(commit->content.pieces, gap.start, len < limit ? len : limit,
                                     FS_RESTORE_CALL_MAX, &arg, &n, err);
        ic_buf_fini(&arg);
        if (result < 0)
            return result;
        gap.start += n;
        ++*out;
    }
    return 0;
}

/* --- the restorer --- */

/* What is noted of calls is of no use without the bytes that they were made of. */
static int sync_stage(const struct items_commit *commit, struct ic_error *err)
{
    int result = stage_sync(commit->run->stage);
    if (result < 0)
        ic_fail(err, IC_E_CONFIG, "%s: the staging directory cannot be written: %s",
                commit->items->config.collection->name, strerror(-result));
    return result;
}

/* May a file be left out that is there already? Not when it could be the one that replaces all that
 * there is, before the others are added to it. */
static bool can_be_left_out(const struct fs_collection *collection)
{
    return collection->restore.can_split || collection->style == FS_COLLECTION_WHOLE;
}

static bool gives_it(const struct items_commit *commit, bool is_certified)
{
    const struct fs_restore_items_config *config = &commit->items->config;
    const struct source_io io = {
        .deadline_ns = ic_wait_now_ns() + (int64_t)config->target->options->timeout_ns,
        .cancel = commit->run->cancel,
    };
    uint8_t hash[IC_SHA256_LEN];
    return config->get_hash(config->arg, commit->index, is_certified, &io, hash) == 0 &&
           memcmp(hash, commit->content.hash, sizeof(hash)) == 0;
}

/* Does the canister give this file already? When that cannot be told it is sent. One node may lag
 * behind what was done a moment ago, perhaps by the restore before this one: its yes is not enough
 * to leave a file out. A dry run makes no updates. */
static bool is_there(const struct items_commit *commit)
{
    return can_be_left_out(commit->items->config.collection) && gives_it(commit, false) &&
           (commit->run->dry_run || gives_it(commit, true));
}

static int commit_opened(struct items_commit *commit, struct ic_error *err)
{
    const struct fs_restore_run *run = commit->run;
    int result = items_call_resume(commit, err);
    if (result < 0)
        return items_explain(commit, &(struct items_range){0}, result, err);
    if (!items_is_complete(commit) && !run->force && is_there(commit)) {
        atomic_store(&run->progress->was_same, true);
        snprintf(run->summary, run->summary_size, "already so, nothing %s",
                 run->dry_run ? "would be sent" : "sent");
        return 0;
    }
    uint64_t n_before = commit->done.count, n_calls = 0;
    if (run->dry_run) {
        result = count_calls(commit, &n_calls, err);
    } else {
        result = sync_stage(commit, err);
        if (result == 0)
            result = items_send(commit, err);
        n_calls = commit->n_calls;
    }
    if (result == 0)
        summarise(commit, n_before, n_calls);
    return result;
}

static int items_commit(struct fs_restorer *restorer, const struct fs_restore_run *run,
                        struct ic_error *err)
{
    const struct file *file = (const struct file *)restorer;
    struct items_commit commit = {.items = file->items, .index = file->index, .run = run};
    atomic_store(&run->progress->phase, FS_RESTORE_CHECKING);
    int result = items_content_open(&commit.content, commit.items, run, err);
    if (result < 0)
        ic_error_reword(err, "%s: %.400s", commit.items->config.collection->name, err->message);
    else
        result = commit_opened(&commit, err);
    items_done_fini(&commit.done);
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
