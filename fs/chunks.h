/* One collection as files: which there are, and what each holds.
 *
 * A file is fetched when its size is asked for, for there is no other way to know it, and kept in
 * the store until it is read. Its content is known by its SHA-256: content that was fetched anew
 * and is the same stays the same version, with the same mtime, so that nobody who copied it has to
 * copy it again.
 *
 * What was fetched is good for as long as the version of the collections stays, where the canister
 * tells one. Else until the directory is listed anew, chunk_timeout has passed, or, once a file was
 * read to its end, attr_timeout has passed.
 *
 * The forms of a file, as it came and rendered for people, are sources with versions and sizes of
 * their own; all come from one fetch.
 *
 * Locks: the lock of a collection is never held across a call that may block; of the store's only
 * store_has is called with it. Thread safety: every function but open and close may be called from
 * any thread.
 */
#ifndef CANISTERFS_FS_CHUNKS_H
#define CANISTERFS_FS_CHUNKS_H

#include "cache/source.h"
#include "cache/store.h"
#include "fs/ahead.h"
#include "fs/backup_version.h"
#include "fs/items.h"
#include "fs/lease.h"
#include "fs/render.h"
#include "fs/seen.h"

/* What the collections of a mount share; borrowed until all are closed. */
struct fs_chunks_shared {
    const struct fs_target *target;
    struct store *store;
    struct fs_seen *seen;
    struct fs_ahead *ahead; /* its tasks are fs_chunks_run_ahead */
    struct fs_backup_version *version;
    const struct ic_candid_names *names; /* may be NULL */
    struct fs_turn *fetching;            /* long fetches */
    struct fs_turn *rendering;
    uint64_t chunk_items;
    int64_t attr_timeout_ns;
    int64_t chunk_timeout_ns;
    struct fs_lease *lease; /* held while items are asked for; NULL: none */
    /* Queries that may run at once now. */
    unsigned (*max_inflight)(void *arg);
    /* A collection is being listed. May block on the network. */
    void (*listed)(void *arg, const struct source_io *io);
    void *arg;
};

struct fs_chunks;

/* collection  borrowed. Returns 0 or -errno. No I/O. */
int fs_chunks_open(struct fs_chunks **out, const struct fs_chunks_shared *shared,
                   const struct fs_collection *collection)
    __attribute__((warn_unused_result, nonnull));

/* Every source must have been closed, and nothing run ahead any more. NULL is fine. */
void fs_chunks_close(struct fs_chunks *chunks);

/* The number of files now: what a listing begins with. What was fetched before is asked for anew
 * from here on (at most once in attr_timeout). Returns 0 or -errno, logged. */
int fs_chunks_list(struct fs_chunks *chunks, const struct source_io *io, uint64_t *out)
    __attribute__((warn_unused_result, nonnull));

#define FS_CHUNK_NAME_MAX 64

/* The name of a file: "0000001000.candid", "all.json". Any index. */
void fs_chunks_name(const struct fs_chunks *chunks, uint64_t index, enum fs_form form,
                    char name[FS_CHUNK_NAME_MAX]) __attribute__((nonnull));

/* The index that a name of that form stands for; -ENOENT: none. */
int fs_chunks_find(const struct fs_chunks *chunks, const char *name, enum fs_form form,
                   uint64_t *out) __attribute__((warn_unused_result, nonnull));

/* One form of a file as a source; its stat says -ENOENT when there is no such file (any more). */
int fs_chunks_open_source(struct fs_chunks *chunks, uint64_t index, enum fs_form form,
                          struct source **out) __attribute__((warn_unused_result, nonnull));

/* An fs_ahead_fn: fetch a file that will be wanted; owner is the struct fs_chunks. */
void fs_chunks_run_ahead(void *owner, uint64_t index, const atomic_bool *cancel);

/* SHA-256 of what the canister gives for a file, raw, when it is asked now. Returns 0 or -errno,
 * logged; -ENOENT: there is no such file. Blocks on the network. */
int fs_chunks_get_hash(struct fs_chunks *chunks, uint64_t index, const struct source_io *io,
                       uint8_t out[FS_SEEN_HASH]) __attribute__((warn_unused_result, nonnull));

/* The same, certified: neither a node that lags behind nor a version that did not move when the
 * content did can have it older than the call. One update or more, nothing is kept. */
int fs_chunks_get_certified_hash(struct fs_chunks *chunks, uint64_t index,
                                 const struct source_io *io, uint8_t out[FS_SEEN_HASH])
    __attribute__((warn_unused_result, nonnull));

/* The canister may hold something else from now on. */
void fs_chunks_outdate(struct fs_chunks *chunks) __attribute__((nonnull));

#define FS_CHUNKS_FAILURES 8

/* A file that could not be had when it was last asked for. */
struct fs_chunk_failure {
    uint64_t index;
    int result;        /* -errno; 0: no entry */
    char message[300]; /* in words */
};

struct fs_chunks_info {
    const struct fs_collection *collection;
    bool is_known;  /* the total was told */
    uint64_t total; /* items (ITEMS) or files */
    uint64_t n_files;
    uint64_t per_file;  /* items, or bytes */
    char problem[300];  /* why the total could not be told when last asked for; "" */
    uint64_t n_fetched; /* files */
    uint64_t n_same;    /* of them: content that was known */
    struct fs_items_stats calls;
    struct fs_chunk_failure failures[FS_CHUNKS_FAILURES];
};

void fs_chunks_describe(struct fs_chunks *chunks, struct fs_chunks_info *out)
    __attribute__((nonnull));

#endif
