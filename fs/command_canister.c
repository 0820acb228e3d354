/* See command_canister.h. */
#include "fs/command_canister.h"

#include "fs/call_ranges.h"
#include "fs/call_ranges_note.h"
#include "fs/command.h"
#include "fs/mount.h"
#include "fs/snapshot_note.h"
#include "fs/snapshot_work.h"
#include "fs/upgrade.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- who may, and when --- */

static int need_identity(const struct fs_mount *mount, char *message, size_t message_size)
{
    if (!ic_identity_is_anonymous(mount->target.identity))
        return 0;
    snprintf(message, message_size,
             "controllers of the canister only: mount with -o identity=FILE");
    return -EACCES;
}

static void find_commit(void *arg, const struct fs_staged_info *info)
{
    uint64_t *id = arg;
    if (info->state == FS_STAGED_COMMITTING)
        *id = info->id;
}

/* The number of a restore of this mount that is being made; 0: none is. */
static uint64_t commit_under_way(const struct fs_mount *mount)
{
    uint64_t id = 0;
    if (mount->stages)
        fs_stages_for_each(mount->stages, find_commit, &id);
    return id;
}

/* For what replaces or deletes. */
static int need_write(const struct fs_mount *mount, char *message, size_t message_size)
{
    int result = need_identity(mount, message, message_size);
    if (result < 0)
        return result;
    if (!mount->stages) {
        snprintf(message, message_size, "the mount is read-only");
        return -EROFS;
    }
    return 0;
}

/* Nothing is replaced under a restore. */
static int need_rest(const struct fs_mount *mount, char *message, size_t message_size)
{
    int result = need_write(mount, message, message_size);
    uint64_t id = result == 0 ? commit_under_way(mount) : 0;
    if (id == 0)
        return result;
    snprintf(message, message_size, "restore %llu is being made: when it has ended",
             (unsigned long long)id);
    return -EBUSY;
}

/* The same when the job begins, and no restore begins until fs_stages_let_go, also of other mounts
 * with this staging_dir. */
static int begin_change(const struct fs_mount *mount, struct ic_error *err)
{
    char message[200];
    int result = need_rest(mount, message, sizeof(message));
    if (result < 0)
        return ic_fail(err, IC_E_BUSY, "%s", message);
    result = fs_stages_hold(mount->stages);
    if (result == -EBUSY)
        return ic_fail(err, IC_E_BUSY,
                       "a restore, or another mount's command, is changing the canister: when it "
                       "has ended");
    if (result < 0)
        ic_fail(err, IC_E_CONFIG, "staging_dir: its lock cannot be used: %s", strerror(-result));
    return result;
}

static int submit(struct fs_mount *mount, const struct fs_control_line *line, fs_job_fn run,
                  char *message, size_t message_size)
{
    return fs_jobs_submit(mount->jobs, line->text, run, mount, message, message_size);
}

/* --- start and stop --- */

static int run_start(void *arg, struct fs_job *job, struct ic_error *err)
{
    struct fs_mount *mount = arg;
    int result = fs_downtime_start(mount->downtime, job, err);
    fs_mount_outdate(mount);
    if (result == 0)
        fs_job_say(job, "the canister runs");
    return result;
}

static int run_stop(void *arg, struct fs_job *job, struct ic_error *err)
{
    struct fs_mount *mount = arg;
    int result = fs_downtime_stop(mount->downtime, job, err);
    if (result == 0)
        fs_job_say(job, "the canister is stopped");
    return result;
}

int fs_command_start(void *arg, const struct fs_control_line *line, char *message,
                     size_t message_size)
{
    int result = need_identity(arg, message, message_size);
    return result < 0 ? result : submit(arg, line, run_start, message, message_size);
}

int fs_command_stop(void *arg, const struct fs_control_line *line, char *message,
                    size_t message_size)
{
    int result = need_identity(arg, message, message_size);
    return result < 0 ? result : submit(arg, line, run_stop, message, message_size);
}

/* --- snapshots --- */

static int run_take(void *arg, struct fs_job *job, struct ic_error *err)
{
    struct fs_mount *mount = arg;
    int result = fs_snapshot_take(&mount->target, job, err);
    fs_snapshots_outdate(mount->snapshots);
    return result;
}

int fs_command_snapshot_take(void *arg, const struct fs_control_line *line, char *message,
                             size_t message_size)
{
    int result = need_identity(arg, message, message_size);
    return result < 0 ? result : submit(arg, line, run_take, message, message_size);
}

static int fail_id(char *message, size_t message_size)
{
    snprintf(message, message_size,
             "ID is the whole name of a directory in snapshots/, hex digits in lower case");
    return -EINVAL;
}

/* The word of a command behind its name; they were looked at when it was accepted. */
static bool find_id(const char *command, const char *name, struct ic_snapshot_id *out)
{
    char word[2 * IC_SNAPSHOT_ID_MAX + 1] = "";
    const char *rest = command + strlen(name) + 1;
    size_t len = strcspn(rest, " ");
    if (len >= sizeof(word))
        return false;
    memcpy(word, rest, len);
    return fs_snapshot_id_parse(word, out);
}

static int run_delete(void *arg, struct fs_job *job, struct ic_error *err)
{
    struct fs_mount *mount = arg;
    struct ic_snapshot_id id;
    if (!find_id(fs_job_command(job), "snapshot delete", &id))
        return ic_fail(err, IC_E_CONFIG, "not a command");
    int result = fs_snapshot_delete(&mount->target, job, &id, err);
    fs_snapshots_outdate(mount->snapshots);
    return result;
}

int fs_command_snapshot_delete(void *arg, const struct fs_control_line *line, char *message,
                               size_t message_size)
{
    struct ic_snapshot_id id;
    int result = need_write(arg, message, message_size);
    if (result == 0 && !fs_snapshot_id_parse(line->args[0], &id))
        result = fail_id(message, message_size);
    return result < 0 ? result : submit(arg, line, run_delete, message, message_size);
}

static int run_load(void *arg, struct fs_job *job, struct ic_error *err)
{
    struct fs_mount *mount = arg;
    const char *command = fs_job_command(job);
    struct fs_snapshot_load load = {
        .is_live = strstr(command, " --running") != NULL,
        .force = strstr(command, " force") != NULL,
    };
    if (!find_id(command, "snapshot load", &load.id))
        return ic_fail(err, IC_E_CONFIG, "not a command");
    load.is_verified = mount->uploads && fs_snapshot_upload_state_of(mount->uploads, &load.id) ==
                                             FS_SNAPSHOT_UPLOAD_VERIFIED;
    int result = begin_change(mount, err);
    if (result < 0)
        return result;
    result = fs_snapshot_load(mount->downtime, &mount->target, job, &load, err);
    fs_stages_let_go(mount->stages);
    fs_mount_outdate(mount);
    return result;
}

int fs_command_snapshot_load(void *arg, const struct fs_control_line *line, char *message,
                             size_t message_size)
{
    struct ic_snapshot_id id;
    int result = need_rest(arg, message, message_size);
    if (result == 0 && !fs_snapshot_id_parse(line->args[0], &id))
        result = fail_id(message, message_size);
    for (size_t i = 1; result == 0 && i < line->n_args; i++)
        if (strcmp(line->args[i], "--running") != 0 && strcmp(line->args[i], "force") != 0) {
            snprintf(message, message_size, "behind ID come only --running and force");
            result = -EINVAL;
        }
    return result < 0 ? result : submit(arg, line, run_load, message, message_size);
}

/* --- upgrade --- */

static int run_upgrade(void *arg, struct fs_job *job, struct ic_error *err)
{
    struct fs_mount *mount = arg;
    const char *file = fs_job_command(job) + strlen("upgrade ");
    char path[FS_CONTROL_WRITE_MAX + 1];
    size_t len = strcspn(file, " ");
    snprintf(path, sizeof(path), "%.*s", (int)len, file);
    const struct fs_upgrade upgrade = {.path = path, .skip_pre_upgrade = file[len] != '\0'};
    int result = begin_change(mount, err);
    if (result < 0)
        return result;
    result = fs_upgrade_run(mount->downtime, &mount->target, job, &upgrade, err);
    fs_stages_let_go(mount->stages);
    fs_mount_outdate(mount);
    return result;
}

int fs_command_upgrade(void *arg, const struct fs_control_line *line, char *message,
                       size_t message_size)
{
    int result = need_rest(arg, message, message_size);
    if (result == 0 && line->args[0][0] != '/') {
        snprintf(message, message_size, "FILE is an absolute path");
        result = -EINVAL;
    }
    if (result == 0 && line->n_args > 1 && strcmp(line->args[1], "skip_pre_upgrade") != 0) {
        snprintf(message, message_size,
                 "behind FILE, which has no spaces, comes only skip_pre_upgrade");
        result = -EINVAL;
    }
    return result < 0 ? result : submit(arg, line, run_upgrade, message, message_size);
}

/* --- call-ranges --- */

struct ranges {
    char method[CALL_RANGES_METHOD_MAX];
    struct fs_call_ranges what;
};

/* From the words of a command; false: it is none. */
static bool parse_ranges(const char *text, struct ranges *out)
{
    char copy[FS_CONTROL_WRITE_MAX + 1];
    char *saved = NULL;
    snprintf(copy, sizeof(copy), "%s", text);
    (void)strtok_r(copy, " ", &saved); /* "call-ranges" */
    const char *method = strtok_r(NULL, " ", &saved);
    const char *total = strtok_r(NULL, " ", &saved);
    const char *from = strtok_r(NULL, " ", &saved);
    *out = (struct ranges){0};
    if (!total || strlen(method) >= sizeof(out->method) ||
        !fs_command_parse_number(total, &out->what.total))
        return false;
    memcpy(out->method, method, strlen(method) + 1);
    out->what.method = out->method;
    out->what.has_from = from != NULL;
    return !from || (strncmp(from, "from=", strlen("from=")) == 0 &&
                     fs_command_parse_number(from + strlen("from="), &out->what.from) &&
                     out->what.from <= out->what.total);
}

/* The interface as it is now: an upgrade may have come before. NULL: the canister has none that can
 * be read; then that of the mount serves. */
static struct ic_did *read_interface(struct fs_mount *mount, const struct fs_job *job)
{
    const struct ic_io io = fs_job_io(job, mount->options->timeout_ns);
    const struct source_io source_io = {.deadline_ns = io.deadline_ns, .cancel = io.cancel};
    struct ic_did *did = NULL;
    char *text = NULL;
    size_t len = 0;
    fs_facts_refresh(mount->facts, &source_io);
    if (fs_facts_take_candid(mount->facts, &text, &len) == 0 && text &&
        ic_did_parse(text, len, NULL, &did, NULL) < 0)
        did = NULL;
    free(text);
    return did;
}

static int run_call_ranges(void *arg, struct fs_job *job, struct ic_error *err)
{
    struct fs_mount *mount = arg;
    struct ranges ranges;
    if (!parse_ranges(fs_job_command(job), &ranges))
        return ic_fail(err, IC_E_CONFIG, "not a command");
    int result = begin_change(mount, err);
    if (result < 0)
        return result;
    struct ic_did *did = mount->options->did ? NULL : read_interface(mount, job);
    ranges.what.did = did ? did : mount->discovery.did;
    result = fs_call_ranges_run(&mount->target, job, &ranges.what, err);
    fs_stages_let_go(mount->stages);
    ic_did_free(did);
    fs_mount_outdate(mount);
    return result;
}

int fs_command_call_ranges(void *arg, const struct fs_control_line *line, char *message,
                           size_t message_size)
{
    struct ranges ranges;
    int result = need_rest(arg, message, message_size);
    if (result == 0 && !parse_ranges(line->text, &ranges)) {
        snprintf(message, message_size,
                 "TOTAL is a number, and behind it comes only from=N, a number up to it");
        result = -EINVAL;
    }
    return result < 0 ? result : submit(arg, line, run_call_ranges, message, message_size);
}
