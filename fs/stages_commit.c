/* Commits: from a staged file to the canister, by its restorer. */
#include "fs/lease.h"
#include "fs/stages_impl.h"
#include "ic/wait.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int stages_begin_locked(struct fs_staged *staged, const struct fs_place *place, atomic_bool *cancel)
{
    struct fs_stages *stages = staged->stages;
    char path[FS_PLACE_PATH_MAX];
    const struct fs_staged *active = stages_find_active_locked(stages, place);
    if (stages->is_stopped)
        return -EINTR;
    if (staged->state == FS_STAGED_COMMITTING || (active && active != staged))
        return -EBUSY;
    fs_tree_format_place(place, path);
    int result = active ? 0 : stages_lock_place(stages, path);
    if (result < 0)
        return result;
    staged->has_place = true;
    staged->place = *place;
    snprintf(staged->path, sizeof(staged->path), "%s", path);
    stages_set_state_locked(staged, FS_STAGED_COMMITTING, "");
    staged->started_ns = stages_clock_ns(CLOCK_MONOTONIC);
    staged->cancel = cancel;
    struct fs_restore_progress *progress = &staged->progress;
    progress->phase = FS_RESTORE_WAITING;
    progress->n_to_send = progress->n_sent = progress->n_acked = 0;
    progress->n_calls = progress->n_apply = progress->n_applied = 0;
    progress->was_same = false;
    return 0;
}

/* How long the canister may take until it is paused. */
#define LEASE_NS (120 * IC_NS_PER_SEC)

/* Everything is on disk, and the journal says what for, and what it must be.
 *
 * insists   whatever an earlier commit of it expected
 * expected  fills */
static int prepare(struct fs_staged *staged, bool insists, struct stages_content *expected,
                   struct ic_error *err)
{
    int result = stages_find_expected(staged, insists, expected, err);
    if (result < 0)
        return result;
    char path[FS_PLACE_PATH_MAX];
    pthread_mutex_lock(&staged->stages->lock);
    snprintf(path, sizeof(path), "%s", staged->path);
    pthread_mutex_unlock(&staged->stages->lock);
    result = stage_sync(staged->stage);
    if (result == 0 && strcmp(path, stage_get_purpose(staged->stage)->target) != 0)
        result = stage_note(staged->stage, STAGES_NOTE_PATH, path, strlen(path));
    if (result == 0 && expected->is_set)
        result = stages_note_expected(staged, expected);
    if (result < 0) {
        ic_fail(err, IC_E_CONFIG, "what is staged cannot be kept on disk: %s", strerror(-result));
        return result;
    }
    stages_note_state(staged);
    return 0;
}

static int restore(struct fs_staged *staged, struct fs_restorer *restorer,
                   const struct fs_stages_order *order, bool is_dry_run, char *summary,
                   size_t summary_size, struct ic_error *err)
{
    const struct fs_stages_config *config = &staged->stages->config;
    struct stages_others others;
    struct fs_lease *lease = is_dry_run ? NULL : config->lease;
    const struct ic_io io = {.deadline_ns = ic_wait_now_ns() + LEASE_NS, .cancel = order->cancel};
    int result = lease ? fs_lease_hold(lease, "canisterfs restores", &io, err) : 0;
    if (result < 0)
        return result;
    result = stages_use_others(staged, &others);
    const struct fs_restore_run run = {
        .stage = staged->stage,
        .others = others.stages,
        .n_others = others.n,
        .base = staged->has_base ? staged->base.source : NULL,
        .base_serial = staged->has_base ? staged->base.stat.version : 0,
        .shrink_zero = config->shrink_zero || order->shrink_zero,
        .force = config->force || order->force,
        .dry_run = is_dry_run,
        .lease = lease,
        .cancel = order->cancel,
        .progress = &staged->progress,
        .summary = summary,
        .summary_size = summary_size,
    };
    if (result == 0)
        result = restorer->ops->commit(restorer, &run, err);
    else
        ic_fail(err, IC_E_NO_MEMORY, "out of memory");
    stages_unuse_others(&others);
    if (lease)
        fs_lease_release(lease);
    if (result == 0 && is_dry_run) {
        ic_fail(err, IC_E_CANCELLED, "dry run, nothing was sent: %s", summary);
        result = -ECANCELED;
    }
    return result;
}

/* Nothing replaces all of the canister from now on, of this mount because this is COMMITTING, and
 * of others until leave_change. */
static int enter_change(struct fs_stages *stages, struct ic_error *err)
{
    pthread_mutex_lock(&stages->lock);
    int result = 0;
    if (stages->is_held)
        result = -EBUSY;
    else if (stages->n_restoring == 0)
        result = stages_lock_change(stages, true);
    if (result == 0)
        stages->n_restoring++;
    pthread_mutex_unlock(&stages->lock);
    if (result == -EBUSY)
        return ic_fail(err, IC_E_BUSY,
                       "a command, maybe of another mount, replaces the canister's state just now");
    if (result < 0)
        ic_fail(err, IC_E_CONFIG, "staging_dir: its lock cannot be used: %s", strerror(-result));
    return result;
}

static void leave_change(struct fs_stages *stages)
{
    pthread_mutex_lock(&stages->lock);
    if (--stages->n_restoring == 0)
        stages_unlock_change(stages);
    pthread_mutex_unlock(&stages->lock);
}

static int carry_out(struct fs_staged *staged, const struct fs_stages_order *order,
                     const struct stages_content *expected, char *summary, size_t summary_size,
                     struct ic_error *err)
{
    struct fs_stages *stages = staged->stages;
    const struct fs_restorable *restorable = fs_tree_restorable_of(&staged->place);
    bool is_dry_run = fs_stages_is_dry_run(stages);
    struct fs_restorer *restorer = NULL;
    int result = stages_check_expected(staged, expected, order->cancel, err);
    if (result < 0)
        return result;
    result = restorable->open(restorable->arg, staged->place.index, &restorer);
    if (result < 0) {
        ic_fail(err, IC_E_CONFIG, "cannot be restored: %s", strerror(-result));
        return result;
    }
    result = restore(staged, restorer, order, is_dry_run, summary, summary_size, err);
    fs_restorer_close(restorer);
    if (!is_dry_run && !staged->progress.was_same)
        stages->config.outdate(stages->config.arg, &staged->place); /* also by half of it */
    return result;
}

static int run(struct fs_staged *staged, const struct fs_stages_order *order, char *summary,
               size_t summary_size, struct ic_error *err)
{
    struct stages_content expected;
    int result = prepare(staged, order->insists, &expected, err);
    if (result == 0)
        result = enter_change(staged->stages, err);
    if (result < 0)
        return result;
    result = carry_out(staged, order, &expected, summary, summary_size, err);
    leave_change(staged->stages);
    return result;
}

/* Older ones of the same place: to resume one of them would undo what was restored now. */
static void end_superseded(struct fs_staged *staged)
{
    struct fs_stages *stages = staged->stages;
    for (;;) {
        pthread_mutex_lock(&stages->lock);
        struct fs_staged *other = stages->list;
        while (other && !(other != staged && other->stage && other->has_place &&
                          fs_place_is_same(&other->place, &staged->place) &&
                          !stages_is_active(other->state) && other->state != FS_STAGED_GONE))
            other = other->next;
        if (other) {
            stages_use_locked(other);
            stages_set_state_locked(other, FS_STAGED_GONE, "");
        }
        pthread_mutex_unlock(&stages->lock);
        if (!other)
            return;
        fs_log_print(stages->config.log, FS_LOG_INFO,
                     "stage %llu of %s is dropped: %s was restored since",
                     (unsigned long long)other->id, staged->path, staged->path);
        stages_unuse(other);
    }
}

static void end_well(struct fs_staged *staged, const char *summary)
{
    struct fs_stages *stages = staged->stages;
    stages_forget_expected(staged);
    pthread_mutex_lock(&stages->lock);
    stages_set_state_locked(staged, FS_STAGED_GONE, "");
    staged->cancel = NULL;
    pthread_mutex_unlock(&stages->lock);
    stages_note_state(staged); /* should we not come to remove it */
    fs_log_print(stages->config.log, FS_LOG_INFO, "%s is restored: %s", staged->path, summary);
    if (stage_is_complete(staged->stage))
        end_superseded(staged);
}

static void end_badly(struct fs_staged *staged, int result, const struct ic_error *err)
{
    struct fs_stages *stages = staged->stages;
    bool is_dry_run = result == -ECANCELED;
    pthread_mutex_lock(&stages->lock);
    stages_set_state_locked(staged, is_dry_run ? FS_STAGED_WAITING : FS_STAGED_FAILED,
                            err->message);
    staged->error = result;
    staged->cancel = NULL;
    bool is_doubtful = stages_is_doubtful_locked(staged);
    pthread_mutex_unlock(&stages->lock);
    stages_note_state(staged);
    char advice[STAGES_ADVICE_TEXT];
    stages_format_advice(staged->id, is_doubtful, advice);
    fs_log_print(stages->config.log, is_dry_run ? FS_LOG_INFO : FS_LOG_ERROR,
                 "%s is not restored: %s (%s); what was staged is kept: %s", staged->path,
                 err->message, strerror(-result), advice);
}

int stages_commit(struct fs_staged *staged, const struct fs_stages_order *order, char *summary,
                  size_t summary_size, struct ic_error *err)
{
    summary[0] = '\0';
    int result = run(staged, order, summary, summary_size, err);
    if (result == 0)
        end_well(staged, summary);
    else
        end_badly(staged, result, err);
    return result;
}

/* Whole, and kept for a command. */
static int wait_for_command(struct fs_staged *staged)
{
    struct fs_stages *stages = staged->stages;
    struct ic_error err = {0};
    struct stages_content expected;
    int result = prepare(staged, false, &expected, &err);
    if (result < 0) {
        end_badly(staged, result, &err);
        return result;
    }
    pthread_mutex_lock(&stages->lock);
    stages_set_state_locked(staged, FS_STAGED_WAITING, "");
    staged->cancel = NULL;
    pthread_mutex_unlock(&stages->lock);
    stages_note_state(staged);
    fs_log_print(stages->config.log, FS_LOG_INFO, "%s waits: control restore commit %llu",
                 staged->path, (unsigned long long)staged->id);
    return 0;
}

int stages_complete(struct fs_staged *staged, const atomic_bool *cancel)
{
    char summary[300];
    struct ic_error err = {0};
    const struct fs_stages_order order = {.cancel = cancel};
    if (staged->stages->config.is_manual)
        return wait_for_command(staged);
    return stages_commit(staged, &order, summary, sizeof(summary), &err);
}

/* --- by command --- */

/* May this one be committed by number? */
static int check_order_locked(const struct fs_staged *staged, bool insists, struct ic_error *err)
{
    if (!staged->has_place) {
        ic_fail(err, IC_E_CONFIG, "it is a temporary file, for nothing that can be restored");
        return -EINVAL;
    }
    if (stages_is_doubtful_locked(staged) && !insists) {
        ic_fail(err, IC_E_CONFIG,
                "it may be half a file or another one (%s): restore abort %llu, or restore commit "
                "%llu if it is right all the same",
                staged->words, (unsigned long long)staged->id, (unsigned long long)staged->id);
        return -EINVAL;
    }
    if (staged->n_writers > 0) {
        ic_fail(err, IC_E_BUSY, "it is being written");
        return -EBUSY;
    }
    return 0;
}

static int take_by_id(struct fs_stages *stages, uint64_t id, struct fs_stages_order *order,
                      struct fs_staged **out, struct ic_error *err)
{
    pthread_mutex_lock(&stages->lock);
    struct fs_staged *staged = stages_find_id_locked(stages, id);
    int result = 0;
    if (!staged) {
        ic_fail(err, IC_E_NOT_FOUND, "nothing staged has the number %llu", (unsigned long long)id);
        result = -ENOENT;
    } else {
        result = check_order_locked(staged, order->insists, err);
        /* On nothing, if there is no doubt. */
        order->insists = order->insists && stages_is_doubtful_locked(staged);
        if (result == 0 && (result = stages_begin_locked(staged, &staged->place, NULL)) < 0)
            ic_fail(err, IC_E_BUSY, "%s is being written or restored", staged->path);
    }
    if (result == 0) {
        stages_use_locked(staged);
        *out = staged;
    }
    pthread_mutex_unlock(&stages->lock);
    return result;
}

int fs_stages_commit_id(struct fs_stages *stages, uint64_t id, const struct fs_stages_order *order,
                        char *summary, size_t summary_size, struct ic_error *err)
{
    struct fs_staged *staged = NULL;
    struct fs_stages_order how = *order;
    int result = take_by_id(stages, id, &how, &staged, err);
    if (result < 0)
        return result;
    result = stages_commit(staged, &how, summary, summary_size, err);
    stages_unuse(staged);
    return result;
}

static int tell_canister(struct fs_staged *staged, const atomic_bool *cancel, struct ic_error *err)
{
    const struct fs_restorable *restorable = fs_tree_restorable_of(&staged->place);
    struct fs_restorer *restorer;
    int result = restorable->open(restorable->arg, staged->place.index, &restorer);
    if (result < 0) {
        ic_fail(err, IC_E_CONFIG, "the canister cannot be told: %s", strerror(-result));
        return result;
    }
    if (restorer->ops->abort)
        result = restorer->ops->abort(restorer, staged->stage, cancel, err);
    fs_restorer_close(restorer);
    return result;
}

/* Out of the table, with its last user. */
static int give_up(struct fs_stages *stages, uint64_t id, struct fs_staged **out,
                   bool *ret_was_begun)
{
    pthread_mutex_lock(&stages->lock);
    struct fs_staged *staged = stages_find_id_locked(stages, id);
    int result = 0;
    if (!staged) {
        result = -ENOENT;
    } else if (staged->state == FS_STAGED_COMMITTING || staged->n_writers > 0) {
        result = -EBUSY;
    } else {
        *ret_was_begun =
            staged->has_place && (staged->started_ns != 0 || staged->state == FS_STAGED_FOUND);
        stages_use_locked(staged);
        stages_set_state_locked(staged, FS_STAGED_GONE, "");
        *out = staged;
    }
    pthread_mutex_unlock(&stages->lock);
    return result;
}

int fs_stages_abort_id(struct fs_stages *stages, uint64_t id, const atomic_bool *cancel,
                       struct ic_error *err)
{
    struct fs_staged *staged = NULL;
    bool was_begun = false;
    int result = give_up(stages, id, &staged, &was_begun);
    if (result == -ENOENT)
        return ic_fail(err, IC_E_NOT_FOUND, "nothing staged has the number %llu",
                       (unsigned long long)id);
    if (result < 0)
        return ic_fail(err, IC_E_BUSY, "it is being written or restored");
    stages_note_state(staged);
    if (was_begun && tell_canister(staged, cancel, err) < 0)
        fs_log_print(stages->config.log, FS_LOG_WARNING,
                     "stage %llu of %s is given up, but the canister may hold a part of it: %s",
                     (unsigned long long)id, staged->path, err->message);
    stages_unuse(staged);
    return 0;
}
