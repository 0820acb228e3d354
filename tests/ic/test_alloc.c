/* Every allocation of ic/ fails once: the call says -ENOMEM, nothing leaks (under ASan), and the
 * next call is well. Linked with --wrap for malloc, calloc and realloc: only what our own
 * code allocates is counted, on the calling thread and on the network thread; libraries have
 * theirs.
 */
#include "tests/ic/agent_net.h"
#include "tests/tap.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

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

/* Open, query, read_state, update, close: the first error. */
static int use_agent(void)
{
    struct ic_agent_config config = {.url = fake_server_url(net.server),
                                     .root_key_der = root_key,
                                     .root_key_len = sizeof root_key,
                                     .identity = anonymous};
    struct ic_agent *agent;
    struct ic_error err = {0};
    int rc = ic_agent_open(&agent, &config, &err);
    if (rc != 0)
        return rc;
    struct ic_io io = within_ms(20000);
    struct ic_reply reply = {0};
    rc = query(agent, &io, &reply, &err);
    ic_reply_fini(&reply);
    struct ic_certificate *cert = NULL;
    if (rc == 0)
        rc = ic_agent_read_state(agent, &canister, IC_PATH(ic_label_text("subnet")), 1, &io, &cert,
                                 &err);
    ic_certificate_free(cert);
    if (rc == 0)
        rc = update(agent, &io, &reply, &err);
    ic_reply_fini(&reply);
    ic_agent_close(agent);
    if (rc != 0 && rc != -ENOMEM)
        printf("# %s\n", err.message);
    return rc;
}

int main(void)
{
    net_open();
    plan_queries(all_good);
    is_caller = true;
    TAP_INT(use_agent(), 0, "nothing fails: well");
    int n = 0;
    int n_strange = 0;
    for (bool has_failed = true; has_failed && n < 1000; n++) {
        atomic_store(&n_left, n);
        int rc = use_agent();
        has_failed = atomic_exchange(&n_left, -1) < 0;
        /* What is only wanted, not needed, may fail without harm: then the call is well. So too
         * when the answer to an update cannot be kept: its outcome is asked for. */
        n_strange += has_failed ? rc != -ENOMEM && rc != 0 : rc != 0;
        if (n_strange > 0) {
            printf("# allocation %d: %d\n", n, rc);
            break;
        }
    }
    TAP_INT(n_strange, 0, "each allocation fails in turn: -ENOMEM or no harm");
    TAP_OK(n > 20 && n < 1000, "and there were many");
    printf("# %d allocations\n", n - 1);
    TAP_INT(use_agent(), 0, "well again");
    is_caller = false;
    net_close();
    return tap_done();
}
