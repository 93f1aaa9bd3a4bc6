/* Facts and modes of a device that are one number each: a row per function. */
#include "simgpu/nvml/api.h"

#define FACT(symbol, type, argument, value)                                                        \
    nvmlReturn_t NVM(symbol)(nvmlDevice_t device, type *argument) {                                \
        NVM_DEVICE(facts, device);                                                                 \
        NVM_REQUIRE(argument);                                                                     \
        (void)facts;                                                                               \
        *argument = (type)(value);                                                                 \
        return NVML_SUCCESS;                                                                       \
    }

/* The same of any device, MIG devices too. */
#define ANY_FACT(symbol, type, argument, value)                                                    \
    nvmlReturn_t NVM(symbol)(nvmlDevice_t device, type *argument) {                                \
        NVM_ANY_DEVICE(facts, device);                                                             \
        NVM_REQUIRE(argument);                                                                     \
        (void)facts;                                                                               \
        *argument = (type)(value);                                                                 \
        return NVML_SUCCESS;                                                                       \
    }

#define FACTS(symbol, type, first, first_value, second, second_value)                              \
    nvmlReturn_t NVM(symbol)(nvmlDevice_t device, type *first, type *second) {                     \
        NVM_DEVICE(facts, device);                                                                 \
        NVM_REQUIRE(first);                                                                        \
        NVM_REQUIRE(second);                                                                       \
        (void)facts;                                                                               \
        *first = (type)(first_value);                                                              \
        *second = (type)(second_value);                                                            \
        return NVML_SUCCESS;                                                                       \
    }

static unsigned int architecture(const divvy_simgpu_device_t *facts) {
    int capability = facts->cc_major * 10 + facts->cc_minor;

    if (capability >= 100)
        return NVML_DEVICE_ARCH_BLACKWELL;
    if (capability >= 90)
        return NVML_DEVICE_ARCH_HOPPER;
    if (capability == 89)
        return NVML_DEVICE_ARCH_ADA;
    if (capability >= 80)
        return NVML_DEVICE_ARCH_AMPERE;
    if (capability == 75)
        return NVML_DEVICE_ARCH_TURING;
    return capability >= 70 ? NVML_DEVICE_ARCH_VOLTA : NVML_DEVICE_ARCH_UNKNOWN;
}

/* MIG devices are counted in their device. */
static int own_index(int unit) {
    return unit < DIVVY_SIMGPU_DEVICES_MAX
               ? unit
               : (unit - DIVVY_SIMGPU_DEVICES_MAX) % DIVVY_SIMGPU_MIG_MAX;
}

nvmlReturn_t NVM(nvmlDeviceGetCudaComputeCapability)(nvmlDevice_t device, int *major, int *minor) {
    NVM_ANY_DEVICE(facts, device);
    NVM_REQUIRE(major);
    NVM_REQUIRE(minor);
    *major = facts->cc_major;
    *minor = facts->cc_minor;
    return NVML_SUCCESS;
}

/* PCIe link speed of one lane in megatransfers per second. */
static unsigned int pcie_speed(unsigned int generation) {
    return generation <= 1 ? 2500u : generation == 2 ? 5000u : 8000u << (generation - 3);
}

/* What the board is. */
ANY_FACT(nvmlDeviceGetIndex, unsigned int, index, own_index(facts->index))
ANY_FACT(nvmlDeviceGetMinorNumber, unsigned int, minorNumber,
         divvy_simgpu_unit_device(facts->index))
FACT(nvmlDeviceGetModuleId, unsigned int, moduleId, facts->index)
FACT(nvmlDeviceGetBoardId, unsigned int, boardId,
     facts->pci_domain << 16 | facts->pci_bus << 8 | facts->pci_device)
FACT(nvmlDeviceGetMultiGpuBoard, unsigned int, multiGpuBool, 0)
ANY_FACT(nvmlDeviceGetBrand, nvmlBrandType_t, type, NVML_BRAND_NVIDIA)
ANY_FACT(nvmlDeviceGetArchitecture, nvmlDeviceArchitecture_t, arch, architecture(facts))
FACT(nvmlDeviceGetNumGpuCores, unsigned int, numCores, facts->sm_count * facts->cores_per_sm)
FACT(nvmlDeviceGetMemoryBusWidth, unsigned int, busWidth, facts->memory_bus_bits)
FACT(nvmlDeviceGetNumFans, unsigned int, numFans, 0)
FACTS(nvmlDeviceGetGspFirmwareMode, unsigned int, isEnabled, 1, defaultMode, 1)

/* Its link to the host. */
FACT(nvmlDeviceGetBusType, nvmlBusType_t, type, NVML_BUS_TYPE_PCIE)
FACT(nvmlDeviceGetCurrPcieLinkGeneration, unsigned int, currLinkGen, facts->pcie_gen)
FACT(nvmlDeviceGetMaxPcieLinkGeneration, unsigned int, maxLinkGen, facts->pcie_gen)
FACT(nvmlDeviceGetGpuMaxPcieLinkGeneration, unsigned int, maxLinkGenDevice, facts->pcie_gen)
FACT(nvmlDeviceGetCurrPcieLinkWidth, unsigned int, currLinkWidth, facts->pcie_width)
FACT(nvmlDeviceGetMaxPcieLinkWidth, unsigned int, maxLinkWidth, facts->pcie_width)
FACT(nvmlDeviceGetPcieSpeed, unsigned int, pcieSpeed, pcie_speed(facts->pcie_gen))
FACT(nvmlDeviceGetPcieLinkMaxSpeed, unsigned int, maxSpeed, facts->pcie_gen)
FACT(nvmlDeviceGetPcieReplayCounter, unsigned int, value, 0)

/* Modes, none of which can be changed. */
FACT(nvmlDeviceGetPersistenceMode, nvmlEnableState_t, mode, NVML_FEATURE_ENABLED)
FACT(nvmlDeviceGetComputeMode, nvmlComputeMode_t, mode, NVML_COMPUTEMODE_DEFAULT)
FACT(nvmlDeviceGetDisplayMode, nvmlEnableState_t, display, NVML_FEATURE_DISABLED)
FACT(nvmlDeviceGetDisplayActive, nvmlEnableState_t, isActive, NVML_FEATURE_DISABLED)
FACT(nvmlDeviceGetVirtualizationMode, nvmlGpuVirtualizationMode_t, pVirtualMode,
     NVML_GPU_VIRTUALIZATION_MODE_NONE)
FACT(nvmlDeviceGetAccountingMode, nvmlEnableState_t, mode, NVML_FEATURE_DISABLED)
FACT(nvmlDeviceGetAccountingBufferSize, unsigned int, bufferSize, 4000)
FACT(nvmlDeviceGetPowerManagementMode, nvmlEnableState_t, mode, NVML_FEATURE_ENABLED)
FACT(nvmlDeviceGetPowerSource, nvmlPowerSource_t, powerSource, NVML_POWER_SOURCE_AC)
FACT(nvmlDeviceGetDefaultEccMode, nvmlEnableState_t, defaultMode, NVML_FEATURE_ENABLED)
FACTS(nvmlDeviceGetEccMode, nvmlEnableState_t, current, NVML_FEATURE_ENABLED, pending,
      NVML_FEATURE_ENABLED)

/* One performance state: the simulated device always runs at its maximum. */
FACT(nvmlDeviceGetPerformanceState, nvmlPstates_t, pState, NVML_PSTATE_0)
FACT(nvmlDeviceGetPowerState, nvmlPstates_t, pState, NVML_PSTATE_0)
FACT(nvmlDeviceGetAdaptiveClockInfoStatus, unsigned int, adaptiveClockStatus,
     NVML_ADAPTIVE_CLOCKING_INFO_STATUS_ENABLED)
FACT(nvmlDeviceGetCurrentClocksEventReasons, unsigned long long, clocksEventReasons, 0)
FACT(nvmlDeviceGetCurrentClocksThrottleReasons, unsigned long long, clocksThrottleReasons, 0)
FACT(nvmlDeviceGetSupportedClocksEventReasons, unsigned long long, supportedClocksEventReasons, 511)
FACT(nvmlDeviceGetSupportedClocksThrottleReasons, unsigned long long, supportedClocksThrottleReasons,
     511)

FACT(nvmlGpmQueryIfStreamingEnabled, unsigned int, state, 0)

/* Engines that the simulated device has no work for: idle, sampled every 100 ms. With MIG mode on they are the
 * instances' and not the device's. */
#define IDLE_ENGINE(symbol)                                                                        \
    nvmlReturn_t NVM(symbol)(nvmlDevice_t device, unsigned int *utilization,                       \
                             unsigned int *samplingPeriodUs) {                                     \
        NVM_DEVICE(facts, device);                                                                 \
        NVM_REQUIRE(utilization);                                                                  \
        NVM_REQUIRE(samplingPeriodUs);                                                             \
        NVM_UNDIVIDED(facts);                                                                      \
        *utilization = 0;                                                                          \
        *samplingPeriodUs = 100000;                                                                \
        return NVML_SUCCESS;                                                                       \
    }
IDLE_ENGINE(nvmlDeviceGetEncoderUtilization)
IDLE_ENGINE(nvmlDeviceGetDecoderUtilization)
IDLE_ENGINE(nvmlDeviceGetJpgUtilization)
IDLE_ENGINE(nvmlDeviceGetOfaUtilization)
