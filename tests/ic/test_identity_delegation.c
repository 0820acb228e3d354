/* Delegation chains: the golden one, forged ones with every kind of flaw, and what envelopes make
 * of them. */
#include "ic/cbor.h"
#include "ic/identity_delegation.h"
#include "ic/identity_key.h"
#include "ic/identity_pem.h"
#include "ic/map_hash.h"
#include "ic/request.h"
#include "tests/ic/vectors.h"
#include "tests/tap.h"

#include <errno.h>

TAP_STATE;

#define NOW     INT64_C(1600000000000000000) /* the golden chain ends with the year 2020 */
#define LATER   (NOW + 1000000000)
#define N_LINKS (IC_DELEGATIONS_MAX + 1)

static struct ic_identity *identity_of(uint8_t first)
{
    const uint8_t seed[32] = {first};
    struct ic_identity *id = NULL;
    if (ic_identity_new_ed25519(seed, &id) < 0)
        vector_die("malloc", "identity");
    return id;
}

static struct ic_principal canister(uint8_t last)
{
    return (struct ic_principal){10, {0, 0, 0, 0, 0, 0, 0, last, 1, 1}};
}

/* ---- the golden chain ---- */

static void test_golden(const char *data_dir)
{
    json_t *file = vector_json(data_dir, "delegation_chain_ed25519.json");
    json_t *chain_json = json_object_get(file, "chain");
    json_t *list = json_object_get(chain_json, "delegations");
    struct ic_buf root = vector_unhex(vector_text(chain_json, "publicKey"));
    struct ic_buf keys[2], signatures[2];
    struct ic_delegation links[2] = {0};
    struct ic_identity *bottom = identity_of(0), *top = identity_of(2);
    struct ic_error err = {0};

    TAP_INT((int64_t)json_array_size(list), 2, "two delegations");
    for (size_t i = 0; i < 2; i++) {
        json_t *item = json_array_get(list, i), *inner = json_object_get(item, "delegation");
        keys[i] = vector_unhex(vector_text(inner, "pubkey"));
        signatures[i] = vector_unhex(vector_text(item, "signature"));
        links[i].pubkey = ic_view(keys[i].bytes, keys[i].len);
        links[i].signature = ic_view(signatures[i].bytes, signatures[i].len);
        links[i].expiration_ns = strtoull(vector_text(inner, "expiration"), NULL, 16);
    }
    struct ic_delegation_chain chain = {ic_view(root.bytes, root.len), links, 2};
    TAP_INT(ic_identity_delegate(bottom, &chain, NOW, &err), 0, "the golden chain verifies");
    TAP_OK(ic_principal_is_equal(ic_identity_principal(bottom), ic_identity_principal(top)),
           "its sender is the root's principal");
    TAP_OK(ic_view_equal(ic_identity_public_key_der(bottom), ic_view(root.bytes, root.len)),
           "with the root's key");
    TAP_OK(ic_identity_expiration_ns(bottom) == UINT64_C(1609459200000000000), "up to its end");
    TAP_INT(ic_identity_check_time(bottom, NOW, &err), 0, "good for now");
    TAP_INT(ic_identity_check_time(bottom, INT64_C(1609459200000000000), &err), 0,
            "good up to the last moment");
    TAP_INT(ic_identity_check_time(bottom, INT64_C(1609459200000000001), &err), -EACCES,
            "and not after");
    TAP_OK(strstr(err.message, "expired on 2021-01-01 00:00:00 UTC") != NULL, "says when it ended");
    TAP_INT(ic_identity_check_time(top, INT64_MAX, &err), 0, "a key alone is good for ever");
    ic_identity_free(bottom);
    ic_identity_free(top);
    for (size_t i = 0; i < 2; i++) {
        ic_buf_fini(&keys[i]);
        ic_buf_fini(&signatures[i]);
    }
    ic_buf_fini(&root);
    json_decref(file);
}

/* ---- forged ones ---- */

/* A chain of up to N_LINKS links between Ed25519 keys; key i signs link i, for key i + 1. */
struct forged {
    struct ic_identity *keys[N_LINKS + 1];
    struct ic_delegation links[N_LINKS];
    uint8_t signatures[N_LINKS][IC_SIGNATURE_LEN];
    struct ic_delegation_chain chain;
};

static void sign_link(struct forged *f, size_t i)
{
    static const char domain[] = "\x1Aic-request-auth-delegation";
    struct ic_delegation *d = &f->links[i];
    uint8_t msg[sizeof(domain) - 1 + IC_SHA256_LEN];
    struct ic_map_hash h;
    struct ic_buf hashes = {0};
    bool ok = ic_map_hash_init(&h) == 0;

    memcpy(msg, domain, sizeof(domain) - 1);
    ic_map_hash_bytes(&h, "pubkey", d->pubkey);
    ic_map_hash_nat(&h, "expiration", d->expiration_ns);
    for (size_t t = 0; t < d->n_targets; t++) {
        uint8_t digest[IC_SHA256_LEN];
        ok = ok && ic_sha256(d->targets[t].bytes, d->targets[t].len, digest) == 0;
        ic_buf_append(&hashes, digest, sizeof(digest));
    }
    if (d->has_targets)
        ic_map_hash_bytes(&h, "targets", ic_view(hashes.bytes, hashes.len));
    if (d->permissions.bytes)
        ic_map_hash_bytes(&h, "permissions", d->permissions);
    ic_buf_fini(&hashes);
    ok = ok && ic_map_hash_fini(&h, msg + sizeof(domain) - 1) == 0 &&
         ic_identity_sign(f->keys[i], msg, sizeof(msg), f->signatures[i]) == 0;
    if (!ok)
        vector_die("cannot sign", "link");
    d->signature = ic_view(f->signatures[i], IC_SIGNATURE_LEN);
}

static void forge(struct forged *f, size_t n)
{
    memset(f, 0, sizeof(*f));
    for (size_t i = 0; i <= n; i++)
        f->keys[i] = identity_of((uint8_t)(i + 1));
    for (size_t i = 0; i < n; i++) {
        f->links[i].pubkey = ic_identity_public_key_der(f->keys[i + 1]);
        f->links[i].expiration_ns = (uint64_t)LATER + i;
        sign_link(f, i);
    }
    f->chain = (struct ic_delegation_chain){ic_identity_public_key_der(f->keys[0]), f->links, n};
}

static void forged_free(struct forged *f)
{
    for (size_t i = 0; i <= N_LINKS; i++)
        ic_identity_free(f->keys[i]);
}

/* Have a new identity with the last key take the chain. said: what the error says, NULL for none.
 */
static struct ic_identity *take(const struct forged *f, uint8_t session, const char *said,
                                const char *what)
{
    struct ic_identity *id = identity_of(session), *plain = identity_of(session);
    struct ic_error err = {0};
    int ret = ic_identity_delegate(id, &f->chain, NOW, &err);
    TAP_INT(ret, said ? -EINVAL : 0, what);
    if (said && !TAP_OK(strstr(err.message, said) != NULL, said))
        printf("# said: %s\n", err.message);
    if (said) {
        TAP_OK(ic_principal_is_equal(ic_identity_principal(id), ic_identity_principal(plain)) &&
                   ic_identity_delegations(id).len == 0,
               "the identity is as it was");
        ic_identity_free(id);
        id = NULL;
    }
    ic_identity_free(plain);
    return id;
}

static void test_flaws(void)
{
    static struct forged f;
    struct ic_principal target = canister(1);
    struct ic_delegation swapped;
    struct ic_view key;

    forge(&f, 3);
    ic_identity_free(take(&f, 4, NULL, "three links"));
    take(&f, 5, "for another key", "with another session key");
    take(&f, 1, "for another key", "with the root key itself");

    f.signatures[1][7] ^= 1;
    take(&f, 4, "delegation 2 of 3 is not signed by", "a bit of a signature flipped");
    f.signatures[1][7] ^= 1;
    f.links[1].signature.len--;
    take(&f, 4, "delegation 2 of 3 is not signed by", "a signature cut");
    f.links[1].signature.len++;
    f.links[0].expiration_ns++;
    take(&f, 4, "delegation 1 of 3 is not signed by", "an expiration pushed back");
    f.links[0].expiration_ns--;
    f.links[2].has_targets = true;
    f.links[2].targets = &target;
    f.links[2].n_targets = 1;
    take(&f, 4, "delegation 3 of 3 is not signed by", "targets added");
    sign_link(&f, 2);
    ic_identity_free(take(&f, 4, NULL, "and signed"));
    f.links[2].has_targets = false;
    f.links[2].n_targets = 0;
    take(&f, 4, "delegation 3 of 3 is not signed by", "targets taken away");
    sign_link(&f, 2);

    swapped = f.links[0];
    f.links[0] = f.links[1];
    f.links[1] = swapped;
    take(&f, 4, "delegation 1 of 3 is not signed by", "out of order");
    f.links[1] = f.links[0];
    f.links[0] = swapped;
    f.chain.n = 2;
    take(&f, 4, "for another key", "the last link lost");
    f.chain.n = 3;
    f.chain.links = f.links + 1;
    f.chain.n = 2;
    take(&f, 4, "delegation 1 of 2 is not signed by", "the first link lost");
    f.chain.links = f.links;
    f.chain.n = 0;
    take(&f, 4, "no delegations", "no links");
    f.chain.n = 3;

    key = f.links[1].pubkey;
    f.links[1].pubkey = f.chain.public_key;
    take(&f, 4, "delegation 2 of 3 names a key that the chain has", "a circle");
    f.links[1].pubkey = ic_view("junk", 4);
    sign_link(&f, 1);
    take(&f, 4, "of no kind that the network knows", "a key of no kind");
    f.links[1].pubkey = key;
    sign_link(&f, 1);
    ic_identity_free(take(&f, 4, NULL, "all repaired"));
    forged_free(&f);
}

static void test_limits(void)
{
    static struct forged f;
    static struct ic_principal targets[IC_DELEGATION_TARGETS_MAX + 1];
    forge(&f, N_LINKS);
    take(&f, N_LINKS + 1, "21 delegations, the network takes 20", "one link too many");
    f.chain.n--;
    ic_identity_free(take(&f, N_LINKS, NULL, "twenty links"));
    forged_free(&f);

    forge(&f, 1);
    for (size_t i = 0; i <= IC_DELEGATION_TARGETS_MAX; i++)
        targets[i] = canister((uint8_t)i);
    f.links[0].has_targets = true;
    f.links[0].targets = targets;
    f.links[0].n_targets = IC_DELEGATION_TARGETS_MAX + 1;
    sign_link(&f, 0);
    take(&f, 2, "for 1001 canisters", "one target too many");
    f.links[0].n_targets--;
    sign_link(&f, 0);
    ic_identity_free(take(&f, 2, NULL, "a thousand targets"));

    f.links[0].expiration_ns = (uint64_t)NOW - 1;
    sign_link(&f, 0);
    take(&f, 2, "delegation 1 of 1 expired on 2020-09-13 12:26:39 UTC", "expired");
    f.links[0].expiration_ns = UINT64_MAX;
    sign_link(&f, 0);
    ic_identity_free(take(&f, 2, NULL, "good for ever"));

    f.links[0].permissions = ic_view("queries", 7);
    sign_link(&f, 0);
    ic_identity_free(take(&f, 2, NULL, "for queries"));
    f.links[0].permissions = ic_view("all", 3);
    sign_link(&f, 0);
    ic_identity_free(take(&f, 2, NULL, "for all"));
    f.links[0].permissions = ic_view("", 0);
    sign_link(&f, 0);
    take(&f, 2, "neither 'all' nor 'queries'", "for nothing known");
    forged_free(&f);
}

static void set_targets(struct forged *f, size_t i, const struct ic_principal *targets, size_t n)
{
    f->links[i].has_targets = true;
    f->links[i].targets = targets;
    f->links[i].n_targets = n;
    sign_link(f, i);
}

static void test_targets(void)
{
    static struct forged f;
    const struct ic_principal list[] = {canister(1), canister(2), canister(3)};
    const struct ic_principal one = canister(1), two = canister(2), three = canister(3);
    struct ic_error err = {0};
    struct ic_identity *id;

    forge(&f, 3);
    id = take(&f, 4, NULL, "without targets");
    TAP_INT(ic_identity_check_target(id, &one, &err), 0, "any canister is one");
    ic_identity_free(id);
    set_targets(&f, 0, list, 2);
    id = take(&f, 4, NULL, "targets in one link");
    TAP_INT(ic_identity_check_target(id, &two, &err), 0, "a canister it names");
    TAP_INT(ic_identity_check_target(id, &three, &err), -EINVAL, "one it does not");
    TAP_OK(strstr(err.message, "are not for canister") && strstr(err.message, " and others"),
           "says which and what for");
    ic_identity_free(id);
    set_targets(&f, 2, list + 1, 2);
    id = take(&f, 4, NULL, "targets in two links");
    TAP_INT(ic_identity_check_target(id, &two, &err), 0, "a canister both name");
    TAP_INT(ic_identity_check_target(id, &one, &err), -EINVAL, "one that the first names");
    TAP_INT(ic_identity_check_target(id, &three, &err), -EINVAL, "one that the last names");
    ic_identity_free(id);
    set_targets(&f, 1, list, 0);
    id = take(&f, 4, NULL, "a link with an empty list");
    TAP_INT(ic_identity_check_target(id, &two, &err), -EINVAL, "is for nothing");
    TAP_OK(strstr(err.message, "no canister at all") != NULL, "says so");
    ic_identity_free(id);
    forged_free(&f);
}

/* A link that a canister signed is not checked here, and everything after it is. */
static void test_canister_signature(void)
{
    static struct forged f;
    struct ic_buf root = vector_unhex("301d300c060a2b0601040183b8430102030d000a"
                                      "000000000000000101010102");
    struct ic_principal sender;
    struct ic_identity *id;
    forge(&f, 2);
    f.chain.public_key = ic_view(root.bytes, root.len);
    f.links[0].signature = ic_view("a CBOR map, for the network", 27);
    id = take(&f, 3, NULL, "signed by a canister");
    if (ic_principal_self_authenticating(root.bytes, root.len, &sender) < 0)
        vector_die("malloc", "sender");
    TAP_OK(id && ic_principal_is_equal(ic_identity_principal(id), &sender), "has its principal");
    ic_identity_free(id);
    f.signatures[1][0] ^= 1;
    take(&f, 3, "delegation 2 of 2 is not signed by", "a broken link after it");
    forged_free(&f);
    ic_buf_fini(&root);
}

/* ---- envelopes ---- */

static bool is_blob(const struct ic_cbor_map *map, const char *key, struct ic_view want)
{
    struct ic_view got;
    return ic_cbor_map_bytes(map, key, &got) == 0 && ic_view_equal(got, want);
}

static void check_link(struct ic_view item, const struct ic_delegation *want)
{
    struct ic_cbor_map outer, inner;
    struct ic_view delegation, permissions, target;
    struct ic_cbor_array targets;
    uint64_t expiration = 0;
    TAP_OK(ic_cbor_map(item, &outer) == 0 && outer.n == 2 &&
               ic_cbor_map_find(&outer, "delegation", &delegation) == 0 &&
               ic_cbor_map(delegation, &inner) == 0,
           "a signed delegation");
    TAP_INT((int64_t)inner.n, 2 + want->has_targets + (want->permissions.bytes != NULL),
            "with the fields that there are");
    TAP_OK(is_blob(&outer, "signature", want->signature), "its signature");
    TAP_OK(is_blob(&inner, "pubkey", want->pubkey), "its key");
    TAP_OK(ic_cbor_map_uint(&inner, "expiration", &expiration) == 0 &&
               expiration == want->expiration_ns,
           "its expiration");
    if (want->permissions.bytes)
        TAP_OK(ic_cbor_map_text(&inner, "permissions", &permissions) == 0 &&
                   ic_view_equal(permissions, want->permissions),
               "its permissions");
    if (!want->has_targets)
        return;
    TAP_OK(ic_cbor_map_find(&inner, "targets", &item) == 0 && ic_cbor_array(item, &targets) == 0,
           "its targets");
    for (size_t i = 0; i < want->n_targets; i++)
        TAP_OK(ic_cbor_array_next(&targets, &item) == 0 && ic_cbor_bytes(item, &target) == 0 &&
                   ic_view_equal(target, ic_principal_view(&want->targets[i])),
               "one of them");
    TAP_INT(ic_cbor_array_next(&targets, &item), -ENOENT, "and no more");
}

static void test_envelope(void)
{
    static struct forged f;
    const struct ic_principal list[] = {canister(1), canister(2)};
    struct ic_principal to = canister(1);
    struct ic_buf body = {0};
    struct ic_cbor_map envelope, content;
    struct ic_cbor_array links;
    struct ic_view root, item, sig;
    uint8_t request_id[IC_REQUEST_ID_LEN], msg[11 + IC_REQUEST_ID_LEN];

    forge(&f, 2);
    set_targets(&f, 0, list, 2);
    f.links[1].permissions = ic_view("queries", 7);
    sign_link(&f, 1);
    struct ic_identity *id = take(&f, 3, NULL, "a chain");
    TAP_INT(ic_request_query(id, &to, "m", NULL, 0, 7, NULL, &body, request_id), 0, "a query");
    TAP_OK(ic_cbor_open(body.bytes, body.len, &root) == 0 && ic_cbor_map(root, &envelope) == 0 &&
               ic_cbor_map_find(&envelope, "content", &item) == 0 &&
               ic_cbor_map(item, &content) == 0,
           "reads back");
    TAP_INT((int64_t)envelope.n, 4, "content and three fields of the sender");
    TAP_OK(is_blob(&content, "sender", ic_principal_view(ic_identity_principal(f.keys[0]))),
           "the sender is the root");
    TAP_OK(is_blob(&envelope, "sender_pubkey", f.chain.public_key), "with its key");
    memcpy(msg, "\x0Aic-request", 11);
    memcpy(msg + 11, request_id, sizeof(request_id));
    TAP_OK(ic_cbor_map_bytes(&envelope, "sender_sig", &sig) == 0 &&
               ic_identity_key_verify(f.links[1].pubkey, msg, sizeof(msg), sig) == 0,
           "signed by the last key");
    TAP_OK(ic_cbor_map_find(&envelope, "sender_delegation", &item) == 0 &&
               ic_cbor_array(item, &links) == 0,
           "with its delegations");
    for (size_t i = 0; i < 2; i++) {
        TAP_INT(ic_cbor_array_next(&links, &item), 0, "one of them");
        check_link(item, &f.links[i]);
    }
    TAP_INT(ic_cbor_array_next(&links, &item), -ENOENT, "and no more");
    ic_buf_fini(&body);
    ic_identity_free(id);
    forged_free(&f);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 1;
    test_golden(argv[1]);
    test_flaws();
    test_limits();
    test_targets();
    test_canister_signature();
    test_envelope();
    return tap_done();
}
