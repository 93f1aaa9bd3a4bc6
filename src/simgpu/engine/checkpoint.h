/* Stopping a process between two calls of its driver, and taking its memory off the device: the engine's side of
 * cuCheckpointProcess*.
 *
 * All of it is done by the process that asks, in the state file; the target takes part only by what its calls do at
 * their beginning and end. So a target that is stopped (SIGSTOP) can be saved, and one that dies is in nobody's way.
 * A step that was interrupted by the death of the one who made it is brought to an end, or back, by whoever comes
 * next: the next step, or a call of the target that waits. */
#ifndef DIVVY_SIMGPU_CHECKPOINT_H
#define DIVVY_SIMGPU_CHECKPOINT_H

#include <stdint.h>

typedef enum divvy_simgpu_checkpoint {
    DIVVY_SIMGPU_RUNNING,
    DIVVY_SIMGPU_LOCKED, /* its calls wait */
    DIVVY_SIMGPU_SAVED,  /* and nothing of it is on any device */
} divvy_simgpu_checkpoint_t;

/* All of them: pid is a process attached to this machine as no observer, else -ESRCH; -EPROTO: it is in another state
 * than the step begins in, or somebody else is at it. The caller may be the process itself. */
int divvy_simgpu_checkpoint_state(int pid, divvy_simgpu_checkpoint_t *ret_state);
/* RUNNING to LOCKED: calls that begin from now on wait, those under way are waited for. -ETIMEDOUT: one of them was
 * not over at deadline_ns (clock of divvy_simgpu_now_ns); the process runs on. The lock stays when the caller ends. */
int divvy_simgpu_checkpoint_lock(int pid, uint64_t deadline_ns);
/* LOCKED to SAVED: waits for all submitted work, then as long as the copies take. -ENODEV: a device it uses is lost;
 * -EOPNOTSUPP: it has shared memory with other processes. */
int divvy_simgpu_checkpoint_save(int pid);
/* SAVED to LOCKED. -ENOMEM: its memory does not fit the devices now; nothing has changed. */
int divvy_simgpu_checkpoint_restore(int pid);
/* LOCKED to RUNNING. */
int divvy_simgpu_checkpoint_unlock(int pid);

/* A lane for the calling thread alone, as long as there are some; then the one that all others share. Given back when the
 * thread ends. */
unsigned divvy_simgpu_call_lane(void);
void divvy_simgpu_call_lane_give(unsigned lane);
/* Around every call of this process that a lock shall hold back; not nested. begin sleeps while the process is not
 * RUNNING. */
void divvy_simgpu_call_begin(unsigned lane);
void divvy_simgpu_call_end(unsigned lane);

#endif
