#include "fs/memory_write.h"

#include "ic/candid_relation.h"
#include "ic/did.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* The convention (docs/canister.md, "Restoring memory"). */
static const char convention[] =
    "type Err = variant { busy : text; stale : record { version : nat64; mtime_ns : nat64;"
    "  size : nat64 }; denied; range; corrupt : text; other : text };"
    "service : {"
    "  begin : (record { target : text; size : nat64; sha256 : blob; base_version : opt nat64 })"
    "    -> (variant { ok : record { session : nat64; chunk_max : nat64; expires_ns : nat64 };"
    "    err : Err });"
    "  chunk : (record { session : nat64; offset : nat64; bytes : blob })"
    "    -> (variant { ok; err : Err });"
    "  status : (nat64) -> (opt record { received : vec record { nat64; nat64 }; size : nat64;"
    "    state : variant { open; committed; aborted } }) query;"
    "  commit : (nat64) -> (variant { ok; more : record { done : nat64; total : nat64 };"
    "    err : Err });"
    "  abort : (nat64) -> (variant { ok; err : Err });"
    "  hashes : (nat64, nat64, nat64) -> (blob) query"
    "}";

static const char *const staged_names[FS_STAGED_METHODS] = {"begin", "chunk", "status", "commit",
                                                            "abort"};

void fs_memory_write_method(const struct fs_memory_write *write, enum fs_staged_method method,
                            char out[FS_METHOD_NAME_MAX])
{
    int len = snprintf(out, FS_METHOD_NAME_MAX, "%s_%s", write->restore, staged_names[method]);
    assert(len < FS_METHOD_NAME_MAX); /* who sets the name leaves room */
    (void)len;
}

int fs_memory_write_convention(struct ic_did **out)
{
    return ic_did_parse(convention, sizeof(convention) - 1, NULL, out, NULL);
}

static bool refuse(char reason[FS_WRITE_WORDS], const char *words)
{
    snprintf(reason, FS_WRITE_WORDS, "%s", words);
    return false;
}

static bool is_query(const struct ic_type_method *method)
{
    enum ic_func_mode mode = method->type->as.func.mode;
    return mode == IC_FUNC_QUERY || mode == IC_FUNC_COMPOSITE_QUERY;
}

static bool fits(const struct ic_type_method *method, const char *wanted, bool wants_query,
                 char reason[FS_WRITE_WORDS])
{
    if (is_query(method) != wants_query || method->type->as.func.mode == IC_FUNC_ONEWAY)
        return refuse(reason, wants_query ? "it is not a query" : "it is not an update");
    struct ic_did *did = NULL;
    if (fs_memory_write_convention(&did) < 0)
        return refuse(reason, "out of memory");
    const struct ic_type *ours = ic_did_find_method(did, wanted)->type;
    const struct ic_type *theirs = method->type;
    bool takes = false;
    bool gives = false;
    int result =
        ic_type_lists_relate(ours->as.func.args, ours->as.func.n_args, theirs->as.func.args,
                             theirs->as.func.n_args, IC_TYPE_LOSSLESS, &takes, NULL);
    if (result == 0)
        result = ic_type_lists_relate(theirs->as.func.results, theirs->as.func.n_results,
                                      ours->as.func.results, ours->as.func.n_results,
                                      IC_TYPE_LOSSLESS, &gives, NULL);
    ic_did_free(did);
    if (result < 0)
        return refuse(reason, "its type cannot be compared with the convention's");
    if (!takes)
        return refuse(reason, "the Candid interface gives it other arguments");
    return gives || refuse(reason, "the Candid interface gives it other results");
}

bool fs_memory_write_fits_staged(const struct ic_type_method *method, enum fs_staged_method wanted,
                                 char reason[FS_WRITE_WORDS])
{
    return fits(method, staged_names[wanted], wanted == FS_STAGED_STATUS, reason);
}

bool fs_memory_write_fits_hashes(const struct ic_type_method *method, char reason[FS_WRITE_WORDS])
{
    return fits(method, "hashes", true, reason);
}

static bool is_number(const struct ic_type *type)
{
    return type->kind == IC_TYPE_NAT || type->kind == IC_TYPE_NAT32 || type->kind == IC_TYPE_NAT64;
}

static bool is_blob(const struct ic_type *type)
{
    return type->kind == IC_TYPE_VEC && type->as.elem->kind == IC_TYPE_NAT8;
}

/* vec record {number; blob}: the record, else NULL. */
static const struct ic_type *find_page(const struct ic_type *type)
{
    const struct ic_type *record = type->kind == IC_TYPE_VEC ? type->as.elem : NULL;
    if (!record || record->kind != IC_TYPE_RECORD || record->as.fields.n != 2)
        return NULL;
    const struct ic_type_field *fields = record->as.fields.fields;
    return fields[0].id == 0 && fields[1].id == 1 && is_number(fields[0].type) &&
                   is_blob(fields[1].type)
               ? record
               : NULL;
}

/* What a reply can say of success: nothing, a bool, a number (-1: failed), ok or err. */
static bool can_be_judged(const struct ic_type *func)
{
    if (func->as.func.n_results == 0)
        return true;
    switch ((int)func->as.func.results[0]->kind) {
    case IC_TYPE_NULL:
    case IC_TYPE_BOOL:
    case IC_TYPE_NAT:
    case IC_TYPE_NAT32:
    case IC_TYPE_NAT64:
    case IC_TYPE_INT:
    case IC_TYPE_INT32:
    case IC_TYPE_INT64:
    case IC_TYPE_VARIANT:
        return true;
    default:
        return false;
    }
}

/* An update with n arguments, behind the id. Returns them, or NULL with the reason. */
static const struct ic_type *const *plain_args(const struct ic_type_method *method, bool has_id,
                                               uint32_t n, char reason[FS_WRITE_WORDS])
{
    const struct ic_type *func = method->type;
    const struct ic_type *const *args = func->as.func.args;
    if (func->as.func.mode != IC_FUNC_UPDATE)
        return refuse(reason, "it is not an update"), NULL;
    if (func->as.func.n_args != n + has_id || (has_id && args[0]->kind != IC_TYPE_NAT8))
        return refuse(reason, "the Candid interface gives it other arguments"), NULL;
    if (!can_be_judged(func))
        return refuse(reason, "its result does not tell whether it succeeded"), NULL;
    return args + has_id;
}

bool fs_memory_write_fits_plain(const struct ic_type_method *method, bool has_id, bool is_page,
                                enum ic_type_kind *number, char reason[FS_WRITE_WORDS])
{
    const struct ic_type *const *args = plain_args(method, has_id, is_page ? 1 : 2, reason);
    if (!args)
        return false;
    const struct ic_type *page = is_page ? find_page(args[0]) : NULL;
    if (is_page ? !page : !is_number(args[0]) || !is_blob(args[1]))
        return refuse(reason, "the Candid interface gives it other arguments");
    *number = is_page ? page->as.fields.fields[0].type->kind : args[0]->kind;
    return true;
}

bool fs_memory_write_fits_number(const struct ic_type_method *method, bool has_id,
                                 enum ic_type_kind *number, char reason[FS_WRITE_WORDS])
{
    const struct ic_type *const *args = plain_args(method, has_id, 1, reason);
    if (!args)
        return false;
    if (!is_number(args[0]))
        return refuse(reason, "the Candid interface gives it other arguments");
    *number = args[0]->kind;
    return true;
}

bool fs_memory_write_fits_flag(const struct ic_type_method *method, char reason[FS_WRITE_WORDS])
{
    const struct ic_type *const *args = plain_args(method, false, 1, reason);
    return args && (args[0]->kind == IC_TYPE_BOOL ||
                    refuse(reason, "the Candid interface gives it other arguments"));
}
