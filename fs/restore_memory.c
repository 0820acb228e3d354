#include "fs/restore_memory_impl.h"
#include "ic/wait.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE_NS (120 * IC_NS_PER_SEC)
#define SETTLE_NS   (300 * IC_NS_PER_SEC)
#define LAG_NS      (15 * IC_NS_PER_SEC)

#define HASHED_MAX ((size_t)64 << 20)   /* by one query */
#define READ_MAX   ((size_t)47 * 65536) /* in one reply of just under 3 MiB */

/* --- words --- */

void memory_set_phase(struct memory_commit *commit, enum fs_restore_phase phase)
{
    atomic_store(&commit->run->progress->phase, (int)phase);
}

/* The first ranges of a plan, for people. */
static void list_ranges(const struct memory_plan *plan, char *out, size_t size)
{
    struct memory_run run = {0};
    size_t len = 0;
    unsigned n = 0;
    out[0] = '\0';
    for (uint64_t from = 0; n < 4 && memory_plan_find(plan, from, UINT64_MAX, &run); n++) {
        unsigned long long first = run.first * MEMORY_PAGE;
        unsigned long long last = first + run.n * MEMORY_PAGE - 1;
        len +=
            (size_t)snprintf(out + len, size - len, "%s%llu-%llu", n > 0 ? ", " : "", first, last);
        from = run.first + run.n;
    }
    if (n == 4 && memory_plan_find(plan, run.first + run.n, 1, &run))
        snprintf(out + len, size - len, " ...");
}

void memory_summarize(struct memory_commit *commit, const char *format, ...)
{
    const struct fs_restore_run *run = commit->run;
    char ranges[200];
    char more[300];
    va_list args;
    va_start(args, format);
    vsnprintf(more, sizeof(more), format, args);
    va_end(args);
    if (run->dry_run) {
        unsigned long long n_bytes = commit->plan.n_set * MEMORY_PAGE;
        list_ranges(&commit->plan, ranges, sizeof(ranges));
        snprintf(
            run->summary, run->summary_size,
            "would send %llu of %llu bytes in about %llu calls%s%s%s%s", n_bytes,
            (unsigned long long)commit->size,
            (unsigned long long)memory_plan_count(&commit->plan, MEMORY_CHUNK_MAX / MEMORY_PAGE),
            ranges[0] ? " (bytes " : "", ranges, ranges[0] ? ")" : "", more);
        return;
    }
    snprintf(run->summary, run->summary_size,
             "%llu bytes restored: %llu sent in %llu calls, %llu hashes and reads asked for, %lld "
             "s%s",
             (unsigned long long)commit->size,
             (unsigned long long)atomic_load(&run->progress->n_acked),
             (unsigned long long)atomic_load(&run->progress->n_calls),
             (unsigned long long)(atomic_load(&commit->n_hash_queries) +
                                  atomic_load(&commit->n_read_queries)),
             (long long)((ic_wait_now_ns() - commit->began_ns) / IC_NS_PER_SEC), more);
}

/* --- checks --- */

int memory_look_once(void *arg, const atomic_bool *stop, struct ic_error *err)
{
    struct memory_commit *commit = arg;
    const struct memory_restorer *owner = commit->owner;
    struct ic_io io = fs_target_io(owner->target, owner->target->options->timeout_ns);
    io.cancel = stop;
    return fs_memory_stat(&owner->memory, owner->target, commit->present.size, &io,
                          &commit->present, err);
}

int memory_look(struct memory_commit *commit, struct ic_error *err)
{
    return memory_once(commit, 0, memory_look_once, commit, err);
}

int memory_check_base(struct memory_commit *commit, struct ic_error *err)
{
    const struct stage_purpose *purpose = stage_get_purpose(commit->stage);
    if (commit->is_complete)
        return 0;
    if (!commit->is_versioned && !commit->run->force)
        return ic_fail(err, IC_E_CONFIG,
                       "only a part was written, and the canister tells no version: nobody can "
                       "know that the rest is what it was (write the whole file, or use force)");
    if (commit->is_versioned && commit->present.version != purpose->base_version)
        return ic_fail(err, IC_E_CHANGED,
                       "only a part was written, of version %llu, and the memory is at version "
                       "%llu now",
                       (unsigned long long)purpose->base_version,
                       (unsigned long long)commit->present.version);
    return 0;
}

/* Memory of the platform has whole pages. What has no method for its size is a file, or a dump, and
 * as long as what was written. What a staged restore fills may be either: the canister says so. */
static bool has_pages(const struct memory_restorer *owner)
{
    const struct fs_memory *memory = &owner->memory;
    return memory->write.style != FS_WRITE_STAGED &&
           (memory->write.grow[0] || memory->size[0] || memory->version[0]);
}

static uint64_t padded_size(const struct memory_commit *commit)
{
    return (commit->file_size + MEMORY_PAGE - 1) / MEMORY_PAGE * MEMORY_PAGE;
}

/* What the memory has behind a file that ends within its last page. */
struct tail {
    struct memory_commit *commit;
    uint8_t bytes[MEMORY_PAGE];
    size_t len;
};

static int read_tail(void *arg, const atomic_bool *stop, struct ic_error *err)
{
    struct tail *tail = arg;
    return memory_base_read(tail->commit, tail->commit->file_size, tail->bytes, tail->len, stop,
                            err);
}

/* Would a shorter file take away nothing but zeros? So it is when it was restored before, and
 * filled up to a page. */
static int has_zeros_behind(struct memory_commit *commit, bool *out, struct ic_error *err)
{
    struct tail tail = {.commit = commit};
    *out = padded_size(commit) >= commit->present.size;
    if (!*out)
        return 0;
    tail.len = (size_t)(commit->present.size - commit->file_size);
    int result = memory_once(commit, 0, read_tail, &tail, err);
    for (size_t i = 0; result == 0 && i < tail.len; i++)
        *out = *out && tail.bytes[i] == 0;
    return result;
}

static int check_size(struct memory_commit *commit, struct ic_error *err)
{
    bool is_staged = commit->owner->memory.write.style == FS_WRITE_STAGED;
    uint64_t padded = padded_size(commit);
    commit->is_padded = has_pages(commit->owner) || commit->wants_pages ||
                        (is_staged && (commit->file_size < commit->present.size ||
                                       memory_staged_declared(commit, padded)));
    commit->size = commit->is_padded ? padded : commit->file_size;
    /* A header that is written tells the new size. */
    if (commit->file_size >= commit->present.size || commit->owner->memory.header[0])
        return 0;
    bool has_zeros = false;
    int result = has_zeros_behind(commit, &has_zeros, err);
    if (result < 0)
        return result;
    if (!has_zeros && !commit->run->shrink_zero)
        return ic_fail(err, IC_E_CONFIG,
                       "what was written has %llu bytes, the memory has %llu and cannot become "
                       "smaller (is it half a copy? shrink=zero makes the rest zeros)",
                       (unsigned long long)commit->file_size,
                       (unsigned long long)commit->present.size);
    commit->size = commit->present.size;
    return 0;
}

/* --- a commit --- */

static int init(struct memory_commit *commit, struct ic_error *err)
{
    int result = fs_limit_init(&commit->hash_limit, HASHED_MAX);
    if (result < 0)
        return ic_fail(err, IC_E_NO_MEMORY, "out of memory");
    result = fs_limit_init(&commit->read_limit, READ_MAX);
    if (result < 0) {
        fs_limit_fini(&commit->hash_limit);
        return ic_fail(err, IC_E_NO_MEMORY, "out of memory");
    }
    return 0;
}

static void forget_plan(struct memory_commit *commit)
{
    memory_verify_fini(commit);
    memory_plan_fini(&commit->plan);
    free(commit->hashes);
    commit->hashes = NULL;
}

static void fini(struct memory_commit *commit)
{
    forget_plan(commit);
    fs_limit_fini(&commit->read_limit);
    fs_limit_fini(&commit->hash_limit);
}

/* For the size as it is now. */
static int commit_size(struct memory_commit *commit, struct ic_error *err)
{
    int result = check_size(commit, err);
    if (result < 0)
        return result;
    commit->n_pieces = (commit->size + MEMORY_PIECE - 1) / MEMORY_PIECE;
    commit->hashes = calloc((size_t)commit->n_pieces + 1, IC_SHA256_LEN);
    if (!commit->hashes ||
        memory_plan_init(&commit->plan, (commit->size + MEMORY_PAGE - 1) / MEMORY_PAGE) < 0)
        return ic_fail(err, IC_E_NO_MEMORY, "out of memory");
    return commit->owner->memory.write.style == FS_WRITE_STAGED ? memory_commit_staged(commit, err)
                                                                : memory_commit_plain(commit, err);
}

static int run(struct memory_commit *commit, struct ic_error *err)
{
    int result = memory_look(commit, err);
    if (result < 0) {
        result = memory_carry_on(commit, result, err);
        if (result == 0)
            result = memory_look(commit, err);
    }
    if (result == 0)
        result = commit_size(commit, err);
    if (result < 0 && commit->wants_pages && !commit->is_padded &&
        commit->size != padded_size(commit)) {
        forget_plan(commit);
        result = memory_look(commit, err);
        if (result == 0)
            result = commit_size(commit, err);
    }
    return result;
}

static int restorer_commit(struct fs_restorer *restorer, const struct fs_restore_run *given,
                           struct ic_error *err)
{
    struct memory_restorer *owner = (struct memory_restorer *)restorer;
    struct memory_commit commit = {
        .owner = owner,
        .run = given,
        .stage = given->stage,
        .began_ns = ic_wait_now_ns(),
        .is_versioned = fs_memory_has_version(&owner->memory),
        .is_complete = stage_is_complete(given->stage),
        .file_size = stage_size(given->stage),
    };
    int result = init(&commit, err);
    if (result < 0)
        return result;
    memory_set_phase(&commit, FS_RESTORE_CHECKING);
    result = run(&commit, err);
    fini(&commit);
    return result;
}

static int restorer_abort(struct fs_restorer *restorer, struct stage *stage,
                          const atomic_bool *cancel, struct ic_error *err)
{
    struct memory_restorer *owner = (struct memory_restorer *)restorer;
    struct fs_restore_progress progress = {0};
    const struct fs_restore_run run = {.stage = stage, .cancel = cancel, .progress = &progress};
    struct memory_commit commit = {.owner = owner, .run = &run, .stage = stage};
    /* Plain writes leave nothing behind that could be given up. */
    return owner->memory.write.style == FS_WRITE_STAGED ? memory_abort_staged(&commit, err) : 0;
}

static void restorer_close(struct fs_restorer *restorer)
{
    free(restorer);
}

int fs_restore_memory_open(struct fs_restorer **out, const struct fs_restore_memory_config *config)
{
    static const struct fs_restorer_ops ops = {
        .commit = restorer_commit, .abort = restorer_abort, .close = restorer_close};
    struct memory_restorer *owner = calloc(1, sizeof(*owner));
    if (!owner)
        return -ENOMEM;
    owner->restorer.ops = &ops;
    owner->restorer.is_atomic = config->memory->write.style == FS_WRITE_STAGED;
    owner->restorer.is_versioned = fs_memory_has_version(config->memory);
    snprintf(owner->restorer.words, sizeof(owner->restorer.words), "%s",
             config->memory->write.words);
    owner->target = config->target;
    owner->memory = *config->memory;
    owner->n_inflight = config->n_inflight < FS_CREW_MAX ? config->n_inflight : FS_CREW_MAX;
    owner->patience_ns = config->patience_ns > 0 ? config->patience_ns : PATIENCE_NS;
    owner->settle_ns = config->settle_ns > 0 ? config->settle_ns : SETTLE_NS;
    owner->lag_ns = config->lag_ns > 0 ? config->lag_ns : LAG_NS;
    *out = &owner->restorer;
    return 0;
}
