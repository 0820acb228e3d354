/* Many requests at once, as a kernel sends them for a crowd of readers: lookups, opens, reads,
 * attributes and releases answered by several threads, some interrupted, inodes forgotten, while
 * the files change: one that is always there, and those of a directory with a listing, whose
 * sources end as soon as nobody knows them. Every request is answered once, with the bytes of the
 * version of its inode or with an errno that its fate explains. usage: test_fs_ops_race [SEED] */
#include "tests/fs/kernel.h"
#include "tests/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>

TAP_STATE;

#define N_THREADS  8
#define N_REQUESTS 8000
#define N_INFLIGHT 48
#define N_NODES    128
#define N_LISTED   6 /* names that are there; as many are not */
#define THE_FILE   UINT64_MAX
#define N_HANDLES  24
#define MAX_READ   131072

struct node {
    uint64_t id;    /* 0: the slot is free */
    uint64_t index; /* in the listing, or THE_FILE */
    uint64_t n_lookup;
    unsigned n_busy;  /* requests and handles that keep it from being forgotten */
    int version_byte; /* what its content at offset 0 would be; -1: not read yet */
};

struct handle {
    uint64_t fh; /* 0: the slot is free */
    struct node *node;
    unsigned n_reads; /* under way */
};

struct pending {
    uint64_t unique; /* 0: the slot is free */
    uint32_t opcode;
    uint64_t index; /* LOOKUP: as in struct node */
    struct node *node;
    struct handle *handle;
    uint64_t off;
    uint32_t size;
    bool is_interrupted;
};

struct crowd {
    struct kernel k;
    struct reply *reply;
    uint64_t seed;
    uint64_t listing; /* node of the directory */
    struct node nodes[N_NODES];
    struct handle handles[N_HANDLES];
    struct pending pending[N_INFLIGHT];
    unsigned n_answered, n_listed, n_missing, n_interrupted, n_stale, n_forgotten, n_too_late;
    const char *wrong; /* the first thing that was */
};

/* xorshift64 */
static uint64_t draw(struct crowd *c, uint64_t below)
{
    c->seed ^= c->seed << 13;
    c->seed ^= c->seed >> 7;
    c->seed ^= c->seed << 17;
    return c->seed % below;
}

static void complain(struct crowd *c, const char *what)
{
    if (!c->wrong)
        c->wrong = what;
}

static uint64_t size_of(uint64_t index)
{
    return index == THE_FILE ? KERNEL_FILE_SIZE : LISTED_SIZE + index;
}

static struct node *find_node(struct crowd *c, uint64_t id)
{
    for (int i = 0; i < N_NODES; i++)
        if (c->nodes[i].id == id)
            return &c->nodes[i];
    return NULL;
}

static struct node *any_node(struct crowd *c)
{
    struct node *node = &c->nodes[draw(c, N_NODES)];
    for (int i = 0; i < N_NODES && node->id == 0; i++)
        node = node + 1 < c->nodes + N_NODES ? node + 1 : c->nodes;
    return node->id == 0 ? NULL : node;
}

static struct handle *any_handle(struct crowd *c, bool is_free)
{
    struct handle *handle = &c->handles[draw(c, N_HANDLES)];
    return (handle->fh == 0) == is_free ? handle : NULL;
}

static struct pending *find_pending(struct crowd *c, uint64_t unique)
{
    for (int i = 0; i < N_INFLIGHT; i++)
        if (c->pending[i].unique == unique)
            return &c->pending[i];
    return NULL;
}

/* ---- what is asked ---- */

static void send(struct crowd *c, struct pending p, uint64_t node, const void *body, size_t len)
{
    struct pending *slot = find_pending(c, 0);
    if (!slot)
        abort(); /* main keeps one free */
    *slot = p;
    slot->unique = kernel_send(&c->k, p.opcode, node, body, len);
    if (p.node)
        p.node->n_busy++;
}

static void send_lookup(struct crowd *c)
{
    const struct pending file = {.opcode = FUSE_LOOKUP, .index = THE_FILE};
    const struct pending listed = {.opcode = FUSE_LOOKUP, .index = draw(c, 2 * N_LISTED)};
    if (draw(c, 3) == 0) {
        send(c, file, FUSE_ROOT_ID, KERNEL_FILE, sizeof(KERNEL_FILE));
        return;
    }
    char name[FS_NAME_SIZE];
    scripted_listing_ops.name(NULL, listed.index, name);
    send(c, listed, c->listing, name, strlen(name) + 1);
}

static void send_readdir(struct crowd *c)
{
    const struct fuse_read_in in = {.fh = N_LISTED, .size = 4096};
    send(c, (struct pending){.opcode = FUSE_READDIR}, c->listing, &in, sizeof(in));
}

static void send_getattr(struct crowd *c)
{
    const struct fuse_getattr_in in = {0};
    struct node *node = any_node(c);
    if (node)
        send(c, (struct pending){.opcode = FUSE_GETATTR, .node = node}, node->id, &in, sizeof(in));
}

static void send_open(struct crowd *c)
{
    const struct fuse_open_in in = {.flags = O_RDONLY};
    struct node *node = any_node(c);
    if (node)
        send(c, (struct pending){.opcode = FUSE_OPEN, .node = node}, node->id, &in, sizeof(in));
}

static void send_read(struct crowd *c)
{
    struct handle *handle = any_handle(c, false);
    if (!handle)
        return;
    const struct fuse_read_in in = {
        .fh = handle->fh,
        .offset = draw(c, size_of(handle->node->index) + 1000),
        .size = (uint32_t)(1 + draw(c, MAX_READ)),
    };
    const struct pending p = {
        .opcode = FUSE_READ,
        .node = handle->node,
        .handle = handle,
        .off = in.offset,
        .size = in.size,
    };
    handle->n_reads++;
    send(c, p, handle->node->id, &in, sizeof(in));
}

/* The kernel releases a handle when the last reader is through, and answers to nobody for it. It
 * may forget the inode at once: which of the two is served first is up to the threads. */
static void send_release(struct crowd *c, struct handle *handle)
{
    if (!handle || handle->n_reads > 0)
        return;
    const struct fuse_release_in in = {.fh = handle->fh};
    send(c, (struct pending){.opcode = FUSE_RELEASE}, handle->node->id, &in, sizeof(in));
    handle->node->n_busy--;
    handle->fh = 0;
}

static void interrupt_one(struct crowd *c)
{
    struct pending *p = &c->pending[draw(c, N_INFLIGHT)];
    if (p->unique == 0 || p->opcode == FUSE_RELEASE)
        return;
    p->is_interrupted = true;
    kernel_interrupt(&c->k, p->unique);
}

/* The kernel forgets an inode that nobody uses; several at once when it is short of memory. */
static void forget_some(struct crowd *c, unsigned most)
{
    struct {
        struct fuse_batch_forget_in head;
        struct fuse_forget_one list[N_NODES];
    } batch = {0};
    for (int i = 0; i < N_NODES && batch.head.count < most; i++) {
        struct node *node = &c->nodes[i];
        if (node->id == 0 || node->n_busy > 0)
            continue;
        batch.list[batch.head.count++] = (struct fuse_forget_one){node->id, node->n_lookup};
        node->id = 0;
    }
    c->n_forgotten += batch.head.count;
    if (batch.head.count == 1)
        kernel_forget(&c->k, batch.list[0].nodeid, batch.list[0].nlookup);
    else if (batch.head.count > 1)
        kernel_send(&c->k, FUSE_BATCH_FORGET, 0, &batch,
                    sizeof(batch.head) + batch.head.count * sizeof(batch.list[0]));
}

/* ---- what comes back ---- */

static void got_entry(struct crowd *c, uint64_t index)
{
    const struct fuse_entry_out *entry = (const void *)c->reply->body;
    struct node *node = find_node(c, entry->nodeid);
    if (!node) {
        node = find_node(c, 0);
        if (!node) {
            complain(c, "more inodes than versions");
            return;
        }
        *node = (struct node){.id = entry->nodeid, .index = index, .version_byte = -1};
    }
    node->n_lookup++;
    c->n_listed += index != THE_FILE;
    if (node->index != index || (index < THE_FILE && index >= N_LISTED))
        complain(c, "an inode of another name");
    if (entry->attr.ino != entry->nodeid || entry->attr.size != size_of(index))
        complain(c, "attributes of another file");
}

static void got_handle(struct crowd *c, struct node *node)
{
    const struct fuse_open_out *out = (const void *)c->reply->body;
    struct handle *handle = NULL;
    for (int i = 0; i < N_HANDLES && !handle; i++)
        if (c->handles[i].fh == 0)
            handle = &c->handles[i];
    if (!handle) { /* enough are open */
        const struct fuse_release_in in = {.fh = out->fh};
        send(c, (struct pending){.opcode = FUSE_RELEASE, .node = node}, node->id, &in, sizeof(in));
        return;
    }
    *handle = (struct handle){.fh = out->fh, .node = node};
    node->n_busy++;
}

static void got_bytes(struct crowd *c, const struct pending *p, size_t len)
{
    uint64_t size = size_of(p->node->index);
    uint64_t left = p->off < size ? size - p->off : 0;
    if (len != (p->size < left ? p->size : left)) {
        complain(c, "a read of another length");
        return;
    }
    if (len == 0)
        return;
    const unsigned char *bytes = (const unsigned char *)c->reply->body;
    int version_byte = (unsigned char)(bytes[0] - scripted_byte(0, p->off));
    if (p->node->version_byte < 0)
        p->node->version_byte = version_byte;
    if (p->node->version_byte != version_byte)
        complain(c, "bytes of another version");
    for (size_t i = 0; i < len; i++)
        if (bytes[i] != scripted_byte((uint64_t)version_byte, p->off + i))
            complain(c, "bytes of two versions");
}

static void got_names(struct crowd *c, size_t len)
{
    size_t pos = 0;
    unsigned n = 0;
    for (; pos + FUSE_NAME_OFFSET < len; n++)
        pos += FUSE_DIRENT_SIZE((const struct fuse_dirent *)(const void *)(c->reply->body + pos));
    if (n != N_LISTED + 2)
        complain(c, "another number of names");
}

static void got_error(struct crowd *c, const struct pending *p, int error)
{
    if (error == -EINTR && p->is_interrupted && p->opcode != FUSE_RELEASE)
        c->n_interrupted++;
    else if (error == -ESTALE && p->opcode == FUSE_OPEN)
        c->n_stale++;
    else if (error == -ENOENT && p->opcode == FUSE_LOOKUP && p->index < THE_FILE &&
             p->index >= N_LISTED)
        c->n_missing++;
    else
        complain(c, "an errno that nothing explains");
}

static void take_reply(struct crowd *c)
{
    size_t len = kernel_receive(&c->k, c->reply);
    const struct fuse_out_header *header = &c->reply->header;
    struct pending *p = find_pending(c, header->unique & ~UINT64_C(1));
    if (header->error == -EAGAIN && header->unique & 1) {
        c->n_too_late++; /* an interrupt that found nothing under way */
        return;
    }
    if (header->error > 0 || header->unique == 0 || !p) {
        complain(c, header->error > 0 ? "no answer" : "an answer to nothing");
        return;
    }
    const struct pending was = *p;
    p->unique = 0;
    c->n_answered++;
    if (was.node)
        was.node->n_busy--;
    if (was.handle)
        was.handle->n_reads--;
    if (header->error < 0)
        got_error(c, &was, header->error);
    else if (was.opcode == FUSE_LOOKUP)
        got_entry(c, was.index);
    else if (was.opcode == FUSE_OPEN)
        got_handle(c, was.node);
    else if (was.opcode == FUSE_READ)
        got_bytes(c, &was, len);
    else if (was.opcode == FUSE_READDIR)
        got_names(c, len);
}

/* ---- the crowd ---- */

static void do_something(struct crowd *c)
{
    switch (draw(c, 16)) {
    case 0:
    case 1:
        send_lookup(c);
        break;
    case 2:
        send_getattr(c);
        break;
    case 3:
    case 4:
        send_open(c);
        break;
    case 5:
        send_release(c, any_handle(c, false));
        break;
    case 6:
    case 7:
        interrupt_one(c);
        break;
    case 8:
        forget_some(c, 1 + (unsigned)draw(c, 4));
        break;
    case 9:
        if (draw(c, 40) == 0)
            c->k.file.n_changes++;
        if (draw(c, 40) == 0) /* and back */
            c->k.listing.n_changes = draw(c, 4);
        break;
    case 10:
        send_readdir(c);
        break;
    default:
        send_read(c);
    }
}

static unsigned n_under_way(const struct crowd *c)
{
    unsigned n = 0;
    for (int i = 0; i < N_INFLIGHT; i++)
        n += c->pending[i].unique != 0;
    return n;
}

static void end_quietly(struct crowd *c)
{
    while (!c->wrong && n_under_way(c) > 0)
        take_reply(c);
    for (int i = 0; i < N_HANDLES; i++)
        if (c->handles[i].fh != 0)
            send_release(c, &c->handles[i]);
    while (!c->wrong && n_under_way(c) > 0)
        take_reply(c);
    forget_some(c, N_NODES);
}

/* FORGET is not answered: wait for what follows from it. */
static bool all_closed(const struct crowd *c)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    for (int i = 0; i < 2000 && scripted_listing_n_open(&c->k.listing) > 0; i++)
        nanosleep(&pause, NULL);
    return scripted_listing_n_open(&c->k.listing) == 0;
}

int main(int argc, char **argv)
{
    struct crowd *c = calloc(1, sizeof(*c));
    c->reply = malloc(sizeof(*c->reply));
    c->seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 20240229;
    printf("# seed %" PRIu64 "\n", c->seed);
    kernel_start(&c->k, N_THREADS);
    c->listing = kernel_lookup(&c->k, KERNEL_LISTING, c->reply);
    c->k.file.read_ns = 1000000;
    c->k.listing.n = N_LISTED;
    c->k.listing.stat_ns = 100000;
    c->k.listing.read_ns = 1000000;
    while (!c->wrong && c->n_answered < N_REQUESTS) {
        /* One slot stays free for what an answer makes us send. */
        while (n_under_way(c) < N_INFLIGHT - 1 - draw(c, N_INFLIGHT / 2))
            do_something(c);
        take_reply(c);
    }
    end_quietly(c);
    TAP_STR(c->wrong ? c->wrong : "nothing", "nothing", "what was wrong");
    TAP_OK(c->k.file.reading.most >= N_THREADS / 2, "several threads read at once");
    TAP_OK(c->k.listing.asking.most > 1, "and look names of one directory up");
    TAP_OK(c->n_listed > 200 && c->k.listing.n_opened > 100, "listed files came and went");
    TAP_OK(c->n_missing > 20, "some were not there");
    TAP_OK(all_closed(c), "no source is open when all is released and forgotten");
    TAP_OK(c->n_interrupted > 10, "many were interrupted");
    TAP_OK(c->n_stale > 20, "many met a change");
    TAP_OK(c->n_forgotten > 20, "many inodes were forgotten");
    printf("# %u listed, %u sources, %u at once\n", c->n_listed, c->k.listing.n_opened,
           c->k.listing.asking.most);
    printf("# %u answered, %u interrupted, %u too late for that, %u stale, %u forgotten\n",
           c->n_answered, c->n_interrupted, c->n_too_late, c->n_stale, c->n_forgotten);
    kernel_stop(&c->k);
    free(c->reply);
    free(c);
    return tap_done();
}
