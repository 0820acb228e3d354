/* Shared by the files of snapshots. Private to fs/snapshot*.c.
 *
 * Locks: the lock of the snapshots guards all of them; only that of fs_ahead is taken inside it,
 * and it is not held across a call, a read or a stat. Snapshots are made when they are first listed
 * and stay until the end: what is known of one is small, and its number is a part of inode numbers.
 */
#ifndef CANISTERFS_FS_SNAPSHOTS_IMPL_H
#define CANISTERFS_FS_SNAPSHOTS_IMPL_H

#include "cache/store.h"
#include "fs/ahead.h"
#include "fs/flight.h"
#include "fs/snapshots.h"
#include "fs/vmem.h"
#include "ic/wait.h"

#include <stdatomic.h>

/* What is in a snapshot's directory; also the index there. */
enum snapshot_part {
    SNAPSHOT_METADATA,
    SNAPSHOT_WASM_MODULE,
    SNAPSHOT_WASM_MEMORY,
    SNAPSHOT_STABLE_MEMORY,
    SNAPSHOT_CHUNK_STORE,
    SNAPSHOT_VMEM,
    SNAPSHOT_N_PARTS,
};

#define SNAPSHOT_N_BLOBS 3

/* What is done ahead for a snapshot: its metadata are learned, or the chunk of a number is fetched.
 */
#define SNAPSHOT_AHEAD_METADATA UINT64_MAX
#define SNAPSHOT_AHEAD_THREADS  8

/* A file of a chunk store. Guarded by the lock. */
struct snapshot_chunk {
    struct fs_flight fetching;
    uint64_t object; /* in the store; 0: not fetched yet */
    uint64_t size;   /* when it was */
};

struct snapshot {
    /* immutable */
    struct fs_snapshots *owner;
    struct ic_snapshot_id id;
    char name[2 * IC_SNAPSHOT_ID_MAX + 1];
    uint64_t index;
    int64_t taken_at_ns;
    uint64_t total_size;
    struct source *memory; /* what the tree sees of its stable memory ... */
    struct fs_vmem *vmem;  /* ... and what is in that */

    /* guarded by the owner's lock */
    bool is_there; /* by the last list, and nothing since says otherwise */
    struct fs_flight learning;
    bool is_known; /* then what follows is immutable: */
    struct ic_snapshot_metadata metadata;
    struct ic_buf json;
    struct snapshot_chunk *chunks; /* one for each of the metadata; these are not immutable */
    uint64_t n_chunks_ahead;       /* guarded: those before this one were fetched, or are ahead */

    atomic_bool is_copied; /* metadata.json was read, with which copies of the directory begin */

    struct source *blobs[SNAPSHOT_N_BLOBS]; /* guarded by the owner's lock: cached; NULL: not yet */
};

struct fs_snapshots {
    struct fs_snapshots_config config; /* immutable */
    struct store *store;               /* immutable: of chunks */
    pthread_cond_t settled;            /* some flight has ended */
    struct fs_ahead *ahead;            /* immutable: of tasks SNAPSHOT_AHEAD_ */

    pthread_mutex_t lock;
    struct snapshot **items; /* guarded by lock, as all below */
    size_t n_items;
    size_t n_room;
    struct snapshot *guess; /* was looked up, and may be in the next list; NULL: none */
    bool is_guessing;       /* its metadata are being asked for; it may be among the items by now */
    struct fs_flight listing;
    int64_t listed_ns;   /* when the last list was asked for, monotonic; 0: never */
    int64_t outdated_ns; /* one asked for before this is too old */
    char problem[300];
};

/* The words of cache/ in those of ic/. */
static inline struct ic_io snapshots_io(const struct source_io *io)
{
    struct ic_io ic_io = fs_target_io_from(io->deadline_ns, io->cancel);
    ic_io.is_ahead = io->is_ahead;
    return ic_io;
}

/* Log why something could not be had, unless the caller gave it up. */
void snapshots_log(const struct fs_snapshots *snapshots, const char *name, const char *what,
                   const struct ic_error *err);

/* --- snapshots.c --- */

/* See to it that the list is young enough. Returns 0 or -errno, logged. */
int snapshots_refresh(struct fs_snapshots *snapshots, const struct source_io *io);

/* The network says that it is not there. */
void snapshot_note_gone(struct snapshot *snapshot);

/* --- snapshot_dir.c: what is in a snapshot --- */

extern const struct fs_listing_ops snapshot_dir_ops; /* arg is the snapshot */

/* See to it that the metadata are known. Returns 0 or -errno, logged; -ENOENT: it was deleted. */
int snapshot_learn(struct snapshot *snapshot, const struct source_io *io);

/* The bytes of a part; 0 of a directory. The metadata are known. */
uint64_t snapshot_size_of(const struct snapshot *snapshot, enum snapshot_part part);

/* What is immutable of it is set. Returns 0 or -ENOMEM. */
int snapshot_open_vmem(struct snapshot *snapshot);

/* Also one that was only begun. */
void snapshot_free(struct snapshot *snapshot);

/* --- snapshot_source.c --- */

/* Whether a snapshot is there, its size and mtime. */
int snapshot_open_itself(struct snapshot *snapshot, struct source **out);

/* A part of it. */
int snapshot_open_part(struct snapshot *snapshot, enum snapshot_part part, struct source **out);

/* --- snapshot_chunk.c --- */

/* A file of its chunk store. */
int snapshot_open_chunk(struct snapshot *snapshot, uint64_t index, struct source **out);

/* See to it that its bytes are in the store. The metadata are known. */
void snapshot_fetch_chunk(struct snapshot *snapshot, uint64_t index, const struct source_io *io);

#endif
