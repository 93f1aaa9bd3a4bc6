/* limiter.h of the ABI in libaccelerator_example.so: workers are allowed everything, hosts are told that nothing is limited. */
#include "divvy/accelerator.h"

#include "core/text.h"

#include <string.h>

#define AVAILABLE_BYTES  (UINT64_C(16) << 30)
#define AVAILABLE_TOKENS UINT64_C(1000000)

static void text_write(char *field, size_t size_bytes, const char *text) {
    divvy_core_text_t written;

    divvy_core_text_init(&written, field, size_bytes);
    divvy_core_text_add_bytes(&written, text, strnlen(text, size_bytes));
}

AccelResult CheckAndRecordMemoryOps(const char *processId, const char *deviceUUID, int64_t bytesDiff, MemoryOpRecord *record) {
    if (!processId || !deviceUUID || !record)
        return ACCEL_ERROR_INVALID_PARAM;
    *record = (MemoryOpRecord){.bytesDiff = bytesDiff, .availableBytes = AVAILABLE_BYTES};
    text_write(record->deviceUUID, sizeof record->deviceUUID, deviceUUID);
    return ACCEL_SUCCESS;
}

AccelResult CheckAndRecordComputeOps(const char *processId, const char *deviceUUID, uint64_t computeTokens,
                                     ComputeOpRecord *record) {
    if (!processId || !deviceUUID || !record)
        return ACCEL_ERROR_INVALID_PARAM;
    *record = (ComputeOpRecord){.computeTokens = computeTokens, .availableTokens = AVAILABLE_TOKENS};
    text_write(record->deviceUUID, sizeof record->deviceUUID, deviceUUID);
    return ACCEL_SUCCESS;
}

/* Nobody is ever frozen here. */
static AccelResult worker_state(const char *worker, WorkerFreezeState *state) {
    if (!worker || !state)
        return ACCEL_ERROR_INVALID_PARAM;
    *state = (WorkerFreezeState){.isFrozen = false};
    text_write(state->workerId, sizeof state->workerId, worker);
    return ACCEL_SUCCESS;
}

AccelResult FreezeWorker(const char *workerId, WorkerFreezeState *state) {
    return worker_state(workerId, state);
}

AccelResult ResumeWorker(const char *workerId, WorkerFreezeState *state) {
    return worker_state(workerId, state);
}

AccelResult AutoFreeze(const char *workerId, const char *deviceUUID, const char *resourceType) {
    return workerId && deviceUUID && resourceType ? ACCEL_SUCCESS : ACCEL_ERROR_INVALID_PARAM;
}

AccelResult AutoResume(const char *workerId, const char *deviceUUID, const char *resourceType) {
    return workerId && deviceUUID && resourceType ? ACCEL_SUCCESS : ACCEL_ERROR_INVALID_PARAM;
}

AccelResult AddWorkerProcess(const char *deviceUUID, const char *processId) {
    return deviceUUID && processId ? ACCEL_SUCCESS : ACCEL_ERROR_INVALID_PARAM;
}

AccelResult LimiterInit(const char *shmBasePath) {
    (void)shmBasePath;
    return ACCEL_ERROR_NOT_SUPPORTED;
}

AccelResult LimiterShutdown(void) {
    return ACCEL_ERROR_NOT_SUPPORTED;
}

AccelResult LimiterCreateWorker(const char *ns, const char *pod, const LimiterDeviceConfig *cfgs, size_t n) {
    (void)ns;
    (void)pod;
    (void)cfgs;
    (void)n;
    return ACCEL_ERROR_NOT_SUPPORTED;
}

AccelResult LimiterRemoveWorker(const char *ns, const char *pod) {
    (void)ns;
    (void)pod;
    return ACCEL_ERROR_NOT_SUPPORTED;
}

AccelResult LimiterRegisterPID(const char *ns, const char *pod, uint32_t hostPID) {
    (void)ns;
    (void)pod;
    (void)hostPID;
    return ACCEL_ERROR_NOT_SUPPORTED;
}

AccelResult LimiterUpdateERL(const char *ns, const char *pod, uint32_t deviceIdx, uint32_t upLimit, double utilizationPercent,
                             uint64_t timestampMicros) {
    (void)ns;
    (void)pod;
    (void)deviceIdx;
    (void)upLimit;
    (void)utilizationPercent;
    (void)timestampMicros;
    return ACCEL_ERROR_NOT_SUPPORTED;
}

AccelResult LimiterUpdateHeartbeat(const char *ns, const char *pod, uint64_t timestampSecs) {
    (void)ns;
    (void)pod;
    (void)timestampSecs;
    return ACCEL_ERROR_NOT_SUPPORTED;
}

AccelResult LimiterSetPodMemoryUsed(const char *ns, const char *pod, uint32_t deviceIdx, uint64_t memoryUsed) {
    (void)ns;
    (void)pod;
    (void)deviceIdx;
    (void)memoryUsed;
    return ACCEL_ERROR_NOT_SUPPORTED;
}
