/* What the sources of files say, and how long that is good for. */
#include "fs/tree_impl.h"

#include <errno.h>

/* open(2) sends LOOKUP and OPEN right after one another: what a thread's LOOKUP learned this
 * recently serves one OPEN of that thread, so that a cold open costs one query and does not lose a
 * race against a busy canister. Nobody else's, once and not for long, because an open must see
 * every change that was complete before it. */
#define FRESH_FOR_OPEN_NS 50000000

/* A failure is kept for a moment: the kernel sends the lookups of one name one after the other, and
 * each would wait for its own deadline. */
static int fail(struct fs_tree *tree, struct fs_entry *entry, int result)
{
    pthread_mutex_lock(&tree->lock);
    if (result != -EINTR) {
        entry->failure = result;
        entry->failed_at_ns = fs_tree_clock_ns(CLOCK_MONOTONIC);
    }
    pthread_mutex_unlock(&tree->lock);
    return result;
}

static int kept_failure(struct fs_tree *tree, const struct fs_entry *entry)
{
    pthread_mutex_lock(&tree->lock);
    bool is_kept =
        entry->failed_at_ns > tree->outdated_at_ns &&
        fs_tree_clock_ns(CLOCK_MONOTONIC) - entry->failed_at_ns < FS_TREE_FAILURE_KEPT_NS;
    int result = is_kept ? entry->failure : 0;
    pthread_mutex_unlock(&tree->lock);
    return result;
}

int fs_tree_ask(struct fs_tree *tree, struct fs_entry *entry, pid_t caller,
                const struct source_io *io, struct source_stat *out)
{
    int kept = kept_failure(tree, entry);
    if (kept < 0)
        return kept;
    int64_t asked_at_ns = fs_tree_clock_ns(CLOCK_MONOTONIC);
    struct source_stat stat = {0};
    int result = source_stat(entry->source, io, &stat);
    if (result < 0 && !(result == -ENOENT && entry->optional))
        return fail(tree, entry, result == -ENOENT ? -EIO : result);
    pthread_mutex_lock(&tree->lock);
    entry->failure = 0;
    if (asked_at_ns > entry->asked_at_ns) {
        entry->stat = stat;
        entry->is_absent = result == -ENOENT;
        entry->asked_at_ns = asked_at_ns;
        entry->came_at_ns = fs_tree_clock_ns(CLOCK_MONOTONIC);
        entry->for_open_of = caller;
    }
    *out = entry->stat;
    result = entry->is_absent ? -ENOENT : 0;
    pthread_mutex_unlock(&tree->lock);
    return result;
}

int fs_tree_refresh(struct fs_tree *tree, struct fs_entry *entry, pid_t caller,
                    const struct source_io *io, struct source_stat *out)
{
    pthread_mutex_lock(&tree->lock);
    bool is_fresh = entry->asked_at_ns > tree->outdated_at_ns &&
                    (uint64_t)(fs_tree_clock_ns(CLOCK_MONOTONIC) - entry->came_at_ns) <
                        tree->config.attr_timeout_ns;
    int result = entry->is_absent ? -ENOENT : 0;
    *out = entry->stat;
    pthread_mutex_unlock(&tree->lock);
    return is_fresh ? result : fs_tree_ask(tree, entry, caller, io, out);
}

bool fs_tree_take_for_open(struct fs_tree *tree, struct fs_entry *entry, pid_t caller,
                           struct source_stat *out)
{
    pthread_mutex_lock(&tree->lock);
    /* Live memory gets a serial of its own at every open. */
    bool is_mine = caller != 0 && entry->for_open_of == caller && entry->stat.versioned &&
                   entry->asked_at_ns > tree->outdated_at_ns &&
                   fs_tree_clock_ns(CLOCK_MONOTONIC) - entry->came_at_ns < FRESH_FOR_OPEN_NS;
    if (is_mine) {
        *out = entry->stat;
        entry->for_open_of = 0;
    }
    pthread_mutex_unlock(&tree->lock);
    return is_mine;
}

void fs_tree_outdate(struct fs_tree *tree)
{
    pthread_mutex_lock(&tree->lock);
    tree->outdated_at_ns = fs_tree_clock_ns(CLOCK_MONOTONIC);
    pthread_mutex_unlock(&tree->lock);
}
