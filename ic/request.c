/* Request envelopes: content map, request id, signature. See request.h. */
#include "ic/request.h"

#include "ic/cbor.h"
#include "ic/map_hash.h"

#include <errno.h>
#include <string.h>

#define MINUTE_NS    60000000000ULL
#define EXPIRY_NS    (4 * MINUTE_NS)
#define ENVELOPE_MAX 1024 /* what an envelope needs beside its argument, method and paths */

/* What signatures over request ids start with (IC interface spec, Domain separators). */
static const char domain_request[] = "\x0Aic-request";
#define DOMAIN_LEN (sizeof(domain_request) - 1)

/* The content map. Fields that are NULL are left out; type decides which the rest are. */
struct content {
    const char *type;
    const struct ic_principal *sender;
    uint64_t ingress_expiry_ns;
    const uint8_t *nonce;
    const struct ic_principal *canister; /* call, query */
    const char *method;
    struct ic_view arg;
    const struct ic_path *paths; /* read_state */
    size_t n_paths;
};

uint64_t ic_request_expiry_ns(int64_t now_ns)
{
    uint64_t expiry = (now_ns > 0 ? (uint64_t)now_ns : 0) + EXPIRY_NS;
    return expiry - expiry % MINUTE_NS;
}

static int content_id(const struct content *c, uint8_t id[IC_REQUEST_ID_LEN])
{
    struct ic_map_hash h;
    int ret = ic_map_hash_init(&h);
    if (ret < 0)
        return ret;
    ic_map_hash_text(&h, "request_type", c->type);
    ic_map_hash_bytes(&h, "sender", ic_principal_view(c->sender));
    ic_map_hash_nat(&h, "ingress_expiry", c->ingress_expiry_ns);
    if (c->nonce)
        ic_map_hash_bytes(&h, "nonce", ic_view(c->nonce, IC_NONCE_LEN));
    if (c->canister) {
        ic_map_hash_bytes(&h, "canister_id", ic_principal_view(c->canister));
        ic_map_hash_text(&h, "method_name", c->method);
        ic_map_hash_bytes(&h, "arg", c->arg);
    } else {
        ic_map_hash_paths(&h, "paths", c->paths, c->n_paths);
    }
    return ic_map_hash_fini(&h, id);
}

static void encode_paths(const struct ic_path *paths, size_t n, struct ic_buf *body)
{
    ic_cbor_put_array(body, n);
    for (size_t i = 0; i < n; i++) {
        ic_cbor_put_array(body, paths[i].n);
        for (size_t j = 0; j < paths[i].n; j++)
            ic_cbor_put_bytes(body, ic_view(paths[i].labels[j].bytes, paths[i].labels[j].len));
    }
}

static void encode_content(const struct content *c, struct ic_buf *body)
{
    size_t n_fields = 3 + (c->nonce ? 1U : 0) + (c->canister ? 3U : 1);

    ic_cbor_put_map(body, n_fields);
    ic_cbor_put_text(body, "request_type");
    ic_cbor_put_text(body, c->type);
    ic_cbor_put_text(body, "sender");
    ic_cbor_put_bytes(body, ic_principal_view(c->sender));
    ic_cbor_put_text(body, "ingress_expiry");
    ic_cbor_put_uint(body, c->ingress_expiry_ns);
    if (c->nonce) {
        ic_cbor_put_text(body, "nonce");
        ic_cbor_put_bytes(body, ic_view(c->nonce, IC_NONCE_LEN));
    }
    if (c->canister) {
        ic_cbor_put_text(body, "canister_id");
        ic_cbor_put_bytes(body, ic_principal_view(c->canister));
        ic_cbor_put_text(body, "method_name");
        ic_cbor_put_text(body, c->method);
        ic_cbor_put_text(body, "arg");
        ic_cbor_put_bytes(body, c->arg);
    } else {
        ic_cbor_put_text(body, "paths");
        encode_paths(c->paths, c->n_paths, body);
    }
}

static int sign_id(const struct ic_identity *identity, const uint8_t id[IC_REQUEST_ID_LEN],
                   uint8_t sig[IC_SIGNATURE_LEN])
{
    uint8_t msg[DOMAIN_LEN + IC_REQUEST_ID_LEN];
    memcpy(msg, domain_request, DOMAIN_LEN);
    memcpy(msg + DOMAIN_LEN, id, IC_REQUEST_ID_LEN);
    return ic_identity_sign(identity, msg, sizeof(msg), sig);
}

/* The envelope: the content and, unless anonymous, the sender's public key, the signature over its
 * id, and the delegations when it is another key that signs. */
static int encode_envelope(const struct ic_identity *identity, const struct content *c,
                           struct ic_buf *body, uint8_t request_id[IC_REQUEST_ID_LEN])
{
    bool is_signed = !ic_identity_is_anonymous(identity);
    struct ic_view delegations = ic_identity_delegations(identity);
    uint8_t id[IC_REQUEST_ID_LEN], sig[IC_SIGNATURE_LEN];
    int ret = content_id(c, id);
    if (ret < 0)
        return ret;
    ic_buf_reserve(body, ENVELOPE_MAX + delegations.len + c->arg.len +
                             (c->method ? strlen(c->method) : 0));
    ic_cbor_put_self_described(body);
    ic_cbor_put_map(body, (is_signed ? 3U : 1) + (delegations.len ? 1U : 0));
    ic_cbor_put_text(body, "content");
    encode_content(c, body);
    if (is_signed) {
        ret = sign_id(identity, id, sig);
        if (ret < 0)
            return ret;
        ic_cbor_put_text(body, "sender_pubkey");
        ic_cbor_put_bytes(body, ic_identity_public_key_der(identity));
        ic_cbor_put_text(body, "sender_sig");
        ic_cbor_put_bytes(body, ic_view(sig, sizeof(sig)));
    }
    if (delegations.len) {
        ic_cbor_put_text(body, "sender_delegation");
        ic_buf_append(body, delegations.bytes, delegations.len);
    }
    ret = ic_buf_status(body);
    if (ret == 0)
        memcpy(request_id, id, IC_REQUEST_ID_LEN);
    return ret;
}

int ic_request_query(const struct ic_identity *identity, const struct ic_principal *canister,
                     const char *method, const uint8_t *arg, size_t arg_len,
                     uint64_t ingress_expiry_ns, const uint8_t *nonce, struct ic_buf *body,
                     uint8_t request_id[IC_REQUEST_ID_LEN])
{
    struct content c = {
        .type = "query",
        .sender = ic_identity_principal(identity),
        .ingress_expiry_ns = ingress_expiry_ns,
        .nonce = nonce,
        .canister = canister,
        .method = method,
        .arg = ic_view(arg, arg_len),
    };
    return encode_envelope(identity, &c, body, request_id);
}

int ic_request_call(const struct ic_identity *identity, const struct ic_principal *canister,
                    const char *method, const uint8_t *arg, size_t arg_len,
                    uint64_t ingress_expiry_ns, const uint8_t *nonce, struct ic_buf *body,
                    uint8_t request_id[IC_REQUEST_ID_LEN])
{
    struct content c = {
        .type = "call",
        .sender = ic_identity_principal(identity),
        .ingress_expiry_ns = ingress_expiry_ns,
        .nonce = nonce,
        .canister = canister,
        .method = method,
        .arg = ic_view(arg, arg_len),
    };
    return encode_envelope(identity, &c, body, request_id);
}

int ic_request_read_state(const struct ic_identity *identity, const struct ic_path *paths,
                          size_t n_paths, uint64_t ingress_expiry_ns, const uint8_t *nonce,
                          struct ic_buf *body, uint8_t request_id[IC_REQUEST_ID_LEN])
{
    struct content c = {
        .type = "read_state",
        .sender = ic_identity_principal(identity),
        .ingress_expiry_ns = ingress_expiry_ns,
        .nonce = nonce,
        .paths = paths,
        .n_paths = n_paths,
    };
    if (n_paths > IC_REQUEST_PATHS)
        return -EINVAL;
    for (size_t i = 0; i < n_paths; i++)
        if (paths[i].n > IC_PATH_LABELS)
            return -EINVAL;
    return encode_envelope(identity, &c, body, request_id);
}
