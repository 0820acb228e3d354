/* The plain way: methods that write at once. It is not atomic.
 *
 *   settle   learn what became of steps that an earlier commit sent, also of another stage
 *   init     where the canister wants it
 *   grow     by what is missing; its size says when it is enough
 *   repeat   compare with what is there; done when nothing differs; send what does
 *   finish   where the canister wants it
 *
 * So a commit that was interrupted goes on where it was by comparing, a write that was lost or
 * answered by a lie is found, and so is a change by somebody else.
 *
 * A write of which no outcome came may still run for some minutes, and would then undo what the
 * canister's users did meanwhile: nothing is called done before that time is over. */
#include "fs/argument.h"
#include "fs/restore_memory_step.h"
#include "ic/wait.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS       5                     /* of sending, until it is said to change all the time */
#define LOOKS        4                     /* before a difference after sending is believed */
#define LOOK_NS      (1 * IC_NS_PER_SEC)   /* between them: nodes lag behind by about that */
#define LAG_NS       (LOOKS * LOOK_NS)     /* what was so that long ago every node knows */
#define SIZE_LOOKS   30                    /* until the memory is seen to have grown */
#define WAIT_LONG_NS (900 * IC_NS_PER_SEC) /* longer than any wait here */
#define NOTE_FORM    1

struct plain {
    struct memory_commit *commit;
    _Atomic int64_t doubt_ns; /* wall clock: until then some write may still run; 0: none */
    int64_t until_ns;         /* of the wait under way, monotonic, as those below */
    int64_t began_ns;         /* the commit */
    int64_t compared_ns;      /* the last comparison began */
};

static int64_t wall_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * IC_NS_PER_SEC + now.tv_nsec;
}

/* --- doubt --- */

/* Is anything being sent, and until when may something run? An earlier process that did not end
 * in order may have sent until just now. */
static int save_doubt(struct plain *plain, bool is_sending, struct ic_error *err)
{
    struct ic_buf buf = {0};
    memory_note_put(&buf, NOTE_FORM);
    memory_note_put(&buf, is_sending);
    memory_note_put(&buf, (uint64_t)atomic_load(&plain->doubt_ns));
    int result = ic_buf_status(&buf);
    if (result == 0)
        result = stage_note(plain->commit->stage, MEMORY_NOTE_DOUBT, buf.bytes, buf.len);
    ic_buf_fini(&buf);
    if (result < 0)
        ic_fail(err, IC_E_REJECTED, "the staging directory: %s", strerror(-result));
    return result;
}

static void load_doubt(struct plain *plain, struct stage *stage)
{
    int64_t settled_ns = wall_ns() + plain->commit->owner->settle_ns;
    void *bytes = NULL;
    size_t len;
    uint64_t form;
    uint64_t is_sending;
    uint64_t until_ns;
    if (stage_get_note(stage, MEMORY_NOTE_DOUBT, &bytes, &len) < 0)
        return;
    struct ic_cursor cursor = ic_cursor(bytes, len);
    if (memory_note_get(&cursor, &form) && form == NOTE_FORM &&
        memory_note_get(&cursor, &is_sending) && memory_note_get(&cursor, &until_ns)) {
        /* A clock that was set back must not make it wait for ever. */
        bool is_far = is_sending || until_ns > (uint64_t)settled_ns;
        int64_t found_ns = is_far ? settled_ns : (int64_t)until_ns;
        if (found_ns > atomic_load(&plain->doubt_ns))
            atomic_store(&plain->doubt_ns, found_ns);
    }
    free(bytes);
}

static void doubt(struct plain *plain)
{
    atomic_store(&plain->doubt_ns, wall_ns() + plain->commit->owner->settle_ns);
}

static int wait_until(void *arg, const atomic_bool *stop, struct ic_error *err)
{
    const struct plain *plain = arg;
    while (ic_wait_now_ns() < plain->until_ns) {
        if (atomic_load(stop))
            return ic_fail(err, IC_E_CANCELLED, "the restore was cancelled");
        const struct timespec slice = {.tv_nsec = 20 * IC_NS_PER_MS};
        nanosleep(&slice, NULL);
    }
    return 0;
}

static int pause_for(struct plain *plain, int64_t ns, struct ic_error *err)
{
    plain->until_ns = ic_wait_now_ns() + ns;
    return ns > 0 ? memory_once(plain->commit, WAIT_LONG_NS, wait_until, plain, err) : 0;
}

/* --- writing --- */

static int add_offset(const struct memory_restorer *owner, uint64_t off, struct fs_arguments *args,
                      struct ic_error *err)
{
    const struct fs_memory *memory = &owner->memory;
    if (memory->has_id)
        (void)!fs_arguments_add(args, IC_TYPE_NAT8, memory->id); /* fits */
    uint64_t number = memory->style == FS_MEMORY_PAGE ? off / memory->page_size : off;
    if (!fs_arguments_add(args, memory->write.number, number))
        return ic_fail(err, IC_E_TOO_LARGE, "%s takes 32-bit numbers, offset %llu is larger",
                       memory->write.write, (unsigned long long)off);
    return 0;
}

static int write_once(struct plain *plain, const struct ic_value *args, size_t n_args,
                      const atomic_bool *stop, struct ic_error *err)
{
    const char *method = plain->commit->owner->memory.write.write;
    struct memory_reply reply;
    int result = memory_update(plain->commit, method, args, n_args, stop, &reply, err);
    if (result < 0 && err->code == IC_E_UNKNOWN_OUTCOME)
        doubt(plain);
    if (result < 0)
        return result;
    result = memory_step_judge(method, ic_candid_arg(reply.values, 0), false, err);
    memory_reply_fini(&reply);
    return result;
}

static int plain_send(void *arg, uint64_t off, const uint8_t *bytes, size_t len,
                      const atomic_bool *stop, struct ic_error *err)
{
    struct plain *plain = arg;
    struct fs_arguments args = {0};
    int result = add_offset(plain->commit->owner, off, &args, err);
    if (result < 0)
        return result;
    if (plain->commit->owner->memory.style != FS_MEMORY_PAGE) {
        args.values[args.n++] = ic_blob(bytes, len);
        return write_once(plain, args.values, args.n, stop, err);
    }
    const struct ic_type_field fields[] = {{0, args.values[0].type}, {1, &ic_type_blob}};
    const struct ic_type record = {.kind = IC_TYPE_RECORD, .as.fields = {fields, 2}};
    const struct ic_type pages = {.kind = IC_TYPE_VEC, .as.elem = &record};
    const struct ic_value items[] = {args.values[0], ic_blob(bytes, len)};
    const struct ic_value page = {.type = &record, .as.seq = {items, 2}};
    const struct ic_value value = {.type = &pages, .as.seq = {&page, 1}};
    return write_once(plain, &value, 1, stop, err);
}

static int send_plan(struct plain *plain, struct ic_error *err)
{
    struct memory_commit *commit = plain->commit;
    const struct fs_memory *memory = &commit->owner->memory;
    struct fs_restore_progress *progress = commit->run->progress;
    bool is_paged = memory->style == FS_MEMORY_PAGE;
    struct memory_sender sender = {
        .chunk_max = is_paged ? (size_t)memory->page_size : MEMORY_CHUNK_MAX,
        .step = is_paged ? memory->page_size / MEMORY_PAGE : 0,
        .send = plain_send,
        .arg = plain,
    };
    int result = save_doubt(plain, true, err);
    if (result < 0)
        return result;
    memory_set_phase(commit, FS_RESTORE_SENDING);
    atomic_fetch_add(&progress->n_to_send, commit->plan.n_set * MEMORY_PAGE);
    result = memory_send(commit, &sender, err);
    if (result < 0) /* those under way were given up */
        doubt(plain);
    struct ic_error ignored;
    int saved = save_doubt(plain, false, result < 0 ? &ignored : err);
    return result < 0 ? result : saved;
}

/* --- steps --- */

/* A canister with a header reads it at an upgrade: until then it tells the size of what was there
 * before, and gives all that `init` has made room for. */
static int look(struct memory_commit *commit, struct ic_error *err)
{
    const struct fs_memory *memory = &commit->owner->memory;
    int result = memory_look(commit, err);
    bool has_room = memory->header[0] && memory_step_is_done(commit, MEMORY_STEP_INIT);
    if (result == 0 && has_room && commit->present.size < commit->size)
        commit->present.size = commit->size;
    return result;
}

static int init(struct plain *plain, struct ic_error *err)
{
    struct memory_commit *commit = plain->commit;
    const char *method = commit->owner->memory.write.init;
    const struct ic_value size = ic_nat64(commit->size);
    if (!method[0] || memory_step_is_done(commit, MEMORY_STEP_INIT))
        return 0;
    int result = memory_step_run(commit, MEMORY_STEP_INIT, method, &size, 1, err);
    return result < 0 ? result : look(commit, err);
}

static int grow(struct plain *plain, struct ic_error *err)
{
    struct memory_commit *commit = plain->commit;
    const struct fs_memory *memory = &commit->owner->memory;
    const char *method = memory->write.grow;
    struct fs_arguments args = {0};
    if (!method[0] || commit->present.size >= commit->size)
        return 0;
    uint64_t pages = (commit->size - commit->present.size + MEMORY_PAGE - 1) / MEMORY_PAGE;
    if (memory->has_id)
        (void)!fs_arguments_add(&args, IC_TYPE_NAT8, memory->id); /* fits */
    if (!fs_arguments_add(&args, memory->write.grow_number, pages))
        return ic_fail(err, IC_E_TOO_LARGE, "%s takes 32-bit numbers", method);
    int result = memory_step_run(commit, MEMORY_STEP_GROW, method, args.values, args.n, err);
    for (int n = 0; result == 0 && commit->present.size < commit->size; n++) {
        if (n == SIZE_LOOKS)
            return ic_fail(err, IC_E_NO_SPACE, "%s succeeded, but the memory has still %llu bytes",
                           method, (unsigned long long)commit->present.size);
        result = n > 0 ? pause_for(plain, LOOK_NS, err) : 0;
        if (result == 0)
            result = look(commit, err);
    }
    return result;
}

static int finish(struct plain *plain, struct ic_error *err)
{
    const struct ic_value flag = ic_bool(true);
    const char *method = plain->commit->owner->memory.write.finish;
    if (!method[0])
        return 0;
    memory_set_phase(plain->commit, FS_RESTORE_APPLYING);
    return memory_step_run(plain->commit, MEMORY_STEP_FINISH, method, &flag, 1, err);
}

/* --- comparing --- */

static int compare(struct plain *plain, struct ic_error *err)
{
    struct memory_commit *commit = plain->commit;
    plain->compared_ns = ic_wait_now_ns();
    return memory_compare(commit, memory_compare_choose(commit), NULL,
                          commit->owner->memory.write.grow[0] != '\0', err);
}

/* After sending: a node that lags behind must not make it be sent again. */
static int compare_again(struct plain *plain, struct ic_error *err)
{
    struct memory_commit *commit = plain->commit;
    int result = 0;
    memory_set_phase(commit, FS_RESTORE_CHECKING);
    for (int n = 0; result == 0 && n < LOOKS && (n == 0 || commit->plan.n_set > 0); n++) {
        result = n > 0 ? pause_for(plain, LOOK_NS, err) : 0;
        if (result == 0)
            result = look(commit, err);
        if (result == 0)
            result = compare(plain, err);
    }
    return result;
}

/* When every node knows what was changed before the commit. One that lags behind may show what is
 * in the file, and so hide what must be sent: before this it does not count that nothing differs.
 */
static int64_t known_ns(const struct plain *plain)
{
    int64_t lag_ns = plain->commit->owner->lag_ns;
    return plain->began_ns + (lag_ns < LAG_NS ? lag_ns : LAG_NS);
}

/* Until nothing differs, and nothing that may run late can change that. */
static int converge(struct plain *plain, struct ic_error *err)
{
    struct memory_commit *commit = plain->commit;
    int result = compare(plain, err);
    for (int n = 0; result == 0; n++) {
        int64_t wait_ns = atomic_load(&plain->doubt_ns) - wall_ns();
        if (commit->plan.n_set == 0 && wait_ns <= 0 && plain->compared_ns >= known_ns(plain))
            break;
        if (n == ROUNDS)
            return ic_fail(err, IC_E_CHANGED,
                           "%llu pages are not what was written, after %d times: does somebody "
                           "else change the memory?",
                           (unsigned long long)commit->plan.n_set, n);
        if (commit->plan.n_set > 0)
            result = send_plan(plain, err);
        wait_ns = atomic_load(&plain->doubt_ns) - wall_ns();
        if (result == 0)
            result = pause_for(plain, wait_ns, err);
        if (result == 0)
            result = pause_for(plain, known_ns(plain) - ic_wait_now_ns(), err);
        if (result == 0)
            result = compare_again(plain, err);
    }
    return result;
}

static int run(struct plain *plain, struct ic_error *err)
{
    struct memory_commit *commit = plain->commit;
    int result = memory_check_base(commit, err);
    if (result < 0)
        return result;
    if (commit->run->dry_run)
        return compare(plain, err);
    load_doubt(plain, commit->stage);
    for (size_t i = 0; i < commit->run->n_others; i++)
        load_doubt(plain, commit->run->others[i]);
    result = memory_step_settle(commit, err);
    if (result == 0)
        result = look(commit, err);
    if (result == 0)
        result = init(plain, err);
    if (result == 0)
        result = grow(plain, err);
    if (result == 0)
        result = converge(plain, err);
    return result < 0 ? result : finish(plain, err);
}

int memory_commit_plain(struct memory_commit *commit, struct ic_error *err)
{
    struct plain plain = {.commit = commit, .began_ns = ic_wait_now_ns()};
    const struct fs_memory *memory = &commit->owner->memory;
    if (memory->style == FS_MEMORY_PAGE && memory->page_size % MEMORY_PAGE != 0) {
        ic_fail(err, IC_E_CONFIG, "pages of %llu bytes cannot be written, only multiples of 65536",
                (unsigned long long)memory->page_size);
        return -EOPNOTSUPP;
    }
    int result = memory_content_survey(commit, err);
    if (result == 0)
        result = run(&plain, err);
    if (result == 0)
        memory_summarize(commit, "; not atomic%s%s%s",
                         memory->write.finish[0] ? "; upgrade the canister now: " : "",
                         memory->write.finish,
                         memory->write.finish[0] ? " told it to take the memory over" : "");
    return result;
}
