/* Shared by the files of did: tokens, and the state while descriptions are read. Private to
 * ic/did*.c, and to ic/candid_text*.c: values in text form have the same tokens, and types in them.
 *
 * did_lex.c makes tokens, did_expect.c asks for one; did_parse.c makes types of them, with
 * did_list.c; did_resolve.c has the names, and completes the types once all text is read;
 * did_import.c follows imports; did.c starts it all.
 */
#ifndef CANISTERFS_IC_DID_IMPL_H
#define CANISTERFS_IC_DID_IMPL_H

#include "ic/did.h"

#include <errno.h>
#include <stdint.h>

/* The order is that of the table of spellings in did_lex.c. */
enum did_token_kind {
    DID_END,
    DID_ID,
    DID_STRING,
    DID_NUMBER,
    DID_FLOAT, /* in values only, like the marks from dot to minus */
    DID_OPEN_PAREN,
    DID_CLOSE_PAREN,
    DID_OPEN_BRACE,
    DID_CLOSE_BRACE,
    DID_COLON,
    DID_SEMICOLON,
    DID_COMMA,
    DID_EQUALS,
    DID_DOT,
    DID_PLUS,
    DID_MINUS,
    DID_ARROW,
    DID_NULL, /* from here on words that are no identifiers */
    DID_OPT,
    DID_VEC,
    DID_RECORD,
    DID_VARIANT,
    DID_FUNC,
    DID_SERVICE,
    DID_ONEWAY,
    DID_QUERY,
    DID_COMPOSITE_QUERY,
    DID_BLOB,
    DID_TYPE,
    DID_IMPORT,
    DID_PRINCIPAL,
    DID_TRUE,
    DID_FALSE,
    DID_N_TOKENS,
};

struct did_token {
    enum did_token_kind kind;
    size_t pos, len;     /* in the source */
    struct ic_view text; /* an identifier; a string's content, which is UTF-8 (but for a string
                            behind "blob", which may be any bytes) */
    uint64_t number;     /* UINT64_MAX when larger */
    struct ic_view doc;  /* the lines of comment directly above, as they stand */
};

/* The text of one file, or values. */
struct did_source {
    const char *prefix;  /* what errors begin with: "", or "candid: " for values */
    struct ic_view path; /* relative to the first file's directory; empty for the first */
    struct ic_view text;
};

struct did_lexer {
    const struct did_source *source;
    struct ic_arena *arena; /* for strings with escapes, which are decoded */
    struct ic_error *err;
    size_t pos;
    struct did_token token; /* the current one */
};

/* Fill err: the file where it is imported, line, column (characters, from 1), message. */
void did_note(struct ic_error *err, const struct did_source *source, size_t pos, const char *fmt,
              ...) IC_PRINTF(4, 5);

/* Fail with -EPROTO, having noted why. */
#define did_fail(...) (did_note(__VA_ARGS__), -EPROTO)

/* Fill err for what an arena said: -E2BIG or -ENOMEM. */
void did_note_memory(struct ic_error *err, int ret);

static inline int did_fail_memory(struct ic_error *err, int ret)
{
    did_note_memory(err, ret);
    return ret == -ENOMEM ? -ENOMEM : -EPROTO;
}

/* Is the text UTF-8? Returns 0, -EPROTO. The lexer relies on it. */
int did_check_utf8(struct ic_error *err, const struct did_source *source)
    IC_NONNULL(2) IC_MUST_CHECK;

/* Step to the next token. Returns 0, -EPROTO, -ENOMEM. */
int did_lex_next(struct did_lexer *lex) IC_NONNULL(1) IC_MUST_CHECK;

/* Fail with -EPROTO, because something else stands at the current token. */
int did_expected(const struct did_lexer *lex, const char *what) IC_NONNULL(1, 2) IC_MUST_CHECK;

/* Step behind a token of this kind; after an element of a list: behind the separator, unless there
 * is the end of the list. Return 0, -EPROTO, -ENOMEM. */
int did_expect(struct did_lexer *lex, enum did_token_kind kind) IC_NONNULL(1) IC_MUST_CHECK;
int did_expect_separator(struct did_lexer *lex, enum did_token_kind separator,
                         enum did_token_kind end) IC_NONNULL(1) IC_MUST_CHECK;

/* How a token is written; a description for those that vary. */
const char *did_spelling(enum did_token_kind kind);

/* The primitive type of this name, or NULL. */
const struct ic_type *did_primitive(struct ic_view name);

/* Written without quotes: an identifier that is not a keyword. */
bool did_is_plain(struct ic_view name);

/* ---- descriptions being read ---- */

/* A type of our making. */
struct did_node {
    struct ic_type type;
    struct did_node *next;
};

struct did_file {
    struct did_source source;
    struct did_file *next;
    unsigned order;  /* files whose definitions this one may use have a lower or equal one */
    bool is_service; /* its methods join the main service */
    struct did_file *importer; /* the first to import it (as a service, if any did), and where */
    size_t import_pos;
    size_t main_pos;               /* in the first file, the import that led here */
    const struct ic_type *service; /* its main service; NULL when it has none */
    const struct ic_type *init;
    struct ic_view doc;
    size_t service_pos;
};

enum did_state { DID_STATE_NEW, DID_STATE_OPEN, DID_STATE_DONE };

/* A name: defined, used, or both. */
struct did_symbol {
    struct ic_view name; /* first: the key of the tree of symbols */
    struct did_node node;
    struct ic_type_names names;
    struct did_symbol *alias;    /* `type name = alias` */
    const struct did_file *file; /* where it is defined; NULL: nowhere (yet) */
    size_t pos;
    enum did_state state;
    struct did_symbol *next; /* in the order of definition */
};

/* A place where a name is used. */
struct did_use {
    struct did_symbol *symbol;
    const struct did_file *file;
    size_t pos;
    enum ic_type_kind expects;
    struct did_use *next;
};

struct did_listed_import {
    struct ic_did_import import;
    struct did_listed_import *next;
};

/* Part of a list that is being read: a field, argument or method. */
struct did_item {
    const struct ic_type *type;
    struct ic_type_label label;
    uint32_t id;
    size_t pos;
};

struct did_reader {
    struct ic_arena *arena;
    const struct ic_did_loader *loader; /* NULL: imports are listed */
    struct ic_error *err;
    size_t text_left;
    size_t types_left;
    void *symbols; /* a search tree: a hash could be made to collide by whoever wrote the text */
    struct did_symbol *defined, **last_defined;
    struct did_use *uses, **last_use;
    struct did_file *files, **last_file;
    struct did_listed_import *imports, **last_import; /* not followed */
    size_t n_defined, n_imports;
    size_t files_left;
    unsigned n_read; /* files read to their end */
    struct did_node *nodes;
    struct did_item *items; /* a stack: the open lists, innermost on top */
    size_t n_items, items_cap;
};

/* Room in the arena of the description. Returns 0, -EPROTO, -ENOMEM; so do all below. */
static inline int did_alloc(struct did_reader *r, size_t n, size_t size, void **out)
{
    int ret = ic_arena_alloc(r->arena, n, size, out);
    return ret < 0 ? did_fail_memory(r->err, ret) : 0;
}

/* One more type, at this place of a file; refuses too many. */
int did_count_type(struct did_reader *r, const struct did_source *source, size_t pos)
    IC_NONNULL(1, 2) IC_MUST_CHECK;

/* A new type with nothing in it, at this place of a file. */
int did_new_node(struct did_reader *r, const struct did_source *source, size_t pos,
                 struct did_node **out) IC_NONNULL(1, 2, 4) IC_MUST_CHECK;

/* Read the definitions and the service of a file; what it imports is handed to did_import. */
int did_parse_text(struct did_reader *r, struct did_file *file) IC_NONNULL(1, 2) IC_MUST_CHECK;

/* Read a type that uses no definitions, from the lexer's current token on, and step behind it. */
int did_parse_type(struct did_reader *r, struct did_lexer *lex, const struct ic_type **out)
    IC_NONNULL(1, 2, 3) IC_MUST_CHECK;

/* Read the first text; its file has no path. */
int did_read_main(struct did_reader *r, struct ic_view text, struct did_file **out)
    IC_NONNULL(1, 3) IC_MUST_CHECK;

/* Follow an import of a file, or list it. */
int did_import(struct did_reader *r, struct did_file *importer, size_t pos, struct ic_view path,
               bool is_service) IC_NONNULL(1, 2) IC_MUST_CHECK;

/* ---- names ---- */

/* The token is a name that gets a definition here; refuses a second one. */
int did_define(struct did_reader *r, const struct did_file *file, const struct did_token *token,
               struct did_symbol **out) IC_NONNULL(1, 2, 3, 4) IC_MUST_CHECK;

/* The token is a name of a type of this kind; reserved: of any. */
int did_use(struct did_reader *r, const struct did_file *file, const struct did_token *token,
            enum ic_type_kind expects, struct did_symbol **out)
    IC_NONNULL(1, 2, 3, 5) IC_MUST_CHECK;

/* After all text: check names, complete the types, fill did. */
int did_resolve(struct did_reader *r, struct did_file *main, struct ic_did *did)
    IC_NONNULL(1, 2, 3) IC_MUST_CHECK;

/* Find out which of the types of r->nodes have values without bytes. */
void did_mark_zero_width(struct did_reader *r) IC_NONNULL(1);

/* ---- lists: what was pushed above base ---- */

/* Push an item. */
int did_push(struct did_reader *r, struct did_item item) IC_NONNULL(1) IC_MUST_CHECK;

/* Put fields, methods, or n_args arguments and then results, into their type. The items stay. */
int did_finish_fields(struct did_reader *r, const struct did_source *source, size_t base,
                      struct ic_type *type) IC_NONNULL(1, 2, 4) IC_MUST_CHECK;
int did_finish_service(struct did_reader *r, const struct did_source *source, size_t base,
                       struct ic_type *type) IC_NONNULL(1, 2, 4) IC_MUST_CHECK;
int did_finish_func(struct did_reader *r, size_t base, size_t n_args, struct ic_type *type)
    IC_NONNULL(1, 4) IC_MUST_CHECK;

/* No two arguments of a list may have one name; they stay in their order. */
int did_check_arguments(struct did_reader *r, const struct did_source *source, size_t base)
    IC_NONNULL(1, 2) IC_MUST_CHECK;

/* Comment lines without their slashes and the blank behind them. */
int did_copy_doc(struct did_reader *r, struct ic_view raw, struct ic_view *out)
    IC_NONNULL(1, 3) IC_MUST_CHECK;

#endif
