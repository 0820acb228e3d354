/* See job.h for the states. Jobs are in one list by number; those that have ended leave it when
 * room is needed for another. What has not ended always fits: one runs, FS_JOBS_QUEUED_MAX wait. */
#include "fs/job.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <utlist.h>

_Static_assert(FS_JOBS_KEPT > FS_JOBS_QUEUED_MAX + 1, "what has not ended is remembered");

struct fs_job {
    struct fs_job *prev, *next; /* guarded by the lock of jobs */

    /* immutable once it is in the list */
    struct fs_jobs *jobs;
    uint64_t id;
    char *command;
    fs_job_fn run;
    void *arg;
    int64_t accepted_ns;

    atomic_bool cancel; /* atomic: it shall end */

    /* guarded by the lock of jobs */
    enum fs_job_state state;
    int64_t started_ns;
    int64_t ended_ns;
    int error;
    bool is_unknown;
    char progress[256];
    char cause[512];
};

struct fs_jobs {
    struct fs_jobs_config config; /* immutable */
    pthread_t worker;             /* immutable after open */

    pthread_mutex_t lock;
    pthread_cond_t work; /* a job waits, or stopped */
    bool stopped;        /* guarded by lock */
    struct fs_job *list; /* guarded by lock: by number */
    size_t n_kept;       /* guarded by lock: in the list */
    uint64_t last_id;    /* guarded by lock */
};

static int64_t clock_ns(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static bool has_ended(const struct fs_job *job)
{
    return job->state == FS_JOB_DONE || job->state == FS_JOB_FAILED;
}

static void free_job(struct fs_job *job)
{
    if (!job)
        return;
    free(job->command);
    free(job);
}

static struct fs_job *find_queued_locked(struct fs_jobs *jobs)
{
    struct fs_job *job;
    DL_SEARCH_SCALAR(jobs->list, job, state, FS_JOB_QUEUED);
    return job;
}

/* result  0 or a negative errno, then with err filled */
static void end_locked(struct fs_job *job, int result, const struct ic_error *err)
{
    job->state = result < 0 ? FS_JOB_FAILED : FS_JOB_DONE;
    job->error = result;
    job->is_unknown = err->code == IC_E_UNKNOWN_OUTCOME;
    snprintf(job->cause, sizeof(job->cause), "%s", err->message);
    job->ended_ns = clock_ns(CLOCK_REALTIME);
}

/* --- the worker --- */

static void log_end(const struct fs_job *job, int result, const struct ic_error *err,
                    const char *progress)
{
    unsigned long long id = job->id;
    if (result < 0)
        fs_log_print(job->jobs->config.log, FS_LOG_ERROR, "job %llu (%.100s): %s: %s", id,
                     job->command, strerror(-result), err->message);
    else
        fs_log_print(job->jobs->config.log, FS_LOG_INFO, "job %llu (%.100s) is done: %s", id,
                     job->command, progress);
}

/* Nobody else touches a running job but for its cancel flag, and none that runs leaves the list. */
static void do_job(struct fs_jobs *jobs, struct fs_job *job)
{
    struct ic_error err = {0};
    int result = job->run(job->arg, job, &err);
    pthread_mutex_lock(&jobs->lock);
    char progress[sizeof(job->progress)];
    memcpy(progress, job->progress, sizeof(progress));
    pthread_mutex_unlock(&jobs->lock);
    log_end(job, result, &err, progress);
    pthread_mutex_lock(&jobs->lock);
    end_locked(job, result, &err);
    pthread_mutex_unlock(&jobs->lock);
}

static struct fs_job *take_next(struct fs_jobs *jobs)
{
    struct fs_job *job = NULL;
    pthread_mutex_lock(&jobs->lock);
    while (!jobs->stopped && !(job = find_queued_locked(jobs)))
        pthread_cond_wait(&jobs->work, &jobs->lock);
    if (jobs->stopped)
        job = NULL;
    if (job) {
        job->state = FS_JOB_RUNNING;
        job->started_ns = clock_ns(CLOCK_REALTIME);
    }
    pthread_mutex_unlock(&jobs->lock);
    return job;
}

static void *work(void *arg)
{
    struct fs_jobs *jobs = arg;
    struct fs_job *job;
    while ((job = take_next(jobs)))
        do_job(jobs, job);
    return NULL;
}

/* --- life --- */

int fs_jobs_open(struct fs_jobs **out, const struct fs_jobs_config *config)
{
    struct fs_jobs *jobs = calloc(1, sizeof(*jobs));
    if (!jobs)
        return -ENOMEM;
    jobs->config = *config;
    pthread_mutex_init(&jobs->lock, NULL);
    pthread_cond_init(&jobs->work, NULL);
    int result = -pthread_create(&jobs->worker, NULL, work, jobs);
    if (result < 0) {
        pthread_cond_destroy(&jobs->work);
        pthread_mutex_destroy(&jobs->lock);
        free(jobs);
        return result;
    }
    *out = jobs;
    return 0;
}

static void cancel_locked(struct fs_jobs *jobs, struct fs_job *job)
{
    atomic_store_explicit(&job->cancel, true, memory_order_release);
    if (jobs->config.wake)
        jobs->config.wake(jobs->config.wake_arg);
}

void fs_jobs_stop(struct fs_jobs *jobs)
{
    pthread_mutex_lock(&jobs->lock);
    jobs->stopped = true;
    struct fs_job *running;
    DL_SEARCH_SCALAR(jobs->list, running, state, FS_JOB_RUNNING);
    if (running)
        cancel_locked(jobs, running);
    pthread_cond_signal(&jobs->work);
    pthread_mutex_unlock(&jobs->lock);
}

void fs_jobs_close(struct fs_jobs *jobs)
{
    if (!jobs)
        return;
    fs_jobs_stop(jobs);
    pthread_join(jobs->worker, NULL);
    while (jobs->list) {
        struct fs_job *job = jobs->list;
        if (job->state == FS_JOB_QUEUED)
            fs_log_print(jobs->config.log, FS_LOG_WARNING,
                         "job %llu (%.100s) was not begun: the mount ended",
                         (unsigned long long)job->id, job->command);
        DL_DELETE(jobs->list, job);
        free_job(job);
    }
    pthread_cond_destroy(&jobs->work);
    pthread_mutex_destroy(&jobs->lock);
    free(jobs);
}

/* --- submit and cancel --- */

/* NULL when a job may be accepted, else why not. */
static const char *find_obstacle_locked(struct fs_jobs *jobs, const char *command)
{
    size_t n_queued = 0;
    if (jobs->stopped)
        return "the mount ends";
    for (const struct fs_job *job = jobs->list; job; job = job->next) {
        if (!has_ended(job) && strcmp(job->command, command) == 0)
            return job->state == FS_JOB_RUNNING ? "it runs already" : "it waits already";
        n_queued += job->state == FS_JOB_QUEUED;
    }
    return n_queued >= FS_JOBS_QUEUED_MAX ? "too many jobs wait" : NULL;
}

static void make_room_locked(struct fs_jobs *jobs)
{
    if (jobs->n_kept < FS_JOBS_KEPT)
        return;
    struct fs_job *job = jobs->list;
    while (job && !has_ended(job))
        job = job->next;
    assert(job);
    DL_DELETE(jobs->list, job);
    jobs->n_kept--;
    free_job(job);
}

static struct fs_job *new_job(struct fs_jobs *jobs, const char *command, fs_job_fn run, void *arg)
{
    struct fs_job *job = calloc(1, sizeof(*job));
    if (!job)
        return NULL;
    job->jobs = jobs;
    job->command = strdup(command);
    job->run = run;
    job->arg = arg;
    job->accepted_ns = clock_ns(CLOCK_REALTIME);
    atomic_init(&job->cancel, false);
    if (job->command)
        return job;
    free(job);
    return NULL;
}

int fs_jobs_submit(struct fs_jobs *jobs, const char *command, fs_job_fn run, void *arg,
                   char *message, size_t message_size)
{
    struct fs_job *job = new_job(jobs, command, run, arg);
    if (!job) {
        snprintf(message, message_size, "out of memory");
        return -ENOMEM;
    }
    pthread_mutex_lock(&jobs->lock);
    const char *obstacle = find_obstacle_locked(jobs, command);
    if (!obstacle) {
        make_room_locked(jobs);
        job->id = ++jobs->last_id;
        DL_APPEND(jobs->list, job);
        jobs->n_kept++;
        pthread_cond_signal(&jobs->work);
    }
    pthread_mutex_unlock(&jobs->lock);
    if (!obstacle)
        return 0;
    free_job(job);
    snprintf(message, message_size, "%s", obstacle);
    return -EBUSY;
}

int fs_jobs_cancel(struct fs_jobs *jobs, uint64_t id)
{
    static const struct ic_error cancelled = {.code = IC_E_CANCELLED,
                                              .message = "cancelled before it began"};
    int result = 0;
    pthread_mutex_lock(&jobs->lock);
    struct fs_job *job;
    DL_SEARCH_SCALAR(jobs->list, job, id, id);
    if (!job || has_ended(job))
        result = -ENOENT;
    else if (job->state == FS_JOB_QUEUED)
        end_locked(job, -EINTR, &cancelled);
    else
        cancel_locked(jobs, job);
    pthread_mutex_unlock(&jobs->lock);
    return result;
}

/* --- what becomes of them --- */

void fs_jobs_for_each(struct fs_jobs *jobs, void (*each)(void *arg, const struct fs_job_info *info),
                      void *arg)
{
    pthread_mutex_lock(&jobs->lock);
    for (const struct fs_job *job = jobs->list; job; job = job->next) {
        const struct fs_job_info info = {
            .id = job->id,
            .command = job->command,
            .state = job->state,
            .accepted_ns = job->accepted_ns,
            .started_ns = job->started_ns,
            .ended_ns = job->ended_ns,
            .progress = job->progress,
            .error = job->error,
            .cause = job->cause,
            .is_unknown = job->is_unknown,
        };
        each(arg, &info);
    }
    pthread_mutex_unlock(&jobs->lock);
}

const char *fs_job_command(const struct fs_job *job)
{
    return job->command;
}

struct ic_io fs_job_io(const struct fs_job *job, uint64_t timeout_ns)
{
    return (struct ic_io){
        .deadline_ns = clock_ns(CLOCK_MONOTONIC) + (int64_t)timeout_ns,
        .cancel = &job->cancel,
    };
}

void fs_job_say(struct fs_job *job, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    pthread_mutex_lock(&job->jobs->lock);
    vsnprintf(job->progress, sizeof(job->progress), format, args);
    pthread_mutex_unlock(&job->jobs->lock);
    va_end(args);
}
