/* What the grammar of types (did_parse.c) and that of files (did_parse_file.c) share. */
#ifndef CANISTERFS_IC_DID_PARSE_IMPL_H
#define CANISTERFS_IC_DID_PARSE_IMPL_H

#include "ic/did_impl.h"

struct did_parser {
    struct did_reader *reader;
    struct did_file *file; /* NULL: no name has a meaning */
    struct did_lexer lex;
    unsigned depth;
};

static inline enum did_token_kind did_parser_kind(const struct did_parser *p)
{
    return p->lex.token.kind;
}

static inline int did_parser_next(struct did_parser *p)
{
    return did_lex_next(&p->lex);
}

/* What reads begins at the current token and steps behind what it read. All return 0, -EPROTO or
 * -ENOMEM. */

/* A name that is used: of a type of this kind; reserved: of any. */
int did_parser_use_name(struct did_parser *p, enum ic_type_kind expects, struct did_symbol **out)
    IC_NONNULL(1, 3) IC_MUST_CHECK;
int did_parser_use_type(struct did_parser *p, enum ic_type_kind expects, const struct ic_type **out)
    IC_NONNULL(1, 3) IC_MUST_CHECK;

/* A type; at most IC_DID_MAX_DEPTH deep. */
int did_parser_read_type(struct did_parser *p, const struct ic_type **out)
    IC_NONNULL(1, 2) IC_MUST_CHECK;

/* Arguments or results, in parentheses: pushed (did_push). */
int did_parser_read_tuple(struct did_parser *p) IC_NONNULL(1) IC_MUST_CHECK;

/* The methods of a service, in braces. */
int did_parser_read_methods(struct did_parser *p, struct ic_type *type)
    IC_NONNULL(1, 2) IC_MUST_CHECK;

/* A new type of this kind, at the current token, which stays. */
int did_parser_new_type(struct did_parser *p, enum ic_type_kind kind, struct ic_type **out)
    IC_NONNULL(1, 3) IC_MUST_CHECK;

/* Forget what was pushed above base. */
void did_parser_drop_items(struct did_parser *p, size_t base) IC_NONNULL(1);

#endif
