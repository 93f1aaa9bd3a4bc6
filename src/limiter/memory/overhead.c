/*
 * Overhead by reconciliation with NVML, off every allocation path.
 */
#include "limiter/memory/overhead.h"
#include "core/parse.h"
#include "limiter/hook/nvml.h"
#include "limiter/memory/account.h"

#include <stdlib.h>
#include <string.h>

#define PROCESSES_MAX 128

static bool is_charged(void) {
    const char *policy = getenv("DIVVY_OVERHEAD");

    return policy && divvy_core_word_equal(policy, strlen(policy), "charge");
}

static struct divvy_page_cell *own_cell(int device) {
    return &divvy_process.page->slots[divvy_process.slot].cells[device];
}

static void set_overhead(int device, uint64_t bytes) {
    struct divvy_page_cell *cell = own_cell(device);
    uint64_t before = __atomic_exchange_n(&cell->overhead_bytes, bytes, __ATOMIC_ACQ_REL);

    if (!is_charged())
        return;
    if (bytes > before)
        divvy_memory_charge(device, bytes - before);
    else
        divvy_memory_credit(device, before - bytes);
}

void divvy_overhead_seen(int device, uint64_t process_bytes) {
    uint64_t ledger, charged;

    if (device < 0 || divvy_memory_passes())
        return;
    charged =
        is_charged() ? __atomic_load_n(&own_cell(device)->overhead_bytes, __ATOMIC_ACQUIRE) : 0;
    ledger = divvy_page_slot_bytes(divvy_process.page, divvy_process.slot, (unsigned)device);
    ledger = ledger > charged ? ledger - charged : 0;
    set_overhead(device, process_bytes > ledger ? process_bytes - ledger : 0);
}

/* NVML's bytes of this process on a device, 0 when it does not list it; false: NVML cannot tell. */
static bool process_bytes(const divvy_core_uuid_t *uuid, uint64_t *ret_bytes) {
    nvmlProcessInfo_t processes[PROCESSES_MAX];
    unsigned count = PROCESSES_MAX;
    nvmlDevice_t device;

    if (!divvy_nvml.nvmlDeviceGetComputeRunningProcesses_v3 || !divvy_nvml_find(uuid, &device) ||
        divvy_nvml.nvmlDeviceGetComputeRunningProcesses_v3(device, &count, processes) !=
            NVML_SUCCESS)
        return false;
    for (unsigned i = 0; i < count && i < PROCESSES_MAX; i++) {
        if (processes[i].pid != divvy_process.self.pid || processes[i].usedGpuMemory == UINT64_MAX)
            continue;
        *ret_bytes = processes[i].usedGpuMemory;
        return true;
    }
    *ret_bytes = 0;
    return true;
}

void divvy_overhead_context_made(CUdevice ordinal) {
    int device = divvy_process_page_device(ordinal);
    divvy_core_uuid_t uuid;
    uint64_t bytes = 0;

    if (device < 0 || !is_charged() || divvy_memory_passes() || !divvy_nvml_resolve(true) ||
        !divvy_nvml.nvmlInit_v2 || divvy_nvml.nvmlInit_v2() != NVML_SUCCESS)
        return;
    memcpy(uuid.bytes, &divvy_process.page->devices[device].uuid, sizeof uuid.bytes);
    if (process_bytes(&uuid, &bytes))
        divvy_overhead_seen(device, bytes);
    (void)divvy_nvml.nvmlShutdown();
}

void divvy_overhead_context_gone(void) {
    if (!is_charged() || divvy_memory_passes())
        return;
    for (uint32_t ordinal = 0; ordinal < divvy_process.device_count; ordinal++) {
        int device = divvy_process_page_device((CUdevice)ordinal);

        if (device >= 0 && __atomic_load_n(&own_cell(device)->overhead_bytes, __ATOMIC_ACQUIRE) > 0)
            divvy_overhead_context_made((CUdevice)ordinal);
    }
}
