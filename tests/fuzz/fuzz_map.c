/* Any text as a map: it is taken whole or refused in words; what is taken holds together. */
#include "fs/map.h"
#include "tests/fuzz/target.h"

#include <string.h>

static bool ends_in_time(const char name[FS_METHOD_NAME_MAX])
{
    return memchr(name, '\0', FS_METHOD_NAME_MAX) != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fs_map map;
    char message[200] = "";
    int result = fs_map_parse(&map, (const char *)data, size, message, sizeof(message));
    if (result != 0) {
        CLAIM(message[0] != '\0');
        return 0;
    }
    const struct fs_memory *m = &map.memory;
    CLAIM(ends_in_time(m->read) && ends_in_time(m->size) && ends_in_time(m->header) &&
          ends_in_time(m->version) && ends_in_time(m->read_at) && ends_in_time(m->prepare));
    CLAIM(m->read[0] || m->read_at[0]);
    CLAIM(!m->read_at[0] || m->version[0]);
    CLAIM(m->page_size > 0);
    return 0;
}
