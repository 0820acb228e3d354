/* Any message at expected types: of a list of nasty ones, or of another message. The first byte
 * says which; at 255 the next two are the length of that other message.
 *
 * What is claimed:
 * - a message fits its own types, says the same then, and can be skipped
 * - where the types are in the subtype relation, the message fits
 * - what was decoded at types encodes at them, and decodes to the same
 * - what can be converted to types encodes at them, and fits them
 */
#include "ic/candid_coerce.h"
#include "ic/candid_convert.h"
#include "ic/candid_relation.h"
#include "ic/did.h"
#include "tests/fuzz/target.h"

#include <string.h>

#define MAX_ARGS  32
#define MAX_TYPES 64

static const char *const description =
    "type O = opt O;"
    "type E = record { E };"
    "type V = vec V;"
    "type N = opt record { N; nat };"
    "type List = opt record { head : int; tail : List };"
    "type Tree = variant { leaf : int; node : record { Tree; Tree } };"
    "type F = func (F, opt G) -> (G);"
    "type G = service { f : F; g : (G) -> (F) query };"
    "type Wide = record { nat; opt nat; null; reserved; text; blob; vec opt Wide };"
    "service : {"
    "  a0 : () -> ();"
    "  a1 : (O) -> (); a2 : (E) -> (); a3 : (V) -> (); a4 : (N) -> (); a5 : (List) -> ();"
    "  a6 : (Tree) -> (); a7 : (F) -> (); a8 : (G) -> (); a9 : (opt F, opt G) -> ();"
    "  b0 : (Wide) -> (); b1 : (opt Wide) -> (); b2 : (vec opt opt opt nat) -> ();"
    "  b3 : (vec null) -> (); b4 : (vec opt null) -> (); b5 : (vec reserved) -> ();"
    "  b6 : (vec record { null; reserved }) -> (); b7 : (vec record { opt nat; null }) -> ();"
    "  b8 : (blob) -> (); b9 : (vec opt nat8) -> ();"
    "  c0 : (int) -> (); c1 : (opt int) -> (); c2 : (nat) -> (); c3 : (reserved) -> ();"
    "  c4 : (null) -> (); c5 : (empty) -> (); c6 : (principal) -> (); c7 : (opt principal) -> ();"
    "  c8 : (opt opt opt bool, null, opt text) -> (); c9 : (variant {}) -> ();"
    "  d0 : (opt variant { a : int; b : opt int; 0; 1 : bool }) -> ();"
    "  d1 : (record { 0 : opt bool; 1 : opt variant { 0 }; 2 : vec opt blob }) -> ();"
    "  d2 : (opt record { 0 : int; 1 : opt record { 0 : opt nat; 2 : text } }) -> ();"
    "  d3 : (float32, opt float64) -> (); d4 : (int8, opt int16, opt int32, opt int64) -> ();"
    "  d5 : (vec int) -> (); d6 : (vec vec vec null) -> (); d7 : (opt func () -> ()) -> ();"
    "  d8 : (opt service {}) -> (); d9 : (text, opt bool) -> ();"
    "}";

struct list {
    const struct ic_type *types[MAX_ARGS];
    size_t n;
};

/* The types of the arguments of a message; false when there are too many to bother. */
static bool types_of(const struct ic_candid *msg, struct list *out)
{
    out->n = ic_candid_count(msg);
    if (out->n > MAX_ARGS)
        return false;
    for (size_t i = 0; i < out->n; i++)
        out->types[i] = ic_candid_arg(msg, i)->type;
    return true;
}

/* ---- are there types that this Candid does not know? ---- */

static bool is_strange(const struct ic_type *type, const struct ic_type **seen, size_t *n)
{
    bool strange = type->kind == IC_TYPE_FUTURE;

    for (size_t i = 0; i < *n; i++)
        if (seen[i] == type)
            return false;
    if (*n == MAX_TYPES)
        return true; /* who knows */
    seen[(*n)++] = type;
    switch ((int)type->kind) {
    case IC_TYPE_OPT:
    case IC_TYPE_VEC:
        return is_strange(type->as.elem, seen, n);
    case IC_TYPE_RECORD:
    case IC_TYPE_VARIANT:
        for (size_t i = 0; !strange && i < type->as.fields.n; i++)
            strange = is_strange(type->as.fields.fields[i].type, seen, n);
        return strange;
    case IC_TYPE_FUNC:
        for (size_t i = 0; !strange && i < type->as.func.n_args; i++)
            strange = is_strange(type->as.func.args[i], seen, n);
        for (size_t i = 0; !strange && i < type->as.func.n_results; i++)
            strange = is_strange(type->as.func.results[i], seen, n);
        return strange;
    case IC_TYPE_SERVICE:
        for (size_t i = 0; !strange && i < type->as.service.n; i++)
            strange = is_strange(type->as.service.methods[i].type, seen, n);
        return strange;
    default:
        return strange;
    }
}

static bool has_strange(const struct list *list)
{
    const struct ic_type *seen[MAX_TYPES];
    size_t n = 0;
    bool strange = false;
    for (size_t i = 0; !strange && i < list->n; i++)
        strange = is_strange(list->types[i], seen, &n);
    return strange;
}

/* ---- claims ---- */

static bool equal(const struct ic_candid *a, const struct ic_candid *b)
{
    bool same = ic_candid_count(a) == ic_candid_count(b);
    for (size_t i = 0; same && i < ic_candid_count(a); i++)
        same = ic_value_equal(ic_candid_arg(a, i), ic_candid_arg(b, i));
    return same;
}

/* Decode; only a limit, or (where that may be) a wrong type, refuses. */
static struct ic_candid *decode(const uint8_t *bytes, size_t len, const struct list *at,
                                bool may_mismatch)
{
    struct ic_candid *msg = NULL;
    struct ic_error err = {0};
    int ret = ic_candid_decode_as(bytes, len, at->types, at->n, NULL, &msg, &err);
    CLAIM((ret == 0) == (msg != NULL));
    CLAIM(ret == 0 || err.message[0]);
    CLAIM(ret == 0 || may_mismatch || err.code == IC_E_MALFORMED);
    return msg;
}

/* A good message at its own types. */
static void check_own(const uint8_t *bytes, size_t len, const struct ic_candid *msg,
                      const struct list *own)
{
    struct ic_candid *again = decode(bytes, len, own, has_strange(own)), *nothing = NULL;

    CLAIM(!again || has_strange(own) || equal(msg, again));
    ic_candid_free(again);
    CLAIM(ic_candid_decode_as(bytes, len, NULL, 0, NULL, &nothing, NULL) == 0);
    CLAIM(ic_candid_count(nothing) == 0);
    ic_candid_free(nothing);
}

/* Values at these types: encoded, they fit these types and say the same. A short message may have
 * become a long one, with many values made up, whose limits are those of its length. */
static void check_stable(const struct ic_candid *msg, const struct list *at)
{
    struct ic_buf out = {0};
    struct ic_candid *again;
    int ret = ic_candid_encode(at->n ? ic_candid_arg(msg, 0) : NULL, at->n, &out, NULL);

    CLAIM(ret == 0);
    again = decode(out.bytes, out.len, at, false);
    CLAIM(!again || equal(msg, again));
    ic_candid_free(again);
    ic_buf_fini(&out);
}

static void check_converted(const struct ic_candid *msg, const struct list *at)
{
    struct ic_buf out = {0};
    size_t n = ic_candid_count(msg);
    if (ic_candid_encode_as(n ? ic_candid_arg(msg, 0) : NULL, n, at->types, at->n, &out, NULL) == 0)
        ic_candid_free(decode(out.bytes, out.len, at, false));
    ic_buf_fini(&out);
}

static void check_message(const uint8_t *bytes, size_t len, const struct list *at)
{
    struct ic_candid *msg = NULL, *typed;
    struct list own = {.n = 0};
    bool fits = false, strange = has_strange(at);
    int ret = ic_candid_decode(bytes, len, NULL, &msg, NULL);

    if (ret == 0 && types_of(msg, &own)) {
        check_own(bytes, len, msg, &own);
        if (!strange)
            check_converted(msg, at);
        if (ic_type_lists_relate(own.types, own.n, at->types, at->n, IC_TYPE_SUBTYPE, &fits, NULL) <
            0)
            fits = false;
    }
    typed = decode(bytes, len, at, !fits);
    if (typed && !strange)
        check_stable(typed, at);
    ic_candid_free(typed);
    ic_candid_free(msg);
}

/* ---- inputs ---- */

static struct ic_did *parse_description(void)
{
    struct ic_did *did = NULL;
    struct ic_error err = {0};
    if (ic_did_parse(description, strlen(description), NULL, &did, &err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        abort();
    }
    return did;
}

static void run_listed(uint8_t which, const uint8_t *bytes, size_t len)
{
    struct ic_did *did = parse_description();
    const struct ic_type *func =
        did->service->as.service.methods[which % did->service->as.service.n].type;
    struct list at = {.n = func->as.func.n_args};

    memcpy(at.types, func->as.func.args, at.n * sizeof(at.types[0]));
    check_message(bytes, len, &at);
    ic_did_free(did);
}

static void run_pair(const uint8_t *bytes, size_t len)
{
    struct ic_candid *other = NULL;
    struct list at;
    size_t other_len;

    if (len < 2)
        return;
    other_len = bytes[0] | (size_t)bytes[1] << 8;
    bytes += 2;
    len -= 2;
    if (other_len > len || ic_candid_decode(bytes, other_len, NULL, &other, NULL) < 0)
        return;
    if (types_of(other, &at))
        check_message(bytes + other_len, len - other_len, &at);
    ic_candid_free(other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] == 255)
        run_pair(data + 1, size - 1);
    else
        run_listed(data[0], data + 1, size - 1);
    return 0;
}
