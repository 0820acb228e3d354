/* Node signatures of query answers: see ic_response_verify_query in response.h.
 *
 * What a node signs is the hash of a map: the answer itself, the id of the request, and the time it
 * put on the signature. All but the time is common to all signatures.
 *
 * Source: IC interface spec, Request: Query call, Query response signatures.
 */
#include "ic/map_hash.h"
#include "ic/response.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <string.h>

#define ED25519_SIGNATURE_LEN 64

static const char domain_response[] = "\x0Bic-response";
#define DOMAIN_LEN (sizeof(domain_response) - 1)
#define MSG_LEN    (DOMAIN_LEN + IC_SHA256_LEN)

/* hash_of_map of {arg: ...}: the one hash over the whole reply. */
static int hash_reply(const struct ic_query_response *r, uint8_t out[IC_SHA256_LEN])
{
    struct ic_map_hash h;
    int ret = ic_map_hash_init(&h);
    if (ret < 0)
        return ret;
    ic_map_hash_bytes(&h, "arg", ic_view(r->arg, r->arg_len));
    return ic_map_hash_fini(&h, out);
}

/* The bytes one signature is made over. */
static int signed_message(const struct ic_query_response *r, const uint8_t *reply_hash,
                          const uint8_t *request_id, uint64_t timestamp_ns, uint8_t msg[MSG_LEN])
{
    struct ic_map_hash h;
    int ret = ic_map_hash_init(&h);
    if (ret < 0)
        return ret;
    ic_map_hash_text(&h, "status", r->replied ? "replied" : "rejected");
    ic_map_hash_nat(&h, "timestamp", timestamp_ns);
    ic_map_hash_bytes(&h, "request_id", ic_view(request_id, IC_REQUEST_ID_LEN));
    if (r->replied) {
        ic_map_hash_digest(&h, "reply", reply_hash);
    } else {
        ic_map_hash_nat(&h, "reject_code", r->reject_code);
        ic_map_hash_bytes(&h, "reject_message", r->reject_message);
        if (r->has_error_code)
            ic_map_hash_bytes(&h, "error_code", r->error_code);
    }
    memcpy(msg, domain_response, DOMAIN_LEN);
    return ic_map_hash_fini(&h, msg + DOMAIN_LEN);
}

/* Returns 0, -EBADMSG, -ENOMEM. */
static int verify_ed25519(const uint8_t key[IC_NODE_KEY_LEN], struct ic_view sig,
                          const uint8_t msg[MSG_LEN])
{
    EVP_PKEY *pkey;
    EVP_MD_CTX *ctx;
    int ret = -ENOMEM;

    if (sig.len != ED25519_SIGNATURE_LEN)
        return -EBADMSG;
    pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key, IC_NODE_KEY_LEN);
    ctx = EVP_MD_CTX_new();
    if (pkey && ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey) == 1)
        ret = EVP_DigestVerify(ctx, sig.bytes, sig.len, msg, MSG_LEN) == 1 ? 0 : -EBADMSG;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pkey);
    if (ret < 0)
        ERR_clear_error();
    return ret;
}

static int verify_age(uint64_t timestamp_ns, int64_t now_ns, int64_t max_age_ns,
                      struct ic_error *err)
{
    uint64_t now = now_ns > 0 ? (uint64_t)now_ns : 0;
    uint64_t distance = now > timestamp_ns ? now - timestamp_ns : timestamp_ns - now;
    if (max_age_ns >= 0 && distance <= (uint64_t)max_age_ns)
        return 0;
    int ret = ic_fail(err, IC_E_UNVERIFIED, "query signature: made %llu s %s the local time",
                      (unsigned long long)(distance / 1000000000),
                      now > timestamp_ns ? "before" : "after");
    if (err && distance <= INT64_MAX)
        err->skew_ns = now > timestamp_ns ? -(int64_t)distance : (int64_t)distance;
    return ret;
}

static int verify_one(const struct ic_query_response *response,
                      const struct ic_node_signature *signature, const uint8_t *reply_hash,
                      const uint8_t *request_id, const uint8_t key[IC_NODE_KEY_LEN],
                      struct ic_error *err)
{
    char node[IC_PRINCIPAL_TEXT];
    uint8_t msg[MSG_LEN];
    int ret = signed_message(response, reply_hash, request_id, signature->timestamp_ns, msg);
    if (ret == 0)
        ret = verify_ed25519(key, signature->signature, msg);
    if (ret == 0)
        return 0;
    if (ret == -ENOMEM)
        return ic_fail(err, IC_E_NO_MEMORY, "query signature: out of memory");
    ic_principal_format(&signature->identity, node);
    return ic_fail(err, IC_E_UNVERIFIED, "query signature of node %s does not verify", node);
}

int ic_response_verify_query(const struct ic_query_response *response,
                             const uint8_t request_id[IC_REQUEST_ID_LEN], ic_node_key_fn *find_key,
                             void *arg, int64_t now_ns, int64_t max_age_ns, struct ic_error *err)
{
    char node[IC_PRINCIPAL_TEXT];
    uint8_t reply_hash[IC_SHA256_LEN] = {0};
    int ret = 0;

    if (response->n_signatures == 0)
        return ic_fail(err, IC_E_UNVERIFIED, "query answer without a signature");
    if (response->replied && hash_reply(response, reply_hash) < 0)
        return ic_fail(err, IC_E_NO_MEMORY, "query signature: out of memory");
    for (size_t i = 0; i < response->n_signatures && ret == 0; i++) {
        const struct ic_node_signature *signature = &response->signatures[i];
        ret = verify_age(signature->timestamp_ns, now_ns, max_age_ns, err);
        if (ret < 0)
            break;
        const uint8_t *key = find_key(arg, &signature->identity);
        if (!key) {
            ic_principal_format(&signature->identity, node);
            return ic_fail(err, IC_E_UNVERIFIED, "query signature: node %s is not of this subnet",
                           node);
        }
        ret = verify_one(response, signature, reply_hash, request_id, key, err);
    }
    return ret;
}
