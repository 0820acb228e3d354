/* What a reply of a backup endpoint holds: how many items, of how many in all.
 *
 *     (opt record { chunk : vec Content; chunk_polls : vec Poll; total_length : nat64 })
 *
 * The first argument, after its opts, is a vec of items, or a record with such a vec. The whole
 * message is checked as ic_candid_decode checks it, but no memory is needed for its values.
 */
#ifndef CANISTERFS_IC_CANDID_CHUNK_H
#define CANISTERFS_IC_CANDID_CHUNK_H

#include "ic/attr.h"
#include "ic/buf.h"
#include "ic/candid.h"
#include "ic/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where to look. Ids: see ic_candid_hash. */
struct ic_chunk_fields {
    bool is_record; /* false: the items are the argument itself; the other fields mean nothing */
    uint32_t items; /* the field that holds them: a vec */
    bool has_total; /* false: nothing tells */
    uint32_t total; /* the field that tells the number of all items: nat, nat8 ... nat64 */
};

struct ic_chunk_info {
    bool is_none;        /* there is nothing in the opt; all else is 0 */
    uint64_t n_items;    /* elements of the vec */
    struct ic_view blob; /* its bytes in the message when it is a vec nat8; else NULL */
    uint64_t total;      /* what the field says; 0 when there is none */
};

/* Look into a message.
 *
 * fields  NULL: of any shape; then it is checked, and told is whether there is something at all
 * out     fills; its blob points into the message
 *
 * Returns 0; -EPROTO as IC_E_MALFORMED (not a message, or over a limit) or IC_E_WRONG_TYPE (not of
 * that shape, or the total does not fit 64 bits); -ENOMEM. limits: NULL for the defaults.
 *
 * Time is linear in len. Thread safety: any number of concurrent calls.
 */
int ic_candid_chunk_info(const uint8_t *bytes, size_t len, const struct ic_chunk_fields *fields,
                         const struct ic_candid_limits *limits, struct ic_chunk_info *out,
                         struct ic_error *err) IC_NONNULL(5) IC_MUST_CHECK;

#endif
