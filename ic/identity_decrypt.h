/* Password-protected private keys: `ENCRYPTED PRIVATE KEY` (PKCS#8 with PBES1 or PBES2), and the
 * older form with Proc-Type and DEK-Info lines that OpenSSL still writes.
 *
 * What a key file asks for is bounded: 10 million iterations, or 1 GiB for scrypt, are refused
 * before a password is asked for.
 *
 * Source: RFC 5958, RFC 8018 (PBES1, PBES2), RFC 7914 (scrypt), RFC 1421 (the older form).
 */
#ifndef CANISTERFS_IC_IDENTITY_DECRYPT_H
#define CANISTERFS_IC_IDENTITY_DECRYPT_H

#include "ic/attr.h"
#include "ic/buf.h"
#include "ic/error.h"
#include "ic/identity_pem.h"

#include <stddef.h>
#include <stdint.h>

/* A decrypted key. */
struct ic_secret {
    uint8_t *bytes;
    size_t len;
};

/* Wipes; fine for {0}. */
void ic_secret_fini(struct ic_secret *secret) IC_NONNULL(1);

/* Decrypt an EncryptedPrivateKeyInfo, or a key with headers.
 *
 * file      name of the key file, for messages and for the prompt
 * headers   the lines Proc-Type and DEK-Info, as text
 * password  NULL: none to be had
 * out       fills; to be released with ic_secret_fini
 *
 * Returns 0; -EINVAL (IC_E_CONFIG: wrong password, unsupported or unreasonable encryption, damaged)
 * or what the password's source failed with; -ENOMEM.
 */
int ic_identity_decrypt_pkcs8(const char *file, struct ic_view der,
                              const struct ic_password *password, struct ic_secret *out,
                              struct ic_error *err) IC_NONNULL(1, 4) IC_MUST_CHECK;
int ic_identity_decrypt_headers(const char *file, const char *headers, struct ic_view data,
                                const struct ic_password *password, struct ic_secret *out,
                                struct ic_error *err) IC_NONNULL(1, 2, 5) IC_MUST_CHECK;

#endif
