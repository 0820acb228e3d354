/* The bytes, there and back: see snapshot_upload.h. */
#include "fs/restore_memory_crew.h"
#include "fs/snapshot_upload_impl.h"
#include "ic/snapshot_upload.h"
#include "ic/wait.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define N_INFLIGHT  50
#define CALL_NS     (INT64_C(120) * 1000000000)
#define PATIENCE_NS (INT64_C(300) * 1000000000) /* a busy subnet takes no bytes for minutes */
#define SAY_NS      IC_NS_PER_SEC
#define NOTE_NS     (2 * IC_NS_PER_SEC)

/* Pieces that many do at once. */
struct carry {
    struct snapshot_session *session;
    const char *verb;
    uint64_t next; /* of the thread that takes tasks, one at a time */
    int64_t started_ns;
    bool is_noted; /* how far it is */

    pthread_mutex_t lock;
    uint64_t under_way[MEMORY_CREW_MAX]; /* guarded by lock, as all that follows */
    size_t n_under_way;
    uint64_t n_bytes; /* that are done */
    uint64_t n_total;
    int64_t said_ns;
    int64_t noted_ns;
};

static enum memory_take take(void *arg, struct memory_task *out)
{
    struct carry *carry = arg;
    uint64_t number;
    if (!fs_snapshot_plan_next(&carry->session->plan, carry->next, &number))
        return MEMORY_TAKE_NONE;
    *out = (struct memory_task){.first = number, .n = 1};
    pthread_mutex_lock(&carry->lock);
    carry->under_way[carry->n_under_way++] = number;
    carry->next = number + 1;
    pthread_mutex_unlock(&carry->lock);
    return MEMORY_TAKE_TASK;
}

/* All below it is done. */
static uint64_t frontier_locked(const struct carry *carry)
{
    uint64_t frontier = carry->next;
    for (size_t i = 0; i < carry->n_under_way; i++)
        if (carry->under_way[i] < frontier)
            frontier = carry->under_way[i];
    return frontier;
}

static void say_locked(struct carry *carry, int64_t now_ns)
{
    double spent = (double)(now_ns - carry->started_ns) / 1e9;
    uint64_t left = carry->n_total - carry->n_bytes;
    carry->said_ns = now_ns;
    if (carry->n_bytes == 0) {
        fs_job_say(carry->session->job, "%s: 0 of %" PRIu64 " bytes", carry->verb, carry->n_total);
        return;
    }
    double seconds = spent * (double)left / (double)carry->n_bytes;
    fs_job_say(carry->session->job, "%s: %" PRIu64 " of %" PRIu64 " bytes, about %.0f s left",
               carry->verb, carry->n_bytes, carry->n_total, seconds);
}

/* A note that cannot be written costs work after a crash, not more. */
static void note_done(struct carry *carry, const struct memory_task *task, size_t len)
{
    struct ic_error ignored;
    int64_t now_ns = ic_wait_now_ns();
    pthread_mutex_lock(&carry->lock);
    for (size_t i = 0; i < carry->n_under_way; i++)
        if (carry->under_way[i] == task->first) {
            carry->under_way[i] = carry->under_way[--carry->n_under_way];
            break;
        }
    carry->n_bytes += len;
    if (now_ns - carry->said_ns >= SAY_NS)
        say_locked(carry, now_ns);
    if (carry->is_noted && now_ns - carry->noted_ns >= NOTE_NS) {
        carry->noted_ns = now_ns;
        carry->session->note.n_sent = frontier_locked(carry);
        (void)snapshot_session_note(carry->session, &ignored);
    }
    pthread_mutex_unlock(&carry->lock);
}

/* In pieces before one. */
static uint64_t bytes_before(const struct fs_snapshot_plan *plan, uint64_t end)
{
    uint64_t n = 0;
    uint64_t number = 0;
    for (; fs_snapshot_plan_next(plan, number, &number) && number < end; number++)
        n += fs_snapshot_plan_piece(plan, number).len;
    return n;
}

static struct ic_io io_of(const atomic_bool *stop)
{
    return (struct ic_io){.deadline_ns = ic_wait_now_ns() + CALL_NS, .cancel = stop};
}

static int send_piece(void *arg, const struct memory_task *task, uint8_t *buffer,
                      const atomic_bool *stop, struct ic_error *err)
{
    struct carry *carry = arg;
    const struct snapshot_session *session = carry->session;
    const struct fs_target *target = session->upload->config.target;
    const struct fs_snapshot_piece piece = fs_snapshot_plan_piece(&session->plan, task->first);
    const struct ic_view bytes = ic_view(buffer, piece.len);
    const struct ic_io io = io_of(stop);
    int result = fs_snapshot_plan_read(&session->plan, &piece, buffer, err);
    if (result == 0 && piece.file < FS_SNAPSHOT_N_BLOBS)
        result = ic_snapshot_write(target->agent, &target->canister, &session->note.id,
                                   (enum ic_snapshot_blob)piece.file, piece.off, bytes, &io, err);
    else if (result == 0)
        result = ic_snapshot_write_chunk(target->agent, &target->canister, &session->note.id, bytes,
                                         &io, err);
    if (result == 0)
        note_done(carry, task, piece.len);
    return result;
}

static int read_piece(const struct snapshot_session *session, const struct fs_snapshot_piece *piece,
                      const struct ic_io *io, struct ic_snapshot_data *out, struct ic_error *err)
{
    const struct fs_target *target = session->upload->config.target;
    if (piece->file < FS_SNAPSHOT_N_BLOBS)
        return ic_snapshot_read(target->agent, &target->canister, &session->note.id,
                                (enum ic_snapshot_blob)piece->file, piece->off, piece->len, io, out,
                                err);
    const uint8_t *hash = session->plan.metadata.chunks[piece->file - FS_SNAPSHOT_N_BLOBS];
    return ic_snapshot_read_chunk(target->agent, &target->canister, &session->note.id, hash, io,
                                  out, err);
}

static int compare_piece(void *arg, const struct memory_task *task, uint8_t *buffer,
                         const atomic_bool *stop, struct ic_error *err)
{
    struct carry *carry = arg;
    const struct snapshot_session *session = carry->session;
    const struct fs_snapshot_piece piece = fs_snapshot_plan_piece(&session->plan, task->first);
    const struct ic_io io = io_of(stop);
    struct ic_snapshot_data data = {0};
    int result = read_piece(session, &piece, &io, &data, err);
    if (result < 0)
        return result;
    result = fs_snapshot_plan_read(&session->plan, &piece, buffer, err);
    if (result == 0 && !ic_view_equal(data.bytes, ic_view(buffer, piece.len)))
        result = ic_fail(err, IC_E_REJECTED,
                         "the snapshot is not what was sent: file %zu differs from %" PRIu64 " on",
                         piece.file, piece.off);
    ic_snapshot_data_fini(&data);
    if (result == 0)
        note_done(carry, task, piece.len);
    return result;
}

/* from  the first piece to do */
static int carry_all(struct snapshot_session *session, const char *verb, uint64_t from,
                     bool is_noted,
                     int (*work)(void *arg, const struct memory_task *task, uint8_t *buffer,
                                 const atomic_bool *stop, struct ic_error *err),
                     struct ic_error *err)
{
    const struct ic_io io = fs_job_io(session->job, 0);
    struct carry carry = {
        .session = session,
        .verb = verb,
        .next = from,
        .started_ns = ic_wait_now_ns(),
        .is_noted = is_noted,
        .n_total = session->plan.n_bytes - bytes_before(&session->plan, from),
    };
    const struct memory_crew crew = {
        .target = session->upload->config.target,
        .cancel = io.cancel,
        .patience_ns = PATIENCE_NS,
        .n_threads = N_INFLIGHT,
        .buffer_size = IC_SNAPSHOT_SLICE_MAX,
        .take = take,
        .work = work,
        .arg = &carry,
    };
    pthread_mutex_init(&carry.lock, NULL);
    say_locked(&carry, carry.started_ns);
    int result = memory_crew_run(&crew, err);
    if (is_noted) {
        struct ic_error ignored;
        session->note.n_sent = frontier_locked(&carry);
        (void)snapshot_session_note(session, &ignored);
    }
    pthread_mutex_destroy(&carry.lock);
    return result;
}

int snapshot_session_send(struct snapshot_session *session, struct ic_error *err)
{
    return carry_all(session, "sending", session->note.n_sent, true, send_piece, err);
}

/* --- the metadata --- */

static bool has_chunk(const struct ic_snapshot_metadata *m, const uint8_t hash[IC_SHA256_LEN])
{
    for (size_t i = 0; i < m->n_chunks; i++)
        if (memcmp(m->chunks[i], hash, IC_SHA256_LEN) == 0)
            return true;
    return false;
}

static bool is_same_global(const struct ic_global *a, const struct ic_global *b)
{
    return a->kind == b->kind && a->low == b->low && a->high == b->high;
}

/* What is not given the network may fill in. */
static bool is_same(const struct ic_snapshot_metadata *sent, const struct ic_snapshot_metadata *m)
{
    bool same = sent->wasm_module_size == m->wasm_module_size &&
                sent->wasm_memory_size == m->wasm_memory_size &&
                sent->stable_memory_size == m->stable_memory_size &&
                sent->n_globals == m->n_globals && sent->n_chunks == m->n_chunks &&
                ic_view_equal(sent->certified_data, m->certified_data) &&
                (sent->timer == IC_TIMER_UNKNOWN ||
                 (sent->timer == m->timer && sent->timer_ns == m->timer_ns)) &&
                (sent->hook == IC_HOOK_UNKNOWN || sent->hook == m->hook);
    for (size_t i = 0; same && i < sent->n_globals; i++)
        same = is_same_global(&sent->globals[i], &m->globals[i]);
    for (size_t i = 0; same && i < sent->n_chunks; i++)
        same = has_chunk(m, sent->chunks[i]);
    return same;
}

static int compare_metadata(struct snapshot_session *session, struct ic_error *err)
{
    const struct fs_target *target = session->upload->config.target;
    const struct ic_io io = fs_job_io(session->job, (uint64_t)CALL_NS);
    struct ic_snapshot_metadata m = {0};
    int result =
        ic_snapshot_metadata(target->agent, &target->canister, &session->note.id, &io, &m, err);
    if (result < 0)
        return result;
    if (!is_same(&session->plan.metadata, &m))
        result = ic_fail(err, IC_E_REJECTED, "the snapshot has other metadata than what was sent");
    ic_snapshot_metadata_fini(&m);
    return result;
}

int snapshot_session_verify(struct snapshot_session *session, struct ic_error *err)
{
    int result = compare_metadata(session, err);
    if (result == 0)
        result = carry_all(session, "reading back", 0, false, compare_piece, err);
    if (result < 0 && err->code == IC_E_REJECTED && err->reject_code == 0) {
        /* What differs is not there: the next run sends all of it. */
        struct ic_error ignored;
        session->note.n_sent = 0;
        (void)snapshot_session_note(session, &ignored);
    }
    return result;
}
