/* This process in the machine: its slot, and taking part in reaping those that are gone. Internal to the engine. */
#ifndef DIVVY_SIMGPU_SELF_H
#define DIVVY_SIMGPU_SELF_H

#include "simgpu/engine/lock.h"

#include <stdbool.h>

/* The state file, or NULL if this process is not attached (fork children never are). */
sim_file_t *sim_self_file(void);
uint32_t sim_self_slot(void);
uint64_t sim_self_generation(void);
uint32_t sim_self_tag(void);
uint64_t sim_self_id(void);

/* Take a lock of the file, repairing what it protects if its owner died. Give with sim_lock_give. */
void sim_self_lock(sim_lock_t *lock); /* the machine lock */
sim_device_t *sim_self_lock_device(uint32_t device);
/* The same on any machine, for tests: tag is the lock tag of a live slot. */
sim_device_t *sim_device_lock(sim_file_t *f, uint32_t device, uint32_t tag);
sim_device_t *sim_memory_lock(sim_file_t *f, uint32_t pool, uint32_t tag);

/* A device, or a unit that this process has opened: what it may create things on. -ENODEV. */
int sim_self_unit(int unit);

/* --- slots (slot.c) ---------------------------------------------------------------------------------------- */

/* Takes a process slot for this process; the file lock is held. -ENOSPC. */
int sim_slot_claim(sim_file_t *f, unsigned flags, uint32_t *ret_slot);
/* Takes back all that a process has: contexts, memory, events; and remembers it in the history. The machine lock is
 * held by tag. May be repeated. */
void sim_slot_clear(sim_file_t *f, uint32_t tag, uint32_t slot);
/* The slot itself, last: locks taken in its name are void from here on. */
void sim_slot_free(sim_file_t *f, uint32_t slot);
/* Ends all processes that are dead. Takes the machine lock. Number ended. */
int sim_slot_reap(sim_file_t *f, uint32_t tag);

/* Takes a context slot for the process in slot; the machine lock is held. -ENOSPC. */
int sim_context_claim(sim_file_t *f, uint32_t proc, uint32_t device, uint32_t *ret_context);
/* Stops what is queued and makes positions of the context count as reached; keeps the slot. */
void sim_context_kill(sim_file_t *f, uint32_t tag, uint32_t context);
/* Kills and frees the slot. The machine lock is held by tag. */
void sim_context_free(sim_file_t *f, uint32_t tag, uint32_t context);
/* Wakes everybody who sleeps on this context. */
void sim_context_wake(sim_context_t *c);

/* --- the memory pool (pool.c) ------------------------------------------------------------------------------ */

/* Charges bytes to the process in slot, or with negative bytes takes a charge back. -ENOMEM. */
int sim_pool_charge(sim_file_t *f, uint32_t tag, uint32_t slot, uint32_t device, int64_t bytes);
/* Takes the charge of a process off the device and notes it as saved. Also what undoes a restore, and what finishes
 * either after the death of its maker: may be repeated at any time while the process makes no calls. */
void sim_pool_save(sim_file_t *f, uint32_t tag, uint32_t slot, uint32_t device);
/* Charges again what was saved. -ENOMEM; nothing has changed then. */
int sim_pool_restore(sim_file_t *f, uint32_t tag, uint32_t slot, uint32_t device);
/* Takes all charges of a slot back. May be repeated. */
void sim_pool_release(sim_file_t *f, uint32_t tag, uint32_t slot, uint32_t device);
/* After the owner of the memory lock died: the sum of all processes is the truth. */
void sim_pool_repair(sim_file_t *f, uint32_t pool);

/* --- MIG (mig.c) ------------------------------------------------------------------------------------------- */

/* Whether there is such a device, or an instance with this unit. */
bool sim_unit_exists(const sim_file_t *f, uint32_t unit);
/* Generation of a unit's instance; 0 for devices. */
uint64_t sim_unit_generation(const sim_file_t *f, uint32_t unit);
/* Marks the unit as open for the process in slot; the machine lock is held. Errors as divvy_simgpu_open. */
int sim_unit_open(sim_file_t *f, uint32_t slot, uint32_t unit);
/* Bytes taken of a device: of its pool, or of those of its instances. */
uint64_t sim_device_used(const sim_file_t *f, uint32_t device);
/* Makes what the configuration's text asks for; f NULL: only finds out whether it can be. -EINVAL with a line in error
 * (may be NULL). The text of the configuration is taken to be terminated. */
int sim_mig_configure(sim_file_t *f, const sim_config_t *config, char *error);

#endif
