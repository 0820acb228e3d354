/* Whole objects: byte strings that were made in one go, such as a chunk of a backup or its
 * rendering, kept in memory up to a budget and beyond it in a spool file.
 *
 * An object is immutable and known by the number that store_put gave it. Objects that were read or
 * put longest ago go first: out of memory into the spool, and of those in the spool for good. One
 * that is read stays where it is. Whoever wants one that is gone makes it anew and puts it again.
 *
 * The spool is one file without a name (O_TMPFILE, or unlinked at once) in the directory given, so
 * that nothing is left behind by a crash; what is dropped is given back to the disk (a hole is
 * punched; where that cannot be, all of the spool is dropped when it is full). A full or failing
 * disk is no error of anybody's: such objects are not kept, the warn function is told once, and the
 * next attempt is made ten seconds later. SIGXFSZ must be ignored, for a limit on the size of files
 * to be such an error.
 *
 * Neither budget is ever exceeded. That of memory covers what is not seen, too: 144 bytes for each
 * object, wherever its bytes are; that of the spool covers whole disk blocks. Not covered is an
 * object that store_put was given and has no room for yet.
 *
 * Thread safety: any function but store_open and store_close may be called from any thread. The
 * lock is not held while a file is read or written.
 */
#ifndef CANISTERFS_CACHE_STORE_H
#define CANISTERFS_CACHE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct store;

struct store_config {
    size_t memory;       /* bytes to take of it, at least those of one empty object; 0 = 64 MiB */
    const char *dir;     /* of the spool file; NULL: none; borrowed during store_open only */
    uint64_t spool_size; /* bytes to take there; 0 = 1 GiB */
    /* Told in one line when the spool cannot be written or read, the first time; in whatever thread
     * met it, with no lock held. May be NULL. */
    void (*warn)(void *arg, const char *line);
    void *warn_arg;
};

struct store_stats {
    uint64_t memory;       /* bytes in memory now, what is not seen included */
    uint64_t spooled;      /* bytes of the disk that the spool has now */
    uint64_t n_objects;    /* kept now, wherever */
    uint64_t n_hits;       /* reads that found their object */
    uint64_t n_misses;     /* reads that did not */
    uint64_t n_evicted;    /* objects dropped for room */
    uint64_t n_spool_fail; /* objects dropped because the spool could not take or give them */
};

/* Open a store. Returns 0, -ENOMEM, or what opening a file in dir came to (-ENOENT, -EACCES, ...).
 */
int store_open(struct store **out, const struct store_config *config)
    __attribute__((nonnull, warn_unused_result));

/* Drops everything. NULL is fine. No other call may be running. */
void store_close(struct store *store);

/* The longest object that store_put keeps for certain (but for want of memory), at least until
 * another one is put: the memory budget without what an empty object takes. */
size_t store_object_max(const struct store *store) __attribute__((nonnull));

/* Keep an object.
 *
 * bytes  takes, in any case: malloc'ed; NULL when len is 0
 * len    bytes; an object over store_object_max is not kept
 *
 * Returns its number, >= 1, never given twice. There are no errors: an object that could not be
 * kept is like one that was dropped for room. May block on the disk. */
uint64_t store_put(struct store *store, void *bytes, size_t len) __attribute__((nonnull(1)));

/* Copy bytes of an object into a list of buffers.
 *
 * off  the range lies within the object
 *
 * Returns 0 or -ENOENT: it is not kept (any more), or the spool could not be read. The buffers of a
 * failed read may hold anything. May block on the disk. */
int store_read(struct store *store, uint64_t object, uint64_t off, const struct iovec *iov,
               int n_iov) __attribute__((nonnull, warn_unused_result));

/* Is it kept? Counts as no use. */
bool store_has(struct store *store, uint64_t object) __attribute__((nonnull));

/* Not needed any more. An object that is not kept is fine. */
void store_drop(struct store *store, uint64_t object) __attribute__((nonnull));

void store_get_stats(struct store *store, struct store_stats *out) __attribute__((nonnull));

#endif
