/* How devices lie towards each other and towards the processors: all on one node, joined by PCIe only. */
#include "simgpu/nvml/api.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

nvmlReturn_t NVM(nvmlDeviceGetTopologyCommonAncestor)(nvmlDevice_t device1, nvmlDevice_t device2,
                                                      nvmlGpuTopologyLevel_t *pathInfo) {
    NVM_DEVICE(first, device1);
    NVM_DEVICE(second, device2);
    NVM_REQUIRE(pathInfo);
    if (first == second)
        return NVML_ERROR_NOT_SUPPORTED;
    *pathInfo = NVML_TOPOLOGY_NODE;
    return NVML_SUCCESS;
}

/* Fills DEVICES with those of the machine but SKIP (which may be NULL); a count of 0 asks how many there are. */
static nvmlReturn_t devices_write(nvmlDevice_t skip, unsigned int *count, nvmlDevice_t *devices) {
    unsigned int room = *count, found = 0;

    if (room > 0 && devices == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    for (int i = 0; i < divvy_simgpu_device_count(); i++) {
        if (divvy_nvml_handle(i) == skip)
            continue;
        if (found < room)
            devices[found] = divvy_nvml_handle(i);
        found++;
    }
    *count = room == 0 || found < room ? found : room;
    return NVML_SUCCESS;
}

nvmlReturn_t NVM(nvmlDeviceGetTopologyNearestGpus)(nvmlDevice_t device, nvmlGpuTopologyLevel_t level,
                                                   unsigned int *count, nvmlDevice_t *deviceArray) {
    NVM_DEVICE(facts, device);
    NVM_REQUIRE(count);
    if ((int)level < NVML_TOPOLOGY_INTERNAL || level > NVML_TOPOLOGY_SYSTEM || level % 10 != 0)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (level != NVML_TOPOLOGY_NODE) {
        *count = 0;
        return NVML_SUCCESS;
    }
    return devices_write(device, count, deviceArray);
}

nvmlReturn_t NVM(nvmlSystemGetTopologyGpuSet)(unsigned int cpuNumber, unsigned int *count,
                                              nvmlDevice_t *deviceArray) {
    NVM_REQUIRE(count);
    if ((long)cpuNumber >= sysconf(_SC_NPROCESSORS_CONF))
        return NVML_ERROR_INVALID_ARGUMENT;
    return devices_write(NULL, count, deviceArray);
}

nvmlReturn_t NVM(nvmlDeviceOnSameBoard)(nvmlDevice_t device1, nvmlDevice_t device2, int *onSameBoard) {
    NVM_DEVICE(first, device1);
    NVM_DEVICE(second, device2);
    NVM_REQUIRE(onSameBoard);
    *onSameBoard = first == second;
    return NVML_SUCCESS;
}

/* A device is no peer of itself; two devices read and write each other's memory over PCIe. */
nvmlReturn_t NVM(nvmlDeviceGetP2PStatus)(nvmlDevice_t device1, nvmlDevice_t device2,
                                         nvmlGpuP2PCapsIndex_t p2pIndex,
                                         nvmlGpuP2PStatus_t *p2pStatus) {
    NVM_DEVICE(first, device1);
    NVM_DEVICE(second, device2);
    NVM_REQUIRE(p2pStatus);
    if ((unsigned int)p2pIndex >= NVML_P2P_CAPS_INDEX_UNKNOWN)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (first == second || p2pIndex == NVML_P2P_CAPS_INDEX_NVLINK ||
        p2pIndex == NVML_P2P_CAPS_INDEX_ATOMICS)
        *p2pStatus = NVML_P2P_STATUS_NOT_SUPPORTED;
    else
        *p2pStatus = NVML_P2P_STATUS_OK;
    return NVML_SUCCESS;
}

/* --- affinity -------------------------------------------------------------------------------------- */

/* Sets the first BITS bits of WORDS words. */
static void bits_set(unsigned long *words, unsigned int count, long bits) {
    const long width = (long)(sizeof(*words) * CHAR_BIT);

    memset(words, 0, count * sizeof(*words));
    for (long bit = 0; bit < bits && bit < (long)count * width; bit++)
        words[bit / width] |= 1ul << (bit % width);
}

nvmlReturn_t NVM(nvmlDeviceGetCpuAffinity)(nvmlDevice_t device, unsigned int cpuSetSize,
                                           unsigned long *cpuSet) {
    NVM_DEVICE(facts, device);
    NVM_REQUIRE(cpuSet);
    if (cpuSetSize == 0)
        return NVML_ERROR_INVALID_ARGUMENT;
    bits_set(cpuSet, cpuSetSize, sysconf(_SC_NPROCESSORS_CONF));
    return NVML_SUCCESS;
}

nvmlReturn_t NVM(nvmlDeviceGetCpuAffinityWithinScope)(nvmlDevice_t device, unsigned int cpuSetSize,
                                                      unsigned long *cpuSet,
                                                      nvmlAffinityScope_t scope) {
    if (scope != NVML_AFFINITY_SCOPE_NODE && scope != NVML_AFFINITY_SCOPE_SOCKET)
        return NVML_ERROR_INVALID_ARGUMENT;
    return NVM(nvmlDeviceGetCpuAffinity)(device, cpuSetSize, cpuSet);
}

nvmlReturn_t NVM(nvmlDeviceGetMemoryAffinity)(nvmlDevice_t device, unsigned int nodeSetSize,
                                              unsigned long *nodeSet, nvmlAffinityScope_t scope) {
    NVM_DEVICE(facts, device);
    NVM_REQUIRE(nodeSet);
    if (nodeSetSize == 0 ||
        (scope != NVML_AFFINITY_SCOPE_NODE && scope != NVML_AFFINITY_SCOPE_SOCKET))
        return NVML_ERROR_INVALID_ARGUMENT;
    bits_set(nodeSet, nodeSetSize, 1);
    return NVML_SUCCESS;
}
