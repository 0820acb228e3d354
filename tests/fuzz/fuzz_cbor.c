/* Any message: what opens can be taken apart completely. */
#include "ic/cbor.h"
#include "tests/fuzz/target.h"

#include <errno.h>

static void walk(struct ic_view item)
{
    struct ic_cbor_array array;
    struct ic_cbor_map map;
    struct ic_view inner;
    uint64_t n;
    int ret;

    if (ic_cbor_map(item, &map) == 0) {
        for (size_t i = 0; i < map.n; i++) {
            CLAIM(map.entries[i].item.len > 0);
            walk(map.entries[i].item);
        }
        (void)!ic_cbor_map_uint(&map, "status", &n);
        (void)!ic_cbor_map_text(&map, "status", &inner);
        (void)!ic_cbor_map_bytes(&map, "status", &inner);
    } else if (ic_cbor_array(item, &array) == 0) {
        while ((ret = ic_cbor_array_next(&array, &inner)) == 0)
            walk(inner);
        CLAIM(ret == -ENOENT);
    } else if (ic_cbor_bytes(item, &inner) == 0) {
        CLAIM(inner.len < item.len);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ic_view root;
    struct ic_cbor_map map;

    if (ic_cbor_open(data, size, &root) == 0)
        walk(root);
    (void)!ic_cbor_map((struct ic_view){data, size}, &map); /* unchecked bytes */
    return 0;
}
