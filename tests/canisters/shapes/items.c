/* Collections of every style that the convention knows, and knobs for what can be odd about them.
 *
 * Size counts the items. `configure("name=value name=value")`, for controllers, turns the knobs of
 * the table below; those that are not named are turned back. Every call of fill, configure, touch
 * and of what restores (items_restore.c) is a new version.
 */
#include "items.h"

static struct {
    uint64_t bytes;        /* of the collections of bytes */
    uint64_t body_min;     /* shortest and longest body of an item */
    uint64_t body_max;     /* */
    uint64_t giant_at;     /* this item is */
    uint64_t giant_bytes;  /* so long */
    uint64_t bad_at;       /* whoever asks for this item meets a trap */
    uint64_t refuse_above; /* items, and */
    uint64_t refuse_bytes; /* bytes in one call: more are refused */
    uint64_t rejects;      /* 1: refusals are rejects, not traps */
    uint64_t clamps;       /* 1: a range beyond the end is cut instead of trapping */
    uint64_t cap;          /* at most so many are given, whatever is asked for */
    uint64_t surplus;      /* so many more than asked for, as far as there are any */
    uint64_t total;        /* is told, whatever is true */
    uint64_t drift;        /* 1: the total told is larger by the range's start, 2: smaller */
    uint64_t version;      /* is told, whatever is true */
    uint64_t null;         /* replies are null: 1 for everybody, 2 for whom is no controller */
    uint64_t notes;        /* so many further ones in every reply */
    uint64_t height;       /* the field: 0 constant, 1 the time, 2 the range's start */
} knobs;

static const struct {
    const char *name;
    uint64_t *value;
    uint64_t initial;
} knob_table[] = {
    {"bytes", &knobs.bytes, 0},
    {"body_min", &knobs.body_min, 0},
    {"body_max", &knobs.body_max, 200},
    {"giant_at", &knobs.giant_at, NONE},
    {"giant_bytes", &knobs.giant_bytes, 0},
    {"bad_at", &knobs.bad_at, NONE},
    {"refuse_above", &knobs.refuse_above, NONE},
    {"refuse_bytes", &knobs.refuse_bytes, NONE},
    {"rejects", &knobs.rejects, 0},
    {"clamps", &knobs.clamps, 0},
    {"cap", &knobs.cap, NONE},
    {"surplus", &knobs.surplus, 0},
    {"total", &knobs.total, NONE},
    {"drift", &knobs.drift, 0},
    {"version", &knobs.version, NONE},
    {"null", &knobs.null, 0},
    {"notes", &knobs.notes, 0},
    {"height", &knobs.height, 0},
    {"restore_above", &items_restore_knobs.above, NONE},
    {"restore_burns", &items_restore_knobs.burns, NONE},
    {"restore_fails", &items_restore_knobs.fails, NONE},
    {"restore_rejects", &items_restore_knobs.rejects, 0},
    {"restore_ordered", &items_restore_knobs.ordered, 0},
};
#define N_KNOBS (sizeof(knob_table) / sizeof(knob_table[0]))

/* How often items were touched; a canister of tests touches few. */
#define TOUCHED_MAX 16
static struct {
    uint64_t item;
    uint64_t times;
} touched[TOUCHED_MAX];
static size_t n_touched;

static uint64_t version; /* a time in ns, made strictly increasing */
static uint64_t mtime_ns;

void items_change(void)
{
    mtime_ns = ic0_time();
    version = mtime_ns > version ? mtime_ns : version + 1;
}

static void reset_knobs(void)
{
    for (size_t i = 0; i < N_KNOBS; i++)
        *knob_table[i].value = knob_table[i].initial;
}

void shape_fill(void)
{
    if (version == 0)
        reset_knobs();
    n_touched = 0;
    items_forget();
    items_change();
}

/* --- knobs --- */

static bool is_name(const char *name, const uint8_t *text, size_t len)
{
    size_t i = 0;

    while (i < len && name[i] != '\0' && (uint8_t)name[i] == text[i])
        i++;
    return i == len && name[i] == '\0';
}

static uint64_t *find_knob(const uint8_t *name, size_t len)
{
    for (size_t i = 0; i < N_KNOBS; i++)
        if (is_name(knob_table[i].name, name, len))
            return knob_table[i].value;
    IC_TRAP("configure: no such knob");
}

IC_UPDATE(configure)
{
    if (shape_refused())
        return;
    candid_open(&args);
    struct candid_text text = candid_text(&args);

    reset_knobs();
    items_reset_counts();
    for (size_t at = 0; at < text.len; at++) {
        size_t name = at;

        while (at < text.len && text.bytes[at] != '=')
            at++;
        uint64_t *knob = find_knob(text.bytes + name, at - name);

        *knob = 0;
        for (at++; at < text.len && text.bytes[at] != ' '; at++) {
            if (text.bytes[at] < '0' || text.bytes[at] > '9')
                IC_TRAP("configure: not a number");
            *knob = *knob * 10 + (uint64_t)(text.bytes[at] - '0');
        }
    }
    items_change();
    shape_reply_nothing();
}

static uint64_t *find_touched(uint64_t item)
{
    for (size_t i = 0; i < n_touched; i++)
        if (touched[i].item == item)
            return &touched[i].times;
    return NULL;
}

IC_UPDATE(touch)
{
    if (shape_refused())
        return;
    candid_open(&args);
    uint64_t item = candid_nat64(&args);

    if (items_touch_given(item)) {
        items_change();
        shape_reply_nothing();
        return;
    }
    uint64_t *times = find_touched(item);

    if (times == NULL) {
        if (n_touched == TOUCHED_MAX)
            IC_TRAP("touch: too many different items");
        touched[n_touched].item = item;
        times = &touched[n_touched++].times;
        *times = 0;
    }
    ++*times;
    items_change();
    shape_reply_nothing();
}

/* --- what is asked for --- */

struct range {
    uint64_t start;
    uint64_t n;
};

static bool has_refused(uint64_t limit, uint64_t most)
{
    if (limit <= most)
        return false;
    if (knobs.rejects == 0)
        IC_TRAP("too much is asked for");
    IC_REJECT("too much is asked for");
    return true;
}

/* Cuts the range to what is given of `size` items or bytes. */
static void cut(struct range *range, uint64_t size, bool clamps)
{
    if (!clamps && (range->start > size || range->n > size - range->start))
        IC_TRAP("range end index out of range for slice");
    range->start = shape_smaller(range->start, size);
    uint64_t left = size - range->start;

    range->n = shape_smaller(shape_smaller(range->n, left), knobs.cap);
    range->n += shape_smaller(knobs.surplus, left - range->n);
}

/* false: the caller was refused. */
static bool admit_items(struct range *range, bool clamps)
{
    if (shape_rejected() || has_refused(range->n, knobs.refuse_above))
        return false;
    cut(range, items_total(), clamps || knobs.clamps != 0);
    if (knobs.bad_at >= range->start && knobs.bad_at - range->start < range->n)
        IC_TRAP("this item cannot be read");
    return true;
}

static bool admit_bytes(struct range *range, bool clamps)
{
    if (shape_rejected() || has_refused(range->n, knobs.refuse_bytes))
        return false;
    cut(range, knobs.bytes, clamps || knobs.clamps != 0);
    return true;
}

static bool gives_null(void)
{
    return knobs.null == 1 || (knobs.null == 2 && !ic_caller_is_controller());
}

static struct range get_nat64s(void)
{
    candid_open(&args);
    uint64_t start = candid_nat64(&args);

    return (struct range){start, candid_nat64(&args)};
}

static uint64_t told_total(uint64_t size, uint64_t start)
{
    uint64_t total = knobs.total == NONE ? size : knobs.total;

    return knobs.drift == 0 ? total : knobs.drift == 1 ? total + start : total - start;
}

/* --- items --- */

static uint8_t buffer[4096];

/* One letter over and over: a touch changes it. Or what was restored. */
static void put_body(uint64_t item)
{
    const struct list_item *given = list_get(&items_given, item);

    if (given != NULL) {
        candid_put(given->bytes, given->len);
        return;
    }
    uint64_t span = knobs.body_max - knobs.body_min + 1;
    uint64_t len = item == knobs.giant_at ? knobs.giant_bytes
                                          : knobs.body_min + stream_word(shape.seed + item) % span;
    const uint64_t *times = find_touched(item);
    int letter = 'a' + (int)((item + (times == NULL ? 0 : *times)) % 26);

    candid_put_length(len);
    __builtin_memset(buffer, letter, sizeof(buffer));
    for (uint64_t part; len > 0; len -= part) {
        part = shape_smaller(len, sizeof(buffer));
        candid_put(buffer, (size_t)part);
    }
}

/* vec record { id : nat64; body : text } */
static void put_items(struct range range)
{
    candid_put_length(range.n);
    for (uint64_t i = range.start; i < range.start + range.n; i++) {
        uint64_t id = items_id(i);

        candid_put_nat64(id);
        put_body(id);
    }
}

/* vec text: one for every third item, then knobs.notes more. */
static void put_notes(struct range range)
{
    uint64_t first = (range.start + 2) / 3;
    uint64_t end = (range.start + range.n + 2) / 3;

    candid_put_length(end - first + knobs.notes);
    for (uint64_t i = first; i < end; i++)
        SHAPE_PUT_NAME("note-", 3 * i);
    for (uint64_t i = 0; i < knobs.notes; i++)
        SHAPE_PUT_NAME("further-", i);
}

static uint64_t height(uint64_t start)
{
    return knobs.height == 0 ? 7 : knobs.height == 1 ? ic0_time() : start;
}

/* The stream of the seed. */
static void put_bytes(struct range range)
{
    uint64_t at = range.start;
    uint64_t end = range.start + range.n;

    candid_put_length(range.n);
    while (at < end) {
        size_t len = 0;

        for (; at < end && len < sizeof(buffer); at++)
            buffer[len++] = (uint8_t)(stream_word(shape.seed + at / 8) >> (8 * (at % 8)));
        candid_put(buffer, len);
    }
}

/* --- methods --- */

#define FIELD_CHUNK  "\xed\x8c\x8b\xae\x04"
#define FIELD_HEIGHT "\xe7\x8f\xb0\x12"
#define FIELD_NOTES  "\xc1\xb8\xab\xfe\x09"
#define FIELD_TOTAL  "\xc1\xa6\xb0\xc9\x0e"
#define TYPE_ITEM    "\x6c\x02\xdb\xb7\x01\x78\xa2\xf5\xed\x88\x04\x71"

IC_QUERY(backup_items_chunk)
{
    struct range range = get_nat64s();
    uint64_t start = range.start;

    if (!admit_items(&range, false))
        return;
    /* Table: 0 opt 1, 1 record { height : nat64; chunk : 2; notes : 4; total_length : nat64 },
     * 2 vec 3, 3 Item, 4 vec text. */
    CANDID_PUT("DIDL\x05\x6e\x01\x6c\x04" FIELD_HEIGHT "\x78" FIELD_CHUNK "\x02" FIELD_NOTES
               "\x04" FIELD_TOTAL "\x78\x6d\x03" TYPE_ITEM "\x6d\x71\x01\x00");
    if (gives_null()) {
        CANDID_PUT("\x00");
    } else {
        CANDID_PUT("\x01");
        candid_put_nat64(height(start));
        put_items(range);
        put_notes(range);
        candid_put_nat64(told_total(items_total(), start));
    }
    ic0_msg_reply();
}

/* No total: beyond the end there are none. Table: 0 opt 1, 1 record { chunk : 2 }, 2 vec 3,
 * 3 Item. */
IC_QUERY(backup_untold_chunk)
{
    struct range range = get_nat64s();

    if (!admit_items(&range, true))
        return;
    CANDID_PUT("DIDL\x04\x6e\x01\x6c\x01" FIELD_CHUNK "\x02\x6d\x03" TYPE_ITEM "\x01\x00\x01");
    put_items(range);
    ic0_msg_reply();
}

/* A collection without items, whatever the size.
 *
 * Table: 0 opt 1, 1 record { chunk : 2; total_length : nat64 }, 2 vec 3, 3 Item. */
IC_QUERY(backup_empty_chunk)
{
    if (shape_rejected())
        return;
    struct range range = get_nat64s();

    cut(&range, 0, false);
    CANDID_PUT("DIDL\x04\x6e\x01\x6c\x02" FIELD_CHUNK "\x02" FIELD_TOTAL "\x78\x6d\x03" TYPE_ITEM
               "\x01\x00\x01");
    put_items(range);
    candid_put_nat64(0);
    ic0_msg_reply();
}

/* Table: 0 vec 1, 1 Item. */
#define HEADER_ITEMS "DIDL\x02\x6d\x01" TYPE_ITEM "\x01\x00"

/* Items without a total: beyond the end there are simply none. */
IC_QUERY(backup_plain)
{
    candid_open(&args);
    uint64_t start = candid_nat32(&args);
    struct range range = {start, candid_nat32(&args)};

    if (!admit_items(&range, true))
        return;
    CANDID_PUT(HEADER_ITEMS);
    put_items(range);
    ic0_msg_reply();
}

/* Under names that only a map can know. */
IC_QUERY(posts)
{
    candid_open(&args);
    uint64_t start = candid_nat(&args);
    struct range range = {start, candid_nat(&args)};

    if (!admit_items(&range, false))
        return;
    CANDID_PUT(HEADER_ITEMS);
    put_items(range);
    ic0_msg_reply();
}

IC_QUERY(number_of_posts)
{
    if (shape_rejected())
        return;
    CANDID_PUT("DIDL\x00\x01\x7d");
    candid_put_length(told_total(items_total(), 0));
    ic0_msg_reply();
}

/* Table: 0 opt 1, 1 record { chunk : 2; total_length : nat64 }, 2 blob. */
IC_QUERY(backup_parts_chunk)
{
    struct range range = get_nat64s();
    uint64_t start = range.start;

    if (!admit_bytes(&range, false))
        return;
    CANDID_PUT("DIDL\x03\x6e\x01\x6c\x02" FIELD_CHUNK "\x02" FIELD_TOTAL "\x78\x6d\x7b\x01\x00");
    if (gives_null()) {
        CANDID_PUT("\x00");
    } else {
        CANDID_PUT("\x01");
        put_bytes(range);
        candid_put_nat64(told_total(knobs.bytes, start));
    }
    ic0_msg_reply();
}

/* Bytes without a total. */
IC_QUERY(backup_raw)
{
    struct range range = get_nat64s();

    if (!admit_bytes(&range, true))
        return;
    CANDID_PUT("DIDL\x01\x6d\x7b\x01\x00");
    put_bytes(range);
    ic0_msg_reply();
}

#define TYPE_META "\x6c\x02\xcb\xe4\xfd\xc7\x04\x71\x80\xd8\xb2\x90\x0c\x78"

IC_QUERY(backup_meta)
{
    if (shape_rejected())
        return;
    CANDID_PUT("DIDL\x01" TYPE_META "\x01\x00");
    SHAPE_PUT_NAME("seed-", shape.seed);
    candid_put_nat64(items_total());
    ic0_msg_reply();
}

/* null, always. Table: 0 opt 1, 1 Meta. */
IC_QUERY(backup_none)
{
    if (shape_rejected())
        return;
    CANDID_PUT("DIDL\x02\x6e\x01" TYPE_META "\x01\x00\x00");
    ic0_msg_reply();
}

/* record { mtime_ns; size; version : nat64 }: size counts the items. */
IC_QUERY(backup_version)
{
    if (shape_rejected())
        return;
    CANDID_PUT("DIDL\x01\x6c\x03\xaa\x8f\x96\x9b\x03\x78\xc1\xc1\xce\xe2\x04\x78"
               "\x98\xce\xc7\xe7\x07\x78\x01\x00");
    candid_put_nat64(mtime_ns);
    candid_put_nat64(items_total());
    candid_put_nat64(knobs.version == NONE ? version : knobs.version);
    ic0_msg_reply();
}
