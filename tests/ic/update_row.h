/* One update each: what it meets on its way, and what must come of it. */
#ifndef CANISTERFS_TESTS_IC_UPDATE_ROW_H
#define CANISTERFS_TESTS_IC_UPDATE_ROW_H

#include "tests/ic/agent_net.h"
#include "tests/support/least.h"
#include "tests/tap.h"

#include <stdio.h>
#include <string.h>

/* What the calls meet (the first only, unless `always`), what the questions for their status, and
 * what must come of it. */
struct update_row {
    const char *what;
    struct plan call;
    bool always;
    const struct plan *asks;
    unsigned n_asks;
    struct nature nature; /* n_asks and asks are filled in */
    bool is_expired;      /* certified time is half a minute past the call's expiry */
    int patience_ms;      /* 0 = 20000 */
    enum ic_errc code;    /* IC_OK: the reply "done" */
    unsigned n_calls;     /* requests; never more, and fewer only when patience_ms ended it early */
    unsigned n_asked;     /* ... ANY: not so important */
    const char *words;    /* in the message; may be NULL */
};

#define ANY UINT32_MAX

/* Less than a call is late that overlooks its deadline in a pause. */
#define UPDATE_LATE_MS 100

#define ASKS(...)                                                                                  \
    .asks = (const struct plan[]){__VA_ARGS__},                                                    \
    .n_asks = sizeof((const struct plan[]){__VA_ARGS__}) / sizeof(struct plan)
#define REPLIED                                                                                    \
    {                                                                                              \
        0                                                                                          \
    }

/* How often something was asked: never more than it should be. Fewer only when a deadline ended it
 * early, is_hurried: returns false then, for a measurement that is to be made again. */
static inline bool check_count(unsigned n, unsigned want, bool is_hurried, const char *what)
{
    bool is_missed = is_hurried && n < want;
    if (is_missed)
        printf("# %s: %u of %u before the deadline\n", what, n, want);
    else
        TAP_INT(n, want, what);
    return !is_missed;
}

/* A request was under way at the deadline, not a pause: the error tells of that one. */
static inline bool update_is_cut(const struct update_row *row, const struct ic_error *err)
{
    if (row->code == IC_E_OVERLOADED && err->code == IC_E_TIMEOUT)
        return true;
    return row->words != NULL && strstr(err->message, row->words) == NULL &&
           strstr(err->message, "deadline passed") != NULL;
}

static inline void update_check_outcome(const struct update_row *row, int rc,
                                        const struct ic_reply *reply, const struct ic_error *err)
{
    char what[160];
    TAP_INT(err->code, row->code, row->what);
    snprintf(what, sizeof what, "%s: errno", row->what);
    TAP_INT(rc, ic_error_errno(err), what);
    snprintf(what, sizeof what, "%s: the reply, or nothing", row->what);
    TAP_OK(row->code == IC_OK ? reply->len == 4 && memcmp(reply->arg, "done", 4) == 0
                              : reply->arg == NULL && reply->certificate == NULL,
           what);
    snprintf(what, sizeof what, "%s: in words", row->what);
    if (row->words != NULL)
        TAP_OK(strstr(err->message, row->words) != NULL, what);
}

/* Make the update and check all but its time. Returns by how many ms it missed the deadline; more
 * than any bound when the machine was too busy for all requests that belong before it. */
static inline int64_t update_once_late(void *arg)
{
    const struct update_row *row = arg;
    char what[160];
    struct plan plan = row->call;
    plan.first_bad = 0;
    plan.last_bad = row->always ? UINT32_MAX : 0;
    plan_calls(plan);
    struct nature nature = row->nature;
    nature.asks = row->asks;
    nature.n_asks = row->n_asks;
    if (row->is_expired)
        nature.skew_ns = skew_expired_ns();
    set_nature(nature);

    struct ic_agent *agent = open_agent();
    struct ic_reply reply = {0};
    struct ic_error err = {0};
    int64_t patience = row->patience_ms != 0 ? row->patience_ms : 20000;
    struct ic_io io = within_ms(patience);
    int rc = update(agent, &io, &reply, &err);
    int64_t late = ms_since(io.deadline_ns);
    bool is_hurried = row->patience_ms != 0;
    snprintf(what, sizeof what, "%s: copies sent", row->what);
    bool is_whole = check_count(asked(&net.n_calls), row->n_calls, is_hurried, what);
    snprintf(what, sizeof what, "%s: questions", row->what);
    if (row->n_asked != ANY)
        is_whole = check_count(asked(&net.n_asked), row->n_asked, is_hurried, what) && is_whole;
    is_whole = is_whole && !(is_hurried && update_is_cut(row, &err));
    if (is_whole)
        update_check_outcome(row, rc, &reply, &err);
    if (rc != 0)
        printf("# %s\n", err.message);
    ic_reply_fini(&reply);
    ic_agent_close(agent);
    set_nature((struct nature){0}); /* it points to the row's lists */
    return is_whole ? late : INT64_MAX;
}

static inline void update_check(struct update_row *row)
{
    char what[160];
    snprintf(what, sizeof what, "%s: within the deadline", row->what);
    TAP_OK(least_of(UPDATE_LATE_MS, update_once_late, row) < UPDATE_LATE_MS, what);
}

static inline void update_check_all(struct update_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        update_check(&rows[i]);
}

#define CHECK_ALL(rows) update_check_all(rows, sizeof(rows) / sizeof((rows)[0]))

#endif
