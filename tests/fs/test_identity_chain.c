/* Delegation chains as JSON: the golden file, forms that clients write, and everything else. */
#include "fs/identity_chain.h"
#include "tests/ic/vectors.h"
#include "tests/tap.h"

#include <errno.h>
#include <unistd.h>

TAP_STATE;

#define NOW INT64_C(1600000000000000000) /* the golden chain ends with the year 2020 */

#define KEY "\"302a\""
#define LINK                                                                                       \
    "{\"delegation\":{\"pubkey\":\"302A\",\"expiration\":\"1655f29d787c0000\"},\"signature\":"     \
    "\"ff\"}"
#define CHAIN(links) "{\"publicKey\":" KEY ",\"delegations\":[" links "]}"
#define INNER(fields)                                                                              \
    CHAIN("{\"delegation\":{\"pubkey\":\"30\",\"expiration\":\"1\"" fields                         \
          "},\"signature\":\"ff\"}")

static int parse(const char *text, struct ic_arena *arena, struct ic_delegation_chain *chain,
                 struct ic_error *err)
{
    ic_arena_init(arena, 16 * FS_IDENTITY_CHAIN_MAX);
    *err = (struct ic_error){0};
    return fs_identity_chain_parse("x.json", text, strlen(text), arena, chain, err);
}

static void test_good(void)
{
    struct ic_arena arena;
    struct ic_delegation_chain c = {0};
    struct ic_error err;

    TAP_INT(parse(CHAIN(LINK "," LINK), &arena, &c, &err), 0, "two links");
    TAP_INT((int64_t)c.n, 2, "are two");
    TAP_OK(ic_view_equal(c.public_key, ic_view("\x30\x2a", 2)), "the root's key");
    TAP_OK(ic_view_equal(c.links[1].pubkey, ic_view("\x30\x2a", 2)), "a key, in capitals");
    TAP_OK(ic_view_equal(c.links[1].signature, ic_view("\xff", 1)), "a signature");
    TAP_OK(c.links[0].expiration_ns == UINT64_C(0x1655f29d787c0000), "an expiration");
    TAP_OK(!c.links[0].has_targets && !c.links[0].permissions.bytes, "and no more");
    ic_arena_fini(&arena);

    TAP_INT(parse(INNER(",\"targets\":null,\"permissions\":null"), &arena, &c, &err), 0, "nulls");
    TAP_OK(!c.links[0].has_targets && !c.links[0].permissions.bytes, "are as if absent");
    ic_arena_fini(&arena);
    TAP_INT(parse(INNER(",\"targets\":[\"00000000000000020101\",\"\"]"), &arena, &c, &err), 0,
            "targets");
    TAP_INT((int64_t)c.links[0].n_targets, 2, "are two");
    TAP_OK(ic_view_equal(ic_principal_view(&c.links[0].targets[0]),
                         ic_view("\0\0\0\0\0\0\0\2\1\1", 10)),
           "a canister");
    TAP_INT(c.links[0].targets[1].len, 0, "the management canister");
    ic_arena_fini(&arena);
    TAP_INT(parse(INNER(",\"targets\":[],\"permissions\":\"\""), &arena, &c, &err), 0,
            "empty ones");
    TAP_OK(c.links[0].has_targets && c.links[0].n_targets == 0 && c.links[0].permissions.bytes &&
               c.links[0].permissions.len == 0,
           "are there");
    ic_arena_fini(&arena);
    TAP_INT(parse(CHAIN(""), &arena, &c, &err), 0, "a chain without links is one");
    TAP_INT((int64_t)c.n, 0, "of none");
    ic_arena_fini(&arena);
}

static void test_bad(void)
{
    static const struct {
        const char *text;
        const char *said;
    } rows[] = {
        {"", "no JSON"},
        {"{", "no JSON"},
        {"\xff", "no JSON"},
        {CHAIN(LINK) "x", "no JSON"},
        {"{\"publicKey\":\"30\",\"publicKey\":\"30\",\"delegations\":[]}", "no JSON"},
        {"[]", "no delegation chain"},
        {"\"x\"", "no JSON"},
        {"{}", "no delegation chain"},
        {"{\"publicKey\":\"30\",\"delegations\":{}}", "no delegation chain"},
        {"{\"delegations\":[]}", "'publicKey' is not"},
        {"{\"publicKey\":\"3\",\"delegations\":[]}", "'publicKey' is not"},
        {"{\"publicKey\":\"3g\",\"delegations\":[]}", "'publicKey' is not"},
        {"{\"publicKey\":[48],\"delegations\":[]}", "'publicKey' is not"},
        {CHAIN("1"), "delegation 1: not an object"},
        {CHAIN(LINK ",{}"), "delegation 2: not an object"},
        {CHAIN("{\"delegation\":{},\"signature\":\"ff\",\"more\":1}"), "not an object with"},
        {CHAIN("{\"delegation\":{},\"signature\":\"ff\"}"), "'pubkey' is not"},
        {INNER(",\"canisters\":[]"), "not an object with"},
        {INNER(",\"targets\":\"00\""), "'targets' is not"},
        {INNER(",\"targets\":[\"ryjl3-tyaaa-aaaaa-aaaba-cai\"]"), "'targets' is not"},
        {INNER(",\"targets\":[1]"), "'targets' is not"},
        {INNER(",\"targets\":[\"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d\"]"),
         "'targets' is not"},
        {INNER(",\"permissions\":1"), "'permissions' is not"},
        {CHAIN("{\"delegation\":{\"pubkey\":\"30\",\"expiration\":1},\"signature\":\"ff\"}"),
         "'expiration' is not"},
        {CHAIN("{\"delegation\":{\"pubkey\":\"30\",\"expiration\":\"\"},\"signature\":\"ff\"}"),
         "'expiration' is not"},
        {CHAIN("{\"delegation\":{\"pubkey\":\"30\",\"expiration\":\"0x1\"},\"signature\":\"ff\"}"),
         "'expiration' is not"},
        {CHAIN("{\"delegation\":{\"pubkey\":\"30\",\"expiration\":\"12345678901234567\"},"
               "\"signature\":\"ff\"}"),
         "'expiration' is not"},
        {CHAIN("{\"delegation\":{\"pubkey\":\"30\",\"expiration\":\"1\"},\"signature\":null}"),
         "'signature' is not"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ic_arena arena;
        struct ic_delegation_chain chain;
        struct ic_error err;
        TAP_INT(parse(rows[i].text, &arena, &chain, &err), -EINVAL, rows[i].said);
        if (!TAP_OK(strstr(err.message, rows[i].said) && strstr(err.message, "x.json"), "is said"))
            printf("# said: %s\n", err.message);
        ic_arena_fini(&arena);
    }
}

/* As deep and as wide as a file can be. */
static void test_large(void)
{
    struct ic_arena arena;
    struct ic_delegation_chain chain;
    struct ic_error err = {0};
    size_t len = FS_IDENTITY_CHAIN_MAX;
    char *text = malloc(len + 1);
    if (!text)
        vector_die("malloc", "text");
    memset(text, '[', len + 1);
    ic_arena_init(&arena, 16 * FS_IDENTITY_CHAIN_MAX);
    TAP_INT(fs_identity_chain_parse("x.json", text, len, &arena, &chain, &err), -EINVAL, "deep");
    TAP_INT(fs_identity_chain_parse("x.json", text, len + 1, &arena, &chain, &err), -EINVAL,
            "long");
    TAP_OK(strstr(err.message, "too large") != NULL, "is said");
    ic_arena_fini(&arena);
    free(text);
}

static void write_json(const char *path, const json_t *json)
{
    if (json_dump_file(json, path, 0) < 0)
        vector_die("cannot write", path);
}

static void check_file(const char *path, const char *said)
{
    const uint8_t seed[32] = {0};
    struct ic_identity *id = NULL;
    struct ic_error err = {0};
    if (ic_identity_new_ed25519(seed, &id) < 0)
        vector_die("malloc", "identity");
    TAP_INT(fs_identity_chain_apply(path, id, NOW, &err), -EINVAL, said);
    TAP_OK(strstr(err.message, said) && strstr(err.message, path), "is said of the file");
    ic_identity_free(id);
}

static void test_files(const char *data_dir, const char *dir)
{
    const uint8_t seed[32] = {0};
    json_t *file = vector_json(data_dir, "delegation_chain_ed25519.json");
    json_t *chain = json_object_get(file, "chain");
    json_t *first = json_array_get(json_object_get(chain, "delegations"), 0);
    struct ic_identity *id = NULL;
    struct ic_error err = {0};
    char path[VECTOR_PATH], text[IC_PRINCIPAL_TEXT];

    snprintf(path, sizeof(path), "%s/chain.json", dir);
    write_json(path, chain);
    if (ic_identity_new_ed25519(seed, &id) < 0)
        vector_die("malloc", "identity");
    TAP_INT(fs_identity_chain_apply(path, id, NOW, &err), 0, "the golden chain");
    ic_principal_format(ic_identity_principal(id), text);
    TAP_STR(text, "i5ogn-aj2lx-x5ril-df2nb-2l2fz-hgejl-aygnk-ssbsv-hei6z-46wv6-zqe",
            "its root's principal");
    ic_identity_free(id);
    json_object_set_new(json_object_get(first, "delegation"), "expiration",
                        json_string("1655f29d787c0001"));
    write_json(path, chain);
    check_file(path, "delegation 1 of 2 is not signed by");
    write_json(path, json_object_get(file, "seeds"));
    check_file(path, "no delegation chain");
    unlink(path);
    check_file(path, "No such file");
    check_file(dir, "not a regular file");
    check_file("/dev/zero", "not a regular file");
    json_decref(file);
}

int main(int argc, char **argv)
{
    char dir[] = "/tmp/canisterfs-test-chain-XXXXXX";
    if (argc != 2 || !mkdtemp(dir))
        return 1;
    test_good();
    test_bad();
    test_large();
    test_files(argv[1], dir);
    rmdir(dir);
    return tap_done();
}
