#include "fs/map.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE_SIZE_DEFAULT (UINT64_C(1) << 20)
#define PAGE_SIZE_MAX     (UINT64_C(3) << 20) /* a reply carries no more */

struct parsing {
    struct fs_map map;
    const char *rest, *end; /* of the text */
    int line;               /* the present one, from 1 */
    char problem[160];      /* the first one, "" while there is none */
    int problem_line;
    uint32_t seen; /* keys, one bit each */
};

struct word {
    const char *name;
    int value;
};

static const struct word styles[] = {
    {"range", FS_MEMORY_RANGE}, {"from", FS_MEMORY_FROM}, {"page", FS_MEMORY_PAGE}, {NULL, 0}};
static const struct word numbers[] = {
    {"nat", IC_TYPE_NAT}, {"nat32", IC_TYPE_NAT32}, {"nat64", IC_TYPE_NAT64}, {NULL, 0}};
static const struct word units[] = {{"auto", FS_MEMORY_UNIT_AUTO},
                                    {"bytes", FS_MEMORY_UNIT_BYTES},
                                    {"pages", FS_MEMORY_UNIT_PAGES},
                                    {NULL, 0}};

static bool find_word(const struct word *words, const char *name, int *out)
{
    for (; words->name; words++) {
        if (strcmp(words->name, name) == 0) {
            *out = words->value;
            return true;
        }
    }
    return false;
}

static bool parse_number(const char *text, uint64_t max, uint64_t *out)
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

static bool set_method(char method[FS_METHOD_NAME_MAX], const char *value)
{
    size_t len = strlen(value);
    if (len == 0 || len >= FS_METHOD_NAME_MAX)
        return false;
    memcpy(method, value, len + 1);
    return true;
}

static bool set_id(struct fs_map *map, const char *value)
{
    uint64_t id = 0;
    map->memory.has_id = true;
    map->all_ids = strcmp(value, "all") == 0;
    if (!map->all_ids && !parse_number(value, UINT8_MAX, &id))
        return false;
    map->memory.id = (uint8_t)id;
    return true;
}

static bool set_page_size(struct fs_map *map, const char *value)
{
    return parse_number(value, PAGE_SIZE_MAX, &map->memory.page_size) && map->memory.page_size > 0;
}

/* Keys whose value is a method. */
static const struct {
    const char *name;
    size_t offset;
} methods[] = {
    {"read", offsetof(struct fs_memory, read)},
    {"size", offsetof(struct fs_memory, size)},
    {"header", offsetof(struct fs_memory, header)},
    {"version", offsetof(struct fs_memory, version)},
    {"read_at", offsetof(struct fs_memory, read_at)},
    {"prepare", offsetof(struct fs_memory, prepare)},
};
#define N_METHODS (sizeof(methods) / sizeof(methods[0]))

/* The other keys. */
static const char *const settings[] = {"style", "number", "unit", "id", "page_size"};
#define N_SETTINGS (sizeof(settings) / sizeof(settings[0]))

static bool set_setting(struct fs_map *map, size_t which, const char *value)
{
    int word;
    switch (which) {
    case 0:
        if (!find_word(styles, value, &word))
            return false;
        map->memory.style = (enum fs_memory_style)word;
        return true;
    case 1:
        if (!find_word(numbers, value, &word))
            return false;
        map->memory.number = (enum ic_type_kind)word;
        map->has_number = true;
        return true;
    case 2:
        if (!find_word(units, value, &word))
            return false;
        map->memory.unit = (enum fs_memory_unit)word;
        return true;
    case 3:
        return set_id(map, value);
    default:
        return set_page_size(map, value);
    }
}

/* Which key is it, counted over both tables? N_METHODS + N_SETTINGS when there is none. */
static size_t find_key(const char *name)
{
    for (size_t i = 0; i < N_METHODS; i++)
        if (strcmp(name, methods[i].name) == 0)
            return i;
    for (size_t i = 0; i < N_SETTINGS; i++)
        if (strcmp(name, settings[i]) == 0)
            return N_METHODS + i;
    return N_METHODS + N_SETTINGS;
}

/* inih's reader, which counts lines as inih does: it goes on after a bad one, and tells the number
 * of the first. */
static char *read_line(char *line, int size, void *stream)
{
    struct parsing *parsing = stream;
    size_t len = (size_t)(parsing->end - parsing->rest);
    if (len == 0)
        return NULL;
    const char *newline = memchr(parsing->rest, '\n', len);
    if (newline)
        len = (size_t)(newline + 1 - parsing->rest);
    if (len > (size_t)size - 1)
        len = (size_t)size - 1;
    memcpy(line, parsing->rest, len);
    line[len] = '\0';
    parsing->rest += len;
    parsing->line++;
    return line;
}

/* inih's handler: 1 when the line is good. Only the first problem is told. */
static int take_line(void *user, const char *section, const char *name, const char *value)
{
    struct parsing *parsing = user;
    size_t key = find_key(name);
    if (parsing->problem[0])
        return 1;
    parsing->problem_line = parsing->line;
    if (strcmp(section, "stable_memory") != 0) {
        snprintf(parsing->problem, sizeof(parsing->problem), "there is no section [%.60s]",
                 section);
        return 0;
    }
    if (key == N_METHODS + N_SETTINGS) {
        snprintf(parsing->problem, sizeof(parsing->problem), "there is no key '%.60s'", name);
        return 0;
    }
    if (parsing->seen & (UINT32_C(1) << key)) {
        snprintf(parsing->problem, sizeof(parsing->problem), "'%.60s' is given twice", name);
        return 0;
    }
    parsing->seen |= UINT32_C(1) << key;
    bool is_good = key < N_METHODS
                       ? set_method((char *)&parsing->map.memory + methods[key].offset, value)
                       : set_setting(&parsing->map, key - N_METHODS, value);
    if (!is_good)
        snprintf(parsing->problem, sizeof(parsing->problem), "%s = '%.60s' is not possible", name,
                 value);
    return is_good;
}

/* What does not fit together. NULL when all does. */
static const char *find_contradiction(const struct fs_memory *memory)
{
    if (!memory->read[0] && !(memory->version[0] && memory->read_at[0]))
        return "[stable_memory] needs 'read', or 'version' and 'read_at'";
    if (memory->read_at[0] && !memory->version[0])
        return "'read_at' needs 'version'";
    if (memory->size[0] && memory->header[0])
        return "'size' and 'header' exclude each other";
    if (memory->read_at[0] && (memory->style != FS_MEMORY_RANGE || memory->has_id))
        return "'read_at' goes with style range and without id";
    return NULL;
}

int fs_map_parse(struct fs_map *out, const char *text, size_t len, char *message,
                 size_t message_size)
{
    struct parsing parsing = {
        .map.memory = {.number = IC_TYPE_NAT64, .page_size = PAGE_SIZE_DEFAULT},
        .rest = text,
        .end = text + len,
    };
    if (len > FS_MAP_MAX || memchr(text, '\0', len)) {
        snprintf(message, message_size, "this is not a map: %s",
                 len > FS_MAP_MAX ? "too long" : "it holds zero bytes");
        return -EINVAL;
    }
    int line = ini_parse_stream(read_line, &parsing, take_line, &parsing);
    if (line < 0) {
        snprintf(message, message_size, "out of memory");
        return -ENOMEM;
    }
    const char *contradiction = line == 0 ? find_contradiction(&parsing.map.memory) : NULL;
    if (line != 0)
        snprintf(message, message_size, "line %d: %s", line,
                 parsing.problem_line == line ? parsing.problem : "not of the form 'key = value'");
    else if (contradiction)
        snprintf(message, message_size, "%s", contradiction);
    else
        *out = parsing.map;
    return line != 0 || contradiction ? -EINVAL : 0;
}

int fs_map_load(struct fs_map *out, const char *path, char *message, size_t message_size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char *text = malloc(FS_MAP_MAX + 1);
    size_t len = 0;
    ssize_t n = fd < 0 ? -1 : 1;
    while (text && n > 0 && len <= FS_MAP_MAX) {
        n = read(fd, text + len, FS_MAP_MAX + 1 - len);
        len += n > 0 ? (size_t)n : 0;
    }
    int result = -EINVAL;
    if (!text || n < 0)
        snprintf(message, message_size, "%s", strerror(text ? errno : ENOMEM));
    else
        result = fs_map_parse(out, text, len, message, message_size);
    free(text);
    if (fd >= 0)
        close(fd);
    return result;
}
