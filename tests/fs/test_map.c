/* Maps and profiles: what they say, and what is refused in words. */
#include "fs/map.h"
#include "fs/profile.h"
#include "tests/tap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

TAP_STATE;

static void test_defaults(void)
{
    struct fs_map map;
    char message[256] = "";
    const char *text = "[stable_memory]\nread = get ; a comment\n";
    TAP_INT(fs_map_parse(&map, text, strlen(text), message, sizeof(message)), 0, "the least");
    TAP_STR(map.memory.read, "get", "its method");
    TAP_OK(map.memory.style == FS_MEMORY_RANGE && map.memory.number == IC_TYPE_NAT64 &&
               map.memory.unit == FS_MEMORY_UNIT_AUTO && !map.memory.has_id && !map.has_number,
           "and the defaults");
}

static void test_all_keys(void)
{
    struct fs_map map;
    char message[256] = "";
    const char *text = "# everything\n[stable_memory]\nread=r\nstyle=page\nnumber=nat32\n"
                       "page_size=65536\nid=7\nsize=s\nunit=pages\nprepare=p\n";
    TAP_INT(fs_map_parse(&map, text, strlen(text), message, sizeof(message)), 0, "every key");
    const struct fs_memory *memory = &map.memory;
    TAP_OK(memory->style == FS_MEMORY_PAGE && memory->number == IC_TYPE_NAT32 && map.has_number &&
               memory->page_size == 65536 && memory->has_id && memory->id == 7 && !map.all_ids &&
               memory->unit == FS_MEMORY_UNIT_PAGES && strcmp(memory->size, "s") == 0 &&
               strcmp(memory->prepare, "p") == 0,
           "is taken");
}

static void refused(const char *text, size_t len, const char *want)
{
    struct fs_map map;
    memset(&map, 0x5a, sizeof(map));
    struct fs_map before = map;
    char message[256] = "";
    TAP_INT(fs_map_parse(&map, text, len, message, sizeof(message)), -EINVAL, want);
    TAP_OK(strstr(message, want) != NULL, "in these words");
    if (!strstr(message, want))
        printf("# got: %s\n", message);
    TAP_OK(memcmp(&map, &before, sizeof(map)) == 0, "and nothing is written");
}

static void test_refusals(void)
{
    static const struct {
        const char *text;
        const char *want;
    } rows[] = {
        {"", "needs 'read'"},
        {"[stable_memory]\n", "needs 'read'"},
        {"read = a\n", "line 1: there is no section []"},
        {"[backup]\nread = a\n", "line 2: there is no section [backup]"},
        {"[stable_memory]\nread = a\nwrite = b\n", "line 3: there is no key 'write'"},
        {"[stable_memory]\nread = a\n\nread = a\n", "line 4: 'read' is given twice"},
        {"[stable_memory]\nread = a\nfoo = 1\nbar = 2\nstyle = range\nbaz = 3\n",
         "line 3: there is no key 'foo'"},
        {"[stable_memory]\nread = a\nno equals sign\nfoo = 1\n", "line 3: not of the form"},
        {"[stable_memory]\nread = a\nfoo = 1\nid = -1\nno equals sign\n",
         "line 3: there is no key 'foo'"},
        {"[stable_memory]\nread = a\nstyle = odd\n", "line 3: style = 'odd' is not possible"},
        {"[stable_memory]\nread = a\nnumber = int\n", "line 3: number = 'int' is not possible"},
        {"[stable_memory]\nread = a\npage_size = 0\n", "line 3: page_size"},
        {"[stable_memory]\nread = a\npage_size = 99999999\n", "line 3: page_size"},
        {"[stable_memory]\nread = a\nid = -1\n", "line 3: id = '-1'"},
        {"[stable_memory]\nread =\n", "line 2: read = ''"},
        {"[stable_memory]\nread = a\nsize = b\nheader = c\n", "exclude each other"},
        {"[stable_memory]\nread = a\nread_at = b\n", "needs 'version'"},
        {"[stable_memory]\nversion = v\nread_at = b\nid = 1\n", "without id"},
        {"[stable_memory\nread = a\n", "line 1"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        refused(rows[i].text, strlen(rows[i].text), rows[i].want);
    refused("[stable_memory]\nread = a\0b\n", 27, "zero bytes");
    char *large = malloc(FS_MAP_MAX + 1);
    memset(large, '\n', FS_MAP_MAX + 1);
    refused(large, FS_MAP_MAX + 1, "too long");
    free(large);
    char name[400] = "[stable_memory]\nread = ";
    memset(name + strlen(name), 'x', 300);
    refused(name, strlen(name), "is not possible");
}

static void test_profiles(void)
{
    size_t n = 0;
    for (const struct fs_profile *profile = fs_profiles; profile->name; profile++) {
        struct fs_map map;
        fs_profile_map(profile, &map);
        TAP_OK(map.memory.read[0] && fs_profile_find(profile->name) == profile, profile->name);
        n++;
    }
    TAP_INT((int64_t)n, 9, "nine profiles");
    TAP_OK(fs_profile_find("none such") == NULL, "and no other");
}

int main(void)
{
    test_defaults();
    test_all_keys();
    test_refusals();
    test_profiles();
    return tap_done();
}
