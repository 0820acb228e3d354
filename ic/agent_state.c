/* Certified state: read_state, the node keys made of it, and the root key of a test network. */
#include "ic/agent_impl.h"
#include "ic/request.h"
#include "ic/response.h"
#include "ic/wait.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The largest thing read_state shows is a metadata section: 1 MiB for all of them together (IC
 * interface spec), and the hashes around it. */
#define STATE_REPLY_MAX  (size_t)(4 * 1024 * 1024)
#define STATUS_REPLY_MAX (size_t)(64 * 1024)

struct state_read {
    const char *scope; /* "canister" or "subnet" */
    const struct ic_principal *id;
    const struct ic_path *paths;
    size_t n;
    bool is_hosted; /* the certificate's subnet must be known to host the canister */
};

int ic_agent_check_host(struct ic_agent *agent, const struct ic_certificate *cert,
                        const struct ic_principal *canister, const struct ic_io *io,
                        struct ic_error *err)
{
    if (ic_certificate_is_delegated(cert))
        return 0;
    struct ic_node_set *set = NULL;
    int rc = ic_node_keys_get(agent->node_keys, canister, NULL, io, &set, err);
    if (rc != 0)
        return rc;
    bool is_host = ic_principal_is_equal(ic_node_set_subnet(set), ic_certificate_subnet(cert));
    ic_node_set_unref(set);
    if (is_host)
        return 0;
    rc = ic_fail(err, IC_E_UNVERIFIED,
                 "certificate: of the root subnet, which does not host the canister");
    ic_agent_note_unverified(agent, 0, err);
    return rc;
}

static int verify(struct ic_agent *agent, const struct state_read *read,
                  const struct ic_http_reply *reply, const struct ic_io *io,
                  struct ic_certificate **out, struct ic_error *err)
{
    struct ic_view cert;
    int rc = ic_response_decode_read_state(reply->body, reply->len, &cert, err);
    if (rc != 0)
        return rc;
    struct ic_certificate *opened = NULL;
    rc = ic_agent_open_certificate(agent, cert, strcmp(read->scope, "subnet") == 0, read->id,
                                   reply->date_ns, &opened, err);
    if (rc == 0 && read->is_hosted)
        rc = ic_agent_check_host(agent, opened, read->id, io, err);
    if (rc == 0)
        *out = opened;
    else
        ic_certificate_free(opened);
    return rc;
}

static int attempt(struct ic_agent *agent, const struct state_read *read, struct ic_retry *retry,
                   const struct ic_io *io, struct ic_certificate **out, struct ic_error *err)
{
    struct ic_buf body = {0};
    uint8_t request_id[IC_REQUEST_ID_LEN];
    int64_t now = ic_agent_now_ns(agent);
    int rc = ic_identity_check_time(agent->identity, now, err);
    if (rc != 0)
        return rc;
    rc = ic_request_read_state(agent->identity, read->paths, read->n, ic_request_expiry_ns(now),
                               NULL, &body, request_id);
    if (rc != 0) {
        ic_buf_fini(&body);
        retry->is_final = true;
        return rc == -ENOMEM ? ic_fail(err, IC_E_NO_MEMORY, "read_state")
                             : ic_fail(err, IC_E_CONFIG, "read_state: too many paths");
    }
    struct ic_http_reply reply;
    rc = ic_agent_post(agent, &(struct ic_endpoint){read->scope, read->id, "read_state"}, &body,
                       STATE_REPLY_MAX, io, &reply, err);
    ic_buf_fini(&body);
    if (rc != 0)
        return rc;
    if (reply.status == 200)
        rc = verify(agent, read, &reply, io, out, err);
    else
        rc = ic_fail(err, IC_E_MALFORMED, "read_state: HTTP status %d", reply.status);
    ic_http_reply_fini(&reply);
    return rc;
}

static int read_state(struct ic_agent *agent, const struct state_read *read, const struct ic_io *io,
                      struct ic_certificate **out, struct ic_error *err)
{
    int64_t start = ic_wait_now_ns();
    struct ic_retry retry = {0};
    struct ic_certificate *cert = NULL;
    struct ic_error cause = {0};
    int rc;
    do {
        rc = attempt(agent, read, &retry, io, &cert, &cause);
    } while (rc != 0 && ic_agent_retry(agent, &retry, "read_state", io, &cause));

    ic_agent_finish(agent, IC_KIND_READ_STATE, read->scope, start, 0, rc, &cause);
    if (rc == 0) {
        *out = cert;
        return 0;
    }
    if (err != NULL)
        *err = cause;
    return ic_error_errno(&cause); /* not rc: a cancelled pause replaced the cause */
}

int ic_agent_read_state(struct ic_agent *agent, const struct ic_principal *canister,
                        const struct ic_path *paths, size_t n, const struct ic_io *io,
                        struct ic_certificate **out, struct ic_error *err)
{
    struct state_read read = {
        .scope = "canister", .id = canister, .paths = paths, .n = n, .is_hosted = true};
    return read_state(agent, &read, io, out, err);
}

/* --- node keys --- */

/* Through the subnet's own endpoint, for a network that no longer shows /subnet to the canister
 * one: first learn, certified, which subnet hosts the canister. */
static int fetch_nodes_from_subnet(struct ic_agent *agent, const struct ic_principal *canister,
                                   const struct ic_io *io, struct ic_node_set **out,
                                   struct ic_error *err)
{
    struct ic_certificate *cert = NULL;
    struct state_read whose = {
        .scope = "canister", .id = canister, .paths = IC_PATH(ic_label_text("time")), .n = 1};
    int rc = read_state(agent, &whose, io, &cert, err);
    if (cert == NULL)
        return rc;
    struct ic_principal subnet = *ic_certificate_subnet(cert);
    /* A delegation was checked to cover the canister. The root subnet signs without one, and may
     * not be where the canister is: then its own ranges must say so. */
    bool is_covered = ic_certificate_is_delegated(cert);
    ic_certificate_free(cert);
    cert = NULL;

    const struct ic_path paths[] = {
        *IC_PATH(ic_label_text("subnet")),
        *IC_PATH(ic_label_text("canister_ranges"), ic_label_principal(&subnet)),
    };
    struct state_read read = {
        .scope = "subnet", .id = &subnet, .paths = paths, .n = is_covered ? 1 : 2};
    rc = read_state(agent, &read, io, &cert, err);
    if (cert == NULL)
        return rc;
    rc = is_covered ? 0 : ic_certificate_check_range(cert, canister, err);
    if (rc == 0)
        rc = ic_node_set_from_certificate(cert, out, err);
    ic_certificate_free(cert);
    return rc;
}

int ic_agent_fetch_nodes(void *arg, const struct ic_principal *canister, const struct ic_io *io,
                         struct ic_node_set **out, struct ic_error *err)
{
    struct ic_agent *agent = arg;
    struct ic_certificate *cert = NULL;
    struct state_read read = {
        .scope = "canister", .id = canister, .paths = IC_PATH(ic_label_text("subnet")), .n = 1};
    int rc = read_state(agent, &read, io, &cert, err);
    bool is_refused = rc != 0 && (err->http_status == 400 || err->http_status == 403);
    if (cert != NULL) {
        rc = ic_certificate_check_range(cert, canister, err);
        if (rc == 0)
            rc = ic_node_set_from_certificate(cert, out, err);
        ic_certificate_free(cert);
    }
    if (is_refused)
        rc = fetch_nodes_from_subnet(agent, canister, io, out, err);
    return rc;
}

/* --- the root key of a test network --- */

static int read_root_key(const struct ic_http_reply *reply, const char *url,
                         uint8_t der[IC_ROOT_KEY_LEN], struct ic_error *err)
{
    struct ic_status_response status;
    if (reply->status != 200) {
        int rc = ic_fail(err, IC_E_HTTP, "%s: HTTP status %d", url, reply->status);
        if (err != NULL)
            err->http_status = reply->status;
        return rc;
    }
    int rc = ic_response_decode_status(reply->body, reply->len, &status, err);
    if (rc != 0)
        return rc;
    if (status.root_key.len != IC_ROOT_KEY_LEN)
        return ic_fail(err, IC_E_MALFORMED, "%s: no root key in the status", url);
    memcpy(der, status.root_key.bytes, IC_ROOT_KEY_LEN);
    return 0;
}

int ic_agent_fetch_root_key(const char *url, const char *ca_file, const char *proxy,
                            const struct ic_io *io, uint8_t der[IC_ROOT_KEY_LEN],
                            struct ic_error *err)
{
    struct ic_http_config config = {.ca_file = ca_file, .proxy = proxy};
    struct ic_http *http;
    int rc = ic_http_open(&http, &config, err);
    if (rc != 0)
        return rc;

    struct ic_buf text = {0};
    size_t len = strlen(url);
    while (len > 0 && url[len - 1] == '/')
        len--;
    ic_buf_append(&text, url, len);
    ic_buf_append(&text, "/api/v2/status", sizeof "/api/v2/status");
    if (ic_buf_status(&text) != 0) {
        rc = ic_fail(err, IC_E_NO_MEMORY, "request URL");
    } else {
        struct ic_http_request request = {.url = (const char *)text.bytes,
                                          .reply_max = STATUS_REPLY_MAX};
        struct ic_http_reply reply;
        rc = ic_http_perform(http, &request, io, &reply, err);
        if (rc == 0) {
            rc = read_root_key(&reply, request.url, der, err);
            ic_http_reply_fini(&reply);
        }
    }
    ic_buf_fini(&text);
    ic_http_close(http);
    return rc;
}
