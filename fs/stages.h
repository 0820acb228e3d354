/* What is written to a mount, from the first byte until the canister has it.
 *
 * A *staged file* is a stage (cache/stage.h) and what has become of it. It is for a *place*, a file
 * that can be restored; or it is a temporary file beside one, which has a name, and gets its place
 * when it is renamed over it. What is staged reaches the canister at a *commit point* only: the
 * opener's last close of a place, a rename over a place, or a command.
 *
 *   state       what it is                                     leaves to
 *   OPEN        being written, or a temporary file             COMMITTING TAINTED WAITING GONE
 *   WAITING     whole, as its writer said; a command commits   COMMITTING GONE
 *   COMMITTING  its restorer runs                              GONE FAILED WAITING
 *   FAILED      a commit failed; it can be repeated (after     COMMITTING OPEN PARKED GONE
 *               EINVAL only by a command that insists)
 *   TAINTED     its writer did not finish, or a write failed   COMMITTING GONE
 *   PARKED      its name was removed after a failed commit     COMMITTING GONE
 *   FOUND       an earlier run has left it                     COMMITTING GONE
 *   GONE        the canister has it, or it was given up        (the end, once nobody uses it)
 *
 * While a place has a staged file that is OPEN or COMMITTING nobody else may open it (EBUSY), and
 * who had it open before reads no more (ESTALE).
 *
 * Stages live in DIR/ID/; DIR/lock has a byte for each ID, for each place, and for changing the
 * canister (fs_stages_hold), locked by the program that uses it, so that two mounts of one canister
 * do not mix (fcntl(2), open file description locks).
 *
 * Locks: the lock of the table guards what a staged file is; it is never held across a call of
 * a stage, a restorer or a source. Thread safety: every function from any thread.
 */
#ifndef CANISTERFS_FS_STAGES_H
#define CANISTERFS_FS_STAGES_H

#include "fs/log.h"
#include "fs/restore.h"
#include "fs/tree.h"
#include "fs/writer.h"

#include <sys/statvfs.h>

struct fs_lease;
struct fs_stages;
struct fs_staged;

enum fs_staged_state {
    FS_STAGED_OPEN = 1, /* the numbers are in journals */
    FS_STAGED_WAITING,
    FS_STAGED_COMMITTING,
    FS_STAGED_FAILED,
    FS_STAGED_TAINTED,
    FS_STAGED_PARKED,
    FS_STAGED_FOUND,
    FS_STAGED_GONE,
};

struct fs_stages_config {
    struct fs_tree *tree; /* borrowed, as all that follows */
    struct fs_log *log;
    const char *dir;        /* of this canister; copied */
    struct fs_lease *lease; /* held while the canister changes; NULL: there is none */
    bool is_manual;         /* a commit point commits nothing */
    bool shrink_zero;
    bool force;
    bool says_progress; /* once a second, in the log */
    uint32_t uid;       /* of new files */
    uint32_t gid;
    mode_t umask;
    /* The canister holds something else at a place: what was learned before is outdated. May block.
     */
    void (*outdate)(void *arg, const struct fs_place *place);
    /* Wakes everyone who waits for the network, so that a cancel flag is seen at once. */
    void (*wake)(void *arg);
    void *arg;
};

/* Make the directory, and take over what earlier runs left there; that is logged, and nothing else
 * is done with it. Returns 0, or -errno with a line in words. Starts a thread if it says progress.
 */
int fs_stages_open(struct fs_stages **out, const struct fs_stages_config *config, char *message,
                   size_t message_size) __attribute__((warn_unused_result, nonnull));

/* Where it is mounted: tells its files from others that a process has open. Once, before anything
 * is opened.
 *
 * path  absolute, as realpath(3) gives it */
void fs_stages_set_mountpoint(struct fs_stages *stages, const char *path) __attribute__((nonnull));

/* Commits under way end soon, with EINTR, and none begins. Idempotent; NULL is fine. */
void fs_stages_stop(struct fs_stages *stages);

/* No commit begins (-EBUSY; what is staged is kept), here or on another mount with this directory,
 * until they are let go: for what replaces the state of the canister. By one at a time. Returns 0;
 * -EBUSY: a commit is under way, or another mount holds them; or the errno of the disk. */
int fs_stages_hold(struct fs_stages *stages) __attribute__((warn_unused_result, nonnull));
void fs_stages_let_go(struct fs_stages *stages) __attribute__((nonnull));

/* What is staged is kept, and logged. No handle may be open any more. NULL is fine. */
void fs_stages_close(struct fs_stages *stages);

/* --- open files --- */

/* One open file. The members are for reading. */
struct fs_staged_handle {
    struct fs_staged *staged;
    struct fs_writer opener; /* guarded by the table's lock, as is all that follows */
    pid_t own_tid;           /* a thread that is known to be the opener's */
    bool can_write;
    pid_t other_tid;   /* a thread of another process that wrote by it, and can be looked at */
    bool others_wrote; /* another process wrote by it */
    bool hidden_wrote; /* one that cannot be looked at: whether it has finished nobody can tell */
    bool is_closed;    /* the opener has closed it */
    unsigned n_before; /* times that its opener had closed the file for good before */
};

/* Who asks, and how. */
struct fs_stages_caller {
    pid_t tid;
    uint32_t flags; /* of open(2) */
};

/* Open a place.
 *
 * ino     the inode that the kernel knows it by
 * opened  its present content: takes, on success, and when what is returned is 0. NULL: there is
 *         no such file yet
 *
 * Returns 0; -EBUSY (somebody else has it open, also on another mount); the errno of the disk. */
int fs_stages_open_place(struct fs_stages *stages, const struct fs_place *place, fuse_ino_t ino,
                         const struct fs_opened *opened, const struct fs_stages_caller *caller,
                         struct fs_staged_handle *out)
    __attribute__((warn_unused_result, nonnull(1, 2, 5, 6)));

/* Open a staged file that is known by its inode: a temporary file. Returns 0, -ESTALE, -EBUSY,
 * -EIO (tainted), the errno of the disk. */
int fs_stages_open_ino(struct fs_stages *stages, fuse_ino_t ino,
                       const struct fs_stages_caller *caller, struct fs_staged_handle *out)
    __attribute__((warn_unused_result, nonnull));

void fs_stages_release(struct fs_staged_handle *handle) __attribute__((nonnull));

uint64_t fs_stages_size(const struct fs_staged_handle *handle) __attribute__((nonnull));

/* No stable memory is longer (500 GiB; Internet Computer docs, "Resource limits"), nor anything
 * else that can be restored. */
#define FS_STAGED_SIZE_MAX ((uint64_t)500 << 30)

/* Whole or error. The range must be below the size. */
int fs_stages_read(const struct fs_staged_handle *handle, uint64_t off, void *buf, size_t len,
                   const struct source_io *io) __attribute__((warn_unused_result, nonnull));

/* off  UINT64_MAX: at the end
 *
 * Returns 0; -EFBIG (beyond FS_STAGED_SIZE_MAX), or the errno of the disk: then it is tainted;
 * -EBUSY, -ESTALE, -EIO (it cannot be written now). */
int fs_stages_write(struct fs_staged_handle *handle, pid_t tid, uint64_t off, const void *buf,
                    size_t len) __attribute__((warn_unused_result, nonnull));

/* Returns as fs_stages_write; a size that is refused changes and taints nothing. */
int fs_stages_truncate(struct fs_staged_handle *handle, uint64_t size)
    __attribute__((warn_unused_result, nonnull));

int fs_stages_sync(const struct fs_staged_handle *handle)
    __attribute__((warn_unused_result, nonnull));

/* A descriptor is being closed: a commit point, if it is the opener's last.
 *
 * cancel  ends a commit, with -EINTR; set when the mount ends
 *
 * Returns 0, or what writing this file has come to. Blocks for as long as a commit goes on. */
int fs_stages_flush(struct fs_staged_handle *handle, pid_t tid, atomic_bool *cancel)
    __attribute__((warn_unused_result, nonnull));

/* May a process open a place for reading now (0, -EBUSY), or read on what it opened before
 * (-EBUSY then means that it may not)? */
int fs_stages_check_reader(struct fs_stages *stages, const struct fs_place *place, pid_t tid)
    __attribute__((warn_unused_result, nonnull));

/* Has this process a place open for writing? Then what it opens for reading is what it wrote. */
bool fs_stages_is_writer(struct fs_stages *stages, const struct fs_place *place, pid_t tid)
    __attribute__((nonnull));

/* The size of what is being written to a place. False: nothing is. */
bool fs_stages_size_of(struct fs_stages *stages, const struct fs_place *place, uint64_t *out)
    __attribute__((nonnull));

/* --- names (stages_name.c) --- */

bool fs_stages_is_ino(fuse_ino_t ino); /* is it an inode number of ours? */

/* A name that only a staged file has. Counts a reference of the kernel. Returns 0 or -ENOENT. */
int fs_stages_lookup(struct fs_stages *stages, fuse_ino_t parent, const char *name,
                     struct fuse_entry_param *out) __attribute__((warn_unused_result, nonnull));
void fs_stages_forget(struct fs_stages *stages, fuse_ino_t ino, uint64_t n_lookup)
    __attribute__((nonnull));
int fs_stages_getattr(struct fs_stages *stages, fuse_ino_t ino, struct stat *out)
    __attribute__((warn_unused_result, nonnull));

/* Mode, owner and times, of those that to_set names (FUSE_SET_ATTR_*). */
int fs_stages_setattr(struct fs_stages *stages, fuse_ino_t ino, const struct stat *attr, int to_set)
    __attribute__((warn_unused_result, nonnull));

/* The first name in a directory of a number above `after`: its number and name. 0: no more. */
uint64_t fs_stages_next_name(struct fs_stages *stages, fuse_ino_t parent, uint64_t after,
                             char name[FS_NAME_SIZE], fuse_ino_t *ret_ino) __attribute__((nonnull));

/* Make a file: a temporary one, or one for a place that has none yet, and open it. Counts
 * a reference of the kernel.
 *
 * Returns 0; -EROFS (a name that has nothing to do with a place); -EBUSY; the errno of the disk. */
int fs_stages_create(struct fs_stages *stages, fuse_ino_t parent, const char *name, mode_t mode,
                     const struct fs_stages_caller *caller, struct fuse_entry_param *entry,
                     struct fs_staged_handle *out) __attribute__((warn_unused_result, nonnull));

/* Remove a temporary name. Returns 0, or -ENOENT. */
int fs_stages_unlink(struct fs_stages *stages, fuse_ino_t parent, const char *name)
    __attribute__((warn_unused_result, nonnull));

/* Rename a temporary file: to another name, or over a place, which commits it.
 *
 * Returns 0; -EXDEV (no temporary file, or to another directory); -EBUSY, -EIO (tainted), -EROFS;
 * what the commit came to. */
int fs_stages_rename(struct fs_stages *stages, fuse_ino_t parent, const char *name,
                     fuse_ino_t new_parent, const char *new_name, bool may_replace,
                     atomic_bool *cancel) __attribute__((warn_unused_result, nonnull));

/* A process wants to make a place anew: to it there is no such file until it has made it. */
void fs_stages_hide(struct fs_stages *stages, const struct fs_place *place, pid_t tid)
    __attribute__((nonnull));
bool fs_stages_is_hidden(struct fs_stages *stages, const struct fs_place *place, pid_t tid)
    __attribute__((nonnull));
void fs_stages_unhide(struct fs_stages *stages, const struct fs_place *place, pid_t tid)
    __attribute__((nonnull));

/* Room for what is staged. Returns 0 or -errno. */
int fs_stages_statvfs(struct fs_stages *stages, struct statvfs *out)
    __attribute__((warn_unused_result, nonnull));

/* --- commands --- */

struct fs_stages_order {
    bool insists;     /* also what its writer did not finish */
    bool shrink_zero; /* beside the options of the mount */
    bool force;
    const atomic_bool *cancel;
};

/* Commit by number. Returns 0, or -errno with err filled: -ENOENT (no such number), -EBUSY (it is
 * in use), -EINVAL (it is for no place; its writer did not finish), or what the commit came to.
 *
 * summary  fills: one line about what was done */
int fs_stages_commit_id(struct fs_stages *stages, uint64_t id, const struct fs_stages_order *order,
                        char *summary, size_t summary_size, struct ic_error *err)
    __attribute__((warn_unused_result, nonnull));

/* Give it up. Returns and fills as above. */
int fs_stages_abort_id(struct fs_stages *stages, uint64_t id, const atomic_bool *cancel,
                       struct ic_error *err) __attribute__((warn_unused_result, nonnull));

#define FS_SHA256_LEN 32

/* The next commit of a place must be of this content, or it fails with EINVAL. Forgotten when it
 * succeeds, and when the mount ends; but a stage whose commit was begun meanwhile remembers it.
 * Returns 0 or -ENOMEM. */
int fs_stages_expect(struct fs_stages *stages, const struct fs_place *place, uint64_t size,
                     const uint8_t sha256[FS_SHA256_LEN])
    __attribute__((warn_unused_result, nonnull));

/* 64 hex digits at the beginning of a text. */
bool fs_stages_parse_sha256(const char *text, uint8_t out[FS_SHA256_LEN]) __attribute__((nonnull));

/* Commits say what would be sent, send nothing, and fail with ECANCELED. */
void fs_stages_set_dry_run(struct fs_stages *stages, bool is_on) __attribute__((nonnull));
bool fs_stages_is_dry_run(struct fs_stages *stages) __attribute__((nonnull));

struct fs_staged_info {
    uint64_t id;
    enum fs_staged_state state;
    const char *path;    /* of the place, "" for a temporary file; borrowed for the call */
    const char *purpose; /* the path it was begun for */
    const char *words;   /* about its state, "" */
    int error;           /* FAILED: a negative errno */
    int64_t created_ns;  /* wall clock */
    int64_t started_ns;  /* of the last commit, monotonic; 0: there was none */
    uint64_t size;
    uint64_t staged;
    const struct fs_restore_progress *progress;
};

/* Call `each` for every staged file that is not GONE, by number. It must not call back. */
void fs_stages_for_each(struct fs_stages *stages,
                        void (*each)(void *arg, const struct fs_staged_info *info), void *arg)
    __attribute__((nonnull(1, 2)));

const char *fs_staged_state_words(enum fs_staged_state state);

#endif
