/* Any message: what decodes can be cut anywhere and put together again, and nothing else can. */
#include "ic/candid_chunk.h"
#include "ic/candid_split.h"
#include "tests/fuzz/target.h"

#include <string.h>

#define MAX_ARGS 32

static struct ic_view view(const struct ic_buf *buf)
{
    return ic_view(buf->bytes, buf->len);
}

/* A message as the encoder writes it; empty when it does not decode or has too many arguments. */
static struct ic_buf normal_form(struct ic_view msg, const struct ic_candid_limits *limits)
{
    struct ic_candid *decoded = NULL;
    struct ic_value args[MAX_ARGS];
    struct ic_buf out = {0};
    size_t n = 0;

    if (ic_candid_decode(msg.bytes, msg.len, limits, &decoded, NULL) < 0)
        return out;
    if (ic_candid_count(decoded) <= MAX_ARGS) {
        for (; n < ic_candid_count(decoded); n++)
            args[n] = *ic_candid_arg(decoded, n);
        CLAIM(ic_candid_encode(args, n, &out, NULL) == 0);
    }
    ic_candid_free(decoded);
    return out;
}

static uint64_t count(const struct ic_buf *msg, const struct ic_candid_limits *limits)
{
    uint64_t n = 0;
    CLAIM(ic_candid_items(msg->bytes, msg->len, NULL, limits, &n, NULL) == 0);
    return n;
}

/* Padded lengths become shorter; without any, the bytes are the same. */
static void check_law(struct ic_view msg, uint64_t n, uint64_t k,
                      const struct ic_candid_limits *limits)
{
    struct ic_buf first = {0}, second = {0}, merged = {0}, normal, normal_merged;

    CLAIM(ic_candid_split(msg.bytes, msg.len, k, NULL, limits, &first, &second, NULL) == 0);
    CLAIM(count(&first, limits) == (k < n ? k : n));
    CLAIM(count(&second, limits) == n - (k < n ? k : n));
    const struct ic_view halves[] = {view(&first), view(&second)};
    CLAIM(ic_candid_merge(halves, 2, NULL, limits, &merged, NULL) == 0);
    CLAIM(merged.len <= msg.len);
    CLAIM(merged.len < msg.len || ic_view_equal(view(&merged), msg));
    normal = normal_form(msg, limits);
    normal_merged = normal_form(view(&merged), limits);
    CLAIM(ic_view_equal(view(&normal), view(&normal_merged)));
    ic_buf_fini(&first);
    ic_buf_fini(&second);
    ic_buf_fini(&merged);
    ic_buf_fini(&normal);
    ic_buf_fini(&normal_merged);
}

/* Whether it decodes. */
static bool decodes(struct ic_view msg, const struct ic_candid_limits *limits)
{
    struct ic_candid *decoded = NULL;
    int ret = ic_candid_decode(msg.bytes, msg.len, limits, &decoded, NULL);
    ic_candid_free(decoded);
    return ret == 0;
}

static void check_unwrap(struct ic_view msg, bool decoded, const struct ic_candid_limits *limits)
{
    struct ic_buf out = {0};
    struct ic_error err = {0};
    int ret = ic_candid_unwrap(msg.bytes, msg.len, limits, &out, &err);

    CLAIM(ret == 0 || !decoded || err.code == IC_E_WRONG_TYPE || err.code == IC_E_NOT_FOUND);
    CLAIM(ret < 0 || !decoded || decodes(view(&out), limits));
    ic_buf_fini(&out);
}

/* What is said of a chunk agrees with the items it is cut at, and never needs what decoding does
 * not take. */
static void check_info(struct ic_view msg, bool decoded, bool has_items, uint64_t n_items,
                       const struct ic_candid_limits *limits)
{
    const struct ic_chunk_fields list = {.is_record = false};
    const struct ic_chunk_fields record = {.is_record = true,
                                           .items = ic_candid_hash("chunk", 5),
                                           .has_total = true,
                                           .total = ic_candid_hash("total_length", 12)};
    struct ic_chunk_info info;
    struct ic_error err = {0};
    int ret = ic_candid_chunk_info(msg.bytes, msg.len, &list, limits, &info, &err);

    CLAIM(ret == 0 || !decoded || err.code == IC_E_WRONG_TYPE);
    if (ret == 0 && has_items && !info.is_none)
        CLAIM(info.n_items == n_items);
    ret = ic_candid_chunk_info(msg.bytes, msg.len, &record, limits, &info, &err);
    CLAIM(ret == 0 || !decoded || err.code == IC_E_WRONG_TYPE);
    CLAIM(ic_candid_chunk_info(msg.bytes, msg.len, NULL, limits, &info, &err) == 0 || !decoded ||
          err.code == IC_E_WRONG_TYPE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* The same for a message and its parts, which are shorter. */
    const struct ic_candid_limits limits = {.max_values = 65536 + 64 * size,
                                            .max_memory = (1 << 20) + 128 * size};
    struct ic_view msg = ic_view(data, size);
    struct ic_error err = {0};
    bool decoded = decodes(msg, &limits);
    uint64_t n = 0;
    int ret = ic_candid_items(data, size, NULL, &limits, &n, &err);

    CLAIM(ret == 0 || !decoded || err.code == IC_E_WRONG_TYPE);
    check_unwrap(msg, decoded, &limits);
    check_info(msg, decoded, ret == 0, n, &limits);
    if (ret < 0)
        return 0;
    check_law(msg, n, 0, &limits);
    check_law(msg, n, 1, &limits);
    check_law(msg, n, n / 2, &limits);
    check_law(msg, n, n, &limits);
    return 0;
}
