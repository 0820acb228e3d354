/* The kernel's side of a mount, over a socket pair in place of /dev/fuse: sends requests to the
 * handlers, takes their replies. The tree has one file, a directory with nothing in it, one
 * generated file, one that takes what is written, and a directory whose names change. */
#ifndef CANISTERFS_TESTS_FS_KERNEL_H
#define CANISTERFS_TESTS_FS_KERNEL_H

#include "fs/ops.h"
#include "tests/fs/scripted.h"
#include "tests/fs/scripted_listing.h"

#include <linux/fuse.h>
#include <pthread.h>

#define KERNEL_FILE       "stable_memory"
#define KERNEL_FILE_SIZE  1000003 /* no multiple of anything */
#define KERNEL_DIR        "empty"
#define KERNEL_TEXT_FILE  "status"
#define KERNEL_TEXT       "{\"ok\": true}\n"
#define KERNEL_TAKER      "control"
#define KERNEL_TAKER_UID  1234
#define KERNEL_LISTING    "many"
#define KERNEL_N_LISTED   10000
#define KERNEL_TIMEOUT_NS 300000000

struct kernel {
    int fd; /* our end */
    struct fuse_session *session;
    struct fs_ops *ops;
    struct fs_tree *tree;
    struct fs_log *log;
    struct scripted file;
    struct scripted_listing listing;
    char taken[64];  /* what was written last; KERNEL_TAKER */
    int take_result; /* and what it answers */
    uint32_t uid;    /* who asks */
    uint64_t unique;
    unsigned n_threads; /* that answer */
    unsigned n_serving;
    pthread_t loop;
};

struct reply {
    struct fuse_out_header header;
    char body[1 << 20];
};

/* Start, and see INIT answered. Aborts when it cannot. */
void kernel_start(struct kernel *k, unsigned n_threads);
void kernel_stop(struct kernel *k);

/* Send a request; returns its unique number. */
uint64_t kernel_send(struct kernel *k, uint32_t opcode, uint64_t node, const void *body,
                     size_t len);

/* The request of this unique number is no longer wanted. Not answered, or with EAGAIN under the
 * number + 1 when it is not under way (yet, or any more). */
void kernel_interrupt(struct kernel *k, uint64_t unique);

/* The next reply within two seconds; error 1 stands for none. Returns the length of its body. */
size_t kernel_receive(struct kernel *k, struct reply *reply);

/* Send and receive, while nothing else is under way. */
size_t kernel_ask(struct kernel *k, uint32_t opcode, uint64_t node, const void *body, size_t len,
                  struct reply *reply);

/* Of a name in the root, or in `dir`. Returns the node, 0 for an error. */
uint64_t kernel_lookup(struct kernel *k, const char *name, struct reply *reply);
uint64_t kernel_lookup_in(struct kernel *k, uint64_t dir, const char *name, struct reply *reply);
/* Returns the handle, 0 for an error. */
uint64_t kernel_open(struct kernel *k, uint64_t node, uint32_t flags, struct reply *reply);
size_t kernel_read(struct kernel *k, uint64_t node, uint64_t fh, uint64_t off, uint32_t size,
                   struct reply *reply);
/* Returns the number of bytes taken. */
size_t kernel_write(struct kernel *k, uint64_t node, uint64_t fh, uint64_t off, const void *data,
                    size_t len, struct reply *reply);
void kernel_release(struct kernel *k, uint64_t node, uint64_t fh, struct reply *reply);
/* Not answered. */
void kernel_forget(struct kernel *k, uint64_t node, uint64_t n_lookup);

#endif
