/* Chunks of a backup: the laws of split, merge and unwrap over random messages. */
#include "ic/candid_split.h"
#include "tests/ic/chunk_message.h"
#include "tests/support/random_candid.h"
#include "tests/tap.h"

#include <errno.h>
#include <stdlib.h>

TAP_STATE;

#define N_RANDOM 3000

/* A random chunk, and what is in it. */
struct sample {
    struct random_candid random;
    struct ic_value args[3];
    size_t n_args;
    size_t n_opts; /* around it */
    bool is_none;
    const struct ic_value *content; /* a vec or record; NULL when is_none */
    struct ic_buf msg;
};

static const struct ic_type *wrap(struct random_candid *r, enum ic_type_kind kind,
                                  const struct ic_type *elem)
{
    struct ic_type *type = random_candid_alloc(r, 1, sizeof(*type));
    *type = (struct ic_type){.kind = kind, .as.elem = elem};
    return type;
}

static const struct ic_type *chunk_type(struct random_candid *r)
{
    const struct ic_type *types[7];
    size_t n = 1 + random_candid_below(r, 6);

    types[0] = wrap(r, IC_TYPE_VEC, random_candid_type(r, 8));
    if (random_candid_below(r, 5) == 0)
        return types[0];
    for (size_t i = 1; i <= n; i++) {
        types[i] = random_candid_type(r, 6);
        if (random_candid_below(r, 3) == 0)
            types[i] = wrap(r, IC_TYPE_VEC, types[i]);
    }
    if (types[0]->as.elem->kind == IC_TYPE_NAT8) /* a blob, which holds no items */
        types[0] = wrap(r, IC_TYPE_VEC, &ic_type_text);
    return random_candid_record(r, types, 1 + n);
}

static bool make_sample(struct sample *s, uint64_t seed, size_t max_n)
{
    struct random_candid *r = &s->random;
    struct ic_value *content;

    *s = (struct sample){0};
    random_candid_init(r, seed);
    r->with_futures = true;
    content = random_candid_alloc(r, 1, sizeof(*content));
    s->content = content;
    if (!random_candid_value(r, chunk_type(r), max_n, content))
        return false;
    s->args[0] = *content;
    s->n_opts = random_candid_below(r, 3);
    for (size_t i = 0; i < s->n_opts; i++) {
        struct ic_value *inner = random_candid_alloc(r, 1, sizeof(*inner));
        *inner = s->args[0];
        s->args[0] = (struct ic_value){.type = wrap(r, IC_TYPE_OPT, inner->type), .as.opt = inner};
        if (random_candid_below(r, 12) == 0) {
            s->args[0].as.opt = NULL;
            s->is_none = true;
        }
    }
    s->n_args = 1 + random_candid_args(r, s->args + 1, 2);
    return ic_candid_encode(s->args, s->n_args, &s->msg, NULL) == 0;
}

static void free_sample(struct sample *s)
{
    ic_buf_fini(&s->msg);
    random_candid_fini(&s->random);
}

static bool holds_items(const struct ic_value *v)
{
    return v->type->kind == IC_TYPE_VEC && v->type->as.elem->kind != IC_TYPE_NAT8;
}

static size_t count_items(const struct sample *s)
{
    size_t n = 0;
    if (s->is_none)
        return 0;
    if (s->content->type->kind == IC_TYPE_VEC)
        return ic_value_count(s->content);
    for (size_t i = 0; i < s->content->as.seq.n; i++) {
        const struct ic_value *field = &s->content->as.seq.items[i];
        if (holds_items(field) && ic_value_count(field) > n)
            n = ic_value_count(field);
    }
    return n;
}

/* The elements [from, to) of a vec, as far as there are any. */
static void slice(const struct ic_value *v, size_t from, size_t to, struct ic_value *out)
{
    const struct ic_type *elem = v->type->as.elem;
    size_t n = ic_value_count(v);

    *out = *v;
    to = to < n ? to : n;
    from = from < to ? from : to;
    if (elem->kind >= IC_TYPE_NAT8 && elem->kind <= IC_TYPE_FLOAT64) {
        size_t width = n ? v->as.bytes.len / n : 0;
        out->as.bytes = ic_view(v->as.bytes.bytes + from * width, (to - from) * width);
    } else if (elem->kind == IC_TYPE_BOOL) {
        out->as.bytes = ic_view(v->as.bytes.bytes + from, to - from);
    } else {
        out->as.seq.items = v->as.seq.items + (elem->is_zero_width ? 0 : from);
        out->as.seq.n = to - from;
    }
}

/* The message that a half must be, made from the values. */
static struct ic_buf expected_half(struct sample *s, size_t from, size_t to)
{
    struct random_candid *r = &s->random;
    struct ic_value content = *s->content, args[3];
    struct ic_buf out = {0};

    memcpy(args, s->args, sizeof(args));
    if (!s->is_none) {
        if (content.type->kind == IC_TYPE_VEC) {
            slice(s->content, from, to, &content);
        } else {
            struct ic_value *fields =
                random_candid_alloc(r, content.as.seq.n, sizeof(*content.as.seq.items));
            for (size_t i = 0; i < content.as.seq.n; i++) {
                fields[i] = content.as.seq.items[i];
                if (holds_items(&fields[i]))
                    slice(&content.as.seq.items[i], from, to, &fields[i]);
            }
            content.as.seq.items = fields;
        }
        args[0] = content;
        for (size_t i = 0; i < s->n_opts; i++) {
            const struct ic_type *type = s->args[0].type;
            struct ic_value *inner = random_candid_alloc(r, 1, sizeof(*inner));
            for (size_t level = i + 1; level < s->n_opts; level++)
                type = type->as.elem;
            *inner = args[0];
            args[0] = (struct ic_value){.type = type, .as.opt = inner};
        }
    }
    if (ic_candid_encode(args, s->n_args, &out, NULL) < 0)
        out.len = 0;
    return out;
}

/* What does not hold of one split; NULL when all does. */
static const char *check_split(struct sample *s, uint64_t k, const struct ic_chunk_rule *rule)
{
    size_t n = count_items(s), cut = k < n ? (size_t)k : n;
    struct ic_buf first = {0}, second = {0}, merged = {0};
    struct ic_buf want_first = expected_half(s, 0, cut), want_second = expected_half(s, cut, n);
    const char *wrong = NULL;

    if (ic_candid_split(s->msg.bytes, s->msg.len, k, rule, NULL, &first, &second, NULL) < 0) {
        wrong = "it splits";
    } else {
        const struct ic_view halves[] = {view(&first), view(&second)};
        if (!is_same(&first, &want_first) || !is_same(&second, &want_second))
            wrong = "the halves hold the items before and after";
        else if (items(&first, rule) != (int64_t)cut || items(&second, rule) != (int64_t)(n - cut))
            wrong = "the halves have as many items";
        else if (ic_candid_merge(halves, 2, rule, NULL, &merged, NULL) < 0)
            wrong = "the halves merge";
        else if (!is_same(&merged, &s->msg))
            wrong = "what is merged is the message";
    }
    ic_buf_fini(&first);
    ic_buf_fini(&second);
    ic_buf_fini(&want_first);
    ic_buf_fini(&want_second);
    ic_buf_fini(&merged);
    return wrong;
}

static void test_split_law(void)
{
    unsigned n_checked = 0, n_none = 0, n_large = 0, n_wrong = 0;

    for (uint64_t seed = 0; seed < N_RANDOM; seed++) {
        struct sample s;
        if (make_sample(&s, seed, seed % 10 ? 12 : 600)) {
            uint64_t n = count_items(&s);
            const uint64_t ks[] = {0,     1, n / 2,        random_candid_below(&s.random, n + 1),
                                   n - 1, n, n + 1 + seed, UINT64_MAX};
            const char *wrong = items(&s.msg, NULL) == (int64_t)n ? NULL : "its items are counted";
            for (size_t i = 0; !wrong && i < sizeof(ks) / sizeof(ks[0]); i++)
                wrong = check_split(&s, ks[i], NULL);
            n_checked++;
            n_none += s.is_none;
            n_large += n > 20;
            if (wrong)
                printf("# seed %" PRIu64 ", %" PRIu64 " items: not so: %s\n", seed, n, wrong);
            n_wrong += wrong != NULL;
        }
        free_sample(&s);
    }
    TAP_INT(n_wrong, 0, "split is undone by merge, for random messages and everywhere");
    TAP_OK(n_checked > N_RANDOM / 2 && n_none > 20 && n_large > 50, "messages of many kinds");
}

/* Cut into many pieces, merged all at once, and one after the other. */
static void test_many_pieces(void)
{
    enum { MAX_PIECES = 40 };
    unsigned n_wrong = 0, n_checked = 0;

    for (uint64_t seed = 0; seed < N_RANDOM / 10; seed++) {
        struct sample s;
        struct ic_buf pieces[MAX_PIECES] = {0}, rest = {0}, merged = {0}, one_by_one = {0};
        struct ic_view views[MAX_PIECES];
        size_t n = 0;
        bool ok = make_sample(&s, 7000000 + seed, 60);
        if (!ok || s.is_none) {
            free_sample(&s);
            continue;
        }
        ic_buf_append(&rest, s.msg.bytes, s.msg.len);
        while (ok && n < MAX_PIECES - 1 && items(&rest, NULL) > 0) {
            struct ic_buf left = {0};
            uint64_t k = random_candid_below(&s.random, 6);
            ok = ic_candid_split(rest.bytes, rest.len, k, NULL, NULL, &pieces[n++], &left, NULL) ==
                 0;
            ic_buf_fini(&rest);
            rest = left;
        }
        pieces[n++] = rest;
        for (size_t i = 0; i < n; i++)
            views[i] = view(&pieces[i]);
        ok = ok && ic_candid_merge(views, n, NULL, NULL, &merged, NULL) == 0;
        ic_buf_append(&one_by_one, pieces[0].bytes, pieces[0].len);
        for (size_t i = 1; ok && i < n; i++) {
            struct ic_buf next = {0};
            const struct ic_view two[] = {view(&one_by_one), views[i]};
            ok = ic_candid_merge(two, 2, NULL, NULL, &next, NULL) == 0;
            ic_buf_fini(&one_by_one);
            one_by_one = next;
        }
        n_wrong += !ok || !is_same(&merged, &s.msg) || !is_same(&one_by_one, &s.msg);
        n_checked += n > 3;
        for (size_t i = 0; i < n; i++)
            ic_buf_fini(&pieces[i]);
        ic_buf_fini(&merged);
        ic_buf_fini(&one_by_one);
        free_sample(&s);
    }
    TAP_INT(n_wrong, 0, "many pieces are the message again, in one step or many");
    TAP_OK(n_checked > 50, "there were many pieces");
}

static void test_unwrap_law(void)
{
    unsigned n_wrong = 0, n_checked = 0;

    for (uint64_t seed = 0; seed < N_RANDOM; seed++) {
        struct random_candid random;
        struct ic_value content, args[4];
        struct ic_buf msg = {0}, out = {0}, want = {0}, got = {0};
        random_candid_init(&random, seed);
        if (random_candid_value(&random, random_candid_type(&random, 10), 30, &content)) {
            size_t n = 1 + random_candid_args(&random, args + 1, 3);
            args[0] = (struct ic_value){.type = wrap(&random, IC_TYPE_OPT, content.type),
                                        .as.opt = &content};
            bool ok = ic_candid_encode(args, n, &msg, NULL) == 0 &&
                      ic_candid_unwrap(msg.bytes, msg.len, NULL, &out, NULL) == 0;
            args[0] = content;
            ok = ok && ic_candid_encode(args, n, &want, NULL) == 0;
            got = normal_form(&out);
            n_wrong += !ok || !is_same(&got, &want);
            n_checked++;
        }
        ic_buf_fini(&msg);
        ic_buf_fini(&out);
        ic_buf_fini(&want);
        ic_buf_fini(&got);
        random_candid_fini(&random);
    }
    TAP_INT(n_wrong, 0, "what is in an opt, and the other arguments, stay the same");
    TAP_OK(n_checked > N_RANDOM / 2, "of many kinds");
}

int main(void)
{
    test_split_law();
    test_many_pieces();
    test_unwrap_law();
    return tap_done();
}
