/*
 * The way of a launch through the open gate: no system call, no lock, nothing shared that is written; a clock only where a
 * lease may run out meanwhile.
 */
#ifndef DIVVY_LIMITER_COMPUTE_FAST_H
#define DIVVY_LIMITER_COMPUTE_FAST_H

#include "limiter/compute/compute.h"
#include "limiter/compute/state.h"

/* What a key is of, in its top byte; kernels have the size class of their grid there (0..96). */
enum {
    DIVVY_COMPUTE_KEY_GRAPH = 0x80,
    DIVVY_COMPUTE_KEY_MEMSET = 0x81, /* with the size class below */
    DIVVY_COMPUTE_KEY_COPY = 0x82,
    DIVVY_COMPUTE_KEY_DECOMPRESS = 0x83,
};

#define DIVVY_COMPUTE_KEY_SALT_SHIFT 48 /* the device, in the bits that user addresses leave free */

static inline uint64_t divvy_compute_key(const void *handle, unsigned class) {
    return (uint64_t)(uintptr_t)handle ^ (uint64_t)class << 56;
}

/* Grids of about the same size take about the same time. */
static inline unsigned divvy_compute_grid_class(unsigned x, unsigned y, unsigned z) {
    uint64_t plane = (uint64_t)x * y;

    /* z only matters beyond the plane's own factor of two; the product of three may not fit */
    return 64u - (unsigned)__builtin_clzll(plane | 1) + (z > 1 ? 32u - (unsigned)__builtin_clz(z) : 0u);
}

/* Product of three dimensions, each at least 1; what does not fit is very much. */
static inline uint64_t divvy_compute_volume(unsigned x, unsigned y, unsigned z) {
    uint64_t plane = (uint64_t)(x ? x : 1) * (y ? y : 1), volume;

    return __builtin_mul_overflow(plane, z ? z : 1, &volume) ? UINT64_MAX : volume;
}

static inline CUstream divvy_compute_stream_legacy(CUstream stream) {
    return stream ? stream : CU_STREAM_LEGACY;
}

static inline CUstream divvy_compute_stream_per_thread(CUstream stream) {
    return stream ? stream : CU_STREAM_PER_THREAD;
}

/* First of the two places of a key. */
static inline uint32_t divvy_compute_cost_place(uint64_t key) {
    return (uint32_t)(key * UINT64_C(0x9E3779B97F4A7C15) >> 52) & (DIVVY_COMPUTE_COSTS - 1);
}

static inline uint32_t divvy_compute_slot_place(CUstream stream) {
    return (uint32_t)((uint64_t)(uintptr_t)stream * UINT64_C(0x9E3779B97F4A7C15) >> 61) &
           (DIVVY_COMPUTE_SLOTS - 1);
}

/* Whether launches have to be looked at: a share is set, or this process has several devices. */
static inline bool divvy_compute_armed(void) {
    return __builtin_expect(
        divvy_pacer_limits(__atomic_load_n(divvy_compute_gate.permille, __ATOMIC_RELAXED)), 0);
}

/* Whether somebody else's permission was asked and given. */
static inline bool divvy_compute_paid(uint64_t blocks, uint64_t threads_per_block, CUstream stream) {
    const struct divvy_compute_toll *toll = __atomic_load_n(&divvy_compute_gate.toll, __ATOMIC_ACQUIRE);

    return __builtin_expect(toll != NULL, 0) && toll->kernel(blocks, threads_per_block, stream);
}

static inline bool divvy_compute_graph_paid(CUgraphExec exec, CUstream stream) {
    const struct divvy_compute_toll *toll = __atomic_load_n(&divvy_compute_gate.toll, __ATOMIC_ACQUIRE);

    return __builtin_expect(toll != NULL, 0) && toll->graph(exec, stream);
}

/* Whether the credit still counts: a daemon may have taken it back, and a lease may be over. */
static inline bool divvy_compute_grant_holds(const struct divvy_compute_thread *thread) {
    return !thread->word ||
           (__atomic_load_n(thread->word, __ATOMIC_RELAXED) == thread->seen &&
            (thread->until_ns == UINT64_MAX || divvy_compute_ticks(&divvy_compute_port) < thread->until_ticks ||
             divvy_compute_port.now() < thread->until_ns));
}

/*
 * True: account for the launch done, call the driver. False: the slow path decides; nothing has changed. The last launch
 * that the credit allows takes the slow path, which closes the segment right behind it.
 */
static inline bool divvy_compute_fast(uint64_t key, CUstream stream) {
    struct divvy_compute_thread *thread = divvy_compute_self;
    struct divvy_compute_slot *slot;
    struct divvy_compute_cost *cost;
    int64_t cost_ns, credit_ns;

    if (__builtin_expect(!thread, 0))
        return false;
    slot = &thread->slots[divvy_compute_slot_place(stream)];
    if (__builtin_expect(slot->stream != stream, 0))
        slot = &thread->slots[divvy_compute_slot_place(stream) ^ 1];
    key ^= thread->salt;
    cost = &divvy_compute_costs[divvy_compute_cost_place(key)];
    if (__builtin_expect(__atomic_load_n(&cost->key, __ATOMIC_RELAXED) != key, 0))
        cost = &divvy_compute_costs[divvy_compute_cost_place(key) ^ 1];
    cost_ns = (int64_t)__atomic_load_n(&cost->cost_ns, __ATOMIC_RELAXED);
    credit_ns = thread->credit_ns - cost_ns;
    if (__builtin_expect(credit_ns < cost_ns || slot->stream != stream || !slot->open ||
                             __atomic_load_n(&cost->key, __ATOMIC_RELAXED) != key ||
                             __atomic_load_n(&divvy_compute_gate.capturing, __ATOMIC_RELAXED) ||
                             !divvy_compute_grant_holds(thread),
                         0))
        return false;
    thread->credit_ns = credit_ns;
    slot->estimate_ns += (uint64_t)cost_ns;
    slot->launches++;
    if (__builtin_expect(slot->only != cost, 0))
        slot->only = &divvy_compute_mixed;
    return true;
}

#endif
