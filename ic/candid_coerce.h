/* Candid at expected types: messages decoded, and values encoded, as somebody declares them.
 *
 * Decoding follows the specification: what the expected types do not mention is dropped, and what
 * does not fit an opt becomes none, without a word. So it suits a caller who knows what he wants of
 * a message, not one who must keep all of it: he decodes at the message's own types
 * (ic_candid_decode).
 *
 *     ret = ic_candid_decode_as(reply, len, method->type->as.func.results, n_results, NULL, &msg,
 *                               err);
 *
 * Source: Candid specification, Deserialisation and Subtyping.
 */
#ifndef CANISTERFS_IC_CANDID_COERCE_H
#define CANISTERFS_IC_CANDID_COERCE_H

#include "ic/attr.h"
#include "ic/candid.h"
#include "ic/error.h"

#include <stddef.h>
#include <stdint.h>

/* Decode a message at expected types.
 *
 * bytes,len  the message; must outlive *out
 * types,n    the expected types; must outlive *out, whose values carry them. Arguments beyond n are
 *            checked and dropped; missing ones become null, none or reserved where they can
 * limits     NULL for the defaults, with twice the memory: one byte may become some of some value
 *
 * Returns 0, -EPROTO (malformed, over a limit; IC_E_WRONG_TYPE: a good message as far as it was
 * read, of types that do not fit; the error tells where), -ENOMEM.
 *
 * As the specification has it:
 * - anything fits reserved, and any opt: as none when it does not fit what is in the opt
 * - T fits opt T, opt opt T and so on; opt T does not fit T
 * - nat fits int, a service fits principal; no other number fits another
 * - fields and arguments that are missing are null, none or reserved where they can be; what is
 *   there must fit, and reserved does not fit null
 * - a variant fits when its case is expected, whatever other cases its type has
 * - functions and services fit by their types (candid_relation.h)
 * - what is dropped must still be well-formed
 *
 * What is looked at counts against max_values: each value that is read, skipped, or made up, once
 * more for what an opt had to skip, and each pair of types (or field, method) that is compared.
 * Thread safety: any number of concurrent calls.
 */
int ic_candid_decode_as(const uint8_t *bytes, size_t len, const struct ic_type *const *types,
                        size_t n, const struct ic_candid_limits *limits, struct ic_candid **out,
                        struct ic_error *err) IC_NONNULL(6) IC_MUST_CHECK;

#endif
