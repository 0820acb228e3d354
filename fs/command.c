#include "fs/command.h"

#include "fs/command_canister.h"
#include "fs/command_restore.h"
#include "fs/command_snapshot.h"
#include "fs/mount.h"
#include "fs/prepare.h"

#include <errno.h>
#include <stdlib.h>

bool fs_command_parse_number(const char *text, uint64_t *out)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0)
        return false;
    *out = number;
    return true;
}

static int prepare(void *arg, const struct fs_control_line *line, char *message,
                   size_t message_size)
{
    return fs_prepare_start(arg, line->text, message, message_size);
}

static int cancel(void *arg, const struct fs_control_line *line, char *message, size_t message_size)
{
    struct fs_mount *mount = arg;
    uint64_t id;
    if (!fs_command_parse_number(line->args[0], &id)) {
        snprintf(message, message_size, "ID is the number of a job in status");
        return -EINVAL;
    }
    int result = fs_jobs_cancel(mount->jobs, id);
    if (result < 0)
        snprintf(message, message_size, "no job %llu waits or runs", (unsigned long long)id);
    return result;
}

const struct fs_command fs_commands[] = {
    {"prepare", "",
     "call the update method that makes the memory ready to be read, and see the memory anew; "
     "nothing else ever calls it",
     0, 0, prepare},
    {"cancel", "ID",
     "end the job of this number; a call that was sent cannot be taken back: its outcome is then "
     "unknown",
     1, 1, cancel},
    {"restore list", "", "say in a job what is staged; status has more, in restores", 0, 0,
     fs_command_restore_list},
    {"restore resume", "ID", "go on with a restore that failed or was interrupted", 1, 1,
     fs_command_restore},
    {"restore commit", "ID [shrink=zero] [force]",
     "restore also what its writer did not finish; zeros for the rest of a memory that is longer; "
     "also where nothing tells what changed meanwhile, and what the canister has already",
     1, 3, fs_command_restore},
    {"restore abort", "ID", "delete what is staged, and have the canister forget its part", 1, 1,
     fs_command_restore},
    {"expect", "SIZE SHA256 [FILE]",
     "let the next restore of stable_memory, or of FILE, fail with EINVAL unless it has this "
     "content; holds until one succeeds or the mount ends, and for what is kept of those that did "
     "not",
     2, 3, fs_command_expect},
    {"dryrun on", "",
     "from now on restores say what they would send, send nothing, and fail with ECANCELED: a copy "
     "that did nothing must not look done",
     0, 0, fs_command_dryrun_on},
    {"dryrun off", "", "restores are made again", 0, 0, fs_command_dryrun_off},
    {"maintenance pause", "", "pause the canister until it is resumed, or the mount ends", 0, 0,
     fs_command_pause},
    {"maintenance resume", "", "let the canister go on", 0, 0, fs_command_resume},
    {"snapshot take", "", "take a snapshot of the canister as it is; it may go on meanwhile", 0, 0,
     fs_command_snapshot_take},
    {"snapshot delete", "ID", "delete the snapshot of this whole name, for good", 1, 1,
     fs_command_snapshot_delete},
    {"snapshot load", "ID [--running] [force]",
     "replace all of the canister by a snapshot: it is stopped before and started after, if it "
     "runs, unless --running; also one that nobody verified",
     1, 3, fs_command_snapshot_load},
    {"snapshot upload", "NAME",
     "upload the directory snapshots/NAME that was made here as a new snapshot, read it back and "
     "compare; again: go on with what was interrupted",
     1, 1, fs_command_snapshot_upload},
    {"snapshot drop", "NAME",
     "delete the snapshot that an unfinished upload of snapshots/NAME made; the files stay", 1, 1,
     fs_command_snapshot_drop},
    {"upgrade", "FILE [skip_pre_upgrade]",
     "upgrade the canister to the module in a file, an absolute path without spaces; it is stopped "
     "before and started after, if it runs",
     1, 2, fs_command_upgrade},
    {"call-ranges", "METHOD TOTAL [from=N]",
     "call an update method over ranges (from, to) of TOTAL, halving them on limits; the same "
     "again goes on with one that was interrupted, from=N begins there",
     2, 3, fs_command_call_ranges},
    {"start", "", "start the canister, also one that an interrupted command left stopped", 0, 0,
     fs_command_start},
    {"stop", "", "stop the canister; it stays stopped until `start`", 0, 0, fs_command_stop},
    {NULL, NULL, NULL, 0, 0, NULL},
};
