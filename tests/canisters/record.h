/* What must survive upgrades, and those that skip canister_pre_upgrade: it is written to the last
 * page of stable memory by each message that changes it. The page is told from the application's
 * data by a magic number and a hash. A canister without it (nothing was ever restored) has live
 * bytes alone.
 */
#ifndef CANISTERS_RECORD_H
#define CANISTERS_RECORD_H

#include "live.h"
#include "ranges.h"
#include "sha256.h"

#include <stdbool.h>
#include <stdint.h>

#define RECORD_OUTCOMES 64

enum session_state {
    SESSION_NONE,
    SESSION_OPEN,     /* takes chunks */
    SESSION_APPLYING, /* only goes forward */
    SESSION_COMMITTED,
    SESSION_ABORTED,
};

struct session {
    uint64_t id;
    uint64_t state; /* enum session_state: none, open or applying */
    uint64_t size;
    uint8_t sha256[SHA256_BYTES];
    uint64_t has_base;
    uint64_t base_version;
    uint64_t expires_ns;
    uint64_t n_slots;   /* of the stage in use, see stage.h */
    uint64_t verified;  /* content before here is in hash */
    uint64_t applied;   /* content before here is live */
    struct sha256 hash; /* over the pieces' hashes */
};

struct outcome {
    uint64_t id;
    uint64_t size;
    uint64_t state; /* committed or aborted */
};

/* As it is stored: a change of it needs another magic number. */
struct record {
    uint64_t magic[2];
    uint8_t sha256[SHA256_BYTES]; /* of what follows, as far as stored */
    uint64_t length;              /* bytes stored, from magic on */
    struct live live;
    uint64_t last_session;
    uint64_t n_outcomes; /* ever; the last ones are in outcomes[n % RECORD_OUTCOMES] */
    struct outcome outcomes[RECORD_OUTCOMES];
    struct session session;
    struct ranges received; /* last, for its list is stored as far as it is used */
};

extern struct record record;

/* Reads the stored record, or makes one up of the size of the memory. Traps on a damaged one. */
void record_load(void);

/* Whether there is a place for the record, made by record_reserve. */
bool record_is_kept(void);

/* Makes room for bytes up to end, and the record behind them. False: the memory cannot grow. A
 * record_save must follow. */
bool record_reserve(uint64_t end);
void record_save(void);

/* Whether the last page looks like a record and is none. */
bool record_is_mistaken(void);

#endif
