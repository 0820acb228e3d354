/* What a collection is restored with: the update method that takes back what the backup method
 * gave.
 *
 * Found in the canister's Candid interface, by name and type, or named by a map; never by calling
 * anything. Without an interface there is none, since nobody could tell what gets lost.
 *
 *   of backup_NAME_chunk(s), backup_NAME     restore_NAME_chunk(s), restore_NAME, with NAMEs, too
 *   of backup, backupChunk                   restore, restoreChunk
 *
 * Its only argument takes everything that the reply holds, the opts around it aside: the reply
 * itself; a record of the same fields; or the items alone. Only the total, which the canister knows
 * by itself, and what a map calls `latest` may be left out. (The test is IC_TYPE_LOSSLESS, see
 * ic/candid_relation.h. A record whose fields are all optional accepts any other, and would lose
 * all of it.) Where the argument is a record that the parts of the reply go into, a map says how.
 */
#ifndef CANISTERFS_FS_RESTORE_PARTNER_H
#define CANISTERFS_FS_RESTORE_PARTNER_H

#include "fs/collection.h"
#include "ic/candid_piece.h"

/* Fill c->restore.
 *
 * c      complete (fs_collection_complete). c->restore: what a map gives, else nothing
 * given  enum fs_collection_given, or'ed
 * did    the canister's interface; NULL: it is not known. Outlives c
 *
 * Returns false when the method that a map names is not one: c->restore.reason says why. When none
 * is found without a map's word that is no failure; the reason says why, too. No I/O. */
bool fs_restore_partner_find(struct fs_collection *c, unsigned given, const struct ic_did *did)
    __attribute__((nonnull(1)));

/* The argument, for ic_pieces_open; it points into the partner. */
struct ic_piece_form fs_restore_partner_form(const struct fs_restore_partner *partner)
    __attribute__((nonnull));

/* Fill ids of fields that are shared by all pieces although they may be lists, for struct
 * ic_chunk_rule. Returns how many. */
size_t fs_collection_latest(const struct fs_collection *c, uint32_t out[FS_LATEST_MAX + 1])
    __attribute__((nonnull));

#endif
