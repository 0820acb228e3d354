/* Certified state, recorded answers of another implementation, and settings. */
#include "tests/ic/agent_net.h"
#include "tests/tap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TAP_STATE;

static const char *data_dir;

/* --- the recorded answers --- */

static uint8_t *load(const char *name, size_t *len)
{
    char path[512];
    snprintf(path, sizeof path, "%s/vectors/client/%s", data_dir, name);
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = malloc(65536);
    if (file == NULL || bytes == NULL) {
        printf("Bail out! cannot read %s\n", path);
        exit(1);
    }
    *len = fread(bytes, 1, 65536, file);
    fclose(file);
    return bytes;
}

/* One recording for queries, one for read_state, one for status. */
struct recording {
    pthread_mutex_t lock; /* guards the rest */
    uint8_t *query;
    size_t query_len;
    uint8_t *state;
    size_t state_len;
    uint8_t *status;
    size_t status_len;
};

static void replay(void *arg, const struct fake_request *request, struct fake_reply *reply)
{
    struct recording *r = arg;
    bool is_query = strstr(request->path, "/query") != NULL;
    bool is_status = strcmp(request->path, "/api/v2/status") == 0;
    pthread_mutex_lock(&r->lock);
    reply->body = is_query ? r->query : is_status ? r->status : r->state;
    reply->len = is_query ? r->query_len : is_status ? r->status_len : r->state_len;
    pthread_mutex_unlock(&r->lock);
}

static int64_t recorded_now(void *arg)
{
    (void)arg;
    return INT64_C(1795235450000000000);
}

static void test_recordings(void)
{
    struct recording r = {.lock = PTHREAD_MUTEX_INITIALIZER};
    r.query = load("root_018_query_greet.resp.bin", &r.query_len);
    r.state = load("root_004_read_state_subnet.resp.bin", &r.state_len);
    r.status = load("deleg_005_status.resp.bin", &r.status_len);
    struct fake_server *server = fake_server_open(replay, &r);
    char url[128];
    snprintf(url, sizeof url, "%s//", fake_server_url(server));

    uint8_t der[IC_ROOT_KEY_LEN];
    struct ic_io io = within_ms(20000);
    TAP_INT(ic_agent_fetch_root_key(url, NULL, NULL, &io, der, NULL), 0,
            "recorded status: root key");
    TAP_MEM(der, root_key, sizeof der, "it is the mock's");

    struct ic_agent_config config = {.url = url,
                                     .root_key_der = der,
                                     .root_key_len = sizeof der,
                                     .identity = anonymous,
                                     .now_ns = recorded_now};
    struct ic_agent *agent;
    struct ic_reply reply = {0};
    struct ic_error err = {0};
    TAP_INT(ic_agent_open(&agent, &config, &err), 0, "open with a fixed clock");
    int rc = ic_agent_query(agent, &canister, "greet", (const uint8_t *)"DIDL\0\0", 6, 100, &io,
                            &reply, &err);
    TAP_INT(rc, 0, "recorded query: another implementation's signature verifies");
    if (rc != 0)
        printf("# %s\n", err.message);
    else
        TAP_OK(reply.len == 10 && memcmp(reply.arg, "DIDL\0\1\x71\2hi", 10) == 0, "its reply");
    ic_reply_fini(&reply);
    char path[256];
    uint8_t *body;
    size_t len;
    if (TAP_OK(fake_server_get_request(server, 1, path, &body, &len), "the request"))
        free(body);
    TAP_STR(path, "/api/v3/canister/" CANISTER "/query", "slashes at the URL's end do not matter");

    /* With a delegation. */
    uint8_t *first_state = r.state; /* may still be on its way out: freed at the end */
    pthread_mutex_lock(&r.lock);
    r.state = load("deleg_000_read_state_canister.resp.bin", &r.state_len);
    pthread_mutex_unlock(&r.lock);
    struct ic_certificate *cert = NULL;
    const struct ic_path *asked_path =
        IC_PATH(ic_label_text("canister"), ic_label_principal(&canister), ic_label_text("metadata"),
                ic_label_text("candid:service"));
    rc = ic_agent_read_state(agent, &canister, asked_path, 1, &io, &cert, &err);
    TAP_INT(rc, 0, "recorded read_state with a delegation");
    const uint8_t *leaf;
    size_t leaf_len;
    if (rc == 0)
        TAP_INT(ic_certificate_lookup(cert, asked_path, &leaf, &leaf_len), IC_LOOKUP_FOUND,
                "the interface is in it");
    else
        printf("# %s\n", err.message);
    ic_certificate_free(cert);

    ic_agent_close(agent);
    fake_server_close(server);
    free(r.query);
    free(first_state);
    free(r.state);
    free(r.status);
}

/* --- a network that has v2 only --- */

static bool request_was(unsigned n, const char *want)
{
    char path[256] = "";
    uint8_t *body;
    size_t len;
    if (!fake_server_get_request(net.server, n, path, &body, &len))
        return false;
    free(body);
    return strcmp(path, want) == 0;
}

static void test_old_network(void)
{
    struct ic_agent *agent = open_agent();
    struct ic_io io = within_ms(20000);
    struct ic_reply reply = {0};
    unsigned n = fake_server_n_requests(net.server);
    plan_queries(all_good);
    set_nature((struct nature){.is_old = true});
    TAP_INT(query(agent, &io, &reply, NULL), 0, "a query to an old network");
    ic_reply_fini(&reply);
    TAP_INT(fake_server_n_requests(net.server) - n, 3, "asked twice, and then for keys");
    TAP_OK(request_was(n, "/api/v3/canister/" CANISTER "/query") &&
               request_was(n + 1, "/api/v2/canister/" CANISTER "/query") &&
               request_was(n + 2, "/api/v2/canister/" CANISTER "/read_state"),
           "first the present API, then v2, which is remembered");
    ic_agent_close(agent);

    /* Neither: the present API's answer is what is reported. */
    plan_queries((struct plan){.last_bad = UINT32_MAX, .status = 405});
    agent = open_agent();
    struct ic_error err = {0};
    TAP_INT(query(agent, &io, &reply, &err), -EIO, "a network without either");
    TAP_INT(err.http_status, 405, "its status");
    TAP_OK(strstr(err.message, "/api/v3/") != NULL, "of the present API");
    ic_agent_close(agent);
}

/* --- settings --- */

static void test_settings(void)
{
    static const char *const bad_urls[] = {"",         "ftp://host/",        "http://",
                                           "host",     "file:///etc/passwd", "http://host/?a=b",
                                           "http:///", "http://host/#part"};
    struct ic_agent_config config = {
        .root_key_der = root_key, .root_key_len = sizeof root_key, .identity = anonymous};
    struct ic_agent *agent = NULL;
    struct ic_error err = {0};
    for (size_t i = 0; i < sizeof bad_urls / sizeof bad_urls[0]; i++) {
        config.url = bad_urls[i];
        char what[64];
        snprintf(what, sizeof what, "URL \"%s\"", bad_urls[i]);
        TAP_INT(ic_agent_open(&agent, &config, &err), -EINVAL, what);
    }
    config.url = "https://icp-api.io";
    config.root_key_len--;
    TAP_INT(ic_agent_open(&agent, &config, &err), -EINVAL, "a root key that is too short");
    TAP_INT(err.code, IC_E_CONFIG, "code");
    config.root_key_len++;
    config.ca_file = "/no/such/file";
    config.url = "https://127.0.0.1:1/";
    TAP_INT(ic_agent_open(&agent, &config, &err), -EINVAL, "a certificate file that is not there");
    config.ca_file = NULL;
    TAP_INT(ic_agent_open(&agent, &config, &err), 0, "opening sends nothing");
    ic_agent_close(agent);
    ic_agent_close(NULL);

    fake_server_refuse(net.server, true);
    uint8_t der[IC_ROOT_KEY_LEN];
    struct ic_io io = within_ms(20000);
    TAP_INT(ic_agent_fetch_root_key(fake_server_url(net.server), NULL, NULL, &io, der, &err),
            -EHOSTUNREACH, "root key: refused");
    agent = open_agent();
    struct ic_reply reply;
    int64_t start = ic_wait_now_ns();
    io = within_ms(20000);
    TAP_INT(query(agent, &io, &reply, &err), -EHOSTUNREACH, "query: refused");
    struct ic_agent_stats stats;
    ic_agent_get_stats(agent, &stats);
    TAP_INT((int64_t)stats.n_retries, 4, "after 5 tries");
    TAP_OK(ms_since(start) >= 1500, "with growing pauses");
    ic_agent_close(agent);
    fake_server_refuse(net.server, false);
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    data_dir = argv[1];
    net_open();
    test_recordings();
    test_old_network();
    test_settings();
    net_close();
    return tap_done();
}
