/*
 * Every function that libnvidia-ml.so.1 exports (NVML 13.0), one row each:
 *
 *   X(symbol, return type, (parameters), (arguments))
 *
 * The limiter's views, the simulated NVML and its tests expand this table. Source of the contract: NVIDIA's published nvml.h.
 */
#ifndef DIVVY_CUDA_NVML_TABLE_H
#define DIVVY_CUDA_NVML_TABLE_H

#include "cuda/nvml_types.h"

/* clang-format off */
#define DIVVY_CUDA_NVML_TABLE(X) \
    X(nvmlComputeInstanceDestroy, nvmlReturn_t, (nvmlComputeInstance_t computeInstance), (computeInstance)) \
    X(nvmlComputeInstanceGetInfo, nvmlReturn_t, (nvmlComputeInstance_t computeInstance, nvmlComputeInstanceInfo_t *info), (computeInstance, info)) \
    X(nvmlComputeInstanceGetInfo_v2, nvmlReturn_t, (nvmlComputeInstance_t computeInstance, nvmlComputeInstanceInfo_t *info), (computeInstance, info)) \
    X(nvmlDeviceClearAccountingPids, nvmlReturn_t, (nvmlDevice_t device), (device)) \
    X(nvmlDeviceClearCpuAffinity, nvmlReturn_t, (nvmlDevice_t device), (device)) \
    X(nvmlDeviceClearEccErrorCounts, nvmlReturn_t, (nvmlDevice_t device, nvmlEccCounterType_t counterType), (device, counterType)) \
    X(nvmlDeviceClearFieldValues, nvmlReturn_t, (nvmlDevice_t device, int valuesCount, nvmlFieldValue_t *values), (device, valuesCount, values)) \
    X(nvmlDeviceCreateGpuInstance, nvmlReturn_t, (nvmlDevice_t device, unsigned int profileId, nvmlGpuInstance_t *gpuInstance), (device, profileId, gpuInstance)) \
    X(nvmlDeviceCreateGpuInstanceWithPlacement, nvmlReturn_t, (nvmlDevice_t device, unsigned int profileId, const nvmlGpuInstancePlacement_t *placement, nvmlGpuInstance_t *gpuInstance), (device, profileId, placement, gpuInstance)) \
    X(nvmlDeviceDiscoverGpus, nvmlReturn_t, (nvmlPciInfo_t *pciInfo), (pciInfo)) \
    X(nvmlDeviceFreezeNvLinkUtilizationCounter, nvmlReturn_t, (nvmlDevice_t device, unsigned int link, unsigned int counter, nvmlEnableState_t freeze), (device, link, counter, freeze)) \
    X(nvmlDeviceGetAPIRestriction, nvmlReturn_t, (nvmlDevice_t device, nvmlRestrictedAPI_t apiType, nvmlEnableState_t *isRestricted), (device, apiType, isRestricted)) \
    X(nvmlDeviceGetAccountingBufferSize, nvmlReturn_t, (nvmlDevice_t device, unsigned int *bufferSize), (device, bufferSize)) \
    X(nvmlDeviceGetAccountingMode, nvmlReturn_t, (nvmlDevice_t device, nvmlEnableState_t *mode), (device, mode)) \
    X(nvmlDeviceGetAccountingPids, nvmlReturn_t, (nvmlDevice_t device, unsigned int *count, unsigned int *pids), (device, count, pids)) \
    X(nvmlDeviceGetAccountingStats, nvmlReturn_t, (nvmlDevice_t device, unsigned int pid, nvmlAccountingStats_t *stats), (device, pid, stats)) \
    X(nvmlDeviceGetActiveVgpus, nvmlReturn_t, (nvmlDevice_t device, unsigned int *vgpuCount, nvmlVgpuInstance_t *vgpuInstances), (device, vgpuCount, vgpuInstances)) \
    X(nvmlDeviceGetAdaptiveClockInfoStatus, nvmlReturn_t, (nvmlDevice_t device, unsigned int *adaptiveClockStatus), (device, adaptiveClockStatus)) \
    X(nvmlDeviceGetAddressingMode, nvmlReturn_t, (nvmlDevice_t device, nvmlDeviceAddressingMode_t *mode), (device, mode)) \
    X(nvmlDeviceGetApplicationsClock, nvmlReturn_t, (nvmlDevice_t device, nvmlClockType_t clockType, unsigned int *clockMHz), (device, clockType, clockMHz)) \
    X(nvmlDeviceGetArchitecture, nvmlReturn_t, (nvmlDevice_t device, nvmlDeviceArchitecture_t *arch), (device, arch)) \
    X(nvmlDeviceGetAttributes, nvmlReturn_t, (nvmlDevice_t device, nvmlDeviceAttributes_t *attributes), (device, attributes)) \
    X(nvmlDeviceGetAttributes_v2, nvmlReturn_t, (nvmlDevice_t device, nvmlDeviceAttributes_t *attributes), (device, attributes)) \
    X(nvmlDeviceGetAutoBoostedClocksEnabled, nvmlReturn_t, (nvmlDevice_t device, nvmlEnableState_t *isEnabled, nvmlEnableState_t *defaultIsEnabled), (device, isEnabled, defaultIsEnabled)) \
    X(nvmlDeviceGetBAR1MemoryInfo, nvmlReturn_t, (nvmlDevice_t device, nvmlBAR1Memory_t *bar1Memory), (device, bar1Memory)) \
    X(nvmlDeviceGetBoardId, nvmlReturn_t, (nvmlDevice_t device, unsigned int *boardId), (device, boardId)) \
    X(nvmlDeviceGetBoardPartNumber, nvmlReturn_t, (nvmlDevice_t device, char *partNumber, unsigned int length), (device, partNumber, length)) \
    X(nvmlDeviceGetBrand, nvmlReturn_t, (nvmlDevice_t device, nvmlBrandType_t *type), (device, type)) \
    X(nvmlDeviceGetBridgeChipInfo, nvmlReturn_t, (nvmlDevice_t device, nvmlBridgeChipHierarchy_t *bridgeHierarchy), (device, bridgeHierarchy)) \
    X(nvmlDeviceGetBusType, nvmlReturn_t, (nvmlDevice_t device, nvmlBusType_t *type), (device, type)) \
    X(nvmlDeviceGetC2cModeInfoV, nvmlReturn_t, (nvmlDevice_t device, nvmlC2cModeInfo_v1_t *c2cModeInfo), (device, c2cModeInfo)) \
    X(nvmlDeviceGetCapabilities, nvmlReturn_t, (nvmlDevice_t device, nvmlDeviceCapabilities_t *caps), (device, caps)) \
    X(nvmlDeviceGetClkMonStatus, nvmlReturn_t, (nvmlDevice_t device, nvmlClkMonStatus_t *status), (device, status)) \
    X(nvmlDeviceGetClock, nvmlReturn_t, (nvmlDevice_t device, nvmlClockType_t clockType, nvmlClockId_t clockId, unsigned int *clockMHz), (device, clockType, clockId, clockMHz)) \
    X(nvmlDeviceGetClockInfo, nvmlReturn_t, (nvmlDevice_t device, nvmlClockType_t type, unsigned int *clock), (device, type, clock)) \
    X(nvmlDeviceGetClockOffsets, nvmlReturn_t, (nvmlDevice_t device, nvmlClockOffset_t *info), (device, info)) \
    X(nvmlDeviceGetComputeInstanceId, nvmlReturn_t, (nvmlDevice_t device, unsigned int *id), (device, id)) \
    X(nvmlDeviceGetComputeMode, nvmlReturn_t, (nvmlDevice_t device, nvmlComputeMode_t *mode), (device, mode)) \
    X(nvmlDeviceGetComputeRunningProcesses, nvmlReturn_t, (nvmlDevice_t device, unsigned int *infoCount, nvmlProcessInfo_v1_t *infos), (device, infoCount, infos)) \
    X(nvmlDeviceGetComputeRunningProcesses_v2, nvmlReturn_t, (nvmlDevice_t device, unsigned int *infoCount, nvmlProcessInfo_v2_t *infos), (device, infoCount, infos)) \
    X(nvmlDeviceGetComputeRunningProcesses_v3, nvmlReturn_t, (nvmlDevice_t device, unsigned int *infoCount, nvmlProcessInfo_t *infos), (device, infoCount, infos)) \
    X(nvmlDeviceGetConfComputeGpuAttestationReport, nvmlReturn_t, (nvmlDevice_t device, nvmlConfComputeGpuAttestationReport_t *gpuAtstReport), (device, gpuAtstReport)) \
    X(nvmlDeviceGetConfComputeGpuCertificate, nvmlReturn_t, (nvmlDevice_t device, nvmlConfComputeGpuCertificate_t *gpuCert), (device, gpuCert)) \
    X(nvmlDeviceGetConfComputeMemSizeInfo, nvmlReturn_t, (nvmlDevice_t device, nvmlConfComputeMemSizeInfo_t *memInfo), (device, memInfo)) \
    X(nvmlDeviceGetConfComputeProtectedMemoryUsage, nvmlReturn_t, (nvmlDevice_t device, nvmlMemory_t *memory), (device, memory)) \
    X(nvmlDeviceGetCoolerInfo, nvmlReturn_t, (nvmlDevice_t device, nvmlCoolerInfo_t *coolerInfo), (device, coolerInfo)) \
    X(nvmlDeviceGetCount, nvmlReturn_t, (unsigned int *deviceCount), (deviceCount)) \
    X(nvmlDeviceGetCount_v2, nvmlReturn_t, (unsigned int *deviceCount), (deviceCount)) \
    X(nvmlDeviceGetCpuAffinity, nvmlReturn_t, (nvmlDevice_t device, unsigned int cpuSetSize, unsigned long *cpuSet), (device, cpuSetSize, cpuSet)) \
    X(nvmlDeviceGetCpuAffinityWithinScope, nvmlReturn_t, (nvmlDevice_t device, unsigned int cpuSetSize, unsigned long *cpuSet, nvmlAffinityScope_t scope), (device, cpuSetSize, cpuSet, scope)) \
    X(nvmlDeviceGetCreatableVgpus, nvmlReturn_t, (nvmlDevice_t device, unsigned int *vgpuCount, nvmlVgpuTypeId_t *vgpuTypeIds), (device, vgpuCount, vgpuTypeIds)) \
    X(nvmlDeviceGetCudaComputeCapability, nvmlReturn_t, (nvmlDevice_t device, int *major, int *minor), (device, major, minor)) \
    X(nvmlDeviceGetCurrPcieLinkGeneration, nvmlReturn_t, (nvmlDevice_t device, unsigned int *currLinkGen), (device, currLinkGen)) \
    X(nvmlDeviceGetCurrPcieLinkWidth, nvmlReturn_t, (nvmlDevice_t device, unsigned int *currLinkWidth), (device, currLinkWidth)) \
    X(nvmlDeviceGetCurrentClockFreqs, nvmlReturn_t, (nvmlDevice_t device, nvmlDeviceCurrentClockFreqs_t *currentClockFreqs), (device, currentClockFreqs)) \
    X(nvmlDeviceGetCurrentClocksEventReasons, nvmlReturn_t, (nvmlDevice_t device, unsigned long long *clocksEventReasons), (device, clocksEventReasons)) \
    X(nvmlDeviceGetCurrentClocksThrottleReasons, nvmlReturn_t, (nvmlDevice_t device, unsigned long long *clocksThrottleReasons), (device, clocksThrottleReasons)) \
    X(nvmlDeviceGetDecoderUtilization, nvmlReturn_t, (nvmlDevice_t device, unsigned int *utilization, unsigned int *samplingPeriodUs), (device, utilization, samplingPeriodUs)) \
    X(nvmlDeviceGetDefaultApplicationsClock, nvmlReturn_t, (nvmlDevice_t device, nvmlClockType_t clockType, unsigned int *clockMHz), (device, clockType, clockMHz)) \
    X(nvmlDeviceGetDefaultEccMode, nvmlReturn_t, (nvmlDevice_t device, nvmlEnableState_t *defaultMode), (device, defaultMode)) \
    X(nvmlDeviceGetDetailedEccErrors, nvmlReturn_t, (nvmlDevice_t device, nvmlMemoryErrorType_t errorType, nvmlEccCounterType_t counterType, nvmlEccErrorCounts_t *eccCounts), (device, errorType, counterType, eccCounts)) \
    X(nvmlDeviceGetDeviceHandleFromMigDeviceHandle, nvmlReturn_t, (nvmlDevice_t migDevice, nvmlDevice_t *device), (migDevice, device)) \
    X(nvmlDeviceGetDisplayActive, nvmlReturn_t, (nvmlDevice_t device, nvmlEnableState_t *isActive), (device, isActive)) \
    X(nvmlDeviceGetDisplayMode, nvmlReturn_t, (nvmlDevice_t device, nvmlEnableState_t *display), (device, display)) \
    X(nvmlDeviceGetDramEncryptionMode, nvmlReturn_t, (nvmlDevice_t device, nvmlDramEncryptionInfo_t *current, nvmlDramEncryptionInfo_t *pending), (device, current, pending)) \
    X(nvmlDeviceGetDriverModel, nvmlReturn_t, (nvmlDevice_t device, nvmlDriverModel_t *current, nvmlDriverModel_t *pending), (device, current, pending)) \
    X(nvmlDeviceGetDriverModel_v2, nvmlReturn_t, (nvmlDevice_t device, nvmlDriverModel_t *current, nvmlDriverModel_t *pending), (device, current, pending)) \
    X(nvmlDeviceGetDynamicPstatesInfo, nvmlReturn_t, (nvmlDevice_t device, nvmlGpuDynamicPstatesInfo_t *pDynamicPstatesInfo), (device, pDynamicPstatesInfo)) \
    X(nvmlDeviceGetEccMode, nvmlReturn_t, (nvmlDevice_t device, nvmlEnableState_t *current, nvmlEnableState_t *pending), (device, current, pending)) \
    X(nvmlDeviceGetEncoderCapacity, nvmlReturn_t, (nvmlDevice_t device, nvmlEncoderType_t encoderQueryType, unsigned int *encoderCapacity), (device, encoderQueryType, encoderCapacity)) \
    X(nvmlDeviceGetEncoderSessions, nvmlReturn_t, (nvmlDevice_t device, unsigned int *sessionCount, nvmlEncoderSessionInfo_t *sessionInfos), (device, sessionCount, sessionInfos)) \
    X(nvmlDeviceGetEncoderStats, nvmlReturn_t, (nvmlDevice_t device, unsigned int *sessionCount, unsigned int *averageFps, unsigned int *averageLatency), (device, sessionCount, averageFps, averageLatency)) \
    X(nvmlDeviceGetEncoderUtilization, nvmlReturn_t, (nvmlDevice_t device, unsigned int *utilization, unsigned int *samplingPeriodUs), (device, utilization, samplingPeriodUs)) \
    X(nvmlDeviceGetEnforcedPowerLimit, nvmlReturn_t, (nvmlDevice_t device, unsigned int *limit), (device, limit)) \
    X(nvmlDeviceGetFBCSessions, nvmlReturn_t, (nvmlDevice_t device, unsigned int *sessionCount, nvmlFBCSessionInfo_t *sessionInfo), (device, sessionCount, sessionInfo)) \
    X(nvmlDeviceGetFBCStats, nvmlReturn_t, (nvmlDevice_t device, nvmlFBCStats_t *fbcStats), (device, fbcStats)) \
    X(nvmlDeviceGetFanControlPolicy_v2, nvmlReturn_t, (nvmlDevice_t device, unsigned int fan, nvmlFanControlPolicy_t *policy), (device, fan, policy)) \
    X(nvmlDeviceGetFanSpeed, nvmlReturn_t, (nvmlDevice_t device, unsigned int *speed), (device, speed)) \
    X(nvmlDeviceGetFanSpeedRPM, nvmlReturn_t, (nvmlDevice_t device, nvmlFanSpeedInfo_t *fanSpeed), (device, fanSpeed)) \
    X(nvmlDeviceGetFanSpeed_v2, nvmlReturn_t, (nvmlDevice_t device, unsigned int fan, unsigned int *speed), (device, fan, speed)) \
    X(nvmlDeviceGetFieldValues, nvmlReturn_t, (nvmlDevice_t device, int valuesCount, nvmlFieldValue_t *values), (device, valuesCount, values)) \
    X(nvmlDeviceGetGpcClkMinMaxVfOffset, nvmlReturn_t, (nvmlDevice_t device, int *minOffset, int *maxOffset), (device, minOffset, maxOffset)) \
    X(nvmlDeviceGetGpcClkVfOffset, nvmlReturn_t, (nvmlDevice_t device, int *offset), (device, offset)) \
    X(nvmlDeviceGetGpuFabricInfo, nvmlReturn_t, (nvmlDevice_t device, nvmlGpuFabricInfo_t *gpuFabricInfo), (device, gpuFabricInfo)) \
    X(nvmlDeviceGetGpuFabricInfoV, nvmlReturn_t, (nvmlDevice_t device, nvmlGpuFabricInfoV_t *gpuFabricInfo), (device, gpuFabricInfo)) \
    X(nvmlDeviceGetGpuInstanceById, nvmlReturn_t, (nvmlDevice_t device, unsigned int id, nvmlGpuInstance_t *gpuInstance), (device, id, gpuInstance)) \
    X(nvmlDeviceGetGpuInstanceId, nvmlReturn_t, (nvmlDevice_t device, unsigned int *id), (device, id)) \
    X(nvmlDeviceGetGpuInstancePossiblePlacements, nvmlReturn_t, (nvmlDevice_t device, unsigned int profileId, nvmlGpuInstancePlacement_t *placements, unsigned int *count), (device, profileId, placements, count)) \
    X(nvmlDeviceGetGpuInstancePossiblePlacements_v2, nvmlReturn_t, (nvmlDevice_t device, unsigned int profileId, nvmlGpuInstancePlacement_t *placements, unsigned int *count), (device, profileId, placements, count)) \
    X(nvmlDeviceGetGpuInstanceProfileInfo, nvmlReturn_t, (nvmlDevice_t device, unsigned int profile, nvmlGpuInstanceProfileInfo_t *info), (device, profile, info)) \
    X(nvmlDeviceGetGpuInstanceProfileInfoByIdV, nvmlReturn_t, (nvmlDevice_t device, unsigned int profileId, nvmlGpuInstanceProfileInfo_v2_t *info), (device, profileId, info)) \
    X(nvmlDeviceGetGpuInstanceProfileInfoV, nvmlReturn_t, (nvmlDevice_t device, unsigned int profile, nvmlGpuInstanceProfileInfo_v2_t *info), (device, profile, info)) \
    X(nvmlDeviceGetGpuInstanceRemainingCapacity, nvmlReturn_t, (nvmlDevice_t device, unsigned int profileId, unsigned int *count), (device, profileId, count)) \
    X(nvmlDeviceGetGpuInstances, nvmlReturn_t, (nvmlDevice_t device, unsigned int profileId, nvmlGpuInstance_t *gpuInstances, unsigned int *count), (device, profileId, gpuInstances, count)) \
    X(nvmlDeviceGetGpuMaxPcieLinkGeneration, nvmlReturn_t, (nvmlDevice_t device, unsigned int *maxLinkGenDevice), (device, maxLinkGenDevice)) \
    X(nvmlDeviceGetGpuOperationMode, nvmlReturn_t, (nvmlDevice_t device, nvmlGpuOperationMode_t *current, nvmlGpuOperationMode_t *pending), (device, current, pending)) \
    X(nvmlDeviceGetGraphicsRunningProcesses, nvmlReturn_t, (nvmlDevice_t device, unsigned int *infoCount, nvmlProcessInfo_v1_t *infos), (device, infoCount, infos)) \
    X(nvmlDeviceGetGraphicsRunningProcesses_v2, nvmlReturn_t, (nvmlDevice_t device, unsigned int *infoCount, nvmlProcessInfo_v2_t *infos), (device, infoCount, infos)) \
    X(nvmlDeviceGetGraphicsRunningProcesses_v3, nvmlReturn_t, (nvmlDevice_t device, unsigned int *infoCount, nvmlProcessInfo_t *infos), (device, infoCount, infos)) \
    X(nvmlDeviceGetGridLicensableFeatures, nvmlReturn_t, (nvmlDevice_t device, nvmlGridLicensableFeatures_t *pGridLicensableFeatures), (device, pGridLicensableFeatures)) \
    X(nvmlDeviceGetGridLicensableFeatures_v2, nvmlReturn_t, (nvmlDevice_t device, nvmlGridLicensableFeatures_t *pGridLicensableFeatures), (device, pGridLicensableFeatures)) \
    X(nvmlDeviceGetGridLicensableFeatures_v3, nvmlReturn_t, (nvmlDevice_t device, nvmlGridLicensableFeatures_t *pGridLicensableFeatures), (device, pGridLicensableFeatures)) \
    X(nvmlDeviceGetGridLicensableFeatures_v4, nvmlReturn_t, (nvmlDevice_t device, nvmlGridLicensableFeatures_t *pGridLicensableFeatures), (device, pGridLicensableFeatures)) \
    X(nvmlDeviceGetGspFirmwareMode, nvmlReturn_t, (nvmlDevice_t device, unsigned int *isEnabled, unsigned int *defaultMode), (device, isEnabled, defaultMode)) \
    X(nvmlDeviceGetGspFirmwareVersion, nvmlReturn_t, (nvmlDevice_t device, char *version), (device, version)) \
    X(nvmlDeviceGetHandleByIndex, nvmlReturn_t, (unsigned int index, nvmlDevice_t *device), (index, device)) \
    X(nvmlDeviceGetHandleByIndex_v2, nvmlReturn_t, (unsigned int index, nvmlDevice_t *device), (index, device)) \
    X(nvmlDeviceGetHandleByPciBusId, nvmlReturn_t, (const char *pciBusId, nvmlDevice_t *device), (pciBusId, device)) \
    X(nvmlDeviceGetHandleByPciBusId_v2, nvmlReturn_t, (const char *pciBusId, nvmlDevice_t *device), (pciBusId, device)) \
    X(nvmlDeviceGetHandleBySerial, nvmlReturn_t, (const char *serial, nvmlDevice_t *device), (serial, device)) \
    X(nvmlDeviceGetHandleByUUID, nvmlReturn_t, (const char *uuid, nvmlDevice_t *device), (uuid, device)) \
    X(nvmlDeviceGetHandleByUUIDV, nvmlReturn_t, (const nvmlUUID_t *uuid, nvmlDevice_t *device), (uuid, device)) \
    X(nvmlDeviceGetHostVgpuMode, nvmlReturn_t, (nvmlDevice_t device, nvmlHostVgpuMode_t *pHostVgpuMode), (device, pHostVgpuMode)) \
    X(nvmlDeviceGetHostname_v1, nvmlReturn_t, (nvmlDevice_t device, nvmlHostname_v1_t *hostname), (device, hostname)) \
    X(nvmlDeviceGetIndex, nvmlReturn_t, (nvmlDevice_t device, unsigned int *index), (device, index)) \
    X(nvmlDeviceGetInforomConfigurationChecksum, nvmlReturn_t, (nvmlDevice_t device, unsigned int *checksum), (device, checksum)) \
    X(nvmlDeviceGetInforomImageVersion, nvmlReturn_t, (nvmlDevice_t device, char *version, unsigned int length), (device, version, length)) \
    X(nvmlDeviceGetInforomVersion, nvmlReturn_t, (nvmlDevice_t device, nvmlInforomObject_t object, char *version, unsigned int length), (device, object, version, length)) \
    X(nvmlDeviceGetIrqNum, nvmlReturn_t, (nvmlDevice_t device, unsigned int *irqNum), (device, irqNum)) \
    X(nvmlDeviceGetJpgUtilization, nvmlReturn_t, (nvmlDevice_t device, unsigned int *utilization, unsigned int *samplingPeriodUs), (device, utilization, samplingPeriodUs)) \
    X(nvmlDeviceGetLastBBXFlushTime, nvmlReturn_t, (nvmlDevice_t device, unsigned long long *timestamp, unsigned long *durationUs), (device, timestamp, durationUs)) \
    X(nvmlDeviceGetMPSComputeRunningProcesses, nvmlReturn_t, (nvmlDevice_t device, unsigned int *infoCount, nvmlProcessInfo_v1_t *infos), (device, infoCount, infos)) \
    X(nvmlDeviceGetMPSComputeRunningProcesses_v2, nvmlReturn_t, (nvmlDevice_t device, unsigned int *infoCount, nvmlProcessInfo_v2_t *infos), (device, infoCount, infos)) \
    X(nvmlDeviceGetMPSComputeRunningProcesses_v3, nvmlReturn_t, (nvmlDevice_t device, unsigned int *infoCount, nvmlProcessInfo_t *infos), (device, infoCount, infos)) \
    X(nvmlDeviceGetMarginTemperature, nvmlReturn_t, (nvmlDevice_t device, nvmlMarginTemperature_t *marginTempInfo), (device, marginTempInfo)) \
    X(nvmlDeviceGetMaxClockInfo, nvmlReturn_t, (nvmlDevice_t device, nvmlClockType_t type, unsigned int *clock), (device, type, clock)) \
    X(nvmlDeviceGetMaxCustomerBoostClock, nvmlReturn_t, (nvmlDevice_t device, nvmlClockType_t clockType, unsigned int *clockMHz), (device, clockType, clockMHz)) \
    X(nvmlDeviceGetMaxMigDeviceCount, nvmlReturn_t, (nvmlDevice_t device, unsigned int *count), (device, count)) \
    X(nvmlDeviceGetMaxPcieLinkGeneration, nvmlReturn_t, (nvmlDevice_t device, unsigned int *maxLinkGen), (device, maxLinkGen)) \
    X(nvmlDeviceGetMaxPcieLinkWidth, nvmlReturn_t, (nvmlDevice_t device, unsigned int *maxLinkWidth), (device, maxLinkWidth)) \
    X(nvmlDeviceGetMemClkMinMaxVfOffset, nvmlReturn_t, (nvmlDevice_t device, int *minOffset, int *maxOffset), (device, minOffset, maxOffset)) \
    X(nvmlDeviceGetMemClkVfOffset, nvmlReturn_t, (nvmlDevice_t device, int *offset), (device, offset)) \
    X(nvmlDeviceGetMemoryAffinity, nvmlReturn_t, (nvmlDevice_t device, unsigned int nodeSetSize, unsigned long *nodeSet, nvmlAffinityScope_t scope), (device, nodeSetSize, nodeSet, scope)) \
    X(nvmlDeviceGetMemoryBusWidth, nvmlReturn_t, (nvmlDevice_t device, unsigned int *busWidth), (device, busWidth)) \
    X(nvmlDeviceGetMemoryErrorCounter, nvmlReturn_t, (nvmlDevice_t device, nvmlMemoryErrorType_t errorType, nvmlEccCounterType_t counterType, nvmlMemoryLocation_t locationType, unsigned long long *count), (device, errorType, counterType, locationType, count)) \
    X(nvmlDeviceGetMemoryInfo, nvmlReturn_t, (nvmlDevice_t device, nvmlMemory_t *memory), (device, memory)) \
    X(nvmlDeviceGetMemoryInfo_v2, nvmlReturn_t, (nvmlDevice_t device, nvmlMemory_v2_t *memory), (device, memory)) \
    X(nvmlDeviceGetMigDeviceHandleByIndex, nvmlReturn_t, (nvmlDevice_t device, unsigned int index, nvmlDevice_t *migDevice), (device, index, migDevice)) \
    X(nvmlDeviceGetMigMode, nvmlReturn_t, (nvmlDevice_t device, unsigned int *currentMode, unsigned int *pendingMode), (device, currentMode, pendingMode)) \
    X(nvmlDeviceGetMinMaxClockOfPState, nvmlReturn_t, (nvmlDevice_t device, nvmlClockType_t type, nvmlPstates_t pstate, unsigned int *minClockMHz, unsigned int *maxClockMHz), (device, type, pstate, minClockMHz, maxClockMHz)) \
    X(nvmlDeviceGetMinMaxFanSpeed, nvmlReturn_t, (nvmlDevice_t device, unsigned int *minSpeed, unsigned int *maxSpeed), (device, minSpeed, maxSpeed)) \
    X(nvmlDeviceGetMinorNumber, nvmlReturn_t, (nvmlDevice_t device, unsigned int *minorNumber), (device, minorNumber)) \
    X(nvmlDeviceGetModuleId, nvmlReturn_t, (nvmlDevice_t device, unsigned int *moduleId), (device, moduleId)) \
    X(nvmlDeviceGetMultiGpuBoard, nvmlReturn_t, (nvmlDevice_t device, unsigned int *multiGpuBool), (device, multiGpuBool)) \
    X(nvmlDeviceGetName, nvmlReturn_t, (nvmlDevice_t device, char *name, unsigned int length), (device, name, length)) \
    X(nvmlDeviceGetNumFans, nvmlReturn_t, (nvmlDevice_t device, unsigned int *numFans), (device, numFans)) \
    X(nvmlDeviceGetNumGpuCores, nvmlReturn_t, (nvmlDevice_t device, unsigned int *numCores), (device, numCores)) \
    X(nvmlDeviceGetNumaNodeId, nvmlReturn_t, (nvmlDevice_t device, unsigned int *node), (device, node)) \
    X(nvmlDeviceGetNvLinkCapability, nvmlReturn_t, (nvmlDevice_t device, unsigned int link, nvmlNvLinkCapability_t capability, unsigned int *capResult), (device, link, capability, capResult)) \
    X(nvmlDeviceGetNvLinkErrorCounter, nvmlReturn_t, (nvmlDevice_t device, unsigned int link, nvmlNvLinkErrorCounter_t counter, unsigned long long *counterValue), (device, link, counter, counterValue)) \
    X(nvmlDeviceGetNvLinkInfo, nvmlReturn_t, (nvmlDevice_t device, nvmlNvLinkInfo_t *info), (device, info)) \
    X(nvmlDeviceGetNvLinkRemoteDeviceType, nvmlReturn_t, (nvmlDevice_t device, unsigned int link, nvmlIntNvLinkDeviceType_t *pNvLinkDeviceType), (device, link, pNvLinkDeviceType)) \
    X(nvmlDeviceGetNvLinkRemotePciInfo, nvmlReturn_t, (nvmlDevice_t device, unsigned int link, nvmlPciInfo_t *pci), (device, link, pci)) \
    X(nvmlDeviceGetNvLinkRemotePciInfo_v2, nvmlReturn_t, (nvmlDevice_t device, unsigned int link, nvmlPciInfo_t *pci), (device, link, pci)) \
    X(nvmlDeviceGetNvLinkState, nvmlReturn_t, (nvmlDevice_t device, unsigned int link, nvmlEnableState_t *isActive), (device, link, isActive)) \
    X(nvmlDeviceGetNvLinkUtilizationControl, nvmlReturn_t, (nvmlDevice_t device, unsigned int link, unsigned int counter, nvmlNvLinkUtilizationControl_t *control), (device, link, counter, control)) \
    X(nvmlDeviceGetNvLinkUtilizationCounter, nvmlReturn_t, (nvmlDevice_t device, unsigned int link, unsigned int counter, unsigned long long *rxcounter, unsigned long long *txcounter), (device, link, counter, rxcounter, txcounter)) \
    X(nvmlDeviceGetNvLinkVersion, nvmlReturn_t, (nvmlDevice_t device, unsigned int link, unsigned int *version), (device, link, version)) \
    X(nvmlDeviceGetNvlinkBwMode, nvmlReturn_t, (nvmlDevice_t device, nvmlNvlinkGetBwMode_t *getBwMode), (device, getBwMode)) \
    X(nvmlDeviceGetNvlinkSupportedBwModes, nvmlReturn_t, (nvmlDevice_t device, nvmlNvlinkSupportedBwModes_t *supportedBwMode), (device, supportedBwMode)) \
    X(nvmlDeviceGetOfaUtilization, nvmlReturn_t, (nvmlDevice_t device, unsigned int *utilization, unsigned int *samplingPeriodUs), (device, utilization, samplingPeriodUs)) \
    X(nvmlDeviceGetP2PStatus, nvmlReturn_t, (nvmlDevice_t device1, nvmlDevice_t device2, nvmlGpuP2PCapsIndex_t p2pIndex, nvmlGpuP2PStatus_t *p2pStatus), (device1, device2, p2pIndex, p2pStatus)) \
    X(nvmlDeviceGetPciInfo, nvmlReturn_t, (nvmlDevice_t device, nvmlPciInfo_t *pci), (device, pci)) \
    X(nvmlDeviceGetPciInfoExt, nvmlReturn_t, (nvmlDevice_t device, nvmlPciInfoExt_t *pci), (device, pci)) \
    X(nvmlDeviceGetPciInfo_v2, nvmlReturn_t, (nvmlDevice_t device, nvmlPciInfo_t *pci), (device, pci)) \
    X(nvmlDeviceGetPciInfo_v3, nvmlReturn_t, (nvmlDevice_t device, nvmlPciInfo_t *pci), (device, pci)) \
    X(nvmlDeviceGetPcieLinkMaxSpeed, nvmlReturn_t, (nvmlDevice_t device, unsigned int *maxSpeed), (device, maxSpeed)) \
    X(nvmlDeviceGetPcieReplayCounter, nvmlReturn_t, (nvmlDevice_t device, unsigned int *value), (device, value)) \
    X(nvmlDeviceGetPcieSpeed, nvmlReturn_t, (nvmlDevice_t device, unsigned int *pcieSpeed), (device, pcieSpeed)) \
    X(nvmlDeviceGetPcieThroughput, nvmlReturn_t, (nvmlDevice_t device, nvmlPcieUtilCounter_t counter, unsigned int *value), (device, counter, value)) \
    X(nvmlDeviceGetPdi, nvmlReturn_t, (nvmlDevice_t device, nvmlPdi_t *pdi), (device, pdi)) \
    X(nvmlDeviceGetPerformanceModes, nvmlReturn_t, (nvmlDevice_t device, nvmlDevicePerfModes_t *perfModes), (device, perfModes)) \
    X(nvmlDeviceGetPerformanceState, nvmlReturn_t, (nvmlDevice_t device, nvmlPstates_t *pState), (device, pState)) \
    X(nvmlDeviceGetPersistenceMode, nvmlReturn_t, (nvmlDevice_t device, nvmlEnableState_t *mode), (device, mode)) \
    X(nvmlDeviceGetPgpuMetadataString, nvmlReturn_t, (nvmlDevice_t device, char *pgpuMetadata, unsigned int *bufferSize), (device, pgpuMetadata, bufferSize)) \
    X(nvmlDeviceGetPlatformInfo, nvmlReturn_t, (nvmlDevice_t device, nvmlPlatformInfo_t *platformInfo), (device, platformInfo)) \
    X(nvmlDeviceGetPowerManagementDefaultLimit, nvmlReturn_t, (nvmlDevice_t device, unsigned int *defaultLimit), (device, defaultLimit)) \
    X(nvmlDeviceGetPowerManagementLimit, nvmlReturn_t, (nvmlDevice_t device, unsigned int *limit), (device, limit)) \
    X(nvmlDeviceGetPowerManagementLimitConstraints, nvmlReturn_t, (nvmlDevice_t device, unsigned int *minLimit, unsigned int *maxLimit), (device, minLimit, maxLimit)) \
    X(nvmlDeviceGetPowerManagementMode, nvmlReturn_t, (nvmlDevice_t device, nvmlEnableState_t *mode), (device, mode)) \
    X(nvmlDeviceGetPowerMizerMode_v1, nvmlReturn_t, (nvmlDevice_t device, nvmlDevicePowerMizerModes_v1_t *powerMizerMode), (device, powerMizerMode)) \
    X(nvmlDeviceGetPowerSource, nvmlReturn_t, (nvmlDevice_t device, nvmlPowerSource_t *powerSource), (device, powerSource)) \
    X(nvmlDeviceGetPowerState, nvmlReturn_t, (nvmlDevice_t device, nvmlPstates_t *pState), (device, pState)) \
    X(nvmlDeviceGetPowerUsage, nvmlReturn_t, (nvmlDevice_t device, unsigned int *power), (device, power)) \
    X(nvmlDeviceGetProcessUtilization, nvmlReturn_t, (nvmlDevice_t device, nvmlProcessUtilizationSample_t *utilization, unsigned int *processSamplesCount, unsigned long long lastSeenTimeStamp), (device, utilization, processSamplesCount, lastSeenTimeStamp)) \
    X(nvmlDeviceGetProcessesUtilizationInfo, nvmlReturn_t, (nvmlDevice_t device, nvmlProcessesUtilizationInfo_t *procesesUtilInfo), (device, procesesUtilInfo)) \
    X(nvmlDeviceGetRemappedRows, nvmlReturn_t, (nvmlDevice_t device, unsigned int *corrRows, unsigned int *uncRows, unsigned int *isPending, unsigned int *failureOccurred), (device, corrRows, uncRows, isPending, failureOccurred)) \
    X(nvmlDeviceGetRepairStatus, nvmlReturn_t, (nvmlDevice_t device, nvmlRepairStatus_t *repairStatus), (device, repairStatus)) \
    X(nvmlDeviceGetRetiredPages, nvmlReturn_t, (nvmlDevice_t device, nvmlPageRetirementCause_t cause, unsigned int *pageCount, unsigned long long *addresses), (device, cause, pageCount, addresses)) \
    X(nvmlDeviceGetRetiredPagesPendingStatus, nvmlReturn_t, (nvmlDevice_t device, nvmlEnableState_t *isPending), (device, isPending)) \
    X(nvmlDeviceGetRetiredPages_v2, nvmlReturn_t, (nvmlDevice_t device, nvmlPageRetirementCause_t cause, unsigned int *pageCount, unsigned long long *addresses, unsigned long long *timestamps), (device, cause, pageCount, addresses, timestamps)) \
    X(nvmlDeviceGetRowRemapperHistogram, nvmlReturn_t, (nvmlDevice_t device, nvmlRowRemapperHistogramValues_t *values), (device, values)) \
    X(nvmlDeviceGetRunningProcessDetailList, nvmlReturn_t, (nvmlDevice_t device, nvmlProcessDetailList_t *plist), (device, plist)) \
    X(nvmlDeviceGetSamples, nvmlReturn_t, (nvmlDevice_t device, nvmlSamplingType_t type, unsigned long long lastSeenTimeStamp, nvmlValueType_t *sampleValType, unsigned int *sampleCount, nvmlSample_t *samples), (device, type, lastSeenTimeStamp, sampleValType, sampleCount, samples)) \
    X(nvmlDeviceGetSerial, nvmlReturn_t, (nvmlDevice_t device, char *serial, unsigned int length), (device, serial, length)) \
    X(nvmlDeviceGetSramEccErrorStatus, nvmlReturn_t, (nvmlDevice_t device, nvmlEccSramErrorStatus_t *status), (device, status)) \
    X(nvmlDeviceGetSramUniqueUncorrectedEccErrorCounts, nvmlReturn_t, (nvmlDevice_t device, nvmlEccSramUniqueUncorrectedErrorCounts_t *errorCounts), (device, errorCounts)) \
    X(nvmlDeviceGetSupportedClocksEventReasons, nvmlReturn_t, (nvmlDevice_t device, unsigned long long *supportedClocksEventReasons), (device, supportedClocksEventReasons)) \
    X(nvmlDeviceGetSupportedClocksThrottleReasons, nvmlReturn_t, (nvmlDevice_t device, unsigned long long *supportedClocksThrottleReasons), (device, supportedClocksThrottleReasons)) \
    X(nvmlDeviceGetSupportedEventTypes, nvmlReturn_t, (nvmlDevice_t device, unsigned long long *eventTypes), (device, eventTypes)) \
    X(nvmlDeviceGetSupportedGraphicsClocks, nvmlReturn_t, (nvmlDevice_t device, unsigned int memoryClockMHz, unsigned int *count, unsigned int *clocksMHz), (device, memoryClockMHz, count, clocksMHz)) \
    X(nvmlDeviceGetSupportedMemoryClocks, nvmlReturn_t, (nvmlDevice_t device, unsigned int *count, unsigned int *clocksMHz), (device, count, clocksMHz)) \
    X(nvmlDeviceGetSupportedPerformanceStates, nvmlReturn_t, (nvmlDevice_t device, nvmlPstates_t *pstates, unsigned int size), (device, pstates, size)) \
    X(nvmlDeviceGetSupportedVgpus, nvmlReturn_t, (nvmlDevice_t device, unsigned int *vgpuCount, nvmlVgpuTypeId_t *vgpuTypeIds), (device, vgpuCount, vgpuTypeIds)) \
    X(nvmlDeviceGetTargetFanSpeed, nvmlReturn_t, (nvmlDevice_t device, unsigned int fan, unsigned int *targetSpeed), (device, fan, targetSpeed)) \
    X(nvmlDeviceGetTemperature, nvmlReturn_t, (nvmlDevice_t device, nvmlTemperatureSensors_t sensorType, unsigned int *temp), (device, sensorType, temp)) \
    X(nvmlDeviceGetTemperatureThreshold, nvmlReturn_t, (nvmlDevice_t device, nvmlTemperatureThresholds_t thresholdType, unsigned int *temp), (device, thresholdType, temp)) \
    X(nvmlDeviceGetTemperatureV, nvmlReturn_t, (nvmlDevice_t device, nvmlTemperature_t *temperature), (device, temperature)) \
    X(nvmlDeviceGetThermalSettings, nvmlReturn_t, (nvmlDevice_t device, unsigned int sensorIndex, nvmlGpuThermalSettings_t *pThermalSettings), (device, sensorIndex, pThermalSettings)) \
    X(nvmlDeviceGetTopologyCommonAncestor, nvmlReturn_t, (nvmlDevice_t device1, nvmlDevice_t device2, nvmlGpuTopologyLevel_t *pathInfo), (device1, device2, pathInfo)) \
    X(nvmlDeviceGetTopologyNearestGpus, nvmlReturn_t, (nvmlDevice_t device, nvmlGpuTopologyLevel_t level, unsigned int *count, nvmlDevice_t *deviceArray), (device, level, count, deviceArray)) \
    X(nvmlDeviceGetTotalEccErrors, nvmlReturn_t, (nvmlDevice_t device, nvmlMemoryErrorType_t errorType, nvmlEccCounterType_t counterType, unsigned long long *eccCounts), (device, errorType, counterType, eccCounts)) \
    X(nvmlDeviceGetTotalEnergyConsumption, nvmlReturn_t, (nvmlDevice_t device, unsigned long long *energy), (device, energy)) \
    X(nvmlDeviceGetUUID, nvmlReturn_t, (nvmlDevice_t device, char *uuid, unsigned int length), (device, uuid, length)) \
    X(nvmlDeviceGetUtilizationRates, nvmlReturn_t, (nvmlDevice_t device, nvmlUtilization_t *utilization), (device, utilization)) \
    X(nvmlDeviceGetVbiosVersion, nvmlReturn_t, (nvmlDevice_t device, char *version, unsigned int length), (device, version, length)) \
    X(nvmlDeviceGetVgpuCapabilities, nvmlReturn_t, (nvmlDevice_t device, nvmlDeviceVgpuCapability_t capability, unsigned int *capResult), (device, capability, capResult)) \
    X(nvmlDeviceGetVgpuHeterogeneousMode, nvmlReturn_t, (nvmlDevice_t device, nvmlVgpuHeterogeneousMode_t *pHeterogeneousMode), (device, pHeterogeneousMode)) \
    X(nvmlDeviceGetVgpuInstancesUtilizationInfo, nvmlReturn_t, (nvmlDevice_t device, nvmlVgpuInstancesUtilizationInfo_t *vgpuUtilInfo), (device, vgpuUtilInfo)) \
    X(nvmlDeviceGetVgpuMetadata, nvmlReturn_t, (nvmlDevice_t device, nvmlVgpuPgpuMetadata_t *pgpuMetadata, unsigned int *bufferSize), (device, pgpuMetadata, bufferSize)) \
    X(nvmlDeviceGetVgpuProcessUtilization, nvmlReturn_t, (nvmlDevice_t device, unsigned long long lastSeenTimeStamp, unsigned int *vgpuProcessSamplesCount, nvmlVgpuProcessUtilizationSample_t *utilizationSamples), (device, lastSeenTimeStamp, vgpuProcessSamplesCount, utilizationSamples)) \
    X(nvmlDeviceGetVgpuProcessesUtilizationInfo, nvmlReturn_t, (nvmlDevice_t device, nvmlVgpuProcessesUtilizationInfo_t *vgpuProcUtilInfo), (device, vgpuProcUtilInfo)) \
    X(nvmlDeviceGetVgpuSchedulerCapabilities, nvmlReturn_t, (nvmlDevice_t device, nvmlVgpuSchedulerCapabilities_t *pCapabilities), (device, pCapabilities)) \
    X(nvmlDeviceGetVgpuSchedulerLog, nvmlReturn_t, (nvmlDevice_t device, nvmlVgpuSchedulerLog_t *pSchedulerLog), (device, pSchedulerLog)) \
    X(nvmlDeviceGetVgpuSchedulerState, nvmlReturn_t, (nvmlDevice_t device, nvmlVgpuSchedulerGetState_t *pSchedulerState), (device, pSchedulerState)) \
    X(nvmlDeviceGetVgpuTypeCreatablePlacements, nvmlReturn_t, (nvmlDevice_t device, nvmlVgpuTypeId_t vgpuTypeId, nvmlVgpuPlacementList_t *pPlacementList), (device, vgpuTypeId, pPlacementList)) \
    X(nvmlDeviceGetVgpuTypeSupportedPlacements, nvmlReturn_t, (nvmlDevice_t device, nvmlVgpuTypeId_t vgpuTypeId, nvmlVgpuPlacementList_t *pPlacementList), (device, vgpuTypeId, pPlacementList)) \
    X(nvmlDeviceGetVgpuUtilization, nvmlReturn_t, (nvmlDevice_t device, unsigned long long lastSeenTimeStamp, nvmlValueType_t *sampleValType, unsigned int *vgpuInstanceSamplesCount, nvmlVgpuInstanceUtilizationSample_t *utilizationSamples), (device, lastSeenTimeStamp, sampleValType, vgpuInstanceSamplesCount, utilizationSamples)) \
    X(nvmlDeviceGetViolationStatus, nvmlReturn_t, (nvmlDevice_t device, nvmlPerfPolicyType_t perfPolicyType, nvmlViolationTime_t *violTime), (device, perfPolicyType, violTime)) \
    X(nvmlDeviceGetVirtualizationMode, nvmlReturn_t, (nvmlDevice_t device, nvmlGpuVirtualizationMode_t *pVirtualMode), (device, pVirtualMode)) \
    X(nvmlDeviceIsMigDeviceHandle, nvmlReturn_t, (nvmlDevice_t device, unsigned int *isMigDevice), (device, isMigDevice)) \
    X(nvmlDeviceModifyDrainState, nvmlReturn_t, (nvmlPciInfo_t *pciInfo, nvmlEnableState_t newState), (pciInfo, newState)) \
    X(nvmlDeviceOnSameBoard, nvmlReturn_t, (nvmlDevice_t device1, nvmlDevice_t device2, int *onSameBoard), (device1, device2, onSameBoard)) \
    X(nvmlDevicePowerSmoothingActivatePresetProfile, nvmlReturn_t, (nvmlDevice_t device, nvmlPowerSmoothingProfile_t *profile), (device, profile)) \
    X(nvmlDevicePowerSmoothingSetState, nvmlReturn_t, (nvmlDevice_t device, nvmlPowerSmoothingState_t *state), (device, state)) \
    X(nvmlDevicePowerSmoothingUpdatePresetProfileParam, nvmlReturn_t, (nvmlDevice_t device, nvmlPowerSmoothingProfile_t *profile), (device, profile)) \
    X(nvmlDeviceQueryDrainState, nvmlReturn_t, (nvmlPciInfo_t *pciInfo, nvmlEnableState_t *currentState), (pciInfo, currentState)) \
    X(nvmlDeviceReadWritePRM_v1, nvmlReturn_t, (nvmlDevice_t device, nvmlPRMTLV_v1_t *buffer), (device, buffer)) \
    X(nvmlDeviceRegisterEvents, nvmlReturn_t, (nvmlDevice_t device, unsigned long long eventTypes, nvmlEventSet_t set), (device, eventTypes, set)) \
    X(nvmlDeviceRemoveGpu, nvmlReturn_t, (nvmlPciInfo_t *pciInfo), (pciInfo)) \
    X(nvmlDeviceRemoveGpu_v2, nvmlReturn_t, (nvmlPciInfo_t *pciInfo, nvmlDetachGpuState_t gpuState, nvmlPcieLinkState_t linkState), (pciInfo, gpuState, linkState)) \
    X(nvmlDeviceResetApplicationsClocks, nvmlReturn_t, (nvmlDevice_t device), (device)) \
    X(nvmlDeviceResetGpuLockedClocks, nvmlReturn_t, (nvmlDevice_t device), (device)) \
    X(nvmlDeviceResetMemoryLockedClocks, nvmlReturn_t, (nvmlDevice_t device), (device)) \
    X(nvmlDeviceResetNvLinkErrorCounters, nvmlReturn_t, (nvmlDevice_t device, unsigned int link), (device, link)) \
    X(nvmlDeviceResetNvLinkUtilizationCounter, nvmlReturn_t, (nvmlDevice_t device, unsigned int link, unsigned int counter), (device, link, counter)) \
    X(nvmlDeviceSetAPIRestriction, nvmlReturn_t, (nvmlDevice_t device, nvmlRestrictedAPI_t apiType, nvmlEnableState_t isRestricted), (device, apiType, isRestricted)) \
    X(nvmlDeviceSetAccountingMode, nvmlReturn_t, (nvmlDevice_t device, nvmlEnableState_t mode), (device, mode)) \
    X(nvmlDeviceSetApplicationsClocks, nvmlReturn_t, (nvmlDevice_t device, unsigned int memClockMHz, unsigned int graphicsClockMHz), (device, memClockMHz, graphicsClockMHz)) \
    X(nvmlDeviceSetAutoBoostedClocksEnabled, nvmlReturn_t, (nvmlDevice_t device, nvmlEnableState_t enabled), (device, enabled)) \
    X(nvmlDeviceSetClockOffsets, nvmlReturn_t, (nvmlDevice_t device, nvmlClockOffset_t *info), (device, info)) \
    X(nvmlDeviceSetComputeMode, nvmlReturn_t, (nvmlDevice_t device, nvmlComputeMode_t mode), (device, mode)) \
    X(nvmlDeviceSetConfComputeUnprotectedMemSize, nvmlReturn_t, (nvmlDevice_t device, unsigned long long sizeKiB), (device, sizeKiB)) \
    X(nvmlDeviceSetCpuAffinity, nvmlReturn_t, (nvmlDevice_t device), (device)) \
    X(nvmlDeviceSetDefaultAutoBoostedClocksEnabled, nvmlReturn_t, (nvmlDevice_t device, nvmlEnableState_t enabled, unsigned int flags), (device, enabled, flags)) \
    X(nvmlDeviceSetDefaultFanSpeed_v2, nvmlReturn_t, (nvmlDevice_t device, unsigned int fan), (device, fan)) \
    X(nvmlDeviceSetDramEncryptionMode, nvmlReturn_t, (nvmlDevice_t device, const nvmlDramEncryptionInfo_t *dramEncryption), (device, dramEncryption)) \
    X(nvmlDeviceSetDriverModel, nvmlReturn_t, (nvmlDevice_t device, nvmlDriverModel_t driverModel, unsigned int flags), (device, driverModel, flags)) \
    X(nvmlDeviceSetEccMode, nvmlReturn_t, (nvmlDevice_t device, nvmlEnableState_t ecc), (device, ecc)) \
    X(nvmlDeviceSetFanControlPolicy, nvmlReturn_t, (nvmlDevice_t device, unsigned int fan, nvmlFanControlPolicy_t policy), (device, fan, policy)) \
    X(nvmlDeviceSetFanSpeed_v2, nvmlReturn_t, (nvmlDevice_t device, unsigned int fan, unsigned int speed), (device, fan, speed)) \
    X(nvmlDeviceSetGpcClkVfOffset, nvmlReturn_t, (nvmlDevice_t device, int offset), (device, offset)) \
    X(nvmlDeviceSetGpuLockedClocks, nvmlReturn_t, (nvmlDevice_t device, unsigned int minGpuClockMHz, unsigned int maxGpuClockMHz), (device, minGpuClockMHz, maxGpuClockMHz)) \
    X(nvmlDeviceSetGpuOperationMode, nvmlReturn_t, (nvmlDevice_t device, nvmlGpuOperationMode_t mode), (device, mode)) \
    X(nvmlDeviceSetHostname_v1, nvmlReturn_t, (nvmlDevice_t device, nvmlHostname_v1_t *hostname), (device, hostname)) \
    X(nvmlDeviceSetMemClkVfOffset, nvmlReturn_t, (nvmlDevice_t device, int offset), (device, offset)) \
    X(nvmlDeviceSetMemoryLockedClocks, nvmlReturn_t, (nvmlDevice_t device, unsigned int minMemClockMHz, unsigned int maxMemClockMHz), (device, minMemClockMHz, maxMemClockMHz)) \
    X(nvmlDeviceSetMigMode, nvmlReturn_t, (nvmlDevice_t device, unsigned int mode, nvmlReturn_t *activationStatus), (device, mode, activationStatus)) \
    X(nvmlDeviceSetNvLinkDeviceLowPowerThreshold, nvmlReturn_t, (nvmlDevice_t device, nvmlNvLinkPowerThres_t *info), (device, info)) \
    X(nvmlDeviceSetNvLinkUtilizationControl, nvmlReturn_t, (nvmlDevice_t device, unsigned int link, unsigned int counter, nvmlNvLinkUtilizationControl_t *control, unsigned int reset), (device, link, counter, control, reset)) \
    X(nvmlDeviceSetNvlinkBwMode, nvmlReturn_t, (nvmlDevice_t device, nvmlNvlinkSetBwMode_t *setBwMode), (device, setBwMode)) \
    X(nvmlDeviceSetPersistenceMode, nvmlReturn_t, (nvmlDevice_t device, nvmlEnableState_t mode), (device, mode)) \
    X(nvmlDeviceSetPowerManagementLimit, nvmlReturn_t, (nvmlDevice_t device, unsigned int limit), (device, limit)) \
    X(nvmlDeviceSetPowerManagementLimit_v2, nvmlReturn_t, (nvmlDevice_t device, nvmlPowerValue_v2_t *powerValue), (device, powerValue)) \
    X(nvmlDeviceSetPowerMizerMode_v1, nvmlReturn_t, (nvmlDevice_t device, nvmlDevicePowerMizerModes_v1_t *powerMizerMode), (device, powerMizerMode)) \
    X(nvmlDeviceSetTemperatureThreshold, nvmlReturn_t, (nvmlDevice_t device, nvmlTemperatureThresholds_t thresholdType, int *temp), (device, thresholdType, temp)) \
    X(nvmlDeviceSetVgpuCapabilities, nvmlReturn_t, (nvmlDevice_t device, nvmlDeviceVgpuCapability_t capability, nvmlEnableState_t state), (device, capability, state)) \
    X(nvmlDeviceSetVgpuHeterogeneousMode, nvmlReturn_t, (nvmlDevice_t device, const nvmlVgpuHeterogeneousMode_t *pHeterogeneousMode), (device, pHeterogeneousMode)) \
    X(nvmlDeviceSetVgpuSchedulerState, nvmlReturn_t, (nvmlDevice_t device, nvmlVgpuSchedulerSetState_t *pSchedulerState), (device, pSchedulerState)) \
    X(nvmlDeviceSetVirtualizationMode, nvmlReturn_t, (nvmlDevice_t device, nvmlGpuVirtualizationMode_t virtualMode), (device, virtualMode)) \
    X(nvmlDeviceValidateInforom, nvmlReturn_t, (nvmlDevice_t device), (device)) \
    X(nvmlDeviceWorkloadPowerProfileClearRequestedProfiles, nvmlReturn_t, (nvmlDevice_t device, nvmlWorkloadPowerProfileRequestedProfiles_t *requestedProfiles), (device, requestedProfiles)) \
    X(nvmlDeviceWorkloadPowerProfileGetCurrentProfiles, nvmlReturn_t, (nvmlDevice_t device, nvmlWorkloadPowerProfileCurrentProfiles_t *currentProfiles), (device, currentProfiles)) \
    X(nvmlDeviceWorkloadPowerProfileGetProfilesInfo, nvmlReturn_t, (nvmlDevice_t device, nvmlWorkloadPowerProfileProfilesInfo_t *profilesInfo), (device, profilesInfo)) \
    X(nvmlDeviceWorkloadPowerProfileSetRequestedProfiles, nvmlReturn_t, (nvmlDevice_t device, nvmlWorkloadPowerProfileRequestedProfiles_t *requestedProfiles), (device, requestedProfiles)) \
    X(nvmlErrorString, const char *, (nvmlReturn_t result), (result)) \
    X(nvmlEventSetCreate, nvmlReturn_t, (nvmlEventSet_t *set), (set)) \
    X(nvmlEventSetFree, nvmlReturn_t, (nvmlEventSet_t set), (set)) \
    X(nvmlEventSetWait, nvmlReturn_t, (nvmlEventSet_t set, nvmlEventData_t *data, unsigned int timeoutms), (set, data, timeoutms)) \
    X(nvmlEventSetWait_v2, nvmlReturn_t, (nvmlEventSet_t set, nvmlEventData_t *data, unsigned int timeoutms), (set, data, timeoutms)) \
    X(nvmlGetExcludedDeviceCount, nvmlReturn_t, (unsigned int *deviceCount), (deviceCount)) \
    X(nvmlGetExcludedDeviceInfoByIndex, nvmlReturn_t, (unsigned int index, nvmlExcludedDeviceInfo_t *info), (index, info)) \
    X(nvmlGetVgpuCompatibility, nvmlReturn_t, (nvmlVgpuMetadata_t *vgpuMetadata, nvmlVgpuPgpuMetadata_t *pgpuMetadata, nvmlVgpuPgpuCompatibility_t *compatibilityInfo), (vgpuMetadata, pgpuMetadata, compatibilityInfo)) \
    X(nvmlGetVgpuDriverCapabilities, nvmlReturn_t, (nvmlVgpuDriverCapability_t capability, unsigned int *capResult), (capability, capResult)) \
    X(nvmlGetVgpuVersion, nvmlReturn_t, (nvmlVgpuVersion_t *supported, nvmlVgpuVersion_t *current), (supported, current)) \
    X(nvmlGpmMetricsGet, nvmlReturn_t, (nvmlGpmMetricsGet_t *metricsGet), (metricsGet)) \
    X(nvmlGpmMigSampleGet, nvmlReturn_t, (nvmlDevice_t device, unsigned int gpuInstanceId, nvmlGpmSample_t gpmSample), (device, gpuInstanceId, gpmSample)) \
    X(nvmlGpmQueryDeviceSupport, nvmlReturn_t, (nvmlDevice_t device, nvmlGpmSupport_t *gpmSupport), (device, gpmSupport)) \
    X(nvmlGpmQueryIfStreamingEnabled, nvmlReturn_t, (nvmlDevice_t device, unsigned int *state), (device, state)) \
    X(nvmlGpmSampleAlloc, nvmlReturn_t, (nvmlGpmSample_t *gpmSample), (gpmSample)) \
    X(nvmlGpmSampleFree, nvmlReturn_t, (nvmlGpmSample_t gpmSample), (gpmSample)) \
    X(nvmlGpmSampleGet, nvmlReturn_t, (nvmlDevice_t device, nvmlGpmSample_t gpmSample), (device, gpmSample)) \
    X(nvmlGpmSetStreamingEnabled, nvmlReturn_t, (nvmlDevice_t device, unsigned int state), (device, state)) \
    X(nvmlGpuInstanceCreateComputeInstance, nvmlReturn_t, (nvmlGpuInstance_t gpuInstance, unsigned int profileId, nvmlComputeInstance_t *computeInstance), (gpuInstance, profileId, computeInstance)) \
    X(nvmlGpuInstanceCreateComputeInstanceWithPlacement, nvmlReturn_t, (nvmlGpuInstance_t gpuInstance, unsigned int profileId, const nvmlComputeInstancePlacement_t *placement, nvmlComputeInstance_t *computeInstance), (gpuInstance, profileId, placement, computeInstance)) \
    X(nvmlGpuInstanceDestroy, nvmlReturn_t, (nvmlGpuInstance_t gpuInstance), (gpuInstance)) \
    X(nvmlGpuInstanceGetActiveVgpus, nvmlReturn_t, (nvmlGpuInstance_t gpuInstance, nvmlActiveVgpuInstanceInfo_t *pVgpuInstanceInfo), (gpuInstance, pVgpuInstanceInfo)) \
    X(nvmlGpuInstanceGetComputeInstanceById, nvmlReturn_t, (nvmlGpuInstance_t gpuInstance, unsigned int id, nvmlComputeInstance_t *computeInstance), (gpuInstance, id, computeInstance)) \
    X(nvmlGpuInstanceGetComputeInstancePossiblePlacements, nvmlReturn_t, (nvmlGpuInstance_t gpuInstance, unsigned int profileId, nvmlComputeInstancePlacement_t *placements, unsigned int *count), (gpuInstance, profileId, placements, count)) \
    X(nvmlGpuInstanceGetComputeInstanceProfileInfo, nvmlReturn_t, (nvmlGpuInstance_t gpuInstance, unsigned int profile, unsigned int engProfile, nvmlComputeInstanceProfileInfo_t *info), (gpuInstance, profile, engProfile, info)) \
    X(nvmlGpuInstanceGetComputeInstanceProfileInfoV, nvmlReturn_t, (nvmlGpuInstance_t gpuInstance, unsigned int profile, unsigned int engProfile, nvmlComputeInstanceProfileInfo_v2_t *info), (gpuInstance, profile, engProfile, info)) \
    X(nvmlGpuInstanceGetComputeInstanceRemainingCapacity, nvmlReturn_t, (nvmlGpuInstance_t gpuInstance, unsigned int profileId, unsigned int *count), (gpuInstance, profileId, count)) \
    X(nvmlGpuInstanceGetComputeInstances, nvmlReturn_t, (nvmlGpuInstance_t gpuInstance, unsigned int profileId, nvmlComputeInstance_t *computeInstances, unsigned int *count), (gpuInstance, profileId, computeInstances, count)) \
    X(nvmlGpuInstanceGetCreatableVgpus, nvmlReturn_t, (nvmlGpuInstance_t gpuInstance, nvmlVgpuTypeIdInfo_t *pVgpus), (gpuInstance, pVgpus)) \
    X(nvmlGpuInstanceGetInfo, nvmlReturn_t, (nvmlGpuInstance_t gpuInstance, nvmlGpuInstanceInfo_t *info), (gpuInstance, info)) \
    X(nvmlGpuInstanceGetVgpuHeterogeneousMode, nvmlReturn_t, (nvmlGpuInstance_t gpuInstance, nvmlVgpuHeterogeneousMode_t *pHeterogeneousMode), (gpuInstance, pHeterogeneousMode)) \
    X(nvmlGpuInstanceGetVgpuSchedulerLog, nvmlReturn_t, (nvmlGpuInstance_t gpuInstance, nvmlVgpuSchedulerLogInfo_t *pSchedulerLogInfo), (gpuInstance, pSchedulerLogInfo)) \
    X(nvmlGpuInstanceGetVgpuSchedulerState, nvmlReturn_t, (nvmlGpuInstance_t gpuInstance, nvmlVgpuSchedulerStateInfo_t *pSchedulerStateInfo), (gpuInstance, pSchedulerStateInfo)) \
    X(nvmlGpuInstanceGetVgpuTypeCreatablePlacements, nvmlReturn_t, (nvmlGpuInstance_t gpuInstance, nvmlVgpuCreatablePlacementInfo_t *pCreatablePlacementInfo), (gpuInstance, pCreatablePlacementInfo)) \
    X(nvmlGpuInstanceSetVgpuHeterogeneousMode, nvmlReturn_t, (nvmlGpuInstance_t gpuInstance, const nvmlVgpuHeterogeneousMode_t *pHeterogeneousMode), (gpuInstance, pHeterogeneousMode)) \
    X(nvmlGpuInstanceSetVgpuSchedulerState, nvmlReturn_t, (nvmlGpuInstance_t gpuInstance, nvmlVgpuSchedulerState_t *pScheduler), (gpuInstance, pScheduler)) \
    X(nvmlInit, nvmlReturn_t, (void), ()) \
    X(nvmlInitWithFlags, nvmlReturn_t, (unsigned int flags), (flags)) \
    X(nvmlInit_v2, nvmlReturn_t, (void), ()) \
    X(nvmlSetVgpuVersion, nvmlReturn_t, (nvmlVgpuVersion_t *vgpuVersion), (vgpuVersion)) \
    X(nvmlShutdown, nvmlReturn_t, (void), ()) \
    X(nvmlSystemEventSetCreate, nvmlReturn_t, (nvmlSystemEventSetCreateRequest_t *request), (request)) \
    X(nvmlSystemEventSetFree, nvmlReturn_t, (nvmlSystemEventSetFreeRequest_t *request), (request)) \
    X(nvmlSystemEventSetWait, nvmlReturn_t, (nvmlSystemEventSetWaitRequest_t *request), (request)) \
    X(nvmlSystemGetConfComputeCapabilities, nvmlReturn_t, (nvmlConfComputeSystemCaps_t *capabilities), (capabilities)) \
    X(nvmlSystemGetConfComputeGpusReadyState, nvmlReturn_t, (unsigned int *isAcceptingWork), (isAcceptingWork)) \
    X(nvmlSystemGetConfComputeKeyRotationThresholdInfo, nvmlReturn_t, (nvmlConfComputeGetKeyRotationThresholdInfo_t *pKeyRotationThrInfo), (pKeyRotationThrInfo)) \
    X(nvmlSystemGetConfComputeSettings, nvmlReturn_t, (nvmlSystemConfComputeSettings_t *settings), (settings)) \
    X(nvmlSystemGetConfComputeState, nvmlReturn_t, (nvmlConfComputeSystemState_t *state), (state)) \
    X(nvmlSystemGetCudaDriverVersion, nvmlReturn_t, (int *cudaDriverVersion), (cudaDriverVersion)) \
    X(nvmlSystemGetCudaDriverVersion_v2, nvmlReturn_t, (int *cudaDriverVersion), (cudaDriverVersion)) \
    X(nvmlSystemGetDriverBranch, nvmlReturn_t, (nvmlSystemDriverBranchInfo_t *branchInfo, unsigned int length), (branchInfo, length)) \
    X(nvmlSystemGetDriverVersion, nvmlReturn_t, (char *version, unsigned int length), (version, length)) \
    X(nvmlSystemGetHicVersion, nvmlReturn_t, (unsigned int *hwbcCount, nvmlHwbcEntry_t *hwbcEntries), (hwbcCount, hwbcEntries)) \
    X(nvmlSystemGetNVMLVersion, nvmlReturn_t, (char *version, unsigned int length), (version, length)) \
    X(nvmlSystemGetNvlinkBwMode, nvmlReturn_t, (unsigned int *nvlinkBwMode), (nvlinkBwMode)) \
    X(nvmlSystemGetProcessName, nvmlReturn_t, (unsigned int pid, char *name, unsigned int length), (pid, name, length)) \
    X(nvmlSystemGetTopologyGpuSet, nvmlReturn_t, (unsigned int cpuNumber, unsigned int *count, nvmlDevice_t *deviceArray), (cpuNumber, count, deviceArray)) \
    X(nvmlSystemRegisterEvents, nvmlReturn_t, (nvmlSystemRegisterEventRequest_t *request), (request)) \
    X(nvmlSystemSetConfComputeGpusReadyState, nvmlReturn_t, (unsigned int isAcceptingWork), (isAcceptingWork)) \
    X(nvmlSystemSetConfComputeKeyRotationThresholdInfo, nvmlReturn_t, (nvmlConfComputeSetKeyRotationThresholdInfo_t *pKeyRotationThrInfo), (pKeyRotationThrInfo)) \
    X(nvmlSystemSetNvlinkBwMode, nvmlReturn_t, (unsigned int nvlinkBwMode), (nvlinkBwMode)) \
    X(nvmlUnitGetCount, nvmlReturn_t, (unsigned int *unitCount), (unitCount)) \
    X(nvmlUnitGetDevices, nvmlReturn_t, (nvmlUnit_t unit, unsigned int *deviceCount, nvmlDevice_t *devices), (unit, deviceCount, devices)) \
    X(nvmlUnitGetFanSpeedInfo, nvmlReturn_t, (nvmlUnit_t unit, nvmlUnitFanSpeeds_t *fanSpeeds), (unit, fanSpeeds)) \
    X(nvmlUnitGetHandleByIndex, nvmlReturn_t, (unsigned int index, nvmlUnit_t *unit), (index, unit)) \
    X(nvmlUnitGetLedState, nvmlReturn_t, (nvmlUnit_t unit, nvmlLedState_t *state), (unit, state)) \
    X(nvmlUnitGetPsuInfo, nvmlReturn_t, (nvmlUnit_t unit, nvmlPSUInfo_t *psu), (unit, psu)) \
    X(nvmlUnitGetTemperature, nvmlReturn_t, (nvmlUnit_t unit, unsigned int type, unsigned int *temp), (unit, type, temp)) \
    X(nvmlUnitGetUnitInfo, nvmlReturn_t, (nvmlUnit_t unit, nvmlUnitInfo_t *info), (unit, info)) \
    X(nvmlUnitSetLedState, nvmlReturn_t, (nvmlUnit_t unit, nvmlLedColor_t color), (unit, color)) \
    X(nvmlVgpuInstanceClearAccountingPids, nvmlReturn_t, (nvmlVgpuInstance_t vgpuInstance), (vgpuInstance)) \
    X(nvmlVgpuInstanceGetAccountingMode, nvmlReturn_t, (nvmlVgpuInstance_t vgpuInstance, nvmlEnableState_t *mode), (vgpuInstance, mode)) \
    X(nvmlVgpuInstanceGetAccountingPids, nvmlReturn_t, (nvmlVgpuInstance_t vgpuInstance, unsigned int *count, unsigned int *pids), (vgpuInstance, count, pids)) \
    X(nvmlVgpuInstanceGetAccountingStats, nvmlReturn_t, (nvmlVgpuInstance_t vgpuInstance, unsigned int pid, nvmlAccountingStats_t *stats), (vgpuInstance, pid, stats)) \
    X(nvmlVgpuInstanceGetEccMode, nvmlReturn_t, (nvmlVgpuInstance_t vgpuInstance, nvmlEnableState_t *eccMode), (vgpuInstance, eccMode)) \
    X(nvmlVgpuInstanceGetEncoderCapacity, nvmlReturn_t, (nvmlVgpuInstance_t vgpuInstance, unsigned int *encoderCapacity), (vgpuInstance, encoderCapacity)) \
    X(nvmlVgpuInstanceGetEncoderSessions, nvmlReturn_t, (nvmlVgpuInstance_t vgpuInstance, unsigned int *sessionCount, nvmlEncoderSessionInfo_t *sessionInfo), (vgpuInstance, sessionCount, sessionInfo)) \
    X(nvmlVgpuInstanceGetEncoderStats, nvmlReturn_t, (nvmlVgpuInstance_t vgpuInstance, unsigned int *sessionCount, unsigned int *averageFps, unsigned int *averageLatency), (vgpuInstance, sessionCount, averageFps, averageLatency)) \
    X(nvmlVgpuInstanceGetFBCSessions, nvmlReturn_t, (nvmlVgpuInstance_t vgpuInstance, unsigned int *sessionCount, nvmlFBCSessionInfo_t *sessionInfo), (vgpuInstance, sessionCount, sessionInfo)) \
    X(nvmlVgpuInstanceGetFBCStats, nvmlReturn_t, (nvmlVgpuInstance_t vgpuInstance, nvmlFBCStats_t *fbcStats), (vgpuInstance, fbcStats)) \
    X(nvmlVgpuInstanceGetFbUsage, nvmlReturn_t, (nvmlVgpuInstance_t vgpuInstance, unsigned long long *fbUsage), (vgpuInstance, fbUsage)) \
    X(nvmlVgpuInstanceGetFrameRateLimit, nvmlReturn_t, (nvmlVgpuInstance_t vgpuInstance, unsigned int *frameRateLimit), (vgpuInstance, frameRateLimit)) \
    X(nvmlVgpuInstanceGetGpuInstanceId, nvmlReturn_t, (nvmlVgpuInstance_t vgpuInstance, unsigned int *gpuInstanceId), (vgpuInstance, gpuInstanceId)) \
    X(nvmlVgpuInstanceGetGpuPciId, nvmlReturn_t, (nvmlVgpuInstance_t vgpuInstance, char *vgpuPciId, unsigned int *length), (vgpuInstance, vgpuPciId, length)) \
    X(nvmlVgpuInstanceGetLicenseInfo, nvmlReturn_t, (nvmlVgpuInstance_t vgpuInstance, nvmlVgpuLicenseInfo_t *licenseInfo), (vgpuInstance, licenseInfo)) \
    X(nvmlVgpuInstanceGetLicenseInfo_v2, nvmlReturn_t, (nvmlVgpuInstance_t vgpuInstance, nvmlVgpuLicenseInfo_t *licenseInfo), (vgpuInstance, licenseInfo)) \
    X(nvmlVgpuInstanceGetLicenseStatus, nvmlReturn_t, (nvmlVgpuInstance_t vgpuInstance, unsigned int *licensed), (vgpuInstance, licensed)) \
    X(nvmlVgpuInstanceGetMdevUUID, nvmlReturn_t, (nvmlVgpuInstance_t vgpuInstance, char *mdevUuid, unsigned int size), (vgpuInstance, mdevUuid, size)) \
    X(nvmlVgpuInstanceGetMetadata, nvmlReturn_t, (nvmlVgpuInstance_t vgpuInstance, nvmlVgpuMetadata_t *vgpuMetadata, unsigned int *bufferSize), (vgpuInstance, vgpuMetadata, bufferSize)) \
    X(nvmlVgpuInstanceGetPlacementId, nvmlReturn_t, (nvmlVgpuInstance_t vgpuInstance, nvmlVgpuPlacementId_t *pPlacement), (vgpuInstance, pPlacement)) \
    X(nvmlVgpuInstanceGetRuntimeStateSize, nvmlReturn_t, (nvmlVgpuInstance_t vgpuInstance, nvmlVgpuRuntimeState_t *pState), (vgpuInstance, pState)) \
    X(nvmlVgpuInstanceGetType, nvmlReturn_t, (nvmlVgpuInstance_t vgpuInstance, nvmlVgpuTypeId_t *vgpuTypeId), (vgpuInstance, vgpuTypeId)) \
    X(nvmlVgpuInstanceGetUUID, nvmlReturn_t, (nvmlVgpuInstance_t vgpuInstance, char *uuid, unsigned int size), (vgpuInstance, uuid, size)) \
    X(nvmlVgpuInstanceGetVmDriverVersion, nvmlReturn_t, (nvmlVgpuInstance_t vgpuInstance, char *version, unsigned int length), (vgpuInstance, version, length)) \
    X(nvmlVgpuInstanceGetVmID, nvmlReturn_t, (nvmlVgpuInstance_t vgpuInstance, char *vmId, unsigned int size, nvmlVgpuVmIdType_t *vmIdType), (vgpuInstance, vmId, size, vmIdType)) \
    X(nvmlVgpuInstanceSetEncoderCapacity, nvmlReturn_t, (nvmlVgpuInstance_t vgpuInstance, unsigned int encoderCapacity), (vgpuInstance, encoderCapacity)) \
    X(nvmlVgpuTypeGetBAR1Info, nvmlReturn_t, (nvmlVgpuTypeId_t vgpuTypeId, nvmlVgpuTypeBar1Info_t *bar1Info), (vgpuTypeId, bar1Info)) \
    X(nvmlVgpuTypeGetCapabilities, nvmlReturn_t, (nvmlVgpuTypeId_t vgpuTypeId, nvmlVgpuCapability_t capability, unsigned int *capResult), (vgpuTypeId, capability, capResult)) \
    X(nvmlVgpuTypeGetClass, nvmlReturn_t, (nvmlVgpuTypeId_t vgpuTypeId, char *vgpuTypeClass, unsigned int *size), (vgpuTypeId, vgpuTypeClass, size)) \
    X(nvmlVgpuTypeGetDeviceID, nvmlReturn_t, (nvmlVgpuTypeId_t vgpuTypeId, unsigned long long *deviceID, unsigned long long *subsystemID), (vgpuTypeId, deviceID, subsystemID)) \
    X(nvmlVgpuTypeGetFbReservation, nvmlReturn_t, (nvmlVgpuTypeId_t vgpuTypeId, unsigned long long *fbReservation), (vgpuTypeId, fbReservation)) \
    X(nvmlVgpuTypeGetFrameRateLimit, nvmlReturn_t, (nvmlVgpuTypeId_t vgpuTypeId, unsigned int *frameRateLimit), (vgpuTypeId, frameRateLimit)) \
    X(nvmlVgpuTypeGetFramebufferSize, nvmlReturn_t, (nvmlVgpuTypeId_t vgpuTypeId, unsigned long long *fbSize), (vgpuTypeId, fbSize)) \
    X(nvmlVgpuTypeGetGpuInstanceProfileId, nvmlReturn_t, (nvmlVgpuTypeId_t vgpuTypeId, unsigned int *gpuInstanceProfileId), (vgpuTypeId, gpuInstanceProfileId)) \
    X(nvmlVgpuTypeGetGspHeapSize, nvmlReturn_t, (nvmlVgpuTypeId_t vgpuTypeId, unsigned long long *gspHeapSize), (vgpuTypeId, gspHeapSize)) \
    X(nvmlVgpuTypeGetLicense, nvmlReturn_t, (nvmlVgpuTypeId_t vgpuTypeId, char *vgpuTypeLicenseString, unsigned int size), (vgpuTypeId, vgpuTypeLicenseString, size)) \
    X(nvmlVgpuTypeGetMaxInstances, nvmlReturn_t, (nvmlDevice_t device, nvmlVgpuTypeId_t vgpuTypeId, unsigned int *vgpuInstanceCount), (device, vgpuTypeId, vgpuInstanceCount)) \
    X(nvmlVgpuTypeGetMaxInstancesPerGpuInstance, nvmlReturn_t, (nvmlVgpuTypeMaxInstance_t *pMaxInstance), (pMaxInstance)) \
    X(nvmlVgpuTypeGetMaxInstancesPerVm, nvmlReturn_t, (nvmlVgpuTypeId_t vgpuTypeId, unsigned int *vgpuInstanceCountPerVm), (vgpuTypeId, vgpuInstanceCountPerVm)) \
    X(nvmlVgpuTypeGetName, nvmlReturn_t, (nvmlVgpuTypeId_t vgpuTypeId, char *vgpuTypeName, unsigned int *size), (vgpuTypeId, vgpuTypeName, size)) \
    X(nvmlVgpuTypeGetNumDisplayHeads, nvmlReturn_t, (nvmlVgpuTypeId_t vgpuTypeId, unsigned int *numDisplayHeads), (vgpuTypeId, numDisplayHeads)) \
    X(nvmlVgpuTypeGetResolution, nvmlReturn_t, (nvmlVgpuTypeId_t vgpuTypeId, unsigned int displayIndex, unsigned int *xdim, unsigned int *ydim), (vgpuTypeId, displayIndex, xdim, ydim))
/* clang-format on */

#endif
