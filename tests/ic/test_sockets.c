/* ic/sockets: what it notes stays true although libcurl does not tell of every socket it closes. */
#include "ic/http.h"
#include "ic/sockets.h"
#include "ic/wait.h"
#include "tests/tap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

TAP_STATE;

#define PATIENCE_NS (100 * IC_NS_PER_MS)

union address {
    struct sockaddr any;
    struct sockaddr_in in;
};

static union address loopback(void)
{
    return (union address){
        .in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
}

/* A listening socket; *to is where to connect. */
static int listen_somewhere(int backlog, union address *to)
{
    *to = loopback();
    socklen_t len = sizeof(*to);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    TAP_OK(fd >= 0 && bind(fd, &to->any, len) == 0 && listen(fd, backlog) == 0 &&
               getsockname(fd, &to->any, &len) == 0,
           "listen");
    return fd;
}

static int open_noted(struct ic_sockets *sockets)
{
    const struct curl_sockaddr address = {.family = AF_INET, .socktype = SOCK_STREAM};
    return ic_sockets_open(sockets, &address);
}

static long port_of(int fd)
{
    union address a = loopback();
    socklen_t len = sizeof(a);
    return getsockname(fd, &a.any, &len) == 0 ? ntohs(a.in.sin_port) : 0;
}

/* Has our end been shut down? */
static bool is_shut(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK);
    return n == 0;
}

/* Somebody waits for longer than the patience, and nothing is heard. */
static void wait_in_vain(struct ic_sockets *sockets, long port)
{
    int64_t now = sockets->looked_ns;
    for (int i = 1; i <= 4; i++) {
        ic_sockets_note_waiting(sockets, port);
        ic_sockets_end_silent(sockets, now + i * PATIENCE_NS / 2, PATIENCE_NS);
    }
}

static void test_silent_is_shut(void)
{
    union address to;
    int listener = listen_somewhere(16, &to);
    struct ic_sockets sockets = {0};
    int fd = open_noted(&sockets);
    TAP_INT(connect(fd, &to.any, sizeof(to)), 0, "connect");
    long port = port_of(fd);
    int64_t now = ic_wait_now_ns();
    for (int i = 0; i < 8; i++) {
        ic_sockets_note_waiting(&sockets, port);
        ic_sockets_note_heard(&sockets, port);
        ic_sockets_end_silent(&sockets, now + i * PATIENCE_NS, PATIENCE_NS);
    }
    TAP_OK(!is_shut(fd), "one that is heard stays");
    wait_in_vain(&sockets, port);
    TAP_OK(is_shut(fd), "one that is waited on in vain is shut down");
    TAP_INT(ic_sockets_close_cb(&sockets, fd), 0, "closed");
    TAP_OK(sockets.first == NULL, "and forgotten");
    close(listener);
}

/* libcurl closes a socket that never connected without a word, and its number comes back. */
static void test_number_comes_back(void)
{
    union address to;
    int listener = listen_somewhere(16, &to);
    struct ic_sockets sockets = {0};
    int first = open_noted(&sockets);
    close(first);
    int second = open_noted(&sockets);
    TAP_INT(second, first, "the number of a socket closed without a word comes back");
    TAP_INT(connect(second, &to.any, sizeof(to)), 0, "connect");
    TAP_INT(ic_sockets_close_cb(&sockets, second), 0, "closed");
    TAP_OK(sockets.first == NULL, "no entry of the first is left");
    close(listener);
}

static void test_somebody_elses(void)
{
    union address to;
    int listener = listen_somewhere(16, &to);
    struct ic_sockets sockets = {0};
    int ours = open_noted(&sockets);
    TAP_INT(connect(ours, &to.any, sizeof(to)), 0, "connect");
    long port = port_of(ours);
    ic_sockets_note_waiting(&sockets, port);
    ic_sockets_end_silent(&sockets, ic_wait_now_ns(), PATIENCE_NS);
    close(ours);
    int theirs = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    TAP_INT(theirs, ours, "somebody else gets the number");
    TAP_INT(connect(theirs, &to.any, sizeof(to)), 0, "connect");
    wait_in_vain(&sockets, port);
    TAP_OK(!is_shut(theirs), "and keeps the connection");
    ic_sockets_fini(&sockets);
    TAP_OK(sockets.first == NULL, "the end frees what is left");
    TAP_OK(!is_shut(theirs), "and closes nothing");
    close(theirs);
    close(listener);
}

/* The real thing: connects that time out, whose entries must not be left at the end (a leak, where
 * leaks are looked for). */
static void test_connect_in_vain(void)
{
    union address to;
    int listener = listen_somewhere(0, &to);
    int fillers[2];
    for (int i = 0; i < 2; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(fillers[i], &to.any, sizeof(to));
    }
    struct ic_http *http;
    const struct ic_http_config config = {.connect_ms = 200};
    TAP_INT(ic_http_open(&http, &config, NULL), 0, "open");
    char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", ntohs(to.in.sin_port));
    for (int i = 0; i < 2; i++) {
        const struct ic_http_request request = {.url = url, .reply_max = 10};
        const struct ic_io io = {.deadline_ns = ic_wait_now_ns() + 20 * IC_NS_PER_SEC};
        struct ic_http_reply reply;
        TAP_INT(ic_http_perform(http, &request, &io, &reply, NULL), -EHOSTUNREACH,
                "a connect that is not answered");
    }
    ic_http_close(http);
    for (int i = 0; i < 2; i++)
        close(fillers[i]);
    close(listener);
}

int main(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
    test_silent_is_shut();
    test_number_comes_back();
    test_somebody_elses();
    test_connect_in_vain();
    curl_global_cleanup();
    return tap_done();
}
