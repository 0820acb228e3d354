/* What a canister was given and keeps, as the bytes that a reply holds of it: sorted by number,
 * each number once. Nothing is ever given back, also not what was replaced.
 */
#ifndef CANISTERS_LIST_H
#define CANISTERS_LIST_H

#include "../candid.h"

struct list_item {
    uint64_t id;
    uint8_t *bytes;
    size_t len;
};

struct list {
    struct list_item *items;
    size_t n;
    size_t room;
};

/* The first item of this number or a larger one; list->n when there is none. */
size_t list_find(const struct list *list, uint64_t id);

/* The item of this number, or NULL. */
struct list_item *list_get(const struct list *list, uint64_t id);

/* Replaces the item of its number, or is inserted. */
void list_put(struct list *list, struct list_item item);

/* --- the bytes, put together on the heap --- */

/* For bytes that are at most so long. */
struct list_item list_begin(uint64_t id, size_t most);

void list_add(struct list_item *item, const void *bytes, size_t len);
void list_add_length(struct list_item *item, uint64_t n); /* LEB128 */

/* A text of the argument, its length before it; one that is no UTF-8 traps. */
void list_add_text(struct list_item *item, struct candid_blob text);

/* What list_add_length takes at most. */
#define LIST_LENGTH_MAX 10

#endif
