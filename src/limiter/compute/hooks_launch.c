/*
 * Hooks of kernel launches.
 */
#include "limiter/compute/hooks.h"

#define KERNEL_KEY(f, x, y, z) divvy_compute_key((f), divvy_compute_grid_class((x), (y), (z)))

/* Not yet paid for elsewhere. */
#define KERNEL_UNPAID(stream)                                                                                          \
    !divvy_compute_paid(divvy_compute_volume(gridDimX, gridDimY, gridDimZ),                                            \
                        divvy_compute_volume(blockDimX, blockDimY, blockDimZ), stream)

#define KERNEL_PARAMETERS                                                                                              \
    (CUfunction f, unsigned int gridDimX, unsigned int gridDimY, unsigned int gridDimZ, unsigned int blockDimX,        \
     unsigned int blockDimY, unsigned int blockDimZ, unsigned int sharedMemBytes, CUstream hStream,                    \
     void **kernelParams, void **extra)
#define KERNEL_ARGUMENTS                                                                                               \
    (f, gridDimX, gridDimY, gridDimZ, blockDimX, blockDimY, blockDimZ, sharedMemBytes, hStream, kernelParams, extra)

DIVVY_COMPUTE_GATED(cuLaunchKernel, KERNEL_PARAMETERS, KERNEL_ARGUMENTS, KERNEL_UNPAID(LEGACY(hStream)),
                    KERNEL_KEY(f, gridDimX, gridDimY, gridDimZ), DIVVY_COMPUTE_GUESS_NS, LEGACY(hStream))
DIVVY_COMPUTE_GATED(cuLaunchKernel_ptsz, KERNEL_PARAMETERS, KERNEL_ARGUMENTS, KERNEL_UNPAID(PER_THREAD(hStream)),
                    KERNEL_KEY(f, gridDimX, gridDimY, gridDimZ), DIVVY_COMPUTE_GUESS_NS, PER_THREAD(hStream))

#define COOPERATIVE_PARAMETERS                                                                                         \
    (CUfunction f, unsigned int gridDimX, unsigned int gridDimY, unsigned int gridDimZ, unsigned int blockDimX,        \
     unsigned int blockDimY, unsigned int blockDimZ, unsigned int sharedMemBytes, CUstream hStream,                    \
     void **kernelParams)
#define COOPERATIVE_ARGUMENTS                                                                                          \
    (f, gridDimX, gridDimY, gridDimZ, blockDimX, blockDimY, blockDimZ, sharedMemBytes, hStream, kernelParams)

DIVVY_COMPUTE_GATED(cuLaunchCooperativeKernel, COOPERATIVE_PARAMETERS, COOPERATIVE_ARGUMENTS, KERNEL_UNPAID(LEGACY(hStream)),
                    KERNEL_KEY(f, gridDimX, gridDimY, gridDimZ), DIVVY_COMPUTE_GUESS_NS, LEGACY(hStream))
DIVVY_COMPUTE_GATED(cuLaunchCooperativeKernel_ptsz, COOPERATIVE_PARAMETERS, COOPERATIVE_ARGUMENTS, KERNEL_UNPAID(PER_THREAD(hStream)),
                    KERNEL_KEY(f, gridDimX, gridDimY, gridDimZ), DIVVY_COMPUTE_GUESS_NS, PER_THREAD(hStream))

#define EX_PARAMETERS (const CUlaunchConfig *config, CUfunction f, void **kernelParams, void **extra)
#define EX_ARGUMENTS  (config, f, kernelParams, extra)
#define EX_KEY        KERNEL_KEY(f, config->gridDimX, config->gridDimY, config->gridDimZ)
#define EX_UNPAID(stream)                                                                                              \
    !divvy_compute_paid(divvy_compute_volume(config->gridDimX, config->gridDimY, config->gridDimZ),                    \
                        divvy_compute_volume(config->blockDimX, config->blockDimY, config->blockDimZ), stream)

/* A null configuration is the driver's to refuse. */
DIVVY_COMPUTE_GATED(cuLaunchKernelEx, EX_PARAMETERS, EX_ARGUMENTS, config && EX_UNPAID(LEGACY(config->hStream)), EX_KEY,
                    DIVVY_COMPUTE_GUESS_NS, LEGACY(config->hStream))
DIVVY_COMPUTE_GATED(cuLaunchKernelEx_ptsz, EX_PARAMETERS, EX_ARGUMENTS, config && EX_UNPAID(PER_THREAD(config->hStream)), EX_KEY,
                    DIVVY_COMPUTE_GUESS_NS, PER_THREAD(config->hStream))

/*
 * The oldest calls: the block's shape was set before, the stream is the default one unless given. Whose shape nobody tells is
 * taken for the largest there is where it has to be paid for.
 */
#define BLOCK_UNKNOWN 1024
#define GRID_BLOCKS   divvy_compute_volume((unsigned)grid_width, (unsigned)grid_height, 1)
DIVVY_COMPUTE_GATED(cuLaunch, (CUfunction f), (f), !divvy_compute_paid(1, BLOCK_UNKNOWN, CU_STREAM_LEGACY),
                    KERNEL_KEY(f, 1, 1, 1), DIVVY_COMPUTE_GUESS_NS,
                    CU_STREAM_LEGACY)
DIVVY_COMPUTE_GATED(cuLaunchGrid, (CUfunction f, int grid_width, int grid_height), (f, grid_width, grid_height),
                    !divvy_compute_paid(GRID_BLOCKS, BLOCK_UNKNOWN, CU_STREAM_LEGACY),
                    KERNEL_KEY(f, (unsigned)grid_width, (unsigned)grid_height, 1), DIVVY_COMPUTE_GUESS_NS,
                    CU_STREAM_LEGACY)
DIVVY_COMPUTE_GATED(cuLaunchGridAsync, (CUfunction f, int grid_width, int grid_height, CUstream hStream),
                    (f, grid_width, grid_height, hStream),
                    !divvy_compute_paid(GRID_BLOCKS, BLOCK_UNKNOWN, LEGACY(hStream)),
                    KERNEL_KEY(f, (unsigned)grid_width, (unsigned)grid_height, 1), DIVVY_COMPUTE_GUESS_NS,
                    LEGACY(hStream))

/* One call, several devices: each device's part passes its own gate before any of it starts. */
#define MULTI_MAX 32u

/* All of them, from the tokens of the current device. */
static bool parts_are_paid(const CUDA_LAUNCH_PARAMS *parts, unsigned count) {
    for (unsigned i = 0; i < count; i++)
        if (!divvy_compute_paid(divvy_compute_volume(parts[i].gridDimX, parts[i].gridDimY, parts[i].gridDimZ),
                                divvy_compute_volume(parts[i].blockDimX, parts[i].blockDimY, parts[i].blockDimZ),
                                LEGACY(parts[i].hStream)))
            return false;
    return true;
}

CUresult divvy_hook_cuLaunchCooperativeKernelMultiDevice(CUDA_LAUNCH_PARAMS *launchParamsList, unsigned int numDevices,
                                                         unsigned int flags) {
    struct divvy_compute_pass passes[MULTI_MAX];
    unsigned count = numDevices < MULTI_MAX ? numDevices : MULTI_MAX;
    CUresult result;

    if (!divvy_compute_armed() || !launchParamsList || parts_are_paid(launchParamsList, count))
        return divvy_real.cuLaunchCooperativeKernelMultiDevice(launchParamsList, numDevices, flags);
    for (unsigned i = 0; i < count; i++) {
        const CUDA_LAUNCH_PARAMS *part = &launchParamsList[i];

        divvy_compute_begin(&passes[i], KERNEL_KEY(part->function, part->gridDimX, part->gridDimY, part->gridDimZ),
                            DIVVY_COMPUTE_GUESS_NS, LEGACY(part->hStream));
    }
    result = divvy_real.cuLaunchCooperativeKernelMultiDevice(launchParamsList, numDevices, flags);
    for (unsigned i = 0; i < count; i++)
        divvy_compute_end(&passes[i], result);
    return result;
}
