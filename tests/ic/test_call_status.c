/* Request statuses: every form of them, and what follows from each. */
#include "ic/call_status.h"
#include "tests/ic/forge.h"
#include "tests/tap.h"

#include <errno.h>

TAP_STATE;

#define SECOND 1000000000LL

static const uint8_t request_id[IC_REQUEST_ID_LEN] = "thirty-two bytes of a request id";
static const uint8_t later_id[IC_REQUEST_ID_LEN] = {0xff};
static const uint8_t earlier_id[IC_REQUEST_ID_LEN] = {0x01};

/* ---- trees ---- */

static struct ic_buf status_leaf(const char *status)
{
    return forge_text("status", forge_text_leaf(status));
}

/* /request_status/<request_id>/<tree>, and the time. */
static struct ic_buf of_call(struct ic_buf tree)
{
    return forge_fork(
        forge_text("request_status", forge_labeled(ic_view(request_id, sizeof(request_id)), tree)),
        forge_text("time", forge_nat_leaf(1)));
}

/* A rejection: fields in label order, error_code first (or what stands in its place). */
static struct ic_buf rejected(struct ic_buf error_code, struct ic_buf code, struct ic_buf message)
{
    struct ic_buf rest = forge_fork(
        forge_fork(forge_text("reject_code", code), forge_text("reject_message", message)),
        status_leaf("rejected"));
    return of_call(error_code.len ? forge_fork(error_code, rest) : rest);
}

/* want: an enum ic_call_status, or negative: -EPROTO with IC_E_MALFORMED. The outcome's views point
 * into *tree, which the caller finis. */
static void expect_kept(struct ic_buf *tree, int want, const char *what,
                        struct ic_call_outcome *out)
{
    struct ic_hash_tree *t = NULL;
    struct ic_error err = {0};
    int ret;

    if (ic_hash_tree_decode(ic_view(tree->bytes, tree->len), &t) < 0)
        vector_die("not a tree", what);
    *out = (struct ic_call_outcome){.status = IC_CALL_DONE, .reject_code = 77};
    ret = ic_call_status_read(t, request_id, out, &err);
    TAP_INT(ret, want < 0 ? want : 0, what);
    TAP_INT(err.code, want < 0 ? IC_E_MALFORMED : IC_OK, "code");
    if (want >= 0)
        TAP_INT(out->status, want, "status");
    else
        TAP_INT(out->reject_code, 77, "nothing is filled");
    ic_hash_tree_free(t);
}

static void expect(struct ic_buf tree, int want, const char *what)
{
    struct ic_call_outcome out;
    expect_kept(&tree, want, what, &out);
    ic_buf_fini(&tree);
}

static void test_stages(void)
{
    struct ic_call_outcome o;
    struct ic_buf b;

    expect(of_call(status_leaf("received")), IC_CALL_RECEIVED, "received");
    expect(of_call(status_leaf("processing")), IC_CALL_PROCESSING, "processing");
    expect(of_call(status_leaf("done")), IC_CALL_DONE, "done");
    expect(of_call(status_leaf("new")), -EPROTO, "an unknown status");
    expect(of_call(status_leaf("")), -EPROTO, "an empty status");
    expect(of_call(status_leaf("replied\n")), -EPROTO, "nearly a status");
    expect(of_call(status_leaf("replied")), -EPROTO, "replied without a reply");
    expect(of_call(forge_fork(forge_text("reply", forge_text("x", forge_empty())),
                              status_leaf("replied"))),
           -EPROTO, "a reply that is a subtree");
    expect(of_call(forge_fork(forge_text("reply", forge_pruned(forge_text_leaf("DIDL"))),
                              status_leaf("replied"))),
           -EPROTO, "a reply pruned away");
    expect(of_call(forge_fork(forge_text("reply", forge_text_leaf("DIDL")),
                              forge_text("status", forge_pruned(forge_text_leaf("replied"))))),
           -EPROTO, "a reply with its status pruned away");
    b = of_call(forge_fork(forge_text("reply", forge_text_leaf("DIDL")), status_leaf("replied")));
    expect_kept(&b, IC_CALL_REPLIED, "replied", &o);
    TAP_OK(ic_view_is_text(o.reply, "DIDL"), "its reply");
    ic_buf_fini(&b);
}

static void test_absence(void)
{
    struct ic_view before = ic_view(earlier_id, 32), after = ic_view(later_id, 32);

    expect(forge_text("time", forge_nat_leaf(1)), IC_CALL_ABSENT, "no request at all");
    expect(forge_fork(
               forge_text("request_status", forge_fork(forge_labeled(before, status_leaf("done")),
                                                       forge_labeled(after, status_leaf("done")))),
               forge_text("time", forge_nat_leaf(1))),
           IC_CALL_ABSENT, "between two neighbours");
    expect(forge_text("request_status",
                      forge_fork(forge_labeled(before, status_leaf("done")),
                                 forge_pruned(forge_labeled(after, status_leaf("done"))))),
           -EPROTO, "what comes after is pruned away: it may hide there");
    expect(forge_text("request_status",
                      forge_fork(forge_pruned(forge_labeled(before, status_leaf("done"))),
                                 forge_labeled(after, status_leaf("done")))),
           -EPROTO, "what comes before is pruned away");
    expect(forge_fork(forge_pruned(forge_text("request_status", status_leaf("done"))),
                      forge_text("time", forge_nat_leaf(1))),
           -EPROTO, "all of it is pruned away");
    expect(of_call(forge_pruned(status_leaf("replied"))), -EPROTO, "what is below is pruned away");
    expect(of_call(forge_empty()), IC_CALL_ABSENT, "nothing below");
    expect(of_call(forge_text_leaf("replied")), IC_CALL_ABSENT, "a leaf in place of the fields");
}

static void test_rejections(void)
{
    struct ic_call_outcome o;
    struct ic_buf b = rejected(forge_text("error_code", forge_text_leaf("IC0503")),
                               forge_nat_leaf(5), forge_text_leaf("trap"));
    expect_kept(&b, IC_CALL_REJECTED, "rejected", &o);
    TAP_OK(o.reject_code == 5 && ic_view_is_text(o.reject_message, "trap") &&
               ic_view_is_text(o.error_code, "IC0503"),
           "with all its fields");
    ic_buf_fini(&b);
    b = rejected(forge_nothing(), forge_nat_leaf(5), forge_text_leaf("trap"));
    expect_kept(&b, IC_CALL_REJECTED, "rejected without an error code", &o);
    TAP_INT((int64_t)o.error_code.len, 0, "which is empty");
    ic_buf_fini(&b);

    expect(rejected(forge_pruned(forge_text("error_code", forge_text_leaf("x"))), forge_nat_leaf(5),
                    forge_text_leaf("trap")),
           -EPROTO, "the error code pruned away");
    expect(rejected(forge_text("error_code", forge_text_leaf("\xff")), forge_nat_leaf(5),
                    forge_text_leaf("trap")),
           -EPROTO, "an error code that is not UTF-8");
    expect(rejected(forge_nothing(), forge_text_leaf("\x80"), forge_text_leaf("trap")), -EPROTO,
           "a reject code cut off");
    expect(rejected(forge_nothing(), forge_leaf(ic_view("\x05\x00", 2)), forge_text_leaf("trap")),
           -EPROTO, "something after the reject code");
    expect(rejected(forge_nothing(), forge_nat_leaf(1ULL << 32), forge_text_leaf("trap")), -EPROTO,
           "a reject code too large");
    expect(rejected(forge_nothing(), forge_nat_leaf(5), forge_text_leaf("\xff")), -EPROTO,
           "a message that is not UTF-8");
    expect(rejected(forge_nothing(), forge_nat_leaf(5), forge_pruned(forge_text_leaf("x"))),
           -EPROTO, "a message pruned away");
    expect(of_call(status_leaf("rejected")), -EPROTO, "rejected without its fields");
}

/* ---- what follows ---- */

#define EXPIRY (1800000000LL * SECOND)

static void test_judge(void)
{
    static const struct {
        const char *what;
        enum ic_call_status status;
        int64_t late_ns; /* certified time, after the expiry */
        int64_t age_ns;
        bool was_seen;
        enum ic_call_verdict want;
    } rows[] = {
        {"replied", IC_CALL_REPLIED, 0, 0, false, IC_CALL_SETTLED},
        {"rejected, long after", IC_CALL_REJECTED, 900 * SECOND, 900 * SECOND, true,
         IC_CALL_SETTLED},
        {"done", IC_CALL_DONE, -SECOND, 0, false, IC_CALL_LOST},
        {"received", IC_CALL_RECEIVED, -SECOND, SECOND, false, IC_CALL_WAIT},
        {"processing after the expiry", IC_CALL_PROCESSING, 900 * SECOND, 900 * SECOND, true,
         IC_CALL_WAIT},
        {"absent", IC_CALL_ABSENT, -240 * SECOND, SECOND, false, IC_CALL_WAIT},
        {"absent at the expiry: it may start now", IC_CALL_ABSENT, 0, 240 * SECOND, false,
         IC_CALL_WAIT},
        {"absent just after the expiry", IC_CALL_ABSENT, 1, 240 * SECOND, false, IC_CALL_NEVER_RAN},
        {"absent a minute after", IC_CALL_ABSENT, 60 * SECOND, 290 * SECOND, false,
         IC_CALL_NEVER_RAN},
        {"absent later than that", IC_CALL_ABSENT, 60 * SECOND + 1, 290 * SECOND, false,
         IC_CALL_LOST},
        {"absent, sent too long ago", IC_CALL_ABSENT, 1, 290 * SECOND + 1, false, IC_CALL_LOST},
        {"absent, seen before", IC_CALL_ABSENT, 1, 240 * SECOND, true, IC_CALL_LOST},
        {"absent, seen before, not expired", IC_CALL_ABSENT, -SECOND, SECOND, true, IC_CALL_WAIT},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ic_call_sighting s = {.status = rows[i].status,
                                     .certified_ns = EXPIRY + rows[i].late_ns,
                                     .expiry_ns = EXPIRY,
                                     .age_ns = rows[i].age_ns,
                                     .was_seen = rows[i].was_seen};
        TAP_INT(ic_call_status_judge(&s), rows[i].want, rows[i].what);
    }
    struct ic_call_sighting s = {
        .status = IC_CALL_ABSENT, .certified_ns = INT64_MIN, .expiry_ns = 1};
    TAP_INT(ic_call_status_judge(&s), IC_CALL_WAIT, "an absurd certified time proves nothing");
    s = (struct ic_call_sighting){
        .status = IC_CALL_ABSENT, .certified_ns = INT64_MAX, .expiry_ns = UINT64_MAX};
    TAP_INT(ic_call_status_judge(&s), IC_CALL_WAIT, "nor an absurd expiry");
}

int main(void)
{
    test_stages();
    test_absence();
    test_rejections();
    test_judge();
    return tap_done();
}
