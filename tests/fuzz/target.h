/* What every fuzz target here defines: libFuzzer's entry point. It must survive any bytes; a claim
 * that does not hold ends the program with CLAIM. */
#ifndef CANISTERFS_TESTS_FUZZ_TARGET_H
#define CANISTERFS_TESTS_FUZZ_TARGET_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CLAIM(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);         \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#endif
