#include "fs/restorables.h"

#include "fs/restore_items.h"
#include "fs/restore_memory.h"
#include "fs/restore_text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* One memory, or one collection. */
struct entry {
    struct fs_restorable restorable;
    struct fs_mount *mount;
    size_t index;                   /* of the memory in the discovery */
    struct fs_restore_items *items; /* owned; NULL for a memory */
};

struct fs_restorables {
    size_t n;
    struct entry entries[];
};

/* --- memories --- */

static int memory_open(void *arg, uint64_t index, struct fs_restorer **out)
{
    const struct entry *entry = arg;
    const struct fs_restore_memory_config config = {
        .target = &entry->mount->target,
        .memory = &entry->mount->discovery.memories[entry->index],
        .n_inflight = (unsigned)entry->mount->options->restore_inflight,
    };
    (void)index;
    return fs_restore_memory_open(out, &config);
}

static uint64_t memory_version(void *arg, uint64_t index, uint64_t serial)
{
    const struct entry *entry = arg;
    (void)index;
    return fs_stable_number(entry->mount->files[entry->index].stable, serial);
}

static int add_memory(struct fs_restorables *restorables, struct fs_mount *mount, size_t i)
{
    struct entry *entry = &restorables->entries[restorables->n];
    if (mount->discovery.memories[i].write.style == FS_WRITE_NONE)
        return 0;
    *entry = (struct entry){
        .restorable = {.open = memory_open, .version = memory_version, .arg = entry},
        .mount = mount,
        .index = i,
    };
    restorables->n++;
    return fs_tree_set_restorable(mount->tree, mount->files[i].path, &entry->restorable);
}

/* --- collections --- */

static int items_open(void *arg, uint64_t index, struct fs_restorer **out)
{
    const struct entry *entry = arg;
    (void)index;
    return fs_restore_items_open_file(entry->items, out);
}

static int add_collection(struct fs_restorables *restorables, struct fs_mount *mount, size_t i)
{
    struct entry *entry = &restorables->entries[restorables->n];
    const struct fs_collection *collection = &mount->discovery.collections[i];
    if (!collection->restore.method[0])
        return 0;
    *entry = (struct entry){.restorable = {.open = items_open, .arg = entry}, .mount = mount};
    int result = fs_restore_items_new(&entry->items, &mount->target, collection);
    if (result < 0)
        return result;
    restorables->n++;
    char path[sizeof("backup/") + sizeof(collection->name)];
    snprintf(path, sizeof(path), "backup/%s", collection->name);
    return fs_tree_set_restorable(mount->tree, path, &entry->restorable);
}

/* --- backup/candid.did --- */

static int interface_open(void *arg, uint64_t index, struct fs_restorer **out)
{
    const struct entry *entry = arg;
    const struct fs_discovery *discovery = &entry->mount->discovery;
    (void)index;
    return fs_restore_text_open(out, discovery->did_text, discovery->did_text_len);
}

/* Only beside a collection that can be restored. */
static int add_interface(struct fs_restorables *restorables, struct fs_mount *mount)
{
    struct entry *entry = &restorables->entries[restorables->n];
    bool has_collection = restorables->n > 0 && restorables->entries[restorables->n - 1].items;
    if (!mount->discovery.did_text || !has_collection)
        return 0;
    *entry = (struct entry){.restorable = {.open = interface_open, .arg = entry}, .mount = mount};
    restorables->n++;
    return fs_tree_set_restorable(mount->tree, "backup/candid.did", &entry->restorable);
}

int fs_restorables_open(struct fs_restorables **out, struct fs_mount *mount)
{
    const struct fs_discovery *discovery = &mount->discovery;
    size_t n = discovery->n_memories + discovery->n_collections + 1;
    struct fs_restorables *restorables =
        calloc(1, sizeof(*restorables) + n * sizeof(restorables->entries[0]));
    if (!restorables)
        return -ENOMEM;
    int result = 0;
    for (size_t i = 0; result == 0 && i < discovery->n_memories; i++)
        result = add_memory(restorables, mount, i);
    for (size_t i = 0; result == 0 && i < discovery->n_collections; i++)
        result = add_collection(restorables, mount, i);
    if (result == 0)
        result = add_interface(restorables, mount);
    if (result < 0)
        fs_restorables_close(restorables);
    else
        *out = restorables;
    return result;
}

void fs_restorables_close(struct fs_restorables *restorables)
{
    if (!restorables)
        return;
    for (size_t i = 0; i < restorables->n; i++)
        fs_restore_items_free(restorables->entries[i].items);
    free(restorables);
}
