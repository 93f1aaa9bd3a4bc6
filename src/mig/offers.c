/* The profiles that GPUs offer, and what there is of each: see the public header. */
#include "mig/offers.h"

#include "mig/error.h"
#include "mig/lock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB (UINT64_C(1024) * 1024)

/* Newer drivers tell the name, older ones only the figures. */
static bool profile_info_get(struct divvy_mig *mig, nvmlDevice_t gpu, uint32_t number,
                             nvmlGpuInstanceProfileInfo_v2_t *ret_info) {
    nvmlGpuInstanceProfileInfo_t old = {0};

    *ret_info = (nvmlGpuInstanceProfileInfo_v2_t){.version = NVML_STRUCT_VERSION(GpuInstanceProfileInfo, 2)};
    if (DIVVY_MIG_ASK(mig, nvmlDeviceGetGpuInstanceProfileInfoV, gpu, number, ret_info) == NVML_SUCCESS) {
        ret_info->name[sizeof ret_info->name - 1] = '\0';
        return true;
    }
    if (DIVVY_MIG_ASK(mig, nvmlDeviceGetGpuInstanceProfileInfo, gpu, number, &old) != NVML_SUCCESS)
        return false;
    *ret_info = (nvmlGpuInstanceProfileInfo_v2_t){.id = old.id,
                                                  .sliceCount = old.sliceCount,
                                                  .instanceCount = old.instanceCount,
                                                  .memorySizeMB = old.memorySizeMB};
    return true;
}

bool divvy_mig_offer_read(struct divvy_mig *mig, nvmlDevice_t gpu, const struct divvy_mig_device *device, uint32_t number,
                          struct divvy_mig_offer *ret_offer) {
    nvmlGpuInstanceProfileInfo_v2_t info;
    struct divvy_mig_offer offer = {.gpu_index = device->gpu_index, .mig_mode = device->mig_mode};
    char name[sizeof info.name + 1];

    if (!profile_info_get(mig, gpu, number, &info))
        return false;
    offer.profile_id = info.id;
    offer.gpu_slices = info.sliceCount;
    offer.instances_max = info.instanceCount;
    offer.memory_mib = info.memorySizeMB;
    (void)snprintf(name, sizeof name, " %s", info.name);
    divvy_mig_profile_guess(name, info.memorySizeMB * MIB, offer.profile);
    if (!device->mig_mode || DIVVY_MIG_ASK(mig, nvmlDeviceGetGpuInstanceRemainingCapacity, gpu, info.id,
                                           &offer.creatable) != NVML_SUCCESS)
        offer.creatable = device->mig_mode ? DIVVY_MIG_UNKNOWN : 0;
    *ret_offer = offer;
    return true;
}

bool divvy_mig_offer_fits(const struct divvy_mig_offer *offer, const struct divvy_mig_profile *wanted) {
    struct divvy_mig_profile whole = *wanted;
    struct divvy_mig_device device = {.is_mig = 1,
                                      .gpu_slices = offer->gpu_slices,
                                      .compute_slices = offer->gpu_slices,
                                      .memory_bytes = offer->memory_mib * MIB};

    whole.compute_slices = 0;
    memcpy(device.profile, offer->profile, sizeof device.profile);
    return divvy_mig_profile_matches(&whole, &device) != DIVVY_MIG_NO_MATCH;
}

/* --- all of them ---------------------------------------------------------------------------------------------- */

struct offers {
    struct divvy_mig_offer *all;
    uint32_t count, room;
};

static int offer_add(struct offers *offers, const struct divvy_mig_offer *offer) {
    if (offers->count == offers->room) {
        uint32_t room = offers->room ? offers->room * 2 : 32;
        struct divvy_mig_offer *all = reallocarray(offers->all, room, sizeof *all);

        if (!all)
            return -ENOMEM;
        offers->all = all;
        offers->room = room;
    }
    offers->all[offers->count++] = *offer;
    return 0;
}

static int gpu_offers(struct divvy_mig *mig, const struct divvy_mig_device *device, struct offers *offers) {
    nvmlDevice_t gpu;
    int status = 0;

    if (mig->nvmlDeviceGetHandleByIndex_v2(device->gpu_index, &gpu) != NVML_SUCCESS)
        return 0;
    for (uint32_t number = 0; number < DIVVY_MIG_PROFILE_NUMBERS && status == 0; number++) {
        struct divvy_mig_offer offer;

        if (divvy_mig_offer_read(mig, gpu, device, number, &offer))
            status = offer_add(offers, &offer);
    }
    return status;
}

/* The offer that an instance is of: its own, made here where the GPU lists none of that name. */
static struct divvy_mig_offer *offer_of(struct offers *offers, const struct divvy_mig_device *device) {
    const struct divvy_mig_offer other = {.gpu_index = device->gpu_index,
                                          .gpu_slices = device->gpu_slices,
                                          .creatable = DIVVY_MIG_UNKNOWN,
                                          .profile_id = DIVVY_MIG_UNKNOWN,
                                          .mig_mode = 1,
                                          .memory_mib = device->memory_bytes / MIB};

    for (uint32_t i = 0; i < offers->count; i++)
        if (offers->all[i].gpu_index == device->gpu_index && strcmp(offers->all[i].profile, device->profile) == 0)
            return &offers->all[i];
    if (offer_add(offers, &other) < 0)
        return NULL;
    memcpy(offers->all[offers->count - 1].profile, device->profile, sizeof device->profile);
    return &offers->all[offers->count - 1];
}

static int instances_count(const struct divvy_mig_list *list, const char *lock_dir, struct offers *offers,
                           struct divvy_mig_error *error) {
    for (uint32_t i = 0; i < list->count; i++) {
        const struct divvy_mig_device *device = &list->devices[i];
        struct divvy_mig_holder holder;
        struct divvy_mig_offer *offer;
        int status;

        if (!device->is_mig)
            continue;
        offer = offer_of(offers, device);
        if (!offer)
            return divvy_mig_error_set_errno(error, -ENOMEM, "the list of profiles");
        status = divvy_mig_holder(lock_dir, device->uuid, 0, &holder, error);
        if (status < 0)
            return status;
        offer->instances++;
        offer->reserved += (uint32_t)divvy_mig_holder_is_taken(&holder);
    }
    return 0;
}

static int by_gpu_and_size(const void *a, const void *b) {
    const struct divvy_mig_offer *left = a, *right = b;

    if (left->gpu_index != right->gpu_index)
        return left->gpu_index < right->gpu_index ? -1 : 1;
    if (left->gpu_slices != right->gpu_slices)
        return left->gpu_slices < right->gpu_slices ? -1 : 1;
    if (left->memory_mib != right->memory_mib)
        return left->memory_mib < right->memory_mib ? -1 : 1;
    return strcmp(left->profile, right->profile);
}

int divvy_mig_offers(struct divvy_mig *mig, const char *lock_dir, struct divvy_mig_offer **ret_offers, uint32_t *ret_count,
                     struct divvy_mig_error *error) {
    struct offers offers = {0};
    struct divvy_mig_list *list;
    int status = divvy_mig_list(mig, 0, &list, error);

    if (status < 0)
        return status;
    for (uint32_t i = 0; i < list->count && status == 0; i++)
        if (!list->devices[i].is_mig)
            status = gpu_offers(mig, &list->devices[i], &offers);
    if (status < 0)
        (void)divvy_mig_error_set_errno(error, status, "the list of profiles");
    else
        status = instances_count(list, lock_dir, &offers, error);
    divvy_mig_list_free(list);
    if (status < 0) {
        free(offers.all);
        return status;
    }
    if (offers.count > 0)
        qsort(offers.all, offers.count, sizeof *offers.all, by_gpu_and_size);
    *ret_offers = offers.all;
    *ret_count = offers.count;
    return 0;
}

void divvy_mig_offers_free(struct divvy_mig_offer *offers) {
    free(offers);
}
