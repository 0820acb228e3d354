/* What of a memory differs from what is there. See restore_memory_impl.h.
 *
 * By hashes: those of whole pieces first, many in one query; inside pieces that differ those of
 * their pages, where that saves something. A query proves nothing about the state it was answered
 * from: whoever relies on the result has the whole checked by the canister, or compares again.
 *
 * Tasks are windows of pieces. A page belongs to one window, so threads of different windows touch
 * different bits; the plan's lock is for the words and the count that they share. */
#include "fs/argument.h"
#include "fs/query.h"
#include "fs/restore_memory_impl.h"
#include "ic/wait.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_PIECES  2  /* of the first window; each further one doubles what is asked for */
#define WINDOW_PIECES 32 /* 32 MiB: what a query can hash with the instructions it has */
#define NEAR_PIECES   8  /* pieces that differ are asked for together when they are so near */
#define REST_MAX      32 /* windows that are not looked into after one in which that was in vain */

typedef uint8_t hash_list[][IC_SHA256_LEN];

/* --- one query --- */

static int query_hashes(struct memory_commit *commit, uint64_t off, uint64_t piece, uint64_t n,
                        const struct ic_io *io, hash_list out, struct ic_error *err)
{
    const struct memory_restorer *owner = commit->owner;
    struct fs_arguments args = {0};
    struct fs_answer answer;
    struct ic_view blob = {0};
    if (!fs_arguments_add(&args, IC_TYPE_NAT64, off) ||
        !fs_arguments_add(&args, IC_TYPE_NAT64, piece) ||
        !fs_arguments_add(&args, IC_TYPE_NAT64, n))
        return ic_fail(err, IC_E_MALFORMED, "no such range");
    atomic_fetch_add(&commit->n_hash_queries, 1);
    int result =
        fs_query(owner->target, owner->memory.write.hashes, args.values, args.n, io, &answer, err);
    if (result < 0)
        return result;
    if (ic_value_blob(fs_answer_value(&answer, 0), &blob) < 0 || blob.len != n * IC_SHA256_LEN)
        result = ic_fail(err, IC_E_WRONG_TYPE, "%s: asked for %llu hashes, got %zu bytes",
                         owner->memory.write.hashes, (unsigned long long)n, blob.len);
    else
        memcpy(out, blob.bytes, blob.len);
    fs_answer_fini(&answer);
    return result;
}

/* Hashes of n pieces from off on, in as many queries as it takes. -EOPNOTSUPP: the canister cannot
 * give them, not even one at a time. */
static int get_hashes(struct memory_commit *commit, uint64_t off, uint64_t piece, uint64_t n,
                      const atomic_bool *stop, hash_list out, struct ic_error *err)
{
    const struct fs_target *target = commit->owner->target;
    for (uint64_t i = 0, m = 0; i < n; i += m) {
        struct ic_io io = fs_target_io(target, target->options->timeout_ns);
        io.cancel = stop;
        struct fs_limit_call call;
        int result = fs_limit_begin(&commit->hash_limit, (size_t)((n - i) * piece), &io, &call);
        if (result < 0)
            return ic_wait_fail(err, result, "asking for hashes");
        m = call.len / piece > 1 ? call.len / piece : 1;
        result = query_hashes(commit, off + i * piece, piece, m, &io, &out[i], err);
        bool is_too_much = result < 0 && ic_error_is_limit(err);
        fs_limit_end(&commit->hash_limit, &call,
                     result == 0   ? FS_LIMIT_GOOD
                     : is_too_much ? FS_LIMIT_TOO_MUCH
                                   : FS_LIMIT_UNKNOWN);
        if (is_too_much && m > 1)
            m = 0;
        else if (result < 0)
            return fs_crew_may_pass(err) || err->code == IC_E_CANCELLED ? result : -EOPNOTSUPP;
    }
    return 0;
}

/* --- the plan --- */

static void plan_pages(struct memory_comparison *compare, uint64_t first, uint64_t n)
{
    pthread_mutex_lock(&compare->lock);
    memory_plan_set(&compare->commit->plan, first, n);
    pthread_mutex_unlock(&compare->lock);
}

static bool is_zero(const uint8_t *bytes, size_t len)
{
    return len == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0);
}

/* --- by bytes --- */

/* Plan the pages of a piece that are not what `theirs` has, as far as that was read. Also completes
 * its hash. */
static int take_piece(struct memory_comparison *compare, uint64_t piece, const uint8_t *ours,
                      const uint8_t *theirs, bool was_read, struct ic_error *err)
{
    struct memory_commit *commit = compare->commit;
    size_t len = memory_piece_len(commit, piece);
    uint64_t page = piece * MEMORY_PIECE_PAGES;
    for (size_t pos = 0; pos < len; pos += MEMORY_PAGE, page++) {
        size_t n = len - pos < MEMORY_PAGE ? len - pos : MEMORY_PAGE;
        uint64_t off = piece * MEMORY_PIECE + pos;
        bool is_beyond = off + n > commit->present.size;
        bool is_same = !is_beyond && was_read && memcmp(ours + pos, theirs + pos, n) == 0;
        bool is_base = !is_beyond && compare->how != MEMORY_COMPARE_NOTHING &&
                       memory_content_based(commit, off, n) == n;
        bool is_left =
            off >= commit->present.size && compare->keeps_zeros && is_zero(ours + pos, n);
        if (!is_same && !is_base && !is_left)
            plan_pages(compare, page, 1);
    }
    if (memory_content_based(commit, piece * MEMORY_PIECE, len) > 0 &&
        ic_sha256(ours, len, commit->hashes[piece]) < 0)
        return ic_fail(err, IC_E_NO_MEMORY, "out of memory");
    return 0;
}

static int compare_bytes(struct memory_comparison *compare, uint64_t piece, uint8_t *buffer,
                         const atomic_bool *stop, struct ic_error *err)
{
    struct memory_commit *commit = compare->commit;
    uint64_t off = piece * MEMORY_PIECE;
    size_t len = memory_piece_len(commit, piece);
    uint8_t *theirs = buffer + MEMORY_PIECE;
    if (compare->keeps_zeros && off >= commit->present.size &&
        memory_content_is_hole(commit, off, len))
        return 0;
    int result = memory_content_read(commit, off, buffer, len, stop, err);
    bool reads = compare->how == MEMORY_COMPARE_BYTES && off < commit->present.size;
    if (result == 0 && reads)
        result = memory_base_read(commit, off, theirs, len, stop, err);
    return result < 0 ? result : take_piece(compare, piece, buffer, theirs, reads, err);
}

/* Send all of a piece. What is the base's is read for the hash alone. */
static int take_all(struct memory_comparison *compare, uint64_t piece, uint8_t *buffer,
                    const atomic_bool *stop, struct ic_error *err)
{
    struct memory_commit *commit = compare->commit;
    uint64_t off = piece * MEMORY_PIECE;
    size_t len = memory_piece_len(commit, piece);
    plan_pages(compare, piece * MEMORY_PIECE_PAGES, MEMORY_PIECE_PAGES);
    if (memory_content_based(commit, off, len) == 0)
        return 0;
    int result = memory_content_read(commit, off, buffer, len, stop, err);
    if (result == 0 && ic_sha256(buffer, len, commit->hashes[piece]) < 0)
        result = ic_fail(err, IC_E_NO_MEMORY, "out of memory");
    return result;
}

/* --- by hashes --- */

/* Is a piece the same range of bytes in both? Else their hashes say nothing. */
static bool is_comparable(const struct memory_commit *commit, uint64_t piece)
{
    uint64_t end = (piece + 1) * MEMORY_PIECE;
    return end <= commit->present.size ? end <= commit->size : commit->size == commit->present.size;
}

/* Does the content of a piece differ from one with this hash? Completes its own. */
static int judge_piece(struct memory_commit *commit, uint64_t piece,
                       const uint8_t theirs[IC_SHA256_LEN], uint8_t *buffer,
                       const atomic_bool *stop, bool *ret_differs, struct ic_error *err)
{
    uint64_t off = piece * MEMORY_PIECE;
    size_t len = memory_piece_len(commit, piece);
    uint64_t based = memory_content_based(commit, off, len);
    int result = 0;
    if (based == len) {
        memcpy(commit->hashes[piece], theirs, IC_SHA256_LEN);
    } else if (based > 0) {
        result = memory_content_read(commit, off, buffer, len, stop, err);
        if (result == 0 && ic_sha256(buffer, len, commit->hashes[piece]) < 0)
            result = ic_fail(err, IC_E_NO_MEMORY, "out of memory");
    }
    *ret_differs = memcmp(commit->hashes[piece], theirs, IC_SHA256_LEN) != 0;
    return result;
}

/* Plan the pages that differ of those of n pieces that do. */
static int look_into(struct memory_comparison *compare, uint64_t first, uint64_t n,
                     const bool *differs, uint8_t *buffer, const atomic_bool *stop,
                     struct ic_error *err)
{
    struct memory_commit *commit = compare->commit;
    _Static_assert(sizeof(uint8_t[WINDOW_PIECES * MEMORY_PIECE_PAGES][IC_SHA256_LEN]) <=
                       MEMORY_PIECE,
                   "the second half of the buffer holds the hashes");
    uint8_t(*theirs)[IC_SHA256_LEN] = (void *)(buffer + MEMORY_PIECE);
    uint64_t off = first * MEMORY_PIECE;
    uint64_t end =
        (first + n) * MEMORY_PIECE < commit->size ? (first + n) * MEMORY_PIECE : commit->size;
    uint64_t n_pages = (end - off + MEMORY_PAGE - 1) / MEMORY_PAGE;
    int result = get_hashes(commit, off, MEMORY_PAGE, n_pages, stop, theirs, err);
    for (uint64_t i = 0; result == 0 && i < n; i++) {
        if (!differs[i])
            continue;
        size_t len = memory_piece_len(commit, first + i);
        result = memory_content_read(commit, off + i * MEMORY_PIECE, buffer, len, stop, err);
        for (size_t pos = 0; result == 0 && pos < len; pos += MEMORY_PAGE) {
            uint8_t ours[IC_SHA256_LEN];
            uint64_t page = i * MEMORY_PIECE_PAGES + pos / MEMORY_PAGE;
            if (ic_sha256(buffer + pos, len - pos < MEMORY_PAGE ? len - pos : MEMORY_PAGE, ours) <
                0)
                result = ic_fail(err, IC_E_NO_MEMORY, "out of memory");
            else if (memcmp(ours, theirs[page], IC_SHA256_LEN) != 0)
                plan_pages(compare, off / MEMORY_PAGE + page, 1);
        }
    }
    return result;
}

/* Where all differs there is likely nothing to be found inside: then it is tried less often. */
static bool is_worth_it(struct memory_comparison *compare, bool all_differ)
{
    pthread_mutex_lock(&compare->lock);
    bool rests = all_differ && compare->to_rest > 0;
    compare->to_rest -= rests;
    pthread_mutex_unlock(&compare->lock);
    return !rests;
}

static void learn(struct memory_comparison *compare, uint64_t n_pages, uint64_t n_planned)
{
    bool was_in_vain = n_planned > n_pages - n_pages / 8;
    pthread_mutex_lock(&compare->lock);
    compare->rest = was_in_vain ? compare->rest * 2 + 1 : 0;
    if (compare->rest > REST_MAX)
        compare->rest = REST_MAX;
    compare->to_rest = compare->rest;
    pthread_mutex_unlock(&compare->lock);
}

static uint64_t count_planned(struct memory_comparison *compare, uint64_t first, uint64_t n)
{
    uint64_t count = 0;
    pthread_mutex_lock(&compare->lock);
    for (uint64_t page = first; page < first + n; page++)
        count += memory_plan_has(&compare->commit->plan, page);
    pthread_mutex_unlock(&compare->lock);
    return count;
}

/* n comparable pieces, some of which differ. */
static int look_into_all(struct memory_comparison *compare, uint64_t first, uint64_t n,
                         const bool *differs, uint8_t *buffer, const atomic_bool *stop,
                         struct ic_error *err)
{
    uint64_t n_differ = 0;
    for (uint64_t i = 0; i < n; i++)
        n_differ += differs[i];
    if (!is_worth_it(compare, n_differ == n)) {
        plan_pages(compare, first * MEMORY_PIECE_PAGES, n * MEMORY_PIECE_PAGES);
        return 0;
    }
    for (uint64_t i = 0; i < n;) {
        uint64_t last = i;
        if (!differs[i++])
            continue;
        for (uint64_t j = i; j < n && j - last < NEAR_PIECES; j++)
            last = differs[j] ? j : last;
        uint64_t from = i - 1;
        int result =
            look_into(compare, first + from, last + 1 - from, differs + from, buffer, stop, err);
        if (result < 0)
            return result;
        i = last + 1;
    }
    if (n_differ == n)
        learn(compare, n * MEMORY_PIECE_PAGES,
              count_planned(compare, first * MEMORY_PIECE_PAGES, n * MEMORY_PIECE_PAGES));
    return 0;
}

static int compare_hashes(struct memory_comparison *compare, const struct fs_crew_task *task,
                          uint8_t *buffer, const atomic_bool *stop, struct ic_error *err)
{
    struct memory_commit *commit = compare->commit;
    uint8_t theirs[WINDOW_PIECES][IC_SHA256_LEN];
    bool differs[WINDOW_PIECES] = {false};
    uint64_t n = 0;
    while (n < task->n && is_comparable(commit, task->first + n))
        n++;
    int result =
        n == 0 ? 0
               : get_hashes(commit, task->first * MEMORY_PIECE, MEMORY_PIECE, n, stop, theirs, err);
    for (uint64_t i = 0; result == 0 && i < n; i++)
        result = judge_piece(commit, task->first + i, theirs[i], buffer, stop, &differs[i], err);
    if (result == 0 && n > 0)
        result = look_into_all(compare, task->first, n, differs, buffer, stop, err);
    for (uint64_t i = n; result == 0 && i < task->n; i++)
        result = compare_bytes(compare, task->first + i, buffer, stop, err);
    return result;
}

/* --- the whole --- */

int memory_comparison_init(struct memory_comparison *compare, struct memory_commit *commit,
                           enum memory_compare how, bool keeps_zeros, struct ic_error *err)
{
    *compare =
        (struct memory_comparison){.commit = commit, .how = (int)how, .keeps_zeros = keeps_zeros};
    if (memory_plan_init(&compare->compared, commit->plan.n_pages) < 0)
        return ic_fail(err, IC_E_NO_MEMORY, "out of memory");
    memory_plan_clear(&commit->plan, 0, commit->plan.n_pages);
    pthread_mutex_init(&compare->lock, NULL);
    return 0;
}

void memory_comparison_fini(struct memory_comparison *compare)
{
    memory_plan_fini(&compare->compared);
    pthread_mutex_destroy(&compare->lock);
}

/* As many queries at once as half of what the user allows: a reader may be waiting. */
static unsigned most_at_once(const struct memory_commit *commit)
{
    return (unsigned)commit->owner->target->options->max_inflight / 2 + 1;
}

/* The first ones are small: sending waits for what they tell. */
static uint64_t window_at(uint64_t piece)
{
    if (piece < FIRST_PIECES)
        return FIRST_PIECES;
    return piece < WINDOW_PIECES ? piece : WINDOW_PIECES;
}

enum fs_crew_take memory_comparison_take(struct memory_comparison *compare,
                                         struct fs_crew_task *out)
{
    enum fs_crew_take taken = FS_CREW_NONE;
    pthread_mutex_lock(&compare->lock);
    struct memory_run run;
    if (compare->only)
        compare->next = memory_plan_find(compare->only, compare->next * MEMORY_PIECE_PAGES, 1, &run)
                            ? run.first / MEMORY_PIECE_PAGES
                            : compare->commit->n_pieces;
    uint64_t window = compare->how == MEMORY_COMPARE_HASHES ? window_at(compare->next) : 1;
    uint64_t left = compare->commit->n_pieces - compare->next;
    if (left > 0)
        taken = compare->n_running < most_at_once(compare->commit) ? FS_CREW_TASK : FS_CREW_LATER;
    if (taken == FS_CREW_TASK) {
        *out = (struct fs_crew_task){.first = compare->next, .n = left < window ? left : window};
        compare->next += out->n;
        compare->n_running++;
    }
    pthread_mutex_unlock(&compare->lock);
    return taken;
}

static int compare_some(struct memory_comparison *compare, const struct fs_crew_task *task,
                        uint8_t *buffer, const atomic_bool *stop, struct ic_error *err)
{
    int result = 0;
    if (compare->how == MEMORY_COMPARE_HASHES) {
        result = compare_hashes(compare, task, buffer, stop, err);
        if (result != -EOPNOTSUPP)
            return result;
        compare->how = MEMORY_COMPARE_BYTES; /* from now on, for all */
        result = 0;
    }
    bool takes_all = compare->how == MEMORY_COMPARE_NOTHING && !compare->keeps_zeros;
    for (uint64_t i = task->first; result == 0 && i < task->first + task->n; i++)
        result = takes_all ? take_all(compare, i, buffer, stop, err)
                           : compare_bytes(compare, i, buffer, stop, err);
    return result;
}

int memory_comparison_work(struct memory_comparison *compare, const struct fs_crew_task *task,
                           const atomic_bool *stop, struct ic_error *err)
{
    uint8_t *buffer = malloc(2 * MEMORY_PIECE);
    if (!buffer)
        return ic_fail(err, IC_E_NO_MEMORY, "out of memory");
    int result = compare_some(compare, task, buffer, stop, err);
    free(buffer);
    if (result < 0)
        return result;
    pthread_mutex_lock(&compare->lock);
    compare->n_running--;
    memory_plan_set(&compare->compared, task->first * MEMORY_PIECE_PAGES,
                    task->n * MEMORY_PIECE_PAGES);
    while (memory_plan_has(&compare->compared, compare->n_ready))
        compare->n_ready++;
    pthread_mutex_unlock(&compare->lock);
    return 0;
}

static enum fs_crew_take compare_take(void *arg, struct fs_crew_task *out)
{
    return memory_comparison_take(arg, out);
}

static int compare_work(void *arg, const struct fs_crew_task *task, uint8_t *buffer,
                        const atomic_bool *stop, struct ic_error *err)
{
    (void)buffer;
    return memory_comparison_work(arg, task, stop, err);
}

int memory_compare(struct memory_commit *commit, enum memory_compare how,
                   const struct memory_plan *only, bool keeps_zeros, struct ic_error *err)
{
    struct memory_comparison compare;
    struct fs_crew crew = fs_crew_of(commit, most_at_once(commit));
    int result = memory_comparison_init(&compare, commit, how, keeps_zeros, err);
    if (result < 0)
        return result;
    compare.only = only;
    crew.take = compare_take;
    crew.work = compare_work;
    crew.arg = &compare;
    result = fs_crew_run(&crew, err);
    memory_comparison_fini(&compare);
    return result;
}

enum memory_compare memory_compare_choose(const struct memory_commit *commit)
{
    return commit->owner->memory.write.hashes[0] ? MEMORY_COMPARE_HASHES : MEMORY_COMPARE_BYTES;
}
