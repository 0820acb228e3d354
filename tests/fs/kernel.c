#include "tests/fs/kernel.h"

#include "tests/tap.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

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

static unsigned inflight(void *arg, bool is_slow)
{
    (void)is_slow;
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
    fuse_loop_cfg_set_max_threads(config, k->n_threads);
    fuse_session_loop_mt(k->session, config);
    fuse_loop_cfg_destroy(config);
    return NULL;
}

static int render(void *arg, char **out, size_t *out_len)
{
    *out = strdup(arg);
    *out_len = strlen(arg);
    return 0;
}

static int render_nothing(void *arg, char **out, size_t *out_len)
{
    (void)arg;
    *out = NULL;
    *out_len = 0;
    return 0;
}

static int take(void *arg, const char *text, size_t len)
{
    struct kernel *k = arg;
    snprintf(k->taken, sizeof(k->taken), "%.*s", (int)len, text);
    return k->take_result;
}

static int build(struct kernel *k)
{
    const struct fs_tree_config tree = {.uid = 7, .gid = 8, .attr_timeout_ns = 1000};
    struct fs_entry *dir;
    scripted_init(&k->file, KERNEL_FILE_SIZE, 3, true);
    int result = fs_tree_new(&k->tree, &tree);
    if (result == 0)
        result = fs_tree_add_file(k->tree, NULL, KERNEL_FILE, &k->file.source, false);
    if (result == 0)
        result = fs_tree_add_dir(k->tree, NULL, KERNEL_DIR, &dir);
    if (result == 0)
        result = fs_tree_add_generated(k->tree, NULL, KERNEL_TEXT_FILE, render,
                                       (void *)(uintptr_t)KERNEL_TEXT);
    if (result == 0)
        result = fs_tree_add_writable(k->tree, NULL, KERNEL_TAKER, KERNEL_TAKER_UID, render_nothing,
                                      take, k);
    k->listing.n = KERNEL_N_LISTED;
    k->listing.reading = &k->file.reading;
    if (result == 0)
        result =
            fs_tree_add_listing(k->tree, NULL, KERNEL_LISTING, &scripted_listing_ops, &k->listing);
    if (result == 0)
        result = fs_log_open(&k->log, FS_LOG_ERROR);
    const struct fs_ops_config config = {
        .tree = k->tree,
        .log = k->log,
        .timeout_ns = KERNEL_TIMEOUT_NS,
        .cache_budget = 1 << 20,
        .max_inflight = inflight,
    };
    return result == 0 ? fs_ops_new(&k->ops, &config) : result;
}

void kernel_start(struct kernel *k, unsigned n_threads)
{
    memset(k, 0, sizeof(*k));
    k->n_threads = n_threads;
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
    kernel_ask(k, FUSE_INIT, 0, &init, sizeof(init), reply);
    TAP_INT(reply->header.error, 0, "INIT is answered");
    TAP_INT(k->n_serving, 1, "and reported once");
    free(reply);
}

void kernel_stop(struct kernel *k)
{
    close(k->fd); /* the session sees the end of file */
    pthread_join(k->loop, NULL);
    fuse_session_destroy(k->session);
    fs_ops_free(k->ops);
    fs_tree_free(k->tree);
    fs_log_close(k->log);
}

static void send_as(struct kernel *k, uint64_t unique, uint32_t opcode, uint64_t node,
                    const void *body, size_t len)
{
    struct fuse_in_header header = {
        .len = (uint32_t)(sizeof(header) + len),
        .opcode = opcode,
        .unique = unique,
        .nodeid = node,
        .uid = k->uid,
    };
    struct iovec iov[] = {{&header, sizeof(header)}, {(void *)(uintptr_t)body, len}};
    if (writev(k->fd, iov, 2) < 0)
        perror("writev");
}

uint64_t kernel_send(struct kernel *k, uint32_t opcode, uint64_t node, const void *body, size_t len)
{
    k->unique += 2; /* odd numbers are those of interrupts, as in Linux */
    send_as(k, k->unique, opcode, node, body, len);
    return k->unique;
}

void kernel_interrupt(struct kernel *k, uint64_t unique)
{
    const struct fuse_interrupt_in in = {.unique = unique};
    send_as(k, unique | 1, FUSE_INTERRUPT, 0, &in, sizeof(in));
}

size_t kernel_receive(struct kernel *k, struct reply *reply)
{
    struct pollfd p = {.fd = k->fd, .events = POLLIN};
    reply->header.error = 1;
    if (poll(&p, 1, 2000) <= 0)
        return 0;
    ssize_t n = read(k->fd, reply, sizeof(*reply));
    return n > (ssize_t)sizeof(reply->header) ? (size_t)n - sizeof(reply->header) : 0;
}

size_t kernel_ask(struct kernel *k, uint32_t opcode, uint64_t node, const void *body, size_t len,
                  struct reply *reply)
{
    kernel_send(k, opcode, node, body, len);
    return kernel_receive(k, reply);
}

uint64_t kernel_lookup(struct kernel *k, const char *name, struct reply *reply)
{
    return kernel_lookup_in(k, FUSE_ROOT_ID, name, reply);
}

uint64_t kernel_lookup_in(struct kernel *k, uint64_t dir, const char *name, struct reply *reply)
{
    kernel_ask(k, FUSE_LOOKUP, dir, name, strlen(name) + 1, reply);
    const struct fuse_entry_out *entry = (const void *)reply->body;
    return reply->header.error == 0 ? entry->nodeid : 0;
}

uint64_t kernel_open(struct kernel *k, uint64_t node, uint32_t flags, struct reply *reply)
{
    const struct fuse_open_in in = {.flags = flags};
    kernel_ask(k, FUSE_OPEN, node, &in, sizeof(in), reply);
    const struct fuse_open_out *out = (const void *)reply->body;
    return reply->header.error == 0 ? out->fh : 0;
}

size_t kernel_read(struct kernel *k, uint64_t node, uint64_t fh, uint64_t off, uint32_t size,
                   struct reply *reply)
{
    const struct fuse_read_in in = {.fh = fh, .offset = off, .size = size};
    return kernel_ask(k, FUSE_READ, node, &in, sizeof(in), reply);
}

size_t kernel_write(struct kernel *k, uint64_t node, uint64_t fh, uint64_t off, const void *data,
                    size_t len, struct reply *reply)
{
    struct {
        struct fuse_write_in in;
        char data[64];
    } body = {.in = {.fh = fh, .offset = off, .size = (uint32_t)len}};
    memcpy(body.data, data, len);
    kernel_ask(k, FUSE_WRITE, node, &body, sizeof(body.in) + len, reply);
    const struct fuse_write_out *out = (const void *)reply->body;
    return reply->header.error == 0 ? out->size : 0;
}

void kernel_release(struct kernel *k, uint64_t node, uint64_t fh, struct reply *reply)
{
    const struct fuse_release_in in = {.fh = fh};
    kernel_ask(k, FUSE_RELEASE, node, &in, sizeof(in), reply);
}

void kernel_forget(struct kernel *k, uint64_t node, uint64_t n_lookup)
{
    const struct fuse_forget_in in = {.nlookup = n_lookup};
    kernel_send(k, FUSE_FORGET, node, &in, sizeof(in));
}
