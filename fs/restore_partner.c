#include "fs/restore_partner.h"

#include "ic/candid_relation.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As many as fs/collection_items.c looks through; a type may hold itself. */
#define OPTS_MAX 32

/* For the type of an argument under construction. */
#define ARENA_MAX ((size_t)64 << 10)

/* A method that is looked at. */
struct search {
    const struct fs_collection *c;
    unsigned given;
    const struct ic_did *did;
    const struct ic_type *content;   /* of a reply, in its opts */
    struct fs_restore_partner found; /* the first that fits; its reason: why one did not */
};

static __attribute__((format(printf, 2, 3))) bool fail(struct search *search, const char *format,
                                                       ...)
{
    va_list args;
    if (search->found.reason[0]) /* the first one's counts */
        return false;
    va_start(args, format);
    vsnprintf(search->found.reason, sizeof(search->found.reason), format, args);
    va_end(args);
    return false;
}

/* --- types --- */

/* What is in the opts, and how many they are; NULL when there is no end to them. */
static const struct ic_type *unwrap(const struct ic_type *type, unsigned *n_opts)
{
    for (*n_opts = 0; *n_opts < OPTS_MAX; ++*n_opts) {
        if (type->kind != IC_TYPE_OPT)
            return type;
        type = type->as.elem;
    }
    return NULL;
}

static const struct ic_type *find_field(const struct ic_type *record, uint32_t id)
{
    for (size_t i = 0; record->kind == IC_TYPE_RECORD && i < record->as.fields.n; i++)
        if (record->as.fields.fields[i].id == id)
            return record->as.fields.fields[i].type;
    return NULL;
}

static bool is_lossless(const struct ic_type *a, const struct ic_type *b)
{
    bool holds = false;
    return ic_type_relates(a, b, IC_TYPE_LOSSLESS, &holds, NULL) == 0 && holds;
}

/* Does the method take what is made of the content, without loss? */
static bool takes(const struct search *search, const struct fs_restore_partner *partner)
{
    const struct ic_piece_form form = fs_restore_partner_form(partner);
    const struct ic_type *type;
    struct ic_arena arena;
    ic_arena_init(&arena, ARENA_MAX);
    bool result = ic_piece_type(&form, search->content, &arena, &type, NULL) == 0 &&
                  is_lossless(type, partner->arg);
    ic_arena_fini(&arena);
    return result;
}

struct ic_piece_form fs_restore_partner_form(const struct fs_restore_partner *partner)
{
    return (struct ic_piece_form){
        .has_items = partner->can_split,
        .n_opts = partner->n_opts,
        .fields = partner->fields,
        .n_fields = partner->n_fields,
        .is_part = partner->is_part,
        .part = partner->part,
    };
}

size_t fs_collection_latest(const struct fs_collection *c, uint32_t out[FS_LATEST_MAX + 1])
{
    size_t n = 0;
    for (; n < c->n_latest; n++)
        out[n] = c->latest[n];
    if (c->end == FS_END_TOTAL)
        out[n++] = c->total;
    return n;
}

/* --- the argument --- */

/* May a field of the reply be left out? Of bytes nothing else is in the file. */
static bool is_droppable(const struct fs_collection *c, uint32_t id)
{
    uint32_t latest[FS_LATEST_MAX + 1];
    size_t n = fs_collection_latest(c, latest);
    for (size_t i = 0; i < n; i++)
        if (latest[i] == id)
            return true;
    return c->is_bytes && id != c->items;
}

/* The fields that the argument, a record, has of the reply. */
static bool take_same_fields(const struct search *search, const struct ic_type *record,
                             struct fs_restore_partner *partner)
{
    const struct ic_type *content = search->content;
    for (size_t i = 0; i < content->as.fields.n; i++) {
        uint32_t id = content->as.fields.fields[i].id;
        const struct ic_type *type = find_field(record, id);
        bool is_known = !search->c->is_bytes || id == search->c->items;
        if (type && is_known) {
            if (partner->n_fields == FS_RESTORE_FIELDS_MAX)
                return false;
            struct ic_piece_field *field = &partner->fields[partner->n_fields++];
            *field = (struct ic_piece_field){.id = id, .part = id};
            (void)unwrap(type, &field->n_opts);
        } else if (!is_droppable(search->c, id)) {
            return false;
        }
    }
    return partner->n_fields > 0;
}

static bool take_items_alone(const struct search *search, struct fs_restore_partner *partner)
{
    const struct ic_type *content = search->content;
    for (size_t i = 0; i < content->as.fields.n; i++) {
        uint32_t id = content->as.fields.fields[i].id;
        if (id != search->c->items && !is_droppable(search->c, id))
            return false;
    }
    partner->is_part = true;
    partner->part = search->c->items;
    return true;
}

/* How is the argument made of the reply, if nobody says it? */
static bool find_form(const struct search *search, const struct ic_type *inner,
                      struct fs_restore_partner *partner)
{
    bool is_record = search->c->style == FS_COLLECTION_ITEMS && search->c->is_record;
    if (!(is_record && search->c->is_bytes) && takes(search, partner))
        return true; /* as it is */
    if (!is_record)
        return false;
    struct fs_restore_partner alone = *partner;
    if (inner->kind == IC_TYPE_RECORD)
        return take_same_fields(search, inner, partner) && takes(search, partner);
    if (!take_items_alone(search, &alone) || !takes(search, &alone))
        return false;
    *partner = alone;
    return true;
}

static int by_id(const void *x, const void *y)
{
    const struct ic_piece_field *a = x, *b = y;
    return a->id < b->id ? -1 : a->id > b->id;
}

/* What a map says goes into a field: a part of the reply, or, if it names none, the items or all.
 */
static bool resolve(struct search *search, const char *method, const struct ic_type *record,
                    struct ic_piece_field *field)
{
    const struct ic_type *type = find_field(record, field->id);
    if (!type)
        return fail(search, "%s: its argument has no field that 'wrap' names", method);
    (void)unwrap(type, &field->n_opts);
    if (field->is_all && search->c->is_record && !is_lossless(search->content, type)) {
        field->is_all = false;
        field->part = search->c->items;
    }
    const struct ic_type *part =
        field->is_all ? search->content : find_field(search->content, field->part);
    if (!part)
        return fail(search, "%s gives no field that 'wrap' names", search->c->method);
    return is_lossless(part, type) ||
           fail(search, "%s takes another type for a field that 'wrap' names", method);
}

static bool resolve_all(struct search *search, const struct ic_type *inner,
                        struct fs_restore_partner *partner)
{
    if (inner->kind != IC_TYPE_RECORD)
        return fail(search, "%s takes no record: there is nothing to wrap", partner->method);
    for (size_t i = 0; i < partner->n_fields; i++)
        if (!resolve(search, partner->method, inner, &partner->fields[i]))
            return false;
    qsort(partner->fields, partner->n_fields, sizeof(partner->fields[0]), by_id);
    return takes(search, partner) ||
           fail(search, "%s needs fields that 'wrap' does not name", partner->method);
}

/* --- the method --- */

static bool check_func(struct search *search, const char *method, const struct ic_type *func)
{
    if (func->as.func.mode == IC_FUNC_ONEWAY)
        return fail(search, "%s is a one-way method: nobody would know what became of a call",
                    method);
    if (func->as.func.mode != IC_FUNC_UPDATE)
        return fail(search, "%s is a query", method);
    return func->as.func.n_args == 1 || fail(search, "%s does not take one argument", method);
}

/* Is it one? Then search->found is it. */
static bool try_method(struct search *search, const char *method)
{
    const struct fs_collection *c = search->c;
    const struct ic_type_method *found = ic_did_find_method(search->did, method);
    struct fs_restore_partner partner = c->restore;
    unsigned n_opts;
    if (!found || strlen(method) >= sizeof(partner.method))
        return false;
    if (!check_func(search, method, found->type))
        return false;
    snprintf(partner.method, sizeof(partner.method), "%s", method);
    partner.arg = found->type->as.func.args[0];
    const struct ic_type *inner = unwrap(partner.arg, &n_opts);
    partner.n_opts = n_opts;
    bool fits = inner && (search->given & FS_GIVEN_WRAP ? resolve_all(search, inner, &partner)
                                                        : find_form(search, inner, &partner));
    if (fits)
        search->found = partner;
    else
        fail(search,
             "%s does not take all that %s gives (a map can name another method, or say what "
             "goes where: wrap = FIELD=PART)",
             method, c->method);
    return fits;
}

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* The name that the methods have in common: of backup_NAME_chunks, else the directory's. */
static void base_name(const struct fs_collection *c, char out[FS_METHOD_NAME_MAX])
{
    static const char *const suffixes[] = {"_chunks", "_chunk"};
    bool is_backup = starts_with(c->method, "backup_");
    snprintf(out, FS_METHOD_NAME_MAX, "%s", is_backup ? c->method + strlen("backup_") : c->name);
    for (size_t i = 0; is_backup && i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        size_t len = strlen(out), n = strlen(suffixes[i]);
        if (len > n && strcmp(out + len - n, suffixes[i]) == 0) {
            out[len - n] = '\0';
            return;
        }
    }
}

static bool try_names(struct search *search)
{
    static const char *const ends[] = {"_chunk", "_chunks", "", "s_chunk", "s_chunks", "s"};
    const char *method = search->c->method;
    char base[FS_METHOD_NAME_MAX], name[FS_METHOD_NAME_MAX + 32];
    if (starts_with(method, "backup")) {
        snprintf(name, sizeof(name), "restore%s", method + strlen("backup"));
        if (try_method(search, name))
            return true;
    }
    if (strcmp(method, "backup") == 0 || strcmp(method, "backupChunk") == 0)
        return false;
    base_name(search->c, base);
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        snprintf(name, sizeof(name), "restore_%s%s", base, ends[i]);
        if (try_method(search, name))
            return true;
    }
    return false;
}

/* --- all of it --- */

/* Those that give items in parts take them so; others only when a map says it. */
static void set_split(struct search *search, struct fs_collection *c)
{
    if (!(search->given & FS_GIVEN_SPLIT))
        c->restore.can_split = c->style == FS_COLLECTION_ITEMS;
    if (c->is_bytes || c->style == FS_COLLECTION_LAST)
        c->restore.can_split = false;
}

static bool find(struct search *search, struct fs_collection *c)
{
    unsigned n_opts;
    if (!search->did)
        return fail(search, "it takes the canister's Candid interface to know what would be "
                            "restored (-o did=FILE)");
    search->content = c->n_results == 1 ? unwrap(c->results[0], &n_opts) : NULL;
    if (!search->content)
        return fail(search, "%s does not give one thing that could be given back", c->method);
    set_split(search, c);
    if (c->restore.can_split && search->content->kind != IC_TYPE_VEC &&
        c->style != FS_COLLECTION_ITEMS)
        return fail(search, "%s gives no list that could be split", c->method);
    if (!(search->given & FS_GIVEN_RESTORE))
        return try_names(search) ||
               fail(search, "the canister has no method restore_%s that takes it back", c->name);
    return try_method(search, c->restore.method) ||
           fail(search, "%s is not in the Candid interface", c->restore.method);
}

bool fs_restore_partner_find(struct fs_collection *c, unsigned given, const struct ic_did *did)
{
    struct search search = {.c = c, .given = given, .did = did};
    if (find(&search, c)) {
        c->restore = search.found;
        c->restore.reason[0] = '\0';
        return true;
    }
    c->restore = (struct fs_restore_partner){0};
    snprintf(c->restore.reason, sizeof(c->restore.reason), "%s", search.found.reason);
    return !(given & FS_GIVEN_RESTORE) || !did;
}
