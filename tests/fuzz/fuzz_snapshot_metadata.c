/* Any bytes as metadata.json of a snapshot: what is taken is written as a text that says the same.
 */
#include "fs/snapshot_metadata.h"
#include "ic/snapshot_json.h"
#include "tests/fuzz/target.h"

#include <string.h>

static void claim_same(const struct ic_snapshot_metadata *a, const struct ic_snapshot_metadata *b)
{
    CLAIM(a->wasm_module_size == b->wasm_module_size && a->n_globals == b->n_globals &&
          a->wasm_memory_size == b->wasm_memory_size && a->n_chunks == b->n_chunks &&
          a->stable_memory_size == b->stable_memory_size && a->hook == b->hook &&
          a->timer == b->timer && a->timer_ns == b->timer_ns &&
          ic_view_equal(a->certified_data, b->certified_data));
    for (size_t i = 0; i < a->n_globals; i++)
        CLAIM(a->globals[i].kind == b->globals[i].kind && a->globals[i].low == b->globals[i].low &&
              a->globals[i].high == b->globals[i].high);
    CLAIM(a->n_chunks == 0 || memcmp(a->chunks, b->chunks, a->n_chunks * sizeof(*a->chunks)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ic_snapshot_metadata m = {0};
    struct ic_snapshot_metadata again = {0};
    struct ic_error err = {0};
    struct ic_buf json = {0};
    if (fs_snapshot_metadata_parse((const char *)data, size, &m, &err) < 0) {
        CLAIM(err.code != IC_OK && err.message[0] != '\0');
        return 0;
    }
    CLAIM(ic_snapshot_json(&m, &json) == 0);
    CLAIM(fs_snapshot_metadata_parse((const char *)json.bytes, json.len, &again, &err) == 0);
    claim_same(&m, &again);
    ic_snapshot_metadata_fini(&m);
    ic_snapshot_metadata_fini(&again);
    ic_buf_fini(&json);
    return 0;
}
