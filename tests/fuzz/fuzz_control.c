/* Any bytes written to `control`: commands get lines of words, and nothing but text. */
#include "fs/control.h"
#include "tests/fuzz/target.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int look_at(void *arg, const struct fs_control_line *line, char *message,
                   size_t message_size)
{
    size_t *n_done = arg;
    size_t len = strlen(line->text);
    CLAIM(len > 0 && len <= FS_CONTROL_WRITE_MAX);
    CLAIM(line->text[0] != ' ' && line->text[len - 1] != ' ' && !strstr(line->text, "  "));
    for (size_t i = 0; i < len; i++)
        CLAIM((unsigned char)line->text[i] >= 0x20);
    CLAIM(line->n_args <= FS_CONTROL_WORDS_MAX);
    for (size_t i = 0; i < line->n_args; i++)
        CLAIM(line->args[i][0] != '\0' && !strchr(line->args[i], ' ') &&
              strstr(line->text, line->args[i]));
    ++*n_done;
    if (line->n_args != 2)
        return 0;
    snprintf(message, message_size, "not two");
    return -EBUSY;
}

static const struct fs_command commands[] = {
    {"a", "", "", 0, FS_CONTROL_WORDS_MAX, look_at},
    {"a b", "X", "", 1, 1, look_at},
    {"abc", "", "", 0, 3, look_at},
    {NULL, NULL, NULL, 0, 0, NULL},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fs_log *log; /* one for all inputs */
    if (!log && fs_log_open(&log, FS_LOG_ERROR) < 0)
        abort();
    size_t n_done = 0;
    const struct fs_control control = {.commands = commands, .arg = &n_done, .log = log};
    /* A copy of its own: reading behind it is seen. */
    char *text = malloc(size ? size : 1);
    if (!text)
        return 0;
    if (size > 0)
        memcpy(text, data, size);
    int result = fs_control_write(&control, text, size);
    free(text);
    CLAIM(result == 0 || result == -EINVAL || result == -EBUSY);
    CLAIM(size <= FS_CONTROL_WRITE_MAX || (result == -EINVAL && n_done == 0));
    CLAIM(result != -EBUSY || n_done > 0);
    return 0;
}
