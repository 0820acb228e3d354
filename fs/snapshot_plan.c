/* See snapshot_plan.h. */
#include "fs/snapshot_plan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK_DIR      "wasm_chunk_store"
#define PAGE_SIZE      UINT64_C(65536) /* of a Wasm memory */
#define CHUNK_NAME_LEN (sizeof(CHUNK_DIR) + (size_t)2 * IC_SHA256_LEN + sizeof(".bin"))

static const char *const blob_names[FS_SNAPSHOT_N_BLOBS] = {
    [IC_SNAPSHOT_WASM_MODULE] = "wasm_module.bin",
    [IC_SNAPSHOT_WASM_MEMORY] = "wasm_memory.bin",
    [IC_SNAPSHOT_STABLE_MEMORY] = "stable_memory.bin",
};

static void format_chunk(const uint8_t hash[IC_SHA256_LEN], char name[CHUNK_NAME_LEN])
{
    int len = snprintf(name, CHUNK_NAME_LEN, "%s/", CHUNK_DIR);
    for (size_t i = 0; i < IC_SHA256_LEN; i++)
        len += snprintf(name + len, 3, "%02x", hash[i]);
    snprintf(name + len, sizeof(".bin"), ".bin");
}

static int fail_disk(int result, const char *name, struct ic_error *err)
{
    (void)ic_fail(err, result == -ENOMEM ? IC_E_NO_MEMORY : IC_E_CONFIG, "%s: %s", name,
                  strerror(-result));
    return result;
}

/* --- files --- */

/* Returns the descriptor, -ENOENT, or another -errno. */
static int open_file(int dir_fd, const char *name, struct stat *st)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int result = fstat(fd, st) < 0 ? -errno : S_ISREG(st->st_mode) ? 0 : -EINVAL;
    if (result == 0)
        return fd;
    close(fd);
    return result;
}

static int read_at(int fd, uint64_t off, uint8_t *buf, size_t len)
{
    while (len > 0) {
        ssize_t n = pread(fd, buf, len, (off_t)off);
        if (n <= 0)
            return n < 0 ? -errno : -ESTALE;
        buf += n;
        off += (uint64_t)n;
        len -= (size_t)n;
    }
    return 0;
}

static int add_content(struct ic_sha256 *sha, const struct stat *st)
{
    /* Not the device: its number may be another one after a restart. The time of the change cannot
     * be set back, as that of the content is by cp -p, rsync -t and touch. */
    const uint64_t words[] = {(uint64_t)st->st_ino,         (uint64_t)st->st_size,
                              (uint64_t)st->st_mtim.tv_sec, (uint64_t)st->st_mtim.tv_nsec,
                              (uint64_t)st->st_ctim.tv_sec, (uint64_t)st->st_ctim.tv_nsec};
    return ic_sha256_add(sha, words, sizeof(words));
}

static int add_file(struct fs_snapshot_plan *plan, int dir_fd, const char *name, uint64_t size,
                    struct ic_sha256 *sha, struct ic_error *err)
{
    struct stat st = {0};
    int fd = open_file(dir_fd, name, &st);
    if (fd == -ENOENT && size == 0) {
        plan->files[plan->n_files++] = (struct fs_snapshot_plan_file){.fd = -1};
        return 0;
    }
    if (fd == -ENOENT)
        return ic_fail(err, IC_E_CONFIG, "%s is missing", name);
    if (fd < 0)
        return fail_disk(fd, name, err);
    plan->files[plan->n_files++] =
        (struct fs_snapshot_plan_file){fd, (uint64_t)st.st_size, 0, st.st_ctim};
    if ((uint64_t)st.st_size != size)
        return ic_fail(err, IC_E_CONFIG, "%s has %" PRIu64 " bytes, metadata.json says %" PRIu64,
                       name, (uint64_t)st.st_size, size);
    return add_content(sha, &st) < 0 ? ic_fail(err, IC_E_NO_MEMORY, "out of memory") : 0;
}

static int check_module(const struct fs_snapshot_plan *plan, struct ic_error *err)
{
    static const uint8_t magics[2][4] = {{0, 'a', 's', 'm'}, {0x1f, 0x8b, 8}};
    const struct fs_snapshot_plan_file *file = &plan->files[IC_SNAPSHOT_WASM_MODULE];
    uint8_t magic[4] = {0};
    if (file->size >= sizeof(magic)) {
        int result = read_at(file->fd, 0, magic, sizeof(magic));
        if (result < 0)
            return fail_disk(result, blob_names[IC_SNAPSHOT_WASM_MODULE], err);
    }
    if (memcmp(magic, magics[0], 4) != 0 && memcmp(magic, magics[1], 3) != 0)
        return ic_fail(err, IC_E_CONFIG, "wasm_module.bin is no Wasm module");
    return 0;
}

static int check_chunk(const struct fs_snapshot_plan_file *file, const char *name,
                       const uint8_t hash[IC_SHA256_LEN], struct ic_error *err)
{
    uint8_t is[IC_SHA256_LEN];
    uint8_t *bytes = malloc(file->size ? (size_t)file->size : 1);
    int result = bytes ? read_at(file->fd, 0, bytes, (size_t)file->size) : -ENOMEM;
    if (result == 0)
        result = ic_sha256(bytes, (size_t)file->size, is);
    free(bytes);
    if (result < 0)
        return fail_disk(result, name, err);
    return memcmp(is, hash, sizeof(is)) == 0
               ? 0
               : ic_fail(err, IC_E_CONFIG, "%s has another hash than its name says", name);
}

static int add_chunk(struct fs_snapshot_plan *plan, int dir_fd, const uint8_t hash[IC_SHA256_LEN],
                     struct ic_sha256 *sha, struct ic_error *err)
{
    char name[CHUNK_NAME_LEN];
    struct stat st = {0};
    format_chunk(hash, name);
    int fd = open_file(dir_fd, name, &st);
    if (fd == -ENOENT)
        return ic_fail(err, IC_E_CONFIG, "%s is missing", name);
    if (fd < 0)
        return fail_disk(fd, name, err);
    struct fs_snapshot_plan_file *file = &plan->files[plan->n_files++];
    *file = (struct fs_snapshot_plan_file){fd, (uint64_t)st.st_size, 0, st.st_ctim};
    if (file->size > IC_SNAPSHOT_CHUNK_MAX)
        return ic_fail(err, IC_E_CONFIG, "%s is larger than a chunk can be", name);
    if (add_content(sha, &st) < 0)
        return ic_fail(err, IC_E_NO_MEMORY, "out of memory");
    return check_chunk(file, name, hash, err);
}

static int read_metadata(struct fs_snapshot_plan *plan, int dir_fd, struct ic_sha256 *sha,
                         struct ic_error *err)
{
    struct stat st = {0};
    int fd = open_file(dir_fd, "metadata.json", &st);
    if (fd == -ENOENT)
        return ic_fail(err, IC_E_CONFIG, "metadata.json is missing");
    if (fd < 0)
        return fail_disk(fd, "metadata.json", err);
    size_t len = st.st_size <= (off_t)FS_SNAPSHOT_METADATA_MAX ? (size_t)st.st_size
                                                               : FS_SNAPSHOT_METADATA_MAX + 1;
    char *text = malloc(len ? len : 1);
    int result = text ? read_at(fd, 0, (uint8_t *)text, len) : -ENOMEM;
    close(fd);
    if (result == 0)
        result = ic_sha256_add(sha, text, len);
    result = result < 0 ? fail_disk(result, "metadata.json", err)
                        : fs_snapshot_metadata_parse(text, len, &plan->metadata, err);
    free(text);
    return result;
}

/* --- what else there is --- */

static bool is_known(const struct fs_snapshot_plan *plan, const char *name)
{
    bool result = strcmp(name, "metadata.json") == 0 || strcmp(name, CHUNK_DIR) == 0;
    for (int i = 0; i < FS_SNAPSHOT_N_BLOBS; i++)
        result = result || strcmp(name, blob_names[i]) == 0;
    for (size_t i = 0; !result && i < plan->metadata.n_chunks; i++) {
        char chunk[CHUNK_NAME_LEN];
        format_chunk(plan->metadata.chunks[i], chunk);
        result = strcmp(name, chunk + sizeof(CHUNK_DIR)) == 0;
    }
    return result;
}

static void tell_others(const struct fs_snapshot_plan *plan, int dir_fd, const char *path,
                        const char *name, struct fs_log *log)
{
    int fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return; /* there need not be one */
    }
    char first[NAME_MAX + 1] = "";
    size_t n = 0;
    for (const struct dirent *entry; (entry = readdir(dir));) {
        const char *other = entry->d_name;
        if (strcmp(other, ".") == 0 || strcmp(other, "..") == 0 || is_known(plan, other))
            continue;
        if (n++ == 0)
            snprintf(first, sizeof(first), "%s", other);
    }
    closedir(dir);
    if (n > 0)
        fs_log_print(log, FS_LOG_WARNING,
                     "snapshot upload %s: %zu names in %s are no part of a snapshot, and are not "
                     "sent (%s)",
                     name, n, path, first);
}

/* --- pieces --- */

static uint64_t n_pieces_of(const struct fs_snapshot_plan *plan, size_t i)
{
    uint64_t slice = IC_SNAPSHOT_SLICE_MAX;
    if (i >= FS_SNAPSHOT_N_BLOBS)
        return 1; /* whole, also an empty one */
    return (plan->files[i].size + slice - 1) / slice;
}

struct fs_snapshot_piece fs_snapshot_plan_piece(const struct fs_snapshot_plan *plan,
                                                uint64_t number)
{
    size_t i = 0;
    while (i + 1 < plan->n_files && plan->files[i + 1].first <= number)
        i++;
    const struct fs_snapshot_plan_file *file = &plan->files[i];
    uint64_t off = (number - file->first) * IC_SNAPSHOT_SLICE_MAX;
    uint64_t left = file->size - off;
    return (struct fs_snapshot_piece){
        i, off, left < IC_SNAPSHOT_SLICE_MAX ? (size_t)left : IC_SNAPSHOT_SLICE_MAX};
}

bool fs_snapshot_plan_next(const struct fs_snapshot_plan *plan, uint64_t from, uint64_t *ret_number)
{
    while (from < plan->n_pieces) {
        struct fs_snapshot_piece piece = fs_snapshot_plan_piece(plan, from);
        const struct fs_snapshot_plan_file *file = &plan->files[piece.file];
        off_t data = (off_t)piece.off;
        if (piece.file < FS_SNAPSHOT_N_BLOBS)
            data = lseek(file->fd, (off_t)piece.off, SEEK_DATA);
        if (data < 0 && errno != ENXIO)
            data = (off_t)piece.off; /* a file system that does not tell: all is data */
        if (data >= 0) {
            *ret_number = file->first + (uint64_t)data / IC_SNAPSHOT_SLICE_MAX;
            return true;
        }
        from = file->first + n_pieces_of(plan, piece.file);
    }
    return false;
}

static void count(struct fs_snapshot_plan *plan)
{
    for (size_t i = 0; i < plan->n_files; i++) {
        plan->files[i].first = plan->n_pieces;
        plan->n_pieces += n_pieces_of(plan, i);
    }
    uint64_t number = 0;
    for (; fs_snapshot_plan_next(plan, number, &number); number++)
        plan->n_bytes += fs_snapshot_plan_piece(plan, number).len;
}

const char *fs_snapshot_plan_name(const struct fs_snapshot_piece *piece)
{
    return piece->file < FS_SNAPSHOT_N_BLOBS ? blob_names[piece->file] : "a file of " CHUNK_DIR;
}

int fs_snapshot_plan_read(const struct fs_snapshot_plan *plan,
                          const struct fs_snapshot_piece *piece, size_t off, uint8_t *buf,
                          size_t len, struct ic_error *err)
{
    int result = read_at(plan->files[piece->file].fd, piece->off + off, buf, len);
    return result < 0 ? fail_disk(result, fs_snapshot_plan_name(piece), err) : 0;
}

int fs_snapshot_plan_check(const struct fs_snapshot_plan *plan, struct ic_error *err)
{
    for (size_t i = 0; i < plan->n_files; i++) {
        const struct fs_snapshot_plan_file *file = &plan->files[i];
        struct stat st;
        if (file->fd < 0)
            continue;
        if (fstat(file->fd, &st) < 0)
            return fail_disk(-errno, "a file that is uploaded", err);
        if ((uint64_t)st.st_size != file->size || st.st_ctim.tv_sec != file->changed.tv_sec ||
            st.st_ctim.tv_nsec != file->changed.tv_nsec)
            return ic_fail(err, IC_E_CONFIG, "its files changed while they were uploaded");
    }
    return 0;
}

/* --- all of it --- */

static int look(struct fs_snapshot_plan *plan, int dir_fd, struct ic_sha256 *sha,
                struct ic_error *err)
{
    int result = read_metadata(plan, dir_fd, sha, err);
    if (result < 0)
        return result;
    const struct ic_snapshot_metadata *m = &plan->metadata;
    const uint64_t sizes[FS_SNAPSHOT_N_BLOBS] = {
        [IC_SNAPSHOT_WASM_MODULE] = m->wasm_module_size,
        [IC_SNAPSHOT_WASM_MEMORY] = m->wasm_memory_size,
        [IC_SNAPSHOT_STABLE_MEMORY] = m->stable_memory_size,
    };
    if (m->wasm_memory_size % PAGE_SIZE != 0 || m->stable_memory_size % PAGE_SIZE != 0)
        return ic_fail(err, IC_E_CONFIG, "metadata.json: a memory is no number of whole pages");
    plan->files = calloc(FS_SNAPSHOT_N_BLOBS + m->n_chunks, sizeof(*plan->files));
    if (!plan->files)
        return ic_fail(err, IC_E_NO_MEMORY, "out of memory");
    for (size_t i = 0; result == 0 && i < FS_SNAPSHOT_N_BLOBS; i++)
        result = add_file(plan, dir_fd, blob_names[i], sizes[i], sha, err);
    if (result == 0)
        result = check_module(plan, err);
    for (size_t i = 0; result == 0 && i < m->n_chunks; i++)
        result = add_chunk(plan, dir_fd, m->chunks[i], sha, err);
    return result;
}

int fs_snapshot_plan_open(struct fs_snapshot_plan *out, int dir_fd, const char *name,
                          struct fs_log *log, struct ic_error *err)
{
    struct fs_snapshot_plan plan = {0};
    struct ic_sha256 *sha = NULL;
    int result = ic_sha256_new(&sha);
    if (result == 0)
        result = ic_sha256_begin(sha);
    if (result < 0)
        (void)ic_fail(err, IC_E_NO_MEMORY, "out of memory");
    else
        result = look(&plan, dir_fd, sha, err);
    if (result == 0 && ic_sha256_end(sha, plan.content) < 0)
        result = ic_fail(err, IC_E_NO_MEMORY, "out of memory");
    ic_sha256_free(sha);
    if (result < 0) {
        fs_snapshot_plan_close(&plan);
        return result;
    }
    count(&plan);
    tell_others(&plan, dir_fd, ".", name, log);
    tell_others(&plan, dir_fd, CHUNK_DIR, name, log);
    *out = plan;
    return 0;
}

void fs_snapshot_plan_close(struct fs_snapshot_plan *plan)
{
    for (size_t i = 0; i < plan->n_files; i++)
        if (plan->files[i].fd >= 0)
            close(plan->files[i].fd);
    free(plan->files);
    ic_snapshot_metadata_fini(&plan->metadata);
    *plan = (struct fs_snapshot_plan){0};
}
