/* What the simulated machine shall be: models and the DIVVY_SIM_* environment. Internal to the engine. */
#ifndef DIVVY_SIMGPU_CONFIG_H
#define DIVVY_SIMGPU_CONFIG_H

#include "simgpu/engine/layout.h"

#include <stdbool.h>

typedef struct sim_request {
    sim_config_t config; /* resolved, defaults filled in */
    bool devices_set, model_set, memory_set, slice_set, faults_set; /* named by the environment */
} sim_request_t;

/* Reads the environment. -EINVAL with one line in error (DIVVY_SIMGPU_ERROR_MAX bytes) naming the variable. Fault
 * rules are parsed by the caller. */
int sim_config_read(sim_request_t *ret_request, char *error);
/* Name of the first variable that asks for something else than the machine has, or NULL. */
const char *sim_config_conflict(const sim_request_t *request, const sim_config_t *machine);
bool sim_config_equal(const sim_config_t *a, const sim_config_t *b);
/* Whether a configuration read from a file can be worked with. */
bool sim_config_sane(const sim_config_t *config);
/* Facts of device index of this configuration. */
void sim_config_facts(const sim_config_t *config, uint32_t index, divvy_simgpu_device_t *ret_facts);

#endif
