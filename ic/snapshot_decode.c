/* What the replies about snapshots say: see snapshot.h. */
#include "ic/snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Globals (the network allows 1,000 of a module), hashes and certified data. */
#define MEMORY_MAX (4 << 20)

static int fail_type(const char *what, struct ic_error *err)
{
    return ic_fail(err, IC_E_WRONG_TYPE, "snapshot: the network's reply has no proper %s", what);
}

static int fail_memory(int ret, const char *what, struct ic_error *err)
{
    if (ret == -E2BIG)
        return ic_fail(err, IC_E_WRONG_TYPE, "snapshot: the network's reply has too much %s", what);
    return ic_fail(err, IC_E_NO_MEMORY, "snapshot: out of memory");
}

int ic_snapshot_id_decode(const struct ic_value *value, struct ic_snapshot_id *out)
{
    struct ic_view bytes;
    if (ic_value_blob(value, &bytes) < 0 || bytes.len == 0 || bytes.len > sizeof(out->bytes))
        return -EPROTO;
    *out = (struct ic_snapshot_id){.len = (uint8_t)bytes.len};
    memcpy(out->bytes, bytes.bytes, bytes.len);
    return 0;
}

/* --- the list --- */

static int decode_item(const struct ic_value *list, size_t i, struct ic_snapshot *out)
{
    struct ic_value record;
    if (ic_value_at(list, i, &record) < 0 ||
        ic_snapshot_id_decode(ic_value_field(&record, "id"), &out->id) < 0 ||
        ic_value_nat64(ic_value_field(&record, "taken_at_timestamp"), &out->taken_at_ns) < 0 ||
        ic_value_nat64(ic_value_field(&record, "total_size"), &out->total_size) < 0)
        return -EPROTO;
    return 0;
}

int ic_snapshot_list_decode(const struct ic_value *value, struct ic_snapshot_list *out,
                            struct ic_error *err)
{
    size_t n = ic_value_count(value);
    if (!value || value->type->kind != IC_TYPE_VEC || n > IC_SNAPSHOTS_MAX)
        return fail_type("list", err);
    struct ic_snapshot *items = calloc(n ? n : 1, sizeof(*items));
    if (!items)
        return fail_memory(-ENOMEM, "", err);
    for (size_t i = 0; i < n; i++) {
        if (decode_item(value, i, &items[i]) < 0) {
            free(items);
            return fail_type("list", err);
        }
    }
    *out = (struct ic_snapshot_list){items, n};
    return 0;
}

void ic_snapshot_list_fini(struct ic_snapshot_list *list)
{
    free(list->items);
    *list = (struct ic_snapshot_list){0};
}

bool ic_snapshot_list_has(const struct ic_snapshot_list *list, const struct ic_snapshot_id *id)
{
    for (size_t i = 0; i < list->n; i++)
        if (ic_snapshot_id_is_equal(&list->items[i].id, id))
            return true;
    return false;
}

/* --- the metadata --- */

/* A nat of at most 128 bits. */
static int decode_v128(const struct ic_value *value, struct ic_global *out)
{
    if (!value || value->type->kind != IC_TYPE_NAT)
        return -EPROTO;
    struct ic_view leb = value->as.leb;
    uint64_t limbs[3] = {0};
    for (size_t i = 0; i < leb.len; i++) {
        uint64_t group = leb.bytes[i] & 0x7f;
        size_t at = 7 * i / 64;
        unsigned shift = 7 * i % 64;
        if (group == 0)
            continue;
        if (at > 1)
            return -EPROTO;
        limbs[at] |= group << shift;
        if (shift > 57)
            limbs[at + 1] |= group >> (64 - shift);
    }
    out->low = limbs[0];
    out->high = limbs[1];
    return limbs[2] == 0 ? 0 : -EPROTO;
}

static int decode_global(const struct ic_value *value, struct ic_global *out)
{
    const struct ic_value *payload;
    int64_t integer = 0;
    int ret = 0;
    *out = (struct ic_global){0};
    if ((payload = ic_value_case(value, "i32")) != NULL) {
        out->kind = IC_GLOBAL_I32;
        ret = ic_value_int64(payload, &integer);
        if (integer < INT32_MIN || integer > INT32_MAX)
            ret = -EPROTO;
        out->low = (uint64_t)integer;
    } else if ((payload = ic_value_case(value, "i64")) != NULL) {
        out->kind = IC_GLOBAL_I64;
        ret = ic_value_int64(payload, &integer);
        out->low = (uint64_t)integer;
    } else if ((payload = ic_value_case(value, "f32")) != NULL) {
        out->kind = IC_GLOBAL_F32;
        ret = payload->type->kind == IC_TYPE_FLOAT32 ? 0 : -EPROTO;
        out->low = ret == 0 ? payload->as.float32 : 0;
    } else if ((payload = ic_value_case(value, "f64")) != NULL) {
        out->kind = IC_GLOBAL_F64;
        ret = payload->type->kind == IC_TYPE_FLOAT64 ? 0 : -EPROTO;
        out->low = ret == 0 ? payload->as.float64 : 0;
    } else {
        out->kind = IC_GLOBAL_V128;
        ret = decode_v128(ic_value_case(value, "v128"), out);
    }
    return ret;
}

static int decode_globals(const struct ic_value *value, struct ic_snapshot_metadata *m,
                          struct ic_error *err)
{
    void *room;
    size_t n = ic_value_count(value);
    if (!value || value->type->kind != IC_TYPE_VEC)
        return fail_type("globals", err);
    int ret = ic_arena_alloc(&m->arena, n, sizeof(struct ic_global), &room);
    if (ret < 0)
        return fail_memory(ret, "globals", err);
    struct ic_global *globals = room;
    for (size_t i = 0; i < n; i++) {
        struct ic_value item;
        if (ic_value_at(value, i, &item) < 0 || decode_global(&item, &globals[i]) < 0)
            return fail_type("globals", err);
    }
    m->globals = globals;
    m->n_globals = n;
    return 0;
}

static bool has_hash(uint8_t (*chunks)[IC_SHA256_LEN], size_t n, struct ic_view hash)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(chunks[i], hash.bytes, IC_SHA256_LEN) == 0)
            return true;
    return false;
}

static int decode_chunks(const struct ic_value *value, struct ic_snapshot_metadata *m,
                         struct ic_error *err)
{
    void *room;
    size_t n = ic_value_count(value);
    if (!value || value->type->kind != IC_TYPE_VEC || n > IC_SNAPSHOT_CHUNKS_MAX)
        return fail_type("chunk store", err);
    int ret = ic_arena_alloc(&m->arena, n, IC_SHA256_LEN, &room);
    if (ret < 0)
        return fail_memory(ret, "chunks", err);
    uint8_t(*chunks)[IC_SHA256_LEN] = room;
    for (size_t i = 0; i < n; i++) {
        struct ic_value item;
        struct ic_view hash;
        if (ic_value_at(value, i, &item) < 0 ||
            ic_value_blob(ic_value_field(&item, "hash"), &hash) < 0 || hash.len != IC_SHA256_LEN ||
            has_hash(chunks, i, hash))
            return fail_type("chunk store", err);
        memcpy(chunks[i], hash.bytes, IC_SHA256_LEN);
    }
    m->chunks = (const uint8_t(*)[IC_SHA256_LEN])chunks;
    m->n_chunks = n;
    return 0;
}

static int decode_certified_data(const struct ic_value *value, struct ic_snapshot_metadata *m,
                                 struct ic_error *err)
{
    struct ic_view data;
    void *copy;
    if (ic_value_blob(value, &data) < 0)
        return fail_type("certified data", err);
    int ret = ic_arena_alloc(&m->arena, data.len, 1, &copy);
    if (ret < 0)
        return fail_memory(ret, "certified data", err);
    if (data.len > 0)
        memcpy(copy, data.bytes, data.len);
    m->certified_data = ic_view(copy, data.len);
    return 0;
}

/* An opt field that is not there is none (Candid spec, Coercion). */
static int take_opt(const struct ic_value *record, const char *name, const struct ic_value **out)
{
    const struct ic_value *field = ic_value_field(record, name);
    *out = NULL;
    return field ? ic_value_opt(field, out) : 0;
}

static int decode_timer(const struct ic_value *record, struct ic_snapshot_metadata *m,
                        struct ic_error *err)
{
    const struct ic_value *timer;
    if (take_opt(record, "global_timer", &timer) < 0)
        return fail_type("timer", err);
    const struct ic_value *active = ic_value_case(timer, "active");
    m->timer = !timer ? IC_TIMER_UNKNOWN : active ? IC_TIMER_ACTIVE : IC_TIMER_INACTIVE;
    if (active ? ic_value_nat64(active, &m->timer_ns) < 0
               : timer && !ic_value_case(timer, "inactive"))
        return fail_type("timer", err);
    return 0;
}

static int decode_hook(const struct ic_value *record, struct ic_snapshot_metadata *m,
                       struct ic_error *err)
{
    static const struct {
        const char *name;
        enum ic_hook_status status;
    } cases[] = {
        {"condition_not_satisfied", IC_HOOK_CONDITION_NOT_SATISFIED},
        {"ready", IC_HOOK_READY},
        {"executed", IC_HOOK_EXECUTED},
    };
    const struct ic_value *status;
    if (take_opt(record, "on_low_wasm_memory_hook_status", &status) < 0)
        return fail_type("hook status", err);
    m->hook = IC_HOOK_UNKNOWN;
    for (size_t i = 0; status && i < sizeof(cases) / sizeof(cases[0]); i++)
        if (ic_value_case(status, cases[i].name))
            m->hook = cases[i].status;
    return status && m->hook == IC_HOOK_UNKNOWN ? fail_type("hook status", err) : 0;
}

static int decode_numbers(const struct ic_value *record, struct ic_snapshot_metadata *m,
                          struct ic_error *err)
{
    const struct {
        const char *name;
        uint64_t *out;
    } fields[] = {
        {"taken_at_timestamp", &m->taken_at_ns},    {"wasm_module_size", &m->wasm_module_size},
        {"wasm_memory_size", &m->wasm_memory_size}, {"stable_memory_size", &m->stable_memory_size},
        {"canister_version", &m->canister_version},
    };
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        if (ic_value_nat64(ic_value_field(record, fields[i].name), fields[i].out) < 0)
            return fail_type(fields[i].name, err);
    /* Offsets of files are signed. */
    if (m->wasm_module_size > INT64_MAX || m->wasm_memory_size > INT64_MAX ||
        m->stable_memory_size > INT64_MAX)
        return fail_type("size", err);
    return 0;
}

static int decode_source(const struct ic_value *record, struct ic_snapshot_metadata *m,
                         struct ic_error *err)
{
    const struct ic_value *source = ic_value_field(record, "source");
    m->is_uploaded = ic_value_case(source, "metadata_upload") != NULL;
    return m->is_uploaded || ic_value_case(source, "taken_from_canister")
               ? 0
               : fail_type("source", err);
}

int ic_snapshot_metadata_decode(const struct ic_value *value, struct ic_snapshot_metadata *out,
                                struct ic_error *err)
{
    struct ic_snapshot_metadata m = {0};
    ic_arena_init(&m.arena, MEMORY_MAX);
    int ret = decode_source(value, &m, err);
    if (ret == 0)
        ret = decode_numbers(value, &m, err);
    if (ret == 0)
        ret = decode_globals(ic_value_field(value, "globals"), &m, err);
    if (ret == 0)
        ret = decode_chunks(ic_value_field(value, "wasm_chunk_store"), &m, err);
    if (ret == 0)
        ret = decode_certified_data(ic_value_field(value, "certified_data"), &m, err);
    if (ret == 0)
        ret = decode_timer(value, &m, err);
    if (ret == 0)
        ret = decode_hook(value, &m, err);
    if (ret < 0)
        ic_arena_fini(&m.arena);
    else
        *out = m;
    return ret;
}

void ic_snapshot_metadata_fini(struct ic_snapshot_metadata *metadata)
{
    ic_arena_fini(&metadata->arena);
    *metadata = (struct ic_snapshot_metadata){0};
}
