/* One entry per canister, in a list under one lock; the lock is not held while fetching.
 *
 * An entry is idle or fetching. Whoever finds it idle and in need of a fetch becomes the fetcher;
 * when the fetch ends, well or not, `round` moves and everybody looks again.
 */
#include "ic/node_keys.h"

#include "ic/wait.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#define FRESH_NS    (300 * IC_NS_PER_SEC) /* refresh after this */
#define USABLE_NS   (600 * IC_NS_PER_SEC) /* never use after this */
#define RETRY_NS    (10 * IC_NS_PER_SEC)  /* between fetches that are not strictly needed */
#define LACKING_NS  (2 * IC_NS_PER_SEC)   /* between fetches for the sake of an unknown node */
#define NEVER_NS    (INT64_MIN / 2)
#define ENTRIES_MAX 16 /* canisters remembered; a mount has one */

struct entry {
    struct entry *next;
    struct ic_principal canister; /* immutable */
    unsigned n_inside;            /* guarded by lock: callers that hold a pointer to this entry */
    struct ic_node_set *set;      /* guarded by lock: NULL before the first success */
    int64_t fetched_ns;           /* guarded by lock: when set came */
    int64_t tried_ns;             /* guarded by lock: when the last fetch began */
    int64_t asked_ns;             /* guarded by lock: the last one because of an unknown node */
    bool fetching;                /* guarded by lock */
    uint64_t round;               /* guarded by lock: fetches ended so far */
    int last_rc;                  /* guarded by lock: result of the last fetch ... */
    struct ic_error last_error;   /* guarded by lock: ... and its cause */
};

struct ic_node_keys {
    pthread_mutex_t lock;
    pthread_cond_t changed;  /* a fetch ended, or somebody was cancelled */
    struct entry *entries;   /* guarded by lock: most recently added first */
    ic_node_fetch_fn *fetch; /* immutable, as what follows */
    int64_t (*now_ns)(void *arg);
    void *arg;
};

static int64_t now_ns(const struct ic_node_keys *keys)
{
    return keys->now_ns != NULL ? keys->now_ns(keys->arg) : ic_wait_boot_ns();
}

int ic_node_keys_new(struct ic_node_keys **out, ic_node_fetch_fn *fetch, int64_t (*now)(void *),
                     void *arg)
{
    struct ic_node_keys *keys = calloc(1, sizeof *keys);
    if (keys == NULL)
        return -ENOMEM;
    (void)pthread_mutex_init(&keys->lock, NULL); /* default attributes: cannot fail on Linux */
    int rc = ic_wait_cond_init(&keys->changed);
    if (rc != 0) {
        free(keys);
        return rc;
    }
    keys->fetch = fetch;
    keys->now_ns = now;
    keys->arg = arg;
    *out = keys;
    return 0;
}

void ic_node_keys_free(struct ic_node_keys *keys)
{
    if (keys == NULL)
        return;
    while (keys->entries != NULL) {
        struct entry *e = keys->entries;
        keys->entries = e->next;
        ic_node_set_unref(e->set);
        free(e);
    }
    (void)pthread_cond_destroy(&keys->changed);
    (void)pthread_mutex_destroy(&keys->lock);
    free(keys);
}

/* Forget the oldest entry that nobody uses, when there are many. */
static void make_room_locked(struct ic_node_keys *keys)
{
    size_t n = 0;
    struct entry **oldest = NULL;
    for (struct entry **link = &keys->entries; *link != NULL; link = &(*link)->next) {
        n++;
        if ((*link)->n_inside == 0)
            oldest = link;
    }
    if (n < ENTRIES_MAX || oldest == NULL)
        return;
    struct entry *e = *oldest;
    *oldest = e->next;
    ic_node_set_unref(e->set);
    free(e);
}

static struct entry *find_or_add_locked(struct ic_node_keys *keys,
                                        const struct ic_principal *canister)
{
    for (struct entry *e = keys->entries; e != NULL; e = e->next)
        if (ic_principal_is_equal(&e->canister, canister))
            return e;
    make_room_locked(keys);
    struct entry *e = calloc(1, sizeof *e);
    if (e == NULL)
        return NULL;
    e->canister = *canister;
    e->tried_ns = e->asked_ns = NEVER_NS;
    e->next = keys->entries;
    keys->entries = e;
    return e;
}

/* May e->set, which is not NULL, be used without fetching? */
static bool is_usable_locked(const struct ic_node_keys *keys, const struct entry *e,
                             const struct ic_node_set *lacking)
{
    int64_t now = now_ns(keys);
    if (now - e->fetched_ns >= USABLE_NS)
        return false;
    if (e->set == lacking) /* a newer set may have the node: wait for a fetch that runs */
        return !e->fetching && now - e->asked_ns < LACKING_NS;
    return now - e->fetched_ns < FRESH_NS || e->fetching || now - e->tried_ns < RETRY_NS;
}

static void fetch_locked(struct ic_node_keys *keys, struct entry *e,
                         const struct ic_node_set *lacking, const struct ic_io *io)
{
    struct ic_node_set *set = NULL;
    struct ic_error error = {0};
    e->fetching = true;
    e->tried_ns = now_ns(keys);
    if (lacking != NULL)
        e->asked_ns = e->tried_ns;
    pthread_mutex_unlock(&keys->lock);
    int rc = keys->fetch(keys->arg, &e->canister, io, &set, &error);
    pthread_mutex_lock(&keys->lock);
    e->fetching = false;
    e->tried_ns = now_ns(keys); /* the end: a try may take longer than the time between two */
    e->round++;
    e->last_rc = rc;
    e->last_error = error;
    if (rc == 0) {
        ic_node_set_unref(e->set);
        e->set = set;
        e->fetched_ns = now_ns(keys);
    } else if (rc == -EINTR || rc == -ETIMEDOUT) {
        e->tried_ns = e->asked_ns =
            NEVER_NS; /* given up by its caller: proves nothing about the network */
    }
    pthread_cond_broadcast(&keys->changed);
}

static int get_locked(struct ic_node_keys *keys, struct entry *e, const struct ic_node_set *lacking,
                      const struct ic_io *io, struct ic_node_set **out, struct ic_error *err)
{
    for (;;) {
        if (e->set != NULL && is_usable_locked(keys, e, lacking))
            break;
        uint64_t round = e->round;
        bool mine = !e->fetching;
        if (mine)
            fetch_locked(keys, e, lacking, io);
        while (e->fetching && e->round == round) {
            int rc = ic_wait_cond(&keys->changed, &keys->lock, INT64_MAX, io);
            if (rc != 0)
                return ic_wait_fail(err, rc, "waiting for the node keys");
        }
        bool gave_up = e->last_rc == -EINTR || e->last_rc == -ETIMEDOUT;
        if (e->last_rc == 0 || (gave_up && !mine) ||
            (e->set != NULL && is_usable_locked(keys, e, lacking)))
            continue;
        if (e->set != NULL && e->set != lacking && now_ns(keys) - e->fetched_ns < USABLE_NS)
            break; /* old, but good for a while */
        if (err != NULL)
            *err = e->last_error;
        return e->last_rc;
    }
    *out = ic_node_set_ref(e->set);
    return 0;
}

int ic_node_keys_get(struct ic_node_keys *keys, const struct ic_principal *canister,
                     const struct ic_node_set *lacking, const struct ic_io *io,
                     struct ic_node_set **out, struct ic_error *err)
{
    pthread_mutex_lock(&keys->lock);
    struct entry *e = find_or_add_locked(keys, canister);
    if (e == NULL) {
        pthread_mutex_unlock(&keys->lock);
        return ic_fail(err, IC_E_NO_MEMORY, "node keys");
    }
    e->n_inside++;
    int rc = get_locked(keys, e, lacking, io, out, err);
    e->n_inside--;
    pthread_mutex_unlock(&keys->lock);
    return rc;
}

void ic_node_keys_wake(struct ic_node_keys *keys)
{
    pthread_mutex_lock(&keys->lock);
    pthread_cond_broadcast(&keys->changed);
    pthread_mutex_unlock(&keys->lock);
}
