/* What a mount is asked to do: options from a command line, and in words.
 *
 * Parsing, validation, defaults, --help and the manual page (usage.h) all read the same table
 * (option_table.h), so that none of them can disagree. Nothing here touches the network or the file
 * system.
 */
#ifndef CANISTERFS_FS_OPTION_H
#define CANISTERFS_FS_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Exit status of the program: an interface that scripts rely on (README, "Exit status"). */
enum fs_exit {
    FS_EXIT_OK = 0,
    FS_EXIT_USAGE = 1,   /* the command line is wrong */
    FS_EXIT_CONFIG = 2,  /* an option's value, identity or key cannot be used */
    FS_EXIT_NETWORK = 3, /* the network or the canister cannot be reached, verified or found */
    FS_EXIT_MOUNT = 4,   /* the mount point cannot be mounted on, or serving ended by an error */
};

enum fs_action {
    FS_ACTION_MOUNT,
    FS_ACTION_HELP,
    FS_ACTION_VERSION,
    FS_ACTION_MAN_PAGE,
    FS_ACTION_WHOAMI,
};

/* What to do with memory that has no version. */
enum fs_live { FS_LIVE_WARN, FS_LIVE_FAIL };

/* When what was written goes to the canister. */
enum fs_commit { FS_COMMIT_AUTO, FS_COMMIT_MANUAL };

/* A file that is shorter than the memory. */
enum fs_shrink { FS_SHRINK_NO, FS_SHRINK_ZERO };

/* Every text is owned by the struct; NULL where not given. */
struct fs_options {
    enum fs_action action;
    char *canister;   /* principal in text form */
    char *mountpoint; /* as given */

    char *network;  /* "ic", "local" or an http(s) URL without user and password */
    char *root_key; /* file name or hex digits of the DER key */
    bool insecure_root_key;
    char *identity;      /* PEM file, or a name in the stores of icp-cli and dfx */
    char *password_file; /* of that key */
    char *delegation;    /* JSON file: delegations to that key */
    char *ca_file;
    char *proxy;          /* "none" or an http(s) URL without user and password */
    char *map;            /* file that says which methods to read with */
    char *profile;        /* or the name of a built-in one */
    char *did;            /* file with the canister's Candid interface */
    uint64_t cache_size;  /* bytes */
    char *cache_dir;      /* for what does not fit, and when contents were first seen */
    uint64_t cache_disk;  /* bytes */
    uint64_t chunk_items; /* in a file of backup/ */
    uint64_t chunk_timeout_ns;
    uint64_t max_inflight;     /* queries */
    uint64_t restore_inflight; /* update calls */
    uint64_t max_threads;
    uint64_t timeout_ns;
    uint64_t attr_timeout_ns;
    uint64_t uid;
    uint64_t gid;
    uint64_t umask; /* permission bits to take away */
    bool allow_other;
    uint64_t live;      /* enum fs_live */
    uint64_t log_level; /* enum fs_log_level */
    bool foreground;
    bool rw; /* files can be restored; mount(8) says so unless "ro" is given */
    char *staging_dir;
    uint64_t commit;      /* enum fs_commit */
    uint64_t shrink;      /* enum fs_shrink */
    uint64_t maintenance; /* enum fs_maintenance (lease.h) */
    bool force;
    bool nosnapshots;
    char *kernel_options; /* comma-separated words for mount(2), "" when none */
};

/* Parse a command line: `[options] CANISTER MOUNTPOINT`, options as -o name[=value],... or
 * --name[=value].
 *
 * out       fills; release with fs_option_fini, also after a failure
 * message   fills with one line in words on failure
 *
 * Returns FS_EXIT_OK, FS_EXIT_USAGE (unknown or malformed option, missing argument) or
 * FS_EXIT_CONFIG (out of memory).
 */
enum fs_exit fs_option_parse(int argc, char **argv, struct fs_options *out, char *message,
                             size_t message_size) __attribute__((warn_unused_result, nonnull));

void fs_option_fini(struct fs_options *options);

#define FS_RANGE_TEXT 56

/* An option in words. The texts behind pointers are constants. */
struct fs_option_words {
    const char *name;
    const char *value_name; /* NULL when it takes no value */
    const char *fallback;   /* NULL when it has no default */
    const char *help;
    char range[FS_RANGE_TEXT]; /* "1s to 3600s"; "" when any value of its kind is taken */
};

/* The i-th option of the table; false beyond the last. */
bool fs_option_describe(size_t i, struct fs_option_words *out) __attribute__((nonnull));

#endif
