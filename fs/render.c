#include "fs/render.h"

#include "ic/candid_json.h"
#include "ic/candid_print.h"

#include <errno.h>

#define FLAGS (IC_JSON_LINES | IC_JSON_TUPLES)

#define MEMORY_MAX ((size_t)256 << 20)

const char *fs_render_suffix(enum fs_form form, const struct fs_collection *collection)
{
    if (form == FS_FORM_JSON)
        return ".json";
    if (form == FS_FORM_TEXT)
        return ".txt";
    return collection->is_bytes || collection->style == FS_COLLECTION_LAST ? ".bin" : ".candid";
}

/* One value for one result: who asks for .chunk[] need not know that it came as an opt. */
static int render_json(const struct ic_candid *msg, const struct ic_candid_naming *naming,
                       size_t max, struct ic_buf *out, struct ic_error *err)
{
    const struct ic_value *value = ic_candid_arg(msg, 0);
    const struct ic_type *declared = naming->n > 0 ? naming->types[0] : NULL;
    if (ic_candid_count(msg) != 1)
        return ic_candid_json(value, ic_candid_count(msg), naming, FLAGS, max, out, err);
    while (value->type->kind == IC_TYPE_OPT && value->as.opt) {
        value = value->as.opt;
        declared = declared && declared->kind == IC_TYPE_OPT ? declared->as.elem : NULL;
    }
    static const struct ic_value null = {.type = &ic_type_null};
    if (value->type->kind == IC_TYPE_OPT)
        value = &null;
    return ic_candid_json_value(value, declared, naming->all, FLAGS, max, out, err);
}

int fs_render(enum fs_form form, const struct fs_collection *collection,
              const struct ic_candid_names *names, const uint8_t *bytes, size_t len, size_t max,
              struct ic_buf *out, struct ic_error *err)
{
    const struct ic_candid_limits limits = {.max_memory = MEMORY_MAX};
    const struct ic_candid_naming naming = {
        .types = collection->results, .n = collection->n_results, .all = names};
    struct ic_candid *msg = NULL;
    int result = ic_candid_decode(bytes, len, &limits, &msg, err);
    if (result < 0)
        return result;
    if (form == FS_FORM_JSON)
        result = render_json(msg, &naming, max, out, err);
    else
        result = ic_candid_print(ic_candid_arg(msg, 0), ic_candid_count(msg), &naming,
                                 IC_PRINT_LINES, max, out, err);
    ic_candid_free(msg);
    ic_buf_append(out, "\n", 1);
    return result;
}
