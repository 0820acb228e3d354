/* The stable storage of DSCVR's later canisters (metamagic): a header and the state it describes.
 *
 * The header is five little-endian words: the number of the words that follow it (4), the length of
 * the content, its format, its schema's version and an instruction count. `header_length` counts
 * those four words, not bytes, and not itself: header and content take 8 + 8 * header_length +
 * content_length bytes, and the memory goes on after them. Before anything was stored the header is
 * all zero and its format Unknown.
 *
 * Its guards reject everybody but the backup service; here these are the controllers.
 */
#include "shape.h"

#define N_FIELDS       4
#define HEADER_BYTES   (8 * (N_FIELDS + 1))
#define FORMAT_BINCODE 2
#define SCHEMA_VERSION 7
#define PRE_UPGRADE    123456789
#define POST_UPGRADE   987654321

static bool is_stored;

void shape_fill(void)
{
    const uint64_t header[N_FIELDS + 1] = {N_FIELDS, shape.size, FORMAT_BINCODE, SCHEMA_VERSION,
                                           PRE_UPGRADE};

    is_stored = shape.size > 0;
    if (!is_stored)
        return;
    shape_write_stream(HEADER_BYTES, shape.size, shape.seed);
    ic_stable_write(0, header, sizeof(header));
}

IC_QUERY(backup_stable_storage)
{
    if (shape_rejected())
        return;
    candid_open(&args);
    uint64_t off = candid_nat64(&args);
    uint64_t len = candid_nat64(&args);

    shape_reply_memory(off, len);
}

/* Table: 0 Header = record { content_format : 1; content_length; content_schema_version;
 * pre_upgrade_instruction_count; header_length : nat64 }, 1 variant { MsgPack; Bincode; Unknown },
 * 2 Transient = record { skip_next_save : bool; post_upgrade_instruction_count : nat64 }. */
IC_QUERY(stable_storage_info)
{
    if (shape_rejected())
        return;
    CANDID_PUT("DIDL\x03"
               "\x6c\x05\xbd\xb9\x94\x24\x01\xec\xc4\xf8\xaf\x0a\x78\xc0\xda\xc9\xe6\x0c\x78"
               "\x9f\xfd\x93\xb4\x0d\x78\x98\xb1\xaa\xba\x0f\x78"
               "\x6b\x03\x9a\xf3\xbf\x03\x7f\xd4\x82\xe8\xde\x04\x7f\xea\x96\xb1\xf6\x0a\x7f"
               "\x6c\x02\xc9\xb0\xf2\x99\x06\x7e\x9c\xf6\xc8\xd3\x0a\x78"
               "\x02\x00\x02");
    candid_put(is_stored ? "\x01" : "\x02", 1);
    candid_put_nat64(is_stored ? shape.size : 0);
    candid_put_nat64(is_stored ? SCHEMA_VERSION : 0);
    candid_put_nat64(is_stored ? PRE_UPGRADE : 0);
    candid_put_nat64(is_stored ? N_FIELDS : 0);
    CANDID_PUT("\x00");
    candid_put_nat64(is_stored ? POST_UPGRADE : 0);
    ic0_msg_reply();
}
