/* Names and inodes: one inode per version, attributes, references. */
#include "fs/tree.h"
#include "tests/fs/scripted.h"
#include "tests/support/least.h"
#include "tests/tap.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

TAP_STATE;

static const struct source_io io = {.deadline_ns = INT64_MAX};

#define CALLER   1234 /* the thread that asks */
#define STRANGER 4321

static void pass_ms(long ms)
{
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&pause, NULL);
}

struct world {
    struct fs_tree *tree;
    struct scripted file;
    struct scripted fact;
};

static int render(void *arg, char **out, size_t *out_len)
{
    *out = strdup(arg);
    *out_len = strlen(arg);
    return 0;
}

/* attr_timeout 0 ns: every lookup asks. */
static void open_world(struct world *w, bool versioned, uint64_t attr_timeout_ns)
{
    const struct fs_tree_config config = {.uid = 7, .gid = 8, .attr_timeout_ns = attr_timeout_ns};
    scripted_init(&w->file, 1000000, 5, versioned);
    scripted_init(&w->fact, 10, 1, true);
    struct fs_entry *dir;
    int result = fs_tree_new(&w->tree, &config);
    if (result == 0)
        result = fs_tree_add_dir(w->tree, NULL, "canister", &dir);
    if (result == 0)
        result = fs_tree_add_file(w->tree, dir, "id", &w->fact.source, true);
    if (result == 0)
        result = fs_tree_add_file(w->tree, NULL, "stable_memory", &w->file.source, false);
    if (result == 0)
        result = fs_tree_add_generated(w->tree, NULL, "status", render, (void *)(uintptr_t) "{}");
    TAP_INT(result, 0, "a tree is built");
}

static void close_world(struct world *w)
{
    fs_tree_free(w->tree);
    TAP_INT(w->file.n_closed + w->fact.n_closed, 2, "the tree closes its sources, once each");
}

static void test_names(void)
{
    struct world w;
    open_world(&w, true, 1000000000);
    struct fuse_entry_param e;
    TAP_INT(fs_tree_lookup(w.tree, 1, "nothing", CALLER, &io, &e), -ENOENT, "an unknown name");
    char long_name[257];
    memset(long_name, 'x', 256);
    long_name[256] = '\0';
    TAP_INT(fs_tree_lookup(w.tree, 1, long_name, CALLER, &io, &e), -ENAMETOOLONG, "a long name");
    TAP_INT(fs_tree_lookup(w.tree, 99, "x", CALLER, &io, &e), -ENOENT, "an unknown directory");
    TAP_INT(fs_tree_lookup(w.tree, 1, "stable_memory", CALLER, &io, &e), 0, "a file");
    TAP_INT(e.attr.st_size, 1000000, "its size");
    TAP_INT(e.attr.st_mode, S_IFREG | 0444, "read-only");
    TAP_INT(e.attr.st_mtim.tv_sec, 1600000000, "the version's mtime, seconds");
    TAP_INT(e.attr.st_mtim.tv_nsec, 123456789, "and nanoseconds");
    TAP_INT(e.attr.st_uid * 100 + e.attr.st_gid, 708, "owner and group");
    TAP_INT(fs_tree_lookup(w.tree, e.ino, "x", CALLER, &io, &e), -ENOTDIR,
            "a file is no directory");
    TAP_INT(fs_tree_lookup(w.tree, 1, "canister", CALLER, &io, &e), 0, "a directory");
    TAP_INT(e.attr.st_mode, S_IFDIR | 0555, "its mode");
    fuse_ino_t dir = e.ino;
    w.file.stat_result = -EHOSTUNREACH;
    TAP_INT(fs_tree_lookup(w.tree, 1, "stable_memory", CALLER, &io, &e), 0,
            "remembered for attr_timeout");
    TAP_INT((int64_t)fs_tree_total_size(w.tree), 1000000, "total of the sizes that are known");

    struct fs_dirent d;
    TAP_INT(fs_tree_readdir(w.tree, dir, 0, 0, &io, &d), 1, "first name");
    TAP_STR(d.name, ".", "is .");
    TAP_INT(fs_tree_readdir(w.tree, dir, 0, 2, &io, &d), 1, "third name");
    TAP_OK(strcmp(d.name, "id") == 0 && !d.skip, "is the fact");
    TAP_INT(fs_tree_readdir(w.tree, dir, 0, 3, &io, &d), 0, "then the end");
    close_world(&w);
}

static void test_optional(void)
{
    struct world w;
    open_world(&w, true, 0);
    struct fuse_entry_param e;
    if (fs_tree_lookup(w.tree, 1, "canister", CALLER, &io, &e) < 0)
        return;
    fuse_ino_t dir = e.ino;
    struct fs_dirent d;
    w.fact.stat_result = -ETIMEDOUT;
    TAP_INT(fs_tree_readdir(w.tree, dir, 0, 2, &io, &d), -ETIMEDOUT,
            "not knowing is not the same as absent");
    w.fact.stat_result = -ENOENT;
    TAP_INT(fs_tree_readdir(w.tree, dir, 0, 2, &io, &d), -ETIMEDOUT, "and is kept for a moment");
    pass_ms(2100);
    TAP_INT(fs_tree_readdir(w.tree, dir, 0, 2, &io, &d), 1, "an absent fact is passed over ...");
    TAP_OK(d.skip, "... when listing");
    TAP_INT(fs_tree_lookup(w.tree, dir, "id", CALLER, &io, &e), -ENOENT, "and cannot be looked up");
    unsigned n_facts = w.fact.n_stats;
    unsigned n_files = w.file.n_stats;
    w.fact.stat_result = 0;
    TAP_INT(fs_tree_readdir(w.tree, dir, 0, 2, &io, &d), 1, "a listing goes by the last answer");
    TAP_OK(d.skip && w.fact.n_stats == n_facts, "and asks nothing");
    TAP_INT(fs_tree_readdir(w.tree, 1, 0, 3, &io, &d), 1, "listing the root");
    TAP_INT(w.file.n_stats, n_files, "asks nothing about the files in it either");
    TAP_INT(fs_tree_lookup(w.tree, dir, "id", CALLER, &io, &e), 0, "once it was seen again");
    TAP_INT(fs_tree_readdir(w.tree, dir, 0, 2, &io, &d), 1, "it is listed again");
    TAP_OK(!d.skip, "by name");
    close_world(&w);
}

static void look_at_listing(struct world *w, fuse_ino_t dir, bool is_there, unsigned n_asked,
                            const char *what)
{
    struct fs_dirent d;
    unsigned n_before = w->fact.n_stats;
    TAP_INT(fs_tree_readdir(w->tree, dir, 0, 2, &io, &d), 1, what);
    TAP_OK(d.skip != is_there, is_there ? "it is listed" : "it is not listed");
    TAP_INT(w->fact.n_stats - n_before, n_asked, "asked as often as needed");
}

/* A file that is not there when the tree is built, and comes later. */
static void test_absent(void)
{
    struct world w = {0};
    const struct fs_tree_config config = {.attr_timeout_ns = 0};
    scripted_init(&w.fact, 65536, 1, false);
    struct fs_entry *parent;
    int result = fs_tree_new(&w.tree, &config);
    if (result == 0)
        result = fs_tree_add_dir(w.tree, NULL, "vmem", &parent);
    if (result == 0)
        result = fs_tree_add_absent(w.tree, parent, "007", &w.fact.source);
    const struct fs_restorable restorable = {0};
    if (result == 0)
        result = fs_tree_set_restorable(w.tree, "vmem/007", &restorable);
    struct fuse_entry_param e;
    struct fs_place place;
    if (result == 0)
        result = fs_tree_lookup(w.tree, 1, "vmem", CALLER, &io, &e);
    TAP_INT(result, 0, "a directory with a file that is not there yet");
    if (result < 0)
        return;
    fuse_ino_t dir = e.ino;
    w.fact.stat_result = -ENOENT;
    look_at_listing(&w, dir, false, 0, "before anybody asked");
    TAP_INT(fs_tree_find_place_in(w.tree, dir, "007", &place), 0, "it can be restored");
    TAP_INT(fs_tree_lookup(w.tree, dir, "007", CALLER, &io, &e), -ENOENT, "it is not there");
    look_at_listing(&w, dir, false, 0, "after a look");
    fs_tree_outdate(w.tree);
    look_at_listing(&w, dir, false, 0, "after something else was restored");
    fs_tree_outdate_place(w.tree, &place);
    look_at_listing(&w, dir, false, 1, "after a restore that came to nothing");
    look_at_listing(&w, dir, false, 0, "and later");
    w.fact.stat_result = 0;
    fs_tree_outdate_place(w.tree, &place);
    look_at_listing(&w, dir, true, 1, "after a restore");
    look_at_listing(&w, dir, true, 0, "and later");
    TAP_INT(fs_tree_lookup(w.tree, dir, "007", CALLER, &io, &e), 0, "it is there");
    TAP_OK(fs_tree_is_live(w.tree, e.ino), "the canister may change it at any time");
    fs_tree_free(w.tree);
    TAP_INT(w.fact.n_closed, 1, "the tree closes its source");
}

/* "No such file" would make rsync --delete remove the backup of a file that cannot be seen now. */
static void test_never_missing(void)
{
    struct world w;
    open_world(&w, true, 0);
    struct fuse_entry_param e;
    struct fuse_entry_param missing;
    struct fs_opened opened;
    TAP_INT(fs_tree_lookup(w.tree, 1, "stable_memory", STRANGER, &io, &e), 0, "the memory");
    w.file.stat_result = -ENOENT;
    TAP_INT(fs_tree_lookup(w.tree, 1, "stable_memory", CALLER, &io, &missing), -EIO,
            "a canister that is gone is an error, not a missing file");
    unsigned n = w.file.n_stats;
    TAP_INT(fs_tree_open(w.tree, e.ino, CALLER, &io, &opened), -EIO, "also when it is opened");
    TAP_INT(w.file.n_stats, n, "which does not ask again at once");
    pass_ms(2100);
    w.file.stat_result = 0;
    const atomic_bool given_up = true;
    const struct source_io cancelled = {.deadline_ns = INT64_MAX, .cancel = &given_up};
    TAP_INT(fs_tree_lookup(w.tree, 1, "stable_memory", CALLER, &cancelled, &missing), -EINTR,
            "a caller gives up");
    TAP_INT(fs_tree_lookup(w.tree, 1, "stable_memory", CALLER, &io, &missing), 0,
            "which is nothing to the next");
    struct fs_dirent d;
    TAP_INT(fs_tree_readdir(w.tree, 1, 0, 3, &io, &d), 1, "and it is listed");
    TAP_OK(!d.skip && strcmp(d.name, "stable_memory") == 0, "by name");
    close_world(&w);
}

struct quick_open {
    struct world *w;
    fuse_ino_t ino;
};

/* Returns how often the open asks: not at all in the 50 ms after the lookup, which a busy machine
 * may miss. */
static int64_t open_after_lookup(void *arg)
{
    const struct quick_open *quick = arg;
    struct fuse_entry_param e;
    struct fs_opened opened;
    TAP_INT(fs_tree_lookup(quick->w->tree, 1, "stable_memory", CALLER, &io, &e), 0, "looked up");
    unsigned n = quick->w->file.n_stats;
    TAP_INT(fs_tree_open(quick->w->tree, quick->ino, CALLER, &io, &opened), 0, "it opens");
    TAP_INT((int64_t)opened.stat.version, 5, "pinned");
    fs_tree_forget(quick->w->tree, quick->ino, 1); /* of this lookup */
    return quick->w->file.n_stats - n;
}

static void test_versions(void)
{
    struct world w;
    open_world(&w, true, 0);
    struct fuse_entry_param first;
    struct fuse_entry_param again;
    struct fuse_entry_param second;
    struct fs_opened opened;
    TAP_INT(fs_tree_lookup(w.tree, 1, "stable_memory", CALLER, &io, &first), 0, "version 5");
    TAP_INT(fs_tree_lookup(w.tree, 1, "stable_memory", CALLER, &io, &again), 0, "looked up again");
    TAP_INT((int64_t)again.ino, (int64_t)first.ino, "is the same inode");
    struct quick_open quick = {.w = &w, .ino = first.ino};
    TAP_INT(least_of(1, open_after_lookup, &quick), 0, "without asking what the lookup learned");
    unsigned n = w.file.n_stats;
    TAP_INT(fs_tree_open(w.tree, first.ino, CALLER, &io, &opened), 0, "a second open");
    TAP_INT(w.file.n_stats, n + 1, "asks: the canister may have changed in between");
    TAP_INT(fs_tree_lookup(w.tree, 1, "stable_memory", CALLER, &io, &again), 0, "a lookup");
    n = w.file.n_stats;
    TAP_INT(fs_tree_open(w.tree, first.ino, STRANGER, &io, &opened), 0,
            "and another thread's open");
    TAP_INT(w.file.n_stats, n + 1, "which asks: its lookup was not this one");

    w.file.stat.version = 6;
    w.file.stat.size = 2000000;
    pass_ms(300);
    TAP_INT(fs_tree_open(w.tree, first.ino, CALLER, &io, &opened), -ESTALE,
            "an inode of an older version does not open");
    TAP_INT(fs_tree_lookup(w.tree, 1, "stable_memory", CALLER, &io, &second), 0,
            "the name leads to");
    TAP_OK(second.ino != first.ino, "a new inode");
    TAP_INT(second.attr.st_size, 2000000, "of the new size");
    TAP_INT(fs_tree_open(w.tree, second.ino, CALLER, &io, &opened), 0, "which opens");

    struct stat attr;
    double timeout;
    TAP_INT(fs_tree_getattr(w.tree, first.ino, &io, &attr, &timeout), 0, "the old inode");
    TAP_INT(attr.st_size, 1000000, "keeps its size while the kernel holds it");
    fs_tree_forget(w.tree, first.ino, 3);
    TAP_INT(fs_tree_getattr(w.tree, first.ino, &io, &attr, &timeout), -ESTALE,
            "and is gone when the kernel forgets it");
    fs_tree_forget(w.tree, second.ino, 1);
    TAP_INT(fs_tree_getattr(w.tree, second.ino, &io, &attr, &timeout), 0,
            "the current one stays, with its number");
    close_world(&w);
}

/* A canister that changes all the time: what an OPEN learns when it finds its inode outdated serves
 * the lookup and the open that the kernel then sends. */
static int64_t open_when_busy(void *arg)
{
    (void)arg;
    struct world w;
    open_world(&w, true, 1000000000);
    struct fuse_entry_param first;
    struct fuse_entry_param second;
    struct fs_opened opened;
    TAP_INT(fs_tree_lookup(w.tree, 1, "stable_memory", CALLER, &io, &first), 0, "a lookup");
    TAP_INT(fs_tree_open(w.tree, first.ino, CALLER, &io, &opened), 0, "an open");
    w.file.stat.version = 6;
    TAP_INT(fs_tree_open(w.tree, first.ino, CALLER, &io, &opened), -ESTALE, "the version moves");
    unsigned n = w.file.n_stats;
    w.file.stat.version = 7;
    TAP_INT(fs_tree_lookup(w.tree, 1, "stable_memory", CALLER, &io, &second), 0, "looked up");
    int result = fs_tree_open(w.tree, second.ino, CALLER, &io, &opened);
    unsigned n_asked = w.file.n_stats - n; /* a busy machine may be late for the answer */
    TAP_INT(result, n_asked == 0 ? 0 : -ESTALE, "opened");
    TAP_OK(n_asked > 0 || opened.stat.version == 6, "at the version of the one answer");
    close_world(&w);
    return n_asked;
}

static void test_busy(void)
{
    TAP_INT(least_of(1, open_when_busy, NULL), 0, "with no further question");
}

static struct {
    struct world *w;
    struct fuse_entry_param inner;
} overtaking;

static void look_up_newer(struct scripted *file)
{
    file->on_stat = NULL;
    file->stat.version = 9;
    if (fs_tree_lookup(overtaking.w->tree, 1, "stable_memory", STRANGER, &io, &overtaking.inner) <
        0)
        abort();
    file->stat.version = 8;
}

/* A slow answer to an older question must not replace the one to a younger question. */
static void test_overtaking(void)
{
    struct world w;
    open_world(&w, true, 0);
    struct fuse_entry_param outer;
    overtaking.w = &w;
    w.file.on_stat = look_up_newer;
    TAP_INT(fs_tree_lookup(w.tree, 1, "stable_memory", CALLER, &io, &outer), 0, "a slow lookup");
    TAP_INT((int64_t)outer.ino, (int64_t)overtaking.inner.ino, "gets what a younger one learned");
    close_world(&w);
}

static void test_live(void)
{
    struct world w;
    open_world(&w, false, 0);
    struct fuse_entry_param first;
    struct fuse_entry_param again;
    struct fs_opened one;
    struct fs_opened two;
    struct stat attr;
    double timeout;
    TAP_INT(fs_tree_lookup(w.tree, 1, "stable_memory", CALLER, &io, &first), 0, "live memory");
    TAP_INT(fs_tree_lookup(w.tree, 1, "stable_memory", CALLER, &io, &again), 0, "looked up again");
    TAP_INT((int64_t)again.ino, (int64_t)first.ino, "keeps its inode");
    TAP_OK(again.attr.st_mtim.tv_sec == first.attr.st_mtim.tv_sec &&
               again.attr.st_mtim.tv_nsec == first.attr.st_mtim.tv_nsec,
           "and its mtime while nobody opens it");
    TAP_OK(again.attr_timeout <= 0, "which the kernel must not remember");
    TAP_INT(fs_tree_open(w.tree, first.ino, CALLER, &io, &one), 0, "an open");
    TAP_INT(fs_tree_getattr(w.tree, first.ino, &io, &attr, &timeout), 0, "moves");
    TAP_OK(attr.st_mtim.tv_sec > first.attr.st_mtim.tv_sec, "the mtime");
    TAP_INT(fs_tree_open(w.tree, first.ino, CALLER, &io, &two), 0, "another open");
    TAP_OK(one.stat.version != two.stat.version, "they pin versions of their own");
    w.file.stat.size = 77;
    TAP_INT(fs_tree_getattr(w.tree, first.ino, &io, &attr, &timeout), 0, "its size");
    TAP_INT(attr.st_size, 77, "moves");
    close_world(&w);
}

static void test_kinds(void)
{
    struct world w;
    open_world(&w, true, 0);
    struct fuse_entry_param e;
    struct fs_opened opened;
    TAP_INT(fs_tree_lookup(w.tree, 1, "status", CALLER, &io, &e), 0, "a generated file");
    TAP_INT(fs_tree_open(w.tree, e.ino, CALLER, &io, &opened), 0, "opens");
    TAP_OK(opened.kind == FS_ENTRY_GENERATED && opened.render == render, "with its renderer");
    TAP_INT(fs_tree_open(w.tree, 1, CALLER, &io, &opened), -EISDIR, "a directory does not");
    TAP_INT(fs_tree_open(w.tree, 12345, CALLER, &io, &opened), -ESTALE,
            "nor does an unknown inode");
    close_world(&w);
}

/* The memory changes while its size is being asked for. */
static void outdate(struct scripted *file)
{
    struct world *w = (struct world *)((char *)file - offsetof(struct world, file));
    file->on_stat = NULL;
    fs_tree_outdate(w->tree);
}

static void test_outdated(void)
{
    struct world w;
    open_world(&w, false, UINT64_C(3600000000000));
    struct fuse_entry_param e;
    struct stat attr;
    double timeout;
    w.file.on_stat = outdate;
    TAP_INT(fs_tree_lookup(w.tree, 1, "stable_memory", CALLER, &io, &e), 0, "a file is asked for");
    w.file.stat.size = 77;
    TAP_INT(fs_tree_getattr(w.tree, e.ino, &io, &attr, &timeout), 0, "outdated meanwhile");
    TAP_INT(attr.st_size, 77, "it is asked for again");
    w.file.stat.size = 78;
    TAP_INT(fs_tree_getattr(w.tree, e.ino, &io, &attr, &timeout), 0, "that answer");
    TAP_INT(attr.st_size, 77, "is remembered");
    fs_tree_outdate(w.tree);
    TAP_INT(fs_tree_getattr(w.tree, e.ino, &io, &attr, &timeout), 0, "until");
    TAP_INT(attr.st_size, 78, "it is outdated");

    fs_tree_outdate(w.tree);
    w.file.stat_result = -ETIMEDOUT;
    TAP_INT(fs_tree_getattr(w.tree, e.ino, &io, &attr, &timeout), -ETIMEDOUT, "a failure");
    w.file.stat_result = 0;
    TAP_INT(fs_tree_getattr(w.tree, e.ino, &io, &attr, &timeout), -ETIMEDOUT, "is kept");
    fs_tree_outdate(w.tree);
    TAP_INT(fs_tree_getattr(w.tree, e.ino, &io, &attr, &timeout), 0, "but not longer");
    close_world(&w);

    struct fs_opened opened;
    open_world(&w, true, UINT64_C(3600000000000));
    TAP_INT(fs_tree_lookup(w.tree, 1, "stable_memory", CALLER, &io, &e), 0, "a version");
    w.file.stat.version++;
    fs_tree_outdate(w.tree);
    TAP_INT(fs_tree_open(w.tree, e.ino, CALLER, &io, &opened), -ESTALE,
            "an open does not use an answer from before");
    close_world(&w);
}

int main(void)
{
    test_names();
    test_optional();
    test_absent();
    test_never_missing();
    test_versions();
    test_busy();
    test_overtaking();
    test_live();
    test_kinds();
    test_outdated();
    return tap_done();
}
