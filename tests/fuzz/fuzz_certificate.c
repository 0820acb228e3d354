/* Any bytes as a certificate, or the read_state answer around one, whose signatures never fit; and
 * as a hash tree and canister ranges, which come after the signatures in a real one. */
#include "ic/canister_ranges.h"
#include "ic/cbor.h"
#include "ic/certificate.h"
#include "ic/response.h"
#include "tests/fuzz/target.h"

#include <errno.h>

static void walk_tree(struct ic_view item)
{
    static const struct ic_path root = {NULL, 0};
    struct ic_principal id = {.len = 1, .bytes = {1}};
    struct ic_hash_tree *tree = NULL;
    const struct ic_hash_node *node;
    struct ic_view leaf;
    uint8_t digest[IC_SHA256_LEN];

    if (ic_hash_tree_decode(item, &tree) < 0)
        return;
    CLAIM(ic_hash_tree_digest(tree, digest) == 0);
    (void)ic_hash_tree_find(tree, &root, &node);
    (void)ic_hash_tree_lookup(tree, IC_PATH(ic_label_text("a"), ic_label_text("b")), &leaf);
    (void)ic_hash_tree_lookup(tree, IC_PATH(ic_label_text("time")), &leaf);
    (void)!ic_canister_ranges_check(tree, &id, &id, NULL);
    ic_hash_tree_free(tree);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ic_trust trust = {.root_key = ic_mainnet_root_key,
                             .root_key_len = IC_ROOT_KEY_LEN,
                             .now_ns = 1,
                             .max_age_ns = IC_CERTIFICATE_MAX_AGE_NS,
                             .max_ahead_ns = IC_CERTIFICATE_MAX_AHEAD_NS};
    struct ic_principal canister = {.len = 1, .bytes = {4}};
    struct ic_certificate *cert = NULL;
    struct ic_cbor_map map;
    struct ic_view bytes, root, tree;
    if (ic_response_decode_read_state(data, size, &bytes, NULL) < 0)
        bytes = ic_view(data, size);
    int ret =
        ic_certificate_verify_canister(bytes.bytes, bytes.len, &trust, &canister, &cert, NULL);

    CLAIM(ret == -EPROTO || ret == -EBADMSG);
    CLAIM(cert == NULL);
    walk_tree(bytes);
    if (ic_cbor_open(bytes.bytes, bytes.len, &root) == 0 && ic_cbor_map(root, &map) == 0 &&
        ic_cbor_map_find(&map, "tree", &tree) == 0)
        walk_tree(tree);
    return 0;
}
