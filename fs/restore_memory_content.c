/* What the memory will be. See restore_memory_impl.h.
 *
 * Up to the stage's size it is the stage's content, where BASE means the memory as it is; behind
 * that it is zeros, up to the next whole page or, when the rest is to be zeroed, to its present
 * size. */
#include "fs/restore_memory_impl.h"
#include "ic/wait.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

size_t memory_piece_len(const struct memory_commit *commit, uint64_t piece)
{
    uint64_t left = commit->size - piece * MEMORY_PIECE;
    return left < MEMORY_PIECE ? (size_t)left : MEMORY_PIECE;
}

/* --- the memory as it is --- */

static struct ic_io query_io(const struct memory_commit *commit, const atomic_bool *stop)
{
    struct ic_io io =
        fs_target_io(commit->owner->target, commit->owner->target->options->timeout_ns);
    io.cancel = stop;
    return io;
}

/* A reply of another version: of a node that lags behind, or is the memory another one? */
static int judge_stale(struct memory_commit *commit, const struct ic_io *io, struct ic_error *err)
{
    const struct fs_memory *memory = &commit->owner->memory;
    struct fs_memory_state now = {0};
    if (!commit->is_versioned)
        return ic_fail(err, IC_E_CHANGED, "the memory became shorter while it was read");
    int result = fs_memory_stat(memory, commit->owner->target, 0, io, &now, err);
    if (result < 0)
        return result;
    if (now.version == commit->present.version)
        return ic_fail(err, IC_E_OVERLOADED, "a node that lags behind answered");
    return ic_fail(err, IC_E_CHANGED, "the memory is at version %llu now, it was at %llu",
                   (unsigned long long)now.version, (unsigned long long)commit->present.version);
}

static int read_some(struct memory_commit *commit, uint64_t off, uint8_t *buf, size_t len,
                     const struct ic_io *io, size_t *ret_len, struct ic_error *err)
{
    const struct iovec iov = {buf, len};
    const struct fs_memory_dest dest = {&iov, 1, 0};
    struct fs_memory_got got = {0};
    struct fs_limit_call call;
    int result = fs_limit_begin(&commit->read_limit, len, io, &call);
    if (result < 0)
        return ic_wait_fail(err, result, "reading the memory");
    result = fs_memory_read(&commit->owner->memory, commit->owner->target, commit->present.version,
                            off, call.len, &dest, io, &got, err);
    bool is_too_much = result < 0 && result != -ESTALE && ic_error_is_limit(err);
    size_t next = fs_limit_end(&commit->read_limit, &call,
                               result == 0   ? FS_LIMIT_GOOD
                               : is_too_much ? FS_LIMIT_TOO_MUCH
                                             : FS_LIMIT_UNKNOWN);
    atomic_fetch_add(&commit->n_read_queries, 1);
    if (is_too_much && next > 0) { /* nothing came, and less may work */
        *ret_len = 0;
        return 0;
    }
    if (result == -ESTALE)
        return judge_stale(commit, io, err);
    *ret_len = got.len;
    return result;
}

int memory_base_read(struct memory_commit *commit, uint64_t off, uint8_t *buf, size_t len,
                     const atomic_bool *stop, struct ic_error *err)
{
    const struct ic_io io = query_io(commit, stop);
    uint64_t end = commit->present.size;
    size_t there = off >= end ? 0 : end - off < len ? (size_t)(end - off) : len;
    memset(buf + there, 0, len - there);
    for (size_t pos = 0, got = 0; pos < there; pos += got) {
        int result = ic_wait_check(&io);
        if (result < 0)
            return ic_wait_fail(err, result, "reading the memory");
        result = read_some(commit, off + pos, buf + pos, there - pos, &io, &got, err);
        if (result < 0)
            return result;
    }
    return 0;
}

/* --- the content --- */

static int fail_disk(int result, struct ic_error *err)
{
    ic_fail(err, IC_E_REJECTED, "reading what is staged: %s", strerror(-result));
    return result;
}

/* The segment at off, cut to len; what lies behind the stage's end is zeros. */
static struct stage_segment segment_at(struct memory_commit *commit, uint64_t off, uint64_t len)
{
    struct stage_segment segment;
    if (!stage_find(commit->stage, off, &segment))
        segment = (struct stage_segment){STAGE_ZERO, off, len};
    if (segment.len > len)
        segment.len = len;
    return segment;
}

int memory_content_read(struct memory_commit *commit, uint64_t off, uint8_t *buf, size_t len,
                        const atomic_bool *stop, struct ic_error *err)
{
    static const struct source_io local = {.deadline_ns = INT64_MAX};
    for (size_t pos = 0; pos < len;) {
        struct stage_segment segment = segment_at(commit, off + pos, len - pos);
        size_t n = (size_t)segment.len;
        int result = 0;
        if (segment.kind == STAGE_BASE) {
            result = memory_base_read(commit, off + pos, buf + pos, n, stop, err);
        } else if (segment.kind == STAGE_ZERO) {
            memset(buf + pos, 0, n);
        } else {
            result = stage_read(commit->stage, NULL, 0, off + pos, buf + pos, n, &local);
            if (result < 0)
                fail_disk(result, err);
        }
        if (result < 0)
            return result;
        pos += n;
    }
    return 0;
}

uint64_t memory_content_based(struct memory_commit *commit, uint64_t off, uint64_t len)
{
    uint64_t based = 0;
    for (uint64_t pos = 0; pos < len;) {
        struct stage_segment segment = segment_at(commit, off + pos, len - pos);
        based += segment.kind == STAGE_BASE ? segment.len : 0;
        pos += segment.len;
    }
    return based;
}

bool memory_content_is_hole(struct memory_commit *commit, uint64_t off, uint64_t len)
{
    uint64_t pos = 0;
    while (pos < len) {
        struct stage_segment segment = segment_at(commit, off + pos, len - pos);
        if (segment.kind != STAGE_ZERO)
            return false;
        pos += segment.len;
    }
    return true;
}

/* --- the survey --- */

struct survey {
    struct memory_commit *commit;
    uint64_t next;
    uint8_t zeros[IC_SHA256_LEN]; /* the hash of a whole piece of zeros: files may be sparse */
};

static enum fs_crew_take survey_take(void *arg, struct fs_crew_task *out)
{
    struct survey *survey = arg;
    if (survey->next == survey->commit->n_pieces)
        return FS_CREW_NONE;
    *out = (struct fs_crew_task){.first = survey->next++, .n = 1};
    return FS_CREW_TASK;
}

/* The stage's part of a piece: its bytes, with zeros for the base's, and where those are. */
static int survey_piece(struct memory_commit *commit, uint64_t piece, uint8_t *buffer,
                        struct ic_buf *layout, struct ic_error *err)
{
    static const struct source_io local = {.deadline_ns = INT64_MAX};
    uint64_t off = piece * MEMORY_PIECE;
    size_t len = memory_piece_len(commit, piece);
    for (size_t pos = 0; pos < len;) {
        struct stage_segment segment = segment_at(commit, off + pos, len - pos);
        size_t n = (size_t)segment.len;
        int result = 0;
        if (segment.kind == STAGE_STAGED)
            result = stage_read(commit->stage, NULL, 0, off + pos, buffer + pos, n, &local);
        else
            memset(buffer + pos, 0, n);
        if (result < 0)
            return fail_disk(result, err);
        if (segment.kind == STAGE_BASE) {
            memory_note_put(layout, pos);
            memory_note_put(layout, n);
        }
        pos += n;
    }
    return 0;
}

static int survey_work(void *arg, const struct fs_crew_task *task, uint8_t *buffer,
                       const atomic_bool *stop, struct ic_error *err)
{
    (void)stop;
    const struct survey *survey = arg;
    struct memory_commit *commit = survey->commit;
    uint64_t piece = task->first;
    struct ic_buf bytes = {0};
    if (memory_piece_len(commit, piece) == MEMORY_PIECE &&
        memory_content_is_hole(commit, piece * MEMORY_PIECE, MEMORY_PIECE)) {
        memcpy(commit->hashes[piece], survey->zeros, IC_SHA256_LEN);
        return 0;
    }
    int result = survey_piece(commit, piece, buffer, &bytes, err);
    if (result == 0 && bytes.len > 0) { /* the layout goes first: it does not look like content */
        ic_buf_append(&bytes, buffer, memory_piece_len(commit, piece));
        result = ic_buf_status(&bytes);
        if (result == 0)
            result = ic_sha256(bytes.bytes, bytes.len, commit->hashes[piece]);
    } else if (result == 0) {
        result = ic_sha256(buffer, memory_piece_len(commit, piece), commit->hashes[piece]);
    }
    ic_buf_fini(&bytes);
    return result == -ENOMEM ? ic_fail(err, IC_E_NO_MEMORY, "out of memory") : result;
}

int memory_content_hash(const struct memory_commit *commit, uint8_t out[IC_SHA256_LEN],
                        struct ic_error *err)
{
    if (ic_sha256(commit->hashes, (size_t)commit->n_pieces * IC_SHA256_LEN, out) < 0)
        return ic_fail(err, IC_E_NO_MEMORY, "out of memory");
    return 0;
}

/* The number of processors is of no concern: it is the disk that takes long. */
#define SURVEY_THREADS 4

int memory_content_survey(struct memory_commit *commit, struct ic_error *err)
{
    struct survey survey = {.commit = commit};
    struct fs_crew crew = fs_crew_of(commit, SURVEY_THREADS);
    crew.buffer_size = MEMORY_PIECE;
    crew.take = survey_take;
    crew.work = survey_work;
    crew.arg = &survey;
    uint8_t *piece = calloc(1, MEMORY_PIECE);
    int result = piece ? ic_sha256(piece, MEMORY_PIECE, survey.zeros) : -ENOMEM;
    free(piece);
    if (result < 0)
        return ic_fail(err, IC_E_NO_MEMORY, "out of memory");
    result = fs_crew_run(&crew, err);
    return result < 0 ? result : memory_content_hash(commit, commit->digest, err);
}

/* --- notes --- */

void memory_note_put(struct ic_buf *buf, uint64_t number)
{
    uint64_t le = htole64(number);
    ic_buf_append(buf, &le, sizeof(le));
}

bool memory_note_get(struct ic_cursor *cursor, uint64_t *out)
{
    struct ic_view view;
    uint64_t le;
    if (!ic_cursor_take(cursor, sizeof(le), &view))
        return false;
    memcpy(&le, view.bytes, sizeof(le));
    *out = le64toh(le);
    return true;
}
