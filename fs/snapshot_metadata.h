/* Reading metadata.json of a snapshot's directory, as `icp canister snapshot download` writes it
 * and as this program shows it (ic/snapshot_json.h).
 *
 * Strict: what is not understood would be lost by an upload, so it is refused. A float that is
 * null, as a NaN is written, is refused too: nothing tells which it was.
 */
#ifndef CANISTERFS_FS_SNAPSHOT_METADATA_H
#define CANISTERFS_FS_SNAPSHOT_METADATA_H

#include "ic/snapshot.h"

#define FS_SNAPSHOT_METADATA_MAX ((size_t)1 << 20) /* bytes of a text; longer ones are refused */
#define FS_SNAPSHOT_GLOBALS_MAX  1000              /* IC resource limits, as is this: */
#define FS_SNAPSHOT_CHUNKS_MAX   100

/* Parse a text.
 *
 * out  fills; to be released with ic_snapshot_metadata_fini
 *
 * Returns 0, or with err filled: -EINVAL (IC_E_CONFIG: it is none, with words), -ENOMEM. */
int fs_snapshot_metadata_parse(const char *text, size_t len, struct ic_snapshot_metadata *out,
                               struct ic_error *err)
    __attribute__((warn_unused_result, nonnull(3, 4)));

#endif
