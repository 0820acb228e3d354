/* Operations and what they must come to: see stage_model.h. */
#include "tests/cache/stage_model.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int model_make_dir(char path[64])
{
    strcpy(path, "/dev/shm/canisterfs-test-stage-XXXXXX");
    if (!mkdtemp(path)) {
        strcpy(path, "/tmp/canisterfs-test-stage-XXXXXX");
        if (!mkdtemp(path))
            return -1;
    }
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

uint64_t model_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static unsigned char byte_of(uint64_t seed, uint64_t off)
{
    return (unsigned char)(((seed ^ off) * 0x9e3779b97f4a7c15u) >> 56);
}

void op_fill(const struct op *op, unsigned char *out)
{
    for (size_t i = 0; i < op->len; i++)
        out[i] = byte_of(op->seed, op->off + i);
}

struct op op_next(uint64_t *state)
{
    struct op op = {.seed = model_random(state)};
    size_t most = model_random(state) % 8 ? 700 : 9000;
    switch (model_random(state) % 16) {
    case 0:
        op.kind = OP_TRUNCATE;
        op.off = model_random(state) % 8 ? model_random(state) % MODEL_MAX : 0;
        break;
    case 1:
        op.kind = OP_NOTE;
        op.off = op.seed % 3 + 1;
        op.len = model_random(state) % most;
        break;
    case 2:
    case 3:
        op.kind = OP_SYNC;
        break;
    default:
        op.kind = OP_WRITE;
        op.off = model_random(state) % MODEL_MAX;
        op.len = model_random(state) % most + 1;
        if (op.len > MODEL_MAX - op.off)
            op.len = MODEL_MAX - op.off;
    }
    return op;
}

int op_run(const struct op *op, struct stage *stage)
{
    unsigned char bytes[9000];
    op_fill(op, bytes);
    switch (op->kind) {
    case OP_WRITE:
        return stage_write(stage, op->off, bytes, op->len);
    case OP_TRUNCATE:
        return stage_truncate(stage, op->off);
    case OP_NOTE:
        return stage_note(stage, (uint32_t)op->off, bytes, op->len);
    case OP_SYNC:
    default:
        return stage_sync(stage);
    }
}

void model_init(struct model *model, uint64_t base_size)
{
    *model = (struct model){.size = base_size};
    memset(model->kinds, STAGE_ZERO, sizeof(model->kinds));
    memset(model->kinds, STAGE_BASE, base_size);
}

void model_apply(struct model *model, const struct op *op)
{
    switch (op->kind) {
    case OP_WRITE:
        memset(model->kinds + op->off, STAGE_STAGED, op->len);
        op_fill(op, model->bytes + op->off);
        if (op->off + op->len > model->size)
            model->size = op->off + op->len;
        model->is_changed = true;
        break;
    case OP_TRUNCATE:
        memset(model->kinds + op->off, STAGE_ZERO, MODEL_MAX - op->off);
        model->size = op->off;
        model->is_changed = true;
        break;
    case OP_NOTE:
        if (model->n_notes < MODEL_NOTES)
            model->notes[model->n_notes++] = *op;
        break;
    case OP_SYNC:
    default:
        break;
    }
}

/* ---- comparing ---- */

struct listed {
    const struct model *model;
    uint32_t kind;
    unsigned i; /* the next note of the model to look at */
    bool is_wrong;
};

static bool is_note(const struct op *op, const void *bytes, size_t len)
{
    unsigned char want[9000];
    op_fill(op, want);
    return len == op->len && memcmp(want, bytes, len) == 0;
}

static int check_note(void *arg, const void *bytes, size_t len)
{
    struct listed *listed = arg;
    while (listed->i < listed->model->n_notes &&
           listed->model->notes[listed->i].off != listed->kind)
        listed->i++;
    if (listed->i == listed->model->n_notes ||
        !is_note(&listed->model->notes[listed->i++], bytes, len))
        listed->is_wrong = true;
    return 0;
}

static bool notes_match(const struct model *model, struct stage *stage, uint32_t kind)
{
    struct listed listed = {.model = model, .kind = kind};
    const struct op *last = NULL;
    for (unsigned i = 0; i < model->n_notes; i++)
        last = model->notes[i].off == kind ? &model->notes[i] : last;
    if (stage_for_each_note(stage, kind, check_note, &listed) != 0 || listed.is_wrong)
        return false;
    for (; listed.i < model->n_notes; listed.i++) {
        if (model->notes[listed.i].off == kind)
            return false;
    }
    void *bytes = NULL;
    size_t len = 0;
    int result = stage_get_note(stage, kind, &bytes, &len);
    bool ok = last ? result == 0 && is_note(last, bytes, len) : result == -ENOENT;
    free(bytes);
    return ok;
}

static bool byte_matches(const struct model *model, uint64_t off, unsigned char byte,
                         const struct op *writes, unsigned n)
{
    bool ok = model->bytes[off] == byte;
    for (unsigned i = 0; i < n && !ok; i++) {
        ok = writes[i].kind == OP_WRITE && off >= writes[i].off &&
             off - writes[i].off < writes[i].len && byte_of(writes[i].seed, off) == byte;
    }
    return ok;
}

static bool segment_matches(const struct model *model, struct stage *stage,
                            const struct stage_segment *segment, const struct op *writes,
                            unsigned n)
{
    static unsigned char bytes[MODEL_MAX];
    const struct source_io io = {.deadline_ns = INT64_MAX};
    for (uint64_t i = 0; i < segment->len; i++) {
        if (model->kinds[segment->off + i] != segment->kind)
            return false;
    }
    if (segment->kind == STAGE_BASE)
        return stage_read(stage, NULL, 1, segment->off, bytes, 1, &io) == -EINVAL;
    if (stage_read(stage, NULL, 1, segment->off, bytes, segment->len, &io) != 0)
        return false;
    for (uint64_t i = 0; i < segment->len; i++) {
        if (segment->kind == STAGE_ZERO
                ? bytes[i] != 0
                : !byte_matches(model, segment->off + i, bytes[i], writes, n))
            return false;
    }
    return true;
}

bool model_matches(const struct model *model, struct stage *stage, const struct op *writes,
                   unsigned n, bool is_loud)
{
    uint64_t off = 0;
    uint64_t n_staged = 0;
    struct stage_segment segment = {.off = 0};
    bool is_complete = true;
    bool ok = stage_size(stage) == model->size && stage_is_changed(stage) == model->is_changed;
    for (; ok && off < model->size; off += segment.len) {
        ok = stage_find(stage, off, &segment) && segment.off == off && segment.len > 0 &&
             segment.len <= model->size - off && segment_matches(model, stage, &segment, writes, n);
        n_staged += segment.kind == STAGE_STAGED ? segment.len : 0;
        is_complete = is_complete && segment.kind != STAGE_BASE;
        /* As long as the kind stays. */
        uint64_t end = off + segment.len;
        ok = ok && (end == model->size || model->kinds[end] != segment.kind);
    }
    ok = ok && !stage_find(stage, off, &segment) && stage_staged(stage) == n_staged &&
         stage_is_complete(stage) == is_complete;
    for (uint32_t kind = 1; kind <= 3 && ok; kind++)
        ok = notes_match(model, stage, kind);
    if (!ok && is_loud)
        printf("# differs at %" PRIu64 ", size %" PRIu64 " of %" PRIu64 "\n", off,
               stage_size(stage), model->size);
    return ok;
}
