#include "fs/ahead.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define TASKS_MAX 256

struct task {
    void *owner;
    uint64_t number;
};

struct fs_ahead {
    pthread_mutex_t lock;
    pthread_cond_t work;          /* a task was put, or stopping */
    struct task tasks[TASKS_MAX]; /* guarded by lock: the first n, the oldest first */
    size_t n;                     /* guarded by lock */
    atomic_bool stopping;         /* atomic: looked at by tasks */
    fs_ahead_fn run;              /* immutable */
    pthread_t *threads;           /* of the thread that opens, stops and closes */
    unsigned n_threads;
};

static void remove_task_locked(struct fs_ahead *ahead, size_t i)
{
    ahead->n--;
    memmove(&ahead->tasks[i], &ahead->tasks[i + 1], (ahead->n - i) * sizeof(ahead->tasks[0]));
}

static void *thread_main(void *arg)
{
    struct fs_ahead *ahead = arg;
    pthread_mutex_lock(&ahead->lock);
    while (!atomic_load(&ahead->stopping)) {
        if (ahead->n == 0) {
            pthread_cond_wait(&ahead->work, &ahead->lock);
            continue;
        }
        struct task task = ahead->tasks[0];
        remove_task_locked(ahead, 0);
        pthread_mutex_unlock(&ahead->lock);
        ahead->run(task.owner, task.number, &ahead->stopping);
        pthread_mutex_lock(&ahead->lock);
    }
    pthread_mutex_unlock(&ahead->lock);
    return NULL;
}

int fs_ahead_open(struct fs_ahead **out, unsigned n_threads, fs_ahead_fn run)
{
    struct fs_ahead *ahead = calloc(1, sizeof(*ahead));
    if (!ahead)
        return -ENOMEM;
    pthread_mutex_init(&ahead->lock, NULL);
    pthread_cond_init(&ahead->work, NULL);
    ahead->run = run;
    ahead->threads = calloc(n_threads, sizeof(*ahead->threads));
    int result = ahead->threads ? 0 : -ENOMEM;
    /* Signals are for the thread that runs the session. */
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (result == 0 && ahead->n_threads < n_threads) {
        result = -pthread_create(&ahead->threads[ahead->n_threads], NULL, thread_main, ahead);
        ahead->n_threads += result == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (result < 0) {
        fs_ahead_close(ahead);
        return result;
    }
    *out = ahead;
    return 0;
}

void fs_ahead_stop(struct fs_ahead *ahead)
{
    if (!ahead)
        return;
    pthread_mutex_lock(&ahead->lock);
    atomic_store(&ahead->stopping, true);
    ahead->n = 0;
    pthread_cond_broadcast(&ahead->work);
    pthread_mutex_unlock(&ahead->lock);
    while (ahead->n_threads > 0)
        pthread_join(ahead->threads[--ahead->n_threads], NULL);
}

void fs_ahead_close(struct fs_ahead *ahead)
{
    if (!ahead)
        return;
    fs_ahead_stop(ahead);
    free(ahead->threads);
    pthread_cond_destroy(&ahead->work);
    pthread_mutex_destroy(&ahead->lock);
    free(ahead);
}

bool fs_ahead_put(struct fs_ahead *ahead, void *owner, uint64_t number)
{
    pthread_mutex_lock(&ahead->lock);
    bool has_room = ahead->n < TASKS_MAX && !atomic_load(&ahead->stopping);
    if (has_room) {
        ahead->tasks[ahead->n++] = (struct task){owner, number};
        pthread_cond_signal(&ahead->work);
    }
    pthread_mutex_unlock(&ahead->lock);
    return has_room;
}

void fs_ahead_drop(struct fs_ahead *ahead, const void *owner)
{
    pthread_mutex_lock(&ahead->lock);
    for (size_t i = ahead->n; i > 0; i--)
        if (ahead->tasks[i - 1].owner == owner)
            remove_task_locked(ahead, i - 1);
    pthread_mutex_unlock(&ahead->lock);
}
