/* See stable.h for versions and consistency.
 *
 * lock guards the table of versions; it is not held across a query. Lock order: a leaf.
 */
#include "fs/stable.h"

#include "cache/cache.h"
#include "fs/limit.h"
#include "ic/wait.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Just under 3 MiB of reply, in whole blocks; the Candid around the blob takes some bytes. */
#define REPLY_BYTES_MAX (47 * CACHE_BLOCK_SIZE)

#define PREFERRED_IO ((size_t)1 << 20)

/* Versions remembered: more than nodes of a subnet can disagree on at a time. */
#define N_VERSIONS 16

/* A node may lag behind the one that told the version: ask this often, with growing pauses. */
#define LAG_TRIES    5
#define LAG_PAUSE_NS 100000000
#define LAG_MAX_NS   INT64_C(5000000000) /* no node of a subnet lags behind for longer */

#define SECOND_NS  INT64_C(1000000000)
#define RECHECK_NS SECOND_NS

struct version {
    uint64_t number; /* the canister's */
    uint64_t size;
    uint64_t serial; /* ours; 0: unused slot */
    int64_t mtime_ns;
};

struct fs_stable {
    struct source source;            /* first */
    const struct fs_target *target;  /* immutable */
    struct fs_memory memory;         /* immutable */
    enum fs_consistency consistency; /* immutable */
    struct fs_limit limit;           /* RANGE: how much one call may ask for */
    atomic_size_t most_sent;         /* FROM: the longest reply, which the canister decides */

    pthread_mutex_t lock;
    bool is_there;                       /* guarded by lock */
    struct version versions[N_VERSIONS]; /* guarded by lock: a ring by serial */
    uint64_t last_serial;                /* guarded by lock */
    int64_t last_mtime_ns;               /* guarded by lock: of that version, as shown */
    int64_t last_serial_at_ns;           /* guarded by lock: monotonic, when it was given out */
    struct version latest;               /* guarded by lock: what the last stat said */
    int64_t latest_at_ns;                /* guarded by lock: monotonic, when it said so */
    struct fs_stable_cost cost;          /* guarded by lock */
};

static struct fs_stable *stable_of(struct source *source)
{
    return (struct fs_stable *)source;
}

static int64_t clock_ns(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static struct ic_io io_from(const struct source_io *io)
{
    struct ic_io ic_io = fs_target_io_from(io->deadline_ns, io->cancel);
    ic_io.is_ahead = io->is_ahead;
    return ic_io;
}

/* Log why a call failed, unless the caller itself gave it up. */
static void log_failure(const struct fs_stable *stable, const char *method, uint64_t off,
                        size_t len, const struct ic_error *err)
{
    if (err->code == IC_E_CANCELLED)
        return;
    char cause[160]; /* the range, and what differs from node to node, is not part of it */
    snprintf(cause, sizeof(cause), "%.64s %d %s %d", method, (int)err->code, err->error_code,
             err->http_status);
    if (len > 0)
        fs_log_print_about(stable->target->log, FS_LOG_ERROR, cause, "%s of %zu bytes at %llu: %s",
                           method, len, (unsigned long long)off, err->message);
    else
        fs_log_print_about(stable->target->log, FS_LOG_ERROR, cause, "%s: %s", method,
                           err->message);
}

/* The mtime of a new version, of which the canister told `told_ns` (0: nothing). rsync compares
 * whole seconds, and would take a version of the same second and size for the one it has: each
 * version that is seen gets a second of its own. */
static int64_t next_mtime(const struct fs_stable *stable, int64_t told_ns)
{
    int64_t mtime_ns = told_ns != 0 ? told_ns : clock_ns(CLOCK_REALTIME);
    int64_t last_s = stable->last_mtime_ns / SECOND_NS;
    bool is_taken = stable->last_serial != 0 && mtime_ns / SECOND_NS <= last_s;
    return is_taken ? (last_s + 1) * SECOND_NS : mtime_ns;
}

/* Give what the canister said its serial: the one it had before, or the next. */
static void number_version_locked(struct fs_stable *stable, struct version *version)
{
    if (fs_memory_has_version(&stable->memory)) {
        for (size_t i = 0; i < N_VERSIONS; i++) {
            const struct version *known = &stable->versions[i];
            if (known->serial != 0 && known->number == version->number &&
                known->size == version->size) {
                *version = *known;
                return;
            }
        }
    }
    version->serial = ++stable->last_serial;
    stable->last_serial_at_ns = clock_ns(CLOCK_MONOTONIC);
    /* Without a version the size alone tells that something changed. */
    bool looks_same = !fs_memory_has_version(&stable->memory) && stable->latest.serial != 0 &&
                      stable->latest.size == version->size;
    if (looks_same)
        version->mtime_ns = stable->latest.mtime_ns;
    else
        version->mtime_ns = next_mtime(stable, version->mtime_ns);
    stable->last_mtime_ns = version->mtime_ns;
    stable->versions[version->serial % N_VERSIONS] = *version;
}

static int refresh(struct fs_stable *stable, const struct ic_io *io, struct version *out,
                   struct ic_error *err)
{
    struct fs_memory_state state = {0};
    pthread_mutex_lock(&stable->lock);
    uint64_t hint = stable->latest.size;
    pthread_mutex_unlock(&stable->lock);
    int result = fs_memory_stat(&stable->memory, stable->target, hint, io, &state, err);
    if (result < 0)
        return result;
    struct version version = {
        .number = state.version, .size = state.size, .mtime_ns = state.mtime_ns};
    pthread_mutex_lock(&stable->lock);
    number_version_locked(stable, &version);
    stable->latest = version;
    stable->latest_at_ns = clock_ns(CLOCK_MONOTONIC);
    stable->is_there |= version.size > 0;
    pthread_mutex_unlock(&stable->lock);
    *out = version;
    return 0;
}

/* The most that one call is asked for now. */
static size_t stable_max_io(struct source *source)
{
    struct fs_stable *stable = stable_of(source);
    switch (stable->memory.style) {
    case FS_MEMORY_PAGE:
        return (size_t)stable->memory.page_size;
    case FS_MEMORY_FROM: {
        size_t sent = atomic_load_explicit(&stable->most_sent, memory_order_relaxed);
        return sent > CACHE_BLOCK_SIZE ? sent / CACHE_BLOCK_SIZE * CACHE_BLOCK_SIZE
                                       : CACHE_BLOCK_SIZE;
    }
    case FS_MEMORY_RANGE:
        break;
    }
    return fs_limit_get(&stable->limit);
}

/* Sleep, but not past the deadline. */
static int pause_for(int64_t ns, const struct ic_io *io, struct ic_error *err)
{
    int64_t until = clock_ns(CLOCK_MONOTONIC) + ns;
    if (until > io->deadline_ns)
        return ic_fail(err, IC_E_TIMEOUT, "waiting for nodes that lag behind");
    while (clock_ns(CLOCK_MONOTONIC) < until) {
        if (io->cancel && atomic_load_explicit(io->cancel, memory_order_acquire))
            return ic_fail(err, IC_E_CANCELLED, "waiting for nodes that lag behind");
        const struct timespec slice = {.tv_nsec = 20000000};
        nanosleep(&slice, NULL);
    }
    return 0;
}

/* Ask, and again when a node answers with an older version than another told a moment ago: a file
 * must not seem to go back in time because its questions reach different nodes. A canister that
 * really went back (a snapshot was loaded) is believed after some tries. */
static int refresh_forward(struct fs_stable *stable, const struct ic_io *io, struct version *out,
                           struct ic_error *err)
{
    for (unsigned n_tries = 1;; n_tries++) {
        int result = refresh(stable, io, out, err);
        if (result < 0)
            return result;
        pthread_mutex_lock(&stable->lock);
        bool is_older = out->serial < stable->last_serial &&
                        clock_ns(CLOCK_MONOTONIC) - stable->last_serial_at_ns < LAG_MAX_NS;
        pthread_mutex_unlock(&stable->lock);
        if (!is_older || n_tries >= LAG_TRIES)
            return 0;
        result = pause_for((int64_t)n_tries * LAG_PAUSE_NS, io, err);
        if (result < 0)
            return result;
    }
}

static int stable_stat(struct source *source, const struct source_io *io, struct source_stat *out)
{
    struct fs_stable *stable = stable_of(source);
    struct ic_io ic_io = io_from(io);
    struct ic_error err = {0};
    struct version version = {0};
    int result = refresh_forward(stable, &ic_io, &version, &err);
    if (result < 0) {
        log_failure(stable, "asking for the size", 0, 0, &err);
        return result;
    }
    pthread_mutex_lock(&stable->lock);
    bool is_there = stable->is_there;
    pthread_mutex_unlock(&stable->lock);
    if (!is_there)
        return -ENOENT;
    *out = (struct source_stat){
        .size = version.size,
        .version = version.serial,
        .mtime_ns = version.mtime_ns,
        .max_io = stable_max_io(source),
        .preferred_io = PREFERRED_IO,
        .versioned = fs_memory_has_version(&stable->memory),
    };
    return 0;
}

/* The canister's number of a serial; false when it is too old to be remembered. Live memory has no
 * numbers: there a serial only tells one open from the next. */
static bool find_version(struct fs_stable *stable, uint64_t serial, struct version *out)
{
    if (!fs_memory_has_version(&stable->memory)) {
        *out = (struct version){.serial = serial};
        return true;
    }
    pthread_mutex_lock(&stable->lock);
    *out = stable->versions[serial % N_VERSIONS];
    pthread_mutex_unlock(&stable->lock);
    return out->serial == serial;
}

uint64_t fs_stable_number(struct fs_stable *stable, uint64_t serial)
{
    struct version version;
    return find_version(stable, serial, &version) ? version.number : 0;
}

/* Has the canister moved on from a version (-ESTALE), or do only some nodes lag behind (0: ask
 * again)? A serial that is not larger is an older answer: nodes execute the same updates, at
 * different times. */
static int judge_stale(struct fs_stable *stable, const struct version *version, unsigned n_tries,
                       const struct ic_io *io, struct ic_error *err)
{
    struct version now = {0};
    int result = refresh(stable, io, &now, err);
    if (result < 0)
        return result;
    if (now.serial > version->serial || n_tries >= LAG_TRIES) {
        fs_log_print_about(stable->target->log, FS_LOG_WARNING, "changed while read",
                           "the canister changed while it was read: version %llu is now %llu",
                           (unsigned long long)version->number, (unsigned long long)now.number);
        return -ESTALE;
    }
    return pause_for((int64_t)n_tries * LAG_PAUSE_NS, io, err);
}

/* Learn from a call that succeeded. */
static void learn(struct fs_stable *stable, const struct fs_memory_got *got)
{
    if (got->sent > atomic_load_explicit(&stable->most_sent, memory_order_relaxed))
        atomic_store_explicit(&stable->most_sent, got->sent, memory_order_relaxed);
    if (got->instructions == 0)
        return;
    pthread_mutex_lock(&stable->lock);
    struct fs_stable_cost *cost = &stable->cost;
    cost->n_calls++;
    cost->sum += got->instructions;
    if (got->instructions > cost->most)
        cost->most = got->instructions;
    pthread_mutex_unlock(&stable->lock);
}

/* One call for at most *len bytes; where the caller names the length, not for more than can be
 * hoped for. *len becomes the length that it was for, after a refusal of that length the next to
 * try, 0 when there is none. */
static int call_once(struct fs_stable *stable, const struct version *version, uint64_t off,
                     size_t *len, const struct fs_memory_dest *dest, const struct ic_io *io,
                     struct fs_memory_got *got, struct ic_error *err)
{
    struct fs_limit_call call = {.len = *len};
    bool is_limited = stable->memory.style == FS_MEMORY_RANGE;
    int result = is_limited ? fs_limit_begin(&stable->limit, *len, io, &call) : 0;
    if (result < 0)
        return ic_wait_fail(err, result, "waiting for how long a reply may be");
    struct ic_io sized = *io;
    sized.is_large = call.len >= IC_IO_LARGE;
    result = fs_memory_read(&stable->memory, stable->target, version->number, off, call.len, dest,
                            &sized, got, err);
    if (is_limited) {
        bool is_too_much = result < 0 && result != -ESTALE && ic_error_is_limit(err);
        call.len = fs_limit_end(&stable->limit, &call,
                                result == 0   ? FS_LIMIT_GOOD
                                : is_too_much ? FS_LIMIT_TOO_MUCH
                                              : FS_LIMIT_UNKNOWN);
    }
    *len = call.len;
    return result;
}

/* Read one piece, however many calls it takes: halve when the canister says it was too much, ask
 * again when a node lags behind. *len shrinks to what was read. */
static int read_piece(struct fs_stable *stable, const struct version *version, uint64_t off,
                      size_t *len, const struct fs_memory_dest *dest, const struct ic_io *io,
                      struct ic_error *err)
{
    for (unsigned n_stale = 0;;) {
        struct fs_memory_got got = {0};
        size_t asked = *len;
        int result = call_once(stable, version, off, &asked, dest, io, &got, err);
        if (result == 0) {
            learn(stable, &got);
            *len = got.len;
            return 0;
        }
        if (result == -ESTALE)
            result = judge_stale(stable, version, ++n_stale, io, err);
        else if (ic_error_is_limit(err) && stable->memory.style == FS_MEMORY_RANGE && asked > 0)
            *len = asked, result = 0;
        if (result < 0)
            return result;
    }
}

/* Best effort only: ask for the version again when the last answer is old. */
static int recheck(struct fs_stable *stable, const struct version *version, const struct ic_io *io,
                   struct ic_error *err)
{
    if (stable->consistency != FS_CONSISTENCY_BEST_EFFORT)
        return 0;
    pthread_mutex_lock(&stable->lock);
    bool is_recent = clock_ns(CLOCK_MONOTONIC) - stable->latest_at_ns < RECHECK_NS &&
                     stable->latest.serial == version->serial;
    pthread_mutex_unlock(&stable->lock);
    if (is_recent)
        return 0;
    struct version now = {0};
    for (unsigned n_tries = 1;; n_tries++) {
        int result = refresh(stable, io, &now, err);
        if (result < 0 || now.serial == version->serial)
            return result;
        result = judge_stale(stable, version, n_tries, io, err);
        if (result < 0)
            return result;
    }
}

static int stable_readv(struct source *source, uint64_t serial, uint64_t off,
                        const struct iovec *iov, int n_iov, const struct source_io *io)
{
    struct fs_stable *stable = stable_of(source);
    struct version version = {0};
    if (!find_version(stable, serial, &version))
        return -ESTALE;
    struct ic_io ic_io = io_from(io);
    struct ic_error err = {0};
    size_t total = source_iov_size(iov, n_iov);
    size_t pos = 0;
    int result = 0;
    size_t len = 0;
    while (result == 0 && pos < total) {
        size_t limit = stable_max_io(source);
        /* The limit has shrunk since: what is fetched ahead is better hinted anew, in pieces that
         * many calls fetch at once, than fetched here, one after the other. */
        if (io->is_ahead && total - pos > 2 * limit)
            return -EIO;
        const struct fs_memory_dest dest = {iov, n_iov, pos};
        len = total - pos < limit ? total - pos : limit;
        result = read_piece(stable, &version, off + pos, &len, &dest, &ic_io, &err);
        if (result == 0)
            pos += len;
    }
    if (result == 0)
        result = recheck(stable, &version, &ic_io, &err);
    if (result < 0 && result != -ESTALE)
        log_failure(stable, "reading stable memory", off + pos, len, &err);
    return result;
}

static void stable_close(struct source *source)
{
    struct fs_stable *stable = stable_of(source);
    fs_limit_fini(&stable->limit);
    pthread_mutex_destroy(&stable->lock);
    free(stable);
}

static const struct source_ops stable_ops = {
    .stat = stable_stat,
    .readv = stable_readv,
    .max_io = stable_max_io,
    .close = stable_close,
};

int fs_stable_open(struct source **out, struct fs_stable **ret_stable,
                   const struct fs_target *target, const struct fs_memory *memory)
{
    struct fs_stable *stable = calloc(1, sizeof(*stable));
    if (!stable)
        return -ENOMEM;
    source_init(&stable->source, &stable_ops);
    stable->target = target;
    stable->memory = *memory;
    stable->consistency = !fs_memory_has_version(memory) ? FS_CONSISTENCY_LIVE
                          : fs_memory_proves(memory)     ? FS_CONSISTENCY_PROVEN
                                                         : FS_CONSISTENCY_BEST_EFFORT;
    atomic_init(&stable->most_sent, 0);
    int result = fs_limit_init(&stable->limit, REPLY_BYTES_MAX);
    if (result < 0) {
        free(stable);
        return result;
    }
    pthread_mutex_init(&stable->lock, NULL);
    stable->is_there = !memory->was_empty;
    *out = &stable->source;
    *ret_stable = stable;
    return 0;
}

void fs_stable_describe(struct fs_stable *stable, struct fs_stable_info *out)
{
    pthread_mutex_lock(&stable->lock);
    *out = (struct fs_stable_info){
        .is_there = stable->is_there,
        .is_known = stable->latest.serial != 0,
        .consistency = stable->consistency,
        .size = stable->latest.size,
        .version = stable->latest.number,
        .cost = stable->cost,
    };
    pthread_mutex_unlock(&stable->lock);
    out->reply_bytes = stable_max_io(&stable->source);
    out->n_shrunk = fs_limit_shrunk(&stable->limit);
}
