/* MIG: its mode, MIG devices, and what is only known of them. */
#include "simgpu/nvml/mig.h"

#include <errno.h>
#include <string.h>

/* --- mode -------------------------------------------------------------------------------------------- */

nvmlReturn_t NVM(nvmlDeviceGetMigMode)(nvmlDevice_t device, unsigned int *currentMode,
                                       unsigned int *pendingMode) {
    bool current, pending;
    NVM_DEVICE(facts, device);

    NVM_REQUIRE(currentMode);
    NVM_REQUIRE(pendingMode);
    NVM_TRY(divvy_nvml_result(divvy_simgpu_mig_mode(facts->index, &current, &pending)));
    *currentMode = current ? NVML_DEVICE_MIG_ENABLE : NVML_DEVICE_MIG_DISABLE;
    *pendingMode = pending ? NVML_DEVICE_MIG_ENABLE : NVML_DEVICE_MIG_DISABLE;
    return NVML_SUCCESS;
}

/* The call succeeds when the mode is noted; whether it took effect is told apart. */
nvmlReturn_t NVM(nvmlDeviceSetMigMode)(nvmlDevice_t device, unsigned int mode,
                                       nvmlReturn_t *activationStatus) {
    bool active;
    NVM_DEVICE(facts, device);

    NVM_REQUIRE(activationStatus);
    if (mode > NVML_DEVICE_MIG_ENABLE)
        return NVML_ERROR_INVALID_ARGUMENT;
    NVM_TRY(divvy_nvml_result(
        divvy_simgpu_mig_set_mode(facts->index, mode == NVML_DEVICE_MIG_ENABLE, &active)));
    *activationStatus = active ? NVML_SUCCESS : NVML_ERROR_IN_USE;
    return NVML_SUCCESS;
}

nvmlReturn_t NVM(nvmlDeviceGetMaxMigDeviceCount)(nvmlDevice_t device, unsigned int *count) {
    NVM_DEVICE(facts, device);
    NVM_REQUIRE(count);
    *count = divvy_nvml_is_divided(facts->index) ? DIVVY_SIMGPU_MIG_MAX : 0;
    return NVML_SUCCESS;
}

/* --- MIG devices --------------------------------------------------------------------------------------- */

nvmlReturn_t NVM(nvmlDeviceGetMigDeviceHandleByIndex)(nvmlDevice_t device, unsigned int index,
                                                      nvmlDevice_t *migDevice) {
    divvy_simgpu_ci_t ci;
    int status;
    NVM_DEVICE(facts, device);

    NVM_REQUIRE(migDevice);
    status = divvy_simgpu_ci_get(facts->index, index, &ci);
    if (status != 0) /* a model without MIG has no such device either */
        return status == -EOPNOTSUPP ? NVML_ERROR_NOT_FOUND : divvy_nvml_result(status);
    *migDevice = divvy_nvml_mig_handle(&ci);
    return NVML_SUCCESS;
}

nvmlReturn_t NVM(nvmlDeviceIsMigDeviceHandle)(nvmlDevice_t device, unsigned int *isMigDevice) {
    NVM_ANY_DEVICE(facts, device);
    NVM_REQUIRE(isMigDevice);
    *isMigDevice = facts->index >= DIVVY_SIMGPU_DEVICES_MAX;
    return NVML_SUCCESS;
}

nvmlReturn_t NVM(nvmlDeviceGetDeviceHandleFromMigDeviceHandle)(nvmlDevice_t migDevice,
                                                               nvmlDevice_t *device) {
    divvy_simgpu_ci_t ci;

    NVM_REQUIRE(device);
    NVM_TRY(divvy_nvml_mig_device(migDevice, &ci));
    *device = divvy_nvml_handle(ci.device);
    return NVML_SUCCESS;
}

nvmlReturn_t NVM(nvmlDeviceGetGpuInstanceId)(nvmlDevice_t device, unsigned int *id) {
    divvy_simgpu_ci_t ci;

    NVM_REQUIRE(id);
    NVM_TRY(divvy_nvml_mig_device(device, &ci));
    *id = ci.gi.id;
    return NVML_SUCCESS;
}

nvmlReturn_t NVM(nvmlDeviceGetComputeInstanceId)(nvmlDevice_t device, unsigned int *id) {
    divvy_simgpu_ci_t ci;

    NVM_REQUIRE(id);
    NVM_TRY(divvy_nvml_mig_device(device, &ci));
    *id = ci.id;
    return NVML_SUCCESS;
}

nvmlReturn_t NVM(nvmlDeviceGetAttributes_v2)(nvmlDevice_t device,
                                             nvmlDeviceAttributes_t *attributes) {
    divvy_simgpu_ci_t ci;
    NVM_ANY_DEVICE(facts, device);

    NVM_REQUIRE(attributes);
    if (facts->index < DIVVY_SIMGPU_DEVICES_MAX)
        return NVML_ERROR_NOT_SUPPORTED; /* a whole device has none */
    NVM_TRY(divvy_nvml_mig_device(device, &ci));
    *attributes = (nvmlDeviceAttributes_t){
        .multiprocessorCount = ci.profile.sm_count,
        .sharedCopyEngineCount = ci.gi.profile.copy_engines,
        .sharedDecoderCount = ci.gi.profile.decoders,
        .sharedEncoderCount = ci.gi.profile.encoders,
        .sharedJpegCount = ci.gi.profile.jpegs,
        .sharedOfaCount = ci.gi.profile.ofas,
        .gpuInstanceSliceCount = ci.gi.profile.slices,
        .computeInstanceSliceCount = ci.profile.slices,
        .memorySizeMB = ci.gi.memory_bytes >> 20,
    };
    return NVML_SUCCESS;
}

nvmlReturn_t NVM(nvmlDeviceGetAttributes)(nvmlDevice_t device, nvmlDeviceAttributes_t *attributes) {
    return NVM(nvmlDeviceGetAttributes_v2)(device, attributes);
}

/* --- handles of instances ------------------------------------------------------------------------------ */

/* A handle is an address that names a place and the generation of what was there. */
enum {
    PLACES = DIVVY_SIMGPU_UNITS_MAX - DIVVY_SIMGPU_DEVICES_MAX,
    GENERATIONS = 256,
};
static char gi_handles[GENERATIONS][PLACES], ci_handles[GENERATIONS][PLACES];

nvmlGpuInstance_t divvy_nvml_gi_handle(const divvy_simgpu_gi_t *gi) {
    return (nvmlGpuInstance_t)(void *)&gi_handles[gi->generation % GENERATIONS]
                                                 [(unsigned int)gi->device * DIVVY_SIMGPU_MIG_MAX +
                                                  gi->slot];
}

nvmlComputeInstance_t divvy_nvml_ci_handle(const divvy_simgpu_ci_t *ci) {
    return (nvmlComputeInstance_t)(void *)&ci_handles[ci->generation % GENERATIONS]
                                                     [ci->unit - DIVVY_SIMGPU_DEVICES_MAX];
}

nvmlReturn_t divvy_nvml_gi(nvmlGpuInstance_t handle, divvy_simgpu_gi_t *ret_gi) {
    uintptr_t offset = (uintptr_t)handle - (uintptr_t)gi_handles;
    unsigned int place = (unsigned int)(offset % PLACES);
    divvy_simgpu_gi_t gi;

    if (offset >= sizeof(gi_handles) ||
        divvy_simgpu_gi_get((int)(place / DIVVY_SIMGPU_MIG_MAX), place % DIVVY_SIMGPU_MIG_MAX,
                            &gi) ||
        divvy_nvml_gi_handle(&gi) != handle)
        return NVML_ERROR_INVALID_ARGUMENT;
    *ret_gi = gi;
    return NVML_SUCCESS;
}

nvmlReturn_t divvy_nvml_ci(nvmlComputeInstance_t handle, divvy_simgpu_ci_t *ret_ci) {
    uintptr_t offset = (uintptr_t)handle - (uintptr_t)ci_handles;
    divvy_simgpu_ci_t ci;

    if (offset >= sizeof(ci_handles) ||
        divvy_simgpu_ci_of_unit((int)(offset % PLACES) + DIVVY_SIMGPU_DEVICES_MAX, &ci) != 0 ||
        divvy_nvml_ci_handle(&ci) != handle)
        return NVML_ERROR_INVALID_ARGUMENT;
    *ret_ci = ci;
    return NVML_SUCCESS;
}

nvmlReturn_t divvy_nvml_placements(uint32_t starts, unsigned int size,
                                   nvmlGpuInstancePlacement_t *placements, unsigned int *count) {
    unsigned int found = (unsigned int)__builtin_popcount(starts), room;

    NVM_REQUIRE(count);
    room = *count;
    *count = found;
    if (placements == NULL)
        return NVML_SUCCESS;
    if (room < found)
        return NVML_ERROR_INSUFFICIENT_SIZE;
    for (; starts != 0; starts &= starts - 1)
        *placements++ = (nvmlGpuInstancePlacement_t){
            .start = (unsigned int)__builtin_ctz(starts),
            .size = size,
        };
    return NVML_SUCCESS;
}
