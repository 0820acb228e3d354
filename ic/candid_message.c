/* Candid messages: the frame around the values. See candid.h.
 *
 * Source: Candid specification, Binary format, Parameters and results; the limits are ours.
 */
#include "ic/candid_impl.h"

#include <errno.h>
#include <stdlib.h>

#define MAGIC_LEN 4

static struct ic_candid_limits effective_limits(const struct ic_candid_limits *given, size_t len,
                                                size_t memory_per_byte)
{
    struct ic_candid_limits l = given ? *given : (struct ic_candid_limits){0};
    if (!l.max_values)
        l.max_values = 65536 + 64 * len;
    if (!l.max_memory)
        l.max_memory = (1 << 20) + memory_per_byte * len;
    if (!l.max_depth || l.max_depth > CANDID_MAX_DEPTH)
        l.max_depth = CANDID_MAX_DEPTH;
    if (!l.max_types)
        l.max_types = 10000;
    return l;
}

static int read_arg_types(struct candid_reader *r)
{
    void *memory;
    int ret;

    r->args_start = candid_offset(r);
    ret = candid_read_count(r, 1, &r->n_args);
    if (ret < 0)
        return ret;
    ret = ic_arena_alloc(r->arena, r->n_args, sizeof(const struct ic_type *), &memory);
    if (ret < 0)
        return candid_fail(r, ret, "arguments");
    r->arg_types = memory;
    for (size_t i = 0; ret == 0 && i < r->n_args; i++)
        ret = candid_read_ref(r, &r->arg_types[i]);
    return ret;
}

int candid_begin(struct candid_reader *r, struct ic_view bytes,
                 const struct ic_candid_limits *limits, size_t memory_per_byte,
                 struct ic_candid **out, struct ic_error *err)
{
    struct ic_candid_limits l;
    struct ic_candid *msg;
    struct ic_view magic;
    int ret;

    *r = (struct candid_reader){
        .in = ic_cursor(bytes.bytes, bytes.len), .start = bytes.bytes, .err = err};
    if (bytes.len > SIZE_MAX / 256 || !ic_cursor_take(&r->in, MAGIC_LEN, &magic) ||
        !ic_view_is_text(magic, "DIDL"))
        return ic_fail(err, IC_E_MALFORMED, "candid: not a message: no DIDL at its start");
    l = effective_limits(limits, bytes.len, memory_per_byte);
    msg = calloc(1, sizeof(*msg));
    if (!msg)
        return ic_fail(err, IC_E_NO_MEMORY, "candid: out of memory");
    ic_arena_init(&msg->arena, l.max_memory);
    r->arena = &msg->arena;
    r->values_left = l.max_values;
    r->max_depth = l.max_depth;
    ret = candid_read_table(r, l.max_types);
    if (ret == 0)
        ret = read_arg_types(r);
    if (ret < 0) {
        ic_candid_free(msg);
        return ret;
    }
    *out = msg;
    return 0;
}

int candid_end(struct candid_reader *r, int ret, struct ic_candid *msg, struct ic_candid **out)
{
    if (ret == 0 && ic_cursor_left(&r->in) != 0)
        ret = candid_fail(r, -EPROTO, "trailing bytes");
    if (ret < 0)
        ic_candid_free(msg);
    else
        *out = msg;
    return ret;
}

/* ---- at the message's own types ---- */

/* An element of one byte on the wire takes 24 bytes, and 32 for each level in it: 120 for a record
 * of a record of a name of a variant. Whoever expects less sets a limit of his own. */
#define MEMORY_PER_BYTE 128

static int read_args(struct candid_reader *r, struct ic_candid *msg)
{
    struct ic_value *args = NULL;
    int ret = candid_alloc_values(r, r->n_args, &args);
    for (size_t i = 0; ret == 0 && i < r->n_args; i++)
        ret = candid_read_value(r, r->arg_types[i], r->max_depth, &args[i]);
    msg->args = args;
    msg->n = r->n_args;
    return ret;
}

int ic_candid_decode(const uint8_t *bytes, size_t len, const struct ic_candid_limits *limits,
                     struct ic_candid **out, struct ic_error *err)
{
    struct candid_reader r;
    struct ic_candid *msg = NULL;
    int ret = candid_begin(&r, ic_view(bytes, len), limits, MEMORY_PER_BYTE, &msg, err);
    if (!msg)
        return ret;
    return candid_end(&r, read_args(&r, msg), msg, out);
}

void ic_candid_free(struct ic_candid *msg)
{
    if (!msg)
        return;
    ic_arena_fini(&msg->arena);
    free(msg);
}

size_t ic_candid_count(const struct ic_candid *msg)
{
    return msg->n;
}

const struct ic_value *ic_candid_arg(const struct ic_candid *msg, size_t i)
{
    return i < msg->n ? &msg->args[i] : NULL;
}
