/* The live bytes of stable memory: what the application stores, readers see, and a restore
 * replaces. They begin at 0. Behind them there may be bytes staged by a restore and, in the last
 * page, the record (record.h); so the application must ask here for the size, and change and grow
 * the memory through these functions alone.
 *
 * Every change of the live bytes moves their version: a time in ns, made strictly increasing. It is
 * kept on the heap; an upgrade makes a new, larger one.
 *
 * Bytes that become live by growing are zeros, whatever was staged there before.
 *
 * While a restore is applied in several messages the live bytes are neither the old nor the new
 * ones: live_read and whatever changes them trap with words that contain "busy".
 */
#ifndef CANISTERS_LIVE_H
#define CANISTERS_LIVE_H

#include <stdbool.h>
#include <stdint.h>

#define LIVE_PAGE 65536
#define LIVE_MAX  ((uint64_t)1 << 48) /* beyond any memory, and far from overflowing */

/* What is kept of them in the record. */
struct live {
    uint64_t size;       /* bytes, in whole pages */
    uint64_t dirty_from; /* from here on to the end of the memory there may be others than zeros */
};

/* In canister_init and canister_post_upgrade, first of all. */
void live_open(void);

uint64_t live_size(void);
uint64_t live_version(void);
uint64_t live_mtime_ns(void);

/* Whether a restore is being applied. live_require traps then. */
bool live_is_busy(void);
void live_require(void);

bool live_has(uint64_t off, uint64_t len);
void live_read(void *dst, uint64_t off, uint64_t len);

/* Writes; grows as needed, and traps when that cannot be. */
void live_write(uint64_t off, const void *src, uint64_t len);

/* Grows to hold size bytes. False, and nothing changed: the memory cannot grow so far. Traps when
 * more than 1 GiB would have to be cleared for it: growing by less at a time does that. */
bool live_reserve(uint64_t size);

/* Sets a larger size, without clearing what becomes live by it. */
void live_set_size(uint64_t size);

/* Writes zeros where there are others. */
void live_clear(uint64_t off, uint64_t len);

/* Moves the version. */
void live_changed(void);

/* Whether all are zeros. bytes are aligned to 8 and len is a multiple of it. */
bool live_is_zero(const void *bytes, uint64_t len);

#endif
