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

static uint64_t total_of(nvmlDevice_t device) {
    nvmlMemory_t memory = {0};

    return divvy_nvml.nvmlDeviceGetMemoryInfo &&
                   divvy_nvml.nvmlDeviceGetMemoryInfo(device, &memory) == NVML_SUCCESS
               ? memory.total
               : 0;
}

bool divvy_nvml_find(const divvy_core_uuid_t *uuid, nvmlDevice_t *ret_device) {
    char text[DIVVY_CORE_UUID_TEXT_BYTES];

    for (int is_mig = 0; divvy_nvml.nvmlDeviceGetHandleByUUID && is_mig < 2; is_mig++) {
        divvy_core_uuid_format_any(uuid, is_mig, text);
        if (divvy_nvml.nvmlDeviceGetHandleByUUID(text, ret_device) == NVML_SUCCESS)
            return true;
    }
    return false;
}

/* The MIG devices of one GPU; the number entered. Their indices have holes. */
static size_t instances_enter(const struct divvy_limit_device *gpu,
                              struct divvy_limit_device *ret_devices, size_t capacity) {
    nvmlDevice_t parent, device;
    unsigned most = 0;
    size_t entered = 0;

    if (!divvy_nvml.nvmlDeviceGetMaxMigDeviceCount ||
        !divvy_nvml.nvmlDeviceGetMigDeviceHandleByIndex ||
        handle_at((unsigned)gpu->index, &parent) < 0 ||
        divvy_nvml.nvmlDeviceGetMaxMigDeviceCount(parent, &most) != NVML_SUCCESS)
        return 0;
    for (unsigned i = 0; i < most && entered < capacity; i++) {
        struct divvy_limit_device *entry = &ret_devices[entered];

        if (divvy_nvml.nvmlDeviceGetMigDeviceHandleByIndex(parent, i, &device) != NVML_SUCCESS ||
            !divvy_nvml_uuid(device, &entry->uuid))
            continue;
        entry->parent = gpu->uuid;
        entry->index = gpu->index;
        entry->pci = gpu->pci;
        entry->total_bytes = total_of(device);
        entered++;
    }
    return entered;
}

int divvy_nvml_devices(struct divvy_limit_device *ret_devices, size_t capacity) {
    size_t entered = 0;
    unsigned count;

    if (!divvy_nvml_resolve(true) || init() < 0)
        return -ENODEV;
    count = device_count();
    for (unsigned index = 0; index < count && entered < capacity; index++) {
        struct divvy_limit_device *entry = &ret_devices[entered];
        nvmlDevice_t device;

        if (handle_at(index, &device) < 0 || !divvy_nvml_uuid(device, &entry->uuid))
            continue;
        entry->index = (int32_t)index;
        entry->pci = pci_of(device);
        entry->total_bytes = total_of(device);
        entered++;
    }
    for (size_t i = 0, gpus = entered; i < gpus; i++)
        entered += instances_enter(&ret_devices[i], ret_devices + entered, capacity - entered);
    if (divvy_nvml.nvmlShutdown)
        (void)divvy_nvml.nvmlShutdown();
    return entered > 0 ? (int)entered : -ENODEV;
}
