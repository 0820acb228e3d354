/* Who the mount is to the network, as the options say: a key file, a name in a store, a delegation,
 * a password. */
#ifndef CANISTERFS_FS_IDENTITY_H
#define CANISTERFS_FS_IDENTITY_H

#include "fs/log.h"
#include "fs/option.h"
#include "ic/identity.h"

#include <stddef.h>

struct fs_identity {
    struct ic_identity *id; /* owned */
    char *origin;           /* owned: "identity 'x' of icp-cli (FILE)"; NULL when anonymous */
    char *story;            /* owned: the origin, its principal, until when; NULL when anonymous */
    const char *exposed_password_file; /* borrowed from the options; NULL: none */
};

/* Open the identity that the options name. May ask for a password on the terminal: before the
 * program goes to the background, and before signals are blocked. Starts no thread.
 *
 * -o identity=WORD is a file when it has a slash or there is a file of that name; else "anonymous";
 * else a name in the stores of icp-cli and dfx. When both have it, both must be the same principal.
 *
 * Returns FS_EXIT_OK or FS_EXIT_CONFIG with a line in words.
 */
enum fs_exit fs_identity_open(struct fs_identity *out, const struct fs_options *options,
                              char *message, size_t message_size)
    __attribute__((warn_unused_result, nonnull));

/* Fine for {0}, and after `id` was taken out. */
void fs_identity_close(struct fs_identity *identity) __attribute__((nonnull));

/* Log warnings: files that others can read. */
void fs_identity_warn(const struct fs_identity *identity, struct fs_log *log)
    __attribute__((nonnull));

/* --whoami: print the principal, and warnings on standard error. Returns an fs_exit; the reason of
 * a failure is printed. */
enum fs_exit fs_identity_whoami(const struct fs_options *options) __attribute__((nonnull));

#endif
