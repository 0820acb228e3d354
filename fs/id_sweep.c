#include "fs/id_sweep.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

/* As many queries as the network takes from the start. */
#define WORKERS 16

struct sweep {
    const struct fs_memory *memory;
    const struct fs_target *target;
    uint64_t timeout_ns;
    atomic_uint next; /* the next id to ask for */
    uint64_t sizes[FS_MEMORY_IDS];

    pthread_mutex_t lock;
    int result;          /* guarded by lock: the first failure */
    struct ic_error err; /* guarded by lock: its cause */
};

static void *ask_ids(void *arg)
{
    struct sweep *sweep = arg;
    for (;;) {
        unsigned id = atomic_fetch_add_explicit(&sweep->next, 1, memory_order_relaxed);
        if (id >= FS_MEMORY_IDS)
            return NULL;
        struct fs_memory one = *sweep->memory;
        one.id = (uint8_t)id;
        struct fs_memory_state state = {0};
        struct ic_error err = {0};
        struct ic_io io = fs_target_io(sweep->target, sweep->timeout_ns);
        int result = fs_memory_stat(&one, sweep->target, 0, &io, &state, &err);
        sweep->sizes[id] = state.size;
        if (result == 0)
            continue;
        pthread_mutex_lock(&sweep->lock);
        if (sweep->result == 0) {
            sweep->result = result;
            sweep->err = err;
        }
        pthread_mutex_unlock(&sweep->lock);
        return NULL;
    }
}

static int collect(const struct sweep *sweep, bool keep_empty, struct fs_memory **out, size_t *n)
{
    size_t count = 0;
    for (size_t id = 0; id < FS_MEMORY_IDS; id++)
        count += keep_empty || sweep->sizes[id] > 0;
    *out = NULL;
    *n = count;
    if (count == 0)
        return 0;
    *out = calloc(count, sizeof(**out));
    if (!*out)
        return -ENOMEM;
    size_t i = 0;
    for (size_t id = 0; id < FS_MEMORY_IDS; id++) {
        if (!keep_empty && sweep->sizes[id] == 0)
            continue;
        (*out)[i] = *sweep->memory;
        (*out)[i].id = (uint8_t)id;
        (*out)[i++].was_empty = sweep->sizes[id] == 0;
    }
    return 0;
}

int fs_id_sweep(const struct fs_memory *memory, const struct fs_target *target, uint64_t timeout_ns,
                bool keep_empty, struct fs_memory **out, size_t *n, struct ic_error *err)
{
    struct sweep sweep = {.memory = memory, .target = target, .timeout_ns = timeout_ns};
    pthread_mutex_init(&sweep.lock, NULL);
    pthread_t threads[WORKERS];
    size_t n_threads = 0;
    while (n_threads < WORKERS && pthread_create(&threads[n_threads], NULL, ask_ids, &sweep) == 0)
        n_threads++;
    if (n_threads == 0)
        ask_ids(&sweep);
    for (size_t i = 0; i < n_threads; i++)
        pthread_join(threads[i], NULL);
    pthread_mutex_destroy(&sweep.lock);
    if (sweep.result < 0) {
        *err = sweep.err;
        return sweep.result;
    }
    int result = collect(&sweep, keep_empty, out, n);
    return result < 0 ? ic_fail(err, IC_E_NO_MEMORY, "out of memory") : 0;
}
