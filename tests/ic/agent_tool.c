/* Drives ic/ from the command line, for tests and as the raw fetcher of the benchmark.
 *
 *   agent_tool fetch      --url U --root-key HEX --canister ID --size N [--offset N] [--chunk N]
 *                         [--inflight N] [--method stable_read] [--no-verify] [--sha256]
 *   agent_tool items      --url U --root-key HEX --canister ID --method M --size N [--offset N]
 *                         [--chunk N] [--inflight N] [--sha256]
 *   agent_tool query      --url U --root-key HEX --canister ID --method M [--arg HEX]
 *   agent_tool update     --url U --root-key HEX --canister ID --method M [--arg HEX]
 *   agent_tool read-state --url U --root-key HEX --canister ID --path a/b/c   ("@" = the canister)
 *   agent_tool root-key   --url U
 *
 * With all: [--identity FILE.pem] [--timeout-ms N] [--trace]
 *
 * fetch reads a memory with a method (offset : nat64, length : nat64) -> (blob) query, in chunks,
 * --inflight of them at once, and prints one line of JSON; without --sha256 the bytes are thrown
 * away. --no-verify skips what the agent never skips (decoding and node signatures): the same
 * signed queries over the same HTTP client, as a yardstick. items does the same with a method
 * (start : nat64, limit : nat64) that gives items: these are counted by --size, --offset and
 * --chunk, and the bytes are those of the replies. The others print the reply as hex. A failure
 * prints its cause on standard error and exits with 1.
 */
#include "ic/agent.h"
#include "ic/http.h"
#include "ic/identity_pem.h"
#include "ic/request.h"
#include "ic/wait.h"

#include <curl/curl.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define THREADS_MAX 64
#define REPLY_MAX   (3 * 1024 * 1024)

struct options {
    const char *url;
    const char *root_key;
    const char *canister;
    const char *method;
    const char *arg;
    const char *path;
    const char *identity;
    uint64_t offset;
    uint64_t size;
    uint64_t chunk;
    unsigned inflight;
    int64_t timeout_ms;
    int no_verify;
    int sha256;
    int trace;
    bool items;
};

struct tool {
    struct options options;
    struct ic_principal canister;
    struct ic_identity *identity;
    struct ic_agent *agent;
};

static _Noreturn void die(const char *fmt, ...) IC_PRINTF(1, 2);
static void die(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "agent_tool: ");
    vfprintf(stderr, fmt, ap);
    fprintf(stderr, "\n");
    va_end(ap);
    fflush(NULL);
    _exit(1); /* exit() would clean up libraries that other threads are using */
}

/* --- hex --- */

static uint8_t *from_hex(const char *text, size_t *len)
{
    size_t n = strlen(text);
    uint8_t *bytes = malloc(n / 2 + 1);
    if (bytes == NULL || n % 2 != 0)
        die("not hexadecimal: %s", text);
    for (size_t i = 0; i < n / 2; i++) {
        unsigned byte;
        if (sscanf(text + 2 * i, "%2x", &byte) != 1)
            die("not hexadecimal: %s", text);
        bytes[i] = (uint8_t)byte;
    }
    *len = n / 2;
    return bytes;
}

static void print_hex(const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        printf("%02x", bytes[i]);
    printf("\n");
}

/* --- set-up --- */

static void print_trace(void *arg, int level, const char *fmt, ...) IC_PRINTF(3, 4);
static void print_trace(void *arg, int level, const char *fmt, ...)
{
    (void)arg;
    va_list ap;
    va_start(ap, fmt);
    char text[1024];
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    fprintf(stderr, "%d %s\n", level, text);
}

static struct ic_io patience(const struct tool *tool)
{
    return (struct ic_io){.deadline_ns =
                              ic_wait_now_ns() + tool->options.timeout_ms * IC_NS_PER_MS};
}

static void open_agent(struct tool *tool)
{
    const struct options *o = &tool->options;
    struct ic_error err;
    if (o->url == NULL || o->root_key == NULL || o->canister == NULL)
        die("--url, --root-key and --canister are needed");
    if (ic_principal_parse(o->canister, &tool->canister) != 0)
        die("not a principal: %s", o->canister);
    int rc = o->identity != NULL ? ic_identity_open_pem(o->identity, NULL, &tool->identity, &err)
                                 : ic_identity_new_anonymous(&tool->identity);
    if (rc != 0)
        die("identity: %s", o->identity != NULL ? err.message : strerror(-rc));
    size_t len;
    uint8_t *root_key = from_hex(o->root_key, &len);
    struct ic_agent_config config = {.url = o->url,
                                     .root_key_der = root_key,
                                     .root_key_len = len,
                                     .identity = tool->identity,
                                     .max_inflight = o->inflight,
                                     .trace = o->trace ? print_trace : NULL};
    if (ic_agent_open(&tool->agent, &config, &err) != 0)
        die("%s", err.message);
    free(root_key);
}

static void close_agent(struct tool *tool)
{
    ic_agent_close(tool->agent);
    ic_identity_free(tool->identity);
}

/* --- one call --- */

static void call(struct tool *tool, bool is_update)
{
    const struct options *o = &tool->options;
    open_agent(tool);
    size_t len = 6;
    uint8_t *arg = o->arg != NULL ? from_hex(o->arg, &len) : from_hex("4449444c0000", &len);
    struct ic_io io = patience(tool);
    struct ic_reply reply;
    struct ic_error err;
    int rc = is_update ? ic_agent_update(tool->agent, &tool->canister, &tool->canister, o->method,
                                         arg, len, &io, &reply, &err)
                       : ic_agent_query(tool->agent, &tool->canister, o->method, arg, len,
                                        REPLY_MAX, &io, &reply, &err);
    if (rc != 0)
        die("%s (%s)", err.message, strerror(-rc));
    print_hex(reply.arg, reply.len);
    ic_reply_fini(&reply);
    free(arg);
    close_agent(tool);
}

static void read_state(struct tool *tool)
{
    if (tool->options.path == NULL)
        die("--path is needed");
    open_agent(tool);
    struct ic_label labels[16];
    struct ic_path path = {.labels = labels};
    char *text = strdup(tool->options.path);
    for (char *save, *word = strtok_r(text, "/", &save); word != NULL && path.n < 16;
         word = strtok_r(NULL, "/", &save))
        labels[path.n++] =
            strcmp(word, "@") == 0 ? ic_label_principal(&tool->canister) : ic_label_text(word);
    struct ic_io io = patience(tool);
    struct ic_certificate *cert;
    struct ic_error err;
    if (ic_agent_read_state(tool->agent, &tool->canister, &path, 1, &io, &cert, &err) != 0)
        die("%s", err.message);
    const uint8_t *leaf;
    size_t len;
    enum ic_lookup found = ic_certificate_lookup(cert, &path, &leaf, &len);
    if (found != IC_LOOKUP_FOUND)
        die("%s", found == IC_LOOKUP_ABSENT ? "absent" : "no value there");
    print_hex(leaf, len);
    ic_certificate_free(cert);
    free(text);
    close_agent(tool);
}

static void root_key(struct tool *tool)
{
    if (tool->options.url == NULL)
        die("--url is needed");
    uint8_t der[IC_ROOT_KEY_LEN];
    struct ic_io io = patience(tool);
    struct ic_error err;
    if (ic_agent_fetch_root_key(tool->options.url, NULL, NULL, &io, der, &err) != 0)
        die("%s", err.message);
    print_hex(der, sizeof der);
}

/* --- fetch --- */

struct fetch {
    struct tool *tool;
    struct ic_http *http; /* --no-verify */
    char url[512];        /* --no-verify */
    uint64_t n_chunks;
    unsigned n_threads;

    pthread_mutex_t lock;
    pthread_cond_t moved;
    uint64_t next;     /* guarded by lock: chunk to fetch next */
    uint64_t n_hashed; /* guarded by lock: chunks hashed, in order */
    uint64_t n_bytes;  /* guarded by lock */
    EVP_MD_CTX *hash;  /* used by the thread whose turn it is */
};

/* (offset : nat64, length : nat64), both of type code -8 (Candid specification, Types). */
static void encode_range(uint64_t off, uint64_t len, uint8_t arg[24])
{
    static const uint8_t head[8] = {'D', 'I', 'D', 'L', 0, 2, 0x78, 0x78};
    memcpy(arg, head, 8);
    for (int i = 0; i < 8; i++) {
        arg[8 + i] = (uint8_t)(off >> (8 * i));
        arg[16 + i] = (uint8_t)(len >> (8 * i));
    }
}

/* The bytes of a (blob) message; they must be exactly want. */
static const uint8_t *decode_blob(const uint8_t *arg, size_t len, uint64_t want)
{
    static const uint8_t head[] = {'D', 'I', 'D', 'L', 1, 0x6d, 0x7b, 1, 0};
    if (len < sizeof head || memcmp(arg, head, sizeof head) != 0)
        die("the reply is not a blob");
    struct ic_cursor c = ic_cursor(arg + sizeof head, len - sizeof head);
    uint64_t n;
    if (!ic_cursor_leb64(&c, &n) || n != want || n != ic_cursor_left(&c))
        die("the reply holds not exactly %" PRIu64 " bytes", want);
    return c.pos;
}

static void open_raw(struct fetch *f)
{
    const struct options *o = &f->tool->options;
    struct ic_http_config config = {0};
    struct ic_error err;
    if (ic_http_open(&f->http, &config, &err) != 0)
        die("%s", err.message);
    snprintf(f->url, sizeof f->url, "%s/api/v3/canister/%s/query", o->url, o->canister);
}

/* The same signed query, the reply unread. */
static void fetch_raw(struct fetch *f, const uint8_t *arg, size_t arg_len)
{
    struct tool *tool = f->tool;
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    struct ic_buf body = {0};
    uint8_t id[IC_REQUEST_ID_LEN];
    if (ic_request_query(tool->identity, &tool->canister, tool->options.method, arg, arg_len,
                         ic_request_expiry_ns(ts.tv_sec * IC_NS_PER_SEC), NULL, &body, id) != 0)
        die("request");
    struct ic_http_request request = {
        .url = f->url, .body = body.bytes, .body_len = body.len, .reply_max = 4 * 1024 * 1024};
    struct ic_io io = patience(tool);
    struct ic_http_reply reply;
    struct ic_error err;
    if (ic_http_perform(f->http, &request, &io, &reply, &err) != 0)
        die("%s", err.message);
    if (reply.status != 200)
        die("HTTP status %d", reply.status);
    ic_http_reply_fini(&reply);
    ic_buf_fini(&body);
}

static void take_turn(struct fetch *f, uint64_t i, const uint8_t *bytes, uint64_t len)
{
    pthread_mutex_lock(&f->lock);
    while (f->n_hashed != i)
        pthread_cond_wait(&f->moved, &f->lock);
    pthread_mutex_unlock(&f->lock);
    if (EVP_DigestUpdate(f->hash, bytes, len) != 1)
        die("hash");
    pthread_mutex_lock(&f->lock);
    f->n_hashed++;
    pthread_cond_broadcast(&f->moved);
    pthread_mutex_unlock(&f->lock);
}

static void fetch_chunk(struct fetch *f, uint64_t i)
{
    struct tool *tool = f->tool;
    const struct options *o = &tool->options;
    uint64_t off = i * o->chunk;
    uint64_t len = o->size - off < o->chunk ? o->size - off : o->chunk;
    uint8_t arg[24];
    encode_range(o->offset + off, len, arg);
    if (o->no_verify) {
        fetch_raw(f, arg, sizeof arg);
    } else {
        struct ic_io io = patience(tool);
        struct ic_reply reply;
        struct ic_error err;
        int rc = ic_agent_query(tool->agent, &tool->canister, o->method, arg, sizeof arg,
                                o->items ? REPLY_MAX : len + 64, &io, &reply, &err);
        if (rc != 0)
            die("at %" PRIu64 ": %s (%s)", off, err.message, strerror(-rc));
        const uint8_t *bytes = o->items ? reply.arg : decode_blob(reply.arg, reply.len, len);
        if (o->items)
            len = reply.len;
        if (f->hash != NULL)
            take_turn(f, i, bytes, len);
        ic_reply_fini(&reply);
    }
    pthread_mutex_lock(&f->lock);
    f->n_bytes += len;
    pthread_mutex_unlock(&f->lock);
}

static void *fetch_thread(void *arg)
{
    struct fetch *f = arg;
    for (;;) {
        pthread_mutex_lock(&f->lock);
        uint64_t i = f->next++;
        pthread_mutex_unlock(&f->lock);
        if (i >= f->n_chunks)
            return NULL;
        fetch_chunk(f, i);
    }
}

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static void report(struct fetch *f, double elapsed)
{
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    printf("{\"bytes\":%" PRIu64 ",\"seconds\":%.3f,\"MB_per_s\":%.1f,\"inflight\":%u,"
           "\"chunk\":%" PRIu64 ",\"verified\":%s,\"cpu_seconds\":%.3f,\"max_rss_kib\":%ld",
           f->n_bytes, elapsed, (double)f->n_bytes / 1e6 / elapsed, f->n_threads,
           f->tool->options.chunk, f->tool->options.no_verify ? "false" : "true",
           seconds(use.ru_utime) + seconds(use.ru_stime), use.ru_maxrss);
    if (!f->tool->options.no_verify) {
        struct ic_agent_stats stats;
        ic_agent_get_stats(f->tool->agent, &stats);
        printf(",\"attempts\":%" PRIu64 ",\"retries\":%" PRIu64 ",\"limit\":%u,\"p50_ms\":%.1f,"
               "\"p99_ms\":%.1f",
               stats.n_attempts, stats.n_retries, stats.limit, (double)stats.p50_us / 1000,
               (double)stats.p99_us / 1000);
    }
    if (f->hash != NULL) {
        uint8_t digest[32];
        if (EVP_DigestFinal_ex(f->hash, digest, NULL) != 1)
            die("hash");
        printf(",\"sha256\":\"");
        for (size_t i = 0; i < sizeof digest; i++)
            printf("%02x", digest[i]);
        printf("\"");
    }
    printf("}\n");
}

static void fetch(struct tool *tool)
{
    const struct options *o = &tool->options;
    if (o->chunk == 0 || o->inflight == 0 || o->inflight > THREADS_MAX)
        die("--chunk must be positive, --inflight 1 to %d", THREADS_MAX);
    if (o->no_verify && (o->sha256 || o->items))
        die("--sha256 and items need the verified replies");
    open_agent(tool);
    struct fetch f = {.tool = tool,
                      .n_chunks = (o->size + o->chunk - 1) / o->chunk,
                      .n_threads = o->inflight,
                      .lock = PTHREAD_MUTEX_INITIALIZER,
                      .moved = PTHREAD_COND_INITIALIZER};
    if (o->no_verify)
        open_raw(&f);
    if (o->sha256 &&
        ((f.hash = EVP_MD_CTX_new()) == NULL || EVP_DigestInit_ex(f.hash, EVP_sha256(), NULL) != 1))
        die("hash");

    int64_t start = ic_wait_now_ns();
    pthread_t threads[THREADS_MAX];
    for (unsigned i = 0; i < f.n_threads; i++)
        if (pthread_create(&threads[i], NULL, fetch_thread, &f) != 0)
            die("thread");
    for (unsigned i = 0; i < f.n_threads; i++)
        pthread_join(threads[i], NULL);
    report(&f, (double)(ic_wait_now_ns() - start) / 1e9);

    EVP_MD_CTX_free(f.hash);
    ic_http_close(f.http);
    close_agent(tool);
}

/* --- command line --- */

static uint64_t number(const char *text)
{
    char *end;
    errno = 0;
    uint64_t n = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0')
        die("not a number: %s", text);
    return n;
}

static void parse(struct options *o, int argc, char **argv)
{
    const struct option table[] = {
        {"url", required_argument, NULL, 'u'},
        {"root-key", required_argument, NULL, 'k'},
        {"canister", required_argument, NULL, 'c'},
        {"method", required_argument, NULL, 'm'},
        {"arg", required_argument, NULL, 'a'},
        {"path", required_argument, NULL, 'p'},
        {"identity", required_argument, NULL, 'i'},
        {"offset", required_argument, NULL, 'o'},
        {"size", required_argument, NULL, 's'},
        {"chunk", required_argument, NULL, 'n'},
        {"inflight", required_argument, NULL, 'f'},
        {"timeout-ms", required_argument, NULL, 't'},
        {"verify", no_argument, &o->no_verify, 0},
        {"no-verify", no_argument, &o->no_verify, 1},
        {"sha256", no_argument, &o->sha256, 1},
        {"trace", no_argument, &o->trace, 1},
        {0},
    };
    for (int c; (c = getopt_long(argc, argv, "", table, NULL)) != -1;) {
        switch (c) {
        case 'u':
            o->url = optarg;
            break;
        case 'k':
            o->root_key = optarg;
            break;
        case 'c':
            o->canister = optarg;
            break;
        case 'm':
            o->method = optarg;
            break;
        case 'a':
            o->arg = optarg;
            break;
        case 'p':
            o->path = optarg;
            break;
        case 'i':
            o->identity = optarg;
            break;
        case 'o':
            o->offset = number(optarg);
            break;
        case 's':
            o->size = number(optarg);
            break;
        case 'n':
            o->chunk = number(optarg);
            break;
        case 'f':
            o->inflight = (unsigned)number(optarg);
            break;
        case 't':
            o->timeout_ms = (int64_t)number(optarg);
            break;
        case 0:
            break;
        default:
            exit(2);
        }
    }
}

int main(int argc, char **argv)
{
    struct tool tool = {.options = {.method = "stable_read",
                                    .chunk = 3 * 1024 * 1024 - 4096,
                                    .inflight = 16,
                                    .timeout_ms = 30000}};
    if (argc < 2)
        die("fetch, items, query, update, read-state or root-key?");
    parse(&tool.options, argc - 1, argv + 1);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    const char *command = argv[1];
    tool.options.items = strcmp(command, "items") == 0;
    if (strcmp(command, "fetch") == 0 || tool.options.items)
        fetch(&tool);
    else if (strcmp(command, "query") == 0 || strcmp(command, "update") == 0)
        call(&tool, command[0] == 'u');
    else if (strcmp(command, "read-state") == 0)
        read_state(&tool);
    else if (strcmp(command, "root-key") == 0)
        root_key(&tool);
    else
        die("unknown command %s", command);
    curl_global_cleanup();
    return 0;
}
