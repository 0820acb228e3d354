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

/* --- what the stage remembers --- */

enum items_call_state {
    ITEMS_CALL_SENT = 1, /* or about to be */
    ITEMS_CALL_DONE,     /* the canister has the items */
    ITEMS_CALL_FAILED,   /* certain: it has not */
};

/* The last call. Items [0, start) are restored. */
struct items_note {
    struct stage *stage; /* where it is noted; borrowed */
    enum items_call_state state;
    uint8_t hash[IC_SHA256_LEN]; /* of the file */
    uint64_t start, end;
    uint64_t expiry_ns;
    uint8_t request_id[IC_REQUEST_ID_LEN];
};

/* Returns 0 or -errno with err. */
int items_note_write(const struct items_note *note, struct ic_error *err)
    __attribute__((warn_unused_result));

/* Returns 0; -ENOENT: there is none, without words; -EPROTO: it cannot be read; -errno. */
int items_note_read(struct stage *stage, struct items_note *out, struct ic_error *err)
    __attribute__((warn_unused_result));

/* --- calls --- */

/* What a call is made for. */
struct items_commit {
    struct fs_restore_items *items;
    uint64_t index; /* of the file */
    const struct fs_restore_run *run;
    struct items_content content;
    uint64_t at;      /* items [0, at) are restored */
    bool is_complete; /* all of them are; what has none takes a call, too */
    uint64_t n_calls; /* that were made */
    struct ic_error *err;
};

/* Restore items [commit->at, end) with a call of this argument: noted before and after.
 *
 * Returns 0; -errno with words of the canister or the network, nothing of these items being
 * restored, or not known to be: IC_E_UNKNOWN_OUTCOME; -EINTR: cancelled, the words say which. */
int items_call_make(struct items_commit *commit, uint64_t end, const struct ic_buf *arg)
    __attribute__((warn_unused_result));

/* What became of the last call, if nothing is noted of that. Fills commit->at and is_complete. When
 * this stage has sent none: what became of those of others.
 *
 * Returns 0 or -errno, as above; -EBUSY: another stage of the same content was given half-way. */
int items_call_resume(struct items_commit *commit) __attribute__((warn_unused_result));

static inline bool items_is_cancelled(const struct fs_restore_run *run)
{
    return run->cancel && atomic_load(run->cancel);
}

#endif
