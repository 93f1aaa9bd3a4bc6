/*
 * Which GPU the program gets: a slice reserved for it, or, where that cannot be, what CUDA_VISIBLE_DEVICES says; and what is
 * known of it. Says what came of it in one line of the log. HC_MIG_TTL and HC_MIG_LOCK_DIR are read here.
 */
#ifndef DIVVY_MIG_RUNNER_SLICE_H
#define DIVVY_MIG_RUNNER_SLICE_H

#include "base/error.h"
#include "divvy/mig.h"
#include "mig/runner/options.h"

#include <stdbool.h>
#include <stdint.h>

#define DIVVY_RUNNER_DEVICES 16u

struct divvy_runner_wish {
    const char *profile;  /* "" none: no attempt is made */
    const char *lock_dir; /* NULL: HC_MIG_LOCK_DIR, or the usual one */
    const char *library;  /* NVML; NULL: the usual one */
    const char *visible;  /* CUDA_VISIBLE_DEVICES as the program would have it; NULL not set */
    const char *gpu;      /* only slices of this GPU, as CUDA_VISIBLE_DEVICES names one; NULL any */
    bool gpu_is_needed;   /* it is an error when there is no such GPU */
    bool slice_is_needed; /* without a slice of the profile the program does not run */
    int64_t wait_ns;
    enum divvy_runner_busy busy;
    bool bigger, create;
    int cancel_fd;        /* ends a wait when it can be read */
};

struct divvy_runner_slice {
    struct divvy_mig_reservation *reservation; /* NULL: none */
    bool is_set;                    /* CUDA_VISIBLE_DEVICES is to be set to `device` */
    struct divvy_mig_device device; /* the slice; meaningless without a reservation */
    /* The devices that the program will see, as far as that is known. */
    uint32_t count;
    struct divvy_mig_device devices[DIVVY_RUNNER_DEVICES];
};

/*
 * Whether the wish's profile can be one at all: 0, or -EINVAL with the profiles of this machine, for which NVML is asked then. Before
 * anything is begun for a program that will not run.
 */
int divvy_runner_slice_check(const struct divvy_runner_wish *wish, struct divvy_error *error);

/*
 * 0 also where there is no slice but the program may run. -EINVAL: the profile is none. -EBUSY, -ETIMEDOUT: it may not run now
 * (exit status DIVVY_RUNNER_BUSY). -ECANCELED: cancel_fd. To be given back by _give, whatever came.
 */
int divvy_runner_slice_take(const struct divvy_runner_wish *wish, struct divvy_runner_slice *ret_slice,
                            struct divvy_error *error);

/* Gives the slice back; harmless without one. */
void divvy_runner_slice_give(struct divvy_runner_slice *slice);

#endif
