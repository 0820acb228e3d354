/* Arguments of a query under construction: numbers of the kinds that canisters take. */
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

/* Append a number of a kind: nat, nat8, nat16, nat32 or nat64. False: it does not fit. */
bool fs_arguments_add(struct fs_arguments *args, enum ic_type_kind kind, uint64_t number)
    __attribute__((nonnull, warn_unused_result));

#endif
