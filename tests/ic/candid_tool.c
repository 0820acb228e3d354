/* Candid text for tests in other languages: a request a line on stdin, an answer a line on stdout.
 * Texts and messages are in hexadecimal.
 *
 *     print MESSAGE    "ok TEXT": what the message says
 *     encode TEXT      "ok MESSAGE": of the argument list, at the types it says itself
 *     json MESSAGE     "ok JSON"
 *
 * Or "error" and why.
 */
#include "ic/candid_json.h"
#include "ic/candid_print.h"
#include "ic/candid_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TEXT (16 * 1024 * 1024)

static int from_hex(const char *hex, struct ic_buf *out)
{
    for (; hex[0] && hex[1]; hex += 2) {
        unsigned byte;
        if (sscanf(hex, "%2x", &byte) != 1)
            return -1;
        ic_buf_append(out, &(uint8_t){(uint8_t)byte}, 1);
    }
    return ic_buf_status(out);
}

static int render(const char *how, const struct ic_buf *message, struct ic_buf *out,
                  struct ic_error *err)
{
    struct ic_candid *msg = NULL;
    int ret = ic_candid_decode(message->bytes, message->len, NULL, &msg, err);
    if (ret == 0 && strcmp(how, "json") == 0)
        ret = ic_candid_json(ic_candid_arg(msg, 0), ic_candid_count(msg), NULL, 0, MAX_TEXT, out,
                             err);
    else if (ret == 0)
        ret =
            ic_candid_print(ic_candid_arg(msg, 0), ic_candid_count(msg), NULL, MAX_TEXT, out, err);
    ic_candid_free(msg);
    return ret;
}

static int encode(const struct ic_buf *text, struct ic_buf *out, struct ic_error *err)
{
    struct ic_candid *args = NULL;
    int ret = ic_candid_parse((const char *)text->bytes, text->len, NULL, 0, 0, &args, err);
    if (ret == 0)
        ret = ic_candid_encode(ic_candid_arg(args, 0), ic_candid_count(args), out, err);
    ic_candid_free(args);
    return ret;
}

static void answer(char *line)
{
    char *rest = strchr(line, ' ');
    struct ic_buf in = {0}, out = {0};
    struct ic_error err = {0};
    int ret = -1;

    if (rest) {
        *rest++ = '\0';
        ret = from_hex(rest, &in);
    }
    if (ret == 0)
        ret = strcmp(line, "encode") == 0 ? encode(&in, &out, &err) : render(line, &in, &out, &err);
    if (ret < 0) {
        printf("error %s\n", err.message);
    } else {
        printf("ok ");
        for (size_t i = 0; i < out.len; i++)
            printf("%02x", out.bytes[i]);
        printf("\n");
    }
    ic_buf_fini(&in);
    ic_buf_fini(&out);
}

int main(void)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    while ((len = getline(&line, &cap, stdin)) > 0) {
        if (line[len - 1] == '\n')
            line[len - 1] = '\0';
        answer(line);
        fflush(stdout);
    }
    free(line);
    return 0;
}
