/* How far to read ahead: the window of one open handle. Policy only, no I/O.
 *
 * Tell it about every read of the handle and pass what it answers to source_prefetch, best before
 * the read itself, so that both load at the same time:
 *
 *     if (!source_has(source, version, off))
 *         window_lost(&handle->window, off);
 *     if (window_advance(&handle->window, off, len, size, &limits, &hint))
 *         source_prefetch(source, version, hint.off, hint.len, hint.load);
 *     ret = source_read(source, version, off, buf, len, &io);
 *
 * Rules
 *   - A handle starts out reading at random: nothing is fetched but what is asked. Three reads
 *     that touch each other and span 128 KiB make it a sequential one. Small accidental neighbours
 *     do not, so random readers never cause prefetch.
 *   - A first read at offset 0 of 128 KiB or more is how cp, cat and sha256sum begin (the kernel
 *     reads 16 KiB ahead of a small pread there): sequential at once, with 48 MiB (16 full
 *     replies).
 *   - A sequential reader may arrive out of order (the kernel has several READs of one handle in
 *     flight): 512 KiB back and 1 MiB forward are still on course, or 4 and 8 lengths of the read
 *     when that is more. Anything else is a seek and resets.
 *   - The window grows fourfold each time an eighth of it has been consumed, until it holds
 *     n_inflight loads of max_io and a quarter more, which keeps n_inflight of them running while
 *     finished ones are being read; never beyond a quarter of the budget.
 *   - A load is the window over n_inflight, between one block and max_io, in whole blocks. Hints
 *     are block aligned, end at multiples of the load (except at the end of the file) and follow
 *     each other without gap or overlap as long as the reader does not seek and nothing is lost.
 *   - Of a slow source every load is a whole max_io, a file read from its start gets the largest
 *     window at once, and that is three eighths of the budget at most.
 *   - What was hinted may be gone when the reader comes to it: refused for want of room, failed,
 *     evicted while the reader paused. Then all that lies ahead is hinted again; the cache passes
 *     over what it still has.
 *
 * Thread safety: window_advance may be called from any number of threads; the window has a lock of
 * its own, a leaf that is never held together with another.
 */
#ifndef CANISTERFS_CACHE_WINDOW_H
#define CANISTERFS_CACHE_WINDOW_H

#include "cache/lock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Embedded in an open handle. All fields but the lock are guarded by it. */
struct window {
    struct lock lock;
    bool started;     /* a read was seen */
    bool sequential;  /* hints are being issued */
    unsigned n_reads; /* of the run, while not sequential */
    uint64_t run_off; /* start of the run: reads that touch each other */
    uint64_t run_end; /* its end: the furthest byte asked for */
    uint64_t issued;  /* end of what was hinted; block aligned or the end of the file */
    uint64_t grow_at; /* run_end at which the window grows again */
    uint64_t size;    /* bytes to be ahead of run_end, if the limits allow it; 0: not sequential */
};

/* What the moment allows; read at each advance because it adapts. */
struct window_limits {
    size_t max_io;       /* source_max_io(): bytes one remote call carries; 0 = 1 MiB */
    unsigned n_inflight; /* remote calls that run at once, >= 1 (0 counts as 1) */
    size_t budget;       /* bytes of the whole cache */
    bool is_slow;        /* a call takes its time however little it brings */
};

struct window_hint {
    uint64_t off; /* bytes; multiple of the block size */
    uint64_t len; /* bytes, >= 1 */
    size_t load;  /* bytes per load, multiple of the block size */
};

void window_init(struct window *window) __attribute__((nonnull));
void window_fini(struct window *window) __attribute__((nonnull));

/* A read at off finds nothing kept there or on its way. To be told before window_advance. */
void window_lost(struct window *window, uint64_t off) __attribute__((nonnull));

/* Account for one read.
 *
 * off,len   bytes, within the file; len 0 is ignored
 * file_size bytes, of the pinned version
 * out       fills the range to prefetch now, when there is one
 *
 * Returns true when *out was filled. Never blocks (but for the window's own lock).
 */
bool window_advance(struct window *window, uint64_t off, size_t len, uint64_t file_size,
                    const struct window_limits *limits, struct window_hint *out)
    __attribute__((nonnull));

#endif
