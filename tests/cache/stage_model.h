/* Random operations on a stage, and the plain arrays that they must come to. */
#ifndef CANISTERFS_TESTS_CACHE_STAGE_MODEL_H
#define CANISTERFS_TESTS_CACHE_STAGE_MODEL_H

#include "cache/stage.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MODEL_MAX   ((size_t)40000) /* bytes of a stage */
#define MODEL_NOTES 4096

enum op_kind { OP_WRITE, OP_TRUNCATE, OP_SYNC, OP_NOTE };

struct op {
    enum op_kind kind;
    uint64_t off; /* the size, of a truncation; the kind, of a note */
    size_t len;
    uint64_t seed; /* of the bytes */
};

struct model {
    uint64_t size;
    bool is_changed;
    unsigned char kinds[MODEL_MAX]; /* enum stage_kind */
    unsigned char bytes[MODEL_MAX]; /* of what is staged */
    struct op notes[MODEL_NOTES];
    unsigned n_notes;
};

/* A new directory, in memory where the system has such a place: hundreds of fsyncs take no time.
 * Returns its descriptor and fills its path; -1 and the errno. */
int model_make_dir(char path[64]);

uint64_t model_random(uint64_t *state);

/* Bytes of a write or a note. */
void op_fill(const struct op *op, unsigned char *out);

/* The next operation; a pure function of the state. */
struct op op_next(uint64_t *state);

int op_run(const struct op *op, struct stage *stage);

void model_init(struct model *model, uint64_t base_size);
void model_apply(struct model *model, const struct op *op);

/* Is the stage what the model says? Its bytes may also be those of one of n writes. Says what is
 * different if is_loud. */
bool model_matches(const struct model *model, struct stage *stage, const struct op *writes,
                   unsigned n, bool is_loud);

#endif
