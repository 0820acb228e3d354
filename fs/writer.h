/* Who writes to a file, and what it means that somebody closes it.
 *
 * The kernel sends FLUSH whenever a descriptor is closed, also by a process that is killed, and by
 * every child that inherited it (fuse-practice.md, M22 to M24). What is written may be sent to the
 * canister only when the process that opened the file says that it is complete: by closing it, or
 * by ending well, if a shell opened it for it. /proc tells who it was and how it ends.
 *
 * A thread id that the kernel passes is one of the reader's PID namespace; 0 stands for a process
 * outside of it, of which nothing can be told.
 *
 * Thread safety: no state. Blocks: no; /proc only.
 */
#ifndef CANISTERFS_FS_WRITER_H
#define CANISTERFS_FS_WRITER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* A process. Its start time tells it from a later one of the same number. */
struct fs_writer {
    pid_t tgid;       /* 0: unknown */
    uint64_t start;   /* clock ticks after boot */
    char program[16]; /* what it runs, as the kernel calls it; execve(2) changes that */
};

/* The process of a thread. False, and an unknown one: it cannot be told. */
bool fs_writer_identify(pid_t tid, struct fs_writer *out) __attribute__((nonnull));

/* Are both known, and the same? */
bool fs_writer_is_same(const struct fs_writer *a, const struct fs_writer *b)
    __attribute__((nonnull));

/* An open file, as /proc/PID/fdinfo tells it from others. */
struct fs_writer_file {
    dev_t dev; /* 0: unknown; then nobody can tell who has it open */
    uint64_t ino;
};

enum fs_closing {
    FS_CLOSING_LAST,    /* the opener has closed it: it has no other descriptor to write it by */
    FS_CLOSING_ONE,     /* the opener has closed a descriptor, and has another one */
    FS_CLOSING_EXIT,    /* the opener ends, with status 0; another program opened it for it */
    FS_CLOSING_LEFT,    /* likewise, but it is the program that opened it, and never closed it;
                           or another program takes its place by execve(2) */
    FS_CLOSING_FAILED,  /* the opener ends, with another status */
    FS_CLOSING_KILLED,  /* a signal ends the opener */
    FS_CLOSING_OTHER,   /* another process has closed it, which inherited it */
    FS_CLOSING_UNKNOWN, /* nobody can tell */
};

/* What a FLUSH means.
 *
 * opener  who opened the file
 * tid     who closes it, now waiting in FLUSH: what /proc says stays true meanwhile
 *
 * Of a process that may not be looked at (another user's, or one that protects itself: ptrace(2),
 * PTRACE_MODE_READ_FSCREDS) everything is UNKNOWN but OTHER, LEFT by execve(2), and that a signal
 * ends it; also when descriptors or memory run out here. */
enum fs_closing fs_writer_judge(const struct fs_writer *opener, pid_t tid,
                                const struct fs_writer_file *file) __attribute__((nonnull));

/* Has any process the file open for writing? Returns 1, 0, or -errno: it cannot be told. Processes
 * that may not be looked at do not count: see fs_writer_is_visible. */
int fs_writer_any_has_open(const struct fs_writer_file *file)
    __attribute__((warn_unused_result, nonnull));

/* May we look at the descriptors of a thread's process? */
bool fs_writer_is_visible(pid_t tid);

/* The device of what is mounted at a path, by the caller's mount table; 0: nothing is. Asks nobody
 * but the kernel.
 *
 * path  absolute, as realpath(3) gives it */
dev_t fs_writer_device_of(const char *path) __attribute__((nonnull));

#endif
