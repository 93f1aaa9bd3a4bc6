/* Questions about MIG on a device where it is switched off. */
#include "simgpu/nvml/api.h"

#include <string.h>

/* No instance exists, so no number names one. */
nvmlReturn_t NVM(nvmlDeviceGetMigDeviceHandleByIndex)(nvmlDevice_t device, unsigned int index,
                                                      nvmlDevice_t *migDevice) {
    NVM_DEVICE(facts, device);
    NVM_REQUIRE(migDevice);
    (void)index;
    return NVML_ERROR_NOT_FOUND;
}

/* The next three ask about a handle of an instance, which a device is not. */
nvmlReturn_t NVM(nvmlDeviceGetDeviceHandleFromMigDeviceHandle)(nvmlDevice_t migDevice,
                                                               nvmlDevice_t *device) {
    (void)migDevice;
    (void)device;
    return NVML_ERROR_INVALID_ARGUMENT;
}

nvmlReturn_t NVM(nvmlDeviceGetGpuInstanceId)(nvmlDevice_t device, unsigned int *id) {
    (void)device;
    (void)id;
    return NVML_ERROR_INVALID_ARGUMENT;
}

nvmlReturn_t NVM(nvmlDeviceGetComputeInstanceId)(nvmlDevice_t device, unsigned int *id) {
    (void)device;
    (void)id;
    return NVML_ERROR_INVALID_ARGUMENT;
}

/* What an H200 offers; the numbers in front are NVML's profile numbers, `id` is the profile's own. */
static const struct {
    unsigned int profile;
    nvmlGpuInstanceProfileInfo_v2_t info;
} profiles[] = {
    {NVML_GPU_INSTANCE_PROFILE_1_SLICE,
     {.id = 19, .sliceCount = 1, .instanceCount = 7, .multiprocessorCount = 16, .copyEngineCount = 1,
      .decoderCount = 1, .jpegCount = 1, .memorySizeMB = 16384, .name = "MIG 1g.18gb"}},
    {NVML_GPU_INSTANCE_PROFILE_2_SLICE,
     {.id = 14, .sliceCount = 2, .instanceCount = 3, .multiprocessorCount = 32, .copyEngineCount = 2,
      .decoderCount = 2, .jpegCount = 2, .memorySizeMB = 33280, .name = "MIG 2g.35gb"}},
    {NVML_GPU_INSTANCE_PROFILE_3_SLICE,
     {.id = 9, .sliceCount = 3, .instanceCount = 2, .multiprocessorCount = 60, .copyEngineCount = 3,
      .decoderCount = 3, .jpegCount = 3, .memorySizeMB = 71424, .name = "MIG 3g.71gb"}},
    {NVML_GPU_INSTANCE_PROFILE_4_SLICE,
     {.id = 5, .sliceCount = 4, .instanceCount = 1, .multiprocessorCount = 64, .copyEngineCount = 4,
      .decoderCount = 4, .jpegCount = 4, .memorySizeMB = 71424, .name = "MIG 4g.71gb"}},
    {NVML_GPU_INSTANCE_PROFILE_7_SLICE,
     {.id = 0, .sliceCount = 7, .instanceCount = 1, .multiprocessorCount = 132, .copyEngineCount = 8,
      .decoderCount = 7, .jpegCount = 7, .ofaCount = 1, .memorySizeMB = 143360,
      .name = "MIG 7g.141gb"}},
    {NVML_GPU_INSTANCE_PROFILE_1_SLICE_REV2,
     {.id = 15, .sliceCount = 1, .instanceCount = 4, .multiprocessorCount = 26, .copyEngineCount = 1,
      .decoderCount = 1, .jpegCount = 1, .memorySizeMB = 33280, .name = "MIG 1g.35gb"}},
};

/* Other models would need numbers of their own, which nobody here has seen. */
static nvmlReturn_t profile_find(nvmlDevice_t device, unsigned int profile,
                                 const nvmlGpuInstanceProfileInfo_v2_t **ret_info) {
    NVM_DEVICE(facts, device);
    if (profile >= NVML_GPU_INSTANCE_PROFILE_COUNT)
        return NVML_ERROR_INVALID_ARGUMENT;
    for (size_t i = 0; i < sizeof(profiles) / sizeof(profiles[0]); i++) {
        if (profiles[i].profile == profile && strcmp(facts->name, "NVIDIA H200") == 0) {
            *ret_info = &profiles[i].info;
            return NVML_SUCCESS;
        }
    }
    return NVML_ERROR_NOT_SUPPORTED;
}

nvmlReturn_t NVM(nvmlDeviceGetGpuInstanceProfileInfo)(nvmlDevice_t device, unsigned int profile,
                                                      nvmlGpuInstanceProfileInfo_t *info) {
    const nvmlGpuInstanceProfileInfo_v2_t *found;

    NVM_REQUIRE(info);
    NVM_TRY(profile_find(device, profile, &found));
    *info = (nvmlGpuInstanceProfileInfo_t){
        .id = found->id,
        .sliceCount = found->sliceCount,
        .instanceCount = found->instanceCount,
        .multiprocessorCount = found->multiprocessorCount,
        .copyEngineCount = found->copyEngineCount,
        .decoderCount = found->decoderCount,
        .jpegCount = found->jpegCount,
        .ofaCount = found->ofaCount,
        .memorySizeMB = found->memorySizeMB,
    };
    return NVML_SUCCESS;
}

nvmlReturn_t NVM(nvmlDeviceGetGpuInstanceProfileInfoV)(nvmlDevice_t device, unsigned int profile,
                                                       nvmlGpuInstanceProfileInfo_v2_t *info) {
    const nvmlGpuInstanceProfileInfo_v2_t *found;
    unsigned int version;

    NVM_REQUIRE(info);
    version = info->version;
    if (version == NVML_STRUCT_VERSION(GpuInstanceProfileInfo, 2)) {
        NVM_TRY(profile_find(device, profile, &found));
        *info = *found;
        info->version = version;
        return NVML_SUCCESS;
    }
    if (version == NVML_STRUCT_VERSION(GpuInstanceProfileInfo, 3)) {
        nvmlGpuInstanceProfileInfo_v3_t *newer = (nvmlGpuInstanceProfileInfo_v3_t *)(void *)info;

        NVM_TRY(profile_find(device, profile, &found));
        *newer = (nvmlGpuInstanceProfileInfo_v3_t){
            .version = version,
            .id = found->id,
            .sliceCount = found->sliceCount,
            .instanceCount = found->instanceCount,
            .multiprocessorCount = found->multiprocessorCount,
            .copyEngineCount = found->copyEngineCount,
            .decoderCount = found->decoderCount,
            .jpegCount = found->jpegCount,
            .ofaCount = found->ofaCount,
            .memorySizeMB = found->memorySizeMB,
        };
        memcpy(newer->name, found->name, sizeof(newer->name));
        return NVML_SUCCESS;
    }
    return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
}
