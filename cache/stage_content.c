/* What a stage consists of, and its records: see stage_content.h.
 *
 *   content  cut, size, base_end, flags (1: is changed), then off and end of each extent added:
 *            sorted, apart, not empty; numbers of 8 bytes
 *   purpose  base_size, base_version, created_ns: of 8 bytes; the target without its zero
 */
#include "cache/stage_content.h"

#include "cache/stage_io.h"
#include "cache/stage_journal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HEAD_LEN     ((size_t)32)
#define EXTENT_LEN   ((size_t)16)
#define FLAG_CHANGED ((uint64_t)1)

static_assert(HEAD_LEN + STAGE_EXTENTS_MAX * EXTENT_LEN <= STAGE_JOURNAL_PAYLOAD_MAX,
              "a record holds all extents");

void stage_content_init(struct stage_content *content, uint64_t base_size)
{
    *content = (struct stage_content){.size = base_size, .base_end = base_size, .cut = UINT64_MAX};
}

void stage_content_fini(struct stage_content *content)
{
    stage_extents_fini(&content->staged);
    stage_extents_fini(&content->added);
}

/* ---- changes ---- */

int stage_content_add(struct stage_content *content, uint64_t off, uint64_t end)
{
    /* What is staged already is in an earlier record, or in `added`. */
    if (!stage_extents_has(&content->staged, off, end)) {
        int result = stage_extents_add(&content->staged, off, end);
        if (result < 0)
            return result;
        if (!content->is_all && stage_extents_add(&content->added, off, end) < 0)
            stage_content_unsaved(content);
        content->is_unsaved = true;
    }
    if (end > content->size)
        content->size = end;
    content->is_changed = true;
    return 0;
}

void stage_content_resize(struct stage_content *content, uint64_t size)
{
    if (size < content->size) {
        stage_extents_cut(&content->staged, size);
        stage_extents_cut(&content->added, size);
        if (size < content->cut)
            content->cut = size;
        if (size < content->base_end)
            content->base_end = size;
    }
    content->size = size;
    content->is_changed = true;
    content->is_unsaved = true;
}

void stage_content_saved(struct stage_content *content)
{
    stage_extents_fini(&content->added);
    content->cut = UINT64_MAX;
    content->is_all = false;
    content->is_unsaved = false;
}

void stage_content_unsaved(struct stage_content *content)
{
    stage_extents_fini(&content->added);
    content->is_all = true;
    content->is_unsaved = true;
}

/* ---- questions ---- */

bool stage_content_find(const struct stage_content *content, uint64_t off,
                        struct stage_segment *out)
{
    struct stage_extent extent;
    if (off >= content->size)
        return false;
    uint64_t end = content->size;
    if (stage_extents_find(&content->staged, off, &extent)) {
        if (extent.off <= off) {
            *out = (struct stage_segment){STAGE_STAGED, off, extent.end - off};
            return true;
        }
        end = extent.off;
    }
    bool is_base = off < content->base_end;
    if (is_base && end > content->base_end)
        end = content->base_end;
    *out = (struct stage_segment){is_base ? STAGE_BASE : STAGE_ZERO, off, end - off};
    return true;
}

size_t stage_content_cost(const struct stage_content *content)
{
    return HEAD_LEN + content->staged.n * EXTENT_LEN;
}

/* ---- records ---- */

int stage_content_encode(const struct stage_content *content, bool is_all, void **out,
                         uint32_t *ret_len)
{
    is_all = is_all || content->is_all;
    const struct stage_extents *set = is_all ? &content->staged : &content->added;
    size_t len = HEAD_LEN + set->n * EXTENT_LEN;
    unsigned char *bytes = malloc(len);
    if (!bytes)
        return -ENOMEM;
    stage_io_put64(bytes, is_all ? 0 : content->cut);
    stage_io_put64(bytes + 8, content->size);
    stage_io_put64(bytes + 16, content->base_end);
    stage_io_put64(bytes + 24, content->is_changed ? FLAG_CHANGED : 0);
    struct stage_extent extent = {0};
    unsigned char *to = bytes + HEAD_LEN;
    for (; stage_extents_find(set, extent.end, &extent); to += EXTENT_LEN) {
        stage_io_put64(to, extent.off);
        stage_io_put64(to + 8, extent.end);
    }
    assert(to == bytes + len);
    *out = bytes;
    *ret_len = (uint32_t)len;
    return 0;
}

int stage_content_decode(struct stage_content *content, const void *payload, size_t len)
{
    const unsigned char *bytes = payload;
    if (len < HEAD_LEN || (len - HEAD_LEN) % EXTENT_LEN != 0)
        return -EPROTO;
    uint64_t size = stage_io_get64(bytes + 8);
    uint64_t base_end = stage_io_get64(bytes + 16);
    uint64_t flags = stage_io_get64(bytes + 24);
    if (size > INT64_MAX || base_end > size || base_end > content->base_end || flags > FLAG_CHANGED)
        return -EPROTO;
    stage_extents_cut(&content->staged, stage_io_get64(bytes));

    uint64_t last = 0;
    for (const unsigned char *from = bytes + HEAD_LEN; from < bytes + len; from += EXTENT_LEN) {
        uint64_t off = stage_io_get64(from);
        uint64_t end = stage_io_get64(from + 8);
        if (off >= end || end > size || (last > 0 && off <= last))
            return -EPROTO;
        int result = stage_extents_add(&content->staged, off, end);
        if (result < 0)
            return result == -ENOMEM ? result : -EPROTO;
        last = end;
    }
    if (stage_extents_end(&content->staged) > size)
        return -EPROTO;
    content->size = size;
    content->base_end = base_end;
    content->is_changed = (flags & FLAG_CHANGED) != 0;
    return 0;
}

int stage_purpose_encode(const struct stage_purpose *purpose, unsigned char *out, uint32_t *ret_len)
{
    size_t len = strnlen(purpose->target, STAGE_TARGET_MAX);
    if (len == STAGE_TARGET_MAX)
        return -EINVAL;
    if (purpose->base_size > INT64_MAX)
        return -EFBIG;
    stage_io_put64(out, purpose->base_size);
    stage_io_put64(out + 8, purpose->base_version);
    stage_io_put64(out + 16, (uint64_t)purpose->created_ns);
    memcpy(out + 24, purpose->target, len);
    *ret_len = (uint32_t)(24 + len);
    return 0;
}

int stage_purpose_decode(struct stage_purpose *purpose, const void *payload, size_t len)
{
    const unsigned char *bytes = payload;
    if (len < 24 || len >= STAGE_PURPOSE_LEN || memchr(bytes + 24, 0, len - 24) ||
        stage_io_get64(bytes) > INT64_MAX)
        return -EPROTO;
    *purpose = (struct stage_purpose){
        .base_size = stage_io_get64(bytes),
        .base_version = stage_io_get64(bytes + 8),
        .created_ns = (int64_t)stage_io_get64(bytes + 16),
    };
    memcpy(purpose->target, bytes + 24, len - 24);
    return 0;
}
