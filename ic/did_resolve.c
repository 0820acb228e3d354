/* Names of definitions: a symbol each, made when the name is first met. Its type is filled when the
 * definition is read, or, when that only says another name (`type A = B`), at the end.
 *
 * Then all uses are checked. As in didc, a file may use what it defines and what the files define
 * that it imports, directly or not, but not what its importers do.
 */
#include "ic/did_impl.h"

#include <search.h>
#include <string.h>

/* ---- while reading ---- */

static int compare_names(const void *a, const void *b)
{
    return ic_view_compare(*(const struct ic_view *)a, *(const struct ic_view *)b);
}

static int intern(struct did_reader *r, struct ic_view name, struct did_symbol **out)
{
    struct did_symbol *symbol;
    void **found = tfind(&name, &r->symbols, compare_names), *memory;
    int ret;

    if (found) {
        *out = *found;
        return 0;
    }
    ret = did_alloc(r, 1, sizeof(*symbol), &memory);
    if (ret < 0)
        return ret;
    symbol = memory;
    memset(symbol, 0, sizeof(*symbol));
    symbol->name = name;
    symbol->names.self.name = name;
    symbol->node.type.kind = IC_TYPE_FUTURE; /* unless it will be defined */
    symbol->node.type.as.future.body = name;
    symbol->node.type.names = &symbol->names;
    if (!tsearch(symbol, &r->symbols, compare_names))
        return did_fail_memory(r->err, -ENOMEM);
    *out = symbol;
    return 0;
}

/* Fail because of what a name means. */
static int name_refused(struct did_reader *r, const struct did_file *file, size_t pos,
                        const struct did_symbol *symbol, const char *what)
{
    return did_fail(r->err, &file->source, pos, "'%.*s' %s",
                    (int)(symbol->name.len > 64 ? 64 : symbol->name.len),
                    (const char *)symbol->name.bytes, what);
}

int did_define(struct did_reader *r, const struct did_file *file, const struct did_token *token,
               struct did_symbol **out)
{
    struct did_symbol *symbol = NULL;
    int ret = intern(r, token->text, &symbol);
    if (ret < 0)
        return ret;
    if (symbol->file)
        return name_refused(r, file, token->pos, symbol, "is already defined");
    ret = did_count_type(r, &file->source, token->pos);
    if (ret < 0)
        return ret;
    symbol->file = file;
    symbol->pos = token->pos;
    *r->last_defined = symbol;
    r->last_defined = &symbol->next;
    r->n_defined++;
    *out = symbol;
    return 0;
}

int did_use(struct did_reader *r, const struct did_file *file, const struct did_token *token,
            enum ic_type_kind expects, struct did_symbol **out)
{
    struct did_use *use;
    void *memory;
    int ret = intern(r, token->text, out);
    if (ret < 0)
        return ret;
    ret = did_alloc(r, 1, sizeof(*use), &memory);
    if (ret < 0)
        return ret;
    use = memory;
    *use = (struct did_use){*out, file, token->pos, expects, NULL};
    *r->last_use = use;
    r->last_use = &use->next;
    return 0;
}

/* ---- at the end: what names mean ---- */

/* A name may be missing when imports were not followed, but not where the kind of type matters. */
static int check_bound(struct did_reader *r)
{
    for (const struct did_use *use = r->uses; use; use = use->next) {
        const struct did_file *defined = use->symbol->file;
        if (defined ? defined->order <= use->file->order
                    : r->n_imports > 0 && use->expects == IC_TYPE_RESERVED)
            continue;
        return name_refused(r, use->file, use->pos, use->symbol, "is not defined");
    }
    return 0;
}

static int check_kinds(struct did_reader *r)
{
    for (const struct did_use *use = r->uses; use; use = use->next)
        if (use->expects != IC_TYPE_RESERVED && use->symbol->node.type.kind != use->expects)
            return name_refused(r, use->file, use->pos, use->symbol,
                                use->expects == IC_TYPE_FUNC ? "is not a func"
                                                             : "is not a service");
    return 0;
}

/* Give every name on the way from this one the type at the end of the way. */
static int resolve_alias(struct did_reader *r, struct did_symbol *symbol)
{
    struct did_symbol *end = symbol;

    while (end->alias && end->state == DID_STATE_NEW) {
        end->state = DID_STATE_OPEN;
        end = end->alias;
    }
    if (end->state == DID_STATE_OPEN)
        return name_refused(r, end->file, end->pos, end, "is defined as itself");
    for (struct did_symbol *s = symbol; s != end; s = s->alias) {
        s->names.labels = end->names.labels;
        s->names.alias = s->alias->name;
        s->node.type = end->node.type;
        s->node.type.names = &s->names;
        s->node.next = r->nodes;
        r->nodes = &s->node;
        s->state = DID_STATE_DONE;
    }
    return 0;
}

/* Records whose fields are all of no width, from the inside out. A record in itself has no values,
 * and what nests deeper than values may is not worth knowing: both count as having width. */
void did_mark_zero_width(struct did_reader *r)
{
    bool changed = true;
    for (unsigned pass = 0; changed && pass < IC_DID_MAX_DEPTH; pass++) {
        changed = false;
        for (struct did_node *node = r->nodes; node; node = node->next) {
            struct ic_type *type = &node->type;
            size_t i = 0;
            if (type->kind != IC_TYPE_RECORD || type->is_zero_width)
                continue;
            while (i < type->as.fields.n && type->as.fields.fields[i].type->is_zero_width)
                i++;
            if (i == type->as.fields.n)
                type->is_zero_width = changed = true;
        }
    }
}

/* ---- at the end: the main service ---- */

static int push_methods(struct did_reader *r, const struct ic_type *service, size_t pos)
{
    const struct ic_type_label *labels = service->names ? service->names->labels : NULL;
    int ret = 0;
    for (size_t i = 0; ret == 0 && i < service->as.service.n; i++) {
        struct did_item item = {.type = service->as.service.methods[i].type, .pos = pos};
        item.label.name = service->as.service.methods[i].name;
        if (labels)
            item.label.doc = labels[i].doc;
        ret = did_push(r, item);
    }
    return ret;
}

/* The methods of a file that was imported as a service. */
static int push_imported(struct did_reader *r, const struct did_file *file)
{
    if (!file->service)
        return did_fail(r->err, &file->importer->source, file->import_pos,
                        "the imported file has no service");
    if (file->init)
        return did_fail(r->err, &file->importer->source, file->import_pos,
                        "the imported service is a constructor");
    return push_methods(r, file->service, file->main_pos);
}

static int merge_services(struct did_reader *r, struct did_file *main, struct ic_did *did)
{
    size_t n_services = main->service != NULL;
    struct did_node *node = NULL;
    int ret = 0;

    did->service = main->service;
    did->init = main->init;
    did->doc = main->doc;
    if (main->service)
        ret = push_methods(r, main->service, main->service_pos);
    for (struct did_file *file = r->files; ret == 0 && file; file = file->next)
        if (file->is_service) {
            ret = push_imported(r, file);
            n_services++;
        }
    if (ret < 0 || n_services == (main->service != NULL))
        return ret;
    ret = did_new_node(r, &main->source, main->service_pos, &node);
    if (ret < 0)
        return ret;
    node->type.kind = IC_TYPE_SERVICE;
    did->service = &node->type;
    return did_finish_service(r, &main->source, 0, &node->type);
}

/* ---- at the end: all together ---- */

static int list_definitions(struct did_reader *r, struct ic_did *did)
{
    const struct ic_type **types;
    void *memory;
    size_t n = 0;
    int ret = did_alloc(r, r->n_defined, sizeof(const struct ic_type *), &memory);
    if (ret < 0)
        return ret;
    types = memory;
    for (const struct did_symbol *s = r->defined; s; s = s->next)
        types[n++] = &s->node.type;
    did->types = types;
    did->n_types = n;
    return 0;
}

static int list_imports(struct did_reader *r, struct ic_did *did)
{
    struct ic_did_import *imports;
    void *memory;
    size_t n = 0;
    int ret = did_alloc(r, r->n_imports, sizeof(*imports), &memory);
    if (ret < 0)
        return ret;
    imports = memory;
    for (const struct did_listed_import *i = r->imports; i; i = i->next)
        imports[n++] = i->import;
    did->imports = imports;
    did->n_imports = n;
    return 0;
}

int did_resolve(struct did_reader *r, struct did_file *main, struct ic_did *did)
{
    int ret = check_bound(r);
    for (struct did_symbol *s = r->defined; ret == 0 && s; s = s->next)
        ret = resolve_alias(r, s);
    if (ret == 0)
        ret = check_kinds(r);
    if (ret == 0)
        ret = merge_services(r, main, did);
    if (ret == 0)
        ret = list_definitions(r, did);
    if (ret == 0)
        ret = list_imports(r, did);
    if (ret == 0)
        did_mark_zero_width(r);
    return ret;
}
