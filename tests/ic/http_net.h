/* A loopback server that answers as it is told, and a client of ours, for the tests of ic/http. */
#ifndef CANISTERFS_TESTS_IC_HTTP_NET_H
#define CANISTERFS_TESTS_IC_HTTP_NET_H

#include "ic/http.h"
#include "tests/support/fake_server.h"

#include <stddef.h>
#include <stdint.h>

#define MIB (1024 * 1024)

/* Bytes to send either way. */
#define PATTERN_LEN (3 * MIB + 1000)
extern uint8_t pattern[PATTERN_LEN];

/* Those in use; a test may put others in their place for a while. */
extern struct fake_server *server;
extern struct ic_http *http;

/* Opens both, and what they need; for main. */
void net_open(void);
void net_close(void);

/* Opens another `http`. */
void open_http(unsigned stall_ms);

/* Answers a request as answer_with or answer_with_echo said: this to each, or its own body. */
void answer(void *arg, const struct fake_request *request, struct fake_reply *reply);
void answer_with(struct fake_reply reply);
void answer_with_echo(void);

struct ic_io within_ms(int64_t ms);
int64_t ms_since(int64_t start_ns);
void sleep_ms(long ms);

/* POST to `server` by `http`. */
int post(const uint8_t *body, size_t len, size_t reply_max, const struct ic_io *io,
         struct ic_http_reply *reply, struct ic_error *err);
int post_now(struct ic_http_reply *reply, struct ic_error *err);

/* The answer of so many bytes comes whole. */
void check_body(const char *what, bool chunked, size_t len);

#endif
