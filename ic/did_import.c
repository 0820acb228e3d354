/* Imports: which file a path means, and reading it once.
 *
 * Paths are taken apart as text: relative to the importing file, "." and ".." resolved, never out
 * of the directory of the file that was parsed first.
 */
#include "ic/did_impl.h"

#include <limits.h>
#include <string.h>

/* ---- paths ---- */

/* Put a component behind the path of n bytes, or take one off. Returns the new length, or -1 when
 * the path leads out. */
static ptrdiff_t step(char *path, size_t n, const char *component, size_t len)
{
    if (len == 0 || (len == 1 && component[0] == '.'))
        return (ptrdiff_t)n;
    if (len == 2 && memcmp(component, "..", 2) == 0) {
        if (n == 0)
            return -1;
        while (n > 0 && path[n - 1] != '/')
            n--;
        return (ptrdiff_t)(n > 0 ? n - 1 : 0);
    }
    if (n > 0)
        path[n++] = '/';
    memcpy(path + n, component, len);
    return (ptrdiff_t)(n + len);
}

/* Follow a path from the directory of another; NUL-terminated, in the arena. *out is empty when
 * there is no such file inside. */
static int join(struct did_reader *r, struct ic_view importer, struct ic_view path,
                struct ic_view *out)
{
    const char *at = (const char *)path.bytes;
    size_t left = path.len, dir = importer.len;
    ptrdiff_t n;
    char *joined;
    void *memory;
    int ret = did_alloc(r, importer.len + path.len + 2, 1, &memory);
    if (ret < 0)
        return ret;
    joined = memory;
    *out = (struct ic_view){0};
    if (left == 0 || at[0] == '/' || memchr(at, '\0', left))
        return 0;
    while (dir > 0 && importer.bytes[dir - 1] != '/')
        dir--;
    n = dir > 0 ? (ptrdiff_t)dir - 1 : 0;
    if (n > 0)
        memcpy(joined, importer.bytes, (size_t)n);
    while (left > 0 && n >= 0) {
        const char *slash = memchr(at, '/', left);
        size_t len = slash ? (size_t)(slash - at) : left;
        n = step(joined, (size_t)n, at, len);
        at += slash ? len + 1 : len;
        left -= slash ? len + 1 : len;
    }
    if (n > 0) {
        joined[n] = '\0';
        *out = ic_view(joined, (size_t)n);
    }
    return 0;
}

/* ---- files ---- */

static struct did_file *find_file(struct did_reader *r, struct ic_view path)
{
    struct did_file *file = r->files;
    while (file && !ic_view_equal(file->source.path, path))
        file = file->next;
    return file;
}

static int new_file(struct did_reader *r, struct ic_view path, struct ic_view text,
                    struct did_file **out)
{
    struct did_file *file;
    uint8_t *copy;
    void *memory;
    int ret = did_alloc(r, 1, sizeof(*file), &memory);
    if (ret < 0)
        return ret;
    file = memory;
    ret = did_alloc(r, text.len + 1, 1, &memory);
    if (ret < 0)
        return ret;
    copy = memory;
    if (text.len)
        memcpy(copy, text.bytes, text.len);
    *file = (struct did_file){
        .source = {"", path, ic_view(copy, text.len)},
        .order = UINT_MAX,
    };
    *r->last_file = file;
    r->last_file = &file->next;
    *out = file;
    return 0;
}

/* Read a file that was added: its text, then it is complete. */
static int read_file(struct did_reader *r, struct did_file *file)
{
    int ret = did_check_utf8(r->err, &file->source);
    if (ret == 0)
        ret = did_parse_text(r, file);
    file->order = r->n_read++;
    return ret;
}

int did_read_main(struct did_reader *r, struct ic_view text, struct did_file **out)
{
    int ret = new_file(r, (struct ic_view){0}, text, out);
    return ret < 0 ? ret : read_file(r, *out);
}

/* Load a file and read it. */
static int load(struct did_reader *r, struct did_file *importer, size_t pos, struct ic_view path,
                struct did_file **out)
{
    struct ic_buf text = {0};
    int ret = r->loader->load(r->loader->arg, (const char *)path.bytes, r->text_left, &text);
    if (ret == 0)
        ret = ic_buf_status(&text);
    if (ret == -ENOMEM) {
        ret = did_fail_memory(r->err, ret);
    } else if (ret == -EFBIG || text.len > r->text_left) {
        ret = did_fail(r->err, &importer->source, pos, "the text is over %d bytes with all imports",
                       IC_DID_MAX_TEXT);
    } else if (ret < 0) {
        ret = did_fail(r->err, &importer->source, pos, "cannot read the imported file: %s",
                       strerror(-ret));
    } else {
        r->text_left -= text.len;
        ret = new_file(r, path, ic_view(text.bytes, text.len), out);
    }
    ic_buf_fini(&text);
    return ret;
}

static int list_import(struct did_reader *r, struct ic_view path, bool is_service)
{
    struct did_listed_import *listed;
    void *memory;
    int ret = did_alloc(r, 1, sizeof(*listed), &memory);
    if (ret < 0)
        return ret;
    listed = memory;
    *listed = (struct did_listed_import){{path, is_service}, NULL};
    *r->last_import = listed;
    r->last_import = &listed->next;
    r->n_imports++;
    return 0;
}

int did_import(struct did_reader *r, struct did_file *importer, size_t pos, struct ic_view path,
               bool is_service)
{
    struct did_file *file;
    struct ic_view joined;
    bool is_new;
    int ret;

    if (!r->loader)
        return list_import(r, path, is_service);
    ret = join(r, importer->source.path, path, &joined);
    if (ret < 0)
        return ret;
    if (joined.len == 0)
        return did_fail(r->err, &importer->source, pos, "a path out of the directory");
    file = find_file(r, joined);
    is_new = !file;
    if (is_new && r->files_left-- == 0)
        return did_fail(r->err, &importer->source, pos, "more than %d files", IC_DID_MAX_IMPORTS);
    if (is_new)
        ret = load(r, importer, pos, joined, &file);
    if (ret < 0)
        return ret;
    if (is_new)
        file->main_pos = importer->source.path.len ? importer->main_pos : pos;
    if (is_new || (is_service && !file->is_service)) {
        file->importer = importer;
        file->import_pos = pos;
        file->is_service = is_service;
    }
    return is_new ? read_file(r, file) : 0;
}
