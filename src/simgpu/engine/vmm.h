/* Physical handles and reserved addresses. Internal to the engine. */
#ifndef DIVVY_SIMGPU_VMM_H
#define DIVVY_SIMGPU_VMM_H

/* Forgets everything of this process; the table of ranges is locked for writing and empty. */
void sim_vmm_destroy(void);

#endif
