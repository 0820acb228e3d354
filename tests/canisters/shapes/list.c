/* See list.h.
 */
#include "list.h"

#include "../heap.h"
#include "../ic0.h"

size_t list_find(const struct list *list, uint64_t id)
{
    size_t low = 0;
    size_t high = list->n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (list->items[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct list_item *list_get(const struct list *list, uint64_t id)
{
    size_t at = list_find(list, id);

    return at < list->n && list->items[at].id == id ? &list->items[at] : NULL;
}

static void lengthen(struct list *list)
{
    size_t room = list->room == 0 ? 64 : 2 * list->room;
    struct list_item *items = heap_allocate(room * sizeof(*items));

    if (list->n > 0)
        __builtin_memcpy(items, list->items, list->n * sizeof(*items));
    list->items = items;
    list->room = room;
}

void list_put(struct list *list, struct list_item item)
{
    struct list_item *have = list_get(list, item.id);

    if (have != NULL) {
        *have = item;
        return;
    }
    if (list->n == list->room)
        lengthen(list);

    struct list_item *at = &list->items[list_find(list, item.id)];

    __builtin_memmove(at + 1, at, (size_t)(&list->items[list->n] - at) * sizeof(*at));
    *at = item;
    list->n++;
}

struct list_item list_begin(uint64_t id, size_t most)
{
    return (struct list_item){.id = id, .bytes = heap_allocate(most)};
}

void list_add(struct list_item *item, const void *bytes, size_t len)
{
    __builtin_memcpy(item->bytes + item->len, bytes, len);
    item->len += len;
}

void list_add_length(struct list_item *item, uint64_t n)
{
    do {
        item->bytes[item->len++] = (uint8_t)((n & 0x7f) | (n > 0x7f ? 0x80 : 0));
        n >>= 7;
    } while (n > 0);
}

void list_add_text(struct list_item *item, struct candid_blob text)
{
    list_add_length(item, text.len);
    uint8_t *bytes = item->bytes + item->len;

    ic0_msg_arg_data_copy(bytes, text.off, text.len);
    if (!candid_is_utf8(bytes, text.len))
        IC_TRAP("argument: a text is no UTF-8");
    item->len += text.len;
}
