/* Where the bytes of virtual memories are: the header of a memory manager.
 *
 * The memory manager of ic-stable-structures divides one memory into up to 255 virtual ones. What
 * follows the header is a row of buckets, all of one size; each belongs to one virtual memory,
 * which is its buckets in ascending order, cut at its size. The header, in the first page (numbers
 * are little endian; source: dfinity/stable-structures, src/memory_manager.rs, "V1 layout", the
 * only version there is):
 *
 *      0  "MGR"
 *      3  version of the layout, 1
 *      4  number of allocated buckets, u16
 *      6  bucket size in pages of 64 KiB, u16
 *      8  32 bytes reserved
 *     40  sizes of the memories 0 to 254 in pages, u64 each
 *   2080  the memory that has bucket 0, 1, ... 32767, a byte each; 255: none
 *  65536  bucket 0, bucket 1, ...
 *
 * Immutable once parsed.
 */
#ifndef CANISTERFS_FS_VMEM_LAYOUT_H
#define CANISTERFS_FS_VMEM_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#define FS_VMEM_N_MEMORIES  255u
#define FS_VMEM_N_BUCKETS   32768u
#define FS_VMEM_PAGE        UINT64_C(65536)
#define FS_VMEM_HEADER_SIZE ((size_t)2080 + FS_VMEM_N_BUCKETS)

struct fs_vmem_layout {
    uint64_t bucket_size; /* bytes */
    uint64_t sizes[FS_VMEM_N_MEMORIES];
    uint16_t first[FS_VMEM_N_MEMORIES + 1]; /* the buckets of memory m: first[m] to first[m+1]-1 */
    uint16_t buckets[];
};

/* Read a header.
 *
 * header       the first FS_VMEM_HEADER_SIZE bytes of the memory
 * memory_size  bytes; what the header places beyond is an error
 * out          fills: malloc'ed, the caller frees
 * why          fills on -EPROTO: in words
 *
 * Returns 0; -ENOENT: this is no memory manager's; -EPROTO: it is, and of another version, or such
 * as no memory manager writes; -ENOMEM. */
int fs_vmem_layout_parse(const uint8_t *header, uint64_t memory_size, struct fs_vmem_layout **out,
                         char *why, size_t why_size) __attribute__((warn_unused_result, nonnull));

/* A range of the memory. */
struct fs_vmem_piece {
    uint64_t off;
    uint64_t len;
};

/* Where the bytes of memory `id` from `off` on are: as many as lie one after the other, at most
 * len. len >= 1, off + len must not exceed the size. */
struct fs_vmem_piece fs_vmem_layout_find(const struct fs_vmem_layout *layout, unsigned id,
                                         uint64_t off, uint64_t len) __attribute__((nonnull));

#endif
