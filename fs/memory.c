#include "fs/memory.h"

#include "cache/cache.h"
#include "fs/argument.h"
#include "fs/query.h"
#include "fs/refusal.h"
#include "fs/size_search.h"

#include <errno.h>
#include <string.h>

static void add_id(const struct fs_memory *memory, struct fs_arguments *args)
{
    if (memory->has_id)
        (void)!fs_arguments_add(args, IC_TYPE_NAT8, memory->id); /* fits */
}

/* --- size and version --- */

static int wrong_type(const char *method, struct ic_error *err)
{
    return ic_fail(err, IC_E_WRONG_TYPE, "%s: the reply has another type than expected", method);
}

/* stable_version : () -> (record {version; mtime_ns; size}) */
static int stat_version(const struct fs_memory *memory, const struct fs_target *target,
                        const struct ic_io *io, struct fs_memory_state *out, struct ic_error *err)
{
    struct fs_answer answer;
    int result = fs_query(target, memory->version, NULL, 0, io, &answer, err);
    if (result < 0)
        return result;
    const struct ic_value *value = fs_answer_value(&answer, 0);
    uint64_t mtime_ns;
    /* A canister that does not know the time of its last change may leave it out. */
    if (ic_value_nat64(ic_value_field(value, "mtime_ns"), &mtime_ns) < 0 || mtime_ns > INT64_MAX)
        mtime_ns = 0;
    out->mtime_ns = (int64_t)mtime_ns;
    if (ic_value_nat64(ic_value_field(value, "version"), &out->version) < 0 ||
        ic_value_nat64(ic_value_field(value, "size"), &out->size) < 0)
        result = wrong_type(memory->version, err);
    fs_answer_fini(&answer);
    return result;
}

/* size : () or (id) -> (number of bytes or pages) */
static int stat_size(const struct fs_memory *memory, const struct fs_target *target,
                     const struct ic_io *io, struct fs_memory_state *out, struct ic_error *err)
{
    struct fs_arguments args = {0};
    add_id(memory, &args);
    struct fs_answer answer;
    int result = fs_query(target, memory->size, args.values, args.n, io, &answer, err);
    if (result < 0)
        return result;
    const struct ic_value *value = fs_answer_value(&answer, 0);
    out->size_kind = value ? value->type->kind : IC_TYPE_NULL;
    if (ic_value_nat64(value, &out->size) < 0)
        result = wrong_type(memory->size, err);
    else if (memory->unit == FS_MEMORY_UNIT_PAGES ||
             (memory->unit == FS_MEMORY_UNIT_AUTO && out->size_kind == IC_TYPE_NAT32))
        out->size =
            out->size <= INT64_MAX / CACHE_BLOCK_SIZE ? out->size * CACHE_BLOCK_SIZE : UINT64_MAX;
    fs_answer_fini(&answer);
    return result;
}

/* header : () -> (record {header_length; content_length; ...}, ...). The header's length counts
 * fields of 8 bytes, and stands before it in 8 more (dscvr-one/metamagic, stable storage); a length
 * of 0 says that there is no header: old data, or none at all. */
static int stat_header(const struct fs_memory *memory, const struct fs_target *target,
                       const struct ic_io *io, struct fs_memory_state *out, struct ic_error *err)
{
    struct fs_answer answer;
    int result = fs_query(target, memory->header, NULL, 0, io, &answer, err);
    if (result < 0)
        return result;
    const struct ic_value *value = fs_answer_value(&answer, 0);
    uint64_t fields;
    uint64_t content;
    if (ic_value_nat64(ic_value_field(value, "header_length"), &fields) < 0 ||
        ic_value_nat64(ic_value_field(value, "content_length"), &content) < 0)
        result = wrong_type(memory->header, err);
    else if (fields > INT64_MAX / 16 || content > INT64_MAX / 2)
        out->size = UINT64_MAX;
    else
        out->size = (fields > 0 ? 8 + 8 * fields : 0) + content;
    fs_answer_fini(&answer);
    return result;
}

struct prober {
    const struct fs_memory *memory;
    const struct fs_target *target;
    const struct ic_io *io;
    struct ic_error *err;
};

/* A canister that is asked for what is not there traps, or rejects. One that is stopped, or runs
 * into a limit, says nothing about its size. */
static bool means_beyond_the_end(const struct ic_error *err)
{
    return strcmp(err->error_code, "IC0502") == 0 || strcmp(err->error_code, "IC0503") == 0 ||
           (err->reject_code == 4 && !ic_error_is_limit(err));
}

static int probe(void *arg, uint64_t off, uint64_t *out)
{
    const struct prober *prober = arg;
    uint8_t byte;
    const struct iovec iov = {&byte, 1};
    const struct fs_memory_dest dest = {&iov, 1, 0};
    struct fs_memory_got got = {0};
    struct ic_error err = {0};
    int result =
        fs_memory_read(prober->memory, prober->target, 0, off, 1, &dest, prober->io, &got, &err);
    if (result == 0) {
        *out = got.sent;
    } else if (result == -ESTALE || means_beyond_the_end(&err)) {
        *out = 0;
        result = 0;
    } else {
        *prober->err = err;
    }
    return result;
}

static int stat_search(const struct fs_memory *memory, const struct fs_target *target,
                       uint64_t hint, const struct ic_io *io, struct fs_memory_state *out,
                       struct ic_error *err)
{
    struct prober prober = {memory, target, io, err};
    int result = fs_size_search(probe, &prober, hint, &out->size);
    if (result == -ESTALE)
        return ic_fail(err, IC_E_REJECTED, "%s: the size changed all the time it was searched for",
                       memory->read);
    if (result == -EPROTO && err->code == IC_OK)
        return ic_fail(err, IC_E_MALFORMED, "%s: there is no end to what it gives", memory->read);
    return result;
}

/* While a restore is being applied the methods without an error variant trap, in these words. */
static int judge_trap(int result, struct ic_error *err)
{
    if (result == 0 || strcmp(err->error_code, "IC0503") != 0 || !strstr(err->message, "busy: "))
        return result;
    err->code = IC_E_BUSY;
    return ic_error_errno(err);
}

int fs_memory_stat(const struct fs_memory *memory, const struct fs_target *target, uint64_t hint,
                   const struct ic_io *io, struct fs_memory_state *out, struct ic_error *err)
{
    struct fs_memory_state state = {0};
    int result = 0;
    err->code = IC_OK;
    if (memory->version[0])
        result = judge_trap(stat_version(memory, target, io, &state, err), err);
    else if (memory->size[0])
        result = judge_trap(stat_size(memory, target, io, &state, err), err);
    else if (memory->header[0])
        result = stat_header(memory, target, io, &state, err);
    else
        result = stat_search(memory, target, hint, io, &state, err);
    if (result == 0 && state.size > INT64_MAX)
        result = ic_fail(err, IC_E_MALFORMED, "the canister claims a size that no file can have");
    if (result == 0)
        *out = state;
    return result;
}

/* --- reading --- */

/* The ok of stable_read_at, or why there is none. As the reply of an update is judged, but that a
 * read is never told of its arguments or of room. */
static int judge_proof(const char *method, const struct ic_value *value,
                       const struct ic_value **out, struct ic_error *err)
{
    enum fs_refusal refusal;
    int result = fs_refusal_judge(method, value, &refusal, out, err);
    if (refusal == FS_REFUSAL_STALE) { /* no failure: the version is looked at again */
        *err = (struct ic_error){0};
        return -ESTALE;
    }
    if (refusal == FS_REFUSAL_RANGE || refusal == FS_REFUSAL_OTHER) {
        err->code = IC_E_REJECTED;
        return ic_error_errno(err);
    }
    return result;
}

/* The blob in a page's reply: vec record {nat64; blob} with the page that was asked for, or empty.
 */
static int find_page(const struct ic_value *value, uint64_t page, struct ic_view *out)
{
    struct ic_value item;
    uint64_t number;
    *out = (struct ic_view){0};
    if (!value || value->type->kind != IC_TYPE_VEC)
        return -EPROTO;
    if (ic_value_count(value) == 0)
        return 0;
    if (ic_value_at(value, 0, &item) < 0 ||
        ic_value_nat64(ic_value_field_id(&item, 0), &number) < 0 || number != page)
        return -EPROTO;
    return ic_value_blob(ic_value_field_id(&item, 1), out);
}

struct range {
    uint64_t version;
    uint64_t off;
    size_t len;
};

static bool add_range(const struct fs_memory *memory, const struct range *range,
                      struct fs_arguments *args)
{
    if (fs_memory_proves(memory))
        return fs_arguments_add(args, IC_TYPE_NAT64, range->version) &&
               fs_arguments_add(args, IC_TYPE_NAT64, range->off) &&
               fs_arguments_add(args, IC_TYPE_NAT64, range->len);
    add_id(memory, args);
    if (memory->style == FS_MEMORY_PAGE)
        return fs_arguments_add(args, memory->number, range->off / memory->page_size);
    return fs_arguments_add(args, memory->number, range->off) &&
           (memory->style == FS_MEMORY_FROM || fs_arguments_add(args, memory->number, range->len));
}

/* The bytes from range->off on that the reply carries; or -ESTALE, or another -errno with err. */
static int judge_reply(const struct fs_memory *memory, const struct range *range,
                       const struct ic_value *value, struct ic_view *out, struct ic_error *err)
{
    const char *method = fs_memory_reader(memory);
    if (memory->style == FS_MEMORY_PAGE) {
        uint64_t page = range->off / memory->page_size;
        size_t skip = (size_t)(range->off % memory->page_size);
        if (find_page(value, page, out) < 0 || out->len > memory->page_size)
            return wrong_type(method, err);
        *out = out->len > skip ? ic_view(out->bytes + skip, out->len - skip) : ic_view(NULL, 0);
    } else {
        int result = fs_memory_proves(memory) ? judge_proof(method, value, &value, err) : 0;
        if (result < 0)
            return result;
        if (ic_value_blob(value, out) < 0)
            return wrong_type(method, err);
    }
    if (memory->style == FS_MEMORY_RANGE && out->len != range->len)
        return ic_fail(err, IC_E_MALFORMED, "asked for %zu bytes, got %zu", range->len, out->len);
    return out->len > 0 ? 0 : -ESTALE;
}

int fs_memory_read(const struct fs_memory *memory, const struct fs_target *target, uint64_t version,
                   uint64_t off, size_t len, const struct fs_memory_dest *dest,
                   const struct ic_io *io, struct fs_memory_got *out, struct ic_error *err)
{
    const struct range range = {version, off, len};
    struct fs_arguments args = {0};
    if (!add_range(memory, &range, &args))
        return ic_fail(err, IC_E_MALFORMED, "%s takes 32-bit numbers, offset %llu is larger",
                       memory->read, (unsigned long long)off);
    struct fs_answer answer;
    int result = fs_query(target, fs_memory_reader(memory), args.values, args.n, io, &answer, err);
    if (result < 0)
        return result;
    struct ic_view blob = {0};
    result = judge_reply(memory, &range, fs_answer_value(&answer, 0), &blob, err);
    if (result == 0) {
        size_t n = blob.len < len ? blob.len : len;
        if (n > 0 && blob.bytes)
            source_iov_copy(dest->iov, dest->n_iov, dest->pos, blob.bytes, n);
        *out = (struct fs_memory_got){.len = n, .sent = blob.len};
        if (ic_value_nat64(fs_answer_value(&answer, 1), &out->instructions) < 0)
            out->instructions = 0;
    }
    fs_answer_fini(&answer);
    return result;
}

const char *fs_memory_reader(const struct fs_memory *memory)
{
    return fs_memory_proves(memory) ? memory->read_at : memory->read;
}
