/* See vmem.h. lock guards what was learned of headers; it is a leaf and not held across a read. */
#include "fs/vmem.h"

#include "fs/vmem_layout.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Headers that are kept: of live memory each open has its own. */
#define N_KEPT 16

/* The memory of a busy canister moves on between being asked for its version and being read. */
#define LOOK_TRIES 3

/* Buffers of one read of the memory. */
#define IOV_MAX_HERE 64

struct header {
    struct fs_vmem_layout *layout; /* immutable */
    uint64_t version;              /* immutable */
    unsigned n_refs;               /* guarded by lock */
};

struct fs_vmem {
    struct source *memory; /* immutable */
    struct fs_log *log;    /* immutable */
    const char *whose;     /* immutable */

    pthread_mutex_t lock;
    struct header *kept[N_KEPT];  /* guarded by lock: a ring */
    unsigned next_kept;           /* guarded by lock */
    bool has[FS_VMEM_N_MEMORIES]; /* guarded by lock: as info */
    struct fs_vmem_info info;     /* guarded by lock */
    uint64_t n_outdated;          /* guarded by lock */
};

struct vmem_source {
    struct source source; /* first */
    struct fs_vmem *vmem;
    unsigned id;
};

/* --- headers --- */

static void put_header(struct fs_vmem *vmem, struct header *header)
{
    pthread_mutex_lock(&vmem->lock);
    bool is_unused = --header->n_refs == 0;
    pthread_mutex_unlock(&vmem->lock);
    if (is_unused) {
        free(header->layout);
        free(header);
    }
}

static struct header *find_header(struct fs_vmem *vmem, uint64_t version)
{
    struct header *found = NULL;
    pthread_mutex_lock(&vmem->lock);
    for (unsigned i = 0; i < N_KEPT && !found; i++)
        if (vmem->kept[i] && vmem->kept[i]->version == version)
            found = vmem->kept[i];
    if (found)
        found->n_refs++;
    pthread_mutex_unlock(&vmem->lock);
    return found;
}

/* Takes the layout. Returns the header with a reference, or NULL. */
static struct header *keep_header(struct fs_vmem *vmem, uint64_t version,
                                  struct fs_vmem_layout *layout)
{
    struct header *header = malloc(sizeof(*header));
    if (!header) {
        free(layout);
        return NULL;
    }
    *header = (struct header){.layout = layout, .version = version, .n_refs = 2};
    pthread_mutex_lock(&vmem->lock);
    struct header *before = vmem->kept[vmem->next_kept];
    vmem->kept[vmem->next_kept] = header;
    vmem->next_kept = (vmem->next_kept + 1) % N_KEPT;
    pthread_mutex_unlock(&vmem->lock);
    if (before)
        put_header(vmem, before);
    return header;
}

/* The header at a version of the memory, with a reference. Returns 0; -ENOENT: it has none;
 * -EPROTO with `why`: it has one that is not understood; or what reading comes to, `why` "". */
static int get_header(struct fs_vmem *vmem, uint64_t version, uint64_t memory_size,
                      const struct source_io *io, struct header **out, char *why, size_t why_size)
{
    why[0] = '\0';
    *out = find_header(vmem, version);
    if (*out)
        return 0;
    if (memory_size < FS_VMEM_HEADER_SIZE)
        return -ENOENT;
    uint8_t *bytes = malloc(FS_VMEM_HEADER_SIZE);
    if (!bytes)
        return -ENOMEM;
    struct fs_vmem_layout *layout;
    int result = source_read(vmem->memory, version, 0, bytes, FS_VMEM_HEADER_SIZE, io);
    if (result == 0)
        result = fs_vmem_layout_parse(bytes, memory_size, &layout, why, why_size);
    free(bytes);
    if (result != 0)
        return result;
    *out = keep_header(vmem, version, layout);
    return *out ? 0 : -ENOMEM;
}

/* --- looking --- */

static void learn(struct fs_vmem *vmem, const struct fs_vmem_layout *layout)
{
    unsigned n = 0;
    pthread_mutex_lock(&vmem->lock);
    for (unsigned id = 0; id < FS_VMEM_N_MEMORIES; id++) {
        vmem->has[id] = layout && layout->sizes[id] > 0;
        n += vmem->has[id];
    }
    vmem->info.n_memories = n;
    vmem->info.bucket_size = layout ? layout->bucket_size : 0;
    if (layout)
        vmem->info.why[0] = '\0';
    pthread_mutex_unlock(&vmem->lock);
}

/* Names stay what they were: who lists them gets the error from their files. */
static void complain(struct fs_vmem *vmem, const char *why)
{
    fs_log_print_about(vmem->log, FS_LOG_WARNING, "vmem",
                       "stable memory of %s begins like a memory manager's, but its virtual "
                       "memories cannot be shown: %s",
                       vmem->whose, why);
    pthread_mutex_lock(&vmem->lock);
    snprintf(vmem->info.why, sizeof(vmem->info.why), "%s", why);
    pthread_mutex_unlock(&vmem->lock);
}

/* What the memory holds now. Returns as get_header; `why` is complained of. */
static int look(struct fs_vmem *vmem, const struct source_io *io, struct source_stat *stat,
                struct header **out, bool *ret_unfit)
{
    char why[sizeof(vmem->info.why)] = "";
    int result = -ESTALE;
    for (unsigned n = 0; result == -ESTALE && n < LOOK_TRIES; n++) {
        result = source_stat(vmem->memory, io, stat);
        if (result == 0)
            result = get_header(vmem, stat->version, stat->size, io, out, why, sizeof(why));
    }
    *ret_unfit = why[0] != '\0';
    if (*ret_unfit)
        complain(vmem, why);
    if (result == 0)
        learn(vmem, (*out)->layout);
    else if (result == -ENOENT)
        learn(vmem, NULL);
    return result;
}

/* --- one virtual memory --- */

static struct vmem_source *self_of(struct source *source)
{
    return (struct vmem_source *)source;
}

static int vmem_stat(struct source *source, const struct source_io *io, struct source_stat *out)
{
    const struct vmem_source *self = self_of(source);
    struct header *header;
    bool is_unfit;
    int result = look(self->vmem, io, out, &header, &is_unfit);
    if (result != 0)
        return result;
    out->size = header->layout->sizes[self->id];
    put_header(self->vmem, header);
    return out->size > 0 ? 0 : -ENOENT;
}

/* A range of a list of buffers, in turns of a few buffers each. */
struct cursor {
    const struct iovec *iov;
    size_t done; /* bytes of the first buffer */
};

static int take_buffers(struct cursor *cursor, uint64_t len, struct iovec out[IOV_MAX_HERE],
                        uint64_t *ret_len)
{
    int n = 0;
    *ret_len = 0;
    while (n < IOV_MAX_HERE && *ret_len < len) {
        size_t part = cursor->iov->iov_len - cursor->done;
        if (part > len - *ret_len)
            part = (size_t)(len - *ret_len);
        out[n++] = (struct iovec){(char *)cursor->iov->iov_base + cursor->done, part};
        *ret_len += part;
        cursor->done += part;
        if (cursor->done == cursor->iov->iov_len)
            *cursor = (struct cursor){.iov = cursor->iov + 1};
    }
    return n;
}

static int read_piece(const struct vmem_source *self, uint64_t version, struct fs_vmem_piece piece,
                      struct cursor *cursor, const struct source_io *io)
{
    while (piece.len > 0) {
        struct iovec iov[IOV_MAX_HERE];
        uint64_t len;
        int n = take_buffers(cursor, piece.len, iov, &len);
        int result = source_readv(self->vmem->memory, version, piece.off, iov, n, io);
        if (result < 0)
            return result;
        piece.off += len;
        piece.len -= len;
    }
    return 0;
}

/* Hints for the pieces of a range, as far as it goes. */
static void hint(const struct vmem_source *self, const struct header *header, uint64_t off,
                 uint64_t len, size_t load)
{
    while (len > 0) {
        struct fs_vmem_piece piece = fs_vmem_layout_find(header->layout, self->id, off, len);
        source_prefetch(self->vmem->memory, header->version, piece.off, piece.len, load);
        off += piece.len;
        len -= piece.len;
    }
}

static int read_pieces(const struct vmem_source *self, const struct header *header, uint64_t off,
                       uint64_t len, const struct iovec *iov, const struct source_io *io)
{
    struct cursor cursor = {.iov = iov};
    size_t load = source_max_io(self->vmem->memory);
    struct fs_vmem_piece piece = fs_vmem_layout_find(header->layout, self->id, off, len);
    /* What lies elsewhere comes at the same time. */
    if (piece.len < len)
        hint(self, header, off + piece.len, len - piece.len, load > 0 ? load : FS_VMEM_PAGE);
    for (;;) {
        int result = read_piece(self, header->version, piece, &cursor, io);
        off += piece.len;
        len -= piece.len;
        if (result < 0 || len == 0)
            return result;
        piece = fs_vmem_layout_find(header->layout, self->id, off, len);
    }
}

static int vmem_readv(struct source *source, uint64_t version, uint64_t off,
                      const struct iovec *iov, int n_iov, const struct source_io *io)
{
    const struct vmem_source *self = self_of(source);
    uint64_t len = source_iov_size(iov, n_iov);
    char why[sizeof(self->vmem->info.why)];
    struct header *header;
    /* Its stat was a success, so the header fits the memory at this version. */
    int result = get_header(self->vmem, version, UINT64_MAX, io, &header, why, sizeof(why));
    if (result != 0)
        return result == -ENOENT ? -ESTALE : result;
    uint64_t size = header->layout->sizes[self->id];
    bool is_there = off <= size && len <= size - off;
    result = is_there ? read_pieces(self, header, off, len, iov, io) : -ESTALE;
    put_header(self->vmem, header);
    return result == -EINVAL ? -ESTALE : result; /* live memory that got smaller */
}

static void vmem_prefetch(struct source *source, uint64_t version, uint64_t off, uint64_t len,
                          size_t load)
{
    const struct vmem_source *self = self_of(source);
    struct header *header = find_header(self->vmem, version);
    if (!header)
        return;
    uint64_t size = header->layout->sizes[self->id];
    if (off < size)
        hint(self, header, off, len < size - off ? len : size - off, load);
    put_header(self->vmem, header);
}

static bool vmem_has(struct source *source, uint64_t version, uint64_t off)
{
    const struct vmem_source *self = self_of(source);
    struct header *header = find_header(self->vmem, version);
    if (!header)
        return false;
    bool has = false;
    if (off < header->layout->sizes[self->id]) {
        struct fs_vmem_piece piece = fs_vmem_layout_find(header->layout, self->id, off, 1);
        has = source_has(self->vmem->memory, version, piece.off);
    }
    put_header(self->vmem, header);
    return has;
}

static size_t vmem_max_io(struct source *source)
{
    return source_max_io(self_of(source)->vmem->memory);
}

static void vmem_close(struct source *source)
{
    free(source);
}

static const struct source_ops vmem_ops = {
    .stat = vmem_stat,
    .readv = vmem_readv,
    .prefetch = vmem_prefetch,
    .has = vmem_has,
    .max_io = vmem_max_io,
    .close = vmem_close,
};

/* --- the directory --- */

static enum fs_vmem_verdict judge(int result, bool is_unfit, const struct source_stat *stat)
{
    if (result == 0)
        return FS_VMEM_SHOWN;
    if (is_unfit)
        return FS_VMEM_UNFIT;
    return result == -ENOENT && stat->size > 0 ? FS_VMEM_NONE : FS_VMEM_UNKNOWN;
}

static int listing_exists(void *arg, const struct source_io *io)
{
    struct fs_vmem *vmem = arg;
    pthread_mutex_lock(&vmem->lock);
    enum fs_vmem_verdict verdict = vmem->info.verdict;
    uint64_t n_outdated = vmem->n_outdated;
    pthread_mutex_unlock(&vmem->lock);
    if (verdict != FS_VMEM_UNKNOWN)
        return verdict == FS_VMEM_SHOWN ? 0 : -ENOENT;
    struct source_stat stat = {0};
    struct header *header;
    bool is_unfit;
    int result = look(vmem, io, &stat, &header, &is_unfit);
    if (result == 0)
        put_header(vmem, header);
    pthread_mutex_lock(&vmem->lock);
    if (vmem->info.verdict == FS_VMEM_UNKNOWN && vmem->n_outdated == n_outdated)
        vmem->info.verdict = judge(result, is_unfit, &stat);
    pthread_mutex_unlock(&vmem->lock);
    return is_unfit ? -ENOENT : result;
}

static int listing_count(void *arg, const struct source_io *io, uint64_t *out)
{
    struct fs_vmem *vmem = arg;
    struct source_stat stat;
    struct header *header;
    bool is_unfit;
    int result = look(vmem, io, &stat, &header, &is_unfit);
    if (result == 0)
        put_header(vmem, header);
    else if (result != -ENOENT)
        return result;
    *out = FS_VMEM_N_MEMORIES;
    return 0;
}

static void listing_name(void *arg, uint64_t index, char *name)
{
    (void)arg;
    snprintf(name, FS_NAME_SIZE, "%03u", (unsigned)index);
}

static bool listing_has(void *arg, uint64_t index)
{
    struct fs_vmem *vmem = arg;
    pthread_mutex_lock(&vmem->lock);
    bool has = vmem->has[index];
    pthread_mutex_unlock(&vmem->lock);
    return has;
}

/* Three digits, no other spelling. */
static int listing_find(void *arg, const char *name, uint64_t *out)
{
    (void)arg;
    unsigned id = 0;
    if (strlen(name) != 3 || strspn(name, "0123456789") != 3)
        return -ENOENT;
    for (int i = 0; i < 3; i++)
        id = 10 * id + (unsigned)(name[i] - '0');
    if (id >= FS_VMEM_N_MEMORIES)
        return -ENOENT;
    *out = id;
    return 0;
}

static int listing_open(void *arg, uint64_t index, struct source **out)
{
    struct vmem_source *self = calloc(1, sizeof(*self));
    if (!self)
        return -ENOMEM;
    source_init(&self->source, &vmem_ops);
    self->vmem = arg;
    self->id = (unsigned)index;
    *out = &self->source;
    return 0;
}

const struct fs_listing_ops fs_vmem_listing = {
    .count = listing_count,
    .name = listing_name,
    .find = listing_find,
    .open = listing_open,
    .has = listing_has,
    .exists = listing_exists,
};

/* --- the whole --- */

int fs_vmem_open(struct fs_vmem **out, struct source *memory, struct fs_log *log, const char *whose)
{
    struct fs_vmem *vmem = calloc(1, sizeof(*vmem));
    if (!vmem)
        return -ENOMEM;
    pthread_mutex_init(&vmem->lock, NULL);
    vmem->memory = memory;
    vmem->log = log;
    vmem->whose = whose;
    *out = vmem;
    return 0;
}

void fs_vmem_close(struct fs_vmem *vmem)
{
    if (!vmem)
        return;
    for (unsigned i = 0; i < N_KEPT; i++)
        if (vmem->kept[i])
            put_header(vmem, vmem->kept[i]);
    pthread_mutex_destroy(&vmem->lock);
    free(vmem);
}

void fs_vmem_outdate(struct fs_vmem *vmem)
{
    pthread_mutex_lock(&vmem->lock);
    vmem->n_outdated++;
    if (vmem->info.verdict != FS_VMEM_SHOWN)
        vmem->info.verdict = FS_VMEM_UNKNOWN;
    pthread_mutex_unlock(&vmem->lock);
}

void fs_vmem_describe(struct fs_vmem *vmem, struct fs_vmem_info *out)
{
    pthread_mutex_lock(&vmem->lock);
    *out = vmem->info;
    pthread_mutex_unlock(&vmem->lock);
}
