#include "fs/report.h"

#include "fs/job.h"
#include "fs/mount.h"
#include "fs/report_restore.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Set a key; the reference moves. A failed allocation shows up when the object is printed. */
static void set(json_t *object, const char *key, json_t *value)
{
    json_object_set_new(object, key, value);
}

static json_t *number(uint64_t n)
{
    return json_integer((json_int_t)n);
}

/* As text: the numbers of a canister use all 64 bits, which most JSON readers do not keep. */
static json_t *decimal(uint64_t n)
{
    char text[24];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
    return json_string(text);
}

static json_t *wall_time(int64_t ns)
{
    time_t seconds = (time_t)(ns / 1000000000);
    struct tm tm;
    char text[32];
    if (!gmtime_r(&seconds, &tm) || strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        return json_null();
    return json_string(text);
}

/* Text from the network may hold invalid UTF-8, which jansson refuses. */
static json_t *text_or_note(const char *text)
{
    json_t *value = json_string(text);
    return value ? value : json_string("(not valid UTF-8)");
}

static int finish(json_t *root, char **out, size_t *out_len)
{
    char *text = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    json_decref(root);
    if (!text)
        return -ENOMEM;
    size_t len = strlen(text);
    char *line = realloc(text, len + 2);
    if (!line) {
        free(text);
        return -ENOMEM;
    }
    memcpy(line + len, "\n", 2);
    *out = line;
    *out_len = len + 1;
    return 0;
}

static const char *consistency_words(enum fs_consistency consistency)
{
    switch (consistency) {
    case FS_CONSISTENCY_PROVEN:
        return "proven: every read names its version";
    case FS_CONSISTENCY_BEST_EFFORT:
        return "best effort: the version is checked once a second";
    case FS_CONSISTENCY_LIVE:
        break;
    }
    return "live, unversioned: reads of a changing canister may mix two states";
}

static json_t *report_methods(const struct fs_discovery *discovery)
{
    json_t *methods = json_object();
    for (size_t i = 0; i < discovery->n_findings; i++) {
        const struct fs_finding *finding = &discovery->findings[i];
        set(methods, finding->method, text_or_note(finding->offered ? "offered" : finding->note));
    }
    return methods;
}

static void append_file(json_t *files, const struct fs_memory *memory,
                        const struct fs_mount_file *mounted)
{
    struct fs_stable_info info;
    fs_stable_describe(mounted->stable, &info);
    if (!info.is_there)
        return;
    json_t *file = json_object();
    set(file, "path", json_string(mounted->path));
    set(file, "method", text_or_note(fs_memory_reader(memory)));
    set(file, "size", info.is_known ? number(info.size) : json_null());
    if (info.consistency != FS_CONSISTENCY_LIVE)
        set(file, "version", info.is_known ? decimal(info.version) : json_null());
    set(file, "consistency", json_string(consistency_words(info.consistency)));
    set(file, "restore", text_or_note(memory->write.words));
    set(file, "reply_bytes", number(info.reply_bytes));
    set(file, "reply_bytes_halved", number(info.n_shrunk));
    json_array_append_new(files, file);
}

static json_t *report_vmem(struct fs_vmem *vmem)
{
    static const char *const words[] = {
        [FS_VMEM_UNKNOWN] = "not looked at yet",
        [FS_VMEM_NONE] = "none: no memory manager's header",
        [FS_VMEM_UNFIT] = "not shown",
        [FS_VMEM_SHOWN] = "shown",
    };
    struct fs_vmem_info info;
    fs_vmem_describe(vmem, &info);
    json_t *report = json_object();
    set(report, "state", json_string(words[info.verdict]));
    if (info.why[0])
        set(report, "error", text_or_note(info.why));
    if (info.verdict == FS_VMEM_SHOWN) {
        set(report, "memories", number(info.n_memories));
        set(report, "bucket_size", number(info.bucket_size));
    }
    return report;
}

static json_t *report_anyone(enum fs_anyone anyone)
{
    return anyone == FS_ANYONE_UNKNOWN ? json_null() : json_boolean(anyone == FS_ANYONE_CAN_READ);
}

static json_t *report_stable(const struct fs_mount *mount)
{
    const struct fs_discovery *discovery = &mount->discovery;
    json_t *stable = json_object();
    set(stable, "offered", json_boolean(discovery->n_memories > 0));
    set(stable, "found_by", text_or_note(discovery->basis));
    if (discovery->profile)
        set(stable, "profile", json_string(discovery->profile));
    set(stable, "methods", report_methods(discovery));
    if (discovery->n_memories == 0)
        return stable;
    if (discovery->prepare[0])
        set(stable, "prepare", text_or_note(discovery->prepare));
    set(stable, "readable_by_anyone", report_anyone(discovery->anyone));
    json_t *files = json_array();
    for (size_t i = 0; i < discovery->n_memories; i++)
        append_file(files, &discovery->memories[i], &mount->files[i]);
    set(stable, "files", files);
    if (mount->vmem)
        set(stable, "vmem", report_vmem(mount->vmem));
    return stable;
}

static json_t *report_failures(const struct fs_chunks *chunks, const struct fs_chunks_info *info)
{
    json_t *failures = json_array();
    for (int i = 0; i < FS_CHUNKS_FAILURES; i++) {
        const struct fs_chunk_failure *failure = &info->failures[i];
        if (failure->result == 0)
            continue;
        char name[FS_CHUNK_NAME_MAX];
        fs_chunks_name(chunks, failure->index, FS_FORM_RAW, name);
        const char *error = strerrorname_np(-failure->result);
        json_t *entry = json_object();
        set(entry, "file", json_string(name));
        set(entry, "errno", json_string(error ? error : "EIO"));
        set(entry, "message", text_or_note(failure->message));
        json_array_append_new(failures, entry);
    }
    return failures;
}

static json_t *report_collection(struct fs_chunks *chunks)
{
    struct fs_chunks_info info;
    fs_chunks_describe(chunks, &info);
    bool is_items = info.collection->style == FS_COLLECTION_ITEMS;
    json_t *collection = json_object();
    set(collection, "name", text_or_note(info.collection->name));
    set(collection, "method", text_or_note(info.collection->method));
    set(collection, "gives", json_string(fs_collection_words(info.collection->style)));
    const struct fs_restore_partner *restore = &info.collection->restore;
    set(collection, "restored_by",
        restore->method[0] ? text_or_note(restore->method) : json_null());
    set(collection, "read_only", restore->method[0] ? json_null() : text_or_note(restore->reason));
    if (is_items) {
        const char *unit = info.collection->is_bytes ? "bytes" : "items";
        set(collection, unit, info.is_known ? number(info.total) : json_null());
        set(collection, "per_file", number(info.per_file));
        set(collection, "per_call", number(info.calls.per_call));
    }
    set(collection, "files", info.is_known ? number(info.n_files) : json_null());
    set(collection, "problem", info.problem[0] ? text_or_note(info.problem) : json_null());
    set(collection, "files_fetched", number(info.n_fetched));
    set(collection, "files_unchanged", number(info.n_same));
    set(collection, "calls", number(info.calls.n_calls));
    set(collection, "calls_too_much", number(info.calls.n_too_much));
    set(collection, "fetched_again", number(info.calls.n_again));
    set(collection, "failures", report_failures(chunks, &info));
    return collection;
}

static json_t *report_not_shown(const struct fs_discovery *discovery)
{
    json_t *methods = json_object();
    for (size_t i = 0; i < discovery->n_not_shown; i++)
        set(methods, discovery->not_shown[i].method, text_or_note(discovery->not_shown[i].reason));
    if (discovery->n_not_listed > 0)
        set(methods, "...", number(discovery->n_not_listed));
    return methods;
}

static json_t *report_backup(const struct fs_mount *mount)
{
    const struct fs_discovery *discovery = &mount->discovery;
    json_t *backup = json_object();
    json_t *collections = json_array();
    for (size_t i = 0; mount->backup && i < discovery->n_collections; i++)
        json_array_append_new(collections, report_collection(fs_backup_find(mount->backup, i)));
    set(backup, "version_method",
        discovery->backup_version[0] ? text_or_note(discovery->backup_version) : json_null());
    set(backup, "collections", collections);
    set(backup, "not_shown", report_not_shown(discovery));
    return backup;
}

static void append_upload(void *arg, const struct fs_snapshot_note *note)
{
    static const char *const states[] = {
        [FS_SNAPSHOT_DECLARING] = "asking for an id, unfinished",
        [FS_SNAPSHOT_SENDING] = "unfinished",
        [FS_SNAPSHOT_VERIFIED] = "verified",
    };
    char id[FS_SNAPSHOT_ID_TEXT];
    fs_snapshot_id_format(&note->id, id);
    json_t *upload = json_object();
    set(upload, "name", text_or_note(note->name));
    set(upload, "state", json_string(states[note->state]));
    set(upload, "id", *id ? json_string(id) : json_null());
    json_array_append_new(arg, upload);
}

static json_t *report_snapshots(const struct fs_mount *mount)
{
    struct fs_snapshots_info info;
    if (!mount->snapshots)
        return json_null();
    fs_snapshots_describe(mount->snapshots, &info);
    json_t *snapshots = json_object();
    set(snapshots, "listed", info.is_listed ? number(info.n) : json_null());
    set(snapshots, "problem", info.problem[0] ? text_or_note(info.problem) : json_null());
    json_t *uploads = json_array();
    if (mount->uploads)
        fs_snapshot_upload_for_each(mount->uploads, append_upload, uploads);
    set(snapshots, "uploads", uploads);
    return snapshots;
}

/* What an interrupted command owes the canister, or one that runs. */
static json_t *report_downtime(const struct fs_mount *mount)
{
    struct fs_downtime_info info;
    fs_downtime_describe(mount->downtime, &info);
    if (!info.is_noted)
        return json_null();
    json_t *downtime = json_object();
    set(downtime, "command", text_or_note(info.purpose));
    set(downtime, "since", wall_time(info.since_ns));
    set(downtime, "was_running", json_boolean(info.was_running));
    return downtime;
}

static const char *const job_states[] = {
    [FS_JOB_QUEUED] = "queued",
    [FS_JOB_RUNNING] = "running",
    [FS_JOB_DONE] = "done",
    [FS_JOB_FAILED] = "failed",
};

static json_t *time_or_null(int64_t ns)
{
    return ns != 0 ? wall_time(ns) : json_null();
}

static void append_job(void *arg, const struct fs_job_info *info)
{
    json_t *job = json_object();
    json_t *error = json_null();
    if (info->state == FS_JOB_FAILED) {
        const char *name = strerrorname_np(-info->error);
        error = json_object();
        set(error, "errno", json_string(name ? name : "EIO"));
        set(error, "message", text_or_note(info->cause));
        set(error, "outcome_unknown", json_boolean(info->is_unknown));
    }
    set(job, "id", number(info->id));
    set(job, "command", text_or_note(info->command));
    set(job, "state", json_string(job_states[info->state]));
    set(job, "accepted", time_or_null(info->accepted_ns));
    set(job, "started", time_or_null(info->started_ns));
    set(job, "ended", time_or_null(info->ended_ns));
    set(job, "progress", info->progress[0] ? text_or_note(info->progress) : json_null());
    set(job, "error", error);
    json_array_append_new(arg, job);
}

static json_t *report_limits(const struct fs_mount *mount)
{
    json_t *limits = json_object();
    set(limits, "cache_size", number(mount->options->cache_size));
    set(limits, "cache_dir",
        mount->options->cache_dir ? text_or_note(mount->options->cache_dir) : json_null());
    set(limits, "cache_disk", number(mount->options->cache_disk));
    set(limits, "chunk_items", number(mount->options->chunk_items));
    set(limits, "chunk_timeout_ms", number(mount->options->chunk_timeout_ns / 1000000));
    set(limits, "inflight", number(ic_agent_inflight_limit(mount->target.agent)));
    set(limits, "timeout_ms", number(mount->options->timeout_ns / 1000000));
    set(limits, "attr_timeout_ms", number(mount->options->attr_timeout_ns / 1000000));
    return limits;
}

static void append_error(void *arg, int64_t wall_ns, enum fs_log_level level, unsigned count,
                         const char *text)
{
    json_t *entry = json_object();
    set(entry, "time", wall_time(wall_ns));
    set(entry, "level", json_string(level == FS_LOG_ERROR ? "error" : "warning"));
    set(entry, "count", number(count));
    set(entry, "message", text_or_note(text));
    json_array_append_new(arg, entry);
}

static json_t *fact(const struct fs_mount *mount, enum fs_fact which)
{
    char text[128];
    fs_facts_copy(mount->facts, which, text, sizeof(text));
    return *text ? json_string(text) : json_null();
}

int fs_report_status(void *arg, char **out, size_t *out_len)
{
    const struct fs_mount *mount = arg;
    char principal[IC_PRINCIPAL_TEXT];
    ic_principal_format(ic_identity_principal(mount->target.identity), principal);
    json_t *root = json_object();
    set(root, "program", json_string("canisterfs " CANISTERFS_VERSION));
    set(root, "mounted_at", wall_time(mount->started_at_ns));
    set(root, "mode", json_string(mount->stages ? "rw" : "ro"));
    set(root, "network", json_string(mount->target.url));
    set(root, "identity", json_string(principal));
    uint64_t expiration = ic_identity_expiration_ns(mount->target.identity);
    if (expiration)
        set(root, "identity_expires_at", wall_time((int64_t)(expiration & INT64_MAX)));
    set(root, "canister", json_string(mount->target.canister_text));
    set(root, "subnet", fact(mount, FS_FACT_SUBNET));
    set(root, "module_hash", fact(mount, FS_FACT_MODULE_HASH));
    const char *unreadable = mount->discovery.unreadable;
    set(root, "unreadable", *unreadable ? text_or_note(unreadable) : json_null());
    set(root, "stable_memory", report_stable(mount));
    set(root, "backup", report_backup(mount));
    set(root, "snapshots", report_snapshots(mount));
    set(root, "downtime", report_downtime(mount));
    set(root, "restores", mount->stages ? fs_report_restores(mount->stages) : json_array());
    if (mount->stages)
        set(root, "dryrun", json_boolean(fs_stages_is_dry_run(mount->stages)));
    set(root, "maintenance", fs_report_lease(mount->lease));
    set(root, "limits", report_limits(mount));
    json_t *jobs = json_array();
    fs_jobs_for_each(mount->jobs, append_job, jobs);
    set(root, "jobs", jobs);
    json_t *errors = json_array();
    fs_log_for_recent(mount->log, append_error, errors);
    set(root, "last_errors", errors);
    return finish(root, out, out_len);
}

static json_t *report_calls(const struct ic_agent_stats *stats)
{
    json_t *calls = json_object();
    set(calls, "queries", number(stats->n_queries));
    set(calls, "read_states", number(stats->n_read_states));
    set(calls, "updates", number(stats->n_updates));
    set(calls, "failed", number(stats->n_failed));
    set(calls, "http_requests", number(stats->n_attempts));
    set(calls, "retries", number(stats->n_retries));
    set(calls, "unverified", number(stats->n_unverified));
    set(calls, "bytes_in", number(stats->bytes_in));
    set(calls, "bytes_out", number(stats->bytes_out));
    set(calls, "in_flight", number(stats->in_flight));
    set(calls, "in_flight_limit", number(stats->limit));
    return calls;
}

static json_t *report_latency(const struct ic_agent_stats *stats)
{
    json_t *latency = json_object();
    set(latency, "p50", json_real((double)stats->p50_us / 1000));
    set(latency, "p95", json_real((double)stats->p95_us / 1000));
    set(latency, "p99", json_real((double)stats->p99_us / 1000));
    return latency;
}

static json_t *report_cache(const struct cache_stats *stats)
{
    json_t *cache = json_object();
    set(cache, "budget", number(stats->budget));
    set(cache, "in_use", number(stats->in_use));
    set(cache, "peak_in_use", number(stats->peak_in_use));
    set(cache, "hits", number(stats->hits));
    set(cache, "misses", number(stats->misses));
    set(cache, "loads", number(stats->loads));
    set(cache, "load_bytes", number(stats->load_bytes));
    set(cache, "load_errors", number(stats->load_errors));
    set(cache, "evictions", number(stats->evictions));
    set(cache, "prefetch_issued", number(stats->prefetch_issued));
    set(cache, "prefetch_used", number(stats->prefetch_used));
    set(cache, "prefetch_wasted", number(stats->prefetch_wasted));
    set(cache, "loads_in_flight", number(stats->in_flight));
    return cache;
}

/* The platform's limit for one query (IC resource limits). */
#define QUERY_INSTRUCTIONS_MAX 5000000000.0

/* How much of the limit do the calls use? Only where the canister reports it. */
static json_t *report_instructions(const struct fs_mount *mount)
{
    struct fs_stable_cost total = {0};
    for (size_t i = 0; i < mount->discovery.n_memories; i++) {
        struct fs_stable_info info;
        fs_stable_describe(mount->files[i].stable, &info);
        total.n_calls += info.cost.n_calls;
        total.sum += info.cost.sum;
        total.most = info.cost.most > total.most ? info.cost.most : total.most;
    }
    if (total.n_calls == 0)
        return json_null();
    json_t *report = json_object();
    set(report, "calls", number(total.n_calls));
    set(report, "mean", number(total.sum / total.n_calls));
    set(report, "most", number(total.most));
    set(report, "most_of_limit", json_real((double)total.most / QUERY_INSTRUCTIONS_MAX));
    return report;
}

/* Files of collections that are kept. */
static json_t *report_chunks(const struct fs_mount *mount)
{
    struct store_stats stats;
    if (!mount->backup)
        return json_null();
    fs_backup_store_stats(mount->backup, &stats);
    json_t *chunks = json_object();
    set(chunks, "objects", number(stats.n_objects));
    set(chunks, "memory", number(stats.memory));
    set(chunks, "spooled", number(stats.spooled));
    set(chunks, "hits", number(stats.n_hits));
    set(chunks, "misses", number(stats.n_misses));
    set(chunks, "evicted", number(stats.n_evicted));
    set(chunks, "spool_failures", number(stats.n_spool_fail));
    return chunks;
}

int fs_report_stats(void *arg, char **out, size_t *out_len)
{
    const struct fs_mount *mount = arg;
    struct ic_agent_stats calls;
    struct cache_stats cache;
    ic_agent_get_stats(mount->target.agent, &calls);
    cache_get_stats(mount->cache, &cache);
    json_t *root = json_object();
    set(root, "calls", report_calls(&calls));
    set(root, "query_latency_ms", report_latency(&calls));
    set(root, "cache", report_cache(&cache));
    set(root, "chunks", report_chunks(mount));
    set(root, "instructions_per_call", report_instructions(mount));
    return finish(root, out, out_len);
}
