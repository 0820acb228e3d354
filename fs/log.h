/* The only place that prints.
 *
 * Messages go to standard error while the program is in the foreground or still starting, to syslog
 * afterwards. The last warnings and errors are kept for the status file.
 *
 * Each warning or error has a cause: what is the same every time it happens, while the text may
 * name this range or that. One line a minute is printed per cause, with the number of those that
 * were not; the status file has the newest text and the count.
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

/* Take the time from here instead of CLOCK_MONOTONIC, ns. Before other threads use the log. */
void fs_log_set_clock(struct fs_log *log, int64_t (*now_ns)(void *arg), void *arg);

/* "error" ... "trace" into an enum fs_log_level. */
bool fs_log_parse_level(const char *text, uint64_t *out);

bool fs_log_is_on(const struct fs_log *log, enum fs_log_level level);

/* Move on from error over warning, info and debug to trace, from there back to info, and print
 * which it is now, whatever the level. */
void fs_log_step_level(struct fs_log *log);

/* The text is its own cause. */
void fs_log_print(struct fs_log *log, enum fs_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* cause  borrowed for the call; warnings and errors of one level and cause are told apart no
 *        further */
void fs_log_print_about(struct fs_log *log, enum fs_log_level level, const char *cause,
                        const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Call `each` for every kept warning and error, the one that came last at the end. The text is
 * borrowed for the call; `each` must not log. count: how often it came; wall_ns: the last time. */
void fs_log_for_recent(struct fs_log *log,
                       void (*each)(void *arg, int64_t wall_ns, enum fs_log_level level,
                                    unsigned count, const char *text),
                       void *arg);

#endif
