#include "ic/http_transfer.h"

#include "ic/proxy.h"
#include "ic/wait.h"

#include <errno.h>
#include <openssl/x509_vfy.h>
#include <stdlib.h>
#include <string.h>

/* Receive buffer of a handle in flight. Measured on loopback with 3 MiB bodies: 256 and 512 KiB are
 * not faster, and each transfer has its own. */
#define RECEIVE_BUFFER_BYTES (64L * 1024)
/* First allocation for a body of unknown length. */
#define BODY_START_BYTES (size_t)(64 * 1024)
/* All headers of an answer; boundary nodes send less than 2 KiB. libcurl bounds one line only. */
#define HEAD_MAX_BYTES (size_t)(64 * 1024)
/* CURLE_TOO_LARGE of libcurl 8.6; older headers do not have it. */
#define TOO_LARGE 100
/* A server may ask for any pause; past an hour it means "not today". */
#define RETRY_AFTER_MAX_SEC 3600

/* Make room for `more` bytes; exactly the announced length when the server told it. */
static bool reserve(struct ic_transfer *transfer, size_t more)
{
    if (more <= transfer->capacity - transfer->len)
        return true;

    size_t capacity = transfer->capacity * 2;
    if (transfer->body == NULL) {
        curl_off_t announced = -1;
        (void)curl_easy_getinfo(transfer->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &announced);
        capacity = announced > 0 ? (size_t)announced : BODY_START_BYTES;
    }
    if (capacity < transfer->len + more)
        capacity = transfer->len + more;
    if (capacity > transfer->reply_max)
        capacity = transfer->reply_max;

    uint8_t *body = transfer->body == NULL ? ic_body_new(transfer->bodies, capacity, &capacity)
                                           : ic_body_grow(transfer->body, capacity);
    if (body == NULL)
        return false;
    transfer->body = body;
    transfer->capacity = capacity;
    return true;
}

static size_t write_cb(char *data, size_t size, size_t n, void *arg)
{
    struct ic_transfer *transfer = arg;
    size_t len = size * n; /* libcurl: size is always 1 */

    curl_off_t announced = -1;
    if (transfer->len == 0)
        (void)curl_easy_getinfo(transfer->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &announced);
    if (len > transfer->reply_max - transfer->len ||
        (announced > 0 && (uint64_t)announced > transfer->reply_max)) {
        transfer->is_too_long = true;
        return CURL_WRITEFUNC_ERROR;
    }
    if (!reserve(transfer, len)) {
        transfer->is_out_of_memory = true;
        return CURL_WRITEFUNC_ERROR;
    }
    memcpy(transfer->body + transfer->len, data, len);
    transfer->len += len;
    return len;
}

static size_t header_cb(char *line, size_t size, size_t n, void *arg)
{
    struct ic_transfer *transfer = arg;
    (void)line;
    transfer->head_len += size * n;
    return transfer->head_len <= HEAD_MAX_BYTES ? size * n : CURL_WRITEFUNC_ERROR;
}

/* Bytes out in this exchange: of all copies of the request, and of what was said to a proxy before
 * (CONNECT). Before the exchange begins: of the one before. */
static long bytes_out(const struct ic_transfer *transfer)
{
    long n = 0;
    (void)curl_easy_getinfo(transfer->easy, CURLINFO_REQUEST_SIZE, &n);
    return n;
}

static bool is_sent(const struct ic_transfer *transfer)
{
    return transfer->begun_at_bytes >= 0 && bytes_out(transfer) > transfer->begun_at_bytes;
}

/* The first failing option wins; every result is looked at. */
#define SET(option, value)                                                                         \
    do {                                                                                           \
        if (rc == CURLE_OK)                                                                        \
            rc = curl_easy_setopt(easy, option, value);                                            \
    } while (0)

static curl_socket_t open_socket_cb(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct ic_transfer *transfer = arg;
    (void)purpose; /* always a connection: nothing here listens */
    curl_socket_t fd = ic_sockets_open(transfer->sockets, address);
    transfer->is_out_of_memory = fd == CURL_SOCKET_BAD && errno == ENOMEM;
    return fd;
}

/* The connection is there, libcurl is about to send the request: for the first time, or anew, see
 * ic_http_reply. */
static int request_cb(void *arg, char *to, char *from, int to_port, int from_port)
{
    struct ic_transfer *transfer = arg;
    (void)to, (void)from, (void)to_port, (void)from_port;
    transfer->n_begun++;
    transfer->is_resent = transfer->is_resent || is_sent(transfer);
    if (transfer->begun_at_bytes < 0)
        transfer->begun_at_bytes = bytes_out(transfer);
    return CURL_PREREQFUNC_OK;
}

static CURLcode set_lasting_options(struct ic_transfer *transfer,
                                    const struct ic_transfer_options *options)
{
    CURL *easy = transfer->easy;
    CURLcode rc = CURLE_OK;
    SET(CURLOPT_PRIVATE, transfer);
    SET(CURLOPT_ERRORBUFFER, transfer->curl_message);
    SET(CURLOPT_WRITEFUNCTION, write_cb);
    SET(CURLOPT_WRITEDATA, transfer);
    SET(CURLOPT_HEADERFUNCTION, header_cb);
    SET(CURLOPT_HEADERDATA, transfer);
    SET(CURLOPT_OPENSOCKETFUNCTION, open_socket_cb);
    SET(CURLOPT_OPENSOCKETDATA, transfer);
    SET(CURLOPT_CLOSESOCKETFUNCTION, ic_sockets_close_cb);
    SET(CURLOPT_CLOSESOCKETDATA, options->sockets); /* a connection outlives the transfer */
    SET(CURLOPT_PREREQFUNCTION, request_cb);
    SET(CURLOPT_PREREQDATA, transfer);
    SET(CURLOPT_HTTPHEADER, options->headers);
    SET(CURLOPT_USERAGENT, "canisterfs");
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_NOSIGNAL, 1L);
    /* Without this, giving up while a name is being resolved waits for the resolver's thread, and
     * every other transfer with it (libcurl manual, CURLOPT_QUICK_EXIT). */
    SET(CURLOPT_QUICK_EXIT, 1L);
    SET(CURLOPT_CONNECTTIMEOUT_MS, options->connect_ms);
    SET(CURLOPT_TCP_NODELAY, 1L);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_BUFFERSIZE, RECEIVE_BUFFER_BYTES);
    /* HTTP/2 over TLS when the server has it; a burst waits for the one connection's handshake
     * instead of opening many. */
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    SET(CURLOPT_PIPEWAIT, 1L);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (options->ca_file != NULL) {
        SET(CURLOPT_CAINFO, options->ca_file);
        SET(CURLOPT_PROXY_CAINFO, options->ca_file);
    }
    if (options->proxy != NULL) {
        SET(CURLOPT_PROXY, options->proxy);
        SET(CURLOPT_NOPROXY, ""); /* the environment's exceptions are for the environment's proxy */
    }
    return rc;
}

int ic_transfer_new(struct ic_transfer **out, const struct ic_transfer_options *options,
                    struct ic_error *err)
{
    struct ic_transfer *transfer = calloc(1, sizeof *transfer);
    if (transfer == NULL)
        return ic_fail(err, IC_E_NO_MEMORY, "HTTP transfer");
    int rc = ic_wait_cond_init(&transfer->done);
    if (rc != 0) {
        free(transfer);
        return ic_fail(err, IC_E_NO_MEMORY, "HTTP transfer: condition: %s", strerror(-rc));
    }
    transfer->easy = curl_easy_init();
    if (transfer->easy == NULL) {
        ic_transfer_free(transfer);
        return ic_fail(err, IC_E_NO_MEMORY, "HTTP transfer: curl_easy_init");
    }
    transfer->bodies = options->bodies;
    transfer->sockets = options->sockets;
    transfer->ca_file = options->ca_file;
    transfer->proxy = options->proxy;
    CURLcode result = set_lasting_options(transfer, options);
    if (result != CURLE_OK) {
        ic_transfer_free(transfer);
        return ic_fail(err, result == CURLE_OUT_OF_MEMORY ? IC_E_NO_MEMORY : IC_E_CONFIG,
                       "HTTP options: %s", curl_easy_strerror(result));
    }
    *out = transfer;
    return 0;
}

void ic_transfer_free(struct ic_transfer *transfer)
{
    if (transfer == NULL)
        return;
    curl_easy_cleanup(transfer->easy);
    (void)pthread_cond_destroy(&transfer->done);
    ic_body_free(transfer->body);
    free(transfer);
}

int ic_transfer_prepare(struct ic_transfer *transfer, const struct ic_http_request *request,
                        struct ic_error *err)
{
    transfer->body = NULL;
    transfer->len = 0;
    transfer->capacity = 0;
    transfer->reply_max = request->reply_max;
    transfer->head_len = 0;
    transfer->is_too_long = false;
    transfer->is_out_of_memory = false;
    transfer->begun_at_bytes = -1;
    transfer->n_begun = 0;
    transfer->is_resent = false;
    transfer->moved_bytes = 0;
    transfer->moved_at_ns = ic_wait_now_ns();
    transfer->result = CURLE_OK;
    transfer->abandoned = 0;
    transfer->is_stalled = false;
    transfer->curl_message[0] = '\0';

    CURL *easy = transfer->easy;
    CURLcode rc = CURLE_OK;
    SET(CURLOPT_URL, request->url);
    if (request->body != NULL) {
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_len);
        SET(CURLOPT_POSTFIELDS, request->body); /* borrowed, not copied */
    } else {
        SET(CURLOPT_HTTPGET, 1L);
    }
    if (rc != CURLE_OK)
        return ic_fail(err, rc == CURLE_OUT_OF_MEMORY ? IC_E_NO_MEMORY : IC_E_CONFIG, "%s: %s",
                       request->url, curl_easy_strerror(rc));
    return 0;
}

long ic_transfer_port(const struct ic_transfer *transfer)
{
    long port = 0;
    (void)curl_easy_getinfo(transfer->easy, CURLINFO_LOCAL_PORT, &port);
    return port;
}

void ic_transfer_look(struct ic_transfer *transfer, int64_t now_ns)
{
    curl_off_t up = 0;
    curl_off_t down = 0;
    long header = 0;
    (void)curl_easy_getinfo(transfer->easy, CURLINFO_SIZE_UPLOAD_T, &up);
    (void)curl_easy_getinfo(transfer->easy, CURLINFO_SIZE_DOWNLOAD_T, &down);
    (void)curl_easy_getinfo(transfer->easy, CURLINFO_HEADER_SIZE, &header);

    int64_t moved = up + down + header + bytes_out(transfer);
    bool has_moved = moved != transfer->moved_bytes;
    /* That a request begins to leave only shows that our kernel has room for it. */
    if (has_moved && (transfer->moved_bytes > 0 || down + header > 0))
        ic_sockets_note_heard(transfer->sockets, ic_transfer_port(transfer));
    else if (moved > 0)
        ic_sockets_note_waiting(transfer->sockets, ic_transfer_port(transfer));
    if (has_moved) {
        transfer->moved_bytes = moved;
        transfer->moved_at_ns = now_ns;
    }
}

/* Headers without end, or a line of them. libcurl has one code for it and for an allocation that
 * failed (before 8.6), and allocates little once a request is out: then it is the header. */
static bool is_head_too_long(const struct ic_transfer *transfer)
{
    if (transfer->head_len > HEAD_MAX_BYTES)
        return true;
    return bytes_out(transfer) > 0 &&
           ((int)transfer->result == CURLE_OUT_OF_MEMORY || (int)transfer->result == TOO_LARGE);
}

/* libcurl's code to ours. Anything that a second attempt could change is UNREACHABLE. */
static enum ic_errc classify(const struct ic_transfer *transfer)
{
    if (transfer->is_out_of_memory)
        return IC_E_NO_MEMORY;
    if (transfer->is_too_long || is_head_too_long(transfer))
        return IC_E_MALFORMED;
    switch ((int)transfer->result) { /* libcurl has a hundred codes: not an exhaustive switch */
    case CURLE_OUT_OF_MEMORY:
        return IC_E_NO_MEMORY;
    case CURLE_URL_MALFORMAT:
    case CURLE_SSL_CACERT_BADFILE:
        return IC_E_CONFIG;
    case CURLE_PARTIAL_FILE: /* the connection closed before Content-Length was reached */
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL: /* what came is not HTTP/1.x: libcurl takes it for HTTP/0.9 */
    case CURLE_BAD_CONTENT_ENCODING:
        return IC_E_MALFORMED;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_ENGINE_INITFAILED:
        return IC_E_TLS;
    default:
        return IC_E_UNREACHABLE;
    }
}

/* libcurl quotes the URL of a proxy that it does not understand, with user and password. */
static bool is_about_proxy(const struct ic_transfer *transfer)
{
    return transfer->result == CURLE_COULDNT_RESOLVE_PROXY ||
           strstr(transfer->curl_message, "nsupported proxy") != NULL;
}

static const char *describe(const struct ic_transfer *transfer)
{
    if (transfer->is_too_long)
        return "the reply is longer than expected";
    if (is_head_too_long(transfer))
        return "the reply's header is too long";
    if (transfer->is_out_of_memory)
        return "no memory for the reply";
    if (is_about_proxy(transfer))
        return "the proxy cannot be used: its URL is none, or its name is not known";
    if (transfer->curl_message[0] != '\0')
        return transfer->curl_message;
    return curl_easy_strerror(transfer->result);
}

/* Did the server, or an https proxy, show a certificate that no trusted authority signed? */
static bool is_untrusted(const struct ic_transfer *transfer)
{
    if (transfer->result != CURLE_PEER_FAILED_VERIFICATION)
        return false;
    long result = X509_V_OK;
    (void)curl_easy_getinfo(transfer->easy, CURLINFO_SSL_VERIFYRESULT, &result);
    if (result == X509_V_OK)
        (void)curl_easy_getinfo(transfer->easy, CURLINFO_PROXY_SSL_VERIFYRESULT, &result);
    return result == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT ||
           result == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY ||
           result == X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE ||
           result == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT ||
           result == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN;
}

/* What came is no TLS record: OpenSSL's words for it, before 3.2 and since. */
static bool is_no_tls(const struct ic_transfer *transfer)
{
    return transfer->result == CURLE_SSL_CONNECT_ERROR &&
           (strstr(transfer->curl_message, "wrong version number") != NULL ||
            strstr(transfer->curl_message, "packet length too long") != NULL);
}

/* What to do about it; begins with a blank, or is empty. */
static const char *advise(const struct ic_transfer *transfer)
{
    if (is_no_tls(transfer))
        return " (what answers there does not speak TLS: is it http, not https?)";
    if (!is_untrusted(transfer))
        return "";
    return transfer->ca_file != NULL
               ? " (its authority is not in the file of option ca_file)"
               : " (a network with an authority of its own needs -o ca_file=FILE)";
}

static int fail_transfer(const struct ic_transfer *transfer, const char *url, struct ic_error *err)
{
    char way[IC_PROXY_WAY];
    ic_proxy_describe(url, transfer->proxy, way);
    if (transfer->is_stalled)
        return ic_fail(err, IC_E_UNREACHABLE, "%s: %sstalled", url, way);
    return ic_fail(err, classify(transfer), "%s: %s%s%s", url, way, describe(transfer),
                   advise(transfer));
}

static int64_t receive_ns(const struct ic_transfer *transfer)
{
    curl_off_t first_us = 0;
    curl_off_t last_us = 0;
    (void)curl_easy_getinfo(transfer->easy, CURLINFO_STARTTRANSFER_TIME_T, &first_us);
    (void)curl_easy_getinfo(transfer->easy, CURLINFO_TOTAL_TIME_T, &last_us);
    return last_us > first_us ? (int64_t)(last_us - first_us) * 1000 : 0;
}

/* The Date header, ns since 1970; 0 when there is none that is one. */
static int64_t date_ns(const struct ic_transfer *transfer)
{
    struct curl_header *header;
    if (curl_easy_header(transfer->easy, "Date", 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
        return 0;
    time_t date = curl_getdate(header->value, NULL);
    return date > 0 && date < INT64_MAX / IC_NS_PER_SEC ? (int64_t)date * IC_NS_PER_SEC : 0;
}

int ic_transfer_finish(struct ic_transfer *transfer, const char *url, struct ic_http_reply *reply,
                       struct ic_error *err)
{
    reply->sent = is_sent(transfer);
    reply->resent = transfer->is_resent;

    int rc = 0;
    if (transfer->abandoned != 0)
        rc = ic_wait_fail(err, transfer->abandoned, url);
    else if (transfer->is_stalled || transfer->result != CURLE_OK)
        rc = fail_transfer(transfer, url, err);
    if (rc != 0) {
        ic_body_free(transfer->body);
        transfer->body = NULL;
        return rc;
    }

    long status = 0;
    curl_off_t retry_after = 0;
    (void)curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    (void)curl_easy_getinfo(transfer->easy, CURLINFO_RETRY_AFTER, &retry_after);
    if (retry_after > RETRY_AFTER_MAX_SEC)
        retry_after = RETRY_AFTER_MAX_SEC;

    reply->status = (int)status;
    reply->retry_after_ms = retry_after > 0 ? (uint32_t)retry_after * 1000 : 0;
    reply->date_ns = date_ns(transfer);
    reply->receive_ns = receive_ns(transfer);
    reply->body = transfer->body;
    reply->len = transfer->len;
    transfer->body = NULL;
    return 0;
}

/* When it failed it may have been about to be begun anew. */
bool ic_transfer_is_worn(const struct ic_transfer *transfer)
{
    return transfer->n_begun > 1 || transfer->result != CURLE_OK || transfer->is_stalled ||
           transfer->abandoned != 0;
}
