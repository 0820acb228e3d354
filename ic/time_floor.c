/* The newest certified time per subnet: see time_floor.h. */
#include "ic/time_floor.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct newest {
    struct ic_principal subnet;
    int64_t time_ns;
};

struct ic_time_floor {
    pthread_mutex_t lock;
    struct newest newest[IC_TIME_FLOOR_SUBNETS]; /* guarded by lock */
    size_t n;                                    /* guarded by lock: ever put in */
};

int ic_time_floor_new(struct ic_time_floor **out)
{
    struct ic_time_floor *floor = calloc(1, sizeof(*floor));
    if (!floor)
        return -ENOMEM;
    if (pthread_mutex_init(&floor->lock, NULL) != 0) {
        free(floor);
        return -ENOMEM;
    }
    *out = floor;
    return 0;
}

void ic_time_floor_free(struct ic_time_floor *floor)
{
    if (!floor)
        return;
    pthread_mutex_destroy(&floor->lock);
    free(floor);
}

static struct newest *find_or_add_locked(struct ic_time_floor *floor,
                                         const struct ic_principal *subnet)
{
    struct newest *slot;
    for (size_t i = 0; i < floor->n && i < IC_TIME_FLOOR_SUBNETS; i++)
        if (ic_principal_is_equal(&floor->newest[i].subnet, subnet))
            return &floor->newest[i];
    slot = &floor->newest[floor->n++ % IC_TIME_FLOOR_SUBNETS];
    *slot = (struct newest){.subnet = *subnet};
    return slot;
}

int ic_time_floor_pass(struct ic_time_floor *floor, const struct ic_principal *subnet,
                       int64_t time_ns, struct ic_error *err)
{
    char text[IC_PRINCIPAL_TEXT];
    struct newest *slot;
    int64_t behind_ns;

    pthread_mutex_lock(&floor->lock);
    slot = find_or_add_locked(floor, subnet);
    behind_ns = slot->time_ns - time_ns; /* certified times are never negative */
    if (behind_ns < 0)
        slot->time_ns = time_ns;
    pthread_mutex_unlock(&floor->lock);
    if (behind_ns <= IC_TIME_FLOOR_LAG_NS)
        return 0;
    ic_principal_format(subnet, text);
    return ic_fail(err, IC_E_UNVERIFIED,
                   "certificate: %lld s older than what subnet %s has certified before",
                   (long long)(behind_ns / 1000000000), text);
}
