/* Maps: which methods of a canister mean what, as text.
 *
 * The same INI form serves -o map=FILE and the profiles that are built in. Every section may be
 * left out, but one.
 *
 *     [stable_memory]
 *     read = stable64_read            ; the method that gives bytes
 *     style = range                   ; range: (offset, length); from: (offset); page: (page)
 *     number = nat64                  ; of offset, length, page: nat, nat32, nat64
 *     page_size = 1048576             ; style page: bytes
 *     id = 0                          ; the memory id, when read and size take one first;
 *                                     ; "all": every id from 0 to 254 that is not empty
 *     size = stable64_size            ; the method that tells the size
 *     unit = pages                    ; bytes, pages (64 KiB), auto (nat32: pages, else bytes)
 *     header = stable_storage_info    ; or: the header that tells it; with neither it is searched
 *     version = stable_version        ; () -> (record {version; mtime_ns; size})
 *     read_at = stable_read_at        ; (version, offset, length) -> (variant {ok; err})
 *     prepare = backup                ; an update that makes the memory ready to be read
 *     restore = restore               ; staged restore: restore_begin, restore_chunk,
 *                                     ; restore_status, restore_commit, restore_abort
 *     write = stable64_write          ; else the update that writes: (offset, blob); in style
 *                                     ; page (vec record {page; blob})
 *     grow = stable64_grow            ; the update that grows it first: (pages of 64 KiB)
 *     init = init_storage             ; the update before the first write: (size)
 *     finish = set_restore            ; the update after the last: (true)
 *     hashes = stable_hashes          ; (offset, piece, n) -> (blob) query
 *
 *     [backup.content]                ; a collection and the name of its directory
 *     method = get_contents           ; the method that gives items
 *     style = items                   ; items: (start, limit); whole: (); index: (size, index);
 *                                     ; last: (id, index)
 *     number = nat64                  ; of its arguments: nat, nat32, nat64; or of each: nat nat32
 *     items = chunk                   ; the field of the reply that holds the items,
 *     bytes = chunk                   ; or the one that holds bytes, a blob
 *     total = total_length            ; the field that tells the number of all items
 *     count = count_contents          ; or the method that does; of style index: (size)
 *     latest = time, cursor           ; further fields that may differ from reply to reply
 *     id = 7                          ; style last: of which backup
 *     restore = restore_contents      ; the update that takes it back; needs the interface
 *     wrap = content=chunk polls=chunk_polls  ; its argument is a record: what of the reply goes
 *                                     ; into which field, further ones become null. Without a
 *                                     ; part, wrap = content: all of the reply, or the items
 *     split = yes                     ; may a file be given to it in pieces? no: never. Without it:
 *                                     ; those of style items, if too large for one call
 *     order = any                     ; may these pieces come in any order? Then several are sent
 *                                     ; at once. kept: no. Without it: no
 *
 *     [backup]
 *     version = backup_version        ; () -> (record {version; mtime_ns; ...}): of all collections
 *
 * Keys that are not given are "no such method" in [stable_memory], whose style is then range,
 * number nat64, unit auto. Those of a collection are found out (fs_collection_complete). A field is
 * a name, or the number that a field without a name has: 0 or #0.
 */
#ifndef CANISTERFS_FS_MAP_H
#define CANISTERFS_FS_MAP_H

#include "fs/collection.h"
#include "fs/memory.h"

/* The longest map that is read, bytes. */
#define FS_MAP_MAX 65536

/* The longest name of a collection in a map, bytes: what inih keeps of a section's name. */
#define FS_MAP_NAME_MAX 40

struct fs_map_collection {
    struct fs_collection collection; /* its style and numbers have defaults */
    unsigned given;                  /* enum fs_collection_given, or'ed */
};

struct fs_map {
    bool has_memory; /* there is a [stable_memory] */
    struct fs_memory memory;
    bool all_ids;    /* one memory for each id that is not empty */
    bool has_number; /* number was given; else a .did may tell it */

    struct fs_map_collection collections[FS_COLLECTIONS_MAX];
    size_t n_collections;
    char backup_version[FS_METHOD_NAME_MAX]; /* "": none */
};

/* Read a map from text. Returns 0, or -EINVAL with a line in words that names the line. */
int fs_map_parse(struct fs_map *out, const char *text, size_t len, char *message,
                 size_t message_size) __attribute__((warn_unused_result, nonnull));

/* The same from a file; also -EINVAL when it cannot be read or is longer than FS_MAP_MAX. */
int fs_map_load(struct fs_map *out, const char *path, char *message, size_t message_size)
    __attribute__((warn_unused_result, nonnull));

#endif
