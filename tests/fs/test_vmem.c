/* Virtual memories over a memory that a test sets: headers of every kind, and what reads, hints and
 * listings make of them. Offsets are those of the layout's documentation, written out. */
#include "cache/cache.h"
#include "fs/vmem.h"
#include "fs/vmem_layout.h"
#include "tests/tap.h"

#include <errno.h>
#include <stdlib.h>

TAP_STATE;

#define PAGE 65536

static const struct source_io io = {.deadline_ns = INT64_MAX};

/* --- a memory --- */

static void set_number(uint8_t *at, uint64_t number, int n_bytes)
{
    for (int i = 0; i < n_bytes; i++)
        at[i] = (uint8_t)(number >> 8 * i);
}

struct memory {
    struct source source; /* first */
    uint8_t header[PAGE];
    uint64_t size;
    uint64_t version;
    bool is_live;
    int stat_result;
    int read_result;
    uint64_t moves_after_stat; /* so many times the version moves right after it was told */
    _Atomic unsigned n_reads;
    _Atomic unsigned n_header_reads;
};

/* Every page of buckets has its own bytes. */
static uint8_t byte_at(uint64_t off)
{
    return (uint8_t)(off / PAGE * 37 + off % 251);
}

static int memory_stat(struct source *source, const struct source_io *unused,
                       struct source_stat *out)
{
    struct memory *memory = (struct memory *)source;
    (void)unused;
    if (memory->stat_result < 0)
        return memory->stat_result;
    memory->version += memory->is_live;
    *out = (struct source_stat){
        .size = memory->size,
        .version = memory->version,
        .mtime_ns = 77,
        .max_io = (size_t)4 * PAGE,
        .preferred_io = PAGE,
        .versioned = !memory->is_live,
    };
    if (memory->moves_after_stat > 0) {
        memory->moves_after_stat--;
        memory->version++;
    }
    return 0;
}

static int memory_readv(struct source *source, uint64_t version, uint64_t off,
                        const struct iovec *iov, int n_iov, const struct source_io *unused)
{
    struct memory *memory = (struct memory *)source;
    (void)unused;
    memory->n_reads++;
    memory->n_header_reads += off == 0;
    if (memory->read_result < 0)
        return memory->read_result;
    if (version != memory->version && !memory->is_live)
        return -ESTALE;
    for (int i = 0; i < n_iov; i++)
        for (size_t j = 0; j < iov[i].iov_len; j++, off++)
            ((uint8_t *)iov[i].iov_base)[j] = off < PAGE ? memory->header[off] : byte_at(off);
    return 0;
}

static void memory_close(struct source *source)
{
    (void)source;
}

static const struct source_ops memory_ops = {
    .stat = memory_stat,
    .readv = memory_readv,
    .close = memory_close,
};

/* Memory 0 has the buckets 0, 1 and 4 and is 9 pages, memory 254 the bucket 2 and a page; bucket 3
 * is allocated and nobody's, as if it had been given back. Buckets are 4 pages. */
static void fill_header(uint8_t *header)
{
    memset(header, 0, PAGE);
    memcpy(header, "MGR\x01", 4);
    set_number(header + 4, 5, 2);
    set_number(header + 6, 4, 2);
    set_number(header + 40, 9, 8);
    set_number(header + 40 + 254 * 8, 1, 8);
    memset(header + 2080, 255, 32768);
    memcpy(header + 2080, "\x00\x00\xfe\xff\x00", 5);
}

#define SIZE ((uint64_t)(1 + 5 * 4) * PAGE)

static void open_memory(struct memory *memory)
{
    memset(memory, 0, sizeof(*memory));
    source_init(&memory->source, &memory_ops);
    fill_header(memory->header);
    memory->size = SIZE;
    memory->version = 1;
}

/* Where page n of memory 0 begins. */
static uint64_t page_of_0(uint64_t n)
{
    static const uint64_t buckets[] = {0, 1, 4};
    return PAGE * (1 + 4 * buckets[n / 4] + n % 4);
}

static uint8_t byte_of_0(uint64_t off)
{
    return byte_at(page_of_0(off / PAGE) + off % PAGE);
}

/* --- headers --- */

static void test_layout(void)
{
    uint8_t header[PAGE];
    char why[192] = "";
    struct fs_vmem_layout *layout = NULL;
    fill_header(header);
    TAP_INT(fs_vmem_layout_parse(header, SIZE, &layout, why, sizeof(why)), 0, "a header is read");
    TAP_INT((int64_t)layout->bucket_size, 4 * PAGE, "the size of buckets");
    TAP_OK(layout->sizes[0] == 9 * PAGE && layout->sizes[254] == PAGE && layout->sizes[7] == 0,
           "the sizes of memories");
    struct fs_vmem_piece piece = fs_vmem_layout_find(layout, 0, 5, 9 * PAGE - 5);
    TAP_OK(piece.off == PAGE + 5 && piece.len == 8 * PAGE - 5, "neighbours are one piece");
    piece = fs_vmem_layout_find(layout, 0, 8 * PAGE, PAGE);
    TAP_OK(piece.off == 17 * PAGE && piece.len == PAGE, "a bucket elsewhere is another");
    piece = fs_vmem_layout_find(layout, 0, 8 * PAGE - 1, 1);
    TAP_OK(piece.off == 9 * PAGE - 1 && piece.len == 1, "one byte");
    piece = fs_vmem_layout_find(layout, 254, 10, 20);
    TAP_OK(piece.off == 9 * PAGE + 10 && piece.len == 20, "within a bucket");
    free(layout);

    /* The largest that there can be: all buckets one memory's. */
    set_number(header + 4, 32768, 2);
    set_number(header + 6, 65535, 2);
    memset(header + 2080, 3, 32768);
    memset(header + 40, 0, 255 * 8);
    set_number(header + 40 + 3 * 8, UINT64_C(32768) * 65535, 8);
    uint64_t end = PAGE + UINT64_C(32768) * 65535 * PAGE;
    TAP_INT(fs_vmem_layout_parse(header, end, &layout, why, sizeof(why)), 0, "the largest");
    piece = fs_vmem_layout_find(layout, 3, end - PAGE - 1, 1);
    TAP_OK(piece.off == end - 1 && piece.len == 1, "its last byte");
    piece = fs_vmem_layout_find(layout, 3, 0, end - PAGE);
    TAP_OK(piece.off == PAGE && piece.len == end - PAGE, "all of it");
    free(layout);
    TAP_INT(fs_vmem_layout_parse(header, end - 1, &layout, why, sizeof(why)), -EPROTO,
            "a byte too few");

    /* As init leaves it. */
    fill_header(header);
    set_number(header + 4, 0, 2);
    memset(header + 40, 0, 255 * 8);
    memset(header + 2080, 255, 32768);
    TAP_INT(fs_vmem_layout_parse(header, PAGE, &layout, why, sizeof(why)), 0, "an empty one");
    free(layout);
}

/* A number of a header that is not what it was. */
struct change {
    size_t at;
    uint64_t number;
    int n_bytes;
};

static void test_bad_headers(void)
{
    static const struct {
        const char *what, *words;
        struct change changes[5]; /* until one without bytes */
    } cases[] = {
        {"another version", "version 2", {{3, 2, 1}}},
        {"buckets of no size", "no size", {{6, 0, 2}}},
        {"too many buckets", "32769 buckets", {{4, 32769, 2}}},
        {"a bucket that is not allocated", "bucket 4 belongs to memory 0", {{4, 4, 2}}},
        {"too large", "memory 0 has 13 pages, but its 3 buckets have room for 12", {{40, 13, 8}}},
        {"much too large", "18446744073709551615 pages", {{40, UINT64_MAX, 8}}},
        {"so that bytes overflow", "281474976710656 pages", {{40, UINT64_C(1) << 48, 8}}},
        {"pages without a bucket", "memory 5 has 1 pages, but its 0 buckets", {{40 + 5 * 8, 1, 8}}},
        {"a bucket beyond the end",
         "memory 254 ends at byte",
         {{40, 12, 8}, {4, 6, 2}, {2080 + 5, 254, 1}, {40 + 254 * 8, 5, 8}}},
    };
    uint8_t header[PAGE];
    char why[192];
    struct fs_vmem_layout *layout;
    fill_header(header);
    header[2] = 'r';
    TAP_INT(fs_vmem_layout_parse(header, SIZE, &layout, why, sizeof(why)), -ENOENT,
            "no memory manager");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fill_header(header);
        for (const struct change *change = cases[i].changes; change->n_bytes > 0; change++)
            set_number(header + change->at, change->number, change->n_bytes);
        TAP_INT(fs_vmem_layout_parse(header, SIZE, &layout, why, sizeof(why)), -EPROTO,
                cases[i].what);
        if (!TAP_OK(strstr(why, cases[i].words), "in words"))
            printf("# %s\n", why);
    }
}

/* --- files --- */

struct world {
    struct memory memory;
    struct fs_log *log;
    struct fs_vmem *vmem;
};

static void open_world(struct world *w)
{
    open_memory(&w->memory);
    TAP_INT(fs_log_open(&w->log, FS_LOG_ERROR), 0, "a log");
    TAP_INT(fs_vmem_open(&w->vmem, &w->memory.source, w->log, "a test"), 0, "a world");
}

static void close_world(struct world *w)
{
    fs_vmem_close(w->vmem);
    fs_log_close(w->log);
}

static struct source *open_file(struct world *w, uint64_t id)
{
    struct source *source = NULL;
    TAP_INT(fs_vmem_listing.open(w->vmem, id, &source), 0, "a file is opened");
    return source;
}

static bool is_right(const uint8_t *bytes, uint64_t off, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (bytes[i] != byte_of_0(off + i))
            return false;
    return true;
}

static void test_reading(void)
{
    static uint8_t bytes[9 * PAGE];
    struct world w;
    open_world(&w);
    struct source *file = open_file(&w, 0);
    struct source_stat stat;
    TAP_INT(source_stat(file, &io, &stat), 0, "it is there");
    TAP_OK(stat.size == 9 * PAGE && stat.version == 1 && stat.mtime_ns == 77 && stat.versioned &&
               stat.max_io == 4 * PAGE,
           "with its size, and what the memory says");
    TAP_INT(source_read(file, 1, 0, bytes, sizeof(bytes), &io), 0, "all of it is read");
    TAP_OK(is_right(bytes, 0, sizeof(bytes)), "the right bytes");
    TAP_INT(w.memory.n_header_reads, 1, "the header is read once");
    TAP_INT(w.memory.n_reads, 3, "neighbours in one read");

    /* Through many small buffers, whose borders are not those of buckets. */
    struct iovec iov[500];
    size_t len = 0;
    for (int i = 0; i < 500; i++) {
        iov[i] = (struct iovec){bytes + len, (size_t)(1 + i % 7)};
        len += iov[i].iov_len;
    }
    memset(bytes, 0, len);
    uint64_t off = 8 * PAGE - 700;
    TAP_INT(source_readv(file, 1, off, iov, 500, &io), 0, "into many buffers");
    TAP_OK(is_right(bytes, off, len) && bytes[len] == byte_of_0(len), "each its bytes");

    TAP_INT(source_read(file, 1, 9 * PAGE - 1, bytes, 2, &io), -ESTALE, "beyond its end");
    w.memory.read_result = -ETIMEDOUT;
    TAP_INT(source_read(file, 1, 0, bytes, 1, &io), -ETIMEDOUT, "an error is passed on");
    w.memory.read_result = -EINVAL;
    TAP_INT(source_read(file, 1, 0, bytes, 1, &io), -ESTALE, "a smaller memory is another one");
    w.memory.read_result = 0;
    w.memory.version = 2;
    TAP_INT(source_read(file, 1, 0, bytes, 1, &io), -ESTALE, "the memory moved on");
    TAP_INT(source_stat(file, &io, &stat), 0, "asked again");
    TAP_OK(stat.version == 2 && w.memory.n_header_reads == 2, "with a header of that version");
    source_close(file);
    file = open_file(&w, 7);
    TAP_INT(source_stat(file, &io, &stat), -ENOENT, "an empty memory is no file");
    source_close(file);
    close_world(&w);
}

static void test_moving(void)
{
    struct world w;
    open_world(&w);
    struct source *file = open_file(&w, 0);
    struct source_stat stat;
    w.memory.moves_after_stat = 2;
    TAP_INT(source_stat(file, &io, &stat), 0, "a version that is gone is asked for again");
    TAP_INT((int64_t)stat.version, 3, "until it stays");
    w.memory.version = 10;
    w.memory.moves_after_stat = 1000;
    TAP_INT(source_stat(file, &io, &stat), -ESTALE, "not for ever");
    source_close(file);
    close_world(&w);
}

static void test_live(void)
{
    static uint8_t bytes[PAGE];
    struct world w;
    open_world(&w);
    w.memory.is_live = true;
    struct source *file = open_file(&w, 0);
    struct source_stat first;
    TAP_INT(source_stat(file, &io, &first), 0, "live memory");
    for (int i = 0; i < 100; i++) {
        struct source_stat stat;
        (void)!source_stat(file, &io, &stat);
    }
    TAP_INT(source_read(file, first.version, 8 * PAGE, bytes, PAGE, &io), 0,
            "read by a header that is not kept any more");
    TAP_OK(is_right(bytes, 8 * PAGE, PAGE), "the right bytes");
    w.memory.header[0] = 'X';
    for (int i = 0; i < 20; i++) {
        struct source_stat stat;
        (void)!source_stat(file, &io, &stat);
    }
    struct source_stat stat;
    TAP_INT(source_stat(file, &io, &stat), -ENOENT, "there is none any more");
    source_close(file);
    close_world(&w);
}

/* The same through the block cache, with hints. */
static void test_cached(void)
{
    static uint8_t bytes[9 * PAGE];
    struct memory memory;
    open_memory(&memory);
    const struct cache_config config = {.n_workers = 4};
    struct cache *cache = NULL;
    struct source *cached = NULL;
    struct fs_log *log = NULL;
    struct fs_vmem *vmem = NULL;
    TAP_INT(cache_open(&cache, &config), 0, "a cache");
    TAP_INT(cached_open(&cached, cache, &memory.source), 0, "a cached memory");
    TAP_INT(fs_log_open(&log, FS_LOG_ERROR), 0, "a log");
    TAP_INT(fs_vmem_open(&vmem, cached, log, "a test"), 0, "its virtual memories");
    struct source *file = NULL;
    TAP_INT(fs_vmem_listing.open(vmem, 0, &file), 0, "a file");
    struct source_stat stat;
    TAP_OK(!source_has(file, 1, 0), "nothing is kept");
    source_prefetch(file, 1, 0, PAGE, PAGE);
    TAP_INT(memory.n_reads, 0, "no hint without a header");
    TAP_INT(source_stat(file, &io, &stat), 0, "it is there");
    source_prefetch(file, 1, 8 * PAGE, INT64_MAX - 8 * PAGE, PAGE);
    TAP_OK(source_has(file, 1, 8 * PAGE), "a hint is of the right bytes");
    TAP_OK(source_has(cached, 1, page_of_0(8)) && !source_has(cached, 1, page_of_0(8) + PAGE),
           "and of no others");
    TAP_OK(!source_has(file, 1, 9 * PAGE), "beyond the end there is nothing");
    TAP_INT(source_read(file, 1, 0, bytes, sizeof(bytes), &io), 0, "all of it is read");
    TAP_OK(is_right(bytes, 0, sizeof(bytes)), "the right bytes");
    unsigned n_reads = memory.n_reads;
    TAP_INT(source_read(cached, 1, page_of_0(0), bytes, 4 * PAGE, &io), 0, "the memory itself");
    TAP_INT(memory.n_reads, n_reads, "has them already");
    TAP_INT((int64_t)source_max_io(file), 4 * PAGE, "a call carries what it does for the memory");
    source_close(file);
    cache_stop(cache);
    source_close(cached);
    fs_vmem_close(vmem);
    cache_close(cache);
    fs_log_close(log);
}

/* --- the directory --- */

static enum fs_vmem_verdict verdict_of(struct world *w)
{
    struct fs_vmem_info info;
    fs_vmem_describe(w->vmem, &info);
    return info.verdict;
}

static void expect_names(struct world *w, const char *names)
{
    char all[FS_VMEM_N_MEMORIES * 4 + 1] = "";
    uint64_t n = 0;
    TAP_INT(fs_vmem_listing.count(w->vmem, &io, &n), 0, "the directory is listed");
    for (uint64_t i = 0; i < n; i++) {
        char name[FS_NAME_SIZE];
        fs_vmem_listing.name(w->vmem, i, name);
        if (fs_vmem_listing.has(w->vmem, i))
            strcat(all, name);
    }
    if (!TAP_OK(strcmp(all, names) == 0, "its names"))
        printf("# got %s\n", all);
}

static void test_directory(void)
{
    struct world w;
    open_world(&w);
    TAP_INT(verdict_of(&w), FS_VMEM_UNKNOWN, "nobody looked");
    TAP_INT(w.memory.n_reads, 0, "and nothing was read");
    w.memory.stat_result = -EHOSTUNREACH;
    TAP_INT(fs_vmem_listing.exists(w.vmem, &io), -EHOSTUNREACH, "it cannot be told");
    w.memory.stat_result = 0;
    w.memory.read_result = -EPROTO;
    TAP_INT(fs_vmem_listing.exists(w.vmem, &io), -EPROTO, "nor without a read");
    TAP_INT(verdict_of(&w), FS_VMEM_UNKNOWN, "that is not the header's fault");
    w.memory.read_result = 0;
    w.memory.size = 0;
    TAP_INT(fs_vmem_listing.exists(w.vmem, &io), -ENOENT, "an empty memory has none");
    TAP_INT(verdict_of(&w), FS_VMEM_UNKNOWN, "yet");
    w.memory.size = SIZE;
    TAP_INT(fs_vmem_listing.exists(w.vmem, &io), 0, "now there are some");
    w.memory.stat_result = -EIO;
    TAP_INT(fs_vmem_listing.exists(w.vmem, &io), 0, "for good");
    uint64_t n = 5;
    TAP_INT(fs_vmem_listing.count(w.vmem, &io, &n), -EIO, "a failure is no empty directory");
    w.memory.stat_result = 0;
    expect_names(&w, "000254");
    set_number(w.memory.header + 40 + 254 * 8, 0, 8);
    w.memory.version++;
    expect_names(&w, "000");
    w.memory.header[3] = 9;
    w.memory.version++;
    TAP_INT(fs_vmem_listing.count(w.vmem, &io, &n), -EPROTO, "a header that is not understood");
    struct fs_vmem_info info;
    fs_vmem_describe(w.vmem, &info);
    TAP_OK(info.verdict == FS_VMEM_SHOWN && strstr(info.why, "version 9"), "is told of");
    w.memory.header[0] = 'X';
    w.memory.version++;
    expect_names(&w, "");

    uint64_t index;
    TAP_OK(fs_vmem_listing.find(w.vmem, "254", &index) == 0 && index == 254, "a name is found");
    static const char *const others[] = {"", "0", "00", "255", "999", "0000", " 01", "+01", "0x1"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        TAP_INT(fs_vmem_listing.find(w.vmem, others[i], &index), -ENOENT, "no other");
    close_world(&w);
}

static void test_no_directory(void)
{
    struct world w;
    open_world(&w);
    w.memory.header[0] = 'X';
    TAP_INT(fs_vmem_listing.exists(w.vmem, &io), -ENOENT, "something else");
    TAP_INT(verdict_of(&w), FS_VMEM_NONE, "is remembered");
    w.memory.stat_result = -EIO;
    TAP_INT(fs_vmem_listing.exists(w.vmem, &io), -ENOENT, "and not looked at again");
    w.memory.stat_result = 0;
    w.memory.header[0] = 'M';
    TAP_INT(fs_vmem_listing.exists(w.vmem, &io), -ENOENT, "whatever it holds");
    fs_vmem_outdate(w.vmem);
    TAP_INT(fs_vmem_listing.exists(w.vmem, &io), 0, "before it was changed as a whole");
    fs_vmem_outdate(w.vmem);
    TAP_INT(verdict_of(&w), FS_VMEM_SHOWN, "what is shown stays");
    close_world(&w);

    open_world(&w);
    w.memory.header[3] = 2;
    TAP_INT(fs_vmem_listing.exists(w.vmem, &io), -ENOENT, "a version that is not known");
    TAP_INT(verdict_of(&w), FS_VMEM_UNFIT, "is not shown");
    close_world(&w);

    open_world(&w);
    w.memory.size = FS_VMEM_HEADER_SIZE - 1;
    TAP_INT(fs_vmem_listing.exists(w.vmem, &io), -ENOENT, "too short for a header");
    TAP_INT(w.memory.n_reads, 0, "is not read");
    TAP_INT(verdict_of(&w), FS_VMEM_NONE, "and has none");
    close_world(&w);
}

/* What the tree makes of a directory that may not exist, and of names that are not there now. */
static void test_tree(void)
{
    struct world w;
    const struct fs_tree_config config = {0};
    struct fs_tree *tree = NULL;
    struct fuse_entry_param e;
    struct fs_dirent dirent;
    open_world(&w);
    TAP_INT(fs_tree_new(&tree, &config), 0, "a tree");
    TAP_INT(fs_tree_add_listing(tree, NULL, "vmem", &fs_vmem_listing, w.vmem), 0, "its directory");
    w.memory.size = 0;
    TAP_INT(fs_tree_lookup(tree, 1, "vmem", 1, &io, &e), -ENOENT, "it does not exist");
    w.memory.stat_result = -ETIMEDOUT;
    TAP_INT(fs_tree_lookup(tree, 1, "vmem", 1, &io, &e), -ETIMEDOUT, "it may exist");
    w.memory.stat_result = 0;
    w.memory.size = SIZE;
    TAP_INT(fs_tree_lookup(tree, 1, "vmem", 1, &io, &e), 0, "it exists");
    TAP_OK(S_ISDIR(e.attr.st_mode), "a directory");
    TAP_OK(fs_tree_readdir(tree, 1, 0, 2, &io, &dirent) == 1 && dirent.skip, "it is not listed");
    TAP_OK(fs_tree_readdir(tree, e.ino, 0, 0, &io, &dirent) == 1 && !dirent.skip, "but itself is");
    uint64_t n = 0;
    TAP_INT(fs_tree_opendir(tree, e.ino, &io, &n), 0, "that is listed");
    unsigned n_names = 0;
    for (uint64_t i = 2; fs_tree_readdir(tree, e.ino, n, i, &io, &dirent) == 1; i++)
        n_names += !dirent.skip;
    TAP_INT(n_names, 2, "with the names that there are");
    struct fuse_entry_param file;
    TAP_INT(fs_tree_lookup(tree, e.ino, "254", 1, &io, &file), 0, "a file");
    TAP_INT(file.attr.st_size, PAGE, "of its size");
    TAP_INT(fs_tree_lookup(tree, e.ino, "001", 1, &io, &file), -ENOENT, "and no other");
    fs_tree_free(tree);
    close_world(&w);
}

int main(void)
{
    test_layout();
    test_bad_headers();
    test_reading();
    test_moving();
    test_live();
    test_cached();
    test_directory();
    test_no_directory();
    test_tree();
    return tap_done();
}
