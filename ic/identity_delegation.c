/* Delegation chains: see identity_delegation.h. */
#include "ic/identity_delegation.h"

#include "ic/cbor.h"
#include "ic/identity_impl.h"
#include "ic/map_hash.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NS_PER_S UINT64_C(1000000000)

/* What signatures over delegations start with (IC interface spec, Domain separators). */
static const char domain_delegation[] = "\x1Aic-request-auth-delegation";
#define DOMAIN_LEN (sizeof(domain_delegation) - 1)
#define MSG_LEN    (DOMAIN_LEN + IC_SHA256_LEN)

void ic_delegation_format_date(uint64_t ns, char out[IC_DATE_TEXT])
{
    time_t seconds = (time_t)(ns / NS_PER_S); /* at most the year 2554 */
    struct tm tm;
    if (!gmtime_r(&seconds, &tm) || strftime(out, IC_DATE_TEXT, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
        snprintf(out, IC_DATE_TEXT, "?");
}

/* ---- one link ---- */

/* An array of blobs: the hash of its elements' hashes. */
static int put_targets(struct ic_map_hash *h, const struct ic_delegation *d)
{
    struct ic_buf hashes = {0};
    uint8_t digest[IC_SHA256_LEN];
    int ret = 0;
    for (size_t i = 0; i < d->n_targets && ret == 0; i++) {
        ret = ic_sha256(d->targets[i].bytes, d->targets[i].len, digest);
        if (ret == 0)
            ic_buf_append(&hashes, digest, sizeof(digest));
    }
    if (ret == 0)
        ret = ic_buf_status(&hashes);
    ic_map_hash_bytes(h, "targets", ic_view(hashes.bytes, hashes.len));
    ic_buf_fini(&hashes);
    return ret;
}

static int signed_message(const struct ic_delegation *d, uint8_t msg[MSG_LEN])
{
    struct ic_map_hash h;
    int ret = ic_map_hash_init(&h), fini;
    if (ret < 0)
        return ret;
    memcpy(msg, domain_delegation, DOMAIN_LEN);
    ic_map_hash_bytes(&h, "pubkey", d->pubkey);
    ic_map_hash_nat(&h, "expiration", d->expiration_ns);
    if (d->has_targets)
        ret = put_targets(&h, d);
    if (d->permissions.bytes)
        ic_map_hash_bytes(&h, "permissions", d->permissions);
    fini = ic_map_hash_fini(&h, msg + DOMAIN_LEN);
    return ret < 0 ? ret : fini;
}

static int check_signature(const struct ic_delegation_chain *chain, size_t i, struct ic_error *err)
{
    const struct ic_delegation *d = &chain->links[i];
    struct ic_view signer = i == 0 ? chain->public_key : chain->links[i - 1].pubkey;
    uint8_t msg[MSG_LEN];
    int ret = signed_message(d, msg);
    if (ret == 0)
        ret = ic_identity_key_verify(signer, msg, sizeof(msg), d->signature);
    switch (ret) {
    case 0:
    case -EOPNOTSUPP:
        return 0;
    case -EBADMSG:
        return ic_fail(err, IC_E_CONFIG,
                       "delegation %zu of %zu is not signed by the key before it (changed, cut, or "
                       "out of order)",
                       i + 1, chain->n);
    case -EINVAL:
        return ic_fail(err, IC_E_CONFIG,
                       "delegation %zu of %zu: the key that should have signed it is of no kind "
                       "that the network knows",
                       i + 1, chain->n);
    default:
        return ic_fail(err, IC_E_NO_MEMORY, "delegation: out of memory");
    }
}

static bool is_repeated_key(const struct ic_delegation_chain *chain, size_t i)
{
    struct ic_view key = chain->links[i].pubkey;
    if (ic_view_equal(key, chain->public_key))
        return true;
    for (size_t j = 0; j < i; j++)
        if (ic_view_equal(key, chain->links[j].pubkey))
            return true;
    return false;
}

static int check_link(const struct ic_delegation_chain *chain, size_t i, int64_t now_ns,
                      struct ic_error *err)
{
    const struct ic_delegation *d = &chain->links[i];
    if (now_ns > 0 && d->expiration_ns < (uint64_t)now_ns) {
        char date[IC_DATE_TEXT];
        ic_delegation_format_date(d->expiration_ns, date);
        return ic_fail(err, IC_E_CONFIG, "delegation %zu of %zu expired on %s", i + 1, chain->n,
                       date);
    }
    if (d->n_targets > IC_DELEGATION_TARGETS_MAX)
        return ic_fail(err, IC_E_CONFIG,
                       "delegation %zu of %zu is for %zu canisters, the network takes %d at most",
                       i + 1, chain->n, d->n_targets, IC_DELEGATION_TARGETS_MAX);
    if (d->permissions.bytes && !ic_view_is_text(d->permissions, "all") &&
        !ic_view_is_text(d->permissions, "queries"))
        return ic_fail(err, IC_E_CONFIG,
                       "delegation %zu of %zu: its permissions are neither 'all' nor 'queries'",
                       i + 1, chain->n);
    if (is_repeated_key(chain, i))
        return ic_fail(err, IC_E_CONFIG,
                       "delegation %zu of %zu names a key that the chain has already", i + 1,
                       chain->n);
    return check_signature(chain, i, err);
}

static int check_chain(const struct ic_identity *id, const struct ic_delegation_chain *chain,
                       int64_t now_ns, struct ic_error *err)
{
    if (chain->n == 0)
        return ic_fail(err, IC_E_CONFIG, "the chain has no delegations");
    if (chain->n > IC_DELEGATIONS_MAX)
        return ic_fail(err, IC_E_CONFIG, "%zu delegations, the network takes %d at most", chain->n,
                       IC_DELEGATIONS_MAX);
    for (size_t i = 0; i < chain->n; i++) {
        int ret = check_link(chain, i, now_ns, err);
        if (ret < 0)
            return ret;
    }
    if (!ic_view_equal(chain->links[chain->n - 1].pubkey, ic_identity_public_key_der(id)))
        return ic_fail(err, IC_E_CONFIG,
                       "the delegations are for another key than the identity's: its principal "
                       "would sign for nobody");
    return 0;
}

/* ---- what requests need of a chain ---- */

static void encode_link(const struct ic_delegation *d, struct ic_buf *out)
{
    ic_cbor_put_map(out, 2);
    ic_cbor_put_text(out, "delegation");
    ic_cbor_put_map(out, 2 + (d->has_targets ? 1U : 0) + (d->permissions.bytes ? 1U : 0));
    ic_cbor_put_text(out, "pubkey");
    ic_cbor_put_bytes(out, d->pubkey);
    ic_cbor_put_text(out, "expiration");
    ic_cbor_put_uint(out, d->expiration_ns);
    if (d->has_targets) {
        ic_cbor_put_text(out, "targets");
        ic_cbor_put_array(out, d->n_targets);
        for (size_t i = 0; i < d->n_targets; i++)
            ic_cbor_put_bytes(out, ic_principal_view(&d->targets[i]));
    }
    if (d->permissions.bytes) {
        ic_cbor_put_text(out, "permissions");
        /* One of two words: checked before. */
        ic_cbor_put_text(out, ic_view_is_text(d->permissions, "all") ? "all" : "queries");
    }
    ic_cbor_put_text(out, "signature");
    ic_cbor_put_bytes(out, d->signature);
}

static bool is_target(const struct ic_delegation *d, const struct ic_principal *canister)
{
    for (size_t i = 0; i < d->n_targets; i++)
        if (ic_principal_is_equal(&d->targets[i], canister))
            return true;
    return !d->has_targets;
}

/* The canisters that every link with targets names. */
static int intersect_targets(const struct ic_delegation_chain *chain, struct ic_identity *made)
{
    const struct ic_delegation *first = NULL;
    for (size_t i = chain->n; i-- > 0;)
        if (chain->links[i].has_targets)
            first = &chain->links[i];
    if (!first)
        return 0;
    made->has_targets = true;
    made->targets = calloc(first->n_targets + 1, sizeof(*made->targets));
    if (!made->targets)
        return -ENOMEM;
    for (size_t t = 0; t < first->n_targets; t++) {
        bool by_all = true;
        for (size_t i = 0; i < chain->n && by_all; i++)
            by_all = is_target(&chain->links[i], &first->targets[t]);
        if (by_all)
            made->targets[made->n_targets++] = first->targets[t];
    }
    return 0;
}

static int take_over(const struct ic_delegation_chain *chain, struct ic_identity *made)
{
    int ret;
    made->expiration_ns = UINT64_MAX;
    ic_buf_append(&made->der, chain->public_key.bytes, chain->public_key.len);
    ic_cbor_put_array(&made->delegations, chain->n);
    for (size_t i = 0; i < chain->n; i++) {
        encode_link(&chain->links[i], &made->delegations);
        if (chain->links[i].expiration_ns < made->expiration_ns)
            made->expiration_ns = chain->links[i].expiration_ns;
    }
    ret = intersect_targets(chain, made);
    if (ret == 0)
        ret = ic_buf_status(&made->der);
    if (ret == 0)
        ret = ic_buf_status(&made->delegations);
    if (ret == 0)
        ret = ic_principal_self_authenticating(made->der.bytes, made->der.len, &made->principal);
    return ret;
}

int ic_identity_delegate(struct ic_identity *id, const struct ic_delegation_chain *chain,
                         int64_t now_ns, struct ic_error *err)
{
    struct ic_identity made = {.key = id->key, .is_exposed = id->is_exposed};
    int ret = check_chain(id, chain, now_ns, err);
    if (ret < 0)
        return ret;
    if (take_over(chain, &made) < 0) {
        ic_buf_fini(&made.der);
        ic_buf_fini(&made.delegations);
        free(made.targets);
        return ic_fail(err, IC_E_NO_MEMORY, "delegation: out of memory");
    }
    ic_buf_fini(&id->der);
    *id = made;
    return 0;
}
