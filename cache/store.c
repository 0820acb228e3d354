/* Whole objects in memory and in a spool file: see store.h.
 *
 * A record stands for an object in one place and never changes it: an object that moves to the
 * spool gets a new record under its number, and the old one leaves. Records leave the table at
 * once, but what they hold (bytes, an extent) stays until the last pin is taken away: readers copy
 * without the lock. What is held by records that left counts like any other.
 *
 * Only a put needs room. One put at a time makes it (is_making_room), and so is the only one that
 * writes to the spool, adds to it or clears it; it pins the object that it moves, which can be read
 * and dropped meanwhile. It waits for readers, who wait for nobody.
 *
 * Each of the two places has its own order of use: an object that comes to the spool is its newest.
 *
 * Invariants, whenever the lock is free: memory <= budget; spooled <= spool_size; memory = bytes of
 * all records there, gone or not, + OBJECT_COST * objects in the table; spooled = extents of all
 * records there, gone or not, + lost + the extent that is being written.
 */
#include "cache/store.h"

#include "cache/lock.h"
#include "cache/spool.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Running out of memory while adding to the table loses an object, not the program. Numbers in a
 * row must not fall into the same buckets; nobody can choose them. */
#define HASH_NONFATAL_OOM            1
#define HASH_FUNCTION(key, len, out) ((out) = object_hash(key))
#include <uthash.h>
#include <utlist.h>

#define MEMORY_DEFAULT ((size_t)64 << 20)
#define SPOOL_DEFAULT  ((uint64_t)1 << 30)

/* What an object takes besides its bytes: its record, the allocator's words, its share of the
 * table's buckets. */
#define OBJECT_COST ((size_t)144)

/* How long nothing is written to a spool that failed: a full disk is not filled to the brim over
 * and over, a broken one not waited for at every put. */
#define SPOOL_PAUSE_NS (10 * NS_PER_S)

struct object {
    UT_hash_handle hh;
    uint64_t number;      /* immutable */
    size_t len;           /* immutable */
    unsigned char *bytes; /* immutable; owned; in memory, unless len is 0 */
    uint64_t off;         /* immutable; in the spool */
    bool is_spooled;      /* immutable */
    bool is_gone;         /* guarded by the store's lock: not in the table any more */
    unsigned pins;        /* guarded: those who use bytes or off without the lock */
    struct object *prev;  /* guarded: in_memory or in_spool */
    struct object *next;
};
static_assert(sizeof(struct object) + 32 <= OBJECT_COST, "a record is larger than it counts");

struct store {
    struct lock lock;
    size_t budget;       /* immutable: bytes, >= OBJECT_COST */
    uint64_t spool_size; /* immutable */
    void (*warn)(void *arg, const char *line);
    void *warn_arg;
    struct spool spool; /* fd: immutable; end: of the put that makes room */

    /* Guarded by lock, all of the following. */
    pthread_cond_t changed;   /* a record was let go, or a put has the room it wanted */
    bool is_making_room;      /* a put does */
    bool is_warned;           /* of a failing spool */
    int64_t retry_ns;         /* not to write to the spool before; of CLOCK_MONOTONIC */
    struct object *table;     /* uthash, owned: the objects that are kept */
    struct object *in_memory; /* of the table, the longest unused first */
    struct object *in_spool;  /* likewise */
    size_t memory;            /* bytes */
    uint64_t spooled;         /* bytes of extents */
    uint64_t lost;            /* of spooled: dropped, but not given back by the disk */
    uint64_t last_number;
    struct store_stats stats; /* the counting fields */
};

static inline unsigned object_hash(const uint64_t *number)
{
    return (unsigned)((*number * 0x9e3779b97f4a7c15u) >> 32);
}

/* ---- open, close ---- */

int store_open(struct store **out, const struct store_config *config)
{
    struct store *store = calloc(1, sizeof(*store));
    if (!store)
        return -ENOMEM;
    store->spool.fd = -1;
    int result = config->dir ? spool_open(&store->spool, config->dir) : 0;
    if (result < 0) {
        free(store);
        return result;
    }
    store->budget = config->memory ? config->memory : MEMORY_DEFAULT;
    if (store->budget < OBJECT_COST)
        store->budget = OBJECT_COST;
    store->spool_size = config->spool_size ? config->spool_size : SPOOL_DEFAULT;
    store->warn = config->warn;
    store->warn_arg = config->warn_arg;
    lock_init(&store->lock);
    cond_init(&store->changed);
    *out = store;
    return 0;
}

void store_close(struct store *store)
{
    struct object *object = NULL;
    struct object *next = NULL;
    if (!store)
        return;
    assert(!store->is_making_room);
    HASH_ITER(hh, store->table, object, next)
    {
        assert(object->pins == 0);
        HASH_DELETE(hh, store->table, object);
        free(object->bytes);
        free(object);
    }
    spool_close(&store->spool);
    pthread_cond_destroy(&store->changed);
    lock_fini(&store->lock);
    free(store);
}

size_t store_object_max(const struct store *store)
{
    return store->budget - OBJECT_COST;
}

/* ---- the table ---- */

static struct object *find_locked(struct store *store, uint64_t number) REQUIRES(store->lock)
{
    struct object *object;
    HASH_FIND(hh, store->table, &number, sizeof(number), object);
    return object;
}

static struct object **list_of(struct store *store, const struct object *object)
{
    return object->is_spooled ? &store->in_spool : &store->in_memory;
}

/* Returns false when out of memory. What the record holds is the caller's to count. */
static bool add_locked(struct store *store, struct object *object) REQUIRES(store->lock)
{
    HASH_ADD(hh, store->table, number, sizeof(object->number), object);
    if (!object->hh.tbl) /* uthash's way to say that it had no memory */
        return false;
    store->memory += OBJECT_COST;
    struct object **list = list_of(store, object);
    DL_APPEND(*list, object);
    return true;
}

static void touch_locked(struct store *store, struct object *object) REQUIRES(store->lock)
{
    struct object **list = list_of(store, object);
    if (!object->next)
        return; /* the newest already */
    DL_DELETE(*list, object);
    DL_APPEND(*list, object);
}

/* Let go of what a record that is gone holds, and of itself. Releases the lock meanwhile. */
static void dispose_locked(struct store *store, struct object *object) REQUIRES(store->lock)
{
    bool is_given_back = true;
    assert(object->is_gone && object->pins == 0);
    lock_release(&store->lock);
    if (object->is_spooled)
        is_given_back = spool_release(&store->spool, object->off, object->len);
    free(object->bytes);
    lock_acquire(&store->lock);
    if (!object->is_spooled)
        store->memory -= object->len;
    else if (is_given_back)
        store->spooled -= spool_extent(object->len);
    else
        store->lost += spool_extent(object->len);
    free(object);
    pthread_cond_broadcast(&store->changed);
}

static void unpin_locked(struct store *store, struct object *object) REQUIRES(store->lock)
{
    assert(object->pins > 0);
    if (--object->pins == 0 && object->is_gone)
        dispose_locked(store, object);
}

/* Take a record out of the table. May release the lock meanwhile, if nobody has pinned it. */
static void discard_locked(struct store *store, struct object *object) REQUIRES(store->lock)
{
    assert(!object->is_gone);
    HASH_DELETE(hh, store->table, object);
    struct object **list = list_of(store, object);
    assert(object->next || object->prev == object || object != *list); /* as utlist's lists are */
    DL_DELETE(*list, object);
    store->memory -= OBJECT_COST;
    object->is_gone = true;
    if (object->pins == 0)
        dispose_locked(store, object);
}

static void evict_locked(struct store *store, struct object *object) REQUIRES(store->lock)
{
    store->stats.n_evicted++;
    discard_locked(store, object);
}

static void wait_locked(struct store *store) REQUIRES(store->lock)
{
    cond_wait_until(&store->changed, &store->lock, clock_now_ns() + NS_PER_S);
}

/* ---- room in the spool; all by the put that makes room ---- */

/* An object is lost to a failing spool. Releases the lock to tell. */
static void count_failure_locked(struct store *store, int error) REQUIRES(store->lock)
{
    char line[160];
    store->stats.n_spool_fail++;
    if (store->is_warned || !store->warn)
        return;
    store->is_warned = true;
    lock_release(&store->lock);
    snprintf(line, sizeof(line),
             "spool file: %s; what memory has no room for is fetched again when it is wanted",
             strerror(-error));
    store->warn(store->warn_arg, line);
    lock_acquire(&store->lock);
}

/* Drop whatever is in the spool and begin it anew. */
static int clear_spool_locked(struct store *store) REQUIRES(store->lock)
{
    while (store->in_spool)
        evict_locked(store, store->in_spool);
    while (store->spooled > store->lost)
        wait_locked(store); /* somebody still reads */
    lock_release(&store->lock);
    int result = spool_clear(&store->spool);
    lock_acquire(&store->lock);
    if (result == 0)
        store->spooled = store->lost = 0;
    return result;
}

static int make_spool_room_locked(struct store *store, uint64_t need) REQUIRES(store->lock)
{
    while (store->spooled + need > store->spool_size) {
        if (!store->in_spool)
            return clear_spool_locked(store); /* of what the disk did not give back */
        evict_locked(store, store->in_spool);
    }
    return 0;
}

/* Write the bytes of a pinned object. */
static int write_out_locked(struct store *store, const struct object *object, uint64_t *ret_off)
    REQUIRES(store->lock)
{
    uint64_t need = spool_extent(object->len);
    for (;;) {
        int result = make_spool_room_locked(store, need);
        if (result < 0)
            return result;
        store->spooled += need;
        lock_release(&store->lock);
        result = spool_write(&store->spool, object->bytes, object->len, ret_off);
        lock_acquire(&store->lock);
        if (result == 0)
            return 0;
        store->spooled -= need;
        /* Offsets only grow, so at some time they are beyond what the file system takes. */
        if (result != -EFBIG || store->spool.end == 0)
            return result;
        result = clear_spool_locked(store);
        if (result < 0)
            return result;
    }
}

/* Move an object from memory to the spool, or drop it. It may be dropped by others meanwhile. */
static void move_out_locked(struct store *store, struct object *object) REQUIRES(store->lock)
{
    if (store->spool.fd < 0 || spool_extent(object->len) > store->spool_size) {
        evict_locked(store, object);
        return;
    }
    if (clock_now_ns() < store->retry_ns) {
        store->stats.n_spool_fail++;
        discard_locked(store, object);
        return;
    }
    struct object *moved = calloc(1, sizeof(*moved));
    if (!moved) {
        evict_locked(store, object);
        return;
    }
    moved->number = object->number;
    moved->len = object->len;
    moved->is_spooled = true;

    object->pins++;
    int result = write_out_locked(store, object, &moved->off);
    if (result < 0) {
        store->retry_ns = clock_now_ns() + SPOOL_PAUSE_NS;
        count_failure_locked(store, result);
        free(moved);
    } else if (object->is_gone) {
        moved->is_gone = true;
        dispose_locked(store, moved);
    } else {
        discard_locked(store, object); /* pinned, so the lock is kept: a reader misses neither */
        if (!add_locked(store, moved)) {
            store->stats.n_evicted++;
            moved->is_gone = true;
            dispose_locked(store, moved);
        }
    }
    if (!object->is_gone)
        discard_locked(store, object);
    unpin_locked(store, object);
}

/* ---- put, read, drop ---- */

/* Evict until an object of len bytes fits. */
static void make_room_locked(struct store *store, size_t len) REQUIRES(store->lock)
{
    while (store->memory > store->budget - OBJECT_COST - len) {
        if (store->in_memory)
            move_out_locked(store, store->in_memory);
        else if (store->in_spool)
            evict_locked(store, store->in_spool); /* records take memory, too */
        else
            wait_locked(store);
    }
}

/* A record for an object that may be kept, which takes its bytes; or NULL. */
static struct object *new_object(const struct store *store, void *bytes, size_t len)
{
    if (len > store_object_max(store))
        return NULL;
    struct object *object = calloc(1, sizeof(*object));
    if (!object)
        return NULL;
    object->len = len;
    object->bytes = bytes;
    if (len == 0) {
        free(bytes);
        object->bytes = NULL;
    } else if ((bytes = realloc(bytes, len))) {
        object->bytes = bytes; /* without what it had been given too much */
    }
    return object;
}

uint64_t store_put(struct store *store, void *bytes, size_t len)
{
    struct object *object = new_object(store, bytes, len);
    bool is_kept = false;
    lock_acquire(&store->lock);
    if (object) {
        while (store->is_making_room)
            wait_locked(store);
        store->is_making_room = true;
        make_room_locked(store, len);
        store->is_making_room = false;
        pthread_cond_broadcast(&store->changed);
    }
    uint64_t number = ++store->last_number;
    if (object) {
        object->number = number;
        is_kept = add_locked(store, object);
        if (is_kept)
            store->memory += len;
    }
    if (!is_kept)
        store->stats.n_evicted++;
    lock_release(&store->lock);
    if (!is_kept) {
        free(object ? object->bytes : bytes);
        free(object);
    }
    return number;
}

static size_t length_of(const struct iovec *iov, int n_iov)
{
    size_t len = 0;
    for (int i = 0; i < n_iov; i++)
        len += iov[i].iov_len;
    return len;
}

static void copy(const unsigned char *from, const struct iovec *iov, int n_iov)
{
    for (int i = 0; i < n_iov; i++) {
        if (iov[i].iov_len > 0)
            memcpy(iov[i].iov_base, from, iov[i].iov_len);
        from += iov[i].iov_len;
    }
}

int store_read(struct store *store, uint64_t number, uint64_t off, const struct iovec *iov,
               int n_iov)
{
    int result = 0;
    lock_acquire(&store->lock);
    struct object *object = find_locked(store, number);
    if (!object) {
        store->stats.n_misses++;
        lock_release(&store->lock);
        return -ENOENT;
    }
    size_t len = length_of(iov, n_iov);
    assert(off <= object->len && len <= object->len - off);
    (void)len;
    touch_locked(store, object);
    object->pins++;
    lock_release(&store->lock);

    if (object->is_spooled)
        result = spool_read(&store->spool, object->off + off, iov, n_iov);
    else if (object->bytes)
        copy(object->bytes + off, iov, n_iov);

    lock_acquire(&store->lock);
    if (result == 0) {
        store->stats.n_hits++;
    } else {
        store->stats.n_misses++;
        if (!object->is_gone) { /* else another reader was first */
            discard_locked(store, object);
            count_failure_locked(store, result);
        }
    }
    unpin_locked(store, object);
    lock_release(&store->lock);
    return result == 0 ? 0 : -ENOENT;
}

bool store_has(struct store *store, uint64_t number)
{
    lock_acquire(&store->lock);
    bool is_kept = find_locked(store, number) != NULL;
    lock_release(&store->lock);
    return is_kept;
}

void store_drop(struct store *store, uint64_t number)
{
    lock_acquire(&store->lock);
    struct object *object = find_locked(store, number);
    if (object)
        discard_locked(store, object);
    lock_release(&store->lock);
}

void store_get_stats(struct store *store, struct store_stats *out)
{
    lock_acquire(&store->lock);
    *out = store->stats;
    out->memory = store->memory;
    out->spooled = store->spooled;
    out->n_objects = HASH_COUNT(store->table);
    lock_release(&store->lock);
}
