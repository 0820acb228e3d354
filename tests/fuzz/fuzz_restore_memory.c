/* Any reply to a restore's calls: judged without harm, and what it says never goes beyond the
 * memory. */
#include "fs/restore_memory_session.h"
#include "fs/restore_memory_step.h"
#include "tests/fuzz/target.h"

#define N_PAGES 40

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct ic_candid_limits limits = {.max_memory = 16 << 20, .max_values = 1 << 20};
    struct ic_candid *values;
    struct ic_error err = {0};
    if (ic_candid_decode(data, size, &limits, &values, &err) < 0)
        return 0;
    const struct ic_value *reply = ic_candid_arg(values, 0);
    const struct ic_value *ok = NULL;
    enum fs_refusal refusal;
    int result = fs_refusal_judge("m", reply, &refusal, &ok, &err);
    CLAIM(result == 0 ? ok && refusal == FS_REFUSAL_NONE : err.message[0] != '\0');
    result = memory_step_judge("m", reply, true, &err);
    CLAIM(result == 0 || result == -28 /* ENOSPC */);
    struct memory_plan plan;
    if (memory_plan_init(&plan, N_PAGES) == 0) {
        memory_plan_set(&plan, 0, N_PAGES);
        (void)!memory_session_subtract(reply, N_PAGES * MEMORY_PAGE - 100, &plan);
        struct memory_run run;
        uint64_t n = 0;
        for (uint64_t from = 0; memory_plan_find(&plan, from, 3, &run); from = run.first + run.n)
            n += run.n;
        CLAIM(n == plan.n_set && n <= N_PAGES);
    }
    memory_plan_fini(&plan);
    ic_candid_free(values);
    return 0;
}
