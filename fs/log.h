/* The only place that prints.
 *
 * Messages go to standard error while the program is in the foreground or still starting, to syslog
 * afterwards. The last warnings and errors are kept for the status file.
 *
 * Thread safety: every function may be called from any thread.
 */
#ifndef CANISTERFS_FS_LOG_H
#define CANISTERFS_FS_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum fs_log_level {
    FS_LOG_ERROR,   /* the user must act */
    FS_LOG_WARNING, /* degraded, or retried out */
    FS_LOG_INFO,    /* mount, unmount */
    FS_LOG_DEBUG,   /* one line per remote call */
    FS_LOG_TRACE,   /* one line per kernel request */
};

struct fs_log;

/* Where messages go. */
enum fs_log_sink {
    FS_LOG_STDERR,
    FS_LOG_SYSLOG,
};

int fs_log_open(struct fs_log **out, enum fs_log_level level) __attribute__((warn_unused_result));
void fs_log_close(struct fs_log *log);
void fs_log_set_sink(struct fs_log *log, enum fs_log_sink sink);

/* "error" ... "trace" into an enum fs_log_level. */
bool fs_log_parse_level(const char *text, uint64_t *out);

bool fs_log_is_on(const struct fs_log *log, enum fs_log_level level);

void fs_log_print(struct fs_log *log, enum fs_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Call `each` for every kept warning and error, oldest first. The text is borrowed for the call;
 * `each` must not log. count: how often the same message came in a row. */
void fs_log_for_recent(struct fs_log *log,
                       void (*each)(void *arg, int64_t wall_ns, enum fs_log_level level,
                                    unsigned count, const char *text),
                       void *arg);

#endif
