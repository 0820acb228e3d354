/* See ranges.h. */
#include "ranges.h"

static uint64_t end_of(struct range range)
{
    return range.off + range.len;
}

/* The first range that ends at off or behind it; n when there is none. */
static size_t find(const struct ranges *ranges, uint64_t off)
{
    size_t low = 0;
    size_t high = (size_t)ranges->n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (end_of(ranges->list[middle]) < off)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Replaces ranges [first, last) by one, which the list has room for. */
static void replace(struct ranges *ranges, size_t first, size_t last, struct range by)
{
    struct range *list = ranges->list;
    size_t n = (size_t)ranges->n;

    __builtin_memmove(list + first + 1, list + last, (n - last) * sizeof(*list));
    list[first] = by;
    ranges->n = n - (last - first) + 1;
}

bool ranges_add(struct ranges *ranges, uint64_t off, uint64_t len)
{
    size_t first = find(ranges, off);
    size_t last = first;
    uint64_t end = off + len;

    if (len == 0)
        return true;
    for (; last < ranges->n && ranges->list[last].off <= end; last++) {
        struct range old = ranges->list[last];

        off = old.off < off ? old.off : off;
        end = end_of(old) > end ? end_of(old) : end;
    }
    if (first == last && ranges->n == RANGES_MAX)
        return false;
    replace(ranges, first, last, (struct range){.off = off, .len = end - off});
    return true;
}

struct run ranges_at(const struct ranges *ranges, uint64_t off)
{
    size_t at = find(ranges, off);

    if (at < ranges->n && end_of(ranges->list[at]) == off)
        at++;
    if (at == ranges->n)
        return (struct run){.inside = false, .end = UINT64_MAX};
    if (ranges->list[at].off > off)
        return (struct run){.inside = false, .end = ranges->list[at].off};
    return (struct run){.inside = true, .end = end_of(ranges->list[at])};
}

uint64_t ranges_total(const struct ranges *ranges)
{
    uint64_t total = 0;

    for (size_t i = 0; i < ranges->n; i++)
        total += ranges->list[i].len;
    return total;
}
