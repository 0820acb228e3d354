/* The list: see snapshots.h. */
#include "fs/snapshot_note.h"
#include "fs/snapshots_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Files of chunk stores that are kept, bytes: they are read one after the other, and those that
 * were fetched ahead must still be there when their turn comes. */
#define CHUNK_MEMORY ((size_t)(SNAPSHOT_AHEAD_THREADS + 4) * IC_SNAPSHOT_CHUNK_MAX)

/* A call of nobody in particular. */
#define AHEAD_NS (60 * IC_NS_PER_SEC)

void snapshots_log(const struct fs_snapshots *snapshots, const char *name, const char *what,
                   const struct ic_error *err)
{
    if (err->code == IC_E_CANCELLED)
        return;
    char cause[96]; /* which snapshot and range is not part of it */
    snprintf(cause, sizeof(cause), "snapshots %d %s %d", (int)err->code, err->error_code,
             err->http_status);
    fs_log_print_about(snapshots->config.target->log, FS_LOG_ERROR, cause, "snapshots%s%s%s%s: %s",
                       *name ? "/" : "", name, *what ? "/" : "", what, err->message);
}

/* --- the table --- */

static struct snapshot *find_id_locked(struct fs_snapshots *self, const struct ic_snapshot_id *id)
{
    for (size_t i = 0; i < self->n_items; i++)
        if (ic_snapshot_id_is_equal(&self->items[i]->id, id))
            return self->items[i];
    return NULL;
}

static struct snapshot *find_name_locked(struct fs_snapshots *self, const char *name)
{
    for (size_t i = 0; i < self->n_items; i++)
        if (strcmp(self->items[i]->name, name) == 0)
            return self->items[i];
    return NULL;
}

static struct snapshot *at(struct fs_snapshots *self, uint64_t index)
{
    pthread_mutex_lock(&self->lock);
    struct snapshot *snapshot = self->items[index];
    pthread_mutex_unlock(&self->lock);
    return snapshot;
}

static struct snapshot *new_snapshot(struct fs_snapshots *self, const struct ic_snapshot_id *id)
{
    struct snapshot *snapshot = calloc(1, sizeof(*snapshot));
    if (!snapshot)
        return NULL;
    snapshot->owner = self;
    snapshot->id = *id;
    atomic_init(&snapshot->is_copied, false);
    fs_snapshot_id_format(id, snapshot->name);
    if (snapshot_open_vmem(snapshot) == 0)
        return snapshot;
    snapshot_free(snapshot);
    return NULL;
}

/* What is being learned of it is not asked for again. */
static struct snapshot *adopt_locked(struct fs_snapshots *self, const struct ic_snapshot_id *id)
{
    struct snapshot *guess = self->guess;
    if (!guess || !ic_snapshot_id_is_equal(&guess->id, id))
        return new_snapshot(self, id);
    self->guess = NULL;
    return guess;
}

static int make_room_locked(struct fs_snapshots *self)
{
    if (self->n_items < self->n_room)
        return 0;
    size_t n_room = self->n_room ? 2 * self->n_room : 16;
    struct snapshot **items = realloc(self->items, n_room * sizeof(struct snapshot *));
    if (!items)
        return -ENOMEM;
    self->items = items;
    self->n_room = n_room;
    return 0;
}

static int add_locked(struct fs_snapshots *self, const struct ic_snapshot *listed)
{
    int result = make_room_locked(self);
    struct snapshot *snapshot = result == 0 ? adopt_locked(self, &listed->id) : NULL;
    if (!snapshot)
        return -ENOMEM;
    snapshot->index = self->n_items;
    snapshot->taken_at_ns =
        listed->taken_at_ns < INT64_MAX ? (int64_t)listed->taken_at_ns : INT64_MAX;
    snapshot->total_size = listed->total_size < INT64_MAX ? listed->total_size : INT64_MAX;
    snapshot->is_there = true;
    self->items[self->n_items++] = snapshot;
    return 0;
}

static int take_in_locked(struct fs_snapshots *self, const struct ic_snapshot_list *list)
{
    int result = 0;
    for (size_t i = 0; i < self->n_items; i++)
        self->items[i]->is_there = false;
    for (size_t i = 0; result == 0 && i < list->n; i++) {
        struct snapshot *known = find_id_locked(self, &list->items[i].id);
        if (known)
            known->is_there = true;
        else
            result = add_locked(self, &list->items[i]);
    }
    return result;
}

/* --- asking --- */

/* Is the last list good for somebody who came then? However old: what was asked for since. */
static bool is_young_locked(const struct fs_snapshots *self, int64_t came_ns)
{
    int64_t since_ns = ic_wait_now_ns() - FS_SNAPSHOTS_LISTED_NS;
    if (came_ns < since_ns)
        since_ns = came_ns;
    return self->listed_ns != 0 && self->listed_ns >= since_ns &&
           self->listed_ns >= self->outdated_ns;
}

static int ask(struct fs_snapshots *self, const struct ic_io *io)
{
    const struct fs_target *target = self->config.target;
    struct ic_snapshot_list list = {0};
    struct ic_error err = {0};
    int64_t asked_ns = ic_wait_now_ns();
    int result = ic_snapshot_list(target->agent, &target->canister, io, &list, &err);
    if (result < 0)
        snapshots_log(self, "", "", &err);
    pthread_mutex_lock(&self->lock);
    if (result == 0)
        result = take_in_locked(self, &list);
    if (result == 0)
        self->listed_ns = asked_ns;
    if (result != -EINTR)
        snprintf(self->problem, sizeof(self->problem), "%.*s", (int)sizeof(self->problem) - 1,
                 result < 0 ? err.message : "");
    pthread_mutex_unlock(&self->lock);
    ic_snapshot_list_fini(&list);
    return result;
}

int snapshots_refresh(struct fs_snapshots *self, const struct source_io *io)
{
    struct ic_io ic_io = snapshots_io(io);
    int64_t came_ns = ic_wait_now_ns();
    int result = 0;
    pthread_mutex_lock(&self->lock);
    while (result == 0 && !is_young_locked(self, came_ns)) {
        if (!fs_flight_begin(&self->listing, &self->lock, &self->settled, &ic_io, &result))
            continue;
        pthread_mutex_unlock(&self->lock);
        result = ask(self, &ic_io);
        pthread_mutex_lock(&self->lock);
        fs_flight_end(&self->listing, &self->settled, result);
    }
    pthread_mutex_unlock(&self->lock);
    return result;
}

void snapshot_note_gone(struct snapshot *snapshot)
{
    pthread_mutex_lock(&snapshot->owner->lock);
    snapshot->is_there = false;
    pthread_mutex_unlock(&snapshot->owner->lock);
}

/* --- ahead of the list --- */

static void learn_guess(struct snapshot *snapshot, const struct source_io *io)
{
    struct fs_snapshots *self = snapshot->owner;
    (void)!snapshot_learn(snapshot, io); /* whoever needs it asks then */
    pthread_mutex_lock(&self->lock);
    self->is_guessing = false;
    pthread_mutex_unlock(&self->lock);
}

static void run_ahead(void *owner, uint64_t number, const atomic_bool *cancel)
{
    const struct source_io io = {
        .deadline_ns = ic_wait_now_ns() + AHEAD_NS, .cancel = cancel, .is_ahead = true};
    if (number == SNAPSHOT_AHEAD_METADATA)
        learn_guess(owner, &io);
    else
        snapshot_fetch_chunk(owner, number, &io);
}

/* Somebody names a snapshot: its metadata, wanted next, come in the time that the list takes. One
 * at a time: a name costs a call whether or not there is such a snapshot. */
static void guess_locked(struct fs_snapshots *self, const struct ic_snapshot_id *id)
{
    if (self->is_guessing || is_young_locked(self, ic_wait_now_ns()))
        return;
    if (self->guess)
        snapshot_free(self->guess);
    self->guess = new_snapshot(self, id);
    self->is_guessing =
        self->guess && fs_ahead_put(self->ahead, self->guess, SNAPSHOT_AHEAD_METADATA);
}

/* --- snapshots/ --- */

static int list_count(void *arg, const struct source_io *io, uint64_t *out)
{
    struct fs_snapshots *self = arg;
    int result = snapshots_refresh(self, io);
    if (result < 0)
        return result;
    pthread_mutex_lock(&self->lock);
    *out = self->n_items;
    pthread_mutex_unlock(&self->lock);
    return 0;
}

static void list_name(void *arg, uint64_t index, char *name)
{
    snprintf(name, FS_NAME_SIZE, "%s", at(arg, index)->name);
}

static bool list_has(void *arg, uint64_t index)
{
    struct fs_snapshots *self = arg;
    pthread_mutex_lock(&self->lock);
    bool is_there = self->items[index]->is_there;
    pthread_mutex_unlock(&self->lock);
    return is_there;
}

static int list_learn(void *arg, const char *name, const struct source_io *io)
{
    struct fs_snapshots *self = arg;
    struct ic_snapshot_id id;
    if (!fs_snapshot_id_parse(name, &id))
        return 0; /* nobody pays for any other */
    pthread_mutex_lock(&self->lock);
    bool is_known = find_name_locked(self, name) != NULL;
    if (!is_known)
        guess_locked(self, &id);
    pthread_mutex_unlock(&self->lock);
    return is_known ? 0 : snapshots_refresh(self, io);
}

static int list_find(void *arg, const char *name, uint64_t *out)
{
    struct fs_snapshots *self = arg;
    pthread_mutex_lock(&self->lock);
    const struct snapshot *snapshot = find_name_locked(self, name);
    if (snapshot)
        *out = snapshot->index;
    pthread_mutex_unlock(&self->lock);
    return snapshot ? 0 : -ENOENT;
}

static int list_open(void *arg, uint64_t index, struct source **out)
{
    return snapshot_open_itself(at(arg, index), out);
}

static const struct fs_listing_ops *list_dir(void *arg, uint64_t index, void **ret_arg)
{
    *ret_arg = at(arg, index);
    return &snapshot_dir_ops;
}

static const struct fs_listing_ops list_ops = {
    .count = list_count,
    .name = list_name,
    .find = list_find,
    .open = list_open,
    .learn = list_learn,
    .has = list_has,
    .dir = list_dir,
};

int fs_snapshots_add(struct fs_snapshots *snapshots, struct fs_tree *tree)
{
    return fs_tree_add_listing(tree, NULL, "snapshots", &list_ops, snapshots);
}

/* --- all of it --- */

bool fs_snapshots_is_wanted(const struct fs_target *target)
{
    return !target->options->nosnapshots && !ic_identity_is_anonymous(target->identity);
}

int fs_snapshots_open(struct fs_snapshots **out, const struct fs_snapshots_config *config)
{
    const struct store_config store = {.memory = CHUNK_MEMORY};
    struct fs_snapshots *self = calloc(1, sizeof(*self));
    if (!self)
        return -ENOMEM;
    self->config = *config;
    int result = ic_wait_cond_init(&self->settled);
    if (result < 0) {
        free(self);
        return result;
    }
    pthread_mutex_init(&self->lock, NULL);
    result = store_open(&self->store, &store);
    if (result == 0)
        result = fs_ahead_open(&self->ahead, SNAPSHOT_AHEAD_THREADS, run_ahead);
    if (result < 0)
        fs_snapshots_close(self);
    else
        *out = self;
    return result;
}

void fs_snapshots_close(struct fs_snapshots *snapshots)
{
    if (!snapshots)
        return;
    fs_ahead_close(snapshots->ahead);
    for (size_t i = 0; i < snapshots->n_items; i++)
        snapshot_free(snapshots->items[i]);
    if (snapshots->guess)
        snapshot_free(snapshots->guess);
    free(snapshots->items);
    store_close(snapshots->store);
    pthread_cond_destroy(&snapshots->settled);
    pthread_mutex_destroy(&snapshots->lock);
    free(snapshots);
}

void fs_snapshots_outdate(struct fs_snapshots *snapshots)
{
    if (!snapshots)
        return;
    pthread_mutex_lock(&snapshots->lock);
    snapshots->outdated_ns = ic_wait_now_ns();
    pthread_mutex_unlock(&snapshots->lock);
}

void fs_snapshots_describe(struct fs_snapshots *snapshots, struct fs_snapshots_info *out)
{
    *out = (struct fs_snapshots_info){0};
    pthread_mutex_lock(&snapshots->lock);
    out->is_listed = snapshots->listed_ns != 0;
    for (size_t i = 0; i < snapshots->n_items; i++)
        out->n += snapshots->items[i]->is_there;
    memcpy(out->problem, snapshots->problem, sizeof(out->problem));
    pthread_mutex_unlock(&snapshots->lock);
}
