/* Identities by name: what icp-cli and dfx keep in the user's directories.
 *
 *   icp-cli  $ICP_HOME/identity, else $XDG_DATA_HOME/icp-cli/identity, else
 *            ~/.local/share/icp-cli/identity: identity_list.json tells the kind of each name;
 *            keys/NAME.pem, delegations/NAME.json
 *   dfx      $DFX_CONFIG_ROOT/.config/dfx/identity, else ~/.config/dfx/identity:
 *            NAME/identity.pem, and NAME/identity.json where the key is not simply there
 *
 * Keys outside files (keyring, hardware) and the encryption that dfx has of its own are not opened:
 * the error says how to export such a key. The stores are only read.
 *
 * Source: observed of icp 1.5.0; icp-cli and dfx sources, identity modules.
 */
#ifndef CANISTERFS_FS_IDENTITY_STORE_H
#define CANISTERFS_FS_IDENTITY_STORE_H

#include "ic/error.h"
#include "ic/principal.h"

#include <stdbool.h>

enum fs_identity_store { FS_IDENTITY_ICP, FS_IDENTITY_DFX, FS_IDENTITY_STORES };

/* "icp-cli" or "dfx". */
const char *fs_identity_store_name(enum fs_identity_store store);

/* Where an identity is kept. */
struct fs_identity_place {
    bool is_anonymous;
    char *key_file;                /* owned */
    char *chain_file;              /* owned; NULL without delegations */
    bool has_principal;            /* the store says which principal it has */
    struct ic_principal principal; /* when it does */
};

void fs_identity_place_fini(struct fs_identity_place *place) __attribute__((nonnull));

/* Look a name up in one store.
 *
 * out  fills; to be released with fs_identity_place_fini
 *
 * Returns 0; -ENOENT (IC_E_NOT_FOUND): no such name there, or no such store; -EINVAL (IC_E_CONFIG):
 * the name is there and cannot be used, the message says what to do; -ENOMEM.
 */
int fs_identity_store_find(enum fs_identity_store store, const char *name,
                           struct fs_identity_place *out, struct ic_error *err)
    __attribute__((warn_unused_result, nonnull));

#endif
