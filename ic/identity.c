/* Identities: see identity.h. */
#include "ic/identity_delegation.h"
#include "ic/identity_impl.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>

int ic_identity_new_anonymous(struct ic_identity **out)
{
    struct ic_identity *id = calloc(1, sizeof(*id));
    if (!id)
        return -ENOMEM;
    id->principal = ic_principal_anonymous();
    *out = id;
    return 0;
}

int ic_identity_new_key(enum ic_key_kind kind, const uint8_t secret[IC_SECRET_LEN],
                        struct ic_identity **out)
{
    int ret;
    struct ic_identity *id = calloc(1, sizeof(*id));
    if (!id)
        return -ENOMEM;
    ret = ic_identity_key_new(kind, secret, &id->key, &id->der);
    if (ret == 0)
        ret = ic_principal_self_authenticating(id->der.bytes, id->der.len, &id->principal);
    if (ret < 0) {
        ic_identity_free(id);
        return ret;
    }
    *out = id;
    return 0;
}

int ic_identity_new_ed25519(const uint8_t seed[32], struct ic_identity **out)
{
    return ic_identity_new_key(IC_KEY_ED25519, seed, out);
}

void ic_identity_free(struct ic_identity *id)
{
    if (!id)
        return;
    EVP_PKEY_free(id->key); /* wipes the private key */
    ic_buf_fini(&id->der);
    ic_buf_fini(&id->delegations);
    free(id->targets);
    free(id);
}

bool ic_identity_is_anonymous(const struct ic_identity *id)
{
    return id->key == NULL;
}

bool ic_identity_is_exposed(const struct ic_identity *id)
{
    return id->is_exposed;
}

const struct ic_principal *ic_identity_principal(const struct ic_identity *id)
{
    return &id->principal;
}

struct ic_view ic_identity_public_key_der(const struct ic_identity *id)
{
    return ic_view(id->der.bytes, id->der.len);
}

struct ic_view ic_identity_delegations(const struct ic_identity *id)
{
    return ic_view(id->delegations.bytes, id->delegations.len);
}

uint64_t ic_identity_expiration_ns(const struct ic_identity *id)
{
    return id->expiration_ns;
}

int ic_identity_check_time(const struct ic_identity *id, int64_t now_ns, struct ic_error *err)
{
    char date[IC_DATE_TEXT];
    if (id->delegations.len == 0 || now_ns < 0 || (uint64_t)now_ns <= id->expiration_ns)
        return 0;
    ic_delegation_format_date(id->expiration_ns, date);
    return ic_fail(err, IC_E_DENIED, "the identity's delegation expired on %s", date);
}

int ic_identity_check_target(const struct ic_identity *id, const struct ic_principal *canister,
                             struct ic_error *err)
{
    char text[IC_PRINCIPAL_TEXT], first[IC_PRINCIPAL_TEXT];
    if (!id->has_targets)
        return 0;
    for (size_t i = 0; i < id->n_targets; i++)
        if (ic_principal_is_equal(&id->targets[i], canister))
            return 0;
    ic_principal_format(canister, text);
    if (id->n_targets == 0)
        return ic_fail(err, IC_E_CONFIG, "the identity's delegations are for no canister at all");
    ic_principal_format(&id->targets[0], first);
    return ic_fail(err, IC_E_CONFIG,
                   "the identity's delegations are not for canister %s: they are for %s%s", text,
                   first, id->n_targets > 1 ? " and others" : "");
}

int ic_identity_sign(const struct ic_identity *id, const uint8_t *msg, size_t len,
                     uint8_t sig[IC_SIGNATURE_LEN])
{
    return id->key ? ic_identity_key_sign(id->key, msg, len, sig) : -EINVAL;
}
