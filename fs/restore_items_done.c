/* Which items are restored: see restore_items_impl.h. Few ranges: what lies between two of them was
 * under way when a commit ended. */
#include "fs/restore_items_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_SIZE 8

static int make_room(struct items_done *done)
{
    if (done->n < done->size)
        return 0;
    size_t size = done->size ? 2 * done->size : FIRST_SIZE;
    struct items_range *ranges = realloc(done->ranges, size * sizeof(*ranges));
    if (!ranges)
        return -ENOMEM;
    done->ranges = ranges;
    done->size = size;
    return 0;
}

/* The first range that does not end before an item; n: none. */
static size_t find(const struct items_done *done, uint64_t item)
{
    size_t low = 0, high = done->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (done->ranges[middle].end < item)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int items_done_add(struct items_done *done, uint64_t start, uint64_t end)
{
    done->has_any = true;
    if (start == end)
        return 0;
    int result = make_room(done);
    if (result < 0)
        return result;
    /* Those that it touches become a part of it. */
    size_t first = find(done, start), last = first;
    for (; last < done->n && done->ranges[last].start <= end; last++) {
        const struct items_range *range = &done->ranges[last];
        done->count -= range->end - range->start;
        start = range->start < start ? range->start : start;
        end = range->end > end ? range->end : end;
    }
    memmove(&done->ranges[first + 1], &done->ranges[last],
            (done->n - last) * sizeof(*done->ranges));
    done->ranges[first] = (struct items_range){start, end};
    done->n = done->n - (last - first) + 1;
    done->count += end - start;
    return 0;
}

bool items_done_find_gap(const struct items_done *done, uint64_t from, uint64_t count,
                         struct items_range *out)
{
    size_t i = find(done, from);
    if (i < done->n && done->ranges[i].end == from)
        i++;
    if (i < done->n && done->ranges[i].start <= from)
        from = done->ranges[i++].end;
    *out = (struct items_range){from, i < done->n ? done->ranges[i].start : count};
    return out->start < out->end;
}

void items_done_clear(struct items_done *done)
{
    done->n = 0;
    done->count = 0;
    done->has_any = false;
}

void items_done_fini(struct items_done *done)
{
    free(done->ranges);
    *done = (struct items_done){0};
}
