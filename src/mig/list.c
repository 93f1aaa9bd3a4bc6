/* Discovery: all GPUs and their instances, whatever fails among them. */
#include "mig/list.h"

#include "core/parse.h"
#include "mig/apart.h"
#include "mig/error.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB        (UINT64_C(1024) * 1024)
#define GPUS_MAX   256u /* more is a broken answer */
#define SLOTS_MAX  64u
#define ROOM_FIRST 16u

/* --- reading ------------------------------------------------------------------------------------------------ */

static void fault_add(struct divvy_mig *mig, struct divvy_mig_list *list, nvmlReturn_t result, const char *what,
                      uint32_t gpu_index, uint32_t slot) {
    if (list->faults++ > 0)
        return;
    if (slot == DIVVY_MIG_UNKNOWN)
        (void)snprintf(list->first_fault, sizeof list->first_fault, "GPU %u: %s: %s", gpu_index, what,
                       mig->nvmlErrorString(result));
    else
        (void)snprintf(list->first_fault, sizeof list->first_fault, "GPU %u, MIG slot %u: %s: %s", gpu_index, slot, what,
                       mig->nvmlErrorString(result));
}

/* A reading that a driver may not have is nothing to talk about. */
static bool answered(struct divvy_mig *mig, struct divvy_mig_list *list, nvmlReturn_t result, const char *what,
                     const struct divvy_mig_device *device) {
    if (result == NVML_SUCCESS)
        return true;
    if (result != NVML_ERROR_NOT_SUPPORTED && result != NVML_ERROR_FUNCTION_NOT_FOUND)
        fault_add(mig, list, result, what, device->gpu_index, device->mig_index);
    return false;
}

static int device_add(struct divvy_mig_list *list, const struct divvy_mig_device *device) {
    if (list->count == list->room) {
        uint32_t room = list->room ? list->room * 2 : ROOM_FIRST;
        struct divvy_mig_device *devices = reallocarray(list->devices, room, sizeof *devices);

        if (!devices)
            return -ENOMEM;
        list->devices = devices;
        list->room = room;
    }
    list->devices[list->count++] = *device;
    return 0;
}

/* What whole GPUs and instances have alike; the device's UUID is known. */
static void readings_take(struct divvy_mig *mig, nvmlDevice_t handle, uint32_t flags, struct divvy_mig_list *list,
                          struct divvy_mig_device *device) {
    nvmlUtilization_t utilisation = {0};
    nvmlMemory_t memory = {0};

    if (answered(mig, list, DIVVY_MIG_ASK(mig, nvmlDeviceGetName, handle, device->name, sizeof device->name), "name",
                 device))
        device->name[sizeof device->name - 1] = '\0';
    else
        device->name[0] = '\0';
    device->memory_used_bytes = DIVVY_MIG_UNKNOWN_BYTES;
    if (answered(mig, list, DIVVY_MIG_ASK(mig, nvmlDeviceGetMemoryInfo, handle, &memory), "memory", device)) {
        device->memory_bytes = memory.total;
        device->memory_used_bytes = memory.used;
    }
    device->utilisation_percent = DIVVY_MIG_UNKNOWN;
    if ((flags & DIVVY_MIG_LIST_USAGE) &&
        DIVVY_MIG_ASK(mig, nvmlDeviceGetUtilizationRates, handle, &utilisation) == NVML_SUCCESS)
        device->utilisation_percent = utilisation.gpu;
}

static bool uuid_take(struct divvy_mig *mig, nvmlDevice_t handle, struct divvy_mig_list *list,
                      struct divvy_mig_device *device) {
    nvmlReturn_t result = mig->nvmlDeviceGetUUID(handle, device->uuid, sizeof device->uuid);

    device->uuid[sizeof device->uuid - 1] = '\0';
    if (result == NVML_SUCCESS && device->uuid[0])
        return true;
    fault_add(mig, list, result, "UUID", device->gpu_index, device->mig_index);
    return false;
}

int divvy_mig_list_instance_read(struct divvy_mig *mig, nvmlDevice_t gpu, const struct divvy_mig_device *parent,
                                 uint32_t slot, uint32_t flags, struct divvy_mig_list *list,
                                 struct divvy_mig_device *ret_device) {
    struct divvy_mig_device device = {.gpu_index = parent->gpu_index,
                                      .is_mig = 1,
                                      .mig_index = slot,
                                      .mig_mode = 1,
                                      .mig_mode_pending = parent->mig_mode_pending};
    nvmlDeviceAttributes_t attributes = {0};
    nvmlDevice_t handle;
    nvmlReturn_t result = DIVVY_MIG_ASK(mig, nvmlDeviceGetMigDeviceHandleByIndex, gpu, slot, &handle);

    if (result == NVML_ERROR_NOT_FOUND)
        return -ENOENT;
    if (result != NVML_SUCCESS) {
        fault_add(mig, list, result, "handle", device.gpu_index, slot);
        return -EIO;
    }
    if (!uuid_take(mig, handle, list, &device))
        return -EIO;
    memcpy(device.parent_uuid, parent->uuid, sizeof device.parent_uuid);
    readings_take(mig, handle, flags, list, &device);
    if (answered(mig, list, DIVVY_MIG_ASK(mig, nvmlDeviceGetAttributes_v2, handle, &attributes), "attributes", &device)) {
        device.gpu_slices = attributes.gpuInstanceSliceCount;
        device.compute_slices = attributes.computeInstanceSliceCount;
        if (attributes.memorySizeMB > 0)
            device.memory_bytes = attributes.memorySizeMB * MIB;
    }
    if (!answered(mig, list, DIVVY_MIG_ASK(mig, nvmlDeviceGetGpuInstanceId, handle, &device.gpu_instance), "GPU instance",
                  &device))
        device.gpu_instance = DIVVY_MIG_UNKNOWN;
    if (!answered(mig, list, DIVVY_MIG_ASK(mig, nvmlDeviceGetComputeInstanceId, handle, &device.compute_instance),
                  "compute instance", &device))
        device.compute_instance = DIVVY_MIG_UNKNOWN;
    divvy_mig_profile_guess(device.name, device.memory_bytes, device.profile);
    *ret_device = device;
    return 0;
}

static int instances_read(struct divvy_mig *mig, nvmlDevice_t gpu, const struct divvy_mig_device *parent, uint32_t flags,
                          struct divvy_mig_list *list) {
    unsigned int slots = 0;
    int status = 0;

    if (!answered(mig, list, DIVVY_MIG_ASK(mig, nvmlDeviceGetMaxMigDeviceCount, gpu, &slots), "number of MIG slots", parent))
        return 0;
    for (uint32_t slot = 0; slot < slots && slot < SLOTS_MAX && status == 0; slot++) {
        struct divvy_mig_device device;

        if (divvy_mig_list_instance_read(mig, gpu, parent, slot, flags, list, &device) == 0)
            status = device_add(list, &device);
    }
    return status;
}

static int gpu_read(struct divvy_mig *mig, uint32_t index, uint32_t flags, struct divvy_mig_list *list) {
    struct divvy_mig_device device = {.gpu_index = index,
                                      .mig_index = DIVVY_MIG_UNKNOWN,
                                      .gpu_instance = DIVVY_MIG_UNKNOWN,
                                      .compute_instance = DIVVY_MIG_UNKNOWN};
    nvmlDevice_t gpu;
    nvmlReturn_t result = mig->nvmlDeviceGetHandleByIndex_v2(index, &gpu);
    unsigned int current = 0, pending = 0;
    int status = 0;

    if (result != NVML_SUCCESS) {
        fault_add(mig, list, result, "handle", index, DIVVY_MIG_UNKNOWN);
        return 0;
    }
    if (answered(mig, list, DIVVY_MIG_ASK(mig, nvmlDeviceGetMigMode, gpu, &current, &pending), "MIG mode", &device)) {
        device.mig_mode = current == NVML_DEVICE_MIG_ENABLE;
        device.mig_mode_pending = pending == NVML_DEVICE_MIG_ENABLE;
    }
    if (uuid_take(mig, gpu, list, &device)) {
        memcpy(device.parent_uuid, device.uuid, sizeof device.parent_uuid);
        readings_take(mig, gpu, flags, list, &device);
        divvy_mig_profile_guess(device.name, device.memory_bytes, device.profile);
        status = device_add(list, &device);
    }
    /* Instances can be used also where their GPU does not say what it is called. */
    if (status == 0 && device.mig_mode)
        status = instances_read(mig, gpu, &device, flags, list);
    return status;
}

int divvy_mig_list(struct divvy_mig *mig, uint32_t flags, struct divvy_mig_list **ret_list,
                   struct divvy_mig_error *error) {
    struct divvy_mig_list *list;
    unsigned int count = 0;
    nvmlReturn_t result;
    int status = 0;

    if (mig->is_apart)
        return divvy_mig_apart_list(mig, flags, ret_list, error);
    list = calloc(1, sizeof *list);
    if (!list)
        return divvy_mig_error_set_errno(error, -ENOMEM, "the list of devices");
    result = mig->nvmlDeviceGetCount_v2(&count);
    if (result != NVML_SUCCESS) {
        divvy_mig_list_free(list);
        return divvy_mig_error_set(error, -EIO, "NVML does not tell the number of GPUs: %s", mig->nvmlErrorString(result));
    }
    for (uint32_t index = 0; index < count && index < GPUS_MAX && status == 0; index++)
        status = gpu_read(mig, index, flags, list);
    if (status < 0) {
        divvy_mig_list_free(list);
        return divvy_mig_error_set_errno(error, status, "the list of devices");
    }
    *ret_list = list;
    return 0;
}

int divvy_mig_list_all(const char *library, uint32_t flags, struct divvy_mig_list **ret_list,
                       struct divvy_mig_error *error) {
    struct divvy_mig *mig;
    int status = divvy_mig_open(library, &mig, error);

    if (status < 0)
        return status;
    status = divvy_mig_list(mig, flags, ret_list, error);
    divvy_mig_close(mig);
    return status;
}

void divvy_mig_list_free(struct divvy_mig_list *list) {
    if (!list)
        return;
    free(list->devices);
    free(list);
}

/* --- looking ------------------------------------------------------------------------------------------------ */

uint32_t divvy_mig_list_count(const struct divvy_mig_list *list) {
    return list->count;
}

const struct divvy_mig_device *divvy_mig_list_at(const struct divvy_mig_list *list, uint32_t place) {
    return place < list->count ? &list->devices[place] : NULL;
}

uint32_t divvy_mig_list_faults(const struct divvy_mig_list *list, const char **ret_first) {
    if (ret_first)
        *ret_first = list->first_fault;
    return list->faults;
}

int divvy_mig_list_has_mig(const struct divvy_mig_list *list) {
    for (uint32_t i = 0; i < list->count; i++)
        if (list->devices[i].mig_mode)
            return 1;
    return 0;
}

void divvy_mig_list_profiles(const struct divvy_mig_list *list, char *text, uint32_t size) {
    size_t length = 0;

    (void)snprintf(text, size, "none");
    for (uint32_t i = 0; i < list->count; i++) {
        bool is_new = list->devices[i].is_mig;

        for (uint32_t k = 0; k < i && is_new; k++)
            is_new = !list->devices[k].is_mig || strcmp(list->devices[k].profile, list->devices[i].profile) != 0;
        if (!is_new || length + DIVVY_MIG_PROFILE_BYTES + 2 > size)
            continue;
        length += (size_t)snprintf(text + length, size - length, "%s%s", length ? ", " : "", list->devices[i].profile);
    }
}

int divvy_mig_profile_read(struct divvy_mig *mig, const char *text, struct divvy_mig_profile *ret_profile,
                           struct divvy_mig_error *error) {
    struct divvy_mig_list *list;
    char profiles[256];
    size_t length;
    int status = divvy_mig_profile_parse(text, ret_profile, error);

    if (status == 0 || !error || !mig || divvy_mig_list(mig, 0, &list, NULL) < 0)
        return status;
    divvy_mig_list_profiles(list, profiles, sizeof profiles);
    divvy_mig_list_free(list);
    length = strlen(error->text);
    (void)snprintf(error->text + length, sizeof error->text - length, "; profiles here: %s", profiles);
    return status;
}

/* --- what CUDA_VISIBLE_DEVICES means -------------------------------------------------------------------------- */

/* What CUDA shows of a GPU: itself, or its first instance where it is divided. */
static const struct divvy_mig_device *gpu_shown(const struct divvy_mig_list *list, uint32_t place) {
    const struct divvy_mig_device *gpu = &list->devices[place];

    if (!gpu->mig_mode)
        return gpu;
    return place + 1 < list->count && list->devices[place + 1].is_mig ? gpu + 1 : NULL;
}

static const struct divvy_mig_device *by_index(const struct divvy_mig_list *list, uint64_t index) {
    for (uint32_t i = 0; i < list->count; i++) {
        const struct divvy_mig_device *shown = list->devices[i].is_mig ? NULL : gpu_shown(list, i);

        if (shown && index-- == 0)
            return shown;
    }
    return NULL;
}

static bool begins_with(const char *text, const char *start, size_t length) {
    for (size_t i = 0; i < length; i++)
        if (text[i] == '\0' || divvy_core_ascii_lower(text[i]) != divvy_core_ascii_lower(start[i]))
            return false;
    return true;
}

/* "MIG-GPU-uuid/GI/CI" is also understood where NVML writes instances in the newer way. */
static bool is_legacy_name_of(const struct divvy_mig_device *device, const char *name, size_t length) {
    char legacy[DIVVY_MIG_UUID_BYTES + 32];

    (void)snprintf(legacy, sizeof legacy, "MIG-%s/%u/%u", device->parent_uuid, device->gpu_instance,
                   device->compute_instance);
    return device->is_mig && strlen(legacy) == length && begins_with(legacy, name, length);
}

static const struct divvy_mig_device *by_name(const struct divvy_mig_list *list, const char *name, size_t length) {
    const struct divvy_mig_device *found = NULL;

    for (uint32_t i = 0; i < list->count; i++) {
        const struct divvy_mig_device *device = &list->devices[i];

        if (!begins_with(device->uuid, name, length) && !is_legacy_name_of(device, name, length))
            continue;
        if (found)
            return NULL;
        found = device->is_mig ? device : gpu_shown(list, i);
    }
    return found;
}

const struct divvy_mig_device *divvy_mig_list_resolve(const struct divvy_mig_list *list, const char *visible) {
    size_t length;
    uint64_t index;

    visible += strspn(visible, " \t");
    length = strcspn(visible, ",");
    while (length > 0 && (visible[length - 1] == ' ' || visible[length - 1] == '\t'))
        length--;
    if (divvy_core_u64_parse(visible, length, &index, NULL) == 0)
        return by_index(list, index);
    if (!begins_with(visible, "GPU-", 4) && !begins_with(visible, "MIG-", 4))
        return NULL;
    return by_name(list, visible, length);
}
