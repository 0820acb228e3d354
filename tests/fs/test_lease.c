/* The maintenance lease, against a pretended canister: who is let in, when, and that the canister
 * is never left paused. */
#include "fs/lease.h"
#include "ic/wait.h"
#include "tests/fs/lease_canister.h"
#include "tests/tap.h"

#include <errno.h>
#include <string.h>
#include <time.h>

TAP_STATE;

#define LINGER_MS 200

static struct fs_target target;
static struct fs_log *lines; /* of the log */

/* --- tools --- */

static struct ic_io within_ms(int64_t ms)
{
    return (struct ic_io){.deadline_ns = ic_wait_now_ns() + ms * IC_NS_PER_MS};
}

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static struct fs_lease *open_lingering(enum fs_maintenance mode, uint32_t ttl_s, int64_t linger_ms)
{
    struct fs_lease *lease = NULL;
    const struct fs_lease_config config = {.target = &target,
                                           .log = lines,
                                           .mode = mode,
                                           .is_offered = true,
                                           .ttl_s = ttl_s,
                                           .linger_ns = linger_ms * IC_NS_PER_MS};
    lease_canister_reset();
    if (fs_lease_open(&lease, &config) < 0)
        printf("Bail out! no lease\n");
    return lease;
}

static struct fs_lease *open_as(enum fs_maintenance mode, uint32_t ttl_s)
{
    return open_lingering(mode, ttl_s, LINGER_MS);
}

static int hold(struct fs_lease *lease, int64_t ms, struct ic_error *err)
{
    const struct ic_io io = within_ms(ms);
    *err = (struct ic_error){0};
    int result = fs_lease_hold(lease, "a test", &io, err);
    if (result < 0)
        printf("# %s\n", err->message);
    return result;
}

#define LOCKED(statement)                                                                          \
    do {                                                                                           \
        pthread_mutex_lock(&canister.lock);                                                        \
        statement;                                                                                 \
        pthread_mutex_unlock(&canister.lock);                                                      \
    } while (0)

static unsigned count_of(const unsigned *counter)
{
    unsigned n;
    LOCKED(n = *counter);
    return n;
}

/* Does it become so, in a time in which also a busy machine gets there? */
static bool becomes_paused(bool is_paused)
{
    int64_t until = ic_wait_now_ns() + 20 * IC_NS_PER_SEC;
    while (lease_canister_is_paused() != is_paused && ic_wait_now_ns() < until)
        sleep_ms(5);
    return lease_canister_is_paused() == is_paused;
}

/* Does its thread come to know that the canister is resumed? */
static bool becomes_free(struct fs_lease *lease)
{
    struct fs_lease_info info;
    int64_t until = ic_wait_now_ns() + 20 * IC_NS_PER_SEC;
    do {
        sleep_ms(5);
        fs_lease_describe(lease, &info);
    } while ((info.is_held || info.words[0]) && ic_wait_now_ns() < until);
    return !info.is_held && !info.words[0];
}

/* --- tests --- */

static void test_not_used(void)
{
    struct ic_error err;
    const struct ic_io io = within_ms(1000);
    struct fs_lease *lease = open_as(FS_MAINTENANCE_OFF, 60);
    TAP_INT(hold(lease, 1000, &err), 0, "mode off: nothing to hold");
    TAP_INT(fs_lease_check(lease, &err), 0, "nothing to lose");
    fs_lease_release(lease);
    TAP_INT(fs_lease_pause(lease, &io, &err), -EOPNOTSUPP, "nor a command");
    TAP_INT(fs_lease_resume(lease, &io, &err), -EOPNOTSUPP, "nor the other");
    fs_lease_close(lease);
    lease = open_as(FS_MAINTENANCE_MANUAL, 60);
    TAP_INT(hold(lease, 1000, &err), 0, "mode manual: nothing to hold by itself");
    fs_lease_release(lease);
    TAP_INT(fs_lease_resume(lease, &io, &err), -ENOENT, "nothing to resume");
    fs_lease_close(lease);
    TAP_INT(count_of(&canister.n_pauses), 0, "it was never asked");
    fs_lease_close(NULL);
    fs_lease_stop(NULL);
}

static void test_one_pause(void)
{
    struct ic_error err;
    struct fs_lease_info info;
    /* Longer than a busy machine takes from one holder to the next. */
    struct fs_lease *lease = open_lingering(FS_MAINTENANCE_AUTO, 60, 2000);
    for (int i = 0; i < 20; i++) {
        TAP_INT(hold(lease, 5000, &err), 0, "held");
        TAP_OK(lease_canister_is_paused(), "it is paused");
        TAP_INT(fs_lease_check(lease, &err), 0, "and not lost");
        fs_lease_describe(lease, &info);
        TAP_OK(info.is_held && info.n_holders == 1 && info.expires_ns > 0 && !info.problem[0],
               "described");
        fs_lease_release(lease);
    }
    TAP_OK(strcmp(canister.reason, "a test") == 0, "the canister was told why");
    TAP_INT(count_of(&canister.n_pauses), 1, "one pause");
    TAP_OK(lease_canister_is_paused(), "it lingers");
    TAP_OK(becomes_paused(false), "and is resumed");
    TAP_INT(count_of(&canister.n_resumes), 1, "once");
    TAP_INT(hold(lease, 5000, &err), 0, "held anew");
    TAP_INT(count_of(&canister.n_pauses), 2, "by another pause");
    fs_lease_release(lease);
    fs_lease_close(lease);
    TAP_OK(!lease_canister_is_paused(), "closing resumes without lingering");
}

static void test_in_flight(void)
{
    struct ic_error err;
    struct fs_lease *lease = open_as(FS_MAINTENANCE_AUTO, 60);
    LOCKED(canister.in_flight = 2);
    TAP_INT(hold(lease, 10000, &err), 0, "held when nothing is in flight");
    TAP_INT(count_of(&canister.in_flight), 0, "so it is");
    TAP_INT(count_of(&canister.n_statuses), 3, "asked for until then");
    fs_lease_release(lease);
    fs_lease_close(lease);

    lease = open_as(FS_MAINTENANCE_AUTO, 60);
    LOCKED(canister.in_flight = 3; canister.is_stuck = true);
    TAP_INT(hold(lease, 1500, &err), -ETIMEDOUT, "they never end");
    TAP_OK(strstr(err.message, "waiting for 3 calls in flight") != NULL, "in words");
    TAP_OK(becomes_paused(false), "resumed, for nobody waits");
    fs_lease_close(lease);
}

/* It is renewed while calls in flight are waited for, for longer than it lasts. */
static void test_long_in_flight(void)
{
    struct ic_error err;
    struct fs_lease *lease = open_as(FS_MAINTENANCE_AUTO, 2);
    LOCKED(canister.in_flight = 5);
    TAP_INT(hold(lease, 20000, &err), 0, "held after five seconds");
    TAP_INT(count_of(&canister.n_pauses), 1, "one pause");
    TAP_OK(count_of(&canister.n_renewals) >= 5, "renewed every time that a third has passed");
    fs_lease_release(lease);
    fs_lease_close(lease);
}

/* The pause is lost on the way, and runs when it is sent again: later than the lease lasts. */
static void test_late_pause(void)
{
    struct ic_error err;
    struct fs_lease *lease = open_as(FS_MAINTENANCE_AUTO, 3);
    LOCKED(canister.swallows = 1);
    TAP_INT(hold(lease, 20000, &err), 0, "held");
    TAP_INT(fs_lease_check(lease, &err), 0, "not taken for lost");
    sleep_ms(4000);
    TAP_INT(fs_lease_check(lease, &err), 0, "nor later");
    TAP_OK(lease_canister_is_paused(), "it is paused");
    TAP_INT(count_of(&canister.n_pauses), 1, "one pause");
    fs_lease_release(lease);
    fs_lease_close(lease);
}

/* The canister lets nobody call its query methods as updates. */
static void test_status_by_query(void)
{
    struct ic_error err;
    struct fs_lease *lease = open_as(FS_MAINTENANCE_AUTO, 60);
    LOCKED(canister.refuses_status = true; canister.in_flight = 1);
    TAP_INT(hold(lease, 10000, &err), 0, "held");
    TAP_INT(count_of(&canister.n_statuses), 2, "asked for by queries");
    fs_lease_release(lease);
    fs_lease_close(lease);
}

static void test_refused(void)
{
    struct ic_error err;
    struct fs_lease *lease = open_as(FS_MAINTENANCE_AUTO, 60);
    LOCKED(canister.expires_ns = INT64_MAX);
    TAP_INT(hold(lease, 5000, &err), -EBUSY, "somebody else's");
    TAP_OK(strstr(err.message, "lease of somebody") != NULL, "in its words");
    LOCKED(canister.expires_ns = 0);
    TAP_INT(hold(lease, 5000, &err), 0, "it was given back");
    fs_lease_release(lease);
    TAP_OK(becomes_paused(false), "resumed");
    LOCKED(canister.denies = true);
    TAP_INT(hold(lease, 5000, &err), -EACCES, "not for us");
    LOCKED(canister.denies = false);
    fs_lease_close(lease);
}

static void test_renewed(void)
{
    struct ic_error err;
    struct fs_lease *lease = open_as(FS_MAINTENANCE_AUTO, 3);
    TAP_INT(hold(lease, 5000, &err), 0, "held, for 3 s");
    for (int i = 0; i < 25; i++) {
        sleep_ms(200);
        if (fs_lease_check(lease, &err) < 0 || !lease_canister_is_paused())
            break;
    }
    TAP_INT(fs_lease_check(lease, &err), 0, "it is still ours after 5 s");
    TAP_OK(lease_canister_is_paused(), "and the canister paused");
    TAP_OK(count_of(&canister.n_renewals) >= 3, "by renewals");
    TAP_INT(count_of(&canister.n_pauses), 1, "no pause anew");
    fs_lease_release(lease);
    fs_lease_close(lease);

    lease = open_as(FS_MAINTENANCE_AUTO, 3600);
    LOCKED(canister.ttl_max_s = 2);
    TAP_INT(hold(lease, 5000, &err), 0, "held, for less than was asked for");
    sleep_ms(4000);
    TAP_INT(fs_lease_check(lease, &err), 0, "renewed by the canister's clock");
    TAP_OK(lease_canister_is_paused(), "in time");
    fs_lease_release(lease);
    fs_lease_close(lease);
}

static void test_lost(void)
{
    struct ic_error err;
    struct fs_lease *lease = open_as(FS_MAINTENANCE_AUTO, 3);
    TAP_INT(hold(lease, 5000, &err), 0, "held");
    LOCKED(canister.expires_ns = 0; canister.lease++); /* an upgrade */
    sleep_ms(2000);
    TAP_INT(fs_lease_check(lease, &err), -ESTALE, "the canister forgot it");
    TAP_INT(hold(lease, 2000, &err), -ESTALE, "nobody joins who relies on it");
    fs_lease_release(lease);
    TAP_INT(hold(lease, 5000, &err), 0, "the next begins anew");
    TAP_INT(fs_lease_check(lease, &err), 0, "with a lease of its own");

    LOCKED(canister.is_deaf = true);
    /* good_ns is before the last question that was answered with yes, however long that took. */
    const int64_t deaf_ns = ic_wait_boot_ns();
    int64_t good_ns = deaf_ns;
    for (int64_t now_ns = deaf_ns; fs_lease_check(lease, &err) == 0; now_ns = ic_wait_boot_ns()) {
        good_ns = now_ns;
        sleep_ms(20);
    }
    TAP_OK(good_ns - deaf_ns <= 3 * IC_NS_PER_SEC,
           "without the network it is given up no later than it ends");
    sleep_ms(200);
    LOCKED(canister.is_deaf = false);
    TAP_INT(fs_lease_check(lease, &err), -ESTALE, "and does not come back");
    fs_lease_release(lease);
    fs_lease_close(lease);
}

static void test_lost_replies(void)
{
    struct ic_error err;
    struct fs_lease *lease = open_as(FS_MAINTENANCE_AUTO, 60);
    LOCKED(canister.lose_replies = 1);
    TAP_INT(hold(lease, 8000, &err), 0, "the pause's reply was lost, and found");
    TAP_INT(count_of(&canister.n_pauses), 1, "paused once");
    LOCKED(canister.lose_replies = 1);
    fs_lease_release(lease);
    /* Closing would end the question for the lost reply, and resume anew. */
    TAP_OK(becomes_free(lease), "resumed");
    TAP_OK(!lease_canister_is_paused(), "so it is");
    fs_lease_close(lease);
    TAP_INT(count_of(&canister.n_resumes), 1, "once");
}

/* Who waited is gone before the number is known: the canister is resumed all the same. */
static void test_unknown_number(void)
{
    struct ic_error err;
    struct fs_lease_info info;
    struct fs_lease *lease = open_as(FS_MAINTENANCE_AUTO, 60);
    LOCKED(canister.hides = true);
    TAP_INT(hold(lease, 1000, &err), -ETIMEDOUT, "no reply");
    TAP_OK(lease_canister_is_paused(), "but it is paused");
    fs_lease_describe(lease, &info);
    TAP_OK(!info.is_held && info.words[0], "not held, and it says what it does");
    LOCKED(canister.hides = false);
    TAP_OK(becomes_paused(false), "found, and resumed");
    TAP_INT(count_of(&canister.n_pauses), 1, "never paused anew");
    fs_lease_close(lease);

    lease = open_as(FS_MAINTENANCE_AUTO, 60);
    LOCKED(canister.hides = true);
    TAP_INT(hold(lease, 1000, &err), -ETIMEDOUT, "no reply");
    LOCKED(canister.hides = false);
    int64_t begun = ic_wait_now_ns();
    fs_lease_close(lease);
    TAP_OK(!lease_canister_is_paused(), "closing finds it, and resumes");
    TAP_OK(ic_wait_now_ns() - begun < 11 * IC_NS_PER_SEC, "within seconds");
}

static void test_close(void)
{
    struct ic_error err;
    struct fs_lease *lease = open_as(FS_MAINTENANCE_AUTO, 60);
    TAP_INT(hold(lease, 5000, &err), 0, "held");
    fs_lease_stop(lease);
    fs_lease_stop(lease);
    TAP_OK(becomes_paused(false), "stopping resumes, whoever holds it");
    TAP_INT(fs_lease_check(lease, &err), -ESTALE, "who is told");
    TAP_INT(hold(lease, 5000, &err), -ESTALE, "nobody gets in");
    fs_lease_release(lease);
    TAP_INT(hold(lease, 5000, &err), -EINTR, "nor later");
    fs_lease_close(lease);

    lease = open_as(FS_MAINTENANCE_AUTO, 60);
    TAP_INT(hold(lease, 5000, &err), 0, "held");
    fs_lease_release(lease);
    LOCKED(canister.is_deaf = true);
    int64_t begun = ic_wait_now_ns();
    fs_lease_close(lease);
    TAP_OK(ic_wait_now_ns() - begun < 13 * IC_NS_PER_SEC, "no network: closing ends");
    TAP_OK(lease_canister_is_paused(), "the lease ends by itself");
}

static void test_commands(void)
{
    struct ic_error err;
    struct fs_lease *lease = open_as(FS_MAINTENANCE_MANUAL, 3);
    const struct ic_io io = within_ms(60000);
    TAP_INT(fs_lease_pause(lease, &io, &err), 0, "paused by command");
    TAP_INT(fs_lease_pause(lease, &io, &err), 0, "as it is already");
    TAP_INT(hold(lease, 1000, &err), 0, "a restore relies on it");
    sleep_ms(LINGER_MS + 500);
    TAP_OK(lease_canister_is_paused(), "kept beyond lingering");
    TAP_INT(fs_lease_resume(lease, &io, &err), -EBUSY, "not from under a restore");
    TAP_OK(lease_canister_is_paused(), "so it stays");
    fs_lease_release(lease);
    TAP_OK(becomes_paused(false), "and ends with it");
    TAP_INT(fs_lease_pause(lease, &io, &err), 0, "paused again");
    TAP_INT(fs_lease_resume(lease, &io, &err), 0, "resumed by command");
    TAP_OK(!lease_canister_is_paused(), "at once");
    TAP_INT(count_of(&canister.n_pauses), 2, "two pauses");

    TAP_INT(fs_lease_pause(lease, &io, &err), 0, "paused");
    LOCKED(canister.expires_ns = 0; canister.lease++);
    sleep_ms(2000);
    TAP_INT(hold(lease, 1000, &err), -ESTALE, "lost: who would rely on it is told");
    TAP_INT(fs_lease_resume(lease, &io, &err), 0, "a command takes note");
    TAP_INT(hold(lease, 1000, &err), 0, "and all is as before");
    fs_lease_release(lease);
    fs_lease_close(lease);
}

static struct fs_lease *shared;

static void *hold_often(void *arg)
{
    struct ic_error err = {0};
    unsigned *n_wrong = arg;
    for (int i = 0; i < 20; i++) {
        const struct ic_io io = within_ms(i % 5 == 4 ? 1 : 10000);
        int result = fs_lease_hold(shared, "many", &io, &err);
        if (result < 0) {
            *n_wrong += result != -ETIMEDOUT || i % 5 != 4;
            continue;
        }
        *n_wrong += !lease_canister_is_paused() || fs_lease_check(shared, &err) < 0;
        sleep_ms(i % 7 == 6 ? LINGER_MS + 20 : 1);
        *n_wrong += !lease_canister_is_paused() || fs_lease_check(shared, &err) < 0;
        fs_lease_release(shared);
    }
    return NULL;
}

static void test_many(void)
{
    pthread_t threads[8];
    unsigned n_wrong[8] = {0};
    unsigned n_all = 0;
    shared = open_as(FS_MAINTENANCE_AUTO, 3);
    for (int i = 0; i < 8; i++)
        pthread_create(&threads[i], NULL, hold_often, &n_wrong[i]);
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
        n_all += n_wrong[i];
    }
    TAP_INT(n_all, 0, "eight threads never hold what is not paused");
    fs_lease_close(shared);
    TAP_OK(!lease_canister_is_paused(), "and leave nothing behind");
}

int main(void)
{
    struct fs_options options = {0};
    if (fs_log_open(&lines, FS_LOG_INFO) < 0)
        return 1;
    lease_canister_open(&target, lines, &options);
    test_not_used();
    test_one_pause();
    test_in_flight();
    test_long_in_flight();
    test_late_pause();
    test_status_by_query();
    test_refused();
    test_renewed();
    test_lost();
    test_lost_replies();
    test_unknown_number();
    test_close();
    test_commands();
    test_many();
    lease_canister_close(&target);
    fs_log_close(lines);
    return tap_done();
}
