/* What the log keeps for the status file. */
#include "fs/log.h"
#include "tests/tap.h"

#include <stdlib.h>

TAP_STATE;

struct seen {
    unsigned n;
    unsigned count_of_last;
    char first[64];
    char last[64];
};

static void see(void *arg, int64_t wall_ns, enum fs_log_level level, unsigned count,
                const char *text)
{
    (void)wall_ns;
    (void)level;
    struct seen *seen = arg;
    if (seen->n++ == 0)
        snprintf(seen->first, sizeof(seen->first), "%s", text);
    snprintf(seen->last, sizeof(seen->last), "%s", text);
    seen->count_of_last = count;
}

int main(void)
{
    struct fs_log *log;
    if (fs_log_open(&log, FS_LOG_WARNING) < 0)
        return 1;
    if (!freopen("/dev/null", "w", stderr))
        return 1;
    fs_log_print(log, FS_LOG_INFO, "not worth keeping");
    fs_log_print(log, FS_LOG_ERROR, "line %d\nand\x1b[31m more", 1);
    fs_log_print(log, FS_LOG_ERROR, "line %d\nand\x1b[31m more", 1);
    struct seen seen = {0};
    fs_log_for_recent(log, see, &seen);
    TAP_INT(seen.n, 1, "warnings and errors are kept, repetitions once");
    TAP_INT(seen.count_of_last, 2, "and counted");
    TAP_STR(seen.last, "line 1 and [31m more", "control characters from the network are gone");
    for (int i = 0; i < 100; i++)
        fs_log_print(log, FS_LOG_WARNING, "warning %d", i);
    seen = (struct seen){0};
    fs_log_for_recent(log, see, &seen);
    TAP_INT(seen.n, 32, "the newest 32 are kept");
    TAP_STR(seen.first, "warning 68", "oldest first");
    TAP_STR(seen.last, "warning 99", "newest last");
    fs_log_close(log);
    return tap_done();
}
