#include "fs/command_restore.h"

#include "fs/command.h"
#include "fs/mount.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int need_stages(const struct fs_mount *mount, char *message, size_t message_size)
{
    if (mount->stages)
        return 0;
    snprintf(message, message_size, "the mount is read-only");
    return -EROFS;
}

/* --- list --- */

struct list {
    char *text;
    size_t size;
    size_t used;
    unsigned n;
};

static void append(void *arg, const struct fs_staged_info *info)
{
    struct list *list = arg;
    const char *path = *info->path ? info->path : info->purpose;
    list->n++;
    int n = snprintf(list->text + list->used, list->size - list->used, "%s%llu %s %s",
                     list->used > 0 ? ", " : "", (unsigned long long)info->id, path,
                     fs_staged_state_words(info->state));
    if (n > 0 && (size_t)n < list->size - list->used)
        list->used += (size_t)n;
    else
        list->text[list->used] = '\0'; /* whole entries only; status has all */
}

static int run_list(void *arg, struct fs_job *job, struct ic_error *err)
{
    (void)err;
    const struct fs_mount *mount = arg;
    char text[200] = "";
    struct list list = {.text = text, .size = sizeof(text)};
    fs_stages_for_each(mount->stages, append, &list);
    if (list.n == 0)
        fs_job_say(job, "nothing is staged");
    else
        fs_job_say(job, "%u staged: %s", list.n, text);
    return 0;
}

int fs_command_restore_list(void *arg, const struct fs_control_line *line, char *message,
                            size_t message_size)
{
    struct fs_mount *mount = arg;
    int result = need_stages(mount, message, message_size);
    return result < 0
               ? result
               : fs_jobs_submit(mount->jobs, line->text, run_list, mount, message, message_size);
}

/* --- resume, commit, abort --- */

struct order {
    bool aborts;
    uint64_t id;
    struct fs_stages_order how;
};

/* From the words of a command; false: it is none. */
static bool parse_order(const char *text, struct order *out)
{
    char copy[FS_CONTROL_WRITE_MAX + 1];
    char *saved = NULL;
    snprintf(copy, sizeof(copy), "%s", text);
    (void)strtok_r(copy, " ", &saved); /* "restore" */
    const char *verb = strtok_r(NULL, " ", &saved);
    const char *id = strtok_r(NULL, " ", &saved);
    *out = (struct order){0};
    if (!verb || !id || !fs_command_parse_number(id, &out->id))
        return false;
    out->aborts = strcmp(verb, "abort") == 0;
    out->how.insists = strcmp(verb, "commit") == 0;
    for (const char *word; (word = strtok_r(NULL, " ", &saved));) {
        if (strcmp(word, "shrink=zero") == 0)
            out->how.shrink_zero = true;
        else if (strcmp(word, "force") == 0)
            out->how.force = true;
        else
            return false;
    }
    return true;
}

static int run_order(void *arg, struct fs_job *job, struct ic_error *err)
{
    struct fs_mount *mount = arg;
    struct order order;
    char summary[200];
    if (!parse_order(fs_job_command(job), &order))
        return ic_fail(err, IC_E_CONFIG, "not a command"); /* it was one when it was accepted */
    order.how.cancel = fs_job_io(job, 0).cancel;
    if (order.aborts) {
        int result = fs_stages_abort_id(mount->stages, order.id, order.how.cancel, err);
        if (result == 0)
            fs_job_say(job, "given up");
        return result;
    }
    fs_job_say(job, "status has its progress, in restores");
    int result =
        fs_stages_commit_id(mount->stages, order.id, &order.how, summary, sizeof(summary), err);
    if (result == 0)
        fs_job_say(job, "%s", summary);
    return result;
}

int fs_command_restore(void *arg, const struct fs_control_line *line, char *message,
                       size_t message_size)
{
    struct fs_mount *mount = arg;
    struct order order;
    int result = need_stages(mount, message, message_size);
    if (result < 0)
        return result;
    if (!parse_order(line->text, &order)) {
        snprintf(message, message_size,
                 "ID is the number of a restore in status, and behind that of a commit come only "
                 "shrink=zero and force");
        return -EINVAL;
    }
    return fs_jobs_submit(mount->jobs, line->text, run_order, mount, message, message_size);
}

/* --- what holds for the next commits --- */

int fs_command_expect(void *arg, const struct fs_control_line *line, char *message,
                      size_t message_size)
{
    struct fs_mount *mount = arg;
    const char *path = line->n_args > 2 ? line->args[2] : "stable_memory";
    struct fs_place place;
    uint64_t size;
    uint8_t sha256[FS_SHA256_LEN];
    int result = need_stages(mount, message, message_size);
    if (result < 0)
        return result;
    if (!fs_command_parse_number(line->args[0], &size) ||
        strlen(line->args[1]) != sizeof(sha256) * 2 ||
        !fs_stages_parse_sha256(line->args[1], sha256)) {
        snprintf(message, message_size, "SIZE is a number of bytes, SHA256 has 64 hex digits");
        return -EINVAL;
    }
    result = fs_tree_parse_place(mount->tree, path, &place);
    if (result < 0) {
        snprintf(message, message_size, "'%.100s' cannot be restored", path);
        return result;
    }
    result = fs_stages_expect(mount->stages, &place, size, sha256);
    if (result < 0)
        snprintf(message, message_size, "out of memory");
    return result;
}

static int set_dry_run(const struct fs_mount *mount, bool is_on, char *message, size_t message_size)
{
    int result = need_stages(mount, message, message_size);
    if (result < 0)
        return result;
    fs_stages_set_dry_run(mount->stages, is_on);
    fs_log_print(mount->log, FS_LOG_INFO, "dry run is %s", is_on ? "on" : "off");
    return 0;
}

int fs_command_dryrun_on(void *arg, const struct fs_control_line *line, char *message,
                         size_t message_size)
{
    (void)line;
    return set_dry_run(arg, true, message, message_size);
}

int fs_command_dryrun_off(void *arg, const struct fs_control_line *line, char *message,
                          size_t message_size)
{
    (void)line;
    return set_dry_run(arg, false, message, message_size);
}

/* --- the maintenance lease --- */

/* The canister ends what is under way in its own time. */
#define PAUSE_NS (UINT64_C(300) * 1000000000)

static int run_pause(void *arg, struct fs_job *job, struct ic_error *err)
{
    const struct fs_mount *mount = arg;
    const struct ic_io io = fs_job_io(job, PAUSE_NS);
    fs_job_say(job, "waiting until nothing is under way in the canister");
    int result = fs_lease_pause(mount->lease, &io, err);
    if (result == 0)
        fs_job_say(job, "the canister is paused");
    return result;
}

static int run_resume(void *arg, struct fs_job *job, struct ic_error *err)
{
    const struct fs_mount *mount = arg;
    const struct ic_io io = fs_job_io(job, PAUSE_NS);
    int result = fs_lease_resume(mount->lease, &io, err);
    if (result == 0)
        fs_job_say(job, "the canister goes on");
    return result;
}

static int submit_lease(struct fs_mount *mount, const struct fs_control_line *line, fs_job_fn run,
                        char *message, size_t message_size)
{
    if (mount->lease)
        return fs_jobs_submit(mount->jobs, line->text, run, mount, message, message_size);
    snprintf(message, message_size,
             mount->discovery.has_lease ? "the mount has maintenance=off"
                                        : "the canister has no methods to pause it");
    return -EOPNOTSUPP;
}

int fs_command_pause(void *arg, const struct fs_control_line *line, char *message,
                     size_t message_size)
{
    return submit_lease(arg, line, run_pause, message, message_size);
}

int fs_command_resume(void *arg, const struct fs_control_line *line, char *message,
                      size_t message_size)
{
    return submit_lease(arg, line, run_resume, message, message_size);
}
