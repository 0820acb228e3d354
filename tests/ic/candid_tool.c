/* Candid text for tests in other languages: a request a line on stdin, an answer a line on stdout.
 *
 *     print IDL MESSAGE    "ok TEXT": what the message says
 *     json IDL MESSAGE     "ok JSON"
 *     coerce IDL MESSAGE   "ok TEXT": what the message says at the types of IDL
 *     encode IDL TEXT      "ok MESSAGE": of an argument list
 *
 * Or "error" and why. All operands are hexadecimal. IDL is a service with a method m, whose
 * arguments they are; "-" when there is none.
 */
#include "ic/candid_coerce.h"
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
        char pair[3] = {hex[0], hex[1], '\0'}, *end;
        uint8_t byte = (uint8_t)strtoul(pair, &end, 16);
        if (*end)
            return -1;
        ic_buf_append(out, &byte, 1);
    }
    return ic_buf_status(out);
}

/* What a request may use. */
struct context {
    struct ic_did *did; /* NULL when there is none */
    struct ic_candid_names *names;
    const struct ic_type *method;
};

static int read_idl(const char *hex, struct context *c, struct ic_error *err)
{
    const struct ic_type_method *method;
    struct ic_buf idl = {0};
    int ret;

    if (strcmp(hex, "-") == 0)
        return 0;
    ret = from_hex(hex, &idl);
    if (ret == 0)
        ret = ic_did_parse((const char *)idl.bytes, idl.len, NULL, &c->did, err);
    ic_buf_fini(&idl);
    if (ret < 0)
        return ret;
    method = ic_did_find_method(c->did, "m");
    if (!method)
        return ic_fail(err, IC_E_NOT_FOUND, "no method m");
    c->method = method->type;
    return ic_candid_names_new(c->did, &c->names, err);
}

static int render(const char *how, const struct context *c, const struct ic_buf *message,
                  struct ic_buf *out, struct ic_error *err)
{
    struct ic_candid_naming naming = {.all = c->names};
    struct ic_candid *msg = NULL;
    int ret;

    if (c->method) {
        naming.types = c->method->as.func.args;
        naming.n = c->method->as.func.n_args;
    }
    if (strcmp(how, "coerce") == 0)
        ret = ic_candid_decode_as(message->bytes, message->len, naming.types, naming.n, NULL, &msg,
                                  err);
    else
        ret = ic_candid_decode(message->bytes, message->len, NULL, &msg, err);
    if (ret < 0)
        return ret;
    if (strcmp(how, "json") == 0)
        ret = ic_candid_json(ic_candid_arg(msg, 0), ic_candid_count(msg), &naming, 0, MAX_TEXT, out,
                             err);
    else
        ret = ic_candid_print(ic_candid_arg(msg, 0), ic_candid_count(msg), &naming, 0, MAX_TEXT,
                              out, err);
    ic_candid_free(msg);
    return ret;
}

static int encode(const struct context *c, const struct ic_buf *text, struct ic_buf *out,
                  struct ic_error *err)
{
    struct ic_candid *args = NULL;
    int ret = ic_candid_parse((const char *)text->bytes, text->len,
                              c->method ? c->method->as.func.args : NULL,
                              c->method ? c->method->as.func.n_args : 0, 0, &args, err);
    if (ret == 0)
        ret = ic_candid_encode(ic_candid_arg(args, 0), ic_candid_count(args), out, err);
    ic_candid_free(args);
    return ret;
}

static void answer(char *line)
{
    char *save = NULL;
    const char *request = strtok_r(line, " ", &save), *idl = strtok_r(NULL, " ", &save),
               *operand = strtok_r(NULL, " ", &save);
    struct context c = {0};
    struct ic_buf in = {0}, out = {0};
    struct ic_error err = {0};
    int ret = idl ? read_idl(idl, &c, &err) : -1;

    if (ret == 0)
        ret = from_hex(operand ? operand : "", &in);
    if (ret == 0 && strcmp(request, "encode") == 0)
        ret = encode(&c, &in, &out, &err);
    else if (ret == 0)
        ret = render(request, &c, &in, &out, &err);
    if (ret < 0) {
        printf("error %s\n", err.message);
    } else {
        printf("ok ");
        for (size_t i = 0; i < out.len; i++)
            printf("%02x", out.bytes[i]);
        printf("\n");
    }
    ic_candid_names_free(c.names);
    ic_did_free(c.did);
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
