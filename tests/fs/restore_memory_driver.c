/* Restores a memory without a mount: makes or opens a stage, runs its restorer once, and prints
 * what came of it as a line of JSON.
 *
 *   restore_memory_driver WORD... -- [options] CANISTER DIR
 *
 * The stage is DIR/stage: a new one lies over the memory as it is. Words, in their order:
 *   file=PATH       the stage becomes this file, whole
 *   patch=OFF:PATH  the bytes of PATH are written at OFF
 *   size=N          the stage is truncated, or grown with zeros
 *   commit, abort   run the restorer; without either the stage is only written
 *   dry, shrink, force
 *   lie=PATH        stable_hashes gives the hashes of this file: a node that lags behind
 *   lag=N           N times after the commit, the version is told by a node that lags behind
 *   blind           after the commit, no query is answered
 *   lose=N          the lease is lost after N update calls
 *   cancel=N        the user cancels after N
 *   kill=N          the process kills itself after N, and kill_ms=N later
 *   settle_ms=N, patience_ms=N, lag_ms=N, inflight=N
 *
 * The lease is a pretended one. Exits with 0 when it printed the line. */
#include "fs/discovery.h"
#include "fs/identity.h"
#include "fs/query.h"
#include "fs/restore_memory.h"
#include "ic/sha.h"
#include "ic/wait.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct driver {
    struct fs_options options;
    struct fs_identity identity;
    struct fs_log *log;
    struct fs_target target;
    struct fs_facts *facts;
    struct fs_discovery discovery;
    struct stage *stage;
    struct fs_restorer *restorer;

    struct fs_restore_progress progress;
    struct fs_restore_run run;
    char summary[600];
    bool commits;
    bool aborts;
    const char *lie;             /* file; NULL: none */
    uint64_t lose, cancel, kill; /* after so many calls; 0: never */
    uint64_t lag;                /* versions */
    bool is_blind;
    uint64_t old_version; /* as it was told first */
    uint64_t kill_ms, settle_ms, patience_ms, lag_ms, inflight;

    atomic_bool cancelled;
    atomic_bool is_over;
};

/* The pretended lease is this. */
static struct driver driver = {.inflight = 8};

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "restore_memory_driver: %s: %s\n", what, why);
    exit(2);
}

int fs_lease_check(struct fs_lease *lease, struct ic_error *err)
{
    (void)lease;
    if (driver.lose == 0 || atomic_load(&driver.progress.n_calls) < driver.lose)
        return 0;
    return ic_fail(err, IC_E_CHANGED, "the lease was lost");
}

/* --- lies --- */

/* The hashes of the n pieces of this file from off on, where the canister's are. */
static void lie(uint64_t off, uint64_t piece, struct ic_view hashes)
{
    uint8_t *buffer = malloc(piece);
    int fd = open(driver.lie, O_RDONLY | O_CLOEXEC);
    for (uint64_t i = 0; i < hashes.len / IC_SHA256_LEN; i++) {
        ssize_t len = pread(fd, buffer, piece, (off_t)(off + i * piece));
        uint8_t *at;
        memcpy(&at, &hashes.bytes, sizeof(at)); /* it is the reply's own memory */
        if (len < 0 || ic_sha256(buffer, (size_t)len, at + i * IC_SHA256_LEN) < 0)
            die(driver.lie, "cannot be hashed");
    }
    close(fd);
    free(buffer);
}

/* A version as it was before the commit. */
static void lag(const struct ic_value *version, bool is_after)
{
    struct ic_value *number;
    const struct ic_value *found = ic_value_field(version, "version");
    memcpy(&number, &found, sizeof(number)); /* it is the reply's own memory */
    if (driver.old_version == 0)
        driver.old_version = number->as.nat;
    if (!is_after || driver.lag == 0)
        return;
    driver.lag--;
    number->as.nat = driver.old_version;
}

int __real_fs_query(const struct fs_target *target, const char *method, const struct ic_value *args,
                    size_t n_args, const struct ic_io *io, struct fs_answer *out,
                    struct ic_error *err);
int __wrap_fs_query(const struct fs_target *target, const char *method, const struct ic_value *args,
                    size_t n_args, const struct ic_io *io, struct fs_answer *out,
                    struct ic_error *err);
int __wrap_fs_query(const struct fs_target *target, const char *method, const struct ic_value *args,
                    size_t n_args, const struct ic_io *io, struct fs_answer *out,
                    struct ic_error *err)
{
    bool is_after = atomic_load(&driver.progress.phase) == FS_RESTORE_APPLYING;
    if (is_after && driver.is_blind)
        return ic_fail(err, IC_E_UNREACHABLE, "nobody answers");
    int result = __real_fs_query(target, method, args, n_args, io, out, err);
    struct ic_view hashes;
    if (result == 0 && strcmp(method, "stable_version") == 0)
        lag(fs_answer_value(out, 0), is_after);
    if (result == 0 && driver.lie && strcmp(method, "stable_hashes") == 0 &&
        ic_value_blob(fs_answer_value(out, 0), &hashes) == 0)
        lie(args[0].as.nat, args[1].as.nat, hashes);
    return result;
}

/* --- ends --- */

/* The call that the end was to come at is the last one: further ones wait for it, however late the
 * thread that watches gets its turn. */
static void wait_for_end(const struct ic_io *io)
{
    const uint64_t limits[] = {driver.kill, driver.cancel, driver.lose};
    uint64_t n = atomic_load(&driver.progress.n_calls);
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
        while (limits[i] > 0 && n > limits[i] && !atomic_load(io->cancel))
            usleep(1000);
}

int __real_ic_agent_update(struct ic_agent *agent, const struct ic_principal *canister,
                           const struct ic_principal *effective, const char *method,
                           const uint8_t *arg, size_t arg_len, const struct ic_io *io,
                           struct ic_reply *out, struct ic_error *err);
int __wrap_ic_agent_update(struct ic_agent *agent, const struct ic_principal *canister,
                           const struct ic_principal *effective, const char *method,
                           const uint8_t *arg, size_t arg_len, const struct ic_io *io,
                           struct ic_reply *out, struct ic_error *err);
int __wrap_ic_agent_update(struct ic_agent *agent, const struct ic_principal *canister,
                           const struct ic_principal *effective, const char *method,
                           const uint8_t *arg, size_t arg_len, const struct ic_io *io,
                           struct ic_reply *out, struct ic_error *err)
{
    wait_for_end(io);
    return __real_ic_agent_update(agent, canister, effective, method, arg, arg_len, io, out, err);
}

static void *watch(void *arg)
{
    (void)arg;
    while (!atomic_load(&driver.is_over)) {
        uint64_t n = atomic_load(&driver.progress.n_calls);
        if (driver.kill > 0 && n >= driver.kill) {
            usleep((useconds_t)driver.kill_ms * 1000);
            raise(SIGKILL);
        }
        if (driver.cancel > 0 && n >= driver.cancel) {
            atomic_store(&driver.cancelled, true);
            ic_agent_wake(driver.target.agent);
        }
        usleep(200);
    }
    return NULL;
}

/* --- the canister --- */

static void open_target(int argc, char **argv)
{
    char message[1000];
    if (fs_option_parse(argc, argv, &driver.options, message, sizeof(message)) != FS_EXIT_OK ||
        fs_log_open(&driver.log, FS_LOG_ERROR) < 0 ||
        fs_identity_open(&driver.identity, &driver.options, message, sizeof(message)) != FS_EXIT_OK)
        die("options", message);
    struct ic_identity *identity = driver.identity.id;
    driver.identity.id = NULL;
    if (fs_target_open(&driver.target, &driver.options, identity, driver.log, NULL, message,
                       sizeof(message)) != FS_EXIT_OK ||
        fs_facts_open(&driver.facts, &driver.target, driver.options.timeout_ns, message,
                      sizeof(message)) != FS_EXIT_OK ||
        fs_discovery_run(&driver.discovery, &driver.target, &driver.options, driver.facts, message,
                         sizeof(message)) != FS_EXIT_OK)
        die("target", message);
    if (driver.discovery.n_memories == 0)
        die("target", "no memory");
}

/* --- the stage --- */

static void open_stage(const char *dir)
{
    const struct fs_memory *memory = &driver.discovery.memories[0];
    int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct ic_io io = fs_target_io(&driver.target, driver.options.timeout_ns);
    struct ic_error err = {0};
    struct fs_memory_state state = {0};
    int result = stage_open(&driver.stage, dir_fd, "stage");
    if (result == -ENOENT) {
        if (fs_memory_stat(memory, &driver.target, 0, &io, &state, &err) < 0)
            die("size", err.message);
        const struct stage_purpose purpose = {
            .target = "stable_memory", .base_size = state.size, .base_version = state.version};
        result = stage_new(&driver.stage, dir_fd, "stage", &purpose);
    }
    if (result < 0)
        die(dir, strerror(-result));
}

/* Skips holes, so that a sparse file makes a sparse stage. */
static void write_file(const char *path, uint64_t off)
{
    static uint8_t buffer[1 << 20];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    off_t at = 0;
    ssize_t n;
    if (fd < 0)
        die(path, strerror(errno));
    while ((at = lseek(fd, at, SEEK_DATA)) >= 0 &&
           (n = pread(fd, buffer, sizeof(buffer), at)) > 0) {
        if (stage_write(driver.stage, off + (uint64_t)at, buffer, (size_t)n) < 0)
            die(path, "cannot be staged");
        at += n;
    }
    off_t end = lseek(fd, 0, SEEK_END);
    close(fd);
    if (stage_size(driver.stage) < off + (uint64_t)end &&
        stage_truncate(driver.stage, off + (uint64_t)end) < 0)
        die(path, "cannot be staged");
}

static void set_size(uint64_t size)
{
    if (stage_truncate(driver.stage, size) < 0)
        die("size", "cannot be set");
}

/* --- words --- */

static bool take_number(const char *word, const char *name, uint64_t *out)
{
    size_t len = strlen(name);
    if (strncmp(word, name, len) != 0 || word[len] != '=')
        return false;
    *out = strtoull(word + len + 1, NULL, 10);
    return true;
}

/* Words that need no stage. */
static bool take_flag(const char *word)
{
    const struct {
        const char *name;
        bool *flag;
    } flags[] = {{"commit", &driver.commits},  {"abort", &driver.aborts},
                 {"dry", &driver.run.dry_run}, {"shrink", &driver.run.shrink_zero},
                 {"force", &driver.run.force}, {"blind", &driver.is_blind}};
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        if (strcmp(word, flags[i].name) == 0) {
            *flags[i].flag = true;
            return true;
        }
    }
    return take_number(word, "lose", &driver.lose) || take_number(word, "lag", &driver.lag) ||
           take_number(word, "cancel", &driver.cancel) || take_number(word, "kill", &driver.kill) ||
           take_number(word, "kill_ms", &driver.kill_ms) ||
           take_number(word, "settle_ms", &driver.settle_ms) ||
           take_number(word, "patience_ms", &driver.patience_ms) ||
           take_number(word, "lag_ms", &driver.lag_ms) ||
           take_number(word, "inflight", &driver.inflight);
}

static void take_word(const char *word)
{
    uint64_t number;
    if (take_flag(word))
        return;
    if (strncmp(word, "lie=", 4) == 0) {
        driver.lie = word + 4;
        return;
    }
    if (take_number(word, "size", &number)) {
        set_size(number);
    } else if (strncmp(word, "file=", 5) == 0) {
        set_size(0);
        write_file(word + 5, 0);
    } else if (strncmp(word, "patch=", 6) == 0) {
        char *rest;
        number = strtoull(word + 6, &rest, 10);
        write_file(rest + 1, number);
    } else {
        die(word, "no such word");
    }
}

/* --- the restorer --- */

static int run(struct ic_error *err)
{
    const struct fs_restore_memory_config config = {
        .target = &driver.target,
        .memory = &driver.discovery.memories[0],
        .n_inflight = (unsigned)driver.inflight,
        .patience_ns = (int64_t)driver.patience_ms * IC_NS_PER_MS,
        .settle_ns = (int64_t)driver.settle_ms * IC_NS_PER_MS,
        .lag_ns = (int64_t)driver.lag_ms * IC_NS_PER_MS,
    };
    pthread_t thread;
    if (config.memory->write.style == FS_WRITE_NONE)
        die("write", config.memory->write.words);
    if (fs_restore_memory_open(&driver.restorer, &config) < 0 ||
        pthread_create(&thread, NULL, watch, NULL) != 0)
        die("restorer", "out of memory");
    driver.run.stage = driver.stage;
    driver.run.cancel = &driver.cancelled;
    driver.run.lease = (void *)&driver;
    driver.run.progress = &driver.progress;
    driver.run.summary = driver.summary;
    driver.run.summary_size = sizeof(driver.summary);
    int result = 0;
    if (driver.commits)
        result = driver.restorer->ops->commit(driver.restorer, &driver.run, err);
    if (driver.aborts)
        result = driver.restorer->ops->abort(driver.restorer, driver.stage, NULL, err);
    atomic_store(&driver.is_over, true);
    pthread_join(thread, NULL);
    return result;
}

static void print(int result, const struct ic_error *err)
{
    const struct fs_restore_progress *p = &driver.progress;
    json_t *line = json_pack("{s:s, s:s, s:s, s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I}", "result",
                             result == 0 ? "ok" : strerrorname_np(-result), "message",
                             result == 0 ? "" : err->message, "summary", driver.summary, "words",
                             driver.restorer->words, "atomic", driver.restorer->is_atomic,
                             "to_send", (json_int_t)p->n_to_send, "sent", (json_int_t)p->n_sent,
                             "acked", (json_int_t)p->n_acked, "calls", (json_int_t)p->n_calls,
                             "apply", (json_int_t)p->n_apply, "applied", (json_int_t)p->n_applied);
    json_dumpf(line, stdout, 0);
    printf("\n");
    json_decref(line);
}

int main(int argc, char **argv)
{
    int n = 1;
    while (n < argc && strcmp(argv[n], "--") != 0)
        n++;
    if (n == argc || ic_agent_init_process() < 0)
        die("usage", "WORD... -- [options] CANISTER DIR");
    struct ic_error err = {0};
    open_target(argc - n, argv + n);
    open_stage(driver.options.mountpoint);
    for (int i = 1; i < n; i++)
        take_word(argv[i]);
    if (stage_sync(driver.stage) < 0)
        die("stage", "cannot be synced");
    if (driver.commits || driver.aborts)
        print(run(&err), &err);
    fs_restorer_close(driver.restorer);
    stage_close(driver.stage);
    fs_discovery_fini(&driver.discovery);
    fs_facts_close(driver.facts);
    fs_target_close(&driver.target);
    fs_identity_close(&driver.identity);
    fs_log_close(driver.log);
    fs_option_fini(&driver.options);
    return 0;
}
