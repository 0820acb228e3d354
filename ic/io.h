/* How long a call may take and how it is given up: passed down to everything that waits. */
#ifndef CANISTERFS_IC_IO_H
#define CANISTERFS_IC_IO_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IC_IO_LARGE ((size_t)256 << 10) /* bytes: such a call is large */

struct ic_io {
    int64_t deadline_ns;       /* CLOCK_MONOTONIC; always finite */
    const atomic_bool *cancel; /* set by another thread to give the call up; may be NULL */
    bool is_ahead;             /* nobody waits for it yet: calls that somebody waits for go first */
    bool is_large;             /* an answer of IC_IO_LARGE or more is expected */
    bool is_certified; /* what is asked is asked by updates: no node that lags behind answers */
};

#endif
