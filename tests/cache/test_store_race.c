/* Ten threads put, read and drop objects of a store that is too small for them, on a disk that may
 * fail: whatever is found has its right bytes, and neither budget is ever exceeded.
 */
#include "cache/lock.h"
#include "cache/store.h"
#include "tests/cache/disk.h"
#include "tests/tap.h"

#include <stdlib.h>
#include <unistd.h>

TAP_STATE;

#define N_THREADS 10
#define N_SLOTS   64
#define LEN_MAX   ((size_t)40000)

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* What was put, for everybody to find. */
struct slot {
    uint64_t number;
    uint64_t seed;
    size_t len;
};

struct race {
    struct store *store;
    size_t memory;
    uint64_t spool_size;
    int64_t until_ns;
    struct lock lock;
    struct slot slots[N_SLOTS]; /* guarded by lock */
    atomic_uint n_found;
    atomic_uint n_lost;
    atomic_uint n_wrong;
};

struct racer {
    struct race *race;
    uint64_t state;
    pthread_t thread;
    unsigned char *buf;
};

static unsigned char byte_of(uint64_t seed, size_t i)
{
    return (unsigned char)((seed ^ (i * 0x9e3779b97f4a7c15u)) >> 24);
}

static void race_put(struct racer *racer)
{
    struct race *race = racer->race;
    struct slot slot = {.seed = next_random(&racer->state),
                        .len = (size_t)(next_random(&racer->state) % LEN_MAX)};
    if (next_random(&racer->state) % 20 == 0)
        slot.len = 0;
    unsigned char *bytes = malloc(slot.len + 100); /* more than is needed */
    if (!bytes)
        abort();
    for (size_t i = 0; i < slot.len; i++)
        bytes[i] = byte_of(slot.seed, i);
    slot.number = store_put(race->store, bytes, slot.len);
    lock_acquire(&race->lock);
    race->slots[next_random(&racer->state) % N_SLOTS] = slot;
    lock_release(&race->lock);
}

static struct slot pick(struct racer *racer)
{
    struct race *race = racer->race;
    lock_acquire(&race->lock);
    struct slot slot = race->slots[next_random(&racer->state) % N_SLOTS];
    lock_release(&race->lock);
    return slot;
}

static void race_read(struct racer *racer)
{
    struct race *race = racer->race;
    struct slot slot = pick(racer);
    size_t off = (size_t)(next_random(&racer->state) % (slot.len + 1));
    size_t len = (size_t)(next_random(&racer->state) % (slot.len - off + 1));
    size_t first = (size_t)(next_random(&racer->state) % (len + 1));
    struct iovec iov[] = {{racer->buf, first}, {racer->buf + first, len - first}};
    int result = store_read(race->store, slot.number, off, iov, 2);
    bool ok = result == 0 || result == -ENOENT;
    for (size_t i = 0; i < len && result == 0; i++)
        ok = ok && racer->buf[i] == byte_of(slot.seed, off + i);
    if (!ok) {
        printf("# object %" PRIu64 " read %zu + %zu: %d\n", slot.number, off, len, result);
        atomic_fetch_add(&race->n_wrong, 1);
    }
    atomic_fetch_add(result == 0 ? &race->n_found : &race->n_lost, 1);
}

static void *racer_main(void *arg)
{
    struct racer *racer = arg;
    struct race *race = racer->race;
    struct store_stats stats;
    while (clock_now_ns() < race->until_ns) {
        switch (next_random(&racer->state) % 16) {
        case 0:
        case 1:
        case 2:
            race_put(racer);
            break;
        case 3:
            store_drop(race->store, pick(racer).number);
            break;
        case 4:
            (void)store_has(race->store, pick(racer).number);
            break;
        default:
            race_read(racer);
        }
        store_get_stats(race->store, &stats);
        if (stats.memory > race->memory || stats.spooled > race->spool_size)
            atomic_fetch_add(&race->n_wrong, 1);
    }
    return NULL;
}

static void run(uint64_t seed, size_t memory, const char *dir, uint64_t spool_size,
                unsigned fail_one_in, int punch_error)
{
    struct race race = {.memory = memory, .spool_size = dir ? spool_size : 0};
    struct store_config config = {.memory = memory, .dir = dir, .spool_size = spool_size};
    race.until_ns = clock_now_ns() + 1000 * NS_PER_MS;
    lock_init(&race.lock);
    if (store_open(&race.store, &config) < 0)
        abort();
    atomic_store(&disk.fail_one_in, fail_one_in);
    atomic_store(&disk.punch_error, punch_error);
    struct racer racers[N_THREADS];
    for (unsigned i = 0; i < N_THREADS; i++) {
        racers[i] = (struct racer){.race = &race, .state = seed * 31 + i + 1};
        racers[i].buf = malloc(LEN_MAX);
        if (!racers[i].buf || pthread_create(&racers[i].thread, NULL, racer_main, &racers[i]) != 0)
            abort();
    }
    for (unsigned i = 0; i < N_THREADS; i++) {
        pthread_join(racers[i].thread, NULL);
        free(racers[i].buf);
    }
    int64_t late_ms = (clock_now_ns() - race.until_ns) / NS_PER_MS;
    atomic_store(&disk.fail_one_in, 0);

    struct store_stats stats;
    store_get_stats(race.store, &stats);
    printf("# %u found, %u lost; %" PRIu64 " kept, %" PRIu64 " evicted, %" PRIu64
           " lost to the spool; %" PRId64 " ms late\n",
           race.n_found, race.n_lost, stats.n_objects, stats.n_evicted, stats.n_spool_fail,
           late_ms);
    TAP_INT(race.n_wrong, 0, "no wrong byte, no wrong errno, never over a budget");
    TAP_INT((int64_t)stats.n_hits, race.n_found, "hits are counted");
    TAP_INT((int64_t)stats.n_misses, race.n_lost, "and misses");
    TAP_OK(race.n_found > 20 && race.n_lost > 20, "both were seen");
    TAP_OK((stats.n_spool_fail > 0) == (fail_one_in > 0), "and failures, where the disk fails");
    TAP_OK(late_ms < 10000, "nobody hangs");
    if (punch_error == 0 && fail_one_in == 0 && dir)
        TAP_OK(disk_held() <= stats.spooled + 256 * 1024, "the disk holds what is counted");
    uint64_t last = store_put(race.store, NULL, 0);
    for (uint64_t number = 1; number <= last; number++)
        store_drop(race.store, number);
    store_get_stats(race.store, &stats);
    TAP_INT((int64_t)(stats.memory + stats.n_objects), 0, "nothing is left behind in memory");
    if (punch_error == 0 && fail_one_in == 0)
        TAP_INT((int64_t)stats.spooled, 0, "or in the spool");
    store_close(race.store);
    lock_fini(&race.lock);
}

int main(int argc, char **argv)
{
    char dir[] = "/tmp/canisterfs-test-race-XXXXXX";
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)time(NULL) | 1;
    printf("# seed %" PRIu64 " (give it as argument to repeat)\n", seed);
    if (!mkdtemp(dir))
        return 1;
    run(seed, 200000, NULL, 0, 0, 0);
    run(seed + 100, 200000, dir, 600000, 0, 0);
    run(seed + 200, 50000, dir, 80000, 0, 0);
    run(seed + 300, 100000, dir, 400000, 0, EOPNOTSUPP);
    run(seed + 400, 200000, dir, 600000, 50, 0);
    TAP_INT(rmdir(dir), 0, "the directory is as it was");
    return tap_done();
}
