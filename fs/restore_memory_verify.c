/* Is a restore that the canister says it has made there to be seen? See restore_memory_impl.h.
 *
 * An answer of `ok` is the word of the canister's code, which may be wrong. So before it is
 * asked some of the pages that are to change are read, the witnesses, and afterwards again:
 *
 *   what a witness holds afterwards    what that says
 *   what was sent                      applied
 *   what it held before                not applied; or the node that answered lags behind: it is
 *                                      asked again for a while
 *   something else                     written to since
 *
 * Then, where the canister tells hashes, all that was sent is compared once more. What differs
 * there was written to since, or not applied: a canister that goes on working may do so at any
 * time, so it is told, and is no failure by itself. */
#include "fs/restore_memory_impl.h"

#include <errno.h>
#include <string.h>

/* Looks, and comparisons, that another change or a node that lags behind came between. */
#define TRIES 3

static size_t page_len(const struct memory_commit *commit, uint64_t page)
{
    uint64_t left = commit->size - page * MEMORY_PAGE;
    return left < MEMORY_PAGE ? (size_t)left : MEMORY_PAGE;
}

/* --- witnesses --- */

/* As far apart from one another in the plan as may be, with its first and last page. */
static void choose(const struct memory_plan *plan, struct memory_verify *verify)
{
    uint64_t n = plan->n_set < MEMORY_WITNESSES ? plan->n_set : MEMORY_WITNESSES;
    uint64_t before = 0; /* pages of the plan before the run */
    struct memory_run run;
    verify->n_witnesses = 0;
    for (uint64_t from = 0; memory_plan_find(plan, from, UINT64_MAX, &run);
         from = run.first + run.n) {
        while (verify->n_witnesses < n) {
            uint64_t k = verify->n_witnesses;
            /* Pages are fewer than 2^48, so this does not overflow. */
            uint64_t rank = n == 1 ? 0 : k * (plan->n_set - 1) / (n - 1);
            if (rank >= before + run.n)
                break;
            verify->witnesses[verify->n_witnesses++] =
                (struct memory_witness){.page = run.first + (rank - before)};
        }
        before += run.n;
    }
}

struct reading {
    struct memory_commit *commit;
    size_t next;
    bool is_after;
};

static enum fs_crew_take reading_take(void *arg, struct fs_crew_task *out)
{
    struct reading *reading = arg;
    if (reading->next == reading->commit->verify.n_witnesses)
        return FS_CREW_NONE;
    *out = (struct fs_crew_task){.first = reading->next++, .n = 1};
    return FS_CREW_TASK;
}

static int fail_memory(struct ic_error *err)
{
    return ic_fail(err, IC_E_NO_MEMORY, "out of memory");
}

/* What is there, and what is to be there. */
static int read_before(struct memory_commit *commit, struct memory_witness *witness,
                       uint8_t *buffer, const atomic_bool *stop, struct ic_error *err)
{
    uint64_t off = witness->page * MEMORY_PAGE;
    size_t len = page_len(commit, witness->page);
    int result = memory_base_read(commit, off, buffer, len, stop, err);
    if (result == 0 && ic_sha256(buffer, len, witness->before) < 0)
        result = fail_memory(err);
    if (result == 0)
        result = memory_content_read(commit, off, buffer, len, stop, err);
    if (result == 0 && ic_sha256(buffer, len, witness->sent) < 0)
        result = fail_memory(err);
    return result;
}

static int read_after(struct memory_commit *commit, struct memory_witness *witness, uint8_t *buffer,
                      const atomic_bool *stop, struct ic_error *err)
{
    uint8_t now[IC_SHA256_LEN];
    size_t len = page_len(commit, witness->page);
    int result = memory_base_read(commit, witness->page * MEMORY_PAGE, buffer, len, stop, err);
    if (result == 0 && ic_sha256(buffer, len, now) < 0)
        result = fail_memory(err);
    if (result < 0)
        return result;
    witness->seen = memcmp(now, witness->sent, IC_SHA256_LEN) == 0     ? MEMORY_SEEN_SENT
                    : memcmp(now, witness->before, IC_SHA256_LEN) == 0 ? MEMORY_SEEN_BEFORE
                                                                       : MEMORY_SEEN_OTHER;
    return witness->seen == MEMORY_SEEN_BEFORE
               ? ic_fail(err, IC_E_OVERLOADED, "a node answers with what was there before")
               : 0;
}

static int reading_work(void *arg, const struct fs_crew_task *task, uint8_t *buffer,
                        const atomic_bool *stop, struct ic_error *err)
{
    const struct reading *reading = arg;
    struct memory_witness *witness = &reading->commit->verify.witnesses[task->first];
    return (reading->is_after ? read_after : read_before)(reading->commit, witness, buffer, stop,
                                                          err);
}

static int read_witnesses(struct memory_commit *commit, bool is_after, int64_t patience_ns,
                          struct ic_error *err)
{
    struct reading reading = {.commit = commit, .is_after = is_after};
    struct fs_crew crew = fs_crew_of(commit, MEMORY_WITNESSES);
    if (crew.n_threads > commit->verify.n_witnesses)
        crew.n_threads = (unsigned)commit->verify.n_witnesses;
    crew.patience_ns = patience_ns;
    crew.buffer_size = MEMORY_PAGE;
    crew.take = reading_take;
    crew.work = reading_work;
    crew.arg = &reading;
    return crew.n_threads > 0 ? fs_crew_run(&crew, err) : 0;
}

/* Those that are there already say nothing. */
static void drop_same(struct memory_verify *verify)
{
    size_t n = 0;
    for (size_t i = 0; i < verify->n_witnesses; i++)
        if (memcmp(verify->witnesses[i].before, verify->witnesses[i].sent, IC_SHA256_LEN) != 0)
            verify->witnesses[n++] = verify->witnesses[i];
    verify->n_witnesses = n;
}

static size_t count(const struct memory_verify *verify, enum memory_seen seen)
{
    size_t n = 0;
    for (size_t i = 0; i < verify->n_witnesses; i++)
        n += verify->witnesses[i].seen == seen;
    return n;
}

int memory_verify_prepare(struct memory_commit *commit, struct ic_error *err)
{
    struct memory_verify *verify = &commit->verify;
    struct ic_error ignored = {0};
    memory_plan_fini(&verify->sent);
    verify->version = commit->present.version;
    verify->n_witnesses = 0;
    if (memory_plan_copy(&verify->sent, &commit->plan) < 0)
        return fail_memory(err);
    choose(&commit->plan, verify);
    /* A memory that cannot be read may need a restore most of all. What ends the whole commit, the
     * next call finds out. */
    if (read_witnesses(commit, false, commit->owner->lag_ns, &ignored) < 0)
        verify->n_witnesses = 0;
    drop_same(verify);
    return 0;
}

void memory_verify_fini(struct memory_commit *commit)
{
    memory_plan_fini(&commit->verify.sent);
}

/* --- the version --- */

struct moving {
    struct memory_commit *commit;
    uint64_t version;
    bool has_moved;
};

static int look_whether_moved(void *arg, const atomic_bool *stop, struct ic_error *err)
{
    struct moving *moving = arg;
    struct memory_commit *commit = moving->commit;
    int result = memory_look_once(commit, stop, err);
    if (result < 0)
        return result;
    moving->has_moved = commit->present.size >= commit->size &&
                        (!commit->is_versioned || commit->present.version != moving->version);
    return moving->has_moved ? 0 : ic_fail(err, IC_E_OVERLOADED, "a node answers as before");
}

int memory_verify_moved(struct memory_commit *commit, uint64_t version, bool *out,
                        struct ic_error *err)
{
    struct moving moving = {.commit = commit, .version = version};
    int result = memory_once(commit, commit->owner->lag_ns, look_whether_moved, &moving, err);
    *out = moving.has_moved;
    return result < 0 && err->code == IC_E_OVERLOADED ? 0 : result;
}

/* --- afterwards --- */

static void say(struct memory_commit *commit, bool is_warning, const char *words)
{
    snprintf(commit->verify.words, sizeof(commit->verify.words), "%s", words);
    if (is_warning)
        fs_log_print(commit->owner->target->log, FS_LOG_WARNING, "after a restore: %s", words);
}

static int fail_unapplied(const struct memory_commit *commit, bool has_moved, struct ic_error *err)
{
    const struct memory_verify *verify = &commit->verify;
    if (commit->present.size < commit->size)
        return ic_fail(err, IC_E_REJECTED,
                       "restore_commit: the canister answers ok, but the memory has %llu bytes "
                       "instead of %llu",
                       (unsigned long long)commit->present.size, (unsigned long long)commit->size);
    return ic_fail(err, IC_E_REJECTED,
                   "restore_commit: the canister answers ok, but of %zu pages that were looked at "
                   "%zu hold what they held before%s",
                   verify->n_witnesses - count(verify, MEMORY_SEEN_NOTHING),
                   count(verify, MEMORY_SEEN_BEFORE),
                   commit->is_versioned && !has_moved ? ", and the version is the same" : "");
}

/* Look at the witnesses, as often as other changes come between. */
static int see_witnesses(struct memory_commit *commit, bool *ret_moved, struct ic_error *err)
{
    struct memory_verify *verify = &commit->verify;
    int64_t lag_ns = commit->owner->lag_ns;
    int result = 0;
    for (unsigned i = 0; i < TRIES; i++) {
        result = memory_verify_moved(commit, verify->version, ret_moved, err);
        if (result < 0)
            return result;
        /* It was waited for already. */
        result = read_witnesses(commit, true, *ret_moved ? lag_ns : lag_ns / 4, err);
        if (result == 0 || err->code != IC_E_CHANGED)
            break;
    }
    return result;
}

/* How much of what was sent is not there, by the hashes that the canister tells. */
static int see_all(struct memory_commit *commit, uint64_t *ret_pages, struct ic_error *err)
{
    const struct memory_plan *sent = &commit->verify.sent;
    struct memory_run run;
    int result = 0;
    *ret_pages = 0;
    for (unsigned i = 0; i < TRIES && (i == 0 || *ret_pages > 0); i++) {
        result = memory_look(commit, err);
        if (result == 0)
            result = memory_compare(commit, MEMORY_COMPARE_HASHES, sent, false, err);
        if (result < 0)
            return result;
        *ret_pages = 0;
        for (uint64_t from = 0; memory_plan_find(sent, from, 1, &run); from = run.first + 1)
            *ret_pages += memory_plan_has(&commit->plan, run.first);
    }
    return 0;
}

static void tell(struct memory_commit *commit, bool has_moved, bool has_all, uint64_t n_differ)
{
    const struct memory_verify *verify = &commit->verify;
    size_t n_other = count(verify, MEMORY_SEEN_OTHER);
    char words[200];
    if (n_differ > 0 || n_other > 0) {
        unsigned long long n = n_differ > 0 ? n_differ : n_other;
        snprintf(words, sizeof(words),
                 "%llu pages are not as they were sent: written to since, or not applied", n);
        say(commit, true, words);
    } else if (!has_moved) {
        say(commit, true, "its version did not move, so that readers take it for unchanged");
    } else if (has_all) {
        say(commit, false, "seen by its hashes");
    } else if (verify->n_witnesses > 0) {
        snprintf(words, sizeof(words), "seen in %zu pages", verify->n_witnesses);
        say(commit, false, words);
    }
}

int memory_verify(struct memory_commit *commit, struct ic_error *err)
{
    struct memory_verify *verify = &commit->verify;
    const bool has_hashes = memory_compare_choose(commit) == MEMORY_COMPARE_HASHES;
    struct ic_error cause = {0};
    uint64_t n_differ = 0;
    bool has_moved = true;
    char words[200];
    int result = 0;
    if (verify->n_witnesses > 0 || commit->present.size < commit->size)
        result = see_witnesses(commit, &has_moved, &cause);
    if (count(verify, MEMORY_SEEN_BEFORE) > 0 ||
        (!has_moved && commit->present.size < commit->size))
        return fail_unapplied(commit, has_moved, err);
    bool sees_all = result == 0 && has_hashes && verify->sent.n_set > verify->n_witnesses;
    if (sees_all)
        result = see_all(commit, &n_differ, &cause);
    if (n_differ > 0 && commit->is_versioned && commit->present.version == verify->version)
        return ic_fail(err, IC_E_REJECTED,
                       "restore_commit: the canister answers ok, but %llu pages are not as they "
                       "were sent, and the version is the same",
                       (unsigned long long)n_differ);
    if (result == 0) {
        tell(commit, has_moved, sees_all, n_differ);
    } else {
        snprintf(words, sizeof(words), "it could not be looked at: %.150s", cause.message);
        say(commit, true, words);
    }
    return 0;
}
