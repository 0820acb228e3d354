/* Shared by the files of candid: the state of a decoder. Private to ic/candid*.c. */
#ifndef CANISTERFS_IC_CANDID_IMPL_H
#define CANISTERFS_IC_CANDID_IMPL_H

#include "ic/arena.h"
#include "ic/candid.h"

#include <errno.h>

/* Longest nat or int we take, in bytes of LEB128: far beyond honest use, and small enough that
 * turning one into decimal digits later costs nothing. */
#define CANDID_LEB_MAX   8192
#define CANDID_MAX_DEPTH 256

struct ic_candid {
    struct ic_arena arena; /* types and values, as far as they are not in the message's bytes */
    const struct ic_value *args;
    size_t n;
};

/* Bytes a value of this kind always has; 0 when it depends on the value. */
static inline size_t candid_fixed_width(enum ic_type_kind kind)
{
    static const uint8_t widths[] = {
        [IC_TYPE_BOOL] = 1,  [IC_TYPE_NAT8] = 1,    [IC_TYPE_INT8] = 1,    [IC_TYPE_NAT16] = 2,
        [IC_TYPE_INT16] = 2, [IC_TYPE_NAT32] = 4,   [IC_TYPE_INT32] = 4,   [IC_TYPE_NAT64] = 8,
        [IC_TYPE_INT64] = 8, [IC_TYPE_FLOAT32] = 4, [IC_TYPE_FLOAT64] = 8, [IC_TYPE_FUTURE] = 0,
    };
    return widths[kind];
}

/* A message being read. For one thread. */
struct candid_reader {
    struct ic_cursor in;
    const uint8_t *start; /* of the message */
    struct ic_arena *arena;
    struct ic_type *types; /* the table */
    size_t n_types;
    size_t args_start; /* where the list of the arguments' types starts, behind the table */
    const struct ic_type **arg_types;
    size_t n_args;
    size_t values_left; /* the budget: one per value visited, also those without bytes */
    unsigned max_depth;
    bool is_skipping;        /* nothing that is read will be kept */
    struct ic_value skipped; /* where it goes */
    struct ic_error *err;    /* may be NULL */
};

static inline size_t candid_offset(const struct candid_reader *r)
{
    return (size_t)(r->in.pos - r->start);
}

/* Fill r->err: what was being read, and where. */
void candid_note(struct candid_reader *r, int ret, const char *what) IC_NONNULL(1, 3);

/* Fail with -EPROTO, or with -ENOMEM when that is what ret says. */
static inline int candid_fail(struct candid_reader *r, int ret, const char *what)
{
    candid_note(r, ret, what);
    return ret == -ENOMEM ? -ENOMEM : -EPROTO;
}

/* Read the type table and leave the cursor behind it. Returns 0, -EPROTO, -ENOMEM. */
int candid_read_table(struct candid_reader *r, size_t max_types) IC_NONNULL(1) IC_MUST_CHECK;

/* Read a type reference. Returns 0, -EPROTO. */
int candid_read_ref(struct candid_reader *r, const struct ic_type **out)
    IC_NONNULL(1, 2) IC_MUST_CHECK;

/* The number by which a message refers to a primitive type. */
static inline int64_t candid_primitive_code(enum ic_type_kind kind)
{
    return kind == IC_TYPE_PRINCIPAL ? -24 : -1 - (int64_t)kind;
}

/* Read a length or count of things that take at least width bytes each. Returns 0, -EPROTO. */
int candid_read_count(struct candid_reader *r, size_t width, size_t *out)
    IC_NONNULL(1, 3) IC_MUST_CHECK;

/* Read a length and as many bytes; text: of UTF-8. They stay where they are. Return 0, -EPROTO. */
int candid_read_bytes(struct candid_reader *r, struct ic_view *out) IC_NONNULL(1, 2) IC_MUST_CHECK;
int candid_read_text(struct candid_reader *r, struct ic_view *out) IC_NONNULL(1, 2) IC_MUST_CHECK;

/* Take n from the budget. Returns 0, -EPROTO. */
static inline IC_MUST_CHECK int candid_charge(struct candid_reader *r, size_t n)
{
    if (n > r->values_left)
        return candid_fail(r, -EPROTO, "too many values for its size");
    r->values_left -= n;
    return 0;
}

/* A value starts: charge it, and leave a level less for its parts. Returns 0, -EPROTO. */
static inline IC_MUST_CHECK int candid_enter(struct candid_reader *r, unsigned *depth)
{
    int ret = candid_charge(r, 1);
    if (ret == 0 && *depth == 0)
        return candid_fail(r, -EPROTO, "nested too deeply");
    --*depth;
    return ret;
}

/* Room for n values; when skipping, for one. Returns 0, -EPROTO, -ENOMEM. */
int candid_alloc_values(struct candid_reader *r, size_t n, struct ic_value **out)
    IC_NONNULL(1, 3) IC_MUST_CHECK;

/* Read a value at its own type, nested no deeper than depth; or check one and keep nothing.
 * Return 0, -EPROTO, -ENOMEM. */
int candid_read_value(struct candid_reader *r, const struct ic_type *type, unsigned depth,
                      struct ic_value *out) IC_NONNULL(1, 2, 4) IC_MUST_CHECK;
int candid_skip(struct candid_reader *r, const struct ic_type *type, unsigned depth)
    IC_NONNULL(1, 2) IC_MUST_CHECK;

/* Read whether there is something in an opt. Returns 0, -EPROTO. */
int candid_read_opt_tag(struct candid_reader *r, bool *is_some) IC_NONNULL(1, 2) IC_MUST_CHECK;

/* Read a vec of numbers or bools into out, which has its type already. Returns 0, -EPROTO. */
int candid_read_packed(struct candid_reader *r, struct ic_value *out)
    IC_NONNULL(1, 2) IC_MUST_CHECK;

/* ---- messages ---- */

/* Start to read a message: up to its first value.
 *
 * memory_per_byte  how much memory a byte may take where limits say nothing
 * out              the message, still without arguments: for candid_end
 *
 * Returns 0, -EPROTO, -ENOMEM.
 */
int candid_begin(struct candid_reader *r, struct ic_view bytes,
                 const struct ic_candid_limits *limits, size_t memory_per_byte,
                 struct ic_candid **out, struct ic_error *err) IC_NONNULL(1, 5) IC_MUST_CHECK;

/* Finish: ret is how reading the values went. Takes msg. Returns 0, -EPROTO, or ret. */
int candid_end(struct candid_reader *r, int ret, struct ic_candid *msg, struct ic_candid **out)
    IC_NONNULL(1, 3, 4) IC_MUST_CHECK;

/* ---- places ---- */

#define CANDID_PATH_TEXT 256

/* A way into a value: from an argument down. Whoever goes down fills the step of his depth before
 * he does; what is deeper is of no meaning. */
struct candid_path {
    size_t argument; /* counted from 1; 0: a value that is no argument */
    struct candid_step {
        const struct ic_type *type; /* of what has parts */
        size_t index;               /* of the part: an element, or a field of the type */
    } steps[CANDID_MAX_DEPTH];
};

/* "argument 1.accounts[3].owner" for this many steps; cut where it gets long. */
void candid_path_format(const struct candid_path *path, unsigned depth, char out[CANDID_PATH_TEXT])
    IC_NONNULL(1, 3);

/* What the language calls a kind of type: "nat8", "record". */
const char *candid_kind_name(enum ic_type_kind kind);

/* ---- relations ---- */

/* Answers many questions of how types relate, each pair of types looked at once if all goes well.
 * For one thread; not to be moved. */
struct candid_relater {
    struct ic_arena arena;     /* the pairs */
    void *pairs;               /* a search tree of them */
    struct candid_pair *first; /* of the question at hand, in the order in which they came up */
    struct candid_pair **last;
    size_t *steps_left; /* the budget, somebody else's: one per pair, field or method */
};

void candid_relater_init(struct candid_relater *q, size_t *steps_left) IC_NONNULL(1, 2);
void candid_relater_fini(struct candid_relater *q) IC_NONNULL(1);

/* Is a a subtype of b? Returns 1, 0, -E2BIG (over the budget, or too many pairs), -ENOMEM. */
int candid_is_subtype(struct candid_relater *q, const struct ic_type *a, const struct ic_type *b)
    IC_NONNULL(1, 2, 3) IC_MUST_CHECK;

/* ---- the type table of a message to be written ---- */

/* For one thread; not to be moved. */
struct candid_table {
    struct ic_arena arena; /* the entries, one for each type that is met */
    size_t n_entries;
    void *by_address, *by_structure; /* search trees of them */
    const struct ic_type **types;    /* the table: a type's index is its code */
    size_t n;
    struct ic_error *err;
};

/* Make the table for these values. To be finished in any case. Returns 0, -EINVAL (types that nest
 * over 256, or with fields in disorder), -ENOMEM. */
int candid_table_init(struct candid_table *t, const struct ic_value *args, size_t n,
                      struct ic_error *err) IC_NONNULL(1) IC_MUST_CHECK;
void candid_table_fini(struct candid_table *t) IC_NONNULL(1);

/* How a type is referred to, which is in the table or primitive. */
int64_t candid_table_code(const struct candid_table *t, const struct ic_type *type)
    IC_NONNULL(1, 2);

/* Write what comes before the values in a message of one argument. Returns 0, -EINVAL (as
 * candid_table_init), -ENOMEM. */
int candid_encode_header(const struct ic_type *type, struct ic_buf *out, struct ic_error *err)
    IC_NONNULL(1, 2) IC_MUST_CHECK;

/* ---- values ---- */

/* May a field or argument be missing? It is null, none or reserved then: the value that
 * candid_default_value makes; false: it may not. */
bool candid_is_optional(const struct ic_type *type) IC_NONNULL(1);
bool candid_default_value(const struct ic_type *type, struct ic_value *out) IC_NONNULL(1, 2);

/* Write a number of fixed width, or a bool, as it is on the wire. */
void candid_put_fixed(const struct ic_value *v, uint8_t *out) IC_NONNULL(1, 2);

/* The bytes of a nat as those of an int: with one more group where the last looks like a sign.
 * Returns 0, -E2BIG, -ENOMEM. */
int candid_nat_as_int(struct ic_arena *arena, struct ic_view nat, struct ic_view *out)
    IC_NONNULL(1, 3) IC_MUST_CHECK;

/* Groups of a LEB128 (or SLEB128) number that say something: the last ones may only pad it. At
 * least one, when there is one. */
size_t candid_leb_len(struct ic_view leb, bool is_signed);

/* A value of such a kind as a number, whose lowest bytes are what is on the wire. */
uint64_t candid_fixed_bits(const struct ic_value *v) IC_NONNULL(1);

/* The place of an id among the fields of a record or variant; false when there is none such. */
bool candid_find_field(const struct ic_type *type, uint32_t id, size_t *out) IC_NONNULL(1, 3);

/* Are the fields of a record those of a tuple: 0, 1, ...? */
bool candid_is_tuple(const struct ic_type *type) IC_NONNULL(1);

/* ---- names: declared is a type of a description or NULL, type the one the value has ---- */

/* What is declared for the i-th field or case, for the element or content; NULL when nothing is. */
const struct ic_type *candid_declared_part(const struct ic_type *declared,
                                           const struct ic_type *type, size_t i) IC_NONNULL(2);

struct ic_candid_naming;
const struct ic_type *candid_declared_arg(const struct ic_candid_naming *naming, size_t i);

/* The name of the i-th field or case; bytes are NULL when there is none. */
struct ic_candid_names;
struct ic_view candid_field_name(const struct ic_candid_names *all, const struct ic_type *declared,
                                 const struct ic_type *type, size_t i) IC_NONNULL(3);

#endif
