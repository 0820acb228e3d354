/* Shared by the files of chunks: a collection and its chunks. Private to fs/chunk*.c. */
#ifndef CANISTERFS_FS_CHUNKS_IMPL_H
#define CANISTERFS_FS_CHUNKS_IMPL_H

#include "fs/chunks.h"
#include "ic/sha.h"

#include <pthread.h>

/* Indices are spread evenly as they are. */
#define HASH_FUNCTION(key, len, out) ((out) = (unsigned)*(const uint64_t *)(key))
#define HASH_NONFATAL_OOM            1
#include <uthash.h>

/* One form of a chunk, of its present content. */
struct chunk_form {
    uint64_t object; /* in the store; 0: not made yet */
    uint64_t size;   /* bytes, when made */
    bool was_read;   /* to its end, so that the kernel may have it, too */
};

/* A file of a collection. Guarded by the collection's lock. */
struct chunk {
    UT_hash_handle hh;
    uint64_t index;
    bool is_busy;           /* somebody fetches or renders it */
    unsigned n_turns;       /* how often that ended */
    int last_result;        /* of the last one that ended */
    enum fs_form last_form; /* what that is about: RAW is about all forms */
    pthread_cond_t settled; /* is_busy became false */

    uint64_t serial; /* of the content; 0: never fetched */
    uint8_t hash[FS_SEEN_HASH];
    int64_t mtime_ns;
    int64_t fetched_ns; /* when the fetch began, monotonic */
    int64_t wanted_ns;  /* when somebody first asked for what it brought; 0: nobody yet */
    uint64_t version;   /* the canister's, then; 0 when it tells none */
    struct chunk_form forms[FS_N_FORMS];

    int failure; /* of the last one that was about more than its caller; 0 */
    enum fs_form failed_form;
    int64_t failed_ns;
};

struct fs_chunks {
    const struct fs_chunks_shared *shared;
    const struct fs_collection *collection;
    struct fs_items items;

    pthread_mutex_t lock;
    struct chunk *table; /* guarded by lock, as all below */
    uint64_t total;
    int64_t total_asked_ns; /* 0: never */
    int64_t outdated_ns;    /* what was asked before is too old */
    int64_t listed_ns;      /* what was fetched before is to be fetched anew */
    uint64_t file_size;     /* bytes, as of late; 0: not known */
    unsigned run;           /* files asked for in order */
    uint64_t expected;      /* the next one in that order */
    uint64_t ahead_end;     /* up to which they were put ahead */
    uint64_t n_fetched;
    uint64_t n_same;
    char problem[300];
    struct fs_chunk_failure failures[FS_CHUNKS_FAILURES];
};

/* The grid: number that one file's name is more than the one's before. */
uint64_t chunks_step(const struct fs_chunks *chunks);

int chunks_total(struct fs_chunks *chunks, int64_t since_ns, const struct ic_io *io, uint64_t *out,
                 struct ic_error *err);
int64_t chunks_since(struct fs_chunks *chunks, int64_t timeout_ns);
/* What is asked for between these two is of one state, as far as the canister's lease goes. Returns
 * 0 or -errno with err filled; then nothing is to be released. */
int chunks_hold(const struct fs_chunks *chunks, const struct ic_io *io, struct ic_error *err)
    __attribute__((warn_unused_result));
void chunks_release(const struct fs_chunks *chunks);

void chunks_log(const struct fs_chunks *chunks, const char *what, const struct ic_error *err);
void chunks_foresee(struct fs_chunks *chunks, uint64_t index);

/* What a chunk is now. */
struct chunk_state {
    uint64_t serial;
    uint64_t size; /* of the form */
    int64_t mtime_ns;
    uint64_t object; /* of the form */
    uint8_t hash[FS_SEEN_HASH];
};

/* See to it that what is known of a form of a chunk is current, by fetching and rendering it where
 * it is not.
 *
 * wants_bytes  also that the store has it
 * since_ns     monotonic; what was asked before that is too old, whatever the rules are; 0: by them
 *
 * Returns 0 or -errno, logged; -ENOENT: there is no such file. */
int chunk_refresh(struct fs_chunks *chunks, uint64_t index, enum fs_form form, bool wants_bytes,
                  int64_t since_ns, const struct ic_io *io, struct chunk_state *out);

#endif
