#include "fs/option_table.h"

#include "fs/edit_distance.h"

#include <string.h>

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

const struct option_row *option_table_at(size_t i)
{
    return i < N_OPTIONS ? &option_table[i] : NULL;
}

const struct option_row *option_table_find(const char *name, size_t name_len)
{
    for (size_t i = 0; i < N_OPTIONS; i++)
        if (strlen(option_table[i].name) == name_len &&
            memcmp(option_table[i].name, name, name_len) == 0)
            return &option_table[i];
    return NULL;
}

const struct option_row *option_table_find_near(const char *name, size_t name_len)
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
