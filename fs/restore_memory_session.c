#include "fs/restore_memory_session.h"

#include "fs/query.h"
#include "ic/did.h"
#include "ic/wait.h"

#include <errno.h>
#include <string.h>

#define FIELDS_MAX 4

int memory_session_init(struct memory_session *session, struct memory_commit *commit)
{
    *session = (struct memory_session){.commit = commit, .size = commit->size};
    return fs_memory_write_convention(&session->convention);
}

void memory_session_fini(struct memory_session *session)
{
    ic_did_free(session->convention);
    session->convention = NULL;
}

/* --- arguments --- */

/* A record under construction, at the convention's type. */
struct record {
    const struct ic_type *type;
    struct ic_value items[FIELDS_MAX];
};

static struct record record_of(const struct memory_session *session, const char *method)
{
    const struct ic_type_method *found = ic_did_find_method(session->convention, method);
    return (struct record){.type = found->type->as.func.args[0]};
}

/* The fields stand in the order of their ids. */
static const struct ic_type *set(struct record *record, const char *name, struct ic_value value)
{
    uint32_t id = ic_candid_hash(name, strlen(name));
    size_t i = 0;
    while (record->type->as.fields.fields[i].id != id)
        i++;
    value.type = record->type->as.fields.fields[i].type;
    record->items[i] = value;
    return value.type;
}

static struct ic_value record_value(const struct record *record)
{
    return (struct ic_value){.type = record->type,
                             .as.seq = {record->items, record->type->as.fields.n}};
}

/* --- calls --- */

/* One update whose reply is {ok; err}, or `more`. */
static int call(struct memory_session *session, enum fs_staged_method method,
                const struct ic_value *arg, const atomic_bool *stop, struct memory_reply *out,
                const struct ic_value **ok, struct ic_error *err)
{
    char name[FS_METHOD_NAME_MAX];
    enum fs_refusal refusal;
    fs_memory_write_method(&session->commit->owner->memory.write, method, name);
    int result = memory_update(session->commit, name, arg, 1, stop, out, err);
    if (result < 0)
        return result;
    const struct ic_value *reply = ic_candid_arg(out->values, 0);
    *ok = method == FS_STAGED_COMMIT ? ic_value_case(reply, "more") : NULL;
    if (!*ok)
        result = fs_refusal_judge(name, reply, &refusal, ok, err);
    if (result < 0) {
        atomic_store(&session->refusal, (int)refusal);
        memory_reply_fini(out);
    }
    return result;
}

/* --- begin, chunk, abort --- */

static int begin(void *arg, const atomic_bool *stop, struct ic_error *err)
{
    struct memory_session *session = arg;
    struct record record = record_of(session, "begin");
    struct memory_reply reply;
    const struct ic_value *ok;
    uint64_t number;
    uint64_t chunk_max;
    struct ic_value base = ic_nat64(session->base_version);
    set(&record, "target", ic_text("stable_memory"));
    set(&record, "size", ic_nat64(session->size));
    set(&record, "sha256", ic_blob(session->sha256, IC_SHA256_LEN));
    set(&record, "base_version", (struct ic_value){.as.opt = session->has_base ? &base : NULL});
    const struct ic_value value = record_value(&record);
    int result = call(session, FS_STAGED_BEGIN, &value, stop, &reply, &ok, err);
    if (result < 0)
        return result;
    if (ic_value_nat64(ic_value_field(ok, "session"), &number) < 0 ||
        ic_value_nat64(ic_value_field(ok, "chunk_max"), &chunk_max) < 0 || chunk_max == 0) {
        result = ic_fail(err, IC_E_WRONG_TYPE, "restore_begin: the reply cannot be used");
    } else {
        session->number = number;
        session->chunk_max = chunk_max < MEMORY_CHUNK_MAX ? chunk_max : MEMORY_CHUNK_MAX;
    }
    memory_reply_fini(&reply);
    return result;
}

int memory_session_begin(struct memory_session *session, struct ic_error *err)
{
    session->refusal = FS_REFUSAL_NONE;
    return memory_once(session->commit, 0, begin, session, err);
}

int memory_session_send(void *arg, uint64_t off, const uint8_t *bytes, size_t len,
                        const atomic_bool *stop, struct ic_error *err)
{
    struct memory_session *session = arg;
    struct record record = record_of(session, "chunk");
    struct memory_reply reply;
    const struct ic_value *ok;
    set(&record, "session", ic_nat64(session->number));
    set(&record, "offset", ic_nat64(off));
    set(&record, "bytes", ic_blob(bytes, len));
    const struct ic_value value = record_value(&record);
    int result = call(session, FS_STAGED_CHUNK, &value, stop, &reply, &ok, err);
    if (result == 0)
        memory_reply_fini(&reply);
    return result;
}

static int abort_once(void *arg, const atomic_bool *stop, struct ic_error *err)
{
    struct memory_session *session = arg;
    const struct ic_value number = ic_nat64(session->number);
    struct memory_reply reply;
    const struct ic_value *ok;
    int result = call(session, FS_STAGED_ABORT, &number, stop, &reply, &ok, err);
    if (result == 0)
        memory_reply_fini(&reply);
    return result;
}

int memory_session_abort(struct memory_session *session, struct ic_error *err)
{
    session->refusal = FS_REFUSAL_NONE;
    return memory_once(session->commit, 0, abort_once, session, err);
}

/* --- commit --- */

struct committing {
    struct memory_session *session;
    bool is_done;
    bool has_moved;
    uint64_t n_done; /* the most that the canister told */
};

static int commit_once(void *arg, const atomic_bool *stop, struct ic_error *err)
{
    struct committing *committing = arg;
    struct memory_session *session = committing->session;
    struct fs_restore_progress *progress = session->commit->run->progress;
    const struct ic_value number = ic_nat64(session->number);
    struct memory_reply reply;
    const struct ic_value *ok;
    uint64_t done;
    uint64_t total;
    int result = call(session, FS_STAGED_COMMIT, &number, stop, &reply, &ok, err);
    if (result < 0)
        return result;
    committing->is_done = ic_value_case(ic_candid_arg(reply.values, 0), "ok") != NULL;
    if (committing->is_done) {
        atomic_store(&progress->n_applied, atomic_load(&progress->n_apply));
    } else if (ic_value_nat64(ic_value_field(ok, "done"), &done) < 0 ||
               ic_value_nat64(ic_value_field(ok, "total"), &total) < 0) {
        result = ic_fail(err, IC_E_WRONG_TYPE, "restore_commit: the reply cannot be used");
    } else {
        committing->has_moved = done > committing->n_done;
        if (committing->has_moved)
            committing->n_done = done;
        atomic_store(&progress->n_apply, total);
        atomic_store(&progress->n_applied, done);
    }
    memory_reply_fini(&reply);
    return result;
}

int memory_session_commit(struct memory_session *session, struct ic_error *err)
{
    struct committing committing = {.session = session};
    int64_t patience_ns = session->commit->owner->patience_ns;
    int64_t moved_ns = ic_wait_now_ns();
    session->refusal = FS_REFUSAL_NONE;
    memory_set_phase(session->commit, FS_RESTORE_APPLYING);
    while (!committing.is_done) {
        int result = memory_once(session->commit, 0, commit_once, &committing, err);
        if (result < 0)
            return result;
        if (committing.has_moved)
            moved_ns = ic_wait_now_ns();
        else if (!committing.is_done && ic_wait_now_ns() - moved_ns > patience_ns)
            return ic_fail(err, IC_E_TIMEOUT,
                           "restore_commit: the canister does not get on with it");
    }
    return 0;
}

/* --- status --- */

int memory_session_subtract(const struct ic_value *received, uint64_t size,
                            struct memory_plan *plan)
{
    if (!received || received->type->kind != IC_TYPE_VEC)
        return -EPROTO;
    for (size_t i = 0; i < ic_value_count(received); i++) {
        struct ic_value item;
        uint64_t off;
        uint64_t len;
        if (ic_value_at(received, i, &item) < 0 ||
            ic_value_nat64(ic_value_field_id(&item, 0), &off) < 0 ||
            ic_value_nat64(ic_value_field_id(&item, 1), &len) < 0 || off > size || len > size - off)
            return -EPROTO;
        uint64_t first = (off + MEMORY_PAGE - 1) / MEMORY_PAGE;
        uint64_t end = (off + len == size ? size + MEMORY_PAGE - 1 : off + len) / MEMORY_PAGE;
        if (end > first)
            memory_plan_clear(plan, first, end - first);
    }
    return 0;
}

struct asking {
    struct memory_session *session;
    bool is_open;
};

static int judge_status(struct asking *asking, const struct ic_value *reply, const char *method,
                        struct ic_error *err)
{
    struct memory_session *session = asking->session;
    const struct ic_value *status;
    uint64_t size;
    if (ic_value_opt(reply, &status) < 0)
        return ic_fail(err, IC_E_WRONG_TYPE, "%s: the reply has another type than expected",
                       method);
    asking->is_open = ic_value_case(ic_value_field(status, "state"), "open") != NULL;
    if (!asking->is_open)
        return 0;
    if (ic_value_nat64(ic_value_field(status, "size"), &size) < 0 || size != session->size ||
        memory_session_subtract(ic_value_field(status, "received"), size, &session->commit->plan) <
            0)
        return ic_fail(err, IC_E_WRONG_TYPE, "%s: the reply does not fit the session", method);
    return 0;
}

static int ask(void *arg, const atomic_bool *stop, struct ic_error *err)
{
    struct asking *asking = arg;
    const struct memory_restorer *owner = asking->session->commit->owner;
    struct ic_io io = fs_target_io(owner->target, owner->target->options->timeout_ns);
    const struct ic_value number = ic_nat64(asking->session->number);
    char name[FS_METHOD_NAME_MAX];
    struct ic_reply raw = {0};
    struct memory_reply reply;
    io.cancel = stop;
    fs_memory_write_method(&owner->memory.write, FS_STAGED_STATUS, name);
    int result = fs_query_raw(owner->target, name, &number, 1, &io, &raw, err);
    if (result < 0)
        return result;
    result = memory_reply_decode(name, &raw, &reply, err);
    if (result < 0) {
        ic_reply_fini(&raw);
        return result;
    }
    result = judge_status(asking, ic_candid_arg(reply.values, 0), name, err);
    memory_reply_fini(&reply);
    return result;
}

int memory_session_status(struct memory_session *session, bool *ret_is_open, struct ic_error *err)
{
    struct asking asking = {.session = session};
    int result = memory_once(session->commit, 0, ask, &asking, err);
    *ret_is_open = asking.is_open;
    return result;
}
