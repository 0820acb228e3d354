/* The methods of a staged restore: one call each. See memory_write.h for the convention.
 *
 * A refusal of the canister's is an error as fs/refusal.h says, with its kind beside. */
#ifndef CANISTERFS_FS_RESTORE_MEMORY_SESSION_H
#define CANISTERFS_FS_RESTORE_MEMORY_SESSION_H

#include "fs/refusal.h"
#include "fs/restore_memory_impl.h"

/* What restore_begin is told, and answers. */
struct memory_session {
    struct memory_commit *commit;
    struct ic_did *convention; /* the types; owned */

    uint64_t size;
    uint8_t sha256[IC_SHA256_LEN];
    bool has_base;
    uint64_t base_version;

    uint64_t number;
    uint64_t chunk_max;
    _Atomic int refusal; /* of the last call that was refused: enum fs_refusal */
};

/* Returns 0 or -ENOMEM. */
int memory_session_init(struct memory_session *session, struct memory_commit *commit)
    __attribute__((warn_unused_result, nonnull));
void memory_session_fini(struct memory_session *session);

/* Each blocks with the crew's patience. */
int memory_session_begin(struct memory_session *session, struct ic_error *err)
    __attribute__((warn_unused_result, nonnull));
int memory_session_abort(struct memory_session *session, struct ic_error *err)
    __attribute__((warn_unused_result, nonnull));

/* Until the canister has taken it over, or refuses. Progress is told as it goes. */
int memory_session_commit(struct memory_session *session, struct ic_error *err)
    __attribute__((warn_unused_result, nonnull));

/* Take what the canister has out of the plan. What it says is not proven: who relies on it has the
 * commit checked. *ret_is_open: whether it knows the session, and that as open. */
int memory_session_status(struct memory_session *session, bool *ret_is_open, struct ic_error *err)
    __attribute__((warn_unused_result, nonnull));

/* Send one chunk: a memory_sender's. */
int memory_session_send(void *session, uint64_t off, const uint8_t *bytes, size_t len,
                        const atomic_bool *stop, struct ic_error *err)
    __attribute__((warn_unused_result, nonnull));

/* --- the pure parts --- */

/* Take the ranges of a restore_status reply out of a plan for `size` bytes: whole pages only.
 * Returns 0 or -EPROTO. */
int memory_session_subtract(const struct ic_value *received, uint64_t size,
                            struct memory_plan *plan)
    __attribute__((warn_unused_result, nonnull(3)));

#endif
