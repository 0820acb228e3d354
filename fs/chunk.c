/* One chunk: fetched, known again, rendered. See chunks.h.
 *
 * At any time at most one thread works on a chunk (is_busy); the others wait and share what it came
 * to. So only that thread changes serial, hash and forms, and may read them without the lock.
 */
#include "fs/chunks_impl.h"
#include "ic/wait.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* As long as the tree keeps the failure of a file. */
#define FAILURE_KEPT_NS (2 * IC_NS_PER_SEC)

/* Times that content may change while it is fetched, or be gone from the store right away. */
#define TRIES_MAX 3

/* A rendering may be this many times as long as what it renders, and then some. */
#define RENDER_FACTOR 16
#define RENDER_EXTRA  ((size_t)1 << 20)

/* One request for a form of a chunk. */
struct wish {
    struct fs_chunks *chunks;
    struct chunk *chunk;
    enum fs_form form;
    const struct ic_io *io;
    int64_t since_ns;               /* what was asked before that is too old */
    struct fs_backup_state version; /* now; zero when none is told */
    bool is_rendering;              /* a failure is one of the form, not of the content */
    struct ic_error err;
};

static struct chunk *find_or_add_locked(struct fs_chunks *chunks, uint64_t index)
{
    struct chunk *chunk;
    HASH_FIND(hh, chunks->table, &index, sizeof(index), chunk);
    if (chunk)
        return chunk;
    chunk = calloc(1, sizeof(*chunk));
    if (!chunk || ic_wait_cond_init(&chunk->settled) < 0) {
        free(chunk);
        return NULL;
    }
    chunk->index = index;
    HASH_ADD(hh, chunks->table, index, sizeof(chunk->index), chunk);
    if (!chunk->hh.tbl) {
        pthread_cond_destroy(&chunk->settled);
        free(chunk);
        return NULL;
    }
    return chunk;
}

/* Is what was fetched still good? */
static bool is_current_locked(const struct wish *wish)
{
    const struct fs_chunks_shared *shared = wish->chunks->shared;
    const struct chunk *chunk = wish->chunk;
    if (chunk->serial == 0 || chunk->fetched_ns <= wish->chunks->outdated_ns ||
        chunk->fetched_ns < wish->since_ns)
        return false;
    if (fs_backup_version_is_told(shared->version))
        return chunk->version == wish->version.version;
    int64_t now_ns = ic_wait_now_ns();
    /* What was read does not wait to be read any more: who asks again wants to know what is there
     * now. Later reads come out of the kernel's pages, unnoticed. */
    bool was_served = chunk->forms[wish->form].was_read && chunk->wanted_ns != 0 &&
                      now_ns - chunk->wanted_ns >= shared->attr_timeout_ns;
    return chunk->fetched_ns > wish->chunks->listed_ns && !was_served &&
           now_ns - chunk->fetched_ns < shared->chunk_timeout_ns;
}

/* --- failures --- */

/* Failures that are about the caller, not about the chunk. */
static bool is_own(int result)
{
    return result == -EINTR || result == -ETIMEDOUT || result == -ENOMEM;
}

/* What cannot be shown in one form may be in another, and the content is there. */
static bool is_about(enum fs_form failed, const struct wish *wish)
{
    return failed == FS_FORM_RAW || failed == wish->form;
}

static int kept_failure_locked(const struct wish *wish)
{
    const struct chunk *chunk = wish->chunk;
    bool is_kept = chunk->failure != 0 && is_about(chunk->failed_form, wish) &&
                   chunk->failed_ns > wish->chunks->listed_ns &&
                   chunk->failed_ns > wish->chunks->outdated_ns &&
                   chunk->failed_ns > wish->since_ns &&
                   ic_wait_now_ns() - chunk->failed_ns < FAILURE_KEPT_NS;
    return is_kept ? chunk->failure : 0;
}

/* Keep what it came to: for the next who asks, and for people. */
static void note_result_locked(struct wish *wish, int result)
{
    struct chunk *chunk = wish->chunk;
    chunk->failure = is_own(result) ? 0 : result;
    chunk->failed_form = chunk->last_form;
    chunk->failed_ns = ic_wait_now_ns();
    struct fs_chunk_failure *entry = NULL;
    for (int i = 0; i < FS_CHUNKS_FAILURES; i++) {
        struct fs_chunk_failure *one = &wish->chunks->failures[i];
        if (one->result != 0 && one->index == chunk->index) {
            entry = one;
            break;
        }
        if (!entry && one->result == 0)
            entry = one;
    }
    if (!entry)
        entry = &wish->chunks->failures[chunk->index % FS_CHUNKS_FAILURES];
    bool is_entry = entry->index == chunk->index && entry->result != 0;
    if (result < 0 && result != -EINTR && result != -ENOENT) {
        entry->index = chunk->index;
        entry->result = result;
        snprintf(entry->message, sizeof(entry->message), "%.299s", wish->err.message);
    } else if (result == 0 && is_entry) {
        entry->result = 0;
    }
}

/* --- fetching --- */

/* The total to go by, and whether there is such a file at all. */
static int check_index(struct wish *wish, uint64_t *total)
{
    struct fs_chunks *chunks = wish->chunks;
    int64_t since_ns = chunks_since(chunks, chunks->shared->attr_timeout_ns);
    /* Where each reply tells the total, any idea of it will do. */
    bool tells = chunks->collection->end == FS_END_TOTAL;
    int result = chunks_total(chunks, tells ? chunks_since(chunks, INT64_MAX / 2) : since_ns,
                              wish->io, total, &wish->err);
    if (result == 0 && tells && wish->chunk->index >= fs_items_files(&chunks->items, *total))
        result = chunks_total(chunks, since_ns, wish->io, total, &wish->err);
    if (result == 0 && wish->chunk->index >= fs_items_files(&chunks->items, *total))
        result = ic_fail(&wish->err, IC_E_NOT_FOUND, "there is no such file (any more)");
    return result;
}

/* Content of several calls is of one state only if the version is the same afterwards. */
static int check_version(struct wish *wish)
{
    struct fs_backup_version *version = wish->chunks->shared->version;
    struct fs_backup_state now;
    if (!fs_backup_version_is_told(version))
        return 0;
    int result = fs_backup_version_get(version, ic_wait_now_ns(), wish->io, &now, &wish->err);
    if (result < 0)
        return result;
    /* Also one that is less: it may be another node's, that lags behind, or the canister went back.
     */
    bool is_other = now.version != wish->version.version;
    wish->version = now;
    return is_other ? ic_fail(&wish->err, IC_E_CHANGED, "it changed while it was fetched") : 0;
}

/* Fills also whether the failure is that the version moved meanwhile. */
static int fetch_once(struct wish *wish, struct fs_piece *out, int64_t *began_ns, bool *has_moved)
{
    struct fs_chunks *chunks = wish->chunks;
    uint64_t total;
    int result = check_index(wish, &total);
    if (result < 0)
        return result;
    *began_ns = ic_wait_now_ns();
    size_t size = (size_t)wish->chunk->forms[FS_FORM_RAW].size;
    result =
        fs_items_fetch(&chunks->items, wish->chunk->index, total, size, wish->io, out, &wish->err);
    if (result < 0 || out->n_calls == 1)
        return result;
    result = check_version(wish);
    *has_moved = result == -ESTALE;
    if (result < 0)
        free(out->bytes);
    return result;
}

/* Take what was fetched: as new content, or as the one that was there. */
static int adopt(struct wish *wish, struct fs_piece *piece, int64_t began_ns)
{
    struct fs_chunks *chunks = wish->chunks;
    struct chunk *chunk = wish->chunk;
    size_t max = store_object_max(chunks->shared->store);
    uint8_t hash[FS_SEEN_HASH];
    int result = 0;
    if (piece->len > max)
        result = ic_fail(&wish->err, IC_E_TOO_LARGE,
                         "%zu bytes are more than can be kept (%zu): take a larger cache_size",
                         piece->len, max);
    else if (ic_sha256(piece->bytes, piece->len, hash) < 0)
        result = ic_fail(&wish->err, IC_E_NO_MEMORY, "out of memory");
    if (result < 0) {
        free(piece->bytes);
        return result;
    }
    bool is_same = chunk->serial != 0 && memcmp(hash, chunk->hash, sizeof(hash)) == 0;
    int64_t mtime_ns = chunk->mtime_ns;
    if (!is_same) {
        char name[FS_CHUNK_NAME_MAX];
        char path[FS_CHUNK_NAME_MAX + FS_METHOD_NAME_MAX + 2];
        fs_chunks_name(chunks, chunk->index, FS_FORM_RAW, name);
        snprintf(path, sizeof(path), "%s/%s", chunks->collection->name, name);
        mtime_ns = fs_seen_at(chunks->shared->seen, path, hash, wish->version.mtime_ns);
    }
    uint64_t object = store_put(chunks->shared->store, piece->bytes, piece->len);
    uint64_t old[FS_N_FORMS] = {chunk->forms[FS_FORM_RAW].object};
    pthread_mutex_lock(&chunks->lock);
    for (int i = 0; !is_same && i < FS_N_FORMS; i++) {
        old[i] = chunk->forms[i].object;
        chunk->forms[i] = (struct chunk_form){0};
    }
    chunk->forms[FS_FORM_RAW].object = object;
    chunk->forms[FS_FORM_RAW].size = piece->len;
    memcpy(chunk->hash, hash, sizeof(hash));
    chunk->serial += !is_same;
    chunk->mtime_ns = mtime_ns;
    chunk->fetched_ns = began_ns;
    chunk->wanted_ns = 0;
    chunk->version = wish->version.version;
    chunks->n_fetched++;
    chunks->n_same += is_same;
    chunks->file_size = chunks->file_size ? (3 * chunks->file_size + piece->len) / 4 : piece->len;
    if (chunks->collection->end == FS_END_TOTAL && began_ns > chunks->total_asked_ns) {
        chunks->total = piece->total;
        chunks->total_asked_ns = began_ns;
    }
    pthread_mutex_unlock(&chunks->lock);
    for (int i = 0; i < FS_N_FORMS; i++)
        store_drop(chunks->shared->store, old[i]);
    return 0;
}

static int fetch(struct wish *wish)
{
    struct fs_piece piece = {0};
    int64_t began_ns = 0;
    wish->is_rendering = false;
    bool has_moved = true;
    int result = chunks_hold(wish->chunks, wish->io, &wish->err);
    if (result < 0)
        return result;
    for (int i = 0; has_moved && i < TRIES_MAX; i++) {
        has_moved = false;
        result = fetch_once(wish, &piece, &began_ns, &has_moved);
    }
    chunks_release(wish->chunks);
    return result < 0 ? result : adopt(wish, &piece, began_ns);
}

/* --- rendering --- */

/* The whole content out of the store. -ENOENT: it is not kept any more. */
static int read_raw(const struct wish *wish, uint8_t **out, size_t *len)
{
    const struct chunk_form *raw = &wish->chunk->forms[FS_FORM_RAW];
    *len = (size_t)raw->size;
    *out = malloc(*len ? *len : 1);
    if (!*out)
        return -ENOMEM;
    const struct iovec iov = {*out, *len};
    int result = *len ? store_read(wish->chunks->shared->store, raw->object, 0, &iov, 1) : 0;
    if (result < 0)
        free(*out);
    return result;
}

static int render_raw(struct wish *wish, const uint8_t *raw, size_t len)
{
    struct fs_chunks *chunks = wish->chunks;
    const struct fs_chunks_shared *shared = chunks->shared;
    struct chunk_form *form = &wish->chunk->forms[wish->form];
    size_t max = store_object_max(shared->store);
    size_t wanted = RENDER_FACTOR * len + RENDER_EXTRA;
    struct ic_buf text = {0};
    int result = fs_render(wish->form, chunks->collection, shared->names, raw, len,
                           wanted < max ? wanted : max, &text, &wish->err);
    if (result == 0 && ic_buf_status(&text) < 0)
        result = ic_fail(&wish->err, IC_E_NO_MEMORY, "out of memory");
    if (result < 0) {
        ic_buf_fini(&text);
        return result;
    }
    uint64_t object = store_put(shared->store, text.bytes, text.len);
    pthread_mutex_lock(&chunks->lock);
    uint64_t old = form->object;
    *form = (struct chunk_form){.object = object, .size = text.len};
    pthread_mutex_unlock(&chunks->lock);
    store_drop(shared->store, old);
    return 0;
}

/* One at a time, with the copy of the content and until the store has the result: each can be as
 * large as all that is kept. */
static int render(struct wish *wish)
{
    struct fs_turn *turn = wish->chunks->shared->rendering;
    uint8_t *raw;
    size_t len;
    wish->is_rendering = true;
    int result = fs_turn_take(turn, wish->io);
    if (result < 0)
        return ic_wait_fail(&wish->err, result, "waiting for another rendering");
    result = read_raw(wish, &raw, &len);
    if (result == 0) {
        result = render_raw(wish, raw, len);
        free(raw);
    } else if (result == -ENOMEM) {
        result = ic_fail(&wish->err, IC_E_NO_MEMORY, "out of memory");
    }
    fs_turn_leave(turn);
    return result;
}

/* --- all together --- */

static bool is_kept(const struct wish *wish, enum fs_form form)
{
    const struct chunk_form *one = &wish->chunk->forms[form];
    return one->object != 0 && store_has(wish->chunks->shared->store, one->object);
}

/* Make the form, by whatever it takes. To be called by the one thread that works on the chunk. */
static int make(struct wish *wish, bool wants_bytes)
{
    struct chunk *chunk = wish->chunk;
    for (int i = 0; i < TRIES_MAX; i++) {
        pthread_mutex_lock(&wish->chunks->lock);
        bool is_current = is_current_locked(wish);
        pthread_mutex_unlock(&wish->chunks->lock);
        bool is_raw = wish->form == FS_FORM_RAW;
        bool is_made = chunk->forms[wish->form].object != 0;
        if (is_current && is_made && (!wants_bytes || is_kept(wish, wish->form)))
            return 0;
        int result = 0;
        if (!is_current || (is_raw && wants_bytes))
            result = fetch(wish);
        if (result < 0 || is_raw)
            return result;
        if (chunk->forms[wish->form].object != 0 && !wants_bytes)
            return 0; /* the same content again */
        result = render(wish);
        if (result != -ENOENT)
            return result;
        result = fetch(wish); /* the content had to make room */
        if (result < 0)
            return result;
    }
    return ic_fail(&wish->err, IC_E_TOO_LARGE, "no room to keep it: see cache_size, cache_dir");
}

/* Wait for whoever works on the chunk. Returns what it came to, 0 also when that says nothing about
 * us; or -errno of our own patience. */
static int share_locked(struct wish *wish)
{
    struct chunk *chunk = wish->chunk;
    unsigned n_turns = chunk->n_turns;
    while (chunk->is_busy && chunk->n_turns == n_turns) {
        int result = ic_wait_cond(&chunk->settled, &wish->chunks->lock, INT64_MAX, wish->io);
        if (result < 0)
            return result;
    }
    bool is_ours = !is_own(chunk->last_result) && is_about(chunk->last_form, wish);
    return is_ours ? chunk->last_result : 0;
}

static int work_locked(struct wish *wish, bool wants_bytes)
{
    struct chunk *chunk = wish->chunk;
    chunk->is_busy = true;
    pthread_mutex_unlock(&wish->chunks->lock);
    int result = make(wish, wants_bytes);
    if (result < 0) {
        char name[FS_CHUNK_NAME_MAX];
        fs_chunks_name(wish->chunks, chunk->index, wish->form, name);
        if (wish->err.code == IC_E_TIMEOUT)
            ic_error_reword(&wish->err,
                            "%.300s (a smaller chunk_items or a larger timeout may help)",
                            wish->err.message);
        if (result != -ENOENT)
            chunks_log(wish->chunks, name, &wish->err);
    }
    pthread_mutex_lock(&wish->chunks->lock);
    chunk->last_result = result;
    chunk->last_form = wish->is_rendering ? wish->form : FS_FORM_RAW;
    note_result_locked(wish, result);
    chunk->is_busy = false;
    chunk->n_turns++;
    pthread_cond_broadcast(&chunk->settled);
    return result;
}

static void fill_locked(const struct wish *wish, struct chunk_state *out)
{
    const struct chunk_form *form = &wish->chunk->forms[wish->form];
    *out = (struct chunk_state){
        .serial = wish->chunk->serial,
        .size = form->size,
        .mtime_ns = wish->chunk->mtime_ns,
        .object = form->object,
    };
    memcpy(out->hash, wish->chunk->hash, sizeof(out->hash));
}

static int refresh_locked(struct wish *wish, bool wants_bytes)
{
    const struct chunk *chunk = wish->chunk;
    for (;;) {
        bool is_done = is_current_locked(wish) && chunk->forms[wish->form].object != 0 &&
                       (!wants_bytes || is_kept(wish, wish->form));
        if (is_done)
            return 0;
        int result = kept_failure_locked(wish);
        if (result < 0)
            return result;
        if (!chunk->is_busy)
            return work_locked(wish, wants_bytes);
        result = share_locked(wish);
        if (result < 0)
            return result;
    }
}

int chunk_refresh(struct fs_chunks *chunks, uint64_t index, enum fs_form form, bool wants_bytes,
                  int64_t since_ns, const struct ic_io *io, struct chunk_state *out)
{
    struct wish wish = {.chunks = chunks, .form = form, .io = io, .since_ns = since_ns};
    struct fs_backup_version *version = chunks->shared->version;
    if (fs_backup_version_is_told(version)) {
        int64_t young_ns = chunks_since(chunks, chunks->shared->attr_timeout_ns);
        int result = fs_backup_version_get(version, since_ns > young_ns ? since_ns : young_ns, io,
                                           &wish.version, &wish.err);
        if (result < 0) {
            chunks_log(chunks, "", &wish.err);
            return result;
        }
    }
    pthread_mutex_lock(&chunks->lock);
    wish.chunk = find_or_add_locked(chunks, index);
    int result = wish.chunk ? refresh_locked(&wish, wants_bytes) : -ENOMEM;
    if (result == 0) {
        fill_locked(&wish, out);
        if (!io->is_ahead && wish.chunk->wanted_ns == 0)
            wish.chunk->wanted_ns = ic_wait_now_ns();
    }
    pthread_mutex_unlock(&chunks->lock);
    return result;
}

void fs_chunks_run_ahead(void *owner, uint64_t index, const atomic_bool *cancel)
{
    struct fs_chunks *chunks = owner;
    struct ic_io io =
        fs_target_io(chunks->shared->target, chunks->shared->target->options->timeout_ns);
    struct chunk_state state;
    io.cancel = cancel;
    io.is_ahead = true;
    /* Whoever wants it tries himself. */
    int result = chunk_refresh(chunks, index, FS_FORM_RAW, false, 0, &io, &state);
    (void)result;
}

int fs_chunks_get_hash(struct fs_chunks *chunks, uint64_t index, const struct source_io *io,
                       uint8_t out[FS_SEEN_HASH])
{
    struct ic_io ic_io = fs_target_io_from(io->deadline_ns, io->cancel);
    struct chunk_state state;
    int result = chunk_refresh(chunks, index, FS_FORM_RAW, false, ic_wait_now_ns(), &ic_io, &state);
    if (result == 0)
        memcpy(out, state.hash, sizeof(state.hash));
    return result;
}

int fs_chunks_get_certified_hash(struct fs_chunks *chunks, uint64_t index,
                                 const struct source_io *io, uint8_t out[FS_SEEN_HASH])
{
    struct ic_io ic_io = fs_target_io_from(io->deadline_ns, io->cancel);
    struct fs_piece piece = {0};
    struct ic_error err = {0};
    ic_io.is_certified = true;
    pthread_mutex_lock(&chunks->lock);
    uint64_t total = chunks->total; /* a look at the collection came before; replies tell it, too */
    pthread_mutex_unlock(&chunks->lock);
    if (index >= fs_items_files(&chunks->items, total))
        return -ENOENT;
    int result = fs_items_fetch(&chunks->items, index, total, 0, &ic_io, &piece, &err);
    if (result < 0) {
        chunks_log(chunks, "", &err);
        return result;
    }
    result = ic_sha256(piece.bytes, piece.len, out);
    free(piece.bytes);
    return result;
}
