/* The pure parts of restoring a memory: which pages are sent, what the canister's replies mean. */
#include "fs/restore_memory_session.h"
#include "fs/restore_memory_step.h"
#include "ic/did.h"
#include "tests/tap.h"

#include <errno.h>
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
    memory_plan_fini(&plan);
    TAP_INT(memory_plan_init(&plan, 0), 0, "an empty one");
    struct memory_run run;
    memory_plan_set(&plan, 0, 1);
    TAP_OK(plan.n_set == 0 && !memory_plan_find(&plan, 0, 1, &run), "has nothing to send");
    memory_plan_fini(&plan);
}

/* --- values --- */

static struct ic_did *convention;

/* The error variant of the convention with one case. */
static int judge(const char *tag, const struct ic_value *payload, enum memory_refusal *refusal,
                 struct ic_error *err)
{
    const struct ic_type *result =
        ic_did_find_method(convention, "chunk")->type->as.func.results[0];
    uint32_t err_id = ic_candid_hash("err", 3);
    const struct ic_value *out;
    for (uint32_t i = 0; i < result->as.fields.n; i++) {
        const struct ic_type_field *field = &result->as.fields.fields[i];
        if (field->id != err_id)
            continue;
        for (uint32_t j = 0; j < field->type->as.fields.n; j++) {
            if (field->type->as.fields.fields[j].id != ic_candid_hash(tag, strlen(tag)))
                continue;
            const struct ic_value failure = {.type = field->type, .as.variant = {payload, j}};
            const struct ic_value reply = {.type = result, .as.variant = {&failure, i}};
            return memory_session_judge("m", &reply, refusal, &out, err);
        }
    }
    return 1;
}

static void test_refusals(void)
{
    static const struct {
        const char *tag;
        const char *text; /* NULL: none */
        int result;
        enum memory_refusal refusal;
        const char *words;
    } rows[] = {
        {"busy", "session 7 is open", -EBUSY, MEMORY_REFUSAL_BUSY, "session 7 is open"},
        {"denied", NULL, -EACCES, MEMORY_REFUSAL_DENIED, "does not allow"},
        {"range", NULL, -EINVAL, MEMORY_REFUSAL_RANGE, "out of range"},
        {"corrupt", "3 bytes are missing", -EIO, MEMORY_REFUSAL_CORRUPT, "3 bytes are missing"},
        {"other", "no such session", -EIO, MEMORY_REFUSAL_OTHER, "no such session"},
        {"other", "it is out of memory", -ENOSPC, MEMORY_REFUSAL_OTHER, "out of memory"},
        {"other", "not enough cycles", -ENOSPC, MEMORY_REFUSAL_OTHER, "cycles"},
        {"stale", NULL, -ESTALE, MEMORY_REFUSAL_STALE, "changed"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct ic_value null = {.type = &ic_type_null};
        const struct ic_value text = ic_text(rows[i].text ? rows[i].text : "");
        enum memory_refusal refusal = MEMORY_REFUSAL_NONE;
        struct ic_error err = {0};
        TAP_INT(judge(rows[i].tag, rows[i].text ? &text : &null, &refusal, &err), rows[i].result,
                rows[i].tag);
        TAP_INT((int)refusal, (int)rows[i].refusal, "its kind");
        TAP_OK(strstr(err.message, rows[i].words) != NULL, "in words");
    }
    enum memory_refusal refusal;
    struct ic_error err = {0};
    const struct ic_value *out;
    const struct ic_value number = ic_nat64(1);
    TAP_INT(memory_session_judge("m", &number, &refusal, &out, &err), -EPROTO, "no variant");
    TAP_INT(memory_session_judge("m", NULL, &refusal, &out, &err), -EPROTO, "no value");
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
    TAP_OK(memory_crew_may_pass(&gateway) && memory_crew_may_pass(&lost), "what may pass");
    TAP_OK(!memory_crew_may_pass(&bad) && !memory_crew_may_pass(&trap) &&
               !memory_crew_may_pass(&denied),
           "what does not");
}

int main(void)
{
    TAP_INT(fs_memory_write_convention(&convention), 0, "the convention");
    test_plan();
    test_refusals();
    test_subtract();
    test_plain_replies();
    test_passing();
    ic_did_free(convention);
    return tap_done();
}
