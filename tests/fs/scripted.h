/* A source whose answers a test sets: content is a function of the offset and the version. */
#ifndef CANISTERFS_TESTS_FS_SCRIPTED_H
#define CANISTERFS_TESTS_FS_SCRIPTED_H

#include "cache/source.h"

/* How many calls are under way. */
struct scripted_gauge {
    _Atomic unsigned now;
    _Atomic unsigned most; /* at once, so far */
};

void scripted_gauge_enter(struct scripted_gauge *gauge);
void scripted_gauge_leave(struct scripted_gauge *gauge);

struct scripted {
    struct source source; /* first */
    struct source_stat stat;
    int stat_result;
    int read_result;
    void (*on_stat)(struct scripted *scripted); /* called while a stat is under way; may be NULL */
    bool waits;                 /* readv waits until it is cancelled or its deadline has passed */
    int64_t read_ns;            /* how long a readv takes that does not wait so */
    _Atomic uint64_t n_changes; /* added to the version */
    _Atomic unsigned n_stats;
    _Atomic unsigned n_reads;
    _Atomic unsigned n_closed;
    struct scripted_gauge reading;
};

/* The struct stays the caller's; close only counts. */
void scripted_init(struct scripted *scripted, uint64_t size, uint64_t version, bool versioned);

/* Take that long; INT64_MAX: without end. Returns 0, or -EINTR, -ETIMEDOUT as soon as the call is
 * cancelled or late. */
int scripted_wait(int64_t ns, const struct source_io *io);

/* The byte at an offset of a version. */
unsigned char scripted_byte(uint64_t version, uint64_t off);

#endif
