/* What a mount with -o rw must do, as plain arrays: the rules of README ("Writing back"). The
 * caller does an operation on the mount, and asks here what it should have come to. One process
 * does all, with children that end before the next operation. Errors are positive errnos.
 */
#ifndef CANISTERFS_TESTS_MOUNT_WRITE_MODEL_H
#define CANISTERFS_TESTS_MOUNT_WRITE_MODEL_H

#include <stdbool.h>
#include <stddef.h>

#define MODEL_SIZE     12000 /* no file becomes larger */
#define MODEL_N_PLACES 4
#define MODEL_N_NAMES  5

enum model_state { MODEL_OPEN, MODEL_FAILED, MODEL_TAINTED, MODEL_GONE };

/* What is staged: of a place, or under a temporary name. */
struct model_file {
    struct model_file *next; /* in `files` of the model */
    enum model_state state;
    int error; /* MODEL_FAILED */
    bool is_temporary;
    bool is_truncated; /* begun with O_TRUNC */
    bool is_changed;
    bool is_outdated; /* what it lies over is not the canister's any more */
    bool may_be_busy; /* a child had it open: the kernel may tell of its end late */
    int place;        /* which it is for; -1: none */
    int n_handles;
    int n_writers;
    size_t size;
    unsigned char bytes[MODEL_SIZE];
    bool is_base[MODEL_SIZE]; /* not written, nor cut off: the canister's */
};

struct model_place {
    bool exists;
    bool is_memory; /* never becomes shorter */
    size_t size;
    unsigned char bytes[MODEL_SIZE];
    struct model_file *active; /* keeps others out */
    int n_failed, n_parked, n_tainted;
};

struct model {
    struct model_place places[MODEL_N_PLACES];
    struct model_file *names[MODEL_N_NAMES]; /* NULL: there is no such file */
    int commit_error;                        /* what the canister says to every commit */
    int n_tainted_names;
    struct model_file *files; /* all that were begun: handles may outlive what becomes of them */
};

/* A file that is begun for a place, or (place -1) as a temporary one. */
struct model_file *model_begin(struct model *model, int place, bool truncates);

void model_write(struct model_file *file, size_t off, const unsigned char *bytes, size_t len);
void model_truncate(struct model_file *file, size_t size);

/* The last descriptor that can write is closed. Returns what close(2) does. */
int model_close(struct model *model, struct model_file *file);

/* No handle is left. */
void model_release(struct model *model, struct model_file *file);

/* Its writer did not finish. */
void model_taint(struct model *model, struct model_file *file);

/* Opening a temporary name for writing. Returns 0 or EIO. */
int model_reopen(struct model *model, struct model_file *file, bool truncates);

int model_rename_to_place(struct model *model, int name, int place);
void model_rename(struct model *model, int from, int to);
void model_unlink(struct model *model, int name);

/* Nothing is staged or open any more. */
void model_forget(struct model *model);

#endif
