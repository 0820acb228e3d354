/* See live.h. */
#include "live.h"

#include "ic0.h"
#include "record.h"

#define CLEAR_MAX ((uint64_t)1 << 30) /* of one message, which may touch 2 GiB */

/* What the heap keeps from message to message. */
static struct {
    uint64_t version;
    uint64_t mtime_ns;
} now;

static _Alignas(8) uint8_t page[LIVE_PAGE];

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void live_open(void)
{
    record_load();
    live_changed();
}

uint64_t live_size(void)
{
    return record.live.size;
}

uint64_t live_version(void)
{
    return now.version;
}

uint64_t live_mtime_ns(void)
{
    return now.mtime_ns;
}

void live_changed(void)
{
    uint64_t time = ic0_time();

    now.version = time > now.version ? time : now.version + 1;
    now.mtime_ns = time;
}

bool live_is_busy(void)
{
    return record.session.state == SESSION_APPLYING;
}

void live_require(void)
{
    if (live_is_busy())
        IC_TRAP("busy: a restore is being applied; restore_commit goes on with it");
}

bool live_has(uint64_t off, uint64_t len)
{
    return off <= record.live.size && len <= record.live.size - off;
}

void live_read(void *dst, uint64_t off, uint64_t len)
{
    live_require();
    if (!live_has(off, len))
        IC_TRAP("stable memory: the range is not within the live bytes");
    ic_stable_read(dst, off, (size_t)len);
}

bool live_is_zero(const void *bytes, uint64_t len)
{
    const uint64_t *words = bytes;
    uint64_t found = 0;

    for (uint64_t i = 0; i < len / sizeof(*words); i++)
        found |= words[i];
    return found == 0;
}

/* A page that was never written to stays so: reading it shows zeros. */
void live_clear(uint64_t off, uint64_t len)
{
    while (len > 0) {
        uint64_t part = smaller(len, LIVE_PAGE - off % LIVE_PAGE);

        ic_stable_read(page, off, (size_t)part);
        if (part % 8 != 0 || !live_is_zero(page, part)) {
            __builtin_memset(page, 0, (size_t)part);
            ic_stable_write(off, page, (size_t)part);
        }
        off += part;
        len -= part;
    }
}

void live_set_size(uint64_t size)
{
    record.live.size = size;
    if (record.live.dirty_from < size)
        record.live.dirty_from = size;
}

/* Writes the record behind the live bytes for the first time. */
static void keep_record(void)
{
    record.live.dirty_from = record.live.size;
    if (!record_reserve(record.live.size))
        IC_TRAP("out of memory: stable memory cannot grow");
    record_save();
}

/* Bytes behind the live ones may be dirty up to the end of the memory as it is now. */
static void clear_for(uint64_t size)
{
    uint64_t end = smaller(size, ic0_stable64_size() * LIVE_PAGE);
    uint64_t from = record.live.dirty_from;

    if (from >= end)
        return;
    if (end - from > CLEAR_MAX)
        IC_TRAP("stable memory: more than 1 GiB is to be cleared; grow by less at a time");
    live_clear(from, end - from);
}

/* Makes room for that many pages, and zeros of what is there already. */
static bool grow(uint64_t pages)
{
    uint64_t have = ic0_stable64_size();

    if (!record_is_kept())
        return ic0_stable64_grow(pages - have) >= 0;
    clear_for(pages * LIVE_PAGE);
    return record_reserve(pages * LIVE_PAGE);
}

bool live_reserve(uint64_t size)
{
    uint64_t pages = size / LIVE_PAGE + (size % LIVE_PAGE != 0);

    live_require();
    if (size <= record.live.size)
        return true;
    if (size > LIVE_MAX || !grow(pages))
        return false;
    live_set_size(pages * LIVE_PAGE);
    live_changed();
    if (record_is_kept())
        record_save();
    return true;
}

void live_write(uint64_t off, const void *src, uint64_t len)
{
    live_require();
    if (len == 0)
        return;
    if (off > UINT64_MAX - len)
        IC_TRAP("stable memory: the range overflows");
    if (!live_reserve(off + len))
        IC_TRAP("stable memory cannot grow that far");
    ic_stable_write(off, src, (size_t)len);
    live_changed();
    /* The application's bytes in the last page may be a copy of another memory's record. */
    if (off + len > record.live.size - LIVE_PAGE && record_is_mistaken())
        keep_record();
}
