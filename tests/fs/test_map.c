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
    TAP_OK(map.has_memory && map.n_collections == 0 && map.backup_version[0] == '\0',
           "and nothing else");
}

static void test_all_keys(void)
{
    struct fs_map map;
    char message[256] = "";
    const char *text = "# everything\n[stable_memory]\nread=r\nstyle=page\nnumber=nat32\n"
                       "page_size=65536\nid=7\nsize=s\nunit=pages\nprepare=p\n"
                       "write=w\ngrow=g\n";
    TAP_INT(fs_map_parse(&map, text, strlen(text), message, sizeof(message)), 0, "every key");
    const struct fs_memory *memory = &map.memory;
    TAP_OK(memory->style == FS_MEMORY_PAGE && memory->number == IC_TYPE_NAT32 && map.has_number &&
               memory->page_size == 65536 && memory->has_id && memory->id == 7 && !map.all_ids &&
               memory->unit == FS_MEMORY_UNIT_PAGES && strcmp(memory->size, "s") == 0 &&
               strcmp(memory->prepare, "p") == 0,
           "is taken");
    TAP_OK(strcmp(memory->write.write, "w") == 0 && strcmp(memory->write.grow, "g") == 0,
           "with the methods that write");
    text = "[stable_memory]\nread=r\nrestore=x\nwrite=w\ninit=i\nfinish=f\nhashes=h\n";
    TAP_INT(fs_map_parse(&map, text, strlen(text), message, sizeof(message)), 0, "the others");
    const struct fs_memory_write *write = &map.memory.write;
    TAP_OK(strcmp(write->restore, "x") == 0 && strcmp(write->init, "i") == 0 &&
               strcmp(write->finish, "f") == 0 && strcmp(write->hashes, "h") == 0 &&
               write->grow[0] == '\0',
           "are taken");
}

static uint32_t hash(const char *name)
{
    return ic_candid_hash(name, strlen(name));
}

static void test_collections(void)
{
    static struct fs_map map;
    char message[256] = "";
    const char *text = "[backup.content]\nmethod = get_contents\nstyle = items\n"
                       "number = nat64 nat32\nitems = posts\ntotal = #7\n"
                       "latest = time , cursor,3\n"
                       "[backup]\nversion = state_version\n"
                       "[backup.old one]\nmethod = getChunk\nid = 18446744073709551615\n"
                       "number = nat\n"
                       "[backup.pictures]\nmethod = p\nbytes = picture\ncount = n_pictures\n"
                       "[backup.all]\nmethod = a\nstyle = whole\n"
                       "[backup.chunks]\nmethod = c\nstyle = index\ncount = n\n"
                       "[backup.least]\nmethod = l\n";
    TAP_INT(fs_map_parse(&map, text, strlen(text), message, sizeof(message)), 0, "collections");
    TAP_STR(message, "", "without a word");
    TAP_OK(!map.has_memory && map.n_collections == 6, "six of them, and no memory");
    TAP_STR(map.backup_version, "state_version", "the method of their version");

    const struct fs_collection *c = &map.collections[0].collection;
    TAP_STR(c->name, "content", "its name");
    TAP_STR(c->method, "get_contents", "its method");
    TAP_INT((int64_t)map.collections[0].given,
            FS_GIVEN_STYLE | FS_GIVEN_NUMBERS | FS_GIVEN_ITEMS | FS_GIVEN_TOTAL, "all is given");
    TAP_OK(c->style == FS_COLLECTION_ITEMS && c->numbers[0] == IC_TYPE_NAT64 &&
               c->numbers[1] == IC_TYPE_NAT32 && c->items == hash("posts") && !c->is_bytes &&
               c->total == 7,
           "its fields by name and number");
    TAP_OK(c->n_latest == 3 && c->latest[0] == hash("time") && c->latest[1] == hash("cursor") &&
               c->latest[2] == 3,
           "its latest fields");

    c = &map.collections[1].collection;
    TAP_OK(strcmp(c->name, "old one") == 0 && c->style == FS_COLLECTION_LAST &&
               map.collections[1].given == (FS_GIVEN_STYLE | FS_GIVEN_NUMBERS) &&
               c->id == UINT64_MAX && c->numbers[0] == IC_TYPE_NAT && c->numbers[1] == IC_TYPE_NAT,
           "an id speaks for the style last");
    c = &map.collections[2].collection;
    TAP_OK(c->is_bytes && c->items == hash("picture") && strcmp(c->count, "n_pictures") == 0 &&
               map.collections[2].given == (FS_GIVEN_STYLE | FS_GIVEN_ITEMS),
           "bytes, counted");
    TAP_OK(map.collections[3].collection.style == FS_COLLECTION_WHOLE, "whole");
    TAP_OK(map.collections[4].collection.style == FS_COLLECTION_INDEX, "by index");
    c = &map.collections[5].collection;
    TAP_OK(map.collections[5].given == 0 && c->numbers[0] == IC_TYPE_NAT64 &&
               c->numbers[1] == IC_TYPE_NAT64,
           "the least leaves all open");
}

/* As many as there may be, and one more. */
static void test_many_collections(void)
{
    static struct fs_map map;
    char text[FS_COLLECTIONS_MAX * 32 + 64];
    char message[256] = "";
    size_t len = 0;
    for (int i = 0; i < FS_COLLECTIONS_MAX; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "[backup.n%d]\nmethod=m\n", i);
    TAP_INT(fs_map_parse(&map, text, len, message, sizeof(message)), 0, "64 collections");
    TAP_INT((int64_t)map.n_collections, FS_COLLECTIONS_MAX, "are taken");
    len += (size_t)snprintf(text + len, sizeof(text) - len, "[backup.more]\nmethod=m\n");
    TAP_INT(fs_map_parse(&map, text, len, message, sizeof(message)), -EINVAL, "one more");
    TAP_STR(message, "line 130: more than 64 collections", "is refused");
}

static void test_long_names(void)
{
    static struct fs_map map;
    for (int n = FS_MAP_NAME_MAX - 1; n < 70; n++) {
        char name[80] = "", text[160], message[256] = "";
        memset(name, 'n', (size_t)n);
        snprintf(text, sizeof(text), "[backup.%s]\nmethod = m\n", name);
        int result = fs_map_parse(&map, text, strlen(text), message, sizeof(message));
        if (n <= FS_MAP_NAME_MAX)
            TAP_OK(result == 0 && strcmp(map.collections[0].collection.name, name) == 0,
                   "a long name");
        else
            TAP_OK(result == -EINVAL && strstr(message, "over 40 bytes"), "a longer one");
    }
}

static void refused(const char *text, size_t len, const char *want)
{
    static struct fs_map map, before;
    memset(&map, 0x5a, sizeof(map));
    before = map;
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
        {"", "it has neither [stable_memory] nor [backup.NAME]"},
        {"; nothing\n", "it has neither"},
        {"[stable_memory]\n", "line 1: the section is empty"},
        {"[stable_memory]\nstyle = range\n", "line 2: [stable_memory]: needs 'read'"},
        {"read = a\n", "line 1: there is no section []"},
        {"[backups]\nread = a\n", "line 2: there is no section [backups]"},
        {"[backup]\nread = a\n", "line 2: there is no key 'read'"},
        {"[backup]\nversion =\n", "line 2: version = '' is not possible"},
        {"[backup]\nversion = v\n", "it has neither"},
        {"[backup]\nversion = v\nversion = w\n", "line 3: 'version' is given twice"},
        {"[backup.]\nmethod = a\n", "line 2: [backup.] cannot be"},
        {"[backup...]\nmethod = a\n", "line 2: [backup...] cannot be"},
        {"[backup..]\nmethod = a\n", "line 2: [backup..] cannot be"},
        {"[backup.a/b]\nmethod = a\n", "line 2: [backup.a/b] cannot be"},
        {"[backup.candid.did]\nmethod = a\n", "cannot be a directory's name"},
        {"[backup.a]\n", "line 1: the section is empty"},
        {"\n [backup.a]\n\n[backup.b]\nmethod = b\n", "line 2: the section is empty"},
        {"[backup.b]\nmethod = b\n[backup.a]\n; nothing\n", "line 3: the section is empty"},
        {"[backup.a]\nstyle = items\n", "line 2: [backup.a]: needs 'method'"},
        {"[backup.a]\nmethod = m\nread = m\n", "line 3: there is no key 'read'"},
        {"[backup.a]\nmethod = m\n[backup.b]\nmethod = n\n[backup.a]\nmethod = m\n",
         "line 6: 'method' is given twice"},
        {"[backup.a]\nmethod = m\nstyle = range\n", "line 3: style = 'range' is not possible"},
        {"[backup.a]\nmethod = m\nnumber = nat8\n", "line 3: number = 'nat8'"},
        {"[backup.a]\nmethod = m\nnumber = nat nat nat\n", "line 3: number = 'nat nat nat'"},
        {"[backup.a]\nmethod = m\nnumber =\n", "line 3: number = ''"},
        {"[backup.a]\nmethod = m\nitems =\n", "line 3: items = ''"},
        {"[backup.a]\nmethod = m\nitems = #\n", "line 3: items = '#'"},
        {"[backup.a]\nmethod = m\nitems = #x\n", "line 3: items = '#x'"},
        {"[backup.a]\nmethod = m\nitems = 4294967296\n", "line 3: items = '4294967296'"},
        {"[backup.a]\nmethod = m\nitems = 99999999999999\n", "line 3: items = '9999"},
        {"[backup.a]\nmethod = m\nlatest = a,,b\n", "line 3: latest = 'a,,b'"},
        {"[backup.a]\nmethod = m\nlatest = a,b,c,d,e\n", "line 3: latest = 'a,b,c,d,e'"},
        {"[backup.a]\nmethod = m\nid = -1\n", "line 3: id = '-1'"},
        {"[backup.a]\nmethod = m\nid = 18446744073709551616\n", "line 3: id = '1844"},
        {"[backup.a]\nmethod = m\nstyle = last\n", "line 2: [backup.a]: style last needs 'id'"},
        {"[backup.a]\nmethod = m\nstyle = index\n", "style index needs 'count'"},
        {"[backup.a]\nmethod = m\nstyle = items\nid = 1\n", "style items has no 'id'"},
        {"[backup.a]\nmethod = m\nstyle = whole\nitems = a\n", "style whole has no keys but"},
        {"[backup.a]\nmethod = m\nstyle = index\ncount = n\ntotal = t\n",
         "style index has no keys but"},
        {"[backup.a]\nmethod = m\nid = 1\ncount = c\n", "style last has no keys but"},
        {"[backup.a]\nmethod = m\nitems = a\nbytes = b\n", "'items' and 'bytes' exclude"},
        {"[backup.a]\nmethod = m\ntotal = a\ncount = b\n", "'total' and 'count' exclude"},
        {"[backup.a]\nmethod = m\nitems = a\ntotal = a\n", "has another meaning, too"},
        {"[backup.a]\nmethod = m\nbytes = a\nlatest = b, a\n", "has another meaning, too"},
        {"[stable_memory]\nsize = s\n[backup.a]\nmethod = m\n", "line 2: [stable_memory]: needs"},
        {"[stable_memory]\nread = a\nwrites = b\n", "line 3: there is no key 'writes'"},
        {"[stable_memory]\nread = a\ngrow = b\n", "'grow', 'init' and 'finish' need 'write'"},
        {"[stable_memory]\nread = a\nrestore = b\ninit = c\n", "need 'write'"},
        {"[stable_memory]\nread = a\nfinish = c\n", "need 'write'"},
        {"[stable_memory]\nread = a\nhashes = c\n", "'hashes' needs 'restore' or 'write'"},
        {"[stable_memory]\nread = a\nid = 1\nrestore = b\n", "go without id"},
        {"[stable_memory]\nread = a\nid = 1\nwrite = b\ninit = c\n", "go without id"},
        {"[stable_memory]\nread = a\nid = all\nwrite = b\nhashes = c\n", "go without id"},
        {"[stable_memory]\nread = a\nwrite =\n", "line 3: write = '' is not possible"},
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
    /* restore_commit must fit, too. */
    char restore[160] = "[stable_memory]\nread = r\nrestore = ";
    memset(restore + strlen(restore), 'x', FS_METHOD_NAME_MAX - strlen("_commit"));
    refused(restore, strlen(restore), "is not possible");
    static struct fs_map map;
    char message[256] = "";
    TAP_INT(fs_map_parse(&map, restore, strlen(restore) - 1, message, sizeof(message)), 0,
            "one less is");
}

static void test_profiles(void)
{
    size_t n = 0;
    for (const struct fs_profile *profile = fs_profiles; profile->name; profile++) {
        struct fs_map map;
        fs_profile_map(profile, &map);
        TAP_OK((map.memory.read[0] || map.n_collections > 0) &&
                   fs_profile_find(profile->name) == profile,
               profile->name);
        n++;
    }
    TAP_INT((int64_t)n, 10, "ten profiles");
    TAP_OK(fs_profile_find("none such") == NULL, "and no other");
}

/* How files are given back. Whatever is not said keeps them in order. */
static void test_restores(void)
{
    static const struct {
        const char *text;
        bool can_split, any_order;
    } cases[] = {
        {"[backup.a]\nmethod = m\nrestore = r\n", false, false},
        {"[backup.a]\nmethod = m\nsplit = yes\norder = kept\n", true, false},
        {"[backup.a]\nmethod = m\nsplit = yes\norder = any\n", true, true},
        {"[backup.a]\nmethod = m\nstyle = whole\norder = any\n", false, true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fs_map map;
        char message[200] = "";
        int result =
            fs_map_parse(&map, cases[i].text, strlen(cases[i].text), message, sizeof(message));
        const struct fs_restore_partner *restore = &map.collections[0].collection.restore;
        TAP_OK(result == 0 && restore->can_split == cases[i].can_split &&
                   restore->any_order == cases[i].any_order,
               *message ? message : strchr(cases[i].text, ' ') + 3);
    }
}

int main(void)
{
    test_defaults();
    test_all_keys();
    test_collections();
    test_many_collections();
    test_long_names();
    test_refusals();
    test_restores();
    test_profiles();
    return tap_done();
}
