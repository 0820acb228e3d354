/* Relations of Candid types: see candid_relation.h.
 *
 * A relation is the largest that its rules allow (the specification's are read co-inductively):
 * a pair holds unless some pair it leads to breaks a rule by itself. No rule offers a choice, so
 * there is nothing to take back: all pairs that are reached go into one list, each once, and the
 * first that breaks a rule decides.
 *
 * Source: Candid specification, Subtyping; and of what decoding at an opt does, Deserialisation.
 */
#include "ic/candid_relation.h"

#include "ic/candid_impl.h"

#include <errno.h>
#include <search.h>
#include <stdint.h>

#define MAX_STEPS (64 * (size_t)IC_TYPE_MAX_PAIRS)

enum pair_state {
    PAIR_HOLDS,   /* as far as its question went; once that is answered, for good */
    PAIR_UNKNOWN, /* of a question that was answered no: of no importance, or not looked at */
    PAIR_BREAKS,
};

struct candid_pair {
    const struct ic_type *a, *b;
    enum ic_type_relation relation;
    enum pair_state state;
    struct candid_pair *next; /* of the same question: where to look next */
};

/* Answers of a rule: 1 holds as far as this pair goes, 0 does not, negative errno. */

static int compare_pairs(const void *x, const void *y)
{
    const struct candid_pair *p = x, *q = y;
    if (p->a != q->a)
        return (uintptr_t)p->a < (uintptr_t)q->a ? -1 : 1;
    if (p->b != q->b)
        return (uintptr_t)p->b < (uintptr_t)q->b ? -1 : 1;
    return (int)p->relation - (int)q->relation;
}

static int step(struct candid_relater *q)
{
    if (*q->steps_left == 0)
        return -E2BIG;
    --*q->steps_left;
    return 1;
}

static int find_pair(struct candid_relater *q, const struct candid_pair *key,
                     struct candid_pair **out)
{
    struct candid_pair *pair;
    void **found = tfind(key, &q->pairs, compare_pairs), *memory;
    int ret;

    if (found) {
        *out = *found;
        return 0;
    }
    ret = ic_arena_alloc(&q->arena, 1, sizeof(*pair), &memory);
    if (ret < 0)
        return ret;
    pair = memory;
    *pair = *key;
    if (!tsearch(pair, &q->pairs, compare_pairs))
        return -ENOMEM;
    *out = pair;
    return 0;
}

/* The pair has to hold, too. */
static int require(struct candid_relater *q, const struct ic_type *a, const struct ic_type *b,
                   enum ic_type_relation relation)
{
    struct candid_pair key = {a, b, relation, PAIR_UNKNOWN, NULL}, *pair = NULL;
    int ret = step(q);

    if (ret < 0 || a == b)
        return ret;
    ret = find_pair(q, &key, &pair);
    if (ret < 0)
        return ret;
    if (pair->state == PAIR_UNKNOWN) {
        pair->state = PAIR_HOLDS;
        pair->next = NULL;
        *q->last = pair;
        q->last = &pair->next;
    }
    return pair->state == PAIR_HOLDS;
}

/* ---- parts ---- */

/* Fields in the order of their ids: each of b must be in a or optional, and a's others may go. */
static int record_rule(struct candid_relater *q, const struct ic_type *a, const struct ic_type *b,
                       enum ic_type_relation relation)
{
    const struct ic_type_field *x = a->as.fields.fields, *x_end = x + a->as.fields.n;
    const struct ic_type_field *y = b->as.fields.fields, *y_end = y + b->as.fields.n;
    int ret = 1;

    if (relation == IC_TYPE_EQUAL && a->as.fields.n != b->as.fields.n)
        return 0;
    while (ret > 0 && (x < x_end || y < y_end)) {
        if (y == y_end || (x < x_end && x->id < y->id)) {
            ret = relation == IC_TYPE_SUBTYPE ? step(q) : 0;
            x++;
        } else if (x == x_end || y->id < x->id) {
            ret = relation != IC_TYPE_EQUAL && candid_is_optional(y->type) ? step(q) : 0;
            y++;
        } else {
            ret = require(q, x->type, y->type, relation);
            x++, y++;
        }
    }
    return ret;
}

/* Each case of a must be in b. */
static int variant_rule(struct candid_relater *q, const struct ic_type *a, const struct ic_type *b,
                        enum ic_type_relation relation)
{
    const struct ic_type_field *x = a->as.fields.fields, *x_end = x + a->as.fields.n;
    const struct ic_type_field *y = b->as.fields.fields, *y_end = y + b->as.fields.n;
    int ret = 1;

    if (relation == IC_TYPE_EQUAL && a->as.fields.n != b->as.fields.n)
        return 0;
    for (; ret > 0 && x < x_end; x++) {
        while (ret > 0 && y < y_end && y->id < x->id) {
            ret = step(q);
            y++;
        }
        if (ret > 0)
            ret = y < y_end && y->id == x->id ? require(q, x->type, y->type, relation) : 0;
    }
    return ret;
}

/* As records whose fields are numbered from 0. */
static int list_rule(struct candid_relater *q, const struct ic_type *const *a, size_t n_a,
                     const struct ic_type *const *b, size_t n_b, enum ic_type_relation relation)
{
    int ret = 1;

    if (n_a > n_b && relation != IC_TYPE_SUBTYPE)
        return 0;
    if (n_a < n_b && relation == IC_TYPE_EQUAL)
        return 0;
    for (size_t i = 0; ret > 0 && i < n_b; i++) {
        if (i < n_a)
            ret = require(q, a[i], b[i], relation);
        else
            ret = candid_is_optional(b[i]) ? step(q) : 0;
    }
    return ret;
}

/* A function in place of another takes what the other takes. Values are references, of which
 * nothing is lost: so a function's own parts need no more than a subtype. */
static int func_rule(struct candid_relater *q, const struct ic_type *a, const struct ic_type *b,
                     enum ic_type_relation relation)
{
    int ret;

    if (a->as.func.mode != b->as.func.mode)
        return 0;
    if (relation == IC_TYPE_LOSSLESS)
        relation = IC_TYPE_SUBTYPE;
    ret = list_rule(q, b->as.func.args, b->as.func.n_args, a->as.func.args, a->as.func.n_args,
                    relation);
    if (ret > 0)
        ret = list_rule(q, a->as.func.results, a->as.func.n_results, b->as.func.results,
                        b->as.func.n_results, relation);
    return ret;
}

/* Each method of b must be in a. */
static int service_rule(struct candid_relater *q, const struct ic_type *a, const struct ic_type *b,
                        enum ic_type_relation relation)
{
    const struct ic_type_method *x = a->as.service.methods, *x_end = x + a->as.service.n;
    const struct ic_type_method *y = b->as.service.methods, *y_end = y + b->as.service.n;
    int ret = 1;

    if (relation == IC_TYPE_EQUAL && a->as.service.n != b->as.service.n)
        return 0;
    if (relation == IC_TYPE_LOSSLESS)
        relation = IC_TYPE_SUBTYPE;
    for (; ret > 0 && y < y_end; y++) {
        int order = -1;
        while (ret > 0 && x < x_end && (order = ic_view_compare(x->name, y->name)) < 0) {
            ret = step(q);
            x++;
        }
        if (ret > 0)
            ret = x < x_end && order == 0 ? require(q, x->type, y->type, relation) : 0;
    }
    return ret;
}

/* ---- types ---- */

/* A value of a becomes some or none of b, which is an opt. Whatever does not fit becomes none; for
 * nothing to be lost it has to fit, as the decoder does it: an opt meets an opt, any other value
 * what is in the opt. */
static int opt_rule(struct candid_relater *q, const struct ic_type *a, const struct ic_type *b,
                    enum ic_type_relation relation)
{
    if (relation == IC_TYPE_SUBTYPE || a->kind == IC_TYPE_NULL)
        return 1;
    if (a->kind == IC_TYPE_OPT)
        return require(q, a->as.elem, b->as.elem, relation);
    for (unsigned span = 0; b->kind == IC_TYPE_OPT; span++) {
        int ret = span < CANDID_MAX_DEPTH ? step(q) : 0;
        if (ret <= 0)
            return ret;
        b = b->as.elem;
    }
    return require(q, a, b, relation);
}

static int same_kind_rule(struct candid_relater *q, const struct ic_type *a,
                          const struct ic_type *b, enum ic_type_relation relation)
{
    switch ((int)a->kind) {
    case IC_TYPE_OPT:
    case IC_TYPE_VEC:
        return require(q, a->as.elem, b->as.elem, relation);
    case IC_TYPE_RECORD:
        return record_rule(q, a, b, relation);
    case IC_TYPE_VARIANT:
        return variant_rule(q, a, b, relation);
    case IC_TYPE_FUNC:
        return func_rule(q, a, b, relation);
    case IC_TYPE_SERVICE:
        return service_rule(q, a, b, relation);
    case IC_TYPE_FUTURE: /* nothing is known of either */
        return 0;
    default:
        return 1;
    }
}

static int rule(struct candid_relater *q, const struct candid_pair *pair)
{
    const struct ic_type *a = pair->a, *b = pair->b;

    if (pair->relation == IC_TYPE_EQUAL)
        return a->kind == b->kind ? same_kind_rule(q, a, b, pair->relation) : 0;
    if (a->kind == IC_TYPE_EMPTY)
        return 1;
    if (b->kind == IC_TYPE_RESERVED)
        return pair->relation == IC_TYPE_SUBTYPE || a->kind == IC_TYPE_RESERVED;
    if (b->kind == IC_TYPE_OPT)
        return opt_rule(q, a, b, pair->relation);
    if ((a->kind == IC_TYPE_NAT && b->kind == IC_TYPE_INT) ||
        (a->kind == IC_TYPE_SERVICE && b->kind == IC_TYPE_PRINCIPAL))
        return 1;
    return a->kind == b->kind ? same_kind_rule(q, a, b, pair->relation) : 0;
}

/* ---- questions ---- */

void candid_relater_init(struct candid_relater *q, size_t *steps_left)
{
    *q = (struct candid_relater){.steps_left = steps_left};
    q->last = &q->first;
    ic_arena_init(&q->arena, IC_TYPE_MAX_PAIRS * sizeof(struct candid_pair));
}

static void keep_pair(void *pair)
{
    (void)pair; /* lives in the arena */
}

void candid_relater_fini(struct candid_relater *q)
{
    tdestroy(q->pairs, keep_pair);
    ic_arena_fini(&q->arena);
}

/* Look at all pairs of the question. ret is the answer so far, and becomes the final one. */
static int answer(struct candid_relater *q, int ret)
{
    for (const struct candid_pair *pair = q->first; ret > 0 && pair; pair = pair->next)
        ret = rule(q, pair);
    if (ret <= 0)
        for (struct candid_pair *pair = q->first; pair; pair = pair->next)
            pair->state = PAIR_UNKNOWN;
    q->first = NULL;
    q->last = &q->first;
    return ret;
}

int candid_is_subtype(struct candid_relater *q, const struct ic_type *a, const struct ic_type *b)
{
    int ret = require(q, a, b, IC_TYPE_SUBTYPE);
    struct candid_pair *asked = q->first; /* none when it is known */

    ret = answer(q, ret);
    if (ret == 0 && asked)
        asked->state = PAIR_BREAKS;
    return ret;
}

/* One question, and its answer for the caller. */
static int report(int ret, bool *out, struct ic_error *err)
{
    if (ret == -ENOMEM)
        return ic_fail(err, IC_E_NO_MEMORY, "candid: out of memory");
    if (ret < 0)
        return ic_fail(err, IC_E_MALFORMED, "candid: types too large to be compared");
    *out = ret > 0;
    return 0;
}

int ic_type_relates(const struct ic_type *a, const struct ic_type *b,
                    enum ic_type_relation relation, bool *out, struct ic_error *err)
{
    struct candid_relater q;
    size_t steps = MAX_STEPS;
    int ret;

    candid_relater_init(&q, &steps);
    ret = answer(&q, require(&q, a, b, relation));
    candid_relater_fini(&q);
    return report(ret, out, err);
}

int ic_type_lists_relate(const struct ic_type *const *a, size_t n_a, const struct ic_type *const *b,
                         size_t n_b, enum ic_type_relation relation, bool *out,
                         struct ic_error *err)
{
    struct candid_relater q;
    size_t steps = MAX_STEPS;
    int ret;

    candid_relater_init(&q, &steps);
    ret = answer(&q, list_rule(&q, a, n_a, b, n_b, relation));
    candid_relater_fini(&q);
    return report(ret, out, err);
}
