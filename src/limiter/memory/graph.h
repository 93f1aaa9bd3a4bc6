/*
 * Memory that graphs allocate: nodes made by cuGraphAddMemAllocNode, cuGraphAddNode or a captured
 * cuMemAllocAsync. The driver takes the memory when an executable graph that has such nodes is
 * uploaded or launched, and keeps it in a pool of its own until cuDeviceGraphMemTrim; so that is
 * when it is charged, and what the driver says it holds is what stays charged. The hooks of graph
 * life live in limiter/compute and call these; a graph without memory nodes costs one lookup at
 * launch, and nothing when no executable graph of the process has any.
 */
#ifndef DIVVY_LIMITER_MEMORY_GRAPH_H
#define DIVVY_LIMITER_MEMORY_GRAPH_H

#include "cuda/driver_types.h"

/* After a successful cuGraphInstantiate* (also an Update or SetParams that replaced nodes): learns
 * what exec allocates. */
void divvy_memory_graph_instantiated(CUgraphExec exec, CUgraph graph);

/* After a successful cuGraphExecDestroy. */
void divvy_memory_graph_exec_destroyed(CUgraphExec exec);

/*
 * Before the driver's cuGraphLaunch or cuGraphUpload: CUDA_SUCCESS, or CUDA_ERROR_OUT_OF_MEMORY:
 * return that to the application and do not launch. Every success is followed by one _launch_end on
 * the same thread, whatever the driver answered.
 */
CUresult divvy_memory_graph_launch_begin(CUgraphExec exec);
void divvy_memory_graph_launch_end(CUgraphExec exec);

#endif
