#include "fs/map_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE_SIZE_DEFAULT (UINT64_C(1) << 20)

/* The keys of a section that were seen, one bit each, and the line of the first of them. */
struct section {
    uint32_t seen;
    int line;
};

struct parsing {
    struct fs_map map;
    struct section memory, backup, collections[FS_COLLECTIONS_MAX];
    const char *rest, *end; /* of the text */
    int line;               /* the present one, from 1 */
    int open_line;          /* where a section begins that has no key yet; 0: there is none */
    char problem[160];      /* the first one, "" while there is none */
    int problem_line;
};

static __attribute__((format(printf, 3, 4))) bool fail(struct parsing *parsing, int line,
                                                       const char *format, ...)
{
    va_list args;
    if (parsing->problem[0])
        return false;
    parsing->problem_line = line;
    va_start(args, format);
    vsnprintf(parsing->problem, sizeof(parsing->problem), format, args);
    va_end(args);
    return false;
}

/* --- lines --- */

/* inih says nothing of sections without keys: they would be overlooked. */
static void watch_sections(struct parsing *parsing, const char *line)
{
    if (line[strspn(line, " \t")] != '[')
        return;
    if (parsing->open_line)
        fail(parsing, parsing->open_line, "the section is empty");
    parsing->open_line = parsing->line;
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
    watch_sections(parsing, line);
    return line;
}

/* --- keys --- */

/* Which of the names is it? Notes it in the section; -1 when it is none, or was given before. */
static int take_key(struct parsing *parsing, struct section *section, const char *const *names,
                    const char *name)
{
    int key = 0;
    while (names[key] && strcmp(names[key], name) != 0)
        key++;
    if (!names[key]) {
        fail(parsing, parsing->line, "there is no key '%.60s'", name);
        return -1;
    }
    if (section->seen & (UINT32_C(1) << key)) {
        fail(parsing, parsing->line, "'%.60s' is given twice", name);
        return -1;
    }
    if (!section->line)
        section->line = parsing->line;
    section->seen |= UINT32_C(1) << key;
    return key;
}

static bool impossible(struct parsing *parsing, const char *name, const char *value)
{
    return fail(parsing, parsing->line, "%s = '%.60s' is not possible", name, value);
}

static bool take_memory(struct parsing *parsing, const char *name, const char *value)
{
    int key = take_key(parsing, &parsing->memory, map_memory_keys, name);
    parsing->map.has_memory = true;
    return key >= 0 &&
           (map_set_memory(&parsing->map, (size_t)key, value) || impossible(parsing, name, value));
}

static bool take_backup(struct parsing *parsing, const char *name, const char *value)
{
    static const char *const names[] = {"version", NULL};
    return take_key(parsing, &parsing->backup, names, name) >= 0 &&
           (map_set_method(parsing->map.backup_version, value) || impossible(parsing, name, value));
}

/* The collection of a name; a new one when there is none yet. NULL: it cannot be. */
static struct fs_map_collection *find_collection(struct parsing *parsing, const char *name)
{
    struct fs_map *map = &parsing->map;
    size_t len = strlen(name);
    for (size_t i = 0; i < map->n_collections; i++)
        if (strcmp(map->collections[i].collection.name, name) == 0)
            return &map->collections[i];
    if (len > FS_MAP_NAME_MAX)
        fail(parsing, parsing->line, "the name of [backup.%.60s] is over %d bytes", name,
             FS_MAP_NAME_MAX);
    else if (!fs_collection_name_is_valid(name, len))
        fail(parsing, parsing->line, "[backup.%.60s] cannot be a directory's name", name);
    else if (map->n_collections == FS_COLLECTIONS_MAX)
        fail(parsing, parsing->line, "more than %d collections", FS_COLLECTIONS_MAX);
    else {
        struct fs_map_collection *c = &map->collections[map->n_collections++];
        memcpy(c->collection.name, name, len + 1);
        c->collection.numbers[0] = c->collection.numbers[1] = IC_TYPE_NAT64;
        return c;
    }
    return NULL;
}

static bool take_collection(struct parsing *parsing, const char *collection, const char *name,
                            const char *value)
{
    struct fs_map_collection *c = find_collection(parsing, collection);
    if (!c)
        return false;
    struct section *section = &parsing->collections[c - parsing->map.collections];
    int key = take_key(parsing, section, map_collection_keys, name);
    return key >= 0 &&
           (map_set_collection(c, (size_t)key, value) || impossible(parsing, name, value));
}

/* inih's handler: 1 when the line is good. Only the first problem is told. */
static int take_line(void *user, const char *section, const char *name, const char *value)
{
    static const char prefix[] = "backup.";
    struct parsing *parsing = user;
    if (parsing->problem[0])
        return 1;
    parsing->open_line = 0;
    if (strcmp(section, "stable_memory") == 0)
        return take_memory(parsing, name, value);
    if (strcmp(section, "backup") == 0)
        return take_backup(parsing, name, value);
    if (strncmp(section, prefix, sizeof(prefix) - 1) == 0)
        return take_collection(parsing, section + sizeof(prefix) - 1, name, value);
    return fail(parsing, parsing->line, "there is no section [%.60s]", section);
}

/* --- the whole --- */

static void judge(struct parsing *parsing)
{
    struct fs_map *map = &parsing->map;
    const char *words = map->has_memory ? map_judge_memory(&map->memory) : NULL;
    if (parsing->open_line)
        fail(parsing, parsing->open_line, "the section is empty");
    if (words)
        fail(parsing, parsing->memory.line, "[stable_memory]: %s", words);
    for (size_t i = 0; i < map->n_collections; i++) {
        words = map_judge_collection(&map->collections[i], parsing->collections[i].seen);
        if (words)
            fail(parsing, parsing->collections[i].line, "[backup.%s]: %s",
                 map->collections[i].collection.name, words);
    }
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
    if (line > 0 && (!parsing.problem[0] || line < parsing.problem_line)) {
        snprintf(message, message_size, "line %d: not of the form 'key = value'", line);
        return -EINVAL;
    }
    judge(&parsing);
    if (parsing.problem[0]) {
        snprintf(message, message_size, "line %d: %s", parsing.problem_line, parsing.problem);
        return -EINVAL;
    }
    if (!parsing.map.has_memory && parsing.map.n_collections == 0) {
        snprintf(message, message_size, "it has neither [stable_memory] nor [backup.NAME]");
        return -EINVAL;
    }
    *out = parsing.map;
    return 0;
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
