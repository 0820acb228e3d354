#include "fs/restorables.h"

#include "fs/restore_items.h"
#include "fs/restore_memory.h"
#include "fs/restore_text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct memory {
    struct fs_restorable restorable;
    const struct fs_restorables_config *config;
    const struct fs_memory *memory;
    struct fs_stable *stable;
};

struct collection {
    struct fs_restorable restorable;
    struct fs_restore_items *items;
};

struct fs_restorables {
    struct fs_restorables_config config; /* immutable */
    struct memory *memories;             /* one for each of the discovery */
    struct collection *collections;      /* likewise */
    struct fs_restorable interface;      /* backup/candid.did */
};

int fs_restorables_open(struct fs_restorables **out, const struct fs_restorables_config *config)
{
    struct fs_restorables *restorables = calloc(1, sizeof(*restorables));
    if (!restorables)
        return -ENOMEM;
    restorables->config = *config;
    /* One more: calloc of none may give NULL. */
    restorables->memories =
        calloc(config->discovery->n_memories + 1, sizeof(*restorables->memories));
    restorables->collections =
        calloc(config->discovery->n_collections + 1, sizeof(*restorables->collections));
    if (!restorables->memories || !restorables->collections) {
        fs_restorables_close(restorables);
        return -ENOMEM;
    }
    *out = restorables;
    return 0;
}

void fs_restorables_close(struct fs_restorables *restorables)
{
    if (!restorables)
        return;
    for (size_t i = 0; restorables->collections && i < restorables->config.discovery->n_collections;
         i++)
        fs_restore_items_free(restorables->collections[i].items);
    free(restorables->collections);
    free(restorables->memories);
    free(restorables);
}

/* Better now than when somebody has to restore. */
static void warn_of_read_only(const struct fs_target *target, const char *path, const char *reason)
{
    fs_log_print(target->log, FS_LOG_WARNING, "%s cannot be restored: %s", path, reason);
}

/* --- memories --- */

static int open_memory(void *arg, uint64_t index, struct fs_restorer **out)
{
    (void)index;
    const struct memory *memory = arg;
    const struct fs_restore_memory_config config = {
        .target = memory->config->target,
        .memory = memory->memory,
        .n_inflight = memory->config->n_inflight,
    };
    return fs_restore_memory_open(out, &config);
}

static uint64_t version_of_memory(void *arg, uint64_t index, uint64_t serial)
{
    (void)index;
    const struct memory *memory = arg;
    return fs_stable_number(memory->stable, serial);
}

int fs_restorables_add_memory(struct fs_restorables *restorables, struct fs_tree *tree,
                              const char *path, size_t i, struct fs_stable *stable)
{
    struct memory *memory = &restorables->memories[i];
    memory->config = &restorables->config;
    memory->memory = &restorables->config.discovery->memories[i];
    memory->stable = stable;
    memory->restorable = (struct fs_restorable){
        .open = open_memory,
        .version = version_of_memory,
        .arg = memory,
    };
    if (memory->memory->write.style == FS_WRITE_NONE) {
        if (i == 0) /* all are written by the same methods */
            warn_of_read_only(restorables->config.target, path, memory->memory->write.words);
        return 0;
    }
    return fs_tree_set_restorable(tree, path, &memory->restorable);
}

/* --- collections --- */

static int open_item(void *arg, uint64_t index, struct fs_restorer **out)
{
    const struct collection *collection = arg;
    return fs_restore_items_open_file(collection->items, index, out);
}

static int get_hash(void *arg, uint64_t index, bool is_certified, const struct source_io *io,
                    uint8_t out[IC_SHA256_LEN])
{
    return is_certified ? fs_chunks_get_certified_hash(arg, index, io, out)
                        : fs_chunks_get_hash(arg, index, io, out);
}

static int add_collection(struct fs_restorables *restorables, struct fs_tree *tree, size_t i)
{
    struct collection *collection = &restorables->collections[i];
    const struct fs_collection *described = &restorables->config.discovery->collections[i];
    char path[FS_PLACE_PATH_MAX];
    snprintf(path, sizeof(path), "backup/%s", described->name);
    if (!described->restore.method[0]) {
        warn_of_read_only(restorables->config.target, path, described->restore.reason);
        return 0;
    }
    const struct fs_restore_items_config config = {
        .target = restorables->config.target,
        .collection = described,
        .n_inflight = restorables->config.n_inflight,
        .get_hash = get_hash,
        .arg = fs_backup_find(restorables->config.backup, i),
    };
    int result = fs_restore_items_new(&collection->items, &config);
    if (result < 0)
        return result;
    collection->restorable = (struct fs_restorable){.open = open_item, .arg = collection};
    return fs_tree_set_restorable(tree, path, &collection->restorable);
}

/* It stands among the collections, so that a copy of them all brings it, too. */
static int open_interface(void *arg, uint64_t index, struct fs_restorer **out)
{
    (void)index;
    const struct fs_discovery *discovery = arg;
    return fs_restore_text_open(out, discovery->did_text, discovery->did_text_len);
}

int fs_restorables_add_collections(struct fs_restorables *restorables, struct fs_tree *tree)
{
    const struct fs_discovery *discovery = restorables->config.discovery;
    bool has_any = false;
    int result = 0;
    for (size_t i = 0; result == 0 && i < discovery->n_collections; i++) {
        result = add_collection(restorables, tree, i);
        has_any |= restorables->collections[i].items != NULL;
    }
    if (result < 0 || !has_any || !discovery->did_text)
        return result;
    restorables->interface =
        (struct fs_restorable){.open = open_interface, .arg = (void *)(uintptr_t)discovery};
    return fs_tree_set_restorable(tree, "backup/candid.did", &restorables->interface);
}
