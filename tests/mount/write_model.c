/* The model: see write_model.h. */
#include "tests/mount/write_model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct model_file *model_begin(struct model *model, int place, bool truncates)
{
    struct model_file *file = calloc(1, sizeof(*file));
    if (!file)
        abort();
    file->next = model->files;
    model->files = file;
    file->is_temporary = place < 0;
    file->place = place;
    file->is_truncated = truncates;
    if (place < 0)
        return file;
    struct model_place *base = &model->places[place];
    if (!truncates) {
        file->size = base->size;
        memcpy(file->bytes, base->bytes, base->size);
        memset(file->is_base, true, base->size);
    }
    base->active = file;
    return file;
}

void model_write(struct model_file *file, size_t off, const unsigned char *bytes, size_t len)
{
    if (off > file->size)
        model_truncate(file, off);
    memcpy(file->bytes + off, bytes, len);
    memset(file->is_base + off, false, len);
    if (off + len > file->size)
        file->size = off + len;
    file->is_changed = true;
}

void model_truncate(struct model_file *file, size_t size)
{
    if (size > file->size) {
        memset(file->bytes + file->size, 0, size - file->size);
        memset(file->is_base + file->size, false, size - file->size);
    }
    file->size = size;
    file->is_changed = true;
}

/* --- commits --- */

static bool is_complete(const struct model_file *file)
{
    return !memchr(file->is_base, true, file->size);
}

/* What was kept of it before is of no use any more. */
static void supersede(struct model *model, int place)
{
    struct model_place *to = &model->places[place];
    to->n_failed = to->n_parked = to->n_tainted = 0;
    for (struct model_file *other = model->files; other; other = other->next)
        if (other->state == MODEL_FAILED && other->place == place)
            other->state = MODEL_GONE;
    for (int i = 0; i < MODEL_N_NAMES; i++)
        if (model->names[i] && model->names[i]->state == MODEL_GONE)
            model->names[i] = NULL;
}

/* Not counted here: what fails. */
static int commit(struct model *model, struct model_file *file, int place)
{
    struct model_place *to = &model->places[place];
    file->place = place;
    file->error = to->is_memory && file->size < to->size ? EINVAL : model->commit_error;
    file->state = file->error ? MODEL_FAILED : MODEL_GONE;
    if (file->error)
        return file->error;
    for (struct model_file *other = model->files; other; other = other->next)
        other->is_outdated = other->is_outdated || (other->place == place && !is_complete(other));
    to->exists = true;
    to->size = file->size;
    memcpy(to->bytes, file->bytes, file->size);
    if (is_complete(file))
        supersede(model, place);
    return 0;
}

int model_close(struct model *model, struct model_file *file)
{
    bool is_meant = file->is_changed || file->is_truncated;
    if (file->is_temporary || file->state != MODEL_OPEN || !is_meant)
        return 0;
    struct model_place *place = &model->places[file->place];
    place->active = NULL;
    int error = commit(model, file, file->place);
    place->n_failed += error != 0;
    return error;
}

void model_release(struct model *model, struct model_file *file)
{
    if (file->is_temporary)
        return;
    if (file->state == MODEL_OPEN)
        model->places[file->place].active = NULL;
    else if (file->state == MODEL_FAILED && !file->is_changed) /* there is nothing to keep */
        model->places[file->place].n_failed--;
    else
        return;
    file->state = MODEL_GONE;
}

void model_taint(struct model *model, struct model_file *file)
{
    if (!file->is_changed) {
        model_release(model, file);
        return;
    }
    file->state = MODEL_TAINTED;
    if (file->is_temporary) {
        model->n_tainted_names++;
    } else {
        model->places[file->place].active = NULL;
        model->places[file->place].n_tainted++;
    }
}

/* --- names --- */

/* Its state counts no more. */
static void uncount(struct model *model, struct model_file *file)
{
    if (file->state == MODEL_TAINTED)
        model->n_tainted_names--;
    if (file->state == MODEL_FAILED)
        model->places[file->place].n_failed--;
}

int model_reopen(struct model *model, struct model_file *file, bool truncates)
{
    if (file->state == MODEL_TAINTED && !truncates)
        return EIO;
    uncount(model, file);
    file->state = MODEL_OPEN;
    file->place = -1;
    if (truncates)
        model_truncate(file, 0);
    return 0;
}

int model_rename_to_place(struct model *model, int name, int place)
{
    struct model_file *file = model->names[name];
    if (!file)
        return ENOENT;
    if (file->state == MODEL_TAINTED)
        return EIO;
    if (file->n_writers > 0 || model->places[place].active)
        return EBUSY;
    uncount(model, file);
    file->state = MODEL_OPEN;
    int error = commit(model, file, place);
    if (error)
        model->places[place].n_failed++;
    else
        model->names[name] = NULL;
    return error;
}

void model_unlink(struct model *model, int name)
{
    struct model_file *file = model->names[name];
    uncount(model, file);
    if (file->state == MODEL_FAILED)
        model->places[file->place].n_parked++;
    file->state = MODEL_GONE;
    model->names[name] = NULL;
}

void model_rename(struct model *model, int from, int to)
{
    if (from == to)
        return;
    if (model->names[to])
        model_unlink(model, to);
    model->names[to] = model->names[from];
    model->names[from] = NULL;
}

void model_forget(struct model *model)
{
    while (model->files) {
        struct model_file *next = model->files->next;
        free(model->files);
        model->files = next;
    }
}
