/* Any description: what parses prints, the print parses again and says the same, and its types
 * relate as laws demand. Imports lead into the text itself. */
#include "ic/candid_relation.h"
#include "ic/did.h"
#include "tests/fuzz/target.h"

#include <string.h>

#define PAIRS_MAX 200 /* relations asked for */

struct text {
    const char *bytes;
    size_t len;
};

/* Every import is the rest of the text behind its first line. */
static int load_rest(void *arg, const char *path, size_t max, struct ic_buf *out)
{
    const struct text *text = arg;
    const char *rest = text->len ? memchr(text->bytes, '\n', text->len) : NULL;
    CLAIM(path[0] && path[0] != '/' && strncmp(path, "../", 3) != 0 && !strstr(path, "/../"));
    if (!rest || max < text->len)
        return -1;
    ic_buf_append(out, rest, (size_t)(text->bytes + text->len - rest));
    return 0;
}

static bool related(const struct ic_type *a, const struct ic_type *b,
                    enum ic_type_relation relation)
{
    bool holds = false;
    int ret = ic_type_relates(a, b, relation, &holds, NULL);
    CLAIM(ret == 0 || !holds);
    return holds;
}

static void check_relations(const struct ic_did *did)
{
    size_t left = PAIRS_MAX;
    for (size_t i = 0; i < did->n_types && left > 0; i++)
        for (size_t k = 0; k < did->n_types && left > 0; k++, left--) {
            bool equal = related(did->types[i], did->types[k], IC_TYPE_EQUAL);
            bool lossless = related(did->types[i], did->types[k], IC_TYPE_LOSSLESS);
            CLAIM(!equal || lossless);
            CLAIM(!lossless || related(did->types[i], did->types[k], IC_TYPE_SUBTYPE));
            CLAIM(equal == related(did->types[k], did->types[i], IC_TYPE_EQUAL));
        }
}

/* The same types under the same names; a name without a definition is equal to nothing. */
static void check_same(const struct ic_did *did, const struct ic_did *again)
{
    CLAIM(did->n_types == again->n_types && did->n_imports == again->n_imports);
    CLAIM(!did->service == !again->service && !did->init == !again->init);
    for (size_t i = 0; i < did->n_types && i < PAIRS_MAX; i++)
        CLAIM(did->n_imports > 0 || related(did->types[i], again->types[i], IC_TYPE_EQUAL));
    for (size_t i = 0; did->service && i < did->service->as.service.n; i++)
        CLAIM(did->service->as.service.methods[i].type->kind == IC_TYPE_FUNC);
}

static void check(const struct ic_did *did)
{
    struct ic_buf first = {0}, second = {0};
    struct ic_did *again = NULL;

    check_relations(did);
    ic_did_format(did, &first);
    /* Numbers and escapes are longer than what they came from: it may be over the limit. */
    if (first.len <= IC_DID_MAX_TEXT) {
        CLAIM(ic_did_parse((const char *)first.bytes, first.len, NULL, &again, NULL) == 0);
        check_same(did, again);
        ic_did_format(again, &second);
        CLAIM(ic_view_equal(ic_view(first.bytes, first.len), ic_view(second.bytes, second.len)));
    }
    ic_did_free(again);
    ic_buf_fini(&first);
    ic_buf_fini(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text text = {(const char *)data, size};
    struct ic_did_loader loader = {load_rest, &text};
    struct ic_did *did = NULL;
    struct ic_error err = {0};

    if (ic_did_parse(text.bytes, size, NULL, &did, &err) == 0)
        check(did);
    else
        CLAIM(!did && err.message[0] && !strchr(err.message, '\n'));
    ic_did_free(did);
    did = NULL;
    if (ic_did_parse(text.bytes, size, &loader, &did, NULL) == 0)
        check(did);
    ic_did_free(did);
    return 0;
}
