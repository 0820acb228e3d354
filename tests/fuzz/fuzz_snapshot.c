/* Any Candid message, taken for what the network says of snapshots. */
#include "ic/snapshot.h"
#include "ic/snapshot_json.h"
#include "tests/fuzz/target.h"

#include <errno.h>

static void try_list(const struct ic_value *value)
{
    struct ic_snapshot_list list = {0};
    struct ic_error err = {0};
    int ret = ic_snapshot_list_decode(value, &list, &err);
    CLAIM(ret == 0 || (ret == -EPROTO && err.code == IC_E_WRONG_TYPE && !list.items));
    for (size_t i = 0; i < list.n; i++)
        CLAIM(list.items[i].id.len > 0 && list.items[i].id.len <= IC_SNAPSHOT_ID_MAX);
    ic_snapshot_list_fini(&list);
}

static void try_metadata(const struct ic_value *value)
{
    struct ic_snapshot_metadata metadata = {0};
    struct ic_error err = {0};
    struct ic_buf json = {0};
    int ret = ic_snapshot_metadata_decode(value, &metadata, &err);
    CLAIM(ret == 0 || (ret == -EPROTO && err.code == IC_E_WRONG_TYPE && !metadata.globals));
    if (ret == 0) {
        CLAIM(ic_snapshot_json(&metadata, &json) == 0);
        CLAIM(json.len > 2 && json.bytes[0] == '{' && json.bytes[json.len - 1] == '}');
    }
    ic_buf_fini(&json);
    ic_snapshot_metadata_fini(&metadata);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ic_candid *values = NULL;
    if (ic_candid_decode(data, size, NULL, &values, NULL) < 0)
        return 0;
    try_list(ic_candid_arg(values, 0));
    try_metadata(ic_candid_arg(values, 0));
    ic_candid_free(values);
    return 0;
}
