/* Directories that are to be uploaded: what is wrong with them, and the pieces they are sent in. */
#include "fs/snapshot_plan.h"
#include "tests/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TAP_STATE;

#define CHECK(cond) TAP_OK((cond), #cond)
#define HELLO       "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
#define CHUNK       "wasm_chunk_store/" HELLO ".bin"

/* The same hash, as metadata.json has it. */
#define HELLO_BYTES                                                                                \
    "44, 242, 77, 186, 95, 176, 163, 14, 38, 232, 59, 42, 197, 185, 226, 158, 27, 22, 30, 92, "    \
    "31, 167, 66, 94, 115, 4, 51, 98, 147, 139, 152, 36"

static const char module[] = "\0asm\1\0\0"; /* 8 bytes */
static struct fs_log *fs_log;
static int dir;

static void put(const char *name, const void *bytes, size_t len)
{
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, bytes, len) != (ssize_t)len || close(fd) < 0) {
        printf("Bail out! %s\n", name);
        exit(1);
    }
}

static void put_metadata(uint64_t stable, const char *chunks, size_t padding)
{
    char *text = malloc(2000 + padding);
    int len = snprintf(text, 2000,
                       "{\"source\": {\"taken_from_canister\": null}, \"taken_at_timestamp\": 1, "
                       "\"wasm_module_size\": 8, \"globals\": [], \"wasm_memory_size\": 0, "
                       "\"stable_memory_size\": %" PRIu64 ", \"wasm_chunk_store\": [%s], "
                       "\"canister_version\": 1, \"certified_data\": [], \"global_timer\": null, "
                       "\"on_low_wasm_memory_hook_status\": null}",
                       stable, chunks);
    if (padding > 0) {
        memset(text + len, ' ', padding - (size_t)len);
        len = (int)padding;
    }
    put("metadata.json", text, (size_t)len);
    free(text);
}

/* A snapshot of three slices of stable memory, of which the second is a hole, and a chunk. */
#define STABLE (UINT64_C(65536) * 64)

static void put_all(void)
{
    (void)mkdirat(dir, "wasm_chunk_store", 0700);
    put(CHUNK, "hello", 5);
    put("wasm_module.bin", module, 8);
    int fd = openat(dir, "stable_memory.bin", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(ftruncate(fd, STABLE) == 0 && pwrite(fd, "a", 1, 0) == 1);
    CHECK(pwrite(fd, "z", 1, STABLE - 1) == 1 && close(fd) == 0);
    put_metadata(STABLE, "{\"hash\": [" HELLO_BYTES "]}", 0);
}

static int look(struct fs_snapshot_plan *plan, struct ic_error *err)
{
    *err = (struct ic_error){0};
    return fs_snapshot_plan_open(plan, dir, "name", fs_log, err);
}

static void test_pieces(void)
{
    static uint8_t buf[IC_SNAPSHOT_SLICE_MAX];
    struct fs_snapshot_plan plan;
    struct ic_error err;
    uint64_t number = 0;
    put_all();
    if (!CHECK(look(&plan, &err) == 0)) {
        printf("Bail out! %s\n", err.message);
        exit(1);
    }
    /* the module, three slices of stable memory, the chunk */
    CHECK(plan.n_files == 4 && plan.n_pieces == 5);
    struct fs_snapshot_piece piece = fs_snapshot_plan_piece(&plan, 0);
    CHECK(piece.file == IC_SNAPSHOT_WASM_MODULE && piece.off == 0 && piece.len == 8);
    CHECK(fs_snapshot_plan_read(&plan, &piece, 0, buf, piece.len, &err) == 0 &&
          memcmp(buf, module, 8) == 0);
    piece = fs_snapshot_plan_piece(&plan, 1);
    CHECK(piece.file == IC_SNAPSHOT_STABLE_MEMORY && piece.off == 0);
    CHECK(piece.len == IC_SNAPSHOT_SLICE_MAX);
    piece = fs_snapshot_plan_piece(&plan, 3);
    CHECK(piece.file == IC_SNAPSHOT_STABLE_MEMORY && piece.off == 2 * IC_SNAPSHOT_SLICE_MAX);
    CHECK(piece.len == STABLE - 2 * IC_SNAPSHOT_SLICE_MAX);
    CHECK(fs_snapshot_plan_read(&plan, &piece, 0, buf, piece.len, &err) == 0 &&
          buf[piece.len - 1] == 'z');
    piece = fs_snapshot_plan_piece(&plan, 4);
    CHECK(piece.file == FS_SNAPSHOT_N_BLOBS && piece.off == 0 && piece.len == 5);
    CHECK(fs_snapshot_plan_read(&plan, &piece, 0, buf, piece.len, &err) == 0 &&
          memcmp(buf, "hello", 5) == 0);
    CHECK(fs_snapshot_plan_next(&plan, 1, &number) && number == 1);
    CHECK(fs_snapshot_plan_next(&plan, 2, &number) && number == 3);
    CHECK(fs_snapshot_plan_next(&plan, 4, &number) && number == 4);
    CHECK(!fs_snapshot_plan_next(&plan, 5, &number));
    CHECK(!fs_snapshot_plan_next(&plan, UINT64_MAX, &number));
    CHECK(plan.n_bytes == 8 + IC_SNAPSHOT_SLICE_MAX + (STABLE - 2 * IC_SNAPSHOT_SLICE_MAX) + 5);

    CHECK(fs_snapshot_plan_read(&plan, &piece, 3, buf, 2, &err) == 0 && memcmp(buf, "lo", 2) == 0);
    CHECK(fs_snapshot_plan_check(&plan, &err) == 0);

    /* A file that gets shorter meanwhile is no zeros. */
    piece = fs_snapshot_plan_piece(&plan, 3);
    CHECK(truncate("stable_memory.bin", STABLE - 1) == 0);
    CHECK(fs_snapshot_plan_read(&plan, &piece, 0, buf, piece.len, &err) == -ESTALE);
    CHECK(fs_snapshot_plan_check(&plan, &err) == -EINVAL);
    TAP_STR(err.message, "its files changed while they were uploaded", "which is said");
    fs_snapshot_plan_close(&plan);
    fs_snapshot_plan_close(&plan);
}

/* It says when something else would be uploaded. */
static void test_content(void)
{
    struct fs_snapshot_plan plan;
    struct ic_error err;
    uint8_t before[IC_SHA256_LEN];
    put_all();
    CHECK(look(&plan, &err) == 0);
    memcpy(before, plan.content, sizeof(before));
    fs_snapshot_plan_close(&plan);
    CHECK(look(&plan, &err) == 0 && memcmp(before, plan.content, sizeof(before)) == 0);
    fs_snapshot_plan_close(&plan);
    int fd = openat(dir, "stable_memory.bin", O_WRONLY | O_CLOEXEC);
    struct stat st;
    CHECK(fstat(fd, &st) == 0 && pwrite(fd, "b", 1, 0) == 1);
    const struct timespec times[] = {st.st_atim, st.st_mtim};
    CHECK(futimens(fd, times) == 0 && close(fd) == 0);
    CHECK(look(&plan, &err) == 0 && memcmp(before, plan.content, sizeof(before)) != 0);
    fs_snapshot_plan_close(&plan);
}

static void check_refused(int result, const char *words)
{
    struct fs_snapshot_plan plan = {0};
    struct ic_error err;
    int got = look(&plan, &err);
    TAP_INT(got, result, words);
    if (!TAP_OK(strstr(err.message, words) != NULL, "with these words"))
        printf("# %s\n", err.message);
    CHECK(plan.n_files == 0 && !plan.files);
}

static void test_refused(void)
{
    struct fs_snapshot_plan plan;
    struct ic_error err;
    put_all();
    put("wasm_module.bin", "\0asn\1\0\0", 8);
    check_refused(-EINVAL, "wasm_module.bin is no Wasm module");
    put("wasm_module.bin", "\x1f\x8b\10.....", 8);
    CHECK(look(&plan, &err) == 0);
    fs_snapshot_plan_close(&plan);
    put("wasm_module.bin", module, 7);
    check_refused(-EINVAL, "wasm_module.bin has 7 bytes, metadata.json says 8");
    CHECK(unlinkat(dir, "wasm_module.bin", 0) == 0);
    check_refused(-EINVAL, "wasm_module.bin is missing");
    CHECK(symlinkat("metadata.json", dir, "wasm_module.bin") == 0);
    check_refused(-ELOOP, "wasm_module.bin: ");
    CHECK(unlinkat(dir, "wasm_module.bin", 0) == 0 && mkfifoat(dir, "wasm_module.bin", 0600) == 0);
    check_refused(-EINVAL, "wasm_module.bin: ");
    CHECK(unlinkat(dir, "wasm_module.bin", 0) == 0);

    put_all();
    put_metadata(STABLE + 1, "", 0);
    check_refused(-EINVAL, "a memory is no number of whole pages");
    put_metadata(STABLE + 65536, "", 0);
    check_refused(-EINVAL, "stable_memory.bin has");
    put_metadata(0, "", 0);
    check_refused(-EINVAL, "metadata.json says 0");
    CHECK(unlinkat(dir, "stable_memory.bin", 0) == 0);
    CHECK(look(&plan, &err) == 0 && plan.n_pieces == 1);
    fs_snapshot_plan_close(&plan);

    put_all();
    put(CHUNK, "hullo", 5);
    check_refused(-EINVAL, "has another hash than its name says");
    CHECK(truncate(CHUNK, (off_t)IC_SNAPSHOT_CHUNK_MAX + 1) == 0);
    check_refused(-EINVAL, "is larger than a chunk can be");
    CHECK(unlinkat(dir, CHUNK, 0) == 0);
    check_refused(-EINVAL, CHUNK " is missing");

    put_all();
    put_metadata(STABLE, "", FS_SNAPSHOT_METADATA_MAX);
    CHECK(look(&plan, &err) == 0);
    fs_snapshot_plan_close(&plan);
    put_metadata(STABLE, "", FS_SNAPSHOT_METADATA_MAX + 1);
    check_refused(-EINVAL, "metadata.json");
    put("metadata.json", "", 0);
    check_refused(-EINVAL, "metadata.json");
    CHECK(unlinkat(dir, "metadata.json", 0) == 0);
    check_refused(-EINVAL, "metadata.json is missing");
}

static void find_warning(void *arg, int64_t wall_ns, enum fs_log_level level, unsigned n,
                         const char *text)
{
    bool *found = arg;
    (void)wall_ns, (void)n;
    *found = *found || (level == FS_LOG_WARNING && strstr(text, "1 names in . are no part") &&
                        strstr(text, "(notes.txt)"));
}

static void test_others(void)
{
    struct fs_snapshot_plan plan;
    struct ic_error err;
    bool is_told = false;
    put_all();
    fs_log_for_recent(fs_log, find_warning, &is_told);
    CHECK(!is_told);
    put("notes.txt", "x", 1);
    CHECK(look(&plan, &err) == 0);
    fs_snapshot_plan_close(&plan);
    fs_log_for_recent(fs_log, find_warning, &is_told);
    CHECK(is_told);
}

int main(void)
{
    static const char *const names[] = {"metadata.json", "wasm_module.bin", "stable_memory.bin",
                                        CHUNK, "notes.txt"};
    char path[] = "/tmp/test_snapshot_plan.XXXXXX";
    if (!mkdtemp(path) || chdir(path) < 0 || fs_log_open(&fs_log, FS_LOG_WARNING) < 0)
        return 1;
    dir = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    test_pieces();
    test_content();
    test_refused();
    test_others();
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        CHECK(unlink(names[i]) == 0);
    CHECK(rmdir("wasm_chunk_store") == 0 && rmdir(path) == 0);
    close(dir);
    fs_log_close(fs_log);
    return tap_done();
}
