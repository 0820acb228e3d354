#include "fs/discovery_impl.h"
#include "fs/profile.h"
#include "fs/snapshots.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* --- findings --- */

struct fs_finding *discovery_find(struct fs_discovery *discovery, const char *method)
{
    for (size_t i = 0; i < discovery->n_findings; i++)
        if (strcmp(discovery->findings[i].method, method) == 0)
            return &discovery->findings[i];
    return NULL;
}

void discovery_note(struct fs_discovery *discovery, const char *method, bool offered,
                    const char *format, ...)
{
    struct fs_finding *finding = discovery_find(discovery, method);
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

/* --- what the user named --- */

struct named {
    struct fs_map map;
    const char *profile; /* NULL: a map, or nothing */
    bool is_there;       /* false: nothing was named */
    char words[160];
};

static int choose(struct named *out, const struct fs_options *options, char *message,
                  size_t message_size)
{
    char problem[256];
    const struct fs_profile *profile = NULL;
    if (options->profile) {
        profile = fs_profile_find(options->profile);
        if (!profile) {
            snprintf(message, message_size,
                     "there is no profile '%.60s' (canisterfs --help lists them)",
                     options->profile);
            return -EINVAL;
        }
        fs_profile_map(profile, &out->map);
        out->profile = profile->name;
        snprintf(out->words, sizeof(out->words), "the profile %s", profile->name);
    } else if (options->map) {
        if (fs_map_load(&out->map, options->map, problem, sizeof(problem)) < 0) {
            snprintf(message, message_size, "map '%s': %s", options->map, problem);
            return -EINVAL;
        }
        snprintf(out->words, sizeof(out->words), "the map %.140s", options->map);
    }
    out->is_there = options->profile || options->map;
    return 0;
}

/* A method of the memory that a map names and the canister does not have, or NULL. */
static const struct fs_finding *find_misfit(const struct discovery_search *search,
                                            const struct fs_memory *memory)
{
    const char *const named[] = {memory->version,      memory->read_at,     memory->read,
                                 memory->size,         memory->header,      memory->prepare,
                                 memory->write.write,  memory->write.grow,  memory->write.init,
                                 memory->write.finish, memory->write.hashes};
    for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++) {
        const struct fs_finding *finding = discovery_find(search->out, named[i]);
        if (finding && !finding->offered)
            return finding;
    }
    for (int i = 0; memory->write.restore[0] && i < FS_STAGED_METHODS; i++) {
        char name[FS_METHOD_NAME_MAX];
        fs_memory_write_method(&memory->write, (enum fs_staged_method)i, name);
        const struct fs_finding *finding = discovery_find(search->out, name);
        if (finding && !finding->offered)
            return finding;
    }
    return NULL;
}

/* Has the canister what was named? Profiles list alternatives: any of them will do. Who writes a
 * map means each word of it, and a misspelt one would be read with less care than he asked for. */
static enum fs_exit check_named(const struct discovery_search *search, const struct named *named,
                                char *message, size_t message_size)
{
    const struct fs_map *map = &named->map;
    bool has_some = search->n_named > 0 || (map->has_memory && search->has_memory);
    if (!named->is_there || (named->profile && has_some))
        return FS_EXIT_OK;
    const struct fs_finding *misfit = map->has_memory ? find_misfit(search, &map->memory) : NULL;
    if (misfit)
        snprintf(message, message_size, "canister %s does not fit %s: %s: %s",
                 search->target->canister_text, named->words, misfit->method, misfit->note);
    else if (search->misfit[0])
        snprintf(message, message_size, "canister %s does not fit %s: %s",
                 search->target->canister_text, named->words, search->misfit);
    else if (map->has_memory && !search->has_memory)
        snprintf(message, message_size, "canister %s does not fit %s: it has no memory",
                 search->target->canister_text, named->words);
    else
        return FS_EXIT_OK;
    return FS_EXIT_NETWORK;
}

/* When the canister refuses to be read the mount fails: without its memory it would look like a
 * canister whose memory is gone. */
static enum fs_exit check_memory(const struct discovery_search *search, char *message,
                                 size_t message_size)
{
    const char *canister = search->target->canister_text;
    if (!search->has_memory && search->refused_by[0]) {
        snprintf(
            message, message_size,
            "canister %s refuses to be read: %s (which identity may? -o profile=none mounts it "
            "without its memory)",
            canister, search->refused_by);
        return FS_EXIT_NETWORK;
    }
    return FS_EXIT_OK;
}

/* Something without a version: nothing can tell whether a copy is of one state. */
static enum fs_exit warn_of_live(const struct discovery_search *search, const char *words,
                                 char *message, size_t message_size)
{
    const char *canister = search->target->canister_text;
    if (search->options->live == FS_LIVE_FAIL) {
        snprintf(message, message_size, "not mounted: canister %s %s (-o live=warn mounts it)",
                 canister, words);
        return FS_EXIT_NETWORK;
    }
    fs_log_print(search->target->log, FS_LOG_WARNING, "canister %s %s", canister, words);
    return FS_EXIT_OK;
}

static enum fs_exit check_version(const struct discovery_search *search, char *message,
                                  size_t message_size)
{
    const struct fs_discovery *out = search->out;
    enum fs_exit result = FS_EXIT_OK;
    if (!search->has_memory)
        fs_log_print(search->target->log, FS_LOG_WARNING,
                     "stable memory is not shown: canister %s has no method to read it (%s)",
                     search->target->canister_text, out->basis);
    else if (out->n_memories > 0 && !fs_memory_has_version(&out->memories[0]))
        result = warn_of_live(search,
                              "tells no version of its memory: a copy may mix two states if it "
                              "changes meanwhile",
                              message, message_size);
    /* Who backs up backup/ believes that he has them all. */
    for (size_t i = 0; out->did && i < out->n_not_shown; i++)
        fs_log_print(search->target->log, FS_LOG_WARNING, "not shown in backup/: %s: %s",
                     out->not_shown[i].method, out->not_shown[i].reason);
    if (result == FS_EXIT_OK && out->n_collections > 0 && !out->backup_version[0])
        result = warn_of_live(search,
                              "tells no version of its collections: the files of a copy may be of "
                              "different states if it changes meanwhile",
                              message, message_size);
    return result;
}

/* --- who may read --- */

/* What one caller is asked as, for all: the memory, else one collection. NULL: nothing. */
static const char *sample(const struct fs_discovery *out,
                          const struct fs_collection **ret_collection)
{
    *ret_collection = NULL;
    if (out->n_memories > 0)
        return fs_memory_reader(&out->memories[0]);
    for (size_t i = 0; i < out->n_collections; i++) {
        const struct fs_collection *c = &out->collections[i];
        if (c->style == FS_COLLECTION_ITEMS || c->style == FS_COLLECTION_INDEX) {
            *ret_collection = c;
            return c->method;
        }
    }
    return NULL;
}

static enum fs_anyone ask_memory(const struct discovery_search *search,
                                 const struct fs_target *target)
{
    struct ic_error err = {0};
    int result = discovery_read_nothing(search, target, &search->out->memories[0], 0, &err);
    if (result == 0 || result == -ESTALE)
        return FS_ANYONE_CAN_READ;
    return discovery_is_own_answer(&err) ? FS_ANYONE_CANNOT : FS_ANYONE_UNKNOWN;
}

/* A canister that answers anybody gives its data to the whole world. */
static void find_out_about_anyone(struct discovery_search *search)
{
    struct fs_discovery *out = search->out;
    const struct fs_target *target = search->target;
    const struct fs_collection *collection;
    const char *method = sample(out, &collection);
    bool is_anonymous = ic_identity_is_anonymous(target->identity);
    struct fs_target anonymous;
    struct ic_error err = {0};
    if (!method)
        return;
    if (is_anonymous && !collection) {
        out->anyone = FS_ANYONE_CAN_READ; /* as it did, to find out */
    } else if (is_anonymous) {
        out->anyone = discovery_ask_collection(search, target, collection);
    } else if (fs_target_open_anonymous(&anonymous, target, &err) == 0) {
        out->anyone = collection ? discovery_ask_collection(search, &anonymous, collection)
                                 : ask_memory(search, &anonymous);
        fs_target_close(&anonymous);
    }
    if (out->anyone == FS_ANYONE_CAN_READ)
        fs_log_print(target->log, FS_LOG_WARNING,
                     "anyone can download this %s: canister %s answers %s to anonymous callers",
                     collection ? "collection" : "memory", target->canister_text, method);
}

/* --- the whole --- */

static int find_all(struct discovery_search *search, const struct named *named)
{
    const struct fs_map *map = named->is_there ? &named->map : NULL;
    int found = map && map->has_memory ? discovery_try_memory(search, map, named->profile, true)
                                       : discovery_try_memory_names(search);
    search->has_memory = found > 0;
    if (found >= 0)
        found = discovery_find_lease(search);
    return found < 0 ? found : discovery_find_collections(search, map, named->profile != NULL);
}

/* Nothing can be learned of the canister now, as `message` says: is there anything to mount it for?
 */
static enum fs_exit try_snapshots(struct discovery_search *search, const char *message)
{
    const struct fs_target *target = search->target;
    struct ic_io io = fs_target_io(target, search->options->timeout_ns);
    struct ic_snapshot_list list = {0};
    if (!fs_snapshots_is_wanted(target) ||
        ic_snapshot_list(target->agent, &target->canister, &io, &list, NULL) < 0)
        return FS_EXIT_NETWORK;
    ic_snapshot_list_fini(&list);
    fs_discovery_fini(search->out);
    *search->out = (struct fs_discovery){0};
    snprintf(search->out->basis, sizeof(search->out->basis), "not learned");
    snprintf(search->out->unreadable, sizeof(search->out->unreadable), "%.299s", message);
    fs_log_print(target->log, FS_LOG_WARNING, "mounted for its snapshots only: %s", message);
    return FS_EXIT_OK;
}

static enum fs_exit run(struct discovery_search *search, struct fs_facts *facts, char *message,
                        size_t message_size)
{
    struct named named = {0};
    struct fs_discovery *out = search->out;
    snprintf(out->basis, sizeof(out->basis), "asking for the known names");
    if (discovery_load_interface(search, facts, message, message_size) < 0 ||
        choose(&named, search->options, message, message_size) < 0)
        return FS_EXIT_CONFIG;
    search->did = out->did;
    if (named.is_there && named.map.has_memory)
        snprintf(out->basis, sizeof(out->basis), "%s", named.words);
    if (find_all(search, &named) < 0) {
        snprintf(message, message_size, "asking canister %s what it offers: %s",
                 search->target->canister_text, search->err.message);
        return search->err.reject_code != 0 ? try_snapshots(search, message) : FS_EXIT_NETWORK;
    }
    if (check_memory(search, message, message_size) != FS_EXIT_OK)
        return try_snapshots(search, message);
    enum fs_exit result = check_named(search, &named, message, message_size);
    if (result == FS_EXIT_OK)
        result = check_version(search, message, message_size);
    if (result == FS_EXIT_OK)
        find_out_about_anyone(search);
    return result;
}

enum fs_exit fs_discovery_run(struct fs_discovery *out, const struct fs_target *target,
                              const struct fs_options *options, struct fs_facts *facts,
                              char *message, size_t message_size)
{
    memset(out, 0, sizeof(*out));
    struct discovery_search search = {.out = out, .target = target, .options = options};
    if (options->profile && strcmp(options->profile, "none") == 0) {
        snprintf(out->basis, sizeof(out->basis), "not looked for: profile none");
        return FS_EXIT_OK;
    }
    enum fs_exit result = run(&search, facts, message, message_size);
    if (result != FS_EXIT_OK)
        fs_discovery_fini(out);
    return result;
}

void fs_discovery_fini(struct fs_discovery *discovery)
{
    free(discovery->memories);
    discovery->memories = NULL;
    discovery->n_memories = 0;
    discovery_forget_interface(discovery);
}
