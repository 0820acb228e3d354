/* The directory of a canister's stages, and who uses what of it.
 *
 *     DIR/lock   one byte for each number, at that offset, and one for each place, at one made of
 *                its path: locked by the mount that uses it, and by nobody once that is dead
 *     DIR/ID/    a stage
 */
#include "fs/stages_impl.h"
#include "fs/staging_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PLACES_FROM (INT64_C(1) << 62)

/* The byte of what changes the canister: shared by the mounts that restore, or of the one whose
 * command replaces all of its state. */
#define CHANGE_AT (PLACES_FROM - 1)

static int lock_byte(int fd, int64_t off, short type)
{
    struct flock range = {.l_type = type, .l_whence = SEEK_SET, .l_start = off, .l_len = 1};
    if (fcntl(fd, F_OFD_SETLK, &range) == 0)
        return 0;
    return errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;
}

/* FNV-1a. Two paths that come to the same would only wait for each other. */
static int64_t offset_of(const char *path)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (; *path; path++)
        hash = (hash ^ (unsigned char)*path) * UINT64_C(0x100000001b3);
    return PLACES_FROM | (int64_t)(hash >> 3);
}

int stages_lock_place(struct fs_stages *stages, const char *path)
{
    return lock_byte(stages->lock_fd, offset_of(path), F_WRLCK);
}

void stages_unlock_place(struct fs_stages *stages, const char *path)
{
    (void)lock_byte(stages->lock_fd, offset_of(path), F_UNLCK); /* cannot fail: it is ours */
}

int stages_lock_change(struct fs_stages *stages, bool is_shared)
{
    return lock_byte(stages->lock_fd, CHANGE_AT, is_shared ? F_RDLCK : F_WRLCK);
}

void stages_unlock_change(struct fs_stages *stages)
{
    (void)lock_byte(stages->lock_fd, CHANGE_AT, F_UNLCK); /* cannot fail: it is ours */
}

void stages_unlock_id(struct fs_stages *stages, uint64_t id)
{
    (void)lock_byte(stages->lock_fd, (int64_t)id, F_UNLCK);
}

int stages_open_dir(struct fs_stages *stages, const char *path, char *message, size_t message_size)
{
    int result = fs_staging_dir_open(path, &stages->dir_fd);
    if (result == 0) {
        stages->lock_fd =
            openat(stages->dir_fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
        result = stages->lock_fd < 0 ? -errno : 0;
    }
    if (result < 0)
        snprintf(message, message_size, "staging_dir: '%s' cannot be used: %s", path,
                 result == -EPERM ? "it is another user's, or others may write to it"
                                  : strerror(-result));
    return result;
}

/* --- making --- */

int stages_make(struct fs_staged *staged, const struct stage_purpose *purpose)
{
    struct fs_stages *stages = staged->stages;
    for (;;) {
        pthread_mutex_lock(&stages->lock);
        uint64_t id = ++stages->last_id;
        pthread_mutex_unlock(&stages->lock);
        int result = lock_byte(stages->lock_fd, (int64_t)id, F_WRLCK);
        if (result == -EBUSY)
            continue; /* another mount's */
        if (result < 0)
            return result;
        char name[24];
        snprintf(name, sizeof(name), "%llu", (unsigned long long)id);
        struct stage *stage;
        result = stage_new(&stage, stages->dir_fd, name, purpose);
        if (result == 0) {
            pthread_mutex_lock(&stages->lock);
            staged->id = id;
            staged->stage = stage;
            pthread_mutex_unlock(&stages->lock);
            return 0;
        }
        stages_unlock_id(stages, id);
        if (result != -EEXIST)
            return result;
    }
}

/* --- what earlier runs left --- */

/* The last words about it. Returns the state it was in. */
static enum fs_staged_state read_state(struct stage *stage, char *words, size_t size)
{
    void *note;
    size_t len;
    words[0] = '\0';
    if (stage_get_note(stage, STAGES_NOTE_STATE, &note, &len) < 0)
        return FS_STAGED_OPEN;
    const char *text = note;
    enum fs_staged_state state = FS_STAGED_OPEN;
    if (len >= 1 && text[0] >= FS_STAGED_OPEN && text[0] <= FS_STAGED_GONE)
        state = (enum fs_staged_state)text[0];
    if (len > 1)
        snprintf(words, size, "%.*s", (int)(len - 1 < size ? len - 1 : size - 1), text + 1);
    free(note);
    return state;
}

static void read_path(struct stage *stage, char path[FS_PLACE_PATH_MAX])
{
    void *note;
    size_t len;
    snprintf(path, FS_PLACE_PATH_MAX, "%s", stage_get_purpose(stage)->target);
    if (stage_get_note(stage, STAGES_NOTE_PATH, &note, &len) < 0)
        return;
    if (len > 0 && len < FS_PLACE_PATH_MAX) {
        memcpy(path, note, len);
        path[len] = '\0';
    }
    free(note);
}

static void tell_found(const struct fs_staged *staged, enum fs_staged_state was, const char *words)
{
    struct fs_log *log = staged->stages->config.log;
    unsigned long long id = staged->id;
    const char *path = staged->path;
    char advice[STAGES_ADVICE_TEXT];
    stages_format_advice(id, was == FS_STAGED_TAINTED, advice);
    if (!staged->has_place)
        fs_log_print(log, FS_LOG_WARNING,
                     "an earlier mount left %s, a temporary file: control restore abort %llu", path,
                     id);
    else if (was == FS_STAGED_COMMITTING)
        fs_log_print(log, FS_LOG_WARNING,
                     "a restore of %s was interrupted: control restore resume %llu", path, id);
    else if (was == FS_STAGED_FAILED || was == FS_STAGED_PARKED || was == FS_STAGED_WAITING ||
             was == FS_STAGED_TAINTED)
        fs_log_print(log, FS_LOG_WARNING, "a restore of %s was not made (%s): %s", path,
                     *words ? words : fs_staged_state_words(was), advice);
    else
        fs_log_print(
            log, FS_LOG_WARNING,
            "%s was being written when an earlier mount ended: control restore abort %llu, "
            "or commit %llu if it is whole",
            path, id, id);
}

/* The number is locked. */
static int take_over(struct fs_stages *stages, uint64_t id, struct stage *stage)
{
    char words[400];
    enum fs_staged_state was = read_state(stage, words, sizeof(words));
    if (was == FS_STAGED_GONE || !stage_is_changed(stage)) {
        int result = stage_remove(stage);
        stages_unlock_id(stages, id);
        return result < 0 ? result : 0;
    }
    (void)!stage_rest(stage); /* there may be thousands */
    pthread_mutex_lock(&stages->lock);
    struct fs_staged *staged = stages_add_locked(stages, 0);
    if (staged) {
        staged->n_users = 0;
        staged->id = id;
        staged->stage = stage;
        staged->state = FS_STAGED_FOUND;
        /* What was whole when it was left may be resumed; more takes an order that insists. */
        staged->is_whole = was != FS_STAGED_OPEN && was != FS_STAGED_TAINTED;
        read_path(stage, staged->path);
        staged->has_place =
            fs_tree_parse_place(stages->config.tree, staged->path, &staged->place) == 0;
        snprintf(staged->words, sizeof(staged->words), "was %s%s%s", fs_staged_state_words(was),
                 *words ? ": " : "", words);
        tell_found(staged, was, words);
    }
    pthread_mutex_unlock(&stages->lock);
    if (!staged)
        stage_close(stage);
    return staged ? 0 : -ENOMEM;
}

static int find_one(struct fs_stages *stages, const char *name, uint64_t id)
{
    struct stage *stage;
    if (lock_byte(stages->lock_fd, (int64_t)id, F_WRLCK) < 0)
        return 0; /* another mount's */
    int result = stage_open(&stage, stages->dir_fd, name);
    if (result == 0)
        return take_over(stages, id, stage);
    stages_unlock_id(stages, id);
    if (result == -ENOENT) /* what was left of one that was removed */
        return 0;
    if (result == -ENOMEM)
        return result;
    fs_log_print(stages->config.log, FS_LOG_WARNING,
                 "stage %s in staging_dir cannot be read, and is left alone: %s", name,
                 strerror(-result));
    return 0;
}

static int compare_ids(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Numbers as stages_make writes them. */
static bool parse_id(const char *name, uint64_t *out)
{
    char again[24];
    *out = strtoull(name, NULL, 10);
    snprintf(again, sizeof(again), "%llu", (unsigned long long)*out);
    return *out > 0 && *out < CHANGE_AT && strcmp(again, name) == 0;
}

int stages_find_left(struct fs_stages *stages)
{
    int fd = openat(stages->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        int result = -errno;
        if (fd >= 0)
            close(fd);
        return result;
    }
    uint64_t *ids = NULL;
    size_t n = 0;
    int result = 0;
    const struct dirent *entry;
    uint64_t id;
    while (result == 0 && (errno = 0, entry = readdir(dir))) {
        if (!parse_id(entry->d_name, &id))
            continue;
        uint64_t *more = realloc(ids, (n + 1) * sizeof(*ids));
        if (!more)
            result = -ENOMEM;
        else
            (ids = more)[n++] = id;
    }
    if (result == 0 && errno != 0)
        result = -errno;
    closedir(dir);
    if (n > 0)
        qsort(ids, n, sizeof(*ids), compare_ids);
    for (size_t i = 0; result == 0 && i < n; i++) {
        char name[24];
        snprintf(name, sizeof(name), "%llu", (unsigned long long)ids[i]);
        stages->last_id = ids[i];
        result = find_one(stages, name, ids[i]);
    }
    free(ids);
    return result;
}
