/* The table of staged files: see stages.h for their states. */
#include "fs/stages_impl.h"
#include "ic/wait.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Numbers of inodes that are not the tree's: it uses none with this bit (tree_node.c), and doubles
 * still hold them. */
#define STAGED_INO_BIT (UINT64_C(1) << 52)

bool fs_stages_is_ino(fuse_ino_t ino)
{
    return ino & STAGED_INO_BIT;
}

const char *fs_staged_state_words(enum fs_staged_state state)
{
    static const char *const words[] = {
        [FS_STAGED_OPEN] = "open",
        [FS_STAGED_WAITING] = "waiting",
        [FS_STAGED_COMMITTING] = "committing",
        [FS_STAGED_FAILED] = "failed",
        [FS_STAGED_TAINTED] = "tainted",
        [FS_STAGED_PARKED] = "parked",
        [FS_STAGED_FOUND] = "found",
        [FS_STAGED_GONE] = "gone",
    };
    return words[state];
}

bool stages_is_active(enum fs_staged_state state)
{
    return state == FS_STAGED_OPEN || state == FS_STAGED_COMMITTING;
}

/* --- finding --- */

struct fs_staged *stages_find_ino_locked(struct fs_stages *stages, fuse_ino_t ino)
{
    struct fs_staged *staged;
    HASH_FIND(hh, stages->by_ino, &ino, sizeof(ino), staged);
    return staged;
}

struct fs_staged *stages_find_id_locked(struct fs_stages *stages, uint64_t id)
{
    struct fs_staged *staged = stages->list;
    while (staged && !(staged->id == id && staged->stage && staged->state != FS_STAGED_GONE))
        staged = staged->next;
    return staged;
}

struct fs_staged *stages_find_active_locked(struct fs_stages *stages, const struct fs_place *place)
{
    struct fs_staged *staged = stages->list;
    while (staged && !(staged->has_place && stages_is_active(staged->state) &&
                       fs_place_is_same(&staged->place, place)))
        staged = staged->next;
    return staged;
}

/* --- coming and going --- */

struct fs_staged *stages_add_locked(struct fs_stages *stages, fuse_ino_t ino)
{
    struct fs_staged *staged = calloc(1, sizeof(*staged));
    if (!staged)
        return NULL;
    staged->stages = stages;
    staged->state = FS_STAGED_OPEN;
    staged->owns_ino = ino == 0;
    staged->ino = ino != 0 ? ino : STAGED_INO_BIT | ++stages->last_ino;
    staged->n_users = 1;
    staged->n_uses = 1;
    if (staged->owns_ino) {
        HASH_ADD(hh, stages->by_ino, ino, sizeof(staged->ino), staged);
        if (!staged->hh.tbl) {
            free(staged);
            return NULL;
        }
    }
    DL_APPEND(stages->list, staged);
    return staged;
}

static void free_locked(struct fs_staged *staged)
{
    if (staged->owns_ino)
        HASH_DEL(staged->stages->by_ino, staged);
    free(staged);
}

void stages_drop(struct fs_staged *staged)
{
    struct fs_stages *stages = staged->stages;
    pthread_mutex_lock(&stages->lock);
    DL_DELETE(stages->list, staged);
    free_locked(staged);
    pthread_mutex_unlock(&stages->lock);
}

void stages_use_locked(struct fs_staged *staged)
{
    staged->n_users++;
    staged->n_uses++;
}

/* Nobody reads or writes it any more. */
static void remove_stage(struct fs_stages *stages, uint64_t id, struct stage *stage,
                         const struct fs_opened *base)
{
    int result = stage_remove(stage);
    if (result < 0)
        fs_log_print(stages->config.log, FS_LOG_WARNING, "stage %llu cannot be removed: %s",
                     (unsigned long long)id, strerror(-result));
    stages_unlock_id(stages, id);
    if (base)
        fs_tree_close(stages->config.tree, base);
}

/* While the caller is its only user: have it rest. Returns with the lock held again. */
static void rest_locked(struct fs_staged *staged)
{
    struct fs_stages *stages = staged->stages;
    uint64_t n_uses = 0; /* when it was laid to rest */
    while (staged->n_users == 1 && staged->stage && staged->state != FS_STAGED_GONE &&
           staged->n_uses != n_uses) {
        n_uses = staged->n_uses;
        pthread_mutex_unlock(&stages->lock);
        /* A failure is told by whoever needs it to be durable. */
        (void)!stage_rest(staged->stage);
        pthread_mutex_lock(&stages->lock);
    }
}

void stages_unuse(struct fs_staged *staged)
{
    struct fs_stages *stages = staged->stages;
    uint64_t id = staged->id;
    struct fs_opened base = staged->base;
    bool has_base = staged->has_base;
    struct stage *stage = NULL;
    pthread_mutex_lock(&stages->lock);
    rest_locked(staged);
    staged->n_users--;
    if (staged->state == FS_STAGED_GONE && staged->n_users == 0) {
        stage = staged->stage;
        staged->stage = NULL;
        DL_DELETE(stages->list, staged);
        if (staged->n_lookup == 0)
            free_locked(staged);
    }
    pthread_mutex_unlock(&stages->lock);
    if (stage)
        remove_stage(stages, id, stage, has_base ? &base : NULL);
}

void fs_stages_forget(struct fs_stages *stages, fuse_ino_t ino, uint64_t n_lookup)
{
    pthread_mutex_lock(&stages->lock);
    struct fs_staged *staged = stages_find_ino_locked(stages, ino);
    if (staged) {
        staged->n_lookup -= n_lookup < staged->n_lookup ? n_lookup : staged->n_lookup;
        if (staged->n_lookup == 0 && staged->state == FS_STAGED_GONE && !staged->stage)
            free_locked(staged);
    }
    pthread_mutex_unlock(&stages->lock);
}

/* --- states --- */

void stages_set_state_locked(struct fs_staged *staged, enum fs_staged_state state,
                             const char *words)
{
    if (staged->has_place && stages_is_active(staged->state) && !stages_is_active(state))
        stages_unlock_place(staged->stages, staged->path);
    staged->state = state;
    if (words != staged->words)
        snprintf(staged->words, sizeof(staged->words), "%s", words);
    if (state == FS_STAGED_GONE)
        staged->name[0] = '\0';
}

bool stages_is_doubtful_locked(const struct fs_staged *staged)
{
    bool has_failed = staged->state == FS_STAGED_FAILED || staged->state == FS_STAGED_PARKED;
    /* -EINVAL: what was written cannot be this file, or is not what is expected */
    return staged->state == FS_STAGED_TAINTED ||
           (staged->state == FS_STAGED_FOUND && !staged->is_whole) ||
           (has_failed && staged->error == -EINVAL);
}

void stages_format_advice(uint64_t id, bool is_doubtful, char out[STAGES_ADVICE_TEXT])
{
    unsigned long long number = id;
    if (is_doubtful)
        snprintf(out, STAGES_ADVICE_TEXT,
                 "control restore abort %llu, or commit %llu if it is right all the same", number,
                 number);
    else
        snprintf(out, STAGES_ADVICE_TEXT, "control restore resume %llu, or abort %llu", number,
                 number);
}

void stages_note_state(struct fs_staged *staged)
{
    struct fs_stages *stages = staged->stages;
    char note[1 + sizeof(staged->words)];
    pthread_mutex_lock(&stages->lock);
    /* What is expected is forgotten when the mount ends; that this is not it must not be. */
    note[0] = (char)(stages_is_doubtful_locked(staged) ? FS_STAGED_TAINTED : staged->state);
    snprintf(note + 1, sizeof(note) - 1, "%s", staged->words);
    pthread_mutex_unlock(&stages->lock);
    int result = stage_note(staged->stage, STAGES_NOTE_STATE, note, 1 + strlen(note + 1));
    if (result < 0)
        fs_log_print_about(stages->config.log, FS_LOG_WARNING, "note of a state",
                           "stage %llu: its journal cannot be written: %s",
                           (unsigned long long)staged->id, strerror(-result));
}

void stages_taint(struct fs_staged *staged, const char *words)
{
    struct fs_stages *stages = staged->stages;
    char path[FS_PLACE_PATH_MAX];
    pthread_mutex_lock(&stages->lock);
    bool is_new = staged->state == FS_STAGED_OPEN;
    if (is_new)
        stages_set_state_locked(staged, FS_STAGED_TAINTED, words);
    snprintf(path, sizeof(path), "%s", staged->path);
    pthread_mutex_unlock(&stages->lock);
    if (!is_new)
        return;
    stages_note_state(staged);
    fs_log_print(stages->config.log, FS_LOG_ERROR,
                 "%s: %s: nothing of it was sent; it is kept as %llu (restore commit, restore "
                 "abort)",
                 path, words, (unsigned long long)staged->id);
}

/* --- reports --- */

void fs_stages_for_each(struct fs_stages *stages,
                        void (*each)(void *arg, const struct fs_staged_info *info), void *arg)
{
    pthread_mutex_lock(&stages->lock);
    for (const struct fs_staged *staged = stages->list; staged; staged = staged->next) {
        if (!staged->stage || staged->state == FS_STAGED_GONE)
            continue;
        const struct stage_purpose *purpose = stage_get_purpose(staged->stage);
        const struct fs_staged_info info = {
            .id = staged->id,
            .state = staged->state,
            .path = staged->has_place ? staged->path : "",
            .purpose = purpose->target,
            .words = staged->words,
            .error = staged->error,
            .created_ns = purpose->created_ns,
            .started_ns = staged->started_ns,
            .size = stage_size(staged->stage),
            .staged = stage_staged(staged->stage),
            .progress = &staged->progress,
        };
        each(arg, &info);
    }
    pthread_mutex_unlock(&stages->lock);
}

void fs_stages_set_dry_run(struct fs_stages *stages, bool is_on)
{
    pthread_mutex_lock(&stages->lock);
    stages->is_dry_run = is_on;
    pthread_mutex_unlock(&stages->lock);
}

bool fs_stages_is_dry_run(struct fs_stages *stages)
{
    pthread_mutex_lock(&stages->lock);
    bool is_on = stages->is_dry_run;
    pthread_mutex_unlock(&stages->lock);
    return is_on;
}

int fs_stages_statvfs(struct fs_stages *stages, struct statvfs *out)
{
    return fstatvfs(stages->dir_fd, out) < 0 ? -errno : 0;
}

/* --- life --- */

static int start_reporter(struct fs_stages *stages)
{
    if (!stages->config.says_progress)
        return 0;
    return -pthread_create(&stages->reporter, NULL, stages_report, stages);
}

int fs_stages_open(struct fs_stages **out, const struct fs_stages_config *config, char *message,
                   size_t message_size)
{
    struct fs_stages *stages = calloc(1, sizeof(*stages));
    snprintf(message, message_size, "out of memory");
    if (!stages)
        return -ENOMEM;
    stages->config = *config;
    stages->config.dir = NULL;
    stages->dir_fd = -1;
    stages->lock_fd = -1;
    pthread_mutex_init(&stages->lock, NULL);
    int result = ic_wait_cond_init(&stages->ended);
    if (result < 0) {
        pthread_mutex_destroy(&stages->lock);
        free(stages);
        return result;
    }
    result = stages_open_dir(stages, config->dir, message, message_size);
    if (result == 0)
        result = stages_find_left(stages);
    if (result == 0)
        result = start_reporter(stages);
    if (result < 0) {
        stages->config.says_progress = false; /* there is no thread to join */
        fs_stages_close(stages);
        return result;
    }
    *out = stages;
    return 0;
}

void fs_stages_set_mountpoint(struct fs_stages *stages, const char *path)
{
    stages->dev = fs_writer_device_of(path);
}

int fs_stages_hold(struct fs_stages *stages)
{
    pthread_mutex_lock(&stages->lock);
    const struct fs_staged *staged = stages->list;
    while (staged && staged->state != FS_STAGED_COMMITTING)
        staged = staged->next;
    int result = staged ? -EBUSY : stages_lock_change(stages, false);
    stages->is_held = result == 0;
    pthread_mutex_unlock(&stages->lock);
    return result;
}

void fs_stages_let_go(struct fs_stages *stages)
{
    pthread_mutex_lock(&stages->lock);
    stages->is_held = false;
    stages_unlock_change(stages);
    pthread_mutex_unlock(&stages->lock);
}

void fs_stages_stop(struct fs_stages *stages)
{
    if (!stages)
        return;
    pthread_mutex_lock(&stages->lock);
    stages->is_stopped = true;
    for (struct fs_staged *staged = stages->list; staged; staged = staged->next)
        if (staged->cancel)
            atomic_store_explicit(staged->cancel, true, memory_order_release);
    pthread_cond_broadcast(&stages->ended);
    pthread_mutex_unlock(&stages->lock);
    if (stages->config.wake)
        stages->config.wake(stages->config.arg);
}

/* At the end of the mount nobody uses it any more. */
static void keep(struct fs_staged *staged)
{
    struct fs_stages *stages = staged->stages;
    struct fs_log *log = stages->config.log;
    unsigned long long id = staged->id;
    if (!staged->stage)
        return;
    if (!stage_is_changed(staged->stage)) {
        remove_stage(stages, staged->id, staged->stage, staged->has_base ? &staged->base : NULL);
        return;
    }
    int result = stage_sync(staged->stage);
    if (result < 0)
        fs_log_print(log, FS_LOG_ERROR, "%s: what was written last is lost from stage %llu: %s",
                     staged->path, id, strerror(-result));
    fs_log_print(log, FS_LOG_WARNING, "%s is %s: kept as stage %llu, which the next mount shows",
                 staged->path, fs_staged_state_words(staged->state), id);
    stage_close(staged->stage);
    if (staged->has_base)
        fs_tree_close(stages->config.tree, &staged->base);
}

void fs_stages_close(struct fs_stages *stages)
{
    if (!stages)
        return;
    fs_stages_stop(stages);
    if (stages->config.says_progress)
        pthread_join(stages->reporter, NULL);
    stages_end_expected(stages);
    while (stages->list) {
        struct fs_staged *staged = stages->list;
        keep(staged);
        DL_DELETE(stages->list, staged);
        if (!staged->owns_ino)
            free(staged);
    }
    struct fs_staged *staged;
    struct fs_staged *next;
    HASH_ITER(hh, stages->by_ino, staged, next)
    {
        HASH_DEL(stages->by_ino, staged);
        free(staged);
    }
    if (stages->lock_fd >= 0)
        close(stages->lock_fd); /* and with it every lock */
    if (stages->dir_fd >= 0)
        close(stages->dir_fd);
    pthread_cond_destroy(&stages->ended);
    pthread_mutex_destroy(&stages->lock);
    free(stages);
}
