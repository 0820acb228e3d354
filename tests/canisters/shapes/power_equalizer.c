/* power-equalizer's shape: chunks of a number of items that the caller chooses, and how many there
 * are of that size. At least one; the first tells the number of items; one beyond the last is null;
 * a chunk size of 0 divides by zero and traps. Everybody may read.
 *
 * restoreChunk takes the chunks back in their order: the first replaces everything, any other is
 * put behind what is there, each time it comes; null does nothing.
 */
#include "../values.h"
#include "list.h"
#include "shape.h"

/* Behind the shape.size transactions of the seed, by number: as they are in a reply. */
static struct list given;

void shape_fill(void)
{
    given.n = 0;
}

static uint64_t count_transactions(void)
{
    return shape.size + given.n;
}

static uint64_t chunk_count(uint64_t chunk_size)
{
    uint64_t total = count_transactions();
    uint64_t n = total / chunk_size + (total % chunk_size != 0);

    return n > 0 ? n : 1;
}

IC_QUERY(getChunkCount)
{
    if (shape_rejected())
        return;
    candid_open(&args);
    uint64_t chunk_size = candid_nat(&args);

    if (chunk_size == 0)
        IC_TRAP("arithmetic division by zero");
    CANDID_PUT("DIDL\x00\x01\x7d");
    candid_put_length(chunk_count(chunk_size));
    ic0_msg_reply();
}

/* vec record { token : nat32; buyer : text; price : nat64 } */
static void put_transactions(uint64_t first, uint64_t n)
{
    candid_put_length(n);
    for (uint64_t i = first; i < first + n; i++) {
        const struct list_item *item = list_get(&given, i);

        if (item != NULL) {
            candid_put(item->bytes, item->len);
            continue;
        }
        candid_put_nat32((uint32_t)i);
        SHAPE_PUT_NAME("buyer-", i);
        candid_put_nat64(stream_word(shape.seed + i));
    }
}

/* Table: 0 StableChunk = variant { v2 : 1 }, 1 record { marketplace : 2 }, 2 opt 3,
 * 3 variant { v2 : 4; v2_chunk : 5 }, 4 record { transactionChunk : 6; transactionCount : nat },
 * 5 record { transactionChunk : 6 }, 6 vec 7, 7 the transaction. */
#define HEADER                                                                                     \
    "DIDL\x08\x6b\x01\xfc\xcd\x01\x01\x6c\x01\x8b\xeb\xb4\x83\x02\x02\x6e\x03"                     \
    "\x6b\x02\xfc\xcd\x01\x04\xaa\xb3\xef\xf0\x0b\x05"                                             \
    "\x6c\x02\xaf\x9f\xa1\xbb\x0f\x06\x91\x9c\xa3\xe0\x0f\x7d"                                     \
    "\x6c\x01\xaf\x9f\xa1\xbb\x0f\x06\x6d\x07"                                                     \
    "\x6c\x03\xf9\x85\xae\xa1\x01\x79\xb3\xf2\xdb\xd7\x0b\x71\x89\x9d\xad\xc4\x0c\x78\x01\x00\x00"

IC_QUERY(backupChunk)
{
    if (shape_rejected())
        return;
    candid_open(&args);
    uint64_t chunk_size = candid_nat(&args);
    uint64_t index = candid_nat(&args);

    if (chunk_size == 0)
        IC_TRAP("arithmetic division by zero");
    CANDID_PUT(HEADER);
    if (index >= chunk_count(chunk_size)) {
        CANDID_PUT("\x00");
    } else {
        uint64_t first = index * chunk_size;
        uint64_t n = shape_smaller(chunk_size, count_transactions() - first);

        candid_put(index == 0 ? "\x01\x00" : "\x01\x01", 2);
        put_transactions(first, n);
        if (index == 0)
            candid_put_length(count_transactions());
    }
    ic0_msg_reply();
}

/* --- restoring --- */

#define HASH_V2          26364
#define HASH_V2_CHUNK    3189496234
#define HASH_MARKETPLACE 544028043
#define HASH_CHUNK       4150808495 /* transactionChunk */
#define HASH_TOKEN       338395897
#define HASH_BUYER       3136747827
#define HASH_PRICE       3364572809

static struct values values;

/* The type of the record's field, whose value is next; those before it are read over. */
static int32_t find_field(int32_t record, uint32_t hash)
{
    struct value_fields fields = values_record(&values, record);

    for (size_t i = 0; i < fields.n && fields.at[i].hash <= hash; i++) {
        if (fields.at[i].hash == hash)
            return fields.at[i].type;
        values_skip(&values, fields.at[i].type);
    }
    IC_TRAP("argument: a field is missing");
}

/* A record { token : nat32; buyer : text; price : nat64 }: their order is that of the hashes. */
static void add_transaction(int32_t type)
{
    struct value_fields fields = values_record(&values, type);

    if (fields.n != 3 || fields.at[0].hash != HASH_TOKEN || fields.at[1].hash != HASH_BUYER ||
        fields.at[2].hash != HASH_PRICE)
        IC_TRAP("argument: no transaction");
    uint32_t token = values_nat32(&values, fields.at[0].type);
    struct candid_blob buyer = values_text(&values, fields.at[1].type);
    uint64_t price = values_nat64(&values, fields.at[2].type);
    struct list_item item = list_begin(count_transactions(),
                                       sizeof(token) + LIST_LENGTH_MAX + buyer.len + sizeof(price));

    list_add(&item, &token, sizeof(token));
    list_add_text(&item, buyer);
    list_add(&item, &price, sizeof(price));
    list_put(&given, item);
}

IC_UPDATE(restoreChunk)
{
    int32_t type;

    if (shape_refused())
        return;
    int32_t arg = values_open(&values);

    if (values_variant(&values, arg, &type) != HASH_V2)
        IC_TRAP("argument: a chunk of another version");
    int32_t marketplace = find_field(type, HASH_MARKETPLACE);

    if (values_opt(&values, marketplace, &type)) {
        uint32_t kind = values_variant(&values, type, &type);
        int32_t transaction;

        if (kind != HASH_V2 && kind != HASH_V2_CHUNK)
            IC_TRAP("argument: a chunk of another version");
        if (kind == HASH_V2) {
            shape.size = 0;
            given.n = 0;
        }
        int32_t chunk = find_field(type, HASH_CHUNK);

        for (uint64_t n = values_vec(&values, chunk, &transaction); n > 0; n--)
            add_transaction(transaction);
    }
    shape_reply_nothing();
}
