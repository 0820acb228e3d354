/* Service descriptions: the Candid interface language (.did).
 *
 * Parsing gives types as candid.h has them, with the names that never travel in messages: of
 * definitions, fields, arguments. A definition is one type; every reference to it is a pointer to
 * it, so recursive types are cycles. `type A = B` makes A a type of its own with B's content.
 *
 *     ret = ic_did_parse(text, len, NULL, &did, err);
 *     method = ic_did_find_method(did, "stable_read");
 *     if (method && method->type->as.func.mode == IC_FUNC_QUERY) ...
 *     ic_did_free(did);
 *
 * The text may be anybody's: memory and time are bounded by the limits below, and an error says in
 * one line where and what was expected. Accepted is what DFINITY's didc accepts (candid_parser
 * 0.4), but for a field without an id after the largest one, and for what ic_did_parse says of
 * imports.
 *
 * Source: Candid specification, Core grammar; didc where it is stricter or laxer.
 */
#ifndef CANISTERFS_IC_DID_H
#define CANISTERFS_IC_DID_H

#include "ic/arena.h"
#include "ic/attr.h"
#include "ic/buf.h"
#include "ic/candid.h"
#include "ic/error.h"

#include <stdbool.h>
#include <stddef.h>

/* Limits. All custom sections of a canister together hold 1 MiB (IC interface spec, Canister module
 * format), so no published description is longer. */
#define IC_DID_MAX_TEXT    (1024 * 1024)              /* bytes, with all imported files */
#define IC_DID_MAX_TYPES   65536                      /* type constructors and definitions */
#define IC_DID_MAX_DEPTH   256                        /* nesting of types */
#define IC_DID_MAX_IMPORTS 64                         /* files */
#define IC_DID_MAX_MEMORY  ((size_t)64 * 1024 * 1024) /* as much again while parsing */

/* Longest text of one type or method that the formatting functions below append. */
#define IC_TYPE_MAX_TEXT 65536

struct ic_did_import {
    struct ic_view path; /* as written */
    bool is_service;     /* its methods were to be merged */
};

/* A service description. Immutable; any number of threads may read it. Owns all it points to. */
struct ic_did {
    const struct ic_type *service; /* the methods; NULL when the file only defines types */
    const struct ic_type *init;    /* a func: arguments of the service constructor; NULL when the
                                      service is none */
    const struct ic_type *const *types; /* the definitions, in the order of the text */
    size_t n_types;
    const struct ic_did_import *imports; /* that were not followed, because nobody could load */
    size_t n_imports;
    struct ic_view doc;    /* the comment above the service; may be empty */
    struct ic_arena arena; /* private */
};

/* Where imported files come from. */
struct ic_did_loader {
    /* Append the text of a file.
     *
     * path  relative to the directory of the file that was parsed first, with neither ".." nor a
     *       leading '/'
     * max   bytes that may still come; more is -EFBIG
     *
     * Returns 0 or a negative errno.
     */
    int (*load)(void *arg, const char *path, size_t max, struct ic_buf *out);
    void *arg;
};

/* Parse a description and check it.
 *
 * text,len  need not outlive the call
 * loader    NULL: imports are not followed but listed. Where there are any, a name without a
 *           definition is a type of kind IC_TYPE_FUTURE, that no value fits. (Published metadata
 *           have their imports merged in.)
 *
 * Returns 0, -EPROTO (not a valid description, or over a limit), -ENOMEM.
 *
 * Thread safety: any number of concurrent calls.
 */
int ic_did_parse(const char *text, size_t len, const struct ic_did_loader *loader,
                 struct ic_did **out, struct ic_error *err) IC_NONNULL(4) IC_MUST_CHECK;

/* Parse a file. What it imports is read from its directory and below, never from elsewhere:
 * symbolic links there are not followed.
 *
 * Returns as ic_did_parse, and -EINVAL when the file itself cannot be read. No message names the
 * file: its caller does.
 */
int ic_did_parse_file(const char *path, struct ic_did **out, struct ic_error *err)
    IC_NONNULL(1, 2) IC_MUST_CHECK;

void ic_did_free(struct ic_did *did);

/* A method of the service by name; NULL when there is none. */
const struct ic_type_method *ic_did_find_method(const struct ic_did *did, const char *name)
    IC_NONNULL(1, 2);

/* A definition by name; NULL when there is none. */
const struct ic_type *ic_did_find_type(const struct ic_did *did, const char *name) IC_NONNULL(1, 2);

/* ---- text ----
 *
 * One line, in the style of didc: fields by id, methods by name, names in quotes where needed. A
 * definition is printed by its name. All append; memory is checked by ic_buf_status. Text over
 * IC_TYPE_MAX_TEXT, and types of a message that nest over IC_DID_MAX_DEPTH (which may be
 * recursive, and have no names to stop at), are cut and end in "...".
 */

void ic_type_format(const struct ic_type *type, struct ic_buf *out) IC_NONNULL(1, 2);

/* Argument or result types: "(nat64, blob)". */
void ic_type_format_list(const struct ic_type *const *types, size_t n, struct ic_buf *out)
    IC_NONNULL(3);

/* "stable_read : (nat64, nat64) -> (blob) query" */
void ic_type_format_method(const struct ic_type_method *method, struct ic_buf *out)
    IC_NONNULL(1, 2);

/* The word for a mode: "query"; "update", which the language has no word for. */
const char *ic_func_mode_name(enum ic_func_mode mode);

/* The whole description, a definition or method a line. Parses to an equal one. */
void ic_did_format(const struct ic_did *did, struct ic_buf *out) IC_NONNULL(1, 2);

#endif
