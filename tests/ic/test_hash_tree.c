/* Hash trees: the spec's example, every rule of lookups and of well-formedness. */
#include "ic/hash_tree.h"
#include "tests/ic/forge.h"
#include "tests/ic/vectors.h"
#include "tests/tap.h"

#include <errno.h>

TAP_STATE;

static int decode(const struct ic_buf *b, struct ic_hash_tree **out)
{
    return ic_hash_tree_decode(ic_view(b->bytes, b->len), out);
}

/* ---- the example of the spec ---- */

static void check_digest(const struct ic_buf *b, const char *want_hex, const char *what)
{
    struct ic_buf want = vector_unhex(want_hex);
    struct ic_hash_tree *tree = NULL;
    uint8_t digest[IC_SHA256_LEN] = {0};
    TAP_INT(decode(b, &tree), 0, what);
    TAP_INT(ic_hash_tree_digest(tree, digest), 0, "its root hash");
    TAP_MEM(digest, want.bytes, sizeof(digest), "is the one of the spec");
    ic_hash_tree_free(tree);
    ic_buf_fini(&want);
}

static enum ic_lookup lookup_json(const struct ic_hash_tree *tree, json_t *labels,
                                  struct ic_view *value)
{
    struct ic_label list[8];
    struct ic_path path = {list, json_array_size(labels)};
    size_t i;
    json_t *label;
    json_array_foreach(labels, i, label) list[i] = ic_label_text(json_string_value(label));
    return ic_hash_tree_lookup(tree, &path, value);
}

static void test_example(const char *data_dir)
{
    json_t *file = vector_json(data_dir, "hash_tree.json"), *row;
    struct ic_buf full = vector_unhex(vector_text(file, "full_cbor"));
    struct ic_buf pruned = vector_unhex(vector_text(file, "pruned_cbor"));
    struct ic_hash_tree *tree = NULL;
    struct ic_view value = {0};
    size_t i;

    check_digest(&full, vector_text(file, "root_hash"), "the full tree");
    check_digest(&pruned, vector_text(file, "root_hash"), "the pruned tree");
    TAP_INT(decode(&pruned, &tree), 0, "the pruned tree again");
    json_array_foreach(json_object_get(file, "lookups_in_pruned"), i, row)
    {
        const char *want = json_string_value(json_array_get(row, 1));
        const char *content = json_string_value(json_array_get(row, 2));
        enum ic_lookup got = lookup_json(tree, json_array_get(row, 0), &value);
        if (strcmp(want, "Found") == 0) {
            TAP_INT(got, IC_LOOKUP_FOUND, "found");
            TAP_OK(ic_view_is_text(value, content), content);
        } else if (strcmp(want, "Absent") == 0) {
            TAP_INT(got, IC_LOOKUP_ABSENT, "absent");
        } else {
            TAP_STR(want, "Unknown", "the third outcome");
            TAP_INT(got, IC_LOOKUP_UNKNOWN, "unknown");
        }
    }
    TAP_INT((int64_t)i, 8, "eight lookups");
    ic_hash_tree_free(tree);
    ic_buf_fini(&full);
    ic_buf_fini(&pruned);
    json_decref(file);
}

/* ---- lookups in levels made to measure ---- */

static struct ic_buf leaf(void)
{
    return forge_text_leaf("v");
}

/* A level written as text: letters are labels over a leaf, '#' is pruned, '.' is empty. Forks lean
 * to the right. */
static struct ic_buf level(const char *spec)
{
    char label[2] = {spec[0], '\0'};
    struct ic_buf first = spec[0] == '#'   ? forge_pruned(leaf())
                          : spec[0] == '.' ? forge_empty()
                          : spec[0] == '!' ? leaf()
                                           : forge_text(label, leaf());
    return spec[1] ? forge_fork(first, level(spec + 1)) : first;
}

static void test_levels(void)
{
    static const struct {
        const char *level, *label;
        enum ic_lookup want;
        const char *what;
    } table[] = {
        {"bd", "b", IC_LOOKUP_FOUND, "the first label"},
        {"bd", "d", IC_LOOKUP_FOUND, "the last"},
        {"bd", "c", IC_LOOKUP_ABSENT, "between neighbours"},
        {"bd", "a", IC_LOOKUP_ABSENT, "before the first"},
        {"bd", "e", IC_LOOKUP_ABSENT, "after the last"},
        {"bd", "", IC_LOOKUP_ABSENT, "the empty label comes before all"},
        {"bd", "bb", IC_LOOKUP_ABSENT, "a prefix comes first"},
        {"b#d", "c", IC_LOOKUP_UNKNOWN, "a pruned node may hide it"},
        {"b#d", "b", IC_LOOKUP_FOUND, "but not what is there"},
        {"b#d", "a", IC_LOOKUP_ABSENT, "nor what comes before"},
        {"b#d", "e", IC_LOOKUP_ABSENT, "or after"},
        {"#bd", "a", IC_LOOKUP_UNKNOWN, "pruned in front"},
        {"#bd", "c", IC_LOOKUP_ABSENT, "pruned in front, between later neighbours"},
        {"bd#", "e", IC_LOOKUP_UNKNOWN, "pruned at the end"},
        {"bd#", "c", IC_LOOKUP_ABSENT, "pruned at the end, between earlier neighbours"},
        {"#", "a", IC_LOOKUP_UNKNOWN, "all pruned"},
        {"##", "a", IC_LOOKUP_UNKNOWN, "all pruned, twice"},
        {".", "a", IC_LOOKUP_ABSENT, "an empty level"},
        {"b.d", "c", IC_LOOKUP_ABSENT, "an empty node hides nothing"},
        {".b", "a", IC_LOOKUP_ABSENT, "empty in front"},
        {".#.", "a", IC_LOOKUP_UNKNOWN, "empty around pruned"},
        {"!", "a", IC_LOOKUP_ABSENT, "below a leaf there is nothing"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct ic_buf b = level(table[i].level);
        struct ic_hash_tree *tree = NULL;
        struct ic_view value = {0};
        TAP_INT(decode(&b, &tree), 0, table[i].level);
        TAP_INT(ic_hash_tree_lookup(tree, IC_PATH(ic_label_text(table[i].label)), &value),
                table[i].want, table[i].what);
        ic_hash_tree_free(tree);
        ic_buf_fini(&b);
    }
}

static void test_ends(void)
{
    struct ic_buf b = forge_fork(
        forge_fork(forge_text("empty", forge_empty()), forge_text("leaf", leaf())),
        forge_fork(forge_text("pruned", forge_pruned(leaf())), forge_text("tree", level("ab"))));
    const struct ic_path root = {NULL, 0};
    const struct ic_hash_node *node = NULL;
    struct ic_hash_tree *tree = NULL;
    struct ic_view value = {0};

    TAP_INT(decode(&b, &tree), 0, "a tree with every end");
    TAP_INT(ic_hash_tree_lookup(tree, IC_PATH(ic_label_text("leaf")), &value), IC_LOOKUP_FOUND,
            "a leaf");
    TAP_INT(ic_hash_tree_lookup(tree, IC_PATH(ic_label_text("empty")), &value), IC_LOOKUP_ABSENT,
            "an empty subtree");
    TAP_INT(ic_hash_tree_lookup(tree, IC_PATH(ic_label_text("pruned")), &value), IC_LOOKUP_UNKNOWN,
            "a pruned subtree");
    TAP_INT(ic_hash_tree_lookup(tree, IC_PATH(ic_label_text("tree")), &value), IC_LOOKUP_ERROR,
            "a subtree is no leaf");
    TAP_INT(ic_hash_tree_lookup(tree, &root, &value), IC_LOOKUP_ERROR, "nor is the root");
    TAP_INT(ic_hash_tree_lookup(tree, IC_PATH(ic_label_text("tree"), ic_label_text("b")), &value),
            IC_LOOKUP_FOUND, "two steps down");
    TAP_INT(ic_hash_tree_lookup(tree, IC_PATH(ic_label_text("leaf"), ic_label_text("x")), &value),
            IC_LOOKUP_ABSENT, "a step below a leaf");
    TAP_INT(ic_hash_tree_lookup(tree, IC_PATH(ic_label_text("pruned"), ic_label_text("x")), &value),
            IC_LOOKUP_UNKNOWN, "a step below what is pruned");
    TAP_INT(ic_hash_tree_find(tree, IC_PATH(ic_label_text("tree")), &node), IC_LOOKUP_FOUND,
            "a subtree can be found");
    ic_hash_tree_free(tree);
    ic_buf_fini(&b);
}

static int collect(void *arg, struct ic_label label)
{
    char *text = arg;
    strncat(text, (const char *)label.bytes, label.len);
    return strlen(text) == 3 ? 77 : 0;
}

static void test_labels(void)
{
    struct ic_buf b = level("a.b#cd");
    const struct ic_path root = {NULL, 0};
    const struct ic_hash_node *node = NULL;
    struct ic_hash_tree *tree = NULL;
    char text[8] = "";

    TAP_INT(decode(&b, &tree), 0, "four labels and a pruned node");
    TAP_INT(ic_hash_tree_find(tree, &root, &node), IC_LOOKUP_FOUND, "the root");
    TAP_INT(ic_hash_tree_each_label(tree, node, collect, text), 77, "the walk can be stopped");
    TAP_STR(text, "abc", "labels come in order");
    ic_hash_tree_free(tree);
    ic_buf_fini(&b);
}

/* ---- what is not a tree ---- */

static void refuse(struct ic_buf b, const char *what)
{
    struct ic_hash_tree *tree = NULL;
    TAP_INT(decode(&b, &tree), -EPROTO, what);
    TAP_OK(tree == NULL, "nothing came out");
    ic_buf_fini(&b);
}

static void test_refused(void)
{
    static const struct {
        const char *hex, *what;
    } table[] = {
        {"", "nothing"},
        {"00", "a number"},
        {"80", "an empty array"},
        {"8105", "an unknown kind"},
        {"8120", "a negative kind"},
        {"820000", "an empty node with an item too many"},
        {"8301810081008100", "something after the tree"},
        {"82018100", "a fork with one branch"},
        {"8401810081008100", "a fork with three"},
        {"8202410a", "a label without a subtree"},
        {"8302616181 00", "a label that is text"},
        {"82036161", "a leaf that is text"},
        {"820301", "a leaf that is a number"},
        {"82044100", "a pruned hash of one byte"},
        {"8204582100000000000000000000000000000000000000000000000000000000000000000000",
         "a pruned hash of 33 bytes"},
        {"8301810082035bffffffffffffffff00", "a leaf of 2^64 - 1 bytes"},
        {"9f00", "an array without an end"},
        {"9f0000ff", "an indefinite array with an item too many"},
        {"d9d9f78100", "a tag"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        char hex[128];
        size_t n = 0;
        for (const char *c = table[i].hex; *c; c++)
            if (*c != ' ')
                hex[n++] = *c;
        hex[n] = '\0';
        refuse(vector_unhex(hex), table[i].what);
    }
    refuse(level("ba"), "labels out of order");
    refuse(level("aa"), "a label twice");
    refuse(level("b#a"), "labels out of order around a pruned node");
    refuse(forge_fork(level("b"), level("ac")), "labels out of order across forks");
    refuse(level("a!"), "a leaf among labels");
    refuse(level("!#"), "a leaf beside a pruned node");
    refuse(level("!."), "a leaf beside an empty node");
    refuse(forge_text("x", level("ba")), "labels out of order further down");
    refuse(forge_text("x", level("a!")), "a leaf among labels further down");
}

/* [_ 1, [_ 2, 'a', [3, 'v']], [0]]: what some encoders write. */
static void test_indefinite(void)
{
    struct ic_buf b = vector_unhex("9f019f02416182034176ff8100ff");
    struct ic_hash_tree *tree = NULL;
    struct ic_view value = {0};
    TAP_INT(decode(&b, &tree), 0, "indefinite arrays");
    TAP_INT(ic_hash_tree_lookup(tree, IC_PATH(ic_label_text("a")), &value), IC_LOOKUP_FOUND,
            "are arrays");
    ic_hash_tree_free(tree);
    ic_buf_fini(&b);
}

static void test_depth(void)
{
    struct ic_buf b = leaf();
    struct ic_hash_tree *tree = NULL;
    for (int i = 1; i < IC_HASH_TREE_DEPTH; i++)
        b = forge_text("x", b);
    TAP_INT(decode(&b, &tree), 0, "the deepest tree there may be");
    ic_hash_tree_free(tree);
    refuse(forge_text("x", b), "one deeper");

    b = forge_nothing();
    for (int i = 0; i < 1000000; i++)
        ic_buf_append(&b, "\x83\x01\x81\x00", 4); /* fork, empty, ... */
    refuse(b, "a million forks deep");
}

static struct ic_buf balanced(unsigned depth)
{
    return depth ? forge_fork(balanced(depth - 1), balanced(depth - 1)) : forge_empty();
}

static void test_many(void)
{
    struct ic_buf b = forge_fork(balanced(14), balanced(14)); /* 65535 nodes */
    struct ic_hash_tree *tree = NULL;
    uint8_t digest[IC_SHA256_LEN];
    TAP_INT(decode(&b, &tree), 0, "nearly as many nodes as there may be");
    TAP_INT(ic_hash_tree_digest(tree, digest), 0, "and their hash");
    ic_hash_tree_free(tree);
    refuse(forge_fork(b, forge_empty()), "one more than there may be");
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 1;
    test_example(argv[1]);
    test_levels();
    test_ends();
    test_labels();
    test_refused();
    test_indefinite();
    test_depth();
    test_many();
    return tap_done();
}
