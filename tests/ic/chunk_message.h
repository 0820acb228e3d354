/* Chunks as messages, for the tests of split and merge. */
#ifndef CANISTERFS_TESTS_IC_CHUNK_MESSAGE_H
#define CANISTERFS_TESTS_IC_CHUNK_MESSAGE_H

#include "ic/candid_split.h"

#include <stdio.h>

static inline struct ic_buf from_hex(const char *hex)
{
    struct ic_buf out = {0};
    unsigned byte;
    int used;
    while (sscanf(hex, " %2x%n", &byte, &used) == 1) {
        ic_buf_append(&out, &(uint8_t){(uint8_t)byte}, 1);
        hex += used;
    }
    return out;
}

static inline struct ic_view view(const struct ic_buf *buf)
{
    return ic_view(buf->bytes, buf->len);
}

static inline bool is_same(const struct ic_buf *a, const struct ic_buf *b)
{
    return ic_view_equal(view(a), view(b));
}

/* A message in the order and lengths that the encoder chooses: equal messages become the same. */
static inline struct ic_buf normal_form(const struct ic_buf *msg)
{
    struct ic_candid *decoded = NULL;
    struct ic_value args[8];
    struct ic_buf out = {0};
    size_t n = 0;
    if (ic_candid_decode(msg->bytes, msg->len, NULL, &decoded, NULL) < 0)
        return out;
    for (; n < 8 && n < ic_candid_count(decoded); n++)
        args[n] = *ic_candid_arg(decoded, n);
    if (ic_candid_encode(args, n, &out, NULL) < 0)
        ic_buf_fini(&out);
    ic_candid_free(decoded);
    return out;
}

static inline int64_t items(const struct ic_buf *msg, const struct ic_chunk_rule *rule)
{
    uint64_t n = 0;
    int ret = ic_candid_items(msg->bytes, msg->len, rule, NULL, &n, NULL);
    return ret < 0 ? ret : (int64_t)n;
}

#endif
