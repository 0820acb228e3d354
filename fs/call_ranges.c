/* See call_ranges.h. */
#include "fs/call_ranges.h"

#include "fs/argument.h"
#include "fs/call_ranges_note.h"
#include "fs/judge.h"
#include "fs/note_file.h"
#include "fs/staging_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Until the certified outcome of one call: it begins within five minutes or not at all. */
#define CALL_NS         (UINT64_C(11) * 60 * 1000000000)
#define EXPIRY_MARGIN_S 60

static const char note_name[] = "ranges";

struct course {
    const struct fs_target *target;
    struct fs_job *job;
    int dir_fd;
    int lock_fd;
    enum ic_type_kind kinds[2]; /* of the arguments */
    bool is_to_first;
    struct call_ranges_note note;
};

/* --- the method --- */

static int fail_method(const char *method, const char *words, struct ic_error *err)
{
    ic_fail(err, IC_E_CONFIG, "%.200s: %s", method, words);
    return -EINVAL;
}

static bool is_one_of(struct ic_view name, const char *a, const char *b)
{
    return ic_view_is_text(name, a) || ic_view_is_text(name, b);
}

static struct ic_view name_of(const struct ic_type *func, size_t i)
{
    const struct ic_type_names *names = func->names;
    return names && names->labels ? names->labels[i].name : ic_view(NULL, 0);
}

static int find_order(struct course *c, const struct ic_type *func, const char *method,
                      struct ic_error *err)
{
    struct ic_view names[] = {name_of(func, 0), name_of(func, 1)};
    if (!names[0].bytes && !names[1].bytes)
        return 0;
    if (is_one_of(names[0], "from", "start") && is_one_of(names[1], "to", "end"))
        return 0;
    c->is_to_first = is_one_of(names[0], "to", "end") && is_one_of(names[1], "from", "start");
    return c->is_to_first ? 0
                          : fail_method(method,
                                        "its arguments are named, but not from and to, nor "
                                        "start and end",
                                        err);
}

static int find_method(struct course *c, const struct fs_call_ranges *what, struct ic_error *err)
{
    if (!what->did) {
        ic_fail(err, IC_E_CONFIG, "the canister's interface is not known: -o did=FILE");
        return -EOPNOTSUPP;
    }
    const struct ic_type_method *method = ic_did_find_method(what->did, what->method);
    if (!method)
        return ic_fail(err, IC_E_NOT_FOUND, "there is no method '%.200s'", what->method);
    const struct ic_type *func = method->type;
    if (func->as.func.mode != IC_FUNC_UPDATE)
        return fail_method(what->method, "it is no update method", err);
    if (func->as.func.n_args != 2)
        return fail_method(what->method, "it does not take two numbers, from and to", err);
    for (size_t i = 0; i < 2; i++) {
        c->kinds[i] = func->as.func.args[i]->kind;
        if (!fs_argument_is_number(c->kinds[i]))
            return fail_method(what->method,
                               "it does not take two numbers (nat, nat8 to nat64, int, int8 to "
                               "int64)",
                               err);
    }
    return find_order(c, func, what->method, err);
}

/* --- the note --- */

static int fail_disk(int result, struct ic_error *err)
{
    ic_fail(err, IC_E_CONFIG, "staging_dir: how far it has come cannot be noted: %s",
            strerror(-result));
    return result;
}

static int write_note(const struct course *c, struct ic_error *err)
{
    char text[CALL_RANGES_NOTE_MAX];
    size_t len = call_ranges_note_format(&c->note, text);
    int result = fs_note_file_write(c->dir_fd, note_name, text, len);
    return result < 0 ? fail_disk(result, err) : 0;
}

/* The directory, for this mount alone. */
static int open_dir(struct course *c, struct ic_error *err)
{
    struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char message[200];
    char *path;
    int result = fs_staging_dir(c->target, &path, message, sizeof(message));
    if (result < 0) {
        ic_fail(err, IC_E_CONFIG, "%s", message);
        return result;
    }
    result = fs_staging_dir_open(path, &c->dir_fd);
    free(path);
    if (result < 0)
        return fail_disk(result, err);
    c->lock_fd = openat(c->dir_fd, "ranges.lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (c->lock_fd < 0)
        return fail_disk(-errno, err);
    return fcntl(c->lock_fd, F_OFD_SETLK, &range) == 0
               ? 0
               : ic_fail(err, IC_E_BUSY, "another mount of this canister is at it");
}

/* from=N says what was done, and sets aside what was noted; but not a call that may run yet, beside
 * those that are made now. Where nobody knows of it and it has expired, the user has decided. */
static int check_over(const struct course *c, const struct call_ranges_note *left,
                      struct ic_error *err)
{
    const struct ic_io io = fs_job_io(c->job, CALL_NS);
    struct ic_reply reply = {0};
    struct ic_error cause = {0};
    struct timespec now;
    fs_job_say(c->job, "waiting until an earlier call cannot run any more");
    int result = ic_agent_ask_update(c->target->agent, &c->target->canister, left->method,
                                     left->request_id, left->expiry_ns, &io, &reply, &cause);
    ic_reply_fini(&reply);
    clock_gettime(CLOCK_REALTIME, &now);
    if (result == 0 || cause.code != IC_E_UNKNOWN_OUTCOME ||
        (uint64_t)now.tv_sec > left->expiry_ns / 1000000000 + EXPIRY_MARGIN_S)
        return 0;
    *err = cause;
    ic_error_reword(
        err, "%.100s of [%llu, %llu) was sent, and may run yet: nothing is called: %.200s",
        left->method, (unsigned long long)left->done, (unsigned long long)left->to, cause.message);
    return result;
}

static int read_note(struct course *c, const struct fs_call_ranges *what, struct ic_error *err)
{
    char text[CALL_RANGES_NOTE_MAX + 1];
    struct call_ranges_note found;
    struct call_ranges_note fresh = {
        .total = what->total, .done = what->from, .step = what->total > 0 ? what->total : 1};
    memcpy(fresh.method, what->method, strlen(what->method) + 1);
    c->note = fresh;
    ssize_t len = fs_note_file_read(c->dir_fd, note_name, text, sizeof(text));
    if (len == -ENOENT)
        return 0;
    if (len < 0)
        return fail_disk((int)len, err);
    int result = call_ranges_note_parse(text, (size_t)len, &found);
    if (what->has_from)
        return result == 0 && found.has_call ? check_over(c, &found, err) : 0;
    if (result < 0)
        return ic_fail(err, IC_E_MALFORMED,
                       "the note in staging_dir is not of this program: from=0 "
                       "begins anew");
    if (strcmp(found.method, what->method) != 0 || found.total != what->total)
        return ic_fail(err, IC_E_BUSY,
                       "call-ranges %.200s %llu was interrupted at %llu: the same again goes on, "
                       "from=0 begins anew",
                       found.method, (unsigned long long)found.total,
                       (unsigned long long)found.done);
    c->note = found;
    return 0;
}

/* --- one range --- */

static bool add_numbers(const struct course *c, uint64_t to, struct fs_arguments *out)
{
    uint64_t first = c->is_to_first ? to : c->note.done;
    uint64_t second = c->is_to_first ? c->note.done : to;
    return fs_arguments_add(out, c->kinds[0], first) && fs_arguments_add(out, c->kinds[1], second);
}

static int prepare(const struct course *c, uint64_t to, struct ic_update *out, struct ic_error *err)
{
    struct fs_arguments arguments = {0};
    struct ic_buf bytes = {0};
    if (!add_numbers(c, to, &arguments))
        return fail_method(c->note.method, "its arguments do not hold numbers that large", err);
    int result = ic_candid_encode(arguments.values, arguments.n, &bytes, err);
    if (result == 0)
        result =
            ic_agent_prepare_update(c->target->agent, &c->target->canister, &c->target->canister,
                                    c->note.method, bytes.bytes, bytes.len, out, err);
    ic_buf_fini(&bytes);
    return result;
}

/* Take in what became of the call of the note: 0 to go on, or -errno. cause: of a failure. */
static int take_outcome(struct course *c, int result, struct ic_reply *reply,
                        const struct ic_error *cause, struct ic_error *err)
{
    struct call_ranges_note *note = &c->note;
    unsigned long long from = note->done;
    unsigned long long to = note->to;
    struct ic_error why = *cause;
    if (result == 0)
        result = fs_judge_reply(note->method, reply->arg, reply->len, &why);
    ic_reply_fini(reply);
    if (result < 0 && why.code == IC_E_UNKNOWN_OUTCOME) {
        *err = why;
        ic_error_reword(err,
                        "nobody knows whether [%llu, %llu) ran: the same command asks again; or "
                        "look, and give from=%llu or from=%llu: %.200s",
                        from, to, from, to, why.message);
        return result;
    }
    note->has_call = false;
    if (result == 0)
        note->done = note->to;
    bool is_halved = result < 0 && ic_error_is_limit(&why) && to - from > 1;
    if (is_halved)
        note->step = (to - from) / 2;
    int written = write_note(c, err);
    if (written < 0 || result == 0 || is_halved)
        return written;
    *err = why;
    ic_error_reword(err, "[%llu, %llu): %.450s", from, to, why.message);
    return result;
}

static int call(struct course *c, struct ic_error *err)
{
    struct call_ranges_note *note = &c->note;
    struct ic_update update = {0};
    struct ic_reply reply = {0};
    struct ic_error cause = {0};
    uint64_t left = note->total - note->done;
    uint64_t to = note->done + (note->step < left ? note->step : left);
    fs_job_say(c->job, "%llu of %llu done, calling [%llu, %llu)", (unsigned long long)note->done,
               (unsigned long long)note->total, (unsigned long long)note->done,
               (unsigned long long)to);
    int result = prepare(c, to, &update, err);
    if (result < 0)
        return result;
    note->has_call = true;
    note->to = to;
    note->expiry_ns = update.expiry_ns;
    memcpy(note->request_id, update.request_id, sizeof(note->request_id));
    result = write_note(c, err);
    if (result == 0) {
        const struct ic_io io = fs_job_io(c->job, CALL_NS);
        result = ic_agent_send_update(c->target->agent, &update, IC_UPDATE_CERTIFIED, &io, &reply,
                                      &cause);
        result = take_outcome(c, result, &reply, &cause, err);
    }
    ic_update_fini(&update);
    return result;
}

/* What became of the last call of one that was interrupted? */
static int ask(struct course *c, struct ic_error *err)
{
    const struct ic_io io = fs_job_io(c->job, CALL_NS);
    struct ic_reply reply = {0};
    struct ic_error cause = {0};
    if (!c->note.has_call)
        return 0;
    fs_job_say(c->job, "finding out whether [%llu, %llu) ran", (unsigned long long)c->note.done,
               (unsigned long long)c->note.to);
    int result = ic_agent_ask_update(c->target->agent, &c->target->canister, c->note.method,
                                     c->note.request_id, c->note.expiry_ns, &io, &reply, &cause);
    /* Certified that it never ran: it is made anew. */
    if (result < 0 && cause.code == IC_E_OVERLOADED) {
        c->note.has_call = false;
        return write_note(c, err);
    }
    return take_outcome(c, result, &reply, &cause, err);
}

static int run(struct course *c, const struct fs_call_ranges *what, struct ic_error *err)
{
    unsigned long long n_calls = 0;
    int result = open_dir(c, err);
    if (result == 0)
        result = read_note(c, what, err);
    if (result == 0)
        result = ask(c, err);
    for (; result == 0 && c->note.done < c->note.total; n_calls++)
        result = call(c, err);
    if (result < 0)
        return result;
    result = fs_note_file_remove(c->dir_fd, note_name);
    if (result < 0)
        return fail_disk(result, err);
    fs_job_say(c->job, "all of %llu done, %llu calls", (unsigned long long)c->note.total, n_calls);
    return 0;
}

int fs_call_ranges_run(const struct fs_target *target, struct fs_job *job,
                       const struct fs_call_ranges *what, struct ic_error *err)
{
    struct course course = {.target = target, .job = job, .dir_fd = -1, .lock_fd = -1};
    int result = find_method(&course, what, err);
    if (result == 0)
        result = run(&course, what, err);
    if (course.lock_fd >= 0)
        close(course.lock_fd);
    if (course.dir_fd >= 0)
        close(course.dir_fd);
    return result;
}
