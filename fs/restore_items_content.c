/* What is to be restored, read and checked: see restore_items_impl.h. */
#include "fs/restore_items_impl.h"
#include "fs/restore_partner.h"
#include "ic/candid_relation.h"
#include "ic/wait.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A local disk is slow, or broken. */
#define READ_NS (INT64_C(60) * 1000000000)

static int refuse(struct ic_error *err, const char *words)
{
    return ic_fail(err, IC_E_CONFIG, "%s", words);
}

/* --- reading --- */

static int read_stage(struct items_content *content, const struct fs_restore_run *run,
                      struct ic_error *err)
{
    uint64_t size = stage_size(run->stage);
    if (size > FS_RESTORE_FILE_MAX)
        return ic_fail(err, IC_E_TOO_LARGE, "it is longer than %zu bytes", FS_RESTORE_FILE_MAX);
    if (size == 0)
        return refuse(err, "it is empty");
    if (!stage_is_complete(run->stage))
        return refuse(err, "only a part of it was written: a file is restored whole");
    content->file_len = content->len = (size_t)size;
    content->bytes = malloc(content->len);
    if (!content->bytes)
        return ic_fail(err, IC_E_NO_MEMORY, "out of memory");
    const struct source_io io = {.deadline_ns = ic_wait_now_ns() + READ_NS, .cancel = run->cancel};
    int result = stage_read(run->stage, NULL, 0, 0, content->bytes, content->len, &io);
    if (result < 0) {
        ic_fail(err, IC_E_CONFIG, "it cannot be read from the staging directory: %s",
                strerror(-result));
        return result;
    }
    return ic_sha256(content->bytes, content->len, content->hash) < 0
               ? ic_fail(err, IC_E_NO_MEMORY, "out of memory")
               : 0;
}

/* Bytes become the message that they were the only field of. */
static int wrap_bytes(struct items_content *content, const struct fs_collection *collection,
                      struct ic_error *err)
{
    const struct ic_type_field field = {collection->items, &ic_type_blob};
    const struct ic_type type = {.kind = IC_TYPE_RECORD, .as.fields = {&field, 1}};
    const struct ic_value blob = ic_blob(content->bytes, content->len);
    const struct ic_value record = {.type = &type, .as.seq = {&blob, 1}};
    struct ic_buf message = {0};
    int result = ic_candid_encode(&record, 1, &message, err);
    if (result < 0) {
        ic_buf_fini(&message);
        return result;
    }
    free(content->bytes);
    content->bytes = message.bytes;
    content->len = message.len;
    return 0;
}

/* --- checking --- */

static int relates(const struct ic_type *a, const struct ic_type *b, enum ic_type_relation relation,
                   const char *words, struct ic_error *err)
{
    bool holds = false;
    int result = ic_type_relates(a, b, relation, &holds, err);
    if (result == -ENOMEM || (result == 0 && holds))
        return result;
    return refuse(err, words);
}

/* What is in the opts is compared: of an opt itself any type is a subtype. */
static int check_types(const struct items_content *content, const struct fs_collection *collection,
                       struct ic_error *err)
{
    char words[256];
    snprintf(words, sizeof(words), "its type is not what %s gives", collection->method);
    const struct ic_type *given = collection->results[0];
    while (given->kind == IC_TYPE_OPT) /* they end: the collection has a restore partner */
        given = given->as.elem;
    int result = collection->is_bytes ? 0
                                      : relates(ic_pieces_content_type(content->pieces), given,
                                                IC_TYPE_SUBTYPE, words, err);
    snprintf(words, sizeof(words), "%s would not take all that is in it: its type has changed",
             collection->restore.method);
    return result < 0 ? result
                      : relates(ic_pieces_type(content->pieces), collection->restore.arg,
                                IC_TYPE_LOSSLESS, words, err);
}

static int open_pieces(struct items_content *content, const struct fs_collection *collection,
                       struct ic_error *err)
{
    const struct ic_piece_form form = fs_restore_partner_form(&collection->restore);
    uint32_t latest[FS_LATEST_MAX + 1];
    const struct ic_chunk_rule rule = {.latest = latest,
                                       .n_latest = fs_collection_latest(collection, latest)};
    int result =
        ic_pieces_open(&content->pieces, content->bytes, content->len, &form, &rule, NULL, err);
    if (result == -EPROTO || result == -ENOENT || result == -EINVAL) {
        struct ic_error cause = *err;
        return ic_fail(err, IC_E_CONFIG, "it is not what %s gives: %.300s", collection->method,
                       cause.message);
    }
    if (result < 0)
        return result;
    content->count = ic_pieces_count(content->pieces);
    return check_types(content, collection, err);
}

static int fail_large(const struct fs_restore_items *items, uint64_t at, size_t len,
                      struct ic_error *err)
{
    if (items->config.collection->restore.can_split)
        return ic_fail(err, IC_E_TOO_LARGE,
                       "item %llu alone makes a call of %zu bytes, and one can carry %zu",
                       (unsigned long long)at, len, FS_RESTORE_CALL_MAX);
    return ic_fail(err, IC_E_TOO_LARGE,
                   "it makes a call of %zu bytes, one can carry %zu, and it is not given in "
                   "pieces: %s may replace what it gave before (a map can say that it does not: "
                   "split = yes)",
                   len, FS_RESTORE_CALL_MAX, items->config.collection->restore.method);
}

/* No item is larger than a call can be. */
static int check_sizes(const struct items_content *content, const struct fs_restore_items *items,
                       struct ic_error *err)
{
    uint64_t at = 0, n;
    do {
        struct ic_buf piece = {0};
        int result =
            ic_pieces_write(content->pieces, at, UINT64_MAX, FS_RESTORE_CALL_MAX, &piece, &n, err);
        size_t len = piece.len;
        ic_buf_fini(&piece);
        if (result < 0)
            return result;
        if (len > FS_RESTORE_CALL_MAX)
            return fail_large(items, at, len, err);
        at += n;
    } while (at < content->count);
    return 0;
}

int items_content_open(struct items_content *content, const struct fs_restore_items *items,
                       const struct fs_restore_run *run, struct ic_error *err)
{
    *content = (struct items_content){0};
    int result = read_stage(content, run, err);
    if (result == 0 && items->config.collection->is_bytes)
        result = wrap_bytes(content, items->config.collection, err);
    if (result == 0)
        result = open_pieces(content, items->config.collection, err);
    return result < 0 ? result : check_sizes(content, items, err);
}

void items_content_close(struct items_content *content)
{
    ic_pieces_close(content->pieces);
    free(content->bytes);
}
