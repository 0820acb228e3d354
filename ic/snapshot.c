/* The calls: see snapshot.h. What their replies say is taken apart in snapshot_decode.c. */
#include "ic/snapshot.h"

#include <assert.h>
#include <string.h>

#define ARG_MEMORY_MAX (64 << 10)

static const char list_method[] = "list_canister_snapshots";
static const char metadata_method[] = "read_canister_snapshot_metadata";
static const char data_method[] = "read_canister_snapshot_data";

/* Call a method with a record of these parts, and of the canister's id, which is theirs to begin
 * with. */
static int read_method(struct ic_agent *agent, const struct ic_principal *canister,
                       const char *method, const struct ic_part *parts, size_t n,
                       struct ic_arena *arena, const struct ic_io *io,
                       struct ic_management_reply *out, struct ic_error *err)
{
    struct ic_value arg;
    if (ic_build_record(arena, parts, n, &arg) < 0)
        return ic_fail(err, IC_E_NO_MEMORY, "%s: out of memory", method);
    return ic_management_read(agent, canister, method, &arg, io, out, err);
}

int ic_snapshot_list(struct ic_agent *agent, const struct ic_principal *canister,
                     const struct ic_io *io, struct ic_snapshot_list *out, struct ic_error *err)
{
    const struct ic_part parts[] = {{"canister_id", ic_build_principal(canister)}};
    struct ic_management_reply reply = {0};
    struct ic_arena arena;
    ic_arena_init(&arena, ARG_MEMORY_MAX);
    int ret = read_method(agent, canister, list_method, parts, 1, &arena, io, &reply, err);
    if (ret == 0)
        ret = ic_snapshot_list_decode(ic_management_value(&reply), out, err);
    ic_management_reply_fini(&reply);
    ic_arena_fini(&arena);
    return ret;
}

int ic_snapshot_metadata(struct ic_agent *agent, const struct ic_principal *canister,
                         const struct ic_snapshot_id *id, const struct ic_io *io,
                         struct ic_snapshot_metadata *out, struct ic_error *err)
{
    const struct ic_part parts[] = {{"canister_id", ic_build_principal(canister)},
                                    {"snapshot_id", ic_blob(id->bytes, id->len)}};
    struct ic_management_reply reply = {0};
    struct ic_arena arena;
    ic_arena_init(&arena, ARG_MEMORY_MAX);
    int ret = read_method(agent, canister, metadata_method, parts, 2, &arena, io, &reply, err);
    if (ret == 0)
        ret = ic_snapshot_metadata_decode(ic_management_value(&reply), out, err);
    ic_management_reply_fini(&reply);
    ic_arena_fini(&arena);
    return ret;
}

/* --- bytes --- */

void ic_snapshot_data_fini(struct ic_snapshot_data *data)
{
    ic_management_reply_fini(&data->reply);
    data->bytes = ic_view(NULL, 0);
}

static int read_data(struct ic_agent *agent, const struct ic_principal *canister,
                     const struct ic_snapshot_id *id, const char *kind, const struct ic_part *what,
                     size_t n, const struct ic_io *io, struct ic_snapshot_data *out,
                     struct ic_error *err)
{
    struct ic_arena arena;
    struct ic_value range;
    struct ic_part parts[] = {{"canister_id", ic_build_principal(canister)},
                              {"snapshot_id", ic_blob(id->bytes, id->len)},
                              {"kind", {0}}};
    struct ic_snapshot_data data = {0};
    ic_arena_init(&arena, ARG_MEMORY_MAX);
    int ret = ic_build_record(&arena, what, n, &range);
    if (ret == 0)
        ret = ic_build_variant(&arena, kind, &range, &parts[2].value);
    ret = ret < 0
              ? ic_fail(err, IC_E_NO_MEMORY, "%s: out of memory", data_method)
              : read_method(agent, canister, data_method, parts, 3, &arena, io, &data.reply, err);
    ic_arena_fini(&arena);
    if (ret < 0)
        return ret;
    const struct ic_value *value = ic_management_value(&data.reply);
    if (ic_value_blob(ic_value_field(value, "chunk"), &data.bytes) < 0) {
        ic_snapshot_data_fini(&data);
        return ic_management_fail_type(data_method, err);
    }
    *out = data;
    return 0;
}

int ic_snapshot_read(struct ic_agent *agent, const struct ic_principal *canister,
                     const struct ic_snapshot_id *id, enum ic_snapshot_blob blob, uint64_t off,
                     size_t len, const struct ic_io *io, struct ic_snapshot_data *out,
                     struct ic_error *err)
{
    static const char *const kinds[] = {
        [IC_SNAPSHOT_WASM_MODULE] = "wasm_module",
        [IC_SNAPSHOT_WASM_MEMORY] = "wasm_memory",
        [IC_SNAPSHOT_STABLE_MEMORY] = "stable_memory",
    };
    assert(len >= 1 && len <= IC_SNAPSHOT_SLICE_MAX);
    const struct ic_part range[] = {{"offset", ic_nat64(off)}, {"size", ic_nat64(len)}};
    int ret = read_data(agent, canister, id, kinds[blob], range, 2, io, out, err);
    if (ret == 0 && out->bytes.len != len) {
        ret = ic_fail(err, IC_E_MALFORMED, "%s: %zu bytes of %s instead of %zu", data_method,
                      out->bytes.len, kinds[blob], len);
        ic_snapshot_data_fini(out);
    }
    return ret;
}

int ic_snapshot_read_chunk(struct ic_agent *agent, const struct ic_principal *canister,
                           const struct ic_snapshot_id *id, const uint8_t hash[IC_SHA256_LEN],
                           const struct ic_io *io, struct ic_snapshot_data *out,
                           struct ic_error *err)
{
    const struct ic_part what[] = {{"hash", ic_blob(hash, IC_SHA256_LEN)}};
    uint8_t is[IC_SHA256_LEN];
    int ret = read_data(agent, canister, id, "wasm_chunk", what, 1, io, out, err);
    if (ret < 0)
        return ret;
    if (ic_sha256(out->bytes.bytes, out->bytes.len, is) < 0)
        ret = ic_fail(err, IC_E_NO_MEMORY, "%s: out of memory", data_method);
    else if (memcmp(is, hash, sizeof(is)) != 0)
        ret = ic_fail(err, IC_E_MALFORMED, "%s: a chunk that has not its hash", data_method);
    if (ret < 0)
        ic_snapshot_data_fini(out);
    return ret;
}
