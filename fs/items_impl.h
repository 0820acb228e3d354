/* Shared by the files of items. Private to fs/items*.c. */
#ifndef CANISTERFS_FS_ITEMS_IMPL_H
#define CANISTERFS_FS_ITEMS_IMPL_H

#include "fs/items.h"
#include "fs/query.h"
#include "ic/candid_chunk.h"

/* Call the method with two numbers. */
int items_call(const struct fs_items *items, uint64_t first, uint64_t second,
               const struct ic_io *io, struct ic_reply *out, struct ic_error *err);

/* What a reply of the style ITEMS holds. */
int items_look(const struct fs_items *items, const struct ic_reply *reply,
               struct ic_chunk_info *out, struct ic_error *err);

/* Null where there should be something: canisters answer so to those who may not read. */
int items_fail_null(const struct fs_items *items, struct ic_error *err);

/* The canister's own code failed, which may be because of how much it was asked for. */
bool items_is_own_failure(const struct ic_error *err);

/* Style LAST: (id, index) -> (blob, whether it is the last). Fills the blob, which points into the
 * answer. */
int items_call_last(const struct fs_items *items, uint64_t index, const struct ic_io *io,
                    struct fs_answer *out, struct ic_view *blob, bool *is_last,
                    struct ic_error *err);

/* Count a call for items. */
void items_note_call(struct fs_items *items, bool was_too_much);

/* Style ITEMS: the items from start on that belong into one file.
 *
 * size   bytes that they may come to, 0: no idea
 * total  as known; fills: as the replies said
 * out    appended to */
int items_fetch(struct fs_items *items, uint64_t start, size_t size, uint64_t *total,
                const struct ic_io *io, struct ic_buf *out, unsigned *n_calls,
                struct ic_error *err);

#endif
