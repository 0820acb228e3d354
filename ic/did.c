/* Service descriptions: parsing a text, or a file and those beside it. See did.h. */
#include "ic/did.h"

#include "ic/did_impl.h"

#include <fcntl.h>
#include <limits.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- memory ---- */

int did_count_type(struct did_reader *r, const struct did_source *source, size_t pos)
{
    if (r->types_left == 0)
        return did_fail(r->err, source, pos, "more than %d types", IC_DID_MAX_TYPES);
    r->types_left--;
    return 0;
}

int did_new_node(struct did_reader *r, const struct did_source *source, size_t pos,
                 struct did_node **out)
{
    void *memory;
    int ret = did_count_type(r, source, pos);
    if (ret < 0)
        return ret;
    ret = did_alloc(r, 1, sizeof(**out), &memory);
    if (ret < 0)
        return ret;
    *out = memory;
    **out = (struct did_node){.next = r->nodes};
    r->nodes = *out;
    return 0;
}

/* ---- a text ---- */

static void keep_symbol(void *symbol)
{
    (void)symbol; /* lives in the arena */
}

static int read_all(struct did_reader *r, struct ic_view text, struct ic_did *did)
{
    struct did_file *main = NULL;
    int ret = did_read_main(r, text, &main);
    if (ret == 0)
        ret = did_resolve(r, main, did);
    tdestroy(r->symbols, keep_symbol);
    free(r->items);
    return ret;
}

int ic_did_parse(const char *text, size_t len, const struct ic_did_loader *loader,
                 struct ic_did **out, struct ic_error *err)
{
    struct ic_did *did;
    struct did_reader r = {
        .loader = loader,
        .err = err,
        .types_left = IC_DID_MAX_TYPES,
        .files_left = IC_DID_MAX_IMPORTS,
    };
    int ret;

    if (len > IC_DID_MAX_TEXT)
        return ic_fail(err, IC_E_MALFORMED, "the text is over %d bytes", IC_DID_MAX_TEXT);
    did = calloc(1, sizeof(*did));
    if (!did)
        return did_fail_memory(err, -ENOMEM);
    ic_arena_init(&did->arena, IC_DID_MAX_MEMORY);
    r.arena = &did->arena;
    r.text_left = IC_DID_MAX_TEXT - len;
    r.last_defined = &r.defined;
    r.last_use = &r.uses;
    r.last_file = &r.files;
    r.last_import = &r.imports;
    ret = read_all(&r, ic_view(text, len), did);
    if (ret < 0)
        ic_did_free(did);
    else
        *out = did;
    return ret;
}

void ic_did_free(struct ic_did *did)
{
    if (did)
        ic_arena_fini(&did->arena);
    free(did);
}

/* ---- a file ---- */

/* Append what an open file holds. */
static int read_fd(int fd, size_t max, struct ic_buf *out)
{
    struct stat st;
    ssize_t n;

    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    do {
        uint8_t bytes[4096];
        n = read(fd, bytes, sizeof(bytes));
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0 && (size_t)n > max)
            return -EFBIG;
        if (n > 0) {
            ic_buf_append(out, bytes, (size_t)n);
            max -= (size_t)n;
        }
    } while (n != 0);
    return ic_buf_status(out);
}

/* Open a file below a directory: a descriptor, or a negative errno. Component by component, so that
 * no symbolic link leads out. A FIFO does not make us wait. */
static int open_below(int dir, const char *path)
{
    int fd = dir;
    for (;;) {
        const char *slash = strchr(path, '/');
        char component[NAME_MAX + 1];
        size_t len = slash ? (size_t)(slash - path) : strlen(path);
        int flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | (slash ? O_DIRECTORY : O_NONBLOCK);
        int parent = fd;

        fd = -ENAMETOOLONG;
        if (len <= NAME_MAX) {
            memcpy(component, path, len);
            component[len] = '\0';
            fd = openat(parent, component, flags);
            if (fd < 0)
                fd = -errno;
        }
        if (parent != dir)
            close(parent);
        if (fd < 0 || !slash)
            return fd;
        path = slash + 1;
    }
}

static int load_below(void *arg, const char *path, size_t max, struct ic_buf *out)
{
    const int *dir = arg;
    int ret, fd = open_below(*dir, path);
    if (fd < 0)
        return fd;
    ret = read_fd(fd, max, out);
    close(fd);
    return ret;
}

/* Open the directory a file is in; it does not change when the file is replaced. */
static int open_directory(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *name;
    int fd;

    if (!slash)
        return open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    name = strndup(path, slash == path ? 1 : (size_t)(slash - path));
    if (!name)
        return -1; /* errno is ENOMEM */
    fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(name);
    return fd;
}

static int read_first(const char *path, struct ic_buf *out)
{
    int ret, fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ret = read_fd(fd, IC_DID_MAX_TEXT, out);
    close(fd);
    return ret;
}

int ic_did_parse_file(const char *path, struct ic_did **out, struct ic_error *err)
{
    struct ic_buf text = {0};
    int dir = -1;
    struct ic_did_loader loader = {load_below, &dir};
    int ret = read_first(path, &text);

    if (ret == 0) {
        dir = open_directory(path);
        ret = dir < 0 ? -errno : 0;
    }
    if (ret == -ENOMEM)
        ret = did_fail_memory(err, ret);
    else if (ret < 0)
        ret = ic_fail(err, IC_E_CONFIG, "cannot be read: %s",
                      ret == -EINVAL ? "not a regular file" : strerror(-ret));
    else
        ret = ic_did_parse((const char *)text.bytes, text.len, &loader, out, err);
    if (dir >= 0)
        close(dir);
    ic_buf_fini(&text);
    return ret;
}

/* ---- what is in it ---- */

const struct ic_type_method *ic_did_find_method(const struct ic_did *did, const char *name)
{
    struct ic_view wanted = ic_view(name, strlen(name));
    size_t low = 0, high = did->service ? did->service->as.service.n : 0;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct ic_type_method *method = &did->service->as.service.methods[middle];
        int order = ic_view_compare(wanted, method->name);
        if (order == 0)
            return method;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

const struct ic_type *ic_did_find_type(const struct ic_did *did, const char *name)
{
    for (size_t i = 0; i < did->n_types; i++)
        if (ic_view_is_text(did->types[i]->names->self.name, name))
            return did->types[i];
    return NULL;
}
