/* Just enough Candid for these canisters (Candid specification, "Binary Format"): arguments that
 * are numbers, bool, text, blob, opt of these, or a record of them, and replies put together from
 * constant headers.
 *
 * The argument is hostile input. It is read through a window that moves over it; every read is
 * bounded, and whatever is malformed, of the wrong type or beyond the bounds below traps. A blob
 * may be larger than the window: the canister gets its place in the argument and copies it from
 * there in pieces.
 *
 * More arguments than expected are ignored and unknown fields of a record can be skipped, as
 * Candid's subtyping asks.
 */
#ifndef CANISTERS_CANDID_H
#define CANISTERS_CANDID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CANDID_WINDOW     4096
#define CANDID_MAX_TYPES  64 /* entries of the type table: clients send a few */
#define CANDID_MAX_FIELDS 64 /* of all records and variants in it */
#define CANDID_MAX_ARGS   4  /* whose types are remembered */

struct candid_field {
    uint32_t id;
    int16_t ref; /* of its type: an entry of the table, or a primitive code below 0 */
};

struct candid_entry {
    int16_t code;  /* of the constructor */
    int16_t first; /* opt, vec: what it is of. record, variant: its first field */
    uint16_t n;    /* fields of a record or variant */
};

struct candid_args {
    uint8_t window[CANDID_WINDOW]; /* bytes base .. base + len of the argument */
    size_t base;
    size_t len;
    size_t total;  /* bytes of the whole argument */
    size_t at;     /* next byte to read, at <= total */
    size_t budget; /* of values that are skipped */
    struct candid_entry types[CANDID_MAX_TYPES];
    size_t n_types;
    struct candid_field fields[CANDID_MAX_FIELDS];
    size_t n_fields;
    int16_t arg_refs[CANDID_MAX_ARGS]; /* type of each argument */
    size_t n_args;
    size_t next_arg;
    size_t next_field; /* of the record that is being read */
    size_t end_field;
    int16_t ref;  /* type of the value that has been announced */
    bool has_ref; /* by candid_field or candid_opt; else the next argument comes */
};

/* A part of the argument, to be copied with ic0_msg_arg_data_copy. */
struct candid_blob {
    size_t off;
    size_t len;
};

struct candid_text {
    const uint8_t *bytes; /* in the window: good until the next read; valid UTF-8 */
    size_t len;
};

/* Reads the header of this message's argument. */
void candid_open(struct candid_args *args);

/* Read the next argument, or the value that candid_field or candid_opt announced. */
uint64_t candid_nat64(struct candid_args *args);
uint32_t candid_nat32(struct candid_args *args);
uint8_t candid_nat8(struct candid_args *args);
uint64_t candid_nat(struct candid_args *args); /* one of more than 64 bits traps */
int64_t candid_int64(struct candid_args *args);
int64_t candid_int(struct candid_args *args); /* likewise, within ten bytes */
bool candid_bool(struct candid_args *args);
struct candid_text candid_text(struct candid_args *args);
struct candid_blob candid_blob(struct candid_args *args);

/* Whether there is a value, which is then read like any other. A T is an opt T, too. */
bool candid_opt(struct candid_args *args);

/* Enters a record. candid_field then tells the name's hash of one field after the other, in the
 * order of these; each value must be read or skipped. False: that was all. */
void candid_record(struct candid_args *args);
bool candid_field(struct candid_args *args, uint32_t *id);
void candid_skip(struct candid_args *args);

/* The hash by which a field goes (Candid specification, "Records"). */
uint32_t candid_hash(const char *name);

/* Whether bytes are well-formed UTF-8. */
bool candid_is_utf8(const uint8_t *bytes, size_t len);

/* Append to the reply. */
void candid_put(const void *bytes, size_t len);
void candid_put_length(uint64_t n); /* LEB128: also a nat */
void candid_put_nat64(uint64_t n);
void candid_put_nat32(uint32_t n);

/* A constant header: the bytes of a string literal without its final zero. */
#define CANDID_PUT(literal) candid_put("" literal, sizeof(literal) - 1)

#endif
