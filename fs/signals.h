/* The signals that people and services send, taken by one thread.
 *
 * SIGINT, SIGTERM and SIGHUP ask the program to end, from its first call to the network on; SIGUSR2
 * moves the log level one step on. SIGINT and SIGHUP stay ignored where they were ignored when the
 * program started (nohup, background jobs of a shell without job control).
 *
 * The signals are blocked in every thread, so that only the watching thread gets them and no call
 * is interrupted by accident.
 */
#ifndef CANISTERFS_FS_SIGNALS_H
#define CANISTERFS_FS_SIGNALS_H

#include "fs/log.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

struct fs_signals {
    sigset_t set;       /* immutable after block */
    struct fs_log *log; /* immutable after open; borrowed */
    pthread_t thread;
    atomic_bool over;   /* atomic: close asks the thread to return */
    atomic_bool cancel; /* atomic: the end was asked for */
    atomic_int number;  /* atomic: by this signal; 0 for none */

    pthread_mutex_t lock;
    void (*end)(void *arg); /* guarded by lock */
    void *end_arg;          /* guarded by lock */
};

/* Initialise, and block the signals in the calling thread, and so in every thread and process it
 * makes. Before any other thread exists. */
void fs_signals_block(struct fs_signals *signals);

/* Start the thread. Returns 0 or -errno. */
int fs_signals_open(struct fs_signals *signals, struct fs_log *log)
    __attribute__((warn_unused_result));

/* Stop the thread and join it. The signals stay blocked. */
void fs_signals_close(struct fs_signals *signals);

/* Call `end` once the end is asked for, or at once when it already was, and again every 50 ms until
 * fs_signals_forget: what it has to wake may not be waiting yet. `end` must not block, and runs on
 * the watching thread. */
void fs_signals_on_end(struct fs_signals *signals, void (*end)(void *arg), void *arg);

/* When this returns, `end` is not running and will not run again. */
void fs_signals_forget(struct fs_signals *signals);

/* End the process the way an unhandled signal would, so that whoever waits for it knows. */
_Noreturn void fs_signals_die(int number);

#endif
