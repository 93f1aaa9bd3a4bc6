/* The profiles that a GPU offers. */
#ifndef DIVVY_MIG_OFFERS_H
#define DIVVY_MIG_OFFERS_H

#include "mig/list.h"

#include <stdbool.h>

/* How many numbers NVML has for profiles, a few more than it has today: later drivers add some. */
#define DIVVY_MIG_PROFILE_NUMBERS (NVML_GPU_INSTANCE_PROFILE_COUNT + 15u)

/*
 * The profile of this number on a GPU, with what could be created of it now; instances and reserved are 0. False: the GPU has
 * none of that number.
 */
bool divvy_mig_offer_read(struct divvy_mig *mig, nvmlDevice_t gpu, const struct divvy_mig_device *device, uint32_t number,
                          struct divvy_mig_offer *ret_offer);

/* Whether a GPU instance of this profile is what is wanted, whatever part of it computes. */
bool divvy_mig_offer_fits(const struct divvy_mig_offer *offer, const struct divvy_mig_profile *wanted);

#endif
