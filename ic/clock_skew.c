/* Whose clock is wrong: see clock_skew.h. */
#include "ic/clock_skew.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define SECOND 1000000000LL

static const char *direction(int64_t skew_ns)
{
    return skew_ns > 0 ? "behind" : "ahead of"; /* skew: what is shown less what we have */
}

static unsigned long long seconds(int64_t skew_ns)
{
    return (unsigned long long)((skew_ns < 0 ? -skew_ns : skew_ns) / SECOND);
}

/* How far the server's clock is ahead of ours; false when it did not say, or by nothing notable:
 * then *skew_ns is 0. */
static bool server_skew(int64_t now_ns, int64_t date_ns, int64_t *skew_ns)
{
    int64_t skew;
    *skew_ns = 0;
    if (date_ns == 0 || __builtin_sub_overflow(date_ns, now_ns, &skew))
        return false;
    if (skew > IC_CLOCK_SKEW_NOTABLE_NS || skew < -IC_CLOCK_SKEW_NOTABLE_NS)
        *skew_ns = skew;
    return true;
}

static void append(struct ic_error *err, const char *fmt, ...) IC_PRINTF(2, 3);
static void append(struct ic_error *err, const char *fmt, ...)
{
    size_t len = strlen(err->message);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->message + len, sizeof(err->message) - len, fmt, ap);
    va_end(ap);
}

static void append_wrong(struct ic_error *err, int64_t server_ns)
{
    append(err, "; this computer's clock is %llu s %s the server's: set it right",
           seconds(server_ns), direction(server_ns));
}

void ic_clock_skew_explain(struct ic_error *err, int64_t now_ns, int64_t date_ns)
{
    const char *fault = err->skew_ns < 0 ? "lags" : "runs ahead";
    int64_t server_ns;

    if (err->skew_ns == 0)
        return;
    if (!server_skew(now_ns, date_ns, &server_ns))
        append(err, "; either this computer's clock is %llu s %s the network's, or the node %s",
               seconds(err->skew_ns), direction(err->skew_ns), fault);
    else if (server_ns != 0 && (server_ns > 0) == (err->skew_ns > 0))
        append_wrong(err, server_ns);
    else
        append(err, "; this computer's clock agrees with the server's: the node %s", fault);
}

void ic_clock_skew_explain_expiry(struct ic_error *err, int64_t now_ns, int64_t date_ns)
{
    int64_t server_ns;
    if (!server_skew(now_ns, date_ns, &server_ns))
        append(err, "; is this computer's clock right?");
    else if (server_ns != 0)
        append_wrong(err, server_ns);
    else
        append(err, "; this computer's clock agrees with the server's: the node's is wrong");
}
