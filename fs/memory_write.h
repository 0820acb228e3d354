/* How the memory of one canister is written: methods, argument types, and what they promise.
 *
 *   STAGED  restore_begin, restore_chunk, restore_status, restore_commit, restore_abort: the
 *           canister keeps what is sent aside, checks it as a whole and takes it over
 *   PLAIN   a method that writes at once: (offset, blob), or in the style PAGE of the memory
 *           (vec record {page; blob}). The memory is grown by a method, or grows by being written
 *
 * No method that changes the canister is ever called to find out: the canister's interface tells,
 * or a map or profile that the user named.
 *
 * A description is plain data and immutable once it is in use.
 */
#ifndef CANISTERFS_FS_MEMORY_WRITE_H
#define CANISTERFS_FS_MEMORY_WRITE_H

#include "ic/candid.h"

#include <stdbool.h>

#define FS_METHOD_NAME_MAX 128

enum fs_write_style { FS_WRITE_NONE, FS_WRITE_STAGED, FS_WRITE_PLAIN };

/* Of the five methods of a staged restore, in the order of a restore. */
enum fs_staged_method {
    FS_STAGED_BEGIN,
    FS_STAGED_CHUNK,
    FS_STAGED_STATUS, /* a query, the others are updates */
    FS_STAGED_COMMIT,
    FS_STAGED_ABORT,
    FS_STAGED_METHODS,
};

#define FS_WRITE_WORDS 200

/* Texts are "" where there is no such method. */
struct fs_memory_write {
    enum fs_write_style style;  /* what discovery decided for */
    char words[FS_WRITE_WORDS]; /* for people: how, or why not */

    char restore[FS_METHOD_NAME_MAX]; /* STAGED: "restore" of restore_begin, restore_chunk ... */

    char write[FS_METHOD_NAME_MAX];  /* PLAIN */
    enum ic_type_kind number;        /* of offset or page: nat, nat32, nat64 */
    char grow[FS_METHOD_NAME_MAX];   /* (pages of 64 KiB); "": it grows by being written */
    enum ic_type_kind grow_number;   /* of pages */
    char init[FS_METHOD_NAME_MAX];   /* (size : nat64), before the first write */
    char finish[FS_METHOD_NAME_MAX]; /* (true), after the last: an upgrade then takes it over */

    /* (offset, piece, n : nat64) -> (blob) query: SHA-256 of n consecutive pieces */
    char hashes[FS_METHOD_NAME_MAX];
};

/* The name of one of the staged methods. */
void fs_memory_write_method(const struct fs_memory_write *write, enum fs_staged_method method,
                            char out[FS_METHOD_NAME_MAX]) __attribute__((nonnull));

/* The convention as a service: begin, chunk, status, commit, abort, hashes. The caller frees.
 * Returns 0 or -ENOMEM. */
struct ic_did;
int fs_memory_write_convention(struct ic_did **out) __attribute__((nonnull, warn_unused_result));

/* Has a method the arguments and results that are needed? Any number of concurrent calls.
 *
 * method   of the canister's interface
 * wanted   one of the staged methods
 *
 * Each value that we send must arrive there whole, and each that it may answer here. Returns true,
 * or false with the reason in words. */
bool fs_memory_write_fits_staged(const struct ic_type_method *method, enum fs_staged_method wanted,
                                 char reason[FS_WRITE_WORDS]) __attribute__((nonnull));

/* The same of stable_hashes. */
bool fs_memory_write_fits_hashes(const struct ic_type_method *method, char reason[FS_WRITE_WORDS])
    __attribute__((nonnull));

/* The same of a plain method: an update.
 *
 * has_id   a nat8 comes first
 * is_page  (vec record {number; blob}), else (number, blob)
 * number   fills: the kind of number that it takes
 */
bool fs_memory_write_fits_plain(const struct ic_type_method *method, bool has_id, bool is_page,
                                enum ic_type_kind *number, char reason[FS_WRITE_WORDS])
    __attribute__((nonnull));

/* The same of grow (has_id: a nat8 comes first) and init, which take one number. */
bool fs_memory_write_fits_number(const struct ic_type_method *method, bool has_id,
                                 enum ic_type_kind *number, char reason[FS_WRITE_WORDS])
    __attribute__((nonnull));

/* The same of finish, which takes a bool. */
bool fs_memory_write_fits_flag(const struct ic_type_method *method, char reason[FS_WRITE_WORDS])
    __attribute__((nonnull));

#endif
