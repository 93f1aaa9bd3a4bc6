/* NVML: loading it, and finding devices in it. See nvidia.h. */
#include "accel/nvidia/nvidia.h"

#include <dlfcn.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>

struct nvidia_functions divvy_nvidia_nvml;

static void *library; /* stays loaded: others in this process may use it too */

static bool functions_load(const char **ret_missing) {
    *ret_missing = NULL;
#define LOAD(symbol)                                                                               \
    divvy_nvidia_nvml.symbol = (__typeof__(divvy_nvidia_nvml.symbol))dlsym(library, #symbol);
#define CHECK(symbol)                                                                              \
    if (!divvy_nvidia_nvml.symbol)                                                                 \
        *ret_missing = #symbol;
    NVIDIA_NEEDED(LOAD)
    NVIDIA_WANTED(LOAD)
    NVIDIA_NEEDED(CHECK)
#undef LOAD
#undef CHECK
    return *ret_missing == NULL;
}

/* One after another; what the first said is told when none loads. */
static AccelResult library_load(void) {
    const char *files[] = {secure_getenv("TF_NVML_LIB_PATH"), "libnvidia-ml.so.1", "libnvidia-ml.so"};
    const char *missing;

    for (size_t i = 0; !library && i < sizeof files / sizeof files[0]; i++) {
        if (!files[i] || !files[i][0])
            continue;
        library = dlopen(files[i], RTLD_NOW | RTLD_LOCAL);
        if (!library)
            divvy_provider_log(i == 2 ? "DEBUG" : "WARN", "%s", dlerror());
    }
    if (!library)
        return ACCEL_ERROR_NOT_FOUND;
    if (functions_load(&missing))
        return ACCEL_SUCCESS;
    divvy_provider_log("ERROR", "libnvidia-ml.so.1 lacks %s", missing);
    (void)dlclose(library);
    library = NULL;
    return ACCEL_ERROR_OPERATION_FAILED;
}

AccelResult divvy_nvidia_start(void) {
    AccelResult result = library ? ACCEL_SUCCESS : library_load();
    nvmlReturn_t began;

    if (result != ACCEL_SUCCESS)
        return result;
    began = divvy_nvidia_nvml.nvmlInit_v2();
    if (began == NVML_SUCCESS)
        return ACCEL_SUCCESS;
    (void)divvy_nvidia_failed("nvmlInit_v2", NULL, began);
    return began == NVML_ERROR_DRIVER_NOT_LOADED || began == NVML_ERROR_LIBRARY_NOT_FOUND ? ACCEL_ERROR_NOT_FOUND
                                                                                         : ACCEL_ERROR_OPERATION_FAILED;
}

void divvy_nvidia_stop(void) {
    (void)divvy_nvidia_nvml.nvmlShutdown();
}

const char *divvy_nvidia_library(void) {
    struct link_map *map;

    return library && dlinfo(library, RTLD_DI_LINKMAP, &map) == 0 ? map->l_name : NULL;
}

AccelResult divvy_nvidia_failed(const char *call, const char *device, nvmlReturn_t result) {
    divvy_provider_log("ERROR", "%s%s%s: %s", call, device ? " of " : "", device ? device : "",
                       divvy_nvidia_nvml.nvmlErrorString(result));
    switch (result) {
    case NVML_ERROR_NOT_SUPPORTED:
    case NVML_ERROR_FUNCTION_NOT_FOUND:
        return ACCEL_ERROR_NOT_SUPPORTED;
    case NVML_ERROR_NOT_FOUND:
        return ACCEL_ERROR_NOT_FOUND;
    case NVML_ERROR_INSUFFICIENT_RESOURCES:
        return ACCEL_ERROR_RESOURCE_EXHAUSTED;
    default:
        return ACCEL_ERROR_OPERATION_FAILED;
    }
}

AccelResult divvy_nvidia_count(size_t *ret_count) {
    unsigned int count = 0;
    nvmlReturn_t result = divvy_nvidia_nvml.nvmlDeviceGetCount_v2(&count);

    if (result != NVML_SUCCESS)
        return divvy_nvidia_failed("nvmlDeviceGetCount_v2", NULL, result);
    *ret_count = count;
    return ACCEL_SUCCESS;
}

static nvmlReturn_t uuid_read(nvmlDevice_t handle, char ret_uuid[NVIDIA_UUID_BYTES]) {
    nvmlReturn_t result = divvy_nvidia_nvml.nvmlDeviceGetUUID(handle, ret_uuid, NVIDIA_UUID_BYTES);

    ret_uuid[NVIDIA_UUID_BYTES - 1] = '\0';
    return result;
}

AccelResult divvy_nvidia_gpu(size_t index, struct nvidia_device *ret_device) {
    nvmlReturn_t result = divvy_nvidia_nvml.nvmlDeviceGetHandleByIndex_v2((unsigned int)index, &ret_device->handle);

    if (result == NVML_SUCCESS)
        result = uuid_read(ret_device->handle, ret_device->uuid);
    if (result != NVML_SUCCESS) {
        divvy_provider_log("WARN", "device %zu is left out: %s", index, divvy_nvidia_nvml.nvmlErrorString(result));
        return result == NVML_ERROR_INVALID_ARGUMENT ? ACCEL_ERROR_NOT_FOUND : ACCEL_ERROR_OPERATION_FAILED;
    }
    ret_device->gpu = ret_device->handle;
    ret_device->index = (unsigned int)index;
    return ACCEL_SUCCESS;
}

bool divvy_nvidia_instances(const struct nvidia_device *gpu, bool (*visit)(const struct nvidia_device *instance, void *data),
                            void *data) {
    unsigned int mode = 0, pending = 0, slots = 0;

    if (NVIDIA_ASK(nvmlDeviceGetMigMode, gpu->handle, &mode, &pending) != NVML_SUCCESS || mode != NVML_DEVICE_MIG_ENABLE ||
        NVIDIA_ASK(nvmlDeviceGetMaxMigDeviceCount, gpu->handle, &slots) != NVML_SUCCESS)
        return false;
    for (unsigned int i = 0; i < slots; i++) {
        struct nvidia_device instance = {.gpu = gpu->handle, .index = gpu->index};

        /* an empty slot is no end of the list */
        if (NVIDIA_ASK(nvmlDeviceGetMigDeviceHandleByIndex, gpu->handle, i, &instance.handle) == NVML_SUCCESS &&
            uuid_read(instance.handle, instance.uuid) == NVML_SUCCESS && visit(&instance, data))
            return true;
    }
    return false;
}

struct wanted {
    const char *uuid;
    struct nvidia_device *found;
};

static bool is_wanted(const struct nvidia_device *device, void *data) {
    const struct wanted *wanted = data;

    if (!divvy_provider_same_device(wanted->uuid, device->uuid))
        return false;
    *wanted->found = *device;
    return true;
}

/* All GPUs first: an instance is the rarer question. */
AccelResult divvy_nvidia_find(const char *uuid, struct nvidia_device *ret_device) {
    struct nvidia_device gpu;
    struct wanted wanted = {.uuid = uuid, .found = ret_device};
    size_t count = 0;
    AccelResult result = divvy_nvidia_count(&count);

    if (result != ACCEL_SUCCESS)
        return result;
    for (size_t i = 0; i < count; i++)
        if (divvy_nvidia_gpu(i, &gpu) == ACCEL_SUCCESS && is_wanted(&gpu, &wanted))
            return ACCEL_SUCCESS;
    for (size_t i = 0; i < count; i++)
        if (divvy_nvidia_gpu(i, &gpu) == ACCEL_SUCCESS && divvy_nvidia_instances(&gpu, is_wanted, &wanted))
            return ACCEL_SUCCESS;
    return ACCEL_ERROR_NOT_FOUND;
}

/* NVML counts cores; how many a multiprocessor has is a matter of the generation. */
uint64_t divvy_nvidia_units(nvmlDevice_t gpu) {
    int major = 0, minor = 0;
    unsigned int cores = 0, each = 128;

    if (NVIDIA_ASK(nvmlDeviceGetNumGpuCores, gpu, &cores) != NVML_SUCCESS ||
        NVIDIA_ASK(nvmlDeviceGetCudaComputeCapability, gpu, &major, &minor) != NVML_SUCCESS)
        return 0;
    if (major == 7 || (major == 8 && minor == 0) || (major == 6 && minor == 0))
        each = 64; /* Volta, Turing, A100 and A30, P100 */
    else if (major == 3)
        each = 192;
    return cores / each;
}
