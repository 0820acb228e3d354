/* Making a snapshot out of bytes, call by call: an id for what its metadata declare, then the
 * bytes, in any order.
 *
 * What was declared and not written is zero. All calls are for controllers of the canister only. A
 * snapshot that is replaced is never asked for: the network would delete the old one before there
 * is a byte of the new one.
 *
 * Source: IC interface spec, upload_canister_snapshot_metadata, upload_canister_snapshot_data.
 */
#ifndef CANISTERFS_IC_SNAPSHOT_UPLOAD_H
#define CANISTERFS_IC_SNAPSHOT_UPLOAD_H

#include "ic/snapshot.h"

/* The method's name, for ic_agent_ask_update. */
extern const char ic_snapshot_declare_method[];

/* Make and sign the call that declares a snapshot. It makes another one each time that it is made.
 * Of the metadata everything counts that the network takes: not when, by whom and from what they
 * were taken, nor the chunk store, whose chunks are written.
 *
 * out  fills; to be released with ic_update_fini
 *
 * Returns 0, or -errno with err filled. */
int ic_snapshot_prepare_declare(struct ic_agent *agent, const struct ic_principal *canister,
                                const struct ic_snapshot_metadata *metadata, struct ic_update *out,
                                struct ic_error *err) IC_NONNULL(1, 2, 3, 4) IC_MUST_CHECK;

/* What that call replied: the id.
 *
 * reply  takes, also on failure */
int ic_snapshot_decode_declared(struct ic_reply *reply, struct ic_snapshot_id *out,
                                struct ic_error *err) IC_NONNULL(1, 2) IC_MUST_CHECK;

/* Write a range of a blob with one call. It may be repeated.
 *
 * bytes  1 to IC_SNAPSHOT_SLICE_MAX, within the blob
 *
 * Returns 0, or -errno with err filled: as ic_management_call; IC_E_NOT_FOUND: there is no such
 * snapshot; IC_E_OVERLOADED also when the subnet takes no more for the moment (heap delta). */
int ic_snapshot_write(struct ic_agent *agent, const struct ic_principal *canister,
                      const struct ic_snapshot_id *id, enum ic_snapshot_blob blob, uint64_t off,
                      struct ic_view bytes, const struct ic_io *io, struct ic_error *err)
    IC_NONNULL(1, 2, 3, 7) IC_MUST_CHECK;

/* The same for a whole chunk of the chunk store, of at most IC_SNAPSHOT_CHUNK_MAX bytes. */
int ic_snapshot_write_chunk(struct ic_agent *agent, const struct ic_principal *canister,
                            const struct ic_snapshot_id *id, struct ic_view bytes,
                            const struct ic_io *io, struct ic_error *err)
    IC_NONNULL(1, 2, 3, 5) IC_MUST_CHECK;

#endif
