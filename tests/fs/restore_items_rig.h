/* A canister that is pretended, and commits of files of its collections.
 *
 * The agent's three functions for updates are replaced (link_args in meson.build), and what looks
 * at the lease and notes in the stage. The canister is shared memory, so that it outlives a process
 * that dies. */
#ifndef CANISTERFS_TESTS_FS_RESTORE_ITEMS_RIG_H
#define CANISTERFS_TESTS_FS_RESTORE_ITEMS_RIG_H

#include "fs/restore_items.h"
#include "ic/buf.h"

#include <pthread.h>

#define RIG_ITEMS 4096
#define RIG_CALLS 4096
#define RIG_NONE  UINT64_MAX

/* --- the canister --- */

/* What happens to a call, by its number. */
enum rig_accident {
    NO_ACCIDENT,
    DIE_BEFORE, /* the program, before it is sent */
    DIE_AFTER,  /* when it has run */
    LOSE_CALL,  /* it never arrives, and nobody learns that in time */
    LOSE_REPLY, /* it runs, and nobody learns that in time */
    NEVER_RAN,  /* it is certified that it never runs */
    CANCEL_IT,  /* the user, when it has run */
};

struct rig_canister {
    pthread_mutex_t lock; /* of all that follows, while a commit runs */
    unsigned n_calls;     /* sent */
    unsigned n_asked;
    unsigned n_too_much;
    uint16_t n_given[RIG_ITEMS]; /* by id */
    uint64_t last_given;         /* the id */
    unsigned n_backwards;        /* items that came after one with a larger id */
    unsigned n_empty;            /* calls without items */
    uint64_t n_bytes;            /* of arguments */
    unsigned n_now, most_at_once;
    /* Of calls that were prepared, by the number in their id: */
    enum { NOT_SENT, HAS_RUN, WAS_REJECTED } states[RIG_CALLS];
    unsigned n_prepared;
    /* What is to happen. */
    unsigned accident_at, n_accidents; /* to calls from this on; 0: to one */
    enum rig_accident accident;
    bool is_forgetful; /* does not know what became of calls */
    uint64_t limit;    /* items */
    bool limit_is_told;
    uint64_t bad; /* this item traps */
    const char *reply;
    size_t reply_len;
    unsigned call_ms;       /* how long a call takes */
    unsigned lease_lost_at; /* when so many calls were sent; 0: never */
    unsigned note_fails_at; /* the disk is full for the note of this number from now; 0: none */
};

extern struct rig_canister *rig_canister;
extern atomic_bool rig_cancelled; /* the user */
extern int rig_dir_fd;            /* of the stages */

bool rig_open(void);
int rig_close(void); /* 0, or what is left behind */

/* It has nothing, knows nothing, and nothing will happen to it. */
void rig_reset(void);

/* Each of the items [0, n) was given so often, and no other was at all. */
bool rig_was_given(uint64_t n, unsigned times);

/* --- collections and files --- */

#define RIG_TYPES                                                                                  \
    "type Item = record { id : nat64; body : text };\n"                                            \
    "type Chunk = record { chunk : vec Item; total_length : nat64 };\n"                            \
    "type Limits = record { posts : nat32; names : vec text };\n"

/* What follows is about files of this collection. */
void rig_choose(const char *method);
/* With so many calls at once, and thus in any order. */
void rig_choose_at_once(const char *method, unsigned n_inflight);

#define RIG_INDEX 3 /* of the file */

/* Items [0, n), with bodies of len bytes, as the result of a method. */
struct ic_buf rig_make_file(const char *method, uint64_t n, size_t len);

/* A stage of the name "1". */
struct stage *rig_stage_of(const void *bytes, size_t len);

/* The canister as new, this collection, and a stage of a file of it. */
struct stage *rig_begin(const char *method, const struct ic_buf *file);

/* --- commits --- */

struct rig_outcome {
    int result;
    struct ic_error err;
    char summary[256];
    struct fs_restore_progress progress;
};

void rig_commit(struct stage *stage, bool force, bool dry_run, struct rig_outcome *out);

/* Commit in a process of its own, which may die of an accident; there will be none after it. Takes
 * the stage, and returns it as who comes next opens it. */
struct stage *rig_commit_and_die(struct stage *stage);

/* Commit n items, and remove their stage. Each was given once, in so few calls; else says what
 * came. */
bool rig_restores_in_few(struct stage *stage, uint64_t n, uint64_t most_in_vain,
                         uint64_t most_calls);

/* The commit of n items failed because of this one, and says so. */
void rig_expect_bad(const struct rig_outcome *out, uint64_t bad, uint64_t n);

/* What the canister gives for the file when it is asked. */
struct rig_present {
    int result;        /* of the question */
    const void *bytes; /* the file */
    size_t len;
    const void *newer; /* what a certified answer has instead; NULL: the same */
    size_t newer_len;
    int certified_result; /* of the question for newer */
    unsigned n_asked;
    unsigned n_certified; /* of these */
};
extern struct rig_present *rig_present; /* NULL: there is no such file */

#endif
