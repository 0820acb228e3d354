/* Log lines: one sink, and a list of the last warnings and errors, one entry for each cause, so
 * that a failing network does not push everything else out of it or flood syslog.
 *
 * lock guards the list and the sink.
 */
#include "fs/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <utlist.h>

#define N_RECENT    32
#define MESSAGE_MAX 640
#define SECOND_NS   INT64_C(1000000000)

/* A cause that goes on is printed this often. */
#define REPEAT_NS (60 * SECOND_NS)

struct recent {
    struct recent *prev, *next;
    enum fs_log_level level;
    char cause[MESSAGE_MAX];
    char text[MESSAGE_MAX];
    unsigned count;       /* how often it came */
    unsigned n_unprinted; /* of these since printed_at_ns */
    int64_t wall_ns;      /* when it came last */
    int64_t printed_at_ns;
};

struct fs_log {
    _Atomic(enum fs_log_level) level; /* atomic: looked at before every message */
    int64_t (*now_ns)(void *arg);     /* immutable once threads use the log */
    void *now_arg;

    pthread_mutex_t lock;
    enum fs_log_sink sink;        /* guarded by lock */
    struct recent pool[N_RECENT]; /* guarded by lock */
    size_t n_used;                /* guarded by lock: of the pool */
    struct recent *recent;        /* guarded by lock: in the order they came last */
};

static const char *const level_names[] = {"error", "warning", "info", "debug", "trace"};
static const int syslog_levels[] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG, LOG_DEBUG};

static int64_t clock_ns(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * SECOND_NS + now.tv_nsec;
}

static int64_t monotonic_ns(void *arg)
{
    (void)arg;
    return clock_ns(CLOCK_MONOTONIC);
}

int fs_log_open(struct fs_log **out, enum fs_log_level level)
{
    struct fs_log *log = calloc(1, sizeof(*log));
    if (!log)
        return -ENOMEM;
    pthread_mutex_init(&log->lock, NULL);
    atomic_init(&log->level, level);
    log->now_ns = monotonic_ns;
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

void fs_log_set_clock(struct fs_log *log, int64_t (*now_ns)(void *arg), void *arg)
{
    log->now_ns = now_ns;
    log->now_arg = arg;
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
    /* Relaxed: a message more or less while the level changes does no harm. */
    return level <= atomic_load_explicit(&log->level, memory_order_relaxed);
}

static struct recent *find_recent_locked(struct fs_log *log, enum fs_log_level level,
                                         const char *cause)
{
    struct recent *found = log->recent;
    while (found && (found->level != level || strcmp(found->cause, cause) != 0))
        found = found->next;
    return found;
}

/* A fresh entry, at the cost of the one that is longest ago. */
static struct recent *add_recent_locked(struct fs_log *log, enum fs_log_level level,
                                        const char *cause)
{
    struct recent *added = log->recent;
    if (log->n_used < N_RECENT)
        added = &log->pool[log->n_used++];
    else
        DL_DELETE(log->recent, added);
    *added = (struct recent){.level = level};
    snprintf(added->cause, sizeof(added->cause), "%s", cause);
    DL_APPEND(log->recent, added);
    return added;
}

/* Keep a warning or error. Returns whether it is to be printed now, and writes what to add to it
 * about those that were not. */
static bool remember_locked(struct fs_log *log, enum fs_log_level level, const char *cause,
                            const char *text, char *more, size_t more_size)
{
    int64_t now_ns = log->now_ns(log->now_arg);
    struct recent *entry = find_recent_locked(log, level, cause);
    bool is_new = !entry;
    if (is_new) {
        entry = add_recent_locked(log, level, cause);
    } else {
        DL_DELETE(log->recent, entry);
        DL_APPEND(log->recent, entry);
    }
    snprintf(entry->text, sizeof(entry->text), "%s", text);
    entry->wall_ns = clock_ns(CLOCK_REALTIME);
    entry->count++;
    int64_t quiet_ns = now_ns - entry->printed_at_ns;
    if (!is_new && quiet_ns < REPEAT_NS) {
        entry->n_unprinted++;
        return false;
    }
    if (entry->n_unprinted > 0)
        snprintf(more, more_size, " (and %u more of this kind in %lld s)", entry->n_unprinted,
                 (long long)(quiet_ns / SECOND_NS));
    entry->n_unprinted = 0;
    entry->printed_at_ns = now_ns;
    return true;
}

/* Text from the network may hold anything: keep one line of printable characters. */
static void make_printable(char *text)
{
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = ' ';
}

static void print_locked(const struct fs_log *log, enum fs_log_level level, const char *text,
                         const char *more)
{
    if (log->sink == FS_LOG_SYSLOG)
        syslog(syslog_levels[level], "%s%s", text, more);
    else if (level <= FS_LOG_WARNING)
        fprintf(stderr, "canisterfs: %s: %s%s\n", level_names[level], text, more);
    else
        fprintf(stderr, "canisterfs: %s%s\n", text, more);
}

/* cause NULL: the text. */
static __attribute__((format(printf, 4, 0))) void print(struct fs_log *log, enum fs_log_level level,
                                                        const char *cause, const char *format,
                                                        va_list args)
{
    char text[MESSAGE_MAX];
    vsnprintf(text, sizeof(text), format, args);
    make_printable(text);
    char short_cause[MESSAGE_MAX];
    snprintf(short_cause, sizeof(short_cause), "%s", cause ? cause : text);

    char more[64] = "";
    pthread_mutex_lock(&log->lock);
    if (level > FS_LOG_WARNING ||
        remember_locked(log, level, short_cause, text, more, sizeof(more)))
        print_locked(log, level, text, more);
    pthread_mutex_unlock(&log->lock);
}

void fs_log_print(struct fs_log *log, enum fs_log_level level, const char *format, ...)
{
    if (!fs_log_is_on(log, level))
        return;
    va_list args;
    va_start(args, format);
    print(log, level, NULL, format, args);
    va_end(args);
}

void fs_log_print_about(struct fs_log *log, enum fs_log_level level, const char *cause,
                        const char *format, ...)
{
    if (!fs_log_is_on(log, level))
        return;
    va_list args;
    va_start(args, format);
    print(log, level, cause, format, args);
    va_end(args);
}

void fs_log_step_level(struct fs_log *log)
{
    enum fs_log_level level = atomic_load_explicit(&log->level, memory_order_relaxed);
    level = level < FS_LOG_TRACE ? level + 1 : FS_LOG_INFO;
    atomic_store_explicit(&log->level, level, memory_order_relaxed);
    char text[40];
    snprintf(text, sizeof(text), "log level is now %s", level_names[level]);
    pthread_mutex_lock(&log->lock);
    print_locked(log, FS_LOG_INFO, text, "");
    pthread_mutex_unlock(&log->lock);
}

void fs_log_for_recent(struct fs_log *log,
                       void (*each)(void *arg, int64_t wall_ns, enum fs_log_level level,
                                    unsigned count, const char *text),
                       void *arg)
{
    pthread_mutex_lock(&log->lock);
    for (const struct recent *r = log->recent; r; r = r->next)
        each(arg, r->wall_ns, r->level, r->count, r->text);
    pthread_mutex_unlock(&log->lock);
}
