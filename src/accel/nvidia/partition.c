/* MIG instances as partitions: made whole or not at all, and only ours are destroyed. See nvidia.h. */
#include "accel/nvidia/nvidia.h"
#include "accel/nvidia/record.h"
#include "accel/nvidia/template.h"
#include "core/text.h"

#include <string.h>

#define COMPUTE_GONE UINT32_MAX /* of a partition that could not be removed whole */

/* A GPU instance profile of the driver's. */
struct profile {
    unsigned int id, slices;
    char name[NVML_DEVICE_NAME_V2_BUFFER_SIZE];
};

/* --- profiles --------------------------------------------------------------------------------------------------------- */

/* The newer call tells the name too. */
static bool profile_read(nvmlDevice_t gpu, unsigned int number, struct profile *ret_profile) {
    nvmlGpuInstanceProfileInfo_v2_t named = {.version = NVML_STRUCT_VERSION(GpuInstanceProfileInfo, 2)};
    nvmlGpuInstanceProfileInfo_t plain;

    memset(ret_profile, 0, sizeof *ret_profile);
    if (NVIDIA_ASK(nvmlDeviceGetGpuInstanceProfileInfoV, gpu, number, &named) == NVML_SUCCESS) {
        ret_profile->id = named.id;
        ret_profile->slices = named.sliceCount;
        named.name[sizeof named.name - 1] = '\0';
        divvy_provider_text(ret_profile->name, sizeof ret_profile->name, named.name);
        return true;
    }
    if (NVIDIA_ASK(nvmlDeviceGetGpuInstanceProfileInfo, gpu, number, &plain) != NVML_SUCCESS)
        return false;
    ret_profile->id = plain.id;
    ret_profile->slices = plain.sliceCount;
    return true;
}

static AccelResult profile_find(const struct nvidia_device *gpu, const char *template_id, struct profile *ret_profile) {
    char model[NVML_DEVICE_NAME_V2_BUFFER_SIZE] = "", known[160];
    divvy_core_text_t names;

    if (NVIDIA_ASK(nvmlDeviceGetName, gpu->handle, model, sizeof model) != NVML_SUCCESS)
        model[0] = '\0';
    divvy_core_text_init(&names, known, sizeof known);
    for (unsigned int i = 0; i < NVML_GPU_INSTANCE_PROFILE_COUNT; i++) {
        if (!profile_read(gpu->handle, i, ret_profile))
            continue;
        if (divvy_nvidia_template_means(template_id, ret_profile->id, ret_profile->name, model))
            return ACCEL_SUCCESS;
        divvy_core_text_format(&names, "%s%s (%u)", names.length ? ", " : "", ret_profile->name, ret_profile->id);
    }
    divvy_provider_log("ERROR", "%s has no MIG profile '%s'; it has %s", gpu->uuid, template_id,
                       names.length ? names.bytes : "none");
    return ACCEL_ERROR_NOT_FOUND;
}

/* --- making ------------------------------------------------------------------------------------------------------------- */

/* The compute instance that takes all of a GPU instance. */
static nvmlReturn_t compute_make(nvmlGpuInstance_t instance, unsigned int slices, nvmlComputeInstance_t *ret_compute) {
    nvmlComputeInstanceProfileInfo_t info;

    for (unsigned int i = 0; i < NVML_COMPUTE_INSTANCE_PROFILE_COUNT; i++)
        if (NVIDIA_ASK(nvmlGpuInstanceGetComputeInstanceProfileInfo, instance, i, NVML_COMPUTE_INSTANCE_ENGINE_PROFILE_SHARED,
                       &info) == NVML_SUCCESS &&
            info.sliceCount == slices)
            return NVIDIA_ASK(nvmlGpuInstanceCreateComputeInstance, instance, info.id, ret_compute);
    return NVML_ERROR_NOT_FOUND;
}

struct numbers {
    unsigned int gpu_instance, compute_instance;
    char *uuid;
    size_t uuid_bytes;
};

static bool has_numbers(const struct nvidia_device *instance, void *data) {
    struct numbers *numbers = data;
    unsigned int gpu, compute;

    if (NVIDIA_ASK(nvmlDeviceGetGpuInstanceId, instance->handle, &gpu) != NVML_SUCCESS || gpu != numbers->gpu_instance ||
        NVIDIA_ASK(nvmlDeviceGetComputeInstanceId, instance->handle, &compute) != NVML_SUCCESS ||
        compute != numbers->compute_instance)
        return false;
    divvy_provider_text(numbers->uuid, numbers->uuid_bytes, instance->uuid);
    return true;
}

/* Numbers and UUID of what was made. */
static AccelResult made_read(const struct nvidia_device *gpu, nvmlGpuInstance_t instance, nvmlComputeInstance_t compute,
                             struct nvidia_record *record) {
    nvmlComputeInstanceInfo_t compute_info;
    nvmlGpuInstanceInfo_t instance_info;
    struct numbers numbers;
    nvmlReturn_t result = NVIDIA_ASK(nvmlGpuInstanceGetInfo, instance, &instance_info);

    if (result != NVML_SUCCESS)
        return divvy_nvidia_failed("nvmlGpuInstanceGetInfo", gpu->uuid, result);
    result = NVIDIA_ASK(nvmlComputeInstanceGetInfo_v2, compute, &compute_info);
    if (result != NVML_SUCCESS)
        return divvy_nvidia_failed("nvmlComputeInstanceGetInfo", gpu->uuid, result);
    record->gpu_instance = instance_info.id;
    record->compute_instance = compute_info.id;
    numbers = (struct numbers){instance_info.id, compute_info.id, record->partition, sizeof record->partition};
    if (divvy_nvidia_instances(gpu, has_numbers, &numbers))
        return ACCEL_SUCCESS;
    divvy_provider_log("ERROR", "the new instance %u/%u of %s is not among its devices", instance_info.id, compute_info.id, gpu->uuid);
    return ACCEL_ERROR_INTERNAL;
}

static AccelResult make(const struct nvidia_device *gpu, const struct profile *profile, struct nvidia_record *record) {
    nvmlGpuInstance_t instance = NULL;
    nvmlComputeInstance_t compute = NULL;
    nvmlReturn_t made = NVIDIA_ASK(nvmlDeviceCreateGpuInstance, gpu->handle, profile->id, &instance);
    AccelResult result;

    if (made != NVML_SUCCESS)
        return divvy_nvidia_failed("nvmlDeviceCreateGpuInstance", gpu->uuid, made);
    made = compute_make(instance, profile->slices, &compute);
    if (made != NVML_SUCCESS) {
        result = divvy_nvidia_failed("nvmlGpuInstanceCreateComputeInstance", gpu->uuid, made);
        goto destroy_instance;
    }
    result = made_read(gpu, instance, compute, record);
    if (result == ACCEL_SUCCESS && divvy_nvidia_record_add(record) < 0)
        result = ACCEL_ERROR_INTERNAL;
    if (result == ACCEL_SUCCESS)
        return ACCEL_SUCCESS;
    made = NVIDIA_ASK(nvmlComputeInstanceDestroy, compute);
    if (made != NVML_SUCCESS)
        (void)divvy_nvidia_failed("undoing: nvmlComputeInstanceDestroy", gpu->uuid, made);
destroy_instance:
    made = NVIDIA_ASK(nvmlGpuInstanceDestroy, instance);
    if (made != NVML_SUCCESS)
        (void)divvy_nvidia_failed("undoing: nvmlGpuInstanceDestroy", gpu->uuid, made);
    return result;
}

/* MIG is the operator's to switch on: it takes the whole GPU away from everybody. */
static AccelResult mode_check(const struct nvidia_device *gpu) {
    unsigned int mode = 0, pending = 0;
    nvmlReturn_t result = NVIDIA_ASK(nvmlDeviceGetMigMode, gpu->handle, &mode, &pending);

    if (result != NVML_SUCCESS)
        return divvy_nvidia_failed("nvmlDeviceGetMigMode", gpu->uuid, result);
    if (mode == NVML_DEVICE_MIG_ENABLE)
        return ACCEL_SUCCESS;
    divvy_provider_log("ERROR", "MIG is off on %s%s; switch it on with: nvidia-smi -i %u -mig 1", gpu->uuid,
                       pending == NVML_DEVICE_MIG_ENABLE ? " until its next reset" : "", gpu->index);
    return ACCEL_ERROR_NOT_SUPPORTED;
}

AccelResult divvy_nvidia_assign(const char *template_id, const char *device_uuid, Accel2PartitionResult *ret_result) {
    struct nvidia_record record = {.order = 0};
    struct nvidia_device gpu;
    struct profile profile;
    AccelResult result = divvy_nvidia_find(device_uuid, &gpu);

    if (result != ACCEL_SUCCESS)
        return result;
    if (gpu.handle != gpu.gpu) {
        divvy_provider_log("ERROR", "%s is a partition itself", gpu.uuid);
        return ACCEL_ERROR_INVALID_PARAM;
    }
    result = mode_check(&gpu);
    if (result == ACCEL_SUCCESS)
        result = profile_find(&gpu, template_id, &profile);
    if (result != ACCEL_SUCCESS)
        return result;
    divvy_provider_text(record.device, sizeof record.device, gpu.uuid);
    divvy_provider_text(record.template_id, sizeof record.template_id, template_id);
    result = make(&gpu, &profile, &record);
    if (result != ACCEL_SUCCESS)
        return result;
    ret_result->type = PARTITION_TYPE_ENVIRONMENT_VARIABLE;
    divvy_provider_text(ret_result->deviceUUID, sizeof ret_result->deviceUUID, record.partition);
    divvy_provider_variable(ret_result, "NVIDIA_VISIBLE_DEVICES", record.partition);
    divvy_provider_variable(ret_result, "CUDA_VISIBLE_DEVICES", record.partition);
    divvy_provider_log("INFO", "%s: partition %s of profile %s", gpu.uuid, record.partition, profile.name);
    return ACCEL_SUCCESS;
}

/* --- removing ----------------------------------------------------------------------------------------------------------- */

/* What was made is still what is there. Half removed, it has no UUID any more. */
static bool is_still_there(const struct nvidia_device *gpu, const struct nvidia_record *record) {
    char uuid[UUID_STRING_LENGTH] = "";
    struct numbers numbers = {record->gpu_instance, record->compute_instance, uuid, sizeof uuid};

    if (record->compute_instance == COMPUTE_GONE)
        return true;
    return divvy_nvidia_instances(gpu, has_numbers, &numbers) && strcmp(uuid, record->partition) == 0;
}

static AccelResult destroy(const struct nvidia_device *gpu, struct nvidia_record *record) {
    nvmlComputeInstance_t compute;
    nvmlGpuInstance_t instance;
    nvmlReturn_t result = NVIDIA_ASK(nvmlDeviceGetGpuInstanceById, gpu->handle, record->gpu_instance, &instance);

    if (result == NVML_ERROR_NOT_FOUND)
        return ACCEL_SUCCESS;
    if (result != NVML_SUCCESS)
        return divvy_nvidia_failed("nvmlDeviceGetGpuInstanceById", gpu->uuid, result);
    if (record->compute_instance != COMPUTE_GONE) {
        result = NVIDIA_ASK(nvmlGpuInstanceGetComputeInstanceById, instance, record->compute_instance, &compute);
        if (result == NVML_SUCCESS)
            result = NVIDIA_ASK(nvmlComputeInstanceDestroy, compute);
        if (result != NVML_SUCCESS && result != NVML_ERROR_NOT_FOUND)
            return divvy_nvidia_failed("nvmlComputeInstanceDestroy", record->partition, result);
    }
    result = NVIDIA_ASK(nvmlGpuInstanceDestroy, instance);
    if (result == NVML_SUCCESS || result == NVML_ERROR_NOT_FOUND)
        return ACCEL_SUCCESS;
    /* The next attempt finds no device of this UUID, and is to know why. */
    divvy_nvidia_record_drop(record->partition);
    record->compute_instance = COMPUTE_GONE;
    (void)divvy_nvidia_record_add(record);
    return divvy_nvidia_failed("nvmlGpuInstanceDestroy", record->partition, result);
}

AccelResult divvy_nvidia_remove(const char *name, const char *device_uuid) {
    struct nvidia_record record;
    struct nvidia_device gpu;
    AccelResult result = divvy_nvidia_find(device_uuid, &gpu);

    if (result == ACCEL_ERROR_NOT_FOUND)
        return ACCEL_SUCCESS; /* nor is there a partition of it */
    if (result != ACCEL_SUCCESS)
        return result;
    if (!divvy_nvidia_record_find(name, gpu.uuid, &record)) {
        divvy_provider_log("DEBUG", "%s: no partition of ours is called %s", gpu.uuid, name);
        return ACCEL_SUCCESS;
    }
    if (is_still_there(&gpu, &record))
        result = destroy(&gpu, &record);
    if (result == ACCEL_SUCCESS)
        divvy_nvidia_record_drop(record.partition);
    return result;
}
