/* Update calls, and sending what is planned by many of them. See restore_memory_impl.h. */
#include "fs/restore_memory_impl.h"
#include "ic/wait.h"

#include <errno.h>
#include <stdlib.h>

/* Of one call. The network takes up a call within five minutes or never; under load it waits for
 * its block. Calls that are given up are made anew, so this must not be short. */
#define CALL_TIMEOUT_NS (120 * IC_NS_PER_SEC)

/* So many in the place of one as large as it may be. */
#define SMALL_CALLS 8

/* Below this a failure is not about size. */
#define CHUNK_MIN ((size_t)4096)

/* --- one call --- */

int memory_reply_decode(const char *method, const struct ic_reply *reply, struct memory_reply *out,
                        struct ic_error *err)
{
    /* A canister's reply has few values; restore_status may list many ranges. */
    const struct ic_candid_limits limits = {.max_memory = 64 << 20, .max_values = 4 << 20};
    struct ic_candid *values;
    int result = ic_candid_decode(reply->arg, reply->len, &limits, &values, err);
    if (result == -EPROTO) {
        struct ic_error cause = *err;
        return ic_fail(err, IC_E_WRONG_TYPE, "%s: its reply is not Candid: %.300s", method,
                       cause.message);
    }
    if (result == 0)
        *out = (struct memory_reply){*reply, values};
    return result;
}

void memory_reply_fini(struct memory_reply *reply)
{
    ic_candid_free(reply->values);
    ic_reply_fini(&reply->reply);
    *reply = (struct memory_reply){0};
}

int memory_update(struct memory_commit *commit, const char *method, const struct ic_value *args,
                  size_t n_args, const atomic_bool *stop, struct memory_reply *out,
                  struct ic_error *err)
{
    const struct fs_target *target = commit->owner->target;
    const struct ic_io io = {.deadline_ns = ic_wait_now_ns() + CALL_TIMEOUT_NS, .cancel = stop};
    struct ic_reply reply = {0};
    struct ic_buf arg = {0};
    int result = ic_candid_encode(args, n_args, &arg, err);
    if (result == 0) {
        atomic_fetch_add(&commit->run->progress->n_calls, 1);
        result = ic_agent_update(target->agent, &target->canister, &target->canister, method,
                                 arg.bytes, arg.len, &io, &reply, err);
    }
    ic_buf_fini(&arg);
    if (result < 0)
        return result;
    result = memory_reply_decode(method, &reply, out, err);
    if (result < 0)
        ic_reply_fini(&reply);
    return result;
}

/* --- crews --- */

struct fs_crew fs_crew_of(const struct memory_commit *commit, unsigned n_threads)
{
    return (struct fs_crew){
        .target = commit->owner->target,
        .cancel = commit->run->cancel,
        .lease = commit->run->lease,
        .patience_ns = commit->owner->patience_ns,
        .n_threads = n_threads,
    };
}

struct once {
    int (*work)(void *arg, const atomic_bool *stop, struct ic_error *err);
    void *arg;
    bool is_taken;
};

static enum fs_crew_take once_take(void *arg, struct fs_crew_task *out)
{
    struct once *once = arg;
    bool is_first = !once->is_taken;
    once->is_taken = true;
    *out = (struct fs_crew_task){.n = 1};
    return is_first ? FS_CREW_TASK : FS_CREW_NONE;
}

static int once_work(void *arg, const struct fs_crew_task *task, uint8_t *buffer,
                     const atomic_bool *stop, struct ic_error *err)
{
    (void)task;
    (void)buffer;
    const struct once *once = arg;
    return once->work(once->arg, stop, err);
}

int memory_once(struct memory_commit *commit, int64_t patience_ns,
                int (*work)(void *arg, const atomic_bool *stop, struct ic_error *err), void *arg,
                struct ic_error *err)
{
    struct once once = {.work = work, .arg = arg};
    struct fs_crew crew = fs_crew_of(commit, 1);
    crew.take = once_take;
    crew.work = once_work;
    crew.arg = &once;
    if (patience_ns > 0)
        crew.patience_ns = patience_ns;
    return fs_crew_run(&crew, err);
}

/* --- sending the plan --- */

void memory_sending_init(struct memory_sending *sending, struct memory_commit *commit,
                         const struct memory_sender *sender)
{
    uint64_t max_pages = sender->step > 0 ? sender->step : sender->chunk_max / MEMORY_PAGE;
    *sending = (struct memory_sending){
        .commit = commit, .sender = sender, .max_pages = max_pages > 0 ? max_pages : 1};
    atomic_store(&commit->chunk_limit,
                 sender->chunk_max > 0 ? sender->chunk_max : MEMORY_CHUNK_MAX);
}

enum fs_crew_take memory_sending_take(struct memory_sending *sending, uint64_t n_ready,
                                      struct fs_crew_task *out)
{
    const struct memory_plan *plan = &sending->commit->plan;
    uint64_t step = sending->sender->step;
    bool is_ready = n_ready == plan->n_pages;
    struct memory_run run;
    if (!memory_plan_find(plan, sending->next, sending->max_pages, &run) ||
        (!is_ready && run.first >= n_ready))
        return is_ready ? FS_CREW_NONE : FS_CREW_LATER;
    if (!is_ready && run.first + run.n >= n_ready && run.n < sending->max_pages)
        return FS_CREW_LATER; /* it may turn out to be longer */
    if (step > 0) {           /* whole steps */
        run.first -= run.first % step;
        run.n = plan->n_pages - run.first < step ? plan->n_pages - run.first : step;
    }
    sending->next = run.first + run.n;
    *out = (struct fs_crew_task){run.first, run.n, run.n};
    return FS_CREW_TASK;
}

/* A part was too large: for good, so that not every call finds it out for itself. */
static bool shrink(struct memory_commit *commit, size_t len)
{
    size_t smaller = len / 2 / CHUNK_MIN * CHUNK_MIN;
    size_t present = atomic_load(&commit->chunk_limit);
    while (smaller >= CHUNK_MIN && present > smaller &&
           !atomic_compare_exchange_weak(&commit->chunk_limit, &present, smaller))
        ;
    return smaller >= CHUNK_MIN;
}

static int send_part(struct memory_sending *sending, uint64_t off, uint8_t *buffer, size_t len,
                     const atomic_bool *stop, struct ic_error *err)
{
    struct memory_commit *commit = sending->commit;
    struct fs_restore_progress *progress = commit->run->progress;
    int result = memory_content_read(commit, off, buffer, len, stop, err);
    for (size_t pos = 0, n = 0; result == 0 && pos < len; pos += n) {
        size_t limit = atomic_load(&commit->chunk_limit);
        n = len - pos < limit ? len - pos : limit;
        atomic_fetch_add(&progress->n_sent, n);
        result = sending->sender->send(sending->sender->arg, off + pos, buffer + pos, n, stop, err);
        if (result < 0 && err->code == IC_E_TOO_LARGE && sending->sender->step == 0 &&
            shrink(commit, n)) {
            n = 0;
            result = 0;
        }
    }
    if (result == 0)
        atomic_fetch_add(&progress->n_acked, len);
    return result;
}

/* Small parts are many at once: each has memory for itself alone. */
int memory_sending_work(struct memory_sending *sending, const struct fs_crew_task *task,
                        const atomic_bool *stop, struct ic_error *err)
{
    uint64_t off = task->first * MEMORY_PAGE;
    uint64_t left = sending->commit->size - off;
    size_t len = left < task->n * MEMORY_PAGE ? (size_t)left : (size_t)(task->n * MEMORY_PAGE);
    uint8_t *buffer = malloc(len + 1);
    if (!buffer)
        return ic_fail(err, IC_E_NO_MEMORY, "out of memory");
    int result = send_part(sending, off, buffer, len, stop, err);
    free(buffer);
    return result;
}

static enum fs_crew_take send_take(void *arg, struct fs_crew_task *out)
{
    struct memory_sending *sending = arg;
    return memory_sending_take(sending, sending->commit->plan.n_pages, out);
}

static int send_work(void *arg, const struct fs_crew_task *task, uint8_t *buffer,
                     const atomic_bool *stop, struct ic_error *err)
{
    (void)buffer;
    return memory_sending_work(arg, task, stop, err);
}

struct fs_crew memory_sending_crew(const struct memory_commit *commit, uint64_t n_parts)
{
    unsigned n = commit->owner->n_inflight;
    struct fs_crew crew = fs_crew_of(commit, n > 1 ? n * SMALL_CALLS : 1);
    crew.weight_max = n * (MEMORY_CHUNK_MAX / MEMORY_PAGE);
    if (crew.n_threads > FS_CREW_MAX)
        crew.n_threads = FS_CREW_MAX;
    if (n_parts < crew.n_threads)
        crew.n_threads = (unsigned)n_parts;
    return crew;
}

int memory_send(struct memory_commit *commit, const struct memory_sender *sender,
                struct ic_error *err)
{
    struct memory_sending sending;
    memory_sending_init(&sending, commit, sender);
    struct fs_crew crew =
        memory_sending_crew(commit, memory_plan_count(&commit->plan, sending.max_pages));
    crew.take = send_take;
    crew.work = send_work;
    crew.arg = &sending;
    return commit->plan.n_set > 0 ? fs_crew_run(&crew, err) : 0;
}
