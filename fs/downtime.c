/* See downtime.h. */
#include "fs/downtime.h"

#include "fs/downtime_note.h"
#include "fs/staging_dir.h"
#include "ic/lifecycle.h"
#include "ic/wait.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A canister whose calls stay open is waited for so long. */
#define STOP_NS (15 * 60 * IC_NS_PER_SEC)
/* Starting is tried for so long. */
#define START_NS (10 * 60 * IC_NS_PER_SEC)
/* One call of it is waited for so long at first, and at most; then another one is made beside it,
 * which does no harm. A call that got lost goes out again for some 40 s only, and is known to be
 * lost when it has expired, minutes later; a busy network may take more than the first. */
#define START_FIRST_NS   (20 * IC_NS_PER_SEC)
#define START_LONGEST_NS (60 * IC_NS_PER_SEC)
/* A refusal is one machine's word, which nobody certified: that of so many is believed. */
#define START_REFUSALS 3
#define AGAIN_NS       (5 * IC_NS_PER_SEC)
/* What this computer's clock may differ from the network's. */
#define SKEW_NS (60 * (uint64_t)IC_NS_PER_SEC)

struct fs_downtime {
    const struct fs_target *target; /* immutable, as dir and problem */
    char *dir;                      /* NULL: there is none */
    char problem[200];              /* why there is none */

    /* of the thread that is at it, between acquire and release */
    struct fs_target own;
    int dir_fd;
    int lock_fd;
    bool must_start;
    bool is_settled; /* what became of the call of the note is certain */

    pthread_mutex_t lock;
    struct fs_downtime_note note; /* guarded by lock, but written by the thread at it only */
    bool is_noted;                /* the same; a note that cannot be read counts */
};

static int64_t wall_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * IC_NS_PER_SEC + now.tv_nsec;
}

static void set_note(struct fs_downtime *self, bool is_noted, const struct fs_downtime_note *note)
{
    pthread_mutex_lock(&self->lock);
    self->is_noted = is_noted;
    self->note = *note;
    pthread_mutex_unlock(&self->lock);
}

/* --- life --- */

/* -ENOENT: nothing is noted. One that cannot be read is taken for one of which nothing is known. */
static int read_note(int dir_fd, struct fs_downtime_note *out)
{
    int result = fs_downtime_note_read(dir_fd, out);
    if (result == 0 || result == -ENOENT)
        return result;
    *out = (struct fs_downtime_note){.was_running = true, .since_ns = wall_ns()};
    snprintf(out->purpose, sizeof(out->purpose), "(the note of it cannot be read: %s)",
             result == -EPROTO ? "not of this program" : strerror(-result));
    return 0;
}

static bool is_locked(int dir_fd)
{
    struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd = openat(dir_fd, "downtime.lock", O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool is_locked = fcntl(fd, F_OFD_GETLK, &range) == 0 && range.l_type != F_UNLCK;
    close(fd);
    return is_locked;
}

static void tell_noted(const struct fs_downtime *self, bool is_locked)
{
    const struct fs_downtime_note *note = &self->note;
    const char *cure = "";
    if (note->was_running)
        cure = is_locked ? " yet; should it stay so: control start starts it"
                         : ": control start starts it";
    fs_log_print(self->target->log, FS_LOG_WARNING, "'%s' of %s: canister %s %s%s", note->purpose,
                 is_locked ? "another mount, which may be ending, is not over"
                           : "an earlier mount was interrupted",
                 self->target->canister_text,
                 note->was_running ? "may be stopped" : "was stopped before", cure);
}

static void look_back(struct fs_downtime *self)
{
    int fd = open(self->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return; /* nothing was ever kept there */
    self->is_noted = read_note(fd, &self->note) == 0;
    if (self->is_noted)
        tell_noted(self, is_locked(fd));
    close(fd);
}

int fs_downtime_open(struct fs_downtime **out, const struct fs_target *target)
{
    struct fs_downtime *self = calloc(1, sizeof(*self));
    if (!self)
        return -ENOMEM;
    self->target = target;
    self->dir_fd = -1;
    self->lock_fd = -1;
    pthread_mutex_init(&self->lock, NULL);
    if (fs_staging_dir(target, &self->dir, self->problem, sizeof(self->problem)) == 0)
        look_back(self);
    else
        self->dir = NULL;
    *out = self;
    return 0;
}

void fs_downtime_close(struct fs_downtime *downtime)
{
    if (!downtime)
        return;
    pthread_mutex_destroy(&downtime->lock);
    free(downtime->dir);
    free(downtime);
}

const struct fs_target *fs_downtime_target(const struct fs_downtime *downtime)
{
    return &downtime->own;
}

void fs_downtime_describe(struct fs_downtime *downtime, struct fs_downtime_info *out)
{
    *out = (struct fs_downtime_info){0};
    pthread_mutex_lock(&downtime->lock);
    out->is_noted = downtime->is_noted;
    out->was_running = downtime->note.was_running;
    out->since_ns = downtime->note.since_ns;
    memcpy(out->purpose, downtime->note.purpose, sizeof(out->purpose));
    pthread_mutex_unlock(&downtime->lock);
}

/* --- who is at it --- */

static int fail_disk(const struct fs_downtime *self, int result, struct ic_error *err)
{
    ic_fail(err, IC_E_CONFIG, "staging_dir: '%s' cannot be used: %s", self->dir,
            result == -EPERM ? "it is another user's, or others may write to it"
                             : strerror(-result));
    return result;
}

static void release(struct fs_downtime *self)
{
    fs_target_close(&self->own);
    if (self->lock_fd >= 0)
        close(self->lock_fd);
    if (self->dir_fd >= 0)
        close(self->dir_fd);
    self->lock_fd = -1;
    self->dir_fd = -1;
}

static int lock_dir(struct fs_downtime *self, struct ic_error *err)
{
    struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int result = fs_staging_dir_open(self->dir, &self->dir_fd);
    if (result < 0)
        return fail_disk(self, result, err);
    self->lock_fd =
        openat(self->dir_fd, "downtime.lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (self->lock_fd < 0)
        return fail_disk(self, -errno, err);
    if (fcntl(self->lock_fd, F_OFD_SETLK, &range) == 0)
        return 0;
    if (errno == EAGAIN || errno == EACCES)
        return ic_fail(err, IC_E_BUSY,
                       "another mount of this canister, or one that is ending, is changing it: "
                       "when it has ended");
    return fail_disk(self, -errno, err);
}

static int acquire(struct fs_downtime *self, struct ic_error *err)
{
    if (!self->dir)
        return ic_fail(err, IC_E_CONFIG, "%s", self->problem);
    int result = lock_dir(self, err);
    if (result == 0)
        result = fs_target_open_again(&self->own, self->target, err);
    if (result < 0) {
        release(self);
        return result;
    }
    struct fs_downtime_note note = {0};
    set_note(self, read_note(self->dir_fd, &note) == 0, &note);
    self->is_settled = false;
    return 0;
}

/* --- the note --- */

static int write_note(struct fs_downtime *self, const struct fs_downtime_note *note,
                      struct ic_error *err)
{
    int result = fs_downtime_note_write(self->dir_fd, note);
    if (result < 0)
        return fail_disk(self, result, err);
    set_note(self, true, note);
    return 0;
}

static int remove_note(struct fs_downtime *self, struct ic_error *err)
{
    int result = fs_downtime_note_remove(self->dir_fd);
    if (result < 0)
        return fail_disk(self, result, err);
    set_note(self, false, &(struct fs_downtime_note){0});
    return 0;
}

static int note_call(void *arg, const struct ic_update *update, struct ic_error *err)
{
    struct fs_downtime *self = arg;
    struct fs_downtime_note note = self->note;
    snprintf(note.method, sizeof(note.method), "%s", update->method);
    memcpy(note.request_id, update->request_id, sizeof(note.request_id));
    note.expiry_ns = update->expiry_ns;
    self->is_settled = false;
    return write_note(self, &note, err);
}

/* --- waiting --- */

static bool is_cancelled(const struct fs_job *job)
{
    return atomic_load(fs_job_io(job, 0).cancel);
}

/* For what must be done yet, also when the job is cancelled: then it is not given long. */
static struct ic_io closing_io(const struct fs_job *job, int64_t ns)
{
    struct ic_io io = fs_job_io(job, (uint64_t)ns);
    if (!is_cancelled(job))
        return io;
    io.cancel = NULL;
    io.deadline_ns = ic_wait_now_ns() + FS_DOWNTIME_GIVE_UP_NS;
    return io;
}

/* See to it that the call of the note does not run later. One that nobody knows any more cannot,
 * once it has expired; one that nobody could be asked about may. */
static int settle(struct fs_downtime *self, struct fs_job *job, const struct ic_io *io,
                  struct ic_error *err)
{
    const struct fs_downtime_note *note = &self->note;
    bool was_unknown = false;
    if (self->is_settled || !self->is_noted || !note->method[0])
        return 0;
    fs_job_say(job, "finding out what became of %s", note->method);
    for (;;) {
        struct ic_reply reply = {0};
        struct ic_error cause = {0};
        int result = ic_agent_ask_update(self->own.agent, &self->own.canister, note->method,
                                         note->request_id, note->expiry_ns, io, &reply, &cause);
        ic_reply_fini(&reply);
        bool is_unknown = result < 0 && cause.code == IC_E_UNKNOWN_OUTCOME;
        bool has_expired = (uint64_t)wall_ns() > note->expiry_ns + SKEW_NS;
        int patience = ic_wait_check(io);
        self->is_settled = !is_unknown || (was_unknown && has_expired && patience == 0);
        if (self->is_settled)
            return 0;
        if (patience < 0 || fs_change_pause(io, AGAIN_NS) < 0)
            return ic_fail(err, IC_E_UNKNOWN_OUTCOME,
                           "what became of %s could not be learned: %.400s", note->method,
                           cause.message);
        was_unknown = has_expired;
    }
}

/* --- stop and start --- */

static const char stop_method[] = "stop_canister";
static const struct fs_change start_call = {
    .method = "start_canister",
    .proof = IC_UPDATE_ANSWERED, /* a canister that runs may be started again */
};

/* From here on it may be stopped by us. */
static int note_stop(void *arg, const struct ic_update *update, struct ic_error *err)
{
    struct fs_downtime *self = arg;
    int result = note_call(self, update, err);
    if (result == 0 && self->note.was_running)
        self->must_start = true;
    return result;
}

/* is_noted: the note tells of the call */
static int call_stop(struct fs_downtime *self, struct fs_job *job, bool is_noted,
                     struct ic_error *err)
{
    const struct fs_change stop = {
        .method = stop_method,
        .proof = IC_UPDATE_CERTIFIED,
        .note = is_noted ? note_stop : NULL,
        .note_arg = self,
    };
    int64_t until_ns = ic_wait_now_ns() + STOP_NS;
    fs_job_say(job, "stopping the canister: waiting until its calls are answered");
    for (;;) {
        const struct ic_io io = fs_job_io(job, FS_CHANGE_NS);
        struct ic_error cause = {0};
        int result = fs_change_do(&self->own, &stop, &io, &cause);
        self->is_settled = result == 0 || cause.code != IC_E_UNKNOWN_OUTCOME;
        /* IC0206: it waited for five minutes, and is still about to stop. */
        bool is_waiting = result < 0 && strcmp(cause.error_code, "IC0206") == 0;
        if (result == 0)
            return 0;
        if (!is_waiting || ic_wait_now_ns() >= until_ns || is_cancelled(job)) {
            *err = cause;
            return result;
        }
    }
}

/* May it work when it is tried again, however often? IC_E_OVERLOADED has a reject code, too. */
static bool is_transient(const struct ic_error *err)
{
    return err->code == IC_E_OVERLOADED ||
           (err->reject_code == 0 && err->code != IC_E_DENIED && err->code != IC_E_NOT_FOUND &&
            err->code != IC_E_CONFIG && err->code != IC_E_NO_MEMORY);
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Until one is answered: who is cancelled meanwhile tries on, but not for long. */
static int call_start(struct fs_downtime *self, struct fs_job *job, struct ic_error *err)
{
    int64_t until_ns = ic_wait_now_ns() + START_NS;
    int64_t patience_ns = START_FIRST_NS;
    unsigned n_refusals = 0;
    bool is_closing = false;
    fs_job_say(job, "starting the canister");
    for (;;) {
        if (!is_closing && is_cancelled(job)) {
            is_closing = true;
            until_ns = earlier(until_ns, ic_wait_now_ns() + FS_DOWNTIME_GIVE_UP_NS);
        }
        struct ic_io io = fs_job_io(job, 0);
        io.deadline_ns = earlier(until_ns, ic_wait_now_ns() + patience_ns);
        if (is_closing)
            io.cancel = NULL;
        struct ic_error cause = {0};
        int result = fs_change_do(&self->own, &start_call, &io, &cause);
        if (result == 0)
            return 0;
        n_refusals += !is_transient(&cause);
        if (n_refusals == START_REFUSALS || ic_wait_now_ns() >= until_ns) {
            *err = cause;
            return result;
        }
        fs_job_say(job, "starting the canister, tried again: %s", cause.message);
        fs_log_print(self->target->log, FS_LOG_WARNING, "canister %s: starting it, tried again: %s",
                     self->target->canister_text, cause.message);
        io.deadline_ns = until_ns;
        (void)!fs_change_pause(&io, AGAIN_NS); /* cut short, it is the last try, or is closing */
        patience_ns = earlier(2 * patience_ns, START_LONGEST_NS);
    }
}

/* A stop that waits for the canister's calls, maybe for minutes, is ended by a start. One that is
 * still on its way is not: so another start comes when it is settled. */
static void end_stop(struct fs_downtime *self, struct fs_job *job)
{
    struct ic_error ignored;
    if (!self->is_settled && self->is_noted && strcmp(self->note.method, stop_method) == 0)
        (void)!call_start(self, job, &ignored);
}

static int bring_back(struct fs_downtime *self, struct fs_job *job, struct ic_error *err)
{
    bool is_last;
    int result;
    do {
        is_last = is_cancelled(job);
        if (self->must_start)
            end_stop(self, job);
        const struct ic_io io = closing_io(job, (int64_t)FS_CHANGE_NS);
        result = settle(self, job, &io, err);
    } while (result < 0 && !is_last && is_cancelled(job));
    if (result == 0 && self->must_start)
        result = call_start(self, job, err);
    if (result == 0 && self->must_start)
        fs_log_print(self->target->log, FS_LOG_INFO, "canister %s is started",
                     self->target->canister_text);
    return result < 0 ? result : remove_note(self, err);
}

int fs_downtime_end(struct fs_downtime *downtime, struct fs_job *job, int result,
                    struct ic_error *err)
{
    struct ic_error cause = {0};
    int ended = bring_back(downtime, job, &cause);
    bool must_start = downtime->must_start;
    release(downtime);
    if (ended == 0)
        return result;
    struct ic_error *about = result < 0 ? err : &cause;
    char change[200];
    snprintf(change, sizeof(change), "%.199s", result < 0 ? err->message : "it was done");
    ic_error_reword(about, "%s; %s%.200s", change,
                    must_start ? "THE CANISTER MAY STAY STOPPED: control start; " : "",
                    cause.message);
    if (result == 0)
        *err = cause;
    return result < 0 ? result : ended;
}

/* --- begin --- */

/* Nothing is changed yet, but the note. */
static int prepare(struct fs_downtime *self, struct fs_job *job, const char *purpose,
                   enum ic_run_state *out, struct ic_error *err)
{
    const struct ic_io io = fs_job_io(job, FS_CHANGE_NS);
    struct ic_canister_status status = {0};
    int result = settle(self, job, &io, err);
    if (result == 0)
        result = ic_canister_status(self->own.agent, &self->own.canister, &io, &status, err);
    if (result < 0)
        return result;
    bool is_owed = self->is_noted && self->note.was_running;
    struct fs_downtime_note note = {.was_running = is_owed || status.state == IC_RUNNING,
                                    .since_ns = is_owed ? self->note.since_ns : wall_ns()};
    snprintf(note.purpose, sizeof(note.purpose), "%s", purpose);
    result = write_note(self, &note, err);
    self->is_settled = true;
    self->must_start = is_owed;
    *out = status.state;
    return result;
}

static int stop_for(struct fs_downtime *self, struct fs_job *job, const char *purpose,
                    struct ic_error *err)
{
    int result = call_stop(self, job, true, err);
    if (result == 0)
        fs_log_print(self->target->log, FS_LOG_INFO, "canister %s is stopped: %s",
                     self->target->canister_text, purpose);
    return result;
}

int fs_downtime_begin(struct fs_downtime *downtime, struct fs_job *job, enum fs_downtime_kind kind,
                      const char *purpose, struct ic_error *err)
{
    enum ic_run_state state;
    int result = acquire(downtime, err);
    if (result < 0)
        return result;
    result = prepare(downtime, job, purpose, &state, err);
    if (result < 0)
        release(downtime);
    if (result < 0 || kind == FS_DOWNTIME_LIVE || state == IC_STOPPED)
        return result;
    result = stop_for(downtime, job, purpose, err);
    if (result == 0)
        return 0;
    result = fs_downtime_end(downtime, job, result, err);
    if (err->code != IC_E_UNKNOWN_OUTCOME || downtime->is_noted)
        return result;
    /* Of the stop, and that is settled: nothing was done. */
    err->code = err->cause != IC_OK ? err->cause : IC_E_UNREACHABLE;
    err->cause = IC_OK;
    ic_error_reword(err, "not stopped: %.450s", err->message);
    return ic_error_errno(err);
}

int fs_downtime_call(struct fs_downtime *downtime, struct fs_job *job,
                     const struct fs_change *change, struct ic_management_reply *out,
                     struct ic_error *err)
{
    struct fs_change noted = *change;
    noted.note = note_call;
    noted.note_arg = downtime;
    const struct ic_io io = fs_job_io(job, FS_CHANGE_NS);
    int result = fs_change_make(&downtime->own, &noted, &io, out, err);
    downtime->is_settled = result == 0 || err->code != IC_E_UNKNOWN_OUTCOME;
    return result;
}

/* --- commands --- */

int fs_downtime_start(struct fs_downtime *downtime, struct fs_job *job, struct ic_error *err)
{
    int result = acquire(downtime, err);
    if (result < 0)
        return result;
    downtime->must_start = true;
    result = bring_back(downtime, job, err);
    release(downtime);
    return result;
}

int fs_downtime_stop(struct fs_downtime *downtime, struct fs_job *job, struct ic_error *err)
{
    int result = acquire(downtime, err);
    if (result < 0)
        return result;
    const struct ic_io io = fs_job_io(job, FS_CHANGE_NS);
    struct ic_canister_status status = {0};
    result = settle(downtime, job, &io, err);
    /* Who may not is told so at once: of a refused call it takes minutes to be sure. */
    if (result == 0)
        result =
            ic_canister_status(downtime->own.agent, &downtime->own.canister, &io, &status, err);
    if (result == 0)
        result = call_stop(downtime, job, false, err);
    if (result == 0)
        result =
            remove_note(downtime, err); /* from now on it is stopped because the user says so */
    release(downtime);
    return result;
}
