/* Jobs: what a command starts and does not wait for.
 *
 * One worker thread does them, one after the other, in the order in which they were accepted. The
 * last FS_JOBS_KEPT are remembered with what became of them.
 *
 *   state    comes from        leaves to
 *   QUEUED   submit            RUNNING; FAILED when it is cancelled or the mount ends
 *   RUNNING  QUEUED            DONE, FAILED
 *   DONE     RUNNING
 *   FAILED   QUEUED, RUNNING
 *
 * Thread safety: every function may be called from any thread between open and close.
 * Locks: a leaf; never held while a job's function runs.
 */
#ifndef CANISTERFS_FS_JOB_H
#define CANISTERFS_FS_JOB_H

#include "fs/log.h"
#include "ic/error.h"
#include "ic/io.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FS_JOBS_KEPT       32 /* also of those that have not ended */
#define FS_JOBS_QUEUED_MAX 16

struct fs_jobs;
struct fs_job;

enum fs_job_state { FS_JOB_QUEUED, FS_JOB_RUNNING, FS_JOB_DONE, FS_JOB_FAILED };

/* Do the job: returns 0, or -errno with err filled (IC_E_UNKNOWN_OUTCOME: nobody knows whether it
 * was done). Runs on the worker thread, and must return soon
 * after its cancel flag (fs_job_io) is set. */
typedef int (*fs_job_fn)(void *arg, struct fs_job *job, struct ic_error *err);

struct fs_jobs_config {
    struct fs_log *log; /* borrowed */
    /* Wakes whoever waits for the network, so that a cancel flag is seen at once; may be NULL. Must
     * not block. */
    void (*wake)(void *arg);
    void *wake_arg;
};

/* Starts the worker. Returns 0 or -errno. */
int fs_jobs_open(struct fs_jobs **out, const struct fs_jobs_config *config)
    __attribute__((warn_unused_result, nonnull));

/* Take no more jobs, begin no more, cancel the one that runs. Does not wait for it; idempotent. */
void fs_jobs_stop(struct fs_jobs *jobs) __attribute__((nonnull));

/* Stop, and join the worker. Logs what was not begun. NULL is fine. */
void fs_jobs_close(struct fs_jobs *jobs);

/* Accept a job.
 *
 * command  copied: what to call it, and what makes it the same as another
 * run,arg  borrowed until jobs are closed
 * message  fills with one line in words on failure
 *
 * Returns 0; -EBUSY (the same command has not ended yet, too many wait, the mount ends) or
 * -ENOMEM. */
int fs_jobs_submit(struct fs_jobs *jobs, const char *command, fs_job_fn run, void *arg,
                   char *message, size_t message_size) __attribute__((warn_unused_result, nonnull));

/* Cancel a job: one that waits is not begun, one that runs is asked to end. Returns 0, or -ENOENT
 * when no job of that number waits or runs. */
int fs_jobs_cancel(struct fs_jobs *jobs, uint64_t id) __attribute__((warn_unused_result, nonnull));

struct fs_job_info {
    uint64_t id;         /* from 1 */
    const char *command; /* borrowed for the call */
    enum fs_job_state state;
    int64_t accepted_ns; /* wall clock, and so are these; 0: not yet */
    int64_t started_ns;
    int64_t ended_ns;
    const char *progress; /* what it does or has done, "" when it did not say; borrowed */
    int error;            /* FAILED: a negative errno */
    const char *cause;    /* FAILED: why, in words; borrowed */
    bool is_unknown;      /* FAILED: what it asked for may have been done, or may still be */
};

/* Call `each` for every job that is remembered, in the order of their numbers. `each` must not
 * call back. */
void fs_jobs_for_each(struct fs_jobs *jobs, void (*each)(void *arg, const struct fs_job_info *info),
                      void *arg) __attribute__((nonnull(1, 2)));

/* --- for a job's function --- */

/* What it was called when it was submitted; borrowed. */
const char *fs_job_command(const struct fs_job *job) __attribute__((nonnull));

/* The deadline of one call that starts now, and the job's cancel flag. */
struct ic_io fs_job_io(const struct fs_job *job, uint64_t timeout_ns) __attribute__((nonnull));

/* Say what it does now; at the end: what it did. One line of UTF-8. */
void fs_job_say(struct fs_job *job, const char *format, ...)
    __attribute__((format(printf, 2, 3), nonnull));

#endif
