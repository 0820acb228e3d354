/* Holds a canister's maintenance lease without a mount, for tests against the local network.
 *
 *   lease_driver MODE TTL_S LINGER_MS -- [options] CANISTER anything
 *
 * MODE is auto or manual. Reads commands, one a line, and answers each with a line of JSON {result,
 * message}, result "ok" or the name of an errno:
 *   hold MS, pause MS, resume MS   at most so long
 *   release, check
 *   look                           {offered, held, holders, words, problem} besides
 * At the end of its input it closes the lease, and exits with 0. */
#include "fs/discovery.h"
#include "fs/identity.h"
#include "fs/lease.h"
#include "ic/wait.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct driver {
    struct fs_options options;
    struct fs_identity identity;
    struct fs_log *log;
    struct fs_target target;
    struct fs_facts *facts;
    struct fs_discovery discovery;
    struct fs_lease *lease;
};

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "lease_driver: %s: %s\n", what, why);
    exit(2);
}

static void open_target(struct driver *d, int argc, char **argv)
{
    char message[1000] = "";
    if (fs_option_parse(argc, argv, &d->options, message, sizeof(message)) != FS_EXIT_OK ||
        fs_log_open(&d->log, FS_LOG_INFO) < 0 ||
        fs_identity_open(&d->identity, &d->options, message, sizeof(message)) != FS_EXIT_OK)
        die("options", message);
    struct ic_identity *identity = d->identity.id;
    d->identity.id = NULL;
    if (fs_target_open(&d->target, &d->options, identity, d->log, NULL, message, sizeof(message)) !=
            FS_EXIT_OK ||
        fs_facts_open(&d->facts, &d->target, d->options.timeout_ns, message, sizeof(message)) !=
            FS_EXIT_OK ||
        fs_discovery_run(&d->discovery, &d->target, &d->options, d->facts, message,
                         sizeof(message)) != FS_EXIT_OK)
        die("target", message);
}

static void open_lease(struct driver *d, char **argv)
{
    bool is_auto = strcmp(argv[1], "auto") == 0;
    const struct fs_lease_config config = {
        .target = &d->target,
        .log = d->log,
        .mode = is_auto ? FS_MAINTENANCE_AUTO : FS_MAINTENANCE_MANUAL,
        .is_offered = d->discovery.has_lease,
        .ttl_s = (uint32_t)strtoul(argv[2], NULL, 10),
        .linger_ns = strtoll(argv[3], NULL, 10) * IC_NS_PER_MS,
    };
    if (fs_lease_open(&d->lease, &config) < 0)
        die("lease", "cannot be opened");
}

static int obey(struct driver *d, const char *line, struct ic_error *err)
{
    char word[16] = "";
    long ms = 0;
    if (sscanf(line, "%15s %ld", word, &ms) < 1)
        die("command", line);
    const struct ic_io io = {.deadline_ns = ic_wait_now_ns() + ms * IC_NS_PER_MS};
    if (strcmp(word, "hold") == 0)
        return fs_lease_hold(d->lease, "lease_driver", &io, err);
    if (strcmp(word, "pause") == 0)
        return fs_lease_pause(d->lease, &io, err);
    if (strcmp(word, "resume") == 0)
        return fs_lease_resume(d->lease, &io, err);
    if (strcmp(word, "check") == 0)
        return fs_lease_check(d->lease, err);
    if (strcmp(word, "release") == 0)
        fs_lease_release(d->lease);
    else if (strcmp(word, "look") != 0)
        die("command", line);
    return 0;
}

static void answer(struct driver *d, int result, const struct ic_error *err)
{
    struct fs_lease_info info;
    fs_lease_describe(d->lease, &info);
    json_t *line =
        json_pack("{s:s, s:s, s:b, s:b, s:i, s:s, s:s}", "result",
                  result == 0 ? "ok" : strerrorname_np(-result), "message",
                  result == 0 ? "" : err->message, "offered", info.is_offered, "held", info.is_held,
                  "holders", (int)info.n_holders, "words", info.words, "problem", info.problem);
    json_dumpf(line, stdout, 0);
    printf("\n");
    fflush(stdout);
    json_decref(line);
}

int main(int argc, char **argv)
{
    static struct driver d;
    char line[64];
    if (argc < 6 || strcmp(argv[4], "--") != 0 || ic_agent_init_process() < 0)
        die("usage", "MODE TTL_S LINGER_MS -- [options] CANISTER anything");
    open_target(&d, argc - 4, argv + 4);
    open_lease(&d, argv);
    while (fgets(line, sizeof(line), stdin)) {
        struct ic_error err = {0};
        int result = obey(&d, line, &err);
        answer(&d, result, &err);
    }
    fs_lease_close(d.lease);
    fs_discovery_fini(&d.discovery);
    fs_facts_close(d.facts);
    fs_target_close(&d.target);
    fs_identity_close(&d.identity);
    fs_log_close(d.log);
    fs_option_fini(&d.options);
    return 0;
}
