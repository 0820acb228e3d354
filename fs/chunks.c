/* See chunks.h. A chunk is made when it is first asked about and stays until the collection is
 * closed: its version and mtime must not start anew. */
#include "fs/chunks_impl.h"
#include "ic/wait.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Of a collection of bytes: the grid of its files. */
#define BYTES_PER_FILE (UINT64_C(1) << 20)

/* The longest file: what merging and rendering takes must have a bound. */
#define FILE_BYTES_MAX ((size_t)64 << 20)

uint64_t chunks_step(const struct fs_chunks *chunks)
{
    const struct fs_collection *collection = chunks->collection;
    return collection->style == FS_COLLECTION_LAST ? 1 : chunks->items.per_file;
}

int fs_chunks_open(struct fs_chunks **out, const struct fs_chunks_shared *shared,
                   const struct fs_collection *collection)
{
    struct fs_chunks *chunks = calloc(1, sizeof(*chunks));
    if (!chunks)
        return -ENOMEM;
    size_t max = store_object_max(shared->store);
    uint64_t per_file = collection->is_bytes ? BYTES_PER_FILE : shared->chunk_items;
    int result = fs_items_init(&chunks->items, shared->target, collection, per_file,
                               max < FILE_BYTES_MAX ? max : FILE_BYTES_MAX, shared->fetching);
    if (result < 0) {
        free(chunks);
        return result;
    }
    pthread_mutex_init(&chunks->lock, NULL);
    chunks->shared = shared;
    chunks->collection = collection;
    *out = chunks;
    return 0;
}

void fs_chunks_close(struct fs_chunks *chunks)
{
    if (!chunks)
        return;
    struct chunk *chunk;
    struct chunk *next;
    HASH_ITER(hh, chunks->table, chunk, next)
    {
        HASH_DEL(chunks->table, chunk);
        for (int i = 0; i < FS_N_FORMS; i++)
            store_drop(chunks->shared->store, chunk->forms[i].object);
        pthread_cond_destroy(&chunk->settled);
        free(chunk);
    }
    fs_items_fini(&chunks->items);
    pthread_mutex_destroy(&chunks->lock);
    free(chunks);
}

/* --- names --- */

void fs_chunks_name(const struct fs_chunks *chunks, uint64_t index, enum fs_form form,
                    char name[FS_CHUNK_NAME_MAX])
{
    const char *suffix = fs_render_suffix(form, chunks->collection);
    unsigned long long start = index * chunks_step(chunks);
    if (chunks->collection->style == FS_COLLECTION_WHOLE)
        snprintf(name, FS_CHUNK_NAME_MAX, "all%s", suffix);
    else
        snprintf(name, FS_CHUNK_NAME_MAX, "%010llu%s", start, suffix);
}

int fs_chunks_find(const struct fs_chunks *chunks, const char *name, enum fs_form form,
                   uint64_t *out)
{
    uint64_t index = 0;
    if (chunks->collection->style != FS_COLLECTION_WHOLE) {
        if (*name < '0' || *name > '9')
            return -ENOENT;
        errno = 0;
        unsigned long long start = strtoull(name, NULL, 10);
        if (errno != 0 || start > INT64_MAX)
            return -ENOENT;
        index = start / chunks_step(chunks);
    }
    /* The one spelling that there is. */
    char right[FS_CHUNK_NAME_MAX];
    fs_chunks_name(chunks, index, form, right);
    if (strcmp(name, right) != 0)
        return -ENOENT;
    *out = index;
    return 0;
}

/* --- how many --- */

/* Ask, unless the last answer is to a question asked after since_ns. */
int chunks_total(struct fs_chunks *chunks, int64_t since_ns, const struct ic_io *io, uint64_t *out,
                 struct ic_error *err)
{
    pthread_mutex_lock(&chunks->lock);
    bool is_known = chunks->total_asked_ns != 0 && chunks->total_asked_ns >= since_ns;
    uint64_t total = chunks->total;
    pthread_mutex_unlock(&chunks->lock);
    if (is_known) {
        *out = total;
        return 0;
    }
    int64_t asked_ns = ic_wait_now_ns();
    int result = fs_items_count(&chunks->items, total, io, &total, err);
    pthread_mutex_lock(&chunks->lock);
    if (result == 0 && asked_ns > chunks->total_asked_ns) {
        chunks->total_asked_ns = asked_ns;
        chunks->total = total;
    }
    if (result != -EINTR)
        snprintf(chunks->problem, sizeof(chunks->problem), "%.*s", (int)sizeof(chunks->problem) - 1,
                 result < 0 ? err->message : "");
    pthread_mutex_unlock(&chunks->lock);
    if (result == 0)
        *out = total;
    return result;
}

/* Since when answers are young enough. */
int64_t chunks_since(struct fs_chunks *chunks, int64_t timeout_ns)
{
    int64_t since_ns = ic_wait_now_ns() - timeout_ns;
    pthread_mutex_lock(&chunks->lock);
    if (since_ns < chunks->outdated_ns)
        since_ns = chunks->outdated_ns;
    pthread_mutex_unlock(&chunks->lock);
    return since_ns;
}

void chunks_log(const struct fs_chunks *chunks, const char *what, const struct ic_error *err)
{
    if (err->code == IC_E_CANCELLED)
        return;
    char cause[160]; /* what differs from file to file is not part of it */
    snprintf(cause, sizeof(cause), "%.64s %d %s %d", chunks->collection->method, (int)err->code,
             err->error_code, err->http_status);
    fs_log_print_about(chunks->shared->target->log, FS_LOG_ERROR, cause, "backup/%s%s%s: %s",
                       chunks->collection->name, *what ? "/" : "", what, err->message);
}

int chunks_hold(const struct fs_chunks *chunks, const struct ic_io *io, struct ic_error *err)
{
    struct fs_lease *lease = chunks->shared->lease;
    return lease ? fs_lease_hold(lease, "canisterfs reads a backup", io, err) : 0;
}

void chunks_release(const struct fs_chunks *chunks)
{
    if (chunks->shared->lease)
        fs_lease_release(chunks->shared->lease);
}

int fs_chunks_list(struct fs_chunks *chunks, const struct source_io *io, uint64_t *out)
{
    struct ic_io ic_io = fs_target_io_from(io->deadline_ns, io->cancel);
    struct ic_error err = {0};
    uint64_t total = 0;
    int64_t since_ns = chunks_since(chunks, chunks->shared->attr_timeout_ns);
    chunks->shared->listed(chunks->shared->arg, io);
    int result = chunks_hold(chunks, &ic_io, &err);
    if (result == 0) {
        result = chunks_total(chunks, since_ns, &ic_io, &total, &err);
        chunks_release(chunks);
    }
    if (result < 0) {
        chunks_log(chunks, "", &err);
        return result;
    }
    if (total == 0)
        fs_log_print(chunks->shared->target->log, FS_LOG_WARNING,
                     "backup/%s is empty: %s gives no items", chunks->collection->name,
                     chunks->collection->method);
    pthread_mutex_lock(&chunks->lock);
    if (chunks->listed_ns < since_ns) {
        chunks->listed_ns = ic_wait_now_ns();
        /* Who asks for the first file next is likely to go through them all. */
        chunks->run = 2;
        chunks->expected = chunks->ahead_end = 0;
    }
    pthread_mutex_unlock(&chunks->lock);
    *out = fs_items_files(&chunks->items, total);
    return 0;
}

void fs_chunks_outdate(struct fs_chunks *chunks)
{
    pthread_mutex_lock(&chunks->lock);
    chunks->outdated_ns = ic_wait_now_ns();
    pthread_mutex_unlock(&chunks->lock);
}

/* --- what comes next --- */

/* A reader may go through the files on several threads: this far out of order is in order. */
#define DISORDER 8

/* The first files that are fetched ahead, then twice as many with each. */
#define FIRST_AHEAD 4

/* How many files may be fetched ahead: what runs at once and as much again, as long as what waits
 * to be read leaves room for what is being read. */
static uint64_t window_locked(const struct fs_chunks *chunks)
{
    uint64_t most = 2 * (uint64_t)chunks->shared->max_inflight(chunks->shared->arg);
    uint64_t room = store_object_max(chunks->shared->store) / 2;
    uint64_t fitting = chunks->file_size ? room / chunks->file_size : most;
    unsigned shift = chunks->run - 2 < 8 ? chunks->run - 2 : 8;
    uint64_t window = (uint64_t)FIRST_AHEAD << shift;
    if (window > most)
        window = most;
    return window < fitting ? window : fitting;
}

/* Somebody asks for a file: if it follows on others, the next ones will be wanted. */
void chunks_foresee(struct fs_chunks *chunks, uint64_t index)
{
    uint64_t from = 0;
    uint64_t to = 0;
    bool is_new = false;
    pthread_mutex_lock(&chunks->lock);
    bool is_next = chunks->run > 0 && index + DISORDER >= chunks->expected &&
                   index <= chunks->expected + DISORDER;
    if (!is_next) {
        is_new = chunks->run > 0;
        chunks->run = 1;
        chunks->expected = chunks->ahead_end = index + 1;
    } else if (index >= chunks->expected) {
        chunks->run++;
        chunks->expected = index + 1;
    }
    if (chunks->run >= 2) {
        uint64_t n_files = fs_items_files(&chunks->items, chunks->total);
        from = chunks->ahead_end > chunks->expected ? chunks->ahead_end : chunks->expected;
        to = chunks->expected + window_locked(chunks);
        if (to > n_files)
            to = n_files;
    }
    pthread_mutex_unlock(&chunks->lock);
    if (is_new)
        fs_ahead_drop(chunks->shared->ahead, chunks);
    while (from < to && fs_ahead_put(chunks->shared->ahead, chunks, from))
        from++;
    pthread_mutex_lock(&chunks->lock);
    if (to > 0 && from > chunks->ahead_end)
        chunks->ahead_end = from;
    pthread_mutex_unlock(&chunks->lock);
}

/* --- for people --- */

void fs_chunks_describe(struct fs_chunks *chunks, struct fs_chunks_info *out)
{
    memset(out, 0, sizeof(*out));
    fs_items_describe(&chunks->items, &out->calls);
    out->collection = chunks->collection;
    out->per_file = chunks->items.per_file;
    pthread_mutex_lock(&chunks->lock);
    out->is_known = chunks->total_asked_ns != 0;
    out->total = chunks->total;
    out->n_fetched = chunks->n_fetched;
    out->n_same = chunks->n_same;
    memcpy(out->problem, chunks->problem, sizeof(out->problem));
    memcpy(out->failures, chunks->failures, sizeof(out->failures));
    pthread_mutex_unlock(&chunks->lock);
    out->n_files = fs_items_files(&chunks->items, out->total);
}
