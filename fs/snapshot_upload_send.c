/* The bytes, there and back: see snapshot_upload.h. */
#include "fs/crew.h"
#include "fs/snapshot_upload_impl.h"
#include "ic/snapshot_upload.h"
#include "ic/wait.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define N_SENDING   64  /* pieces at once */
#define N_THREADS   128 /* the others read back what is there */
#define COMPARE_LEN ((size_t)32 << 10)
#define CALL_NS     (INT64_C(120) * 1000000000)
#define PATIENCE_NS (INT64_C(300) * 1000000000) /* a busy subnet takes no bytes for minutes */
#define SAY_NS      IC_NS_PER_SEC
#define NOTE_NS     (2 * IC_NS_PER_SEC)

/* Once through all pieces, in order, many at once. */
struct pass {
    uint64_t next;
    uint64_t under_way[N_THREADS];
    size_t n_under_way;
    uint64_t n_bytes; /* that are done */
    uint64_t n_total;
};

/* Sending goes ahead, reading back follows behind what is sent, and both share the time that a call
 * takes and what the network carries in each direction. What compares the metadata comes when all
 * is sent: chunks of the store become part of them one by one. */
struct carry {
    struct snapshot_session *session;
    int64_t started_ns;

    pthread_mutex_t lock;
    struct pass sends; /* guarded by lock, as all that follows */
    struct pass reads;
    bool asked_metadata;
    int64_t said_ns;
    int64_t noted_ns;
};

/* All below it is done. */
static uint64_t frontier_of(const struct pass *pass)
{
    uint64_t frontier = pass->next;
    for (size_t i = 0; i < pass->n_under_way; i++)
        if (pass->under_way[i] < frontier)
            frontier = pass->under_way[i];
    return frontier;
}

static void begin_piece(struct pass *pass, uint64_t number)
{
    pass->under_way[pass->n_under_way++] = number;
    pass->next = number + 1;
}

static void end_piece(struct pass *pass, uint64_t number, size_t len)
{
    for (size_t i = 0; i < pass->n_under_way; i++)
        if (pass->under_way[i] == number) {
            pass->under_way[i] = pass->under_way[--pass->n_under_way];
            break;
        }
    pass->n_bytes += len;
}

/* --- tasks: a send weighs something, a read does not; the one past all pieces is the metadata ---
 */

static enum fs_crew_take take_locked(struct carry *carry, struct fs_crew_task *out)
{
    const struct fs_snapshot_plan *plan = &carry->session->plan;
    uint64_t number;
    /* What waits for its turn to be sent would grow old. */
    unsigned limit = ic_agent_large_limit(carry->session->upload->config.target->agent, true);
    if (carry->sends.n_under_way + carry->reads.n_under_way >= limit)
        return FS_CREW_LATER;
    bool has_more = fs_snapshot_plan_next(plan, carry->sends.next, &number);
    if (has_more && carry->sends.n_under_way < N_SENDING) {
        begin_piece(&carry->sends, number);
        *out = (struct fs_crew_task){.first = number, .n = 1, .weight = 1};
        return FS_CREW_TASK;
    }
    bool all_sent = !has_more && carry->sends.n_under_way == 0;
    uint64_t frontier = all_sent ? plan->n_pieces : frontier_of(&carry->sends);
    if (all_sent && !carry->asked_metadata) {
        carry->asked_metadata = true;
        *out = (struct fs_crew_task){.first = plan->n_pieces, .n = 1};
        return FS_CREW_TASK;
    }
    if (fs_snapshot_plan_next(plan, carry->reads.next, &number) && number < frontier) {
        begin_piece(&carry->reads, number);
        *out = (struct fs_crew_task){.first = number, .n = 1};
        return FS_CREW_TASK;
    }
    return all_sent ? FS_CREW_NONE : FS_CREW_LATER;
}

static enum fs_crew_take take(void *arg, struct fs_crew_task *out)
{
    struct carry *carry = arg;
    pthread_mutex_lock(&carry->lock);
    enum fs_crew_take taken = take_locked(carry, out);
    pthread_mutex_unlock(&carry->lock);
    return taken;
}

static void say_locked(struct carry *carry, int64_t now_ns)
{
    double spent = (double)(now_ns - carry->started_ns) / 1e9;
    uint64_t n_done = carry->sends.n_bytes + carry->reads.n_bytes;
    uint64_t n_total = carry->sends.n_total + carry->reads.n_total;
    char left[48] = "";
    carry->said_ns = now_ns;
    if (n_done > 0)
        snprintf(left, sizeof(left), ", about %.0f s left",
                 spent * (double)(n_total - n_done) / (double)n_done);
    fs_job_say(carry->session->job,
               "%" PRIu64 " of %" PRIu64 " bytes sent, %" PRIu64 " of %" PRIu64 " read back%s",
               carry->sends.n_bytes, carry->sends.n_total, carry->reads.n_bytes,
               carry->reads.n_total, left);
}

/* A note that cannot be written costs work after a crash, not more. */
static void note_sent(struct carry *carry, uint64_t n_sent)
{
    struct ic_error ignored;
    carry->session->note.n_sent = n_sent;
    (void)snapshot_session_note(carry->session, &ignored);
}

static void note_done(struct carry *carry, const struct fs_crew_task *task, size_t len)
{
    int64_t now_ns = ic_wait_now_ns();
    pthread_mutex_lock(&carry->lock);
    end_piece(task->weight > 0 ? &carry->sends : &carry->reads, task->first, len);
    if (now_ns - carry->said_ns >= SAY_NS)
        say_locked(carry, now_ns);
    if (task->weight > 0 && now_ns - carry->noted_ns >= NOTE_NS) {
        carry->noted_ns = now_ns;
        note_sent(carry, frontier_of(&carry->sends));
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

/* --- sending --- */

static int send_bytes(const struct snapshot_session *session, const struct fs_snapshot_piece *piece,
                      struct ic_view bytes, const struct ic_io *io, struct ic_error *err)
{
    const struct fs_target *target = session->upload->config.target;
    if (piece->file < FS_SNAPSHOT_N_BLOBS)
        return ic_snapshot_write(target->agent, &target->canister, &session->note.id,
                                 (enum ic_snapshot_blob)piece->file, piece->off, bytes, io, err);
    return ic_snapshot_write_chunk(target->agent, &target->canister, &session->note.id, bytes, io,
                                   err);
}

static int send_piece(struct carry *carry, const struct fs_crew_task *task, const atomic_bool *stop,
                      struct ic_error *err)
{
    const struct snapshot_session *session = carry->session;
    const struct fs_snapshot_piece piece = fs_snapshot_plan_piece(&session->plan, task->first);
    const struct ic_io io = io_of(stop);
    uint8_t *buffer = malloc(piece.len + 1);
    if (!buffer)
        return ic_fail(err, IC_E_NO_MEMORY, "out of memory");
    int result = fs_snapshot_plan_read(&session->plan, &piece, 0, buffer, piece.len, err);
    if (result == 0)
        result = send_bytes(session, &piece, ic_view(buffer, piece.len), &io, err);
    free(buffer);
    if (result == 0)
        note_done(carry, task, piece.len);
    return result;
}

/* --- reading back --- */

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

/* Against the disk, a little at a time: many do it at once. */
static int compare_bytes(const struct fs_snapshot_plan *plan, const struct fs_snapshot_piece *piece,
                         struct ic_view bytes, struct ic_error *err)
{
    uint8_t buffer[COMPARE_LEN];
    bool is_same = bytes.len == piece->len;
    int result = 0;
    for (size_t pos = 0; is_same && result == 0 && pos < piece->len; pos += sizeof(buffer)) {
        size_t len = piece->len - pos < sizeof(buffer) ? piece->len - pos : sizeof(buffer);
        result = fs_snapshot_plan_read(plan, piece, pos, buffer, len, err);
        is_same = result == 0 && memcmp(buffer, bytes.bytes + pos, len) == 0;
    }
    if (result == 0 && !is_same)
        result = ic_fail(err, IC_E_REJECTED,
                         "the snapshot is not what was sent: %s differs from %" PRIu64 " on",
                         fs_snapshot_plan_name(piece), piece->off);
    return result;
}

static int compare_piece(struct carry *carry, const struct fs_crew_task *task,
                         const atomic_bool *stop, struct ic_error *err)
{
    const struct snapshot_session *session = carry->session;
    const struct fs_snapshot_piece piece = fs_snapshot_plan_piece(&session->plan, task->first);
    struct ic_io io = io_of(stop);
    struct ic_snapshot_data data = {0};
    io.is_large = piece.len >= IC_IO_LARGE;
    int result = read_piece(session, &piece, &io, &data, err);
    if (result < 0)
        return result;
    result = compare_bytes(&session->plan, &piece, data.bytes, err);
    ic_snapshot_data_fini(&data);
    if (result == 0)
        note_done(carry, task, piece.len);
    return result;
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

static int compare_metadata(const struct snapshot_session *session, const atomic_bool *stop,
                            struct ic_error *err)
{
    const struct fs_target *target = session->upload->config.target;
    const struct ic_io io = io_of(stop);
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

/* --- both --- */

static int work(void *arg, const struct fs_crew_task *task, uint8_t *buffer,
                const atomic_bool *stop, struct ic_error *err)
{
    struct carry *carry = arg;
    (void)buffer;
    if (task->weight > 0)
        return send_piece(carry, task, stop, err);
    if (task->first == carry->session->plan.n_pieces)
        return compare_metadata(carry->session, stop, err);
    return compare_piece(carry, task, stop, err);
}

int snapshot_session_carry(struct snapshot_session *session, struct ic_error *err)
{
    const struct ic_io io = fs_job_io(session->job, 0);
    const struct fs_snapshot_plan *plan = &session->plan;
    const uint64_t n_sent = session->note.n_sent;
    struct carry carry = {
        .session = session,
        .started_ns = ic_wait_now_ns(),
        .sends = {.next = n_sent, .n_total = plan->n_bytes - bytes_before(plan, n_sent)},
        .reads = {.n_total = plan->n_bytes},
    };
    const struct fs_crew crew = {
        .target = session->upload->config.target,
        .cancel = io.cancel,
        .patience_ns = PATIENCE_NS,
        .n_threads = N_THREADS,
        .take = take,
        .work = work,
        .arg = &carry,
    };
    pthread_mutex_init(&carry.lock, NULL);
    say_locked(&carry, carry.started_ns);
    int result = fs_crew_run(&crew, err);
    /* What differs is not there: the next run sends all of it. */
    bool differs = result < 0 && err->code == IC_E_REJECTED && err->reject_code == 0;
    note_sent(&carry, differs ? 0 : frontier_of(&carry.sends));
    pthread_mutex_destroy(&carry.lock);
    return result;
}
