/* See snapshot_json.h. */
#include "ic/snapshot_json.h"

#include "ic/candid_number.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Text being written: the first item of a list or object has no comma before it. */
struct json {
    struct ic_buf *out;
    unsigned depth;
    bool is_first;
};

static void put(struct json *j, const char *text)
{
    ic_buf_append(j->out, text, strlen(text));
}

static IC_PRINTF(2, 3) void put_format(struct json *j, const char *format, ...)
{
    char text[64];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    put(j, text);
}

static void put_line(struct json *j)
{
    put(j, "\n");
    for (unsigned i = 0; i < j->depth; i++)
        put(j, "  ");
}

/* What follows is an item of the list or object that is open. */
static void begin_item(struct json *j)
{
    if (!j->is_first)
        put(j, ",");
    put_line(j);
    j->is_first = false;
}

static void begin_field(struct json *j, const char *name)
{
    begin_item(j);
    put_format(j, "\"%s\": ", name);
}

static void open_with(struct json *j, const char *bracket)
{
    put(j, bracket);
    j->depth++;
    j->is_first = true;
}

static void close_with(struct json *j, const char *bracket)
{
    j->depth--;
    if (!j->is_first)
        put_line(j);
    put(j, bracket);
    j->is_first = false;
}

static void put_number_field(struct json *j, const char *name, uint64_t number)
{
    begin_field(j, name);
    put_format(j, "%" PRIu64, number);
}

static void put_bytes(struct json *j, struct ic_view bytes)
{
    open_with(j, "[");
    for (size_t i = 0; i < bytes.len; i++) {
        begin_item(j);
        put_format(j, "%u", bytes.bytes[i]);
    }
    close_with(j, "]");
}

/* --- floats --- */

/* A number without an exponent, 1234.5 or 0.00012 or 12000.0, taken apart. */
struct digits {
    const char *at; /* first digit that is not 0 */
    int n;          /* digits from there, without zeros at the end */
    int point;      /* where the point is: behind so many of them; 0 and less are in front */
    char all[400];  /* without the point */
};

static void take_apart(const char *text, struct digits *out)
{
    size_t n = 0;
    int point = 0;
    for (const char *c = text; *c && n + 1 < sizeof(out->all); c++) {
        if (*c == '.')
            point = (int)n;
        else
            out->all[n++] = *c;
    }
    out->all[n] = '\0';
    out->at = out->all;
    out->n = (int)n;
    while (*out->at == '0') {
        out->at++;
        out->n--;
        point--;
    }
    while (out->n > 0 && out->at[out->n - 1] == '0')
        out->n--;
    out->point = point;
}

static void put_zeros(struct json *j, int n)
{
    for (; n > 0; n--)
        put(j, "0");
}

/* The four forms that serde_json has. No number of this size is written with an exponent; nor one
 * with so many zeros behind the point. */
static void put_digits(struct json *j, const struct digits *d, bool is_single)
{
    int most_before = is_single ? 13 : 16;
    int most_zeros = is_single ? 5 : 4;
    if (d->n == 0) {
        put(j, "0.0");
    } else if (d->point > 0 && d->point <= most_before) {
        int n_before = d->n < d->point ? d->n : d->point;
        put_format(j, "%.*s", n_before, d->at);
        put_zeros(j, d->point - n_before);
        put_format(j, ".%.*s", d->n - n_before, d->at + n_before);
        if (d->n == n_before)
            put(j, "0");
    } else if (d->point <= 0 && -d->point <= most_zeros) {
        put(j, "0.");
        put_zeros(j, -d->point);
        put_format(j, "%.*s", d->n, d->at);
    } else {
        put_format(j, "%.1s%s%.*se%+d", d->at, d->n > 1 ? "." : "", d->n - 1, d->at + 1,
                   d->point - 1);
    }
}

/* Returns 0 or -ENOMEM. */
static int put_float(struct json *j, const struct ic_global *global)
{
    bool is_single = global->kind == IC_GLOBAL_F32;
    struct ic_value value = {.type = is_single ? &ic_type_float32 : &ic_type_float64};
    struct candid_digits text;
    struct digits digits;
    if (is_single)
        value.as.float32 = (uint32_t)global->low;
    else
        value.as.float64 = global->low;
    int ret = candid_digits(&value, &text);
    if (ret < 0)
        return ret;
    if (strcmp(text.digits, "NaN") == 0 || strcmp(text.digits, "inf") == 0) {
        put(j, "null");
    } else {
        take_apart(text.digits, &digits);
        put(j, text.is_negative ? "-" : "");
        put_digits(j, &digits, is_single);
    }
    candid_digits_fini(&text);
    return 0;
}

/* --- the parts --- */

static void put_v128(struct json *j, const struct ic_global *global)
{
    const uint32_t limbs[] = {(uint32_t)global->low, (uint32_t)(global->low >> 32),
                              (uint32_t)global->high, (uint32_t)(global->high >> 32)};
    size_t n = 4;
    while (n > 0 && limbs[n - 1] == 0)
        n--;
    open_with(j, "[");
    for (size_t i = 0; i < n; i++) {
        begin_item(j);
        put_format(j, "%" PRIu32, limbs[i]);
    }
    close_with(j, "]");
}

static int put_global(struct json *j, const struct ic_global *global)
{
    static const char *const names[] = {
        [IC_GLOBAL_I32] = "i32", [IC_GLOBAL_I64] = "i64",   [IC_GLOBAL_F32] = "f32",
        [IC_GLOBAL_F64] = "f64", [IC_GLOBAL_V128] = "v128",
    };
    int ret = 0;
    begin_item(j);
    open_with(j, "{");
    begin_field(j, names[global->kind]);
    switch (global->kind) {
    case IC_GLOBAL_I32:
    case IC_GLOBAL_I64:
        put_format(j, "%" PRId64, (int64_t)global->low);
        break;
    case IC_GLOBAL_F32:
    case IC_GLOBAL_F64:
        ret = put_float(j, global);
        break;
    case IC_GLOBAL_V128:
        put_v128(j, global);
        break;
    }
    close_with(j, "}");
    return ret;
}

static int put_globals(struct json *j, const struct ic_snapshot_metadata *m)
{
    int ret = 0;
    begin_field(j, "globals");
    open_with(j, "[");
    for (size_t i = 0; ret == 0 && i < m->n_globals; i++)
        ret = put_global(j, &m->globals[i]);
    close_with(j, "]");
    return ret;
}

static void put_source(struct json *j, const struct ic_snapshot_metadata *m)
{
    begin_field(j, "source");
    open_with(j, "{");
    begin_field(j, m->is_uploaded ? "metadata_upload" : "taken_from_canister");
    put(j, "null");
    close_with(j, "}");
}

static void put_chunks(struct json *j, const struct ic_snapshot_metadata *m)
{
    begin_field(j, "wasm_chunk_store");
    open_with(j, "[");
    for (size_t i = 0; i < m->n_chunks; i++) {
        begin_item(j);
        open_with(j, "{");
        begin_field(j, "hash");
        put_bytes(j, ic_view(m->chunks[i], IC_SHA256_LEN));
        close_with(j, "}");
    }
    close_with(j, "]");
}

static void put_timer(struct json *j, const struct ic_snapshot_metadata *m)
{
    begin_field(j, "global_timer");
    if (m->timer != IC_TIMER_ACTIVE) {
        put(j, m->timer == IC_TIMER_INACTIVE ? "\"inactive\"" : "null");
        return;
    }
    open_with(j, "{");
    put_number_field(j, "active", m->timer_ns);
    close_with(j, "}");
}

static void put_hook(struct json *j, const struct ic_snapshot_metadata *m)
{
    static const char *const words[] = {
        [IC_HOOK_UNKNOWN] = "null",
        [IC_HOOK_CONDITION_NOT_SATISFIED] = "\"condition_not_satisfied\"",
        [IC_HOOK_READY] = "\"ready\"",
        [IC_HOOK_EXECUTED] = "\"executed\"",
    };
    begin_field(j, "on_low_wasm_memory_hook_status");
    put(j, words[m->hook]);
}

int ic_snapshot_json(const struct ic_snapshot_metadata *m, struct ic_buf *out)
{
    struct json j = {.out = out};
    open_with(&j, "{");
    put_source(&j, m);
    put_number_field(&j, "taken_at_timestamp", m->taken_at_ns);
    put_number_field(&j, "wasm_module_size", m->wasm_module_size);
    int ret = put_globals(&j, m);
    put_number_field(&j, "wasm_memory_size", m->wasm_memory_size);
    put_number_field(&j, "stable_memory_size", m->stable_memory_size);
    put_chunks(&j, m);
    put_number_field(&j, "canister_version", m->canister_version);
    begin_field(&j, "certified_data");
    put_bytes(&j, m->certified_data);
    put_timer(&j, m);
    put_hook(&j, m);
    close_with(&j, "}");
    return ret < 0 ? ret : ic_buf_status(out);
}
