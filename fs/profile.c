#include "fs/profile.h"

#include <assert.h>
#include <string.h>

const struct fs_profile fs_profiles[] = {
    /* Also finds what factland describes: what is missing of the convention is left out. */
    {"canisterfs", "the convention of this program: versioned, proven reads",
     "[stable_memory]\n"
     "version = stable_version\n"
     "read_at = stable_read_at\n"
     "size = stable_size\n"
     "read = stable_read\n"
     "restore = restore\n"
     "write = stable_write\n"
     "grow = stable_grow\n"
     "hashes = stable_hashes\n",
     true},
    {"factland", "stable_read and stable_size (nat32 means pages, other numbers bytes), and backup",
     "[stable_memory]\n"
     "read = stable_read\n"
     "size = stable_size\n"
     "write = stable_write\n"
     "[backup.backup]\n"
     "method = backup\n"
     "number = nat32\n",
     false},
    {"distrikt", "stable64_read and stable64_size, in pages, as the Rust CDK names them",
     "[stable_memory]\n"
     "read = stable64_read\n"
     "size = stable64_size\n"
     "unit = pages\n"
     "write = stable64_write\n"
     "grow = stable64_grow\n",
     true},
    {"metamagic", "backup_stable_storage, with a header that tells the size",
     "[stable_memory]\n"
     "read = backup_stable_storage\n"
     "header = stable_storage_info\n"
     "init = init_stable_storage\n"
     "write = restore_stable_storage\n"
     "finish = set_restore_from_stable_storage\n",
     true},
    {"dscvr", "as metamagic, and the collections content, users, portals, limits, nfts, backup",
     "[stable_memory]\n"
     "read = backup_stable_storage\n"
     "header = stable_storage_info\n"
     "init = init_stable_storage\n"
     "write = restore_stable_storage\n"
     "finish = set_restore_from_stable_storage\n"
     "[backup.content]\n"
     "method = backup_content_chunks\n"
     "restore = restore_content\n"
     "wrap = content=chunk polls=chunk_polls\n"
     "[backup.users]\n"
     "method = backup_users_chunk\n"
     "restore = restore_users\n"
     "wrap = users=chunk\n"
     "[backup.portals]\n"
     "method = backup_portals_chunk\n"
     "[backup.limits]\n"
     "method = backup_limits\n"
     "style = whole\n"
     "[backup.nfts]\n"
     "method = backup_nfts\n"
     "style = whole\n"
     "split = yes\n"
     "[backup.backup]\n"
     "method = backup\n"
     "style = whole\n",
     true},
    {"canister-tools", "controller_stable_memory_read, one file for each memory id",
     "[stable_memory]\n"
     "id = all\n"
     "read = controller_stable_memory_read\n"
     "size = controller_stable_memory_size\n"
     "unit = pages\n"
     "write = controller_stable_memory_write\n"
     "grow = controller_stable_memory_grow\n",
     true},
    {"taggr", "stable_mem_read, in pages of 1 MiB, up to the first empty one",
     "[stable_memory]\n"
     "read = stable_mem_read\n"
     "style = page\n"
     "prepare = backup\n"
     "write = stable_mem_write\n",
     true},
    {"hotornot", "download_snapshot, without a size",
     "[stable_memory]\n"
     "read = download_snapshot\n"
     "prepare = save_snapshot_json\n"
     "write = receive_and_save_snaphot\n",
     true},
    {"icml", "db_download from an offset, up to the first empty reply",
     "[stable_memory]\n"
     "read = db_download\n"
     "style = from\n"
     "write = db_upload\n",
     true},
    {"power-equalizer", "backupChunk and getChunkCount, no memory",
     "[backup.chunks]\n"
     "method = backupChunk\n"
     "style = index\n"
     "number = nat\n"
     "count = getChunkCount\n",
     true},
    {NULL, NULL, NULL, false},
};

const struct fs_profile *fs_profile_find(const char *name)
{
    for (const struct fs_profile *profile = fs_profiles; profile->name; profile++)
        if (strcmp(profile->name, name) == 0)
            return profile;
    return NULL;
}

void fs_profile_map(const struct fs_profile *profile, struct fs_map *out)
{
    char message[200];
    int result = fs_map_parse(out, profile->map, strlen(profile->map), message, sizeof(message));
    assert(result == 0); /* our own text; a test parses each */
    (void)result;
}
