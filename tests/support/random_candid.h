/* Random Candid types and values, the same for the same seed, for tests of laws.
 *
 * Every kind occurs: recursive types, elements without bytes, types without values, types of a
 * newer Candid, numbers of any length, all of it in its shortest form. What comes out encodes
 * (ic_candid_encode), and what that gives decodes within the default limits. When there is no
 * memory the program ends.
 */
#ifndef CANISTERFS_TESTS_SUPPORT_RANDOM_CANDID_H
#define CANISTERFS_TESTS_SUPPORT_RANDOM_CANDID_H

#include "ic/arena.h"
#include "ic/candid.h"

/* A source of them. What it gave belongs to it, until fini. */
struct random_candid {
    uint64_t state;
    struct ic_arena arena;
    bool with_futures; /* also types of a newer Candid, which are equal to themselves only */
    unsigned left;     /* of a value: parts that it may still grow by */
};

void random_candid_init(struct random_candid *r, uint64_t seed);
void random_candid_fini(struct random_candid *r);

/* A number below n; 0 when n is 0. */
uint64_t random_candid_below(struct random_candid *r, uint64_t n);

/* Room for n objects of size bytes. */
void *random_candid_alloc(struct random_candid *r, size_t n, size_t size);

/* One of the primitive types; or any type, out of a new graph of up to n compound ones that refer
 * to each other and to primitive ones. */
const struct ic_type *random_candid_primitive(struct random_candid *r);
const struct ic_type *random_candid_type(struct random_candid *r, size_t n);

/* A record of the types given, at random ids. */
const struct ic_type *random_candid_record(struct random_candid *r,
                                           const struct ic_type *const *types, size_t n);

/* A value of a type; false when it has none, or none was found. max_n bounds its vectors. */
bool random_candid_value(struct random_candid *r, const struct ic_type *type, size_t max_n,
                         struct ic_value *out);

/* Up to max arguments. Returns how many. */
size_t random_candid_args(struct random_candid *r, struct ic_value *args, size_t max);

#endif
