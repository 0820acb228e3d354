#include "fs/report_restore.h"

#include <errno.h>
#include <string.h>
#include <time.h>

/* A failed allocation shows up when the object is printed. */
static void set(json_t *object, const char *key, json_t *value)
{
    json_object_set_new(object, key, value);
}

static json_t *number(uint64_t n)
{
    return json_integer((json_int_t)n);
}

static json_t *text_or_null(const char *text)
{
    return *text ? json_string(text) : json_null();
}

static const char *phase_words(enum fs_restore_phase phase)
{
    switch (phase) {
    case FS_RESTORE_WAITING:
        break;
    case FS_RESTORE_CHECKING:
        return "checking";
    case FS_RESTORE_SENDING:
        return "sending";
    case FS_RESTORE_APPLYING:
        return "applying";
    }
    return "waiting";
}

/* Seconds until all is sent, at the pace so far; null: it cannot be told. */
static json_t *seconds_left(const struct fs_staged_info *info)
{
    uint64_t n_acked = info->progress->n_acked;
    uint64_t n_to_send = info->progress->n_to_send;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    double spent =
        (double)((int64_t)now.tv_sec * 1000000000 + now.tv_nsec - info->started_ns) / 1e9;
    if (info->state != FS_STAGED_COMMITTING || n_acked == 0 || n_to_send < n_acked)
        return json_null();
    return number((uint64_t)(spent * (double)(n_to_send - n_acked) / (double)n_acked));
}

static json_t *error_of(const struct fs_staged_info *info)
{
    if (info->state != FS_STAGED_FAILED && info->state != FS_STAGED_PARKED)
        return json_null();
    const char *name = strerrorname_np(-info->error);
    return json_string(name ? name : "EIO");
}

static void append(void *arg, const struct fs_staged_info *info)
{
    const struct fs_restore_progress *progress = info->progress;
    json_t *restore = json_object();
    set(restore, "id", number(info->id));
    set(restore, "file", text_or_null(info->path));
    set(restore, "written_as", json_string(info->purpose));
    set(restore, "state", json_string(fs_staged_state_words(info->state)));
    set(restore, "errno", error_of(info));
    json_t *words = text_or_null(info->words);
    set(restore, "message", words ? words : json_string("(not valid UTF-8)"));
    set(restore, "size", number(info->size));
    set(restore, "staged_bytes", number(info->staged));
    if (info->state == FS_STAGED_COMMITTING)
        set(restore, "phase", json_string(phase_words((enum fs_restore_phase)progress->phase)));
    set(restore, "to_send_bytes", number(progress->n_to_send));
    set(restore, "sent_bytes", number(progress->n_sent));
    set(restore, "acknowledged_bytes", number(progress->n_acked));
    set(restore, "calls", number(progress->n_calls));
    set(restore, "seconds_left", seconds_left(info));
    json_array_append_new(arg, restore);
}

json_t *fs_report_restores(struct fs_stages *stages)
{
    json_t *restores = json_array();
    fs_stages_for_each(stages, append, restores);
    return restores;
}

json_t *fs_report_lease(struct fs_lease *lease)
{
    static const char *const modes[] = {
        [FS_MAINTENANCE_OFF] = "off",
        [FS_MAINTENANCE_MANUAL] = "manual",
        [FS_MAINTENANCE_AUTO] = "auto",
    };
    struct fs_lease_info info;
    if (!lease)
        return json_null();
    fs_lease_describe(lease, &info);
    json_t *report = json_object();
    set(report, "mode", json_string(modes[info.mode]));
    set(report, "held", json_boolean(info.is_held));
    set(report, "holders", number(info.n_holders));
    set(report, "expires_ns", info.is_held ? number((uint64_t)info.expires_ns) : json_null());
    set(report, "waits_for", text_or_null(info.words));
    json_t *problem = text_or_null(info.problem);
    set(report, "problem", problem ? problem : json_string("(not valid UTF-8)"));
    return report;
}
