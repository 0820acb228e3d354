/* What went wrong, in a form for machines (code) and one for people (message).
 *
 * Every fallible function of this room returns 0 or a negative errno and takes an optional
 * `struct ic_error *` as its last parameter. The struct is filled where the failure happens, passed
 * up untouched and logged once at the top. It is written on failure only. The errno of a code is
 * decided in one table, in error.c, and nowhere else.
 *
 * Messages carry text that came over the network (reject messages, HTTP bodies). Whatever is not
 * valid UTF-8, and every control character, is replaced by '?', so that a message can be logged as
 * it is.
 */
#ifndef CANISTERFS_IC_ERROR_H
#define CANISTERFS_IC_ERROR_H

#include "ic/attr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ic_errc {
    IC_OK,
    IC_E_TIMEOUT,     /* the deadline passed */
    IC_E_CANCELLED,   /* the caller's cancel flag was set */
    IC_E_UNREACHABLE, /* name lookup, connect or connection failure after retries */
    IC_E_TLS,         /* TLS handshake or server certificate */
    IC_E_MALFORMED,   /* a reply that does not decode, or has the wrong shape or length */
    IC_E_WRONG_TYPE,  /* a verified reply of another Candid type than the caller needs */
    IC_E_UNVERIFIED,  /* a certificate or signature does not verify */
    IC_E_DENIED,      /* not authorised: HTTP 401/403, not a controller, refused by the canister */
    IC_E_NOT_FOUND,   /* no such canister, method, snapshot, section */
    IC_E_CHANGED,     /* pieces of one whole do not fit together: it changed in between */
    IC_E_BUSY,        /* the canister says so: somebody else's lease, a restore under way */
    IC_E_NO_SPACE,    /* the canister is out of memory or cycles */
    IC_E_TOO_LARGE,   /* more than one call can carry or do: ask for less */
    IC_E_OVERLOADED,  /* 429, 503, transient rejections, still there after retries */
    IC_E_REJECTED,    /* any other rejection: trap, stopped canister, ... */
    IC_E_HTTP,        /* any other HTTP status */
    IC_E_NO_MEMORY,   /* an allocation of our own failed */
    IC_E_CONFIG,      /* a setting of the user cannot be used: identity file, key, URL, ... */
    IC_E_UNKNOWN_OUTCOME, /* an update was sent and may have run; also when the caller cancelled */
};

/* A plain value, copied freely; owns nothing. */
struct ic_error {
    enum ic_errc code;
    enum ic_errc cause;      /* of IC_E_UNKNOWN_OUTCOME: what kept it from us last; IC_OK: nothing
                                did, but nobody knows any more. Of all other codes IC_OK */
    int http_status;         /* 0 when no HTTP answer is behind it */
    uint32_t reject_code;    /* 1..6 (IC interface spec, Reject codes); 0 when there is none */
    char error_code[8];      /* "IC0504", or "" */
    uint32_t retry_after_ms; /* what the server asked for; 0 when it did not */
    int64_t skew_ns;   /* a time was refused that is so far ahead of our clock (negative: behind);
                          else 0 */
    char message[512]; /* one line, no newline at the end */
};

/* The negative errno of an error: the one table (README, Errors). 0 for IC_OK. */
int ic_error_errno(const struct ic_error *e) IC_NONNULL(1);

/* Fill an error and return its negative errno, so that `return ic_fail(err, ...)` is one line.
 *
 * err   fills; every field beside code and message becomes zero; may be NULL
 * code  not IC_OK
 * fmt   printf form of the message: name the thing that failed; cut at 511 bytes
 */
int ic_fail(struct ic_error *err, enum ic_errc code, const char *fmt, ...) IC_PRINTF(3, 4);

/* Say an error in other words, which may quote its message; every other field stays. */
void ic_error_reword(struct ic_error *err, const char *fmt, ...) IC_PRINTF(2, 3) IC_NONNULL(1, 2);

/* Fill an error from a rejection and return its negative errno.
 *
 * err          fills; may be NULL
 * reject_code  as received
 * error_code   "IC0503" form, or NULL or "" when the answer has none
 * msg,msg_len  as received: bytes of anybody's choice, need not end in NUL
 *
 * The class comes from error_code where there is one, else from reject_code (IC interface spec,
 * Reject codes; ic error codes of the replica):
 *   IC0406 IC0512                           IC_E_DENIED
 *   IC0301 IC0305 IC0407 IC0536 IC0537      IC_E_NOT_FOUND   (and reject code 3)
 *   IC0207 IC0402 IC0403 IC0507 IC0530..0535 IC0539 IC0540   IC_E_NO_SPACE
 *   IC0504 IC0522 IC0524 IC0528             IC_E_TOO_LARGE   (a limit: see below)
 *   reject code 2                           IC_E_OVERLOADED
 *   everything else                         IC_E_REJECTED
 */
int ic_fail_reject(struct ic_error *err, uint32_t reject_code, const char *error_code,
                   const char *msg, size_t msg_len);

/* A limit on reply size, instructions, stable memory access or query time was hit: asking for half
 * may work. */
bool ic_error_is_limit(const struct ic_error *e) IC_NONNULL(1);

#endif
