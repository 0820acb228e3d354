/* Reading an argument of any type: records, variants, vecs and opts, for canisters that are given
 * back what they gave (candid.h reads numbers, text and blobs alone).
 *
 * The argument is hostile input: whatever is malformed, of another type than is asked for, or has
 * more types than fit traps. It is read once, from its beginning to its end, through a window.
 *
 * A type is a reference as on the wire: an index into the type table, or a primitive's code.
 */
#ifndef CANISTERS_VALUES_H
#define CANISTERS_VALUES_H

#include "candid.h"

#define VALUES_MAX_TYPES  64
#define VALUES_MAX_FIELDS 256

struct value_field {
    uint32_t hash;
    int32_t type;
};

/* A record's or variant's fields, in the order of their hashes. */
struct value_fields {
    const struct value_field *at;
    size_t n;
};

struct values {
    size_t total;     /* bytes of the argument */
    size_t at;        /* next byte */
    size_t window_at; /* where the window lies in the argument */
    size_t window_len;
    uint8_t window[CANDID_WINDOW];
    size_t n_types;
    struct value_type {
        int32_t code;
        int32_t inner; /* of opt and vec */
        size_t first;  /* of a record's or variant's fields */
        size_t n;
    } types[VALUES_MAX_TYPES];
    size_t n_fields;
    struct value_field fields[VALUES_MAX_FIELDS];
};

/* Reads the header of this message's argument; the type of the first argument. */
int32_t values_open(struct values *values);

/* Each reads a value of the type, or its beginning, which is then before what is in it. */
uint64_t values_nat(struct values *values, int32_t type); /* one of more than 64 bits traps */
uint64_t values_nat64(struct values *values, int32_t type);
uint32_t values_nat32(struct values *values, int32_t type);
struct candid_blob values_blob(struct values *values, int32_t type);
struct candid_blob values_text(struct values *values, int32_t type); /* perhaps no UTF-8 */
uint64_t values_vec(struct values *values, int32_t type, int32_t *item);
struct value_fields values_record(const struct values *values, int32_t type);
uint32_t values_variant(struct values *values, int32_t type, int32_t *inner); /* its hash */

/* Whether there is a value; one of a type that is no opt is. */
bool values_opt(struct values *values, int32_t type, int32_t *inner);

/* Reads a value of any type over. */
void values_skip(struct values *values, int32_t type);

#endif
