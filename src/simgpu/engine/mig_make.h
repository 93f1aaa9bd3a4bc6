/* Instances in the state file: reading them, and bringing them to life. Internal to the engine. All that makes wants
 * the machine lock held. */
#ifndef DIVVY_SIMGPU_MIG_MAKE_H
#define DIVVY_SIMGPU_MIG_MAKE_H

#include "simgpu/engine/config.h"
#include "simgpu/engine/mig_plan.h"

/* What the living GPU instances take. */
sim_mig_use_t sim_mig_use(const sim_mig_table_t *table, const sim_mig_t *m);
/* Compute slices taken in the GPU instance of that slot, and how many of them by instances of the profile. */
uint32_t sim_mig_ci_taken(const sim_mig_table_t *table, const sim_mig_t *m, uint32_t slot,
                          uint32_t profile_id, unsigned *ret_existing);
/* Whether that very GPU instance lives. */
bool sim_mig_gi_is(const sim_mig_t *m, const divvy_simgpu_gi_t *gi);
/* All instances gone. */
void sim_mig_clear(sim_mig_t *m);

/* Read without a lock; -ENOENT: none, or one that changed just now. */
int sim_mig_gi_view(const sim_file_t *f, const sim_mig_table_t *table, uint32_t device,
                    uint32_t slot, divvy_simgpu_gi_t *ret_gi);
int sim_mig_ci_view(const sim_file_t *f, const sim_mig_table_t *table, uint32_t device,
                    uint32_t index, divvy_simgpu_ci_t *ret_ci);

/* Errors as divvy_simgpu_gi_create and divvy_simgpu_ci_create. */
int sim_mig_make_gi(sim_file_t *f, uint32_t tag, const sim_mig_table_t *table, uint32_t device,
                    uint32_t profile_id, int start, uint32_t *ret_slot);
int sim_mig_make_ci(sim_file_t *f, uint32_t tag, const sim_mig_table_t *table, uint32_t device,
                    uint32_t gi, uint32_t profile_id, int start, uint32_t *ret_index);

#endif
