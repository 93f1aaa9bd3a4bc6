/* The schedule of one device: a discrete-event simulation over the queues in the state file, moved forward by whoever
 * needs to know. Internal to the engine. Pure: the present is an argument, so tests run hours in milliseconds.
 *
 * All functions here want the device lock held. */
#ifndef DIVVY_SIMGPU_SCHED_H
#define DIVVY_SIMGPU_SCHED_H

#include "simgpu/engine/layout.h"

#include <stdbool.h>

/* Does what the device did up to now_ns: completes, starts, switches, counts. Contexts of dead processes are dropped
 * when it is their turn. Going back in time does nothing. */
void sim_sched_advance(sim_file_t *f, uint32_t device, uint64_t now_ns);
/* After the lock was taken over from a dead process: finishes the step it was in, rebuilds what is derived. */
void sim_sched_repair(sim_file_t *f, uint32_t device);

/* Whether the position is reached, as far as the simulation has come. Needs no lock. */
bool sim_position_reached(sim_file_t *f, uint64_t channel, uint64_t seq);
/* The earliest device time at which the position may be reached, given what is queued; the present or earlier:
 * it hangs on something that no clock foresees (run() of an item, another device). UINT64_MAX: likewise, nothing is
 * due at all. The device was just advanced to now_ns. */
uint64_t sim_sched_estimate(sim_file_t *f, uint32_t device, uint64_t channel, uint64_t seq,
                            uint64_t now_ns);
/* True if the head of this channel is a wait for a position, and which. */
bool sim_sched_blocker(sim_file_t *f, uint64_t channel, divvy_simgpu_position_t *ret_position);

/* Adds an item to a channel, which has room; the caller is the only producer. submit_ns and total_ns of the item are
 * filled in here. Needs no lock. Returns the item's number. */
uint64_t sim_queue_push(sim_file_t *f, uint32_t context, uint32_t channel, const sim_item_t *item,
                        uint64_t submit_ns);

#endif
