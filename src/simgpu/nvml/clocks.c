/* Clocks. The simulated device runs at its maxima all the time. */
#include "simgpu/nvml/api.h"

#include <stdio.h>

enum {
    CLOCK_STEP_MHZ = 15, /* between the graphics clocks that can be had */
    CLOCK_MIN_MHZ = 345,
};

/* The video engine's clock follows the SM clock in the relation seen on an H200 (1545 at 1980 MHz). */
static nvmlReturn_t clock_max(const divvy_simgpu_device_t *facts, nvmlClockType_t type,
                              unsigned int *ret_mhz) {
    unsigned int sm_mhz = facts->sm_clock_khz / 1000;

    switch (type) {
    case NVML_CLOCK_GRAPHICS:
    case NVML_CLOCK_SM:
        *ret_mhz = sm_mhz;
        return NVML_SUCCESS;
    case NVML_CLOCK_MEM:
        *ret_mhz = facts->memory_clock_khz / 1000;
        return NVML_SUCCESS;
    case NVML_CLOCK_VIDEO:
        *ret_mhz = sm_mhz * 1545 / 1980;
        return NVML_SUCCESS;
    default:
        return NVML_ERROR_INVALID_ARGUMENT;
    }
}

nvmlReturn_t NVM(nvmlDeviceGetMaxClockInfo)(nvmlDevice_t device, nvmlClockType_t type,
                                            unsigned int *clock) {
    NVM_DEVICE(facts, device);
    NVM_REQUIRE(clock);
    return clock_max(facts, type, clock);
}

nvmlReturn_t NVM(nvmlDeviceGetClockInfo)(nvmlDevice_t device, nvmlClockType_t type,
                                         unsigned int *clock) {
    return NVM(nvmlDeviceGetMaxClockInfo)(device, type, clock);
}

/* Application clocks exist for the SMs and for memory. */
nvmlReturn_t NVM(nvmlDeviceGetApplicationsClock)(nvmlDevice_t device, nvmlClockType_t clockType,
                                                 unsigned int *clockMHz) {
    NVM_DEVICE(facts, device);
    NVM_REQUIRE(clockMHz);
    if (clockType == NVML_CLOCK_VIDEO)
        return NVML_ERROR_NOT_SUPPORTED;
    return clock_max(facts, clockType, clockMHz);
}

nvmlReturn_t NVM(nvmlDeviceGetDefaultApplicationsClock)(nvmlDevice_t device,
                                                        nvmlClockType_t clockType,
                                                        unsigned int *clockMHz) {
    return NVM(nvmlDeviceGetApplicationsClock)(device, clockType, clockMHz);
}

nvmlReturn_t NVM(nvmlDeviceGetMaxCustomerBoostClock)(nvmlDevice_t device, nvmlClockType_t clockType,
                                                     unsigned int *clockMHz) {
    NVM_DEVICE(facts, device);
    NVM_REQUIRE(clockMHz);
    if (clockType == NVML_CLOCK_MEM || clockType == NVML_CLOCK_VIDEO)
        return NVML_ERROR_NOT_SUPPORTED;
    return clock_max(facts, clockType, clockMHz);
}

nvmlReturn_t NVM(nvmlDeviceGetClock)(nvmlDevice_t device, nvmlClockType_t clockType,
                                     nvmlClockId_t clockId, unsigned int *clockMHz) {
    switch (clockId) {
    case NVML_CLOCK_ID_CURRENT:
        return NVM(nvmlDeviceGetClockInfo)(device, clockType, clockMHz);
    case NVML_CLOCK_ID_APP_CLOCK_TARGET:
    case NVML_CLOCK_ID_APP_CLOCK_DEFAULT:
        return NVM(nvmlDeviceGetApplicationsClock)(device, clockType, clockMHz);
    case NVML_CLOCK_ID_CUSTOMER_BOOST_MAX:
        return NVM(nvmlDeviceGetMaxCustomerBoostClock)(device, clockType, clockMHz);
    default:
        return NVML_ERROR_INVALID_ARGUMENT;
    }
}

nvmlReturn_t NVM(nvmlDeviceGetSupportedMemoryClocks)(nvmlDevice_t device, unsigned int *count,
                                                     unsigned int *clocksMHz) {
    unsigned int room;
    NVM_DEVICE(facts, device);

    NVM_REQUIRE(count);
    room = *count;
    *count = 1;
    if (room < 1)
        return NVML_ERROR_INSUFFICIENT_SIZE;
    NVM_REQUIRE(clocksMHz);
    clocksMHz[0] = facts->memory_clock_khz / 1000;
    return NVML_SUCCESS;
}

nvmlReturn_t NVM(nvmlDeviceGetSupportedGraphicsClocks)(nvmlDevice_t device,
                                                       unsigned int memoryClockMHz,
                                                       unsigned int *count, unsigned int *clocksMHz) {
    unsigned int room, steps, top;
    NVM_DEVICE(facts, device);

    NVM_REQUIRE(count);
    if (memoryClockMHz != facts->memory_clock_khz / 1000)
        return NVML_ERROR_NOT_FOUND;
    top = facts->sm_clock_khz / 1000;
    steps = top > CLOCK_MIN_MHZ ? (top - CLOCK_MIN_MHZ) / CLOCK_STEP_MHZ + 1 : 1;
    room = *count;
    *count = steps;
    if (room < steps)
        return NVML_ERROR_INSUFFICIENT_SIZE;
    NVM_REQUIRE(clocksMHz);
    for (unsigned int i = 0; i < steps; i++)
        clocksMHz[i] = top - i * CLOCK_STEP_MHZ;
    return NVML_SUCCESS;
}

/* --- performance states: the highest, and no other ------------------------------------------------------ */

nvmlReturn_t NVM(nvmlDeviceGetSupportedPerformanceStates)(nvmlDevice_t device,
                                                          nvmlPstates_t *pstates, unsigned int size) {
    unsigned int room = size / (unsigned int)sizeof(*pstates);
    NVM_DEVICE(facts, device);

    NVM_REQUIRE(pstates);
    if (room == 0)
        return NVML_ERROR_INSUFFICIENT_SIZE;
    pstates[0] = NVML_PSTATE_0;
    for (unsigned int i = 1; i < room; i++)
        pstates[i] = NVML_PSTATE_UNKNOWN;
    return NVML_SUCCESS;
}

nvmlReturn_t NVM(nvmlDeviceGetMinMaxClockOfPState)(nvmlDevice_t device, nvmlClockType_t type,
                                                   nvmlPstates_t pstate, unsigned int *minClockMHz,
                                                   unsigned int *maxClockMHz) {
    unsigned int max_mhz;
    NVM_DEVICE(facts, device);

    NVM_REQUIRE(minClockMHz);
    NVM_REQUIRE(maxClockMHz);
    NVM_TRY(clock_max(facts, type, &max_mhz));
    if ((unsigned int)pstate > NVML_PSTATE_15)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (pstate != NVML_PSTATE_0)
        return NVML_ERROR_NOT_SUPPORTED;
    *minClockMHz = type == NVML_CLOCK_MEM || max_mhz < CLOCK_MIN_MHZ ? max_mhz : CLOCK_MIN_MHZ;
    *maxClockMHz = max_mhz;
    return NVML_SUCCESS;
}

nvmlReturn_t NVM(nvmlDeviceGetCurrentClockFreqs)(nvmlDevice_t device,
                                                 nvmlDeviceCurrentClockFreqs_t *currentClockFreqs) {
    unsigned int sm_mhz, memory_mhz;
    NVM_DEVICE(facts, device);

    NVM_REQUIRE(currentClockFreqs);
    if (currentClockFreqs->version != NVML_STRUCT_VERSION(DeviceCurrentClockFreqs, 1))
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    sm_mhz = facts->sm_clock_khz / 1000;
    memory_mhz = facts->memory_clock_khz / 1000;
    (void)snprintf(currentClockFreqs->str, sizeof(currentClockFreqs->str),
                   "perf=0, nvclock=%u, nvclockmin=%u, nvclockmax=%u, nvclockeditable=0, "
                   "memclock=%u, memclockmin=%u, memclockmax=%u, memclockeditable=0",
                   sm_mhz, (unsigned int)CLOCK_MIN_MHZ, sm_mhz, memory_mhz, memory_mhz, memory_mhz);
    return NVML_SUCCESS;
}

/* --- violations: nothing ever slows the device down -------------------------------------------------------- */

nvmlReturn_t NVM(nvmlDeviceGetViolationStatus)(nvmlDevice_t device,
                                               nvmlPerfPolicyType_t perfPolicyType,
                                               nvmlViolationTime_t *violTime) {
    NVM_DEVICE(facts, device);
    NVM_REQUIRE(violTime);
    if ((unsigned int)perfPolicyType > NVML_PERF_POLICY_RELIABILITY &&
        perfPolicyType != NVML_PERF_POLICY_TOTAL_APP_CLOCKS &&
        perfPolicyType != NVML_PERF_POLICY_TOTAL_BASE_CLOCKS)
        return NVML_ERROR_INVALID_ARGUMENT;
    violTime->referenceTime = divvy_nvml_stamp_us(divvy_simgpu_now_ns());
    violTime->violationTime = 0;
    return NVML_SUCCESS;
}
