/* Threads that do what will be wanted soon: fetch the next files of a directory while its first
 * ones are being read.
 *
 * Tasks are done in the order in which they were put; each is an owner and a number. Nobody waits
 * for a task: one that is refused, or fails, is done by whoever needs it.
 *
 * Thread safety: every function but open and close may be called from any thread.
 */
#ifndef CANISTERFS_FS_AHEAD_H
#define CANISTERFS_FS_AHEAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct fs_ahead;

/* Do a task. `cancel` becomes true when the threads are to end. */
typedef void (*fs_ahead_fn)(void *owner, uint64_t number, const atomic_bool *cancel);

/* Starts the threads (they block all signals). Returns 0 or -errno. */
int fs_ahead_open(struct fs_ahead **out, unsigned n_threads, fs_ahead_fn run)
    __attribute__((warn_unused_result, nonnull));

/* Drop what waits and tell what runs to end; join the threads. Idempotent; one call at a time. */
void fs_ahead_stop(struct fs_ahead *ahead);

/* fs_ahead_stop and free. NULL is fine. */
void fs_ahead_close(struct fs_ahead *ahead);

/* Have a task done. False: too many wait, or the threads have ended. Never blocks. */
bool fs_ahead_put(struct fs_ahead *ahead, void *owner, uint64_t number);

/* Drop the tasks of an owner that wait. */
void fs_ahead_drop(struct fs_ahead *ahead, const void *owner);

#endif
