/* Random operations on a mount of fake_mount.c against the model of write_model.h.
 *
 *     write_driver MOUNTPOINT STATE SEED N
 *
 * N sequences; then "N sequences, N operations, N commits". The first thing that is not as the
 * model says ends it with status 1, after the operations of that sequence; the same arguments
 * repeat it. */
#include "tests/mount/write_model.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define N_HANDLES 4
#define N_OPS_MAX 24

/* Where places and names are; both in `items` come last. */
static const char *const PLACES[MODEL_N_PLACES] = {"stable_memory", "items/0000.bin",
                                                   "items/0001.bin", "items/0002.bin"};
static const char *const NAMES[MODEL_N_NAMES] = {".new", "stable_memory~", "items/.new",
                                                 "items/0000.bin.part", "items/#1"};

struct handle {
    int fd; /* -1: not open */
    int flags;
    struct model_file *file; /* NULL: it reads what the canister has */
    size_t size;             /* of that */
    unsigned char bytes[MODEL_SIZE];
};

/* What a child tells. */
struct told {
    int error;
};

struct driver {
    const char *mountpoint;
    const char *state;
    uint64_t seed;
    struct model model;
    struct handle handles[N_HANDLES];
    struct told *told;
    char story[N_OPS_MAX + 4][200];
    int n_story;
    uint64_t n_ops;
};

static uint64_t below(struct driver *d, uint64_t limit)
{
    d->seed ^= d->seed << 13;
    d->seed ^= d->seed >> 7;
    d->seed ^= d->seed << 17;
    return (d->seed >> 11) % limit;
}

__attribute__((format(printf, 2, 3))) static void tell(struct driver *d, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(d->story[d->n_story++], sizeof(d->story[0]), format, args);
    va_end(args);
    d->n_ops++;
}

__attribute__((format(printf, 2, 3), noreturn)) static void fail(struct driver *d,
                                                                 const char *format, ...)
{
    va_list args;
    for (int i = 0; i < d->n_story; i++)
        printf("  %s\n", d->story[i]);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
    exit(1);
}

static void expect(struct driver *d, int error, int expected)
{
    if (error != expected)
        fail(d, "%s, expected %s", error ? strerrorname_np(error) : "0",
             expected ? strerrorname_np(expected) : "0");
}

static char *path_of(struct driver *d, const char *name, char path[300])
{
    snprintf(path, 300, "%s/%s", d->mountpoint, name);
    return path;
}

static void fill(struct driver *d, unsigned char *bytes, size_t len)
{
    uint64_t word = below(d, UINT64_C(1) << 40);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (unsigned char)((word + i) * 0x9e3779b97f4a7c15u >> 56);
}

/* --- what is kept --- */

/* How many are staged for a file (NULL: for none) in this state. */
static int count_staged(const json_t *restores, const char *file, const char *state)
{
    size_t i;
    const json_t *one;
    int n = 0;
    json_array_foreach(restores, i, one)
    {
        const char *its_file = json_string_value(json_object_get(one, "file"));
        const char *its_state = json_string_value(json_object_get(one, "state"));
        n += strcmp(its_state, state) == 0 && !its_file == !file &&
             (!file || strcmp(its_file, file) == 0);
    }
    return n;
}

static bool is_as_counted(struct driver *d, const json_t *restores)
{
    bool is_same = count_staged(restores, NULL, "tainted") == d->model.n_tainted_names;
    for (int i = 0; i < MODEL_N_PLACES; i++) {
        const struct model_place *place = &d->model.places[i];
        is_same = is_same && count_staged(restores, PLACES[i], "open") == (place->active != NULL) &&
                  count_staged(restores, PLACES[i], "failed") == place->n_failed &&
                  count_staged(restores, PLACES[i], "parked") == place->n_parked &&
                  count_staged(restores, PLACES[i], "tainted") == place->n_tainted;
    }
    return is_same;
}

/* Until the mount shows what the model has: the kernel tells of the end of a handle late. */
static void check_staged(struct driver *d)
{
    char path[300];
    path_of(d, ".canisterfs/status", path);
    for (int i = 0;; i++) {
        json_error_t error;
        json_t *status = json_load_file(path, 0, &error);
        json_t *restores = json_object_get(status, "restores");
        bool is_same = restores && is_as_counted(d, restores);
        if (!is_same && i == 2000) {
            char *text = json_dumps(restores, JSON_INDENT(1));
            printf("%s\n", text ? text : error.text);
            for (int k = 0; k < MODEL_N_PLACES; k++) {
                const struct model_place *place = &d->model.places[k];
                printf("%s: open %d failed %d parked %d tainted %d\n", PLACES[k],
                       place->active != NULL, place->n_failed, place->n_parked, place->n_tainted);
            }
            fail(d, "that is not what should be staged");
        }
        json_decref(status);
        if (is_same)
            return;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

/* --- operations on handles --- */

static struct handle *any_handle(struct driver *d)
{
    struct handle *handle = &d->handles[below(d, N_HANDLES)];
    return handle->fd >= 0 ? handle : NULL;
}

static int index_of(struct driver *d, const struct handle *handle)
{
    return (int)(handle - d->handles);
}

static bool can_write(int flags)
{
    return (flags & O_ACCMODE) != O_RDONLY;
}

static int any_flags(struct driver *d)
{
    static const int modes[] = {O_RDONLY, O_WRONLY, O_RDWR, O_RDWR};
    int flags = modes[below(d, 4)];
    if (!can_write(flags))
        return flags;
    if (below(d, 3) == 0)
        flags |= O_TRUNC;
    if (below(d, 4) == 0)
        flags |= O_APPEND;
    if (below(d, 2) == 0)
        flags |= O_CREAT;
    if ((flags & O_CREAT) && below(d, 6) == 0)
        flags |= O_EXCL;
    return flags;
}

/* What opening a place comes to, and the file that it gives (NULL: what the canister has). */
static int open_place(struct driver *d, int index, int flags, struct model_file **out)
{
    struct model_place *place = &d->model.places[index];
    bool is_there = place->exists || place->active;
    *out = place->active;
    if (!is_there && !(flags & O_CREAT))
        return ENOENT;
    if (is_there && (flags & O_EXCL))
        return EEXIST;
    if (place->active && (flags & O_TRUNC))
        model_truncate(place->active, 0);
    else if (!place->active && can_write(flags))
        *out = model_begin(&d->model, index, (flags & O_TRUNC) || !is_there);
    return 0;
}

static int open_name(struct driver *d, int index, int flags, struct model_file **out)
{
    struct model_file **file = &d->model.names[index];
    if (!*file && !(flags & O_CREAT))
        return ENOENT;
    if (*file && (flags & O_EXCL))
        return EEXIST;
    int error = 0;
    if (!*file)
        *file = model_begin(&d->model, -1, false);
    else if (can_write(flags))
        error = model_reopen(&d->model, *file, flags & O_TRUNC);
    *out = *file;
    return error;
}

static void do_open(struct driver *d)
{
    struct handle *handle = &d->handles[below(d, N_HANDLES)];
    bool is_place = below(d, 2);
    int index = (int)below(d, is_place ? MODEL_N_PLACES : MODEL_N_NAMES);
    int flags = any_flags(d);
    char path[300];
    if (handle->fd >= 0)
        return;
    const char *name = is_place ? PLACES[index] : NAMES[index];
    struct model_file *known = is_place ? NULL : d->model.names[index];
    tell(d, "%d = open(%s, %#o)", index_of(d, handle), name, (unsigned)flags);
    int fd = open(path_of(d, name, path), flags | O_CLOEXEC, 0600);
    for (int i = 0; fd < 0 && errno == EBUSY && known && known->may_be_busy && i < 1000; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        fd = open(path, flags | O_CLOEXEC, 0600);
    }
    int error = fd < 0 ? errno : 0;
    struct model_file *file = NULL;
    expect(d, error,
           is_place ? open_place(d, index, flags, &file) : open_name(d, index, flags, &file));
    if (error)
        return;
    handle->fd = fd;
    handle->flags = flags;
    handle->file = file;
    if (file) {
        file->n_handles++;
        file->n_writers += can_write(flags);
    } else {
        handle->size = d->model.places[index].size;
        memcpy(handle->bytes, d->model.places[index].bytes, handle->size);
    }
}

/* Bytes go to a handle in this process or a child that inherited it. */
static void write_by(struct driver *d, const struct handle *handle, bool by_child)
{
    unsigned char bytes[2000];
    size_t len = 1 + below(d, below(d, 4) ? 300 : sizeof(bytes));
    size_t off = below(d, MODEL_SIZE - len);
    struct model_file *file = handle->file;
    fill(d, bytes, len);
    if (handle->flags & O_APPEND)
        off = file->size;
    if (off + len > MODEL_SIZE)
        return;
    tell(d, "%swrite(%d, %zu at %zu)", by_child ? "child: " : "", index_of(d, handle), len, off);
    pid_t child = by_child ? fork() : 0;
    if (child == 0) {
        ssize_t n = pwrite(handle->fd, bytes, len, (off_t)off);
        d->told->error = n < 0 ? errno : n != (ssize_t)len ? EIO : 0;
        if (by_child)
            _exit((int)below(d, 2));
    }
    if (by_child)
        waitpid(child, NULL, 0);
    expect(d, d->told->error, 0);
    model_write(file, off, bytes, len);
}

static void do_write(struct driver *d)
{
    const struct handle *handle = any_handle(d);
    if (handle && can_write(handle->flags))
        write_by(d, handle, below(d, 12) == 0);
}

static void do_truncate(struct driver *d)
{
    const struct handle *handle = any_handle(d);
    if (!handle || !can_write(handle->flags))
        return;
    size_t size = below(d, 3) ? below(d, MODEL_SIZE) : handle->file->size;
    tell(d, "ftruncate(%d, %zu)", index_of(d, handle), size);
    expect(d, ftruncate(handle->fd, (off_t)size) < 0 ? errno : 0, 0);
    model_truncate(handle->file, size);
}

/* What the canister has no more may be ESTALE, but never other bytes, and never the end. */
static void do_read(struct driver *d)
{
    static unsigned char bytes[MODEL_SIZE];
    const struct handle *handle = any_handle(d);
    if (!handle || (handle->flags & O_ACCMODE) == O_WRONLY)
        return;
    size_t size = handle->file ? handle->file->size : handle->size;
    size_t off = below(d, MODEL_SIZE);
    size_t len = 1 + below(d, MODEL_SIZE - 1);
    size_t expected = off >= size ? 0 : size - off < len ? size - off : len;
    tell(d, "read(%d, %zu at %zu)", index_of(d, handle), len, off);
    ssize_t n = pread(handle->fd, bytes, len, (off_t)off);
    if (n < 0 && errno == ESTALE && (!handle->file || handle->file->is_outdated))
        return;
    expect(d, n < 0 ? errno : 0, 0);
    if (n != (ssize_t)expected)
        fail(d, "%zd came, expected %zu", n, expected);
    if (expected > 0 &&
        memcmp(bytes, (handle->file ? handle->file->bytes : handle->bytes) + off, expected) != 0)
        fail(d, "other bytes");
}

static void do_sync(struct driver *d)
{
    const struct handle *handle = any_handle(d);
    if (!handle)
        return;
    tell(d, "fsync(%d)", index_of(d, handle));
    expect(d, fsync(handle->fd) < 0 ? errno : 0, 0);
}

/* Says nothing of the file: another descriptor is left. */
static void do_dup(struct driver *d)
{
    const struct handle *handle = any_handle(d);
    if (!handle)
        return;
    tell(d, "close(dup(%d))", index_of(d, handle));
    int fd = dup(handle->fd);
    expect(d, fd < 0 || close(fd) < 0 ? errno : 0, 0);
}

static void close_handle(struct driver *d, struct handle *handle)
{
    struct model_file *file = handle->file;
    tell(d, "close(%d)", index_of(d, handle));
    int error = close(handle->fd) < 0 ? errno : 0;
    handle->fd = -1;
    if (!file) {
        expect(d, error, 0);
        return;
    }
    file->n_handles--;
    file->n_writers -= can_write(handle->flags);
    bool is_last = can_write(handle->flags) && file->n_writers == 0;
    expect(d, error, is_last ? model_close(&d->model, file) : 0);
    if (file->n_handles == 0) {
        model_release(&d->model, file);
        check_staged(d);
    }
}

static void do_close(struct driver *d)
{
    struct handle *handle = any_handle(d);
    if (handle)
        close_handle(d, handle);
}

/* --- operations on names --- */

static bool is_in_items(const char *name)
{
    return strncmp(name, "items/", 6) == 0;
}

static void do_rename(struct driver *d)
{
    char from_path[300];
    char to_path[300];
    bool from_place = below(d, 10) == 0;
    bool to_place = below(d, 3) > 0;
    int from = (int)below(d, from_place ? MODEL_N_PLACES : MODEL_N_NAMES);
    int to = (int)below(d, to_place ? MODEL_N_PLACES : MODEL_N_NAMES);
    const char *from_name = from_place ? PLACES[from] : NAMES[from];
    const char *to_name = to_place ? PLACES[to] : NAMES[to];
    bool is_there = from_place ? d->model.places[from].exists || d->model.places[from].active
                               : d->model.names[from] != NULL;
    if (strcmp(from_name, to_name) == 0)
        return;
    tell(d, "rename(%s, %s)", from_name, to_name);
    path_of(d, from_name, from_path);
    path_of(d, to_name, to_path);
    int error = rename(from_path, to_path) < 0 ? errno : 0;
    if (!is_there)
        expect(d, error, ENOENT);
    else if (from_place || is_in_items(from_name) != is_in_items(to_name))
        expect(d, error, EXDEV);
    else if (to_place)
        expect(d, error, model_rename_to_place(&d->model, from, to));
    else {
        expect(d, error, 0);
        model_rename(&d->model, from, to);
    }
}

static void do_unlink(struct driver *d)
{
    char path[300];
    int index = (int)below(d, MODEL_N_NAMES);
    tell(d, "unlink(%s)", NAMES[index]);
    int error = unlink(path_of(d, NAMES[index], path)) < 0 ? errno : 0;
    expect(d, error, d->model.names[index] ? 0 : ENOENT);
    if (!error)
        model_unlink(&d->model, index);
}

static void do_stat(struct driver *d)
{
    char path[300];
    struct stat st;
    bool is_place = below(d, 2);
    int index = (int)below(d, is_place ? MODEL_N_PLACES : MODEL_N_NAMES);
    const struct model_place *place = is_place ? &d->model.places[index] : NULL;
    const struct model_file *file = place ? place->active : d->model.names[index];
    const char *name = is_place ? PLACES[index] : NAMES[index];
    tell(d, "stat(%s)", name);
    int error = stat(path_of(d, name, path), &st) < 0 ? errno : 0;
    expect(d, error, file || (place && place->exists) ? 0 : ENOENT);
    if (!error && (size_t)st.st_size != (file ? file->size : place->size))
        fail(d, "%zu bytes, expected %zu", (size_t)st.st_size, file ? file->size : place->size);
}

static void do_script(struct driver *d)
{
    static const int errors[] = {0, 0, EIO, ENOSPC, EBUSY, EACCES};
    char path[300];
    d->model.commit_error = errors[below(d, 6)];
    tell(d, "commits come to %d", d->model.commit_error);
    snprintf(path, sizeof(path), "%s/script", d->state);
    if (!d->model.commit_error) {
        unlink(path);
        return;
    }
    FILE *file = fopen(path, "we");
    if (!file)
        abort();
    fprintf(file, "error %s\n", strerrorname_np(d->model.commit_error));
    fclose(file);
}

/* --- other processes --- */

enum ending { ENDS_CLOSING, ENDS_WELL, ENDS_BADLY, ENDS_KILLED };

static const char *const ENDINGS[] = {"closes it", "ends well", "ends badly", "is killed"};

__attribute__((noreturn)) static void be_child(struct driver *d, const char *path, int flags,
                                               const unsigned char *bytes, size_t len,
                                               enum ending ending)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);
    d->told->error = fd < 0 || pwrite(fd, bytes, len, 0) != (ssize_t)len ? errno : 0;
    if (d->told->error == 0 && ending == ENDS_CLOSING && close(fd) < 0)
        d->told->error = errno;
    if (ending == ENDS_KILLED)
        raise(SIGKILL);
    _exit(ending == ENDS_BADLY ? 3 : 0);
}

/* A child opens a file, writes to it, and ends in one of the ways. */
static void do_child(struct driver *d)
{
    unsigned char bytes[2000];
    char path[300];
    bool is_place = below(d, 3);
    int index = (int)below(d, is_place ? MODEL_N_PLACES : MODEL_N_NAMES);
    const char *name = is_place ? PLACES[index] : NAMES[index];
    enum ending ending = (enum ending)below(d, 4);
    int flags = O_WRONLY | O_CREAT | (below(d, 2) ? O_TRUNC : 0);
    size_t len = 1 + below(d, sizeof(bytes) - 1);
    struct model_file *file = is_place ? d->model.places[index].active : d->model.names[index];
    if (!is_place && file && file->may_be_busy)
        return;
    fill(d, bytes, len);
    tell(d, "child: open(%s, %#o), write(%zu), %s", name, (unsigned)flags, len, ENDINGS[ending]);
    path_of(d, name, path);
    d->told->error = -1;
    pid_t child = fork();
    if (child == 0)
        be_child(d, path, flags, bytes, len, ending);
    waitpid(child, NULL, 0);
    if (file && (is_place || file->n_writers > 0)) {
        expect(d, d->told->error, EBUSY);
        return;
    }
    int error = is_place ? open_place(d, index, flags, &file) : open_name(d, index, flags, &file);
    if (!error) {
        model_write(file, 0, bytes, len);
        if (ending == ENDS_CLOSING)
            error = model_close(&d->model, file);
        else
            model_taint(&d->model, file);
        file->may_be_busy = true;
    }
    expect(d, d->told->error, error);
}

/* mv and tar remove a file before they make it anew. */
static void do_replace(struct driver *d)
{
    unsigned char bytes[2000];
    char path[300];
    int index = (int)below(d, MODEL_N_PLACES);
    struct model_place *place = &d->model.places[index];
    size_t len = 1 + below(d, sizeof(bytes) - 1);
    struct model_file *file;
    if (!place->exists || place->active)
        return;
    fill(d, bytes, len);
    tell(d, "child: unlink(%s) and make it anew, %zu bytes", PLACES[index], len);
    path_of(d, PLACES[index], path);
    pid_t child = fork();
    if (child == 0) {
        if (unlink(path) < 0 || access(path, F_OK) == 0)
            _exit(1);
        be_child(d, path, O_WRONLY | O_CREAT | O_EXCL, bytes, len, ENDS_CLOSING);
    }
    waitpid(child, NULL, 0);
    (void)open_place(d, index, O_WRONLY | O_TRUNC, &file);
    model_write(file, 0, bytes, len);
    expect(d, d->told->error, model_close(&d->model, file));
}

/* --- sequences --- */

static void check_places(struct driver *d)
{
    static unsigned char bytes[MODEL_SIZE + 1];
    char path[300];
    for (int i = 0; i < MODEL_N_PLACES; i++) {
        const struct model_place *place = &d->model.places[i];
        int fd = open(path_of(d, PLACES[i], path), O_RDONLY | O_CLOEXEC);
        int error = fd < 0 ? errno : 0;
        if (error || !place->exists) {
            expect(d, error, place->exists ? 0 : ENOENT);
            continue;
        }
        ssize_t n = read(fd, bytes, sizeof(bytes));
        expect(d, n < 0 ? errno : 0, 0);
        close(fd);
        if (n != (ssize_t)place->size || memcmp(bytes, place->bytes, place->size) != 0)
            fail(d, "%s is not what it should be: %zd bytes, expected %zu", PLACES[i], n,
                 place->size);
    }
}

/* A repeat of the whole file ends all that was kept of it. */
static void restore_whole(struct driver *d, int index)
{
    char path[300];
    struct model_place *place = &d->model.places[index];
    struct model_file *file;
    if (place->n_failed + place->n_parked + place->n_tainted == 0)
        return;
    size_t len = place->is_memory ? place->size : below(d, 3000);
    (void)open_place(d, index, O_WRONLY | O_CREAT | O_TRUNC, &file);
    unsigned char bytes[MODEL_SIZE];
    fill(d, bytes, len);
    model_write(file, 0, bytes, len);
    int fd = open(path_of(d, PLACES[index], path), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, bytes, len) != (ssize_t)len || close(fd) < 0)
        fail(d, "%s cannot be restored: %s", PLACES[index], strerror(errno));
    expect(d, model_close(&d->model, file), 0);
}

static void clean(struct driver *d)
{
    char path[300];
    for (int i = 0; i < MODEL_N_NAMES; i++)
        if (d->model.names[i]) {
            expect(d, unlink(path_of(d, NAMES[i], path)) < 0 ? errno : 0, 0);
            model_unlink(&d->model, i);
        }
    snprintf(path, sizeof(path), "%s/script", d->state);
    unlink(path);
    d->model.commit_error = 0;
    for (int i = 0; i < MODEL_N_PLACES; i++)
        restore_whole(d, i);
    check_staged(d);
    model_forget(&d->model);
}

static void run_sequence(struct driver *d)
{
    static void (*const ops[])(struct driver *) = {
        do_open,     do_open,  do_open,  do_open,    do_open,   do_write, do_write,
        do_write,    do_write, do_read,  do_read,    do_close,  do_close, do_close,
        do_truncate, do_sync,  do_dup,   do_rename,  do_rename, do_stat,  do_unlink,
        do_script,   do_child, do_child, do_replace,
    };
    d->n_story = 0;
    while (d->n_story < N_OPS_MAX - N_HANDLES)
        ops[below(d, sizeof(ops) / sizeof(ops[0]))](d);
    for (int i = 0; i < N_HANDLES; i++)
        if (d->handles[i].fd >= 0)
            close_handle(d, &d->handles[i]);
    check_staged(d);
    check_places(d);
    clean(d);
    check_places(d);
}

static void read_place(struct driver *d, int index)
{
    char path[300];
    struct model_place *place = &d->model.places[index];
    int fd = open(path_of(d, PLACES[index], path), O_RDONLY | O_CLOEXEC);
    place->exists = fd >= 0;
    place->is_memory = index == 0;
    ssize_t n = fd < 0 ? 0 : read(fd, place->bytes, sizeof(place->bytes));
    if (n < 0)
        fail(d, "%s: %s", path, strerror(errno));
    place->size = (size_t)n;
    if (fd >= 0)
        close(fd);
}

int main(int argc, char **argv)
{
    static struct driver d;
    if (argc != 5)
        return 2;
    d.mountpoint = argv[1];
    d.state = argv[2];
    d.seed = strtoull(argv[3], NULL, 10) * 0x9e3779b97f4a7c15u + 1;
    d.told = mmap(NULL, sizeof(*d.told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (d.told == MAP_FAILED)
        return 2;
    for (int i = 0; i < N_HANDLES; i++)
        d.handles[i].fd = -1;
    for (int i = 0; i < MODEL_N_PLACES; i++)
        read_place(&d, i);
    uint64_t n = strtoull(argv[4], NULL, 10);
    for (uint64_t i = 0; i < n; i++)
        run_sequence(&d);
    printf("%" PRIu64 " sequences, %" PRIu64 " operations\n", n, d.n_ops);
    return 0;
}
