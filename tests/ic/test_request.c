/* Request ids against the vectors, and our envelopes against those real clients sent. */
#include "ic/request.h"
#include "tests/ic/sent_request.h"
#include "tests/ic/vectors.h"
#include "tests/tap.h"

#include <dirent.h>
#include <errno.h>

TAP_STATE;

/* ---- representation-independent hashes ---- */

static void test_hashes(const char *data_dir)
{
    json_t *file = vector_json(data_dir, "request_ids.json");
    json_t *vectors = json_object_get(file, "vectors"), *v;
    size_t i;

    TAP_INT((int64_t)json_array_size(vectors), 10, "ten vectors");
    json_array_foreach(vectors, i, v)
    {
        struct ic_buf want = vector_unhex(vector_text(v, "expected"));
        uint8_t got[IC_SHA256_LEN] = {0};
        TAP_OK(fields_hash(json_object_get(v, "fields"), got), "all kinds of values are known");
        TAP_MEM(got, want.bytes, sizeof(got), vector_text(v, "note"));
        ic_buf_fini(&want);
    }
    json_decref(file);
}

static void test_too_many_fields(void)
{
    struct ic_map_hash h;
    uint8_t out[IC_SHA256_LEN];
    int ret = ic_map_hash_init(&h);
    for (int i = 0; i <= IC_MAP_HASH_FIELDS; i++)
        ic_map_hash_nat(&h, "x", 1);
    TAP_INT(ret < 0 ? ret : ic_map_hash_fini(&h, out), -E2BIG, "one field too many");
}

/* ---- envelopes ---- */

static int encode_again(const struct sent *s, const struct ic_identity *id, struct ic_buf *body,
                        uint8_t request_id[IC_REQUEST_ID_LEN])
{
    struct ic_principal canister;
    if (ic_view_is_text(s->type, "read_state"))
        return ic_request_read_state(id, s->paths, s->n_paths, s->expiry, s->nonce16, body,
                                     request_id);
    if (ic_principal_from_bytes(s->canister.bytes, s->canister.len, &canister) < 0)
        return -EINVAL;
    if (ic_view_is_text(s->type, "query"))
        return ic_request_query(id, &canister, s->method, s->arg.bytes, s->arg.len, s->expiry,
                                s->nonce16, body, request_id);
    return ic_request_call(id, &canister, s->method, s->arg.bytes, s->arg.len, s->expiry,
                           s->nonce16, body, request_id);
}

/* One captured request: its id, its signature, and our encoding of the same content. */
static void test_captured(const char *data_dir, const char *name)
{
    char file[128];
    struct ic_buf body, want = {0}, again = {0};
    struct sent s, ours;
    uint8_t id[IC_REQUEST_ID_LEN] = {0}, our_id[IC_REQUEST_ID_LEN] = {0};
    struct ic_identity *anonymous = NULL;
    struct ic_view der, sig;
    json_t *json, *request;

    snprintf(file, sizeof(file), "client/%s.json", name);
    json = vector_json(data_dir, file);
    request = json_object_get(json, "request");
    snprintf(file, sizeof(file), "client/%s.req.bin", name);
    body = vector_file(data_dir, file);

    TAP_OK(sent_read(&body, &s), name);
    TAP_OK(sent_id(&s, id), "its id");
    if (request) {
        want = vector_unhex(vector_text(request, "request_id"));
        TAP_MEM(id, want.bytes, sizeof(id), "is the one the client used");
    } else { /* captured without its id: ours must at least survive being encoded again */
        ic_buf_append(&want, id, sizeof(id));
    }
    if (ic_cbor_map_bytes(&s.envelope, "sender_pubkey", &der) == 0) {
        TAP_INT(sent_signer(&s.envelope, &der),
                json_integer_value(json_object_get(request, "delegations")),
                "by as many delegations as the client had");
        TAP_INT(ic_cbor_map_bytes(&s.envelope, "sender_sig", &sig), 0, "is signed");
        TAP_OK(sent_is_signed(der, sig, id), "and the signature verifies");
    }

    /* Our encoder cannot take the client's sender, so compare what it makes of the rest. */
    if (ic_identity_new_anonymous(&anonymous) < 0)
        vector_die("malloc", "identity");
    TAP_INT(encode_again(&s, anonymous, &again, our_id), 0, "encoded again, by us");
    TAP_OK(sent_read(&again, &ours), "reads back");
    TAP_INT((int64_t)ours.envelope.n, 1, "anonymous: content and nothing else");
    TAP_INT((int64_t)ours.content.n, (int64_t)s.content.n, "with the same fields");
    ours.sender = s.sender;
    TAP_OK(sent_id(&ours, id), "with the client's sender");
    TAP_MEM(id, want.bytes, sizeof(id), "it is the same request");
    if (ic_view_equal(s.sender, ic_principal_view(ic_identity_principal(anonymous))))
        TAP_MEM(our_id, want.bytes, sizeof(our_id), "our own id of it is the same");
    ic_identity_free(anonymous);
    ic_buf_fini(&again);
    ic_buf_fini(&body);
    ic_buf_fini(&want);
    json_decref(json);
}

static void test_all_captured(const char *data_dir)
{
    static const char suffix[] = ".req.bin";
    char path[VECTOR_PATH];
    struct dirent *e;
    int n = 0;
    DIR *dir;

    vector_path(data_dir, "client", path);
    dir = opendir(path);
    if (!dir)
        vector_die("cannot open", path);
    while ((e = readdir(dir))) {
        size_t len = strlen(e->d_name), cut = sizeof(suffix) - 1;
        char name[sizeof(e->d_name)];
        if (len <= cut || strcmp(e->d_name + len - cut, suffix) != 0)
            continue;
        memcpy(name, e->d_name, len - cut);
        name[len - cut] = '\0';
        test_captured(data_dir, name);
        n++;
    }
    closedir(dir);
    TAP_OK(n > 30, "more than thirty captured requests");
}

/* ---- our own, signed ---- */

static void test_signed(void)
{
    static const uint8_t seed[32] = {2};
    static const uint8_t nonce[IC_NONCE_LEN] = "sixteen bytes..";
    struct ic_principal canister = {0};
    struct ic_identity *id = NULL;
    struct ic_buf body = {0};
    struct sent s;
    uint8_t request_id[IC_REQUEST_ID_LEN], again[IC_REQUEST_ID_LEN];
    struct ic_view der, sig;
    const struct ic_path *paths =
        IC_PATH(ic_label_text("canister"), ic_label_principal(&canister), ic_label_text("x"));

    if (ic_principal_parse("bkyz2-fmaaa-aaaaa-qaaaq-cai", &canister) < 0 ||
        ic_identity_new_ed25519(seed, &id) < 0)
        vector_die("cannot make", "identity");
    TAP_INT(ic_request_call(id, &canister, "m", NULL, 0, 7, nonce, &body, request_id), 0, "a call");
    TAP_MEM(body.bytes, "\xd9\xd9\xf7", 3, "begins with the self-described tag");
    TAP_OK(sent_read(&body, &s), "reads back");
    TAP_OK(sent_id(&s, again), "has an id");
    TAP_MEM(again, request_id, sizeof(again), "the one we were told");
    TAP_INT(ic_cbor_map_bytes(&s.envelope, "sender_pubkey", &der), 0, "carries the key");
    TAP_INT(ic_cbor_map_bytes(&s.envelope, "sender_sig", &sig), 0, "and a signature");
    TAP_OK(sent_is_signed(der, sig, request_id), "that verifies");
    TAP_OK(ic_view_equal(s.nonce, ic_view(nonce, sizeof(nonce))), "and the nonce");
    TAP_INT((int64_t)s.arg.len, 0, "and an empty argument");

    ic_buf_fini(&body);
    TAP_INT(ic_request_query(id, &canister, "m", NULL, 0, 7, NULL, &body, again), 0, "a query");
    TAP_OK(memcmp(again, request_id, sizeof(again)) != 0, "has another id");
    ic_buf_fini(&body);
    TAP_INT(ic_request_read_state(id, paths, 1, 7, NULL, &body, again), 0, "a read_state");
    TAP_OK(sent_read(&body, &s) && s.n_paths == 1 && s.paths[0].n == 3, "with one path of three");
    ic_buf_fini(&body);
    ic_identity_free(id);
}

static void test_bounds(void)
{
    struct ic_identity *id = NULL;
    struct ic_buf body = {0};
    uint8_t request_id[IC_REQUEST_ID_LEN];
    struct ic_label labels[IC_PATH_LABELS + 1] = {{0}};
    struct ic_path path = {labels, IC_PATH_LABELS + 1};
    struct ic_path *many = calloc(IC_REQUEST_PATHS + 1, sizeof(*many));

    if (!many || ic_identity_new_anonymous(&id) < 0)
        vector_die("malloc", "paths");
    TAP_INT(ic_request_read_state(id, &path, 1, 1, NULL, &body, request_id), -EINVAL,
            "a path with too many labels");
    path.n--;
    TAP_INT(ic_request_read_state(id, &path, 1, 1, NULL, &body, request_id), 0, "one less");
    ic_buf_fini(&body);
    TAP_INT(ic_request_read_state(id, many, IC_REQUEST_PATHS + 1, 1, NULL, &body, request_id),
            -EINVAL, "too many paths");
    TAP_INT(ic_request_read_state(id, many, IC_REQUEST_PATHS, 1, NULL, &body, request_id), 0,
            "one less");
    ic_buf_fini(&body);
    free(many);
    ic_identity_free(id);

    TAP_INT((int64_t)ic_request_expiry_ns(1795235450826000000), 1795235640000000000,
            "expiry: four minutes on, rounded down to a minute");
    TAP_INT((int64_t)ic_request_expiry_ns(1795235400000000000), 1795235640000000000,
            "a whole minute stays");
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 1;
    test_hashes(argv[1]);
    test_too_many_fields();
    test_all_captured(argv[1]);
    test_signed();
    test_bounds();
    return tap_done();
}
