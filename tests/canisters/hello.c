/* A canister without stable memory methods: what a mount shows of it is its certified facts alone.
 */
#include "candid.h"
#include "ic0.h"

IC_CANDID_SERVICE("hello.did");

#define GREETING "Hello, "
#define CLOSING  "!"

static struct candid_args args;

IC_QUERY(greet)
{
    candid_open(&args);
    struct candid_text name = candid_text(&args);

    CANDID_PUT("DIDL\x00\x01\x71");
    candid_put_length(sizeof(GREETING) - 1 + name.len + sizeof(CLOSING) - 1);
    CANDID_PUT(GREETING);
    candid_put(name.bytes, name.len);
    CANDID_PUT(CLOSING);
    ic0_msg_reply();
}
