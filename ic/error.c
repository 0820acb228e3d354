/* Errors: the classes of failures, their errno, and messages that are safe to log. */
#include "ic/error.h"

#include "ic/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int ic_error_errno(const struct ic_error *e)
{
    switch (e->code) {
    case IC_OK:
        return 0;
    case IC_E_TIMEOUT:
        return -ETIMEDOUT;
    case IC_E_CANCELLED:
        return -EINTR;
    case IC_E_UNREACHABLE:
        return -EHOSTUNREACH;
    case IC_E_TLS:
    case IC_E_MALFORMED:
    case IC_E_WRONG_TYPE:
        return -EPROTO;
    case IC_E_UNVERIFIED:
        return -EBADMSG;
    case IC_E_DENIED:
        return -EACCES;
    case IC_E_NOT_FOUND:
        return -ENOENT;
    case IC_E_CHANGED:
        return -ESTALE;
    case IC_E_BUSY:
        return -EBUSY;
    case IC_E_NO_SPACE:
        return -ENOSPC;
    case IC_E_TOO_LARGE:
        return -EFBIG;
    case IC_E_NO_MEMORY:
        return -ENOMEM;
    case IC_E_CONFIG:
        return -EINVAL;
    case IC_E_OVERLOADED:
    case IC_E_REJECTED:
    case IC_E_HTTP:
    case IC_E_UNKNOWN_OUTCOME:
        return -EIO;
    }
    return -EIO;
}

/* Replace what a terminal or a log line must not get: bytes that are not UTF-8, C0 and C1 control
 * characters and DEL. In place; never longer than before. */
static void make_printable(char *text)
{
    uint8_t *p = (uint8_t *)text;
    size_t left = strlen(text);
    while (left > 0) {
        size_t n = ic_utf8_char_len(p, left);
        bool control = p[0] < 0x20 || p[0] == 0x7f || (n == 2 && p[0] == 0xc2 && p[1] < 0xa0);
        if (n == 0)
            n = 1, control = true;
        if (control)
            memset(p, '?', n);
        p += n;
        left -= n;
    }
}

int ic_fail(struct ic_error *err, enum ic_errc code, const char *fmt, ...)
{
    struct ic_error e = {.code = code};
    va_list ap;

    if (!err)
        return ic_error_errno(&e);
    va_start(ap, fmt);
    vsnprintf(e.message, sizeof(e.message), fmt, ap);
    va_end(ap);
    make_printable(e.message);
    *err = e;
    return ic_error_errno(&e);
}

void ic_error_reword(struct ic_error *err, const char *fmt, ...)
{
    char message[sizeof(err->message)];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(message, sizeof(message), fmt, ap);
    va_end(ap);
    make_printable(message); /* the end may be half a character */
    memcpy(err->message, message, sizeof(message));
}

/* The class of a rejection that carries an error code; IC_OK when the code decides nothing. */
static enum ic_errc class_of_error_code(unsigned number)
{
    switch (number) {
    case 406: /* the canister (or its inspect_message) rejected the call in its own words */
    case 512: /* not a controller */
        return IC_E_DENIED;
    case 301: /* canister */
    case 305: /* snapshot */
    case 407: /* management method */
    case 536: /* method */
    case 537: /* no Wasm module */
        return IC_E_NOT_FOUND;
    case 207: /* out of cycles, frozen */
    case 402: /* memory allocation */
    case 403: /* cycles for a new canister */
    case 507: /* out of memory */
    case 530: /* cycle reservations ... */
    case 531:
    case 532:
    case 533:
    case 534:
    case 535:
    case 540:
    case 539: /* Wasm memory limit */
        return IC_E_NO_SPACE;
    case 504: /* contract violation: in practice a reply larger than allowed */
    case 522: /* instructions */
    case 524: /* stable memory access */
    case 528: /* query time */
        return IC_E_TOO_LARGE;
    default:
        return IC_OK;
    }
}

/* The number in "IC0504"; 0 when it has another form. */
static unsigned error_code_number(const char *code)
{
    unsigned n = 0;
    if (!code || strlen(code) != 6 || code[0] != 'I' || code[1] != 'C')
        return 0;
    for (const char *p = code + 2; *p; p++) {
        if (*p < '0' || *p > '9')
            return 0;
        n = n * 10 + (unsigned)(*p - '0');
    }
    return n;
}

static enum ic_errc class_of_rejection(uint32_t reject_code, const char *error_code)
{
    enum ic_errc code = class_of_error_code(error_code_number(error_code));
    if (code != IC_OK)
        return code;
    switch (reject_code) {
    case 2: /* SYS_TRANSIENT */
        return IC_E_OVERLOADED;
    case 3: /* DESTINATION_INVALID */
        return IC_E_NOT_FOUND;
    default:
        return IC_E_REJECTED;
    }
}

int ic_fail_reject(struct ic_error *err, uint32_t reject_code, const char *error_code,
                   const char *msg, size_t msg_len)
{
    const char *shown = error_code_number(error_code) ? error_code : "";
    int cut = msg_len > sizeof(err->message) ? (int)sizeof(err->message) : (int)msg_len;
    int ret =
        ic_fail(err, class_of_rejection(reject_code, error_code), "rejected (code %u%s%s): %.*s",
                reject_code, *shown ? ", " : "", shown, cut, msg_len ? msg : "");

    if (err) {
        err->reject_code = reject_code;
        snprintf(err->error_code, sizeof(err->error_code), "%s", shown);
    }
    return ret;
}

bool ic_error_is_limit(const struct ic_error *e)
{
    return class_of_error_code(error_code_number(e->error_code)) == IC_E_TOO_LARGE;
}
