/* Candid values as JSON, for programs that do not speak Candid.
 *
 * - nat, int, nat64, int64: a string of decimal digits: "18446744073709551615", "-1"
 * - nat8 to nat32, int8 to int32: a number
 * - float32, float64: a number, in the fewest digits; "NaN", "inf", "-inf"
 * - bool: true, false
 * - text: a string
 * - null, reserved: null
 * - principal, service: a string: "aaaaa-aa"
 * - func: {"principal": "aaaaa-aa", "method": "name"}
 * - opt: none is [], some v is [v]; so opt opt T shows both levels
 * - blob, any vec nat8: a string of hexadecimal digits: "00ff"
 * - any other vec: an array
 * - record: an object; a key is the field's name, or its id: "24860". One of the fields 0, 1, ...
 * is no exception: {"0": a, "1": b}; with IC_JSON_TUPLES it is [a, b]
 * - variant: an object with one key, the tag: {"ok": v}; v is often null
 * - of a type not known here (future): {"opcode": "-25", "bytes": "00ff"}
 *
 * Nothing is lost but NaN payloads, and which type a value had: numbers over 2^53 are strings
 * because many readers of JSON keep numbers as float64. A field whose name consists of digits is
 * given by its id, so a key of digits is always an id and no two keys are the same.
 *
 * The result is UTF-8 on one line (but for IC_JSON_LINES), without blanks. Characters that do not
 * show are escaped.
 *
 * Source: idl2json of DFINITY, from which blobs, nat's plain digits and unknown ids differ.
 */
#ifndef CANISTERFS_IC_CANDID_JSON_H
#define CANISTERFS_IC_CANDID_JSON_H

#include "ic/attr.h"
#include "ic/buf.h"
#include "ic/candid.h"
#include "ic/candid_names.h"
#include "ic/error.h"

#include <stddef.h>

enum {
    IC_JSON_TUPLES = 1, /* records of the fields 0, 1, ... (one at least) are arrays */
    IC_JSON_LINES = 2,  /* the elements of vecs that stand in no other vec have a line each */
};

/* Write an argument list as an array. Parameters, errors and threads as of ic_candid_print
 * (candid_print.h), but that values of unknown types are written; flags: those above, or'ed. */
int ic_candid_json(const struct ic_value *args, size_t n, const struct ic_candid_naming *naming,
                   unsigned flags, size_t max, struct ic_buf *out, struct ic_error *err)
    IC_NONNULL(6) IC_MUST_CHECK;

/* Write one value: see ic_candid_print_value. */
int ic_candid_json_value(const struct ic_value *value, const struct ic_type *declared,
                         const struct ic_candid_names *all, unsigned flags, size_t max,
                         struct ic_buf *out, struct ic_error *err) IC_NONNULL(1, 6) IC_MUST_CHECK;

#endif
