/* See module_store.h. */
#include "fs/module_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of the chunks that the store has: their hashes, for as long as the reply lives. */
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
        (void)ic_fail(err, IC_E_NO_MEMORY, "stored_chunks: out of memory");
    else
        result = ic_management_read(target->agent, &target->canister, "stored_chunks", &arg, &io,
                                    out, err);
    ic_arena_fini(&arena);
    return result;
}

static bool has(const struct ic_value *list, const uint8_t hash[IC_SHA256_LEN])
{
    struct ic_value record;
    struct ic_view bytes;
    for (size_t i = 0; i < ic_value_count(list); i++)
        if (ic_value_at(list, i, &record) == 0 &&
            ic_value_blob(ic_value_field(&record, "hash"), &bytes) == 0 &&
            bytes.len == IC_SHA256_LEN && memcmp(bytes.bytes, hash, IC_SHA256_LEN) == 0)
            return true;
    return false;
}

static int upload(const struct fs_target *target, struct fs_job *job, struct ic_view chunk,
                  struct ic_error *err)
{
    const struct ic_part parts[] = {{"chunk", ic_blob(chunk.bytes, chunk.len)}};
    const struct fs_change change = {
        .method = "upload_chunk",
        .parts = parts,
        .n_parts = 1,
        .proof = IC_UPDATE_ANSWERED, /* a chunk that comes twice is there once */
    };
    const struct ic_io io = fs_job_io(job, FS_CHANGE_NS);
    return fs_change_do(target, &change, &io, err);
}

static struct ic_view chunk_at(const uint8_t *bytes, size_t len, size_t i)
{
    size_t left = len - i * FS_MODULE_CHUNK_SIZE;
    return ic_view(bytes + i * FS_MODULE_CHUNK_SIZE,
                   left < FS_MODULE_CHUNK_SIZE ? left : FS_MODULE_CHUNK_SIZE);
}

static int upload_missing(const struct fs_target *target, struct fs_job *job,
                          const struct ic_value *stored, const uint8_t *bytes, size_t len,
                          struct fs_module_chunks *out, struct ic_error *err)
{
    int result = 0;
    out->was_empty = ic_value_count(stored) == 0;
    out->n = (len + FS_MODULE_CHUNK_SIZE - 1) / FS_MODULE_CHUNK_SIZE;
    for (size_t i = 0; result == 0 && i < out->n; i++) {
        struct ic_view chunk = chunk_at(bytes, len, i);
        fs_job_say(job, "uploading the code, part %zu of %zu", i + 1, out->n);
        if (ic_sha256(chunk.bytes, chunk.len, out->hashes[i]) < 0)
            return ic_fail(err, IC_E_NO_MEMORY, "out of memory");
        if (!has(stored, out->hashes[i]))
            result = upload(target, job, chunk, err);
    }
    return result;
}

int fs_module_store(const struct fs_target *target, struct fs_job *job, const uint8_t *bytes,
                    size_t len, struct fs_module_chunks *out, struct ic_error *err)
{
    struct ic_management_reply stored = {0};
    *out = (struct fs_module_chunks){0};
    int result = ask_stored(target, job, &stored, err);
    if (result == 0)
        result = upload_missing(target, job, ic_management_value(&stored), bytes, len, out, err);
    ic_management_reply_fini(&stored);
    if (result < 0 && out->was_empty) {
        char words[200];
        fs_module_store_clear(target, job, out, words, sizeof(words));
    }
    return result;
}

void fs_module_store_clear(const struct fs_target *target, struct fs_job *job,
                           const struct fs_module_chunks *chunks, char *words, size_t words_size)
{
    const struct fs_change change = {.method = "clear_chunk_store", .proof = IC_UPDATE_ANSWERED};
    struct ic_error err = {0};
    words[0] = '\0';
    if (!chunks->was_empty) {
        snprintf(words, words_size,
                 "; its parts stay in the chunk store, where there were others before");
        return;
    }
    const struct ic_io io = fs_job_io(job, FS_CHANGE_NS);
    if (fs_change_do(target, &change, &io, &err) == 0)
        return;
    snprintf(words, words_size, "; its parts stay in the chunk store");
    fs_log_print(target->log, FS_LOG_WARNING, "the chunk store could not be cleared: %s",
                 err.message);
}
