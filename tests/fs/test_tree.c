/* Names and inodes: one inode per version, attributes, references. */
#include "fs/tree.h"
#include "tests/fs/scripted.h"
#include "tests/tap.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

TAP_STATE;

static const struct source_io io = {.deadline_ns = INT64_MAX};

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
    TAP_INT(fs_tree_lookup(w.tree, 1, "nothing", &io, &e), -ENOENT, "an unknown name");
    TAP_INT(fs_tree_lookup(w.tree, 99, "x", &io, &e), -ENOENT, "an unknown directory");
    TAP_INT(fs_tree_lookup(w.tree, 1, "stable_memory", &io, &e), 0, "a file");
    TAP_INT(e.attr.st_size, 1000000, "its size");
    TAP_INT(e.attr.st_mode, S_IFREG | 0444, "read-only");
    TAP_INT(e.attr.st_mtim.tv_sec, 1600000000, "the version's mtime, seconds");
    TAP_INT(e.attr.st_mtim.tv_nsec, 123456789, "and nanoseconds");
    TAP_INT(e.attr.st_uid * 100 + e.attr.st_gid, 708, "owner and group");
    TAP_INT(fs_tree_lookup(w.tree, e.ino, "x", &io, &e), -ENOTDIR, "a file is no directory");
    TAP_INT(fs_tree_lookup(w.tree, 1, "canister", &io, &e), 0, "a directory");
    TAP_INT(e.attr.st_mode, S_IFDIR | 0555, "its mode");
    fuse_ino_t dir = e.ino;
    w.file.stat_result = -EHOSTUNREACH;
    TAP_INT(fs_tree_lookup(w.tree, 1, "stable_memory", &io, &e), 0, "remembered for attr_timeout");
    TAP_INT((int64_t)fs_tree_total_size(w.tree), 1000000, "total of the sizes that are known");

    struct fs_dirent d;
    TAP_INT(fs_tree_readdir(w.tree, dir, 0, &io, &d), 1, "first name");
    TAP_STR(d.name, ".", "is .");
    TAP_INT(fs_tree_readdir(w.tree, dir, 2, &io, &d), 1, "third name");
    TAP_OK(strcmp(d.name, "id") == 0 && !d.skip, "is the fact");
    TAP_INT(fs_tree_readdir(w.tree, dir, 3, &io, &d), 0, "then the end");
    close_world(&w);
}

static void test_optional(void)
{
    struct world w;
    open_world(&w, true, 0);
    struct fuse_entry_param e;
    if (fs_tree_lookup(w.tree, 1, "canister", &io, &e) < 0)
        return;
    fuse_ino_t dir = e.ino;
    w.fact.stat_result = -ENOENT;
    struct fs_dirent d;
    TAP_INT(fs_tree_readdir(w.tree, dir, 2, &io, &d), 1, "an absent fact is passed over ...");
    TAP_OK(d.skip, "... when listing");
    TAP_INT(fs_tree_lookup(w.tree, dir, "id", &io, &e), -ENOENT, "and cannot be looked up");
    w.fact.stat_result = -ETIMEDOUT;
    TAP_INT(fs_tree_readdir(w.tree, dir, 2, &io, &d), -ETIMEDOUT,
            "not knowing is not the same as absent");
    unsigned n = w.file.n_stats;
    TAP_INT(fs_tree_readdir(w.tree, 1, 3, &io, &d), 1, "listing the root");
    TAP_INT(w.file.n_stats, n, "asks nothing about the files in it");
    close_world(&w);
}

static void test_versions(void)
{
    struct world w;
    open_world(&w, true, 0);
    struct fuse_entry_param first;
    struct fuse_entry_param again;
    struct fuse_entry_param second;
    struct fs_opened opened;
    TAP_INT(fs_tree_lookup(w.tree, 1, "stable_memory", &io, &first), 0, "version 5");
    TAP_INT(fs_tree_lookup(w.tree, 1, "stable_memory", &io, &again), 0, "looked up again");
    TAP_INT((int64_t)again.ino, (int64_t)first.ino, "is the same inode");
    unsigned n = w.file.n_stats;
    TAP_INT(fs_tree_open(w.tree, first.ino, &io, &opened), 0, "it opens");
    TAP_INT(w.file.n_stats, n, "without asking what the lookup just learned");
    TAP_INT((int64_t)opened.stat.version, 5, "pinned");
    TAP_INT(fs_tree_open(w.tree, first.ino, &io, &opened), 0, "a second open");
    TAP_INT(w.file.n_stats, n + 1, "asks: the canister may have changed in between");
    TAP_OK(opened.keep_cache, "with the kernel's pages");

    w.file.stat.version = 6;
    w.file.stat.size = 2000000;
    pass_ms(300);
    TAP_INT(fs_tree_open(w.tree, first.ino, &io, &opened), -ESTALE,
            "an inode of an older version does not open");
    TAP_INT(fs_tree_lookup(w.tree, 1, "stable_memory", &io, &second), 0, "the name leads to");
    TAP_OK(second.ino != first.ino, "a new inode");
    TAP_INT(second.attr.st_size, 2000000, "of the new size");
    TAP_INT(fs_tree_open(w.tree, second.ino, &io, &opened), 0, "which opens");

    struct stat attr;
    double timeout;
    TAP_INT(fs_tree_getattr(w.tree, first.ino, &io, &attr, &timeout), 0, "the old inode");
    TAP_INT(attr.st_size, 1000000, "keeps its size while the kernel holds it");
    fs_tree_forget(w.tree, first.ino, 2);
    TAP_INT(fs_tree_getattr(w.tree, first.ino, &io, &attr, &timeout), -ESTALE,
            "and is gone when the kernel forgets it");
    fs_tree_forget(w.tree, second.ino, 1);
    TAP_INT(fs_tree_getattr(w.tree, second.ino, &io, &attr, &timeout), 0,
            "the current one stays, with its number");
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
    TAP_INT(fs_tree_lookup(w.tree, 1, "stable_memory", &io, &first), 0, "live memory");
    TAP_INT(fs_tree_lookup(w.tree, 1, "stable_memory", &io, &again), 0, "looked up again");
    TAP_INT((int64_t)again.ino, (int64_t)first.ino, "keeps its inode");
    TAP_INT(fs_tree_open(w.tree, first.ino, &io, &one), 0, "an open");
    TAP_INT(fs_tree_open(w.tree, first.ino, &io, &two), 0, "and another");
    TAP_OK(one.stat.version != two.stat.version, "pin versions of their own");
    TAP_OK(!one.keep_cache && !two.keep_cache, "and drop the kernel's pages");
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
    TAP_INT(fs_tree_lookup(w.tree, 1, "status", &io, &e), 0, "a generated file");
    TAP_INT(fs_tree_open(w.tree, e.ino, &io, &opened), 0, "opens");
    TAP_OK(opened.kind == FS_ENTRY_GENERATED && opened.render == render, "with its renderer");
    TAP_INT(fs_tree_open(w.tree, 1, &io, &opened), -EISDIR, "a directory does not");
    TAP_INT(fs_tree_open(w.tree, 12345, &io, &opened), -ESTALE, "nor does an unknown inode");
    close_world(&w);
}

int main(void)
{
    test_names();
    test_optional();
    test_versions();
    test_live();
    test_kinds();
    return tap_done();
}
