/* The parts of discovery. Private to fs/discovery*.c. */
#ifndef CANISTERFS_FS_DISCOVERY_IMPL_H
#define CANISTERFS_FS_DISCOVERY_IMPL_H

#include "fs/discovery.h"
#include "fs/map.h"

struct discovery_search {
    struct fs_discovery *out;
    const struct fs_target *target;
    const struct fs_options *options;
    const struct ic_did *did; /* out's; NULL: the interface is not known */
    bool number_is_given;     /* by the map that is being tried */
    char refused_by[448];     /* the first method of the memory that is there but refused, and why;
                                 "" if none */
    bool has_memory;          /* there is a way to read it; it may be empty */
    size_t n_named;           /* collections of the map or profile that were found */
    char misfit[448]; /* the first method of its collections that is not as it says, and why; "" if
                         none */
    struct ic_error err; /* of the network, when the search cannot go on */
};

/* --- findings --- */

/* NULL when the method was not looked for. */
struct fs_finding *discovery_find(struct fs_discovery *discovery, const char *method);

/* Note what a method came to; the last word counts. */
void discovery_note(struct fs_discovery *discovery, const char *method, bool offered,
                    const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Did the canister's own code answer, be it with a refusal? Else the platform spoke for it: it is
 * stopped, frozen, overloaded, gone. */
bool discovery_is_own_answer(const struct ic_error *err);

/* No code, or none with that method. */
bool discovery_is_absent(const struct ic_error *err);

/* --- the interface --- */

/* Fill out's did and its text, and the basis. Returns 0, or -EINVAL with a line in words: the
 * user's file cannot be used. */
int discovery_load_interface(struct discovery_search *search, struct fs_facts *facts, char *message,
                             size_t message_size);
void discovery_forget_interface(struct fs_discovery *out);

/* Does the interface offer the maintenance lease? Nothing is called. Returns 0, or -errno with
 * search->err. */
int discovery_find_lease(struct discovery_search *search);

/* --- the memory ---
 *
 * Both fill the memories. They return 1 when there are some, 0, or -errno with search->err.
 *
 * is_named  the user named the map or profile */

int discovery_try_memory(struct discovery_search *search, const struct fs_map *map,
                         const char *profile, bool is_named);
int discovery_try_memory_names(struct discovery_search *search);

/* How a memory that was found is restored: fills memory->write, where the map's methods are. Calls
 * nothing. */
void discovery_find_writes(struct discovery_search *search, bool is_named,
                           struct fs_memory *memory);

/* Read nothing of a memory. Returns 0 or -ESTALE when that works, else another -errno with err. */
int discovery_read_nothing(const struct discovery_search *search, const struct fs_target *target,
                           const struct fs_memory *memory, uint64_t version, struct ic_error *err);

/* --- collections --- */

/* All of them: from the map or profile that the user named (NULL: none), from the interface, and,
 * where none is known, by asking for the names in profiles. Come after the memory: what it is read
 * with is no collection.
 *
 * Returns 0, or -errno with search->err. */
int discovery_find_collections(struct discovery_search *search, const struct fs_map *named,
                               bool is_profile);

/* Does the canister answer a caller that asks for nothing, or for one chunk, of a collection? */
enum fs_anyone discovery_ask_collection(const struct discovery_search *search,
                                        const struct fs_target *target,
                                        const struct fs_collection *collection);

#endif
