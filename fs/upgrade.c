/* See upgrade.h. */
#include "fs/upgrade.h"

#include "fs/module_store.h"
#include "fs/small_file.h"
#include "ic/certificate.h"
#include "ic/lifecycle.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* IC resource limits: a module, and an ingress message, of which the rest of the call takes less
 * than ENVELOPE_MAX (icp leaves 500 bytes to it). */
#define MODULE_MAX   (FS_MODULE_CHUNKS_MAX * FS_MODULE_CHUNK_SIZE)
#define MESSAGE_MAX  ((size_t)2 << 20)
#define ENVELOPE_MAX ((size_t)4096)

static const uint8_t no_arguments[] = {'D', 'I', 'D', 'L', 0, 0};

struct module {
    char *bytes; /* malloc'ed */
    size_t len;
    uint8_t hash[IC_SHA256_LEN];
};

/* One run. */
struct course {
    struct fs_downtime *downtime;
    const struct fs_target *target;
    struct fs_job *job;
    struct module module;
    bool skip_pre_upgrade;
    bool keeps_heap;
    bool is_chunked;
    struct fs_module_chunks chunks; /* is_chunked */
};

/* --- the module --- */

static bool is_module(const char *bytes, size_t len)
{
    static const uint8_t wasm[] = {0, 'a', 's', 'm'};
    static const uint8_t gzip[] = {0x1f, 0x8b, 8};
    return (len >= 8 && memcmp(bytes, wasm, sizeof(wasm)) == 0) ||
           (len >= 8 && memcmp(bytes, gzip, sizeof(gzip)) == 0);
}

static int read_module(const char *path, struct module *out, struct ic_error *err)
{
    int result = fs_small_file_read(path, MODULE_MAX, &out->bytes, &out->len);
    if (result < 0) {
        ic_fail(err, IC_E_CONFIG, "'%.300s': %s", path, fs_small_file_words(result));
        return result == -EFBIG ? -EINVAL : result;
    }
    if (!is_module(out->bytes, out->len)) {
        ic_fail(err, IC_E_CONFIG, "'%.300s' is no Wasm module, plain or gzip", path);
        return -EINVAL;
    }
    if (ic_sha256(out->bytes, out->len, out->hash) < 0)
        return ic_fail(err, IC_E_NO_MEMORY, "out of memory");
    return 0;
}

/* --- what the canister has --- */

/* Does its code say that it keeps its heap? Controllers may read every section. */
static int ask_persistence(const struct course *c, bool *out, struct ic_error *err)
{
    const struct ic_path path =
        *IC_PATH(ic_label_text("canister"), ic_label_principal(&c->target->canister),
                 ic_label_text("metadata"), ic_label_text("enhanced-orthogonal-persistence"));
    const struct ic_io io = fs_job_io(c->job, FS_CHANGE_NS);
    struct ic_certificate *certificate;
    const uint8_t *leaf;
    size_t len;
    int result = ic_agent_read_state(c->target->agent, &c->target->canister, &path, 1, &io,
                                     &certificate, err);
    if (result < 0)
        return result;
    enum ic_lookup found = ic_certificate_lookup(certificate, &path, &leaf, &len);
    ic_certificate_free(certificate);
    if (found != IC_LOOKUP_FOUND && found != IC_LOOKUP_ABSENT)
        return ic_fail(err, IC_E_MALFORMED, "the certificate does not say what was asked");
    *out = found == IC_LOOKUP_FOUND;
    return 0;
}

/* Within the downtime. */
static int ask_hash(const struct course *c, bool *ret_is_ours, struct ic_error *err)
{
    const struct fs_target *target = fs_downtime_target(c->downtime);
    const struct ic_path path =
        *IC_PATH(ic_label_text("canister"), ic_label_principal(&target->canister),
                 ic_label_text("module_hash"));
    const struct ic_io io = fs_job_io(c->job, FS_CHANGE_NS);
    struct ic_certificate *certificate;
    const uint8_t *leaf;
    size_t len;
    int result =
        ic_agent_read_state(target->agent, &target->canister, &path, 1, &io, &certificate, err);
    if (result < 0)
        return result;
    *ret_is_ours = ic_certificate_lookup(certificate, &path, &leaf, &len) == IC_LOOKUP_FOUND &&
                   len == sizeof(c->module.hash) && memcmp(leaf, c->module.hash, len) == 0;
    ic_certificate_free(certificate);
    return 0;
}

static int look(struct course *c, bool *ret_is_same, struct ic_error *err)
{
    const struct ic_io io = fs_job_io(c->job, FS_CHANGE_NS);
    struct ic_canister_status status = {0};
    fs_job_say(c->job, "looking at the canister");
    int result = ic_canister_status(c->target->agent, &c->target->canister, &io, &status, err);
    if (result < 0)
        return result;
    if (!status.has_module) {
        ic_fail(err, IC_E_CONFIG, "the canister has no code that could be upgraded");
        return -EINVAL;
    }
    *ret_is_same = memcmp(status.module_hash, c->module.hash, sizeof(c->module.hash)) == 0;
    return ask_persistence(c, &c->keeps_heap, err);
}

/* --- the call --- */

/* variant { upgrade = opt record { skip_pre_upgrade; wasm_memory_persistence } } */
static int build_mode(const struct course *c, struct ic_arena *arena, struct ic_value *out)
{
    const struct ic_value yes = ic_bool(true);
    struct ic_part parts[2] = {{"skip_pre_upgrade", {0}}, {"wasm_memory_persistence", {0}}};
    struct ic_value keep;
    struct ic_value record;
    struct ic_value some;
    int result = 0;
    if (c->skip_pre_upgrade)
        result = ic_build_some(arena, &yes, &parts[0].value);
    if (result == 0 && c->keeps_heap)
        result = ic_build_variant(arena, "keep", NULL, &keep);
    if (result == 0 && c->keeps_heap)
        result = ic_build_some(arena, &keep, &parts[1].value);
    if (result == 0)
        result = ic_build_record(arena, parts, 2, &record);
    if (result == 0)
        result = ic_build_some(arena, &record, &some);
    return result < 0 ? result : ic_build_variant(arena, "upgrade", &some, out);
}

/* vec record { hash } */
static int build_hashes(const struct course *c, struct ic_arena *arena, struct ic_value *out)
{
    const struct fs_module_chunks *chunks = &c->chunks;
    void *type_room = NULL;
    void *items_room = NULL;
    int result = ic_arena_alloc(arena, 1, sizeof(struct ic_type), &type_room);
    if (result == 0)
        result = ic_arena_alloc(arena, chunks->n, sizeof(struct ic_value), &items_room);
    if (result < 0 || !type_room || !items_room)
        return -ENOMEM;
    struct ic_type *type = type_room;
    struct ic_value *items = items_room;
    const struct ic_type *record = NULL;
    for (size_t i = 0; result == 0 && i < chunks->n; i++) {
        const struct ic_part part = {"hash", ic_blob(chunks->hashes[i], IC_SHA256_LEN)};
        items[i] = (struct ic_value){0};
        result = ic_build_record(arena, &part, 1, &items[i]);
        record = items[i].type;
    }
    if (result < 0)
        return result;
    *type = (struct ic_type){.kind = IC_TYPE_VEC, .as.elem = record};
    *out = (struct ic_value){.type = type, .as.seq = {items, chunks->n}};
    return 0;
}

static int install(struct course *c, struct ic_error *err)
{
    struct ic_part parts[4] = {{"arg", ic_blob(no_arguments, sizeof(no_arguments))}};
    struct fs_change change = {
        .method = c->is_chunked ? "install_chunked_code" : "install_code",
        .parts = parts,
        .n_parts = c->is_chunked ? 4 : 3,
        .canister_field = c->is_chunked ? "target_canister" : NULL,
        .proof = IC_UPDATE_CERTIFIED,
    };
    struct ic_management_reply reply = {0};
    struct ic_arena arena;
    ic_arena_init(&arena, 256 << 10);
    parts[1].name = "mode";
    int result = build_mode(c, &arena, &parts[1].value);
    if (result == 0 && c->is_chunked) {
        parts[2] =
            (struct ic_part){"wasm_module_hash", ic_blob(c->module.hash, sizeof(c->module.hash))};
        parts[3].name = "chunk_hashes_list";
        result = build_hashes(c, &arena, &parts[3].value);
    } else {
        parts[2] = (struct ic_part){"wasm_module", ic_blob(c->module.bytes, c->module.len)};
    }
    fs_job_say(c->job, "installing the code");
    result = result < 0 ? ic_fail(err, IC_E_NO_MEMORY, "out of memory")
                        : fs_downtime_call(c->downtime, c->job, &change, &reply, err);
    ic_management_reply_fini(&reply);
    ic_arena_fini(&arena);
    return result;
}

/* --- all of it --- */

/* What the certified module hash says of the outcome. */
static int verify(const struct course *c, int result, bool was_same, struct ic_error *err)
{
    struct ic_error cause = {0};
    bool is_ours = false;
    bool is_unknown = result < 0 && err->code == IC_E_UNKNOWN_OUTCOME;
    if (result < 0 && !is_unknown)
        return result;
    int asked = ask_hash(c, &is_ours, &cause);
    if (is_unknown) {
        /* The hash tells only when it has changed. */
        if (asked == 0 && is_ours && !was_same)
            return 0;
        ic_error_reword(err, "outcome unknown: %.450s", err->message);
        return result;
    }
    if (asked < 0) {
        *err = cause;
        ic_error_reword(err, "installed, but the module hash could not be read: %.400s",
                        cause.message);
        return asked;
    }
    return is_ours ? 0
                   : ic_fail(err, IC_E_UNVERIFIED,
                             "installed, but the canister has other code now: somebody else's?");
}

static int upgrade(struct course *c, bool was_same, struct ic_error *err)
{
    char left[200] = "";
    int result = 0;
    c->is_chunked = c->module.len + ENVELOPE_MAX > MESSAGE_MAX;
    if (c->is_chunked)
        result = fs_module_store(c->target, c->job, (const uint8_t *)c->module.bytes, c->module.len,
                                 &c->chunks, err);
    if (result < 0)
        return result;
    result =
        fs_downtime_begin(c->downtime, c->job, FS_DOWNTIME_STOPPED, fs_job_command(c->job), err);
    if (result == 0) {
        result = verify(c, install(c, err), was_same, err);
        result = fs_downtime_end(c->downtime, c->job, result, err);
    }
    if (c->is_chunked)
        fs_module_store_clear(c->target, c->job, &c->chunks, left, sizeof(left));
    if (result == 0)
        fs_job_say(c->job, "upgraded%s%s", was_same ? " to the same code" : "", left);
    return result;
}

int fs_upgrade_run(struct fs_downtime *downtime, const struct fs_target *target, struct fs_job *job,
                   const struct fs_upgrade *what, struct ic_error *err)
{
    struct course course = {.downtime = downtime,
                            .target = target,
                            .job = job,
                            .skip_pre_upgrade = what->skip_pre_upgrade};
    bool was_same = false;
    fs_job_say(job, "reading the file");
    int result = read_module(what->path, &course.module, err);
    if (result == 0)
        result = look(&course, &was_same, err);
    if (result == 0)
        result = upgrade(&course, was_same, err);
    free(course.module.bytes);
    return result;
}
