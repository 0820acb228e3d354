/* Candid messages for people: what inspect/ shows of a chunk. */
#ifndef CANISTERFS_FS_RENDER_H
#define CANISTERFS_FS_RENDER_H

#include "fs/collection.h"
#include "ic/candid_names.h"

enum fs_form {
    FS_FORM_RAW,  /* as it came */
    FS_FORM_JSON, /* ic/candid_json.h, tuples as arrays, a line for each element; the content of
                     opts around the whole is shown as such (null when there is none) */
    FS_FORM_TEXT, /* Candid text, with names (ic/candid_print.h), a line for each element */
};
#define FS_N_FORMS 3

/* ".json" and ".txt"; for the form RAW what the collection has. */
const char *fs_render_suffix(enum fs_form form, const struct fs_collection *collection);

/* Render a message of a collection.
 *
 * form   not RAW
 * names  of the interface; NULL: fields and cases without a declared name are shown as numbers
 * max    bytes that the result may have
 * out    appended to
 *
 * Returns 0; -EFBIG: over max; -EPROTO: not Candid, or (TEXT) of a type without text form, or it
 * would take more than 256 MiB of memory (some 5 to 20 times len are usual); -ENOMEM; with err
 * filled. */
int fs_render(enum fs_form form, const struct fs_collection *collection,
              const struct ic_candid_names *names, const uint8_t *bytes, size_t len, size_t max,
              struct ic_buf *out, struct ic_error *err) __attribute__((warn_unused_result));

#endif
