/* The nodes of one subnet and their public keys, read from a verified certificate.
 *
 * Source: IC interface spec, Query call (node signatures) and The system state tree.
 */
#ifndef CANISTERFS_IC_NODE_SET_H
#define CANISTERFS_IC_NODE_SET_H

#include "ic/attr.h"
#include "ic/certificate.h"
#include "ic/error.h"
#include "ic/principal.h"
#include "ic/response.h"

#include <stddef.h>
#include <stdint.h>

#define IC_NODE_SET_MAX 1024 /* the largest subnet has some 40 nodes */

/* Immutable and counted; any number of threads may hold and use it. */
struct ic_node_set;

/* The key of a node, borrowed from the set; NULL for a node it does not have. */
const uint8_t *ic_node_set_find(const struct ic_node_set *set, const struct ic_principal *node)
    IC_NONNULL(1, 2);

/* The subnet they are of. Borrowed. */
const struct ic_principal *ic_node_set_subnet(const struct ic_node_set *set) IC_NONNULL(1);

size_t ic_node_set_count(const struct ic_node_set *set) IC_NONNULL(1);

struct ic_node_set *ic_node_set_ref(struct ic_node_set *set) IC_NONNULL(1);
void ic_node_set_unref(struct ic_node_set *set);

/* Read the node keys of the certificate's own subnet out of /subnet/<id>/node.
 *
 * Returns 0 and a set to be unref'ed; -EPROTO (a key or an id of the wrong form, more than
 * IC_NODE_SET_MAX nodes), -EBADMSG (the certificate shows no nodes), -ENOMEM.
 */
int ic_node_set_from_certificate(const struct ic_certificate *cert, struct ic_node_set **out,
                                 struct ic_error *err) IC_NONNULL(1, 2) IC_MUST_CHECK;

#endif
