/* The MIG profiles of the models. Internal to the engine. */
#ifndef DIVVY_SIMGPU_MIG_TABLES_H
#define DIVVY_SIMGPU_MIG_TABLES_H

#include "simgpu/engine/mig_plan.h"

extern const sim_mig_table_t sim_mig_a100_40, sim_mig_a100, sim_mig_h100, sim_mig_h200;

#endif
