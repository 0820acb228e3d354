/* The handlers, driven over a socket pair in place of /dev/fuse: what the kernel would be told. */
#include "fs/ops.h"
#include "fs/reply.h"
#include "tests/fs/scripted.h"
#include "tests/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

TAP_STATE;

#define FILE_SIZE  1000003 /* no multiple of anything */
#define TIMEOUT_NS 300000000

struct kernel {
    int fd; /* our end */
    struct fuse_session *session;
    struct fs_ops *ops;
    struct fs_tree *tree;
    struct fs_log *log;
    struct scripted file;
    uint64_t unique;
    unsigned n_serving;
    pthread_t loop;
};

struct reply {
    struct fuse_out_header header;
    char body[1 << 20];
};

static ssize_t io_writev(int fd, struct iovec *iov, int count, void *userdata)
{
    (void)userdata;
    return writev(fd, iov, count);
}

static ssize_t io_read(int fd, void *buf, size_t len, void *userdata)
{
    (void)userdata;
    return read(fd, buf, len);
}

static unsigned inflight(void *arg)
{
    (void)arg;
    return 4;
}

static void count_serving(void *arg)
{
    ((struct kernel *)arg)->n_serving++;
}

static void *run_loop(void *arg)
{
    struct kernel *k = arg;
    struct fuse_loop_config *config = fuse_loop_cfg_create();
    fuse_loop_cfg_set_max_threads(config, 4);
    fuse_session_loop_mt(k->session, config);
    fuse_loop_cfg_destroy(config);
    return NULL;
}

static void send_request(struct kernel *k, uint32_t opcode, uint64_t node, const void *body,
                         size_t len)
{
    struct fuse_in_header header = {
        .len = (uint32_t)(sizeof(header) + len),
        .opcode = opcode,
        .unique = k->unique += 2,
        .nodeid = node,
    };
    struct iovec iov[] = {{&header, sizeof(header)}, {(void *)(uintptr_t)body, len}};
    if (writev(k->fd, iov, 2) < 0)
        perror("writev");
}

/* The next reply within two seconds; error 1 stands for none. Returns the length of its body. */
static size_t receive(struct kernel *k, struct reply *reply)
{
    struct pollfd p = {.fd = k->fd, .events = POLLIN};
    reply->header.error = 1;
    if (poll(&p, 1, 2000) <= 0)
        return 0;
    ssize_t n = read(k->fd, reply, sizeof(*reply));
    return n > (ssize_t)sizeof(reply->header) ? (size_t)n - sizeof(reply->header) : 0;
}

static size_t ask(struct kernel *k, uint32_t opcode, uint64_t node, const void *body, size_t len,
                  struct reply *reply)
{
    send_request(k, opcode, node, body, len);
    return receive(k, reply);
}

static int render(void *arg, char **out, size_t *out_len)
{
    *out = strdup(arg);
    *out_len = strlen(arg);
    return 0;
}

static int build(struct kernel *k)
{
    const struct fs_tree_config tree = {.attr_timeout_ns = 1000};
    scripted_init(&k->file, FILE_SIZE, 3, true);
    int result = fs_tree_new(&k->tree, &tree);
    if (result == 0)
        result = fs_tree_add_file(k->tree, NULL, "stable_memory", &k->file.source, false);
    if (result == 0)
        result = fs_tree_add_generated(k->tree, NULL, "status", render,
                                       (void *)(uintptr_t) "{\"ok\": true}\n");
    if (result == 0)
        result = fs_log_open(&k->log, FS_LOG_ERROR);
    const struct fs_ops_config config = {
        .tree = k->tree,
        .log = k->log,
        .timeout_ns = TIMEOUT_NS,
        .cache_budget = 1 << 20,
        .max_inflight = inflight,
    };
    return result == 0 ? fs_ops_new(&k->ops, &config) : result;
}

static void open_kernel(struct kernel *k)
{
    memset(k, 0, sizeof(*k));
    int fds[2];
    if (build(k) < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds) < 0)
        abort();
    int size = 4 << 20;
    setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    k->fd = fds[0];
    fs_ops_set_serving(k->ops, count_serving, k);
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    fuse_opt_add_arg(&args, "test");
    k->session = fuse_session_new(&args, fs_ops_table(), sizeof(*fs_ops_table()), k->ops);
    fuse_opt_free_args(&args);
    static const struct fuse_custom_io custom = {.writev = io_writev, .read = io_read};
    if (!k->session || fuse_session_custom_io(k->session, &custom, fds[1]) != 0 ||
        pthread_create(&k->loop, NULL, run_loop, k) != 0)
        abort();
    const struct fuse_init_in init = {.major = 7, .minor = 36, .max_readahead = 131072};
    struct reply *reply = malloc(sizeof(*reply));
    ask(k, FUSE_INIT, 0, &init, sizeof(init), reply);
    TAP_INT(reply->header.error, 0, "INIT is answered");
    TAP_INT(k->n_serving, 1, "and reported once");
    free(reply);
}

static void close_kernel(struct kernel *k)
{
    close(k->fd); /* the session sees the end of file */
    pthread_join(k->loop, NULL);
    fuse_session_destroy(k->session);
    fs_ops_free(k->ops);
    fs_tree_free(k->tree);
    fs_log_close(k->log);
}

static uint64_t lookup(struct kernel *k, const char *name, struct reply *reply)
{
    ask(k, FUSE_LOOKUP, 1, name, strlen(name) + 1, reply);
    const struct fuse_entry_out *entry = (const void *)reply->body;
    return reply->header.error == 0 ? entry->nodeid : 0;
}

static uint64_t open_file(struct kernel *k, uint64_t node, uint32_t flags, struct reply *reply)
{
    const struct fuse_open_in in = {.flags = flags};
    ask(k, FUSE_OPEN, node, &in, sizeof(in), reply);
    const struct fuse_open_out *out = (const void *)reply->body;
    return reply->header.error == 0 ? out->fh : 0;
}

static size_t read_at(struct kernel *k, uint64_t node, uint64_t fh, uint64_t off, uint32_t size,
                      struct reply *reply)
{
    const struct fuse_read_in in = {.fh = fh, .offset = off, .size = size};
    return ask(k, FUSE_READ, node, &in, sizeof(in), reply);
}

static bool is_content(const struct reply *reply, size_t len, uint64_t off)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)reply->body[i] != scripted_byte(3, off + i))
            return false;
    return true;
}

static void test_reading(struct kernel *k, struct reply *reply)
{
    uint64_t node = lookup(k, "stable_memory", reply);
    TAP_OK(node > 1, "the file is looked up");
    uint64_t fh = open_file(k, node, O_RDONLY, reply);
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
        {FILE_SIZE - 3, 4096, 3, "the last three bytes, and no more"},
        {FILE_SIZE, 4096, 0, "the end of the file is the end"},
        {FILE_SIZE + 4096, 10, 0, "and so is what lies behind"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t n = read_at(k, node, fh, rows[i].off, rows[i].size, reply);
        TAP_OK(reply->header.error == 0 && n == rows[i].want && is_content(reply, n, rows[i].off),
               rows[i].what);
    }
    k->file.read_result = -EBADMSG;
    TAP_INT((int64_t)read_at(k, node, fh, 0, 10, reply), 0, "a failed read has no bytes");
    TAP_INT(reply->header.error, -EBADMSG, "but its errno");
    k->file.read_result = -ENOSYS;
    read_at(k, node, fh, 0, 10, reply);
    TAP_INT(reply->header.error, -EIO, "ENOSYS never reaches the kernel");
    k->file.read_result = 0;
    k->file.waits = true;
    read_at(k, node, fh, 0, 10, reply);
    TAP_INT(reply->header.error, -ETIMEDOUT, "a read that gets no answer ends at its deadline");
    const struct fuse_read_in in = {.fh = fh, .size = 10};
    send_request(k, FUSE_READ, node, &in, sizeof(in));
    const struct fuse_interrupt_in interrupt = {.unique = k->unique};
    k->unique++;
    send_request(k, FUSE_INTERRUPT, 0, &interrupt, sizeof(interrupt));
    receive(k, reply);
    TAP_INT(reply->header.error, -EINTR, "an interrupted one at once, with EINTR");
    k->file.waits = false;
    const struct fuse_release_in release = {.fh = fh};
    ask(k, FUSE_RELEASE, node, &release, sizeof(release), reply);
    TAP_INT(reply->header.error, 0, "released");
}

/* A signal ends a mount with files open: no RELEASE comes. LeakSanitizer is the judge here. */
static void test_left_open(struct kernel *k, struct reply *reply)
{
    open_file(k, lookup(k, "stable_memory", reply), O_RDONLY, reply);
    TAP_INT(reply->header.error, 0, "a file is left open");
    open_file(k, lookup(k, "status", reply), O_RDONLY, reply);
    TAP_INT(reply->header.error, 0, "and a generated one");
}

static void test_versions(struct kernel *k, struct reply *reply)
{
    uint64_t old = lookup(k, "stable_memory", reply);
    k->file.stat.version = 4;
    const struct timespec pause = {.tv_nsec = 300000000};
    nanosleep(&pause, NULL);
    open_file(k, old, O_RDONLY, reply);
    TAP_INT(reply->header.error, -ESTALE, "an inode of an older version does not open");
    uint64_t now = lookup(k, "stable_memory", reply);
    TAP_OK(now != 0 && now != old, "the name leads to a new inode");
    k->file.stat.version = 3;
    nanosleep(&pause, NULL);
}

static void test_refusals(struct kernel *k, struct reply *reply)
{
    uint64_t node = lookup(k, "stable_memory", reply);
    open_file(k, node, O_WRONLY, reply);
    TAP_INT(reply->header.error, -EROFS, "opening for writing");
    open_file(k, node, O_RDWR, reply);
    TAP_INT(reply->header.error, -EROFS, "for both");
    open_file(k, node, O_RDONLY | O_TRUNC, reply);
    TAP_INT(reply->header.error, -EROFS, "or to truncate is refused");
    lookup(k, "no such name", reply);
    TAP_INT(reply->header.error, -ENOENT, "an unknown name");
    k->file.stat_result = -EHOSTUNREACH;
    lookup(k, "stable_memory", reply);
    TAP_INT(reply->header.error, -EHOSTUNREACH, "a source that cannot be reached");
    k->file.stat_result = 0;
    const struct timespec kept = {.tv_sec = 2, .tv_nsec = 100000000};
    nanosleep(&kept, NULL); /* a failure is kept for 2 s */
}

static void test_generated(struct kernel *k, struct reply *reply)
{
    uint64_t node = lookup(k, "status", reply);
    uint64_t fh = open_file(k, node, O_RDONLY, reply);
    const struct fuse_open_out *open_out = (const void *)reply->body;
    TAP_OK(open_out->open_flags & FOPEN_DIRECT_IO, "a generated file is read directly");
    size_t n = read_at(k, node, fh, 0, 4096, reply);
    TAP_OK(n == 13 && memcmp(reply->body, "{\"ok\": true}\n", 13) == 0, "its text");
    n = read_at(k, node, fh, 10, 4096, reply);
    TAP_OK(n == 3 && memcmp(reply->body, "e}\n", 3) == 0, "from the middle");
    TAP_INT((int64_t)read_at(k, node, fh, 13, 4096, reply), 0, "and its end");
    TAP_INT((int64_t)read_at(k, node, fh, 1 << 30, 4096, reply), 0, "far behind it");
    const struct fuse_release_in release = {.fh = fh};
    ask(k, FUSE_RELEASE, node, &release, sizeof(release), reply);
}

static void test_listing(struct kernel *k, struct reply *reply)
{
    const struct fuse_open_in in = {0};
    ask(k, FUSE_OPENDIR, 1, &in, sizeof(in), reply);
    const struct fuse_read_in read_in = {.size = 4096};
    size_t n = ask(k, FUSE_READDIR, 1, &read_in, sizeof(read_in), reply);
    const char *names[] = {".", "..", "stable_memory", "status"};
    size_t pos = 0;
    unsigned i = 0;
    while (pos + FUSE_NAME_OFFSET < n && i < 4) {
        const struct fuse_dirent *d = (const void *)(reply->body + pos);
        TAP_OK(strlen(names[i]) == d->namelen && memcmp(d->name, names[i], d->namelen) == 0,
               names[i]);
        pos += FUSE_DIRENT_SIZE(d);
        i++;
    }
    TAP_INT(i, 4, "four names");
    TAP_INT((int64_t)pos, (int64_t)n, "and no more");
    const struct fuse_read_in small = {.size = 40, .offset = 2};
    n = ask(k, FUSE_READDIR, 1, &small, sizeof(small), reply);
    TAP_INT((int64_t)n, 40, "a small buffer takes what fits");
    const struct fuse_read_in end = {.size = 4096, .offset = 4};
    TAP_INT((int64_t)ask(k, FUSE_READDIR, 1, &end, sizeof(end), reply), 0, "nothing at the end");
    TAP_INT(reply->header.error, 0, "which is no error");
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
    open_kernel(&k);
    test_reading(&k, reply);
    test_versions(&k, reply);
    test_refusals(&k, reply);
    test_generated(&k, reply);
    test_listing(&k, reply);
    test_left_open(&k, reply);
    close_kernel(&k);
    free(reply);
    return tap_done();
}
