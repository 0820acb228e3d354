/* The threads that run loads nobody waits for in person: prefetch, and the further loads of reads
 * that need several. Loads of reads go first; hints follow in their order, each once it has room.
 *
 * Workers sleep on cache->work. Whoever changes what they look at wakes one; a worker that found
 * something to do and leaves more behind wakes the next.
 */
#include "cache/state.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

/* While hints wait for room, time alone can make some: prefetched blocks that nobody reads age. */
#define RECHECK_NS NS_PER_S
#define IDLE_NS    (3600 * NS_PER_S)

void worker_wake_locked(struct cache *cache)
{
    if (cache->stopping || cache->demand || cache->hints)
        pthread_cond_signal(&cache->work);
}

static void run_demand_locked(struct cache *cache) REQUIRES(cache->lock)
{
    struct load *load = cache->demand;
    struct source_io io = {.deadline_ns = load->deadline_ns, .cancel = &load->cancel};
    int ret = load_run_locked(cache, load, &io, true);
    (void)ret; /* the read that made it finds it at the blocks */
}

static void run_hint_locked(struct cache *cache) REQUIRES(cache->lock)
{
    struct load *load = cache->hints;
    struct source_io io = {
        .deadline_ns = clock_now_ns() + cache->prefetch_timeout_ns,
        .cancel = &load->cancel,
        .is_ahead = true,
    };
    int ret = load_run_locked(cache, load, &io, false);
    (void)ret; /* a read that needs the blocks tries itself */
}

static void *worker_main(void *arg)
{
    struct cache *cache = arg;
    lock_acquire(&cache->lock);
    while (!cache->stopping) {
        if (cache->demand) {
            run_demand_locked(cache);
        } else if (load_can_prefetch_locked(cache)) {
            run_hint_locked(cache);
        } else {
            int64_t sleep_ns = cache->hints ? RECHECK_NS : IDLE_NS;
            cond_wait_until(&cache->work, &cache->lock, clock_now_ns() + sleep_ns);
        }
    }
    lock_release(&cache->lock);
    return NULL;
}

int worker_start_all(struct cache *cache, unsigned n_workers)
{
    cache->workers = calloc(n_workers, sizeof(*cache->workers));
    if (!cache->workers)
        return -ENOMEM;

    /* Signals are for the thread that runs the session. */
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int err = 0;
    while (cache->n_workers < n_workers && err == 0) {
        err = pthread_create(&cache->workers[cache->n_workers], NULL, worker_main, cache);
        if (err == 0)
            cache->n_workers++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -err;
}

void worker_join_all(struct cache *cache)
{
    while (cache->n_workers > 0) {
        int err = pthread_join(cache->workers[--cache->n_workers], NULL);
        assert(err == 0);
        (void)err;
    }
    free(cache->workers);
    cache->workers = NULL;
}
