#include "fs/crew.h"

#include "ic/wait.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#define PAUSE_FIRST_NS (500 * IC_NS_PER_MS)
#define PAUSE_MAX_NS   (5 * IC_NS_PER_SEC)

struct watch {
    const struct fs_crew *crew;
    atomic_bool stop; /* everybody ends as soon as he can */

    pthread_mutex_t lock;
    pthread_cond_t changed;  /* a task is done, n_running sank, or stop was set */
    unsigned n_running;      /* guarded by lock */
    uint64_t weight;         /* guarded by lock: of the tasks that are being done */
    bool is_done;            /* guarded by lock: there are no further tasks */
    int64_t good_ns;         /* guarded by lock: when a task succeeded last */
    int result;              /* guarded by lock: the failure that ends it; 0: none */
    struct ic_error err;     /* guarded by lock: its cause */
    struct ic_error trouble; /* guarded by lock: the last failure that may pass */
};

bool fs_crew_may_pass(const struct ic_error *err)
{
    switch ((int)err->code) {
    case IC_E_TIMEOUT:
    case IC_E_UNREACHABLE:
    case IC_E_TLS:
    case IC_E_MALFORMED:
    case IC_E_UNVERIFIED:
    case IC_E_OVERLOADED:
    case IC_E_UNKNOWN_OUTCOME:
        return true;
    case IC_E_HTTP:
        return err->http_status >= 500;
    default:
        return false;
    }
}

static void end_locked(struct watch *watch, int result, const struct ic_error *err)
{
    if (watch->result == 0) {
        watch->result = result;
        watch->err = *err;
    }
    atomic_store(&watch->stop, true);
    pthread_cond_broadcast(&watch->changed);
}

static bool is_too_much_locked(const struct watch *watch, uint64_t weight)
{
    return watch->crew->weight_max > 0 && watch->weight > 0 && weight > 0 &&
           watch->weight + weight > watch->crew->weight_max;
}

/* The next task, as soon as there is one. */
static bool take_locked(struct watch *watch, struct fs_crew_task *out)
{
    while (!watch->is_done && !atomic_load(&watch->stop)) {
        enum fs_crew_take taken = watch->crew->take(watch->crew->arg, out);
        if (taken == FS_CREW_TASK)
            return true;
        if (taken == FS_CREW_NONE)
            watch->is_done = true;
        else
            (void)!ic_wait_cond(&watch->changed, &watch->lock, INT64_MAX, NULL);
    }
    return false;
}

/* The next task, as soon as it may be begun. */
static bool take(struct watch *watch, struct fs_crew_task *out)
{
    pthread_mutex_lock(&watch->lock);
    bool has_one = take_locked(watch, out);
    while (has_one && is_too_much_locked(watch, out->weight)) {
        (void)!ic_wait_cond(&watch->changed, &watch->lock, INT64_MAX, NULL);
        has_one = !atomic_load(&watch->stop);
    }
    if (has_one)
        watch->weight += out->weight;
    pthread_mutex_unlock(&watch->lock);
    return has_one;
}

/* Take note of a failure. Returns whether to try again, after a pause. */
static bool try_again(struct watch *watch, int result, const struct ic_error *err,
                      int64_t *pause_ns)
{
    pthread_mutex_lock(&watch->lock);
    if (!fs_crew_may_pass(err) || atomic_load(&watch->stop))
        end_locked(watch, result, err);
    else
        watch->trouble = *err;
    int64_t until_ns = ic_wait_now_ns() + *pause_ns;
    while (!atomic_load(&watch->stop) && ic_wait_now_ns() < until_ns)
        (void)!ic_wait_cond(&watch->changed, &watch->lock, until_ns, NULL);
    bool goes_on = !atomic_load(&watch->stop);
    pthread_mutex_unlock(&watch->lock);
    *pause_ns = *pause_ns < PAUSE_MAX_NS / 2 ? *pause_ns * 2 : PAUSE_MAX_NS;
    return goes_on;
}

static void do_task(struct watch *watch, const struct fs_crew_task *task, uint8_t *buffer)
{
    const struct fs_crew *crew = watch->crew;
    int64_t pause_ns = PAUSE_FIRST_NS;
    int result;
    do {
        struct ic_error err = {0};
        result = crew->work(crew->arg, task, buffer, &watch->stop, &err);
        if (result < 0 && !try_again(watch, result, &err, &pause_ns))
            return;
    } while (result < 0);
    pthread_mutex_lock(&watch->lock);
    watch->good_ns = ic_wait_now_ns();
    watch->weight -= task->weight;
    pthread_cond_broadcast(&watch->changed);
    pthread_mutex_unlock(&watch->lock);
}

static void *work(void *arg)
{
    struct watch *watch = arg;
    struct fs_crew_task task;
    uint8_t *buffer = malloc(watch->crew->buffer_size + 1);
    struct ic_error err = {0};
    while (buffer && take(watch, &task))
        do_task(watch, &task, buffer);
    pthread_mutex_lock(&watch->lock);
    if (!buffer)
        end_locked(watch, ic_fail(&err, IC_E_NO_MEMORY, "out of memory"), &err);
    watch->n_running--;
    pthread_cond_broadcast(&watch->changed);
    pthread_mutex_unlock(&watch->lock);
    free(buffer);
    return NULL;
}

/* Is there a reason to end that no worker sees? */
static void look_locked(struct watch *watch)
{
    const struct fs_crew *crew = watch->crew;
    struct ic_error err = {0};
    int result = 0;
    if (crew->cancel && atomic_load(crew->cancel))
        result = ic_fail(&err, IC_E_CANCELLED, "cancelled");
    if (result == 0 && crew->lease)
        result = fs_lease_check(crew->lease, &err);
    if (result == 0 && ic_wait_now_ns() - watch->good_ns > crew->patience_ns) {
        result = ic_fail(&err, IC_E_TIMEOUT, "no progress for %lld s",
                         (long long)(crew->patience_ns / IC_NS_PER_SEC));
        if (watch->trouble.code != IC_OK) {
            const struct ic_error trouble = watch->trouble;
            err = trouble;
            ic_error_reword(&err, "no progress for %lld s: %.400s",
                            (long long)(crew->patience_ns / IC_NS_PER_SEC), trouble.message);
            result = ic_error_errno(&err);
        }
    }
    if (result < 0)
        end_locked(watch, result, &err);
}

static void watch_over(struct watch *watch)
{
    pthread_mutex_lock(&watch->lock);
    while (watch->n_running > 0) {
        if (!atomic_load(&watch->stop)) {
            look_locked(watch);
            if (atomic_load(&watch->stop)) {
                pthread_mutex_unlock(&watch->lock);
                ic_agent_wake(watch->crew->target->agent);
                pthread_mutex_lock(&watch->lock);
                continue;
            }
        }
        (void)!ic_wait_cond(&watch->changed, &watch->lock,
                            ic_wait_now_ns() + IC_WAIT_SLICE_MS * IC_NS_PER_MS, NULL);
    }
    pthread_mutex_unlock(&watch->lock);
}

int fs_crew_run(const struct fs_crew *crew, struct ic_error *err)
{
    struct watch watch = {.crew = crew, .good_ns = ic_wait_now_ns()};
    pthread_t threads[FS_CREW_MAX];
    unsigned n = 0;
    if (ic_wait_cond_init(&watch.changed) < 0)
        return ic_fail(err, IC_E_NO_MEMORY, "out of memory");
    pthread_mutex_init(&watch.lock, NULL);
    pthread_mutex_lock(&watch.lock);
    while (n < crew->n_threads && n < FS_CREW_MAX &&
           pthread_create(&threads[n], NULL, work, &watch) == 0)
        n++;
    watch.n_running = n;
    pthread_mutex_unlock(&watch.lock);
    watch_over(&watch);
    for (unsigned i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    if (n == 0)
        watch.result = ic_fail(&watch.err, IC_E_NO_MEMORY, "no thread can be started");
    pthread_cond_destroy(&watch.changed);
    pthread_mutex_destroy(&watch.lock);
    if (watch.result < 0)
        *err = watch.err;
    return watch.result;
}
