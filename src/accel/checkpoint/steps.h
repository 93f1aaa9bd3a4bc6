/*
 * The driver's checkpoint calls for a set of processes: all of them, or none. For divvyd's process that does nothing else, and for
 * libaccelerator_nvidia.so. No allocation, no output but through `tell`; one thread at a time.
 */
#ifndef DIVVY_ACCEL_CHECKPOINT_STEPS_H
#define DIVVY_ACCEL_CHECKPOINT_STEPS_H

#include "cuda/driver.h"

#include <stdbool.h>
#include <stddef.h>

/* One line about what failed: the call, the process and the driver's error. Borrowed. */
typedef void (*divvy_checkpoint_tell_t)(const char *line);

/* One process on its way. */
struct divvy_checkpoint_process {
    int pid;
    bool cuda; /* the driver knows it */
    CUprocessState state;
};

/*
 * Loads the driver's libcuda, a name or a path, and begins it; again costs nothing. -EOPNOTSUPP: there is none, or it lacks the
 * calls; -EIO.
 */
int divvy_checkpoint_load(const char *file, divvy_checkpoint_tell_t tell);

/* Fills in what the driver knows of process->pid. After load. */
void divvy_checkpoint_look(struct divvy_checkpoint_process *process);

/*
 * Holds back the calls of those that run and moves their device memory to host memory; what was done is undone when one fails.
 * Those without CUDA are left out; one that ends meanwhile is no failure. -EOPNOTSUPP, -ENOMEM, -EBUSY (a call of a process did
 * not end within 5 s), -EIO.
 */
int divvy_checkpoint_save(struct divvy_checkpoint_process *all, size_t count, divvy_checkpoint_tell_t tell);

/* The other way, from whatever state each is in. None runs before all are back. */
int divvy_checkpoint_restore(struct divvy_checkpoint_process *all, size_t count, divvy_checkpoint_tell_t tell);

#endif
