/* BLS signatures: published vectors, and every way an encoding can be wrong. */
#include "ic/bls.h"
#include "ic/delegation_cache.h"
#include "tests/ic/forge.h"
#include "tests/ic/vectors.h"
#include "tests/tap.h"

#include <errno.h>

TAP_STATE;

static void test_vectors(json_t *file)
{
    json_t *v;
    size_t i;
    int n_valid = 0;
    json_array_foreach(json_object_get(file, "verify"), i, v)
    {
        struct ic_buf sig = vector_unhex(vector_text(v, "signature_g1_compressed"));
        struct ic_buf key = vector_unhex(vector_text(v, "public_key_g2_compressed"));
        struct ic_buf msg = vector_unhex(vector_text(v, "message"));
        bool valid = json_is_true(json_object_get(v, "valid"));
        n_valid += valid;
        TAP_INT((int64_t)key.len, IC_BLS_KEY_LEN, "key length");
        TAP_INT((int64_t)sig.len, IC_BLS_SIGNATURE_LEN, "signature length");
        TAP_INT(ic_bls_verify(key.bytes, sig.bytes, msg.bytes, msg.len), valid ? 0 : -EBADMSG,
                valid ? "verifies" : "does not verify");
        ic_buf_fini(&sig);
        ic_buf_fini(&key);
        ic_buf_fini(&msg);
    }
    TAP_INT((int64_t)i, 8, "eight vectors");
    TAP_INT(n_valid, 3, "three of them good");
}

/* The signing vector, in both directions. */
static void test_signing(json_t *file)
{
    json_t *v = json_array_get(json_object_get(file, "sign"), 0);
    struct ic_buf key = vector_unhex(vector_text(v, "public_key"));
    struct ic_buf msg = vector_unhex(vector_text(v, "message"));
    struct ic_buf sig = vector_unhex(vector_text(v, "expected_signature"));
    size_t n_bad = 0;

    TAP_INT(ic_bls_verify(key.bytes, sig.bytes, msg.bytes, msg.len), 0, "the signing vector");
    for (size_t bit = 0; bit < 8 * sig.len; bit++) {
        sig.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        n_bad += ic_bls_verify(key.bytes, sig.bytes, msg.bytes, msg.len) == -EBADMSG;
        sig.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    TAP_INT((int64_t)n_bad, 384, "no flipped bit of the signature is taken");
    msg.bytes[msg.len - 1] ^= 1;
    TAP_INT(ic_bls_verify(key.bytes, sig.bytes, msg.bytes, msg.len), -EBADMSG, "another message");
    TAP_INT(ic_bls_verify(key.bytes, sig.bytes, msg.bytes, 0), -EBADMSG, "no message");
    ic_buf_fini(&key);
    ic_buf_fini(&msg);
    ic_buf_fini(&sig);
}

/* A point on the curve but outside the subgroup: the first x whose y exists and that is not in it.
 */
static void off_subgroup_g1(uint8_t out[48])
{
    blst_p1_affine p;
    memset(out, 0, 48);
    out[0] = 0x80;
    do
        out[47]++;
    while (blst_p1_uncompress(&p, out) != BLST_SUCCESS || blst_p1_affine_in_g1(&p));
}

static void off_subgroup_g2(uint8_t out[96])
{
    blst_p2_affine p;
    memset(out, 0, 96);
    out[0] = 0x80;
    do
        out[95]++;
    while (blst_p2_uncompress(&p, out) != BLST_SUCCESS || blst_p2_affine_in_g2(&p));
}

/* The field's modulus: a coordinate as large as it is not reduced. */
static const char modulus[] = "1a0111ea397fe69a4b1ba7b6434bacd764774b84f38512bf6730d2a0f6b0f624"
                              "1eabfffeb153ffffb9feffffffffaaab";

static void test_encodings(void)
{
    static const uint8_t msg[] = "message";
    uint8_t der[133], sig[48], bad_sig[48], bad_key[96];
    const uint8_t *key = der + 37;
    struct ic_buf p = vector_unhex(modulus);

    forge_key_der(7, der);
    forge_sign(7, msg, sizeof(msg), sig);
    TAP_INT(ic_bls_verify(key, sig, msg, sizeof(msg)), 0, "a good signature");

    memset(bad_key, 0, sizeof(bad_key));
    memset(bad_sig, 0, sizeof(bad_sig));
    bad_key[0] = 0xc0;
    bad_sig[0] = 0xc0;
    TAP_INT(ic_bls_verify(bad_key, bad_sig, msg, sizeof(msg)), -EBADMSG,
            "infinity as key and signature would fit any message");
    TAP_INT(ic_bls_verify(bad_key, sig, msg, sizeof(msg)), -EBADMSG, "infinity as key");
    TAP_INT(ic_bls_verify(key, bad_sig, msg, sizeof(msg)), -EBADMSG, "infinity as signature");
    bad_sig[47] = 1;
    TAP_INT(ic_bls_verify(key, bad_sig, msg, sizeof(msg)), -EBADMSG, "infinity, badly written");

    off_subgroup_g1(bad_sig);
    TAP_INT(ic_bls_verify(key, bad_sig, msg, sizeof(msg)), -EBADMSG, "signature off the subgroup");
    off_subgroup_g2(bad_key);
    TAP_INT(ic_bls_verify(bad_key, sig, msg, sizeof(msg)), -EBADMSG, "key off the subgroup");

    memcpy(bad_sig, p.bytes, sizeof(bad_sig));
    bad_sig[0] |= 0x80;
    TAP_INT(ic_bls_verify(key, bad_sig, msg, sizeof(msg)), -EBADMSG, "x not reduced");
    memcpy(bad_key, p.bytes, 48);
    memset(bad_key + 48, 0, 48);
    bad_key[0] |= 0x80;
    TAP_INT(ic_bls_verify(bad_key, sig, msg, sizeof(msg)), -EBADMSG, "key's x not reduced");

    memcpy(bad_sig, sig, sizeof(bad_sig));
    bad_sig[0] &= 0x7f;
    TAP_INT(ic_bls_verify(key, bad_sig, msg, sizeof(msg)), -EBADMSG, "not marked as compressed");
    memcpy(bad_sig, sig, sizeof(bad_sig));
    bad_sig[0] ^= 0x20;
    TAP_INT(ic_bls_verify(key, bad_sig, msg, sizeof(msg)), -EBADMSG, "the negated signature");
    memcpy(bad_key, key, sizeof(bad_key));
    bad_key[0] ^= 0x20;
    TAP_INT(ic_bls_verify(bad_key, sig, msg, sizeof(msg)), -EBADMSG, "the negated key");
    forge_key_der(9, der);
    TAP_INT(ic_bls_verify(key, sig, msg, sizeof(msg)), -EBADMSG, "another key");
    ic_buf_fini(&p);
}

static void test_cache(void)
{
    uint8_t der[133], sig[48], msg[32] = {0};
    struct ic_delegation_cache *cache = NULL;
    const uint8_t *key = der + 37;
    bool all = true;

    forge_key_der(7, der);
    TAP_INT(ic_delegation_cache_new(&cache), 0, "a cache");
    for (uint8_t i = 0; i < 2 * IC_DELEGATION_CACHE_SIZE + 3; i++) {
        msg[0] = i;
        forge_sign(7, msg, sizeof(msg), sig);
        all = all && ic_delegation_cache_verify(cache, key, sig, msg, sizeof(msg)) == 0 &&
              ic_delegation_cache_verify(cache, key, sig, msg, sizeof(msg)) == 0;
        msg[1] = 1;
        all = all && ic_delegation_cache_verify(cache, key, sig, msg, sizeof(msg)) == -EBADMSG;
        msg[1] = 0;
    }
    TAP_OK(all, "more entries than it holds: good stays good, bad stays bad");
    sig[10] ^= 1;
    TAP_INT(ic_delegation_cache_verify(cache, key, sig, msg, sizeof(msg)), -EBADMSG,
            "another signature over a remembered message");
    sig[10] ^= 1;
    forge_key_der(9, der);
    TAP_INT(ic_delegation_cache_verify(cache, key, sig, msg, sizeof(msg)), -EBADMSG,
            "another key for a remembered signature");
    ic_delegation_cache_free(cache);
    ic_delegation_cache_free(NULL);
}

int main(int argc, char **argv)
{
    json_t *file;
    if (argc != 2)
        return 1;
    file = vector_json(argv[1], "bls_signatures.json");
    test_vectors(file);
    test_signing(file);
    test_encodings();
    test_cache();
    json_decref(file);
    return tap_done();
}
