/* Candid: typed values in binary messages.
 *
 * One pair of structs serves both directions. A `struct ic_type` is a type (a graph: definitions
 * may be recursive); a `struct ic_value` is a value together with its type. Decoding reads the
 * types from the message and loses nothing; encoding writes at the types the values carry, which
 * should be the ones the receiver declares.
 *
 *     struct ic_value args[] = { ic_nat64(offset), ic_nat64(len) };
 *     struct ic_buf buf = { 0 };
 *     ret = ic_candid_encode(args, 2, &buf, err);
 *     ...
 *     ret = ic_candid_decode(reply, reply_len, NULL, &msg, err);
 *     ret = ic_value_blob(ic_candid_arg(msg, 0), &blob);
 *     ic_candid_free(msg);
 *
 * Names of fields and variant tags never travel, their hashes do: ic_candid_hash.
 *
 * Source: Candid specification, Abstract syntax and Binary format.
 */
#ifndef CANISTERFS_IC_CANDID_H
#define CANISTERFS_IC_CANDID_H

#include "ic/attr.h"
#include "ic/buf.h"
#include "ic/error.h"
#include "ic/principal.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- types ---- */

enum ic_type_kind {
    IC_TYPE_NULL,
    IC_TYPE_BOOL,
    IC_TYPE_NAT,
    IC_TYPE_INT,
    IC_TYPE_NAT8,
    IC_TYPE_NAT16,
    IC_TYPE_NAT32,
    IC_TYPE_NAT64,
    IC_TYPE_INT8,
    IC_TYPE_INT16,
    IC_TYPE_INT32,
    IC_TYPE_INT64,
    IC_TYPE_FLOAT32,
    IC_TYPE_FLOAT64,
    IC_TYPE_TEXT,
    IC_TYPE_RESERVED,
    IC_TYPE_EMPTY,
    IC_TYPE_PRINCIPAL,
    IC_TYPE_OPT,
    IC_TYPE_VEC,
    IC_TYPE_RECORD,
    IC_TYPE_VARIANT,
    IC_TYPE_FUNC,
    IC_TYPE_SERVICE,
    IC_TYPE_FUTURE, /* an unknown constructor of a newer Candid: can be skipped */
};

/* A field of a record, or a case of a variant. */
struct ic_type_field {
    uint32_t id;
    const struct ic_type *type;
};

struct ic_type_method {
    struct ic_view name;        /* UTF-8 */
    const struct ic_type *type; /* a func */
};

enum ic_func_mode { IC_FUNC_UPDATE, IC_FUNC_QUERY, IC_FUNC_ONEWAY, IC_FUNC_COMPOSITE_QUERY };

/* What a .did file calls a part of a type. */
struct ic_type_label {
    struct ic_view name; /* UTF-8; bytes are NULL when the part has no name */
    struct ic_view doc;  /* the comment above it, without the slashes; may be empty */
};

/* What a .did file calls a type and its parts. */
struct ic_type_names {
    struct ic_type_label self;          /* the definition's */
    struct ic_view alias;               /* of `type A = B`: B; else bytes are NULL */
    const struct ic_type_label *labels; /* of the fields or methods, in their order; of the
                                           arguments, then the results; NULL when none has any */
};

/* A type. Immutable; belongs to a decoded message (valid until that is freed) or to a .did file
 * (see did.h), or is a constant of the program. */
struct ic_type {
    enum ic_type_kind kind;
    union {
        const struct ic_type *elem; /* opt, vec */
        struct {                    /* record, variant: ids strictly increasing */
            const struct ic_type_field *fields;
            size_t n;
        } fields;
        struct { /* func */
            const struct ic_type *const *args;
            const struct ic_type *const *results;
            uint32_t n_args;
            uint32_t n_results;
            enum ic_func_mode mode;
        } func;
        struct { /* service: names strictly increasing bytewise */
            const struct ic_type_method *methods;
            size_t n;
        } service;
        struct { /* future: as it stood in the message */
            int64_t opcode;
            struct ic_view body;
        } future;
    } as;
    bool is_zero_width; /* values take no bytes: null, reserved, records of nothing else */
    const struct ic_type_names *names; /* NULL when nothing has a name: names do not travel */
};

/* The primitive types and blob (vec nat8), as constants. */
extern const struct ic_type ic_type_null, ic_type_bool, ic_type_nat, ic_type_int, ic_type_nat8,
    ic_type_nat16, ic_type_nat32, ic_type_nat64, ic_type_int8, ic_type_int16, ic_type_int32,
    ic_type_int64, ic_type_float32, ic_type_float64, ic_type_text, ic_type_reserved, ic_type_empty,
    ic_type_principal, ic_type_blob;

/* The id of a field or tag name: h = h * 223 + byte, modulo 2^32 (Candid spec, Shorthand: symbolic
 * field ids). */
uint32_t ic_candid_hash(const char *name, size_t len);

/* ---- values ---- */

struct ic_func_value {
    struct ic_view canister;
    struct ic_view method; /* UTF-8 */
};

/* A value and its type. A plain struct: copying it shares what it points to. */
struct ic_value {
    const struct ic_type *type;
    union {
        bool boolean;
        uint64_t nat;         /* nat8 nat16 nat32 nat64 */
        int64_t integer;      /* int8 int16 int32 int64 */
        struct ic_view leb;   /* nat, int: unbounded, as LEB128 or SLEB128 bytes */
        uint32_t float32;     /* the bits */
        uint64_t float64;     /* the bits */
        struct ic_view text;  /* UTF-8 */
        struct ic_view bytes; /* principal, service (of a canister id); vec of fixed-width numbers
                                 and bool: the elements as they are on the wire; future: its body */
        const struct ic_value *opt; /* NULL is none */
        struct { /* any other vec, and record: fields in the order of the type. A vec of a
                    zero-width type has one item that stands for all n: read it with ic_value_at */
            const struct ic_value *items;
            size_t n;
        } seq;
        struct {
            const struct ic_value *payload;
            uint32_t position; /* index into type->as.fields.fields */
        } variant;
        const struct ic_func_value *func;
    } as;
};

/* Number of elements of a vec or fields of a record; 0 for every other kind. */
size_t ic_value_count(const struct ic_value *v);

/* The i-th element of a vec or field of a record. Returns 0, -EPROTO when there is none. */
int ic_value_at(const struct ic_value *v, size_t i, struct ic_value *out)
    IC_NONNULL(3) IC_MUST_CHECK;

/* A field of a record by name or id: borrowed; NULL when v is NULL, not a record, or has no such
 * field. So accessors may be chained without a check in between: each takes NULL as "not there". */
const struct ic_value *ic_value_field(const struct ic_value *v, const char *name) IC_NONNULL(2);
const struct ic_value *ic_value_field_id(const struct ic_value *v, uint32_t id);

/* Take a value out. Each returns 0, or -EPROTO when v is NULL, of another kind, or does not fit;
 * views point into the message. nat64 takes nat8..nat64 and a nat that fits; int64 takes
 * int8..int64 and an int that fits; blob takes vec nat8; principal takes a principal and a service.
 */
int ic_value_bool(const struct ic_value *v, bool *out) IC_NONNULL(2) IC_MUST_CHECK;
int ic_value_nat64(const struct ic_value *v, uint64_t *out) IC_NONNULL(2) IC_MUST_CHECK;
int ic_value_int64(const struct ic_value *v, int64_t *out) IC_NONNULL(2) IC_MUST_CHECK;
int ic_value_blob(const struct ic_value *v, struct ic_view *out) IC_NONNULL(2) IC_MUST_CHECK;
int ic_value_text(const struct ic_value *v, struct ic_view *out) IC_NONNULL(2) IC_MUST_CHECK;
int ic_value_principal(const struct ic_value *v, struct ic_principal *out)
    IC_NONNULL(2) IC_MUST_CHECK;

/* The content of an opt; *out becomes NULL for none (and for null and reserved, which fit any
 * opt). */
int ic_value_opt(const struct ic_value *v, const struct ic_value **out) IC_NONNULL(2) IC_MUST_CHECK;

/* The tag (hash of the name) and the payload of a variant. */
int ic_value_variant(const struct ic_value *v, uint32_t *tag, const struct ic_value **payload)
    IC_NONNULL(2, 3) IC_MUST_CHECK;

/* Is this a variant with this tag? The payload, or NULL. */
const struct ic_value *ic_value_case(const struct ic_value *v, const char *tag) IC_NONNULL(2);

/* Do two values say the same, as the conformance suite of Candid means it?
 *
 * They do when they are of one kind and have equal content: numbers of unbounded size by value,
 * floats by their bits (so a NaN equals itself, and -0 is not 0), fields and tags by id, all
 * reserved values. Names and what else the types say do not matter, so an empty vec equals every
 * empty vec. none equals null. Values that nest over 256 are unequal.
 *
 * Takes time in the size of the smaller value, whatever number of elements without width it has.
 */
bool ic_value_equal(const struct ic_value *a, const struct ic_value *b) IC_NONNULL(1, 2);

/* Values to encode. Views are borrowed until they have been encoded. */
struct ic_value ic_bool(bool b);
struct ic_value ic_nat8(uint8_t n);
struct ic_value ic_nat32(uint32_t n);
struct ic_value ic_nat64(uint64_t n);
struct ic_value ic_blob(const void *bytes, size_t len);
struct ic_value ic_text(const char *text) IC_NONNULL(1);

/* ---- messages ---- */

/* Bounds on decoding; ic_candid_decode fills what is 0 with the default for the message's length.
 */
struct ic_candid_limits {
    size_t max_values;  /* values visited, also those of no width; default 65536 + 64 * len */
    size_t max_memory;  /* bytes of types and values; default 1 MiB + 128 * len */
    unsigned max_depth; /* nesting of values; default 256 */
    size_t max_types;   /* entries of the type table; default 10000 */
};

/* A decoded argument list: types and values. Borrows the message's bytes. Immutable; any number of
 * threads may read it. */
struct ic_candid;

/* Decode a message at its own types. (At expected ones: candid_coerce.h.)
 *
 * bytes,len  the message; must outlive *out: text and blobs are views into it
 * limits     NULL for the defaults
 *
 * Returns 0, -EPROTO (malformed, or over a limit), -ENOMEM.
 *
 * Time and memory are linear in len whatever the message claims. Thread safety: any number of
 * concurrent calls.
 */
int ic_candid_decode(const uint8_t *bytes, size_t len, const struct ic_candid_limits *limits,
                     struct ic_candid **out, struct ic_error *err) IC_NONNULL(4) IC_MUST_CHECK;

void ic_candid_free(struct ic_candid *msg);

/* Number of arguments. */
size_t ic_candid_count(const struct ic_candid *msg) IC_NONNULL(1);

/* The i-th argument: borrowed; NULL when there are fewer. */
const struct ic_value *ic_candid_arg(const struct ic_candid *msg, size_t i) IC_NONNULL(1);

/* Encode an argument list at the types its values carry. (At others: candid_convert.h.) Equal types
 * are written once, but for recursive ones, which are told apart by their address.
 *
 * args,n  the values; args may be NULL when n is 0
 * out     appended to; initialised by the caller
 *
 * Returns 0, -EINVAL (a value does not fit its type, a field order is wrong, nesting over 256),
 * -ENOMEM. On failure out holds an incomplete message.
 */
int ic_candid_encode(const struct ic_value *args, size_t n, struct ic_buf *out,
                     struct ic_error *err) IC_NONNULL(3) IC_MUST_CHECK;

#endif
