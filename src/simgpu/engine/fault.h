/* Fault rules in the state file. Internal to the engine; the grammar is in docs/SIMGPU.md. */
#ifndef DIVVY_SIMGPU_FAULT_H
#define DIVVY_SIMGPU_FAULT_H

#include "simgpu/engine/layout.h"

/* Parses rules and adds them to the machine; f NULL: only checks. -EINVAL with a line in error (may be NULL),
 * -ENOSPC: more than SIM_FAULTS rules; then nothing was added. The caller keeps others out. */
int sim_fault_parse(sim_file_t *f, const char *text, char *error);

#endif
