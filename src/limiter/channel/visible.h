/*
 * CUDA_VISIBLE_DEVICES in a pod: its indices count the pod's own devices, while the driver counts the machine's. So it is
 * rewritten once, before the driver reads it, and TF_REMAPPED remembers the result for children, who inherit both.
 */
#ifndef DIVVY_LIMITER_CHANNEL_VISIBLE_H
#define DIVVY_LIMITER_CHANNEL_VISIBLE_H

#include "core/uuid.h"

#include <stddef.h>
#include <stdint.h>

#define DIVVY_VISIBLE_BYTES 1024

/* A device of the pod. */
struct divvy_visible_device {
    int32_t index; /* in NVML's order; negative: not known, it goes by its UUID */
    divvy_core_uuid_t uuid;
};

/*
 * What `visible` (the variable; NULL: not set) stands for among these devices. `remapped` is TF_REMAPPED or NULL. 1: leave all as
 * it is (inherited, or there are no devices to go by); 0: *ret_text is the new value, "-1" for none. UUIDs of the pod's devices
 * stay as they are, others are dropped; "-1" hides itself and what follows. -ERANGE: an index that the pod does not have; -EINVAL:
 * neither index nor UUID; -ENAMETOOLONG. Pure.
 */
int divvy_visible_remap(const char *visible, const char *remapped, const struct divvy_visible_device *devices, size_t count,
                        char ret_text[DIVVY_VISIBLE_BYTES]);

/*
 * Set CUDA_VISIBLE_DEVICES, NVIDIA_VISIBLE_DEVICES and TF_REMAPPED to `text` and CUDA_DEVICE_ORDER to PCI_BUS_ID, for this
 * process and its children. Neither allocates from the heap nor frees what getenv gave to others. 0 or -ENOMEM. Not to be called
 * while another thread changes the environment.
 */
int divvy_visible_set(const char *text);

#endif
