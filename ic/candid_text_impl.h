/* Shared by the files of candid_text: what stands in the text, before it has types. Private to
 * ic/candid_text*.c.
 *
 * candid_text_parse.c makes nodes of the text. candid_text_type.c finds a type for nodes that none
 * was expected of. candid_text_fit.c makes nodes fit a type: an annotation's, as soon as it was
 * read, then the expected or found one. candid_text.c makes values of nodes that fit.
 */
#ifndef CANISTERFS_IC_CANDID_TEXT_IMPL_H
#define CANISTERFS_IC_CANDID_TEXT_IMPL_H

#include "ic/candid_impl.h"
#include "ic/candid_text.h"
#include "ic/did_impl.h"

enum text_kind {
    TEXT_NULL,
    TEXT_BOOL,
    TEXT_INTEGER,
    TEXT_FLOAT,
    TEXT_STRING,
    TEXT_BLOB,
    TEXT_PRINCIPAL,
    TEXT_SERVICE,
    TEXT_FUNC,
    TEXT_OPT,
    TEXT_VEC,
    TEXT_RECORD, /* the fields by id */
    TEXT_VARIANT,
    TEXT_NONE,     /* these are made by a type only: null at an opt, */
    TEXT_RESERVED, /* anything at reserved */
};

struct text_node {
    enum text_kind kind;
    bool is_negative;           /* integer, float */
    bool boolean;               /* bool */
    enum ic_type_kind number;   /* integer, float: the type it was given; null when none was yet */
    uint32_t id;                /* of a record or variant around it */
    size_t pos;                 /* in the text */
    const struct ic_type *type; /* of its annotation; NULL when it has none */
    struct ic_view bytes;    /* a number's digits; text; what a blob, principal or service is; the
                                canister of a func */
    struct ic_view method;   /* of a func */
    struct text_node *first; /* elements, fields, or the one content */
    size_t n;                /* of them */
    struct text_node *next;  /* in the list that it is part of */
};

struct text_parser {
    struct did_source source;
    struct did_lexer lex;
    struct did_reader types; /* for annotations */
    struct ic_arena *arena;  /* of the values, their types and their texts */
    struct ic_arena nodes;
    struct ic_error *err;
    unsigned flags;
    unsigned depth;
    size_t fits_left; /* the budget of text_fit: a node is charged for each annotation around it */
};

/* Fail with -EPROTO because of what stands at this place. */
#define text_fail(p, pos, ...) did_fail((p)->err, &(p)->source, (pos), __VA_ARGS__)

/* Room in one of the two arenas. Returns 0, -EPROTO, -ENOMEM. */
int text_alloc(struct text_parser *p, struct ic_arena *arena, size_t n, size_t size, void **out)
    IC_NONNULL(1, 2, 5) IC_MUST_CHECK;

/* An empty node. Returns 0, -EPROTO, -ENOMEM; so do all below. */
int text_new_node(struct text_parser *p, enum text_kind kind, size_t pos, struct text_node **out)
    IC_NONNULL(1, 4) IC_MUST_CHECK;

/* Read an argument list, up to the end of the text: the nodes are the list's. */
int text_parse_args(struct text_parser *p, struct text_node *list) IC_NONNULL(1, 2) IC_MUST_CHECK;

/* Read a value, up to the end of the text: the list's only node. */
int text_parse_value(struct text_parser *p, struct text_node *list) IC_NONNULL(1, 2) IC_MUST_CHECK;

/* The type of a node that none is expected of. */
int text_infer(struct text_parser *p, const struct text_node *node, const struct ic_type **out)
    IC_NONNULL(1, 2, 3) IC_MUST_CHECK;

/* Make a node fit a type: numbers get theirs, records the fields it has and no others, null
 * becomes none at an opt. */
int text_fit(struct text_parser *p, struct text_node *node, const struct ic_type *type)
    IC_NONNULL(1, 2, 3) IC_MUST_CHECK;

/* A node for what was left out: null, none or reserved; -ENOENT when the type cannot do without a
 * value. */
int text_new_default(struct text_parser *p, const struct ic_type *type, size_t pos,
                     struct text_node **out) IC_NONNULL(1, 2, 4) IC_MUST_CHECK;

#endif
