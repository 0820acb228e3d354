/* ic/histogram: percentiles within 12 % above, never below. */
#include "ic/histogram.h"
#include "tests/tap.h"

TAP_STATE;

static void check(const struct ic_histogram *h, unsigned percent, uint64_t want, const char *what)
{
    uint64_t got = ic_histogram_percentile(h, percent);
    if (!TAP_OK(got >= want && got <= want + want / 8, what))
        printf("# got %" PRIu64 " for %" PRIu64 "\n", got, want);
}

int main(void)
{
    struct ic_histogram h = {0};
    TAP_INT((int64_t)ic_histogram_percentile(&h, 50), 0, "nothing yet");
    for (uint64_t i = 1; i <= 10000; i++)
        ic_histogram_add(&h, i);
    check(&h, 50, 5000, "median of 1..10000");
    check(&h, 95, 9500, "95th");
    check(&h, 99, 9900, "99th");
    check(&h, 1, 100, "1st");
    check(&h, 100, 10000, "the largest");

    for (unsigned shift = 0; shift < 42; shift++) {
        struct ic_histogram one = {0};
        ic_histogram_add(&one, UINT64_C(3) << shift);
        check(&one, 50, shift < 40 ? UINT64_C(3) << shift : ic_histogram_percentile(&one, 99),
              "a single value, over twelve orders of magnitude");
    }
    struct ic_histogram most = {0};
    ic_histogram_add(&most, UINT64_MAX);
    TAP_OK(ic_histogram_percentile(&most, 50) > UINT64_C(1) << 40,
           "beyond the range: the last bucket");
    return tap_done();
}
