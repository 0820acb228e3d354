/* What collections are restored with: which methods take back what others give, and why others do
 * not. */
#include "fs/discovery_impl.h"
#include "fs/profile.h"
#include "fs/restore_partner.h"
#include "tests/tap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

TAP_STATE;

static uint32_t hash(const char *name)
{
    return ic_candid_hash(name, strlen(name));
}

static const char *field_word(uint32_t id)
{
    static const char *const names[] = {"chunk", "chunk_polls", "content",      "polls", "users",
                                        "items", "data",        "total_length", "notes"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (hash(names[i]) == id)
            return names[i];
    return "?";
}

/* "METHOD opts split (FIELD=PART^opts ...) PART", or the reason. */
static void describe(const struct fs_restore_partner *partner, char *out, size_t size)
{
    size_t n;
    if (!partner->method[0]) {
        snprintf(out, size, "%s", partner->reason);
        return;
    }
    n = (size_t)snprintf(out, size, "%s %u%s", partner->method, partner->n_opts,
                         partner->can_split ? " split" : "");
    for (size_t i = 0; i < partner->n_fields; i++)
        n += (size_t)snprintf(out + n, size - n, " %s=%s^%u", field_word(partner->fields[i].id),
                              partner->fields[i].is_all ? "all"
                                                        : field_word(partner->fields[i].part),
                              partner->fields[i].n_opts);
    if (partner->is_part)
        snprintf(out + n, size - n, " %s", field_word(partner->part));
}

#define TYPES                                                                                      \
    "type Item = record { id : nat64; body : text };\n"                                            \
    "type Poll = record { id : nat64 };\n"                                                         \
    "type Users = record { chunk : vec Item; total_length : nat64 };\n"                            \
    "type Contents = record { chunk : vec Item; chunk_polls : vec Poll; total_length : nat64 };\n" \
    "type Parts = record { chunk : blob; total_length : nat64 };\n"                                \
    "type Limits = record { posts : nat32 };\n"                                                    \
    "type Backup = record { content : opt vec Item; polls : opt vec Poll; users : opt vec Item; "  \
    "limits : opt Limits };\n"                                                                     \
    "type Endless = opt Endless;\n"

/* The interface of these methods, found as -o map=, -o profile= or neither would. */
static void find(struct fs_discovery *out, const char *methods, const struct fs_map *map,
                 bool is_profile, char *misfit)
{
    char text[8192];
    struct ic_error err = {0};
    memset(out, 0, sizeof(*out));
    snprintf(text, sizeof(text), TYPES "service : { %s }", methods);
    TAP_INT(ic_did_parse(text, strlen(text), NULL, &out->did, &err), 0, err.message);
    struct discovery_search search = {.out = out, .did = out->did};
    TAP_INT(discovery_find_collections(&search, map, is_profile), 0, "nothing is asked");
    snprintf(misfit, 448, "%s", search.misfit);
}

static const struct fs_collection *collection(const struct fs_discovery *discovery,
                                              const char *name)
{
    for (size_t i = 0; i < discovery->n_collections; i++)
        if (strcmp(discovery->collections[i].name, name) == 0)
            return &discovery->collections[i];
    return NULL;
}

static void expect_of(const struct fs_discovery *discovery, const char *name, const char *want,
                      const char *words)
{
    char got[512] = "not a collection";
    const struct fs_collection *c = collection(discovery, name);
    if (c)
        describe(&c->restore, got, sizeof(got));
    TAP_STR(got, want, words);
    if (strcmp(got, want) != 0)
        printf("# got: %s\n", got);
}

/* The partner of the only collection of these methods. */
static void expect(const char *name, const char *methods, const char *want)
{
    static struct fs_discovery discovery;
    char misfit[448];
    find(&discovery, methods, NULL, false, misfit);
    expect_of(&discovery, name, want, methods);
    ic_did_free(discovery.did);
}

#define USERS "backup_users_chunk : (nat64, nat64) -> (opt Users) query; "
#define LOSES(restore, backup)                                                                     \
    restore " does not take all that " backup                                                      \
            " gives (a map can name another method, or say what goes where: wrap = FIELD=PART)"

static void test_names(void)
{
    expect("users", USERS "restore_users_chunk : (Users) -> ()", "restore_users_chunk 0 split");
    expect("users", USERS "restore_users_chunks : (Users) -> ()", "restore_users_chunks 0 split");
    expect("users", USERS "restore_users : (Users) -> ()", "restore_users 0 split");
    expect("users", USERS "restore_userss : (Users) -> ()", "restore_userss 0 split");
    expect("users", USERS "restore_users : (Users) -> (); restore_users_chunk : (opt Users) -> ()",
           "restore_users_chunk 1 split");
    expect("users", USERS "restore_portals : (Users) -> ()",
           "the canister has no method restore_users that takes it back");
    expect("item",
           "backup_item : (nat64, nat64) -> (vec Item) query; restore_items : (vec Item) -> ()",
           "restore_items 0 split");
    expect("backup", "backup : (nat32, nat32) -> (vec Item) query; restore : (vec Item) -> ()",
           "restore 0 split");
    expect("backup", "backup : () -> (opt Backup) query; restore : (Backup) -> ()", "restore 0");
    expect("chunks",
           "backupChunk : (nat, nat) -> (opt variant { v1 : Users }) query; getChunkCount : (nat) "
           "-> (nat) query; restoreChunk : (opt variant { v1 : Users }) -> ()",
           "restoreChunk 1");
}

static void test_types(void)
{
    expect("users", USERS "restore_users : (vec Item) -> ()", "restore_users 0 split chunk");
    expect("users", USERS "restore_users : (opt vec Item) -> (bool)",
           "restore_users 1 split chunk");
    expect("users", USERS "restore_users : (record { chunk : vec Item }) -> ()",
           "restore_users 0 split chunk=chunk^0");
    expect("users",
           USERS "restore_users : (opt record { chunk : opt vec Item; note : opt text }) -> ()",
           "restore_users 1 split chunk=chunk^1");
    expect("users", USERS "restore_users : (record { chunk : vec Item; note : text }) -> ()",
           LOSES("restore_users", "backup_users_chunk"));
    expect("users", USERS "restore_users : (vec record { id : nat64 }) -> ()",
           LOSES("restore_users", "backup_users_chunk"));
    expect("users", USERS "restore_users : (Backup) -> ()",
           LOSES("restore_users", "backup_users_chunk"));
    expect("users", USERS "restore_users : (reserved) -> ()",
           LOSES("restore_users", "backup_users_chunk"));
    expect("users", USERS "restore_users : (Endless) -> ()",
           LOSES("restore_users", "backup_users_chunk"));
    expect("users", USERS "restore_users : (Users) -> () query", "restore_users is a query");
    expect("users", USERS "restore_users : (Users) -> () oneway",
           "restore_users is a one-way method: nobody would know what became of a call");
    expect("users", USERS "restore_users : (nat64, Users) -> ()",
           "restore_users does not take one argument");
    /* A list beside the items would be lost. */
    expect("content",
           "backup_content_chunks : (nat64, nat64) -> (opt Contents) query; restore_content : "
           "(vec Item) -> ()",
           LOSES("restore_content", "backup_content_chunks"));
    expect("limits", "backup_limits : () -> (opt Limits) query; restore_limits : (Limits) -> ()",
           "restore_limits 0");
    expect("limits",
           "backup_limits : () -> (opt Limits) query; restore_limits : (record { posts : nat32; "
           "more : opt text }) -> ()",
           "restore_limits 0");
    /* A list that is given whole may be replaced as a whole. */
    expect("nfts", "backup_nfts : () -> (vec Item) query; restore_nfts : (vec Item) -> ()",
           "restore_nfts 0");
}

static void test_bytes(void)
{
    static const char backup[] = "backup_parts_chunk : (nat64, nat64) -> (opt Parts) query; ";
    char methods[512];
    snprintf(methods, sizeof(methods), "%srestore_parts : (blob) -> ()", backup);
    expect("parts", methods, "restore_parts 0 chunk");
    snprintf(methods, sizeof(methods), "%srestore_parts : (record { chunk : blob }) -> ()", backup);
    expect("parts", methods, "restore_parts 0 chunk=chunk^0");
    snprintf(methods, sizeof(methods),
             "%srestore_parts : (record { chunk : blob; total_length : opt nat64 }) -> ()", backup);
    expect("parts", methods, "restore_parts 0 chunk=chunk^0");
    /* A file of bytes does not know the total. */
    snprintf(methods, sizeof(methods), "%srestore_parts : (Parts) -> ()", backup);
    expect("parts", methods, LOSES("restore_parts", "backup_parts_chunk"));
}

/* --- maps --- */

#define CONTENTS                                                                                   \
    "backup_content_chunks : (nat64, nat64) -> (opt Contents) query; restore_content : (Backup) "  \
    "-> (); "

static void expect_map(const char *map_text, const char *methods, const char *want)
{
    static struct fs_discovery discovery;
    static struct fs_map map;
    char message[256] = "", misfit[448], text[1024];
    snprintf(text, sizeof(text), "[backup.content]\nmethod = backup_content_chunks\n%s\n",
             map_text);
    TAP_INT(fs_map_parse(&map, text, strlen(text), message, sizeof(message)), 0, message);
    find(&discovery, methods, &map, false, misfit);
    if (misfit[0])
        TAP_STR(misfit, want, want);
    else
        expect_of(&discovery, "content", want, want);
    if (misfit[0] && strcmp(misfit, want) != 0)
        printf("# got: %s\n", misfit);
    ic_did_free(discovery.did);
}

#define MISFIT "backup_content_chunks: "

static void test_maps(void)
{
    expect_map("", CONTENTS, LOSES("restore_content", "backup_content_chunks"));
    expect_map("restore = restore_content\nwrap = content=chunk polls=chunk_polls", CONTENTS,
               "restore_content 0 split content=chunk^1 polls=chunk_polls^1");
    expect_map("restore = restore_content\nwrap = content", CONTENTS,
               "restore_content 0 split content=chunk^1");
    expect_map("restore = give\nwrap = data",
               CONTENTS "give : (record { data : opt Contents }) -> ()", "give 0 split data=all^1");
    expect_map("restore = restore_content\nwrap = content=chunk\nsplit = no", CONTENTS,
               "restore_content 0 content=chunk^1");
    expect_map("restore = give", CONTENTS "give : (Contents) -> ()", "give 0 split");
    expect_map("restore = restore_content", CONTENTS,
               MISFIT LOSES("restore_content", "backup_content_chunks"));
    expect_map("restore = gone", CONTENTS, MISFIT "gone is not in the Candid interface");
    expect_map("restore = restore_content\nwrap = nothing=chunk", CONTENTS,
               MISFIT "restore_content: its argument has no field that 'wrap' names");
    expect_map("restore = restore_content\nwrap = content=nothing", CONTENTS,
               MISFIT "backup_content_chunks gives no field that 'wrap' names");
    expect_map("restore = restore_content\nwrap = limits=chunk", CONTENTS,
               MISFIT "restore_content takes another type for a field that 'wrap' names");
    expect_map("restore = give\nwrap = data=chunk",
               CONTENTS "give : (record { data : vec Item; more : text }) -> ()",
               MISFIT "give needs fields that 'wrap' does not name");
    expect_map("restore = give\nwrap = data", CONTENTS "give : (vec Item) -> ()",
               MISFIT "give takes no record: there is nothing to wrap");
}

static void test_map_refusals(void)
{
    static const struct {
        const char *lines;
        const char *words;
    } rows[] = {
        {"wrap = a=b", "line 2: [backup.x]: 'wrap' needs 'restore'"},
        {"restore = r\nwrap = a=b a=c", "line 4: wrap = 'a=b a=c' is not possible"},
        {"restore = r\nwrap = =b", "line 4: wrap = '=b' is not possible"},
        {"restore = r\nwrap = a=", "line 4: wrap = 'a=' is not possible"},
        {"restore = r\nwrap = 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16",
         "line 4: wrap = '0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16' is not possible"},
        {"split = perhaps", "line 3: split = 'perhaps' is not possible"},
        {"style = last\nid = 1\nrestore = r",
         "line 2: [backup.x]: style last has no keys but 'method', 'number' and 'id'"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        static struct fs_map map;
        char message[256] = "", text[512];
        snprintf(text, sizeof(text), "[backup.x]\nmethod = m\n%s\n", rows[i].lines);
        TAP_INT(fs_map_parse(&map, text, strlen(text), message, sizeof(message)), -EINVAL,
                "refused");
        TAP_STR(message, rows[i].words, rows[i].words);
        if (strcmp(message, rows[i].words) != 0)
            printf("# got: %s\n", message);
    }
}

/* Without the interface there is none, whoever names it; that is no misfit. */
static void test_without_interface(void)
{
    struct fs_collection c = {.name = "x", .method = "backup_x", .n_results = 0};
    snprintf(c.restore.method, sizeof(c.restore.method), "restore_x");
    TAP_OK(fs_restore_partner_find(&c, FS_GIVEN_RESTORE, NULL), "no misfit");
    TAP_STR(c.restore.method, "", "but none");
    TAP_OK(strstr(c.restore.reason, "-o did=FILE") != NULL, c.restore.reason);
}

static void test_profile(void)
{
    static struct fs_discovery discovery;
    static struct fs_map map;
    char misfit[448];
    const char *methods =
        "backup : () -> (opt Backup) query; backup_content_chunks : (nat64, nat64) -> (opt "
        "Contents) query; " USERS "backup_portals_chunk : (nat64, nat64) -> (opt Users) query; "
        "backup_limits : () -> (opt Limits) query; backup_nfts : () -> (vec Item) query; "
        "restore : (Backup) -> (); restore_content : (Backup) -> (); restore_users : (Backup) -> "
        "(); restore_nfts : (vec Item) -> (); restore_portals : (Users) -> (); restore_limits : "
        "(Limits) -> ()";
    fs_profile_map(fs_profile_find("dscvr"), &map);
    find(&discovery, methods, &map, true, misfit);
    TAP_STR(misfit, "", "all fits");
    expect_of(&discovery, "content", "restore_content 0 split content=chunk^1 polls=chunk_polls^1",
              "content");
    expect_of(&discovery, "users", "restore_users 0 split users=chunk^1", "users");
    expect_of(&discovery, "portals", "restore_portals 0 split", "portals");
    expect_of(&discovery, "limits", "restore_limits 0", "limits");
    expect_of(&discovery, "nfts", "restore_nfts 0 split", "nfts");
    expect_of(&discovery, "backup", "restore 0", "backup");
    ic_did_free(discovery.did);
}

int main(void)
{
    test_names();
    test_types();
    test_bytes();
    test_maps();
    test_map_refusals();
    test_without_interface();
    test_profile();
    return tap_done();
}
