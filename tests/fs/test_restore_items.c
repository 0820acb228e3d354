/* Files of collections, restored to a canister that is pretended: nothing is given twice and
 * nothing is left out, wherever the program dies and whatever the network does; limits are learned;
 * what is no such file is refused before anything is sent.
 *
 * The agent's three functions for updates are replaced (link_args in meson.build). The canister is
 * shared memory, so that it outlives a process that dies. */
#include "fs/restore_items.h"
#include "fs/restore_partner.h"
#include "ic/agent.h"
#include "ic/candid_text.h"
#include "tests/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

TAP_STATE;

#define ITEMS_MAX 4096
#define CALLS_MAX 4096
#define NONE      UINT64_MAX

/* --- the canister --- */

/* What happens to a call, by its number. */
enum accident {
    NO_ACCIDENT,
    DIE_BEFORE, /* the program, before it is sent */
    DIE_AFTER,  /* when it has run */
    LOSE_CALL,  /* it never arrives, and nobody learns that in time */
    LOSE_REPLY, /* it runs, and nobody learns that in time */
    NEVER_RAN,  /* it is certified that it never runs */
    CANCEL_IT,  /* the user, when it has run */
};

struct canister {
    unsigned n_calls; /* sent */
    unsigned n_asked;
    unsigned n_too_much;
    uint16_t n_given[ITEMS_MAX]; /* by id */
    unsigned n_empty;            /* calls without items */
    uint64_t n_bytes;            /* of arguments */
    /* Of calls that were prepared, by the number in their id: */
    enum { NOT_SENT, HAS_RUN, WAS_REJECTED } states[CALLS_MAX];
    unsigned n_prepared;
    /* What is to happen. */
    unsigned accident_at;
    enum accident accident;
    bool is_forgetful; /* does not know what became of calls */
    uint64_t limit;    /* items */
    bool limit_is_told;
    uint64_t bad; /* this item traps */
    const char *reply;
    size_t reply_len;
};

static struct canister *canister;
static atomic_bool cancelled;

static void reset(void)
{
    *canister = (struct canister){.limit = NONE, .bad = NONE, .reply = "DIDL\0\0", .reply_len = 6};
    atomic_store(&cancelled, false);
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
        has_bad = has_bad ||
                  (ic_value_at(list, i, &item) == 0 &&
                   ic_value_nat64(ic_value_field(&item, "id"), &id) == 0 && id == canister->bad);
    int result = 0;
    if (n > canister->limit) {
        canister->n_too_much++;
        result = canister->limit_is_told ? reject(err, "IC0522", "instruction limit")
                                         : reject(err, "IC0503", "too many items");
    } else if (has_bad) {
        result = reject(err, "IC0503", "I do not like this item");
    }
    for (size_t i = 0; result == 0 && i < n; i++)
        if (ic_value_at(list, i, &item) == 0 &&
            ic_value_nat64(ic_value_field(&item, "id"), &id) == 0 && id < ITEMS_MAX)
            canister->n_given[id]++;
    canister->n_empty += result == 0 && n == 0;
    canister->n_bytes += arg.len;
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
    memcpy(out->request_id, &canister->n_prepared, sizeof(canister->n_prepared));
    canister->n_prepared++;
    ic_buf_append(&out->body, arg, arg_len);
    return 0;
}

static int reply(struct ic_reply *out)
{
    *out = (struct ic_reply){.arg = (const uint8_t *)canister->reply, .len = canister->reply_len};
    return 0;
}

static int unknown(struct ic_error *err)
{
    return ic_fail(err, IC_E_UNKNOWN_OUTCOME, "no answer came");
}

int __wrap_ic_agent_send_update(struct ic_agent *agent, const struct ic_update *update,
                                enum ic_update_proof proof, const struct ic_io *io,
                                struct ic_reply *out, struct ic_error *err)
{
    (void)agent, (void)io;
    unsigned id, n = canister->n_calls++;
    memcpy(&id, update->request_id, sizeof(id));
    enum accident accident = n == canister->accident_at ? canister->accident : NO_ACCIDENT;
    if (proof != IC_UPDATE_CERTIFIED)
        abort();
    if (accident == DIE_BEFORE)
        _exit(9);
    if (accident == LOSE_CALL)
        return unknown(err);
    if (accident == NEVER_RAN)
        return ic_fail(err, IC_E_OVERLOADED, "certified that it never ran");
    int result = run(ic_view(update->body.bytes, update->body.len), err);
    canister->states[id] = result == 0 ? HAS_RUN : WAS_REJECTED;
    if (accident == DIE_AFTER)
        _exit(9);
    if (accident == CANCEL_IT)
        atomic_store(&cancelled, true);
    if (accident == LOSE_REPLY || accident == CANCEL_IT)
        return unknown(err);
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
    canister->n_asked++;
    if (canister->is_forgetful)
        return unknown(err);
    if (canister->states[id] == NOT_SENT)
        return ic_fail(err, IC_E_OVERLOADED, "certified that it never ran");
    return canister->states[id] == HAS_RUN ? reply(out) : reject(err, "IC0503", "rejected then");
}

/* --- collections and files --- */

#define TYPES                                                                                      \
    "type Item = record { id : nat64; body : text };\n"                                            \
    "type Chunk = record { chunk : vec Item; total_length : nat64 };\n"                            \
    "type Limits = record { posts : nat32; names : vec text };\n"

static const char did_text[] =
    TYPES "service : {\n"
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
static struct fs_restore_items *items;
static int dir_fd;

/* What follows is about files of this collection. */
static void choose(const char *method)
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
    collection = c;
    if (fs_restore_items_new(&items, &target, &collection) < 0)
        exit(1);
}

/* Items [0, n), with bodies of len bytes, as the result of a method; total: what the record says.
 */
static struct ic_buf make_file(const char *method, uint64_t n, size_t len)
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

static struct stage *stage_of(const void *bytes, size_t len)
{
    const struct stage_purpose purpose = {.target = "backup/items/0000000000.candid"};
    struct stage *stage = NULL;
    if (stage_new(&stage, dir_fd, "1", &purpose) < 0 || stage_write(stage, 0, bytes, len) < 0) {
        printf("Bail out! no stage\n");
        exit(1);
    }
    return stage;
}

/* --- commits --- */

struct outcome {
    int result;
    struct ic_error err;
    char summary[256];
    struct fs_restore_progress progress;
};

static void commit(struct stage *stage, bool force, bool dry_run, struct outcome *out)
{
    struct fs_restorer *restorer;
    *out = (struct outcome){0};
    const struct fs_restore_run run = {
        .stage = stage,
        .force = force,
        .dry_run = dry_run,
        .cancel = &cancelled,
        .progress = &out->progress,
        .summary = out->summary,
        .summary_size = sizeof(out->summary),
    };
    if (fs_restore_items_open_file(items, &restorer) < 0)
        exit(1);
    out->result = restorer->ops->commit(restorer, &run, &out->err);
    fs_restorer_close(restorer);
}

/* Each of the items [0, n) was given so often, and no other was at all. */
static bool was_given(uint64_t n, unsigned times)
{
    for (uint64_t i = 0; i < ITEMS_MAX; i++)
        if (canister->n_given[i] != (i < n ? times : 0)) {
            printf("# item %" PRIu64 " was given %u times\n", i, canister->n_given[i]);
            return false;
        }
    return true;
}

static void test_one_call(void)
{
    struct outcome out;
    struct ic_buf file = make_file("backup_items_chunk", 1000, 20);
    reset();
    choose("backup_items_chunk");
    struct stage *stage = stage_of(file.bytes, file.len);
    commit(stage, false, true, &out);
    TAP_INT(out.result, 0, "a dry run");
    TAP_INT(canister->n_prepared, 0, "sends nothing");
    TAP_STR(out.summary,
            "would restore 1000 items in 1 call of restore_items_chunk, 29048 bytes in all",
            out.summary);
    commit(stage, false, false, &out);
    TAP_INT(out.result, 0, out.err.message);
    TAP_INT(canister->n_calls, 1, "one call");
    TAP_OK(was_given(1000, 1), "gives every item once");
    TAP_STR(out.summary, "1000 items in 1 call of restore_items_chunk, 29048 bytes in all",
            out.summary);
    TAP_OK(out.progress.n_acked == file.len && out.progress.n_to_send == file.len &&
               out.progress.n_calls == 1,
           "progress tells all of it");
    commit(stage, false, false, &out);
    TAP_INT(out.result, 0, "a repeat");
    TAP_INT(canister->n_calls, 1, "calls nothing");
    stage_remove(stage);
    ic_buf_fini(&file);
}

static void test_empty(void)
{
    struct outcome out;
    struct ic_buf file = make_file("backup_items_chunk", 0, 0);
    reset();
    choose("backup_items_chunk");
    struct stage *stage = stage_of(file.bytes, file.len);
    for (int i = 0; i < 2; i++) {
        commit(stage, false, false, &out);
        TAP_INT(out.result, 0, out.err.message);
        TAP_INT(canister->n_empty, 1, "a list without items is given once");
    }
    stage_remove(stage);
    ic_buf_fini(&file);
}

static void test_large(void)
{
    struct outcome out;
    struct ic_buf file = make_file("backup_list", 1000, 10000);
    reset();
    canister->reply = "DIDL\1\x6b\2\x9c\xc2\1\x7f\xe5\x8e\xb4\2\x71\1\0\0";
    canister->reply_len = 19;
    choose("backup_list");
    struct stage *stage = stage_of(file.bytes, file.len);
    commit(stage, false, true, &out);
    TAP_STR(out.summary,
            "would restore 1000 items in 5 calls of restore_list, 10010023 bytes in all",
            out.summary);
    commit(stage, false, false, &out);
    TAP_INT(out.result, 0, out.err.message);
    TAP_INT(canister->n_calls, 5, "as many calls as 10 MB take");
    TAP_OK(was_given(1000, 1), "every item once");
    stage_remove(stage);
    ic_buf_fini(&file);
}

/* An item that no call can carry: nothing is sent, and it is named. */
static void test_too_large(void)
{
    struct outcome out;
    struct ic_buf file = make_file("backup_list", 2, 2100000);
    reset();
    choose("backup_list");
    struct stage *stage = stage_of(file.bytes, file.len);
    commit(stage, false, false, &out);
    TAP_INT(out.result, -EFBIG, "an item larger than a call");
    TAP_OK(strstr(out.err.message, "list: item 0 alone makes a call of 21000") != NULL,
           out.err.message);
    stage_remove(stage);
    ic_buf_fini(&file);

    file = make_file("backup_whole", 3, 1000000);
    choose("backup_whole");
    stage = stage_of(file.bytes, file.len);
    commit(stage, false, false, &out);
    TAP_INT(out.result, -EFBIG, "what is not given in pieces");
    TAP_OK(strstr(out.err.message, "split = yes") != NULL, out.err.message);
    TAP_INT(canister->n_prepared, 0, "nothing was sent");
    stage_remove(stage);
    ic_buf_fini(&file);
}

/* Limits at any number of items: all are given, once, with few calls in vain. */
static void test_limits(void)
{
    unsigned n_wrong = 0, most_in_vain = 0;
    for (uint64_t i = 0; i < 300; i++) {
        uint64_t n = 1 + (i * 7919) % 1500, limit = 1 + (i * 104729) % (i % 3 ? 1500 : 20);
        struct outcome out;
        struct ic_buf file = make_file("backup_items_chunk", n, 3);
        reset();
        canister->limit = limit;
        canister->limit_is_told = i % 2 == 0;
        choose("backup_items_chunk");
        struct stage *stage = stage_of(file.bytes, file.len);
        commit(stage, false, false, &out);
        uint64_t least = (n + limit - 1) / limit;
        bool is_good = out.result == 0 && was_given(n, 1) &&
                       canister->n_too_much <= 13 + least / 8 &&
                       canister->n_calls - canister->n_too_much <= 2 * least + 2;
        if (!is_good)
            printf("# %" PRIu64 " items, at most %" PRIu64
                   " in a call: %u calls, %u in vain, %d %s\n",
                   n, limit, canister->n_calls, canister->n_too_much, out.result, out.err.message);
        if (canister->n_too_much > most_in_vain)
            most_in_vain = canister->n_too_much;
        n_wrong += !is_good;
        stage_remove(stage);
        ic_buf_fini(&file);
    }
    printf("# at most %u calls in vain\n", most_in_vain);
    TAP_INT(n_wrong, 0, "every item once, at most twice the calls it takes, few in vain");
}

/* The next file knows. */
static void test_limit_is_kept(void)
{
    struct ic_buf file = make_file("backup_items_chunk", 1000, 3);
    reset();
    canister->limit = 130;
    choose("backup_items_chunk");
    unsigned in_vain = 0;
    for (unsigned i = 1; i <= 3; i++) {
        struct outcome out;
        struct stage *stage = stage_of(file.bytes, file.len);
        commit(stage, false, false, &out);
        TAP_OK(out.result == 0 && was_given(1000, i), "every item of a file");
        if (i == 1)
            in_vain = canister->n_too_much;
        stage_remove(stage);
    }
    TAP_OK(canister->n_too_much <= in_vain + 2, "what works is known for the next file");
    ic_buf_fini(&file);
}

/* An item that the canister does not take is found, named, and all before it restored. */
static void test_bad_item(void)
{
    static const uint64_t bad[] = {0, 1, 499, 999};
    struct ic_buf file = make_file("backup_items_chunk", 1000, 3);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct outcome out;
        char words[100];
        reset();
        canister->bad = bad[i];
        choose("backup_items_chunk");
        struct stage *stage = stage_of(file.bytes, file.len);
        commit(stage, false, false, &out);
        TAP_INT(out.result, -EIO, "a bad item");
        snprintf(words, sizeof(words), "items: items [%" PRIu64 ", %" PRIu64 ") of 1000: ", bad[i],
                 bad[i] + 1);
        TAP_OK(strncmp(out.err.message, words, strlen(words)) == 0 &&
                   strstr(out.err.message, "I do not like this item") != NULL,
               out.err.message);
        TAP_OK(was_given(bad[i], 1), "all before it, and nothing behind");
        TAP_OK(canister->n_calls <= 30, "in few calls");
        canister->bad = NONE; /* mended */
        commit(stage, false, false, &out);
        TAP_INT(out.result, 0, "a repeat goes on");
        TAP_OK(was_given(1000, 1), "behind them");
        stage_remove(stage);
    }
    ic_buf_fini(&file);
}

/* What the reply says counts. */
static void test_replies(void)
{
    struct outcome out;
    struct ic_buf file = make_file("backup_list", 10, 3);
    reset();
    canister->reply = "DIDL\1\x6b\2\x9c\xc2\1\x7f\xe5\x8e\xb4\2\x71\1\0\1\4full";
    canister->reply_len = 24;
    choose("backup_list");
    struct stage *stage = stage_of(file.bytes, file.len);
    commit(stage, false, false, &out);
    TAP_INT(out.result, -EIO, "a variant err");
    TAP_STR(out.err.message, "list: items [0, 10) of 10: restore_list replied that it failed: full",
            out.err.message);
    stage_remove(stage);
    ic_buf_fini(&file);
}

/* --- accidents --- */

/* Commit in a process of its own, which may die. */
static void commit_and_die(void)
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        struct stage *stage;
        struct outcome out;
        if (stage_open(&stage, dir_fd, "1") < 0)
            _exit(8);
        commit(stage, false, false, &out);
        stage_close(stage);
        _exit(out.result == 0 ? 0 : 7);
    }
    int status;
    waitpid(child, &status, 0);
}

/* The program dies at every call, before or after it; then it is repeated until it succeeds. */
static void test_death(enum accident accident, const char *words)
{
    struct ic_buf file = make_file("backup_items_chunk", 100, 3);
    unsigned n_wrong = 0, n_died = 0;
    for (unsigned at = 0;; at++) {
        struct outcome out;
        reset();
        canister->limit = 13;
        canister->accident = accident;
        canister->accident_at = at;
        choose("backup_items_chunk");
        stage_close(stage_of(file.bytes, file.len));
        /* What is written is durable when a commit begins, not before. */
        struct stage *stage;
        if (stage_open(&stage, dir_fd, "1") < 0 ||
            stage_write(stage, 0, file.bytes, file.len) < 0 || stage_sync(stage) < 0)
            exit(1);
        stage_close(stage);
        commit_and_die();
        if (canister->n_calls <= at) { /* there are not so many calls */
            if (stage_open(&stage, dir_fd, "1") == 0)
                stage_remove(stage);
            break;
        }
        n_died++;
        canister->accident = NO_ACCIDENT;
        if (stage_open(&stage, dir_fd, "1") < 0)
            exit(1);
        commit(stage, false, false, &out);
        bool is_good = out.result == 0 && was_given(100, 1) && canister->n_asked == 1;
        if (!is_good)
            printf("# at call %u: %d %s, asked %u times\n", at, out.result, out.err.message,
                   canister->n_asked);
        n_wrong += !is_good;
        stage_remove(stage);
    }
    TAP_INT(n_wrong, 0, words);
    TAP_OK(n_died >= 8, "at every call");
    ic_buf_fini(&file);
}

static struct stage *after(enum accident accident, unsigned at, int result,
                           const struct ic_buf *file, struct outcome *out)
{
    reset();
    canister->limit = 13;
    canister->accident = accident;
    canister->accident_at = at;
    choose("backup_items_chunk");
    struct stage *stage = stage_of(file->bytes, file->len);
    commit(stage, false, false, out);
    TAP_INT(out->result, result, out->result < 0 ? out->err.message : "it succeeds");
    canister->accident = NO_ACCIDENT;
    atomic_store(&cancelled, false);
    return stage;
}

static void test_unknown(void)
{
    static const enum accident accidents[] = {LOSE_CALL, LOSE_REPLY, CANCEL_IT};
    struct ic_buf file = make_file("backup_items_chunk", 100, 3);
    for (size_t i = 0; i < sizeof(accidents) / sizeof(accidents[0]); i++) {
        struct outcome out;
        struct stage *stage =
            after(accidents[i], 6, accidents[i] == CANCEL_IT ? -EINTR : -EIO, &file, &out);
        TAP_INT(out.err.code, IC_E_UNKNOWN_OUTCOME, "an unknown outcome");
        TAP_OK(strstr(out.err.message, "items: outcome unknown: items [") != NULL &&
                   strstr(out.err.message, ") may have been restored") != NULL,
               "says so");
        unsigned n_calls = canister->n_calls;
        canister->is_forgetful = true;
        commit(stage, false, false, &out);
        TAP_INT(out.result, -EIO, "nobody knows any more");
        TAP_INT(canister->n_calls, n_calls, "then it is never sent again by itself");
        canister->is_forgetful = false;
        commit(stage, false, false, &out);
        TAP_INT(out.result, 0, "when it is known what became of it");
        TAP_OK(was_given(100, 1), "every item is given once");
        stage_remove(stage);
    }
    ic_buf_fini(&file);
}

static void test_force(void)
{
    struct outcome out;
    struct ic_buf file = make_file("backup_items_chunk", 100, 3);
    struct stage *stage = after(LOSE_CALL, 6, -EIO, &file, &out);
    canister->is_forgetful = true;
    commit(stage, true, false, &out);
    TAP_INT(out.result, 0, "with force it is sent again");
    TAP_OK(was_given(100, 1), "every item is given");
    stage_remove(stage);
    ic_buf_fini(&file);
}

/* Of a call that certainly never ran another is made. */
static void test_never_ran(void)
{
    struct outcome out;
    struct ic_buf file = make_file("backup_items_chunk", 100, 3);
    struct stage *stage = after(NEVER_RAN, 6, 0, &file, &out);
    TAP_OK(was_given(100, 1), "every item is given once");
    stage_remove(stage);
    ic_buf_fini(&file);
}

static void test_cancelled_before(void)
{
    struct outcome out;
    struct ic_buf file = make_file("backup_items_chunk", 100, 3);
    reset();
    choose("backup_items_chunk");
    struct stage *stage = stage_of(file.bytes, file.len);
    atomic_store(&cancelled, true);
    commit(stage, false, false, &out);
    TAP_INT(out.result, -EINTR, out.err.message);
    TAP_INT(canister->n_prepared, 0, "nothing was sent");
    stage_remove(stage);
    ic_buf_fini(&file);
}

/* A file that was written to since: what was restored of the old one does not count for it. */
static void test_other_content(void)
{
    struct outcome out;
    struct ic_buf file = make_file("backup_items_chunk", 100, 3);
    struct ic_buf other = make_file("backup_items_chunk", 100, 4);
    struct stage *stage = after(LOSE_REPLY, 6, -EIO, &file, &out);
    if (stage_truncate(stage, 0) < 0 || stage_write(stage, 0, other.bytes, other.len) < 0)
        exit(1);
    memset(canister->n_given, 0, sizeof(canister->n_given));
    commit(stage, false, false, &out);
    TAP_INT(out.result, 0, out.err.message);
    TAP_INT(canister->n_asked, 1, "what became of the last call is asked for all the same");
    TAP_OK(was_given(100, 1), "all of the new file is restored");
    stage_remove(stage);
    ic_buf_fini(&file);
    ic_buf_fini(&other);
}

/* --- what is refused --- */

static void refuse(const void *bytes, size_t len, const char *words)
{
    struct outcome out;
    struct stage *stage = stage_of(bytes, len);
    commit(stage, false, false, &out);
    TAP_INT(out.result, -EINVAL, words);
    TAP_OK(strstr(out.err.message, words) != NULL, out.err.message);
    stage_remove(stage);
}

static void test_refusals(void)
{
    struct ic_buf file = make_file("backup_items_chunk", 3, 3),
                  list = make_file("backup_list", 3, 3);
    unsigned n_wrong = 0;
    reset();
    choose("backup_items_chunk");
    refuse("", 0, "items: it is empty");
    refuse("{\"chunk\": []}", 13, "it is not what backup_items_chunk gives: candid: not a message");
    refuse(list.bytes, list.len, "its type is not what backup_items_chunk gives");
    refuse("DIDL\1\x6e\x7d\1\0\0", 10, "it is not what backup_items_chunk gives");
    for (size_t len = 1; len < file.len; len++) {
        struct outcome out;
        struct stage *stage = stage_of(file.bytes, len);
        commit(stage, false, false, &out);
        n_wrong += out.result != -EINVAL;
        stage_remove(stage);
    }
    TAP_INT(n_wrong, 0, "a file cut short anywhere");
    ic_buf_append(&file, "x", 1);
    refuse(file.bytes, file.len, "trailing bytes");

    const struct stage_purpose purpose = {.target = "t", .base_size = file.len};
    struct outcome out;
    struct stage *stage;
    TAP_INT(stage_new(&stage, dir_fd, "1", &purpose), 0, "over a base");
    TAP_INT(stage_write(stage, 0, "DIDL", 4), 0, "of which a part is written");
    commit(stage, false, false, &out);
    TAP_INT(out.result, -EINVAL, out.err.message);
    stage_remove(stage);

    choose("backup_list");
    refuse("DIDL\2\x6d\1\x6c\1\0\x78\1\0\0", 14, "its type is not what backup_list gives");
    TAP_INT(canister->n_prepared, 0, "nothing was sent for any of them");
    ic_buf_fini(&file);
    ic_buf_fini(&list);
}

/* A type of before, whose items have a field that is not taken any more, or one less. */
static void test_older_types(void)
{
    static const char older[] = TYPES "type More = record { id : nat64; body : text; gone : nat };"
                                      "service : { more : () -> (vec More) query }";
    struct ic_did *old;
    struct ic_error err = {0};
    reset();
    choose("backup_list");
    TAP_INT(ic_did_parse(older, strlen(older), NULL, &old, &err), 0, err.message);
    const struct ic_type *type = ic_did_find_method(old, "more")->type->as.func.results[0];
    struct ic_candid *values = NULL;
    const char *text = "(vec { record { id = 1; body = \"a\"; gone = 7 } })";
    struct ic_buf file = {0};
    TAP_INT(ic_candid_parse(text, strlen(text), &type, 1, 0, &values, &err), 0, err.message);
    TAP_INT(ic_candid_encode(ic_candid_arg(values, 0), 1, &file, &err), 0, "an older file");
    refuse(file.bytes, file.len, "restore_list would not take all that is in it");
    TAP_INT(canister->n_prepared, 0, "nothing was sent");
    ic_candid_free(values);
    ic_buf_fini(&file);
    ic_did_free(old);
}

/* --- other shapes --- */

static void test_bytes(void)
{
    struct outcome out;
    uint8_t bytes[1000];
    memset(bytes, 0xd1, sizeof(bytes));
    reset();
    choose("backup_parts_chunk");
    struct stage *stage = stage_of(bytes, sizeof(bytes));
    commit(stage, false, false, &out);
    TAP_INT(out.result, 0, out.err.message);
    TAP_STR(out.summary, "all of it in 1 call of restore_parts, 1000 bytes in all", out.summary);
    TAP_INT((int64_t)canister->n_bytes, 1000 + 11, "the blob itself is the argument");
    stage_remove(stage);
}

static void test_whole(void)
{
    struct outcome out;
    struct ic_buf file = make_file("backup_whole", 50, 3);
    reset();
    canister->reply = "DIDL\0\1\x7e\1";
    canister->reply_len = 8;
    canister->limit = 10;
    choose("backup_whole");
    struct stage *stage = stage_of(file.bytes, file.len);
    commit(stage, false, false, &out);
    TAP_INT(out.result, -EIO, "more than the canister takes at once");
    TAP_INT(canister->n_calls, 1, "is not split, for the second half might replace the first");
    canister->limit = NONE;
    commit(stage, false, false, &out);
    TAP_INT(out.result, 0, out.err.message);
    TAP_OK(was_given(50, 1), "all of it");
    stage_remove(stage);
    ic_buf_fini(&file);
}

int main(void)
{
    char path[] = "/dev/shm/restore-items-XXXXXX"; /* thousands of calls, each noted on disk */
    struct ic_error err = {0};
    canister =
        mmap(NULL, sizeof(*canister), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (canister == MAP_FAILED || !mkdtemp(path) ||
        ic_did_parse(did_text, strlen(did_text), NULL, &did, &err) < 0) {
        printf("Bail out! %s\n", err.message);
        return 1;
    }
    dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    target.agent = (struct ic_agent *)canister; /* nobody looks into it */
    test_one_call();
    test_empty();
    test_large();
    test_too_large();
    test_limits();
    test_limit_is_kept();
    test_bad_item();
    test_replies();
    test_death(DIE_BEFORE, "the program dies before a call is sent");
    test_death(DIE_AFTER, "the program dies when a call has run");
    test_unknown();
    test_force();
    test_never_ran();
    test_cancelled_before();
    test_other_content();
    test_refusals();
    test_older_types();
    test_bytes();
    test_whole();
    fs_restore_items_free(items);
    ic_did_free(did);
    munmap(canister, sizeof(*canister));
    close(dir_fd);
    TAP_INT(rmdir(path), 0, "nothing is left behind");
    return tap_done();
}
