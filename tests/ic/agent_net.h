/* What the tests of ic/agent share: a pretended network of one subnet that answers as planned, and
 * agents that talk to it.
 */
#ifndef CANISTERFS_TESTS_IC_AGENT_NET_H
#define CANISTERFS_TESTS_IC_AGENT_NET_H

#include "ic/agent.h"
#include "ic/wait.h"
#include "tests/support/fake_ic.h"
#include "tests/support/fake_server.h"

#include <pthread.h>

#define CANISTER "bkyz2-fmaaa-aaaaa-qaaaq-cai" /* of the recorded answers */

/* Set by net_open. */
extern struct ic_principal canister;
extern struct ic_identity *anonymous;
extern uint8_t root_key[FAKE_IC_ROOT_KEY_LEN];

/* --- the network --- */

enum wrong {
    RIGHT,
    WRONG_SIGNATURE,
    WRONG_NODE, /* a signature by a node that the subnet does not have */
    TOO_MANY_SIGNATURES,
    TOO_OLD,
    FROM_THE_FUTURE,
    NOT_CBOR,
    ONE_BYTE_MORE,
    FOR_ANOTHER_REQUEST,
    FORGOTTEN,
    REFUSED, /* of a call: before it ran, not certified */
    ABSENT,  /* of a call: a certificate that does not know it */
    PRUNED,  /* of a call: a certificate that proves nothing about it */
};

/* What the network does with requests of one kind, from the first_bad-th to the last_bad-th. */
struct plan {
    unsigned first_bad;
    unsigned last_bad;
    enum wrong wrong;
    int status; /* 0 = 200 */
    const char *headers;
    const char *text;           /* body of another status than 200 */
    uint32_t reject_code;       /* 0 = replied */
    const char *reject_message; /* of a query; NULL = one not fit to print */
    const char *error_code;
    const char *call_status; /* of a call: instead of its outcome, "received" or "processing" */
    enum fake_fault fault;
    size_t fault_at;
    unsigned delay_ms;  /* of all, good or bad */
    const uint8_t *raw; /* not NULL: this body, which must stay */
    size_t raw_len;
};

struct nature {
    bool has_other_node; /* the subnet has it from the second asking on */
    size_t reply_len;    /* of a query; 0 = echo the argument */
    int64_t skew_ns;     /* the network's clock is ahead by this */
    bool is_elsewhere;   /* the canister is not in the ranges of this subnet, the root */
    bool is_old;         /* it has the v2 API only; else none of v2 */
    const char *headers; /* of every answer that has no others; as "Date: ...\r\n" */
    /* Answers to questions for the status of calls, one after the other, the last for ever; none:
     * replied. */
    const struct plan *asks;
    unsigned n_asks;
    const struct plan *calls; /* the same for calls, instead of their plan */
    unsigned n_calls;
    const uint8_t *call_reply; /* of a call that went well; NULL = "done" */
    size_t call_reply_len;
};

/* The last call, as it arrived. */
struct sent_call {
    char path[160];
    char method[64];
    size_t canister_len; /* of the id of the canister called: 0 is the management canister */
    uint8_t arg[1024];
    size_t arg_len;
};

/* All but the server guarded by lock. */
struct network {
    pthread_mutex_t lock;
    struct plan query;
    struct plan state;
    struct plan call;
    unsigned n_queries;
    unsigned n_states;
    unsigned n_calls;
    unsigned n_asked; /* for the status of a call */
    struct sent_call last_call;
    struct nature nature;
    struct fake_server *server; /* main thread */
};

extern struct network net;

void net_open(void);
void net_close(void);

static const struct plan all_good = {.first_bad = 1, .last_bad = 0};

/* Plan for requests of one kind; all others are well, and all counters 0. */
void plan_queries(struct plan plan);
void plan_states(struct plan plan);
void plan_calls(struct plan plan);
void set_nature(struct nature nature);

/* The last call, just now. */
struct sent_call last_call(void);

/* A counter of the network, just now. */
unsigned asked(const unsigned *counter);

int64_t wall_ns(void);

/* By how much the network's clock is ahead when a call made now expired half a minute ago. An
 * expiry is a whole minute: waits when the minute is about to change. */
int64_t skew_expired_ns(void);

/* "Date: ...\r\n" for a server's clock ahead of ours by this. */
const char *date_header(int64_t ahead_ns, char text[64]);

/* --- the client --- */

struct ic_io within_ms(int64_t ms);
int64_t ms_since(int64_t start_ns);

/* config: url, key and identity are filled in, and a stall time of 5 s where it has none, so that a
 * busy machine is not taken for a stall; may be NULL. Ends the program when it fails. */
struct ic_agent *open_agent_as(const struct ic_agent_config *config);
struct ic_agent *open_agent(void);

/* For tests of stalls. */
#define SHORT_STALL_MS 300

/* The query and the update that the network knows. */
int query(struct ic_agent *agent, const struct ic_io *io, struct ic_reply *reply,
          struct ic_error *err);
int update(struct ic_agent *agent, const struct ic_io *io, struct ic_reply *reply,
           struct ic_error *err);

#endif
