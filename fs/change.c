/* See change.h. */
#include "fs/change.h"

#include "ic/wait.h"

#include <string.h>
#include <time.h>

#define ARG_MEMORY_MAX (256 << 10)
#define PARTS_MAX      8
/* A canister may be stopped meanwhile. */
#define AGAIN_FOR_NS     (2 * 60 * IC_NS_PER_SEC)
#define PAUSE_FIRST_NS   (1 * IC_NS_PER_SEC)
#define PAUSE_LONGEST_NS (30 * IC_NS_PER_SEC)

int fs_change_pause(const struct ic_io *io, int64_t ns)
{
    static const struct timespec slice = {.tv_nsec = IC_WAIT_SLICE_MS * IC_NS_PER_MS};
    int64_t until_ns = ic_wait_now_ns() + ns;
    int result = 0;
    while (result == 0 && ic_wait_now_ns() < until_ns) {
        (void)nanosleep(&slice, NULL); /* woken early it only looks sooner */
        result = ic_wait_check(io);
    }
    return result;
}

static int build(const struct fs_target *target, const struct fs_change *change,
                 struct ic_arena *arena, struct ic_value *out, struct ic_error *err)
{
    struct ic_part parts[PARTS_MAX] = {{
        change->canister_field ? change->canister_field : "canister_id",
        ic_build_principal(&target->canister),
    }};
    size_t n = 1;
    while (n < PARTS_MAX && n <= change->n_parts) {
        parts[n] = change->parts[n - 1];
        n++;
    }
    if (ic_build_record(arena, parts, n, out) < 0)
        return ic_fail(err, IC_E_NO_MEMORY, "%s: out of memory", change->method);
    return 0;
}

/* err: zeroed */
static int make_once(const struct fs_target *target, const struct fs_change *change,
                     const struct ic_value *arg, const struct ic_io *io,
                     struct ic_management_reply *out, struct ic_error *err)
{
    struct ic_update update = {0};
    struct ic_reply reply = {0};
    int result =
        ic_management_prepare(target->agent, &target->canister, change->method, arg, &update, err);
    if (result == 0 && change->note)
        result = change->note(change->note_arg, &update, err);
    if (result == 0)
        result = ic_agent_send_update(target->agent, &update, change->proof, io, &reply, err);
    ic_update_fini(&update);
    return result < 0 ? result : ic_management_decode(change->method, &reply, out, err);
}

int fs_change_make(const struct fs_target *target, const struct fs_change *change,
                   const struct ic_io *io, struct ic_management_reply *out, struct ic_error *err)
{
    struct ic_arena arena;
    struct ic_value arg;
    int64_t pause_ns = PAUSE_FIRST_NS;
    int64_t until_ns = ic_wait_now_ns() + AGAIN_FOR_NS;
    ic_arena_init(&arena, ARG_MEMORY_MAX);
    int result = build(target, change, &arena, &arg, err);
    while (result == 0) {
        *err = (struct ic_error){0};
        result = make_once(target, change, &arg, io, out, err);
        if (result == 0 || err->code != IC_E_OVERLOADED || ic_wait_now_ns() >= until_ns ||
            fs_change_pause(io, pause_ns) < 0)
            break;
        pause_ns = 2 * pause_ns < PAUSE_LONGEST_NS ? 2 * pause_ns : PAUSE_LONGEST_NS;
        result = 0;
    }
    ic_arena_fini(&arena);
    return result;
}

int fs_change_do(const struct fs_target *target, const struct fs_change *change,
                 const struct ic_io *io, struct ic_error *err)
{
    struct ic_management_reply reply = {0};
    int result = fs_change_make(target, change, io, &reply, err);
    ic_management_reply_fini(&reply);
    return result;
}
