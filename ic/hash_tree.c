/* Hash trees: decoding, root hash, lookup. See hash_tree.h.
 *
 * The nodes stand in one array, each before its children, and refer to them by index. All recursion
 * is bounded by IC_HASH_TREE_DEPTH.
 */
#include "ic/hash_tree.h"

#include "ic/cbor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The first number in a node's array (IC interface spec, Encoding of certificates). */
enum node_kind { NODE_EMPTY, NODE_FORK, NODE_LABELED, NODE_LEAF, NODE_PRUNED };

struct ic_hash_node {
    enum node_kind kind;
    uint32_t left;        /* fork; labeled: the subtree */
    uint32_t right;       /* fork */
    struct ic_view bytes; /* labeled: the label; leaf: the value; pruned: the hash */
};

struct ic_hash_tree {
    struct ic_hash_node *nodes;
    uint32_t n;
    uint32_t cap;
};

/* ---- decoding ---- */

/* Append a node; its place is the return value, or a negative errno. Moves the array. */
static int64_t add_node(struct ic_hash_tree *tree)
{
    if (tree->n == IC_HASH_TREE_NODES)
        return -EPROTO;
    if (tree->n == tree->cap) {
        uint32_t cap = tree->cap ? 2 * tree->cap : 64;
        struct ic_hash_node *nodes = realloc(tree->nodes, cap * sizeof(*nodes));
        if (!nodes)
            return -ENOMEM;
        tree->nodes = nodes;
        tree->cap = cap;
    }
    tree->nodes[tree->n] = (struct ic_hash_node){.kind = NODE_EMPTY};
    return tree->n++;
}

static int next_bytes(struct ic_cursor *c, struct ic_view *out)
{
    struct ic_cbor_item item;
    if (ic_cbor_next(c, &item) < 0 || item.kind != IC_CBOR_BYTES)
        return -EPROTO;
    *out = item.view;
    return 0;
}

/* Read the head of a node's array: how many items it has (0 when not said) and its kind. */
static int next_head(struct ic_cursor *c, struct ic_cbor_item *array, enum node_kind *kind)
{
    static const uint8_t n_items[] = {1, 3, 3, 2, 2};
    struct ic_cbor_item number;

    if (ic_cbor_next(c, array) < 0 || array->kind != IC_CBOR_ARRAY ||
        ic_cbor_next(c, &number) < 0 || number.kind != IC_CBOR_UINT || number.value > NODE_PRUNED)
        return -EPROTO;
    if (!array->indefinite && array->value != n_items[number.value])
        return -EPROTO;
    *kind = (enum node_kind)number.value;
    return 0;
}

static int64_t decode_node(struct ic_hash_tree *tree, struct ic_cursor *c, unsigned depth);

/* The rest of a node after its kind. The node is built aside, for its children move the array. */
static int decode_content(struct ic_hash_tree *tree, struct ic_cursor *c, unsigned depth,
                          struct ic_hash_node *node)
{
    int64_t child;

    if (node->kind == NODE_EMPTY)
        return 0;
    if (node->kind != NODE_FORK && next_bytes(c, &node->bytes) < 0)
        return -EPROTO;
    if (node->kind == NODE_LEAF)
        return 0;
    if (node->kind == NODE_PRUNED)
        return node->bytes.len == IC_SHA256_LEN ? 0 : -EPROTO;
    child = decode_node(tree, c, depth - 1);
    if (child < 0)
        return (int)child;
    node->left = (uint32_t)child;
    if (node->kind == NODE_LABELED)
        return 0;
    child = decode_node(tree, c, depth - 1);
    if (child < 0)
        return (int)child;
    node->right = (uint32_t)child;
    return 0;
}

static int64_t decode_node(struct ic_hash_tree *tree, struct ic_cursor *c, unsigned depth)
{
    struct ic_hash_node node = {.kind = NODE_EMPTY};
    struct ic_cbor_item array, end;
    int64_t at;
    int ret;

    if (depth == 0 || next_head(c, &array, &node.kind) < 0)
        return -EPROTO;
    at = add_node(tree);
    if (at < 0)
        return at;
    ret = decode_content(tree, c, depth, &node);
    if (ret < 0)
        return ret;
    if (array.indefinite && (ic_cbor_next(c, &end) < 0 || end.kind != IC_CBOR_BREAK))
        return -EPROTO;
    tree->nodes[at] = node;
    return at;
}

/* ---- well-formedness ---- */

static const struct ic_hash_node *child(const struct ic_hash_tree *tree, uint32_t index)
{
    return &tree->nodes[index];
}

/* Check one level, forks flattened: no leaf inside a fork, labels increasing. last is the label
 * seen before, NULL at the start of the level. */
static bool is_ordered(const struct ic_hash_tree *tree, const struct ic_hash_node *node,
                       bool in_fork, const struct ic_hash_node **last)
{
    switch (node->kind) {
    case NODE_FORK:
        return is_ordered(tree, child(tree, node->left), true, last) &&
               is_ordered(tree, child(tree, node->right), true, last);
    case NODE_LABELED:
        if (*last && ic_view_compare((*last)->bytes, node->bytes) >= 0)
            return false;
        *last = node;
        return true;
    case NODE_LEAF:
        return !in_fork;
    case NODE_EMPTY:
    case NODE_PRUNED:
        return true;
    }
    return false;
}

/* Every level begins at the root or below a label. */
static bool is_well_formed(const struct ic_hash_tree *tree)
{
    const struct ic_hash_node *last = NULL;
    if (!is_ordered(tree, child(tree, 0), false, &last))
        return false;
    for (uint32_t i = 0; i < tree->n; i++) {
        last = NULL;
        if (tree->nodes[i].kind == NODE_LABELED &&
            !is_ordered(tree, child(tree, tree->nodes[i].left), false, &last))
            return false;
    }
    return true;
}

int ic_hash_tree_decode(struct ic_view item, struct ic_hash_tree **out)
{
    struct ic_cursor c = ic_cursor(item.bytes, item.len);
    int64_t root;
    int ret;
    struct ic_hash_tree *tree = calloc(1, sizeof(*tree));
    if (!tree)
        return -ENOMEM;

    root = decode_node(tree, &c, IC_HASH_TREE_DEPTH);
    if (root < 0)
        ret = (int)root;
    else if (ic_cursor_left(&c) != 0 || !is_well_formed(tree))
        ret = -EPROTO;
    else
        ret = 0;
    if (ret < 0) {
        ic_hash_tree_free(tree);
        return ret;
    }
    *out = tree;
    return 0;
}

void ic_hash_tree_free(struct ic_hash_tree *tree)
{
    if (!tree)
        return;
    free(tree->nodes);
    free(tree);
}

/* ---- root hash ---- */

#define DOMAIN(text)                                                                               \
    {                                                                                              \
        (const uint8_t *)(text), sizeof(text) - 1                                                  \
    }

/* First byte: length of the rest (IC interface spec, Certificate). */
static const struct ic_view domains[] = {
    [NODE_EMPTY] = DOMAIN("\x11ic-hashtree-empty"),
    [NODE_FORK] = DOMAIN("\x10ic-hashtree-fork"),
    [NODE_LABELED] = DOMAIN("\x13ic-hashtree-labeled"),
    [NODE_LEAF] = DOMAIN("\x10ic-hashtree-leaf"),
};

static int digest_node(const struct ic_hash_tree *tree, const struct ic_hash_node *node,
                       struct ic_sha256 *sha, uint8_t out[IC_SHA256_LEN])
{
    uint8_t left[IC_SHA256_LEN], right[IC_SHA256_LEN];
    struct ic_view parts[3];
    size_t n = 0;
    int ret;

    if (node->kind == NODE_PRUNED) {
        memcpy(out, node->bytes.bytes, IC_SHA256_LEN);
        return 0;
    }
    parts[n++] = domains[node->kind];
    if (node->kind == NODE_LABELED || node->kind == NODE_LEAF)
        parts[n++] = node->bytes;
    if (node->kind == NODE_FORK || node->kind == NODE_LABELED) {
        ret = digest_node(tree, child(tree, node->left), sha, left);
        if (ret < 0)
            return ret;
        parts[n++] = ic_view(left, sizeof(left));
    }
    if (node->kind == NODE_FORK) {
        ret = digest_node(tree, child(tree, node->right), sha, right);
        if (ret < 0)
            return ret;
        parts[n++] = ic_view(right, sizeof(right));
    }
    return ic_sha256_parts(sha, parts, n, out);
}

int ic_hash_tree_digest(const struct ic_hash_tree *tree, uint8_t out[IC_SHA256_LEN])
{
    struct ic_sha256 *sha;
    uint8_t digest[IC_SHA256_LEN];
    int ret = ic_sha256_new(&sha);
    if (ret < 0)
        return ret;
    ret = digest_node(tree, child(tree, 0), sha, digest);
    ic_sha256_free(sha);
    if (ret == 0)
        memcpy(out, digest, sizeof(digest));
    return ret;
}

/* ---- lookup ---- */

/* A search for one label through one level, forks flattened, empty nodes passed over. */
struct search {
    struct ic_view label;
    enum { BEFORE_START, BEFORE_LABELED, BEFORE_LEAF, BEFORE_PRUNED } before; /* the last node */
    bool is_decided;
    enum ic_lookup result;
    const struct ic_hash_node *found;
};

static void decide(struct search *s, enum ic_lookup result)
{
    s->is_decided = true;
    s->result = result;
}

static void search_labeled(const struct ic_hash_tree *tree, const struct ic_hash_node *node,
                           struct search *s)
{
    int order = ic_view_compare(node->bytes, s->label);
    if (order == 0) {
        s->found = child(tree, node->left);
        decide(s, IC_LOOKUP_FOUND);
    } else if (order > 0) {
        /* Absent only if nothing can hide between this label and the one before. */
        decide(s, s->before == BEFORE_PRUNED ? IC_LOOKUP_UNKNOWN : IC_LOOKUP_ABSENT);
    }
    s->before = BEFORE_LABELED;
}

static void search_level(const struct ic_hash_tree *tree, const struct ic_hash_node *node,
                         struct search *s)
{
    if (s->is_decided)
        return;
    switch (node->kind) {
    case NODE_EMPTY:
        break;
    case NODE_FORK:
        search_level(tree, child(tree, node->left), s);
        search_level(tree, child(tree, node->right), s);
        break;
    case NODE_LABELED:
        search_labeled(tree, node, s);
        break;
    case NODE_LEAF:
        s->before = BEFORE_LEAF;
        break;
    case NODE_PRUNED:
        s->before = BEFORE_PRUNED;
        break;
    }
}

/* One step down. found is filled on IC_LOOKUP_FOUND. */
static enum ic_lookup find_label(const struct ic_hash_tree *tree, const struct ic_hash_node *level,
                                 struct ic_label label, const struct ic_hash_node **found)
{
    struct search s = {.label = ic_view(label.bytes, label.len), .before = BEFORE_START};
    search_level(tree, level, &s);
    if (!s.is_decided) /* the end of the level: only a pruned last node leaves a doubt */
        return s.before == BEFORE_PRUNED ? IC_LOOKUP_UNKNOWN : IC_LOOKUP_ABSENT;
    if (s.result == IC_LOOKUP_FOUND)
        *found = s.found;
    return s.result;
}

enum ic_lookup ic_hash_tree_find(const struct ic_hash_tree *tree, const struct ic_path *path,
                                 const struct ic_hash_node **out)
{
    const struct ic_hash_node *node = child(tree, 0);
    for (size_t i = 0; i < path->n; i++) {
        enum ic_lookup result = find_label(tree, node, path->labels[i], &node);
        if (result != IC_LOOKUP_FOUND)
            return result;
    }
    if (node->kind == NODE_EMPTY)
        return IC_LOOKUP_ABSENT;
    if (node->kind == NODE_PRUNED)
        return IC_LOOKUP_UNKNOWN;
    *out = node;
    return IC_LOOKUP_FOUND;
}

enum ic_lookup ic_hash_tree_lookup(const struct ic_hash_tree *tree, const struct ic_path *path,
                                   struct ic_view *value)
{
    const struct ic_hash_node *node;
    enum ic_lookup result = ic_hash_tree_find(tree, path, &node);
    if (result != IC_LOOKUP_FOUND)
        return result;
    if (node->kind != NODE_LEAF)
        return IC_LOOKUP_ERROR;
    *value = node->bytes;
    return IC_LOOKUP_FOUND;
}

int ic_hash_tree_each_label(const struct ic_hash_tree *tree, const struct ic_hash_node *node,
                            ic_hash_tree_label_fn *fn, void *arg)
{
    int ret;

    if (node->kind == NODE_LABELED)
        return fn(arg, ic_label(node->bytes.bytes, node->bytes.len));
    if (node->kind != NODE_FORK)
        return 0;
    ret = ic_hash_tree_each_label(tree, child(tree, node->left), fn, arg);
    return ret ? ret : ic_hash_tree_each_label(tree, child(tree, node->right), fn, arg);
}
