/* The names that only staged files have: temporary files beside a place, and new files of a place
 * that the canister does not have yet. */
#include "fs/stages_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* --- what can be seen --- */

static bool has_name_locked(const struct fs_staged *staged, fuse_ino_t parent)
{
    return staged->stage && staged->name[0] && staged->parent == parent &&
           (staged->is_temporary || stages_is_active(staged->state));
}

static struct fs_staged *find_name_locked(struct fs_stages *stages, fuse_ino_t parent,
                                          const char *name)
{
    struct fs_staged *staged = stages->list;
    while (staged && !(has_name_locked(staged, parent) && strcmp(staged->name, name) == 0))
        staged = staged->next;
    return staged;
}

static void fill_attr_locked(const struct fs_staged *staged, struct stat *out)
{
    *out = staged->attr;
    out->st_ino = staged->ino;
    out->st_nlink = staged->name[0] ? 1 : 0;
    out->st_blksize = 1 << 20;
    out->st_ctim = staged->attr.st_mtim;
    if (!staged->stage)
        return;
    out->st_size = (off_t)stage_size(staged->stage);
    out->st_blocks = (blkcnt_t)((stage_staged(staged->stage) + 511) / 512);
}

/* Nothing is remembered by the kernel: a commit ends the name. */
static void fill_entry_locked(struct fs_staged *staged, struct fuse_entry_param *out)
{
    memset(out, 0, sizeof(*out));
    out->ino = staged->ino;
    fill_attr_locked(staged, &out->attr);
    staged->n_lookup++;
}

int fs_stages_lookup(struct fs_stages *stages, fuse_ino_t parent, const char *name,
                     struct fuse_entry_param *out)
{
    pthread_mutex_lock(&stages->lock);
    struct fs_staged *staged = find_name_locked(stages, parent, name);
    if (staged)
        fill_entry_locked(staged, out);
    pthread_mutex_unlock(&stages->lock);
    return staged ? 0 : -ENOENT;
}

int fs_stages_getattr(struct fs_stages *stages, fuse_ino_t ino, struct stat *out)
{
    pthread_mutex_lock(&stages->lock);
    const struct fs_staged *staged = stages_find_ino_locked(stages, ino);
    if (staged)
        fill_attr_locked(staged, out);
    pthread_mutex_unlock(&stages->lock);
    return staged ? 0 : -ESTALE;
}

static struct timespec time_of(struct timespec given, bool is_now)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return is_now ? now : given;
}

int fs_stages_setattr(struct fs_stages *stages, fuse_ino_t ino, const struct stat *attr, int to_set)
{
    pthread_mutex_lock(&stages->lock);
    struct fs_staged *staged = stages_find_ino_locked(stages, ino);
    if (staged) {
        struct stat *own = &staged->attr;
        if (to_set & FUSE_SET_ATTR_MODE)
            own->st_mode = S_IFREG | (attr->st_mode & 07777);
        if (to_set & FUSE_SET_ATTR_UID)
            own->st_uid = attr->st_uid;
        if (to_set & FUSE_SET_ATTR_GID)
            own->st_gid = attr->st_gid;
        if (to_set & FUSE_SET_ATTR_ATIME)
            own->st_atim = time_of(attr->st_atim, to_set & FUSE_SET_ATTR_ATIME_NOW);
        if (to_set & FUSE_SET_ATTR_MTIME)
            own->st_mtim = time_of(attr->st_mtim, to_set & FUSE_SET_ATTR_MTIME_NOW);
    }
    pthread_mutex_unlock(&stages->lock);
    return staged ? 0 : -ESTALE;
}

uint64_t fs_stages_next_name(struct fs_stages *stages, fuse_ino_t parent, uint64_t after,
                             char name[FS_NAME_SIZE], fuse_ino_t *ret_ino)
{
    uint64_t id = 0;
    pthread_mutex_lock(&stages->lock);
    for (const struct fs_staged *staged = stages->list; staged; staged = staged->next) {
        if (!has_name_locked(staged, parent) || staged->id <= after ||
            (id != 0 && staged->id >= id))
            continue;
        id = staged->id;
        snprintf(name, FS_NAME_SIZE, "%s", staged->name);
        *ret_ino = staged->ino;
    }
    pthread_mutex_unlock(&stages->lock);
    return id;
}

/* --- making --- */

/* sed -i makes sedXXXXXX, perl -i XXXXXXXX. */
static bool is_of_editor(const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
    size_t begin = strncmp(name, "sed", 3) == 0 ? 3 : strncmp(name, "XX", 2) == 0 ? 2 : 0;
    return begin > 0 && strlen(name) == begin + 6 && strspn(name, letters) == begin + 6;
}

/* Is it a name by which tools write something that takes the place of a file? Hidden ones (rsync,
 * vim, GLib), what begins with the file's own name (x~, x.part, x.sha256), and some of their own:
 * whatever else is made here would look restored, and be nowhere. */
static bool is_beside_place(struct fs_stages *stages, fuse_ino_t parent, const char *name)
{
    if (!fs_tree_has_places(stages->config.tree, parent))
        return false;
    if (name[0] == '.' || name[0] == '#' || is_of_editor(name) || strcmp(name, "4913") == 0)
        return true; /* vim tries whether it can make files by that number */
    char begin[FS_NAME_SIZE];
    struct fs_place place;
    for (size_t len = 1; len < strlen(name) && len < sizeof(begin); len++) {
        memcpy(begin, name, len);
        begin[len] = '\0';
        if (fs_tree_find_place_in(stages->config.tree, parent, begin, &place) == 0)
            return true;
    }
    return false;
}

static int path_in(struct fs_stages *stages, fuse_ino_t parent, const char *name,
                   char path[FS_PLACE_PATH_MAX])
{
    char dir[FS_PLACE_PATH_MAX];
    int result = fs_tree_format_dir(stages->config.tree, parent, dir);
    if (result < 0)
        return result;
    int len = snprintf(path, FS_PLACE_PATH_MAX, "%s%s%s", dir, dir[0] ? "/" : "", name);
    return len < FS_PLACE_PATH_MAX ? 0 : -ENAMETOOLONG;
}

static struct stat new_attr(const struct fs_stages_config *config, mode_t mode)
{
    struct stat attr = {
        .st_mode = S_IFREG | (mode & 07777 & ~config->umask),
        .st_uid = config->uid,
        .st_gid = config->gid,
    };
    clock_gettime(CLOCK_REALTIME, &attr.st_mtim);
    attr.st_atim = attr.st_mtim;
    return attr;
}

static void name_locked(struct fs_staged *staged, fuse_ino_t parent, const char *name,
                        const struct stat *attr)
{
    staged->parent = parent;
    staged->attr = *attr;
    snprintf(staged->name, sizeof(staged->name), "%s", name);
}

/* A file that is for no place yet. */
static int make_temporary(struct fs_stages *stages, fuse_ino_t parent, const char *name,
                          const struct stat *attr, const struct fs_stages_caller *caller,
                          struct fs_staged_handle *out)
{
    struct stage_purpose purpose = {.created_ns = stages_clock_ns(CLOCK_REALTIME)};
    int result = path_in(stages, parent, name, purpose.target);
    if (result < 0)
        return result;
    struct fs_writer opener;
    (void)fs_writer_identify(caller->tid, &opener);
    pthread_mutex_lock(&stages->lock);
    struct fs_staged *staged = stages->is_stopped ? NULL : stages_add_locked(stages, 0);
    if (staged) {
        staged->is_temporary = true;
        staged->owner = opener;
        snprintf(staged->path, sizeof(staged->path), "%s", purpose.target);
        name_locked(staged, parent, name, attr);
    }
    pthread_mutex_unlock(&stages->lock);
    if (!staged)
        return -ENOMEM;
    result = stages_make(staged, &purpose);
    if (result < 0) {
        stages_drop(staged);
        return result;
    }
    *out = (struct fs_staged_handle){
        .staged = staged,
        .opener = opener,
        .own_tid = caller->tid,
        .can_write = (caller->flags & O_ACCMODE) != O_RDONLY,
    };
    pthread_mutex_lock(&stages->lock);
    staged->n_handles++;
    staged->n_writers += out->can_write;
    pthread_mutex_unlock(&stages->lock);
    return 0;
}

/* A file of a place that the canister does not have. */
static int make_new(struct fs_stages *stages, const struct fs_place *place, fuse_ino_t parent,
                    const char *name, const struct stat *attr,
                    const struct fs_stages_caller *caller, struct fs_staged_handle *out)
{
    const struct fs_stages_caller whole = {.tid = caller->tid, .flags = caller->flags | O_TRUNC};
    int result = fs_stages_open_place(stages, place, 0, NULL, &whole, out);
    if (result < 0)
        return result;
    pthread_mutex_lock(&stages->lock);
    name_locked(out->staged, parent, name, attr);
    pthread_mutex_unlock(&stages->lock);
    return 0;
}

int fs_stages_create(struct fs_stages *stages, fuse_ino_t parent, const char *name, mode_t mode,
                     const struct fs_stages_caller *caller, struct fuse_entry_param *entry,
                     struct fs_staged_handle *out)
{
    struct fs_place place;
    pthread_mutex_lock(&stages->lock);
    const struct fs_staged *known = find_name_locked(stages, parent, name);
    fuse_ino_t ino = known ? known->ino : 0;
    pthread_mutex_unlock(&stages->lock);
    const struct stat attr = new_attr(&stages->config, mode);
    int result = fs_tree_find_place_in(stages->config.tree, parent, name, &place);
    if (ino != 0)
        result = caller->flags & O_EXCL ? -EEXIST : fs_stages_open_ino(stages, ino, caller, out);
    else if (result == 0)
        result = make_new(stages, &place, parent, name, &attr, caller, out);
    else if (result == -ENOENT)
        result = is_beside_place(stages, parent, name)
                     ? make_temporary(stages, parent, name, &attr, caller, out)
                     : -EROFS;
    if (result < 0)
        return result;
    pthread_mutex_lock(&stages->lock);
    fill_entry_locked(out->staged, entry);
    pthread_mutex_unlock(&stages->lock);
    return 0;
}

/* --- removing and renaming --- */

/* Nobody knows it by name any more. A commit of it that failed can be repeated by its number. */
static int remove_name_locked(struct fs_staged *staged)
{
    if (staged->state == FS_STAGED_COMMITTING)
        return -EBUSY;
    if (staged->state == FS_STAGED_FAILED) {
        stages_set_state_locked(staged, FS_STAGED_PARKED, staged->words);
        staged->name[0] = '\0';
    } else {
        stages_set_state_locked(staged, FS_STAGED_GONE, "");
    }
    stages_use_locked(staged);
    return 0;
}

/* What remove_name_locked leaves to do. */
static void end_removal(struct fs_staged *staged)
{
    struct fs_stages *stages = staged->stages;
    pthread_mutex_lock(&stages->lock);
    bool is_parked = staged->state == FS_STAGED_PARKED;
    bool is_doubtful = stages_is_doubtful_locked(staged);
    pthread_mutex_unlock(&stages->lock);
    if (is_parked) {
        char advice[STAGES_ADVICE_TEXT];
        stages_note_state(staged);
        stages_format_advice(staged->id, is_doubtful, advice);
        fs_log_print(stages->config.log, FS_LOG_ERROR, "the restore of %s that failed is kept: %s",
                     staged->path, advice);
    }
    stages_unuse(staged);
}

int fs_stages_unlink(struct fs_stages *stages, fuse_ino_t parent, const char *name)
{
    pthread_mutex_lock(&stages->lock);
    struct fs_staged *staged = find_name_locked(stages, parent, name);
    int result = staged ? remove_name_locked(staged) : -ENOENT;
    pthread_mutex_unlock(&stages->lock);
    if (result == 0)
        end_removal(staged);
    return result;
}

/* Over a place: a commit point. */
static int move_to_place(struct fs_staged *staged, const struct fs_place *place,
                         atomic_bool *cancel)
{
    struct fs_stages *stages = staged->stages;
    pthread_mutex_lock(&stages->lock);
    int result = staged->state == FS_STAGED_TAINTED ? -EIO : staged->n_writers > 0 ? -EBUSY : 0;
    if (result == 0)
        result = stages_begin_locked(staged, place, cancel);
    pthread_mutex_unlock(&stages->lock);
    if (result < 0) {
        fs_log_print(stages->config.log, FS_LOG_WARNING, "%s cannot be restored from %s: %s",
                     staged->path, staged->name,
                     result == -EIO     ? staged->words
                     : result == -EBUSY ? "one of them is being written or restored"
                                        : strerror(-result));
        return result;
    }
    result = stages_complete(staged, cancel);
    if (result == 0) {
        pthread_mutex_lock(&stages->lock);
        staged->name[0] = '\0';
        pthread_mutex_unlock(&stages->lock);
    }
    return result;
}

static int move_to_name(struct fs_staged *staged, fuse_ino_t parent, const char *name,
                        bool may_replace)
{
    struct fs_stages *stages = staged->stages;
    char path[FS_PLACE_PATH_MAX];
    int result =
        is_beside_place(stages, parent, name) ? path_in(stages, parent, name, path) : -EROFS;
    if (result < 0)
        return result;
    pthread_mutex_lock(&stages->lock);
    struct fs_staged *victim = find_name_locked(stages, parent, name);
    if (victim == staged)
        victim = NULL;
    if (victim)
        result = may_replace ? remove_name_locked(victim) : -EEXIST;
    if (result == 0) {
        snprintf(staged->name, sizeof(staged->name), "%s", name);
        if (!staged->has_place)
            snprintf(staged->path, sizeof(staged->path), "%s", path);
    }
    pthread_mutex_unlock(&stages->lock);
    if (result == 0 && victim)
        end_removal(victim);
    return result;
}

int fs_stages_rename(struct fs_stages *stages, fuse_ino_t parent, const char *name,
                     fuse_ino_t new_parent, const char *new_name, bool may_replace,
                     atomic_bool *cancel)
{
    struct fs_place place;
    pthread_mutex_lock(&stages->lock);
    struct fs_staged *staged = find_name_locked(stages, parent, name);
    int result = staged && staged->is_temporary && parent == new_parent ? 0 : -EXDEV;
    if (result == 0)
        stages_use_locked(staged);
    pthread_mutex_unlock(&stages->lock);
    if (result < 0)
        return result;
    result = fs_tree_find_place_in(stages->config.tree, new_parent, new_name, &place);
    if (result == 0)
        result = move_to_place(staged, &place, cancel);
    else if (result == -ENOENT)
        result = move_to_name(staged, new_parent, new_name, may_replace);
    stages_unuse(staged);
    return result;
}

/* --- places that somebody makes anew --- */

static struct stages_hidden *find_hidden_locked(struct fs_stages *stages,
                                                const struct fs_place *place,
                                                const struct fs_writer *writer)
{
    for (size_t i = 0; i < FS_STAGES_N_HIDDEN; i++) {
        struct stages_hidden *hidden = &stages->hidden[i];
        if (fs_writer_is_same(&hidden->writer, writer) && fs_place_is_same(&hidden->place, place))
            return hidden;
    }
    return NULL;
}

void fs_stages_hide(struct fs_stages *stages, const struct fs_place *place, pid_t tid)
{
    struct fs_writer writer;
    if (!fs_writer_identify(tid, &writer))
        return;
    pthread_mutex_lock(&stages->lock);
    if (!find_hidden_locked(stages, place, &writer))
        stages->hidden[stages->next_hidden++ % FS_STAGES_N_HIDDEN] =
            (struct stages_hidden){.place = *place, .writer = writer};
    pthread_mutex_unlock(&stages->lock);
}

bool fs_stages_is_hidden(struct fs_stages *stages, const struct fs_place *place, pid_t tid)
{
    struct fs_writer writer;
    pthread_mutex_lock(&stages->lock);
    bool is_any = stages->next_hidden > 0;
    pthread_mutex_unlock(&stages->lock);
    if (!is_any || !fs_writer_identify(tid, &writer))
        return false;
    pthread_mutex_lock(&stages->lock);
    bool is_hidden = find_hidden_locked(stages, place, &writer) != NULL;
    pthread_mutex_unlock(&stages->lock);
    return is_hidden;
}

void fs_stages_unhide(struct fs_stages *stages, const struct fs_place *place, pid_t tid)
{
    struct fs_writer writer;
    if (!fs_writer_identify(tid, &writer))
        return;
    pthread_mutex_lock(&stages->lock);
    struct stages_hidden *hidden = find_hidden_locked(stages, place, &writer);
    if (hidden)
        hidden->writer = (struct fs_writer){0};
    pthread_mutex_unlock(&stages->lock);
}
