/* Giving items back to the canister `items`: what has the id of a given one is replaced, the rest
 * is inserted in the order of the ids. Knobs make it refuse. `restored` counts what came: a call
 * that traps is not counted, so that the call to fail fails again and again, and one that is
 * rejected is.
 */
#include "../heap.h"
#include "../values.h"
#include "items.h"

struct items_knobs items_restore_knobs;
struct list items_given;

static struct {
    uint64_t calls;
    uint64_t items;
    uint64_t notes;
} counts;

static struct values values;

void items_reset_counts(void)
{
    counts.calls = 0;
    counts.items = 0;
    counts.notes = 0;
}

void items_forget(void)
{
    items_given.n = 0;
    items_reset_counts();
}

/* --- what there is --- */

uint64_t items_total(void)
{
    return shape.size + (items_given.n - list_find(&items_given, shape.size));
}

uint64_t items_id(uint64_t position)
{
    if (position < shape.size)
        return position;
    return items_given.items[list_find(&items_given, shape.size) + (position - shape.size)].id;
}

bool items_touch_given(uint64_t id)
{
    struct list_item *item = list_get(&items_given, id);

    if (item == NULL)
        return false;
    size_t at = 0;

    while (item->bytes[at++] >= 0x80) /* the length */
        ;
    for (; at < item->len; at++)
        if (item->bytes[at] >= 'a' && item->bytes[at] <= 'z')
            item->bytes[at] = (uint8_t)('a' + (item->bytes[at] - 'a' + 1) % 26);
    return true;
}

/* --- what is given --- */

#define HASH_ID    23515
#define HASH_BODY  1092319906
#define HASH_CHUNK 1170392685
#define HASH_NOTES 2680872001

static bool has_refused(bool is_refused)
{
    if (!is_refused)
        return false;
    if (items_restore_knobs.rejects == 0)
        IC_TRAP("this is not taken");
    IC_REJECT("this is not taken");
    return true;
}

static void put_item(int32_t type)
{
    struct value_fields fields = values_record(&values, type);

    if (fields.n != 2 || fields.at[0].hash != HASH_ID || fields.at[1].hash != HASH_BODY)
        IC_TRAP("argument: no item");
    uint64_t id = values_nat64(&values, fields.at[0].type);
    struct candid_blob body = values_text(&values, fields.at[1].type);

    if (items_restore_knobs.ordered != 0 && id > items_total())
        IC_TRAP("an item is missing before this one");
    struct list_item item = list_begin(id, LIST_LENGTH_MAX + body.len);

    list_add_text(&item, body);
    list_put(&items_given, item);
    while (list_get(&items_given, shape.size) != NULL)
        shape.size++;
    counts.items++;
}

/* Whether the call was answered: it was refused. */
static bool put_items(int32_t type)
{
    int32_t item;
    uint64_t n = values_vec(&values, type, &item);

    if (has_refused(n > items_restore_knobs.above))
        return true;
    while (n > items_restore_knobs.burns)
        heap_allocate(0);
    for (; n > 0; n--)
        put_item(item);
    return false;
}

/* The first argument's type; false: the call was answered. */
static bool begin(int32_t *type)
{
    if (shape_refused())
        return false;
    counts.calls++;
    if (has_refused(counts.calls == items_restore_knobs.fails))
        return false;
    *type = values_open(&values);
    return true;
}

IC_UPDATE(restore_plain)
{
    int32_t type;

    if (!begin(&type) || put_items(type))
        return;
    items_change();
    shape_reply_nothing();
}

/* Notes follow from the items, so they are only counted. */
IC_UPDATE(restore_items_chunk)
{
    int32_t type;
    bool is_there = false;

    if (!begin(&type))
        return;
    struct value_fields fields = values_record(&values, type);

    for (size_t i = 0; i < fields.n; i++) {
        int32_t note;

        switch (fields.at[i].hash) {
        case HASH_CHUNK:
            if (put_items(fields.at[i].type))
                return;
            is_there = true;
            break;
        case HASH_NOTES:
            for (uint64_t n = values_vec(&values, fields.at[i].type, &note); n > 0; n--) {
                (void)values_text(&values, note);
                counts.notes++;
            }
            break;
        default:
            values_skip(&values, fields.at[i].type);
        }
    }
    if (!is_there)
        IC_TRAP("argument: no chunk");
    items_change();
    shape_reply_nothing();
}

/* record { calls; notes; items : nat64 }, by hash. */
IC_QUERY(restored)
{
    if (shape_rejected())
        return;
    CANDID_PUT("DIDL\x01\x6c\x03\x95\xe4\xed\x88\x04\x78\xc1\xb8\xab\xfe\x09\x78"
               "\x80\xd8\xb2\x90\x0c\x78\x01\x00");
    candid_put_nat64(counts.calls);
    candid_put_nat64(counts.notes);
    candid_put_nat64(counts.items);
    ic0_msg_reply();
}
