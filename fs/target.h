/* What is mounted: one canister on one network, seen with one identity. */
#ifndef CANISTERFS_FS_TARGET_H
#define CANISTERFS_FS_TARGET_H

#include "fs/log.h"
#include "fs/option.h"
#include "ic/agent.h"
#include "ic/identity.h"
#include "ic/principal.h"

/* Immutable after fs_target_open; the members are for reading. */
struct fs_target {
    struct ic_principal canister;
    char canister_text[IC_PRINCIPAL_TEXT];
    char *url;
    struct ic_identity *identity;
    bool borrows_identity;
    struct ic_agent *agent;
    struct fs_log *log; /* borrowed */
    uint8_t root_key[IC_ROOT_KEY_LEN];
    const struct fs_options *options; /* borrowed */
    const atomic_bool *cancel;        /* borrowed: ends the calls of fs_target_io; NULL for never */
};

/* Resolve canister, network and root key, and start the agent. Talks to the network only for
 * -o insecure_root_key.
 *
 * identity  takes, also on failure
 *
 * Returns FS_EXIT_OK, FS_EXIT_USAGE (canister text), FS_EXIT_CONFIG (root key, targets of the
 * identity's delegations) or
 * FS_EXIT_NETWORK, with a line in words in `message`. Starts a thread. */
enum fs_exit fs_target_open(struct fs_target *out, const struct fs_options *options,
                            struct ic_identity *identity, struct fs_log *log,
                            const atomic_bool *cancel, char *message, size_t message_size)
    __attribute__((warn_unused_result, nonnull(1, 2, 3, 4, 6)));

/* The same canister seen by an anonymous caller, with an agent of its own. `target` must stay open.
 * Returns 0 or -errno with err filled. */
int fs_target_open_anonymous(struct fs_target *out, const struct fs_target *target,
                             struct ic_error *err) __attribute__((warn_unused_result, nonnull));

/* The same canister seen by the same identity, with an agent of its own, which goes on when that of
 * `target` is stopped. `target` must stay open. Returns 0 or -errno with err filled. */
int fs_target_open_again(struct fs_target *out, const struct fs_target *target,
                         struct ic_error *err) __attribute__((warn_unused_result, nonnull));

void fs_target_close(struct fs_target *target);

/* The deadline of one call that starts now, and the flag that ends it. */
struct ic_io fs_target_io(const struct fs_target *target, uint64_t timeout_ns);

/* The same words for ic/ as for cache/ (the rooms do not see each other). */
static inline struct ic_io fs_target_io_from(int64_t deadline_ns, const atomic_bool *cancel)
{
    return (struct ic_io){.deadline_ns = deadline_ns, .cancel = cancel};
}

#endif
