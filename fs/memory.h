/* How the memory of one canister is read: methods, argument types, units, and the calls themselves.
 *
 * Canisters grew many shapes before there was a convention. Three of them give a byte range:
 *   RANGE  (offset, length) -> (blob)          exactly that many bytes
 *   FROM   (offset) -> (blob)                  as many as the canister likes; empty at the end
 *   PAGE   (page) -> (vec record {nat64; blob}) one page; empty beyond the end
 * and the size is told by a version record, by a method (in bytes or in pages of 64 KiB), by a
 * header, or by nothing: then it is searched for.
 *
 * A description is plain data and immutable once it is in use.
 */
#ifndef CANISTERFS_FS_MEMORY_H
#define CANISTERFS_FS_MEMORY_H

#include "fs/memory_write.h"
#include "fs/target.h"
#include "ic/candid.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

enum fs_memory_style { FS_MEMORY_RANGE, FS_MEMORY_FROM, FS_MEMORY_PAGE };

enum fs_memory_unit {
    FS_MEMORY_UNIT_AUTO,  /* nat32 counts pages, anything else bytes */
    FS_MEMORY_UNIT_BYTES, /* */
    FS_MEMORY_UNIT_PAGES, /* of 64 KiB */
};

/* Texts are "" where there is no such method. */
struct fs_memory {
    enum fs_memory_style style;
    char read[FS_METHOD_NAME_MAX];
    enum ic_type_kind number; /* of offset, length and page: nat, nat8 ... nat64 */
    bool has_id;              /* the first argument of read and size is the memory id, a nat8 */
    uint8_t id;
    bool was_empty;     /* with an id: it held nothing when all ids were asked (id_sweep.h) */
    uint64_t page_size; /* PAGE: bytes */

    char size[FS_METHOD_NAME_MAX];
    enum fs_memory_unit unit;
    char header[FS_METHOD_NAME_MAX]; /* () -> (record {header_length; content_length; ...}, ...) */

    char version[FS_METHOD_NAME_MAX]; /* () -> (record {version; mtime_ns; size}) */
    char read_at[FS_METHOD_NAME_MAX]; /* (version, offset, length: nat64) -> (variant {ok; err}) */

    char prepare[FS_METHOD_NAME_MAX]; /* an update that makes the memory ready to be read */

    struct fs_memory_write write; /* how it is restored */
};

/* What the canister says about the whole memory. */
struct fs_memory_state {
    uint64_t size;    /* bytes */
    uint64_t version; /* the canister's number; 0 without version method */
    int64_t mtime_ns; /* 0: not told */
    /* Of the size method's reply; tells which numbers the canister likes. NULL: there is none. */
    enum ic_type_kind size_kind;
};

/* Ask for the size (and the version).
 *
 * hint  a size that is likely right, 0 for none: makes a search short
 *
 * Returns 0 or -errno with err filled. One query, or about two times log2(size) without any size
 * method. Blocks until io's deadline at most; any number of concurrent calls. */
int fs_memory_stat(const struct fs_memory *memory, const struct fs_target *target, uint64_t hint,
                   const struct ic_io *io, struct fs_memory_state *out, struct ic_error *err)
    __attribute__((warn_unused_result, nonnull));

/* A list of buffers and the position in it that is to be filled. */
struct fs_memory_dest {
    const struct iovec *iov;
    int n_iov;
    size_t pos;
};

/* What one read came to. */
struct fs_memory_got {
    size_t len;  /* bytes copied, 1 to those wanted; always all of them in the RANGE style */
    size_t sent; /* bytes that the reply carried, also those not wanted */
    /* What the call took, where the canister tells: a second result, a nat64. 0: not told. */
    uint64_t instructions;
};

/* Read with one query.
 *
 * version  the canister's number, for read_at
 * len      bytes wanted
 * out      fills
 *
 * Returns 0; -ESTALE (the node that answered is at another version, or there is nothing at off);
 * another -errno with err filled. A len of 0 is for finding out whether the method works: then
 * -ESTALE means that it does. */
int fs_memory_read(const struct fs_memory *memory, const struct fs_target *target, uint64_t version,
                   uint64_t off, size_t len, const struct fs_memory_dest *dest,
                   const struct ic_io *io, struct fs_memory_got *out, struct ic_error *err)
    __attribute__((warn_unused_result, nonnull));

/* The method that is called for bytes, for messages. */
const char *fs_memory_reader(const struct fs_memory *memory);

/* Has every read a proof of its version? */
static inline bool fs_memory_proves(const struct fs_memory *memory)
{
    return memory->read_at[0] != '\0';
}

static inline bool fs_memory_has_version(const struct fs_memory *memory)
{
    return memory->version[0] != '\0';
}

#endif
