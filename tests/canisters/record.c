/* See record.h. */
#include "record.h"

#include "ic0.h"

_Static_assert(sizeof(struct record) <= LIVE_PAGE, "the record is one page");
_Static_assert(offsetof(struct ranges, list) + sizeof(((struct ranges *)0)->list) ==
                   sizeof(struct ranges),
               "nothing is stored behind the ranges");

/* Random, but for the last byte, which counts formats. */
static const uint64_t magic[2] = {0x3a976bf052c51d8e, 0x014cd62f71e8b904};

struct record record;

static bool kept;

static uint64_t last_page(void)
{
    return (ic0_stable64_size() - 1) * LIVE_PAGE;
}

/* Whether the last page begins like a record. */
static bool looks_kept(void)
{
    uint64_t found[2];

    if (ic0_stable64_size() == 0)
        return false;
    ic_stable_read(found, last_page(), sizeof(found));
    return found[0] == magic[0] && found[1] == magic[1];
}

/* The hash of the record as far as it is stored. */
static void hash(uint8_t out[SHA256_BYTES])
{
    const size_t from = offsetof(struct record, length);
    struct sha256 sha256;

    sha256_init(&sha256);
    sha256_update(&sha256, (const uint8_t *)&record + from, (size_t)record.length - from);
    sha256_final(&sha256, out);
}

static uint64_t length_used(void)
{
    return offsetof(struct record, received.list) + record.received.n * sizeof(struct range);
}

void record_load(void)
{
    uint8_t digest[SHA256_BYTES];

    kept = looks_kept();
    if (!kept) {
        record.live.size = ic0_stable64_size() * LIVE_PAGE;
        record.live.dirty_from = UINT64_MAX;
        return;
    }
    ic_stable_read(&record, last_page(), sizeof(record));
    /* An upgrade that traps here changes nothing; to go on would make staged bytes live. */
    if (record.received.n > RANGES_MAX || record.length != length_used())
        IC_TRAP("stable memory: the record of its size is damaged");
    hash(digest);
    if (!sha256_is_same(digest, record.sha256))
        IC_TRAP("stable memory: the record of its size is damaged");
}

bool record_is_kept(void)
{
    return kept;
}

bool record_reserve(uint64_t end)
{
    uint64_t pages = end / LIVE_PAGE + (end % LIVE_PAGE != 0) + 1;
    uint64_t have = ic0_stable64_size();

    if (pages > have && ic0_stable64_grow(pages - have) < 0)
        return false;
    kept = true;
    return true;
}

void record_save(void)
{
    __builtin_memcpy(record.magic, magic, sizeof(magic));
    record.length = length_used();
    hash(record.sha256);
    ic_stable_write(last_page(), &record, (size_t)record.length);
}

bool record_is_mistaken(void)
{
    return !kept && looks_kept();
}
