/* The sample canister, with a restore_commit that answers ok without having done it (linked with
 * --wrap). LIE says how:
 *
 *   1  nothing is applied; version and size stay
 *   2  nothing is applied, but the version moves
 *   3  one step of it is applied, and the version moves */
#include "live.h"
#include "stage.h"

bool __real_stage_apply(struct stage_step *step);
bool __wrap_stage_apply(struct stage_step *step);
void __wrap_live_set_size(uint64_t size);
void __wrap_live_changed(void);
void __real_live_changed(void);

bool __wrap_stage_apply(struct stage_step *step)
{
#if LIE == 3
    (void)__real_stage_apply(step);
#else
    (void)step;
#endif
    return true;
}

void __wrap_live_set_size(uint64_t size)
{
    (void)size;
}

void __wrap_live_changed(void)
{
#if LIE != 1
    __real_live_changed();
#endif
}
