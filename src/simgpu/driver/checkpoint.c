/* Locking, saving and restoring a process: the engine's steps with CUDA's arguments and results. */
#include "simgpu/driver/context.h"

#include <errno.h>
#include <string.h>

static CUresult result_of(int status) {
    switch (status) {
    case -ESRCH:
        return CUDA_ERROR_INVALID_VALUE;
    case -EPROTO:
        return CUDA_ERROR_ILLEGAL_STATE;
    default:
        return divvy_drv_result(status);
    }
}

static bool is_zero(const void *data, size_t bytes) {
    static const char zeros[64];
    return bytes <= sizeof(zeros) && !memcmp(data, zeros, bytes);
}

CUresult DRV(cuCheckpointProcessGetState)(int pid, CUprocessState *state) {
    divvy_simgpu_checkpoint_t found;
    if (!state)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(result_of(divvy_simgpu_checkpoint_state(pid, &found)));
    *state = found == DIVVY_SIMGPU_SAVED    ? CU_PROCESS_STATE_CHECKPOINTED
             : found == DIVVY_SIMGPU_LOCKED ? CU_PROCESS_STATE_LOCKED
                                            : CU_PROCESS_STATE_RUNNING;
    return CUDA_SUCCESS;
}

/* No thread of the target is needed here: its first one stands for it, which every process has. */
CUresult DRV(cuCheckpointProcessGetRestoreThreadId)(int pid, int *tid) {
    divvy_simgpu_checkpoint_t found;
    if (!tid)
        return CUDA_ERROR_INVALID_VALUE;
    DRV_TRY(result_of(divvy_simgpu_checkpoint_state(pid, &found)));
    *tid = pid;
    return CUDA_SUCCESS;
}

CUresult DRV(cuCheckpointProcessLock)(int pid, CUcheckpointLockArgs *args) {
    uint64_t deadline_ns = UINT64_MAX;
    if (args && (args->reserved0 || !is_zero(args->reserved1, sizeof(args->reserved1))))
        return CUDA_ERROR_INVALID_VALUE;
    if (args && args->timeoutMs)
        deadline_ns = divvy_simgpu_now_ns() + args->timeoutMs * UINT64_C(1000000);
    return result_of(divvy_simgpu_checkpoint_lock(pid, deadline_ns));
}

CUresult DRV(cuCheckpointProcessCheckpoint)(int pid, CUcheckpointCheckpointArgs *args) {
    if (args && !is_zero(args->reserved, sizeof(args->reserved)))
        return CUDA_ERROR_INVALID_VALUE;
    return result_of(divvy_simgpu_checkpoint_save(pid));
}

/* Pairs may name each device for itself; moving to another one is not simulated. */
static CUresult check_pairs(const CUcheckpointRestoreArgs *args) {
    if (!is_zero(args->reserved, sizeof(args->reserved)) || args->reserved1 ||
        (args->gpuPairsCount && !args->gpuPairs))
        return CUDA_ERROR_INVALID_VALUE;
    for (unsigned i = 0; i < args->gpuPairsCount; i++)
        if (memcmp(&args->gpuPairs[i].oldUuid, &args->gpuPairs[i].newUuid, sizeof(CUuuid)))
            return CUDA_ERROR_NOT_SUPPORTED;
    return CUDA_SUCCESS;
}

CUresult DRV(cuCheckpointProcessRestore)(int pid, CUcheckpointRestoreArgs *args) {
    if (args)
        DRV_TRY(check_pairs(args));
    return result_of(divvy_simgpu_checkpoint_restore(pid));
}

CUresult DRV(cuCheckpointProcessUnlock)(int pid, CUcheckpointUnlockArgs *args) {
    if (args && !is_zero(args->reserved, sizeof(args->reserved)))
        return CUDA_ERROR_INVALID_VALUE;
    return result_of(divvy_simgpu_checkpoint_unlock(pid));
}
