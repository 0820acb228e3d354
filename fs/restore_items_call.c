/* One call of a restore method, which may do harm when it runs twice: see restore_items_impl.h.
 *
 *   SENT is noted  ->  the call is sent  ->  DONE or FAILED is noted
 *
 * Whoever finds SENT asks the network what became of the call, by its request id. */
#include "fs/judge.h"
#include "fs/lease.h"
#include "fs/restore_items_impl.h"
#include "ic/wait.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define NS_PER_S INT64_C(1000000000)

/* What is certain of a call is so once it has expired and for 10 s more (ic_agent_ask_update). */
#define SETTLED_NS (30 * NS_PER_S)

/* Times that a call is made anew of which it is certified that it did not run. */
#define TRIES_MAX 5

/* Until a call that expires then is settled. */
static struct ic_io patience(const struct items_commit *commit, uint64_t expiry_ns)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t left = (int64_t)expiry_ns - (now.tv_sec * NS_PER_S + now.tv_nsec);
    if (left < 0 || left > 10 * 60 * NS_PER_S) /* another clock wrote it */
        left = 0;
    return fs_target_io_from(ic_wait_now_ns() + left + SETTLED_NS, commit->run->cancel);
}

/* It is in this state only when that is noted. */
static int note(struct items_note *call, enum items_call_state state, struct ic_error *err)
{
    struct ic_error failure;
    struct items_note next = *call;
    next.state = state;
    int result = items_note_write(&next, &failure);
    if (result < 0)
        *err = failure;
    else
        call->state = state;
    return result;
}

/* Nobody knows whether the items are there. */
static int fail_unknown(const struct items_commit *commit, const struct items_note *call,
                        struct ic_error *err)
{
    bool is_cancelled = items_is_cancelled(commit->run);
    ic_error_reword(err, "outcome unknown: items [%llu, %llu) may have been restored; %s: %.250s",
                    (unsigned long long)call->start, (unsigned long long)call->end,
                    is_cancelled ? "a repeat asks for it"
                                 : "a repeat asks again, and with force they are sent again",
                    err->message);
    return is_cancelled ? -EINTR : -EIO;
}

/* A call ran, and this is its reply. */
static int take_reply(const struct items_commit *commit, struct items_note *call,
                      struct ic_reply *reply, struct ic_error *err)
{
    int result = fs_judge_reply(commit->items->config.collection->restore.method, reply->arg,
                                reply->len, err);
    ic_reply_fini(reply);
    if (result < 0) {
        int noted = note(call, ITEMS_CALL_FAILED, err);
        return noted < 0 ? noted : result;
    }
    return note(call, ITEMS_CALL_DONE, err);
}

/* A call failed. Returns the failure; 0: it may be made anew. */
static int take_failure(const struct items_commit *commit, struct items_note *call, int result,
                        struct ic_error *err)
{
    if (err->code == IC_E_UNKNOWN_OUTCOME)
        return fail_unknown(commit, call, err);
    int noted = note(call, ITEMS_CALL_FAILED, err);
    if (noted < 0)
        return noted;
    return err->code == IC_E_OVERLOADED && !items_is_cancelled(commit->run) ? 0 : result;
}

/* May a call be sent? */
static int check(const struct fs_restore_run *run, struct ic_error *err)
{
    if (items_is_cancelled(run))
        return ic_fail(err, IC_E_CANCELLED, "cancelled before it was sent");
    return run->lease ? fs_lease_check(run->lease, err) : 0;
}

static int make_once(struct items_commit *commit, struct items_note *call, const struct ic_buf *arg,
                     struct ic_error *err)
{
    const struct fs_target *target = commit->items->config.target;
    struct ic_update update;
    struct ic_reply reply;
    int result = check(commit->run, err);
    if (result < 0)
        return result;
    result = ic_agent_prepare_update(target->agent, &target->canister, &target->canister,
                                     commit->items->config.collection->restore.method, arg->bytes,
                                     arg->len, &update, err);
    if (result < 0)
        return result;
    call->expiry_ns = update.expiry_ns;
    memcpy(call->request_id, update.request_id, sizeof(call->request_id));
    result = note(call, ITEMS_CALL_SENT, err);
    if (result == 0) {
        struct ic_io io = patience(commit, update.expiry_ns);
        atomic_fetch_add(&commit->n_calls, 1);
        atomic_fetch_add(&commit->run->progress->n_calls, 1);
        result =
            ic_agent_send_update(target->agent, &update, IC_UPDATE_CERTIFIED, &io, &reply, err);
        result = result == 0 ? take_reply(commit, call, &reply, err)
                             : take_failure(commit, call, result, err);
    }
    ic_update_fini(&update);
    return result;
}

int items_call_make(struct items_commit *commit, uint64_t start, uint64_t end,
                    const struct ic_buf *arg, struct ic_error *err)
{
    struct items_note call = {.stage = commit->run->stage, .start = start, .end = end};
    memcpy(call.hash, commit->content.hash, sizeof(call.hash));
    for (unsigned i = 0;; i++) {
        int result = make_once(commit, &call, arg, err);
        if (result < 0 || call.state == ITEMS_CALL_DONE)
            return result;
        if (i + 1 == TRIES_MAX)
            return ic_error_errno(err);
        const struct ic_io io =
            fs_target_io_from(ic_wait_now_ns() + (NS_PER_S << i), commit->run->cancel);
        while (ic_wait_check(&io) == 0)
            nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
}

/* --- earlier calls --- */

/* A call was noted as sent. What became of it? Afterwards it is DONE or FAILED, if 0. */
static int ask(const struct items_commit *commit, struct items_note *call, struct ic_error *err)
{
    const struct fs_target *target = commit->items->config.target;
    struct ic_io io = patience(commit, call->expiry_ns);
    struct ic_reply reply;
    int result = ic_agent_ask_update(target->agent, &target->canister,
                                     commit->items->config.collection->restore.method,
                                     call->request_id, call->expiry_ns, &io, &reply, err);
    if (result == 0) {
        result = take_reply(commit, call, &reply, err);
        return call->state == ITEMS_CALL_FAILED ? 0 : result; /* they are sent again */
    }
    bool is_certain = err->code == IC_E_OVERLOADED || err->reject_code != 0;
    if (!is_certain && err->code != IC_E_UNKNOWN_OUTCOME)
        return result;
    if (!is_certain && (!commit->run->force || items_is_cancelled(commit->run)))
        return fail_unknown(commit, call, err);
    return note(call, ITEMS_CALL_FAILED, err);
}

/* The notes of a stage, and what became of the calls that are open there. */
static int settle(const struct items_commit *commit, struct stage *stage,
                  struct items_history *history, struct ic_error *err)
{
    const uint8_t *hash = commit->content.hash;
    int result = items_history_read(stage, hash, history, err);
    for (size_t i = 0; result == 0 && !commit->run->dry_run && i < history->n_open; i++) {
        struct items_note *call = &history->open[i];
        bool is_same = memcmp(call->hash, hash, sizeof(call->hash)) == 0;
        result = ask(commit, call, err);
        if (result == 0 && call->state == ITEMS_CALL_DONE && is_same &&
            items_done_add(&history->done, call->start, call->end) < 0)
            result = ic_fail(err, IC_E_NO_MEMORY, "out of memory");
    }
    return result;
}

/* What a commit of another stage has left: calls that may still run. And if it was to give the
 * same, and the canister has some of it: these items would be given twice.
 *
 * has_begun  this stage has made calls itself */
static int settle_other(const struct items_commit *commit, struct stage *other, bool has_begun,
                        struct ic_error *err)
{
    struct items_history history;
    int result = settle(commit, other, &history, err);
    uint64_t n = history.done.count;
    items_history_close(&history);
    if (result < 0 || n == 0 || has_begun || commit->run->force)
        return result;
    return ic_fail(err, IC_E_BUSY,
                   "an earlier restore of the same was interrupted after %llu of %llu items: "
                   "control restore resume goes on with it; when it is aborted (control restore "
                   "abort), or with force, all of them are given again",
                   (unsigned long long)n, (unsigned long long)commit->content.count);
}

/* Is it of this file, cut as it is now? */
static bool is_within(const struct items_done *done, uint64_t count)
{
    return done->n == 0 || done->ranges[done->n - 1].end <= count;
}

int items_call_resume(struct items_commit *commit, struct ic_error *err)
{
    const struct fs_restore_run *run = commit->run;
    struct items_history own;
    int result = items_history_read(run->stage, commit->content.hash, &own, err);
    bool has_begun = own.has_begun;
    items_history_close(&own);
    for (size_t i = 0; result == 0 && !run->dry_run && i < run->n_others; i++)
        result = settle_other(commit, run->others[i], has_begun, err);
    if (result < 0)
        return result;
    result = settle(commit, run->stage, &own, err);
    if (result == 0 && is_within(&own.done, commit->content.count)) {
        commit->done = own.done;
        own.done = (struct items_done){0};
    }
    items_history_close(&own);
    return result;
}
