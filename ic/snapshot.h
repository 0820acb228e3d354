/* Snapshots of a canister, as the management canister lists them and gives them out.
 *
 * All are update calls by specification, which the canister pays for, and may be called for any
 * canister whose snapshot_visibility lets the caller: its controllers, or those it names, or all.
 * They answer for stopped canisters and for those without cycles or code, too.
 *
 * A snapshot never changes: what was read of one is good for ever. It may be deleted: then all but
 * the listing is IC_E_NOT_FOUND.
 *
 * Source: IC interface spec, list_canister_snapshots, read_canister_snapshot_metadata,
 * read_canister_snapshot_data.
 */
#ifndef CANISTERFS_IC_SNAPSHOT_H
#define CANISTERFS_IC_SNAPSHOT_H

#include "ic/arena.h"
#include "ic/management.h"
#include "ic/sha.h"

#include <stdbool.h>

#define IC_SNAPSHOT_ID_MAX 64  /* bytes; it has 18 now, but is no business of anybody's */
#define IC_SNAPSHOTS_MAX   256 /* of one canister; the network allows 10 */
/* Of one chunk store; the network allows 100. Each once: they are names in a directory. */
#define IC_SNAPSHOT_CHUNKS_MAX 1000

/* The most that one call gives or takes, bytes (IC resource limits). */
#define IC_SNAPSHOT_SLICE_MAX ((size_t)2000000)

/* A chunk of the chunk store has at most as many bytes. */
#define IC_SNAPSHOT_CHUNK_MAX ((size_t)1 << 20)

/* A plain value; bytes beyond len are zero. */
struct ic_snapshot_id {
    uint8_t len;
    uint8_t bytes[IC_SNAPSHOT_ID_MAX];
};

static inline bool ic_snapshot_id_is_equal(const struct ic_snapshot_id *a,
                                           const struct ic_snapshot_id *b)
{
    return ic_view_equal(ic_view(a->bytes, a->len), ic_view(b->bytes, b->len));
}

/* The id that a field of a reply holds. Returns 0, or -EPROTO: it is none; value may be NULL. */
int ic_snapshot_id_decode(const struct ic_value *value, struct ic_snapshot_id *out)
    IC_NONNULL(2) IC_MUST_CHECK;

struct ic_snapshot {
    struct ic_snapshot_id id;
    uint64_t taken_at_ns; /* since 1970 */
    uint64_t total_size;  /* bytes that the canister pays for */
};

struct ic_snapshot_list {
    struct ic_snapshot *items; /* owned; in the network's order */
    size_t n;
};

/* List the snapshots of a canister.
 *
 * out  fills; to be released with ic_snapshot_list_fini
 *
 * Returns 0, or -errno with err filled: as ic_management_read. */
int ic_snapshot_list(struct ic_agent *agent, const struct ic_principal *canister,
                     const struct ic_io *io, struct ic_snapshot_list *out, struct ic_error *err)
    IC_NONNULL(1, 2, 3, 4) IC_MUST_CHECK;
void ic_snapshot_list_fini(struct ic_snapshot_list *list) IC_NONNULL(1);
bool ic_snapshot_list_has(const struct ic_snapshot_list *list, const struct ic_snapshot_id *id)
    IC_NONNULL(1, 2);

enum ic_global_kind { IC_GLOBAL_I32, IC_GLOBAL_I64, IC_GLOBAL_F32, IC_GLOBAL_F64, IC_GLOBAL_V128 };

/* A global variable of the module. */
struct ic_global {
    enum ic_global_kind kind;
    uint64_t low;  /* the bits; of i32 and i64 the two's complement, sign extended */
    uint64_t high; /* V128 only */
};

enum ic_timer_kind { IC_TIMER_UNKNOWN, IC_TIMER_INACTIVE, IC_TIMER_ACTIVE };
enum ic_hook_status {
    IC_HOOK_UNKNOWN,
    IC_HOOK_CONDITION_NOT_SATISFIED,
    IC_HOOK_READY,
    IC_HOOK_EXECUTED
};

/* What a snapshot is made of. Sizes are bytes. */
struct ic_snapshot_metadata {
    struct ic_arena arena; /* what the pointers point to */
    bool is_uploaded;      /* not taken from the canister */
    uint64_t taken_at_ns;
    uint64_t wasm_module_size;
    uint64_t wasm_memory_size;
    uint64_t stable_memory_size;
    uint64_t canister_version;
    const struct ic_global *globals;
    size_t n_globals;
    const uint8_t (*chunks)[IC_SHA256_LEN]; /* the chunk store: SHA-256 of each */
    size_t n_chunks;
    struct ic_view certified_data;
    enum ic_timer_kind timer;
    uint64_t timer_ns; /* ACTIVE: since 1970 */
    enum ic_hook_status hook;
};

/* Ask what a snapshot is made of.
 *
 * out  fills; to be released with ic_snapshot_metadata_fini
 *
 * Returns as ic_snapshot_list; IC_E_NOT_FOUND: there is no such snapshot. */
int ic_snapshot_metadata(struct ic_agent *agent, const struct ic_principal *canister,
                         const struct ic_snapshot_id *id, const struct ic_io *io,
                         struct ic_snapshot_metadata *out, struct ic_error *err)
    IC_NONNULL(1, 2, 3, 4, 5) IC_MUST_CHECK;
void ic_snapshot_metadata_fini(struct ic_snapshot_metadata *metadata) IC_NONNULL(1);

/* Take apart what the two methods above reply. Bounded by the size of the value. Return 0, or
 * -EPROTO (IC_E_WRONG_TYPE), -ENOMEM with err filled; then nothing is owned. */
int ic_snapshot_list_decode(const struct ic_value *value, struct ic_snapshot_list *out,
                            struct ic_error *err) IC_NONNULL(2) IC_MUST_CHECK;
int ic_snapshot_metadata_decode(const struct ic_value *value, struct ic_snapshot_metadata *out,
                                struct ic_error *err) IC_NONNULL(2) IC_MUST_CHECK;

enum ic_snapshot_blob {
    IC_SNAPSHOT_WASM_MODULE,
    IC_SNAPSHOT_WASM_MEMORY,
    IC_SNAPSHOT_STABLE_MEMORY,
};

/* Bytes of a snapshot. */
struct ic_snapshot_data {
    struct ic_view bytes; /* valid until ic_snapshot_data_fini */
    struct ic_management_reply reply;
};

void ic_snapshot_data_fini(struct ic_snapshot_data *data) IC_NONNULL(1);

/* Read a range of a blob with one call.
 *
 * off,len  bytes, within the blob; len 1 to IC_SNAPSHOT_SLICE_MAX
 * out      fills with exactly len bytes; to be released with ic_snapshot_data_fini
 *
 * Returns as ic_snapshot_metadata; -EPROTO also when another number of bytes came. */
int ic_snapshot_read(struct ic_agent *agent, const struct ic_principal *canister,
                     const struct ic_snapshot_id *id, enum ic_snapshot_blob blob, uint64_t off,
                     size_t len, const struct ic_io *io, struct ic_snapshot_data *out,
                     struct ic_error *err) IC_NONNULL(1, 2, 3, 7, 8) IC_MUST_CHECK;

/* Read a whole chunk of the chunk store. What came has that hash, or it is -EPROTO. */
int ic_snapshot_read_chunk(struct ic_agent *agent, const struct ic_principal *canister,
                           const struct ic_snapshot_id *id, const uint8_t hash[IC_SHA256_LEN],
                           const struct ic_io *io, struct ic_snapshot_data *out,
                           struct ic_error *err) IC_NONNULL(1, 2, 3, 4, 5, 6) IC_MUST_CHECK;

#endif
