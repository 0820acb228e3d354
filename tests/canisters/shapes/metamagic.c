/* The stable storage of DSCVR's later canisters (metamagic): a header and the state it describes.
 *
 * The header is five little-endian words: the number of the words that follow it (4), the length of
 * the content, its format, its schema's version and an instruction count. `header_length` counts
 * those four words, not bytes, and not itself: header and content take 8 + 8 * header_length +
 * content_length bytes, and the memory goes on after them. Before anything was stored the header is
 * all zero and its format Unknown. What stable_storage_info tells is what the last upgrade (or
 * fill) found or wrote, whatever was written since.
 *
 *   backup    upgrade, or read what the last one wrote
 *   restore   init_stable_storage(length), restore_stable_storage(offset, bytes) as often as it
 *             takes, set_restore_from_stable_storage(true), then upgrade: it does not save the
 *             state before, and loads it from stable storage after
 *
 * Its guards reject everybody but the backup and restore services; here these are the controllers,
 * and after an upgrade nobody else may read.
 */
#include "shape.h"

enum {
    N_FIELDS,
    CONTENT_LENGTH,
    CONTENT_FORMAT,
    SCHEMA_VERSION,
    PRE_UPGRADE,
    HEADER_WORDS,
};
#define HEADER_BYTES   (8 * HEADER_WORDS)
#define FORMAT_MSGPACK 1
#define FORMAT_BINCODE 2
#define POST_UPGRADE   987654321

static uint64_t header[HEADER_WORDS];
static bool skips_next_save;

static void save(void)
{
    shape_state_store(HEADER_BYTES);
    ic_stable_write(0, header, sizeof(header));
}

void shape_fill(void)
{
    static const uint64_t stored[HEADER_WORDS] = {HEADER_WORDS - 1, 0, FORMAT_BINCODE, 7,
                                                  123456789};

    shape_state_make(shape.size, shape.seed);
    __builtin_memset(header, 0, sizeof(header));
    if (shape.size == 0)
        return;
    __builtin_memcpy(header, stored, sizeof(header));
    header[CONTENT_LENGTH] = shape.size;
    save();
}

IC_PRE_UPGRADE(pre_upgrade)
{
    if (!skips_next_save && header[N_FIELDS] != 0)
        save();
}

IC_POST_UPGRADE(post_upgrade)
{
    shape.controllers_only = true;
    if (shape_memory_size() == 0)
        return;
    ic_stable_read(header, 0, sizeof(header));
    if (header[N_FIELDS] == 0) {
        __builtin_memset(header, 0, sizeof(header));
        return;
    }
    if (header[N_FIELDS] != HEADER_WORDS - 1 || header[CONTENT_FORMAT] < FORMAT_MSGPACK ||
        header[CONTENT_FORMAT] > FORMAT_BINCODE ||
        header[CONTENT_LENGTH] > shape_memory_size() - HEADER_BYTES)
        IC_TRAP("stable storage holds no state of this format");
    shape_state_load(HEADER_BYTES, header[CONTENT_LENGTH]);
}

IC_QUERY(read_state)
{
    shape_reply_state();
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
    /* Formats count Unknown, MsgPack, Bincode; the variant is in the order of the hashes. */
    candid_put(&"\x02\x00\x01"[header[CONTENT_FORMAT]], 1);
    candid_put_nat64(header[CONTENT_LENGTH]);
    candid_put_nat64(header[SCHEMA_VERSION]);
    candid_put_nat64(header[PRE_UPGRADE]);
    candid_put_nat64(header[N_FIELDS]);
    candid_put(skips_next_save ? "\x01" : "\x00", 1);
    candid_put_nat64(header[N_FIELDS] != 0 ? POST_UPGRADE : 0);
    ic0_msg_reply();
}

/* As theirs, it grows by what the length needs, once that is more than there is. */
IC_UPDATE(init_stable_storage)
{
    if (shape_refused())
        return;
    candid_open(&args);
    uint64_t pages = candid_nat64(&args) / PAGE + 1;

    if (pages > ic0_stable64_size() && ic0_stable64_grow(pages) < 0)
        IC_TRAP("stable memory cannot grow that far");
    shape_reply_nothing();
}

/* It does not grow. */
IC_UPDATE(restore_stable_storage)
{
    if (shape_refused())
        return;
    candid_open(&args);
    uint64_t off = candid_nat64(&args);

    shape_overwrite_blob(off, candid_blob(&args));
    shape_reply_nothing();
}

IC_UPDATE(set_restore_from_stable_storage)
{
    if (shape_refused())
        return;
    candid_open(&args);
    skips_next_save = candid_bool(&args);
    shape_reply_nothing();
}
