/* Any message: what decodes can be walked, encodes again, and then is stable. */
#include "ic/candid.h"
#include "tests/fuzz/target.h"

#include <string.h>

#define WALK_MAX 20000 /* values: vectors of nothing can be long */

static void walk(const struct ic_value *v, unsigned *left)
{
    const struct ic_value *inner;
    struct ic_value item;
    struct ic_principal principal;
    struct ic_view view;
    uint64_t nat;
    int64_t integer;
    uint32_t tag;
    bool boolean;

    if (*left == 0)
        return;
    --*left;
    if (ic_value_blob(v, &view) == 0 || ic_value_text(v, &view) == 0)
        CLAIM(view.len == 0 || view.bytes[view.len - 1] <= 0xff); /* touches the last byte */
    if (ic_value_nat64(v, &nat) == 0 || ic_value_int64(v, &integer) == 0 ||
        ic_value_bool(v, &boolean) == 0 || ic_value_principal(v, &principal) == 0)
        return;
    if (ic_value_opt(v, &inner) == 0 && inner)
        walk(inner, left);
    if (ic_value_variant(v, &tag, &inner) == 0)
        walk(inner, left);
    CLAIM(ic_value_at(v, ic_value_count(v), &item) < 0);
    for (size_t i = 0; i < ic_value_count(v) && *left > 0; i++) {
        CLAIM(ic_value_at(v, i, &item) == 0);
        walk(&item, left);
    }
    if (v->type->kind == IC_TYPE_RECORD)
        for (size_t i = 0; i < ic_value_count(v); i++)
            CLAIM(ic_value_field_id(v, v->type->as.fields.fields[i].id) == &v->as.seq.items[i]);
}

/* Encode all arguments of a message; false when there are too many to bother. */
static bool encode(const struct ic_candid *msg, struct ic_buf *out)
{
    struct ic_value args[32];
    size_t n = ic_candid_count(msg);
    if (n > 32)
        return false;
    for (size_t i = 0; i < n; i++)
        args[i] = *ic_candid_arg(msg, i);
    CLAIM(ic_candid_encode(args, n, out, NULL) == 0);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ic_candid *msg = NULL, *again = NULL;
    struct ic_buf first = {0}, second = {0};
    unsigned left = WALK_MAX;

    if (ic_candid_decode(data, size, NULL, &msg, NULL) < 0)
        return 0;
    for (size_t i = 0; i < ic_candid_count(msg); i++)
        walk(ic_candid_arg(msg, i), &left);
    /* A message of ours is shorter or as long, so it may be over a limit that follows the length;
     * when it is not, it must say the same. */
    if (encode(msg, &first) && ic_candid_decode(first.bytes, first.len, NULL, &again, NULL) == 0) {
        CLAIM(encode(again, &second));
        CLAIM(first.len == second.len && memcmp(first.bytes, second.bytes, first.len) == 0);
    }
    ic_candid_free(msg);
    ic_candid_free(again);
    ic_buf_fini(&first);
    ic_buf_fini(&second);
    return 0;
}
