/* The canister's Candid interface. See discovery.h. */
#include "fs/discovery_impl.h"
#include "fs/small_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A text that imports others does not say what its types are: it is kept as one with them. */
static int parse_with_imports(const char *path, struct fs_discovery *out, struct ic_error *err)
{
    struct ic_buf text = {0};
    ic_did_free(out->did);
    out->did = NULL;
    int result = ic_did_parse_file(path, &out->did, err);
    if (result < 0)
        return result;
    ic_did_format(out->did, &text);
    ic_buf_append(&text, "", 1);
    result = ic_buf_status(&text);
    if (result < 0) {
        ic_buf_fini(&text);
        return ic_fail(err, IC_E_NO_MEMORY, "out of memory");
    }
    free(out->did_text);
    out->did_text = (char *)text.bytes;
    out->did_text_len = text.len - 1;
    return 0;
}

static int load_file(const char *path, struct fs_discovery *out, char *message, size_t message_size)
{
    struct ic_error err = {0};
    int result = fs_small_file_read(path, IC_DID_MAX_TEXT, &out->did_text, &out->did_text_len);
    if (result < 0) {
        snprintf(message, message_size, "did '%s': cannot be read: %s", path,
                 fs_small_file_words(result));
        return -EINVAL;
    }
    result = ic_did_parse(out->did_text, out->did_text_len, NULL, &out->did, &err);
    if (result == 0 && out->did->n_imports > 0)
        result = parse_with_imports(path, out, &err);
    if (result < 0 || !out->did->service) {
        snprintf(message, message_size, "did '%s': %s", path,
                 result < 0 ? err.message : "it describes no service");
        return -EINVAL;
    }
    snprintf(out->basis, sizeof(out->basis), "the Candid interface in %.120s", path);
    return 0;
}

void discovery_forget_interface(struct fs_discovery *out)
{
    ic_did_free(out->did);
    free(out->did_text);
    out->did = NULL;
    out->did_text = NULL;
    out->did_text_len = 0;
}

/* A description that cannot be parsed is an error only when the user gave it. */
int discovery_load_interface(struct discovery_search *search, struct fs_facts *facts, char *message,
                             size_t message_size)
{
    struct fs_discovery *out = search->out;
    struct ic_error err = {0};
    if (search->options->did)
        return load_file(search->options->did, out, message, message_size);
    if (fs_facts_take_candid(facts, &out->did_text, &out->did_text_len) < 0 || !out->did_text)
        return 0;
    if (ic_did_parse(out->did_text, out->did_text_len, NULL, &out->did, &err) < 0)
        fs_log_print(search->target->log, FS_LOG_WARNING,
                     "the Candid interface that the canister publishes is not valid: %s",
                     err.message);
    if (!out->did || !out->did->service)
        discovery_forget_interface(out);
    else
        snprintf(out->basis, sizeof(out->basis),
                 "the Candid interface that the canister publishes");
    return 0;
}
