/* metadata.json of a snapshot's directory, as `icp canister snapshot download` writes it, byte for
 * byte: either tool can then upload what the other saved.
 *
 * Two spaces to a level, empty lists as [], no newline at the end. Bytes are lists of numbers. A
 * v128 is the list of its 32-bit limbs, least significant first, without zeros at its end. Floats
 * are the shortest that read back as the same, whole ones with ".0", very large and small ones with
 * an exponent (1e+16, 1.5e-7); what JSON cannot say (NaN, infinities) is null.
 *
 * Source: measured with icp 1.5.0; its serialiser is serde_json.
 */
#ifndef CANISTERFS_IC_SNAPSHOT_JSON_H
#define CANISTERFS_IC_SNAPSHOT_JSON_H

#include "ic/snapshot.h"

/* Append the text to a buffer. Returns 0 or -ENOMEM. */
int ic_snapshot_json(const struct ic_snapshot_metadata *metadata, struct ic_buf *out)
    IC_NONNULL(1, 2) IC_MUST_CHECK;

#endif
