/* Compute instances: profiles, placements, making, destroying, finding. */
#include "simgpu/nvml/mig.h"

#include <stdio.h>
#include <string.h>

/* --- profiles ------------------------------------------------------------------------------------------ */

/* The driver's number of a compute profile is NVML's: one search serves both. */
static nvmlReturn_t profile_find(const divvy_simgpu_gi_t *gi, unsigned int id,
                                 nvmlReturn_t otherwise, divvy_simgpu_ci_profile_t *ret_profile) {
    for (unsigned int n = 0; divvy_simgpu_ci_profile(gi, n, ret_profile) == 0; n++) {
        if (ret_profile->id == id)
            return NVML_SUCCESS;
    }
    return otherwise;
}

/* What both profile questions begin with. The one kind of engines is "shared". */
static nvmlReturn_t profile_asked(nvmlGpuInstance_t instance, unsigned int profile,
                                  unsigned int engines, divvy_simgpu_gi_t *ret_gi,
                                  divvy_simgpu_ci_profile_t *ret_profile) {
    NVM_TRY(divvy_nvml_gi(instance, ret_gi));
    if (profile >= NVML_COMPUTE_INSTANCE_PROFILE_COUNT || engines != 0)
        return NVML_ERROR_INVALID_ARGUMENT;
    return profile_find(ret_gi, profile, NVML_ERROR_NOT_SUPPORTED, ret_profile);
}

nvmlReturn_t NVM(nvmlGpuInstanceGetComputeInstanceProfileInfo)(
    nvmlGpuInstance_t gpuInstance, unsigned int profile, unsigned int engProfile,
    nvmlComputeInstanceProfileInfo_t *info) {
    divvy_simgpu_ci_profile_t p;
    divvy_simgpu_gi_t gi;

    NVM_REQUIRE(info);
    NVM_TRY(profile_asked(gpuInstance, profile, engProfile, &gi, &p));
    *info = (nvmlComputeInstanceProfileInfo_t){
        .id = p.id,
        .sliceCount = p.slices,
        .instanceCount = p.instances_max,
        .multiprocessorCount = p.sm_count,
        .sharedCopyEngineCount = gi.profile.copy_engines,
        .sharedDecoderCount = gi.profile.decoders,
        .sharedEncoderCount = gi.profile.encoders,
        .sharedJpegCount = gi.profile.jpegs,
        .sharedOfaCount = gi.profile.ofas,
    };
    return NVML_SUCCESS;
}

/* The third version is the second with a set of capabilities, none of which applies, at its end. */
_Static_assert(offsetof(nvmlComputeInstanceProfileInfo_v2_t, name) ==
                   offsetof(nvmlComputeInstanceProfileInfo_v3_t, name),
               "the second layout is the beginning of the third");

nvmlReturn_t NVM(nvmlGpuInstanceGetComputeInstanceProfileInfoV)(
    nvmlGpuInstance_t gpuInstance, unsigned int profile, unsigned int engProfile,
    nvmlComputeInstanceProfileInfo_v2_t *info) {
    divvy_simgpu_ci_profile_t p;
    divvy_simgpu_gi_t gi;
    unsigned int version;

    NVM_REQUIRE(info);
    version = info->version;
    if (version != NVML_STRUCT_VERSION(ComputeInstanceProfileInfo, 2) &&
        version != NVML_STRUCT_VERSION(ComputeInstanceProfileInfo, 3))
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    NVM_TRY(profile_asked(gpuInstance, profile, engProfile, &gi, &p));
    *info = (nvmlComputeInstanceProfileInfo_v2_t){
        .version = version,
        .id = p.id,
        .sliceCount = p.slices,
        .instanceCount = p.instances_max,
        .multiprocessorCount = p.sm_count,
        .sharedCopyEngineCount = gi.profile.copy_engines,
        .sharedDecoderCount = gi.profile.decoders,
        .sharedEncoderCount = gi.profile.encoders,
        .sharedJpegCount = gi.profile.jpegs,
        .sharedOfaCount = gi.profile.ofas,
    };
    /* media engines are the GPU instance's: what follows '+' is left out */
    (void)snprintf(info->name, sizeof(info->name), "MIG %.*s", (int)strcspn(p.name, "+"), p.name);
    if (version == NVML_STRUCT_VERSION(ComputeInstanceProfileInfo, 3))
        ((nvmlComputeInstanceProfileInfo_v3_t *)(void *)info)->capabilities = 0;
    return NVML_SUCCESS;
}

_Static_assert(sizeof(nvmlComputeInstancePlacement_t) == sizeof(nvmlGpuInstancePlacement_t) &&
                   offsetof(nvmlComputeInstancePlacement_t, size) ==
                       offsetof(nvmlGpuInstancePlacement_t, size),
               "placements of both kinds are laid out alike");

nvmlReturn_t NVM(nvmlGpuInstanceGetComputeInstancePossiblePlacements)(
    nvmlGpuInstance_t gpuInstance, unsigned int profileId,
    nvmlComputeInstancePlacement_t *placements, unsigned int *count) {
    divvy_simgpu_ci_profile_t p;
    divvy_simgpu_gi_t gi;

    NVM_REQUIRE(count);
    NVM_TRY(divvy_nvml_gi(gpuInstance, &gi));
    NVM_TRY(profile_find(&gi, profileId, NVML_ERROR_INVALID_ARGUMENT, &p));
    return divvy_nvml_placements(p.starts, p.slices,
                                 (nvmlGpuInstancePlacement_t *)(void *)placements, count);
}

nvmlReturn_t NVM(nvmlGpuInstanceGetComputeInstanceRemainingCapacity)(nvmlGpuInstance_t gpuInstance,
                                                                     unsigned int profileId,
                                                                     unsigned int *count) {
    divvy_simgpu_gi_t gi;
    unsigned int remaining;

    NVM_REQUIRE(count);
    NVM_TRY(divvy_nvml_gi(gpuInstance, &gi));
    NVM_TRY(divvy_nvml_result(divvy_simgpu_ci_remaining(&gi, profileId, &remaining)));
    *count = remaining;
    return NVML_SUCCESS;
}

/* --- instances ----------------------------------------------------------------------------------------- */

static nvmlReturn_t make(nvmlGpuInstance_t instance, unsigned int profile_id, int start,
                         nvmlComputeInstance_t *ret_instance) {
    divvy_simgpu_gi_t gi;
    divvy_simgpu_ci_t ci;

    NVM_REQUIRE(ret_instance);
    NVM_TRY(divvy_nvml_gi(instance, &gi));
    NVM_TRY(divvy_nvml_result(divvy_simgpu_ci_create(&gi, profile_id, start, &ci)));
    *ret_instance = divvy_nvml_ci_handle(&ci);
    return NVML_SUCCESS;
}

nvmlReturn_t NVM(nvmlGpuInstanceCreateComputeInstance)(nvmlGpuInstance_t gpuInstance,
                                                       unsigned int profileId,
                                                       nvmlComputeInstance_t *computeInstance) {
    return make(gpuInstance, profileId, DIVVY_SIMGPU_MIG_ANYWHERE, computeInstance);
}

nvmlReturn_t NVM(nvmlGpuInstanceCreateComputeInstanceWithPlacement)(
    nvmlGpuInstance_t gpuInstance, unsigned int profileId,
    const nvmlComputeInstancePlacement_t *placement, nvmlComputeInstance_t *computeInstance) {
    divvy_simgpu_ci_profile_t p;
    divvy_simgpu_gi_t gi;

    NVM_REQUIRE(placement);
    NVM_TRY(divvy_nvml_gi(gpuInstance, &gi));
    NVM_TRY(profile_find(&gi, profileId, NVML_ERROR_INVALID_ARGUMENT, &p));
    if (placement->size != p.slices || placement->start >= DIVVY_SIMGPU_MIG_SLOTS)
        return NVML_ERROR_INVALID_ARGUMENT;
    return make(gpuInstance, profileId, (int)placement->start, computeInstance);
}

nvmlReturn_t NVM(nvmlComputeInstanceDestroy)(nvmlComputeInstance_t computeInstance) {
    divvy_simgpu_ci_t ci;

    NVM_TRY(divvy_nvml_ci(computeInstance, &ci));
    return divvy_nvml_result(divvy_simgpu_ci_destroy(&ci));
}

/* Whether compute instance number INDEX of the device is one of this GPU instance. */
static bool belongs(const divvy_simgpu_gi_t *gi, unsigned int index, divvy_simgpu_ci_t *ret_ci) {
    return divvy_simgpu_ci_get(gi->device, index, ret_ci) == 0 && ret_ci->gi.slot == gi->slot &&
           ret_ci->gi.generation == gi->generation;
}

/* The buffer has room for as many as the profile allows, by contract. */
nvmlReturn_t NVM(nvmlGpuInstanceGetComputeInstances)(nvmlGpuInstance_t gpuInstance,
                                                     unsigned int profileId,
                                                     nvmlComputeInstance_t *computeInstances,
                                                     unsigned int *count) {
    divvy_simgpu_ci_profile_t p;
    divvy_simgpu_gi_t gi;
    divvy_simgpu_ci_t ci;

    NVM_REQUIRE(computeInstances);
    NVM_REQUIRE(count);
    NVM_TRY(divvy_nvml_gi(gpuInstance, &gi));
    NVM_TRY(profile_find(&gi, profileId, NVML_ERROR_INVALID_ARGUMENT, &p));
    *count = 0;
    for (unsigned int index = 0; index < DIVVY_SIMGPU_MIG_MAX; index++) {
        if (belongs(&gi, index, &ci) && ci.profile.id == profileId && *count < p.instances_max)
            computeInstances[(*count)++] = divvy_nvml_ci_handle(&ci);
    }
    return NVML_SUCCESS;
}

nvmlReturn_t NVM(nvmlGpuInstanceGetComputeInstanceById)(nvmlGpuInstance_t gpuInstance,
                                                        unsigned int id,
                                                        nvmlComputeInstance_t *computeInstance) {
    divvy_simgpu_gi_t gi;
    divvy_simgpu_ci_t ci;

    NVM_REQUIRE(computeInstance);
    NVM_TRY(divvy_nvml_gi(gpuInstance, &gi));
    for (unsigned int index = 0; index < DIVVY_SIMGPU_MIG_MAX; index++) {
        if (belongs(&gi, index, &ci) && ci.id == id) {
            *computeInstance = divvy_nvml_ci_handle(&ci);
            return NVML_SUCCESS;
        }
    }
    return NVML_ERROR_NOT_FOUND;
}

nvmlReturn_t NVM(nvmlComputeInstanceGetInfo_v2)(nvmlComputeInstance_t computeInstance,
                                                nvmlComputeInstanceInfo_t *info) {
    divvy_simgpu_ci_t ci;

    NVM_REQUIRE(info);
    NVM_TRY(divvy_nvml_ci(computeInstance, &ci));
    *info = (nvmlComputeInstanceInfo_t){
        .device = divvy_nvml_handle(ci.device),
        .gpuInstance = divvy_nvml_gi_handle(&ci.gi),
        .id = ci.id,
        .profileId = ci.profile.id,
        .placement = {.start = ci.start, .size = ci.profile.slices},
    };
    return NVML_SUCCESS;
}

/* The first version knew no placement. */
nvmlReturn_t NVM(nvmlComputeInstanceGetInfo)(nvmlComputeInstance_t computeInstance,
                                             nvmlComputeInstanceInfo_t *info) {
    nvmlComputeInstanceInfo_t full;

    NVM_REQUIRE(info);
    NVM_TRY(NVM(nvmlComputeInstanceGetInfo_v2)(computeInstance, &full));
    memcpy(info, &full, offsetof(nvmlComputeInstanceInfo_t, placement));
    return NVML_SUCCESS;
}
