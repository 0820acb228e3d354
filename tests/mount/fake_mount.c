/* The program's mount with files in the place of a canister: for tests of writing, without
 * a network.
 *
 *     fake_mount STATE [options] CANISTER MOUNTPOINT
 *
 * `stable_memory` is STATE/memory, items/NNNN.bin are STATE/items/NNNN.bin. A commit replaces them;
 * before, it does what STATE/script says, if that is there:
 *
 *     error NAME   fail with this errno
 *     slow MS      take that long; notice the cancel flag
 *     unversioned  do not know whether the file is what was written over
 *
 * and after, it appends "PATH SIZE WHAT-CAME" to STATE/commits. */
#include "fs/command.h"
#include "fs/job.h"
#include "fs/mount.h"
#include "fs/report_restore.h"
#include "fs/session.h"
#include "fs/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define N_ITEMS_MAX 512

struct fake {
    char state[512];
    struct fs_options options;
    struct fs_signals signals;
    struct fs_mount mount;
    struct fs_restorable memory;
    struct fs_restorable items;
    _Atomic uint64_t versions[N_ITEMS_MAX + 1]; /* the memory's is the last */
};

struct fake_file {
    struct source source;        /* first, where it is one */
    struct fs_restorer restorer; /* likewise */
    struct fake *fake;
    uint64_t index; /* N_ITEMS_MAX: the memory */
};

static void path_of(const struct fake_file *file, const char *suffix, char *path, size_t size)
{
    if (file->index == N_ITEMS_MAX)
        snprintf(path, size, "%s/memory%s", file->fake->state, suffix);
    else
        snprintf(path, size, "%s/items/%04u.bin%s", file->fake->state, (unsigned)file->index,
                 suffix);
}

/* --- reading --- */

static int fake_stat(struct source *source, const struct source_io *io, struct source_stat *out)
{
    (void)io;
    const struct fake_file *file = (const struct fake_file *)source;
    char path[600];
    struct stat st;
    path_of(file, "", path, sizeof(path));
    if (stat(path, &st) < 0)
        return -errno;
    *out = (struct source_stat){
        .size = (uint64_t)st.st_size,
        .version = file->fake->versions[file->index] + 1,
        .mtime_ns = st.st_mtim.tv_sec * INT64_C(1000000000) + st.st_mtim.tv_nsec,
        .preferred_io = 1 << 20,
        .versioned = true,
    };
    return 0;
}

static int fake_readv(struct source *source, uint64_t version, uint64_t off,
                      const struct iovec *iov, int n_iov, const struct source_io *io)
{
    (void)io;
    const struct fake_file *file = (const struct fake_file *)source;
    char path[600];
    path_of(file, "", path, sizeof(path));
    if (version != file->fake->versions[file->index] + 1)
        return -ESTALE;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n = preadv(fd, iov, n_iov, (off_t)off);
    close(fd);
    return n == (ssize_t)source_iov_size(iov, n_iov) ? 0 : -EIO;
}

static void fake_close(struct source *source)
{
    free(source);
}

static const struct source_ops source_ops = {
    .stat = fake_stat,
    .readv = fake_readv,
    .close = fake_close,
};

static struct fake_file *new_file(struct fake *fake, uint64_t index)
{
    struct fake_file *file = calloc(1, sizeof(*file));
    if (!file)
        abort();
    source_init(&file->source, &source_ops);
    file->fake = fake;
    file->index = index;
    return file;
}

/* --- restoring --- */

static int errno_of(const char *name)
{
    for (int code = 1; code < 200; code++)
        if (strerrorname_np(code) && strcmp(strerrorname_np(code), name) == 0)
            return code;
    return EIO;
}

static int take_time(long ms, const atomic_bool *cancel)
{
    for (; ms > 0; ms -= 10) {
        const struct timespec slice = {.tv_nsec = 10000000};
        if (cancel && atomic_load(cancel))
            return -EINTR;
        nanosleep(&slice, NULL);
    }
    return 0;
}

/* Returns what the script says that a commit comes to. */
static int follow_script(const struct fake *fake, const struct fs_restore_run *run,
                         bool *ret_unversioned)
{
    char path[600];
    char line[100];
    int result = 0;
    snprintf(path, sizeof(path), "%s/script", fake->state);
    FILE *file = fopen(path, "re");
    while (result == 0 && file && fgets(line, sizeof(line), file)) {
        char word[40];
        long ms;
        if (sscanf(line, "error %39s", word) == 1)
            result = -errno_of(word);
        else if (sscanf(line, "slow %ld", &ms) == 1)
            result = take_time(ms, run->cancel);
        else if (strncmp(line, "unversioned", 11) == 0)
            *ret_unversioned = true;
    }
    if (file)
        fclose(file);
    return result;
}

static void note_commit(const struct fake_file *file, const struct fs_restore_run *run, int result)
{
    char path[600];
    snprintf(path, sizeof(path), "%s/commits", file->fake->state);
    FILE *log = fopen(path, "ae");
    if (!log)
        abort();
    if (file->index == N_ITEMS_MAX)
        fprintf(log, "stable_memory");
    else
        fprintf(log, "items/%04u.bin", (unsigned)file->index);
    fprintf(log, " %llu %s\n", (unsigned long long)stage_size(run->stage),
            result < 0     ? strerrorname_np(-result)
            : run->dry_run ? "dry"
                           : "ok");
    fclose(log);
}

static int copy_stage(const struct fs_restore_run *run, int fd, uint64_t size_before)
{
    static const char zeros[4096];
    char buf[65536];
    uint64_t size = stage_size(run->stage);
    const struct source_io io = {.deadline_ns = INT64_MAX};
    for (uint64_t off = 0; off < size;) {
        size_t len = size - off < sizeof(buf) ? (size_t)(size - off) : sizeof(buf);
        int result = stage_read(run->stage, run->base, run->base_serial, off, buf, len, &io);
        if (result < 0)
            return result;
        if (pwrite(fd, buf, len, (off_t)off) != (ssize_t)len)
            return -errno;
        off += len;
        run->progress->n_acked = off;
    }
    for (uint64_t off = size; off < size_before; off += sizeof(zeros)) {
        size_t len =
            size_before - off < sizeof(zeros) ? (size_t)(size_before - off) : sizeof(zeros);
        if (pwrite(fd, zeros, len, (off_t)off) != (ssize_t)len)
            return -errno;
    }
    return 0;
}

static int replace(struct fake_file *file, const struct fs_restore_run *run, uint64_t size_before)
{
    char from[600];
    char to[600];
    path_of(file, ".new", from, sizeof(from));
    path_of(file, "", to, sizeof(to));
    int fd = open(from, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int result = copy_stage(run, fd, size_before);
    close(fd);
    if (result == 0 && rename(from, to) < 0)
        result = -errno;
    if (result == 0)
        file->fake->versions[file->index]++;
    return result;
}

static int check(const struct fake_file *file, const struct fs_restore_run *run,
                 bool is_unversioned, uint64_t *ret_size, struct ic_error *err)
{
    char path[600];
    struct stat st;
    path_of(file, "", path, sizeof(path));
    *ret_size = stat(path, &st) == 0 && file->index == N_ITEMS_MAX ? (uint64_t)st.st_size : 0;
    if (stage_size(run->stage) < *ret_size && !run->shrink_zero) {
        ic_fail(err, IC_E_CONFIG, "shorter than the memory");
        return -EINVAL;
    }
    if (!stage_is_complete(run->stage) && is_unversioned && !run->force) {
        ic_fail(err, IC_E_CONFIG, "not all of it, over what has no version");
        return -ESTALE;
    }
    return 0;
}

static int fake_commit(struct fs_restorer *restorer, const struct fs_restore_run *run,
                       struct ic_error *err)
{
    struct fake_file *file =
        (struct fake_file *)(void *)((char *)restorer - offsetof(struct fake_file, restorer));
    bool is_unversioned = false;
    uint64_t size_before = 0;
    run->progress->phase = FS_RESTORE_SENDING;
    run->progress->n_to_send = stage_size(run->stage);
    int result = check(file, run, is_unversioned, &size_before, err);
    if (result == 0 && (result = follow_script(file->fake, run, &is_unversioned)) < 0)
        ic_fail(err, IC_E_REJECTED, "as the script says");
    if (result == 0)
        result = check(file, run, is_unversioned, &size_before, err);
    if (result == 0 && !run->dry_run)
        result = replace(file, run, size_before);
    if (result == 0)
        snprintf(run->summary, run->summary_size, "%llu bytes",
                 (unsigned long long)stage_size(run->stage));
    note_commit(file, run, result);
    return result;
}

static void fake_restorer_close(struct fs_restorer *restorer)
{
    free((char *)restorer - offsetof(struct fake_file, restorer));
}

static const struct fs_restorer_ops restorer_ops = {
    .commit = fake_commit,
    .close = fake_restorer_close,
};

static int open_restorer(struct fake *fake, uint64_t index, struct fs_restorer **out)
{
    struct fake_file *file = new_file(fake, index);
    file->restorer.ops = &restorer_ops;
    file->restorer.is_versioned = true;
    *out = &file->restorer;
    return 0;
}

static int open_memory_restorer(void *arg, uint64_t index, struct fs_restorer **out)
{
    (void)index;
    return open_restorer(arg, N_ITEMS_MAX, out);
}

static int open_item_restorer(void *arg, uint64_t index, struct fs_restorer **out)
{
    return open_restorer(arg, index, out);
}

/* --- items/ --- */

static int items_count(void *arg, const struct source_io *io, uint64_t *out)
{
    (void)io;
    struct fake_file file = {.fake = arg};
    char path[600];
    for (; file.index < N_ITEMS_MAX; file.index++) {
        path_of(&file, "", path, sizeof(path));
        if (access(path, F_OK) < 0)
            break;
    }
    *out = file.index;
    return 0;
}

static void items_name(void *arg, uint64_t index, char *name)
{
    (void)arg;
    snprintf(name, FS_NAME_SIZE, "%04u.bin", (unsigned)index);
}

static int items_find(void *arg, const char *name, uint64_t *out)
{
    char again[FS_NAME_SIZE];
    *out = strtoull(name, NULL, 10);
    items_name(arg, *out, again);
    return *out < N_ITEMS_MAX && strcmp(name, again) == 0 ? 0 : -ENOENT;
}

static int items_open(void *arg, uint64_t index, struct source **out)
{
    *out = &new_file(arg, index)->source;
    return 0;
}

static const struct fs_listing_ops items_ops = {
    .count = items_count,
    .name = items_name,
    .find = items_find,
    .open = items_open,
};

/* --- the mount --- */

static int render_status(void *arg, char **out, size_t *out_len)
{
    struct fake *fake = arg;
    json_t *root = json_object();
    if (fake->mount.stages)
        json_object_set_new(root, "restores", fs_report_restores(fake->mount.stages));
    *out = json_dumps(root, JSON_INDENT(2));
    json_decref(root);
    *out_len = *out ? strlen(*out) : 0;
    return *out ? 0 : -ENOMEM;
}

static void append_job(void *arg, const struct fs_job_info *info)
{
    static const char *const states[] = {"queued", "running", "done", "failed"};
    json_array_append_new(arg, json_pack("{s:I,s:s,s:s,s:s,s:s}", "id", (json_int_t)info->id,
                                         "command", info->command, "state", states[info->state],
                                         "progress", info->progress, "cause", info->cause));
}

static int render_jobs(void *arg, char **out, size_t *out_len)
{
    struct fake *fake = arg;
    json_t *jobs = json_array();
    fs_jobs_for_each(fake->mount.jobs, append_job, jobs);
    *out = json_dumps(jobs, JSON_INDENT(2));
    json_decref(jobs);
    *out_len = *out ? strlen(*out) : 0;
    return *out ? 0 : -ENOMEM;
}

static int render_nothing(void *arg, char **out, size_t *out_len)
{
    (void)arg;
    *out = NULL;
    *out_len = 0;
    return 0;
}

static int take_commands(void *arg, const char *text, size_t len)
{
    struct fake *fake = arg;
    return fs_control_write(&fake->mount.control, text, len);
}

static int build_tree(struct fake *fake)
{
    struct fs_mount *mount = &fake->mount;
    const struct fs_tree_config config = {
        .uid = (uint32_t)fake->options.uid,
        .gid = (uint32_t)fake->options.gid,
        .attr_timeout_ns = fake->options.attr_timeout_ns,
    };
    struct fs_entry *dir;
    int result = fs_tree_new(&mount->tree, &config);
    if (result == 0)
        result = fs_tree_add_file(mount->tree, NULL, "stable_memory",
                                  &new_file(fake, N_ITEMS_MAX)->source, false);
    if (result == 0)
        result = fs_tree_add_listing(mount->tree, NULL, "items", &items_ops, fake);
    if (result == 0)
        result = fs_tree_add_dir(mount->tree, NULL, ".canisterfs", &dir);
    if (result == 0)
        result = fs_tree_add_generated(mount->tree, dir, "status", render_status, fake);
    if (result == 0)
        result = fs_tree_add_generated(mount->tree, dir, "jobs", render_jobs, fake);
    if (result == 0)
        result = fs_tree_add_writable(mount->tree, dir, "control", (uint32_t)getuid(),
                                      render_nothing, take_commands, fake);
    if (result < 0 || !fake->options.rw)
        return result;
    fake->memory = (struct fs_restorable){.open = open_memory_restorer, .arg = fake};
    fake->items = (struct fs_restorable){.open = open_item_restorer, .arg = fake};
    result = fs_tree_set_restorable(mount->tree, "stable_memory", &fake->memory);
    return result < 0 ? result : fs_tree_set_restorable(mount->tree, "items", &fake->items);
}

static void outdate(void *arg, const struct fs_place *place)
{
    struct fake *fake = arg;
    fs_tree_outdate(fake->mount.tree);
    fs_tree_outdate_place(fake->mount.tree, place);
}

static unsigned inflight(void *arg, bool is_slow)
{
    (void)is_slow;
    (void)arg;
    return 4;
}

static int build(struct fake *fake, char *message, size_t message_size)
{
    struct fs_mount *mount = &fake->mount;
    char dir[600];
    snprintf(dir, sizeof(dir), "%s/stages", fake->state);
    const struct fs_stages_config stages = {
        .tree = mount->tree,
        .log = mount->log,
        .dir = dir,
        .is_manual = fake->options.commit == FS_COMMIT_MANUAL,
        .shrink_zero = fake->options.shrink == FS_SHRINK_ZERO,
        .force = fake->options.force,
        .says_progress = fake->options.foreground,
        .uid = (uint32_t)fake->options.uid,
        .gid = (uint32_t)fake->options.gid,
        .outdate = outdate,
        .arg = fake,
    };
    int result =
        fake->options.rw ? fs_stages_open(&mount->stages, &stages, message, message_size) : 0;
    const struct fs_ops_config ops = {
        .tree = mount->tree,
        .stages = mount->stages,
        .log = mount->log,
        .timeout_ns = fake->options.timeout_ns,
        .cache_budget = 1 << 20,
        .max_inflight = inflight,
    };
    return result < 0 ? result : fs_ops_new(&mount->ops, &ops);
}

static void serving(void *arg)
{
    struct fake *fake = arg;
    if (fake->mount.stages)
        fs_stages_set_mountpoint(fake->mount.stages, fake->options.mountpoint);
}

static void stopping(void *arg)
{
    struct fake *fake = arg;
    fs_jobs_stop(fake->mount.jobs);
    fs_stages_stop(fake->mount.stages);
}

int main(int argc, char **argv)
{
    static struct fake fake;
    char message[512] = "";
    if (argc < 3)
        return 1;
    snprintf(fake.state, sizeof(fake.state), "%s", argv[1]);
    if (fs_option_parse(argc - 1, argv + 1, &fake.options, message, sizeof(message)) != 0 ||
        fs_log_open(&fake.mount.log, (enum fs_log_level)fake.options.log_level) < 0) {
        fprintf(stderr, "%s\n", message);
        return 1;
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    fs_signals_block(&fake.signals);
    const struct fs_jobs_config jobs = {.log = fake.mount.log};
    fake.mount.options = &fake.options;
    fake.mount.control =
        (struct fs_control){.commands = fs_commands, .arg = &fake.mount, .log = fake.mount.log};
    int result = fs_signals_open(&fake.signals, fake.mount.log);
    if (result == 0)
        result = fs_jobs_open(&fake.mount.jobs, &jobs);
    if (result == 0)
        result = build_tree(&fake);
    if (result == 0)
        result = build(&fake, message, sizeof(message));
    if (result < 0) {
        fprintf(stderr, "%s: %s\n", message, strerror(-result));
        return 2;
    }
    const struct fs_session_config session = {
        .mountpoint = fake.options.mountpoint,
        .source_name = "fake",
        .options = &fake.options,
        .ops = fake.mount.ops,
        .log = fake.mount.log,
        .signals = &fake.signals,
        .serving = serving,
        .stopping = stopping,
        .arg = &fake,
    };
    enum fs_exit status = fs_session_run(&session, message, sizeof(message));
    if (status != FS_EXIT_OK)
        fprintf(stderr, "%s\n", message);
    stopping(&fake);
    fs_jobs_close(fake.mount.jobs);
    fs_ops_free(fake.mount.ops);
    fs_stages_close(fake.mount.stages);
    fs_tree_free(fake.mount.tree);
    fs_signals_close(&fake.signals);
    fs_log_close(fake.mount.log);
    fs_option_fini(&fake.options);
    return (int)status;
}
