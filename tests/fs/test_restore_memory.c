/* The pure parts of restoring a memory: which pages are sent, what the canister's replies mean. */
#include "fs/restore_memory_session.h"
#include "fs/restore_memory_step.h"
#include "tests/tap.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

TAP_STATE;

/* --- the plan, against a plain array --- */

static void test_plan(void)
{
    enum { N = 300 };
    struct memory_plan plan;
    bool want[N] = {false};
    bool is_same = true;
    TAP_INT(memory_plan_init(&plan, N), 0, "a plan");
    srand(7);
    for (int round = 0; round < 2000; round++) {
        uint64_t first = (uint64_t)(rand() % (N + 20));
        uint64_t n = (uint64_t)(rand() % 80);
        bool sets = rand() % 2;
        if (sets)
            memory_plan_set(&plan, first, n);
        else
            memory_plan_clear(&plan, first, n);
        for (uint64_t i = first; i < first + n && i < N; i++)
            want[i] = sets;
        uint64_t count = 0;
        for (uint64_t i = 0; i < N; i++) {
            count += want[i];
            is_same = is_same && memory_plan_has(&plan, i) == want[i];
        }
        is_same = is_same && count == plan.n_set;
        uint64_t from = 0, found = 0;
        struct memory_run run;
        while (memory_plan_find(&plan, from, 7, &run)) {
            is_same = is_same && run.n >= 1 && run.n <= 7 && run.first >= from;
            for (uint64_t i = from; i < run.first + run.n; i++)
                is_same = is_same && want[i] == (i >= run.first);
            found += run.n;
            from = run.first + run.n;
        }
        is_same = is_same && found == count;
    }
    TAP_OK(is_same, "is what an array is");
    memory_plan_set(&plan, 0, UINT64_MAX);
    TAP_INT((int64_t)plan.n_set, N, "all");
    TAP_INT((int64_t)memory_plan_count(&plan, 31), 10, "in calls of 31");
    memory_plan_clear(&plan, 5, UINT64_MAX);
    TAP_INT((int64_t)plan.n_set, 5, "all but five");
    TAP_OK(!memory_plan_has(&plan, N) && !memory_plan_has(&plan, UINT64_MAX), "nothing beyond");
    struct memory_plan copy;
    TAP_INT(memory_plan_copy(&copy, &plan), 0, "a copy");
    memory_plan_clear(&plan, 0, 2);
    TAP_OK(copy.n_set == 5 && memory_plan_has(&copy, 0) && !memory_plan_has(&copy, 5) &&
               plan.n_set == 3,
           "is its own");
    memory_plan_fini(&copy);
    memory_plan_fini(&plan);
    TAP_INT(memory_plan_init(&plan, 0), 0, "an empty one");
    struct memory_run run;
    memory_plan_set(&plan, 0, 1);
    TAP_OK(plan.n_set == 0 && !memory_plan_find(&plan, 0, 1, &run), "has nothing to send");
    memory_plan_fini(&plan);
}

/* --- what is sent while the rest is compared --- */

/* Pages become ready in windows that end in any order: every planned page is sent once, in calls as
 * large as they can be. */
static void test_sending_take(void)
{
    enum { N = 400, MAX = 31 };
    static const struct memory_sender sender = {.chunk_max = (size_t)MAX * MEMORY_PAGE};
    bool is_once = true;
    bool is_largest = true;
    srand(11);
    for (int round = 0; round < 300; round++) {
        struct memory_commit commit = {0};
        struct memory_sending sending;
        struct fs_crew_task task;
        unsigned sent[N] = {0};
        bool want[N];
        uint64_t n_calls = 0;
        uint64_t n_ready = 0;
        enum fs_crew_take taken;
        is_once = memory_plan_init(&commit.plan, N) == 0 && is_once;
        memory_sending_init(&sending, &commit, &sender);
        for (uint64_t i = 0; i < N; i++)
            want[i] = rand() % 20 != 0 && round % 3 != 0;
        for (uint64_t known = 0; n_ready < N; n_ready = known) {
            uint64_t to = n_ready + 1 + (uint64_t)(rand() % 60);
            uint64_t ahead = to + (uint64_t)(rand() % 40); /* known before what is ahead of it */
            known = to < N ? to : N;
            for (uint64_t i = n_ready; i < ahead && i < N; i++)
                if (want[i] && (i < known || rand() % 2 == 0))
                    memory_plan_set(&commit.plan, i, 1);
            while ((taken = memory_sending_take(&sending, known, &task)) == FS_CREW_TASK) {
                n_calls++;
                is_once = is_once && task.weight == task.n && task.n >= 1 && task.n <= MAX;
                for (uint64_t i = task.first; i < task.first + task.n; i++)
                    sent[i]++;
            }
            is_once = is_once && taken == (known < N ? FS_CREW_LATER : FS_CREW_NONE);
        }
        for (uint64_t i = 0; i < N; i++)
            is_once = is_once && sent[i] == want[i];
        is_largest = is_largest && n_calls == memory_plan_count(&commit.plan, MAX);
        memory_plan_fini(&commit.plan);
    }
    TAP_OK(is_once, "every planned page is sent once");
    TAP_OK(is_largest, "in as few calls as when all is known before");
}

/* --- crews --- */

enum { ROUNDS = 40 };

/* In each round one task opens the way for three more. */
struct relay {
    atomic_uint n_done;
    atomic_uint weight;
    atomic_bool is_too_much;
    unsigned n_taken;
};

static enum fs_crew_take relay_take(void *arg, struct fs_crew_task *out)
{
    struct relay *relay = arg;
    if (relay->n_taken == 4 * ROUNDS)
        return FS_CREW_NONE;
    if (relay->n_taken > atomic_load(&relay->n_done) / 4 * 4 + 3)
        return FS_CREW_LATER;
    *out = (struct fs_crew_task){.first = relay->n_taken++, .n = 1, .weight = 2};
    return FS_CREW_TASK;
}

static int relay_work(void *arg, const struct fs_crew_task *task, uint8_t *buffer,
                      const atomic_bool *stop, struct ic_error *err)
{
    struct relay *relay = arg;
    (void)buffer;
    (void)stop;
    (void)err;
    if (atomic_fetch_add(&relay->weight, (unsigned)task->weight) > 4)
        atomic_store(&relay->is_too_much, true);
    sched_yield();
    atomic_fetch_sub(&relay->weight, (unsigned)task->weight);
    atomic_fetch_add(&relay->n_done, 1);
    return 0;
}

static void test_crew(void)
{
    const struct fs_target target = {0};
    for (unsigned n = 1; n <= 9; n += 4) {
        struct relay relay = {0};
        struct ic_error err = {0};
        const struct fs_crew crew = {
            .target = &target,
            .patience_ns = INT64_C(60000000000),
            .n_threads = n,
            .weight_max = 6,
            .take = relay_take,
            .work = relay_work,
            .arg = &relay,
        };
        TAP_INT(fs_crew_run(&crew, &err), 0, "a crew");
        TAP_OK(relay.n_done == 4 * ROUNDS && !relay.is_too_much,
               "does all that comes later, and never too much at once");
    }
}

/* --- received ranges --- */

static int subtract(const uint64_t (*ranges)[2], size_t n, uint64_t size, struct memory_plan *plan)
{
    const struct ic_type_field fields[] = {{0, &ic_type_nat64}, {1, &ic_type_nat64}};
    const struct ic_type record = {.kind = IC_TYPE_RECORD, .as.fields = {fields, 2}};
    const struct ic_type list = {.kind = IC_TYPE_VEC, .as.elem = &record};
    struct ic_value numbers[8][2];
    struct ic_value items[8];
    for (size_t i = 0; i < n; i++) {
        numbers[i][0] = ic_nat64(ranges[i][0]);
        numbers[i][1] = ic_nat64(ranges[i][1]);
        items[i] = (struct ic_value){.type = &record, .as.seq = {numbers[i], 2}};
    }
    const struct ic_value value = {.type = &list, .as.seq = {items, n}};
    return memory_session_subtract(&value, size, plan);
}

static void test_subtract(void)
{
    struct memory_plan plan;
    const uint64_t page = MEMORY_PAGE;
    TAP_INT(memory_plan_init(&plan, 10), 0, "ten pages");
    memory_plan_set(&plan, 0, 10);
    const uint64_t some[][2] = {{0, page}, {page + 1, 2 * page}, {5 * page - 1, page + 2}, {9, 0}};
    TAP_INT(subtract(some, 4, 10 * page, &plan), 0, "ranges");
    TAP_OK(!memory_plan_has(&plan, 0) && memory_plan_has(&plan, 1) && !memory_plan_has(&plan, 2) &&
               memory_plan_has(&plan, 3) && memory_plan_has(&plan, 4) &&
               !memory_plan_has(&plan, 5) && memory_plan_has(&plan, 6),
           "take whole pages only");
    const uint64_t end[][2] = {{9 * page, page / 2}};
    TAP_INT(subtract(end, 1, 9 * page + page / 2, &plan), 0, "the end");
    TAP_OK(!memory_plan_has(&plan, 9), "is a page, if a short one");
    const uint64_t beyond[][2] = {{9 * page, page + 1}};
    TAP_INT(subtract(beyond, 1, 10 * page, &plan), -EPROTO, "beyond the end");
    const uint64_t wraps[][2] = {{page, UINT64_MAX}};
    TAP_INT(subtract(wraps, 1, 10 * page, &plan), -EPROTO, "around the end of numbers");
    TAP_INT(memory_session_subtract(NULL, page, &plan), -EPROTO, "no list");
    memory_plan_fini(&plan);
}

/* --- replies of plain methods --- */

static void test_plain_replies(void)
{
    struct ic_error err = {0};
    const struct ic_value yes = ic_bool(true), no = ic_bool(false);
    const struct ic_value old = ic_nat64(5), none = ic_nat64(UINT64_MAX);
    const struct ic_value none32 = ic_nat32(UINT32_MAX);
    const struct ic_value minus = {.type = &ic_type_int64, .as.integer = -1};
    const struct ic_value plus = {.type = &ic_type_int64, .as.integer = 0};
    TAP_INT(memory_step_judge("m", NULL, false, &err), 0, "nothing is fine");
    TAP_INT(memory_step_judge("m", &yes, false, &err), 0, "true");
    TAP_INT(memory_step_judge("m", &no, false, &err), -EIO, "false");
    TAP_INT(memory_step_judge("m", &old, true, &err), 0, "the size before");
    TAP_INT(memory_step_judge("m", &none, true, &err), -ENOSPC, "-1 of nat64");
    TAP_INT(memory_step_judge("m", &none32, true, &err), -ENOSPC, "-1 of nat32");
    TAP_INT(memory_step_judge("m", &minus, true, &err), -ENOSPC, "-1");
    TAP_INT(memory_step_judge("m", &plus, true, &err), 0, "0");
    const struct ic_type_field fields[] = {{ic_candid_hash("Err", 3), &ic_type_text}};
    const struct ic_type variant = {.kind = IC_TYPE_VARIANT, .as.fields = {fields, 1}};
    const struct ic_value text = ic_text("full");
    const struct ic_value failure = {.type = &variant, .as.variant = {&text, 0}};
    TAP_INT(memory_step_judge("m", &failure, true, &err), -ENOSPC, "an error");
    TAP_OK(strstr(err.message, "full") != NULL, "in its words");
}

static void test_passing(void)
{
    const struct ic_error gateway = {.code = IC_E_HTTP, .http_status = 502};
    const struct ic_error bad = {.code = IC_E_HTTP, .http_status = 400};
    const struct ic_error lost = {.code = IC_E_UNKNOWN_OUTCOME};
    const struct ic_error trap = {.code = IC_E_REJECTED, .reject_code = 5};
    const struct ic_error denied = {.code = IC_E_DENIED};
    TAP_OK(fs_crew_may_pass(&gateway) && fs_crew_may_pass(&lost), "what may pass");
    TAP_OK(!fs_crew_may_pass(&bad) && !fs_crew_may_pass(&trap) && !fs_crew_may_pass(&denied),
           "what does not");
}

int main(void)
{
    test_plan();
    test_sending_take();
    test_crew();
    test_subtract();
    test_plain_replies();
    test_passing();
    return tap_done();
}
