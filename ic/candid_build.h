/* Values to encode that are made of named parts.
 *
 *     const struct ic_part range[] = { {"offset", ic_nat64(off)}, {"size", ic_nat64(len)} };
 *     ret = ic_build_record(&arena, range, 2, &value);
 *     ret = ret < 0 ? ret : ic_build_variant(&arena, "stable_memory", &value, &kind);
 *
 * Types and values come from the arena: valid until it is released. What is put in is copied as a
 * struct ic_value is: views are borrowed until the value has been encoded.
 *
 * Each returns 0, -ENOMEM, -E2BIG (the arena is full). For one thread at a time.
 */
#ifndef CANISTERFS_IC_CANDID_BUILD_H
#define CANISTERFS_IC_CANDID_BUILD_H

#include "ic/arena.h"
#include "ic/attr.h"
#include "ic/candid.h"

#include <stddef.h>

/* A field of a record. A part whose value has no type (a zeroed struct ic_value) is left out: so
 * what is optional need not be said. */
struct ic_part {
    const char *name; /* no two of a record may have one name, or names of one hash */
    struct ic_value value;
};

/* A record, its fields in the order that Candid wants whatever theirs. */
int ic_build_record(struct ic_arena *arena, const struct ic_part *parts, size_t n,
                    struct ic_value *out) IC_NONNULL(1, 4) IC_MUST_CHECK;

/* A variant of this one case, which fits every variant that has it. payload NULL: none. */
int ic_build_variant(struct ic_arena *arena, const char *tag, const struct ic_value *payload,
                     struct ic_value *out) IC_NONNULL(1, 2, 4) IC_MUST_CHECK;

/* An opt with something in it. */
int ic_build_some(struct ic_arena *arena, const struct ic_value *value, struct ic_value *out)
    IC_NONNULL(1, 2, 3) IC_MUST_CHECK;

/* A principal; borrowed until the value has been encoded. */
struct ic_value ic_build_principal(const struct ic_principal *principal) IC_NONNULL(1);

#endif
