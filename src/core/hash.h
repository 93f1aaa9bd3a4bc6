/*
 * Mixing of 64-bit keys (device pointers, handles) into hash values. Pure; not for untrusted keys
 * that may collide.
 */
#ifndef DIVVY_CORE_HASH_H
#define DIVVY_CORE_HASH_H

#include <stdint.h>

/*
 * Every bit of the key reaches every bit of the result, low bits included: device pointers differ
 * only in their middle bits. One widening multiplication by an odd constant (2^64 divided by the
 * golden ratio), halves folded, done twice.
 */
static inline uint64_t divvy_core_hash_mix(uint64_t key) {
    unsigned __int128 wide = (unsigned __int128)(key ^ (key >> 32)) * UINT64_C(0x9E3779B97F4A7C15);
    uint64_t folded = (uint64_t)wide ^ (uint64_t)(wide >> 64);

    wide = (unsigned __int128)folded * UINT64_C(0x9E3779B97F4A7C15);
    return (uint64_t)wide ^ (uint64_t)(wide >> 64);
}

/* Two keys into one value; order matters. */
static inline uint64_t divvy_core_hash_pair(uint64_t first, uint64_t second) {
    return divvy_core_hash_mix(divvy_core_hash_mix(first) + second);
}

#endif
