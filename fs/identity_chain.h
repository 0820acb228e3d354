/* Delegation chains as files: the JSON that agent-js and `icp identity delegation sign` write.
 *
 *     { "publicKey": HEX, "delegations": [
 *         { "delegation": { "pubkey": HEX, "expiration": HEX, "targets": [HEX...],
 *                           "permissions": TEXT },
 *           "signature": HEX } ... ] }
 *
 * Keys are in DER, expiration is a number of ns since 1970, targets are principals in binary;
 * targets and permissions may be absent or null. Anything else is refused: what is signed must not
 * be guessed.
 *
 * Source: agent-js, DelegationChain; icp-cli, identity delegation.
 */
#ifndef CANISTERFS_FS_IDENTITY_CHAIN_H
#define CANISTERFS_FS_IDENTITY_CHAIN_H

#include "ic/arena.h"
#include "ic/identity_delegation.h"

/* The longest file that is read, bytes: canister signatures have a few KiB each. */
#define FS_IDENTITY_CHAIN_MAX ((size_t)256 * 1024)

/* Read a chain from text. It is not verified.
 *
 * name   stands for the file in messages
 * arena  the chain's memory
 *
 * Returns 0; -EINVAL (IC_E_CONFIG), naming what is wrong where; -ENOMEM.
 */
int fs_identity_chain_parse(const char *name, const char *text, size_t len, struct ic_arena *arena,
                            struct ic_delegation_chain *out, struct ic_error *err)
    __attribute__((warn_unused_result, nonnull));

/* Read a chain from a file and have an identity speak for its root: see ic_identity_delegate. */
int fs_identity_chain_apply(const char *path, struct ic_identity *id, int64_t now_ns,
                            struct ic_error *err) __attribute__((warn_unused_result, nonnull));

#endif
