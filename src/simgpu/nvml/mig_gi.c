/* GPU instances: profiles, placements, making, destroying, finding. */
#include "simgpu/nvml/mig.h"

#include <stdio.h>
#include <string.h>

/* --- profiles ------------------------------------------------------------------------------------------ */

static nvmlReturn_t profile_by_number(nvmlDevice_t device, unsigned int profile,
                                      divvy_simgpu_gi_profile_t *ret_profile) {
    NVM_DEVICE(facts, device);
    if (profile >= NVML_GPU_INSTANCE_PROFILE_COUNT)
        return NVML_ERROR_INVALID_ARGUMENT;
    for (unsigned int n = 0; divvy_simgpu_gi_profile(facts->index, n, ret_profile) == 0; n++) {
        if (ret_profile->selector == profile)
            return NVML_SUCCESS;
    }
    return NVML_ERROR_NOT_SUPPORTED;
}

static nvmlReturn_t profile_by_id(nvmlDevice_t device, unsigned int id,
                                  divvy_simgpu_gi_profile_t *ret_profile) {
    NVM_DEVICE(facts, device);
    NVM_TRY(divvy_nvml_result(divvy_simgpu_gi_profile(facts->index, 0, ret_profile)));
    for (unsigned int n = 0; divvy_simgpu_gi_profile(facts->index, n, ret_profile) == 0; n++) {
        if (ret_profile->id == id)
            return NVML_SUCCESS;
    }
    return NVML_ERROR_INVALID_ARGUMENT;
}

nvmlReturn_t NVM(nvmlDeviceGetGpuInstanceProfileInfo)(nvmlDevice_t device, unsigned int profile,
                                                      nvmlGpuInstanceProfileInfo_t *info) {
    divvy_simgpu_gi_profile_t p;

    NVM_REQUIRE(info);
    NVM_TRY(profile_by_number(device, profile, &p));
    *info = (nvmlGpuInstanceProfileInfo_t){
        .id = p.id,
        .sliceCount = p.slices,
        .instanceCount = p.instances_max,
        .multiprocessorCount = p.sm_count,
        .copyEngineCount = p.copy_engines,
        .decoderCount = p.decoders,
        .encoderCount = p.encoders,
        .jpegCount = p.jpegs,
        .ofaCount = p.ofas,
        .memorySizeMB = p.memory_bytes >> 20,
    };
    return NVML_SUCCESS;
}

/* The third version has no word about peers but a set of capabilities, none of which applies, at its end. */
static nvmlReturn_t info_write(const divvy_simgpu_gi_profile_t *p,
                               nvmlGpuInstanceProfileInfo_v2_t *info) {
    const unsigned int version = info->version;
    nvmlGpuInstanceProfileInfo_v3_t *newer = (nvmlGpuInstanceProfileInfo_v3_t *)(void *)info;

    if (version == NVML_STRUCT_VERSION(GpuInstanceProfileInfo, 2)) {
        *info = (nvmlGpuInstanceProfileInfo_v2_t){
            .version = version,
            .id = p->id,
            .sliceCount = p->slices,
            .instanceCount = p->instances_max,
            .multiprocessorCount = p->sm_count,
            .copyEngineCount = p->copy_engines,
            .decoderCount = p->decoders,
            .encoderCount = p->encoders,
            .jpegCount = p->jpegs,
            .ofaCount = p->ofas,
            .memorySizeMB = p->memory_bytes >> 20,
        };
        (void)snprintf(info->name, sizeof(info->name), "MIG %s", p->name);
        return NVML_SUCCESS;
    }
    if (version != NVML_STRUCT_VERSION(GpuInstanceProfileInfo, 3))
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    *newer = (nvmlGpuInstanceProfileInfo_v3_t){
        .version = version,
        .id = p->id,
        .sliceCount = p->slices,
        .instanceCount = p->instances_max,
        .multiprocessorCount = p->sm_count,
        .copyEngineCount = p->copy_engines,
        .decoderCount = p->decoders,
        .encoderCount = p->encoders,
        .jpegCount = p->jpegs,
        .ofaCount = p->ofas,
        .memorySizeMB = p->memory_bytes >> 20,
    };
    (void)snprintf(newer->name, sizeof(newer->name), "MIG %s", p->name);
    return NVML_SUCCESS;
}

static bool version_known(unsigned int version) {
    return version == NVML_STRUCT_VERSION(GpuInstanceProfileInfo, 2) ||
           version == NVML_STRUCT_VERSION(GpuInstanceProfileInfo, 3);
}

nvmlReturn_t NVM(nvmlDeviceGetGpuInstanceProfileInfoV)(nvmlDevice_t device, unsigned int profile,
                                                       nvmlGpuInstanceProfileInfo_v2_t *info) {
    divvy_simgpu_gi_profile_t p;

    NVM_REQUIRE(info);
    if (!version_known(info->version))
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    NVM_TRY(profile_by_number(device, profile, &p));
    return info_write(&p, info);
}

nvmlReturn_t NVM(nvmlDeviceGetGpuInstanceProfileInfoByIdV)(nvmlDevice_t device,
                                                           unsigned int profileId,
                                                           nvmlGpuInstanceProfileInfo_v2_t *info) {
    divvy_simgpu_gi_profile_t p;

    NVM_REQUIRE(info);
    if (!version_known(info->version))
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    NVM_TRY(profile_by_id(device, profileId, &p));
    return info_write(&p, info);
}

/* All that the profile allows, whatever is taken and whether the mode is on. */
nvmlReturn_t NVM(nvmlDeviceGetGpuInstancePossiblePlacements_v2)(
    nvmlDevice_t device, unsigned int profileId, nvmlGpuInstancePlacement_t *placements,
    unsigned int *count) {
    divvy_simgpu_gi_profile_t p;

    NVM_REQUIRE(count);
    NVM_TRY(profile_by_id(device, profileId, &p));
    return divvy_nvml_placements(p.starts, p.size, placements, count);
}

nvmlReturn_t NVM(nvmlDeviceGetGpuInstancePossiblePlacements)(nvmlDevice_t device,
                                                             unsigned int profileId,
                                                             nvmlGpuInstancePlacement_t *placements,
                                                             unsigned int *count) {
    return NVM(nvmlDeviceGetGpuInstancePossiblePlacements_v2)(device, profileId, placements, count);
}

nvmlReturn_t NVM(nvmlDeviceGetGpuInstanceRemainingCapacity)(nvmlDevice_t device,
                                                            unsigned int profileId,
                                                            unsigned int *count) {
    unsigned int remaining;
    NVM_DEVICE(facts, device);

    NVM_REQUIRE(count);
    NVM_TRY(divvy_nvml_result(divvy_simgpu_gi_remaining(facts->index, profileId, &remaining)));
    *count = remaining;
    return NVML_SUCCESS;
}

/* --- instances ----------------------------------------------------------------------------------------- */

static nvmlReturn_t make(nvmlDevice_t device, unsigned int profile_id, int start,
                         nvmlGpuInstance_t *ret_instance) {
    divvy_simgpu_gi_t gi;
    NVM_DEVICE(facts, device);

    NVM_REQUIRE(ret_instance);
    NVM_TRY(divvy_nvml_result(divvy_simgpu_gi_create(facts->index, profile_id, start, &gi)));
    *ret_instance = divvy_nvml_gi_handle(&gi);
    return NVML_SUCCESS;
}

nvmlReturn_t NVM(nvmlDeviceCreateGpuInstance)(nvmlDevice_t device, unsigned int profileId,
                                              nvmlGpuInstance_t *gpuInstance) {
    return make(device, profileId, DIVVY_SIMGPU_MIG_ANYWHERE, gpuInstance);
}

nvmlReturn_t NVM(nvmlDeviceCreateGpuInstanceWithPlacement)(
    nvmlDevice_t device, unsigned int profileId, const nvmlGpuInstancePlacement_t *placement,
    nvmlGpuInstance_t *gpuInstance) {
    divvy_simgpu_gi_profile_t p;

    NVM_REQUIRE(placement);
    NVM_TRY(profile_by_id(device, profileId, &p));
    if (placement->size != p.size || placement->start >= DIVVY_SIMGPU_MIG_SLOTS)
        return NVML_ERROR_INVALID_ARGUMENT;
    return make(device, profileId, (int)placement->start, gpuInstance);
}

nvmlReturn_t NVM(nvmlGpuInstanceDestroy)(nvmlGpuInstance_t gpuInstance) {
    divvy_simgpu_gi_t gi;

    NVM_TRY(divvy_nvml_gi(gpuInstance, &gi));
    return divvy_nvml_result(divvy_simgpu_gi_destroy(&gi));
}

/* The buffer has room for as many as the profile allows, by contract. */
nvmlReturn_t NVM(nvmlDeviceGetGpuInstances)(nvmlDevice_t device, unsigned int profileId,
                                            nvmlGpuInstance_t *gpuInstances, unsigned int *count) {
    divvy_simgpu_gi_profile_t p;
    divvy_simgpu_gi_t gi;
    NVM_DEVICE(facts, device);

    NVM_REQUIRE(gpuInstances);
    NVM_REQUIRE(count);
    NVM_TRY(profile_by_id(device, profileId, &p));
    if (!divvy_nvml_is_divided(facts->index))
        return NVML_ERROR_NOT_SUPPORTED;
    *count = 0;
    for (unsigned int slot = 0; slot < DIVVY_SIMGPU_MIG_MAX; slot++) {
        if (divvy_simgpu_gi_get(facts->index, slot, &gi) == 0 && gi.profile.id == profileId &&
            *count < p.instances_max)
            gpuInstances[(*count)++] = divvy_nvml_gi_handle(&gi);
    }
    return NVML_SUCCESS;
}

nvmlReturn_t NVM(nvmlDeviceGetGpuInstanceById)(nvmlDevice_t device, unsigned int id,
                                               nvmlGpuInstance_t *gpuInstance) {
    divvy_simgpu_gi_t gi;
    NVM_DEVICE(facts, device);

    NVM_REQUIRE(gpuInstance);
    if (!divvy_nvml_is_divided(facts->index))
        return NVML_ERROR_NOT_SUPPORTED;
    for (unsigned int slot = 0; slot < DIVVY_SIMGPU_MIG_MAX; slot++) {
        if (divvy_simgpu_gi_get(facts->index, slot, &gi) == 0 && gi.id == id) {
            *gpuInstance = divvy_nvml_gi_handle(&gi);
            return NVML_SUCCESS;
        }
    }
    return NVML_ERROR_NOT_FOUND;
}

nvmlReturn_t NVM(nvmlGpuInstanceGetInfo)(nvmlGpuInstance_t gpuInstance,
                                         nvmlGpuInstanceInfo_t *info) {
    divvy_simgpu_gi_t gi;

    NVM_REQUIRE(info);
    NVM_TRY(divvy_nvml_gi(gpuInstance, &gi));
    *info = (nvmlGpuInstanceInfo_t){
        .device = divvy_nvml_handle(gi.device),
        .id = gi.id,
        .profileId = gi.profile.id,
        .placement = {.start = gi.start, .size = gi.profile.size},
    };
    return NVML_SUCCESS;
}
