/* A pretended Internet Computer of one subnet with one node: makes signed query answers and
 * certificates for tests, with the keys of tests/data/vectors/client/mock_keys.json (root BLS key
 * 07 x 32, node seed 03 x 32). It encodes, hashes and signs on its own, with nothing of ic/.
 */
#ifndef CANISTERFS_TESTS_FAKE_IC_H
#define CANISTERFS_TESTS_FAKE_IC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAKE_IC_ROOT_KEY_LEN 133

void fake_ic_root_key(uint8_t der[FAKE_IC_ROOT_KEY_LEN]);

/* What a canister answers, and what is wrong with the answer. */
struct fake_answer {
    const uint8_t *arg; /* the reply; or: */
    size_t arg_len;
    uint32_t reject_code; /* not 0: a rejection */
    const char *reject_message;
    const char *error_code; /* NULL = none */
    int64_t time_ns;        /* of the signature or certificate */
    bool wrong_signature;
    bool is_forgotten;     /* of a call: it ran, its outcome is not known any more */
    const char *status;    /* of a call: instead of its outcome, "received" or "processing" */
    bool is_absent;        /* of a call: proven not to be known */
    bool is_pruned;        /* of a call: nothing is proven */
    bool unknown_node;     /* signed with another node's key, under that node's name */
    unsigned n_signatures; /* 0 = 1; more are copies */
};

/* Bodies of HTTP answers; malloc'ed, the caller frees. */
uint8_t *fake_ic_query_body(const struct fake_answer *answer, const uint8_t request_id[32],
                            size_t *len);

/* A v4 call answer: a certificate of the root subnet with /request_status/<id> and /time. */
uint8_t *fake_ic_call_body(const struct fake_answer *answer, const uint8_t request_id[32],
                           size_t *len);

/* The same certificate as a read_state answer. */
uint8_t *fake_ic_status_body(const struct fake_answer *answer, const uint8_t request_id[32],
                             size_t *len);

/* A call answer: refused before it ran; in the form of v2, which has no status, or the later one.
 */
uint8_t *fake_ic_refusal_body(const struct fake_answer *answer, bool is_v2, size_t *len);

/* A read_state answer for [["subnet"]]: the root subnet, its ranges (all ids; is_elsewhere: only
 * the management canister) and its node. with_other_node adds the one that unknown_node signs for.
 */
uint8_t *fake_ic_subnet_body(int64_t time_ns, bool with_other_node, bool wrong_signature,
                             bool is_elsewhere, size_t *len);

#endif
