/* Who uses a device: the lists in their versions, and the use that each process makes of it. */
#include "simgpu/nvml/api.h"

#include <stdlib.h>
#include <string.h>

/* Processes that one machine can hold are few; a list that outgrows this is cut, and its length told truly. */
enum { PROCESSES_MAX = 1024 };

/* A process of no MIG instance. */
#define NO_INSTANCE 0xffffffffu

typedef enum {
    LIST_COMPUTE,
    LIST_GRAPHICS, /* the simulated device draws nothing ... */
    LIST_MPS,      /* ... and has no MPS server: both lists are empty */
} list_kind_t;

/* The caller frees *ret_vector. */
static nvmlReturn_t processes_read(int unit, divvy_simgpu_process_t **ret_vector,
                                   size_t *ret_count) {
    divvy_simgpu_process_t *vector = calloc(PROCESSES_MAX, sizeof(*vector));
    size_t total = 0;
    int status;

    if (vector == NULL)
        return NVML_ERROR_MEMORY;
    status = divvy_simgpu_processes(unit, vector, PROCESSES_MAX, &total);
    if (status != 0) {
        free(vector);
        return divvy_nvml_result(status);
    }
    *ret_vector = vector;
    *ret_count = total < PROCESSES_MAX ? total : PROCESSES_MAX;
    return NVML_SUCCESS;
}

/* A process as the lists show it, with the MIG instance that it computes on. */
typedef struct {
    int pid;
    unsigned long long bytes;
    unsigned int gpu_instance, compute_instance;
} entry_t;

/* Adds the processes of one device or MIG device (ci, or NULL) to the list. */
static nvmlReturn_t entries_add(int unit, const divvy_simgpu_ci_t *ci, entry_t **list,
                                size_t *count) {
    divvy_simgpu_process_t *vector;
    size_t found;
    entry_t *grown;

    NVM_TRY(processes_read(unit, &vector, &found));
    grown = realloc(*list, (*count + found + 1) * sizeof(**list));
    if (grown == NULL) {
        free(vector);
        return NVML_ERROR_MEMORY;
    }
    *list = grown;
    for (size_t i = 0; i < found; i++)
        grown[(*count)++] = (entry_t){
            .pid = vector[i].pid,
            .bytes = vector[i].bytes,
            .gpu_instance = ci != NULL ? ci->gi.id : NO_INSTANCE,
            .compute_instance = ci != NULL ? ci->id : NO_INSTANCE,
        };
    free(vector);
    return NVML_SUCCESS;
}

/* Those of a MIG device; those of a device; and of a device with MIG mode on, those of all its instances. The caller
 * frees *ret_list, also after an error. */
static nvmlReturn_t entries_read(int unit, entry_t **ret_list, size_t *ret_count) {
    divvy_simgpu_ci_t ci;

    *ret_list = NULL;
    *ret_count = 0;
    if (divvy_simgpu_ci_of_unit(unit, &ci) == 0)
        return entries_add(unit, &ci, ret_list, ret_count);
    if (!divvy_nvml_is_divided(unit))
        return entries_add(unit, NULL, ret_list, ret_count);
    for (unsigned int index = 0; index < DIVVY_SIMGPU_MIG_MAX; index++) {
        if (divvy_simgpu_ci_get(unit, index, &ci) != 0)
            continue;
        nvmlReturn_t result = entries_add(ci.unit, &ci, ret_list, ret_count);

        if (result != NVML_SUCCESS && result != NVML_ERROR_GPU_IS_LOST) /* destroyed just now */
            return result;
    }
    return NVML_SUCCESS;
}

/* --- lists ----------------------------------------------------------------------------------------- */

static void entry_write(void *entry, size_t size, const entry_t *process) {
    nvmlProcessInfo_v2_t info;

    memset(&info, 0, sizeof(info));
    info.pid = (unsigned int)process->pid;
    info.usedGpuMemory = process->bytes;
    info.gpuInstanceId = process->gpu_instance;
    info.computeInstanceId = process->compute_instance;
    memcpy(entry, &info, size); /* older layouts are the beginning of newer ones */
}
_Static_assert(offsetof(nvmlProcessInfo_v1_t, usedGpuMemory) ==
                   offsetof(nvmlProcessInfo_v2_t, usedGpuMemory),
               "the first layout is the beginning of the second");

/* Too small a buffer is told how many there are; that count is set on every way out but bad arguments. */
static nvmlReturn_t list_write(nvmlDevice_t device, list_kind_t kind, unsigned int *count,
                               void *entries, size_t entry_size) {
    entry_t *vector = NULL;
    unsigned int room;
    size_t found = 0;
    nvmlReturn_t result = NVML_SUCCESS;
    NVM_ANY_DEVICE(facts, device);

    NVM_REQUIRE(count);
    if (kind == LIST_COMPUTE)
        result = entries_read(facts->index, &vector, &found);
    room = *count;
    if (result == NVML_SUCCESS)
        *count = (unsigned int)found;
    if (result == NVML_SUCCESS && found > room)
        result = NVML_ERROR_INSUFFICIENT_SIZE;
    else if (result == NVML_SUCCESS && found > 0 && entries == NULL)
        result = NVML_ERROR_INVALID_ARGUMENT;
    for (size_t i = 0; result == NVML_SUCCESS && i < found; i++)
        entry_write((char *)entries + i * entry_size, entry_size, &vector[i]);
    free(vector);
    return result;
}

#define LIST(symbol, kind, type)                                                                   \
    nvmlReturn_t NVM(symbol)(nvmlDevice_t device, unsigned int *infoCount, type *infos) {          \
        return list_write(device, kind, infoCount, infos, sizeof(type));                           \
    }

LIST(nvmlDeviceGetComputeRunningProcesses, LIST_COMPUTE, nvmlProcessInfo_v1_t)
LIST(nvmlDeviceGetComputeRunningProcesses_v2, LIST_COMPUTE, nvmlProcessInfo_v2_t)
LIST(nvmlDeviceGetComputeRunningProcesses_v3, LIST_COMPUTE, nvmlProcessInfo_t)
LIST(nvmlDeviceGetGraphicsRunningProcesses, LIST_GRAPHICS, nvmlProcessInfo_v1_t)
LIST(nvmlDeviceGetGraphicsRunningProcesses_v2, LIST_GRAPHICS, nvmlProcessInfo_v2_t)
LIST(nvmlDeviceGetGraphicsRunningProcesses_v3, LIST_GRAPHICS, nvmlProcessInfo_t)
LIST(nvmlDeviceGetMPSComputeRunningProcesses, LIST_MPS, nvmlProcessInfo_v1_t)
LIST(nvmlDeviceGetMPSComputeRunningProcesses_v2, LIST_MPS, nvmlProcessInfo_v2_t)
LIST(nvmlDeviceGetMPSComputeRunningProcesses_v3, LIST_MPS, nvmlProcessInfo_t)

nvmlReturn_t NVM(nvmlDeviceGetRunningProcessDetailList)(nvmlDevice_t device,
                                                        nvmlProcessDetailList_t *plist) {
    entry_t *vector = NULL;
    unsigned int room;
    size_t found = 0;
    nvmlReturn_t result = NVML_SUCCESS;
    NVM_ANY_DEVICE(facts, device);

    NVM_REQUIRE(plist);
    if (plist->version != NVML_STRUCT_VERSION(ProcessDetailList, 1))
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    if (plist->mode > LIST_MPS)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (plist->mode == LIST_COMPUTE)
        result = entries_read(facts->index, &vector, &found);
    room = plist->numProcArrayEntries;
    if (result == NVML_SUCCESS)
        plist->numProcArrayEntries = (unsigned int)found;
    if (result == NVML_SUCCESS && found > room)
        result = NVML_ERROR_INSUFFICIENT_SIZE;
    else if (result == NVML_SUCCESS && found > 0 && plist->procArray == NULL)
        result = NVML_ERROR_INVALID_ARGUMENT;
    for (size_t i = 0; result == NVML_SUCCESS && i < found; i++) {
        plist->procArray[i] = (nvmlProcessDetail_v1_t){
            .pid = (unsigned int)vector[i].pid,
            .usedGpuMemory = vector[i].bytes,
            .gpuInstanceId = vector[i].gpu_instance,
            .computeInstanceId = vector[i].compute_instance,
        };
    }
    free(vector);
    return result;
}

/* --- utilisation ------------------------------------------------------------------------------------ */

/* The newest period after SINCE_US in which the process was busy. */
static bool last_busy(int device, int pid, unsigned long long since_us,
                      divvy_nvml_period_t *ret_period) {
    divvy_nvml_period_t periods[DIVVY_NVML_PERIODS_MAX];
    size_t count;

    if (divvy_nvml_periods(device, pid, since_us, periods, &count) != 0)
        return false; /* it has ended meanwhile */
    while (count-- > 0) {
        if (periods[count].busy_permille > 0) {
            *ret_period = periods[count];
            return true;
        }
    }
    return false;
}

typedef void use_write_fn(void *samples, size_t index, int pid, const divvy_nvml_period_t *period);

/* One sample for each process that was busy in a period newer than asked. Without a buffer, or with one too small,
 * the answer is how many entries are enough. */
static nvmlReturn_t use_read(nvmlDevice_t device, void *samples, unsigned int *count,
                             unsigned long long since_us, use_write_fn *write) {
    divvy_simgpu_process_t *vector;
    divvy_nvml_period_t period;
    size_t processes, found = 0;
    NVM_DEVICE(facts, device);

    NVM_REQUIRE(count);
    NVM_UNDIVIDED(facts);
    NVM_TRY(processes_read(facts->index, &vector, &processes));
    if (samples == NULL || *count < processes) {
        *count = processes > 0 ? (unsigned int)processes : 1;
        free(vector);
        return NVML_ERROR_INSUFFICIENT_SIZE;
    }
    for (size_t i = 0; i < processes; i++) {
        if (last_busy(facts->index, vector[i].pid, since_us, &period))
            write(samples, found++, vector[i].pid, &period);
    }
    free(vector);
    if (found == 0)
        return NVML_ERROR_NOT_FOUND;
    *count = (unsigned int)found;
    return NVML_SUCCESS;
}

static void use_write(void *samples, size_t index, int pid, const divvy_nvml_period_t *period) {
    ((nvmlProcessUtilizationSample_t *)samples)[index] = (nvmlProcessUtilizationSample_t){
        .pid = (unsigned int)pid,
        .timeStamp = period->end_us,
        .smUtil = (period->busy_permille + 5) / 10,
    };
}

nvmlReturn_t NVM(nvmlDeviceGetProcessUtilization)(nvmlDevice_t device,
                                                  nvmlProcessUtilizationSample_t *utilization,
                                                  unsigned int *processSamplesCount,
                                                  unsigned long long lastSeenTimeStamp) {
    return use_read(device, utilization, processSamplesCount, lastSeenTimeStamp, use_write);
}

static void use_write_v1(void *samples, size_t index, int pid, const divvy_nvml_period_t *period) {
    ((nvmlProcessUtilizationInfo_v1_t *)samples)[index] = (nvmlProcessUtilizationInfo_v1_t){
        .timeStamp = period->end_us,
        .pid = (unsigned int)pid,
        .smUtil = (period->busy_permille + 5) / 10,
    };
}

nvmlReturn_t NVM(nvmlDeviceGetProcessesUtilizationInfo)(
    nvmlDevice_t device, nvmlProcessesUtilizationInfo_t *procesesUtilInfo) {
    NVM_REQUIRE(procesesUtilInfo);
    if (procesesUtilInfo->version != NVML_STRUCT_VERSION(ProcessesUtilizationInfo, 1))
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    return use_read(device, procesesUtilInfo->procUtilArray, &procesesUtilInfo->processSamplesCount,
                    procesesUtilInfo->lastSeenTimeStamp, use_write_v1);
}

/* --- accounting: off, so nothing was recorded ---------------------------------------------------------- */

nvmlReturn_t NVM(nvmlDeviceGetAccountingPids)(nvmlDevice_t device, unsigned int *count,
                                              unsigned int *pids) {
    NVM_DEVICE(facts, device);
    NVM_REQUIRE(count);
    (void)pids;
    *count = 0;
    return NVML_SUCCESS;
}

nvmlReturn_t NVM(nvmlDeviceGetAccountingStats)(nvmlDevice_t device, unsigned int pid,
                                               nvmlAccountingStats_t *stats) {
    NVM_DEVICE(facts, device);
    NVM_REQUIRE(stats);
    (void)pid;
    return NVML_ERROR_NOT_FOUND;
}
