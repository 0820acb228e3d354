/* Certified facts about the canister, as small text files.
 *
 * They come from read_state, verified, are asked for again when older than FS_FACTS_TTL_NS, and
 * keep their version and mtime while their content stays the same. What the identity may not read,
 * or what the canister does not have, is absent.
 *
 * Thread safety: any number of threads. Nobody waits while another thread asks again: the last
 * answer serves until the new one is there.
 */
#ifndef CANISTERFS_FS_FACTS_H
#define CANISTERFS_FS_FACTS_H

#include "cache/source.h"
#include "fs/target.h"

#define FS_FACTS_TTL_NS INT64_C(5000000000)

enum fs_fact {
    FS_FACT_ID,
    FS_FACT_SUBNET,
    FS_FACT_MODULE_HASH,
    FS_FACT_CONTROLLERS,
    FS_FACT_CANDID,
    FS_N_FACTS,
};

struct fs_facts;

/* Ask for the facts a first time.
 *
 * Returns FS_EXIT_OK, or FS_EXIT_NETWORK with a line in words: the network cannot be reached, its
 * answer does not verify under the root key, or there is no such canister. */
enum fs_exit fs_facts_open(struct fs_facts **out, const struct fs_target *target,
                           uint64_t timeout_ns, char *message, size_t message_size)
    __attribute__((warn_unused_result, nonnull));

/* Every source made from it must be closed before. */
void fs_facts_close(struct fs_facts *facts);

/* File name in canister/. */
const char *fs_fact_name(enum fs_fact fact);

/* The file's source. Its stat says -ENOENT while the fact is absent. Returns 0 or -ENOMEM. */
int fs_facts_open_source(struct fs_facts *facts, enum fs_fact fact, struct source **out)
    __attribute__((warn_unused_result));

/* A copy of the Candid interface as it was last read: malloc'ed, the caller frees; *out is NULL
 * when the canister publishes none. Returns 0 or -ENOMEM. */
int fs_facts_take_candid(struct fs_facts *facts, char **out, size_t *len)
    __attribute__((warn_unused_result));

/* Ask again when the answers are older than FS_FACTS_TTL_NS, or outdated. Logs a warning when the
 * canister's code is another than at the start. */
void fs_facts_refresh(struct fs_facts *facts, const struct source_io *io);

/* The canister was changed: what was asked before this call is too old. */
void fs_facts_outdate(struct fs_facts *facts) __attribute__((nonnull));

/* Copy a fact as a line without its newline; "" when absent. */
void fs_facts_copy(struct fs_facts *facts, enum fs_fact fact, char *out, size_t size);

#endif
