#include "ic/node_set.h"

#include "ic/spki.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct node {
    struct ic_principal id;
    uint8_t key[IC_NODE_KEY_LEN];
};

struct ic_node_set {
    atomic_size_t n_refs;
    struct ic_principal subnet; /* immutable, like all below */
    size_t n;
    struct node node[]; /* in the order of the tree: by id */
};

const uint8_t *ic_node_set_find(const struct ic_node_set *set, const struct ic_principal *node)
{
    for (size_t i = 0; i < set->n; i++) /* a subnet has some 13 to 40 nodes */
        if (ic_principal_is_equal(&set->node[i].id, node))
            return set->node[i].key;
    return NULL;
}

const struct ic_principal *ic_node_set_subnet(const struct ic_node_set *set)
{
    return &set->subnet;
}

size_t ic_node_set_count(const struct ic_node_set *set)
{
    return set->n;
}

struct ic_node_set *ic_node_set_ref(struct ic_node_set *set)
{
    atomic_fetch_add(&set->n_refs, 1);
    return set;
}

void ic_node_set_unref(struct ic_node_set *set)
{
    if (set != NULL && atomic_fetch_sub(&set->n_refs, 1) == 1)
        free(set);
}

static int read_node(const struct ic_certificate *cert, const struct ic_principal *subnet,
                     const struct ic_label *label, struct node *out, struct ic_error *err)
{
    if (ic_principal_from_bytes(label->bytes, label->len, &out->id) != 0)
        return ic_fail(err, IC_E_MALFORMED, "node keys: an id of %zu bytes", label->len);

    const uint8_t *der;
    size_t len;
    enum ic_lookup found =
        ic_certificate_lookup(cert,
                              IC_PATH(ic_label_text("subnet"), ic_label_principal(subnet),
                                      ic_label_text("node"), *label, ic_label_text("public_key")),
                              &der, &len);
    if (found != IC_LOOKUP_FOUND || len != sizeof ic_spki_ed25519 + IC_NODE_KEY_LEN ||
        memcmp(der, ic_spki_ed25519, sizeof ic_spki_ed25519) != 0)
        return ic_fail(err, IC_E_MALFORMED, "node keys: a node without an Ed25519 key");
    memcpy(out->key, der + sizeof ic_spki_ed25519, IC_NODE_KEY_LEN);
    return 0;
}

int ic_node_set_from_certificate(const struct ic_certificate *cert, struct ic_node_set **out,
                                 struct ic_error *err)
{
    const struct ic_principal *subnet = ic_certificate_subnet(cert);
    struct ic_label *labels = NULL;
    size_t n = 0;
    int rc = ic_certificate_list(
        cert, IC_PATH(ic_label_text("subnet"), ic_label_principal(subnet), ic_label_text("node")),
        &labels, &n);
    if (rc == -ENOMEM)
        return ic_fail(err, IC_E_NO_MEMORY, "node keys");
    if (rc != 0 || n == 0) {
        free(labels);
        return ic_fail(err, IC_E_UNVERIFIED, "the certificate shows no nodes of its subnet");
    }

    if (n > IC_NODE_SET_MAX) {
        free(labels);
        return ic_fail(err, IC_E_MALFORMED, "node keys: a subnet of %zu nodes", n);
    }

    struct ic_node_set *set = malloc(sizeof *set + n * sizeof set->node[0]);
    if (set == NULL) {
        free(labels);
        return ic_fail(err, IC_E_NO_MEMORY, "node keys");
    }
    atomic_init(&set->n_refs, 1);
    set->subnet = *subnet;
    set->n = n;
    rc = 0;
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = read_node(cert, subnet, &labels[i], &set->node[i], err);
    free(labels);
    if (rc != 0) {
        free(set);
        return rc;
    }
    *out = set;
    return 0;
}
