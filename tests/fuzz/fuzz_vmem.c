/* Any bytes as the header of a memory manager: what is taken for one places every byte of its
 * memories in the memory, behind the header, and no two in one place.
 *
 * The input: the size of the memory in pages (4 bytes), then runs of the header: offset (2 bytes),
 * length (1), and bytes. All else is as in an empty one. */
#include "fs/vmem_layout.h"
#include "tests/fuzz/target.h"

#include <errno.h>
#include <string.h>

static void fill(const uint8_t *data, size_t size, uint8_t *header)
{
    memcpy(header, "MGR\x01", 4);
    memset(header + 2080, 255, FS_VMEM_N_BUCKETS);
    while (size >= 3) {
        size_t off = data[0] | (size_t)data[1] << 8;
        size_t len = data[2];
        data += 3;
        size -= 3;
        if (len > size)
            len = size;
        if (off < FS_VMEM_HEADER_SIZE)
            memcpy(header + off, data,
                   len < FS_VMEM_HEADER_SIZE - off ? len : FS_VMEM_HEADER_SIZE - off);
        data += len;
        size -= len;
    }
}

/* By pages of a bucket: pieces never divide one. */
static void check(const struct fs_vmem_layout *layout, unsigned id, uint64_t memory_size,
                  uint8_t *taken)
{
    uint64_t size = layout->sizes[id];
    for (uint64_t off = 0; off < size;) {
        struct fs_vmem_piece piece = fs_vmem_layout_find(layout, id, off, size - off);
        CLAIM(piece.len > 0 && piece.len <= size - off);
        CLAIM(piece.off >= FS_VMEM_PAGE && piece.off <= memory_size);
        CLAIM(piece.len <= memory_size - piece.off);
        uint64_t last = (piece.off + piece.len - 1 - FS_VMEM_PAGE) / layout->bucket_size;
        for (uint64_t i = (piece.off - FS_VMEM_PAGE) / layout->bucket_size; i <= last; i++) {
            CLAIM(i < FS_VMEM_N_BUCKETS && !taken[i]);
            taken[i] = 1;
        }
        /* Any place within it is found alike. */
        struct fs_vmem_piece end = fs_vmem_layout_find(layout, id, off + piece.len - 1, 1);
        CLAIM(end.off == piece.off + piece.len - 1 && end.len == 1);
        off += piece.len;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t header[FS_VMEM_HEADER_SIZE];
    static uint8_t taken[FS_VMEM_N_BUCKETS];
    if (size < 4)
        return 0;
    uint64_t n_pages =
        data[0] | (uint64_t)data[1] << 8 | (uint64_t)data[2] << 16 | (uint64_t)data[3] << 24;
    memset(header, 0, sizeof(header));
    memset(taken, 0, sizeof(taken));
    fill(data + 4, size - 4, header);
    char why[192] = "";
    struct fs_vmem_layout *layout = NULL;
    int result = fs_vmem_layout_parse(header, n_pages * FS_VMEM_PAGE, &layout, why, sizeof(why));
    CLAIM(result == 0 || (result == -EPROTO && why[0]) || result == -ENOENT);
    CLAIM((result == -ENOENT) == (memcmp(header, "MGR", 3) != 0));
    CLAIM((result == 0) == (layout != NULL));
    for (unsigned id = 0; layout && id < FS_VMEM_N_MEMORIES; id++)
        check(layout, id, n_pages * FS_VMEM_PAGE, taken);
    free(layout);
    return 0;
}
