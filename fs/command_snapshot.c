/* See command_snapshot.h. */
#include "fs/command_snapshot.h"

#include "fs/mount.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int run_upload(void *arg, struct fs_job *job, struct ic_error *err)
{
    const struct fs_mount *mount = arg;
    const char *name = fs_job_command(job) + strlen("snapshot upload ");
    return fs_snapshot_upload_run(mount->uploads, name, job, err);
}

static int run_drop(void *arg, struct fs_job *job, struct ic_error *err)
{
    const struct fs_mount *mount = arg;
    const char *name = fs_job_command(job) + strlen("snapshot drop ");
    return fs_snapshot_upload_drop(mount->uploads, name, job, err);
}

static int submit(struct fs_mount *mount, const struct fs_control_line *line, fs_job_fn run,
                  char *message, size_t message_size)
{
    if (!mount->uploads) {
        snprintf(message, message_size,
                 "snapshots are uploaded by a mount with -o rw that has snapshots/");
        return -EROFS;
    }
    return fs_jobs_submit(mount->jobs, line->text, run, mount, message, message_size);
}

int fs_command_snapshot_upload(void *arg, const struct fs_control_line *line, char *message,
                               size_t message_size)
{
    return submit(arg, line, run_upload, message, message_size);
}

int fs_command_snapshot_drop(void *arg, const struct fs_control_line *line, char *message,
                             size_t message_size)
{
    return submit(arg, line, run_drop, message, message_size);
}
