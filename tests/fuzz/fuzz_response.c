/* Any body, as each kind of answer. */
#include "ic/response.h"
#include "tests/fuzz/target.h"

#include <errno.h>
#include <string.h>

/* Some node is known, and has some key. */
static const uint8_t *find_key(void *arg, const struct ic_principal *node)
{
    static const uint8_t key[IC_NODE_KEY_LEN] = {1};
    (void)arg;
    return node->len == 0 ? NULL : key;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t request_id[IC_REQUEST_ID_LEN];
    struct ic_query_response query;
    struct ic_call_response call;
    struct ic_status_response status;
    struct ic_view certificate;
    struct ic_error err = {0};
    int ret;

    if (ic_response_decode_query(data, size, &query, &err) == 0) {
        CLAIM(query.n_signatures >= 1 && query.n_signatures <= IC_RESPONSE_SIGNATURES);
        ret = ic_response_verify_query(&query, request_id, find_key, NULL, 1, INT64_MAX, &err);
        CLAIM(ret == -EBADMSG);
    }
    (void)!ic_response_decode_call(data, size, &call, &err);
    (void)!ic_response_decode_read_state(data, size, &certificate, &err);
    (void)!ic_response_decode_status(data, size, &status, &err);
    CLAIM(memchr(err.message, 0, sizeof(err.message)));
    return 0;
}
