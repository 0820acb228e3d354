/* Which methods of a canister are collections. See discovery.h.
 *
 * With an interface nothing is asked for: types tell. Without one the methods that are known by
 * name are called for nothing, or for one chunk. A canister that refuses has the method all the
 * same: its directory then says so, for one that is missing looks like one that is gone. */
#include "fs/argument.h"
#include "fs/discovery_impl.h"
#include "fs/profile.h"
#include "fs/query.h"
#include "fs/restore_partner.h"

#include <errno.h>
#include <string.h>

/* The longest reply that is looked into, bytes: values take many times the memory. A longer one is
 * as good as a refusal, the method is there. */
#define LOOK_MAX ((size_t)64 << 10)

/* --- lists --- */

static bool is_listed(const struct fs_discovery *out, const char *method)
{
    for (size_t i = 0; i < out->n_collections; i++)
        if (strcmp(out->collections[i].method, method) == 0)
            return true;
    for (size_t i = 0; i < out->n_not_shown; i++)
        if (strcmp(out->not_shown[i].method, method) == 0)
            return true;
    return false;
}

/* A copy of a name that ends in "..." when there is not room for all of it, and in no half of a
 * character. */
static void copy_name(char out[FS_METHOD_NAME_MAX], struct ic_view name)
{
    static const char dots[] = "...";
    size_t len = name.len;
    if (len >= FS_METHOD_NAME_MAX) {
        len = FS_METHOD_NAME_MAX - sizeof(dots);
        while (len > 0 && (name.bytes[len] & 0xc0) == 0x80)
            len--;
    }
    memcpy(out, name.bytes, len);
    memcpy(out + len, len < name.len ? dots : "", len < name.len ? sizeof(dots) : 1);
}

static void add_not_shown(struct fs_discovery *out, struct ic_view method, const char *reason)
{
    char name[FS_METHOD_NAME_MAX];
    copy_name(name, method);
    if (is_listed(out, name))
        return;
    if (out->n_not_shown == FS_NOT_SHOWN_MAX) {
        out->n_not_listed++;
        return;
    }
    struct fs_not_shown *entry = &out->not_shown[out->n_not_shown++];
    memcpy(entry->method, name, sizeof(name));
    snprintf(entry->reason, sizeof(entry->reason), "%s", reason);
}

static void add(struct fs_discovery *out, const struct fs_collection *found)
{
    char reason[FS_REASON_MAX];
    if (out->n_collections < FS_COLLECTIONS_MAX) {
        out->collections[out->n_collections++] = *found;
        return;
    }
    snprintf(reason, sizeof(reason), "there are more than %d collections", FS_COLLECTIONS_MAX);
    add_not_shown(out, ic_view(found->method, strlen(found->method)), reason);
}

/* --- names --- */

/* Of two collections with one name, does i keep it? The user's word counts most, then items. */
static bool keeps_name(const struct discovery_search *search, size_t i, size_t j)
{
    const struct fs_collection *all = search->out->collections;
    if ((i < search->n_named) != (j < search->n_named))
        return i < search->n_named;
    if ((all[i].style == FS_COLLECTION_ITEMS) != (all[j].style == FS_COLLECTION_ITEMS))
        return all[i].style == FS_COLLECTION_ITEMS;
    return i < j;
}

static bool loses_name(const struct discovery_search *search, size_t i)
{
    const struct fs_discovery *out = search->out;
    for (size_t j = 0; j < out->n_collections; j++)
        if (j != i && strcmp(out->collections[i].name, out->collections[j].name) == 0 &&
            keeps_name(search, j, i))
            return true;
    return false;
}

static void drop(struct fs_discovery *out, size_t i, const char *reason)
{
    const struct fs_collection dropped = out->collections[i];
    out->n_collections--;
    memmove(&out->collections[i], &out->collections[i + 1],
            (out->n_collections - i) * sizeof(out->collections[0]));
    add_not_shown(out, ic_view(dropped.method, strlen(dropped.method)), reason);
}

/* Names become unique: one that is taken gives way to the method's whole name. */
static void make_names_unique(const struct discovery_search *search)
{
    struct fs_discovery *out = search->out;
    bool loses[FS_COLLECTIONS_MAX];
    for (size_t i = 0; i < out->n_collections; i++)
        loses[i] = loses_name(search, i);
    for (size_t i = 0; i < out->n_collections; i++)
        if (loses[i])
            memcpy(out->collections[i].name, out->collections[i].method, FS_METHOD_NAME_MAX);
    for (size_t i = out->n_collections; i-- > search->n_named;)
        if (loses_name(search, i))
            drop(out, i, "other collections have its names");
}

/* --- by the interface --- */

/* What the memory is read or prepared with. */
static bool is_of_memory(struct fs_discovery *out, const struct ic_type_method *method)
{
    char name[FS_METHOD_NAME_MAX];
    copy_name(name, method->name);
    const struct fs_finding *finding = discovery_find(out, name);
    return (finding && finding->offered) || strcmp(out->prepare, name) == 0;
}

static void read_interface(struct fs_discovery *out, const struct ic_did *did)
{
    static const char version[] = "backup_version";
    const struct ic_type_method *found = ic_did_find_method(did, version);
    if (!out->backup_version[0] && found && fs_collection_tells_version(found->type))
        memcpy(out->backup_version, version, sizeof(version));
    for (size_t i = 0; i < did->service->as.service.n; i++) {
        const struct ic_type_method *method = &did->service->as.service.methods[i];
        struct fs_collection collection;
        char reason[FS_REASON_MAX];
        if (ic_view_is_text(method->name, out->backup_version) || is_of_memory(out, method))
            continue;
        enum fs_recognised what =
            fs_collection_recognise(did, method, &collection, reason, sizeof(reason));
        if (what == FS_A_COLLECTION && !is_listed(out, collection.method)) {
            (void)fs_restore_partner_find(&collection, 0, did);
            add(out, &collection);
        } else if (what == FS_NOT_SHOWN)
            add_not_shown(out, method->name, reason);
    }
}

/* --- by asking --- */

/* A call and the values that came back; there may be none although the method is offered. */
struct asked {
    struct ic_reply reply;
    struct ic_candid *values; /* NULL: it refused, or gave much */
};

static void asked_fini(struct asked *asked)
{
    ic_candid_free(asked->values);
    ic_reply_fini(&asked->reply);
}

/* Call for little. Returns 0, or -errno with err. */
static int call(const struct discovery_search *search, const struct fs_target *target,
                const char *method, const struct fs_arguments *args, struct ic_reply *out,
                struct ic_error *err)
{
    struct ic_io io = fs_target_io(target, search->options->timeout_ns);
    return fs_query_raw(target, method, args->values, args->n, &io, out, err);
}

static bool is_too_much(const struct ic_error *err)
{
    return err->code == IC_E_TOO_LARGE || ic_error_is_limit(err);
}

/* Returns 1 when the method is offered, 0 with a reason when it is not, -errno with search->err. On
 * 1 out needs asked_fini. */
static int ask(struct discovery_search *search, const char *method, const struct fs_arguments *args,
               struct asked *out, char reason[FS_REASON_MAX])
{
    struct ic_error err = {0};
    *out = (struct asked){0};
    int result = call(search, search->target, method, args, &out->reply, &err);
    if (result == 0 && out->reply.len > LOOK_MAX)
        return 1;
    if (result == 0) {
        result = ic_candid_decode(out->reply.arg, out->reply.len, NULL, &out->values, &err);
        if (result == 0 && ic_candid_count(out->values) > 0)
            return 1;
        asked_fini(out);
        if (result == -ENOMEM)
            search->err = err;
        snprintf(reason, FS_REASON_MAX,
                 result < 0 ? "its reply is not Candid" : "it gives nothing");
        return result == -ENOMEM ? result : 0;
    }
    if (discovery_is_absent(&err)) {
        snprintf(reason, FS_REASON_MAX, "no such method");
        return 0;
    }
    if (is_too_much(&err) || discovery_is_own_answer(&err))
        return 1;
    search->err = err;
    return result;
}

static const struct ic_type *asked_type(const struct asked *asked, size_t i)
{
    return i < ic_candid_count(asked->values) ? ic_candid_arg(asked->values, i)->type : NULL;
}

static int wrong_type(char reason[FS_REASON_MAX], const char *method)
{
    snprintf(reason, FS_REASON_MAX, "%s does not reply as expected", method);
    return 0;
}

/* The arguments that ask for as little as can be. */
static bool least_arguments(const struct fs_collection *c, struct fs_arguments *out)
{
    bool is_index = c->style == FS_COLLECTION_INDEX;
    *out = (struct fs_arguments){0};
    if (c->style == FS_COLLECTION_WHOLE)
        return true;
    uint64_t first = c->style == FS_COLLECTION_LAST ? c->id : is_index; /* no chunks of nothing */
    return fs_arguments_add(out, c->numbers[0], first) && fs_arguments_add(out, c->numbers[1], 0);
}

static int ask_count(struct discovery_search *search, const struct fs_collection *c,
                     char reason[FS_REASON_MAX])
{
    struct fs_arguments args = {0};
    struct asked asked;
    uint64_t count;
    if (c->style == FS_COLLECTION_INDEX && !fs_arguments_add(&args, c->count_number, 1))
        return 0; /* not reached: 1 fits every kind */
    char why[FS_REASON_MAX];
    int result = ask(search, c->count, &args, &asked, why);
    if (result <= 0) {
        snprintf(reason, FS_REASON_MAX, "%.100s: %.90s", c->count, why);
        return result;
    }
    if (asked.values && ic_value_nat64(ic_candid_arg(asked.values, 0), &count) < 0)
        result = wrong_type(reason, c->count);
    asked_fini(&asked);
    return result;
}

/* What is null has a type that says nothing. */
static bool is_nothing(const struct ic_type *type)
{
    for (int i = 0; i < 8 && type->kind == IC_TYPE_OPT; i++)
        type = type->as.elem;
    return type->kind == IC_TYPE_NULL || type->kind == IC_TYPE_RESERVED ||
           type->kind == IC_TYPE_EMPTY;
}

/* Does a reply fit the description? What it leaves open is learned. */
static bool learn(struct fs_collection *c, unsigned given, const struct asked *asked,
                  char reason[FS_REASON_MAX])
{
    const struct ic_type *first = asked_type(asked, 0), *second = asked_type(asked, 1);
    if (c->style == FS_COLLECTION_LAST) {
        struct ic_view bytes;
        bool is_last;
        return (ic_value_blob(ic_candid_arg(asked->values, 0), &bytes) == 0 &&
                ic_value_bool(ic_candid_arg(asked->values, 1), &is_last) == 0) ||
               wrong_type(reason, c->method);
    }
    if (c->style != FS_COLLECTION_ITEMS || (!second && is_nothing(first)))
        return true;
    return second ? wrong_type(reason, c->method)
                  : fs_collection_learn(c, given, first, reason, FS_REASON_MAX);
}

/* Is the collection that a map or profile describes there? Returns as ask. */
static int ask_for(struct discovery_search *search, struct fs_collection *c, unsigned given,
                   char reason[FS_REASON_MAX])
{
    struct fs_arguments args;
    struct asked asked;
    int result = c->count[0] ? ask_count(search, c, reason) : 1;
    if (result <= 0)
        return result;
    if (!least_arguments(c, &args)) {
        snprintf(reason, FS_REASON_MAX, "its id does not fit its number");
        return 0;
    }
    result = ask(search, c->method, &args, &asked, reason);
    if (result <= 0)
        return result;
    if (asked.values && !learn(c, given, &asked, reason))
        result = 0;
    asked_fini(&asked);
    return result;
}

enum fs_anyone discovery_ask_collection(const struct discovery_search *search,
                                        const struct fs_target *target,
                                        const struct fs_collection *collection)
{
    struct fs_arguments args;
    struct ic_reply reply = {0};
    struct ic_candid *values = NULL;
    struct ic_error err = {0};
    if (!least_arguments(collection, &args))
        return FS_ANYONE_UNKNOWN;
    if (call(search, target, collection->method, &args, &reply, &err) < 0)
        return is_too_much(&err)               ? FS_ANYONE_CAN_READ
               : discovery_is_own_answer(&err) ? FS_ANYONE_CANNOT
                                               : FS_ANYONE_UNKNOWN;
    enum fs_anyone anyone = reply.len > LOOK_MAX ? FS_ANYONE_CAN_READ : FS_ANYONE_UNKNOWN;
    if (reply.len <= LOOK_MAX && ic_candid_decode(reply.arg, reply.len, NULL, &values, &err) == 0) {
        const struct ic_value *value = ic_candid_arg(values, 0);
        while (value && value->type->kind == IC_TYPE_OPT)
            value = value->as.opt;
        anyone = value ? FS_ANYONE_CAN_READ : FS_ANYONE_CANNOT;
        ic_candid_free(values);
    }
    ic_reply_fini(&reply);
    return anyone;
}

/* --- by a map or profile --- */

static void misfit(struct discovery_search *search, const char *method, const char *reason)
{
    if (!search->misfit[0])
        snprintf(search->misfit, sizeof(search->misfit), "%s: %s", method, reason);
}

/* Returns 1 when it is there, 0 with a reason, or -errno with search->err. What a map says of
 * restores must be there, too. */
static int take(struct discovery_search *search, const struct fs_map_collection *described,
                bool is_profile, char reason[FS_REASON_MAX])
{
    struct fs_collection found = described->collection;
    int result =
        fs_collection_complete(&found, described->given, search->did, reason, FS_REASON_MAX);
    if (result > 0 && !search->did)
        result = ask_for(search, &found, described->given, reason);
    if (result > 0 && !fs_restore_partner_find(&found, described->given, search->did) &&
        !is_profile) {
        memcpy(reason, found.restore.reason, FS_REASON_MAX);
        result = 0;
    }
    if (result > 0)
        add(search->out, &found);
    return result;
}

/* Those of a map: all must be there. Those of a profile: each may be missing; what would be given
 * whole is asked for only when there is something else. */
static int take_all(struct discovery_search *search, const struct fs_map *map, bool is_profile)
{
    size_t before = search->out->n_collections;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < map->n_collections; i++) {
            const struct fs_map_collection *c = &map->collections[i];
            bool is_late = is_profile && !search->did && c->collection.style == FS_COLLECTION_WHOLE;
            char reason[FS_REASON_MAX];
            if (is_late != (pass == 1) || (is_late && search->out->n_collections == before))
                continue;
            int result = take(search, c, is_profile, reason);
            if (result < 0)
                return result;
            if (result > 0)
                continue;
            misfit(search, c->collection.method, reason);
            if (!search->did)
                add_not_shown(search->out,
                              ic_view(c->collection.method, strlen(c->collection.method)), reason);
        }
    }
    return 0;
}

/* A method with the type that this value speaks for. */
static bool is_version(const struct ic_value *value)
{
    const struct ic_type *const results[] = {value->type};
    const struct ic_type func = {
        .kind = IC_TYPE_FUNC,
        .as.func = {.results = results, .n_results = 1, .mode = IC_FUNC_QUERY},
    };
    return fs_collection_tells_version(&func);
}

static int ask_version(struct discovery_search *search, const char *method,
                       char reason[FS_REASON_MAX])
{
    const struct fs_arguments none = {0};
    struct asked asked;
    int result = ask(search, method, &none, &asked, reason);
    if (result <= 0)
        return result;
    if (!asked.values || !is_version(ic_candid_arg(asked.values, 0)))
        result = wrong_type(reason, method); /* a refusal, too: nothing could be read */
    asked_fini(&asked);
    return result;
}

static int take_version(struct discovery_search *search, const char *method)
{
    char reason[FS_REASON_MAX] = "it is no query () -> (record {version; mtime_ns})";
    const struct ic_type_method *found =
        search->did ? ic_did_find_method(search->did, method) : NULL;
    int result = search->did ? found && fs_collection_tells_version(found->type)
                             : ask_version(search, method, reason);
    if (search->did && !found)
        snprintf(reason, sizeof(reason), "not in the Candid interface");
    if (result == 0)
        misfit(search, method, reason);
    if (result > 0)
        snprintf(search->out->backup_version, sizeof(search->out->backup_version), "%s", method);
    return result < 0 ? result : 0;
}

static int take_known_names(struct discovery_search *search)
{
    int result = 0;
    bool was_fit = !search->misfit[0];
    for (const struct fs_profile *profile = fs_profiles; result == 0 && profile->name; profile++) {
        struct fs_map map;
        if (!profile->is_asked)
            continue;
        fs_profile_map(profile, &map);
        result = take_all(search, &map, true);
    }
    if (was_fit) /* nobody named them */
        search->misfit[0] = '\0';
    return result;
}

int discovery_find_collections(struct discovery_search *search, const struct fs_map *named,
                               bool is_profile)
{
    int result = named ? take_all(search, named, is_profile) : 0;
    if (result == 0 && named && named->backup_version[0])
        result = take_version(search, named->backup_version);
    search->n_named = search->out->n_collections;
    if (result == 0 && search->did)
        read_interface(search->out, search->did);
    else if (result == 0 && (!named || (!is_profile && named->n_collections == 0)))
        result = take_known_names(search);
    make_names_unique(search);
    return result;
}
