/* Any description: the collections that are found in it have names for directories, each another,
 * and fields that their types have. */
#include "fs/discovery_impl.h"
#include "tests/fuzz/target.h"

#include <string.h>

static bool ends_in_time(const char name[FS_METHOD_NAME_MAX])
{
    return memchr(name, '\0', FS_METHOD_NAME_MAX) != NULL;
}

static const struct ic_type *find_field(const struct ic_type *record, uint32_t id)
{
    for (size_t i = 0; i < record->as.fields.n; i++)
        if (record->as.fields.fields[i].id == id)
            return record->as.fields.fields[i].type;
    return NULL;
}

static void claim_items(const struct fs_collection *c)
{
    CLAIM(c->n_results == 1);
    const struct ic_type *type = c->results[0];
    while (type->kind == IC_TYPE_OPT)
        type = type->as.elem;
    CLAIM(type->kind == (c->is_record ? IC_TYPE_RECORD : IC_TYPE_VEC));
    if (!c->is_record)
        return;
    const struct ic_type *items = find_field(type, c->items);
    CLAIM(items && items->kind == IC_TYPE_VEC);
    CLAIM(c->is_bytes == (items->as.elem->kind == IC_TYPE_NAT8));
    CLAIM(c->end != FS_END_TOTAL || (find_field(type, c->total) && c->total != c->items));
}

/* What restores it is an update that there is, or there are words why nothing does. */
static void claim_restore(const struct fs_collection *c, const struct ic_did *did)
{
    const struct fs_restore_partner *restore = &c->restore;
    CLAIM(ends_in_time(restore->method) && memchr(restore->reason, '\0', FS_REASON_MAX));
    CLAIM((restore->method[0] == '\0') == (restore->reason[0] != '\0'));
    if (!restore->method[0])
        return;
    const struct ic_type_method *method = ic_did_find_method(did, restore->method);
    CLAIM(method && method->type->as.func.mode == IC_FUNC_UPDATE);
    CLAIM(method->type->as.func.n_args == 1 && method->type->as.func.args[0] == restore->arg);
    CLAIM(c->n_results == 1 && restore->n_fields <= FS_RESTORE_FIELDS_MAX);
    CLAIM(!restore->can_split || c->style == FS_COLLECTION_ITEMS);
    for (size_t i = 1; i < restore->n_fields; i++)
        CLAIM(restore->fields[i - 1].id < restore->fields[i].id);
}

static void claim(const struct fs_discovery *found, size_t i, const struct ic_did *did)
{
    const struct fs_collection *c = &found->collections[i];
    CLAIM(ends_in_time(c->name) && ends_in_time(c->method) && ends_in_time(c->count));
    CLAIM(fs_collection_name_is_valid(c->name, strlen(c->name)));
    const struct ic_type_method *method = ic_did_find_method(did, c->method);
    CLAIM(method && method->type->as.func.results == c->results && c->n_results > 0);
    CLAIM(method->type->as.func.n_args == (c->style == FS_COLLECTION_WHOLE ? 0 : 2));
    CLAIM((c->end == FS_END_COUNT) == (c->count[0] != '\0'));
    for (size_t k = 0; k < i; k++)
        CLAIM(strcmp(found->collections[k].name, c->name) != 0);
    if (c->style == FS_COLLECTION_ITEMS)
        claim_items(c);
    claim_restore(c, did);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fs_discovery found;
    struct ic_did *did = NULL;
    memset(&found, 0, sizeof(found));
    if (ic_did_parse((const char *)data, size, NULL, &did, NULL) < 0)
        return 0;
    struct discovery_search search = {.out = &found, .did = did};
    if (did->service) {
        CLAIM(discovery_find_collections(&search, NULL, false) == 0);
        CLAIM(found.n_collections <= FS_COLLECTIONS_MAX && found.n_not_shown <= FS_NOT_SHOWN_MAX);
        for (size_t i = 0; i < found.n_collections; i++)
            claim(&found, i, did);
        for (size_t i = 0; i < found.n_not_shown; i++)
            CLAIM(ends_in_time(found.not_shown[i].method) && found.not_shown[i].reason[0]);
    }
    ic_did_free(did);
    return 0;
}
