/* The staged way. See memory_write.h for the methods.
 *
 * The canister keeps what is sent aside and takes it over when its hash is the declared one, so
 * that no failure on the way can do harm. What is compared to save bytes comes from queries, which
 * may be answered by a node that lags behind: then the hash does not fit, and everything is done
 * once more without relying on any of them.
 *
 *   attempt  what is sent                     declared base
 *   first    what differs from the base       the present version
 *   second   everything                       none; the present version where the stage needs it
 *
 * The note in the stage says which session was begun and whether its commit was asked for: a commit
 * whose reply was lost is asked for again, with the same session, before anything else. So is one
 * of another stage of this memory; if its content is another, it is given up. */
#include "fs/restore_memory_session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NOTE_FORM 1

/* What the stage remembers: as numbers, then the two hashes. */
struct session_note {
    uint64_t session;
    uint64_t size;
    uint64_t has_base;
    uint64_t base_version;
    uint64_t is_committing; /* restore_commit was, or is about to be, called */
    uint8_t sha256[IC_SHA256_LEN];
    uint8_t digest[IC_SHA256_LEN]; /* of the stage */
};

static int save_note(struct memory_commit *commit, const struct session_note *note,
                     struct ic_error *err)
{
    struct ic_buf buf = {0};
    memory_note_put(&buf, NOTE_FORM);
    memory_note_put(&buf, note->session);
    memory_note_put(&buf, note->size);
    memory_note_put(&buf, note->has_base);
    memory_note_put(&buf, note->base_version);
    memory_note_put(&buf, note->is_committing);
    ic_buf_append(&buf, note->sha256, IC_SHA256_LEN);
    ic_buf_append(&buf, note->digest, IC_SHA256_LEN);
    int result = ic_buf_status(&buf);
    if (result == 0)
        result = stage_note(commit->stage, MEMORY_NOTE_SESSION, buf.bytes, buf.len);
    ic_buf_fini(&buf);
    if (result < 0)
        ic_fail(err, IC_E_REJECTED, "the staging directory: %s", strerror(-result));
    return result;
}

static bool parse_note(const uint8_t *bytes, size_t len, struct session_note *out)
{
    struct ic_cursor cursor = ic_cursor(bytes, len);
    struct ic_view hashes;
    uint64_t form;
    if (!memory_note_get(&cursor, &form) || form != NOTE_FORM ||
        !memory_note_get(&cursor, &out->session) || !memory_note_get(&cursor, &out->size) ||
        !memory_note_get(&cursor, &out->has_base) ||
        !memory_note_get(&cursor, &out->base_version) ||
        !memory_note_get(&cursor, &out->is_committing) ||
        !ic_cursor_take(&cursor, (size_t)2 * IC_SHA256_LEN, &hashes))
        return false;
    memcpy(out->sha256, hashes.bytes, IC_SHA256_LEN);
    memcpy(out->digest, hashes.bytes + IC_SHA256_LEN, IC_SHA256_LEN);
    return true;
}

/* False: there is none that can be used. */
static bool load_note(struct stage *stage, struct session_note *out)
{
    void *bytes = NULL;
    size_t len;
    bool has_one = stage_get_note(stage, MEMORY_NOTE_SESSION, &bytes, &len) == 0 &&
                   parse_note(bytes, len, out);
    free(bytes);
    return has_one;
}

bool memory_staged_declared(struct memory_commit *commit, uint64_t size)
{
    struct session_note note;
    return load_note(commit->stage, &note) && note.size == size;
}

/* --- what an earlier commit began --- */

enum earlier { EARLIER_NONE, EARLIER_OPEN, EARLIER_DONE };

/* Finish it, drop it, or find that it can be gone on with. */
static int settle_earlier(struct memory_session *session, const struct session_note *note,
                          enum earlier *out, struct ic_error *err)
{
    struct memory_commit *commit = session->commit;
    bool is_same =
        note->size == commit->size && memcmp(note->digest, commit->digest, IC_SHA256_LEN) == 0;
    int result = 0;
    *out = is_same ? EARLIER_OPEN : EARLIER_NONE;
    session->number = note->session;
    if (!is_same)
        result = memory_session_abort(session, err);
    /* Also one that is being taken over already: it cannot be given up any more. */
    if (is_same ? note->is_committing != 0 : session->refusal == FS_REFUSAL_BUSY)
        result = memory_session_commit(session, err);
    if (is_same && result == 0 && note->is_committing)
        *out = EARLIER_DONE;
    /* A session that is gone, committed or incomplete: all is well, what comes next finds out. */
    if (result < 0 && session->refusal != FS_REFUSAL_NONE)
        result = 0;
    memory_set_phase(commit, FS_RESTORE_CHECKING);
    return result == 0 && *out != EARLIER_DONE ? memory_look(commit, err) : result;
}

/* --- one attempt --- */

static bool is_thorough(const struct memory_commit *commit, unsigned attempt)
{
    return attempt > 0 || (!commit->is_versioned && commit->is_complete);
}

/* What is compared with, and how. */
struct method {
    enum memory_compare how;
    bool keeps_zeros;
};

static struct method choose_method(const struct memory_session *session, unsigned attempt)
{
    bool relies = session->has_base && !is_thorough(session->commit, attempt);
    return (struct method){
        .how = relies ? memory_compare_choose(session->commit) : MEMORY_COMPARE_NOTHING,
        .keeps_zeros = relies,
    };
}

/* What is declared; and what is to be sent, unless that is found out while it is sent. */
static int plan(struct memory_session *session, unsigned attempt, bool is_streamed,
                struct ic_error *err)
{
    struct memory_commit *commit = session->commit;
    session->has_base =
        commit->is_versioned && (!is_thorough(commit, attempt) || !commit->is_complete);
    session->base_version = session->has_base ? commit->present.version : 0;
    const struct method method = choose_method(session, attempt);
    int result =
        is_streamed ? 0 : memory_compare(commit, method.how, NULL, method.keeps_zeros, err);
    return result < 0 ? result : memory_content_hash(commit, session->sha256, err);
}

static int note_session(struct memory_session *session, bool is_committing, struct ic_error *err)
{
    struct session_note note = {
        .session = session->number,
        .size = session->size,
        .has_base = session->has_base,
        .base_version = session->base_version,
        .is_committing = is_committing,
    };
    memcpy(note.sha256, session->sha256, IC_SHA256_LEN);
    memcpy(note.digest, session->commit->digest, IC_SHA256_LEN);
    return save_note(session->commit, &note, err);
}

static struct memory_sender start_sending(struct memory_session *session)
{
    memory_set_phase(session->commit, FS_RESTORE_SENDING);
    session->refusal = FS_REFUSAL_NONE;
    return (struct memory_sender){
        .chunk_max = (size_t)session->chunk_max,
        .send = memory_session_send,
        .arg = session,
    };
}

static int send_plan(struct memory_session *session, struct ic_error *err)
{
    struct memory_commit *commit = session->commit;
    const struct memory_sender sender = start_sending(session);
    atomic_store(&commit->run->progress->n_to_send, commit->plan.n_set * MEMORY_PAGE);
    return memory_send(commit, &sender, err);
}

static int stream(struct memory_session *session, unsigned attempt, struct ic_error *err)
{
    const struct memory_sender sender = start_sending(session);
    const struct method method = choose_method(session, attempt);
    return memory_stream(session->commit, method.how, method.keeps_zeros, &sender, err);
}

/* The canister says that it does not have what was declared. When it tells what is missing, that is
 * sent once more. */
static int mend(struct memory_session *session, struct ic_error *err)
{
    struct memory_commit *commit = session->commit;
    const struct ic_error cause = *err;
    bool is_open = false;
    int result = memory_session_status(session, &is_open, err);
    if (result < 0)
        return result;
    if (!is_open || commit->plan.n_set == 0) {
        *err = cause;
        session->refusal = FS_REFUSAL_CORRUPT;
        return ic_error_errno(err);
    }
    result = send_plan(session, err);
    return result < 0 ? result : memory_session_commit(session, err);
}

/* Another session would be refused while this one is open. */
static void give_up(struct memory_session *session, uint64_t number)
{
    struct ic_error ignored = {0};
    int refusal = session->refusal;
    session->number = number;
    (void)!memory_session_abort(session, &ignored);
    session->refusal = refusal;
}

/* Would restore_begin give the same session again? */
static bool is_declared(const struct memory_session *session, const struct session_note *note)
{
    return session->size == note->size && session->has_base == (note->has_base != 0) &&
           session->base_version == note->base_version &&
           memcmp(session->sha256, note->sha256, IC_SHA256_LEN) == 0;
}

/* A commit that was not made is not asked for again: the next one begins anew. */
static int verify(struct memory_session *session, struct ic_error *err)
{
    struct ic_error ignored = {0};
    int result = memory_verify(session->commit, err);
    if (result < 0)
        (void)!note_session(session, false, &ignored);
    return result;
}

static int try_once(struct memory_session *session, const struct session_note *earlier,
                    unsigned attempt, struct ic_error *err)
{
    struct memory_commit *commit = session->commit;
    bool is_open = false;
    /* What is the base's must be known before it can be declared; what the canister has already,
     * before it is sent. */
    bool is_streamed = commit->is_complete && !earlier && !commit->run->dry_run;
    session->refusal = FS_REFUSAL_NONE;
    int result = plan(session, attempt, is_streamed, err);
    if (result < 0 || commit->run->dry_run)
        return result;
    if (!is_streamed) /* what of it the canister has already is taken from the plan below */
        result = memory_verify_prepare(commit, err);
    if (result < 0)
        return result;
    if (earlier && !is_declared(session, earlier)) {
        give_up(session, earlier->session);
        earlier = NULL;
    }
    result = memory_session_begin(session, err);
    commit->wants_pages = result < 0 && session->refusal == FS_REFUSAL_RANGE;
    if (result < 0)
        return result;
    if (earlier && session->number == earlier->session)
        result = memory_session_status(session, &is_open, err);
    if (result == 0)
        result = note_session(session, false, err);
    if (result == 0)
        result = is_streamed ? stream(session, attempt, err) : send_plan(session, err);
    if (result == 0 && is_streamed) /* now the plan is known, and the memory is as it was */
        result = memory_verify_prepare(commit, err);
    if (result == 0)
        result = note_session(session, true, err);
    if (result == 0)
        result = memory_session_commit(session, err);
    if (result < 0 && session->refusal == FS_REFUSAL_CORRUPT)
        result = mend(session, err);
    return result < 0 ? result : verify(session, err);
}

/* Is a second attempt, which relies on nothing, worth it? */
static bool is_mendable(const struct memory_session *session, unsigned attempt)
{
    const struct memory_commit *commit = session->commit;
    if (is_thorough(commit, attempt))
        return false;
    return session->refusal == FS_REFUSAL_CORRUPT ||
           (session->refusal == FS_REFUSAL_STALE && commit->is_complete);
}

/* Those of other stages. One of the same content that is open is this commit's to go on with; one
 * that was taken over is not the end of this commit: the memory may have been written to since. */
static int settle_others(struct memory_session *session, struct session_note *note,
                         enum earlier *out, struct ic_error *err)
{
    const struct fs_restore_run *run = session->commit->run;
    int result = 0;
    for (size_t i = 0; result == 0 && i < run->n_others; i++) {
        struct session_note found;
        enum earlier earlier = EARLIER_NONE;
        if (!load_note(run->others[i], &found))
            continue;
        result = settle_earlier(session, &found, &earlier, err);
        if (result == 0 && earlier == EARLIER_DONE)
            result = memory_look(session->commit, err);
        if (earlier == EARLIER_OPEN) {
            *note = found;
            *out = earlier;
        }
    }
    return result;
}

/* The canister says that an earlier commit of this stage was made. If its version is still the one
 * before that, this commit begins anew: also when there was nothing to be done, it does no harm. */
static enum earlier believe(struct memory_session *session, const struct session_note *note)
{
    struct ic_error ignored = {0};
    bool has_moved = true;
    if (!note->has_base ||
        memory_verify_moved(session->commit, note->base_version, &has_moved, &ignored) < 0)
        return EARLIER_DONE;
    return has_moved ? EARLIER_DONE : EARLIER_NONE;
}

static int run(struct memory_session *session, struct ic_error *err)
{
    struct memory_commit *commit = session->commit;
    struct session_note note;
    struct session_note own;
    enum earlier earlier = EARLIER_NONE;
    int result = commit->run->dry_run ? 0 : settle_others(session, &note, &earlier, err);
    if (result == 0 && !commit->run->dry_run && load_note(commit->stage, &own)) {
        note = own;
        result = settle_earlier(session, &note, &earlier, err);
    }
    if (result == 0 && earlier == EARLIER_DONE)
        earlier = believe(session, &note);
    if (result < 0 || earlier == EARLIER_DONE)
        return result;
    result = memory_check_base(commit, err);
    /* A second attempt is gone on with as such. */
    unsigned first = earlier == EARLIER_OPEN && commit->is_versioned && !note.has_base;
    for (unsigned attempt = first; result == 0; attempt++) {
        result = try_once(session, earlier == EARLIER_OPEN ? &note : NULL, attempt, err);
        if (result == 0 || !is_mendable(session, attempt))
            break;
        if (session->refusal == FS_REFUSAL_CORRUPT || session->number != 0)
            give_up(session, session->number);
        earlier = EARLIER_NONE;
        result = memory_look(commit, err);
        if (result == 0)
            result = memory_check_base(commit, err);
    }
    return result;
}

int memory_commit_staged(struct memory_commit *commit, struct ic_error *err)
{
    struct memory_session session;
    if (memory_session_init(&session, commit) < 0)
        return ic_fail(err, IC_E_NO_MEMORY, "out of memory");
    int result = memory_content_survey(commit, err);
    if (result == 0)
        result = run(&session, err);
    if (result == 0)
        memory_summarize(commit, "%s%s%s", commit->run->dry_run ? "" : ", checked by the canister",
                         commit->verify.words[0] ? "; " : "", commit->verify.words);
    memory_session_fini(&session);
    return result;
}

int memory_carry_on(struct memory_commit *commit, int result, struct ic_error *err)
{
    struct memory_session session;
    struct session_note note;
    bool may_be = err->code == IC_E_REJECTED || err->code == IC_E_BUSY;
    bool has_one = load_note(commit->stage, &note) && note.is_committing;
    for (size_t i = commit->run->n_others; !has_one && i > 0; i--)
        has_one = load_note(commit->run->others[i - 1], &note) && note.is_committing;
    if (!may_be || commit->run->dry_run || !has_one)
        return result;
    if (memory_session_init(&session, commit) < 0)
        return ic_fail(err, IC_E_NO_MEMORY, "out of memory");
    session.number = note.session;
    result = memory_session_commit(&session, err);
    memory_session_fini(&session);
    return result;
}

int memory_abort_staged(struct memory_commit *commit, struct ic_error *err)
{
    struct memory_session session;
    struct session_note note;
    if (!load_note(commit->stage, &note))
        return 0;
    if (memory_session_init(&session, commit) < 0)
        return ic_fail(err, IC_E_NO_MEMORY, "out of memory");
    session.number = note.session;
    int result = memory_session_abort(&session, err);
    memory_session_fini(&session);
    return result;
}
