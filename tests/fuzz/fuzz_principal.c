/* Any text: what parses is printed as it was, but for case. */
#include "ic/principal.h"
#include "tests/fuzz/target.h"

#include <string.h>
#include <strings.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[256], printed[IC_PRINCIPAL_TEXT];
    struct ic_principal p, again;

    if (size < sizeof(text)) {
        memcpy(text, data, size);
        text[size] = '\0';
        if (ic_principal_parse(text, &p) == 0) {
            ic_principal_format(&p, printed);
            CLAIM(strcasecmp(text, printed) == 0);
        }
    }
    if (ic_principal_from_bytes(data, size, &p) == 0) {
        ic_principal_format(&p, printed);
        CLAIM(ic_principal_parse(printed, &again) == 0);
        CLAIM(ic_principal_is_equal(&p, &again));
    } else {
        CLAIM(size > IC_PRINCIPAL_MAX);
    }
    return 0;
}
