/* See restore.h. */
#include "restore.h"

#include "candid.h"
#include "convention.h"
#include "ic0.h"
#include "live.h"
#include "ranges.h"
#include "record.h"
#include "stage.h"

/* Scratch space of the running message. */
static struct candid_args args;

/* --- sessions --- */

static bool is_open(void)
{
    return record.session.state == SESSION_OPEN;
}

/* Whether the application has grown the live bytes over the stage: the content would be too small.
 */
static bool is_outgrown(void)
{
    return is_open() && live_size() > record.session.size;
}

static void end_session(enum session_state state)
{
    struct outcome *outcome = &record.outcomes[record.n_outcomes++ % RECORD_OUTCOMES];

    *outcome = (struct outcome){
        .id = record.session.id,
        .size = record.session.size,
        .state = state,
    };
    record.session.state = SESSION_NONE;
    record.received.n = 0;
}

static void touch(void)
{
    record.session.expires_ns = ic0_time() + RESTORE_EXPIRES_NS;
}

/* Whether id is that of the session. */
static bool is_current(uint64_t id)
{
    return record.session.state != SESSION_NONE && record.session.id == id;
}

/* What became of an earlier session, or NULL. */
static const struct outcome *find_outcome(uint64_t id)
{
    for (size_t i = 0; i < RECORD_OUTCOMES; i++)
        if (record.outcomes[i].state != SESSION_NONE && record.outcomes[i].id == id)
            return &record.outcomes[i];
    return NULL;
}

static enum session_state state_of(uint64_t id)
{
    const struct outcome *outcome = find_outcome(id);

    if (is_current(id))
        return is_outgrown() ? SESSION_ABORTED : (enum session_state)record.session.state;
    return outcome == NULL ? SESSION_NONE : (enum session_state)outcome->state;
}

/* Before anything is done with the session. */
static void settle(void)
{
    if (!is_outgrown())
        return;
    end_session(SESSION_ABORTED);
    record_save();
}

/* Answers for a session that cannot do what is asked. */
static void reply_state(enum reply_type type, enum session_state state)
{
    if (state == SESSION_APPLYING)
        reply_text(type, ERR_BUSY, "the restore is being applied; restore_commit goes on with it");
    else if (state == SESSION_COMMITTED)
        reply_text(type, ERR_OTHER, "the session is committed");
    else if (state == SESSION_ABORTED)
        reply_text(type, ERR_OTHER, "the session is aborted");
    else
        reply_text(type, ERR_OTHER, "no such session");
}

/* --- begin --- */

struct request {
    bool is_stable_memory; /* the target */
    uint64_t size;
    struct candid_blob sha256;
    bool has_base;
    uint64_t base_version;
    uint8_t digest[SHA256_BYTES];
};

_Noreturn static void missing(void)
{
    IC_TRAP("argument: a field is missing");
}

static bool is_target(struct candid_text text)
{
    static const char name[] = "stable_memory";

    if (text.len != sizeof(name) - 1)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (text.bytes[i] != (uint8_t)name[i])
            return false;
    return true;
}

static struct request read_request(void)
{
    struct request request = {.size = 0};
    unsigned fields = 0;
    uint32_t id;

    candid_open(&args);
    candid_record(&args);
    while (candid_field(&args, &id)) {
        if (id == candid_hash("target")) {
            request.is_stable_memory = is_target(candid_text(&args));
            fields |= 1;
        } else if (id == candid_hash("size")) {
            request.size = candid_nat64(&args);
            fields |= 2;
        } else if (id == candid_hash("sha256")) {
            request.sha256 = candid_blob(&args);
            fields |= 4;
        } else if (id == candid_hash("base_version")) {
            request.has_base = candid_opt(&args);
            if (request.has_base)
                request.base_version = candid_nat64(&args);
        } else {
            candid_skip(&args);
        }
    }
    if (fields != 7)
        missing();
    if (request.sha256.len == SHA256_BYTES)
        ic0_msg_arg_data_copy(request.digest, request.sha256.off, SHA256_BYTES);
    return request;
}

/* Whether the session is of this very request. */
static bool is_same(const struct request *request)
{
    const struct session *session = &record.session;

    return session->state != SESSION_NONE && request->is_stable_memory &&
           request->size == session->size && request->sha256.len == SHA256_BYTES &&
           sha256_is_same(request->digest, session->sha256) &&
           request->has_base == (session->has_base != 0) &&
           request->base_version == session->base_version;
}

static bool is_busy(void)
{
    return record.session.state == SESSION_APPLYING ||
           (is_open() && ic0_time() < record.session.expires_ns);
}

static void reply_busy(void)
{
    struct words words = {.len = 0};

    words_put(&words, "restore session ");
    words_put_number(&words, record.session.id);
    words_put(&words, is_open() ? " is open" : " is being applied");
    reply_words(REPLY_BEGIN, ERR_BUSY, &words);
}

static void reply_session(void)
{
    reply_ok(REPLY_BEGIN);
    candid_put_nat64(record.session.id);
    candid_put_nat64(RESTORE_CHUNK_MAX);
    candid_put_nat64(record.session.expires_ns);
    ic0_msg_reply();
}

/* Numbers are times, too: they stay unique when a snapshot brings an old record back. */
static uint64_t next_id(void)
{
    uint64_t now = ic0_time();

    record.last_session = now > record.last_session ? now : record.last_session + 1;
    return record.last_session;
}

static void start_session(const struct request *request)
{
    struct session *session = &record.session;

    *session = (struct session){
        .id = next_id(),
        .state = SESSION_OPEN,
        .size = request->size,
        .has_base = request->has_base,
        .base_version = request->base_version,
    };
    __builtin_memcpy(session->sha256, request->digest, SHA256_BYTES);
    if (record.live.dirty_from > session->size)
        record.live.dirty_from = session->size;
    record.received.n = 0;
    touch();
}

IC_UPDATE(restore_begin)
{
    if (reply_denied(REPLY_BEGIN))
        return;
    struct request request = read_request();

    settle();
    if (is_same(&request)) {
        touch();
        record_save();
        reply_session();
        return;
    }
    if (!request.is_stable_memory) {
        reply_text(REPLY_BEGIN, ERR_OTHER, "the only target here is stable_memory");
        return;
    }
    if (request.sha256.len != SHA256_BYTES) {
        reply_text(REPLY_BEGIN, ERR_OTHER, "sha256 has 32 bytes");
        return;
    }
    if (is_busy()) {
        reply_busy();
        return;
    }
    if (request.size % LIVE_PAGE != 0 || request.size < live_size()) {
        reply_err(REPLY_BEGIN, ERR_RANGE);
        return;
    }
    if (request.has_base && request.base_version != live_version()) {
        reply_err(REPLY_BEGIN, ERR_STALE);
        return;
    }
    if (is_open())
        end_session(SESSION_ABORTED);
    bool fits = request.size <= LIVE_MAX && stage_open(request.size, !request.has_base);
    if (fits)
        start_session(&request);
    if (record_is_kept())
        record_save();
    if (fits)
        reply_session();
    else
        reply_text(REPLY_BEGIN, ERR_OTHER, "out of memory: stable memory cannot hold the stage");
}

/* --- chunk, status, abort --- */

struct chunk {
    uint64_t id;
    uint64_t off;
    struct candid_blob bytes;
};

static struct chunk read_chunk(void)
{
    struct chunk chunk = {.id = 0};
    unsigned fields = 0;
    uint32_t id;

    candid_open(&args);
    candid_record(&args);
    while (candid_field(&args, &id)) {
        if (id == candid_hash("session")) {
            chunk.id = candid_nat64(&args);
            fields |= 1;
        } else if (id == candid_hash("offset")) {
            chunk.off = candid_nat64(&args);
            fields |= 2;
        } else if (id == candid_hash("bytes")) {
            chunk.bytes = candid_blob(&args);
            fields |= 4;
        } else {
            candid_skip(&args);
        }
    }
    if (fields != 7)
        missing();
    return chunk;
}

/* Stages a chunk that is within the size. Returns NULL, or why it cannot be. */
static const char *stage_chunk(const struct chunk *chunk)
{
    if (!stage_reserve(chunk->off, chunk->bytes.len))
        return "out of memory: stable memory cannot hold the stage";
    if (!ranges_add(&record.received, chunk->off, chunk->bytes.len))
        return "too many separate ranges: at most 2048; send what lies between some of them";
    if (chunk->off < record.session.verified)
        record.session.verified = 0;
    stage_write(chunk->off, chunk->bytes.off, chunk->bytes.len);
    stage_hash(chunk->off, chunk->bytes.len);
    return NULL;
}

IC_UPDATE(restore_chunk)
{
    if (reply_denied(REPLY_NOTHING))
        return;
    struct chunk chunk = read_chunk();
    const struct session *session = &record.session;

    settle();
    if (state_of(chunk.id) != SESSION_OPEN) {
        reply_state(REPLY_NOTHING, state_of(chunk.id));
        return;
    }
    if (chunk.bytes.len > RESTORE_CHUNK_MAX || chunk.off > session->size ||
        chunk.bytes.len > session->size - chunk.off) {
        reply_err(REPLY_NOTHING, ERR_RANGE);
        return;
    }
    const char *why = stage_chunk(&chunk);
    touch();
    record_save();
    if (why != NULL) {
        reply_text(REPLY_NOTHING, ERR_OTHER, why);
        return;
    }
    reply_ok(REPLY_NOTHING);
    ic0_msg_reply();
}

static uint64_t read_id(void)
{
    candid_open(&args);
    return candid_nat64(&args);
}

static void put_tag(uint8_t tag)
{
    candid_put(&tag, 1);
}

/* record { size; state; received }, whose state's tags are aborted, open, committed. */
static void put_status(uint64_t size, enum session_state state, const struct ranges *received)
{
    uint64_t n = received == NULL ? 0 : received->n;

    candid_put_nat64(size);
    put_tag(state == SESSION_ABORTED ? 0 : state == SESSION_COMMITTED ? 2 : 1);
    candid_put_length(n);
    for (size_t i = 0; i < n; i++) {
        candid_put_nat64(received->list[i].off);
        candid_put_nat64(received->list[i].len);
    }
}

IC_QUERY(restore_status)
{
    if (!ic_caller_is_controller()) {
        IC_REJECT("denied: only a controller may ask for restores");
        return;
    }
    uint64_t id = read_id();
    const struct outcome *outcome = find_outcome(id);

    reply_open(REPLY_STATUS);
    put_tag(is_current(id) || outcome != NULL);
    if (is_current(id))
        put_status(record.session.size, state_of(id), &record.received);
    else if (outcome != NULL)
        put_status(outcome->size, (enum session_state)outcome->state, NULL);
    ic0_msg_reply();
}

IC_UPDATE(restore_abort)
{
    if (reply_denied(REPLY_NOTHING))
        return;
    uint64_t id = read_id();

    settle();
    if (state_of(id) == SESSION_OPEN) {
        end_session(SESSION_ABORTED);
        record_save();
    } else if (state_of(id) != SESSION_ABORTED) {
        reply_state(REPLY_NOTHING, state_of(id));
        return;
    }
    reply_ok(REPLY_NOTHING);
    ic0_msg_reply();
}

/* --- commit --- */

static void reply_more(void)
{
    const struct session *session = &record.session;

    record_save();
    reply_open(REPLY_COMMIT);
    put_tag(2);
    candid_put_nat64(2 * session->size); /* all is read once, and written once */
    candid_put_nat64(session->verified + session->applied);
    ic0_msg_reply();
}

/* The first byte that must be sent and was not; the size when there is none. */
static uint64_t first_missing(void)
{
    const struct session *session = &record.session;
    struct run run = ranges_at(&record.received, 0);

    if (session->has_base || (run.inside && run.end >= session->size))
        return session->size;
    return run.inside ? run.end : 0;
}

static void reply_missing(uint64_t off)
{
    struct words words = {.len = 0};
    struct run run = ranges_at(&record.received, off);
    uint64_t end = run.end < record.session.size ? run.end : record.session.size;

    words_put(&words, "missing: ");
    words_put_number(&words, end - off);
    words_put(&words, " bytes at ");
    words_put_number(&words, off);
    words_put(&words, "; in all ");
    words_put_number(&words, record.session.size - ranges_total(&record.received));
    words_put(&words, " bytes");
    reply_words(REPLY_COMMIT, ERR_CORRUPT, &words);
}

/* Whether the content that was verified is the one that was declared. */
static bool is_verified(void)
{
    struct sha256 hash = record.session.hash;
    uint8_t digest[SHA256_BYTES];

    sha256_final(&hash, digest);
    return sha256_is_same(digest, record.session.sha256);
}

/* Goes on with checking the open session. True: it may be applied in this message. Otherwise the
 * reply has been made. */
static bool check(struct stage_step *step)
{
    struct session *session = &record.session;
    uint64_t missing_at = first_missing();

    if (session->has_base && session->base_version != live_version()) {
        reply_err(REPLY_COMMIT, ERR_STALE);
        return false;
    }
    if (missing_at < session->size) {
        reply_missing(missing_at);
        return false;
    }
    touch();
    if (!stage_verify(step)) {
        reply_more();
        return false;
    }
    if (!is_verified()) {
        session->verified = 0;
        record_save();
        reply_text(REPLY_COMMIT, ERR_CORRUPT, "the sha256 of the content is another");
        return false;
    }
    if (!stage_may_apply(step)) {
        reply_more();
        return false;
    }
    return true;
}

IC_UPDATE(restore_commit)
{
    if (reply_denied(REPLY_COMMIT))
        return;
    uint64_t id = read_id();
    struct stage_step step = {.bytes = 0, .has_hashed = false};

    settle();
    enum session_state state = state_of(id);
    if (state == SESSION_COMMITTED) {
        reply_ok(REPLY_COMMIT);
        ic0_msg_reply();
        return;
    }
    if (state != SESSION_OPEN && state != SESSION_APPLYING) {
        reply_state(REPLY_COMMIT, state);
        return;
    }
    if (state == SESSION_OPEN && !check(&step))
        return;
    record.session.state = SESSION_APPLYING;
    if (!stage_apply(&step)) {
        reply_more();
        return;
    }
    /* When nothing was sent, all was there already. */
    bool is_change = record.received.n > 0 || live_size() != record.session.size;

    if (is_change) {
        live_set_size(record.session.size);
        live_changed();
    }
    end_session(SESSION_COMMITTED);
    record_save();
    reply_ok(REPLY_COMMIT);
    ic0_msg_reply();
}
