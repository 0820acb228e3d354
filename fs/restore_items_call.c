/* One call of a restore method, which may do harm when it runs twice: see restore_items_impl.h.
 *
 *   SENT is noted  ->  the call is sent  ->  DONE or FAILED is noted
 *
 * Whoever finds SENT asks the network what became of the call, by its request id. */
#include "fs/judge.h"
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

static int note(struct items_commit *commit, struct items_note *call, enum items_call_state state)
{
    struct ic_error err;
    call->state = state;
    int result = items_note_write(call, &err);
    if (result < 0)
        *commit->err = err;
    return result;
}

/* Nobody knows whether the items are there. */
static int fail_unknown(struct items_commit *commit, const struct items_note *call)
{
    struct ic_error *err = commit->err;
    bool is_cancelled = items_is_cancelled(commit->run);
    ic_error_reword(err, "outcome unknown: items [%llu, %llu) may have been restored; %s: %.250s",
                    (unsigned long long)call->start, (unsigned long long)call->end,
                    is_cancelled ? "a repeat asks for it"
                                 : "a repeat asks again, and with force they are sent again",
                    err->message);
    return is_cancelled ? -EINTR : -EIO;
}

/* A call ran, and this is its reply. */
static int take_reply(struct items_commit *commit, struct items_note *call, struct ic_reply *reply)
{
    struct ic_error *err = commit->err;
    int result = fs_judge_reply(commit->items->config.collection->restore.method, reply->arg,
                                reply->len, err);
    ic_reply_fini(reply);
    if (result < 0) {
        int noted = note(commit, call, ITEMS_CALL_FAILED);
        return noted < 0 ? noted : result;
    }
    commit->at = call->end;
    commit->is_complete = call->end == commit->content.count;
    return note(commit, call, ITEMS_CALL_DONE);
}

/* A call failed. Returns the failure; 0: it may be made anew. */
static int take_failure(struct items_commit *commit, struct items_note *call, int result)
{
    struct ic_error *err = commit->err;
    struct ic_error cause = *err;
    if (err->code == IC_E_UNKNOWN_OUTCOME)
        return fail_unknown(commit, call);
    int noted = note(commit, call, ITEMS_CALL_FAILED);
    if (noted < 0)
        return noted;
    *err = cause;
    return err->code == IC_E_OVERLOADED && !items_is_cancelled(commit->run) ? 0 : result;
}

static int make_once(struct items_commit *commit, struct items_note *call, const struct ic_buf *arg)
{
    const struct fs_target *target = commit->items->config.target;
    struct ic_update update;
    struct ic_reply reply;
    int result = ic_agent_prepare_update(target->agent, &target->canister, &target->canister,
                                         commit->items->config.collection->restore.method,
                                         arg->bytes, arg->len, &update, commit->err);
    if (result < 0)
        return result;
    call->expiry_ns = update.expiry_ns;
    memcpy(call->request_id, update.request_id, sizeof(call->request_id));
    result = note(commit, call, ITEMS_CALL_SENT);
    if (result == 0) {
        struct ic_io io = patience(commit, update.expiry_ns);
        commit->n_calls++;
        atomic_fetch_add(&commit->run->progress->n_calls, 1);
        result = ic_agent_send_update(target->agent, &update, IC_UPDATE_CERTIFIED, &io, &reply,
                                      commit->err);
        result =
            result == 0 ? take_reply(commit, call, &reply) : take_failure(commit, call, result);
    }
    ic_update_fini(&update);
    return result;
}

int items_call_make(struct items_commit *commit, uint64_t end, const struct ic_buf *arg)
{
    struct items_note call = {.stage = commit->run->stage, .start = commit->at, .end = end};
    memcpy(call.hash, commit->content.hash, sizeof(call.hash));
    for (unsigned i = 0;; i++) {
        int result = make_once(commit, &call, arg);
        if (result < 0 || call.state == ITEMS_CALL_DONE)
            return result;
        if (i + 1 == TRIES_MAX)
            return ic_error_errno(commit->err);
        const struct ic_io io =
            fs_target_io_from(ic_wait_now_ns() + (NS_PER_S << i), commit->run->cancel);
        while (ic_wait_check(&io) == 0)
            nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
}

/* The last call was noted as sent. What became of it? */
static int ask(struct items_commit *commit, struct items_note *call)
{
    const struct fs_target *target = commit->items->config.target;
    struct ic_error *err = commit->err;
    struct ic_io io = patience(commit, call->expiry_ns);
    struct ic_reply reply;
    int result = ic_agent_ask_update(target->agent, &target->canister,
                                     commit->items->config.collection->restore.method,
                                     call->request_id, call->expiry_ns, &io, &reply, err);
    commit->at = call->start;
    if (result == 0) {
        result = take_reply(commit, call, &reply);
        return call->state == ITEMS_CALL_FAILED ? 0 : result; /* they are sent again */
    }
    bool is_certain = err->code == IC_E_OVERLOADED || err->reject_code != 0;
    if (!is_certain && err->code != IC_E_UNKNOWN_OUTCOME)
        return result;
    if (!is_certain && (!commit->run->force || items_is_cancelled(commit->run)))
        return fail_unknown(commit, call);
    return note(commit, call, ITEMS_CALL_FAILED);
}

/* What a commit of another stage has left: a call that may still run. And if it was to give the
 * same, and the canister has some of it: these items would be given twice.
 *
 * has_begun  this stage has made calls itself */
static int settle_other(struct items_commit *commit, struct stage *other, bool has_begun)
{
    struct items_note call;
    int result = items_note_read(other, &call, commit->err);
    if (result == 0 && call.state == ITEMS_CALL_SENT)
        result = ask(commit, &call);
    commit->at = 0;
    commit->is_complete = false;
    if (result < 0)
        return result == -ENOENT ? 0 : result;
    uint64_t n = call.state == ITEMS_CALL_DONE ? call.end : call.start;
    bool is_same = memcmp(call.hash, commit->content.hash, sizeof(call.hash)) == 0;
    if (n == 0 || !is_same || has_begun || commit->run->force)
        return 0;
    return ic_fail(commit->err, IC_E_BUSY,
                   "an earlier restore of the same was interrupted after %llu of %llu items: "
                   "control restore resume goes on with it; when it is aborted (control restore "
                   "abort), or with force, all of them are given again",
                   (unsigned long long)n, (unsigned long long)commit->content.count);
}

static int settle_others(struct items_commit *commit, bool has_begun)
{
    const struct fs_restore_run *run = commit->run;
    int result = 0;
    for (size_t i = 0; result == 0 && !run->dry_run && i < run->n_others; i++)
        result = settle_other(commit, run->others[i], has_begun);
    return result;
}

int items_call_resume(struct items_commit *commit)
{
    struct items_note call;
    int result = items_note_read(commit->run->stage, &call, commit->err);
    if (result < 0 && result != -ENOENT)
        return result;
    bool has_begun = result == 0;
    result = settle_others(commit, has_begun);
    if (result < 0 || !has_begun)
        return result;
    if (call.state == ITEMS_CALL_SENT && !commit->run->dry_run)
        result = ask(commit, &call);
    else
        commit->at = call.state == ITEMS_CALL_DONE ? call.end : call.start;
    /* Of another content nothing is restored. */
    if (memcmp(call.hash, commit->content.hash, sizeof(call.hash)) != 0 ||
        commit->at > commit->content.count) {
        commit->at = 0;
        call.state = ITEMS_CALL_FAILED;
    }
    commit->is_complete = call.state == ITEMS_CALL_DONE && commit->at == commit->content.count;
    return result;
}
