#include "fs/vmem_layout.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VERSION 1

#define AT_VERSION     3
#define AT_N_BUCKETS   4
#define AT_BUCKET_SIZE 6
#define AT_SIZES       40
#define AT_OWNERS      2080

#define NOBODY FS_VMEM_N_MEMORIES

static uint64_t get_number(const uint8_t *at, unsigned n_bytes)
{
    uint64_t number = 0;
    for (unsigned i = n_bytes; i > 0; i--)
        number = number << 8 | at[i - 1];
    return number;
}

/* Sort the buckets by the memory that has them. The table must say of each allocated bucket whose
 * it is, or nobody's, and of all others nobody's. */
static int sort_buckets(const uint8_t *owners, unsigned n_buckets, struct fs_vmem_layout *layout,
                        char *why, size_t why_size)
{
    uint16_t next[FS_VMEM_N_MEMORIES];
    uint16_t counts[FS_VMEM_N_MEMORIES] = {0};
    for (unsigned i = 0; i < FS_VMEM_N_BUCKETS; i++) {
        if (owners[i] == NOBODY)
            continue;
        if (i >= n_buckets) {
            snprintf(why, why_size, "bucket %u belongs to memory %u, but only %u are allocated", i,
                     owners[i], n_buckets);
            return -EPROTO;
        }
        counts[owners[i]]++;
    }
    uint16_t sum = 0;
    for (unsigned id = 0; id < FS_VMEM_N_MEMORIES; id++) {
        layout->first[id] = next[id] = sum;
        sum = (uint16_t)(sum + counts[id]); /* at most FS_VMEM_N_BUCKETS */
    }
    layout->first[FS_VMEM_N_MEMORIES] = sum;
    for (unsigned i = 0; i < n_buckets; i++)
        if (owners[i] != NOBODY)
            layout->buckets[next[owners[i]]++] = (uint16_t)i;
    return 0;
}

/* Every byte of a memory must be in a bucket of its own, and there. */
static int take_size(struct fs_vmem_layout *layout, unsigned id, uint64_t n_pages,
                     uint64_t memory_size, char *why, size_t why_size)
{
    uint64_t n_buckets = layout->first[id + 1] - layout->first[id];
    uint64_t bucket_pages = layout->bucket_size / FS_VMEM_PAGE;
    uint64_t room = n_buckets * bucket_pages;
    if (n_pages > room) {
        snprintf(why, why_size, "memory %u has %llu pages, but its %llu buckets have room for %llu",
                 id, (unsigned long long)n_pages, (unsigned long long)n_buckets,
                 (unsigned long long)room);
        return -EPROTO;
    }
    layout->sizes[id] = n_pages * FS_VMEM_PAGE;
    if (n_pages == 0)
        return 0;
    uint64_t n_whole = (n_pages - 1) / bucket_pages;
    uint64_t rest = layout->sizes[id] - n_whole * layout->bucket_size;
    uint64_t last = layout->buckets[layout->first[id] + n_whole];
    uint64_t end = FS_VMEM_PAGE + last * layout->bucket_size + rest;
    if (end > memory_size) {
        snprintf(why, why_size, "memory %u ends at byte %llu, but there are only %llu", id,
                 (unsigned long long)end, (unsigned long long)memory_size);
        return -EPROTO;
    }
    return 0;
}

static int fill(const uint8_t *header, unsigned n_buckets, uint64_t memory_size,
                struct fs_vmem_layout *layout, char *why, size_t why_size)
{
    layout->bucket_size = get_number(header + AT_BUCKET_SIZE, 2) * FS_VMEM_PAGE;
    int result = sort_buckets(header + AT_OWNERS, n_buckets, layout, why, why_size);
    for (unsigned id = 0; result == 0 && id < FS_VMEM_N_MEMORIES; id++) {
        uint64_t n_pages = get_number(header + AT_SIZES + (size_t)8 * id, 8);
        result = take_size(layout, id, n_pages, memory_size, why, why_size);
    }
    return result;
}

int fs_vmem_layout_parse(const uint8_t *header, uint64_t memory_size, struct fs_vmem_layout **out,
                         char *why, size_t why_size)
{
    if (memcmp(header, "MGR", 3) != 0)
        return -ENOENT;
    if (header[AT_VERSION] != VERSION) {
        snprintf(why, why_size, "version %u of its layout is not known", header[AT_VERSION]);
        return -EPROTO;
    }
    unsigned n_buckets = (unsigned)get_number(header + AT_N_BUCKETS, 2);
    if (n_buckets > FS_VMEM_N_BUCKETS) {
        snprintf(why, why_size, "%u buckets are more than the %u that there can be", n_buckets,
                 FS_VMEM_N_BUCKETS);
        return -EPROTO;
    }
    if (get_number(header + AT_BUCKET_SIZE, 2) == 0) {
        snprintf(why, why_size, "its buckets have no size");
        return -EPROTO;
    }
    struct fs_vmem_layout *layout =
        calloc(1, sizeof(*layout) + n_buckets * sizeof(layout->buckets[0]));
    if (!layout)
        return -ENOMEM;
    int result = fill(header, n_buckets, memory_size, layout, why, why_size);
    if (result < 0) {
        free(layout);
        return result;
    }
    *out = layout;
    return 0;
}

struct fs_vmem_piece fs_vmem_layout_find(const struct fs_vmem_layout *layout, unsigned id,
                                         uint64_t off, uint64_t len)
{
    assert(id < FS_VMEM_N_MEMORIES && len >= 1);
    assert(off <= layout->sizes[id] && len <= layout->sizes[id] - off);
    const uint16_t *bucket = &layout->buckets[layout->first[id] + off / layout->bucket_size];
    uint64_t skip = off % layout->bucket_size;
    struct fs_vmem_piece piece = {
        .off = FS_VMEM_PAGE + *bucket * layout->bucket_size + skip,
        .len = layout->bucket_size - skip,
    };
    for (; piece.len < len && bucket[1] == bucket[0] + 1; bucket++)
        piece.len += layout->bucket_size;
    if (piece.len > len)
        piece.len = len;
    return piece;
}
