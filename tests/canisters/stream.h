/* The data that canisters fill their memory with: computable at any offset (README.md, "The
 * sample's data").
 */
#ifndef CANISTERS_STREAM_H
#define CANISTERS_STREAM_H

#include <stdint.h>

/* Word i of the stream is stream_word(seed + i): the finaliser of SplitMix64 (Steele, Lea and
 * Flood, 2014) over its input plus the golden ratio increment. */
static inline uint64_t stream_word(uint64_t x)
{
    uint64_t z = x + 0x9e3779b97f4a7c15;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

#endif
