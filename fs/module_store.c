/* See module_store.h. */
#include "fs/module_store.h"

#include "fs/crew.h"
#include "ic/wait.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define N_INFLIGHT  16
#define CALL_NS     (INT64_C(120) * 1000000000)
#define PATIENCE_NS (INT64_C(300) * 1000000000)

static const char stored_method[] = "stored_chunks";

/* The hashes of the chunks that the store has, a list for as long as the reply lives. */
static int ask_stored(const struct fs_target *target, struct fs_job *job,
                      struct ic_management_reply *out, struct ic_error *err)
{
    const struct ic_part parts[] = {{"canister_id", ic_build_principal(&target->canister)}};
    const struct ic_io io = fs_job_io(job, FS_CHANGE_NS);
    struct ic_arena arena;
    struct ic_value arg;
    ic_arena_init(&arena, 4096);
    int result = ic_build_record(&arena, parts, 1, &arg);
    if (result < 0)
        result = ic_fail(err, IC_E_NO_MEMORY, "%s: out of memory", stored_method);
    else
        result = ic_management_read(target->agent, &target->canister, stored_method, &arg, &io, out,
                                    err);
    ic_arena_fini(&arena);
    const struct ic_value *list = ic_management_value(out);
    if (result == 0 && (!list || list->type->kind != IC_TYPE_VEC))
        result = ic_management_fail_type(stored_method, err);
    return result;
}

/* Is the i-th of the list this one? */
static bool is_at(const struct ic_value *list, size_t i, const uint8_t hash[IC_SHA256_LEN])
{
    struct ic_value record;
    struct ic_view bytes;
    return ic_value_at(list, i, &record) == 0 &&
           ic_value_blob(ic_value_field(&record, "hash"), &bytes) == 0 &&
           ic_view_equal(bytes, ic_view(hash, IC_SHA256_LEN));
}

static bool has(const struct ic_value *list, const uint8_t hash[IC_SHA256_LEN])
{
    size_t i = 0;
    while (i < ic_value_count(list) && !is_at(list, i, hash))
        i++;
    return i < ic_value_count(list);
}

static bool has_others(const struct ic_value *list, const struct fs_module_chunks *chunks)
{
    for (size_t i = 0; i < ic_value_count(list); i++) {
        size_t k = 0;
        while (k < chunks->n && !is_at(list, i, chunks->hashes[k]))
            k++;
        if (k == chunks->n)
            return true;
    }
    return false;
}

/* Chunks that are sent, several at once. */
struct upload {
    const struct fs_target *target;
    struct fs_job *job;
    const uint8_t *bytes;
    size_t len;
    const struct fs_module_chunks *chunks;
    const struct ic_value *stored;
    size_t next;        /* of the thread that takes tasks, one at a time */
    atomic_size_t done; /* for people */
};

static struct ic_view chunk_at(const struct upload *self, size_t i)
{
    size_t left = self->len - i * FS_MODULE_CHUNK_SIZE;
    return ic_view(self->bytes + i * FS_MODULE_CHUNK_SIZE,
                   left < FS_MODULE_CHUNK_SIZE ? left : FS_MODULE_CHUNK_SIZE);
}

static enum fs_crew_take take(void *arg, struct fs_crew_task *out)
{
    struct upload *self = arg;
    while (self->next < self->chunks->n && has(self->stored, self->chunks->hashes[self->next])) {
        self->next++;
        atomic_fetch_add(&self->done, 1);
    }
    if (self->next == self->chunks->n)
        return FS_CREW_NONE;
    *out = (struct fs_crew_task){.first = self->next++, .n = 1};
    return FS_CREW_TASK;
}

static int send(void *arg, const struct fs_crew_task *task, uint8_t *buffer,
                const atomic_bool *stop, struct ic_error *err)
{
    struct upload *self = arg;
    struct ic_view chunk = chunk_at(self, task->first);
    const struct ic_part parts[] = {{"chunk", ic_blob(chunk.bytes, chunk.len)}};
    const struct fs_change change = {
        .method = "upload_chunk",
        .parts = parts,
        .n_parts = 1,
        .proof = IC_UPDATE_ANSWERED, /* a chunk that comes twice is there once */
    };
    const struct ic_io io = {.deadline_ns = ic_wait_now_ns() + CALL_NS, .cancel = stop};
    (void)buffer;
    int result = fs_change_do(self->target, &change, &io, err);
    if (result == 0)
        fs_job_say(self->job, "uploading the code, %zu of %zu parts",
                   atomic_fetch_add(&self->done, 1) + 1, self->chunks->n);
    return result;
}

static int upload_missing(struct upload *self, struct fs_module_chunks *out, struct ic_error *err)
{
    const struct ic_io io = fs_job_io(self->job, 0);
    const struct fs_crew crew = {
        .target = self->target,
        .cancel = io.cancel,
        .patience_ns = PATIENCE_NS,
        .n_threads = N_INFLIGHT,
        .take = take,
        .work = send,
        .arg = self,
    };
    out->was_empty = ic_value_count(self->stored) == 0;
    out->n = (self->len + FS_MODULE_CHUNK_SIZE - 1) / FS_MODULE_CHUNK_SIZE;
    for (size_t i = 0; i < out->n; i++) {
        struct ic_view chunk = chunk_at(self, i);
        if (ic_sha256(chunk.bytes, chunk.len, out->hashes[i]) < 0)
            return ic_fail(err, IC_E_NO_MEMORY, "out of memory");
    }
    fs_job_say(self->job, "uploading the code");
    return fs_crew_run(&crew, err);
}

int fs_module_store(const struct fs_target *target, struct fs_job *job, const uint8_t *bytes,
                    size_t len, struct fs_module_chunks *out, struct ic_error *err)
{
    struct ic_management_reply stored = {0};
    *out = (struct fs_module_chunks){0};
    struct upload upload = {
        .target = target, .job = job, .bytes = bytes, .len = len, .chunks = out};
    int result = ask_stored(target, job, &stored, err);
    upload.stored = ic_management_value(&stored);
    if (result == 0)
        result = upload_missing(&upload, out, err);
    ic_management_reply_fini(&stored);
    if (result < 0 && out->was_empty) {
        char words[200];
        fs_module_store_clear(target, job, out, words, sizeof(words));
    }
    return result;
}

/* Clear it, unless somebody else has put chunks there meanwhile. Returns 1: so it is. */
static int clear(const struct fs_target *target, struct fs_job *job,
                 const struct fs_module_chunks *chunks, struct ic_error *err)
{
    const struct fs_change change = {.method = "clear_chunk_store", .proof = IC_UPDATE_ANSWERED};
    const struct ic_io io = fs_job_io(job, FS_CHANGE_NS);
    struct ic_management_reply stored = {0};
    int result = ask_stored(target, job, &stored, err);
    if (result == 0)
        result = has_others(ic_management_value(&stored), chunks);
    if (result == 0)
        result = fs_change_do(target, &change, &io, err);
    ic_management_reply_fini(&stored);
    return result;
}

void fs_module_store_clear(const struct fs_target *target, struct fs_job *job,
                           const struct fs_module_chunks *chunks, char *words, size_t words_size)
{
    struct ic_error err = {0};
    int result = chunks->was_empty ? clear(target, job, chunks, &err) : 1;
    words[0] = '\0';
    if (result == 0)
        return;
    snprintf(words, words_size, "; its parts stay in the chunk store%s",
             result > 0 ? ", where there are others" : "");
    if (result < 0)
        fs_log_print(target->log, FS_LOG_WARNING, "the chunk store could not be cleared: %s",
                     err.message);
}
