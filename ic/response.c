/* Response bodies: decoding into views. See response.h; signatures are in response_verify.c. */
#include "ic/response.h"

#include "ic/cbor.h"

#include <errno.h>

static int malformed(struct ic_error *err, const char *what)
{
    return ic_fail(err, IC_E_MALFORMED, "malformed answer: %s", what);
}

/* Open a body that must hold one map. */
static int open_map(const uint8_t *body, size_t len, struct ic_cbor_map *map, struct ic_error *err)
{
    struct ic_view root;
    if (ic_cbor_open(body, len, &root) < 0 || ic_cbor_map(root, map) < 0)
        return malformed(err, "not a CBOR map");
    return 0;
}

/* The three fields of a rejection. has_error_code may be NULL. */
static int decode_rejection(const struct ic_cbor_map *map, uint32_t *code, struct ic_view *message,
                            struct ic_view *error_code, bool *has_error_code, struct ic_error *err)
{
    uint64_t reject_code;
    int ret;

    if (ic_cbor_map_uint(map, "reject_code", &reject_code) < 0 || reject_code > UINT32_MAX)
        return malformed(err, "no reject_code");
    if (ic_cbor_map_text(map, "reject_message", message) < 0)
        return malformed(err, "no reject_message");
    ret = ic_cbor_map_text(map, "error_code", error_code);
    if (ret == -EPROTO)
        return malformed(err, "error_code is not text");
    if (ret == -ENOENT)
        *error_code = ic_view(NULL, 0);
    if (has_error_code)
        *has_error_code = ret == 0;
    *code = (uint32_t)reject_code;
    return 0;
}

/* ---- query ---- */

static int decode_signature(struct ic_view item, struct ic_node_signature *out)
{
    struct ic_cbor_map map;
    struct ic_view identity;

    if (ic_cbor_map(item, &map) < 0 ||
        ic_cbor_map_uint(&map, "timestamp", &out->timestamp_ns) < 0 ||
        ic_cbor_map_bytes(&map, "signature", &out->signature) < 0 ||
        ic_cbor_map_bytes(&map, "identity", &identity) < 0)
        return -EPROTO;
    return ic_principal_from_bytes(identity.bytes, identity.len, &out->identity);
}

static int decode_signatures(const struct ic_cbor_map *map, struct ic_query_response *out,
                             struct ic_error *err)
{
    struct ic_view item;
    struct ic_cbor_array array;
    int ret;

    if (ic_cbor_map_find(map, "signatures", &item) < 0 || ic_cbor_array(item, &array) < 0)
        return malformed(err, "no signatures");
    out->n_signatures = 0;
    while ((ret = ic_cbor_array_next(&array, &item)) == 0) {
        if (out->n_signatures == IC_RESPONSE_SIGNATURES)
            return malformed(err, "too many signatures");
        if (decode_signature(item, &out->signatures[out->n_signatures++]) < 0)
            return malformed(err, "a signature is malformed");
    }
    if (ret != -ENOENT || out->n_signatures == 0)
        return malformed(err, "no signatures");
    return 0;
}

static int decode_reply(const struct ic_cbor_map *map, struct ic_query_response *out,
                        struct ic_error *err)
{
    struct ic_view item, arg;
    struct ic_cbor_map reply;

    if (ic_cbor_map_find(map, "reply", &item) < 0 || ic_cbor_map(item, &reply) < 0 ||
        ic_cbor_map_bytes(&reply, "arg", &arg) < 0)
        return malformed(err, "no reply");
    out->replied = true;
    out->arg = arg.bytes;
    out->arg_len = arg.len;
    return 0;
}

int ic_response_decode_query(const uint8_t *body, size_t len, struct ic_query_response *out,
                             struct ic_error *err)
{
    struct ic_cbor_map map;
    struct ic_view status;
    int ret = open_map(body, len, &map, err);
    if (ret < 0)
        return ret;
    *out = (struct ic_query_response){0};
    if (ic_cbor_map_text(&map, "status", &status) < 0)
        return malformed(err, "no status");
    if (ic_view_is_text(status, "replied"))
        ret = decode_reply(&map, out, err);
    else if (ic_view_is_text(status, "rejected"))
        ret = decode_rejection(&map, &out->reject_code, &out->reject_message, &out->error_code,
                               &out->has_error_code, err);
    else
        return malformed(err, "unknown status of a query");
    return ret < 0 ? ret : decode_signatures(&map, out, err);
}

/* ---- call, read_state, status ---- */

int ic_response_decode_call(const uint8_t *body, size_t len, struct ic_call_response *out,
                            struct ic_error *err)
{
    static const char rejection[] = "non_replicated_rejection";
    struct ic_call_response r = {0};
    struct ic_cbor_map map;
    struct ic_view status;
    int ret = open_map(body, len, &map, err);
    if (ret < 0)
        return ret;
    ret = ic_cbor_map_text(&map, "status", &status);
    if (ret == -ENOENT) /* v2: nothing but a rejection has a body */
        status = ic_view(rejection, sizeof(rejection) - 1);
    else if (ret < 0)
        return malformed(err, "a status that is not text");
    if (ic_view_is_text(status, "replied")) {
        r.certified = true;
        if (ic_cbor_map_bytes(&map, "certificate", &r.certificate) < 0)
            return malformed(err, "no certificate");
    } else if (ic_view_is_text(status, rejection)) {
        ret = decode_rejection(&map, &r.reject_code, &r.reject_message, &r.error_code, NULL, err);
        if (ret < 0)
            return ret;
    } else {
        return malformed(err, "unknown status of a call");
    }
    *out = r;
    return 0;
}

int ic_response_decode_read_state(const uint8_t *body, size_t len, struct ic_view *certificate,
                                  struct ic_error *err)
{
    struct ic_cbor_map map;
    int ret = open_map(body, len, &map, err);
    if (ret < 0)
        return ret;
    if (ic_cbor_map_bytes(&map, "certificate", certificate) < 0)
        return malformed(err, "no certificate");
    return 0;
}

int ic_response_decode_status(const uint8_t *body, size_t len, struct ic_status_response *out,
                              struct ic_error *err)
{
    struct ic_status_response r = {0};
    struct ic_cbor_map map;
    int ret = open_map(body, len, &map, err);
    if (ret < 0)
        return ret;
    if (ic_cbor_map_bytes(&map, "root_key", &r.root_key) == -EPROTO)
        return malformed(err, "root_key is not a byte string");
    if (ic_cbor_map_text(&map, "replica_health_status", &r.health_status) == -EPROTO)
        return malformed(err, "replica_health_status is not text");
    *out = r;
    return 0;
}
