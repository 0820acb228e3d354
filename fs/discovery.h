/* Which methods of the stable memory convention a canister offers, found by asking it.
 *
 * Only queries are made. The convention: stable_version, stable_size, stable_read, stable_read_at
 * (README, "What a canister offers").
 */
#ifndef CANISTERFS_FS_DISCOVERY_H
#define CANISTERFS_FS_DISCOVERY_H

#include "fs/target.h"

enum fs_method {
    FS_METHOD_VERSION, /* stable_version : () -> (record {version; mtime_ns; size}) */
    FS_METHOD_READ_AT, /* stable_read_at : (version, offset, length) -> (variant {ok; err}) */
    FS_METHOD_SIZE,    /* stable_size : () -> (nat64), bytes */
    FS_METHOD_READ,    /* stable_read : (offset, length) -> (blob) */
    FS_N_METHODS,
};

struct fs_finding {
    bool asked; /* false: not needed, another method does better */
    bool offered;
    char note[256]; /* why not, in words; "" otherwise */
};

/* Immutable after fs_discovery_run. */
struct fs_discovery {
    struct fs_finding findings[FS_N_METHODS];
};

const char *fs_method_name(enum fs_method method);

/* Ask. A canister that refuses or fails is not an error: the finding says so, and a warning is
 * logged when stable memory cannot be shown.
 *
 * Returns FS_EXIT_OK, or FS_EXIT_NETWORK when replies cannot be had or do not verify. */
enum fs_exit fs_discovery_run(struct fs_discovery *out, const struct fs_target *target,
                              uint64_t timeout_ns, char *message, size_t message_size)
    __attribute__((warn_unused_result, nonnull));

/* Can stable memory be shown: is there a size and a way to read? */
bool fs_discovery_has_stable(const struct fs_discovery *discovery);

static inline bool fs_discovery_offers(const struct fs_discovery *discovery, enum fs_method method)
{
    return discovery->findings[method].offered;
}

#endif
