/*
 * The real NVML: its functions by name (NULL: this version lacks it), and the list of the machine's
 * devices.
 */
#ifndef DIVVY_LIMITER_HOOK_NVML_H
#define DIVVY_LIMITER_HOOK_NVML_H

#include "cuda/nvml.h"
#include "limiter/hook/limits.h"

#include <stdbool.h>
#include <stddef.h>

struct divvy_nvml {
#define DIVVY_NVML_MEMBER(symbol, type, parameters, arguments) __typeof__(&symbol) symbol;
    DIVVY_CUDA_NVML_TABLE(DIVVY_NVML_MEMBER)
#undef DIVVY_NVML_MEMBER
};

extern struct divvy_nvml divvy_nvml;

/* Whether divvy_nvml may be used. `may_load`: load the library if the program has not. Any thread.
 */
bool divvy_nvml_resolve(bool may_load);

/*
 * All GPUs of the machine in NVML's order, whatever CUDA_VISIBLE_DEVICES says, and behind them the
 * MIG devices that they are split into, as far as there is room: number entered, or -ENODEV when there is no working NVML. Initialises NVML and lets it go again: milliseconds on a
 * real driver, never in an allocation.
 */
int divvy_nvml_devices(struct divvy_limit_device *ret_devices, size_t capacity);

/* An initialised NVML's handle of the GPU or MIG device with this UUID. */
bool divvy_nvml_find(const divvy_core_uuid_t *uuid, nvmlDevice_t *ret_device);

/* UUID of an initialised NVML's device, from "GPU-..." or "MIG-..." text. */
bool divvy_nvml_uuid(nvmlDevice_t device, divvy_core_uuid_t *ret_uuid);

#endif
