/* Named backup endpoints: methods that give items instead of bytes.
 *
 *   ITEMS  (start, limit) -> items                      backup_NAME_chunk(s), backup_NAME, backup
 *   WHOLE  () -> everything                             backup_NAME, backup
 *   INDEX  (size, index) -> a chunk, beside a method that counts them
 *                                                       backupChunk, getChunkCount
 *   LAST   (id, index) -> (blob, whether it is the last)  getChunk
 *
 * Recognised by name and type in the canister's Candid interface, or described by a map or profile
 * (fs/map.h). A description is plain data, immutable once it is in use. Its types belong to the
 * interface, which outlives it.
 *
 * Source: the published interfaces of DSCVR, Factland, power-equalizer and ZenVoich's backup.
 */
#ifndef CANISTERFS_FS_COLLECTION_H
#define CANISTERFS_FS_COLLECTION_H

#include "fs/memory.h"
#include "ic/candid_piece.h"
#include "ic/did.h"

enum fs_collection_style {
    FS_COLLECTION_ITEMS,
    FS_COLLECTION_WHOLE,
    FS_COLLECTION_INDEX,
    FS_COLLECTION_LAST,
};

/* How the number of items (ITEMS) or chunks (INDEX, LAST) is known. */
enum fs_collection_end {
    FS_END_NONE,  /* WHOLE: there is one file */
    FS_END_TOTAL, /* ITEMS: a field of each reply tells it */
    FS_END_COUNT, /* a method tells it: ITEMS () -> (nat), INDEX (size) -> (nat) */
    FS_END_EMPTY, /* ITEMS: there is nothing at and beyond it: it is searched for */
    FS_END_LAST,  /* LAST: the last chunk says so: it is searched for */
};

#define FS_COLLECTIONS_MAX 64
#define FS_LATEST_MAX      4

#define FS_REASON_MAX         200
#define FS_RESTORE_FIELDS_MAX 16

/* The method that takes back what a collection's method gave (fs/restore_partner.h). */
struct fs_restore_partner {
    char method[FS_METHOD_NAME_MAX]; /* "": none, the files are read-only */
    char reason[FS_REASON_MAX];      /* then: why, in words */
    const struct ic_type *arg;       /* its argument's declared type, of the interface */
    bool can_split;                  /* a file may be given to it in pieces */
    bool any_order;                  /* and these in any order */
    /* How the argument is made of the reply: see struct ic_piece_form. */
    unsigned n_opts;
    struct ic_piece_field fields[FS_RESTORE_FIELDS_MAX];
    size_t n_fields;
    bool is_part;
    uint32_t part;
};

struct fs_collection {
    char name[FS_METHOD_NAME_MAX]; /* of its directory: "content" of backup_content_chunks; never
                                      empty, ".", "..", or with a '/' */
    char method[FS_METHOD_NAME_MAX];
    enum fs_collection_style style;
    enum fs_collection_end end;
    enum ic_type_kind numbers[2];   /* of the arguments: nat, nat8 ... nat64 */
    uint64_t id;                    /* LAST: the first argument */
    char count[FS_METHOD_NAME_MAX]; /* END_COUNT */
    enum ic_type_kind count_number; /* INDEX: of its argument */

    /* ITEMS: the fields of the record that a reply is, after its opts; ids (ic_candid_hash). */
    bool is_record; /* false: the reply is the vec of items (or the blob) itself */
    bool is_bytes;  /* what `items` names is a blob: items are bytes, files hold them raw */
    uint32_t items; /* is_record: the vec whose elements start and limit count */
    uint32_t total; /* END_TOTAL */
    uint32_t latest[FS_LATEST_MAX]; /* further fields that may differ from reply to reply */
    size_t n_latest;

    /* The declared results of the method, for names of fields; NULL when they are not known. */
    const struct ic_type *const *results;
    size_t n_results;

    struct fs_restore_partner restore;
};

/* What of a description is given, and not to be found out from types. */
enum fs_collection_given {
    FS_GIVEN_STYLE = 1,
    FS_GIVEN_NUMBERS = 2,
    FS_GIVEN_ITEMS = 4, /* the field; also is_bytes, if true */
    FS_GIVEN_TOTAL = 8,
    FS_GIVEN_RESTORE = 16, /* its method */
    FS_GIVEN_WRAP = 32,    /* its fields; n_opts of them is not known */
    FS_GIVEN_SPLIT = 64,   /* can_split */
};

/* Fill what is left open in a description: from the type of its method; else by convention, which
 * is (start, limit : nat64) -> (opt record {chunk; total_length}).
 *
 * c       in: name, method, what is given, and count, id and latest, which are never found out (""
 *         and 0 for none); the style and numbers in it are the convention's. out: complete
 * given   enum fs_collection_given, or'ed
 * did     the canister's interface; NULL: it is not known, and nothing can fail
 * reason  fills when false: why this cannot be shown, in words
 *
 * Returns false when it cannot be: the method or count method is not there, is no query, or is of
 * another type. c is then as it was. No I/O. */
bool fs_collection_complete(struct fs_collection *c, unsigned given, const struct ic_did *did,
                            char *reason, size_t reason_size) __attribute__((nonnull(1, 4)));

/* Correct a description of ITEMS that followed the convention by what the canister replies.
 *
 * given   as above
 * result  the type of a reply's first value; not kept
 *
 * Returns false as above. */
bool fs_collection_learn(struct fs_collection *c, unsigned given, const struct ic_type *result,
                         char *reason, size_t reason_size) __attribute__((nonnull));

enum fs_recognised {
    FS_NOT_A_COLLECTION, /* its name means nothing */
    FS_A_COLLECTION,
    FS_NOT_SHOWN, /* its name says so, but its type cannot be read, or a map has to say more */
};

/* Is this method of a description a collection?
 *
 * out     fills when it is
 * reason  fills when it is not shown
 *
 * No I/O. */
enum fs_recognised fs_collection_recognise(const struct ic_did *did,
                                           const struct ic_type_method *method,
                                           struct fs_collection *out, char *reason,
                                           size_t reason_size) __attribute__((nonnull));

/* Is this the type of a method that tells the version of all collections: a query
 * () -> (record {version; mtime_ns; ...})? func: an IC_TYPE_FUNC. */
bool fs_collection_tells_version(const struct ic_type *func) __attribute__((nonnull));

/* Can a directory of collections have an entry of this name? */
bool fs_collection_name_is_valid(const char *name, size_t len) __attribute__((nonnull));

/* One line about how it is read, for people. */
const char *fs_collection_words(enum fs_collection_style style);

#endif
