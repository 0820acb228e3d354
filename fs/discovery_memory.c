/* Which methods of a canister give its stable memory. See discovery.h.
 *
 * The best methods are asked for first; what they make unnecessary is not asked for. A reply counts
 * only when it has the right shape: a method of the same name may mean something else. */
#include "fs/discovery_impl.h"
#include "fs/id_sweep.h"
#include "fs/profile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- one method --- */

static bool is_number(enum ic_type_kind kind)
{
    return kind == IC_TYPE_NAT || kind == IC_TYPE_NAT32 || kind == IC_TYPE_NAT64;
}

/* Does the interface allow the call? Notes why not. n_args: how many arguments it would get. */
static bool is_in_interface(struct discovery_search *search, const char *method, uint32_t n_args)
{
    if (!search->did)
        return true;
    const struct ic_type_method *found = ic_did_find_method(search->did, method);
    if (!found) {
        discovery_note(search->out, method, false, "not in the Candid interface");
        return false;
    }
    enum ic_func_mode mode = found->type->as.func.mode;
    if (mode != IC_FUNC_QUERY && mode != IC_FUNC_COMPOSITE_QUERY)
        discovery_note(search->out, method, false, "it is not a query");
    else if (found->type->as.func.n_args != n_args)
        discovery_note(search->out, method, false, "the Candid interface gives it other arguments");
    else
        return true;
    return false;
}

bool discovery_is_own_answer(const struct ic_error *err)
{
    return err->code == IC_E_WRONG_TYPE || err->reject_code == 4 ||
           (err->code == IC_E_DENIED && err->http_status == 0) || ic_error_is_limit(err) ||
           strcmp(err->error_code, "IC0502") == 0 || strcmp(err->error_code, "IC0503") == 0;
}

bool discovery_is_absent(const struct ic_error *err)
{
    return strcmp(err->error_code, "IC0536") == 0 || strcmp(err->error_code, "IC0537") == 0;
}

/* Take what a call came to. Returns 1 when the method is offered, 0 when it is not, or -errno when
 * it cannot be told: a canister that is stopped today must not look like one without memory. */
static int judge(struct discovery_search *search, const char *method, int result,
                 const struct ic_error *err)
{
    /* Busy: it is there, and a restore that was interrupted can only be finished by a mount. */
    bool is_busy = search->did && err->code == IC_E_BUSY;
    if (result == 0 || result == -ESTALE || is_busy) {
        discovery_note(search->out, method, true, "%s", is_busy ? err->message : "");
        return 1;
    }
    if (discovery_is_absent(err)) {
        discovery_note(search->out, method, false, "no such method");
        return 0;
    }
    if (!discovery_is_own_answer(err)) {
        search->err = *err;
        return result;
    }
    discovery_note(search->out, method, false, "%.250s", err->message);
    if (err->code != IC_E_WRONG_TYPE && !search->refused_by[0])
        snprintf(search->refused_by, sizeof(search->refused_by), "%s: %.300s", method,
                 err->message);
    return 0;
}

/* --- the methods of one map --- */

/* Try the method that tells size or version: the only one of its kind in `only`. */
static int try_stat(struct discovery_search *search, const struct fs_memory *only,
                    const char *method, struct fs_memory_state *out)
{
    if (!is_in_interface(search, method, only->has_id && !only->version[0] ? 1 : 0))
        return 0;
    struct ic_io io = fs_target_io(search->target, search->options->timeout_ns);
    struct ic_error err = {0};
    int result = fs_memory_stat(only, search->target, 0, &io, out, &err);
    return judge(search, method, result, &err);
}

/* Read nothing at 0: in range even for an empty memory. */
int discovery_read_nothing(const struct discovery_search *search, const struct fs_target *target,
                           const struct fs_memory *memory, uint64_t version, struct ic_error *err)
{
    struct ic_io io = fs_target_io(target, search->options->timeout_ns);
    const struct fs_memory_dest nowhere = {NULL, 0, 0};
    struct fs_memory_got got;
    return fs_memory_read(memory, target, version, 0, 0, &nowhere, &io, &got, err);
}

static int try_read(struct discovery_search *search, const struct fs_memory *memory,
                    uint64_t version)
{
    bool proves = fs_memory_proves(memory);
    uint32_t n_args = proves ? 3 : memory->style == FS_MEMORY_RANGE ? 2 : 1;
    const char *method = fs_memory_reader(memory);
    if (!is_in_interface(search, method, n_args + (memory->has_id && !proves)))
        return 0;
    struct ic_error err = {0};
    int result = discovery_read_nothing(search, search->target, memory, version, &err);
    return judge(search, method, result, &err);
}

/* The type of offsets: as given, else as the interface says, else as the size is told. */
static enum ic_type_kind choose_number(const struct discovery_search *search,
                                       const struct fs_memory *memory, enum ic_type_kind size_kind)
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
static int try_read_numbers(struct discovery_search *search, struct fs_memory *memory,
                            enum ic_type_kind size_kind)
{
    static const enum ic_type_kind all[] = {IC_TYPE_NAT64, IC_TYPE_NAT32, IC_TYPE_NAT};
    memory->number = choose_number(search, memory, size_kind);
    int found = try_read(search, memory, 0);
    if (found != 0 || search->did || search->number_is_given || is_number(size_kind))
        return found;
    const struct fs_finding *finding = discovery_find(search->out, memory->read);
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
static int examine_version(struct discovery_search *search, struct fs_memory *memory)
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
static int examine_size(struct discovery_search *search, struct fs_memory *memory,
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
static int examine(struct discovery_search *search, const struct fs_map *map, struct fs_memory *out)
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
static bool can_prepare(struct discovery_search *search, const char *method)
{
    if (!search->did || !method[0])
        return method[0];
    const struct ic_type_method *found = ic_did_find_method(search->did, method);
    if (!found) {
        discovery_note(search->out, method, false, "not in the Candid interface");
        return false;
    }
    for (uint32_t i = 0; i < found->type->as.func.n_args; i++) {
        if (!may_be_left_out(found->type->as.func.args[i]->kind)) {
            discovery_note(search->out, method, false, "it cannot be called without arguments");
            return false;
        }
    }
    return true;
}

static int keep(struct discovery_search *search, const struct fs_map *map,
                const struct fs_memory *memory)
{
    struct fs_discovery *out = search->out;
    if (can_prepare(search, memory->prepare))
        memcpy(out->prepare, memory->prepare, sizeof(out->prepare));
    /* What is empty can be restored, else there is nothing to do with it. */
    bool keep_empty = search->options->rw && memory->write.style != FS_WRITE_NONE;
    if (map->all_ids)
        return fs_id_sweep(memory, search->target, search->options->timeout_ns, keep_empty,
                           &out->memories, &out->n_memories, &search->err);
    out->memories = malloc(sizeof(*out->memories));
    if (!out->memories)
        return ic_fail(&search->err, IC_E_NO_MEMORY, "out of memory");
    *out->memories = *memory;
    out->n_memories = 1;
    return 0;
}

int discovery_try_memory(struct discovery_search *search, const struct fs_map *map,
                         const char *profile, bool is_named)
{
    struct fs_memory memory;
    int found = examine(search, map, &memory);
    if (found <= 0)
        return found;
    search->out->profile = profile;
    discovery_find_writes(search, is_named, &memory);
    int result = keep(search, map, &memory);
    return result < 0 ? result : 1;
}

int discovery_try_memory_names(struct discovery_search *search)
{
    int found = 0;
    for (const struct fs_profile *profile = fs_profiles; found == 0 && profile->name; profile++) {
        struct fs_map map;
        if (!profile->is_asked)
            continue;
        fs_profile_map(profile, &map);
        /* Profiles that differ in their collections read the memory in the same way. */
        if (!map.has_memory || discovery_find(search->out, map.memory.read))
            continue;
        found = discovery_try_memory(search, &map, profile->name, false);
    }
    return found;
}
