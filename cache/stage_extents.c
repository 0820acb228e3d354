/* Sorted extents in leaves: see stage_extents.h.
 *
 * Two neighbouring leaves that have room for each other become one when extents leave them, so that
 * memory follows the number of extents.
 */
#include "cache/stage_extents.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LEAF_MAX ((size_t)256)

struct stage_leaf {
    size_t n; /* 1 to LEAF_MAX */
    struct stage_extent at[LEAF_MAX];
};

/* A place between extents: before at[i] of a leaf. The place behind the last extent is leaf =
 * n_leaves, i = 0; otherwise i < n. */
struct place {
    size_t leaf;
    size_t i;
};

void stage_extents_fini(struct stage_extents *set)
{
    for (size_t i = 0; i < set->n_leaves; i++)
        free(set->leaves[i]);
    free(set->leaves);
    *set = (struct stage_extents){0};
}

/* Before the first extent whose end is >= bound. */
static struct place place_of(const struct stage_extents *set, uint64_t bound)
{
    struct place place = {0};
    size_t high = set->n_leaves;
    while (place.leaf < high) {
        size_t middle = place.leaf + (high - place.leaf) / 2;
        const struct stage_leaf *leaf = set->leaves[middle];
        if (leaf->at[leaf->n - 1].end < bound)
            place.leaf = middle + 1;
        else
            high = middle;
    }
    if (place.leaf == set->n_leaves)
        return place;
    high = set->leaves[place.leaf]->n;
    while (place.i < high) {
        size_t middle = place.i + (high - place.i) / 2;
        if (set->leaves[place.leaf]->at[middle].end < bound)
            place.i = middle + 1;
        else
            high = middle;
    }
    return place;
}

static struct stage_extent *extent_at(const struct stage_extents *set, struct place place)
{
    return place.leaf < set->n_leaves ? &set->leaves[place.leaf]->at[place.i] : NULL;
}

static struct place place_after(const struct stage_extents *set, struct place place)
{
    if (++place.i == set->leaves[place.leaf]->n)
        place = (struct place){.leaf = place.leaf + 1};
    return place;
}

/* ---- leaves come and go ---- */

static void drop_leaves(struct stage_extents *set, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        free(set->leaves[i]);
    memmove(&set->leaves[from], &set->leaves[to], (set->n_leaves - to) * sizeof(void *));
    set->n_leaves -= to - from;
}

static struct stage_leaf *add_leaf(struct stage_extents *set, size_t at)
{
    if (set->n_leaves == set->capacity) {
        size_t capacity = set->capacity ? set->capacity * 2 : 4;
        struct stage_leaf **leaves = realloc(set->leaves, capacity * sizeof(void *));
        if (!leaves)
            return NULL;
        set->leaves = leaves;
        set->capacity = capacity;
    }
    struct stage_leaf *leaf = malloc(sizeof(*leaf));
    if (!leaf)
        return NULL;
    leaf->n = 0;
    memmove(&set->leaves[at + 1], &set->leaves[at], (set->n_leaves - at) * sizeof(void *));
    set->leaves[at] = leaf;
    set->n_leaves++;
    return leaf;
}

/* Make one leaf of this one and the next, when that leaves room for as many again. */
static void join_leaves(struct stage_extents *set, size_t at)
{
    if (at + 1 >= set->n_leaves)
        return;
    struct stage_leaf *leaf = set->leaves[at];
    const struct stage_leaf *next = set->leaves[at + 1];
    if (leaf->n + next->n > LEAF_MAX / 2)
        return;
    memcpy(&leaf->at[leaf->n], next->at, next->n * sizeof(next->at[0]));
    leaf->n += next->n;
    drop_leaves(set, at + 1, at + 2);
}

/* ---- extents come and go ---- */

static int insert(struct stage_extents *set, struct place place, struct stage_extent extent)
{
    if (set->n == STAGE_EXTENTS_MAX)
        return -EFBIG;
    /* What comes behind everything belongs to the last leaf, if it has room. */
    if (place.leaf == set->n_leaves && place.leaf > 0 && set->leaves[place.leaf - 1]->n < LEAF_MAX)
        place = (struct place){.leaf = place.leaf - 1, .i = set->leaves[place.leaf - 1]->n};
    struct stage_leaf *leaf = place.leaf < set->n_leaves ? set->leaves[place.leaf] : NULL;
    if (!leaf || leaf->n == LEAF_MAX) {
        struct stage_leaf *added = add_leaf(set, leaf ? place.leaf + 1 : place.leaf);
        if (!added)
            return -ENOMEM;
        if (!leaf) {
            leaf = added;
        } else {
            leaf->n = LEAF_MAX / 2;
            added->n = LEAF_MAX - leaf->n;
            memcpy(added->at, &leaf->at[leaf->n], added->n * sizeof(added->at[0]));
            if (place.i > leaf->n) {
                place.i -= leaf->n;
                leaf = added;
            }
        }
    }
    memmove(&leaf->at[place.i + 1], &leaf->at[place.i], (leaf->n - place.i) * sizeof(leaf->at[0]));
    leaf->at[place.i] = extent;
    leaf->n++;
    set->n++;
    set->bytes += extent.end - extent.off;
    return 0;
}

static void erase_in_leaf(struct stage_leaf *leaf, size_t from, size_t to)
{
    memmove(&leaf->at[from], &leaf->at[to], (leaf->n - to) * sizeof(leaf->at[0]));
    leaf->n -= to - from;
}

/* Take out the extents between two places; their number and bytes were subtracted already. */
static void erase(struct stage_extents *set, struct place from, struct place to)
{
    if (from.leaf == to.leaf) {
        if (from.leaf < set->n_leaves)
            erase_in_leaf(set->leaves[from.leaf], from.i, to.i);
    } else {
        if (to.i > 0)
            erase_in_leaf(set->leaves[to.leaf], 0, to.i);
        if (from.i > 0) /* else the whole leaf goes */
            set->leaves[from.leaf]->n = from.i;
        drop_leaves(set, from.leaf + (from.i > 0), to.leaf);
    }
    join_leaves(set, from.leaf);
    if (from.leaf > 0)
        join_leaves(set, from.leaf - 1);
}

int stage_extents_add(struct stage_extents *set, uint64_t off, uint64_t end)
{
    assert(off < end);
    struct place place = place_of(set, off);
    struct stage_extent *first = extent_at(set, place);
    if (!first || first->off > end)
        return insert(set, place, (struct stage_extent){.off = off, .end = end});

    /* It touches `first` and maybe more: all become one. */
    struct stage_extent sum = {.off = first->off < off ? first->off : off, .end = end};
    struct place behind = place;
    for (const struct stage_extent *next = first; next && next->off <= end;
         next = extent_at(set, behind)) {
        sum.end = next->end > end ? next->end : end;
        set->bytes -= next->end - next->off;
        set->n--;
        behind = place_after(set, behind);
    }
    *first = sum;
    set->bytes += sum.end - sum.off;
    set->n++;
    erase(set, place_after(set, place), behind);
    return 0;
}

void stage_extents_cut(struct stage_extents *set, uint64_t from)
{
    struct place place = place_of(set, from);
    struct stage_extent *extent = extent_at(set, place);
    if (extent && extent->off < from) {
        set->bytes -= extent->end - from;
        extent->end = from;
        place = place_after(set, place);
    }
    for (struct place p = place; (extent = extent_at(set, p)); p = place_after(set, p)) {
        set->bytes -= extent->end - extent->off;
        set->n--;
    }
    erase(set, place, (struct place){.leaf = set->n_leaves});
}

/* ---- questions ---- */

bool stage_extents_find(const struct stage_extents *set, uint64_t off, struct stage_extent *out)
{
    if (off == UINT64_MAX)
        return false;
    const struct stage_extent *extent = extent_at(set, place_of(set, off + 1));
    if (!extent)
        return false;
    *out = *extent;
    return true;
}

bool stage_extents_has(const struct stage_extents *set, uint64_t off, uint64_t end)
{
    struct stage_extent extent;
    return stage_extents_find(set, off, &extent) && extent.off <= off && extent.end >= end;
}

uint64_t stage_extents_end(const struct stage_extents *set)
{
    if (set->n_leaves == 0)
        return 0;
    const struct stage_leaf *last = set->leaves[set->n_leaves - 1];
    return last->at[last->n - 1].end;
}
