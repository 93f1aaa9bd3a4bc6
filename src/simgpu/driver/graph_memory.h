/*
 * Memory that graphs allocate. An allocation node reserves addresses when it is made; the bytes are
 * taken when its graph is first uploaded or launched, stay for the next launch after they are
 * freed, and go back with cuDeviceGraphMemTrim or with the last graph that knows them. Whole pages
 * of 2 MiB.
 */
#ifndef DIVVY_SIMGPU_DRIVER_GRAPH_MEMORY_H
#define DIVVY_SIMGPU_DRIVER_GRAPH_MEMORY_H

#include "simgpu/driver/graph.h"

/* Memory for an allocation node: the address is in *RET_PARAMS->dptr. One reference. */
CUresult divvy_drv_graph_memory_new(CUDA_MEM_ALLOC_NODE_PARAMS *params,
                                    divvy_drv_graph_memory_t **ret_memory);
void divvy_drv_graph_memory_ref(divvy_drv_graph_memory_t *memory);
void divvy_drv_graph_memory_unref(divvy_drv_graph_memory_t *memory);

/* An allocation node runs: takes the bytes if need be. CUDA_ERROR_OUT_OF_MEMORY;
 * CUDA_ERROR_INVALID_VALUE when it is still allocated from the last time and AGAIN is not
 * allowed. */
CUresult divvy_drv_graph_memory_allocate(divvy_drv_graph_memory_t *memory, bool again);
/* The same before a launch, without allocating: cuGraphUpload. */
CUresult divvy_drv_graph_memory_prepare(divvy_drv_graph_memory_t *memory);
/* A free node runs: of memory of a graph, or of a pool as of POSITION. */
CUresult divvy_drv_graph_memory_node_free(CUdeviceptr address, uint64_t stream_id,
                                          divvy_simgpu_position_t position);

/* Whether [address, address+bytes) lies in addresses of an allocation node, with or without
 * memory behind them: work on it may be captured before the graph ever ran. */
bool divvy_drv_graph_memory_covers(uint64_t address, uint64_t bytes, int *ret_device);

/* Allocation and freeing in a capturing stream become nodes; *ret_taken says whether STREAM
 * captures. */
CUresult divvy_drv_graph_memory_capture_alloc(divvy_drv_stream_t *stream,
                                              const CUmemPoolProps *props, uint64_t bytes,
                                              CUdeviceptr *ret_address, bool *ret_taken);
CUresult divvy_drv_graph_memory_capture_free(divvy_drv_stream_t *stream, CUdeviceptr address,
                                             bool *ret_taken);

/* Memory that a launched graph left allocated is freed in STREAM. */
CUresult divvy_drv_graph_memory_free_async(CUdeviceptr address, divvy_drv_stream_t *stream);

#endif
