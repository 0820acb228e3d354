/* The canister's Candid interface. See discovery.h. */
#include "fs/discovery_impl.h"
#include "fs/small_file.h"
#include "ic/candid_relation.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A text that imports others does not say what its types are: it is kept as one with them. */
static int parse_with_imports(const char *path, struct fs_discovery *out, struct ic_error *err)
{
    struct ic_buf text = {0};
    ic_did_free(out->did);
    out->did = NULL;
    int result = ic_did_parse_file(path, &out->did, err);
    if (result < 0)
        return result;
    ic_did_format(out->did, &text);
    ic_buf_append(&text, "", 1);
    result = ic_buf_status(&text);
    if (result < 0) {
        ic_buf_fini(&text);
        return ic_fail(err, IC_E_NO_MEMORY, "out of memory");
    }
    free(out->did_text);
    out->did_text = (char *)text.bytes;
    out->did_text_len = text.len - 1;
    return 0;
}

static int load_file(const char *path, struct fs_discovery *out, char *message, size_t message_size)
{
    struct ic_error err = {0};
    int result = fs_small_file_read(path, IC_DID_MAX_TEXT, &out->did_text, &out->did_text_len);
    if (result < 0) {
        snprintf(message, message_size, "did '%s': cannot be read: %s", path,
                 fs_small_file_words(result));
        return -EINVAL;
    }
    result = ic_did_parse(out->did_text, out->did_text_len, NULL, &out->did, &err);
    if (result == 0 && out->did->n_imports > 0)
        result = parse_with_imports(path, out, &err);
    if (result < 0 || !out->did->service) {
        snprintf(message, message_size, "did '%s': %s", path,
                 result < 0 ? err.message : "it describes no service");
        return -EINVAL;
    }
    snprintf(out->basis, sizeof(out->basis), "the Candid interface in %.120s", path);
    return 0;
}

void discovery_forget_interface(struct fs_discovery *out)
{
    ic_did_free(out->did);
    free(out->did_text);
    out->did = NULL;
    out->did_text = NULL;
    out->did_text_len = 0;
}

/* A description that cannot be parsed is an error only when the user gave it. */
int discovery_load_interface(struct discovery_search *search, struct fs_facts *facts, char *message,
                             size_t message_size)
{
    struct fs_discovery *out = search->out;
    struct ic_error err = {0};
    if (search->options->did)
        return load_file(search->options->did, out, message, message_size);
    if (fs_facts_take_candid(facts, &out->did_text, &out->did_text_len) < 0 || !out->did_text)
        return 0;
    if (ic_did_parse(out->did_text, out->did_text_len, NULL, &out->did, &err) < 0)
        fs_log_print(search->target->log, FS_LOG_WARNING,
                     "the Candid interface that the canister publishes is not valid: %s",
                     err.message);
    if (!out->did || !out->did->service)
        discovery_forget_interface(out);
    else
        snprintf(out->basis, sizeof(out->basis),
                 "the Candid interface that the canister publishes");
    return 0;
}

/* --- the lease --- */

/* What we send, and what of the replies we look at (lease_call.c). */
static const char lease_text[] =
    "service : {\n"
    "  maintenance_pause : (record { ttl_s : nat32; reason : text })\n"
    "    -> (variant { ok : record { lease : nat64 }; err : reserved });\n"
    "  maintenance_renew : (nat64) -> (variant { ok : reserved; err : reserved });\n"
    "  maintenance_resume : (nat64) -> (variant { ok : reserved; err : reserved });\n"
    "  maintenance_status : ()\n"
    "    -> (record { paused : bool; lease_expires_ns : nat64; in_flight : nat64 }) query;\n"
    "}";

/* May `theirs` be called as `ours` is? */
static int fits(const struct ic_type *theirs, const struct ic_type *ours, bool *out,
                struct ic_error *err)
{
    *out = false;
    if (theirs->as.func.mode != ours->as.func.mode)
        return 0;
    int result =
        ic_type_lists_relate(ours->as.func.args, ours->as.func.n_args, theirs->as.func.args,
                             theirs->as.func.n_args, IC_TYPE_SUBTYPE, out, err);
    if (result == 0 && *out)
        result = ic_type_lists_relate(theirs->as.func.results, theirs->as.func.n_results,
                                      ours->as.func.results, ours->as.func.n_results,
                                      IC_TYPE_SUBTYPE, out, err);
    if (result == -EPROTO) /* what is too large to tell is none of ours */
        *out = false;
    return result == -EPROTO ? 0 : result;
}

/* Note each method that is there; the lease is offered when all are, and fit. */
static int match_lease(struct discovery_search *search, const struct ic_did *wanted)
{
    const struct ic_type *service = wanted->service;
    bool has_all = true;
    for (size_t i = 0; i < service->as.service.n; i++) {
        const struct ic_type_method *ours = &service->as.service.methods[i];
        char name[FS_METHOD_NAME_MAX];
        bool is_fit = false;
        snprintf(name, sizeof(name), "%.*s", (int)ours->name.len, (const char *)ours->name.bytes);
        const struct ic_type_method *theirs = ic_did_find_method(search->did, name);
        int result = theirs ? fits(theirs->type, ours->type, &is_fit, &search->err) : 0;
        if (result < 0)
            return result;
        if (theirs)
            discovery_note(search->out, name, is_fit, "%s",
                           is_fit ? "" : "its type is not that of the maintenance lease");
        has_all = has_all && is_fit;
    }
    search->out->has_lease = has_all;
    return 0;
}

int discovery_find_lease(struct discovery_search *search)
{
    struct ic_did *wanted = NULL;
    if (!search->did)
        return 0;
    int result = ic_did_parse(lease_text, sizeof(lease_text) - 1, NULL, &wanted, &search->err);
    if (result == 0)
        result = match_lease(search, wanted);
    ic_did_free(wanted);
    return result;
}
