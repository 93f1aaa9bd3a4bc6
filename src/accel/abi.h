/*
 * The functions of both generations, one row each: X(symbol, need). The libraries' version scripts, the loader's tables and the
 * tests expand them; the types are those of the prototypes in divvy/accelerator.h.
 *
 *   DISCOVERY  without it devices cannot be found
 *   FULL       a host needs it to do more than that
 *   OPTIONAL
 */
#ifndef DIVVY_ACCEL_ABI_H
#define DIVVY_ACCEL_ABI_H

#include "divvy/accelerator.h"

/* clang-format off */
#define DIVVY_ACCEL_ABI_1(X) \
    X(VirtualGPUInit, DISCOVERY) \
    X(GetDeviceCount, DISCOVERY) \
    X(GetAllDevices, DISCOVERY) \
    X(GetDeviceMetrics, DISCOVERY) \
    X(GetDeviceTopology, FULL) \
    X(AssignPartition, FULL) \
    X(RemovePartition, FULL) \
    X(SetMemHardLimit, FULL) \
    X(SetComputeUnitHardLimit, FULL) \
    X(Snapshot, FULL) \
    X(Resume, FULL) \
    X(GetProcessInformation, FULL) \
    X(GetVendorMountLibs, FULL) \
    X(RegisterLogCallback, OPTIONAL)

#define DIVVY_ACCEL_ABI_2(X) \
    X(AccelInit, DISCOVERY) \
    X(AccelGetDeviceCount, DISCOVERY) \
    X(AccelGetAllDevices, DISCOVERY) \
    X(AccelGetDeviceMetrics, DISCOVERY) \
    X(AccelShutdown, FULL) \
    X(AccelGetAllDevicesTopology, FULL) \
    X(AccelAssignPartition, FULL) \
    X(AccelRemovePartition, FULL) \
    X(AccelSetMemHardLimit, FULL) \
    X(AccelSetComputeUnitHardLimit, FULL) \
    X(AccelSnapshot, FULL) \
    X(AccelResume, FULL) \
    X(AccelGetProcessInformation, FULL) \
    X(AccelGetVendorMountLibs, FULL) \
    X(AccelRegisterLogCallback, OPTIONAL)

/* limiter.h of the ABI: libaccelerator_example.so only. */
#define DIVVY_ACCEL_ABI_LIMITER(X) \
    X(CheckAndRecordMemoryOps, OPTIONAL) \
    X(CheckAndRecordComputeOps, OPTIONAL) \
    X(FreezeWorker, OPTIONAL) \
    X(ResumeWorker, OPTIONAL) \
    X(AutoFreeze, OPTIONAL) \
    X(AutoResume, OPTIONAL) \
    X(AddWorkerProcess, OPTIONAL) \
    X(LimiterInit, OPTIONAL) \
    X(LimiterShutdown, OPTIONAL) \
    X(LimiterCreateWorker, OPTIONAL) \
    X(LimiterRemoveWorker, OPTIONAL) \
    X(LimiterRegisterPID, OPTIONAL) \
    X(LimiterUpdateERL, OPTIONAL) \
    X(LimiterUpdateHeartbeat, OPTIONAL) \
    X(LimiterSetPodMemoryUsed, OPTIONAL)
/* clang-format on */

#endif
