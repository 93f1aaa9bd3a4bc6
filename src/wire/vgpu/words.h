/* Little-endian words in byte buffers that need no alignment. */
#ifndef DIVVY_WIRE_VGPU_WORDS_H
#define DIVVY_WIRE_VGPU_WORDS_H

#include <stdint.h>

static inline uint32_t divvy_wire_u32_get(const uint8_t *bytes) {
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static inline void divvy_wire_u32_put(uint8_t *ret_bytes, uint32_t value) {
    for (int i = 0; i < 4; i++)
        ret_bytes[i] = (uint8_t)(value >> 8 * i);
}

#endif
