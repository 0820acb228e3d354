/* The size of a memory that has no method for it: by doubling and bisection.
 *
 * The memory is asked what it holds at some offset; the answer is a number of bytes, or none. What
 * lies before an offset that holds bytes is taken to exist, what lies behind one that holds none is
 * taken not to. An end found that way is asked for a second time before it counts: a canister that
 * fails once must not make a file shorter.
 */
#ifndef CANISTERFS_FS_SIZE_SEARCH_H
#define CANISTERFS_FS_SIZE_SEARCH_H

#include <stdint.h>

/* Fills *out with the number of bytes known to exist from `off` on, 0 when there are none. Returns
 * 0, or -errno when it cannot be told. */
typedef int (*fs_size_probe_fn)(void *arg, uint64_t off, uint64_t *out);

/* hint  a size that is likely right; 0: none. With a right one two or three probes are enough.
 *
 * Returns 0; the errno of a failed probe; -EPROTO when there is no end below 2^63. At most some 130
 * probes for a memory that stands still; one that changes all the time ends in -ESTALE. */
int fs_size_search(fs_size_probe_fn probe, void *arg, uint64_t hint, uint64_t *out)
    __attribute__((warn_unused_result, nonnull(1, 4)));

#endif
