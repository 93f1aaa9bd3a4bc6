/*
 * What libcuda.so.1 exports beyond the table of src/cuda and programs look for: interoperability with OpenGL, which
 * they load whether or not they use it, and the profiler's switches. Rows as in cuda/driver_table.h.
 */
#ifndef DIVVY_SIMGPU_DRIVER_MORE_TABLE_H
#define DIVVY_SIMGPU_DRIVER_MORE_TABLE_H

#include "simgpu/driver/api.h"

/* clang-format off */
#define DIVVY_DRV_MORE_TABLE(X) \
    X(cuGLGetDevices, cuGLGetDevices, 4010, PLAIN, OTHER, (unsigned int *count, CUdevice *devices, unsigned int room, int list), (count, devices, room, list)) \
    X(cuGLGetDevices_v2, cuGLGetDevices, 6050, PLAIN, OTHER, (unsigned int *count, CUdevice *devices, unsigned int room, int list), (count, devices, room, list)) \
    X(cuGraphicsGLRegisterBuffer, cuGraphicsGLRegisterBuffer, 3000, PLAIN, OTHER, (CUgraphicsResource *resource, unsigned int buffer, unsigned int flags), (resource, buffer, flags)) \
    X(cuGraphicsGLRegisterImage, cuGraphicsGLRegisterImage, 3000, PLAIN, OTHER, (CUgraphicsResource *resource, unsigned int image, unsigned int target, unsigned int flags), (resource, image, target, flags)) \
    X(cuProfilerInitialize, cuProfilerInitialize, 4000, PLAIN, OTHER, (const char *config, const char *output, int mode), (config, output, mode)) \
    X(cuProfilerStart, cuProfilerStart, 4000, PLAIN, OTHER, (void), ()) \
    X(cuProfilerStop, cuProfilerStop, 4000, PLAIN, OTHER, (void), ())
/* clang-format on */

#define DIVVY_DRV_MORE_DECLARE(symbol, api, since, form, kind, parameters, arguments)              \
    CUresult symbol parameters;                                                                    \
    CUresult DRV(symbol) parameters;
DIVVY_DRV_MORE_TABLE(DIVVY_DRV_MORE_DECLARE)
#undef DIVVY_DRV_MORE_DECLARE

#endif
