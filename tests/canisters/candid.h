/* Just enough Candid for these canisters (Candid specification, "Binary Format"): arguments that
 * are numbers, bool, text or blob, and replies put together from constant headers.
 *
 * The argument is hostile input. Its first bytes are copied into a window; every read of them is
 * bounded, and whatever is malformed, of the wrong type or too long for the window traps. A blob
 * may be larger than the window: the canister gets its place in the argument and copies it from
 * there in pieces.
 *
 * More arguments than expected are ignored, as Candid's subtyping asks; a wanted blob or text is
 * therefore always read last.
 */
#ifndef CANISTERS_CANDID_H
#define CANISTERS_CANDID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CANDID_WINDOW    4096
#define CANDID_MAX_TYPES 64 /* entries of the type table: clients send none or one */
#define CANDID_MAX_ARGS  4  /* whose types are remembered */

struct candid_args {
    uint8_t window[CANDID_WINDOW]; /* the argument's first bytes */
    size_t len;                    /* bytes in the window */
    size_t total;                  /* bytes of the whole argument */
    size_t at;                     /* next byte to read, at <= len */
    size_t n_args;
    size_t next_arg;
    uint8_t types[CANDID_MAX_ARGS]; /* enum candid_type of each argument */
};

/* A part of the argument, to be copied with ic0_msg_arg_data_copy. */
struct candid_blob {
    size_t off;
    size_t len;
};

struct candid_text {
    const uint8_t *bytes; /* in the window; valid UTF-8 */
    size_t len;
};

/* Reads the header of this message's argument. */
void candid_open(struct candid_args *args);

/* Read the next argument. */
uint64_t candid_nat64(struct candid_args *args);
uint32_t candid_nat32(struct candid_args *args);
uint8_t candid_nat8(struct candid_args *args);
uint64_t candid_nat(struct candid_args *args); /* one of more than 64 bits traps */
bool candid_bool(struct candid_args *args);
struct candid_text candid_text(struct candid_args *args);
struct candid_blob candid_blob(struct candid_args *args);

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
