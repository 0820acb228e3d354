/* Where in an argument list something is: for messages of errors. */
#include "ic/candid_impl.h"

#include <stdio.h>

#define MAX_NAME 64 /* bytes shown of the name of a field */

const char *candid_kind_name(enum ic_type_kind kind)
{
    static const char *const names[] = {
        [IC_TYPE_NULL] = "null",
        [IC_TYPE_BOOL] = "bool",
        [IC_TYPE_NAT] = "nat",
        [IC_TYPE_INT] = "int",
        [IC_TYPE_NAT8] = "nat8",
        [IC_TYPE_NAT16] = "nat16",
        [IC_TYPE_NAT32] = "nat32",
        [IC_TYPE_NAT64] = "nat64",
        [IC_TYPE_INT8] = "int8",
        [IC_TYPE_INT16] = "int16",
        [IC_TYPE_INT32] = "int32",
        [IC_TYPE_INT64] = "int64",
        [IC_TYPE_FLOAT32] = "float32",
        [IC_TYPE_FLOAT64] = "float64",
        [IC_TYPE_TEXT] = "text",
        [IC_TYPE_RESERVED] = "reserved",
        [IC_TYPE_EMPTY] = "empty",
        [IC_TYPE_PRINCIPAL] = "principal",
        [IC_TYPE_OPT] = "opt",
        [IC_TYPE_VEC] = "vec",
        [IC_TYPE_RECORD] = "record",
        [IC_TYPE_VARIANT] = "variant",
        [IC_TYPE_FUNC] = "func",
        [IC_TYPE_SERVICE] = "service",
        [IC_TYPE_FUTURE] = "a type that is not known here",
    };
    return names[kind];
}

/* A field by its name where the type has one, else by its id. */
static int format_field(const struct ic_type *type, size_t i, char *out, size_t room)
{
    const struct ic_type_label *labels = type->names ? type->names->labels : NULL;
    struct ic_view name = labels ? labels[i].name : (struct ic_view){0};

    if (!name.bytes)
        return snprintf(out, room, ".%u", (unsigned)type->as.fields.fields[i].id);
    return snprintf(out, room, ".%.*s", (int)(name.len < MAX_NAME ? name.len : MAX_NAME),
                    (const char *)name.bytes);
}

void candid_path_format(const struct candid_path *path, unsigned depth, char out[CANDID_PATH_TEXT])
{
    size_t len =
        (size_t)(path->argument ? snprintf(out, CANDID_PATH_TEXT, "argument %zu", path->argument)
                                : snprintf(out, CANDID_PATH_TEXT, "value"));

    for (unsigned i = 0; i < depth; i++) {
        const struct candid_step *step = &path->steps[i];
        size_t room = CANDID_PATH_TEXT - len;
        int n = 0;
        if (step->type->kind == IC_TYPE_VEC)
            n = snprintf(out + len, room, "[%zu]", step->index);
        else if (step->type->kind != IC_TYPE_OPT)
            n = format_field(step->type, step->index, out + len, room);
        if (n < 0 || (size_t)n + sizeof("...") > room) {
            snprintf(out + len, room, "...");
            return;
        }
        len += (size_t)n;
    }
}
