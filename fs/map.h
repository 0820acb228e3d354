/* Maps: which methods of a canister mean what, as text.
 *
 * The same INI form serves -o map=FILE and the profiles that are built in:
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
 *
 * Keys that are not given are "no such method"; style is range, number nat64, unit auto.
 */
#ifndef CANISTERFS_FS_MAP_H
#define CANISTERFS_FS_MAP_H

#include "fs/memory.h"

/* The longest map that is read, bytes. */
#define FS_MAP_MAX 65536

struct fs_map {
    struct fs_memory memory; /* memory.read is "" when the map has no [stable_memory] */
    bool all_ids;            /* one memory for each id that is not empty */
    bool has_number;         /* number was given; else a .did may tell it */
};

/* Read a map from text. Returns 0, or -EINVAL with a line in words that names the line. */
int fs_map_parse(struct fs_map *out, const char *text, size_t len, char *message,
                 size_t message_size) __attribute__((warn_unused_result, nonnull));

/* The same from a file; also -EINVAL when it cannot be read or is longer than FS_MAP_MAX. */
int fs_map_load(struct fs_map *out, const char *path, char *message, size_t message_size)
    __attribute__((warn_unused_result, nonnull));

#endif
