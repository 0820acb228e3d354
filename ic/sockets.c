#include "ic/sockets.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct ic_socket {
    struct ic_socket *next;
    curl_socket_t fd;
    long port;         /* local; 0 while it is not known */
    int64_t silent_ns; /* waited for an answer without a sign of life */
    bool is_waited_on; /* noted since the last look ... */
    bool is_heard;     /* ... */
    bool was_waited_on;
};

static void forget(struct ic_sockets *sockets, curl_socket_t fd)
{
    for (struct ic_socket **link = &sockets->first; *link; link = &(*link)->next) {
        struct ic_socket *s = *link;
        if (s->fd != fd)
            continue;
        *link = s->next;
        free(s);
        return;
    }
}

void ic_sockets_fini(struct ic_sockets *sockets)
{
    while (sockets->first)
        forget(sockets, sockets->first->fd);
}

curl_socket_t ic_sockets_open(struct ic_sockets *sockets, const struct curl_sockaddr *address)
{
    struct ic_socket *s = calloc(1, sizeof(*s));
    if (!s) {
        errno = ENOMEM;
        return CURL_SOCKET_BAD;
    }
    s->fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    if (s->fd < 0) {
        int error = errno;
        free(s);
        errno = error;
        return CURL_SOCKET_BAD;
    }
    forget(sockets, s->fd); /* closed without a word, or the number would not be free */
    s->next = sockets->first;
    sockets->first = s;
    return s->fd; // cppcheck-suppress memleak ; it is in the list
}

int ic_sockets_close_cb(void *arg, curl_socket_t fd)
{
    forget(arg, fd);
    return close(fd);
}

/* The kernel chooses it when connecting; 0 before. */
static long local_port(curl_socket_t fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } address = {0};
    socklen_t len = sizeof(address);
    if (getsockname(fd, &address.any, &len) < 0)
        return 0;
    return ntohs(address.any.sa_family == AF_INET6 ? address.in6.sin6_port : address.in.sin_port);
}

static struct ic_socket *find(struct ic_sockets *sockets, long port)
{
    for (struct ic_socket *s = sockets->first; s && port > 0; s = s->next) {
        if (s->port == 0)
            s->port = local_port(s->fd);
        if (s->port == port)
            return s;
    }
    return NULL;
}

void ic_sockets_note_waiting(struct ic_sockets *sockets, long port)
{
    struct ic_socket *s = find(sockets, port);
    if (s)
        s->is_waited_on = true;
}

void ic_sockets_note_heard(struct ic_sockets *sockets, long port)
{
    struct ic_socket *s = find(sockets, port);
    if (s)
        s->is_heard = true;
}

void ic_sockets_end_silent(struct ic_sockets *sockets, int64_t now_ns, int64_t patience_ns)
{
    int64_t passed = now_ns - sockets->looked_ns;
    sockets->looked_ns = now_ns;
    for (struct ic_socket *s = sockets->first; s; s = s->next) {
        if (s->is_heard)
            s->silent_ns = 0;
        else if (s->is_waited_on && s->was_waited_on)
            s->silent_ns += passed;
        if (s->silent_ns >= patience_ns && local_port(s->fd) == s->port)
            (void)shutdown(s->fd, SHUT_RDWR); /* only libcurl may close it, and will */
        s->was_waited_on = s->is_waited_on;
        s->is_waited_on = s->is_heard = false;
    }
}
