/* The system calls of a stage, counted, failed at will, and a disk that forgets: programs that use
 * it are linked with wrap_stage_disk (meson.build). Everything is off at first. One thread.
 */
#ifndef CANISTERFS_TESTS_CACHE_STAGE_DISK_H
#define CANISTERFS_TESTS_CACHE_STAGE_DISK_H

#include <stdbool.h>
#include <stdint.h>

enum disk_call {
    DISK_PWRITE = 1,
    DISK_FDATASYNC = 2,
    DISK_FSYNC = 4,
    DISK_FTRUNCATE = 8,
    DISK_RENAMEAT = 16,
    DISK_UNLINKAT = 32,
    DISK_OPENAT = 64,
    DISK_MKDIRAT = 128,
    DISK_PREAD = 256,
    DISK_ALL = 511,
};

struct stage_disk {
    unsigned fails; /* the calls that do, of enum disk_call */
    int error;      /* with this; positive */
    long n_before;  /* calls of those that succeed before one fails; it is the last if is_once */
    bool is_once;
    bool is_partial;        /* a write that fails has written half before, by a call of its own */
    unsigned n_failed;      /* calls that failed so */
    unsigned n_syncs;       /* fsync and fdatasync */
    void (*before)(void *); /* of each call that changes something */
    void *arg;
};

extern struct stage_disk stage_disk;

/* From now on what is synced of the directory and its files is remembered, while `before` is set.
 */
void stage_disk_watch(const char *dir);

/* Make a directory of files as a power cut could leave them now: of each file what was synced last,
 * and any of the sectors that were written since; of names those synced last (also without those
 * that were unlinked since), or the present ones. */
void stage_disk_cut(const char *to, uint64_t *random);

#endif
