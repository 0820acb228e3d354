/* [stable_memory]: see map.h. */
#include "fs/map_impl.h"

#include <string.h>

#define PAGE_SIZE_MAX (UINT64_C(3) << 20) /* a reply carries no more */

static const struct map_word styles[] = {
    {"range", FS_MEMORY_RANGE}, {"from", FS_MEMORY_FROM}, {"page", FS_MEMORY_PAGE}, {NULL, 0}};
static const struct map_word units[] = {{"auto", FS_MEMORY_UNIT_AUTO},
                                        {"bytes", FS_MEMORY_UNIT_BYTES},
                                        {"pages", FS_MEMORY_UNIT_PAGES},
                                        {NULL, 0}};

enum {
    KEY_READ,
    KEY_SIZE,
    KEY_HEADER,
    KEY_VERSION,
    KEY_READ_AT,
    KEY_PREPARE,
    KEY_RESTORE,
    KEY_WRITE,
    KEY_GROW,
    KEY_INIT,
    KEY_FINISH,
    KEY_HASHES,
    KEY_STYLE,
    KEY_NUMBER,
    KEY_UNIT,
    KEY_ID,
    KEY_PAGE_SIZE,
    N_KEYS,
};

const char *const map_memory_keys[N_KEYS + 1] = {
    [KEY_READ] = "read",       [KEY_SIZE] = "size",           [KEY_HEADER] = "header",
    [KEY_VERSION] = "version", [KEY_READ_AT] = "read_at",     [KEY_PREPARE] = "prepare",
    [KEY_STYLE] = "style",     [KEY_NUMBER] = "number",       [KEY_UNIT] = "unit",
    [KEY_ID] = "id",           [KEY_PAGE_SIZE] = "page_size", [KEY_RESTORE] = "restore",
    [KEY_WRITE] = "write",     [KEY_GROW] = "grow",           [KEY_INIT] = "init",
    [KEY_FINISH] = "finish",   [KEY_HASHES] = "hashes",
};

static bool set_id(struct fs_map *map, const char *value)
{
    uint64_t id = 0;
    map->memory.has_id = true;
    map->all_ids = strcmp(value, "all") == 0;
    if (!map->all_ids && !map_parse_number(value, UINT8_MAX, &id))
        return false;
    map->memory.id = (uint8_t)id;
    return true;
}

static bool set_word(const struct map_word *words, const char *value, int *out)
{
    return map_find_word(words, value, strlen(value), out);
}

bool map_set_memory(struct fs_map *map, size_t key, const char *value)
{
    struct fs_memory *memory = &map->memory;
    int word;
    switch (key) {
    case KEY_READ:
        return map_set_method(memory->read, value);
    case KEY_SIZE:
        return map_set_method(memory->size, value);
    case KEY_HEADER:
        return map_set_method(memory->header, value);
    case KEY_VERSION:
        return map_set_method(memory->version, value);
    case KEY_READ_AT:
        return map_set_method(memory->read_at, value);
    case KEY_PREPARE:
        return map_set_method(memory->prepare, value);
    case KEY_RESTORE: /* the names of five methods begin with it */
        return strlen(value) + strlen("_commit") < FS_METHOD_NAME_MAX &&
               map_set_method(memory->write.restore, value);
    case KEY_WRITE:
        return map_set_method(memory->write.write, value);
    case KEY_GROW:
        return map_set_method(memory->write.grow, value);
    case KEY_INIT:
        return map_set_method(memory->write.init, value);
    case KEY_FINISH:
        return map_set_method(memory->write.finish, value);
    case KEY_HASHES:
        return map_set_method(memory->write.hashes, value);
    case KEY_STYLE:
        if (!set_word(styles, value, &word))
            return false;
        memory->style = (enum fs_memory_style)word;
        return true;
    case KEY_NUMBER:
        if (!set_word(map_numbers, value, &word))
            return false;
        memory->number = (enum ic_type_kind)word;
        map->has_number = true;
        return true;
    case KEY_UNIT:
        if (!set_word(units, value, &word))
            return false;
        memory->unit = (enum fs_memory_unit)word;
        return true;
    case KEY_ID:
        return set_id(map, value);
    default:
        return map_parse_number(value, PAGE_SIZE_MAX, &memory->page_size) && memory->page_size > 0;
    }
}

static const char *judge_write(const struct fs_memory *memory)
{
    const struct fs_memory_write *write = &memory->write;
    if ((write->grow[0] || write->init[0] || write->finish[0]) && !write->write[0])
        return "'grow', 'init' and 'finish' need 'write'";
    if ((write->init[0] || write->finish[0] || write->restore[0] || write->hashes[0]) &&
        memory->has_id)
        return "'init', 'finish', 'restore' and 'hashes' go without id";
    if (write->hashes[0] && !write->write[0] && !write->restore[0])
        return "'hashes' needs 'restore' or 'write'";
    return NULL;
}

const char *map_judge_memory(const struct fs_memory *memory)
{
    if (!memory->read[0] && !(memory->version[0] && memory->read_at[0]))
        return "needs 'read', or 'version' and 'read_at'";
    if (memory->read_at[0] && !memory->version[0])
        return "'read_at' needs 'version'";
    if (memory->size[0] && memory->header[0])
        return "'size' and 'header' exclude each other";
    if (memory->read_at[0] && (memory->style != FS_MEMORY_RANGE || memory->has_id))
        return "'read_at' goes with style range and without id";
    return judge_write(memory);
}
