/* Paths into the state tree: sequences of byte string labels.
 *
 *     IC_PATH(ic_label_text("canister"), ic_label_principal(&id), ic_label_text("module_hash"))
 *
 * makes a `const struct ic_path *` that lives as long as the enclosing block. Labels borrow.
 */
#ifndef CANISTERFS_IC_PATH_H
#define CANISTERFS_IC_PATH_H

#include "ic/principal.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct ic_label {
    const uint8_t *bytes;
    size_t len;
};

struct ic_path {
    const struct ic_label *labels;
    size_t n;
};

static inline struct ic_label ic_label(const void *bytes, size_t len)
{
    return (struct ic_label){bytes, len};
}

static inline struct ic_label ic_label_text(const char *text)
{
    return ic_label(text, strlen(text));
}

static inline struct ic_label ic_label_principal(const struct ic_principal *p)
{
    return ic_label(p->bytes, p->len);
}

#define IC_PATH(...)                                                                               \
    (&(const struct ic_path){(const struct ic_label[]){__VA_ARGS__},                               \
                             sizeof((const struct ic_label[]){__VA_ARGS__}) /                      \
                                 sizeof(struct ic_label)})

#endif
