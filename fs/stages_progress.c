/* What is being committed, once a second, for whoever watches the program. */
#include "fs/stages_impl.h"
#include "ic/wait.h"

#define MIB 1048576.0

static void say(struct fs_staged *staged)
{
    struct fs_log *log = staged->stages->config.log;
    const struct fs_restore_progress *progress = &staged->progress;
    double sent = (double)progress->n_acked / MIB;
    double all = (double)progress->n_to_send / MIB;
    double seconds = (double)(stages_clock_ns(CLOCK_MONOTONIC) - staged->started_ns) / 1e9;
    switch ((enum fs_restore_phase)progress->phase) {
    case FS_RESTORE_WAITING:
        fs_log_print(log, FS_LOG_INFO, "%s: waiting for the canister", staged->path);
        break;
    case FS_RESTORE_CHECKING:
        fs_log_print(log, FS_LOG_INFO, "%s: checking what is different", staged->path);
        break;
    case FS_RESTORE_SENDING:
        fs_log_print(log, FS_LOG_INFO, "%s: %.1f of %.1f MiB are there, %.2f MiB/s", staged->path,
                     sent, all, seconds > 0 ? sent / seconds : 0);
        break;
    case FS_RESTORE_APPLYING:
        fs_log_print(log, FS_LOG_INFO, "%s: the canister applies %.1f of %.1f MiB", staged->path,
                     (double)progress->n_applied / MIB, (double)progress->n_apply / MIB);
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
