/* The course of an upload: see snapshot_upload.h. */
#include "fs/snapshot_upload_impl.h"
#include "fs/snapshot_work.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- notes --- */

static int read_notes_locked(struct fs_snapshot_upload *upload)
{
    int dir_fd;
    if (upload->is_read)
        return 0;
    int result = fs_snapshot_stage_dir(upload->config.stage, &dir_fd);
    if (result == 0)
        result = fs_snapshot_notes_read(&upload->notes, dir_fd);
    upload->is_read = result == 0;
    return result;
}

static int write_notes_locked(struct fs_snapshot_upload *upload, struct ic_error *err)
{
    int dir_fd;
    int result = fs_snapshot_stage_dir(upload->config.stage, &dir_fd);
    if (result == 0)
        result = fs_snapshot_notes_write(&upload->notes, dir_fd);
    if (result < 0)
        (void)ic_fail(err, IC_E_CONFIG, "what is being uploaded cannot be noted: %s",
                      strerror(-result));
    return result;
}

int snapshot_session_note(const struct snapshot_session *session, struct ic_error *err)
{
    struct fs_snapshot_upload *upload = session->upload;
    int result = 0;
    pthread_mutex_lock(&upload->lock);
    struct fs_snapshot_note *note = fs_snapshot_notes_find(&upload->notes, session->name);
    if (!note)
        result = fs_snapshot_notes_add(&upload->notes, &note);
    if (result == 0) {
        *note = session->note;
        result = write_notes_locked(upload, err);
    } else {
        (void)ic_fail(err, IC_E_CONFIG, "too many uploads are not finished");
    }
    pthread_mutex_unlock(&upload->lock);
    return result;
}

int snapshot_session_forget(const struct snapshot_session *session, struct ic_error *err)
{
    struct fs_snapshot_upload *upload = session->upload;
    int result = 0;
    pthread_mutex_lock(&upload->lock);
    struct fs_snapshot_note *note = fs_snapshot_notes_find(&upload->notes, session->name);
    if (note) {
        fs_snapshot_notes_remove(&upload->notes, note);
        result = write_notes_locked(upload, err);
    }
    pthread_mutex_unlock(&upload->lock);
    return result;
}

/* The unfinished upload of this name. False: there is none. */
static bool find_note(struct fs_snapshot_upload *upload, const char *name,
                      struct fs_snapshot_note *out)
{
    pthread_mutex_lock(&upload->lock);
    const struct fs_snapshot_note *note = fs_snapshot_notes_find(&upload->notes, name);
    if (note)
        *out = *note;
    pthread_mutex_unlock(&upload->lock);
    return note != NULL;
}

static int check_notes(struct fs_snapshot_upload *upload, struct ic_error *err)
{
    pthread_mutex_lock(&upload->lock);
    int result = read_notes_locked(upload);
    pthread_mutex_unlock(&upload->lock);
    if (result < 0)
        (void)ic_fail(err, result == -EBUSY ? IC_E_BUSY : IC_E_CONFIG, "%s",
                      result == -EBUSY ? "another mount of this canister has what is in snapshots/"
                                       : "what was noted about uploads cannot be read");
    return result == -EPROTO ? -EIO : result;
}

/* --- one upload --- */

/* The upload of these very files that is finished. False: there is none. */
static bool find_finished(const struct snapshot_session *session, struct ic_snapshot_id *out)
{
    struct fs_snapshot_upload *upload = session->upload;
    bool is_found = false;
    pthread_mutex_lock(&upload->lock);
    for (size_t i = 0; i < upload->notes.n; i++) {
        const struct fs_snapshot_note *note = &upload->notes.items[i];
        if (note->state != FS_SNAPSHOT_VERIFIED || strcmp(note->name, session->name) != 0 ||
            memcmp(note->content, session->plan.content, IC_SHA256_LEN) != 0)
            continue;
        *out = note->id;
        is_found = true;
    }
    pthread_mutex_unlock(&upload->lock);
    return is_found;
}

/* Was it uploaded before, and is it still there? Then a repeat changes nothing. Returns 1, 0, or
 * -errno. */
static int is_finished(const struct snapshot_session *session, struct ic_error *err)
{
    struct ic_snapshot_id id;
    char text[FS_SNAPSHOT_ID_TEXT];
    bool is_there = false;
    if (!find_finished(session, &id))
        return 0;
    int result = snapshot_session_is_there(session, &id, &is_there, err);
    fs_snapshot_id_format(&id, text);
    if (result == 0 && is_there)
        fs_job_say(session->job, "snapshot %s: uploaded, read back and the same, before", text);
    return result < 0 ? result : is_there;
}

static int begin(struct snapshot_session *session, bool is_begun, struct ic_error *err)
{
    const uint8_t *content = session->plan.content;
    bool is_same = is_begun && memcmp(session->note.content, content, IC_SHA256_LEN) == 0;
    if (is_begun && !is_same && session->note.state == FS_SNAPSHOT_DECLARING) {
        int made = snapshot_session_settle(session, err);
        if (made < 0)
            return made;
        is_begun = made > 0;
    }
    if (!is_begun) {
        session->note = (struct fs_snapshot_note){0};
        memcpy(session->note.content, content, IC_SHA256_LEN);
        snprintf(session->note.name, sizeof(session->note.name), "%s", session->name);
        return snapshot_session_declare(session, err);
    }
    if (!is_same)
        return ic_fail(err, IC_E_CONFIG,
                       "its files are not those any more that an upload began with: `snapshot drop "
                       "%s` deletes the snapshot that it made; then upload anew",
                       session->name);
    return session->note.state == FS_SNAPSHOT_DECLARING ? snapshot_session_declare(session, err)
                                                        : 0;
}

static int finish(struct snapshot_session *session, struct ic_error *err)
{
    char id[FS_SNAPSHOT_ID_TEXT];
    int result = fs_snapshot_plan_check(&session->plan, err);
    if (result < 0)
        return result;
    session->note.state = FS_SNAPSHOT_VERIFIED;
    result = snapshot_session_note(session, err);
    fs_snapshot_id_format(&session->note.id, id);
    if (result == 0)
        fs_job_say(session->job, "snapshot %s: uploaded, read back and the same", id);
    return result;
}

/* Somebody deleted it: there is nothing to go on with. */
static int settle_gone(struct snapshot_session *session, struct ic_error *err)
{
    char id[FS_SNAPSHOT_ID_TEXT];
    struct ic_error ignored;
    bool is_there = true;
    if (err->code != IC_E_NOT_FOUND || session->note.state != FS_SNAPSHOT_SENDING ||
        snapshot_session_is_there(session, &session->note.id, &is_there, &ignored) < 0 || is_there)
        return ic_error_errno(err);
    fs_snapshot_id_format(&session->note.id, id);
    (void)snapshot_session_forget(session, &ignored);
    ic_error_reword(err, "snapshot %s, which was being uploaded, is not there any more: %.200s", id,
                    err->message);
    return ic_error_errno(err);
}

static int carry_out(struct snapshot_session *session, bool is_begun, struct ic_error *err)
{
    int result = begin(session, is_begun, err);
    if (result == 0)
        result = snapshot_session_carry(session, err);
    return result < 0 ? settle_gone(session, err) : finish(session, err);
}

static int run_held(struct snapshot_session *session, int dir_fd, struct ic_error *err)
{
    const struct fs_snapshot_upload_config *config = &session->upload->config;
    fs_job_say(session->job, "looking at the files");
    int result =
        fs_snapshot_plan_open(&session->plan, dir_fd, session->name, config->target->log, err);
    bool is_begun = find_note(session->upload, session->name, &session->note);
    int finished = result == 0 && !is_begun ? is_finished(session, err) : 0;
    if (result == 0 && finished == 0)
        result = carry_out(session, is_begun, err);
    config->outdate(config->arg);
    fs_snapshot_plan_close(&session->plan);
    return finished < 0 ? finished : result;
}

int fs_snapshot_upload_run(struct fs_snapshot_upload *upload, const char *name, struct fs_job *job,
                           struct ic_error *err)
{
    struct snapshot_session session = {.upload = upload, .name = name, .job = job};
    int dir_fd;
    int result = check_notes(upload, err);
    if (result < 0)
        return result;
    result = fs_snapshot_stage_hold(upload->config.stage, name, &dir_fd);
    if (result < 0) {
        (void)ic_fail(err, result == -ENOENT ? IC_E_NOT_FOUND : IC_E_BUSY, "snapshots/%.200s: %s",
                      name,
                      result == -ENOENT ? "there is no such directory, of those made here"
                                        : "it is being written or uploaded");
        return result;
    }
    result = run_held(&session, dir_fd, err);
    close(dir_fd);
    fs_snapshot_stage_let_go(upload->config.stage, name);
    return result;
}

/* --- giving one up --- */

int fs_snapshot_upload_drop(struct fs_snapshot_upload *upload, const char *name, struct fs_job *job,
                            struct ic_error *err)
{
    struct snapshot_session session = {.upload = upload, .name = name, .job = job};
    int result = check_notes(upload, err);
    if (result < 0)
        return result;
    if (!find_note(upload, name, &session.note))
        return ic_fail(err, IC_E_NOT_FOUND, "no upload of snapshots/%.200s is unfinished", name);
    int made = 1;
    if (session.note.state == FS_SNAPSHOT_DECLARING)
        made = snapshot_session_settle(&session, err);
    result =
        made > 0 ? fs_snapshot_delete(upload->config.target, job, &session.note.id, err) : made;
    if (result == 0)
        result = snapshot_session_forget(&session, err);
    if (result == 0)
        fs_job_say(job, made > 0 ? "the unfinished snapshot is deleted, the files stay"
                                 : "no snapshot is known that it made; the files stay");
    upload->config.outdate(upload->config.arg);
    return result;
}

/* --- for others --- */

enum fs_snapshot_upload_state fs_snapshot_upload_state_of(struct fs_snapshot_upload *upload,
                                                          const struct ic_snapshot_id *id)
{
    enum fs_snapshot_upload_state state = FS_SNAPSHOT_UPLOAD_NONE;
    pthread_mutex_lock(&upload->lock);
    const struct fs_snapshot_note *note = fs_snapshot_notes_find_id(&upload->notes, id);
    if (note)
        state = note->state == FS_SNAPSHOT_VERIFIED ? FS_SNAPSHOT_UPLOAD_VERIFIED
                                                    : FS_SNAPSHOT_UPLOAD_INCOMPLETE;
    pthread_mutex_unlock(&upload->lock);
    return state;
}

void fs_snapshot_upload_for_each(struct fs_snapshot_upload *upload,
                                 void (*each)(void *arg, const struct fs_snapshot_note *note),
                                 void *arg)
{
    pthread_mutex_lock(&upload->lock);
    for (size_t i = 0; i < upload->notes.n; i++)
        each(arg, &upload->notes.items[i]);
    pthread_mutex_unlock(&upload->lock);
}

static void tell_unfinished(const struct fs_snapshot_upload *upload)
{
    for (size_t i = 0; i < upload->notes.n; i++) {
        const struct fs_snapshot_note *note = &upload->notes.items[i];
        char id[FS_SNAPSHOT_ID_TEXT] = "not known";
        if (note->state == FS_SNAPSHOT_VERIFIED)
            continue;
        if (note->state == FS_SNAPSHOT_SENDING)
            fs_snapshot_id_format(&note->id, id);
        fs_log_print(upload->config.target->log, FS_LOG_WARNING,
                     "the upload of snapshots/%s was not finished (its id: %s): control snapshot "
                     "upload %s, or snapshot drop %s",
                     note->name, id, note->name, note->name);
    }
}

int fs_snapshot_upload_open(struct fs_snapshot_upload **out,
                            const struct fs_snapshot_upload_config *config)
{
    struct fs_snapshot_upload *upload = calloc(1, sizeof(*upload));
    if (!upload)
        return -ENOMEM;
    upload->config = *config;
    pthread_mutex_init(&upload->lock, NULL);
    int result = read_notes_locked(upload);
    if (result < 0 && result != -EBUSY) /* a mount is of use all the same */
        fs_log_print(
            config->target->log, FS_LOG_ERROR,
            "snapshots: uploads are not possible, what was noted of earlier ones cannot be "
            "read (snapshots/uploads in staging_dir): %s",
            result == -EPROTO ? "the file is damaged" : strerror(-result));
    tell_unfinished(upload);
    *out = upload;
    return 0;
}

void fs_snapshot_upload_close(struct fs_snapshot_upload *upload)
{
    if (!upload)
        return;
    fs_snapshot_notes_fini(&upload->notes);
    pthread_mutex_destroy(&upload->lock);
    free(upload);
}
