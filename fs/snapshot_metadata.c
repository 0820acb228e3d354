/* See snapshot_metadata.h. */
#include "fs/snapshot_metadata.h"

#include <errno.h>
#include <float.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY_MAX         ((size_t)1 << 20)
#define CERTIFIED_DATA_MAX 32 /* bytes (IC interface spec, Certified data) */

static int refuse(struct ic_error *err, const char *what)
{
    return ic_fail(err, IC_E_CONFIG, "metadata.json: %s", what);
}

static int fail_memory(struct ic_error *err)
{
    return ic_fail(err, IC_E_NO_MEMORY, "metadata.json: out of memory");
}

/* --- numbers and bytes --- */

static int parse_size(const json_t *root, const char *key, uint64_t *out, struct ic_error *err)
{
    const json_t *value = json_object_get(root, key);
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return ic_fail(err, IC_E_CONFIG, "metadata.json: \"%s\" is no size", key);
    *out = (uint64_t)json_integer_value(value);
    return 0;
}

static bool parse_bytes(const json_t *list, uint8_t *out)
{
    size_t n = json_array_size(list);
    for (size_t i = 0; i < n; i++) {
        const json_t *byte = json_array_get(list, i);
        json_int_t number = json_integer_value(byte);
        if (!json_is_integer(byte) || number < 0 || number > UINT8_MAX)
            return false;
        out[i] = (uint8_t)number;
    }
    return true;
}

/* --- globals --- */

static bool parse_integer(const json_t *value, int64_t min, int64_t max, struct ic_global *out)
{
    json_int_t number = json_integer_value(value);
    out->low = (uint64_t)number;
    return json_is_integer(value) && number >= min && number <= max;
}

/* Is a double what the fewest digits that tell a single from all others are read as? */
static bool is_text_of(float single, double number)
{
    char text[32];
    for (int n = 1; n <= FLT_DECIMAL_DIG; n++) {
        snprintf(text, sizeof(text), "%.*g", n, (double)single);
        if (strtof(text, NULL) == single)
            break;
    }
    return strtod(text, NULL) == number;
}

/* The digits of a single may be read as the very double between it and the next: 7.038531e-26 is
 * one of them, and rounds to the wrong one. Then it is told by its own text. */
static float single_of(double number)
{
    float nearest = (float)number;
    float other;
    uint32_t bits;
    memcpy(&bits, &nearest, sizeof(bits));
    bits +=
        fabs(number) > fabs((double)nearest) ? 1 : UINT32_MAX; /* the next, away from 0 or not */
    memcpy(&other, &bits, sizeof(other));
    return (double)nearest != number && is_text_of(other, number) ? other : nearest;
}

static bool parse_float(const json_t *value, struct ic_global *out)
{
    double number = json_number_value(value);
    if (!json_is_number(value))
        return false;
    if (out->kind == IC_GLOBAL_F64) {
        memcpy(&out->low, &number, sizeof(number));
        return true;
    }
    float single = single_of(number);
    uint32_t bits;
    memcpy(&bits, &single, sizeof(bits));
    out->low = bits;
    return isfinite(single);
}

/* 32-bit limbs, least significant first. */
static bool parse_v128(const json_t *value, struct ic_global *out)
{
    uint64_t limbs[4] = {0};
    size_t n = json_array_size(value);
    if (!json_is_array(value) || n > 4)
        return false;
    for (size_t i = 0; i < n; i++) {
        const json_t *limb = json_array_get(value, i);
        json_int_t number = json_integer_value(limb);
        if (!json_is_integer(limb) || number < 0 || number > UINT32_MAX)
            return false;
        limbs[i] = (uint64_t)number;
    }
    out->low = limbs[0] | limbs[1] << 32;
    out->high = limbs[2] | limbs[3] << 32;
    return true;
}

static bool parse_global(const json_t *item, struct ic_global *out)
{
    static const char *const names[] = {
        [IC_GLOBAL_I32] = "i32", [IC_GLOBAL_I64] = "i64",   [IC_GLOBAL_F32] = "f32",
        [IC_GLOBAL_F64] = "f64", [IC_GLOBAL_V128] = "v128",
    };
    const json_t *value = NULL;
    *out = (struct ic_global){0};
    if (json_object_size(item) != 1)
        return false;
    for (int kind = 0; !value && kind <= IC_GLOBAL_V128; kind++) {
        value = json_object_get(item, names[kind]);
        out->kind = (enum ic_global_kind)kind;
    }
    if (!value)
        return false;
    switch (out->kind) {
    case IC_GLOBAL_I32:
        return parse_integer(value, INT32_MIN, INT32_MAX, out);
    case IC_GLOBAL_I64:
        return parse_integer(value, INT64_MIN, INT64_MAX, out);
    case IC_GLOBAL_F32:
    case IC_GLOBAL_F64:
        return parse_float(value, out);
    case IC_GLOBAL_V128:
        break;
    }
    return parse_v128(value, out);
}

static int parse_globals(const json_t *root, struct ic_snapshot_metadata *m, struct ic_error *err)
{
    const json_t *list = json_object_get(root, "globals");
    size_t n = json_array_size(list);
    void *room;
    if (!json_is_array(list) || n > FS_SNAPSHOT_GLOBALS_MAX)
        return refuse(err, "\"globals\" is no list of at most 1000");
    if (ic_arena_alloc(&m->arena, n, sizeof(struct ic_global), &room) < 0)
        return fail_memory(err);
    struct ic_global *globals = room;
    for (size_t i = 0; i < n; i++)
        if (!parse_global(json_array_get(list, i), &globals[i]))
            return ic_fail(err, IC_E_CONFIG, "metadata.json: global %zu has no value that is known",
                           i);
    m->globals = globals;
    m->n_globals = n;
    return 0;
}

/* --- the rest --- */

static int parse_chunks(const json_t *root, struct ic_snapshot_metadata *m, struct ic_error *err)
{
    const json_t *list = json_object_get(root, "wasm_chunk_store");
    size_t n = json_array_size(list);
    void *room;
    if (!json_is_array(list) || n > FS_SNAPSHOT_CHUNKS_MAX)
        return refuse(err, "\"wasm_chunk_store\" is no list of at most 100");
    if (ic_arena_alloc(&m->arena, n, IC_SHA256_LEN, &room) < 0)
        return fail_memory(err);
    uint8_t(*chunks)[IC_SHA256_LEN] = room;
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(list, i);
        const json_t *hash = json_object_get(item, "hash");
        if (json_object_size(item) != 1 || json_array_size(hash) != IC_SHA256_LEN ||
            !parse_bytes(hash, chunks[i]))
            return refuse(err, "\"wasm_chunk_store\" holds what is no hash");
        for (size_t k = 0; k < i; k++)
            if (memcmp(chunks[k], chunks[i], IC_SHA256_LEN) == 0)
                return refuse(err, "\"wasm_chunk_store\" has a hash twice");
    }
    m->chunks = (const uint8_t(*)[IC_SHA256_LEN])chunks;
    m->n_chunks = n;
    return 0;
}

static int parse_certified_data(const json_t *root, struct ic_snapshot_metadata *m,
                                struct ic_error *err)
{
    const json_t *list = json_object_get(root, "certified_data");
    size_t n = json_array_size(list);
    void *room;
    if (!json_is_array(list) || n > CERTIFIED_DATA_MAX)
        return refuse(err, "\"certified_data\" is no list of at most 32 bytes");
    if (ic_arena_alloc(&m->arena, n, 1, &room) < 0)
        return fail_memory(err);
    if (!parse_bytes(list, room))
        return refuse(err, "\"certified_data\" holds what is no byte");
    m->certified_data = ic_view(room, n);
    return 0;
}

static bool is_word(const json_t *value, const char *word)
{
    return json_is_string(value) && strcmp(json_string_value(value), word) == 0;
}

static int parse_timer(const json_t *root, struct ic_snapshot_metadata *m, struct ic_error *err)
{
    const json_t *timer = json_object_get(root, "global_timer");
    const json_t *active = json_object_get(timer, "active");
    if (!timer || json_is_null(timer)) {
        m->timer = IC_TIMER_UNKNOWN;
    } else if (is_word(timer, "inactive")) {
        m->timer = IC_TIMER_INACTIVE;
    } else if (json_object_size(timer) == 1 && json_is_integer(active) &&
               json_integer_value(active) >= 0) {
        m->timer = IC_TIMER_ACTIVE;
        m->timer_ns = (uint64_t)json_integer_value(active);
    } else {
        return refuse(err, "\"global_timer\" is not understood");
    }
    return 0;
}

static int parse_hook(const json_t *root, struct ic_snapshot_metadata *m, struct ic_error *err)
{
    const json_t *hook = json_object_get(root, "on_low_wasm_memory_hook_status");
    if (!hook || json_is_null(hook))
        m->hook = IC_HOOK_UNKNOWN;
    else if (is_word(hook, "condition_not_satisfied"))
        m->hook = IC_HOOK_CONDITION_NOT_SATISFIED;
    else if (is_word(hook, "ready"))
        m->hook = IC_HOOK_READY;
    else if (is_word(hook, "executed"))
        m->hook = IC_HOOK_EXECUTED;
    else
        return refuse(err, "\"on_low_wasm_memory_hook_status\" is not understood");
    return 0;
}

static int parse_source(const json_t *root, struct ic_snapshot_metadata *m, struct ic_error *err)
{
    const json_t *source = json_object_get(root, "source");
    m->is_uploaded = json_object_get(source, "metadata_upload") != NULL;
    return json_object_size(source) == 1 &&
                   (m->is_uploaded || json_object_get(source, "taken_from_canister"))
               ? 0
               : refuse(err, "\"source\" is not understood");
}

static int check_keys(json_t *root, struct ic_error *err)
{
    static const char *const known[] = {
        "source",
        "taken_at_timestamp",
        "wasm_module_size",
        "globals",
        "wasm_memory_size",
        "stable_memory_size",
        "wasm_chunk_store",
        "canister_version",
        "certified_data",
        "global_timer",
        "on_low_wasm_memory_hook_status",
    };
    const char *key;
    json_t *value;
    if (!json_is_object(root))
        return refuse(err, "it is no object");
    json_object_foreach(root, key, value)
    {
        bool is_known = false;
        for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
            is_known = is_known || strcmp(key, known[i]) == 0;
        if (!is_known)
            return ic_fail(err, IC_E_CONFIG,
                           "metadata.json: \"%.60s\" is not understood, and would be lost", key);
    }
    return 0;
}

static int parse_root(json_t *root, struct ic_snapshot_metadata *m, struct ic_error *err)
{
    const struct {
        const char *key;
        uint64_t *out;
    } sizes[] = {
        {"taken_at_timestamp", &m->taken_at_ns},    {"wasm_module_size", &m->wasm_module_size},
        {"wasm_memory_size", &m->wasm_memory_size}, {"stable_memory_size", &m->stable_memory_size},
        {"canister_version", &m->canister_version},
    };
    int result = check_keys(root, err);
    for (size_t i = 0; result == 0 && i < sizeof(sizes) / sizeof(sizes[0]); i++)
        result = parse_size(root, sizes[i].key, sizes[i].out, err);
    if (result == 0)
        result = parse_source(root, m, err);
    if (result == 0)
        result = parse_globals(root, m, err);
    if (result == 0)
        result = parse_chunks(root, m, err);
    if (result == 0)
        result = parse_certified_data(root, m, err);
    if (result == 0)
        result = parse_timer(root, m, err);
    return result < 0 ? result : parse_hook(root, m, err);
}

int fs_snapshot_metadata_parse(const char *text, size_t len, struct ic_snapshot_metadata *out,
                               struct ic_error *err)
{
    json_error_t cause;
    struct ic_snapshot_metadata m = {0};
    if (len > FS_SNAPSHOT_METADATA_MAX)
        return refuse(err, "it is longer than 1 MiB");
    json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &cause);
    if (!root)
        return ic_fail(err, IC_E_CONFIG, "metadata.json: line %d: %s", cause.line, cause.text);
    ic_arena_init(&m.arena, MEMORY_MAX);
    int result = parse_root(root, &m, err);
    json_decref(root);
    if (result < 0)
        ic_snapshot_metadata_fini(&m);
    else
        *out = m;
    return result;
}
