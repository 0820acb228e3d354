/* What the log keeps for the status file, and how often it prints. */
#include "fs/log.h"
#include "tests/tap.h"

#include <stdlib.h>
#include <unistd.h>

TAP_STATE;

#define SECOND_NS INT64_C(1000000000)

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

static int64_t read_clock(void *arg)
{
    const int64_t *now_ns = arg;
    return *now_ns;
}

/* Everything printed since the last call; static buffer. */
static const char *printed(void)
{
    static char text[65536];
    fflush(stderr);
    rewind(stderr);
    size_t len = fread(text, 1, sizeof(text) - 1, stderr);
    text[len] = '\0';
    rewind(stderr);
    if (ftruncate(fileno(stderr), 0) != 0)
        return "cannot truncate";
    return text;
}

static unsigned count_lines(const char *text)
{
    unsigned n = 0;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

static void test_kept(void)
{
    struct fs_log *log;
    if (fs_log_open(&log, FS_LOG_WARNING) < 0)
        exit(1);
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
    fs_log_print(log, FS_LOG_WARNING, "warning 70");
    seen = (struct seen){0};
    fs_log_for_recent(log, see, &seen);
    TAP_STR(seen.last, "warning 70", "what comes again moves to the end");
    TAP_INT(seen.n, 32, "and costs no other");
    fs_log_close(log);
    printed();
}

/* A failing network: thousands of reads, each at another offset, for a few reasons in turn. */
static void test_flood(void)
{
    struct fs_log *log;
    int64_t now_ns = 1000 * SECOND_NS;
    if (fs_log_open(&log, FS_LOG_INFO) < 0)
        exit(1);
    fs_log_set_clock(log, read_clock, &now_ns);
    fs_log_print(log, FS_LOG_WARNING, "something else");
    for (int i = 0; i < 10000; i++) {
        fs_log_print_about(log, FS_LOG_ERROR, "HTTP 500", "reading 131072 bytes at %d: HTTP 500",
                           i * 131072);
        fs_log_print_about(log, FS_LOG_ERROR, "reset", "reading at %d: connection reset", i);
    }
    TAP_INT(count_lines(printed()), 3, "one line for each cause");
    struct seen seen = {0};
    fs_log_for_recent(log, see, &seen);
    TAP_INT(seen.n, 3, "one entry for each cause");
    TAP_STR(seen.first, "something else", "and nothing else is pushed out");
    TAP_STR(seen.last, "reading at 9999: connection reset", "with the range that failed last");
    TAP_INT(seen.count_of_last, 10000, "and the count");

    now_ns += 59 * SECOND_NS;
    fs_log_print_about(log, FS_LOG_ERROR, "HTTP 500", "reading 1 byte at 1: HTTP 500");
    TAP_STR(printed(), "", "nothing more within a minute");
    now_ns += 2 * SECOND_NS;
    fs_log_print_about(log, FS_LOG_ERROR, "HTTP 500", "reading 1 byte at 2: HTTP 500");
    TAP_STR(printed(),
            "canisterfs: error: reading 1 byte at 2: HTTP 500 (and 10000 more of this kind in 61 "
            "s)\n",
            "after a minute it is said again, with the number of those left out");
    now_ns += 3600 * SECOND_NS;
    fs_log_print(log, FS_LOG_WARNING, "something else");
    TAP_STR(printed(), "canisterfs: warning: something else\n",
            "a message that comes again after an hour is printed again");
    fs_log_print_about(log, FS_LOG_WARNING, "HTTP 500", "retrying");
    TAP_STR(printed(), "canisterfs: warning: retrying\n", "another level is another matter");
    fs_log_print(log, FS_LOG_INFO, "mounted");
    fs_log_print(log, FS_LOG_INFO, "mounted");
    TAP_INT(count_lines(printed()), 2, "information is not left out");
    fs_log_close(log);
}

static void test_level(void)
{
    static const char *const expected[] = {
        "canisterfs: log level is now warning\n", "canisterfs: log level is now info\n",
        "canisterfs: log level is now debug\n",   "canisterfs: log level is now trace\n",
        "canisterfs: log level is now info\n",
    };
    static const enum fs_log_level levels[] = {FS_LOG_WARNING, FS_LOG_INFO, FS_LOG_DEBUG,
                                               FS_LOG_TRACE, FS_LOG_INFO};
    struct fs_log *log;
    if (fs_log_open(&log, FS_LOG_ERROR) < 0)
        exit(1);
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
        fs_log_step_level(log);
        TAP_STR(printed(), expected[i], "the level steps on and says so");
        TAP_OK(fs_log_is_on(log, levels[i]), "it is on");
        TAP_OK(levels[i] == FS_LOG_TRACE || !fs_log_is_on(log, levels[i] + 1), "and no more");
    }
    fs_log_close(log);
}

int main(void)
{
    if (!(stderr = tmpfile()))
        return 1;
    test_kept();
    test_flood();
    test_level();
    return tap_done();
}
