/* Chunks of a backup: Candid messages as lists of items that are cut and put together again.
 *
 *     (opt record { chunk : vec Content; chunk_polls : vec Poll; total_length : nat64 })
 *
 * All of it happens on the wire: types, unknown fields and elements are copied as they are, nothing
 * is decoded into values. What comes in is checked as ic_candid_decode checks it, except that no
 * memory is needed for values.
 *
 * Shape. A chunk is a message whose first argument is a vec, or a record of vecs and other fields,
 * or an opt (of an opt ...) of either. Whatever else the message has is *shared*: the other
 * arguments, and the fields that hold no items.
 *
 * Items. Item i is a row: the i-th element of every vec with items that is longer than i. A chunk
 * has as many as its longest vec. So vecs that belong together index by index (keys and values)
 * stay together, and a shorter list beside the main one goes with the first rows. A none has no
 * items. Fields with items are all vecs but blobs, for a hash or a text in bytes is no list, or
 * those that the rule names.
 *
 * Laws, for every message m of that shape and every k:
 *   split(m, k) gives two messages of m's types, with min(k, items(m)) items and with the rest
 *   merge(split(m, k)) is m: byte for byte when the lengths of m's vecs are LEB128 in its shortest
 *   form, as every encoder writes them, and else equal to m in value
 *   merge is associative
 *
 * Thread safety of all functions: any number of concurrent calls.
 */
#ifndef CANISTERFS_IC_CANDID_SPLIT_H
#define CANISTERFS_IC_CANDID_SPLIT_H

#include "ic/attr.h"
#include "ic/buf.h"
#include "ic/candid.h"
#include "ic/error.h"

#include <stddef.h>
#include <stdint.h>

/* What the fields of a record are; only for chunks that are records. Ids: see ic_candid_hash. */
struct ic_chunk_rule {
    const uint32_t *items; /* fields that hold items, each once: must be there, and vecs. None
                              given: all vecs but blobs and the latest */
    size_t n_items;
    const uint32_t *latest; /* shared fields that may differ from chunk to chunk, such as the total
                               of a growing collection: the last chunk's is taken */
    size_t n_latest;
};

/* Errors of all functions: -EPROTO as IC_E_MALFORMED (not a message, or over a limit), -EPROTO as
 * IC_E_WRONG_TYPE (no message of the shape), -ENOMEM. limits are those on decoding, for each
 * message by itself, also the ones that come out; NULL for the defaults; max_memory bounds what is
 * needed for types and fields. Outputs are appended to, and incomplete after an error. */

/* (opt T, ...) as (T, ...): restores often take what backups give as an opt.
 *
 * The type table stays as it is. Also -ENOENT, IC_E_NOT_FOUND: there is nothing in the opt, or it
 * is a null or reserved.
 */
int ic_candid_unwrap(const uint8_t *bytes, size_t len, const struct ic_candid_limits *limits,
                     struct ic_buf *out, struct ic_error *err) IC_NONNULL(4) IC_MUST_CHECK;

/* Number of items. rule may be NULL. */
int ic_candid_items(const uint8_t *bytes, size_t len, const struct ic_chunk_rule *rule,
                    const struct ic_candid_limits *limits, uint64_t *out, struct ic_error *err)
    IC_NONNULL(5) IC_MUST_CHECK;

/* Items [0, k) and the others as two messages of the same types. Shared parts are in both. When
 * there are not more than k items, all are in the first. rule may be NULL.
 *
 * Time and memory are linear in len.
 */
int ic_candid_split(const uint8_t *bytes, size_t len, uint64_t k, const struct ic_chunk_rule *rule,
                    const struct ic_candid_limits *limits, struct ic_buf *first,
                    struct ic_buf *second, struct ic_error *err) IC_NONNULL(6, 7) IC_MUST_CHECK;

/* The items of n chunks, n >= 1, as one message; its type table is the first one's. Each vec holds
 * the elements of the first chunk, then the second's, and so on. rule may be NULL.
 *
 * The chunks' types must be equal (IC_TYPE_EQUAL), their tables need not. What they share must be
 * the same byte for byte. Also -ESTALE, IC_E_CHANGED: it is not, or the types are not: the chunks
 * are not pieces of one state. -EINVAL, IC_E_CONFIG: n is 0.
 *
 * Time and memory are linear in the length of all.
 */
int ic_candid_merge(const struct ic_view *chunks, size_t n, const struct ic_chunk_rule *rule,
                    const struct ic_candid_limits *limits, struct ic_buf *out, struct ic_error *err)
    IC_NONNULL(5) IC_MUST_CHECK;

#endif
