#include "tests/fs/restore_items_rig.h"

#include "fs/restore_partner.h"
#include "ic/agent.h"
#include "ic/candid_text.h"
#include "ic/sha.h"
#include "tests/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

struct rig_canister *rig_canister;
struct rig_present *rig_present;
atomic_bool rig_cancelled;
int rig_dir_fd;

static char dir[] = "/dev/shm/restore-items-XXXXXX"; /* thousands of calls, each noted on disk */

/* --- the canister --- */

/* Who held the lock may have died. */
static void lock(void)
{
    if (pthread_mutex_lock(&rig_canister->lock) == EOWNERDEAD)
        pthread_mutex_consistent(&rig_canister->lock);
}

static void unlock(void)
{
    pthread_mutex_unlock(&rig_canister->lock);
}

void rig_reset(void)
{
    pthread_mutexattr_t shared;
    *rig_canister = (struct rig_canister){
        .limit = RIG_NONE, .bad = RIG_NONE, .reply = "DIDL\0\0", .reply_len = 6};
    pthread_mutexattr_init(&shared);
    pthread_mutexattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&shared, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&rig_canister->lock, &shared);
    pthread_mutexattr_destroy(&shared);
    rig_present = NULL;
    atomic_store(&rig_cancelled, false);
}

static const struct ic_value *list_of(const struct ic_value *value)
{
    static const char *const fields[] = {"chunk", "content"};
    while (value && value->type->kind == IC_TYPE_OPT)
        value = value->as.opt;
    for (size_t i = 0; value && i < 2; i++) {
        const struct ic_value *field = ic_value_field(value, fields[i]);
        if (field)
            return list_of(field);
    }
    return value;
}

static int reject(struct ic_error *err, const char *code, const char *words)
{
    return ic_fail_reject(err, 5, code, words, strlen(words));
}

static void give(uint64_t id)
{
    rig_canister->n_given[id]++;
    rig_canister->n_backwards += id < rig_canister->last_given;
    rig_canister->last_given = id;
}

/* Returns 0, or the rejection. */
static int run(const struct ic_view arg, struct ic_error *err)
{
    struct ic_candid *values = NULL;
    uint64_t id;
    if (ic_candid_decode(arg.bytes, arg.len, NULL, &values, NULL) < 0 ||
        ic_candid_count(values) != 1)
        return reject(err, "IC0503", "no such argument");
    const struct ic_value *list = list_of(ic_candid_arg(values, 0));
    uint64_t n = ic_value_count(list);
    bool has_bad = false;
    struct ic_value item;
    for (size_t i = 0; i < n; i++)
        has_bad = has_bad || (ic_value_at(list, i, &item) == 0 &&
                              ic_value_nat64(ic_value_field(&item, "id"), &id) == 0 &&
                              id == rig_canister->bad);
    int result = 0;
    if (n > rig_canister->limit) {
        rig_canister->n_too_much++;
        result = rig_canister->limit_is_told ? reject(err, "IC0522", "instruction limit")
                                             : reject(err, "IC0503", "too many items");
    } else if (has_bad) {
        result = reject(err, "IC0503", "I do not like this item");
    }
    for (size_t i = 0; result == 0 && i < n; i++)
        if (ic_value_at(list, i, &item) == 0 &&
            ic_value_nat64(ic_value_field(&item, "id"), &id) == 0 && id < RIG_ITEMS)
            give(id);
    rig_canister->n_empty += result == 0 && n == 0;
    rig_canister->n_bytes += arg.len;
    ic_candid_free(values);
    return result;
}

/* --- the agent --- */

int __wrap_ic_agent_prepare_update(struct ic_agent *agent, const struct ic_principal *to,
                                   const struct ic_principal *effective, const char *method,
                                   const uint8_t *arg, size_t arg_len, struct ic_update *out,
                                   struct ic_error *err);
int __wrap_ic_agent_send_update(struct ic_agent *agent, const struct ic_update *update,
                                enum ic_update_proof proof, const struct ic_io *io,
                                struct ic_reply *out, struct ic_error *err);
int __wrap_ic_agent_ask_update(struct ic_agent *agent, const struct ic_principal *effective,
                               const char *method, const uint8_t request_id[IC_REQUEST_ID_LEN],
                               uint64_t expiry_ns, const struct ic_io *io, struct ic_reply *out,
                               struct ic_error *err);

int __wrap_ic_agent_prepare_update(struct ic_agent *agent, const struct ic_principal *to,
                                   const struct ic_principal *effective, const char *method,
                                   const uint8_t *arg, size_t arg_len, struct ic_update *out,
                                   struct ic_error *err)
{
    (void)agent, (void)to, (void)effective, (void)err;
    *out = (struct ic_update){.method = method, .expiry_ns = 1};
    lock();
    memcpy(out->request_id, &rig_canister->n_prepared, sizeof(rig_canister->n_prepared));
    rig_canister->n_prepared++;
    unlock();
    ic_buf_append(&out->body, arg, arg_len);
    return 0;
}

static int reply(struct ic_reply *out)
{
    *out = (struct ic_reply){.arg = (const uint8_t *)rig_canister->reply,
                             .len = rig_canister->reply_len};
    return 0;
}

static int unknown(struct ic_error *err)
{
    return ic_fail(err, IC_E_UNKNOWN_OUTCOME, "no answer came");
}

/* Several accidents happen at once: nobody learns of one before all have happened, however slow the
 * machine is. Under the lock, which it lets go meanwhile. */
static void await_others(unsigned n)
{
    unsigned first = rig_canister->accident_at, end = first + rig_canister->n_accidents;
    for (int ms = 0; n >= first && n < end && rig_canister->n_calls < end && ms < 10000; ms++) {
        unlock();
        usleep(1000);
        lock();
    }
}

/* A call arrives, and what happens to it happens. */
static int arrive(const struct ic_update *update, struct ic_error *err)
{
    unsigned id, n = rig_canister->n_calls++;
    memcpy(&id, update->request_id, sizeof(id));
    unsigned n_accidents = rig_canister->n_accidents ? rig_canister->n_accidents : 1;
    bool is_struck = n >= rig_canister->accident_at && n - rig_canister->accident_at < n_accidents;
    enum rig_accident accident = is_struck ? rig_canister->accident : NO_ACCIDENT;
    if (accident == DIE_BEFORE)
        _exit(9);
    if (accident == LOSE_CALL)
        return unknown(err);
    if (accident == NEVER_RAN)
        return ic_fail(err, IC_E_OVERLOADED, "certified that it never ran");
    int result = run(ic_view(update->body.bytes, update->body.len), err);
    rig_canister->states[id] = result == 0 ? HAS_RUN : WAS_REJECTED;
    if (accident == DIE_AFTER)
        _exit(9);
    if (accident == CANCEL_IT)
        atomic_store(&rig_cancelled, true);
    return accident == LOSE_REPLY || accident == CANCEL_IT ? unknown(err) : result;
}

int __wrap_ic_agent_send_update(struct ic_agent *agent, const struct ic_update *update,
                                enum ic_update_proof proof, const struct ic_io *io,
                                struct ic_reply *out, struct ic_error *err)
{
    (void)agent, (void)io;
    if (proof != IC_UPDATE_CERTIFIED)
        abort();
    lock();
    unsigned call_ms = rig_canister->call_ms;
    if (++rig_canister->n_now > rig_canister->most_at_once)
        rig_canister->most_at_once = rig_canister->n_now;
    unlock();
    usleep(1000 * call_ms);
    lock();
    rig_canister->n_now--;
    unsigned n = rig_canister->n_calls;
    int result = arrive(update, err);
    await_others(n);
    unlock();
    return result < 0 ? result : reply(out);
}

int __wrap_ic_agent_ask_update(struct ic_agent *agent, const struct ic_principal *effective,
                               const char *method, const uint8_t request_id[IC_REQUEST_ID_LEN],
                               uint64_t expiry_ns, const struct ic_io *io, struct ic_reply *out,
                               struct ic_error *err)
{
    (void)agent, (void)effective, (void)method, (void)expiry_ns, (void)io;
    unsigned id;
    memcpy(&id, request_id, sizeof(id));
    lock();
    rig_canister->n_asked++;
    bool knows = !rig_canister->is_forgetful;
    int state = (int)rig_canister->states[id];
    unlock();
    if (!knows)
        return unknown(err);
    if (state == NOT_SENT)
        return ic_fail(err, IC_E_OVERLOADED, "certified that it never ran");
    return state == HAS_RUN ? reply(out) : reject(err, "IC0503", "rejected then");
}

/* --- the lease, and the stage's notes --- */

int __wrap_fs_lease_check(struct fs_lease *lease, struct ic_error *err);
int __real_stage_note(struct stage *stage, uint32_t kind, const void *bytes, size_t len);
int __wrap_stage_note(struct stage *stage, uint32_t kind, const void *bytes, size_t len);

int __wrap_fs_lease_check(struct fs_lease *lease, struct ic_error *err)
{
    (void)lease;
    lock();
    bool is_lost =
        rig_canister->lease_lost_at > 0 && rig_canister->n_calls >= rig_canister->lease_lost_at;
    unlock();
    return is_lost ? ic_fail(err, IC_E_CHANGED, "the lease was lost") : 0;
}

int __wrap_stage_note(struct stage *stage, uint32_t kind, const void *bytes, size_t len)
{
    lock();
    bool fails = rig_canister->note_fails_at > 0 && --rig_canister->note_fails_at == 0;
    unlock();
    return fails ? -ENOSPC : __real_stage_note(stage, kind, bytes, len);
}

/* --- collections and files --- */

static const char did_text[] =
    RIG_TYPES "service : {\n"
              "  backup_items_chunk : (nat64, nat64) -> (opt Chunk) query;\n"
              "  restore_items_chunk : (Chunk) -> ();\n"
              "  backup_list : (nat64, nat64) -> (vec Item) query;\n"
              "  restore_list : (vec Item) -> (variant { ok; err : text });\n"
              "  backup_whole : () -> (vec Item) query;\n"
              "  restore_whole : (vec Item) -> (bool);\n"
              "  backup_limits : () -> (opt Limits) query;\n"
              "  restore_limits : (Limits) -> ();\n"
              "  backup_parts_chunk : (nat64, nat64) -> (record { chunk : blob }) query;\n"
              "  restore_parts : (blob) -> ();\n"
              "}";

static struct ic_did *did;
static struct fs_collection collection;
static struct fs_target target;
static struct fs_options options = {.timeout_ns = 30000000000};
static struct fs_restore_items *items;

static int get_hash(void *arg, uint64_t index, bool is_certified, const struct source_io *io,
                    uint8_t out[IC_SHA256_LEN])
{
    (void)arg, (void)io;
    if (!rig_present || index != RIG_INDEX)
        return -ENOENT;
    rig_present->n_asked++;
    rig_present->n_certified += is_certified;
    if (is_certified && rig_present->newer)
        return rig_present->certified_result < 0
                   ? rig_present->certified_result
                   : ic_sha256(rig_present->newer, rig_present->newer_len, out);
    return rig_present->result < 0 ? rig_present->result
                                   : ic_sha256(rig_present->bytes, rig_present->len, out);
}

/* What follows is about files of this collection. */
void rig_choose_at_once(const char *method, unsigned n_inflight)
{
    char reason[FS_REASON_MAX] = "";
    struct fs_collection c;
    const struct ic_type_method *found = ic_did_find_method(did, method);
    fs_restore_items_free(items);
    items = NULL;
    if (fs_collection_recognise(did, found, &c, reason, sizeof(reason)) != FS_A_COLLECTION ||
        !fs_restore_partner_find(&c, 0, did) || !c.restore.method[0]) {
        printf("Bail out! %s: %s %s\n", method, reason, c.restore.reason);
        exit(1);
    }
    c.restore.any_order = n_inflight > 1;
    collection = c;
    const struct fs_restore_items_config config = {
        .target = &target,
        .collection = &collection,
        .n_inflight = n_inflight,
        .get_hash = get_hash,
    };
    if (fs_restore_items_new(&items, &config) < 0)
        exit(1);
}

void rig_choose(const char *method)
{
    rig_choose_at_once(method, 1);
}

/* Items [0, n), with bodies of len bytes, as the result of a method; total: what the record says.
 */
struct ic_buf rig_make_file(const char *method, uint64_t n, size_t len)
{
    const struct ic_type *type = ic_did_find_method(did, method)->type->as.func.results[0];
    struct ic_buf text = {0}, out = {0};
    struct ic_candid *values = NULL;
    struct ic_error err = {0};
    char line[64];
    char *body = calloc(1, len + 1);
    memset(body, 'x', len);
    bool is_record = strcmp(method, "backup_items_chunk") == 0;
    if (is_record)
        ic_buf_append(&text, "(opt record { chunk = ", 22);
    else
        ic_buf_append(&text, "(", 1);
    ic_buf_append(&text, "vec {", 5);
    for (uint64_t i = 0; i < n; i++) {
        int width = snprintf(line, sizeof(line), "record { id = %" PRIu64 "; body = \"", i);
        ic_buf_append(&text, line, (size_t)width);
        ic_buf_append(&text, body, len);
        ic_buf_append(&text, "\" };", 4);
    }
    ic_buf_append(&text, "}", 1);
    if (is_record)
        ic_buf_append(&text, "; total_length = 9 }", 20);
    ic_buf_append(&text, ")", 1);
    if (ic_candid_parse((const char *)text.bytes, text.len, &type, 1, 0, &values, &err) < 0 ||
        ic_candid_encode(ic_candid_arg(values, 0), 1, &out, &err) < 0) {
        printf("Bail out! %s\n", err.message);
        exit(1);
    }
    ic_candid_free(values);
    ic_buf_fini(&text);
    free(body);
    return out;
}

struct stage *rig_stage_of(const void *bytes, size_t len)
{
    const struct stage_purpose purpose = {.target = "backup/items/0000000000.candid"};
    struct stage *stage = NULL;
    if (stage_new(&stage, rig_dir_fd, "1", &purpose) < 0 || stage_write(stage, 0, bytes, len) < 0) {
        printf("Bail out! no stage\n");
        exit(1);
    }
    return stage;
}

struct stage *rig_begin(const char *method, const struct ic_buf *file)
{
    rig_reset();
    rig_choose(method);
    return rig_stage_of(file->bytes, file->len);
}

/* --- commits --- */

void rig_commit(struct stage *stage, bool force, bool dry_run, struct rig_outcome *out)
{
    struct fs_restorer *restorer;
    *out = (struct rig_outcome){0};
    const struct fs_restore_run run = {
        .stage = stage,
        .force = force,
        .dry_run = dry_run,
        .lease = (struct fs_lease *)rig_canister, /* nobody looks into it */
        .cancel = &rig_cancelled,
        .progress = &out->progress,
        .summary = out->summary,
        .summary_size = sizeof(out->summary),
    };
    if (fs_restore_items_open_file(items, RIG_INDEX, &restorer) < 0)
        exit(1);
    out->result = restorer->ops->commit(restorer, &run, &out->err);
    fs_restorer_close(restorer);
}

struct stage *rig_commit_and_die(struct stage *stage)
{
    struct rig_outcome out;
    bool is_durable = stage_sync(stage) == 0;
    stage_close(stage);
    fflush(stdout);
    pid_t child = is_durable ? fork() : -1;
    if (child == 0) {
        if (stage_open(&stage, rig_dir_fd, "1") < 0)
            _exit(8);
        rig_commit(stage, false, false, &out);
        stage_close(stage);
        _exit(out.result == 0 ? 0 : 7);
    }
    if (child < 0 || waitpid(child, NULL, 0) < 0 || stage_open(&stage, rig_dir_fd, "1") < 0) {
        printf("Bail out! no process, or no stage\n");
        exit(1);
    }
    rig_canister->accident = NO_ACCIDENT;
    rig_canister->n_now = 0;
    return stage;
}

bool rig_restores_in_few(struct stage *stage, uint64_t n, uint64_t most_in_vain,
                         uint64_t most_calls)
{
    struct rig_outcome out;
    rig_commit(stage, false, false, &out);
    stage_remove(stage);
    unsigned n_calls = rig_canister->n_calls, in_vain = rig_canister->n_too_much;
    bool is_good = out.result == 0 && rig_was_given(n, 1) && in_vain <= most_in_vain &&
                   n_calls - in_vain <= most_calls;
    if (!is_good)
        printf("# %" PRIu64 " items, at most %" PRIu64 " in a call: %u calls, %u in vain, %d %s\n",
               n, rig_canister->limit, n_calls, in_vain, out.result, out.err.message);
    return is_good;
}

void rig_expect_bad(const struct rig_outcome *out, uint64_t bad, uint64_t n)
{
    char words[100];
    TAP_INT(out->result, -EIO, "a bad item");
    snprintf(words, sizeof(words), "items: items [%" PRIu64 ", %" PRIu64 ") of %" PRIu64 ": ", bad,
             bad + 1, n);
    TAP_OK(strncmp(out->err.message, words, strlen(words)) == 0 &&
               strstr(out->err.message, "I do not like this item") != NULL,
           out->err.message);
}

/* Each of the items [0, n) was given so often, and no other was at all. */
bool rig_was_given(uint64_t n, unsigned times)
{
    for (uint64_t i = 0; i < RIG_ITEMS; i++)
        if (rig_canister->n_given[i] != (i < n ? times : 0)) {
            printf("# item %" PRIu64 " was given %u times\n", i, rig_canister->n_given[i]);
            return false;
        }
    return true;
}

/* --- life --- */

bool rig_open(void)
{
    struct ic_error err = {0};
    rig_canister = mmap(NULL, sizeof(*rig_canister), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (rig_canister == MAP_FAILED || !mkdtemp(dir) ||
        ic_did_parse(did_text, strlen(did_text), NULL, &did, &err) < 0) {
        printf("Bail out! %s\n", err.message);
        return false;
    }
    rig_dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    target.options = &options;
    target.agent = (struct ic_agent *)rig_canister; /* nobody looks into it */
    return true;
}

int rig_close(void)
{
    fs_restore_items_free(items);
    ic_did_free(did);
    munmap(rig_canister, sizeof(*rig_canister));
    close(rig_dir_fd);
    return rmdir(dir);
}
