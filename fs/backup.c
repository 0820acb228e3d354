#include "fs/backup.h"

#include "fs/text_source.h"
#include "ic/sha.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct fs_backup {
    struct fs_backup_config config;
    struct fs_chunks_shared shared;
    struct fs_backup_version version;
    struct fs_turn fetching;
    struct fs_turn rendering;
    bool has_turns; /* they and the version were set up */
    struct store *store;
    struct fs_seen *seen;
    struct fs_ahead *ahead;
    struct ic_candid_names *names;
    struct fs_chunks **chunks; /* one for each collection of the discovery */
    size_t n_chunks;
};

/* --- backup/NAME/ --- */

static int raw_count(void *arg, const struct source_io *io, uint64_t *out)
{
    return fs_chunks_list(arg, io, out);
}

static void raw_name(void *arg, uint64_t index, char *name)
{
    fs_chunks_name(arg, index, FS_FORM_RAW, name);
}

static int raw_find(void *arg, const char *name, uint64_t *out)
{
    return fs_chunks_find(arg, name, FS_FORM_RAW, out);
}

static int raw_open(void *arg, uint64_t index, struct source **out)
{
    return fs_chunks_open_source(arg, index, FS_FORM_RAW, out);
}

static const struct fs_listing_ops raw_ops = {
    .count = raw_count, .name = raw_name, .find = raw_find, .open = raw_open};

/* --- inspect/NAME/: each file in two forms --- */

static enum fs_form form_of(uint64_t index)
{
    return index % 2 == 0 ? FS_FORM_JSON : FS_FORM_TEXT;
}

static int rendered_count(void *arg, const struct source_io *io, uint64_t *out)
{
    int result = fs_chunks_list(arg, io, out);
    if (result == 0)
        *out *= 2;
    return result;
}

static void rendered_name(void *arg, uint64_t index, char *name)
{
    fs_chunks_name(arg, index / 2, form_of(index), name);
}

static int rendered_find(void *arg, const char *name, uint64_t *out)
{
    for (uint64_t i = 0; i < 2; i++) {
        if (fs_chunks_find(arg, name, form_of(i), out) == 0) {
            *out = 2 * *out + i;
            return 0;
        }
    }
    return -ENOENT;
}

static int rendered_open(void *arg, uint64_t index, struct source **out)
{
    return fs_chunks_open_source(arg, index / 2, form_of(index), out);
}

static const struct fs_listing_ops rendered_ops = {
    .count = rendered_count, .name = rendered_name, .find = rendered_find, .open = rendered_open};

/* --- backup/candid.did --- */

static int add_interface(struct fs_backup *backup, struct fs_tree *tree, struct fs_entry *dir)
{
    static const char name[] = "candid.did";
    const struct fs_discovery *discovery = backup->config.discovery;
    uint8_t hash[FS_SEEN_HASH];
    struct source *source;
    int result = ic_sha256(discovery->did_text, discovery->did_text_len, hash);
    if (result < 0)
        return result;
    result = fs_text_source_open(&source, discovery->did_text, discovery->did_text_len,
                                 fs_seen_at(backup->seen, name, hash, 0));
    return result < 0 ? result : fs_tree_add_file(tree, dir, name, source, false);
}

/* --- set up --- */

static void warn(void *arg, const char *line)
{
    const struct fs_target *target = arg;
    fs_log_print(target->log, FS_LOG_WARNING, "cache_dir: %s", line);
}

static int open_store(struct fs_backup *backup, char *message, size_t message_size)
{
    const struct fs_options *options = backup->config.options;
    const struct store_config config = {
        .memory = backup->config.memory,
        .dir = options->cache_dir,
        .spool_size = options->cache_disk,
        .warn = warn,
        .warn_arg = (void *)(uintptr_t)backup->config.target,
    };
    char name[IC_PRINCIPAL_TEXT + 8];
    snprintf(name, sizeof(name), "%s.seen", backup->config.target->canister_text);
    int result = store_open(&backup->store, &config);
    if (result == 0)
        result = fs_seen_open(&backup->seen, options->cache_dir, name);
    if (result < 0 && options->cache_dir)
        snprintf(message, message_size, "cache_dir '%s' cannot be used: %s", options->cache_dir,
                 strerror(-result));
    return result;
}

static int open_collections(struct fs_backup *backup)
{
    const struct fs_discovery *discovery = backup->config.discovery;
    backup->chunks = calloc(discovery->n_collections, sizeof(struct fs_chunks *));
    int result = backup->chunks ? 0 : -ENOMEM;
    while (result == 0 && backup->n_chunks < discovery->n_collections) {
        result = fs_chunks_open(&backup->chunks[backup->n_chunks], &backup->shared,
                                &discovery->collections[backup->n_chunks]);
        backup->n_chunks += result == 0;
    }
    return result;
}

static int open_shared(struct fs_backup *backup, char *message, size_t message_size)
{
    const struct fs_backup_config *config = &backup->config;
    struct ic_error err = {0};
    int result = fs_turn_init(&backup->fetching);
    if (result < 0)
        return result;
    result = fs_turn_init(&backup->rendering);
    if (result < 0) {
        fs_turn_fini(&backup->fetching);
        return result;
    }
    fs_backup_version_init(&backup->version, config->target, config->discovery->backup_version);
    backup->has_turns = true;
    backup->shared = (struct fs_chunks_shared){
        .target = config->target,
        .version = &backup->version,
        .fetching = &backup->fetching,
        .rendering = &backup->rendering,
        .chunk_items = config->options->chunk_items,
        .attr_timeout_ns = (int64_t)config->options->attr_timeout_ns,
        .chunk_timeout_ns = (int64_t)config->options->chunk_timeout_ns,
        .lease = config->lease,
        .max_inflight = config->max_inflight,
        .listed = config->listed,
        .arg = config->arg,
    };
    result = open_store(backup, message, message_size);
    if (result == 0 && config->discovery->did)
        result = ic_candid_names_new(config->discovery->did, &backup->names, &err);
    if (result == 0)
        result = fs_ahead_open(&backup->ahead, (unsigned)config->options->max_inflight,
                               fs_chunks_run_ahead);
    backup->shared.store = backup->store;
    backup->shared.seen = backup->seen;
    backup->shared.ahead = backup->ahead;
    backup->shared.names = backup->names;
    return result < 0 ? result : open_collections(backup);
}

int fs_backup_open(struct fs_backup **out, const struct fs_backup_config *config, char *message,
                   size_t message_size)
{
    struct fs_backup *backup = calloc(1, sizeof(*backup));
    if (!backup)
        return -ENOMEM;
    backup->config = *config;
    *message = '\0';
    int result = open_shared(backup, message, message_size);
    if (result < 0 && !*message)
        snprintf(message, message_size, "%s", strerror(-result));
    if (result < 0) {
        fs_backup_close(backup);
        return result;
    }
    *out = backup;
    return 0;
}

int fs_backup_add(struct fs_backup *backup, struct fs_tree *tree)
{
    const struct fs_discovery *discovery = backup->config.discovery;
    struct fs_entry *raw;
    struct fs_entry *rendered;
    int result = fs_tree_add_dir(tree, NULL, "backup", &raw);
    if (result == 0)
        result = fs_tree_add_dir(tree, NULL, "inspect", &rendered);
    if (result == 0 && discovery->did_text)
        result = add_interface(backup, tree, raw);
    for (size_t i = 0; result == 0 && i < backup->n_chunks; i++) {
        const struct fs_collection *collection = &discovery->collections[i];
        struct fs_chunks *chunks = backup->chunks[i];
        bool is_candid = strcmp(fs_render_suffix(FS_FORM_RAW, collection), ".bin") != 0;
        result = fs_tree_add_listing(tree, raw, collection->name, &raw_ops, chunks);
        if (result == 0 && is_candid)
            result = fs_tree_add_listing(tree, rendered, collection->name, &rendered_ops, chunks);
    }
    return result;
}

void fs_backup_stop(struct fs_backup *backup)
{
    if (backup)
        fs_ahead_stop(backup->ahead);
}

void fs_backup_close(struct fs_backup *backup)
{
    if (!backup)
        return;
    fs_ahead_close(backup->ahead);
    for (size_t i = 0; i < backup->n_chunks; i++)
        fs_chunks_close(backup->chunks[i]);
    free(backup->chunks);
    ic_candid_names_free(backup->names);
    fs_seen_close(backup->seen);
    store_close(backup->store);
    if (backup->has_turns) {
        fs_backup_version_fini(&backup->version);
        fs_turn_fini(&backup->rendering);
        fs_turn_fini(&backup->fetching);
    }
    free(backup);
}

void fs_backup_outdate(struct fs_backup *backup)
{
    for (size_t i = 0; backup && i < backup->n_chunks; i++)
        fs_chunks_outdate(backup->chunks[i]);
}

struct fs_chunks *fs_backup_find(struct fs_backup *backup, size_t i)
{
    return i < backup->n_chunks ? backup->chunks[i] : NULL;
}

void fs_backup_store_stats(struct fs_backup *backup, struct store_stats *out)
{
    store_get_stats(backup->store, out);
}
