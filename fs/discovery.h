/* What a canister offers: which of its methods give the stable memory, and how.
 *
 * Found in this order: a map or profile that the user names; the Candid interface, from the user's
 * file or published by the canister, which is looked through for the known names; without any
 * interface the known names are asked for. Whatever was found is then tried, with a query that
 * reads nothing. No update method is ever called.
 *
 * A canister that does not answer because it is stopped, frozen or traps must not look like one
 * that offers nothing, so the mount fails; but when its snapshots can be listed it is mounted for
 * them (unreadable.h). To find that out is an update call, of the management canister.
 */
#ifndef CANISTERFS_FS_DISCOVERY_H
#define CANISTERFS_FS_DISCOVERY_H

#include "fs/collection.h"
#include "fs/facts.h"
#include "fs/memory.h"
#include "fs/target.h"

/* Enough for every method of every profile. */
#define FS_FINDINGS_MAX 64

/* What of the methods that cannot be shown is listed by name. */
#define FS_NOT_SHOWN_MAX 64

/* A method that was looked for. */
struct fs_finding {
    char method[FS_METHOD_NAME_MAX];
    bool offered;
    char note[256]; /* why not, in words; "" otherwise */
};

enum fs_anyone {
    FS_ANYONE_UNKNOWN,
    FS_ANYONE_CAN_READ, /* the canister answers anonymous callers */
    FS_ANYONE_CANNOT,
};

/* A method that is a collection by its name, and is not shown. */
struct fs_not_shown {
    char method[FS_METHOD_NAME_MAX]; /* a longer name is cut and ends in "..." */
    char reason[FS_REASON_MAX];
};

/* Immutable after fs_discovery_run. */
struct fs_discovery {
    char unreadable[300];             /* why nothing was learned, in words; "": it was */
    char basis[160];                  /* what the finding rests on, in words */
    const char *profile;              /* name of the profile that fits; NULL: none, or a map */
    char prepare[FS_METHOD_NAME_MAX]; /* update to call before a backup, with nothing; "": none */
    struct fs_memory *memories;       /* owned; NULL when none was found */
    size_t n_memories;
    struct fs_finding findings[FS_FINDINGS_MAX];
    size_t n_findings;
    enum fs_anyone anyone;

    struct fs_collection collections[FS_COLLECTIONS_MAX]; /* their names are unique */
    size_t n_collections;
    struct fs_not_shown not_shown[FS_NOT_SHOWN_MAX];
    size_t n_not_shown;
    size_t n_not_listed; /* further ones, for which there was no room */
    /* () -> (record {version; mtime_ns; ...}): the version of all collections; "": none */
    char backup_version[FS_METHOD_NAME_MAX];

    bool has_lease; /* the four methods of maintenance (lease.h), by the interface */

    struct ic_did *did; /* owned: what the collections' types belong to; NULL: it is not known */
    char *did_text;     /* owned: its text, without imports, NUL-terminated; NULL: as did */
    size_t did_text_len;
};

/* Find out. A canister that offers nothing, refuses or fails is not an error: the findings say so,
 * and a warning is logged.
 *
 * facts  for the canister's own Candid interface
 *
 * Returns FS_EXIT_OK; FS_EXIT_CONFIG (map, profile or did of the user cannot be used);
 * FS_EXIT_NETWORK when replies cannot be had or do not verify. On failure nothing is owned. */
enum fs_exit fs_discovery_run(struct fs_discovery *out, const struct fs_target *target,
                              const struct fs_options *options, struct fs_facts *facts,
                              char *message, size_t message_size)
    __attribute__((warn_unused_result, nonnull));

void fs_discovery_fini(struct fs_discovery *discovery);

#endif
