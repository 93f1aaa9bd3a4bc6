/*
 * GPU time of the limiter: the gate in front of everything that makes the GPU compute, and the clock that measures what
 * it computed. docs/COMPUTE.md explains how; this header is the door for the other parts of the limiter.
 *
 * Two kinds of entry:
 *
 *   Hooks. hooks_table.h lists the driver's symbols whose hook body lies here: CUresult divvy_hook_<symbol>(...) with the
 *   driver's own parameters. They reach the driver through divvy_real, and the page through divvy_process.
 *
 *   Notifications, called by hooks that belong to other parts (contexts), and at set-up.
 *
 * All functions: thread-safe, no allocation, no stdio, errno kept, nothing locked while waiting. Until divvy_compute_attach
 * has seen a page with a compute limit, every hook is two loads and a jump.
 */
#ifndef DIVVY_LIMITER_COMPUTE_COMPUTE_H
#define DIVVY_LIMITER_COMPUTE_COMPUTE_H

#include "cuda/driver.h"
#include "limiter/compute/hooks_table.h"

#include <stdbool.h>
#include <stdint.h>

#define DIVVY_COMPUTE_DECLARE(symbol, room, what) __typeof__(symbol) divvy_hook_##symbol;
DIVVY_COMPUTE_HOOKS(DIVVY_COMPUTE_DECLARE)
#undef DIVVY_COMPUTE_DECLARE

/*
 * divvy_process (page, slot, page_device of every CUDA ordinal) is filled in: begin. Called once per process, and again in
 * a forked child: whatever the parent had (events, contexts, unfinished work) is forgotten, nothing of it is touched.
 * No thread is inside a hook of this room then.
 */
void divvy_compute_attach(void);

/*
 * The calling thread's current context may have changed by a call that is hooked elsewhere: cuCtxCreate*, cuCtxAttach,
 * cuCtxDestroy*, cuCtxDetach, cuDevicePrimaryCtxRelease/Reset, cuGreenCtxDestroy: after the driver's call.
 * (SetCurrent, Push and Pop are hooked here.)
 */
void divvy_compute_context_switched(void);

/*
 * Before the driver destroys `context` (cuCtxDestroy*, cuCtxDetach, cuGreenCtxDestroy with the context made from it):
 * gives back our events of it and forgets its streams. Harmless for a context never seen, and if it lives on.
 */
void divvy_compute_context_destroying(CUcontext context);

/* The same for all contexts of a device: before cuDevicePrimaryCtxReset and cuDevicePrimaryCtxRelease (all versions). */
void divvy_compute_device_destroying(CUdevice device);

/* Who may stop this process's GPU work. What one has stopped the other does not let go on. */
enum divvy_compute_stopper {
    DIVVY_COMPUTE_BY_COMMAND = 1, /* from outside the process */
    DIVVY_COMPUTE_BY_WORKER = 2,  /* FreezeWorker and its kin */
};

/*
 * Start no GPU work in this process until everybody who suspended it has resumed it, whatever limits and leases say: launches wait at
 * the gate. What was let through before, at most a chunk of every thread, goes on. Any thread. A forked child begins without.
 */
void divvy_compute_suspend(enum divvy_compute_stopper stopper, bool is_suspended);
bool divvy_compute_is_suspended(void);

/*
 * So much work is about to start that no hook sees: 0, and it is charged to the tenant; -EAGAIN: not now, after 20 ms at a shut gate at
 * most; -ENODEV: this process does not see the device. `index` is one of the page. *ret_left_ns, but for -ENODEV: how much more may
 * start at once, UINT64_MAX without a limit. The process is attached.
 */
int divvy_compute_state(unsigned index, uint64_t work_ns, uint64_t *ret_left_ns);

/*
 * Permission that somebody else gives, for each launch by itself: asked first, on the launching thread, and may block. True: it was
 * given, and the launch goes to the driver past the gate; false: the gate decides as ever. `stream` as the driver takes it, but for
 * CU_STREAM_LEGACY and CU_STREAM_PER_THREAD, which stand for the default streams.
 */
struct divvy_compute_toll {
    bool (*kernel)(uint64_t blocks, uint64_t threads_per_block, CUstream stream);
    bool (*graph)(CUgraphExec exec, CUstream stream);
    void (*graph_made)(CUgraphExec exec, CUgraph graph); /* or changed */
};

/* NULL: nobody (the default). After divvy_compute_attach, which keeps it; launches come by from the next one on. */
void divvy_compute_set_toll(const struct divvy_compute_toll *toll);

/*
 * How many processes outside this tenant compute on the device now: a count, or negative: not known. Called at most once a
 * second, from a launch, nothing locked. Without a probe (NULL) NVML's utilisation of the device tells.
 */
void divvy_compute_set_neighbour_probe(int (*probe)(CUdevice device));

#endif
