#include "fs/size_search.h"

#include <errno.h>
#include <stdbool.h>

#define UNKNOWN UINT64_MAX

/* More probes than any memory that stands still needs: 63 to double, 63 to bisect, some to check.
 */
#define PROBES_MAX 200

struct search {
    uint64_t low;     /* bytes that exist */
    uint64_t high;    /* an offset with nothing at it, or UNKNOWN */
    uint64_t longest; /* answer so far */
    bool is_short;    /* the last answer was shorter than that: the end may be near */
};

static int ask(struct search *search, fs_size_probe_fn probe, void *arg, uint64_t off)
{
    uint64_t found = 0;
    int result = probe(arg, off, &found);
    if (result < 0)
        return result;
    search->is_short = false;
    if (found == 0) {
        search->high = off;
        if (search->low > off)
            search->low = off; /* it has shrunk meanwhile */
        return 0;
    }
    if (found > (uint64_t)INT64_MAX - off)
        return -EPROTO;
    if (off + found > search->low)
        search->low = off + found;
    if (search->high != UNKNOWN && search->high <= off)
        search->high = UNKNOWN; /* it has grown, or failed once */
    search->is_short = found < search->longest;
    if (found > search->longest)
        search->longest = found;
    return 0;
}

static uint64_t next_offset(const struct search *search)
{
    if (search->is_short)
        return search->low;
    if (search->high == UNKNOWN)
        return search->low <= INT64_MAX / 2 ? search->low * 2
               : search->low < INT64_MAX    ? (uint64_t)INT64_MAX - 1
                                            : INT64_MAX;
    return search->low + (search->high - search->low) / 2;
}

int fs_size_search(fs_size_probe_fn probe, void *arg, uint64_t hint, uint64_t *out)
{
    struct search search = {.high = UNKNOWN};
    int result = 0;
    if (hint > 0 && hint <= INT64_MAX)
        result = ask(&search, probe, arg, hint - 1);
    if (result == 0 && search.low == hint)
        result = ask(&search, probe, arg, hint); /* unchanged, most of the time */
    bool is_checked = false;
    for (int n = 0; result == 0 && n < PROBES_MAX; n++) {
        if (search.low != search.high) {
            uint64_t off = next_offset(&search);
            if (off >= INT64_MAX)
                return -EPROTO;
            is_checked = false;
            result = ask(&search, probe, arg, off);
        } else if (!is_checked) {
            is_checked = true;
            result = ask(&search, probe, arg, search.high);
        } else {
            *out = search.low;
            return 0;
        }
    }
    return result < 0 ? result : -ESTALE;
}
