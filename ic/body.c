#include "ic/body.h"

#include <errno.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdlib.h>

#if defined(__GNUC__) && !defined(__clang__)
/* A body is handed out through its bytes; gcc's analyser takes a pointer into the middle for lost.
 */
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"
#endif

/* At most this many are kept, each of at most KEEP_MAX bytes: 24 MiB. Of the queries in flight most
 * wait for an answer, only some are receiving one. */
#define N_KEPT   8
#define KEEP_MIN ((size_t)256 << 10)
#define KEEP_MAX ((size_t)3 << 20 | (size_t)64 << 10)

struct body {
    struct ic_bodies *home;
    size_t capacity;
    alignas(max_align_t) uint8_t bytes[];
};

struct ic_bodies {
    pthread_mutex_t lock;
    struct body *kept[N_KEPT]; /* guarded by lock; owned */
    size_t n_kept;             /* guarded by lock */
};

static struct body *body_of(uint8_t *bytes)
{
    return (struct body *)(void *)(bytes - offsetof(struct body, bytes));
}

int ic_bodies_new(struct ic_bodies **out)
{
    struct ic_bodies *bodies = calloc(1, sizeof(*bodies));
    if (!bodies)
        return -ENOMEM;
    pthread_mutex_init(&bodies->lock, NULL);
    *out = bodies;
    return 0;
}

void ic_bodies_trim(struct ic_bodies *bodies)
{
    pthread_mutex_lock(&bodies->lock);
    while (bodies->n_kept > 0)
        free(bodies->kept[--bodies->n_kept]);
    pthread_mutex_unlock(&bodies->lock);
}

void ic_bodies_free(struct ic_bodies *bodies)
{
    if (!bodies)
        return;
    ic_bodies_trim(bodies);
    pthread_mutex_destroy(&bodies->lock);
    free(bodies);
}

/* The one kept last that is large enough: its pages are the likeliest to be in the CPU's cache. */
static struct body *take_kept(struct ic_bodies *bodies, size_t capacity)
{
    struct body *body = NULL;
    pthread_mutex_lock(&bodies->lock);
    for (size_t i = bodies->n_kept; i-- > 0 && !body;) {
        if (bodies->kept[i]->capacity < capacity)
            continue;
        body = bodies->kept[i];
        bodies->kept[i] = bodies->kept[--bodies->n_kept];
    }
    pthread_mutex_unlock(&bodies->lock);
    return body;
}

uint8_t *ic_body_new(struct ic_bodies *bodies, size_t capacity, size_t *ret_capacity)
{
    struct body *body = capacity >= KEEP_MIN ? take_kept(bodies, capacity) : NULL;
    if (!body) {
        /* Large ones are all of one size, so that each fits the next reply. */
        if (capacity >= KEEP_MIN && capacity < KEEP_MAX)
            capacity = KEEP_MAX;
        body = malloc(sizeof(*body) + capacity);
        if (!body)
            return NULL;
        body->home = bodies;
        body->capacity = capacity;
    }
    *ret_capacity = body->capacity;
    return body->bytes;
}

uint8_t *ic_body_grow(uint8_t *body, size_t capacity)
{
    struct body *grown = realloc(body_of(body), sizeof(*grown) + capacity);
    if (!grown)
        return NULL;
    grown->capacity = capacity;
    return grown->bytes; // cppcheck-suppress memleak ; handed out through its bytes
}

void ic_body_free(uint8_t *bytes)
{
    if (!bytes)
        return;
    struct body *body = body_of(bytes);
    struct ic_bodies *home = body->home;
    pthread_mutex_lock(&home->lock);
    if (body->capacity >= KEEP_MIN && body->capacity <= KEEP_MAX && home->n_kept < N_KEPT) {
        home->kept[home->n_kept++] = body;
        body = NULL;
    }
    pthread_mutex_unlock(&home->lock);
    free(body);
}
