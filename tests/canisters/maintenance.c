/* See maintenance.h. */
#include "maintenance.h"

#include "candid.h"
#include "convention.h"
#include "ic0.h"
#include "live.h"

#define SECOND_NS ((uint64_t)1000000000)

/* What the heap keeps from message to message. */
static struct {
    uint64_t lease; /* the last one; 0: none since the upgrade */
    uint64_t ttl_ns;
    uint64_t expires_ns; /* 0: given back */
    uint64_t in_flight;
    struct words reason;
} state;

/* Scratch space of the running message. */
static struct candid_args args;

static bool is_paused(void)
{
    return ic0_time() < state.expires_ns;
}

void maintenance_require(void)
{
    if (!is_paused())
        return;
    struct words words = {.len = 0};

    words_put(&words, "in maintenance: ");
    words_put_utf8(&words, state.reason.bytes, state.reason.len);
    ic0_trap(words.bytes, words.len);
}

void maintenance_enter(void)
{
    state.in_flight++;
}

void maintenance_leave(void)
{
    if (state.in_flight > 0) /* it may have begun before an upgrade */
        state.in_flight--;
}

/* --- methods --- */

struct pause {
    uint32_t ttl_s;
    struct words reason;
};

static struct pause read_pause(void)
{
    struct pause pause = {.ttl_s = 0};
    unsigned fields = 0;
    uint32_t id;

    candid_open(&args);
    candid_record(&args);
    while (candid_field(&args, &id)) {
        if (id == candid_hash("ttl_s")) {
            pause.ttl_s = candid_nat32(&args);
            fields |= 1;
        } else if (id == candid_hash("reason")) {
            struct candid_text text = candid_text(&args);

            words_put_utf8(&pause.reason, text.bytes, text.len);
            fields |= 2;
        } else {
            candid_skip(&args);
        }
    }
    if (fields != 3)
        IC_TRAP("argument: a field is missing");
    return pause;
}

static void reply_held(void)
{
    struct words words = {.len = 0};

    words_put(&words, "lease ");
    words_put_number(&words, state.lease);
    words_put(&words, ": ");
    words_put_utf8(&words, state.reason.bytes, state.reason.len);
    reply_words(REPLY_PAUSE, ERR_BUSY, &words);
}

IC_UPDATE(maintenance_pause)
{
    if (reply_denied(REPLY_PAUSE))
        return;
    struct pause pause = read_pause();
    uint64_t now = ic0_time();

    if (is_paused()) {
        reply_held();
        return;
    }
    if (pause.ttl_s == 0 || pause.ttl_s > MAINTENANCE_TTL_MAX_S) {
        reply_err(REPLY_PAUSE, ERR_RANGE);
        return;
    }
    /* Numbers are times, too: none comes again after an upgrade. */
    state.lease = now > state.lease ? now : state.lease + 1;
    state.ttl_ns = pause.ttl_s * SECOND_NS;
    state.expires_ns = now + state.ttl_ns;
    state.reason = pause.reason;
    reply_ok(REPLY_PAUSE);
    candid_put_nat64(state.lease);
    candid_put_nat64(live_version());
    ic0_msg_reply();
}

static uint64_t read_lease(void)
{
    candid_open(&args);
    return candid_nat64(&args);
}

static void reply_ok_if(bool is_ok)
{
    if (!is_ok) {
        reply_text(REPLY_NOTHING, ERR_OTHER, "no such lease");
        return;
    }
    reply_ok(REPLY_NOTHING);
    ic0_msg_reply();
}

IC_UPDATE(maintenance_renew)
{
    if (reply_denied(REPLY_NOTHING))
        return;
    bool is_held = read_lease() == state.lease && is_paused();

    if (is_held)
        state.expires_ns = ic0_time() + state.ttl_ns;
    reply_ok_if(is_held);
}

IC_UPDATE(maintenance_resume)
{
    if (reply_denied(REPLY_NOTHING))
        return;
    uint64_t lease = read_lease();
    bool is_last = lease != 0 && lease == state.lease;

    if (is_last)
        state.expires_ns = 0;
    reply_ok_if(is_last);
}

IC_QUERY(maintenance_status)
{
    if (!ic_caller_is_controller()) {
        IC_REJECT("denied: only a controller may ask for the maintenance");
        return;
    }
    uint8_t paused = is_paused();

    reply_open(REPLY_MAINTENANCE_STATUS);
    candid_put_nat64(paused ? state.expires_ns : 0);
    candid_put_nat64(state.in_flight);
    candid_put(&paused, sizeof(paused));
    ic0_msg_reply();
}
