/* A scripted source: known bytes, delays, gates, failures, and a log of what was asked.
 *
 * Its bytes are a pure function of seed, version and offset, so that any reader can be checked
 * against fake_expect. A read that is going to fail scribbles over the buffers first: whoever keeps
 * bytes of a failed read is caught.
 *
 * Thread safety: all functions from any thread, except close.
 */
#ifndef CANISTERFS_TESTS_CACHE_FAKE_SOURCE_H
#define CANISTERFS_TESTS_CACHE_FAKE_SOURCE_H

#include "cache/source.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fake;

struct fake_config {
    uint64_t size;
    uint64_t seed;
    size_t max_io;
    int64_t delay_ns; /* of every read */
};

struct fake_read {
    uint64_t off;
    size_t len;
    int64_t start_ns;
};

/* The returned source is owned by the caller; `*ret_fake` stays valid as long as it. */
int fake_open(struct source **out, struct fake **ret_fake, const struct fake_config *config);

/* Number of fakes that are open (leaks of sources are seen here). */
int fake_n_open(void);

/* Right bytes of a range. */
void fake_fill(uint64_t seed, uint64_t version, uint64_t off, void *buf, size_t len);
/* Does buf hold them? */
bool fake_matches(uint64_t seed, uint64_t version, uint64_t off, const void *buf, size_t len);

/* Reads number `nth` (1 = the next) to nth + n_times - 1 return ret, after the delay. */
void fake_fail(struct fake *fake, uint64_t nth, uint64_t n_times, int ret);
/* So many of 1000 reads, by a generator of its own, return ret. */
void fake_fail_some(struct fake *fake, unsigned per_mille, int ret);
/* What stat returns from now on, 0 = success. */
void fake_fail_stat(struct fake *fake, int ret);

void fake_set_delay(struct fake *fake, int64_t delay_ns);
void fake_set_max_io(struct fake *fake, size_t max_io);
/* Move to another version; reads at any other answer -ESTALE unless `live`. */
void fake_set_version(struct fake *fake, uint64_t version, uint64_t size, bool live);

/* While held, reads block (deadline and cancel flag are honoured). */
void fake_hold(struct fake *fake, bool is_held);
/* Wait until n reads are inside, up to 5 s. */
bool fake_wait_running(struct fake *fake, unsigned n);

unsigned fake_n_reads(struct fake *fake);
unsigned fake_peak_running(struct fake *fake);
/* Copy the i-th read (0 = first) of the log. */
struct fake_read fake_get_read(struct fake *fake, unsigned i);
void fake_forget(struct fake *fake); /* log and peak */

/* Reads that broke the contract: beyond the size of the version, empty, wrong version. */
unsigned fake_n_violations(struct fake *fake);

#endif
