/* The best methods are asked for first; what they make unnecessary is not asked for. A reply counts
 * only when it has the right shape: a method of the same name may mean something else. */
#include "fs/discovery.h"

#include "fs/id_sweep.h"
#include "fs/profile.h"
#include "fs/small_file.h"
#include "ic/did.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

struct search {
    struct fs_discovery *out;
    const struct fs_target *target;
    const struct fs_options *options;
    const struct ic_did *did; /* out's; NULL: the interface is not known */
    bool number_is_given;     /* by the map that is being tried */
    char refused_by[448];     /* the first method that is there but refused, and why; "" if none */
    struct ic_error err;      /* of the network, when the search cannot go on */
};

/* --- findings --- */

static struct fs_finding *find_finding(struct fs_discovery *discovery, const char *method)
{
    for (size_t i = 0; i < discovery->n_findings; i++)
        if (strcmp(discovery->findings[i].method, method) == 0)
            return &discovery->findings[i];
    return NULL;
}

static __attribute__((format(printf, 4, 5))) void
note(struct fs_discovery *discovery, const char *method, bool offered, const char *format, ...)
{
    struct fs_finding *finding = find_finding(discovery, method);
    if (!finding && discovery->n_findings < FS_FINDINGS_MAX) {
        finding = &discovery->findings[discovery->n_findings++];
        snprintf(finding->method, sizeof(finding->method), "%s", method);
    }
    if (!finding)
        return;
    finding->offered = offered;
    va_list args;
    va_start(args, format);
    vsnprintf(finding->note, sizeof(finding->note), format, args);
    va_end(args);
}

/* --- one method --- */

static bool is_number(enum ic_type_kind kind)
{
    return kind == IC_TYPE_NAT || kind == IC_TYPE_NAT32 || kind == IC_TYPE_NAT64;
}

/* Does the interface allow the call? Notes why not. n_args: how many arguments it would get. */
static bool is_in_interface(struct search *search, const char *method, uint32_t n_args)
{
    if (!search->did)
        return true;
    const struct ic_type_method *found = ic_did_find_method(search->did, method);
    if (!found) {
        note(search->out, method, false, "not in the Candid interface");
        return false;
    }
    enum ic_func_mode mode = found->type->as.func.mode;
    if (mode != IC_FUNC_QUERY && mode != IC_FUNC_COMPOSITE_QUERY)
        note(search->out, method, false, "it is not a query");
    else if (found->type->as.func.n_args != n_args)
        note(search->out, method, false, "the Candid interface gives it other arguments");
    else
        return true;
    return false;
}

/* Did the canister's own code answer, be it with a refusal? Else the platform spoke for it: it is
 * stopped, frozen, overloaded, gone. */
static bool is_own_answer(const struct ic_error *err)
{
    return err->code == IC_E_WRONG_TYPE || err->reject_code == 4 ||
           (err->code == IC_E_DENIED && err->http_status == 0) || ic_error_is_limit(err) ||
           strcmp(err->error_code, "IC0502") == 0 || strcmp(err->error_code, "IC0503") == 0;
}

/* No code, or none with that method. */
static bool is_absent(const struct ic_error *err)
{
    return strcmp(err->error_code, "IC0536") == 0 || strcmp(err->error_code, "IC0537") == 0;
}

/* Take what a call came to. Returns 1 when the method is offered, 0 when it is not, or -errno when
 * it cannot be told: a canister that is stopped today must not look like one without memory. */
static int judge(struct search *search, const char *method, int result, const struct ic_error *err)
{
    if (result == 0 || result == -ESTALE) {
        note(search->out, method, true, "%s", "");
        return 1;
    }
    if (is_absent(err)) {
        note(search->out, method, false, "no such method");
        return 0;
    }
    if (!is_own_answer(err)) {
        search->err = *err;
        return result;
    }
    note(search->out, method, false, "%.250s", err->message);
    if (err->code != IC_E_WRONG_TYPE && !search->refused_by[0])
        snprintf(search->refused_by, sizeof(search->refused_by), "%s: %.300s", method,
                 err->message);
    return 0;
}

/* --- the methods of one map --- */

/* Try the method that tells size or version: the only one of its kind in `only`. */
static int try_stat(struct search *search, const struct fs_memory *only, const char *method,
                    struct fs_memory_state *out)
{
    if (!is_in_interface(search, method, only->has_id && !only->version[0] ? 1 : 0))
        return 0;
    struct ic_io io = fs_target_io(search->target, search->options->timeout_ns);
    struct ic_error err = {0};
    int result = fs_memory_stat(only, search->target, 0, &io, out, &err);
    return judge(search, method, result, &err);
}

/* Read nothing at 0: in range even for an empty memory. */
static int call_read(const struct search *search, const struct fs_target *target,
                     const struct fs_memory *memory, uint64_t version, struct ic_error *err)
{
    struct ic_io io = fs_target_io(target, search->options->timeout_ns);
    const struct fs_memory_dest nowhere = {NULL, 0, 0};
    struct fs_memory_got got;
    return fs_memory_read(memory, target, version, 0, 0, &nowhere, &io, &got, err);
}

static int try_read(struct search *search, const struct fs_memory *memory, uint64_t version)
{
    bool proves = fs_memory_proves(memory);
    uint32_t n_args = proves ? 3 : memory->style == FS_MEMORY_RANGE ? 2 : 1;
    const char *method = fs_memory_reader(memory);
    if (!is_in_interface(search, method, n_args + (memory->has_id && !proves)))
        return 0;
    struct ic_error err = {0};
    int result = call_read(search, search->target, memory, version, &err);
    return judge(search, method, result, &err);
}

/* The type of offsets: as given, else as the interface says, else as the size is told. */
static enum ic_type_kind choose_number(const struct search *search, const struct fs_memory *memory,
                                       enum ic_type_kind size_kind)
{
    if (search->number_is_given)
        return memory->number;
    const struct ic_type_method *method =
        search->did ? ic_did_find_method(search->did, memory->read) : NULL;
    uint32_t first = memory->has_id ? 1 : 0;
    if (method && method->type->as.func.n_args > first) {
        enum ic_type_kind kind = method->type->as.func.args[first]->kind;
        return is_number(kind) ? kind : memory->number;
    }
    return is_number(size_kind) ? size_kind : memory->number;
}

/* With nothing that tells which numbers the canister takes: try them all. */
static int try_read_numbers(struct search *search, struct fs_memory *memory,
                            enum ic_type_kind size_kind)
{
    static const enum ic_type_kind all[] = {IC_TYPE_NAT64, IC_TYPE_NAT32, IC_TYPE_NAT};
    memory->number = choose_number(search, memory, size_kind);
    int found = try_read(search, memory, 0);
    if (found != 0 || search->did || search->number_is_given || is_number(size_kind))
        return found;
    const struct fs_finding *finding = find_finding(search->out, memory->read);
    if (finding && strcmp(finding->note, "no such method") == 0)
        return 0;
    for (size_t i = 0; found == 0 && i < sizeof(all) / sizeof(all[0]); i++) {
        if (all[i] == memory->number)
            continue;
        struct fs_memory other = *memory;
        other.number = all[i];
        found = try_read(search, &other, 0);
        if (found > 0)
            memory->number = other.number;
    }
    return found;
}

/* version and read_at. What is not offered is taken out of the description. */
static int examine_version(struct search *search, struct fs_memory *memory)
{
    struct fs_memory_state state = {0};
    struct fs_memory only = {.number = memory->number};
    memcpy(only.version, memory->version, sizeof(only.version));
    int found = memory->version[0] ? try_stat(search, &only, memory->version, &state) : 0;
    if (found <= 0)
        memory->version[0] = '\0';
    int proven = found > 0 && memory->read_at[0] ? try_read(search, memory, state.version) : 0;
    if (proven <= 0)
        memory->read_at[0] = '\0';
    return proven < 0 ? proven : found < 0 ? found : 0;
}

/* size and header, when there is no version to tell it. */
static int examine_size(struct search *search, struct fs_memory *memory,
                        struct fs_memory_state *out)
{
    if (memory->version[0])
        return 0;
    struct fs_memory only = *memory;
    only.header[0] = '\0';
    int found = memory->size[0] ? try_stat(search, &only, memory->size, out) : 0;
    if (found <= 0)
        memory->size[0] = '\0';
    if (found < 0 || memory->size[0])
        return found < 0 ? found : 0;
    only = *memory;
    found = memory->header[0] ? try_stat(search, &only, memory->header, out) : 0;
    if (found <= 0)
        memory->header[0] = '\0';
    return found < 0 ? found : 0;
}

/* Does the canister have the methods of a map? Returns 1 and fills, 0, or -errno of the network. */
static int examine(struct search *search, const struct fs_map *map, struct fs_memory *out)
{
    struct fs_memory memory = map->memory;
    struct fs_memory_state state = {0};
    search->number_is_given = map->has_number;
    int result = examine_version(search, &memory);
    if (result < 0)
        return result;
    if (!fs_memory_proves(&memory)) {
        if (!memory.read[0])
            return 0;
        result = examine_size(search, &memory, &state);
        if (result == 0)
            result = try_read_numbers(search, &memory, state.size_kind);
        if (result <= 0)
            return result;
    }
    *out = memory;
    return 1;
}

/* --- which map --- */

/* Arguments that may be null may be left out (Candid spec, subtyping of argument lists). */
static bool may_be_left_out(enum ic_type_kind kind)
{
    return kind == IC_TYPE_OPT || kind == IC_TYPE_NULL || kind == IC_TYPE_RESERVED;
}

/* The method is not tried, it changes the canister: only the interface can speak against it. */
static bool can_prepare(struct search *search, const char *method)
{
    if (!search->did || !method[0])
        return method[0];
    const struct ic_type_method *found = ic_did_find_method(search->did, method);
    if (!found) {
        note(search->out, method, false, "not in the Candid interface");
        return false;
    }
    for (uint32_t i = 0; i < found->type->as.func.n_args; i++) {
        if (!may_be_left_out(found->type->as.func.args[i]->kind)) {
            note(search->out, method, false, "it cannot be called without arguments");
            return false;
        }
    }
    return true;
}

static int keep(struct search *search, const struct fs_map *map, const struct fs_memory *memory)
{
    struct fs_discovery *out = search->out;
    if (can_prepare(search, memory->prepare))
        memcpy(out->prepare, memory->prepare, sizeof(out->prepare));
    if (map->all_ids)
        return fs_id_sweep(memory, search->target, search->options->timeout_ns, &out->memories,
                           &out->n_memories, &search->err);
    out->memories = malloc(sizeof(*out->memories));
    if (!out->memories)
        return ic_fail(&search->err, IC_E_NO_MEMORY, "out of memory");
    *out->memories = *memory;
    out->n_memories = 1;
    return 0;
}

static int try_map(struct search *search, const struct fs_map *map, const char *profile)
{
    struct fs_memory memory;
    int found = examine(search, map, &memory);
    if (found <= 0)
        return found;
    search->out->profile = profile;
    int result = keep(search, map, &memory);
    return result < 0 ? result : 1;
}

/* What the user named. Returns 1 when there was such a thing, 0 when not, or -EINVAL. */
static int choose_map(const struct fs_options *options, struct fs_map *out, const char **profile,
                      char *basis, size_t basis_size, char *message, size_t message_size)
{
    char problem[256];
    if (options->profile) {
        const struct fs_profile *found = fs_profile_find(options->profile);
        if (!found) {
            snprintf(message, message_size,
                     "there is no profile '%.60s' (canisterfs --help lists them)",
                     options->profile);
            return -EINVAL;
        }
        fs_profile_map(found, out);
        *profile = found->name;
        snprintf(basis, basis_size, "the profile %s", found->name);
        return 1;
    }
    if (!options->map)
        return 0;
    if (fs_map_load(out, options->map, problem, sizeof(problem)) < 0) {
        snprintf(message, message_size, "map '%s': %s", options->map, problem);
        return -EINVAL;
    }
    snprintf(basis, basis_size, "the map %.140s", options->map);
    return 1;
}

static int try_known_names(struct search *search)
{
    int found = 0;
    for (const struct fs_profile *profile = fs_profiles; found == 0 && profile->name; profile++) {
        struct fs_map map;
        if (!profile->is_asked)
            continue;
        fs_profile_map(profile, &map);
        found = try_map(search, &map, profile->name);
    }
    return found;
}

/* --- the interface --- */

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
        snprintf(message, message_size, "did '%s': %s", path, fs_small_file_words(result));
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

static void forget_interface(struct fs_discovery *out)
{
    ic_did_free(out->did);
    free(out->did_text);
    out->did = NULL;
    out->did_text = NULL;
    out->did_text_len = 0;
}

/* From the user's file, else from the canister. A description that cannot be parsed is an error
 * only when the user gave it. */
static int load_interface(struct search *search, struct fs_facts *facts, char *message,
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
        forget_interface(out);
    else
        snprintf(out->basis, sizeof(out->basis),
                 "the Candid interface that the canister publishes");
    return 0;
}

/* --- collections --- */

static void not_shown(struct fs_discovery *out, struct ic_view method, const char *reason)
{
    if (out->n_not_shown == FS_NOT_SHOWN_MAX) {
        out->n_not_listed++;
        return;
    }
    struct fs_not_shown *entry = &out->not_shown[out->n_not_shown++];
    snprintf(entry->method, sizeof(entry->method), "%.*s", (int)method.len,
             (const char *)method.bytes);
    snprintf(entry->reason, sizeof(entry->reason), "%s", reason);
}

static void list_collections(struct fs_discovery *out, const struct ic_did *did)
{
    const struct ic_type_method *version = ic_did_find_method(did, "backup_version");
    if (version && fs_collection_tells_version(version->type))
        snprintf(out->backup_version, sizeof(out->backup_version), "backup_version");
    for (size_t i = 0; i < did->service->as.service.n; i++) {
        const struct ic_type_method *method = &did->service->as.service.methods[i];
        struct fs_collection found;
        char reason[FS_REASON_MAX];
        if (ic_view_is_text(method->name, out->backup_version))
            continue;
        enum fs_recognised what =
            fs_collection_recognise(did, method, &found, reason, sizeof(reason));
        if (what == FS_A_COLLECTION && out->n_collections < FS_COLLECTIONS_MAX)
            out->collections[out->n_collections++] = found;
        else if (what == FS_NOT_SHOWN)
            not_shown(out, method->name, reason);
    }
}

/* --- who may read --- */

static enum fs_anyone ask_anonymously(const struct search *search)
{
    struct fs_target anonymous;
    struct ic_error err = {0};
    if (fs_target_open_anonymous(&anonymous, search->target, &err) < 0)
        return FS_ANYONE_UNKNOWN;
    int result = call_read(search, &anonymous, &search->out->memories[0], 0, &err);
    fs_target_close(&anonymous);
    if (result == 0 || result == -ESTALE)
        return FS_ANYONE_CAN_READ;
    return is_own_answer(&err) ? FS_ANYONE_CANNOT : FS_ANYONE_UNKNOWN;
}

/* A canister that answers anybody gives its memory to the whole world. */
static void find_out_about_anyone(struct search *search)
{
    struct fs_discovery *out = search->out;
    const struct fs_target *target = search->target;
    if (out->n_memories == 0)
        return;
    out->anyone =
        ic_identity_is_anonymous(target->identity) ? FS_ANYONE_CAN_READ : ask_anonymously(search);
    if (out->anyone == FS_ANYONE_CAN_READ)
        fs_log_print(target->log, FS_LOG_WARNING,
                     "anyone can download this memory: canister %s answers %s to anonymous callers",
                     target->canister_text, fs_memory_reader(&out->memories[0]));
}

/* Nothing that can be read. When the canister refuses to be read, or has not what the user named,
 * the mount fails: without its memory it would look like a canister whose memory is gone. */
static enum fs_exit end_without_memory(const struct search *search, bool is_named, char *message,
                                       size_t message_size)
{
    const char *canister = search->target->canister_text;
    const char *basis = search->out->basis;
    if (search->refused_by[0]) {
        snprintf(
            message, message_size,
            "canister %s refuses to be read: %s (which identity may? -o profile=none mounts it "
            "without its memory)",
            canister, search->refused_by);
        return FS_EXIT_NETWORK;
    }
    if (is_named) {
        const struct fs_finding *missing = search->out->findings;
        size_t n = search->out->n_findings;
        while (n > 1 && missing->offered) {
            missing++;
            n--;
        }
        snprintf(message, message_size, "canister %s does not fit %s: %s: %s", canister, basis,
                 missing->method, missing->note);
        return FS_EXIT_NETWORK;
    }
    fs_log_print(search->target->log, FS_LOG_WARNING,
                 "stable memory is not shown: canister %s has no method to read it (%s)", canister,
                 basis);
    return FS_EXIT_OK;
}

/* A method that a map names and the canister does not have, or NULL. Profiles list alternatives;
 * who writes a map means each word of it, and a misspelt one would be read with less care than he
 * asked for. */
static const struct fs_finding *find_misfit(const struct search *search, const struct fs_map *map)
{
    const struct fs_memory *memory = &map->memory;
    const char *const named[] = {memory->version, memory->read_at, memory->read,
                                 memory->size,    memory->header,  memory->prepare};
    for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++) {
        const struct fs_finding *finding = find_finding(search->out, named[i]);
        if (finding && !finding->offered)
            return finding;
    }
    return NULL;
}

/* Memory without a version: nothing can tell whether a copy is of one state. */
static enum fs_exit check_version(const struct search *search, char *message, size_t message_size)
{
    const struct fs_discovery *out = search->out;
    if (out->n_memories == 0 || fs_memory_has_version(&out->memories[0]))
        return FS_EXIT_OK;
    static const char words[] =
        "tells no version of its memory: a copy may mix two states if it changes meanwhile";
    const char *canister = search->target->canister_text;
    if (search->options->live == FS_LIVE_FAIL) {
        snprintf(message, message_size, "not mounted: canister %s %s (-o live=warn mounts it)",
                 canister, words);
        return FS_EXIT_NETWORK;
    }
    fs_log_print(search->target->log, FS_LOG_WARNING, "canister %s %s", canister, words);
    return FS_EXIT_OK;
}

static enum fs_exit search_memory(struct search *search, struct fs_facts *facts, char *message,
                                  size_t message_size)
{
    struct fs_map map;
    const char *profile = NULL;
    struct fs_discovery *out = search->out;
    snprintf(out->basis, sizeof(out->basis), "asking for the known names");
    if (load_interface(search, facts, message, message_size) < 0)
        return FS_EXIT_CONFIG;
    search->did = out->did;
    if (search->did)
        list_collections(out, search->did);
    int named = choose_map(search->options, &map, &profile, out->basis, sizeof(out->basis), message,
                           message_size);
    if (named < 0)
        return FS_EXIT_CONFIG;
    int found = named > 0 ? try_map(search, &map, profile) : try_known_names(search);
    if (found < 0) {
        snprintf(message, message_size, "asking canister %s what it offers: %s",
                 search->target->canister_text, search->err.message);
        return FS_EXIT_NETWORK;
    }
    if (found == 0)
        return end_without_memory(search, named > 0, message, message_size);
    const struct fs_finding *misfit = search->options->map ? find_misfit(search, &map) : NULL;
    if (misfit) {
        snprintf(message, message_size, "canister %s does not fit %s: %s: %s",
                 search->target->canister_text, out->basis, misfit->method, misfit->note);
        return FS_EXIT_NETWORK;
    }
    enum fs_exit result = check_version(search, message, message_size);
    if (result == FS_EXIT_OK)
        find_out_about_anyone(search);
    return result;
}

enum fs_exit fs_discovery_run(struct fs_discovery *out, const struct fs_target *target,
                              const struct fs_options *options, struct fs_facts *facts,
                              char *message, size_t message_size)
{
    memset(out, 0, sizeof(*out));
    struct search search = {.out = out, .target = target, .options = options};
    if (options->profile && strcmp(options->profile, "none") == 0) {
        snprintf(out->basis, sizeof(out->basis), "not looked for: profile none");
        return FS_EXIT_OK;
    }
    enum fs_exit result = search_memory(&search, facts, message, message_size);
    if (result != FS_EXIT_OK)
        fs_discovery_fini(out);
    return result;
}

void fs_discovery_fini(struct fs_discovery *discovery)
{
    free(discovery->memories);
    discovery->memories = NULL;
    discovery->n_memories = 0;
    forget_interface(discovery);
}
