/* Canister ranges: see canister_ranges.h. */
#include "ic/canister_ranges.h"

#include "ic/cbor.h"

#include <errno.h>

/* One closed interval [lo, hi], as a CBOR array of two byte strings. */
static int decode_range(struct ic_view item, struct ic_view *lo, struct ic_view *hi)
{
    struct ic_cbor_array pair;
    struct ic_view first, second, rest;

    if (ic_cbor_array(item, &pair) < 0 || ic_cbor_array_next(&pair, &first) < 0 ||
        ic_cbor_array_next(&pair, &second) < 0 || ic_cbor_array_next(&pair, &rest) != -ENOENT ||
        ic_cbor_bytes(first, lo) < 0 || ic_cbor_bytes(second, hi) < 0)
        return -EPROTO;
    return 0;
}

/* Is the id in one of a list's intervals? Returns 0, -ENOENT, -EPROTO. The whole list is read, so
 * that a malformed one is refused wherever the fault is. */
static int search_list(struct ic_view leaf, struct ic_view id)
{
    struct ic_view root, item, lo, hi;
    struct ic_cbor_array list;
    bool found = false;
    int ret;

    if (ic_cbor_open(leaf.bytes, leaf.len, &root) < 0 || ic_cbor_array(root, &list) < 0)
        return -EPROTO;
    while ((ret = ic_cbor_array_next(&list, &item)) == 0) {
        if (decode_range(item, &lo, &hi) < 0)
            return -EPROTO;
        found = found || (ic_view_compare(lo, id) <= 0 && ic_view_compare(id, hi) <= 0);
    }
    if (ret != -ENOENT)
        return -EPROTO;
    return found ? 0 : -ENOENT;
}

/* The greatest label that is not above the id: labels come in increasing order. */
struct shard {
    struct ic_view id;
    struct ic_label label;
    bool found;
};

static int choose_shard(void *arg, struct ic_label label)
{
    struct shard *s = arg;
    if (ic_view_compare(ic_view(label.bytes, label.len), s->id) > 0)
        return 1;
    s->label = label;
    s->found = true;
    return 0;
}

/* Returns 0, -ENOENT (not in it), -EPROTO. */
static int search_shards(const struct ic_hash_tree *tree, const struct ic_hash_node *shards,
                         const struct ic_principal *subnet, struct ic_view id)
{
    struct shard s = {.id = id};
    struct ic_view leaf;

    ic_hash_tree_each_label(tree, shards, choose_shard, &s);
    if (!s.found)
        return -ENOENT;
    if (ic_hash_tree_lookup(
            tree, IC_PATH(ic_label_text("canister_ranges"), ic_label_principal(subnet), s.label),
            &leaf) != IC_LOOKUP_FOUND)
        return -ENOENT;
    return search_list(leaf, id);
}

int ic_canister_ranges_check(const struct ic_hash_tree *tree, const struct ic_principal *subnet,
                             const struct ic_principal *canister, struct ic_error *err)
{
    char subnet_text[IC_PRINCIPAL_TEXT], canister_text[IC_PRINCIPAL_TEXT];
    const struct ic_hash_node *shards;
    struct ic_view leaf, id = ic_principal_view(canister);
    int ret = -ENOENT;

    if (ic_hash_tree_find(tree,
                          IC_PATH(ic_label_text("canister_ranges"), ic_label_principal(subnet)),
                          &shards) == IC_LOOKUP_FOUND)
        ret = search_shards(tree, shards, subnet, id);
    else if (ic_hash_tree_lookup(tree,
                                 IC_PATH(ic_label_text("subnet"), ic_label_principal(subnet),
                                         ic_label_text("canister_ranges")),
                                 &leaf) == IC_LOOKUP_FOUND)
        ret = search_list(leaf, id);
    if (ret == 0)
        return 0;
    ic_principal_format(subnet, subnet_text);
    ic_principal_format(canister, canister_text);
    if (ret == -ENOENT)
        return ic_fail(err, IC_E_UNVERIFIED, "subnet %s has no authority over canister %s",
                       subnet_text, canister_text);
    return ic_fail(err, IC_E_MALFORMED, "canister ranges of subnet %s are malformed", subnet_text);
}
