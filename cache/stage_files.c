/* Open files of a stage, and a stage that rests: see stage.h and stage_state.h. */
#include "cache/stage_state.h"

#include <errno.h>
#include <sys/stat.h>

/* `data` must still have all that is staged. */
static int check_data(struct stage *stage)
{
    struct stat st;
    lock_acquire(&stage->lock);
    uint64_t end = stage_extents_end(&stage->content.staged);
    lock_release(&stage->lock);
    if (fstat(stage->dir.data_fd, &st) < 0)
        return -errno;
    return (uint64_t)st.st_size < end ? -EPROTO : 0;
}

static void close_files(struct stage *stage)
{
    stage_journal_close(&stage->journal);
    stage_dir_rest(&stage->dir); /* the last: it has the lock */
}

static int open_files(struct stage *stage)
{
    int result = stage_dir_wake(&stage->dir);
    if (result == 0)
        result = stage_journal_wake(&stage->journal, stage->dir.fd, STAGE_DIR_JOURNAL);
    if (result == 0)
        result = check_data(stage);
    if (result == 0)
        return 0;
    close_files(stage);
    /* Somebody has taken, removed or changed it while it rested. */
    return result == -EBUSY || result == -ENOENT || result == -EPROTO ? -EIO : result;
}

int stage_get_files(struct stage *stage, bool stays)
{
    lock_acquire(&stage->files_lock);
    int result = stage->dir.fd < 0 ? open_files(stage) : 0;
    if (result == 0) {
        stage->n_using++;
        if (stays)
            stage->is_resting = false;
    }
    lock_release(&stage->files_lock);
    return result;
}

void stage_put_files(struct stage *stage)
{
    lock_acquire(&stage->files_lock);
    if (--stage->n_using == 0 && stage->is_resting)
        close_files(stage);
    lock_release(&stage->files_lock);
}

int stage_rest(struct stage *stage)
{
    int result = stage_sync(stage);
    if (result < 0)
        return result;
    lock_acquire(&stage->files_lock);
    lock_acquire(&stage->lock);
    bool is_dirty =
        stage->is_data_dirty; /* since then: an fsync of other descriptors may miss it */
    lock_release(&stage->lock);
    if (!is_dirty && stage->n_using == 0) {
        stage->is_resting = true;
        close_files(stage);
    }
    lock_release(&stage->files_lock);
    return 0;
}
