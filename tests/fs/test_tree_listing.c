/* Directories whose names change: whose files have an entry, an inode and an open source only while
 * somebody knows them. */
#include "fs/tree_impl.h"
#include "tests/fs/scripted_listing.h"
#include "tests/tap.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

TAP_STATE;

static const struct source_io io = {.deadline_ns = INT64_MAX};

#define CALLER 1234 /* the thread that asks */
#define N_MANY 100000

struct world {
    struct fs_tree *tree;
    struct scripted_listing listing;
    struct scripted_listing other;
    fuse_ino_t dir; /* of `listing` */
    fuse_ino_t other_dir;
};

/* What the hooks of the listing work on: one world at a time. */
static struct {
    struct world *w;
    struct fuse_entry_param e;
    struct fs_opened opened;
    uint64_t n_forgotten;
} hooked;

static void pass_ms(long ms)
{
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&pause, NULL);
}

/* attr_timeout 0 ns: every lookup asks. */
static void open_world(struct world *w, uint64_t n, uint64_t attr_timeout_ns)
{
    const struct fs_tree_config config = {.uid = 7, .gid = 8, .attr_timeout_ns = attr_timeout_ns};
    memset(w, 0, sizeof(*w));
    w->listing.n = n;
    w->other.n = n;
    int result = fs_tree_new(&w->tree, &config);
    if (result == 0)
        result = fs_tree_add_listing(w->tree, NULL, "chunks", &scripted_listing_ops, &w->listing);
    if (result == 0)
        result = fs_tree_add_listing(w->tree, NULL, "others", &scripted_listing_ops, &w->other);
    struct fuse_entry_param e;
    if (result == 0)
        result = fs_tree_lookup(w->tree, 1, "chunks", CALLER, &io, &e);
    w->dir = e.ino;
    if (result == 0)
        result = fs_tree_lookup(w->tree, 1, "others", CALLER, &io, &e);
    w->other_dir = e.ino;
    TAP_INT(result, 0, "a tree is built");
    hooked.w = w;
}

static void close_world(struct world *w)
{
    fs_tree_free(w->tree);
    TAP_INT(scripted_listing_n_open(&w->listing) + scripted_listing_n_open(&w->other), 0,
            "the tree leaves no source open");
}

static int look_up(struct world *w, uint64_t index, struct fuse_entry_param *out)
{
    char name[FS_NAME_SIZE];
    scripted_listing_ops.name(&w->listing, index, name);
    return fs_tree_lookup(w->tree, w->dir, name, CALLER, &io, out);
}

static bool has_inode(struct world *w, fuse_ino_t ino)
{
    struct stat attr;
    double timeout;
    return fs_tree_getattr(w->tree, ino, &io, &attr, &timeout) == 0;
}

static unsigned n_open(const struct world *w)
{
    return scripted_listing_n_open(&w->listing);
}

static void test_names(void)
{
    struct world w;
    open_world(&w, 5, 2500000000);
    struct fuse_entry_param e;
    struct fuse_entry_param none;
    TAP_INT(look_up(&w, 4, &e), 0, "a listed file");
    TAP_INT(e.attr.st_mode, S_IFREG | 0444, "read-only");
    TAP_INT(e.attr.st_size, LISTED_SIZE + 4, "its size");
    TAP_INT(e.attr.st_mtim.tv_sec, 1700000000, "its mtime");
    TAP_INT(e.attr.st_uid * 100 + e.attr.st_gid, 708, "owner and group");
    TAP_OK(e.entry_timeout == 2.5 && e.attr_timeout == 2.5, "known to the kernel for attr_timeout");
    TAP_INT(fs_tree_lookup(w.tree, e.ino, "x", CALLER, &io, &none), -ENOTDIR, "no directory");
    static const char *const names[] = {"", "0", "4", "00000000004", "0000000004 ", "-000000004"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        TAP_INT(fs_tree_lookup(w.tree, w.dir, names[i], CALLER, &io, &none), -ENOENT,
                "a name that never is");
    char long_name[FS_NAME_SIZE + 1] = {0};
    memset(long_name, '0', FS_NAME_SIZE);
    TAP_INT(fs_tree_lookup(w.tree, w.dir, long_name, CALLER, &io, &none), -ENAMETOOLONG,
            "a long one");
    TAP_INT(w.listing.n_opened, 1, "nothing was opened for these");
    TAP_INT(look_up(&w, 5, &none), -ENOENT, "a file that the source does not know");
    TAP_INT(n_open(&w), 1, "is not kept");
    TAP_INT((int64_t)fs_tree_total_size(w.tree), 0, "listed files are not in the total");
    struct stat attr;
    double timeout;
    TAP_INT(fs_tree_getattr(w.tree, w.dir, &io, &attr, &timeout), 0, "the directory");
    TAP_INT(attr.st_mode, S_IFDIR | 0555, "is one");
    close_world(&w);
}

/* Sources are open as long as the kernel knows an inode. */
static void test_life(void)
{
    struct world w;
    open_world(&w, 5, 0);
    struct fuse_entry_param first;
    struct fuse_entry_param again;
    TAP_INT(n_open(&w), 0, "no source is open before a lookup");
    TAP_INT(look_up(&w, 3, &first), 0, "a lookup");
    TAP_INT(look_up(&w, 3, &again), 0, "and another");
    TAP_INT((int64_t)again.ino, (int64_t)first.ino, "lead to one inode");
    TAP_INT(w.listing.n_opened, 1, "with one source");
    fs_tree_forget(w.tree, first.ino, 1);
    TAP_OK(n_open(&w) == 1 && has_inode(&w, first.ino), "it stays while the kernel knows it");
    fs_tree_forget(w.tree, first.ino, 1);
    TAP_OK(n_open(&w) == 0 && !has_inode(&w, first.ino), "and goes when it is forgotten");
    fs_tree_forget(w.tree, first.ino, 1);
    TAP_INT(look_up(&w, 3, &again), 0, "looked up again");
    TAP_INT((int64_t)again.ino, (int64_t)first.ino, "it has its number again");
    struct fuse_entry_param other;
    TAP_INT(fs_tree_lookup(w.tree, w.other_dir, "0000000003", CALLER, &io, &other), 0,
            "the same name in another directory");
    TAP_OK(other.ino != first.ino, "is another inode");
    TAP_INT(look_up(&w, 4, &other), 0, "so is");
    TAP_OK(other.ino != first.ino, "another name");
    fs_tree_forget(w.tree, again.ino, UINT64_MAX);
    TAP_INT(n_open(&w), 1, "each is closed for itself");
    close_world(&w); /* with inodes that were not forgotten, as at unmount */
}

/* FORGET may be served before RELEASE. */
static void test_handles(void)
{
    struct world w;
    open_world(&w, 5, 0);
    struct fuse_entry_param e;
    struct fs_opened one;
    struct fs_opened two;
    TAP_INT(look_up(&w, 3, &e), 0, "a lookup");
    TAP_INT(fs_tree_open(w.tree, e.ino, CALLER, &io, &one), 0, "an open");
    TAP_INT(fs_tree_open(w.tree, e.ino, CALLER, &io, &two), 0, "and another");
    TAP_OK(one.kind == FS_ENTRY_FILE && one.source == two.source, "of one source");
    TAP_INT((int64_t)one.stat.size, LISTED_SIZE + 3, "pinned");
    fs_tree_forget(w.tree, e.ino, 1);
    TAP_INT(n_open(&w), 1, "a handle keeps the source when the inode is forgotten");
    TAP_OK(!has_inode(&w, e.ino), "which is gone");
    unsigned char bytes[2] = {0};
    TAP_INT(source_read(one.source, one.stat.version, 70000, bytes, 2, &io), 0, "it can be read");
    TAP_OK(bytes[0] == scripted_listing_byte(3, 1, 70000) &&
               bytes[1] == scripted_listing_byte(3, 1, 70001),
           "right");
    fs_tree_close(w.tree, &one);
    TAP_INT(n_open(&w), 1, "so does the other handle");
    struct fuse_entry_param again;
    TAP_INT(look_up(&w, 3, &again), 0, "the name is looked up meanwhile");
    TAP_OK(again.ino == e.ino && w.listing.n_opened == 1, "which is the same file");
    fs_tree_close(w.tree, &two);
    TAP_INT(n_open(&w), 1, "now an inode keeps it");
    fs_tree_forget(w.tree, again.ino, 1);
    TAP_INT(n_open(&w), 0, "nothing does");
    TAP_INT(look_up(&w, 3, &e), 0, "the usual order:");
    TAP_INT(fs_tree_open(w.tree, e.ino, CALLER, &io, &one), 0, "opened,");
    fs_tree_close(w.tree, &one);
    fs_tree_forget(w.tree, e.ino, 1);
    TAP_INT(n_open(&w), 0, "closed, forgotten");
    TAP_INT(fs_tree_open(w.tree, e.ino, CALLER, &io, &one), -ESTALE, "a forgotten inode");
    close_world(&w);
}

static void test_versions(void)
{
    struct world w;
    open_world(&w, 5, 0);
    struct fuse_entry_param first;
    struct fuse_entry_param second;
    struct fuse_entry_param again;
    struct fs_opened opened;
    TAP_INT(look_up(&w, 3, &first), 0, "version 1");
    w.listing.n_changes = 1;
    pass_ms(100); /* longer than an open may use what the lookup learned */
    TAP_INT(fs_tree_open(w.tree, first.ino, CALLER, &io, &opened), -ESTALE,
            "an older version does not open");
    TAP_INT(look_up(&w, 3, &second), 0, "version 2");
    TAP_OK(second.ino != first.ino, "is another inode");
    TAP_INT(fs_tree_open(w.tree, second.ino, CALLER, &io, &opened), 0, "which opens");
    fs_tree_close(w.tree, &opened);
    TAP_OK(has_inode(&w, first.ino), "the older one stays as long as it is known");

    w.listing.n_changes = 0;
    TAP_INT(look_up(&w, 3, &again), 0, "version 1 comes back");
    TAP_INT((int64_t)again.ino, (int64_t)first.ino, "as the inode it is");
    TAP_INT(fs_tree_open(w.tree, first.ino, CALLER, &io, &opened), 0, "which opens again");
    fs_tree_close(w.tree, &opened);
    fs_tree_forget(w.tree, first.ino, 1);
    TAP_OK(has_inode(&w, first.ino), "all its lookups count");
    fs_tree_forget(w.tree, first.ino, 1);
    TAP_OK(!has_inode(&w, first.ino) && has_inode(&w, second.ino) && n_open(&w) == 1,
           "the present one is forgotten, the older one not");
    w.listing.n_changes = 1;
    TAP_INT(look_up(&w, 3, &again), 0, "version 2 comes back");
    TAP_INT((int64_t)again.ino, (int64_t)second.ino, "as the inode it is");
    fs_tree_forget(w.tree, second.ino, 2);
    TAP_INT(n_open(&w), 0, "the source is closed with the last");
    TAP_INT(w.listing.n_closed, 1, "once");
    close_world(&w);
}

static void test_live(void)
{
    struct world w;
    open_world(&w, 5, 0);
    w.listing.is_live = true;
    struct fuse_entry_param first;
    struct fuse_entry_param again;
    struct fs_opened opened;
    TAP_INT(look_up(&w, 3, &first), 0, "a file without versions");
    TAP_INT(look_up(&w, 3, &again), 0, "looked up again");
    TAP_OK(again.ino == first.ino, "keeps its inode");
    TAP_OK(again.attr_timeout <= 0, "with attributes that are not remembered");
    TAP_INT(fs_tree_open(w.tree, first.ino, CALLER, &io, &opened), 0, "it opens");
    fs_tree_close(w.tree, &opened);
    TAP_INT(look_up(&w, 3, &again), 0, "after which");
    TAP_OK(again.attr.st_mtim.tv_sec > first.attr.st_mtim.tv_sec, "it is newer");
    fs_tree_forget(w.tree, first.ino, 3);
    TAP_INT(n_open(&w), 0, "and is forgotten");
    int64_t newest = again.attr.st_mtim.tv_sec;
    TAP_INT(look_up(&w, 3, &again), 0, "looked up once more");
    TAP_OK(again.ino == first.ino, "it has its number again");
    TAP_OK(again.attr.st_mtim.tv_sec >= newest, "and is not older than it was");
    close_world(&w);
}

static void test_gone(void)
{
    struct world w;
    open_world(&w, 5, 0);
    struct fuse_entry_param e;
    struct fuse_entry_param none;
    struct fs_opened opened;
    struct fs_opened refused;
    TAP_INT(look_up(&w, 3, &e), 0, "a file");
    TAP_INT(fs_tree_open(w.tree, e.ino, CALLER, &io, &opened), 0, "that is open");
    w.listing.n = 3;
    TAP_INT(look_up(&w, 3, &none), -ENOENT, "goes");
    TAP_INT(fs_tree_open(w.tree, e.ino, CALLER, &io, &refused), -ENOENT, "and does not open");
    struct stat attr;
    double timeout;
    unsigned n_stats = w.listing.n_stats;
    TAP_INT(fs_tree_getattr(w.tree, e.ino, &io, &attr, &timeout), 0, "who has it open");
    TAP_OK(attr.st_size == LISTED_SIZE + 3 && attr.st_mtim.tv_sec == 1700000000,
           "sees it as it was");
    TAP_INT(w.listing.n_stats, n_stats, "without a question");
    fs_tree_forget(w.tree, e.ino, 1);
    fs_tree_close(w.tree, &opened);
    TAP_INT(n_open(&w), 0, "until it is closed");
    w.listing.n = 4;
    TAP_INT(look_up(&w, 3, &none), 0, "it may come back");
    TAP_INT((int64_t)none.ino, (int64_t)e.ino, "as it was");
    close_world(&w);
}

/* The kernel repeats a failed lookup for the next process that waits for the name. */
static void test_failures(void)
{
    struct world w;
    open_world(&w, 5000, 0);
    struct fuse_entry_param e;
    w.listing.stat_result = -ETIMEDOUT;
    TAP_INT(look_up(&w, 3, &e), -ETIMEDOUT, "a failed lookup");
    TAP_INT(n_open(&w), 0, "leaves nothing open");
    w.listing.stat_result = 0;
    TAP_INT(look_up(&w, 3, &e), -ETIMEDOUT, "its errno is kept");
    TAP_INT(look_up(&w, 3, &e), -ETIMEDOUT, "more than once");
    TAP_INT(w.listing.n_stats, 1, "without another question");
    TAP_INT(look_up(&w, 4, &e), 0, "which is nothing to other files");
    TAP_INT(fs_tree_lookup(w.tree, w.other_dir, "0000000003", CALLER, &io, &e), 0,
            "nor to the same name elsewhere");
    fs_tree_outdate(w.tree);
    TAP_INT(look_up(&w, 3, &e), 0, "it is asked again once the canister has changed");
    fs_tree_forget(w.tree, e.ino, 1);
    TAP_INT(look_up(&w, 3, &e), 0, "an answer ends it");
    fs_tree_forget(w.tree, e.ino, 1);

    w.listing.stat_result = -EHOSTUNREACH;
    TAP_INT(look_up(&w, 3, &e), -EHOSTUNREACH, "a failure");
    pass_ms(2100);
    w.listing.stat_result = 0;
    TAP_INT(look_up(&w, 3, &e), 0, "is kept for 2 s");
    w.listing.stat_result = -EIO;
    TAP_INT(look_up(&w, 3, &e), -EIO, "a known file fails");
    fs_tree_forget(w.tree, e.ino, 1);
    w.listing.stat_result = 0;
    TAP_INT(look_up(&w, 3, &e), -EIO, "which is kept when it is forgotten");

    w.listing.stat_result = -EPROTO;
    for (uint64_t i = 1000; i < 3000; i++)
        if (look_up(&w, i, &e) != -EPROTO)
            TAP_OK(false, "every lookup fails");
    TAP_INT(n_open(&w), 1, "thousands of failures leave nothing open");
    w.listing.stat_result = 0;
    unsigned n_stats = w.listing.n_stats;
    for (uint64_t i = 3000 - FS_TREE_N_FAILURES; i < 3000; i++)
        if (look_up(&w, i, &e) != -EPROTO)
            TAP_OK(false, "the last failures are kept");
    TAP_INT(w.listing.n_stats, n_stats, "as many as may be under way at once");
    TAP_INT(look_up(&w, 1000, &e), 0, "the others are not");

    const atomic_bool given_up = true;
    const struct source_io cancelled = {.deadline_ns = INT64_MAX, .cancel = &given_up};
    TAP_INT(fs_tree_lookup(w.tree, w.dir, "0000004000", CALLER, &cancelled, &e), -EINTR,
            "a caller gives up");
    TAP_INT(look_up(&w, 4000, &e), 0, "which is nothing to the next");
    unsigned n_open_before = n_open(&w);
    w.listing.open_result = -ENOMEM;
    TAP_INT(look_up(&w, 4001, &e), -ENOMEM, "a source that cannot be made");
    TAP_INT(n_open(&w), n_open_before, "leaves nothing");
    w.listing.open_result = 0;
    TAP_INT(look_up(&w, 4001, &e), 0, "and is made the next time");
    close_world(&w);
}

static int compare_inos(const void *a, const void *b)
{
    const uint64_t *x = a;
    const uint64_t *y = b;
    return (*x > *y) - (*x < *y);
}

static void test_many(void)
{
    struct world w;
    open_world(&w, N_MANY, 0);
    uint64_t *inos = calloc(N_MANY, sizeof(*inos));
    struct fuse_entry_param e;
    int64_t began_ns = fs_tree_clock_ns(CLOCK_MONOTONIC);
    int result = 0;
    for (uint64_t i = 0; result == 0 && i < N_MANY; i++) {
        result = look_up(&w, i, &e);
        inos[i] = e.ino;
    }
    TAP_INT(result, 0, "very many lookups");
    TAP_INT(n_open(&w), N_MANY, "all known");
    for (uint64_t i = 0; result == 0 && i < N_MANY; i++) {
        result = look_up(&w, i, &e);
        if (e.ino != inos[i])
            result = -ESTALE;
    }
    TAP_INT(result, 0, "each of them again, by the same number");
    for (uint64_t i = 0; i < N_MANY; i++)
        fs_tree_forget(w.tree, inos[i], 2);
    TAP_INT(n_open(&w), 0, "all forgotten");
    printf("# %.2f s\n", (double)(fs_tree_clock_ns(CLOCK_MONOTONIC) - began_ns) / 1e9);
    qsort(inos, N_MANY, sizeof(*inos), compare_inos);
    unsigned n_doubles = 0;
    for (size_t i = 1; i < N_MANY; i++)
        n_doubles += inos[i] == inos[i - 1];
    TAP_INT(n_doubles, 0, "no number is that of two files");
    TAP_OK(inos[0] > UINT32_MAX && inos[N_MANY - 1] < UINT64_C(1) << 53,
           "none is one of other files, or too long for a double");
    free(inos);
    unsigned most_open = 0;
    for (uint64_t i = 0; i < N_MANY; i++) {
        if (look_up(&w, i, &e) < 0)
            TAP_OK(false, "one after the other");
        most_open = n_open(&w) > most_open ? n_open(&w) : most_open;
        fs_tree_forget(w.tree, e.ino, 1);
    }
    TAP_INT(most_open, 1, "looked up and forgotten, one after the other");
    close_world(&w);
}

/* Another inode has the number that a file should get. */
static void test_collision(void)
{
    struct world w;
    open_world(&w, 10, 0);
    struct fuse_entry_param e;
    TAP_INT(look_up(&w, 7, &e), 0, "a file");
    struct fs_node *node = fs_tree_find_node_locked(w.tree, e.ino);
    HASH_DEL(w.tree->nodes, node);
    node->ino = fs_tree_listed_ino(1, 3, 1);
    HASH_ADD(hh, w.tree->nodes, ino, sizeof(node->ino), node);
    fuse_ino_t taken = node->ino;
    TAP_INT(look_up(&w, 3, &e), 0, "another one");
    TAP_OK(e.ino != taken && e.attr.st_size == LISTED_SIZE + 3, "gets a number of its own");
    struct fuse_entry_param again;
    TAP_INT(look_up(&w, 3, &again), 0, "which it keeps");
    TAP_INT((int64_t)again.ino, (int64_t)e.ino, "while it is known");
    TAP_INT(look_up(&w, 7, &again), 0, "as the first");
    TAP_INT((int64_t)again.ino, (int64_t)taken, "keeps its own");
    fs_tree_forget(w.tree, taken, 2);
    fs_tree_forget(w.tree, e.ino, 2);
    TAP_INT(n_open(&w), 0, "both are forgotten");
    TAP_INT(look_up(&w, 3, &e), 0, "then the other one");
    TAP_INT((int64_t)e.ino, (int64_t)taken, "has it");
    close_world(&w);
}

static void look_up_another(struct scripted_listing *listing, uint64_t index)
{
    (void)listing;
    if (look_up(hooked.w, index + 1, &hooked.e) < 0)
        abort();
}

static void look_up_same(struct scripted_listing *listing, uint64_t index)
{
    (void)listing;
    if (look_up(hooked.w, index, &hooked.e) < 0)
        abort();
}

static void forget_all(struct scripted_listing *listing, uint64_t index)
{
    (void)listing, (void)index;
    fs_tree_forget(hooked.w->tree, hooked.e.ino, hooked.n_forgotten);
}

static void close_handle(struct scripted_listing *listing, uint64_t index)
{
    forget_all(listing, index);
    fs_tree_close(hooked.w->tree, &hooked.opened);
}

/* No lock is held while a source is asked or made: calls meet. */
static void test_meetings(void)
{
    struct world w;
    open_world(&w, 10, 0);
    struct fuse_entry_param e;
    w.listing.on_stat = look_up_another;
    TAP_INT(look_up(&w, 1, &e), 0, "a lookup during which another name is looked up");
    TAP_OK(e.attr.st_size == LISTED_SIZE + 1 && hooked.e.attr.st_size == LISTED_SIZE + 2, "works");

    w.listing.on_stat = look_up_same;
    TAP_INT(look_up(&w, 3, &e), 0, "two lookups of one name");
    TAP_OK(e.ino == hooked.e.ino && w.listing.n_opened == 3, "make one file");
    fs_tree_forget(w.tree, e.ino, 1);
    TAP_OK(has_inode(&w, e.ino), "both count");
    fs_tree_forget(w.tree, e.ino, 1);
    TAP_OK(!has_inode(&w, e.ino) && n_open(&w) == 2, "then it is forgotten");

    w.listing.on_open = look_up_same;
    TAP_INT(look_up(&w, 4, &e), 0, "two lookups that make the source");
    TAP_OK(e.ino == hooked.e.ino && n_open(&w) == 3 && w.listing.n_closed == 2,
           "keep one of the two");
    fs_tree_forget(w.tree, e.ino, 2);
    TAP_INT(n_open(&w), 2, "and close it");

    TAP_INT(look_up(&w, 5, &hooked.e), 0, "a file");
    hooked.n_forgotten = 1;
    w.listing.on_stat = forget_all;
    unsigned n_opened = w.listing.n_opened;
    TAP_INT(look_up(&w, 5, &e), 0, "is forgotten while it is looked up again");
    TAP_OK(e.ino == hooked.e.ino && has_inode(&w, e.ino) && w.listing.n_opened == n_opened,
           "it is still the same");
    hooked.e = e;
    w.listing.on_stat = forget_all;
    pass_ms(100);
    TAP_INT(fs_tree_open(w.tree, e.ino, CALLER, &io, &hooked.opened), -ESTALE,
            "it is forgotten while it is opened");
    TAP_INT(n_open(&w), 2, "and closed after that");

    TAP_INT(look_up(&w, 6, &hooked.e), 0, "a file");
    TAP_INT(fs_tree_open(w.tree, hooked.e.ino, CALLER, &io, &hooked.opened), 0, "that is open");
    w.listing.on_stat = close_handle;
    w.listing.stat_result = -EIO;
    TAP_INT(look_up(&w, 6, &e), -EIO, "is closed and forgotten while a lookup fails");
    TAP_INT(n_open(&w), 2, "the source is closed with the last who needed it");
    close_world(&w);
}

static void test_readdir(void)
{
    struct world w;
    open_world(&w, 3, 0);
    struct fuse_entry_param e;
    TAP_INT(look_up(&w, 1, &e), 0, "one file is known");
    unsigned n_stats = w.listing.n_stats;
    uint64_t n = 99;
    TAP_INT(fs_tree_opendir(w.tree, w.dir, &io, &n), 0, "the directory is opened");
    TAP_INT((int64_t)n, 3, "with as many names as there are");
    w.listing.n = 0;
    struct fs_dirent d;
    static const char *const names[] = {".", "..", "0000000000", "0000000001", "0000000002"};
    for (uint64_t i = 0; i < 5; i++) {
        TAP_INT(fs_tree_readdir(w.tree, w.dir, n, i, &io, &d), 1, "a name");
        TAP_STR(d.name, names[i], names[i]);
        TAP_INT(d.stat.st_mode, i < 2 ? S_IFDIR : S_IFREG, "its type");
        TAP_OK(!d.skip && d.stat.st_ino != 0, "it is shown");
        if (i == 3)
            TAP_INT((int64_t)d.stat.st_ino, (int64_t)e.ino, "by its number, when it has one");
    }
    TAP_INT(fs_tree_readdir(w.tree, w.dir, n, 5, &io, &d), 0, "then the end");
    TAP_INT(fs_tree_readdir(w.tree, w.dir, n, UINT64_MAX, &io, &d), 0, "and far behind it");
    TAP_INT(w.listing.n_counts, 1, "counted once");
    TAP_OK(w.listing.n_stats == n_stats && w.listing.n_opened == 1, "and no file was asked for");

    w.listing.count_result = -EACCES;
    TAP_INT(fs_tree_opendir(w.tree, w.dir, &io, &n), -EACCES, "a listing that is refused");
    w.listing.count_result = 0;
    TAP_INT(fs_tree_opendir(w.tree, w.dir, &io, &n), 0, "an empty directory");
    TAP_INT(fs_tree_readdir(w.tree, w.dir, n, 2, &io, &d), 0, "has no names");
    TAP_INT(fs_tree_opendir(w.tree, 1, &io, &n), 0, "a directory of fixed names");
    TAP_INT(w.listing.n_counts, 3, "asks nothing");
    TAP_INT(fs_tree_readdir(w.tree, 1, n, 3, &io, &d), 1, "its last name");
    TAP_STR(d.name, "others", "is listed");
    TAP_INT(fs_tree_readdir(w.tree, 1, n, 4, &io, &d), 0, "then the end");
    TAP_INT(fs_tree_opendir(w.tree, e.ino, &io, &n), -ENOTDIR, "a file is no directory");
    TAP_INT(fs_tree_opendir(w.tree, 4711, &io, &n), -ENOENT, "nor is what is not there");
    close_world(&w);
}

/* --- directories that come and go --- */

/* Files 0 and 2 as scripted; 1 is a directory of such files. */
struct house {
    struct scripted_listing files;
    struct scripted_listing inner;
    int learn_result;
    unsigned n_learnt;
};

static int house_count(void *arg, const struct source_io *how, uint64_t *out)
{
    struct house *house = arg;
    return scripted_listing_ops.count(&house->files, how, out);
}

static void house_name(void *arg, uint64_t index, char *name)
{
    scripted_listing_ops.name(arg, index, name);
}

static int house_find(void *arg, const char *name, uint64_t *out)
{
    return scripted_listing_ops.find(arg, name, out);
}

static int house_open(void *arg, uint64_t index, struct source **out)
{
    struct house *house = arg;
    return scripted_listing_ops.open(&house->files, index, out);
}

static int house_learn(void *arg, const char *name, const struct source_io *how)
{
    struct house *house = arg;
    (void)name, (void)how;
    house->n_learnt++;
    return house->learn_result;
}

static bool house_has(void *arg, uint64_t index)
{
    (void)arg;
    return index != 2;
}

static const struct fs_listing_ops *house_dir(void *arg, uint64_t index, void **ret_arg)
{
    struct house *house = arg;
    *ret_arg = &house->inner;
    return index == 1 ? &scripted_listing_ops : NULL;
}

static const struct fs_listing_ops house_ops = {
    .count = house_count,
    .name = house_name,
    .find = house_find,
    .open = house_open,
    .learn = house_learn,
    .has = house_has,
    .dir = house_dir,
};

static void test_directories(void)
{
    const struct fs_tree_config config = {.attr_timeout_ns = 0};
    struct house house = {.files.n = 3, .inner.n = 2};
    struct fs_tree *tree;
    struct fuse_entry_param top;
    struct fuse_entry_param dir;
    struct fuse_entry_param file;
    struct fs_dirent dirent;
    uint64_t n = 0;
    int result = fs_tree_new(&tree, &config);
    if (result == 0)
        result = fs_tree_add_listing(tree, NULL, "house", &house_ops, &house);
    if (result == 0)
        result = fs_tree_lookup(tree, 1, "house", CALLER, &io, &top);
    TAP_INT(result, 0, "a directory of files and directories");

    TAP_INT(fs_tree_opendir(tree, top.ino, &io, &n), 0, "is opened");
    TAP_INT((int64_t)n, 3, "with all its names");
    TAP_INT(fs_tree_readdir(tree, top.ino, n, 2, &io, &dirent), 1, "the first");
    TAP_OK(!dirent.skip && dirent.stat.st_mode == S_IFREG, "is a file");
    TAP_INT(fs_tree_readdir(tree, top.ino, n, 3, &io, &dirent), 1, "the second");
    TAP_OK(!dirent.skip && dirent.stat.st_mode == S_IFDIR, "is a directory");
    TAP_INT(fs_tree_readdir(tree, top.ino, n, 4, &io, &dirent), 1, "the third");
    TAP_OK(dirent.skip, "is not there now");

    house.learn_result = -EACCES;
    TAP_INT(fs_tree_lookup(tree, top.ino, "0000000001", CALLER, &io, &dir), -EACCES,
            "what a name needs cannot be learned");
    house.learn_result = 0;
    TAP_INT(fs_tree_lookup(tree, top.ino, "0000000001", CALLER, &io, &dir), 0,
            "a listed directory");
    TAP_INT(house.n_learnt, 2, "is learned of at each lookup");
    TAP_INT(dir.attr.st_mode, S_IFDIR | 0555, "is one");
    TAP_INT(dir.attr.st_mtim.tv_sec, 1700000000, "with the mtime that its source tells");
    TAP_INT(dir.attr.st_size, LISTED_SIZE + 1, "and the size");
    char path[FS_PLACE_PATH_MAX];
    TAP_INT(fs_tree_format_dir(tree, dir.ino, path), 0, "its path");
    TAP_STR(path, "house/0000000001", "has the listed name");

    TAP_INT(fs_tree_lookup(tree, dir.ino, "0000000000", CALLER, &io, &file), 0, "a file in it");
    TAP_INT(fs_tree_lookup(tree, dir.ino, "0000000009", CALLER, &io, &file), -ENOENT, "no other");
    TAP_INT(fs_tree_readdir(tree, dir.ino, 2, 1, &io, &dirent), 1, "what is above it");
    TAP_INT((int64_t)dirent.stat.st_ino, (int64_t)top.ino, "is known by its number");
    fuse_ino_t ino = dir.ino;
    fuse_ino_t file_ino = file.ino;

    fs_tree_forget(tree, dir.ino, 1);
    TAP_INT(scripted_listing_n_open(&house.files), 1,
            "forgotten, it stays while a file of it does");
    fs_tree_forget(tree, file.ino, 1);
    TAP_INT(scripted_listing_n_open(&house.inner), 0, "the file goes");
    TAP_INT(scripted_listing_n_open(&house.files), 0, "and the directory with it");
    TAP_INT(fs_tree_opendir(tree, ino, &io, &n), -ENOENT, "it is not known any more");

    result = fs_tree_lookup(tree, top.ino, "0000000001", CALLER, &io, &dir);
    TAP_OK(result == 0 && dir.ino == ino, "looked up again, it has its number");
    result = fs_tree_lookup(tree, dir.ino, "0000000000", CALLER, &io, &file);
    TAP_OK(result == 0 && file.ino == file_ino, "and so has the file");
    house.files.stat_result = -ENOENT;
    TAP_INT(fs_tree_lookup(tree, top.ino, "0000000001", CALLER, &io, &dir), -ENOENT,
            "gone, for who looks it up");
    fs_tree_free(tree);
    TAP_INT(scripted_listing_n_open(&house.files) + scripted_listing_n_open(&house.inner), 0,
            "the tree leaves no source open");
}

int main(void)
{
    test_names();
    test_life();
    test_handles();
    test_versions();
    test_live();
    test_gone();
    test_failures();
    test_many();
    test_collision();
    test_meetings();
    test_readdir();
    test_directories();
    return tap_done();
}
