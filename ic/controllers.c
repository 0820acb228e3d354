#include "ic/controllers.h"

#include "ic/cbor.h"

#include <errno.h>
#include <stdlib.h>

static int compare(const void *a, const void *b)
{
    return ic_principal_compare(a, b);
}

int ic_controllers_decode(const uint8_t *leaf, size_t len,
                          struct ic_principal out[IC_CONTROLLERS_MAX], size_t *ret_n)
{
    struct ic_view item;
    struct ic_cbor_array array;
    if (ic_cbor_open(leaf, len, &item) < 0 || ic_cbor_array(item, &array) < 0)
        return -EPROTO;
    size_t n = 0;
    int result;
    while ((result = ic_cbor_array_next(&array, &item)) == 0) {
        struct ic_view bytes;
        if (n == IC_CONTROLLERS_MAX || ic_cbor_bytes(item, &bytes) < 0 ||
            ic_principal_from_bytes(bytes.bytes, bytes.len, &out[n]) < 0)
            return -EPROTO;
        n++;
    }
    if (result != -ENOENT)
        return -EPROTO;
    qsort(out, n, sizeof(out[0]), compare);
    *ret_n = n;
    return 0;
}
