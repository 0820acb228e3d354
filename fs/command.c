#include "fs/command.h"

#include "fs/mount.h"
#include "fs/prepare.h"

#include <errno.h>
#include <stdlib.h>

static int prepare(void *arg, const struct fs_control_line *line, char *message,
                   size_t message_size)
{
    return fs_prepare_start(arg, line->text, message, message_size);
}

static int cancel(void *arg, const struct fs_control_line *line, char *message, size_t message_size)
{
    struct fs_mount *mount = arg;
    const char *text = line->args[0];
    char *end;
    errno = 0;
    unsigned long long id = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0) {
        snprintf(message, message_size, "ID is the number of a job in status");
        return -EINVAL;
    }
    int result = fs_jobs_cancel(mount->jobs, id);
    if (result < 0)
        snprintf(message, message_size, "no job %llu waits or runs", id);
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
    {NULL, NULL, NULL, 0, 0, NULL},
};
