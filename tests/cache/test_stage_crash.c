/* Stages after crashes: of the machine at any system call, with any of the sectors on the disk that
 * were not synced; of the program at any system call or by SIGKILL; with journals cut or damaged at
 * every byte. What was acknowledged is there, and nothing that never was.
 */
#include "cache/stage.h"
#include "tests/cache/stage_disk.h"
#include "tests/cache/stage_model.h"
#include "tests/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

TAP_STATE;

#define N_WRITES (1 << 16)

static char dir[64];
static int dir_fd;

static const struct stage_purpose purpose = {
    .target = "stable_memory", .base_size = 9000, .base_version = 5, .created_ns = 6};

/* Delete a directory of files. */
static void delete_dir(const char *name)
{
    const char *files[] = {"data", "journal", "journal.new", "removed"};
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY);
    for (size_t i = 0; i < 4; i++)
        (void)unlinkat(fd, files[i], 0);
    close(fd);
    (void)unlinkat(dir_fd, name, AT_REMOVEDIR);
}

static bool has_file(const char *name)
{
    struct stat st;
    return fstatat(dir_fd, name, &st, 0) == 0;
}

/* ---- the machine stops ---- */

struct history {
    struct model acked;   /* what the last call that returned 0 made durable */
    struct model content; /* acked, or what a call under way makes durable before its note */
    struct model now;
    struct op writes[N_WRITES]; /* since acked */
    unsigned n_writes;
    uint64_t random;
    bool is_syncing; /* a call under way makes something durable */
    bool is_busy;    /* there are so many writes that most are not looked at */
    unsigned n_cuts;
    unsigned n_newer; /* where what was under way had become durable */
    unsigned n_wrong;
    bool is_removing;
};

static bool matches(const struct history *h, const struct model *model, struct stage *stage)
{
    return model_matches(model, stage, h->writes, h->n_writes, false);
}

/* Stop the machine now, on a copy of its disk. */
static void cut_power(void *arg)
{
    struct history *h = arg;
    unsigned one_in = h->is_syncing ? 3 : 4;
    if (h->is_busy)
        one_in = h->is_syncing ? 12 : 5000;
    if (h->is_removing || (h->is_syncing && has_file("power/journal.new")))
        one_in = 1;
    if (model_random(&h->random) % one_in != 0)
        return;
    struct stage_disk saved = stage_disk;
    stage_disk = (struct stage_disk){0};
    char path[100];
    struct stage *stage = NULL;
    snprintf(path, sizeof(path), "%s/cut", dir);
    stage_disk_cut(path, &h->random);
    int result = stage_open(&stage, dir_fd, "cut");
    bool ok = result == 0 && (matches(h, &h->acked, stage) || matches(h, &h->content, stage) ||
                              matches(h, &h->now, stage));
    if (result == 0 && !matches(h, &h->acked, stage))
        h->n_newer++;
    if (h->is_removing)
        ok = result == -ENOENT ? !has_file("cut") : ok;
    if (!ok && h->n_wrong++ == 0)
        printf("# cut %u: open %d\n", h->n_cuts, result);
    h->n_cuts++;
    stage_close(stage);
    delete_dir("cut");
    stage_disk = saved;
}

static int step(struct history *h, struct stage *stage, const struct op *op)
{
    if (op->kind == OP_WRITE && h->n_writes < N_WRITES)
        h->writes[h->n_writes++] = *op;
    h->is_syncing = op->kind == OP_SYNC || op->kind == OP_NOTE;
    if (h->is_syncing)
        h->content = h->now;
    if (op->kind == OP_NOTE)
        model_apply(&h->now, op);
    int result = op_run(op, stage);
    if (op->kind != OP_NOTE)
        model_apply(&h->now, op);
    if (result == 0 && h->is_syncing) {
        h->acked = h->now;
        h->content = h->now;
        h->n_writes = 0;
    }
    return result;
}

/* Writes of single bytes: records of many extents, so that the journal is soon written anew. */
static int scatter(struct history *h, struct stage *stage)
{
    int result = 0;
    for (int i = 0; i < 1000 && result == 0; i++) {
        struct op op = {.kind = OP_WRITE,
                        .off = model_random(&h->random) % MODEL_MAX,
                        .len = 1,
                        .seed = model_random(&h->random)};
        result = step(h, stage, &op);
    }
    return result;
}

static void test_power(uint64_t seed, int n_ops, bool is_scattered)
{
    static struct history h;
    h = (struct history){.random = seed * 0x9e3779b97f4a7c15u, .is_busy = is_scattered};
    struct stage *stage = NULL;
    char path[100];
    snprintf(path, sizeof(path), "%s/power", dir);
    int result = stage_new(&stage, dir_fd, "power", &purpose);
    model_init(&h.now, purpose.base_size);
    h.acked = h.content = h.now;
    stage_disk_watch(path);
    stage_disk = (struct stage_disk){.before = cut_power, .arg = &h};
    unsigned n_syncs = stage_disk.n_syncs;
    off_t largest = 0;
    off_t smallest_after = 0;
    for (int i = 0; i < n_ops && result == 0; i++) {
        struct op op = op_next(&h.random);
        if (is_scattered && op.kind != OP_TRUNCATE && i % 16)
            op.kind = OP_SYNC;
        result = is_scattered ? scatter(&h, stage) : 0;
        if (result == 0)
            result = step(&h, stage, &op);
        struct stat st;
        snprintf(path, sizeof(path), "%s/power/journal", dir);
        if (stat(path, &st) == 0 && st.st_size > largest)
            largest = st.st_size;
        else if (st.st_size < largest / 2)
            smallest_after = st.st_size;
    }
    TAP_INT(result, 0, is_scattered ? "scattered operations" : "operations");
    TAP_INT(h.n_wrong, 0, "a power cut at any call leaves what was acknowledged");
    TAP_OK(h.n_cuts > 100 && h.n_newer > 0, "there were many, some of them within a sync");
    TAP_OK(!is_scattered || smallest_after > 0, "a large journal is written anew");
    printf("# %u power cuts, %u with what was under way, %u syncs, journal up to %lld bytes\n",
           h.n_cuts, h.n_newer, stage_disk.n_syncs - n_syncs, (long long)largest);

    /* What is not synced counts no more, then it goes. */
    struct op sync = {.kind = OP_SYNC};
    TAP_INT(step(&h, stage, &sync), 0, "synced");
    h.is_removing = true;
    h.n_cuts = 0;
    result = stage_remove(stage);
    stage_disk.before = NULL;
    TAP_OK(result == 0 && h.n_wrong == 0 && h.n_cuts > 4,
           "a power cut while it is removed leaves all of it or nothing");
    TAP_OK(!has_file("power"), "it is gone");
}

/* A truncation comes while a sync waits for the disk, which then has a record of more bytes. */
struct meanwhile {
    struct history *h;
    struct stage *stage;
    unsigned n; /* calls until then */
};

static void truncate_once(void *arg)
{
    struct meanwhile *meanwhile = arg;
    if (meanwhile->n-- == 0) {
        const struct op op = {.kind = OP_TRUNCATE, .off = 1000};
        stage_disk.before = NULL;
        if (op_run(&op, meanwhile->stage) != 0)
            meanwhile->h->n_wrong++;
        stage_disk.before = truncate_once;
        model_apply(&meanwhile->h->now, &op);
    }
    cut_power(meanwhile->h);
}

static void test_truncate_meanwhile(void)
{
    static struct history h;
    const struct op ops[] = {{.kind = OP_WRITE, .off = 0, .len = 5000, .seed = 1},
                             {.kind = OP_SYNC},
                             {.kind = OP_WRITE, .off = 6000, .len = 3000, .seed = 2},
                             {.kind = OP_SYNC}};
    unsigned n_wrong = 0;
    unsigned n_cuts = 0;
    for (unsigned n = 0; n < 24; n++) {
        struct stage *stage = NULL;
        char path[100];
        h = (struct history){.random = n + 1, .is_syncing = true};
        n_wrong += stage_new(&stage, dir_fd, "power", &purpose) != 0;
        struct meanwhile meanwhile = {.h = &h, .stage = stage, .n = n % 6};
        model_init(&h.now, purpose.base_size);
        h.acked = h.content = h.now;
        snprintf(path, sizeof(path), "%s/power", dir);
        stage_disk_watch(path);
        for (unsigned i = 0; i < 4; i++) {
            if (i == 3)
                stage_disk = (struct stage_disk){.before = truncate_once, .arg = &meanwhile};
            else
                stage_disk = (struct stage_disk){.before = cut_power, .arg = &h};
            struct model before = h.now;
            h.content = before;
            if (ops[i].kind == OP_WRITE) {
                model_apply(&h.now, &ops[i]);
                h.writes[h.n_writes++] = ops[i];
            }
            n_wrong += op_run(&ops[i], stage) != 0;
            if (ops[i].kind == OP_SYNC)
                h.acked = before;
        }
        /* What the next one makes durable is cut for good. */
        stage_disk = (struct stage_disk){.before = cut_power, .arg = &h};
        n_wrong += stage_sync(stage) != 0;
        h.acked = h.content = h.now;
        for (unsigned i = 0; i < 8; i++)
            cut_power(&h);
        stage_disk.before = NULL;
        n_wrong += stage_remove(stage) != 0 || h.n_wrong > 0;
        n_cuts += h.n_cuts;
    }
    TAP_OK(n_wrong == 0 && n_cuts > 20,
           "a truncation during a sync cuts nothing that it makes durable");
}

/* ---- the program stops at its n-th system call ---- */

static void die(void *arg)
{
    long *n = arg;
    if ((*n)-- == 0)
        _exit(9);
}

/* In a child that ends before the n-th call. Returns false when it did not come so far. */
static bool run_and_die(void (*run)(void), long n)
{
    pid_t child = fork();
    if (child == 0) {
        stage_disk.before = die;
        stage_disk.arg = &n;
        run();
        _exit(0);
    }
    int status;
    return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 9;
}

static void make_one(void)
{
    struct stage *stage;
    if (stage_new(&stage, dir_fd, "die", &purpose) != 0)
        _exit(1);
}

static void remove_one(void)
{
    struct stage *stage;
    if (stage_open(&stage, dir_fd, "die") != 0 || stage_remove(stage) != 0)
        _exit(1);
}

static void test_die(void)
{
    static struct model empty, full;
    const struct op ops[] = {{.kind = OP_WRITE, .off = 10000, .len = 700, .seed = 3},
                             {.kind = OP_NOTE, .off = 1, .len = 10, .seed = 4}};
    model_init(&empty, purpose.base_size);
    full = empty;
    model_apply(&full, &ops[0]);
    model_apply(&full, &ops[1]);

    unsigned n_wrong = 0;
    unsigned n_made = 0;
    long n = 0;
    for (; run_and_die(make_one, n); n++) {
        struct stage *stage = NULL;
        int result = stage_open(&stage, dir_fd, "die");
        n_made += result == 0;
        n_wrong += result != -ENOENT && result != 0;
        n_wrong += result == 0 && !model_matches(&empty, stage, NULL, 0, true);
        n_wrong += result == 0 && stage_remove(stage) != 0;
        n_wrong += has_file("die");
    }
    TAP_OK(n > 6 && n_wrong == 0, "dying while one is made leaves an empty one, or none");
    TAP_OK(n_made > 0 && n_made < 4, "it is one at the end");
    TAP_OK(has_file("die"), "and when all went well");

    struct stage *stage = NULL;
    TAP_INT(stage_open(&stage, dir_fd, "die"), 0, "it can be opened");
    TAP_OK(op_run(&ops[0], stage) == 0 && op_run(&ops[1], stage) == 0, "and written");
    stage_close(stage);
    unsigned n_whole = 0;
    for (n = 0; run_and_die(remove_one, n); n++) {
        int result = stage_open(&stage, dir_fd, "die");
        n_wrong += result != -ENOENT && result != 0;
        n_whole += result == 0;
        n_wrong += result == 0 && !model_matches(&full, stage, NULL, 0, true);
        if (result == -ENOENT) {
            n_wrong += has_file("die");
            n_wrong += stage_new(&stage, dir_fd, "die", &purpose) != 0;
            n_wrong += op_run(&ops[0], stage) != 0 || op_run(&ops[1], stage) != 0;
        }
        stage_close(stage);
    }
    TAP_OK(n > 6 && n_wrong == 0, "dying while one is removed leaves all of it, or nothing");
    TAP_OK(n_whole > 0 && n_whole < 4, "nothing from the first change on");
    TAP_OK(!has_file("die"), "it is removed in the end");
}

/* ---- the program is killed ---- */

/* The operations of a seed until it is killed; says after each sync how many there were. */
static void run_until_killed(uint64_t seed, int out)
{
    struct stage *stage;
    if (stage_open(&stage, dir_fd, "kill") != 0)
        _exit(1);
    for (uint32_t n = 1;; n++) {
        struct op op = op_next(&seed);
        if (op_run(&op, stage) != 0)
            _exit(1);
        if ((op.kind == OP_SYNC || op.kind == OP_NOTE) && write(out, &n, sizeof(n)) != sizeof(n))
            _exit(1);
    }
}

static bool kill_once(uint64_t seed, uint32_t *ret_n)
{
    static struct history h;
    struct stage *stage = NULL;
    int ends[2];
    if (stage_new(&stage, dir_fd, "kill", &purpose) != 0 || pipe(ends) < 0)
        return false;
    stage_close(stage);
    pid_t child = fork();
    if (child == 0)
        run_until_killed(seed, ends[1]);
    close(ends[1]);
    usleep((useconds_t)(model_random(&(uint64_t){seed * 77}) % 20000) + 500);
    kill(child, SIGKILL);
    int status;
    waitpid(child, &status, 0);
    uint32_t n_acked = 0;
    for (uint32_t n; read(ends[0], &n, sizeof(n)) == sizeof(n);)
        n_acked = n;
    close(ends[0]);

    /* What was acknowledged, and what a next sync may have added before it said so. */
    h = (struct history){.n_writes = 0};
    model_init(&h.now, purpose.base_size);
    for (uint32_t n = 0; n < n_acked; n++) {
        struct op op = op_next(&seed);
        model_apply(&h.now, &op);
    }
    h.acked = h.content = h.now;
    for (struct op op = op_next(&seed);; op = op_next(&seed)) {
        if (op.kind == OP_WRITE && h.n_writes < N_WRITES)
            h.writes[h.n_writes++] = op;
        if (op.kind == OP_SYNC || op.kind == OP_NOTE)
            h.content = h.now;
        model_apply(&h.now, &op);
        if (op.kind == OP_SYNC || op.kind == OP_NOTE)
            break;
    }
    int result = stage_open(&stage, dir_fd, "kill");
    bool ok = WIFSIGNALED(status) && result == 0 &&
              (matches(&h, &h.acked, stage) || matches(&h, &h.content, stage) ||
               matches(&h, &h.now, stage));
    *ret_n = n_acked;
    if (result != 0 || stage_remove(stage) != 0) {
        printf("# open %d\n", result);
        ok = false;
    }
    return ok;
}

static void test_kill(void)
{
    unsigned n_wrong = 0;
    uint32_t most = 0;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        uint32_t n = 0;
        n_wrong += !kill_once(seed, &n);
        most = n > most ? n : most;
    }
    TAP_INT(n_wrong, 0, "killed at any time, it is what was acknowledged");
    TAP_OK(most > 20, "after many operations");
    printf("# up to %" PRIu32 " operations\n", most);
}

/* ---- journals that are cut, or have bytes of somebody else ---- */

enum { N_STEPS = 6, JOURNAL_MAX = 16384 };

static struct model models[N_STEPS + 1];
static size_t ends[N_STEPS + 1]; /* bytes of the journal that make models[i] */
static unsigned char journal[JOURNAL_MAX];
static unsigned char data[MODEL_MAX];
static size_t data_len;

static size_t read_file(const char *name, unsigned char *out, size_t max)
{
    int fd = openat(dir_fd, name, O_RDONLY);
    ssize_t n = pread(fd, out, max, 0);
    close(fd);
    return n < 0 ? 0 : (size_t)n;
}

static bool write_file(int fd, const char *name, const void *bytes, size_t len)
{
    int file = openat(fd, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    bool ok = file >= 0 && pwrite(file, bytes, len, 0) == (ssize_t)len;
    close(file);
    return ok;
}

static void make_journal(void)
{
    struct stage *stage = NULL;
    uint64_t random = 99;
    bool ok = stage_new(&stage, dir_fd, "bytes", &purpose) == 0;
    model_init(&models[0], purpose.base_size);
    ends[0] = read_file("bytes/journal", journal, sizeof(journal));
    for (unsigned i = 1; i <= N_STEPS && ok; i++) {
        models[i] = models[i - 1];
        for (unsigned j = 0; j < 4 && i % 2; j++) {
            /* Each in its own place, so that data is right for every one of them. */
            struct op op = {.kind = OP_WRITE,
                            .off = i * 1500 + j * 300,
                            .len = 200,
                            .seed = model_random(&random)};
            ok = ok && op_run(&op, stage) == 0;
            model_apply(&models[i], &op);
        }
        struct op op = {.kind = i % 2 ? OP_SYNC : OP_NOTE, .off = 1, .len = 30 * i, .seed = i};
        ok = ok && op_run(&op, stage) == 0;
        model_apply(&models[i], &op);
        ends[i] = read_file("bytes/journal", journal, sizeof(journal));
    }
    data_len = read_file("bytes/data", data, sizeof(data));
    ok = ok && stage_remove(stage) == 0;
    TAP_OK(ok && ends[N_STEPS] < sizeof(journal), "a journal of some records");
}

/* What a stage with these bytes as its journal is; on success compared with a model. */
static int try_journal(const unsigned char *bytes, size_t len, const struct model *model)
{
    struct stage *stage = NULL;
    (void)mkdirat(dir_fd, "bytes", 0700);
    int fd = openat(dir_fd, "bytes", O_RDONLY | O_DIRECTORY);
    bool ok = write_file(fd, "journal", bytes, len) && write_file(fd, "data", data, data_len);
    close(fd);
    int result = ok ? stage_open(&stage, dir_fd, "bytes") : -EIO;
    if (result == 0 && !(model && model_matches(model, stage, NULL, 0, false)))
        result = 1;
    if (result == 0) {
        /* It goes on from there, and is opened again. */
        static struct model more;
        const struct op op = {.kind = OP_NOTE, .off = 2, .len = 5, .seed = len};
        more = *model;
        model_apply(&more, &op);
        result = op_run(&op, stage);
        stage_close(stage);
        stage = NULL;
        if (result == 0)
            result = stage_open(&stage, dir_fd, "bytes");
        if (result == 0 && !model_matches(&more, stage, NULL, 0, false))
            result = 2;
    }
    stage_close(stage);
    return result;
}

static const struct model *model_at(size_t len)
{
    const struct model *model = NULL;
    for (unsigned i = 0; i <= N_STEPS && ends[i] <= len; i++)
        model = &models[i];
    return model;
}

static void test_journals(void)
{
    unsigned n_wrong = 0;
    size_t len = ends[N_STEPS];
    unsigned char bytes[JOURNAL_MAX + 5000];
    for (size_t cut = 0; cut <= len; cut++)
        n_wrong += try_journal(journal, cut, model_at(cut)) != (cut < ends[0] ? -EPROTO : 0);
    TAP_INT(n_wrong, 0, "a journal that is cut at any byte ends with the last whole record");

    n_wrong = 0;
    unsigned n_pad = 0;
    for (size_t at = 0; at < len; at++) {
        memcpy(bytes, journal, len);
        bytes[at] ^= (unsigned char)(1 << at % 8);
        int result = try_journal(bytes, len, &models[N_STEPS]);
        if (at < ends[N_STEPS - 1] && result == 0)
            n_pad++; /* zeros up to a multiple of 8 */
        else if (at < ends[N_STEPS - 1])
            n_wrong += result != -EPROTO;
        else
            n_wrong += result != 0 && result != 1;
    }
    TAP_INT(n_wrong, 0, "a byte that was damaged before the last record is found out");
    TAP_OK(n_pad <= 7 * 2 * N_STEPS, "unless it says nothing");

    n_wrong = 0;
    for (size_t at = ends[N_STEPS - 1]; at < len; at += 3) {
        for (int mood = 0; mood < 3; mood++) {
            size_t n = len - at + (mood == 2 ? 4096 : 0);
            memcpy(bytes, journal, at);
            memset(bytes + at, mood == 0 ? 0 : 0xa5, n);
            /* A piece of this very journal, as old blocks of the disk may have it. */
            if (mood == 2)
                memcpy(bytes + at + (16 - at % 16), journal + 16, ends[1]);
            int result = try_journal(bytes, at + n, &models[N_STEPS - 1]);
            n_wrong += result != 0 && result != 1;
        }
    }
    TAP_INT(n_wrong, 0, "a last record with other bytes in it is as if it were not there");

    n_wrong = 0;
    for (size_t n = 1; n < 300; n++) {
        memcpy(bytes, journal, len);
        memset(bytes + len, n % 3 ? (int)n : 0, n * 16);
        n_wrong += try_journal(bytes, len + n * 16, &models[N_STEPS]) != 0;
    }
    TAP_INT(n_wrong, 0, "as are bytes behind it");
    data_len--;
    TAP_INT(try_journal(journal, len, &models[N_STEPS]), -EPROTO,
            "data that is too short is damage");
    data_len = 0;
    TAP_INT(try_journal(journal, len, &models[N_STEPS]), -EPROTO, "as is none");
    delete_dir("bytes");
}

int main(void)
{
    dir_fd = model_make_dir(dir);
    if (dir_fd < 0)
        return 1;
    for (uint64_t seed = 1; seed <= 4; seed++)
        test_power(seed, 400, false);
    test_power(7, 250, true);
    test_truncate_meanwhile();
    test_die();
    test_kill();
    make_journal();
    test_journals();
    close(dir_fd);
    TAP_OK(rmdir(dir) == 0, "nothing is left");
    return tap_done();
}
