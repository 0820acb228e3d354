/* The handlers, one request after the other: what the kernel would be told. */
#include "fs/reply.h"
#include "tests/fs/kernel.h"
#include "tests/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

TAP_STATE;

static bool is_content(const struct reply *reply, size_t len, uint64_t off)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)reply->body[i] != scripted_byte(3, off + i))
            return false;
    return true;
}

static void test_reading(struct kernel *k, struct reply *reply)
{
    uint64_t node = kernel_lookup(k, KERNEL_FILE, reply);
    TAP_OK(node > 1, "the file is looked up");
    uint64_t fh = kernel_open(k, node, O_RDONLY, reply);
    TAP_INT(reply->header.error, 0, "and opened");
    const struct fuse_open_out *open_out = (const void *)reply->body;
    TAP_INT(open_out->open_flags & (FOPEN_KEEP_CACHE | FOPEN_DIRECT_IO), FOPEN_KEEP_CACHE,
            "the kernel keeps its pages of this version");
    static const struct {
        uint64_t off;
        uint32_t size;
        size_t want;
        const char *what;
    } rows[] = {
        {0, 4096, 4096, "the beginning"},
        {65535, 131072, 131072, "across blocks"},
        {KERNEL_FILE_SIZE - 3, 4096, 3, "the last three bytes, and no more"},
        {KERNEL_FILE_SIZE, 4096, 0, "the end of the file is the end"},
        {KERNEL_FILE_SIZE + 4096, 10, 0, "and so is what lies behind"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t n = kernel_read(k, node, fh, rows[i].off, rows[i].size, reply);
        TAP_OK(reply->header.error == 0 && n == rows[i].want && is_content(reply, n, rows[i].off),
               rows[i].what);
    }
    k->file.read_result = -EBADMSG;
    TAP_INT((int64_t)kernel_read(k, node, fh, 0, 10, reply), 0, "a failed read has no bytes");
    TAP_INT(reply->header.error, -EBADMSG, "but its errno");
    k->file.read_result = -ENOSYS;
    kernel_read(k, node, fh, 0, 10, reply);
    TAP_INT(reply->header.error, -EIO, "ENOSYS never reaches the kernel");
    k->file.read_result = 0;
    k->file.waits = true;
    kernel_read(k, node, fh, 0, 10, reply);
    TAP_INT(reply->header.error, -ETIMEDOUT, "a read that gets no answer ends at its deadline");
    const struct fuse_read_in in = {.fh = fh, .size = 10};
    kernel_interrupt(k, kernel_send(k, FUSE_READ, node, &in, sizeof(in)));
    kernel_receive(k, reply);
    TAP_INT(reply->header.error, -EINTR, "an interrupted one at once, with EINTR");
    k->file.waits = false;
    kernel_release(k, node, fh, reply);
    TAP_INT(reply->header.error, 0, "released");
}

/* The offset, or the negative errno. */
static int64_t seek(struct kernel *k, uint64_t node, uint64_t fh, uint64_t off, uint32_t whence,
                    struct reply *reply)
{
    const struct fuse_lseek_in in = {.fh = fh, .offset = off, .whence = whence};
    kernel_ask(k, FUSE_LSEEK, node, &in, sizeof(in), reply);
    const struct fuse_lseek_out *out = (const void *)reply->body;
    return reply->header.error == 0 ? (int64_t)out->offset : reply->header.error;
}

static void test_seeking(struct kernel *k, struct reply *reply)
{
    static const struct {
        uint64_t off;
        int64_t data, hole;
        const char *what;
    } rows[] = {
        {0, 0, KERNEL_FILE_SIZE, "all is data"},
        {KERNEL_FILE_SIZE - 1, KERNEL_FILE_SIZE - 1, KERNEL_FILE_SIZE, "up to the last byte"},
        {KERNEL_FILE_SIZE, -ENXIO, -ENXIO, "nothing at the end"},
        {INT64_MAX, -ENXIO, -ENXIO, "nor far behind it"},
        {UINT64_MAX, -ENXIO, -ENXIO, "nor before the beginning"},
    };
    uint64_t node = kernel_lookup(k, KERNEL_FILE, reply);
    uint64_t fh = kernel_open(k, node, O_RDONLY, reply);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        TAP_INT(seek(k, node, fh, rows[i].off, SEEK_DATA, reply), rows[i].data, rows[i].what);
        TAP_INT(seek(k, node, fh, rows[i].off, SEEK_HOLE, reply), rows[i].hole, "SEEK_HOLE");
    }
    TAP_INT(seek(k, node, fh, 0, SEEK_CUR, reply), -EINVAL, "what the kernel does itself");
    kernel_release(k, node, fh, reply);
}

/* A signal ends a mount with files open: no RELEASE comes. LeakSanitizer is the judge here. */
static void test_left_open(struct kernel *k, struct reply *reply)
{
    kernel_open(k, kernel_lookup(k, KERNEL_FILE, reply), O_RDONLY, reply);
    TAP_INT(reply->header.error, 0, "a file is left open");
    kernel_open(k, kernel_lookup(k, KERNEL_TEXT_FILE, reply), O_RDONLY, reply);
    TAP_INT(reply->header.error, 0, "and a generated one");
}

static void test_versions(struct kernel *k, struct reply *reply)
{
    uint64_t old = kernel_lookup(k, KERNEL_FILE, reply);
    k->file.stat.version = 4;
    const struct timespec pause = {.tv_nsec = 300000000};
    nanosleep(&pause, NULL);
    kernel_open(k, old, O_RDONLY, reply);
    TAP_INT(reply->header.error, -ESTALE, "an inode of an older version does not open");
    uint64_t now = kernel_lookup(k, KERNEL_FILE, reply);
    TAP_OK(now != 0 && now != old, "the name leads to a new inode");
    k->file.stat.version = 3;
    nanosleep(&pause, NULL);
}

static void test_refusals(struct kernel *k, struct reply *reply)
{
    uint64_t node = kernel_lookup(k, KERNEL_FILE, reply);
    kernel_open(k, node, O_WRONLY, reply);
    TAP_INT(reply->header.error, -EROFS, "opening for writing");
    kernel_open(k, node, O_RDWR, reply);
    TAP_INT(reply->header.error, -EROFS, "for both");
    kernel_open(k, node, O_RDONLY | O_TRUNC, reply);
    TAP_INT(reply->header.error, -EROFS, "or to truncate is refused");
    kernel_lookup(k, "no such name", reply);
    TAP_INT(reply->header.error, -ENOENT, "an unknown name");
    k->file.stat_result = -EHOSTUNREACH;
    kernel_lookup(k, KERNEL_FILE, reply);
    TAP_INT(reply->header.error, -EHOSTUNREACH, "a source that cannot be reached");
    k->file.stat_result = 0;
    const struct timespec kept = {.tv_sec = 2, .tv_nsec = 100000000};
    nanosleep(&kept, NULL); /* a failure is kept for 2 s */
}

static void test_generated(struct kernel *k, struct reply *reply)
{
    uint64_t node = kernel_lookup(k, KERNEL_TEXT_FILE, reply);
    uint64_t fh = kernel_open(k, node, O_RDONLY, reply);
    const struct fuse_open_out *open_out = (const void *)reply->body;
    TAP_OK(open_out->open_flags & FOPEN_DIRECT_IO, "a generated file is read directly");
    size_t n = kernel_read(k, node, fh, 0, 4096, reply);
    TAP_OK(n == 13 && memcmp(reply->body, "{\"ok\": true}\n", 13) == 0, "its text");
    n = kernel_read(k, node, fh, 10, 4096, reply);
    TAP_OK(n == 3 && memcmp(reply->body, "e}\n", 3) == 0, "from the middle");
    TAP_INT((int64_t)kernel_read(k, node, fh, 13, 4096, reply), 0, "and its end");
    TAP_INT((int64_t)kernel_read(k, node, fh, 1 << 30, 4096, reply), 0, "far behind it");
    TAP_INT(seek(k, node, fh, 1, SEEK_DATA, reply), 1, "its text is data");
    TAP_INT(seek(k, node, fh, 1, SEEK_HOLE, reply), 13, "to its end");
    TAP_INT(seek(k, node, fh, 13, SEEK_DATA, reply), -ENXIO, "where nothing follows");
    kernel_release(k, node, fh, reply);
}

static void test_listing(struct kernel *k, struct reply *reply)
{
    const struct fuse_open_in in = {0};
    kernel_ask(k, FUSE_OPENDIR, 1, &in, sizeof(in), reply);
    const struct fuse_read_in read_in = {.size = 4096};
    size_t n = kernel_ask(k, FUSE_READDIR, 1, &read_in, sizeof(read_in), reply);
    const char *names[] = {".",          "..",          KERNEL_FILE, KERNEL_DIR, KERNEL_TEXT_FILE,
                           KERNEL_TAKER, KERNEL_LISTING};
    size_t pos = 0;
    unsigned i = 0;
    while (pos + FUSE_NAME_OFFSET < n && i < 7) {
        const struct fuse_dirent *d = (const void *)(reply->body + pos);
        TAP_OK(strlen(names[i]) == d->namelen && memcmp(d->name, names[i], d->namelen) == 0,
               names[i]);
        pos += FUSE_DIRENT_SIZE(d);
        i++;
    }
    TAP_INT(i, 7, "seven names");
    TAP_INT((int64_t)pos, (int64_t)n, "and no more");
    const struct fuse_read_in small = {.size = 40, .offset = 2};
    n = kernel_ask(k, FUSE_READDIR, 1, &small, sizeof(small), reply);
    TAP_INT((int64_t)n, 40, "a small buffer takes what fits");
    const struct fuse_read_in end = {.size = 4096, .offset = 7};
    TAP_INT((int64_t)kernel_ask(k, FUSE_READDIR, 1, &end, sizeof(end), reply), 0,
            "nothing at the end");
    TAP_INT(reply->header.error, 0, "which is no error");
}

/* Attributes as the kernel gets them; NULL for an error. */
static const struct fuse_attr *getattr(struct kernel *k, uint64_t node, struct reply *reply)
{
    const struct fuse_getattr_in in = {0};
    kernel_ask(k, FUSE_GETATTR, node, &in, sizeof(in), reply);
    const struct fuse_attr_out *out = (const void *)reply->body;
    return reply->header.error == 0 ? &out->attr : NULL;
}

static void test_attributes(struct kernel *k, struct reply *reply)
{
    const struct fuse_attr *attr = getattr(k, FUSE_ROOT_ID, reply);
    TAP_OK(attr && attr->ino == FUSE_ROOT_ID && attr->mode == (S_IFDIR | 0555), "the root");
    TAP_OK(attr->uid == 7 && attr->gid == 8, "belongs to whom the options say");

    uint64_t node = kernel_lookup(k, KERNEL_FILE, reply);
    const struct fuse_entry_out *entry = (const void *)reply->body;
    struct fuse_attr at_lookup = entry->attr;
    unsigned n_stats = k->file.n_stats;
    attr = getattr(k, node, reply);
    TAP_OK(attr && attr->ino == node && attr->mode == (S_IFREG | 0444), "a file");
    TAP_INT((int64_t)attr->size, KERNEL_FILE_SIZE, "its size");
    TAP_INT((int64_t)attr->blocks, (KERNEL_FILE_SIZE + 511) / 512, "in blocks of 512");
    TAP_INT((int64_t)attr->mtime, 1600000000, "its mtime");
    TAP_INT(attr->mtimensec, 123456789, "to the nanosecond");
    TAP_MEM(attr, &at_lookup, sizeof(*attr), "all as LOOKUP has said");
    TAP_INT(k->file.n_stats, n_stats, "and nobody was asked: it is the node's version");

    attr = getattr(k, kernel_lookup(k, KERNEL_TEXT_FILE, reply), reply);
    TAP_OK(attr && attr->mode == (S_IFREG | 0444), "a generated file");
    attr = getattr(k, kernel_lookup(k, KERNEL_DIR, reply), reply);
    TAP_OK(attr && attr->mode == (S_IFDIR | 0555) && attr->nlink == 2, "a directory");
    getattr(k, 4711, reply);
    TAP_INT(reply->header.error, -ESTALE, "a node that never was");
}

/* SETATTR; returns the error. */
static int setattr(struct kernel *k, uint64_t node, const struct fuse_setattr_in *in,
                   struct reply *reply)
{
    kernel_ask(k, FUSE_SETATTR, node, in, sizeof(*in), reply);
    return reply->header.error;
}

static void test_writing(struct kernel *k, struct reply *reply)
{
    uint64_t node = kernel_lookup(k, KERNEL_TAKER, reply);
    const struct fuse_attr *attr = getattr(k, node, reply);
    TAP_OK(attr && attr->mode == (S_IFREG | 0644) && attr->uid == KERNEL_TAKER_UID,
           "a file that takes what is written is its owner's");
    static const uint32_t flags[] = {O_WRONLY, O_RDWR, O_WRONLY | O_APPEND, O_WRONLY | O_TRUNC};
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        uint64_t fh = kernel_open(k, node, flags[i], reply);
        const struct fuse_open_out *out = (const void *)reply->body;
        TAP_OK(reply->header.error == 0 && (out->open_flags & FOPEN_DIRECT_IO), "it opens");
        TAP_INT((int64_t)kernel_write(k, node, fh, 7 * i, "a line\n", 7, reply), 7, "all is taken");
        TAP_STR(k->taken, "a line\n", "wherever it is written to");
        k->taken[0] = '\0';
        kernel_release(k, node, fh, reply);
    }
    uint64_t fh = kernel_open(k, node, O_WRONLY, reply);
    k->take_result = -EBUSY;
    kernel_write(k, node, fh, 0, "x", 1, reply);
    TAP_INT(reply->header.error, -EBUSY, "the errno of a refusal is that of write(2)");
    k->take_result = 0;
    kernel_release(k, node, fh, reply);

    k->uid = KERNEL_TAKER_UID;
    kernel_release(k, node, kernel_open(k, node, O_WRONLY, reply), reply);
    TAP_INT(reply->header.error, 0, "its owner may write");
    k->uid = 4711;
    kernel_open(k, node, O_WRONLY, reply);
    TAP_INT(reply->header.error, -EACCES, "nobody else");
    kernel_open(k, node, O_RDONLY | O_TRUNC, reply);
    TAP_INT(reply->header.error, -EACCES, "nor truncate");
    k->uid = 0;

    const struct fuse_setattr_in truncated = {.valid = FATTR_SIZE};
    TAP_INT(setattr(k, node, &truncated, reply), 0, "it is as if it could be truncated");
    const struct fuse_setattr_in touched = {.valid = FATTR_ATIME | FATTR_MTIME | FATTR_ATIME_NOW |
                                                     FATTR_MTIME_NOW};
    TAP_INT(setattr(k, node, &touched, reply), 0, "and touched");
    const struct fuse_setattr_in others[] = {
        {.valid = FATTR_SIZE, .size = 1},      {.valid = FATTR_MODE, .mode = 0666},
        {.valid = FATTR_UID, .uid = 4711},     {.valid = FATTR_GID, .gid = 4711},
        {.valid = FATTR_MTIME, .mtime = 4711}, {.valid = FATTR_ATIME, .atime = 4711},
    };
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        TAP_INT(setattr(k, node, &others[i], reply), -EPERM, "but not changed");
}

/* The kernel does not know that the mount is read-only. */
static void test_read_only(struct kernel *k, struct reply *reply)
{
    uint64_t node = kernel_lookup(k, KERNEL_FILE, reply);
    const struct fuse_setattr_in valid[] = {
        {.valid = FATTR_SIZE}, {.valid = FATTR_MODE}, {.valid = FATTR_MTIME | FATTR_MTIME_NOW}};
    for (size_t i = 0; i < sizeof(valid) / sizeof(valid[0]); i++)
        TAP_INT(setattr(k, node, &valid[i], reply), -EROFS, "no attribute can be set");
    const struct {
        uint32_t opcode;
        uint64_t node;
        size_t fixed; /* bytes of zeros before the names */
        const char *names;
        size_t names_len;
        const char *what;
    } rows[] = {
        {FUSE_CREATE, 1, sizeof(struct fuse_create_in), "new", 4, "create"},
        {FUSE_MKNOD, 1, sizeof(struct fuse_mknod_in), "new", 4, "mknod"},
        {FUSE_MKDIR, 1, sizeof(struct fuse_mkdir_in), "new", 4, "mkdir"},
        {FUSE_UNLINK, 1, 0, KERNEL_FILE, sizeof(KERNEL_FILE), "unlink"},
        {FUSE_RMDIR, 1, 0, KERNEL_DIR, sizeof(KERNEL_DIR), "rmdir"},
        {FUSE_SYMLINK, 1, 0, "new\0to", 7, "symlink"},
        {FUSE_RENAME, 1, sizeof(struct fuse_rename_in), KERNEL_FILE "\0new",
         sizeof(KERNEL_FILE "\0new"), "rename"},
        {FUSE_RENAME2, 1, sizeof(struct fuse_rename2_in), KERNEL_FILE "\0new",
         sizeof(KERNEL_FILE "\0new"), "rename with flags"},
        {FUSE_LINK, 1, sizeof(struct fuse_link_in), "new", 4, "link"},
        {FUSE_SETXATTR, node, FUSE_COMPAT_SETXATTR_IN_SIZE, "user.x", 7, "setxattr"},
        {FUSE_REMOVEXATTR, node, 0, "user.x", 7, "removexattr"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char body[128] = {0};
        memcpy(body + rows[i].fixed, rows[i].names, rows[i].names_len);
        kernel_ask(k, rows[i].opcode, rows[i].node, body, rows[i].fixed + rows[i].names_len, reply);
        TAP_INT(reply->header.error, -EROFS, rows[i].what);
    }
    kernel_open(k, kernel_lookup(k, KERNEL_TEXT_FILE, reply), O_WRONLY, reply);
    TAP_INT(reply->header.error, -EROFS, "what is generated is not written to");
}

static void test_statfs(struct kernel *k, struct reply *reply)
{
    size_t n = kernel_ask(k, FUSE_STATFS, FUSE_ROOT_ID, NULL, 0, reply);
    const struct fuse_kstatfs *st =
        &((const struct fuse_statfs_out *)(const void *)reply->body)->st;
    TAP_OK(reply->header.error == 0 && n >= sizeof(*st), "statfs is answered");
    TAP_INT((int64_t)(st->blocks * st->frsize), KERNEL_FILE_SIZE / 4096 * 4096, "the files' size");
    TAP_OK(st->bfree == 0 && st->bavail == 0 && st->ffree == 0, "nothing is free");
    TAP_INT(st->namelen, 255, "the longest name");
}

/* A new version's node, and the old one with `n` references. */
static uint64_t make_old_node(struct kernel *k, unsigned n, struct reply *reply)
{
    const struct timespec pause = {.tv_nsec = 100000000};
    uint64_t old = 0;
    k->file.stat.version++;
    nanosleep(&pause, NULL);
    for (unsigned i = 0; i < n; i++)
        old = kernel_lookup(k, KERNEL_FILE, reply);
    k->file.stat.version++;
    nanosleep(&pause, NULL);
    TAP_OK(old != 0 && kernel_lookup(k, KERNEL_FILE, reply) != old, "an older version's node");
    return old;
}

static void test_forget(struct kernel *k, struct reply *reply)
{
    uint64_t old = make_old_node(k, 3, reply);
    kernel_forget(k, old, 2);
    TAP_OK(getattr(k, old, reply), "a node that is referred to stays");
    kernel_forget(k, old, 1);
    getattr(k, old, reply);
    TAP_INT(reply->header.error, -ESTALE, "the last FORGET ends it");

    uint64_t now = kernel_lookup(k, KERNEL_FILE, reply);
    kernel_forget(k, now, UINT64_MAX);
    TAP_OK(getattr(k, now, reply), "the present version's node stays, whatever is forgotten");
    TAP_INT((int64_t)kernel_lookup(k, KERNEL_FILE, reply), (int64_t)now, "under its number");

    uint64_t older[] = {make_old_node(k, 1, reply), make_old_node(k, 2, reply)};
    const struct {
        struct fuse_batch_forget_in head;
        struct fuse_forget_one list[3];
    } batch = {{.count = 3}, {{older[0], 1}, {older[1], 1}, {4711, 1}}};
    kernel_send(k, FUSE_BATCH_FORGET, 0, &batch, sizeof(batch));
    getattr(k, older[0], reply);
    TAP_INT(reply->header.error, -ESTALE, "many are forgotten at once");
    TAP_OK(getattr(k, older[1], reply), "but for those that are referred to");
    kernel_forget(k, FUSE_ROOT_ID, 1);
    TAP_OK(getattr(k, FUSE_ROOT_ID, reply), "the root is never forgotten");
}

static void test_errno(void)
{
    TAP_INT(fs_reply_errno(-ESTALE), ESTALE, "an errno passes");
    TAP_INT(fs_reply_errno(-EAGAIN), EIO, "EAGAIN does not");
    TAP_INT(fs_reply_errno(-ENOSYS), EIO, "nor ENOSYS");
    TAP_INT(fs_reply_errno(5), EIO, "nor what is not negative");
    TAP_INT(fs_reply_errno(-100000), EIO, "nor what is no errno");
}

int main(void)
{
    struct kernel k;
    struct reply *reply = malloc(sizeof(*reply));
    test_errno();
    kernel_start(&k, 4);
    test_reading(&k, reply);
    test_seeking(&k, reply);
    test_versions(&k, reply);
    test_refusals(&k, reply);
    test_generated(&k, reply);
    test_listing(&k, reply);
    test_attributes(&k, reply);
    test_writing(&k, reply);
    test_read_only(&k, reply);
    test_statfs(&k, reply);
    test_left_open(&k, reply);
    kernel_stop(&k);
    kernel_start(&k, 1); /* one thread: a FORGET is done before what is asked next */
    test_forget(&k, reply);
    kernel_stop(&k);
    free(reply);
    return tap_done();
}
