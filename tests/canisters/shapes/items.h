/* What the two sources of the canister `items` share: its knobs for restoring, and what was
 * restored.
 */
#ifndef CANISTERS_ITEMS_H
#define CANISTERS_ITEMS_H

#include "list.h"
#include "shape.h"

#define NONE UINT64_MAX

struct items_knobs {
    uint64_t above;   /* more items than so many in one call are refused, */
    uint64_t burns;   /* and more than so many use up the instructions */
    uint64_t fails;   /* this call is refused, the first being 1 */
    uint64_t rejects; /* 1: refusals are rejects, not traps */
    uint64_t ordered; /* 1: no item before those of smaller ids are there */
};
extern struct items_knobs items_restore_knobs;

/* The bodies restored, as they are in a reply. The canister holds the items with the ids below
 * shape.size, of which some were restored, and these. */
extern struct list items_given;

/* Forgets what was restored, and its counts. */
void items_forget(void);
void items_reset_counts(void);

uint64_t items_total(void);

/* The id of the item at a position within the total. */
uint64_t items_id(uint64_t position);

/* A restored item's next edition; false: it is none. */
bool items_touch_given(uint64_t id);

/* The data became others. */
void items_change(void);

#endif
