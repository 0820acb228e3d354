#include "fs/edit_distance.h"

#include <stdint.h>
#include <string.h>

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* One row of the usual table: cost[i] is the distance of text's first i bytes to the part of word
 * that was looked at. */
size_t fs_edit_distance(const char *text, size_t len, const char *word)
{
    size_t cost[FS_EDIT_MAX + 1];
    size_t word_len = strlen(word);
    if (len > FS_EDIT_MAX || word_len > FS_EDIT_MAX)
        return SIZE_MAX;
    for (size_t i = 0; i <= len; i++)
        cost[i] = i;
    for (size_t j = 0; j < word_len; j++) {
        size_t diagonal = cost[0];
        cost[0] = j + 1;
        for (size_t i = 1; i <= len; i++) {
            size_t replaced = diagonal + (text[i - 1] != word[j]);
            diagonal = cost[i];
            cost[i] = least(replaced, least(cost[i], cost[i - 1]) + 1);
        }
    }
    return cost[len];
}
