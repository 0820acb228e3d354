/* Hash trees: a part of the state, with the hashes of what was left out.
 *
 * A decoded tree is well-formed: below every label there is either one leaf, or labels in strictly
 * increasing order with pruned parts between them. Lookups rely on that, so nothing else is taken.
 * Views point into the encoded bytes, which must outlive the tree.
 *
 * Source: IC interface spec, Certification (Certificate, Lookup, Encoding of certificates).
 */
#ifndef CANISTERFS_IC_HASH_TREE_H
#define CANISTERFS_IC_HASH_TREE_H

#include "ic/attr.h"
#include "ic/buf.h"
#include "ic/path.h"
#include "ic/sha.h"

#include <stddef.h>
#include <stdint.h>

#define IC_HASH_TREE_DEPTH 128 /* nodes on one way down; real trees stay below 64 */
/* 2 MB, 3 while growing; real trees have hundreds, or thousands */
#define IC_HASH_TREE_NODES 65536

enum ic_lookup {
    IC_LOOKUP_FOUND,
    IC_LOOKUP_ABSENT,  /* proven: there is no such path */
    IC_LOOKUP_UNKNOWN, /* a pruned part of the tree may hold it: nothing is proven */
    IC_LOOKUP_ERROR,   /* the path exists and is not a leaf */
};

struct ic_hash_tree; /* immutable once decoded */
struct ic_hash_node; /* lives as long as its tree */

/* Decode a tree.
 *
 * item  the encoded tree, one CBOR item; borrowed as long as the tree lives
 *
 * Returns 0, -EPROTO (malformed, not well-formed, too deep, too many nodes), -ENOMEM. Time is in
 * proportion to item.len, as it is for all below but each_label, whose fn decides.
 */
int ic_hash_tree_decode(struct ic_view item, struct ic_hash_tree **out) IC_NONNULL(2) IC_MUST_CHECK;
void ic_hash_tree_free(struct ic_hash_tree *tree);

/* The root hash, computed from the whole tree. Returns 0, -ENOMEM. */
int ic_hash_tree_digest(const struct ic_hash_tree *tree, uint8_t out[IC_SHA256_LEN])
    IC_NONNULL(1, 2) IC_MUST_CHECK;

/* Look up a leaf: value is filled on IC_LOOKUP_FOUND only. */
enum ic_lookup ic_hash_tree_lookup(const struct ic_hash_tree *tree, const struct ic_path *path,
                                   struct ic_view *value) IC_NONNULL(1, 2, 3);

/* Look up a path whatever is there, leaf or labels: never IC_LOOKUP_ERROR. */
enum ic_lookup ic_hash_tree_find(const struct ic_hash_tree *tree, const struct ic_path *path,
                                 const struct ic_hash_node **out) IC_NONNULL(1, 2, 3);

/* The labels directly below a node, in order, without what is pruned. fn is called for each until
 * it returns something else than 0, which is then returned; 0 otherwise. */
typedef int ic_hash_tree_label_fn(void *arg, struct ic_label label);
int ic_hash_tree_each_label(const struct ic_hash_tree *tree, const struct ic_hash_node *node,
                            ic_hash_tree_label_fn *fn, void *arg) IC_NONNULL(1, 2, 3);

#endif
