/* Every allocation of ic/ fails once: the call says -ENOMEM, nothing leaks (under ASan), and the
 * next call is well. Linked with --wrap for malloc, calloc and realloc: only what our own
 * code allocates is counted, on the calling thread and on the network thread; libraries have
 * theirs.
 */
#include "ic/agent.h"
#include "ic/request.h"
#include "ic/wait.h"
#include "tests/support/fake_ic.h"
#include "tests/support/fake_server.h"
#include "tests/tap.h"

#include <curl/curl.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

TAP_STATE;

/* --- allocations that fail --- */

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

static atomic_int n_left = -1; /* allocations until the one that fails; negative: none does */
static _Thread_local bool is_caller;

/* The server's threads must not fail. The network thread is the one that blocks all signals. */
static bool is_counted(void)
{
    if (is_caller)
        return true;
    sigset_t blocked;
    pthread_sigmask(SIG_BLOCK, NULL, &blocked);
    return sigismember(&blocked, SIGUSR1) == 1;
}

static bool must_fail(void)
{
    return atomic_load(&n_left) >= 0 && is_counted() && atomic_fetch_sub(&n_left, 1) == 0;
}

void *__wrap_malloc(size_t size)
{
    return must_fail() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return must_fail() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
    return must_fail() ? NULL : __real_realloc(p, size);
}

/* --- a network that answers well --- */

static struct ic_principal canister;
static struct ic_identity *anonymous;
static uint8_t root_key[FAKE_IC_ROOT_KEY_LEN];

static int64_t wall_ns(void *arg)
{
    (void)arg;
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * IC_NS_PER_SEC + ts.tv_nsec;
}

/* The request id cannot be known here without decoding; a query's is made again by the test. */
static uint8_t query_id[32];

static void answer(void *arg, const struct fake_request *request, struct fake_reply *reply)
{
    (void)arg;
    struct fake_answer a = {.arg = (const uint8_t *)"well", .arg_len = 4, .time_ns = wall_ns(NULL)};
    if (strstr(request->path, "/query") != NULL)
        reply->owned = fake_ic_query_body(&a, query_id, &reply->len);
    else
        reply->owned = fake_ic_subnet_body(a.time_ns, false, false, false, &reply->len);
    reply->body = reply->owned;
}

static int64_t fixed_ns;
static int64_t fixed_clock(void *arg)
{
    (void)arg;
    return fixed_ns;
}

/* Open, query, read_state, close: the first error. */
static int use_agent(const char *url)
{
    struct ic_agent_config config = {.url = url,
                                     .root_key_der = root_key,
                                     .root_key_len = sizeof root_key,
                                     .identity = anonymous,
                                     .now_ns = fixed_clock};
    struct ic_agent *agent;
    struct ic_error err = {0};
    int rc = ic_agent_open(&agent, &config, &err);
    if (rc != 0)
        return rc;
    struct ic_io io = {.deadline_ns = ic_wait_now_ns() + 5 * IC_NS_PER_SEC};
    struct ic_reply reply = {0};
    rc = ic_agent_query(agent, &canister, "method", NULL, 0, 100, &io, &reply, &err);
    ic_reply_fini(&reply);
    struct ic_certificate *cert = NULL;
    if (rc == 0)
        rc = ic_agent_read_state(agent, &canister, IC_PATH(ic_label_text("subnet")), 1, &io, &cert,
                                 &err);
    ic_certificate_free(cert);
    ic_agent_close(agent);
    if (rc != 0 && rc != -ENOMEM)
        printf("# %s\n", err.message);
    return rc;
}

int main(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
    fake_ic_root_key(root_key);
    if (ic_principal_parse("bkyz2-fmaaa-aaaaa-qaaaq-cai", &canister) != 0 ||
        ic_identity_new_anonymous(&anonymous) != 0)
        return 2;
    struct fake_server *server = fake_server_open(answer, NULL);

    /* A clock that stands still: the same request id in every round. */
    fixed_ns = wall_ns(NULL);
    struct ic_buf body = {0};
    if (ic_request_query(anonymous, &canister, "method", NULL, 0, ic_request_expiry_ns(fixed_ns),
                         NULL, &body, query_id) != 0)
        return 2;
    ic_buf_fini(&body);

    is_caller = true;
    TAP_INT(use_agent(fake_server_url(server)), 0, "nothing fails: well");
    int n = 0;
    int n_strange = 0;
    for (bool has_failed = true; has_failed && n < 1000; n++) {
        atomic_store(&n_left, n);
        int rc = use_agent(fake_server_url(server));
        has_failed = atomic_exchange(&n_left, -1) < 0;
        /* What is only wanted, not needed, may fail without harm: then the call is well. */
        n_strange += has_failed ? rc != -ENOMEM && rc != 0 : rc != 0;
        if (n_strange > 0) {
            printf("# allocation %d: %d\n", n, rc);
            break;
        }
    }
    TAP_INT(n_strange, 0, "each allocation fails in turn: -ENOMEM or no harm");
    TAP_OK(n > 20 && n < 1000, "and there were many");
    printf("# %d allocations\n", n - 1);
    TAP_INT(use_agent(fake_server_url(server)), 0, "well again");

    fake_server_close(server);
    ic_identity_free(anonymous);
    curl_global_cleanup();
    return tap_done();
}
