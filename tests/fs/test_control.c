/* What is written to `control`: which commands it is, and what is refused before any is done. */
#include "fs/control.h"
#include "tests/tap.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

TAP_STATE;

struct record {
    char done[256]; /* the commands that were done, each with a semicolon */
    size_t n_args;
    char args[256]; /* of the last one, likewise */
};

static int note(void *arg, const struct fs_control_line *line, char *message, size_t message_size)
{
    (void)message, (void)message_size;
    struct record *record = arg;
    size_t len = strlen(record->done);
    snprintf(record->done + len, sizeof(record->done) - len, "%.100s;", line->text);
    record->n_args = line->n_args;
    record->args[0] = '\0';
    for (size_t i = 0; i < line->n_args; i++) {
        len = strlen(record->args);
        snprintf(record->args + len, sizeof(record->args) - len, "%s;", line->args[i]);
    }
    return 0;
}

static int refuse(void *arg, const struct fs_control_line *line, char *message, size_t message_size)
{
    (void)arg, (void)line;
    snprintf(message, message_size, "it does not want to");
    return -EOPNOTSUPP;
}

static const struct fs_command commands[] = {
    {"one", "", "does one thing", 0, 0, note},
    {"two", "A [B]", "does another", 1, 2, note},
    {"take", "", "is short", 0, 1, note},
    {"take all", "ID", "is two words", 1, 1, note},
    {"many", "...", "takes many", 0, FS_CONTROL_WORDS_MAX, note},
    {"no", "", "refuses", 0, 0, refuse},
    {NULL, NULL, NULL, 0, 0, NULL},
};

struct bench {
    struct record record;
    struct fs_control control;
};

static void begin(struct bench *bench)
{
    memset(bench, 0, sizeof(*bench));
    bench->control = (struct fs_control){.commands = commands, .arg = &bench->record};
    if (fs_log_open(&bench->control.log, FS_LOG_WARNING) < 0)
        abort();
}

static void end(struct bench *bench)
{
    fs_log_close(bench->control.log);
}

static void copy_last(void *arg, int64_t wall_ns, enum fs_log_level level, unsigned count,
                      const char *text)
{
    (void)wall_ns, (void)level, (void)count;
    snprintf(arg, 512, "%s", text);
}

/* Write, and compare what is answered, what was done, and (NULL: nothing) what is logged. */
static void writes(const char *text, size_t len, int want, const char *done, const char *logged)
{
    struct bench bench;
    char last[512] = "";
    begin(&bench);
    TAP_INT(fs_control_write(&bench.control, text, len), want, logged ? logged : done);
    TAP_STR(bench.record.done, done, "these are done");
    fs_log_for_recent(bench.control.log, copy_last, last);
    bool fits = logged ? strstr(last, logged) != NULL : !last[0];
    TAP_OK(fits, "and this is logged");
    if (!fits)
        printf("# logged: %s\n", last);
    end(&bench);
}

static void test_lines(void)
{
    static const struct {
        const char *text;
        int want;
        const char *done;
        const char *logged;
    } rows[] = {
        {"one\n", 0, "one;", NULL},
        {"one", 0, "one;", NULL},
        {"", 0, "", NULL},
        {"\n\n  \n", 0, "", NULL},
        {"  one  \n", 0, "one;", NULL},
        {"two   a    b\n", 0, "two a b;", NULL},
        {"one\n\ntwo x\none", 0, "one;two x;one;", NULL},
        {"take\n", 0, "take;", NULL},
        {"take 5\n", 0, "take 5;", NULL},
        {"take   all 5\n", 0, "take all 5;", NULL},
        {"two \xc3\xa9\n", 0, "two \xc3\xa9;", NULL},
        {"on\n", -EINVAL, "", "line 1: there is no command 'on'"},
        {"onee\n", -EINVAL, "", "line 1: there is no command 'onee'"},
        {"One\n", -EINVAL, "", "there is no command 'One'"},
        {"one x\n", -EINVAL, "", "line 1: 'one x' has other arguments than 'one'"},
        {"two\n", -EINVAL, "", "'two' has other arguments than 'two A [B]'"},
        {"two a b c\n", -EINVAL, "", "has other arguments than 'two A [B]'"},
        {"take all\n", -EINVAL, "", "has other arguments than 'take all ID'"},
        {"one\n\nfour\none\n", -EINVAL, "one;", "line 3: there is no command 'four'"},
        {"one\nno\none\n", -EOPNOTSUPP, "one;", "line 2: it does not want to"},
        {"many 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n", 0,
         "many 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16;", NULL},
        {"many 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\n", -EINVAL, "", "has other arguments"},
        {"one\ntwo a\tb\n", -EINVAL, "", "control characters"},
        {"one\r\n", -EINVAL, "", "control characters"},
        {"one\x7f\n", -EINVAL, "", "control characters"},
        {"two \xc2\x85\n", -EINVAL, "", "control characters"},
        {"one\n\xff\n", -EINVAL, "", "not valid UTF-8"},
        {"two \xc3", -EINVAL, "", "not valid UTF-8"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        writes(rows[i].text, strlen(rows[i].text), rows[i].want, rows[i].done, rows[i].logged);
    writes("one\0\n", 5, -EINVAL, "", "control characters");
    writes("one\n\0one\n", 9, -EINVAL, "", "control characters");
}

static void test_arguments(void)
{
    struct bench bench;
    begin(&bench);
    TAP_INT(fs_control_write(&bench.control, " take  all   x=1 \n", 18), 0,
            "a command of two words");
    TAP_STR(bench.record.args, "x=1;", "its argument");
    TAP_INT(fs_control_write(&bench.control, "take all=1", 10), 0, "the shorter one");
    TAP_STR(bench.record.args, "all=1;", "when the longer does not fit");
    end(&bench);
}

/* A writer's buffer of 4096 bytes that is full may end within a line. */
static void test_length(void)
{
    struct bench bench;
    begin(&bench);
    char *text = malloc(1 << 20);
    memset(text, '\n', 1 << 20);
    memcpy(text, "one", 3);
    TAP_INT(fs_control_write(&bench.control, text, 4095), 0, "4095 bytes are taken");
    TAP_STR(bench.record.done, "one;", "and done");
    TAP_INT(fs_control_write(&bench.control, text, 4096), -EINVAL, "4096 are not");
    TAP_INT(fs_control_write(&bench.control, text, 1 << 20), -EINVAL, "nor a MiB");
    TAP_STR(bench.record.done, "one;", "nothing of them is done");
    memset(text, 'x', 4095);
    TAP_INT(fs_control_write(&bench.control, text, 4095), -EINVAL, "a word as long as that");
    memset(text, ' ', 4095);
    TAP_INT(fs_control_write(&bench.control, text, 4095), 0, "nothing but spaces");
    for (size_t i = 0; i < 4094; i += 2)
        memcpy(text + i, "\xc3\xa9", 2);
    TAP_INT(fs_control_write(&bench.control, text, 4094), -EINVAL, "letters of two bytes");
    char last[512] = "";
    fs_log_for_recent(bench.control.log, copy_last, last);
    TAP_OK(strstr(last, "\xc3\xa9'") != NULL, "are shown whole");
    free(text);
    end(&bench);
}

static void test_help(void)
{
    struct bench bench;
    begin(&bench);
    char *text = NULL;
    size_t len = 0;
    TAP_INT(fs_control_help(&bench.control, &text, &len), 0, "help");
    size_t n_lines = 0;
    for (size_t i = 0; i < len; i++)
        n_lines += text[i] == '\n';
    TAP_INT((int64_t)n_lines, 6, "a line for each command");
    TAP_OK(strncmp(text, "one                      does one thing\ntwo A [B]", 49) == 0,
           "in words");
    free(text);
    end(&bench);
}

/* --- writers at once --- */

static int count(void *arg, const struct fs_control_line *line, char *message, size_t message_size)
{
    (void)line, (void)message, (void)message_size;
    atomic_fetch_add_explicit((atomic_uint *)arg, 1, memory_order_relaxed);
    return 0;
}

static void *write_often(void *arg)
{
    for (int i = 0; i < 500; i++)
        if (fs_control_write(arg, "count\ncount\nbad\n", 16) != -EINVAL)
            return arg;
    return NULL;
}

static void test_writers_at_once(void)
{
    static const struct fs_command table[] = {{"count", "", "counts", 0, 0, count}, {.name = NULL}};
    atomic_uint n = 0;
    struct fs_control control = {.commands = table, .arg = &n};
    if (fs_log_open(&control.log, FS_LOG_WARNING) < 0)
        abort();
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, write_often, &control);
    bool is_right = true;
    for (int i = 0; i < 4; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        is_right = is_right && !failed;
    }
    TAP_OK(is_right, "writers at once each get their answer");
    TAP_INT(atomic_load(&n), 4000, "and every command is done");
    fs_log_close(control.log);
}

int main(void)
{
    test_lines();
    test_arguments();
    test_length();
    test_help();
    test_writers_at_once();
    return tap_done();
}
