/* A new id: see snapshot_upload.h. */
#include "fs/change.h"
#include "fs/snapshot_upload_impl.h"
#include "ic/snapshot_upload.h"
#include "ic/wait.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define CALL_TIMEOUT_NS   (UINT64_C(600) * 1000000000) /* a refusal is certified after 4 min */
#define SNAPSHOTS_AT_ONCE 10                           /* of one canister (IC resource limits) */
#define EXPIRY_MARGIN_S   60
/* A subnet that has written too much just now (IC0210) is asked again, for so long. */
#define AGAIN_FOR_NS (2 * 60 * IC_NS_PER_SEC)
#define AGAIN_NS     (3 * IC_NS_PER_SEC)

static int list(const struct snapshot_session *session, struct ic_snapshot_list *out,
                struct ic_error *err)
{
    const struct fs_target *target = session->upload->config.target;
    const struct ic_io io = fs_job_io(session->job, CALL_TIMEOUT_NS);
    return ic_snapshot_list(target->agent, &target->canister, &io, out, err);
}

int snapshot_session_is_there(const struct snapshot_session *session,
                              const struct ic_snapshot_id *id, bool *out, struct ic_error *err)
{
    struct ic_snapshot_list now = {0};
    int result = list(session, &now, err);
    if (result == 0)
        *out = ic_snapshot_list_has(&now, id);
    ic_snapshot_list_fini(&now);
    return result;
}

static int note_id(struct snapshot_session *session, const struct ic_snapshot_id *id,
                   struct ic_error *err)
{
    session->note.state = FS_SNAPSHOT_SENDING;
    session->note.id = *id;
    return snapshot_session_note(session, err);
}

static int take_reply(struct snapshot_session *session, struct ic_reply *reply,
                      struct ic_error *err)
{
    struct ic_snapshot_id id;
    int result = ic_snapshot_decode_declared(reply, &id, err);
    return result < 0 ? result : note_id(session, &id, err);
}

/* --- a call whose outcome is not known --- */

static bool is_other(const struct snapshot_session *session, const struct ic_snapshot_id *id)
{
    for (size_t i = 0; i < session->note.n_before; i++)
        if (ic_snapshot_id_is_equal(&session->note.before[i], id))
            return true;
    return fs_snapshot_upload_state_of(session->upload, id) != FS_SNAPSHOT_UPLOAD_NONE;
}

static bool is_zero(struct ic_view bytes)
{
    return bytes.len == 0 ||
           (bytes.bytes[0] == 0 && memcmp(bytes.bytes, bytes.bytes + 1, bytes.len - 1) == 0);
}

/* Nobody has sent anything of it, as far as its beginnings tell: the module's, where whoever
 * uploads begins, is never zero. */
static int is_untouched(const struct snapshot_session *session, const struct ic_snapshot_id *id,
                        const struct ic_snapshot_metadata *m, bool *out, struct ic_error *err)
{
    const struct fs_target *target = session->upload->config.target;
    const struct ic_io io = fs_job_io(session->job, CALL_TIMEOUT_NS);
    const uint64_t sizes[] = {
        [IC_SNAPSHOT_WASM_MODULE] = m->wasm_module_size,
        [IC_SNAPSHOT_WASM_MEMORY] = m->wasm_memory_size,
        [IC_SNAPSHOT_STABLE_MEMORY] = m->stable_memory_size,
    };
    int result = 0;
    *out = m->n_chunks == 0;
    for (size_t i = 0; result == 0 && *out && i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        size_t len = sizes[i] < IC_SNAPSHOT_SLICE_MAX ? (size_t)sizes[i] : IC_SNAPSHOT_SLICE_MAX;
        struct ic_snapshot_data data = {0};
        if (len == 0)
            continue;
        result = ic_snapshot_read(target->agent, &target->canister, id, (enum ic_snapshot_blob)i, 0,
                                  len, &io, &data, err);
        *out = result == 0 && is_zero(data.bytes);
        ic_snapshot_data_fini(&data);
    }
    return result;
}

/* Is it one that this call would have made, of which nobody knew? What is of somebody else would be
 * overwritten. */
static int is_ours(const struct snapshot_session *session, const struct ic_snapshot_id *id,
                   bool *out, struct ic_error *err)
{
    const struct fs_target *target = session->upload->config.target;
    const struct ic_snapshot_metadata *mine = &session->plan.metadata;
    const struct ic_io io = fs_job_io(session->job, CALL_TIMEOUT_NS);
    struct ic_snapshot_metadata m = {0};
    int result = ic_snapshot_metadata(target->agent, &target->canister, id, &io, &m, err);
    if (result < 0)
        return result;
    *out = m.is_uploaded && m.wasm_module_size == mine->wasm_module_size &&
           m.wasm_memory_size == mine->wasm_memory_size &&
           m.stable_memory_size == mine->stable_memory_size &&
           ic_view_equal(m.certified_data, mine->certified_data);
    if (*out)
        result = is_untouched(session, id, &m, out, err);
    ic_snapshot_metadata_fini(&m);
    return result;
}

/* By what there is now and was not before. Returns 1: the note holds the id. 0: there is none. */
static int find_made(struct snapshot_session *session, struct ic_error *err)
{
    struct ic_snapshot_list now = {0};
    struct ic_snapshot_id found;
    size_t n_found = 0;
    int result = list(session, &now, err);
    for (size_t i = 0; result == 0 && i < now.n; i++) {
        bool is_mine = false;
        if (is_other(session, &now.items[i].id))
            continue;
        result = is_ours(session, &now.items[i].id, &is_mine, err);
        if (is_mine && n_found++ == 0)
            found = now.items[i].id;
    }
    ic_snapshot_list_fini(&now);
    if (result < 0)
        return result;
    if (n_found > 1)
        return ic_fail(
            err, IC_E_BUSY,
            "%zu snapshots were uploaded meanwhile that could be the one that an earlier "
            "call made: delete those that nobody needs, then upload again",
            n_found);
    result = n_found == 1 ? note_id(session, &found, err) : 0;
    return result < 0 ? result : (int)n_found;
}

static bool is_expired(const struct snapshot_session *session)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec > session->note.expiry_ns / 1000000000 + EXPIRY_MARGIN_S;
}

/* Nobody knows the call any more, and there are not the files that would tell which snapshot is
 * its. Returns as snapshot_session_settle; result: if it may still be executed. */
static int give_up_finding(const struct snapshot_session *session, int result)
{
    if (!is_expired(session))
        return result;
    fs_log_print(session->upload->config.target->log, FS_LOG_WARNING,
                 "snapshots/%s: whether its upload of before made a snapshot cannot be learned any "
                 "more: look into snapshots/ for one that nobody needs",
                 session->name);
    return 0;
}

int snapshot_session_settle(struct snapshot_session *session, struct ic_error *err)
{
    const struct fs_target *target = session->upload->config.target;
    const struct ic_io io = fs_job_io(session->job, CALL_TIMEOUT_NS);
    struct ic_reply reply = {0};
    fs_job_say(session->job, "finding out what became of an earlier call");
    int result =
        ic_agent_ask_update(target->agent, &target->canister, ic_snapshot_declare_method,
                            session->note.request_id, session->note.expiry_ns, &io, &reply, err);
    if (result == 0) {
        result = take_reply(session, &reply, err);
        return result < 0 ? result : 1;
    }
    bool was_refused = err->reject_code != 0 || err->code == IC_E_OVERLOADED;
    if (was_refused)
        return 0;
    if (err->code != IC_E_UNKNOWN_OUTCOME || atomic_load(io.cancel))
        return result;
    if (memcmp(session->note.content, session->plan.content, IC_SHA256_LEN) != 0)
        return give_up_finding(session, result);
    struct ic_error cause = {0};
    int made = find_made(session, &cause);
    if (made < 0)
        *err = cause;
    /* That there is none says something only once none can be made any more. */
    return made == 0 && !is_expired(session) ? result : made;
}

/* --- a new call --- */

static int look_for_room(struct snapshot_session *session, struct ic_error *err)
{
    struct ic_snapshot_list before = {0};
    int result = list(session, &before, err);
    if (result == 0 && before.n >= SNAPSHOTS_AT_ONCE)
        result = ic_fail(err, IC_E_NO_SPACE,
                         "the canister has %zu snapshots, and may not have more: delete one first",
                         before.n);
    session->note.n_before = 0;
    for (size_t i = 0; result == 0 && i < before.n; i++)
        session->note.before[session->note.n_before++] = before.items[i].id;
    ic_snapshot_list_fini(&before);
    return result;
}

static int send(struct snapshot_session *session, const struct ic_update *update,
                struct ic_error *err)
{
    const struct fs_target *target = session->upload->config.target;
    const struct ic_io io = fs_job_io(session->job, CALL_TIMEOUT_NS);
    struct ic_reply reply = {0};
    struct ic_error ignored;
    session->note.state = FS_SNAPSHOT_DECLARING;
    memcpy(session->note.request_id, update->request_id, IC_REQUEST_ID_LEN);
    session->note.expiry_ns = update->expiry_ns;
    int result = snapshot_session_note(session, err);
    if (result < 0)
        return result;
    result = ic_agent_send_update(target->agent, update, IC_UPDATE_CERTIFIED, &io, &reply, err);
    if (result == 0)
        return take_reply(session, &reply, err);
    if (err->code != IC_E_UNKNOWN_OUTCOME)
        (void)snapshot_session_forget(session, &ignored); /* it made none */
    return result;
}

static int ask_for_id(struct snapshot_session *session, struct ic_error *err)
{
    const struct fs_target *target = session->upload->config.target;
    struct ic_update update = {0};
    int result = look_for_room(session, err);
    if (result == 0)
        result = ic_snapshot_prepare_declare(target->agent, &target->canister,
                                             &session->plan.metadata, &update, err);
    if (result == 0)
        result = send(session, &update, err);
    ic_update_fini(&update);
    return result;
}

int snapshot_session_declare(struct snapshot_session *session, struct ic_error *err)
{
    const struct ic_io io = fs_job_io(session->job, CALL_TIMEOUT_NS);
    int64_t until_ns = ic_wait_now_ns() + AGAIN_FOR_NS;
    int result = 0;
    if (session->note.expiry_ns != 0)
        result = snapshot_session_settle(session, err);
    if (result != 0)
        return result < 0 ? result : 0;
    fs_job_say(session->job, "asking for an id");
    do {
        *err = (struct ic_error){0};
        result = ask_for_id(session, err);
    } while (result < 0 && err->code == IC_E_OVERLOADED && ic_wait_now_ns() < until_ns &&
             fs_change_pause(&io, AGAIN_NS) == 0);
    return result;
}
