/* Values in maps: see map_impl.h. */
#include "fs/map_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const struct map_word map_numbers[] = {
    {"nat", IC_TYPE_NAT}, {"nat32", IC_TYPE_NAT32}, {"nat64", IC_TYPE_NAT64}, {NULL, 0}};

bool map_find_word(const struct map_word *words, const char *name, size_t len, int *out)
{
    for (; words->name; words++) {
        if (strlen(words->name) == len && memcmp(words->name, name, len) == 0) {
            *out = words->value;
            return true;
        }
    }
    return false;
}

bool map_parse_number(const char *text, uint64_t max, uint64_t *out)
{
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0' || number > max)
        return false;
    *out = number;
    return true;
}

bool map_set_method(char method[FS_METHOD_NAME_MAX], const char *value)
{
    size_t len = strlen(value);
    if (len == 0 || len >= FS_METHOD_NAME_MAX)
        return false;
    memcpy(method, value, len + 1);
    return true;
}

bool map_parse_field(const char *text, size_t len, uint32_t *out)
{
    char digits[12];
    uint64_t id;
    size_t skip = len > 0 && *text == '#';
    if (len == 0)
        return false;
    if (skip == 0 && strspn(text, "0123456789") < len) {
        *out = ic_candid_hash(text, len);
        return true;
    }
    if (len - skip >= sizeof(digits))
        return false;
    memcpy(digits, text + skip, len - skip);
    digits[len - skip] = '\0';
    if (!map_parse_number(digits, UINT32_MAX, &id))
        return false;
    *out = (uint32_t)id;
    return true;
}

bool map_next_word(const char **list, char separator, const char **word, size_t *len)
{
    if (!*list)
        return false;
    *word = *list + strspn(*list, " \t");
    const char *end = strchrnul(*word, separator);
    *list = *end ? end + 1 : NULL;
    while (end > *word && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    *len = (size_t)(end - *word);
    return true;
}
