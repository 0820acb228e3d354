#include "fs/mount.h"

#include "fs/command.h"
#include "fs/report.h"
#include "fs/staging_dir.h"
#include "fs/unreadable.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static unsigned current_inflight(void *arg)
{
    struct fs_mount *mount = arg;
    return ic_agent_inflight_limit(mount->target.agent);
}

static unsigned current_inflight_of(void *arg, bool is_slow)
{
    struct fs_mount *mount = arg;
    return ic_agent_large_limit(mount->target.agent, is_slow);
}

static void wake_waiters(void *arg)
{
    struct fs_mount *mount = arg;
    ic_agent_wake(mount->target.agent);
}

static int add_memory(struct fs_mount *mount, struct fs_entry *parent, const char *name,
                      const struct fs_memory *memory, struct fs_mount_file *file)
{
    struct source *source;
    int result = fs_stable_open(&source, &file->stable, &mount->target, memory);
    if (result < 0)
        return result;
    struct source *cached;
    result = cached_open(&cached, mount->cache, source);
    if (result < 0) {
        source_close(source);
        file->stable = NULL;
        return result;
    }
    result = memory->was_empty ? fs_tree_add_absent(mount->tree, parent, name, cached)
                               : fs_tree_add_file(mount->tree, parent, name, cached, false);
    if (result < 0 || memory->has_id)
        return result;
    /* One memory may hold others, which are files of the same names as memories with ids. */
    result = fs_vmem_open(&mount->vmem, cached, mount->log, "the canister");
    return result < 0
               ? result
               : fs_tree_add_listing(mount->tree, NULL, "vmem", &fs_vmem_listing, mount->vmem);
}

/* One memory is `stable_memory`, beside vmem/ when it holds virtual memories; memories with ids are
 * files of that number in vmem/, those that were empty once they hold something. */
static int add_memories(struct fs_mount *mount)
{
    const struct fs_discovery *discovery = &mount->discovery;
    if (discovery->n_memories == 0)
        return 0;
    mount->files = calloc(discovery->n_memories, sizeof(*mount->files));
    if (!mount->files)
        return -ENOMEM;
    struct fs_entry *dir = NULL;
    int result = 0;
    if (discovery->memories[0].has_id)
        result = fs_tree_add_dir(mount->tree, NULL, "vmem", &dir);
    for (size_t i = 0; result == 0 && i < discovery->n_memories; i++) {
        const struct fs_memory *memory = &discovery->memories[i];
        struct fs_mount_file *file = &mount->files[i];
        if (memory->has_id)
            snprintf(file->path, sizeof(file->path), "vmem/%03u", memory->id);
        else
            snprintf(file->path, sizeof(file->path), "stable_memory");
        const char *name = memory->has_id ? file->path + strlen("vmem/") : file->path;
        result = add_memory(mount, dir, name, memory, file);
    }
    return result;
}

static int add_facts(struct fs_mount *mount)
{
    struct fs_entry *dir;
    int result = fs_tree_add_dir(mount->tree, NULL, "canister", &dir);
    for (int i = 0; result == 0 && i < FS_N_FACTS; i++) {
        struct source *source;
        result = fs_facts_open_source(mount->facts, (enum fs_fact)i, &source);
        if (result == 0)
            result =
                fs_tree_add_file(mount->tree, dir, fs_fact_name((enum fs_fact)i), source, true);
    }
    return result;
}

static int render_help(void *arg, char **out, size_t *out_len)
{
    const struct fs_mount *mount = arg;
    return fs_control_help(&mount->control, out, out_len);
}

static int take_commands(void *arg, const char *text, size_t len)
{
    const struct fs_mount *mount = arg;
    return fs_control_write(&mount->control, text, len);
}

static int add_generated(struct fs_mount *mount)
{
    struct fs_entry *dir;
    int result = fs_tree_add_dir(mount->tree, NULL, ".canisterfs", &dir);
    if (result == 0)
        result = fs_tree_add_generated(mount->tree, dir, "status", fs_report_status, mount);
    if (result == 0)
        result = fs_tree_add_generated(mount->tree, dir, "stats", fs_report_stats, mount);
    /* Whoever mounted commands, whomever the files are said to belong to. */
    if (result == 0)
        result = fs_tree_add_writable(mount->tree, dir, "control", (uint32_t)getuid(), render_help,
                                      take_commands, mount);
    return result;
}

static int build_tree(struct fs_mount *mount)
{
    const struct fs_tree_config config = {
        .uid = (uint32_t)mount->options->uid,
        .gid = (uint32_t)mount->options->gid,
        .umask = (mode_t)mount->options->umask,
        .attr_timeout_ns = mount->options->attr_timeout_ns,
    };
    int result = fs_tree_new(&mount->tree, &config);
    if (result == 0)
        result = add_facts(mount);
    if (result == 0)
        result = add_memories(mount);
    if (result == 0 && mount->backup)
        result = fs_backup_add(mount->backup, mount->tree);
    if (result == 0 && mount->discovery.unreadable[0])
        result = fs_unreadable_add(mount->tree);
    if (result == 0 && mount->snapshots)
        result = fs_snapshots_add(mount->snapshots, mount->tree);
    if (result == 0)
        result = add_generated(mount);
    return result;
}

static int start_jobs(struct fs_mount *mount)
{
    const struct fs_jobs_config config = {
        .log = mount->log,
        .wake = wake_waiters,
        .wake_arg = mount,
    };
    mount->control = (struct fs_control){.commands = fs_commands, .arg = mount, .log = mount->log};
    return fs_jobs_open(&mount->jobs, &config);
}

/* Blocks of memory and files of collections share cache_size, as far as there are both. What is not
 * shared is for files that are being fetched: many at once, and each in pieces first. */
static size_t backup_share(const struct fs_mount *mount)
{
    size_t size = (size_t)mount->options->cache_size;
    if (mount->discovery.n_collections == 0)
        return 0;
    return mount->discovery.n_memories > 0 ? size / 2 : size - size / 4;
}

/* Whoever lists collections wants to know whether those are all. */
static void look_at_code(void *arg, const struct source_io *io)
{
    const struct fs_mount *mount = arg;
    fs_facts_refresh(mount->facts, io);
}

/* Whoever reads a backup holds the lease in one mode only; in another a command pauses. */
static struct fs_lease *readers_lease(const struct fs_mount *mount)
{
    return mount->options->maintenance == FS_MAINTENANCE_AUTO ? mount->lease : NULL;
}

/* An agent of its own, which is not stopped while the lease is given back. */
static int start_lease(struct fs_mount *mount, char *message, size_t message_size)
{
    const struct fs_lease_config config = {
        .target = &mount->lease_target,
        .log = mount->log,
        .mode = (enum fs_maintenance)mount->options->maintenance,
        .is_offered = mount->discovery.has_lease,
    };
    struct ic_error err = {0};
    if (!config.is_offered || config.mode == FS_MAINTENANCE_OFF)
        return 0;
    int result = fs_target_open_again(&mount->lease_target, &mount->target, &err);
    if (result < 0) {
        snprintf(message, message_size, "%s", err.message);
        return result;
    }
    return fs_lease_open(&mount->lease, &config);
}

static int start_backup(struct fs_mount *mount, char *message, size_t message_size)
{
    const struct fs_backup_config config = {
        .target = &mount->target,
        .discovery = &mount->discovery,
        .options = mount->options,
        .memory = backup_share(mount),
        .lease = readers_lease(mount),
        .max_inflight = current_inflight,
        .listed = look_at_code,
        .arg = mount,
    };
    if (mount->discovery.n_collections == 0)
        return 0;
    return fs_backup_open(&mount->backup, &config, message, message_size);
}

void fs_mount_outdate(struct fs_mount *mount)
{
    fs_facts_outdate(mount->facts);
    if (mount->vmem)
        fs_vmem_outdate(mount->vmem);
    fs_tree_outdate(mount->tree);
    fs_backup_outdate(mount->backup);
    fs_snapshots_outdate(mount->snapshots);
}

static void outdate(void *arg)
{
    fs_mount_outdate(arg);
}

static void outdate_place(void *arg, const struct fs_place *place)
{
    struct fs_mount *mount = arg;
    fs_mount_outdate(mount);
    fs_tree_outdate_place(mount->tree, place);
}

static int add_restorables(struct fs_mount *mount)
{
    const struct fs_restorables_config config = {
        .target = &mount->target,
        .discovery = &mount->discovery,
        .backup = mount->backup,
        .n_inflight = (unsigned)mount->options->restore_inflight,
    };
    int result = fs_restorables_open(&mount->restorables, &config);
    for (size_t i = 0; result == 0 && i < mount->discovery.n_memories; i++)
        result = fs_restorables_add_memory(mount->restorables, mount->tree, mount->files[i].path, i,
                                           mount->files[i].stable);
    if (result == 0 && mount->backup)
        result = fs_restorables_add_collections(mount->restorables, mount->tree);
    return result;
}

/* What is made in snapshots/ is beside what is staged. */
static int start_local(struct fs_mount *mount, const char *dir, char *message, size_t message_size)
{
    const struct fs_snapshot_stage_config stage = {.dir = dir, .log = mount->log};
    int result = fs_snapshot_stage_open(&mount->local, &stage, message, message_size);
    const struct fs_snapshot_upload_config upload = {
        .target = &mount->target,
        .stage = mount->local,
        .outdate = outdate,
        .arg = mount,
    };
    if (result == 0)
        result = fs_snapshot_upload_open(&mount->uploads, &upload);
    return result < 0 ? result : fs_tree_set_writable(mount->tree, "snapshots");
}

static int start_stages(struct fs_mount *mount, char *message, size_t message_size)
{
    const struct fs_options *options = mount->options;
    char *dir;
    int result = fs_staging_dir(&mount->target, &dir, message, message_size);
    if (result < 0)
        return result;
    const struct fs_stages_config config = {
        .tree = mount->tree,
        .log = mount->log,
        .dir = dir,
        .lease = mount->lease,
        .is_manual = options->commit == FS_COMMIT_MANUAL,
        .shrink_zero = options->shrink == FS_SHRINK_ZERO,
        .force = options->force,
        .says_progress = options->foreground,
        .uid = (uint32_t)options->uid,
        .gid = (uint32_t)options->gid,
        .umask = (mode_t)options->umask,
        .outdate = outdate_place,
        .wake = wake_waiters,
        .arg = mount,
    };
    result = fs_stages_open(&mount->stages, &config, message, message_size);
    if (result == 0 && mount->snapshots)
        result = start_local(mount, dir, message, message_size);
    free(dir);
    return result;
}

static int start_snapshots(struct fs_mount *mount)
{
    const struct fs_snapshots_config config = {
        .target = &mount->target,
        .cache = mount->cache,
    };
    return fs_snapshots_open(&mount->snapshots, &config);
}

static int start_cache(struct fs_mount *mount, char *message, size_t message_size)
{
    const struct cache_config config = {
        .budget = mount->options->cache_size - backup_share(mount),
        .n_workers = fs_snapshots_is_wanted(&mount->target) ? FS_SNAPSHOTS_INFLIGHT : 0,
        .prefetch_timeout_ns = (int64_t)mount->options->timeout_ns,
    };
    int result = cache_open(&mount->cache, &config);
    if (result == 0 && fs_snapshots_is_wanted(&mount->target))
        result = start_snapshots(mount);
    if (result == 0)
        result = build_tree(mount);
    if (result == 0 && mount->options->rw)
        result = add_restorables(mount);
    if (result == 0 && mount->options->rw)
        result = start_stages(mount, message, message_size);
    if (result < 0)
        return result;
    const struct fs_ops_config ops = {
        .tree = mount->tree,
        .stages = mount->stages,
        .local = mount->local,
        .lease = readers_lease(mount),
        .log = mount->log,
        .timeout_ns = mount->options->timeout_ns,
        .cache_budget = mount->options->cache_size - backup_share(mount),
        .max_inflight = current_inflight_of,
        .wake = wake_waiters,
        .arg = mount,
    };
    return fs_ops_new(&mount->ops, &ops);
}

enum fs_exit fs_mount_open(struct fs_mount *out, const struct fs_options *options,
                           struct ic_identity *identity, struct fs_log *log,
                           const atomic_bool *cancel, char *message, size_t message_size)
{
    memset(out, 0, sizeof(*out));
    out->options = options;
    out->log = log;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    out->started_at_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;

    enum fs_exit result =
        fs_target_open(&out->target, options, identity, log, cancel, message, message_size);
    if (result == FS_EXIT_OK)
        result =
            fs_facts_open(&out->facts, &out->target, options->timeout_ns, message, message_size);
    if (result == FS_EXIT_OK)
        result = fs_discovery_run(&out->discovery, &out->target, options, out->facts, message,
                                  message_size);
    if (result == FS_EXIT_OK) {
        *message = '\0';
        int built = start_jobs(out);
        if (built == 0)
            built = fs_downtime_open(&out->downtime, &out->target);
        if (built == 0)
            built = start_lease(out, message, message_size);
        if (built == 0)
            built = start_backup(out, message, message_size);
        if (built == 0)
            built = start_cache(out, message, message_size);
        if (built < 0) {
            if (!*message)
                snprintf(message, message_size, "cannot set up the mount: %s", strerror(-built));
            result = FS_EXIT_CONFIG;
        }
    }
    if (result != FS_EXIT_OK)
        fs_mount_close(out);
    return result;
}

void fs_mount_stop(struct fs_mount *mount)
{
    fs_jobs_stop(mount->jobs);
    fs_stages_stop(mount->stages);
    fs_lease_stop(mount->lease);
    ic_agent_stop(mount->target.agent);
    fs_backup_stop(mount->backup);
    cache_stop(mount->cache);
}

void fs_mount_close(struct fs_mount *mount)
{
    if (mount->cache && mount->target.agent)
        fs_mount_stop(mount);
    fs_jobs_close(mount->jobs);
    fs_downtime_close(mount->downtime);
    fs_ops_free(mount->ops);
    fs_snapshot_upload_close(mount->uploads);
    fs_snapshot_stage_close(mount->local);
    fs_stages_close(mount->stages);
    fs_tree_free(mount->tree);
    fs_snapshots_close(mount->snapshots);
    fs_vmem_close(mount->vmem);
    fs_restorables_close(mount->restorables);
    fs_backup_close(mount->backup);
    fs_lease_close(mount->lease);
    fs_target_close(&mount->lease_target);
    cache_close(mount->cache);
    free(mount->files);
    fs_discovery_fini(&mount->discovery);
    fs_facts_close(mount->facts);
    fs_target_close(&mount->target);
    memset(mount, 0, sizeof(*mount));
}
