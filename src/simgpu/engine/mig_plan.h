/* Placement of MIG instances: pure decisions over masks of slots. Internal to the engine. */
#ifndef DIVVY_SIMGPU_MIG_PLAN_H
#define DIVVY_SIMGPU_MIG_PLAN_H

#include "simgpu/engine/mig.h"

/* What a model offers. */
typedef struct sim_mig_table {
    uint32_t rows;
    uint32_t slice_sm_count; /* SMs of one compute slice */
    divvy_simgpu_gi_profile_t row[DIVVY_SIMGPU_GI_PROFILES_MAX];
} sim_mig_table_t;

/* What is taken of a device. */
typedef struct sim_mig_use {
    uint32_t taken;                               /* bit per slot */
    uint32_t count[DIVVY_SIMGPU_GI_PROFILES_MAX]; /* instances of each row */
} sim_mig_use_t;

/* Row with this profile id, or -1. */
int sim_mig_row(const sim_mig_table_t *table, uint32_t profile_id);
/* Starts (of the mask starts) at which size slots are free in taken. */
uint32_t sim_mig_starts_free(uint32_t starts, uint32_t size, uint32_t taken);
/* How many more instances of the row fit side by side. */
unsigned sim_mig_remaining(const sim_mig_table_t *table, unsigned row, const sim_mig_use_t *use);
/* The start that keeps most possible for later ones, the lowest of equals. -ENOSPC: none is free. */
int sim_mig_choose(const sim_mig_table_t *table, unsigned row, const sim_mig_use_t *use);
/* NVML's number of a GPU instance: nodes of the binary tree over the slots, from the root. */
uint32_t sim_mig_gi_id(uint32_t start, uint32_t size);
/* Bytes of an instance at start: the upper half has a little less to give. */
uint64_t sim_mig_bytes(const divvy_simgpu_gi_profile_t *profile, uint32_t start);

/* Compute profile number n of a GPU instance of that row; -ENOENT past the last. */
int sim_mig_ci_profile(const sim_mig_table_t *table, unsigned row, unsigned n,
                       divvy_simgpu_ci_profile_t *ret_profile);
int sim_mig_ci_by_id(const sim_mig_table_t *table, unsigned row, uint32_t profile_id,
                     divvy_simgpu_ci_profile_t *ret_profile);
/* The start that keeps most possible for later ones, the lowest of equals; -ENOSPC: none is free. */
int sim_mig_ci_choose(const sim_mig_table_t *table, unsigned row,
                      const divvy_simgpu_ci_profile_t *profile, uint32_t taken);
/* How many more of the profile fit into slices of which taken are; the same number of slices each. */
unsigned sim_mig_ci_remaining(const divvy_simgpu_ci_profile_t *profile, uint32_t taken,
                              unsigned existing);

#endif
