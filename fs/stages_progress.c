/* What is being committed, once a second, for whoever watches the program. */
#include "fs/stages_impl.h"
#include "ic/wait.h"

#include <stdio.h>

#define MIB       (UINT64_C(1) << 20)
#define PART_TEXT 64 /* two numbers of 20 digits, and words */

/* "3.0 of 12.5 MiB"; what is less than that in bytes. */
static void format_part(uint64_t part, uint64_t all, char out[PART_TEXT])
{
    if (all < MIB)
        snprintf(out, PART_TEXT, "%llu of %llu bytes", (unsigned long long)part,
                 (unsigned long long)all);
    else
        snprintf(out, PART_TEXT, "%.1f of %.1f MiB", (double)part / (double)MIB,
                 (double)all / (double)MIB);
}

static void say_sending(const struct fs_staged *staged)
{
    struct fs_log *log = staged->stages->config.log;
    uint64_t n_acked = staged->progress.n_acked, n_to_send = staged->progress.n_to_send;
    double seconds = (double)(stages_clock_ns(CLOCK_MONOTONIC) - staged->started_ns) / 1e9;
    char part[PART_TEXT];
    format_part(n_acked, n_to_send, part);
    if (n_to_send == 0)
        fs_log_print(log, FS_LOG_INFO, "%s: there is nothing to send so far", staged->path);
    else if (n_to_send < MIB)
        fs_log_print(log, FS_LOG_INFO, "%s: %s are there", staged->path, part);
    else
        fs_log_print(log, FS_LOG_INFO, "%s: %s are there, %.2f MiB/s", staged->path, part,
                     seconds > 0 ? (double)n_acked / (double)MIB / seconds : 0);
}

static void say_applying(const struct fs_staged *staged)
{
    struct fs_log *log = staged->stages->config.log;
    uint64_t n_applied = staged->progress.n_applied, n_apply = staged->progress.n_apply;
    char part[PART_TEXT];
    format_part(n_applied, n_apply, part);
    if (n_apply == 0) /* it has not told yet */
        fs_log_print(log, FS_LOG_INFO, "%s: the canister applies it", staged->path);
    else
        fs_log_print(log, FS_LOG_INFO, "%s: the canister applies %s", staged->path, part);
}

static void say(const struct fs_staged *staged)
{
    struct fs_log *log = staged->stages->config.log;
    switch ((enum fs_restore_phase)staged->progress.phase) {
    case FS_RESTORE_WAITING:
        fs_log_print(log, FS_LOG_INFO, "%s: waiting for the canister", staged->path);
        break;
    case FS_RESTORE_CHECKING:
        fs_log_print(log, FS_LOG_INFO, "%s: checking what is different", staged->path);
        break;
    case FS_RESTORE_SENDING:
        say_sending(staged);
        break;
    case FS_RESTORE_APPLYING:
        say_applying(staged);
        break;
    }
}

void *stages_report(void *arg)
{
    struct fs_stages *stages = arg;
    int64_t next_ns = ic_wait_now_ns() + IC_NS_PER_SEC;
    pthread_mutex_lock(&stages->lock);
    while (!stages->is_stopped) {
        (void)!ic_wait_cond(&stages->ended, &stages->lock, next_ns, NULL); /* without an io: 0 */
        if (ic_wait_now_ns() < next_ns)
            continue;
        next_ns = ic_wait_now_ns() + IC_NS_PER_SEC;
        for (struct fs_staged *staged = stages->list; staged; staged = staged->next)
            if (staged->state == FS_STAGED_COMMITTING)
                say(staged);
    }
    pthread_mutex_unlock(&stages->lock);
    return NULL;
}
