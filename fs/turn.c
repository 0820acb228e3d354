#include "fs/turn.h"

#include "ic/wait.h"

int fs_turn_init(struct fs_turn *turn)
{
    turn->is_taken = false;
    int result = ic_wait_cond_init(&turn->left);
    if (result == 0)
        pthread_mutex_init(&turn->lock, NULL);
    return result;
}

void fs_turn_fini(struct fs_turn *turn)
{
    pthread_cond_destroy(&turn->left);
    pthread_mutex_destroy(&turn->lock);
}

int fs_turn_take(struct fs_turn *turn, const struct ic_io *io)
{
    int result = 0;
    pthread_mutex_lock(&turn->lock);
    while (result == 0 && turn->is_taken)
        result = ic_wait_cond(&turn->left, &turn->lock, INT64_MAX, io);
    if (result == 0)
        turn->is_taken = true;
    pthread_mutex_unlock(&turn->lock);
    return result;
}

void fs_turn_leave(struct fs_turn *turn)
{
    pthread_mutex_lock(&turn->lock);
    turn->is_taken = false;
    pthread_cond_signal(&turn->left);
    pthread_mutex_unlock(&turn->lock);
}
