/* The directory of a stage and its files, as far as they come, go and belong to somebody.
 *
 *   data         the bytes; whoever has the stage open holds its flock(2)
 *   journal      makes the directory a stage; it comes last and goes first
 *   journal.new  the next journal while it is written
 *   removed      the journal of a stage that is being removed
 *
 * A directory without `journal` is what a crash left of making one (then `data` is empty) or of
 * removing one (then `removed` is there, or `data` is gone); stage_dir_open clears it away. With
 * bytes in `data` and no trace of a removal it is a damaged stage, and stays.
 */
#ifndef CANISTERFS_CACHE_STAGE_DIR_H
#define CANISTERFS_CACHE_STAGE_DIR_H

#define STAGE_DIR_JOURNAL     "journal"
#define STAGE_DIR_JOURNAL_NEW "journal.new"

struct stage_dir {
    int parent_fd; /* borrowed */
    int fd;        /* owned, both; -1: not open */
    int data_fd;
    char *name; /* owned */
};

/* Make it, with an empty `data` that is durable; not yet a stage. Returns 0; -EEXIST; -EINVAL (no
 * name of a directory); -EBUSY; the errno of the disk: then nothing is left of it. */
int stage_dir_make(struct stage_dir *dir, int parent_fd, const char *name)
    __attribute__((nonnull, warn_unused_result));

/* Give `journal.new` its name, durably. */
int stage_dir_name_journal(const struct stage_dir *dir)
    __attribute__((nonnull, warn_unused_result));

/* Make the directory's own name durable. */
int stage_dir_sync_name(const struct stage_dir *dir) __attribute__((nonnull, warn_unused_result));

/* Open one. Returns 0; -ENOENT (also: what was there was the trace of a crash, and is cleared
 * away); -EBUSY (open elsewhere); -EPROTO (no stage); -EINVAL; the errno of the disk. */
int stage_dir_open(struct stage_dir *dir, int parent_fd, const char *name)
    __attribute__((nonnull, warn_unused_result));

/* Close its files until stage_dir_wake; it is nobody's meanwhile. */
void stage_dir_rest(struct stage_dir *dir) __attribute__((nonnull));

/* Open them again. Returns as stage_dir_open; it rests still after a failure. */
int stage_dir_wake(struct stage_dir *dir) __attribute__((nonnull, warn_unused_result));

/* Delete what is no stage any more, or not yet one. */
int stage_dir_clear(const struct stage_dir *dir) __attribute__((nonnull));

/* Delete it; a crash at any point leaves the whole stage or what stage_dir_open clears away. */
int stage_dir_remove(const struct stage_dir *dir) __attribute__((nonnull, warn_unused_result));

void stage_dir_close(struct stage_dir *dir) __attribute__((nonnull));

#endif
