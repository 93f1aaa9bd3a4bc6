/* The devices of the machine, as one reading found them. */
#ifndef DIVVY_MIG_LIST_H
#define DIVVY_MIG_LIST_H

#include "mig/nvml.h"

struct divvy_mig_list {
    uint32_t count, room, faults;
    char first_fault[160];
    struct divvy_mig_device *devices;
};

/* Reads one instance: 0, or -ENOENT where the slot is a hole, -EIO where it could not be read (counted in the list). */
int divvy_mig_list_instance_read(struct divvy_mig *mig, nvmlDevice_t gpu, const struct divvy_mig_device *parent,
                                 uint32_t slot, uint32_t flags, struct divvy_mig_list *list,
                                 struct divvy_mig_device *ret_device);

/* The profiles that the list's instances have, each once, "1g.10gb, 2g.20gb", or "none". */
void divvy_mig_list_profiles(const struct divvy_mig_list *list, char *text, uint32_t size);

#endif
