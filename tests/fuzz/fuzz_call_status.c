/* Any hash tree, looked into for the status of a call. The first 32 bytes are the request id, so
 * that a mutation of either can meet the other. */
#include "ic/call_status.h"
#include "tests/fuzz/target.h"

#include <errno.h>

/* An outcome is whole, and all of it lies in the tree. */
static void check_outcome(const struct ic_call_outcome *o, struct ic_view tree)
{
    const struct ic_view views[] = {o->reply, o->reject_message, o->error_code};
    for (size_t i = 0; i < 3; i++)
        CLAIM(views[i].len == 0 || (views[i].bytes >= tree.bytes &&
                                    views[i].bytes + views[i].len <= tree.bytes + tree.len));
    CLAIM(o->status == IC_CALL_REPLIED || o->reply.len == 0);
    CLAIM(o->status == IC_CALL_REJECTED || (o->reject_code == 0 && o->reject_message.len == 0));
    CLAIM(ic_view_is_utf8(o->reject_message) && ic_view_is_utf8(o->error_code));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ic_hash_tree *tree = NULL;
    struct ic_call_outcome o = {0};
    struct ic_error err = {0};

    if (size < IC_REQUEST_ID_LEN)
        return 0;
    struct ic_view item = ic_view(data + IC_REQUEST_ID_LEN, size - IC_REQUEST_ID_LEN);
    if (ic_hash_tree_decode(item, &tree) < 0)
        return 0;
    int ret = ic_call_status_read(tree, data, &o, &err);
    CLAIM(ret == 0 || (ret == -EPROTO && err.code == IC_E_MALFORMED));
    if (ret == 0) {
        struct ic_call_sighting s = {
            .status = o.status, .certified_ns = (int64_t)size, .expiry_ns = data[0]};
        enum ic_call_verdict verdict = ic_call_status_judge(&s);
        check_outcome(&o, item);
        CLAIM((verdict == IC_CALL_SETTLED) ==
              (o.status == IC_CALL_REPLIED || o.status == IC_CALL_REJECTED));
    }
    ic_hash_tree_free(tree);
    return 0;
}
