/* One at a time: what many long fetches hold together would have no bound. */
#ifndef CANISTERFS_FS_TURN_H
#define CANISTERFS_FS_TURN_H

#include "ic/io.h"

#include <pthread.h>
#include <stdbool.h>

struct fs_turn {
    pthread_mutex_t lock;
    pthread_cond_t left;
    bool is_taken; /* guarded by lock */
};

int fs_turn_init(struct fs_turn *turn) __attribute__((warn_unused_result));
void fs_turn_fini(struct fs_turn *turn);

/* Wait until it is the caller's. Returns 0, -EINTR or -ETIMEDOUT. Any thread may leave it. */
int fs_turn_take(struct fs_turn *turn, const struct ic_io *io) __attribute__((warn_unused_result));
void fs_turn_leave(struct fs_turn *turn);

#endif
