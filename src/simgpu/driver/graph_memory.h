/*
 * Memory that graphs allocate. An allocation node reserves addresses when it is made; the bytes are taken when its
 * graph is first uploaded or launched, stay for the next launch after they are freed, and go back with
 * cuDeviceGraphMemTrim or the graph.
 */
#ifndef DIVVY_SIMGPU_DRIVER_GRAPH_MEMORY_H
#define DIVVY_SIMGPU_DRIVER_GRAPH_MEMORY_H

#include "simgpu/driver/op.h"

/* Allocation and freeing in a capturing stream become nodes; *ret_taken says whether STREAM captures. */
CUresult divvy_drv_graph_memory_capture_alloc(divvy_drv_stream_t *stream, const CUmemPoolProps *props, uint64_t bytes,
                                              CUdeviceptr *ret_address, bool *ret_taken);
CUresult divvy_drv_graph_memory_capture_free(divvy_drv_stream_t *stream, CUdeviceptr address, bool *ret_taken);

/* Memory that a launched graph left allocated is freed in STREAM. */
CUresult divvy_drv_graph_memory_free_async(CUdeviceptr address, divvy_drv_stream_t *stream);

#endif
