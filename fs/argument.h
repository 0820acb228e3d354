/* Arguments of a call under construction: numbers of the kinds that canisters take. */
#ifndef CANISTERFS_FS_ARGUMENT_H
#define CANISTERFS_FS_ARGUMENT_H

#include "ic/candid.h"

#define FS_ARGUMENTS_MAX 4

/* A plain struct, to be zero-initialised; values point into it, so it must not be copied. */
struct fs_arguments {
    struct ic_value values[FS_ARGUMENTS_MAX];
    size_t n;
    uint8_t leb[FS_ARGUMENTS_MAX][IC_LEB64_MAX];
};

/* Is it nat, nat8 to nat64, int, or int8 to int64? */
bool fs_argument_is_number(enum ic_type_kind kind);

/* Append a number of such a kind. False: it does not fit. */
bool fs_arguments_add(struct fs_arguments *args, enum ic_type_kind kind, uint64_t number)
    __attribute__((nonnull, warn_unused_result));

#endif
