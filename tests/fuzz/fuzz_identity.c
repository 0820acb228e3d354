/* Any text as a key file and as a delegation chain, any bytes as a private key: taken whole or
 * refused in words. No password is given, for deriving a key takes seconds; what a key under one
 * asks for is read all the same. */
#include "fs/identity_chain.h"
#include "ic/identity_der.h"
#include "ic/identity_impl.h"
#include "ic/identity_pem.h"
#include "tests/fuzz/target.h"

#include <errno.h>
#include <string.h>

static int refuse(void *arg, const char *file, char buf[IC_PASSWORD_MAX], struct ic_error *err)
{
    (void)arg;
    (void)buf;
    return ic_fail(err, IC_E_CONFIG, "%s: no password", file);
}

static void check_identity(const struct ic_identity *id)
{
    static const uint8_t msg[] = "\x0Aic-request";
    uint8_t sig[IC_SIGNATURE_LEN];
    CLAIM(ic_identity_principal(id)->len == IC_PRINCIPAL_MAX);
    CLAIM(ic_identity_sign(id, msg, sizeof(msg), sig) == 0);
    CLAIM(ic_identity_key_verify(ic_identity_public_key_der(id), msg, sizeof(msg),
                                 ic_view(sig, sizeof(sig))) == 0);
}

static void run_pem(const uint8_t *data, size_t size)
{
    const struct ic_password password = {.get = refuse};
    struct ic_identity *id = NULL;
    struct ic_error err = {0};
    int ret = ic_identity_parse_pem("x.pem", ic_view(data, size), &password, &id, &err);
    CLAIM((ret == 0) == (id != NULL));
    CLAIM(ret == 0 || err.message[0] != '\0');
    if (id)
        check_identity(id);
    ic_identity_free(id);
}

static void run_der(const uint8_t *data, size_t size)
{
    struct ic_view der = ic_view(data, size);
    for (int form = 0; form < 2; form++) {
        struct ic_private_key key = {0};
        struct ic_identity *id = NULL;
        char why[IC_DER_WHY] = "";
        int ret = form ? ic_identity_der_sec1(der, ic_view(NULL, 0), &key, why)
                       : ic_identity_der_pkcs8(der, &key, why);
        CLAIM(ret == 0 || ((ret == -EINVAL || ret == -EBADMSG) && why[0] != '\0'));
        if (ret == 0 && ic_identity_new_key(key.kind, key.secret, &id) == 0)
            check_identity(id);
        ic_identity_free(id);
    }
}

static void run_chain(const uint8_t *data, size_t size)
{
    static const uint8_t seed[32] = {0}; /* where the golden chain ends */
    struct ic_arena arena;
    struct ic_delegation_chain chain;
    struct ic_error err = {0};
    struct ic_identity *id = NULL;
    ic_arena_init(&arena, 16 * FS_IDENTITY_CHAIN_MAX);
    int ret = fs_identity_chain_parse("x.json", (const char *)data, size, &arena, &chain, &err);
    CLAIM(ret == 0 || err.message[0] != '\0');
    if (ret == 0 && ic_identity_new_ed25519(seed, &id) == 0) {
        ret = ic_identity_delegate(id, &chain, 1, &err);
        CLAIM((ret == 0) == (ic_identity_delegations(id).len > 0));
        CLAIM(ret < 0 || ic_view_equal(ic_identity_public_key_der(id), chain.public_key));
    }
    ic_identity_free(id);
    ic_arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    run_pem(data, size);
    run_der(data, size);
    run_chain(data, size);
    return 0;
}
