/* What a stage consists of, in memory, and as a record of its journal.
 *
 * A record of content says what changed since the one before it: the lowest size that it was cut
 * to, then the extents that were added, then size, base_end and whether it was changed at all. One
 * that is cut to 0 and adds every extent stands for all before it.
 *
 * Thread safety: none.
 */
#ifndef CANISTERFS_CACHE_STAGE_CONTENT_H
#define CANISTERFS_CACHE_STAGE_CONTENT_H

#include "cache/stage.h"
#include "cache/stage_extents.h"

struct stage_content {
    uint64_t size;
    uint64_t base_end; /* <= size */
    bool is_changed;
    struct stage_extents staged; /* below size */

    /* Since the last record. */
    bool is_unsaved;
    bool is_all;                /* the next record adds every extent; added and cut mean nothing */
    uint64_t cut;               /* UINT64_MAX: it was not cut */
    struct stage_extents added; /* of staged */
};

void stage_content_init(struct stage_content *content, uint64_t base_size) __attribute__((nonnull));
void stage_content_fini(struct stage_content *content) __attribute__((nonnull));

/* The bytes [off, end) are staged now. Returns 0, -ENOMEM, -EFBIG; then nothing has changed. */
int stage_content_add(struct stage_content *content, uint64_t off, uint64_t end)
    __attribute__((nonnull, warn_unused_result));

void stage_content_resize(struct stage_content *content, uint64_t size) __attribute__((nonnull));

/* See stage_find. */
bool stage_content_find(const struct stage_content *content, uint64_t off,
                        struct stage_segment *out) __attribute__((nonnull));

/* The payload of a record, malloc'ed: of all there is, or of what changed. Returns 0 or -ENOMEM. */
int stage_content_encode(const struct stage_content *content, bool is_all, void **out,
                         uint32_t *ret_len) __attribute__((nonnull, warn_unused_result));

/* A record with what changed is on its way: what changes from now on is for the next one. */
void stage_content_saved(struct stage_content *content) __attribute__((nonnull));

/* It did not arrive: the next one says everything. */
void stage_content_unsaved(struct stage_content *content) __attribute__((nonnull));

/* Change the content as a record says. Returns 0, -EPROTO, -ENOMEM. */
int stage_content_decode(struct stage_content *content, const void *bytes, size_t len)
    __attribute__((nonnull(1), warn_unused_result));

/* Bytes of a payload that says everything. */
size_t stage_content_cost(const struct stage_content *content) __attribute__((nonnull));

/* The purpose, as the first record of a journal has it. */
#define STAGE_PURPOSE_LEN (24 + STAGE_TARGET_MAX)

/* Returns 0, -EINVAL (the target has no end), -EFBIG. */
int stage_purpose_encode(const struct stage_purpose *purpose, unsigned char *out, uint32_t *ret_len)
    __attribute__((nonnull, warn_unused_result));

/* Returns 0 or -EPROTO. */
int stage_purpose_decode(struct stage_purpose *purpose, const void *bytes, size_t len)
    __attribute__((nonnull(1), warn_unused_result));

#endif
