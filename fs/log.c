/* Log lines: one sink, and a ring of the last warnings and errors.
 *
 * lock guards the ring and the sink. A message that repeats the newest one only raises its count,
 * so that a failing network does not push everything else out of the ring or flood syslog.
 */
#include "fs/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#define N_RECENT    32
#define MESSAGE_MAX 640

struct recent {
    int64_t wall_ns;
    enum fs_log_level level;
    unsigned count;
    char text[MESSAGE_MAX];
};

struct fs_log {
    pthread_mutex_t lock;
    enum fs_log_level level;        /* immutable after open */
    enum fs_log_sink sink;          /* guarded by lock */
    struct recent recent[N_RECENT]; /* guarded by lock */
    size_t n_recent;                /* guarded by lock; entries ever written */
};

static const char *const level_names[] = {"error", "warning", "info", "debug", "trace"};
static const int syslog_levels[] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG, LOG_DEBUG};

int fs_log_open(struct fs_log **out, enum fs_log_level level)
{
    struct fs_log *log = calloc(1, sizeof(*log));
    if (!log)
        return -ENOMEM;
    pthread_mutex_init(&log->lock, NULL);
    log->level = level;
    *out = log;
    return 0;
}

void fs_log_close(struct fs_log *log)
{
    if (!log)
        return;
    if (log->sink == FS_LOG_SYSLOG)
        closelog();
    pthread_mutex_destroy(&log->lock);
    free(log);
}

void fs_log_set_sink(struct fs_log *log, enum fs_log_sink sink)
{
    pthread_mutex_lock(&log->lock);
    if (sink == FS_LOG_SYSLOG)
        openlog("canisterfs", LOG_PID, LOG_DAEMON);
    log->sink = sink;
    pthread_mutex_unlock(&log->lock);
}

bool fs_log_parse_level(const char *text, uint64_t *out)
{
    for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
        if (strcmp(text, level_names[i]) != 0)
            continue;
        *out = i;
        return true;
    }
    return false;
}

bool fs_log_is_on(const struct fs_log *log, enum fs_log_level level)
{
    return level <= log->level;
}

/* Keep a warning or error; false when it repeats the newest one. */
static bool remember_locked(struct fs_log *log, enum fs_log_level level, const char *text)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t wall_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    if (log->n_recent > 0) {
        struct recent *newest = &log->recent[(log->n_recent - 1) % N_RECENT];
        if (newest->level == level && strcmp(newest->text, text) == 0) {
            newest->count++;
            newest->wall_ns = wall_ns;
            return false;
        }
    }
    struct recent *slot = &log->recent[log->n_recent++ % N_RECENT];
    slot->wall_ns = wall_ns;
    slot->level = level;
    slot->count = 1;
    snprintf(slot->text, sizeof(slot->text), "%s", text);
    return true;
}

/* Text from the network may hold anything: keep one line of printable characters. */
static void make_printable(char *text)
{
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = ' ';
}

void fs_log_print(struct fs_log *log, enum fs_log_level level, const char *format, ...)
{
    if (!fs_log_is_on(log, level))
        return;
    char text[MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    make_printable(text);

    pthread_mutex_lock(&log->lock);
    bool is_new = level > FS_LOG_WARNING || remember_locked(log, level, text);
    if (is_new && log->sink == FS_LOG_SYSLOG)
        syslog(syslog_levels[level], "%s", text);
    else if (is_new && level <= FS_LOG_WARNING)
        fprintf(stderr, "canisterfs: %s: %s\n", level_names[level], text);
    else if (is_new)
        fprintf(stderr, "canisterfs: %s\n", text);
    pthread_mutex_unlock(&log->lock);
}

void fs_log_for_recent(struct fs_log *log,
                       void (*each)(void *arg, int64_t wall_ns, enum fs_log_level level,
                                    unsigned count, const char *text),
                       void *arg)
{
    pthread_mutex_lock(&log->lock);
    size_t first = log->n_recent > N_RECENT ? log->n_recent - N_RECENT : 0;
    for (size_t i = first; i < log->n_recent; i++) {
        const struct recent *r = &log->recent[i % N_RECENT];
        each(arg, r->wall_ns, r->level, r->count, r->text);
    }
    pthread_mutex_unlock(&log->lock);
}
