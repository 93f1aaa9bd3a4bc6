/* Snapshot and resume by the driver's checkpoint calls, in the host's process: see nvidia.h. */
#include "accel/checkpoint/steps.h"
#include "accel/nvidia/nvidia.h"

#include <errno.h>
#include <stdlib.h>

/* A line of the steps, for the host. */
static void tell(const char *line) {
    divvy_provider_log("ERROR", "%s", line);
}

/* The first of these that loads; what is said of the others is not worth telling. */
static int driver_load(void) {
    const char *given = secure_getenv("TF_CUDA_LIB_PATH");
    int status = given && given[0] ? divvy_checkpoint_load(given, tell) : -EOPNOTSUPP;

    return status == -EOPNOTSUPP ? divvy_checkpoint_load("libcuda.so.1", tell) : status;
}

static AccelResult result_of(int status) {
    switch (status) {
    case 0:
        return ACCEL_SUCCESS;
    case -EOPNOTSUPP:
        return ACCEL_ERROR_NOT_SUPPORTED;
    case -ENOMEM:
        return ACCEL_ERROR_RESOURCE_EXHAUSTED;
    default:
        return ACCEL_ERROR_OPERATION_FAILED;
    }
}

/* Unlike divvyd's tenants, whose processes are a mixed lot, those named here are meant to be the driver's. */
static AccelResult run(const pid_t *pids, size_t count,
                       int (*act)(struct divvy_checkpoint_process *, size_t, divvy_checkpoint_tell_t)) {
    struct divvy_checkpoint_process *all;
    AccelResult result = result_of(driver_load());

    if (result != ACCEL_SUCCESS)
        return result;
    all = calloc(count, sizeof *all);
    if (!all)
        return ACCEL_ERROR_INTERNAL;
    for (size_t i = 0; i < count && result == ACCEL_SUCCESS; i++) {
        all[i].pid = pids[i];
        divvy_checkpoint_look(&all[i]);
        if (!all[i].cuda) {
            divvy_provider_log("ERROR", "process %d is none that uses a device", pids[i]);
            result = ACCEL_ERROR_NOT_FOUND;
        }
    }
    if (result == ACCEL_SUCCESS)
        result = result_of(act(all, count, tell));
    free(all);
    return result;
}

AccelResult divvy_nvidia_snapshot(const pid_t *pids, size_t count) {
    return run(pids, count, divvy_checkpoint_save);
}

AccelResult divvy_nvidia_resume(const pid_t *pids, size_t count) {
    return run(pids, count, divvy_checkpoint_restore);
}
