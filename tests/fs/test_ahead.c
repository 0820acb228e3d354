/* Tasks done ahead: in order, by several threads, dropped, ended. */
#include "fs/ahead.h"
#include "tests/tap.h"

#include <pthread.h>
#include <time.h>

TAP_STATE;

struct owner {
    pthread_mutex_t lock;
    uint64_t sum;
    unsigned n;
    bool in_order;
    uint64_t last;
    atomic_bool is_held; /* tasks wait while it is */
    atomic_bool was_cancelled;
};

static void pause_ms(long ms)
{
    const struct timespec ts = {.tv_nsec = ms * 1000000};
    nanosleep(&ts, NULL);
}

static void run(void *arg, uint64_t number, const atomic_bool *cancel)
{
    struct owner *owner = arg;
    while (atomic_load(&owner->is_held) && !atomic_load(cancel))
        pause_ms(1);
    if (atomic_load(cancel))
        atomic_store(&owner->was_cancelled, true);
    pthread_mutex_lock(&owner->lock);
    owner->in_order = owner->in_order && number >= owner->last;
    owner->last = number;
    owner->sum += number;
    owner->n++;
    pthread_mutex_unlock(&owner->lock);
}

static unsigned done(struct owner *owner)
{
    pthread_mutex_lock(&owner->lock);
    unsigned n = owner->n;
    pthread_mutex_unlock(&owner->lock);
    return n;
}

/* Until n tasks are done, for ten seconds at most. */
static bool wait_for(struct owner *owner, unsigned n)
{
    for (int i = 0; i < 10000 && done(owner) < n; i++)
        pause_ms(1);
    return done(owner) == n;
}

static struct owner new_owner(bool is_held)
{
    return (struct owner){.lock = PTHREAD_MUTEX_INITIALIZER, .in_order = true, .is_held = is_held};
}

static void test_order(void)
{
    struct owner owner = new_owner(false);
    struct fs_ahead *ahead = NULL;
    TAP_INT(fs_ahead_open(&ahead, 1, run), 0, "open");
    for (uint64_t i = 1; i <= 100; i++)
        TAP_OK(fs_ahead_put(ahead, &owner, i), "put");
    TAP_OK(wait_for(&owner, 100) && owner.sum == 5050 && owner.in_order, "one thread: in order");
    fs_ahead_close(ahead);
}

static void test_bounds(void)
{
    struct owner held = new_owner(true);
    struct owner other = new_owner(false);
    struct fs_ahead *ahead = NULL;
    TAP_INT(fs_ahead_open(&ahead, 2, run), 0, "open");
    unsigned n = 0;
    while (n < 1000 && fs_ahead_put(ahead, &held, n))
        n++;
    TAP_OK(n >= 256 && n <= 258, "refuses when too many wait");
    fs_ahead_drop(ahead, &held);
    TAP_OK(fs_ahead_put(ahead, &other, 1), "what was dropped makes room");
    atomic_store(&held.is_held, false);
    TAP_OK(wait_for(&other, 1), "the other's task is done");
    TAP_OK(done(&held) <= 2, "the dropped ones are not");
    fs_ahead_close(ahead);
}

static void test_stop(void)
{
    struct owner owner = new_owner(true);
    struct fs_ahead *ahead = NULL;
    TAP_INT(fs_ahead_open(&ahead, 4, run), 0, "open");
    for (uint64_t i = 0; i < 50; i++)
        TAP_OK(fs_ahead_put(ahead, &owner, i), "put");
    pause_ms(20);
    fs_ahead_stop(ahead);
    TAP_OK(atomic_load(&owner.was_cancelled), "what runs is told to end");
    TAP_OK(done(&owner) <= 4, "what waits is dropped");
    TAP_OK(!fs_ahead_put(ahead, &owner, 1), "nothing is taken any more");
    fs_ahead_stop(ahead);
    fs_ahead_close(ahead);
    fs_ahead_close(NULL);
}

int main(void)
{
    test_order();
    test_bounds();
    test_stop();
    return tap_done();
}
