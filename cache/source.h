/* A source: a named range of bytes with a version, read in blocks, possibly far away.
 *
 * Every layer that yields file content speaks this interface: adapters over the network, the cached
 * source, fakes in tests. A layer implements struct source_ops; nobody calls the table directly,
 * all calls go through the source_* functions (the dispatcher), which assert what callers pass,
 * check what implementations return, supply defaults for what is not offered, and count.
 *
 * A *version* is a serial >= 1 that moves whenever the content changed or may have changed. Callers
 * pin the version they got from source_stat at open and pass it to every read; bytes of two
 * versions are never mixed: when a source can no longer give the bytes of a version it says
 * -ESTALE.
 *
 * Errors are 0 or a negative errno, one of:
 *   -ETIMEDOUT deadline passed           -EACCES    not authorised
 *   -EINTR     cancel flag was set       -ENOENT    no such object
 *   -ESTALE    no longer at that version -EPROTO    malformed reply
 *   -EHOSTUNREACH no connection          -EBADMSG   a signature does not verify
 *   -ENOMEM    out of memory             -EIO       anything else
 * and what else the errno table of the program names. Never -EAGAIN, never -ENOSYS, and -EINTR only
 * when the caller's cancel flag was set: the dispatcher turns those into -EIO.
 *
 * Locks: every function but source_init, source_max_io, source_prefetch and source_get_stats may
 * block for a long time and must be called with no lock held.
 */
#ifndef CANISTERFS_CACHE_SOURCE_H
#define CANISTERFS_CACHE_SOURCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct source;

/* How long a call may take and how it is called off. Borrowed for the call. */
struct source_io {
    int64_t deadline_ns;       /* CLOCK_MONOTONIC; always finite */
    const atomic_bool *cancel; /* set by anybody, noticed within 50 ms; NULL: cannot be cancelled */
    bool is_ahead;             /* prefetch: what a reader waits for may overtake it */
};

struct source_stat {
    uint64_t size;    /* bytes, of this version */
    uint64_t version; /* serial, >= 1 */
    int64_t mtime_ns; /* wall clock, nanoseconds since 1970; a function of the version */
    size_t max_io;    /* largest read that one remote call carries now, bytes; 0 = no preference */
    unsigned max_inflight; /* not 0: calls take their time however little they bring, and no more of
                              one reader should run at once; 0 = as many as the program runs */
    size_t preferred_io;   /* what tools should read at a time (st_blksize), bytes; never 0 */
    bool versioned;        /* false: "live, unversioned": the version moves at every open */
    bool immutable;        /* true: the content never changes */
};

/* What a source implements; NULL means "not offered" where the comment allows it. The arguments
 * were checked by the dispatcher. Any number of calls run concurrently, except close, which runs
 * alone and last. */
struct source_ops {
    /* Fill *out. Answer from memory when the answer is known to be current. */
    int (*stat)(struct source *source, const struct source_io *io, struct source_stat *out);

    /* Fill the whole list of buffers, in order, with the bytes at off; whole or error, never short.
     * The range lies within the size of that version. Any length is allowed: max_io is a wish, and
     * a source whose remote calls carry less makes several. The buffers of a failed read may hold
     * anything. */
    int (*readv)(struct source *source, uint64_t version, uint64_t off, const struct iovec *iov,
                 int n_iov, const struct source_io *io);

    /* Hint: these bytes will be read soon; fetch them in loads of at most `load` bytes. Never
     * blocks. May be NULL (then hints are ignored). */
    void (*prefetch)(struct source *source, uint64_t version, uint64_t off, uint64_t len,
                     size_t load);

    /* Is the byte at off kept here, or on its way? Never blocks. NULL: nothing is kept. */
    bool (*has)(struct source *source, uint64_t version, uint64_t off);

    /* The present max_io, from memory; never blocks. May be NULL (then that of the last stat). */
    size_t (*max_io)(struct source *source);

    /* Release everything, `source` itself included. */
    void (*close)(struct source *source);
};

/* The embedded first member of every source. Whoever opens a source owns it, until source_close or
 * until a wrapping source takes it. */
struct source {
    const struct source_ops *ops; /* immutable after source_init */
    _Atomic size_t last_max_io;   /* atomic: of the last stat */
    _Atomic uint64_t n_stats;     /* atomic, as are all counters */
    _Atomic uint64_t n_reads;
    _Atomic uint64_t n_read_bytes; /* of successful reads */
    _Atomic uint64_t n_prefetches;
    _Atomic uint64_t n_errors; /* failed stats and reads */
};

struct source_stats {
    uint64_t n_stats;
    uint64_t n_reads;
    uint64_t n_read_bytes;
    uint64_t n_prefetches;
    uint64_t n_errors;
};

/* For implementations: fill the embedded part. ops is borrowed for good (const data). */
void source_init(struct source *source, const struct source_ops *ops) __attribute__((nonnull));

/* Ask for size, version and wishes.
 *
 * io      deadline and cancel flag
 * out     fills; untouched on failure
 *
 * Returns 0 or an errno of the list above; -ETIMEDOUT or -EINTR at once when the deadline has
 * passed or the flag is set already. Thread safety: any number of concurrent calls. Blocks: yes,
 * until the deadline at most.
 */
int source_stat(struct source *source, const struct source_io *io, struct source_stat *out)
    __attribute__((nonnull, warn_unused_result));

/* Read a byte range into one buffer, whole or error.
 *
 * version version serial pinned by the caller at open
 * off,len bytes; len >= 1; off + len must not exceed the size of that version
 * buf     fills exactly len bytes; undefined on failure
 *
 * Returns, thread safety, blocks: as source_stat; also -ESTALE.
 */
int source_read(struct source *source, uint64_t version, uint64_t off, void *buf, size_t len,
                const struct source_io *io) __attribute__((nonnull, warn_unused_result));

/* The same into a list of buffers (1 to 1024, each of at least one byte). */
int source_readv(struct source *source, uint64_t version, uint64_t off, const struct iovec *iov,
                 int n_iov, const struct source_io *io)
    __attribute__((nonnull, warn_unused_result));

/* Hint that [off, off + len) will be read soon; a source that cannot keep bytes ignores it.
 *
 * off,len bytes; a range beyond the end of the file is clipped
 * load    bytes that one load should fetch, >= 1
 *
 * Thread safety: any. Blocks: never. Errors: none; a prefetch that fails is simply not there.
 */
void source_prefetch(struct source *source, uint64_t version, uint64_t off, uint64_t len,
                     size_t load) __attribute__((nonnull));

/* Is the byte at off kept, or on its way? False after a hint was refused, its load failed, or what
 * it brought was evicted. Thread safety: any. Never blocks. */
bool source_has(struct source *source, uint64_t version, uint64_t off) __attribute__((nonnull));

/* The largest read that one remote call carries now, bytes; 0 = no preference. Never blocks. */
size_t source_max_io(struct source *source) __attribute__((nonnull));

/* Close and free, wrapped sources included. NULL is fine. No call on the source may be running. */
void source_close(struct source *source);

void source_get_stats(struct source *source, struct source_stats *out) __attribute__((nonnull));

/* Helpers for implementations of readv. */

/* Sum of the lengths, bytes. */
size_t source_iov_size(const struct iovec *iov, int n_iov) __attribute__((nonnull));

/* Copy len bytes to position pos of the list taken as one buffer; pos + len must not exceed it. */
void source_iov_copy(const struct iovec *iov, int n_iov, size_t pos, const void *data, size_t len)
    __attribute__((nonnull));

#endif
