/* A set of bytes as a sorted list of ranges: none touches another, so what is adjacent is one.
 * Bounded, and plain data: it can be stored as it is.
 */
#ifndef CANISTERS_RANGES_H
#define CANISTERS_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RANGES_MAX 2048

struct range {
    uint64_t off;
    uint64_t len; /* off + len does not overflow */
};

struct ranges {
    uint64_t n;
    struct range list[RANGES_MAX]; /* the first n count; last, so that only these need be stored */
};

/* A piece of a range that is wholly inside or wholly outside of the set. */
struct run {
    bool inside;
    uint64_t end; /* exclusive */
};

/* Adds a range. False, and nothing changed: the list is full. */
bool ranges_add(struct ranges *ranges, uint64_t off, uint64_t len);

/* The longest run from off on. Outside, the last one ends at UINT64_MAX. */
struct run ranges_at(const struct ranges *ranges, uint64_t off);

/* Bytes in the set. */
uint64_t ranges_total(const struct ranges *ranges);

#endif
