/* Restores a file of a collection without a mount: makes or opens a stage, runs its restorer once,
 * and prints what came of it as a line of JSON.
 *
 *   restore_items_driver WORD... -- [options] CANISTER DIR
 *
 * The stage is DIR/stage. Words:
 *   into=NAME    the collection
 *   file=PATH    the stage becomes this file; without it, it is as it was left
 *   dry, force
 *   kill=N       the process kills itself 100 ms after it began the N-th call
 *   cancel=N     the user cancels then
 *   list         print the collections and what restores them, nothing else
 *
 * Exits with 0 when it printed the line. */
#include "fs/discovery.h"
#include "fs/identity.h"
#include "fs/restore_items.h"
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
    struct fs_restore_progress progress;
    struct fs_restore_run run;
    char summary[600];
    const char *into, *file;
    uint64_t kill, cancel; /* 0: never */
    bool lists;
    atomic_bool cancelled;
    atomic_bool is_over;
};

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "restore_items_driver: %s: %s\n", what, why);
    exit(2);
}

static void *watch(void *arg)
{
    struct driver *driver = arg;
    while (!atomic_load(&driver->is_over)) {
        uint64_t n = atomic_load(&driver->progress.n_calls);
        if (driver->kill > 0 && n >= driver->kill) {
            usleep(100000);
            raise(SIGKILL);
        }
        if (driver->cancel > 0 && n >= driver->cancel) {
            atomic_store(&driver->cancelled, true);
            ic_agent_wake(driver->target.agent);
        }
        usleep(200);
    }
    return NULL;
}

static void open_target(struct driver *driver, int argc, char **argv)
{
    char message[1000];
    if (fs_option_parse(argc, argv, &driver->options, message, sizeof(message)) != FS_EXIT_OK ||
        fs_log_open(&driver->log, FS_LOG_ERROR) < 0 ||
        fs_identity_open(&driver->identity, &driver->options, message, sizeof(message)) !=
            FS_EXIT_OK)
        die("options", message);
    struct ic_identity *identity = driver->identity.id;
    driver->identity.id = NULL;
    if (fs_target_open(&driver->target, &driver->options, identity, driver->log, NULL, message,
                       sizeof(message)) != FS_EXIT_OK ||
        fs_facts_open(&driver->facts, &driver->target, driver->options.timeout_ns, message,
                      sizeof(message)) != FS_EXIT_OK ||
        fs_discovery_run(&driver->discovery, &driver->target, &driver->options, driver->facts,
                         message, sizeof(message)) != FS_EXIT_OK)
        die("target", message);
}

static void take_word(struct driver *driver, const char *word)
{
    if (strncmp(word, "into=", 5) == 0)
        driver->into = word + 5;
    else if (strncmp(word, "file=", 5) == 0)
        driver->file = word + 5;
    else if (strncmp(word, "kill=", 5) == 0)
        driver->kill = strtoull(word + 5, NULL, 10);
    else if (strncmp(word, "cancel=", 7) == 0)
        driver->cancel = strtoull(word + 7, NULL, 10);
    else if (strcmp(word, "dry") == 0)
        driver->run.dry_run = true;
    else if (strcmp(word, "force") == 0)
        driver->run.force = true;
    else if (strcmp(word, "list") == 0)
        driver->lists = true;
    else
        die(word, "no such word");
}

/* --- the stage --- */

static void write_file(struct stage *stage, const char *path)
{
    static uint8_t buffer[1 << 20];
    FILE *file = fopen(path, "re");
    uint64_t off = 0;
    size_t n;
    if (!file)
        die(path, strerror(errno));
    while ((n = fread(buffer, 1, sizeof(buffer), file)) > 0) {
        if (stage_write(stage, off, buffer, n) < 0)
            die(path, "cannot be staged");
        off += n;
    }
    fclose(file);
    if (stage_truncate(stage, off) < 0)
        die(path, "cannot be staged");
}

static void open_stage(struct driver *driver)
{
    const struct stage_purpose purpose = {.target = "a file of a collection"};
    int dir_fd = open(driver->options.mountpoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result = stage_open(&driver->stage, dir_fd, "stage");
    if (result == -ENOENT)
        result = stage_new(&driver->stage, dir_fd, "stage", &purpose);
    if (result < 0)
        die(driver->options.mountpoint, strerror(-result));
    if (driver->file)
        write_file(driver->stage, driver->file);
}

/* --- the restorer --- */

/* All is sent, whatever is there. */
static int get_hash(void *arg, uint64_t index, bool is_certified, const struct source_io *io,
                    uint8_t out[IC_SHA256_LEN])
{
    (void)arg, (void)index, (void)is_certified, (void)io, (void)out;
    return -EOPNOTSUPP;
}

static const struct fs_collection *find_collection(const struct driver *driver)
{
    for (size_t i = 0; i < driver->discovery.n_collections; i++)
        if (driver->into && strcmp(driver->discovery.collections[i].name, driver->into) == 0)
            return &driver->discovery.collections[i];
    die("into", "no such collection");
}

static int run(struct driver *driver, struct ic_error *err)
{
    const struct fs_collection *collection = find_collection(driver);
    struct fs_restore_items *items;
    struct fs_restorer *restorer;
    pthread_t thread;
    if (!collection->restore.method[0])
        die("read-only", collection->restore.reason);
    const struct fs_restore_items_config config = {
        .target = &driver->target,
        .collection = collection,
        .n_inflight = (unsigned)driver->options.restore_inflight,
        .get_hash = get_hash,
    };
    if (fs_restore_items_new(&items, &config) < 0 ||
        fs_restore_items_open_file(items, 0, &restorer) < 0 ||
        pthread_create(&thread, NULL, watch, driver) != 0)
        die("restorer", "out of memory");
    driver->run.stage = driver->stage;
    driver->run.cancel = &driver->cancelled;
    driver->run.progress = &driver->progress;
    driver->run.summary = driver->summary;
    driver->run.summary_size = sizeof(driver->summary);
    int result = restorer->ops->commit(restorer, &driver->run, err);
    atomic_store(&driver->is_over, true);
    pthread_join(thread, NULL);
    fs_restorer_close(restorer);
    fs_restore_items_free(items);
    return result;
}

static void print_line(json_t *line)
{
    json_dumpf(line, stdout, 0);
    printf("\n");
    json_decref(line);
}

static void print(const struct driver *driver, int result, const struct ic_error *err)
{
    const struct fs_restore_progress *p = &driver->progress;
    print_line(json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I}", "result",
                         result == 0 ? "ok" : strerrorname_np(-result), "message",
                         result == 0 ? "" : err->message, "summary", driver->summary, "to_send",
                         (json_int_t)p->n_to_send, "sent", (json_int_t)p->n_sent, "acked",
                         (json_int_t)p->n_acked, "calls", (json_int_t)p->n_calls));
}

static void print_list(const struct fs_discovery *discovery)
{
    json_t *list = json_object();
    for (size_t i = 0; i < discovery->n_collections; i++) {
        const struct fs_collection *c = &discovery->collections[i];
        json_object_set_new(
            list, c->name,
            json_pack("{s:s, s:s}", "method", c->restore.method, "reason", c->restore.reason));
    }
    print_line(list);
}

int main(int argc, char **argv)
{
    static struct driver driver;
    struct ic_error err = {0};
    int n = 1;
    while (n < argc && strcmp(argv[n], "--") != 0)
        n++;
    if (n == argc || ic_agent_init_process() < 0)
        die("usage", "WORD... -- [options] CANISTER DIR");
    for (int i = 1; i < n; i++)
        take_word(&driver, argv[i]);
    open_target(&driver, argc - n, argv + n);
    if (driver.lists) {
        print_list(&driver.discovery);
    } else {
        open_stage(&driver);
        print(&driver, run(&driver, &err), &err);
        stage_close(driver.stage);
    }
    fs_discovery_fini(&driver.discovery);
    fs_facts_close(driver.facts);
    fs_target_close(&driver.target);
    fs_identity_close(&driver.identity);
    fs_log_close(driver.log);
    fs_option_fini(&driver.options);
    return 0;
}
