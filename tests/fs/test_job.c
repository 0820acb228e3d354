/* Jobs: their states, their bounds, and how they end. */
#include "fs/job.h"
#include "tests/tap.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

TAP_STATE;

struct bench {
    struct fs_log *log;
    struct fs_jobs *jobs;
    atomic_uint n_woken;
    atomic_uint n_begun;
    atomic_bool goes_on; /* jobs that wait may end */
};

static void count_wake(void *arg)
{
    atomic_fetch_add(&((struct bench *)arg)->n_woken, 1);
}

static void begin(struct bench *bench)
{
    memset(bench, 0, sizeof(*bench));
    const struct fs_jobs_config config = {.wake = count_wake, .wake_arg = bench};
    struct fs_jobs_config with_log = config;
    if (fs_log_open(&bench->log, FS_LOG_WARNING) < 0)
        abort();
    with_log.log = bench->log;
    if (fs_jobs_open(&bench->jobs, &with_log) < 0)
        abort();
}

static void end(struct bench *bench)
{
    fs_jobs_close(bench->jobs);
    fs_log_close(bench->log);
}

static void nap(void)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    nanosleep(&pause, NULL);
}

/* --- jobs --- */

static int succeed(void *arg, struct fs_job *job, struct ic_error *err)
{
    (void)err;
    atomic_fetch_add(&((struct bench *)arg)->n_begun, 1);
    fs_job_say(job, "half");
    fs_job_say(job, "all of %d", 7);
    return 0;
}

static int fail(void *arg, struct fs_job *job, struct ic_error *err)
{
    (void)arg, (void)job;
    return ic_fail(err, IC_E_DENIED, "you may not");
}

/* Until it may go on or is cancelled. */
static int linger(void *arg, struct fs_job *job, struct ic_error *err)
{
    struct bench *bench = arg;
    struct ic_io io = fs_job_io(job, 10000000000);
    atomic_fetch_add(&bench->n_begun, 1);
    while (!atomic_load(&bench->goes_on)) {
        if (atomic_load(io.cancel))
            return ic_fail(err, IC_E_UNKNOWN_OUTCOME, "it may have run");
        nap();
    }
    return 0;
}

/* --- looking --- */

struct found {
    uint64_t id; /* of which; 0: the last one */
    struct fs_job_info info;
    char command[64];
    char progress[64];
    char cause[128];
    size_t n;
};

static void find(void *arg, const struct fs_job_info *info)
{
    struct found *found = arg;
    found->n++;
    if (found->id != 0 && found->id != info->id)
        return;
    found->info = *info;
    snprintf(found->command, sizeof(found->command), "%s", info->command);
    snprintf(found->progress, sizeof(found->progress), "%s", info->progress);
    snprintf(found->cause, sizeof(found->cause), "%s", info->cause);
}

static struct found look(struct bench *bench, uint64_t id)
{
    struct found found = {.id = id};
    fs_jobs_for_each(bench->jobs, find, &found);
    return found;
}

/* Until the job has this state; at most some seconds. */
static struct found await(struct bench *bench, uint64_t id, enum fs_job_state state)
{
    struct found found = look(bench, id);
    for (int i = 0; i < 5000 && found.info.state != state; i++) {
        nap();
        found = look(bench, id);
    }
    TAP_INT(found.info.state, state, "the job comes to that state");
    return found;
}

static int submit(struct bench *bench, const char *command, fs_job_fn run, const char *words)
{
    char message[128] = "";
    int result = fs_jobs_submit(bench->jobs, command, run, bench, message, sizeof(message));
    TAP_STR(message, words, words[0] ? words : command);
    return result;
}

static void test_ends(void)
{
    struct bench bench;
    begin(&bench);
    TAP_INT((int64_t)look(&bench, 0).n, 0, "no job at the beginning");
    TAP_INT(submit(&bench, "good", succeed, ""), 0, "accepted");
    struct found found = await(&bench, 1, FS_JOB_DONE);
    TAP_STR(found.command, "good", "the command");
    TAP_STR(found.progress, "all of 7", "what it said last");
    TAP_OK(found.info.accepted_ns > 0 && found.info.started_ns >= found.info.accepted_ns &&
               found.info.ended_ns >= found.info.started_ns && found.info.error == 0,
           "the times are told");
    TAP_INT(submit(&bench, "bad", fail, ""), 0, "another");
    found = await(&bench, 2, FS_JOB_FAILED);
    TAP_INT(found.info.error, -EACCES, "its errno");
    TAP_STR(found.cause, "you may not", "and why");
    TAP_INT(submit(&bench, "good", succeed, ""), 0, "what has ended may be done again");
    await(&bench, 3, FS_JOB_DONE);
    TAP_INT(atomic_load(&bench.n_begun), 2, "done as often as accepted");
    end(&bench);
}

static void test_bounds(void)
{
    struct bench bench;
    begin(&bench);
    TAP_INT(submit(&bench, "first", linger, ""), 0, "one runs");
    struct found found = await(&bench, 1, FS_JOB_RUNNING);
    TAP_OK(found.info.started_ns != 0 && found.info.ended_ns == 0, "it has not ended");
    TAP_INT(submit(&bench, "first", linger, "it runs already"), -EBUSY, "not twice at once");
    char command[32];
    for (unsigned i = 0; i < FS_JOBS_QUEUED_MAX; i++) {
        snprintf(command, sizeof(command), "next %u", i);
        TAP_INT(submit(&bench, command, succeed, ""), 0, "others wait");
    }
    TAP_INT(look(&bench, 2).info.state, FS_JOB_QUEUED, "each for its turn");
    TAP_INT(submit(&bench, "next 0", succeed, "it waits already"), -EBUSY, "not twice");
    TAP_INT(submit(&bench, "one more", succeed, "too many jobs wait"), -EBUSY, "not too many");
    atomic_store(&bench.goes_on, true);
    await(&bench, 1 + FS_JOBS_QUEUED_MAX, FS_JOB_DONE);
    TAP_INT(atomic_load(&bench.n_begun), 1 + FS_JOBS_QUEUED_MAX, "all are done in the end");
    for (unsigned i = 0; i < 2 * FS_JOBS_KEPT; i++) {
        if (fs_jobs_submit(bench.jobs, "again", succeed, &bench, command, sizeof(command)) < 0)
            abort();
        await(&bench, 0, FS_JOB_DONE);
    }
    found = look(&bench, 0);
    TAP_INT((int64_t)found.n, FS_JOBS_KEPT, "the last are remembered, and no more");
    TAP_OK(found.info.id == 1 + FS_JOBS_QUEUED_MAX + 2 * FS_JOBS_KEPT, "with their own numbers");
    TAP_OK(look(&bench, 1).info.command == NULL, "the first is forgotten");
    end(&bench);
}

/* A job that runs stays, however many come and go. */
static void test_running_stays(void)
{
    struct bench bench;
    begin(&bench);
    char message[64];
    TAP_INT(submit(&bench, "long", linger, ""), 0, "one that runs long");
    await(&bench, 1, FS_JOB_RUNNING);
    for (uint64_t id = 2; id < 100; id++) {
        if (fs_jobs_submit(bench.jobs, "short", succeed, &bench, message, sizeof(message)) < 0 ||
            fs_jobs_cancel(bench.jobs, id) < 0)
            abort();
    }
    TAP_INT(look(&bench, 1).info.state, FS_JOB_RUNNING, "is remembered while others are not");
    TAP_INT((int64_t)look(&bench, 0).n, FS_JOBS_KEPT, "in all no more");
    atomic_store(&bench.goes_on, true);
    await(&bench, 1, FS_JOB_DONE);
    TAP_INT(atomic_load(&bench.n_begun), 1, "what was cancelled never began");
    end(&bench);
}

static void test_cancel(void)
{
    struct bench bench;
    begin(&bench);
    TAP_INT(fs_jobs_cancel(bench.jobs, 1), -ENOENT, "there is nothing to cancel");
    TAP_INT(submit(&bench, "a", linger, ""), 0, "one runs");
    await(&bench, 1, FS_JOB_RUNNING);
    TAP_INT(submit(&bench, "b", succeed, ""), 0, "one waits");
    TAP_INT(fs_jobs_cancel(bench.jobs, 2), 0, "that one is cancelled");
    struct found found = look(&bench, 2);
    TAP_OK(found.info.state == FS_JOB_FAILED && found.info.error == -EINTR &&
               !found.info.is_unknown && found.info.started_ns == 0 && found.info.ended_ns != 0,
           "at once");
    TAP_STR(found.cause, "cancelled before it began", "in words");
    TAP_INT(fs_jobs_cancel(bench.jobs, 2), -ENOENT, "once");
    TAP_INT(atomic_load(&bench.n_woken), 0, "nobody is woken for it");
    TAP_INT(fs_jobs_cancel(bench.jobs, 1), 0, "the one that runs is asked to end");
    found = await(&bench, 1, FS_JOB_FAILED);
    TAP_INT(found.info.error, -EIO, "and does");
    TAP_OK(found.info.is_unknown, "without an outcome");
    TAP_STR(found.cause, "it may have run", "with its own words");
    TAP_OK(atomic_load(&bench.n_woken) > 0, "it was woken");
    TAP_INT(fs_jobs_cancel(bench.jobs, 1), -ENOENT, "it has ended");
    TAP_INT(fs_jobs_cancel(bench.jobs, UINT64_MAX), -ENOENT, "a number that never was");
    end(&bench);
}

static void collect(void *arg, int64_t wall_ns, enum fs_log_level level, unsigned n,
                    const char *text)
{
    (void)wall_ns, (void)level, (void)n;
    size_t len = strlen(arg);
    snprintf((char *)arg + len, 1024 - len, "%s|", text);
}

static void test_stop(void)
{
    struct bench bench;
    char said[1024] = "";
    begin(&bench);
    TAP_INT(submit(&bench, "running", linger, ""), 0, "one runs");
    await(&bench, 1, FS_JOB_RUNNING);
    TAP_INT(submit(&bench, "waiting", succeed, ""), 0, "one waits");
    fs_jobs_stop(bench.jobs);
    fs_jobs_stop(bench.jobs);
    TAP_INT(submit(&bench, "late", succeed, "the mount ends"), -EBUSY, "none is taken any more");
    fs_jobs_close(bench.jobs);
    TAP_INT(atomic_load(&bench.n_begun), 1, "none is begun any more");
    fs_log_for_recent(bench.log, collect, said);
    TAP_OK(strstr(said, "job 1 (running): Input/output error: it may have run"),
           "the log has what became of the one that ran");
    TAP_OK(strstr(said, "job 2 (waiting) was not begun: the mount ended"), "and of the other");
    fs_log_close(bench.log);
    fs_jobs_close(NULL);
}

/* --- many at once; ThreadSanitizer is the judge --- */

static void *do_anything(void *arg)
{
    struct bench *bench = arg;
    char message[64];
    for (unsigned i = 0; i < 200; i++) {
        char command[32];
        snprintf(command, sizeof(command), "c%u", i % 5);
        int submitted = fs_jobs_submit(bench->jobs, command, i % 3 ? succeed : fail, bench, message,
                                       sizeof(message));
        int cancelled = fs_jobs_cancel(bench->jobs, i);
        if ((submitted != 0 && submitted != -EBUSY) || (cancelled != 0 && cancelled != -ENOENT) ||
            look(bench, 0).n > FS_JOBS_KEPT)
            return bench;
    }
    return NULL;
}

static void test_many_at_once(void)
{
    struct bench bench;
    begin(&bench);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, do_anything, &bench);
    bool is_right = true;
    for (int i = 0; i < 4; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        is_right = is_right && !failed;
    }
    TAP_OK(is_right, "many at once get the answers they should");
    end(&bench);
}

int main(void)
{
    test_ends();
    test_bounds();
    test_running_stays();
    test_cancel();
    test_stop();
    test_many_at_once();
    return tap_done();
}
