/*
 * Finding libnvidia-ml and asking it for the machine's devices.
 */
#include "limiter/hook/nvml.h"
#include "limiter/hook/loader.h"
#include "limiter/hook/route.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct divvy_nvml divvy_nvml;
static uint32_t resolved;

static const char *const names[] = {
#define NAME(symbol, type, parameters, arguments) #symbol,
    DIVVY_CUDA_NVML_TABLE(NAME)
#undef NAME
};

static bool library(bool may_load, struct divvy_elf *ret_object) {
    const char *configured = getenv("TF_NVML_LIB_PATH");

    if (divvy_elf_named("libnvidia-ml.so", ret_object))
        return true;
    if (!may_load)
        return false;
    return (configured && *configured && divvy_loader_open(configured, ret_object)) ||
           divvy_loader_open("libnvidia-ml.so.1", ret_object) ||
           divvy_loader_open("libnvidia-ml.so", ret_object);
}

bool divvy_nvml_resolve(bool may_load) {
    struct divvy_elf object;
    void **slots = (void **)(void *)&divvy_nvml;

    if (__atomic_load_n(&resolved, __ATOMIC_ACQUIRE) == 1)
        return true;
    if (!library(may_load, &object))
        return false;
    (void)divvy_loader_pin(&object);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        __atomic_store_n(&slots[i], divvy_elf_symbol(&object, names[i]), __ATOMIC_RELAXED);
    divvy_route_learn_nvml(&object);
    __atomic_store_n(&resolved, 1, __ATOMIC_RELEASE);
    return true;
}

/* The 16 bytes of "GPU-8-4-4-4-12" or "MIG-8-4-4-4-12". */
bool divvy_nvml_uuid(nvmlDevice_t device, divvy_core_uuid_t *ret_uuid) {
    char text[NVML_DEVICE_UUID_V2_BUFFER_SIZE] = "";

    if (!divvy_nvml.nvmlDeviceGetUUID ||
        divvy_nvml.nvmlDeviceGetUUID(device, text, sizeof text) != NVML_SUCCESS)
        return false;
    text[sizeof text - 1] = '\0';
    if (strncmp(text, "MIG-", 4) == 0 && strncmp(text, "MIG-GPU-", 8) != 0)
        memcpy(text, "GPU-", 4);
    return divvy_core_uuid_parse(text, strlen(text), ret_uuid, NULL) == 0;
}

static int init(void) {
    if (divvy_nvml.nvmlInit_v2)
        return divvy_nvml.nvmlInit_v2() == NVML_SUCCESS ? 0 : -ENODEV;
    return divvy_nvml.nvmlInit && divvy_nvml.nvmlInit() == NVML_SUCCESS ? 0 : -ENODEV;
}

static int handle_at(unsigned index, nvmlDevice_t *ret_device) {
    if (divvy_nvml.nvmlDeviceGetHandleByIndex_v2)
        return divvy_nvml.nvmlDeviceGetHandleByIndex_v2(index, ret_device) == NVML_SUCCESS
                   ? 0
                   : -ENODEV;
    return divvy_nvml.nvmlDeviceGetHandleByIndex &&
                   divvy_nvml.nvmlDeviceGetHandleByIndex(index, ret_device) == NVML_SUCCESS
               ? 0
               : -ENODEV;
}

static unsigned device_count(void) {
    unsigned count = 0;
    nvmlReturn_t status = NVML_ERROR_FUNCTION_NOT_FOUND;

    if (divvy_nvml.nvmlDeviceGetCount_v2)
        status = divvy_nvml.nvmlDeviceGetCount_v2(&count);
    else if (divvy_nvml.nvmlDeviceGetCount)
        status = divvy_nvml.nvmlDeviceGetCount(&count);
    return status == NVML_SUCCESS ? count : 0;
}

static uint64_t pci_of(nvmlDevice_t device) {
    nvmlPciInfo_t info = {0};

    if (!divvy_nvml.nvmlDeviceGetPciInfo_v3 ||
        divvy_nvml.nvmlDeviceGetPciInfo_v3(device, &info) != NVML_SUCCESS)
        return 0;
    return (uint64_t)info.domain << 32 | (uint64_t)info.bus << 8 | info.device;
}

int divvy_nvml_devices(struct divvy_limit_device *ret_devices, size_t capacity) {
    size_t entered = 0;
    unsigned count;

    if (!divvy_nvml_resolve(true) || init() < 0)
        return -ENODEV;
    count = device_count();
    for (unsigned index = 0; index < count && entered < capacity; index++) {
        struct divvy_limit_device *entry = &ret_devices[entered];
        nvmlMemory_t memory = {0};
        nvmlDevice_t device;

        if (handle_at(index, &device) < 0 || !divvy_nvml_uuid(device, &entry->uuid))
            continue;
        entry->index = (int32_t)index;
        entry->pci = pci_of(device);
        if (divvy_nvml.nvmlDeviceGetMemoryInfo &&
            divvy_nvml.nvmlDeviceGetMemoryInfo(device, &memory) == NVML_SUCCESS)
            entry->total_bytes = memory.total;
        entered++;
    }
    if (divvy_nvml.nvmlShutdown)
        (void)divvy_nvml.nvmlShutdown();
    return entered > 0 ? (int)entered : -ENODEV;
}
