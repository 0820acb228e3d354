/* Any text as a map: it is taken whole or refused in words; what is taken holds together. */
#include "fs/map.h"
#include "tests/fuzz/target.h"

#include <string.h>

static bool ends_in_time(const char name[FS_METHOD_NAME_MAX])
{
    return memchr(name, '\0', FS_METHOD_NAME_MAX) != NULL;
}

static void claim_memory(const struct fs_memory *m)
{
    CLAIM(ends_in_time(m->read) && ends_in_time(m->size) && ends_in_time(m->header) &&
          ends_in_time(m->version) && ends_in_time(m->read_at) && ends_in_time(m->prepare));
    CLAIM(m->read[0] || m->read_at[0]);
    const struct fs_memory_write *w = &m->write;
    CLAIM(ends_in_time(w->restore) && ends_in_time(w->write) && ends_in_time(w->grow) &&
          ends_in_time(w->init) && ends_in_time(w->finish) && ends_in_time(w->hashes));
    for (int i = 0; i < FS_STAGED_METHODS; i++) {
        char name[FS_METHOD_NAME_MAX];
        fs_memory_write_method(w, (enum fs_staged_method)i, name);
        CLAIM(ends_in_time(name));
    }
    CLAIM(w->write[0] || (!w->grow[0] && !w->init[0] && !w->finish[0]));
    CLAIM(!m->read_at[0] || m->version[0]);
    CLAIM(m->page_size > 0);
}

static void claim_collection(const struct fs_map_collection *described)
{
    struct fs_collection c = described->collection;
    char reason[FS_REASON_MAX] = "";
    CLAIM(ends_in_time(c.name) && ends_in_time(c.method) && ends_in_time(c.count));
    CLAIM(fs_collection_name_is_valid(c.name, strlen(c.name)) && c.method[0]);
    CLAIM(ends_in_time(c.restore.method) && c.restore.n_fields <= FS_RESTORE_FIELDS_MAX);
    CLAIM(c.restore.n_fields == 0 || c.restore.method[0]);
    CLAIM(c.n_latest <= FS_LATEST_MAX && c.style <= FS_COLLECTION_LAST);
    CLAIM(fs_collection_complete(&c, described->given, NULL, reason, sizeof(reason)));
    CLAIM((c.style == FS_COLLECTION_ITEMS) == c.is_record);
    CLAIM((c.end == FS_END_COUNT) == (c.count[0] != '\0'));
    CLAIM((c.end == FS_END_LAST) == (c.style == FS_COLLECTION_LAST));
    CLAIM((c.end == FS_END_NONE) == (c.style == FS_COLLECTION_WHOLE));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fs_map map;
    char message[200] = "";
    int result = fs_map_parse(&map, (const char *)data, size, message, sizeof(message));
    if (result != 0) {
        CLAIM(message[0] != '\0');
        return 0;
    }
    CLAIM(map.has_memory || map.n_collections > 0);
    CLAIM(map.n_collections <= FS_COLLECTIONS_MAX && ends_in_time(map.backup_version));
    if (map.has_memory)
        claim_memory(&map.memory);
    for (size_t i = 0; i < map.n_collections; i++) {
        claim_collection(&map.collections[i]);
        for (size_t j = 0; j < i; j++)
            CLAIM(strcmp(map.collections[i].collection.name, map.collections[j].collection.name) !=
                  0);
    }
    return 0;
}
