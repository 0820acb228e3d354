/* Stages one by one: what they are made of, who may open them, what they refuse, and what is on
 * disk that no stage wrote. Disks that fail: test_stage_fault.c. */
#include "cache/lock.h"
#include "cache/stage.h"
#include "cache/stage_io.h"
#include "cache/stage_journal.h"
#include "tests/cache/fake_source.h"
#include "tests/cache/stage_rig.h"
#include "tests/tap.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

TAP_STATE;

static const struct source_io io = {.deadline_ns = INT64_MAX};

/* ---- what a stage is ---- */

static void test_files(void)
{
    mode_t umask_before = umask(0);
    struct stage *stage = rig_make("files");
    struct stage *other = NULL;
    umask(umask_before);
    TAP_INT(rig_mode_of("files"), 0700, "only the owner sees its directory");
    TAP_OK(rig_mode_of("files/data") == 0600 && rig_mode_of("files/journal") == 0600,
           "and its files");
    TAP_INT(stage_new(&other, rig_dir_fd, "files", &rig_purpose), -EEXIST, "its name is taken");
    TAP_INT(stage_open(&other, rig_dir_fd, "files"), -EBUSY, "it cannot be opened twice");
    TAP_INT(stage_open(&other, rig_dir_fd, "nothing"), -ENOENT, "one that is not there");
    TAP_INT((int64_t)stage_size(stage), 9000, "its size is the base's");
    TAP_OK(!stage_is_changed(stage) && !stage_is_complete(stage) && stage_staged(stage) == 0,
           "nothing is in it");
    TAP_INT(rig_reopen(&stage, "files"), 0, "opened again");
    const struct stage_purpose *got = stage_get_purpose(stage);
    TAP_STR(got->target, rig_purpose.target, "the target is known");
    TAP_OK(got->base_size == 9000 && got->base_version == 5 && got->created_ns == -6,
           "and the numbers");
    TAP_OK(other == NULL, "what failed left no stage");
    TAP_INT(stage_remove(stage), 0, "removed");
    TAP_OK(!rig_exists("files"), "it is gone");
    stage_close(NULL);
}

static void test_refused(void)
{
    const char *names[] = {"", ".", "..", "a/b", "/tmp/a"};
    struct stage *stage = NULL;
    struct stage_purpose wrong = rig_purpose;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        TAP_INT(stage_new(&stage, rig_dir_fd, names[i], &rig_purpose), -EINVAL,
                "a name of no directory");
        TAP_INT(stage_open(&stage, rig_dir_fd, names[i]), -EINVAL, "nor opened");
    }
    memset(wrong.target, 'a', sizeof(wrong.target));
    TAP_INT(stage_new(&stage, rig_dir_fd, "wrong", &wrong), -EINVAL, "a target without an end");
    wrong.target[STAGE_TARGET_MAX - 1] = 0;
    wrong.base_size = (uint64_t)INT64_MAX + 1;
    TAP_INT(stage_new(&stage, rig_dir_fd, "wrong", &wrong), -EFBIG, "a base that no file is");
    TAP_OK(!rig_exists("wrong"), "nothing was made");
    wrong.base_size = INT64_MAX;
    TAP_INT(stage_new(&stage, rig_dir_fd, "wrong", &wrong), 0, "the largest of both");
    TAP_INT(rig_reopen(&stage, "wrong"), 0, "is opened");
    TAP_STR(stage_get_purpose(stage)->target, wrong.target, "and the same");

    unsigned char byte = 1;
    TAP_INT(stage_write(stage, INT64_MAX, &byte, 1), -EFBIG, "a write beyond all offsets");
    TAP_INT(stage_write(stage, UINT64_MAX, &byte, 1), -EFBIG, "further");
    TAP_INT(stage_truncate(stage, (uint64_t)INT64_MAX + 1), -EFBIG, "a size beyond them");
    TAP_INT(stage_write(stage, 5, &byte, 0), 0, "a write of nothing");
    TAP_OK(!stage_is_changed(stage), "changes nothing");
    TAP_INT(stage_read(stage, NULL, 1, 0, &byte, 1, &io), -EINVAL, "the base is not there");
    TAP_INT(stage_read(stage, NULL, 1, INT64_MAX, &byte, 1, &io), -EINVAL, "behind the end");
    TAP_INT(stage_read(stage, NULL, 1, UINT64_MAX, &byte, 2, &io), -EINVAL, "far behind");
    TAP_INT(stage_note(stage, 0, &byte, 1), -EINVAL, "a note without a kind");
    TAP_INT(stage_note(stage, 65536, &byte, 1), -EINVAL, "or with a large one");
    TAP_INT(stage_note(stage, 1, &byte, STAGE_NOTE_MAX + 1), -EINVAL, "a note too long");
    TAP_INT(stage_remove(stage), 0, "removed");

    /* What is no stage. */
    TAP_OK(mkdirat(rig_dir_fd, "foreign", 0700) == 0 && mkdirat(rig_dir_fd, "foreign/x", 0700) == 0,
           "ready");
    TAP_INT(stage_open(&stage, rig_dir_fd, "foreign"), -EPROTO, "another directory");
    TAP_OK(rig_exists("foreign/x"), "which stays");
    (void)unlinkat(rig_dir_fd, "foreign/x", AT_REMOVEDIR);
    TAP_INT(stage_open(&stage, rig_dir_fd, "foreign"), -ENOENT,
            "an empty one may be a new stage's");
    TAP_OK(!rig_exists("foreign"), "and goes");
    close(openat(rig_dir_fd, "foreign", O_CREAT | O_WRONLY, 0600));
    TAP_INT(stage_open(&stage, rig_dir_fd, "foreign"), -EPROTO, "a file");
    (void)unlinkat(rig_dir_fd, "foreign", 0);
    stage = rig_make("real");
    stage_close(stage);
    stage = NULL;
    TAP_INT(symlinkat("real", rig_dir_fd, "link"), 0, "a link");
    TAP_INT(stage_open(&stage, rig_dir_fd, "link"), -EPROTO, "is not followed");
    (void)unlinkat(rig_dir_fd, "link", 0);
    TAP_OK(renameat(rig_dir_fd, "real/journal", rig_dir_fd, "real/other") == 0 &&
               symlinkat("other", rig_dir_fd, "real/journal") == 0,
           "its journal goes elsewhere");
    TAP_INT(stage_open(&stage, rig_dir_fd, "real"), -EPROTO, "a link as the journal");
    (void)unlinkat(rig_dir_fd, "real/journal", 0);
    int fd = openat(rig_dir_fd, "real/data", O_WRONLY);
    TAP_INT(pwrite(fd, "x", 1, 0), 1, "bytes, and no journal");
    close(fd);
    TAP_INT(stage_open(&stage, rig_dir_fd, "real"), -EPROTO, "a damaged stage");
    TAP_INT((int64_t)rig_size_of("real/data"), 1, "whose bytes stay");
    (void)unlinkat(rig_dir_fd, "real/data", 0);
    (void)unlinkat(rig_dir_fd, "real/other", 0);
    (void)unlinkat(rig_dir_fd, "real", AT_REMOVEDIR);
}

static void test_truncate(void)
{
    struct stage *stage = rig_make("cut");
    struct stage_segment segment;
    unsigned char bytes[6000];
    unsigned char got[6000];
    const unsigned char zeros[6000] = {0};
    memset(bytes, 7, sizeof(bytes));
    TAP_INT(stage_truncate(stage, 9000), 0, "the size that it has");
    TAP_OK(stage_is_changed(stage), "is a change all the same");
    TAP_INT(stage_write(stage, 0, bytes, 6000), 0, "written");
    TAP_INT(stage_truncate(stage, 1000), 0, "cut");
    TAP_INT((int64_t)rig_size_of("cut/data"), 1000, "which gives room back at once");
    TAP_INT(stage_truncate(stage, 7000), 0, "grown");
    TAP_OK(stage_find(stage, 1000, &segment) && segment.kind == STAGE_ZERO && segment.len == 6000,
           "what came is zeros");
    TAP_OK(stage_is_complete(stage), "the base is gone for good");
    TAP_OK(stage_read(stage, NULL, 1, 1000, got, 6000, &io) == 0 && !memcmp(got, zeros, 6000),
           "and reads as zeros");
    TAP_INT(stage_write(stage, 3000, bytes, 3000), 0, "written again");
    TAP_INT(stage_sync(stage), 0, "synced");
    TAP_INT(stage_truncate(stage, 0), 0, "emptied");
    TAP_INT((int64_t)rig_size_of("cut/data"), 6000, "bytes that the journal names stay");
    TAP_INT(stage_sync(stage), 0, "until it does not");
    TAP_INT((int64_t)rig_size_of("cut/data"), 0, "then their room comes back");
    TAP_INT(rig_reopen(&stage, "cut"), 0, "opened");
    TAP_OK(stage_size(stage) == 0 && stage_is_complete(stage) && stage_is_changed(stage), "empty");
    TAP_INT(stage_truncate(stage, INT64_MAX), 0, "as large as a file may be");
    TAP_INT(stage_read(stage, NULL, 1, (uint64_t)INT64_MAX - 4, got, 4, &io), 0, "read at its end");
    TAP_INT(stage_remove(stage), 0, "removed");
}

/* ---- notes ---- */

static void test_notes(void)
{
    struct stage *stage = rig_make("notes");
    unsigned char *large = malloc(STAGE_NOTE_MAX);
    void *got = NULL;
    size_t len = 9;
    unsigned n = 0;
    memset(large, 'n', STAGE_NOTE_MAX);
    TAP_INT(stage_get_note(stage, 1, &got, &len), -ENOENT, "there is none");
    TAP_OK(got == NULL && len == 9, "nothing comes");
    TAP_INT(stage_note(stage, 1, NULL, 0), 0, "an empty one");
    TAP_INT(stage_get_note(stage, 1, &got, &len), 0, "is there");
    TAP_INT((int64_t)len, 0, "and empty");
    free(got);
    TAP_INT(stage_note(stage, 65535, large, STAGE_NOTE_MAX), 0, "the largest");
    TAP_INT(stage_write(stage, 0, "abc", 3), 0, "written");
    TAP_INT(stage_note(stage, 1, "x", 1), 0, "one more of the first kind");
    TAP_INT(rig_reopen(&stage, "notes"), 0, "opened again");
    TAP_INT((int64_t)stage_staged(stage), 3, "a note makes what was written before it durable");
    TAP_INT(stage_get_note(stage, 65535, &got, &len), 0, "the largest is there");
    TAP_OK(len == STAGE_NOTE_MAX && !memcmp(got, large, len), "whole");
    free(got);
    TAP_INT(stage_get_note(stage, 1, &got, &len), 0, "of the others");
    TAP_OK(len == 1 && !memcmp(got, "x", 1), "the last one");
    free(got);
    for (int i = 0; i < 4; i++)
        TAP_INT(stage_note(stage, 7, "abc", 3), 0, "noted");
    TAP_INT(stage_for_each_note(stage, 7, rig_count_note, &n), 42, "listing stops when told to");
    TAP_INT(n, 3, "there");

    int fd = openat(rig_dir_fd, "notes/journal", O_WRONLY);
    uint64_t end = rig_size_of("notes/journal");
    TAP_INT(pwrite(fd, "y", 1, (off_t)end - 8), 1, "the disk changes a byte");
    close(fd);
    TAP_INT(stage_get_note(stage, 7, &got, &len), -EPROTO, "which is seen when it is read");
    free(large);
    TAP_INT(stage_remove(stage), 0, "removed");
}

static int accept_record(void *arg, const struct stage_record *record, uint64_t off)
{
    (void)arg;
    (void)record;
    (void)off;
    return 0;
}

/* Kinds of records and contents that this program does not write. */
static void test_strange_records(void)
{
    const struct stage_record records[] = {
        {.kind = 1, .len = 24, .bytes = "012345678901234567890123"},
        {.kind = 9, .len = 1, .bytes = "a"},
        {.kind = 2, .len = 31, .bytes = "0123456789012345678901234567890"},
        {.kind = 3, .note = 0, .len = 1, .bytes = "a"},
    };
    for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
        struct stage *stage = rig_make("strange");
        struct stage_journal journal;
        uint64_t off;
        stage_close(stage);
        stage = NULL;
        int fd = openat(rig_dir_fd, "strange", O_RDONLY | O_DIRECTORY);
        TAP_INT(stage_journal_open(&journal, fd, "journal", accept_record, NULL), 0, "opened");
        TAP_INT(stage_journal_append(&journal, &records[i], &off), 0, "a strange record");
        stage_journal_close(&journal);
        uint64_t size = rig_size_of("strange/journal");
        TAP_INT(stage_open(&stage, rig_dir_fd, "strange"), -EPROTO, "is not guessed at");
        TAP_INT((int64_t)rig_size_of("strange/journal"), (int64_t)size, "nor cut off");
        const char *files[] = {"data", "journal"};
        for (size_t j = 0; j < 2; j++)
            (void)unlinkat(fd, files[j], 0);
        close(fd);
        (void)unlinkat(rig_dir_fd, "strange", AT_REMOVEDIR);
    }
    TAP_INT(stage_io_crc(0, "123456789", 9), 0xe3069283, "CRC-32C of the usual digits");
    TAP_INT(stage_io_crc(stage_io_crc(0, "1234", 4), "56789", 5), 0xe3069283, "in two pieces");
    const unsigned char zeros[32] = {0};
    TAP_INT(stage_io_crc(0, zeros, 32), 0x8a9136aa, "of 32 zeros (RFC 3720, B.4)");
}

static void test_base(void)
{
    struct source *base;
    struct fake *fake;
    struct fake_config config = {.size = 9000, .seed = 1};
    unsigned char got[9000];
    unsigned char want[9000];
    const struct source_io soon = {.deadline_ns = clock_now_ns() + 5 * NS_PER_S};
    struct stage *stage = rig_make("base");
    TAP_INT(fake_open(&base, &fake, &config), 0, "a base");
    TAP_INT(stage_write(stage, 4000, "abcd", 4), 0, "written over");
    TAP_INT(stage_read(stage, base, 1, 0, got, 9000, &io), 0, "read");
    fake_fill(1, 1, 0, want, 9000);
    memcpy(want + 4000, "abcd", 4);
    TAP_MEM(got, want, 9000, "bytes of both");
    TAP_INT(fake_n_reads(fake), 2, "only the base's are fetched");
    fake_fail(fake, 2, 1, -EHOSTUNREACH);
    TAP_INT(stage_read(stage, base, 1, 0, got, 9000, &soon), -EHOSTUNREACH, "its error");
    TAP_INT(stage_read(stage, base, 1, 4000, got, 4, &soon), 0, "is not that of staged bytes");
    TAP_INT(stage_read(stage, base, 2, 0, got, 10, &soon), -ESTALE, "it is another base");
    source_close(base);
    TAP_INT(stage_remove(stage), 0, "removed");
}

/* ---- rest ---- */

static int count_descriptors(void)
{
    DIR *list = opendir("/proc/self/fd");
    int n = -1; /* that of the list */
    if (!list)
        abort();
    for (const struct dirent *entry; (entry = readdir(list));)
        n += entry->d_name[0] != '.';
    closedir(list);
    return n;
}

static int rest_and_write(struct stage *stage)
{
    int result = stage_rest(stage);
    return result < 0 ? result : stage_write(stage, 0, "b", 1);
}

static void test_rest(void)
{
    int before = count_descriptors();
    struct stage *stage = rig_make("rest");
    struct stage *other = NULL;
    char got[8] = "";
    void *note = NULL;
    size_t len = 0;
    TAP_INT(count_descriptors() - before, 3, "descriptors of a stage");
    TAP_INT(stage_write(stage, 0, "abc", 3), 0, "written");
    TAP_INT(stage_rest(stage), 0, "it rests");
    TAP_INT(count_descriptors() - before, 0, "without any");
    TAP_INT(stage_sync(stage), 0, "nothing is to be synced");
    TAP_INT(stage_get_note(stage, 7, &note, &len), -ENOENT, "nor read");
    TAP_INT(stage_note(stage, 7, "xy", 2), 0, "a note of it");
    TAP_INT(stage_get_note(stage, 7, &note, &len), 0, "can be read");
    TAP_OK(len == 2 && memcmp(note, "xy", 2) == 0, "as it is");
    free(note);
    TAP_INT(stage_truncate(stage, 5), 0, "another size");
    TAP_INT(count_descriptors() - before, 0, "and it rests still");
    TAP_INT(stage_read(stage, NULL, 1, 0, got, 3, &io), 0, "read");
    TAP_MEM(got, "abc", 3, "its bytes");
    TAP_INT(count_descriptors() - before, 3, "which wakes it");
    TAP_INT(stage_open(&other, rig_dir_fd, "rest"), -EBUSY, "nobody else can open it");
    TAP_INT(rest_and_write(stage), 0, "so does writing");
    TAP_INT(count_descriptors() - before, 3, "for good");
    TAP_INT(stage_rest(stage), 0, "once more");
    TAP_INT(stage_rest(stage), 0, "twice");
    TAP_INT(rig_reopen(&stage, "rest"), 0, "opened again");
    TAP_INT(stage_read(stage, NULL, 1, 0, got, 3, &io), 0, "read");
    TAP_MEM(got, "bbc", 3, "what was written last");
    TAP_INT(stage_rest(stage), 0, "it rests");
    TAP_INT(stage_remove(stage), 0, "removed");
    TAP_OK(!rig_exists("rest"), "it is gone");
    TAP_INT(count_descriptors(), before, "and so are its descriptors");
}

/* Every descriptor is taken: what needs one fails, and nothing is lost. */
static void test_no_descriptors(void)
{
    struct rlimit limit;
    struct rlimit none;
    struct stage *stage = rig_make("rest");
    char got[4] = "";
    TAP_INT(stage_write(stage, 0, "abc", 3), 0, "written");
    TAP_INT(stage_rest(stage), 0, "it rests");
    getrlimit(RLIMIT_NOFILE, &limit);
    none = limit;
    none.rlim_cur = 3;
    setrlimit(RLIMIT_NOFILE, &none);
    TAP_INT(stage_truncate(stage, 2), 0, "cutting needs none");
    TAP_INT(stage_write(stage, 0, "x", 1), -EMFILE, "writing does");
    TAP_INT(stage_read(stage, NULL, 1, 0, got, 2, &io), -EMFILE, "and reading");
    TAP_INT(stage_sync(stage), -EMFILE, "and syncing");
    TAP_INT(stage_note(stage, 7, "", 0), -EMFILE, "and a note");
    setrlimit(RLIMIT_NOFILE, &limit);
    TAP_INT(stage_read(stage, NULL, 1, 0, got, 2, &io), 0, "read");
    TAP_MEM(got, "ab", 2, "its bytes");
    TAP_INT(stage_sync(stage), 0, "synced");
    TAP_INT(rig_reopen(&stage, "rest"), 0, "opened again");
    TAP_INT((int64_t)stage_size(stage), 2, "as it was cut");
    TAP_INT(stage_remove(stage), 0, "removed");
}

static int cut_file(const char *path, off_t size)
{
    int fd = openat(rig_dir_fd, path, O_WRONLY | O_CLOEXEC);
    int result = ftruncate(fd, size);
    close(fd);
    return result;
}

/* Somebody spoils it while it rests, and it has the lock no more. */
static void test_spoiled_rest(void)
{
    for (int how = 0; how < 4; how++) {
        struct stage *stage = rig_make("rest");
        struct stage *other = NULL;
        char got[4];
        TAP_INT(stage_write(stage, 0, "abc", 3), 0, "written");
        TAP_INT(stage_rest(stage), 0, "it rests");
        if (how == 0) {
            TAP_INT(stage_open(&other, rig_dir_fd, "rest"), 0, "another has it");
        } else if (how == 1) {
            TAP_INT(cut_file("rest/data", 2), 0, "`data` is shorter");
        } else if (how == 2) {
            TAP_INT(cut_file("rest/journal", 40), 0, "`journal` is shorter");
        } else {
            TAP_INT(renameat(rig_dir_fd, "rest", rig_dir_fd, "real"), 0, "it is another");
            stage_close(rig_make("rest"));
        }
        TAP_INT(stage_read(stage, NULL, 1, 0, got, 3, &io), -EIO, "is not guessed at");
        TAP_INT(stage_write(stage, 0, "x", 1), -EIO, "nor written to");
        TAP_INT(stage_remove(stage), -EIO, "nor removed");
        if (how == 0)
            TAP_INT(stage_remove(other), 0, "by the other");
        for (size_t i = 0; i < 6; i++) {
            static const char *const paths[] = {"rest/data", "rest/journal", "rest",
                                                "real/data", "real/journal", "real"};
            (void)unlinkat(rig_dir_fd, paths[i], i % 3 == 2 ? AT_REMOVEDIR : 0);
        }
    }
}

int main(void)
{
    if (!rig_open())
        return 1;
    test_files();
    test_refused();
    test_truncate();
    test_notes();
    test_strange_records();
    test_rest();
    test_no_descriptors();
    test_spoiled_rest();
    test_base();
    TAP_INT(rig_close(), 0, "nothing is left");
    return tap_done();
}
