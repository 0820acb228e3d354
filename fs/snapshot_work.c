/* See snapshot_work.h. */
#include "fs/snapshot_work.h"

#include "fs/snapshot_note.h"
#include "ic/wait.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The network's (IC resource limits); only said, never enforced here. */
#define SNAPSHOTS_MAX 10

/* Checkpoints are some ten minutes apart. */
#define LOADABLE_NS       (15 * 60 * IC_NS_PER_SEC)
#define LOADABLE_PAUSE_NS (20 * IC_NS_PER_SEC)

static int list(const struct fs_target *target, struct fs_job *job, struct ic_snapshot_list *out,
                struct ic_error *err)
{
    const struct ic_io io = fs_job_io(job, FS_CHANGE_NS);
    return ic_snapshot_list(target->agent, &target->canister, &io, out, err);
}

/* --- take --- */

/* The outcome is not known: what is new in the list? Another one may have been taken by somebody
 * else meanwhile, so this only words the error. */
static void word_unknown_take(const struct fs_target *target, struct fs_job *job,
                              const struct ic_snapshot_list *before, struct ic_error *err)
{
    struct ic_snapshot_list after = {0};
    struct ic_error cause = {0};
    char id[FS_SNAPSHOT_ID_TEXT] = "";
    if (list(target, job, &after, &cause) < 0) {
        ic_error_reword(err,
                        "outcome unknown: look into snapshots/ before taking another one: %.300s",
                        err->message);
        return;
    }
    for (size_t i = 0; i < after.n; i++)
        if (!ic_snapshot_list_has(before, &after.items[i].id))
            fs_snapshot_id_format(&after.items[i].id, id);
    ic_snapshot_list_fini(&after);
    if (*id)
        ic_error_reword(err, "its reply was lost, but there is a new snapshot now, %s: %.250s", id,
                        err->message);
    else
        ic_error_reword(err, "outcome unknown, and there is no new snapshot yet: %.300s",
                        err->message);
}

static int take(const struct fs_target *target, struct fs_job *job,
                const struct ic_snapshot_list *before, struct ic_error *err)
{
    const struct fs_change change = {
        .method = "take_canister_snapshot",
        .proof = IC_UPDATE_ANSWERED, /* one too many is no loss */
    };
    const struct ic_io io = fs_job_io(job, FS_CHANGE_NS);
    struct ic_management_reply reply = {0};
    struct ic_snapshot_id id = {0};
    char text[FS_SNAPSHOT_ID_TEXT];
    fs_job_say(job, "taking a snapshot; the canister has %zu", before->n);
    int result = fs_change_make(target, &change, &io, &reply, err);
    if (result == 0 &&
        ic_snapshot_id_decode(ic_value_field(ic_management_value(&reply), "id"), &id) < 0)
        result = ic_management_fail_type(change.method, err);
    ic_management_reply_fini(&reply);
    if (result == 0) {
        fs_snapshot_id_format(&id, text);
        fs_job_say(job, "took snapshot %s", text);
    } else if (err->code == IC_E_UNKNOWN_OUTCOME) {
        word_unknown_take(target, job, before, err);
    } else if (err->reject_code != 0 && before->n >= SNAPSHOTS_MAX) {
        char cause[300];
        snprintf(cause, sizeof(cause), "%.299s", err->message);
        result = ic_fail(err, IC_E_NO_SPACE,
                         "the canister has %zu snapshots, the network allows %d: snapshot delete "
                         "ID makes room (%s)",
                         before->n, SNAPSHOTS_MAX, cause);
    }
    return result;
}

int fs_snapshot_take(const struct fs_target *target, struct fs_job *job, struct ic_error *err)
{
    struct ic_snapshot_list before = {0};
    int result = list(target, job, &before, err);
    if (result == 0)
        result = take(target, job, &before, err);
    ic_snapshot_list_fini(&before);
    return result;
}

/* --- delete --- */

/* Nobody knows what became of the call, or somebody says that there is no such snapshot, which
 * nothing certifies: is it there still? When it is not, all is as it should be. */
static int find_out_deleted(const struct fs_target *target, struct fs_job *job,
                            const struct ic_snapshot_id *id, struct ic_error *err)
{
    struct ic_snapshot_list now = {0};
    struct ic_error cause = {0};
    bool is_there = true;
    if (list(target, job, &now, &cause) == 0)
        is_there = ic_snapshot_list_has(&now, id);
    ic_snapshot_list_fini(&now);
    if (!is_there)
        return 0;
    ic_error_reword(err, "it was not seen to be gone: %.350s", err->message);
    return ic_error_errno(err);
}

int fs_snapshot_delete(const struct fs_target *target, struct fs_job *job,
                       const struct ic_snapshot_id *id, struct ic_error *err)
{
    const struct ic_part parts[] = {{"snapshot_id", ic_blob(id->bytes, id->len)}};
    const struct fs_change change = {
        .method = "delete_canister_snapshot",
        .parts = parts,
        .n_parts = 1,
        .proof = IC_UPDATE_ANSWERED, /* a snapshot is deleted once only */
    };
    const struct ic_io io = fs_job_io(job, FS_CHANGE_NS);
    char text[FS_SNAPSHOT_ID_TEXT];
    fs_snapshot_id_format(id, text);
    fs_job_say(job, "deleting snapshot %s", text);
    int result = fs_change_do(target, &change, &io, err);
    /* IC0305: no such snapshot. */
    bool was_gone = result < 0 && strcmp(err->error_code, "IC0305") == 0;
    if (was_gone || (result < 0 && err->code == IC_E_UNKNOWN_OUTCOME))
        result = find_out_deleted(target, job, id, err);
    if (result == 0)
        fs_job_say(job, was_gone ? "there is no snapshot %s (any more)" : "deleted snapshot %s",
                   text);
    return result;
}

/* --- load --- */

/* May it be loaded? Asked before anything is stopped. */
static int check(const struct fs_target *target, struct fs_job *job,
                 const struct fs_snapshot_load *load, struct ic_error *err)
{
    const struct ic_io io = fs_job_io(job, FS_CHANGE_NS);
    struct ic_snapshot_metadata metadata = {0};
    char text[FS_SNAPSHOT_ID_TEXT];
    fs_snapshot_id_format(&load->id, text);
    int result =
        ic_snapshot_metadata(target->agent, &target->canister, &load->id, &io, &metadata, err);
    if (result < 0) {
        /* IC0406: it is another canister's. The network knows whether it may be loaded. */
        bool is_foreign = strcmp(err->error_code, "IC0406") == 0;
        if (is_foreign && !load->force)
            ic_error_reword(err, "it is not known to be whole: only with force: %.350s",
                            err->message);
        return is_foreign && load->force ? 0 : result;
    }
    bool is_uploaded = metadata.is_uploaded;
    ic_snapshot_metadata_fini(&metadata);
    if (!is_uploaded || load->is_verified || load->force)
        return 0;
    ic_fail(err, IC_E_CONFIG,
            "snapshot %s was uploaded, and not verified by this program: what was never sent of it "
            "is zeros; only with force",
            text);
    return -EINVAL;
}

/* The network's only hint is its words: when they change it is an error like any other. */
static bool is_not_loadable_yet(const struct ic_error *err)
{
    return strcmp(err->error_code, "IC0406") == 0 && strstr(err->message, "not currently loadable");
}

static int load_once(struct fs_downtime *downtime, struct fs_job *job,
                     const struct fs_snapshot_load *load, struct ic_error *err)
{
    const struct ic_part parts[] = {{"snapshot_id", ic_blob(load->id.bytes, load->id.len)}};
    const struct fs_change change = {
        .method = "load_canister_snapshot",
        .parts = parts,
        .n_parts = 1,
        .proof = IC_UPDATE_CERTIFIED,
    };
    struct ic_management_reply reply = {0};
    int result =
        fs_downtime_begin(downtime, job, load->is_live ? FS_DOWNTIME_LIVE : FS_DOWNTIME_STOPPED,
                          fs_job_command(job), err);
    if (result < 0)
        return result;
    fs_job_say(job, "loading the snapshot");
    result = fs_downtime_call(downtime, job, &change, &reply, err);
    ic_management_reply_fini(&reply);
    if (result < 0 && err->code == IC_E_UNKNOWN_OUTCOME)
        ic_error_reword(err, "outcome unknown: %.450s", err->message);
    return fs_downtime_end(downtime, job, result, err);
}

int fs_snapshot_load(struct fs_downtime *downtime, const struct fs_target *target,
                     struct fs_job *job, const struct fs_snapshot_load *load, struct ic_error *err)
{
    int64_t until_ns = ic_wait_now_ns() + LOADABLE_NS;
    fs_job_say(job, "looking at the snapshot");
    int result = check(target, job, load, err);
    while (result == 0) {
        *err = (struct ic_error){0};
        result = load_once(downtime, job, load, err);
        if (result == 0 || !is_not_loadable_yet(err) || ic_wait_now_ns() >= until_ns)
            break;
        fs_job_say(job, "not loadable until the network's next checkpoint, usually within ten "
                        "minutes: tried again until then");
        const struct ic_io io = fs_job_io(job, (uint64_t)LOADABLE_NS);
        if (fs_change_pause(&io, LOADABLE_PAUSE_NS) == 0)
            result = 0;
    }
    if (result == 0)
        fs_job_say(job, "loaded");
    return result;
}
