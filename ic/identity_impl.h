/* What an identity is made of, for the files that make one: identity*.c. */
#ifndef CANISTERFS_IC_IDENTITY_IMPL_H
#define CANISTERFS_IC_IDENTITY_IMPL_H

#include "ic/identity.h"
#include "ic/identity_key.h"

struct ic_identity {
    struct ic_principal principal;
    EVP_PKEY *key;     /* NULL when anonymous */
    struct ic_buf der; /* the public key that the principal is made of */
    bool is_exposed;

    /* All empty without delegations. */
    struct ic_buf delegations; /* as the envelope carries them, in CBOR */
    uint64_t expiration_ns;    /* of the first one to expire */
    bool has_targets;          /* they are for the targets only, which may be none */
    struct ic_principal *targets;
    size_t n_targets;
};

/* The identity of a key pair. Returns 0, -EINVAL, -ENOMEM: as ic_identity_key_new. */
int ic_identity_new_key(enum ic_key_kind kind, const uint8_t secret[IC_SECRET_LEN],
                        struct ic_identity **out) IC_NONNULL(2, 3) IC_MUST_CHECK;

#endif
