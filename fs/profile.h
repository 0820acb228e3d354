/* Shapes of canisters that are known by name: built-in maps, for -o profile=NAME and for finding
 * out by asking.
 *
 * Source: the published interfaces of these projects; every profile has a canister of its shape
 * among the tests.
 */
#ifndef CANISTERFS_FS_PROFILE_H
#define CANISTERFS_FS_PROFILE_H

#include "fs/map.h"

struct fs_profile {
    const char *name;
    const char *what; /* one line for people */
    const char *map;  /* see fs/map.h */
    bool is_asked;    /* its methods have names so telling that discovery asks for them */
};

/* In the order in which discovery tries them; a NULL name ends the list. */
extern const struct fs_profile fs_profiles[];

/* NULL when there is none of that name. */
const struct fs_profile *fs_profile_find(const char *name);

/* The map of a profile. */
void fs_profile_map(const struct fs_profile *profile, struct fs_map *out);

#endif
