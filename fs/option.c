/* The option table and everything that is derived from it. */
#include "fs/option.h"

#include "fs/edit_distance.h"
#include "fs/log.h"
#include "fs/url.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum option_type {
    OPTION_TEXT,
    OPTION_FLAG,
    OPTION_COUNT,
    OPTION_SIZE, /* bytes; K, M, G, T are powers of 1024 */
    OPTION_TIME, /* nanoseconds; ms, s, m; a plain number is seconds */
    OPTION_MODE, /* permission bits, octal */
    OPTION_LOG_LEVEL,
    OPTION_CHOICE, /* the index of one of the words of value_name */
    OPTION_NETWORK,
    OPTION_PROXY,
};

struct option_row {
    const char *name;
    enum option_type type;
    size_t offset; /* in struct fs_options */
    const char *value_name;
    const char *fallback; /* the default, parsed like a given value; NULL: none */
    uint64_t min;
    uint64_t max;
    const char *help;
};

#define AT(member) offsetof(struct fs_options, member)
#define SECOND_NS  UINT64_C(1000000000)
#define MEBIBYTE   (UINT64_C(1) << 20)
#define N_OPTIONS  (sizeof(option_table) / sizeof(option_table[0]))

static const struct option_row option_table[] = {
    {"network", OPTION_NETWORK, AT(network), "ic|local|URL", "ic", 0, 0,
     "the network: the Internet Computer, a local network at http://127.0.0.1:8000, or any http or "
     "https URL without a password"},
    {"root_key", OPTION_TEXT, AT(root_key), "FILE|HEX", NULL, 0, 0,
     "root key of that network (DER, as a file or as hex digits); built in for network=ic"},
    {"insecure_root_key", OPTION_FLAG, AT(insecure_root_key), NULL, NULL, 0, 0,
     "ask the network itself for its root key: for tests only, anybody on the way can answer"},
    {"identity", OPTION_TEXT, AT(identity), "FILE|NAME", NULL, 0, 0,
     "sign calls with the private key in this PEM file (Ed25519, secp256k1, P-256), or with the "
     "identity of that name in icp-cli or dfx; anonymous without it"},
    {"password_file", OPTION_TEXT, AT(password_file), "FILE", NULL, 0, 0,
     "password of that key, the first line of this file; asked for on the terminal without it"},
    {"delegation", OPTION_TEXT, AT(delegation), "FILE", NULL, 0, 0,
     "delegations to that key (JSON of icp identity delegation sign): be whom they speak for"},
    {"ca_file", OPTION_TEXT, AT(ca_file), "FILE", NULL, 0, 0,
     "trust the TLS certificate authorities in this PEM file instead of the system's"},
    {"proxy", OPTION_PROXY, AT(proxy), "URL|none", NULL, 0, 0,
     "HTTP proxy; without it that of https_proxy, http_proxy, all_proxy and no_proxy in the "
     "environment, where it may have a user and a password"},
    {"profile", OPTION_TEXT, AT(profile), "NAME", NULL, 0, 0,
     "read memory and collections as canisterfs, factland, distrikt, metamagic, dscvr, "
     "canister-tools, taggr, hotornot, icml or power-equalizer do, instead of finding out; none: "
     "look for neither"},
    {"map", OPTION_TEXT, AT(map), "FILE", NULL, 0, 0,
     "read memory and collections with the methods that this file names"},
    {"did", OPTION_TEXT, AT(did), "FILE", NULL, 0, 0,
     "Candid interface of the canister, when it publishes none"},
    {"live", OPTION_CHOICE, AT(live), "warn|fail", "warn", 0, 0,
     "memory or collections without a version, of which a copy may mix two states: warn, or do "
     "not mount them"},
    {"cache_size", OPTION_SIZE, AT(cache_size), "SIZE", "256M", 4 * MEBIBYTE, UINT64_C(1) << 40,
     "memory for cached blocks and chunks, and for replies under way"},
    {"cache_dir", OPTION_TEXT, AT(cache_dir), "DIR", NULL, 0, 0,
     "keep chunks that memory has no room for here, and when contents were first seen, so that "
     "files that did not change have the mtime they had at the last mount"},
    {"cache_disk", OPTION_SIZE, AT(cache_disk), "SIZE", "1G", 4 * MEBIBYTE, UINT64_C(1) << 44,
     "most bytes of chunks to keep there"},
    {"chunk_items", OPTION_COUNT, AT(chunk_items), "N", "1000", 1, 1000000,
     "items in one file of backup/"},
    {"chunk_timeout", OPTION_TIME, AT(chunk_timeout_ns), "TIME", "10m", SECOND_NS,
     86400 * SECOND_NS,
     "how long a chunk that was fetched may wait to be read before it is fetched anew"},
    {"max_inflight", OPTION_COUNT, AT(max_inflight), "N", "32", 1, 32,
     "most queries under way at once; begins with 16 (or N) and adapts between 1 and N"},
    {"restore_inflight", OPTION_COUNT, AT(restore_inflight), "N", "8", 1, 160,
     "most update calls of one restore under way at once"},
    {"timeout", OPTION_TIME, AT(timeout_ns), "TIME", "30s", SECOND_NS, 3600 * SECOND_NS,
     "longest wait of one read before it fails with ETIMEDOUT"},
    {"attr_timeout", OPTION_TIME, AT(attr_timeout_ns), "TIME", "1s", SECOND_NS / 10,
     86400 * SECOND_NS, "how long sizes and names may be remembered"},
    {"max_threads", OPTION_COUNT, AT(max_threads), "N", "128", 2, 512,
     "threads that answer the kernel"},
    {"uid", OPTION_COUNT, AT(uid), "N", NULL, 0, UINT32_MAX - 1,
     "owner of the files; the mounting user without it"},
    {"gid", OPTION_COUNT, AT(gid), "N", NULL, 0, UINT32_MAX - 1,
     "group of the files; the mounting user's without it"},
    {"umask", OPTION_MODE, AT(umask), "MODE", "0", 0, 0777,
     "permission bits to take from files (0444, 0644 where they can be written) and directories "
     "(0555, 0755), octal"},
    {"allow_other", OPTION_FLAG, AT(allow_other), NULL, NULL, 0, 0,
     "let other users in, as far as uid, gid and umask allow"},
    {"rw", OPTION_FLAG, AT(rw), NULL, NULL, 0, 0,
     "let files be restored by writing them; read-only without it, or with a later ro"},
    {"staging_dir", OPTION_TEXT, AT(staging_dir), "DIR", NULL, 0, 0,
     "keep what is written here until the canister has it; without it canisterfs in "
     "$XDG_STATE_HOME or ~/.local/state, of root without HOME /var/lib/canisterfs"},
    {"commit", OPTION_CHOICE, AT(commit), "auto|manual", "auto", 0, 0,
     "when what was written goes to the canister: when it is closed or renamed, or by command "
     "only"},
    {"shrink", OPTION_CHOICE, AT(shrink), "no|zero", "no", 0, 0,
     "a file shorter than the memory, which cannot shrink: refuse it, or write zeros behind it"},
    {"force", OPTION_FLAG, AT(force), NULL, NULL, 0, 0,
     "restore a part of a file also where nothing tells whether the rest has changed meanwhile"},
    {"maintenance", OPTION_CHOICE, AT(maintenance), "off|manual|auto", "manual", 0, 0,
     "pause the canister, where it has the methods: never, by command, or also while it is "
     "restored or read"},
    {"nosnapshots", OPTION_FLAG, AT(nosnapshots), NULL, NULL, 0, 0,
     "no directory snapshots/: listing and reading snapshots are update calls, which the canister "
     "pays for"},
    {"log_level", OPTION_LOG_LEVEL, AT(log_level), "LEVEL", "info", 0, 0,
     "error, warning, info, debug (each remote call) or trace (each kernel request); SIGUSR2 moves "
     "it "
     "one step on, from trace back to info"},
    {"foreground", OPTION_FLAG, AT(foreground), NULL, NULL, 0, 0,
     "stay in the foreground and log to standard error, not to syslog (-f)"},
};

/* Words that mount(8) and fstab put into -o (mount(8), "Filesystem-independent mount options").
 * The first group means something to the kernel; the others do not change anything about files that
 * cannot be written, devices and links that are not there, or are meant for mount(8) itself. */
static const char *const kernel_words[] = {"nosuid", "nodev", "noexec", "noatime", "nodiratime"};
static const char *const ignored_words[] = {
    "_netdev",     "async",      "atime",     "auto",    "defaults",   "default_permissions",
    "dev",         "diratime",   "dirsync",   "exec",    "group",      "iversion",
    "lazytime",    "loud",       "mand",      "noauto",  "nofail",     "nogroup",
    "noiversion",  "nolazytime", "nomand",    "noowner", "norelatime", "nostrictatime",
    "nosymfollow", "nouser",     "nousers",   "owner",   "relatime",   "silent",
    "strictatime", "suid",       "symfollow", "sync",    "user",       "users",
};

static bool is_text(const struct option_row *row)
{
    return row->type == OPTION_TEXT || row->type == OPTION_NETWORK || row->type == OPTION_PROXY;
}

static bool is_word(const char *const *words, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(words[i], name) == 0)
            return true;
    return false;
}

static const struct option_row *find_row(const char *name, size_t name_len)
{
    for (size_t i = 0; i < N_OPTIONS; i++)
        if (strlen(option_table[i].name) == name_len &&
            memcmp(option_table[i].name, name, name_len) == 0)
            return &option_table[i];
    return NULL;
}

/* The option that a mistyped name was meant to be: at most two letters wrong, of short names one.
 * NULL when none is near. */
static const struct option_row *find_near(const char *name, size_t name_len)
{
    const struct option_row *near = NULL;
    size_t best = 3;
    for (size_t i = 0; i < N_OPTIONS; i++) {
        size_t distance = fs_edit_distance(name, name_len, option_table[i].name);
        if (distance < best && 2 * distance < strlen(option_table[i].name)) {
            near = &option_table[i];
            best = distance;
        }
    }
    return near;
}

/* A decimal (modes: octal) number with one of the suffixes; false on anything else, overflow
 * included. */
static bool parse_number(const char *text, const struct option_row *row, uint64_t *out)
{
    static const struct {
        enum option_type type;
        const char *suffix;
        uint64_t factor;
    } suffixes[] = {
        {OPTION_COUNT, "", 1},
        {OPTION_MODE, "", 1},
        {OPTION_SIZE, "", 1},
        {OPTION_SIZE, "K", UINT64_C(1) << 10},
        {OPTION_SIZE, "M", UINT64_C(1) << 20},
        {OPTION_SIZE, "G", UINT64_C(1) << 30},
        {OPTION_SIZE, "T", UINT64_C(1) << 40},
        {OPTION_TIME, "", SECOND_NS},
        {OPTION_TIME, "ms", 1000000},
        {OPTION_TIME, "s", SECOND_NS},
        {OPTION_TIME, "m", 60 * SECOND_NS},
    };
    if (text[0] < '0' || text[0] > '9')
        return false;
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, row->type == OPTION_MODE ? 8 : 10);
    if (errno != 0)
        return false;
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        if (suffixes[i].type != row->type || strcmp(suffixes[i].suffix, end) != 0)
            continue;
        uint64_t value;
        if (__builtin_mul_overflow((uint64_t)number, suffixes[i].factor, &value))
            return false;
        if (value < row->min || value > row->max)
            return false;
        *out = value;
        return true;
    }
    return false;
}

/* Which of the words between the bars of value_name? */
static bool parse_choice(const char *text, const struct option_row *row, uint64_t *out)
{
    size_t len = strlen(text);
    uint64_t index = 0;
    for (const char *word = row->value_name;; index++) {
        size_t word_len = strcspn(word, "|");
        if (word_len == len && strncmp(word, text, len) == 0) {
            *out = index;
            return true;
        }
        if (word[word_len] == '\0')
            return false;
        word += word_len + 1;
    }
}

/* "auto or manual"; "off, manual or auto" */
static void describe_choice(const struct option_row *row, char *buf, size_t size)
{
    size_t used = 0;
    for (const char *at = row->value_name; *at && used + 4 < size; at++) {
        const char *between = strchr(at + 1, '|') ? ", " : " or ";
        if (*at == '|')
            used += (size_t)snprintf(buf + used, size - used, "%s", between);
        else
            buf[used++] = *at;
    }
    buf[used] = '\0';
}

#define BOUND_TEXT 24 /* 20 digits, a unit and the end */

/* A bound as it can be given. */
static void format_bound(const struct option_row *row, uint64_t value, char out[BOUND_TEXT])
{
    static const uint64_t gibibyte = 1024 * MEBIBYTE;
    if (row->type == OPTION_SIZE && value % gibibyte == 0)
        snprintf(out, BOUND_TEXT, "%lluG", (unsigned long long)(value / gibibyte));
    else if (row->type == OPTION_SIZE)
        snprintf(out, BOUND_TEXT, "%lluM", (unsigned long long)(value / MEBIBYTE));
    else if (row->type == OPTION_TIME && value % SECOND_NS == 0)
        snprintf(out, BOUND_TEXT, "%llus", (unsigned long long)(value / SECOND_NS));
    else if (row->type == OPTION_TIME)
        snprintf(out, BOUND_TEXT, "%llums", (unsigned long long)(value / 1000000));
    else
        snprintf(out, BOUND_TEXT, row->type == OPTION_MODE ? "%llo" : "%llu",
                 (unsigned long long)value);
}

static void format_range(const struct option_row *row, char out[FS_RANGE_TEXT])
{
    char min[BOUND_TEXT], max[BOUND_TEXT];
    format_bound(row, row->min, min);
    format_bound(row, row->max, max);
    snprintf(out, FS_RANGE_TEXT, "%s to %s", min, max);
}

static void describe_range(const struct option_row *row, char *buf, size_t size)
{
    char range[FS_RANGE_TEXT];
    format_range(row, range);
    if (row->type == OPTION_LOG_LEVEL)
        snprintf(buf, size, "error, warning, info, debug or trace");
    else if (row->type == OPTION_CHOICE)
        describe_choice(row, buf, size);
    else if (row->type == OPTION_SIZE || row->type == OPTION_TIME)
        snprintf(buf, size, "a %s from %s, such as %s", row->type == OPTION_SIZE ? "size" : "time",
                 range, row->fallback);
    else if (row->type == OPTION_MODE)
        snprintf(buf, size, "an octal number from %s, such as 077", range);
    else
        snprintf(buf, size, "a number from %s", range);
}

static enum fs_exit set_text(char **slot, const char *value, char *message, size_t message_size)
{
    char *copy = strdup(value);
    if (!copy) {
        snprintf(message, message_size, "out of memory");
        return FS_EXIT_CONFIG;
    }
    free(*slot);
    *slot = copy;
    return FS_EXIT_OK;
}

/* Store one value. Returns an fs_exit. */
static enum fs_exit set_value(struct fs_options *options, const struct option_row *row,
                              const char *value, char *message, size_t message_size)
{
    char *base = (char *)options + row->offset;
    if (row->type == OPTION_FLAG) {
        if (value) {
            snprintf(message, message_size, "option '%s' takes no value", row->name);
            return FS_EXIT_USAGE;
        }
        *(bool *)(void *)base = true;
        return FS_EXIT_OK;
    }
    if (!value || !*value) {
        snprintf(message, message_size, "option '%s' needs a value: %s=%s", row->name, row->name,
                 row->value_name);
        return FS_EXIT_USAGE;
    }
    if (row->type == OPTION_NETWORK && !fs_url_is_network(value)) {
        /* Without the value: it may hold a password. */
        snprintf(message, message_size,
                 "option '%s': not ic, local, or a URL such as https://host:8000 (http or https, "
                 "no user, no password)",
                 row->name);
        return FS_EXIT_USAGE;
    }
    if (row->type == OPTION_PROXY && !fs_url_is_proxy(value)) {
        snprintf(
            message, message_size,
            "option '%s': not none, or a URL such as http://host:3128 (http or https, no user, "
            "no password: these go into the environment)",
            row->name);
        return FS_EXIT_USAGE;
    }
    if (is_text(row))
        return set_text((char **)(void *)base, value, message, message_size);
    uint64_t number;
    bool ok = row->type == OPTION_LOG_LEVEL ? fs_log_parse_level(value, &number)
              : row->type == OPTION_CHOICE  ? parse_choice(value, row, &number)
                                            : parse_number(value, row, &number);
    if (!ok) {
        char range[128];
        describe_range(row, range, sizeof(range));
        snprintf(message, message_size, "option '%s': '%s' is not %s", row->name, value, range);
        return FS_EXIT_USAGE;
    }
    *(uint64_t *)(void *)base = number;
    return FS_EXIT_OK;
}

static enum fs_exit add_kernel_word(struct fs_options *options, const char *word)
{
    char *joined;
    if (asprintf(&joined, "%s%s%s", options->kernel_options ? options->kernel_options : "",
                 options->kernel_options && *options->kernel_options ? "," : "", word) < 0)
        return FS_EXIT_CONFIG;
    free(options->kernel_options);
    options->kernel_options = joined;
    return FS_EXIT_OK;
}

/* One `name` or `name=value`; mount_words: also take the words of mount(8). */
static enum fs_exit apply_option(struct fs_options *options, const char *text, bool mount_words,
                                 char *message, size_t message_size)
{
    const char *equals = strchr(text, '=');
    size_t name_len = equals ? (size_t)(equals - text) : strlen(text);
    const struct option_row *row = find_row(text, name_len);
    if (row)
        return set_value(options, row, equals ? equals + 1 : NULL, message, message_size);
    if (mount_words) {
        if (is_word(kernel_words, sizeof(kernel_words) / sizeof(kernel_words[0]), text))
            return add_kernel_word(options, text);
        if (is_word(ignored_words, sizeof(ignored_words) / sizeof(ignored_words[0]), text) ||
            strncasecmp(text, "x-", 2) == 0 || strncmp(text, "comment=", 8) == 0)
            return FS_EXIT_OK;
        if (strcmp(text, "ro") == 0) {
            options->rw = false;
            return FS_EXIT_OK;
        }
        if (strcmp(text, "remount") == 0) {
            snprintf(message, message_size,
                     "a mount's options cannot be changed ('remount'): unmount it, and mount it "
                     "again");
            return FS_EXIT_USAGE;
        }
    }
    const struct option_row *near = find_near(text, name_len);
    snprintf(message, message_size, "unknown option '%.*s' (%s%s)", (int)name_len, text,
             near ? near->name : "see canisterfs --help", near ? "?" : "");
    return FS_EXIT_USAGE;
}

/* The comma-separated argument of -o. */
static enum fs_exit apply_list(struct fs_options *options, const char *list, char *message,
                               size_t message_size)
{
    char *copy = strdup(list);
    if (!copy) {
        snprintf(message, message_size, "out of memory");
        return FS_EXIT_CONFIG;
    }
    enum fs_exit result = FS_EXIT_OK;
    char *rest = copy;
    for (char *word; result == FS_EXIT_OK && (word = strsep(&rest, ","));)
        if (*word)
            result = apply_option(options, word, true, message, message_size);
    free(copy);
    return result;
}

static enum fs_exit apply_positional(struct fs_options *options, const char *text, char *message,
                                     size_t message_size)
{
    char **slot = !options->canister     ? &options->canister
                  : !options->mountpoint ? &options->mountpoint
                                         : NULL;
    if (!slot) {
        snprintf(message, message_size, "one argument too many: '%s'", text);
        return FS_EXIT_USAGE;
    }
    *slot = strdup(text);
    if (*slot)
        return FS_EXIT_OK;
    snprintf(message, message_size, "out of memory");
    return FS_EXIT_CONFIG;
}

static enum fs_exit apply_defaults(struct fs_options *options, char *message, size_t message_size)
{
    memset(options, 0, sizeof(*options));
    options->uid = getuid();
    options->gid = getgid();
    options->kernel_options = strdup("");
    if (!options->kernel_options)
        return FS_EXIT_CONFIG;
    for (size_t i = 0; i < N_OPTIONS; i++) {
        const struct option_row *row = &option_table[i];
        if (!row->fallback)
            continue;
        enum fs_exit result = set_value(options, row, row->fallback, message, message_size);
        if (result != FS_EXIT_OK)
            return result;
    }
    return FS_EXIT_OK;
}

/* One argument that begins with a dash; *next is advanced when it takes the following one. */
static enum fs_exit apply_dashed(struct fs_options *options, int argc, char **argv, int *next,
                                 char *message, size_t message_size)
{
    const char *arg = argv[*next - 1];
    if (strcmp(arg, "-h") == 0 || strcmp(arg, "--help") == 0)
        options->action = FS_ACTION_HELP;
    else if (strcmp(arg, "-V") == 0 || strcmp(arg, "--version") == 0)
        options->action = FS_ACTION_VERSION;
    else if (strcmp(arg, "--man-page") == 0)
        options->action = FS_ACTION_MAN_PAGE;
    else if (strcmp(arg, "--whoami") == 0)
        options->action = FS_ACTION_WHOAMI;
    else if (strcmp(arg, "-f") == 0)
        options->foreground = true;
    else if (strncmp(arg, "--", 2) == 0)
        return apply_option(options, arg + 2, false, message, message_size);
    else if (strcmp(arg, "-o") == 0 && *next < argc)
        return apply_list(options, argv[(*next)++], message, message_size);
    else if (strncmp(arg, "-o", 2) == 0 && arg[2])
        return apply_list(options, arg + 2, message, message_size);
    else {
        snprintf(message, message_size,
                 strcmp(arg, "-o") == 0 ? "option '%s' needs a value: -o name[=value],..."
                                        : "unknown option '%s' (see canisterfs --help)",
                 arg);
        return FS_EXIT_USAGE;
    }
    return FS_EXIT_OK;
}

static enum fs_exit check_mount(const struct fs_options *options, char *message,
                                size_t message_size)
{
    if (options->mountpoint)
        return FS_EXIT_OK;
    /* No canister's name has a slash. */
    const char *missing = !options->canister               ? "no canister and no mount point"
                          : strchr(options->canister, '/') ? "no canister"
                                                           : "no mount point";
    snprintf(message, message_size, "%s; usage: canisterfs [options] CANISTER MOUNTPOINT", missing);
    return FS_EXIT_USAGE;
}

static enum fs_exit check_together(const struct fs_options *options, char *message,
                                   size_t message_size)
{
    if (options->map && options->profile)
        snprintf(message, message_size, "options 'map' and 'profile' exclude each other");
    else if (options->root_key && options->insecure_root_key)
        snprintf(message, message_size,
                 "options 'root_key' and 'insecure_root_key' exclude each other");
    else if (options->insecure_root_key && strcmp(options->network, "ic") == 0)
        snprintf(message, message_size,
                 "option 'insecure_root_key' is for test networks: the root key of network=ic is "
                 "built in");
    else if (!options->identity && (options->password_file || options->delegation))
        snprintf(message, message_size, "option '%s' needs 'identity', the key it is for",
                 options->delegation ? "delegation" : "password_file");
    else
        return FS_EXIT_OK;
    return FS_EXIT_USAGE;
}

enum fs_exit fs_option_parse(int argc, char **argv, struct fs_options *out, char *message,
                             size_t message_size)
{
    snprintf(message, message_size, "out of memory");
    enum fs_exit result = apply_defaults(out, message, message_size);
    bool only_positional = false;
    for (int next = 1; result == FS_EXIT_OK && next < argc;) {
        const char *arg = argv[next++];
        if (!only_positional && strcmp(arg, "--") == 0)
            only_positional = true;
        else if (!only_positional && arg[0] == '-' && arg[1])
            result = apply_dashed(out, argc, argv, &next, message, message_size);
        else
            result = apply_positional(out, arg, message, message_size);
    }
    if (result == FS_EXIT_OK && out->action == FS_ACTION_MOUNT)
        result = check_mount(out, message, message_size);
    if (result == FS_EXIT_OK)
        result = check_together(out, message, message_size);
    return result;
}

void fs_option_fini(struct fs_options *options)
{
    for (size_t i = 0; i < N_OPTIONS; i++)
        if (is_text(&option_table[i]))
            free(*(char **)(void *)((char *)options + option_table[i].offset));
    free(options->canister);
    free(options->mountpoint);
    free(options->kernel_options);
    memset(options, 0, sizeof(*options));
}

bool fs_option_describe(size_t i, struct fs_option_words *out)
{
    if (i >= N_OPTIONS)
        return false;
    const struct option_row *row = &option_table[i];
    *out = (struct fs_option_words){
        .name = row->name,
        .value_name = row->value_name,
        .fallback = row->fallback,
        .help = row->help,
    };
    if (row->min > 0) /* the others take any user, group or permission bits */
        format_range(row, out->range);
    return true;
}
