/* The thread of a lease: pauses, renews, resumes. See lease_impl.h for the states.
 *
 * How long the lease is in force is reckoned from before each call was sent, on a clock that goes
 * on while this computer sleeps, with what the canister and its subnet's certified time say is
 * left: too short by the time the call took, never too long.
 */
#include "fs/lease_impl.h"
#include "ic/wait.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Of one call that nothing else bounds. */
#define CALL_NS (60 * IC_NS_PER_SEC)
/* Between two calls when one failed, or calls are in flight. */
#define AGAIN_NS (1 * IC_NS_PER_SEC)
/* A computer that wakes up is noticed within this. */
#define NAP_NS (5 * IC_NS_PER_SEC)
/* Of the time that closing takes, what is kept to resume in. */
#define RESUME_NS (4 * IC_NS_PER_SEC)
/* The network takes no call that could begin later than this (IC interface spec, Ingress expiry).
 */
#define BEGINS_WITHIN_NS (330 * IC_NS_PER_SEC)

/* What the thread alone knows. */
struct course {
    struct fs_lease *lease;
    int64_t sent_ns;    /* boot: when the pause was sent */
    int64_t granted_ns; /* how long the canister grants at a time, at least */
    bool is_proven;     /* that valid_until_ns is not too late */
    bool has_renewed;
    bool must_measure; /* what is granted: at first, and again after a renewal, for much may have
                          passed before the first look */
    int64_t renew_at_ns;
    int64_t look_at_ns; /* not before */
};

static int64_t ttl_ns(const struct fs_lease *lease)
{
    return lease->config.ttl_s * IC_NS_PER_SEC;
}

/* --- words --- */

static void say_locked(struct fs_lease *lease, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void say_locked(struct fs_lease *lease, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(lease->words, sizeof(lease->words), format, args);
    va_end(args);
}

static void note_problem_locked(struct fs_lease *lease, const struct ic_error *err)
{
    snprintf(lease->problem, sizeof(lease->problem), "%.299s", err->message);
}

/* --- moves, with the lock held --- */

static void move_locked(struct fs_lease *lease, enum lease_state state)
{
    lease->state = state;
    pthread_cond_broadcast(&lease->changed);
}

static void be_free_locked(struct fs_lease *lease)
{
    lease->is_drained = false;
    lease->expires_ns = 0;
    lease->words[0] = '\0';
    move_locked(lease, LEASE_FREE);
}

/* All who wait are told. */
static void fail_locked(struct fs_lease *lease, const struct ic_error *err)
{
    note_problem_locked(lease, err);
    lease->failure = *err;
    lease->n_failed++;
    lease->n_wanting = 0;
    pthread_cond_broadcast(&lease->changed);
}

static void lose_locked(struct fs_lease *lease, const char *why)
{
    struct ic_error err = {0};
    ic_fail(&err, IC_E_CHANGED, "the maintenance lease was lost: %.400s", why);
    lease->was_commanded = lease->is_commanded;
    lease->is_lost = lease->n_holders > 0 || lease->is_commanded;
    lease->is_commanded = false;
    fail_locked(lease, &err);
    be_free_locked(lease);
    fs_log_print(lease->config.log, FS_LOG_WARNING, "%s: canister %s is not paused any more",
                 err.message, lease->config.target->canister_text);
}

/* --- calls, without the lock --- */

static struct ic_io io_until(const struct fs_lease *lease, int64_t boot_ns)
{
    int64_t left = boot_ns - ic_wait_boot_ns();
    return (struct ic_io){.deadline_ns = ic_wait_now_ns() + (left < CALL_NS ? left : CALL_NS),
                          .cancel = &lease->stopping};
}

/* For what must still be done when stopping: until the time to give up, and a call that stopping
 * finds under way is ended to be made anew.
 *
 * reserve_ns  what must be left of that time */
static struct ic_io last_io_locked(const struct fs_lease *lease, int64_t boot_ns,
                                   int64_t reserve_ns)
{
    struct ic_io io = io_until(lease, boot_ns);
    if (!atomic_load(&lease->stopping))
        return io;
    io.cancel = NULL;
    if (io.deadline_ns > lease->give_up_ns - reserve_ns)
        io.deadline_ns = lease->give_up_ns - reserve_ns;
    return io;
}

static void nap_locked(struct fs_lease *lease, int64_t until_boot_ns)
{
    int64_t left = until_boot_ns - ic_wait_boot_ns();
    left = left < NAP_NS ? left : NAP_NS;
    if (left > 0)
        (void)!ic_wait_cond(&lease->changed, &lease->lock, ic_wait_now_ns() + left, NULL);
}

/* --- pausing --- */

static void hold_locked(struct course *c, uint64_t number)
{
    struct fs_lease *lease = c->lease;
    lease->number = number;
    lease->is_drained = false;
    lease->problem[0] = '\0';
    /* A call that was lost on the way and sent again ran long after it was first sent: then the
     * first renewal, which is due at once, tells how long it is in force. */
    int64_t now = ic_wait_boot_ns();
    c->granted_ns = ttl_ns(lease);
    c->renew_at_ns = c->sent_ns + c->granted_ns / 3;
    c->look_at_ns = 0;
    c->is_proven = now < c->renew_at_ns;
    c->has_renewed = false;
    c->must_measure = true;
    lease->valid_until_ns = (c->is_proven ? c->sent_ns : now) + c->granted_ns;
    lease->linger_until_ns = now + lease->config.linger_ns;
    say_locked(lease, "paused");
    move_locked(lease, LEASE_HELD);
    fs_log_print(lease->config.log, FS_LOG_INFO, "canister %s is paused: %s",
                 lease->config.target->canister_text, lease->reason);
}

static void end_attempt_locked(struct course *c, int result, uint64_t number,
                               const struct ic_error *err)
{
    if (result == 0) {
        hold_locked(c, number);
        return;
    }
    fail_locked(c->lease, err);
    be_free_locked(c->lease);
}

/* The outcome of the call is not known: wait for it, or for the end of any lease that it can have
 * got. */
static void find_out_locked(struct course *c, const struct ic_update *update, struct ic_error *err)
{
    struct fs_lease *lease = c->lease;
    int64_t over_ns = c->sent_ns + BEGINS_WITHIN_NS + ttl_ns(lease);
    uint64_t number = 0;
    int result = -EIO;
    ic_error_reword(err,
                    "the canister may be paused by a lease whose number did not arrive: %.350s",
                    err->message);
    fs_log_print(lease->config.log, FS_LOG_WARNING, "%s", err->message);
    note_problem_locked(lease, err);
    say_locked(lease, "asking whether the canister is paused: no answer came");
    move_locked(lease, LEASE_UNSURE);
    while (err->code == IC_E_UNKNOWN_OUTCOME && ic_wait_boot_ns() < over_ns) {
        bool is_last = atomic_load(&lease->stopping);
        struct ic_io io = last_io_locked(lease, over_ns, RESUME_NS);
        pthread_mutex_unlock(&lease->lock);
        *err = (struct ic_error){0};
        result = lease_call_ask(lease->config.target, update, &io, &number, err);
        pthread_mutex_lock(&lease->lock);
        if (is_last)
            break;
        if (result < 0 && err->code == IC_E_UNKNOWN_OUTCOME && !atomic_load(&lease->stopping))
            nap_locked(lease, ic_wait_boot_ns() + AGAIN_NS);
    }
    bool is_unknown = result < 0 && err->code == IC_E_UNKNOWN_OUTCOME;
    if (is_unknown && atomic_load(&lease->stopping))
        fs_log_print(lease->config.log, FS_LOG_WARNING,
                     "canister %s may stay paused until the lease expires, at most %lld s: %s",
                     lease->config.target->canister_text,
                     (long long)((over_ns - ic_wait_boot_ns()) / IC_NS_PER_SEC), err->message);
    /* It never ran, or is over: who waits may have it asked for anew. */
    if (is_unknown || (result < 0 && err->code == IC_E_OVERLOADED))
        be_free_locked(lease);
    else
        end_attempt_locked(c, result, number, err);
}

static void pause_locked(struct course *c)
{
    struct fs_lease *lease = c->lease;
    char reason[sizeof(lease->reason)];
    struct ic_update update = {0};
    struct ic_error err = {0};
    uint64_t number = 0;
    memcpy(reason, lease->reason, sizeof(reason));
    say_locked(lease, "asking the canister to pause");
    move_locked(lease, LEASE_PAUSING);
    pthread_mutex_unlock(&lease->lock);
    int result =
        lease_call_prepare(lease->config.target, lease->config.ttl_s, reason, &update, &err);
    if (result == 0) {
        c->sent_ns = ic_wait_boot_ns();
        const struct ic_io io = io_until(lease, c->sent_ns + CALL_NS);
        result = lease_call_pause(lease->config.target, &update, &io, &number, &err);
    }
    pthread_mutex_lock(&lease->lock);
    if (result < 0 && err.code == IC_E_UNKNOWN_OUTCOME)
        find_out_locked(c, &update, &err);
    else
        end_attempt_locked(c, result, number, &err);
    ic_update_fini(&update);
}

/* --- while it is held --- */

static void say_in_flight_locked(struct fs_lease *lease, uint64_t n)
{
    char before[sizeof(lease->words)];
    memcpy(before, lease->words, sizeof(before));
    say_locked(lease, "waiting for %llu call%s in flight", (unsigned long long)n,
               n == 1 ? "" : "s");
    if (strcmp(before, lease->words) != 0)
        fs_log_print(lease->config.log, FS_LOG_INFO, "canister %s: %s",
                     lease->config.target->canister_text, lease->words);
}

/* What the canister says of the pause. asked_ns: boot, from before */
static void judge_status_locked(struct course *c, const struct lease_status *status,
                                int64_t asked_ns)
{
    struct fs_lease *lease = c->lease;
    bool is_over = !status->paused || (!status->may_lag && status->left_ns <= 0);
    c->look_at_ns = ic_wait_boot_ns() + AGAIN_NS;
    if (is_over && status->may_lag)
        return;
    if (is_over) {
        lose_locked(lease, "the canister says that it is not paused");
        return;
    }
    int64_t left_ns = status->left_ns < ttl_ns(lease) ? status->left_ns : ttl_ns(lease);
    if (!status->may_lag) {
        c->is_proven = true;
        lease->valid_until_ns = asked_ns + left_ns;
    }
    if (!status->may_lag && c->must_measure) {
        c->granted_ns = left_ns;
        if (c->renew_at_ns > asked_ns + left_ns / 3)
            c->renew_at_ns = asked_ns + left_ns / 3;
    }
    c->must_measure = false;
    lease->expires_ns = status->expires_ns;
    if (!c->is_proven)
        return;
    if (status->in_flight > 0) {
        say_in_flight_locked(lease, status->in_flight);
        return;
    }
    lease->is_drained = true;
    say_locked(lease, "paused, nothing is in flight");
    pthread_cond_broadcast(&lease->changed);
}

static void look_locked(struct course *c)
{
    struct fs_lease *lease = c->lease;
    struct lease_status status;
    struct ic_error err = {0};
    int64_t asked_ns = ic_wait_boot_ns();
    const struct ic_io io = io_until(lease, c->renew_at_ns + c->granted_ns / 3); /* then renew */
    pthread_mutex_unlock(&lease->lock);
    int result = lease_call_status(lease->config.target, &io, &status, &err);
    pthread_mutex_lock(&lease->lock);
    if (result == 0) {
        judge_status_locked(c, &status, asked_ns);
        return;
    }
    c->look_at_ns = ic_wait_boot_ns() + AGAIN_NS;
    note_problem_locked(lease, &err);
}

static void renew_locked(struct course *c)
{
    struct fs_lease *lease = c->lease;
    struct ic_error err = {0};
    bool is_refused;
    int64_t sent_ns = ic_wait_boot_ns();
    const struct ic_io io = io_until(lease, lease->valid_until_ns);
    uint64_t number = lease->number;
    pthread_mutex_unlock(&lease->lock);
    int result = lease_call_renew(lease->config.target, number, &io, &is_refused, &err);
    pthread_mutex_lock(&lease->lock);
    if (result == 0) {
        int64_t moved_ns = sent_ns + c->granted_ns - lease->valid_until_ns;
        lease->valid_until_ns += moved_ns;
        lease->expires_ns += lease->expires_ns > 0 ? moved_ns : 0;
        c->renew_at_ns = sent_ns + c->granted_ns / 3;
        c->is_proven = true;
        c->must_measure = !c->has_renewed;
        c->has_renewed = true;
        lease->problem[0] = '\0';
        return;
    }
    c->renew_at_ns = ic_wait_boot_ns() + AGAIN_NS;
    note_problem_locked(lease, &err);
    if (is_refused)
        lose_locked(lease, err.message);
}

static void keep_locked(struct course *c)
{
    struct fs_lease *lease = c->lease;
    int64_t now = ic_wait_boot_ns();
    bool is_waited_for = lease->n_wanting > 0 || lease->is_commanded;
    bool must_look = c->must_measure || (!lease->is_drained && is_waited_for);
    if (now >= c->renew_at_ns) {
        renew_locked(c);
    } else if (must_look && now >= c->look_at_ns) {
        look_locked(c);
    } else {
        int64_t until = c->renew_at_ns;
        bool is_idle = lease->n_wanting + lease->n_holders == 0 && !lease->is_commanded;
        if (must_look && c->look_at_ns < until)
            until = c->look_at_ns;
        if (is_idle && lease->linger_until_ns < until)
            until = lease->linger_until_ns;
        nap_locked(lease, until);
    }
}

/* --- resuming --- */

static void resume_locked(struct course *c)
{
    struct fs_lease *lease = c->lease;
    struct ic_error err = {0};
    bool is_refused = false;
    bool is_last = atomic_load(&lease->stopping);
    const struct ic_io io = last_io_locked(lease, lease->valid_until_ns, 0);
    uint64_t number = lease->number;
    lease->is_lost = lease->n_holders > 0; /* when stopping */
    say_locked(lease, "asking the canister to resume");
    move_locked(lease, LEASE_RESUMING);
    pthread_mutex_unlock(&lease->lock);
    int result = lease_call_resume(lease->config.target, number, &io, &is_refused, &err);
    pthread_mutex_lock(&lease->lock);
    if (result == 0) {
        fs_log_print(lease->config.log, FS_LOG_INFO, "canister %s is resumed",
                     lease->config.target->canister_text);
        be_free_locked(lease);
        return;
    }
    note_problem_locked(lease, &err);
    bool is_over = is_refused || ic_wait_boot_ns() >= lease->valid_until_ns;
    bool gives_up = is_last && ic_wait_now_ns() >= lease->give_up_ns - AGAIN_NS;
    if (is_over || gives_up) {
        int64_t left = lease->valid_until_ns - ic_wait_boot_ns();
        fs_log_print(lease->config.log, FS_LOG_WARNING,
                     "canister %s could not be resumed: %s; its lease ends by itself in %lld s",
                     lease->config.target->canister_text, err.message,
                     is_refused || left < 0 ? 0LL : (long long)(left / IC_NS_PER_SEC) + 1);
        be_free_locked(lease);
    } else if (is_last || !atomic_load(&lease->stopping)) {
        nap_locked(lease, ic_wait_boot_ns() + AGAIN_NS);
    }
}

/* --- the thread --- */

static bool is_needed_locked(const struct fs_lease *lease)
{
    bool is_needed = lease->n_wanting + lease->n_holders > 0 || lease->is_commanded;
    return !atomic_load(&lease->stopping) &&
           (is_needed || ic_wait_boot_ns() < lease->linger_until_ns);
}

bool lease_is_ready_locked(const struct fs_lease *lease)
{
    return lease->state == LEASE_HELD && lease->is_drained &&
           ic_wait_boot_ns() < lease->valid_until_ns;
}

static void step_locked(struct course *c)
{
    struct fs_lease *lease = c->lease;
    bool has_expired = lease->state == LEASE_HELD && ic_wait_boot_ns() >= lease->valid_until_ns;
    if (lease->state == LEASE_FREE && lease->n_wanting > 0 && !atomic_load(&lease->stopping))
        pause_locked(c);
    else if (lease->state == LEASE_FREE)
        (void)!ic_wait_cond(&lease->changed, &lease->lock, INT64_MAX, NULL);
    else if (has_expired)
        lose_locked(lease, lease->problem[0] ? lease->problem : "it was not renewed in time");
    else if (lease->state == LEASE_RESUMING || !is_needed_locked(lease))
        resume_locked(c);
    else
        keep_locked(c);
}

void *lease_work(void *arg)
{
    struct course c = {.lease = arg};
    pthread_mutex_lock(&c.lease->lock);
    while (!atomic_load(&c.lease->stopping) || c.lease->state != LEASE_FREE)
        step_locked(&c);
    pthread_mutex_unlock(&c.lease->lock);
    return NULL;
}
