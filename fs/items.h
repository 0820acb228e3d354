/* The items of one collection, asked for in as few calls as the canister's limits allow.
 *
 * A piece of a collection is fetched with one call where it can be, else with several: halved when
 * the canister fails because it was too much (fs/item_limit.h), and asked for further when it gave
 * less than it was asked for. The replies are merged into one Candid message of the method's type
 * (ic/candid_split.h), or, where the items are bytes, put one after the other. Replies that do not
 * agree with each other are thrown away and asked for anew.
 *
 * Never are items missing: what is given back has exactly the items that were asked for.
 *
 * Thread safety: every function but init and fini may be called from any thread.
 */
#ifndef CANISTERFS_FS_ITEMS_H
#define CANISTERFS_FS_ITEMS_H

#include "fs/collection.h"
#include "fs/item_limit.h"
#include "fs/target.h"
#include "fs/turn.h"

struct fs_items_stats {
    uint64_t n_calls;    /* that asked for items */
    uint64_t n_too_much; /* of them: refused because of their number */
    uint64_t n_again;    /* pieces thrown away because their replies did not agree */
    uint64_t bytes;      /* of replies with items */
    uint64_t per_call;   /* items that a call asks for now */
};

struct fs_items {
    const struct fs_target *target;         /* borrowed */
    const struct fs_collection *collection; /* borrowed */
    uint64_t per_file;                      /* immutable: items, or bytes, of a file */
    size_t max;                             /* immutable: the longest piece, bytes */
    struct fs_turn *turn;                   /* borrowed */
    struct fs_item_limit limit;

    pthread_mutex_t lock;
    bool is_total_checked;       /* guarded by lock: */
    uint64_t checked_total;      /* guarded by lock: the last one, behind which nothing was */
    uint64_t recent_items;       /* guarded by lock: of some files' worth of late, and */
    uint64_t recent_bytes;       /* guarded by lock: what they took */
    struct fs_items_stats stats; /* guarded by lock */
};

/* per_file  items of a file (as a size for the style INDEX)
 * max       bytes; a longer piece is IC_E_TOO_LARGE
 *
 * Returns 0 or -errno. */
int fs_items_init(struct fs_items *items, const struct fs_target *target,
                  const struct fs_collection *collection, uint64_t per_file, size_t max,
                  struct fs_turn *turn) __attribute__((warn_unused_result, nonnull));
void fs_items_fini(struct fs_items *items);

/* The number of items (ITEMS), or of chunks (INDEX, LAST, WHOLE: 1) that there are now. A number
 * of items that is told and was not told before is checked: there must be none behind it.
 *
 * hint  a number that is likely right, 0 for none: makes a search short
 *
 * Returns 0; -EACCES when the canister gives null where it should give items: it does so to those
 * who may not; -EPROTO: there are more items than it tells; -EFBIG: it would make more than 2^24
 * files; another -errno with err filled, never -ENOENT. */
int fs_items_count(struct fs_items *items, uint64_t hint, const struct ic_io *io, uint64_t *out,
                   struct ic_error *err) __attribute__((warn_unused_result, nonnull));

/* A piece: what one file holds. */
struct fs_piece {
    uint8_t *bytes; /* malloc'ed, the caller's */
    size_t len;
    uint64_t total;   /* as fs_items_count, as the replies said; else as was given */
    unsigned n_calls; /* that it took */
};

/* Fetch the file of an index.
 *
 * total  as fs_items_count said; the file's items must begin below it
 * size   bytes that the file had when it was last fetched, 0: never; spares calls
 *
 * Returns 0; -ENOENT: there are no such items any more; -EFBIG: an item, or the file, is too long;
 * -ESTALE: the replies did not agree three times; another -errno with err filled. */
int fs_items_fetch(struct fs_items *items, uint64_t index, uint64_t total, size_t size,
                   const struct ic_io *io, struct fs_piece *out, struct ic_error *err)
    __attribute__((warn_unused_result, nonnull));

/* The number of files for a total of fs_items_count. */
uint64_t fs_items_files(const struct fs_items *items, uint64_t total);

void fs_items_describe(struct fs_items *items, struct fs_items_stats *out);

#endif
