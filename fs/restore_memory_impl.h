/* The parts of the restorer of a memory. Private to fs/restore_memory*.c. */
#ifndef CANISTERFS_FS_RESTORE_MEMORY_IMPL_H
#define CANISTERFS_FS_RESTORE_MEMORY_IMPL_H

#include "fs/crew.h"
#include "fs/limit.h"
#include "fs/restore_memory.h"
#include "fs/restore_memory_plan.h"
#include "ic/sha.h"

#include <pthread.h>

#define MEMORY_PIECE_PAGES (MEMORY_PIECE / MEMORY_PAGE)

/* An update call of 2 MiB (IC resource limits: ingress message) with its envelope and delegations;
 * two fit a block of 4 MiB. */
#define MEMORY_CHUNK_MAX ((size_t)31 * 65536)

/* Notes in the stage. */
enum memory_note {
    MEMORY_NOTE_SESSION = FS_NOTE_RESTORER, /* restore_memory_staged.c */
    MEMORY_NOTE_DOUBT,                      /* restore_memory_plain.c */
    MEMORY_NOTE_STEP,                       /* restore_memory_step.c: and further ones, by kind */
};

/* What a page holds after a restore. */
enum memory_seen {
    MEMORY_SEEN_NOTHING, /* it was not looked at */
    MEMORY_SEEN_BEFORE,  /* what it held before */
    MEMORY_SEEN_SENT,    /* what was sent */
    MEMORY_SEEN_OTHER,
};

/* A page that a restore changes. */
struct memory_witness {
    uint64_t page;
    enum memory_seen seen;
    uint8_t before[IC_SHA256_LEN]; /* hash of what it held */
    uint8_t sent[IC_SHA256_LEN];   /* and of what it is to hold */
};

/* Most of them, of each restore. */
#define MEMORY_WITNESSES 32

/* What is needed to see whether a restore was made. */
struct memory_verify {
    struct memory_plan sent; /* of this attempt */
    uint64_t version;        /* before it */
    size_t n_witnesses;
    /* Each is used by the thread whose task it is. */
    struct memory_witness witnesses[MEMORY_WITNESSES];
    char words[200]; /* what was seen; "": nothing was looked at */
};

struct memory_restorer {
    struct fs_restorer restorer;
    const struct fs_target *target;
    struct fs_memory memory;
    unsigned n_inflight;
    int64_t patience_ns;
    int64_t settle_ns;
    int64_t lag_ns;
};

/* One commit. */
struct memory_commit {
    const struct memory_restorer *owner;
    const struct fs_restore_run *run;
    struct stage *stage;
    int64_t began_ns;

    struct fs_memory_state present; /* the memory, as it was when it was looked at last */
    bool is_versioned;
    bool is_complete;   /* no byte of the stage is the base's */
    uint64_t file_size; /* of the stage */
    uint64_t size;      /* of the memory, when it is done */
    bool is_padded;     /* to whole pages */
    bool wants_pages;   /* the canister refused the size as it was written */

    /* Of each piece the hash: of its content when it needs no base; else, until the base is known,
     * of the stage's part of it. Each is written by the thread whose task it is. */
    uint8_t (*hashes)[IC_SHA256_LEN];
    uint64_t n_pieces;
    uint8_t digest[IC_SHA256_LEN]; /* of the stage alone: the same when it was not changed */

    struct memory_plan plan; /* what is to be sent */
    struct memory_verify verify;
    _Atomic uint64_t n_hash_queries;
    _Atomic uint64_t n_read_queries;
    struct fs_limit hash_limit; /* bytes hashed by one query */
    struct fs_limit read_limit; /* bytes of a reply */
    _Atomic size_t chunk_limit; /* bytes of one update call: halved when they are too many */
};

/* --- restore_memory_content.c --- */

/* Read a part of what the memory will be: staged bytes, zeros, and the base's, which are read from
 * the canister. Returns 0 or -errno with err. */
int memory_content_read(struct memory_commit *commit, uint64_t off, uint8_t *buf, size_t len,
                        const atomic_bool *stop, struct ic_error *err)
    __attribute__((warn_unused_result));

/* What lies in a range: how many bytes of the stage's content are the base's. */
uint64_t memory_content_based(struct memory_commit *commit, uint64_t off, uint64_t len);

/* Was nothing ever written there, and is nothing there the base's? */
bool memory_content_is_hole(struct memory_commit *commit, uint64_t off, uint64_t len);

/* Read the memory as it is; zeros beyond its end. With a version that proves it exactly that
 * version. Errors as above; -ESTALE: it is at another one. */
int memory_base_read(struct memory_commit *commit, uint64_t off, uint8_t *buf, size_t len,
                     const atomic_bool *stop, struct ic_error *err)
    __attribute__((warn_unused_result));

/* Fill commit->hashes and digest from the stage, which is read once, by several threads. */
int memory_content_survey(struct memory_commit *commit, struct ic_error *err)
    __attribute__((warn_unused_result));

/* Hash of the hashes of all pieces: what restore_begin declares. Returns 0 or -ENOMEM. */
int memory_content_hash(const struct memory_commit *commit, uint8_t out[IC_SHA256_LEN],
                        struct ic_error *err) __attribute__((warn_unused_result));

/* The length of a piece: the last one may be short. */
size_t memory_piece_len(const struct memory_commit *commit, uint64_t piece);

/* --- restore_memory_compare.c --- */

enum memory_compare {
    MEMORY_COMPARE_NOTHING, /* send all; only what is missing of the hashes is found out */
    MEMORY_COMPARE_HASHES,  /* by the hashes that the canister tells */
    MEMORY_COMPARE_BYTES,   /* by reading what is there */
};

/* Plan what is to be sent, and complete the hashes.
 *
 * only         look near these pages alone; NULL: everywhere. Near them others may be found, too
 * keeps_zeros  what lies beyond the end of the present memory need not be sent where it is zero
 *
 * Hashes that turn out not to be had are replaced by reading. Queries only. */
int memory_compare(struct memory_commit *commit, enum memory_compare how,
                   const struct memory_plan *only, bool keeps_zeros, struct ic_error *err)
    __attribute__((warn_unused_result));

/* The same in tasks of a crew. Any number of threads, between init and fini. */
struct memory_comparison {
    struct memory_commit *commit;
    const struct memory_plan *only; /* NULL: everywhere */
    bool keeps_zeros;
    _Atomic int how; /* enum memory_compare: hashes that are not to be had make it BYTES */

    pthread_mutex_t lock;        /* of the commit's plan, and of: */
    uint64_t next;               /* piece of the next task */
    unsigned n_running;          /* tasks */
    struct memory_plan compared; /* pages; owned */
    uint64_t n_ready;            /* pages before here are all compared */
    unsigned to_rest;            /* windows that are to be taken as they are */
    unsigned rest;               /* how many it was the last time */
};

/* The plan is empty then. Returns 0 or -ENOMEM. */
int memory_comparison_init(struct memory_comparison *compare, struct memory_commit *commit,
                           enum memory_compare how, bool keeps_zeros, struct ic_error *err)
    __attribute__((warn_unused_result));
void memory_comparison_fini(struct memory_comparison *compare);
enum fs_crew_take memory_comparison_take(struct memory_comparison *compare,
                                         struct fs_crew_task *out);
int memory_comparison_work(struct memory_comparison *compare, const struct fs_crew_task *task,
                           const atomic_bool *stop, struct ic_error *err)
    __attribute__((warn_unused_result));

/* The best way that the canister offers. */
enum memory_compare memory_compare_choose(const struct memory_commit *commit);

/* --- restore_memory_send.c --- */

/* An update call, its reply decoded. Counts it. */
struct memory_reply {
    struct ic_reply reply;
    struct ic_candid *values;
};

int memory_update(struct memory_commit *commit, const char *method, const struct ic_value *args,
                  size_t n_args, const atomic_bool *stop, struct memory_reply *out,
                  struct ic_error *err) __attribute__((warn_unused_result));
void memory_reply_fini(struct memory_reply *reply);

/* Decode a reply: `method` is for messages. Takes `reply` on success. */
int memory_reply_decode(const char *method, const struct ic_reply *reply, struct memory_reply *out,
                        struct ic_error *err) __attribute__((warn_unused_result));

/* Send all that is planned. `send` sends one part, and may be called again for the same one:
 *
 *   off   bytes; len: at most chunk_max
 *
 * step  parts begin at multiples of this many pages and have that many, or fewer at the end; 0: any
 */
struct memory_sender {
    size_t chunk_max;
    uint64_t step;
    int (*send)(void *arg, uint64_t off, const uint8_t *bytes, size_t len, const atomic_bool *stop,
                struct ic_error *err);
    void *arg;
};
int memory_send(struct memory_commit *commit, const struct memory_sender *sender,
                struct ic_error *err) __attribute__((warn_unused_result));

/* The same in tasks of a crew. */
struct memory_sending {
    struct memory_commit *commit;
    const struct memory_sender *sender;
    uint64_t max_pages; /* of one task */
    uint64_t next;      /* page */
};
void memory_sending_init(struct memory_sending *sending, struct memory_commit *commit,
                         const struct memory_sender *sender);

/* Under the lock of the plan, whose pages before n_ready are what they will be. What ends there is
 * kept back: calls are as large as they can be. The task's weight is its pages. */
enum fs_crew_take memory_sending_take(struct memory_sending *sending, uint64_t n_ready,
                                      struct fs_crew_task *out);
int memory_sending_work(struct memory_sending *sending, const struct fs_crew_task *task,
                        const atomic_bool *stop, struct ic_error *err)
    __attribute__((warn_unused_result));

/* A crew for at most n_parts calls. Those that are small go out in larger numbers, as long as they
 * have no more bytes together: each waits for a block, in which there is room for many of them. */
struct fs_crew memory_sending_crew(const struct memory_commit *commit, uint64_t n_parts);

/* --- restore_memory_stream.c --- */

/* memory_compare and memory_send at once: what is known to differ is sent while the rest is
 * compared. No hash may need the base (is_complete), since it was declared before. */
int memory_stream(struct memory_commit *commit, enum memory_compare how, bool keeps_zeros,
                  const struct memory_sender *sender, struct ic_error *err)
    __attribute__((warn_unused_result));

/* Do one thing as a crew of one: repeated while its failures may pass.
 *
 * patience_ns  0: the commit's */
int memory_once(struct memory_commit *commit, int64_t patience_ns,
                int (*work)(void *arg, const atomic_bool *stop, struct ic_error *err), void *arg,
                struct ic_error *err) __attribute__((warn_unused_result));

/* What a crew of this commit has in common; its own members are the caller's to fill. */
struct fs_crew fs_crew_of(const struct memory_commit *commit, unsigned n_threads);

/* Did an earlier commit of this stage declare this size to the canister? */
bool memory_staged_declared(struct memory_commit *commit, uint64_t size);

/* --- the two ways --- */

int memory_commit_staged(struct memory_commit *commit, struct ic_error *err)
    __attribute__((warn_unused_result));
int memory_commit_plain(struct memory_commit *commit, struct ic_error *err)
    __attribute__((warn_unused_result));

/* The memory could not be looked at: is that because an earlier commit of this stage is being
 * applied in steps? Then it is carried on to its end. Else nothing is done.
 *
 * result  of looking, with err. Returns it, 0, or the errno of carrying on. */
int memory_carry_on(struct memory_commit *commit, int result, struct ic_error *err)
    __attribute__((warn_unused_result));

/* Give up what the canister holds of a stage. 0 also when there is nothing. */
int memory_abort_staged(struct memory_commit *commit, struct ic_error *err)
    __attribute__((warn_unused_result));

/* The base must be what the stage lies over, or not be needed. Returns 0, -EINVAL, -ESTALE. */
int memory_check_base(struct memory_commit *commit, struct ic_error *err)
    __attribute__((warn_unused_result));

/* --- restore_memory_verify.c --- */

/* Before what is planned is sent: remember it, and look at some of it. Queries only. Returns 0 or
 * -ENOMEM; what cannot be read is not looked at. */
int memory_verify_prepare(struct memory_commit *commit, struct ic_error *err)
    __attribute__((warn_unused_result));
void memory_verify_fini(struct memory_commit *commit);

/* The canister says that it has made the restore: is it there? Queries only; fills verify.words.
 * Returns 0 also when that could not be found out, or -EIO: the memory, or a part of it, holds what
 * it held before. Takes the owner's lag_ns or a little more to find that. */
int memory_verify(struct memory_commit *commit, struct ic_error *err)
    __attribute__((warn_unused_result));

/* Look until the version is another one, and the size is not too small, for lag_ns at most. Fills
 * commit->present. *out: whether that is so. Returns 0, or the errno of looking. */
int memory_verify_moved(struct memory_commit *commit, uint64_t version, bool *out,
                        struct ic_error *err) __attribute__((warn_unused_result));

/* Ask for size and version again; memory_look_once: as the work of memory_once. */
int memory_look_once(void *commit, const atomic_bool *stop, struct ic_error *err)
    __attribute__((warn_unused_result));
int memory_look(struct memory_commit *commit, struct ic_error *err)
    __attribute__((warn_unused_result));

void memory_set_phase(struct memory_commit *commit, enum fs_restore_phase phase);

/* "12,345,678 bytes in 7 calls, 3 s"; or what would be sent. Printf form for what comes after. */
void memory_summarize(struct memory_commit *commit, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* --- little-endian numbers in notes --- */

void memory_note_put(struct ic_buf *buf, uint64_t number);
bool memory_note_get(struct ic_cursor *cursor, uint64_t *out);

#endif
