/* Initialisation and what does not belong to any object. */
#include "simgpu/driver/context.h"
#include "simgpu/driver/more_table.h"

#include <errno.h>
#include <stdio.h>

static pthread_mutex_t init_lock = PTHREAD_MUTEX_INITIALIZER;
static bool initialised;

/* A bad environment must be seen, not guessed at: the engine's own line goes to stderr once. */
static CUresult attach(void) {
    char error[DIVVY_SIMGPU_ERROR_MAX];
    int status = divvy_simgpu_attach(0, error);
    if (status == -EPERM)
        return CUDA_ERROR_NOT_INITIALIZED; /* a fork child */
    if (status) {
        fprintf(stderr, "simgpu: %s\n", error);
        return status == -EINVAL ? CUDA_ERROR_SYSTEM_NOT_READY : CUDA_ERROR_OPERATING_SYSTEM;
    }
    divvy_simgpu_fault_t fault = divvy_simgpu_fault("cuInit");
    if (fault.kind != DIVVY_SIMGPU_FAULT_NONE) {
        divvy_simgpu_detach();
        return fault.kind == DIVVY_SIMGPU_FAULT_UNSUPPORTED ? CUDA_ERROR_NOT_SUPPORTED
                                                            : (CUresult)fault.code;
    }
    return CUDA_SUCCESS;
}

CUresult DRV(cuInit)(unsigned int Flags) {
    if (Flags)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult result = CUDA_SUCCESS;
    pthread_mutex_lock(&init_lock);
    if (!initialised || !divvy_simgpu_attached()) {
        result = initialised ? CUDA_ERROR_NOT_INITIALIZED : attach();
        if (result == CUDA_SUCCESS) {
            divvy_drv_devices_init();
            initialised = divvy_drv_devices_count() > 0;
            if (!initialised) {
                divvy_simgpu_detach();
                result = CUDA_ERROR_NO_DEVICE;
            }
        }
    }
    pthread_mutex_unlock(&init_lock);
    return result;
}

CUresult DRV(cuDriverGetVersion)(int *driverVersion) {
    if (!driverVersion)
        return CUDA_ERROR_INVALID_VALUE;
    *driverVersion = DIVVY_DRV_VERSION;
    return CUDA_SUCCESS;
}

/* There is no profiler to start: the switches are accepted, as the driver does without one. */
CUresult DRV(cuProfilerStart)(void) {
    divvy_drv_context_t *context;
    return divvy_drv_context_current(&context);
}

CUresult DRV(cuProfilerStop)(void) {
    divvy_drv_context_t *context;
    return divvy_drv_context_current(&context);
}
