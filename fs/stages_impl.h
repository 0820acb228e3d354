/* Inside the table of stages: what the files stages*.c share. Not for anybody else.
 *
 * `_locked`: the caller holds the lock of the table; every other function takes it, or needs none.
 */
#ifndef CANISTERFS_FS_STAGES_IMPL_H
#define CANISTERFS_FS_STAGES_IMPL_H

#include "fs/stages.h"

#include <pthread.h>

/* Keys are inode numbers, which are spread evenly as they are. */
#define HASH_FUNCTION(key, len, out) ((out) = (unsigned)*(const uint64_t *)(key))
#define HASH_NONFATAL_OOM            1
#include <uthash.h>
#include <utlist.h>

#define FS_STAGES_N_HIDDEN 64

/* Notes in a stage (stage_note); kinds from FS_NOTE_RESTORER on are the restorer's. */
enum {
    STAGES_NOTE_PATH = 1,     /* of the place it is for, where its purpose is another */
    STAGES_NOTE_STATE = 2,    /* a byte, enum fs_staged_state, and words */
    STAGES_NOTE_EXPECTED = 3, /* what it must be; empty: anything (stages_expect.c) */
};

struct fs_staged {
    /* immutable */
    struct fs_stages *stages;
    uint64_t id; /* the name of its directory */
    fuse_ino_t ino;
    bool owns_ino;     /* the number is ours, and not the tree's */
    bool is_temporary; /* made under another name than that of a place */
    bool is_truncated; /* begun with O_TRUNC, or as a new file */
    bool has_base;
    struct fs_opened base;  /* has_base: what it lies over, pinned */
    bool is_whole;          /* FOUND: it was not doubtful */
    struct fs_writer owner; /* who began it */

    struct fs_restore_progress progress; /* atomics */

    /* guarded by the lock of the table, as is all that follows */
    struct fs_staged *prev, *next; /* in `list`, by number */
    UT_hash_handle hh;             /* owns_ino: in `by_ino` */
    struct stage *stage;           /* NULL: not made yet, or not any more */
    enum fs_staged_state state;
    int error;       /* FAILED */
    char words[400]; /* about the state */
    bool has_place;
    struct fs_place place;
    char path[FS_PLACE_PATH_MAX]; /* of the place, or the temporary file */
    fuse_ino_t parent;
    char name[FS_NAME_SIZE]; /* "" when it has none of its own */
    struct stat attr;        /* owns_ino: mode, owner, times */
    unsigned n_handles;
    unsigned n_writers;  /* handles that can write, and that the opener has not closed; all are one
                            process's */
    unsigned n_closings; /* times that this process has closed the last of them */
    unsigned n_users;    /* handles, and calls under way */
    uint64_t n_uses;     /* users so far */
    uint64_t n_lookup;   /* of the kernel */
    int64_t started_ns;
    atomic_bool *cancel; /* COMMITTING: of the request that waits for it, or NULL */
};

struct stages_hidden {
    struct fs_place place;
    struct fs_writer writer;
};

/* What a content must be. */
struct stages_content {
    bool is_set;
    bool has_size;
    uint64_t size;
    uint8_t sha256[FS_SHA256_LEN];
};

struct stages_expected {
    struct stages_expected *prev, *next;
    struct fs_place place;
    struct stages_content content;
};

struct fs_stages {
    struct fs_stages_config config; /* immutable; without dir */
    int dir_fd;                     /* immutable */
    int lock_fd;                    /* immutable */
    dev_t dev;                      /* immutable once it is mounted: 0 when unknown */
    pthread_t reporter;             /* immutable: says_progress */

    pthread_mutex_t lock;
    pthread_cond_t ended; /* stopped, for the reporter */
    bool is_stopped;      /* guarded by lock, as is all that follows */
    bool is_held;         /* no commit begins */
    unsigned n_restoring; /* commits that share the lock of changes */
    bool is_dry_run;
    struct fs_staged *list; /* by number */
    struct fs_staged *by_ino;
    uint64_t last_id;
    uint64_t last_ino;
    struct stages_hidden hidden[FS_STAGES_N_HIDDEN];
    unsigned next_hidden;
    struct stages_expected *expected; /* by command; a place is in it once */
};

static inline int64_t stages_clock_ns(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* --- stages.c --- */

/* A new staged file in the table, OPEN, that nobody can use yet: its stage is to be made. NULL: out
 * of memory. */
struct fs_staged *stages_add_locked(struct fs_stages *stages, fuse_ino_t ino);

/* Nobody else uses it: take it out of the table, and free it. */
void stages_drop(struct fs_staged *staged);

/* One more user. */
void stages_use_locked(struct fs_staged *staged);

/* One user less. With its last what is GONE ends, and what is kept rests (stage_rest). May block on
 * the disk and on a source. */
void stages_unuse(struct fs_staged *staged);

/* By inode number, of those that own theirs. */
struct fs_staged *stages_find_ino_locked(struct fs_stages *stages, fuse_ino_t ino);
struct fs_staged *stages_find_id_locked(struct fs_stages *stages, uint64_t id);

/* What keeps others from a place; NULL: nothing. */
struct fs_staged *stages_find_active_locked(struct fs_stages *stages, const struct fs_place *place);

bool stages_is_active(enum fs_staged_state state);

/* Move on to a state. The words become part of it. */
void stages_set_state_locked(struct fs_staged *staged, enum fs_staged_state state,
                             const char *words);

/* May it be half a file, or another one than is meant? Only a command that insists sends it then.
 */
bool stages_is_doubtful_locked(const struct fs_staged *staged);

#define STAGES_ADVICE_TEXT 128

/* Which commands there are for what is kept: "control restore resume 1, or abort 1". */
void stages_format_advice(uint64_t id, bool is_doubtful, char out[STAGES_ADVICE_TEXT]);

/* Have the journal say what the state is. A disk that takes no note now is told of in the log. The
 * caller is a user. */
void stages_note_state(struct fs_staged *staged);

/* Its writer did not finish. Logged. The caller is a user. */
void stages_taint(struct fs_staged *staged, const char *words);

/* --- stages_dir.c: the directory --- */

int stages_open_dir(struct fs_stages *stages, const char *path, char *message, size_t message_size);

/* Keep a place from other mounts. Returns 0, -EBUSY or the errno. */
int stages_lock_place(struct fs_stages *stages, const char *path);
void stages_unlock_place(struct fs_stages *stages, const char *path);

/* Make the stage of a file in the table under the next free number, which it gets. */
int stages_make(struct fs_staged *staged, const struct stage_purpose *purpose);

/* Its directory is not used any more. */
void stages_unlock_id(struct fs_stages *stages, uint64_t id);

/* That this mount changes the canister, for the others with this directory: with other restores
 * (shared), or alone. Returns 0, -EBUSY, or the errno of the disk. */
int stages_lock_change(struct fs_stages *stages, bool is_shared);
void stages_unlock_change(struct fs_stages *stages);

/* Take over what earlier runs left. */
int stages_find_left(struct fs_stages *stages);

/* --- stages_commit.c --- */

/* Commit, as order says. The caller is a user, and has made it COMMITTING (stages_begin_locked).
 *
 * Returns what the commit came to, with err filled, logged. */
int stages_commit(struct fs_staged *staged, const struct fs_stages_order *order, char *summary,
                  size_t summary_size, struct ic_error *err);

/* Make it COMMITTING, for this place from now on, if that may be. Returns 0, -EBUSY (another is
 * active), -EINTR (the end of the mount), the errno of the disk. */
int stages_begin_locked(struct fs_staged *staged, const struct fs_place *place,
                        atomic_bool *cancel);

/* A commit point has come for what is whole: commit, or let it wait for a command. Called when it
 * is COMMITTING, by a user. */
int stages_complete(struct fs_staged *staged, const atomic_bool *cancel);

/* --- stages_others.c --- */

/* Other staged files of a place, oldest first. */
struct stages_others {
    size_t n;
    struct fs_staged **staged;
    struct stage **stages;
};

/* Those that are for the same place. The caller is a user, and becomes one of each of them; to be
 * unused also after a failure. Returns 0 or -ENOMEM. */
int stages_use_others(struct fs_staged *staged, struct stages_others *out);
void stages_unuse_others(struct stages_others *others);

/* --- stages_expect.c --- */

/* What must it be: by a command or a list for its place, and by its own note from an earlier
 * commit.
 *
 * insists  whatever its own note says
 *
 * Returns 0, -EINVAL (they contradict each other, or the list is none) and so on, with err filled.
 */
int stages_find_expected(struct fs_staged *staged, bool insists, struct stages_content *out,
                         struct ic_error *err);

/* Have the journal say it, so that a later program looks as well. NULL: it may be anything. Returns
 * 0 or the errno. */
int stages_note_expected(struct fs_staged *staged, const struct stages_content *content);

/* Is it that? Returns 0, -EINVAL and so on, with err filled. */
int stages_check_expected(struct fs_staged *staged, const struct stages_content *expected,
                          const atomic_bool *cancel, struct ic_error *err);

/* At the end of the mount: what has not come is logged. */
void stages_end_expected(struct fs_stages *stages);

/* What was expected has come. */
void stages_forget_expected(struct fs_staged *staged);

/* --- stages_progress.c --- */

/* Once a second, what is being committed. */
void *stages_report(void *arg);

#endif
