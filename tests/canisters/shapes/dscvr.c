/* DSCVR's shape of 2022: collections by (start, limit) with the total in every reply, and small
 * things whole. The slice of a collection traps beyond its end. The polls of a chunk are not
 * aligned with its items: only some items have one. Read side only; everybody may read.
 */
#include "shape.h"

#define N_NFTS     3
#define POLL_EVERY 5

/* Size counts the contents. */
#define N_USERS   (shape.size / 2)
#define N_PORTALS (shape.size / 10)

void shape_fill(void)
{
}

/* Reads (start, limit): the range of items that the chunk holds. */
struct range {
    uint64_t start;
    uint64_t limit;
};

static struct range get_range(uint64_t n_items)
{
    candid_open(&args);
    uint64_t start = candid_nat64(&args);
    uint64_t limit = candid_nat64(&args);

    if (start > n_items || limit > n_items - start)
        IC_TRAP("range end index out of range for slice");
    return (struct range){start, limit};
}

/* record { id : nat64; body : text }: the body is up to 199 times one letter. */
static void put_contents(uint64_t start, uint64_t limit)
{
    candid_put_length(limit);
    for (uint64_t i = start; i < start + limit; i++) {
        uint8_t body[199];
        size_t len = stream_word(shape.seed + i) % (sizeof(body) + 1);

        for (size_t at = 0; at < len; at++)
            body[at] = (uint8_t)('a' + i % 26);
        candid_put_nat64(i);
        candid_put_length(len);
        candid_put(body, len);
    }
}

/* record { question : text; content_id : nat64 } */
static void put_polls(uint64_t start, uint64_t limit)
{
    uint64_t first = start / POLL_EVERY + (start % POLL_EVERY != 0);
    uint64_t end = start + limit;
    uint64_t n = end / POLL_EVERY + (end % POLL_EVERY != 0) - first;

    candid_put_length(n);
    for (uint64_t i = first; i < first + n; i++) {
        SHAPE_PUT_NAME("question-", i * POLL_EVERY);
        candid_put_nat64(i * POLL_EVERY);
    }
}

/* record { id : nat64; name : text } */
static void put_named(const char *word, size_t len, uint64_t start, uint64_t limit)
{
    candid_put_length(limit);
    for (uint64_t i = start; i < start + limit; i++) {
        candid_put_nat64(i);
        shape_put_name(word, len, i);
    }
}
#define PUT_USERS(start, limit)   put_named("user-", 5, start, limit)
#define PUT_PORTALS(start, limit) put_named("portal-", 7, start, limit)

/* record { comments_per_hour; posts_per_hour : nat32 } */
static void put_limits(void)
{
    candid_put_nat32(60);
    candid_put_nat32(10);
}

#define FIELD_CHUNK  "\xed\x8c\x8b\xae\x04"
#define FIELD_POLLS  "\xc2\xad\xe0\xa1\x01"
#define FIELD_TOTAL  "\xc1\xa6\xb0\xc9\x0e"
#define TYPE_CONTENT "\x6c\x02\xdb\xb7\x01\x78\xa2\xf5\xed\x88\x04\x71"
#define TYPE_POLL    "\x6c\x02\xa6\xb6\xc2\xb5\x02\x71\xe1\xdc\xd0\x9f\x04\x78"
#define TYPE_NAMED   "\x6c\x02\xdb\xb7\x01\x78\xcb\xe4\xfd\xc7\x04\x71"
#define TYPE_LIMITS  "\x6c\x02\xb1\xdd\xf5\x97\x02\x79\xf2\xc7\xe1\xdf\x0f\x79"
#define TYPE_NFT     "\x6c\x02\xdb\xb7\x01\x78\xb3\xb0\xda\xc3\x03\x71"

IC_QUERY(backup_content_chunks)
{
    if (shape_rejected())
        return;
    struct range range = get_range(shape.size);

    /* Table: 0 opt 1, 1 record { chunk_polls : 2; chunk : 4; total_length : nat64 }, 2 vec 3,
     * 3 Poll, 4 vec 5, 5 Content. */
    CANDID_PUT("DIDL\x06\x6e\x01\x6c\x03" FIELD_POLLS "\x02" FIELD_CHUNK "\x04" FIELD_TOTAL
               "\x78\x6d\x03" TYPE_POLL "\x6d\x05" TYPE_CONTENT "\x01\x00\x01");
    put_polls(range.start, range.limit);
    put_contents(range.start, range.limit);
    candid_put_nat64(shape.size);
    ic0_msg_reply();
}

/* Table: 0 opt 1, 1 record { chunk : 2; total_length : nat64 }, 2 vec 3, 3 the item. */
#define HEADER_NAMED                                                                               \
    "DIDL\x04\x6e\x01\x6c\x02" FIELD_CHUNK "\x02" FIELD_TOTAL "\x78\x6d\x03" TYPE_NAMED            \
    "\x01\x00\x01"

IC_QUERY(backup_users_chunk)
{
    if (shape_rejected())
        return;
    struct range range = get_range(N_USERS);

    CANDID_PUT(HEADER_NAMED);
    PUT_USERS(range.start, range.limit);
    candid_put_nat64(N_USERS);
    ic0_msg_reply();
}

IC_QUERY(backup_portals_chunk)
{
    if (shape_rejected())
        return;
    struct range range = get_range(N_PORTALS);

    CANDID_PUT(HEADER_NAMED);
    PUT_PORTALS(range.start, range.limit);
    candid_put_nat64(N_PORTALS);
    ic0_msg_reply();
}

/* Everything at once: with many contents the reply is too large, which is why there are chunks.
 *
 * Table: 0 opt 1, 1 record { content : 2; portals : 3; users : 3; limits : 4 }, 2 opt 5, 3 opt 6,
 * 4 opt 9, 5 vec 7, 6 vec 8, 7 Content, 8 Named, 9 ActionLimits. */
IC_QUERY(backup)
{
    if (shape_rejected())
        return;
    CANDID_PUT("DIDL\x0a\x6e\x01"
               "\x6c\x04\xb9\x9a\xde\xcb\x01\x02\xc7\xb8\x97\x9d\x08\x03"
               "\xc8\xdf\xc9\xd1\x0a\x03\xd8\xe9\xe8\xdf\x0e\x04"
               "\x6e\x05\x6e\x06\x6e\x09\x6d\x07\x6d\x08" TYPE_CONTENT TYPE_NAMED TYPE_LIMITS
               "\x01\x00\x01\x01");
    put_contents(0, shape.size);
    CANDID_PUT("\x01");
    PUT_PORTALS(0, N_PORTALS);
    CANDID_PUT("\x01");
    PUT_USERS(0, N_USERS);
    CANDID_PUT("\x01");
    put_limits();
    ic0_msg_reply();
}

IC_QUERY(backup_limits)
{
    if (shape_rejected())
        return;
    CANDID_PUT("DIDL\x02\x6e\x01" TYPE_LIMITS "\x01\x00\x01");
    put_limits();
    ic0_msg_reply();
}

IC_QUERY(backup_nfts)
{
    if (shape_rejected())
        return;
    CANDID_PUT("DIDL\x02\x6d\x01" TYPE_NFT "\x01\x00");
    candid_put_length(N_NFTS);
    for (uint64_t i = 0; i < N_NFTS; i++) {
        candid_put_nat64(i);
        SHAPE_PUT_NAME("owner-", i);
    }
    ic0_msg_reply();
}
