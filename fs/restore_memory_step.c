#include "fs/restore_memory_step.h"

#include "ic/wait.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NOTE_FORM 1

/* Until a call has expired, and the network has certified it (agent.h); the crew's patience is a
 * little longer. */
#define CALL_NS     (330 * IC_NS_PER_SEC)
#define PATIENCE_NS (360 * IC_NS_PER_SEC)

/* So long after its expiry nobody remembers what became of a call; it cannot run any more. */
#define FORGOTTEN_NS (360 * IC_NS_PER_SEC)

enum state { STEP_NONE, STEP_SENT, STEP_DONE };

struct step {
    struct memory_commit *commit;
    struct stage *stage; /* where it is noted */
    enum memory_step_kind kind;
    uint64_t state;
    uint64_t expiry_ns;
    uint8_t request_id[IC_REQUEST_ID_LEN];
    const char *method; /* of a call to be made; NULL: only find out */
    const struct ic_value *args;
    size_t n_args;
};

/* --- notes --- */

static int save(struct step *step, enum state state, struct ic_error *err)
{
    struct ic_buf buf = {0};
    step->state = state;
    memory_note_put(&buf, NOTE_FORM);
    memory_note_put(&buf, step->state);
    memory_note_put(&buf, step->expiry_ns);
    ic_buf_append(&buf, step->request_id, IC_REQUEST_ID_LEN);
    int result = ic_buf_status(&buf);
    if (result == 0)
        result = stage_note(step->stage, MEMORY_NOTE_STEP + step->kind, buf.bytes, buf.len);
    ic_buf_fini(&buf);
    if (result < 0)
        ic_fail(err, IC_E_REJECTED, "the staging directory: %s", strerror(-result));
    return result;
}

static bool load(struct memory_commit *commit, struct stage *stage, enum memory_step_kind kind,
                 struct step *out)
{
    void *bytes = NULL;
    size_t len;
    uint64_t form;
    struct ic_view id;
    *out = (struct step){.commit = commit, .stage = stage, .kind = kind};
    if (stage_get_note(stage, MEMORY_NOTE_STEP + kind, &bytes, &len) < 0)
        return false;
    struct ic_cursor cursor = ic_cursor(bytes, len);
    bool is_good = memory_note_get(&cursor, &form) && form == NOTE_FORM &&
                   memory_note_get(&cursor, &out->state) &&
                   memory_note_get(&cursor, &out->expiry_ns) &&
                   ic_cursor_take(&cursor, IC_REQUEST_ID_LEN, &id);
    if (is_good)
        memcpy(out->request_id, id.bytes, IC_REQUEST_ID_LEN);
    free(bytes);
    return is_good;
}

/* --- replies --- */

static bool says_failed(const struct ic_value *reply)
{
    uint64_t nat;
    int64_t integer;
    bool flag;
    if (ic_value_bool(reply, &flag) == 0)
        return !flag;
    if (ic_value_int64(reply, &integer) == 0)
        return integer < 0;
    if (ic_value_nat64(reply, &nat) == 0)
        return reply->type->kind == IC_TYPE_NAT32 ? nat == UINT32_MAX : nat == UINT64_MAX;
    return ic_value_case(reply, "err") || ic_value_case(reply, "Err");
}

int memory_step_judge(const char *method, const struct ic_value *reply, bool is_growth,
                      struct ic_error *err)
{
    struct ic_view text = {0};
    if (!reply || !says_failed(reply))
        return 0;
    if (ic_value_text(ic_value_case(reply, "err"), &text) < 0 &&
        ic_value_text(ic_value_case(reply, "Err"), &text) < 0)
        text = ic_view("without words", 13);
    return ic_fail(err, is_growth ? IC_E_NO_SPACE : IC_E_REJECTED,
                   "%s replied that it failed: %.*s", method,
                   (int)(text.len < 300 ? text.len : 300), (const char *)text.bytes);
}

/* Take the outcome of a call that was sent. */
static int take_outcome(struct step *step, const char *method, int result, struct ic_reply *reply,
                        struct ic_error *err)
{
    struct memory_reply decoded;
    struct ic_error ignored;
    if (result < 0 && err->code == IC_E_UNKNOWN_OUTCOME)
        return result;
    if (result < 0 && err->code == IC_E_CANCELLED) /* not asked */
        return result;
    if (result == 0) {
        result = memory_reply_decode(method, reply, &decoded, err);
        if (result < 0) {
            ic_reply_fini(reply);
        } else {
            result = memory_step_judge(method, ic_candid_arg(decoded.values, 0),
                                       step->kind == MEMORY_STEP_GROW, err);
            memory_reply_fini(&decoded);
        }
    }
    int saved = save(step, result == 0 ? STEP_DONE : STEP_NONE, result == 0 ? err : &ignored);
    return result == 0 ? saved : result;
}

/* --- calls --- */

static struct ic_io call_io(const atomic_bool *stop)
{
    return (struct ic_io){.deadline_ns = ic_wait_now_ns() + CALL_NS, .cancel = stop};
}

static int ask(struct step *step, const atomic_bool *stop, struct ic_error *err)
{
    const struct fs_target *target = step->commit->owner->target;
    const struct ic_io io = call_io(stop);
    struct ic_reply reply = {0};
    struct timespec now;
    const char *method = step->method ? step->method : "an earlier call";
    int result = ic_agent_ask_update(target->agent, &target->canister, method, step->request_id,
                                     step->expiry_ns, &io, &reply, err);
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t now_ns = (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
    if (result < 0 && err->code == IC_E_UNKNOWN_OUTCOME && !atomic_load(stop) &&
        now_ns > step->expiry_ns && now_ns - step->expiry_ns > (uint64_t)FORGOTTEN_NS)
        return save(step, STEP_NONE, err); /* what it did is seen in the memory */
    return take_outcome(step, method, result, &reply, err);
}

static int send(struct step *step, const atomic_bool *stop, struct ic_error *err)
{
    const struct fs_target *target = step->commit->owner->target;
    const struct ic_io io = call_io(stop);
    struct ic_update update = {0};
    struct ic_reply reply = {0};
    struct ic_buf arg = {0};
    int result = ic_candid_encode(step->args, step->n_args, &arg, err);
    if (result == 0)
        result = ic_agent_prepare_update(target->agent, &target->canister, &target->canister,
                                         step->method, arg.bytes, arg.len, &update, err);
    ic_buf_fini(&arg);
    if (result < 0)
        return result;
    memcpy(step->request_id, update.request_id, IC_REQUEST_ID_LEN);
    step->expiry_ns = update.expiry_ns;
    result = save(step, STEP_SENT, err);
    if (result == 0) {
        atomic_fetch_add(&step->commit->run->progress->n_calls, 1);
        result =
            ic_agent_send_update(target->agent, &update, IC_UPDATE_CERTIFIED, &io, &reply, err);
        if (result < 0 && err->code == IC_E_CANCELLED) { /* not sent */
            struct ic_error ignored;
            (void)!save(step, STEP_NONE, &ignored);
        } else {
            result = take_outcome(step, step->method, result, &reply, err);
        }
    }
    ic_update_fini(&update);
    return result;
}

static int settle_once(void *arg, const atomic_bool *stop, struct ic_error *err)
{
    struct step *step = arg;
    int result = ask(step, stop, err);
    /* A failure that is certain is an outcome, too. */
    return result < 0 && step->state != STEP_SENT ? 0 : result;
}

static int run_once(void *arg, const atomic_bool *stop, struct ic_error *err)
{
    struct step *step = arg;
    if (step->state == STEP_DONE)
        return 0;
    return step->state == STEP_SENT ? ask(step, stop, err) : send(step, stop, err);
}

/* --- the whole --- */

static int settle(struct memory_commit *commit, struct stage *stage, struct ic_error *err)
{
    int result = 0;
    for (int kind = 0; result == 0 && kind < MEMORY_STEP_KINDS; kind++) {
        struct step step;
        if (load(commit, stage, (enum memory_step_kind)kind, &step) && step.state == STEP_SENT)
            result = memory_once(commit, PATIENCE_NS, settle_once, &step, err);
    }
    return result;
}

int memory_step_settle(struct memory_commit *commit, struct ic_error *err)
{
    int result = settle(commit, commit->stage, err);
    for (size_t i = 0; result == 0 && i < commit->run->n_others; i++)
        result = settle(commit, commit->run->others[i], err);
    return result;
}

bool memory_step_is_done(struct memory_commit *commit, enum memory_step_kind kind)
{
    struct step step;
    return load(commit, commit->stage, kind, &step) && step.state == STEP_DONE;
}

int memory_step_run(struct memory_commit *commit, enum memory_step_kind kind, const char *method,
                    const struct ic_value *args, size_t n_args, struct ic_error *err)
{
    struct step step = {
        .commit = commit,
        .stage = commit->stage,
        .kind = kind,
        .method = method,
        .args = args,
        .n_args = n_args,
    };
    return memory_once(commit, PATIENCE_NS, run_once, &step, err);
}
