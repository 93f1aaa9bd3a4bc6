/* Multi-instance GPU: profiles, placements, GPU instances and compute instances of the simulated devices.
 *
 * A device with MIG mode on is cut into *GPU instances* (memory and media engines of their own, in one of the
 * placements that their profile allows) and these into *compute instances* (SMs of their own). Each compute instance
 * is a *unit*: a number beyond those of the devices that stands wherever the other headers say "device", with facts,
 * a clock, a schedule and a record of busy time of its own. The compute instances of a GPU instance share its memory.
 *
 * Units are numbered by place: unit DIVVY_SIMGPU_UNIT(device, index), where index is the MIG device's index. An index
 * stays what it is while the instance lives, and is free again after: the index space has holes.
 *
 * Changes are made under the machine's lock and come to life in one store each, so a process killed in the middle of
 * one leaves nothing. An instance is in use while a process lives that has opened it (divvy_simgpu_open). */
#ifndef DIVVY_SIMGPU_MIG_H
#define DIVVY_SIMGPU_MIG_H

#include "simgpu/engine/machine.h"

enum {
    DIVVY_SIMGPU_MIG_SLOTS = 8,       /* memory slices of a device: what placements count in */
    DIVVY_SIMGPU_GI_PROFILES_MAX = 8, /* of one model */
    DIVVY_SIMGPU_CI_PROFILES_MAX = 8, /* of one GPU instance */
    DIVVY_SIMGPU_MIG_NAME_MAX = 24,   /* "1c.3g.71gb" */
    DIVVY_SIMGPU_MIG_UUID_MAX = 64,   /* the longer, legacy form */
    DIVVY_SIMGPU_MIG_ANYWHERE = -1,   /* a placement of the driver's choice */
};
#define DIVVY_SIMGPU_UNIT(device, index)                                                           \
    (DIVVY_SIMGPU_DEVICES_MAX + (device)*DIVVY_SIMGPU_MIG_MAX + (index))

/* A profile of GPU instances, as NVML describes it. */
typedef struct divvy_simgpu_gi_profile {
    uint32_t selector;                    /* NVML_GPU_INSTANCE_PROFILE_* */
    uint32_t id;                          /* the driver's number, what creation takes */
    char name[DIVVY_SIMGPU_MIG_NAME_MAX]; /* "1g.18gb+me" */
    uint32_t slices;                      /* compute slices, 1 to 7 */
    uint32_t instances_max;
    uint32_t size;   /* slots that an instance takes */
    uint32_t starts; /* bit per slot at which one may start */
    uint32_t sm_count;
    uint32_t copy_engines, decoders, encoders, jpegs, ofas;
    uint64_t memory_bytes; /* below what the name says */
} divvy_simgpu_gi_profile_t;

/* A profile of compute instances in a GPU instance. */
typedef struct divvy_simgpu_ci_profile {
    uint32_t id; /* NVML_COMPUTE_INSTANCE_PROFILE_* and the driver's number: they are the same */
    char name
        [DIVVY_SIMGPU_MIG_NAME_MAX]; /* "1c.3g.71gb"; the GPU instance's when it takes all of it */
    uint32_t slices;
    uint32_t instances_max;
    uint32_t starts; /* bit per compute slice of the GPU instance */
    uint32_t sm_count;
} divvy_simgpu_ci_profile_t;

/* A GPU instance. slot and generation together name it: a later one in the same slot has another generation. */
typedef struct divvy_simgpu_gi {
    int32_t device;
    uint32_t slot; /* 0 to DIVVY_SIMGPU_MIG_MAX - 1 */
    uint64_t generation;
    uint32_t id; /* NVML's "GPU instance id", 0 to 14 */
    uint32_t start;
    divvy_simgpu_gi_profile_t profile;
    uint64_t memory_bytes; /* of this instance: equal profiles differ a little by place */
    uint64_t used_bytes;
} divvy_simgpu_gi_t;

/* A compute instance, which is a MIG device. */
typedef struct divvy_simgpu_ci {
    int32_t device;
    uint32_t index; /* of the MIG device */
    uint64_t generation;
    int32_t unit;
    uint32_t id; /* in its GPU instance */
    uint32_t start;
    divvy_simgpu_ci_profile_t profile;
    divvy_simgpu_gi_t gi;
    char uuid_text[DIVVY_SIMGPU_MIG_UUID_MAX];   /* in the form of this machine's driver */
    char uuid_plain[DIVVY_SIMGPU_MIG_UUID_MAX];  /* "MIG-<uuid>" */
    char uuid_legacy[DIVVY_SIMGPU_MIG_UUID_MAX]; /* "MIG-GPU-<uuid>/<gi>/<ci>" */
} divvy_simgpu_ci_t;

/* Errors common to the functions below: -ENODEV no such device, or lost; -EOPNOTSUPP this model has no MIG, or (for
 * what needs it) the mode is off; -ENOTCONN. */

/* --- mode -------------------------------------------------------------------------------------------------- */

int divvy_simgpu_mig_mode(int device, bool *ret_current, bool *ret_pending);
/* Sets the pending mode, and makes it current unless a process has the device or an instance open: then
 * *ret_active is false and a later call (or divvy_simgpu_mig_reset) does it. Switching off destroys the instances. */
int divvy_simgpu_mig_set_mode(int device, bool on, bool *ret_active);
/* As a reset of the device: the pending mode becomes current. -EBUSY in use. */
int divvy_simgpu_mig_reset(int device);

/* --- profiles ---------------------------------------------------------------------------------------------- */

/* Profile number n of this device's model, mode on or off. -ENOENT past the last. */
int divvy_simgpu_gi_profile(int device, unsigned n, divvy_simgpu_gi_profile_t *ret_profile);
/* How many more instances of this profile could be created now. -EINVAL no such profile. */
int divvy_simgpu_gi_remaining(int device, uint32_t profile_id, unsigned *ret_count);
int divvy_simgpu_ci_profile(const divvy_simgpu_gi_t *gi, unsigned n,
                            divvy_simgpu_ci_profile_t *ret_profile);
/* -ENOENT: the GPU instance is gone. */
int divvy_simgpu_ci_remaining(const divvy_simgpu_gi_t *gi, uint32_t profile_id,
                              unsigned *ret_count);

/* --- instances --------------------------------------------------------------------------------------------- */

/* start is a slot, or DIVVY_SIMGPU_MIG_ANYWHERE: where most remains possible. -EINVAL no such profile or placement;
 * -ENOSPC taken. */
int divvy_simgpu_gi_create(int device, uint32_t profile_id, int start, divvy_simgpu_gi_t *ret_gi);
/* -EBUSY it has compute instances; -ENOENT gone. */
int divvy_simgpu_gi_destroy(const divvy_simgpu_gi_t *gi);
/* The instance in the slot; -ENOENT none. */
int divvy_simgpu_gi_get(int device, unsigned slot, divvy_simgpu_gi_t *ret_gi);
/* The same for the compute instances of a GPU instance. */
int divvy_simgpu_ci_create(const divvy_simgpu_gi_t *gi, uint32_t profile_id, int start,
                           divvy_simgpu_ci_t *ret_ci);
/* -EBUSY a process has it open; -ENOENT gone. */
int divvy_simgpu_ci_destroy(const divvy_simgpu_ci_t *ci);
/* MIG device number index; -ENOENT a hole, or the mode is off. */
int divvy_simgpu_ci_get(int device, unsigned index, divvy_simgpu_ci_t *ret_ci);
int divvy_simgpu_ci_of_unit(int unit, divvy_simgpu_ci_t *ret_ci);

/* --- using ------------------------------------------------------------------------------------------------- */

/* Tells that this process computes on the device or unit, until it ends: what it has open cannot be destroyed nor
 * change its mode. Needed before anything is created on a unit. -EBUSY a device with MIG mode on; -ENOENT no such
 * instance; -ENOSPC. */
int divvy_simgpu_open(int unit);
/* The device that a unit is a part of; a device is its own. */
int divvy_simgpu_unit_device(int unit);
/* "580.159.04": the version that the simulated driver gives itself (DIVVY_SIM_DRIVER). */
int divvy_simgpu_driver_version(char *buf, size_t size);

#endif
