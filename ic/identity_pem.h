/* Private keys in PEM files, of every kind that icp-cli, dfx and OpenSSL write.
 *
 *   PRIVATE KEY            PKCS#8: Ed25519 (version 1, version 2, and the form old dfx wrote),
 *                          secp256k1, P-256
 *   EC PRIVATE KEY         SEC 1: secp256k1, P-256; an EC PARAMETERS block may come first
 *   ENCRYPTED PRIVATE KEY  PKCS#8 under a password (identity_decrypt.h); also EC PRIVATE KEY with
 *                          Proc-Type lines
 *
 * Source: RFC 7468 (PEM); identity_der.h and identity_decrypt.h for what is inside.
 */
#ifndef CANISTERFS_IC_IDENTITY_PEM_H
#define CANISTERFS_IC_IDENTITY_PEM_H

#include "ic/attr.h"
#include "ic/buf.h"
#include "ic/error.h"
#include "ic/identity.h"

#include <stddef.h>

#define IC_PASSWORD_MAX 1024

/* Where the password of a protected key comes from.
 *
 * get  fills at most IC_PASSWORD_MAX bytes, no NUL at the end; file is the key file's name. Returns
 *      their number, or a negative errno with err filled. Called at most once per key, and only
 *      when its encryption can be handled.
 */
struct ic_password {
    int (*get)(void *arg, const char *file, char buf[IC_PASSWORD_MAX], struct ic_error *err);
    void *arg;
};

/* Read a private key file.
 *
 * path      a regular file of less than 64 KiB with exactly one private key; certificates and
 *           public keys beside it are passed over
 * password  NULL: none to be had
 * out       fills; to be released with ic_identity_free
 *
 * Returns 0; -EINVAL (IC_E_CONFIG), the message naming the file and what it holds instead: another
 * kind of key, no key, several, a damaged or cut one, a wrong password, no regular file; what the
 * password's source failed with; -ENOMEM. The message also says when others can read the key.
 */
int ic_identity_open_pem(const char *path, const struct ic_password *password,
                         struct ic_identity **out, struct ic_error *err)
    IC_NONNULL(1, 3) IC_MUST_CHECK;

/* The same of text in memory; name stands for the file in messages. text is borrowed, wiping it is
 * up to the caller. */
int ic_identity_parse_pem(const char *name, struct ic_view text, const struct ic_password *password,
                          struct ic_identity **out, struct ic_error *err)
    IC_NONNULL(1, 4) IC_MUST_CHECK;

#endif
