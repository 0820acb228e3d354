/* ic/http's ways to a server: IPv6, names with several addresses of which some are dead, proxies.
 */
#include "ic/http.h"
#include "ic/wait.h"
#include "tests/support/fake_server.h"
#include "tests/support/least.h"
#include "tests/tap.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <netdb.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

TAP_STATE;

/* --- a name with both loopback addresses, ::1 first: libcurl resolves with this function --- */

static struct addrinfo *new_address(int family, const void *address, socklen_t len, int port,
                                    struct addrinfo *next)
{
    /* One allocation: freeaddrinfo frees what getaddrinfo of the C library lays out like this. */
    struct addrinfo *ai = calloc(1, sizeof *ai + len);
    ai->ai_family = family;
    ai->ai_socktype = SOCK_STREAM;
    ai->ai_protocol = IPPROTO_TCP;
    ai->ai_addrlen = len;
    ai->ai_addr = memcpy(ai + 1, address, len);
    ai->ai_next = next;
    uint16_t be_port = htons((uint16_t)port);
    memcpy((char *)ai->ai_addr + offsetof(struct sockaddr_in, sin_port), &be_port, 2);
    return ai;
}

static atomic_uint n_resolved;
static atomic_bool knows_no_names;

__attribute__((visibility("default"))) int getaddrinfo(const char *name, const char *service,
                                                       const struct addrinfo *hints,
                                                       struct addrinfo **out)
{
    (void)hints;
    int port = service != NULL ? atoi(service) : 0;
    const struct sockaddr_in in = {.sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    if (atomic_load(&knows_no_names))
        return EAI_AGAIN;
    if (strcmp(name, "both.test") != 0)
        return EAI_NONAME;
    atomic_fetch_add(&n_resolved, 1);
    struct addrinfo *last = new_address(AF_INET, &in, sizeof in, port, NULL);
    *out = new_address(AF_INET6, &in6, sizeof in6, port, last);
    return 0;
}

/* --- servers and a client --- */

static atomic_uint n_asked_of_proxy;
static char seen_head[2048];

static void answer(void *arg, const struct fake_request *request, struct fake_reply *reply)
{
    (void)request;
    reply->body = arg;
    reply->len = strlen(arg);
}

static void answer_as_proxy(void *arg, const struct fake_request *request, struct fake_reply *reply)
{
    atomic_fetch_add(&n_asked_of_proxy, 1);
    snprintf(seen_head, sizeof seen_head, "%s", request->head);
    answer(arg, request, reply);
}

/* A port whose connects are never answered: the queue of its listener is full. */
struct dead_port {
    int listener;
    int fillers[2];
};

static unsigned open_dead_port(struct dead_port *dead, int family, unsigned port)
{
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } a = {0};
    socklen_t len = family == AF_INET6 ? sizeof a.in6 : sizeof a.in;
    a.any.sa_family = (sa_family_t)family;
    if (family == AF_INET6)
        a.in6.sin6_addr = (struct in6_addr)IN6ADDR_LOOPBACK_INIT;
    else
        a.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    a.in.sin_port = htons((uint16_t)port); /* at the same place in both */
    dead->listener = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(dead->listener, &a.any, len) != 0 || listen(dead->listener, 0) != 0 ||
        getsockname(dead->listener, &a.any, &len) != 0) {
        printf("Bail out! no dead port: %s\n", strerror(errno));
        exit(1);
    }
    for (int i = 0; i < 2; i++) {
        dead->fillers[i] = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(dead->fillers[i], &a.any, len);
    }
    return ntohs(a.in.sin_port);
}

static void close_dead_port(struct dead_port *dead)
{
    close(dead->fillers[0]);
    close(dead->fillers[1]);
    close(dead->listener);
}

static bool was_sent; /* by the last get */

/* GET with a client of its own. The body as text, and how it went. */
static enum ic_errc get(const char *url, const char *proxy, char body[64], char message[512])
{
    struct ic_http *http;
    const struct ic_http_config config = {.proxy = proxy, .connect_ms = 3000};
    struct ic_error err = {0};
    if (ic_http_open(&http, &config, &err) != 0) {
        printf("Bail out! %s\n", err.message);
        exit(1);
    }
    const struct ic_http_request request = {.url = url, .reply_max = 63};
    const struct ic_io io = {.deadline_ns = ic_wait_now_ns() + 20 * IC_NS_PER_SEC};
    struct ic_http_reply reply;
    body[0] = '\0';
    if (ic_http_perform(http, &request, &io, &reply, &err) == 0)
        snprintf(body, 64, "%.*s", (int)reply.len, (const char *)reply.body);
    else
        printf("# %s\n", err.message);
    if (message != NULL)
        snprintf(message, sizeof err.message, "%s", err.message);
    was_sent = reply.sent;
    ic_http_reply_fini(&reply);
    ic_http_close(http);
    return err.code;
}

struct getting {
    const char *url;
    const char *proxy;
    const char *body;
    const char *what;
};

/* Returns how many ms it took. */
static int64_t get_expected(void *arg)
{
    const struct getting *g = arg;
    char got[64];
    int64_t start = ic_wait_now_ns();
    TAP_INT(get(g->url, g->proxy, got, NULL), IC_OK, g->what);
    TAP_STR(got, g->body, "the right server's answer");
    return (ic_wait_now_ns() - start) / IC_NS_PER_MS;
}

static void check_get(const char *url, const char *proxy, const char *body, const char *what)
{
    struct getting g = {url, proxy, body, what};
    TAP_OK(least_of(1500, get_expected, &g) < 1500, "soon");
}

static void test_ipv6(void)
{
    struct fake_server *server = fake_server_open_ipv6(0, answer, (void *)(uintptr_t) "six");
    char url[64];
    snprintf(url, sizeof url, "http://[::1]:%u/", fake_server_port(server));
    check_get(url, NULL, "six", "a URL with an IPv6 address");
    fake_server_close(server);
}

static void test_dead_family(void)
{
    char url[64];
    struct fake_server *four = fake_server_open(answer, (void *)(uintptr_t) "four");
    unsigned port = fake_server_port(four);
    snprintf(url, sizeof url, "http://both.test:%u/", port);
    check_get(url, NULL, "four", "nobody listens on the IPv6 address: the other one");

    struct dead_port dead;
    (void)open_dead_port(&dead, AF_INET6, port);
    check_get(url, NULL, "four", "the IPv6 address never answers: the other one");
    close_dead_port(&dead);
    fake_server_close(four);

    port = open_dead_port(&dead, AF_INET, 0);
    struct fake_server *six = fake_server_open_ipv6(port, answer, (void *)(uintptr_t) "six");
    snprintf(url, sizeof url, "http://both.test:%u/", port);
    check_get(url, NULL, "six", "the IPv4 address never answers: the other one");
    fake_server_close(six);
    char got[64];
    TAP_INT(get(url, NULL, got, NULL), IC_E_UNREACHABLE, "neither answers");
    close_dead_port(&dead);
    TAP_OK(atomic_load(&n_resolved) >= 4, "libcurl resolved with this program's function");
}

static enum ic_errc post_to(struct ic_http *http, const char *url, struct ic_error *err)
{
    const struct ic_http_request request = {.url = url, .reply_max = 63};
    const struct ic_io io = {.deadline_ns = ic_wait_now_ns() + 20 * IC_NS_PER_SEC};
    struct ic_http_reply reply;
    *err = (struct ic_error){0};
    (void)!ic_http_perform(http, &request, &io, &reply, err);
    ic_http_reply_fini(&reply);
    return err->code;
}

/* While names are not known a client fails, and it recovers with them. */
static void test_names_come_back(void)
{
    struct fake_server *server = fake_server_open(answer, (void *)(uintptr_t) "four");
    char url[64];
    snprintf(url, sizeof url, "http://both.test:%u/", fake_server_port(server));
    struct ic_http *http;
    struct ic_error err;
    const struct ic_http_config config = {0};
    TAP_INT(ic_http_open(&http, &config, &err), 0, "open");
    atomic_store(&knows_no_names, true);
    for (int i = 0; i < 3; i++) {
        TAP_INT(post_to(http, url, &err), IC_E_UNREACHABLE, "names are not known");
        TAP_OK(strstr(err.message, "resolve host") != NULL, "the message says so");
    }
    atomic_store(&knows_no_names, false);
    TAP_INT(post_to(http, url, &err), IC_OK, "they are known again");
    atomic_store(&knows_no_names, true);
    fake_server_refuse(server, true);
    TAP_INT(post_to(http, url, &err), IC_E_UNREACHABLE, "the server goes away");
    fake_server_refuse(server, false);
    TAP_INT(post_to(http, url, &err), IC_OK,
            "and comes back: its address is remembered for a while");
    atomic_store(&knows_no_names, false);
    ic_http_close(http);
    fake_server_close(server);
}

/* --- proxies --- */

static void set_environment(const char *name, const char *value)
{
    static const char *const names[] = {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy",
                                        "ALL_PROXY",  "no_proxy",    "NO_PROXY"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        (void)unsetenv(names[i]);
    if (name != NULL)
        (void)setenv(name, value, 1);
}

static void test_proxies(void)
{
    struct fake_server *server = fake_server_open(answer, (void *)(uintptr_t) "direct");
    struct fake_server *proxy = fake_server_open(answer_as_proxy, (void *)(uintptr_t) "proxied");
    char url[64];
    char given[128];
    snprintf(url, sizeof url, "%s/x", fake_server_url(server));

    check_get(url, NULL, "direct", "no proxy");
    check_get(url, fake_server_url(proxy), "proxied", "one that the configuration names");
    TAP_OK(strstr(seen_head, url) != NULL, "is asked for the whole URL");
    snprintf(given, sizeof given, "http://user:secret@127.0.0.1:%u", fake_server_port(proxy));
    set_environment("http_proxy", given);
    check_get(url, NULL, "proxied", "one of the environment, with a password");
    TAP_OK(strstr(seen_head, "Proxy-Authorization: Basic dXNlcjpzZWNyZXQ=") != NULL,
           "which it is told");
    check_get(url, "", "direct", "the configuration says none");
    (void)setenv("no_proxy", "127.0.0.1", 1);
    check_get(url, NULL, "direct", "no_proxy in the environment");
    check_get(url, fake_server_url(proxy), "proxied", "is not about the configuration's");
    set_environment("all_proxy", given);
    check_get(url, NULL, "proxied", "all_proxy");
    TAP_INT(atomic_load(&n_asked_of_proxy), 4, "the proxy was asked so often");

    char secure[64];
    snprintf(secure, sizeof secure, "https://127.0.0.1:%u/", fake_server_port(server));
    char got[64];
    char message[512];
    TAP_INT(get(secure, NULL, got, message), IC_E_TLS, "https through a proxy: a tunnel");
    TAP_OK(strstr(seen_head, "CONNECT 127.0.0.1:") == seen_head, "by CONNECT");
    snprintf(given, sizeof given,
             ": by way of the proxy 127.0.0.1:%u (all_proxy in the environment): ",
             fake_server_port(proxy));
    TAP_OK(strstr(message, given) != NULL, "the message says by way of which");
    TAP_OK(!was_sent, "no request left: the tunnel alone was asked for");
    fake_server_close(proxy);
    fake_server_close(server);
}

/* Nobody listens there: what is said of the way. */
static void check_way(const char *url, const char *proxy, const char *way)
{
    char got[64];
    char message[512];
    TAP_INT(get(url, proxy, got, message), IC_E_UNREACHABLE, way);
    if (!TAP_OK(strstr(message, way) != NULL, "is what is said"))
        printf("# said: %s\n", message);
}

static void test_ways(void)
{
    static const char url[] = "http://127.0.0.1:1/";
    static const char secure[] = "https://127.0.0.1:1/";
    set_environment("http_proxy", "http://user:secret@127.0.0.1:9");
    check_way(url, NULL,
              "/: by way of the proxy 127.0.0.1:9 (http_proxy in the environment): Failed");
    check_way(secure, NULL, "/: Failed to connect");
    check_way(url, "", "/: Failed to connect");
    check_way(url, "http://127.0.0.1:7",
              "/: by way of the proxy 127.0.0.1:7 (option proxy): Failed");
    (void)setenv("no_proxy", "example.org", 1);
    check_way(url, NULL,
              "9 (http_proxy in the environment, unless no_proxy has an exception): Failed");
    check_way(url, "http://127.0.0.1:7",
              "/: by way of the proxy 127.0.0.1:7 (option proxy): Failed");
    set_environment("HTTPS_PROXY", "127.0.0.1:9");
    check_way(secure, NULL, "by way of the proxy 127.0.0.1:9 (HTTPS_PROXY in the environment): ");
    check_way(url, NULL, "/: Failed to connect");
    (void)setenv("https_proxy", "https://127.0.0.1:8", 1);
    check_way(secure, NULL, "by way of the proxy 127.0.0.1:8 (https_proxy in the environment): ");
    set_environment("ALL_PROXY", "[::1]:9");
    check_way(url, NULL, "by way of the proxy [::1]:9 (ALL_PROXY in the environment): ");
    set_environment("all_proxy", "http://user:secret@no-such-host.invalid");
    check_way(url, NULL, "by way of the proxy no-such-host.invalid:1080 (all_proxy in the env");
    set_environment(NULL, NULL);
}

/* Proxies that cannot be used, and what is said of them. */
static void test_secrets(void)
{
    static const char *const proxies[] = {
        "http://user:secret@127.0.0.1:1",    "http://user:secret@no-such-host.invalid:1",
        "ftp://user:secret@127.0.0.1:1",     "http://user:secret@[::1",
        "http://user:secret@host:99999999",  "user:secret@127.0.0.1:1",
        "http://user:65/secret@127.0.0.1:1", "user:secret@ho st:1",
        "nosuch://user:secret@127.0.0.1:1",
    };
    for (size_t i = 0; i < sizeof proxies / sizeof proxies[0]; i++) {
        for (int is_secure = 0; is_secure < 2; is_secure++) {
            char got[64];
            char message[512];
            set_environment("all_proxy", proxies[i]);
            enum ic_errc code =
                get(is_secure ? "https://127.0.0.1:9/" : "http://127.0.0.1:9/", NULL, got, message);
            TAP_INT(code, IC_E_UNREACHABLE, "a proxy that cannot be used");
            TAP_OK(strstr(message, "by way of the proxy ") != NULL,
                   "the message says that it is one");
            TAP_OK(strstr(message, "secret") == NULL && strstr(message, "65") == NULL,
                   "the message does not tell its password");
        }
    }
    set_environment(NULL, NULL);
}

int main(void)
{
    set_environment(NULL, NULL);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    test_ipv6();
    test_dead_family();
    test_names_come_back();
    test_proxies();
    test_ways();
    test_secrets();
    curl_global_cleanup();
    return tap_done();
}
