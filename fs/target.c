#include "fs/target.h"

#include "ic/certificate.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* icp-cli's managed local network listens here. */
#define LOCAL_URL "http://127.0.0.1:8000"
/* Name documented by the boundary nodes for API traffic. */
#define IC_URL "https://icp-api.io"

struct ic_io fs_target_io(const struct fs_target *target, uint64_t timeout_ns)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return fs_target_io_from((int64_t)now.tv_sec * 1000000000 + now.tv_nsec + (int64_t)timeout_ns,
                             target->cancel);
}

/* What the agent tells about single calls is for those who look closely: a failure that matters
 * comes back as an error and is logged by whoever asked, once. */
static __attribute__((format(printf, 3, 4))) void trace_call(void *arg, int level,
                                                             const char *format, ...)
{
    (void)level;
    struct fs_log *log = arg;
    if (!fs_log_is_on(log, FS_LOG_DEBUG))
        return;
    char text[600];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    fs_log_print(log, FS_LOG_DEBUG, "%s", text);
}

static enum fs_exit resolve_url(const struct fs_options *options, struct fs_target *target,
                                char *message, size_t message_size)
{
    const char *url = options->network;
    if (strcmp(url, "ic") == 0)
        url = IC_URL;
    else if (strcmp(url, "local") == 0)
        url = LOCAL_URL;
    target->url = strdup(url);
    if (target->url)
        return FS_EXIT_OK;
    snprintf(message, message_size, "out of memory");
    return FS_EXIT_CONFIG;
}

/* As ic_agent_config has it: NULL for the environment's, empty for none. */
static const char *proxy_of(const struct fs_options *options)
{
    return options->proxy && strcmp(options->proxy, "none") == 0 ? "" : options->proxy;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Exactly IC_ROOT_KEY_LEN bytes in hex, surrounding white space aside. */
static bool parse_hex_key(const char *text, size_t len, uint8_t out[IC_ROOT_KEY_LEN])
{
    while (len > 0 && isspace((unsigned char)*text)) {
        text++;
        len--;
    }
    while (len > 0 && isspace((unsigned char)text[len - 1]))
        len--;
    if (len != 2 * IC_ROOT_KEY_LEN)
        return false;
    for (size_t i = 0; i < IC_ROOT_KEY_LEN; i++) {
        int high = hex_value(text[2 * i]);
        int low = hex_value(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* The key itself in hex, or a file that holds it in hex or as DER. */
static enum fs_exit read_root_key(const char *given, uint8_t out[IC_ROOT_KEY_LEN], char *message,
                                  size_t message_size)
{
    if (parse_hex_key(given, strlen(given), out))
        return FS_EXIT_OK;
    int fd = open(given, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        snprintf(message, message_size,
                 "root key '%.80s' is neither %d hex digits nor a file that can be read: %s", given,
                 2 * IC_ROOT_KEY_LEN, strerror(errno));
        return FS_EXIT_CONFIG;
    }
    char content[1024];
    ssize_t len = read(fd, content, sizeof(content));
    close(fd);
    if (len == IC_ROOT_KEY_LEN) {
        memcpy(out, content, IC_ROOT_KEY_LEN);
        return FS_EXIT_OK;
    }
    if (len > 0 && parse_hex_key(content, (size_t)len, out))
        return FS_EXIT_OK;
    snprintf(message, message_size, "root key file '%s' holds neither a DER key nor its hex digits",
             given);
    return FS_EXIT_CONFIG;
}

static enum fs_exit resolve_root_key(const struct fs_options *options, struct fs_target *target,
                                     uint8_t out[IC_ROOT_KEY_LEN], char *message,
                                     size_t message_size)
{
    if (options->root_key)
        return read_root_key(options->root_key, out, message, message_size);
    if (strcmp(options->network, "ic") == 0) {
        memcpy(out, ic_mainnet_root_key, IC_ROOT_KEY_LEN);
        return FS_EXIT_OK;
    }
    if (!options->insecure_root_key) {
        snprintf(message, message_size,
                 "network '%s' needs its root key: -o root_key=FILE|HEX (or, for tests only, "
                 "-o insecure_root_key)",
                 options->network);
        return FS_EXIT_CONFIG;
    }
    struct ic_io io = fs_target_io(target, options->timeout_ns);
    struct ic_error err = {0};
    if (ic_agent_fetch_root_key(target->url, options->ca_file, proxy_of(options), &io, out, &err) <
        0) {
        snprintf(message, message_size, "cannot fetch the root key of %s: %s", target->url,
                 err.message);
        return err.code == IC_E_CONFIG ? FS_EXIT_CONFIG : FS_EXIT_NETWORK;
    }
    fs_log_print(target->log, FS_LOG_WARNING,
                 "the root key was fetched from %s without proof: whoever answered there can forge "
                 "every byte",
                 target->url);
    return FS_EXIT_OK;
}

static int open_agent(struct fs_target *target, struct ic_error *err)
{
    const struct ic_agent_config config = {
        .url = target->url,
        .root_key_der = target->root_key,
        .root_key_len = sizeof(target->root_key),
        .identity = target->identity,
        .ca_file = target->options->ca_file,
        .proxy = proxy_of(target->options),
        .max_inflight = (unsigned)target->options->max_inflight,
        .trace = trace_call,
        .trace_arg = target->log,
    };
    return ic_agent_open(&target->agent, &config, err);
}

enum fs_exit fs_target_open(struct fs_target *out, const struct fs_options *options,
                            struct ic_identity *identity, struct fs_log *log,
                            const atomic_bool *cancel, char *message, size_t message_size)
{
    memset(out, 0, sizeof(*out));
    out->log = log;
    out->options = options;
    out->cancel = cancel;
    out->identity = identity;
    struct ic_error err = {0};
    enum fs_exit result = FS_EXIT_USAGE;
    if (ic_principal_parse(options->canister, &out->canister) < 0) {
        snprintf(message, message_size,
                 "'%.80s' is not the text form of a principal, such as ryjl3-tyaaa-aaaaa-aaaba-cai",
                 options->canister);
        goto failed;
    }
    ic_principal_format(&out->canister, out->canister_text);
    result = FS_EXIT_CONFIG;
    if (ic_identity_check_target(identity, &out->canister, &err) < 0) {
        snprintf(message, message_size, "%s", err.message);
        goto failed;
    }
    if ((result = resolve_url(options, out, message, message_size)) != FS_EXIT_OK ||
        (result = resolve_root_key(options, out, out->root_key, message, message_size)) !=
            FS_EXIT_OK)
        goto failed;
    if (open_agent(out, &err) == 0)
        return FS_EXIT_OK;
    snprintf(message, message_size, "%s", err.message);
    result = FS_EXIT_CONFIG;
failed:
    fs_target_close(out);
    return result;
}

int fs_target_open_anonymous(struct fs_target *out, const struct fs_target *target,
                             struct ic_error *err)
{
    *out = *target;
    out->agent = NULL;
    out->identity = NULL;
    out->borrows_identity = false;
    out->url = strdup(target->url);
    if (!out->url || ic_identity_new_anonymous(&out->identity) < 0) {
        fs_target_close(out);
        return ic_fail(err, IC_E_NO_MEMORY, "out of memory");
    }
    int result = open_agent(out, err);
    if (result < 0)
        fs_target_close(out);
    return result;
}

int fs_target_open_again(struct fs_target *out, const struct fs_target *target,
                         struct ic_error *err)
{
    *out = *target;
    out->agent = NULL;
    out->borrows_identity = true;
    out->url = strdup(target->url);
    int result = out->url ? open_agent(out, err) : ic_fail(err, IC_E_NO_MEMORY, "out of memory");
    if (result < 0)
        fs_target_close(out);
    return result;
}

void fs_target_close(struct fs_target *target)
{
    if (target->agent)
        ic_agent_close(target->agent);
    if (!target->borrows_identity)
        ic_identity_free(target->identity);
    free(target->url);
    memset(target, 0, sizeof(*target));
}
