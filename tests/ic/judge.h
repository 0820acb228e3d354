/* Certificates judged in tests: verify and forget. */
#ifndef CANISTERFS_TESTS_IC_JUDGE_H
#define CANISTERFS_TESTS_IC_JUDGE_H

#include "ic/certificate.h"
#include "tests/ic/vectors.h"

#define SECOND 1000000000LL
#define HOUR   (3600 * SECOND)

static inline struct ic_principal judge_principal(const char *text)
{
    struct ic_principal p;
    if (ic_principal_parse(text, &p) < 0)
        vector_die("not a principal", text);
    return p;
}

static inline struct ic_trust judge_trust(const uint8_t *root_key, int64_t now_ns)
{
    return (struct ic_trust){
        .root_key = root_key,
        .root_key_len = IC_ROOT_KEY_LEN,
        .now_ns = now_ns,
        .max_age_ns = IC_CERTIFICATE_MAX_AGE_NS,
        .max_ahead_ns = IC_CERTIFICATE_MAX_AHEAD_NS,
    };
}

/* Verify and forget. */
static inline int judge(struct ic_view cert, const struct ic_trust *trust,
                        const struct ic_principal *canister)
{
    struct ic_certificate *out = NULL;
    struct ic_error err = {0};
    int ret = ic_certificate_verify_canister(cert.bytes, cert.len, trust, canister, &out, &err);
    if (ret == 0)
        ic_certificate_free(out);
    else if (out || ic_error_errno(&err) != ret || !err.message[0])
        vector_die("error and result differ", err.message);
    return ret;
}

static inline int judge_subnet(struct ic_view cert, const struct ic_trust *trust,
                               const struct ic_principal *subnet)
{
    struct ic_certificate *out = NULL;
    int ret = ic_certificate_verify_subnet(cert.bytes, cert.len, trust, subnet, &out, NULL);
    ic_certificate_free(out);
    return ret;
}

#endif
