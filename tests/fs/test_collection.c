/* Collections in Candid interfaces: which are recognised, how they are read, which are not shown,
 * and why. */
#include "fs/collection.h"
#include "fs/discovery_impl.h"
#include "tests/tap.h"

#include <stdlib.h>
#include <string.h>

TAP_STATE;

static uint32_t hash(const char *name)
{
    return ic_candid_hash(name, strlen(name));
}

/* --- a collection in one line --- */

static const char *kind_word(enum ic_type_kind kind)
{
    return kind == IC_TYPE_NAT     ? "nat"
           : kind == IC_TYPE_NAT32 ? "nat32"
           : kind == IC_TYPE_NAT64 ? "nat64"
                                   : "?";
}

static const char *field_word(uint32_t id, char out[16])
{
    static const char *const names[] = {
        "chunk",        "items",  "data",        "entries",    "list",        "posts",
        "total",        "count",  "total_count", "totalCount", "totalLength", "total_items",
        "total_length", "length", "image",       "n_posts",    "numUsers",    "hash",
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (hash(names[i]) == id)
            return names[i];
    snprintf(out, 16, "#%u", id);
    return out;
}

static void describe(const struct fs_collection *c, char *out, size_t size)
{
    static const char *const styles[] = {"items", "whole", "index", "last"};
    static const char *const ends[] = {"", " total", " count", " empty", " last"};
    char items[16], total[16];
    size_t n = (size_t)snprintf(out, size, "%s=%s %s%s", c->name, c->method, styles[c->style],
                                ends[c->end]);
    if (c->style != FS_COLLECTION_WHOLE)
        n += (size_t)snprintf(out + n, size - n, " (%s, %s)", kind_word(c->numbers[0]),
                              kind_word(c->numbers[1]));
    if (c->is_record)
        n += (size_t)snprintf(out + n, size - n, " %s%s", c->is_bytes ? "bytes " : "",
                              field_word(c->items, items));
    if (c->end == FS_END_TOTAL)
        n += (size_t)snprintf(out + n, size - n, " of %s", field_word(c->total, total));
    if (c->count[0])
        n += (size_t)snprintf(out + n, size - n, " by %s(%s)", c->count,
                              c->style == FS_COLLECTION_INDEX ? kind_word(c->count_number) : "");
}

/* --- finding --- */

struct found {
    struct fs_discovery discovery;
    struct ic_did *did;
    char text[8192]; /* a line for each collection, then "METHOD: REASON" for what is not shown */
};

static void find(struct found *found, const char *did, const struct fs_map *map, bool is_profile,
                 struct discovery_search *search)
{
    struct ic_error err = {0};
    memset(found, 0, sizeof(*found));
    TAP_INT(ic_did_parse(did, strlen(did), NULL, &found->did, &err), 0, err.message);
    *search = (struct discovery_search){.out = &found->discovery, .did = found->did};
    TAP_INT(discovery_find_collections(search, map, is_profile), 0, "nothing is asked");
    struct fs_discovery *out = &found->discovery;
    size_t n = 0;
    for (size_t i = 0; i < out->n_collections && n < sizeof(found->text) - 600; i++) {
        describe(&out->collections[i], found->text + n, sizeof(found->text) - n);
        n = strlen(found->text);
        n += (size_t)snprintf(found->text + n, sizeof(found->text) - n, "\n");
    }
    for (size_t i = 0; i < out->n_not_shown && n < sizeof(found->text) - 600; i++)
        n += (size_t)snprintf(found->text + n, sizeof(found->text) - n, "%s: %s\n",
                              out->not_shown[i].method, out->not_shown[i].reason);
}

static void expect_text(const char *got, const char *want, const char *words)
{
    TAP_STR(got, want, words);
    if (strcmp(got, want) != 0)
        printf("# got: %s\n", got);
}

static void expect(const char *did, const char *want, const char *words)
{
    static struct found found;
    struct discovery_search search;
    find(&found, did, NULL, false, &search);
    expect_text(found.text, want, words);
    ic_did_free(found.did);
}

/* One method of this name and type. */
static void expect_method(const char *method, const char *want)
{
    char did[2048];
    snprintf(did, sizeof(did), "type T = record { id : nat64 };\nservice : { %s }", method);
    expect(did, want, method);
}

static void test_known_shapes(void)
{
    expect("type Content = record { id : nat64 };\n"
           "type Chunk = record { chunk : vec Content; chunk_polls : vec text; "
           "total_length : nat64 };\n"
           "service : {\n"
           "  backup : () -> (opt record { content : opt vec Content }) query;\n"
           "  backup_content_chunks : (start : nat64, limit : nat64) -> (opt Chunk) query;\n"
           "  backup_users_chunk : (nat64, nat64) -> (opt Chunk) query;\n"
           "  backup_limits : () -> (opt record { posts : nat32 }) query;\n"
           "  backup_nfts : () -> (vec Content) query;\n"
           "  restore_content : (Chunk) -> ();\n"
           "}",
           "backup=backup whole\n"
           "content=backup_content_chunks items total (nat64, nat64) chunk of total_length\n"
           "limits=backup_limits whole\n"
           "nfts=backup_nfts whole\n"
           "users=backup_users_chunk items total (nat64, nat64) chunk of total_length\n",
           "DSCVR");
    expect("type Profile = record { username : opt text };\n"
           "service : {\n"
           "  backup : (offset : nat32, count : nat32) -> (vec record { text; Profile }) query;\n"
           "  restore : (vec record { text; Profile }) -> ();\n"
           "  stable_read : (nat64, nat64) -> (vec nat8) query;\n"
           "}",
           "backup=backup items empty (nat32, nat32)\n", "Factland");
    expect("type StableChunk = opt variant { v1 : record { m : vec nat } };\n"
           "service : {\n"
           "  backupChunk : (chunkSize : nat, chunkIndex : nat) -> (StableChunk) query;\n"
           "  getChunkCount : (chunkSize : nat) -> (nat) query;\n"
           "  restoreChunk : (StableChunk) -> ();\n"
           "}",
           "chunks=backupChunk index count (nat, nat) by getChunkCount(nat)\n", "power-equalizer");
    expect("service : {\n"
           "  getChunk : (nat, nat) -> (blob, bool) query;\n"
           "  startBackup : (text) -> (nat);\n"
           "  uploadChunk : (nat, blob) -> ();\n"
           "}",
           "getChunk: a map must say which backup, id = N\n", "ZenVoich's backup");
    expect("service : {\n"
           "  backup_stable_storage : (nat64, nat64) -> (vec nat8) query;\n"
           "  backup : () -> ();\n"
           "  stable_mem_read : (nat64) -> (vec record { nat64; blob }) query;\n"
           "}",
           "backup: it is not a query\n"
           "backup_stable_storage: it gives bytes: a map can name it as memory, "
           "read = backup_stable_storage\n",
           "bytes and updates");
    expect("type R = variant { Ok : record { bytes : blob }; Err : text };\n"
           "service : {\n"
           "  begin_database_archive : (text) -> (R);\n"
           "  read_database_archive_chunk : (text, nat64, nat32) -> (R) query;\n"
           "  download_snapshot : (nat64, nat64) -> (blob) query;\n"
           "  getChunk : (text, nat) -> (blob) query;\n"
           "}",
           "", "nothing of these names");
}

static void test_items(void)
{
    static const struct {
        const char *result;
        const char *want;
    } rows[] = {
        {"vec T", "x=backup_x_chunk items empty (nat64, nat64)\n"},
        {"opt vec T", "x=backup_x_chunk items empty (nat64, nat64)\n"},
        {"opt opt opt record { chunk : vec T; total_length : nat }",
         "x=backup_x_chunk items total (nat64, nat64) chunk of total_length\n"},
        {"record { chunk : vec T }", "x=backup_x_chunk items empty (nat64, nat64) chunk\n"},
        /* which field holds the items */
        {"record { chunk : blob; hash : blob; total_length : nat64 }",
         "x=backup_x_chunk items total (nat64, nat64) bytes chunk of total_length\n"},
        {"record { chunk : blob; entries : vec text }",
         "x=backup_x_chunk items empty (nat64, nat64) bytes chunk\n"},
        {"record { data : vec T; entries : vec T }",
         "x=backup_x_chunk items empty (nat64, nat64) data\n"},
        {"record { data : blob; list : vec T }",
         "x=backup_x_chunk items empty (nat64, nat64) list\n"},
        {"record { items : vec T; data : vec T; chunk : text }",
         "x=backup_x_chunk items empty (nat64, nat64) items\n"},
        {"record { posts : vec T; hash : blob }",
         "x=backup_x_chunk items empty (nat64, nat64) posts\n"},
        {"record { image : blob; total : nat32 }",
         "x=backup_x_chunk items total (nat64, nat64) bytes image of total\n"},
        {"record { vec T; nat64 }", "x=backup_x_chunk items empty (nat64, nat64) #0\n"},
        {"record { posts : vec T; users : vec T; total : nat64 }",
         "backup_x_chunk: items may be in users, posts: a map must say which, items = FIELD\n"},
        {"record { posts : vec T; users : vec T; zebras : vec T }",
         "backup_x_chunk: items may be in zebras, users or others: a map must say which, "
         "items = FIELD\n"},
        {"record { 5 : vec T; 6 : vec T }",
         "backup_x_chunk: items may be in #5, #6: a map must say which, items = FIELD\n"},
        {"record { image : blob; hash : blob }",
         "backup_x_chunk: items may be in hash, image: a map must say which, items = FIELD\n"},
        {"record { total : nat64 }", "backup_x_chunk: its record has no list of items\n"},
        {"record { chunk : opt vec T }", "backup_x_chunk: its record has no list of items\n"},
        {"record {}", "backup_x_chunk: its record has no list of items\n"},
        /* which field is the total */
        {"record { chunk : vec T; total : nat8; total_length : nat64; count : nat }",
         "x=backup_x_chunk items total (nat64, nat64) chunk of total_length\n"},
        {"record { chunk : vec T; totalLength : nat; length : nat }",
         "x=backup_x_chunk items total (nat64, nat64) chunk of totalLength\n"},
        {"record { chunk : vec T; total_length : text; total_count : nat32; at : nat64 }",
         "x=backup_x_chunk items total (nat64, nat64) chunk of total_count\n"},
        {"record { chunk : vec T; totalCount : nat; total_items : nat }",
         "x=backup_x_chunk items total (nat64, nat64) chunk of totalCount\n"},
        {"record { chunk : vec T; total_items : nat16 }",
         "x=backup_x_chunk items total (nat64, nat64) chunk of total_items\n"},
        {"record { chunk : vec T; length : nat64 }",
         "x=backup_x_chunk items total (nat64, nat64) chunk of length\n"},
        {"record { chunk : vec T; count : nat64 }",
         "x=backup_x_chunk items total (nat64, nat64) chunk of count\n"},
        {"record { chunk : vec T; numUsers : nat64 }",
         "x=backup_x_chunk items total (nat64, nat64) chunk of numUsers\n"},
        {"record { chunk : vec T; total : int }",
         "x=backup_x_chunk items empty (nat64, nat64) chunk\n"},
        {"record { chunk : vec T; version : nat64 }", /* a lone number, but not of items */
         "x=backup_x_chunk items empty (nat64, nat64) chunk\n"},
        {"record { chunk : vec T; next : nat64 }",
         "x=backup_x_chunk items empty (nat64, nat64) chunk\n"},
        {"record { chunk : vec T; n_total : nat64; m_total : nat64 }",
         "x=backup_x_chunk items empty (nat64, nat64) chunk\n"},
        /* what is no items */
        {"variant { ok : vec T; err : text }",
         "backup_x_chunk: its result is neither a list nor a record with one\n"},
        {"func () -> ()", "backup_x_chunk: its result is neither a list nor a record with one\n"},
        {"nat64", "backup_x_chunk: its result is neither a list nor a record with one\n"},
        {"opt blob", "backup_x_chunk: it gives bytes: a map can name it as memory, "
                     "read = backup_x_chunk\n"},
        {"vec T, nat64", "backup_x_chunk: it has 2 results: items come in one\n"},
        {"", "backup_x_chunk: it gives nothing\n"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char method[512];
        snprintf(method, sizeof(method), "backup_x_chunk : (nat64, nat64) -> (%s) query",
                 rows[i].result);
        expect_method(method, rows[i].want);
    }
}

static void test_methods(void)
{
    static const struct {
        const char *method;
        const char *want;
    } rows[] = {
        {"backup_x : (nat, nat32) -> (vec T) query", "x=backup_x items empty (nat, nat32)\n"},
        {"backup_x : (nat64, nat64) -> (vec T) composite_query",
         "x=backup_x items empty (nat64, nat64)\n"},
        {"backup_x : (nat64, nat64) -> (vec T)", "backup_x: it is not a query\n"},
        {"backup_x : (nat64) -> (vec T) query",
         "backup_x: it does not take two numbers (nat, nat32 or nat64)\n"},
        {"backup_x : (nat64, nat8) -> (vec T) query",
         "backup_x: it does not take two numbers (nat, nat32 or nat64)\n"},
        {"backup_x : (text, nat64, nat64) -> (vec T) query",
         "backup_x: it does not take two numbers (nat, nat32 or nat64)\n"},
        {"backup_x : () -> () query", "backup_x: it gives nothing\n"},
        {"backup_x : () -> (blob, nat) query", "x=backup_x whole\n"},
        {"backup_x_chunks : () -> (T) query", "x_chunks=backup_x_chunks whole\n"},
        {"backup_version : () -> (nat64) query", "version=backup_version whole\n"},
        {"backup_ : () -> (T) query", ""},
        {"backups : () -> (T) query", ""},
        {"Backup : () -> (T) query", ""},
        {"backup__chunk : (nat, nat) -> (vec T) query",
         "_chunk=backup__chunk items empty (nat, nat)\n"},
        {"backup_chunk : (nat, nat) -> (vec T) query",
         "chunk=backup_chunk items empty (nat, nat)\n"},
        {"\"backup_a b\" : () -> (T) query", "a b=backup_a b whole\n"},
        {"\"backup_a/b\" : () -> (T) query", "backup_a/b: its name cannot be a directory's\n"},
        {"\"backup_.\" : () -> (T) query", "backup_.: its name cannot be a directory's\n"},
        {"\"backup_.._chunk\" : (nat, nat) -> (vec T) query",
         "backup_.._chunk: its name cannot be a directory's\n"},
        {"\"backup_...\" : () -> (T) query", "...=backup_... whole\n"},
        {"\"backup_candid.did\" : () -> (T) query",
         "backup_candid.did: its name cannot be a directory's\n"},
        {"backupChunk : (nat, nat) -> (T) query",
         "backupChunk: getChunkCount is not in the Candid interface\n"},
        {"backupChunk : (nat, nat) -> (T) query; getChunkCount : (nat) -> (nat)",
         "backupChunk: getChunkCount is not a query\n"},
        {"backupChunk : (nat, nat) -> (T) query; getChunkCount : () -> (nat) query",
         "backupChunk: getChunkCount is not a method (nat) -> (nat)\n"},
        {"backupChunk : (nat64, nat32) -> (T, T) query; getChunkCount : (nat32) -> (nat8) query",
         "chunks=backupChunk index count (nat64, nat32) by getChunkCount(nat32)\n"},
        {"backupChunk : (nat) -> (T) query; getChunkCount : (nat) -> (nat) query",
         "backupChunk: it does not take two numbers (nat, nat32 or nat64)\n"},
        {"getChunk : (nat, nat) -> (blob, bool)", "getChunk: it is not a query\n"},
        {"getChunk : (nat, nat) -> (blob) query", ""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        expect_method(rows[i].method, rows[i].want);
}

/* A zero byte cannot be in a name of ours, nor half a character. */
/* What arguments are called tells when they are something else. */
static void test_argument_names(void)
{
#define OTHERS                                                                                     \
    ": by their names its arguments are not where to start and how many items (a map with style "  \
    "= items says that they are)\n"
    expect_method("backup_a : (start : nat, end : nat) -> (vec T) query", "backup_a" OTHERS);
    expect_method("backup_a : (limit : nat, start : nat) -> (vec T) query", "backup_a" OTHERS);
    expect_method("backup_a : (page : nat, size : nat) -> (vec T) query", "backup_a" OTHERS);
    expect_method("backup_a : (from : nat, to : nat) -> (vec T) query", "backup_a" OTHERS);
    expect_method("backup_a : (offset : nat, length : nat) -> (vec T) query",
                  "a=backup_a items empty (nat, nat)\n");
    expect_method("backup_a : (skip : nat, take : nat) -> (vec T) query",
                  "a=backup_a items empty (nat, nat)\n");
    expect_method("backup_a : (nat, to : nat) -> (vec T) query", "backup_a" OTHERS);
    expect_method("backup_a : (ends : nat, nat) -> (vec T) query",
                  "a=backup_a items empty (nat, nat)\n");
#undef OTHERS
}

static void test_hostile_names(void)
{
    char name[400], did[700];
    expect_method("\"backup_a\\00b\" : () -> (T) query",
                  "backup_a: its name cannot be a directory's\n");
    expect_method("\"backup_a\\0ab\" : () -> (T) query",
                  "backup_a\nb: its name cannot be a directory's\n");
    for (size_t len = 118; len <= 300; len++) {
        size_t n = 0;
        for (; n < len; n += 2)
            memcpy(name + n, "\xc3\xa9", 3);
        snprintf(did, sizeof(did), "service : { \"backup_%s\" : () -> (nat) query }", name);
        static struct found found;
        struct discovery_search search;
        find(&found, did, NULL, false, &search);
        struct fs_discovery *out = &found.discovery;
        TAP_INT((int64_t)(out->n_collections + out->n_not_shown), 1, "a long name");
        if (out->n_not_shown) {
            const char *shown = out->not_shown[0].method;
            TAP_OK(7 + n >= FS_METHOD_NAME_MAX && strlen(shown) < FS_METHOD_NAME_MAX &&
                       ic_view_is_utf8(ic_view(shown, strlen(shown))) &&
                       strcmp(shown + strlen(shown) - 3, "...") == 0,
                   "is cut");
            TAP_STR(out->not_shown[0].reason, "its name is too long", "and said to be");
        } else {
            TAP_OK(7 + n < FS_METHOD_NAME_MAX && strlen(out->collections[0].method) == 7 + n,
                   "is whole");
        }
        ic_did_free(found.did);
    }
}

static void test_hostile_types(void)
{
    expect("type A = opt A; type V = vec V; type R = record { chunk : vec R; total : R2 };\n"
           "type R2 = record { R };\n"
           "service : {\n"
           "  backup_a : (nat, nat) -> (A) query;\n"
           "  backup_b : (nat, nat) -> (V) query;\n"
           "  backup_c : (nat, nat) -> (R) query;\n"
           "}",
           "b=backup_b items empty (nat, nat)\n"
           "c=backup_c items empty (nat, nat) chunk\n"
           "backup_a: its result is neither a list nor a record with one\n",
           "types that hold themselves");
}

/* Ten thousand methods: as many as there is room for, and the others are counted. */
static void test_many(void)
{
    static struct found found;
    struct discovery_search search;
    size_t room = 10000 * 64 + 64, n = 0;
    char *did = malloc(room);
    n += (size_t)snprintf(did + n, room - n, "service : {\n");
    for (int i = 0; i < 5000; i++)
        n += (size_t)snprintf(did + n, room - n,
                              "backup_a%d : () -> (nat) query;\nbackup_b%d : () -> (nat);\n", i, i);
    snprintf(did + n, room - n, "}");
    find(&found, did, NULL, false, &search);
    struct fs_discovery *out = &found.discovery;
    TAP_INT((int64_t)out->n_collections, FS_COLLECTIONS_MAX, "64 are shown");
    TAP_INT((int64_t)out->n_not_shown, FS_NOT_SHOWN_MAX, "64 are said not to be");
    TAP_STR(out->not_shown[0].reason, "there are more than 64 collections", "and why");
    TAP_INT((int64_t)out->n_not_listed, 10000 - FS_COLLECTIONS_MAX - FS_NOT_SHOWN_MAX,
            "the others are counted");
    ic_did_free(found.did);
    free(did);
}

static void test_names(void)
{
    expect("service : {\n"
           "  backup_x : () -> (nat) query;\n"
           "  backup_x_chunk : (nat, nat) -> (vec nat) query;\n"
           "  backup_x_chunks : (nat, nat) -> (vec nat) query;\n"
           "}",
           "backup_x=backup_x whole\n"
           "x=backup_x_chunk items empty (nat, nat)\n"
           "backup_x_chunks=backup_x_chunks items empty (nat, nat)\n",
           "one name for three: the first with items keeps it");
    expect("service : {\n"
           "  backup_x : () -> (nat) query;\n"
           "  backup_backup_x : () -> (nat) query;\n"
           "  backup_x_chunk : (nat, nat) -> (vec nat) query;\n"
           "}",
           "backup_x=backup_backup_x whole\n"
           "x=backup_x_chunk items empty (nat, nat)\n"
           "backup_x: other collections have its names\n",
           "and the whole name may be taken, too");
}

static void test_version(void)
{
    static const struct {
        const char *method;
        const char *want;
    } rows[] = {
        {"() -> (record { version : nat64; mtime_ns : nat64; size : nat64 }) query",
         "backup_version"},
        {"() -> (record { version : nat; mtime_ns : nat64 }) composite_query", "backup_version"},
        {"() -> (record { version : nat64; mtime_ns : nat64 })", ""},
        {"() -> (record { version : nat64 }) query", ""},
        {"() -> (record { version : text; mtime_ns : nat64 }) query", ""},
        {"(nat) -> (record { version : nat64; mtime_ns : nat64 }) query", ""},
        {"() -> (opt record { version : nat64; mtime_ns : nat64 }) query", ""},
        {"() -> (nat64) query", ""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        static struct found found;
        struct discovery_search search;
        char did[300];
        snprintf(did, sizeof(did), "service : { backup_version : %s }", rows[i].method);
        find(&found, did, NULL, false, &search);
        TAP_STR(found.discovery.backup_version, rows[i].want, rows[i].method);
        TAP_OK((found.text[0] == '\0') == (rows[i].want[0] != '\0'), "or it is something else");
        ic_did_free(found.did);
    }
}

/* --- with a map --- */

static void expect_map(const char *did, const char *text, const char *want, const char *misfit)
{
    static struct found found;
    static struct fs_map map;
    struct discovery_search search;
    char message[256] = "";
    TAP_INT(fs_map_parse(&map, text, strlen(text), message, sizeof(message)), 0, message);
    find(&found, did, &map, false, &search);
    expect_text(found.text, want, "a map");
    expect_text(search.misfit, misfit, "what does not fit");
    ic_did_free(found.did);
}

#define MAPPED                                                                                     \
    "type T = record { id : nat64 };\n"                                                            \
    "service : {\n"                                                                                \
    "  get : (nat64, nat32) -> (opt record { posts : vec T; users : vec T; n : nat64; m : nat64 "  \
    "}) query;\n"                                                                                  \
    "  list : (nat, nat) -> (vec T) query;\n"                                                      \
    "  pictures : (nat64, nat64) -> (record { image : blob; hash : blob }) query;\n"               \
    "  n_posts : () -> (nat64) query;\n"                                                           \
    "  all : () -> (T) query;\n"                                                                   \
    "  chunk : (nat64, nat64) -> (T) query;\n"                                                     \
    "  n_chunks : (nat64) -> (nat32) query;\n"                                                     \
    "  getChunk : (nat, nat) -> (blob, bool) query;\n"                                             \
    "  state : () -> (record { version : nat64; mtime_ns : nat64 }) query;\n"                      \
    "  backup_x : (nat, nat) -> (vec T) query;\n"                                                  \
    "  write : (nat64, nat64) -> (vec T);\n"                                                       \
    "}"

static void test_maps(void)
{
    static const char rest[] = "x=backup_x items empty (nat, nat)\n"
                               "getChunk: a map must say which backup, id = N\n";
    char want[1024];
    static const struct {
        const char *map;
        const char *want;
    } rows[] = {
        {"[backup.a]\nmethod = get\nitems = posts\n", "a=get items empty (nat64, nat32) posts\n"},
        {"[backup.a]\nmethod = get\nitems = posts\ntotal = n\nnumber = nat64 nat32\n",
         "a=get items total (nat64, nat32) posts of #110\n"},
        {"[backup.a]\nmethod = get\nitems = posts\ncount = n_posts\n",
         "a=get items count (nat64, nat32) posts by n_posts()\n"},
        {"[backup.a]\nmethod = list\ncount = n_posts\nstyle = items\n",
         "a=list items count (nat, nat) by n_posts()\n"},
        {"[backup.a]\nmethod = get\nitems = users\nlatest = n, #109\n",
         "a=get items empty (nat64, nat32) #2855432136\n"},
        {"[backup.a]\nmethod = list\n", "a=list items empty (nat, nat)\n"},
        {"[backup.a]\nmethod = pictures\nbytes = image\n",
         "a=pictures items empty (nat64, nat64) bytes image\n"},
        {"[backup.a]\nmethod = pictures\nitems = hash\n",
         "a=pictures items empty (nat64, nat64) bytes hash\n"},
        {"[backup.a]\nmethod = all\n", "a=all whole\n"},
        {"[backup.a]\nmethod = chunk\ncount = n_chunks\n",
         "a=chunk index count (nat64, nat64) by n_chunks(nat64)\n"},
        {"[backup.b]\nmethod = chunk\nstyle = index\ncount = n_chunks\n[backup.a]\nmethod = all\n",
         "b=chunk index count (nat64, nat64) by n_chunks(nat64)\na=all whole\n"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        snprintf(want, sizeof(want), "%s%s", rows[i].want, rest);
        expect_map(MAPPED, rows[i].map, want, "");
    }
    expect_map(MAPPED,
               "[backup.seven]\nmethod = getChunk\nid = 7\n[backup.eight]\nmethod = getChunk\n"
               "id = 8\n",
               "seven=getChunk last last (nat, nat)\neight=getChunk last last (nat, nat)\n"
               "x=backup_x items empty (nat, nat)\n",
               "");
    expect_map(MAPPED, "[backup.mine]\nmethod = backup_x\ncount = n_posts\n",
               "mine=backup_x items count (nat, nat) by n_posts()\n"
               "getChunk: a map must say which backup, id = N\n",
               "");
    expect_map(MAPPED, "[backup.x]\nmethod = all\n",
               "x=all whole\nbackup_x=backup_x items empty (nat, nat)\n"
               "getChunk: a map must say which backup, id = N\n",
               "");
}

static void test_misfits(void)
{
    static const char rest[] = "x=backup_x items empty (nat, nat)\n"
                               "getChunk: a map must say which backup, id = N\n";
    static const struct {
        const char *map;
        const char *want;
    } rows[] = {
        {"method = nosuch\n", "nosuch: nosuch is not in the Candid interface"},
        {"method = write\n", "write: it is not a query"},
        {"method = get\n",
         "get: items may be in users, posts: a map must say which, items = FIELD"},
        {"method = get\nitems = nosuch\n", "get: 'items' names no list of its record"},
        {"method = get\nitems = n\n", "get: 'items' names no list of its record"},
        {"method = get\nbytes = posts\n", "get: 'bytes' names no blob of its record"},
        {"method = get\nitems = posts\ntotal = users\n",
         "get: 'total' names no number of its record"},
        {"method = get\nitems = posts\nnumber = nat64\n",
         "get: the Candid interface gives it other numbers"},
        {"method = get\nstyle = whole\n", "get: it takes arguments"},
        {"method = get\nitems = posts\nlatest = n, nosuch\n",
         "get: 'latest' names a field that is not in its record"},
        {"method = list\nlatest = n\n", "list: its result is a list and has no fields"},
        {"method = all\nstyle = items\n",
         "all: it does not take two numbers (nat, nat32 or nat64)"},
        {"method = list\nitems = a\n", "list: its result is a list and has no fields"},
        {"method = list\ncount = nosuch\n", "list: nosuch is not in the Candid interface"},
        {"method = list\ncount = all\n", "list: all is not a method () -> (nat)"},
        {"method = list\ncount = n_chunks\nstyle = items\n",
         "list: n_chunks is not a method () -> (nat)"},
        {"method = list\nid = 3\n", "list: it does not give (blob, bool)"},
        {"method = getChunk\n", "getChunk: a map must say which backup, id = N"},
        {"method = chunk\ncount = n_posts\nstyle = index\n",
         "chunk: n_posts is not a method (nat) -> (nat)"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char map[200];
        snprintf(map, sizeof(map), "[backup.a]\n%s", rows[i].map);
        expect_map(MAPPED, map, rest, rows[i].want);
    }
    expect_map(MAPPED, "[backup.a]\nmethod = all\n[backup]\nversion = n_posts\n",
               "a=all whole\nx=backup_x items empty (nat, nat)\n"
               "getChunk: a map must say which backup, id = N\n",
               "n_posts: it is no query () -> (record {version; mtime_ns})");
    expect_map(MAPPED, "[backup.a]\nmethod = all\n[backup]\nversion = nosuch\n",
               "a=all whole\nx=backup_x items empty (nat, nat)\n"
               "getChunk: a map must say which backup, id = N\n",
               "nosuch: not in the Candid interface");
    expect_map(MAPPED, "[backup.a]\nmethod = all\n[backup]\nversion = state\n",
               "a=all whole\nx=backup_x items empty (nat, nat)\n"
               "getChunk: a map must say which backup, id = N\n",
               "");
}

/* --- without an interface --- */

static void test_convention(void)
{
    struct fs_collection c = {.name = "x", .method = "m"};
    char reason[FS_REASON_MAX] = "", text[300];
    c.numbers[0] = c.numbers[1] = IC_TYPE_NAT64;
    TAP_OK(fs_collection_complete(&c, 0, NULL, reason, sizeof(reason)), "the convention");
    describe(&c, text, sizeof(text));
    expect_text(text, "x=m items total (nat64, nat64) chunk of total_length", "is what it is");
    TAP_OK(c.results == NULL && c.n_results == 0, "without types");

    const struct ic_type list = {.kind = IC_TYPE_VEC, .as.elem = &ic_type_text};
    struct fs_collection learned = c;
    TAP_OK(fs_collection_learn(&learned, 0, &list, reason, sizeof(reason)), "a list came");
    describe(&learned, text, sizeof(text));
    expect_text(text, "x=m items empty (nat64, nat64)", "so it is one");

    const struct ic_type_field fields[] = {{110, &ic_type_nat}, {hash("posts"), &list}};
    const struct ic_type record = {.kind = IC_TYPE_RECORD, .as.fields = {fields, 2}};
    const struct ic_type opt = {.kind = IC_TYPE_OPT, .as.elem = &record};
    learned = c;
    TAP_OK(fs_collection_learn(&learned, 0, &opt, reason, sizeof(reason)), "a record came");
    describe(&learned, text, sizeof(text));
    expect_text(text, "x=m items empty (nat64, nat64) posts", "with one list and no total");
    learned = c;
    learned.total = 110;
    TAP_OK(fs_collection_learn(&learned, FS_GIVEN_TOTAL, &opt, reason, sizeof(reason)), "given");
    describe(&learned, text, sizeof(text));
    expect_text(text, "x=m items total (nat64, nat64) posts of #110", "its total");

    learned = c;
    TAP_OK(!fs_collection_learn(&learned, FS_GIVEN_ITEMS, &opt, reason, sizeof(reason)),
           "the field is not there");
    TAP_STR(reason, "'items' names no list of its record", "in words");
    TAP_OK(memcmp(&learned, &c, sizeof(c)) == 0, "and nothing is changed");
    TAP_OK(!fs_collection_learn(&learned, 0, &ic_type_text, reason, sizeof(reason)), "a text came");
}

int main(void)
{
    test_known_shapes();
    test_items();
    test_methods();
    test_argument_names();
    test_hostile_names();
    test_hostile_types();
    test_many();
    test_names();
    test_version();
    test_maps();
    test_misfits();
    test_convention();
    return tap_done();
}
