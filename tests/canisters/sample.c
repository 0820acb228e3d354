/* A canister whose stable memory can be read, checked and written with the methods canisterfs looks
 * for. What each method takes and returns is said in sample.did.
 *
 * All live bytes of stable memory (live.h) are the user's data. Restores and maintenance come with
 * restore.c and maintenance.c.
 *
 * Data pass through one buffer in pieces, straight between stable memory and the reply or argument,
 * so a reply may be as large as the platform allows and the heap stays small.
 */
#include "candid.h"
#include "ic0.h"
#include "live.h"
#include "maintenance.h"
#include "sha256.h"
#include "stream.h"

IC_CANDID_SERVICE("sample.did");

#define BUFFER (4 * LIVE_PAGE)

/* Scratch space of the running message. */
static _Alignas(8) uint8_t buffer[BUFFER];
static struct candid_args args;

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

IC_INIT(init)
{
    live_open();
}

IC_POST_UPGRADE(post_upgrade)
{
    live_open();
}

/* --- replies --- */

/* Headers: "DIDL", the type table, the argument types (Candid specification, "Parameters and
 * results"). */
#define HEADER_NONE  "DIDL\x00\x00"
#define HEADER_NAT64 "DIDL\x00\x01\x78"
#define HEADER_INT64 "DIDL\x00\x01\x74"
#define HEADER_BLOB  "DIDL\x01\x6d\x7b\x01\x00"

/* record { mtime_ns; size; version : nat64 }: fields go by their names' hashes. */
#define TYPE_VERSION                                                                               \
    "\x6c\x03\xaa\x8f\x96\x9b\x03\x78\xc1\xc1\xce\xe2\x04\x78\x98\xce\xc7\xe7\x07\x78"
#define HEADER_VERSION "DIDL\x01" TYPE_VERSION "\x01\x00"

/* Table: 0 blob, 1 Version, 2 Err = variant { other : text; busy : text; corrupt : text; denied;
 * stale : 1; range }, 3 variant { ok : 0; err : 2 }; then a nat64. A variant's value starts with
 * the place of its tag in this order. */
#define HEADER_READ_AT                                                                             \
    "DIDL\x04\x6d\x7b" TYPE_VERSION "\x6b\x06"                                                     \
    "\xd0\xcd\xd9\xb3\x03\x71\xb9\xaa\x80\x89\x04\x71\xcd\xaf\xae\xae\x06\x71"                     \
    "\xdb\xd2\xb8\xe1\x06\x7f\x99\xde\xad\xa0\x08\x01\xbd\xcb\xfe\xa0\x0e\x7f"                     \
    "\x6b\x02\x9c\xc2\x01\x00\xe5\x8e\xb4\x02\x02\x02\x03\x78"
#define READ_AT_OK    HEADER_READ_AT "\x00"
#define READ_AT_BUSY  HEADER_READ_AT "\x01\x01"
#define READ_AT_STALE HEADER_READ_AT "\x01\x04"
#define READ_AT_RANGE HEADER_READ_AT "\x01\x05"

static void put_version(void)
{
    candid_put_nat64(live_mtime_ns());
    candid_put_nat64(live_size());
    candid_put_nat64(live_version());
}

/* A blob's value: its length, then its bytes from stable memory. The range is within the size. */
static void put_stable(uint64_t off, uint64_t len)
{
    candid_put_length(len);
    while (len > 0) {
        size_t part = (size_t)smaller(len, BUFFER);

        live_read(buffer, off, part);
        candid_put(buffer, part);
        off += part;
        len -= part;
    }
}

/* Appends the sha256 of a range, which is within the size. */
static void put_hash(uint64_t off, uint64_t len)
{
    struct sha256 hash;
    uint8_t digest[SHA256_BYTES];

    sha256_init(&hash);
    while (len > 0) {
        size_t part = (size_t)smaller(len, BUFFER);

        live_read(buffer, off, part);
        sha256_update(&hash, buffer, part);
        off += part;
        len -= part;
    }
    sha256_final(&hash, digest);
    candid_put(digest, sizeof(digest));
}

/* --- queries --- */

IC_QUERY(stable_size)
{
    live_require();
    CANDID_PUT(HEADER_NAT64);
    candid_put_nat64(live_size());
    ic0_msg_reply();
}

IC_QUERY(stable_version)
{
    live_require();
    CANDID_PUT(HEADER_VERSION);
    put_version();
    ic0_msg_reply();
}

IC_QUERY(stable_read)
{
    live_require();
    candid_open(&args);
    uint64_t off = candid_nat64(&args);
    uint64_t len = candid_nat64(&args);

    if (!live_has(off, len))
        IC_TRAP("stable_read: the range is not within the size");
    CANDID_PUT(HEADER_BLOB);
    put_stable(off, len);
    ic0_msg_reply();
}

IC_QUERY(stable_read_at)
{
    candid_open(&args);
    uint64_t version = candid_nat64(&args);
    uint64_t off = candid_nat64(&args);
    uint64_t len = candid_nat64(&args);

    if (live_is_busy()) {
        static const char words[] = "a restore is being applied";

        CANDID_PUT(READ_AT_BUSY);
        candid_put_length(sizeof(words) - 1);
        candid_put(words, sizeof(words) - 1);
    } else if (version != live_version()) {
        CANDID_PUT(READ_AT_STALE);
        put_version();
    } else if (!live_has(off, len)) {
        CANDID_PUT(READ_AT_RANGE);
    } else {
        CANDID_PUT(READ_AT_OK);
        put_stable(off, len);
    }
    candid_put_nat64(ic0_performance_counter(0));
    ic0_msg_reply();
}

IC_QUERY(stable_hash)
{
    live_require();
    candid_open(&args);
    uint64_t off = candid_nat64(&args);
    uint64_t len = candid_nat64(&args);

    if (!live_has(off, len))
        IC_TRAP("stable_hash: the range is not within the size");
    CANDID_PUT(HEADER_BLOB);
    candid_put_length(SHA256_BYTES);
    put_hash(off, len);
    ic0_msg_reply();
}

IC_QUERY(stable_hashes)
{
    live_require();
    candid_open(&args);
    uint64_t off = candid_nat64(&args);
    uint64_t piece = candid_nat64(&args);
    uint64_t n = candid_nat64(&args);
    uint64_t size = live_size();

    /* Every piece begins within the size: off + (n - 1) * piece < size, without overflow. */
    if (piece == 0)
        IC_TRAP("stable_hashes: pieces of 0 bytes");
    if (off > size || (n > 0 && (off == size || n - 1 > (size - off - 1) / piece)))
        IC_TRAP("stable_hashes: the range is not within the size");
    CANDID_PUT(HEADER_BLOB);
    candid_put_length(n * SHA256_BYTES);
    for (; n > 0; n--) {
        uint64_t len = smaller(piece, size - off);

        put_hash(off, len);
        off += len;
    }
    ic0_msg_reply();
}

/* --- updates --- */

/* Refuses callers who do not control the canister. */
static bool refused(void)
{
    if (ic_caller_is_controller())
        return false;
    IC_REJECT("denied: only a controller of this canister may change its data");
    return true;
}

static void reply_nothing(void)
{
    CANDID_PUT(HEADER_NONE);
    ic0_msg_reply();
}

IC_UPDATE(stable_write)
{
    if (refused())
        return;
    live_require();
    candid_open(&args);
    uint64_t off = candid_nat64(&args);
    struct candid_blob blob = candid_blob(&args);

    if (off > UINT64_MAX - blob.len)
        IC_TRAP("stable_write: the range overflows");
    for (size_t done = 0; done < blob.len;) {
        size_t part = (size_t)smaller(blob.len - done, BUFFER);

        ic0_msg_arg_data_copy(buffer, blob.off + done, part);
        live_write(off + done, buffer, part);
        done += part;
    }
    reply_nothing();
}

IC_UPDATE(stable_grow)
{
    if (refused())
        return;
    candid_open(&args);
    uint64_t pages = candid_nat64(&args);
    uint64_t size = live_size();
    int64_t before = (int64_t)(size / LIVE_PAGE);

    if (pages > LIVE_MAX / LIVE_PAGE || !live_reserve(size + pages * LIVE_PAGE))
        before = -1;
    CANDID_PUT(HEADER_INT64);
    candid_put_nat64((uint64_t)before);
    ic0_msg_reply();
}

IC_UPDATE(seed)
{
    if (refused())
        return;
    maintenance_require();
    candid_open(&args);
    uint64_t size = candid_nat64(&args);
    uint64_t next = candid_nat64(&args); /* word i is stream_word(seed + i) */

    if (!live_reserve(size))
        IC_TRAP("stable memory cannot grow that far");
    for (uint64_t off = 0; off < size;) {
        size_t part = (size_t)smaller(size - off, BUFFER);

        for (size_t at = 0; at < part; at += 8) {
            uint64_t word = stream_word(next++);

            __builtin_memcpy(buffer + at, &word, sizeof(word));
        }
        live_write(off, buffer, part);
        off += part;
    }
    reply_nothing();
}

/* --- an update that awaits calls --- */

#define WORKS 16 /* in flight at once, at most */

/* Rounds that each work still has to do; 0: free. Kept from message to message. */
static uint64_t works[WORKS];

static void await_round(size_t work);

/* Counts the round, and awaits the next one. What there was to count may be an error: the reply of
 * a call is not looked at. */
static void end_round(size_t work)
{
    uint64_t rounds = 0;

    if (live_size() > 0)
        live_read(&rounds, 0, sizeof(rounds));
    rounds++;
    live_write(0, &rounds, sizeof(rounds));
    if (--works[work] > 0) {
        await_round(work);
        return;
    }
    maintenance_leave();
    reply_nothing();
}

/* A round trapped: the work ends there. */
static void clean_up(size_t work)
{
    works[work] = 0;
    maintenance_leave();
}

static void await_round(size_t work)
{
    uint8_t self[IC_PRINCIPAL_MAX];
    size_t len = ic0_canister_self_size();

    ic0_canister_self_copy(self, 0, len);
    ic0_call_new(self, len, "stable_size", sizeof("stable_size") - 1, end_round, work, end_round,
                 work);
    ic0_call_on_cleanup(clean_up, work);
    ic0_call_data_append(HEADER_NONE, sizeof(HEADER_NONE) - 1);
    if (ic0_call_perform() != 0)
        IC_TRAP("work: the call could not be made");
}

static size_t find_free_work(void)
{
    for (size_t i = 0; i < WORKS; i++)
        if (works[i] == 0)
            return i;
    IC_TRAP("work: too many in flight");
}

IC_UPDATE(work)
{
    if (refused())
        return;
    maintenance_require();
    candid_open(&args);
    uint64_t rounds = candid_nat64(&args);

    if (rounds == 0) {
        reply_nothing();
        return;
    }
    size_t work = find_free_work();
    works[work] = rounds;
    maintenance_enter();
    await_round(work);
}
