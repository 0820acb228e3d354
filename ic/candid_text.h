/* Candid's text form into values: `(record { owner = principal "2vxsx-fae"; 5 : nat8 }, opt true)`.
 *
 *     ret = ic_candid_parse(text, len, method->type->as.func.args, method->type->as.func.n_args,
 *                           IC_TEXT_REFUSE_UNKNOWN, &args, err);
 *     ...
 *     ret = ic_candid_encode(ic_candid_arg(args, 0), ic_candid_count(args), &message, err);
 *     ic_candid_free(args);
 *
 * At expected types text is read more strictly than messages are (didc calls it "from parser"):
 * - A whole number fits nat, int and every fixed width it is in the range of; one with a point or
 *   an exponent fits float32 and float64. Neither fits the other.
 * - `opt T` takes `opt v` and `null`, never `v` alone; what does not fit T is an error, not none.
 * - reserved takes anything; null takes only `null`; principal and service do not take each other.
 * - Fields and arguments that are missing become null, none or reserved where they can.
 * - An annotation, as in `5 : nat8`, must agree with the type expected around it.
 *
 * Without expected types an annotation gives its type, and what has none is int, float64, text,
 * null, blob, `opt` or `vec` of what it holds, and so on; `null` alone is null, `vec {}` is a vec
 * of empty, a func `() -> ()` and a service one of no methods. The elements of a vec have their
 * types joined: `null` and `opt 5` are opt int, variants are one with the cases of all, nat and
 * int are int. Elements that have no such type are an error.
 *
 * Accepted is what DFINITY's didc accepts (candid_parser 0.4), but for: vecs of unlike elements,
 * which didc encodes to garbage; floats too large to be finite; a field without an id after the
 * largest one.
 *
 * Source: Candid specification, Textual format; didc where it is stricter or laxer.
 */
#ifndef CANISTERFS_IC_CANDID_TEXT_H
#define CANISTERFS_IC_CANDID_TEXT_H

#include "ic/attr.h"
#include "ic/candid.h"
#include "ic/error.h"

#include <stddef.h>

/* Bytes of text: a blob of 3 MiB, the longest message, takes 9. */
#define IC_CANDID_MAX_TEXT (16 * 1024 * 1024)

enum {
    /* Fields the expected type does not have, and arguments beyond the expected ones, are an error.
     * Without it they are dropped, as didc does. */
    IC_TEXT_REFUSE_UNKNOWN = 1,
};

/* Parse an argument list, in its parentheses.
 *
 * text,len  UTF-8; need not outlive the call
 * types,n   the expected types, which must outlive *out, and whose values *out then has; NULL:
 *           none are expected
 * flags     0 or IC_TEXT_REFUSE_UNKNOWN
 * out       to be freed with ic_candid_free
 *
 * Returns 0, -EPROTO (not Candid, does not fit the types, nests over 256, text or numbers too long,
 * too many annotations around values: the message has line and column), -ENOMEM.
 *
 * Memory and time are linear in len (and in the fields of the types, where text leaves them out):
 * at most 32 MiB and 512 bytes per byte of text, about 65 for the shortest values (`1;`).
 * Thread safety: any number of concurrent calls.
 */
int ic_candid_parse(const char *text, size_t len, const struct ic_type *const *types, size_t n,
                    unsigned flags, struct ic_candid **out, struct ic_error *err)
    IC_NONNULL(6) IC_MUST_CHECK;

/* Parse one value, without parentheses around it (they may be there): *out has it as its only
 * argument. type is NULL when none is expected. Otherwise as ic_candid_parse. */
int ic_candid_parse_value(const char *text, size_t len, const struct ic_type *type, unsigned flags,
                          struct ic_candid **out, struct ic_error *err) IC_NONNULL(5) IC_MUST_CHECK;

#endif
