/*
 * What NVML reports, and so nvidia-smi and nvtop: the tenant's size and use, and only its own
 * processes. Devices are known by UUID. Whatever NVML itself refuses is refused in the same words.
 */
#include "cuda/nvml.h"
#include "limiter/hook/nvml.h"
#include "limiter/hook/process.h"
#include "limiter/hook/route.h"
#include "limiter/hook/table.h"
#include "limiter/memory/overhead.h"
#include "limiter/view/figures.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define LIST_ENTRIES 4096u /* processes on one device; more are left out */

/* Call the real function, or say that this NVML lacks it. */
#define REAL(symbol, ...)                                                                          \
    (divvy_nvml_resolve(true) && divvy_nvml.symbol ? divvy_nvml.symbol(__VA_ARGS__)                \
                                                   : NVML_ERROR_FUNCTION_NOT_FOUND)

static bool shows_tenant(void) {
    return divvy_route_nvml_enabled() && divvy_process_open() == DIVVY_PROCESS_LIMITED;
}

static int page_device(nvmlDevice_t device) {
    divvy_core_uuid_t uuid;

    return divvy_nvml_uuid(device, &uuid) ? divvy_process_page_device_by_uuid(&uuid) : -1;
}

static void *list_get(size_t bytes) {
    int saved = errno;
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    errno = saved;
    return memory == MAP_FAILED ? NULL : memory;
}

static void list_give(void *memory, size_t bytes) {
    int saved = errno;

    (void)munmap(memory, bytes);
    errno = saved;
}

/* ---- start ---- */

#define INIT(symbol, parameters, ...)                                                              \
    nvmlReturn_t divvy_hook_##symbol parameters {                                                  \
        nvmlReturn_t result = divvy_nvml_resolve(true) && divvy_nvml.symbol                        \
                                  ? divvy_nvml.symbol(__VA_ARGS__)                                 \
                                  : NVML_ERROR_LIBRARY_NOT_FOUND;                                  \
                                                                                                   \
        if (result == NVML_SUCCESS && divvy_route_nvml_enabled())                                  \
            (void)divvy_process_open();                                                            \
        return result;                                                                             \
    }

INIT(nvmlInit, (void))
INIT(nvmlInit_v2, (void))
INIT(nvmlInitWithFlags, (unsigned int flags), flags)

/* ---- memory ---- */

nvmlReturn_t divvy_hook_nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory) {
    nvmlReturn_t result = REAL(nvmlDeviceGetMemoryInfo, device, memory);
    struct divvy_figures figures;

    if (result == NVML_SUCCESS && shows_tenant() &&
        divvy_view_figures(page_device(device), memory->total, &figures)) {
        memory->total = figures.total_bytes;
        memory->used = figures.used_bytes;
        memory->free = figures.free_bytes;
    }
    return result;
}

nvmlReturn_t divvy_hook_nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t *memory) {
    nvmlReturn_t result = REAL(nvmlDeviceGetMemoryInfo_v2, device, memory);
    struct divvy_figures figures;

    if (result == NVML_SUCCESS && shows_tenant() &&
        divvy_view_figures(page_device(device), memory->total, &figures)) {
        memory->total = figures.total_bytes;
        memory->reserved = 0;
        memory->used = figures.used_bytes;
        memory->free = figures.free_bytes;
    }
    return result;
}

/* ---- processes ---- */

/*
 * The lists of processes: asked for whole, cut down to the tenant's, and handed out by NVML's rule:
 * with too little room, the number needed and NVML_ERROR_INSUFFICIENT_SIZE.
 */
#define PROCESS_LIST(symbol, type)                                                                 \
    nvmlReturn_t divvy_hook_##symbol(nvmlDevice_t device, unsigned int *infoCount, type *infos) {  \
        unsigned int count = LIST_ENTRIES, own = 0;                                                \
        nvmlReturn_t result;                                                                       \
        type *all;                                                                                 \
                                                                                                   \
        if (!shows_tenant() || !infoCount)                                                         \
            return REAL(symbol, device, infoCount, infos);                                         \
        all = list_get(LIST_ENTRIES * sizeof *all);                                                \
        if (!all)                                                                                  \
            return NVML_ERROR_MEMORY;                                                              \
        result = REAL(symbol, device, &count, all);                                                \
        for (unsigned int i = 0; result == NVML_SUCCESS && i < count && i < LIST_ENTRIES; i++) {   \
            if (!divvy_view_is_own_pid(all[i].pid))                                                \
                continue;                                                                          \
            if (all[i].pid == divvy_process.self.pid && all[i].usedGpuMemory != UINT64_MAX)        \
                divvy_overhead_seen(page_device(device), all[i].usedGpuMemory);                    \
            all[own++] = all[i];                                                                   \
        }                                                                                          \
        if (result == NVML_SUCCESS && (own > *infoCount || (own > 0 && !infos)))                   \
            result = NVML_ERROR_INSUFFICIENT_SIZE;                                                 \
        else if (result == NVML_SUCCESS && own > 0)                                                \
            memcpy(infos, all, own * sizeof *all);                                                 \
        if (result == NVML_SUCCESS || result == NVML_ERROR_INSUFFICIENT_SIZE)                      \
            *infoCount = own;                                                                      \
        list_give(all, LIST_ENTRIES * sizeof *all);                                                \
        return result;                                                                             \
    }

PROCESS_LIST(nvmlDeviceGetComputeRunningProcesses, nvmlProcessInfo_v1_t)
PROCESS_LIST(nvmlDeviceGetComputeRunningProcesses_v2, nvmlProcessInfo_v2_t)
PROCESS_LIST(nvmlDeviceGetComputeRunningProcesses_v3, nvmlProcessInfo_t)
PROCESS_LIST(nvmlDeviceGetGraphicsRunningProcesses, nvmlProcessInfo_v1_t)
PROCESS_LIST(nvmlDeviceGetGraphicsRunningProcesses_v2, nvmlProcessInfo_v2_t)
PROCESS_LIST(nvmlDeviceGetGraphicsRunningProcesses_v3, nvmlProcessInfo_t)
PROCESS_LIST(nvmlDeviceGetMPSComputeRunningProcesses, nvmlProcessInfo_v1_t)
PROCESS_LIST(nvmlDeviceGetMPSComputeRunningProcesses_v2, nvmlProcessInfo_v2_t)
PROCESS_LIST(nvmlDeviceGetMPSComputeRunningProcesses_v3, nvmlProcessInfo_t)

/* Lists that the caller gave room for: cut down where they lie. A question for the size alone goes
 * through. */
nvmlReturn_t divvy_hook_nvmlDeviceGetRunningProcessDetailList(nvmlDevice_t device,
                                                              nvmlProcessDetailList_t *plist) {
    nvmlReturn_t result = REAL(nvmlDeviceGetRunningProcessDetailList, device, plist);
    unsigned int own = 0;

    if (result != NVML_SUCCESS || !shows_tenant() || !plist->procArray)
        return result;
    for (unsigned int i = 0; i < plist->numProcArrayEntries; i++)
        if (divvy_view_is_own_pid(plist->procArray[i].pid))
            plist->procArray[own++] = plist->procArray[i];
    plist->numProcArrayEntries = own;
    return result;
}

nvmlReturn_t divvy_hook_nvmlDeviceGetProcessesUtilizationInfo(
    nvmlDevice_t device, nvmlProcessesUtilizationInfo_t *procesesUtilInfo) {
    nvmlReturn_t result = REAL(nvmlDeviceGetProcessesUtilizationInfo, device, procesesUtilInfo);
    unsigned int own = 0;

    if (result != NVML_SUCCESS || !shows_tenant() || !procesesUtilInfo->procUtilArray)
        return result;
    for (unsigned int i = 0; i < procesesUtilInfo->processSamplesCount; i++)
        if (divvy_view_is_own_pid(procesesUtilInfo->procUtilArray[i].pid))
            procesesUtilInfo->procUtilArray[own++] = procesesUtilInfo->procUtilArray[i];
    procesesUtilInfo->processSamplesCount = own;
    return result;
}

nvmlReturn_t divvy_hook_nvmlDeviceGetProcessUtilization(nvmlDevice_t device,
                                                        nvmlProcessUtilizationSample_t *utilization,
                                                        unsigned int *processSamplesCount,
                                                        unsigned long long lastSeenTimeStamp) {
    nvmlReturn_t result = REAL(nvmlDeviceGetProcessUtilization, device, utilization,
                               processSamplesCount, lastSeenTimeStamp);
    unsigned int own = 0;

    if (result != NVML_SUCCESS || !shows_tenant() || !utilization)
        return result;
    for (unsigned int i = 0; i < *processSamplesCount; i++)
        if (divvy_view_is_own_pid(utilization[i].pid))
            utilization[own++] = utilization[i];
    *processSamplesCount = own;
    return own > 0 ? NVML_SUCCESS : NVML_ERROR_NOT_FOUND;
}

/* ---- utilisation ---- */

/* Mean of the tenant's samples of the last second, summed over its processes. */
static bool own_utilisation(nvmlDevice_t device, nvmlUtilization_t *ret_utilisation) {
    nvmlProcessUtilizationSample_t *samples = list_get(LIST_ENTRIES * sizeof *samples);
    unsigned int count = LIST_ENTRIES;
    struct timespec now = {0};
    uint64_t since, gpu = 0, memory = 0;
    nvmlReturn_t result;

    if (!samples)
        return false;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    since = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000 - 1000000;
    result = REAL(nvmlDeviceGetProcessUtilization, device, samples, &count, since);
    for (unsigned int i = 0; result == NVML_SUCCESS && i < count && i < LIST_ENTRIES; i++) {
        unsigned int same = 0;

        if (!divvy_view_is_own_pid(samples[i].pid))
            continue;
        for (unsigned int k = 0; k < count && k < LIST_ENTRIES; k++)
            same += samples[k].pid == samples[i].pid;
        gpu += samples[i].smUtil * 1000u / same;
        memory += samples[i].memUtil * 1000u / same;
    }
    list_give(samples, LIST_ENTRIES * sizeof *samples);
    if (result != NVML_SUCCESS && result != NVML_ERROR_NOT_FOUND)
        return false;
    gpu = (gpu + 500) / 1000;
    memory = (memory + 500) / 1000;
    ret_utilisation->gpu = gpu > 100 ? 100 : (unsigned int)gpu;
    ret_utilisation->memory = memory > 100 ? 100 : (unsigned int)memory;
    return true;
}

nvmlReturn_t divvy_hook_nvmlDeviceGetUtilizationRates(nvmlDevice_t device,
                                                      nvmlUtilization_t *utilization) {
    nvmlReturn_t result = REAL(nvmlDeviceGetUtilizationRates, device, utilization);
    nvmlUtilization_t own;

    /* Where NVML has no samples by process (MIG, old devices), the device's own figure stands. */
    if (result == NVML_SUCCESS && shows_tenant() && own_utilisation(device, &own))
        *utilization = own;
    return result;
}
