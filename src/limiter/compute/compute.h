/*
 * GPU time of the limiter: the gate in front of everything that makes the GPU compute, and the clock that measures what
 * it computed. docs/COMPUTE.md explains how; this header is the door for the other parts of the limiter.
 *
 * Two kinds of entry:
 *
 *   Hooks. DIVVY_COMPUTE_HOOKS lists the driver symbols whose hook body lies here, as CUresult divvy_hook_<symbol>(...)
 *   with the driver's own parameters. They call the driver through divvy_real. Every symbol of the list whose real
 *   pointer is NULL must not be routed here.
 *
 *   Notifications, called by hooks that belong to other parts (contexts), and at set-up.
 *
 * All functions: thread-safe, no allocation, no stdio, errno kept, nothing locked while waiting. Before the first
 * divvy_compute_device_attach with a page every hook is a load and a jump.
 *
 * Fork: call divvy_compute_fork_child in the child before it uses the driver; it forgets everything (the parent's events
 * and contexts are not the child's) and keeps the attachments' limits out until devices are attached again.
 */
#ifndef DIVVY_LIMITER_COMPUTE_COMPUTE_H
#define DIVVY_LIMITER_COMPUTE_COMPUTE_H

#include "cuda/driver.h"
#include "page/page.h"

#include <stdint.h>

/* Driver symbols hooked by this part. */
/* clang-format off */
#define DIVVY_COMPUTE_HOOKS(X) \
    DIVVY_COMPUTE_HOOKS_LAUNCH(X) \
    DIVVY_COMPUTE_HOOKS_GRAPH(X) \
    DIVVY_COMPUTE_HOOKS_CAPTURE(X) \
    DIVVY_COMPUTE_HOOKS_WORK(X) \
    DIVVY_COMPUTE_HOOKS_STREAM(X)

#define DIVVY_COMPUTE_HOOKS_LAUNCH(X) \
    X(cuLaunch) X(cuLaunchGrid) X(cuLaunchGridAsync) \
    X(cuLaunchKernel) X(cuLaunchKernel_ptsz) \
    X(cuLaunchKernelEx) X(cuLaunchKernelEx_ptsz) \
    X(cuLaunchCooperativeKernel) X(cuLaunchCooperativeKernel_ptsz) \
    X(cuLaunchCooperativeKernelMultiDevice) \
    X(cuGraphLaunch) X(cuGraphLaunch_ptsz)

#define DIVVY_COMPUTE_HOOKS_GRAPH(X) \
    X(cuGraphExecDestroy) X(cuGraphExecUpdate) X(cuGraphExecUpdate_v2)

#define DIVVY_COMPUTE_HOOKS_CAPTURE(X) \
    X(cuStreamBeginCapture) X(cuStreamBeginCapture_ptsz) \
    X(cuStreamBeginCapture_v2) X(cuStreamBeginCapture_v2_ptsz) \
    X(cuStreamBeginCaptureToGraph) X(cuStreamBeginCaptureToGraph_ptsz) \
    X(cuStreamEndCapture) X(cuStreamEndCapture_ptsz)

#define DIVVY_COMPUTE_HOOKS_WORK(X) \
    X(cuMemsetD8) X(cuMemsetD8_v2) X(cuMemsetD8_v2_ptds) X(cuMemsetD8Async) X(cuMemsetD8Async_ptsz) \
    X(cuMemsetD16) X(cuMemsetD16_v2) X(cuMemsetD16_v2_ptds) X(cuMemsetD16Async) X(cuMemsetD16Async_ptsz) \
    X(cuMemsetD32) X(cuMemsetD32_v2) X(cuMemsetD32_v2_ptds) X(cuMemsetD32Async) X(cuMemsetD32Async_ptsz) \
    X(cuMemsetD2D8) X(cuMemsetD2D8_v2) X(cuMemsetD2D8_v2_ptds) X(cuMemsetD2D8Async) X(cuMemsetD2D8Async_ptsz) \
    X(cuMemsetD2D16) X(cuMemsetD2D16_v2) X(cuMemsetD2D16_v2_ptds) X(cuMemsetD2D16Async) X(cuMemsetD2D16Async_ptsz) \
    X(cuMemsetD2D32) X(cuMemsetD2D32_v2) X(cuMemsetD2D32_v2_ptds) X(cuMemsetD2D32Async) X(cuMemsetD2D32Async_ptsz) \
    X(cuMemBatchDecompressAsync) X(cuMemBatchDecompressAsync_ptsz) \
    X(cuMemcpyDtoD) X(cuMemcpyDtoD_v2) X(cuMemcpyDtoD_v2_ptds) \
    X(cuMemcpyDtoDAsync) X(cuMemcpyDtoDAsync_v2) X(cuMemcpyDtoDAsync_v2_ptsz)

#define DIVVY_COMPUTE_HOOKS_STREAM(X) \
    X(cuStreamDestroy) X(cuStreamDestroy_v2) \
    X(cuCtxSetCurrent) X(cuCtxPushCurrent) X(cuCtxPushCurrent_v2) X(cuCtxPopCurrent) X(cuCtxPopCurrent_v2)
/* clang-format on */

#define DIVVY_COMPUTE_DECLARE(symbol) __typeof__(symbol) divvy_hook_##symbol;
DIVVY_COMPUTE_HOOKS(DIVVY_COMPUTE_DECLARE)
#undef DIVVY_COMPUTE_DECLARE

/*
 * The process uses device `ordinal` (the driver's CUdevice, below DIVVY_PAGE_DEVICES), whose limit and accounting are
 * page->devices[page_device]; its own figures go to page->slots[slot].usage[page_device]. The page stays mapped for the
 * life of the process. Without a limit there (compute_permille 0 or >= 1000) nothing is gated until that word changes.
 * Attaching again replaces the attachment. 0; -EINVAL: an index out of range.
 */
int divvy_compute_device_attach(unsigned ordinal, struct divvy_page *page, unsigned slot, unsigned page_device);

/*
 * The calling thread's current context may have changed by a call that is hooked elsewhere: cuCtxCreate*, cuCtxAttach,
 * cuCtxDestroy*, cuCtxDetach, cuDevicePrimaryCtxRelease/Reset, cuGreenCtxDestroy. (SetCurrent, Push, Pop are hooked here.)
 */
void divvy_compute_context_switched(void);

/*
 * Before the driver destroys `context` (cuCtxDestroy*, cuCtxDetach, cuGreenCtxDestroy with the context made from it):
 * gives back our events of it and forgets its streams. Harmless for a context never seen, and if it lives on.
 */
void divvy_compute_context_destroying(CUcontext context);

/* The same for all contexts of device `ordinal`: before cuDevicePrimaryCtxReset and cuDevicePrimaryCtxRelease. */
void divvy_compute_device_destroying(unsigned ordinal);

/* In the child after fork, before it uses the driver. Async-signal-safe. */
void divvy_compute_fork_child(void);

/*
 * How many processes outside this process compute on device `ordinal` now (time slicing with them stretches what events
 * measure): a count, or negative: not known. Called at most once a second, from a launch, nothing locked. Without a probe
 * only the tenant's own processes are known, through the page.
 */
void divvy_compute_set_neighbour_probe(int (*probe)(unsigned ordinal));

#endif
