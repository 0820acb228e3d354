/* Arguments of a restore made of what a backup gave: all of it, or some of its items at a time.
 *
 *     backup_content_chunks : (nat64, nat64) -> (opt record { chunk : vec Content;
 *                                                             chunk_polls : vec Poll;
 *                                                             total_length : nat64 }) query;
 *     restore_content : (record { content : opt vec Content; polls : opt vec Poll; users : ... })
 *
 * All of it happens on the wire, as in candid_split.h: values are copied as they are. The types of
 * what is written are the message's own, not the receiver's: whether a receiver takes all of them
 * is for ic_type_relates to say (ic_pieces_type).
 *
 * A `struct ic_pieces` is for one thread at a time.
 */
#ifndef CANISTERFS_IC_CANDID_PIECE_H
#define CANISTERFS_IC_CANDID_PIECE_H

#include "ic/arena.h"
#include "ic/attr.h"
#include "ic/buf.h"
#include "ic/candid.h"
#include "ic/candid_split.h"
#include "ic/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A field of the argument, and what goes into it. */
struct ic_piece_field {
    uint32_t id;
    bool is_all;     /* the whole content; else */
    uint32_t part;   /* this field of it; where it has none such the argument has none either */
    unsigned n_opts; /* around the value in all: those that it has count */
};

/* The argument. The *content* is what is in the opts of the message's only argument. */
struct ic_piece_form {
    bool has_items;  /* it can be cut: candid_split.h tells what items are; else it is one item */
    unsigned n_opts; /* around the argument */
    /* A record of these fields, ids strictly increasing; none given: the content or a part of it */
    const struct ic_piece_field *fields;
    size_t n_fields;
    bool is_part; /* without fields: this field of the content alone */
    uint32_t part;
};

/* The argument's type, of a content of this type.
 *
 * arena  what is new comes from here; *out also refers to content
 *
 * Returns 0; -EPROTO, IC_E_WRONG_TYPE: the part is not there; or the arena is full; -ENOMEM. */
int ic_piece_type(const struct ic_piece_form *form, const struct ic_type *content,
                  struct ic_arena *arena, const struct ic_type **out, struct ic_error *err)
    IC_NONNULL(1, 2, 3, 4) IC_MUST_CHECK;

struct ic_pieces;

/* Read a message.
 *
 * bytes,len  borrowed until ic_pieces_close
 * rule       as ic_candid_split; only where form->has_items. Neither it nor form is kept
 *
 * Returns 0; -EPROTO as IC_E_MALFORMED (not a message, or over a limit) or IC_E_WRONG_TYPE (not of
 * the form); -ENOENT, IC_E_NOT_FOUND: there is nothing in the opt; -EINVAL, IC_E_CONFIG: its types
 * nest over 256; -ENOMEM. Time is linear in len, memory bounded as ic_candid_split's.
 */
int ic_pieces_open(struct ic_pieces **out, const uint8_t *bytes, size_t len,
                   const struct ic_piece_form *form, const struct ic_chunk_rule *rule,
                   const struct ic_candid_limits *limits, struct ic_error *err)
    IC_NONNULL(1, 4) IC_MUST_CHECK;

void ic_pieces_close(struct ic_pieces *pieces);

/* Items; 1 when it cannot be cut. */
uint64_t ic_pieces_count(const struct ic_pieces *pieces) IC_NONNULL(1);

/* The type of the content, and that of the argument that is written. Valid until close. */
const struct ic_type *ic_pieces_content_type(const struct ic_pieces *pieces) IC_NONNULL(1);
const struct ic_type *ic_pieces_type(const struct ic_pieces *pieces) IC_NONNULL(1);

/* Write a message with the items [start, start + *n): as many as there are, up to max_n, and as
 * leave it no longer than max_len; but one at least, if there are any. What holds no items is in
 * every message.
 *
 * start  below the count, or 0
 * max_n  >= 1
 * out    appended to; nothing has to be in it
 *
 * Returns 0; -ENOMEM. Time is linear in what is written, and in what lies between the end of the
 * piece before and start; a start before that costs as much as going there from 0.
 */
int ic_pieces_write(struct ic_pieces *pieces, uint64_t start, uint64_t max_n, size_t max_len,
                    struct ic_buf *out, uint64_t *n, struct ic_error *err)
    IC_NONNULL(1, 5, 6) IC_MUST_CHECK;

#endif
