/* What a commit must know of others of its place.
 *
 * A commit that ended early leaves things behind: calls that may still run, a session that is open,
 * items that the canister has. Its restorer has noted that in its stage. The next commit of the
 * place is often one of another stage, as when a crash is followed by the same cp once more;
 * without these notes it would do again what must not be done twice. */
#include "fs/stages_impl.h"

#include <errno.h>
#include <stdlib.h>

static bool is_other_locked(const struct fs_staged *staged, const struct fs_staged *other)
{
    return other != staged && other->stage && other->has_place &&
           fs_place_is_same(&other->place, &staged->place) && other->state != FS_STAGED_GONE;
}

int stages_use_others(struct fs_staged *staged, struct stages_others *out)
{
    struct fs_stages *stages = staged->stages;
    struct fs_staged *other;
    size_t n = 0;
    *out = (struct stages_others){0};
    pthread_mutex_lock(&stages->lock);
    DL_FOREACH(stages->list, other)
    n += is_other_locked(staged, other);
    out->staged = calloc(n + 1, sizeof(struct fs_staged *));
    out->stages = calloc(n + 1, sizeof(struct stage *));
    bool has_room = out->staged && out->stages;
    DL_FOREACH(stages->list, other)
    {
        if (!has_room || !is_other_locked(staged, other))
            continue;
        stages_use_locked(other);
        out->staged[out->n] = other;
        out->stages[out->n++] = other->stage;
    }
    pthread_mutex_unlock(&stages->lock);
    return has_room ? 0 : -ENOMEM;
}

void stages_unuse_others(struct stages_others *others)
{
    for (size_t i = 0; i < others->n; i++)
        stages_unuse(others->staged[i]);
    free(others->staged);
    free(others->stages);
    *others = (struct stages_others){0};
}
