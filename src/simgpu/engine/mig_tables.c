/* The MIG profiles of the models: from NVIDIA's lists of profiles and placements for these boards. Memory is what the
 * driver shows, which is always less than the name says. */
#include "simgpu/engine/mig_tables.h"

/* NVML's numbers of profiles (src/cuda/nvml_types.h) are part of its interface, so they stand here as they are. */
enum { ONE = 0, TWO = 1, THREE = 2, FOUR = 3, SEVEN = 4, ONE_MEDIA = 7, ONE_WIDE = 9 };
/* Where instances of so many slots may start. */
enum { ANY = 0x7F, EVEN = 0x55, PAIRS = 0x15, HALVES = 0x11, FIRST = 0x01 };

#define MIB(n) ((uint64_t)(n) << 20)
#define ROW(selector, id, name, slices, most, size, starts, sms, copies, dec, jpg, ofa, mib)       \
    { selector, id, name, slices, most, size, starts, sms, copies, dec, 0, jpg, ofa, MIB(mib) }

const sim_mig_table_t sim_mig_a100_40 = {
    .rows = 7,
    .slice_sm_count = 14,
    .row =
        {
            ROW(ONE, 19, "1g.5gb", 1, 7, 1, ANY, 14, 1, 0, 0, 0, 4864),
            ROW(ONE_MEDIA, 20, "1g.5gb+me", 1, 1, 1, ANY, 14, 1, 1, 1, 1, 4864),
            ROW(ONE_WIDE, 15, "1g.10gb", 1, 4, 2, EVEN, 14, 1, 1, 0, 0, 9856),
            ROW(TWO, 14, "2g.10gb", 2, 3, 2, PAIRS, 28, 2, 1, 0, 0, 9856),
            ROW(THREE, 9, "3g.20gb", 3, 2, 4, HALVES, 42, 3, 2, 0, 0, 20096),
            ROW(FOUR, 5, "4g.20gb", 4, 1, 4, FIRST, 56, 4, 2, 0, 0, 20096),
            ROW(SEVEN, 0, "7g.40gb", 7, 1, 8, FIRST, 98, 7, 5, 1, 1, 40192),
        },
};

const sim_mig_table_t sim_mig_a100 = {
    .rows = 7,
    .slice_sm_count = 14,
    .row =
        {
            ROW(ONE, 19, "1g.10gb", 1, 7, 1, ANY, 14, 1, 0, 0, 0, 9728),
            ROW(ONE_MEDIA, 20, "1g.10gb+me", 1, 1, 1, ANY, 14, 1, 1, 1, 1, 9728),
            ROW(ONE_WIDE, 15, "1g.20gb", 1, 4, 2, EVEN, 14, 1, 1, 0, 0, 19968),
            ROW(TWO, 14, "2g.20gb", 2, 3, 2, PAIRS, 28, 2, 1, 0, 0, 19968),
            ROW(THREE, 9, "3g.40gb", 3, 2, 4, HALVES, 42, 3, 2, 0, 0, 40192),
            ROW(FOUR, 5, "4g.40gb", 4, 1, 4, FIRST, 56, 4, 2, 0, 0, 40192),
            ROW(SEVEN, 0, "7g.80gb", 7, 1, 8, FIRST, 98, 7, 5, 1, 1, 80896),
        },
};

const sim_mig_table_t sim_mig_h100 = {
    .rows = 7,
    .slice_sm_count = 16,
    .row =
        {
            ROW(ONE, 19, "1g.10gb", 1, 7, 1, ANY, 16, 1, 1, 1, 0, 9984),
            ROW(ONE_MEDIA, 20, "1g.10gb+me", 1, 1, 1, ANY, 16, 1, 1, 1, 1, 9984),
            ROW(ONE_WIDE, 15, "1g.20gb", 1, 4, 2, EVEN, 26, 1, 1, 1, 0, 20096),
            ROW(TWO, 14, "2g.20gb", 2, 3, 2, PAIRS, 32, 2, 2, 2, 0, 20096),
            ROW(THREE, 9, "3g.40gb", 3, 2, 4, HALVES, 60, 3, 3, 3, 0, 40448),
            ROW(FOUR, 5, "4g.40gb", 4, 1, 4, FIRST, 64, 4, 4, 4, 0, 40448),
            ROW(SEVEN, 0, "7g.80gb", 7, 1, 8, FIRST, 132, 8, 7, 7, 1, 81152),
        },
};

/* Read off an H200, but for the one with media engines. */
const sim_mig_table_t sim_mig_h200 = {
    .rows = 7,
    .slice_sm_count = 16,
    .row =
        {
            ROW(ONE, 19, "1g.18gb", 1, 7, 1, ANY, 16, 1, 1, 1, 0, 16384),
            ROW(ONE_MEDIA, 20, "1g.18gb+me", 1, 1, 1, ANY, 16, 1, 1, 1, 1, 16384),
            ROW(ONE_WIDE, 15, "1g.35gb", 1, 4, 2, EVEN, 26, 1, 1, 1, 0, 33280),
            ROW(TWO, 14, "2g.35gb", 2, 3, 2, PAIRS, 32, 2, 2, 2, 0, 33280),
            ROW(THREE, 9, "3g.71gb", 3, 2, 4, HALVES, 60, 3, 3, 3, 0, 71424),
            ROW(FOUR, 5, "4g.71gb", 4, 1, 4, FIRST, 64, 4, 4, 4, 0, 71424),
            ROW(SEVEN, 0, "7g.141gb", 7, 1, 8, FIRST, 132, 8, 7, 7, 1, 143360),
        },
};
