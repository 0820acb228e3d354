/* Request statuses: see call_status.h. */
#include "ic/call_status.h"

#include <errno.h>

static int malformed(struct ic_error *err, const char *what)
{
    return ic_fail(err, IC_E_MALFORMED, "malformed request status: %s", what);
}

static enum ic_lookup lookup_field(const struct ic_hash_tree *tree, const uint8_t *request_id,
                                   const char *field, struct ic_view *out)
{
    return ic_hash_tree_lookup(tree,
                               IC_PATH(ic_label_text("request_status"),
                                       ic_label(request_id, IC_REQUEST_ID_LEN),
                                       ic_label_text(field)),
                               out);
}

static int outcome_rejected(const struct ic_hash_tree *tree, const uint8_t *request_id,
                            struct ic_call_outcome *out, struct ic_error *err)
{
    struct ic_view leaf;
    struct ic_cursor c;
    uint64_t code;
    enum ic_lookup result;

    if (lookup_field(tree, request_id, "reject_code", &leaf) != IC_LOOKUP_FOUND)
        return malformed(err, "a certified rejection without reject_code");
    c = ic_cursor(leaf.bytes, leaf.len);
    if (!ic_cursor_leb64(&c, &code) || ic_cursor_left(&c) != 0 || code > UINT32_MAX)
        return malformed(err, "a certified reject_code is malformed");
    if (lookup_field(tree, request_id, "reject_message", &out->reject_message) != IC_LOOKUP_FOUND ||
        !ic_view_is_utf8(out->reject_message))
        return malformed(err, "a certified rejection without reject_message");
    result = lookup_field(tree, request_id, "error_code", &out->error_code);
    if (result == IC_LOOKUP_ABSENT)
        out->error_code = ic_view(NULL, 0);
    else if (result != IC_LOOKUP_FOUND || !ic_view_is_utf8(out->error_code))
        return malformed(err, "a certified error_code is pruned or malformed");
    out->status = IC_CALL_REJECTED;
    out->reject_code = (uint32_t)code;
    return 0;
}

int ic_call_status_read(const struct ic_hash_tree *tree,
                        const uint8_t request_id[IC_REQUEST_ID_LEN], struct ic_call_outcome *out,
                        struct ic_error *err)
{
    static const struct {
        const char *text;
        enum ic_call_status status;
    } simple[] = {
        {"received", IC_CALL_RECEIVED},
        {"processing", IC_CALL_PROCESSING},
        {"done", IC_CALL_DONE},
    };
    struct ic_call_outcome o = {.status = IC_CALL_ABSENT};
    struct ic_view status;
    enum ic_lookup result = lookup_field(tree, request_id, "status", &status);
    int ret = 0;

    if (result != IC_LOOKUP_FOUND && result != IC_LOOKUP_ABSENT)
        return malformed(err, "the certificate does not tell about the request");
    if (result == IC_LOOKUP_FOUND && ic_view_is_text(status, "replied")) {
        o.status = IC_CALL_REPLIED;
        if (lookup_field(tree, request_id, "reply", &o.reply) != IC_LOOKUP_FOUND)
            return malformed(err, "a certified reply without content");
    } else if (result == IC_LOOKUP_FOUND && ic_view_is_text(status, "rejected")) {
        ret = outcome_rejected(tree, request_id, &o, err);
    } else if (result == IC_LOOKUP_FOUND) {
        size_t i = 0, n = sizeof(simple) / sizeof(simple[0]);
        while (i < n && !ic_view_is_text(status, simple[i].text))
            i++;
        if (i == n)
            return malformed(err, "unknown status of a request");
        o.status = simple[i].status;
    }
    if (ret == 0)
        *out = o;
    return ret;
}

enum ic_call_verdict ic_call_status_judge(const struct ic_call_sighting *s)
{
    int64_t late_ns;
    switch (s->status) {
    case IC_CALL_REPLIED:
    case IC_CALL_REJECTED:
        return IC_CALL_SETTLED;
    case IC_CALL_DONE:
        return IC_CALL_LOST;
    case IC_CALL_RECEIVED:
    case IC_CALL_PROCESSING:
        return IC_CALL_WAIT;
    case IC_CALL_ABSENT:
        break;
    }
    if (s->expiry_ns > INT64_MAX ||
        __builtin_sub_overflow(s->certified_ns, (int64_t)s->expiry_ns, &late_ns) || late_ns <= 0)
        return IC_CALL_WAIT;
    if (!s->was_seen && late_ns <= IC_CALL_EXPIRED_NS && s->age_ns <= IC_CALL_KEPT_NS)
        return IC_CALL_NEVER_RAN;
    return IC_CALL_LOST;
}
