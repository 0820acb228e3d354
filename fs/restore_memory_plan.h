/* Which pages of a memory are to be sent: a bit for each.
 *
 * Thread safety: none; its owner's lock. */
#ifndef CANISTERFS_FS_RESTORE_MEMORY_PLAN_H
#define CANISTERFS_FS_RESTORE_MEMORY_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEMORY_PAGE  UINT64_C(65536)     /* of Wasm; the smallest piece that is told apart */
#define MEMORY_PIECE (UINT64_C(1) << 20) /* of which the hash of a restore is made */

/* Embedded in its owner. */
struct memory_plan {
    uint64_t n_pages;
    uint64_t n_set;
    uint64_t *words; /* owned */
};

/* A run of pages. */
struct memory_run {
    uint64_t first;
    uint64_t n;
};

/* Nothing is to be sent. Returns 0 or -ENOMEM. */
int memory_plan_init(struct memory_plan *plan, uint64_t n_pages)
    __attribute__((warn_unused_result, nonnull));
/* The same pages. Returns 0 or -ENOMEM. */
int memory_plan_copy(struct memory_plan *out, const struct memory_plan *plan)
    __attribute__((warn_unused_result, nonnull));
void memory_plan_fini(struct memory_plan *plan);

/* What lies beyond the last page is left out. */
void memory_plan_set(struct memory_plan *plan, uint64_t first, uint64_t n) __attribute__((nonnull));
void memory_plan_clear(struct memory_plan *plan, uint64_t first, uint64_t n)
    __attribute__((nonnull));

bool memory_plan_has(const struct memory_plan *plan, uint64_t page) __attribute__((nonnull));

/* The next run at or after `from`, of at most `max` pages (>= 1). False: there is none. */
bool memory_plan_find(const struct memory_plan *plan, uint64_t from, uint64_t max,
                      struct memory_run *out) __attribute__((nonnull));

/* How many calls of at most `max` pages it takes. */
uint64_t memory_plan_count(const struct memory_plan *plan, uint64_t max) __attribute__((nonnull));

#endif
