/*
 * The cost model: device time of a kernel from what it executed. docs/SIMGPU-PTX.md explains the
 * terms.
 */
#include "simgpu/ptx/exec.h"

enum {
    LAUNCH_NS = 2000,         /* a kernel that does nothing */
    WARP_ISSUE_PER_CYCLE = 4, /* warp instructions that one SM issues each cycle */
};

typedef unsigned __int128 wide_t;

static wide_t divide_up(wide_t value, wide_t by) {
    return (value + by - 1) / by;
}

uint64_t divvy_ptx_cost_ns(const divvy_ptx_cost_t *cost) {
    uint64_t blocks = cost->blocks ? cost->blocks : 1;
    uint32_t threads = cost->threads_per_block ? cost->threads_per_block : 1;
    uint32_t sms = cost->sm_count ? cost->sm_count : 1;
    uint32_t khz = cost->clock_khz ? cost->clock_khz : 1000000;
    uint64_t resident = cost->max_blocks_per_sm ? cost->max_blocks_per_sm : 1;
    if (cost->max_threads_per_sm && resident > cost->max_threads_per_sm / threads)
        resident = cost->max_threads_per_sm / threads ? cost->max_threads_per_sm / threads : 1;

    /* Throughput: the SM with most blocks issues all their warp instructions. */
    uint64_t warps = (threads + DIVVY_PTX_WARP_SIZE - 1) / DIVVY_PTX_WARP_SIZE;
    wide_t per_thread = divide_up(cost->instructions, (wide_t)blocks * threads);
    wide_t busiest = divide_up(blocks, sms);
    wide_t issue = divide_up(busiest * warps * per_thread, WARP_ISSUE_PER_CYCLE);

    /* Latency: waves of resident blocks follow each other, each as long as its longest thread. */
    wide_t waves = divide_up(blocks, (wide_t)sms * resident);
    wide_t longest =
        cost->critical_cycles ? cost->critical_cycles : per_thread * PTX_CYCLES_PER_INSN;
    /* Only one wave is sure to hold the longest thread; the others are taken as average. */
    wide_t latency = longest + (waves - 1) * per_thread * PTX_CYCLES_PER_INSN;

    wide_t cycles = issue > latency ? issue : latency;
    wide_t ns = LAUNCH_NS + divide_up(cycles * 1000000, khz);
    return ns > UINT64_MAX ? UINT64_MAX : (uint64_t)ns;
}
