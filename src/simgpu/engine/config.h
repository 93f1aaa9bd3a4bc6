/* What the simulated machine shall be: models and the DIVVY_SIM_* environment. Internal to the engine. */
#ifndef DIVVY_SIMGPU_CONFIG_H
#define DIVVY_SIMGPU_CONFIG_H

#include "simgpu/engine/layout.h"
#include "simgpu/engine/mig_plan.h"

#include <stdbool.h>

typedef struct sim_request {
    sim_config_t config; /* resolved, defaults filled in */
    /* named by the environment */
    bool devices_set, model_set, memory_set, slice_set, switch_set, faults_set, mig_set, driver_set;
} sim_request_t;

/* Reads the environment. -EINVAL with one line in error (DIVVY_SIMGPU_ERROR_MAX bytes) naming the variable. Fault
 * rules are parsed by the caller. */
int sim_config_read(sim_request_t *ret_request, char *error);
/* Name of the first variable that asks for something else than the machine has, or NULL. */
const char *sim_config_conflict(const sim_request_t *request, const sim_config_t *machine);
bool sim_config_equal(const sim_config_t *a, const sim_config_t *b);
/* Whether a configuration read from a file can be worked with. */
bool sim_config_sane(const sim_config_t *config);
/* The MIG profiles of device index, memory in proportion where the machine's device has not its model's. NULL: its
 * model has none. Filled into *table. */
const sim_mig_table_t *sim_config_mig(const sim_config_t *config, uint32_t index,
                                      sim_mig_table_t *table);
/* Facts of device index of this configuration. */
void sim_config_facts(const sim_config_t *config, uint32_t index, divvy_simgpu_device_t *ret_facts);

#endif
