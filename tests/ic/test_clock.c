/* Clocks: words for those that differ, and certified time that does not go back. */
#include "ic/clock_skew.h"
#include "ic/time_floor.h"
#include "tests/tap.h"

#include <errno.h>
#include <stdio.h>

TAP_STATE;

#define SECOND 1000000000LL
#define NOW    (1800000000LL * SECOND)

static void test_words(void)
{
    static const struct {
        int64_t skew_s; /* what was refused, against our clock */
        int64_t date_s; /* the server's clock, against ours */
        bool has_date;
        const char *want;
    } rows[] = {
        {-310, 0, true, "x; this computer's clock agrees with the server's: the node lags"},
        {310, 0, true, "x; this computer's clock agrees with the server's: the node runs ahead"},
        {310, 305, true, "x; this computer's clock is 305 s behind the server's: set it right"},
        {-310, -305, true, "x; this computer's clock is 305 s ahead of the server's: set it right"},
        {-310, 305, true, "x; this computer's clock agrees with the server's: the node lags"},
        {-310, -30, true, "x; this computer's clock agrees with the server's: the node lags"},
        {-310, -31, true, "x; this computer's clock is 31 s ahead of the server's: set it right"},
        {310, 0, false,
         "x; either this computer's clock is 310 s behind the network's, or the node runs ahead"},
        {-310, 0, false,
         "x; either this computer's clock is 310 s ahead of the network's, or the node lags"},
        {0, -305, true, "x"}, /* no time was refused */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ic_error err;
        (void)ic_fail(&err, IC_E_UNVERIFIED, "x");
        err.skew_ns = rows[i].skew_s * SECOND;
        ic_clock_skew_explain(&err, NOW, rows[i].has_date ? NOW + rows[i].date_s * SECOND : 0);
        if (!TAP_STR(err.message, rows[i].want, rows[i].want))
            printf("# %s\n", err.message);
        TAP_INT(err.code, IC_E_UNVERIFIED, "the code stays");
    }
}

static void test_expiry_words(void)
{
    static const struct {
        int64_t date_s;
        bool has_date;
        const char *want;
    } rows[] = {
        {0, false, "x; is this computer's clock right?"},
        {5, true, "x; this computer's clock agrees with the server's: the node's is wrong"},
        {-400, true, "x; this computer's clock is 400 s ahead of the server's: set it right"},
        {400, true, "x; this computer's clock is 400 s behind the server's: set it right"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ic_error err;
        (void)ic_fail(&err, IC_E_HTTP, "x");
        ic_clock_skew_explain_expiry(&err, NOW,
                                     rows[i].has_date ? NOW + rows[i].date_s * SECOND : 0);
        if (!TAP_STR(err.message, rows[i].want, rows[i].want))
            printf("# %s\n", err.message);
    }
}

/* A message that is full already is cut, not overrun; absurd clocks are no arithmetic. */
static void test_bounds(void)
{
    struct ic_error err;
    (void)ic_fail(&err, IC_E_UNVERIFIED, "%600s", "x");
    err.skew_ns = 310 * SECOND;
    ic_clock_skew_explain(&err, NOW, 0);
    TAP_INT((int64_t)strlen(err.message), sizeof(err.message) - 1, "a full message stays full");
    (void)ic_fail(&err, IC_E_UNVERIFIED, "x");
    err.skew_ns = -1;
    ic_clock_skew_explain(&err, INT64_MIN, INT64_MAX);
    TAP_OK(strstr(err.message, "either") != NULL, "clocks too far apart to compare");
}

static void test_floor(void)
{
    struct ic_principal a = {.len = 1, .bytes = {1}}, b = {.len = 1, .bytes = {2}};
    struct ic_time_floor *floor = NULL;
    struct ic_error err = {0};

    TAP_INT(ic_time_floor_new(&floor), 0, "a floor");
    TAP_INT(ic_time_floor_pass(floor, &a, NOW, NULL), 0, "the first certificate");
    TAP_INT(ic_time_floor_pass(floor, &a, NOW - IC_TIME_FLOOR_LAG_NS, NULL), 0,
            "older by what nodes may lag");
    TAP_INT(ic_time_floor_pass(floor, &a, NOW - IC_TIME_FLOOR_LAG_NS - 1, &err), -EBADMSG,
            "and a nanosecond");
    TAP_INT(err.code, IC_E_UNVERIFIED, "code");
    TAP_OK(strstr(err.message, "120 s older") != NULL, "in words");
    TAP_INT(err.skew_ns, 0, "which is not a matter of our clock");
    TAP_INT(ic_time_floor_pass(floor, &b, 0, NULL), 0, "another subnet has its own time");
    TAP_INT(ic_time_floor_pass(floor, &a, NOW + SECOND, NULL), 0, "time goes on");
    TAP_INT(ic_time_floor_pass(floor, &a, NOW - IC_TIME_FLOOR_LAG_NS + SECOND - 1, NULL), -EBADMSG,
            "and with it the floor");
    TAP_INT(ic_time_floor_pass(floor, &a, NOW, NULL), 0, "what was refused moved nothing");
    for (uint8_t i = 10; i < 10 + IC_TIME_FLOOR_SUBNETS; i++) {
        struct ic_principal other = {.len = 1, .bytes = {i}};
        if (ic_time_floor_pass(floor, &other, NOW, NULL) != 0)
            TAP_OK(false, "more subnets than it holds");
    }
    TAP_INT(ic_time_floor_pass(floor, &a, 0, NULL), 0, "the oldest was forgotten");
    ic_time_floor_free(floor);
    ic_time_floor_free(NULL);
}

int main(void)
{
    test_words();
    test_expiry_words();
    test_bounds();
    test_floor();
    return tap_done();
}
