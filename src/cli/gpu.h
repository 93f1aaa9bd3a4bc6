/*
 * The GPUs of this machine, as the driver tells them. The driver is only ever loaded in a child
 * process of its own that ends at once: a broken one, or one that leaves threads behind, cannot
 * hurt the program that asks.
 */
#ifndef DIVVY_CLI_GPU_H
#define DIVVY_CLI_GPU_H

#include "base/error.h"
#include "base/install.h"
#include "core/uuid.h"

#include <stdbool.h>
#include <stdint.h>

#define DIVVY_CLI_GPUS_MAX 64

struct divvy_cli_gpu {
    uint32_t index; /* as nvidia-smi counts: order on the PCI bus */
    divvy_core_uuid_t uuid;
    /* As programs see it when has_driver_facts, else as NVML sees it (slightly more). */
    uint64_t memory_bytes;
    uint32_t sm_count; /* 0 when unknown (no has_driver_facts) */
    bool has_driver_facts;
    bool exclusive; /* compute mode lets one process only, or none, use it */
    bool mig;       /* split into MIG instances: no program can use it as a whole */
    bool is_instance;   /* a MIG device: index is its GPU's, uuid its own */
    uint32_t instance;  /* its index in its GPU */
    int64_t temperature_c;      /* -1 when unknown, as the next */
    int64_t uncorrected_errors; /* of memory, since the GPU was reset */
    char name[96];
    char pci[20];
};

/* How a driver library answered. */
enum divvy_cli_driver_state {
    DIVVY_CLI_DRIVER_ASKED_NOT, /* not asked */
    DIVVY_CLI_DRIVER_MISSING,   /* no such library */
    DIVVY_CLI_DRIVER_BROKEN,    /* it is there and does not work: see text */
    DIVVY_CLI_DRIVER_NO_DEVICE, /* it works and shows no device */
    DIVVY_CLI_DRIVER_OK,
    DIVVY_CLI_DRIVER_STATE_MAX,
};

struct divvy_cli_driver {
    enum divvy_cli_driver_state state;
    int version;    /* cuDriverGetVersion, 0 unknown */
    char text[320]; /* why it is missing or broken */
    char path[256]; /* file that was loaded */
};

struct divvy_cli_gpu_list {
    struct divvy_cli_driver cuda, nvml;
    bool simulated; /* the library that answered is the simulated one */
    uint32_t count;
    struct divvy_cli_gpu gpus[DIVVY_CLI_GPUS_MAX];
};

enum {
    DIVVY_CLI_GPU_WITH_CUDA = 1, /* ask the CUDA driver too (up to seconds on a real machine) */
    DIVVY_CLI_GPU_AS_PROGRAM =
        2, /* only what CUDA_VISIBLE_DEVICES lets a program see, in the order that it sees */
};

/*
 * Asks the driver in `driver_dir`, or the system's when NULL. 0 also when there is no driver: see
 * the states. Negative errno only when no child could be had. A driver that hangs is killed after
 * 30 s and counts as broken.
 */
int divvy_cli_gpu_list_read(const char *driver_dir, unsigned int flags,
                            struct divvy_cli_gpu_list *ret_list, struct divvy_error *error);

/* What a list means for a program that needs a GPU. */
enum divvy_cli_driver_state divvy_cli_gpu_list_state(const struct divvy_cli_gpu_list *list);

/*
 * The list that `gpu` (value of an option --gpu: NULL, "sim", index or UUID) is about: the
 * system's, or the simulated one when asked for or when `gpu` is NULL and the machine has no GPU.
 * *ret_fell_back tells the latter. A driver that is broken is an error, not a reason to simulate.
 * -EINVAL: `gpu` is none of these; -ENODEV, -ENOENT otherwise.
 */
int divvy_cli_gpu_list_choose(const struct divvy_install *install, const char *gpu,
                              unsigned int flags, struct divvy_cli_gpu_list *ret_list,
                              bool *ret_fell_back, struct divvy_error *error);

/* The UUID as drivers write it: "GPU-..." or "MIG-...". */
void divvy_cli_gpu_uuid_format(const struct divvy_cli_gpu *gpu,
                               char ret_text[DIVVY_CORE_UUID_TEXT_BYTES]);

/*
 * The device of a list that `gpu` names (NULL and "sim": the first that programs can use). -EINVAL
 * with remedy when it names none, or a GPU that is split into MIG instances.
 */
int divvy_cli_gpu_pick(const struct divvy_cli_gpu_list *list, const char *gpu,
                       const struct divvy_cli_gpu **ret_gpu, struct divvy_error *error);

#endif
