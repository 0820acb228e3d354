/* The system calls of the spool file, counted, failed and interrupted at will: programs that use it
 * are linked with wrap_disk (meson.build). Everything is off at first. */
#ifndef CANISTERFS_TESTS_CACHE_DISK_H
#define CANISTERFS_TESTS_CACHE_DISK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Set by the test, at any time. Errors are positive; 0: none. */
struct disk {
    atomic_int open_error;   /* of O_TMPFILE */
    atomic_int write_error;  /* of every write from now on */
    atomic_uint write_max;   /* most bytes that one write takes, 0: all */
    atomic_ullong write_end; /* EFBIG from this offset on, 0: never */
    atomic_int read_error;
    atomic_uint read_max;      /* likewise; only it can make the file look cut off: UINT32_MAX */
    atomic_int punch_error;    /* of fallocate */
    atomic_int truncate_error; /* of ftruncate */
    atomic_uint fail_one_in;   /* of these calls, at random, an error: EIO; 0: none */
    atomic_llong ahead_ns;     /* how far the clock is put forward */
    /* Called before each read and write, in the thread that makes it. */
    void (*on_read)(void *arg);
    void (*on_write)(void *arg);
    void *arg;

    atomic_int fd; /* the last spool file; counts of calls */
    atomic_uint n_writes;
    atomic_uint n_reads;
    atomic_uint n_punches;
    atomic_uint n_truncates;
};

extern struct disk disk;

/* Bytes that the disk holds of the last spool file. */
uint64_t disk_held(void);

#endif
