/* A message as rows of items: where its parts are in its bytes. Private to ic/candid*.c.
 *
 * It is read once, value by value and without keeping any. Parts can be copied into other messages,
 * also of other type tables, because values of equal types have equal bytes: fields stand in the
 * order of their ids, cases are numbered by it, and no value refers to the table.
 *
 *     | DIDL, types | 01 | len elements | field | len elements | ... | other arguments |
 *      header        tags  part          part    part                  rest
 */
#ifndef CANISTERFS_IC_CANDID_ROWS_H
#define CANISTERFS_IC_CANDID_ROWS_H

#include "ic/candid_impl.h"
#include "ic/candid_split.h"

/* Memory for the types and fields of a message, per byte of it. */
#define CANDID_ROWS_MEMORY 64

/* A field of the record, or all there is; offsets in the message. */
struct candid_part {
    const struct ic_type *type;
    bool has_items; /* a vec whose elements belong to rows */
    bool is_latest;
    size_t start;
    size_t body; /* of its elements, when it has items */
    size_t end;
    size_t n;
};

struct candid_rows {
    struct ic_candid *owner; /* of types and parts */
    struct candid_reader r;
    struct ic_view msg;
    const struct ic_type *type; /* what is in the opts */
    size_t header_len;          /* bytes before the first value */
    bool is_none;               /* there is nothing in the opt */
    struct candid_part *parts;  /* the fields in their order; none when is_none */
    size_t n_parts;
    size_t tags_end; /* where the parts start */
    size_t rest;     /* where the other arguments start */
    uint64_t n_items;
};

/* Read a message. To be closed also when this fails.
 *
 * has_rows  it must be of the shape that candid_split.h describes, and rule (or NULL) tells the
 *           fields apart; false: any type, of which nothing has items
 *
 * Returns 0, -EPROTO, -ENOMEM. */
int candid_rows_open(struct candid_rows *c, struct ic_view msg, bool has_rows,
                     const struct ic_chunk_rule *rule, const struct ic_candid_limits *limits,
                     struct ic_error *err) IC_NONNULL(1) IC_MUST_CHECK;
void candid_rows_close(struct candid_rows *c) IC_NONNULL(1);

/* -EPROTO: not of the shape. */
int candid_rows_refuse(const struct candid_reader *r, const char *what) IC_NONNULL(1, 2);

/* Where the k-th element of a part with items starts. */
int candid_rows_find(const struct candid_rows *c, const struct candid_part *part, size_t k,
                     size_t *out) IC_NONNULL(1, 2, 4) IC_MUST_CHECK;

/* Read the arguments from the i-th on, and the end. */
int candid_rows_read_args(struct candid_reader *r, size_t i) IC_NONNULL(1) IC_MUST_CHECK;

#endif
