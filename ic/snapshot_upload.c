/* See snapshot_upload.h. */
#include "ic/snapshot_upload.h"

#include <errno.h>
#include <string.h>

/* Globals, of which the network allows 1,000, and what surrounds them. */
#define ARG_MEMORY_MAX ((size_t)4 << 20)

const char ic_snapshot_declare_method[] = "upload_canister_snapshot_metadata";
static const char data_method[] = "upload_canister_snapshot_data";

/* --- declaring --- */

/* A nat of 128 bits as LEB128; 19 bytes at most. */
static int build_v128(struct ic_arena *arena, const struct ic_global *global, struct ic_value *out)
{
    void *room;
    uint64_t low = global->low;
    uint64_t high = global->high;
    size_t n = 0;
    int ret = ic_arena_alloc(arena, 19, 1, &room);
    if (ret < 0)
        return ret;
    uint8_t *leb = room;
    do {
        leb[n] = (uint8_t)(low & 0x7f);
        low = low >> 7 | high << 57;
        high >>= 7;
        if (low || high)
            leb[n] |= 0x80;
        n++;
    } while (low || high);
    *out = (struct ic_value){.type = &ic_type_nat, .as.leb = {leb, n}};
    return 0;
}

static int build_payload(struct ic_arena *arena, const struct ic_global *global,
                         struct ic_value *out)
{
    switch (global->kind) {
    case IC_GLOBAL_I32:
        *out = (struct ic_value){.type = &ic_type_int32, .as.integer = (int64_t)global->low};
        return 0;
    case IC_GLOBAL_I64:
        *out = (struct ic_value){.type = &ic_type_int64, .as.integer = (int64_t)global->low};
        return 0;
    case IC_GLOBAL_F32:
        *out = (struct ic_value){.type = &ic_type_float32, .as.float32 = (uint32_t)global->low};
        return 0;
    case IC_GLOBAL_F64:
        *out = (struct ic_value){.type = &ic_type_float64, .as.float64 = global->low};
        return 0;
    case IC_GLOBAL_V128:
        break;
    }
    return build_v128(arena, global, out);
}

/* All items of a vec have one type: the variant of all kinds, its cases in the order of their ids.
 */
#define N_KINDS 5

static const struct {
    const char *name;
    const struct ic_type *type;
} kinds[N_KINDS] = {
    [IC_GLOBAL_I32] = {"i32", &ic_type_int32},   [IC_GLOBAL_I64] = {"i64", &ic_type_int64},
    [IC_GLOBAL_F32] = {"f32", &ic_type_float32}, [IC_GLOBAL_F64] = {"f64", &ic_type_float64},
    [IC_GLOBAL_V128] = {"v128", &ic_type_nat},
};

struct global_types {
    struct ic_type_field cases[N_KINDS];
    struct ic_type variant;
    struct ic_type vec;
};

static void make_global_types(struct global_types *out)
{
    size_t n = 0;
    *out = (struct global_types){0};
    for (size_t i = 0; i < N_KINDS; i++) {
        uint32_t id = ic_candid_hash(kinds[i].name, strlen(kinds[i].name));
        size_t at = n++;
        for (; at > 0 && out->cases[at - 1].id > id; at--)
            out->cases[at] = out->cases[at - 1];
        out->cases[at] = (struct ic_type_field){id, kinds[i].type};
    }
    out->variant = (struct ic_type){.kind = IC_TYPE_VARIANT, .as.fields = {out->cases, N_KINDS}};
    out->vec = (struct ic_type){.kind = IC_TYPE_VEC, .as.elem = &out->variant};
}

static uint32_t position_of(const struct global_types *types, enum ic_global_kind kind)
{
    uint32_t id = ic_candid_hash(kinds[kind].name, strlen(kinds[kind].name));
    uint32_t position = 0;
    while (types->cases[position].id != id)
        position++;
    return position;
}

static int build_globals(struct ic_arena *arena, const struct ic_snapshot_metadata *m,
                         struct ic_value *out)
{
    void *types_room;
    void *items_room;
    void *payloads_room;
    int ret = ic_arena_alloc(arena, 1, sizeof(struct global_types), &types_room);
    if (ret == 0)
        ret = ic_arena_alloc(arena, m->n_globals, sizeof(struct ic_value), &items_room);
    if (ret == 0)
        ret = ic_arena_alloc(arena, m->n_globals, sizeof(struct ic_value), &payloads_room);
    if (ret != 0)
        return ret;
    struct global_types *types = types_room;
    struct ic_value *items = items_room;
    struct ic_value *payloads = payloads_room;
    make_global_types(types);
    for (size_t i = 0; ret == 0 && i < m->n_globals; i++) {
        ret = build_payload(arena, &m->globals[i], &payloads[i]);
        items[i] = (struct ic_value){
            .type = &types->variant,
            .as.variant = {.payload = &payloads[i],
                           .position = position_of(types, m->globals[i].kind)},
        };
    }
    *out = (struct ic_value){.type = &types->vec, .as.seq = {items, m->n_globals}};
    return ret;
}

/* What is not known is left out: then the network leaves it as it is. */
static int build_timer(struct ic_arena *arena, const struct ic_snapshot_metadata *m,
                       struct ic_value *out)
{
    const struct ic_value active = ic_nat64(m->timer_ns);
    struct ic_value timer;
    if (m->timer == IC_TIMER_UNKNOWN)
        return 0;
    int ret = m->timer == IC_TIMER_ACTIVE ? ic_build_variant(arena, "active", &active, &timer)
                                          : ic_build_variant(arena, "inactive", NULL, &timer);
    return ret < 0 ? ret : ic_build_some(arena, &timer, out);
}

static int build_hook(struct ic_arena *arena, const struct ic_snapshot_metadata *m,
                      struct ic_value *out)
{
    static const char *const names[] = {
        [IC_HOOK_CONDITION_NOT_SATISFIED] = "condition_not_satisfied",
        [IC_HOOK_READY] = "ready",
        [IC_HOOK_EXECUTED] = "executed",
    };
    struct ic_value hook;
    if (m->hook == IC_HOOK_UNKNOWN)
        return 0;
    int ret = ic_build_variant(arena, names[m->hook], NULL, &hook);
    return ret < 0 ? ret : ic_build_some(arena, &hook, out);
}

static int build_declare(struct ic_arena *arena, const struct ic_principal *canister,
                         const struct ic_snapshot_metadata *m, struct ic_value *out)
{
    struct ic_part parts[] = {
        {"canister_id", ic_build_principal(canister)},
        {"wasm_module_size", ic_nat64(m->wasm_module_size)},
        {"wasm_memory_size", ic_nat64(m->wasm_memory_size)},
        {"stable_memory_size", ic_nat64(m->stable_memory_size)},
        {"certified_data", ic_blob(m->certified_data.bytes, m->certified_data.len)},
        {"globals", {0}},
        {"global_timer", {0}},
        {"on_low_wasm_memory_hook_status", {0}},
    };
    int ret = build_globals(arena, m, &parts[5].value);
    if (ret == 0)
        ret = build_timer(arena, m, &parts[6].value);
    if (ret == 0)
        ret = build_hook(arena, m, &parts[7].value);
    return ret < 0 ? ret : ic_build_record(arena, parts, sizeof(parts) / sizeof(parts[0]), out);
}

int ic_snapshot_prepare_declare(struct ic_agent *agent, const struct ic_principal *canister,
                                const struct ic_snapshot_metadata *metadata, struct ic_update *out,
                                struct ic_error *err)
{
    struct ic_arena arena;
    struct ic_value arg;
    ic_arena_init(&arena, ARG_MEMORY_MAX);
    int ret = build_declare(&arena, canister, metadata, &arg);
    if (ret == -E2BIG)
        ret = ic_fail(err, IC_E_TOO_LARGE, "%s: too many globals", ic_snapshot_declare_method);
    else if (ret < 0)
        ret = ic_fail(err, IC_E_NO_MEMORY, "%s: out of memory", ic_snapshot_declare_method);
    else
        ret = ic_management_prepare(agent, canister, ic_snapshot_declare_method, &arg, out, err);
    ic_arena_fini(&arena);
    return ret;
}

int ic_snapshot_decode_declared(struct ic_reply *reply, struct ic_snapshot_id *out,
                                struct ic_error *err)
{
    struct ic_management_reply decoded = {0};
    int ret = ic_management_decode(ic_snapshot_declare_method, reply, &decoded, err);
    if (ret < 0)
        return ret;
    const struct ic_value *value = ic_management_value(&decoded);
    if (ic_snapshot_id_decode(ic_value_field(value, "snapshot_id"), out) < 0)
        ret = ic_management_fail_type(ic_snapshot_declare_method, err);
    ic_management_reply_fini(&decoded);
    return ret;
}

/* --- bytes --- */

/* The subnet writes no more than so much in a while, and refuses with the code of a limit that
 * halving would help against; here only waiting does (IC sources, heap delta rate limit). */
static void settle_rate_limit(struct ic_error *err)
{
    if (err->code == IC_E_TOO_LARGE && strstr(err->message, "heap delta"))
        err->code = IC_E_OVERLOADED;
}

static int write_data(struct ic_agent *agent, const struct ic_principal *canister,
                      const struct ic_snapshot_id *id, const char *kind,
                      const struct ic_value *range, struct ic_view bytes, const struct ic_io *io,
                      struct ic_error *err)
{
    struct ic_part parts[] = {
        {"canister_id", ic_build_principal(canister)},
        {"snapshot_id", ic_blob(id->bytes, id->len)},
        {"chunk", ic_blob(bytes.bytes, bytes.len)},
        {"kind", {0}},
    };
    struct ic_update update = {0};
    struct ic_reply reply = {0};
    struct ic_error failure = {0};
    struct ic_arena arena;
    struct ic_value arg;
    ic_arena_init(&arena, ARG_MEMORY_MAX);
    int ret = ic_build_variant(&arena, kind, range, &parts[3].value);
    if (ret == 0)
        ret = ic_build_record(&arena, parts, 4, &arg);
    if (ret < 0)
        ret = ic_fail(&failure, IC_E_NO_MEMORY, "%s: out of memory", data_method);
    else
        ret = ic_management_prepare(agent, canister, data_method, &arg, &update, &failure);
    ic_arena_fini(&arena);
    /* In two steps: while it is under way there is one copy of the bytes in it, not two. */
    if (ret == 0)
        ret = ic_agent_send_update(agent, &update, IC_UPDATE_ANSWERED, io, &reply, &failure);
    ic_update_fini(&update);
    ic_reply_fini(&reply);
    if (ret == 0)
        return 0;
    settle_rate_limit(&failure);
    if (err)
        *err = failure;
    return ic_error_errno(&failure);
}

int ic_snapshot_write(struct ic_agent *agent, const struct ic_principal *canister,
                      const struct ic_snapshot_id *id, enum ic_snapshot_blob blob, uint64_t off,
                      struct ic_view bytes, const struct ic_io *io, struct ic_error *err)
{
    static const char *const names[] = {
        [IC_SNAPSHOT_WASM_MODULE] = "wasm_module",
        [IC_SNAPSHOT_WASM_MEMORY] = "wasm_memory",
        [IC_SNAPSHOT_STABLE_MEMORY] = "stable_memory",
    };
    const struct ic_part offset[] = {{"offset", ic_nat64(off)}};
    struct ic_arena arena;
    struct ic_value range;
    ic_arena_init(&arena, ARG_MEMORY_MAX);
    int ret = ic_build_record(&arena, offset, 1, &range);
    ret = ret < 0 ? ic_fail(err, IC_E_NO_MEMORY, "%s: out of memory", data_method)
                  : write_data(agent, canister, id, names[blob], &range, bytes, io, err);
    ic_arena_fini(&arena);
    return ret;
}

int ic_snapshot_write_chunk(struct ic_agent *agent, const struct ic_principal *canister,
                            const struct ic_snapshot_id *id, struct ic_view bytes,
                            const struct ic_io *io, struct ic_error *err)
{
    return write_data(agent, canister, id, "wasm_chunk", NULL, bytes, io, err);
}
