/* The sections of a map. Private to fs/map*.c. */
#ifndef CANISTERFS_FS_MAP_IMPL_H
#define CANISTERFS_FS_MAP_IMPL_H

#include "fs/map.h"

/* --- values: all of them false when the text is not one --- */

struct map_word {
    const char *name;
    int value;
};

/* The kinds of number that methods take. */
extern const struct map_word map_numbers[];

/* words: ends in a NULL name. */
bool map_find_word(const struct map_word *words, const char *name, size_t len, int *out);

bool map_parse_number(const char *text, uint64_t max, uint64_t *out);

bool map_set_method(char method[FS_METHOD_NAME_MAX], const char *value);

/* The id of a field: of a name, or the number of a field without one, "7" or "#7". */
bool map_parse_field(const char *text, size_t len, uint32_t *out);

/* Take the next word off a list: words are separated by one of these characters, with spaces
 * around. False at its end. An empty word is one. */
bool map_next_word(const char **list, char separator, const char **word, size_t *len);

/* --- sections --- */

/* Keys by name; a NULL name ends them. */
extern const char *const map_memory_keys[];
extern const char *const map_collection_keys[];

bool map_set_memory(struct fs_map *map, size_t key, const char *value);
bool map_set_collection(struct fs_map_collection *collection, size_t key, const char *value);

/* What does not fit together, or is missing. NULL when all is well. */
const char *map_judge_memory(const struct fs_memory *memory);

/* The same, and whether keys are there that its style has no use for. seen: bits of the keys that
 * were given. Fills in the style that they speak for. */
const char *map_judge_collection(struct fs_map_collection *collection, uint32_t seen);

#endif
