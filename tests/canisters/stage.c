/* See stage.h. */
#include "stage.h"

#include "ic0.h"
#include "live.h"
#include "ranges.h"
#include "record.h"
#include "sha256.h"

#define ENTRY sizeof(uint32_t)

/* SHA-256 of a piece of zeros: memories with large holes are checked by it in a sixtieth of the
 * time. */
static const uint8_t zeros_hash[SHA256_BYTES] = {
    0x30, 0xe1, 0x49, 0x55, 0xeb, 0xf1, 0x35, 0x22, 0x66, 0xdc, 0x2f, 0xf8, 0x06, 0x7e, 0x68, 0x10,
    0x46, 0x07, 0xe7, 0x50, 0xab, 0xb9, 0xd3, 0xb3, 0x65, 0x82, 0xb8, 0xaf, 0x90, 0x9f, 0xcb, 0x58,
};

static _Alignas(8) uint8_t buffer[LIVE_PAGE];

/* Hashes of pieces that were received whole. */
static struct {
    bool is_known[STAGE_HASHES + 1];
    uint8_t hashes[STAGE_HASHES + 1][SHA256_BYTES];
} whole;

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* --- places --- */

static uint64_t pieces_of(uint64_t size)
{
    return size / STAGE_PIECE + (size % STAGE_PIECE != 0);
}

/* Where the slots begin. */
static uint64_t slots_off(uint64_t size)
{
    uint64_t table = pieces_of(size) * ENTRY;

    return size + (table + LIVE_PAGE - 1) / LIVE_PAGE * LIVE_PAGE;
}

static uint64_t entry_off(uint64_t off)
{
    return record.session.size + off / STAGE_PIECE * ENTRY;
}

static uint32_t slot_of(uint64_t off)
{
    uint32_t slot;

    ic_stable_read(&slot, entry_off(off), sizeof(slot));
    return slot;
}

/* Where a byte of the content is staged, which has been reserved. */
static uint64_t place_of(uint64_t off)
{
    uint64_t slot = slot_of(off) - 1;

    return slots_off(record.session.size) + slot * STAGE_PIECE + off % STAGE_PIECE;
}

bool stage_open(uint64_t size, bool is_whole)
{
    uint64_t slots = slots_off(size);

    if (!record_reserve(slots + (is_whole ? pieces_of(size) * STAGE_PIECE : 0)))
        return false;
    live_clear(size, slots - size);
    __builtin_memset(whole.is_known, 0, sizeof(whole.is_known));
    return true;
}

/* Makes a place for the piece at off. */
static bool reserve_piece(uint64_t off)
{
    struct session *session = &record.session;

    if (slot_of(off) != 0)
        return true;
    uint32_t slot = (uint32_t)session->n_slots + 1;
    if (!record_reserve(slots_off(session->size) + slot * STAGE_PIECE))
        return false;
    session->n_slots = slot;
    ic_stable_write(entry_off(off), &slot, sizeof(slot));
    return true;
}

bool stage_reserve(uint64_t off, uint64_t len)
{
    uint64_t end = off + len;

    for (; off < end; off += STAGE_PIECE - off % STAGE_PIECE)
        if (!reserve_piece(off))
            return false;
    return true;
}

/* How much of a range one copy takes: within its piece, and within the buffer. */
static uint64_t part_of(uint64_t off, uint64_t len)
{
    return smaller(smaller(len, STAGE_PIECE - off % STAGE_PIECE), sizeof(buffer));
}

void stage_write(uint64_t off, size_t arg_off, size_t len)
{
    while (len > 0) {
        size_t part = (size_t)part_of(off, len);

        ic0_msg_arg_data_copy(buffer, arg_off, part);
        ic_stable_write(place_of(off), buffer, part);
        off += part;
        arg_off += part;
        len -= part;
    }
}

/* --- steps --- */

static bool goes_on(const struct stage_step *step)
{
    return step->bytes < STAGE_STEP_BYTES && ic0_performance_counter(0) < STAGE_STEP_INSTRUCTIONS;
}

/* Reads content, at most a buffer of it, within one piece, to the buffer. */
static void read_content(uint64_t off, size_t len)
{
    for (uint8_t *to = buffer; len > 0;) {
        struct run run = ranges_at(&record.received, off);
        size_t part = (size_t)smaller(len, run.end - off);

        if (run.inside) {
            ic_stable_read(to, place_of(off), part);
        } else if (off < live_size()) {
            part = (size_t)smaller(part, live_size() - off);
            ic_stable_read(to, off, part);
        } else {
            __builtin_memset(to, 0, part);
        }
        to += part;
        off += part;
        len -= part;
    }
}

/* Whether a piece has neither live nor staged bytes: nothing needs to be read. */
static bool is_untouched(uint64_t off)
{
    struct run run = ranges_at(&record.received, off);

    return off >= live_size() && !run.inside && run.end - off >= STAGE_PIECE;
}

static bool is_zero(uint64_t off)
{
    for (uint64_t end = off + STAGE_PIECE; off < end; off += sizeof(buffer)) {
        read_content(off, sizeof(buffer));
        if (!live_is_zero(buffer, sizeof(buffer)))
            return false;
    }
    return true;
}

static void hash_piece(uint64_t off, uint64_t len, uint8_t out[SHA256_BYTES])
{
    struct sha256 hash;

    sha256_init(&hash);
    while (len > 0) {
        size_t part = (size_t)part_of(off, len);

        read_content(off, part);
        sha256_update(&hash, buffer, part);
        off += part;
        len -= part;
    }
    sha256_final(&hash, out);
}

static uint64_t piece_len(uint64_t off)
{
    return smaller(STAGE_PIECE, record.session.size - off);
}

/* The hash of the piece at off. Returns how many bytes were read for it. */
static uint64_t digest_piece(uint64_t off, uint8_t out[SHA256_BYTES])
{
    uint64_t len = piece_len(off);
    bool is_hole = len == STAGE_PIECE && is_untouched(off);

    if (is_hole || (len == STAGE_PIECE && is_zero(off)))
        __builtin_memcpy(out, zeros_hash, SHA256_BYTES);
    else
        hash_piece(off, len, out);
    return is_hole ? 0 : len;
}

void stage_hash(uint64_t off, uint64_t len)
{
    uint64_t end = off + len;

    for (off -= off % STAGE_PIECE; off < end; off += STAGE_PIECE) {
        uint64_t i = off / STAGE_PIECE;
        struct run run = ranges_at(&record.received, off);

        if (i >= STAGE_HASHES)
            return;
        whole.is_known[i] = run.inside && run.end - off >= piece_len(off);
        if (whole.is_known[i])
            digest_piece(off, whole.hashes[i]);
    }
}

/* Puts the next piece's hash into the session's. */
static void verify_piece(struct stage_step *step)
{
    struct session *session = &record.session;
    uint64_t i = session->verified / STAGE_PIECE;
    uint8_t digest[SHA256_BYTES];

    if (i < STAGE_HASHES && whole.is_known[i]) {
        sha256_update(&session->hash, whole.hashes[i], SHA256_BYTES);
    } else {
        step->bytes += digest_piece(session->verified, digest);
        step->has_hashed = true;
        sha256_update(&session->hash, digest, sizeof(digest));
    }
    session->verified += piece_len(session->verified);
}

bool stage_verify(struct stage_step *step)
{
    struct session *session = &record.session;

    if (session->verified == 0)
        sha256_init(&session->hash);
    while (session->verified < session->size && goes_on(step))
        verify_piece(step);
    return session->verified == session->size;
}

/* Beyond the live bytes, what was not sent becomes zeros; these begin here at the latest. */
static uint64_t dirty_from(void)
{
    return larger(record.live.size, record.live.dirty_from);
}

bool stage_may_apply(const struct stage_step *step)
{
    uint64_t dirty = record.session.size - smaller(record.session.size, dirty_from());
    uint64_t cost = ranges_total(&record.received) + dirty;
    uint64_t instructions = ic0_performance_counter(0);

    if (!step->has_hashed)
        return true;
    /* Copying takes two instructions or three for each byte. */
    return cost + step->bytes < STAGE_STEP_BYTES &&
           cost * 4 + instructions < STAGE_STEP_INSTRUCTIONS;
}

static void apply_part(struct stage_step *step)
{
    uint64_t *off = &record.session.applied;
    struct run run = ranges_at(&record.received, *off);
    uint64_t end = smaller(run.end, record.session.size);
    uint64_t part;

    if (run.inside) {
        part = part_of(*off, end - *off);
        ic_stable_read(buffer, place_of(*off), (size_t)part);
        ic_stable_write(*off, buffer, (size_t)part);
    } else {
        *off = smaller(larger(*off, dirty_from()), end);
        part = part_of(*off, end - *off);
        live_clear(*off, part);
    }
    *off += part;
    step->bytes += part;
}

bool stage_apply(struct stage_step *step)
{
    struct session *session = &record.session;

    while (session->applied < session->size && goes_on(step))
        apply_part(step);
    return session->applied == session->size;
}
