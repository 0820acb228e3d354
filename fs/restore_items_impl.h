/* The parts of a commit. Private to fs/restore_items*.c. */
#ifndef CANISTERFS_FS_RESTORE_ITEMS_IMPL_H
#define CANISTERFS_FS_RESTORE_ITEMS_IMPL_H

#include "fs/item_limit.h"
#include "fs/restore_items.h"
#include "ic/candid_piece.h"
#include "ic/request.h"
#include "ic/sha.h"

struct fs_restore_items {
    struct fs_restore_items_config config; /* immutable */
    struct fs_item_limit limit;
};

/* --- what is to be restored --- */

struct items_content {
    uint8_t *bytes; /* of the file; or the message made of its bytes */
    size_t len;
    uint8_t hash[IC_SHA256_LEN]; /* of the file */
    size_t file_len;
    struct ic_pieces *pieces; /* of bytes */
    uint64_t count;           /* items; 1 when it is not split */
};

/* Read the stage and check all that can be checked. To be closed in any case.
 *
 * Returns 0; -EINVAL, -EFBIG with words; the errno of the disk. */
int items_content_open(struct items_content *content, const struct fs_restore_items *items,
                       const struct fs_restore_run *run, struct ic_error *err)
    __attribute__((warn_unused_result));
void items_content_close(struct items_content *content);

/* --- which items are restored --- */

struct items_range {
    uint64_t start, end;
};

struct items_done {
    struct items_range *ranges; /* in order, apart from each other */
    size_t n, size;
    uint64_t count; /* items in them */
    bool has_any;   /* a call succeeded, perhaps one without items */
};

/* Returns 0 or -ENOMEM, then nothing of it is added. */
int items_done_add(struct items_done *done, uint64_t start, uint64_t end)
    __attribute__((warn_unused_result));

/* The next items of [from, count) that are not restored, as many as follow on each other. False:
 * there are none. */
bool items_done_find_gap(const struct items_done *done, uint64_t from, uint64_t count,
                         struct items_range *out);
void items_done_clear(struct items_done *done);
void items_done_fini(struct items_done *done);

/* --- what the stage remembers --- */

enum items_call_state {
    ITEMS_CALL_SENT = 1, /* or about to be */
    ITEMS_CALL_DONE,     /* the canister has the items */
    ITEMS_CALL_FAILED,   /* certain: it has not */
};

/* A call for items [start, end). All notes are kept; the last of a request id counts. */
struct items_note {
    struct stage *stage; /* where it is noted; borrowed */
    enum items_call_state state;
    uint8_t hash[IC_SHA256_LEN]; /* of the file */
    uint64_t start, end;
    uint64_t expiry_ns;
    uint8_t request_id[IC_REQUEST_ID_LEN];
};

/* Returns 0 or -errno with err. Thread safety: any thread. */
int items_note_write(const struct items_note *note, struct ic_error *err)
    __attribute__((warn_unused_result));

/* All notes of a stage. */
struct items_history {
    bool has_begun;          /* there is one */
    struct items_done done;  /* of the file that the last of them is about, if it is this one */
    struct items_note *open; /* SENT: what became of them is not known */
    size_t n_open, size;
};

/* hash  of the file
 *
 * Returns 0; -EPROTO: the notes cannot be read; -errno. To be closed in any case. */
int items_history_read(struct stage *stage, const uint8_t hash[IC_SHA256_LEN],
                       struct items_history *out, struct ic_error *err)
    __attribute__((warn_unused_result));
void items_history_close(struct items_history *history);

/* --- calls --- */

/* What calls are made for. */
struct items_commit {
    struct fs_restore_items *items;
    uint64_t index; /* of the file */
    const struct fs_restore_run *run;
    struct items_content content;
    struct items_done done;   /* of content; while it is sent guarded by that one's lock */
    _Atomic uint64_t n_calls; /* that were made */
};

/* Restore items [start, end) with a call of this argument: noted before and after. Thread safety:
 * any thread.
 *
 * Returns 0; -errno with words of the canister or the network, nothing of these items being
 * restored, or not known to be: IC_E_UNKNOWN_OUTCOME; -EINTR: cancelled, the words say which;
 * -ESTALE: the lease was lost before it was sent. */
int items_call_make(struct items_commit *commit, uint64_t start, uint64_t end,
                    const struct ic_buf *arg, struct ic_error *err)
    __attribute__((warn_unused_result));

/* What became of earlier calls, if nothing is noted of that; of this stage, and of others. Fills
 * commit->done.
 *
 * Returns 0 or -errno, as above; -EBUSY: another stage of the same content was given half-way. */
int items_call_resume(struct items_commit *commit, struct ic_error *err)
    __attribute__((warn_unused_result));

/* --- all of them --- */

/* Send what is not restored yet: one call after the other, or several at once where the order is
 * free. After the first failure none is begun any more; those under way are waited for.
 *
 * Returns 0 or the failure, an unknown outcome before others; the words name the items. */
int items_send(struct items_commit *commit, struct ic_error *err)
    __attribute__((warn_unused_result));

/* Which items a failure is about, in words. Those of what is not known say so themselves. */
int items_explain(const struct items_commit *commit, const struct items_range *range, int result,
                  struct ic_error *err) __attribute__((warn_unused_result));

static inline bool items_is_complete(const struct items_commit *commit)
{
    return commit->done.has_any && commit->done.count == commit->content.count;
}

static inline bool items_is_cancelled(const struct fs_restore_run *run)
{
    return run->cancel && atomic_load(run->cancel);
}

#endif
