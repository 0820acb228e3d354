#include "fs/signals.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static bool is_ignored(int number)
{
    struct sigaction action;
    return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

void fs_signals_block(struct fs_signals *signals)
{
    memset(signals, 0, sizeof(*signals));
    pthread_mutex_init(&signals->lock, NULL);
    sigemptyset(&signals->set);
    sigaddset(&signals->set, SIGTERM);
    sigaddset(&signals->set, SIGUSR2);
    /* A blocked signal is delivered to sigwait even where it is ignored: leave these alone. */
    if (!is_ignored(SIGINT))
        sigaddset(&signals->set, SIGINT);
    if (!is_ignored(SIGHUP))
        sigaddset(&signals->set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals->set, NULL);
}

/* The next signal: without any wake-up while nothing happens, with a tick once the end was asked
 * for. Returns 0 for a tick. */
static int wait_next(struct fs_signals *signals)
{
    const struct timespec tick = {.tv_nsec = 50000000};
    bool ending = atomic_load_explicit(&signals->cancel, memory_order_relaxed);
    int number =
        ending ? sigtimedwait(&signals->set, NULL, &tick) : sigwaitinfo(&signals->set, NULL);
    return number > 0 ? number : 0;
}

static void take(struct fs_signals *signals, int number)
{
    if (number == SIGUSR2) {
        fs_log_step_level(signals->log);
    } else if (!atomic_load_explicit(&signals->cancel, memory_order_relaxed)) {
        fs_log_print(signals->log, FS_LOG_INFO, "ending on SIG%s", sigabbrev_np(number));
        atomic_store_explicit(&signals->number, number, memory_order_relaxed);
        /* Release: who sees the flag sees the number. */
        atomic_store_explicit(&signals->cancel, true, memory_order_release);
    }
}

static void *watch(void *data)
{
    struct fs_signals *signals = data;
    for (;;) {
        int number = wait_next(signals);
        if (atomic_load_explicit(&signals->over, memory_order_acquire))
            return NULL;
        if (number != 0)
            take(signals, number);
        pthread_mutex_lock(&signals->lock);
        if (signals->end && atomic_load_explicit(&signals->cancel, memory_order_relaxed))
            signals->end(signals->end_arg);
        pthread_mutex_unlock(&signals->lock);
    }
}

int fs_signals_open(struct fs_signals *signals, struct fs_log *log)
{
    signals->log = log;
    return -pthread_create(&signals->thread, NULL, watch, signals);
}

void fs_signals_close(struct fs_signals *signals)
{
    atomic_store_explicit(&signals->over, true, memory_order_release);
    pthread_kill(signals->thread, SIGUSR2); /* wakes it: `over` is looked at first */
    pthread_join(signals->thread, NULL);
    pthread_mutex_destroy(&signals->lock);
}

void fs_signals_on_end(struct fs_signals *signals, void (*end)(void *arg), void *arg)
{
    pthread_mutex_lock(&signals->lock);
    signals->end = end;
    signals->end_arg = arg;
    pthread_mutex_unlock(&signals->lock);
}

void fs_signals_forget(struct fs_signals *signals)
{
    fs_signals_on_end(signals, NULL, NULL);
}

_Noreturn void fs_signals_die(int number)
{
    signal(number, SIG_DFL);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    raise(number);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    _exit(128 + number); /* not reached: the signals that end a program cannot be survived */
}
