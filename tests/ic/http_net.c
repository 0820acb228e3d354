#include "tests/ic/http_net.h"

#include "ic/wait.h"
#include "tests/tap.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

uint8_t pattern[PATTERN_LEN];

/* What the server answers next, to every request. */
static struct {
    pthread_mutex_t lock;
    struct fake_reply reply; /* guarded by lock */
    bool echo;               /* guarded by lock: reply with the request's body */
} script = {.lock = PTHREAD_MUTEX_INITIALIZER};

void answer(void *arg, const struct fake_request *request, struct fake_reply *reply)
{
    (void)arg;
    pthread_mutex_lock(&script.lock);
    *reply = script.reply;
    bool echo = script.echo;
    pthread_mutex_unlock(&script.lock);
    if (echo) {
        reply->owned = malloc(request->body_len + 1);
        memcpy(reply->owned, request->body, request->body_len);
        reply->body = reply->owned;
        reply->len = request->body_len;
    }
}

struct fake_server *server;
struct ic_http *http;

void answer_with(struct fake_reply reply)
{
    pthread_mutex_lock(&script.lock);
    script.reply = reply;
    script.echo = false;
    pthread_mutex_unlock(&script.lock);
}

void open_http(unsigned stall_ms)
{
    struct ic_error err;
    struct ic_http_config config = {.stall_ms = stall_ms};
    if (!TAP_OK(ic_http_open(&http, &config, &err) == 0, "open"))
        exit(1);
}

void answer_with_echo(void)
{
    pthread_mutex_lock(&script.lock);
    script.reply = (struct fake_reply){.status = 200};
    script.echo = true;
    pthread_mutex_unlock(&script.lock);
}

struct ic_io within_ms(int64_t ms)
{
    return (struct ic_io){.deadline_ns = ic_wait_now_ns() + ms * IC_NS_PER_MS};
}

int64_t ms_since(int64_t start_ns)
{
    return (ic_wait_now_ns() - start_ns) / IC_NS_PER_MS;
}

void sleep_ms(long ms)
{
    struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&ts, NULL);
}

int post(const uint8_t *body, size_t len, size_t reply_max, const struct ic_io *io,
         struct ic_http_reply *reply, struct ic_error *err)
{
    char url[128];
    snprintf(url, sizeof url, "%s/some/path", fake_server_url(server));
    struct ic_http_request request = {
        .url = url, .body = body, .body_len = len, .reply_max = reply_max};
    return ic_http_perform(http, &request, io, reply, err);
}

int post_now(struct ic_http_reply *reply, struct ic_error *err)
{
    struct ic_io io = within_ms(20000);
    return post((const uint8_t *)"hello", 5, sizeof pattern, &io, reply, err);
}

void check_body(const char *what, bool chunked, size_t len)
{
    answer_with(
        (struct fake_reply){.status = 200, .body = pattern, .len = len, .chunked = chunked});
    struct ic_http_reply reply;
    struct ic_error err;
    TAP_INT(post_now(&reply, &err), 0, what);
    TAP_INT((int64_t)reply.len, (int64_t)len, "its length");
    if (reply.len == len)
        TAP_MEM(reply.body, pattern, len, "its bytes");
    ic_http_reply_fini(&reply);
}

void net_open(void)
{
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = (uint8_t)(i * 7 + i / 251);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    server = fake_server_open(answer, NULL);
    open_http(60000); /* a busy machine is not taken for a stall */
}

void net_close(void)
{
    fake_server_close(server);
    curl_global_cleanup();
}
