#include "fs/control.h"

#include "ic/buf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN_MAX 60 /* bytes of a line that a message repeats */

/* Why nothing of a write can be done; NULL when it is text. */
static const char *find_flaw(const char *text, size_t len)
{
    if (len > FS_CONTROL_WRITE_MAX)
        return "a write holds whole lines, at most 4095 bytes of them";
    if (!ic_view_is_utf8(ic_view(text, len)))
        return "it is not valid UTF-8";
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        bool is_c1 = c == 0xc2 && (unsigned char)text[i + 1] < 0xa0;
        if ((c < 0x20 && c != '\n') || c == 0x7f || is_c1)
            return "it holds control characters";
    }
    return NULL;
}

/* Bytes of a text that fit into a message, whole characters. */
static int shown_len(const char *text)
{
    size_t len = strlen(text);
    size_t shown = 0;
    while (shown < len) {
        size_t n = ic_utf8_char_len((const uint8_t *)text + shown, len - shown);
        if (n == 0 || shown + n > SHOWN_MAX)
            break;
        shown += n;
    }
    return (int)shown;
}

/* In place: one space between words, none around them. */
static void squeeze_spaces(char *text)
{
    char *to = text;
    for (const char *from = text; *from; from++)
        if (*from != ' ' || (to > text && to[-1] != ' '))
            *to++ = *from;
    if (to > text && to[-1] == ' ')
        to--;
    *to = '\0';
}

static const struct fs_command *find_command(const struct fs_command *commands, const char *text)
{
    const struct fs_command *best = NULL;
    size_t best_len = 0;
    for (; commands->name; commands++) {
        size_t len = strlen(commands->name);
        bool fits = strncmp(text, commands->name, len) == 0 && (!text[len] || text[len] == ' ');
        if (fits && len > best_len) {
            best = commands;
            best_len = len;
        }
    }
    return best;
}

/* Cut a text at its spaces, in place. Returns the number of words, or one more than fit. */
static size_t split_words(char *text, const char *words[FS_CONTROL_WORDS_MAX])
{
    size_t n = 0;
    char *rest = NULL;
    for (char *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        if (n == FS_CONTROL_WORDS_MAX)
            return n + 1;
        words[n++] = word;
    }
    return n;
}

/* text: squeezed, not empty */
static int do_line(const struct fs_control *control, const char *text, char *message,
                   size_t message_size)
{
    const struct fs_command *command = find_command(control->commands, text);
    if (!command) {
        snprintf(message, message_size,
                 "there is no command '%.*s' (reading the file lists the commands)",
                 shown_len(text), text);
        return -EINVAL;
    }
    char copy[FS_CONTROL_WRITE_MAX + 1];
    const char *words[FS_CONTROL_WORDS_MAX];
    snprintf(copy, sizeof(copy), "%s", text + strlen(command->name));
    const struct fs_control_line line = {
        .text = text, .args = words, .n_args = split_words(copy, words)};
    if (line.n_args < command->n_args_min || line.n_args > command->n_args_max ||
        line.n_args > FS_CONTROL_WORDS_MAX) {
        char synopsis[64];
        fs_command_synopsis(command, synopsis, sizeof(synopsis));
        snprintf(message, message_size, "'%.*s' has other arguments than '%s'", shown_len(text),
                 text, synopsis);
        return -EINVAL;
    }
    return command->run(control->arg, &line, message, message_size);
}

static void log_refusal(const struct fs_control *control, unsigned line, int result,
                        const char *message)
{
    fs_log_print(control->log, FS_LOG_WARNING, "control, line %u: %s (%s)", line, message,
                 strerror(-result));
}

int fs_control_write(const struct fs_control *control, const char *text, size_t len)
{
    const char *flaw = find_flaw(text, len);
    if (flaw) {
        fs_log_print(control->log, FS_LOG_WARNING, "control: nothing of a write is done: %s", flaw);
        return -EINVAL;
    }
    char copy[FS_CONTROL_WRITE_MAX + 1];
    memcpy(copy, text, len);
    copy[len] = '\0';
    int result = 0;
    unsigned n = 0;
    char *rest = copy;
    for (char *line = strsep(&rest, "\n"); line && result == 0; line = strsep(&rest, "\n")) {
        char message[512] = "";
        n++;
        squeeze_spaces(line);
        if (*line)
            result = do_line(control, line, message, sizeof(message));
        if (result < 0)
            log_refusal(control, n, result, message);
    }
    return result;
}

void fs_command_synopsis(const struct fs_command *command, char *buf, size_t size)
{
    snprintf(buf, size, "%s%s%s", command->name, command->arguments[0] ? " " : "",
             command->arguments);
}

int fs_control_help(const struct fs_control *control, char **out, size_t *out_len)
{
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    if (!to)
        return -ENOMEM;
    for (const struct fs_command *command = control->commands; command->name; command++) {
        char synopsis[64];
        fs_command_synopsis(command, synopsis, sizeof(synopsis));
        fprintf(to, "%-23s  %s\n", synopsis, command->help);
    }
    if (fclose(to) != 0) {
        free(text);
        return -ENOMEM;
    }
    *out = text;
    *out_len = len;
    return 0;
}
