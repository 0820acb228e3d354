/* See stable.h for versions and consistency.
 *
 * lock guards the table of versions; it is not held across a query. Lock order: a leaf.
 */
#include "fs/stable.h"

#include "cache/cache.h"
#include "fs/limit.h"
#include "fs/query.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
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

#define RECHECK_NS INT64_C(1000000000)

struct version {
    uint64_t number; /* the canister's */
    uint64_t size;
    uint64_t serial; /* ours; 0: unused slot */
    int64_t mtime_ns;
};

struct fs_stable {
    struct source source;            /* first */
    const struct fs_target *target;  /* immutable */
    enum fs_consistency consistency; /* immutable */
    bool has_version;                /* immutable: stable_version tells the size */
    struct fs_limit limit;

    pthread_mutex_t lock;
    struct version versions[N_VERSIONS]; /* guarded by lock: a ring by serial */
    uint64_t last_serial;                /* guarded by lock */
    struct version latest;               /* guarded by lock: what the last stat said */
    int64_t latest_at_ns;                /* guarded by lock: monotonic, when it said so */
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
    return fs_target_io_from(io->deadline_ns, io->cancel);
}

/* Log why a call failed, unless the caller itself gave it up. */
static void log_failure(const struct fs_stable *stable, const char *method, uint64_t off,
                        size_t len, const struct ic_error *err)
{
    if (err->code == IC_E_CANCELLED)
        return;
    if (len > 0)
        fs_log_print(stable->target->log, FS_LOG_ERROR, "%s of %zu bytes at %llu: %s", method, len,
                     (unsigned long long)off, err->message);
    else
        fs_log_print(stable->target->log, FS_LOG_ERROR, "%s: %s", method, err->message);
}

/* Ask the canister for (number, size, mtime). */
static int ask_version(const struct fs_stable *stable, const struct ic_io *io, struct version *out,
                       struct ic_error *err)
{
    const char *method = fs_method_name(stable->has_version ? FS_METHOD_VERSION : FS_METHOD_SIZE);
    struct fs_answer answer;
    int result = fs_query(stable->target, method, NULL, 0, io, &answer, err);
    if (result < 0)
        return result;
    struct version version = {0};
    uint64_t mtime_ns = 0;
    const struct ic_value *value = fs_answer_value(&answer, 0);
    if (!stable->has_version) {
        result = ic_value_nat64(value, &version.size);
    } else {
        result = ic_value_nat64(ic_value_field(value, "version"), &version.number);
        if (result == 0)
            result = ic_value_nat64(ic_value_field(value, "size"), &version.size);
        /* A canister that does not know the time of its last change may leave it out. */
        if (ic_value_nat64(ic_value_field(value, "mtime_ns"), &mtime_ns) < 0)
            mtime_ns = 0;
    }
    fs_answer_fini(&answer);
    if (result == 0 && version.size > INT64_MAX)
        result = -EPROTO;
    if (result < 0)
        return ic_fail(err, IC_E_MALFORMED, "%s: the reply is not a size of the convention",
                       method);
    version.mtime_ns = mtime_ns <= INT64_MAX ? (int64_t)mtime_ns : 0;
    *out = version;
    return 0;
}

/* Give what the canister said its serial: the one it had before, or the next. */
static void number_version_locked(struct fs_stable *stable, struct version *version)
{
    if (stable->has_version) {
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
    if (version->mtime_ns == 0)
        version->mtime_ns = clock_ns(CLOCK_REALTIME);
    stable->versions[version->serial % N_VERSIONS] = *version;
}

static int refresh(struct fs_stable *stable, const struct ic_io *io, struct version *out,
                   struct ic_error *err)
{
    struct version version = {0};
    int result = ask_version(stable, io, &version, err);
    if (result < 0)
        return result;
    pthread_mutex_lock(&stable->lock);
    number_version_locked(stable, &version);
    stable->latest = version;
    stable->latest_at_ns = clock_ns(CLOCK_MONOTONIC);
    pthread_mutex_unlock(&stable->lock);
    *out = version;
    return 0;
}

static int stable_stat(struct source *source, const struct source_io *io, struct source_stat *out)
{
    struct fs_stable *stable = stable_of(source);
    struct ic_io ic_io = io_from(io);
    struct ic_error err = {0};
    struct version version = {0};
    int result = refresh(stable, &ic_io, &version, &err);
    if (result < 0) {
        log_failure(stable,
                    fs_method_name(stable->has_version ? FS_METHOD_VERSION : FS_METHOD_SIZE), 0, 0,
                    &err);
        return result;
    }
    *out = (struct source_stat){
        .size = version.size,
        .version = version.serial,
        .mtime_ns = version.mtime_ns,
        .max_io = fs_limit_get(&stable->limit),
        .preferred_io = PREFERRED_IO,
        .versioned = stable->has_version,
    };
    return 0;
}

/* The canister's number of a serial; false when it is too old to be remembered. Live memory has no
 * numbers: there a serial only tells one open from the next. */
static bool find_version(struct fs_stable *stable, uint64_t serial, struct version *out)
{
    if (!stable->has_version) {
        *out = (struct version){.serial = serial};
        return true;
    }
    pthread_mutex_lock(&stable->lock);
    *out = stable->versions[serial % N_VERSIONS];
    pthread_mutex_unlock(&stable->lock);
    return out->serial == serial;
}

/* What a reply to stable_read_at or stable_read says. Fills blob and returns 0, or returns -ESTALE
 * (the node is at another version), or another -errno with err filled. */
static int judge_reply(const struct fs_stable *stable, const struct fs_answer *answer, size_t len,
                       struct ic_view *blob, struct ic_error *err)
{
    const struct ic_value *value = fs_answer_value(answer, 0);
    bool proves = stable->consistency == FS_CONSISTENCY_PROVEN;
    if (proves) {
        const struct ic_value *failure = ic_value_case(value, "err");
        if (ic_value_case(failure, "stale"))
            return -ESTALE;
        if (ic_value_case(failure, "denied"))
            return ic_fail(err, IC_E_DENIED, "the canister does not allow this identity to read");
        if (failure) {
            struct ic_view text = {0};
            if (ic_value_text(ic_value_case(failure, "other"), &text) < 0 &&
                ic_value_text(ic_value_case(failure, "busy"), &text) < 0 &&
                ic_value_text(ic_value_case(failure, "corrupt"), &text) < 0)
                text = ic_view("the read was refused", 20);
            return ic_fail(err, IC_E_REJECTED, "the canister answers: %.*s",
                           (int)(text.len < 300 ? text.len : 300), (const char *)text.bytes);
        }
        value = ic_value_case(value, "ok");
    }
    if (ic_value_blob(value, blob) < 0)
        return ic_fail(err, IC_E_MALFORMED, "the reply has another type than the convention's");
    if (blob->len != len)
        return ic_fail(err, IC_E_MALFORMED, "asked for %zu bytes, got %zu", len, blob->len);
    return 0;
}

/* One remote call for one piece, copied into the list at pos. */
static int read_once(struct fs_stable *stable, const struct version *version, uint64_t off,
                     size_t len, const struct iovec *iov, int n_iov, size_t pos,
                     const struct ic_io *io, struct ic_error *err)
{
    const struct ic_value args[] = {ic_nat64(version->number), ic_nat64(off), ic_nat64(len)};
    bool proves = stable->consistency == FS_CONSISTENCY_PROVEN;
    struct fs_answer answer;
    int result =
        fs_query(stable->target, fs_method_name(proves ? FS_METHOD_READ_AT : FS_METHOD_READ),
                 proves ? args : args + 1, proves ? 3 : 2, io, &answer, err);
    if (result < 0)
        return result;
    struct ic_view blob = {0};
    result = judge_reply(stable, &answer, len, &blob, err);
    assert(result < 0 || blob.bytes); /* len is at least 1 */
    if (result == 0)
        source_iov_copy(iov, n_iov, pos, blob.bytes, len);
    fs_answer_fini(&answer);
    return result;
}

/* Sleep, but not past the deadline; -EINTR when cancelled meanwhile. */
static int pause_for(int64_t ns, const struct ic_io *io)
{
    int64_t until = clock_ns(CLOCK_MONOTONIC) + ns;
    if (until > io->deadline_ns)
        return -ETIMEDOUT;
    while (clock_ns(CLOCK_MONOTONIC) < until) {
        if (io->cancel && atomic_load_explicit(io->cancel, memory_order_acquire))
            return -EINTR;
        const struct timespec slice = {.tv_nsec = 20000000};
        nanosleep(&slice, NULL);
    }
    return 0;
}

/* A node said that it is at another version: has the canister moved on (-ESTALE), or does only that
 * node lag behind (0: ask again)? */
static int judge_stale(struct fs_stable *stable, const struct version *version, unsigned n_tries,
                       const struct ic_io *io, struct ic_error *err)
{
    struct version now = {0};
    int result = refresh(stable, io, &now, err);
    if (result < 0)
        return result;
    if (now.serial != version->serial || n_tries >= LAG_TRIES)
        return -ESTALE;
    return pause_for((int64_t)n_tries * LAG_PAUSE_NS, io);
}

/* Read one piece, however many calls it takes: halve when the canister says it was too much, ask
 * again when a node lags behind. *len shrinks to what was read. */
static int read_piece(struct fs_stable *stable, const struct version *version, uint64_t off,
                      size_t *len, const struct iovec *iov, int n_iov, size_t pos,
                      const struct ic_io *io, struct ic_error *err)
{
    for (unsigned n_stale = 0;;) {
        int result = read_once(stable, version, off, *len, iov, n_iov, pos, io, err);
        if (result == 0) {
            fs_limit_succeeded(&stable->limit, *len);
            return 0;
        }
        if (result == -ESTALE) {
            result = judge_stale(stable, version, ++n_stale, io, err);
            if (result < 0)
                return result;
            continue;
        }
        if (!ic_error_is_limit(err))
            return result;
        size_t smaller = fs_limit_failed(&stable->limit, *len);
        if (smaller == 0)
            return result;
        *len = smaller;
    }
}

/* Best effort only: ask for the version again when the last answer is old. */
static int recheck(struct fs_stable *stable, const struct version *version, const struct ic_io *io,
                   struct ic_error *err)
{
    if (stable->consistency != FS_CONSISTENCY_BEST_EFFORT)
        return 0;
    pthread_mutex_lock(&stable->lock);
    bool is_recent = clock_ns(CLOCK_MONOTONIC) - stable->latest_at_ns < RECHECK_NS;
    struct version now = stable->latest;
    pthread_mutex_unlock(&stable->lock);
    int result = is_recent ? 0 : refresh(stable, io, &now, err);
    if (result < 0)
        return result;
    return now.serial == version->serial ? 0 : -ESTALE;
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
        size_t limit = fs_limit_get(&stable->limit);
        len = total - pos < limit ? total - pos : limit;
        result = read_piece(stable, &version, off + pos, &len, iov, n_iov, pos, &ic_io, &err);
        if (result == 0)
            pos += len;
    }
    if (result == 0)
        result = recheck(stable, &version, &ic_io, &err);
    if (result < 0 && result != -ESTALE)
        log_failure(stable, "reading stable memory", off + pos, len, &err);
    return result;
}

static size_t stable_max_io(struct source *source)
{
    return fs_limit_get(&stable_of(source)->limit);
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
                   const struct fs_target *target, const struct fs_discovery *discovery)
{
    struct fs_stable *stable = calloc(1, sizeof(*stable));
    if (!stable)
        return -ENOMEM;
    source_init(&stable->source, &stable_ops);
    stable->target = target;
    stable->has_version = fs_discovery_offers(discovery, FS_METHOD_VERSION);
    stable->consistency = !stable->has_version ? FS_CONSISTENCY_LIVE
                          : fs_discovery_offers(discovery, FS_METHOD_READ_AT)
                              ? FS_CONSISTENCY_PROVEN
                              : FS_CONSISTENCY_BEST_EFFORT;
    fs_limit_init(&stable->limit, REPLY_BYTES_MAX);
    pthread_mutex_init(&stable->lock, NULL);
    *out = &stable->source;
    *ret_stable = stable;
    return 0;
}

void fs_stable_describe(struct fs_stable *stable, struct fs_stable_info *out)
{
    pthread_mutex_lock(&stable->lock);
    *out = (struct fs_stable_info){
        .consistency = stable->consistency,
        .size = stable->latest.size,
        .version = stable->latest.number,
    };
    pthread_mutex_unlock(&stable->lock);
    out->reply_bytes = fs_limit_get(&stable->limit);
    out->n_shrunk = fs_limit_shrunk(&stable->limit);
}
