/* The directory of one snapshot, and that of its chunk store: see snapshots.h. */
#include "fs/snapshots_impl.h"
#include "ic/snapshot_json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const part_names[] = {
    [SNAPSHOT_METADATA] = "metadata.json",       [SNAPSHOT_WASM_MODULE] = "wasm_module.bin",
    [SNAPSHOT_WASM_MEMORY] = "wasm_memory.bin",  [SNAPSHOT_STABLE_MEMORY] = "stable_memory.bin",
    [SNAPSHOT_CHUNK_STORE] = "wasm_chunk_store", [SNAPSHOT_VMEM] = "vmem",
};

/* --- what it is made of --- */

/* Takes the metadata, also on failure. */
static int keep(struct snapshot *snapshot, struct ic_snapshot_metadata *metadata)
{
    struct ic_buf json = {0};
    size_t n = metadata->n_chunks;
    struct snapshot_chunk *chunks = calloc(n ? n : 1, sizeof(*chunks));
    int result = chunks ? ic_snapshot_json(metadata, &json) : -ENOMEM;
    if (result < 0) {
        free(chunks);
        ic_buf_fini(&json);
        ic_snapshot_metadata_fini(metadata);
        return result;
    }
    pthread_mutex_lock(&snapshot->owner->lock);
    snapshot->metadata = *metadata;
    snapshot->json = json;
    snapshot->chunks = chunks;
    snapshot->is_known = true;
    pthread_mutex_unlock(&snapshot->owner->lock);
    return 0;
}

static int ask(struct snapshot *snapshot, const struct ic_io *io)
{
    const struct fs_target *target = snapshot->owner->config.target;
    struct ic_snapshot_metadata metadata = {0};
    struct ic_error err = {0};
    int result =
        ic_snapshot_metadata(target->agent, &target->canister, &snapshot->id, io, &metadata, &err);
    if (result == 0)
        return keep(snapshot, &metadata);
    if (err.code == IC_E_NOT_FOUND)
        snapshot_note_gone(snapshot);
    if (err.code != IC_E_NOT_FOUND || !io->is_ahead) /* any name may be guessed */
        snapshots_log(snapshot->owner, snapshot->name, part_names[SNAPSHOT_METADATA], &err);
    return result;
}

int snapshot_learn(struct snapshot *snapshot, const struct source_io *io)
{
    struct fs_snapshots *owner = snapshot->owner;
    struct ic_io ic_io = snapshots_io(io);
    int result = 0;
    pthread_mutex_lock(&owner->lock);
    while (result == 0 && !snapshot->is_known) {
        if (!fs_flight_begin(&snapshot->learning, &owner->lock, &owner->settled, &ic_io, &result))
            continue;
        pthread_mutex_unlock(&owner->lock);
        result = ask(snapshot, &ic_io);
        pthread_mutex_lock(&owner->lock);
        fs_flight_end(&snapshot->learning, &owner->settled, result);
    }
    pthread_mutex_unlock(&owner->lock);
    return result;
}

static bool is_known(const struct snapshot *snapshot)
{
    pthread_mutex_lock(&snapshot->owner->lock);
    bool result = snapshot->is_known;
    pthread_mutex_unlock(&snapshot->owner->lock);
    return result;
}

uint64_t snapshot_size_of(const struct snapshot *snapshot, enum snapshot_part part)
{
    const uint64_t sizes[SNAPSHOT_N_PARTS] = {
        [SNAPSHOT_METADATA] = snapshot->json.len,
        [SNAPSHOT_WASM_MODULE] = snapshot->metadata.wasm_module_size,
        [SNAPSHOT_WASM_MEMORY] = snapshot->metadata.wasm_memory_size,
        [SNAPSHOT_STABLE_MEMORY] = snapshot->metadata.stable_memory_size,
    };
    return sizes[part];
}

int snapshot_open_vmem(struct snapshot *snapshot)
{
    int result = snapshot_open_part(snapshot, SNAPSHOT_STABLE_MEMORY, &snapshot->memory);
    return result < 0 ? result
                      : fs_vmem_open(&snapshot->vmem, snapshot->memory,
                                     snapshot->owner->config.target->log, snapshot->name);
}

void snapshot_free(struct snapshot *snapshot)
{
    fs_vmem_close(snapshot->vmem);
    source_close(snapshot->memory);
    for (int i = 0; i < SNAPSHOT_N_BLOBS; i++)
        source_close(snapshot->blobs[i]);
    ic_snapshot_metadata_fini(&snapshot->metadata);
    ic_buf_fini(&snapshot->json);
    free(snapshot->chunks);
    free(snapshot);
}

/* --- wasm_chunk_store/ --- */

#define CHUNK_SUFFIX ".bin"
#define HEX_LEN      ((size_t)2 * IC_SHA256_LEN)

static int chunks_count(void *arg, const struct source_io *io, uint64_t *out)
{
    struct snapshot *snapshot = arg;
    int result = snapshot_learn(snapshot, io);
    if (result == 0)
        *out = snapshot->metadata.n_chunks;
    return result;
}

static void chunks_name(void *arg, uint64_t index, char *name)
{
    const struct snapshot *snapshot = arg;
    *name = '\0';
    if (!is_known(snapshot))
        return; /* cannot be: nobody has an index before */
    for (size_t i = 0; i < IC_SHA256_LEN; i++)
        snprintf(name + 2 * i, 3, "%02x", snapshot->metadata.chunks[index][i]);
    memcpy(name + HEX_LEN, CHUNK_SUFFIX, sizeof(CHUNK_SUFFIX));
}

static bool is_chunk_name(const char *name)
{
    return strlen(name) == HEX_LEN + strlen(CHUNK_SUFFIX) &&
           strspn(name, "0123456789abcdef") == HEX_LEN && strcmp(name + HEX_LEN, CHUNK_SUFFIX) == 0;
}

static int chunks_learn(void *arg, const char *name, const struct source_io *io)
{
    return is_chunk_name(name) ? snapshot_learn(arg, io) : 0;
}

static int chunks_find(void *arg, const char *name, uint64_t *out)
{
    const struct snapshot *snapshot = arg;
    if (!is_chunk_name(name) || !is_known(snapshot))
        return -ENOENT;
    for (size_t i = 0; i < snapshot->metadata.n_chunks; i++) {
        char same[FS_NAME_SIZE];
        chunks_name(arg, i, same);
        if (strcmp(name, same) == 0) {
            *out = i;
            return 0;
        }
    }
    return -ENOENT;
}

static int chunks_open(void *arg, uint64_t index, struct source **out)
{
    return snapshot_open_chunk(arg, index, out);
}

static const struct fs_listing_ops chunks_ops = {
    .count = chunks_count,
    .name = chunks_name,
    .find = chunks_find,
    .open = chunks_open,
    .learn = chunks_learn,
};

/* --- the directory itself --- */

static int parts_count(void *arg, const struct source_io *io, uint64_t *out)
{
    *out = SNAPSHOT_N_PARTS;
    return snapshot_learn(arg, io);
}

static void parts_name(void *arg, uint64_t index, char *name)
{
    (void)arg;
    snprintf(name, FS_NAME_SIZE, "%s", part_names[index]);
}

/* As icp leaves them out. */
static bool parts_has(void *arg, uint64_t index)
{
    if (index == SNAPSHOT_VMEM)
        return false;
    bool may_be_missing = index == SNAPSHOT_WASM_MODULE || index == SNAPSHOT_WASM_MEMORY;
    return !may_be_missing ||
           (is_known(arg) && snapshot_size_of(arg, (enum snapshot_part)index) > 0);
}

static int parts_find(void *arg, const char *name, uint64_t *out)
{
    (void)arg;
    for (uint64_t i = 0; i < SNAPSHOT_N_PARTS; i++) {
        if (strcmp(name, part_names[i]) == 0) {
            *out = i;
            return 0;
        }
    }
    return -ENOENT;
}

static int parts_open(void *arg, uint64_t index, struct source **out)
{
    return snapshot_open_part(arg, (enum snapshot_part)index, out);
}

static const struct fs_listing_ops *parts_dir(void *arg, uint64_t index, void **ret_arg)
{
    struct snapshot *snapshot = arg;
    *ret_arg = index == SNAPSHOT_VMEM ? (void *)snapshot->vmem : snapshot;
    return index == SNAPSHOT_VMEM          ? &fs_vmem_listing
           : index == SNAPSHOT_CHUNK_STORE ? &chunks_ops
                                           : NULL;
}

const struct fs_listing_ops snapshot_dir_ops = {
    .count = parts_count,
    .name = parts_name,
    .find = parts_find,
    .open = parts_open,
    .has = parts_has,
    .dir = parts_dir,
};
