/* Test Anything Protocol for our C tests: one line per check, a plan at the end.
 *
 * A check that fails prints what was expected and what came; the program goes on, so that one run
 * shows every failure. `return tap_done();` from main prints the plan and gives the exit status.
 */
#ifndef CANISTERFS_TESTS_TAP_H
#define CANISTERFS_TESTS_TAP_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct tap {
    int n_run;
    int n_failed;
};

/* Each test program has exactly one of these, defined by TAP_STATE in its main file. */
extern struct tap tap;
#define TAP_STATE struct tap tap

static inline bool tap_report(bool ok, const char *what, const char *file, int line)
{
    tap.n_run++;
    printf("%sok %d - %s\n", ok ? "" : "not ", tap.n_run, what);
    if (!ok) {
        tap.n_failed++;
        printf("# at %s:%d\n", file, line);
    }
    fflush(stdout);
    return ok;
}

static inline bool tap_report_int(int64_t got, int64_t want, const char *what, const char *file,
                                  int line)
{
    bool ok = tap_report(got == want, what, file, line);
    if (!ok)
        printf("# got %" PRId64 ", expected %" PRId64 "\n", got, want);
    return ok;
}

static inline bool tap_report_mem(const void *got, const void *want, size_t len, const char *what,
                                  const char *file, int line)
{
    const unsigned char *g = got;
    const unsigned char *w = want;
    size_t i = 0;
    while (i < len && g[i] == w[i])
        i++;
    bool ok = tap_report(i == len, what, file, line);
    if (!ok)
        printf("# first difference at byte %zu of %zu: got %02x, expected %02x\n", i, len, g[i],
               w[i]);
    return ok;
}

static inline int tap_done(void)
{
    printf("1..%d\n", tap.n_run);
    return tap.n_failed ? 1 : 0;
}

#define TAP_OK(cond, what)       tap_report((cond), (what), __FILE__, __LINE__)
#define TAP_INT(got, want, what) tap_report_int((got), (want), (what), __FILE__, __LINE__)
#define TAP_MEM(got, want, len, what)                                                              \
    tap_report_mem((got), (want), (len), (what), __FILE__, __LINE__)
#define TAP_STR(got, want, what) tap_report(strcmp((got), (want)) == 0, (what), __FILE__, __LINE__)

#endif
