/* [backup.NAME]: see map.h. */
#include "fs/map_impl.h"

#include <string.h>

static const struct map_word styles[] = {{"items", FS_COLLECTION_ITEMS},
                                         {"whole", FS_COLLECTION_WHOLE},
                                         {"index", FS_COLLECTION_INDEX},
                                         {"last", FS_COLLECTION_LAST},
                                         {NULL, 0}};

enum {
    KEY_METHOD,
    KEY_STYLE,
    KEY_NUMBER,
    KEY_ITEMS,
    KEY_BYTES,
    KEY_TOTAL,
    KEY_LATEST,
    KEY_COUNT,
    KEY_ID,
    KEY_RESTORE,
    KEY_WRAP,
    KEY_SPLIT,
    KEY_ORDER,
    N_KEYS,
};

const char *const map_collection_keys[N_KEYS + 1] = {
    [KEY_METHOD] = "method",   [KEY_STYLE] = "style", [KEY_NUMBER] = "number",
    [KEY_ITEMS] = "items",     [KEY_BYTES] = "bytes", [KEY_TOTAL] = "total",
    [KEY_LATEST] = "latest",   [KEY_COUNT] = "count", [KEY_ID] = "id",
    [KEY_RESTORE] = "restore", [KEY_WRAP] = "wrap",   [KEY_SPLIT] = "split",
    [KEY_ORDER] = "order",
};

#define BIT(key) (UINT32_C(1) << (key))

static bool set_style(struct fs_map_collection *c, const char *value)
{
    int word;
    if (!map_find_word(styles, value, strlen(value), &word))
        return false;
    c->collection.style = (enum fs_collection_style)word;
    c->given |= FS_GIVEN_STYLE;
    return true;
}

/* One for both arguments, or one for each. */
static bool set_numbers(struct fs_map_collection *c, const char *value)
{
    int first, second;
    const char *word;
    size_t len;
    if (!map_next_word(&value, ' ', &word, &len) || !map_find_word(map_numbers, word, len, &first))
        return false;
    second = first;
    if (map_next_word(&value, ' ', &word, &len) &&
        (value || !map_find_word(map_numbers, word, len, &second)))
        return false;
    c->collection.numbers[0] = (enum ic_type_kind)first;
    c->collection.numbers[1] = (enum ic_type_kind)second;
    c->given |= FS_GIVEN_NUMBERS;
    return true;
}

static bool set_items(struct fs_map_collection *c, const char *value, bool is_bytes)
{
    c->collection.is_bytes = is_bytes;
    c->given |= FS_GIVEN_ITEMS;
    return map_parse_field(value, strlen(value), &c->collection.items);
}

static bool set_latest(struct fs_collection *collection, const char *value)
{
    const char *word;
    size_t len;
    while (map_next_word(&value, ',', &word, &len)) {
        if (collection->n_latest == FS_LATEST_MAX ||
            !map_parse_field(word, len, &collection->latest[collection->n_latest]))
            return false;
        collection->n_latest++;
    }
    return true;
}

/* FIELD or FIELD=PART. */
static bool add_wrap(struct fs_restore_partner *restore, const char *word, size_t len)
{
    const char *equals = memchr(word, '=', len);
    struct ic_piece_field field = {.is_all = !equals};
    size_t name_len = equals ? (size_t)(equals - word) : len;
    if (restore->n_fields == FS_RESTORE_FIELDS_MAX || !map_parse_field(word, name_len, &field.id) ||
        (equals && !map_parse_field(equals + 1, len - name_len - 1, &field.part)))
        return false;
    for (size_t i = 0; i < restore->n_fields; i++)
        if (restore->fields[i].id == field.id)
            return false;
    restore->fields[restore->n_fields++] = field;
    return true;
}

static bool set_wrap(struct fs_map_collection *c, const char *value)
{
    const char *word;
    size_t len;
    c->given |= FS_GIVEN_WRAP;
    while (map_next_word(&value, ' ', &word, &len))
        if (!add_wrap(&c->collection.restore, word, len))
            return false;
    return true;
}

static bool set_split(struct fs_map_collection *c, const char *value)
{
    static const struct map_word words[] = {{"no", 0}, {"yes", 1}, {NULL, 0}};
    int word;
    if (!map_find_word(words, value, strlen(value), &word))
        return false;
    c->collection.restore.can_split = word == 1;
    c->given |= FS_GIVEN_SPLIT;
    return true;
}

static bool set_order(struct fs_map_collection *c, const char *value)
{
    static const struct map_word words[] = {{"kept", 0}, {"any", 1}, {NULL, 0}};
    int word;
    if (!map_find_word(words, value, strlen(value), &word))
        return false;
    c->collection.restore.any_order = word == 1;
    return true;
}

bool map_set_collection(struct fs_map_collection *c, size_t key, const char *value)
{
    struct fs_collection *collection = &c->collection;
    switch (key) {
    case KEY_METHOD:
        return map_set_method(collection->method, value);
    case KEY_STYLE:
        return set_style(c, value);
    case KEY_NUMBER:
        return set_numbers(c, value);
    case KEY_ITEMS:
        return set_items(c, value, false);
    case KEY_BYTES:
        return set_items(c, value, true);
    case KEY_TOTAL:
        c->given |= FS_GIVEN_TOTAL;
        return map_parse_field(value, strlen(value), &collection->total);
    case KEY_LATEST:
        return set_latest(collection, value);
    case KEY_COUNT:
        return map_set_method(collection->count, value);
    case KEY_RESTORE:
        c->given |= FS_GIVEN_RESTORE;
        return map_set_method(collection->restore.method, value);
    case KEY_WRAP:
        return set_wrap(c, value);
    case KEY_SPLIT:
        return set_split(c, value);
    case KEY_ORDER:
        return set_order(c, value);
    default:
        return map_parse_number(value, UINT64_MAX, &collection->id);
    }
}

/* Keys that say what style it is, if none is given. */
static void infer_style(struct fs_map_collection *c, uint32_t seen)
{
    static const uint32_t of_items = BIT(KEY_ITEMS) | BIT(KEY_BYTES) | BIT(KEY_TOTAL);
    if (c->given & FS_GIVEN_STYLE || !(seen & (BIT(KEY_ID) | of_items | BIT(KEY_LATEST))))
        return;
    c->collection.style = seen & BIT(KEY_ID) ? FS_COLLECTION_LAST : FS_COLLECTION_ITEMS;
    c->given |= FS_GIVEN_STYLE;
}

static bool has_two_meanings(const struct fs_map_collection *c)
{
    const struct fs_collection *collection = &c->collection;
    if (!(c->given & FS_GIVEN_ITEMS))
        return false;
    if ((c->given & FS_GIVEN_TOTAL) && collection->total == collection->items)
        return true;
    for (size_t i = 0; i < collection->n_latest; i++)
        if (collection->latest[i] == collection->items)
            return true;
    return false;
}

const char *map_judge_collection(struct fs_map_collection *c, uint32_t seen)
{
    static const uint32_t always = BIT(KEY_METHOD) | BIT(KEY_STYLE) | BIT(KEY_RESTORE) |
                                   BIT(KEY_WRAP) | BIT(KEY_SPLIT) | BIT(KEY_ORDER);
    static const struct {
        uint32_t keys;
        const char *words;
    } allowed[] = {
        [FS_COLLECTION_ITEMS] = {~BIT(KEY_ID), "style items has no 'id'"},
        [FS_COLLECTION_WHOLE] = {always,
                                 "style whole has no keys but 'method' and those of restores"},
        [FS_COLLECTION_INDEX] =
            {always | BIT(KEY_NUMBER) | BIT(KEY_COUNT),
             "style index has no keys but 'method', 'number', 'count' and those of "
             "restores"},
        [FS_COLLECTION_LAST] = {BIT(KEY_METHOD) | BIT(KEY_STYLE) | BIT(KEY_NUMBER) | BIT(KEY_ID),
                                "style last has no keys but 'method', 'number' and 'id'"},
    };
    infer_style(c, seen);
    enum fs_collection_style style = c->collection.style;
    if (!(seen & BIT(KEY_METHOD)))
        return "needs 'method'";
    if ((c->given & FS_GIVEN_STYLE) && (seen & ~allowed[style].keys))
        return allowed[style].words;
    if ((c->given & FS_GIVEN_STYLE) && style == FS_COLLECTION_INDEX && !(seen & BIT(KEY_COUNT)))
        return "style index needs 'count'";
    if ((c->given & FS_GIVEN_STYLE) && style == FS_COLLECTION_LAST && !(seen & BIT(KEY_ID)))
        return "style last needs 'id'";
    if ((seen & BIT(KEY_ITEMS)) && (seen & BIT(KEY_BYTES)))
        return "'items' and 'bytes' exclude each other";
    if ((seen & BIT(KEY_TOTAL)) && (seen & BIT(KEY_COUNT)))
        return "'total' and 'count' exclude each other";
    if ((seen & BIT(KEY_WRAP)) && !(seen & BIT(KEY_RESTORE)))
        return "'wrap' needs 'restore'";
    return has_two_meanings(c) ? "the field of the items has another meaning, too" : NULL;
}
