/* The virtual memories in a memory as files of a directory: `000` to `254`, those that are not
 * empty. vmem_layout.h tells how they are found.
 *
 * Their bytes are read through the memory's own source, which should be a cached one: nothing is
 * kept twice, and versions are the memory's. The header is read at the same version as the bytes:
 * a file belongs together as far as the memory does. Of a live memory, which has no versions, the
 * header is that of the moment when the file was opened; a memory that grows meanwhile does no
 * harm, for buckets are only ever added.
 *
 * Nothing is read before somebody looks the directory up, and it is not listed: a listing asks
 * nothing, and whoever copies the whole mount or snapshot gets no byte twice. When the memory then
 * begins with something else there is no such directory until fs_vmem_outdate; while the memory is
 * empty it is looked at again.
 */
#ifndef CANISTERFS_FS_VMEM_H
#define CANISTERFS_FS_VMEM_H

#include "cache/source.h"
#include "fs/log.h"
#include "fs/tree.h"

struct fs_vmem;

enum fs_vmem_verdict {
    FS_VMEM_UNKNOWN, /* nobody looked, or nothing could be seen */
    FS_VMEM_NONE,    /* the memory begins with something else */
    FS_VMEM_UNFIT,   /* it begins like a memory manager's, but is not understood */
    FS_VMEM_SHOWN,
};

struct fs_vmem_info {
    enum fs_vmem_verdict verdict; /* the first one, or the first since it was outdated */
    char why[192];                /* what was wrong with the last header that was; "": nothing */
    unsigned n_memories;          /* not empty, as last seen */
    uint64_t bucket_size;         /* bytes, as last seen */
};

/* memory  borrowed; must not be used after its source is closed, but for fs_vmem_close
 * log     borrowed
 * whose   memory it is, for the log; borrowed
 *
 * Returns 0 or -ENOMEM. No I/O. */
int fs_vmem_open(struct fs_vmem **out, struct source *memory, struct fs_log *log, const char *whose)
    __attribute__((warn_unused_result, nonnull));

/* After the tree with its listing. NULL is fine. */
void fs_vmem_close(struct fs_vmem *vmem);

/* For a directory of the tree; its arg is the struct fs_vmem. Index is the memory's number. */
extern const struct fs_listing_ops fs_vmem_listing;

/* The memory was changed as a whole, by a restore or a command: when there was nothing to show it
 * is looked at again. What is shown stays. Any thread. */
void fs_vmem_outdate(struct fs_vmem *vmem) __attribute__((nonnull));

/* Any thread, any time. */
void fs_vmem_describe(struct fs_vmem *vmem, struct fs_vmem_info *out) __attribute__((nonnull));

#endif
