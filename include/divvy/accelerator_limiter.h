/*
 * The limiter's side of the accelerator ABI ("limiter.h" of TensorFusion): what hooks in a worker ask before they allocate or
 * launch, and how a host steers a limiter. Include divvy/accelerator.h. libcuda_limiter.so exports it (docs/ACCELERATOR.md tells how it
 * answers), libaccelerator_example.so stand-ins that allow everything; vendors' libraries export none of it.
 *
 * Ids are at most 63 bytes and a NUL. The worker's functions answer INVALID_PARAM for a NULL. Any thread.
 */
#ifndef DIVVY_ACCELERATOR_LIMITER_H
#define DIVVY_ACCELERATOR_LIMITER_H

#include "divvy/accelerator_types.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    char deviceUUID[UUID_STRING_LENGTH];
    int64_t bytesDiff;       /* above 0: allocated; below: freed */
    bool shouldBlock;        /* out */
    uint64_t availableBytes; /* out */
} MemoryOpRecord;
DIVVY_ABI_SIZE(MemoryOpRecord, 88);
DIVVY_ABI_OFFSET(MemoryOpRecord, bytesDiff, 64);
DIVVY_ABI_OFFSET(MemoryOpRecord, shouldBlock, 72);
DIVVY_ABI_OFFSET(MemoryOpRecord, availableBytes, 80);

typedef struct {
    char deviceUUID[UUID_STRING_LENGTH];
    uint64_t computeTokens;
    bool shouldBlock;         /* out */
    uint64_t availableTokens; /* out */
} ComputeOpRecord;
DIVVY_ABI_SIZE(ComputeOpRecord, 88);
DIVVY_ABI_OFFSET(ComputeOpRecord, computeTokens, 64);
DIVVY_ABI_OFFSET(ComputeOpRecord, shouldBlock, 72);
DIVVY_ABI_OFFSET(ComputeOpRecord, availableTokens, 80);

typedef struct {
    char workerId[64];
    bool isFrozen;
    uint64_t freezeTimeMs;
} WorkerFreezeState;
DIVVY_ABI_SIZE(WorkerFreezeState, 80);
DIVVY_ABI_OFFSET(WorkerFreezeState, isFrozen, 64);
DIVVY_ABI_OFFSET(WorkerFreezeState, freezeTimeMs, 72);

/* Generation 2 only. */
typedef struct {
    uint32_t deviceIdx;
    char deviceUUID[UUID_STRING_LENGTH];
    uint32_t upLimit;  /* percent, 0 to 100 */
    uint64_t memLimit; /* bytes */
    uint32_t totalCudaCores;
} LimiterDeviceConfig;
DIVVY_ABI_SIZE(LimiterDeviceConfig, 88);
DIVVY_ABI_OFFSET(LimiterDeviceConfig, deviceUUID, 4);
DIVVY_ABI_OFFSET(LimiterDeviceConfig, upLimit, 68);
DIVVY_ABI_OFFSET(LimiterDeviceConfig, memLimit, 72);
DIVVY_ABI_OFFSET(LimiterDeviceConfig, totalCudaCores, 80);

/* A process (its pid, decimal) is about to take memory, or has freed some; *record says whether it may. */
ACCELERATOR_API AccelResult CheckAndRecordMemoryOps(const char *processId, const char *deviceUUID, int64_t bytesDiff,
                                                    MemoryOpRecord *record);

/* The same about work. */
ACCELERATOR_API AccelResult CheckAndRecordComputeOps(const char *processId, const char *deviceUUID, uint64_t computeTokens,
                                                     ComputeOpRecord *record);

/* Stops a worker. */
ACCELERATOR_API AccelResult FreezeWorker(const char *workerId, WorkerFreezeState *state);

/* Lets it go on. */
ACCELERATOR_API AccelResult ResumeWorker(const char *workerId, WorkerFreezeState *state);

/* Stops a worker for want of a resource: "memory" or "compute". */
ACCELERATOR_API AccelResult AutoFreeze(const char *workerId, const char *deviceUUID, const char *resourceType);

/* Lets it go on when there is enough of it. */
ACCELERATOR_API AccelResult AutoResume(const char *workerId, const char *deviceUUID, const char *resourceType);

/* A process belongs to the worker that has this device. */
ACCELERATOR_API AccelResult AddWorkerProcess(const char *deviceUUID, const char *processId);

/* Generation 2, for hosts: where the shared memory of pods lies. */
ACCELERATOR_API AccelResult LimiterInit(const char *shmBasePath);

/* Lets go of it. */
ACCELERATOR_API AccelResult LimiterShutdown(void);

/* Makes a pod's shared memory. */
ACCELERATOR_API AccelResult LimiterCreateWorker(const char *ns, const char *pod, const LimiterDeviceConfig *cfgs, size_t n);

/* Takes it away. */
ACCELERATOR_API AccelResult LimiterRemoveWorker(const char *ns, const char *pod);

/* A process of the host's pid namespace is one of the pod's. */
ACCELERATOR_API AccelResult LimiterRegisterPID(const char *ns, const char *pod, uint32_t hostPID);

/* How busy a pod kept its device, for its rate controller. */
ACCELERATOR_API AccelResult LimiterUpdateERL(const char *ns, const char *pod, uint32_t deviceIdx, uint32_t upLimit,
                                             double utilizationPercent, uint64_t timestampMicros);

/* The host lives. */
ACCELERATOR_API AccelResult LimiterUpdateHeartbeat(const char *ns, const char *pod, uint64_t timestampSecs);

/* What the pod's processes have allocated. */
ACCELERATOR_API AccelResult LimiterSetPodMemoryUsed(const char *ns, const char *pod, uint32_t deviceIdx, uint64_t memoryUsed);

#ifdef __cplusplus
}
#endif

#endif
