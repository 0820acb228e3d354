/* ic/gate: the limit's moves, pauses, deadlines and cancel. */
#include "ic/gate.h"
#include "ic/wait.h"
#include "tests/support/least.h"
#include "tests/tap.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

TAP_STATE;

#define START   16
#define CAP_MAX 32

static int gate_init(struct ic_gate *gate, unsigned cap)
{
    return ic_gate_init(gate, "queries", START, cap, 0);
}

static struct ic_io within_ms(int64_t ms)
{
    return (struct ic_io){.deadline_ns = ic_wait_now_ns() + ms * IC_NS_PER_MS};
}

static int64_t ms_since(int64_t start_ns)
{
    return (ic_wait_now_ns() - start_ns) / IC_NS_PER_MS;
}

static void sleep_ms(long ms)
{
    struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&ts, NULL);
}

static unsigned limit_of(struct ic_gate *gate)
{
    unsigned limit;
    unsigned in_flight;
    ic_gate_look(gate, &limit, &in_flight);
    return limit;
}

/* Take n places, then give them all back with one result. Where one is free there is time to get
 * it, also on a busy machine. */
static unsigned round_trip(struct ic_gate *gate, unsigned n, enum ic_gate_result result)
{
    struct ic_gate_pass passes[CAP_MAX];
    unsigned n_in = 0;
    while (n_in < n) {
        struct ic_io io = within_ms(n_in < limit_of(gate) ? 5000 : 1);
        if (ic_gate_enter(gate, &io, &passes[n_in], NULL) != 0)
            break;
        n_in++;
    }
    for (unsigned i = 0; i < n_in; i++)
        ic_gate_leave(gate, &passes[i], result, 0);
    return n_in;
}

static void test_limit_moves(void)
{
    struct ic_gate gate;
    TAP_INT(gate_init(&gate, CAP_MAX), 0, "init");
    TAP_INT(limit_of(&gate), 16, "starts at 16");
    TAP_INT(round_trip(&gate, 20, IC_GATE_NEUTRAL), 16, "the 17th does not get in");
    for (int i = 0; i < 100; i++)
        round_trip(&gate, 15, IC_GATE_GOOD);
    TAP_INT(limit_of(&gate), 16, "does not grow while places are free");

    /* One of each full round leaves while the gate is full: 16 rounds make a window. */
    for (int i = 0; i < 15; i++)
        round_trip(&gate, 16, IC_GATE_GOOD);
    TAP_INT(limit_of(&gate), 16, "not before a whole window succeeded");
    round_trip(&gate, 16, IC_GATE_GOOD);
    TAP_INT(limit_of(&gate), 17, "then by one");

    TAP_INT(round_trip(&gate, 17, IC_GATE_OVERLOADED), 17, "17 in flight are all refused");
    TAP_INT(limit_of(&gate), 8, "halved once for the burst");
    for (unsigned want = 4; want >= 1; want /= 2) {
        round_trip(&gate, 8, IC_GATE_OVERLOADED);
        TAP_INT(limit_of(&gate), want, "halved by the next burst");
    }
    round_trip(&gate, 8, IC_GATE_OVERLOADED);
    TAP_INT(limit_of(&gate), 1, "never below 1");
    for (int i = 0; i < 2000; i++)
        round_trip(&gate, CAP_MAX, IC_GATE_GOOD);
    TAP_INT(limit_of(&gate), 32, "grows back, to 32 at most");
    round_trip(&gate, 32, IC_GATE_NEUTRAL);
    TAP_INT(limit_of(&gate), 32, "a cancelled call moves nothing");
    ic_gate_fini(&gate);
}

static void test_cap(void)
{
    struct ic_gate gate;
    TAP_INT(gate_init(&gate, 1), 0, "init with a cap of 1");
    TAP_INT(limit_of(&gate), 1, "starts there");
    for (int i = 0; i < 100; i++)
        round_trip(&gate, CAP_MAX, IC_GATE_GOOD);
    TAP_INT(limit_of(&gate), 1, "and stays there");
    ic_gate_fini(&gate);

    TAP_INT(gate_init(&gate, 20), 0, "init with a cap of 20");
    TAP_INT(limit_of(&gate), 16, "starts below it");
    for (int i = 0; i < 1000; i++)
        round_trip(&gate, CAP_MAX, IC_GATE_GOOD);
    TAP_INT(limit_of(&gate), 20, "grows up to it");
    round_trip(&gate, 20, IC_GATE_OVERLOADED);
    for (int i = 0; i < 1000; i++)
        round_trip(&gate, CAP_MAX, IC_GATE_GOOD);
    TAP_INT(limit_of(&gate), 20, "and back up to it");
    ic_gate_fini(&gate);

    struct ic_io io = within_ms(0);
    struct ic_error err = {0};
    struct ic_gate_pass pass;
    TAP_INT(ic_gate_init(&gate, "updates", 1, 2, 0), 0, "init with another start");
    TAP_INT(limit_of(&gate), 1, "starts there");
    TAP_INT(ic_gate_enter(&gate, &io, &pass, &err), -ETIMEDOUT, "no time to enter");
    TAP_OK(strstr(err.message, "among the updates") != NULL, "what was waited for, in words");
    ic_gate_fini(&gate);
}

/* One that has far to climb does so in few round trips, until it is told that there are too many.
 */
static void test_climb(void)
{
    struct ic_gate gate;
    TAP_INT(ic_gate_init(&gate, "updates", 4, CAP_MAX, 3), 0, "init");
    TAP_INT(round_trip(&gate, CAP_MAX, IC_GATE_GOOD), 4, "four at first");
    TAP_INT(limit_of(&gate), 16, "then four times as many");
    round_trip(&gate, 8, IC_GATE_GOOD);
    TAP_INT(limit_of(&gate), 16, "not when so many were not there");
    round_trip(&gate, CAP_MAX, IC_GATE_NEUTRAL);
    TAP_INT(limit_of(&gate), 16, "not when they were not quick");
    round_trip(&gate, CAP_MAX, IC_GATE_SLOW);
    TAP_INT(limit_of(&gate), 8, "half, once for all that were under way");
    round_trip(&gate, CAP_MAX, IC_GATE_GOOD);
    TAP_INT(limit_of(&gate), 32, "up again, to the cap");
    round_trip(&gate, CAP_MAX, IC_GATE_OVERLOADED);
    round_trip(&gate, CAP_MAX, IC_GATE_GOOD);
    TAP_INT(limit_of(&gate), 16, "after a refusal only by one for a whole window");
    ic_gate_fini(&gate);
}

static void test_judge(void)
{
    static const struct {
        int took_s;
        size_t sent, received;
        int receive_s;
        enum ic_gate_result result;
        const char *what;
    } rows[] = {
        {0, 2 << 20, 2 << 20, 0, IC_GATE_GOOD, "quick"},
        {60, 100, 100, 60, IC_GATE_NEUTRAL, "small: it says nothing"},
        {2, 100, 2 << 20, 2, IC_GATE_GOOD, "eight times as many come within 20 s"},
        {3, 100, 2 << 20, 3, IC_GATE_NEUTRAL, "not more"},
        {11, 100, 2 << 20, 1, IC_GATE_NEUTRAL, "comes late, then quickly"},
        {1, 100, 512 << 10, 1, IC_GATE_NEUTRAL, "a short one, as long as it takes"},
        {4, 100, 2 << 20, 1, IC_GATE_GOOD, "a block or two late"},
        {11, 100, 2 << 20, 11, IC_GATE_SLOW, "comes slowly"},
        {11, 2 << 20, 100, 0, IC_GATE_GOOD, "what is sent is waited for longer"},
        {13, 2 << 20, 100, 0, IC_GATE_NEUTRAL, "sent slowly"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ic_gate_pass pass = {ic_wait_now_ns() - rows[i].took_s * IC_NS_PER_SEC};
        TAP_INT(
            ic_gate_judge(&pass, rows[i].sent, rows[i].received, rows[i].receive_s * IC_NS_PER_SEC),
            rows[i].result, rows[i].what);
    }
    struct ic_gate_pass young = {ic_wait_now_ns()};
    struct ic_gate_pass old = {ic_wait_now_ns() - 11 * IC_NS_PER_SEC};
    TAP_INT(ic_gate_judge_timeout(&young), IC_GATE_NEUTRAL, "an impatient caller");
    TAP_INT(ic_gate_judge_timeout(&old), IC_GATE_SLOW, "a patient one");
}

/* After a Retry-After one call goes out, then two, then four: not all that waited. */
static void test_slow_start(void)
{
    struct ic_gate gate;
    struct ic_gate_pass passes[16];
    TAP_INT(gate_init(&gate, CAP_MAX), 0, "init");
    struct ic_io io = within_ms(5000);
    for (int i = 0; i < 16; i++)
        TAP_INT(ic_gate_enter(&gate, &io, &passes[i], NULL), 0, "16 in flight");
    for (int i = 0; i < 8; i++)
        ic_gate_leave(&gate, &passes[i], IC_GATE_OVERLOADED, 30);
    for (int i = 8; i < 16; i++)
        ic_gate_leave(&gate, &passes[i], IC_GATE_GOOD, 0);
    TAP_INT(limit_of(&gate), 1,
            "a refusal with a pause: from 1 again, older successes do not count");

    sleep_ms(50);
    for (int i = 0; i < 3; i++)
        round_trip(&gate, CAP_MAX, IC_GATE_GOOD);
    TAP_INT(limit_of(&gate), 8, "twice as many with each round trip, up to half of what it was");
    for (int i = 0; i < 7; i++)
        round_trip(&gate, CAP_MAX, IC_GATE_GOOD);
    TAP_INT(limit_of(&gate), 8, "from there a whole window");
    round_trip(&gate, CAP_MAX, IC_GATE_GOOD);
    TAP_INT(limit_of(&gate), 9, "for one more");

    TAP_INT(ic_gate_enter(&gate, &io, &passes[0], NULL), 0, "once more");
    ic_gate_leave(&gate, &passes[0], IC_GATE_OVERLOADED, 30);
    sleep_ms(50);
    TAP_INT(round_trip(&gate, CAP_MAX, IC_GATE_GOOD), 1, "one call asks after the pause");
    TAP_INT(round_trip(&gate, CAP_MAX, IC_GATE_GOOD), 2, "two follow");
    ic_gate_fini(&gate);
}

/* Returns how many ms it takes to be told that the pause is longer than the deadline. */
static int64_t enter_impatiently(void *gate)
{
    struct ic_gate_pass pass;
    struct ic_error err = {0};
    struct ic_io io = within_ms(100);
    int64_t start = ic_wait_now_ns();
    TAP_INT(ic_gate_enter(gate, &io, &pass, &err), -EIO, "Retry-After is after the deadline");
    int64_t took = ms_since(start);
    TAP_INT(err.code, IC_E_OVERLOADED, "code");
    return took;
}

/* Returns by how many ms who waits for its end is behind a pause. */
static int64_t enter_after_pause(void *gate)
{
    struct ic_gate_pass pass;
    struct ic_io io = within_ms(5000);
    TAP_INT(ic_gate_enter(gate, &io, &pass, NULL), 0, "enter");
    int64_t start = ic_wait_now_ns();
    ic_gate_leave(gate, &pass, IC_GATE_OVERLOADED, 200);
    TAP_INT(ic_gate_enter(gate, &io, &pass, NULL), 0, "a patient caller gets in");
    int64_t took = ms_since(start);
    TAP_OK(took >= 200, "after the pause");
    ic_gate_leave(gate, &pass, IC_GATE_GOOD, 0);
    return took - 200;
}

static void test_pause(void)
{
    struct ic_gate gate;
    struct ic_gate_pass pass;
    struct ic_io io = within_ms(5000);
    struct ic_error err = {0};
    TAP_INT(gate_init(&gate, CAP_MAX), 0, "init");
    TAP_INT(ic_gate_enter(&gate, &io, &pass, &err), 0, "enter");
    ic_gate_leave(&gate, &pass, IC_GATE_OVERLOADED, 30000);
    TAP_OK(least_of(50, enter_impatiently, &gate) < 50, "said at once");
    ic_gate_fini(&gate);

    TAP_INT(gate_init(&gate, CAP_MAX), 0, "init");
    TAP_OK(least_of(100, enter_after_pause, &gate) < 100, "and not later");
    TAP_INT(ic_gate_enter(&gate, &io, &pass, &err), 0, "enter");
    ic_gate_leave(&gate, &pass, IC_GATE_OVERLOADED, 3600000);
    io = within_ms(70000);
    atomic_bool cancel = true;
    io.cancel = &cancel;
    TAP_INT(ic_gate_enter(&gate, &io, &pass, &err), -EINTR, "an hour is cut to a minute: waits");
    ic_gate_fini(&gate);
}

/* All places are taken. Returns how many ms after the deadline the caller gives up. */
static int64_t enter_in_vain(void *gate)
{
    struct ic_gate_pass pass;
    struct ic_io io = within_ms(100);
    TAP_INT(ic_gate_enter(gate, &io, &pass, NULL), -ETIMEDOUT, "deadline while waiting");
    TAP_OK(ic_wait_now_ns() >= io.deadline_ns, "not before it");
    return ms_since(io.deadline_ns);
}

static void test_patience(void)
{
    struct ic_gate gate;
    struct ic_gate_pass held;
    struct ic_gate_pass pass;
    struct ic_error err = {0};
    struct ic_io io = within_ms(5000);
    TAP_INT(gate_init(&gate, 1), 0, "init");
    TAP_INT(ic_gate_enter(&gate, &io, &held, &err), 0, "the only place");

    TAP_OK(least_of(50, enter_in_vain, &gate) < 50, "at the deadline");
    atomic_bool cancel = true;
    io = within_ms(5000);
    io.cancel = &cancel;
    TAP_INT(ic_gate_enter(&gate, &io, &pass, &err), -EINTR, "cancelled");
    TAP_INT(err.code, IC_E_CANCELLED, "code");
    ic_gate_leave(&gate, &held, IC_GATE_GOOD, 0);
    TAP_INT(round_trip(&gate, 1, IC_GATE_GOOD), 1, "nobody kept the place");
    ic_gate_fini(&gate);
}

struct waiter {
    struct ic_gate *gate;
    atomic_bool cancel;
    int rc;
    int64_t end_ns;
};

static void *wait_at_gate(void *arg)
{
    struct waiter *w = arg;
    struct ic_io io = within_ms(5000);
    io.cancel = &w->cancel;
    struct ic_gate_pass pass;
    w->rc = ic_gate_enter(w->gate, &io, &pass, NULL);
    w->end_ns = ic_wait_now_ns();
    return NULL;
}

/* One of two waiters is cancelled and woken, then the gate stops. Returns how many ms the slower of
 * the two has waited for that: by themselves they look after each 50 ms. */
static int64_t wake_and_stop(void *arg)
{
    (void)arg;
    struct ic_gate gate;
    struct ic_gate_pass held;
    struct ic_io io = within_ms(5000);
    TAP_INT(gate_init(&gate, 1), 0, "init");
    TAP_INT(ic_gate_enter(&gate, &io, &held, NULL), 0, "the only place");

    struct waiter waiters[2] = {{.gate = &gate}, {.gate = &gate}};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, wait_at_gate, &waiters[i]);
    sleep_ms(110);
    atomic_store(&waiters[0].cancel, true);
    int64_t woken_ns = ic_wait_now_ns();
    ic_gate_wake(&gate);
    pthread_join(threads[0], NULL);
    TAP_INT(waiters[0].rc, -EINTR, "cancelled and woken");

    int64_t stopped_ns = ic_wait_now_ns();
    ic_gate_stop(&gate);
    pthread_join(threads[1], NULL);
    TAP_INT(waiters[1].rc, -EINTR, "stopped");
    struct ic_gate_pass pass;
    TAP_INT(ic_gate_enter(&gate, &io, &pass, NULL), -EINTR, "and later callers too");
    ic_gate_fini(&gate);
    int64_t took[2] = {waiters[0].end_ns - woken_ns, waiters[1].end_ns - stopped_ns};
    return (took[0] > took[1] ? took[0] : took[1]) / IC_NS_PER_MS;
}

/* Who waits passes before what is made ahead of time, but for every fourth place. */
struct in_line {
    struct ic_gate *gate;
    struct ic_io io;
    char *passed; /* written by whoever holds the only place */
    unsigned *n_passed;
};

static void *pass_in_line(void *arg)
{
    struct in_line *l = arg;
    struct ic_gate_pass pass;
    if (ic_gate_enter(l->gate, &l->io, &pass, NULL) != 0)
        return NULL;
    l->passed[(*l->n_passed)++] = l->io.is_ahead ? 'a' : 'w';
    ic_gate_leave(l->gate, &pass, IC_GATE_NEUTRAL, 0);
    return NULL;
}

static unsigned n_waiting_at(struct ic_gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    unsigned n = gate->n_waiting[0] + gate->n_waiting[1];
    pthread_mutex_unlock(&gate->lock);
    return n;
}

static void test_order(void)
{
    struct ic_gate gate;
    struct ic_gate_pass held;
    struct ic_io io = within_ms(5000);
    TAP_INT(gate_init(&gate, 1), 0, "init");
    TAP_INT(ic_gate_enter(&gate, &io, &held, NULL), 0, "the only place");

    char passed[16] = "";
    unsigned n_passed = 0;
    struct in_line line[14];
    pthread_t threads[14];
    for (int i = 0; i < 14; i++) {
        /* The last two give up first, one of each kind: the others must not miss a turn by it. */
        line[i] = (struct in_line){&gate, within_ms(i < 12 ? 5000 : 50), passed, &n_passed};
        line[i].io.is_ahead = i % 3 == 0;
        pthread_create(&threads[i], NULL, pass_in_line, &line[i]);
    }
    pthread_join(threads[12], NULL);
    pthread_join(threads[13], NULL);
    while (n_waiting_at(&gate) < 12)
        sleep_ms(1);
    ic_gate_leave(&gate, &held, IC_GATE_NEUTRAL, 0);
    for (int i = 0; i < 12; i++)
        pthread_join(threads[i], NULL);
    TAP_STR(passed, "wwwawwwawwaa", "three of the first, then one of the others");
    io = within_ms(1000);
    io.is_ahead = true;
    TAP_INT(ic_gate_enter(&gate, &io, &held, NULL), 0, "alone, one made ahead passes at once");
    ic_gate_leave(&gate, &held, IC_GATE_NEUTRAL, 0);
    ic_gate_fini(&gate);
}

/* Many threads and a limit that stays: never more inside than it allows, none left behind. */
static atomic_uint n_inside;
static atomic_uint n_most;
static atomic_uint n_passed;

static void *pass_often(void *arg)
{
    struct ic_gate *gate = arg;
    for (int i = 0; i < 200; i++) {
        struct ic_io io = within_ms(20000);
        io.is_ahead = i % 2 == 0;
        struct ic_gate_pass pass;
        if (ic_gate_enter(gate, &io, &pass, NULL) != 0)
            return NULL;
        unsigned inside = atomic_fetch_add(&n_inside, 1) + 1;
        unsigned most = atomic_load(&n_most);
        while (inside > most && !atomic_compare_exchange_weak(&n_most, &most, inside))
            ;
        if (i % 8 == 0)
            sleep_ms(1);
        atomic_fetch_sub(&n_inside, 1);
        atomic_fetch_add(&n_passed, 1);
        ic_gate_leave(gate, &pass, IC_GATE_NEUTRAL, 0);
    }
    return NULL;
}

static void test_many_threads(void)
{
    struct ic_gate gate;
    TAP_INT(gate_init(&gate, 8), 0, "init");
    pthread_t threads[48];
    for (int i = 0; i < 48; i++)
        pthread_create(&threads[i], NULL, pass_often, &gate);
    for (int i = 0; i < 48; i++)
        pthread_join(threads[i], NULL);
    TAP_INT(atomic_load(&n_passed), 48 * 200, "48 threads: every call passed");
    TAP_INT(atomic_load(&n_most), 8, "8 at once, never more");
    unsigned limit;
    unsigned in_flight;
    ic_gate_look(&gate, &limit, &in_flight);
    TAP_INT(in_flight, 0, "nobody left inside");
    ic_gate_fini(&gate);
}

int main(void)
{
    test_limit_moves();
    test_cap();
    test_climb();
    test_judge();
    test_slow_start();
    test_pause();
    test_patience();
    TAP_OK(least_of(20, wake_and_stop, NULL) < 20, "waiters are woken at once");
    test_order();
    test_many_threads();
    return tap_done();
}
