/* Locks in the state file that outlive their owners. Internal to the engine.
 *
 * The word names the process slot that holds it: 0 free; else slot + 1 (11 bits), generation of the slot << 11
 * (20 bits), and bit 31 "somebody sleeps". A waiter that finds the owner dead (slot gone, or process gone) takes the
 * lock over and is told so, to repair what the lock protects. Not recursive. Held for microseconds only; no lock is
 * taken while a device or memory lock is held. */
#ifndef DIVVY_SIMGPU_LOCK_H
#define DIVVY_SIMGPU_LOCK_H

#include "simgpu/engine/layout.h"

#include <stdbool.h>

/* The lock tag of a process slot. */
uint32_t sim_lock_tag(uint32_t slot, uint64_t generation);
/* Takes the lock. True if it was taken over from a dead process: repair before anything else. */
bool sim_lock_take(sim_file_t *f, sim_lock_t *lock, uint32_t tag);
void sim_lock_give(sim_lock_t *lock);

/* Whether the process that lock tag names is gone. */
bool sim_lock_owner_dead(sim_file_t *f, uint32_t tag);

/* Whether pid with that start time still executes: a zombie does not, a zombie leader with live threads does. */
bool sim_process_alive(int32_t pid, uint64_t start_ticks);
/* Whether the process of a slot word that is LIVE still executes. A recent positive answer may be up to max_age_ns
 * old. 0: its start time is compared each time, for whoever acts on a pid; else the process is looked at, and its start time now
 * and then. */
bool sim_proc_alive(sim_file_t *f, uint32_t slot, uint64_t now_ns, uint64_t max_age_ns);

#endif
